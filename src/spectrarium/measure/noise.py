"""How noisy a spectrum is: from its ivar, or estimated from the scatter of its pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import UsageError

MAD_TO_SIGMA = 1.482602218505602
"""Standard deviation over median absolute deviation, for Gaussian noise."""


def good_flux(flux: NDArray[Any], mask: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    """(n_good,) the finite, unmasked samples in order."""
    flux = np.asarray(flux, dtype=np.float64)
    good = np.isfinite(flux)
    if mask is not None:
        if mask.shape != flux.shape:
            raise UsageError(f"mask has shape {mask.shape}, flux {flux.shape}",
                             code="mismatched_lengths")  # fmt: skip
        good &= ~mask
    return np.asarray(flux[good])


def noise_sigma(flux: NDArray[Any], mask: NDArray[np.bool_] | None = None, lag: int = 2) -> float:
    """Robust standard deviation of one pixel, from second differences.

    σ = 1.4826/√6 · median |2 fᵢ − fᵢ₋ₗ − fᵢ₊ₗ| over good pixels. A line slope and narrow
    features drop out; so does any signal that is linear over ±lag pixels.

    Parameters
    ----------
    flux : (n,) float, any unit · mask : (n,) True = bad · lag : pixels, ≥ 1
    Returns
    -------
    sigma : flux unit; NaN with fewer than 2·lag + 5 good pixels
    Raises
    ------
    UsageError : lag < 1 or a mask of another shape
    Source: Stoehr et al. 2008 (ADASS XVII, ASP 394, 505), DER_SNR, whose lag is 2. Valid for:
    noise that is Gaussian and independent at separations of `lag` and more. Noise with
    autocorrelation ρ gives σ·√(1 − (4/3)ρ(lag) + ρ(2 lag)/3) instead: too small for
    interpolated or oversampled pixels (for neighbours averaged half and half, ρ(1) = ½, 0.58 σ
    at lag 1 and σ at lag 2; for independent noise smoothed by a Gaussian of σ = 2 pixels, 0.29 σ
    at lag 2). Take a lag beyond the correlation, within which the spectrum must still be
    smooth. Structure such as molecular bands is taken for noise and biases upwards.
    """
    if lag < 1:
        raise UsageError(f"lag is {lag}", code="bad_lag", remedy="give 1 or more pixels")
    good = good_flux(flux, mask)
    if good.size < 2 * lag + 5:
        return float("nan")
    second = 2.0 * good[lag:-lag] - good[: -2 * lag] - good[2 * lag :]
    return float(MAD_TO_SIGMA / np.sqrt(6.0) * np.median(np.abs(second)))


def der_snr(flux: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> float:
    """Signal to noise per pixel without errors: median flux over `noise_sigma` (lag 2).

    Parameters
    ----------
    flux : (n,) float, any unit; exact zeros are padding and left out, as in the original
    mask : (n,) True = bad
    Returns
    -------
    snr : NaN when it cannot be told, 0 when the median flux is not positive
    Source: Stoehr et al. 2008, ASP 394, 505. Valid for: see `noise_sigma`.
    """
    flux = np.asarray(flux, dtype=np.float64)
    padding = flux == 0.0
    skip = padding if mask is None else mask | padding
    sigma = noise_sigma(flux, skip)
    if not np.isfinite(sigma):
        return float("nan")
    signal = max(float(np.median(good_flux(flux, skip))), 0.0)
    if sigma == 0.0:  # a noiseless model: no finite ratio describes it
        return float("inf") if signal > 0.0 else float("nan")
    return signal / sigma


def median_snr(
    flux: NDArray[Any], ivar: NDArray[Any], mask: NDArray[np.bool_] | None = None
) -> float:
    """Median of flux·√ivar over good pixels (ivar > 0): the S/N most surveys quote.

    Parameters
    ----------
    flux, ivar : (n,) float · mask : (n,) True = bad
    Returns
    -------
    snr : NaN with no good pixel; negative for oversubtracted spectra
    """
    ivar = np.asarray(ivar, dtype=np.float64)
    bad = ~((ivar > 0) & np.isfinite(ivar))
    ratio = np.asarray(flux, dtype=np.float64) * np.sqrt(np.where(bad, np.nan, ivar))
    good = good_flux(ratio, bad if mask is None else bad | mask)
    return float(np.median(good)) if good.size else float("nan")
