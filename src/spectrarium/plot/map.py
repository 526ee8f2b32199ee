"""A map: every spectrum a point, coloured by what is known of it, crowds shown as density."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..run.layout import Map
from .style import Style, new_figure, save, style, themed, title

CROWD = 20_000
"""Above so many points pixels show what is usual in them instead of points that hide each other."""
_CELLS = 260
_SHAPE = 1.15
"""Width over height of the axes."""
PALETTE = (
    ("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "D"), ("#e69f00", "v"),
    ("#56b4e9", "P"), ("#8c510a", "X"), ("#7a5fb5", "*"), ("#4d4d4d", "<"),
)  # fmt: skip
"""Okabe & Ito's colours, then darker ones; each with a marker, for those who see no colours."""


@dataclass(frozen=True, slots=True, eq=False)
class Colour:
    """What colours a map: (n,) numbers (NaN = unknown), or classes (None = unknown)."""

    label: str
    values: NDArray[Any]
    unit: str = ""

    @property
    def classes(self) -> bool:
        """Whether the values are words."""
        return self.values.dtype.kind in "OUS"


def map_figure(
    xy: NDArray[Any], colour: Colour | None = None, *, axes_names: tuple[str, str] = ("", ""),
    heading: str = "", note: str = "", placed: NDArray[np.bool_] | None = None,
    scaled: bool = False, dark: bool = False,
) -> Figure:  # fmt: skip
    """The picture of a map.

    Parameters
    ----------
    xy : (n, 2) positions · colour : None = how crowded it is · note : how far to trust it
    placed : (n,) True for points that came later: ringed while they can be told apart
    scaled : whether axes have a scale (principal components), else none is drawn
    Raises
    ------
    UsageError : no points, or none that is finite
    """
    good = np.isfinite(xy).all(axis=1) if len(xy) else np.empty(0, bool)
    if not good.any():
        raise UsageError("there are no points to show", code="empty")
    points = np.asarray(xy, float)[good]
    if colour is not None:
        colour = Colour(colour.label, colour.values[good], colour.unit)
    theme = style(dark)
    with themed(theme):
        figure = new_figure(1600, 1280)
        axes = figure.add_subplot()
        _frame(axes, points, axes_names, scaled)
        if colour is None:
            _density(figure, axes, points, theme)
        elif colour.classes:
            _classes(axes, points, colour, theme)
        else:
            _numbers(figure, axes, points, colour, theme, dark)
        if placed is not None and placed.any() and len(points) <= CROWD:
            _ring(axes, points[placed[good]], theme)
        title(axes, heading, note, theme)
        _caution(figure, scaled, theme)
    return figure


def _caution(figure: Figure, scaled: bool, theme: Style) -> None:
    words = "" if scaled else "distances, sizes and gaps of clusters have no meaning"
    text = "For looking at only" + (f": {words}" if words else "; two of many dimensions")
    figure.supxlabel(text, fontsize=8, color=theme.faint, x=0.99, ha="right")


def _frame(axes: Axes, points: NDArray[Any], names: tuple[str, str], scaled: bool) -> None:
    """Limits that hold all but a thousandth of the points at each end, if those lie far out."""
    low, high = np.percentile(points, [0.1, 99.9], axis=0)
    core = np.maximum(high - low, 1e-9)
    low = np.maximum(points.min(axis=0), low - 0.25 * core)
    high = np.minimum(points.max(axis=0), high + 0.25 * core)
    pad = 0.04 * np.maximum(high - low, 1e-9)
    low, high = low - pad, high + pad
    if not scaled:  # one scale for both, in a box of the figure's shape
        height = max(high[1] - low[1], (high[0] - low[0]) / _SHAPE)
        half, middle = 0.5 * np.array([_SHAPE * height, height]), 0.5 * (low + high)
        low, high = middle - half, middle + half
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    outside = int(((points < low) | (points > high)).any(axis=1).sum())
    if outside:
        axes.text(
            0.99, 0.01, f"{outside} points lie outside", transform=axes.transAxes, ha="right",
            va="bottom", fontsize=8,
        )  # fmt: skip
    if not scaled:
        axes.set_aspect("equal", adjustable="box")
        axes.tick_params(which="both", bottom=False, left=False, labelbottom=False,
                         labelleft=False)  # fmt: skip


def _dots(axes: Axes, points: NDArray[Any], **kwargs: Any) -> None:
    axes.scatter(points[:, 0], points[:, 1], **kwargs)


def _size(n: int) -> tuple[float, float]:
    """Area (pt²) and opacity of a point among n: together they cover much the same."""
    return float(np.clip(14_000.0 / n, 1.2, 26.0)), float(np.clip(14.0 / n**0.32, 0.25, 0.9))


def shown_part(name: str, dark: bool) -> ListedColormap:
    """A perceptually uniform map without the end that vanishes into the background."""
    span = np.linspace(0.16, 1.0, 256) if dark else np.linspace(0.0, 0.92, 256)
    return ListedColormap(colormaps[name](span))


def _density(figure: Figure, axes: Axes, points: NDArray[Any], theme: Style) -> None:
    dark = theme.background != "#ffffff"
    if len(points) <= 3_000:
        size, alpha = _size(len(points))
        _dots(axes, points, s=size, c=theme.second, alpha=alpha, linewidths=0)
        return
    count, edges = _binned(axes, points)
    image = np.where(count > 0, count, np.nan)
    drawn = axes.pcolormesh(
        *edges, image.T, norm=LogNorm(1, max(2.0, float(np.nanmax(image)))), rasterized=True,
        cmap=shown_part("cividis", True) if dark else shown_part("cividis", False).reversed(),
    )  # fmt: skip
    figure.colorbar(drawn, ax=axes, label="Spectra per cell", pad=0.01, aspect=32)


def _binned(
    axes: Axes, points: NDArray[Any]
) -> tuple[NDArray[np.float64], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    cells = int(np.clip(3.0 * math.sqrt(len(points)) ** 0.8, 60, _CELLS))
    x = np.linspace(*axes.get_xlim(), cells + 1)
    y = np.linspace(*axes.get_ylim(), cells + 1)
    return np.histogram2d(points[:, 0], points[:, 1], bins=[x, y])[0], (x, y)


def _numbers(
    figure: Figure, axes: Axes, points: NDArray[Any], colour: Colour, theme: Style, dark: bool
) -> None:
    values = np.asarray(colour.values, float)
    known = np.isfinite(values)
    if not known.any():
        raise UsageError(f"no point has a value of {colour.label!r}", code="no_values",
                         remedy="colour by another column")  # fmt: skip
    norm, extend = robust_norm(values[known])
    cmap = shown_part("viridis", dark)
    size, alpha = _size(len(points))
    if not known.all():
        _dots(axes, points[~known], s=0.6 * size, c=theme.band, linewidths=0, zorder=1,
                     rasterized=len(points) > 2_000)  # fmt: skip
    if known.sum() > CROWD:
        _medians(axes, points[known], values[known], norm, cmap)
        what = f"Median {colour.label}"
    else:
        order = np.random.default_rng(0).permutation(np.flatnonzero(known))
        _dots(axes, points[order], s=size, c=values[order], norm=norm, cmap=cmap,
                             alpha=alpha, linewidths=0, rasterized=len(points) > 2_000)  # fmt: skip
        what = colour.label
    label = what + (f" [{colour.unit}]" if colour.unit else "")
    missing = int((~known).sum())
    if missing:
        axes.text(0.01, 0.99, f"grey: {missing} without a value", transform=axes.transAxes,
                  fontsize=8, color=theme.faint, va="top")  # fmt: skip
    solid = ScalarMappable(norm, cmap)  # a bar of the points' own would be as pale as they are
    bar = figure.colorbar(solid, ax=axes, extend=extend, pad=0.01, aspect=32, label=label)
    bar.outline.set_visible(False)


def robust_norm(values: NDArray[np.float64]) -> tuple[Normalize, str]:
    """A range that holds 96 % of the values; logarithmic where they span a factor of 4."""
    low, high = np.percentile(values, [2, 98])
    if not high > low:
        low, high = float(values.min()), float(values.max())
    if not high > low:
        low, high = low - 0.5, high + 0.5
    below, above = values.min() < low, values.max() > high
    extend = ["neither", "max", "min", "both"][2 * int(below) + int(above)]
    if low > 0 and high > 4 * low:
        return LogNorm(low, high), extend
    return Normalize(low, high), extend


def _medians(
    axes: Axes, points: NDArray[Any], values: NDArray[Any], norm: Normalize, cmap: Any
) -> None:
    """Median value of each cell: a mean would show colours that no spectrum has."""
    _, (x, y) = _binned(axes, points)
    column = np.searchsorted(x, points[:, 0], "right") - 1
    row = np.searchsorted(y, points[:, 1], "right") - 1
    n = len(x) - 1
    inside = (column >= 0) & (column < n) & (row >= 0) & (row < n)
    cell, mine = (column * n + row)[inside], values[inside]
    order = np.lexsort((mine, cell))
    cell, mine = cell[order], mine[order]
    start = np.flatnonzero(np.r_[True, np.diff(cell) > 0])
    length = np.diff(np.r_[start, cell.size])
    image = np.full(n * n, np.nan)
    image[cell[start]] = mine[start + length // 2]
    axes.pcolormesh(x, y, image.reshape(n, n).T, norm=norm, cmap=cmap, rasterized=True)


def _classes(axes: Axes, points: NDArray[Any], colour: Colour, theme: Style) -> None:
    words = np.array(["" if v is None else str(v) for v in colour.values.tolist()], object)
    names, counts = np.unique(words[words != ""].astype(str), return_counts=True)
    if not names.size:
        raise UsageError(f"no point has a value of {colour.label!r}", code="no_values",
                         remedy="colour by another column")  # fmt: skip
    shown = [str(n) for n in names[np.lexsort((names, -counts))]]
    shown = shown[: len(PALETTE)]
    size, alpha = _size(len(points))
    crowd = len(points) > 4_000
    rest = np.flatnonzero(~np.isin(words, shown))
    if rest.size:
        _dots(axes, points[rest], s=0.6 * size, c=theme.band, linewidths=0, zorder=1,
                     rasterized=crowd)  # fmt: skip
    style_of = dict(zip(shown, PALETTE, strict=False))
    order = np.random.default_rng(0).permutation(np.flatnonzero(np.isin(words, shown)))
    for part in np.array_split(order, 1 if len(points) <= 200 else 24):  # no class hides another
        for name in shown:
            at = part[words[part] == name]
            ink, marker = style_of[name]
            _dots(axes, points[at], s=size, c=ink_on(ink, theme), alpha=alpha, linewidths=0,
                         marker="o" if crowd else marker, rasterized=crowd)  # fmt: skip
    number = dict(zip(names.tolist(), counts.tolist(), strict=True))
    entries = [(style_of[c][0], style_of[c][1], f"{c}  {number[c]}") for c in shown]
    unknown = int((words == "").sum())
    entries += [(theme.band, "o", f"other  {rest.size - unknown}")] * (rest.size > unknown)
    entries += [(theme.band, "o", f"unknown  {unknown}")] * (unknown > 0)
    handles = [
        Line2D([], [], color=ink_on(ink, theme), linestyle="", label=label, markersize=6,
               marker="o" if crowd else marker) for ink, marker, label in entries
    ]  # fmt: skip
    axes.legend(handles=handles, title=colour.label, loc="upper left", bbox_to_anchor=(1.005, 1.0),
                borderaxespad=0.0, alignment="left")  # fmt: skip


def ink_on(ink: str, theme: Style) -> str:
    """A palette colour bright enough for a dark background."""
    if theme.background == "#ffffff":
        return ink
    return {"#0072b2": "#3d9bdc", "#8c510a": "#c58b4e", "#7a5fb5": "#a99be0",
            "#4d4d4d": "#c8ced3"}.get(ink, ink)  # fmt: skip


def _ring(axes: Axes, points: NDArray[Any], theme: Style) -> None:
    size, _ = _size(len(points))
    _dots(axes, points, s=2.2 * max(size, 8.0), facecolors="none", edgecolors=theme.ink,
                 linewidths=0.5, zorder=4)  # fmt: skip
    axes.text(0.01, 0.01, f"○ {len(points)} placed later, without a new layout",
              transform=axes.transAxes, fontsize=8, color=theme.ink)  # fmt: skip


def plot_maps(
    maps: Sequence[Map], colours: Sequence[Colour | None], path: Path, dark: bool = False
) -> list[Path]:
    """Write a picture of each map: ``out.png``, then ``out-2.png`` …"""
    paths = []
    for i, (found, colour) in enumerate(zip(maps, colours, strict=True)):
        q = found.quality
        figure = map_figure(
            found.xy, colour, axes_names=found.axes, placed=found.placed,
            scaled=found.method == "pca", dark=dark,
            heading=f"{len(found.rows):,} spectra  {found.name}".replace(",", " "),
            note=f"trustworthiness {q.trustworthiness:.3f}   continuity {q.continuity:.3f}   "
            f"10 nearest kept {100 * q.kept_10:.0f} %",
        )  # fmt: skip
        name = path if i == 0 else path.with_name(f"{path.stem}-{i + 1}{path.suffix}")
        paths.append(save(figure, name))
    return paths
