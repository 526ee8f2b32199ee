"""TOPCAT and Aladin in windows of their own, on a screen that nobody sees.

TOPCAT takes a table by SAMP and knows its rows afterwards; Aladin draws our density map and reads
a table and a MOC of ours.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib.image import imread
from required import need
from samp_desk import Program, hub, until
from serve_client import Site
from test_vo_hips import JARS
from vo_site import Vo, vo

import spectrarium as sp
from spectrarium.publish.samp import Message, row_message, rows_message

__all__ = ["vo"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("desktop")]


@pytest.fixture(scope="module")
def screen() -> Iterator[str]:
    """An X server without a screen; its name."""
    need("xvfb", shutil.which("Xvfb") is not None, "Xvfb is not installed")
    read, write = os.pipe()
    with subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x900x24", "-nolisten", "tcp"],
        pass_fds=(write,), stderr=subprocess.DEVNULL,
    ) as server:  # fmt: skip
        os.close(write)
        with os.fdopen(read) as answer:
            number = answer.readline().strip()
        yield f":{number}"
        server.terminate()


@contextlib.contextmanager
def window(screen: str, home: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program of Java's on the screen, ended with the block."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("JAVA_TOOL")}
    log = (home / "said.log").open("wb")
    with log, subprocess.Popen(
        command, env={**env, "DISPLAY": screen, "HOME": str(home)}, cwd=home, stdout=log,
        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_topcat_takes_a_table_and_knows_its_rows(site: Site, screen, tmp_path, monkeypatch):
    program = shutil.which("topcat")
    need("topcat", program is not None, "TOPCAT is not installed")
    home = tmp_path / "home"
    home.mkdir()
    with hub(tmp_path, monkeypatch), contextlib.ExitStack() as stack:
        watcher = Program("Watcher")
        stack.callback(watcher.close)
        stack.enter_context(window(screen, home, program, "-exthub", f"-Duser.home={home}"))
        topcat = until(lambda: _named(watcher, "topcat"), 120)
        with sp.open(site.archive).link() as link:
            (sent,) = link.send(where="obs_collection = 'MOCK'", wait_s=60)
            assert {r.client: r.status for r in sent.replies} == {"Watcher": "ok", "topcat": "ok"}
            told = watcher.wait("table.load.votable")
            table, url = told["table-id"], told["url"]

            def says(message: Message) -> str:
                asked = {"samp.mtype": message.mtype, "samp.params": message.params}
                return watcher.client.call_and_wait(topcat, asked, "30")["samp.status"]

            until(lambda: says(row_message(table, url, 3)) == "samp.ok")  # it shows it soon
            assert says(rows_message(table, url, [0, 5, 7])) == "samp.ok"
            assert says(row_message("spectrarium:0", "file:///nowhere.vot", 3)) == "samp.error"


def _named(program: Program, name: str) -> str | None:
    """The id of a program on the hub, once it has said what it takes."""
    found = next((k for k, n in program.others().items() if n.lower() == name), None)
    takes = program.client.get_subscriptions(found) if found else {}
    return found if "table.load.votable" in takes else None


def test_aladin_draws_the_map_and_reads_table_and_moc(vo: Vo, screen, tmp_path):
    jar = next((j for j in JARS if Path(j).is_file()), None)
    need("aladin", jar is not None, "Aladin is not installed")
    home = tmp_path / "home"
    home.mkdir()
    query = "SELECT * FROM ivoa.obscore WHERE obs_collection = 'MOCK'"
    for name, path, params in (("table.vot", "/tap/sync", {"LANG": "ADQL", "QUERY": query}),
                               ("moc.fits", "/moc/space", {"RESPONSEFORMAT": "fits"})):  # fmt: skip
        answer = vo.get(path, **params)
        assert answer.status_code == 200, answer.text
        (home / name).write_bytes(answer.content)
    rows = vo.site.store.find("obs_collection = 'MOCK'")
    one = vo.site.store.catalogue(rows[:1], ["s_ra", "s_dec"]).to_pylist()[0]
    script = [f"load {vo.base}/vo/hips", "sync", f"load {home}/table.vot", "sync",
              f"load {home}/moc.fits", "sync", f"{one['s_ra']:.4f} {one['s_dec']:+.4f}",
              "zoom 4deg", "sync", "pause 2", "status", f"save {home}/seen.png",
              "quit"]  # fmt: skip
    command = ["java", "-Xmx512m", f"-Duser.home={home}", "-jar", str(jar), "-local", "-nosamp",
               f"-script={';'.join(script)}"]  # fmt: skip
    with window(screen, home, *command) as process:
        process.wait(240)
    said = (home / "said.log").read_text(errors="replace")
    planes = dict(re.findall(r"PlaneID (\S+)\n.*?\nType +(\w+)", said, re.S))
    assert planes["table.vot"] == "Catalog", said
    assert planes["hips"] == "HipsImage", said
    assert [kind for name, kind in planes.items() if "moc" in name.lower()] == ["SMOC"], said
    assert re.search(rf"PlaneID table.vot\n.*?NbObj +{len(rows)}\n", said, re.S), said
    light = imread(home / "seen.png")[..., :3].min(axis=-1) > 0.75
    middle = tuple(slice(n // 2 - 30, n // 2 + 30) for n in light.shape)
    assert light[middle].sum() > 150  # the pixel of the map that this spectrum lies in
    assert light.sum() < 1.2 * light[middle].sum()  # and no other is there
