"""EPRV standard files built to its tables (2026.02 and older names), KPF's and NEID's layouts."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from spectrarium.domain.axis import Medium, SpecSys
from spectrarium.domain.errors import DataError
from spectrarium.domain.spectrum import EchelleSpectrum, Normalisation, Spectrum, UncertaintyKind
from spectrarium.read import eprv
from spectrarium.read.registry import CERTAIN, NotASpectrum
from spectrarium.read.source import ReadOptions, SourceFile

N_ORDER, N_PIX = 3, 64
ORDERS = [118, 117, 116]
RNG = np.random.default_rng(3)
WAVE = np.array([5200.0 + 60 * i + 0.5 * np.arange(N_PIX) for i in range(N_ORDER)])
FLUX = RNG.poisson(900, (N_ORDER, N_PIX)).astype(np.float32)
BLAZE = RNG.uniform(0.5, 1, (N_ORDER, N_PIX))
PRIMARY: dict[str, Any] = {
    "INSTRUME": "KPF", "DATALVL": "L2", "OBJECT": "HD 10700", "OBSTYPE": "Sci", "NUMTRACE": 4,
    "NUMORDER": N_ORDER, "FILENAME": "kpf_SL2_20240101T000000.fits", "EXPTIME": 600.0,
    "DATE-OBS": "2024-01-01T06:00:00.000", "TELESCOP": "Keck I", "AIRMASS": 1.25,
    "TRACE1": "CAL", "TRACE2": "SCI", "TRACE3": "SCI", "TRACE4": "SKY", "CLSRC1": "LFC",
    "CRA2": "01:44:04.083", "CDEC2": "-15:56:14.93", "CRV2": -16.6, "CRA3": "01:44:04.083",
    "CDEC3": "-15:56:14.93", "CRA4": "UNKNOWN", "EXSNR1": 200.0, "EXSNR2": 300.0,
    "EXSNR3": 250.0, "DRPTAG": "v2.8", "EPRVTAG": "2026.02", "PROGRAM": "UNKNOWN",
    "EXTRACT": "optimal", "SUMMFLAG": "Pass",
}  # fmt: skip


def image(name: str, data: Any, **cards: Any) -> fits.ImageHDU:
    """An image extension with these keywords."""
    hdu = fits.ImageHDU(data, name=name)
    hdu.header.update(cards)
    return hdu


def file(*hdus: Any, **cards: Any) -> bytes:
    """Primary, the extensions every level has, and `hdus`."""
    primary = fits.PrimaryHDU()
    for key, value in (PRIMARY | cards).items():
        if value is not None:
            primary.header[key] = value
    order = fits.BinTableHDU.from_columns(
        [fits.Column("ECHELLE_ORDER", "J", array=ORDERS[::-1]),
         fits.Column("ORDER_INDEX", "J", array=[2, 1, 0])],
        name="ORDER_TABLE",
    )  # fmt: skip
    text = fits.BinTableHDU.from_columns(
        [fits.Column("Name", "20A", array=["TRACE1_FLUX"])], name="EXT_DESCRIPT"
    )
    out = io.BytesIO()
    fits.HDUList([primary, image("INSTRUMENT_HEADER", None), text, order, *hdus]).writeto(out)
    return out.getvalue()


def trace(n: int, flux: Any = FLUX, **wave_cards: Any) -> list[fits.ImageHDU]:
    """The four required extensions of trace `n`; its flux is offset by n."""
    cards = {"CUNIT1": "Angstrom", "CTYPE1": "WAVE"} | wave_cards
    cards = {k: v for k, v in cards.items() if v is not None}
    return [
        image(f"TRACE{n}_FLUX", flux + np.float32(n)), image(f"TRACE{n}_WAVE", WAVE, **cards),
        image(f"TRACE{n}_VAR", flux + np.float32(9)), image(f"TRACE{n}_BLAZE", BLAZE),
    ]  # fmt: skip


def barycentric(kms: Any = -21.5, bjd: Any = 2460310.754) -> list[fits.ImageHDU]:
    """The three extensions of the correction, as scalars or arrays."""
    z = np.atleast_1d(np.asarray(kms)) / 299792.458
    return [
        image("BARYCORR_KMS", np.atleast_1d(np.asarray(kms, float))), image("BARYCORR_Z", z),
        image("BJD_TDB", np.atleast_1d(np.asarray(bjd, float))),
    ]  # fmt: skip


def kpf(**cards: Any) -> bytes:
    """Lamp, two science slices, sky."""
    return file(*(h for n in (1, 2, 3, 4) for h in trace(n)), *barycentric(), **cards)


def items(data: bytes, **options: Any) -> list[Any]:
    """Everything read from a file that must be recognised with certainty."""
    source = SourceFile("x.fits", data, options=ReadOptions(**options))
    assert eprv.recognise(source) == CERTAIN
    return list(eprv.read(source))


def test_l2_gives_science_then_sky_and_no_lamp() -> None:
    got = items(kpf())
    assert [type(i) for i in got] == [EchelleSpectrum] * 3 + [NotASpectrum]
    assert [i.trace for i in got[:3]] == ["TRACE2", "TRACE3", "TRACE4"]
    assert "LFC" in got[3].what
    assert [i.observation.obs_id for i in got[:3]] == [
        f"kpf_SL2_20240101T000000#TRACE{n}" for n in (2, 3, 4)
    ]
    sky = got[2].observation
    assert (sky.target_class, sky.target_name, sky.s_ra) == ("SKY", None, None)


def test_l2_arrays_units_and_frame() -> None:
    s = items(kpf())[0]
    assert np.array_equal(s.flux, FLUX + np.float32(2))
    assert s.flux.dtype == np.float32
    assert s.uncertainty_kind is UncertaintyKind.VAR
    np.testing.assert_allclose(s.ivar, 1 / (FLUX + 9.0))
    assert np.array_equal(s.axis.values, WAVE)
    assert s.axis.values.dtype == np.float64
    assert (s.axis.medium, s.axis.specsys) == (Medium.VACUUM, SpecSys.TOPOCENT)
    assert (s.axis.unit, s.flux_unit) == ("Angstrom", "electron")
    assert np.array_equal(s.extras["blaze"], BLAZE)
    assert s.order_numbers == tuple(ORDERS), "ORDER_INDEX says which row is which"
    assert s.normalisation is Normalisation.NONE
    assert np.array_equal(s.order(1).flux, s.flux[1])


def test_l2_observation() -> None:
    o = items(kpf())[0].observation
    assert o.s_ra == pytest.approx(26.0170125)
    assert o.s_dec == pytest.approx(-15.9374806)
    assert o.t_min == pytest.approx(60310.25)
    assert (o.t_max - o.t_min) * 86400 == pytest.approx(600, abs=1e-3)
    assert (o.berv_kms, o.bjd_tdb) == (-21.5, 2460310.754)
    assert (o.snr, o.airmass, o.target_name) == (250.0, 1.25, "HD 10700")
    assert o.obs_collection == "KPF-EPRV-L2"
    assert o.metadata["systemic_rv_kms"] == -16.6
    assert "program" not in o.metadata, "UNKNOWN is unknown"


def test_chromatic_corrections_keep_every_value() -> None:
    kms = np.array([-21.5, -21.4, -21.3])
    (s,) = items(file(*trace(1), *barycentric(kms, 2460310.0 + kms / 1e5), TRACE1="SCI"))
    assert s.observation.berv_kms == -21.4
    assert np.array_equal(s.extras["barycorr_kms"][:, 0], kms)
    assert s.extras["barycorr_kms"].shape == s.extras["bjd_tdb"].shape == s.flux.shape


def test_unfilled_corrections_are_unknown_not_zero() -> None:
    (s,) = items(file(*trace(1), *barycentric(0.0, np.nan), TRACE1="SCI"))
    assert s.observation.berv_kms is None
    assert s.observation.bjd_tdb is None


def test_everything_unknown_is_unknown() -> None:
    words = {k: "UNKNOWN" for k, v in PRIMARY.items() if k != "NUMTRACE"}
    (s,) = items(file(*trace(1), *barycentric(), **words))
    o = s.observation
    assert (o.obs_id, o.target_name, o.s_ra, o.t_min, o.t_exptime) == (None,) * 5
    assert (o.facility_name, o.instrument_name, o.snr, o.airmass) == (None,) * 4
    assert o.obs_collection == "EPRV-EPRV-L2"
    assert any("kind of trace 1 is unknown" in w for w in s.provenance.warnings)
    assert "no coordinates" in s.provenance.warnings
    assert s.provenance.pipeline is None


def test_old_and_new_drift_names_and_optional_models() -> None:
    drift = RNG.normal(0, 1e-4, (N_ORDER, N_PIX))
    for name in ("DRIFT", "TRACE1_DRIFT"):
        more = [
            image(name, drift),
            image("TRACE1_TELLURIC", BLAZE),
            image("TRACE1_SKYMODEL", BLAZE),
        ]
        (s,) = items(file(*trace(1), *barycentric(), *more, TRACE1="SCI"))
        assert np.array_equal(s.extras["drift"], drift)
        assert {"blaze", "telluric", "skymodel"} < set(s.extras)
    (s,) = items(file(*trace(1), image("TRACE1_DRIFT", np.array([0.002])), TRACE1="SCI"))
    assert s.observation.metadata["drift"] == 0.002


def test_quality_masks_and_an_inverted_one_does_not() -> None:
    quality = np.zeros((N_ORDER, N_PIX), np.uint8)
    quality[1, 5:9] = 2
    (s,) = items(file(*trace(1), image("TRACE1_QUALITY", quality), TRACE1="SCI"))
    assert np.array_equal(s.mask, quality != 0)
    ones = np.ones_like(quality)
    (s,) = items(file(*trace(1), image("TRACE1_QUALITY", ones), TRACE1="SCI"))
    assert s.flags is None
    assert np.array_equal(s.extras["quality"], ones)


def test_wavelength_unit_is_said_declared_or_one_of_the_standards_two() -> None:
    def build(wave: Any, **cards: Any) -> bytes:
        hdus = trace(1, **cards)
        hdus[1].data = wave
        return file(*hdus, TRACE1="SCI")

    np.testing.assert_allclose(items(build(WAVE / 1e4, CUNIT1="um"))[0].wave_aa, WAVE)
    (s,) = items(build(WAVE / 1e4, CUNIT1="UNKNOWN"))
    np.testing.assert_allclose(s.wave_aa, WAVE)
    assert any("no wavelength unit" in w for w in s.provenance.warnings)
    assert items(build(WAVE, CUNIT1=None))[0].axis.unit == "Angstrom"
    assert items(build(WAVE / 10, CUNIT1=None), wave_unit="nm")[0].axis.unit == "nm"
    assert items(build(WAVE, CTYPE1="AWAV"))[0].axis.medium is Medium.AIR


def test_missing_or_unfilled_variance_is_no_uncertainty() -> None:
    for var in (None, np.zeros_like(FLUX), np.full_like(FLUX, np.nan)):
        hdus = trace(1)
        hdus[2].data = var
        (s,) = items(file(*hdus, TRACE1="SCI"))
        assert s.uncertainty is None
        assert s.ivar is None
        assert any("gives no errors" in w for w in s.provenance.warnings)


def test_undefined_wavelengths_are_masked() -> None:
    wave = WAVE.copy()
    wave[0, :10] = np.nan
    hdus = trace(1)
    hdus[1].data = wave
    (s,) = items(file(*hdus, TRACE1="SCI"))
    assert np.array_equal(s.mask, np.isnan(wave))


@pytest.mark.parametrize(
    "stem", ["STITCHED_CORR_SCI", "COMBINED_STITCHED_CORR", "COADD_STITCHED_CORR"]
)
def test_l3_is_barycentric_under_old_and_new_names(stem: str) -> None:
    wave, flux = WAVE.ravel(), FLUX.ravel()
    hdus = [
        image(f"{stem}_FLUX", flux), image(f"{stem}_WAVE", wave, CUNIT1="Angstrom"),
        image(f"{stem}_VAR", flux + 9), image("STITCHED_CORR_TRACE2_FLUX", None),
        image("STITCHED_CORR_TRACE2_WAVE", None), image("STITCHED_CUSTOMCORR1_SCI_FLUX", flux),
        image("STITCHED_CUSTOMCORR1_SCI_WAVE", wave, CUNIT1="Angstrom"),
    ]  # fmt: skip
    data = file(*hdus, SEDCORR=False, BLZCORR=True, FLXNRMMD="None", DATALVL="L3")
    got = items(data)
    assert [type(i) for i in got] == [Spectrum, Spectrum], "empty optional extensions are skipped"
    s, custom = got
    assert (s.axis.medium, s.axis.specsys) == (Medium.VACUUM, SpecSys.BARYCENT)
    assert np.array_equal(s.flux, flux)
    assert s.uncertainty_kind is UncertaintyKind.VAR
    assert s.observation.s_ra == pytest.approx(26.0170125), "the first science trace's object"
    assert s.observation.obs_id.endswith(f"#{stem}")
    assert (s.normalisation, s.flux_unit) == (Normalisation.NONE, None)
    assert custom.uncertainty is None
    assert custom.observation.obs_id != s.observation.obs_id
    sed = items(file(*hdus, SEDCORR=True))[0]
    assert sed.normalisation is Normalisation.CONTINUUM_DIVIDED


def test_l4_holds_velocities_not_spectra() -> None:
    table = fits.BinTableHDU.from_columns(
        [fits.Column(n, "D", array=[1.0, 2.0]) for n in ("BJD_TDB", "RV", "RV_ERR", "BERV")],
        name="RV1",
    )
    data = file(table, image("CCF1", FLUX), DATALVL="L4", RV=-16.597, BJDTDB=2460310.754)
    (item,) = items(data)
    assert isinstance(item, NotASpectrum)
    for words in ("RV1 (2 rows)", "CCF1", "-16.597000 km/s", "2460310.754000"):
        assert words in item.what


def test_bad_files() -> None:
    hdus = trace(1)
    hdus[1].data = WAVE[:, :-1]
    (item,) = items(file(*hdus, TRACE1="SCI"))
    assert isinstance(item, DataError)
    assert (item.code, item.hdu) == ("mismatched_lengths", 4)
    empty = trace(1)
    empty[0].data = None
    with pytest.raises(DataError) as caught:
        items(file(*empty, TRACE1="SCI"))
    assert caught.value.code == "no_spectrum"
    blind = trace(1)
    blind[1].data = None
    (item,) = items(file(*blind, TRACE1="SCI"))
    assert item.code == "no_wavelength"
    with pytest.raises(DataError):
        eprv.recognise(SourceFile("x.fits", kpf()[:-2880]))


def test_strangers_are_not_recognised() -> None:
    assert eprv.recognise(SourceFile("x.txt", b"TRACE1_FLUX")) == 0
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), image("FLUX", FLUX), image("WAVE", WAVE)]).writeto(out)
    assert eprv.recognise(SourceFile("x.fits", out.getvalue())) == 0
