"""What recasting does to flux, lines, errors and masks."""

from __future__ import annotations

import numpy as np
import pytest
from embedding_cases import spectrum
from hypothesis import given, settings
from hypothesis import strategies as st

from spectrarium.domain.axis import Medium, SpecSys, SpectralAxis
from spectrarium.domain.errors import UsageError
from spectrarium.domain.spectrum import FluxCalibration, Normalisation, UncertaintyKind
from spectrarium.measure.airvac import vac_to_air
from spectrarium.run.recast import (
    FluxWish,
    Piece,
    Steps,
    all_normalised,
    moved,
    normalised,
    relative,
    require,
    resampled,
    taken,
    together,
)

HALPHA_VAC = 6564.614


def line(wave: np.ndarray, at: float, sigma: float = 0.5, depth: float = 0.6) -> np.ndarray:
    """A continuum of 1 with one absorption line."""
    return 1.0 - depth * np.exp(-0.5 * ((wave - at) / sigma) ** 2)


def centre(wave: np.ndarray, flux: np.ndarray) -> float:
    """Centroid of what lies below a continuum of 1."""
    depth = np.where(np.isfinite(flux), 1.0 - flux, 0.0)
    return float((wave * depth).sum() / depth.sum())


def test_a_line_in_air_at_a_redshift_comes_to_rest_in_vacuum():
    z = 0.0123
    vacuum = np.linspace(6600.0, 6690.0, 9001)
    s = spectrum(vac_to_air(vacuum), line(vacuum, HALPHA_VAC * (1 + z)), medium=Medium.AIR)
    got = moved(s, Medium.VACUUM, 1 + z)
    assert got.axis.medium is Medium.VACUUM
    assert got.axis.specsys is SpecSys.SOURCE
    assert centre(got.wave_aa, got.flux) == pytest.approx(HALPHA_VAC, abs=1e-6)
    assert got.flux is s.flux
    assert got.uncertainty is s.uncertainty
    back = moved(s, None, 1 + z)  # stays in air: at rest it lies where laboratories see it in air
    assert back.axis.medium is Medium.AIR
    assert centre(back.wave_aa, back.flux) == pytest.approx(float(vac_to_air(HALPHA_VAC)), abs=1e-4)


def test_wavelengths_keep_their_unit():
    s = spectrum(np.linspace(500.0, 510.0, 50), np.ones(50))
    s = s.replace(axis=SpectralAxis("nm", values=s.axis.values, medium=Medium.AIR))
    got = moved(s, Medium.VACUUM, 1.0)
    assert got.axis.unit == "nm"
    assert 500.1 < got.axis.values[0] < 500.2


def test_an_unknown_medium_is_never_guessed():
    s = spectrum(np.linspace(5000.0, 5100.0, 50), np.ones(50), medium=Medium.UNKNOWN)
    for medium, shift in ((Medium.AIR, 1.0), (Medium.VACUUM, 1.0), (None, 1.01)):
        with pytest.raises(UsageError, match="air or vacuum"):
            moved(s, medium, shift)
    assert moved(s, None, 1.0) is s


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(1e-5, 3e-3), st.booleans())
def test_resampling_conserves_flux_and_position(seed, size, linear):
    rng = np.random.default_rng(seed)
    wave = np.cumsum(rng.uniform(0.09, 0.11, 4000)) + 6400.0
    flux = 1.0 + line(wave, 6560.0, 8.0)
    s = spectrum(wave, flux, sigma=0.02)
    steps = Steps(size * 6500.0 if linear else size, linear)
    notes: list[str] = []
    got = resampled([Piece(s)], steps, 6450.0, 6700.0, notes)
    width = steps.width_aa(1.0) if linear else 2 * np.sinh(0.5 * steps.size) * got.wave_aa
    good = ~got.mask
    total = float((got.flux * width)[good].sum())
    low = steps.wave_aa(np.rint(_at(got.wave_aa[good][0], steps)) - 0.5)
    high = steps.wave_aa(np.rint(_at(got.wave_aa[good][-1], steps)) + 0.5)
    fine = np.linspace(float(low), float(high), 200_001)
    assert total == pytest.approx(np.trapezoid(1.0 + line(fine, 6560.0, 8.0), fine), rel=2e-4)
    assert centre(got.wave_aa, got.flux - 1.0) == pytest.approx(
        6560.0, abs=0.6 * size * 6500 + 0.02
    )


def _at(wave: float, steps: Steps) -> float:
    return (wave if steps.linear else np.log(wave)) / steps.size


def test_errors_are_propagated_and_masks_survive():
    n = 40_000
    rng = np.random.default_rng(3)
    wave = 6000.0 + 0.01 * np.arange(n)
    sigma = 0.1
    s = spectrum(wave, 1.0 + sigma * rng.standard_normal(n), sigma=sigma)
    bad = s.uncertainty.copy()
    bad[10_000:10_300] = np.inf
    got = resampled(
        [Piece(s.replace(uncertainty=bad))], Steps(0.1, linear=True), 6001.0, 6399.0, []
    )
    assert got.uncertainty_kind is UncertaintyKind.STD
    good = ~got.mask
    pull = ((got.flux - 1.0) / got.uncertainty)[good]
    assert np.std(pull) == pytest.approx(1.0, abs=0.05)
    nine_and_two_halves = sigma * np.sqrt(9 + 2 * 0.25) / 10
    assert np.median(got.uncertainty[good]) == pytest.approx(nine_and_two_halves, rel=1e-3)
    hole = (got.wave_aa > 6100.1) & (got.wave_aa < 6102.9)
    assert got.mask[hole].all()
    assert np.isnan(got.flux[(got.wave_aa > 6100.2) & (got.wave_aa < 6102.8)]).all()
    assert not got.mask[(got.wave_aa > 6103.2)].any()


@pytest.mark.parametrize(("unit", "counts"), [
    ("adu", True), ("electron", True), ("electron / Angstrom", False), ("ph / (s cm2)", True),
    ("ph / (s cm2 Angstrom)", False), (None, False), ("", False), ("adu / Hz", False),
])  # fmt: skip
def test_counts_are_summed_and_densities_are_not(unit, counts):
    s = spectrum(5000.0 + np.arange(400) * 0.5, np.full(400, 7.0), sigma=None, flux_unit=unit)
    got = resampled([Piece(s)], Steps(2.0, linear=True), 5010.0, 5100.0, [])
    assert np.allclose(got.flux, 28.0 if counts else 7.0)
    assert got.flux_unit == unit


def test_a_density_per_hertz_is_conserved_in_frequency():
    wave = np.linspace(5000.0, 5400.0, 4001)
    nu = 2.99792458e18 / wave
    s = spectrum(wave, (nu / 6e14) ** 3, sigma=None, flux_unit="Jy")
    got = resampled([Piece(s)], Steps(0.01), 5010.0, 5390.0, [])
    edge = Steps(0.01).wave_aa(np.rint(np.log(got.wave_aa) / 0.01)[:, None] + [-0.5, 0.5])
    a, b = 2.99792458e18 / edge[:, 1], 2.99792458e18 / edge[:, 0]
    mean = (b**4 - a**4) / 4 / (b - a) / 6e14**3
    assert np.allclose(got.flux[1:-1], mean[1:-1], rtol=1e-5)


def test_normalising_takes_away_the_slope_and_keeps_the_line():
    rng = np.random.default_rng(5)
    wave = np.linspace(6363.0, 6766.0, 20_000)
    level = 200.0 + 0.4 * (wave - 6363.0)
    flux = level * line(wave, 6564.6, 1.0) + 2.0 * rng.standard_normal(wave.size)
    s = spectrum(
        wave, flux.astype(np.float32), sigma=2.0, flux_calibration=FluxCalibration.ABSOLUTE
    )
    got = normalised(s)
    assert got.flux.dtype == np.float32
    away = np.abs(wave - 6564.6) > 8.0
    assert np.median(got.flux[away]) == pytest.approx(1.0, abs=0.002)
    assert got.flux[np.abs(wave - 6564.6) < 0.1].mean() == pytest.approx(0.4, abs=0.01)
    assert np.allclose(got.uncertainty[away], 2.0 / level[away], rtol=0.01)
    assert (got.flux_unit, got.flux_calibration) == ("", FluxCalibration.NORMALIZED)
    assert got.normalisation is Normalisation.CONTINUUM_DIVIDED
    assert normalised(got) is got


@pytest.mark.parametrize("kind", list(UncertaintyKind)[:3])
def test_errors_of_every_kind_are_scaled_as_what_they_are(kind):
    s = spectrum(np.linspace(5000.0, 5010.0, 20), np.full(20, 8.0), sigma=2.0)
    value = {UncertaintyKind.STD: 2.0, UncertaintyKind.VAR: 4.0, UncertaintyKind.IVAR: 0.25}[kind]
    s = s.replace(uncertainty=np.full(20, value), uncertainty_kind=kind)
    got = relative([Piece(s)])[0].spectrum
    assert np.allclose(got.flux, 1.0)
    assert np.allclose(got.ivar, 16.0)
    assert got.flux_calibration is FluxCalibration.RELATIVE


@pytest.mark.parametrize(("have", "wish", "fine"), [
    (FluxCalibration.ABSOLUTE, FluxWish.ABSOLUTE, True),
    (FluxCalibration.RELATIVE, FluxWish.ABSOLUTE, False),
    (FluxCalibration.ABSOLUTE, FluxWish.RELATIVE, True),
    (FluxCalibration.UNCALIBRATED, FluxWish.RELATIVE, False),
    (FluxCalibration.UNKNOWN, FluxWish.RELATIVE, False),
    (FluxCalibration.UNCALIBRATED, FluxWish.NORMALIZED, True),
])  # fmt: skip
def test_a_calibration_is_given_or_refused(have, wish, fine):
    s = spectrum(np.linspace(5000.0, 5010.0, 20), np.ones(20), flux_calibration=have)
    if fine:
        require(s, wish)
    else:
        with pytest.raises(UsageError, match=have.value):
            require(s, wish)


def test_orders_meet_in_the_middle_and_are_told_apart():
    a = spectrum(np.linspace(5000.0, 5060.0, 601), np.full(601, 3.0))
    b = spectrum(np.linspace(5040.0, 5100.0, 601), np.full(601, 5.0))
    pieces = [Piece(b, 100), Piece(a, 101)]
    got = resampled(pieces, Steps(1.0, linear=True), 5000.0, 5100.0, [])
    assert np.allclose(got.flux[got.wave_aa < 5049.0], 3.0)
    assert np.allclose(got.flux[got.wave_aa > 5051.0], 5.0)
    flat = together(pieces)
    assert flat.extras["order"].tolist() == [100] * 601 + [101] * 601
    assert flat.flux.size == 1202


def test_an_order_without_a_continuum_loses_its_flux_and_says_so():
    wave = np.linspace(5000.0, 5060.0, 601)
    good = spectrum(wave, np.full(601, 3.0))
    dark = spectrum(wave + 60.0, np.full(601, -3.0))
    notes: list[str] = []
    got = all_normalised([Piece(good, 100), Piece(dark, 99)], notes)
    assert np.allclose(got[0].spectrum.flux, 1.0, atol=0.01)
    assert np.isnan(got[1].spectrum.flux).all()
    assert [n[:8] for n in notes] == ["order 99"]
    with pytest.raises(UsageError, match="above zero"):
        all_normalised([Piece(dark, 99)], notes)


def test_no_flux_is_put_into_a_gap():
    wave = np.concatenate([np.arange(5000.0, 5050.0, 0.1), np.arange(5080.0, 5120.0, 0.1)])
    s = spectrum(wave, np.ones(wave.size))
    got = resampled([Piece(s)], Steps(1.0, linear=True), 5000.0, 5119.0, [])
    assert got.mask[(got.wave_aa > 5051.0) & (got.wave_aa < 5079.0)].all()
    assert (~got.mask).sum() == pytest.approx(90, abs=2)


def test_some_samples_keep_their_bits():
    s = spectrum(np.linspace(5000.0, 5010.0, 20), np.random.default_rng(1).normal(size=20))
    keep = s.wave_aa > 5005.0
    got = taken(s, keep)
    assert got.flux.tobytes() == s.flux[keep].tobytes()
    assert got.uncertainty.tobytes() == s.uncertainty[keep].tobytes()


@pytest.mark.parametrize("size", [0.0, -1.0, np.nan, np.inf])
def test_steps_are_positive(size):
    with pytest.raises(UsageError, match="step"):
        Steps(size)
    with pytest.raises(UsageError, match="bins"):
        Steps(1e-9).bins(3000.0, 9000.0)
