"""Positions as nested HEALPix cells of order 29, and the cells that a cone touches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import UsageError

ORDER = 29
NO_POSITION = -1


def _tools() -> tuple[Any, Any, Any, Any]:
    # imported when first needed: astropy.coordinates takes 0.2 s, and readers never need it
    import cdshealpix
    from astropy import units as u
    from astropy.coordinates import Latitude, Longitude

    return cdshealpix, u, Longitude, Latitude


def healpix29(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> NDArray[np.int64]:
    """(n,) nested HEALPix of order 29 (0.4 mas); −1 where there is no position."""
    out = np.full(ra_deg.shape, NO_POSITION, dtype=np.int64)
    ok = np.isfinite(ra_deg) & np.isfinite(dec_deg) & (np.abs(dec_deg) <= 90.0)
    if ok.any():
        cdshealpix, u, Longitude, Latitude = _tools()
        cells = cdshealpix.lonlat_to_healpix(
            Longitude(ra_deg[ok], u.deg), Latitude(dec_deg[ok], u.deg), ORDER
        )
        out[ok] = np.asarray(cells).astype(np.int64)
    return out


def separation_deg(
    ra: NDArray[np.float64], dec: NDArray[np.float64], ra0: float, dec0: float
) -> NDArray[np.float64]:
    """(n,) great-circle distance in deg (Vincenty's form: exact at every distance)."""
    a, d = np.radians(ra - ra0), np.radians(dec)
    d0 = math.radians(dec0)
    sin_d, cos_d, cos_a = np.sin(d), np.cos(d), np.cos(a)
    y = np.hypot(cos_d * np.sin(a), math.cos(d0) * sin_d - math.sin(d0) * cos_d * cos_a)
    x = math.sin(d0) * sin_d + math.cos(d0) * cos_d * cos_a
    return np.asarray(np.degrees(np.arctan2(y, x)), np.float64)


def cone_ranges(ra_deg: float, dec_deg: float, radius_deg: float) -> NDArray[np.int64]:
    """(n, 2) half-open ranges of order-29 cells that cover the cone.

    Raises UsageError for a position or radius outside its range.
    """
    if not (math.isfinite(ra_deg) and math.isfinite(dec_deg) and math.isfinite(radius_deg)):
        raise UsageError("a cone needs finite RA, Dec and radius in degrees", code="bad_cone")
    if not (0.0 <= ra_deg <= 360.0 and abs(dec_deg) <= 90.0 and 0.0 < radius_deg <= 180.0):
        raise UsageError(
            f"cone RA {ra_deg:g}, Dec {dec_deg:g}, radius {radius_deg:g} deg is out of range",
            code="bad_cone", remedy="0 ≤ RA ≤ 360, −90 ≤ Dec ≤ 90, 0 < radius ≤ 180",
        )  # fmt: skip
    cdshealpix, u, Longitude, Latitude = _tools()
    # cells about a quarter of the radius: few ranges, little outside the cone; the search looks
    # two orders deeper than it is asked for, and there is nothing below order 29
    order = int(np.clip(math.floor(math.log2(58.6 / radius_deg)) + 2, 0, ORDER - 2))
    cells, depth, _ = cdshealpix.cone_search(
        Longitude(ra_deg, u.deg), Latitude(dec_deg, u.deg), radius_deg * u.deg, order
    )
    shift = (2 * (ORDER - np.asarray(depth).astype(np.int64))).astype(np.int64)
    first = np.asarray(cells).astype(np.int64)
    return np.stack([first << shift, (first + 1) << shift], axis=1)
