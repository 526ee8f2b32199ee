"""Catalogue rows as VOTable 1.4 and as CSV: whole columns at a time."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from .units import vounit
from .votable import Field, document, field_of

_FRAMES = """<COOSYS ID="sky" system="ICRS"/>
<TIMESYS ID="mjd_utc" timeorigin="MJD-origin" timescale="UTC" refposition="UNKNOWN"/>
<TIMESYS ID="jd_tdb" timeorigin="JD-origin" timescale="TDB" refposition="BARYCENTER"/>
"""
_REFERENCES = {"s_ra": "sky", "s_dec": "sky", "t_min": "mjd_utc", "t_max": "mjd_utc",
               "bjd_tdb": "jd_tdb"}  # fmt: skip


def votable(table: pa.Table, name: str, about: Mapping[str, str]) -> bytes:
    """The VOTable document of a table.

    Parameters
    ----------
    table : numbers, words, truth values and lists of words; fields may carry ``unit``, ``ucd``,
        ``utype`` and ``description`` · name : of the table · about : facts of the whole, as INFO
        elements
    Source: IVOA VOTable 1.4 (BINARY2; unknown values carry its null flag).
    """
    columns = [_known(c) for c in table.columns]
    fields = [_field(f, c) for f, c in zip(table.schema, columns, strict=True)]
    plain = pa.table(columns, names=table.column_names)
    infos = [(key, value) for key, value in about.items() if value]
    return b"".join(document(plain, fields=fields, name=name, infos=infos, before=_FRAMES))


def _known(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column with NaN as unknown, lists as text."""
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    if pa.types.is_list(column.type):
        words = [None if v is None else _text(v) for v in column.to_pylist()]
        return pa.chunked_array([pa.array(words, pa.string())])
    return column


def _field(field: pa.Field, column: pa.ChunkedArray) -> Field:
    meta = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
    unit = meta.get("unit", "")
    return field_of(
        field.name, column, unit=vounit(unit) or unit, ucd=meta.get("ucd", ""),
        utype=meta.get("utype", ""), about=meta.get("description", ""),
        ref=_REFERENCES.get(field.name, ""),
    )  # fmt: skip


def _text(value: Any) -> str:
    return " | ".join(map(str, value)) if isinstance(value, list) else str(value)


def csv(table: pa.Table) -> bytes:
    """The table as CSV (RFC 4180, UTF-8): a header, unknown values empty, NaN too."""
    columns = []
    for i in range(table.num_columns):
        column = table.column(i)
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))
        elif pa.types.is_list(column.type):
            words = [None if v is None else _text(v) for v in column.to_pylist()]
            column = pa.chunked_array([pa.array(words, pa.string())])
        columns.append(column)
    sink = io.BytesIO()
    pyarrow.csv.write_csv(pa.table(columns, names=table.column_names), sink,
                          pyarrow.csv.WriteOptions(quoting_style="needed"))  # fmt: skip
    return sink.getvalue()
