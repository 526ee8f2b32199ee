"""What a table of the Virtual Observatory is: columns that describe themselves, rows made late."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

RESERVED = frozenset(re.findall(r"\w+", """
absolute action add all allocate alter and any are as asc assertion at authorization avg
begin between bit bit_length both by cascade cascaded case cast catalog char character
char_length character_length check close coalesce collate collation column commit connect
connection constraint constraints continue convert corresponding count create cross current
current_date current_time current_timestamp current_user cursor date day deallocate decimal
declare default deferrable deferred delete desc describe descriptor diagnostics disconnect
distinct domain double drop else end except exception exec execute exists external extract false
fetch first float for foreign found from full get global go goto grant group having hour identity
ilike immediate in indicator initially inner input insensitive insert int integer intersect
interval into is isolation join key language last leading left level like local lower match max
min minute module month names national natural nchar next no not null nullif numeric
octet_length of offset on only open option or order outer output overlaps pad partial position
precision prepare preserve primary prior privileges procedure public read real references relative
restrict revoke right rollback rows schema scroll second section select session session_user set
size smallint some space sql sqlcode sqlerror sqlstate substring sum system_user table temporary
then time timestamp timezone_hour timezone_minute to top trailing transaction translate translation
trim true union unique unknown update upper usage user using value values varchar varying view when
whenever where with work write year zone abs acos area asin atan atan2 bigint box ceiling centroid
circle contains coord1 coord2 coordsys cos cot degrees distance exp floor in_unit intersects log
log10 mod pi point polygon power radians region rand round sign sin sqrt tan truncate
"""))  # fmt: skip
"""Words that name no column without quotes: ADQL 2.1, section 2.1.2."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: Arrow type, unit, UCD1+, utype, one sentence, and what TAP_SCHEMA says besides.

    name : a regular identifier of ADQL · xtype : DALI's · indexed : conditions on it are quick
    principal : shown by default · std : defined by a standard · arraysize : VOTable's, if it is
    not that of the type · wide : text that may hold more than ASCII
    """

    name: str
    type: pa.DataType
    about: str = ""
    unit: str = ""
    ucd: str = ""
    utype: str = ""
    xtype: str = ""
    arraysize: str = ""
    principal: bool = False
    indexed: bool = False
    std: bool = False
    wide: bool = False


@dataclass(frozen=True, slots=True)
class VoTable:
    """A table: its full name (``schema.table``), what it holds, its columns, and how to get rows.

    arrow : all rows, with these columns in this order · some : the same with the columns named
    only, for tables that are large · rows : how many, where it is known
    joins : (own column, table, its column) by which it refers to others
    """

    name: str
    about: str
    columns: tuple[Column, ...]
    arrow: Callable[[], pa.Table] = field(repr=False, compare=False)
    rows: int | None = None
    utype: str = ""
    joins: tuple[tuple[str, str, str], ...] = ()
    some: Callable[[Collection[str]], pa.Table] | None = field(default=None, repr=False,
                                                               compare=False)  # fmt: skip


def identifiers(names: Iterable[str]) -> list[str]:
    """Regular identifiers of ADQL for names of any kind, none twice whatever their case."""
    out: list[str] = []
    taken: set[str] = set()
    for name in names:
        plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "unnamed"
        if not plain[0].isalpha():
            plain = f"c_{plain}"
        if plain.lower() in RESERVED:
            plain += "_"
        unique, number = plain, 1
        while unique.lower() in taken:
            number += 1
            unique = f"{plain}_{number}"
        taken.add(unique.lower())
        out.append(unique)
    return out


_WIDER = {
    pa.bool_(): pa.int16(), pa.int8(): pa.int16(), pa.uint8(): pa.int16(), pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(), pa.uint64(): pa.float64(), pa.float16(): pa.float32(),
    pa.null(): pa.string(), pa.large_string(): pa.string(),
}  # fmt: skip


def served_type(kind: pa.DataType) -> pa.DataType:
    """The type that ADQL knows for an Arrow type: ADQL 2.1 has no truth values or unsigned ones."""
    if pa.types.is_dictionary(kind):
        return served_type(kind.value_type)
    if kind in _WIDER:
        return _WIDER[kind]
    if pa.types.is_decimal(kind):
        return pa.float64()
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return pa.timestamp("us")
    if pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type):
        return kind
    plain = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return kind if plain else pa.string()


def served(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray:
    """A column as ADQL serves it: NaN is null, lists are words between bars, yes and no 1 and 0."""
    kind = column.type
    wanted = served_type(kind)
    if pa.types.is_floating(kind) and not pa.types.is_float16(kind):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
    elif pa.types.is_nested(kind) and wanted == pa.string():
        column = pa.array([None if v is None else _words(v) for v in column.to_pylist()], wanted)
    elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        column = column.cast(wanted, safe=False)
    elif kind != wanted and wanted == pa.string() and not pa.types.is_large_string(kind):
        column = _text(column)
    elif kind != wanted:
        column = column.cast(wanted, safe=False)
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])


def _text(column: Any) -> Any:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    try:
        return column.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())


def _words(value: Any) -> str:
    return " | ".join(map(str, value)) if isinstance(value, list) else str(value)


def table_of(columns: Sequence[Column], values: Sequence[Any]) -> pa.Table:
    """Columns with their values as served, in the types they are declared with."""
    arrays = []
    for column, given in zip(columns, values, strict=True):
        array = served(given if isinstance(given, (pa.Array, pa.ChunkedArray)) else
                       pa.array(given, column.type))  # fmt: skip
        arrays.append(array if array.type == column.type else array.cast(column.type))
    return pa.table(arrays, names=[c.name for c in columns])
