"""Expressions of ADQL as SQL, with what is known of their values. Source: IVOA ADQL 2.1, section 2.

Only what is named here passes: a node of the tree without a rule is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlglot import exp

from .adql_calls import Calls
from .adql_conditions import COMPARED, Conditions
from .adql_functions import UserFunctions
from .adql_geometry import number
from .adql_parse import CAST, not_adql, only, place_of
from .adql_scope import Catalogue, Scope, find_column
from .adql_values import KIND_WORDS, NUMBERS, SHAPES, AdqlError, ColumnMeta, Kind, Piece, Place

_Signs = dict[type[Any], str]
_ARITHMETIC: _Signs = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/"}
_BITS: _Signs = {exp.BitwiseAnd: "&", exp.BitwiseOr: "|", exp.BitwiseXor: "^"}
_LARGEST = 2**63 - 1
MOST_LINKS = 100
"""Values that +, −, * and / may join in a row, and bit operations: databases nest them."""


@dataclass(slots=True)
class Query:
    """What is common to all of one translation.

    tables : read so far · subquery : translates a query within another
    """

    text: str
    catalogue: Catalogue
    functions: UserFunctions
    dialect: str
    tables: set[str] = field(default_factory=set)
    idents: int = 0
    subquery: Callable[[exp.Expr, Scope | None], tuple[str, Sequence[Piece]]] | None = None

    def ident(self, letter: str = "t") -> str:
        """A name in SQL that nothing has yet."""
        self.idents += 1
        return f"{letter}{self.idents}"


class Expressions(Calls, Conditions):
    """Translates expressions of one SELECT. aggregates : whether COUNT and its like may stand"""

    def __init__(self, query: Query, scope: Scope, where: str, aggregates: bool = True) -> None:
        self.query = query
        self.scope = scope
        self.where = where
        self.aggregates = aggregates

    def place(self, node: exp.Expr) -> Place | None:
        """Where a node stands in the text."""
        return place_of(self.query.text, node)

    def value(self, node: exp.Expr) -> Piece:
        """A value: no condition."""
        piece = self(node)
        if piece.kind == "truth":
            raise AdqlError("a condition stands where a value is wanted", code="adql_types",
                            remedy="CASE WHEN … THEN 1 ELSE 0 END",
                            at=self.place(node))  # fmt: skip
        return piece

    def __call__(self, node: exp.Expr) -> Piece:
        """Whatever a node is."""
        rule = _RULES.get(type(node))
        if rule is None:
            not_adql(self.query.text, node, type(node).__name__.upper())
        made: Piece = getattr(self, rule)(node)
        return made

    # ---- leaves

    def _literal(self, node: exp.Expr) -> Piece:
        text = str(node.this)
        if node.args.get("is_string"):
            return Piece(string(text), "text", constant=text)
        return self._number(text, node)

    def _number(self, text: str, node: exp.Expr) -> Piece:
        if text.isdigit() and len(text) < 25 and int(text) <= _LARGEST:
            return Piece(str(int(text)), "integer", constant=int(text))
        try:
            value = float(text) if len(text) < 400 else math.inf
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise AdqlError(f"{text[:30]} is no number that can be held", code="adql_types",
                            at=self.place(node))  # fmt: skip
        return Piece(number(value), "real", constant=value)

    def _hexadecimal(self, node: exp.Expr) -> Piece:
        digits = str(node.this)
        if not digits or len(digits) > 16 or int(digits, 16) > _LARGEST:
            raise AdqlError(f"0x{digits[:20]} does not fit in 64 bits", code="adql_types",
                            at=self.place(node))  # fmt: skip
        return Piece(str(int(digits, 16)), "integer", constant=int(digits, 16))

    def _null(self, node: exp.Expr) -> Piece:
        return Piece("NULL", "any")

    def _column(self, node: exp.Expr) -> Piece:
        only(self.query.text, node, "this", "table", "db", "catalog")
        if isinstance(node.this, exp.Star):
            raise AdqlError("TABLE.* stands in the list of SELECT only", code="adql_syntax",
                            at=self.place(node))  # fmt: skip
        return find_column(self.query.text, node, self.scope)

    def _paren(self, node: exp.Expr) -> Piece:
        piece = self(node.this)
        return replace(piece, sql=f"({piece.sql})") if piece.kind not in SHAPES else piece

    # ---- arithmetic; chains are as long as people write them, so they are walked, not descended

    def _spine(self, node: exp.Expr, kinds: Any) -> tuple[exp.Expr, list[exp.Expr]]:
        links = []
        while type(node) in kinds:
            only(self.query.text, node, "this", "expression", "typed", "safe")
            links.append(node)
            node = node.this
        if len(links) > MOST_LINKS:
            raise AdqlError(f"more than {MOST_LINKS} values are joined by signs",
                            code="adql_limits", at=self.place(node))  # fmt: skip
        return node, links[::-1]

    def _arithmetic(self, node: exp.Expr) -> Piece:
        first, links = self._spine(node, _ARITHMETIC)
        left = self._a_number(first)
        for link in links:
            right = self._a_number(link.args["expression"])
            left = _computed(left, _ARITHMETIC[type(link)], right)
        return left if left.constant is not None or not links else \
            replace(left, sql=f"({left.sql})")  # fmt: skip

    def _a_number(self, node: exp.Expr) -> Piece:
        piece = self.value(node)
        if piece.kind not in NUMBERS:
            raise AdqlError(f"{KIND_WORDS[piece.kind]} cannot be computed with", code="adql_types",
                            remedy="CAST(… AS DOUBLE PRECISION)" if piece.kind == "text" else "",
                            at=self.place(node))  # fmt: skip
        return piece

    def _bits(self, node: exp.Expr) -> Piece:
        first, links = self._spine(node, _BITS)
        left = self._a_number(first)
        for link in links:
            right = self._a_number(link.args["expression"])
            sign = _BITS[type(link)]
            sql = f"vo_xor({left.sql}, {right.sql})" if sign == "^" else \
                f"({left.sql} {sign} {right.sql})"  # fmt: skip
            left = Piece(sql, "integer", aggregate=left.aggregate or right.aggregate)
        return left

    def _bits_turned(self, node: exp.Expr) -> Piece:
        piece = self._a_number(node.this)
        return Piece(f"(~{piece.sql})", "integer", aggregate=piece.aggregate)

    def _negative(self, node: exp.Expr) -> Piece:
        piece = self._a_number(node.this)
        value = None if isinstance(piece.constant, str | None) else -piece.constant
        meta = ColumnMeta(unit=piece.meta.unit)
        return Piece(f"(-{piece.sql})", piece.kind, meta, constant=value,
                     aggregate=piece.aggregate)  # fmt: skip

    def _joined(self, node: exp.Expr) -> Piece:
        first, links = self._spine(node, (exp.DPipe,))
        pieces = [self.value(n) for n in (first, *(k.args["expression"] for k in links))]
        self.not_shapes(pieces, node)
        return Piece(f"({' || '.join(p.sql for p in pieces)})", "text",
                     aggregate=any(p.aggregate for p in pieces))  # fmt: skip

    def _subquery(self, node: exp.Expr) -> Piece:
        only(self.query.text, node, "this")
        sql, columns = self.inner(node.this)
        self.one_column(columns, node)
        return replace(columns[0], sql=f"({sql})", parts=(), shape=None, constant=None, origin=None,
                       truth=None, source=None, aggregate=False)  # fmt: skip

    def inner(self, node: exp.Expr) -> tuple[str, Sequence[Piece]]:
        """SQL and columns of a query within. Raises AdqlError where none may stand."""
        if self.query.subquery is None:
            not_adql(self.query.text, node, "a query here")
        return self.query.subquery(node, self.scope)

    def _case(self, node: exp.Expr) -> Piece:
        only(self.query.text, node, "this", "ifs", "default")
        tested = node.args.get("this")
        words, values = ["CASE"], []
        if tested is not None:
            words.append(self.value(tested).sql)
        for branch in node.args["ifs"]:
            only(self.query.text, branch, "this", "true")
            when = self.condition(branch.this) if tested is None else self.value(branch.this).sql
            values.append(self.value(branch.args["true"]))
            words.append(f"WHEN {when} THEN {values[-1].sql}")
        if node.args.get("default") is not None:
            values.append(self.value(node.args["default"]))
            words.append(f"ELSE {values[-1].sql}")
        self.not_shapes(values, node)
        return Piece(" ".join([*words, "END"]), common(values), shared_meta(values),
                     aggregate=any(v.aggregate for v in values))  # fmt: skip

    def _anonymous(self, node: exp.Expr) -> Piece:
        only(self.query.text, node, "this", "expressions")
        if isinstance(node.this, exp.Identifier):
            raise AdqlError("a name between double quotes is no function",
                            code="adql_unknown_function", at=self.place(node))  # fmt: skip
        name = str(node.this).lower()
        if name == CAST:
            return self.cast(node)
        return self.call(name, node)


_RULES: dict[Any, str] = {
    **dict.fromkeys(_ARITHMETIC, "_arithmetic"), **dict.fromkeys(_BITS, "_bits"),
    **dict.fromkeys(COMPARED, "_compared"),
    exp.Literal: "_literal", exp.HexString: "_hexadecimal", exp.Null: "_null",
    exp.Column: "_column", exp.Paren: "_paren", exp.Neg: "_negative",
    exp.BitwiseNot: "_bits_turned", exp.DPipe: "_joined", exp.And: "_connected",
    exp.Or: "_connected", exp.Not: "_not", exp.Between: "_between", exp.In: "_in",
    exp.Like: "_like", exp.ILike: "_like", exp.Is: "_is", exp.Exists: "_exists",
    exp.Subquery: "_subquery", exp.Case: "_case", exp.Anonymous: "_anonymous",
}  # fmt: skip


def string(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def common(values: Sequence[Piece]) -> Kind:
    """The kind of a value that is one of these."""
    kinds = {v.kind for v in values if v.sql != "NULL"}
    if kinds <= {"integer", "real"} and kinds:
        return "real" if "real" in kinds else "integer"
    return kinds.pop() if len(kinds) == 1 else "any"


def shared_meta(values: Sequence[Piece]) -> ColumnMeta:
    """What is known of a value that is one of these: the unit that all have."""
    units = {v.meta.unit for v in values if v.constant is None and v.sql != "NULL"}
    ucds = {v.meta.ucd for v in values if v.constant is None and v.sql != "NULL"}
    return ColumnMeta(unit=units.pop() if len(units) == 1 else "",
                      ucd=ucds.pop() if len(ucds) == 1 else "")  # fmt: skip


def _computed(left: Piece, sign: str, right: Piece) -> Piece:
    kinds = {left.kind, right.kind}
    kind: Kind = "real" if sign == "/" or "real" in kinds else \
        "integer" if kinds == {"integer"} else "any"  # fmt: skip
    units = {left.meta.unit, right.meta.unit}
    unit = ""
    if sign in "+-" and (len(units) == 1 or left.constant is not None
                         or right.constant is not None):  # fmt: skip
        unit = left.meta.unit or right.meta.unit
    elif sign in "*/" and right.constant is not None:
        unit = left.meta.unit
    elif sign == "*" and left.constant is not None:
        unit = right.meta.unit
    a, b = left.number, right.number
    value = None
    if a is not None and b is not None and not (sign == "/" and b == 0.0):
        value = {"+": a + b, "-": a - b, "*": a * b}.get(sign) if sign != "/" else a / b
        if kind == "integer" and value is not None:
            value = None if abs(value) > 2**53 else int(value)
        if value is not None and not math.isfinite(value):
            value = None
    meta = ColumnMeta(unit=unit)
    if value is not None:
        sql = number(value) if kind == "real" else str(value)
        sql = f"({sql})" if value < 0 else sql
    elif sign == "/" and not b:
        sql = f"vo_div({left.sql}, {right.sql})"
    elif sign == "/" and left.kind != "real" and right.kind != "real":
        sql = f"CAST({left.sql} AS DOUBLE PRECISION) / {right.sql}"
    else:
        sql = f"{left.sql} {sign} {right.sql}"
    return Piece(sql, kind, meta, constant=value, aggregate=left.aggregate or right.aggregate)
