"""GALAH single-CCD spectra: air, frame from the DOPCOR cards, relative errors made absolute."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from spectrarium.domain.axis import Medium, SpecSys
from spectrarium.domain.errors import DataError
from spectrarium.domain.spectrum import (
    FluxCalibration,
    Normalisation,
    Spectrum,
    UncertaintyKind,
)
from spectrarium.domain.units import parse_unit
from spectrarium.read.check import check
from spectrarium.read.galah import READERS
from spectrarium.read.registry import CERTAIN, NotASpectrum
from spectrarium.read.source import ReadOptions, SourceFile

READER = READERS[0]
C_KMS = 299_792.458
TELLURIC_AIR_AA = (6543.907, 6552.629, 6572.072)
"""Isolated water lines at rest in air (HITRAN)."""


def read_all(path: Path, options: ReadOptions | None = None) -> list[Spectrum]:
    source = SourceFile.open(path, options)
    assert READER.recognise(source) == CERTAIN
    items = list(READER.read(source))
    assert all(isinstance(item, Spectrum) for item in items), items
    return [check(item) for item in items if isinstance(item, Spectrum)]


def real(data_dir: Path) -> list[Path]:
    return sorted((data_dir / "galah_dr6_sample" / "raw").glob("*.fits.gz"))


@pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")
def test_all_real_files_bit_for_bit(data_dir: Path) -> None:
    paths = real(data_dir)
    assert len(paths) == 24
    seen = set()
    for path in paths:
        (spectrum,) = read_all(path)
        with fits.open(path) as truth:
            for array, hdu in ((spectrum.flux, 0), (spectrum.extras["normalised"], 1),
                               (spectrum.extras["relative_error"], 2), (spectrum.extras["sky"], 3),
                               (spectrum.extras["fwhm_aa"], 7)):  # fmt: skip
                assert array.dtype == truth[hdu].data.dtype.newbyteorder("=")
                np.testing.assert_array_equal(array, truth[hdu].data)
            wave = WCS(truth[0].header).all_pix2world(np.arange(4096), 0)[0]
            np.testing.assert_allclose(spectrum.wave_aa, wave, rtol=1e-13)
            sigma = truth[2].data * truth[0].data
            np.testing.assert_array_equal(spectrum.uncertainty, sigma)
            assert (sigma >= 0).all()  # σ/flux is negative where the flux is
            header = truth[0].header
        assert spectrum.uncertainty_kind is UncertaintyKind.STD
        observation = spectrum.observation
        assert observation.obs_id == path.name[:16]
        assert observation.snr == header["SNR"]
        # the header's S/N is the mean over the CCD's better part: the errors must agree with it
        ratio = np.median(spectrum.flux[sigma > 0] / sigma[sigma > 0]) / header["SNR"]
        assert 0.7 < ratio < 1.4
        seen.add(observation.obs_id)
    assert len(seen) == 24


def test_medium_frame_and_velocity(data_dir: Path) -> None:
    for path in real(data_dir):
        if path.name[15] != "3":
            continue
        (spectrum,) = read_all(path)
        assert spectrum.axis.medium is Medium.AIR
        wave, telluric = spectrum.wave_aa, spectrum.extras["telluric"]
        shifts = []
        for line in TELLURIC_AIR_AA:
            near = np.abs(wave - line) < 0.9
            depth = np.clip(1 - telluric[near] - 0.3 * (1 - telluric[near]).max(), 0, None)
            shifts.append(((wave[near] * depth).sum() / depth.sum() / line - 1) * C_KMS)
        berv = spectrum.observation.berv_kms
        # the atmosphere is at rest at the telescope: it moves by exactly the correction applied
        assert np.median(shifts) == pytest.approx(berv or 0.0, abs=2.0)
        expected = SpecSys.TOPOCENT if berv is None else SpecSys.BARYCENT
        assert spectrum.axis.specsys is expected
        assert (berv is None) == ("22012" in path.name)


def test_a_stellar_line_is_where_the_pipeline_says(data_dir: Path) -> None:
    path = data_dir / "galah_dr6_sample" / "raw" / "2101150001010013.fits.gz"
    (spectrum,) = read_all(path)
    line = 6643.629  # Ni I in air; 6645.46 in vacuum, 83 km/s away
    near = np.abs(spectrum.wave_aa - line) < 1.2
    depth = 1 - spectrum.extras["normalised"][near]
    depth = np.clip(depth - 0.5 * depth.max(), 0, None)
    velocity = ((spectrum.wave_aa[near] * depth).sum() / depth.sum() / line - 1) * C_KMS
    assert velocity == pytest.approx(spectrum.observation.rv_kms, abs=2.0)


def test_catalogue_row(data_dir: Path) -> None:
    raw = data_dir / "galah_dr6_sample" / "raw"
    (spectrum,) = read_all(raw / "2101150001010013.fits.gz")
    seen = spectrum.observation
    assert (seen.s_ra, seen.s_dec) == (87.74803230671, 7.98963034608)
    assert seen.t_exptime == 5400.0
    assert seen.t_max is not None
    assert seen.t_min is not None
    assert seen.t_max - seen.t_min == pytest.approx(92.57 / 1440, abs=1e-3)
    assert seen.em_res_power == pytest.approx(6642 / 0.3204, rel=1e-3)
    assert seen.metadata["gaia_id"] == "3335074476514836608"
    assert seen.metadata["teff"] == pytest.approx(4688.426)
    assert spectrum.flux_calibration is FluxCalibration.UNCALIBRATED
    unit = parse_unit(spectrum.flux_unit)
    assert unit is not None
    assert unit.to_string() == "ct"
    # Vesta: 0, 0 stands for "no position"
    (sun,) = read_all(raw / "2101150022012393.fits.gz")
    assert (sun.observation.s_ra, sun.observation.target_name) == (None, "Vesta/Sun")
    assert sun.provenance.warnings == ("no coordinates",)


def test_the_name_is_believed_only_if_the_header_bears_it_out(
    data_dir: Path, tmp_path: Path
) -> None:
    original = data_dir / "galah_dr6_sample" / "raw" / "2101150001010013.fits.gz"
    for name, expected in (
        ("2101150001010013.fits.gz", "2101150001010013"),
        ("2101150001010014.fits.gz", None),  # another CCD
        ("2101150001010023.fits.gz", None),  # another pivot
        ("1901150001010013.fits.gz", None),  # another night
        ("star.fits.gz", None),
    ):
        shutil.copy(original, tmp_path / name)
        (spectrum,) = read_all(tmp_path / name)
        assert spectrum.observation.obs_id == expected


def test_tables_are_no_spectra(data_dir: Path) -> None:
    source = SourceFile.open(data_dir / "galah_dr6_sample" / "dr6.0_sample.fits")
    assert READER.recognise(source) == CERTAIN
    assert list(READER.read(source)) == [NotASpectrum("GALAH catalogue", hdu=1)]


# --------------------------------------------------------------- the DR2/DR3 layout, as published


def image(data: np.ndarray, start: float, name: str = "", **cards: object) -> fits.ImageHDU:
    hdu = fits.ImageHDU(data, name=name)
    hdu.header.update({"CRVAL1": start, "CDELT1": 0.05, "CRPIX1": 1.0} | cards)
    return hdu


def dr3(path: Path, *, n_hdus: int = 5, named: bool = True, norm_start: float = 4713.6,
        **cards: object) -> Path:  # fmt: skip
    flux = np.linspace(100, 200, 400)
    first = fits.PrimaryHDU(flux)
    first.header.update({"CRVAL1": 4713.6, "CDELT1": 0.05, "CRPIX1": 1.0, "SPECTID": "BL",
                         "INSTRUME": "HERMES-2dF", "BUNIT": "counts"} | cards)  # fmt: skip
    names = ("input_sigma", "no_sky_subspectrum", "no_sky_sigma", "normalised_spectrum")
    data = (np.full(400, 0.02), flux + 7, np.full(400, 0.03), np.ones(400))
    rest = [
        image(array, norm_start if i == 3 else 4713.6, name if named else "")
        for i, (name, array) in enumerate(zip(names, data, strict=True))
    ]
    fits.HDUList([first, *rest][:n_hdus]).writeto(path)
    return path


@pytest.mark.parametrize("named", [True, False])
def test_five_extensions_of_dr3(tmp_path: Path, named: bool) -> None:
    (spectrum,) = read_all(dr3(tmp_path / "a.fits", named=named))
    np.testing.assert_allclose(spectrum.uncertainty, 0.02 * np.linspace(100, 200, 400))
    np.testing.assert_array_equal(spectrum.extras["normalised"], np.ones(400))
    np.testing.assert_array_equal(spectrum.extras["no_sky"], np.linspace(100, 200, 400) + 7)
    assert spectrum.axis.specsys is SpecSys.BARYCENT
    assert spectrum.axis.medium is Medium.AIR
    assert spectrum.wave_aa[0] == 4713.6


def test_four_extensions_have_no_normalised_flux(tmp_path: Path) -> None:
    (spectrum,) = read_all(dr3(tmp_path / "a.fits", n_hdus=4))
    assert "normalised" not in spectrum.extras


def test_a_normalised_flux_on_its_own_grid_is_its_own_spectrum(tmp_path: Path) -> None:
    plain, normalised = read_all(dr3(tmp_path / "a.fits", norm_start=4720.0))
    assert "normalised" not in plain.extras
    assert normalised.wave_aa[0] == 4720.0
    assert normalised.normalisation is Normalisation.CONTINUUM_DIVIDED
    assert normalised.flux_unit == ""
    assert normalised.uncertainty is None
    assert normalised.provenance.hdu == 4


def six(path: Path, **cards: object) -> SpecSys:
    first = fits.PrimaryHDU(np.linspace(1, 2, 400))
    first.header.update({"CRVAL1": 4713.6, "CDELT1": 0.05, "CRPIX1": 1.0,
                         "INSTRUME": "HERMES-2dF"} | cards)  # fmt: skip
    names = ("normalized", "relative_error", "sky")
    hdus = [first, *(image(np.ones(400), 4713.6, name) for name in names)]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    (spectrum,) = read_all(path, ReadOptions(flux_unit="ct"))
    assert spectrum.flux_unit == "ct"
    return spectrum.axis.specsys


def test_frame_follows_the_cards_of_reduction_6(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    assert six(path) is SpecSys.TOPOCENT
    assert six(path, BARYEFF="None") is SpecSys.TOPOCENT
    assert six(path, BARYEFF=-13.36, DOPCOR01="13.36 *") is SpecSys.BARYCENT
    # computed and not applied, applied twice, or another velocity: not ours to guess
    assert six(path, BARYEFF=-13.36) is SpecSys.UNKNOWN
    both = {"DOPCOR01": "13.36 *", "DOPCOR02": "5.0 *"}
    assert six(path, BARYEFF=-13.36, **both) is SpecSys.UNKNOWN
    assert six(path, BARYEFF=-13.36, DOPCOR01="18.9 *") is SpecSys.UNKNOWN


def test_inconsistent_lengths_are_refused(tmp_path: Path) -> None:
    path = dr3(tmp_path / "a.fits")
    with fits.open(path) as hdus:
        hdus[1] = image(np.ones(10), 4713.6, "input_sigma")
        hdus.writeto(tmp_path / "b.fits")
    with pytest.raises(DataError) as caught:
        read_all(tmp_path / "b.fits")
    assert (caught.value.code, caught.value.hdu) == ("mismatched_lengths", 1)


def test_zero_dispersion_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_all(dr3(tmp_path / "a.fits", CDELT1=0.0))
    assert caught.value.code == "no_wavelength"


def test_truncated_file_is_refused(data_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.fits"
    path.write_bytes(gzip.decompress(real(data_dir)[0].read_bytes())[:100_000])
    with pytest.raises(DataError) as caught:
        read_all(path)
    assert caught.value.code == "truncated"


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "o.fits"
    hdu = fits.PrimaryHDU(np.ones(100))
    hdu.header["CRVAL1"] = 5000.0
    fits.HDUList([hdu, fits.ImageHDU(np.ones(100))]).writeto(other)
    text = tmp_path / "o.txt"
    text.write_text("sobject_id,flux\n1,2\n")
    assert READER.recognise(SourceFile.open(other)) == 0
    assert READER.recognise(SourceFile.open(text)) == 0
