"""Gaussian smoothing along pixels, with mask and noise carried along."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, median_filter

from ..domain.errors import UsageError

MOST_SIGMA_PX = 200.0
_REACH = 4.0
"""Kernel half-width in σ: 6e-5 of the area is beyond."""
_NOISY = 3.0
_AROUND = 101


class SmoothedPixels(NamedTuple):
    """flux : (n,) float64, NaN where no good pixel is in reach · ivar : (n,) of each sample alone
    (neighbours are correlated over the kernel), 0 where nothing is known; None if none was given.
    """

    flux: NDArray[np.float64]
    ivar: NDArray[np.float64] | None


def gaussian_pixels(
    flux: NDArray[Any], sigma_px: float, ivar: NDArray[Any] | None, mask: NDArray[np.bool_]
) -> SmoothedPixels:
    """A spectrum convolved with a Gaussian of `sigma_px` pixels, normalised over good pixels.

    Bad pixels carry no weight. Neither do, in proportion to their excess of variance, pixels more
    than three times as noisy as those around them (the cores of sky lines). All others weigh the
    same: weights of 1/σ² would shrink bright lines, whose photon noise is their own.

    Parameters
    ----------
    flux : (n,) · sigma_px : 0 < σ ≤ 200 pixels · ivar : (n,) 1/flux²; None = unknown
    mask : (n,) True = bad
    Raises
    ------
    UsageError (bad_smoothing) : σ out of range
    Valid for: features narrower than the run of good pixels they lie in; Σ flux is conserved where
    nothing is masked within 4 σ.
    """
    if not 0 < sigma_px <= MOST_SIGMA_PX:
        raise UsageError(f"smoothing by {sigma_px:g} pixels", code="bad_smoothing",
                         remedy=f"give a σ between 0 and {MOST_SIGMA_PX:g} pixels")  # fmt: skip
    data = np.asarray(flux, dtype=np.float64)
    good = np.isfinite(data) & ~mask
    weight = good.astype(np.float64)
    variance = None
    if ivar is not None:
        known = good & (ivar > 0) & np.isfinite(ivar)
        variance = np.divide(1.0, ivar, out=np.zeros(data.shape), where=known)
        weight *= _calm(variance, known)
    half = max(1, int(np.ceil(_REACH * sigma_px)))
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma_px) ** 2)
    kernel /= kernel.sum()
    total = _convolved(np.where(good, data, 0.0) * weight, kernel)
    share = _convolved(weight, kernel)
    there = share > 1e-6
    out = np.divide(total, share, out=np.full(data.shape, np.nan), where=there)
    if variance is None:
        return SmoothedPixels(out, None)
    noise = _convolved(weight**2 * variance, kernel**2)
    usable = there & (noise > 0)
    return SmoothedPixels(out, np.divide(share**2, noise, out=np.zeros(data.shape), where=usable))


def _calm(variance: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """1, and less where the variance is far above that of the surroundings."""
    if np.count_nonzero(known) < _AROUND:
        return np.ones(variance.shape)
    index = np.flatnonzero(known)
    # every eighth pixel tells the surroundings as well, at an eighth of the time
    every = max(1, min(8, index.size // 2000))
    thin = median_filter(variance[index[::every]], _AROUND // every | 1, mode="nearest")
    usual = np.interp(np.arange(variance.size), index[::every], thin)
    limit = _NOISY**2 * usual
    return np.where(known & (variance > limit), limit / np.maximum(variance, limit), 1.0)


def _convolved(values: NDArray[np.float64], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    if kernel.size > 2 * values.size:  # a kernel wider than the data: its middle is all that counts
        middle, half = kernel.size // 2, values.size
        kernel = kernel[middle - half : middle + half + 1]
    return np.asarray(correlate1d(values, kernel, mode="constant", cval=0.0))
