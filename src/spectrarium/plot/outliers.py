"""What is strange: the strangest spectra, what was expected of them, where they part, and why."""

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

from ..domain.errors import UsageError
from ..run.answers import Strange
from .drawing import (
    draw_flux,
    draw_regions,
    flux_limits,
    smoothed,
    smoothing_width,
    spread,
)
from .neighbours import Panel
from .style import Style, new_figure, style, themed, title

_REASON_CHARACTERS = {1: 140, 2: 66, 3: 42}
"""Of a reason in so many columns; the rest is in the table."""


@dataclass(frozen=True, slots=True, eq=False)
class StrangePanel(Panel):
    """A panel with what the outlier looks like.

    kind : artefact, astrophysical, unclear or "" · why : the first reason
    names : of the lines behind each of `regions`, "" = none known · spiky : spikes may be cut off
    """

    kind: str = ""
    why: str = ""
    names: tuple[str, ...] = ()
    spiky: bool = False


def strange_panels(answers: Sequence[Strange], names: Sequence[str]) -> list[StrangePanel]:
    """Panels of outliers, each with what was expected of it. names : id and class of each."""
    out = []
    for a, name in zip(answers, names, strict=True):
        parts = [
            f"{a.significance:+.1f} σ",
            f"score {a.value:.3g}",
            f"S/N {round(a.snr or 0.0) + 0}",
        ]
        if a.bin_rank is not None:
            parts = [f"{a.bin_rank} of {a.bin_size} at {a.bin}", parts[0], parts[2]]
        out.append(StrangePanel(
            flux=a.flux, ivar=a.ivar, model=a.reconstruction, regions=a.drivers, name=name,
            note="   ".join(parts), kind=a.kind, names=a.lines,
            spiky=bool(a.reasons) and a.reasons[0].name == "cosmic_ray",
            why=a.note if a.note and "neighbours" in a.note else (
                a.reasons[0].text if a.reasons else ""),
        ))  # fmt: skip
    return out


def plot_outliers(
    panels: Sequence[Panel],
    wave_aa: NDArray[Any],
    *,
    wave_label: str,
    flux_label: str = "Flux / median",
    heading: str = "",
    expected: str = "model",
    ranks: Sequence[int] | None = None,
    dark: bool = False,
) -> Figure:
    """A grid of outliers, strangest first, each over what was expected, their difference beneath.

    Parameters
    ----------
    panels : flux, what was expected (`model`), driver regions, id (`name`), score and S/N (`note`);
        of `StrangePanel` also what it looks like; up to 24 are legible
    expected : what `model` is: the model, or the mean of neighbours · ranks : None = 1, 2 …
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
        figure = new_figure(1600, max(1200, 140 + 300 * rows))
        grid = figure.add_gridspec(rows, columns)
        for i, panel in enumerate(panels):
            cell = grid[i // columns, i % columns].subgridspec(2, 1, height_ratios=[3, 1.1],
                                                               hspace=0.0)  # fmt: skip
            above = figure.add_subplot(cell[0])
            below = figure.add_subplot(cell[1], sharex=above)
            _draw(above, panel, wave_aa, theme)
            _departure(below, panel, wave_aa, theme)
            rank = i + 1 if ranks is None else ranks[i]
            _words(above, panel, rank, columns, theme)
            above.tick_params(labelbottom=False)
            below.tick_params(labelbottom=i + columns >= len(panels))
        figure.legend(handles=_legend(panels, expected, theme), loc="outside lower right", ncols=4)
        figure.supxlabel(wave_label, x=0.01, ha="left", fontsize=10)
        figure.supylabel(flux_label, fontsize=10)
        if heading:
            figure.suptitle(heading, x=0.01, ha="left", fontweight="bold", fontsize=12)
    return figure


def _legend(panels: Sequence[Panel], expected: str, theme: Style) -> list[Any]:
    handles: list[Any] = [Line2D([], [], color=theme.ink, label="observed")]
    if any(p.model is not None for p in panels):
        handles.append(Line2D([], [], color=theme.second, linewidth=2.0, label=expected))
        handles.append(Line2D([], [], color=theme.faint, label="difference"))
    handles.append(Patch(color=theme.accent, alpha=0.3, label="where it departs most"))
    return handles


def _draw(axes: Axes, panel: Panel, wave: NDArray[Any], theme: Style) -> None:
    width = smoothing_width(panel.snr)
    shown = smoothed(panel.flux, panel.ivar, width)
    if width > 1:
        draw_flux(axes, wave, np.where(panel.ivar > 0, panel.flux, np.nan), theme.ink, alpha=0.18,
                  linewidth=0.5)  # fmt: skip
    draw_flux(axes, wave, shown, theme.ink, linewidth=0.8)
    low, high = flux_limits(shown, panel.ivar > 0, panel.sigma)
    if panel.model is not None:  # only where there is something to compare it with
        expected = np.where(panel.ivar > 0, panel.model, np.nan)
        draw_flux(axes, wave, expected, theme.second, linewidth=1.8, alpha=0.85, zorder=1.5)
        a, b = flux_limits(expected, panel.ivar > 0, panel.sigma)
        span = high - low
        low, high = min(low, max(a, low - span)), max(high, min(b, high + span))
        if isinstance(panel, StrangePanel) and panel.spiky:  # or all else is a flat line
            low, high = a, min(high, b + 1.5 * (b - a))
    draw_regions(axes, panel.regions, theme, wave)
    axes.set_xlim(float(wave[0]), float(wave[-1]))
    named = isinstance(panel, StrangePanel) and any(panel.names)
    axes.set_ylim(low, high + (0.16 * (high - low) if named else 0.0))


def _departure(axes: Axes, panel: Panel, wave: NDArray[Any], theme: Style) -> None:
    axes.minorticks_off()
    axes.set_yticks([0.0])
    axes.set_yticklabels(["Δ"])
    draw_regions(axes, panel.regions, theme, wave)
    if panel.model is None:
        return
    width = smoothing_width(panel.snr)
    gap = smoothed(panel.flux - panel.model, panel.ivar, width)
    draw_flux(axes, wave, gap, theme.faint, linewidth=0.7)
    axes.axhline(0.0, color=theme.second, linewidth=0.6, alpha=0.6)
    finite = np.abs(gap[np.isfinite(gap)])
    limit = 1.15 * float(np.percentile(finite, 99.5)) if finite.size else 1.0
    axes.set_ylim(-(limit or 1.0), limit or 1.0)


def _words(axes: Axes, panel: Panel, rank: int, columns: int, theme: Style) -> None:
    title(axes, f"{rank}  {panel.name}", panel.note, theme)
    if not isinstance(panel, StrangePanel):
        return
    if panel.kind:
        for place in ("left", "right"):
            axes.set_title(axes.get_title(loc=place), loc=place, pad=19, gid=_GID[place])
        colour = {"artefact": theme.accent, "astrophysical": theme.good}.get(
            panel.kind, theme.faint)  # fmt: skip
        badge = axes.annotate(
            f" {panel.kind} ", (0.0, 1.0), (1, 5), xycoords="axes fraction",
            textcoords="offset points", fontsize=8, color=theme.background, va="bottom",
            fontweight="bold", gid="badge",
            bbox={"boxstyle": "round,pad=0.18", "facecolor": colour, "edgecolor": "none"},
        )  # fmt: skip
        badge.set_in_layout(False)  # or the layout would make room for it beside the axes
        most = _REASON_CHARACTERS[columns]
        why = panel.why if len(panel.why) <= most else panel.why[: most - 1].rstrip() + "…"
        reason = axes.annotate(
            why, (1.0, 0.5), (6, 0), xycoords=badge, textcoords="offset points", fontsize=8,
            color=theme.ink, va="center", gid="why",
        )  # fmt: skip
        reason.set_in_layout(False)
    _line_names(axes, panel, columns, theme)


_GID = {"left": "title", "right": "note"}


def _line_names(axes: Axes, panel: StrangePanel, columns: int, theme: Style) -> None:
    """The lines behind each region, above it and apart from each other."""
    named = [(0.5 * (r.lo_aa + r.hi_aa), text)
             for r, text in zip(panel.regions, panel.names, strict=False) if text]  # fmt: skip
    if not named:
        return
    named.sort()
    low, high = axes.get_xlim()
    texts = [text if len(text) <= 24 else text[:23] + "…" for _, text in named]
    wanted = np.array([(at - low) / (high - low) for at, _ in named])
    widest = max(len(t) for t in texts)
    letter = 0.0075 * columns  # of the width of the axes
    least = min(letter * widest + 0.01, 0.9 / len(named))
    margin = min(0.5 * letter * widest, 0.4)
    places = np.clip(spread(wanted, least), margin, 1.0 - margin)
    for text, place in zip(texts, places, strict=True):
        axes.text(place, 0.97, text, transform=axes.transAxes, fontsize=7.5, ha="center", va="top",
                  color=theme.accent, gid="line", clip_on=True)  # fmt: skip
