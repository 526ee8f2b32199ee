"""Text spectra: what the file says is kept, what it does not say is not made up."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table

from spectrarium.domain.axis import Medium, Scale, SpecSys
from spectrarium.domain.errors import DataError
from spectrarium.domain.spectrum import FluxCalibration, Normalisation, Spectrum, UncertaintyKind
from spectrarium.read import ascii as text
from spectrarium.read.columns import Role, meaning
from spectrarium.read.registry import CERTAIN, GENERIC, NotASpectrum
from spectrarium.read.row_fields import flux_kind_of, medium_of, specsys_of
from spectrarium.read.source import ReadOptions, SourceFile

WAVE = np.linspace(4000.0, 4100.0, 60)
FLUX = 1.0 + 0.1 * np.sin(WAVE)


def source(content: str | bytes, **options: object) -> SourceFile:
    data = content.encode() if isinstance(content, str) else content
    return SourceFile("a.txt", data, options=ReadOptions(**options))  # type: ignore[arg-type]


def one(content: str | bytes | SourceFile, **options: object) -> Spectrum:
    file = content if isinstance(content, SourceFile) else source(content, **options)
    assert text.recognise(file) > 0
    (item,) = text.read(file)
    assert isinstance(item, Spectrum), item
    return item


def rows(*columns: np.ndarray, sep: str = ",") -> str:
    return "\n".join(sep.join(f"{x!r}" for x in r) for r in zip(*(c.tolist() for c in columns),
                                                                strict=True)) + "\n"  # fmt: skip


POOL_CSV = """# spec_id: x-0001
# object_name: HD 1: the star
# ra: 10.5
# dec: -20.25
# mjd: 55000.5
# instrument: ESO 3.6m/HARPS s1d
# wave_frame: air, barycentric
# flux_kind: f_lambda 1e-17 erg/s/cm2/A
wave_aa,flux,err
"""


def test_unpacked_csv_is_certain_and_complete() -> None:
    s = one(POOL_CSV + rows(WAVE, FLUX, FLUX / 10))
    assert text.recognise(source(POOL_CSV + rows(WAVE, FLUX, FLUX / 10))) == CERTAIN
    o = s.observation
    assert (o.obs_collection, o.obs_id) == ("ESO 3.6m/HARPS s1d", "x-0001")
    assert (o.target_name, o.s_ra, o.s_dec, o.t_min) == ("HD 1: the star", 10.5, -20.25, 55000.5)
    assert (s.axis.unit, s.axis.medium, s.axis.specsys) == (
        "Angstrom", Medium.AIR, SpecSys.BARYCENT,
    )  # fmt: skip
    assert u.Unit(s.flux_unit) == u.Unit("1e-17 erg s-1 cm-2 Angstrom-1")
    assert s.uncertainty_kind is UncertaintyKind.STD
    np.testing.assert_array_equal(s.wave_aa, WAVE)
    np.testing.assert_array_equal(s.flux, FLUX)
    assert s.flux.dtype == np.float64
    assert s.provenance.warnings == ()


def test_an_empty_error_column_is_no_uncertainty() -> None:
    body = "".join(f"{w!r},{f!r},\n" for w, f in zip(WAVE.tolist(), FLUX.tolist(), strict=True))
    s = one(POOL_CSV + body)
    assert s.uncertainty is None
    assert s.uncertainty_kind is UncertaintyKind.NONE


def test_missing_values_are_missing_and_not_nan_texts() -> None:
    head = POOL_CSV.replace("ESO 3.6m/HARPS s1d", "nan").replace("10.5", "nan")
    s = one(head + rows(WAVE, FLUX, FLUX))
    assert s.observation.obs_collection == "local"
    assert s.observation.s_ra is None
    assert s.observation.s_dec is None
    assert "no coordinates" in s.provenance.warnings


def test_collection_is_what_a_fits_header_could_hold() -> None:
    long = "Observatoire de Haute-Provence, télescope de 1,93 m, spectrographe ÉLODIE, fibre"
    s = one(POOL_CSV.replace("ESO 3.6m/HARPS s1d", long) + rows(WAVE, FLUX, FLUX))
    assert s.observation.obs_collection == long.encode("ascii", "replace").decode()[:60].strip()
    declared = one(POOL_CSV + rows(WAVE, FLUX, FLUX), collection="mine")
    assert declared.observation.obs_collection == "mine"


@pytest.mark.parametrize(
    ("words", "medium", "frame"),
    [
        ("vac, heliocentric", Medium.VACUUM, SpecSys.HELIOCEN),
        ("vac, heliocentric-shifted", Medium.VACUUM, SpecSys.HELIOCEN),
        ("air, barycentric", Medium.AIR, SpecSys.BARYCENT),
        ("air?", Medium.UNKNOWN, SpecSys.UNKNOWN),
        ("vac, rest", Medium.VACUUM, SpecSys.SOURCE),
        ("vac, rest (Gaia pipeline RV removed)", Medium.VACUUM, SpecSys.SOURCE),
        ("vac (rest-frame stack matches vacuum lines)", Medium.VACUUM, SpecSys.UNKNOWN),
        ("air/vac unspecified; observed", Medium.UNKNOWN, SpecSys.UNKNOWN),
        ("air/vac unspecified; rest", Medium.UNKNOWN, SpecSys.SOURCE),
        ("rest frame", Medium.UNKNOWN, SpecSys.SOURCE),
        ("topocentric", Medium.UNKNOWN, SpecSys.TOPOCENT),
        ("", Medium.UNKNOWN, SpecSys.UNKNOWN),
    ],
)
def test_words_on_medium_and_frame(words: str, medium: Medium, frame: SpecSys) -> None:
    assert medium_of(words) is medium
    assert specsys_of(words) is frame


def test_a_divided_flux_has_lost_its_unit() -> None:
    said = flux_kind_of("f_lambda erg/s/cm2/A / flux_scale")
    assert said.unit is None
    assert said.normalisation is Normalisation.SCALED
    assert said.calibration is FluxCalibration.RELATIVE
    assert flux_kind_of("mJy").unit == "mJy"
    flattened = flux_kind_of("SNID continuum-flattened, log-binned")
    assert flattened.normalisation is Normalisation.CONTINUUM_SUBTRACTED
    divided = flux_kind_of("continuum-normalised")
    assert divided.normalisation is Normalisation.CONTINUUM_DIVIDED
    assert flux_kind_of("counts/relative").unit == "adu"
    assert flux_kind_of("relative f_lambda").unit is None


@pytest.mark.parametrize(
    ("name", "unit", "scale", "medium"),
    [
        ("wave_aa", "Angstrom", Scale.LINEAR, Medium.UNKNOWN),
        ("wavelength_nm", "nm", Scale.LINEAR, Medium.UNKNOWN),
        ("Wavelength (Angstrom)", "Angstrom", Scale.LINEAR, Medium.UNKNOWN),
        ("lambda_vac [um]", "um", Scale.LINEAR, Medium.VACUUM),
        ("wave_air", None, Scale.LINEAR, Medium.AIR),
        ("lambda_A", "Angstrom", Scale.LINEAR, Medium.UNKNOWN),
        ("loglam", None, Scale.LOG10, Medium.UNKNOWN),
    ],
)
def test_wavelength_names(name: str, unit: str | None, scale: Scale, medium: Medium) -> None:
    found = meaning(name)
    assert found is not None
    assert (found.role, found.unit, found.scale, found.medium) == (Role.WAVE, unit, scale, medium)


@pytest.mark.parametrize("name", ["wave_frame", "flux_kind", "wave_min", "lambda_max", "spec_id",
                                  "wmin_A", "phot_g_mean_mag", "flux_nm", "wave_a"])  # fmt: skip
def test_names_that_are_no_samples(name: str) -> None:
    assert meaning(name) is None


def test_ecsv_units_and_metadata(tmp_path: Path) -> None:
    table = Table(
        {
            "wavelength": WAVE / 10 * u.nm,
            "flux": FLUX * u.Jy,
            "ivar": np.full(60, 4.0) / u.Jy**2,
            "mask": np.r_[np.zeros(59, int), 4],
        },
        meta={"obs_id": "E1", "target_name": "Vega", "RA": 279.23, "DEC": 38.78,
              "MJD-OBS": 58000.0, "medium": "vacuum", "specsys": "HELIOCEN"},
    )  # fmt: skip
    table.write(tmp_path / "x.ecsv", format="ascii.ecsv")
    s = one(SourceFile.open(tmp_path / "x.ecsv"))
    np.testing.assert_array_equal(s.axis.coordinate(), np.asarray(table["wavelength"]))
    np.testing.assert_allclose(s.wave_aa, WAVE, rtol=1e-15)
    assert s.axis.unit == "nm"
    assert u.Unit(s.flux_unit) == u.Jy
    assert s.uncertainty_kind is UncertaintyKind.IVAR
    assert s.mask.tolist() == [False] * 59 + [True]
    assert (s.axis.medium, s.axis.specsys) == (Medium.VACUUM, SpecSys.HELIOCEN)
    o = s.observation
    assert (o.obs_id, o.target_name, o.s_ra, o.s_dec, o.t_min) == (
        "E1", "Vega", 279.23, 38.78, 58000.0,
    )  # fmt: skip


@pytest.mark.parametrize("sep", [",", "\t", ";", "   "])
@pytest.mark.parametrize("header", ["# wave_nm{0}flux{0}err\n", "wave_nm{0}flux{0}err\n"])
def test_any_separator_with_or_without_a_comment_sign(sep: str, header: str) -> None:
    s = one(header.format(sep) + rows(WAVE / 10, FLUX, FLUX, sep=sep))
    np.testing.assert_array_equal(s.axis.coordinate(), WAVE / 10)
    assert s.axis.unit == "nm"
    assert s.uncertainty_kind is UncertaintyKind.STD


@pytest.mark.parametrize(
    "head",
    [
        "# wave_unit: nm\n",
        "# wavelength units = nm\n",
        "# Column 1: wavelength (nm)\n# Column 2: flux\n",
        "wavelength,flux\nnm,Jy\n",
        "# Wavelength [nm], flux\n",
        "# units_wave:nm\n",
        "#   1-  6 F6.1   nm   Wave   Wavelength\n#   8- 13 F6.3   ---     FluxD  flux\n",
    ],
)
def test_ways_to_declare_a_unit(head: str) -> None:
    s = one(head + rows(WAVE / 10, FLUX))
    np.testing.assert_allclose(s.wave_aa, WAVE, rtol=1e-14)


def test_no_unit_anywhere_is_an_error_with_its_remedy() -> None:
    bare = source(rows(WAVE, FLUX, sep=" "))
    assert text.recognise(bare) == GENERIC
    with pytest.raises(DataError) as caught:
        list(text.read(bare))
    assert caught.value.code == "no_wave_unit"
    assert caught.value.remedy == "--wave-unit Angstrom"
    s = one(rows(WAVE, FLUX, sep=" "), wave_unit="nm")
    np.testing.assert_allclose(s.wave_aa, WAVE * 10)


def test_the_file_is_believed_before_the_user() -> None:
    s = one(POOL_CSV + rows(WAVE, FLUX, FLUX), wave_unit="nm", medium=Medium.VACUUM,
            specsys=SpecSys.TOPOCENT, flux_unit="Jy")  # fmt: skip
    assert s.axis.unit == "Angstrom"
    assert (s.axis.medium, s.axis.specsys) == (Medium.AIR, SpecSys.BARYCENT)
    assert "erg" in str(s.flux_unit)


def test_a_nameless_third_column_is_kept_and_not_guessed() -> None:
    s = one(rows(WAVE, FLUX, FLUX / 100, sep=" "), wave_unit="Angstrom")
    assert s.uncertainty is None
    np.testing.assert_array_equal(s.extras["column3"], FLUX / 100)
    assert any("column 3" in w for w in s.provenance.warnings)


def test_fortran_exponents_and_windows_line_ends() -> None:
    lines = [f" {w:.3f}  {f:.6E}".replace("E", "D") for w, f in zip(WAVE, FLUX, strict=True)]
    s = one("\r\n".join(lines), wave_unit="Angstrom")
    np.testing.assert_allclose(s.flux, FLUX, atol=1e-6)
    assert len(s) == 60


def test_sexagesimal_position_and_iso_date() -> None:
    head = "# ra: 12:30:00\n# dec: -45:15:00\n# date_obs: 2020-01-01T00:00:00\nwave_aa,flux\n"
    o = one(head + rows(WAVE, FLUX)).observation
    assert o.s_ra == pytest.approx(187.5)
    assert o.s_dec == pytest.approx(-45.25)
    assert o.t_min == pytest.approx(58849.0)


def test_negative_errors_are_flagged_as_in_fits_tables() -> None:
    err = FLUX / 10
    err[3] = -1.0
    s = one(POOL_CSV + rows(WAVE, FLUX, err))
    assert s.mask.nonzero()[0].tolist() == [3]
    assert s.uncertainty is not None
    assert s.uncertainty[3] == -1.0
    none = one(POOL_CSV + rows(WAVE, FLUX, -err))
    assert none.uncertainty is None
    np.testing.assert_array_equal(none.extras["err"], -err)


@pytest.mark.parametrize(
    "content",
    [
        "<html><body>1 2\n3 4\n5 6</body></html>",
        "# Title\n\nSome prose, with commas, here.\n",
        "MIT License\n\nCopyright (c) 2017 A\n\nPermission is hereby granted, free\n",
        "year,count\n2001,3\n2002,5\n",
        "id label\na 1\nb 2\n",
        'source_id,flux\n1,"[1.0, 2.0]"\n2,"[1.5, 2.5]"\n',
        '{"a": [1, 2, 3]}',
        "5 1\n3 2\n9 3\n1 4\n7 5\n",
        "x\n",
        "\n\n\n",
        "1 2\n3 4 5\n",
        b"\x00\x01\x02" * 100,
        b"SIMPLE  =                    T",
    ],
)
def test_files_that_are_no_tables_of_spectra(content: str | bytes) -> None:
    assert text.recognise(source(content)) == 0


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("source_id,ra,dec,gmag\n1,10.0,20.0,5\n2,11.0,21.0,6\n3,12.0,22.0,7\n", "objects"),
        ("spec_id,object_id,z\na,b,0.1\nc,d,0.2\n", "by spec_id without a spectral axis"),
        ("filename\tbjd\trv\nx\t2453413.8\t-21.7\ny\t2453413.9\t-21.7\n", "by filename"),
        ("gaiaedr3,spectype\n51956219879040,DAZ\n74698071455360,DA\n", "by gaiaedr3"),
        ("wrest | name | f\n551.3621 | ArVI 551 | 0.1\n562.711 | NeVI 562 | 0.2\n", "line list"),
        ("wavelength,transmission\n4000,0.1\n4001,0.2\n4002,0.3\n4003,0.4\n", "without fluxes"),
        ("name,wavelength_aa,intensity\n" + "".join(
            f"FeI,{w:.3f},{i}\n" for i, w in enumerate(sorted(np.random.default_rng(2).uniform(
                4000, 9000, 48)))), "line list"),
        (rows(WAVE, WAVE + 0.02, FLUX, sep=" "), "mask"),
        (rows(np.sort(np.random.default_rng(3).uniform(4000, 9000, 500)), np.ones(500), sep=" "),
         "mask"),
    ],
)  # fmt: skip
def test_known_things_that_are_no_spectra(content: str, what: str) -> None:
    file = source(content)
    assert text.recognise(file) == GENERIC
    (item,) = text.read(file)
    assert isinstance(item, NotASpectrum)
    assert what in item.what


def test_columns_listed_below_each_other_and_prose_that_is_no_header() -> None:
    prose = "# every Flux (per unit wavelength)\n# all the flux was rebinned\n"
    listing = "# Columns:\n#  Wavelength (nm)\n#  Flux (per nm, arbitrary)\n#  Number of bins\n"
    numbers = rows(WAVE / 10, FLUX, np.ones_like(FLUX), sep=" ")
    spectrum = one(prose + listing + numbers)
    assert spectrum.axis.unit == "nm"
    assert list(spectrum.extras) == ["Number of bins"]
    bare = one(prose + numbers, wave_unit="nm")  # the third column has no name then
    assert list(bare.extras) == ["column3"]


def test_coarsely_rounded_wavelengths_are_still_samples() -> None:
    wave = np.round(4000 + 0.15 * np.arange(400), 1)  # steps of 0.1 and 0.2 Å in turn
    assert len(one(rows(wave, np.ones(400), sep=" "), wave_unit="Angstrom")) == 400


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: t + "4101.0,1.0\n",
        lambda t: t.replace("4050.", "40x0.", 1).replace("4051.", "405y.", 1),
        lambda t: t + "4101.0,1.0,1.0,1.0\n",
    ],
)
def test_damaged_tables_are_data_errors(spoil) -> None:
    # the damage lies below the sample that recognition sees
    wave = np.linspace(4000, 4100, 401)
    file = source(spoil(POOL_CSV + rows(wave, np.ones(401), np.ones(401))))
    with pytest.raises(DataError) as caught:
        list(text.read(file))
    assert caught.value.code == "bad_table"
    assert caught.value.remedy


def test_a_broken_ecsv_header_is_a_data_error() -> None:
    body = "# %ECSV 1.0\n# ---\n# datatype: [\n# - {\nwave_aa flux\n" + rows(WAVE, FLUX, sep=" ")
    with pytest.raises(DataError) as caught:
        list(text.read(source(body)))
    assert caught.value.code == "bad_ecsv"


def test_recognition_never_raises_on_flipped_bytes() -> None:
    rng = random.Random(5)
    good = bytearray((POOL_CSV + rows(WAVE, FLUX, FLUX)).encode())
    for _ in range(300):
        bad = bytearray(good)
        for _ in range(rng.randrange(1, 8)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        file = source(bytes(bad))
        if text.recognise(file):
            try:
                items = list(text.read(file))
            except DataError:
                continue
            assert all(isinstance(i, (Spectrum, NotASpectrum)) for i in items)


# --- real files


def test_manga_spaxel_declares_its_units_at_the_end(data_dir: Path) -> None:
    path = data_dir / "format_zoo/raw/lime__SHOC579_MANGA38-35.txt.gz"
    s = one(SourceFile.open(path))
    table = np.loadtxt(gzip.decompress(path.read_bytes()).decode().splitlines())
    np.testing.assert_array_equal(s.wave_aa, table[:, 0])
    np.testing.assert_array_equal(s.flux, table[:, 1])
    np.testing.assert_array_equal(s.uncertainty, table[:, 2])
    np.testing.assert_array_equal(s.flags, table[:, 3].astype(int))
    assert s.axis.unit == "Angstrom"
    assert u.Unit(s.flux_unit) == u.Unit("erg s-1 cm-2 Angstrom-1")
    assert s.uncertainty_kind is UncertaintyKind.STD
    assert s.observation.redshift == 0.0475
    peak = s.wave_aa[np.nanargmax(np.where(s.wave_aa > 6500, s.flux, np.nan))]
    assert abs(peak / 1.0475 - 6563.5) < 2.5  # Hα at the redshift that the file gives


def test_fors2_and_palomar_need_a_declared_unit(data_dir: Path) -> None:
    paths = [*sorted((data_dir / "fors2_rxj0054/raw_examples").glob("SPEC*n.txt")),
             data_dir / "palomar_lsr1835_timeseries/raw_examples/spec_1.txt.gz"]  # fmt: skip
    assert len(paths) == 7
    for path in paths:
        with pytest.raises(DataError) as caught:
            list(text.read(SourceFile.open(path)))
        assert caught.value.code == "no_wave_unit"
        s = one(SourceFile.open(path, ReadOptions(wave_unit="Angstrom")))
        raw = path.read_bytes()
        table = np.loadtxt((gzip.decompress(raw) if path.suffix == ".gz" else raw)
                           .decode().splitlines())  # fmt: skip
        np.testing.assert_array_equal(s.wave_aa, table[:, 0])
        np.testing.assert_array_equal(s.flux, table[:, 1])
        np.testing.assert_array_equal(s.extras["column3"], table[:, 2])
        assert s.uncertainty is None
    s = one(SourceFile.open(paths[0], ReadOptions(wave_unit="Angstrom")))
    assert s.observation.redshift == 0.5133
    ten = data_dir / "fors2_rxj0054/raw_examples/SPEC10n.txt"
    assert one(SourceFile.open(ten, ReadOptions(wave_unit="Angstrom"))).observation.redshift is None


def test_masks_lists_and_catalogues_are_no_spectra(data_dir: Path) -> None:
    masks = sorted((data_dir / "masks_linelists").glob("ccf_*/*.mas"))
    assert len(masks) > 30
    for path in masks:
        file = SourceFile.open(path, ReadOptions(wave_unit="Angstrom"))
        assert [type(item) for item in text.read(file)] == [NotASpectrum], path.name
    others = [
        *(data_dir / "masks_linelists/lines").iterdir(),
        *data_dir.glob("catalogs/*.csv.gz"),
        *data_dir.glob("*/index.csv"),
        *data_dir.glob("*/PROVENANCE.md"),
        *data_dir.glob("*/LICEN*"),
        *data_dir.glob("**/*.vot"),
        data_dir / "miles_stars/paramsMILES_v9.1.txt",
        data_dir / "catalogs/dust/mwdust_green19_benchmark.dat",
    ]
    assert len(others) > 40
    for path in others:
        file = SourceFile.open(path, ReadOptions(wave_unit="Angstrom"))
        if text.recognise(file):
            assert [type(item) for item in text.read(file)] == [NotASpectrum], path.name
