"""Unit texts for others to read: as VOUnit and as FITS want them, and what they measure."""

from __future__ import annotations

import warnings
from functools import lru_cache

from ..domain.units import parse_unit

_COUNTED = frozenset({"ct", "electron", "adu", "DN"})
_FLUXES = (
    ("W m-2 nm-1", "phot.flux.density;em.wl"), ("W m-2 Hz-1", "phot.flux.density;em.freq"),
    ("ph s-1 m-2 nm-1", "phot.flux.density;em.wl"),
    ("ph s-1 m-2 Hz-1", "phot.flux.density;em.freq"),
    ("ph s-1 m-2 keV-1", "phot.flux.density;em.energy"),
    ("W m-2 nm-1 sr-1", "phot.flux.density.sb;em.wl"),
    ("W m-2 Hz-1 sr-1", "phot.flux.density.sb;em.freq"), ("W m-2", "phot.flux"),
    ("K", "phot.antennaTemp"), ("ph", "phot.count"), ("ph s-1", "phot.count"),
)  # fmt: skip
"""Units of fluxes, and the UCD of whatever has the same dimensions."""


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


@lru_cache(maxsize=1024)
def ucd_by_unit(text: str | None) -> str:
    """The UCD of a flux by its unit alone; ``arith.ratio`` marks a dimensionless one.

    text : as files give it, ``""`` dimensionless, None unknown. A unit that is not understood is
    the flux density of which nothing more is known, as is one of another kind.
    Source: IVOA Spectrum Data Model 1.2, table 3; UCD list 1.4.
    """
    unit = None if text is None else parse_unit(text)
    if text is not None and not text.strip():
        return "phot.flux.density;arith.ratio"
    if unit is None:
        return "phot.flux.density"
    plain = unit.decompose()
    names = {base.name for base in plain.bases}
    if not names:
        return "phot.flux.density;arith.ratio"
    if names & _COUNTED:
        return "phot.count"
    return next((u for like, u in _FLUXES if unit.is_equivalent(like)), "phot.flux.density")
