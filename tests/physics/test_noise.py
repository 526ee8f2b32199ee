"""Noise estimates: unbiased where they claim to be, and biased as documented elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from spectrarium.domain.errors import UsageError
from spectrarium.measure.noise import der_snr, median_snr, noise_sigma


@pytest.fixture
def noise():
    return np.random.default_rng(3).normal(0, 1, 400_000)


def test_white_noise_on_a_slope_with_lines_and_spikes(noise):
    x = np.arange(noise.size)
    flux = 50 + 1e-4 * x + 2.0 * noise
    flux[::1000] += 500.0
    assert noise_sigma(flux) == pytest.approx(2.0, rel=0.02)


@pytest.mark.parametrize(("lag", "factor"), [(1, np.sqrt(1 / 3)), (2, 1.0), (3, 1.0)])
def test_pixels_averaged_half_and_half(noise, lag, factor):
    flux = (noise[1:] + noise[:-1]) / 2
    assert noise_sigma(flux, lag=lag) == pytest.approx(factor * flux.std(), rel=0.01)


def test_documented_bias_of_smoothed_noise(noise):
    flux = gaussian_filter1d(noise, 2.0)
    rho = [np.exp(-(lag**2) / 16.0) for lag in (2, 4)]
    bias = np.sqrt(1 - 4 / 3 * rho[0] + rho[1] / 3)
    assert bias == pytest.approx(0.29, abs=0.005)
    assert noise_sigma(flux) == pytest.approx(bias * flux.std(), rel=0.02)
    assert noise_sigma(flux, lag=8) == pytest.approx(flux.std(), rel=0.02)


def test_snr_with_and_without_errors(noise):
    flux = 20.0 + noise[:5000]
    mask = np.zeros(5000, dtype=bool)
    mask[100:200] = True
    flux[100:200] = -1e5
    flux[300] = np.nan
    assert der_snr(flux, mask) == pytest.approx(20.0, rel=0.06)
    assert median_snr(flux, np.ones(5000), mask) == pytest.approx(20.0, rel=0.01)
    ivar = np.where(mask, 0.0, 4.0)
    assert median_snr(flux, ivar) == pytest.approx(40.0, rel=0.01)


def test_padding_and_nothing_at_all():
    flux = np.concatenate([np.zeros(5000), 10 + np.random.default_rng(0).normal(0, 1, 3000)])
    assert der_snr(flux) == pytest.approx(10.0, rel=0.08)
    assert np.isnan(der_snr(np.zeros(100)))
    assert np.isnan(noise_sigma(np.full(100, np.nan)))
    assert np.isnan(median_snr(np.ones(5), np.zeros(5)))
    with pytest.raises(UsageError):
        noise_sigma(np.ones(50), lag=0)
    with pytest.raises(UsageError):
        noise_sigma(np.ones(50), np.zeros(49, dtype=bool))
