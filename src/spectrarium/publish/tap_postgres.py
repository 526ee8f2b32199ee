"""Queries in ADQL, answered by a PostgreSQL server that a site already runs.

It has the same interface as the embedded engine (`tap.Engine`) and gives the same answers. Queries
run in transactions that read only, with a time limit, and are cancelled with their client. Without
the extension pgSphere, what needs polygons or HEALPix functions is refused with that reason.
Source: IVOA TAP 1.1; ADQL 2.1; pgSphere 1.2.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pyarrow as pa

from ..domain.errors import InternalError, SpectrariumError, TransientError, UsageError
from ..run.table_rows import DID
from .adql import SIMILARITY, translate
from .adql_scope import quoted
from .adql_values import Translated
from .postgres_store import PostgresStore, put, said
from .tap import AT_ONCE, OF_ONE, READING_S, Query
from .tap_answer import Cut, columns_of
from .tap_results import Rows
from .tap_tables import ArchiveTables, catalogue_of
from .tap_watch import Turns, Watch
from .votable_rows import is_list

BATCH_ROWS = 10_000
_TYPES = {
    16: pa.int16(), 20: pa.int64(), 21: pa.int16(), 23: pa.int32(), 700: pa.float32(),
    701: pa.float64(), 1700: pa.float64(), 1114: pa.timestamp("us"), 1007: pa.list_(pa.int32()),
    1021: pa.list_(pa.float32()), 1022: pa.list_(pa.float64()), 1231: pa.list_(pa.float64()),
}  # fmt: skip
"""Arrow's types for PostgreSQL's; all others are texts."""


class PostgresEngine:
    """Answers queries about one archive version, as one kind of visitor sees it.

    address : ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE`` of a user that may create schemas
    """

    def __init__(self, tables: ArchiveTables, address: str) -> None:
        self.tables = tables
        self._catalogue = catalogue_of(tables.all)
        self._store = PostgresStore(address, tables.all, _name(tables))
        self._turns = Turns(AT_ONCE, OF_ONE)

    @property
    def size(self) -> int:
        """Bytes of this process that the tables take: none."""
        return 0

    @property
    def idle(self) -> bool:
        """Whether no query is under way."""
        return self._turns.idle

    def close(self) -> None:
        """Let go of the server."""
        self._store.close()

    def run(self, query: Query) -> Rows:
        """Rows as they come; the first are there on return. Close them when done.

        Raises
        ------
        UsageError : what the translator refuses (with the position), query_timeout, bad_query,
            unknown_vector, unknown_model
        TransientError : busy, cancelled, database_away
        """
        calls = _Similar(self)
        functions = {"similarity": replace(SIMILARITY, sql=calls.sql)}
        catalogue = {**self._catalogue, **catalogue_of(query.uploads)}
        translated = translate(query.text, catalogue, dialect="postgres", maxrec=query.maxrec,
                               functions=functions)  # fmt: skip
        with ExitStack() as after:
            after.enter_context(self._turns.one(query.client))
            self._store.use({t for t in translated.tables if t in self.tables.all} | calls.tables)
            rows = self._answer(query, translated, after)
            rows.close = after.pop_all().close
        return rows

    def _answer(self, query: Query, translated: Translated, after: ExitStack) -> Rows:
        connection = self._store.connection()
        after.callback(connection.close)
        pid = int(connection.run("SELECT pg_backend_pid()")[0][0])
        watch = Watch(lambda: self._store.end(pid), query.most_s, query.cancelled)
        after.callback(watch.stop)
        try:
            for name, table in query.uploads.items():
                put(connection, name, table.arrow(), temporary=True)
            connection.run("BEGIN TRANSACTION READ ONLY")
            connection.run(f"SET LOCAL statement_timeout = {int(query.most_s * 1000) + 5000}")
            connection.execute_simple(f"DECLARE answer NO SCROLL CURSOR FOR {translated.sql}")
            begun = connection.execute_simple(f"FETCH {BATCH_ROWS} FROM answer")
        except Exception as error:  # what the database throws
            raise _in_words(error, watch) from error
        watch.relax(READING_S)
        kinds = [_TYPES.get(int(c["type_oid"]), pa.string()) for c in begun.columns]
        schema = pa.schema([(c.name, k) for c, k in zip(translated.columns, kinds, strict=True)])
        columns = columns_of(translated, schema, {**self.tables.all, **query.uploads})
        typed = pa.schema([(c.name, c.type) for c in columns])
        fetched = _fetched(connection, begun.rows, typed, watch)
        cut = Cut(reader=fetched, columns=columns, most=query.maxrec)
        batches = cut.batches()
        wide = frozenset(c.name for c in columns if c.type == pa.string())
        return Rows(columns, _chained(next(batches, None), batches), wide, lambda: cut.overflowed)

    def holds(self, table: str, did: str) -> bool:
        """Whether a table of vectors has one of an observation."""
        self._store.use({table})
        connection = self._store.connection()
        try:
            found = connection.run(f"SELECT 1 FROM {quoted(table)} WHERE {quoted(DID)} = :did "
                                   "LIMIT 1", did=did)  # fmt: skip
        finally:
            connection.close()
        return bool(found)


class _Similar:
    """Writes out ``similarity(column, 'DID'[, 'MODEL'])``; `tables` are those it needs."""

    def __init__(self, engine: PostgresEngine) -> None:
        self._engine = engine
        self.tables: set[str] = set()

    def sql(self, args: Sequence[str]) -> str:
        """The distance of two vectors. Raises UsageError."""
        texts = [a[1:-1].replace("''", "'") for a in args[1:] if a.startswith("'")]
        if len(texts) != len(args) - 1:
            raise UsageError(
                "similarity takes a column of identifiers, an identifier and, if wanted, a model",
                code="bad_similarity", where="similarity",
                remedy="similarity(obs_publisher_did, 'ivo://…') or with a third word in quotes",
            )  # fmt: skip
        tables = self._engine.tables
        names = [tables.embedding_named(texts[1])] if len(texts) == 2 else tables.embeddings()
        for name in names:
            if self._engine.holds(name, texts[0]):
                self.tables.add(name)
                vectors = f"SELECT vector FROM {quoted(name)} AS sim WHERE sim.{quoted(DID)}"
                return f"vo_apart(({vectors} = {args[0]} LIMIT 1), ({vectors} = {args[1]} LIMIT 1))"
        where = ", ".join(names) if names else "this archive: nothing is embedded"
        raise UsageError(f"there is no vector of {texts[0][:200]!r} in {where}",
                         code="unknown_vector", where="similarity",
                         remedy="name another model, or another spectrum")  # fmt: skip


def _name(tables: ArchiveTables) -> str:
    """What these tables are: one archive's version, as some may see it, with one publisher."""
    archive = tables.archive
    sight = archive.visibility
    only = None if sight.only is None else sorted(sight.only)
    parts = (archive.root.resolve(), archive.version, sorted(sight.hidden), only, tables.publisher)
    return "|".join(map(str, parts))


def _fetched(
    connection: Any, rows: list[list[Any]], schema: pa.Schema, watch: Watch
) -> Iterator[pa.RecordBatch]:
    while rows:
        columns = zip(*rows, strict=True)
        arrays = [_array(list(c), f.type) for c, f in zip(columns, schema, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        if len(rows) < BATCH_ROWS:
            return
        try:
            rows = connection.execute_simple(f"FETCH {BATCH_ROWS} FROM answer").rows
        except Exception as error:  # what the database throws
            raise _in_words(error, watch) from error


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_string(kind):
        return pa.array([None if v is None else str(v) for v in values], kind)
    if is_list(kind) and pa.types.is_floating(kind.value_type):
        return pa.array([None if v is None else [None if x is None else float(x) for x in v]
                         for v in values], kind)  # fmt: skip
    if pa.types.is_floating(kind):
        return pa.array([None if v is None else float(v) for v in values], kind)
    if pa.types.is_timestamp(kind):
        return pa.array([v if isinstance(v, datetime.datetime) else None for v in values], kind)
    if kind == pa.int16():
        return pa.array([None if v is None else int(v) for v in values], kind)
    return pa.array(values, kind)


def _chained(
    first: pa.RecordBatch | None, rest: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    if first is not None:
        yield first
        del first  # else it stays in memory as long as the answer lasts
    yield from rest


def _in_words(error: Exception, watch: Watch) -> SpectrariumError:
    from pg8000.exceptions import DatabaseError, InterfaceError

    if isinstance(error, SpectrariumError):
        return error
    if watch.reason is not None:
        return watch.reason
    if isinstance(error, DatabaseError):
        return UsageError(f"the query cannot be answered: {said(error)}", code="bad_query",
                          remedy="check the types of what is compared and computed")  # fmt: skip
    if isinstance(error, (InterfaceError, OSError)):
        return TransientError(f"the database does not answer: {said(error)}", code="database_away")
    return InternalError(f"a query failed: {type(error).__name__}: {said(error)}",
                         code="tap_failed")  # fmt: skip
