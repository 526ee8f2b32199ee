"""Observations as tables order them: along the sky, with the identifiers that join all tables."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..store.archive import Archive, Rows
from .table_columns import Column

OBSERVATIONS = "spectra.observations"
DID = "obs_publisher_did"
Dids = Callable[[pa.Table], Any]
"""Publisher's identifiers (text) of rows with ``obs_collection`` and ``obs_id``."""


def did_column() -> Column:
    """The column that joins all tables."""
    return Column(DID, pa.string(), "Publisher's dataset identifier of the observation",
                  ucd="meta.ref.ivoid", principal=True)  # fmt: skip


def observed() -> tuple[str, str, str]:
    """How a table refers to its observations."""
    return (DID, OBSERVATIONS, DID)


class TableRows:
    """Rows of one version of an archive, as far as it may be seen.

    dids : see `Dids` · Order of rows: along the sky (nested HEALPix of order 29), then as stored.
    """

    def __init__(self, archive: Archive, dids: Dids) -> None:
        self.archive = archive
        self._dids = dids
        self._lock = threading.RLock()
        self._rows: Rows | None = None
        self._did: pa.Array | None = None
        self._place: NDArray[np.int64] | None = None

    # rows -------------------------------------------------------------------------------------

    @property
    def rows(self) -> Rows:
        """(n,) catalogue rows of all current observations, along the sky."""
        with self._lock:
            if self._rows is None:
                rows = self.archive.find()
                # those without a place (−1) come last
                order = np.argsort(self.cells(rows).view(np.uint64), kind="stable")
                self._rows = rows[order]
            return self._rows

    def cells(self, rows: Rows) -> NDArray[np.int64]:
        """(m,) nested HEALPix indices of order 29 at catalogue rows; −1 without a position."""
        cells = self.archive.column("healpix29").take(pa.array(rows)).to_numpy()
        return np.array(cells, np.int64)

    @property
    def did(self) -> pa.Array:
        """(n,) identifiers of `rows`."""
        with self._lock:
            if self._did is None:
                named = self.archive.catalogue(self.rows, ["obs_collection", "obs_id"])
                made = self._dids(named)
                if isinstance(made, pa.ChunkedArray):
                    made = made.combine_chunks()
                self._did = made if isinstance(made, pa.Array) else pa.array(made, pa.string())
            return self._did

    def places(self, uids: NDArray[np.int64]) -> NDArray[np.int64]:
        """(m,) where among `rows` observations stand; −1 where there is none."""
        rows = self.archive.rows_of(uids)
        with self._lock:
            if self._place is None:
                self._place = np.full(self.archive.catalogue_rows, -1, np.int64)
                self._place[self.rows] = np.arange(len(self.rows))
            place = self._place
        return np.where(rows >= 0, place[rows], -1)

    def living(self, dataset: str) -> tuple[pa.Table, NDArray[np.int64]]:
        """Rows of a derived table whose spectra have not changed since, along the sky, and where
        among `rows` they stand."""
        table = self.archive.table(dataset).replace_schema_metadata(None)
        place = self.places(table.column("uid").to_numpy())
        good = place >= 0
        if "fingerprint" in table.column_names and good.any():
            now = self.archive.index.value("fingerprint", self.rows[place[good]])
            good[good] = now == table.column("fingerprint").to_numpy()[good]
        keep = np.flatnonzero(good)
        keep = keep[np.argsort(place[keep], kind="stable")]
        return table.take(pa.array(keep)), place[keep]

    def dids_at(self, place: NDArray[np.int64]) -> pa.Array:
        """Identifiers of observations by where they stand among `rows`."""
        return self.did.take(pa.array(place))
