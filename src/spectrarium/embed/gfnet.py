"""An autoencoder of global Fourier filters: every layer sees the whole range at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn.functional import pad

from .deep import DeepEncoder
from .deep_settings import DeepSettings
from .domain import ModelDomain
from .network import Autoencoder

_LEAST_PIECE = 8
"""Pixels of a piece at least: shorter ones cost time and add nothing that a layer cannot learn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GFNetSettings(DeepSettings):
    """tokens : pieces a spectrum is cut into, at most · width : numbers that describe a piece
    blocks : filter layers in the encoder, and again in the decoder
    kept : numbers a piece keeps at the bottleneck · beta : weight of the divergence, 0 = plain
    """

    latent: int = 32
    tokens: int = 256
    width: int = 64
    blocks: int = 4
    kept: int = 8
    beta: float = 0.0

    def __post_init__(self) -> None:
        super(GFNetSettings, self).__post_init__()
        self._demand("tokens", "at least 2", self.tokens >= 2)
        for name in ("width", "blocks", "kept"):
            self._demand(name, "at least 1", getattr(self, name) >= 1)
        self._demand("beta", "at least 0", self.beta >= 0)


class GlobalFilter(nn.Module):
    """A learnt complex weight for each frequency and channel: circular convolution of full length.

    Source: Rao et al. 2021 (arXiv:2107.00645), eq. 4–6, here along one axis.
    """

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.weight = nn.Parameter(0.02 * torch.randn(tokens // 2 + 1, width, 2))

    def forward(self, pieces: torch.Tensor) -> torch.Tensor:
        """(n, tokens, width) → the same shape."""
        with torch.autocast(pieces.device.type, enabled=False):  # transforms have no bfloat16
            waves = torch.fft.rfft(pieces.float(), dim=1, norm="ortho")
            waves = waves * torch.view_as_complex(self.weight)
            return torch.as_tensor(torch.fft.irfft(waves, n=self.tokens, dim=1, norm="ortho"))


class Block(nn.Module):
    """A global filter across pieces, then two layers within each piece, added to the input."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.before = nn.LayerNorm(width)
        self.across = GlobalFilter(tokens, width)
        self.between = nn.LayerNorm(width)
        self.within = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, pieces: torch.Tensor) -> torch.Tensor:
        """(n, tokens, width) → the same shape."""
        mixed = self.across(self.before(pieces))
        return torch.as_tensor(pieces + self.within(self.between(mixed)))


class GFNetwork(Autoencoder):
    """Pieces of the spectrum, filter blocks, a fully connected bottleneck, and back."""

    def __init__(self, n_pix: int, settings: GFNetSettings) -> None:
        super().__init__(n_pix, settings.latent)
        self.size = min(n_pix, max(_LEAST_PIECE, -(-n_pix // settings.tokens)))
        self.tokens = tokens = -(-n_pix // self.size)
        width, kept = settings.width, settings.kept
        self.cut = nn.Linear(2 * self.size, width)
        self.place = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.place_back = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.down = nn.Sequential(*(Block(tokens, width) for _ in range(settings.blocks)),
                                  nn.LayerNorm(width), nn.Linear(width, kept))  # fmt: skip
        self.narrow = nn.Linear(tokens * kept, settings.latent * (2 if settings.beta > 0 else 1))
        self.widen = nn.Linear(settings.latent, tokens * kept)
        self.spread_out = nn.Linear(kept, width)
        self.up = nn.Sequential(*(Block(tokens, width) for _ in range(settings.blocks)),
                                nn.LayerNorm(width), nn.Linear(width, self.size))  # fmt: skip

    def compress(self, inputs: torch.Tensor) -> torch.Tensor:
        """(n, 2, n_pix) → (n, latent) or (n, 2·latent)."""
        full = pad(inputs, (0, self.tokens * self.size - self.n_pix))
        pieces = full.view(len(full), 2, self.tokens, self.size).transpose(1, 2).flatten(2)
        return torch.as_tensor(self.narrow(self.down(self.cut(pieces) + self.place).flatten(1)))

    def expand(self, vectors: torch.Tensor) -> torch.Tensor:
        """(n, latent) → (n, n_pix)."""
        kept = self.widen(vectors).view(len(vectors), self.tokens, -1)
        pieces = self.up(self.spread_out(kept) + self.place_back)
        return torch.as_tensor(pieces.flatten(1)[:, : self.n_pix])


class GFNet(DeepEncoder):
    """Autoencoder of global Fourier filters: see `GFNetwork`."""

    kind: ClassVar[str] = "gfnet"
    settings_type: ClassVar[type[DeepSettings]] = GFNetSettings
    settings: GFNetSettings

    def __init__(
        self, domain: ModelDomain, settings: GFNetSettings | None = None, name: str = "gfnet"
    ) -> None:
        super().__init__(domain, settings, name)

    def build(self) -> GFNetwork:
        """A new network for this domain and these settings."""
        return GFNetwork(self.domain.n_pix, self.settings)
