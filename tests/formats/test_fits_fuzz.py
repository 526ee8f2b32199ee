"""Damaged FITS files: nothing but DataError, never slow, never more memory than they merit."""

from __future__ import annotations

import io
import time
import tracemalloc
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from fuzzing import check_outcome, mutations, read_with

from spectrarium.domain.errors import DataError
from spectrarium.read import lamost, sdss
from spectrarium.read.fits import FitsFile
from spectrarium.read.source import SourceFile

PEAK_BYTES = 200 * 2**20
READ = read_with(*sdss.READERS, *lamost.READERS)


def everything(data: bytes) -> int:
    """Reads all that a file offers; the number of values."""
    count = 0
    for hdu in SourceFile("fuzzed", data).fits:
        hdu.verify()
        count += len(list(hdu.header.keys())) + len(hdu.name)
        if hdu.kind in ("image", "compressed"):
            count += hdu.image().size
            if hdu.shape and hdu.shape[0]:
                count += hdu.image_row(0).size
        for name in hdu.columns:
            count += hdu.column(name).size
            if hdu.n_rows:
                hdu.scalar(name, hdu.n_rows - 1)
            hdu.unit(name)
    return count


def mixed_file() -> bytes:
    """All kinds of HDU and column in 30 kB."""
    rng = np.random.default_rng(7)
    cells = np.array([np.arange(n) for n in (3, 0, 5, 1)], dtype=object)
    table = fits.BinTableHDU.from_columns([
        fits.Column("E", "5E", array=rng.normal(size=(4, 5)), unit="Angstrom"),
        fits.Column("I", "I", array=[1, -2, 3, 4], null=-2),
        fits.Column("U", "J", bzero=2**31, array=np.array([1, 2, 3, 4], dtype="u4")),
        fits.Column("A", "6A", array=["ab", "", "xyz", "q"]),
        fits.Column("M", "6D", dim="(3,2)", array=rng.normal(size=(4, 2, 3))),
        fits.Column("X", "13X", array=rng.random((4, 13)) > 0.5),
        fits.Column("L", "L", array=[True, False, True, True]),
        fits.Column("P", "PD()", array=cells), fits.Column("Q", "QI()", array=cells),
        fits.Column("C", "C", array=np.ones(4, dtype="c8")),
    ])  # fmt: skip
    plain = fits.TableHDU.from_columns([
        fits.Column("n", "I6", array=np.arange(4), ascii=True),
        fits.Column("x", "E15.7", array=rng.normal(size=4), ascii=True),
        fits.Column("s", "A4", array=["a", "b", "c", "d"], ascii=True),
    ])  # fmt: skip
    image = fits.ImageHDU(rng.integers(0, 99, (6, 7), dtype="i2"))
    image.header["BLANK"] = -1
    out = io.BytesIO()
    fits.HDUList([
        fits.PrimaryHDU(np.arange(24, dtype="f4").reshape(2, 3, 4)), table, plain, image,
        fits.CompImageHDU(rng.integers(0, 9, (20, 30), dtype="i4")),
    ]).writeto(out)  # fmt: skip
    return out.getvalue()


def spec_lite(checksum: bool = False) -> bytes:
    """A small SDSS spec-lite file to the published layout."""
    n = 60
    rng = np.random.default_rng(5)
    primary = fits.PrimaryHDU()
    for key, value in (
        ("TELESCOP", "SDSS 2.5-M"),
        ("PLATEID", 266),
        ("MJD", 51602),
        ("FIBERID", 31),
        ("PLUG_RA", 147.32),
        ("PLUG_DEC", -0.0066),
        ("COEFF0", 3.5797),
        ("COEFF1", 1e-4),
        ("BUNIT", "1E-17 erg/cm^2/s/Ang"),
    ):
        primary.header[key] = (value, "as the pipeline writes it")  # fmt: skip
    primary.header["COMMENT"] = "nothing that a reader would miss"
    forms = {"flux": "E", "loglam": "E", "ivar": "E", "and_mask": "J", "or_mask": "J",
             "wdisp": "E", "sky": "E", "model": "E"}  # fmt: skip
    values: dict[str, Any] = {name: np.ones(n) for name in forms}
    values |= {"flux": rng.normal(5, 1, n), "loglam": 3.5797 + 1e-4 * np.arange(n)}
    values["and_mask"] = np.where(np.arange(n) % 9 == 0, 1 << 23, 0)
    coadd = fits.BinTableHDU.from_columns(
        [fits.Column(name, form, array=values[name]) for name, form in forms.items()], name="COADD"
    )
    labels = fits.BinTableHDU.from_columns([
        fits.Column("CLASS", "6A", array=["STAR"]), fits.Column("Z", "E", array=[1e-4]),
        fits.Column("SN_MEDIAN_ALL", "E", array=[7.3]),
    ], name="SPECOBJ")  # fmt: skip
    out = io.BytesIO()
    fits.HDUList([primary, coadd, labels]).writeto(out, checksum=checksum)
    return out.getvalue()


def lamost_image() -> bytes:
    """A small LAMOST file of the old layout."""
    n = 80
    rows = np.zeros((5, n), dtype="f4")
    rows[0] = np.random.default_rng(2).normal(100, 5, n)
    rows[1] = 0.04
    rows[2] = 10 ** (3.5682 + 1e-4 * np.arange(n))
    rows[4, ::9] = 64
    hdu = fits.PrimaryHDU(rows)
    for key, value in (
        ("TELESCOP", "LAMOST"),
        ("COEFF0", 3.5682),
        ("COEFF1", 1e-4),
        ("LMJD", 55859),
        ("PLANID", "F5902"),
        ("SPID", 1),
        ("FIBERID", 7),
        ("RA", 332.2),
        ("DEC", -2.05),
        ("VACUUM", True),
        ("HELIO", True),
        ("EXTEN0", "Flux Inverse Wavelength Andmask Ormask"),
        ("DATE-BEG", "2011-10-24T19:33:56.0"),
        ("DATE-END", "2011-10-24T21:27:25.0"),
    ):
        hdu.header[key] = (value, "a comment")  # fmt: skip
    out = io.BytesIO()
    hdu.writeto(out)
    return out.getvalue()


def test_parser_survives_any_damage() -> None:
    data = mixed_file()
    whole = everything(data)
    assert whole > 200
    refused = 0
    for damaged in mutations(data, seed=11, n=1500):
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            try:
                everything(damaged)
            except DataError:
                refused += 1
        assert time.perf_counter() - began < 2.0
    assert refused > 300


def test_memory_stays_bounded() -> None:
    data = mixed_file()
    tracemalloc.start()
    try:
        for damaged in mutations(data, seed=12, n=200):
            try:
                everything(damaged)
            except DataError:
                continue
        assert tracemalloc.get_traced_memory()[1] < PEAK_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("make", [spec_lite, lamost_image])
def test_readers_keep_the_rule(make: Any) -> None:
    data = make()
    assert check_outcome(READ, data, data) == "same"
    outcomes = Counter(check_outcome(READ, data, bad) for bad in mutations(data, seed=21, n=600))
    assert outcomes["refused"] > 60, outcomes
    assert outcomes["same"] > 20, outcomes


def test_a_checksum_lets_no_damaged_value_through() -> None:
    data = spec_lite(checksum=True)
    hdus = FitsFile(data, "x")
    start, size = hdus[1].data_start, hdus[1].data_size
    for i in range(0, size, 37):
        damaged = data[: start + i] + bytes([data[start + i] ^ 1]) + data[start + i + 1 :]
        assert check_outcome(READ, data, damaged) == "refused"


@pytest.mark.data
def test_real_files_keep_the_rule(data_dir: Path) -> None:
    names = ["sdss_boss_pool/raw_examples/spec-0266-51602-0031.fits.gz",
             "sdss_boss_pool/raw_examples/spec-10656-58163-0366.fits.gz",
             "format_zoo/raw/pydl__spPlate-4055-55359-0020.fits.gz",
             "lamost_lrs_pool/raw_examples/spec-55859-F5902_sp01-001_dr7.fits.gz",
             "lamost_lrs_pool/raw_examples/spec-58138-HD145812N264900V02_sp16-178.fits.gz",
             "lamost_lrs_pool/raw_examples/spec-55862-B6212_sp06-003.fits.gz"]  # fmt: skip
    for seed, name in enumerate(names):
        data = bytes(SourceFile.open(data_dir / name).data)
        assert check_outcome(READ, data, data) == "same"
        seen = Counter(check_outcome(READ, data, bad) for bad in mutations(data, seed=seed, n=80))
        assert seen["refused"] > 5, (name, seen)
