"""Any other spectrum stored as a FITS image with a linear spectral axis: the last resort."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import LinearWCS, Scale, SpecSys, SpectralAxis
from ..domain.errors import DataError
from ..domain.spectrum import Spectrum
from ..domain.units import spectral_kind
from .fits import Hdu, Header
from .header_values import provenance
from .image_axis import dispersion_unit, linear_wcs
from .image_header import flux_unit, medium, observation, specsys
from .image_parts import Companions, Part, companions, label, part_of
from .registry import GENERIC, Item, NotASpectrum, Reader
from .source import SourceFile

_SPECTRAL = re.compile(
    r"(WAVE|AWAV|FREQ|ENER|WAVN|VRAD|VELO|LAMBDA|ANGSTROM|NANOMETER|MICRON)", re.IGNORECASE
)
_OTHER_VELOCITY = re.compile(r"(VOPT|VELO$|FELO|ZOPT|BETA)")
_BLANK = re.compile(r"(LINEAR|LAMBDA|)$", re.IGNORECASE)
_DEFAULT_UNIT = {"WAVE": "m", "AWAV": "m", "FREQ": "Hz", "ENER": "J", "WAVN": "m-1",
                 "VRAD": "m s-1", "VELO": "m s-1"}  # fmt: skip
"""SI units that FITS Paper III gives an axis type without CUNIT."""
_FRAME = {"LSR": "LSRK", "HEL": "HELIOCEN", "OBS": "TOPOCENT", "GEO": "GEOCENTR"}
_MIN_PIXELS = 10
_MAX_ROWS = 64


def recognise(source: SourceFile) -> int:
    """GENERIC for an image whose first axis is, or may well be, spectral."""
    if not source.is_fits:
        return 0
    return GENERIC if any(_is_spectral(hdu) for hdu in source.fits) else 0


def _is_spectral(hdu: Hdu) -> bool:
    if hdu.kind != "image" or not hdu.axes or hdu.axes[0] < _MIN_PIXELS:
        return False
    if linear_wcs(hdu.header, hdu.axes[0]) is None:
        return False
    ctype = str(hdu.header.get("CTYPE1", "")).strip()
    rows = int(np.prod(hdu.axes[1:]))
    if _SPECTRAL.match(ctype) or _OTHER_VELOCITY.match(ctype):
        return len(hdu.axes) <= 2 or rows == 1
    unit = hdu.header.string("CUNIT1")
    if unit and spectral_kind(unit) in ("wavelength", "frequency", "wavenumber", "energy"):
        return rows == 1
    return rows == 1 and bool(_BLANK.match(ctype)) and (unit is None or not ctype)


def read(source: SourceFile) -> Iterator[Item]:
    """A spectrum for every row of every spectral image; a row of zeros holds none."""
    for hdu in source.fits:
        if not _is_spectral(hdu):
            continue
        if part_of(hdu) is not Part.FLUX:
            yield NotASpectrum(f"image extension {label(hdu)}", hdu=hdu.index)
            continue
        try:
            yield from _read_hdu(source, hdu)
        except DataError as error:
            error.hdu = hdu.index if error.hdu is None else error.hdu
            yield error


def _read_hdu(source: SourceFile, hdu: Hdu) -> Iterator[Item]:
    n = hdu.axes[0]
    rows = int(np.prod(hdu.axes[1:]))
    across = str(hdu.header.get("CTYPE2", "")).upper()
    slit = rows > 1 and re.match(r"RA|DEC|GLON|GLAT|OFFSET|ANGLE", across)
    if rows > _MAX_ROWS or slit:
        yield NotASpectrum(f"two-dimensional image ({rows} lines along a slit)", hdu=hdu.index)
        return
    axis, notes = image_axis(source, hdu, n)
    image = hdu.image().reshape(-1, n)
    beside = companions(hdu)
    for i, flux in enumerate(image):
        row = i if rows > 1 else None
        if rows > 1 and not np.count_nonzero(flux):
            yield NotASpectrum("a row of zeros", hdu=hdu.index, row=i)
            continue
        yield _spectrum(source, hdu, axis, flux, row, notes, _row_of(beside, i, n))


def _row_of(beside: Companions, row: int, n: int) -> Companions:
    """The companions of one row of a two-dimensional image."""
    error, flags = (
        None if array is None else array.reshape(-1, n)[row]
        for array in (beside.uncertainty, beside.flags)
    )
    return beside._replace(uncertainty=error, flags=flags)


def image_axis(source: SourceFile, hdu: Hdu, n: int) -> tuple[SpectralAxis, tuple[str, ...]]:
    """The spectral axis of an image (FITS Paper III types, AIPS velocities), and notes.

    ``-LOG`` axes are kept logarithmic: λ = λr exp(w/λr) is linear in ln λ (Paper III, eq. 5).
    Raises DataError for other algorithm codes, for optical and relativistic velocities (the axis
    type knows the radio convention only), and where no unit is known.
    """
    header = hdu.header
    ctype = str(header.get("CTYPE1", "")).strip().upper()
    wcs = linear_wcs(header, n)
    assert wcs is not None
    if _OTHER_VELOCITY.match(ctype):
        raise DataError(
            f"CTYPE1 = {ctype!r}: only velocities of the radio convention are read",
            code="velocity_convention", where=source.where, hdu=hdu.index,
            remedy="rewrite the axis as a frequency or wavelength",
        )  # fmt: skip
    scale = Scale.LINEAR
    if re.match(r"(WAVE|AWAV|FREQ|ENER|WAVN)-LOG", ctype):
        wcs, scale = _logarithmic(wcs, source, hdu), Scale.LN
    elif re.match(r"(WAVE|AWAV|FREQ|ENER|WAVN|VRAD)-\w\w\w", ctype):
        raise DataError(
            f"CTYPE1 = {ctype!r} is a nonlinear axis that is not read",
            code="unsupported_wcs", where=source.where, hdu=hdu.index,
            remedy="resample it to a linear or logarithmic axis",
        )  # fmt: skip
    unit, notes = _unit(source, header, ctype, wcs, scale, hdu.index)
    frame, frame_notes = _frame(source, header, ctype)
    axis = SpectralAxis(
        unit=unit, wcs=wcs, scale=scale, medium=medium(source, header, ctype), specsys=frame,
        rest_frequency_hz=header.number("RESTFRQ", "RESTFREQ"),
    )  # fmt: skip
    return axis, (*notes, *frame_notes)


def _logarithmic(wcs: LinearWCS, source: SourceFile, hdu: Hdu) -> LinearWCS:
    if wcs.crval <= 0:
        raise DataError(
            f"a logarithmic axis with CRVAL1 = {wcs.crval:g}", code="bad_dispersion",
            where=source.where, hdu=hdu.index, remedy="CRVAL1 must be the coordinate itself",
        )  # fmt: skip
    return LinearWCS(float(np.log(wcs.crval)), wcs.cdelt / wcs.crval, wcs.crpix, wcs.n)


def _unit(
    source: SourceFile, header: Header, ctype: str, wcs: LinearWCS, scale: Scale, hdu: int
) -> tuple[str, tuple[str, ...]]:
    if header.string("CUNIT1") is None and ctype[:4] in _DEFAULT_UNIT and re.fullmatch(
        r"(WAVE|AWAV|FREQ|ENER|WAVN|VRAD|VELO)(-\w+)?", ctype
    ):  # fmt: skip
        unit = _DEFAULT_UNIT[ctype[:4]]
        if unit != "m" or abs(wcs.crval) < 1.0:
            return unit, (f"no CUNIT1: {unit}, the FITS default for {ctype}",)
    return dispersion_unit(source, header, wcs, scale, hdu)


def _frame(source: SourceFile, header: Header, ctype: str) -> tuple[SpecSys, tuple[str, ...]]:
    suffix = _FRAME.get(ctype[5:8]) if ctype.startswith(("VELO-", "FELO-")) else None
    word = header.string("SPECSYS")
    notes: tuple[str, ...] = ()
    if word is not None and word.upper() not in SpecSys.__members__:
        notes = (f"SPECSYS = {word!r} is not a FITS frame: unknown",)
    return specsys(source, header, suffix), notes


def _spectrum(
    source: SourceFile, hdu: Hdu, axis: SpectralAxis, flux: NDArray[Any], row: int | None,
    notes: tuple[str, ...], beside: Companions,
) -> Spectrum:  # fmt: skip
    noted = observation(source, hdu.header, "FITS")
    unit = flux_unit(source, hdu.header, flux)
    return Spectrum(
        axis=axis, flux=flux, observation=noted.observation,
        flux_unit=unit.text, flux_calibration=unit.calibration,
        uncertainty=beside.uncertainty, uncertainty_kind=beside.uncertainty_kind,
        flags=beside.flags, flag_scheme=beside.flag_scheme,
        provenance=provenance(
            source, "fits-image", hdu=hdu.index, row=row,
            warnings=(*notes, *noted.warnings, *unit.warnings, *beside.notes),
        ),
    )  # fmt: skip


READERS = (
    Reader(
        name="fits-image",
        title="FITS image with a linear or logarithmic spectral first axis",
        recognise=recognise,
        read=read,
        medium="from CTYPE1 (AWAV air, WAVE vacuum) or AIRORVAC; else unknown",
        frame="SPECSYS or the suffix of CTYPE1 (VELO-LSR); else unknown",
        uncertainty="the image extension of the flux's shape that calls itself error, variance or "
        "ivar, else none",
        mask="the integer extension that calls itself mask, quality or flags: non-zero is bad",
        why_own="specutils' wcs1d-fits takes an axis without unit for metres, and drops medium, "
        "frame and further rows",
        source="FITS Paper III (Greisen et al. 2006); Å is assumed, and noted, where neither "
        "CTYPE1 nor CUNIT1 names a unit and the numbers lie in 800 … 60000",
    ),
)
