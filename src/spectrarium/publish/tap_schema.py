"""What TAP says of its own tables: TAP_SCHEMA and the VOSI table set.

Source: IVOA TAP 1.1, section 4; VOSI 1.1, section 2.4; VODataService 1.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from ..domain.errors import UsageError
from ..run.table_columns import Column, VoTable
from .votable import attribute, text
from .votable_rows import NUMBERS, is_list

Tables = Mapping[str, VoTable]
_S, _I = pa.string(), pa.int32()
SCHEMAS = {
    "ivoa": "Tables defined by the IVOA",
    "spectra": "The archive's observations and what machine learning makes of them",
    "tap_schema": "What this service says of its own tables",
}
"""Schemas in the order in which they are listed."""


def _std(name: str, about: str, kind: pa.DataType = _S, ucd: str = "meta") -> Column:
    return Column(name, kind, about, ucd=ucd, principal=True, std=True,
                  wide=name == "description")  # fmt: skip


_COLUMNS: dict[str, tuple[str, tuple[Column, ...], tuple[tuple[str, str, str], ...]]] = {
    "schemas": ("Schemas of this service", (
        _std("schema_name", "Name of the schema"), _std("utype", "Its utype"),
        _std("description", "What it holds"), _std("schema_index", "Order of display", _I),
    ), ()),
    "tables": ("Tables of this service", (
        _std("schema_name", "Schema of the table"),
        _std("table_name", "Full name, as it is used in queries"),
        _std("table_type", "table or view"), _std("utype", "Its utype"),
        _std("description", "What it holds"), _std("table_index", "Order of display", _I),
    ), (("schema_name", "tap_schema.schemas", "schema_name"),)),
    "columns": ("Columns of the tables", (
        _std("table_name", "Table of the column"),
        _std("column_name", "Name, as it is used in queries"),
        _std("datatype", "VOTable type"), _std("arraysize", "VOTable array size"),
        _std("xtype", "DALI type"),
        _std('"size"', "Length of arrays that have one, kept for clients of TAP 1.0", _I),
        _std("description", "What it holds"), _std("utype", "Its utype"),
        _std("unit", "Unit (VOUnit)"), _std("ucd", "UCD1+"),
        _std("indexed", "1 where conditions on it are quick", _I),
        _std("principal", "1 where it is shown by default", _I),
        _std("std", "1 where a standard defines it", _I),
        _std("column_index", "Order of display", _I),
    ), (("table_name", "tap_schema.tables", "table_name"),)),
    "keys": ("How tables refer to each other", (
        _std("key_id", "Name of the reference"), _std("from_table", "Table that refers"),
        _std("target_table", "Table that is referred to"), _std("description", "What it means"),
        _std("utype", "Its utype"),
    ), (("from_table", "tap_schema.tables", "table_name"),
        ("target_table", "tap_schema.tables", "table_name"))),
    "key_columns": ("Columns of these references", (
        _std("key_id", "Name of the reference"),
        _std("from_column", "Column of the table that refers"),
        _std("target_column", "Column of the table that is referred to"),
    ), (("key_id", "tap_schema.keys", "key_id"),)),
}  # fmt: skip


def with_schema(tables: Tables) -> dict[str, VoTable]:
    """The tables and TAP_SCHEMA, which describes all of them, itself included."""
    out = dict(tables)
    rows: dict[str, Callable[[Tables], Iterator[tuple[Any, ...]]]] = {
        "schemas": _schemas, "tables": _tables, "columns": _columns, "keys": _keys,
        "key_columns": _key_columns,
    }  # fmt: skip
    for bare, (about, columns, joins) in _COLUMNS.items():
        name = f"tap_schema.{bare}"
        out[name] = VoTable(name, about, columns, partial(_rows, rows[bare], out, columns),
                            joins=joins)  # fmt: skip
    return dict(sorted(out.items(), key=lambda t: list(SCHEMAS).index(t[0].partition(".")[0])))


def _rows(
    rows: Callable[[Tables], Iterator[tuple[Any, ...]]], tables: Tables, columns: Sequence[Column]
) -> pa.Table:
    names = [c.name.strip('"') for c in columns]
    schema = pa.schema([(n, c.type) for n, c in zip(names, columns, strict=True)])
    found = [dict(zip(names, row, strict=True)) for row in rows(tables)]
    return pa.Table.from_pylist(found, schema)


def _schemas(tables: Tables) -> Iterator[tuple[Any, ...]]:
    there = {name.partition(".")[0] for name in tables}
    for index, name in enumerate(n for n in SCHEMAS if n in there):
        yield name, None, SCHEMAS[name], index


def _tables(tables: Tables) -> Iterator[tuple[Any, ...]]:
    for index, table in enumerate(tables.values()):
        yield (table.name.partition(".")[0], table.name, "table", table.utype or None, table.about,
               index)  # fmt: skip


def _columns(tables: Tables) -> Iterator[tuple[Any, ...]]:
    for table in tables.values():
        for index, column in enumerate(table.columns):
            datatype, arraysize, xtype = votable_type(column)
            size = int(arraysize) if arraysize.isdigit() else None
            yield (
                table.name, column.name, datatype, arraysize or None, xtype or None, size,
                column.about or None, column.utype or None, column.unit or None, column.ucd or None,
                int(column.indexed), int(column.principal), int(column.std), index,
            )  # fmt: skip


def _references(tables: Tables) -> Iterator[tuple[str, str, str, str, str]]:
    """(key, table, its column, table referred to, its column) of references to what is there."""
    for table in tables.values():
        for column, target, theirs in table.joins:
            if target in tables:
                yield f"{table.name}-{column}".replace(".", "_"), table.name, column, target, theirs


def _keys(tables: Tables) -> Iterator[tuple[Any, ...]]:
    for key, name, column, target, theirs in _references(tables):
        yield key, name, target, f"{column} is {theirs} of {target}", None


def _key_columns(tables: Tables) -> Iterator[tuple[Any, ...]]:
    for key, _, column, _, theirs in _references(tables):
        yield key, column, theirs


def votable_type(column: Column) -> tuple[str, str, str]:
    """(datatype, arraysize, xtype) of a column, in VOTable's words."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        return "char", column.arraysize or "*", column.xtype or "timestamp"
    if is_list(kind):
        size = str(kind.list_size) if pa.types.is_fixed_size_list(kind) else "*"
        return NUMBERS[kind.value_type][0], column.arraysize or size, column.xtype
    if kind in NUMBERS:
        return NUMBERS[kind][0], column.arraysize, column.xtype
    return "unicodeChar" if column.wide else "char", column.arraysize or "*", column.xtype


# VOSI -----------------------------------------------------------------------------------------

_NAMESPACES = (
    'xmlns:vosi="http://www.ivoa.net/xml/VOSITables/v1.0" '
    'xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
)
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'


def tableset(tables: Tables, *, columns: bool = True) -> bytes:
    """The VOSI table set. columns : False = names and descriptions of tables only (detail=min)"""
    parts = [f"{_XML}<vosi:tableset {_NAMESPACES}>\n"]
    for schema, about in SCHEMAS.items():
        mine = [t for t in tables.values() if t.name.startswith(schema + ".")]
        if mine:
            parts.append(f"<schema>\n<name>{schema}</name>\n<description>{text(about)}"
                         "</description>\n")  # fmt: skip
            parts += [_element("table", t, tables, columns) for t in mine]
            parts.append("</schema>\n")
    return "".join([*parts, "</vosi:tableset>\n"]).encode()


def one_table(tables: Tables, name: str) -> bytes:
    """The VOSI document of one table with its columns. Raises UsageError (no_table)."""
    folded = name.strip().lower()
    found = next((t for t in tables.values() if t.name.lower() == folded), None)
    if found is None:
        raise UsageError(f"there is no table {name[:100]!r}", code="no_table",
                         remedy="tables: " + ", ".join(tables))  # fmt: skip
    return (_XML + _element(f"vosi:table {_NAMESPACES}", found, tables, True)).encode()


def _element(tag: str, table: VoTable, tables: Tables, columns: bool) -> str:
    utype = f"<utype>{text(table.utype)}</utype>\n" if table.utype else ""
    head = f'<{tag} type="table">\n<name>{text(table.name)}</name>\n' \
           f"<description>{text(table.about)}</description>\n{utype}"  # fmt: skip
    body = ""
    if columns:
        body = "".join(map(_column, table.columns))
        body += "".join(
            f"<foreignKey><targetTable>{text(target)}</targetTable><fkColumn>"
            f"<fromColumn>{text(column)}</fromColumn><targetColumn>{text(theirs)}</targetColumn>"
            "</fkColumn></foreignKey>\n"
            for column, target, theirs in table.joins if target in tables
        )  # fmt: skip
    return f"{head}{body}</{tag.partition(' ')[0]}>\n"


def _column(column: Column) -> str:
    datatype, arraysize, xtype = votable_type(column)
    inside = f"<name>{text(column.name)}</name>"
    for tag, value in (("description", column.about), ("unit", column.unit), ("ucd", column.ucd),
                       ("utype", column.utype)):  # fmt: skip
        inside += f"<{tag}>{text(value)}</{tag}>" if value else ""
    size = f" arraysize={attribute(arraysize)}" if arraysize else ""
    extended = f" extendedType={attribute(xtype)}" if xtype else ""
    inside += f'<dataType xsi:type="vs:VOTableType"{size}{extended}>{datatype}</dataType>'
    for flag, there in (("indexed", column.indexed), ("principal", column.principal)):
        inside += f"<flag>{flag}</flag>" if there else ""
    std = ' std="true"' if column.std else ""
    return f"<column{std}>{inside}</column>\n"
