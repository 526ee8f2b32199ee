"""Smoothing along pixels: flux stays, noise falls as it must, masks carry no weight."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectrarium.domain.errors import UsageError
from spectrarium.measure.gaussian import gaussian_pixels


def clear(n: int) -> np.ndarray:
    return np.zeros(n, bool)


@given(sigma=st.floats(0.4, 12.0), centre=st.floats(300.0, 700.0), width=st.floats(1.0, 20.0))
def test_the_flux_of_a_line_is_conserved(sigma: float, centre: float, width: float) -> None:
    x = np.arange(1000.0)
    line = np.exp(-0.5 * ((x - centre) / width) ** 2)
    out = gaussian_pixels(1.0 + line, sigma, None, clear(1000))
    assert np.sum(out.flux - 1.0) == pytest.approx(line.sum(), rel=1e-3)


def test_a_bright_line_with_its_own_photon_noise_keeps_its_flux() -> None:
    x = np.arange(2000.0)
    line = 8.0 * np.exp(-0.5 * ((x - 1000.0) / 5.0) ** 2)
    flux = 1.0 + line
    out = gaussian_pixels(flux, 3.0, 1.0 / (0.01 * flux), clear(2000))  # variance as the flux
    assert np.sum(out.flux - 1.0) == pytest.approx(line.sum(), rel=2e-3)


def test_a_line_grows_as_widths_add_in_quadrature() -> None:
    x = np.arange(800.0)
    line = np.exp(-0.5 * ((x - 400.0) / 4.0) ** 2)
    out = gaussian_pixels(line, 3.0, None, clear(800)).flux
    width = np.sqrt(np.sum(out * (x - 400.0) ** 2) / out.sum())
    assert width == pytest.approx(5.0, rel=1e-3)


def test_masked_samples_carry_no_weight_and_noisy_ones_little() -> None:
    flux = np.ones(400)
    flux[200] = 1e6
    mask = clear(400)
    mask[200] = True
    assert gaussian_pixels(flux, 2.0, None, mask).flux == pytest.approx(np.ones(400))
    ivar = np.ones(400)
    ivar[200] = 1e-8
    out = gaussian_pixels(np.where(flux > 1, 100.0, 1.0), 2.0, ivar, clear(400)).flux
    assert np.abs(out - 1.0).max() < 0.01


def test_the_noise_told_is_the_noise_there_is() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0.0, 0.5, (400, 300))
    out = np.stack([gaussian_pixels(n, 2.5, np.full(300, 4.0), clear(300)).flux for n in noise])
    told = gaussian_pixels(noise[0], 2.5, np.full(300, 4.0), clear(300)).ivar
    assert told is not None
    assert np.std(out[:, 20:-20]) == pytest.approx(np.median(told[20:-20]) ** -0.5, rel=0.03)


def test_what_is_out_of_reach_is_not_a_number_and_sigmas_have_limits() -> None:
    mask = np.ones(300, bool)
    mask[:10] = False
    out = gaussian_pixels(np.ones(300), 2.0, None, mask)
    assert np.isnan(out.flux[100:]).all()
    for sigma in (0.0, -1.0, 1e4, np.nan):
        with pytest.raises(UsageError):
            gaussian_pixels(np.ones(30), sigma, None, clear(30))
    assert np.isfinite(gaussian_pixels(np.ones(5), 100.0, None, clear(5)).flux).all()
