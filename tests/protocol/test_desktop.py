"""TOPCAT and Aladin in windows of their own, on a screen that nobody sees.

TOPCAT takes a table by SAMP and knows its rows afterwards; Aladin draws our density map and reads
a table and a MOC of ours.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from matplotlib.image import imread
from required import need
from samp_desk import Program, hub, until
from serve_client import Site
from test_vo_hips import JARS
from vo_site import Vo, vo

import spectrarium as sp
from spectrarium.publish.samp import row_message, rows_message

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
            table = watcher.wait("table.load.votable")["table-id"]
            for message, known in (
                (row_message(table, "", 3), True), (rows_message(table, "", [0, 5, 7]), True),
                (row_message("spectrarium:nothing", "file:///nowhere.vot", 3), False),
            ):  # fmt: skip
                asked = {"samp.mtype": message.mtype, "samp.params": message.params}
                reply = watcher.client.call_and_wait(topcat, asked, "30")
                assert (reply["samp.status"] == "samp.ok") is known, reply


def _named(program: Program, name: str) -> str | None:
    """The id of a program on the hub."""
    return next((k for k, n in program.others().items() if n.lower() == name), None)


def test_aladin_draws_the_map_and_reads_table_and_moc(vo: Vo, screen, tmp_path):
    jar = next((j for j in JARS if Path(j).is_file()), None)
    need("aladin", jar is not None, "Aladin is not installed")
    home = tmp_path / "home"
    home.mkdir()
    table, moc = home / "table.vot", home / "moc.fits"
    query = "SELECT * FROM ivoa.obscore WHERE obs_collection = 'MOCK'"
    table.write_bytes(vo.get("/tap/sync", LANG="ADQL", QUERY=query).content)
    moc.write_bytes(vo.get("/moc/space", FORMAT="fits").content)
    ra, dec = _middle(table)
    script = (f"load {vo.base}/vo/hips; sync; load {table}; sync; load {moc}; sync; status; "
              f"{ra:.4f} {dec:+.4f}; zoom 180deg; sync; save {home / 'seen.png'}; quit")  # fmt: skip
    command = ["java", "-Xmx512m", f"-Duser.home={home}", "-jar", str(jar), "-local", "-nosamp",
               "-script", script]  # fmt: skip
    with window(screen, home, *command) as process:
        process.wait(240)
