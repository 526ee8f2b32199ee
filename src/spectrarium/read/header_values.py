"""Values that every survey writes a little differently: positions, times, scalars."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from ..domain.observation import Provenance, Scalar
from .fits import Header, iso_to_mjd
from .source import SourceFile

_SEXAGESIMAL = re.compile(r"\s*([+-]?)(\d{1,3})[:\sh](\d{1,2})[:\sm](\d{1,2}(?:\.\d*)?)s?\s*")


def sexagesimal(text: str) -> float | None:
    """``-12:34:56.7`` → −12.58…, in the unit of its first field; None if it is not of that form."""
    match = _SEXAGESIMAL.fullmatch(text)
    if not match:
        return None
    value = int(match[2]) + int(match[3]) / 60 + float(match[4]) / 3600
    return -value if match[1] == "-" else value


def sky_deg(
    header: Header, ra_keys: tuple[str, ...] = ("RA",), dec_keys: tuple[str, ...] = ("DEC",)
) -> tuple[float | None, float | None]:
    """(ra, dec) in degrees; sexagesimal right ascensions are hours. (None, None) if not valid.

    Numbers are taken as degrees. (0, 0) exactly is a placeholder in real headers, not a position.
    """
    ra, dec = header.first(*ra_keys), header.first(*dec_keys)
    ra_deg = _angle(ra, 15.0)
    dec_deg = _angle(dec, 1.0)
    return valid_sky(ra_deg, dec_deg)


def valid_sky(ra: float | None, dec: float | None) -> tuple[float | None, float | None]:
    """The pair, or (None, None) unless 0 ≤ ra ≤ 360, |dec| ≤ 90 and it is not exactly (0, 0)."""
    if ra is None or dec is None or not (math.isfinite(ra) and math.isfinite(dec)):
        return None, None
    if not (0.0 <= ra <= 360.0 and abs(dec) <= 90.0) or (ra == 0.0 and dec == 0.0):
        return None, None
    return ra, dec


def _angle(value: Any, factor: float) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return float(value)
    try:
        return float(value)
    except ValueError:
        x = sexagesimal(str(value))
        return None if x is None else x * factor


def mjd_of(header: Header, *keys: str) -> float | None:
    """MJD of the first of `keys` that holds a plausible MJD, a JD or an ISO date, or None."""
    for key in keys:
        value = header.get(key)
        if isinstance(value, str):
            mjd = iso_to_mjd(value)
            if mjd is None:
                try:
                    value = float(value)
                except ValueError:
                    continue
            else:
                return mjd
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if 2_400_000.5 < value < 2_500_000.5:
                return float(value) - 2_400_000.5
            if 15_000 < value < 100_000:
                return float(value)
    return None


def scalar(value: Any) -> Scalar | None:
    """A JSON-safe scalar (no NaN, no numpy types), or None."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return None


def metadata(**values: Any) -> dict[str, Scalar]:
    """The values that mean something, as JSON scalars."""
    return {k: v for k, raw in values.items() if (v := scalar(raw)) is not None}


def provenance(
    source: SourceFile,
    reader: str,
    *,
    hdu: int | None = None,
    row: int | None = None,
    pipeline: str | None = None,
    warnings: tuple[str, ...] = (),
) -> Provenance:
    """Where in `source` a spectrum was read."""
    return Provenance(
        path=source.path, member=source.member, file_hash=source.hash, reader=reader,
        hdu=hdu, row=row, pipeline=pipeline, warnings=warnings,
    )  # fmt: skip
