"""Rows as FITS and Parquet: put together in a temporary file, since both say at a place before the
rows, or behind them, how many there are."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from astropy.io.fits.verify import VerifyWarning
from numpy.typing import NDArray

from ..run.table_columns import Column
from .fits_bytes import primary, table_header
from .tap_texts import Batches, Overflowed, names_of
from .units import fits_unit
from .votable_rows import is_list, is_text

_PIECE = 1 << 20
_BLOCK = 2880
_INTEGERS = {pa.int16(): "i2", pa.int32(): "i4", pa.int64(): "i8", pa.uint8(): "u1"}
_FLOATS = {pa.float32(): "f4", pa.float64(): "f8"}


def schema_of(columns: Sequence[Column]) -> pa.Schema:
    """The Arrow schema of rows, each field saying what its column says."""
    fields = []
    for column, name in zip(columns, names_of(columns), strict=True):
        said = {"unit": column.unit, "ucd": column.ucd, "utype": column.utype,
                "description": column.about}  # fmt: skip
        fields.append(pa.field(name, column.type, metadata={k: v for k, v in said.items() if v}))
    return pa.schema(fields)


def parquet_pieces(
    columns: Sequence[Column], batches: Batches, votable: str, more: Overflowed
) -> Iterator[bytes]:
    """Parquet, zstd, with the VOTable that describes it as metadata of the file.

    Source: VOParquet 1.0 (IVOA Note 2025): ``IVOA.VOTable-Parquet.content``.
    """
    schema = schema_of(columns)
    about = {"IVOA.VOTable-Parquet.version": "1.0", "IVOA.VOTable-Parquet.content": votable}
    with tempfile.TemporaryFile() as file:
        with pq.ParquetWriter(file, schema.with_metadata(about), compression="zstd") as out:
            for batch in batches:
                out.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=out.schema))
            if more():
                out.add_key_value_metadata({"QUERY_STATUS": "OVERFLOW"})
        yield from _sent(file)


def _sent(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while piece := file.read(_PIECE):
        yield piece


# FITS -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Cell:
    """A column of the binary table: numpy type of its cells, and what stands for unknown."""

    dtype: np.dtype[Any]
    null: int | None = None


def fits_pieces(
    columns: Sequence[Column], batches: Batches, name: str, more: Overflowed
) -> Iterator[bytes]:
    """One binary table behind an empty primary HDU.

    Texts are as wide as the longest and ASCII, other characters escaped with a backslash; vectors
    of any length are as long as the longest, NaN or 0 behind their end. Unknown numbers are NaN or
    TNULL. Source: FITS 4.0, section 7.3.
    """
    schema = schema_of(columns)
    with tempfile.TemporaryFile() as file:
        number, sizes = _spooled(file, schema, batches)
        cells = [_cell(f.type, size) for f, size in zip(schema, sizes, strict=True)]
        names = _unique(names_of(columns))
        rows = np.dtype([(n, c.dtype) for n, c in zip(names, cells, strict=True)])
        yield primary() + _header(rows, number, columns, cells, name, more())
        file.seek(0)
        sent = 0
        with pa.ipc.open_stream(file) as spool:
            for batch in spool:
                data = _rows(batch, rows, cells)
                sent += len(data)
                yield data
        yield bytes(-sent % _BLOCK)


def _unique(names: Sequence[str]) -> list[str]:
    out: list[str] = []
    for name in names:
        plain = name.encode("ascii", "backslashreplace").decode()
        while plain.lower() in {o.lower() for o in out}:
            plain += "_"
        out.append(plain)
    return out


def _spooled(file: IO[bytes], schema: pa.Schema, batches: Batches) -> tuple[int, list[int]]:
    """Keep rows in a file; how many there are, and how long the longest cell of each column is."""
    number, sizes = 0, [0] * len(schema)
    with pa.ipc.new_stream(file, schema) as spool:
        for batch in batches:
            arrays = [_ascii(c) if is_text(c.type) else c for c in batch.columns]
            number += batch.num_rows
            for i, array in enumerate(arrays):
                sizes[i] = max(sizes[i], _longest(array))
            spool.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return number, sizes


def _ascii(column: pa.Array) -> pa.Array:
    if pc.all(pc.string_is_ascii(column)).as_py() is not False:
        return column
    plain = [None if v is None else v.encode("ascii", "backslashreplace").decode()
             for v in column.to_pylist()]  # fmt: skip
    return pa.array(plain, pa.string())


def _longest(column: pa.Array) -> int:
    if is_text(column.type):
        return int(pc.max(pc.binary_length(column)).as_py() or 0)
    if is_list(column.type):
        return int(pc.max(pc.list_value_length(column)).as_py() or 0)
    return 1


def _cell(kind: pa.DataType, size: int) -> _Cell:
    if is_text(kind):
        return _Cell(np.dtype(f"S{max(size, 1)}"))
    if pa.types.is_timestamp(kind):
        return _Cell(np.dtype("S23"))
    if is_list(kind):
        base = {**_INTEGERS, **_FLOATS}[kind.value_type]
        return _Cell(np.dtype((f">{base}", (max(size, 1),))))
    if kind in _FLOATS:
        return _Cell(np.dtype(f">{_FLOATS[kind]}"))
    if pa.types.is_boolean(kind):
        return _Cell(np.dtype("u1"), 255)
    base = _INTEGERS[kind]
    return _Cell(np.dtype(f">{base}"), 255 if base == "u1" else int(np.iinfo(base).min))


def _header(
    rows: np.dtype[Any], number: int, columns: Sequence[Column], cells: Sequence[_Cell], name: str,
    overflow: bool,
) -> bytes:  # fmt: skip
    header = table_header(np.zeros(0, rows), name)
    header["NAXIS2"] = number
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VerifyWarning)  # long texts are cut
        for i, (column, cell) in enumerate(zip(columns, cells, strict=True), 1):
            if unit := fits_unit(column.unit or None):
                header[f"TUNIT{i}"] = unit
            if cell.null is not None:
                header[f"TNULL{i}"] = cell.null
            if column.ucd:
                header[f"TUCD{i}"] = column.ucd
            if column.about:
                header[f"TCOMM{i}"] = column.about.encode("ascii", "replace").decode()[:68]
        if overflow:
            header["COMMENT"] = "QUERY_STATUS OVERFLOW: there are more rows than were asked for"
    return bytes(header.tostring().encode("ascii"))


def _rows(batch: pa.RecordBatch, rows: np.dtype[Any], cells: Sequence[_Cell]) -> bytes:
    out = np.zeros(batch.num_rows, rows)
    for name, column, cell in zip(rows.names or (), batch.columns, cells, strict=True):
        out[name] = _values(column, cell)
    return out.tobytes()


def _values(column: pa.Array, cell: _Cell) -> NDArray[Any]:
    if pa.types.is_timestamp(column.type):
        column = pc.strftime(column.cast(pa.timestamp("ms")), "%Y-%m-%dT%H:%M:%S")
    if is_text(column.type):
        return np.array([v or "" for v in column.to_pylist()], cell.dtype)
    if is_list(column.type):
        return _vectors(column, cell.dtype)
    unknown = np.nan if pa.types.is_floating(column.type) else cell.null
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    filled: NDArray[Any] = pc.fill_null(column, unknown).to_numpy(zero_copy_only=False)
    return filled


def _vectors(column: pa.Array, dtype: np.dtype[Any]) -> NDArray[Any]:
    floating = dtype.base.kind == "f"
    out = np.full((len(column), *dtype.shape), np.nan if floating else 0, dtype.base)
    for i, value in enumerate(column.to_pylist()):
        if value is not None:
            out[i, : len(value)] = [np.nan if v is None else v for v in value]
    return out
