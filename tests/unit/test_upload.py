"""Strangers' files: read apart, hostile ones told, kept for a while and for their owner only."""

from __future__ import annotations

import gzip
import io
import pickle
import subprocess
import zipfile
from collections.abc import Iterator

import numpy as np
import pytest
from astropy.io import fits

from spectrarium.domain.axis import Medium
from spectrarium.domain.errors import InternalError, UsageError
from spectrarium.read.source import ReadOptions
from spectrarium.run import upload_reading
from spectrarium.run.upload import MOST_A_USER, Uploads, plain_name
from spectrarium.run.upload_reading import read_apart

TEXT = "\n".join(f"{4000 + i} {1 + 0.1 * (i % 7)}" for i in range(400)).encode()
IN_AA = ReadOptions(wave_unit="Angstrom", medium=Medium.AIR)


@pytest.fixture(scope="module", autouse=True)
def _ended() -> Iterator[None]:
    yield
    upload_reading.close()


def card(key: str, value: str) -> bytes:
    return f"{key:<8}= {value:>20}".ljust(80).encode()


def header(*cards: bytes) -> bytes:
    return b"".join([*cards, b"END".ljust(80)]).ljust(2880)


def table_fits(**cards: object) -> bytes:
    wave = np.linspace(4000.0, 5000.0, 300)
    columns = [fits.Column("WAVE", "D", unit="Angstrom", array=wave),
               fits.Column("FLUX", "E", array=np.ones(300, np.float32))]  # fmt: skip
    table = fits.BinTableHDU.from_columns(columns)
    first = fits.PrimaryHDU()
    for key, value in cards.items():
        first.header[key] = value
    out = io.BytesIO()
    fits.HDUList([first, table]).writeto(out)
    return out.getvalue()


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members.items():
            packed.writestr(name, data)
    return out.getvalue()


def test_a_good_file_gives_its_spectra_with_what_was_declared() -> None:
    found = read_apart("my star.txt", TEXT, IN_AA)
    assert not found.problems
    (one,) = found.spectra
    assert one.axis.medium is Medium.AIR
    assert one.flux.size == 400
    assert one.provenance.path == "my star.txt"


def test_text_in_header_cards_stays_text() -> None:
    hostile = "<script>alert(1)</script>"
    found = read_apart("x.fits", table_fits(OBJECT=hostile), ReadOptions())
    assert found.spectra[0].observation.target_name == hostile


def test_several_spectra_in_a_zip() -> None:
    found = read_apart("three.zip", zipped(a=TEXT, b=TEXT, c=b"nothing"), IN_AA)
    assert len(found.spectra) == 2
    assert [p["code"] for p in found.problems] == ["unknown_format"]
    assert {s.provenance.member for s in found.spectra} == {"a", "b"}
    assert "/tmp" not in str(found.problems)


HOSTILE = {
    "bomb.fits": (header(card("SIMPLE", "T"), card("BITPIX", "-64"), card("NAXIS", "1"),
                         card("NAXIS1", "9999999999999")), "truncated"),
    "negative.fits": (header(card("SIMPLE", "T"), card("BITPIX", "8"), card("NAXIS", "1"),
                             card("NAXIS1", "-5")), None),
    "cut.fits": (table_fits()[:4000], "truncated"),
    "entity.vot": (b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
                   b'<VOTABLE><RESOURCE><TABLE>&x;</TABLE></RESOURCE></VOTABLE>', "unsafe_xml"),
    "laughs.vot": (b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aaaaaaaaaa">'
                   b'<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><VOTABLE>&b;</VOTABLE>', "unsafe_xml"),
    "paths.txt": (b"/etc/passwd\n/etc/hostname\n", "unknown_format"),
    "page.html": (b"<!doctype html><html><body>no</body></html>", "html"),
    "noise.bin": (bytes(range(256)) * 40, "unknown_format"),
    "no-unit.txt": (TEXT, "no_wave_unit"),
    "bomb.gz": (gzip.compress(b"0" * 120_000_000), "bomb"),
    "bomb.zip": (zipped(big=b"0" * 150_000_000), "bomb"),
    "out.zip": (zipped(**{"../../evil.txt": TEXT}), "path_traversal"),
    "nested.zip": (zipped(inner=zipped(a=TEXT)), "nested_archive"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(500), None),
    "parquet": (b"PAR1" + bytes(200) + b"PAR1", None),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_files_are_told_and_hurt_nobody(name: str) -> None:
    data, code = HOSTILE[name]
    found = read_apart(name, data, ReadOptions())
    assert not found.spectra
    assert found.problems
    for problem in found.problems:
        assert set(problem) == {"code", "what", "where", "remedy"}
        assert "/tmp" not in problem["where"] + problem["what"]
    if code is not None:
        assert found.problems[0]["code"] == code


def test_a_reader_that_hangs_is_ended() -> None:
    found = read_apart("slow.txt", TEXT, IN_AA, time_s=0.0001)
    assert [p["code"] for p in found.problems] == ["hung"]
    assert read_apart("fine.txt", TEXT, IN_AA).spectra  # the next has a process of its own


def test_a_process_that_was_taken_over_cannot_go_on_here() -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return subprocess.check_output, (["true"],)

    with pytest.raises(InternalError, match="sent a subprocess"):
        upload_reading._Careful(io.BytesIO(pickle.dumps(Evil()))).load()


def test_uploads_are_their_owner_s_and_the_oldest_are_forgotten() -> None:
    now = [0.0]
    kept = Uploads(clock=lambda: now[0])
    first = kept.add("ann", "a.txt", TEXT, IN_AA)
    identifier = first.record()["spectra"][0]["id"]
    assert kept.spectrum("ann", identifier).flux.size == 400
    none = [("bob", identifier), ("ann", "upload:x:0")]
    none += [("ann", f"upload:{first.token}:{n}") for n in ("1", "²", "-1", "", "9" * 5000)]
    for who, what in none:
        with pytest.raises(UsageError) as told:
            kept.spectrum(who, what)
        assert told.value.code == "no_upload"
    more = [kept.add("ann", f"{i}.txt", TEXT, IN_AA) for i in range(MOST_A_USER)]
    with pytest.raises(UsageError):
        kept.spectrum("ann", identifier)
    now[0] = 3601.0
    with pytest.raises(UsageError):
        kept.spectrum("ann", f"upload:{more[-1].token}:0")


def test_what_cannot_be_read_is_not_kept_and_empty_files_are_refused() -> None:
    kept = Uploads()
    bad = kept.add("ann", "bad.bin", b"\x01\x02", ReadOptions())
    assert bad.record()["problems"]
    with pytest.raises(UsageError):
        kept.spectrum("ann", f"upload:{bad.token}:0")
    with pytest.raises(UsageError, match="0 bytes"):
        kept.add("ann", "nothing", b"", ReadOptions())
    good = kept.add("ann", "a.txt", TEXT, IN_AA)
    with pytest.raises(UsageError):
        kept.forget("bob", good.token)
    kept.forget("ann", good.token)
    with pytest.raises(UsageError):
        kept.forget("ann", good.token)


@pytest.mark.parametrize(("given", "told"), [
    ("../../etc/passwd", "passwd"), ("C:\\data\\x.fits", "x.fits"), ("a\x00\nb", "ab"),
    ("", "upload"), ("/", "upload"), ("é" * 300, "é" * 120),
])  # fmt: skip
def test_names_are_plain(given: str, told: str) -> None:
    assert plain_name(given) == told
