"""What a query answers: its columns with what is known of their sources, its rows up to a limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ..run.table_columns import Column, VoTable, served, served_type
from .votable_rows import NUMBERS, is_list

if TYPE_CHECKING:
    from .adql import Translated
    from .tap import Query


class Cut:
    """Rows of a reader up to `most`, in the types of their columns.

    columns : of the answer · overflowed : whether there were more, once the rows are read
    """

    def __init__(self, reader: Any, columns: Sequence[Column], most: int) -> None:
        self._reader = reader
        self._most = most
        self._kinds = [c.type for c in columns]
        self.overflowed = False

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows; to be read once."""
        left = self._most
        for batch in self._reader:
            if batch.num_rows > left:
                self.overflowed = True
                batch = batch.slice(0, left)
            left -= batch.num_rows
            if batch.num_rows:
                yield _as_declared(batch, self._kinds)
            if self.overflowed:
                return


_LENGTHS = {"point": 2, "circle": 3}
"""Numbers of DALI's shapes that have always as many."""


def _result_type(kind: pa.DataType, xtype: str) -> pa.DataType:
    """The type in which results have a column: vectors stay vectors."""
    if is_list(kind) and kind.value_type in NUMBERS:
        length = _LENGTHS.get(xtype)
        return kind if length is None else pa.list_(kind.value_type, length)
    return served_type(kind)


def _as_declared(batch: pa.RecordBatch, kinds: Sequence[pa.DataType]) -> pa.RecordBatch:
    """Rows in these types; NaN is null."""
    arrays = []
    for array, kind in zip(batch.columns, kinds, strict=True):
        if not is_list(kind) and (array.type != kind or pa.types.is_floating(kind)):
            made = served(array)
            array = made.combine_chunks() if made.num_chunks != 1 else made.chunk(0)
        arrays.append(array if array.type == kind else array.cast(kind))
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def columns_of(
    translated: Translated, schema: pa.Schema, tables: Mapping[str, VoTable]
) -> tuple[Column, ...]:
    """Columns of an answer, under the names that the query gives, described as their sources."""
    out = []
    for said, field in zip(translated.columns, schema, strict=True):
        kind = _result_type(field.type, said.meta.xtype)
        source = _source(said.source, tables)
        if source is None:
            meta = said.meta
            out.append(Column(said.name, kind, meta.about, meta.unit, meta.ucd, meta.utype,
                              meta.xtype))  # fmt: skip
        else:
            fits = source.type == kind
            out.append(replace(source, name=said.name, type=kind,
                               arraysize=source.arraysize if fits else ""))  # fmt: skip
    return tuple(out)


def _source(name: str | None, tables: Mapping[str, VoTable]) -> Column | None:
    if name is None:
        return None
    table, _, column = name.rpartition(".")
    found = tables.get(table)
    folded = column.strip('"').lower()
    return next((c for c in found.columns if c.name.strip('"').lower() == folded), None) \
        if found is not None else None  # fmt: skip


def wide_names(translated: Translated, query: Query, wide: frozenset[str]) -> frozenset[str]:
    """Names of columns of the answer that may hold more than ASCII.

    wide : ``table.column`` of stored text columns that do
    """
    told = any(c.wide for t in query.uploads.values() for c in t.columns)
    anything = bool(wide) or told or not query.text.isascii()
    folded = {w.lower() for w in wide}
    out = []
    for column in translated.columns:
        source = (column.source or "").replace('"', "").lower()
        if source in folded if source else anything:
            out.append(column.name)
    return frozenset(out)
