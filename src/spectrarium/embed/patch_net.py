"""The network of `patch`: tokens of wavelength, attention between those that carry information."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import gelu, pad, scaled_dot_product_attention

from .channels import channels, significant
from .domain import FluxKind, ModelDomain
from .linear_part import LinearPart
from .network import Network

if TYPE_CHECKING:
    from .patch import PatchSettings

_FREQUENCIES = 32
_SLOWEST, _FASTEST = 0.3, 60.0
"""Cycles per unit of ln λ: from the whole optical range to some 5000 km/s."""

MOST_ODD = 5.0
"""Largest such departure, of the flux scale: a cosmic ray is as strange at any height."""

Turn = tuple[torch.Tensor, torch.Tensor]


class Block(nn.Module):
    """One layer of a pre-norm transformer. The last matrices start at zero: a new layer is silent.

    Queries and keys are turned by angles proportional to ln λ, so that attention sees the ratio of
    two wavelengths: the same pattern of lines looks the same at any redshift.
    Source: Su et al. 2021 (arXiv:2104.09864) for the rotation, here by ln λ instead of an index.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_mixing = nn.LayerNorm(width), nn.LayerNorm(width)
        self.three, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        for layer in (self.out, self.narrow):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, tokens: torch.Tensor, seen: torch.Tensor, turn: Turn) -> torch.Tensor:
        """(n, t, width) tokens, (n, 1, 1, t) True where attention may look → (n, t, width)."""
        n, t, width = tokens.shape
        three = self.three(self.before_attention(tokens)).view(n, t, 3, self.heads, -1)
        query, key, value = three.permute(2, 0, 3, 1, 4)
        found = scaled_dot_product_attention(_turned(query, turn), _turned(key, turn), value,
                                             attn_mask=seen)  # fmt: skip
        tokens = tokens + self.out(found.transpose(1, 2).reshape(n, t, width))
        mixed = self.narrow(gelu(self.wide(self.before_mixing(tokens))))
        return torch.as_tensor(tokens + mixed)


def _turned(x: torch.Tensor, turn: Turn) -> torch.Tensor:
    cosine, sine = turn
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], dim=-1).to(x.dtype)


def _batch_norm(width: int, *, affine: bool) -> nn.BatchNorm1d:
    return nn.BatchNorm1d(width, affine=affine, track_running_stats=False)


class PatchNetwork(Network):
    """Vectors are `similarity` components for neighbours, then `facets` that do not count as such.

    A transformer's summary, `summarised` numbers trained so that views of one object agree, gives
    the first, and of the facets those in which velocity and noise show; the others are
    noise-weighted principal components, which say where each line lies. All together are decoded:
    linear part plus a correction from the summary.

    Buffers beside `Network`'s: rotation (invertible) and centre, which turn the summary to its own
    axes; view_variance, noise_variance (latent,) what views, and noise once more, change of the
    vectors.
    """

    rotation: torch.Tensor
    centre: torch.Tensor
    view_variance: torch.Tensor
    noise_variance: torch.Tensor
    position: torch.Tensor
    angle: torch.Tensor

    def __init__(self, domain: ModelDomain, settings: PatchSettings) -> None:
        super().__init__(domain.n_pix, settings.latent)
        s = settings
        self.summarised, self.linear_facets = s.latent - s.facets, s.facets
        self.similarity = self.summarised - sum(s.apart)
        self.pixels, self.drop = s.patch_of(domain), s.masked
        self.subtracted = domain.flux_kind is FluxKind.CONTINUUM_SUBTRACTED
        self.window = max(1, min(round(s.continuum_kms / domain.pixel_kms), domain.n_pix // 16))
        self.tokens = -(-domain.n_pix // self.pixels)
        self.linear = LinearPart(domain.n_pix, s.components)
        self._place(domain, s.width // s.heads // 2)
        self.embed = nn.Linear(2 * self.pixels, s.width)
        self.where = nn.Linear(2 * _FREQUENCIES, s.width)
        self.summary = nn.Parameter(0.02 * torch.randn(1, 1, s.width))
        self.blocks = nn.ModuleList(Block(s.width, s.heads) for _ in range(s.depth))
        self.last = nn.LayerNorm(2 * s.width)
        self.head = nn.Linear(2 * s.width, self.summarised)
        # normed by batch, else all points may fall into one before training has begun
        self.projector = nn.Sequential(
            nn.Linear(self.summarised, 128), _batch_norm(128, affine=True), nn.GELU(),
            nn.Linear(128, 64), _batch_norm(64, affine=False),
        )  # fmt: skip
        self.correct_in = nn.Linear(self.summarised, s.hidden)
        self.correct_out = nn.Linear(s.hidden, domain.n_pix)
        nn.init.zeros_(self.correct_out.weight)
        nn.init.zeros_(self.correct_out.bias)
        self.register_buffer("rotation", torch.eye(self.summarised))
        self.register_buffer("centre", torch.zeros(self.summarised))
        self.register_buffer("view_variance", torch.zeros(s.latent))
        self.register_buffer("noise_variance", torch.zeros(s.latent))

    def _place(self, domain: ModelDomain, half_head: int) -> None:
        """Where each token lies: waves of many lengths in ln λ of its middle, never its index."""
        middle = (
            torch.arange(self.tokens, dtype=torch.float64) * self.pixels + (self.pixels - 1) / 2
        )
        ln_wave = math.log(domain.wave_min_aa) + domain.log_step * middle[:, None]

        def waves(count: int) -> torch.Tensor:
            ends = math.log10(_SLOWEST), math.log10(_FASTEST)
            return ln_wave * 2 * math.pi * torch.logspace(*ends, count, dtype=torch.float64)

        angles = waves(_FREQUENCIES)
        position = torch.cat([angles.sin(), angles.cos()], dim=1).float()
        turn = torch.cat([torch.zeros(1, half_head), waves(half_head).float()])
        # recomputed from the domain, so no part of the weights
        self.register_buffer("position", position, persistent=False)
        self.register_buffer("angle", turn, persistent=False)

    def denoised(
        self, flux: torch.Tensor, ivar: torch.Tensor, coefficients: torch.Tensor
    ) -> torch.Tensor:
        """(n, n_pix) the linear part's model of each spectrum, and what no noise can explain.

        How noisy a spectrum is does not show in it, nor where pixels are bad: what is built on it
        cannot tell spectra by their S/N.
        """
        with torch.no_grad():
            model = self.linear.decode(coefficients)
            weight = ivar / (1.0 + ivar * self.linear.noise)
            odd = significant(flux - model, weight)
            return torch.as_tensor(model + odd.clamp(-MOST_ODD, MOST_ODD))

    def patches(
        self, flux: torch.Tensor, ivar: torch.Tensor, coefficients: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, tokens, 2·patch) values and (n, tokens) whether there is any information in them."""
        clean = self.denoised(flux, ivar, coefficients)
        seen = channels(clean, self.window, subtracted=self.subtracted)
        seen = torch.cat([seen, (ivar > 0).to(seen.dtype)[:, None]], dim=1)
        seen = pad(seen, (0, self.tokens * self.pixels - self.n_pix))
        parts = seen.reshape(len(seen), 3, self.tokens, self.pixels).transpose(1, 2)
        return parts[:, :, :2].flatten(2), parts[:, :, 2].sum(dim=2) > 0

    def _kept(self, there: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, k) which tokens a training view keeps, and which of those are to be looked at.

        Of the informative ones a random share, as many tokens for every spectrum of a batch.
        """
        share = 1.0 - self.drop
        count = max(1, math.ceil(self.tokens * share))
        chance = torch.rand(there.shape, device=there.device) + there
        at = chance.argsort(dim=1, descending=True)[:, :count]
        most = (there.sum(dim=1, keepdim=True) * share).ceil()
        return at, torch.arange(count, device=there.device)[None] < most

    def summarise(
        self, flux: torch.Tensor, ivar: torch.Tensor, coefficients: torch.Tensor
    ) -> torch.Tensor:
        """(n, summarised), before it is turned to its own axes.

        coefficients : (n, components) what `linear` gives for these spectra
        """
        with torch.autocast(flux.device.type, enabled=False):  # sums over many pixels
            values, there = self.patches(flux.float(), ivar.float(), coefficients)
        n = len(values)
        position, angle = self.position.expand(n, -1, -1), self.angle[1:].expand(n, -1, -1)
        if self.training and self.drop > 0:
            at, there = self._kept(there)
            values = values.gather(1, at[..., None].expand(-1, -1, values.shape[2]))
            position, angle = self.position[at], angle[0][at]
        start = self.angle[:1].expand(n, 1, -1)
        angle = torch.cat([start, angle], dim=1)[:, None]
        tokens = self.embed(values) + self.where(position)
        tokens = torch.cat([self.summary.expand(n, 1, -1).to(tokens.dtype), tokens], dim=1)
        seen = torch.cat([torch.ones_like(there[:, :1]), there], dim=1)[:, None, None, :]
        turn = (angle.cos(), angle.sin())
        for block in self.blocks:
            tokens = block(tokens, seen, turn)
        share = there[..., None].to(tokens.dtype)
        mean = (tokens[:, 1:] * share).sum(dim=1) / share.sum(dim=1).clamp(min=1.0)
        return torch.as_tensor(self.head(self.last(torch.cat([tokens[:, 0], mean], dim=1))).float())

    def encode(self, flux: torch.Tensor, ivar: torch.Tensor) -> tuple[torch.Tensor, None]:
        """(n, latent): the summary on its own axes, then linear coefficients."""
        coefficients = self.linear(flux, ivar)
        summary = (self.summarise(flux, ivar, coefficients) - self.centre) @ self.rotation
        return torch.cat([summary, coefficients[:, : self.linear_facets]], dim=1), None

    def decode(self, vectors: torch.Tensor) -> torch.Tensor:
        """(n, latent) → (n, n_pix) normalised flux: linear part plus the summary's correction."""
        turned, coefficients = vectors[:, : self.summarised], vectors[:, self.summarised :]
        back = torch.linalg.inv(self.rotation.cpu().double()).to(turned)
        return self.rebuilt(turned @ back + self.centre, coefficients)

    def rebuilt(self, summary: torch.Tensor, coefficients: torch.Tensor) -> torch.Tensor:
        """(n, n_pix) normalised flux from a summary not turned, and the leading coefficients."""
        correction = self.correct_out(gelu(self.correct_in(summary))).float()
        return torch.as_tensor(self.linear.decode(coefficients) + self.spread * correction)

    def turn_to(self, axes: Any, centre: Any) -> None:
        """Own axes (summarised, summarised) of the summaries, as columns, and their centre."""
        with torch.no_grad():
            self.rotation.copy_(torch.as_tensor(axes))
            self.centre.copy_(torch.as_tensor(centre))
