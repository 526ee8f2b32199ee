"""The one filter grammar: a checked syntax tree over known columns, never spliced text.

``snr > 20 AND instrument_name = 'HARPS' AND target_name LIKE 'HD %'`` is parsed by sqlglot; every
node must be on the list below, every column known, every literal becomes a bound parameter.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from ..domain.errors import UsageError

MAX_LENGTH = 20_000
MAX_NODES = 5_000
_ALLOWED: tuple[type[exp.Expression], ...] = (
    exp.And, exp.Or, exp.Not, exp.Paren, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE,
    exp.Between, exp.In, exp.Is, exp.Null, exp.Like, exp.ILike, exp.Escape, exp.Column,
    exp.Identifier, exp.Literal, exp.Boolean, exp.Neg, exp.Add, exp.Sub, exp.Mul, exp.Div,
    exp.Tuple, exp.Abs, exp.Lower, exp.Upper, exp.Sqrt, exp.Log, exp.Ln, exp.Exp, exp.Pow,
    exp.Floor, exp.Ceil, exp.Round, exp.Coalesce, exp.Least, exp.Greatest, exp.Length,
)  # fmt: skip
_BOOLEAN = (exp.And, exp.Or, exp.Not, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE,
            exp.Between, exp.In, exp.Is, exp.Like, exp.ILike, exp.Escape, exp.Boolean)  # fmt: skip
_CAN_FAIL = (exp.Sqrt, exp.Log, exp.Ln, exp.Pow, exp.Div, exp.Exp)
FUNCTIONS = (
    "abs", "lower", "upper", "sqrt", "log", "ln", "exp", "power", "floor", "ceil", "round",
    "coalesce", "least", "greatest", "length",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filter:
    """A checked condition.

    sql : DuckDB expression with ``?`` for each literal · parameters : their values in order
    columns : the columns it reads
    """

    sql: str
    parameters: tuple[Any, ...]
    columns: frozenset[str]


_BEFORE = "SELECT 1 WHERE "
"""What a condition is given to the parser after."""


def parse_filter(text: str, columns: Collection[str]) -> Filter:
    """Check a condition against the known `columns`.

    Raises UsageError naming what is not allowed and what is.
    """
    if len(text) > MAX_LENGTH:
        raise _bad(f"the condition is longer than {MAX_LENGTH} characters")
    try:
        tree = sqlglot.parse_one(f"{_BEFORE}{text}", dialect="duckdb")
    except (SqlglotError, RecursionError) as error:
        raise _bad(f"cannot be understood: {_in_words(error)}") from error
    where = tree.find(exp.Where) if isinstance(tree, exp.Select) else None
    if where is None or {k for k, v in tree.args.items() if v} - {"expressions", "where", "kind"}:
        raise _bad("must be one condition, nothing more")
    condition = where.this
    known = _Names(columns)
    used: set[str] = set()
    for count, node in enumerate(condition.walk()):
        if count > MAX_NODES:
            raise _bad(f"has more than {MAX_NODES} parts")
        _check(node, known, used)
    top = condition.unnest() if isinstance(condition, exp.Paren) else condition
    if not isinstance(top, _BOOLEAN):
        raise _bad(f"{top.sql()!r} is not a condition", "compare it with something: snr > 20")
    parameters: list[Any] = []
    bound = _bind(condition.copy(), known, parameters)
    return Filter(bound.sql(dialect="duckdb", comments=False), tuple(parameters), frozenset(used))


class _Names:
    """Columns by name: as written, else whatever its case if that leaves no doubt."""

    def __init__(self, columns: Collection[str]) -> None:
        self.all = sorted(columns)
        self._exact = frozenset(columns)
        self._folded: dict[str, list[str]] = {}
        for name in self.all:
            self._folded.setdefault(name.lower(), []).append(name)

    def find(self, name: str) -> str:
        """The column meant. Raises UsageError if there is none, or more than one."""
        if name in self._exact:
            return name
        found = self._folded.get(name.lower(), [])
        if len(found) == 1:
            return found[0]
        if found:
            raise _bad(f"there are {len(found)} columns {name!r} that differ in case",
                       f"write one of: {', '.join(found)}")  # fmt: skip
        qualified = [c for c in self.all if c.lower().endswith("." + name.lower())]
        near = qualified or [self._folded[n][0] for n in
                             difflib.get_close_matches(name.lower(), self._folded, 3)]  # fmt: skip
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise _bad(f"there is no column {name!r}", f"{hint}`spectrarium catalogue list` names all; "
                   "text needs single quotes: 'HARPS', odd names double ones")  # fmt: skip


def _name(column: exp.Column) -> str:
    return ".".join(part.name for part in column.parts)


def _check(node: exp.Expression, known: _Names, used: set[str]) -> None:
    if not isinstance(node, _ALLOWED):
        name = node.sql(dialect="duckdb")[:40] or type(node).__name__
        raise _bad(f"{name!r} is not allowed here", f"functions: {', '.join(FUNCTIONS)}")
    if isinstance(node, exp.In) and (node.args.get("query") or node.args.get("unnest")):
        raise _bad("IN takes a list of values, not a query")
    if isinstance(node, exp.Column):
        name = known.find(_name(node))
        if name.lower() in {other.lower() for other in used - {name}}:
            raise _bad(f"there are two columns {name!r} that differ in case only: one condition "
                       "cannot name both", "join the catalogue again with other names")  # fmt: skip
        used.add(name)


def _bind(tree: exp.Expression, known: _Names, values: list[Any]) -> exp.Expression:
    """Replace columns by quoted names and literals by placeholders, in written order.

    What cannot be computed for a row (√−1, log 0, 0/0) is null there: DuckDB's NaN would be
    greater than every number, and its errors would end the query for the other rows.
    """

    def swap(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Column):
            return exp.column(exp.to_identifier(known.find(_name(node)), quoted=True))
        if isinstance(node, exp.Literal):
            return exp.Placeholder(this=f"p{_remember(node, values)}")
        return node

    bound = tree.transform(swap)
    for node in [n for n in bound.walk() if isinstance(n, _CAN_FAIL)]:
        inner = exp.Paren(this=node.copy()) if isinstance(node, exp.Div) else node.copy()
        tried = exp.Anonymous(this="TRY", expressions=[inner])
        nan = exp.cast(exp.Literal.string("NaN"), "DOUBLE")
        node.replace(exp.Nullif(this=tried, expression=nan))
    return bound


def _remember(node: exp.Literal, values: list[Any]) -> int:
    text = str(node.this)
    if node.is_string:
        values.append(text)
    else:
        try:
            number = int(text)
            values.append(number if abs(number) < 2**63 else float(text))
        except ValueError:
            values.append(float(text))
    return len(values) - 1


def _in_words(error: Exception) -> str:
    """What the parser says, in a user's words: columns are counted in what they typed."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().splitlines()
    said = text[0].replace(_BEFORE, "") if text else ""
    lacks = re.match(r"Required keyword: '\w+' missing for <class '[\w.]*\.(\w+)'>", said)
    if lacks:
        if lacks[1] == "Where":
            return "it is no condition"
        return f"something is missing after {lacks[1].upper()}"
    at = re.search(r"(.*?)\.? Line 1, Col: (\d+)", said)
    if at:
        return f"{at[1].lower()} at character {max(1, int(at[2]) - len(_BEFORE))}"
    return "a quote is not closed" if said.startswith("Error tokenizing") else said


def _bad(what: str, remedy: str = "") -> UsageError:
    return UsageError(
        f"the condition {what}" if not what.startswith(("'", '"', "IN", "there")) else what,
        code="bad_filter", where="--where",
        remedy=remedy or "for example: snr > 20 AND instrument_name = 'HARPS'",
    )  # fmt: skip
