"""Where in wavelength a likeness or a difference comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from ..domain.derived import Region
from ..domain.errors import UsageError

CLIP = 10.0
"""Residuals count as this many σ at most where likeness is concerned."""
_STRONGEST = 30.0
"""And this many when regions are ranked: a line of 100 σ comes first, yet is not all there is."""
SPIKE = 5.0
_LEVEL, _CAP = 1.5, 4.5
"""A pixel argues for its region if r² is above _LEVEL × the mean, by _CAP − _LEVEL at most: so two
features join only when the gap between them is less than about twice their width."""
_CHANCE = 8.0
"""Σ(r² − 2) of a region must exceed this + 2 ln n: measured, pure noise of 400 to 4000 pixels has
such a region in about 1 of 100 spectra."""


_TRIED = 5
"""Segments looked at for each one reported: the strongest need not be the widest."""


@dataclass(frozen=True, slots=True)
class Why:
    """What two spectra share and where they differ, strongest first.

    alike : regions where both depart from the model's mean in the same sense
    differs : regions of noise-weighted difference; sign +1 where the first is brighter
    chi2 : mean squared difference per pixel in units of its noise
    """

    alike: tuple[Region, ...]
    differs: tuple[Region, ...]
    chi2: float


def why(
    wave_aa: NDArray[Any],
    flux: NDArray[Any],
    ivar: NDArray[Any],
    other_flux: NDArray[Any],
    other_ivar: NDArray[Any],
    mean: NDArray[Any],
    scatter: NDArray[Any] | float = 0.0,
    most: int = 3,
) -> Why:
    """Why two spectra are neighbours, and what sets them apart.

    Parameters
    ----------
    wave_aa : (n,) the model's grid, Å vacuum
    flux, ivar, other_flux, other_ivar : (n,) normalised, as prepared for the model
    mean : (n,) the model's mean spectrum · scatter : (n,) variance that the model disregards
    most : regions of each sort
    """
    _same_length(wave_aa, flux, ivar, other_flux, other_ivar, mean)
    both = (ivar > 0) & (other_ivar > 0)
    if not both.any():
        return Why((), (), float("nan"))
    one, two = flux.astype(np.float64), other_flux.astype(np.float64)
    variance = np.full(one.shape, np.inf)
    level = np.broadcast_to(np.asarray(scatter, dtype=np.float64), one.shape)
    variance[both] = 1.0 / ivar[both] + 1.0 / other_ivar[both] + level[both]
    sigma = np.sqrt(variance)
    difference = despiked(np.where(both, (one - two) / sigma, 0.0))
    a = np.where(both, np.clip((one - mean) / sigma, -CLIP, CLIP), 0.0)
    b = np.where(both, np.clip((two - mean) / sigma, -CLIP, CLIP), 0.0)
    shared = np.sqrt(np.maximum(a * b, 0.0)) * np.sign(a)
    return Why(
        alike=regions(wave_aa, shared, most),
        differs=regions(wave_aa, difference, most),
        chi2=float(np.mean(difference[both] ** 2)),
    )


def regions(wave_aa: NDArray[Any], residual: NDArray[Any], most: int = 3) -> tuple[Region, ...]:
    """The stretches that hold the most squared residual beyond what noise explains.

    Parameters
    ----------
    wave_aa : (n,) ascending, Å · residual : (n,) in σ, 0 where there is no information
    Returns
    -------
    up to `most` regions by falling contribution (their share of Σr²); none if the residual looks
    like noise all over
    Source: maximal-sum segments (Kadane's algorithm) of capped r², strongest first.
    """
    r = np.clip(residual.astype(np.float64), -_STRONGEST, _STRONGEST)
    square = r**2
    total = float(square.sum())
    count = int(np.count_nonzero(square))
    if total <= 0:
        return ()
    modest = np.minimum(square, CLIP**2)
    relative = modest / max(1.0, float(modest.sum()) / count)
    gain = np.minimum(relative, _CAP) - _LEVEL
    chance = _CHANCE + 2.0 * math.log(count)
    free = [(0, gain.size)]
    found: list[Region] = []
    while len(found) < _TRIED * most and free:
        segments = [_best_segment(gain, a, b) for a, b in free]
        sum_, start, stop = max(segments)
        if sum_ <= 0 or float((square[start:stop] - 2.0).sum()) < chance:
            break
        found.append(_region(wave_aa, r, start, stop, total))
        a, b = free.pop(segments.index((sum_, start, stop)))
        free += [(x, y) for x, y in ((a, start), (stop, b)) if y > x]
    return tuple(sorted(found, key=lambda region: -region.contribution)[:most])


def despiked(residual: NDArray[Any]) -> NDArray[np.float32]:
    """(…, n) residuals in σ with narrow spikes cut down to what is around them.

    A feature that the instrument could resolve spans three pixels or more, a cosmic ray mostly
    fewer: beyond 5 σ a pixel counts only up to twice the median of the five around it.
    """
    size = np.abs(residual)
    if not (size > SPIKE).any():
        return np.asarray(residual, dtype=np.float32)
    around = median_filter(size, size=(1,) * (residual.ndim - 1) + (5,), mode="nearest")
    limit = np.maximum(SPIKE, 2.0 * around)
    return np.asarray(np.sign(residual) * np.minimum(size, limit), dtype=np.float32)


def _region(
    wave_aa: NDArray[Any], r: NDArray[np.float64], start: int, stop: int, total: float
) -> Region:
    inside = r[start:stop]
    lean = float(inside.sum() / np.abs(inside).sum())
    return Region(
        lo_aa=float(wave_aa[start]),
        hi_aa=float(wave_aa[stop - 1]),
        contribution=float((inside**2).sum()) / total,
        sign=int(np.sign(lean)) if abs(lean) > 0.5 else 0,
    )


def _best_segment(gain: NDArray[np.float64], a: int, b: int) -> tuple[float, int, int]:
    """Sum, start and stop of the contiguous stretch of [a, b) with the largest sum."""
    sums = np.concatenate([[0.0], np.cumsum(gain[a:b])])
    rise = sums - np.minimum.accumulate(sums)
    stop = int(np.argmax(rise))
    if stop == 0:
        return 0.0, a, a
    return float(rise[stop]), a + int(np.argmin(sums[:stop])), a + stop


def _same_length(*arrays: NDArray[Any]) -> None:
    shapes = {a.shape for a in arrays}
    if len(shapes) > 1:
        raise UsageError(f"arrays of shapes {sorted(shapes)} are not on one grid",
                         code="mismatched_lengths")  # fmt: skip
