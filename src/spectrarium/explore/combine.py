"""Scores put together: one order out of several, and order within bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from ..domain.errors import UsageError

LEAST_IN_BIN = 20
"""Objects that a bin must hold to say what is usual in it; smaller ones are joined."""
N_BINS = 5


def combined(significance: list[NDArray[Any]]) -> NDArray[np.float64]:
    """(n,) −ln of the least share of objects that are at least as strange, over several scores.

    Only ranks enter, so no score drowns another, and what is strange by one alone is strange. On
    three mock surveys (reconstruction with density) average precision was 0.51 among stars, above
    either alone (0.45, 0.41) and above Fisher's −Σ ln p (0.46); among all classes together 0.16,
    between them (0.10, 0.22). NaN where any score abstains.
    Source: Tippett 1931 (The Methods of Statistics), the minimum-p combination, as a rank
    statistic: no probability is attached to it, since the scores are not independent.
    """
    if not significance:
        raise UsageError("there are no scores to combine", code="usage")
    known = np.all([np.isfinite(s) for s in significance], axis=0)
    out = np.full(len(significance[0]), np.nan)
    n = int(known.sum())
    if n:
        share = [rankdata(-s[known], method="average") / (n + 1.0) for s in significance]
        low, others = np.min(share, axis=0), np.mean(share, axis=0)
        # of two that are first in one score each, the one that is stranger by the others leads
        out[known] = -np.log(low) - 1e-6 * others
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """Objects in bins, ranked in each.

    name : of the bins · which : (n,) bin of each object, −1 = abstains · rank : (n,) from 1 within
    the bin, 0 = abstains · size : objects judged in each bin
    """

    name: tuple[str, ...]
    which: NDArray[np.int64]
    rank: NDArray[np.int64]
    size: tuple[int, ...]

    def order(self, significance: NDArray[Any]) -> NDArray[np.int64]:
        """Positions: the strangest of each bin first, then the second of each …"""
        known = np.flatnonzero(self.rank > 0)
        return known[np.lexsort((-significance[known], self.rank[known]))]


def in_bins(
    column: NDArray[Any], significance: NDArray[Any], unit: str = "", n_bins: int = N_BINS
) -> Bins:
    """Rank objects among those of a like value of `column`.

    Numbers are cut into `n_bins` with as many judged objects each; words are bins of their own,
    those of fewer than 20 judged objects joined as ``other``. Unknown values are the bin
    ``unknown``.

    Parameters
    ----------
    column : (n,) float with NaN, or objects with None · significance : (n,) NaN = abstains
    """
    known = np.isfinite(significance)
    if np.issubdtype(column.dtype, np.number):
        names, which = _cut(column.astype(np.float64), known, n_bins, unit)
    else:
        names, which = _words(column, known)
    rank = np.zeros(len(column), np.int64)
    which = np.where(known, which, -1)
    size = []
    for b in range(len(names)):
        mine = np.flatnonzero(which == b)
        order = mine[np.argsort(-significance[mine], kind="stable")]
        rank[order] = np.arange(1, mine.size + 1)
        size.append(int(mine.size))
    return Bins(tuple(names), which, rank, tuple(size))


def _cut(
    x: NDArray[np.float64], known: NDArray[np.bool_], n_bins: int, unit: str
) -> tuple[list[str], NDArray[np.int64]]:
    finite = np.isfinite(x)
    values = x[finite & known]
    n_bins = max(1, min(n_bins, values.size // LEAST_IN_BIN))
    inner = (
        np.unique(np.quantile(values, np.linspace(0, 1, n_bins + 1)[1:-1])) if values.size else ()
    )
    edges = np.array(inner, np.float64)
    which = np.where(finite, np.searchsorted(edges, np.where(finite, x, 0.0), "right"), -1)
    names: list[str] = []
    for b in range(edges.size + 1):
        mine = x[(which == b) & known]
        names.append(f"{mine.min():.4g}–{mine.max():.4g}{unit}" if mine.size else "")
    if (known & ~finite).any():
        which = np.where(finite, which, len(names))
        names.append("unknown")
    return names, which.astype(np.int64)


def _words(column: NDArray[Any], known: NDArray[np.bool_]) -> tuple[list[str], NDArray[np.int64]]:
    text = np.array(["unknown" if v is None or v == "" else str(v) for v in column], object)
    found, count = np.unique(text[known].astype(str), return_counts=True)
    large = [str(w) for w, c in zip(found, count, strict=True) if c >= LEAST_IN_BIN]
    names = large if len(large) == found.size else [*large, "other"]
    place = {word: i for i, word in enumerate(names)}
    rest = place.get("other", -1)
    return names, np.array([place.get(str(t), rest) for t in text], np.int64)
