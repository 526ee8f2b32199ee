"""Which reader wins a file: one and only one, by content alone, quickly, and never by raising."""

from __future__ import annotations

import fnmatch
import io
import random
import string
import time
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from fuzzing import mutations
from seeds import BUILDERS, content, seed

from spectrarium.domain.errors import DataError
from spectrarium.domain.units import parse_unit, unit_text
from spectrarium.read import registry
from spectrarium.read.registry import CERTAIN, NotASpectrum
from spectrarium.read.source import ReadOptions, SourceFile
from spectrarium.run.inputs import InputFile
from spectrarium.run.sources import sources

UNKNOWN = "unknown_format"
EXPECTED: tuple[tuple[str, str], ...] = (
    # prose, programs, other data: the first pattern that fits counts
    ("*.md", UNKNOWN), ("*.py", UNKNOWN), ("*LICEN[CS]E*", UNKNOWN), ("*license.txt", UNKNOWN),
    ("*README*", UNKNOWN), ("*.json", UNKNOWN), ("*/calspec_info.txt", UNKNOWN),
    ("*/paramsMILES*", UNKNOWN), ("catalogs/dust/*", UNKNOWN), ("*eigeninput*", UNKNOWN),
    ("*active_lines.dat*", UNKNOWN), ("*/lines/lime*", UNKNOWN), ("*/lines/sdss*", UNKNOWN),
    ("*/lines/spender*", UNKNOWN), ("*/lines/linetools_galaxy*", UNKNOWN),
    ("*/index.csv", "ascii"), ("catalogs/*.csv.gz", "ascii"), ("*labels.csv.gz", "ascii"),
    ("*.tsv.gz", "ascii"), ("*.vot", "sdm-votable"), ("*.npz", "npz"),
    ("*/lines/linetools*", "ascii"), ("*/ccf_iccf/*", "ccf-mask"), ("*.mas", "ascii"),
    ("*/spEigen*", "eigenspectra"), ("*/rrtemplate*", "eigenspectra"), ("*/qso_*", "ascii"),
    ("*/kc96_*", "table"), ("*/pickles/*", "table"), ("*/fors2_catalogue.fits", "table"),
    ("harps_*/raw*", "harps"), ("*/soap_simulated/*", "harps"),
    ("apogee*/raw/*", "apogee-visit"), ("calspec*/raw*", "calspec"), ("desi*/raw/*", "desi"),
    ("fors2*/raw*", "ascii"), ("palomar*/raw*", "ascii"), ("galah*", "galah"),
    ("lamost*/raw*", "lamost-lrs"), ("miles*/raw*", "fits-image"),
    ("*/oe270005.fits", "iraf"), ("ondrejov*/raw*", "sdm-fits"),
    ("pyhammer*/raw*", "pyhammer-template"), ("snid*/raw*", "snid"),
    ("gaia*/*CONTINUOUS*", "gaia-xp-continuous"), ("gaia*/*18Sco*", "gaia-xp-continuous"),
    ("gaia*/raw/*", "gaia"), ("*/spec-0280-51612-0117*", "loglam-table"), ("sdss*/raw*", "sdss"),
    ("*zoo*SOPHIE*", "fits-image"), ("*zoo*alfTau*", "fits-image"), ("*zoo*n2hp*", "fits-image"),
    ("*zoo*HARPS*", "harps"), ("*zoo*Marz*", "marz"), ("*zoo*spec-0618*", "sdss"),
    ("*zoo*J030341*", "sdss"), ("*zoo*cg922*", "iraf"), ("*zoo*isis*", "iraf"),
    ("*zoo*UM184*", "iraf"), ("*zoo*LJT*", "iraf"), ("*zoo*MANGA*", "ascii"),
    ("*zoo*jwst*", "jwst-x1d"), ("*zoo*XQ100*", "eso-sdp"), ("*zoo*popler*", "uves-popler"),
    ("*zoo*Goldilocks*", "hpf"), ("*zoo*SDCH*", "igrins"), ("*zoo*spPlate*", "sdss-plate"),
    ("*zoo*J2125*", "pypeit"), ("*zoo*rj59*", "specmatch-emp"),
)  # fmt: skip
"""Pattern of the path in the data folder → reader."""
PROSE = [
    b"<!DOCTYPE html><html><body>404</body></html>", b"<html>\n1 2\n3 4\n5 6\n</html>",
    b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4,
    b"PK\x03\x04" + b"\x00" * 60, b"\x7fELF" + bytes(500), b"\xff\xd8\xff\xe0JFIF", b"\n", b" ",
    b"\x00", b"\xef\xbb\xbf", b'{"wave": [1, 2], "flux": [3, 4]}', b"[1, 2, 3]\n[4, 5, 6]\n",
    b"# Title\n\nSome prose, with commas, and more.\n- a list, of words\n", b"# only a comment\n",
    b"MIT License\n\nCopyright (c) 2017 A, B\n\nPermission is hereby granted, free\n",
    "Größe, Länge\nß, ü\n".encode("latin-1"), "波長,流量\n1,2\n2,3\n3,4\n".encode(),
    b"import os, sys\nfrom a import b, c\n", b"a" * 70_000, b",\n" * 3000, b"\r\r\r", b"1\n2\n3\n",
]  # fmt: skip


def scores(source: SourceFile) -> dict[str, int]:
    return {r.name: score for r in registry.readers() if (score := r.recognise(source))}


def winner(source: SourceFile) -> str:
    registry._recent.clear()
    try:
        return registry.recognise(source).name
    except DataError as error:
        return error.code


@pytest.fixture(scope="module")
def files(data_dir: Path) -> dict[str, SourceFile]:
    """Every original file, catalogue, list and text of the data folder, by its path there."""
    found = {}
    for path in sorted(data_dir.rglob("*")):
        if path.is_file() and path.name != "spectra.h5":
            found[str(path.relative_to(data_dir))] = SourceFile.open(path)
    return found


# ---- the real files ---------------------------------------------------------------------------


@pytest.mark.data
def test_every_file_has_its_reader(files: dict[str, SourceFile]) -> None:
    wrong = {}
    for name, source in files.items():
        expected = next((r for pattern, r in EXPECTED if fnmatch.fnmatch(name, pattern)), None)
        if winner(source) != expected:
            wrong[name] = (winner(source), expected)
    assert not wrong
    assert len(files) > 600


@pytest.mark.data
def test_one_winner_and_no_two_certain(files: dict[str, SourceFile]) -> None:
    for name, source in files.items():
        found = scores(source)
        if not found:
            continue
        best = max(found.values())
        first = [reader for reader, score in found.items() if score == best]
        assert len(first) == 1, (name, found)
        assert [s for s in found.values() if s >= CERTAIN] in ([], [CERTAIN]), (name, found)


@pytest.mark.data
def test_names_decide_nothing(files: dict[str, SourceFile]) -> None:
    rng = random.Random(4)
    for name, source in files.items():
        letters = "".join(rng.choices(string.ascii_letters, k=8))
        ending = rng.choice([".fits", ".csv", ".dat", ".npz", ".html", ".gz", ""])
        renamed = SourceFile(f"/nowhere/{letters}{ending}", source.data)
        assert winner(renamed) == winner(source), name


@pytest.mark.data
def test_lists_masks_and_catalogues_are_no_spectra(files: dict[str, SourceFile]) -> None:
    expected = {
        "masks_linelists/ccf_iccf/HARPS_G2.fits": "HARPS CCF mask, 3297 lines",
        "masks_linelists/ccf_iccf/NIRPS_TELLURIC_MASK_H2O.fits": "NIRPS CCF telluric mask (H2O)",
        "masks_linelists/templates/spEigenGal-56436.fits.gz": "SDSS eigenspectra (GALAXY, 4",
        "masks_linelists/templates/spEigenStar-55734.fits.gz": "SDSS template spectra (STAR, 123",
        "masks_linelists/templates/rrtemplate-QSO-LOZ-v1.1.fits.gz": "redrock eigenspectra (QSO",
        "catalogs/galah_dr53_tsne_classes.csv.gz": "a table by sobject_id without a spectral axis",
        "catalogs/mwdd_wd_types.csv.gz": "a table by gaiaedr3 without",
        "harps_ccf_hd224789/soap_simulated/index.csv": "a table by file without",
        "catalogs/lamost_dr1_afgk_params.csv.gz": "a table of objects",
    }
    for name, what in expected.items():
        (item,) = registry.read_source(files[name])
        assert isinstance(item, NotASpectrum)
        assert item.what.startswith(what)


# ---- whatever else ----------------------------------------------------------------------------


@pytest.mark.parametrize("data", PROSE, ids=lambda data: repr(data[:12]))
def test_what_is_no_data_is_unknown(data: bytes) -> None:
    source = SourceFile("file.fits", data)
    assert scores(source) == {}
    expected = "html" if b"<html" in data.lower() else UNKNOWN
    assert winner(source) == expected


def test_nothing_is_no_file() -> None:
    with pytest.raises(DataError) as caught:
        SourceFile("x", b"")
    assert caught.value.code == "empty_file"


@pytest.mark.parametrize("name", BUILDERS)
def test_made_files_have_one_winner_under_any_name(name: str) -> None:
    reader, data = BUILDERS[name][0], seed(name)
    source = SourceFile("q.txt", data)
    found = scores(source)
    assert [r for r, score in found.items() if score == max(found.values())] == [reader]
    assert sum(score >= CERTAIN for score in found.values()) <= 1
    assert winner(SourceFile("/a/b/c", data)) == reader


@pytest.mark.parametrize("name", BUILDERS)
def test_recognising_a_damaged_file_raises_nothing_but_a_data_error(name: str) -> None:
    for bad in mutations(seed(name), seed=3, n=40):
        if not bad:
            continue
        try:
            source = SourceFile("x", bad)
            for reader in registry.readers():
                assert 0 <= reader.recognise(source) <= CERTAIN
        except DataError:
            continue


def test_bare_fits_files_are_recognised_as_nothing() -> None:
    image = np.zeros((30, 40), "f4")
    for hdus in (
        [fits.PrimaryHDU()], [fits.PrimaryHDU(image)], [fits.PrimaryHDU(np.zeros((2, 3, 4)))],
        [fits.PrimaryHDU(), fits.ImageHDU(image), fits.CompImageHDU(image)],
        [fits.PrimaryHDU(), fits.BinTableHDU.from_columns([fits.Column("A", "J", array=[1])])],
    ):  # fmt: skip
        out = io.BytesIO()
        fits.HDUList(hdus).writeto(out)
        source = SourceFile("x.fits", out.getvalue())
        assert scores(source) == {}
        assert winner(source) == UNKNOWN


def test_recognition_is_quick() -> None:
    """No benchmark: a reader that parses all of a file to recognise it would be ten times over."""
    slowest: dict[str, float] = defaultdict(float)
    for name in BUILDERS:
        data = seed(name)
        for reader in registry.readers():
            times = []
            for _ in range(5):
                source = SourceFile("x", data)
                if source.is_fits:
                    _ = source.fits
                began = time.perf_counter()
                reader.recognise(source)
                times.append(time.perf_counter() - began)
            slowest[reader.name] = max(slowest[reader.name], min(times))
    assert max(slowest.values()) < 2e-3, dict(slowest)


def test_an_npz_in_a_zip_is_known_by_content(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as packed:
        packed.writestr("a.txt", "text")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        packed.writestr("pool.dat", seed("npz"))
        packed.writestr("not.npz", inner.getvalue())
    found = dict(sources(InputFile(str(tmp_path / "all.zip"), "zip"), ReadOptions()))
    assert isinstance(found["pool.dat"], SourceFile)
    assert winner(found["pool.dat"]) == "npz"
    assert content(found["pool.dat"]) == seed("npz")
    error = found["not.npz"]
    assert isinstance(error, DataError)
    assert error.code == "nested_archive"


@pytest.mark.parametrize(
    ("text", "kept"),
    [("FLAM", "erg s-1 cm-2 Angstrom-1"), ("fnu", "erg s-1 cm-2 Hz-1"), ("photoelectrons",
     "electron"), ("Photo-electrons", "electron"), ("PHOTLAM", "photon s-1 cm-2 Angstrom-1"),
     ("1e-17 erg/cm^2/s/Ang", "1e-17 erg/cm^2/s/Ang"), (" Jy ", "Jy"), ("normalized", ""),
     ("ELECTRONS/S", "electron s-1"), ("furlongs of it", None), ("", None), (None, None)],
)  # fmt: skip
def test_unit_words(text: str | None, kept: str | None) -> None:
    assert unit_text(text) == kept
    assert (parse_unit(text) is None) == (kept is None)


def test_a_flux_unit_that_means_nothing_is_unknown_and_noted() -> None:
    data = seed("sdss-spspec").replace(b"'1.0E-17 ERG/CM/CM/S/ANG'", b"'furlongs per fortnight' ")
    (spectrum,) = registry.read_source(SourceFile("x", data))
    assert not isinstance(spectrum, (DataError, NotASpectrum))
    assert spectrum.flux_unit is None
    assert "furlongs" in " ".join(spectrum.provenance.warnings)
