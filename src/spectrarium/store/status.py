"""Counts of what an archive holds."""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from .receipts import with_status

if TYPE_CHECKING:
    from .archive import Archive


def status(archive: Archive) -> dict[str, Any]:
    """Counts for ``status``; of what may be seen, and then without the bytes on disk."""
    receipts = archive.receipts()
    bad = with_status(receipts, "bad_item").num_rows
    held = pc.add(receipts.column("n_stored"), receipts.column("n_unchanged"))
    found = archive.column("obs_collection").take(pa.array(archive.find())).value_counts()
    grouped = {r["values"]: r["counts"] for r in found.to_pylist()}
    return {
        "archive": str(archive.root), "version": archive.version,
        "format": archive.manifest.format,
        "observations": len(archive), "superseded": len(archive.superseded),
        "files_seen": receipts.num_rows - bad,
        "files_stored": int(pc.sum(pc.greater(held, 0)).as_py() or 0),
        "not_a_spectrum": with_status(receipts, "not_a_spectrum").num_rows,
        "quarantined": bad,
        "collections": dict(sorted(grouped.items())),
        "labels": archive.names("labels"), "models": archive.names("embeddings"),
        "scores": archive.names("scores"),
        "bytes": None if archive.restricted else _bytes_below(archive.root),
    }  # fmt: skip


def _bytes_below(root: Path) -> int:
    total = 0
    for path in root.rglob("*"):
        with contextlib.suppress(OSError):  # a writer's temporary file is gone again
            facts = path.lstat()
            total += facts.st_size if stat.S_ISREG(facts.st_mode) else 0
    return total
