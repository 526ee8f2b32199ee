"""What is alike among very many: a faiss IVF-flat index whose recall has been measured.

Vectors are sorted into cells by k-means; a query looks into the `nprobe` cells nearest to it. How
many cells that takes is found when the index is built (`tuning.build`), from queries whose exact
neighbours are known, and what it then finds of those is kept with it (`Tuned`, `Filtered`). Answers
carry distances computed anew in float64, ties broken by id, as `ExactIndex` does.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.derived import Embedding, ModelRef
from ..domain.errors import UsageError
from .neighbours import ExactIndex, Found, ranked

TARGET = 0.99
"""The lower end of the 95 % interval of the recall must reach this."""
FILTER_EXACT = 0.1
"""Below this share of allowed rows exact search over them is used, which costs in proportion to
them: of 1M × 128 a tenth takes 27 ms (benchmarks/speed/results/neighbours.json)."""
MOST_OUTSIDE = 0.05
"""Share of rows that came, went or changed since an index was built above which it is old (and so
many are always few); until it is built anew, the new ones are compared one by one."""
FEW_OUTSIDE = 10_000
LEAST_ROWS = 100
"""Below this there is nothing to sort into cells."""
MARGIN = 8
"""So many more than asked for are looked for: faiss orders by float32 distances."""
_SURE = 1.0 - 1e-5
Around = tuple[NDArray[np.int64], NDArray[np.float32]]


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

    def __str__(self) -> str:
        return f"approximate, recall@{self.k} {self.recall:.3f} ({self.low:.3f}–{self.high:.3f})"


@dataclass(frozen=True, slots=True)
class Filtered:
    """The recall that was measured where a share of the rows were allowed.

    kind : how they were chosen: at ``random``, or all to ``one side`` of space
    answers : not left to exact search, of which the recall is
    """

    kind: str
    share: float
    k: int
    recall: float
    low: float
    high: float
    answers: int

    def __str__(self) -> str:
        return (f"approximate, recall@{self.k} {self.recall:.3f} ({self.low:.3f}–{self.high:.3f}) "
                f"where {100 * self.share:g} % may be answers")  # fmt: skip


@dataclass(frozen=True, slots=True)
class IndexCard:
    """What an index was built of and how good it is.

    weights_hash, scale_hash : of the model and its metric · rows, nlist : vectors, cells
    tuned : by number of neighbours · filtered : under filters; without any, those are exact
    """

    weights_hash: str
    scale_hash: str
    rows: int
    dimensions: int
    nlist: int
    tuned: tuple[Tuned, ...]
    filtered: tuple[Filtered, ...] = ()

    @property
    def recall(self) -> Tuned:
        """Of 10 neighbours."""
        return self.tuned[0]

    def under(self, k: int, share: float) -> Filtered | None:
        """The least recall measured for k neighbours where so many pass, or fewer.

        None where none was, or where it missed the target: such filters are searched exactly.
        """
        fits = [f for f in self.filtered if f.k >= k and f.share <= share]
        if not fits:
            return None
        nearest = min(f.k for f in fits), max(f.share for f in fits)
        worst = min((f for f in fits if (f.k, f.share) == nearest), key=lambda f: f.low,
                    default=None)  # fmt: skip
        return worst if worst is not None and worst.low >= TARGET else None


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
    def old(self) -> bool:
        """Whether so much came, went or changed since it was built that another is due."""
        gone = len(self._row_of) - self._inside(None)
        return len(self.tail) + gone > self._few

    @property
    def behind(self) -> bool:
        """Whether it is old for what came or changed: what may not be seen is not gone."""
        return len(self.tail) > self._few

    @property
    def _few(self) -> float:
        return max(min(FEW_OUTSIDE, len(self) // 2), MOST_OUTSIDE * len(self))

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

        Parameters and errors as `ExactIndex.search`. Where not all that the index holds may be
        answers, those around a query are looked for and what may not is left out; if too few are
        left, or few are allowed, or k is beyond a tenth of them, exact search answers.
        """
        inside = self._inside(allowed)
        whole = inside == len(self._row_of)
        stated = self.stated(k, inside, allowed is not None)
        if stated is None or k > 0.1 * inside:
            return self.exact.search(queries, k, model=model, allowed=allowed, exclude=exclude)
        q = self.exact.checked(queries, k, model, allowed)
        if whole:
            near, _ = self.probe(q, k + (exclude is not None) + MARGIN, self.nprobe(k))
            return Found(*self.merged(q, k, near, allowed, exclude), str(stated))
        uid, distance, sure = self.narrowed(q, k, self.around(q), allowed, exclude)
        if sure.all():
            return Found(uid, distance, str(stated))
        rest = self.exact.search(queries[~sure], k, allowed=allowed,
                                 exclude=None if exclude is None else exclude[~sure])  # fmt: skip
        uid[~sure], distance[~sure] = rest.obs_uid, rest.distance
        return Found(uid, distance, str(stated) if sure.any() else rest.method)

    def _inside(self, allowed: NDArray[np.bool_] | None) -> int:
        """How many of the vectors that the index holds may be answers."""
        if allowed is None:
            return len(self.exact) - len(self.tail)
        return int(np.count_nonzero(allowed) - np.count_nonzero(allowed[self.tail]))

    def stated(self, k: int, inside: int, filtered: bool) -> Tuned | Filtered | None:
        """What is known of the search for k neighbours where so many vectors may be answers.

        Where few have gone, the k are taken from as many as the index was tuned for, and the
        recall is of those. None = nothing, or nothing good enough: it is done exactly
        """
        last = self.card.tuned[-1]
        if inside == len(self._row_of):
            return next((t for t in self.card.tuned if k <= t.k), last)
        if not filtered and inside >= (1.0 - MOST_OUTSIDE) * len(self._row_of):
            return last if k <= last.k else None
        return self.card.under(k, inside / len(self._row_of))

    def nprobe(self, k: int) -> int:
        """Cells to look into for k neighbours: as tuned, and beyond in proportion to k."""
        for entry in self.card.tuned:
            if k <= entry.k:
                return entry.nprobe
        last = self.card.tuned[-1]
        return min(math.ceil(last.nprobe * k / last.k), self.card.nlist)

    def probe(self, q: NDArray[np.float32], k: int, nprobe: int) -> Around:
        """(q, k) positions in the index and squared distances; −1 where the cells held fewer.

        q : scaled · More cells are looked into until there are enough.
        """
        out = np.full((len(q), k), -1, np.int64)
        far = np.full((len(q), k), np.inf, np.float32)
        open_ = np.arange(len(q))
        while open_.size:  # each query by itself: a batch must find what its members would alone
            settings = faiss().SearchParametersIVF(nprobe=min(nprobe, self.card.nlist))
            far[open_], out[open_] = self.cells.search(q[open_], k, params=settings)
            if nprobe >= self.card.nlist:
                break
            open_ = open_[out[open_, -1] < 0]
            nprobe *= 4
        return out, far

    def around(self, q: NDArray[np.float32]) -> Around:
        """What the index holds nearest to each query, as many as it was tuned for at most."""
        last = self.card.tuned[-1]
        return self.probe(q, last.k + 1 + MARGIN, last.nprobe)

    def narrowed(
        self, q: NDArray[np.float32], k: int, around: Around, allowed: NDArray[np.bool_] | None,
        exclude: NDArray[Any] | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:  # fmt: skip
        """ids, distances, and (q,) whether they may be trusted: all k lie within what was found.

        Whatever is nearer to a query than the last of those around it is among them, with the
        recall of that search, and so is each of it that is allowed. No number of cells would be
        right for every filter: what it passes may lie far from a query (stars asked for among
        galaxies), in cells that are not looked into.
        """
        positions, square = around
        uid, distance = self.merged(q, k, positions, allowed, exclude)
        limit = np.where(positions[:, -1] < 0, np.inf, square[:, -1])
        return uid, distance, np.square(distance[:, -1]) < _SURE * limit

    def merged(
        self, q: NDArray[np.float32], k: int, positions: NDArray[np.int64],
        allowed: NDArray[np.bool_] | None, exclude: NDArray[Any] | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:  # fmt: skip
        """(q, k) ids and distances of what may be answers at these positions and in the tail."""
        uid = np.full((len(q), k), -1, dtype=np.int64)
        distance = np.full((len(q), k), np.inf)
        extra = None
        if len(self.tail):
            tail_allowed = None if allowed is None else allowed[self.tail]
            extra = self._tail_index.search(q, k, allowed=tail_allowed, exclude=exclude).obs_uid
        for i, found in enumerate(positions):
            rows = self._row_of[found[found >= 0]]
            rows = rows[rows >= 0]
            if allowed is not None:
                rows = rows[allowed[rows]]
            if extra is not None:
                held = extra[i][extra[i] >= 0]
                rows = np.concatenate([rows, self.tail[self._tail_index.rows_of(held)]])
            near, far = ranked(self.exact.scaled[rows], self.obs_uid[rows], q[i], k,
                               None if exclude is None else exclude[i])  # fmt: skip
            uid[i, : near.size], distance[i, : near.size] = near, far
        return uid, distance


def faiss() -> Any:
    """The module, imported when first needed, and untyped: its stubs are those of C++ classes."""
    return importlib.import_module("faiss")
