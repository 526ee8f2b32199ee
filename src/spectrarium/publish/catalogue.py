"""Catalogue rows as VOTable 1.4 and as CSV: whole columns at a time."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from .sdm_votable import _FORBIDDEN, _attr
from .units import vounit

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"\
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<RESOURCE type="results">
"""
_FRAMES = """<COOSYS ID="sky" system="ICRS"/>
<TIMESYS ID="mjd_utc" timeorigin="MJD-origin" timescale="UTC" refposition="UNKNOWN"/>
<TIMESYS ID="jd_tdb" timeorigin="JD-origin" timescale="TDB" refposition="BARYCENTER"/>
"""
_REFERENCES = {"s_ra": "sky", "s_dec": "sky", "t_min": "mjd_utc", "t_max": "mjd_utc",
               "bjd_tdb": "jd_tdb"}  # fmt: skip
_TAIL = "</STREAM></BINARY2></DATA>\n</TABLE>\n</RESOURCE>\n</VOTABLE>\n"


def votable(table: pa.Table, name: str, about: Mapping[str, str]) -> bytes:
    """The VOTable document of a table.

    Parameters
    ----------
    table : numbers, words, truth values and lists of words; fields may carry ``unit``, ``ucd`` and
        ``description`` · name : of the table · about : facts of the whole, as INFO elements
    Source: IVOA VOTable 1.4 (BINARY2; unknown values carry its null flag, unknown numbers NaN too).
    """
    text = [_HEAD]
    text += [f"<INFO name={_attr(k)} value={_attr(v)}/>\n" for k, v in about.items() if v]
    text.append(_FRAMES)
    text.append(f'<TABLE name={_attr(name)} nrows="{table.num_rows}">\n')
    columns = [_wire(table.column(i)) for i in range(table.num_columns)]
    text += [_field(f, kind) for f, (_, _, kind) in zip(table.schema, columns, strict=True)]
    text.append('<DATA><BINARY2><STREAM encoding="base64">\n')
    stream = base64.encodebytes(_rows(table.num_rows, columns))
    return "".join(text).encode() + stream + _TAIL.encode()


Wire = tuple[NDArray[Any], NDArray[np.bool_], str]
"""Values as they are written, which are unknown, and how the FIELD declares them."""


def _wire(column: pa.ChunkedArray) -> Wire:
    kind = column.type
    unknown = np.asarray(column.is_null().to_numpy(), bool)
    if pa.types.is_boolean(kind):
        truth = np.asarray(pc.fill_null(column, False).to_numpy(zero_copy_only=False), bool)
        return np.where(truth, b"T", b"F").astype("S1"), unknown, 'datatype="boolean"'
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        single = pa.types.is_float32(kind)
        target = pa.float32() if single else pa.float64()
        values = np.asarray(column.cast(target, safe=False).to_numpy(zero_copy_only=False))
        unknown = ~np.isfinite(values) & (unknown | np.isnan(values))
        declared = "float" if single else "double"
        return values.astype(">f4" if single else ">f8"), unknown, f'datatype="{declared}"'
    if pa.types.is_integer(kind):
        wide = kind.bit_width > 32 or kind == pa.uint32()
        whole = pc.fill_null(column, 0).cast(pa.int64()).to_numpy(zero_copy_only=False)
        declared = "long" if wide else "int"
        return whole.astype(">i8" if wide else ">i4"), unknown, f'datatype="{declared}"'
    return _letters(column, unknown)


def _letters(column: pa.ChunkedArray, unknown: NDArray[np.bool_]) -> Wire:
    """Words in fields of one width: ASCII as char, the others as 16-bit unicodeChar."""
    words = ["" if v is None else _text(v) for v in column.to_pylist()]
    longest = max(1, max(map(len, words), default=1))
    size = f' arraysize="{longest}"' if longest > 1 else ""
    if all(map(str.isascii, words)):
        return np.array(words, f"S{longest}"), unknown, f'datatype="char"{size}'
    codes = np.array(words, f"U{longest}").view(np.uint32).reshape(len(words), longest)
    codes = np.where(codes > 0xFFFF, 0xFFFD, codes)  # VOTable knows none beyond the first plane
    return codes.astype(">u2"), unknown, f'datatype="unicodeChar"{size}'


def _text(value: Any) -> str:
    return " | ".join(map(str, value)) if isinstance(value, list) else str(value)


def _rows(n: int, columns: list[Wire]) -> bytes:
    layout: list[Any] = [("null", "u1", ((len(columns) + 7) // 8,))]
    layout += [(f"c{i}", v.dtype, v.shape[1:]) for i, (v, _, _) in enumerate(columns)]
    rows = np.zeros(n, np.dtype(layout))
    for i, (values, unknown, _) in enumerate(columns):
        rows[f"c{i}"] = values
        rows["null"][:, i // 8] |= (unknown.astype(np.uint8) << (7 - i % 8)).astype(np.uint8)
    return rows.tobytes()


def _field(field: pa.Field, kind: str) -> str:
    meta = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
    unit = meta.get("unit", "")
    said = f" unit={_attr(vounit(unit) or unit)}" if unit else ""
    said += f" ucd={_attr(meta['ucd'])}" if meta.get("ucd") else ""
    reference = _REFERENCES.get(field.name)
    said += f' ref="{reference}"' if reference else ""
    about = escape(_FORBIDDEN.sub("�", meta.get("description", "")))
    inside = f"<DESCRIPTION>{about}</DESCRIPTION>" if about else ""
    return f"<FIELD name={_attr(field.name)} {kind}{said}>{inside}</FIELD>\n"


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
