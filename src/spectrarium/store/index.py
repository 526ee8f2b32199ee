"""The search index: sorted keys in one memory-mapped file, plus an exact scan of what came since.

The file holds, for the first `rows` rows of the catalogue, each key sorted with the row it came
from, and a few columns by row. It is written once, named by its hash in the manifest and never
changed; rows added later are kept in small arrays read from the catalogue itself.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from blake3 import blake3
from numpy.typing import NDArray

from ..domain.errors import DataError
from .codec import id_hash
from .datasets import Dataset
from .manifest import disk_error, fsync
from .sky import NO_POSITION

COLUMNS = ("uid", "obs_id", "fingerprint", "healpix29", "s_ra", "s_dec", "pixel_row", "n_tiles")
_SORTED = ("uid", "id_hash", "healpix29")
_BY_ROW = ("uid", "fingerprint", "s_ra", "s_dec", "pixel_row", "n_tiles")
Ints = NDArray[np.int64]
_NONE: Ints = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Block:
    """Keys of a run of catalogue rows: `sorted[key]` ascending with `order[key]` its rows."""

    start: int
    rows: int
    keys: dict[str, Ints]
    order: dict[str, Ints]
    by_row: dict[str, NDArray[Any]]

    def equal(self, key: str, value: int) -> Ints:
        """Catalogue rows whose `key` is `value`."""
        keys = self.keys[key]
        lo = int(keys.searchsorted(value))
        if lo == len(keys) or keys[lo] != value:  # most look-ups of an ingest: not there yet
            return _NONE
        hi = int(keys.searchsorted(value, "right"))
        return self.order[key][lo:hi].astype(np.int64)

    def has(self, key: str, values: Ints) -> NDArray[np.bool_]:
        """(n,) True where some row's `key` is that value."""
        keys = self.keys[key]
        if not len(keys):
            return np.zeros(len(values), bool)
        at = keys.searchsorted(values)
        at[at == len(keys)] = 0
        return np.asarray(keys[at] == values)

    def in_ranges(self, key: str, ranges: Ints) -> Ints:
        """Catalogue rows whose `key` lies in any of the half-open `ranges` (n, 2)."""
        keys = self.keys[key]
        lo = np.searchsorted(keys, ranges[:, 0], "left")
        hi = np.searchsorted(keys, ranges[:, 1], "left")
        parts = [self.order[key][a:b] for a, b in zip(lo, hi, strict=True) if b > a]
        return np.concatenate(parts).astype(np.int64) if parts else np.empty(0, np.int64)


def block_of(table: pa.Table, start: int) -> Block:
    """A block from catalogue columns `COLUMNS`, whose first row is row `start`."""
    n = table.num_rows
    keys_by_row = {
        "uid": _ints(table, "uid"),
        "id_hash": np.fromiter(
            (id_hash(x) for x in table.column("obs_id").to_pylist()), np.int64, n
        ),
        "healpix29": _ints(table, "healpix29"),
    }
    keys, order = {}, {}
    for name, values in keys_by_row.items():
        by = np.argsort(values, kind="stable")
        keys[name], order[name] = values[by], by.astype(np.int64) + start
    by_row = {name: _column(table, name) for name in _BY_ROW}
    return Block(start, n, keys, order, by_row)


def merge(a: Block, b: Block) -> Block:
    """One block of two that follow each other."""
    keys, order = {}, {}
    for name in _SORTED:
        both = np.concatenate([a.keys[name], b.keys[name]])
        by = np.argsort(both, kind="stable")
        keys[name] = both[by]
        order[name] = np.concatenate([a.order[name], b.order[name]])[by]
    by_row = {k: np.concatenate([a.by_row[k], b.by_row[k]]) for k in _BY_ROW}
    return Block(a.start, a.rows + b.rows, keys, order, by_row)


def empty_block(start: int = 0) -> Block:
    """A block of no rows."""
    floats = ("s_ra", "s_dec")
    none = np.empty(0, np.int64)
    return Block(
        start, 0, dict.fromkeys(_SORTED, none), dict.fromkeys(_SORTED, none),
        {k: np.empty(0, np.float64 if k in floats else np.int64) for k in _BY_ROW},
    )  # fmt: skip


def _ints(table: pa.Table, name: str) -> Ints:
    return np.asarray(table.column(name).to_numpy(zero_copy_only=False), dtype=np.int64)


def _column(table: pa.Table, name: str) -> NDArray[Any]:
    kind = np.float64 if name in ("s_ra", "s_dec") else np.int64
    return np.asarray(table.column(name).to_numpy(zero_copy_only=False), dtype=kind)


class Index:
    """Look-ups over all rows of a catalogue version."""

    def __init__(self, blocks: list[Block]) -> None:
        self.blocks = blocks

    @property
    def rows(self) -> int:
        """Catalogue rows covered."""
        return sum(block.rows for block in self.blocks)

    @property
    def tail_rows(self) -> int:
        """Rows not in the file."""
        return sum(block.rows for block in self.blocks[1:])

    def equal(self, key: str, value: int) -> Ints:
        """Catalogue rows whose `key` (uid, id_hash) is `value`, ascending."""
        found = [rows for b in self.blocks if len(rows := b.equal(key, value))]
        if len(found) == 1:  # sorted stably: ascending already
            return found[0]
        return np.sort(np.concatenate(found)) if found else _NONE

    def has(self, key: str, values: Ints) -> NDArray[np.bool_]:
        """(n,) True where some row's `key` (uid, id_hash) is that value."""
        found = [b.has(key, values) for b in self.blocks]
        return np.asarray(np.logical_or.reduce(found), bool)

    def in_ranges(self, key: str, ranges: Ints) -> Ints:
        """Catalogue rows whose `key` is in any of the half-open ranges, ascending."""
        return np.sort(np.concatenate([b.in_ranges(key, ranges) for b in self.blocks]))

    def value(self, column: str, rows: Ints) -> NDArray[Any]:
        """Values of a by-row column at catalogue `rows`."""
        kind = self.blocks[0].by_row[column].dtype
        out = np.empty(len(rows), kind)
        for block in self.blocks:
            inside = (rows >= block.start) & (rows < block.start + block.rows)
            out[inside] = block.by_row[column][rows[inside] - block.start]
        return out

    def column(self, name: str) -> NDArray[Any]:
        """A whole by-row column."""
        parts = [b.by_row[name] for b in self.blocks]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def add(self, table: pa.Table) -> None:
        """Take in rows just appended to the catalogue."""
        block = block_of(table, self.rows)
        if len(self.blocks) > 1:  # one tail: look-ups stay two searches
            self.blocks[1] = merge(self.blocks[1], block)
        else:
            self.blocks.append(block)

    def compacted(self) -> Block:
        """All rows as one block."""
        out = self.blocks[0]
        for block in self.blocks[1:]:
            out = merge(out, block)
        return out


def save(root: Path, block: Block) -> dict[str, Any]:
    """Write a block as an index file; returns its manifest entry."""
    folder = root / "index"
    path = folder / f"{uuid.uuid4().hex}.arrow"
    names = [f"key_{k}" for k in _SORTED] + [f"row_{k}" for k in _SORTED] + list(_BY_ROW)
    arrays = [*block.keys.values(), *block.order.values(), *block.by_row.values()]
    table = pa.table(dict(zip(names, [pa.array(a) for a in arrays], strict=True)))
    try:
        folder.mkdir(exist_ok=True)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table.combine_chunks())
        fsync(path)
        fsync(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise disk_error(error, root) from error
    return {"file": path.name, "hash": file_hash(path), "rows": block.rows}


def file_hash(path: Path) -> str:
    """BLAKE3 of a file, hex."""
    return str(blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest())


def load(root: Path, entry: dict[str, Any], check: bool = True) -> Block:
    """Memory-map an index file. Raises DataError (bad_index) when its hash differs."""
    path = root / "index" / entry["file"]
    try:
        if check and file_hash(path) != entry["hash"]:
            raise OSError("its hash is not the manifest's")
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(
            f"the search index is damaged: {error}", code="bad_index", where=str(path),
            remedy="rebuild it with `spectrarium compact`",
        ) from error  # fmt: skip
    col = {name: table.column(name).combine_chunks().to_numpy() if table.num_rows
           else np.empty(0, np.int64) for name in table.column_names}  # fmt: skip
    return Block(
        0, table.num_rows,
        {k: col[f"key_{k}"] for k in _SORTED}, {k: col[f"row_{k}"] for k in _SORTED},
        {k: col[k] for k in _BY_ROW},
    )  # fmt: skip


def open_index(root: Path, entry: dict[str, Any] | None, catalogue: Dataset, rows: int) -> Index:
    """The index of a catalogue version: its file, then the rows that came since.

    A damaged or missing file is never trusted: its rows are read from the catalogue instead.
    """
    base = empty_block()
    if entry is not None and entry["rows"] <= rows:
        with contextlib.suppress(DataError):
            base = load(root, entry, check=entry["rows"] < 2_000_000)
    index = Index([base])
    if rows > base.rows:
        index.add(catalogue.table(list(COLUMNS), base.rows, rows - base.rows))
    return index


def delete_unused(root: Path, keep: set[str]) -> None:
    """Remove index files that no manifest names (those of dead writers)."""
    folder = root / "index"
    if folder.is_dir():
        for path in folder.iterdir():
            if path.name not in keep:
                with contextlib.suppress(OSError):
                    os.unlink(path)


__all__ = ["COLUMNS", "NO_POSITION", "Block", "Index", "block_of", "load", "open_index", "save"]
