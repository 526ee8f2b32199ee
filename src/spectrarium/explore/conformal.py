"""Intervals and class sets whose coverage is promised by counting, not by a model of the noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_OBJECTS = 50
"""Objects that a calibration bin holds at least; smaller ones are merged."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def object_weights(objects: NDArray[Any]) -> Floats:
    """(n,) 1 / number of spectra of the same object: every object counts once."""
    _, where, count = np.unique(objects, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / count[where], np.float64)


def conformal_quantile(scores: Floats, objects: NDArray[Any], level: float) -> float:
    """The score that a spectrum of a new object stays below with probability `level`.

    Repeat spectra of an object are not exchangeable with those of others, so each object counts
    once, with its scores sharing its weight; ∞ where there are too few objects for the level.
    Between two scores it is interpolated: the next higher one would hold more than it says, by up
    to 1 / (objects + 1), which in a bin of 50 objects is seen.

    Parameters
    ----------
    scores : (n,) how badly each calibration spectrum conforms · objects : (n,) which object it is
    Source: Lee, Barber & Willett 2023 (arXiv:2306.06342), eq. 5; for single spectra this is
    Papadopoulos et al. 2002. Valid for: objects drawn alike, whatever the model; interpolated, for
    scores that are spread evenly between two neighbouring ones.
    """
    if not len(scores):
        return float("inf")
    weight = object_weights(objects)
    order = np.argsort(scores, kind="stable")
    mass = np.cumsum(weight[order])
    n_objects = round(float(mass[-1]))
    # a hair below the exact sum, for what floating point adds up to 0.9999… of a whole object
    wanted = level * (n_objects + 1) - 1e-9
    return float(np.interp(wanted, mass, scores[order])) if wanted <= mass[-1] else float("inf")


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """Calibration groups: S/N first, then a second quantity (predicted value) within each.

    snr_edges : (b − 1,) inner edges · value_edges : for each S/N bin its inner edges
    """

    snr_edges: Floats
    value_edges: tuple[Floats, ...]

    @property
    def first(self) -> Ints:
        """(b + 1,) number of the first group of each S/N bin, and the number of all groups."""
        return np.concatenate([[0], np.cumsum([len(e) + 1 for e in self.value_edges])])

    def __len__(self) -> int:
        return int(self.first[-1])

    def snr_bin(self, snr: Floats) -> Ints:
        """(n,) S/N bin of each spectrum."""
        return np.searchsorted(self.snr_edges, snr, side="right").astype(np.int64)

    def group(self, snr: Floats, value: Floats) -> Ints:
        """(n,) group of each spectrum."""
        b = self.snr_bin(snr)
        out = self.first[b].copy()
        for i, edges in enumerate(self.value_edges):
            mine = b == i
            out[mine] += np.searchsorted(edges, value[mine], side="right")
        return out


def make_bins(
    snr: Floats, value: Floats, objects: NDArray[Any], most_snr: int = 5, most_value: int = 3,
    least: int = LEAST_OBJECTS,
) -> Bins:  # fmt: skip
    """Bins of about equally many objects, none with fewer than `least` of them if there is a way.

    They hold twice as many where S/N alone divides and four times as many where the value does
    too: a bin of n calibration objects realises its level with a scatter of √(level (1 − level)/n).
    """
    n = len(np.unique(objects))
    b = int(np.clip(n // (2 * least), 1, most_snr))
    snr_edges = _merged(_edges(snr, objects, b), snr, objects, least)
    where = np.searchsorted(snr_edges, snr, side="right")
    inner = []
    for i in range(len(snr_edges) + 1):
        mine = where == i
        count = len(np.unique(objects[mine]))
        v = int(np.clip(count // (4 * least), 1, most_value))
        edges = _edges(value[mine], objects[mine], v)
        inner.append(_merged(edges, value[mine], objects[mine], least))
    return Bins(snr_edges, tuple(inner))


def even_edges(
    x: Floats, objects: NDArray[Any], most: int = 5, least: int = LEAST_OBJECTS
) -> Floats:
    """Inner edges of up to `most` bins of about equally many objects, none with fewer than `least`.

    x : (n,) · objects : (n,) · Values that are tied stay together.
    """
    bins = int(np.clip(len(np.unique(objects)) // least, 1, most))
    return _merged(_edges(x, objects, bins), x, objects, least)


def _edges(x: Floats, objects: NDArray[Any], bins: int) -> Floats:
    """Inner edges that leave about as many objects in each bin."""
    if bins < 2 or not len(x):
        return np.empty(0)
    order = np.argsort(x, kind="stable")
    mass = np.cumsum(object_weights(objects)[order])
    at = np.searchsorted(mass, mass[-1] * np.arange(1, bins) / bins)
    return np.unique(x[order][np.minimum(at, len(x) - 1)])


def _merged(edges: Floats, x: Floats, objects: NDArray[Any], least: int) -> Floats:
    """Fewer edges until every bin holds `least` objects: ties may have left one poor."""
    while len(edges):
        where = np.searchsorted(edges, x, side="right")
        count = [len(np.unique(objects[where == i])) for i in range(len(edges) + 1)]
        poorest = int(np.argmin(count))
        if count[poorest] >= least:
            break
        edges = np.delete(edges, min(poorest, len(edges) - 1))
    return edges


def by_group(
    scores: Floats, objects: NDArray[Any], group: Ints, n_groups: int, level: float
) -> Floats:
    """(n_groups,) conformal quantile of each group; of too poor ones that of all groups."""
    every = conformal_quantile(scores, objects, level)
    out = np.full(n_groups, every)
    for g in range(n_groups):
        own = conformal_quantile(scores[group == g], objects[group == g], level)
        if np.isfinite(own):
            out[g] = own
    return out


def interval_scores(low: Floats, high: Floats, truth: Floats) -> Floats:
    """(n,) how far the truth lies outside its interval; negative inside.

    Source: Romano, Patterson & Candès 2019 (arXiv:1905.03222), eq. 6.
    """
    return np.asarray(np.maximum(low - truth, truth - high))


def set_scores(probability: Floats, draw: Floats, penalty: float = 0.0) -> Floats:
    """(n, C) how far down the list of likely classes one must go to reach each class.

    Parameters
    ----------
    probability : (n, C) rows sum to one · draw : (n,) uniform in [0, 1), breaks the steps
    penalty : added for every rank beyond the first, keeps sets small
    Source: Romano, Sesia & Candès 2020 (arXiv:2006.02544), eq. 7; with the penalty,
    Angelopoulos et al. 2021 (arXiv:2009.14193), eq. 4 (k_reg = 1).
    """
    order = np.argsort(-probability, axis=1, kind="stable")
    ranked = np.take_along_axis(probability, order, axis=1)
    before = np.cumsum(ranked, axis=1) - ranked
    score = before + draw[:, None] * ranked + penalty * np.arange(probability.shape[1])
    out = np.empty_like(score)
    np.put_along_axis(out, order, score, axis=1)
    return out


def draws(vectors: NDArray[Any], seed: int) -> Floats:
    """(n,) uniform in [0, 1), decided by the bytes of each row and the seed alone.

    A spectrum's set must not depend on which others it was asked about with.
    """
    words = np.ascontiguousarray(vectors, np.float32).view(np.uint32).astype(np.uint64)
    mix = np.random.default_rng(seed).integers(1, 2**63, words.shape[1], dtype=np.uint64) | 1
    with np.errstate(over="ignore"):
        total = (words * mix).sum(axis=1, dtype=np.uint64)
        total = (total ^ (total >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    return np.asarray((total >> np.uint64(11)) / 2.0**53)


def binomial_interval(hits: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """(low, high) share that `hits` of `n` allow for; (0, 1) for none.

    Source: Clopper & Pearson 1934: exact, at least `level` for every true share. Whole objects
    of which only part of the spectra hit make `hits` a fraction.
    """
    from scipy.stats import beta

    if n <= 0:
        return 0.0, 1.0
    tail = (1.0 - level) / 2.0
    low = 0.0 if hits <= 0 else float(beta.ppf(tail, hits, n - hits + 1))
    high = 1.0 if hits >= n else float(beta.ppf(1.0 - tail, hits + 1, n - hits))
    return low, high


def binomial_p(hits: float, n: float, share: float) -> float:
    """Two-sided probability of a count at least as far out as `hits`, twice the smaller tail."""
    from scipy.stats import binom

    if n <= 0:
        return 1.0
    k, m = round(hits), round(n)
    return float(min(1.0, 2.0 * min(binom.cdf(k, m, share), binom.sf(k - 1, m, share))))


def holm(p: Floats, level: float = 0.05) -> NDArray[np.bool_]:
    """(n,) True for the hypotheses to reject when all are tested together.

    Source: Holm 1979, Scand. J. Statist. 6, 65: the chance of any false rejection stays ≤ level.
    """
    p = np.asarray(p, np.float64)
    out = np.zeros(p.shape, bool)
    for rank, i in enumerate(np.argsort(p, kind="stable")):
        if p[i] > level / (len(p) - rank):
            break
        out[i] = True
    return out
