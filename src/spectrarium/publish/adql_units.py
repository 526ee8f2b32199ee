"""Units in queries: IN_UNIT and conversions between wavelength, frequency and energy."""

from __future__ import annotations

from typing import Any

from ..domain.units import parse_unit
from .adql_geometry import number
from .adql_values import AdqlError, Place

_C_M_S = 299792458.0
_H_J_S = 6.62607015e-34
"""Exact by definition: SI Brochure, 9th edition."""


def _unit(text: str, place: Place | None) -> Any:
    unit = parse_unit(text) if len(text) < 100 else None
    if unit is None:
        raise AdqlError(
            f"{text[:40]!r} is no unit",
            code="adql_unit",
            remedy="write it as VOUnit has it: km/s, Angstrom, erg/cm**2/s",
            at=place,
        )
    return unit


def factor(own: str, wanted: str, place: Place | None) -> float:
    """What values in one unit are multiplied by to be in another. Source: ADQL 2.1, section 4.6.1.

    Raises AdqlError where a unit is unknown, or the two measure different things.
    """
    if not own:
        raise AdqlError("the unit of this value is not known", code="adql_unit",
                        remedy="IN_UNIT takes columns that have one", at=place)  # fmt: skip
    from astropy.units import UnitsError

    try:
        return float(_unit(own, place).to(_unit(wanted, place)))
    except UnitsError as error:
        raise AdqlError(f"{own} cannot be given in {wanted[:40]}", code="adql_unit",
                        at=place) from error  # fmt: skip


def spectral(sql: str, own: str, wanted: str, place: Place | None) -> str:
    """SQL of a wavelength, frequency or energy in another unit: of the same kind or another."""
    from astropy import units as u

    kinds = {"m": u.m, "Hz": u.Hz, "J": u.J}
    found = []
    for text in (own, wanted):
        unit = _unit(text, place)
        kind = next((k for k, base in kinds.items() if unit.is_equivalent(base)), None)
        if kind is None:
            raise AdqlError(f"{text[:40]!r} is no wavelength, frequency or energy",
                            code="adql_unit", at=place)  # fmt: skip
        found.append((kind, float(unit.to(kinds[kind]))))
    (a, from_si), (b, to_si) = found
    if a == b:
        return f"({sql} * {number(from_si / to_si)})"
    si = f"({sql} * {number(from_si)})"
    hz = {"m": f"vo_div({number(_C_M_S)}, {si})", "Hz": si, "J": f"({si} / {number(_H_J_S)})"}[a]
    out = {"m": f"vo_div({number(_C_M_S)}, {hz})", "Hz": hz, "J": f"({hz} * {number(_H_J_S)})"}[b]
    return f"({out} / {number(to_si)})"
