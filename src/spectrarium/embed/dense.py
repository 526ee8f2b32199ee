"""A fully connected autoencoder of coarsely binned spectra: small, fast, any latent size from 2."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import nn
from torch.nn.functional import interpolate, pad

from .deep import DeepEncoder
from .deep_settings import DeepSettings
from .domain import ModelDomain
from .network import Autoencoder


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseSettings(DeepSettings):
    """pixels : most bins the network sees · widths : of the hidden layers, outermost first
    beta : weight of the divergence; 0 = a plain autoencoder, above = variational
    """

    latent: int = 10
    pixels: int = 2000
    widths: tuple[int, ...] = (512, 128)
    beta: float = 0.0

    def __post_init__(self) -> None:
        super(DenseSettings, self).__post_init__()
        object.__setattr__(self, "widths", tuple(int(w) for w in self.widths))  # JSON has lists
        self._demand("pixels", "a whole number from 2 to 16384", 2 <= int(self.pixels) <= 16384)
        self._demand("widths", "one or more positive numbers",
                     len(self.widths) > 0 and min(self.widths) > 0)  # fmt: skip
        self._demand("beta", "at least 0", self.beta >= 0)


class DenseNetwork(Autoencoder):
    """Layers of falling width to the latents and back, beside a linear path in both directions."""

    def __init__(self, n_pix: int, settings: DenseSettings) -> None:
        super().__init__(n_pix, settings.latent)
        self.factor = -(-n_pix // min(settings.pixels, n_pix))
        self.bins = -(-n_pix // self.factor)
        outputs = settings.latent * (2 if settings.beta > 0 else 1)
        self.down = layers((2 * self.bins, *settings.widths, outputs))
        self.down_linear = nn.Linear(2 * self.bins, outputs, bias=False)
        self.up = layers((settings.latent, *reversed(settings.widths), self.bins))
        self.up_linear = nn.Linear(settings.latent, self.bins, bias=False)

    def inputs(self, flux: torch.Tensor, ivar: torch.Tensor) -> torch.Tensor:
        """(n, 2, bins): the ivar-weighted mean of standardised flux in each bin, and its trust.

        Deviations from the mean spectrum are averaged, not fluxes: a missing pixel leaves no step
        where the spectrum is steep. Bins have equal velocity width, so the mean conserves flux.
        """
        power = ivar * self.spread**2
        standard = ((flux - self.mean) / self.spread).clamp(-30.0, 30.0)
        total = self._binned(power)
        value = self._binned(power * standard) / total.clamp(min=1e-30)
        trust = total / (1.0 + total)
        return torch.stack([trust * value, trust], dim=1)

    def _binned(self, values: torch.Tensor) -> torch.Tensor:
        full = pad(values, (0, self.bins * self.factor - self.n_pix))
        return full.view(len(values), self.bins, self.factor).sum(dim=2)

    def compress(self, inputs: torch.Tensor) -> torch.Tensor:
        """(n, 2, bins) → (n, latent) or (n, 2·latent)."""
        flat = inputs.flatten(1)
        return torch.add(self.down(flat), self.down_linear(flat))

    def expand(self, vectors: torch.Tensor) -> torch.Tensor:
        """(n, latent) → (n, n_pix): bins, joined by straight lines."""
        coarse = self.up(vectors) + self.up_linear(vectors)
        if self.factor == 1:
            return torch.as_tensor(coarse)
        fine = interpolate(coarse[:, None], scale_factor=self.factor, mode="linear")
        return fine[:, 0, : self.n_pix]


def layers(widths: tuple[int, ...]) -> nn.Sequential:
    """Fully connected layers with GELU between them."""
    parts: list[nn.Module] = []
    for before, after in pairwise(widths):
        parts += [nn.Linear(before, after), nn.GELU()]
    return nn.Sequential(*parts[:-1])


class Dense(DeepEncoder):
    """Autoencoder of fully connected layers: see `DenseNetwork`."""

    kind: ClassVar[str] = "dense"
    settings_type: ClassVar[type[DeepSettings]] = DenseSettings
    limits: ClassVar[str] = (
        "Sees binned spectra: what is narrower than a bin is lost. " + DeepEncoder.limits
    )
    settings: DenseSettings

    def __init__(
        self, domain: ModelDomain, settings: DenseSettings | None = None, name: str = "dense"
    ) -> None:
        super().__init__(domain, settings, name)

    def build(self) -> DenseNetwork:
        """A new network for this domain and these settings."""
        return DenseNetwork(self.domain.n_pix, self.settings)
