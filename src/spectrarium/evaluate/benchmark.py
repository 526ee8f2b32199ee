"""The whole science benchmark: every corpus, every method, every seed; what is done is kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from blake3 import blake3

from ..domain.errors import SpectrariumError, TransientError, UsageError
from ..domain.progress import Progress, Silent
from ..embed.encoder import encoder_names
from .corpus import Corpus
from .judging import MEASURES, Effort, Task, by_chance, by_pixels, judge
from .mock_corpus import mock_corpus
from .real import MOST, REAL
from .results import Kept, Key, Result, code_fingerprint
from .templates import DRAWS, template_corpus

ENCODERS = ("pca", "patch", "dense", "conv", "gfnet")
CHANCE, RAW = "chance", "raw pixels"
LEAST_MOCK = 400
"""Spectra of a mock survey, of which 1 % are odd: fewer hold no oddity on either side."""
CORPORA = ("mock", *(r.name for r in REAL), "templates")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is evaluated. data : folder of labelled pools; None = the mock survey only

    mock : its size, 0 = none · corpora : names, () = all that can be had · seeds : how many
    own_seeds, own_steps : (encoder, number) of those that get other numbers than the rest
    tag_encoders : that get tags; the others only embed · workers : that make the mock survey
    """

    data: Path | None = None
    mock: int = 40_000
    encoders: tuple[str, ...] = ENCODERS
    seeds: int = 3
    own_seeds: tuple[tuple[str, int], ...] = ()
    own_steps: tuple[tuple[str, int], ...] = ()
    corpora: tuple[str, ...] = ()
    tag_encoders: tuple[str, ...] = ENCODERS
    device: str = "auto"
    workers: int = 1
    most: int = MOST
    draws: int = DRAWS
    templates: int | None = None
    effort: Effort = field(default_factory=Effort)

    def __post_init__(self) -> None:
        unknown = set(self.corpora) - set(CORPORA)
        if unknown:
            raise UsageError(
                f"no corpus is called {sorted(unknown)[0]!r}", code="unknown_corpus",
                remedy=f"choose among: {', '.join(CORPORA)}",
            )  # fmt: skip
        nobody = [e for e in self.encoders if e not in encoder_names()]
        if nobody:
            raise UsageError(f"no encoder is called {nobody[0]!r}", code="unknown_encoder",
                             remedy=f"choose among: {', '.join(encoder_names())}")  # fmt: skip
        named = [name for name, _ in (*self.own_seeds, *self.own_steps)]
        strangers = [name for name in named if name not in self.encoders]
        if strangers:
            raise UsageError(f"{strangers[0]!r} is not among the encoders", code="unknown_encoder",
                             remedy=f"evaluated are: {', '.join(self.encoders)}")  # fmt: skip
        odd = sorted(set(self.effort.measures) - set(MEASURES))
        if odd or not self.effort.measures:
            raise UsageError(f"there are no measures called {odd[0]!r}" if odd else
                             "an evaluation needs something to measure", code="bad_plan",
                             remedy=f"choose among: {', '.join(MEASURES)}")  # fmt: skip
        least = min([self.seeds, self.effort.steps, *dict(self.own_seeds).values(),
                     *dict(self.own_steps).values()])  # fmt: skip
        if least < 1 or not self.encoders:
            raise UsageError("an evaluation needs a seed, a step and an encoder at least",
                             code="bad_plan")  # fmt: skip
        if 0 < self.mock < LEAST_MOCK:
            raise UsageError(f"a mock survey of {self.mock} says nothing", code="bad_plan",
                             remedy=f"ask for {LEAST_MOCK} spectra or more")  # fmt: skip
        real = set(self.corpora) - {"mock"}
        if real and self.data is None:
            raise UsageError(f"corpus {sorted(real)[0]!r} needs real spectra", code="no_data",
                             remedy="name the folder of pools with --data")  # fmt: skip
        if self.data is not None and not self.data.is_dir():
            raise UsageError("is not a folder", code="no_data", where=str(self.data),
                             remedy="--data names a folder of labelled pools")  # fmt: skip

    @classmethod
    def quick(cls, **changes: Any) -> Plan:
        """Tiny sizes: does it all work? A minute or less; its numbers mean little."""
        effort = Effort(steps=60, per_kind=6, raw=40, trees=20)
        small: dict[str, Any] = {"mock": 700, "encoders": ("pca",), "seeds": 2, "most": 500,
                                 "draws": 2, "templates": 150, "effort": effort}  # fmt: skip
        return cls(**small | changes)


@dataclass(frozen=True, slots=True, eq=False)
class About:
    """A corpus as the table needs it."""

    name: str
    about: str
    label_name: str
    n: int
    n_test: int
    n_test_objects: int
    pixels: int
    left_out: int
    oddities: dict[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Results by (corpus, method, seed); corpora that could not be had, with the reason."""

    plan: Plan
    corpora: dict[str, About]
    results: dict[tuple[str, str, int], Result]
    missing: dict[str, str]
    seconds: float
    intervals: dict[tuple[str, ...], Any] = field(default_factory=dict, repr=False)
    """What has been resampled already: the table and the record ask for the same."""

    def of(self, corpus: str, method: str) -> list[Result]:
        """The results of a method on a corpus, one a seed; [] where it failed."""
        found = [r for (c, m, _), r in sorted(self.results.items()) if (c, m) == (corpus, method)]
        return [r for r in found if not r.error]

    def error(self, corpus: str, method: str) -> str:
        """Why a method has no results on a corpus, '' = it has."""
        errors = [r.error for (c, m, _), r in self.results.items() if (c, m) == (corpus, method)]
        return next((e for e in errors if e), "")


def evaluate(plan: Plan, work: Path, progress: Progress | None = None) -> Evaluation:
    """Run what has not been run yet, and gather everything.

    Parameters
    ----------
    work : folder where results are kept, by code, data and options: an evaluation that was
        interrupted goes on from there, and networks from their checkpoints
    Raises
    ------
    UsageError : a plan that cannot be (see `Plan`), or no corpus at all
    TransientError : cancelled; what was done is kept
    """
    watch = progress or Silent()
    kept = Kept(work)
    started = perf_counter()
    corpora: dict[str, About] = {}
    results: dict[tuple[str, str, int], Result] = {}
    missing: dict[str, str] = {}
    for name, make, data in _corpora(plan, watch):
        lazy = _Lazy(make, plan.effort)
        try:
            for method, seed in _methods(plan):
                key = _key(plan, name, method, seed, data)
                result = kept.get(key)
                if result is None:
                    watch.note(f"{name} · {method} · seed {seed}")
                    result = _done(plan, lazy, method, seed, work, key, watch)
                    kept.put(key, result)
                    shutil.rmtree(_checkpoint(work, key), ignore_errors=True)
                results[name, method, seed] = result
            corpora[name] = _about(kept, plan, name, data, lazy)
        except UsageError as error:
            if name in plan.corpora or error.code not in ("no_pool", "too_few_spectra"):
                raise
            missing[name] = str(error)
    if not corpora:
        raise UsageError("there is no corpus to evaluate on", code="no_data",
                         remedy="give --data, --mock or both")  # fmt: skip
    return Evaluation(plan, corpora, results, missing, perf_counter() - started)


class _Lazy:
    """A corpus that is made when it is first needed: never, where all results are kept."""

    def __init__(self, make: Callable[[], Corpus], effort: Effort) -> None:
        self._make, self._effort = make, effort
        self._task: Task | None = None

    def __call__(self) -> Task:
        if self._task is None:
            self._task = Task.of(self._make(), self._effort)
        return self._task


def _corpora(plan: Plan, progress: Progress) -> Iterator[tuple[str, Callable[[], Corpus], str]]:
    """Name, how to make it, and a hash of what it is made from."""
    wanted = plan.corpora or CORPORA
    if "mock" in wanted and plan.mock:
        yield "mock", partial(mock_corpus, plan.mock, 1, plan.workers, progress), str(plan.mock)
    if plan.data is None:
        return
    for real in REAL:
        if real.name in wanted:
            data = _pools_hash(plan.data, (real.folder,))
            yield real.name, partial(real.load, plan.data, plan.most), f"{data} {plan.most}"
    if "templates" in wanted:
        make = partial(template_corpus, plan.data, plan.draws, 1, progress, plan.templates)
        folders = tuple(p.name for p in sorted(plan.data.iterdir()) if p.is_dir())
        yield ("templates", make,
               f"{_pools_hash(plan.data, folders)} {plan.draws} {plan.templates}")  # fmt: skip


def _pools_hash(data: Path, folders: Sequence[str]) -> str:
    """Of the tables, and of the sizes of the spectra's files."""
    digest = blake3()
    for folder in folders:
        index, spectra = data / folder / "index.csv", data / folder / "spectra.h5"
        if index.is_file() and spectra.is_file():
            digest.update(index.read_bytes())
            digest.update(f"{folder} {spectra.stat().st_size}\n".encode())
    return digest.hexdigest()[:16]


def _methods(plan: Plan) -> Iterator[tuple[str, int]]:
    yield CHANCE, 0
    yield RAW, 0
    for encoder in plan.encoders:
        for seed in range(dict(plan.own_seeds).get(encoder, plan.seeds)):
            yield encoder, seed


def _effort(plan: Plan, method: str) -> Effort:
    steps = dict(plan.own_steps).get(method, plan.effort.steps)
    wanted = bool(plan.tag_encoders) if method == RAW else method in plan.tag_encoders
    measures = tuple(m for m in plan.effort.measures if wanted or m != "tags")
    return replace(plan.effort, measures=measures, steps=steps)


def _key(plan: Plan, corpus: str, method: str, seed: int, data: str) -> Key:
    device = plan.device if method in plan.encoders else ""
    return Key(corpus, method.replace(" ", "-"), seed, f"{_effort(plan, method)} {device}", data)


def _done(
    plan: Plan, lazy: _Lazy, method: str, seed: int, work: Path, key: Key, watch: Progress
) -> Result:
    task = lazy()
    if watch.cancelled():
        raise TransientError("cancelled: what was done is kept", code="cancelled",
                             remedy="run the same command again and it goes on")  # fmt: skip
    if method == CHANCE:
        return by_chance(task, _effort(plan, method))
    if method == RAW:
        return by_pixels(task, _effort(plan, method), seed, watch)
    try:
        found = judge(task, method, seed, _effort(plan, method), plan.device,
                      _checkpoint(work, key), watch)  # fmt: skip
    except TransientError:
        raise
    except SpectrariumError as error:
        return Result(error=f"{error.code}: {error.what}")
    except Exception as error:  # an encoder of any origin may fail in any way: the table says so
        if os.environ.get("SPECTRARIUM_DEBUG"):
            raise
        return Result(error=f"{type(error).__name__}: {error}")
    return found


def _checkpoint(work: Path, key: Key) -> Path:
    return work / "checkpoints" / key.name


def _about(kept: Kept, plan: Plan, name: str, data: str, lazy: _Lazy) -> About:
    """What the table says about a corpus, kept like a result."""
    key = Key(name, "about", 0, str(plan.effort), data)
    known = kept.get(key)
    if known is None:
        task = lazy()
        corpus = task.corpus
        kinds, counts = _counted(task.who.kind)
        about = About(
            name, corpus.about, corpus.label_name, len(corpus), int(corpus.test.sum()),
            len(set(corpus.objects[corpus.test].tolist())), corpus.domain.n_pix, corpus.left_out,
            dict(zip(kinds, counts, strict=True)),
        )  # fmt: skip
        known = Result(facts=asdict(about))
        kept.put(key, known)
    return About(**known.facts)


def _counted(kinds: Any) -> tuple[list[str], list[int]]:
    names, counts = np.unique(kinds, return_counts=True)
    return [str(n) for n in names], [int(c) for c in counts]


__all__ = ["CHANCE", "CORPORA", "ENCODERS", "RAW", "Evaluation", "Plan", "code_fingerprint",
           "evaluate"]  # fmt: skip
