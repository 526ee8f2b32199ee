"""What is like this one: the query on top, its neighbours below on the same axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from ..domain.derived import Region
from ..domain.errors import UsageError
from .drawing import draw_flux, draw_regions, flux_limits, smoothed, smoothing_width, spread
from .style import SEQUENTIAL, Style, new_figure, style, themed, title


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One spectrum on a model's grid, and what to write beside it.

    flux, ivar : (n_pix,) normalised, as prepared · name : id and class · note : numbers
    model : (n_pix,) the model's reconstruction, where it is to be shown
    regions : where the result comes from · labels : (text, wavelength) of lines and bands
    contribution : (n_pix,) share of the difference from the query, sum 1
    """

    flux: NDArray[Any]
    ivar: NDArray[Any]
    name: str
    note: str = ""
    model: NDArray[Any] | None = None
    regions: tuple[Region, ...] = ()
    labels: tuple[tuple[str, float], ...] = ()
    contribution: NDArray[Any] | None = None

    @property
    def sigma(self) -> NDArray[np.float64]:
        """(n_pix,) noise, inf without information."""
        sigma = np.full(self.ivar.shape, np.inf)
        informative = self.ivar > 0
        sigma[informative] = self.ivar[informative] ** -0.5
        return sigma

    @property
    def snr(self) -> float:
        """Median per pixel."""
        good = self.ivar > 0
        if not good.any():
            return 0.0
        return float(np.median(self.flux[good] * np.sqrt(self.ivar[good])))


def plot_neighbours(
    query: Panel,
    neighbours: Sequence[Panel],
    wave_aa: NDArray[Any],
    *,
    wave_label: str,
    flux_label: str = "Flux / median",
    heading: str = "",
    dark: bool = False,
) -> Figure:
    """The query, then each neighbour over it (faint) with query − neighbour beneath.

    The difference is coloured by how much each place contributes to it in units of its noise: the
    same height counts for more where the noise is small.

    Parameters
    ----------
    wave_aa : (n_pix,) the model's grid · neighbours : nearest first; up to 24 are legible
    Raises
    ------
    UsageError : no neighbours
    """
    if not neighbours:
        raise UsageError("there are no neighbours to show", code="empty")
    theme = style(dark)
    columns = 1 if len(neighbours) <= 3 else 2 if len(neighbours) <= 10 else 3
    rows = math.ceil(len(neighbours) / columns)
    with themed(theme):
        figure = new_figure(1600, max(1200, 360 + 265 * rows))
        grid = figure.add_gridspec(1 + rows, columns, height_ratios=[1.35] + [1.0] * rows)
        limits = _limits([query, *neighbours])
        top = figure.add_subplot(grid[0, :])
        _draw_panel(top, query, wave_aa, theme, theme.second)
        title(top, query.name, query.note, theme)
        _frame(top, wave_aa, _with_room(_limits([query]), bool(query.labels)), flux_label)
        _draw_labels(top, query.labels, theme, 1450.0, upright=True)
        _legend(top, theme, beside=not query.note)
        labelled = any(panel.labels for panel in neighbours)
        colours = _Colours(neighbours, dark)
        gap = _gap_limit(query, neighbours)
        for i, panel in enumerate(neighbours):
            cell = grid[1 + i // columns, i % columns].subgridspec(2, 1, height_ratios=[3, 1.1],
                                                                   hspace=0.0)  # fmt: skip
            last = i + columns >= len(neighbours)
            above = figure.add_subplot(cell[0])
            below = figure.add_subplot(cell[1], sharex=above)
            _neighbour(above, below, query, panel, wave_aa, theme, gap, colours)
            title(above, panel.name, panel.note, theme)
            _frame(above, wave_aa, _with_room(limits, labelled), "")
            _draw_labels(above, panel.labels, theme, 1400.0 / columns)
            above.tick_params(labelbottom=False)
            below.tick_params(labelbottom=last)
        figure.supxlabel(wave_label, fontsize=10)
        if colours.known:
            colours.bar(figure)
        if heading:
            figure.suptitle(heading, x=0.01, ha="left", fontweight="bold", fontsize=12)
    return figure


def _legend(axes: Axes, theme: Style, beside: bool) -> None:
    """Above the axes where the title leaves room, else where it hides least."""
    handles = [
        Line2D([], [], color=theme.second, label="query"),
        Line2D([], [], color=theme.ink, label="neighbour"),
        Line2D([], [], color=theme.faint, label="Δ = query − neighbour"),
        Patch(color=theme.accent, alpha=0.25, linewidth=0, label="where they differ most"),
    ]
    if beside:
        axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1.0, 0.985), ncols=4,
                    borderpad=0.2)  # fmt: skip
    else:
        axes.legend(handles=handles, loc="best", ncols=4)


class _Colours:
    """One scale for all differences of a figure: contribution of a pixel ÷ that of the mean one."""

    def __init__(self, panels: Sequence[Panel], dark: bool) -> None:
        # the strong end must stand out from the background
        self.map = mpl.colormaps[SEQUENTIAL if dark else f"{SEQUENTIAL}_r"]
        self.known = any(p.contribution is not None for p in panels)
        self.norm = LogNorm(0.1, 30.0, clip=True)

    def relative(self, panel: Panel, width: int) -> NDArray[np.float64]:
        """(n_pix,) averaged over what a colour can show."""
        assert panel.contribution is not None
        share = panel.contribution.astype(np.float64)
        held = max(int(np.count_nonzero(panel.ivar > 0)), 1)
        return np.asarray(uniform_filter1d(share, max(width, 5)) * held)

    def bar(self, figure: Figure) -> None:
        """What the colours mean, in the line of the axis label."""
        shown = mpl.cm.ScalarMappable(self.norm, self.map)
        height = float(figure.bbox.height)
        cax = figure.add_axes((0.86, 9.0 / height, 0.1, 10.0 / height))
        bar = figure.colorbar(shown, cax=cax, orientation="horizontal", ticks=[])
        bar.minorticks_off()
        text = "Δ by contribution (σ², mean = 1):  0.1"
        figure.text(0.857, 14.0 / height, text, fontsize=7.5, ha="right", va="center")
        figure.text(0.963, 14.0 / height, "30", fontsize=7.5, ha="left", va="center")


def _with_room(limits: tuple[float, float], labelled: bool) -> tuple[float, float]:
    """Space above the spectra for names of lines."""
    low, high = limits
    return (low, high + 0.28 * (high - low)) if labelled else limits


def _draw_labels(
    axes: Axes, labels: Sequence[tuple[str, float]], theme: Style, room_px: float,
    upright: bool = False,
) -> None:  # fmt: skip
    """Names of lines inside the top of the axes, pushed apart, each with its place."""
    low, high = axes.get_xlim()
    widest = max((len(text) for text, _ in labels), default=0)
    least = (22.0 if upright else 12.0 + 9.0 * widest) / room_px
    inside: list[tuple[str, float]] = []
    for text, at in sorted(labels, key=lambda label: label[1]):
        near = [a for t, a in inside if t == text and abs(a - at) < 0.5 * least * (high - low)]
        if low < at < high and not near:
            inside.append((text, at))
    inside = inside[: int(1.0 / least)]
    if not inside:
        return
    edge = 0.5 * least
    wanted = (np.array([(at - low) / (high - low) for _, at in inside]) - edge) / (1 - 2 * edge)
    places = edge + (1 - 2 * edge) * spread(wanted, least / (1 - 2 * edge))
    foot = 0.79 if upright else 0.84
    transform = axes.get_xaxis_transform()
    for (text, at), place in zip(inside, places, strict=True):
        axes.plot([at, at], [0.0, foot - 0.04], transform=transform, color=theme.faint,
                  linewidth=0.6, linestyle=(0, (1, 3)), zorder=0, gid="line")  # fmt: skip
        axes.plot([at, low + place * (high - low)], [foot - 0.04, foot], transform=transform,
                  color=theme.faint, linewidth=0.6)  # fmt: skip
        axes.text(float(place), foot + 0.01, text, transform=axes.transAxes, fontsize=7,
                  rotation=90 if upright else 0, ha="center", va="bottom", color=theme.ink,
                  in_layout=False)  # fmt: skip


def _neighbour(
    above: Axes, below: Axes, query: Panel, panel: Panel, wave: NDArray[Any], theme: Style,
    gap: float, colours: _Colours,
) -> None:  # fmt: skip
    _draw_smooth(above, query, wave, theme.second, alpha=0.45)
    _draw_panel(above, panel, wave, theme, theme.ink)
    both = np.minimum(query.ivar, panel.ivar)
    width = max(smoothing_width(query.snr), smoothing_width(panel.snr))
    difference = smoothed(query.flux - panel.flux, both, width)
    if panel.contribution is None:
        draw_flux(below, wave, difference, theme.faint, linewidth=0.7)
    else:
        _draw_coloured(below, wave, difference, colours.relative(panel, width), colours)
    draw_regions(below, panel.regions, theme, wave)
    below.axhline(0.0, color=theme.second, linewidth=0.6, alpha=0.6)
    below.set_ylim(-gap, gap)
    below.set_yticks([0.0])
    below.set_yticklabels(["Δ"])
    below.minorticks_off()


def _draw_coloured(
    axes: Axes, wave: NDArray[Any], values: NDArray[Any], shares: NDArray[Any], colours: _Colours
) -> None:
    points = np.stack([wave, values], axis=1)
    pairs = np.stack([points[:-1], points[1:]], axis=1)
    there = np.isfinite(pairs[:, :, 1]).all(axis=1)
    strength = np.maximum(shares[:-1], shares[1:])[there]
    order = np.argsort(strength)  # the strongest on top
    lines = LineCollection(
        list(pairs[there][order]), cmap=colours.map, norm=colours.norm, linewidths=0.9
    )
    lines.set_array(strength[order])
    axes.add_collection(lines)


def _draw_panel(axes: Axes, panel: Panel, wave: NDArray[Any], theme: Style, colour: str) -> None:
    if smoothing_width(panel.snr) > 1:  # the samples themselves, faint, behind their mean
        draw_flux(axes, wave, np.where(panel.ivar > 0, panel.flux, np.nan), colour, alpha=0.18,
                  linewidth=0.5)  # fmt: skip
    _draw_smooth(axes, panel, wave, colour)
    draw_regions(axes, panel.regions, theme, wave)


def _draw_smooth(
    axes: Axes, panel: Panel, wave: NDArray[Any], colour: str, alpha: float = 1.0
) -> None:
    flux = smoothed(panel.flux, panel.ivar, smoothing_width(panel.snr))
    draw_flux(axes, wave, flux, colour, alpha=alpha, linewidth=0.9)


def _frame(axes: Axes, wave: NDArray[Any], limits: tuple[float, float], flux_label: str) -> None:
    axes.set_xlim(float(wave[0]), float(wave[-1]))
    axes.set_ylim(*limits)
    if flux_label:
        axes.set_ylabel(flux_label)


def _limits(panels: Sequence[Panel]) -> tuple[float, float]:
    each = [
        flux_limits(smoothed(p.flux, p.ivar, smoothing_width(p.snr)), p.ivar > 0, p.sigma)
        for p in panels
    ]
    lows, highs = np.array(each).T
    # the query sets the scale; a neighbour may stretch it, but not until the query is a flat line
    low, high = each[0]
    span = high - low
    return max(float(lows.min()), low - span), min(float(highs.max()), high + span)


def _gap_limit(query: Panel, neighbours: Sequence[Panel]) -> float:
    sizes = []
    for panel in neighbours:
        width = max(smoothing_width(query.snr), smoothing_width(panel.snr))
        gap = smoothed(query.flux - panel.flux, np.minimum(query.ivar, panel.ivar), width)
        good = np.isfinite(gap)
        sizes.append(float(np.percentile(np.abs(gap[good]), 99)) if good.any() else 0.0)
    return 1.1 * float(np.median(sizes)) or 1.0
