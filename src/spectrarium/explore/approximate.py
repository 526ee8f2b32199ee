"""What is alike among very many: a faiss IVF-flat index whose recall has been measured.

Vectors are sorted into cells by k-means; a query looks into the `nprobe` cells nearest to it. How
many cells that takes is found when the index is built, from queries whose exact neighbours are
known, and what it then finds of those is kept with it (`Tuned`). Answers carry distances computed
anew in float64, ties broken by id, as `ExactIndex` does.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.derived import Embedding, ModelRef
from ..domain.errors import UsageError
from ..domain.progress import Progress, Silent
from .neighbours import ExactIndex, Found, ranked

TARGET = 0.99
"""The lower end of the 95 % interval of the recall must reach this."""
FILTER_EXACT = 0.01
"""Below this share of allowed rows exact search over them is used: of 1M × 128 it takes 2 ms at
1 % on a quiet machine and 0.2 ms at 0.06 % (benchmarks/speed/results/approximate.json)."""
MOST_OUTSIDE = 0.05
"""Share of rows that came, went or changed since an index was built above which it is built anew;
up to it (and up to `FEW_OUTSIDE` rows in any case) the new ones are searched exactly."""
FEW_OUTSIDE = 10_000
DEPTHS = (10, 200)
"""Numbers of neighbours for which the cells to look into are tuned: an answer, a re-ranking."""
LEAST_ROWS = 100
"""Below this there is nothing to sort into cells."""
_MARGIN = 8
_WIDER = 4
"""A filtered answer is trusted when so many times the cells leave it as it is. With twice the cells
answers under a filter that passed a tenth, all to one side, had a recall of 0.978 only."""
_QUERIES, _CHECKS = 300, 500
_PER_CELL = 64


@dataclass(frozen=True, slots=True)
class Tuned:
    """Cells to look into for k neighbours, and the recall that was measured with so many.

    recall : share of the k exact neighbours found · low, high : 95 % interval over queries
    """

    k: int
    nprobe: int
    recall: float
    low: float
    high: float
    queries: int


@dataclass(frozen=True, slots=True)
class IndexCard:
    """What an index was built of and how good it is.

    weights_hash, scale_hash : of the model and its metric · rows, nlist : vectors, cells
    tuned : by number of neighbours · filtered : recall at 10 under filters, by kind and share
    """

    weights_hash: str
    scale_hash: str
    rows: int
    dimensions: int
    nlist: int
    tuned: tuple[Tuned, ...]
    filtered: dict[str, float] = field(default_factory=dict)

    @property
    def recall(self) -> Tuned:
        """Of 10 neighbours."""
        return self.tuned[0]


class ApproximateIndex:
    """Search of an `ExactIndex` through cells; the same questions, the same form of answers.

    Parameters
    ----------
    exact : all vectors as they are now
    cells : faiss.IndexIVFFlat over `exact.scaled` as it was when the index was built
    row_of : (cells.ntotal,) row of `exact` that each vector of the index is now; −1 = gone
    Raises
    ------
    UsageError (other_model, mismatched_lengths) : an index of another model or shape
    """

    def __init__(
        self, exact: ExactIndex, cells: Any, row_of: NDArray[np.int64], card: IndexCard
    ) -> None:
        if card.weights_hash != exact.model.weights_hash:
            raise UsageError("the index is of another model", code="other_model",
                             remedy="build it anew")  # fmt: skip
        if cells.d != exact.scaled.shape[1] or len(row_of) != cells.ntotal:
            raise UsageError("the index does not fit the vectors", code="mismatched_lengths")
        self.exact, self.card = exact, card
        self.cells = cells
        self._row_of = row_of
        self._gone = bool((row_of < 0).any())
        self._in_order = bool(np.array_equal(row_of, np.arange(len(row_of))))
        outside = np.ones(len(exact), bool)
        outside[row_of[row_of >= 0]] = False
        self.tail = np.flatnonzero(outside)
        self._tail_index = ExactIndex(
            Embedding(exact.model, exact.scaled[self.tail], exact.obs_uid[self.tail])
        )

    @property
    def model(self) -> ModelRef:
        """The encoder of the vectors."""
        return self.exact.model

    @property
    def obs_uid(self) -> NDArray[Any]:
        """(n,) ids, in the order of rows."""
        return self.exact.obs_uid

    def __len__(self) -> int:
        return len(self.exact)

    def vectors(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """(…, d) vectors at these rows, as the encoder gave them."""
        return self.exact.vectors(rows)

    def rows_of(self, obs_uid: NDArray[Any]) -> NDArray[np.int64]:
        """Rows that hold these ids. Raises UsageError (unknown_id)."""
        return self.exact.rows_of(obs_uid)

    def search(
        self,
        queries: NDArray[Any],
        k: int,
        *,
        model: ModelRef | None = None,
        allowed: NDArray[np.bool_] | None = None,
        exclude: NDArray[Any] | None = None,
    ) -> Found:
        """The k nearest of each query, nearly always: `Found.method` says how nearly.

        Parameters and errors as `ExactIndex.search`. Few allowed rows, or k beyond a tenth of all,
        are searched exactly.
        """
        share = 1.0 if allowed is None else float(np.count_nonzero(allowed)) / max(len(self), 1)
        if share < FILTER_EXACT or k > 0.1 * share * len(self):
            return self.exact.search(queries, k, model=model, allowed=allowed, exclude=exclude)
        q = self.exact.checked(queries, k, model, allowed)
        wanted = k + (exclude is not None) + _MARGIN
        if allowed is None:
            positions = self._probe(q, wanted, self.nprobe(k), None)
        else:
            positions, sure = self._filtered(q, k, wanted, allowed, share)
            if not sure:
                return self.exact.search(queries, k, model=model, allowed=allowed, exclude=exclude)
        return self._answers(q, k, positions, allowed, exclude)

    def nprobe(self, k: int) -> int:
        """Cells to look into for k neighbours: as tuned, and beyond in proportion to k."""
        for entry in self.card.tuned:
            if k <= entry.k:
                return entry.nprobe
        last = self.card.tuned[-1]
        return min(math.ceil(last.nprobe * k / last.k), self.card.nlist)

    def _probe(
        self, q: NDArray[np.float32], k: int, nprobe: int, selector: Any
    ) -> NDArray[np.int64]:
        """(q, k) positions in the index, −1 where the cells held fewer; more cells until enough."""
        faiss = _faiss()
        if selector is None and self._gone:
            selector = self._selector(self._row_of >= 0)
        out = np.full((len(q), k), -1, np.int64)
        open_ = np.arange(len(q))
        while open_.size:  # each query by itself: a batch must find what its members would alone
            settings = faiss.SearchParametersIVF(nprobe=min(nprobe, self.card.nlist), sel=selector)
            out[open_] = self.cells.search(q[open_], k, params=settings)[1]
            if nprobe >= self.card.nlist:
                break
            open_ = open_[out[open_, -1] < 0]
            nprobe *= 4
        return out

    def _filtered(
        self, q: NDArray[np.float32], k: int, wanted: int, allowed: NDArray[np.bool_], share: float
    ) -> tuple[NDArray[np.int64], bool]:
        """Positions, and whether they may be trusted: whether so many more cells bring nothing new.

        Allowed rows may all lie far from a query (stars asked for among galaxies): no number of
        cells is right for every filter, so each answer is checked, and left to exact search
        rather than doubted.
        """
        nprobe = math.ceil(self.nprobe(k) * share**-0.5)
        most = self.card.nlist * min(share, 0.5)  # beyond, exact search looks at fewer rows
        if _WIDER * nprobe > most:
            return np.empty((len(q), 0), np.int64), False
        inside = allowed[: len(self._row_of)] if self._in_order else self._allowed_inside(allowed)
        selector = self._selector(inside)
        found = self._probe(q, wanted, nprobe, selector)
        out = found.copy()
        open_ = np.arange(len(q))
        while open_.size and _WIDER * nprobe <= most:
            nprobe *= _WIDER
            again = self._probe(q[open_], wanted, nprobe, selector)
            same = (again[:, :k] == out[open_, :k]).all(axis=1)
            out[open_] = again
            open_ = open_[~same]
        return out, not open_.size

    def _allowed_inside(self, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        inside = np.zeros(len(self._row_of), bool)
        there = self._row_of >= 0
        inside[there] = allowed[self._row_of[there]]
        return inside

    def _selector(self, inside: NDArray[np.bool_]) -> Any:
        bits = np.packbits(inside, bitorder="little")
        selector = _faiss().IDSelectorBitmap(bits)
        selector.held = bits  # faiss only points at them
        return selector

    def _answers(
        self, q: NDArray[np.float32], k: int, positions: NDArray[np.int64],
        allowed: NDArray[np.bool_] | None, exclude: NDArray[Any] | None,
    ) -> Found:  # fmt: skip
        uid = np.full((len(q), k), -1, dtype=np.int64)
        distance = np.full((len(q), k), np.inf)
        extra = None
        if len(self.tail):
            tail_allowed = None if allowed is None else allowed[self.tail]
            extra = self._tail_index.search(q, k, allowed=tail_allowed, exclude=exclude).obs_uid
        for i, found in enumerate(positions):
            rows = self._row_of[found[found >= 0]]
            if extra is not None:
                held = extra[i][extra[i] >= 0]
                rows = np.concatenate([rows, self.tail[self._tail_index.rows_of(held)]])
            near, far = ranked(self.exact.scaled[rows], self.obs_uid[rows], q[i], k,
                               None if exclude is None else exclude[i])  # fmt: skip
            uid[i, : near.size], distance[i, : near.size] = near, far
        return Found(uid, distance, self.method(k))

    def method(self, k: int) -> str:
        """In words: ``approximate, recall@10 0.997 (0.995–0.999)``."""
        t = next((t for t in self.card.tuned if k <= t.k), self.card.tuned[-1])
        return f"approximate, recall@{t.k} {t.recall:.3f} ({t.low:.3f}–{t.high:.3f})"


def _faiss() -> Any:
    """Imported when first needed, and untyped: its stubs are those of the C++ classes."""
    return importlib.import_module("faiss")


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
    faiss = _faiss()
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
    cells = faiss.IndexIVFFlat(faiss.IndexFlatL2(d), d, nlist, faiss.METRIC_L2)
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
    index.card = _tuned(index, shuffled[:held], target, rng)
    return index


def _tuned(
    index: ApproximateIndex, held: NDArray[np.int64], target: float, rng: np.random.Generator
) -> IndexCard:
    exact, nlist = index.exact, index.card.nlist
    queries, uid = exact.vectors(held), exact.obs_uid[held]
    first = len(held) * _QUERIES // (_QUERIES + _CHECKS)
    most = min(DEPTHS[-1], max(len(exact) // 20, DEPTHS[0]))
    truth = _exact_distances(exact, queries, most, uid)
    out = []
    nprobe = 1
    for k in sorted({min(k, most) for k in DEPTHS}):

        def recall(part: slice, nprobe: int, k: int = k) -> NDArray[np.float64]:
            q = exact.checked(queries[part], k, None, None)
            positions = index._probe(q, k + 1 + _MARGIN, nprobe, None)
            found = index._answers(q, k, positions, None, uid[part])
            return _recalls(found.distance, truth[part, :k])

        tune, check = slice(0, first), slice(first, None)
        while nprobe < nlist and interval(recall(tune, nprobe), rng)[0] < target:
            nprobe = min(math.ceil(1.4 * nprobe), nlist)
        values = recall(check, nprobe)
        while nprobe < nlist and interval(values, rng)[0] < target:
            nprobe = min(math.ceil(1.2 * nprobe), nlist)
            values = recall(check, nprobe)
        low, high = interval(values, rng)
        out.append(Tuned(k, nprobe, float(values.mean()), low, high, values.size))
    index.card = IndexCard(index.card.weights_hash, index.card.scale_hash, index.card.rows,
                           index.card.dimensions, nlist, tuple(out))  # fmt: skip
    part = slice(0, min(100, len(held)))
    filtered = _filtered_recall(index, queries[part], uid[part], rng)
    return IndexCard(index.card.weights_hash, index.card.scale_hash, index.card.rows,
                     index.card.dimensions, nlist, tuple(out), filtered)  # fmt: skip


def _filtered_recall(
    index: ApproximateIndex, queries: NDArray[Any], uid: NDArray[Any], rng: np.random.Generator
) -> dict[str, float]:
    """Recall at 10 when a share of rows is allowed: at random, and all of them to one side."""
    exact, out = index.exact, {}
    side = exact.scaled @ rng.standard_normal(exact.scaled.shape[1:], dtype=np.float32)
    for share in (0.01, 0.1):
        for kind, order in (("random", rng.random(len(exact))), ("one side", side)):
            allowed = order <= np.quantile(order, share)
            truth = exact.search(queries, 10, allowed=allowed, exclude=uid).distance
            found = [index.search(q[None], 10, allowed=allowed, exclude=u[None]).distance[0]
                     for q, u in zip(queries, uid, strict=True)]  # fmt: skip
            out[f"{kind} {share:g}"] = float(_recalls(np.array(found), truth).mean())
    return out


def _exact_distances(
    exact: ExactIndex, queries: NDArray[Any], k: int, uid: NDArray[Any]
) -> NDArray[np.float64]:
    parts = [exact.search(queries[i : i + 32], k, exclude=uid[i : i + 32]).distance
             for i in range(0, len(queries), 32)]  # fmt: skip
    return np.concatenate(parts)


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
