"""The pieces that every picture of a spectrum is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.ndimage import median_filter, uniform_filter1d

from ..domain.derived import Region
from ..measure.lines import Line
from .style import Style

_MOST_POINTS = 12_000
"""Above this a line is thinned to the extremes of each pixel column: it looks the same."""


def flux_limits(
    flux: NDArray[Any], good: NDArray[np.bool_], sigma: NDArray[Any] | None = None
) -> tuple[float, float]:
    """Limits that hold every feature of three pixels or more, and no cosmic ray.

    Pixels much noisier than usual do not set the scale, unless they are bright lines.
    """
    use = good & np.isfinite(flux)
    if sigma is not None and use.any():
        use &= (sigma <= 4.0 * np.median(sigma[use])) | (np.abs(flux) > 10.0 * sigma)
    values = flux[use].astype(np.float64)
    if values.size == 0:
        return 0.0, 1.0
    middle = float(np.median(values))
    firm = median_filter(values, size=min(3, values.size), mode="nearest")
    # the peak of a line three pixels wide rises a third above its own running median
    low = max(float(values.min()), middle - 1.35 * (middle - float(firm.min())))
    high = min(float(values.max()), middle + 1.35 * (float(firm.max()) - middle))
    span = (high - low) or max(abs(high), 1.0)
    if 0 < low < 0.6 * high:  # zero belongs in a picture of fluxes unless it squeezes them
        return 0.0, 1.06 * high
    return low - 0.06 * span, high + 0.06 * span


def draw_flux(
    axes: Axes, wave: NDArray[Any], flux: NDArray[Any], colour: str, **kwargs: Any
) -> None:
    """A line that breaks where flux is NaN; steps where single samples can be seen."""
    few = flux.size <= 1500
    x, y = (wave, flux) if flux.size <= _MOST_POINTS else thinned(wave, flux)
    axes.plot(x, y, color=colour, drawstyle="steps-mid" if few else "default", **kwargs)


def thinned(
    wave: NDArray[Any], flux: NDArray[Any], columns: int = _MOST_POINTS // 4
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Lowest and highest sample of each of `columns` stretches, in order; wide gaps stay gaps."""
    n = flux.size // columns * columns
    block = np.where(np.isfinite(flux[:n]), flux[:n], np.nan).reshape(columns, -1)
    offset = np.arange(columns) * block.shape[1]
    low = offset + np.argmin(np.where(np.isnan(block), np.inf, block), axis=1)
    high = offset + np.argmax(np.where(np.isnan(block), -np.inf, block), axis=1)
    gaps = _gap_edges(wave, flux, columns)
    index = np.unique(np.concatenate([low, high, gaps, np.arange(n, flux.size)]))
    return wave[index], flux[index]


def _gap_edges(wave: NDArray[Any], flux: NDArray[Any], columns: int) -> NDArray[np.intp]:
    """The samples on both sides of each gap that can be seen, and a NaN between them.

    Echelle orders are parted by one NaN: the next may begin far away, or before the last ends.
    """
    there = np.flatnonzero(np.isfinite(flux))
    before, after = there[:-1], there[1:]
    step = wave[after] - wave[before]
    widest = (np.max(wave) - np.min(wave)) / columns
    seen = (after - before > 1) & ((step > widest) | (step < 0))
    return np.concatenate([before[seen], before[seen] + 1, after[seen]])


def draw_band(
    axes: Axes, wave: NDArray[Any], flux: NDArray[Any], sigma: NDArray[Any], theme: Style,
    label: str,
) -> None:  # fmt: skip
    """flux ± σ where single samples can be seen; else σ as a line of its own, near zero."""
    if flux.size <= 1500:
        axes.fill_between(
            wave, flux - sigma, flux + sigma, step="mid", color=theme.band, alpha=0.6,
            linewidth=0, label="±" + label,
        )  # fmt: skip
        return
    finite = np.where(np.isfinite(flux) & np.isfinite(sigma), sigma, np.nan)
    draw_flux(axes, wave, finite, theme.accent, linewidth=0.6, alpha=0.9, label=label + " error")


def draw_masked(axes: Axes, wave: NDArray[Any], mask: NDArray[np.bool_], theme: Style) -> None:
    """A strip along the bottom where pixels are bad."""
    label: str | None = "masked pixels"
    for low, high in intervals(wave, mask):
        axes.axvspan(low, high, ymin=0, ymax=0.022, color=theme.accent, linewidth=0.6, label=label,
                     zorder=4)  # fmt: skip
        label = None


def intervals(
    wave: NDArray[Any], chosen: NDArray[np.bool_], most: int = 400
) -> list[tuple[float, float]]:
    """Bounds of the runs of chosen samples; the narrowest gaps are closed beyond `most` runs."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(np.int8), [0]])))
    starts, stops = edges[::2], edges[1::2] - 1
    if starts.size > most:
        gaps = starts[1:] - stops[:-1]
        keep = gaps > np.partition(gaps, -most)[-most]
        starts, stops = starts[np.append(True, keep)], stops[np.append(keep, True)]
    return [(float(wave[a]), float(wave[b])) for a, b in zip(starts, stops, strict=True)]


def draw_regions(axes: Axes, regions: Sequence[Region], theme: Style, wave: NDArray[Any]) -> None:
    """Shade where a result comes from; the more a region contributes, the stronger."""
    least = 0.004 * float(wave[-1] - wave[0])  # a region of one pixel must be seen
    for region in regions:
        pad = max(0.0, 0.5 * (least - (region.hi_aa - region.lo_aa)))
        axes.axvspan(region.lo_aa - pad, region.hi_aa + pad, color=theme.accent, linewidth=0,
                     alpha=0.12 + 0.25 * min(region.contribution, 1.0), zorder=0)  # fmt: skip


def smoothed(flux: NDArray[Any], ivar: NDArray[Any], width: int) -> NDArray[np.float64]:
    """Inverse-variance-weighted running mean of `width` pixels; NaN without information."""
    weight = ivar.astype(np.float64)
    top = uniform_filter1d(np.where(weight > 0, weight * flux, 0.0), width, mode="constant")
    bottom = uniform_filter1d(weight, width, mode="constant")
    informative = (weight > 0) & (bottom > 0)
    return np.where(informative, top / np.where(informative, bottom, 1.0), np.nan)


def smoothing_width(snr: float) -> int:
    """Odd width that brings the S/N of a pixel near 10, 1 … 15."""
    if not snr > 0:
        return 15
    return int(np.clip(2 * round((10.0 / snr) ** 2 / 2) + 1, 1, 15)) if snr < 10 else 1


def draw_lines(
    axes: Axes, lines: Sequence[tuple[Line, float]], theme: Style, room_px: float
) -> None:
    """Dotted verticals with upright labels above the axes, pushed apart so that none overlap.

    lines : with the position each has on this axis · room_px : width of the axes in pixels
    """
    low, high = axes.get_xlim()
    inside = [(entry, at) for entry, at in lines if low < at < high]
    least = 22.0 / room_px
    inside = _without_repeats(inside, least * (high - low))
    for weight in (3, 2):  # too many: the weak ones go first
        if len(inside) * least > 0.9:
            inside = [pair for pair in inside if pair[0].weight < weight]
    inside = inside[: int(0.95 / least)]
    if not inside:
        return
    wanted = np.array([(at - low) / (high - low) for _, at in inside])
    places = spread(wanted, least)
    transform = axes.get_xaxis_transform()
    for (entry, at), place in zip(inside, places, strict=True):
        axes.plot([at, at], [0.0, 1.0], transform=transform, color=theme.faint, linewidth=0.6,
                  linestyle=(0, (1, 3)), zorder=0, gid="line")  # fmt: skip
        axes.plot([at, low + place * (high - low)], [1.0, 1.03], transform=transform,
                  color=theme.faint, linewidth=0.6, clip_on=False)  # fmt: skip
        axes.text(place, 1.038, entry.label, transform=axes.transAxes, rotation=90, fontsize=8,
                  ha="center", va="bottom", color=theme.ink)  # fmt: skip


def _without_repeats(lines: list[tuple[Line, float]], apart: float) -> list[tuple[Line, float]]:
    """One label for the members of a doublet or triplet that lie too close to tell apart."""
    kept: list[tuple[Line, float]] = []
    for entry, at in lines:
        if not any(entry.label == k.label and abs(at - where) < apart for k, where in kept):
            kept.append((entry, at))
    return kept


def spread(wanted: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """Ascending places ≥ `least` apart within 0 … 1, as near as possible to the wanted ones.

    Source: pool-adjacent-violators on wanted − i·least (isotonic regression).
    """
    shifted = wanted - least * np.arange(wanted.size)
    blocks: list[list[float]] = []
    for value in shifted:
        blocks.append([value, 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, n = blocks.pop()
            blocks[-1] = [(blocks[-1][0] * blocks[-1][1] + mean * n) / (blocks[-1][1] + n),
                          blocks[-1][1] + n]  # fmt: skip
    flat = np.concatenate([np.full(int(n), mean) for mean, n in blocks])
    room = 1.0 - least * (wanted.size - 1)
    return np.asarray(np.clip(flat, 0.0, max(room, 0.0)) + least * np.arange(wanted.size))
