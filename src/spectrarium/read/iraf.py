"""IRAF one-dimensional spectra: linear, log-linear, EQUISPEC, MULTISPEC, with bands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import SpectralAxis
from ..domain.errors import DataError
from ..domain.spectrum import (
    EchelleSpectrum,
    FlagScheme,
    FluxCalibration,
    Spectrum,
    UncertaintyKind,
)
from .fits import Hdu, Header
from .header_values import provenance
from .image1d import READERS as IMAGE_READERS
from .image_header import flux_unit, observation
from .image_parts import Part, companions, label, part_of
from .iraf_lines import Line, image_lines
from .iraf_wcs import wat
from .registry import LIKELY, Item, NotASpectrum, Reader
from .sigma_pair import error_companion, is_error_array
from .source import SourceFile

_PADDING = FlagScheme("IRAF nw", {0: "BEYOND_VALID_PIXELS"})
_MIN_PIXELS = 10
_MAX_BANDS = 16
_MAX_UNNAMED_LINES = 64


def recognise(source: SourceFile) -> int:
    """LIKELY for an image whose header carries IRAF's dispersion keywords."""
    if not source.is_fits:
        return 0
    return LIKELY if any(_is_iraf(hdu) for hdu in source.fits) else 0


def _is_iraf(hdu: Hdu) -> bool:
    if hdu.kind != "image" or not 1 <= len(hdu.axes) <= 3 or hdu.axes[0] < _MIN_PIXELS:
        return False
    if 0 in hdu.axes or (len(hdu.axes) == 3 and hdu.axes[2] > _MAX_BANDS):
        return False
    h = hdu.header
    system = wat(h, 0).get("system", "")
    if system in ("equispec", "multispec") or str(h.get("CTYPE1", "")).startswith("MULTISPE"):
        return True
    if h.get("DC-FLAG") is None and "APNUM1" not in h and "BANDID1" not in h:
        return False
    return len(hdu.axes) == 1 or system in ("", "linear", "world")


def read(source: SourceFile) -> Iterator[Item]:
    """Spectra of every IRAF image in the file, a DataError for each that has no dispersion."""
    for hdu in source.fits:
        if not _is_iraf(hdu):
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
    header = hdu.header
    if _is_slit(hdu):
        yield NotASpectrum("long-slit image (IRAF ndspec)", hdu=hdu.index)
        return
    if is_error_array(source, header, hdu):
        yield NotASpectrum("error array of a flux file (SIGFILE pair)", hdu=hdu.index)
        return
    image = hdu.image()
    cube = image[(None,) * (3 - image.ndim)]  # (bands, lines, pixels)
    roles, notes = _bands(header, cube.shape[0])
    lines, wave_notes = image_lines(source, hdu, cube.shape[1], cube.shape[2])
    notes = (*notes, *wave_notes)
    if _is_echelle(lines):
        yield _echelle(source, hdu, cube, roles, lines, notes)
        return
    for i, line in enumerate(lines):
        if isinstance(line, DataError):
            yield line
        else:
            row = i if len(lines) > 1 else None
            yield _spectrum(source, hdu, cube[:, i], roles, line, row, notes)


def _is_slit(hdu: Hdu) -> bool:
    """True when the lines are places along a slit: no apertures, and DISPAXIS or many lines."""
    lines = hdu.axes[1] if len(hdu.axes) > 1 else 1
    system = wat(hdu.header, 0).get("system")
    if lines == 1 or system in ("equispec", "multispec") or "APNUM1" in hdu.header:
        return False
    multispec = str(hdu.header.get("CTYPE1", "")).startswith("MULTISPE")
    return not multispec and ("DISPAXIS" in hdu.header or lines > _MAX_UNNAMED_LINES)


# ---------------------------------------------------------------- apertures and bands


def _bands(header: Header, n: int) -> tuple[dict[str, int], tuple[str, ...]]:
    """Role → band index: ``flux``, ``sigma``, and further bands by their BANDIDn name.

    apall writes spectrum, raw, background, sigma. Without BANDIDn only the first is understood.
    """
    roles: dict[str, int] = {}
    for i in range(n):
        words = (header.string(f"BANDID{i + 1}") or "").split()
        name = words[0].lower() if words else ("spectrum" if i == 0 else f"band{i + 1}")
        roles.setdefault({"spectrum": "flux"}.get(name, name), i)
    notes: tuple[str, ...] = ()
    if "flux" not in roles:
        first = min(roles, key=roles.__getitem__)
        roles = {"flux": roles.pop(first), **roles}
        notes = (f"the first band is called {first!r}",)
    if n > 1 and header.string("BANDID2") is None:
        notes = (*notes, f"{n} bands without BANDID keywords: no uncertainty known")
    return roles, notes


def _is_echelle(lines: list[Line | DataError]) -> bool:
    """Orders of one spectrum step through wavelength; fibres of many objects do not."""
    good = [line for line in lines if isinstance(line, Line)]
    if len(good) < 2 or len(good) != len(lines):
        return False
    ends = np.array([(w[0], w[-1]) for w in (line.axis.wave_aa() for line in good)])
    if not np.isfinite(ends).all():
        return False
    step = np.diff(ends.mean(axis=1))
    length = np.abs(ends[:, 1] - ends[:, 0])
    return bool(
        (np.all(step > 0) or np.all(step < 0)) and np.median(np.abs(step) / length[1:]) > 0.3
    )


# ---------------------------------------------------------------- building


def _common(
    source: SourceFile, hdu: Hdu, flux: NDArray[Any], row: int | None, notes: tuple[str, ...]
) -> dict[str, Any]:
    noted = observation(source, hdu.header, "IRAF")
    unit = flux_unit(source, hdu.header, flux)
    calibration = unit.calibration
    if hdu.header.get("CA-FLAG") == 0 and calibration is FluxCalibration.UNKNOWN:
        calibration = FluxCalibration.ABSOLUTE  # IRAF's `calibrate` was applied
    return {
        "flux": flux, "observation": noted.observation, "flux_unit": unit.text,
        "flux_calibration": calibration,
        "provenance": provenance(
            source, "iraf", hdu=hdu.index, row=row,
            pipeline=hdu.header.string("ORIGIN"),
            warnings=(*notes, *noted.warnings, *unit.warnings),
        ),
    }  # fmt: skip


def _arrays(
    source: SourceFile, hdu: Hdu, bands: NDArray[Any], roles: dict[str, int]
) -> dict[str, Any]:
    """Uncertainty from the sigma band or from the file's error companion; the rest as extras."""
    skip = ("flux", "sigma")
    out: dict[str, Any] = {"extras": {k: bands[i] for k, i in roles.items() if k not in skip}}
    sigma = bands[roles["sigma"]] if "sigma" in roles else None
    if sigma is None:
        sigma = error_companion(source, hdu, bands[roles["flux"]].shape)
    if sigma is not None:
        out |= {"uncertainty": sigma, "uncertainty_kind": UncertaintyKind.STD}
    elif len(hdu.axes) == 1:
        beside = companions(hdu)
        out |= {"uncertainty": beside.uncertainty, "uncertainty_kind": beside.uncertainty_kind}
    return out


def _spectrum(
    source: SourceFile, hdu: Hdu, bands: NDArray[Any], roles: dict[str, int], line: Line,
    row: int | None, notes: tuple[str, ...],
) -> Spectrum:  # fmt: skip
    return Spectrum(
        axis=line.axis, flags=line.flags,
        flag_scheme=None if line.flags is None else _PADDING,
        **_common(source, hdu, bands[roles["flux"]], row, notes),
        **_arrays(source, hdu, bands, roles),
    )  # fmt: skip


def _echelle(
    source: SourceFile, hdu: Hdu, cube: NDArray[Any], roles: dict[str, int],
    lines: list[Line | DataError], notes: tuple[str, ...],
) -> Spectrum:  # fmt: skip
    good = [line for line in lines if isinstance(line, Line)]
    first = good[0].axis
    wave = np.array([line.axis.coordinate() for line in good])
    flags = None
    if any(line.flags is not None for line in good):
        none = np.zeros(cube.shape[2], np.uint8)
        flags = np.array([none if line.flags is None else line.flags for line in good])
    beams = [line.beam for line in good if line.beam is not None]
    numbers = beams if len(set(beams)) == len(good) else [line.aperture for line in good]
    return EchelleSpectrum(
        axis=SpectralAxis(unit=first.unit, values=wave, scale=first.scale, medium=first.medium,
                          specsys=first.specsys, rest_frequency_hz=first.rest_frequency_hz),
        order_numbers=tuple(numbers), flags=flags, flag_scheme=None if flags is None else _PADDING,
        **_common(source, hdu, cube[roles["flux"]], None, notes),
        **_arrays(source, hdu, cube, roles),
    )  # fmt: skip


READERS = (
    Reader(
        name="iraf",
        title="IRAF 1-D spectra (linear, log-linear, equispec, multispec; bands)",
        recognise=recognise,
        read=read,
        medium="AIRORVAC / VACUUM keyword, else unknown",
        frame="SPECSYS, or DOPCORnn equal to VHELIO; else unknown",
        uncertainty="std from the sigma band, from the error file of a SIGFILE pair, or from an "
        "extension that calls itself error, variance or ivar",
        mask="none; pixels beyond nw of a multispec line are flagged",
        why_own="specutils misreads log-linear files (axis of log10 values taken for Å) and "
        "refuses splines, pixel arrays, bands and older headers",
        source="Valdes 1993, The IRAF/NOAO Spectral World Coordinate Systems (specwcs). "
        "Wavelength unit: WAT1 units, CUNIT1, --wave-unit; else Å, IRAF's only unit for "
        "dispersion-corrected spectra, noted as assumed",
    ),
    *IMAGE_READERS,
)
