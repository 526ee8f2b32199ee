"""The archive's spectra, prepared once for a model and kept on disk while it learns."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from ..domain.errors import TransientError
from ..domain.progress import Progress
from ..embed.domain import ModelDomain
from ..embed.prepare import Preparer
from ..embed.spool import Spool
from ..store.archive import Archive, Rows
from .groups import Refused
from .preparing import prepared
from .redshifts import joined_shifts

CHECKPOINT_BYTES = 2**28
"""Prepared pixels that an interruption may cost, about."""
_JOB = "job.json"


def digest(value: Any) -> str:
    """BLAKE3 of plain values, hex."""
    return blake3(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def job_of(
    archive: Archive, domain: ModelDomain, rows: Rows, objects: NDArray[np.int64]
) -> dict[str, str]:
    """What a spool is made of, part by part: the same spectra by content, not by row number."""
    prints = np.ascontiguousarray(archive.index.value("fingerprint", rows))
    joined = joined_shifts(archive, domain, rows)
    return {
        "spectra": blake3(prints.tobytes()).hexdigest(),
        "objects": blake3(np.ascontiguousarray(objects).tobytes()).hexdigest(),
        "grid and preparation": digest(domain.to_json()),
        "program version": version("spectrarium"),
    } | ({"redshifts": blake3(joined.tobytes()).hexdigest()} if len(joined) else {})


def spool_for(folder: Path, domain: ModelDomain, job: dict[str, str], progress: Progress) -> Spool:
    """The spool of an interrupted run if it is of this job; else a new one, saying why."""
    path = folder / _JOB
    try:
        before = json.loads(path.read_text())
    except (OSError, ValueError):
        before = None
    if before != job and folder.exists():
        if isinstance(before, dict):
            changed = ", ".join(k for k in {**job, **before} if before.get(k) != job.get(k))
            progress.note(f"an interrupted training is not gone on with: other {changed}")
        shutil.rmtree(folder.parent, ignore_errors=True)
    if before != job:
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        with partial.open("w") as file:
            json.dump(job, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    return Spool.resumed(domain, folder)


def fill(
    spool: Spool, archive: Archive, rows: Rows, objects: NDArray[np.int64], name: str,
    progress: Progress,
) -> Refused:  # fmt: skip
    """Prepare `rows`, in the order of storage, into the spool, from where it ends.

    Returns (row, reason) of those that the model's domain refuses.
    """
    refused: Refused = _refused_before(spool, rows)
    if spool.complete:
        progress.note(f"{name}: the {len(spool)} spectra prepared before are used")
        return refused
    preparer = Preparer(spool.domain)
    progress.start(f"preparing {name}", len(rows))
    if spool.given:
        progress.note(f"{name}: goes on after {spool.given} of {len(rows)} spectra")
        progress.advance(spool.given)
    at, fresh = spool.given, 0
    for batch, chunk, left in prepared(archive, preparer, rows[at:]):
        own = objects[at + batch.index]
        spool.add(replace(batch, index=at + batch.index), own)
        refused += [(int(chunk[o.index]), o.reason) for o in left]
        at += len(chunk)
        fresh += batch.flux.nbytes + batch.ivar.nbytes
        progress.advance(len(chunk))
        if fresh > CHECKPOINT_BYTES or progress.cancelled():
            spool.checkpoint(at)
            fresh = 0
        if progress.cancelled():
            raise TransientError("cancelled while spectra were prepared", code="cancelled",
                                 remedy="run the same command again: it goes on")  # fmt: skip
    spool.checkpoint(at, complete=True)
    return refused


def _refused_before(spool: Spool, rows: Rows) -> Refused:
    """Those looked at before an interruption that are not in the spool; why is forgotten."""
    if not spool.given:
        return []
    gone = np.setdiff1d(np.arange(spool.given), spool.index)
    return [(int(rows[i]), "refused by its group's model") for i in gone]
