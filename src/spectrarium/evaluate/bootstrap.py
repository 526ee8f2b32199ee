"""Intervals by resampling objects, and seeds with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import UsageError

Statistic = Literal["mean", "sigma", "median"]
_DRAWS = {"mean": 1000, "sigma": 200, "median": 200}


@dataclass(frozen=True, slots=True)
class Interval:
    """value, and low … high: 95 % over objects and seeds; n_objects behind it."""

    value: float
    low: float
    high: float
    n_objects: int = 0

    def record(self) -> dict[str, Any]:
        """Plain fields."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One measure, by spectrum.

    values : (q,) NaN = none · objects : (q,) whole numbers · units : (q,) what each value is of,
    ascending and without duplicates: two methods are compared where both have one
    """

    values: NDArray[np.float64]
    objects: NDArray[np.int64]
    units: NDArray[np.int64]
    statistic: Statistic = "mean"


def interval(measured: Sequence[Measured], seed: int = 0) -> Interval:
    """The statistic over all spectra, averaged over seeds, with its 95 % bootstrap interval.

    Objects are drawn whole, and for each draw one set of seeds with replacement: the interval is
    for another sample of objects *and* other seeds.

    Parameters
    ----------
    measured : of each seed, the same spectra in the same order
    Source: Efron & Tibshirani 1993, chapter 13 (percentile intervals), clusters resampled.
    """
    values, objects, statistic = _stacked(measured)
    if not values.size:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    unique, where = np.unique(objects, return_inverse=True)
    rng = np.random.default_rng(seed)
    value = float(np.mean([_of(v, statistic) for v in values]))
    if statistic == "mean":
        draws = _mean_draws(values, where, unique.size, rng)
    else:
        draws = _other_draws(values, where, unique.size, statistic, rng)
    low, high = np.percentile(draws, [2.5, 97.5])
    return Interval(value, float(low), float(high), int(unique.size))


def difference(measured: Sequence[Measured], other: Sequence[Measured], seed: int = 0) -> Interval:
    """`measured` − `other`, paired by spectrum; each seed of one against each of the other.

    Raises UsageError (mismatched_lengths) where they share no spectrum.
    """
    pairs = []
    if measured and measured[0].statistic != "mean":
        raise UsageError("only means are compared pair by pair", code="usage")
    for i in range(max(len(measured), len(other))):
        one, two = measured[i % len(measured)], other[i % len(other)]
        units, a, b = np.intersect1d(one.units, two.units, return_indices=True)
        if not units.size:
            raise UsageError("measures of different spectra cannot be paired",
                             code="mismatched_lengths")  # fmt: skip
        pairs.append(Measured(one.values[a] - two.values[b], one.objects[a], units))
    return interval(pairs, seed)


def _stacked(
    measured: Sequence[Measured],
) -> tuple[NDArray[np.float64], NDArray[np.int64], Statistic]:
    """(seeds, q) values of the spectra that have one by every seed."""
    values = np.array([m.values for m in measured], np.float64)
    known = np.isfinite(values).all(axis=0)
    return values[:, known], measured[0].objects[known], measured[0].statistic


def _of(values: NDArray[np.float64], statistic: Statistic) -> float:
    if statistic == "mean":
        return float(values.mean())
    middle = float(np.median(values))
    return middle if statistic == "median" else 1.4826 * float(np.median(np.abs(values - middle)))


def _mean_draws(
    values: NDArray[np.float64], where: NDArray[np.int64], n: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    totals = np.array([np.bincount(where, weights=v, minlength=n) for v in values])
    drawn = _weights(n)
    each = (drawn @ totals.T.astype(np.float32)) / (
        drawn @ np.bincount(where, minlength=n).astype(np.float32)
    )[:, None]
    seeds = rng.integers(0, len(values), (len(drawn), len(values)))
    return np.asarray(np.take_along_axis(each, seeds, 1).mean(axis=1), np.float64)


@lru_cache(maxsize=3)
def _weights(n: int) -> NDArray[np.float32]:
    """(draws, n) how often each object is in each draw: the same for all measures of n objects."""
    rng = np.random.default_rng([n, 19])
    out = np.empty((_DRAWS["mean"], n), np.float32)
    for row in out:
        row[:] = np.bincount(rng.integers(0, n, n), minlength=n)
    return out


def _other_draws(
    values: NDArray[np.float64], where: NDArray[np.int64], n: int, statistic: Statistic,
    rng: np.random.Generator,
) -> NDArray[np.float64]:  # fmt: skip
    order = np.argsort(where, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(where, minlength=n))])
    rows = [order[a:b] for a, b in pairwise(starts.tolist())]
    single = all(len(r) == 1 for r in rows)
    out = np.empty(_DRAWS[statistic])
    for i in range(out.size):
        at = rng.integers(0, n, n)
        mine = order[at] if single else np.concatenate([rows[k] for k in at])
        seeds = rng.integers(0, len(values), len(values))
        out[i] = np.mean([_of(values[s][mine], statistic) for s in seeds])
    return out
