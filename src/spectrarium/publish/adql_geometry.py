"""Geometry of ADQL as SQL: constructors, and what asks how shapes lie.

A point beside a circle is arithmetic; where a table has the HEALPix cells of its positions, cones
become ranges of these first. Two tables that are matched within a radius meet in a band of
declination first. Other shapes go through functions of the database.

Source: IVOA ADQL 2.1, section 4.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from ..store.sky import cone_ranges
from .adql_scope import Source, quoted
from .adql_values import AdqlError, ColumnMeta, Kind, Piece, Place
from .shape_relations import (
    FRAMES_ICRS,
    box,
    from_icrs,
    shape_contains,
    shape_of_words,
    shapes_meet,
    to_icrs,
)
from .shapes import Shape, area, between, bounding_circle, centroid

_POINT = ColumnMeta(unit="deg", ucd="pos.eq", xtype="point")
_CIRCLE = ColumnMeta(unit="deg", ucd="pos.outline", xtype="circle")
_POLYGON = ColumnMeta(unit="deg", ucd="pos.outline", xtype="polygon")
_META: dict[Kind, ColumnMeta] = {"point": _POINT, "circle": _CIRCLE, "polygon": _POLYGON}
_CODES: dict[Kind, int] = {"point": 1, "circle": 2, "polygon": 3}
MOST_RANGES = 10
Ranges = tuple[tuple[int, int], ...]


def number(value: float) -> str:
    """A real number in SQL."""
    text = repr(float(value))
    return text if "e" in text else f"{text}e0"


def of_shape(shape: Shape) -> Piece:
    """A constant shape."""
    parts = tuple(Piece(number(v), "real", constant=v) for v in shape.numbers)
    return Piece(_list(parts), shape.kind, _META[shape.kind], parts=parts, shape=shape)


def _list(parts: Sequence[Piece]) -> str:
    each = (p.sql if p.number is not None else f"CAST({p.sql} AS DOUBLE PRECISION)" for p in parts)
    return f"ARRAY[{', '.join(each)}]"


def built(name: str, args: Sequence[Piece], place: Place | None) -> Piece:
    """POINT, CIRCLE, POLYGON or BOX of coordinates, or of points where ADQL 2.1 allows that.

    A coordinate system may come first, as in ADQL 2.0. Raises AdqlError.
    """
    frame = ""
    if args and args[0].kind == "text" and len(args) > 1:
        if not isinstance(args[0].constant, str):
            raise AdqlError("the coordinate system must be written out", code="adql_geometry",
                            at=place)  # fmt: skip
        frame, args = args[0].constant, args[1:]
    parts = [p for a in args for p in _coordinates(a, name, place)]
    counts = {"point": (2,), "circle": (3,), "box": (4,)}.get(name)
    if (counts and len(parts) not in counts) or (not counts and (len(parts) < 6 or len(parts) % 2)):
        raise AdqlError(f"{name.upper()} does not take {len(parts)} numbers",
                        code="adql_arguments", remedy=_FORMS[name], at=place)  # fmt: skip
    numbers = [p.number for p in parts]
    if all(n is not None for n in numbers):
        return of_shape(_constant(name, [n for n in numbers if n is not None], frame, place))
    parts = _parts_in_icrs(name, parts, frame.strip().upper().partition(" ")[0], place)
    if name == "box":
        return Piece(f"vo_box({', '.join(p.sql for p in parts)})", "polygon", _POLYGON)
    kind: Kind = "point" if name == "point" else "circle" if name == "circle" else "polygon"
    known = " AND ".join(f"{p.sql} IS NOT NULL" for p in parts if p.number is None)
    sql = f"CASE WHEN {known} THEN {_list(parts)} END"
    return Piece(sql, kind, _META[kind], parts=tuple(parts))


_FORMS = {
    "point": "POINT(longitude, latitude)", "circle": "CIRCLE(longitude, latitude, radius)",
    "box": "BOX(longitude, latitude, width, height)",
    "polygon": "POLYGON(longitude, latitude, … three corners or more)",
}  # fmt: skip


def _parts_in_icrs(name: str, parts: list[Piece], frame: str, place: Place | None) -> list[Piece]:
    """Coordinates of a shape that differ by row, in ICRS. Raises AdqlError for other frames."""
    if frame in FRAMES_ICRS:
        return parts
    if frame != "GALACTIC":
        raise AdqlError(f"coordinates in {frame[:20]} are not converted: those in GALACTIC are",
                        code="adql_geometry", remedy="give them in ICRS", at=place)  # fmt: skip
    if name == "box":
        raise AdqlError("a BOX in GALACTIC is made of numbers, not of columns",
                        code="adql_geometry", remedy="use POLYGON", at=place)  # fmt: skip
    places = parts[:2] if name == "circle" else parts
    pairs = zip(places[::2], places[1::2], strict=True)
    turned_parts = [p for a, b in pairs for p in point_parts(_rotated("vo_from_galactic", a, b))]
    return [*turned_parts, *parts[len(places) :]]


def _rotated(way: str, lon: Piece, lat: Piece, meta: ColumnMeta = _POINT) -> Piece:
    return Piece(f"{way}({lon.sql}, {lat.sql})", "point", meta)


def _coordinates(piece: Piece, name: str, place: Place | None) -> tuple[Piece, ...]:
    if piece.kind == "point":
        return point_parts(piece)
    if piece.kind not in ("real", "integer", "any"):
        raise AdqlError(f"{name.upper()} takes numbers in degrees", code="adql_arguments",
                        remedy=_FORMS[name], at=place)  # fmt: skip
    return (piece,)


def _constant(name: str, numbers: list[float], frame: str, place: Place | None) -> Shape:
    try:
        if name == "box":
            if len(numbers) != 4:
                raise ValueError("a box has a centre, a width and a height")
            made = box(*numbers)
        else:
            made = Shape(name, tuple(numbers))  # type: ignore[arg-type]
        return to_icrs(made, frame.strip().partition(" ")[0])
    except ValueError as error:
        raise AdqlError(f"{name.upper()}: {error}", code="adql_geometry", at=place) from None


def region(text: Piece, place: Place | None) -> Piece:
    """REGION of a text in the words of STC-S or DALI."""
    if not isinstance(text.constant, str):
        return Piece(text.sql, "region", text.meta)
    try:
        return of_shape(shape_of_words(text.constant))
    except ValueError as error:
        raise AdqlError(f"REGION: {error}", code="adql_geometry",
                        remedy="CIRCLE ICRS 10 20 0.5", at=place) from None  # fmt: skip


def point_parts(point: Piece) -> tuple[Piece, ...]:
    """Longitude and latitude of a point, in deg."""
    if point.parts:
        return point.parts
    return tuple(Piece(f"({point.sql})[{i}]", "real") for i in (1, 2))


def shaped(piece: Piece) -> str:
    """A shape as the list that ``vo_…`` functions take: a code for its kind, then its numbers."""
    if piece.kind == "region":
        return f"vo_shape({piece.sql})"
    code = float(_CODES[piece.kind])
    if piece.parts:
        return _list((Piece(number(code), "real", constant=code), *piece.parts))
    return f"vo_coded({number(code)}, {piece.sql})"


def contains(inner: Piece, outer: Piece, place: Place | None) -> str:
    """Condition: all of the first lies in the second."""
    if outer.kind == "moc":
        return _in_moc(inner, outer, place)
    _geometry((inner, outer), "CONTAINS", place)
    if inner.shape and outer.shape:
        return "TRUE" if shape_contains(inner.shape, outer.shape) else "FALSE"
    if inner.kind == "point" and outer.kind == "circle" and outer.parts:
        return within(inner, outer.parts, outer.parts[2], outer.shape)
    if inner.kind == "point" and inner.parts and outer.shape:
        cells = _prefilter(inner.parts, outer.shape)
        lon, lat = inner.parts
        exact = f"vo_in_shape({lon.sql}, {lat.sql}, {shaped(outer)})"
        return f"({cells} AND {exact})" if cells else exact
    return f"vo_contains({shaped(inner)}, {shaped(outer)})"


def intersects(a: Piece, b: Piece, place: Place | None) -> str:
    """Condition: the shapes have a point in common."""
    for one, other in ((a, b), (b, a)):
        if one.kind == "point":
            return contains(one, other, place)
    _geometry((a, b), "INTERSECTS", place)
    if a.shape and b.shape:
        return "TRUE" if shapes_meet(a.shape, b.shape) else "FALSE"
    if a.kind == b.kind == "circle" and a.parts and b.parts:
        sum_of = f"({a.parts[2].sql} + {b.parts[2].sql})"
        return within(Piece("", "point", parts=a.parts[:2]), b.parts, Piece(sum_of, "real"), None)
    return f"vo_meets({shaped(a)}, {shaped(b)})"


def _geometry(pieces: Sequence[Piece], name: str, place: Place | None) -> None:
    for piece in pieces:
        if piece.kind == "moc":
            raise _moc_of_points(place)
        if piece.kind not in ("point", "circle", "polygon", "region"):
            raise AdqlError(f"{name} takes shapes: POINT, CIRCLE, POLYGON, BOX or a region column",
                            code="adql_arguments", at=place)  # fmt: skip


def within(
    point: Piece, centre: Sequence[Piece], radius: Piece, shape: Shape | None, *,
    strict: bool = False,
) -> str:  # fmt: skip
    """Condition: a point lies within a radius (deg) of a centre, its border included."""
    lon, lat = point_parts(point)
    if lon.number is not None and lat.number is not None and shape is None:
        lon, lat, centre = centre[0], centre[1], (lon, lat)  # the same the other way round
    if shape is None and all(p.number is not None for p in (*centre[:2], radius)):
        shape = _circle(centre, radius)
    name = "vo_closer" if strict else "vo_within"
    if radius.number is None or not 0.0 <= radius.number <= 90.0:
        name += "_any"  # what indexes of the sky do not do
    exact = f"{name}({lon.sql}, {lat.sql}, {centre[0].sql}, {centre[1].sql}, {radius.sql})"
    quick = _prefilter((lon, lat), shape) if shape else None
    if quick is None and shape is None:
        quick = _band((lon, lat), centre, radius)
    return f"({quick} AND {exact})" if quick else exact


def _circle(centre: Sequence[Piece], radius: Piece) -> Shape | None:
    lon, lat, r = (p.number for p in (centre[0], centre[1], radius))
    try:
        return Shape("circle", (lon or 0.0, lat or 0.0, min(r or 0.0, 180.0)))
    except ValueError:
        return None


def _band(point: Sequence[Piece], centre: Sequence[Piece], radius: Piece) -> str | None:
    """Condition that holds wherever the exact one does, and that a join can be sorted by."""
    mine, other = _owner(point[1]), _owner(centre[1])
    if mine is None or other is None or mine is other:
        return None
    wide = f"({radius.sql} + 1e-9)"
    lat, at = point[1].sql, centre[1].sql
    return f"{lat} >= {at} - {wide} AND {lat} <= {at} + {wide}"


def _owner(piece: Piece) -> Source | None:
    return piece.origin[0] if piece.origin else None


def _cell_column(point: Sequence[Piece]) -> str | None:
    """SQL of the column with the HEALPix cells of a point, where its table has one."""
    owner = _owner(point[0])
    if owner is None or owner.position is None or _owner(point[1]) is not owner:
        return None
    names = (point[0].origin[1], point[1].origin[1])  # type: ignore[index]
    return f"{quoted(owner.ident)}.{quoted(owner.cells)}" if names == owner.position else None


def _prefilter(point: Sequence[Piece], shape: Shape) -> str | None:
    column = _cell_column(point)
    if column is None:
        return None
    ranges = cone_cells(*bounding_circle(shape))
    return ranged(column, ranges) if ranges else None


@lru_cache(maxsize=1024)
def cone_cells(lon: float, lat: float, radius: float) -> Ranges:
    """Few inclusive ranges of HEALPix order 29 that hold a cone; () where that would be no help."""
    if radius > 45.0:
        return ()
    # a hair wider: cells of positions are rounded, and so is this
    found = cone_ranges(lon % 360.0, lat, max(radius, 1e-7) * (1.0 + 1e-9) + 1e-9)
    return merged([(int(a), int(b) - 1) for a, b in found])


def merged(ranges: Sequence[tuple[int, int]], most: int = MOST_RANGES) -> Ranges:
    """Inclusive ranges joined where they touch, and across the smallest gaps until few are left."""
    out: list[list[int]] = []
    for low, high in sorted(ranges):
        if out and low <= out[-1][1] + 1:
            out[-1][1] = max(out[-1][1], high)
        else:
            out.append([low, high])
    if len(out) > most:
        gaps = sorted(range(1, len(out)), key=lambda i: out[i][0] - out[i - 1][1])
        kept = sorted(gaps[len(out) - most :])
        starts = [0, *kept]
        ends = [*kept, len(out)]
        out = [[out[a][0], out[b - 1][1]] for a, b in zip(starts, ends, strict=True)]
    return tuple((a, b) for a, b in out)


def ranged(column: str, ranges: Sequence[tuple[int, int]]) -> str:
    """Condition: a whole number lies in one of the ranges."""
    each = [f"{column} BETWEEN {a} AND {b}" for a, b in ranges]
    return each[0] if len(each) == 1 else f"({' OR '.join(each)})"


def _in_moc(inner: Piece, outer: Piece, place: Place | None) -> str:
    if inner.kind != "point":
        raise _moc_of_points(place)
    lon, lat = point_parts(inner)
    column = _cell_column((lon, lat)) or f"vo_cell({lon.sql}, {lat.sql})"
    if not outer.cells:
        return f"({column} < 0)"  # an empty MOC holds nothing; nothing is known of no position
    return ranged(column, outer.cells)


def _moc_of_points(place: Place | None) -> AdqlError:
    return AdqlError("a MOC can be asked about points only", code="adql_geometry",
                     remedy="CONTAINS(POINT(ra, dec), MOC(…)), or CONTAINS(CENTROID(s_region), "
                     "MOC(…)) about the middle of a shape", at=place)  # fmt: skip


def distance(args: Sequence[Piece], place: Place | None) -> Piece:
    """DISTANCE of two points, or of four coordinates, in deg."""
    points = [p for a in args for p in _coordinates(a, "point", place)]
    if len(points) != 4 or len(args) not in (2, 4):
        raise AdqlError("DISTANCE takes two points or four coordinates", code="adql_arguments",
                        at=place)  # fmt: skip
    meta = ColumnMeta(unit="deg", ucd="pos.angDistance", about="Angular distance")
    value = None
    if all(p.number is not None for p in points):
        a, b = (_constant("point", [p.number or 0.0 for p in pair], "", place)
                for pair in (points[:2], points[2:]))  # fmt: skip
        value = math.degrees(float(between(a.centre, b.centre)))
        return Piece(number(value), "real", meta, constant=value)
    sql = f"vo_distance({', '.join(p.sql for p in points)})"
    return Piece(sql, "real", meta, parts=tuple(points))


def area_of(shape: Piece, place: Place | None) -> Piece:
    """AREA, in square degrees."""
    _geometry((shape,), "AREA", place)
    meta = ColumnMeta(unit="deg**2", ucd="phys.angArea", about="Area on the sky")
    if shape.shape:
        value = area(shape.shape)
        return Piece(number(value), "real", meta, constant=value)
    return Piece(f"vo_area({shaped(shape)})", "real", meta)


def centroid_of(shape: Piece, place: Place | None) -> Piece:
    """CENTROID, a point."""
    _geometry((shape,), "CENTROID", place)
    if shape.shape:
        return of_shape(Shape("point", centroid(shape.shape)))
    if shape.kind in ("circle", "point") and shape.parts:
        return built("point", shape.parts[:2], place)
    return Piece(f"vo_centroid({shaped(shape)})", "point", _POINT)


def coordinate(point: Piece, index: int, place: Place | None) -> Piece:
    """COORD1 (index 0) or COORD2 (1) of a point, in deg."""
    if point.kind != "point":
        raise AdqlError(f"COORD{index + 1} takes a point", code="adql_arguments", at=place)
    part = point_parts(point)[index]
    meta = ColumnMeta(unit="deg", ucd=("pos.eq.ra", "pos.eq.dec")[index])
    return Piece(part.sql, "real", part.meta if part.meta.ucd else meta, constant=part.constant,
                 origin=part.origin)  # fmt: skip


POINT_META = _POINT


def turned(own: object, wanted: object, shape: Piece, place: Place | None) -> Piece:
    """A shape of one coordinate system in another: constant, or a point."""
    names = [str(n).strip().upper() for n in (own, wanted)]
    if not all(n in ("ICRS", "GALACTIC") for n in names):
        raise AdqlError("the coordinate systems are 'ICRS' and 'GALACTIC'", code="adql_geometry",
                        at=place)  # fmt: skip
    if names[0] == names[1]:
        return shape
    if shape.shape is not None:
        return of_shape(to_icrs(shape.shape, names[0]) if names[1] == "ICRS"
                        else from_icrs(shape.shape, names[1]))  # fmt: skip
    if shape.kind != "point":
        raise AdqlError("only points and constant shapes are transformed", code="adql_geometry",
                        at=place)  # fmt: skip
    lon, lat = point_parts(shape)
    way = "vo_from_galactic" if names[1] == "ICRS" else "vo_to_galactic"
    meta = _POINT if names[1] == "ICRS" else ColumnMeta(unit="deg", ucd="pos.galactic",
                                                       xtype="point")  # fmt: skip
    return _rotated(way, lon, lat, meta)


def cell_of(point: Piece) -> str:
    """SQL of the HEALPix cell of order 29 of a point."""
    lon, lat = point_parts(point)
    return _cell_column((lon, lat)) or f"vo_cell({lon.sql}, {lat.sql})"
