"""Rows as text: CSV, TSV, aligned columns and JSON, batch by batch."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ..run.table_columns import Column
from .tap_schema import votable_type
from .votable_rows import is_list, is_text, shown

Batches = Iterator[pa.RecordBatch]
Overflowed = Callable[[], bool]
_WIDEST = 60
"""Characters that a column of aligned text is given at most; longer values push the next ones."""


def names_of(columns: Sequence[Column]) -> list[str]:
    """Names as they stand at the head of columns."""
    return [c.name.strip('"') for c in columns]


def csv_pieces(columns: Sequence[Column], batches: Batches, _: Overflowed) -> Iterator[bytes]:
    """RFC 4180, UTF-8, one header line; what is unknown is empty."""
    head = io.StringIO()
    csv.writer(head, lineterminator="\n").writerow(names_of(columns))
    yield head.getvalue().encode()
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
    for batch in batches:
        sink = io.BytesIO()
        arrays = [_as_text(c) for c in batch.columns]
        plain = pa.table(arrays, names=[str(i) for i in range(len(arrays))])
        pyarrow.csv.write_csv(plain, sink, options)
        yield sink.getvalue()


def tsv_pieces(columns: Sequence[Column], batches: Batches, _: Overflowed) -> Iterator[bytes]:
    """IANA's text/tab-separated-values: tabs and line ends in values become blanks."""
    yield ("\t".join(" ".join(n.split()) for n in names_of(columns)) + "\n").encode()
    for batch in batches:
        cells = [_strings(c, r"[\t\r\n]+") for c in batch.columns]
        if cells and batch.num_rows:
            yield ("\n".join(pc.binary_join_element_wise(*cells, "\t").to_pylist())
                   + "\n").encode()  # fmt: skip


def plain_pieces(columns: Sequence[Column], batches: Batches, more: Overflowed) -> Iterator[bytes]:
    """Columns under each other, for eyes: as wide as the first rows want them."""
    widths: list[int] = []
    names = names_of(columns)
    for batch in batches:
        cells = [_strings(c, r"[\t\r\n]+").to_pylist() for c in batch.columns]
        if not widths:
            widths = [
                min(_WIDEST, max([len(n), *map(len, c)])) for n, c in zip(names, cells, strict=True)
            ]
            yield _aligned([names, ["-" * w for w in widths]], widths)
        yield _aligned(zip(*cells, strict=True), widths)
    if not widths:
        yield _aligned([names], [len(n) for n in names])
    if more():
        yield b"... and more rows than were asked for\n"


def _aligned(rows: Any, widths: Sequence[int]) -> bytes:
    lines = ["  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)).rstrip()
             for row in rows]  # fmt: skip
    return "".join(f"{line}\n" for line in lines).encode()


def json_pieces(columns: Sequence[Column], batches: Batches, more: Overflowed) -> Iterator[bytes]:
    """``{"metadata": [a column each], "data": [[…], …], "overflow": …}``; unknown is null."""
    described = []
    for column, name in zip(columns, names_of(columns), strict=True):
        datatype, arraysize, xtype = votable_type(column)
        said = {"name": name, "datatype": datatype, "arraysize": arraysize, "xtype": xtype,
                "unit": column.unit, "ucd": column.ucd, "utype": column.utype,
                "description": column.about}  # fmt: skip
        described.append({k: v for k, v in said.items() if v})
    yield f'{{"metadata": {json.dumps(described)},\n"data": ['.encode()
    lead = "\n"
    for batch in batches:
        rows = zip(*(_plain(c) for c in batch.columns), strict=True)
        text = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        if text:
            yield (lead + text).encode()
            lead = ",\n"
    yield f'\n], "overflow": {json.dumps(more())}}}\n'.encode()


def _plain(column: pa.Array) -> list[Any]:
    """Values that JSON knows: NaN and infinities are none of them."""
    values: list[Any] = column.to_pylist()
    if pa.types.is_timestamp(column.type):
        return [v.isoformat() if v is not None else None for v in values]
    if pa.types.is_floating(column.type):
        return [v if v is not None and math.isfinite(v) else None for v in values]
    if is_list(column.type):
        return [v if v is None else [x if x is None or math.isfinite(x) else None for x in v]
                for v in values]  # fmt: skip
    return values


def _as_text(column: pa.Array) -> pa.Array:
    """A column as CSV writes it: vectors as numbers between blanks, NaN as nothing."""
    if is_list(column.type):
        return pa.array([None if v is None else shown(v) for v in column.to_pylist()], pa.string())
    if pa.types.is_timestamp(column.type):
        return pc.strftime(column.cast(pa.timestamp("ms")), "%Y-%m-%dT%H:%M:%S")
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    return column


def _strings(column: pa.Array, gap: str) -> pa.Array:
    """A column as text, nothing for what is unknown; what matches `gap` becomes a blank."""
    text = pc.fill_null(_as_text(column).cast(pa.string()), "")
    return pc.replace_substring_regex(text, gap, " ") if is_text(column.type) else text
