"""Queries of ADQL as SQL: SELECT, FROM and joins, sets, WITH. Source: IVOA ADQL 2.1, section 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlglot import exp

from .adql_expression import Expressions, Query, common, shared_meta
from .adql_joins import Rows, from_of
from .adql_parse import not_adql, only, place_of
from .adql_scope import Field, Name, Scope, find_sources, quoted
from .adql_values import AdqlError, Piece

MOST_SELECTS = 200
_SETS: dict[type[Any], str] = {exp.Union: "UNION", exp.Intersect: "INTERSECT", exp.Except: "EXCEPT"}
_PARTS = ("expressions", "distinct", "limit", "offset", "from_", "joins", "where", "group",
          "having", "order", "with_")  # fmt: skip


class Selects:
    """Translates queries, one within another. most : rows of the outermost, so that it is cut"""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.count = 0
        query.subquery = lambda node, outer: self.inner(node, outer, {})
        self.shared: list[dict[str, Rows]] = [{}]

    def inner(self, node: exp.Expr, outer: Scope | None, _: object) -> tuple[str, list[Piece]]:
        """SQL of a query within another, and its columns, which SQL calls c1, c2 …"""
        sql, fields, _top = self.of(node, outer)
        return sql, [f.piece for f in fields]

    def of(
        self, node: exp.Expr, outer: Scope | None, most: int | None = None, named: bool = False
    ) -> tuple[str, list[Field], int | None]:
        """(SQL, columns, TOP) of a query. named : columns have their names in SQL, too."""
        self.count += 1
        if self.count > MOST_SELECTS:
            raise AdqlError(f"the query has more than {MOST_SELECTS} SELECTs", code="adql_limits")
        while isinstance(node, exp.Subquery):
            only(self.query.text, node, "this", "with_")
            if node.args.get("with_") is not None:
                node.this.set("with_", node.args["with_"])
            node = node.this
        clauses = self._with(node)
        try:
            if isinstance(node, exp.Select):
                sql, fields, top = self._select(node, outer, most, named)
            elif type(node) in _SETS:
                sql, fields, top = self._sets(node, outer, most, named)
            else:
                not_adql(self.query.text, node, "a query without SELECT")
        finally:
            if clauses is not None:
                self.shared.pop()
        return (f"WITH {clauses} {sql}" if clauses else sql), fields, top

    # ---- WITH

    def _with(self, node: exp.Expr) -> str | None:
        clause = node.args.get("with_")
        if clause is None:
            return None
        only(self.query.text, clause, "expressions", "recursive")
        if clause.args.get("recursive"):
            not_adql(self.query.text, clause, "WITH RECURSIVE")
        made, known = [], dict(self.shared[-1])
        self.shared.append(known)
        try:
            for part in clause.expressions:
                only(self.query.text, part, "this", "alias")
                name = Name.of(part.args["alias"].this)
                renamed = [Name.of(c) for c in part.args["alias"].args.get("columns") or ()]
                sql, fields, _ = self.of(part.this, None)
                ident = self.query.ident("w")
                fields = renamed_fields(self.query, fields, renamed, part)
                known[name.text if name.quoted else name.text.lower()] = Rows(ident, fields)
                made.append(f"{ident} AS ({sql})")
        except BaseException:
            self.shared.pop()
            raise
        return ", ".join(made)

    # ---- SELECT

    def _select(
        self, node: exp.Select, outer: Scope | None, most: int | None, named: bool
    ) -> tuple[str, list[Field], int | None]:
        only(self.query.text, node, *_PARTS)
        if node.args.get("distinct") is not None:
            only(self.query.text, node.args["distinct"])
        scope = Scope(outer=outer)
        source = ""
        if node.args.get("from_") is not None:
            source = " FROM " + from_of(self, node, scope)
        fields = self._list(node, scope)
        pieces = [f"{f.piece.sql} AS {n}" for f, n in zip(fields, names_in_sql(fields, named),
                                                          strict=True)]  # fmt: skip
        distinct = "DISTINCT " if node.args.get("distinct") is not None else ""
        sql = f"SELECT {distinct}{', '.join(pieces)}{source}"
        where = node.args.get("where")
        if where is not None:
            sql += f" WHERE {Expressions(self.query, scope, 'WHERE', False).condition(where.this)}"
        sql += self._groups(node, scope, fields)
        sql += self._order(node, scope, fields)
        top = self._count(node.args.get("limit"), "TOP")
        return sql + self._cut(node, top, most), fields, top

    def _list(self, node: exp.Select, scope: Scope) -> list[Field]:
        values = Expressions(self.query, scope, "SELECT")
        fields: list[Field] = []
        for item in node.expressions:
            if isinstance(item, exp.Star) or isinstance(item.this, exp.Star):
                fields += self._star(item, scope)
                continue
            name, value = None, item
            if isinstance(item, exp.Alias):
                only(self.query.text, item, "this", "alias")
                name, value = Name.of(item.args["alias"]), item.this
            piece = values.value(value)
            if piece.kind == "moc":
                raise AdqlError("a MOC cannot be selected", code="adql_types",
                                at=place_of(self.query.text, item))  # fmt: skip
            if name is None:
                name = Name(piece.name or _called(value) or f"col_{len(fields) + 1}")
            fields.append(Field(name, piece))
        if not fields:
            raise AdqlError("SELECT names no column", code="adql_syntax")
        return fields

    def _star(self, item: exp.Expr, scope: Scope) -> list[Field]:
        star = item if isinstance(item, exp.Star) else item.this
        only(self.query.text, star)
        if item is star:
            shown = scope.shown
        else:
            only(self.query.text, item, "this", "table", "db")
            found = find_sources(scope, item.args["table"], item.args.get("db"))
            if len(found) != 1:
                raise AdqlError(f"there is no one table {item.args['table'].name[:80]} here",
                                code="adql_unknown_table",
                                at=place_of(self.query.text, item))  # fmt: skip
            shown = found[0].fields
        if not shown:
            raise AdqlError("* needs a table", code="adql_syntax",
                            at=place_of(self.query.text, item))  # fmt: skip
        return [Field(f.name, f.piece) for f in shown]

    def _groups(self, node: exp.Select, scope: Scope, fields: Sequence[Field]) -> str:
        sql = ""
        group, having = node.args.get("group"), node.args.get("having")
        if group is not None:
            only(self.query.text, group, "expressions")
            values = Expressions(self.query, scope, "GROUP BY", False)
            sql += " GROUP BY " + ", ".join(
                self._group(n, scope, fields, values) for n in group.expressions)  # fmt: skip
        if having is not None:
            sql += f" HAVING {Expressions(self.query, scope, 'HAVING').condition(having.this)}"
        return sql

    def _group(
        self, node: exp.Expr, scope: Scope, fields: Sequence[Field], values: Expressions
    ) -> str:
        if isinstance(node, exp.Literal) and not node.args.get("is_string"):
            return str(self._ordinal(node, fields))
        if isinstance(node, exp.Column) and node.args.get("table") is None:
            name = Name.of(node.this)
            if not any(name.means(f.name) for f in scope.shown):
                named = [i for i, f in enumerate(fields) if name.means(f.name)]
                if len(named) == 1:
                    return str(named[0] + 1)
        return values.value(node).sql

    def _order(self, node: exp.Expr, scope: Scope | None, fields: Sequence[Field]) -> str:
        order = node.args.get("order")
        if order is None:
            return ""
        only(self.query.text, order, "expressions")
        terms = []
        for term in order.expressions:
            only(self.query.text, term, "this", "desc", "nulls_first")
            sql = self._ordered(term.this, scope, fields)
            down = " DESC" if term.args.get("desc") else ""
            first = "FIRST" if term.args.get("nulls_first") else "LAST"
            terms.append(f"{sql}{down} NULLS {first}")
        return " ORDER BY " + ", ".join(terms)

    def _ordered(self, node: exp.Expr, scope: Scope | None, fields: Sequence[Field]) -> str:
        if isinstance(node, exp.Literal) and not node.args.get("is_string"):
            return str(self._ordinal(node, fields))
        if isinstance(node, exp.Column) and node.args.get("table") is None:
            name = Name.of(node.this)
            named = [i for i, f in enumerate(fields) if name.means(f.name)]
            if len(named) == 1 or (named and len({fields[i].piece.sql for i in named}) == 1):
                return str(named[0] + 1)
        if scope is None:
            raise AdqlError("ORDER BY of several queries takes names or numbers of their columns",
                            code="adql_unknown_column",
                            at=place_of(self.query.text, node))  # fmt: skip
        return Expressions(self.query, scope, "ORDER BY").value(node).sql

    def _ordinal(self, node: exp.Expr, fields: Sequence[Field]) -> int:
        text = str(node.this)
        if not text.isdigit() or not 1 <= int(text[:9]) <= len(fields):
            raise AdqlError(f"there is no column number {text[:20]}", code="adql_unknown_column",
                            remedy=f"1 to {len(fields)}",
                            at=place_of(self.query.text, node))  # fmt: skip
        return int(text)

    # ---- how many rows

    def _count(self, node: exp.Expr | None, word: str) -> int | None:
        if node is None:
            return None
        only(self.query.text, node, "expression")
        value = node.args["expression"]
        text = str(value.this) if isinstance(value, exp.Literal) else ""
        if not text.isdigit() or len(text) > 18:
            raise AdqlError(f"{word} takes a whole number", code="adql_arguments",
                            at=place_of(self.query.text, node))  # fmt: skip
        return int(text)

    def _cut(self, node: exp.Expr, top: int | None, most: int | None) -> str:
        limits = [n for n in (top, most) if n is not None]
        skipped = self._count(node.args.get("offset"), "OFFSET")
        sql = f" LIMIT {min(limits)}" if limits else ""
        return sql + (f" OFFSET {skipped}" if skipped else "")

    # ---- UNION, INTERSECT, EXCEPT

    def _sets(
        self, node: exp.Expr, outer: Scope | None, most: int | None, named: bool
    ) -> tuple[str, list[Field], int | None]:
        links: list[exp.Expr] = []
        first: exp.Expr = node
        while type(first) in _SETS:
            only(self.query.text, first, "this", "expression", "distinct", "with_", "order",
                 "limit", "offset")  # fmt: skip
            if links and any(first.args.get(k) for k in ("with_", "order", "limit", "offset")):
                break
            links.append(first)
            first = first.this
        sql, fields, _ = self.of(first, outer, named=named)
        sql = f"({sql})"
        for link in reversed(links):
            other, theirs, _ = self.of(link.args["expression"], outer)
            if len(theirs) != len(fields):
                raise AdqlError(f"{len(fields)} columns meet {len(theirs)}", code="adql_arguments",
                                remedy="queries that are put together have as many columns",
                                at=place_of(self.query.text, link))  # fmt: skip
            word = _SETS[type(link)] + ("" if link.args.get("distinct") else " ALL")
            sql = f"{sql} {word} ({other})"
            if link is not links[0]:
                sql = f"({sql})"
            fields = [_either(a, b) for a, b in zip(fields, theirs, strict=True)]
        sql += self._order(node, None, fields)
        top = self._count(node.args.get("limit"), "LIMIT")
        return sql + self._cut(node, top, most), fields, top


def _either(a: Field, b: Field) -> Field:
    same = a.piece.source is not None and a.piece.source == b.piece.source
    kind = common([a.piece, b.piece])
    if same:
        return Field(a.name, replace(a.piece, parts=(), shape=None, origin=None))
    meta = a.piece.meta if a.piece.meta == b.piece.meta else shared_meta([a.piece, b.piece])
    return Field(a.name, Piece(a.piece.sql, kind, meta, name=a.name.text))


def _called(node: exp.Expr) -> str:
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Anonymous):
        return str(node.this).lower().strip("$")
    return ""


def names_in_sql(fields: Sequence[Field], named: bool) -> list[str]:
    """What SQL calls the columns of a query: c1, c2 … within another, their own names outside."""
    if not named:
        return [f"c{i + 1}" for i in range(len(fields))]
    return [quoted(n) for n in unique_names(fields)]


def unique_names(fields: Sequence[Field]) -> list[str]:
    """Names of columns, none twice whatever their case."""
    out: list[str] = []
    taken: set[str] = set()
    for f in fields:
        name, number = f.name.text, 1
        while name.lower() in taken:
            number += 1
            name = f"{f.name.text}_{number}"
        taken.add(name.lower())
        out.append(name)
    return out


def renamed_fields(
    query: Query, fields: list[Field], names: Sequence[Name], node: exp.Expr
) -> list[Field]:
    """The columns under other names, as ``AS q(a, b)`` gives them."""
    if not names:
        return fields
    if len(names) != len(fields):
        raise AdqlError(f"{len(names)} names for {len(fields)} columns", code="adql_arguments",
                        at=place_of(query.text, node))  # fmt: skip
    return [Field(n, f.piece) for n, f in zip(names, fields, strict=True)]
