"""Encode what a model covers, in parts on disk: memory stays flat and a killed run goes on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..domain.errors import DataError, TransientError
from ..domain.progress import Progress
from ..embed.encoder import Encoder
from ..embed.prepare import Preparer
from ..store.archive import Archive, Rows
from ..store.writer import Writer
from .groups import Refused
from .pending import forget
from .preparing import prepared
from .trained import encoder_of

PART_BYTES = 2**26
"""Vectors and variances of a part, about: what an interruption costs, and what memory holds."""
_REFUSED = b"refused"


class Parts:
    """Columns of one embedding that is being made, in Arrow files of one folder.

    Every part is whole or not there. The folder belongs to one model: its name says which.
    """

    def __init__(self, archive: Archive, model_id: str) -> None:
        self.folder = parts_folder(archive.root) / model_id
        self.folder.mkdir(parents=True, exist_ok=True)
        self._refused: dict[int, str] = {}
        self._files: list[Path] = []
        self._wanted: NDArray[np.int64] = np.empty(0, np.int64)
        for path in sorted(self.folder.glob("part-*.arrow")):
            try:
                refused = _mapped(path).schema.metadata[_REFUSED]
            except (OSError, pa.ArrowInvalid, KeyError):
                path.unlink()  # a disk that lost power: encode these once more
                continue
            self._files.append(path)
            self._refused |= {int(k): v for k, v in json.loads(refused).items()}
        self._next = 1 + max((int(p.stem.split("-")[1]) for p in self._files), default=-1)

    def left_to_do(self, archive: Archive, rows: Rows) -> tuple[Rows, Refused]:
        """Rows that no part holds yet, and those refused before."""
        prints = self._wanted = archive.index.value("fingerprint", rows)
        seen = [_mapped(p).column("fingerprint").to_numpy() for p in self._files]
        done = np.isin(prints, np.concatenate(seen)) if seen else np.zeros(len(rows), bool)
        refused = np.isin(prints, np.fromiter(self._refused, np.int64, len(self._refused)))
        old = [(int(r), self._refused[int(f)])
               for r, f in zip(rows[refused], prints[refused], strict=True)]  # fmt: skip
        return rows[~done & ~refused], old

    def add(self, columns: dict[str, list[Any]], refused: dict[int, str]) -> None:
        """Keep columns that were encoded, and the fingerprints that were refused."""
        if not columns["uid"] and not refused:
            return
        path = self.folder / f"part-{self._next:06d}.arrow"
        partial = path.with_suffix(".part")
        table = _columns_table(columns).replace_schema_metadata({_REFUSED: json.dumps(refused)})
        try:
            with pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, table.schema) as out:
                out.write_table(table)
            os.replace(partial, path)
        except OSError as error:
            raise TransientError(
                f"vectors cannot be written: {error}", code="disk_full", where=str(self.folder),
                remedy="free some space and run the same command again: it goes on",
            ) from error  # fmt: skip
        self._files.append(path)
        self._refused |= refused
        self._next += 1

    def tables(self) -> list[pa.Table]:
        """All parts that hold vectors, mapped from disk; of what was last asked for only.

        A spectrum that has changed since an interruption has a vector of its old content in them.
        """
        found = [_mapped(path).replace_schema_metadata(None) for path in self._files]
        out = []
        for table in found:
            wanted = np.isin(table.column("fingerprint").to_numpy(), self._wanted)
            out.append(table if wanted.all() else table.filter(pa.array(wanted)))
        return [table for table in out if table.num_rows]


def parts_folder(root: Path) -> Path:
    """Where embeddings lie while they are made."""
    return root / "models" / ".embedding"


def _mapped(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def encode(
    archive: Archive, model: Encoder, preparer: Preparer, rows: Rows, progress: Progress
) -> tuple[Parts, Refused]:
    """Vectors of `rows` as parts on disk, and (row, reason) of those the model refuses.

    What an interrupted run of the same model encoded is not encoded again.
    """
    parts = Parts(archive, model.ref.model_id)
    todo, refused = parts.left_to_do(archive, rows)
    progress.start(f"encoding {model.ref.name}", len(rows))
    if len(todo) < len(rows):
        progress.note(f"{len(rows) - len(todo)} were encoded before the interruption")
        progress.advance(len(rows) - len(todo))
    columns = _empty()
    fresh: dict[int, str] = {}
    held = 0
    for batch, chunk, out in prepared(archive, preparer, todo):
        prints = archive.index.value("fingerprint", chunk)
        refused += [(int(chunk[o.index]), o.reason) for o in out]
        fresh |= {int(prints[o.index]): o.reason for o in out}
        if len(batch):
            held += _encode_batch(archive, model, batch, chunk[batch.index], columns)
        progress.advance(len(chunk))
        if held > PART_BYTES or progress.cancelled():
            parts.add(columns, fresh)
            columns, fresh, held = _empty(), {}, 0
        if progress.cancelled():
            raise TransientError("cancelled: the vectors made so far are kept", code="cancelled",
                                 remedy="run the same command again: it goes on")  # fmt: skip
    parts.add(columns, fresh)
    return parts, refused


def _empty() -> dict[str, list[Any]]:
    return {k: [] for k in ("uid", "fingerprint", "vector", "variance", "chi2", "n_pix", "n_fit",
                            "snr", "coverage", "scale", "noise_source")}  # fmt: skip


def _encode_batch(
    archive: Archive, model: Encoder, batch: Any, mine: Rows, columns: dict[str, list[Any]]
) -> int:
    """Append one batch's columns; the bytes of its vectors."""
    encoded = model.encode(batch.flux, batch.ivar)
    if not np.isfinite(encoded.vectors).all():
        raise DataError(
            f"model {model.ref.name} gives vectors that are not finite", code="bad_model",
            remedy="train it again",
        )  # fmt: skip
    columns["uid"].append(archive.index.value("uid", mine))
    columns["fingerprint"].append(archive.index.value("fingerprint", mine))
    columns["vector"].append(encoded.vectors)
    columns["variance"].append(encoded.variance)
    columns["chi2"].append(encoded.chi2)
    columns["n_pix"].append(encoded.n_pix.astype(np.int64))
    columns["n_fit"].append(encoded.n_fit)
    for key in ("snr", "coverage", "scale"):
        columns[key].append(getattr(batch, key))
    columns["noise_source"].append(np.array([s.value for s in batch.noise_source], object))
    return int(encoded.vectors.nbytes + encoded.variance.nbytes)


def _columns_table(columns: dict[str, list[Any]]) -> pa.Table:
    if not columns["uid"]:
        return pa.table({"fingerprint": pa.array([], pa.int64())})
    arrays = {}
    for name, pieces in columns.items():
        values = np.concatenate(pieces)
        if name in ("vector", "variance"):
            flat = pa.array(np.ascontiguousarray(values, np.float32).reshape(-1))
            arrays[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
        else:
            arrays[name] = pa.array(values)
    return pa.table(arrays)


def store(
    writer: Writer, name: str, model: Encoder, parts: Parts, where: str | None, extend: bool
) -> int:
    """Make the parts the embedding `name`, or (extend) part of it; how many rows it then has.

    One commit: readers see the embedding as it was or as it is. Scores of before are dropped.
    """
    archive = writer.archive
    new = parts.tables()
    if extend:
        uids = np.concatenate([t.column("uid").to_numpy() for t in new]) if new else np.empty(0)
        new = [*_others(archive, name, uids, parts.folder), *new]
    if not new:
        return 0
    table = pa.concat_tables([t.cast(new[0].schema) for t in new])
    writer.put_table(
        f"embeddings/{name}", table.replace_schema_metadata(_meta(model, name, archive, where))
    )
    for score in archive.names("scores"):  # they belong to the vectors they were made from
        if score.endswith(f".{name}"):
            writer.drop_table(f"scores/{score}")
    forget(archive.root, name)
    shutil.rmtree(parts.folder, ignore_errors=True)
    with suppress(OSError):
        parts_folder(archive.root).rmdir()
    return int(table.num_rows)


def _others(archive: Archive, name: str, uids: NDArray[Any], folder: Path) -> Iterator[pa.Table]:
    """The embedding's rows but for `uids`, copied to a file and mapped: never all in memory."""
    path = folder / "before.arrow"
    dataset = archive.dataset(f"embeddings/{name}")
    schema = dataset.lance.schema.remove_metadata()
    known = pa.array(uids, pa.int64())
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as out:
        for batch in dataset.batches(None, 8192):
            fresh = pc.invert(pc.is_in(batch.column("uid"), value_set=known))
            kept = pa.Table.from_batches([batch]).replace_schema_metadata(None).filter(fresh)
            out.write_table(kept)
    yield _mapped(path)


def _meta(model: Encoder, name: str, archive: Archive, where: str | None) -> dict[str, str]:
    """Which model, and what it was made of: the catalogue's rows then, and the filter."""
    ref = model.ref
    out = {"model_id": ref.model_id, "model_name": ref.name, "version": ref.version,
           "weights_hash": ref.weights_hash, "training": ref.training,
           "encoder": encoder_of(name), "catalogue_rows": str(archive.catalogue_rows)}  # fmt: skip
    return out if where is None else out | {"where": json.dumps(where)}


def held(archive: Archive, name: str, rows: Rows) -> NDArray[np.bool_]:
    """(n,) True for rows whose present content an embedding holds."""
    table = archive.table(f"embeddings/{name}", ["uid", "fingerprint"])
    return np.isin(archive.index.value("uid", rows), table.column("uid").to_numpy()) & np.isin(
        archive.index.value("fingerprint", rows), table.column("fingerprint").to_numpy()
    )


def covered_by(model: Encoder, facts: Sequence[Any]) -> NDArray[np.bool_]:
    """(n,) whether the catalogue says that the model covers each."""
    return np.array([model.domain.covers(f)[0] for f in facts], bool)
