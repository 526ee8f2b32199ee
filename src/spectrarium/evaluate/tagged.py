"""Are tags right, and as sure of it as they say? Scatter, bias and coverage of held-out objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..domain.errors import UsageError
from ..domain.progress import Progress, Silent
from ..explore.conformal import binomial_interval, object_weights
from ..explore.meaning import holm
from ..explore.tag_guard import Features
from ..explore.tagging import LEVELS, TEST, Predictions, split, train_tagger
from .bootstrap import Measured
from .corpus import Corpus

LEAST_IN_BIN = 50
"""Objects in a bin of S/N; smaller bins are merged."""
_BINS = 5
ROTATIONS = 5
_ALSO = ("rv_kms",)
"""No part of likeness, and yet a tag: what vectors keep apart is there for it."""
SURER = "surer than right"
"""What a measure of classes ends with: probability said less share right; 0 is honest."""


@dataclass(frozen=True, slots=True, eq=False)
class Tagged:
    """Held-out tags of one label. rows : (n,) of the corpus · truth : (n,) numbers or classes

    inside : (n, L) whether the interval or set of each level holds the truth · error : (n,) of
    numbers (of z divided by 1 + z), or 1 for a wrong class · abstained : spectra without a tag
    surer : (n,) probability of the likeliest class, less 1 where it is right; NaN for numbers
    """

    label: str
    kind: str
    rows: NDArray[np.int64]
    error: NDArray[np.float64]
    surer: NDArray[np.float64]
    inside: NDArray[np.bool_]
    abstained: int
    heads: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Covered:
    """Coverage in one bin of S/N (or of all: bin 0).

    bias : median error of numbers; of classes how much surer than right, on average by object
    nominal, share : of objects · low, high : 95 % binomial interval by object · p : two-sided, of
    the nominal value, Holm-corrected over the bins of its label and level
    """

    bin: str
    nominal: float
    share: float
    low: float
    high: float
    p: float
    n: int
    n_objects: int
    sigma: float | None = None
    bias: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TagReport:
    """All labels of a corpus by one encoder; `skipped` says why a label has no tags."""

    tagged: dict[str, Tagged] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def tag_report(
    corpus: Corpus, features: Features, seed: int = 0, progress: Progress | None = None,
    heads: tuple[str, ...] | None = None, *, classes: bool = True,
) -> TagReport:  # fmt: skip
    """Tags of every label (without `classes`, of numbers only), for objects not seen with them.

    A mock survey's tagger learns from training objects and is asked about the test objects. A real
    corpus is too small for that: its objects are dealt into five parts, each asked in turn about
    a tagger that saw the labels of none of them (the encoder, which sees no labels, saw the
    training objects' spectra).
    """
    report = TagReport()
    numbers = corpus.numbers | {k: v for k, v in corpus.nuisances.items() if k in _ALSO}
    wanted: dict[str, tuple[str, NDArray[Any]]] = {
        name: ("number", values) for name, values in numbers.items()
    }
    if corpus.claimed_z is not None:  # stars and galaxies alike: all that a survey has a z for
        wanted["z of all"] = ("number", np.where(corpus.label == "SKY", np.nan, corpus.z))
    if classes:
        letters = corpus.label.astype(object)
        letters[corpus.label == ""] = None
        wanted["class"] = ("class", letters)
    for name, (kind, label) in wanted.items():
        try:
            report.tagged[name] = _tagged(
                corpus, features, name, kind, label, seed, progress or Silent(), heads
            )
        except UsageError as error:  # too few labels, a constant one: shown in the table
            report.skipped[name] = error.what
    return report


def _tagged(
    corpus: Corpus, features: Features, name: str, kind: str, label: NDArray[Any], seed: int,
    progress: Progress, heads: tuple[str, ...] | None,
) -> Tagged:  # fmt: skip
    rows, values, surer, low, high, sets, used = [], [], [], [], [], [], []
    abstained = 0
    for mine, asked, rotation in _parts(corpus, label, kind, seed):
        tagger = train_tagger(
            features[mine], label[mine], corpus.objects[mine], kind=kind, name=name,
            heads=heads, seed=seed, rotation=rotation, progress=progress,
            keep_test=corpus.claimed_z is None,  # a mock survey's test objects are others
        )  # fmt: skip
        found = tagger.predict(features[asked])
        known = found.known
        if kind == "class":  # rare classes are not the tagger's: its sets do not speak of them
            known = known & np.isin(label[asked], np.array(tagger.classes, object))
        abstained += int(len(asked) - known.sum())
        rows.append(asked[known])
        values.append(found.value[known])
        surer.append(_surer(found, tagger.classes, label[asked])[known])
        low.append(found.low[known])
        high.append(found.high[known])
        sets.append(_holds(found, tagger.classes, label[asked])[known])
        used.append(tagger.head.name)
    at = np.concatenate(rows)
    order = np.argsort(at)
    at, value = at[order], np.concatenate(values)[order]
    truth = label[at]
    if kind == "class":
        inside = np.concatenate(sets)[order]
        error = np.asarray(value != truth, np.float64)
    else:
        truth = truth.astype(np.float64)
        inside = (np.concatenate(low)[order] <= truth[:, None]) & (
            truth[:, None] <= np.concatenate(high)[order]
        )
        error = np.asarray(value, np.float64) - truth
        if name.startswith("z"):
            error = error / (1.0 + truth)
    sure = np.concatenate(surer)[order]
    return Tagged(name, kind, at, error, sure, inside, abstained, tuple(used))


def _parts(
    corpus: Corpus, label: NDArray[Any], kind: str, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], int]]:
    """(rows to learn from, rows to ask about, rotation of the tagger's own split)."""
    labelled = np.array([v is not None for v in label]) if kind == "class" else np.isfinite(label)
    normal = corpus.oddity == ""
    if corpus.claimed_z is not None:
        yield corpus.train_rows, np.flatnonzero(corpus.test & labelled & normal), 0
        return
    every = np.arange(len(corpus))
    for rotation in range(ROTATIONS):
        part = split(corpus.objects, seed, rotation)
        yield every, np.flatnonzero((part == TEST) & labelled), rotation


def _holds(found: Predictions, classes: tuple[str, ...], truth: NDArray[Any]) -> NDArray[np.bool_]:
    """(n, L) whether each level's set holds the true class."""
    if not classes:
        return np.zeros((len(truth), found.low.shape[1]), bool)
    place = {c: i for i, c in enumerate(classes)}
    at = np.array([place.get(str(t), -1) for t in truth])
    return np.asarray(found.sets[np.arange(len(at)), :, at] & (at >= 0)[:, None])


def _surer(
    found: Predictions, classes: tuple[str, ...], truth: NDArray[Any]
) -> NDArray[np.float64]:
    """(n,) how much surer than right of the likeliest class; NaN where there are no classes."""
    if not classes:
        return np.full(len(truth), np.nan)
    probability = np.nan_to_num(found.probability)
    likeliest = np.array(classes, object)[probability.argmax(axis=1)]
    return np.asarray(probability.max(axis=1) - (likeliest == truth))


def coverage(tagged: Tagged, corpus: Corpus) -> list[Covered]:
    """Coverage of each level over all objects and in bins of S/N of 50 objects or more."""
    snr, objects = corpus.batch.snr[tagged.rows], corpus.objects[tagged.rows]
    out = []
    for j, nominal in enumerate(LEVELS):
        bins = [("all", np.arange(len(snr))), *snr_bins(snr, objects)]
        found = [_covered(name, rows, tagged, objects, j, nominal) for name, rows in bins]
        corrected = holm([c.p for c in found[1:]])
        out.append(found[0])
        out += [_with_p(c, float(p)) for c, p in zip(found[1:], corrected, strict=True)]
    return out


def _with_p(one: Covered, p: float) -> Covered:
    return replace(one, p=p)


def snr_bins(
    snr: NDArray[np.float64], objects: NDArray[np.int64], most: int = _BINS
) -> list[tuple[str, NDArray[np.int64]]]:
    """(name, rows) of bins of S/N with equal numbers of spectra, each of 50 objects or more."""
    for n in range(most, 1, -1):
        edges = np.quantile(snr, np.linspace(0, 1, n + 1))
        which = np.clip(np.searchsorted(edges, snr, "right") - 1, 0, n - 1)
        rows = [np.flatnonzero(which == b) for b in range(n)]
        if min(len(np.unique(objects[r])) for r in rows) >= LEAST_IN_BIN:
            names = [f"S/N < {edges[1]:.0f}"]
            names += [f"S/N {edges[b]:.0f}–{edges[b + 1]:.0f}" for b in range(1, n - 1)]
            return list(zip([*names, f"S/N > {edges[n - 1]:.0f}"], rows, strict=True))
    return []


def _covered(
    name: str, rows: NDArray[np.int64], tagged: Tagged, objects: NDArray[np.int64], level: int,
    nominal: float,
) -> Covered:  # fmt: skip
    weight = object_weights(objects[rows])
    n_objects = round(float(weight.sum()))
    hits = float((tagged.inside[rows, level] * weight).sum())
    low, high = binomial_interval(hits, n_objects)
    error = tagged.error[rows]
    number = tagged.kind == "number"
    middle = float(np.median(error))
    bias = middle if number else float(np.average(tagged.surer[rows], weights=weight))
    return Covered(
        bin=name, nominal=nominal, share=hits / max(n_objects, 1), low=low, high=high,
        p=float(stats.binomtest(round(hits), n_objects, nominal).pvalue), n=len(rows),
        n_objects=n_objects, bias=bias,
        sigma=1.4826 * float(np.median(np.abs(error - middle))) if number else None,
    )  # fmt: skip


def measures(report: TagReport, corpus: Corpus) -> dict[str, Measured]:
    """Robust scatter, and coverage at each level, of each label, by spectrum."""
    out = {}
    for name, tagged in report.tagged.items():
        objects = corpus.objects[tagged.rows]
        if tagged.kind == "number":
            out[f"tag σ {name}"] = Measured(tagged.error, objects, tagged.rows, "sigma")
            out[f"tag bias {name}"] = Measured(tagged.error, objects, tagged.rows, "median")
        else:
            out[f"tag {name} right"] = Measured(1.0 - tagged.error, objects, tagged.rows)
            out[f"tag {name} {SURER}"] = Measured(tagged.surer, objects, tagged.rows)
        for j, level in enumerate(LEVELS):
            inside = tagged.inside[:, j].astype(np.float64)
            out[f"tag {name} coverage {level:.0%}"] = Measured(inside, objects, tagged.rows)
    return out
