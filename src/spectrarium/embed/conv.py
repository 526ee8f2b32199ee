"""A deep convolutional (variational) autoencoder at full resolution, up to echelle spectra."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import nn
from torch.nn.functional import pad

from .deep import DeepEncoder
from .deep_settings import DeepSettings
from .domain import ModelDomain
from .network import Autoencoder

_LEAST_LENGTH = 8
"""Convolutions stop before the spectrum is shorter than this."""
_SLOPE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvSettings(DeepSettings):
    """latent : 4 to 8192 · beta : weight of the divergence; 0 = a plain autoencoder
    layers : most convolutions, each halves the length; short spectra have fewer
    channels, most_channels : of the first convolution, doubled by each until `most_channels`
    kernel : width of a convolution, even, so that every sample is seen as often as any other
    """

    latent: int = 128
    batch: int = 32
    learning_rate: float = 5e-4
    beta: float = 0.0
    layers: int = 15
    channels: int = 16
    most_channels: int = 256
    kernel: int = 4

    def __post_init__(self) -> None:
        super(ConvSettings, self).__post_init__()
        self._demand("latent", "from 2 to 8192", 2 <= self.latent <= 8192)
        self._demand("layers", "from 1 to 20", 1 <= self.layers <= 20)
        self._demand("kernel", "an even number from 2 to 16",
                     self.kernel % 2 == 0 and 2 <= self.kernel <= 16)  # fmt: skip
        self._demand("channels", "at least 1", self.channels >= 1)
        self._demand("most_channels", "at least `channels`", self.most_channels >= self.channels)
        self._demand("beta", "at least 0", self.beta >= 0)


@dataclass(frozen=True, slots=True)
class ConvShape:
    """Sizes of the layers. length : the padded input's · end : after the last convolution
    channels : of the input, then after each convolution
    """

    length: int
    end: int
    channels: tuple[int, ...]


def shape_of(n_pix: int, settings: ConvSettings) -> ConvShape:
    """The layers for a grid: as many halvings as leave 8 samples or more, at most `layers`.

    313,000 pixels take 15 and are padded to 327,680 = 10 · 2¹⁵, as published; 1,000 take 6 and are
    padded to 1,024.
    """
    depth = min(settings.layers, max(1, int(math.log2(max(n_pix, 2) / _LEAST_LENGTH))))
    end = -(-n_pix // 2**depth)
    widths = (min(settings.channels * 2**i, settings.most_channels) for i in range(depth))
    return ConvShape(end * 2**depth, end, (2, *widths))


class ConvNetwork(Autoencoder):
    """Strided convolutions, one fully connected layer to the latents, and the mirror image back.

    Source: Sedaghat et al. 2021 (MNRAS 501, 6026) for the design: 15 convolutions, input of
    327,680 samples, fully connected bottleneck, weak disentanglement by a β-weighted divergence.
    Ours in addition: a channel of trust, noise-weighted loss. Numbers of channels are our choice.
    """

    def __init__(self, n_pix: int, settings: ConvSettings) -> None:
        super().__init__(n_pix, settings.latent)
        self.shape = shape_of(n_pix, settings)
        k, side = settings.kernel, (settings.kernel - 2) // 2
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for before, after in pairwise(self.shape.channels):
            down += [nn.Conv1d(before, after, k, 2, side), nn.LeakyReLU(_SLOPE, inplace=True)]
            back = 1 if not up else before  # the outermost gives flux alone
            up = [nn.ConvTranspose1d(after, back, k, 2, side),
                  *([nn.LeakyReLU(_SLOPE, inplace=True)] if up else []), *up]  # fmt: skip
        self.down, self.up = nn.Sequential(*down), nn.Sequential(*up)
        flat = self.shape.end * self.shape.channels[-1]
        self.narrow = nn.Linear(flat, settings.latent * (2 if settings.beta > 0 else 1))
        self.widen = nn.Linear(settings.latent, flat)
        self._initialise()

    def _initialise(self) -> None:
        """Variance is kept through the layers, so that 30 of them learn from the first step.

        Source: He et al. 2015 (arXiv:1502.01852), eq. 15.
        """
        for part in self.modules():
            if isinstance(part, nn.Conv1d | nn.ConvTranspose1d):
                # each output of a stride-2 transposed convolution sees half of the kernel
                inputs = part.in_channels * part.kernel_size[0]
                inputs //= 2 if isinstance(part, nn.ConvTranspose1d) else 1
                nn.init.normal_(part.weight, std=math.sqrt(2 / (1 + _SLOPE**2) / inputs))
                if part.bias is not None:
                    nn.init.zeros_(part.bias)

    def compress(self, inputs: torch.Tensor) -> torch.Tensor:
        """(n, 2, n_pix) → (n, latent) or (n, 2·latent)."""
        missing = self.shape.length - self.n_pix
        padded = pad(inputs, (missing // 2, missing - missing // 2))
        return torch.as_tensor(self.narrow(self.down(padded).flatten(1)))

    def expand(self, vectors: torch.Tensor) -> torch.Tensor:
        """(n, latent) → (n, n_pix)."""
        start = self.widen(vectors).view(len(vectors), self.shape.channels[-1], self.shape.end)
        left = (self.shape.length - self.n_pix) // 2
        return torch.as_tensor(self.up(start)[:, 0, left : left + self.n_pix])


class Conv(DeepEncoder):
    """Convolutional autoencoder, variational where beta > 0: see `ConvNetwork`."""

    kind: ClassVar[str] = "conv"
    settings_type: ClassVar[type[DeepSettings]] = ConvSettings
    limits: ClassVar[str] = (
        "Needs thousands of spectra to beat linear models; small training sets are learnt by "
        "heart. " + DeepEncoder.limits
    )
    most_pixels: ClassVar[int | None] = 327_680
    settings: ConvSettings

    def __init__(
        self, domain: ModelDomain, settings: ConvSettings | None = None, name: str = "conv"
    ) -> None:
        super().__init__(domain, settings, name)

    def build(self) -> ConvNetwork:
        """A new network for this domain and these settings."""
        return ConvNetwork(self.domain.n_pix, self.settings)
