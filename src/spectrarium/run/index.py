"""Approximate indexes on disk: caches in ``ARCHIVE/indexes/`` that can be made again at any time.

``EMBEDDING@HASH.faiss`` (the vectors in their cells), ``….rows.npy`` (which observation and content
each belongs to) and ``….json`` (the card with the measured recall, and the hashes of both). HASH is
of the first file; the card is written last and by rename, so that it never names half a file.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from ..domain.derived import Embedding
from ..domain.errors import UsageError
from ..domain.progress import Progress, Silent
from ..explore.approximate import LEAST_ROWS, ApproximateIndex, Filtered, IndexCard, Tuned
from ..explore.neighbours import ExactIndex
from ..explore.tuning import build
from ..store.archive import Archive
from .trained import encoder_of, load_model
from .vectors import NEEDED, vectors_of

APPROXIMATE_FROM = 200_000
"""Vectors from which on an approximate index is used; below, exact search takes 10 ms or less.
Of so many `embed` builds it (the command's help says so)."""
FOLDER = "indexes"


def indexed(
    root: Path, name: str, exact: ExactIndex, fingerprint: NDArray[np.int64], *,
    progress: Progress | None = None, make: bool = True, renew: bool = False,
) -> ApproximateIndex | None:  # fmt: skip
    """The approximate index of an embedding: the one on disk if it is good, else built and kept.

    Parameters
    ----------
    root : the archive · name : of the embedding · exact : its vectors now
    fingerprint : (n,) of the content behind each vector
    make : False = None where there is none, and the disk is left alone · renew : build an old one
    anew, or one of which nothing is known under filters; else it is good too, with exact search
    over what came since
    """
    progress = progress or Silent()
    index, why = load(root / FOLDER, name, exact, fingerprint)
    if index is not None and not (renew and (index.old or not index.card.filtered)):
        return index
    if not make:
        return None
    if index is not None:
        why = "the approximate index is old"
    progress.note(f"{why}: building one for {len(exact):,} vectors, once")
    index = build(exact, scale_hash(exact), progress=progress)
    try:
        save(root / FOLDER, name, index, fingerprint)
    except OSError as error:  # an archive that may only be read is no reason to give no answer
        progress.note(f"the index cannot be kept: {error.strerror or error}")
    return index


def freshen(archive: Archive, encoder: str, progress: Progress) -> None:
    """Build the approximate indexes of an encoder's embeddings that are large and have no good one.

    So that no question has to.
    """
    least = max(APPROXIMATE_FROM, LEAST_ROWS)
    for name in archive.names("embeddings"):
        if encoder_of(name) != encoder or archive.held(f"embeddings/{name}") < least:
            continue
        _, rows, vectors = vectors_of(archive, name, NEEDED)
        if len(rows) >= least:
            model = load_model(archive, name)
            embedding = Embedding(model.ref, vectors, archive.index.value("uid", rows))
            indexed(archive.root, name, ExactIndex(embedding, model.metric_scale()),
                    archive.index.value("fingerprint", rows), progress=progress,
                    renew=True)  # fmt: skip


def load(
    folder: Path, name: str, exact: ExactIndex, fingerprint: NDArray[np.int64]
) -> tuple[ApproximateIndex | None, str]:
    """The index on disk that fits this model, however old, or None and why there is none."""
    why = "there is no approximate index yet"
    cards = sorted(folder.glob(f"{_escaped(name)}@*.json"), key=_age, reverse=True)
    for path in cards:
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            card = _card(record["card"])
            if (card.weights_hash, card.scale_hash) != (exact.model.weights_hash,
                                                        scale_hash(exact)):  # fmt: skip
                why = "the approximate index is of another model"
                continue
            rows = _checked(path.with_suffix(".rows.npy"), record["rows_hash"])
            row_of = rows_now(np.load(rows, allow_pickle=False), exact, fingerprint)
            import faiss

            cells = faiss.read_index(str(_checked(path.with_suffix(".faiss"),
                                                  record["faiss_hash"])))  # fmt: skip
            return ApproximateIndex(exact, cells, row_of, card), ""
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, UsageError):
            # whatever a damaged cache may raise: it is made again from the archive
            why = "the approximate index is damaged"
    return None, why


def save(folder: Path, name: str, index: ApproximateIndex, fingerprint: NDArray[np.int64]) -> Path:
    """Write a freshly built index and remove the embedding's older ones; returns the card's path.

    Raises OSError when the folder cannot be written.
    """
    import faiss

    folder.mkdir(exist_ok=True)
    draft = folder / f".{uuid.uuid4().hex}"
    parts = {s: draft.with_suffix(s) for s in (".faiss", ".npy", ".json")}
    try:
        try:
            faiss.write_index(index.cells, str(parts[".faiss"]))
        except RuntimeError as error:  # faiss's word for a disk that is full or read-only
            raise OSError(0, str(error).splitlines()[-1]) from error
        np.save(parts[".npy"], np.stack([index.obs_uid, fingerprint], axis=1))
        hashes = {s: _hash(parts[s]) for s in (".faiss", ".npy")}
        record = {
            "embedding": name, "built": datetime.now(UTC).isoformat(timespec="seconds"),
            "faiss": faiss.__version__, "faiss_hash": hashes[".faiss"],
            "rows_hash": hashes[".npy"], "card": asdict(index.card),
        }  # fmt: skip
        parts[".json"].write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        stem = folder / f"{name}@{hashes['.faiss'][:12]}"
        final = {".faiss": f"{stem}.faiss", ".npy": f"{stem}.rows.npy", ".json": f"{stem}.json"}
        for suffix, path in parts.items():
            with path.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(path, final[suffix])
    finally:
        for path in parts.values():
            path.unlink(missing_ok=True)
    for old in folder.glob(f"{_escaped(name)}@*"):
        if str(old) not in final.values():
            with contextlib.suppress(OSError):
                old.unlink()
    return Path(final[".json"])


def rows_now(
    held: NDArray[Any], exact: ExactIndex, fingerprint: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(n,) row of `exact` with each (uid, fingerprint) of an index; −1 = gone or changed."""
    if held.ndim != 2 or held.shape[1] != 2 or held.dtype != np.int64:
        raise ValueError(f"{held.shape} {held.dtype} are no ids")
    if not len(exact):
        return np.full(len(held), -1, np.int64)
    order = np.argsort(exact.obs_uid, kind="stable")
    ids = exact.obs_uid[order]
    at = np.minimum(np.searchsorted(ids, held[:, 0]), len(ids) - 1)
    rows = order[at]
    same = (ids[at] == held[:, 0]) & (fingerprint[rows] == held[:, 1])
    return np.where(same, rows, -1)


def scale_hash(exact: ExactIndex) -> str:
    """Of the metric: an index made with another would sort by other distances."""
    scale = exact.scale
    return blake3(b"" if scale is None else np.asarray(scale, "<f4").tobytes()).hexdigest()


def _card(record: dict[str, Any]) -> IndexCard:
    known = record["filtered"]
    # older cards tell no intervals: under filters such an index is not used
    filtered = () if isinstance(known, dict) else tuple(Filtered(**f) for f in known)
    tuned = tuple(Tuned(**t) for t in record["tuned"])
    return IndexCard(**record | {"tuned": tuned, "filtered": filtered})


def _checked(path: Path, wanted: str) -> Path:
    if _hash(path) != wanted:
        raise ValueError(f"{path.name} is not what its card says")
    return path


def _hash(path: Path) -> str:
    return str(blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest())


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another process has just replaced it
        return 0.0


def _escaped(name: str) -> str:
    import glob

    return glob.escape(name)
