"""Any two columns against each other as a PNG: for browsers without WebGL2, and for papers."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import CenteredNorm, Colormap, ListedColormap, LogNorm, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ..domain.errors import UsageError
from .colour_maps import DIVERGING, colour_map
from .map import PALETTE, Colour, ink_on, robust_norm
from .style import DPI, DRAWING, Style, settle, style, themed, title

_DOTS_MOST = 3_000
_LEVELS = 1024
"""Shades that medians tell apart: four times those of a colour map."""
_SHARE = (0.80, 0.86)
"""About what of the picture's width and height the axes take."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """One axis: (n,) numbers, its label, and whether it runs backwards (magnitudes, Teff, RA)."""

    values: Floats
    label: str
    backwards: bool = False


def scatter_png(
    x: Axis, y: Axis, colour: Colour | None = None, *, equal: bool = False, cmap: str = "viridis",
    dark: bool = False, width: int = 1200, height: int = 900, heading: str = "",
) -> bytes:  # fmt: skip
    """The picture, PNG. Crowds show their density; each cell the median colour, or the mixture.

    Parameters
    ----------
    colour : None = how crowded it is · equal : both axes have one scale · width, height : pixels
    Raises
    ------
    UsageError (empty, no_colour_map) : no point has both coordinates; an unknown colour map
    """
    shades = _readable(cmap, dark)
    good = np.isfinite(x.values) & np.isfinite(y.values)
    if not good.any():
        raise UsageError(f"no spectrum has both {x.label} and {y.label}", code="empty",
                         remedy="choose other axes")  # fmt: skip
    points = np.column_stack([x.values[good], y.values[good]])
    values = None if colour is None else Colour(colour.label, colour.values[good], colour.unit)
    if values is not None and not _known(values).any():
        values = None
    theme = style(dark)
    with DRAWING, themed(theme):
        dpi = float(np.clip(width / 9.0, 72.0, DPI))  # small pictures have smaller letters
        figure = Figure((width / dpi, height / dpi), dpi=dpi, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        _frame(axes, points, equal)
        cells = _Cells(axes, points, width, height)
        if values is None:
            _density(figure, axes, cells, cmap, theme)
        elif values.classes:
            _classes(axes, cells, points, values, theme)
        else:
            _numbers(figure, axes, cells, points, values, (shades, cmap), theme)
        _finish(axes, (x, y), len(points), len(good), heading, theme)
        if colour is not None and values is None:
            _say(axes, f"none of them has a value of {colour.label}", theme)
        if cells.outside:
            axes.text(0.99, 0.01, f"{cells.outside:,} points lie outside", ha="right", va="bottom",
                      transform=axes.transAxes, fontsize=8, color=theme.faint)  # fmt: skip
        sink = io.BytesIO()
        settle(figure)
        figure.set_layout_engine("none")  # it is laid out: once is enough
        figure.savefig(sink, format="png", dpi=dpi, facecolor=figure.get_facecolor())
    return sink.getvalue()


def _frame(axes: Axes, points: Floats, equal: bool) -> None:
    """Limits that hold all but a thousandth of the points at each end, if those lie far out."""
    low, high = np.percentile(points, [0.1, 99.9], axis=0)
    core = np.maximum(high - low, 1e-9 * np.maximum(1.0, np.abs(high)))
    low = np.maximum(points.min(axis=0), low - 1.5 * core)
    high = np.minimum(points.max(axis=0), high + 1.5 * core)
    pad = 0.03 * np.maximum(high - low, core)
    axes.set_xlim(low[0] - pad[0], high[0] + pad[0])
    axes.set_ylim(low[1] - pad[1], high[1] + pad[1])
    if equal:
        axes.set_aspect("equal", adjustable="box")


class _Cells:
    """Points in square cells of the picture: (n,) cell of each, −1 outside the axes."""

    def __init__(self, axes: Axes, points: Floats, width: int, height: int) -> None:
        self.n = len(points)
        pixels = 3.0 if self.n <= 40_000 else 2.0
        x, y = axes.get_xlim(), axes.get_ylim()
        nx, ny = (max(20, int(share * size / pixels))
                  for share, size in zip(_SHARE, (width, height), strict=True))  # fmt: skip
        if axes.get_aspect() == 1.0:
            side = max((x[1] - x[0]) / nx, (y[1] - y[0]) / ny)
            nx, ny = (max(20, int((b - a) / side)) for a, b in (x, y))
        self.shape = (ny, nx)
        self.extent = (*x, *y)
        column = np.floor((points[:, 0] - x[0]) / (x[1] - x[0]) * nx).astype(np.int64)
        row = np.floor((points[:, 1] - y[0]) / (y[1] - y[0]) * ny).astype(np.int64)
        inside = (column >= 0) & (column < nx) & (row >= 0) & (row < ny)
        self.at = np.where(inside, row * nx + column, -1)
        self.outside = int((~inside).sum())

    def count(self, chosen: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """(cells,) how many points lie in each."""
        at = self.at if chosen is None else self.at[chosen]
        return np.bincount(at[at >= 0], minlength=self.shape[0] * self.shape[1])

    def opacity(self, count: NDArray[np.int64]) -> Floats:
        """(cells,) 0 where nothing is, more where it is crowded."""
        some = count[count > 0]
        full = float(np.percentile(some, 98)) if some.size else 1.0
        strength = np.log1p(count) / np.log1p(max(full, 2.0))
        return np.where(count > 0, np.clip(0.4 + 0.6 * strength, 0.0, 1.0), 0.0)

    def draw(self, axes: Axes, rgb: NDArray[Any], alpha: Floats) -> None:
        """Put (cells, 3) colours on the axes."""
        image = np.concatenate([rgb, alpha[:, None]], axis=1).reshape(*self.shape, 4)
        axes.imshow(image, extent=self.extent, origin="lower", interpolation="nearest",
                    aspect=axes.get_aspect(), zorder=1)  # fmt: skip


def _known(colour: Colour) -> NDArray[np.bool_]:
    if colour.classes:
        return np.array([v is not None and v != "" for v in colour.values.tolist()], bool)
    return np.asarray(np.isfinite(np.asarray(colour.values, float)))


def _dots(axes: Axes, cells: _Cells, points: Floats, **more: Any) -> None:
    size = float(np.clip(9_000.0 / cells.n, 4.0, 24.0))
    axes.scatter(points[:, 0], points[:, 1], s=size, linewidths=0, **more)


def _readable(cmap: str, dark: bool) -> Colormap:
    """A map without the end that vanishes into the background."""
    whole = colour_map(cmap)
    if cmap.removesuffix("_r") in DIVERGING:
        return whole
    low, high = (0.16, 1.0) if dark else (0.0, 0.92)
    if cmap.endswith("_r"):
        low, high = 1.0 - high, 1.0 - low
    return ListedColormap(whole(np.linspace(low, high, 256)), cmap)


def _density(figure: Figure, axes: Axes, cells: _Cells, cmap: str, theme: Style) -> None:
    count = cells.count()
    norm = LogNorm(1, max(2.0, float(count.max())))
    dark = theme.background != "#ffffff"
    shades = _readable("cividis" if cmap.removesuffix("_r") in DIVERGING else cmap, dark)
    shades = shades if dark else shades.reversed()
    rgb = shades(norm(np.maximum(count, 1)))[:, :3]
    cells.draw(axes, rgb, np.where(count > 0, 1.0, 0.0))
    _bar(figure, axes, norm, shades, "Spectra per cell")


def _numbers(
    figure: Figure, axes: Axes, cells: _Cells, points: Floats, colour: Colour,
    shades: tuple[Colormap, str], theme: Style,
) -> None:  # fmt: skip
    values, known = np.asarray(colour.values, float), _known(colour)
    norm, extend = robust_norm(values[known])
    if shades[1].removesuffix("_r") in DIVERGING:
        half = float(np.percentile(np.abs(values[known]), 98)) or 1.0
        norm, extend = CenteredNorm(0.0, half), "both"
    if cells.n <= _DOTS_MOST:
        _dots(axes, cells, points[~known], c=theme.band, zorder=1)
        order = np.random.default_rng(0).permutation(np.flatnonzero(known))
        _dots(axes, cells, points[order], c=values[order], norm=norm, cmap=shades[0], alpha=0.85)
    else:
        unknown = cells.count(~known)
        grey = np.tile(to_rgb(theme.band), (unknown.size, 1))
        cells.draw(axes, grey, np.where(unknown > 0, 0.8, 0.0))
        median = _medians(cells, np.asarray(norm(values), float), known)
        rgb = shades[0](np.nan_to_num(median))[:, :3]
        count = np.where(np.isfinite(median), cells.count(known), 0)
        cells.draw(axes, rgb, cells.opacity(count))
    label = ("" if cells.n <= _DOTS_MOST else "Median ") + colour.label
    _bar(
        figure, axes, norm, shades[0], label + (f" [{colour.unit}]" if colour.unit else ""), extend
    )
    if not known.all():
        _say(axes, f"grey: {(~known).sum():,} without a value", theme)


def _medians(cells: _Cells, shade: Floats, known: NDArray[np.bool_]) -> Floats:
    """(cells,) median of shades 0 … 1: a mean would show colours that no spectrum has."""
    use = known & (cells.at >= 0) & np.isfinite(shade)
    # cell and shade in one integer: one quick sort instead of two slow ones
    level = np.clip(shade[use] * _LEVELS, 0, _LEVELS - 1).astype(np.int64)
    key = np.sort(cells.at[use] * _LEVELS + level)
    at = key // _LEVELS
    out = np.full(cells.shape[0] * cells.shape[1], np.nan)
    if at.size:
        start = np.flatnonzero(np.r_[True, np.diff(at) > 0])
        middle = key[start + np.diff(np.r_[start, at.size]) // 2]
        out[at[start]] = (middle % _LEVELS + 0.5) / _LEVELS
    return out


def _classes(axes: Axes, cells: _Cells, points: Floats, colour: Colour, theme: Style) -> None:
    known = _known(colour)
    words = np.where(known, colour.values, "").astype(str)
    names, code, counts = np.unique(words, return_inverse=True, return_counts=True)
    rank = [int(i) for i in np.lexsort((names, -counts)) if names[i] != ""][: len(PALETTE)]
    inks = np.array([to_rgb(theme.band)] * len(names))
    for place, i in enumerate(rank):
        inks[i] = to_rgb(ink_on(PALETTE[place][0], theme))
    listed = np.isin(code, rank)
    if cells.n <= _DOTS_MOST:
        _dots(axes, cells, points[~listed], c=theme.band, zorder=1)
        order = np.random.default_rng(0).permutation(np.flatnonzero(listed))
        _dots(axes, cells, points[order], c=inks[code[order]], alpha=0.85)
    else:
        total = cells.count()
        rgb = np.zeros((total.size, 3))
        for i in range(len(names)):  # a crowd shows the mixture of its colours
            if i in rank:
                rgb += cells.count(code == i)[:, None] * inks[i]
        rgb += cells.count(~listed)[:, None] * np.array(to_rgb(theme.band))
        cells.draw(axes, rgb / np.maximum(total, 1)[:, None], cells.opacity(total))
    entries = [(inks[i], f"{_plain(names[i])}  {counts[i]:,}") for i in rank]
    other, unknown = int((~listed & known).sum()), int((~known).sum())
    entries += [(to_rgb(theme.band), f"{what}  {n:,}") for what, n in
                (("other", other), ("unknown", unknown)) if n]  # fmt: skip
    handles = [Line2D([], [], color=ink, linestyle="", marker="o", markersize=6, label=label)
               for ink, label in entries]  # fmt: skip
    axes.legend(handles=handles, title=_plain(colour.label), loc="upper left", alignment="left",
                bbox_to_anchor=(1.005, 1.0), borderaxespad=0.0)  # fmt: skip


def _plain(text: str, most: int = 28) -> str:
    """Text of files that no typesetting reads anything into."""
    text = "".join(c if c.isprintable() else " " for c in str(text)).replace("$", r"\$")
    return text if len(text) <= most else text[: most - 1] + "…"


def _bar(
    figure: Figure, axes: Axes, norm: Normalize, shades: Colormap, label: str,
    extend: str = "neither",
) -> None:  # fmt: skip
    bar = figure.colorbar(ScalarMappable(norm, shades), ax=axes, extend=extend, pad=0.01, aspect=32)
    bar.set_label(_plain(label, 60))
    bar.outline.set_visible(False)


def _say(axes: Axes, text: str, theme: Style) -> None:
    axes.text(0.01, 0.99, _plain(text, 90), transform=axes.transAxes, fontsize=8, va="top",
              color=theme.faint)  # fmt: skip


def _finish(
    axes: Axes, both: tuple[Axis, Axis], n: int, of: int, heading: str, theme: Style
) -> None:
    x, y = both
    axes.set_xlabel(_plain(x.label, 80))
    axes.set_ylabel(_plain(y.label, 80))
    if x.backwards:
        axes.invert_xaxis()
    if y.backwards:
        axes.invert_yaxis()
    number = f"{n:,} spectra" if n == of else f"{n:,} of {of:,} spectra"
    title(axes, _plain(heading, 60) or number, number if heading else "", theme)
