"""The people file: opened with care, read in snapshots, written in transactions.

Connections are lent to one thread at a time; inside a transaction a thread always meets its own,
so that whatever it calls takes part in it.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..domain.errors import DataError, InternalError, SpectrariumError, TransientError, UsageError
from .schema import APPLICATION_ID, STEPS

BUSY_S = 10.0
"""How long a write waits for another one."""
_IDLE_MOST = 8
_CHECKED_BYTES = 2**26
"""Files up to this size are looked through for damage when they are opened."""
_MAGIC = b"SQLite format 3\0"
_left_behind: list[sqlite3.Connection] = []
"""Connections of the process this one was forked from: they may be neither used nor closed."""


class Database:
    """One SQLite file.

    Raises
    ------
    UsageError : written by a newer Spectrarium, a folder, or not to be read or written
    DataError : damaged, or no people file; it is left as it is
    """

    def __init__(self, path: Path, steps: tuple[tuple[str, ...], ...] = STEPS) -> None:
        self.path = Path(path).absolute()
        self._steps = steps
        self._lock = threading.Lock()
        self._mine = threading.local()
        self._idle: list[sqlite3.Connection] = []
        self._pid = os.getpid()
        self._closed = False
        _make_or_check(self.path)
        with self._lent() as db:
            self._check(db)
            _use_wal(db)
            self._upgrade(db)

    def close(self) -> None:
        """Give all connections back; what is used later raises."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        if self._pid == os.getpid():
            for db in idle:
                db.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state of the file, whatever others write meanwhile."""
        held = self._held
        if held is not None:
            with self._explained():
                yield held
            return
        with self._lent() as db:
            db.execute("BEGIN")
            try:
                yield db
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of the block or nothing; within another one, a part of that."""
        held = self._held
        if held is not None:
            with self._explained(), _savepoint(held):
                yield held
            return
        with self._lent() as db:
            db.execute("BEGIN IMMEDIATE")
            self._mine.held = db
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            finally:
                self._mine.held = None

    @property
    def _held(self) -> sqlite3.Connection | None:
        """The connection whose transaction this thread is in."""
        held: sqlite3.Connection | None = getattr(self._mine, "held", None)
        return held

    @contextmanager
    def _lent(self) -> Iterator[sqlite3.Connection]:
        with self._explained():
            db = self._take()
            try:
                yield db
            except sqlite3.Error:
                db.close()
                raise
            except BaseException:
                self._give_back(db)
                raise
            self._give_back(db)

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._pid != os.getpid():
                _left_behind.extend(self._idle)
                self._idle, self._pid = [], os.getpid()
                self._mine = threading.local()
            if self._closed:
                raise InternalError("the people file is closed", code="people_closed")
            if self._idle:
                return self._idle.pop()
        return self._connect()

    def _give_back(self, db: sqlite3.Connection) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < _IDLE_MOST and not db.in_transaction:
                self._idle.append(db)
                return
        db.close()

    def _connect(self) -> sqlite3.Connection:
        # the pool lends a connection to one thread at a time, so sqlite3 need not check
        db = sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw", uri=True, timeout=BUSY_S, isolation_level=None,
            check_same_thread=False,
        )  # fmt: skip
        db.row_factory = sqlite3.Row
        for pragma in ("foreign_keys=ON", "synchronous=FULL", "trusted_schema=OFF",
                       "cell_size_check=ON"):  # fmt: skip
            db.execute(f"PRAGMA {pragma}")
        return db

    def _check(self, db: sqlite3.Connection) -> None:
        """Whose file it is and whether it is sound, before anything is written."""
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != APPLICATION_ID and (application or tables):
            raise _foreign(self.path)
        self._refuse_newer(db)
        if self.path.stat().st_size <= _CHECKED_BYTES:
            (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise _damaged(self.path, found)

    def _refuse_newer(self, db: sqlite3.Connection) -> int:
        (schema,) = db.execute("PRAGMA user_version").fetchone()
        if schema > len(self._steps):
            raise UsageError(
                f"this people file has schema {schema}, this Spectrarium knows up to "
                f"{len(self._steps)}", code="newer_people", where=str(self.path),
                remedy="upgrade Spectrarium",
            )  # fmt: skip
        return int(schema)

    def _upgrade(self, db: sqlite3.Connection) -> None:
        if self._refuse_newer(db) == len(self._steps):
            return
        db.execute("BEGIN IMMEDIATE")
        try:
            schema = self._refuse_newer(db)  # again: another process may have been first
            for step in self._steps[schema:]:
                for statement in step:
                    db.execute(statement)
            db.execute(f"PRAGMA application_id={APPLICATION_ID}")
            db.execute(f"PRAGMA user_version={len(self._steps)}")
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """What SQLite throws, as an error that says what to do."""
        try:
            yield
        except SpectrariumError:
            raise
        except sqlite3.Error as error:
            raise _in_words(error, self.path) from error


def _use_wal(db: sqlite3.Connection) -> None:
    """Readers and one writer at the same time; on a file system that cannot, as SQLite can."""
    end = time.monotonic() + BUSY_S
    while True:
        try:
            if db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                db.execute("PRAGMA journal_mode=WAL").fetchone()
            return
        except sqlite3.OperationalError as error:  # for this SQLite does not wait by itself
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.02)


@contextmanager
def _savepoint(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("SAVEPOINT part")
    try:
        yield
    except BaseException:
        if db.in_transaction:  # a full disk ends the whole transaction
            db.execute("ROLLBACK TO part")
            db.execute("RELEASE part")
        raise
    db.execute("RELEASE part")


def _make_or_check(path: Path) -> None:
    """A new empty file that only its owner can read; or one that is there and may be SQLite's."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        return
    except FileExistsError:
        pass
    except OSError as error:
        raise _no_access(path, error) from error
    try:
        with open(path, "rb") as file:
            head = file.read(len(_MAGIC))
    except IsADirectoryError as error:
        raise UsageError("is a folder, not a people file", code="not_a_file", where=str(path),
                         remedy="give --people a file") from error  # fmt: skip
    except OSError as error:
        raise _no_access(path, error) from error
    if head not in (b"", _MAGIC):
        raise _foreign(path)


def _no_access(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"the people file cannot be used: {error.strerror or error}", code="no_permission",
        where=str(path), remedy="choose another place with --people",
    )  # fmt: skip


def _foreign(path: Path) -> DataError:
    return DataError("this is no people file of Spectrarium; it is left as it is",
                     code="not_a_people_file", where=str(path),
                     remedy="choose another file with --people")  # fmt: skip


def _damaged(path: Path, why: str) -> DataError:
    return DataError(f"the people file is damaged: {why}", code="damaged_people", where=str(path),
                     remedy="restore it from a copy, or move it away to begin anew")  # fmt: skip


def _in_words(error: sqlite3.Error, path: Path) -> SpectrariumError:
    code = getattr(error, "sqlite_errorcode", None)
    kind = None if code is None else code & 0xFF
    where = str(path)
    if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return TransientError("the people file is busy", code="people_busy", where=where,
                              remedy="try again in a moment")  # fmt: skip
    if kind == sqlite3.SQLITE_FULL:
        return TransientError("the disk is full: nothing was written", code="disk_full",
                              where=where, remedy="free some space and try again")  # fmt: skip
    if kind in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return UsageError(f"the people file cannot be written: {error}", code="no_permission",
                          where=where, remedy="choose another place with --people")  # fmt: skip
    if kind == sqlite3.SQLITE_IOERR:
        return TransientError(f"the people file cannot be reached: {error}", code="people_io",
                              where=where, remedy="check the disk and try again")  # fmt: skip
    if kind == sqlite3.SQLITE_NOTADB:
        return _foreign(path)
    if kind == sqlite3.SQLITE_CORRUPT:
        return _damaged(path, str(error))
    if kind == sqlite3.SQLITE_CONSTRAINT and "FOREIGN KEY" in str(error):
        return UsageError("there is no such user in the people file", code="no_user", where=where,
                          remedy="add the user first")  # fmt: skip
    return InternalError(f"{type(error).__name__}: {error}", code="people_failed", where=where)
