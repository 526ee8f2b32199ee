"""Opened archives: one per version and visibility, with what was computed from each."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from ..domain.visibility import Visibility
from ..run.explorer import Explorer
from ..store.archive import Archive, Rows
from ..store.manifest import NAME

T = TypeVar("T")
HELD = 6
"""So many versions and visibilities stay open; those in use by a request stay usable anyway."""
CACHE_BYTES = 1 << 30
IN_MEMORY_ROWS = 500_000
"""Of a catalogue of so many rows the columns that services tell are kept in memory: some 220 bytes
a row, and a few rows come thirty times faster than off the disk."""


class Cache:
    """Computed values, the least recently used dropped beyond `limit` bytes.

    Of several threads that ask for one key at a time, one computes and the others wait.
    """

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._found: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._coming: dict[Hashable, Future[Any]] = {}
        self.bytes = 0

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of `key`, made by `make` if there is none; its errors are not kept."""
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                kept: T = self._found[key][0]
                return kept
            waiting = self._coming.get(key)
            if waiting is None:
                mine: Future[Any] = Future()
                self._coming[key] = mine
        if waiting is not None:
            other: T = waiting.result()
            return other
        try:
            value = make()
        except BaseException as error:
            with self._lock:
                del self._coming[key]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._coming[key]
            self._keep(key, value)
        mine.set_result(value)
        return value

    def _keep(self, key: Hashable, value: Any) -> None:
        size = size_of(value)
        self._found[key] = (value, size)
        self.bytes += size
        while self.bytes > self._limit and len(self._found) > 1:
            _, (_, freed) = self._found.popitem(last=False)
            self.bytes -= freed


def size_of(value: Any) -> int:
    """Bytes that a value keeps, nearly."""
    if isinstance(value, Explorer):
        vectors = value.table.schema.field("vector").type.list_size * 4 * len(value.rows)
        return 2 * (int(value.table.nbytes) + int(vectors))  # its search structures are as large
    if isinstance(value, (np.ndarray, memoryview, pa.Table, pa.Array, pa.ChunkedArray)):
        return int(value.nbytes) + 200
    if isinstance(value, (bytes, bytearray, str)):
        return len(value) + 60
    if isinstance(value, dict):
        return 100 + sum(size_of(k) + size_of(v) for k, v in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        return 60 + sum(size_of(v) for v in value)
    if hasattr(value, "__dict__"):
        return 100 + sum(size_of(v) for v in vars(value).values() if not isinstance(v, Archive))
    names = getattr(type(value), "__slots__", ())
    names = (names,) if isinstance(names, str) else names
    return 40 + sum(size_of(getattr(value, n, None)) for n in names)


class Holding:
    """One version of the archive as one visitor may see it."""

    def __init__(self, archive: Archive, visibility: Visibility, cache: Cache) -> None:
        self.archive = archive
        self.version = archive.version
        self.visibility = visibility
        self._cache = cache

    def cached(self, key: Hashable, make: Callable[[], T]) -> T:
        """`make`'s value, computed once for this version and visibility; do not change it."""
        return self._cache.get((self.version, self.visibility, key), make)

    def catalogue(self, rows: Rows, columns: Sequence[str]) -> pa.Table:
        """`archive.catalogue` at rows that the archive has named; of a small one from memory."""
        if self.archive.catalogue_rows > IN_MEMORY_ROWS:
            return self.archive.catalogue(rows, columns)
        whole = [self.cached(("catalogue", c), partial(self._joined, c)) for c in columns]
        return pa.table(whole, names=list(columns)).take(pa.array(rows, pa.int64()))

    def _joined(self, name: str) -> pa.Array:
        return self.archive.column(name).combine_chunks()

    def explorer(self, name: str) -> Explorer:
        """The embedding `name`, ready for questions. Raises UsageError (no_model)."""
        return self.cached(("explorer", name), lambda: Explorer(self.archive, name))


class Holdings:
    """The newest version of an archive for whoever asks."""

    def __init__(self, root: Path, cache: Cache | None = None) -> None:
        self.root = root
        self._cache = cache or Cache()
        self._lock = threading.RLock()
        self._open: OrderedDict[tuple[int, Visibility], Holding] = OrderedDict()
        self._stamp: tuple[int, int, int] | None = None
        self._whole: Archive | None = None
        self.version = -1
        """The newest version seen."""

    def newest(self, visibility: Visibility) -> Holding:
        """The newest committed version. Raises UsageError (no_archive) when the folder is gone."""
        stamp = self._look()
        with self._lock:
            if stamp is not None and stamp == self._stamp:
                known = self._open.get((self.version, visibility))
                if known is not None:
                    self._open.move_to_end((self.version, visibility))
                    return known
            if self._whole is None or stamp is None or stamp != self._stamp:
                self._whole = Archive(self.root)
            self.version, self._stamp = self._whole.version, stamp
            archive = self._whole.seen_by(visibility)
            held = Holding(archive, visibility, self._cache)
            held = self._open.setdefault((held.version, visibility), held)
            while len(self._open) > HELD:
                self._open.popitem(last=False)
            return held

    def _look(self) -> tuple[int, int, int] | None:
        # before the manifest is read: a commit in between is then seen by the next request
        try:
            facts = (self.root / NAME).stat()
        except OSError:
            return None
        return facts.st_mtime_ns, facts.st_size, facts.st_ino
