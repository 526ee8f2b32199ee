"""Percentiles of many spectra pixel by pixel, and how far a sample's median may be off."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

BANDS = (0.05, 0.16, 0.5, 0.84, 0.95)
_COLUMNS = 32
"""Sorted together: a block that stays in the processor's cache while it is turned."""


def column_percentiles(
    values: NDArray[np.float32], shares: Sequence[float] = BANDS, threads: int = 2
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Percentiles of every column, and the standard error of its median.

    Parameters
    ----------
    values : (n, m); NaN = missing · shares : each in [0, 1] · threads : sorting at a time
    Returns
    -------
    percentiles : (len(shares), m), NaN where a column is empty; linear between neighbouring values
    count : (m,) values in each column
    error : (m,) half the distance of the order statistics √n/2 ranks below and above the middle:
        68 % of the samples of a larger set have the set's median within; NaN with fewer than 4
    Source: the rank of a median is binomial (Conover 1999, Practical Nonparametric Statistics,
    sec. 3.2). Valid for: independent values of any continuous distribution.
    """
    n, m = values.shape
    out = np.full((len(shares), m), np.nan)
    count = np.zeros(m, np.int64)
    error = np.full(m, np.nan)
    if not n:
        return out, count, error

    def block(start: int) -> None:
        stop = min(start + _COLUMNS, m)
        part = np.ascontiguousarray(values[:, start:stop].T)
        part.sort(axis=1)  # NaN sorts last
        there = n - np.count_nonzero(np.isnan(part), axis=1)
        count[start:stop] = there
        for i, share in enumerate(shares):
            out[i, start:stop] = _at_rank(part, share * (there - 1), there)
        half, middle = 0.5 * np.sqrt(there), 0.5 * (there - 1)
        wide = _at_rank(part, middle + half, there) - _at_rank(part, middle - half, there)
        error[start:stop] = np.where(there >= 4, 0.5 * wide, np.nan)

    starts = range(0, m, _COLUMNS)
    if n * m < 2**18 or threads < 2:
        for start in starts:
            block(start)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(block, starts))
    return out, count, error


def _at_rank(
    ordered: NDArray[np.float32], rank: NDArray[Any], there: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Values at fractional ranks of rows that are sorted; NaN for empty ones."""
    top = np.maximum(there - 1, 0)
    rank = np.clip(rank, 0.0, top)
    low = np.floor(rank).astype(np.int64)
    high = np.minimum(low + 1, top)
    row = np.arange(len(ordered))
    a, b = ordered[row, low].astype(np.float64), ordered[row, high].astype(np.float64)
    return np.where(there > 0, a + (rank - low) * (b - a), np.nan)


class Narrowing:
    """Percentiles of more spectra than memory holds, in one pass: counted within brackets.

    A sample says between which values each percentile lies, `sure` of its own standard errors
    wide; the pass counts what lies below and in 512 steps within. The result is exact to a step;
    where the set's percentile lies outside the bracket after all, the column is NaN and `missed`
    says so.
    """

    def __init__(
        self, sample: NDArray[np.float32], shares: Sequence[float] = BANDS, sure: float = 8.0
    ) -> None:
        """sample : (n, m) of the same columns, chosen at random"""
        self.shares = tuple(shares)
        n, m = sample.shape
        low, high = np.empty((len(shares), m)), np.empty((len(shares), m))
        for i, share in enumerate(shares):
            half = sure * np.sqrt(share * (1.0 - share) / max(n, 1))
            ends, _, _ = column_percentiles(
                sample, (max(0.0, share - half), min(1.0, share + half))
            )
            low[i], high[i] = ends
            spread = np.where(np.isfinite(ends[1] - ends[0]), ends[1] - ends[0], 0.0)
            # at the ends of the sample the set goes on
            low[i] -= (spread if share - half <= 0 else 0.0) + 1e-6 * np.abs(ends[0]) + 1e-12
            high[i] += (spread if share + half >= 1 else 0.0) + 1e-6 * np.abs(ends[1]) + 1e-12
        self._low, self._high = low, high
        self._below = np.zeros((len(shares), m), np.int64)
        self._within = np.zeros((len(shares), m, _STEPS), np.int64)
        self.count = np.zeros(m, np.int64)

    def add(self, values: NDArray[np.float32]) -> None:
        """Count (n, m) more values."""
        from .lattice_count import count_within

        self.count += np.count_nonzero(~np.isnan(values), axis=0)
        count_within(values, self._low, self._high, self._below, self._within)

    def result(self) -> tuple[NDArray[np.float64], int]:
        """(len(shares), m) percentiles, and how many could not be had."""
        out = np.full(self._below.shape, np.nan)
        for i, share in enumerate(self.shares):
            rank = share * (self.count - 1) - self._below[i]
            filled = np.cumsum(self._within[i], axis=1)
            inside = (self.count > 0) & (rank >= 0) & (rank < filled[:, -1])
            step = np.minimum((filled <= rank[:, None]).sum(axis=1), _STEPS - 1)
            column = np.arange(len(step))
            before = np.where(step > 0, filled[column, np.maximum(step - 1, 0)], 0)
            part = (rank - before + 0.5) / np.maximum(self._within[i][column, step], 1)
            width = (self._high[i] - self._low[i]) / _STEPS
            value = self._low[i] + (step + np.clip(part, 0.0, 1.0)) * width
            out[i] = np.where(inside, value, np.nan)
        return out, int(np.count_nonzero(np.isnan(out[:, self.count > 0])))


_STEPS = 512
