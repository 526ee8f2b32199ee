"""Conditions of ADQL as SQL: comparisons, LIKE, IN, EXISTS, AND and OR.

A function that gives 1 or 0 is a condition when it is compared with one of these; DISTANCE beside
a radius is a cone. Source: IVOA ADQL 2.1, section 2.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from . import adql_geometry as geometry
from .adql_parse import not_adql, only
from .adql_values import KIND_WORDS, AdqlError, Piece, Place

if TYPE_CHECKING:
    from .adql_expression import Query

COMPARED: dict[type[Any], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
}  # fmt: skip
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}


class Conditions:
    """What `Expressions` does with conditions."""

    query: Query
    where: str
    value: Callable[[exp.Expr], Piece]
    place: Callable[[exp.Expr], Place | None]
    inner: Callable[[exp.Expr], tuple[str, Sequence[Piece]]]

    def condition(self, node: exp.Expr) -> str:
        """SQL of a condition."""
        piece: Piece = self(node)  # type: ignore[operator]
        if piece.kind == "truth":
            return piece.sql
        remedy = "write = 1 behind it" if piece.truth else ""
        raise AdqlError(f"{self.where} takes a condition, and this is a value", code="adql_types",
                        remedy=remedy, at=self.place(node))  # fmt: skip

    def not_shapes(self, pieces: Sequence[Piece], node: exp.Expr) -> None:
        """Raises AdqlError where one of the pieces is a shape or a list."""
        for piece in pieces:
            if piece.kind in ("point", "circle", "polygon", "moc", "list"):
                raise AdqlError(f"{KIND_WORDS[piece.kind]} cannot be compared or joined",
                                code="adql_types", at=self.place(node))  # fmt: skip

    def _connected(self, node: exp.Expr) -> Piece:
        links, word = [], "AND" if isinstance(node, exp.And) else "OR"
        stack = [node]
        while stack:
            each = stack.pop()
            if type(each) is type(node):
                stack += [each.args["expression"], each.this]
            else:
                links.append(self.condition(each))
        return Piece(f"({f' {word} '.join(links)})", "truth")

    def _not(self, node: exp.Expr) -> Piece:
        return Piece(f"(NOT {self.condition(node.this)})", "truth")

    def _compared(self, node: exp.Expr) -> Piece:
        only(self.query.text, node, "this", "expression")
        left, right = self.value(node.this), self.value(node.args["expression"])
        sign = COMPARED[type(node)]
        for a, b, turned in ((left, right, sign), (right, left, _TURNED[sign])):
            if a.truth and b.constant in (0, 1) and turned in ("=", "<>"):
                yes = (b.constant == 1) == (turned == "=")
                return Piece(a.truth if yes else f"(NOT {a.truth})", "truth")
            near = self._near(a, b, turned)
            if near:
                return Piece(near, "truth")
        self.not_shapes((left, right), node)
        if {left.kind, right.kind} == {"text", "real"} or \
                {left.kind, right.kind} == {"text", "integer"}:  # fmt: skip
            raise AdqlError("a text is compared with a number", code="adql_types",
                            remedy="put texts between single quotes",
                            at=self.place(node))  # fmt: skip
        return Piece(f"({left.sql} {sign} {right.sql})", "truth")

    def _near(self, a: Piece, b: Piece, sign: str) -> str | None:
        """DISTANCE beside a radius is a cone: quick where cells are at hand."""
        if len(a.parts) != 4 or a.kind != "real" or sign not in ("<", "<=", ">", ">="):
            return None
        point = Piece("", "point", parts=a.parts[:2])
        strict = sign in ("<", ">=")
        cone = geometry.within(point, a.parts[2:], b, None, strict=strict)
        return cone if sign in ("<", "<=") else f"(NOT {cone})"

    def _between(self, node: exp.Expr) -> Piece:
        only(self.query.text, node, "this", "low", "high", "negate")
        pieces = [self.value(node.args[k]) for k in ("this", "low", "high")]
        self.not_shapes(pieces, node)
        word = "NOT BETWEEN" if node.args.get("negate") else "BETWEEN"
        return Piece(f"({pieces[0].sql} {word} {pieces[1].sql} AND {pieces[2].sql})", "truth")

    def _in(self, node: exp.Expr) -> Piece:
        only(self.query.text, node, "this", "expressions", "query", "negate")
        piece = self.value(node.this)
        word = "NOT IN" if node.args.get("negate") else "IN"
        inner = node.args.get("query")
        if inner is not None:
            sql, columns = self.inner(inner)
            self.one_column(columns, node)
            return Piece(f"({piece.sql} {word} ({sql}))", "truth")
        values = [self.value(n) for n in node.expressions]
        if not values:
            raise AdqlError("IN needs at least one value", code="adql_syntax", at=self.place(node))
        self.not_shapes([piece, *values], node)
        return Piece(f"({piece.sql} {word} ({', '.join(v.sql for v in values)}))", "truth")

    def _like(self, node: exp.Expr) -> Piece:
        only(self.query.text, node, "this", "expression", "negate")
        left, right = self.value(node.this), self.value(node.args["expression"])
        for piece in (left, right):
            if piece.kind not in ("text", "any", "region"):
                raise AdqlError("LIKE compares texts", code="adql_types", at=self.place(node))
        word = "ILIKE" if isinstance(node, exp.ILike) else "LIKE"
        word = f"NOT {word}" if node.args.get("negate") else word
        plain = " ESCAPE ''" if self.query.dialect == "postgres" else ""
        return Piece(f"({left.sql} {word} {right.sql}{plain})", "truth")

    def _is(self, node: exp.Expr) -> Piece:
        only(self.query.text, node, "this", "expression")
        if not isinstance(node.args["expression"], exp.Null):
            not_adql(self.query.text, node, "IS without NULL")
        return Piece(f"({self.value(node.this).sql} IS NULL)", "truth")

    def _exists(self, node: exp.Expr) -> Piece:
        only(self.query.text, node, "this")
        sql, _ = self.inner(node.this)
        return Piece(f"EXISTS ({sql})", "truth")

    def one_column(self, columns: Sequence[Piece], node: exp.Expr) -> None:
        """Raises AdqlError where a query within gives more columns than one."""
        if len(columns) != 1:
            raise AdqlError(f"the query within gives {len(columns)} columns where one is wanted",
                            code="adql_arguments", at=self.place(node))  # fmt: skip
