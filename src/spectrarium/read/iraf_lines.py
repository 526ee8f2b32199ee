"""The dispersion of every line of an IRAF image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import LinearWCS, Scale, SpectralAxis
from ..domain.errors import DataError
from .fits import Hdu, Header
from .image_axis import dispersion_unit, linear_wcs
from .image_header import medium, specsys
from .iraf_wcs import (
    LOG_LINEAR,
    NONLINEAR,
    NOT_CALIBRATED,
    Dispersion,
    dropped_line,
    multispec,
    physical,
    wat,
)
from .source import SourceFile


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One image line: its axis, aperture and beam; flags are 1 beyond its valid pixels."""

    axis: SpectralAxis
    aperture: int
    beam: int | None
    flags: NDArray[np.uint8] | None = None


def image_lines(
    source: SourceFile, hdu: Hdu, n_lines: int, n: int
) -> tuple[list[Line | DataError], tuple[str, ...]]:
    """The axis of each of `n_lines` lines of `n` pixels, an error for one without; and notes.

    Raises DataError: no_dispersion, no_wave_unit, bad_dispersion.
    """
    header = hdu.header
    system = wat(header, 0).get("system", "")
    if system == "multispec" or str(header.get("CTYPE1", "")).startswith("MULTISPE"):
        return _multispec_lines(source, hdu, n_lines, n)
    if (
        header.get("DC-FLAG") == NOT_CALIBRATED
        or "pixel" in wat(header, 1).get("label", "").lower()
    ):
        raise no_dispersion(source, hdu)
    log = header.get("DC-FLAG") == LOG_LINEAR
    wcs = linear_wcs(header, n)
    if wcs is None:
        raise no_dispersion(source, hdu)
    scale = Scale.LOG10 if log else Scale.LINEAR
    if log and not (-12.0 < wcs.crval < 12.0 and abs(wcs.cdelt) * n < 6.0):
        raise DataError(
            f"DC-FLAG = 1 says log10, but CRVAL1 = {wcs.crval:g}, CDELT1 = {wcs.cdelt:g}",
            code="bad_dispersion", where=source.where, hdu=hdu.index,
            remedy="set DC-FLAG to 0 if the dispersion is linear",
        )  # fmt: skip
    unit, notes = dispersion_unit(source, header, wcs, scale, hdu.index)
    axis = _axis(source, header, unit, wcs=wcs, scale=scale)
    out: list[Line | DataError] = []
    for i in range(n_lines):
        ap, beam = _apnum(header, i + 1)
        out.append(Line(axis, ap, beam))
    return out, notes


def _multispec_lines(
    source: SourceFile, hdu: Hdu, n_lines: int, n: int
) -> tuple[list[Line | DataError], tuple[str, ...]]:
    header = hdu.header
    specs = multispec(wat(header, 2), source.where, hdu.index)
    pixel = physical(header, 1).of(np.arange(1.0, n + 1.0))
    rows = physical(header, 2)
    fixed = dropped_line(header) if n_lines == 1 else None
    out: list[Line | DataError] = []
    notes: tuple[str, ...] = ()
    for i in range(n_lines):
        number = fixed or round(float(rows.of(np.array([i + 1.0]))[0]))
        d = specs.get(number)
        if d is None or d.dtype == NOT_CALIBRATED or d.nw <= 0:
            out.append(no_dispersion(source, hdu, i))
            continue
        wcs, values, scale = _coordinates(d, header, pixel)
        unit, notes = dispersion_unit(
            source, header, wcs if wcs is not None else values, scale, hdu.index
        )
        flags = (pixel > d.nw + 0.5).astype(np.uint8)
        axis = _axis(source, header, unit, wcs=wcs, values=values, scale=scale)
        out.append(Line(axis, d.aperture, d.beam, flags if flags.any() else None))
    return out, notes


def _coordinates(
    d: Dispersion, header: Header, pixel: NDArray[np.float64]
) -> tuple[LinearWCS | None, NDArray[np.float64] | None, Scale]:
    """Linear and log-linear lines stay a WCS; nonlinear ones are evaluated at every pixel."""
    if d.dtype == NONLINEAR:
        return None, d.wavelength(pixel), Scale.LINEAR
    p = physical(header, 1)
    if d.dtype == LOG_LINEAR:
        w1, dw, scale = d.w1 - float(np.log10(1.0 + d.z)), d.dw, Scale.LOG10
    else:
        w1, dw, scale = d.w1 / (1.0 + d.z), d.dw / (1.0 + d.z), Scale.LINEAR
    return LinearWCS(w1, dw / p.ltm, p.ltm + p.ltv, pixel.size), None, scale


def _axis(
    source: SourceFile,
    header: Header,
    unit: str,
    *,
    wcs: LinearWCS | None = None,
    values: NDArray[Any] | None = None,
    scale: Scale = Scale.LINEAR,
) -> SpectralAxis:
    return SpectralAxis(
        unit=unit, wcs=wcs, values=values, scale=scale,
        medium=medium(source, header), specsys=specsys(source, header),
        rest_frequency_hz=header.number("RESTFRQ", "RESTFREQ"),
    )  # fmt: skip


def no_dispersion(source: SourceFile, hdu: Hdu, row: int | None = None) -> DataError:
    """The error for an image whose pixels have no wavelengths."""
    return DataError(
        "pixels without a dispersion: the spectrum is not wavelength-calibrated",
        code="no_dispersion", where=source.where, hdu=hdu.index, row=row,
        remedy="calibrate it first (IRAF: identify, dispcor) or add CRVAL1/CDELT1",
    )  # fmt: skip


def _apnum(header: Header, i: int) -> tuple[int, int | None]:
    fields = str(header.get(f"APNUM{i}", "")).split()
    try:
        return int(float(fields[0])), int(float(fields[1])) if len(fields) > 1 else None
    except (IndexError, ValueError):
        return i, None
