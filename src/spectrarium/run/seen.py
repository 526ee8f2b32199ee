"""Which files an archive has read before, in a few bytes a file."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..domain.observation import printable
from ..store.archive import Archive
from ..store.codec import hash63
from .inputs import InputFile

_COLUMNS = ["path", "member", "size", "mtime_ns", "status", "n_quarantined", "declared"]
Ints = NDArray[np.int64]


class SeenFiles:
    """Files whose last receipts say that everything in them was read well.

    declared : what the user says about the files now. Saying something that was not said when a
        file was read makes it a new one; saying nothing does not take back what was said.
    """

    def __init__(self, archive: Archive, declared: str | None = None) -> None:
        parts = [_numbers(b) for b in archive.dataset("receipts").batches(_COLUMNS, 65_536)]
        rows = np.concatenate([np.empty((5, 0), np.int64), *parts], axis=1)
        # stable, so the last of each run is what was written last, whatever its clock said
        rows = rows[:, np.argsort(rows[0], kind="stable")]
        path, *_, ok, said = rows
        newest = np.append(path[1:] != path[:-1], True)[: len(path)] & (ok == 1)
        if declared is not None:
            newest &= said == hash63(declared.encode())
        self._known = rows[:3, newest]

    def __contains__(self, file: InputFile) -> bool:
        """True if a file has the size and time of change it was read with, or a URL was read."""
        if file.kind not in ("file", "url") or not self._known.shape[1]:
            return False
        if file.kind == "file" and not file.mtime_ns:  # it could not even be looked at
            return False
        key = hash63(printable(file.path).encode())
        at = int(self._known[0].searchsorted(key))
        if at == self._known.shape[1]:
            return False
        return bool(self._known[:, at].tolist() == [key, file.size, file.mtime_ns])


def _numbers(batch: pa.RecordBatch) -> Ints:
    """(5, n) path hashed, size, time, 1 if nothing was refused, declaration hashed; files only."""
    whole = pc.and_(pc.not_equal(batch.column("status"), "bad_item"),
                    pc.is_null(batch.column("member")))  # fmt: skip
    batch = batch.filter(whole)
    out = np.zeros((5, batch.num_rows), np.int64)
    out[0] = [hash63(path.encode()) for path in batch.column("path").to_pylist()]
    for row, name in ((1, "size"), (2, "mtime_ns")):
        out[row] = batch.column(name).to_numpy(zero_copy_only=False)
    out[3] = batch.column("n_quarantined").to_numpy(zero_copy_only=False) == 0
    out[4] = [0 if d is None else hash63(d.encode()) for d in batch.column("declared").to_pylist()]
    return out
