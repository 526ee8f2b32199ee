"""IGRINS, HPF Goldilocks and UVES_popler."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from spectrarium.domain.axis import LinearWCS, Medium, Scale, SpecSys
from spectrarium.domain.errors import DataError
from spectrarium.domain.spectrum import (
    EchelleSpectrum,
    FluxCalibration,
    Normalisation,
    UncertaintyKind,
)
from spectrarium.read import echelle
from spectrarium.read.check import check
from spectrarium.read.registry import CERTAIN, NotASpectrum
from spectrarium.read.source import SourceFile

IGRINS, HPF, POPLER = echelle.READERS
ZOO = "format_zoo/raw"
SPEC = "muler_example_data__SDCH_20201202_0059.spec.fits.gz"
VARIANCE = "muler_example_data__SDCH_20201202_0059.variance.fits.gz"
WVLSOL = "muler_example_data__SKY_SDCH_20201202_0033.wvlsol_v1.fits.gz"
GOLDILOCKS = "muler_example_data__Goldilocks_20210517T054403_v1.0_0060.spectra.fits.gz"


def items(source: SourceFile, reader: Any) -> list[Any]:
    assert reader.recognise(source) == CERTAIN
    assert [r.name for r in echelle.READERS if r.recognise(source)] == [reader.name]
    return list(reader.read(source))


def delivered(path: Path, hdu: int | str = 0) -> np.ndarray:
    data = fits.getdata(path, hdu)
    return data.astype(data.dtype.newbyteorder("="))


def made(*hdus: Any) -> SourceFile:
    out = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(out)
    return SourceFile("made.spec.fits", out.getvalue())


# ---------------------------------------------------------------- IGRINS


def test_igrins_spectrum_with_its_variance(data_dir: Path) -> None:
    path = data_dir / ZOO / SPEC
    (s,) = items(SourceFile.open(path), IGRINS)
    check(s)
    assert isinstance(s, EchelleSpectrum)
    np.testing.assert_array_equal(s.flux, delivered(path))
    np.testing.assert_array_equal(s.axis.coordinate(), delivered(path, 1))
    np.testing.assert_array_equal(s.uncertainty, delivered(data_dir / ZOO / VARIANCE))
    assert s.uncertainty_kind is UncertaintyKind.VAR
    assert s.axis.unit == "um"
    assert s.axis.medium is Medium.VACUUM
    assert s.axis.specsys is SpecSys.TOPOCENT
    assert s.order_numbers == tuple(range(98, 126))
    centre = s.wave_aa[:, 1024] * np.array(s.order_numbers)
    assert np.ptp(centre) / centre.mean() < 0.01  # the grating equation
    assert s.observation.s_ra == pytest.approx(106.301325)
    assert s.observation.t_min == 59186.349733


def test_igrins_without_its_variance_has_no_uncertainty(data_dir: Path, tmp_path: Path) -> None:
    shutil.copy(data_dir / ZOO / SPEC, tmp_path / "SDCH_20201202_0059.spec.fits.gz")
    source = SourceFile.open(tmp_path / "SDCH_20201202_0059.spec.fits.gz")
    (s,) = items(source, IGRINS)
    assert s.uncertainty is None
    assert any("variance" in w for w in s.provenance.warnings)
    (tmp_path / "SDCH_20201202_0059.variance.fits").write_bytes(b"SIMPLE  = rubbish")
    (s,) = items(SourceFile.open(source.path), IGRINS)
    assert s.uncertainty is None
    assert any("cannot be read" in w for w in s.provenance.warnings)


@pytest.mark.parametrize(
    ("name", "what"),
    [(VARIANCE, "IGRINS variance or S/N array of a spectrum file"),
     (WVLSOL, "IGRINS wavelength map")],
)  # fmt: skip
def test_igrins_companions_are_no_spectra(data_dir: Path, name: str, what: str) -> None:
    assert items(SourceFile.open(data_dir / ZOO / name), IGRINS) == [NotASpectrum(what, hdu=0)]


def igrins(flux: np.ndarray, wave: np.ndarray) -> SourceFile:
    primary = fits.PrimaryHDU(flux)
    primary.header["INSTRUME"] = "IGRINS"
    return made(primary, fits.ImageHDU(wave))


def test_igrins_units_and_shapes() -> None:
    flux = np.ones((3, 200), np.float32)
    wave = np.linspace(2.0, 2.3, 600).reshape(3, 200)
    assert items(igrins(flux, wave), IGRINS)[0].wave_aa[0, 0] == pytest.approx(20_000)
    assert items(igrins(flux, wave * 1e3), IGRINS)[0].wave_aa[0, 0] == pytest.approx(20_000)
    for source, code in ((igrins(flux, wave * 10), "bad_wave_unit"),
                         (igrins(flux, wave[:2]), "mismatched_lengths")):  # fmt: skip
        with pytest.raises(DataError) as caught:
            items(source, IGRINS)
        assert caught.value.code == code


# ---------------------------------------------------------------- HPF


def test_hpf_science_and_sky_fibres(data_dir: Path) -> None:
    path = data_dir / ZOO / GOLDILOCKS
    science, sky, calibration = items(SourceFile.open(path), HPF)
    assert isinstance(calibration, NotASpectrum)
    for s, fibre in ((science, "Sci"), (sky, "Sky")):
        check(s)
        np.testing.assert_array_equal(s.flux, delivered(path, f"{fibre} Flux"))
        np.testing.assert_array_equal(s.uncertainty, delivered(path, f"{fibre} Error"))
        np.testing.assert_array_equal(s.axis.coordinate(), delivered(path, f"{fibre} Wavl"))
        assert s.uncertainty_kind is UncertaintyKind.STD
        assert s.axis.medium is Medium.VACUUM
        assert s.axis.specsys is SpecSys.TOPOCENT
        assert s.flux_unit == "electron / s"
        assert s.trace == fibre
        assert np.all(s.mask[s.uncertainty == 0])
    assert science.observation.obs_id != sky.observation.obs_id
    assert sky.observation.target_class == "sky"
    o = science.observation
    # HR 4829; RA in the header is in hours, 12.717, and must not become 12.7 deg
    assert (o.s_ra, o.s_dec) == (pytest.approx(190.4875), pytest.approx(6.80667, abs=1e-4))
    assert o.berv_kms == pytest.approx(-21.91110911538529)


def test_hpf_wavelengths_are_vacuum_of_the_observer(data_dir: Path) -> None:
    """OH airglow in the sky fibre (Rousselot et al. 2000, vacuum); air would be 3.1 Å less.

    The barycentric shift of −21.9 km/s, 0.8 Å, was not applied either.
    """
    sky = items(SourceFile.open(data_dir / ZOO / GOLDILOCKS), HPF)[1]
    for line in (10834.3, 11538.7, 12007.0, 12030.8, 12122.5):
        order = int(np.argmin(np.abs(sky.wave_aa[:, 1024] - line)))
        wave, flux = sky.wave_aa[order], sky.flux[order]
        near = np.abs(wave - line) < 5
        assert abs(wave[near][np.argmax(flux[near])] - line) < 0.25


def hpf(**arrays: np.ndarray) -> SourceFile:
    primary = fits.PrimaryHDU()
    primary.header["INSTRUME"] = "HPF"
    return made(primary, *(fits.ImageHDU(a, name=n.replace("_", " ")) for n, a in arrays.items()))


def test_hpf_bad_fibre_does_not_spoil_the_other() -> None:
    wave = np.linspace(8000, 9000, 400).reshape(2, 200)
    flux = np.ones((2, 200), np.float32)
    science, sky = items(hpf(Sci_Flux=flux, Sci_Wavl=wave, Sky_Flux=flux), HPF)
    assert science.uncertainty_kind is UncertaintyKind.NONE
    assert isinstance(sky, DataError)
    assert (sky.code, sky.hdu) == ("no_dispersion", 3)
    (error,) = items(hpf(Sci_Flux=flux, Sci_Wavl=wave[:, :100]), HPF)
    assert error.code == "mismatched_lengths"
    variance = items(hpf(Sci_Flux=flux, Sci_Wavl=wave, Sci_Variance=flux), HPF)[0]
    assert variance.uncertainty_kind is UncertaintyKind.VAR


# ---------------------------------------------------------------- UVES_popler


def test_popler_sample(data_dir: Path) -> None:
    path = data_dir / ZOO / "linetools__popler_sample.fits.gz"
    (s,) = items(SourceFile.open(path), POPLER)
    rows, header = delivered(path), fits.getheader(path)
    np.testing.assert_array_equal(s.flux, rows[0])
    np.testing.assert_array_equal(s.uncertainty, rows[1])
    np.testing.assert_array_equal(s.extras["continuum"], rows[3])
    assert s.axis.wcs == LinearWCS(header["CRVAL1"], header["CD1_1"], 1.0, 10)
    assert s.axis.scale is Scale.LOG10
    assert s.wave_aa[0] == pytest.approx(header["UP_WLSRT"], rel=1e-13)
    assert s.axis.medium is Medium.VACUUM
    assert s.axis.specsys is SpecSys.HELIOCEN
    assert s.normalisation is Normalisation.CONTINUUM_DIVIDED
    assert s.flux_calibration is FluxCalibration.NORMALIZED
    assert s.flux_unit == ""
    assert s.mask.tolist() == [False, False, True, True, True, True, False, False, True, True]


def popler(n: int, rows: int = 9) -> SourceFile:
    data = np.ones((rows, n))
    if rows > 5:
        data[1, 3] = -1e32
        data[4, 3] = -2
        data[4, 5] = -4
    hdu = fits.PrimaryHDU(data)
    hdu.header["CRVAL1"], hdu.header["CD1_1"], hdu.header["CRPIX1"] = 3.6, 1e-6, 1
    hdu.header["DC-FLAG"] = 1
    hdu.header["UP_ARR01"] = "Normalized flux spectrum"
    return made(hdu)


def test_popler_sentinels_are_flagged_so_that_the_rest_is_kept() -> None:
    (s,) = items(popler(50), POPLER)
    check(s)
    assert np.flatnonzero(s.mask).tolist() == [3, 5]
    assert s.uncertainty[3] == -1e32


def test_popler_with_too_few_rows() -> None:
    with pytest.raises(DataError) as caught:
        items(popler(50, rows=2), POPLER)
    assert caught.value.code == "wrong_shape"


def test_nothing_else_is_claimed() -> None:
    plain = made(fits.PrimaryHDU(np.ones((3, 50))))
    for source in (plain, SourceFile("x", b"plain text")):
        assert not any(r.recognise(source) for r in echelle.READERS)
