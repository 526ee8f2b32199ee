"""Functions of columns of shapes, as a database calls them: Arrow arrays in, Arrow arrays out.

A shape is a list of numbers, the first a code for its kind (1 point, 2 circle, 3 polygon). What
cannot be answered — no shape, coordinates out of range — is null.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .shape_columns import CODES, ShapeColumn, containing_pairs, meeting_pairs
from .shape_relations import box_corners, shape_of_words
from .shapes import area, centroid, lonlat, vectors

_NUMBERS = pa.list_(pa.float64())
_PLAIN = r"^\s*(CIRCLE|POLYGON|POSITION|POINT)(\s+ICRS)?(\s+[-+]?\d+(\.\d*)?(E[-+]?\d+)?)+\s*$"
_LEAD = r"^\s*[A-Z]+(\s+ICRS)?\s+"


@lru_cache(maxsize=65536)
def numbers_of_words(text: str) -> tuple[float, ...] | None:
    """Code and numbers of a shape in the words of STC-S or DALI, None where they make none."""
    try:
        shape = shape_of_words(text)
    except ValueError:
        return None
    return (CODES[shape.kind], *shape.numbers)


def shapes_of_words(texts: pa.Array) -> pa.Array:
    """(n,) shapes of texts. Plain ones in ICRS are read together, others one by one."""
    upper = pc.utf8_upper(texts)
    plain = pc.match_substring_regex(upper, _PLAIN).fill_null(False)
    if not pc.all(plain).as_py():
        if not pc.any(plain).as_py():
            return _one_by_one(texts)
        rows = np.asarray(plain.to_numpy(zero_copy_only=False), bool)
        parts = pa.concat_arrays([shapes_of_words(texts.filter(plain)),
                                  _one_by_one(texts.filter(pc.invert(plain)))])  # fmt: skip
        order = np.empty(len(rows), np.int64)
        order[np.concatenate([np.flatnonzero(rows), np.flatnonzero(~rows)])] = np.arange(len(rows))
        return parts.take(pa.array(order))
    code = pc.case_when(
        pc.make_struct(pc.starts_with(pc.utf8_ltrim_whitespace(upper), "CIRCLE"),
                       pc.starts_with(pc.utf8_ltrim_whitespace(upper), "POLYGON")),
        pa.scalar("2 "), pa.scalar("3 "), pa.scalar("1 "),
    )  # fmt: skip
    words = pc.utf8_trim_whitespace(
        pc.binary_join_element_wise(code, pc.replace_substring_regex(upper, _LEAD, ""), "")
    )
    lists = pc.utf8_split_whitespace(words)
    return pa.ListArray.from_arrays(lists.offsets, lists.values.cast(pa.float64()))


def _one_by_one(texts: pa.Array) -> pa.Array:
    return pa.array([None if t is None else numbers_of_words(t) for t in texts.to_pylist()],
                    _NUMBERS)  # fmt: skip


def contained(inner: pa.Array, outer: pa.Array) -> pa.Array:
    """(n,) whether all of one shape lies in another."""
    found, ok = containing_pairs(ShapeColumn(inner), ShapeColumn(outer))
    return pa.array(found, mask=~ok)


def meeting(a: pa.Array, b: pa.Array) -> pa.Array:
    """(n,) whether two shapes have a point in common."""
    found, ok = meeting_pairs(ShapeColumn(a), ShapeColumn(b))
    return pa.array(found, mask=~ok)


def areas(column: pa.Array) -> pa.Array:
    """(n,) square degrees."""
    shapes = ShapeColumn(column)
    each = (shapes.shape(i) for i in range(len(shapes)))
    return pa.array([None if s is None else area(s) for s in each], pa.float64())


def centroids(column: pa.Array) -> pa.Array:
    """(n,) points, longitude and latitude in deg."""
    shapes = ShapeColumn(column)
    each = (shapes.shape(i) for i in range(len(shapes)))
    return pa.array([None if s is None else centroid(s) for s in each], _NUMBERS)


def boxes(lon: pa.Array, lat: pa.Array, width: pa.Array, height: pa.Array) -> pa.Array:
    """(n,) ADQL's BOX as polygons: their corners."""
    out: list[tuple[float, ...] | None] = []
    for numbers in zip(*(c.to_pylist() for c in (lon, lat, width, height)), strict=True):
        fits = None not in numbers and 0.0 < numbers[2] < 180.0 and 0.0 < numbers[3] < 180.0
        out.append(box_corners(*numbers) if fits and abs(numbers[1]) <= 90.0 else None)
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
    gone = ~np.isfinite(pairs).all(axis=1) | (np.abs(d) > 90.0)
    offsets = pa.array(np.arange(0, 2 * len(a) + 1, 2, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(pairs.ravel()), mask=pa.array(gone))
