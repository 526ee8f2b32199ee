"""Where in wavelength a likeness or a difference comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from ..domain.derived import Region
from ..domain.errors import UsageError
from .identify import Identified

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
    trace : the same for every pixel; None where the two share none
    """

    alike: tuple[Region, ...]
    differs: tuple[Region, ...]
    chi2: float
    trace: Trace | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Likeness and difference of two spectra at every pixel of a grid; 0 where one has none.

    difference : (n,) float32, first − second in σ of the two, narrow spikes cut down
    contribution : (n,) float32 share of Σ difference², sum 1
    likeness : (n,) float32, √(a b) of the departures a, b from the mean in σ where both go the
        same way, with their sign
    """

    difference: NDArray[np.float32]
    contribution: NDArray[np.float32]
    likeness: NDArray[np.float32]

    def coarser(self, every: int) -> Trace:
        """Blocks of `every` pixels: mean difference and likeness, summed contribution."""
        summed = blocks(self.contribution, every) * _held(self.contribution.size, every)
        return Trace(blocks(self.difference, every), np.asarray(summed, np.float32),
                     blocks(self.likeness, every))  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Why an answer is one, in full.

    trace : by wavelength · named : each region of difference with what may lie there
    components : (component, share) of the squared distance between vectors, largest first
    decoded : (n,) what the encoder makes of query − neighbour, in normalised flux; None where it
        does not decode
    alike : each region of likeness with what lies there
    """

    trace: Trace
    named: tuple[tuple[Region, tuple[Identified, ...]], ...]
    components: tuple[tuple[int, float], ...] = ()
    decoded: NDArray[np.float32] | None = None
    alike: tuple[tuple[Region, tuple[Identified, ...]], ...] = ()

    def sentences(self, most: int = 3) -> list[str]:
        """``Hα emission stronger in the query`` …, strongest region first, none twice."""
        found = [i[0].text if i else _range(r) for r, i in self.named]
        return list(dict.fromkeys(found))[:most]

    def likenesses(self, most: int = 6) -> list[str]:
        """``Hα``, ``continuum``, ``5100–5200 Å`` …: what is alike, strongest region first."""
        found = [name for r, i in self.alike
                 for name in ([_label(one) for one in i] or [_range(r)])]  # fmt: skip
        return list(dict.fromkeys(found))[:most]

    def record(self, wave_aa: NDArray[Any], every: int = 1) -> dict[str, Any]:
        """Plain values for ``--json``; arrays in blocks of `every` pixels."""
        trace = self.trace.coarser(every) if every > 1 else self.trace
        out: dict[str, Any] = {
            "wave_aa": _numbers(blocks(wave_aa, every), 7),
            "difference_sigma": _numbers(trace.difference, 4),
            "contribution": _numbers(trace.contribution, 4),
            "likeness": _numbers(trace.likeness, 4),
            "regions": [_record(r, found) for r, found in self.named],
            "alike": [_record(r, found) for r, found in self.alike],
            "components": [{"component": c, "share": s} for c, s in self.components],
        }  # fmt: skip
        if self.decoded is not None:
            out["decoded_difference"] = _numbers(blocks(self.decoded, every), 4)
        return out


def alike_at(found: tuple[Identified, ...], lines: bool) -> tuple[Identified, ...]:
    """What lies in a region, as said of two spectra that are alike there.

    lines : False leaves out lines and bands of the source: those at other redshifts share none
    """
    out = []
    for i in found:
        if i.kind in ("line", "band") and not lines:
            continue
        where = "in the" if i.kind == "continuum" else "at"
        out.append(replace(i, text=f"alike {where} {_label(i)}"))
    return tuple(out)


def _label(found: Identified) -> str:
    doubt = not found.certain and found.kind in ("line", "band")
    return found.label + (" (if at rest)" if doubt else "")


def _range(region: Region) -> str:
    return f"{region.lo_aa:.0f}–{region.hi_aa:.0f} Å"


def _record(region: Region, found: tuple[Identified, ...]) -> dict[str, Any]:
    return {
        "lo_aa": region.lo_aa, "hi_aa": region.hi_aa, "contribution": region.contribution,
        "sign": region.sign, "identified": [
            {"label": i.label, "name": i.name, "wave_aa": i.wave_aa, "kind": i.kind,
             "text": i.text, "certain": i.certain} for i in found],
    }  # fmt: skip


def blocks(values: NDArray[Any], every: int) -> NDArray[Any]:
    """Means of `every` values each, the last block of what is left."""
    if every == 1:
        return values
    starts = np.arange(0, values.size, every)
    return np.asarray(np.add.reduceat(values, starts) / _held(values.size, every))


def _held(size: int, every: int) -> NDArray[np.float64]:
    starts = np.arange(0, size, every)
    return np.minimum(every, size - starts).astype(np.float64)


def _numbers(values: NDArray[Any], digits: int) -> list[float]:
    return [float(f"{v:.{digits}g}") for v in values.tolist()]


def component_shares(
    query: NDArray[Any], other: NDArray[Any], scale: NDArray[Any] | None, most: int = 5
) -> tuple[tuple[int, float], ...]:
    """(component, share) of the squared distance between two vectors, largest first.

    Parameters
    ----------
    query, other : (d,) as encoded · scale : (d,) of the metric; None = 1
    """
    gap = (query.astype(np.float64) - other) * (1.0 if scale is None else scale)
    total = float((gap**2).sum())
    if total <= 0:
        return ()
    share = gap**2 / total
    order = np.argsort(-share, kind="stable")[:most]
    return tuple((int(i), float(share[i])) for i in order if share[i] > 0)


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
    square = difference.astype(np.float64) ** 2
    part = square / max(float(square.sum()), 1e-300)
    return Why(
        alike=regions(wave_aa, shared, most),
        differs=regions(wave_aa, difference, most),
        chi2=float(np.mean(difference[both] ** 2)),
        trace=Trace(difference, part.astype(np.float32), shared.astype(np.float32)),
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
    r = residual.astype(np.float64)
    # where bright spectra differ all over, limits in σ would make every pixel like every other
    usual = _CAP * float(np.median(r[r != 0] ** 2)) if r.any() else 0.0
    strongest = max(_STRONGEST, math.sqrt(usual))
    r = np.clip(r, -strongest, strongest)
    square = r**2
    total = float(square.sum())
    count = int(np.count_nonzero(square))
    if total <= 0:
        return ()
    modest = np.minimum(square, max(CLIP**2, usual))
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
