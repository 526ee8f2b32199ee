"""How different two spectra are, pixel by pixel, with what noise adds taken away.

For a query f and a candidate g on one grid, with noise variances σ_f² and σ_g²:

    χ²(a) = Σ w (f − a g)²,   w = 1/(σ_f² + a² σ_g²),   a = a₀ + a₁ x,   x = −1 … 1 along the grid
    D²    = (χ² − (n − p)) / Σ w / level²
    s²    = [2 (n − p) + 4 max(χ² − (n − p), 0)] / (Σ w)² / level⁴  +  (noise not trusted)²

n pixels, p fitted numbers. a minimises χ², which, with the weights following a, is the maximum of
the likelihood for noise on both sides: plain least squares would scale noisy candidates down.
D² is the mean squared difference of the noise-free spectra, as a share of the query's level,
whatever the noise: its expectation is the same for a candidate of S/N 3 and of S/N 300. Its
scatter s is not: among many noisy candidates some come out near zero by luck. So candidates are
ranked by E[D | D², s], the expectation over what differences the candidates have among themselves
(`expected`): one whose noise says nothing gets the typical difference, never a small one.

Source: Deeming 1968, Vistas Astron. 10, 125 (errors on both sides); Efron 2014, Stat. Sci. 29, 285
(empirical Bayes by the distribution of the true values).
Valid for: independent Gaussian noise of known size, known to `NOISE_TRUST`; neighbouring pixels
that share noise make s too small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import UsageError

F8 = NDArray[np.float64]
NOISE_TRUST = 0.05
"""σ is taken as known to this share: beyond it, subtracted noise is no evidence of likeness."""
LEAST_PIXELS = 5
"""Fewer common pixels say nothing about shape."""
_STEPS = 8
_BLOCK = 2**21
"""Numbers handled at a time: a few arrays of 16 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """Candidates against one query.

    square : (n,) D², may be below zero · error : (n,) its standard deviation s
    chi2 : (n,) χ² per degree of freedom · pixels : (n,) common pixels
    amplitude : (n, 2) a₀, a₁. NaN (pixels excepted) where fewer than `LEAST_PIXELS` are common.
    """

    square: F8
    error: F8
    chi2: F8
    pixels: NDArray[np.int64]
    amplitude: F8


def difference(
    flux: NDArray[Any],
    ivar: NDArray[Any],
    others: NDArray[Any],
    other_ivar: NDArray[Any],
    *,
    slope: bool = True,
    scatter: NDArray[Any] | float = 0.0,
) -> Difference:
    """D² of each candidate and how sure it is: see the head of this file.

    Parameters
    ----------
    flux, ivar : (n_pix,) the query; ivar 0 = no information
    others, other_ivar : (n, n_pix) candidates on the same grid, any scale
    slope : whether a may change linearly along the grid (calibration, reddening)
    scatter : (n_pix,) or number, variance of the query's flux that is not to count as difference
    Raises
    ------
    UsageError (mismatched_lengths, no_good_pixels) : shapes that do not fit, a query of no pixels
    """
    if others.ndim != 2 or others.shape != other_ivar.shape or flux.shape != others.shape[1:]:
        raise UsageError(
            f"a query of {flux.shape} and candidates of {others.shape} are not on one grid",
            code="mismatched_lengths",
        )
    if not (ivar > 0).any():
        raise UsageError("the query has no good pixel here", code="no_good_pixels",
                         remedy="choose another window, or look at its mask: "
                         "`spectrarium show ID`")  # fmt: skip
    rows = max(1, _BLOCK // flux.size)
    parts = [
        _block(flux, ivar, others[i : i + rows], other_ivar[i : i + rows], slope, scatter)
        for i in range(0, max(len(others), 1), rows)
    ]
    return Difference(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _block(
    flux: NDArray[Any], ivar: NDArray[Any], others: NDArray[Any], other_ivar: NDArray[Any],
    slope: bool, scatter: NDArray[Any] | float,
) -> tuple[Any, ...]:  # fmt: skip
    both = (ivar > 0) & (other_ivar > 0)
    f = np.where(both, flux.astype(np.float64), 0.0)
    g = np.where(both, others, 0.0).astype(np.float64)
    safe = np.where(both, np.minimum(ivar, 1e30), 1.0)
    var_f = 1.0 / safe + scatter
    var_g = 1.0 / np.where(both, other_ivar, 1.0)
    x = np.broadcast_to(np.linspace(-1.0, 1.0, flux.size), g.shape)
    a, weight = _fitted(f, g, var_f, var_g, x, both, slope)
    residual = f - (a[:, :1] + a[:, 1:] * x) * g
    n = both.sum(axis=1)
    free = np.maximum(n - 1.0 - slope, 1.0)
    chi2 = np.einsum("ni,ni,ni->n", weight, residual, residual)
    total = np.maximum(weight.sum(axis=1), 1e-300)
    level2 = _level2(flux, ivar)
    square = (chi2 - free) / total / level2
    luck = np.sqrt(2.0 * free + 4.0 * np.maximum(chi2 - free, 0.0)) / total / level2
    doubt = 2.0 * NOISE_TRUST * free / total / level2
    error = np.hypot(luck, doubt)
    few = n < LEAST_PIXELS
    out = [np.where(few, np.nan, v) for v in (square, error, chi2 / free)]
    return (*out, n.astype(np.int64), np.where(few[:, None], np.nan, a))


def _level2(flux: NDArray[Any], ivar: NDArray[Any]) -> float:
    """Mean squared flux of the query, noise taken away, never below a tenth of that noise."""
    good = ivar > 0
    f, w = flux[good].astype(np.float64), np.minimum(ivar[good], 1e30).astype(np.float64)
    noise = float(good.sum() / w.sum())
    return max(float((w * f**2).sum() / w.sum()) - noise, 0.1 * noise, 1e-300)


def _fitted(
    f: F8, g: F8, var_f: F8, var_g: F8, x: F8, both: NDArray[np.bool_], slope: bool
) -> tuple[F8, F8]:
    """(n, 2) a₀, a₁ and (n, n_pix) weights, 0 without information.

    The derivative of χ² vanishes where Σ w ĝ (1, x) (f − a g) = 0 with ĝ = g + a σ_g² w (f − a g),
    the best estimate of the noise-free g: solved by turns. Of spectra that differ by more than
    noise, only the share n/χ² of w (f − a g)² is noise: the correction is made by that much.
    """
    a = np.zeros((len(g), 2))
    start = np.where(both, 1.0 / (var_f + var_g), 0.0)
    top = np.einsum("ni,ni,ni->n", start, f, g)
    bottom = np.einsum("ni,ni,ni->n", start, g, g)
    a[:, 0] = np.where(bottom > 0, np.maximum(top, 0.0) / np.where(bottom > 0, bottom, 1.0), 0.0)
    for _ in range(_STEPS):
        m = a[:, :1] + a[:, 1:] * x
        weight = np.where(both, 1.0 / (var_f + m**2 * var_g), 0.0)
        gap = f - m * g
        excess = np.einsum("ni,ni,ni->n", weight, gap, gap) / np.maximum(both.sum(axis=1), 1)
        clean = g + m * var_g * weight * gap / np.maximum(excess, 1.0)[:, None]
        u, v = weight * clean, weight * clean * x
        s00, b0 = (u * g).sum(1), (u * f).sum(1)
        fresh = np.zeros_like(a)
        fresh[:, 0] = _ratio(b0, s00)
        if slope:
            s01, s11, b1 = (v * g).sum(1), (v * x * g).sum(1), (v * f).sum(1)
            det = s00 * s11 - s01**2
            tilted = np.stack([_ratio(b0 * s11 - b1 * s01, det), _ratio(s00 * b1 - s01 * b0, det)])
            # a slope that turns the candidate upside down is no calibration
            sane = (np.abs(tilted[1]) < tilted[0]) & (det > 1e-9 * s00 * s11)
            fresh = np.where(sane[:, None], tilted.T, fresh)
        fresh[:, 0] = np.maximum(fresh[:, 0], 0.0)
        done = bool(np.all(np.abs(fresh - a) <= 1e-4 * (np.abs(fresh[:, :1]) + 1e-300)))
        a = fresh
        if done:
            break
    m = a[:, :1] + a[:, 1:] * x
    return a, np.where(both, 1.0 / (var_f + m**2 * var_g), 0.0)


def _ratio(top: F8, bottom: F8) -> F8:
    good = np.abs(bottom) > 0
    return np.where(good, top / np.where(good, bottom, 1.0), 0.0)


def expected(square: NDArray[Any], error: NDArray[Any]) -> F8:
    """(n,) expectation of D given D² and its error, over the differences candidates really have.

    Parameters
    ----------
    square, error : (n,) as `difference` gives them; NaN gives NaN
    Returns
    -------
    D : (n,) ≥ 0, the rms difference as a share of the query's level
    Source: the distribution of D on a grid, by maximum likelihood (expectation–maximisation, a few
    turns, so that it stays smooth), then Bayes' theorem for each candidate: Efron 2014.
    """
    square, error = np.asarray(square, np.float64), np.asarray(error, np.float64)
    out = np.full(square.shape, np.nan)
    good = np.isfinite(square) & np.isfinite(error)
    if not good.any():
        return out
    y, s = square[good], np.maximum(error[good], 1e-300)
    top = float(np.sqrt(max(np.max(y), np.max(s), 1e-300)))
    grid = np.concatenate([[0.0], top * np.geomspace(1e-4, 1.5, 96)])
    chosen = np.linspace(0, y.size - 1, min(y.size, 5000)).astype(int)
    prior = _prior(y[chosen], s[chosen], grid)
    answer = np.empty(y.size)
    for i in range(0, y.size, 20_000):
        part = slice(i, i + 20_000)
        post = _likelihood(y[part], s[part], grid) * prior
        answer[part] = (post @ grid) / post.sum(axis=1)
    out[good] = answer
    return out


def _prior(y: F8, s: F8, grid: F8) -> F8:
    likelihood = _likelihood(y, s, grid)
    prior = np.full(grid.size, 1.0 / grid.size)
    for _ in range(20):
        post = likelihood * prior
        prior = (post / post.sum(axis=1, keepdims=True)).mean(axis=0)
        prior = 0.98 * prior + 0.02 / grid.size  # nothing is impossible
    return prior


def _likelihood(y: F8, s: F8, grid: F8) -> F8:
    """(n, m) probability density of D² = y, its error s, for each true D of the grid, up to a
    factor. What a step of the grid leaves open counts as error too."""
    step = np.gradient(grid**2)
    width = np.hypot(s[:, None], 0.5 * step)
    size = -0.5 * ((y[:, None] - grid**2) / width) ** 2 - np.log(width)
    return np.asarray(np.exp(size - size.max(axis=1, keepdims=True)))
