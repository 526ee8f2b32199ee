"""Shapes on the sphere: what lies in what, distances, areas, centroids. ICRS, degrees.

Edges of polygons are great circles shorter than 180°; a polygon is the smaller of the two sides
that its border parts, whichever way its corners go round, and need not be convex.

Sources: IVOA ADQL 2.1, section 4.2; DALI 1.1, section 3.3.5; areas by Eriksson (1990),
Math. Mag. 63, 184; distances by Vincenty's form, which is exact at every distance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Truth = NDArray[np.bool_]
TOLERANCE = 1e-13
"""Radians: what is this close to a border lies on it, and a border belongs to its shape."""
SQUARE_DEGREE = math.degrees(1.0) ** 2
"""Square degrees in a steradian."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A point (lon, lat), circle (lon, lat, radius) or polygon (lon, lat, lon, lat …), in deg.

    Raises ValueError where the numbers make none.
    """

    kind: Literal["point", "circle", "polygon"]
    numbers: tuple[float, ...]

    def __post_init__(self) -> None:
        count = len(self.numbers)
        if not all(map(math.isfinite, self.numbers)):
            raise ValueError("coordinates must be finite")
        if self.kind == "polygon":
            if count < 6 or count % 2:
                raise ValueError("a polygon has three corners at least, of two coordinates each")
        elif count != (2 if self.kind == "point" else 3):
            raise ValueError(f"a {self.kind} does not have {count} numbers")
        latitudes = self.numbers[1:2] if self.kind == "circle" else self.numbers[1::2]
        if any(abs(v) > 90.0 for v in latitudes):
            raise ValueError("a latitude lies beyond ±90°")
        if self.kind == "circle" and not 0.0 <= self.numbers[2] <= 180.0:
            raise ValueError("a radius lies beyond 0 … 180°")

    @property
    def corners(self) -> Array:
        """(n, 3) unit vectors of a polygon's corners, going round so that its inside is left."""
        return _corners(self)

    @property
    def centre(self) -> Array:
        """(3,) unit vector of a point, or of a circle's centre."""
        return vectors(np.array(self.numbers[0]), np.array(self.numbers[1]))


@lru_cache(maxsize=4096)
def _corners(shape: Shape) -> Array:
    found = vectors(np.array(shape.numbers[::2]), np.array(shape.numbers[1::2]))
    found = found[np.any(np.abs(found - np.roll(found, 1, axis=0)) > 1e-15, axis=1)]
    if len(found) > 2 and _signed_area(found) > 2 * math.pi:
        found = np.ascontiguousarray(found[::-1])
    found.setflags(write=False)
    return found


def vectors(lon_deg: Array, lat_deg: Array) -> Array:
    """(…, 3) unit vectors."""
    lon, lat = np.radians(lon_deg), np.radians(lat_deg)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def lonlat(vector: Array) -> tuple[Array, Array]:
    """(longitude 0 … 360, latitude) in deg of vectors of any length."""
    x, y, z = np.moveaxis(vector, -1, 0)
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


def between(a: Array, b: Array) -> Array:
    """Angle between unit vectors, in rad: exact at every distance."""
    return np.asarray(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), np.sum(a * b, axis=-1)))


def _signed_area(corners: Array) -> float:
    """Area to the left of the border, sr, 0 … 4π."""
    first, a, b = corners[0], corners[1:-1], corners[2:]
    turned = np.sum(np.cross(a, b) * first, axis=-1)
    flat = 1.0 + a @ first + b @ first + np.sum(a * b, axis=-1)
    return float(np.sum(2.0 * np.arctan2(turned, flat)) % (4 * math.pi))


def area(shape: Shape) -> float:
    """Square degrees."""
    if shape.kind == "point":
        return 0.0
    if shape.kind == "circle":
        half = math.sin(math.radians(shape.numbers[2]) / 2.0)
        return 4.0 * math.pi * half * half * SQUARE_DEGREE
    corners = shape.corners
    return _signed_area(corners) * SQUARE_DEGREE if len(corners) > 2 else 0.0


def centroid(shape: Shape) -> tuple[float, float]:
    """(longitude, latitude) in deg: the centre, or the mean direction of a polygon's surface."""
    if shape.kind != "polygon":
        return shape.numbers[0] % 360.0, shape.numbers[1]
    corners = shape.corners
    after = np.roll(corners, -1, axis=0)
    normal = np.cross(corners, after)
    long = np.linalg.norm(normal, axis=1, keepdims=True)
    total = np.sum(normal / np.where(long > 0.0, long, 1.0) * between(corners, after)[:, None],
                   axis=0)  # fmt: skip
    if np.linalg.norm(total) < 1e-14:  # no surface: the mean of the corners
        total = corners.sum(axis=0)
    lon, lat = lonlat(total)
    return float(lon), float(lat)


def to_edges(points: Array, corners: Array) -> Array:
    """(n,) rad from points (n, 3) to the nearest point of a border."""
    least = np.full(len(points), math.inf)
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        least = np.minimum(least, _to_edge(points, a, b))
    return least


def _to_edge(points: Array, a: Array, b: Array) -> Array:
    ends = np.minimum(between(points, a), between(points, b))
    normal = np.cross(a, b)
    length = np.linalg.norm(normal)
    if length < 1e-15:
        return ends
    normal = normal / length
    height = points @ normal
    beside = (np.cross(normal, a) @ points.T > 0.0) & (np.cross(b, normal) @ points.T > 0.0)
    across = np.abs(np.arctan2(height, np.linalg.norm(np.cross(points, normal), axis=-1)))
    return np.where(beside, across, ends)


def _outside(corners: Array) -> Array:
    """(3,) a point just outside: beside the middle of the longest edge, on its right."""
    after = np.roll(corners, -1, axis=0)
    index = int(np.argmax(between(corners, after)))
    a, b = corners[index], after[index]
    middle = (a + b) / np.linalg.norm(a + b)
    normal = np.cross(a, b) / np.linalg.norm(np.cross(a, b))
    others = [_to_edge(middle[None], corners[i], after[i])[0]
              for i in range(len(corners)) if i != index]  # fmt: skip
    step = min(1e-3, max(0.3 * min(others), 1e-11))
    # turned off the normal a little, so that no arc from it runs through corners on grids
    aside = middle - step * (normal + 0.1234567 * np.cross(normal, middle))
    return np.asarray(aside / np.linalg.norm(aside))


def _crossings(points: Array, other: Array, corners: Array) -> NDArray[np.int64]:
    """(n,) how many edges the short arc from each point to `other` crosses."""
    count = np.zeros(len(points), np.int64)
    arc = np.cross(points, other)
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        edge = np.cross(a, b)
        left = points @ edge > 0.0
        if left.all() and other @ edge > 0.0:
            continue
        start, end = arc @ a > 0.0, arc @ b > 0.0
        count += (left != (other @ edge > 0.0)) & (start != end) & (end == left)
    return count


def inside(lon_deg: Array, lat_deg: Array, shape: Shape) -> Truth:
    """(n,) whether points lie in a shape; its border belongs to it."""
    return inside_vectors(vectors(np.asarray(lon_deg), np.asarray(lat_deg)), shape)


def inside_vectors(points: Array, shape: Shape) -> Truth:
    """(n,) the same, of unit vectors (n, 3)."""
    if shape.kind != "polygon":
        radius = math.radians(shape.numbers[2]) if shape.kind == "circle" else 0.0
        return np.asarray(between(points, shape.centre) <= radius + TOLERANCE)
    corners = shape.corners
    if len(corners) < 3:
        return np.asarray(to_edges(points, corners) <= TOLERANCE)
    crossed = _crossings(points, _outside(corners), corners)
    return np.asarray((crossed % 2 == 1) | (to_edges(points, corners) <= TOLERANCE))


def bounding_circle(shape: Shape) -> tuple[float, float, float]:
    """(longitude, latitude, radius) in deg of a circle that holds the shape."""
    if shape.kind != "polygon":
        lon, lat = shape.numbers[:2]
        return lon, lat, shape.numbers[2] if shape.kind == "circle" else 0.0
    lon, lat = centroid(shape)
    centre = vectors(np.array(lon), np.array(lat))
    corners = shape.corners
    # an edge bulges: beyond a hemisphere's width its middle is further than its ends
    far = max(float(between(corners, centre).max()), math.pi - float(
        to_edges(-centre[None], corners)[0]))  # fmt: skip
    return lon, lat, min(math.degrees(far) + 1e-9, 180.0)


def bounding_box(shape: Shape) -> tuple[float, float, float, float]:
    """(longitude from, to, latitude from, to) in deg; from > to over 0°, 0 … 360 over a pole."""
    if shape.kind == "point":
        lon, lat = shape.numbers
        return lon % 360.0, lon % 360.0, lat, lat
    if shape.kind == "circle":
        lon, lat, radius = shape.numbers
        low, high = lat - radius, lat + radius
        if low <= -90.0 or high >= 90.0:
            return 0.0, 360.0, max(low, -90.0), min(high, 90.0)
        half = math.degrees(math.asin(min(1.0, math.sin(math.radians(radius))
                                          / math.cos(math.radians(lat)))))  # fmt: skip
        return (lon - half) % 360.0, (lon + half) % 360.0, low, high
    return _polygon_box(shape)


def _polygon_box(shape: Shape) -> tuple[float, float, float, float]:
    corners = shape.corners
    lons, lats = lonlat(corners)
    poles = inside_vectors(np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]), shape)
    low, high = [float(lats.min())], [float(lats.max())]
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        normal = np.cross(a, b)
        top = np.array([-normal[0] * normal[2], -normal[1] * normal[2], normal[0] ** 2
                        + normal[1] ** 2])  # fmt: skip
        for peak in (top, -top):
            size = np.linalg.norm(peak)
            if size > 0.0 and np.cross(normal, a) @ peak > 0.0 and np.cross(b, normal) @ peak > 0.0:
                latitude = float(lonlat(peak / size)[1])
                low.append(latitude)
                high.append(latitude)
    if poles.any():
        return 0.0, 360.0, -90.0 if poles[1] else min(low), 90.0 if poles[0] else max(high)
    steps = (np.diff(np.append(lons, lons[0])) + 180.0) % 360.0 - 180.0
    along = lons[0] + np.concatenate([[0.0], np.cumsum(steps[:-1])])
    if along.max() - along.min() >= 360.0:
        return 0.0, 360.0, min(low), max(high)
    return float(along.min() % 360.0), float(along.max() % 360.0), min(low), max(high)
