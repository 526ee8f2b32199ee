"""ADQL 2.1 as SQL of an embedded DuckDB or of PostgreSQL. Source: IVOA ADQL 2.1 (REC 2023-12-15).

A query passes if every word of it is known: tables and columns of the catalogue, functions of a
list, and the grammar of SELECT. Nothing of the client's text reaches the database but literals.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from .adql_duckdb import prepare_duckdb
from .adql_expression import Query
from .adql_functions import Function
from .adql_parse import parsed
from .adql_query import Selects, unique_names
from .adql_scope import Catalogue
from .adql_values import AdqlError, ColumnMeta, OutColumn, Translated

__all__ = [
    "AdqlError", "ColumnMeta", "Function", "OutColumn", "Translated", "prepare_duckdb", "translate",
]  # fmt: skip
SIMILARITY = Function(
    ("text", "text", "text"), "real", lambda a: f"similarity({', '.join(a)})", least=2,
    form="similarity(obs_publisher_did VARCHAR, did VARCHAR, model VARCHAR) -> DOUBLE",
    about="how unlike a spectrum is one other: the distance of their vectors in an embedding; did "
    "is an identifier in quotes, no column; model, in quotes too, may be left out",
    meta=ColumnMeta(ucd="stat.distance"),
)  # fmt: skip
FUNCTIONS: Mapping[str, Function] = {"similarity": SIMILARITY}
"""Functions of our own, by name; the engine puts SQL in their place."""


def translate(
    text: str, catalogue: Catalogue, *, dialect: Literal["duckdb", "postgres"] = "duckdb",
    maxrec: int, functions: Mapping[str, Function] | None = None,
) -> Translated:  # fmt: skip
    """A query in ADQL as SQL that reads only.

    Parameters
    ----------
    catalogue : full name of a table → column → what is known of it
    maxrec : rows at most; the SQL asks for one more, so that a cut shows
    functions : of the service, by name in lower case; left out, `FUNCTIONS`

    Raises
    ------
    AdqlError : with the position in the text
    """
    known = FUNCTIONS if functions is None else functions
    query = Query(text, catalogue, known, dialect)
    try:
        tree = parsed(text)
        sql, fields, top = Selects(query).of(tree, None, max(maxrec, 0) + 1, named=True)
    except RecursionError:
        raise AdqlError("the query is nested too deeply", code="adql_limits",
                        remedy="write it with fewer parentheses") from None  # fmt: skip
    columns = [OutColumn(name, f.piece.source, f.piece.meta)
               for name, f in zip(unique_names(fields), fields, strict=True)]  # fmt: skip
    return Translated(sql, columns, query.tables, top)
