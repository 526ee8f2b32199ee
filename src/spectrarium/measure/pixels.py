"""Where pixels begin and end, told from their centres."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import median_filter

from ..domain.errors import UsageError

GAP_FACTOR = 1.5
"""A spacing this many times its neighbours' median is a gap: at least one pixel is missing."""


def pixel_bounds(wave: ArrayLike, gap_factor: float = GAP_FACTOR) -> NDArray[np.float64]:
    """Lower and upper bounds of pixels whose centres are given.

    Bounds lie half way between centres; across a gap (missing pixels, detector gaps) a pixel
    ends half its own step away, so that nobody's flux is spread over wavelengths never seen.

    Parameters
    ----------
    wave : (n,) strictly monotonic, n ≥ 2, any unit
    gap_factor : a step above this many times the running median of seven steps is a gap
    Returns
    -------
    bounds : (n, 2) [lower, upper] in the order of `wave`, lower < upper
    Raises
    ------
    UsageError (bad_grid) : not finite, or not strictly monotonic
    """
    centres = np.asarray(wave, dtype=np.float64)
    if centres.ndim != 1 or centres.size < 2:
        raise UsageError(f"a grid of shape {centres.shape} has no pixel widths", code="bad_grid",
                         remedy="give two or more pixel centres")  # fmt: skip
    step = np.diff(centres)
    if not (np.all(step > 0) or np.all(step < 0)):
        raise UsageError("wavelengths are not strictly monotonic", code="bad_grid",
                         remedy="sort them and drop duplicates first")  # fmt: skip
    size = np.abs(step)
    before = after = size
    if np.any(size[1:] > gap_factor * size[:-1]) or np.any(size[:-1] > gap_factor * size[1:]):
        usual = median_filter(size, min(7, size.size), mode="nearest")
        gap = size > gap_factor * usual
        if gap.any() and not gap.all():
            index = np.arange(size.size)
            last = np.maximum.accumulate(np.where(gap, -1, index))
            following = np.minimum.accumulate(np.where(gap, size.size, index)[::-1])[::-1]
            own_before = size[np.where(last >= 0, last, following % size.size)]
            own_after = size[np.where(following < size.size, following, last)]
            before = np.where(gap, np.minimum(own_before, size), size)
            after = np.where(gap, np.minimum(own_after, size), size)
    sign = np.sign(step[0])
    bounds = np.empty((centres.size, 2))
    lower, upper = (bounds[:, 0], bounds[:, 1]) if sign > 0 else (bounds[:, 1], bounds[:, 0])
    upper[:-1] = centres[:-1] + sign * 0.5 * before
    upper[-1] = centres[-1] + 0.5 * step[-1]
    lower[0] = centres[0] - 0.5 * step[0]
    # shared edges must be the same number on both sides
    lower[1:] = upper[:-1] if before is after else centres[1:] - sign * 0.5 * after
    return bounds


def pixel_edges(wave: ArrayLike) -> NDArray[np.float64]:
    """(n + 1,) edges half way between the centres of a grid without gaps, in its order."""
    bounds = pixel_bounds(wave, gap_factor=np.inf)
    if bounds[0, 0] <= bounds[-1, 0]:
        return np.append(bounds[:, 0], bounds[-1, 1])
    return np.append(bounds[:, 1], bounds[-1, 0])


def as_bounds(grid: ArrayLike, name: str) -> tuple[NDArray[np.float64], bool]:
    """(n, 2) ascending bounds, and whether the caller's order was descending."""
    g = np.asarray(grid, dtype=np.float64)
    if g.ndim == 1 and g.size >= 2:
        g = np.stack([g[:-1], g[1:]], axis=1)
    if g.ndim != 2 or g.shape[0] < 1 or g.shape[1] != 2:
        raise UsageError(f"{name} has shape {g.shape}", code="bad_grid", where=name,
                         remedy="give (n + 1,) edges or (n, 2) bounds")  # fmt: skip
    if g[0, 0] > g[0, 1]:
        g = g[:, ::-1]
    descending = bool(g[0, 0] > g[-1, 0])
    if descending:
        g = g[::-1]
    if not (np.all(g[:, 1] > g[:, 0]) and np.all(g[1:, 0] >= g[:-1, 1])):  # also refuses NaN
        raise UsageError("bins overlap, are empty or are not monotonic", code="bad_grid",
                         where=name, remedy="give sorted, distinct edges")  # fmt: skip
    return g, descending
