"""What is strange: the strangest spectra, what the model expected of them, and where they part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..domain.errors import UsageError
from .drawing import draw_flux, draw_regions, flux_limits, smoothed, smoothing_width
from .neighbours import Panel
from .style import Style, new_figure, style, themed, title


def plot_outliers(
    panels: Sequence[Panel],
    wave_aa: NDArray[Any],
    *,
    wave_label: str,
    flux_label: str = "Flux / median",
    heading: str = "",
    dark: bool = False,
) -> Figure:
    """A grid of outliers, strangest first, each with the model's reconstruction over it.

    Parameters
    ----------
    panels : flux, reconstruction (`model`), driver regions, id (`name`), score and S/N (`note`);
        up to 24 are legible
    Raises
    ------
    UsageError : nothing to show
    """
    if not panels:
        raise UsageError("there are no outliers to show", code="empty")
    theme = style(dark)
    columns = 1 if len(panels) <= 3 else 2 if len(panels) <= 12 else 3
    rows = math.ceil(len(panels) / columns)
    with themed(theme):
        figure = new_figure(1600, max(1200, 120 + 210 * rows))
        grid = figure.add_gridspec(rows, columns)
        for i, panel in enumerate(panels):
            axes = figure.add_subplot(grid[i // columns, i % columns])
            _draw(axes, panel, wave_aa, theme)
            title(axes, f"{i + 1}  {panel.name}", panel.note, theme)
            axes.tick_params(labelbottom=i + columns >= len(panels))
            if i == 0:
                axes.legend(loc="best", ncols=2)
        figure.supxlabel(wave_label, fontsize=10)
        figure.supylabel(flux_label, fontsize=10)
        if heading:
            figure.suptitle(heading, x=0.01, ha="left", fontweight="bold", fontsize=12)
    return figure


def _draw(axes: Axes, panel: Panel, wave: NDArray[Any], theme: Style) -> None:
    width = smoothing_width(panel.snr)
    shown = smoothed(panel.flux, panel.ivar, width)
    if width > 1:
        draw_flux(axes, wave, np.where(panel.ivar > 0, panel.flux, np.nan), theme.ink, alpha=0.18,
                  linewidth=0.5)  # fmt: skip
    note = f" ({width}-pixel mean)" if width > 1 else ""
    draw_flux(axes, wave, shown, theme.ink, linewidth=0.9, label=f"observed{note}")
    low, high = flux_limits(shown, panel.ivar > 0, panel.sigma)
    if panel.model is not None:  # only where there is something to compare it with
        expected = np.where(panel.ivar > 0, panel.model, np.nan)
        draw_flux(axes, wave, expected, theme.second, linewidth=2.0, label="model", zorder=1.5)
        a, b = flux_limits(expected, panel.ivar > 0, panel.sigma)
        span = high - low
        low, high = min(low, max(a, low - span)), max(high, min(b, high + span))
    draw_regions(axes, panel.regions, theme, wave)
    axes.set_xlim(float(wave[0]), float(wave[-1]))
    axes.set_ylim(low, high)
