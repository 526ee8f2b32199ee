"""Ranks that learn from judgements: what is like the judged moves with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

STRENGTH = 30.0
"""A rank is divided, or multiplied, by so much at most."""
_DOUBT = 0.5
"""Weighs against the judgements near an object: one that is just like it moves it two thirds."""
_NEAREST = 5
SIGNS: Mapping[str, float] = {"interesting": 1.0, "artefact": -1.0, "known": -1.0}
HOW = (
    "each rank is divided by up to 30 for likeness to what was judged interesting, and multiplied "
    "by up to 30 for likeness to artefacts and what is known; alike means near in the embedding "
    "and departing at the same wavelengths"
)


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """What objects are like, as far as judgements carry over.

    vectors : (n, d) in the embedding's metric · departs : (n, m) share of the departure from what
    was expected in each of m stretches of wavelength, rows sum to 1 (or 0: nowhere)
    model : (n,) which embedding: those of different ones are never alike
    """

    vectors: list[NDArray[np.float64]]
    departs: NDArray[np.float64]
    model: NDArray[np.int64]


def likeness(looks: Looks, judged: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n, j) between 0 and 1: how like each object is to each of `judged` (positions).

    The geometric mean of two likenesses. In the embedding 1/(1 + (d/h)²), h the usual distance to
    the fifth nearest; of the departures Σ√(p q) (Bhattacharyya), less what two objects share by
    chance (the median).
    """
    n = len(looks.model)
    out = np.zeros((n, len(judged)))
    for model in np.unique(looks.model[judged]):
        mine = np.flatnonzero(looks.model == model)
        which = np.flatnonzero(looks.model[judged] == model)
        vectors = np.stack([looks.vectors[i] for i in mine])
        at = np.searchsorted(mine, judged[which])
        near = 1.0 / (1.0 + (_distances(vectors, vectors[at]) / _usual(vectors)) ** 2)
        root = np.sqrt(looks.departs[mine])
        shared = root @ root[at].T
        chance = float(np.median(shared)) if len(mine) > 2 * len(which) else 0.0
        shared = np.maximum(0.0, shared - chance) / max(1.0 - chance, 1e-6)
        out[np.ix_(mine, which)] = np.sqrt(near * np.minimum(shared, 1.0))
    out[judged, np.arange(len(judged))] = 1.0
    return out


def reranked(looks: Looks, verdicts: Mapping[int, str]) -> NDArray[np.int64]:
    """Positions in their new order, of objects that stand in the old.

    A kernel regression: v = Σ K s / (Σ K + ½) over the judged, s = +1 interesting, −1 artefact or
    known; the new order is that of rank · 30^(−v). Judged objects have v = s.

    Parameters
    ----------
    verdicts : by position
    """
    n = len(looks.model)
    rank = np.arange(1, n + 1, dtype=np.float64)
    known = {i: SIGNS[v] for i, v in verdicts.items() if v in SIGNS and 0 <= i < n}
    if not known:
        return np.arange(n)
    judged = np.array(sorted(known), np.int64)
    signs = np.array([known[i] for i in judged.tolist()])
    kernel = likeness(looks, judged)
    vote = (kernel @ signs) / (kernel.sum(axis=1) + _DOUBT)
    vote[judged] = signs
    return np.lexsort((rank, rank * STRENGTH ** (-vote)))


def _distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    square = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2.0 * (a @ b.T)
    distance: NDArray[np.float64] = np.sqrt(np.maximum(square, 0.0))
    return distance


def _usual(vectors: NDArray[np.float64]) -> float:
    """Median distance to the fifth nearest other."""
    n = len(vectors)
    if n < 3:
        return 1.0
    some = vectors[np.unique(np.linspace(0, n - 1, 200).astype(int))]
    ordered = np.sort(_distances(some, vectors), axis=1)
    return max(float(np.median(ordered[:, min(_NEAREST, n - 1)])), 1e-12)


def stretches(squares: NDArray[Any], count: int = 48) -> NDArray[np.float64]:
    """(n, count) share of Σ(r² − 1) in each of `count` equal stretches; rows sum to 1, or 0."""
    beyond = np.maximum(np.minimum(squares, 900.0) - 1.0, 0.0)
    edges = np.linspace(0, squares.shape[1], count + 1).astype(int)[:-1]
    parts = np.add.reduceat(beyond, edges, axis=1)
    total = parts.sum(axis=1, keepdims=True)
    share: NDArray[np.float64] = np.divide(parts, total, out=np.zeros(parts.shape), where=total > 0)
    return share
