"""An archive's tables in a PostgreSQL server: a schema of their own, loaded by COPY when asked for.

Everything of one archive version, as one kind of visitor sees it, is in one schema; tables in it
have their full name (``ivoa.obscore``). A table is there whole or not at all. Schemas that no
server uses any more are dropped by the next one that opens.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from ..domain.errors import TransientError, UsageError
from ..run.table_columns import VoTable
from .adql_postgres import SPOINT, definitions
from .adql_scope import quoted
from .shape_relations import GALACTIC_TO_ICRS
from .votable_rows import is_list, is_text

PREFIX = "spectrarium_"
_TYPES = {
    pa.int8(): "smallint", pa.int16(): "smallint", pa.int32(): "integer", pa.int64(): "bigint",
    pa.float16(): "real", pa.float32(): "real", pa.float64(): "double precision",
}  # fmt: skip
_ROWS = 20_000


def connected(address: str, seconds: float = 10.0) -> Any:
    """A connection to ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE`` (``?host=`` a socket's
    folder, as libpq has it). Raises UsageError, TransientError."""
    try:
        import pg8000.exceptions
        import pg8000.native
    except ImportError:
        raise UsageError("PostgreSQL needs pg8000", code="postgres_missing",
                         remedy="pip install 'spectrarium[postgres]'") from None  # fmt: skip
    parts = urlsplit(address)
    if parts.scheme not in ("postgresql", "postgres") or not parts.username:
        raise UsageError("the database's address is not understood", code="bad_database",
                         remedy="postgresql://USER:PASSWORD@HOST:5432/DATABASE")  # fmt: skip
    folder = parse_qs(parts.query).get("host", [""])[0]
    port = parts.port or 5432
    where: dict[str, Any] = {"host": parts.hostname or "localhost", "port": port}
    if folder:
        where = {"unix_sock": f"{folder}/.s.PGSQL.{port}"}
    try:
        return pg8000.native.Connection(
            unquote(parts.username), password=unquote(parts.password) if parts.password else None,
            database=unquote(parts.path.lstrip("/")) or unquote(parts.username), timeout=None,
            application_name="spectrarium", **where)  # fmt: skip
    except (pg8000.exceptions.Error, OSError) as error:
        raise TransientError(f"the database does not answer: {said(error)}",
                             code="database_away") from error  # fmt: skip


def said(error: BaseException) -> str:
    """What PostgreSQL says of an error, in one line."""
    what = error.args[0] if error.args else str(error)
    text = str(what.get("M", what)) if isinstance(what, dict) else str(what)
    return " ".join(text.split())[:300]


class PostgresStore:
    """The tables in a server. name : of what they are; the same name means the same rows

    Raises UsageError (bad_database, postgres_missing), TransientError (database_away).
    """

    def __init__(self, address: str, tables: Mapping[str, VoTable], name: str) -> None:
        self.address = address
        self.tables = tables
        self.schema = PREFIX + hashlib.sha256(name.encode()).hexdigest()[:20]
        self._keeper = connected(address)
        self._lock = threading.Lock()
        self._there: set[str] = set()
        self.sphere = self._extension()
        self._open()

    def _extension(self) -> str | None:
        """The schema in which pgSphere is, None where the server does not have it."""
        found = self._keeper.run("SELECT nspname FROM pg_extension JOIN pg_namespace n ON "
                                 "n.oid = extnamespace WHERE extname = 'pg_sphere'")  # fmt: skip
        return str(found[0][0]) if found else None

    @property
    def path(self) -> str:
        """Schemas in which queries look for what they name, as SQL has it."""
        return ", ".join(quoted(s) for s in (self.schema, *filter(None, [self.sphere])))

    def _open(self) -> None:
        run = self._keeper.run
        run(f"SELECT pg_advisory_lock_shared({_number(self.schema)})")
        run("BEGIN")
        run(f"SELECT pg_advisory_xact_lock({_number(self.schema + ' made')})")
        run(f"CREATE SCHEMA IF NOT EXISTS {quoted(self.schema)}")
        run(f"SET LOCAL search_path = {self.path}")
        for statement in definitions(self.sphere is not None, GALACTIC_TO_ICRS):
            run(statement)
        run("COMMIT")
        self._drop_unused()

    def _drop_unused(self) -> None:
        """Drop schemas that no server holds: of versions that are gone."""
        run = self._keeper.run
        found = run(f"SELECT nspname::text FROM pg_namespace WHERE nspname LIKE '{PREFIX}%'")
        for (schema,) in found:
            number = _number(schema)
            if schema != self.schema and run(f"SELECT pg_try_advisory_lock({number})")[0][0]:
                run(f"DROP SCHEMA IF EXISTS {quoted(schema)} CASCADE")
                run(f"SELECT pg_advisory_unlock({number})")

    def connection(self) -> Any:
        """A connection that sees the tables and functions."""
        connection = connected(self.address)
        connection.run(f"SET search_path = {self.path}")
        connection.run("SET standard_conforming_strings = on; SET TimeZone = 'UTC'")
        return connection

    def close(self) -> None:
        """Let go; the tables stay for the next one, until their version is gone."""
        with self._lock:
            self._keeper.close()

    def end(self, pid: int) -> None:
        """Make another connection of this user stop what it does."""
        ask = f"SELECT pg_cancel_backend({int(pid)})"
        with self._lock:
            try:
                self._keeper.run(ask)
            except Exception:  # noqa: BLE001 - the server went away meanwhile: come back to it
                self._keeper = connected(self.address)
                self._keeper.run(f"SELECT pg_advisory_lock_shared({_number(self.schema)})")
                self._keeper.run(ask)

    def use(self, names: Iterable[str]) -> None:
        """Have these tables there."""
        for name in sorted(names):
            with self._lock:
                if name in self._there:
                    continue
            connection = self.connection()
            try:
                self._load(connection, name)
            finally:
                connection.close()
            with self._lock:
                self._there.add(name)

    def _load(self, connection: Any, name: str) -> None:
        connection.run("BEGIN")
        connection.run(f"SELECT pg_advisory_xact_lock({_number(self.schema + name)})")
        there = connection.run(
            "SELECT 1 FROM pg_tables WHERE schemaname = :schema AND tablename = :name",
            schema=self.schema, name=name)  # fmt: skip
        if not there:
            put(connection, name, self.tables[name].arrow())
            self._index(connection, name)
        connection.run("COMMIT")
        if not there:
            connection.run(f"ANALYZE {quoted(name)}")

    def _index(self, connection: Any, name: str) -> None:
        columns = {c.name.strip('"') for c in self.tables[name].columns}
        for column in sorted(columns & {"healpix29", "obs_publisher_did", "obs_id"}):
            connection.run(f"CREATE INDEX ON {quoted(name)} ({quoted(column)})")
        for lon, lat in (("s_ra", "s_dec"), ("ra", "dec")):
            if self.sphere and {lon, lat} <= columns:
                place = SPOINT.format(quoted(lon), quoted(lat))
                connection.run(f"CREATE INDEX ON {quoted(name)} USING gist (({place}))")


def _number(text: str) -> int:
    """A number for an advisory lock."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)


def put(connection: Any, name: str, table: pa.Table, temporary: bool = False) -> None:
    """Make a table of the server of an Arrow table, within the transaction that is open."""
    columns = ", ".join(f"{quoted(f.name)} {_type(f.type)}" for f in table.schema)
    kind = "TEMPORARY TABLE" if temporary else "TABLE"
    connection.run(f"CREATE {kind} {quoted(name)} ({columns})")
    connection.run(f"COPY {quoted(name)} FROM STDIN WITH (FORMAT csv)",
                   stream=_Stream(_pieces(table)))  # fmt: skip


def _type(kind: pa.DataType) -> str:
    if is_list(kind):
        return f"{_type(kind.value_type)}[]"
    if pa.types.is_timestamp(kind):
        return "timestamp"
    return _TYPES.get(kind, "text")


def _pieces(table: pa.Table) -> Iterator[bytes]:
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="all_valid")
    for batch in table.to_batches(max_chunksize=_ROWS):
        plain = [_copied(c) for c in batch.columns]
        sink = io.BytesIO()
        pyarrow.csv.write_csv(pa.table(plain, names=[str(i) for i in range(len(plain))]), sink,
                              options)  # fmt: skip
        yield sink.getvalue()


def _copied(column: Any) -> Any:
    """A column as COPY reads it: vectors in braces, no NUL in texts."""
    if is_list(column.type):
        lists = column.cast(pa.list_(column.type.value_type))
        words = pc.binary_join(lists.cast(pa.list_(pa.string())), ",")
        return pc.binary_join_element_wise("{", words, "}", "")
    if is_text(column.type):
        return pc.replace_substring(column, "\0", "")
    return column


class _Stream(io.RawIOBase):
    """Pieces of bytes as a file to be read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
