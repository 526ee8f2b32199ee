"""One version of an archive as it lies on disk, whoever may see it: datasets, index, columns."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..domain.errors import UsageError
from . import index as index_file
from .datasets import Dataset
from .manifest import Manifest, load
from .pixels import Pixels

Rows = NDArray[np.int64]


class Snapshot:
    """What `Archive`s of one version share.

    Parameters
    ----------
    root : the archive's folder · version : None = the newest committed one
    Raises
    ------
    UsageError : no archive there, no such version, or a newer format
    """

    def __init__(self, root: str | os.PathLike[str], version: int | None = None) -> None:
        self.root = Path(root).absolute()
        self.manifest: Manifest = load(self.root, version)
        self._datasets: dict[str, Dataset] = {}
        self._index: index_file.Index | None = None
        self._superseded: Rows | None = None
        self._columns: dict[str, pa.ChunkedArray] = {}
        self._lock = threading.RLock()
        self.pixels = Pixels(self.dataset("pixels"), self.dataset("grids"))

    def dataset(self, name: str) -> Dataset:
        """A dataset as of this version. Raises UsageError when it is not part of it."""
        with self._lock:
            if name not in self._datasets:
                pinned = self.manifest.datasets.get(name)
                if pinned is None:
                    raise no_dataset(name, self.root)
                self._datasets[name] = Dataset(self.root, name, pinned)
            return self._datasets[name]

    @property
    def index(self) -> index_file.Index:
        """Keys of all catalogue rows."""
        with self._lock:
            if self._index is None:
                entry = dict(self.manifest.index) if self.manifest.index else None
                self._index = index_file.open_index(
                    self.root, entry, self.dataset("catalogue"), self.catalogue_rows
                )
            return self._index

    def take_index(self, index: index_file.Index) -> None:
        """Use an index that is there already instead of reading it."""
        self._index = index

    @property
    def catalogue_rows(self) -> int:
        """Rows of the catalogue, superseded ones included."""
        return int(self.manifest.rows.get("catalogue", 0))

    @property
    def superseded(self) -> Rows:
        """Catalogue rows that a later row replaces, ascending."""
        with self._lock:
            if self._superseded is None:
                table = self.dataset("superseded").table()
                self._superseded = np.sort(table.column("row").to_numpy())
            return self._superseded

    def column(self, name: str) -> pa.ChunkedArray:
        """A whole catalogue column (all rows), kept in memory once read."""
        with self._lock:
            if name not in self._columns:
                self._columns[name] = self.dataset("catalogue").table([name]).column(0)
            return self._columns[name]


def no_dataset(name: str, root: Path) -> UsageError:
    """The error of asking for a dataset that is not part of a version, or not to be seen."""
    return UsageError(f"this archive has no {name!r}", code="no_dataset", where=str(root))
