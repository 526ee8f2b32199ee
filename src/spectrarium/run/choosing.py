"""Sets of observations by a question: a filter, a likeness, a score."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ..domain.errors import UsageError
from ..domain.progress import Progress, Silent
from ..store.archive import Archive, Rows
from .similar import similar


def like(
    archive: Archive, identifier: str, k: int, *, where: str | None = None,
    model: str | None = None, encoder: str | None = None, progress: Progress | None = None,
) -> Rows:  # fmt: skip
    """Rows of an observation and the k most like it, itself first. Raises as `similar` does."""
    progress = progress or Silent()
    progress.start(f"looking for what is like {identifier}", None)
    found = similar(archive, identifier, k, where=where, model=model, encoder=encoder,
                    progress=progress)  # fmt: skip
    return np.array([archive.resolve(identifier), *(a.row for a in found.answers)], np.int64)


def strangest(archive: Archive, score: str, k: int, *, where: str | None = None) -> Rows:
    """Rows of the k strangest by a kept score, the strangest first.

    score : as in the column ``score:NAME``. Raises UsageError (no_score) where it is not computed.
    """
    name = f"score:{score}"
    if name not in archive.derived:
        there = sorted(n.removeprefix("score:") for n in archive.derived if n.startswith("score:"))
        raise UsageError(
            f"the score {score!r} has not been computed", code="no_score",
            remedy="computed: " + ", ".join(there) if there else "compute it first",
        )  # fmt: skip
    rows = archive.find(where)
    values = archive.any_column(name).take(pa.array(rows)).to_numpy(zero_copy_only=False)
    values = np.asarray(values, np.float64)
    judged = np.flatnonzero(np.isfinite(values))
    order = judged[np.argsort(-values[judged], kind="stable")]
    return rows[order[:k]]
