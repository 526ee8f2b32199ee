"""APOGEE visits, combined and normalised spectra."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from spectrarium.domain.axis import Medium, Scale, SpecSys
from spectrarium.domain.errors import DataError
from spectrarium.domain.spectrum import (
    EchelleSpectrum,
    FluxCalibration,
    Normalisation,
    Spectrum,
    UncertaintyKind,
)
from spectrarium.domain.units import parse_unit
from spectrarium.read.apogee import READERS
from spectrarium.read.check import check
from spectrarium.read.registry import CERTAIN, Item, NotASpectrum
from spectrarium.read.source import ReadOptions, SourceFile

VISIT, STAR, ASPCAP, CATALOGUE = READERS
VISITS = {
    "apVisit-r13-5095-55844-128.fits.gz": ("apo25m-5095-55844-128", -33.122838),
    "apVisit-r13-9518-57729-104.fits.gz": ("apo25m-9518-57729-104", -82.052835),
    "apVisit-r5-7125-56557-285.fits.gz": ("apo25m-7125-56557-285", -33.719771),
    "apVisit-r5-7125-56559-285.fits.gz": ("apo25m-7125-56559-285", -42.233853),
}
OH_VACUUM_AA = (15_240.954, 15_332.402, 15_702.539, 15_833.272, 16_128.608, 16_235.376,
                16_502.365, 16_692.380)  # fmt: skip
"""Night-sky OH lines, Rousselot et al. 2000, A&A 354, 1134."""
C_KMS = 299_792.458


def read_one(path: Path, options: ReadOptions | None = None) -> list[Item]:
    source = SourceFile.open(path, options)
    scores = [reader.recognise(source) for reader in READERS]
    assert sorted(scores) == [0, 0, 0, CERTAIN]
    return list(READERS[scores.index(CERTAIN)].read(source))


def one(path: Path) -> Spectrum:
    (item,) = read_one(path)
    assert isinstance(item, Spectrum)
    return check(item)


def raw(data_dir: Path, name: str) -> Path:
    return data_dir / "apogee_samples" / "raw" / name


@pytest.mark.parametrize("name", VISITS)
def test_real_visits_bit_for_bit(data_dir: Path, name: str) -> None:
    spectrum = one(raw(data_dir, name))
    assert isinstance(spectrum, EchelleSpectrum)
    with fits.open(raw(data_dir, name)) as truth:
        for array, hdu in ((spectrum.flux, 1), (spectrum.uncertainty, 2), (spectrum.flags, 3),
                           (spectrum.axis.values, 4), (spectrum.extras["sky"], 5),
                           (spectrum.extras["telluric_error"], 8)):  # fmt: skip
            assert array is not None
            assert array.dtype == truth[hdu].data.dtype.newbyteorder("=")
            np.testing.assert_array_equal(array, truth[hdu].data)
        header = truth[0].header
    seen = spectrum.observation
    assert (seen.obs_collection, seen.obs_id) == ("APOGEE-visit", VISITS[name][0])
    assert seen.rv_kms == pytest.approx(VISITS[name][1], abs=1e-5)
    assert seen.target_name == header["OBJID"]
    assert (seen.s_ra, seen.s_dec) == (header["RA"], header["DEC"])
    assert seen.berv_kms == header["BC"]
    assert seen.t_min is not None
    assert seen.t_max is not None
    assert (seen.t_min + seen.t_max) / 2 == pytest.approx(header["JD-MID"] - 2_400_000.5, abs=1e-5)
    # eight or ten reads of 500.5 s, not the half of them that one dither position holds
    assert seen.t_exptime == pytest.approx(500.5 * header["NCOMBINE"], rel=1e-3)
    assert seen.t_exptime < (seen.t_max - seen.t_min) * 86_400 * 1.05
    assert np.all(np.diff(spectrum.wave_aa, axis=1) < 0)


@pytest.mark.parametrize("name", VISITS)
def test_visits_are_vacuum_and_topocentric(data_dir: Path, name: str) -> None:
    spectrum = one(raw(data_dir, name))
    assert spectrum.axis.medium is Medium.VACUUM
    assert spectrum.axis.specsys is SpecSys.TOPOCENT
    shifts = []
    for line in OH_VACUUM_AA:
        for wave, sky in zip(spectrum.wave_aa, spectrum.extras["sky"], strict=True):
            near = np.abs(wave - line) < 1.0
            if near.any():
                height = np.clip(sky[near] - np.median(sky[np.abs(wave - line) < 8]), 0, None)
                shifts.append(((wave[near] * height).sum() / height.sum() / line - 1) * C_KMS)
    assert len(shifts) >= 6
    # air wavelengths would be off by −82 km/s, barycentric ones by BC (11 to 15 km/s)
    assert abs(np.median(shifts)) < 3.0
    assert abs(spectrum.observation.berv_kms or 0) > 10


def test_pixmask_only_condemns_what_the_survey_does(data_dir: Path) -> None:
    spectrum = one(raw(data_dir, "apVisit-r5-7125-56557-285.fits.gz"))
    assert spectrum.flags is not None
    assert spectrum.flag_scheme is not None
    assert spectrum.flag_scheme.bits[12] == "SIG_SKYLINE"
    warned = (spectrum.flags & (1 << 12 | 1 << 13 | 1 << 8)) != 0
    bad = (spectrum.flags & sum(1 << b for b in (0, 1, 2, 3, 4, 5, 6, 7, 14))) != 0
    assert (warned & ~bad).any()
    np.testing.assert_array_equal(spectrum.flag_scheme.mask(spectrum.flags), bad)
    assert not spectrum.mask[warned & ~bad].any()


def test_flux_unit(data_dir: Path) -> None:
    unit = parse_unit(one(raw(data_dir, next(iter(VISITS)))).flux_unit)
    assert unit is not None
    assert unit.to("erg s-1 cm-2 Angstrom-1") == pytest.approx(1e-17)


# ------------------------------------------------- apStar and aspcapStar by the published layout

N_PIX = 8575


def log_image(data: np.ndarray, bunit: str = "") -> fits.ImageHDU:
    hdu = fits.ImageHDU(data)
    cards = (("CRVAL1", 4.179), ("CDELT1", 6e-6), ("CRPIX1", 1), ("CTYPE1", "LOG-LINEAR"),
             ("DC-FLAG", 1))  # fmt: skip
    hdu.header.update(cards)
    if bunit:
        hdu.header["BUNIT"] = bunit
    return hdu


def ap_star(path: Path, n_visits: int = 2, *, one_dimensional: bool = False) -> Path:
    rng = np.random.default_rng(3)
    rows = 1 if n_visits == 1 else n_visits + 2
    flux = rng.normal(100, 1, (rows, N_PIX)).astype("f4")
    error = np.ones_like(flux)
    error[:, :300], flux[:, :300] = 1e10, 0
    mask = np.zeros(flux.shape, "i2")
    mask[:, 1000], mask[:, 1001] = 1 << 12, -(1 << 15)
    if rows > 2:
        mask[0, 2000] = mask[2, 2000] = 1  # lost in one visit: in the OR, not in the AND
    primary = fits.PrimaryHDU()
    header = {"OBJID": "2M00000000+0000001", "RA": 12.5, "DEC": -3.5, "TELESCOP": "apo25m",
              "LOCID": 4217, "NVISITS": n_visits, "SNR": 90.0, "VHELIO": 21.5, "STARFLAG": 0,
              "V_APRED": "r12"}  # fmt: skip
    for i in range(1, n_visits + 1):
        header |= {f"SFILE{i}": f"apVisit-r12-5095-5584{i}-128.fits", f"JD{i}": 2_455_844.5 + i,
                   f"VHELIO{i}": 20.0 + i, f"BC{i}": -5.0, f"SNRVIS{i}": 60.0 + i}  # fmt: skip
    primary.header.update(header)
    arrays = [flux, error, mask, flux * 0.1, error, np.ones_like(flux), error]
    units = ("Flux (10^-17 erg/s/cm^2/Ang)", "Error (10^-17 erg/s/cm^2/Ang)",
             "Flag Mask (bitwise)", "Sky (10^-17 erg/s/cm^2/Ang)", "Sky error", "Telluric",
             "Telluric error")  # fmt: skip
    images = [
        log_image(a[0] if one_dimensional else a, u) for a, u in zip(arrays, units, strict=True)
    ]
    fits.HDUList([primary, *images]).writeto(path)
    return path


def test_apstar_is_log_linear_vacuum_in_the_rest_frame(tmp_path: Path) -> None:
    path = ap_star(tmp_path / "a.fits")
    items = read_one(path)
    assert all(isinstance(item, Spectrum) for item in items)
    combined, first, second = (check(i) for i in items if isinstance(i, Spectrum))
    for spectrum in (combined, first, second):
        assert spectrum.axis.scale is Scale.LOG10
        assert spectrum.axis.medium is Medium.VACUUM
        assert spectrum.axis.specsys is SpecSys.SOURCE
        assert spectrum.uncertainty_kind is UncertaintyKind.STD
    with fits.open(path) as truth:
        pixels = np.column_stack([np.arange(N_PIX), np.zeros(N_PIX)])
        log_wave = WCS(truth[1].header).all_pix2world(pixels, 0)[:, 0]
        np.testing.assert_allclose(combined.wave_aa, 10**log_wave, rtol=1e-12)
        for spectrum, row in ((combined, 0), (first, 2), (second, 3)):
            np.testing.assert_array_equal(spectrum.flux, truth[1].data[row])
            np.testing.assert_array_equal(spectrum.uncertainty, truth[2].data[row])
            np.testing.assert_array_equal(spectrum.extras["sky"], truth[4].data[row])
            assert spectrum.provenance.row == row
        np.testing.assert_array_equal(combined.extras["flux_global"], truth[1].data[1])
        np.testing.assert_array_equal(combined.extras["mask_or"], truth[3].data[0])
    # APOGEE's grid begins at 10**4.179
    assert combined.wave_aa[0] == pytest.approx(15_100.802, abs=1e-3)


def test_apstar_identity_and_velocities(tmp_path: Path) -> None:
    got = [i.observation for i in read_one(ap_star(tmp_path / "a.fits"))
           if isinstance(i, Spectrum)]  # fmt: skip
    star = "apo25m-4217-2M00000000+0000001"
    assert [o.obs_id for o in got] == [
        star, f"{star}-apVisit-r12-5095-55841-128", f"{star}-apVisit-r12-5095-55842-128",
    ]  # fmt: skip
    assert [o.rv_kms for o in got] == [21.5, 21.0, 22.0]
    assert [o.snr for o in got] == [90.0, 61.0, 62.0]
    assert [o.t_min for o in got] == [None, 55_845.0, 55_846.0]
    assert (got[0].s_ra, got[0].s_dec) == (12.5, -3.5)


def test_a_combined_pixel_is_bad_only_if_every_visit_lost_it(tmp_path: Path) -> None:
    combined, first, _ = (i for i in read_one(ap_star(tmp_path / "a.fits"))
                          if isinstance(i, Spectrum))  # fmt: skip
    assert not combined.mask[2000]
    assert first.mask[2000]
    assert not combined.mask[1000]  # near a sky line: a warning


def test_no_data_is_masked_even_where_the_survey_set_no_bit(tmp_path: Path) -> None:
    path = ap_star(tmp_path / "a.fits")
    combined = next(i for i in read_one(path) if isinstance(i, Spectrum))
    assert combined.mask[:300].all()
    assert not combined.mask[300:].any()
    assert combined.flags is not None
    with fits.open(path, mode="update") as hdus:
        delivered = hdus[3].data[1]
        np.testing.assert_array_equal(combined.flags & 0xFFFF, delivered.astype(int) & 0xFFFF)
        hdus[3].data[:, :300] = 1
    flagged = next(i for i in read_one(path) if isinstance(i, Spectrum))
    assert flagged.flags is not None
    assert flagged.flags.dtype == np.int16  # nothing to add: as delivered


@pytest.mark.parametrize("one_dimensional", [False, True])
def test_one_visit_is_one_row(tmp_path: Path, one_dimensional: bool) -> None:
    path = ap_star(tmp_path / "a.fits", 1, one_dimensional=one_dimensional)
    spectrum = one(path)
    assert spectrum.flux.shape == (N_PIX,)
    assert "flux_global" not in spectrum.extras
    assert spectrum.observation.t_min == 55_845.0
    assert spectrum.observation.obs_id == "apo25m-4217-2M00000000+0000001"


def test_missing_visits_are_reported(tmp_path: Path) -> None:
    path = ap_star(tmp_path / "a.fits")
    with fits.open(path, mode="update") as hdus:
        hdus[0].header["NVISITS"] = 5
    items = read_one(path)
    assert [i.code for i in items if isinstance(i, DataError)] == ["missing_rows"]
    assert sum(isinstance(i, Spectrum) for i in items) == 3


def aspcap_star(path: Path) -> Path:
    flux = np.ones(N_PIX, "f4")
    error = np.full(N_PIX, 0.01, "f4")
    error[:200], error[200:300] = 1e10, 0.0
    primary = fits.PrimaryHDU()
    primary.header.update({"OBJID": "2M1", "RA": 1.0, "DEC": 2.0, "TELESCOP": "lco25m",
                           "FIELD": "N188", "SNR": 120.0, "VHELIO": -9999.0})  # fmt: skip
    table = fits.BinTableHDU.from_columns([
        fits.Column("APOGEE_ID", "18A", array=["2M1"]),
        fits.Column("FPARAM", "8E", array=[[4800.5, 2.4, 0.1, -0.3, 0.0, 0.1, 0.05, 0.3]]),
        fits.Column("ASPCAPFLAG", "J", array=[2]),
    ])  # fmt: skip
    images = [log_image(flux), log_image(error), log_image(flux * 0.99)]
    fits.HDUList([primary, *images, table]).writeto(path)
    return path


def test_aspcap_is_normalised_with_its_sentinels_flagged(tmp_path: Path) -> None:
    spectrum = one(aspcap_star(tmp_path / "a.fits"))
    assert spectrum.flux_unit == ""
    assert spectrum.flux_calibration is FluxCalibration.NORMALIZED
    assert spectrum.normalisation is Normalisation.CONTINUUM_DIVIDED
    assert spectrum.axis.specsys is SpecSys.SOURCE
    assert spectrum.mask[:300].all()
    assert not spectrum.mask[300:].any()
    np.testing.assert_array_equal(spectrum.extras["model"], np.full(N_PIX, 0.99, "f4"))
    seen = spectrum.observation
    assert seen.obs_id == "lco25m-N188-2M1"
    assert seen.metadata["teff"] == 4800.5
    assert seen.metadata["feh"] == pytest.approx(-0.3)
    assert seen.metadata["alpha_m"] == pytest.approx(0.05)
    assert seen.rv_kms is None  # the pipeline's placeholder


def test_catalogues_are_no_spectra(tmp_path: Path) -> None:
    path = tmp_path / "allStar.fits"
    columns = [fits.Column("APOGEE_ID", "4A", array=["2M1"]),
               fits.Column("STARFLAG", "K", array=[0])]  # fmt: skip
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(path)
    assert read_one(path) == [NotASpectrum("APOGEE catalogue (allStar or allVisit)", hdu=1)]


def test_arrays_of_other_lengths_are_refused(tmp_path: Path) -> None:
    path = ap_star(tmp_path / "a.fits")
    with fits.open(path) as hdus:
        hdus[3] = log_image(np.zeros((4, 100), "i2"), "Flag Mask (bitwise)")
        hdus.writeto(tmp_path / "b.fits")
    with pytest.raises(DataError) as caught:
        read_one(tmp_path / "b.fits")
    assert (caught.value.code, caught.value.hdu) == ("mismatched_lengths", 3)


def test_a_star_without_wavelengths_is_refused(tmp_path: Path) -> None:
    path = ap_star(tmp_path / "a.fits")
    with fits.open(path, mode="update") as hdus:
        del hdus[1].header["CRVAL1"]
    with pytest.raises(DataError) as caught:
        read_one(path)
    assert caught.value.code == "no_wavelength"


def test_truncated_visit_is_refused(data_dir: Path, tmp_path: Path) -> None:
    import gzip

    whole = gzip.decompress(raw(data_dir, next(iter(VISITS))).read_bytes())
    path = tmp_path / "t.fits"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError) as caught:
        read_one(path)
    assert caught.value.code == "truncated"
