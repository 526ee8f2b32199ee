"""SNID supernova templates (``.lnw``): one continuum-flattened spectrum per epoch.

Layout, as SNID's own program ``logwave`` writes it (all whitespace or fixed-width Fortran text):
a header (number of epochs, bins, first and last wavelength, spline knots, name, Δm15, type and
its two numbers), the spline's knots (one line, then one line a knot), a line with the kind of age
and the ages, then one line a bin with its central wavelength and the value at each epoch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import LinearWCS, Scale, SpecSys, SpectralAxis
from ..domain.errors import DataError
from ..domain.observation import Observation
from ..domain.spectrum import FlagScheme, FluxCalibration, Normalisation, Spectrum
from .header_values import metadata, provenance
from .registry import CERTAIN, Item, Reader
from .source import SourceFile

_HEADER = re.compile(
    r"\s*(\d{1,3})\s+(\d{2,5})\s+(\d+\.\d*)\s+(\d+\.\d*)\s+(\d{1,3})\s+(\S+)\s+(-?\d+\.\d*)\s+(\S+)"
    r"\s+(-?\d+)\s+(-?\d+)\s*"
)
_KNOTS = re.compile(r"\s*(\d{1,3})(?:\s+\d{1,3}\s+-?\d+\.\d*|\s*-?\d+\.\d+)+.*")
_SUPERNOVA_TYPES = (1, 2, 3, 4)
"""SNID's type numbers: Ia, Ib, Ic, II; 5 stands for everything that is no supernova."""
NO_DATA = 1
_SCHEME = FlagScheme("SNID coverage", {0: "NO_DATA"}, bad=NO_DATA)
_WAVE_TOLERANCE_AA = 0.02
"""Bin centres are written with two decimals and were computed in single precision."""


@dataclass(frozen=True, slots=True)
class Template:
    """The header of one template file."""

    n_epochs: int
    n_bins: int
    first_aa: float
    last_aa: float
    n_knots: int
    name: str
    dm15: float
    type_name: str
    type_number: int
    subtype_number: int


def recognise(source: SourceFile) -> int:
    """CERTAIN if the first two lines are a template's header and its knots."""
    if source.is_fits:
        return 0
    lines = bytes(source.data[:4096]).split(b"\n", 2)
    if len(lines) < 3:
        return 0
    header = _HEADER.fullmatch(lines[0].decode("latin-1"))
    knots = _KNOTS.fullmatch(lines[1].decode("latin-1"))
    if header is None or knots is None or int(header[5]) != int(knots[1]):
        return 0
    return CERTAIN


def read(source: SourceFile) -> Iterator[Item]:
    """One Spectrum per epoch: flux over continuum, minus 1, against ln λ in the rest frame."""
    lines = source.text.splitlines()
    head = _header(lines, source)
    at = 2 + head.n_knots
    if len(lines) < at + 1 + head.n_bins:
        raise DataError(
            f"{head.n_bins} bins of {head.n_epochs} epochs are announced, the file ends after "
            f"{max(len(lines) - at - 1, 0)}",
            code="truncated", where=source.where, remedy="fetch the file again",
        )  # fmt: skip
    ages = _numbers(lines[at], head.n_epochs + 1, (8, 9), source, at)
    table = np.empty((head.n_bins, head.n_epochs + 1))
    for i in range(head.n_bins):
        row = at + 1 + i
        table[i] = _numbers(lines[row], head.n_epochs + 1, (8, 9), source, row)
    axis = _axis(head, table[:, 0])
    for epoch in range(head.n_epochs):
        flux = np.ascontiguousarray(table[:, epoch + 1])
        yield _spectrum(source, head, axis, flux, epoch, ages[epoch + 1], int(ages[0]))


def _header(lines: Sequence[str], source: SourceFile) -> Template:
    match = _HEADER.fullmatch(lines[0]) if lines else None
    if match is None:
        raise DataError("not a SNID template", code="unknown_format", where=source.where)
    head = Template(
        int(match[1]), int(match[2]), float(match[3]), float(match[4]), int(match[5]), match[6],
        float(match[7]), match[8], int(match[9]), int(match[10]),
    )  # fmt: skip
    if head.n_epochs < 1 or not 0 < head.first_aa < head.last_aa:
        raise DataError(
            f"a template of {head.n_epochs} epochs from {head.first_aa} to {head.last_aa} Å",
            code="bad_table", where=source.where, remedy="fetch the file again",
        )  # fmt: skip
    return head


def _numbers(
    line: str, count: int, widths: tuple[int, int], source: SourceFile, row: int
) -> NDArray[np.float64]:
    """The numbers of a line; by Fortran's fixed widths where wide ones have grown together."""
    cells = line.split()
    if len(cells) != count:
        first, other = widths
        starts = [0, *range(first, first + other * (count - 1), other)]
        cells = [line[a : a + (other if a else first)] for a in starts]
    try:
        return np.array([float(cell) for cell in cells], dtype=np.float64)
    except ValueError as error:
        raise DataError(
            f"line {row + 1} does not hold {count} numbers", code="bad_table", where=source.where,
            row=row, remedy="fetch the file again",
        ) from error  # fmt: skip


def _axis(head: Template, written_aa: NDArray[np.float64]) -> SpectralAxis:
    """Equal bins of ln λ, unless the written bin centres are others."""
    step = math.log(head.last_aa / head.first_aa) / head.n_bins
    wcs = LinearWCS(math.log(head.first_aa) + step / 2, step, 1.0, head.n_bins)
    if np.abs(np.exp(wcs.values()) - written_aa).max() <= _WAVE_TOLERANCE_AA:
        return SpectralAxis(unit="Angstrom", wcs=wcs, scale=Scale.LN, specsys=SpecSys.SOURCE)
    return SpectralAxis(unit="Angstrom", values=written_aa, specsys=SpecSys.SOURCE)


def _spectrum(
    source: SourceFile,
    head: Template,
    axis: SpectralAxis,
    flux: NDArray[np.float64],
    epoch: int,
    age: float,
    age_flag: int,
) -> Spectrum:
    inside = np.flatnonzero(flux)
    flags = np.full(flux.shape, NO_DATA, dtype=np.uint8)
    if len(inside):  # zeros before the first and after the last value are padding, not data
        flags[inside[0] : inside[-1] + 1] = 0
    medium = source.options.medium
    if medium is not None:
        axis = SpectralAxis(
            unit=axis.unit, values=axis.values, wcs=axis.wcs, scale=axis.scale,
            medium=medium, specsys=axis.specsys,
        )  # fmt: skip
    supernova = head.type_number in _SUPERNOVA_TYPES
    return Spectrum(
        axis=axis, flux=flux, flags=flags, flag_scheme=_SCHEME, flux_unit="",
        flux_calibration=FluxCalibration.NORMALIZED,
        # divided by the continuum and 1 taken off: the level left is 0, and S/N has no meaning
        normalisation=Normalisation.CONTINUUM_SUBTRACTED,
        observation=Observation(
            obs_collection=source.options.collection or "SNID-template",
            obs_id=f"{head.name}-{epoch:03d}", target_name=head.name,
            target_class="SN" if supernova else head.type_name, calib_level=3,
            metadata=metadata(
                subclass=head.type_name, phase_days=age, age_flag=age_flag, epoch=epoch,
                dm15=head.dm15 if head.dm15 > 0 else None, continuum_level=0.0,
                type_number=head.type_number, subtype_number=head.subtype_number,
                n_knots=head.n_knots,
            ),
        ),
        provenance=provenance(
            source, "snid", row=epoch, pipeline="SNID logwave", warnings=("no coordinates",)
        ),
    )  # fmt: skip


READERS = (
    Reader(
        name="snid",
        title="SNID supernova templates (.lnw)",
        recognise=recognise,
        read=read,
        medium="unknown: templates come from many instruments",
        frame="rest (SOURCE)",
        uncertainty="none",
        mask="bins outside an epoch's coverage (written as zeros)",
        why_own="specutils has no loader",
        source="Blondin & Tonry 2007, ApJ 666, 1024, section 2; SNID 5.0 manual (logwave, plotlnw)",
    ),
)
