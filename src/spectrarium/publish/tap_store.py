"""Tables in an embedded DuckDB: brought in when a query names them, dropped when space is needed.

The database is in memory, cannot reach files or networks, loads no extensions, and nobody can
change its settings any more.
"""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..run.table_columns import VoTable
from .votable_rows import is_text

_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """kept_bytes : of tables kept for the next query; 0 = half of the database's · memory_mib : of
    the whole database; 0 = a third of the machine's, up to 8 GiB · threads : of all queries
    together; 0 = as many as there are processors, up to 8"""

    kept_bytes: int = 0
    memory_mib: int = 0
    threads: int = 0


@dataclass(slots=True)
class _Kept:
    """A table that is in the database, or so much of it as was asked for.

    wide : its text columns with more than ASCII
    """

    size: int
    wide: frozenset[str]
    columns: frozenset[str]
    users: int = 0


class Store:
    """The database of one archive version, as one kind of visitor sees it.

    prepare : what registers functions that queries use, once
    """

    def __init__(
        self, tables: Mapping[str, VoTable], limits: StoreLimits, prepare: Callable[[Any], None]
    ) -> None:
        import duckdb

        self.tables = tables
        self._limits = limits
        self._lock = threading.Lock()
        self._making: dict[str, threading.Lock] = {}
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._uploads = 0
        memory_mib = limits.memory_mib or _third_mib()
        self._most = limits.kept_bytes or (memory_mib << 20) // 2
        self._connection = duckdb.connect(":memory:", config={
            "memory_limit": f"{memory_mib}MiB", "temp_directory": "",
            "threads": limits.threads or min(8, os.cpu_count() or 1),
            "autoinstall_known_extensions": False, "autoload_known_extensions": False,
            "allow_community_extensions": False, "python_enable_replacements": False,
        })  # fmt: skip
        prepare(self._connection)
        for schema in sorted({name.partition(".")[0] for name in tables}):
            self._connection.execute(f"CREATE SCHEMA {quoted(schema)}")
        self._connection.execute("SET enable_external_access = false")
        self._connection.execute("SET lock_configuration = true")

    def close(self) -> None:
        """Let go of everything."""
        self._connection.close()

    @property
    def size(self) -> int:
        """Bytes of the tables that are kept, nearly."""
        with self._lock:
            return sum(k.size for k in self._kept.values())

    @property
    def idle(self) -> bool:
        """Whether no query is under way."""
        with self._lock:
            return not any(k.users for k in self._kept.values())

    @contextmanager
    def using(self, names: Collection[str], sql: str | None = None) -> Iterator[frozenset[str]]:
        """Have these tables there for as long as the block lasts; yields ``table.column`` of text
        columns in them that hold more than ASCII.

        sql : what is asked, every column of it in double quotes: of large tables, only columns
        that it names are there. All are where it is None
        """
        mine: list[_Kept] = []
        named = None if sql is None else set(_QUOTED.findall(sql))
        try:
            for name in sorted(names):
                mine.append(self._use(name, self._wanted(name, named)))
            wide = {f"{n}.{c}" for n, k in zip(sorted(names), mine, strict=True) for c in k.wide}
            yield frozenset(wide)
        finally:
            with self._lock:
                for kept in mine:
                    kept.users -= 1
            self._make_room()

    def _wanted(self, name: str, named: Collection[str] | None) -> frozenset[str]:
        """Columns of a table that have to be there."""
        table = self.tables[name]
        every = [c.name for c in table.columns]
        if named is None or table.some is None:
            return frozenset(every)
        # at least one, for the number of rows
        return frozenset(n for n in every if n.strip('"') in named) or frozenset(every[-1:])

    def _use(self, name: str, wanted: frozenset[str]) -> _Kept:
        with self._lock:
            making = self._making.setdefault(name, threading.Lock())
        with making:  # of several queries one brings it in
            with self._lock:
                kept = self._kept.get(name)
                if kept is not None:
                    self._kept.move_to_end(name)
                    kept.users += 1
            if kept is None:
                return self._bring(name, wanted, None)
            try:
                return self._bring(name, wanted, kept) if wanted - kept.columns else kept
            except BaseException:
                with self._lock:
                    kept.users -= 1
                raise

    def _bring(self, name: str, wanted: frozenset[str], kept: _Kept | None) -> _Kept:
        """Put a table, or what is still missing of it, into the database.

        Queries that are under way go on with the table as it was when they began.
        """
        table = self.tables[name]
        missing = wanted - (kept.columns if kept else frozenset())
        made = table.arrow() if table.some is None else table.some(missing)
        cursor = self._connection.cursor()
        try:
            put(cursor, qualified(name), made, beside=kept is not None)
        finally:
            cursor.close()
        size, wide = int(made.nbytes), wide_columns(made)
        with self._lock:
            if kept is None:
                kept = self._kept[name] = _Kept(size, wide, missing, users=1)
            else:
                kept.size, kept.wide = kept.size + size, kept.wide | wide
                kept.columns |= missing
        return kept

    def _make_room(self) -> None:
        """Drop what has not been used for longest, but nothing that is in use."""
        with self._lock:
            total = sum(k.size for k in self._kept.values())
            for name in [n for n, k in self._kept.items() if not k.users]:
                if total <= self._most:
                    break
                total -= self._kept.pop(name).size
                cursor = self._connection.cursor()
                cursor.execute(f"DROP TABLE IF EXISTS {qualified(name)}")
                cursor.close()

    def cursor(self) -> Any:
        """A connection of one query's own."""
        return self._connection.cursor()

    def upload(self, cursor: Any, tables: Mapping[str, VoTable]) -> str:
        """Put uploaded tables into a catalogue of their own; its name. Ended by `forget`."""
        with self._lock:
            self._uploads += 1
            catalogue = f"upload_{self._uploads}"
        cursor.execute(f"ATTACH ':memory:' AS {catalogue}")
        for schema in sorted({name.partition(".")[0] for name in tables}):
            cursor.execute(f"CREATE SCHEMA {catalogue}.{quoted(schema)}")
        for name, table in tables.items():
            put(cursor, f"{catalogue}.{qualified(name)}", table.arrow())
        return catalogue

    def forget(self, catalogue: str) -> None:
        """Let go of the tables of `upload`."""
        cursor = self._connection.cursor()
        cursor.execute(f"DETACH {catalogue}")
        cursor.close()


def _third_mib() -> int:
    """A third of the machine's memory, MiB, up to 8 GiB; 2 GiB where it does not say."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not POSIX
        return 2048
    return min(8192, max(512, whole // 3 >> 20))


def put(cursor: Any, name: str, table: pa.Table, *, beside: bool = False) -> None:
    """Make a table of the database of an Arrow table. name : as SQL writes it

    beside : its columns join those of the table that is there, row by row
    """
    cursor.register("incoming", table)
    source = f"{name} AS old POSITIONAL JOIN incoming" if beside else "incoming"
    try:
        cursor.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM {source}")
    finally:
        cursor.unregister("incoming")


def wide_columns(table: pa.Table) -> frozenset[str]:
    """Text columns that hold more than ASCII."""
    return frozenset(
        name for name, column in zip(table.column_names, table.columns, strict=True)
        if is_text(column.type) and pc.all(pc.string_is_ascii(column)).as_py() is False
    )  # fmt: skip


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def qualified(name: str) -> str:
    """``schema.table`` as SQL has it."""
    schema, _, table = name.partition(".")
    return f"{quoted(schema)}.{quoted(table)}"
