"""Does query by example return the query's kind? Precision, and labels of neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..domain.derived import Embedding, ModelRef
from ..domain.progress import Progress, Silent
from ..explore.neighbours import ExactIndex
from .bootstrap import Measured
from .corpus import Corpus

K = 10
MOST_RAW = 300
"""Queries that raw-pixel χ² is asked, and everything that is compared with it."""
MOST_ASKED = 4_000
"""Queries of each sort: a random choice of more test spectra; answers still come from all."""
_BLOCK = 64
_CACHE = 2**19
"""Bytes of a block of spectra that χ² is taken over at a time."""


class Search(Protocol):
    """Finds neighbours among all spectra of a corpus."""

    def __call__(self, rows: NDArray[np.int64], allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
        """(q, K) nearest allowed rows of other objects than each of `rows`'; −1 where too few."""
        ...


class ByVectors:
    """Exact neighbours in the vectors of a model, in its metric."""

    def __init__(
        self, corpus: Corpus, ref: ModelRef, vectors: NDArray[Any], scale: NDArray[Any] | None
    ) -> None:
        self.corpus = corpus
        rows = np.arange(len(corpus))
        self.index = ExactIndex(Embedding(ref, vectors, rows), scale)
        self._vectors = vectors
        self._most = int(np.unique(corpus.objects, return_counts=True)[1].max())

    def __call__(self, rows: NDArray[np.int64], allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
        """See `Search`: asks for enough to skip the object's own spectra."""
        out = np.full((len(rows), K), -1, np.int64)
        objects = self.corpus.objects
        wanted = min(K + self._most, int(allowed.sum()))
        for start in range(0, len(rows), _BLOCK):
            mine = rows[start : start + _BLOCK]
            found = self.index.search(self._vectors[mine], wanted, allowed=allowed).obs_uid
            for i, row in enumerate(mine):
                near = found[i][(found[i] >= 0) & (objects[found[i]] != objects[row])][:K]
                out[start + i, : near.size] = near
        return out


class ByPixels:
    """Neighbours by noise-weighted χ² of the prepared pixels: what needs no model at all.

    χ² = mean of (f₁ − f₂)²/(σ₁² + σ₂²) over pixels that both have. Distances of the queries asked
    about are kept, so that several questions cost one comparison.
    """

    def __init__(self, corpus: Corpus, rows: NDArray[np.int64], progress: Progress | None = None):
        self.corpus = corpus
        self.rows = rows
        self.distance = chi2_to_all(corpus, rows, progress or Silent())

    def __call__(self, rows: NDArray[np.int64], allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
        """See `Search`; `rows` are among those it was made for."""
        at = np.searchsorted(self.rows, rows)
        objects = self.corpus.objects
        out = np.full((len(rows), K), -1, np.int64)
        for i, (row, place) in enumerate(zip(rows, at, strict=True)):
            usable = allowed & (objects != objects[row])
            far = np.where(usable, self.distance[place], np.inf)
            near = np.argsort(far, kind="stable")[: min(K, int(usable.sum()))]
            out[i, : near.size] = near
        return out


def chi2_to_all(corpus: Corpus, rows: NDArray[np.int64], progress: Progress) -> NDArray[np.float32]:
    """(q, n) χ² a common pixel of these rows against all spectra; inf without common pixels."""
    flux, ivar = corpus.batch.flux, corpus.batch.ivar
    out = np.empty((len(rows), len(flux)), np.float32)
    size = max(8, _CACHE // (4 * flux.shape[1]))
    progress.start(f"{corpus.name}: raw-pixel χ²", -(-len(flux) // size))
    for start in range(0, len(flux), size):
        block = slice(start, start + size)
        known = ivar[block] > 0
        variance = 1.0 / np.where(known, ivar[block], np.float32(1.0))
        there, other = known.astype(np.float32), flux[block]
        gap, weight = np.empty_like(other), np.empty_like(other)
        for i, row in enumerate(rows):
            both = there @ (ivar[row] > 0).astype(np.float32)
            mine = 1.0 / np.where(ivar[row] > 0, ivar[row], np.float32(np.inf))
            np.subtract(other, flux[row], out=gap)
            np.multiply(gap, gap, out=gap)
            np.add(variance, np.where(ivar[row] > 0, mine, np.float32(np.inf)), out=weight)
            np.divide(gap, weight, out=gap)
            total = np.einsum("np,np->n", gap, there)
            out[i, block] = np.where(both > 0, total / np.maximum(both, 1.0), np.inf)
        progress.advance()
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Questions:
    """What every method is asked, the same for all: rows by measure, and who may be an answer.

    asked : rows that queries are taken from · raw : of them, those that raw pixels are asked about
    as well; both ascending
    """

    corpus: Corpus
    asked: NDArray[np.int64]
    raw: NDArray[np.int64]

    @classmethod
    def of(cls, corpus: Corpus, most_raw: int = MOST_RAW) -> Questions:
        """Normal test spectra; raw pixels are asked a random choice of them."""
        normal = np.flatnonzero(corpus.test & (corpus.oddity == ""))
        asked = np.random.default_rng(7).permutation(normal)[:MOST_ASKED]
        return cls(corpus, np.sort(asked), np.sort(asked[:most_raw]))

    def each(self) -> Iterator[tuple[str, str, NDArray[np.int64], NDArray[np.bool_]]]:
        """(measure, quantity, rows to ask, allowed answers); quantity '' = the class label."""
        corpus = self.corpus
        labelled = corpus.label != ""
        yield "precision@10", "", self.asked[labelled[self.asked]], labelled
        for name, values in corpus.numbers.items():
            known = np.isfinite(values)
            rows = self.asked[known[self.asked]]
            if len(rows) >= 2 * K and known.sum() > len(rows) + K:
                yield f"MAE {name}", name, rows, known


def answers(questions: Questions, search: Search, raw_only: bool) -> dict[str, Measured]:
    """Precision at 10 and absolute errors of the mean label of 10 neighbours, by spectrum."""
    corpus = questions.corpus
    out = {}
    searched: dict[bytes, NDArray[np.int64]] = {}
    for measure, quantity, asked, allowed in questions.each():
        rows = np.intersect1d(asked, questions.raw) if raw_only else asked
        if not len(rows):
            continue
        key = rows.tobytes() + allowed.tobytes()
        if key not in searched:
            searched[key] = search(rows, allowed)
        out[measure] = Measured(
            _judged(corpus, quantity, rows, searched[key]), corpus.objects[rows], rows
        )
    return out


def _judged(
    corpus: Corpus, quantity: str, rows: NDArray[np.int64], near: NDArray[np.int64]
) -> NDArray[np.float64]:
    there = near >= 0
    count = np.maximum(there.sum(axis=1), 1)
    if not quantity:
        same = (corpus.label[near] == corpus.label[rows][:, None]) & there
        return np.asarray(same.sum(axis=1) / count, np.float64)
    values = corpus.numbers[quantity]
    mean = np.where(there, values[near], 0.0).sum(axis=1) / count
    error = np.abs(mean - values[rows])
    return np.asarray(error / (1.0 + values[rows]) if quantity == "z" else error)


def by_chance(questions: Questions, seed: int = 0) -> dict[str, Measured]:
    """What 10 random spectra of other objects give: expected precision, one draw of labels."""
    corpus = questions.corpus
    rng = np.random.default_rng([seed, 3])
    out = {}
    for measure, quantity, rows, allowed in questions.each():
        if quantity:
            pool = np.flatnonzero(allowed)
            near = pool[rng.integers(0, pool.size, (len(rows), 3 * K))]
            own = corpus.objects[near] == corpus.objects[rows][:, None]
            near = np.take_along_axis(near, np.argsort(own, axis=1, kind="stable"), 1)[:, :K]
            values = _judged(corpus, quantity, rows, near)
        else:
            values = _expected_precision(corpus, rows, allowed)
        out[measure] = Measured(values, corpus.objects[rows], rows)
    return out


def _expected_precision(
    corpus: Corpus, rows: NDArray[np.int64], allowed: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Share of the query's class among the allowed spectra of other objects."""
    label, objects = corpus.label[allowed], corpus.objects[allowed]
    names, of_label = np.unique(label, return_inverse=True)
    total = np.bincount(of_label)
    _, per_object = np.unique(objects, return_inverse=True)
    own_all = np.bincount(per_object)
    pair = np.unique(np.stack([per_object, of_label]), axis=1, return_counts=True)
    own_class = {(int(o), int(c)): int(n) for (o, c), n in zip(pair[0].T, pair[1], strict=True)}
    number = {int(o): i for i, o in enumerate(np.unique(objects))}
    place = {str(c): i for i, c in enumerate(names)}
    out = np.empty(len(rows))
    for i, row in enumerate(rows):
        c, o = place[str(corpus.label[row])], number.get(int(corpus.objects[row]), -1)
        own = own_class.get((o, c), 0) if o >= 0 else 0
        out[i] = (total[c] - own) / max(label.size - (own_all[o] if o >= 0 else 0), 1)
    return out
