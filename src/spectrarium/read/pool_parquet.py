"""Parquet and HATS: one spectrum a row, as list columns or as a struct of lists."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
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
from .registry import Item, NotASpectrum
from .row_fields import SPECTRUM_IDS, normal_key, present
from .samples import no_wave_unit
from .source import SourceFile

_BATCH_VALUES = 2**20
_MAX_BATCH = 256
_FAILURES = (pa.ArrowException, OSError, ValueError, RuntimeError, OverflowError, MemoryError)
_FIELD = re.compile(rb"<FIELD\b[^>]*>", re.IGNORECASE)
_ATTRIBUTE = re.compile(rb"\b(name|unit)\s*=\s*[\"']([^\"']*)[\"']", re.IGNORECASE)
_HATS_DEPTH = 6


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns of a Parquet file: per-pixel ones by dotted name → unit, and one-value ones."""

    pixels: Mapping[str, str | None]
    scalars: Mapping[str, str]
    values: Mapping[str, Any]


def open_file(source: SourceFile) -> Any:
    """The pyarrow ParquetFile. Raises DataError (truncated, corrupt)."""
    if bytes(source.data[-4:]) != b"PAR1":
        raise DataError(
            "the Parquet footer is missing: the file was cut off", code="truncated",
            where=source.where, remedy="fetch the file again",
        )  # fmt: skip
    try:
        return pq.ParquetFile(
            pa.BufferReader(pa.py_buffer(source.data)), page_checksum_verification=True
        )
    except _FAILURES as error:
        raise _corrupt(source, error) from error


def _corrupt(source: SourceFile, error: Exception, row: int | None = None) -> DataError:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(
        f"damaged Parquet data: {text}", code="corrupt", where=source.where, row=row,
        remedy="fetch the file again",
    )  # fmt: skip


def read(source: SourceFile) -> Iterator[Item]:
    """One Spectrum per row, in batches: memory does not grow with the number of rows."""
    file = open_file(source)
    meta = file.metadata
    if _is_summary(meta):
        yield NotASpectrum("Parquet summary metadata (the rows are in other files)")
        return
    _refuse_bomb(source, meta)
    try:
        layout = layout_of(file.schema_arrow)
    except _FAILURES as error:
        raise _corrupt(source, error) from error
    columns = _columns(source, layout)
    if columns is None:
        yield NotASpectrum("a Parquet table without spectra")
        return
    if meta.num_rows == 0:
        yield NotASpectrum("a Parquet file without rows")
        return
    if columns.wave is None:
        raise no_wavelength(source, tuple(layout.pixels))
    if not unit_known(source, columns, set(layout.scalars)):
        raise no_wave_unit(source, f"nothing states the unit of the column {columns.wave!r}")
    columns = replace(columns, unique_ids=_ids_are_unique(file, layout, columns))
    yield from _rows(source, file, layout, columns)


def _is_summary(meta: Any) -> bool:
    filled = meta.num_row_groups and meta.row_group(0).num_columns
    return bool(filled and meta.row_group(0).column(0).file_path)


def _refuse_bomb(source: SourceFile, meta: Any) -> None:
    total = 0
    for g in range(meta.num_row_groups):
        group = meta.row_group(g)
        total += sum(8 * group.column(i).num_values for i in range(group.num_columns))
    if total > max(MAX_ROW_BYTES, RATIO * len(source.data)):
        raise DataError(
            f"expands to about {total} bytes from {len(source.data)}: refused as a "
            "decompression bomb",
            code="bomb", where=source.where, remedy="split the file if you trust it",
        )  # fmt: skip


def layout_of(schema: Any) -> Layout:
    """Sort the columns of an Arrow schema. A struct of lists gives dotted names."""
    pixels: dict[str, str | None] = {}
    grouped: dict[str, dict[str, str | None]] = {}
    scalars: dict[str, str] = {}
    info = schema.metadata or {}
    voparquet = _voparquet_units(info)
    for f in schema:
        unit = _unit(f) or voparquet.get(f.name)
        if _is_list(f.type) and _is_number(f.type.value_type):
            pixels[f.name] = unit or _unit(f.type.value_field)
        elif pa.types.is_struct(f.type):
            children = [c for c in f.type if _is_list(c.type) and _is_number(c.type.value_type)]
            grouped[f.name] = {f"{f.name}.{c.name}": _unit(c) for c in children}
        elif _is_list(f.type) and pa.types.is_struct(f.type.value_type):
            children = [c for c in f.type.value_type if _is_number(c.type)]
            grouped[f.name] = {f"{f.name}.{c.name}": _unit(c) for c in children}
        elif not pa.types.is_nested(f.type):
            scalars.setdefault(normal_key(f.name), f.name)
    best = choose(pixels, scalars)
    if best is None or best.wave is None:
        for names in grouped.values():
            inner = choose(names, scalars)
            if inner is not None and (inner.wave is not None or best is None):
                pixels = names
                break
    values = {
        normal_key(k.decode("latin-1")): v.decode("utf-8", "replace")
        for k, v in info.items()
        if len(v) <= 256 and re.fullmatch(rb"[A-Za-z][\w \-]*", k)
    }
    return Layout(pixels, scalars, values)


def _is_list(kind: Any) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _is_number(kind: Any) -> bool:
    return bool(
        pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    )


def _unit(f: Any) -> str | None:
    for key, value in (f.metadata or {}).items():
        if key.lower() in (b"unit", b"units"):
            return str(value.decode("utf-8", "replace")) or None
    return None


def _voparquet_units(info: Mapping[bytes, bytes]) -> dict[str, str]:
    """Units by column name from the VOTable header that VOParquet puts into the file."""
    out: dict[str, str] = {}
    for tag in _FIELD.findall(info.get(b"IVOA.VOTable-Parquet.content", b"")):
        found = {k.lower(): v.decode("utf-8", "replace") for k, v in _ATTRIBUTE.findall(tag)}
        if found.get(b"unit"):
            out[found.get(b"name", "")] = found[b"unit"]
    return out


def _columns(source: SourceFile, layout: Layout) -> PoolColumns | None:
    keys = set(layout.scalars)
    values = dict(layout.values)
    known: dict[str, Any] = {"collection": hats_collection(source)}
    grouped = any("." in name for name in layout.pixels)
    if grouped and "object_id" in keys:
        survey = survey_of(keys)
        known["collection"] = known["collection"] or (survey.collection if survey else None)
        if survey is not None:
            known |= {"medium": survey.medium, "wave_unit": "Angstrom",
                      "flux_unit": survey.flux_unit}  # fmt: skip
            values.setdefault("specsys", survey.specsys)
    return choose(layout.pixels, keys, values=values, **known)


def hats_collection(source: SourceFile) -> str | None:
    """``obs_collection`` of the HATS catalogue that this file is a partition of, if it is one."""
    path = Path(source.path)
    if source.member or not any(part.startswith("Norder") for part in path.parts):
        return None
    for folder in list(path.parents)[:_HATS_DEPTH]:
        for name in ("hats.properties", "properties"):
            if (folder / name).is_file():
                text = (folder / name).read_text("utf-8", "replace")[:65536]
                match = re.search(r"^\s*obs_collection\s*=\s*(\S.*?)\s*$", text, re.MULTILINE)
                return match[1] if match else None
    return None


def _ids_are_unique(file: Any, layout: Layout, columns: PoolColumns) -> bool:
    """Survey's own spectrum ids are; those of objects may repeat, which one column tells."""
    if columns.id_key is None or columns.id_key in SPECTRUM_IDS:
        return True
    try:
        ids = file.read(columns=[layout.scalars[columns.id_key]], use_threads=False).column(0)
        return bool(pc.count_distinct(ids).as_py() == file.metadata.num_rows)
    except _FAILURES:
        return False  # the damaged part is reported when its rows are read


def _rows(source: SourceFile, file: Any, layout: Layout, columns: PoolColumns) -> Iterator[Item]:
    wanted = sorted({name.split(".")[0] for name in columns.arrays} | set(layout.scalars.values()))
    row = 0
    for g in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(g)
        done = 0
        largest = max((group.column(i).num_values for i in range(group.num_columns)), default=0)
        size = _BATCH_VALUES * max(group.num_rows, 1) // max(largest, 1)
        try:
            for batch in file.iter_batches(
                batch_size=min(max(size, 1), _MAX_BATCH), row_groups=[g], columns=wanted,
                use_threads=False,
            ):  # fmt: skip
                yield from _batch(source, batch, layout, columns, row + done)
                done += batch.num_rows
        except _FAILURES as error:
            yield _corrupt(source, error, row + done)
        row += group.num_rows


def _batch(
    source: SourceFile, batch: Any, layout: Layout, columns: PoolColumns, first: int
) -> Iterator[Item]:
    arrays = {name: _flat(batch, name) for name in columns.arrays}
    scalars = {
        key: _python(batch.column(name))
        for key, name in layout.scalars.items()
        if name in batch.schema.names
    }
    for i in range(batch.num_rows):
        cells: dict[str, NDArray[Any]] = {}
        for name, (flat, offsets) in arrays.items():
            cell = _cell(flat, offsets[i], offsets[i + 1])
            if name in (columns.flux, columns.wave) or not _says_nothing(cell):
                cells[name] = cell.copy()  # a view would keep the whole batch in memory
        values = {key: column[i] for key, column in scalars.items()}
        yield row_spectrum(source, "parquet", columns, cells, values, first + i)


def _cell(flat: Any, start: np.int64, stop: np.int64) -> NDArray[Any]:
    """One row's samples; none where all of them are null."""
    if isinstance(flat, np.ndarray):
        return flat[start:stop]
    cell = flat.slice(start, stop - start)
    if cell.null_count == len(cell):
        cell = cell.slice(0, 0)
    return np.asarray(cell.to_numpy(zero_copy_only=False))


def _says_nothing(cell: NDArray[Any]) -> bool:
    """True for a null, an empty list, and the list of nulls that nested columns have instead."""
    return bool(cell.dtype.kind == "f" and np.isnan(cell).all()) or not len(cell)


def _flat(batch: Any, name: str) -> tuple[Any, NDArray[np.int64]]:
    """All samples of a list column one after the other, and where each row's begin.

    Integers and booleans among which there are nulls stay an Arrow array: one row's nulls must
    not change the type of the others.
    """
    head, _, tail = name.partition(".")
    index = batch.schema.names.index(name if name in batch.schema.names else head)
    column = batch.column(index)
    if tail and pa.types.is_struct(column.type):
        column = column.field(tail)
    lengths = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    flat = column.flatten()
    if tail and pa.types.is_struct(flat.type):
        flat = flat.field(tail)
    offsets = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
    if flat.null_count and not pa.types.is_floating(flat.type):
        return flat, offsets
    return flat.to_numpy(zero_copy_only=False), offsets


def _python(column: Any) -> list[Any]:
    values: list[Any] = column.to_pylist()
    return [v if v is None or isinstance(v, (str, int, float, bool)) else present(str(v))
            for v in values]  # fmt: skip
