"""Intervals, times and shapes as clients write them in parameters.

Source: IVOA DALI 1.1, section 3.3; SSAP 1.1, section 8.7.2 (ranges).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from astropy.time import Time
from numpy.typing import NDArray

from . import shapes
from .dali import DaliError, finite

Interval = tuple[float, float]
PARTS_MOST = 2000
"""Most corners of a polygon."""
RANGES_MOST = 1000
"""Most ranges of one parameter, of all its values together."""
_DAY = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?")
_DAY_0 = np.datetime64("1858-11-17")


@dataclass(frozen=True, slots=True)
class Circle:
    """ICRS; deg."""

    ra: float
    dec: float
    radius: float


@dataclass(frozen=True, slots=True)
class Polygon:
    """ICRS corners (ra, dec) in deg, counter-clockwise seen from inside the sphere."""

    corners: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Range:
    """ICRS; deg; ±inf where open."""

    ra: Interval
    dec: Interval


Shape = Circle | Polygon | Range


def every_range(
    texts: Sequence[str], read: Callable[[str], list[Interval]], what: str
) -> list[Interval]:
    """The ranges of all values of a parameter. read : those of one value

    Raises DaliError for more than `RANGES_MOST`, before any is read, and what `read` does.
    """
    count = sum(text.count(",") + 1 for text in texts)
    if count > RANGES_MOST:
        raise DaliError(f"{what} holds {count:,} ranges", where=what,
                        remedy=f"give {RANGES_MOST:,} at most")  # fmt: skip
    return [one for text in texts for one in read(text)]


def joined(ranges: Sequence[Interval]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(starts, ends) of ranges, rising; those that overlap are one."""
    ends = np.array(sorted(ranges), np.float64).reshape(-1, 2)
    last = np.maximum.accumulate(ends[:, 1])
    new = np.append(True, ends[1:, 0] > last[:-1])[: len(ends)]
    return ends[new, 0], last[np.append(new[1:], True)[: len(ends)]]


def meets(
    lo: NDArray[np.float64], hi: NDArray[np.float64], ranges: Sequence[Interval]
) -> NDArray[np.bool_]:
    """(n,) whether [lo, hi] meets any of the ranges; NaN meets none."""
    starts, ends = joined(ranges)
    first = np.searchsorted(ends, lo)  # the first range that does not end before
    return np.append(starts, np.nan)[first] <= hi


def intervals(text: str, *, what: str) -> list[Interval]:
    """SSAP ranges ``1/2,3/,/4,5``: (lo, hi), ±inf where open; a value alone is lo = hi.

    Raises DaliError for what is no range, or one that falls.
    """
    parts = [p.strip() for p in text.split(",")]
    if not all(parts):
        raise DaliError(f"{what} is {text[:60]!r}, no list of ranges", where=what,
                        remedy="give values or LO/HI between commas")  # fmt: skip
    return [_ssap_range(p, what) for p in parts]


def _ssap_range(text: str, what: str) -> Interval:
    lo, slash, hi = (p.strip() for p in text.partition("/"))
    if not slash:
        value = finite(lo, what)
        return value, value
    if not lo and not hi:
        raise DaliError(f"{what} holds a range without ends", where=what)
    return _rising(finite(lo, what) if lo else -math.inf, finite(hi, what) if hi else math.inf,
                   what)  # fmt: skip


def _rising(lo: float, hi: float, what: str) -> Interval:
    if lo > hi:
        raise DaliError(f"{what} falls from {lo:g} to {hi:g}", where=what,
                        remedy="give the smaller end first")  # fmt: skip
    return lo, hi


def interval(text: str, what: str = "BAND") -> Interval:
    """A DALI interval ``lo hi``; ``-Inf`` and ``+Inf`` are open ends.

    Raises DaliError for anything but two rising numbers.
    """
    parts = text.split()
    if len(parts) != 2:
        raise DaliError(f"{what} is {text[:60]!r}, not two numbers", where=what,
                        remedy="give LO HI; -Inf and +Inf are open ends")  # fmt: skip
    return _rising(_end(parts[0], what), _end(parts[1], what), what)


def _end(text: str, what: str) -> float:
    open_ends = {"-inf": -math.inf, "+inf": math.inf, "inf": math.inf}
    found = open_ends.get(text.lower())
    return finite(text, what) if found is None else found


def circle(text: str, what: str = "CIRCLE") -> Circle:
    """``ra dec radius`` in deg. Raises DaliError."""
    ra, dec, radius = _numbers(text, what, (3,))
    if not 0 <= radius <= 180:
        raise DaliError(f"{what} has the radius {radius:g}", where=what,
                        remedy="give 0 to 180 degrees")  # fmt: skip
    return Circle(*_place(ra, dec, what), radius)


def polygon(text: str, what: str = "POLYGON") -> Polygon:
    """``ra dec ra dec …`` in deg, three corners or more. Raises DaliError."""
    numbers = _numbers(text, what, None)
    if len(numbers) < 6 or len(numbers) % 2:
        raise DaliError(f"{what} has {len(numbers)} numbers", where=what,
                        remedy="give ra and dec of three corners or more")  # fmt: skip
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return Polygon(tuple(_place(ra, dec, what) for ra, dec in pairs))


def range_(text: str, what: str = "RANGE") -> Range:
    """``ra1 ra2 dec1 dec2`` in deg; ±Inf where open. Raises DaliError."""
    parts = text.split()
    if len(parts) != 4:
        raise DaliError(f"{what} has {len(parts)} numbers, not four", where=what)
    ends = [_end(p, what) for p in parts]
    return Range((ends[0], ends[1]), _rising(ends[2], ends[3], what))


def position(text: str, what: str = "POS") -> Shape:
    """``CIRCLE …``, ``POLYGON …`` or ``RANGE …``. Raises DaliError."""
    name, _, rest = text.strip().partition(" ")
    known: dict[str, Callable[[str, str], Shape]] = {
        "CIRCLE": circle,
        "POLYGON": polygon,
        "RANGE": range_,
    }
    if name.upper() not in known:
        raise DaliError(f"{what} is {text[:60]!r}", where=what,
                        remedy="give CIRCLE, POLYGON or RANGE and numbers in degrees")  # fmt: skip
    return known[name.upper()](rest, what)


def _numbers(text: str, what: str, lengths: tuple[int, ...] | None) -> list[float]:
    parts = text.split()
    if len(parts) > 2 * PARTS_MOST or (lengths is not None and len(parts) not in lengths):
        raise DaliError(f"{what} has {len(parts)} numbers", where=what)
    return [finite(p, what) for p in parts]


def _place(ra: float, dec: float, what: str) -> tuple[float, float]:
    if not (0 <= ra <= 360 and -90 <= dec <= 90):
        raise DaliError(f"{what} names the place {ra:g} {dec:g}", where=what,
                        remedy="give 0 to 360 and -90 to 90 degrees")  # fmt: skip
    return ra, dec


def mjd(text: str, what: str = "TIME") -> float:
    """MJD (UTC) of an ISO 8601 time (``2005``, ``2005-03-01T12:30``, with or without Z).

    Raises DaliError for what is no time.
    """
    plain = text.strip().removesuffix("Z")
    try:
        if _DAY.fullmatch(plain):
            return _mjd_of(np.datetime64(plain))
        if not plain[:4].isdigit() or len(plain) > 40:
            raise ValueError(plain)
        return float(Time(plain, format="isot", scale="utc").mjd)
    except ValueError as error:
        raise DaliError(f"{what} is {text[:40]!r}, no ISO 8601 time", where=what,
                        remedy="write 2005-03-01 or 2005-03-01T12:30:00") from error  # fmt: skip


def end_mjd(text: str, what: str = "TIME") -> float:
    """The end of what a time names: of the year, the month or the day, where it stops there."""
    start, plain = mjd(text, what), text.strip().removesuffix("Z")
    return _mjd_of(np.datetime64(plain) + 1) if _DAY.fullmatch(plain) else start


def _mjd_of(date: np.datetime64) -> float:
    """MJD at the start of a year, a month or a day."""
    return float((date.astype("datetime64[D]") - _DAY_0).astype(np.int64))


def time_ranges(text: str, what: str = "TIME") -> list[Interval]:
    """SSAP ranges of ISO 8601 times as MJD (UTC). Raises DaliError."""
    out = []
    for part in text.split(","):
        lo, slash, hi = (p.strip() for p in part.partition("/"))
        if not lo and not hi:
            raise DaliError(f"{what} is {text[:60]!r}, no list of times", where=what)
        first = mjd(lo, what) if lo else -math.inf
        last = (end_mjd(hi, what) if hi else math.inf) if slash else end_mjd(lo, what)
        out.append(_rising(first, last, what))
    return out


def contains(shape: Shape, ra: float, dec: float) -> bool:
    """Whether a place (ICRS, deg) lies in a shape, its border included.

    A range with lon1 > lon2 goes through 0. Source: IVOA DALI 1.1, 3.3.
    """
    if isinstance(shape, Range):
        (west, east), (south, north) = shape.ra, shape.dec
        if not south <= dec <= north:
            return False
        return west <= ra <= east if west <= east else ra >= west or ra <= east
    found = (
        shapes.Shape("circle", (shape.ra, shape.dec, shape.radius)) if isinstance(shape, Circle)
        else shapes.Shape("polygon", tuple(v for corner in shape.corners for v in corner))
    )  # fmt: skip
    return bool(shapes.inside(np.array([ra]), np.array([dec]), found)[0])
