"""The network of SpecFormer and of AstroCLIP's spectrum head, laid out like published weights.

Names of parameters and shapes are those of the checkpoints, so that a local file loads as it is.
Source: Parker et al. 2024 (MNRAS 531, 4990), sect. 3; weights and code under MIT licence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class SpecFormerShape:
    """Hyper-parameters that a checkpoint carries; the defaults are those of the published model.

    input_dim : samples of a section + 2 · slice_section_length, slice_overlap : samples
    """

    input_dim: int = 22
    embed_dim: int = 768
    num_layers: int = 6
    num_heads: int = 6
    max_len: int = 800
    slice_section_length: int = 20
    slice_overlap: int = 10

    @property
    def max_samples(self) -> int:
        """Longest spectrum, samples: one token says mean and spread, the others are sections."""
        step = self.slice_section_length - self.slice_overlap
        return (self.max_len - 2) * step + self.slice_section_length


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        parts = self.attention(x).view(n, length, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.projection(mixed.transpose(1, 2).reshape(n, length, width))
        return out


class _Perceptron(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(width, hidden)
        self.decoder = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.decoder(F.gelu(self.encoder(x)))
        return out


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.layernorm1 = nn.LayerNorm(width)
        self.attention = _Attention(width, heads)
        self.layernorm2 = nn.LayerNorm(width)
        self.mlp = _Perceptron(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.layernorm1(x))
        out: Tensor = x + self.mlp(self.layernorm2(x))
        return out


class SpecFormerNet(nn.Module):
    """Sections of a spectrum → tokens."""

    def __init__(self, shape: SpecFormerShape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.embed_dim
        self.data_embed = nn.Linear(shape.input_dim, width)
        self.position_embed = nn.Embedding(shape.max_len, width)
        self.blocks = nn.ModuleList(_Block(width, shape.num_heads) for _ in range(shape.num_layers))
        self.final_layernorm = nn.LayerNorm(width)
        self.head = nn.Linear(width, shape.input_dim)

    def forward(self, flux: Tensor) -> Tensor:
        """(n, n_samples) flux → (n, n_tokens, embed_dim)."""
        x = self.sections(flux)
        x = self.data_embed(x) + self.position_embed.weight[: x.shape[1]]
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.final_layernorm(x)
        return out

    def sections(self, flux: Tensor) -> Tensor:
        """(n, n_tokens, input_dim): standardised overlapping sections after one of mean and spread.

        The spread is at least 0.2, as in the published code.
        """
        mean = flux.mean(1, keepdim=True)
        spread = flux.std(1, keepdim=True).clamp(min=0.2)
        step = self.shape.slice_section_length - self.shape.slice_overlap
        parts = ((flux - mean) / spread).unfold(1, self.shape.slice_section_length, step)
        x = F.pad(parts, (2, 0, 1, 0))
        x[:, 0, 0] = (mean[:, 0] - 2) / 2
        x[:, 0, 1] = (spread[:, 0] - 2) / 8
        return x


class _CrossAttention(nn.Module):
    def __init__(self, width: int, heads: int, tokens: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 1, width))
        self.multihead_attn = nn.MultiheadAttention(
            width, heads, batch_first=True, kdim=tokens, vdim=tokens
        )
        self.layernorm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        query = self.query.expand(len(x), -1, -1)
        mixed, _ = self.multihead_attn(query, x, x, need_weights=False)
        out: Tensor = self.layernorm(mixed)
        return out


class AstroClipSpectrumHead(nn.Module):
    """AstroCLIP's spectrum half: SpecFormer, one query attending to its tokens, a perceptron."""

    def __init__(self, shape: SpecFormerShape, width: int = 1024, heads: int = 4) -> None:
        super().__init__()
        self.backbone = SpecFormerNet(shape)
        self.cross_attention = _CrossAttention(width, heads, shape.embed_dim)
        self.mlp = _Perceptron(width, 4 * width)

    def forward(self, flux: Tensor) -> Tensor:
        """(n, n_samples) flux → (n, width)."""
        x = self.cross_attention(self.backbone(flux))
        out: Tensor = (x + self.mlp(x)).squeeze(1)
        return out


def shape_of(state: dict[str, Any], hyper: dict[str, Any]) -> SpecFormerShape:
    """The shape of a SpecFormer state; hyper-parameters that its arrays do not show are optional.

    Raises KeyError where the state lacks a SpecFormer's parameters.
    """
    data, position = state["data_embed.weight"], state["position_embed.weight"]
    layers = 1 + max(int(k.split(".")[1]) for k in state if k.startswith("blocks."))
    section = int(data.shape[1]) - 2
    return SpecFormerShape(
        input_dim=int(data.shape[1]),
        embed_dim=int(data.shape[0]),
        num_layers=layers,
        num_heads=int(hyper.get("num_heads", max(1, math.ceil(data.shape[0] / 128)))),
        max_len=int(position.shape[0]),
        slice_section_length=int(hyper.get("slice_section_length", section)),
        slice_overlap=int(hyper.get("slice_overlap", section // 2)),
    )
