"""The frame of every network: what goes in, what comes out, and how far it is from the data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..domain.errors import DataError
from ..measure.noise import MAD_TO_SIGMA
from .deep_settings import DeepSettings

_MOST_INPUT = 30.0
"""Standardised flux is cut off there: one cosmic ray must not drown a spectrum."""
_SMOOTH = 20
"""The spread is smoothed over this fraction of the grid: lines keep their shapes."""
_ROUNDS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What typical spectra look like. All (n_pix,) float32.

    mean : normalised flux · spread : σ of the spectra around it, noise removed, smoothed
    floor : variance that counts as scatter in the loss
    """

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]
    floor: NDArray[np.float32]


def frame_of(flux: NDArray[Any], ivar: NDArray[Any], settings: DeepSettings) -> Frame:
    """Robust mean and spread of a sample of spectra, under their noise.

    Parameters
    ----------
    flux, ivar : (n, n_pix); ivar 0 = no information
    Raises
    ------
    DataError : no pixel of any spectrum has information (``no_information``)
    """
    good = (ivar > 0) & np.isfinite(ivar) & np.isfinite(flux)
    if not good.any():
        raise DataError("no spectrum has a pixel with information", code="no_information")
    flux = np.where(good, flux, 0).astype(np.float32)
    noise = np.divide(1.0, ivar, out=np.full(flux.shape, np.inf, np.float32), where=good)
    seen = good.any(axis=0)
    mean, variance = _robust_start(flux, good, seen)
    for _ in range(_ROUNDS):  # Huber weights: spikes lose their pull on mean and variance
        size = np.abs(flux - mean) / np.sqrt(noise + variance)
        down = np.minimum(1.0, settings.huber / np.maximum(size, 1e-6))
        weight = np.where(good, down / (noise + variance), 0.0).astype(np.float32)
        mean = (weight * flux).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-30)
        excess = np.where(good, (flux - mean) ** 2 - np.where(good, noise, 0), 0.0)
        square = weight**2
        raw = (square * excess).sum(axis=0) / np.maximum(square.sum(axis=0), 1e-30)
        variance = np.maximum(raw, settings.softening**2).astype(np.float32)
    at = np.arange(seen.size)
    mean = np.interp(at, at[seen], mean[seen]).astype(np.float32)
    spread = np.sqrt(_smoothed(variance, seen))
    floor = np.maximum(settings.softening**2, settings.unexplained * spread**2)
    return Frame(mean, spread.astype(np.float32), floor.astype(np.float32))


def _robust_start(
    flux: NDArray[Any], good: NDArray[np.bool_], seen: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Median and squared MAD of each pixel that was seen, 0 and 1 of the others."""
    centre = np.zeros(seen.size, np.float32)
    variance = np.ones(seen.size, np.float32)
    known = np.where(good, flux, np.nan)[:, seen]
    centre[seen] = np.nanmedian(known, axis=0)
    spread = MAD_TO_SIGMA * np.nanmedian(np.abs(known - centre[seen]), axis=0)
    variance[seen] = np.maximum(spread**2, 1e-8)
    return centre, variance


def _smoothed(values: NDArray[Any], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Running mean over pixels that were seen; windows without any take the overall mean."""
    half = max(1, values.size // (2 * _SMOOTH))
    sums = np.concatenate([[0.0], np.cumsum(np.where(seen, values, 0.0), dtype=np.float64)])
    counts = np.concatenate([[0], np.cumsum(seen)])
    low = np.maximum(np.arange(values.size) - half, 0)
    high = np.minimum(np.arange(values.size) + half + 1, values.size)
    number = counts[high] - counts[low]
    mean = np.divide(sums[high] - sums[low], number, out=np.zeros(values.size), where=number > 0)
    return np.where(number > 0, mean, float(np.mean(values[seen])))


class Network(nn.Module, ABC):
    """A network in its frame: a subclass gives `encode` and `decode`.

    Buffers, part of the weights: mean, spread, floor (see `Frame`); scatter (n_pix,) variance left
    after training; latent_variance (latent,) of the training set's vectors.
    """

    mean: torch.Tensor
    spread: torch.Tensor
    floor: torch.Tensor
    scatter: torch.Tensor
    latent_variance: torch.Tensor

    def __init__(self, n_pix: int, latent: int) -> None:
        super().__init__()
        self.n_pix, self.latent = n_pix, latent
        for name, size in (("mean", n_pix), ("spread", n_pix), ("floor", n_pix),
                           ("scatter", n_pix), ("latent_variance", latent)):  # fmt: skip
            self.register_buffer(name, torch.ones(size))

    def stand_in(self, frame: Frame) -> None:
        """Take over the frame measured on the training set."""
        with torch.no_grad():
            for name in ("mean", "spread", "floor"):
                getattr(self, name).copy_(torch.from_numpy(getattr(frame, name)))

    def inputs(self, flux: torch.Tensor, ivar: torch.Tensor) -> torch.Tensor:
        """(n, 2, n_pix): standardised flux shrunk by its trust, and the trust, 0…1.

        Trust is spread²/(spread² + noise²): a missing pixel is an infinitely noisy one, gives 0 in
        both channels, and nothing that lies there is seen (Wiener filter towards the mean).
        """
        power = ivar * self.spread**2
        trust = power / (1.0 + power)
        standard = ((flux - self.mean) / self.spread).clamp(-_MOST_INPUT, _MOST_INPUT)
        return torch.stack([trust * standard, trust], dim=1)

    @abstractmethod
    def encode(
        self, flux: torch.Tensor, ivar: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Vectors, and their log variances where the network is variational."""

    @abstractmethod
    def decode(self, vectors: torch.Tensor) -> torch.Tensor:
        """(n, latent) → (n, n_pix) normalised flux, float32."""


class Autoencoder(Network):
    """A network whose both halves work on standardised flux: `compress` and `expand`."""

    @abstractmethod
    def compress(self, inputs: torch.Tensor) -> torch.Tensor:
        """(n, 2, n_pix) → (n, latent), or (n, 2·latent): means, then log variances."""

    @abstractmethod
    def expand(self, vectors: torch.Tensor) -> torch.Tensor:
        """(n, latent) → (n, n_pix) standardised flux."""

    def encode(
        self, flux: torch.Tensor, ivar: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Vectors, and their log variances where the network is variational."""
        out = self.compress(self.inputs(flux, ivar)).float()
        if out.shape[1] == self.latent:
            return out, None
        return out[:, : self.latent], out[:, self.latent :].clamp(-20.0, 10.0)

    def decode(self, vectors: torch.Tensor) -> torch.Tensor:
        """(n, latent) → (n, n_pix) normalised flux, float32."""
        return self.mean + self.spread * self.expand(vectors).float()


def misfit(
    flux: torch.Tensor, ivar: torch.Tensor, model: torch.Tensor, floor: torch.Tensor, huber: float
) -> torch.Tensor:
    """(n,) mean over informative pixels of half the squared residual in σ, linear beyond `huber`.

    σ² = 1/ivar + floor. A spectrum without information has 0.
    """
    weight = ivar / (1.0 + ivar * floor)
    size = (flux - model).abs() * weight.sqrt()
    cost = torch.where(size < huber, 0.5 * size**2, huber * (size - 0.5 * huber))
    return cost.sum(dim=1) / (ivar > 0).sum(dim=1).clamp(min=1)


def divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """(n,) Kullback–Leibler divergence from N(mean, variance) to N(0, 1), in nats.

    Source: Kingma & Welling 2014 (arXiv:1312.6114), appendix B.
    """
    return 0.5 * (mean**2 + log_variance.exp() - 1.0 - log_variance).sum(dim=1)


def drawn(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """One draw from N(mean, variance) through which gradients pass."""
    return mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
