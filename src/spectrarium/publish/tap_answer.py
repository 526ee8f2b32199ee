"""What a query answers: its columns with what is known of their sources, its rows up to a limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ..run.table_columns import Column, VoTable, served, served_type
from .votable_rows import is_list

if TYPE_CHECKING:
    from .adql import Translated
    from .tap import Query


class Cut:
    """Rows of a reader up to `most`, in the types that results have.

    overflowed : whether there were more, once the rows are read
    """

    def __init__(self, reader: Any, most: int) -> None:
        self._reader = reader
        self._most = most
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
                yield result_batch(batch)
            if self.overflowed:
                return


def result_type(kind: pa.DataType) -> pa.DataType:
    """The type in which results have a column: vectors stay vectors."""
    if is_list(kind) and pa.types.is_floating(kind.value_type):
        return kind
    return served_type(kind)


def result_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows in the types of `result_type`; NaN is null."""
    arrays = []
    for column in batch.columns:
        wanted = result_type(column.type)
        if column.type != wanted or pa.types.is_floating(wanted):
            made = served(column)
            column = made.combine_chunks() if made.num_chunks != 1 else made.chunk(0)
        arrays.append(column if column.type == wanted else column.cast(wanted))
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def columns_of(
    translated: Translated, schema: pa.Schema, tables: Mapping[str, VoTable]
) -> tuple[Column, ...]:
    """Columns of an answer, under the names that the query gives, described as their sources."""
    out = []
    for said, field in zip(translated.columns, schema, strict=True):
        kind = result_type(field.type)
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
