"""Coefficients of a linear model given noisy, gappy spectra: the step that fit and encode share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

F4 = np.float32
Array4 = NDArray[np.float32]
Array8 = NDArray[np.float64]

_PACKED_BYTES = 512 * 2**20
"""Above this the products of all pairs of components are not kept but formed per spectrum."""


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """Gaussian posterior of the latent coefficients z ~ N(0, 1) of each spectrum.

    mean : (n, k) · cov : (n, k, k)
    residual : (n, D) y − μ − W z · weight : (n, D) the weights used, 0 = no information
    """

    mean: Array8
    cov: Array8
    residual: Array4
    weight: Array4


class LinearModel:
    """y = μ + W z + noise, noise variance 1/ivar + scatter, z ~ N(0, I).

    mean : (D,) · loadings : (k, D) rows of Wᵀ · scatter : (D,) variance
    """

    def __init__(self, mean: NDArray[Any], loadings: NDArray[Any], scatter: NDArray[Any]) -> None:
        self.mean = np.ascontiguousarray(mean, dtype=F4)
        self.loadings = np.ascontiguousarray(loadings, dtype=F4)
        self.scatter = np.ascontiguousarray(scatter, dtype=F4)
        self._pairs: Array4 | None = None
        self._rows, self._cols = np.triu_indices(self.k)

    @property
    def k(self) -> int:
        """Number of components."""
        return int(self.loadings.shape[0])

    def weights(self, ivar: Array4) -> Array4:
        """1/(1/ivar + scatter), 0 where ivar is 0."""
        return ivar / (1.0 + ivar * self.scatter)

    def posterior(self, flux: Array4, ivar: Array4, clip: float | None = None) -> Posterior:
        """Solve each spectrum; pixels beyond `clip` σ of a first solution count less (Huber)."""
        weight = self.weights(ivar)
        centred = np.where(weight > 0, flux - self.mean, F4(0)).astype(F4, copy=False)
        solved = self._solve(centred, weight)
        if clip is None:
            return solved
        size = np.abs(solved.residual) * np.sqrt(weight)
        down = np.where(size > clip, clip / np.maximum(size, clip), 1.0).astype(F4)
        return self._solve(centred, weight * down)

    def _solve(self, centred: Array4, weight: Array4) -> Posterior:
        precision = self._normal(weight)
        diagonal = np.arange(self.k)
        precision[:, diagonal, diagonal] += 1.0
        right = ((weight * centred) @ self.loadings.T).astype(np.float64)
        cov: Array8 = np.linalg.inv(precision).astype(np.float64, copy=False)
        mean = np.einsum("nij,nj->ni", cov, right)
        residual = np.asarray(centred - mean.astype(F4) @ self.loadings)
        return Posterior(mean, cov, residual, weight)

    def spread(self, cov: Array8) -> Array4:
        """(n, D) variance of the reconstruction that the coefficients' covariance brings."""
        pairs = self._all_pairs()
        if pairs is None:
            loadings = self.loadings
            return np.array([np.einsum("kd,kd->d", loadings, c @ loadings)
                             for c in cov.astype(F4)])  # fmt: skip
        twice = np.where(self._rows == self._cols, 1.0, 2.0)
        return (cov[:, self._rows, self._cols] * twice).astype(F4) @ pairs

    def _all_pairs(self) -> Array4 | None:
        """(k(k+1)/2, D) products of loadings, or None where they would take too much memory."""
        if self._rows.size * self.mean.size * 4 > _PACKED_BYTES:
            return None
        if self._pairs is None:
            self._pairs = self.loadings[self._rows] * self.loadings[self._cols]
        return self._pairs

    def _normal(self, weight: Array4) -> Array8:
        """(n, k, k) WᵀΨ⁻¹W of every spectrum."""
        pairs = self._all_pairs()
        if pairs is None:
            rows = [(self.loadings * w) @ self.loadings.T for w in weight]
            return np.array(rows, dtype=np.float64)
        return unpack((weight @ pairs.T).astype(np.float64), self.k)


def unpack(packed: Array8, k: int) -> Array8:
    """(…, k(k+1)/2) upper triangles → (…, k, k) symmetric matrices."""
    index = np.empty((k, k), dtype=np.int64)
    rows, cols = np.triu_indices(k)
    index[rows, cols] = np.arange(rows.size)
    index[cols, rows] = np.arange(rows.size)
    return packed[..., index]
