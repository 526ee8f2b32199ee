"""Queries in ADQL, answered by an embedded database that holds the archive's tables.

Source: IVOA TAP 1.1; ADQL 2.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import sqlglot
from sqlglot import exp

from ..domain.errors import InternalError, SpectrariumError, UsageError
from ..run.table_columns import VoTable
from ..run.table_rows import DID
from .adql import Translated, prepare_duckdb, translate
from .tap_answer import Cut, columns_of, wide_names
from .tap_results import Rows
from .tap_similarity import NAME as SIMILARITY
from .tap_similarity import Similarity
from .tap_store import Store, StoreLimits, qualified
from .tap_tables import ArchiveTables, catalogue_of
from .tap_upload import SCHEMA as UPLOADS
from .tap_watch import Turns, Watch

BATCH_ROWS = 10_000
READING_S = 900.0
"""Seconds that a client may take to read an answer once it has begun."""
AT_ONCE, OF_ONE = 16, 8
"""Queries under way at a time, and those of one client; further ones are asked to come again."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked.

    text : ADQL · maxrec : rows at most · most_s : until the first rows · uploads : tables that came
    with it, by full name · cancelled : whether nobody waits for it any more · client : who asks,
    "" = nobody who could ask for more at a time than others
    """

    text: str
    maxrec: int
    most_s: float = 60.0
    uploads: Mapping[str, VoTable] = field(default_factory=dict)
    cancelled: Callable[[], bool] = field(default=lambda: False)
    client: str = ""


class Engine:
    """Answers queries about one archive version, as one kind of visitor sees it."""

    def __init__(self, tables: ArchiveTables, limits: StoreLimits | None = None) -> None:
        self.tables = tables
        self._catalogue = catalogue_of(tables.all)
        self._store = Store(tables.all, limits or StoreLimits(), prepare_duckdb)
        self._turns = Turns(AT_ONCE, OF_ONE)

    @property
    def size(self) -> int:
        """Bytes of the tables that are kept, nearly."""
        return self._store.size

    @property
    def idle(self) -> bool:
        """Whether no query is under way."""
        return self._turns.idle

    def close(self) -> None:
        """Let go of everything."""
        self._store.close()

    def run(self, query: Query) -> Rows:
        """Rows as they come; the first are there on return. Close them when done.

        Raises
        ------
        UsageError : what the translator refuses (with the position), query_timeout, query_memory,
            bad_query, unknown_vector, unknown_model
        TransientError : busy, cancelled
        """
        catalogue = {**self._catalogue, **catalogue_of(query.uploads)}
        translated = translate(query.text, catalogue, maxrec=query.maxrec)
        with ExitStack() as after:
            after.enter_context(self._turns.one(query.client))
            rows = self._answer(query, translated, after)
            rows.close = after.pop_all().close
        return rows

    def _answer(self, query: Query, translated: Translated, after: ExitStack) -> Rows:
        cursor = self._store.cursor()
        after.callback(cursor.close)
        watch = Watch(cursor.interrupt, query.most_s, query.cancelled)
        after.callback(watch.stop)
        try:
            stored = {t for t in translated.tables if t in self.tables.all}
            wide = after.enter_context(self._store.using(stored, translated.sql))
            sql = self._with_similarity(query, translated, cursor, after)
            if query.uploads:
                sql = self._with_uploads(sql, query, cursor, after)
            reader = cursor.sql(sql).to_arrow_reader(BATCH_ROWS)
            after.callback(reader.close)
            known = {**self.tables.all, **query.uploads}
            columns = columns_of(translated, reader.schema, known)
            cut = Cut(reader, columns, query.maxrec)
            batches = _guarded(cut.batches(), watch)
            first = next(batches, None)
        except SpectrariumError:
            raise
        except Exception as error:  # what the database throws
            raise _in_words(error, watch) from error
        watch.relax(READING_S)
        return Rows(columns, _chained(first, batches),
                    wide_names(translated, query, wide), lambda: cut.overflowed)  # fmt: skip

    def _with_similarity(
        self, query: Query, translated: Translated, cursor: Any, after: ExitStack
    ) -> str:
        """The query with calls of `similarity` as distances; tables of vectors are brought in."""
        if SIMILARITY not in query.text.lower():
            return translated.sql
        calls = Similarity(translated.sql, translated.tables, self.tables.embeddings(),
                           self.tables.embedding_named)  # fmt: skip

        def vector(table: str, did: str) -> list[float] | None:
            after.enter_context(self._store.using({table}))
            asked = f"SELECT vector FROM {qualified(table)} WHERE {DID} = ? LIMIT 1"
            found = cursor.execute(asked, [did]).fetchall()
            return list(found[0][0]) if found else None

        return calls.sql(vector) if calls.calls else translated.sql

    def _with_uploads(self, sql: str, query: Query, cursor: Any, after: ExitStack) -> str:
        """The query with uploaded tables under the names that they have in the database."""
        place = self._store.upload(cursor, query.uploads)
        after.callback(self._store.forget, place)
        tree: Any = sqlglot.parse_one(sql, dialect="duckdb")
        for table in tree.find_all(exp.Table):
            if table.db.lower() == UPLOADS:
                table.set("catalog", exp.to_identifier(place))
        return str(tree.sql(dialect="duckdb"))


def _guarded(batches: Iterator[pa.RecordBatch], watch: Watch) -> Iterator[pa.RecordBatch]:
    """Batches; what the database throws becomes an error that says what to do."""
    try:
        yield from batches
    except SpectrariumError:
        raise
    except Exception as error:  # what the database throws
        raise _in_words(error, watch) from error


def _chained(
    first: pa.RecordBatch | None, rest: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    if first is not None:
        yield first
        del first  # else it stays in memory as long as the answer lasts
    yield from rest


def _in_words(error: Exception, watch: Watch) -> SpectrariumError:
    import duckdb

    if watch.reason is not None:
        return watch.reason
    lines = str(error).strip().splitlines() or [type(error).__name__]
    said = lines[0].partition("Error: ")[2] or lines[0]
    if isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory" in lines[0]:
        return UsageError("the query needs more memory than it may have", code="query_memory",
                          remedy="ask for fewer rows or columns at a time")  # fmt: skip
    if isinstance(error, (duckdb.Error, pa.ArrowException, OSError)):
        return UsageError(f"the query cannot be answered: {said[:300]}", code="bad_query",
                          remedy="check the types of what is compared and computed")  # fmt: skip
    return InternalError(f"a query failed: {type(error).__name__}: {said[:200]}",
                         code="tap_failed")  # fmt: skip
