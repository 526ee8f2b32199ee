"""Catalogues of objects (CSV, ECSV, VOTable, FITS, Parquet) with units, UCDs and descriptions."""

from __future__ import annotations

import gzip
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ..domain.errors import DataError, UsageError
from .source import SourceFile


def read_table(path: str | Path) -> pa.Table:
    """A catalogue as an Arrow table; fields carry ``unit``, ``ucd`` and ``description``.

    The format is told by content. Raises UsageError (no_such_path), DataError (bad_table).
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError("there is no such file", code="no_such_path", where=str(path),
                         remedy="check the spelling")  # fmt: skip
    source = SourceFile.open(path)
    data = bytes(source.data)
    try:
        if data[:4] == b"PAR1":
            table = pa.parquet.read_table(io.BytesIO(data))
        elif source.is_fits:
            table = _astropy(data, "fits")
        elif b"<VOTABLE" in data[:4096]:
            _refuse_entities(data, source.where)
            table = _astropy(data, "votable")
        elif data.startswith(b"# %ECSV"):
            table = _astropy(data, "ascii.ecsv")
        else:
            table = _csv(data)
    except (pa.ArrowInvalid, ValueError, TypeError, KeyError, IndexError, OSError) as error:
        raise DataError(
            f"cannot be read as a table: {str(error).splitlines()[0]}", code="bad_table",
            where=source.where, remedy="CSV, ECSV, VOTable, FITS and Parquet are understood",
        ) from error  # fmt: skip
    if not table.num_rows:
        raise DataError("the table has no rows", code="bad_table", where=source.where)
    return table


def _refuse_entities(data: bytes, where: str) -> None:
    head = data[:65536].upper()
    if b"<!DOCTYPE" in head or b"<!ENTITY" in head:
        raise DataError("the XML declares a document type or entities: refused", code="bad_table",
                        where=where, remedy="remove the DOCTYPE")  # fmt: skip


def _csv(data: bytes) -> pa.Table:
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    skip = 0
    for line in data.splitlines():
        if not line.startswith(b"#"):
            break
        skip += 1
    header = data.splitlines()[skip] if data.splitlines()[skip:] else b""
    counts = {c: header.count(c.encode()) for c in ",;\t|"}
    separator = max(counts, key=lambda c: counts[c])
    return pa.csv.read_csv(
        io.BytesIO(data), read_options=pa.csv.ReadOptions(skip_rows=skip),
        parse_options=pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(strings_can_be_null=True, null_values=[
            "", "nan", "NaN", "NULL", "null", "None", "--", "N/A"]),
    )  # fmt: skip


def _astropy(data: bytes, kind: str) -> pa.Table:
    from astropy.table import Table

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = Table.read(io.BytesIO(data) if kind != "ascii.ecsv" else data.decode(), format=kind)
    arrays, fields = [], []
    for name in table.colnames:
        column = table[name]
        if column.ndim > 1:
            continue  # array cells are not labels
        values = _native(np.ma.getdata(column))
        mask = np.ma.getmaskarray(column)
        if values.dtype.kind == "f":
            mask = mask | np.isnan(values)
        array = pa.array(values.tolist() if values.dtype.kind in "UO" else values, mask=mask)
        meta = {
            "unit": str(column.unit) if column.unit is not None else "",
            "ucd": str(column.meta.get("ucd", "") or ""),
            "description": str(column.description or ""),
        }
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata={k: v for k, v in meta.items() if v}))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _native(values: Any) -> Any:
    values = np.asarray(values)
    if values.dtype.kind == "S":
        return np.char.rstrip(np.char.decode(values, "latin-1"))
    if values.dtype.kind in "fiu":
        return values.astype(values.dtype.newbyteorder("="))
    return values


def text_column(table: pa.Table, name: str) -> list[str | None]:
    """A column as stripped text (whole floats without ``.0``), None where null."""
    out: list[str | None] = []
    for value in table.column(name).to_pylist():
        if isinstance(value, float):
            value = None if np.isnan(value) else int(value) if value == int(value) else value
        out.append(None if value is None else str(value).strip())
    return out
