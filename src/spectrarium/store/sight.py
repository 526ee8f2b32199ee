"""What of a version may be seen: hidden rows behave as superseded ones do, everywhere."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..domain.errors import InternalError, UsageError
from ..domain.visibility import Visibility
from .datasets import CORE, Dataset
from .index import Block, Index
from .snapshot import Rows, Snapshot, no_dataset


class Sight:
    """A snapshot through the eyes of one visibility; `everything` = nothing is hidden."""

    def __init__(self, snapshot: Snapshot, visibility: Visibility) -> None:
        self._all = snapshot
        self.visibility = visibility
        self.everything = visibility.everything
        self._lock = threading.RLock()
        self._held: dict[str, int] = {}
        self._derived: dict[str, SeenDataset] = {}

    # rows -------------------------------------------------------------------------------------

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """(catalogue rows,) True in collections that may be seen, superseded rows included."""
        n = self._all.catalogue_rows
        if self.everything or not n:
            return np.ones(n, bool)
        coded = self._all.column("obs_collection").combine_chunks().dictionary_encode()
        if isinstance(coded, pa.ChunkedArray):
            coded = coded.combine_chunks()
        allowed = [self.visibility.sees(name) for name in coded.dictionary.to_pylist()]
        codes = coded.indices.fill_null(len(allowed)).to_numpy(zero_copy_only=False)
        seen: NDArray[np.bool_] = np.array([*allowed, self.visibility.sees(None)], bool)[codes]
        return seen

    @cached_property
    def superseded(self) -> Rows:
        """Catalogue rows that a later row replaces, ascending; of what may be seen."""
        old = self._all.superseded
        return old if self.everything else old[self.seen[old]]

    @cached_property
    def _there(self) -> NDArray[np.bool_]:
        there = self.seen.copy()
        there[self._all.superseded] = False
        return there

    def __len__(self) -> int:
        if self.everything:
            return self._all.catalogue_rows - len(self._all.superseded)
        return int(np.count_nonzero(self._there))

    def current(self, rows: Rows) -> Rows:
        """Those of `rows` that nothing supersedes and that may be seen."""
        if not self.everything:
            rows = rows[(rows >= 0) & (rows < len(self._there))]
            return rows[self._there[rows]]
        old = self._all.superseded
        if not len(old):
            return rows
        at = np.searchsorted(old, rows)  # not isin, which would look at all of `old` each time
        at[at == len(old)] = 0
        left: Rows = rows[old[at] != rows]
        return left

    def require(self, rows: Rows) -> None:
        """Raises UsageError (unknown_id): a row that there is not and one that is hidden alike."""
        if not len(rows):
            return
        n = self._all.catalogue_rows
        bad = None
        if int(rows.min()) < 0 or int(rows.max()) >= n:
            bad = int(rows[(rows < 0) | (rows >= n)][0])
        elif not self.everything and not (good := self.seen[rows]).all():
            bad = int(rows[~good][0])
        if bad is not None:
            raise UsageError(
                f"no observation has the row {bad}", code="unknown_id", where=str(self._all.root),
                remedy="`spectrarium find` lists what is there",
            )  # fmt: skip

    def files_seen(self, rows: Rows) -> NDArray[np.bool_]:
        """(n,) whether every observation read from the files that `rows` came from may be seen.

        The same path or the same bytes: a file may have been ingested from two places.
        """
        self.require(rows)
        out = np.ones(len(rows), bool)
        for name, hidden in self._hidden_files.items():
            mine = self._all.column(name).take(pa.array(rows))
            out &= ~pc.is_in(mine, value_set=hidden).to_numpy()
        return out

    @cached_property
    def _hidden_files(self) -> dict[str, pa.Array]:
        """Paths and hashes of files from which something was read that may not be seen."""
        if self.everything:
            return {}
        hidden = pa.array(~self.seen)
        return {name: pc.unique(self._all.column(name).filter(hidden)).drop_null()
                for name in ("access_path", "file_hash")}  # fmt: skip

    def masked(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """A column aligned with the catalogue's rows, null where it may not be seen."""
        if self.everything or self.seen.all():
            return column
        at = np.arange(len(self.seen), dtype=np.int64)
        return pa.chunked_array([_one(column).take(pa.array(at, mask=~self.seen))])

    @cached_property
    def index(self) -> Index:
        """Keys of the catalogue rows that may be seen."""
        return self._all.index if self.everything else SeenIndex(self._all.index, self)

    # tables -----------------------------------------------------------------------------------

    @cached_property
    def _uids(self) -> NDArray[np.int64]:
        """(n,) identities of rows that may be seen, superseded ones among them, ascending."""
        return np.sort(self._all.index.column("uid")[self.seen])

    def of_seen(self, uids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,) True for identities that may be seen."""
        mine = self._uids
        if not len(mine):
            return np.zeros(len(uids), bool)
        at = np.searchsorted(mine, uids)
        at[at == len(mine)] = 0
        return np.asarray(mine[at] == uids)

    def there(self, name: str) -> bool:
        """Whether a dataset is part of this version, and of a derived one anything to be seen."""
        if name not in self._all.manifest.datasets:
            return False
        if self.everything or name in CORE:
            return True
        kind, _, own = name.partition("/")
        # a model that nothing to be seen was embedded with may tell of what is hidden
        return self.held(f"embeddings/{own}" if kind == "trained" else name) > 0

    def held(self, name: str) -> int:
        """Rows of a derived table that may be seen; 0 where there is none."""
        if name not in self._all.manifest.datasets:
            return 0
        if self.everything:
            return int(self._all.manifest.rows.get(name, 0))
        with self._lock:
            if name not in self._held:
                dataset = self._all.dataset(name)
                known = "uid" in dataset.lance.schema.names
                uids = dataset.table(["uid"]).column(0).to_numpy() if known else None
                self._held[name] = 0 if uids is None else int(self.of_seen(uids).sum())
            return self._held[name]

    def dataset(self, name: str) -> Dataset:
        """A dataset, or what of it may be seen. Raises UsageError (no_dataset)."""
        if self.everything:
            return self._all.dataset(name)
        if not self.there(name):
            raise no_dataset(name, self._all.root)
        with self._lock:
            if name not in self._derived:
                self._derived[name] = SeenDataset(self._all.dataset(name), self)
            return self._derived[name]

    def pixel_rows(
        self, batches: Iterator[pa.RecordBatch], columns: Collection[str]
    ) -> Iterator[pa.RecordBatch]:
        """Those of raw pixel rows, read with their ``uid``, that may be seen."""
        for batch in batches:
            keep = self.of_seen(batch.column("uid").to_numpy())
            yield batch.filter(pa.array(keep)).select(list(columns))

    def receipts(self, table: pa.Table) -> pa.Table:
        """Receipts of files that hold something to be seen and nothing that is hidden."""
        if self.everything or not table.num_rows:
            return table
        paths = _one(self._all.column("access_path"))
        seen = pa.array(self.seen)
        shown = pc.is_in(table.column("path"), value_set=paths.filter(seen).unique())
        secret = pc.is_in(table.column("path"), value_set=paths.filter(pc.invert(seen)).unique())
        return table.filter(pc.and_not(shown, secret))


class SeenIndex(Index):
    """An index in which hidden rows are not found, and asked for are unknown."""

    def __init__(self, whole: Index, sight: Sight) -> None:
        super().__init__(whole.blocks)
        self._sight = sight

    def _seen(self, rows: Rows) -> Rows:
        return rows[self._sight.seen[rows]]

    def equal(self, key: str, value: int) -> Rows:
        """Catalogue rows whose `key` (uid, id_hash) is `value`, ascending."""
        return self._seen(super().equal(key, value))

    def has(self, key: str, values: Rows) -> NDArray[np.bool_]:
        """(n,) True where some row's `key` (uid, id_hash) is that value."""
        return np.array([len(self.equal(key, int(v))) > 0 for v in values], bool)

    def in_ranges(self, key: str, ranges: Rows) -> Rows:
        """Catalogue rows whose `key` is in any of the half-open ranges, ascending."""
        return self._seen(super().in_ranges(key, ranges))

    def value(self, column: str, rows: Rows) -> NDArray[Any]:
        """Values of a by-row column at catalogue `rows`. Raises UsageError (unknown_id)."""
        self._sight.require(np.asarray(rows))
        return super().value(column, rows)

    def column(self, name: str) -> NDArray[Any]:
        """A whole by-row column: −1, or NaN, at hidden rows."""
        out = super().column(name).copy()
        out[~self._sight.seen] = np.nan if out.dtype.kind == "f" else -1
        return out

    def add(self, table: pa.Table) -> None:
        """Never: only the one writer, who sees everything, adds rows."""
        raise InternalError("rows cannot be added with a part of an archive in sight",
                            code="restricted")  # fmt: skip

    def compacted(self) -> Block:
        """Never: it would write what is hidden."""
        raise InternalError("an index cannot be made with a part of an archive in sight",
                            code="restricted")  # fmt: skip


class SeenDataset(Dataset):
    """A derived table as far as it may be seen; of the archive's own datasets the schema only."""

    def __init__(self, whole: Dataset, sight: Sight) -> None:
        super().__init__(whole.root, whole.name, whole.version)
        self._whole = whole
        self._sight = sight

    @property
    def lance(self) -> Any:
        """What says the schema, and nothing else."""
        return SimpleNamespace(schema=self._whole.lance.schema)

    def __len__(self) -> int:
        self._refuse_core()
        return self._sight.held(self.name)

    def table(
        self, columns: list[str] | None = None, start: int = 0, count: int | None = None
    ) -> pa.Table:
        """Rows that may be seen, `start` and `count` among them, as one table in order."""
        self._refuse_core()
        names = self._whole.lance.schema.names
        wanted = names if columns is None else columns
        if "uid" not in names:  # what a model says of itself
            return self._whole.table(columns, start, count)
        table = self._whole.table(wanted if "uid" in wanted else [*wanted, "uid"])
        keep = self._sight.of_seen(table.column("uid").to_numpy())
        return table.filter(pa.array(keep)).select(wanted).slice(start, count)

    def take(self, rows: Any, columns: list[str] | None = None) -> pa.Table:
        """Rows by position among those that may be seen."""
        return self.table(columns).take(pa.array(rows))

    def batches(
        self, columns: list[str] | None, batch_rows: int, start: int = 0, count: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows that may be seen, in batches."""
        yield from self.table(columns, start, count).to_batches(batch_rows)

    def _refuse_core(self) -> None:
        if self.name in CORE:
            raise UsageError("this is for whoever may see the whole archive", code="not_allowed",
                             where=self.name)  # fmt: skip


def _one(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
