"""Many shapes at once: a column of lists, each a code (1 point, 2 circle, 3 polygon) and numbers.

Questions about pairs are settled by circles around the shapes where these say enough, and corner by
corner for what is left.
"""

from __future__ import annotations

import math
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .shape_relations import shape_contains, shapes_meet
from .shapes import TOLERANCE, Array, Shape, Truth, inside_vectors, to_edges, vectors

KINDS = {1.0: "point", 2.0: "circle", 3.0: "polygon"}
CODES = {v: k for k, v in KINDS.items()}
POINT, CIRCLE, POLYGON = 1, 2, 3
_MARGIN = 1e-12


@lru_cache(maxsize=4096)
def shape_of_numbers(numbers: tuple[float, ...]) -> Shape | None:
    """The shape of a code and its numbers, None where they make none."""
    kind = KINDS.get(numbers[0]) if numbers else None
    if kind is None:
        return None
    try:
        return Shape(kind, numbers[1:])  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return None


class ShapeColumn:
    """A column of shapes. ok : (n,) rows that are one · code : (n,) its kind · flat : all numbers

    start, size : (n,) of a row's numbers in `flat`, the code left out
    """

    def __init__(self, column: pa.Array) -> None:
        count = len(column)
        self.flat = np.asarray(column.values.cast(pa.float64()).fill_null(math.nan).to_numpy(
            zero_copy_only=False), np.float64)  # fmt: skip
        offsets = np.asarray(column.offsets.to_numpy(zero_copy_only=False), np.int64)
        there = np.asarray(column.is_valid().to_numpy(zero_copy_only=False), bool)
        long = np.where(there, np.diff(offsets), 0)
        first = offsets[:-1]
        safe = np.where(long > 0, first, 0)
        code = self.flat[safe] if len(self.flat) else np.zeros(count)
        self.code = np.where(long > 0, np.nan_to_num(code), 0.0).astype(np.int64)
        self.start, self.size = first + 1, np.maximum(long - 1, 0)
        fits = ((self.code == POINT) & (self.size == 2)) | ((self.code == CIRCLE)
                & (self.size == 3)) | ((self.code == POLYGON) & (self.size >= 6)
                                       & (self.size % 2 == 0))  # fmt: skip
        self.ok: Truth = fits & self._within_range(fits)

    def __len__(self) -> int:
        return len(self.code)

    def _within_range(self, fits: Truth) -> Truth:
        out = np.zeros(len(self.code), bool)
        rows = np.flatnonzero(fits)
        if not len(rows):
            return out
        place, owner = self._places(rows)
        latitude = self.flat[place + 1]
        fine = np.isfinite(self.flat[place]) & (np.abs(latitude) <= 90.0)
        out[rows] = np.logical_and.reduceat(fine, np.searchsorted(owner, np.arange(len(rows))))
        circles = rows[self.code[rows] == CIRCLE]
        radius = self.flat[self.start[circles] + 2]
        out[circles] &= (radius >= 0.0) & (radius <= 180.0)
        return out

    def _places(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(where each coordinate pair of these rows is in `flat`, index of its row in `rows`)."""
        pairs = np.where(self.code[rows] == POLYGON, self.size[rows] // 2, 1)
        owner = np.repeat(np.arange(len(rows)), pairs)
        within = np.arange(len(owner)) - np.repeat(np.cumsum(pairs) - pairs, pairs)
        return self.start[rows][owner] + 2 * within, owner

    def shape(self, row: int) -> Shape | None:
        """The shape of one row."""
        if not self.ok[row]:
            return None
        numbers = self.flat[self.start[row] : self.start[row] + self.size[row]]
        return shape_of_numbers((float(self.code[row]), *numbers.tolist()))

    @cached_property
    def common(self) -> Shape | None:
        """The shape that all rows are, None where they differ."""
        if not len(self) or not self.ok.all() or (self.size != self.size[0]).any() or \
                (self.code != self.code[0]).any():  # fmt: skip
            return None
        size = self.size[0]
        table = self.flat[self.start[:, None] + np.arange(size)]
        return self.shape(0) if (table == table[0]).all() else None

    @cached_property
    def corners(self) -> tuple[Array, NDArray[np.int64]]:
        """(unit vectors of all corners and centres, row of each), of rows that are shapes."""
        rows = np.flatnonzero(self.ok)
        place, owner = self._places(rows)
        return vectors(self.flat[place], self.flat[place + 1]), rows[owner]

    @cached_property
    def around(self) -> tuple[Array, Array]:
        """(centres (n, 3), radii (n,) in rad) of circles that hold the shapes."""
        centre = np.tile(np.array([1.0, 0.0, 0.0]), (len(self), 1))
        radius = np.full(len(self), math.pi)
        rows = np.flatnonzero(self.ok)
        if not len(rows):
            return centre, radius
        points, owner = self.corners
        starts = np.searchsorted(owner, rows)
        mean = np.add.reduceat(points, starts, axis=0)
        size = np.linalg.norm(mean, axis=1)
        mean = np.where(size[:, None] > 1e-9, mean / np.maximum(size, 1e-9)[:, None],
                        points[starts])  # fmt: skip
        centre[rows] = mean
        far = np.maximum.reduceat(angles(points, centre[owner]), starts)
        circle = self.code[rows] == CIRCLE
        far[circle] = np.radians(self.flat[self.start[rows[circle]] + 2])
        # beyond a hemisphere a circle around the corners need not hold what lies between them
        radius[rows] = np.where(circle | (far < 1.5), far + _MARGIN, math.pi)
        return centre, radius


def angles(a: Array, b: Array) -> Array:
    """(n,) rad between unit vectors, exact at every distance."""
    across = np.linalg.norm(np.cross(a, b), axis=-1)
    return np.asarray(np.arctan2(across, np.einsum("ij,ij->i", a, b)))


def meeting_pairs(a: ShapeColumn, b: ShapeColumn) -> tuple[Truth, Truth]:
    """((n,) whether shapes have a point in common, (n,) whether there are two)."""
    ok = a.ok & b.ok
    found = np.zeros(len(a), bool)
    (centre_a, radius_a), (centre_b, radius_b) = a.around, b.around
    gap = angles(centre_a, centre_b)
    may = ok & (gap <= radius_a + radius_b + TOLERANCE)
    round_ = may & (a.code != POLYGON) & (b.code != POLYGON)
    found[round_] = True
    open_ = may & ~round_
    for one, other in ((a, b), (b, a)):
        whole = other.common
        if whole is not None and open_.any():
            centre, radius = one.around
            if whole.kind == "polygon":  # what is farther from its border lies in it or beside it
                rows = np.flatnonzero(open_)
                far = rows[to_edges(centre[rows], whole.corners) > radius[rows] + TOLERANCE]
                found[far] = inside_vectors(centre[far], whole)
                open_[far] = False
            points, owner = one.corners
            asked = open_[owner]
            hit = owner[asked][inside_vectors(points[asked], whole)]
            found[hit] = True
            open_[hit] = False
    _settle(open_, found, a, b, shapes_meet)
    return found, ok


def containing_pairs(inner: ShapeColumn, outer: ShapeColumn) -> tuple[Truth, Truth]:
    """((n,) whether the first lies in the second, (n,) whether there are two)."""
    ok = inner.ok & outer.ok
    found = np.zeros(len(inner), bool)
    (centre_in, radius_in), (centre_out, radius_out) = inner.around, outer.around
    gap = angles(centre_in, centre_out)
    open_ = ok & (gap <= radius_in + radius_out + TOLERANCE)
    round_ = open_ & (outer.code == CIRCLE) & (inner.code != POLYGON)
    exact = np.where(inner.code == POINT, 0.0, radius_in)
    found[round_] = gap[round_] + exact[round_] <= radius_out[round_] + TOLERANCE
    open_ &= ~round_
    whole = outer.common
    if whole is not None and open_.any():
        points, owner = inner.corners
        asked = open_[owner]
        open_[owner[asked][~inside_vectors(points[asked], whole)]] = False
        sure = open_ & (inner.code == POINT)
        if whole.kind == "circle" and whole.numbers[2] <= 90.0:
            sure = open_ & (inner.code != CIRCLE)
        elif whole.kind == "polygon" and open_.any():
            rows = np.flatnonzero(open_)
            clear = to_edges(centre_in[rows], whole.corners) >= radius_in[rows]
            held = inside_vectors(centre_in[rows], whole)
            sure[rows] |= clear & held
        found[sure] = True
        open_ &= ~sure
    _settle(open_, found, inner, outer, shape_contains)
    return found, ok


def _settle(open_: Truth, found: Truth, a: ShapeColumn, b: ShapeColumn, ask: Any) -> None:
    """Answer what is left, pair by pair."""
    for row in np.flatnonzero(open_):
        one, other = a.shape(int(row)), b.shape(int(row))
        found[row] = one is not None and other is not None and ask(one, other)
