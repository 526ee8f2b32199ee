"""What a patch network sees of a spectrum: its continuum and its lines, whatever the noise."""

from __future__ import annotations

import torch
from torch.nn.functional import pad

_LINEAR_DEPTH = 0.1
"""Detail is linear up to this depth and logarithmic beyond: one spike or line cannot drown all."""
_LEAST_LEVEL = 0.05
"""Continuum level, of the flux scale, below which lines are not divided further."""
SIGNIFICANT = 3.0
"""σ that a departure from a model must exceed to be shown to the network."""
_SCALES = (0, 2, 12)
"""Half widths in pixels of the means in which departures are sought, fine before coarse."""


def running_sum(values: torch.Tensor, half: int) -> torch.Tensor:
    """(n, n_pix) sum over pixels i − half … i + half, zero beyond the ends, from one running sum.

    Summed in float64 where the device has it: a bright stretch must not blur a faint one.
    """
    exact = torch.float32 if values.device.type == "mps" else torch.float64
    total = pad(torch.cumsum(values.to(exact), dim=1), (half + 1, 0))
    total = torch.cat([total, total[:, -1:].expand(-1, half)], dim=1)
    return (total[:, 2 * half + 1 :] - total[:, : -2 * half - 1]).to(values.dtype)


def continuum(flux: torch.Tensor, half: int) -> torch.Tensor:
    """Running mean under a triangular window, twice `half` pixels each way, shorter at the ends.

    flux : (n, n_pix), without gaps · half : at least 1. Returns (n, n_pix), the same unit.
    Valid for: lines narrower than the window; broad features are taken for continuum in part.
    """
    total, count = flux, torch.ones_like(flux[:1])
    for _ in range(2):
        total, count = running_sum(total, half), running_sum(count, half)
    return total / count


def channels(flux: torch.Tensor, half: int, *, subtracted: bool = False) -> torch.Tensor:
    """(n, 2, n_pix): asinh of the continuum, and asinh of the lines over it.

    Lines are (flux − continuum)/level, the level being the continuum itself, or 1 where the flux
    comes with its continuum `subtracted`. flux : (n, n_pix), without gaps and noise.
    """
    smooth = continuum(flux, half)
    level = torch.ones_like(smooth) if subtracted else (smooth**2 + _LEAST_LEVEL**2).sqrt()
    lines = 0.5 * torch.asinh((flux - smooth) / level / _LINEAR_DEPTH)
    return torch.stack([torch.asinh(smooth), lines], dim=1)


def significant(
    residual: torch.Tensor, weight: torch.Tensor, least: float = SIGNIFICANT
) -> torch.Tensor:
    """(n, n_pix) the part of a residual that stands out of the noise by more than `least` σ.

    Sought pixel by pixel, then among means of 5 and of 25 pixels in what is left: a cosmic ray, a
    faint line and a broad hump. Where noise may have made it there is 0, whatever the noise.

    Parameters
    ----------
    residual, weight : (n, n_pix); weight = 1/σ², 0 = no information
    Source: x (1 − (least/|x|)²) of what exceeds the threshold: the non-negative garrote, Gao 1998
    (J. Comput. Graph. Stat. 7, 469): continuous, and hardly anything is taken from strong signals.
    """
    good = weight > 0
    left = torch.where(good, residual, torch.zeros_like(residual))
    found = torch.zeros_like(left)
    for half in _SCALES:
        total = running_sum(weight, half) if half else weight
        mean = running_sum(left * weight, half) / total.clamp(min=1e-20) if half else left
        square = (mean**2 * total).clamp(min=least**2)
        part = torch.where(good, mean * (1.0 - least**2 / square), torch.zeros_like(mean))
        found, left = found + part, left - part
    return found
