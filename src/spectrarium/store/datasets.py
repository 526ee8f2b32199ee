"""Lance datasets at pinned versions: durable appends, orphans taken back, reads by position."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

os.environ.setdefault("LANCE_LOG", "error")  # its "will be created" warnings are our normal case

import lance
import numpy as np
import pyarrow as pa
from lance.fragment import write_fragments
from numpy.typing import NDArray

from ..domain.errors import DataError, InternalError, SpectrariumError, TransientError
from .manifest import disk_error, fsync
from .schema import (
    CATALOGUE_SCHEMA,
    GRID_SCHEMA,
    PIXEL_SCHEMA,
    RECEIPT_SCHEMA,
    SUPERSEDED_SCHEMA,
)

STORAGE = "2.2"
"""Lance file format; see docs/decisions/0002."""
READ_AHEAD = 2**27
"""Bytes that a pass reads ahead; Lance's own choice is up to 2 GiB and no faster."""
SCAN_ROWS = 20_000
"""So many rows at least are read in order rather than one by one."""
COLUMN_BYTES = 1 << 30
"""Longer columns do not become one Arrow array, whose text ends at twice as many."""
CORE = {
    "pixels": PIXEL_SCHEMA,
    "catalogue": CATALOGUE_SCHEMA,
    "grids": GRID_SCHEMA,
    "receipts": RECEIPT_SCHEMA,
    "superseded": SUPERSEDED_SCHEMA,
}
T = TypeVar("T")
log = logging.getLogger(__name__)


def dataset_path(root: Path, name: str) -> Path:
    """Folder of a dataset; derived ones have names like ``embeddings/pca-1``."""
    return root / f"{name}.lance"


class Dataset:
    """One Lance dataset at one version; reads only."""

    def __init__(self, root: Path, name: str, version: int) -> None:
        self.root = root
        self.name = name
        self.version = version
        self._path = dataset_path(root, name)
        self._lock = threading.Lock()
        self._open: Any = None

    @property
    def lance(self) -> Any:
        """The underlying LanceDataset, opened on first use."""
        with self._lock:
            if self._open is None:
                self._open = self._guard(
                    lambda: lance.dataset(str(self._path), version=self.version)
                )
            return self._open

    def __len__(self) -> int:
        return int(self._guard(lambda: self.lance.count_rows()))

    def take(self, rows: Sequence[int], columns: list[str] | None = None) -> pa.Table:
        """Rows by position, in the order asked for."""
        return self._guard(lambda: self.lance.take(list(rows), columns=columns))

    def at(self, rows: NDArray[np.int64], columns: list[str]) -> pa.Table:
        """The same; where most rows are asked for, all are read in order, which is quicker."""
        if len(rows) < SCAN_ROWS or len(rows) < len(self) // 4:
            return self.take(rows.tolist(), columns)
        whole, places = self.table(columns), pa.array(rows)
        if max(whole.column(n).nbytes for n in columns) > COLUMN_BYTES:
            return self.take(rows.tolist(), columns)
        return pa.table({n: whole.column(n).combine_chunks().take(places) for n in columns})

    def table(
        self, columns: list[str] | None = None, start: int = 0, count: int | None = None
    ) -> pa.Table:
        """Rows start … start + count as one table, in order."""
        return self._guard(
            lambda: self.lance.to_table(
                columns=columns, offset=start or None, limit=count, scan_in_order=True
            )
        )

    def batches(
        self, columns: list[str] | None, batch_rows: int, start: int = 0, count: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows in order, in batches of at most `batch_rows`, in memory that is bounded."""
        scanner = self._guard(
            lambda: self.lance.scanner(
                columns=columns, batch_size=batch_rows, offset=start or None, limit=count,
                scan_in_order=True, fragment_readahead=2, io_buffer_size=READ_AHEAD,
            )
        )  # fmt: skip
        stream = iter(scanner.to_batches())
        while True:
            batch = self._guard(lambda: next(stream, None))
            if batch is None:
                return
            yield batch

    def _guard(self, action: Callable[[], T]) -> T:
        """Run a Lance read; what it throws becomes an error that says what to do."""
        try:
            return action()
        except SpectrariumError:
            raise
        except (OSError, ValueError, RuntimeError) as error:
            if not (self.root / "manifest.json").is_file():
                raise TransientError(
                    "the archive is gone: it was moved or deleted while it was being read",
                    code="archive_gone", where=str(self.root), remedy="open it again",
                ) from error  # fmt: skip
            raise _unreadable(error, self.root, self.name, self.version) from error


def create(root: Path, name: str, schema: pa.Schema) -> int:
    """Make an empty dataset (over any orphan of that name); returns its version."""
    path = dataset_path(root, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = lance.write_dataset(
            schema.empty_table(), str(path), mode="overwrite" if path.exists() else "create",
            data_storage_version=STORAGE,
        )  # fmt: skip
        sync_tree(path)
    except OSError as error:
        raise disk_error(error, root) from error
    return int(made.version)


def replace_table(root: Path, name: str, table: pa.Table) -> int:
    """Write a derived table as a new version of its dataset; returns the version."""
    path = dataset_path(root, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = lance.write_dataset(table, str(path),
                                   mode="overwrite" if path.exists() else "create")  # fmt: skip
        sync_tree(path)
    except OSError as error:
        if "LanceError(Schema)" in str(error):  # not the disk's fault: trying again is no use
            raise InternalError(f"{name!r} cannot be stored: {_first_line(error)}",
                                code="bad_table") from error  # fmt: skip
        raise disk_error(error, root) from error
    return int(made.version)


def _first_line(error: BaseException) -> str:
    text = str(error)
    return text.splitlines()[0] if text else repr(error)


def _unreadable(error: BaseException, root: Path, name: str, version: int) -> SpectrariumError:
    return DataError(
        f"dataset {name!r} version {version} cannot be read: {_first_line(error)}",
        code="bad_archive", where=str(root),
        remedy="open an older version with --as-of, or restore the archive from a copy",
    )  # fmt: skip


def write_pixels(root: Path, name: str, table: pa.Table) -> list[dict[str, Any]]:
    """Write rows as data files that nothing refers to yet. Durable on return.

    Any process may do this without the lock; `append_fragments` makes the rows visible.
    Returns the fragments' metadata as JSON-like dicts.
    """
    path = dataset_path(root, name)
    try:
        # one file per call: positions inside a batch must follow the order of its rows
        fragments = write_fragments(
            table, str(path), mode="append", data_storage_version=STORAGE,
            max_rows_per_file=2**31 - 1, max_bytes_per_file=2**40,
        )  # fmt: skip
        for fragment in fragments:
            for file in fragment.files:
                fsync(path / "data" / file.path)
    except OSError as error:
        raise disk_error(error, root) from error
    return [fragment.to_json() for fragment in fragments]


def append_fragments(root: Path, name: str, version: int, fragments: list[Any]) -> int:
    """Commit fragments written by `write_pixels` after `version`; returns the new version."""
    path = dataset_path(root, name)
    try:
        parts = [lance.FragmentMetadata.from_json(_text(f)) for f in fragments]
        made = lance.LanceDataset.commit(
            str(path), lance.LanceOperation.Append(parts), read_version=version
        )
        _sync_commit(path)
    except OSError as error:
        raise disk_error(error, root) from error
    return int(made.version)


def _text(fragment: Any) -> str:
    import json

    return fragment if isinstance(fragment, str) else json.dumps(fragment)


def append(root: Path, name: str, version: int, table: pa.Table) -> int:
    """Write and commit rows in one go; returns the new version."""
    return append_fragments(root, name, version, write_pixels(root, name, table))


def take_back_orphans(root: Path, name: str, version: int) -> int:
    """Undo what a dead writer committed to a dataset but never to the manifest.

    Returns the version to go on from. The caller holds the writer lock.
    """
    path = dataset_path(root, name)
    try:
        newest = lance.dataset(str(path))
        if newest.version == version:
            return version
        log.info("%s: taking back versions %d…%d", name, version + 1, newest.version)
        pinned = newest.checkout_version(version)
        pinned.restore()
        _sync_commit(path)
        return int(lance.dataset(str(path)).version)
    except OSError as error:
        raise disk_error(error, root) from error
    except (ValueError, RuntimeError) as error:  # gone or damaged
        raise _unreadable(error, root, name, version) from error


def delete_orphan_files(root: Path, name: str, versions: Sequence[int]) -> int:
    """Delete data files that none of `versions` refers to; returns the bytes freed.

    The caller holds the writer lock and knows that no worker is writing.
    """
    path = dataset_path(root, name)
    used: set[str] = set()
    for version in versions:
        for fragment in lance.dataset(str(path), version=version).get_fragments():
            used.update(Path(file.path).name for file in fragment.metadata.files)
    freed = 0
    for file in (path / "data").glob("*.lance"):
        if file.name not in used:
            freed += file.stat().st_size
            file.unlink()
    return freed


def _sync_commit(path: Path) -> None:
    """Flush the newest version file and its folders."""
    versions = path / "_versions"
    newest = max(versions.iterdir(), key=lambda p: p.stat().st_mtime_ns)
    fsync(newest)
    for folder in (versions, path / "_transactions", path / "data", path):
        if folder.is_dir():
            fsync(folder)


def sync_tree(path: Path) -> None:
    """Flush every file and folder below `path`, and its parent."""
    for folder, _, files in os.walk(path):
        for file in files:
            fsync(Path(folder) / file)
        fsync(Path(folder))
    fsync(path.parent)
