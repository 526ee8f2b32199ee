"""Convolution to a lower resolution: widths, positions, flux and noise come out as they must."""

from __future__ import annotations

import numpy as np
import pytest

from spectrarium.domain.errors import UsageError
from spectrarium.measure.smooth import FWHM_TO_SIGMA, convolve_to_resolution

WAVE = np.linspace(4900.0, 5100.0, 4000)


def _line(wave, sigma, at=5000.0):
    return np.exp(-0.5 * ((wave - at) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))


def _moments(wave, flux):
    weight = flux / flux.sum()
    mean = (weight * wave).sum()
    return mean, np.sqrt((weight * (wave - mean) ** 2).sum())


@pytest.mark.parametrize("step", [1, -1])
def test_a_line_gets_the_width_asked_for_and_keeps_flux_and_place(step):
    start = 5000.0 / 10_000 * FWHM_TO_SIGMA
    wave = WAVE[::step]
    out = convolve_to_resolution(wave, _line(wave, start), 2000, r_in=10_000).flux
    mean, width = _moments(wave, out)
    assert mean == pytest.approx(5000.0, abs=0.01)
    assert width == pytest.approx(5000.0 / 2000 * FWHM_TO_SIGMA, rel=2e-3)
    assert out.sum() * 0.05001 == pytest.approx(1.0, rel=2e-3)


def test_a_coarser_output_grid_samples_the_same_curve():
    flux = _line(WAVE, 0.3)
    fine = convolve_to_resolution(WAVE, flux, 1500)
    coarse = convolve_to_resolution(WAVE, flux, 1500, wave_out=WAVE[::7])
    assert np.allclose(coarse.flux, fine.flux[::7], rtol=1e-12)


def test_a_constant_stays_constant_beside_masked_pixels_and_at_the_ends():
    mask = np.zeros(WAVE.size, dtype=bool)
    mask[500:620] = mask[3000::5] = True
    out = convolve_to_resolution(WAVE, np.where(mask, 1e9, 3.0), 3000, np.ones(WAVE.size), mask)
    assert np.allclose(out.flux[np.isfinite(out.flux)], 3.0, rtol=1e-12)
    assert out.mask[560]
    assert out.ivar[560] == 0
    assert not out.mask[[200, 800, 3500]].any()


def test_noise_against_monte_carlo():
    rng = np.random.default_rng(4)
    wave = np.linspace(5000, 5020, 300)
    sigma = rng.uniform(0.5, 2, 300)
    draws = np.array([
        convolve_to_resolution(wave, rng.normal(0, sigma), 8000).flux for _ in range(3000)
    ])  # fmt: skip
    ivar = convolve_to_resolution(wave, np.zeros(300), 8000, sigma**-2).ivar
    assert np.allclose(draws.var(axis=0) * ivar, 1.0, atol=0.13)  # 5 σ of 3000 draws
    assert np.mean(draws.var(axis=0) * ivar) == pytest.approx(1.0, abs=0.02)


def test_resolution_cannot_be_raised():
    for r_out, r_in in ((5000, 2000), (2000, 2000), (-1, None), (np.nan, None)):
        with pytest.raises(UsageError):
            convolve_to_resolution(WAVE, WAVE, r_out, r_in=r_in)


def test_unknown_errors_stay_unknown():
    assert convolve_to_resolution(WAVE, WAVE, 1000).ivar is None
