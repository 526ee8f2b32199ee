"""Ingest: any mixture of inputs in, every bad one in quarantine with its reason, nothing lost."""

from __future__ import annotations

import io
import os
import tarfile
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import spectrarium as sp
from spectrarium.domain.errors import DataError, TransientError, UsageError
from spectrarium.domain.progress import Silent

N = 120


def write_good(path: Path, i: int = 0, **header) -> Path:
    """A one-row table of array cells, as many archives deliver it."""
    rng = np.random.default_rng(i)
    columns = [
        fits.Column("WAVE", f"{N}D", unit="Angstrom", array=np.linspace(4000, 7000, N)[None]),
        fits.Column("FLUX", f"{N}E", unit="erg s-1 cm-2 Angstrom-1",
                    array=rng.normal(10, 1, N).astype("f4")[None]),
        fits.Column("ERR", f"{N}E", unit="erg s-1 cm-2 Angstrom-1",
                    array=np.full(N, 1, "f4")[None]),
    ]  # fmt: skip
    table = fits.BinTableHDU.from_columns(columns, name="SPECTRUM")
    table.header["TUCD1"], table.header["TUCD2"] = "em.wl", "phot.flux.density;em.wl"
    table.header["TUCD3"] = "stat.error;phot.flux.density;em.wl"
    head = fits.PrimaryHDU()
    values = {"OBSID": f"good-{i}", "INSTRUME": "TEST", "RA": 10.0 + i, "DEC": -5.0, "OBJECT": "x"}
    for key, value in (values | header).items():
        head.header[key] = value
    fits.HDUList([head, table]).writeto(path, overwrite=True, checksum=True)
    return path


def write_arrays(path: Path, wave, flux, err=None, name="ERR", unit="Angstrom") -> Path:
    """A row-a-pixel table of the given arrays."""
    columns = [fits.Column("WAVE", "D", unit=unit, array=wave),
               fits.Column("FLUX", "E", unit="Jy", array=flux)]  # fmt: skip
    if err is not None:
        columns.append(fits.Column(name, "E", array=err))
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(path)
    return path


WAVE = np.linspace(5000, 6000, N)
ONES = np.ones(N, "f4")


def at(array, index, value):
    out = np.array(array, copy=True)
    out[index] = value
    return out


def bad_files(folder: Path) -> dict[str, str]:
    """Bad inputs by file name → the code they must be quarantined with."""
    good = write_good(folder / "tmp.fits", 99).read_bytes()
    (folder / "tmp.fits").unlink()
    flipped = bytearray(good)
    flipped[-2880 + 100] ^= 0xFF
    raw = {
        "truncated.fits": (good[: len(good) - 4000], "truncated"),
        "checksum.fits": (bytes(flipped), "wrong_checksum"),
        "zero.fits": (b"", "empty_file"),
        "page.fits": (b"<!DOCTYPE html><html><body>404 not found</body></html>", "html"),
        "noise.bin": (bytes(range(256)) * 40, "unknown_format"),
    }
    codes = {}
    for name, (data, code) in raw.items():
        (folder / name).write_bytes(data)
        codes[name] = code
    arrays = {
        "not_monotonic": (at(WAVE, 50, 5000.5), ONES, ONES, "ERR", "Angstrom"),
        "duplicate_wavelength": (at(WAVE, 50, WAVE[49]), ONES, ONES, "ERR", "Angstrom"),
        "no_flux": (WAVE, np.full(N, np.nan, "f4"), ONES, "ERR", "Angstrom"),
        "no_wave_unit": (WAVE, ONES, ONES, "ERR", "kg"),
        "bad_uncertainty": (WAVE, ONES, at(ONES, 3, -2), "IVAR", "Angstrom"),
        "too_few_pixels": (WAVE, at(np.full(N, np.nan, "f4"), slice(0, 9), 1), ONES, "ERR",
                           "Angstrom"),
    }  # fmt: skip
    for code, (wave, flux, err, name, unit) in arrays.items():
        write_arrays(folder / f"{code}.fits", wave, flux, err, name, unit)
        codes[f"{code}.fits"] = code
    write_arrays(folder / "inf_ivar.fits", WAVE, ONES, at(ONES, 3, np.inf), "IVAR")
    codes["inf_ivar.fits"] = "bad_uncertainty"
    return codes


def ids(archive) -> list[str]:
    return sorted(archive.find(columns=["obs_id"]).column(0).to_pylist())


def test_bad_files_are_quarantined_with_their_reason_and_the_rest_goes_on(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    codes = bad_files(folder)
    for i in range(5):
        write_good(folder / f"good{i}.fits", i)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    archive = sp.open(tmp_path / "a")
    report = archive.ingest([folder])
    assert report.stored == 5
    assert ids(archive) == [f"good-{i}" for i in range(5)]
    found = {Path(q["path"]).name: q for q in archive.quarantine()}
    assert {name: q["code"] for name, q in found.items()} == codes
    assert all(q["reason"] and q["remedy"] for q in found.values())
    assert archive.status()["quarantined"] == len(codes)
    assert archive.status()["files_stored"] == 5
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before, "inputs were touched"
    again = archive.ingest([folder])
    assert (again.stored, again.skipped, again.quarantined) == (0, 5, len(codes))
    assert len(archive.quarantine()) == len(codes), "a receipt replaces the earlier one"


def test_a_mended_file_leaves_the_quarantine(tmp_path):
    path = tmp_path / "x.fits"
    path.write_bytes(b"")
    archive = sp.open(tmp_path / "a")
    archive.ingest([path])
    assert len(archive.quarantine()) == 1
    write_good(path, 3)
    archive.ingest([path])
    assert archive.quarantine() == []
    assert ids(archive) == ["good-3"]


def test_workers_give_what_one_process_gives(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    codes = bad_files(folder)
    for i in range(70):
        write_good(folder / f"g{i}.fits", i)
    one, two = sp.open(tmp_path / "one"), sp.open(tmp_path / "two")
    one.ingest([folder], workers=0)
    two.ingest([folder], workers=2)
    assert ids(one) == ids(two)
    assert len(two.quarantine()) == len(codes)
    for name in ids(one):
        assert one.read(name).flux.tobytes() == two.read(name).flux.tobytes()


def test_identity_joins_formats_and_places(tmp_path):
    first = write_good(tmp_path / "x.fits", 7)
    (tmp_path / "sub").mkdir()
    copy = tmp_path / "sub" / "renamed.dat"
    copy.write_bytes(first.read_bytes())
    archive = sp.open(tmp_path / "a")
    report = archive.ingest([first, copy])
    assert (report.stored, len(archive)) == (1, 1)
    write_good(first, 7, OBJECT="renamed star")
    archive.ingest([first])
    assert len(archive) == 1
    assert archive.record("good-7")["obs_version"] == 2
    assert archive.record("good-7")["target_name"] == "renamed star"


def test_folders_globs_lists_zips_tars_and_missing_paths(tmp_path):
    for i in range(8):
        write_good(tmp_path / f"g{i}.fits", i)
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as packed:
        packed.write(tmp_path / "g0.fits", "deep/g0.fits")
        packed.write(tmp_path / "g1.fits", "g1.fits")
    with tarfile.open(tmp_path / "t.tar.gz", "w:gz") as packed:
        packed.add(tmp_path / "g2.fits", "g2.fits")
        packed.add(tmp_path / "g3.fits", "d/g3.fits")
    (tmp_path / "list.txt").write_text("# a comment\ng4.fits\n" + str(tmp_path / "g5.fits") + "\n")
    archive = sp.open(tmp_path / "a")
    archive.ingest([tmp_path / "z.zip", tmp_path / "t.tar.gz", tmp_path / "list.txt"])
    assert ids(archive) == [f"good-{i}" for i in range(6)]
    assert archive.record("good-0")["access_member"] == "deep/g0.fits"
    archive.ingest([str(tmp_path / "g[67].fits")])
    assert ids(archive) == [f"good-{i}" for i in range(8)]
    version = archive.store.version
    for missing in ("nowhere.fits", str(tmp_path / "q*.fits")):
        with pytest.raises(UsageError) as caught:
            archive.ingest([tmp_path / "g0.fits", missing])
        assert caught.value.code == "no_such_path"
    assert archive.refresh().store.version == version


def test_hostile_archive_files(tmp_path):
    good = write_good(tmp_path / "g.fits", 1).read_bytes()
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("../../escape.fits", good)
        packed.writestr("/absolute.fits", good)
        packed.writestr("bomb.fits", b"\0" * (200 * 2**20))
        packed.writestr("inner.zip", b"PK\x03\x04" + bytes(100))
        packed.writestr("fine.fits", good)
    with tarfile.open(tmp_path / "t.tar", "w") as packed:
        link = tarfile.TarInfo("link.fits")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        packed.addfile(link)
        up = tarfile.TarInfo("../up.fits")
        up.size = len(good)
        packed.addfile(up, io.BytesIO(good))
    (tmp_path / "cut.tar").write_bytes((tmp_path / "t.tar").read_bytes()[:1500])
    archive = sp.open(tmp_path / "a")
    archive.ingest([tmp_path / "z.zip", tmp_path / "t.tar", tmp_path / "cut.tar"])
    codes = {(Path(q["path"]).name, q["member"]): q["code"] for q in archive.quarantine()}
    assert codes[("z.zip", "../../escape.fits")] == "path_traversal"
    assert codes[("z.zip", "/absolute.fits")] == "path_traversal"
    assert codes[("z.zip", "bomb.fits")] == "bomb"
    assert codes[("z.zip", "inner.zip")] == "nested_archive"
    assert codes[("t.tar", "link.fits")] == "not_a_file"
    assert codes[("t.tar", "../up.fits")] == "path_traversal"
    assert ids(archive) == ["good-1"]
    assert not (tmp_path.parent / "escape.fits").exists()


def test_gzip_bomb(tmp_path):
    import gzip

    (tmp_path / "b.fits.gz").write_bytes(gzip.compress(b"SIMPLE  =" + bytes(300 * 2**20), 9))
    archive = sp.open(tmp_path / "a")
    archive.ingest([tmp_path / "b.fits.gz"])
    assert [q["code"] for q in archive.quarantine()] == ["bomb"]


def test_a_file_that_vanishes_or_cannot_be_read(tmp_path):
    (tmp_path / "in").mkdir()
    write_good(tmp_path / "in" / "g.fits", 1)
    os.symlink(tmp_path / "gone.fits", tmp_path / "in" / "dangling.fits")
    os.mkfifo(tmp_path / "fifo")
    archive = sp.open(tmp_path / "a")
    archive.ingest([tmp_path / "in"])
    assert [q["code"] for q in archive.quarantine()] == ["vanished"]
    if os.geteuid() != 0:
        (tmp_path / "in" / "secret.fits").write_bytes(b"x")
        (tmp_path / "in" / "secret.fits").chmod(0)
        archive.ingest([tmp_path / "in"])
        assert "unreadable" in {q["code"] for q in archive.quarantine()}
    assert ids(archive) == ["good-1"]


class Flaky(SimpleHTTPRequestHandler):
    """Serves a folder on loopback; fails once for paths with 'flaky'."""

    failed: set[str] = set()  # noqa: RUF012

    def do_GET(self):
        if "flaky" in self.path and self.path not in self.failed:
            self.failed.add(self.path)
            self.send_error(503)
            return
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path):
    (tmp_path / "www").mkdir()
    handler = partial(Flaky, directory=str(tmp_path / "www"))
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}", tmp_path / "www"
    httpd.shutdown()
    thread.join(5)


def test_urls_and_lists_of_urls(tmp_path, server):
    base, www = server
    for i in range(3):
        write_good(www / f"g{i}.fits", i)
    write_good(www / "flaky.fits", 8)
    (www / "page.fits").write_text("<html>login</html>")
    (tmp_path / "urls.txt").write_text(f"{base}/g1.fits\n{base}/g2.fits\n{base}/missing.fits\n")
    archive = sp.open(tmp_path / "a")
    archive.ingest([f"{base}/g0.fits", f"{base}/flaky.fits", f"{base}/page.fits",
                    tmp_path / "urls.txt"])  # fmt: skip
    assert ids(archive) == ["good-0", "good-1", "good-2", "good-8"]
    assert {q["path"].rsplit("/", 1)[1]: q["code"] for q in archive.quarantine()} == {
        "page.fits": "html", "missing.fits": "download_failed"}  # fmt: skip
    assert archive.record("good-1")["access_path"] == f"{base}/g1.fits"


class StopAfter(Silent):
    """Cancels after some files."""

    def __init__(self, files):
        self.left = files

    def advance(self, steps=1):
        self.left -= steps

    def cancelled(self):
        return self.left <= 0


def test_a_cancelled_ingest_keeps_what_it_committed_and_goes_on(tmp_path, monkeypatch):
    import spectrarium.run.ingest as module

    monkeypatch.setattr(module, "chunks", partial(module.chunks, max_files=5))
    (tmp_path / "in").mkdir()
    for i in range(30):
        write_good(tmp_path / "in" / f"g{i:02}.fits", i)
    archive = sp.open(tmp_path / "a")
    first = archive.ingest([tmp_path / "in"], workers=0, progress=StopAfter(12))
    assert first.cancelled
    assert 0 < len(archive) < 30
    second = archive.ingest([tmp_path / "in"], workers=0)
    assert second.skipped == first.files
    assert len(archive) == 30


def test_spectra_from_memory_and_missing_coordinates(tmp_path):
    (spectrum,) = sp.read_spectra(write_good(tmp_path / "g.fits", 4, RA=None, DEC=None))
    archive = sp.open(tmp_path / "a")
    archive.ingest([spectrum])
    record = archive.record("good-4")
    assert record["s_ra"] is None
    assert "no coordinates" in record["warnings"]
    assert archive.find(cone=(0, 0, 180)).num_rows == 0


def test_pixels_at_or_below_zero_wavelength_are_flagged_not_fatal(tmp_path):
    wave = WAVE.copy()
    wave[:5] = [0, 0, 0, -1, 0]
    write_arrays(tmp_path / "pad.fits", wave, ONES, ONES)
    archive = sp.open(tmp_path / "a")
    archive.ingest([tmp_path / "pad.fits"])
    assert archive.quarantine() == []
    (name,) = ids(archive)
    assert archive.read(name).mask[:5].all()
    assert archive.record(name)["n_good"] == N - 5


def test_a_worker_killed_by_one_file_costs_that_file_only(tmp_path, monkeypatch):
    """A reader that takes its process down: the file is named, the others are stored."""
    (tmp_path / "in").mkdir()
    for i in range(6):
        write_good(tmp_path / "in" / f"g{i}.fits", i)
    write_good(tmp_path / "in" / "g9killer.fits", 9, OBJECT="KILL-ME")
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import os\n"
        "def arm():\n"
        "    import spectrarium.run.reading as r\n"
        "    real = r.recognise\n"
        "    def recognise(s):\n"
        "        if b'KILL-ME' in bytes(s.data[:5760]): os._exit(9)\n"
        "        return real(s)\n"
        "    r.recognise = recognise\n"
        "import sys, threading\n"
        "if os.environ.get('ARM'):\n"
        "    import builtins\n"
        "    real_import = builtins.__import__\n"
        "    def hook(name, *a, **k):\n"
        "        m = real_import(name, *a, **k)\n"
        "        if 'spectrarium.run.reading' in sys.modules and not getattr(builtins, 'armed', 0)"
        " and hasattr(sys.modules['spectrarium.run.reading'], 'crashed'):\n"
        "            builtins.armed = 1; arm()\n"
        "        return m\n"
        "    builtins.__import__ = hook\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("ARM", "1")
    archive = sp.open(tmp_path / "a")
    archive.ingest([tmp_path / "in"], workers=1)
    assert ids(archive) == [f"good-{i}" for i in range(6)]
    (q,) = archive.quarantine()
    assert q["code"] == "reader_crashed"
    assert q["path"].endswith("g9killer.fits")


def test_a_directory_and_a_file_where_the_archive_should_be(tmp_path):
    file = write_good(tmp_path / "g.fits", 1)
    with pytest.raises(UsageError):
        sp.open(file).ingest([file])
    with pytest.raises(UsageError):
        sp.open(tmp_path / "nothing").status()
    (tmp_path / "d.fits").mkdir()
    with pytest.raises(DataError) as caught:
        sp.read_spectra(tmp_path / "d.fits")
    assert caught.value.code == "is_directory"


def test_another_writer_is_a_transient_error(tmp_path):
    from filelock import FileLock

    root = tmp_path / "a"
    sp.open(root).ingest([write_good(tmp_path / "g.fits", 1)])
    with FileLock(root / "writer.lock"), pytest.raises(TransientError) as caught:
        sp.open(root).ingest([write_good(tmp_path / "h.fits", 2)], wait_s=0.2)
    assert caught.value.code == "locked"
