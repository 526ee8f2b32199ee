"""Building an approximate index: how many cells a query must look into, and what it then finds."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..domain.progress import Progress, Silent
from .approximate import (
    FILTER_EXACT,
    LEAST_ROWS,
    MARGIN,
    TARGET,
    ApproximateIndex,
    Filtered,
    IndexCard,
    Tuned,
    faiss,
)
from .neighbours import ExactIndex

DEPTHS = (10, 200)
"""Numbers of neighbours for which the cells to look into are tuned: an answer, a re-ranking."""
WITHIN = (10, 20, 50)
"""Numbers of neighbours for which recall under filters is measured."""
SHARES = (FILTER_EXACT, 0.5)
"""Shares that those filters pass: what is measured for one stands for all up to the next."""
_QUERIES, _CHECKS = 300, 500
_PER_CELL = 64
_DRAWS = 8
"""Filters of a kind at most; fewer when `_ENOUGH` answers have been compared."""
_ENOUGH = 400


def cells_for(rows: int) -> int:
    """Number of cells: 4 √n, but at least 39 vectors each to place a centre by."""
    return max(1, min(round(4 * math.sqrt(rows)), rows // 39))


def build(
    exact: ExactIndex, scale_hash: str, *, seed: int = 0, target: float = TARGET,
    progress: Progress | None = None,
) -> ApproximateIndex:  # fmt: skip
    """Sort the vectors into cells, then find out how many cells a query must look into.

    The queries it is tuned on, and the others its recall is measured on, are rows that took no
    part in placing the cells, as a new spectrum takes none; each is left out of its own answer.

    Raises
    ------
    UsageError (too_few_rows) : fewer than `LEAST_ROWS` vectors
    """
    n, d = exact.scaled.shape
    if n < LEAST_ROWS:
        raise UsageError(f"{n} vectors need no approximate index", code="too_few_rows",
                         remedy="search exactly")  # fmt: skip
    progress = progress or Silent()
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(n)
    held = min(_QUERIES + _CHECKS, n // 4)
    nlist = cells_for(n - held)
    progress.start("placing the cells of the index", None)
    cells = faiss().IndexIVFFlat(faiss().IndexFlatL2(d), d, nlist, faiss().METRIC_L2)
    cells.cp.seed = seed
    cells.cp.niter = 10
    cells.cp.max_points_per_centroid = _PER_CELL
    cells.train(exact.scaled[np.sort(shuffled[held : held + _PER_CELL * nlist])])
    progress.start("filling the cells", n)
    for start in range(0, n, 100_000):
        cells.add(exact.scaled[start : start + 100_000])
        progress.advance(min(100_000, n - start))
    card = IndexCard(exact.model.weights_hash, scale_hash, n, d, nlist,
                     (Tuned(10, 1, 0.0, 0.0, 0.0, 0),))  # fmt: skip
    index = ApproximateIndex(exact, cells, np.arange(n), card)
    progress.start("measuring its recall", None)
    queries, uid = exact.vectors(shuffled[:held]), exact.obs_uid[shuffled[:held]]
    tuned = _tuned(index, queries, uid, target, rng)
    index.card = dataclasses.replace(card, tuned=tuned)
    check = slice(_first(held), None)
    filtered = _under_filters(index, queries[check], uid[check], rng)
    index.card = dataclasses.replace(index.card, filtered=filtered)
    return index


def _first(held: int) -> int:
    """So many of the queries are tuned on, the others checked."""
    return held * _QUERIES // (_QUERIES + _CHECKS)


def _tuned(
    index: ApproximateIndex, queries: NDArray[Any], uid: NDArray[Any], target: float,
    rng: np.random.Generator,
) -> tuple[Tuned, ...]:  # fmt: skip
    exact, nlist = index.exact, index.card.nlist
    most = min(DEPTHS[-1], max(len(exact) // 20, DEPTHS[0]))
    truth = _exact_distances(exact, queries, most, uid)
    out = []
    nprobe = 1
    for k in sorted({min(k, most) for k in DEPTHS}):

        def recall(part: slice, nprobe: int, k: int = k) -> NDArray[np.float64]:
            q = exact.checked(queries[part], k, None, None)
            positions, _ = index.probe(q, k + 1 + MARGIN, nprobe)
            _, distance = index.merged(q, k, positions, None, uid[part])
            return _recalls(distance, truth[part, :k])

        tune, check = slice(0, _first(len(uid))), slice(_first(len(uid)), None)
        while nprobe < nlist and interval(recall(tune, nprobe), rng)[0] < target:
            nprobe = min(math.ceil(1.4 * nprobe), nlist)
        values = recall(check, nprobe)
        while nprobe < nlist and interval(values, rng)[0] < target:
            nprobe = min(math.ceil(1.2 * nprobe), nlist)
            values = recall(check, nprobe)
        low, high = interval(values, rng)
        out.append(Tuned(k, nprobe, float(values.mean()), low, high, values.size))
    return tuple(out)


def _under_filters(
    index: ApproximateIndex, queries: NDArray[Any], uid: NDArray[Any], rng: np.random.Generator
) -> tuple[Filtered, ...]:
    """Recall when a share of rows is allowed: at random, and all of them to one side.

    Of answers that are not left to exact search: how good those are is what has to be stated.
    """
    exact, out = index.exact, []
    q = exact.checked(queries, 1, None, None)
    around = index.around(q)
    for share in SHARES:
        for kind in ("random", "one side"):
            seen: dict[int, list[float]] = {k: [] for k in WITHIN}
            for draw in range(_DRAWS):
                open_ = [k for k, v in seen.items() if len(v) < _ENOUGH and (v or not draw)]
                if not open_:
                    break
                order = rng.random(len(exact), np.float32)
                if kind == "one side":
                    order = exact.scaled @ rng.standard_normal(q.shape[1], dtype=np.float32)
                allowed = order <= np.quantile(order, share)
                for k in open_:
                    _, distance, sure = index.narrowed(q, k, around, allowed, uid)
                    truth = _exact_distances(exact, queries[sure], k, uid[sure], allowed)
                    seen[k] += _recalls(distance[sure], truth).tolist()
            for k, values in seen.items():
                if values:
                    low, high = interval(np.array(values), rng)
                    out.append(Filtered(kind, share, k, float(np.mean(values)), low, high,
                                        len(values)))  # fmt: skip
    return tuple(out)


def _exact_distances(
    exact: ExactIndex, queries: NDArray[Any], k: int, uid: NDArray[Any],
    allowed: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:  # fmt: skip
    parts = [exact.search(queries[i : i + 32], k, allowed=allowed, exclude=uid[i : i + 32]).distance
             for i in range(0, len(queries), 32)]  # fmt: skip
    return np.concatenate([np.empty((0, k)), *parts])


def _recalls(found: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """(q,) share of neighbours found; by distance, since of equals any will do."""
    return np.asarray((found <= truth[:, -1:] * (1 + 1e-9)).mean(axis=1))


def interval(values: NDArray[np.float64], rng: np.random.Generator) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over queries; with no miss at all, the rule of three."""
    if values.min() == values.max() == 1.0:
        return 1.0 - 3.0 / values.size, 1.0
    draws = rng.integers(0, values.size, (1000, values.size))
    low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5]).tolist()
    return low, high
