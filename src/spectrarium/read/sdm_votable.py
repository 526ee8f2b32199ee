"""Spectra of the Spectrum Data Model in VOTable: by utype, or by UCD where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import Medium, SpectralAxis
from ..domain.errors import DataError
from ..domain.spectrum import FlagScheme, Spectrum, UncertaintyKind
from ..domain.units import parse_unit, unit_text
from . import sdm_words as words
from .header_values import provenance
from .negative_errors import without_negative_errors
from .registry import Item, NotASpectrum
from .sdm_roles import QUALITY_SCHEME, choose, normalisation_of
from .sdm_words import FLUX, HIGH, LOW, QUALITY, STAT, WAVE, plain
from .source import SourceFile
from .spectral_words import (
    SPECTRAL_UCDS,
    calibration_of,
    is_ratio,
    medium_in_text,
    medium_of_ucd,
    no_wave_unit,
    si_unit,
    ucd_words,
    wave_unit_text,
)
from .table_columns import Field, find_roles
from .table_observation import part_observation
from .table_rows import frame_said_or_declared, said_or_declared
from .votable import VoField, VoTable, tables


def read_votable(source: SourceFile) -> Iterator[Item]:
    """Every table that is a spectrum; search results and catalogues are said to be such."""
    found = tables(source.data, source.where)
    spectral = [(i, t, r) for i, t in enumerate(found) if (r := _vo_roles(source, t))]
    if not spectral:
        yield NotASpectrum(_what(found))
        return
    for index, table, roles in spectral:
        cells = table.n_rows > 0 and _field(table, roles[WAVE]).values.dtype.kind == "O"
        shaped = _field(table, roles[WAVE]).values.ndim > 1
        rows: list[int | None] = list(range(table.n_rows)) if cells or shaped else [None]
        for row in rows:
            try:
                item = _vo_spectrum(source, table, roles, row, len(rows) > 1)
                part = f"table{index}" if len(spectral) > 1 else None
                yield item.replace(observation=part_observation(item.observation, part))
            except DataError as error:
                error.row = row
                yield error


def _what(found: list[VoTable]) -> str:
    rows = sum(t.n_rows for t in found)
    for table in found:
        for one in table.fields:
            if plain(one.utype) == "access.reference" or one.name.lower() in (
                "access_url", "accref", "acref"):  # fmt: skip
                return (f"answer of a spectral search ({rows} rows): fetch what its column "
                        f"{one.name} points at")  # fmt: skip
    if not found:
        return "VOTable without tables"
    return f"catalogue VOTable ({rows} rows, no spectral axis)"


def _field(table: VoTable, name: str) -> VoField:
    return next(f for f in table.fields if f.name == name)


def _vo_roles(source: SourceFile, table: VoTable) -> dict[str, str] | None:
    """Model role → field name, by utype or else by UCD; None if this is no spectrum."""
    by_role: dict[str, list[tuple[str, str]]] = {}
    for one in table.fields:
        by_role.setdefault(plain(one.utype), []).append((one.name, f"{one.utype}\n{one.ucd}"))
    if WAVE in by_role and FLUX in by_role:
        wave, flux, error = choose(by_role, source, None)
        named = {k: v[0][0] for k, v in by_role.items() if k in (QUALITY, LOW, HIGH)}
        return {**named, WAVE: wave, FLUX: flux, **({STAT: error} if error else {})}
    fields = [Field(f.name, f.ucd, f.unit) for f in table.fields]
    firsts = [(ucd_words(f.ucd) or [""])[0] for f in fields]
    per_row_sky = any(u.startswith("pos.eq.ra") for u in firsts)
    if not any(u in SPECTRAL_UCDS for u in firsts):
        return None
    roles = find_roles(fields, source.where)
    if roles is None:
        return None
    values = _field(table, roles.wave).values
    if per_row_sky and values.ndim == 1 and values.dtype.kind != "O":
        return None  # photometry of many positions, or a line list
    out = {WAVE: roles.wave, FLUX: roles.flux}
    if roles.error and roles.error_kind is UncertaintyKind.STD:
        out[STAT] = roles.error
    return {**out, QUALITY: roles.flags} if roles.flags else out


def _vo_spectrum(
    source: SourceFile, table: VoTable, roles: dict[str, str], row: int | None, many: bool
) -> Spectrum:
    said = words.from_params(table.params)
    if row is not None:  # one spectrum a row: its metadata are columns of that row
        said = {**said, **{plain(f.utype): f.values[row] for f in table.fields if f.utype}}
    cells = {f.name: _cell(f, row) for f in table.fields}
    wave, flux = _field(table, roles[WAVE]), _field(table, roles[FLUX])
    for one in (wave, flux):
        if cells[one.name].dtype.kind not in "iuf":
            raise DataError(f"field {one.name} is not numeric", code="bad_column",
                            where=source.where)  # fmt: skip
    notes: list[str] = []
    obs = words.observation(source, said)
    if (
        many
        and obs.obs_id
        and "curation.publisherdid" not in {plain(f.utype) for f in table.fields}
    ):
        obs = replace(obs, obs_id=f"{obs.obs_id}/row{row}")
    if obs.s_ra is None:
        notes.append("no coordinates")
    flux_unit = unit_text(flux.unit or str(said.get("data.fluxaxis.unit") or ""))
    if flux_unit is None and is_ratio(flux.ucd):
        flux_unit = ""
    error, kind = _vo_error(table, roles, cells, flux_unit, notes)
    flags = cells[roles[QUALITY]] if QUALITY in roles else None
    flags, scheme = _vo_flags(flags)
    error, kind, flags, scheme, note = without_negative_errors(error, kind, flags, scheme)
    notes += [note] if note else []
    calibration = calibration_of(said.get("char.fluxaxis.calibration"))
    taken = {roles[WAVE], roles[FLUX], roles.get(QUALITY)}
    used = taken if error is None else taken | {roles.get(STAT, roles.get(LOW))}
    return Spectrum(
        axis=_vo_axis(source, wave, cells[wave.name], said), flux=cells[flux.name],
        observation=obs, uncertainty=error, uncertainty_kind=kind, flags=flags,
        flag_scheme=scheme, flux_ucd=flux.ucd or None, flux_calibration=calibration,
        flux_unit=source.options.flux_unit if flux_unit is None else flux_unit,
        normalisation=normalisation_of(calibration.value),
        provenance=provenance(source, "sdm-votable", row=row, warnings=tuple(notes),
                              pipeline=str(said.get("dataid.version") or "") or None),
        extras={f.name.lower(): cells[f.name] for f in table.fields
                if f.name not in used and cells[f.name].dtype.kind in "biuf"
                and cells[f.name].shape == cells[flux.name].shape},
    )  # fmt: skip


def _cell(one: VoField, row: int | None) -> NDArray[Any]:
    if row is None:
        return one.values
    value = one.values[row]
    if isinstance(value, np.ma.MaskedArray):
        return np.ascontiguousarray(np.ma.getdata(value),
                                    dtype=value.dtype.newbyteorder("="))  # fmt: skip
    return np.asarray(value)


def _vo_axis(
    source: SourceFile, wave: VoField, values: NDArray[Any], said: dict[str, Any]
) -> SpectralAxis:
    text = wave.unit or str(said.get("data.spectralaxis.unit") or "") or None
    unit, scale = wave_unit_text(text)
    unit = unit or si_unit(str(said.get("spectralsi") or "")) or source.options.wave_unit
    if unit is None:
        raise no_wave_unit(wave.name, text, source.where, None)
    medium = medium_of_ucd(wave.ucd)
    if medium is Medium.UNKNOWN:
        medium = medium_of_ucd(str(said.get("char.spectralaxis.ucd") or ""))
    if medium is Medium.UNKNOWN:
        medium = medium_in_text(wave.description)
    return SpectralAxis(
        unit, values=values, scale=scale,
        medium=said_or_declared(medium, source.options),
        specsys=frame_said_or_declared(words.frame(said), source.options),
    )  # fmt: skip


def _vo_error(
    table: VoTable, roles: dict[str, str], cells: dict[str, NDArray[Any]],
    flux_unit: str | None, notes: list[str],
) -> tuple[NDArray[Any] | None, UncertaintyKind]:  # fmt: skip
    """StatError, or StatErrLow where StatErrHigh equals it; in the flux's unit or not at all."""
    name = roles.get(STAT)
    if name is None and LOW in roles and HIGH in roles:
        low, high = cells[roles[LOW]], cells[roles[HIGH]]
        if low.dtype.kind == "f" and np.array_equal(low, high, equal_nan=True):
            name = roles[LOW]
        else:
            notes.append("lower and upper errors differ: kept apart, no symmetric error")
    if name is None or cells[name].dtype.kind not in "iuf":
        return None, UncertaintyKind.NONE
    theirs = parse_unit(_field(table, name).unit)
    ours = parse_unit(flux_unit)
    if (
        theirs is not None
        and ours is not None
        and (not theirs.is_equivalent(ours) or abs(theirs.to(ours) - 1.0) > 1e-9)
    ):
        notes.append(f"field {name} is not in the unit of the flux: kept apart")
        return None, UncertaintyKind.NONE
    return cells[name], UncertaintyKind.STD


def _vo_flags(raw: NDArray[Any] | None) -> tuple[NDArray[Any] | None, FlagScheme | None]:
    """Quality: 0 is good, anything else is not (SDM 1.1, section 5.5); a null says nothing."""
    if raw is None or raw.dtype.kind not in "biuf":
        return None, None
    if raw.dtype.kind == "f":
        raw = np.where(np.isfinite(raw), raw, 0).astype(np.int64)
    return raw, QUALITY_SCHEME
