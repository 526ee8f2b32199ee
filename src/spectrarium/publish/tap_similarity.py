"""``similarity(obs_publisher_did, 'DID'[, 'MODEL'])`` in a query: how unlike two spectra are.

The function becomes a distance between vectors of an embedding; what is nearest has the smallest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import sqlglot
from sqlglot import exp

from ..domain.errors import UsageError
from ..run.table_rows import DID
from .tap_store import qualified, quoted

NAME = "similarity"
Vector = Callable[[str, str], Sequence[float] | None]
"""Vector of (table of an embedding, identifier of an observation); None where there is none."""


class Similarity:
    """The calls in one translated query.

    sql : DuckDB · embeddings : tables that hold vectors, the one to ask first coming first
    named : what turns the name of a model into its table. Raises UsageError (unknown_model).
    """

    def __init__(
        self, sql: str, tables: Collection[str], embeddings: Sequence[str],
        named: Callable[[str], str],
    ) -> None:  # fmt: skip
        self.tree: Any = sqlglot.parse_one(sql, dialect="duckdb")
        self._embeddings = embeddings
        self._named = named
        own = [t for t in tables if t in embeddings]
        self._own = own[0] if len(own) == 1 else None
        self.calls = [n for n in self.tree.find_all(exp.Anonymous) if n.name.lower() == NAME]
        self.asked = [self._asked(call) for call in self.calls]

    def _asked(self, call: Any) -> tuple[str, list[str]]:
        """(identifier, tables that may hold its vector) of a call."""
        args = call.expressions
        texts = [a.name for a in args[1:] if isinstance(a, exp.Literal) and a.is_string]
        if len(args) not in (2, 3) or len(texts) != len(args) - 1:
            raise UsageError(
                "similarity takes a column of identifiers, an identifier and, if wanted, a model",
                code="bad_similarity", where=NAME,
                remedy="similarity(obs_publisher_did, 'ivo://…') or with a third word in quotes",
            )  # fmt: skip
        if len(texts) == 2:
            return texts[0], [self._named(texts[1])]
        if self._own is not None:
            return texts[0], [self._own]
        return texts[0], list(self._embeddings)

    @property
    def tables(self) -> set[str]:
        """Tables whose vectors may be needed: of several, only the first that holds one is."""
        return {names[0] for _, names in self.asked if names}

    def sql(self, vector: Vector) -> str:
        """The query with every call written out. Raises UsageError (unknown_vector)."""
        for call, (did, names) in zip(self.calls, self.asked, strict=True):
            for name in names:
                found = vector(name, did)
                if found is not None:
                    call.replace(_distance(call, name, found))
                    break
            else:
                where = ", ".join(names) if names else "this archive: nothing is embedded"
                raise UsageError(f"there is no vector of {did[:200]!r} in {where}",
                                 code="unknown_vector", where=NAME,
                                 remedy="name another model, or another spectrum")  # fmt: skip
        return str(self.tree.sql(dialect="duckdb"))


def _distance(call: Any, table: str, vector: Sequence[float]) -> Any:
    which = call.expressions[0]
    numbers = f"[{', '.join(repr(float(v)) for v in vector)}]::FLOAT[{len(vector)}]"
    alias = _scanned(call, which, table)
    if alias is not None:  # the vectors are at hand in the row itself
        return _parsed(f"array_distance({quoted(alias)}.vector, {numbers})::DOUBLE")
    # columns of the inner table under names of their own: none of the query's can mean them
    inner = (f"SELECT {DID} AS sim_did, array_distance(vector, {numbers})::DOUBLE AS sim_far "
             f"FROM {qualified(table)}")  # fmt: skip
    of = which.sql(dialect="duckdb")
    return _parsed(f"(SELECT any_value(sim_far) FROM ({inner}) AS sim WHERE sim_did = {of})")


def _parsed(sql: str) -> Any:
    return sqlglot.parse_one(sql, dialect="duckdb")


def _scanned(call: Any, which: Any, table: str) -> str | None:
    """Name under which the very table is read whose identifiers `which` is, else None."""
    if not isinstance(which, exp.Column) or which.name.lower() != DID:
        return None
    select = call.find_ancestor(exp.Select)
    if select is None:
        return None
    sources = [*select.find_all(exp.Table)]
    qualifier = which.table.lower()
    for source in sources:
        alias = source.alias_or_name
        mine = f"{source.db}.{source.name}".lower() == table
        if mine and (alias.lower() == qualifier or (not qualifier and len(sources) == 1)):
            return str(alias)
    return None
