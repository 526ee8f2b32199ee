"""Which files an archive has read before, in a few bytes a file."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..store.archive import Archive
from ..store.codec import hash63
from .inputs import InputFile

_COLUMNS = ["path", "member", "size", "mtime_ns", "status", "n_quarantined", "seq"]
Ints = NDArray[np.int64]


class SeenFiles:
    """Files whose last receipts say that everything in them was read well."""

    def __init__(self, archive: Archive) -> None:
        parts = [_numbers(b) for b in archive.dataset("receipts").batches(_COLUMNS, 65_536)]
        path, member, size, mtime, ok, seq = np.concatenate(
            [np.empty((6, 0), np.int64), *parts], axis=1
        )
        order = np.lexsort((seq, member, path))  # the last of each run is the newest receipt
        path, member, size, mtime, ok = (x[order] for x in (path, member, size, mtime, ok))
        newest = np.append((path[1:] != path[:-1]) | (member[1:] != member[:-1]), True)[: len(path)]
        path, size, mtime, ok = (x[newest] for x in (path, size, mtime, ok))
        if not len(path):
            self._known = np.empty((3, 0), np.int64)
            return
        first = np.flatnonzero(np.append(True, path[1:] != path[:-1]))
        good = np.minimum.reduceat(ok, first) == 1  # every member of a zip or tar
        self._known = np.stack([path[first], size[first], mtime[first]])[:, good]

    def __contains__(self, file: InputFile) -> bool:
        """True if the file is the same, by size and time of change, as when it was read."""
        if file.kind != "file" or not file.mtime_ns or not self._known.shape[1]:
            return False
        key = hash63(file.path.encode())
        at = int(self._known[0].searchsorted(key))
        if at == self._known.shape[1]:
            return False
        return bool(self._known[:, at].tolist() == [key, file.size, file.mtime_ns])


def _numbers(batch: pa.RecordBatch) -> Ints:
    """(6, n) path and member hashed, size, time, 1 if nothing was refused, sequence number."""
    batch = batch.filter(pc.not_equal(batch.column("status"), "bad_item"))
    n = batch.num_rows
    out = np.zeros((6, n), np.int64)
    out[0] = [hash63(path.encode()) for path in batch.column("path").to_pylist()]
    out[1] = [0 if m is None else hash63(m.encode()) for m in batch.column("member").to_pylist()]
    for row, name in ((2, "size"), (3, "mtime_ns"), (5, "seq")):
        out[row] = batch.column(name).to_numpy(zero_copy_only=False)
    out[4] = batch.column("n_quarantined").to_numpy(zero_copy_only=False) == 0
    return out
