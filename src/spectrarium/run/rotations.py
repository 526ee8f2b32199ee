"""A tagger, and how such taggers do on objects they never saw: each rotation in its own process."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import InternalError, TransientError
from ..domain.progress import Progress
from ..explore.tag_guard import Features
from ..explore.tag_report import Outcome, outcome
from ..explore.tagger import Tagger
from ..explore.tagging import TEST, split, train_tagger
from .preparing import cores

_IDLE_S = 5
"""How long processes that have nothing to do stay, for the next label."""


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """What every rotation learns from and is tested on.

    candidates : vectors of the same n spectra, by embedding · label, objects : (n,) · kind, name :
    of the label · heads : that compete, None = all
    """

    candidates: Mapping[str, Features]
    label: NDArray[Any]
    objects: NDArray[np.int64]
    kind: str
    name: str
    heads: Sequence[str] | None
    seed: int

    def turned(self, rotation: int, progress: Progress | None = None) -> tuple[Tagger, Outcome]:
        """The tagger of a rotation, and what it says of the fifth that it never saw."""
        tagger = train_tagger(
            self.candidates, self.label, self.objects, kind=self.kind, name=self.name,
            heads=self.heads, seed=self.seed, rotation=rotation, progress=progress,
        )  # fmt: skip
        rows = np.flatnonzero(split(self.objects, self.seed, rotation) == TEST)
        seen = self.candidates[tagger.candidate][rows]
        return tagger, outcome(tagger, seen, self.label[rows], self.objects[rows])


def rotations(
    lessons: Lessons, n: int, progress: Progress, workers: int | None = None
) -> Iterator[tuple[Tagger, Outcome]]:
    """Rotations 0 … n − 1, in that order, several at a time; what comes out is the same.

    workers : processes, 0 or 1 = none but this; None = one a processor, but none for ridge alone,
        which takes less time than they take to start
    Raises
    ------
    TransientError : cancelled
    InternalError : a process ended by itself (``no_worker``)
    UsageError : as `train_tagger`
    """
    quick = lessons.heads is not None and set(lessons.heads) == {"ridge"}
    most = min((1 if quick else cores()) if workers is None else workers, n)
    title = f"training and testing {lessons.name}"
    if most <= 1:
        for k in range(n):
            progress.start(title if n == 1 else f"{title}: rotation {k + 1} of {n}", None)
            _stop(progress)
            yield lessons.turned(k, progress)
        return
    progress.start(f"{title}, {most} rotations at a time", n)
    for one in _in_parallel(lessons, n, most):
        progress.advance()
        _stop(progress)
        yield one


def _in_parallel(lessons: Lessons, n: int, processes: int) -> Iterator[tuple[Tagger, Outcome]]:
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    pool = Parallel(n_jobs=processes, return_as="generator", idle_worker_timeout=_IDLE_S)
    found = pool(delayed(lessons.turned)(k) for k in range(n))
    try:
        for one in found:  # noqa: UP028  `yield from` would close it where it warns
            yield one
    except TerminatedWorkerError as error:
        raise InternalError(
            "a training process ended by itself", code="no_worker",
            remedy="if memory ran out, --workers 1 needs less of it",
        ) from error  # fmt: skip
    finally:
        with warnings.catch_warnings():  # of rotations that nobody waits for any more
            warnings.simplefilter("ignore", UserWarning)
            found.close()


def _stop(progress: Progress) -> None:
    if progress.cancelled():
        raise TransientError("training was cancelled: no tag was changed", code="cancelled",
                             remedy="run it again")  # fmt: skip
