"""Continua: a running median, and a spline that lines of either sign do not pull."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import LSQUnivariateSpline
from scipy.ndimage import median_filter
from scipy.optimize import brentq
from scipy.stats import norm

from ..domain.errors import UsageError
from .noise import MAD_TO_SIGMA, noise_sigma


def running_median(
    flux: NDArray[Any], window: int, mask: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Median over a sliding window of good pixels: a continuum that narrow lines do not move.

    Parameters
    ----------
    flux : (n,) float, any unit · window : good pixels, ≥ 3, made odd; at most n
    mask : (n,) True = bad; bad pixels are left out and interpolated over in the result
    Returns
    -------
    continuum : (n,) float64; all NaN without a good pixel. Near the ends the window is completed
        by the spectrum mirrored about a robust line, so that a slope stays a slope.
    Raises
    ------
    UsageError (bad_window) : window < 3
    Valid for: features narrower than half the window. O(n log window).
    """
    if window < 3:
        raise UsageError(f"a window of {window} pixels", code="bad_window",
                         remedy="give at least 3")  # fmt: skip
    flux = np.asarray(flux, dtype=np.float64)
    good = np.isfinite(flux) if mask is None else np.isfinite(flux) & ~mask
    kept = flux[good]
    if kept.size == 0:
        return np.full(flux.shape, np.nan)
    half = min(window // 2, (kept.size - 1) // 2)
    if half < 1:
        return np.full(flux.shape, float(np.median(kept)))
    padded = np.concatenate([
        _mirrored(kept[: 2 * half + 1])[::-1], kept, _mirrored(kept[::-1][: 2 * half + 1])
    ])  # fmt: skip
    smooth = median_filter(padded, 2 * half + 1, mode="nearest")[half:-half]
    if good.all():
        return np.asarray(smooth)
    index = np.arange(flux.size)
    return np.asarray(np.interp(index, index[good], smooth))


def _mirrored(end: NDArray[np.float64]) -> NDArray[np.float64]:
    """What lies beyond `end[0]`, going outwards: mirrored about a robust line through `end`."""
    n = end.size // 2
    slope = (np.median(end[n + 1 :]) - np.median(end[:n])) / (n + 1.0)
    return np.asarray(end[1 : n + 1] - 2.0 * slope * np.arange(1, n + 1))


def spline_continuum(
    wave: ArrayLike,
    flux: NDArray[Any],
    ivar: NDArray[Any] | None = None,
    mask: NDArray[np.bool_] | None = None,
    *,
    knot_spacing: float | None = None,
    low: float = 1.5,
    high: float = 3.0,
    n_iter: int = 20,
) -> NDArray[np.float64]:
    """Cubic spline through the pixels that iterative, asymmetric clipping leaves.

    It starts from a running median, drops pixels more than `low` σ below and `high` σ above the
    current curve, fits what remains and repeats until nothing changes. The bias that an
    asymmetric clip of pure noise brings is computed and taken out.

    Parameters
    ----------
    wave : (n,) strictly monotonic, any unit · flux : (n,)
    ivar : (n,) 0 = no information; None = noise estimated from second differences
    mask : (n,) True = bad
    knot_spacing : in the unit of `wave`, wider than the widest line; default a tenth of the range
    low, high : clip, in σ; low < high suits absorption spectra, low = high emission spectra
    Returns
    -------
    continuum : (n,) float64
    Raises
    ------
    UsageError (too_few_pixels, bad_grid, bad_clip)
    Valid for: absorption that leaves continuum between the lines and emission lines that fill
    less than half of a knot interval; broad quasar lines and molecular bands are followed.
    """
    x, y, weight, flip = _fit_inputs(wave, flux, ivar, mask)
    if low <= 0 or high <= 0 or n_iter < 1:
        raise UsageError("clips and iterations must be positive", code="bad_clip")
    spacing = knot_spacing or (x[-1] - x[0]) / 10.0
    full = np.asarray(wave, dtype=np.float64)[:: -1 if flip else 1]
    per_knot = max(5, int(x.size * spacing / (x[-1] - x[0])))
    curve = running_median(y, per_knot)
    bias = clip_bias(low, high)
    keep = np.ones(x.size, dtype=bool)
    spline = None
    for _ in range(n_iter):
        residual = (y - curve) * weight
        scale = max(1.0, _core_width(residual))  # errors that are too small must not clip noise
        new = (residual > -low * scale) & (residual < high * scale)
        if spline is not None and np.array_equal(new, keep):
            break
        keep = new if new.sum() >= 8 else keep
        spline = _fit(x[keep], y[keep], weight[keep], spacing)
        curve = np.asarray(spline(x))
    assert spline is not None
    continuum = np.asarray(spline(full)) - bias * scale * np.interp(full, x, 1.0 / weight)
    return continuum[:: -1 if flip else 1]


def _fit_inputs(
    wave: ArrayLike,
    flux: NDArray[Any],
    ivar: NDArray[Any] | None,
    mask: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], bool]:
    """Good pixels in ascending order, their 1/σ, and whether the input descends."""
    x, y = np.asarray(wave, dtype=np.float64), np.asarray(flux, dtype=np.float64)
    step = np.diff(x)
    if x.shape != y.shape or x.ndim != 1 or not (np.all(step > 0) or np.all(step < 0)):
        raise UsageError("wave must be 1-D, strictly monotonic and as long as flux",
                         code="bad_grid")  # fmt: skip
    flip = bool(x.size > 1 and x[0] > x[-1])
    good = np.isfinite(y) if mask is None else np.isfinite(y) & ~mask
    if ivar is not None:
        good &= (ivar > 0) & np.isfinite(ivar)
    if good.sum() < 10:
        raise UsageError(f"{int(good.sum())} good pixels are too few for a continuum",
                         code="too_few_pixels", remedy="widen the window")  # fmt: skip
    if ivar is None:
        sigma = noise_sigma(y[good])
        if not sigma > 0:  # a noiseless model: any small number does
            sigma = 1e-6 * float(np.max(np.abs(y[good]))) or 1.0
        weight = np.full(int(good.sum()), 1.0 / sigma)
    else:
        weight = np.sqrt(np.asarray(ivar, dtype=np.float64)[good])
    order = slice(None, None, -1 if flip else 1)
    return x[good][order], y[good][order], weight[order], flip


def _core_width(residual: NDArray[np.float64]) -> float:
    """Noise of the residuals from second differences: lines and bends in them do not count."""
    second = 2.0 * residual[2:-2] - residual[:-4] - residual[4:]
    return float(MAD_TO_SIGMA / np.sqrt(6.0) * np.median(np.abs(second)))


def _fit(
    x: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64], spacing: float
) -> LSQUnivariateSpline:
    n_knots = max(0, round((x[-1] - x[0]) / spacing) - 1)
    knots = np.linspace(x[0], x[-1], n_knots + 2)[1:-1]
    # Schoenberg–Whitney needs data between knots: drop those that end an emptied interval
    edges = np.concatenate([[x[0]], knots, [x[-1]]])
    filled = np.histogram(x, edges)[0] >= 4
    keep = filled[:-1] & filled[1:]
    return LSQUnivariateSpline(x, y, knots[keep], w=weight, k=min(3, x.size - 1))


def clip_bias(low: float, high: float) -> float:
    """Offset, in σ, at which clipping Gaussian noise below −low and above +high settles.

    Solves b = ⟨ε | b − low < ε < b + high⟩ for ε ~ N(0, 1).
    """
    if low == high:
        return 0.0

    def excess(b: float) -> float:
        a, c = b - low, b + high
        return float((norm.pdf(a) - norm.pdf(c)) / (norm.cdf(c) - norm.cdf(a)) - b)

    return float(brentq(excess, -5.0, 5.0))
