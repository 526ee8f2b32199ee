"""HARPS family: classical DRS products (real files) and the ESPRESSO-like DRS (built)."""

from __future__ import annotations

import gzip
import io
import shutil
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.io import fits
from astropy.time import Time

from spectrarium.domain.axis import LinearWCS, Medium, SpecSys
from spectrarium.domain.errors import DataError
from spectrarium.domain.spectrum import EchelleSpectrum, FluxCalibration, Spectrum, UncertaintyKind
from spectrarium.read import harps
from spectrarium.read.check import check
from spectrarium.read.harps import zero_runs
from spectrarium.read.registry import CERTAIN, NotASpectrum
from spectrarium.read.source import SourceFile

HARPS, ESPRESSO = harps.READERS
ZOO = "format_zoo/raw"
E2DS = "ACTIN__HARPS.2003-12-13T06.19.48.371_e2ds_A.fits.gz"
WAVE = "ACTIN__HARPS.2003-12-12T21.47.59.366_wave_A.fits.gz"
BLAZE = "ACTIN__HARPS.2003-12-12T21.42.45.093_blaze_A.fits.gz"
GL581 = "ACTIN__HARPS.2010-09-18T23.42.36.178_s1d_A.fits.gz"
ACENB = "harps_acenB_timeseries/raw_examples/HARPS.2010-03-23T05.34.00.274_s1d_A.fits.gz"
LA_SILLA = EarthLocation.from_geodetic(-70.7345 * u.deg, -29.2584 * u.deg, 2400 * u.m)


def one(source: SourceFile, reader: Any = HARPS) -> Any:
    assert reader.recognise(source) == CERTAIN
    (item,) = reader.read(source)
    return item


def delivered(path: Path) -> np.ndarray:
    data = fits.getdata(path)
    return data.astype(data.dtype.newbyteorder("="))


def line_kms(s: Spectrum, rest: float, half_width: float = 2.0) -> float:
    """Velocity of the deepest pixel within `half_width` Å of `rest`."""
    wave = s.wave_aa
    near = np.abs(wave - rest) < half_width
    return float((wave[near][np.argmin(s.flux[near])] / rest - 1) * 299_792.458)


# ---------------------------------------------------------------- s1d


def test_s1d_of_gl581(data_dir: Path) -> None:
    path = data_dir / ZOO / GL581
    s = check(one(SourceFile.open(path)))
    assert s.axis.wcs == LinearWCS(3781.19, 0.01, 1.0, 313_114)
    np.testing.assert_array_equal(s.flux, delivered(path))
    assert s.axis.medium is Medium.AIR
    assert s.axis.specsys is SpecSys.BARYCENT
    assert s.flux_calibration is FluxCalibration.RELATIVE
    assert s.uncertainty_kind is UncertaintyKind.NONE
    o = s.observation
    assert o.obs_collection == "HARPS"
    assert o.obs_id == "HARPS.2010-09-18T23:42:36.178_s1d_A"
    assert o.s_ra == 229.863516
    assert o.berv_kms == -23.5438771778635
    assert o.t_exptime == 900.0007
    assert s.provenance.pipeline == "HARPS_3.5"


def test_s1d_of_alpha_cen_b_lies_in_air_and_the_barycentric_frame(data_dir: Path) -> None:
    s = check(one(SourceFile.open(data_dir / ACENB)))
    assert len(s) == 313_157
    assert s.wave_aa[[0, -1]] == pytest.approx([3781.73, 6913.29])
    # air wavelengths (NIST); the published velocity of that night is −22.0 km/s.
    # Vacuum would be off by 83 km/s, the observer's frame by the BERV of 18.8 km/s.
    for rest in (6122.217, 6162.173, 6439.075, 6102.723):
        assert line_kms(s, rest) == pytest.approx(-22.0, abs=1.5)


def test_the_gap_between_the_ccds_is_flagged_and_nothing_else(data_dir: Path) -> None:
    s = one(SourceFile.open(data_dir / ACENB))
    assert s.flags is not None
    wave = s.wave_aa[s.flags != 0]
    assert wave.size == 3295
    assert wave[0] == pytest.approx(5304.6, abs=0.5)
    assert wave[-1] == pytest.approx(5337.6, abs=0.5)
    assert s.mask.sum() == 3295


def test_zero_runs() -> None:
    flux = np.array([0, 0, 0, 1, 0, 2, 0, 0, 0, 0.0])
    assert zero_runs(flux, 3).tolist() == [True] * 3 + [False] * 3 + [True] * 4
    assert zero_runs(flux, 4).sum() == 4
    assert not zero_runs(flux, 5).any()
    assert zero_runs(np.zeros(4), 4).all()


def test_bjd_is_utc_in_the_header_and_tdb_in_the_catalogue(data_dir: Path) -> None:
    """The light-travel time recomputed by astropy for a 10 s exposure of α Cen B."""
    source = SourceFile.open(data_dir / ACENB)
    header = source.fits.primary
    middle = header["MJD-OBS"] + header["EXPTIME"] / 2 / 86400
    t = Time(middle, format="mjd", scale="utc", location=LA_SILLA)
    light = t.light_travel_time(SkyCoord(header["RA"] * u.deg, header["DEC"] * u.deg))
    o = one(source).observation
    assert o.metadata["bjd_utc"] == header["ESO DRS BJD"]
    assert abs(o.bjd_tdb - (t.tdb + light).jd) * 86400 < 1.0
    assert (o.bjd_tdb - o.metadata["bjd_utc"]) * 86400 == pytest.approx(66.184, abs=0.01)


def test_an_s1d_changed_by_iraf_has_an_unknown_frame_and_no_archive_id(data_dir: Path) -> None:
    """38 Vir was Doppler-shifted by 7 km/s (its step is 0.010000234 Å): lines lie at rest."""
    s = check(one(SourceFile.open(data_dir / ZOO / "FASMA-synthesis__38Vir_HARPS_2017.fits.gz")))
    assert s.axis.specsys is SpecSys.UNKNOWN
    assert s.axis.medium is Medium.AIR
    assert s.observation.obs_id is None
    assert any("edited" in w for w in s.provenance.warnings)
    assert s.wave_aa[0] == 3781.2690429688
    for rest in (6122.217, 6439.075, 5895.924):
        assert abs(line_kms(s, rest)) < 3.0


# ---------------------------------------------------------------- e2ds


def test_e2ds_wavelengths_equal_the_wave_file_that_its_header_names(data_dir: Path) -> None:
    s = check(one(SourceFile.open(data_dir / ZOO / E2DS)))
    assert isinstance(s, EchelleSpectrum)
    assert s.flux.shape == (72, 4096)
    np.testing.assert_array_equal(s.flux, delivered(data_dir / ZOO / E2DS))
    wave = delivered(data_dir / ZOO / WAVE)  # float32: 2.4e-4 Å steps near 6900 Å
    np.testing.assert_allclose(s.wave_aa, wave, atol=2.5e-4, rtol=0)
    assert s.axis.medium is Medium.AIR
    assert s.axis.specsys is SpecSys.TOPOCENT
    assert s.order_numbers == (*range(161, 115, -1), *range(114, 88, -1))
    m = np.array(s.order_numbers)
    centre = s.wave_aa[:, 2048] * m  # the grating equation: m λ is nearly the same in all orders
    assert np.ptp(centre) / centre.mean() < 0.01
    assert s.trace == "A"


def test_e2ds_lines_lie_at_the_topocentric_velocity(data_dir: Path) -> None:
    """Gl 273: barycentric velocity +18.2 km/s, BERV +15.26 km/s."""
    s = one(SourceFile.open(data_dir / ZOO / E2DS))
    berv = s.observation.berv_kms
    assert berv == 15.2576897037435
    for rest in (6122.217, 6162.173, 6439.075):
        order = int(np.argmin(np.abs(s.wave_aa[:, 2048] - rest)))
        assert line_kms(s.order(order), rest, 1.2) + berv == pytest.approx(18.2, abs=2.5)


def test_e2ds_takes_the_blaze_beside_it(data_dir: Path, tmp_path: Path) -> None:
    shutil.copy(data_dir / ZOO / E2DS, tmp_path / "e2ds.fits.gz")
    alone = one(SourceFile.open(tmp_path / "e2ds.fits.gz"))
    assert not alone.extras
    assert any("blaze_A.fits is not beside" in w for w in alone.provenance.warnings)
    for name in ("HARPS.2003-12-12T21:42:45.093_blaze_A.fits",
                 "HARPS.2003-12-12T21.42.45.093_blaze_A.fits"):  # fmt: skip
        beside = tmp_path / f"{name}.gz"
        shutil.copy(data_dir / ZOO / BLAZE, beside)
        both = one(SourceFile.open(tmp_path / "e2ds.fits.gz"))
        np.testing.assert_array_equal(both.extras["blaze"], delivered(data_dir / ZOO / BLAZE))
        beside.unlink()


def e2ds_without_polynomials(data_dir: Path, out: Path) -> Path:
    with fits.open(data_dir / ZOO / E2DS) as hdus:
        del hdus[0].header["ESO DRS CAL TH COEFF LL*"]
        hdus[0].writeto(out)
    return out


def test_e2ds_without_polynomials_takes_the_wave_file(data_dir: Path, tmp_path: Path) -> None:
    path = e2ds_without_polynomials(data_dir, tmp_path / "e2ds.fits")
    with pytest.raises(DataError, match="wave file is not beside") as caught:
        one(SourceFile.open(path))
    assert caught.value.code == "no_dispersion"
    assert "wave_A.fits" in caught.value.remedy
    shutil.copy(data_dir / ZOO / WAVE, tmp_path / "HARPS.2003-12-12T21.47.59.366_wave_A.fits.gz")
    s = one(SourceFile.open(path))
    np.testing.assert_array_equal(s.axis.coordinate(), delivered(data_dir / ZOO / WAVE))


def test_a_missing_coefficient_is_not_taken_for_zero(data_dir: Path) -> None:
    whole = gzip.decompress((data_dir / ZOO / E2DS).read_bytes())
    at = whole.index(b"CAL TH COEFF LL150 =")
    for damaged in (whole.replace(b"COEFF LL150 =", b"COEFF LX150 ="),
                    whole[: at + 21] + b"?" + whole[at + 22 :]):  # fmt: skip
        with pytest.raises(DataError) as caught:
            one(SourceFile("e2ds.fits", damaged))
        assert caught.value.code == "bad_dispersion"


def test_a_damaged_blaze_is_noted_and_the_spectrum_kept(data_dir: Path, tmp_path: Path) -> None:
    shutil.copy(data_dir / ZOO / E2DS, tmp_path / "e2ds.fits.gz")
    whole = gzip.decompress((data_dir / ZOO / BLAZE).read_bytes())
    name = "HARPS.2003-12-12T21:42:45.093_blaze_A.fits"
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    s = one(SourceFile.open(tmp_path / "e2ds.fits.gz"))
    assert not s.extras
    assert any("cannot be read" in w for w in s.provenance.warnings)


# ---------------------------------------------------------------- what is no spectrum


@pytest.mark.parametrize(
    ("name", "what"),
    [
        (WAVE, "HARPS wavelength map"),
        (BLAZE, "HARPS blaze function"),
        ("ACTIN__HARPS.2006-07-05T03.52.40.071_ccf_G2_A.fits.gz", "HARPS CCF (G2)"),
        ("ACTIN__HARPS.2010-09-18T23.42.36.178_ccf_M2_A.fits.gz", "HARPS CCF (M2)"),
    ],
)
def test_calibrations_and_ccfs(data_dir: Path, name: str, what: str) -> None:
    assert one(SourceFile.open(data_dir / ZOO / name)) == NotASpectrum(what, hdu=0)


def test_every_ccf_of_hd224789_and_of_soap(data_dir: Path) -> None:
    observed = sorted((data_dir / "harps_ccf_hd224789/raw").glob("*.gz"))
    assert len(observed) == 36
    assert {one(SourceFile.open(p)).what for p in observed} == {"HARPS CCF (K5)"}
    simulated = sorted((data_dir / "harps_ccf_hd224789/soap_simulated").glob("*.gz"))
    assert {one(SourceFile.open(p)).what for p in simulated} == {"simulated CCF (SOAP)"}


def classical(data: Any, prefix: str = "TNG", **cards: Any) -> SourceFile:
    header = fits.Header({"INSTRUME": "HARPN", "DATE-OBS": "2014-05-03T01:02:03.456"})
    header[f"HIERARCH {prefix} DRS VERSION"] = "HARPN_3.7"
    header[f"HIERARCH {prefix} DRS CAL LOC FILE"] = "HARPN.2014-05-02T18-00-00.000_loco_A.fits"
    for key, value in cards.items():
        header[key.replace("__", " ")] = value
    out = io.BytesIO()
    fits.PrimaryHDU(np.asarray(data), header).writeto(out)
    return SourceFile("made.fits", out.getvalue())


@pytest.mark.parametrize("prefix", ["TNG", "OHP", "ESO"])
def test_family_members_are_read_by_their_own_prefix(prefix: str) -> None:
    s = one(classical(
        np.ones(500, np.float32), prefix, CRVAL1=3890.0, CDELT1=0.01, CTYPE1="Angstrom",
        **{f"HIERARCH__{prefix}__DRS__BERV": -7.25, f"HIERARCH__{prefix}__DRS__BJD": 2456780.5},
    ))  # fmt: skip
    assert s.observation.berv_kms == -7.25
    assert s.axis.specsys is SpecSys.BARYCENT
    assert s.observation.obs_collection == "HARPN"
    assert (s.observation.bjd_tdb - 2456780.5) * 86400 == pytest.approx(67.184, abs=0.01)


def test_lamps_bisectors_and_lamp_fibres_are_no_spectra() -> None:
    flat = np.random.default_rng(1).normal(1.0, 0.02, (4, 4096)).astype(np.float32)
    lamp = {"HIERARCH__TNG__DPR__CATG": "CALIB", "HIERARCH__TNG__DPR__TYPE": "LAMP,LAMP,TUN"}
    assert one(classical(flat, **lamp)).what == "HARPN flat field"
    thar = {"HIERARCH__TNG__DPR__CATG": "CALIB", "HIERARCH__TNG__DPR__TYPE": "WAVE,WAVE,THAR2"}
    assert "THAR2" in one(classical(flat * 1e4, **thar)).what
    assert one(classical(flat, HIERARCH__TNG__DRS__BIS__SPAN=0.01)).what == "HARPN line bisector"
    fibre_b = classical(flat, HIERARCH__TNG__DPR__TYPE="STAR,WAVE,G2",
                        HIERARCH__TNG__DRS__CAL__LOC__FILE="HARPN.x_loco_B.fits")  # fmt: skip
    assert "calibration exposure" in one(fibre_b).what


def test_wrong_shapes_and_missing_dispersions_are_errors() -> None:
    with pytest.raises(DataError) as caught:
        one(classical(np.ones((2, 3, 40), np.float32)))
    assert caught.value.code == "wrong_shape"
    with pytest.raises(DataError) as caught:
        one(classical(np.ones(400, np.float32), CRVAL1=3800.0))
    assert caught.value.code == "no_dispersion"


def test_truncated_file(data_dir: Path) -> None:
    whole = gzip.decompress((data_dir / ZOO / GL581).read_bytes())
    source = SourceFile("cut.fits", whole[:-40_000])
    with pytest.raises(DataError) as caught:
        HARPS.recognise(source)
    assert caught.value.code == "truncated"


# ---------------------------------------------------------------- ESPRESSO-like DRS


def espresso(*hdus: Any, catg: str = "S1D_A") -> SourceFile:
    primary = fits.PrimaryHDU()
    primary.header["INSTRUME"] = "ESPRESSO"
    primary.header["ARCFILE"] = "ESPRE.2019-02-03T04:05:06.789.fits"
    primary.header["MJD-OBS"] = 58517.17
    primary.header["EXPTIME"] = 300.0
    primary.header["RA"] = 83.0
    primary.header["DEC"] = -5.0
    primary.header["HIERARCH ESO PRO CATG"] = catg
    primary.header["HIERARCH ESO QC BERV"] = -21.5
    primary.header["HIERARCH ESO QC BJD"] = 2458517.675
    primary.header["HIERARCH ESO QC CCF RV"] = 12.3
    out = io.BytesIO()
    fits.HDUList([primary, *hdus]).writeto(out)
    return SourceFile("made.fits", out.getvalue())


def image(name: str, data: Any) -> fits.ImageHDU:
    return fits.ImageHDU(np.asarray(data), name=name)


VACUUM = 5000.0 + 0.01 * np.arange(400)


def test_espresso_s1d_table() -> None:
    flux = np.linspace(10, 20, 400, dtype=np.float32)
    quality = np.zeros(400, np.int32)
    quality[7] = 16384
    table = fits.BinTableHDU.from_columns([
        fits.Column("wavelength", "D", unit="angstrom", array=VACUUM),
        fits.Column("wavelength_air", "D", unit="angstrom", array=VACUUM / 1.00028),
        fits.Column("flux", "E", unit="e-", array=flux),
        fits.Column("error", "E", unit="e-", array=np.sqrt(flux)),
        fits.Column("quality", "J", array=quality),
    ])  # fmt: skip
    s = check(one(espresso(table), ESPRESSO))
    np.testing.assert_array_equal(s.wave_aa, VACUUM)
    np.testing.assert_array_equal(s.flux, flux)
    np.testing.assert_array_equal(s.extras["wave_air"], VACUUM / 1.00028)
    assert s.axis.medium is Medium.VACUUM
    assert s.axis.specsys is SpecSys.BARYCENT
    assert s.flux_unit == "electron"
    assert s.uncertainty_kind is UncertaintyKind.STD
    assert np.flatnonzero(s.mask).tolist() == [7]
    o = s.observation
    assert o.obs_id == "ESPRE.2019-02-03T04:05:06.789_S1D_A"
    assert (o.berv_kms, o.bjd_tdb, o.rv_kms) == (-21.5, 2458517.675, 12.3)


def test_espresso_s2d_slices_are_traces() -> None:
    orders = np.repeat(VACUUM[None] * (1 + 0.01 * np.arange(3))[:, None], 2, axis=0)
    flux = np.arange(6 * 400, dtype=np.float32).reshape(6, 400)
    source = espresso(image("SCIDATA", flux), image("ERRDATA", flux * 0 + 2),
                      image("QUALDATA", np.zeros((6, 400), np.int32)),
                      image("WAVEDATA_VAC_BARY", orders), catg="S2D_A")  # fmt: skip
    assert ESPRESSO.recognise(source) == CERTAIN
    assert not HARPS.recognise(source)
    both = [check(s) for s in ESPRESSO.read(source)]
    assert [s.trace for s in both] == ["A1", "A2"]
    assert len({s.observation.obs_id for s in both}) == 2
    for i, s in enumerate(both):
        assert isinstance(s, EchelleSpectrum)
        np.testing.assert_array_equal(s.flux, flux[i::2])
        np.testing.assert_array_equal(s.axis.coordinate(), orders[i::2])
        assert s.axis.medium is Medium.VACUUM


def test_s2d_without_slices_is_one_spectrum_and_a_bad_shape_an_error() -> None:
    orders = VACUUM[None] * (1 + 0.01 * np.arange(4))[:, None]
    flux = np.ones((4, 400), np.float32)
    s = one(espresso(image("SCIDATA", flux), image("WAVEDATA_AIR_BARY", orders)), ESPRESSO)
    assert s.axis.medium is Medium.AIR
    assert s.uncertainty is None
    assert s.flux.shape == (4, 400)
    bad = espresso(image("SCIDATA", flux), image("WAVEDATA_VAC_BARY", orders[:3]))
    with pytest.raises(DataError) as caught:
        list(ESPRESSO.read(bad))
    assert caught.value.code == "mismatched_lengths"


def test_espresso_ccf_and_foreign_tables() -> None:
    ccf = espresso(image("SCIDATA", np.ones((171, 81))), catg="CCF_A")
    assert one(ccf, ESPRESSO) == NotASpectrum("ESPRESSO CCF", hdu=1)
    sdp = fits.BinTableHDU.from_columns([fits.Column("WAVE", "400D", array=VACUUM[None])])
    assert not ESPRESSO.recognise(espresso(sdp))
    assert not HARPS.recognise(espresso(sdp))
