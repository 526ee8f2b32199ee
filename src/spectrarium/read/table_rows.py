"""Spectra out of a FITS table whose columns' roles are known: one a row, or one a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import Medium, Scale, SpecSys, SpectralAxis
from ..domain.errors import DataError
from ..domain.observation import Observation
from ..domain.spectrum import (
    FlagScheme,
    FluxCalibration,
    Normalisation,
    Spectrum,
    UncertaintyKind,
)
from ..domain.units import parse_unit, spectral_kind, unit_text
from .fits import Hdu
from .header_values import provenance
from .negative_errors import without_negative_errors
from .registry import Item
from .source import ReadOptions, SourceFile
from .spectral_words import no_wave_unit, wave_unit_text
from .table_columns import Roles

_MAX_EXTRAS = 24


@dataclass(frozen=True, slots=True)
class Facts:
    """What a format's documentation, or the rest of the file, says of its columns.

    wave_unit, flux_unit : used only where the columns have no unit of their own
    good_value : the value of the flags column that means good, where that is not 0
    flag_scheme : what the flags column means, where that is documented
    notes : warnings that hold for every spectrum of the format
    """

    reader: str
    wave_unit: str | None = None
    flux_unit: str | None = None
    medium: Medium = Medium.UNKNOWN
    specsys: SpecSys = SpecSys.UNKNOWN
    calibration: FluxCalibration = FluxCalibration.UNKNOWN
    normalisation: Normalisation = Normalisation.UNKNOWN
    good_value: int | None = None
    flag_scheme: FlagScheme | None = None
    pipeline: str | None = None
    notes: tuple[str, ...] = ()


def spectra_of(
    source: SourceFile,
    hdu: Hdu,
    roles: Roles,
    facts: Facts,
    observe: Callable[[int | None], Observation],
) -> Iterator[Item]:
    """Every spectrum of a table: each row when cells are arrays, else the table as a whole.

    Parameters
    ----------
    observe : the observation of a row (None: of the whole table)
    Raises
    ------
    DataError (no_wave_unit) : neither the file, its documentation nor the user gives a unit
    """
    unit, scale = _wave_unit(source, hdu, roles, facts)
    wave, flux = hdu.column(roles.wave), hdu.column(roles.flux)
    for name, array in ((roles.wave, wave), (roles.flux, flux)):
        if array.dtype.kind not in "fiuO":
            raise DataError(
                f"column {name} is not numeric", code="bad_column", where=source.where,
                hdu=hdu.index,
            )  # fmt: skip
    columns = {roles.wave: wave, roles.flux: flux, **_others(hdu, roles)}
    rows: list[int | None] = [None]
    if wave.ndim > 1 or wave.dtype.kind == "O":
        rows = list(range(hdu.n_rows))
    elif flux.ndim > 1 or flux.dtype.kind == "O":
        raise DataError(
            f"column {roles.flux} holds arrays but {roles.wave} holds single numbers",
            code="mismatched_lengths", where=source.where, hdu=hdu.index,
            remedy="the wavelengths are elsewhere: this layout needs its own reader",
        )  # fmt: skip
    for row in rows:
        cells = {k: v if row is None else np.asarray(v[row]) for k, v in columns.items()}
        try:
            yield _spectrum(source, hdu, roles, facts, cells, unit, scale, row, observe(row))
        except DataError as error:
            error.hdu, error.row = hdu.index, row
            yield error


def said_or_declared(medium: Medium, options: ReadOptions) -> Medium:
    """What the file says of the medium, else what the user declares, else UNKNOWN."""
    return (options.medium or medium) if medium is Medium.UNKNOWN else medium


def frame_said_or_declared(specsys: SpecSys, options: ReadOptions) -> SpecSys:
    """What the file says of the frame, else what the user declares, else UNKNOWN."""
    return (options.specsys or specsys) if specsys is SpecSys.UNKNOWN else specsys


def _wave_unit(source: SourceFile, hdu: Hdu, roles: Roles, facts: Facts) -> tuple[str, Scale]:
    text = hdu.unit(roles.wave)
    unit, scale = wave_unit_text(text)
    unit = unit or roles.wave_unit or facts.wave_unit or source.options.wave_unit
    if unit is None or spectral_kind(unit) is None:
        raise no_wave_unit(roles.wave, text, source.where, hdu.index)
    return unit, scale if scale is not Scale.LINEAR else roles.scale


def _others(hdu: Hdu, roles: Roles) -> dict[str, NDArray[Any]]:
    """The error, the flags and up to 24 more numeric columns, as delivered."""
    out: dict[str, NDArray[Any]] = {}
    chosen = [n for n in (roles.error, roles.flags) if n]
    taken = (roles.wave, roles.flux, *chosen)
    columns = hdu.columns.values()
    more = [c.name for c in columns if c.code in "LBIJKEDF" and c.name not in taken]
    for name in chosen + more[:_MAX_EXTRAS]:
        out[name] = hdu.column(name)
    return out


def _spectrum(
    source: SourceFile, hdu: Hdu, roles: Roles, facts: Facts, cells: dict[str, NDArray[Any]],
    unit: str, scale: Scale, row: int | None, observation: Observation,
) -> Spectrum:  # fmt: skip
    notes = list(facts.notes)
    if observation.s_ra is None:
        notes.append("no coordinates")
    flux = cells[roles.flux]
    if flux.ndim != 1:
        raise DataError(f"column {roles.flux} has cells of shape {flux.shape}, not a list of "
                        "samples", code="bad_shape", where=source.where)  # fmt: skip
    flux_unit = _flux_unit(source, hdu, roles, facts, notes)
    error, kind = _error(hdu, roles, cells, flux_unit, notes)
    flags, scheme = _flags(roles, facts, cells, notes)
    delivered = flags
    error, kind, flags, scheme, note = without_negative_errors(error, kind, flags, scheme)
    if note:
        notes.append(note)
    whole = flags is delivered is not None and facts.good_value is None
    used = {roles.wave, roles.flux, roles.error if error is not None else None,
            roles.flags if whole else None}  # fmt: skip
    options = source.options
    return Spectrum(
        axis=SpectralAxis(
            unit, values=cells[roles.wave], scale=scale,
            medium=said_or_declared(facts.medium, options),
            specsys=frame_said_or_declared(facts.specsys, options),
        ),
        flux=flux, observation=observation,
        provenance=provenance(source, facts.reader, hdu=hdu.index, row=row,
                              pipeline=facts.pipeline, warnings=tuple(notes)),
        uncertainty=error, uncertainty_kind=kind, flags=flags, flag_scheme=scheme,
        flux_unit=flux_unit, flux_ucd=hdu.column_key("TUCD", roles.flux),
        flux_calibration=facts.calibration, normalisation=facts.normalisation,
        extras={k.lower(): v for k, v in cells.items()
                if k not in used and v.shape == flux.shape},
    )  # fmt: skip


def _flux_unit(
    source: SourceFile, hdu: Hdu, roles: Roles, facts: Facts, notes: list[str]
) -> str | None:
    text = hdu.unit(roles.flux)
    unit = unit_text(text)
    if unit is None and text:
        notes.append(f"the flux unit {text!r} means nothing that is known")
    known = (unit, facts.flux_unit, source.options.flux_unit)
    return next((u for u in known if u is not None), None)


def _error(
    hdu: Hdu, roles: Roles, cells: dict[str, NDArray[Any]], flux_unit: str | None,
    notes: list[str],
) -> tuple[NDArray[Any] | None, UncertaintyKind]:  # fmt: skip
    """The error column, unless its unit says that it is in another scale than the flux."""
    if roles.error is None or cells[roles.error].dtype.kind not in "fiu":
        return None, UncertaintyKind.NONE
    theirs, ours = parse_unit(hdu.unit(roles.error)), parse_unit(flux_unit)
    if theirs is not None and ours is not None:
        power = {UncertaintyKind.STD: 1, UncertaintyKind.VAR: 2}.get(roles.error_kind, -2)
        same = theirs.is_equivalent(ours**power)
        # TUNITs of ivar and variance columns are often just the flux's: the name is right then
        wrong = abs(theirs.to(ours**power) - 1.0) > 1e-9 if same else power == 1
        if wrong:
            notes.append(
                f"column {roles.error} is in {hdu.unit(roles.error)!r}, the flux is not: kept "
                "apart, not used as its error"
            )
            return None, UncertaintyKind.NONE
    return cells[roles.error], roles.error_kind


def _flags(
    roles: Roles, facts: Facts, cells: dict[str, NDArray[Any]], notes: list[str]
) -> tuple[NDArray[Any] | None, FlagScheme | None]:
    if roles.flags is None:
        return None, None
    raw, name = cells[roles.flags], roles.flags
    if facts.good_value is not None:
        bits = {0: f"{name} is not {facts.good_value}"}
        return (raw != facts.good_value).astype(np.uint8), FlagScheme(name, bits, bad=1)
    if raw.dtype.kind == "f":
        known = np.isfinite(raw)
        with np.errstate(invalid="ignore"):  # a null flag cannot vouch for a pixel
            whole = np.where(known, raw, 1.0).astype(np.int64)
        if not np.array_equal(whole[known], raw[known]):
            return None, None
        raw = whole
    if raw.dtype.kind not in "biu":
        return None, None
    if facts.flag_scheme is not None:
        return raw, facts.flag_scheme
    notes.append(f"any non-zero value of {name} is taken as bad: the file does not explain it")
    return raw, FlagScheme(name)
