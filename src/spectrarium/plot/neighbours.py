"""What is like this one: the query on top, its neighbours below on the same axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ..domain.derived import Region
from ..domain.errors import UsageError
from .drawing import draw_flux, draw_regions, flux_limits, smoothed, smoothing_width
from .style import Style, new_figure, style, themed, title


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One spectrum on a model's grid, and what to write beside it.

    flux, ivar : (n_pix,) normalised, as prepared · name : id and class · note : numbers
    model : (n_pix,) the model's reconstruction, where it is to be shown
    regions : where the result comes from
    """

    flux: NDArray[Any]
    ivar: NDArray[Any]
    name: str
    note: str = ""
    model: NDArray[Any] | None = None
    regions: tuple[Region, ...] = ()

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
    """The query, then each neighbour over it (faint) with the difference beneath.

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
        figure = new_figure(1600, max(1200, 360 + 235 * rows))
        grid = figure.add_gridspec(1 + rows, columns, height_ratios=[1.35] + [1.0] * rows)
        limits = _limits([query, *neighbours])
        top = figure.add_subplot(grid[0, :])
        _draw_panel(top, query, wave_aa, theme, theme.second)
        title(top, query.name, query.note, theme)
        _frame(top, wave_aa, limits, flux_label)
        _legend(top, theme)
        gap = _gap_limit(query, neighbours)
        for i, panel in enumerate(neighbours):
            cell = grid[1 + i // columns, i % columns].subgridspec(2, 1, height_ratios=[3, 1.1],
                                                                   hspace=0.0)  # fmt: skip
            last = i + columns >= len(neighbours)
            above = figure.add_subplot(cell[0])
            below = figure.add_subplot(cell[1], sharex=above)
            _neighbour(above, below, query, panel, wave_aa, theme, gap)
            title(above, panel.name, panel.note, theme)
            _frame(above, wave_aa, limits, "")
            above.tick_params(labelbottom=False)
            below.tick_params(labelbottom=last)
        figure.supxlabel(wave_label, fontsize=10)
        if heading:
            figure.suptitle(heading, x=0.01, ha="left", fontweight="bold", fontsize=12)
    return figure


def _legend(axes: Axes, theme: Style) -> None:
    handles = [
        Line2D([], [], color=theme.second, label="query"),
        Line2D([], [], color=theme.ink, label="neighbour"),
        Line2D([], [], color=theme.faint, label="Δ = neighbour − query"),
        Patch(color=theme.accent, alpha=0.25, linewidth=0, label="where they differ most"),
    ]
    axes.legend(handles=handles, loc="best", ncols=4)


def _neighbour(
    above: Axes, below: Axes, query: Panel, panel: Panel, wave: NDArray[Any], theme: Style,
    gap: float,
) -> None:  # fmt: skip
    _draw_smooth(above, query, wave, theme.second, alpha=0.45)
    _draw_panel(above, panel, wave, theme, theme.ink)
    both = np.minimum(query.ivar, panel.ivar)
    width = max(smoothing_width(query.snr), smoothing_width(panel.snr))
    difference = smoothed(panel.flux - query.flux, both, width)
    draw_flux(below, wave, difference, theme.faint, linewidth=0.7)
    draw_regions(below, panel.regions, theme, wave)
    below.axhline(0.0, color=theme.second, linewidth=0.6, alpha=0.6)
    below.set_ylim(-gap, gap)
    below.set_yticks([0.0])
    below.set_yticklabels(["Δ"])
    below.minorticks_off()


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
        gap = smoothed(panel.flux - query.flux, np.minimum(query.ivar, panel.ivar), width)
        good = np.isfinite(gap)
        sizes.append(float(np.percentile(np.abs(gap[good]), 99)) if good.any() else 0.0)
    return 1.1 * float(np.median(sizes)) or 1.0
