"""Planted continua come back, with lines of either sign and noise on top."""

from __future__ import annotations

import numpy as np
import pytest

from spectrarium.domain.errors import UsageError
from spectrarium.measure.continuum import clip_bias, running_median, spline_continuum

WAVE = np.linspace(4000.0, 7000.0, 4000)
CONTINUUM = 2 + np.sin(WAVE / 900) + WAVE / 4000


def _lined(rng):
    flux = CONTINUUM.copy()
    for at, depth, width in zip(
        rng.uniform(4000, 7000, 60), rng.uniform(0.1, 0.8, 60), rng.uniform(2, 4, 60), strict=True
    ):
        flux *= 1 - depth * np.exp(-0.5 * ((WAVE - at) / width) ** 2)
    return flux


@pytest.mark.parametrize("snr", [20, 100])
@pytest.mark.parametrize("errors", [True, False])
def test_spline_finds_a_planted_continuum_under_absorption(snr, errors):
    rng = np.random.default_rng(1)
    sigma = np.full(WAVE.size, 3.0 / snr)
    flux = _lined(rng) + rng.normal(0, sigma)
    found = spline_continuum(WAVE, flux, sigma**-2 if errors else None, knot_spacing=300)
    ratio = found / CONTINUUM - 1
    assert abs(np.median(ratio)) < 0.15 / snr + 0.002
    assert np.std(ratio) < 0.15 / snr + 0.002


def test_noise_alone_is_not_biased_by_the_asymmetric_clip():
    rng = np.random.default_rng(2)
    flux = CONTINUUM + rng.normal(0, 0.1, WAVE.size)
    found = spline_continuum(WAVE, flux, np.full(WAVE.size, 100.0), knot_spacing=300)
    assert abs(np.mean(found - CONTINUUM)) < 0.1 * 0.03  # uncorrected it would be 0.18 σ


@pytest.mark.parametrize("sign", [1, -1])
def test_strong_emission_does_not_lift_it(sign):
    rng = np.random.default_rng(3)
    flux = CONTINUUM + rng.normal(0, 0.03, WAVE.size)
    flux += 30 * np.exp(-0.5 * ((WAVE - 5008) / 4) ** 2) + 60 * np.exp(
        -0.5 * ((WAVE - 6565) / 10) ** 2
    )
    found = spline_continuum(WAVE[::sign], flux[::sign], knot_spacing=300)[::sign]
    assert np.max(np.abs(found / CONTINUUM - 1)) < 0.02


def test_masked_pixels_do_not_count():
    rng = np.random.default_rng(4)
    flux = CONTINUUM + rng.normal(0, 0.03, WAVE.size)
    mask = (WAVE > 5200) & (WAVE < 5400)
    flux[mask] = 1e6
    flux[10] = np.nan
    for found in (spline_continuum(WAVE, flux, None, mask, knot_spacing=400),
                  running_median(flux, 101, mask)):  # fmt: skip
        assert np.max(np.abs(found / CONTINUUM - 1)) < 0.05


def test_clip_bias_solves_its_equation():
    rng = np.random.default_rng(5)
    noise = rng.normal(0, 1, 2_000_000)
    b = clip_bias(1.5, 3.0)
    kept = noise[(noise > b - 1.5) & (noise < b + 3.0)]
    assert kept.mean() == pytest.approx(b, abs=0.003)
    assert clip_bias(2.0, 2.0) == 0.0
    assert clip_bias(3.0, 1.5) == pytest.approx(-b, rel=1e-9)


def test_running_median_equals_the_slow_one_inside():
    rng = np.random.default_rng(6)
    flux = rng.normal(0, 1, 500)
    slow = np.array([np.median(flux[i - 10 : i + 11]) for i in range(10, 490)])
    assert np.array_equal(running_median(flux, 21)[10:-10], slow)


def test_running_median_follows_a_slope_to_the_ends():
    x = np.arange(1000.0)
    assert np.allclose(running_median(5 + 0.3 * x, 101), 5 + 0.3 * x, atol=1e-9)
    noisy = 300 + 0.3 * x + np.random.default_rng(0).normal(0, 1, 1000)
    assert np.max(np.abs(running_median(noisy, 101) - 300 - 0.3 * x)) < 1.5


def test_running_median_ignores_narrow_lines():
    flux = np.ones(1000)
    flux[100:130] = 50.0
    flux[700:740] = 0.1
    assert np.allclose(running_median(flux, 101), 1.0)


def test_hopeless_input():
    with pytest.raises(UsageError):
        running_median(np.ones(10), 1)
    assert np.isnan(running_median(np.full(10, np.nan), 5)).all()
    assert np.array_equal(running_median(np.array([1.0, 2.0]), 5), [1.5, 1.5])
    with pytest.raises(UsageError, match="too few"):
        spline_continuum(WAVE, np.full(WAVE.size, np.nan))
    with pytest.raises(UsageError, match="monotonic"):
        spline_continuum(np.zeros(50), np.ones(50))
