"""Vectors of spectra that came since an embedding was made: caches in ``ARCHIVE/indexes/pending/``.

``EMBEDDING@HASH.arrow`` holds what one question had to encode, so that the next need not: by the
fingerprint of the content, for the model whose hash stands in the file. HASH is of the file, which
is written by rename, so that a damaged one is seen and encoded anew. Many are merged into one;
`embed`, which gives all of them their vectors, removes them.
"""

from __future__ import annotations

import contextlib
import glob
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from blake3 import blake3
from numpy.typing import NDArray

FOLDER = Path("indexes") / "pending"
MOST_FILES = 8
"""Files of an embedding above which they are merged, and what is no longer pending let go."""
_MODEL = b"weights_hash"


@dataclass(frozen=True, slots=True)
class Pending:
    """What a model made of spectra that its embedding does not hold.

    fingerprint : (n,) of their content · vectors : (n, d) · refused : (n,) True = it gives none
    """

    fingerprint: NDArray[np.int64]
    vectors: NDArray[np.float32]
    refused: NDArray[np.bool_]

    @staticmethod
    def none(dimensions: int) -> Pending:
        """Nothing yet."""
        return Pending(np.empty(0, np.int64), np.empty((0, dimensions), np.float32),
                       np.empty(0, np.bool_))  # fmt: skip

    def at(self, fingerprint: NDArray[np.int64]) -> NDArray[np.int64]:
        """(m,) where each of these contents stands; −1 = nowhere."""
        if not len(self.fingerprint):
            return np.full(len(fingerprint), -1, np.int64)
        order = np.argsort(self.fingerprint, kind="stable")
        known = self.fingerprint[order]
        at = np.minimum(np.searchsorted(known, fingerprint), len(known) - 1)
        return np.where(known[at] == fingerprint, order[at], -1)

    def take(self, at: NDArray[np.int64] | NDArray[np.bool_]) -> Pending:
        """Some of them."""
        return Pending(self.fingerprint[at], self.vectors[at], self.refused[at])

    @staticmethod
    def joined(parts: Sequence[Pending]) -> Pending:
        """One after the other."""
        return Pending(np.concatenate([p.fingerprint for p in parts]),
                       np.concatenate([p.vectors for p in parts]),
                       np.concatenate([p.refused for p in parts]))  # fmt: skip


def kept(root: Path, name: str, weights_hash: str, dimensions: int) -> Pending:
    """All that questions to an embedding have kept of this model, from whole files only."""
    return _read(_files(root, name), weights_hash, dimensions)


def _read(files: list[Path], weights_hash: str, dimensions: int) -> Pending:
    out = [Pending.none(dimensions)]
    for path in files:
        try:
            data = path.read_bytes()
            if _hash(data) != path.stem.rpartition("@")[2]:
                continue
            table = pa.ipc.open_file(pa.BufferReader(data)).read_all()
            if table.schema.metadata[_MODEL] != weights_hash.encode():
                continue
            flat = table.column("vector").combine_chunks().flatten().to_numpy()
            out.append(Pending(
                table.column("fingerprint").to_numpy(), flat.reshape(-1, dimensions),
                table.column("refused").to_numpy(zero_copy_only=False),
            ))  # fmt: skip
        except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError):
            continue  # a cache: what cannot be read is encoded once more
    return Pending.joined(out)


def keep(root: Path, name: str, weights_hash: str, new: Pending, wanted: NDArray[np.int64]) -> None:
    """Keep what was encoded just now; where the disk refuses, the next question encodes it again.

    wanted : fingerprints of all that is pending now: others are let go when files are merged
    """
    old = _files(root, name)
    if len(old) < MOST_FILES:
        old = []
    else:
        before = _read(old, weights_hash, new.vectors.shape[1])
        new = Pending.joined([before.take(np.isin(before.fingerprint, wanted)), new])
        new = new.take(np.unique(new.fingerprint, return_index=True)[1])
    with contextlib.suppress(OSError):
        written = _write(root / FOLDER, name, weights_hash, new)
        for path in old:
            if path != written:
                path.unlink(missing_ok=True)


def forget(root: Path, name: str) -> None:
    """Remove what was kept for an embedding: it has its own vectors now."""
    for path in _files(root, name):
        with contextlib.suppress(OSError):
            path.unlink()


def _files(root: Path, name: str) -> list[Path]:
    return sorted((root / FOLDER).glob(f"{glob.escape(name)}@*.arrow"))


def _write(folder: Path, name: str, weights_hash: str, new: Pending) -> Path:
    flat = pa.array(np.ascontiguousarray(new.vectors, np.float32).reshape(-1))
    table = pa.table({
        "fingerprint": new.fingerprint, "refused": pa.array(new.refused),
        "vector": pa.FixedSizeListArray.from_arrays(flat, new.vectors.shape[1]),
    }).replace_schema_metadata({_MODEL: weights_hash})  # fmt: skip
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as out:
        out.write_table(table)
    data = sink.getvalue().to_pybytes()
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{uuid.uuid4().hex}"
    path = folder / f"{name}@{_hash(data)}.arrow"
    try:
        draft.write_bytes(data)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def _hash(data: bytes) -> str:
    return str(blake3(data).hexdigest())[:16]
