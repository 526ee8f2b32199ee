"""A place on the sky as astronomers type it: degrees, sexagesimal, or the coordinates in a name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..domain.errors import UsageError

RADIUS_ARCSEC = 30.0
"""How far around a place is looked when nothing is said: fibres, epochs and proper motions."""
_SIGNS = str.maketrans({"−": "-", "–": "-", "＋": "+", "º": "°", "′": "'", "’": "'", "″": '"',
                        "”": '"'})  # fmt: skip
_UNITS = {
    "": 1.0, "arcsec": 1.0, '"': 1.0, "''": 1.0, "as": 1.0, "s": 1.0, "arcmin": 60.0, "'": 60.0,
    "am": 60.0, "m": 60.0, "deg": 3600.0, "degree": 3600.0, "degrees": 3600.0, "°": 3600.0,
    "d": 3600.0,
}  # fmt: skip
_RADIUS = re.compile(
    r"[\s,;]+(?:r|radius)\s*=\s*(\d+\.?\d*|\.\d+)\s*([a-z°'\"]*)\s*$", re.IGNORECASE
)
_PLACE = re.compile(r"[\d\s.,:hmsd°'\"+-]+|[\d\s.,+-]+deg[\s,]+[\d.+-]+\s*deg", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)")
_IN_NAME = re.compile(
    r"(?:.*[\s_])?J?(\d\d)(\d\d)(\d\d(?:\.\d+)?)([+-])(\d\d)(\d\d)(\d\d(?:\.\d+)?)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Place:
    """A cone on the sky, deg, ICRS. radius_given : whether the text says the radius"""

    ra_deg: float
    dec_deg: float
    radius_deg: float = RADIUS_ARCSEC / 3600.0
    radius_given: bool = False

    @property
    def cone(self) -> tuple[float, float, float]:
        """(RA, Dec, radius) in degrees."""
        return self.ra_deg, self.dec_deg, self.radius_deg


def place_of(text: str) -> Place | None:
    """The place that a text names, None if it names none.

    ``160.25 -59.68``, ``10 41 02 -59 41 04``, ``10:41:02.3 -59:41:04``, ``10h41m02s -59d41m04s``,
    each with an optional radius at its end: ``r=30`` (arc seconds), ``r=2'``, ``r=0.5deg``.

    Raises UsageError (bad_position, bad_radius): numbers out of their range.
    """
    text = text.translate(_SIGNS).strip()
    radius = _RADIUS.search(text)
    body = text[: radius.start()].strip() if radius else text
    if not _PLACE.fullmatch(body):
        return None
    numbers = _NUMBER.findall(body)
    rest = _NUMBER.sub(" ", body)
    if "-" in rest or "+" in rest or rest.count(".") or len(numbers) not in (2, 4, 6):
        return None
    half = len(numbers) // 2
    inner = [n for i, n in enumerate(numbers) if i % half]
    if any(n[0] in "+-" for n in inner) or (half > 1 and numbers[0][0] in "+-"):
        return None
    letters = body.lower()
    if half == 2 and numbers[2][0] not in "+-" and not set("h:") & set(letters):
        return None  # four numbers alone are no position
    if half == 1:
        ra, dec = float(numbers[0]), float(numbers[1])
        ra *= 15.0 if "h" in letters else 1.0
    else:
        ra = 15.0 * _sexagesimal(numbers[:half], 24, "hours")
        dec = _sexagesimal(numbers[half:], 90, "degrees")
    return _checked(ra, dec, radius)


def place_in_name(text: str) -> Place | None:
    """The position that a designation like ``SDSS J104102.3-594104`` holds."""
    found = _IN_NAME.fullmatch(text.translate(_SIGNS).strip())
    if not found:
        return None
    ra = 15.0 * _sexagesimal(list(found.group(1, 2, 3)), 24, "hours")
    degrees = [found[4] + found[5], *found.group(6, 7)]
    return _checked(ra, _sexagesimal(degrees, 90, "degrees"), None)


def _checked(ra: float, dec: float, radius: re.Match[str] | None) -> Place:
    if not (0.0 <= ra <= 360.0 and abs(dec) <= 90.0):
        raise UsageError(f"there is no position RA {ra:g}, Dec {dec:g} deg", code="bad_position",
                         where="q", remedy="0 ≤ RA ≤ 360, −90 ≤ Dec ≤ 90")  # fmt: skip
    if radius is None:
        return Place(ra, dec)
    scale = _UNITS.get(radius[2].lower())
    if scale is None:
        raise UsageError(f"{radius[2]!r} is no unit of a radius", code="bad_radius", where="q",
                         remedy="r=30 (arcsec), r=2' or r=0.5deg")  # fmt: skip
    size = float(radius[1]) * scale / 3600.0
    if not 0.0 < size <= 180.0:
        raise UsageError(f"a radius of {size:g} deg is out of range", code="bad_radius", where="q",
                         remedy="0 < radius ≤ 180 deg")  # fmt: skip
    return Place(ra, dec, size, True)


def _sexagesimal(parts: list[str], most: int, of: str) -> float:
    """Parts as one number. Raises UsageError (bad_position)."""
    sign = -1.0 if parts[0].startswith("-") else 1.0
    values = [abs(float(p)) for p in parts]
    whole = all(v == int(v) for v in values[:-1])
    if not whole or values[0] > most or any(v >= 60.0 for v in values[1:]):
        raise UsageError(
            f"{' '.join(parts)} is no position in {of}, minutes and seconds", code="bad_position",
            where="q", remedy="for example 10 41 02.3 -59 41 04",
        )  # fmt: skip
    return sign * sum(v / 60.0**i for i, v in enumerate(values))
