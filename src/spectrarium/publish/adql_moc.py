"""MOCs written in queries, as ranges of HEALPix order 29. Source: IVOA MOC 2.0, section 4.3.2."""

from __future__ import annotations

import re

from .adql_values import AdqlError, Place
from .shapes import Shape, area

MOST_CELLS = 20_000
Cells = tuple[tuple[int, int], ...]
_ORDER = re.compile(r"(\d{1,2})/")
_RANGE = re.compile(r"(\d{1,19})(?:-(\d{1,19}))?")


def cells_of_text(text: str, place: Place | None) -> Cells:
    """Inclusive ranges of a space MOC in ASCII: ``6/123 125-127 7/500``."""
    order, found = None, []
    for word in re.sub(r"(\d/)", r"\1 ", text.replace(",", " ")).split():
        given = _ORDER.fullmatch(word)
        if given:
            order = int(given[1])
            if order > 29:
                raise _refused_moc(f"order {order} is beyond 29", place)
            continue
        span = _RANGE.fullmatch(word)
        if order is None or span is None:
            raise _refused_moc(f"{word[:30]!r} is not understood", place)
        low, high = int(span[1]), int(span[2] or span[1])
        if low > high or high >= 12 * 4**order:
            raise _refused_moc(f"order {order} has no cells {word[:30]}", place)
        shift = 2 * (29 - order)
        found.append((low << shift, ((high + 1) << shift) - 1))
        if len(found) > MOST_CELLS:
            raise _refused_moc(f"more than {MOST_CELLS} ranges", place)
    return _joined(found)


def cells_of_shape(order: int, shape: Shape, place: Place | None) -> Cells:
    """Inclusive ranges of the cells of an order that a shape touches."""
    if not 0 <= order <= 29:
        raise _refused_moc("the order is a number from 0 to 29", place)
    import cdshealpix
    import numpy as np
    from astropy import units as u
    from astropy.coordinates import Latitude, Longitude

    if area(shape) / (41253.0 / (12 * 4**order)) > MOST_CELLS:
        raise _refused_moc(f"more than {MOST_CELLS} cells of order {order}", place)
    lon = Longitude(np.array(shape.numbers[0 :: 3 if shape.kind == "circle" else 2]), u.deg)
    lat = Latitude(np.array(shape.numbers[1 :: 3 if shape.kind == "circle" else 2]), u.deg)
    if shape.kind == "point":
        cells = np.asarray(cdshealpix.lonlat_to_healpix(lon, lat, order)).astype(np.int64)
        depths = np.full(len(cells), order)
    elif shape.kind == "circle":
        cells, depths, _ = cdshealpix.cone_search(lon[0], lat[0], shape.numbers[2] * u.deg, order)
    else:
        cells, depths, _ = cdshealpix.polygon_search(lon, lat, order)
    return _joined([
        (int(c) << 2 * (29 - int(d)), ((int(c) + 1) << 2 * (29 - int(d))) - 1)
        for c, d in zip(cells, depths, strict=True)
    ])  # fmt: skip


def _joined(found: list[tuple[int, int]]) -> Cells:
    out: list[list[int]] = []
    for low, high in sorted(found):
        if out and low <= out[-1][1] + 1:
            out[-1][1] = max(out[-1][1], high)
        else:
            out.append([low, high])
    return tuple((a, b) for a, b in out)


def _refused_moc(why: str, place: Place | None) -> AdqlError:
    return AdqlError(f"MOC: {why}", code="adql_geometry", remedy="MOC('6/123 125-127')", at=place)
