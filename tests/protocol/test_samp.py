"""`spectrarium send` and its Python side on real hubs: that of pyvo, and that of Java."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from astropy.table import Table
from samp_desk import LOADS, Program, hub, javas_hub, until
from serve_client import HOSTILE, first_id

import spectrarium as sp
from spectrarium.api.sending import SPECTRA_MOST, Link
from spectrarium.cli.main import main
from spectrarium.domain.errors import TransientError, UsageError
from spectrarium.publish import samp_hub

TABLE, SPECTRUM, POINT = LOADS


@pytest.fixture(scope="module")
def desktop(tmp_path_factory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, hub(tmp_path_factory.mktemp("hub"), patch):
        yield


@pytest.fixture
def taker(desktop) -> Iterator[Program]:
    program = Program()
    yield program
    program.close()


def loaded(url: str) -> Table:
    """What a program reads at a file: address."""
    parts = urlsplit(url)
    assert parts.scheme == "file"
    return Table.read(unquote(parts.path), format="votable")


@dataclass
class Done:
    stdout: str
    stderr: str


@pytest.fixture
def send(capsys) -> Callable[..., Done]:
    """The command, in this process."""

    def run(*words: str, code: int = 0) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["send", *words])
        said = capsys.readouterr()
        assert ended.value.code == code, said.out + said.err
        return Done(said.out, said.err)

    return run


class Loader(Program):
    """Reads a table at once, while its file is there, as TOPCAT does."""

    tables: list[Table]

    def _take(self, key, sender, msg_id, mtype, params, extra) -> None:
        if "url" in params and msg_id is not None:
            self.tables = [*getattr(self, "tables", []), loaded(params["url"])]
        super()._take(key, sender, msg_id, mtype, params, extra)


def test_the_command_sends_a_table_that_others_can_read(desktop, site, send):
    program = Loader()
    try:
        done = send("-a", str(site.archive), "--where", "obs_collection = 'MOCK'", "--json")
        assert json.loads(done.stdout)[0] | {"what": ""} == {
            "what": "", "to": "Taker", "status": "ok", "text": ""}  # fmt: skip
        params = program.wait(TABLE)
        rows = site.store.find("obs_collection = 'MOCK'")
        assert list(program.tables[0]["obs_id"]) == (
            site.store.catalogue(rows, ["obs_id"]).column(0).to_pylist())  # fmt: skip
        assert params["name"] == f"{len(rows)} observations of archive"
        folder = Path(unquote(urlsplit(params["url"]).path)).parent
        assert not folder.exists()  # everybody had answered
        until(lambda: "Spectrarium" not in program.others().values())
    finally:
        program.close()


def test_the_command_sends_spectra_by_id(desktop, site, send):
    program = Loader()
    one = first_id(site)
    try:
        send(one, "ODD:o1", "-a", str(site.archive), "--to", "taker")
        first, second = program.of(SPECTRUM)
        assert np.array_equal(program.tables[0]["flux"], site.store.read(one).flux)
        assert first["meta"]["Access.Format"] == "application/x-votable+xml"
        assert first["meta"]["Access.Reference"] == first["url"]
        assert second["meta"]["Target.Name"] == HOSTILE
        send(one, "-a", str(site.archive), "--as", "position")
        record = site.store.catalogue([site.store.resolve(one)]).to_pylist()[0]
        assert float(program.wait(POINT)["ra"]) == record["s_ra"]
        send(one, "-a", str(site.archive), "--as", "samples")
        assert len(program.tables[-1]) == len(site.store.read(one).flux)
    finally:
        program.close()


def test_the_command_lists_who_is_there(taker, send):
    found = next(f for f in json.loads(send("--list", "--json").stdout) if f["name"] == "Taker")
    assert TABLE in found["takes"]
    assert "Taker" in send("--list").stdout


def test_a_refusal_and_a_silence_are_told(taker, site, send):
    taker.answer = {"samp.status": "samp.error", "samp.error": {"samp.errortxt": "Out of memory"}}
    words = ("-a", str(site.archive), "--where", "snr > 0")
    done = send(*words, code=4)
    assert "Out of memory" in done.stdout
    assert "not_taken" in done.stderr
    taker.silent = True
    done = send(*words, "--wait", "0.3", code=4)
    assert "no answer within 0.3 s" in done.stdout
    left = Path(unquote(urlsplit(taker.of(TABLE)[-1]["url"]).path))
    assert left.is_file()  # whoever is slow may still read it
    assert left.parent.stat().st_mode & 0o77 == 0  # but nobody else
    shutil.rmtree(left.parent)


def test_what_cannot_be_sent_is_refused(taker, site, send):
    words = ("-a", str(site.archive))
    assert "nothing_selected" in send(*words, code=2).stderr
    assert "nothing_selected" in send(*words, "--where", "snr > 1e9", code=2).stderr
    done = send(*words, "--where", "snr > 0", "--to", "Aladin", code=2)
    assert "no_samp_client" in done.stderr
    assert "Taker" in done.stderr  # who could have it
    assert "unknown_id" in send(*words, "nothing", code=2).stderr
    assert "ids_and_where" in send(*words, "x", "--where", "snr > 0", code=2).stderr
    archive = sp.open(site.archive)
    with pytest.raises(UsageError, match="too many") as caught:
        archive.send(where="snr > -1000", form="spectrum")
    assert str(SPECTRA_MOST) in caught.value.remedy
    with pytest.raises(UsageError, match="cannot be sent"):
        archive.send(first_id(site), form="picture")
    for wrong in ({"columns": ["snr"]}, {"file_format": "fits", "form": "samples"}):
        with pytest.raises(UsageError, match="columns are of a table"):
            archive.send(first_id(site), **wrong)
    with pytest.raises(UsageError, match="one of them has to choose"):
        archive.send(first_id(site), limit=3)
    with pytest.raises(UsageError, match="nothing was selected"):
        archive.send([])
    assert taker.heard == []


def test_python_sends_what_is_in_no_archive(taker, site):
    spectrum = site.store.read(first_id(site))
    (sent,) = sp.send(spectrum, wait_s=20)
    assert sent.taken
    assert taker.wait(SPECTRUM)["meta"]["Target.Name"] == spectrum.observation.target_name
    with Link() as link, pytest.raises(UsageError, match="belong to an archive"):
        link.send("x")
    with Link() as link, pytest.raises(UsageError, match="made of observations"):
        link.send(spectrum, form="table")


def test_rows_are_marked_both_ways(taker, site):
    archive = sp.open(site.archive)
    heard = []
    with archive.link() as link:
        link.on_highlight(lambda ids, who: heard.append((who, ids)))
        (sent,) = link.send(where="obs_collection = 'MOCK'", columns=["obs_id", "snr"], wait_s=20)
        assert sent.taken
        told = taker.wait(TABLE)
        table = loaded(told["url"])
        assert table.colnames == ["obs_id", "snr"]
        names = {"table_id": told["table-id"], "url": told["url"]}
        taker.tell("table.highlight.row", **names, row="5")
        until(lambda: heard)
        assert heard[0] == ("Taker", [f"MOCK:{table['obs_id'][5]}"])
        taker.tell("table.select.rowList", **names, row_list=["2", "0", "x", "99999"])
        until(lambda: len(heard) > 1)
        assert link.highlighted == [f"MOCK:{table['obs_id'][i]}" for i in (2, 0)]
        taker.tell("table.highlight.row", table_id="another", url="file:///x", row="5")
        link.highlight(str(table["obs_id"][7]))
        assert taker.wait("table.highlight.row")["row"] == "7"
        link.select([str(table["obs_id"][i]) for i in (9, 4)])
        assert taker.wait("table.select.rowList")["row-list"] == ["4", "9"]
        link.point(10.5, -3.25)
        assert taker.wait(POINT) == {"ra": "10.5", "dec": "-3.25"}
        with pytest.raises(UsageError, match="in no table"):
            link.highlight("ODD:o1")
        assert len(heard) == 2  # of another's table nothing


def test_the_command_follows(taker, site):
    command = [sys.executable, "-m", "spectrarium.cli.main", "send", "-a", str(site.archive),
               "--where", "obs_collection = 'MOCK'", "--follow", "--json"]  # fmt: skip
    # the tests themselves may have been started where Ctrl-C is ignored
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True, preexec_fn=heard) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            assert json.loads(process.stdout.readline())[0]["status"] == "ok"
            told = taker.wait(TABLE)
            rows = site.store.find("obs_collection = 'MOCK'")
            ids = site.store.catalogue(rows, ["obs_id"]).column(0).to_pylist()
            time.sleep(0.2)
            taker.tell("table.highlight.row", table_id=told["table-id"], url=told["url"], row="3")
            line = json.loads(process.stdout.readline())
            assert line == {"program": "Taker", "ids": [f"MOCK:{ids[3]}"]}
            process.stdin.write(f"{ids[8]}\n")
            process.stdin.flush()
            assert taker.wait("table.highlight.row")["row"] == "8"
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130


def test_without_a_hub_it_says_what_to_start(monkeypatch, tmp_path, site, send):
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{(tmp_path / 'none').as_uri()}")
    monkeypatch.setenv("HOME", str(tmp_path))
    done = send("-a", str(site.archive), "--where", "snr > 0", code=4)
    assert "no_samp_hub" in done.stderr
    assert "start TOPCAT or Aladin" in done.stderr
    (tmp_path / "none").write_text("samp.secret=x\nsamp.hub.xmlrpc.url=http://127.0.0.1:9/\n")
    with pytest.raises(TransientError, match="no SAMP hub"):
        sp.open(site.archive).link()


def test_without_pyvo_it_says_what_to_install(monkeypatch, site):
    def missing(name: str):
        raise ImportError(name)

    monkeypatch.setattr(samp_hub, "import_module", missing)
    with pytest.raises(UsageError, match=r"needs pyvo") as caught:
        sp.open(site.archive).send(where="snr > 0")
    assert "spectrarium[vo]" in caught.value.remedy


def test_a_hub_that_ends_is_noticed(monkeypatch, tmp_path, site):
    with hub(tmp_path, monkeypatch):
        link = sp.open(site.archive).link()
        assert link.alive
    assert not link.alive
    with pytest.raises(TransientError, match="does not answer"):
        link.clients()
    link.close()


def test_javas_hub_takes_us_for_one_of_its_own(monkeypatch, tmp_path, site):
    """JSAMP, which TOPCAT and Aladin have inside."""
    with javas_hub(tmp_path, monkeypatch, "-profiles", "std") as taker:
        with sp.open(site.archive).link() as link:
            assert "Other program" in [c.name for c in link.clients()]
            assert "Spectrarium" in taker.others().values()
            (sent,) = link.send(where="obs_collection = 'MOCK'", wait_s=20)
            assert sent.taken, sent
            told = taker.wait(TABLE)
            assert len(loaded(told["url"])) == len(site.store.find("obs_collection = 'MOCK'"))
            taker.tell("table.highlight.row", table_id=told["table-id"], url="", row="1")
            until(lambda: link.highlighted)
        until(lambda: "Spectrarium" not in taker.others().values())
