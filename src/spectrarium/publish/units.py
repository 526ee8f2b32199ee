"""Unit texts for others to read: as VOUnit and as FITS want them."""

from __future__ import annotations

import warnings
from functools import lru_cache

from ..domain.units import parse_unit


@lru_cache(maxsize=1024)
def fits_unit(text: str | None) -> str | None:
    """A VOUnit text in the words of the FITS standard, where these can say it."""
    unit = parse_unit(text)
    if unit is None:
        return text
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return str(unit.to_string("fits"))
        except ValueError:
            return text


@lru_cache(maxsize=1024)
def vounit(text: str | None, power: int = 1) -> str | None:
    """The unit to a power as VOUnit text; ``""`` dimensionless, None unknown or not understood.

    Units that VOUnit does not list (``electron``) are written in its grammar under their own name.
    Source: IVOA VOUnits 1.1. Valid for: what `domain.units.parse_unit` reads.
    """
    if text is None:
        return None
    if not text.strip():
        return ""
    unit = parse_unit(text)
    if unit is None:
        return None
    unit = unit**power
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # erg and Angstrom are VOUnits, only not preferred
        try:
            return str(unit.to_string("vounit"))
        except ValueError:
            scale = "" if unit.scale == 1.0 else f"{unit.scale!r}"
            parts = (
                base.name if p == 1 else f"{base.name}**{p}"
                for base, p in zip(unit.bases, unit.powers, strict=True)
            )
            return scale + ".".join(parts)
