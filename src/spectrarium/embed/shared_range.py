"""Which range of wavelengths many spectra share, all in ln λ."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from numpy.typing import NDArray

STEP = 0.002
"""Ranges are compared on a lattice of this step in ln λ (600 km/s): 0.2 % of a coverage limit."""


def lattice(range_aa: tuple[float, float] | None) -> tuple[float, float]:
    """(origin, step): within a range asked for it begins there and has a hundred steps or more."""
    if range_aa is None:
        return 0.0, STEP
    low, high = math.log(range_aa[0]), math.log(range_aa[1])
    return low, min(STEP, (high - low) / 100.5)


def best_range(
    low: NDArray[np.float64], high: NDArray[np.float64], least_members: int, least_coverage: float,
    step: float = STEP,
) -> tuple[float, float, NDArray[np.bool_]]:  # fmt: skip
    """Bounds that maximise members × width, a member covering `least_coverage` of them."""
    cell_low = np.ceil(low / step).astype(np.int64)
    cell_high = np.floor(high / step).astype(np.int64)
    pairs = Counter(zip(cell_low.tolist(), cell_high.tolist(), strict=True))
    lo = np.array([p[0] for p in pairs])
    hi = np.array([p[1] for p in pairs])
    n = np.array(list(pairs.values()))
    best = (-1.0, 0, 1)
    ends = candidates(hi, n)
    for a in candidates(lo, n):
        b = ends[ends > a]
        if not b.size:
            continue
        shared = np.minimum(hi, b[:, None]) - np.maximum(lo, a)
        members = ((shared >= least_coverage * (b - a)[:, None]) * n).sum(axis=1)
        score = np.where(members >= least_members, members * (b - a), 0)
        at = int(np.argmax(score))
        best = max(best, (float(score[at]), -int(a), int(b[at])))
    a_cell, b_cell = -best[1], best[2]
    shared_all = np.minimum(cell_high, b_cell) - np.maximum(cell_low, a_cell)
    inside = shared_all >= least_coverage * (b_cell - a_cell)
    return a_cell * step, b_cell * step, inside & (best[0] > 0)


def candidates(cells: NDArray[np.int64], n: NDArray[np.int64], most: int = 120
                ) -> NDArray[np.int64]:  # fmt: skip
    """Distinct bounds; of very many, those at even weighted quantiles."""
    values, where = np.unique(cells, return_inverse=True)
    if values.size <= most:
        return values
    cumulative = np.cumsum(np.bincount(where, weights=n))
    at = np.searchsorted(cumulative, np.linspace(0, cumulative[-1], most))
    return np.unique(values[np.minimum(at, values.size - 1)])


def to_the_ends(
    a: float, b: float, range_aa: tuple[float, float] | None, step: float
) -> tuple[float, float]:
    """Bounds on the lattice, moved to the ends of the range asked for where these are next."""
    if range_aa is None:
        return a, b
    low, high = math.log(range_aa[0]), math.log(range_aa[1])
    return (low if a - low < step else a), (high if high - b < step else b)


def reached_by(
    low: NDArray[np.float64], high: NDArray[np.float64], least: int
) -> tuple[float, float]:
    """First and last ln λ that `least` of the ranges contain; (0, 0) if there is none."""
    ends = np.concatenate([low, high])
    step = np.concatenate([np.ones(low.size, np.int64), -np.ones(high.size, np.int64)])
    order = np.lexsort((-step, ends))  # of equal ends, beginnings first
    inside = np.cumsum(step[order])
    enough = np.flatnonzero(inside >= least)
    if not enough.size:
        return 0.0, 0.0
    return float(ends[order[enough[0]]]), float(ends[order[enough[-1] + 1]])
