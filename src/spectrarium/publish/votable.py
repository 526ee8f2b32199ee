"""Tables as VOTable 1.4, BINARY2 or TABLEDATA, written column by column and sent piece by piece.

Source: IVOA VOTable 1.4. Readers of our time stop at 1.4, so that is what is written.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..domain.errors import UsageError
from .votable_rows import NUMBERS, binary2, is_list, is_text, plain_text, shown, tabledata

Serialisation = Literal["binary2", "tabledata"]
BATCH_ROWS = 10_000
"""Rows encoded at a time: what a table of any length needs in memory."""
SHORT = 300
"""What is this short is remembered as XML has it: FIELDs are the same in every answer."""
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LINE = 57 * 1024
"""Bytes of a piece of base64: a multiple of three, so that pieces can be put together."""
_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"\
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"{namespaces}>
"""


@dataclass(frozen=True, slots=True)
class Field:
    """A FIELD or PARAM.

    datatype, arraysize, xtype : in VOTable's words · unit : VOUnit · ref : of a service descriptor
    value : of a PARAM · options, least, most : its VALUES
    """

    name: str
    datatype: str
    arraysize: str = ""
    unit: str = ""
    ucd: str = ""
    utype: str = ""
    xtype: str = ""
    about: str = ""
    id: str = ""
    ref: str = ""
    value: Any = None
    options: tuple[str, ...] = ()
    least: str = ""
    most: str = ""

    def xml(self, element: str = "FIELD") -> str:
        """The element, with its description and values."""
        inside = f"<DESCRIPTION>{text(self.about)}</DESCRIPTION>" if self.about else ""
        inner = "".join(f"<OPTION value={attribute(o)}/>" for o in self.options)
        inner += f"<MIN value={attribute(self.least)}/>" if self.least else ""
        inner += f"<MAX value={attribute(self.most)}/>" if self.most else ""
        inside += f"<VALUES>{inner}</VALUES>" if inner else ""
        said = [("ID", self.id), ("name", self.name), ("datatype", self.datatype),
                ("arraysize", self.arraysize), ("unit", self.unit), ("ucd", self.ucd),
                ("utype", self.utype), ("xtype", self.xtype), ("ref", self.ref)]  # fmt: skip
        words = "".join(f" {k}={attribute(v)}" for k, v in said if v)
        if element == "PARAM":
            words += f" value={attribute(shown(self.value))}"
        return f"<{element}{words}>{inside}</{element}>\n" if inside else f"<{element}{words}/>\n"


def param(name: str, value: Any, **more: Any) -> Field:
    """A PARAM of the type that its value has."""
    if isinstance(value, bool):
        kind, size = "boolean", ""
    elif isinstance(value, (int, np.integer)):
        kind, size = "long", ""
    elif isinstance(value, (float, np.floating)):
        kind, size = "double", ""
    elif isinstance(value, (tuple, list)):
        kind, size = "double", str(len(value))
    else:
        kind, size = ("char" if str(value).isascii() else "unicodeChar"), "*"
    more.setdefault("arraysize", size)
    return Field(name, kind, value=value, **more)


def attribute(value: str) -> str:
    """A quoted attribute, without characters that XML forbids."""
    return _attribute(value) if len(value) <= SHORT else quoteattr(_FORBIDDEN.sub("�", value))


def text(value: str) -> str:
    """Element content, without characters that XML forbids."""
    return _text(value) if len(value) <= SHORT else escape(_FORBIDDEN.sub("�", value))


@lru_cache(4096)
def _attribute(value: str) -> str:
    return quoteattr(_FORBIDDEN.sub("�", value))


@lru_cache(4096)
def _text(value: str) -> str:
    return escape(_FORBIDDEN.sub("�", value))


def info(name: str, value: str, content: str = "") -> str:
    """An INFO element."""
    return f"<INFO name={attribute(name)} value={attribute(value)}>{text(content)}</INFO>\n"


def field_of(name: str, column: pa.ChunkedArray | pa.Array, **said: Any) -> Field:
    """The FIELD of an Arrow column; `said`: unit, ucd, utype, about, id, xtype.

    Text that is not ASCII throughout becomes unicodeChar. Raises UsageError (no_votable_type).
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if kind in NUMBERS:
        return Field(name, NUMBERS[kind][0], **said)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return Field(name, "char", "*", **{"xtype": "timestamp", **said})
    if is_list(kind):
        if kind.value_type not in NUMBERS:
            raise _no_type(name, kind)
        size = str(kind.list_size) if pa.types.is_fixed_size_list(kind) else "*"
        return Field(name, NUMBERS[kind.value_type][0], size, **said)
    if is_text(kind):
        ascii_only = pc.all(pc.string_is_ascii(plain_text(column))).as_py()
        return Field(name, "unicodeChar" if ascii_only is False else "char", "*", **said)
    if pa.types.is_null(kind):
        return Field(name, "char", "*", **said)
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind) or kind == pa.uint64():
        return Field(name, "double", **said)
    raise _no_type(name, kind)


def _no_type(name: str, kind: pa.DataType) -> UsageError:
    return UsageError(f"column {name!r} of type {kind} cannot be in a VOTable",
                      code="no_votable_type", remedy="leave it out, or cast it")  # fmt: skip


# documents ------------------------------------------------------------------------------------


def fields_of(table: pa.Table, said: Mapping[str, Mapping[str, Any]] | None = None) -> list[Field]:
    """A FIELD for each column; `said` by name, else what the Arrow field's metadata says."""
    out = []
    for column, arrow in zip(table.columns, table.schema, strict=True):
        known = {k.decode(): v.decode() for k, v in (arrow.metadata or {}).items()}
        mine = {k: known[k] for k in ("unit", "ucd", "utype", "about", "xtype") if known.get(k)}
        out.append(field_of(arrow.name, column, **{**mine, **(said or {}).get(arrow.name, {})}))
    return out


def table_pieces(
    batches: Iterable[pa.RecordBatch], fields: Sequence[Field], serialisation: Serialisation,
    *, attributes: str = "", inside: str = "",
) -> Iterator[bytes]:  # fmt: skip
    """A TABLE element in pieces. attributes : further ones, as XML · inside : before its FIELDs"""
    yield f"<TABLE{attributes}>\n{inside}".encode()
    yield "".join(f.xml() for f in fields).encode()
    if serialisation == "tabledata":
        yield b"<DATA><TABLEDATA>\n"
        for batch in batches:
            yield tabledata(batch, fields)
        yield b"</TABLEDATA></DATA>\n</TABLE>\n"
        return
    yield b'<DATA><BINARY2><STREAM encoding="base64">\n'
    yield from _base64(binary2(batch, fields) for batch in batches)
    yield b"</STREAM></BINARY2></DATA>\n</TABLE>\n"


def _base64(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        rest += piece
        whole = len(rest) - len(rest) % 3
        for at in range(0, whole, _LINE):
            yield binascii.b2a_base64(rest[at : min(at + _LINE, whole)])
        rest = rest[whole:]
    if rest:
        yield binascii.b2a_base64(rest)


def document(
    table: pa.Table | Iterable[pa.RecordBatch], *, fields: Sequence[Field] | None = None,
    serialisation: Serialisation = "binary2", infos: Sequence[tuple[str, str]] = (),
    params: Sequence[Field] = (), name: str = "", about: str = "", utype: str = "",
    before: str = "", after: str = "", namespaces: str = "", last: Callable[[], str] | None = None,
) -> Iterator[bytes]:  # fmt: skip
    """A document of one result table, in pieces of flat memory.

    Parameters
    ----------
    table : or batches as they come, with their `fields`
    infos : (name, value) before the table, QUERY_STATUS among them · params : of the resource
    before : of the table, inside its resource (COOSYS), as XML
    after : further RESOURCEs (service descriptors), as XML · last : XML behind the table, asked
        for when its rows are sent (an overflow is known only then)
    Raises
    ------
    UsageError (no_votable_type)
    """
    batches = table.to_batches(BATCH_ROWS) if isinstance(table, pa.Table) else table
    fields = list(fields) if fields is not None else fields_of(table)
    head = [_HEAD.format(namespaces=namespaces)]
    head.append(f'<RESOURCE type="results"{f" utype={attribute(utype)}" if utype else ""}>\n')
    if about:
        head.append(f"<DESCRIPTION>{text(about)}</DESCRIPTION>\n")
    head += [info(key, value) for key, value in infos]
    head += [before, *(p.xml("PARAM") for p in params)]
    yield "".join(head).encode()
    words = f" name={attribute(name)}" if name else ""
    yield from table_pieces(batches, fields, serialisation, attributes=words)
    yield f"{last() if last else ''}</RESOURCE>\n{after}</VOTABLE>\n".encode()


def failure(message: str, *, overflow: bool = False) -> bytes:
    """The document of a service that could not answer (DALI 1.1, 4.4)."""
    status = "OVERFLOW" if overflow else "ERROR"
    body = info("QUERY_STATUS", status, message)
    head = _HEAD.format(namespaces="")
    return f'{head}<RESOURCE type="results">\n{body}</RESOURCE>\n</VOTABLE>\n'.encode()


def renamed(fields: Sequence[Field], ids: Mapping[str, str]) -> list[Field]:
    """Fields with XML IDs, for descriptors to refer to."""
    return [replace(f, id=ids[f.name]) if f.name in ids else f for f in fields]
