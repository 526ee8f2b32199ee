"""Ingest and questions under hard use: odd names, late declarations, damaged packs, the web."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from test_ingest import ids, write_good

import spectrarium as sp
from spectrarium.domain.axis import SpectralAxis
from spectrarium.domain.errors import TransientError, UsageError
from spectrarium.domain.observation import Observation, Provenance
from spectrarium.domain.spectrum import Spectrum, UncertaintyKind
from spectrarium.read.source import ReadOptions
from spectrarium.run.inputs import expand
from spectrarium.run.sources import sources


@pytest.fixture
def archive(tmp_path):
    return sp.open(tmp_path / "a")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def codes(archive):
    return [(Path(q["path"]).name, q["member"], q["code"]) for q in archive.quarantine()]


# what is found ---------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ['{"a": ' + "1" * 5000 + "}", ",".join(map(str, range(999)))])
def test_a_long_line_is_no_list_of_paths(tmp_path, archive, text):
    (tmp_path / "x.txt").write_text(text)
    archive.ingest([tmp_path / "x.txt"])
    assert len(archive.quarantine()) == 1


def test_lists_with_long_lines_and_bytes_that_are_no_text(tmp_path, archive):
    good = write_good(tmp_path / "g.fits", 1)
    other = os.fsencode(tmp_path) + b"/\xe9.fits"
    write_good(tmp_path / "h.fits", 2)
    os.rename(tmp_path / "h.fits", other)
    lines = [os.fsencode(good), other, os.fsencode(good), b"x" * 5000]
    (tmp_path / "list").write_bytes(b"\n".join(lines) + b"\n")
    archive.ingest([tmp_path / "list"])
    assert ids(archive) == ["good-1", "good-2"]
    assert [q["code"] for q in archive.quarantine()] in (["vanished"], ["unreadable"])


def test_a_list_longer_than_its_probe(tmp_path, archive):
    write_good(tmp_path / "gé.fits", 1)
    (tmp_path / "list").write_text("gé.fits\n" * 10_000)
    found = list(expand([tmp_path / "list"]))
    assert len(found) == 10_000
    assert {Path(f.path).name for f in found} == {"gé.fits"}


def test_file_names_that_are_no_utf8(archive, folder):
    write_good(folder / "g.fits", 1)
    os.rename(folder / "g.fits", os.fsencode(folder) + b"/\xff.fits")
    (folder / "bad").write_bytes(b"")
    os.rename(folder / "bad", os.fsencode(folder) + b"/\xfe.fits")
    assert archive.ingest([folder]).stored == 1
    assert archive.record("good-1")["access_path"].endswith("\\xff.fits")
    assert codes(archive) == [("\\xfe.fits", None, "empty_file")]
    assert archive.ingest([folder]).skipped == 1
    archive.store.verify()


def test_links_to_folders_are_followed_once(tmp_path, archive, folder):
    (tmp_path / "disk2").mkdir()
    write_good(tmp_path / "disk2" / "g.fits", 1)
    (folder / "deep").mkdir()
    os.symlink(tmp_path / "disk2", folder / "deep" / "link")
    os.symlink(folder, folder / "deep" / "loop")
    report = archive.ingest([folder])
    assert (report.files, report.stored) == (1, 1)


def test_a_folder_that_cannot_be_read_is_in_the_quarantine(archive, folder, monkeypatch):
    (folder / "secret").mkdir()
    write_good(folder / "g.fits", 1)
    real_scan, real_open = os.scandir, open

    def scan(path):
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", str(path))
        return real_scan(path)

    def refuse(path, *args, **kwargs):
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", str(path))
        return real_open(path, *args, **kwargs)

    monkeypatch.setattr(os, "scandir", scan)
    monkeypatch.setattr("builtins.open", refuse)
    archive.ingest([folder])
    assert ids(archive) == ["good-1"]
    assert codes(archive) == [("secret", None, "unreadable")]


def test_a_pipe_in_a_folder_does_not_stop_the_ingest(archive, folder):
    os.mkfifo(folder / "pipe")
    write_good(folder / "g.fits", 1)
    archive.ingest([folder])
    assert ids(archive) == ["good-1"]
    assert codes(archive) == [("pipe", None, "not_a_file")]


# what the user says ----------------------------------------------------------------------------


def test_a_later_declaration_is_heeded_and_silence_takes_nothing_back(archive, folder):
    write_good(folder / "g.fits", 1)
    archive.ingest([folder])
    report = archive.ingest([folder], collection="MINE")
    assert (report.skipped, report.stored) == (0, 1)
    assert archive.read("MINE:good-1").observation.obs_collection == "MINE"
    assert archive.ingest([folder], collection="MINE").skipped == 1
    assert archive.ingest([folder]).skipped == 1


def test_reread_reads_again(archive, folder):
    path = write_good(folder / "g.fits", 1)
    archive.ingest([folder])
    before = path.stat()
    write_good(path, 1, OBJECT="y")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert archive.ingest([folder]).skipped == 1
    report = archive.ingest([folder], reread=True)
    assert (report.skipped, report.stored) == (0, 1)
    assert archive.record("good-1")["target_name"] == "y"


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unknown_reader_blames_no_file(tmp_path, archive, folder, workers):
    write_good(folder / "g.fits", 1)
    with pytest.raises(UsageError, match="nosuch"):
        archive.ingest([folder], reader="nosuch", workers=workers)
    assert not (tmp_path / "a").exists()


def test_a_negative_number_of_workers_is_refused(archive, folder):
    write_good(folder / "g.fits", 1)
    with pytest.raises(UsageError) as caught:
        archive.ingest([folder], workers=-2)
    assert caught.value.code == "bad_workers"


# zips and tars ---------------------------------------------------------------------------------


def packed(kind, data):
    out = io.BytesIO()
    if kind.startswith("w"):
        with tarfile.open(fileobj=out, mode=kind) as pack:
            for name in ("a.fits", "b.fits"):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                pack.addfile(info, io.BytesIO(data))
    else:
        with zipfile.ZipFile(out, "w", getattr(zipfile, kind)) as pack:
            pack.writestr("a.fits", data)
            pack.writestr("é.fits", data)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["ZIP_STORED", "ZIP_DEFLATED", "ZIP_BZIP2", "ZIP_LZMA", "w",
                                  "w:gz", "w:bz2", "w:xz"])  # fmt: skip
def test_damaged_packs_never_raise(tmp_path, kind):
    rng = random.Random(kind)
    whole = packed(kind, rng.randbytes(3000))
    path = tmp_path / "x.bin"
    for _ in range(120):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 1, 2, 8])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data[: rng.randrange(len(data))] if rng.random() < 0.2 else data)
        for file in expand([path]):
            assert all(len(found) == 2 for found in sources(file, ReadOptions()))


def test_a_mended_zip_leaves_the_quarantine(tmp_path, archive):
    good = write_good(tmp_path / "g.fits", 1)
    path = tmp_path / "z.zip"
    path.write_bytes(b"PK\x03\x04 cut off")
    archive.ingest([path])
    assert len(codes(archive)) == 1
    with zipfile.ZipFile(path, "w") as pack:
        pack.write(good, "g.fits")
        pack.writestr("bad.fits", "<html>")
    archive.ingest([path])
    assert codes(archive) == [("z.zip", "bad.fits", "html")]
    time.sleep(0.01)
    with zipfile.ZipFile(path, "w") as pack:
        pack.write(good, "g.fits")
    archive.ingest([path])
    assert codes(archive) == []
    assert archive.status()["files_stored"] == 1


def test_a_zip_of_many_members_is_whole(tmp_path, archive):
    good = write_good(tmp_path / "g.fits", 1).read_bytes()
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as pack:
        for i in range(700):
            pack.writestr(f"{i}.fits", good if i == 699 else b"")
    archive.ingest([tmp_path / "z.zip"])
    assert ids(archive) == ["good-1"]
    assert len(archive.quarantine()) == 699


# nothing lost ----------------------------------------------------------------------------------


def spectrum(name, value, path="/many.fits", row=None):
    return Spectrum(
        axis=SpectralAxis(unit="Angstrom", values=np.linspace(4000.0, 5000, 50)),
        flux=np.full(50, value), observation=Observation(obs_collection="C", obs_id=name),
        provenance=Provenance(path=path, reader="test", row=row),
    )  # fmt: skip


@pytest.mark.parametrize("rows", [(0, 1, 2), (None, None, None)])
def test_one_identifier_for_several_spectra_of_a_file(tmp_path, archive, monkeypatch, rows):
    import spectrarium.run.reading as module

    path = write_good(tmp_path / "many.fits", 1)
    items = [spectrum("same", float(i + 1), str(path), r) for i, r in enumerate(rows)]
    monkeypatch.setattr(module, "read_source", lambda *_: iter([*items, items[0]]))
    assert archive.ingest([path], workers=0).stored == 3
    values = sorted(archive.read(name).flux[0] for name in ids(archive))
    assert values == [1.0, 2.0, 3.0]
    assert archive.read("same").flux[0] == 1.0
    assert archive.ingest([path], workers=0, reread=True).stored == 0
    assert archive.status()["superseded"] == 0


def test_a_full_disk_is_no_fault_of_the_file(tmp_path, archive, monkeypatch):
    import spectrarium.run.reading as reading

    archive.ingest([write_good(tmp_path / "first.fits", 9)])

    def full(*_):
        raise TransientError("the disk is full", code="disk_full")

    monkeypatch.setattr(reading, "FLUSH_BYTES", 10)
    monkeypatch.setattr(reading.BatchBuilder, "build", full)
    with pytest.raises(TransientError) as caught:
        archive.ingest([write_good(tmp_path / "g.fits", 1)], workers=0)
    assert caught.value.code == "disk_full"
    monkeypatch.undo()
    assert archive.refresh().quarantine() == []
    archive.ingest([tmp_path / "g.fits"])
    assert ids(archive) == ["good-1", "good-9"]


# the web ---------------------------------------------------------------------------------------


class Web(BaseHTTPRequestHandler):
    """Redirects to where the path says, or serves a spectrum and counts."""

    body = b""
    served = 0

    def do_GET(self):
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path[4:].replace("!", "/"))
            self.end_headers()
            return
        type(self).served += 1
        self.send_response(200)
        if "chunked" in self.path:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for at in range(0, len(self.body), 4096):
                part = self.body[at : at + 4096]
                self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            self.wfile.write(b"" if "cut" in self.path else b"0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_):
        pass


@pytest.fixture
def web(tmp_path):
    Web.body, Web.served = write_good(tmp_path / "served.fits", 5).read_bytes(), 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.mark.parametrize("target", ["file:!!!etc!passwd", "ftp:!!127.0.0.1!x", "data:,x"])
def test_redirects_leave_the_web_only_by_error(tmp_path, archive, web, target):
    archive.ingest([f"{web}/to/{target}"])
    assert [q["code"] for q in archive.quarantine()] == ["download_failed"]
    assert len(archive) == 0


def test_redirects_within_the_web_are_followed(archive, web):
    archive.ingest([f"{web}/to/!x.fits"])
    assert ids(archive) == ["good-5"]


def test_an_address_is_fetched_once(archive, web):
    archive.ingest([f"{web}/x.fits"])
    assert archive.ingest([f"{web}/x.fits"]).skipped == 1
    assert Web.served == 1
    archive.ingest([f"{web}/x.fits"], reread=True)
    assert Web.served == 2


def test_bodies_without_a_length_and_bodies_cut_off(archive, web):
    archive.ingest([f"{web}/chunked.fits", f"{web}/chunked-cut.fits"])
    assert ids(archive) == ["good-5"]
    assert [(q["path"].rsplit("/")[-1], q["code"]) for q in archive.quarantine()] == [
        ("chunked-cut.fits", "download_failed")]  # fmt: skip


def test_large_bodies_do_not_stay_in_memory_and_endless_ones_end(archive, web, monkeypatch):
    import mmap

    import spectrarium.run.sources as module

    Web.body = bytes(2**24 + 2**20)
    (file,) = expand([f"{web}/big"])
    ((_, source),) = sources(file, ReadOptions())
    assert isinstance(source.data, mmap.mmap)
    assert len(source.data) == len(Web.body)
    monkeypatch.setattr(module, "MEMBER_BYTES", 2**20)
    archive.ingest([f"{web}/big"])
    assert [q["code"] for q in archive.quarantine()] == ["too_large"]


# questions and the command line ----------------------------------------------------------------


def test_outliers_are_answered_while_another_writer_works(archive, monkeypatch):
    from filelock import FileLock

    import spectrarium.run.outliers as asking

    monkeypatch.setattr(asking, "KEEP_WAIT_S", 0.1)
    archive.ingest([star(i) for i in range(40)])
    archive.embed("pca", components=3)
    with FileLock(archive.path / "writer.lock"):
        found = archive.outliers("reconstruction", k=3)
    assert len(found.answers) == 3
    assert archive.status()["scores"] == []
    archive.outliers("reconstruction", k=3)
    assert len(archive.status()["scores"]) == 1


def star(i):
    """One of many alike, with noise of its own."""
    rng = np.random.default_rng(i)
    wave = np.linspace(4000.0, 5000, 400)
    flux = 10 + np.sin(wave / 50) + i / 20 * np.exp(-(((wave - 4500) / 20) ** 2))
    return Spectrum(
        axis=SpectralAxis(unit="Angstrom", values=wave), flux=flux + rng.normal(0, 0.1, 400),
        uncertainty=np.full(400, 0.1), uncertainty_kind=UncertaintyKind.STD, flux_unit="Jy",
        observation=Observation(obs_collection="C", obs_id=f"s{i}", target_name="Å Ω"),
        provenance=Provenance(path="/s", reader="test"),
    )  # fmt: skip


def command(*words, **environment):
    """The program itself: (exit code, standard output, standard error)."""
    done = subprocess.run(
        [sys.executable, "-m", "spectrarium.cli.main", *map(str, words)], capture_output=True,
        env={**os.environ, **environment}, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_the_command_line_at_its_edges(archive):
    archive.ingest([star(i) for i in range(120)])
    code, out, _ = command("find", "-a", archive.path, PYTHONIOENCODING="ascii")
    assert code == 0
    assert b"s1" in out
    code, out, _ = command("find", "-a", archive.path, "--json", PYTHONIOENCODING="latin-1")
    records = json.loads(out)
    assert (code, len(records), records[0]["target_name"]) == (0, 120, "Å Ω")
    code, _, err = command("find", "--nosuch", "--json")
    assert code == 2
    assert json.loads(err)["code"] == "bad_command_line"
    code, _, err = command("find", "--json", SPECTRARIUM_WAIT_S="soon", SPECTRARIUM_WORKERS="x")
    assert code == 2
    assert json.loads(err)["code"] == "bad_setting"
    assert json.loads(err)["where"].startswith("SPECTRARIUM_W")
