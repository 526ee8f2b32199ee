"""Noise-weighted principal components inside a network: fitted in closed form, never trained."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .pca_fit import Fitted, standard_loadings

_MOST_SIGMA = 5.0
"""Residuals beyond this many σ count less (Huber): a cosmic ray does not move the fit."""


class LinearPart(nn.Module):
    """Coefficients of a linear model y = μ + c·components, given noise and gaps, and back.

    Buffers, part of the weights: average, noise (n_pix,); loadings (k, n_pix) components times the
    root of their variance; root (k,).
    """

    average: torch.Tensor
    noise: torch.Tensor
    loadings: torch.Tensor
    root: torch.Tensor
    pairs: torch.Tensor
    upper: torch.Tensor

    def __init__(self, n_pix: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.register_buffer("average", torch.zeros(n_pix))
        self.register_buffer("noise", torch.ones(n_pix))
        self.register_buffer("loadings", torch.zeros(count, n_pix))
        self.register_buffer("root", torch.ones(count))
        upper = torch.triu_indices(count, count)
        self.register_buffer("upper", upper, persistent=False)
        self.register_buffer("pairs", torch.zeros(upper.shape[1], n_pix), persistent=False)
        self.register_load_state_dict_post_hook(lambda module, _: module.pair())  # type: ignore[no-untyped-call]

    def adopt(self, fitted: Fitted) -> None:
        """Take over a fitted model."""
        loadings = standard_loadings(fitted.components, fitted.variances)
        values: dict[str, Any] = {
            "average": fitted.mean, "noise": fitted.scatter, "loadings": loadings,
            "root": fitted.variances**0.5,
        }  # fmt: skip
        with torch.no_grad():
            for name, value in values.items():
                getattr(self, name).copy_(torch.as_tensor(value))
        self.pair()

    def pair(self) -> None:
        """Products of all pairs of loadings, from which every spectrum's equations are summed."""
        with torch.no_grad():
            self.pairs.copy_(self.loadings[self.upper[0]] * self.loadings[self.upper[1]])

    def forward(self, flux: torch.Tensor, ivar: torch.Tensor) -> torch.Tensor:
        """(n, k) posterior-mean coefficients of orthonormal components, float32."""
        with torch.autocast(flux.device.type, enabled=False), torch.no_grad():
            flux, ivar = flux.float(), ivar.float()
            weight = ivar / (1.0 + ivar * self.noise)
            centred = torch.where(weight > 0, flux - self.average, torch.zeros_like(flux))
            first = self._solve(centred, weight)
            size = (centred - first @ self.loadings).abs() * weight.sqrt()
            weight = weight * (_MOST_SIGMA / size.clamp(min=_MOST_SIGMA))
            return self._solve(centred, weight) * self.root

    def _solve(self, centred: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """(n, k) coefficients of unit prior variance by weighted least squares."""
        k = self.count
        # bright spectra: products of 1e7 and a prior of 1, too far apart for float32
        exact = torch.float32 if weight.device.type == "mps" else torch.float64
        packed = (weight @ self.pairs.T).to(exact)
        normal = packed.new_zeros(len(packed), k, k)
        normal[:, self.upper[0], self.upper[1]] = packed
        normal[:, self.upper[1], self.upper[0]] = packed
        normal = normal + torch.eye(k, device=normal.device, dtype=exact)
        right = ((weight * centred) @ self.loadings.T).to(exact)[..., None]
        factor = torch.linalg.cholesky(normal)
        return torch.as_tensor(torch.cholesky_solve(right, factor)[..., 0].to(weight.dtype))

    def decode(self, coefficients: torch.Tensor) -> torch.Tensor:
        """(n, k or fewer: the leading ones) → (n, n_pix) normalised flux."""
        k = coefficients.shape[1]
        return self.average + (coefficients / self.root[:k]) @ self.loadings[:k]
