"""Gaia RVS and XP in all the forms of the archive."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.table import Table
from required import need

from spectrarium.domain.axis import Medium, SpecSys
from spectrarium.domain.errors import DataError
from spectrarium.domain.spectrum import FluxCalibration, Spectrum, UncertaintyKind
from spectrarium.domain.units import parse_unit
from spectrarium.read import gaia_xp
from spectrarium.read.check import check
from spectrarium.read.gaia import READERS
from spectrarium.read.registry import CERTAIN, LIKELY, Item
from spectrarium.read.source import ReadOptions, SourceFile

SAMPLED, CONTINUOUS = READERS
RVS = {
    "GaiaDR3-1535964555128078720.csv": 1535964555128078720,
    "GaiaDR3-3174658066485297152.csv": 3174658066485297152,
    "HD176650.csv": 4268620287278693120,
    "KOI-001.csv": 2131314401800665344,
    "Kepler-409.csv": 2128215909315876352,
    "Kepler-93.csv": 2052747119115620352,
}
COEFFICIENTS = [f"gaiaxpy_XP_CONTINUOUS_RAW.{ext}" for ext in ("csv", "ecsv", "fits", "xml")]
CALCIUM_VACUUM_NM = (850.036, 854.444, 866.452)
C_KMS = 299_792.458


@pytest.fixture
def xpy() -> None:
    need("gaiaxpy", importlib.util.find_spec("gaiaxpy") is not None, "GaiaXPy is not installed")


def raw(data_dir: Path, name: str) -> Path:
    return data_dir / "gaia_dr3_samples" / "raw" / name


def items(path: Path, options: ReadOptions | None = None, score: int = CERTAIN) -> list[Item]:
    source = SourceFile.open(path, options)
    scores = [reader.recognise(source) for reader in READERS]
    assert sorted(scores) == [0, score]
    return list(READERS[scores.index(score)].read(source))


def spectra(path: Path, options: ReadOptions | None = None, score: int = CERTAIN) -> list[Spectrum]:
    found = items(path, options, score)
    assert all(isinstance(item, Spectrum) for item in found), found
    return [check(item) for item in found if isinstance(item, Spectrum)]


@pytest.mark.parametrize("name", RVS)
def test_real_rvs(data_dir: Path, name: str) -> None:
    (spectrum,) = spectra(raw(data_dir, name))
    truth = np.genfromtxt(raw(data_dir, name), delimiter=",", names=True)
    np.testing.assert_array_equal(spectrum.flux, truth["flux"])
    np.testing.assert_array_equal(spectrum.uncertainty, truth["flux_error"])
    np.testing.assert_allclose(spectrum.wave_aa, truth["wavelength"] * 10, rtol=1e-15)
    seen = spectrum.observation
    assert (seen.obs_collection, seen.obs_id) == ("Gaia-RVS", str(RVS[name]))
    assert (seen.s_ra, seen.s_dec) == (truth["ra"][0], truth["dec"][0])
    assert seen.em_res_power == 11_500
    assert spectrum.uncertainty_kind is UncertaintyKind.STD
    assert spectrum.flux_unit == ""
    assert spectrum.flux_calibration is FluxCalibration.NORMALIZED
    np.testing.assert_array_equal(spectrum.mask, np.isnan(truth["flux"]))


@pytest.mark.parametrize("name", ["HD176650.csv", "Kepler-409.csv", "Kepler-93.csv"])
def test_rvs_is_at_rest_in_vacuum(data_dir: Path, name: str) -> None:
    (spectrum,) = spectra(raw(data_dir, name))
    assert spectrum.axis.medium is Medium.VACUUM
    assert spectrum.axis.specsys is SpecSys.SOURCE
    wave = spectrum.wave_aa / 10
    for line in CALCIUM_VACUUM_NM:
        near = (np.abs(wave - line) < 0.15) & np.isfinite(spectrum.flux)
        depth = np.nanmax(spectrum.flux[near]) - spectrum.flux[near]
        velocity = ((wave[near] * depth).sum() / depth.sum() / line - 1) * C_KMS
        assert abs(velocity) < 4.0  # in air it would be −82 km/s


def test_sampled_xp_in_two_formats_is_one(data_dir: Path) -> None:
    ecsv = spectra(raw(data_dir, "gaiaxpy_XP_SAMPLED_RAW_dr3int6.ecsv"))
    votable = spectra(raw(data_dir, "gaiaxpy_XP_SAMPLED_RAW_votable_plain_dr3int6.xml"))
    truth = Table.read(raw(data_dir, "gaiaxpy_XP_SAMPLED_RAW_dr3int6.ecsv"), format="ascii.ecsv")
    assert len(ecsv) == len(votable) == len(truth) == 2
    for row, pair in enumerate(zip(ecsv, votable, strict=True)):
        for spectrum in pair:
            assert spectrum.flux.dtype == np.float32  # as both headers declare
            np.testing.assert_array_equal(spectrum.flux, truth["flux"][row])
            np.testing.assert_array_equal(spectrum.uncertainty, truth["flux_error"][row])
            np.testing.assert_allclose(spectrum.wave_aa, np.arange(3360, 10201, 20))
            unit = parse_unit(spectrum.flux_unit)
            assert unit is not None
            assert unit.to("erg s-1 cm-2 Angstrom-1") == pytest.approx(100)
            assert spectrum.axis.medium is Medium.VACUUM
            assert spectrum.axis.specsys is SpecSys.UNKNOWN
            assert spectrum.observation.obs_collection == "Gaia-XP-sampled"
            assert spectrum.observation.s_ra == truth["ra"][row]
    assert [s.observation.obs_id for s in ecsv] == ["6", "4"]


def test_the_user_may_declare_a_frame_that_nobody_states(data_dir: Path) -> None:
    options = ReadOptions(specsys=SpecSys.BARYCENT, collection="mine")
    for spectrum in spectra(raw(data_dir, "gaiaxpy_XP_SAMPLED_RAW_dr3int6.ecsv"), options):
        assert spectrum.axis.specsys is SpecSys.BARYCENT
        assert spectrum.observation.obs_collection == "mine"
    (rvs,) = spectra(raw(data_dir, "KOI-001.csv"), options)
    assert rvs.axis.specsys is SpecSys.SOURCE  # what the survey states stays


@pytest.mark.usefixtures("xpy")
@pytest.mark.parametrize("name", COEFFICIENTS)
def test_coefficients_give_the_archives_own_samples(data_dir: Path, name: str) -> None:
    got = spectra(raw(data_dir, name))
    archive = spectra(raw(data_dir, "gaiaxpy_XP_SAMPLED_RAW_dr3int6.ecsv"))
    assert [s.observation.obs_id for s in got] == ["5853498713190525696", "5762406957886626816"]
    for calibrated, sampled in zip(got, archive, strict=True):
        assert calibrated.observation.obs_collection == "Gaia-XP-continuous"
        np.testing.assert_allclose(calibrated.wave_aa, sampled.wave_aa)
        sigma = sampled.uncertainty
        assert sigma is not None
        assert np.max(np.abs(calibrated.flux - sampled.flux) / sigma) < 0.01
        np.testing.assert_allclose(calibrated.uncertainty, sigma, rtol=1e-3)
        assert (calibrated.provenance.pipeline or "").startswith("GaiaXPy ")


@pytest.mark.usefixtures("xpy")
def test_a_table_without_standard_deviations_loses_nothing(data_dir: Path, tmp_path: Path) -> None:
    (sun,) = spectra(raw(data_dir, "gaiaxpy_18Sco-XP-spectra.csv"))
    # 18 Sco: V = 5.50, so f(550 nm) = 3.63e-11 · 10^(−0.4·5.50) W m⁻² nm⁻¹ (Bessell 1998)
    v_band = sun.flux[np.abs(sun.wave_aa - 5500) < 400].mean()
    assert v_band == pytest.approx(3.63e-11 * 10 ** (-0.4 * 5.50), rel=0.06)
    whole = Table.read(raw(data_dir, "gaiaxpy_XP_CONTINUOUS_RAW.csv"), format="csv")
    whole.remove_columns(["bp_standard_deviation", "rp_standard_deviation"])
    whole.write(tmp_path / "bare.csv", format="csv")
    for bare, full in zip(
        spectra(tmp_path / "bare.csv"), spectra(raw(data_dir, COEFFICIENTS[0])), strict=True
    ):
        np.testing.assert_allclose(bare.flux, full.flux, rtol=1e-12)
        np.testing.assert_allclose(bare.uncertainty, full.uncertainty, rtol=1e-12)


@pytest.mark.usefixtures("xpy")
def test_missing_band_and_broken_row(data_dir: Path, tmp_path: Path) -> None:
    table = Table.read(raw(data_dir, "gaiaxpy_XP_CONTINUOUS_RAW.csv"), format="csv")
    table = Table({name: [str(v) for v in table[name]] for name in table.colnames})
    for name in table.colnames:
        if name.startswith("bp_"):
            table[name][0] = ""
    table["rp_coefficient_errors"][1] = "(1.0, 2.0)"
    table.write(tmp_path / "x.csv", format="csv")
    red, broken = items(tmp_path / "x.csv")
    if isinstance(red, DataError):  # errors come before the calibrated rows of their chunk
        red, broken = broken, red
    assert isinstance(red, Spectrum)
    check(red)
    assert red.mask[0]  # nothing below the RP band
    assert not red.mask[-1]
    (full, _) = spectra(raw(data_dir, COEFFICIENTS[0]))
    np.testing.assert_allclose(red.flux[-50:], full.flux[-50:], rtol=1e-9)
    assert isinstance(broken, DataError)
    assert (broken.code, broken.row) == ("bad_coefficients", 1)


def test_without_gaiaxpy_the_remedy_is_named(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gaia_xp.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError) as caught:
        items(raw(data_dir, COEFFICIENTS[0]))
    assert caught.value.code == "missing_extra"
    assert "pip install spectrarium[gaia]" in caught.value.remedy


def test_every_sample_file_is_known_and_no_other(data_dir: Path) -> None:
    folder = raw(data_dir, "")
    for path in folder.iterdir():
        source = SourceFile.open(path)
        scores = sorted(reader.recognise(source) for reader in READERS)
        assert scores == ([0, 0] if path.name == "gaiaxpy_LICENSE" else [0, CERTAIN]), path.name


# ------------------------------------------------------------------ other forms, as documented


def sampled_table(n: int = 343) -> Table:
    flux = np.linspace(1e-16, 2e-16, n, dtype="f4")
    return Table({"wavelength": 336.0 + 2.0 * np.arange(n), "flux": flux,
                  "flux_error": flux * np.float32(0.01)})  # fmt: skip


def test_datalink_csv_with_nothing_but_samples(tmp_path: Path) -> None:
    path = tmp_path / "XP_SAMPLED-Gaia DR3 5853498713190525696.csv"
    sampled_table().write(path, format="csv")
    (spectrum,) = spectra(path, score=LIKELY)
    assert spectrum.observation.obs_id == "5853498713190525696"
    assert spectrum.observation.obs_collection == "Gaia-XP-sampled"
    assert spectrum.flux_unit == "W m-2 nm-1"
    sampled_table().write(tmp_path / "star.csv", format="csv")
    (nameless,) = spectra(tmp_path / "star.csv", score=LIKELY)
    assert nameless.observation.obs_id is None


def test_datalink_votable_and_fits_with_the_source_aside(tmp_path: Path) -> None:
    document = from_table(sampled_table())
    table = document.get_first_table()
    table.params.extend(_params(document, source_id=5853498713190525696, ra=217.4, dec=-62.7))
    document.to_xml(str(tmp_path / "a.xml"))
    hdu = fits.BinTableHDU(sampled_table())
    hdu.header["SOURCE_ID"] = 5853498713190525696
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "a.fits")
    for name in ("a.xml", "a.fits"):
        (spectrum,) = spectra(tmp_path / name, score=LIKELY)
        assert spectrum.observation.obs_id == "5853498713190525696"
        np.testing.assert_array_equal(spectrum.flux, sampled_table()["flux"])
    (first,) = spectra(tmp_path / "a.xml", score=LIKELY)
    assert first.observation.s_ra == 217.4


def _params(document: Any, **values: float) -> list[Any]:
    from astropy.io.votable.tree import Param

    kinds = {int: "long", float: "double"}
    return [Param(document, name=k, value=v, datatype=kinds[type(v)]) for k, v in values.items()]


def test_several_sources_in_one_long_table(tmp_path: Path) -> None:
    parts = []
    for source_id in (11, 22):
        table = sampled_table()
        table["source_id"], table["solution_id"] = source_id, 4545469030156206080
        parts.append(table)
    rows = [row for part in parts for row in part]
    Table(rows=rows, names=parts[0].colnames).write(tmp_path / "two.csv", format="csv")
    got = spectra(tmp_path / "two.csv")
    assert [s.observation.obs_id for s in got] == ["11", "22"]
    assert [len(s) for s in got] == [343, 343]
    assert [s.provenance.row for s in got] == [0, 343]


def test_rvs_raw_rows_take_the_documented_grid(tmp_path: Path) -> None:
    columns = [
        fits.Column("source_id", "K", array=[7]), fits.Column("solution_id", "K", array=[1]),
        fits.Column("flux", "2401E", array=np.ones((1, 2401), "f4")),
        fits.Column("flux_error", "2401E", array=np.full((1, 2401), 0.1, "f4")),
    ]  # fmt: skip
    hdu = fits.BinTableHDU.from_columns(columns)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "r.fits")
    (spectrum,) = spectra(tmp_path / "r.fits")
    assert spectrum.observation.obs_collection == "Gaia-RVS"
    np.testing.assert_allclose(spectrum.wave_aa, 8460 + 0.1 * np.arange(2401))
    assert spectrum.axis.wcs is not None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('source_id,flux,flux_error\n1,"[1,2,3]","[1,1,1]"\n', "unknown_sampling"),
        ('source_id,flux,flux_error\n1,"[1,x,3]","[1,1,1]"\n', "not_a_number"),
        ('source_id,flux,flux_error\n1,"[1,2,3]"\n', "truncated"),
        ("source_id,solution_id,wavelength,flux,flux_error\n1,2,100,1,1\n", "unknown_sampling"),
        ("source_id,solution_id,wavelength,flux,flux_error\n1,2,8\r46,1,1\n", "bad_csv"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "b.csv").write_text(text)
    try:
        found = items(tmp_path / "b.csv")
    except DataError as error:
        found = [error]
    assert [f.code for f in found if isinstance(f, DataError)] == [code]
    assert len(found) == 1


def test_a_damaged_place_is_no_place(data_dir: Path, tmp_path: Path) -> None:
    text = raw(data_dir, "KOI-001.csv").read_text().replace("286.8085269791958", "286x8")
    (tmp_path / "p.csv").write_text(text)
    (spectrum,) = spectra(tmp_path / "p.csv")
    assert (spectrum.observation.s_ra, spectrum.observation.s_dec) == (None, None)
    assert "no coordinates" in spectrum.provenance.warnings


def test_lengths_that_differ(tmp_path: Path) -> None:
    flux = ",".join(["1"] * 343)
    (tmp_path / "b.csv").write_text(f'source_id,flux,flux_error\n5,"[{flux}]","[1,1]"\n')
    (error,) = items(tmp_path / "b.csv")
    assert isinstance(error, DataError)
    assert (error.code, error.row) == ("mismatched_lengths", 0)


def test_truncated_votable(data_dir: Path, tmp_path: Path) -> None:
    whole = raw(data_dir, "gaiaxpy_XP_SAMPLED_RAW_votable_plain_dr3int6.xml").read_bytes()
    (tmp_path / "t.xml").write_bytes(whole[:9000])
    with pytest.raises(DataError) as caught:
        items(tmp_path / "t.xml")
    assert caught.value.code == "bad_votable"


@pytest.mark.parametrize(
    "text",
    [
        "wavelength,flux,flux_error\n4000,1,0.1\n4001,1,0.1\n4002,1,0.1\n",
        "source_id,transit_id,time,mag,flux,flux_error,band\n1,2,3,4,5,6,G\n",
        "source_id,ra,dec,parallax\n1,2,3,4\n",
        "wavelength flux flux_error\n336 1 1\n",
        "wavelength,flux,flux_error\n",
        "<html><body>wavelength,flux,flux_error,source_id</body></html>",
        "",
    ],
)
def test_other_files_are_left_alone(text: str) -> None:
    source = SourceFile("x.csv", text.encode() or b"\n")
    assert [reader.recognise(source) for reader in READERS] == [0, 0]


def test_a_fits_catalogue_is_left_alone(tmp_path: Path) -> None:
    columns = [fits.Column("source_id", "K", array=[1]), fits.Column("ra", "D", array=[2.0])]
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)])
    buffer = io.BytesIO()
    hdus.writeto(buffer)
    source = SourceFile("x.fits", buffer.getvalue())
    assert [reader.recognise(source) for reader in READERS] == [0, 0]
