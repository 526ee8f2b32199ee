"""Whether places lie in DALI's shapes, on the sphere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .dali_values import Circle, Polygon, Shape


def contains(shape: Shape, ra: float, dec: float) -> bool:
    """Whether a place (ICRS, deg) lies in a shape, its border included.

    Sides of polygons are great circles; of the two parts of the sphere that a polygon has, the
    smaller one is meant. A range with lon1 > lon2 goes through 0. Source: IVOA DALI 1.1, 3.3.
    """
    if isinstance(shape, Circle):
        centre, place = _vectors([(shape.ra, shape.dec), (ra, dec)])
        # the chord tells small angles apart, which a cosine does not
        angle = 2.0 * np.arcsin(min(1.0, 0.5 * float(np.linalg.norm(centre - place))))
        return bool(np.degrees(angle) <= shape.radius + 1e-12)
    if isinstance(shape, Polygon):
        return _in_polygon(_vectors(list(shape.corners)), _vectors([(ra, dec)])[0])
    (west, east), (south, north) = shape.ra, shape.dec
    if not south <= dec <= north:
        return False
    return west <= ra <= east if west <= east else ra >= west or ra <= east


def _vectors(places: list[tuple[float, float]]) -> NDArray[np.float64]:
    """(n, 3) unit vectors of (ra, dec) in deg."""
    ra, dec = np.radians(np.array(places, np.float64)).T
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)


def _in_polygon(corners: NDArray[np.float64], place: NDArray[np.float64]) -> bool:
    """By the angle that the outline turns around the place, seen from there."""
    middle = corners.mean(axis=0)
    if float(place @ middle) <= 0.0:  # the far side of the sphere
        return False
    if bool((np.linalg.norm(corners - place, axis=1) < 1e-12).any()):
        return True
    east = np.cross([0.0, 0.0, 1.0] if abs(place[2]) < 0.9 else [1.0, 0.0, 0.0], place)
    east /= np.linalg.norm(east)
    north = np.cross(place, east)
    angle = np.arctan2(corners @ north, corners @ east)
    turn = np.diff(np.append(angle, angle[0]))
    turn = (turn + np.pi) % (2.0 * np.pi) - np.pi
    if bool((np.abs(np.abs(turn) - np.pi) < 1e-9).any()):  # on a side
        return True
    return abs(float(turn.sum())) > np.pi
