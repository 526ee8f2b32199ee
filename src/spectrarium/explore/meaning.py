"""What vectors know: how well a quantity can be read off them, beyond chance, for new objects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import UsageError
from .information import mutual_information
from .probes import Predicted, Probe, object_folds, object_shuffles, probe_named

F8 = np.float64
LEAST_OBJECTS = 20
"""Fewer objects with a value say nothing about others."""
LEAST_CLASS, MOST_CLASSES = 10, 12
"""Objects a class needs, and how many classes (the commonest) are told apart."""
_CLIP = (0.5, 99.5)
PERMUTATIONS = {"ridge": 499, "knn": 499, "boost": 19}
"""Draws of the null by default; trees are fitted anew for each."""


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A quantity as a probe is asked for it.

    values : (n, c) float64: one column of numbers, clipped to their 0.5–99.5 percentiles, or one
        indicator a class · rows : (n,) positions in what was given · classes : () for numbers
    note : what was left out, in words
    """

    values: NDArray[np.float64]
    rows: NDArray[np.int64]
    classes: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """How well held-out objects' values follow from their vectors.

    score : R² against the training mean, or balanced accuracy · metric : which of the two
    chance : what knowing nothing gives: 0, or 1/classes
    interval : 95 %, bootstrap over objects · null_p : share of permutations (by object) that do
        as well, (1 + hits)/(1 + draws) · null_mean : their mean score
    bits : mutual information of prediction and truth: by the data-processing inequality no more
        than the vectors hold (NaN when not asked for)
    n, n_objects : spectra and objects with a value · note : what was left out
    draws, null : scores of the bootstrap and of the permutations; of one seed and the same
        objects those of different probes are paired
    """

    kind: str
    metric: str
    score: float
    chance: float
    interval: tuple[float, float]
    null_p: float
    null_mean: float
    n: int
    n_objects: int
    bits: float = math.nan
    note: str = ""
    draws: tuple[float, ...] = field(default=(), repr=False, compare=False)
    null: tuple[float, ...] = field(default=(), repr=False, compare=False)

    @property
    def r2(self) -> float:
        """The score of a number; of classes (accuracy − chance)/(1 − chance): 0 nothing, 1 all."""
        return (self.score - self.chance) / (1.0 - self.chance)

    def record(self) -> dict[str, Any]:
        """Plain fields."""
        out = {
            f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("draws", "null")
        }
        return out | {"skill": self.r2}


def target_of(values: NDArray[Any] | Sequence[Any], objects: NDArray[Any]) -> Target:
    """A quantity made ready: missing values left out, numbers clipped, rare classes dropped.

    values : (n,) numbers, or text for classes; NaN, None and "" are missing
    Raises
    ------
    UsageError : constant (``constant``), or too few values (``too_few_spectra``)
    """
    array = np.asarray(values)
    if array.dtype.kind in "OUS":
        return _classes_target([None if v is None else str(v) for v in array.tolist()], objects)
    numbers = array.astype(F8)
    rows = np.flatnonzero(np.isfinite(numbers))
    _enough(np.unique(objects[rows]).size, "have a value")
    found = numbers[rows]
    found = np.clip(found, *np.percentile(found, _CLIP))
    if not found.std() > 1e-12 * max(abs(float(found.mean())), 1e-30):
        raise UsageError("it is the same for nearly all", code="constant",
                         remedy="ask for a quantity that varies")  # fmt: skip
    note = "" if rows.size == numbers.size else f"{numbers.size - rows.size} without a value"
    return Target(found[:, None], rows, note=note)


def _classes_target(values: list[str | None], objects: NDArray[Any]) -> Target:
    members: dict[str, set[int]] = {}
    for value, object_ in zip(values, objects.tolist(), strict=True):
        if value is not None and value.strip() and value.lower() != "nan":
            members.setdefault(value, set()).add(object_)
    ranked = sorted(members, key=lambda c: (-len(members[c]), c))
    kept = sorted([c for c in ranked if len(members[c]) >= LEAST_CLASS][:MOST_CLASSES])
    if len(members) == 1:
        raise UsageError(f"it is {ranked[0]!r} for all", code="constant",
                         remedy="ask for a quantity that varies")  # fmt: skip
    if len(kept) < 2:
        raise UsageError(
            f"{len(kept)} of {len(ranked)} classes have {LEAST_CLASS} objects",
            code="too_few_spectra", remedy="embed spectra of more objects",
        )  # fmt: skip
    number = {c: i for i, c in enumerate(kept)}
    rows = np.array([i for i, v in enumerate(values) if v in number], np.int64)
    indicator = np.zeros((rows.size, len(kept)))
    indicator[np.arange(rows.size), [number[str(values[i])] for i in rows.tolist()]] = 1.0
    left = len(ranked) - len(kept)
    note = f"{left} rare classes left out" if left else ""
    return Target(indicator, rows, tuple(kept), note)


def _enough(n_objects: int, what: str) -> None:
    if n_objects < LEAST_OBJECTS:
        raise UsageError(
            f"{n_objects} objects {what}, {LEAST_OBJECTS} are needed",
            code="too_few_spectra", remedy="embed spectra of more objects",
        )  # fmt: skip


def probe(
    features: NDArray[Any],
    target: NDArray[Any] | Sequence[Any],
    objects: NDArray[Any],
    kind: str = "ridge",
    seed: int = 0,
    *,
    permutations: int | None = None,
    resamples: int = 500,
) -> ProbeResult:
    """How well `target` of objects never seen follows from their vectors.

    Five folds by object; p by dealing targets to other objects; interval by resampling objects.

    Parameters
    ----------
    features : (n, d) vectors: as distances are taken (× metric scale) for kind ``knn``; ``ridge``
        standardises them · target : (n,) numbers or classes, NaN or None where unknown
    objects : (n,) whole numbers, the same for spectra of one object
    kind : ``ridge``, ``knn`` or ``boost`` · permutations : None = 499 (boost: 19); 0 = no test
    Raises
    ------
    UsageError : unknown kind, lengths that differ, vectors that are not finite, a constant
        target, fewer than 20 objects with a value
    """
    make = probe_named(kind)
    features, objects = np.asarray(features), np.asarray(objects)
    _check(features, len(target), objects)
    wanted = target_of(target, objects)
    mine = objects[wanted.rows]
    built = make(features[wanted.rows], object_folds(mine, seed=seed))
    return probe_with(built, wanted, mine, seed, permutations, resamples)


def skill(
    features: NDArray[Any], target: NDArray[Any], objects: NDArray[Any], kind: str, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """What each spectrum adds to the held-out R² of a number: for pairing probes of two spaces.

    Returns
    -------
    (k,) rows that have a value · (k,) R² and, on top, how much it would be moved by more of such
    spectra: their mean is the score of `probe`, and the scatter of a resampled mean that of R²
    Raises as `probe`.
    Source: the influence of a point on a ratio of means (Efron & Tibshirani 1993, chapter 22).
    Valid for: enough spectra that the mean squared deviation is known far better than R².
    """
    make = probe_named(kind)
    features, objects = np.asarray(features), np.asarray(objects)
    _check(features, len(target), objects)
    wanted = target_of(np.asarray(target, F8), objects)
    built = make(features[wanted.rows], object_folds(objects[wanted.rows], seed=seed))
    truth = wanted.values[:, None]
    found = built.predict(truth)
    error, plain = ((truth - x)[:, 0, 0] ** 2 for x in (found.held_out, found.baseline))
    score = 1.0 - error.mean() / plain.mean()
    return wanted.rows, np.asarray(score - (error - (1.0 - score) * plain) / plain.mean())


def probe_with(
    built: Probe, target: Target, objects: NDArray[Any], seed: int = 0,
    permutations: int | None = None, resamples: int = 500,
) -> ProbeResult:  # fmt: skip
    """`probe` with a probe made before, for several targets known for the same rows.

    built : of the features of `target.rows` · objects : (len(rows),)
    """
    draws = PERMUTATIONS[built.name] if permutations is None else permutations
    own = built.predict(target.values[:, None])
    score = float(_scores(own, target.values[:, None])[0])
    null = null_scores(built, target, objects, draws, seed)
    spread = _resampled(own, target, objects, resamples, seed)
    return ProbeResult(
        kind=built.name, metric="balanced accuracy" if target.classes else "R²", score=score,
        chance=1.0 / len(target.classes) if target.classes else 0.0,
        interval=(float(np.percentile(spread, 2.5)), float(np.percentile(spread, 97.5))),
        null_p=float((1 + np.sum(null >= score)) / (1 + draws)) if draws else math.nan,
        null_mean=float(null.mean()) if draws else math.nan,
        n=len(target.rows), n_objects=int(np.unique(objects).size), note=target.note,
        bits=_bits(own, target, objects, seed), draws=tuple(spread.tolist()),
        null=tuple(null.tolist()),
    )  # fmt: skip


def _bits(found: Predicted, target: Target, objects: NDArray[Any], seed: int) -> float:
    guess = found.held_out[:, 0]
    guess = guess.argmax(axis=1)[:, None].astype(F8) if target.classes else guess
    return float(mutual_information(guess, target.values, objects, seed)[0])


def difference(one: ProbeResult, two: ProbeResult) -> tuple[float, float, float]:
    """Score of one less that of the other, and its 95 % interval by paired bootstrap.

    Raises UsageError (not_paired) unless both are of the same target, objects and seed.
    """
    if (one.n, one.n_objects, one.metric) != (two.n, two.n_objects, two.metric) or (
        len(one.draws) != len(two.draws)
    ):
        raise UsageError("the two probes were not asked the same of the same objects",
                         code="not_paired")  # fmt: skip
    gap = np.array(one.draws) - np.array(two.draws)
    low, high = np.percentile(gap, [2.5, 97.5])
    return one.score - two.score, float(low), float(high)


def null_scores(
    built: Probe, target: Target, objects: NDArray[Any], draws: int, seed: int = 0
) -> NDArray[np.float64]:
    """(draws,) scores of the same probe where objects have each other's targets."""
    shuffles = object_shuffles(objects, draws, seed)
    out = []
    step = max(1, 2_000 // target.values.shape[1])
    for at in range(0, draws, step):
        dealt = target.values[shuffles[at : at + step].T]
        out.append(_scores(built.predict(dealt), dealt))
    return np.concatenate(out) if out else np.empty(0)


def _scores(found: Predicted, truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m,) R² or balanced accuracy of each version, over the classes that it has."""
    if truth.shape[2] == 1:
        error = ((truth - found.held_out) ** 2).sum(axis=(0, 2))
        return np.asarray(1.0 - error / ((truth - found.baseline) ** 2).sum(axis=(0, 2)))
    hit = np.take_along_axis(truth, found.held_out.argmax(axis=2)[:, :, None], axis=2)
    every = truth.sum(axis=0)  # of small classes, dealt to other objects, none may be left
    share = (truth * hit).sum(axis=0) / np.maximum(every, 1.0)
    return np.asarray(share.sum(axis=1) / (every > 0).sum(axis=1))


def _resampled(
    found: Predicted, target: Target, objects: NDArray[Any], resamples: int, seed: int
) -> NDArray[np.float64]:
    """(resamples,) scores over objects drawn with replacement; predictions stay as they are."""
    _, which = np.unique(objects, return_inverse=True)
    n = int(which.max()) + 1
    rng = np.random.default_rng([seed, 17])
    weight = rng.multinomial(n, np.full(n, 1.0 / n), size=resamples).astype(F8)

    def summed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(weight @ np.array([
            np.bincount(which, values[:, i], n) for i in range(values.shape[1])]).T)  # fmt: skip

    truth, held_out = target.values, found.held_out[:, 0]
    if not target.classes:
        error = summed((truth - held_out) ** 2)
        return np.asarray(1.0 - error[:, 0] / summed((truth - found.baseline[:, 0]) ** 2)[:, 0])
    hit = truth[np.arange(len(truth)), held_out.argmax(axis=1)][:, None]
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nanmean(summed(truth * hit) / summed(truth), axis=1))


def best_p(results: Sequence[ProbeResult]) -> float:
    """p of the best of several probes of one target: it has to beat the best of each permutation.

    Raises UsageError (not_paired) when they were not permuted alike.
    """
    if len({(len(r.null), r.n, r.n_objects) for r in results}) != 1:
        raise UsageError("the probes were not permuted alike", code="not_paired")
    null = np.max([r.null for r in results], axis=0)
    best = max(r.score for r in results)
    return float((1 + np.sum(null >= best)) / (1 + null.size)) if null.size else math.nan


def holm(p: NDArray[Any] | Sequence[float]) -> NDArray[np.float64]:
    """(m,) p-values corrected for m tests; NaN stays and does not count.

    Source: Holm 1979 (Scand. J. Statist. 6, 65).
    """
    raw = np.asarray(p, F8)
    out = np.full(raw.shape, np.nan)
    known = np.flatnonzero(np.isfinite(raw))
    order = known[np.argsort(raw[known], kind="stable")]
    stepped = raw[order] * (order.size - np.arange(order.size))
    out[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return out


def _check(features: NDArray[Any], n: int, objects: NDArray[Any]) -> None:
    if features.ndim != 2 or len(features) != n or objects.shape != (n,):
        raise UsageError(
            f"{n} values and {objects.shape} objects do not fit vectors {features.shape}",
            code="mismatched_lengths", remedy="give one value and one object for each vector",
        )  # fmt: skip
    if not np.isfinite(features).all():
        raise UsageError("vectors are not finite", code="bad_vectors")
