"""How figures look: few colours, told apart by everyone, and room to read."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from ..domain.errors import UsageError

DPI = 160
"""1600 × 1200 pixels are 10 × 7.5 inches: 10-point type is 22 pixels high."""

DRAWING = threading.Lock()
"""Matplotlib's settings are of the whole process: servers draw one picture at a time."""


@dataclass(frozen=True, slots=True)
class Style:
    """Colours of one theme. The accents are Okabe & Ito's (2008), safe in colour blindness."""

    background: str
    ink: str
    faint: str
    grid: str
    second: str
    accent: str
    good: str
    band: str


LIGHT = Style(
    "#ffffff", "#1c2126", "#8a939c", "#e6e9ec", "#0072b2", "#d55e00", "#009e73", "#c3cbd3"
)
DARK = Style("#14181c", "#e8ecef", "#87919b", "#2a3138", "#56b4e9", "#e69f00", "#35c79b", "#3f4a55")
SEQUENTIAL = "cividis"
"""Colour map for anything continuous: perceptually uniform, and the same to the colour-blind."""


def style(dark: bool = False) -> Style:
    """The light or the dark theme."""
    return DARK if dark else LIGHT


_PLAIN = {"text.usetex": False, "svg.hashsalt": "spectrarium"}
"""Libraries switch TeX on for the whole process (GaiaXPy does); our figures never need it."""


@contextmanager
def themed(theme: Style) -> Iterator[None]:
    """Matplotlib's defaults while a figure is drawn; nothing global stays changed."""
    settings: dict[str, Any] = {
        **_PLAIN, "font.size": 10, "axes.titlesize": 10, "axes.labelsize": 10,
        "legend.fontsize": 8.5,
        "xtick.labelsize": 9, "ytick.labelsize": 9, "font.family": ["DejaVu Sans"],
        "mathtext.fontset": "dejavusans", "axes.linewidth": 0.8, "lines.linewidth": 0.9,
        "axes.edgecolor": theme.faint, "axes.labelcolor": theme.ink, "text.color": theme.ink,
        "axes.facecolor": theme.background, "figure.facecolor": theme.background,
        "savefig.facecolor": theme.background, "xtick.color": theme.faint,
        "ytick.color": theme.faint, "xtick.labelcolor": theme.ink, "ytick.labelcolor": theme.ink,
        "xtick.direction": "in", "ytick.direction": "in", "xtick.minor.visible": True,
        "ytick.minor.visible": True, "legend.frameon": True,
        "legend.framealpha": 0.85, "legend.edgecolor": "none",
        "legend.facecolor": theme.background, "axes.spines.top": False,
        "axes.spines.right": False, "path.simplify": True, "agg.path.chunksize": 20_000,
        "axes.formatter.use_mathtext": True, "axes.unicode_minus": True,
    }  # fmt: skip
    with mpl.rc_context(settings):
        yield


def new_figure(width_px: int = 1600, height_px: int = 1200) -> Figure:
    """An empty figure with the Agg canvas: pyplot's global state is never touched."""
    figure = Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path | str) -> Path:
    """Write a PNG, PDF or SVG (by suffix); returns the path.

    Raises
    ------
    UsageError (cannot_write) : no kind of picture has this suffix, or the path may not be written
    """
    path = Path(path)
    if path.suffix[1:].lower() not in figure.canvas.get_supported_filetypes():
        what = f"no kind of picture ends in {path.suffix!r}"
        raise UsageError(
            what, code="cannot_write", where=str(path), remedy="use .png, .pdf or .svg"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with mpl.rc_context(_PLAIN):  # ticks are made while drawing
            settle(figure)
            figure.savefig(path, dpi=DPI, facecolor=figure.get_facecolor())
    except OSError as error:
        what = f"the picture cannot be written: {error.strerror or error}"
        raise UsageError(what, code="cannot_write", where=str(path),
                         remedy="choose another path") from error  # fmt: skip
    return path


def png(figure: Figure, dpi: int = DPI) -> bytes:
    """The picture's bytes."""
    sink = io.BytesIO()
    with mpl.rc_context(_PLAIN):
        settle(figure)
        figure.savefig(sink, format="png", dpi=dpi, facecolor=figure.get_facecolor())
    return sink.getvalue()


def title(axes: Axes, left: str, right: str = "", theme: Style = LIGHT) -> None:
    """A bold title on the left, a lighter note on the right; `save` sees that they never meet."""
    left = "".join(c if c.isprintable() else " " for c in left)  # names come from files
    axes.set_title(left, loc="left", fontweight="bold", color=theme.ink, gid="title")
    if right:
        axes.set_title(right, loc="right", color=theme.faint, fontsize="small", gid="note")


def settle(figure: Figure) -> None:
    """Measure the titles as they will be drawn and shorten those that meet their note."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    for axes in figure.axes:
        texts = {t.get_gid(): t for t in axes.findobj(Text)}
        left, note = texts.get("title"), texts.get("note")
        if not isinstance(left, Text):
            continue
        end = axes.get_window_extent(renderer).x1
        if isinstance(note, Text):
            end = note.get_window_extent(renderer).x0 - 12
        text = left.get_text()
        for most in range(len(text) - 1, 4, -1):
            if left.get_window_extent(renderer).x1 <= end:
                break
            left.set_text(shorten(text, most))


def shorten(text: str, most: int) -> str:
    """Text of `most` characters. What follows a double space gives way first; of an id alone the
    middle does, since ids differ at both ends."""
    if len(text) <= most:
        return text
    head, _, rest = text.rpartition("  ")
    if head.strip() and rest and len(head) + 4 <= most:
        return text[: most - 1].rstrip() + "…"
    if head.strip() and rest:
        return shorten(head.rstrip(), most)
    keep = max(most - 1, 2)
    return f"{text[: (keep + 1) // 2]}…{text[len(text) - keep // 2 :]}"
