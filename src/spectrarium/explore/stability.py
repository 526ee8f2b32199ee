"""How much two embeddings of the same spectra agree, whatever their axes are called."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import UsageError


@dataclass(frozen=True, slots=True)
class Agreement:
    """Likeness of two embeddings of n spectra: 1 = the same up to rotation and scale.

    cka : linear centred kernel alignment · overlap_10 : mean share of the 10 nearest neighbours
    that are the same; chance is `overlap_chance` · procrustes : 1 − residual after the best
    rotation, shift and scale
    """

    cka: float
    overlap_10: float
    overlap_chance: float
    procrustes: float
    n: int

    def record(self) -> dict[str, Any]:
        """Plain fields."""
        return asdict(self)


def agreement(one: NDArray[Any], two: NDArray[Any], k: int = 10) -> Agreement:
    """How alike two embeddings see the same spectra: two seeds of a model, or two models.

    Parameters
    ----------
    one, two : (n, d) and (n, e), row by row of the same spectra, scaled as distances are taken
    Raises
    ------
    UsageError : different numbers of rows, fewer than 3, vectors that are not finite or constant
    Source: Kornblith et al. 2019 (ICML, eq. 3) for CKA; Gower 1975 (Psychometrika 40, 33) for the
    rotation. Valid for: CKA depends on n when n is not well above the dimensions: compare only
    values of equal n.
    """
    a, b = (np.asarray(x, np.float64) for x in (one, two))
    if a.ndim != 2 or b.ndim != 2 or len(a) != len(b):
        raise UsageError(f"vectors {a.shape} and {b.shape} are not of the same spectra",
                         code="mismatched_lengths")  # fmt: skip
    if len(a) < 3:
        raise UsageError(f"{len(a)} spectra do not show whether two models agree",
                         code="too_few_spectra")  # fmt: skip
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise UsageError("vectors are not finite", code="bad_vectors")
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    size = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if min(size) == 0:
        raise UsageError("all vectors are the same", code="constant")
    cross = a.T @ b
    cka = np.sum(cross**2) / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    nuclear = float(np.linalg.svd(cross, compute_uv=False).sum())
    k = min(k, len(a) - 2)
    return Agreement(
        cka=float(cka), overlap_10=neighbour_overlap(a, b, k), overlap_chance=k / (len(a) - 1),
        procrustes=min(1.0, (nuclear / (size[0] * size[1])) ** 2), n=len(a),
    )  # fmt: skip


def neighbour_overlap(one: NDArray[Any], two: NDArray[Any], k: int = 10) -> float:
    """Mean share of the k nearest of each row that both embeddings name; itself never counts."""
    import faiss

    near = []
    for vectors in (one, two):
        x = np.ascontiguousarray(vectors, np.float32)
        _, index = faiss.knn(x, x, k + 1)
        own = np.arange(len(x))
        near.append([row[row != i][:k] for i, row in zip(own, index, strict=True)])
    shared = [np.intersect1d(a, b).size for a, b in zip(*near, strict=True)]
    return float(np.mean(shared) / k)
