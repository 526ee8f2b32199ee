"""Functions that translated queries call, in an embedded DuckDB: macros, and numpy for shapes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..store.sky import healpix29
from .shape_lists import (
    areas,
    boxes,
    cell_centres,
    centroids,
    contained,
    meeting,
    rotated,
    shapes_of_words,
)
from .shape_relations import GALACTIC_TO_ICRS

_NAN = "'nan'::DOUBLE"
_HAVERSINE = ("power(sin(radians({b} - {d}) / 2), 2) + cos(radians({b})) * cos(radians({d}))"
              " * power(sin(radians({a} - {c}) / 2), 2)")  # fmt: skip
_H = _HAVERSINE.format(a="a", b="b", c="c", d="d")
_MACROS = {
    "vo_acos(x)": f"nullif(acos(x), {_NAN})",
    "vo_asin(x)": f"nullif(asin(x), {_NAN})",
    "vo_sqrt(x)": f"nullif(sqrt(x), {_NAN})",
    "vo_ln(x)": "CASE WHEN x > 0 THEN ln(x) END",
    "vo_log10(x)": "CASE WHEN x > 0 THEN log10(x) END",
    "vo_cot(x)": "1e0 / nullif(tan(x), 0)",
    "vo_exp(x)": "nullif(exp(x), 'inf'::DOUBLE)",
    "vo_power(x, y)": f"nullif(nullif(power(x, y), {_NAN}), 'inf'::DOUBLE)",
    "vo_div(x, y)": "x / nullif(y, 0)",
    "vo_mod(x, y)": "x % nullif(y, 0)",
    "vo_xor(x, y)": "xor(x, y)",
    "vo_round(x, n)": "round(CAST(x AS DOUBLE), CAST(n AS INTEGER))",
    "vo_truncate(x, n)": "trunc(CAST(x AS DOUBLE), CAST(n AS INTEGER))",
    "vo_coded(k, x)": "list_prepend(k, CAST(x AS DOUBLE[]))",
    "vo_in_shape(a, b, p)": "vo_contains([1e0, CAST(a AS DOUBLE), CAST(b AS DOUBLE)], p)",
    "vo_within(a, b, c, d, r)": f"{_H} <= power(sin(radians(r) / 2), 2)",
    "vo_closer(a, b, c, d, r)": f"{_H} < power(sin(radians(r) / 2), 2)",
    "vo_within_any(a, b, c, d, r)":
        f"{_H} <= CASE WHEN r < 0 THEN -1e0 ELSE power(sin(radians(least(r, 180)) / 2), 2) END",
    "vo_closer_any(a, b, c, d, r)":
        f"{_H} < CASE WHEN r < 0 THEN -1e0 WHEN r > 180 THEN 2e0 "
        "ELSE power(sin(radians(r) / 2), 2) END",
    "vo_distance(a, b, c, d)":
        "degrees(atan2(sqrt(power(cos(radians(d)) * sin(radians(c - a)), 2) + "
        "power(cos(radians(b)) * sin(radians(d)) - sin(radians(b)) * cos(radians(d)) * "
        "cos(radians(c - a)), 2)), sin(radians(b)) * sin(radians(d)) + cos(radians(b)) * "
        "cos(radians(d)) * cos(radians(c - a))))",
    "vo_moved(a, b, u, v, t)":
        "CASE WHEN a + b + u + v + t IS NOT NULL THEN "
        "[degrees(radians(a) + atan2(radians(u * t), cos(radians(b)) - sin(radians(b)) * "
        "radians(v * t))), degrees(atan2(sin(radians(b)) + cos(radians(b)) * radians(v * t), "
        "sqrt(power(radians(u * t), 2) + power(cos(radians(b)) - sin(radians(b)) * "
        "radians(v * t), 2))))] END",
    "vo_mjd(x)": "epoch_us(CAST(x AS TIMESTAMP)) / 86400e6 + 40587e0",
    "vo_normal_random(m, s)":
        "m + s * sqrt(-2e0 * ln(1e0 - random())) * cos(2e0 * pi() * random())",
    "vo_seeded(x)": "CAST('0x' || substr(md5(x), 1, 13) AS BIGINT) / 4503599627370496e0",
    "vo_bucket(x, l, h, n)": "CASE WHEN x < l THEN 0 WHEN x >= h THEN n + 1 "
    "WHEN x IS NOT NULL THEN least(n, CAST(floor((x - l) * n / (h - l)) AS INTEGER) + 1) END",
    "vo_hashlist_has(h, i)": "list_contains(string_split(lower(h), '#'), lower(i))",
    "vo_hasword(h, n)": "contains(concat(' ', array_to_string(regexp_extract_all(lower(h), "
    "'[\\p{L}\\p{N}]+'), ' '), ' '), concat(' ', array_to_string(regexp_extract_all(lower(n), "
    "'[\\p{L}\\p{N}]+'), ' '), ' '))",
}  # fmt: skip
_LIST = "DOUBLE[]"


def prepare_duckdb(connection: Any) -> None:
    """Define what translated queries call. Once for a database: its cursors have them, too."""
    for name, (function, takes, gives) in _OF_COLUMNS.items():
        connection.create_function(name, _whole(function), takes, gives, type="arrow",
                                   null_handling="special")  # fmt: skip
    for form, body in _MACROS.items():
        connection.execute(f"CREATE OR REPLACE MACRO {form} AS ({body})")


def _whole(function: Callable[..., pa.Array]) -> Callable[..., pa.Array]:
    """A function of arrays, given what DuckDB gives: columns in chunks."""

    @wraps(function)  # DuckDB counts the arguments
    def answered(*columns: Any) -> pa.Array:
        return function(*(c.combine_chunks() if isinstance(c, pa.ChunkedArray) else c
                          for c in columns))  # fmt: skip

    return answered


def _cells(lon: pa.Array, lat: pa.Array) -> pa.Array:
    cells = healpix29(_floats(lon) % 360.0, _floats(lat))
    return pa.array(cells, mask=cells < 0)


def _from_galactic(lon: pa.Array, lat: pa.Array) -> pa.Array:
    return rotated(lon, lat, GALACTIC_TO_ICRS)


def _to_galactic(lon: pa.Array, lat: pa.Array) -> pa.Array:
    return rotated(lon, lat, GALACTIC_TO_ICRS.T)


def _floats(column: pa.Array) -> Any:
    return np.asarray(pc.fill_null(column.cast(pa.float64()), math.nan).to_numpy(
        zero_copy_only=False), np.float64)  # fmt: skip


_OF_COLUMNS: dict[str, tuple[Callable[..., pa.Array], list[str], str]] = {
    "vo_shape": (shapes_of_words, ["VARCHAR"], _LIST),
    "vo_contains": (contained, [_LIST, _LIST], "BOOLEAN"),
    "vo_meets": (meeting, [_LIST, _LIST], "BOOLEAN"),
    "vo_area": (areas, [_LIST], "DOUBLE"),
    "vo_centroid": (centroids, [_LIST], _LIST),
    "vo_box": (boxes, ["DOUBLE"] * 4, _LIST),
    "vo_cell": (_cells, ["DOUBLE", "DOUBLE"], "BIGINT"),
    "vo_cell_centre": (cell_centres, ["INTEGER", "BIGINT"], _LIST),
    "vo_from_galactic": (_from_galactic, ["DOUBLE"] * 2, _LIST),
    "vo_to_galactic": (_to_galactic, ["DOUBLE"] * 2, _LIST),
}  # fmt: skip
FUNCTION_NAMES = frozenset({*_OF_COLUMNS, *(form.partition("(")[0] for form in _MACROS)})
"""Names of all that `prepare_duckdb` defines."""
