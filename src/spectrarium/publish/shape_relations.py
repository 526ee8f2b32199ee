"""Which shapes meet, which lie in which, and shapes as words: on the sphere, ICRS, degrees."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .shapes import (
    TOLERANCE,
    Array,
    Shape,
    between,
    inside_vectors,
    lonlat,
    to_edges,
    vectors,
)

FRAMES_ICRS = frozenset({"", "ICRS", "FK5", "J2000", "EQUATORIAL", "UNKNOWN", "UNKNOWNFRAME"})
"""Frames whose coordinates are taken as ICRS: FK5 is within 0.05″ of it."""
_TO_ICRS = {
    "GALACTIC": np.array([
        [-0.0548755604162154, 0.4941094278755837, -0.8676661490190047],
        [-0.8734370902348850, -0.4448296299600112, -0.1980763734312015],
        [-0.4838350155487132, 0.7469822444972189, 0.4559837761750669],
    ]),
}  # fmt: skip
"""Rotations to ICRS. Source: the Hipparcos and Tycho Catalogues, ESA SP-1200, section 1.5.3."""


def shape_contains(inner: Shape, outer: Shape) -> bool:
    """Whether all of `inner` lies in `outer`."""
    if outer.kind == "point":
        return inner.kind == "point" and bool(inside_vectors(inner.centre[None], outer)[0])
    if inner.kind == "point":
        return bool(inside_vectors(inner.centre[None], outer)[0])
    if inner.kind == "circle":
        return _circle_in(inner, outer)
    corners = inner.corners
    if not inside_vectors(corners, outer).all():
        return False
    if outer.kind == "polygon":
        return not _edges_cross(corners, outer.corners)
    if outer.numbers[2] <= 90.0:
        return True
    rest = -outer.centre  # the complement is a small circle: it must be left alone
    free = math.pi - math.radians(outer.numbers[2])
    return bool(to_edges(rest[None], corners)[0] >= free - TOLERANCE
                and not inside_vectors(rest[None], inner)[0])  # fmt: skip


def _circle_in(inner: Shape, outer: Shape) -> bool:
    radius = math.radians(inner.numbers[2])
    if outer.kind == "circle":
        apart = float(between(inner.centre, outer.centre))
        whole = outer.numbers[2] >= 180.0
        return whole or apart + radius <= math.radians(outer.numbers[2]) + TOLERANCE
    if not inside_vectors(inner.centre[None], outer)[0]:
        return False
    return bool(to_edges(inner.centre[None], outer.corners)[0] >= radius - TOLERANCE)


def shapes_meet(a: Shape, b: Shape) -> bool:
    """Whether two shapes have a point in common."""
    if a.kind == "point":
        return bool(inside_vectors(a.centre[None], b)[0])
    if b.kind == "point":
        return bool(inside_vectors(b.centre[None], a)[0])
    if a.kind == "circle" and b.kind == "circle":
        apart = float(between(a.centre, b.centre))
        return apart <= math.radians(a.numbers[2] + b.numbers[2]) + TOLERANCE
    if a.kind == "circle":
        a, b = b, a
    corners = a.corners
    if b.kind == "circle":
        near = to_edges(b.centre[None], corners)[0] <= math.radians(b.numbers[2]) + TOLERANCE
        return bool(near or inside_vectors(b.centre[None], a)[0]
                    or inside_vectors(corners, b).any())  # fmt: skip
    others = b.corners
    return bool(inside_vectors(corners, b).any() or inside_vectors(others, a).any()
                or _edges_cross(corners, others))  # fmt: skip


def _edges_cross(a: Array, b: Array) -> bool:
    """Whether an edge of one border properly crosses one of the other."""
    a1, b1 = np.roll(a, -1, axis=0), np.roll(b, -1, axis=0)
    first, second = np.cross(a, a1), np.cross(b, b1)
    size = 1e-15
    acb = -(first @ b.T)
    bda = first @ b1.T
    cbd = -(second @ a1.T).T
    dac = (second @ a.T).T
    return bool(np.any((acb * bda > size**2) & (acb * cbd > size**2) & (acb * dac > size**2)))


def box_corners(lon: float, lat: float, width: float, height: float) -> tuple[float, ...]:
    """Corners of ADQL's BOX: sides are great circles square to the arms of a cross at the centre.

    width, height : whole lengths of the arms, deg, below 180. Source: ADQL 2.1, section 4.2.9.
    """
    half = math.radians(width) / 2.0
    rise = math.atan(math.tan(math.radians(height) / 2.0) * math.cos(half))
    local = [(half, -rise), (half, rise), (-half, rise), (-half, -rise)]
    c, s = math.cos(math.radians(lat)), math.sin(math.radians(lat))
    out: list[float] = []
    for a, d in local:
        x, y, z = math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d)
        x, z = c * x - s * z, s * x + c * z
        out.append((math.degrees(math.atan2(y, x)) + lon) % 360.0)
        out.append(math.degrees(math.atan2(z, math.hypot(x, y))))
    return tuple(out)


def box(lon: float, lat: float, width: float, height: float) -> Shape:
    """ADQL's BOX as a polygon. Raises ValueError for arms that are not within 0 … 180°."""
    if not (0.0 < width < 180.0 and 0.0 < height < 180.0):
        raise ValueError("the sides of a box must be longer than 0° and shorter than 180°")
    return Shape("polygon", box_corners(lon, lat, width, height))


def to_icrs(shape: Shape, frame: str) -> Shape:
    """A shape of another frame, in ICRS. Raises ValueError for a frame that is not known."""
    name = frame.strip().upper()
    if name in FRAMES_ICRS:
        return shape
    if name not in _TO_ICRS:
        raise ValueError(f"frame {frame[:20]!r} is not known: ICRS and GALACTIC are")
    return _rotated(shape, _TO_ICRS[name])


def from_icrs(shape: Shape, frame: str) -> Shape:
    """A shape of ICRS in another frame. Raises ValueError for a frame that is not known."""
    name = frame.strip().upper()
    if name in FRAMES_ICRS:
        return shape
    if name not in _TO_ICRS:
        raise ValueError(f"frame {frame[:20]!r} is not known: ICRS and GALACTIC are")
    return _rotated(shape, _TO_ICRS[name].T)


def _rotated(shape: Shape, matrix: Array) -> Shape:
    step = 3 if shape.kind == "circle" else 2
    lons, lats = np.array(shape.numbers[0::step]), np.array(shape.numbers[1::step])
    lons, lats = lonlat(vectors(lons, lats) @ matrix.T)
    turned = tuple(float(v) for pair in zip(lons, lats, strict=True) for v in pair)
    return Shape(shape.kind, turned + shape.numbers[2:3] if shape.kind == "circle" else turned)


GALACTIC_TO_ICRS = _TO_ICRS["GALACTIC"]


_KINDS = {"CIRCLE": "circle", "POLYGON": "polygon", "POSITION": "point", "POINT": "point",
          "BOX": "box"}  # fmt: skip
_WORDS = frozenset({
    "FILLFACTOR", "GEOCENTER", "BARYCENTER", "HELIOCENTER", "TOPOCENTER", "LSR", "UNKNOWNREFPOS",
    "RELOCATABLE", "SPHERICAL2", "CARTESIAN2",
})  # fmt: skip
"""Places and flavours of STC-S that change nothing of a position on the sky."""


def shape_of_words(text: str) -> Shape:
    """A shape in the words of STC-S or DALI: ``CIRCLE ICRS 10 20 0.5``, ``POLYGON 1 2 3 4 5 6``.

    Raises ValueError for anything else. Source: IVOA STC-S 1.33 (note); DALI 1.1, section 3.3.
    """
    words = text.replace(",", " ").replace("(", " ").replace(")", " ").split()
    kind = _KINDS.get(words[0].upper()) if words else None
    if kind is None:
        raise ValueError("a region begins with CIRCLE, POLYGON, BOX or POSITION")
    frame, index = "", 1
    while index < len(words) and not _is_number(words[index]):
        word = words[index].upper()
        if word not in _WORDS:
            if frame:
                raise ValueError(f"{words[index][:20]!r} in a region is not understood")
            frame = word
        index += 1
    numbers: Sequence[float] = [float(w) for w in words[index:] if _is_number(w)]
    if len(numbers) != len(words) - index:
        raise ValueError("a region ends with numbers")
    if kind == "box":
        if len(numbers) != 4:
            raise ValueError("a box has a centre, a width and a height")
        return to_icrs(box(*numbers), frame)
    return to_icrs(Shape(kind, tuple(numbers)), frame)  # type: ignore[arg-type]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return word.lower().strip("+-") not in ("nan", "inf", "infinity")
