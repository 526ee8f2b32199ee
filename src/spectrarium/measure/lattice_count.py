"""Compiled counting for `percentiles.Narrowing`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


def _count_within(values: Any, low: Any, high: Any, below: Any, within: Any) -> None:
    """Add to `below` what is less than `low`, to `within` what lies in each step up to `high`.

    Parameters
    ----------
    values : (n, m) float32, NaN = missing · low, high : (s, m)
    below : (s, m) integers · within : (s, m, steps) integers
    """
    n, m = values.shape  # pragma: no cover
    shares, steps = low.shape[0], within.shape[2]
    for i in range(n):
        for j in range(m):
            v = values[i, j]
            if np.isnan(v):
                continue
            for k in range(shares):
                if v < low[k, j]:
                    below[k, j] += 1
                elif v < high[k, j]:
                    at = int((v - low[k, j]) / (high[k, j] - low[k, j]) * steps)
                    within[k, j, min(at, steps - 1)] += 1


count_within = njit(_count_within, cache=True, nogil=True)
