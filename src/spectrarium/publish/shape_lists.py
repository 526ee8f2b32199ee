"""Columns of shapes: lists of numbers, the first a code (1 point, 2 circle, 3 polygon).

What a column function cannot answer — no shape, coordinates out of range — is null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from .shape_relations import box_corners, shape_contains, shape_of_words, shapes_meet
from .shapes import Shape, area, centroid, inside, lonlat, vectors

KINDS = {1.0: "point", 2.0: "circle", 3.0: "polygon"}
CODES = {v: k for k, v in KINDS.items()}
_NUMBERS = pa.list_(pa.float64())


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


@lru_cache(maxsize=65536)
def numbers_of_words(text: str) -> tuple[float, ...] | None:
    """Code and numbers of a shape in the words of STC-S or DALI, None where they make none."""
    try:
        shape = shape_of_words(text)
    except ValueError:
        return None
    return (CODES[shape.kind], *shape.numbers)


def shapes_of_words(texts: pa.Array) -> pa.Array:
    """(n,) shapes of texts."""
    return pa.array([None if t is None else numbers_of_words(t) for t in texts.to_pylist()],
                    _NUMBERS)  # fmt: skip


def _rows(column: pa.Array) -> list[tuple[float, ...] | None]:
    return [None if v is None or None in v else tuple(v) for v in column.to_pylist()]


def _one(column: pa.Array) -> tuple[float, ...] | None:
    """The value that a column has in every row, None where it has several or is null."""
    if not len(column) or column.null_count:
        return None
    offsets = np.asarray(column.offsets)
    lengths = np.diff(offsets)
    if not len(lengths) or (lengths != lengths[0]).any() or not lengths[0]:
        return None
    values = np.asarray(column.values.to_numpy(zero_copy_only=False), np.float64)
    table = values[offsets[0] : offsets[-1]].reshape(len(column), -1)
    return tuple(table[0].tolist()) if (table == table[0]).all() else None


def contained(inner: pa.Array, outer: pa.Array) -> pa.Array:
    """(n,) whether all of one shape lies in another."""
    whole = _one(outer)
    if whole is not None and len(inner) > 1:
        points = _points(inner)
        shape = shape_of_numbers(whole)
        if points is not None and shape is not None:
            lon, lat = points
            ok = np.isfinite(lon) & (np.abs(lat) <= 90.0)
            found = np.zeros(len(lon), bool)
            found[ok] = inside(lon[ok], lat[ok], shape)
            return pa.array(found, mask=~ok)
    return _pairs(inner, outer, shape_contains)


def _points(column: pa.Array) -> tuple[Any, Any] | None:
    """Coordinates where every row is a point; NaN for null."""
    flat = column.flatten()
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    if not ((lengths == 3) | (lengths == 0)).all():
        return None
    table = np.asarray(flat.cast(pa.float64()).to_numpy(zero_copy_only=False)).reshape(-1, 3)
    if not (table[:, 0] == 1.0).all():
        return None
    out = np.full((2, len(column)), np.nan)
    out[:, lengths == 3] = table[:, 1:].T
    return out[0], out[1]


def meeting(a: pa.Array, b: pa.Array) -> pa.Array:
    """(n,) whether two shapes have a point in common."""
    return _pairs(a, b, shapes_meet)


def _pairs(a: pa.Array, b: pa.Array, ask: Callable[[Shape, Shape], bool]) -> pa.Array:
    out: list[bool | None] = []
    for one, other in zip(_rows(a), _rows(b), strict=True):
        first = None if one is None else shape_of_numbers(one)
        second = None if other is None else shape_of_numbers(other)
        out.append(None if first is None or second is None else ask(first, second))
    return pa.array(out, pa.bool_())


def _each(column: pa.Array) -> Iterator[Shape | None]:
    for row in _rows(column):
        yield None if row is None else shape_of_numbers(row)


def areas(column: pa.Array) -> pa.Array:
    """(n,) square degrees."""
    return pa.array([None if s is None else area(s) for s in _each(column)], pa.float64())


def centroids(column: pa.Array) -> pa.Array:
    """(n,) points, longitude and latitude in deg."""
    return pa.array([None if s is None else centroid(s) for s in _each(column)], _NUMBERS)


def boxes(lon: pa.Array, lat: pa.Array, width: pa.Array, height: pa.Array) -> pa.Array:
    """(n,) ADQL's BOX as polygons, code and corners."""
    out: list[tuple[float, ...] | None] = []
    for numbers in zip(*(c.to_pylist() for c in (lon, lat, width, height)), strict=True):
        fits = None not in numbers and 0.0 < numbers[2] < 180.0 and 0.0 < numbers[3] < 180.0
        out.append((CODES["polygon"], *box_corners(*numbers))
                   if fits and abs(numbers[1]) <= 90.0 else None)  # fmt: skip
    return pa.array(out, _NUMBERS)


def cell_centres(order: pa.Array, index: pa.Array) -> pa.Array:
    """(n,) centres of nested HEALPix cells, longitude and latitude in deg."""
    import cdshealpix

    depth = np.asarray(order.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)
    cell = np.asarray(index.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)
    ok = (depth >= 0) & (depth <= 29) & (cell >= 0)
    ok[ok] = cell[ok] < 12 * 4 ** depth[ok]
    out: list[Any] = [None] * len(depth)
    for one in np.unique(depth[ok]):
        rows = np.flatnonzero(ok & (depth == one))
        lon, lat = cdshealpix.healpix_to_lonlat(cell[rows].astype(np.uint64), int(one))
        for row, a, b in zip(rows, lon.deg, lat.deg, strict=True):
            out[row] = (float(a), float(b))
    return pa.array(out, _NUMBERS)


def rotated(lon: pa.Array, lat: pa.Array, matrix: Any) -> pa.Array:
    """(n,) points of one frame in another. matrix : (3, 3)"""
    a, d = (np.asarray(c.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False))
            for c in (lon, lat))  # fmt: skip
    pairs = np.stack(lonlat(vectors(a, d) @ np.asarray(matrix).T), axis=-1)
    bad = ~np.isfinite(pairs).all(axis=1) | (np.abs(d) > 90.0)
    flat = pa.array(pairs.ravel())
    offsets = pa.array(np.arange(0, 2 * len(a) + 1, 2, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, flat, mask=pa.array(bad))
