"""Pools that keep their spectra as the rows of 2-D arrays, whatever container holds these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import DataError
from .pool_rows import (
    MAX_ROW_BYTES,
    RATIO,
    PoolColumns,
    choose,
    no_wavelength,
    row_spectrum,
    survey_of,
    unit_known,
)
from .registry import Item
from .row_fields import SPECTRUM_IDS, normal_key
from .samples import no_wave_unit
from .source import SourceFile

_BLOCK_BYTES = 2**23


@dataclass(frozen=True, slots=True)
class Entry:
    """One array of a container: its shape and type, and the unit it declares.

    ragged : each of its elements is an array of its own length
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    unit: str | None = None
    ragged: bool = False


class Container(Protocol):
    """Named arrays that are read by ranges of rows, in rising order."""

    def entries(self) -> Mapping[str, Entry]:
        """All arrays of the container."""
        ...

    def rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Rows `start` to `stop` of an array. Raises DataError if they cannot be read."""
        ...

    def whole(self, name: str) -> NDArray[Any]:
        """All of an array. Raises DataError if it cannot be read."""
        ...

    def values(self) -> Mapping[str, Any]:
        """What the container says once: attributes and single values."""
        ...


@dataclass(frozen=True, slots=True)
class _Plan:
    columns: PoolColumns
    n: int
    single: bool
    shared: Mapping[str, NDArray[Any]]
    per_row: Mapping[str, str]


def read_matrix(source: SourceFile, reader: str, box: Container) -> Iterator[Item]:
    """One Spectrum per row of the container's flux array.

    Raises DataError (no_wavelength, no_wave_unit, mismatched_lengths, bomb, too_large).
    """
    plan = _plan(source, box)
    if plan.single:
        yield _single(source, reader, box, plan)
        return
    entries = box.entries()
    by_row = [name for name in plan.columns.arrays if name not in plan.shared]
    width = max(
        (int(np.prod(entries[n].shape[1:])) * entries[n].dtype.itemsize for n in by_row), default=1
    )
    block = int(np.clip(_BLOCK_BYTES // max(width, 1), 1, 1024))
    if any(entries[name].ragged for name in by_row):
        block = min(block, 64)
    for start in range(0, plan.n, block):
        yield from _block(source, reader, box, plan, start, min(start + block, plan.n))


def _plan(source: SourceFile, box: Container) -> _Plan:
    entries = box.entries()
    numeric = {k: e.unit for k, e in entries.items() if e.dtype.kind in "fiub" or e.ragged}
    keys = {normal_key(k) for k in entries}
    columns = choose({k: u for k, u in numeric.items() if entries[k].shape}, keys)
    if columns is None:
        raise DataError(
            f"holds no array called flux (arrays: {', '.join(list(entries)[:12]) or 'none'})",
            code="unknown_layout", where=source.where,
            remedy="name the arrays wave, flux and ivar or err",
        )  # fmt: skip
    flux = entries[columns.flux]
    single = len(flux.shape) == 1 and not flux.ragged
    n = 1 if single else flux.shape[0]
    if columns.wave is None:
        raise no_wavelength(source, tuple(entries))
    columns = _described(columns, entries, keys, box.values(), n, single)
    if not unit_known(source, columns, keys):
        raise no_wave_unit(source, f"nothing states the unit of the array {columns.wave!r}")
    _refuse_bomb(source, entries, columns)
    shared = {
        name: box.whole(name)
        for name in columns.arrays
        if not single and not entries[name].ragged
        and (entries[name].shape[0] != n or _is_grid(entries, name, columns))
    }  # fmt: skip
    shared = {name: a[0] if a.ndim == 2 and len(a) == 1 else a for name, a in shared.items()}
    used = set(columns.arrays)
    per_row = {
        normal_key(k): k
        for k, e in entries.items()
        if k not in used and e.shape[:1] == (n,) and len(e.shape) == 1 and not e.ragged
    }
    if single and columns.id_key is None:
        columns = replace(
            columns, id_key=next((k for k in SPECTRUM_IDS if k in columns.values), None)
        )
    plan = _Plan(columns, n, single, shared, per_row)
    return replace(plan, columns=replace(columns, unique_ids=_unique(box, plan)))


def _described(
    columns: PoolColumns,
    entries: Mapping[str, Entry],
    keys: set[str],
    values: Mapping[str, Any],
    n: int,
    single: bool,
) -> PoolColumns:
    """Keep as extras only what runs along the pixels; add what the survey documents."""
    flux = entries[columns.flux].shape
    extras = tuple(
        name for name in columns.extras
        if entries[name].shape == flux or (not single and entries[name].shape == flux[1:] != (n,))
    )  # fmt: skip
    columns = replace(columns, extras=extras, values=dict(values))
    multimodal = columns.flux.lower() == "spectrum_flux" and "object_id" in keys
    survey = survey_of(keys) if multimodal else None
    if survey is None:
        return columns
    return replace(
        columns, medium=survey.medium, wave_unit=columns.wave_unit or "Angstrom",
        flux_unit=columns.flux_unit or survey.flux_unit, collection=survey.collection,
        values={"specsys": survey.specsys, **values},
    )  # fmt: skip


def _is_grid(entries: Mapping[str, Entry], name: str, columns: PoolColumns) -> bool:
    """A one-dimensional array as long as a spectrum is shared, even where n rows = n pixels."""
    return len(entries[name].shape) == 1 and entries[name].shape == entries[columns.flux].shape[1:]


def _refuse_bomb(source: SourceFile, entries: Mapping[str, Entry], columns: PoolColumns) -> None:
    total = 0
    for name in columns.arrays:
        entry = entries[name]
        size = entry.dtype.itemsize * int(np.prod([float(x) for x in entry.shape]))
        row = size // max(entry.shape[0], 1) if len(entry.shape) > 1 else size
        if row > MAX_ROW_BYTES:
            raise DataError(
                f"one row of {name} has {row} bytes, at most {MAX_ROW_BYTES} are read",
                code="too_large", where=source.where, remedy="split the file",
            )  # fmt: skip
        total += size
    if total > max(MAX_ROW_BYTES, RATIO * len(source.data)):
        raise DataError(
            f"expands to {total} bytes from {len(source.data)}: refused as a decompression bomb",
            code="bomb", where=source.where, remedy="unpack it yourself if you trust it",
        )  # fmt: skip


def _unique(box: Container, plan: _Plan) -> bool:
    """Identifiers of objects may repeat; identifiers of spectra do not."""
    key = plan.columns.id_key
    if key is None or key in SPECTRUM_IDS or key not in plan.per_row:
        return True
    try:
        ids = box.whole(plan.per_row[key])
    except DataError:
        return False  # reported again when its rows are read
    return len(np.unique(ids)) == len(ids)


def _single(source: SourceFile, reader: str, box: Container, plan: _Plan) -> Item:
    arrays = {name: box.whole(name) for name in plan.columns.arrays}
    values = {key: _cell(box.whole(name)[0]) for key, name in plan.per_row.items()}
    return row_spectrum(source, reader, plan.columns, arrays, values, 0)


def _block(
    source: SourceFile, reader: str, box: Container, plan: _Plan, start: int, stop: int
) -> Iterator[Item]:
    try:
        arrays = {
            name: box.rows(name, start, stop)
            for name in plan.columns.arrays
            if name not in plan.shared
        }
        cells = {key: box.rows(name, start, stop) for key, name in plan.per_row.items()}
    except DataError as error:
        if stop - start == 1 or error.code == "stream":
            error.row = start
            yield error
            return
        for row in range(start, stop):  # a damaged chunk takes only its own rows with it
            yield from _block(source, reader, box, plan, row, row + 1)
        return
    for i in range(stop - start):
        own = {name: _row(block[i]) for name, block in arrays.items()}
        values = {key: _cell(column[i]) for key, column in cells.items()}
        yield row_spectrum(source, reader, plan.columns, {**plan.shared, **own}, values, start + i)


def _row(cell: NDArray[Any]) -> NDArray[Any]:
    """A row as an array of its own, in native byte order; (1, n) is (n,)."""
    array = np.asarray(cell)
    array = np.array(array, dtype=array.dtype.newbyteorder("="))
    return array.reshape(-1) if array.ndim == 2 and 1 in array.shape else array


def _cell(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
