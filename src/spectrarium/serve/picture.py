"""A map as a picture, for browsers without WebGL2."""

from __future__ import annotations

import numpy as np

from ..plot.colour_maps import colour_map
from ..plot.map import Colour
from ..plot.scatter import Axis, scatter_png
from ..run.columns import Columns
from ..store.archive import Rows

_BACKWARDS = frozenset({"teff", "logg", "s_ra", "gal_l"})
"""Axes that astronomers draw from right to left, or downwards."""


def picture(
    columns: Columns, rows: Rows, x: str, y: str, colour: str | None, *, cmap: str, dark: bool,
    width: int, height: int, heading: str,
) -> bytes:  # fmt: skip
    """PNG of two columns against each other. Raises UsageError for unknown columns and maps."""
    colour_map(cmap)
    return scatter_png(
        _axis(columns, x, rows), _axis(columns, y, rows), _colour(columns, colour, rows),
        equal=_same_scale(columns, x, y), cmap=cmap, dark=dark, width=width, height=height,
        heading=heading,
    )  # fmt: skip


def _axis(columns: Columns, name: str, rows: Rows) -> Axis:
    about = columns.column(name)
    label = f"{name} [{about.unit}]" if about.unit else name
    backwards = name.rsplit(".", 1)[-1].lower() in _BACKWARDS
    return Axis(columns.numbers(name)[rows], label, backwards)


def _same_scale(columns: Columns, x: str, y: str) -> bool:
    """Whether one step means the same along both axes: those of a map, and lengths."""
    if x.startswith("map:") and y.startswith("map:"):
        return x.rsplit(":", 1)[0] == y.rsplit(":", 1)[0]
    unit = columns.column(x).unit
    return unit == "kpc" and unit == columns.column(y).unit


def _colour(columns: Columns, name: str | None, rows: Rows) -> Colour | None:
    if name is None:
        return None
    about = columns.column(name)
    if about.numeric:
        return Colour(name, columns.numbers(name)[rows], about.unit)
    words = columns.codes(name)
    values = np.array([*words.values.to_pylist(), None], object)
    return Colour(name, values[words.codes[rows]])
