"""What is alike: exact nearest neighbours among the vectors of one model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.derived import Embedding, ModelRef
from ..domain.errors import UsageError

F4 = np.float32
_ROWS = 32_768
"""Vectors compared at a time: their distances stay in the processor's cache."""
_FEW = 0.25
"""Below this share of allowed rows they are gathered first; above, masked as they come."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Neighbours of each query, nearest first.

    obs_uid : (q, k) integer, −1 where fewer than k rows were allowed
    distance : (q, k) float64, in the metric of the index; inf where obs_uid is −1
    method : how they were sought, in words
    """

    obs_uid: NDArray[Any]
    distance: NDArray[np.float64]
    method: str = "exact"


class ExactIndex:
    """Exact Euclidean search over (n, d) float32 vectors.

    Candidates come from float32 products and thresholds; their order from float64 differences, so
    that near duplicates are told apart and ties are broken by obs_uid: the same question always
    gets the same answer, whatever the block size or number of threads.

    Parameters
    ----------
    embedding : vectors and ids of one model
    scale : (d,) the vectors are multiplied by before distances are taken: a model's
        `metric_scale()`, or 1/σ of each component for Mahalanobis distance; None = as they are
    """

    def __init__(self, embedding: Embedding, scale: NDArray[Any] | None = None) -> None:
        self.model: ModelRef = embedding.model
        vectors = np.ascontiguousarray(embedding.vectors, dtype=F4)
        self.scale = None if scale is None else np.asarray(scale, dtype=F4)
        if self.scale is not None:
            if self.scale.shape != vectors.shape[1:]:
                raise UsageError(f"scale {self.scale.shape} does not fit {vectors.shape[1]} "
                                 "components", code="mismatched_lengths")  # fmt: skip
            vectors = vectors * self.scale
        self._vectors = vectors
        # half of |x|²: the product then ranks by |x|²/2 − x·q with one subtraction
        self._half = np.empty(len(vectors), dtype=F4)
        for start in range(0, len(vectors), _ROWS):
            rows = vectors[start : start + _ROWS]
            self._half[start : start + _ROWS] = 0.5 * np.einsum("nd,nd->n", rows, rows)
        self._largest = float(np.sqrt(2.0 * self._half.max())) if len(vectors) else 0.0
        if not np.isfinite(self._largest):
            raise UsageError("vectors are not finite", code="bad_vectors")
        self.obs_uid = embedding.obs_uid
        self._order: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self._vectors)

    @property
    def scaled(self) -> NDArray[np.float32]:
        """(n, d) vectors times the scale: between these distances are taken. Not to be changed."""
        return self._vectors

    def vectors(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """(…, d) vectors at these rows, as the encoder gave them."""
        found = self._vectors[rows]
        return np.asarray(found if self.scale is None else found / self.scale)

    def rows_of(self, obs_uid: NDArray[Any]) -> NDArray[np.int64]:
        """Rows that hold these ids. Raises UsageError (unknown_id)."""
        if self._order is None:
            self._order = np.argsort(self.obs_uid, kind="stable")
        sorted_ids = self.obs_uid[self._order]
        at = np.minimum(np.searchsorted(sorted_ids, obs_uid), len(self) - 1)
        if not np.array_equal(sorted_ids[at], obs_uid):
            raise UsageError("an id is not in the index", code="unknown_id")
        return np.asarray(self._order[at])

    def search(
        self,
        queries: NDArray[Any],
        k: int,
        *,
        model: ModelRef | None = None,
        allowed: NDArray[np.bool_] | None = None,
        exclude: NDArray[Any] | None = None,
    ) -> Found:
        """The k nearest of each query.

        Parameters
        ----------
        queries : (q, d) vectors as the encoder gives them (the scale is applied here)
        model : that encoded the queries; refused if it is not this index's
        allowed : (n,) True for rows that may be answers
        exclude : (q,) obs_uid that is no answer to this query (itself); −1 = none
        Raises
        ------
        UsageError : k < 1, other dimensions, another model, vectors that are not finite
        """
        q = self.checked(queries, k, model, allowed)
        rows = None if allowed is None else np.flatnonzero(allowed)
        gather = rows is not None and rows.size < _FEW * len(self)
        vectors, half = self._vectors, self._half
        if gather:
            vectors, half = vectors[rows], half[rows]
        usable = None if gather else allowed
        candidates = _candidates(vectors, half, usable, q, k + (exclude is not None), self._largest)
        uid = np.full((len(q), k), -1, dtype=np.int64)
        distance = np.full((len(q), k), np.inf)
        for i, at in enumerate(candidates):
            ids = self.obs_uid[rows[at] if gather and rows is not None else at]
            near, far = ranked(vectors[at], ids, q[i], k, None if exclude is None else exclude[i])
            uid[i, : near.size], distance[i, : near.size] = near, far
        return Found(uid, distance)

    def checked(
        self, queries: NDArray[Any], k: int, model: ModelRef | None,
        allowed: NDArray[np.bool_] | None,
    ) -> NDArray[np.float32]:  # fmt: skip
        """(q, d) queries times the scale; refuses what `search` says it refuses."""
        if k < 1:
            raise UsageError(f"k is {k}", code="bad_k", remedy="ask for one neighbour or more")
        if model is not None and model.weights_hash != self.model.weights_hash:
            raise UsageError(
                f"query was encoded by {model.model_id}, the index by {self.model.model_id}",
                code="other_model", remedy="distances mean nothing across models: encode it anew",
            )  # fmt: skip
        if queries.ndim != 2 or queries.shape[1] != self._vectors.shape[1]:
            raise UsageError(f"queries {queries.shape} are not (q, {self._vectors.shape[1]})",
                             code="mismatched_lengths")  # fmt: skip
        if allowed is not None and (allowed.shape != (len(self),) or allowed.dtype != np.bool_):
            raise UsageError("allowed needs one boolean for each vector", code="mismatched_lengths")
        q = queries.astype(F4)
        if self.scale is not None:
            q = q * self.scale
        if not np.isfinite(q).all():
            raise UsageError("query vectors are not finite", code="bad_vectors")
        return q


def ranked(
    vectors: NDArray[np.float32], ids: NDArray[Any], query: NDArray[np.float32], k: int,
    exclude: int | None = None,
) -> tuple[NDArray[Any], NDArray[np.float64]]:  # fmt: skip
    """(≤ k,) ids and distances of candidates, by float64 differences, ties by id.

    Parameters
    ----------
    vectors : (n, d) candidates · query : (d,) both scaled · exclude : an id that is no answer
    """
    if exclude is not None:
        vectors, ids = vectors[ids != exclude], ids[ids != exclude]
    gap = vectors.astype(np.float64) - query
    exact = np.einsum("nd,nd->n", gap, gap)
    order = np.lexsort((ids, exact))[:k]
    return ids[order], np.sqrt(exact[order])


def _candidates(
    vectors: NDArray[np.float32],
    half: NDArray[np.float32],
    allowed: NDArray[np.bool_] | None,
    q: NDArray[np.float32],
    k: int,
    largest: float,
) -> list[NDArray[np.int64]]:
    """Rows of each query that may be among its k nearest: a few more than k, never one too few."""
    if len(vectors) == 0:
        return [np.empty(0, dtype=np.int64) for _ in q]
    # d products summed in float32 are off by at most (d + 2)·eps·|x||q|; both a candidate and the
    # threshold may be: whatever lies within twice that of the threshold may be nearer
    norms = np.sqrt(np.einsum("qd,qd->q", q, q, dtype=np.float64))
    bound = 2.0 * np.finfo(F4).eps * (q.shape[1] + 2) * largest * (0.5 * largest + norms)
    pools = [_Pool(k, float(b)) for b in bound]
    transposed = np.ascontiguousarray(q.T)
    out = np.empty((min(_ROWS, len(vectors)), len(q)), dtype=F4)
    for start in range(0, len(vectors), _ROWS):
        block = vectors[start : start + _ROWS]
        product = out[: len(block)]
        if len(q) == 1:
            np.matmul(block, q[0], out=product[:, 0])
        else:
            np.matmul(block, transposed, out=product)
        np.subtract(half[start : start + _ROWS, None], product, out=product)
        if allowed is not None:
            product[~allowed[start : start + _ROWS]] = np.inf
        for column, pool in enumerate(pools):
            pool.offer(product[:, column], start)
    return [pool.rows() for pool in pools]


class _Pool:
    """The best rows so far of one query, kept by a threshold that only falls."""

    def __init__(self, k: int, bound: float) -> None:
        self.k = k
        self.bound = bound
        self.threshold = F4(np.inf)
        self._values: list[NDArray[np.float32]] = []
        self._rows: list[NDArray[np.int64]] = []
        self._held = 0

    def offer(self, values: NDArray[np.float32], start: int) -> None:
        """Take what beats the threshold; tighten it when the pool has grown fourfold."""
        at = np.flatnonzero(values < self.threshold)
        if not at.size:
            return
        self._values.append(values[at])
        self._rows.append(at + start)
        self._held += at.size
        if self._held > 4 * self.k + 256:
            self._tighten()

    def _tighten(self) -> None:
        values, rows = np.concatenate(self._values), np.concatenate(self._rows)
        if values.size > self.k:
            worst = np.partition(values, self.k - 1)[self.k - 1]
            limit = F4(worst + self.bound)
            self.threshold = np.nextafter(limit, F4(np.inf))
            keep = values <= limit
            values, rows = values[keep], rows[keep]
        self._values, self._rows, self._held = [values], [rows], values.size

    def rows(self) -> NDArray[np.int64]:
        """All rows that may be among the k nearest."""
        if not self._values:
            return np.empty(0, dtype=np.int64)
        self._tighten()
        return self._rows[0]
