"""A linear read-out from another network's vectors to flux: what its numbers say of wavelengths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .training_set import held_out

F4 = np.float32
_ARRAYS = ("mean_vector", "variances", "weights", "mean_flux", "scatter")
_DEAD = 1e-6
_STRENGTHS = 10.0 ** np.arange(-5.0, 2.0)


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """flux ≈ mean_flux + (vector − mean_vector) @ weights.

    mean_vector, variances : (d,) · weights : (d, n_pix) · mean_flux, scatter : (n_pix,)
    explained : share of the noise-weighted variance of held-out objects that it reproduces
    """

    mean_vector: NDArray[np.float32]
    variances: NDArray[np.float32]
    weights: NDArray[np.float32]
    mean_flux: NDArray[np.float32]
    scatter: NDArray[np.float32]
    explained: float

    def decode(self, vectors: NDArray[Any]) -> NDArray[np.float32]:
        """(n, d) → (n, n_pix)."""
        away = np.asarray(vectors, F4) - self.mean_vector
        return np.asarray(self.mean_flux + away @ self.weights, F4)

    def metric_scale(self) -> NDArray[np.float32]:
        """(d,) variance^(−1/4) in units of the largest variance; of a constant component as good as
        0, yet not 0: vectors are had back from scaled ones."""
        ratio = self.variances / max(float(self.variances.max()), 1e-30)
        return np.where(ratio > 1e-8, np.maximum(ratio, 1e-8) ** -0.25, _DEAD).astype(F4)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Plain arrays, for a model directory."""
        return {n: getattr(self, n) for n in _ARRAYS} | {"explained": np.array([self.explained])}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """From `arrays`."""
        return cls(**{n: arrays[n] for n in _ARRAYS}, explained=float(arrays["explained"][0]))


def fit_readout(
    vectors: NDArray[Any], flux: NDArray[Any], ivar: NDArray[Any], objects: NDArray[Any]
) -> Readout:
    """Ridge regression of flux on vectors; its strength is chosen on held-out objects.

    Parameters
    ----------
    vectors : (n, d) · flux, ivar : (n, n_pix), ivar 0 = no information · objects : (n,)
    """
    good = ivar > 0
    count = np.maximum(good.sum(axis=0), 1)
    mean_flux = np.where(good, flux, 0).sum(axis=0, dtype=np.float64) / count
    target = np.where(good, flux - mean_flux, 0.0)
    mean = vectors.mean(axis=0, dtype=np.float64)
    x = vectors - mean
    test = held_out(objects, 0.2)
    if not test.any() or test.all():
        test = np.arange(len(x)) % 5 == 0
    u, s, vt = np.linalg.svd(x[~test], full_matrices=False)
    seen = u.T @ target[~test]
    weight = np.where(good[test], np.minimum(ivar[test], 1e4), 0.0)
    losses = []
    for strength in _STRENGTHS * s[0] ** 2:
        guess = (x[test] @ vt.T * (s / (s**2 + strength))) @ seen
        losses.append(float((weight * (target[test] - guess) ** 2).sum()))
    best = int(np.argmin(losses))
    before = float((weight * target[test] ** 2).sum())
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    weights = (vt.T * (s / (s**2 + _STRENGTHS[best] * s[0] ** 2))) @ (u.T @ target)
    return Readout(
        mean.astype(F4), x.var(axis=0).astype(F4), weights.astype(F4), mean_flux.astype(F4),
        _scatter(target - x @ weights, ivar), 1.0 - losses[best] / max(before, 1e-30),
    )  # fmt: skip


def _scatter(left: NDArray[Any], ivar: NDArray[Any]) -> NDArray[np.float32]:
    """(n_pix,) robust variance of the residual beyond the noise, per pixel."""
    good = ivar > 0
    size = np.where(good, np.abs(left), np.nan)
    known = good.any(axis=0)
    out = np.zeros(left.shape[1])
    variance = (1.4826 * np.nanmedian(size[:, known], axis=0)) ** 2
    noise = np.nanmedian(np.where(good, 1.0 / np.maximum(ivar, 1e-12), np.nan)[:, known], axis=0)
    out[known] = np.maximum(variance - noise, 0.0)
    return out.astype(F4)
