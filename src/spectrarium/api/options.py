"""Declarations about files, as people write them."""

from __future__ import annotations

from ..domain.axis import Medium, SpecSys
from ..domain.errors import UsageError
from ..domain.units import parse_unit, spectral_kind
from ..read.source import ReadOptions


def read_options(
    collection: str | None = None, wave_unit: str | None = None, flux_unit: str | None = None,
    medium: str | None = None, specsys: str | None = None,
) -> ReadOptions:  # fmt: skip
    """Declarations about files, checked."""
    if wave_unit is not None and spectral_kind(wave_unit) is None:
        raise UsageError(f"{wave_unit!r} is no unit of a spectral axis", code="bad_unit",
                         where="wave_unit", remedy="e.g. Angstrom, nm, um, GHz, eV")  # fmt: skip
    if flux_unit is not None and parse_unit(flux_unit) is None:
        raise UsageError(f"{flux_unit!r} is not understood as a unit", code="bad_unit",
                         where="flux_unit", remedy="e.g. erg/s/cm2/Angstrom or Jy")  # fmt: skip
    try:
        return ReadOptions(
            collection=collection, wave_unit=wave_unit, flux_unit=flux_unit,
            medium=Medium(medium) if medium else None,
            specsys=SpecSys(specsys) if specsys else None,
        )  # fmt: skip
    except ValueError as error:
        known = ", ".join([*Medium, *SpecSys])
        raise UsageError(str(error), code="bad_option", remedy=f"choose from: {known}") from error
