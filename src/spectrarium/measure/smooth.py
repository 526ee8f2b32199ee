"""Lowering the resolution of a spectrum, with mask and variance carried along."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from ..domain.errors import UsageError
from .pixels import pixel_bounds

FWHM_TO_SIGMA = 1.0 / np.sqrt(8.0 * np.log(2.0))
_REACH = 5.0
"""Kernel half-width in σ: 6e-7 of the area is beyond."""
_CHUNK = 2**21
"""Weights held in memory at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Smoothed:
    """A convolved spectrum.

    flux : (m,) float64; NaN where no good pixel is in reach · ivar : (m,), 0 where masked; None
    if no ivar was given. Neighbours are correlated over the kernel: ivar is each sample's own,
    not to be summed · mask : (m,) True where coverage < min_coverage · coverage : (m,) share of
    the kernel's weight on good pixels, 0…1
    """

    flux: NDArray[np.float64]
    mask: NDArray[np.bool_]
    coverage: NDArray[np.float64]
    ivar: NDArray[np.float64] | None = None


def convolve_to_resolution(
    wave: ArrayLike,
    flux: NDArray[Any],
    r_out: ArrayLike,
    ivar: NDArray[Any] | None = None,
    mask: NDArray[np.bool_] | None = None,
    *,
    r_in: ArrayLike | None = None,
    wave_out: ArrayLike | None = None,
    min_coverage: float = 0.5,
) -> Smoothed:
    """A spectrum as a spectrograph of lower resolving power would show it.

    The kernel is a Gaussian of FWHM λ√(1/r_out² − 1/r_in²), integrated over each input pixel, so
    that flux and line positions are conserved on any grid; masked pixels carry no weight.

    Parameters
    ----------
    wave : (n,) pixel centres, any unit, ascending or descending · flux : (n,)
    r_out : λ/FWHM wanted, scalar or one per output sample
    ivar : (n,) or None = unknown · mask : (n,) True = bad
    r_in : λ/FWHM the spectrum has, scalar or one per output sample; None = much higher
    wave_out : (m,) where to give the result; default `wave`. Time is m × the kernel's width in
        input pixels: from R = 115 000 to 2000 give a coarser grid.
    min_coverage : samples with less of the kernel's weight on good pixels are masked
    Returns
    -------
    Smoothed, m samples. The variance is exact for independent input pixels.
    Raises
    ------
    UsageError (bad_resolution) : r_out ≥ r_in, or not positive
    Source: widths of Gaussians add in quadrature. Valid for: Gaussian line-spread functions.
    """
    pixels = pixel_bounds(wave)
    data, good, variance = _inputs(len(pixels), flux, ivar, mask)
    centres = np.asarray(wave if wave_out is None else wave_out, dtype=np.float64)
    sigma = _kernel_sigma(centres, r_out, r_in)
    order = slice(None) if pixels[0, 0] < pixels[-1, 0] else slice(None, None, -1)
    pixels, data, good = pixels[order], data[order], good[order]
    variance = None if variance is None else variance[order]
    first = np.searchsorted(pixels[:, 1], centres - _REACH * sigma, side="right")
    stop = np.searchsorted(pixels[:, 0], centres + _REACH * sigma, side="left")
    total = np.zeros((3, centres.size))
    for rows in _chunks(np.maximum(stop - first, 0)):
        _accumulate(total, rows, pixels, centres, sigma, first, stop, data, good, variance)
    coverage = total[1]
    covered = coverage > 1e-6
    out = np.divide(total[0], coverage, out=np.full(centres.size, np.nan), where=covered)
    bad = ~(covered & (coverage >= min_coverage))
    if variance is None:
        return Smoothed(out, bad, coverage)
    usable = ~bad & (total[2] > 0)
    ivar_out = np.divide(coverage**2, total[2], out=np.zeros(centres.size), where=usable)
    return Smoothed(out, bad, coverage, ivar_out)


def _kernel_sigma(
    centres: NDArray[np.float64], r_out: ArrayLike, r_in: ArrayLike | None
) -> NDArray[np.float64]:
    wanted = np.asarray(r_out, dtype=np.float64)
    inverse_in = 0.0 if r_in is None else 1.0 / np.asarray(r_in, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        square = 1.0 / wanted**2 - np.square(inverse_in)
    if not (np.all(wanted > 0) and np.all(np.isfinite(square)) and np.all(square > 0)):
        raise UsageError(
            "the resolution wanted is not below the one there is", code="bad_resolution",
            where="r_out", remedy="convolution can only lower R: give r_out < r_in",
        )  # fmt: skip
    return np.asarray(np.broadcast_to(centres * np.sqrt(square), centres.shape) * FWHM_TO_SIGMA)


def _inputs(
    n: int, flux: NDArray[Any], ivar: NDArray[Any] | None, mask: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]:
    """Flux with bad pixels zeroed, weight 1/0 of good/bad, variance (0 where bad)."""
    for name, array in (("flux", flux), ("ivar", ivar), ("mask", mask)):
        if array is not None and np.shape(array) != (n,):
            raise UsageError(f"{name} has shape {np.shape(array)}, the grid {n} pixels",
                             code="mismatched_lengths", where=name)  # fmt: skip
    data = np.asarray(flux).astype(np.float64)
    good = np.isfinite(data)
    if mask is not None:
        good &= ~mask
    variance = None
    if ivar is not None:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            variance = 1.0 / np.asarray(ivar, dtype=np.float64)
        good &= (variance > 0) & np.isfinite(variance)
        variance = np.where(good, variance, 0.0)
    return np.where(good, data, 0.0), good.astype(np.float64), variance


def _chunks(count: NDArray[np.intp]) -> list[slice]:
    """Runs of rows that together hold about _CHUNK weights."""
    running = np.cumsum(count)
    cuts = np.searchsorted(running, np.arange(_CHUNK, running[-1], _CHUNK))
    edges = np.unique(np.concatenate([[0], cuts, [count.size]]))
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]


def _accumulate(
    total: NDArray[np.float64],
    rows: slice,
    pixels: NDArray[np.float64],
    centres: NDArray[np.float64],
    sigma: NDArray[np.float64],
    first: NDArray[np.intp],
    stop: NDArray[np.intp],
    data: NDArray[np.float64],
    good: NDArray[np.float64],
    variance: NDArray[np.float64] | None,
) -> None:
    """Adds Σ wF, Σ w and Σ w²σ² of these output rows into `total`."""
    count = np.maximum(stop[rows] - first[rows], 0)
    filled = np.flatnonzero(count)
    if not filled.size:
        return
    starts = np.cumsum(count) - count
    pixel = np.arange(int(count.sum())) + np.repeat(first[rows] - starts, count)
    centre, width = np.repeat(centres[rows], count), np.repeat(sigma[rows], count)
    weight = ndtr((pixels[pixel, 1] - centre) / width) - ndtr((pixels[pixel, 0] - centre) / width)
    target = filled + rows.start
    total[0, target] = np.add.reduceat(weight * data[pixel], starts[filled])
    total[1, target] = np.add.reduceat(weight * good[pixel], starts[filled])
    if variance is not None:
        total[2, target] = np.add.reduceat(weight**2 * variance[pixel], starts[filled])
