"""What the translator of ADQL hands around: errors with a position, columns, pieces of SQL."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from ..domain.errors import UsageError
from .shapes import Shape

Kind = Literal[
    "integer", "real", "text", "time", "truth", "any", "list",
    "point", "circle", "polygon", "region", "moc",
]  # fmt: skip
"""Type of an expression, as far as translation needs it. truth : a condition · any : not known"""
SHAPES: frozenset[Kind] = frozenset({"point", "circle", "polygon", "region"})
NUMBERS: frozenset[Kind] = frozenset({"integer", "real", "any"})
KIND_WORDS: dict[Kind, str] = {
    "text": "a text", "time": "a time", "list": "an array", "point": "a point", "moc": "a MOC",
    "circle": "a circle", "polygon": "a polygon", "region": "a region", "truth": "a condition",
    "integer": "a number", "real": "a number", "any": "a value",
}  # fmt: skip
_XTYPES: dict[str, Kind] = {
    "point": "point", "circle": "circle", "polygon": "polygon", "adql:region": "region",
    "adql:point": "region", "stc-s": "region", "region": "region", "shape": "region",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a text: character, line and column, from 1."""

    position: int
    line: int
    column: int


class AdqlError(UsageError):
    """A query that cannot be translated. at : where the trouble is in the text, if that is known"""

    default_code = "adql_syntax"

    def __init__(
        self, what: str, *, code: str | None = None, where: str = "", remedy: str = "",
        at: Place | None = None,
    ) -> None:  # fmt: skip
        if at is not None and not where:
            where = f"query, line {at.line}, column {at.column}"
        super().__init__(what, code=code, where=where or "query", remedy=remedy)
        self.at = at

    @property
    def position(self) -> int:
        """Character of the text where the trouble is, from 1; 0 = not known."""
        return self.at.position if self.at else 0


@dataclass(frozen=True, slots=True)
class ColumnMeta:
    """What is known of a column: Arrow type, unit (VOUnit), UCD1+, utype, one sentence.

    indexed : conditions on it are quick · principal, std : as in TAP_SCHEMA · xtype : DALI's
    """

    type: pa.DataType | None = None
    unit: str = ""
    ucd: str = ""
    utype: str = ""
    about: str = ""
    principal: bool = False
    indexed: bool = False
    std: bool = False
    xtype: str = ""
    arraysize: str = ""


@dataclass(frozen=True, slots=True)
class OutColumn:
    """A column of the answer: its name, what is known of it, and its source.

    source : ``schema.table.column`` when it is that column unchanged, else None
    """

    name: str
    source: str | None = None
    meta: ColumnMeta = field(default_factory=ColumnMeta)


@dataclass(frozen=True, slots=True)
class Translated:
    """A query as SQL that reads only.

    columns : of the answer, in order · tables : of the catalogue that are read, by full name
    top : rows that the query asks for at most; the SQL asks for one row more than `maxrec`, so that
    a cut answer shows
    """

    sql: str
    columns: list[OutColumn]
    tables: set[str]
    top: int | None


@dataclass(frozen=True, slots=True)
class Piece:
    """SQL of one expression and what is known of it.

    truth : the condition behind a function that gives 1 or 0 · constant : value of a constant
    parts : arguments of a constructor of geometry · shape : the geometry where it is constant
    cells : inclusive ranges of HEALPix order 29, of a MOC · source, name, meta : of a plain column
    origin : (source of rows, column's name) of a plain column · aggregate : over many rows
    """

    sql: str
    kind: Kind = "any"
    meta: ColumnMeta = field(default_factory=ColumnMeta)
    truth: str | None = None
    constant: float | int | str | None = None
    parts: tuple[Piece, ...] = ()
    shape: Shape | None = None
    cells: tuple[tuple[int, int], ...] | None = None
    source: str | None = None
    name: str = ""
    origin: tuple[Any, str] | None = None
    aggregate: bool = False

    @property
    def number(self) -> float | None:
        """Value of a constant number."""
        return float(self.constant) if isinstance(self.constant, int | float) else None


def kind_of(meta: ColumnMeta) -> Kind:
    """Type of a column's values. Text in the words of STC-S, and lists of numbers that DALI calls
    points, circles or polygons, are geometry."""
    xtype = meta.xtype.lower()
    kind = meta.type
    if kind is None:
        return "any"
    if xtype in _XTYPES and (_listed(kind) or _XTYPES[xtype] == "region"):
        return _XTYPES[xtype]
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "real"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "time"
    return "list" if _listed(kind) else "any"


def _listed(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)
            or pa.types.is_large_list(kind))  # fmt: skip


def near(name: str, known: Iterable[str], most: int = 4) -> str:
    """The names most like `name`, as a remedy; ``""`` where nothing is like it."""
    by_fold = {k.lower(): k for k in known}
    found = difflib.get_close_matches(name[:100].lower(), list(by_fold), n=most, cutoff=0.6)
    return f"near: {', '.join(by_fold[f] for f in found)}" if found else ""
