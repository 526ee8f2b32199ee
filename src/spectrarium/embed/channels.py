"""What a patch network sees of a spectrum: its continuum, its lines, and how far to trust them."""

from __future__ import annotations

import torch
from torch.nn.functional import pad

SOFTENING = 0.02
"""Least scatter, of the flux scale, when a continuum is drawn: bright pixels do not rule."""
_DETAIL_SCALE = 0.3
"""Lines are trusted where their noise is below this share of the continuum (Wiener weight)."""
_LINEAR_DEPTH = 0.1
"""Detail is linear up to this depth and logarithmic beyond: one spike or line cannot drown all."""
_LEAST_LEVEL = 0.01
"""Continuum level, of the flux scale, below which lines are not divided further."""


def running_sum(values: torch.Tensor, half: int) -> torch.Tensor:
    """(n, n_pix) sum over pixels i − half … i + half, zero beyond the ends, from one running sum.

    Summed in float64 where the device has it: a bright stretch must not blur a faint one.
    """
    exact = torch.float32 if values.device.type == "mps" else torch.float64
    total = pad(torch.cumsum(values.to(exact), dim=1), (half + 1, 0))
    total = torch.cat([total, total[:, -1:].expand(-1, half)], dim=1)
    return (total[:, 2 * half + 1 :] - total[:, : -2 * half - 1]).to(values.dtype)


def continuum(
    flux: torch.Tensor, ivar: torch.Tensor, half: int, softening: float = SOFTENING
) -> torch.Tensor:
    """Inverse-variance-weighted running mean under a triangular window, twice `half` each way.

    Parameters
    ----------
    flux, ivar : (n, n_pix); ivar 0 = no information
    half : pixels, at least 1 · softening : scatter added to the noise, in units of the flux
    Returns
    -------
    (n, n_pix) the same unit as flux; 0 where no pixel of the window has information
    Valid for: lines narrower than the window; broad features are taken for continuum in part.
    """
    weight = ivar / (1.0 + ivar * softening**2)
    top, bottom = flux * weight, weight
    for _ in range(2):
        top, bottom = running_sum(top, half), running_sum(bottom, half)
    there = running_sum(running_sum((weight > 0).to(weight.dtype), half), half) > 0.5
    return torch.where(there, top / bottom.clamp(min=1e-20), torch.zeros_like(top))


def channels(
    flux: torch.Tensor, ivar: torch.Tensor, half: int, *, subtracted: bool = False
) -> torch.Tensor:
    """(n, 3, n_pix): asinh of the continuum; lines over it, shrunk by trust; that trust, 0…1.

    Lines are (flux − continuum)/level, the level being the continuum itself, or 1 where the flux
    comes with its continuum `subtracted`. All three are 0 where there is no information: nothing
    that lies there is seen.
    """
    good = ivar > 0
    smooth = continuum(flux, ivar, half)
    level = torch.ones_like(smooth)
    if not subtracted:
        noise = torch.where(good, 1.0 / ivar.clamp(min=1e-10), torch.zeros_like(ivar))
        count = running_sum(good.to(flux.dtype), half).clamp(min=1.0)
        local = running_sum(noise, half) / count
        level = (smooth**2 + 0.05 * local + _LEAST_LEVEL**2).sqrt()
    power = ivar * (level * _DETAIL_SCALE) ** 2
    trust = power / (1.0 + power)
    lines = 0.5 * torch.asinh(trust * (flux - smooth) / level / _LINEAR_DEPTH)
    zero = torch.zeros_like(flux)
    return torch.stack([torch.where(good, torch.asinh(smooth), zero),
                        torch.where(good, lines, zero), trust], dim=1)  # fmt: skip
