"""FROM: tables, queries and joins. Source: IVOA ADQL 2.1, section 2.2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from .adql_expression import Expressions
from .adql_parse import not_adql, only, place_of
from .adql_scope import (
    Field,
    Name,
    Scope,
    Source,
    derived,
    find_table,
    quoted,
    source_of_table,
)
from .adql_values import AdqlError, Piece

if TYPE_CHECKING:
    from .adql_query import Selects

MOST_TABLES = 50
_SIDES = {"": "JOIN", "LEFT": "LEFT JOIN", "RIGHT": "RIGHT JOIN", "FULL": "FULL JOIN"}


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that WITH has given a name: what SQL calls them, and their columns."""

    ident: str
    fields: list[Field]


def from_of(selects: Selects, node: exp.Expr, scope: Scope) -> str:
    """SQL of FROM; the scope learns what it can see."""
    text = selects.query.text
    only(text, node.args["from_"], "this")
    sql, fields = _one(selects, node.args["from_"].this, scope)
    for join in node.args.get("joins") or ():
        sql, fields = _join(selects, sql, fields, join, scope)
    scope.shown = fields
    return sql


def _one(selects: Selects, node: exp.Expr, scope: Scope) -> tuple[str, list[Field]]:
    query = selects.query
    if len(scope.sources) >= MOST_TABLES:
        raise AdqlError(f"a SELECT reads at most {MOST_TABLES} tables", code="adql_limits",
                        at=place_of(query.text, node))  # fmt: skip
    if isinstance(node, exp.Table):
        only(query.text, node, "this", "db", "catalog", "alias", "joins")
        if not isinstance(node.this, exp.Identifier):
            not_adql(query.text, node, "a function in FROM")
        sql, fields = _table(selects, node, scope)
        for join in node.args.get("joins") or ():
            sql, fields = _join(selects, sql, fields, join, scope)
        return sql, fields
    if not isinstance(node, exp.Subquery):
        not_adql(query.text, node, f"{type(node).__name__.upper()} in FROM")
    only(query.text, node, "this", "alias", "joins")
    if _is_query(node.this):
        sql, fields = _derived(selects, node, scope)
    else:
        if node.args.get("alias") is not None:
            not_adql(query.text, node, "a name for joined tables in parentheses")
        sql, fields = _one(selects, node.this, scope)
        sql = f"({sql})" if " JOIN " in sql else sql
    for join in node.args.get("joins") or ():
        sql, fields = _join(selects, sql, fields, join, scope)
    return sql, fields


def _is_query(node: exp.Expr) -> bool:
    while isinstance(node, exp.Subquery):
        if node.args.get("alias") is not None or node.args.get("joins"):
            return False
        node = node.this
    return isinstance(node, exp.Select | exp.SetOperation)


def _alias(selects: Selects, node: exp.Expr) -> tuple[Name | None, list[Name]]:
    alias = node.args.get("alias")
    if alias is None:
        return None, []
    only(selects.query.text, alias, "this", "columns")
    names = [Name.of(c) for c in alias.args.get("columns") or () if isinstance(c, exp.Identifier)]
    return (Name.of(alias.this) if alias.this is not None else None), names


def _table(selects: Selects, node: exp.Expr, scope: Scope) -> tuple[str, list[Field]]:
    query = selects.query
    alias, renamed = _alias(selects, node)
    own = Name.of(node.this)
    ident = query.ident()
    shared = None
    if node.args.get("db") is None and node.args.get("catalog") is None:
        known = selects.shared[-1]
        shared = known.get(own.text) or (None if own.quoted else known.get(own.text.lower()))
    if shared is not None:
        source = Source(ident, alias or own, [])
        derived(source, shared.fields)
        sql = f"{shared.ident} AS {quoted(ident)}"
    else:
        table = find_table(query.text, node, query.catalogue)
        query.tables.add(table)
        schema, _, bare = table.rpartition(".")
        source = source_of_table(table, ident, alias, query.catalogue[table])
        full = f"{quoted(schema)}.{quoted(bare)}" if schema else quoted(bare)
        if query.dialect == "postgres":  # a schema of the server's holds all of an archive's
            full = quoted(table)
        sql = f"{full} AS {quoted(ident)}"
    if renamed:
        source.fields = _renamed(selects, source.fields, renamed, node)
    _add(selects, scope, source, node)
    return sql, source.fields


def _derived(selects: Selects, node: exp.Expr, scope: Scope) -> tuple[str, list[Field]]:
    alias, renamed = _alias(selects, node)
    ident = selects.query.ident()
    sql, fields, _ = selects.of(node.this, scope.outer)
    source = Source(ident, alias, [])
    derived(source, fields)
    if renamed:
        source.fields = _renamed(selects, source.fields, renamed, node)
    _add(selects, scope, source, node)
    return f"({sql}) AS {quoted(ident)}", source.fields


def _renamed(
    selects: Selects, fields: list[Field], names: Sequence[Name], node: exp.Expr
) -> list[Field]:
    if len(names) != len(fields):
        raise AdqlError(f"{len(names)} names for {len(fields)} columns", code="adql_arguments",
                        at=place_of(selects.query.text, node))  # fmt: skip
    return [Field(n, f.piece) for n, f in zip(names, fields, strict=True)]


def _add(selects: Selects, scope: Scope, source: Source, node: exp.Expr) -> None:
    for other in scope.sources:
        name = source.alias.text if source.alias else ""
        same = other.alias is not None and name and name.lower() == other.alias.text.lower()
        # tables of two schemas may share their own name: SCHEMA.TABLE.COLUMN tells them apart
        apart = source.bare and other.bare and source.table != other.table
        if same and not apart:
            raise AdqlError(f"two tables here go by the name {name[:80]}",
                            code="adql_ambiguous", remedy="give them names with AS",
                            at=place_of(selects.query.text, node))  # fmt: skip
    scope.sources.append(source)


def _join(
    selects: Selects, left: str, fields: list[Field], join: exp.Expr, scope: Scope
) -> tuple[str, list[Field]]:
    text = selects.query.text
    only(text, join, "this", "method", "side", "kind", "on", "using")
    method, side, kind = (str(join.args.get(k) or "").upper() for k in ("method", "side", "kind"))
    if method not in ("", "NATURAL") or side not in _SIDES or \
            kind not in ("", "INNER", "OUTER", "CROSS"):  # fmt: skip
        not_adql(text, join.this, f"{method or kind} JOIN")
    on, using = join.args.get("on"), join.args.get("using")
    sql, others = _one(selects, join.this, scope)
    if " JOIN " in sql and not sql.startswith("("):
        sql = f"({sql})"
    plain = method == "" and on is None and not using
    if plain and (kind == "CROSS" or join.meta.get("comma")) and not side:
        return f"{left} CROSS JOIN {sql}", fields + others
    if plain or (kind == "CROSS") or (method and (on is not None or using)):
        raise AdqlError("a join needs one of NATURAL, ON and USING", code="adql_syntax",
                        at=place_of(text, join.this))  # fmt: skip
    if on is not None:
        scope.shown = fields + others
        condition = Expressions(selects.query, scope, "ON", False).condition(on)
        return f"{left} {_SIDES[side]} {sql} ON {condition}", fields + others
    names = [Name.of(n) for n in using] if using else _common_names(fields, others)
    pairs = [(_named(selects, n, fields, join), _named(selects, n, others, join)) for n in names]
    condition = " AND ".join(f"{a.piece.sql} = {b.piece.sql}" for a, b in pairs) or "TRUE"
    united = [Field(a.name, _united(a.piece, b.piece, side)) for a, b in pairs]
    gone = {id(f) for pair in pairs for f in pair}
    rest = [f for f in fields + others if id(f) not in gone]
    return f"{left} {_SIDES[side]} {sql} ON {condition}", united + rest


def _common_names(fields: Sequence[Field], others: Sequence[Field]) -> list[Name]:
    theirs = {f.name.text.lower() for f in others}
    return [Name(f.name.text) for f in fields if f.name.text.lower() in theirs]


def _named(selects: Selects, name: Name, fields: Sequence[Field], join: exp.Expr) -> Field:
    found = [f for f in fields if name.means(f.name)]
    if len(found) != 1:
        said = "is not in both tables" if not found else "is there more than once"
        raise AdqlError(f"column {name.text[:80]} {said}", code="adql_unknown_column",
                        at=place_of(selects.query.text, join.this))  # fmt: skip
    return found[0]


def _united(a: Piece, b: Piece, side: str) -> Piece:
    if side == "RIGHT":
        return b
    if side == "FULL":
        return Piece(f"COALESCE({a.sql}, {b.sql})", a.kind, a.meta, name=a.name)
    return a
