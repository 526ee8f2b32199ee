"""FITS tables read by UCD, name and unit, and the documented ones: CALSPEC, PypeIt, Marz …"""

from __future__ import annotations

import gzip
import importlib.util
import io
import sys
from pathlib import Path
from typing import Any

import fuzzing
import numpy as np
import pytest
from astropy.io import fits

from spectrarium.domain.axis import Medium, Scale, SpecSys
from spectrarium.domain.errors import DataError
from spectrarium.domain.spectrum import (
    FluxCalibration,
    Normalisation,
    Spectrum,
    UncertaintyKind,
)
from spectrarium.domain.units import parse_unit
from spectrarium.read import marz, spectra1d
from spectrarium.read.check import check
from spectrarium.read.registry import CERTAIN, GENERIC, LIKELY, Item, NotASpectrum
from spectrarium.read.source import ReadOptions, SourceFile
from spectrarium.read.table_columns import Field, find_roles

READERS = {r.name: r for r in (*spectra1d.READERS, *marz.READERS)}
N = 200
WAVE = np.linspace(4000.0, 5000.0, N)
FLUX = np.linspace(1.0, 2.0, N).astype(np.float32)


def read(source: SourceFile, name: str | None = None) -> list[Item]:
    best = max(READERS.values(), key=lambda r: r.recognise(source))
    assert best.recognise(source) > 0
    if name is not None:
        assert best.name == name
    return list(best.read(source))


def one(source: SourceFile, name: str | None = None) -> Spectrum:
    (item,) = read(source, name)
    assert isinstance(item, Spectrum), item
    return check(item)


def table(
    columns: list[tuple[str, Any, str | None]], *, cells: bool = False,
    keys: dict[str, Any] | None = None, primary: dict[str, Any] | None = None,
    options: ReadOptions | None = None, extra: list[fits.BinTableHDU] | None = None,
) -> SourceFile:  # fmt: skip
    """A file with one table; `cells`: one row of arrays instead of one row a pixel."""
    made = []
    for name, array, unit in columns:
        code = {"f4": "E", "f8": "D", "i2": "I", "i4": "J", "u1": "B", "b1": "L"}[
            array.dtype.str[1:]
        ]
        form = f"{len(array)}{code}" if cells else code
        made.append(fits.Column(name, form, unit=unit, array=array[None] if cells else array))
    hdu = fits.BinTableHDU.from_columns(made, name="SPECTRUM")
    hdu.header.update(keys or {})
    head = fits.PrimaryHDU()
    head.header.update(primary or {})
    return source_of(fits.HDUList([head, hdu, *(extra or [])]), options)


def source_of(hdus: fits.HDUList, options: ReadOptions | None = None) -> SourceFile:
    out = io.BytesIO()
    hdus.writeto(out)
    return SourceFile("made.fits", out.getvalue(), options=options)


def plain(**more: Any) -> SourceFile:
    return table(
        [("WAVE", WAVE, "Angstrom"), ("FLUX", FLUX, "erg s-1 cm-2 Angstrom-1"),
         ("ERR", FLUX / 10, "erg s-1 cm-2 Angstrom-1")], **more,
    )  # fmt: skip


# ---- the layouts in use -------------------------------------------------------------------


@pytest.mark.parametrize("cells", [False, True])
def test_a_table_of_pixels_and_a_row_of_arrays_read_alike(cells: bool) -> None:
    got = one(plain(cells=cells, primary={"OBJECT": "HD 1", "RA": 10.5, "DEC": -20.25,
                                          "MJD-OBS": 55000.5, "EXPTIME": 864.0}))  # fmt: skip
    np.testing.assert_array_equal(got.axis.coordinate(), WAVE)
    np.testing.assert_array_equal(got.flux, FLUX)
    assert got.flux.dtype == np.float32
    assert got.flux.dtype.isnative
    assert got.uncertainty_kind is UncertaintyKind.STD
    o = got.observation
    assert (o.target_name, o.s_ra, o.s_dec) == ("HD 1", 10.5, -20.25)
    assert (o.t_min, o.t_max, o.t_exptime) == (55000.5, 55000.51, 864.0)
    assert (o.obs_collection, o.obs_id) == ("local", None)
    assert got.axis.medium is Medium.UNKNOWN


def test_ucds_win_over_names_and_only_obs_atmos_is_air() -> None:
    columns = [("lam_obs", WAVE, "Angstrom"), ("FLUX", FLUX, None), ("science", FLUX * 2, "Jy"),
               ("noise_est", FLUX / 7, "Jy")]  # fmt: skip
    ucds = {"TUCD1": "em.wl;obs.atmos", "TUCD3": "phot.flux.density;em.wl",
            "TUCD4": "stat.error;phot.flux.density;em.wl"}  # fmt: skip
    source = table(columns, keys=ucds)
    assert READERS["table"].recognise(source) == LIKELY
    got = one(source)
    np.testing.assert_array_equal(got.flux, FLUX * 2)
    np.testing.assert_array_equal(got.uncertainty, FLUX / 7)
    assert got.axis.medium is Medium.AIR
    assert got.flux_ucd == "phot.flux.density;em.wl"


def test_bare_em_wl_is_vacuum_only_in_the_one_row_convention() -> None:
    ucds = {"TUCD1": "em.wl", "TUCD2": "phot.flux.density;em.wl"}
    assert one(plain(cells=True, keys=ucds)).axis.medium is Medium.VACUUM
    assert one(plain(cells=False, keys=ucds)).axis.medium is Medium.UNKNOWN


@pytest.mark.parametrize(
    ("primary", "name", "medium"),
    [({"VACUUM": True}, "WAVE", Medium.VACUUM), ({"AIRORVAC": "air"}, "WAVE", Medium.AIR),
     ({}, "wave_vac", Medium.VACUUM), ({}, "lambda_air", Medium.AIR),
     ({}, "WAVE", Medium.UNKNOWN)],
)  # fmt: skip
def test_medium_from_keyword_or_column_name(
    primary: dict[str, Any], name: str, medium: Medium
) -> None:
    got = one(table([(name, WAVE, "Angstrom"), ("FLUX", FLUX, None)], primary=primary))
    assert got.axis.medium is medium


def test_declarations_fill_in_and_never_override() -> None:
    options = ReadOptions(medium=Medium.AIR, specsys=SpecSys.BARYCENT, flux_unit="Jy",
                          wave_unit="nm", collection="mine")  # fmt: skip
    free = one(table([("WAVE", WAVE, None), ("FLUX", FLUX, None)], options=options))
    assert (free.axis.medium, free.axis.specsys) == (Medium.AIR, SpecSys.BARYCENT)
    assert (free.axis.unit, free.flux_unit) == ("nm", "Jy")
    said = one(plain(options=options, primary={"VACUUM": True}, keys={"SPECSYS": "HELIOCEN"}))
    assert (said.axis.medium, said.axis.specsys) == (Medium.VACUUM, SpecSys.HELIOCEN)
    assert said.axis.unit == "Angstrom"
    assert parse_unit(said.flux_unit) != parse_unit("Jy")
    assert said.observation.obs_collection == "mine"


def test_a_wavelength_without_unit_asks_for_one() -> None:
    (error,) = read(table([("WAVE", WAVE, None), ("FLUX", FLUX, None)]))
    assert isinstance(error, DataError)
    assert (error.code, error.hdu) == ("no_wave_unit", 1)
    assert "--wave-unit" in error.remedy
    (error,) = read(table([("WAVE", WAVE, "pixel"), ("FLUX", FLUX, None)]))
    assert isinstance(error, DataError)
    assert "pixel" in error.what


def test_log_axes_stay_logarithms() -> None:
    loglam = np.log10(WAVE).astype(np.float32)
    got = one(table([("loglam", loglam, None), ("flux", FLUX, None), ("ivar", FLUX, None)]))
    assert (got.axis.scale, got.axis.unit) == (Scale.LOG10, "Angstrom")
    np.testing.assert_array_equal(got.axis.coordinate(), loglam)
    np.testing.assert_allclose(got.wave_aa, WAVE, rtol=2e-6)
    assert got.uncertainty_kind is UncertaintyKind.IVAR
    written = one(table([("WAVE", loglam, "log10(nm)"), ("flux", FLUX, None)]))
    assert (written.axis.scale, written.axis.unit) == (Scale.LOG10, "nm")


@pytest.mark.parametrize(("unit", "kind"), [("GHz", "frequency"), ("keV", "energy")])
def test_frequency_and_energy_axes(unit: str, kind: str) -> None:
    values = np.linspace(100.0, 110.0, N)
    got = one(table([(kind, values, unit), ("FLUX", FLUX, "Jy")]))
    expected = 2.99792458e18 / (values * 1e9) if unit == "GHz" else 12.398419843 / values
    np.testing.assert_allclose(got.wave_aa, expected, rtol=1e-9)


def test_ambiguity_is_an_error_that_names_the_candidates() -> None:
    (error,) = read(table([("WAVE", WAVE, "Angstrom"), ("LAMBDA", WAVE, "Angstrom"),
                           ("FLUX", FLUX, None)]))  # fmt: skip
    assert isinstance(error, DataError)
    assert error.code == "ambiguous_columns"
    assert "WAVE, LAMBDA" in error.what
    fields = [Field("w", "em.wl"), Field("a", "phot.flux.density"), Field("b", "phot.flux.density")]
    with pytest.raises(DataError, match="a, b"):
        find_roles(fields, "x")
    fields[2] = Field("b", "phot.flux.density;meta.main")
    roles = find_roles(fields, "x")
    assert roles is not None
    assert roles.flux == "b"


def test_the_error_is_the_one_that_belongs_to_the_flux() -> None:
    names = ["WAVE", "FLUX", "ERR_FLUX_TELL_CORR", "FLUX_TELL_CORR", "FLUX_IVAR", "ERR"]
    roles = find_roles([Field(n) for n in names], "x")
    assert roles is not None
    assert (roles.flux, roles.error, roles.error_kind) == (
        "FLUX", "FLUX_IVAR", UncertaintyKind.IVAR,
    )  # fmt: skip


def test_an_error_in_another_unit_is_kept_apart() -> None:
    got = one(table([("WAVE", WAVE, "Angstrom"), ("FLUX", FLUX, "Jy"), ("ERR", FLUX, "mJy")]))
    assert got.uncertainty is None
    assert "err" in got.extras
    assert any("mJy" in w for w in got.provenance.warnings)


def test_negative_errors_are_flagged_and_the_numbers_kept() -> None:
    error = np.full(N, 0.1, np.float32)
    error[[3, 50]] = -0.5
    got = one(table([("WAVE", WAVE, "Angstrom"), ("FLUX", FLUX, None), ("ERR", error, None)]))
    np.testing.assert_array_equal(got.uncertainty, error)
    assert np.flatnonzero(got.mask).tolist() == [3, 50]
    assert got.flag_scheme is not None
    assert "NEGATIVE_ERROR" in got.flag_scheme.bits.values()
    mostly = one(table([("WAVE", WAVE, "Angstrom"), ("FLUX", FLUX, None),
                        ("ERR", -np.ones(N, np.float32), None)]))  # fmt: skip
    assert mostly.uncertainty is None
    assert (mostly.extras["err"] == -1).all()
    assert any("negative" in w for w in mostly.provenance.warnings)


def test_negative_inverse_variances_and_variances_are_refused() -> None:
    for name in ("IVAR", "VAR"):
        bad = FLUX.copy()
        bad[7] = -1.0
        (item,) = read(table([("WAVE", WAVE, "Angstrom"), ("FLUX", FLUX, None),
                              (name, bad, None)]))  # fmt: skip
        assert isinstance(item, Spectrum)
        with pytest.raises(DataError) as caught:
            check(item)
        assert caught.value.code == "bad_uncertainty"


def test_flags_of_an_unknown_kind_are_bad_when_not_zero_and_said_so() -> None:
    flags = np.zeros(N, np.int32)
    flags[7] = 4
    got = one(table([("WAVE", WAVE, "Angstrom"), ("FLUX", FLUX, None), ("QUAL", flags, None)]))
    np.testing.assert_array_equal(got.flags, flags)
    assert got.flags is not None
    assert got.flags.dtype == np.int32
    assert np.flatnonzero(got.mask).tolist() == [7]
    assert any("QUAL" in w for w in got.provenance.warnings)


def many_rows(ids: list[str], **primary: Any) -> SourceFile:
    rows = len(ids)
    hdu = fits.BinTableHDU.from_columns([
        fits.Column("SPEC_ID", "10A", array=ids),
        fits.Column("RA", "D", array=np.linspace(10, 11, rows)),
        fits.Column("DEC", "D", array=np.linspace(-5, -4, rows)),
        fits.Column("SNR", "E", array=np.arange(rows) + 1.0),
        fits.Column("WAVE", f"{N}D", unit="nm", array=np.tile(WAVE / 10, (rows, 1))),
        fits.Column("FLUX", f"{N}E", array=FLUX * np.arange(1, rows + 1)[:, None]),
    ])  # fmt: skip
    head = fits.PrimaryHDU()
    head.header.update(primary)
    return source_of(fits.HDUList([head, hdu]))


def test_rows_are_spectra_with_their_own_ids_and_places() -> None:
    got = [i for i in read(many_rows(["a", "b", "c"])) if isinstance(i, Spectrum)]
    assert [s.observation.obs_id for s in got] == ["a", "b", "c"]
    assert [s.observation.s_ra for s in got] == [10.0, 10.5, 11.0]
    assert [s.observation.snr for s in got] == [1.0, 2.0, 3.0]
    assert [s.provenance.row for s in got] == [0, 1, 2]
    np.testing.assert_array_equal(got[2].flux, (FLUX * 3).astype(np.float32))
    same = [i for i in read(many_rows(["a", "a", "c"])) if isinstance(i, Spectrum)]
    assert [s.observation.obs_id for s in same] == [None, None, None]
    numbered = [
        i for i in read(many_rows(["a", "a", "c"], OBSID="night1")) if isinstance(i, Spectrum)
    ]
    assert len({s.observation.obs_id for s in numbered}) == 3


def test_variable_length_cells_read_and_a_short_one_costs_only_its_row() -> None:
    lengths = [N, 50, N]
    flux = np.empty(3, object)
    wave = np.empty(3, object)
    for i, n in enumerate(lengths):
        flux[i], wave[i] = FLUX[:n], WAVE[: n if i != 1 else n - 1]
    hdu = fits.BinTableHDU.from_columns([
        fits.Column("WAVE", "PD()", unit="Angstrom", array=wave),
        fits.Column("FLUX", "PE()", array=flux),
    ])  # fmt: skip
    items = read(source_of(fits.HDUList([fits.PrimaryHDU(), hdu])))
    assert isinstance(items[0], Spectrum)
    assert isinstance(items[2], Spectrum)
    assert isinstance(items[1], DataError)
    assert (items[1].code, items[1].hdu, items[1].row) == ("mismatched_lengths", 1, 1)


def test_a_scalar_wavelength_beside_flux_arrays_is_not_read_as_one_pixel() -> None:
    hdu = fits.BinTableHDU.from_columns([
        fits.Column("WAVELENGTH", "E", unit="Angstrom", array=[1150.0]),
        fits.Column("FLUX", f"{N}E", array=FLUX[None]),
    ])  # fmt: skip
    (error,) = read(source_of(fits.HDUList([fits.PrimaryHDU(), hdu])))
    assert isinstance(error, DataError)
    assert error.code == "mismatched_lengths"


def test_several_tables_get_ids_of_their_own() -> None:
    blue = fits.BinTableHDU.from_columns(
        [fits.Column("WAVE", "D", unit="Angstrom", array=WAVE),
         fits.Column("FLUX", "E", array=FLUX)], name="BLUE")  # fmt: skip
    got = read(plain(primary={"OBSID": "n7"}, extra=[blue]))
    ids = [s.observation.obs_id for s in got if isinstance(s, Spectrum)]
    assert ids == ["n7/SPECTRUM", "n7/BLUE"]


def test_catalogues_are_said_to_be_such() -> None:
    stars = table([("RA", WAVE, "deg"), ("DEC", WAVE / 100, "deg"), ("Vmag", FLUX, "mag")])
    assert READERS["table"].recognise(stars) == GENERIC
    (item,) = read(stars)
    assert isinstance(item, NotASpectrum)
    assert "catalogue" in item.what
    lines = table([("RA", WAVE, "deg"), ("DEC", WAVE / 100, "deg"), ("WAVE", WAVE, "Angstrom"),
                   ("FLUX", FLUX, None)])  # fmt: skip
    (item,) = read(lines)
    assert isinstance(item, NotASpectrum)
    image = fits.HDUList([fits.PrimaryHDU(np.zeros((5, 5))), fits.BinTableHDU.from_columns(
        [fits.Column("RA", "D", array=WAVE), fits.Column("DEC", "D", array=WAVE)])])  # fmt: skip
    assert READERS["table"].recognise(source_of(image)) == 0


@pytest.mark.parametrize("data", [b"", b"text", b"\x00\x01binary", b"SIMPLE  = broken"])
def test_recognition_never_raises_on_what_is_no_fits(data: bytes) -> None:
    if not data:
        return
    source = SourceFile("x", data)
    for reader in READERS.values():
        if not source.is_fits:
            assert reader.recognise(source) == 0


# ---- documented layouts, built ---------------------------------------------------------------


def test_pypeit_masks_mean_good_and_padding_is_only_masked() -> None:
    wave = WAVE.copy()
    wave[:3] = 0.0
    good = np.ones(N, bool)
    good[:5] = False
    source = table(
        [("OPT_WAVE", wave, None), ("OPT_FLAM", FLUX, None), ("OPT_FLAM_IVAR", FLUX, None),
         ("OPT_MASK", good, None), ("OPT_COUNTS", FLUX, None), ("BOX_WAVE", wave, None)],
        keys={"VEL_TYPE": "heliocentric"}, primary={"INSTRUME": "keck_deimos"},
    )  # fmt: skip
    assert READERS["pypeit"].recognise(source) == CERTAIN
    got = one(source, "pypeit")
    assert (got.axis.medium, got.axis.specsys) == (Medium.VACUUM, SpecSys.HELIOCEN)
    assert got.uncertainty_kind is UncertaintyKind.IVAR
    assert np.flatnonzero(got.mask).tolist() == [0, 1, 2, 3, 4]
    assert got.flux_unit == "1e-17 erg s-1 cm-2 Angstrom-1"
    assert got.observation.obs_collection == "keck_deimos"


def test_pypeit_counts_are_not_called_flux_density() -> None:
    got = one(table([("BOX_WAVE", WAVE, None), ("BOX_COUNTS", FLUX, None),
                     ("BOX_COUNTS_IVAR", FLUX, None)]), "pypeit")  # fmt: skip
    assert (got.flux_unit, got.flux_calibration) == ("ct", FluxCalibration.UNCALIBRATED)


# ---- real files ----------------------------------------------------------------------------


def zoo(data_dir: Path, name: str) -> tuple[SourceFile, fits.HDUList]:
    path = next((data_dir / "format_zoo" / "raw").glob(f"*{name}*"))
    return SourceFile.open(path), fits.open(io.BytesIO(gzip.decompress(path.read_bytes())))


def test_calspec_standards(data_dir: Path) -> None:
    folder = data_dir / "calspec_standards" / "raw_examples"
    seen = 0
    for path in sorted(folder.glob("*.fits.gz")):
        source = SourceFile.open(path)
        assert READERS["calspec"].recognise(source) == CERTAIN
        got = one(source, "calspec")
        theirs = fits.open(io.BytesIO(gzip.decompress(path.read_bytes())))[1].data
        np.testing.assert_array_equal(got.flux, theirs["FLUX"])
        np.testing.assert_array_equal(got.axis.coordinate(), theirs["WAVELENGTH"])
        np.testing.assert_array_equal(got.uncertainty, theirs["STATERROR"])
        np.testing.assert_array_equal(
            got.mask, (theirs["DATAQUAL"] != 1) | (theirs["STATERROR"] == 0)
        )
        modelled = theirs["STATERROR"] == 0  # no error because nothing was observed there
        np.testing.assert_array_equal(modelled, theirs["TOTEXP"] == 0)
        assert theirs["WAVELENGTH"][modelled].min() > 10_119  # STIS ends, by HISTORY
        assert got.axis.medium is Medium.VACUUM
        assert got.axis.specsys is SpecSys.UNKNOWN
        assert parse_unit(got.flux_unit) == parse_unit("erg s-1 cm-2 Angstrom-1")
        assert got.flux_calibration is FluxCalibration.ABSOLUTE
        assert got.observation.obs_id == path.name.removesuffix(".fits.gz")
        assert set(got.extras) == {"dataqual", "syserror", "fwhm", "totexp"}
        seen += 1
    assert seen == 3


def test_calspec_wavelengths_are_vacuum_by_the_star_itself(data_dir: Path) -> None:
    """The cores of Hβ and Hγ of the A0 star 109 Vir lie at the vacuum wavelengths."""
    path = data_dir / "calspec_standards" / "raw_examples" / "109vir_stis_003.fits.gz"
    got = one(SourceFile.open(path))
    wave, flux = got.wave_aa, got.flux.astype(float)
    for vacuum, air in ((4862.69, 4861.33), (4341.69, 4340.47)):
        near = abs(wave - vacuum) < 12
        depth = np.max(flux[near]) - flux[near]
        centre = np.sum(wave[near] * depth**3) / np.sum(depth**3)
        assert abs(centre - vacuum) < abs(centre - air)


def test_pypeit_quasar(data_dir: Path) -> None:
    source, theirs = zoo(data_dir, "J2125-1719_NIR")
    got = one(source, "pypeit")
    data = theirs[1].data
    np.testing.assert_array_equal(got.uncertainty, data["OPT_FLAM_IVAR"])
    np.testing.assert_array_equal(got.flux, data["OPT_FLAM"])
    assert got.mask.sum() == 2 == (data["OPT_MASK"] == 0).sum()
    o = got.observation
    assert (o.target_name, o.s_ra, o.s_dec) == ("J2125-1719", 321.6805004, -17.2467934)
    assert o.t_min == pytest.approx(58387.03375, abs=1e-5)  # MJD-OBS holds a JD there
    assert (o.obs_collection, o.obs_id) == ("magellan_fire", "fire_0048")
    assert got.axis.specsys is SpecSys.UNKNOWN


def test_specmatch_hires(data_dir: Path) -> None:
    source, theirs = zoo(data_dir, "rj59.1926_adj")
    got = one(source, "specmatch-emp")
    np.testing.assert_array_equal(got.flux, theirs[1].data["s"])
    assert got.normalisation is Normalisation.CONTINUUM_DIVIDED
    assert got.axis.medium is Medium.UNKNOWN
    assert got.mask.sum() == 76
    wave, flux = got.wave_aa, got.flux
    for line in (5183.604, 5889.951, 5895.924):  # Mg b1 and Na D, as air wavelengths at rest
        near = np.flatnonzero(abs(wave - line) < 0.8)
        core = wave[near[np.nanargmin(flux[near])]]
        assert core == pytest.approx(line, abs=0.04)


def test_pyhammer_templates_are_rest_vacuum(data_dir: Path) -> None:
    folder = data_dir / "pyhammer_sdss_templates" / "raw_examples"
    for path in sorted(folder.glob("*.fits.gz")):
        got = one(SourceFile.open(path), "pyhammer-template")
        assert len(got) == 61618
        assert (got.axis.scale, got.axis.unit) == (Scale.LOG10, "Angstrom")
        assert got.axis.coordinate().dtype == np.float32
        assert (got.axis.medium, got.axis.specsys) == (Medium.VACUUM, SpecSys.SOURCE)
        assert (got.flux_unit, got.uncertainty_kind) == ("", UncertaintyKind.STD)
    a0 = one(SourceFile.open(folder / "A0.fits.gz"))
    wave, flux = a0.wave_aa, a0.flux
    for vacuum in (6564.61, 4862.69, 4341.69):
        near = np.flatnonzero(abs(wave - vacuum) < 15)
        depth = flux[near].max() - flux[near].astype(float)
        centre = np.sum(wave[near] * depth**4) / np.sum(depth**4)
        assert centre == pytest.approx(vacuum, abs=0.9)  # air would be 1.2–1.8 Å lower


def test_marz_fibres(data_dir: Path) -> None:
    source, theirs = zoo(data_dir, "emlLogVacuumHelioMultiple")
    items = read(source, "marz")
    got = [i for i in items if isinstance(i, Spectrum)]
    assert len(got) == 3
    for row, s in enumerate(got):
        check(s)
        np.testing.assert_array_equal(s.flux, theirs[0].data[row])
        np.testing.assert_array_equal(s.uncertainty, theirs["VARIANCE"].data[row])
        assert s.uncertainty_kind is UncertaintyKind.VAR
        assert s.axis.scale is Scale.LOG10
        assert (s.axis.medium, s.axis.specsys) == (Medium.VACUUM, SpecSys.TOPOCENT)
        assert s.provenance.row == row
    first = got[0].observation
    # names hold the position: D0221394-2854323 is 02:21:39.4 −28:54:32.3
    assert first.target_name == "D0221394-2854323"
    assert first.s_ra == pytest.approx(15 * (2 + 21 / 60 + 39.4 / 3600), abs=3e-4)
    assert first.s_dec == pytest.approx(-(28 + 54 / 60 + 32.3 / 3600), abs=1e-4)
    assert first.t_min == pytest.approx(57373.5592960, abs=1e-6)
    assert len({s.observation.obs_id for s in got}) == 3
    # the linear solution in the header is in air, 1.1 Å lower at the blue end
    head = theirs[0].header
    air = head["CRVAL1"] + head["CDELT1"] * (1 - head["CRPIX1"])
    assert got[0].wave_aa[0] - air == pytest.approx(1.1, abs=0.3)
    assert np.flatnonzero(got[0].uncertainty < 0).size == 1  # type: ignore[operator]
    assert got[0].mask[np.flatnonzero(got[0].uncertainty < 0)].all()  # type: ignore[operator]


def test_real_catalogues_are_no_spectra(data_dir: Path) -> None:
    for name in ("fors2_rxj0054/fors2_catalogue.fits", "galah_dr6_sample/dr6.0_sample.fits"):
        (item,) = read(SourceFile.open(data_dir / name), "table")
        assert isinstance(item, NotASpectrum)
        assert "no spectral axis" in item.what


POOLS = ("calspec_standards", "desi_coadds", "galah_dr6_sample", "lamost_lrs_pool",
         "gaia_dr3_samples", "osc_transients", "apogee_samples", "mastar_hc_templates")  # fmt: skip


@pytest.fixture(scope="session")
def unpack(data_dir: Path) -> Any:
    path = data_dir / "unpack.py"
    spec = importlib.util.spec_from_file_location("unpack", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(data_dir))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(data_dir))
    return module


@pytest.mark.parametrize("pool", POOLS)
def test_pools_written_as_fits_read_back_with_one_identity(
    unpack: Any, tmp_path: Path, pool: str
) -> None:
    read_back = 0
    for i, (row, wave, flux, err) in enumerate(unpack.rows(pool, 40)):
        path = tmp_path / f"{i}.fits"
        unpack.to_fits(row, wave, flux, err, str(path))
        got = one(SourceFile.open(path), "table")
        np.testing.assert_array_equal(got.axis.coordinate(), wave)
        np.testing.assert_array_equal(got.flux, flux)
        assert got.flux.dtype == np.float32
        if np.isfinite(err).any():
            assert got.uncertainty_kind is UncertaintyKind.STD
            np.testing.assert_array_equal(got.uncertainty, err)
        else:
            assert got.uncertainty is None
        o = got.observation
        assert o.obs_id == row["spec_id"]
        expected = "local"
        if isinstance(row["instrument"], str):
            expected = row["instrument"].encode("ascii", "replace").decode()[:60].strip()
        assert o.obs_collection == expected
        if np.isfinite(row["ra"]) and (row["ra"], row["dec"]) != (0.0, 0.0):
            assert o.s_ra == pytest.approx(row["ra"], abs=1e-9)
        else:
            assert o.s_ra is None
            assert "no coordinates" in got.provenance.warnings
        frame = str(row["wave_frame"])
        air, vac = "air" in frame, "vac" in frame
        assert got.axis.medium is (
            Medium.UNKNOWN if air == vac else Medium.AIR if air else Medium.VACUUM
        )
        assert got.axis.specsys is (
            SpecSys.BARYCENT if "bary" in frame
            else SpecSys.HELIOCEN if "helio" in frame else SpecSys.UNKNOWN
        )  # fmt: skip
        if np.isfinite(row["mjd"]) and row["mjd"] > 15_000:
            assert o.t_min == pytest.approx(row["mjd"])
        unit = unpack.flux_unit(row["flux_kind"])
        assert parse_unit(got.flux_unit) == parse_unit(unit or None)
        read_back += 1
    assert read_back >= 5


# ---- damage ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", "cells", "rows", "pypeit"])
def test_damaged_tables_never_pass_as_good(kind: str) -> None:
    source = {
        "plain": lambda: plain(keys={"TUCD1": "em.wl"}),
        "cells": lambda: plain(cells=True, primary={"OBSID": "a", "RA": 1.0, "DEC": 2.0}),
        "rows": lambda: many_rows(["a", "b", "c"]),
        "pypeit": lambda: table([("OPT_WAVE", WAVE, None), ("OPT_FLAM", FLUX, None),
                                 ("OPT_FLAM_IVAR", FLUX, None)]),
    }[kind]()  # fmt: skip
    original = bytes(source.data)
    reading = fuzzing.read_with(*READERS.values())
    seen = {
        fuzzing.check_outcome(reading, original, damaged)
        for damaged in fuzzing.mutations(original, seed=len(kind), n=160)
    }
    assert "refused" in seen
