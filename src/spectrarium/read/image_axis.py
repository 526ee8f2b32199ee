"""The linear spectral axis of a FITS image and its unit, with every assumption noted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import LinearWCS, Scale
from ..domain.errors import DataError
from ..domain.units import parse_unit, spectral_kind
from .fits import Header
from .iraf_wcs import wat
from .source import SourceFile

ASSUMED = "wavelength unit assumed: Angstrom (IRAF default)"
_PLAUSIBLE_AA = (800.0, 60_000.0)
"""Ångström is assumed only for coordinates in this range, far UV to M band."""


def linear_wcs(header: Header, n: int) -> LinearWCS | None:
    """CRVAL1, CD1_1 (or CDELT1), CRPIX1; the older W0, WPC; None where there is no step.

    CRPIX1 defaults to 1 and CD1_1 goes before CDELT1, as IRAF writes both.
    The pair (1, 1) without a unit is a pixel count, not a dispersion.
    """
    crval = header.number("CRVAL1")
    cdelt = header.number("CD1_1")
    if not cdelt:
        cdelt = header.number("CDELT1")
    crpix = header.number("CRPIX1")
    counts_pixels = crval in (0.0, 1.0) and cdelt == 1.0 and header.string("CUNIT1") is None
    if crval is None or not cdelt or counts_pixels:
        crval, cdelt, crpix = header.number("W0"), header.number("WPC"), 1.0
        if crval is None or not cdelt:
            return None
    return LinearWCS(crval, cdelt, 1.0 if crpix is None else crpix, n)


def dispersion_unit(
    source: SourceFile,
    header: Header,
    coordinate: LinearWCS | NDArray[Any] | None,
    scale: Scale,
    hdu: int,
) -> tuple[str, tuple[str, ...]]:
    """Unit of axis 1 and notes: WAT1 units, CUNIT1, a unit in CTYPE1, the user's; else Å.

    Raises DataError: no_wave_unit where nothing says and Å would be implausible or CUNIT1 names
    something else; no_rest_frequency for a velocity that cannot become a wavelength.
    """
    said = header.string("CUNIT1")
    has_rest = header.number("RESTFRQ", "RESTFREQ") is not None
    for text in (wat(header, 1).get("units"), said, header.string("CTYPE1")):
        kind = spectral_kind(text) if text else None
        if kind == "velocity" and not has_rest:
            raise DataError(
                "a velocity axis without a rest frequency", code="no_rest_frequency",
                where=source.where, hdu=hdu, remedy="add RESTFRQ to the header",
            )  # fmt: skip
        if kind is not None:
            return str(parse_unit(text)), ()
    notes = (f"CUNIT1 = {said!r} is not a spectral unit: ignored",) if said else ()
    if source.options.wave_unit:
        return source.options.wave_unit, notes
    ends = _ends(coordinate, scale)
    if said or not (_PLAUSIBLE_AA[0] <= ends[0] and ends[1] <= _PLAUSIBLE_AA[1]):
        why = f"CUNIT1 = {said!r}" if said else f"{ends[0]:g} … {ends[1]:g} is not plausible in Å"
        raise DataError(
            f"the header names no unit of wavelength, and {why}",
            code="no_wave_unit", where=source.where, hdu=hdu,
            remedy="declare it with --wave-unit",
        )  # fmt: skip
    return "Angstrom", (*notes, ASSUMED)


def _ends(coordinate: LinearWCS | NDArray[Any] | None, scale: Scale) -> tuple[float, float]:
    if isinstance(coordinate, LinearWCS):
        values = coordinate.values()[[0, -1]]
    else:
        values = np.asarray(coordinate, dtype=np.float64)[[0, -1]]
    with np.errstate(over="ignore"):
        if scale is Scale.LOG10:
            values = 10.0**values
        elif scale is Scale.LN:
            values = np.exp(values)
    return float(values.min()), float(values.max())
