"""One encoder, fitted with one seed, put to all questions about one corpus."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.derived import Embedding
from ..domain.errors import UsageError
from ..domain.progress import Progress
from ..embed.encoder import Encoded, Encoder
from ..explore.forest import ForestSettings
from ..explore.neighbours import ExactIndex
from ..explore.population import label_disagreement
from ..explore.probes import felt
from ..explore.tag_guard import Features
from . import nuisance, retrieval, strange, tagged
from .bootstrap import Measured
from .corpus import Corpus
from .fitting import encoded, fitted, made
from .planting import Planted, plant
from .results import Result

MOST_PIXELS = 1_000
"""Features that a head on raw pixels is given: a covariance of more takes minutes a label."""

MEASURES = ("retrieval", "outliers", "nuisances", "tags")
"""Groups of what is measured. Wrong redshifts of a catalogue belong to the outliers."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done; what a result depends on beside code and data.

    steps : of training a network · per_kind : oddities planted of each kind · raw : queries that
    raw pixels are asked · heads : tried for tags · trees : of the forest behind weirdness
    measures : what is asked, some of `MEASURES`; tags of the first seed alone · weird : whether
    weirdness is
    """

    steps: int = 1_000
    per_kind: int = 25
    raw: int = retrieval.MOST_RAW
    heads: tuple[str, ...] = ("ridge",)
    trees: int = 50
    measures: tuple[str, ...] = MEASURES
    weird: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A corpus with what is asked about it, the same for every method and seed."""

    corpus: Corpus
    questions: retrieval.Questions
    planted: Planted | None
    who: strange.Population

    @classmethod
    def of(cls, corpus: Corpus, effort: Effort) -> Task:
        """Questions and plantings of a corpus; a corpus with oddities of its own gets no more."""
        planted = plant(corpus, effort.per_kind) if corpus.kinds else None
        return cls(corpus, retrieval.Questions.of(corpus, effort.raw), planted,
                   strange.population(corpus, planted))  # fmt: skip


def judge(
    task: Task, name: str, seed: int, effort: Effort, device: str, work: Path | None,
    progress: Progress,
) -> Result:  # fmt: skip
    """Fit on the training objects and ask everything; what the encoder raises is passed on."""
    corpus = task.corpus
    encoder = made(name, corpus, seed, effort.steps)
    seconds = fitted(encoder, corpus, device, work, progress)
    progress.start(f"{corpus.name} · {name} · seed {seed}: questions", None)
    code, rate = encoded(encoder, corpus.batch)
    facts: dict[str, Any] = {
        "fit_s": round(seconds, 2), "encode_per_s": round(rate), "device": _device(encoder),
        "training": encoder.ref.training, "model": encoder.ref.model_id,
        "components": int(code.vectors.shape[1]), "settings": _settings(encoder),
    }  # fmt: skip
    scale, asked = encoder.metric_scale(), effort.measures
    measures: dict[str, Measured] = {}
    if "retrieval" in asked:
        search = retrieval.ByVectors(corpus, encoder.ref, code.vectors, scale)
        measures |= retrieval.answers(task.questions, search, raw_only=False)
    if "outliers" in asked:
        odd = _outliers(task, encoder, code.vectors, effort, seed, progress)
        facts["recall_by_kind"] = _by_kind(task.who, odd)
        measures |= odd | _wrong_z(corpus, encoder, code.vectors)
    if "nuisances" in asked:
        known, facts["no_probe"] = nuisance.probed(
            corpus, lambda rows: felt(code.vectors[rows] * scale)
        )
        measures |= known
    if "tags" in asked and seed == 0:
        report = tagged.tag_report(
            corpus, features_of(code, corpus, scale), seed, progress, effort.heads
        )
        measures |= tagged.measures(report, corpus)
        facts |= tag_facts(report, corpus)
    return Result(measures, facts)


def _outliers(
    task: Task, encoder: Encoder, vectors: NDArray[Any], effort: Effort, seed: int,
    progress: Progress,
) -> dict[str, Measured]:  # fmt: skip
    """What each score finds of the planted: among all, and stars among stars."""
    forest = None
    if effort.weird:
        forest = ForestSettings(trees=effort.trees, forests=1, seed=seed)
    scored = strange.outlier_scores(task.corpus, encoder, vectors, task.who, forest, progress)
    measures = strange.found(task.who, scored)
    if task.corpus.stars is not None:
        stars, theirs = strange.within_stars(task.corpus, task.who, scored)
        measures |= strange.found(stars, theirs, among="stars")
    return measures


def tag_facts(report: tagged.TagReport, corpus: Corpus) -> dict[str, Any]:
    """The table of coverage, what was skipped and why, as plain values."""
    return {
        "coverage": {
            name: [asdict(c) for c in tagged.coverage(t, corpus)]
            for name, t in report.tagged.items()
        },
        "abstained": {name: t.abstained for name, t in report.tagged.items()},
        "heads": {name: list(t.heads) for name, t in report.tagged.items()},
        "no_tags": report.skipped,
    }


def by_chance(task: Task, effort: Effort) -> Result:
    """What answers that look at nothing would give."""
    measures: dict[str, Measured] = {}
    if "retrieval" in effort.measures:
        measures |= retrieval.by_chance(task.questions)
    if "outliers" not in effort.measures:
        return Result(measures)
    measures |= strange.chance(task.who)
    if task.corpus.stars is not None:
        stars, _ = strange.within_stars(task.corpus, task.who, {})
        measures |= strange.chance(stars, "stars")
    wrong = task.corpus.facts.get("wrong_z")
    if wrong is not None:
        rows = _with_claims(task.corpus)
        odd = rows[wrong[rows]]
        fair = np.full(len(odd), len(odd) / max(len(rows), 1))
        measures["wrong z recall"] = Measured(fair, task.corpus.objects[odd], odd)
    return Result(measures)


def by_pixels(task: Task, effort: Effort, seed: int, progress: Progress) -> Result:
    """Raw pixels: neighbours by χ², distance to the nearest, tags, what they know of nuisances.

    Classes are not tagged, nor are trees grown: with a thousand pixels either takes longer than all
    else.
    """
    corpus, asked = task.corpus, effort.measures
    measures: dict[str, Measured] = {}
    facts: dict[str, Any] = {"queries": len(task.questions.raw)}
    if "retrieval" in asked:
        search = retrieval.ByPixels(corpus, task.questions.raw, progress)
        measures |= retrieval.answers(task.questions, search, raw_only=True)
    if "outliers" in asked:
        scored = strange.pixel_density(corpus, task.who)
        measures |= strange.found(task.who, scored)
        if corpus.stars is not None:
            stars = strange.within_stars(corpus, task.who, scored)
            measures |= strange.found(*stars, among="stars")
    if "nuisances" in asked:
        known, facts["no_probe"] = nuisance.probed(corpus, partial(nuisance.pixel_space, corpus))
        measures |= known
    heads = tuple(h for h in effort.heads if h != "boosting")
    if "tags" in asked and heads:
        pixels = joined(nuisance.pixel_space(corpus, np.arange(len(corpus))))
        report = tagged.tag_report(corpus, Features(pixels, corpus.batch.snr), seed, progress,
                                   heads, classes=False)  # fmt: skip
        measures |= tagged.measures(report, corpus)
        facts |= tag_facts(report, corpus)
    return Result(measures, facts)


def joined(flux: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, at most 1,000) means of neighbouring pixels: what a head on raw pixels is given."""
    edges = np.unique(np.linspace(0, flux.shape[1], 1 + MOST_PIXELS).astype(np.int64))
    sums = np.add.reduceat(flux, edges[:-1], axis=1)
    return np.asarray(sums / np.diff(edges), dtype=np.float32)


def _with_claims(corpus: Corpus) -> NDArray[np.int64]:
    assert corpus.claimed_z is not None
    return np.flatnonzero(corpus.test & np.isfinite(corpus.claimed_z) & (corpus.oddity == ""))


def _wrong_z(corpus: Corpus, encoder: Encoder, vectors: NDArray[Any]) -> dict[str, Measured]:
    """Catalogue redshifts that disagree with the neighbours': looked at as many as are wrong."""
    wrong = corpus.facts.get("wrong_z")
    if wrong is None or corpus.claimed_z is None:
        return {}
    far = np.flatnonzero(np.isfinite(corpus.claimed_z))
    index = ExactIndex(
        Embedding(encoder.ref, vectors[far], np.arange(far.size)), encoder.metric_scale()
    )
    score = np.full(len(corpus), -np.inf)
    try:
        score[far] = label_disagreement(index, corpus.claimed_z[far], "z").ranked
    except UsageError:  # too few redshifts for neighbours: a tiny survey
        return {}
    rows = _with_claims(corpus)
    odd = rows[wrong[rows]]
    if not len(odd):
        return {}
    limit = np.sort(score[rows])[-len(odd)]
    hit = (score[odd] >= limit).astype(np.float64)
    return {"wrong z recall": Measured(hit, corpus.objects[odd], odd)}


def _by_kind(who: strange.Population, measures: dict[str, Measured]) -> dict[str, dict[str, float]]:
    out: dict[str, dict[str, float]] = {}
    for name, measured in measures.items():
        if name.startswith("planted recall") and len(measured.values) == len(who.kind):
            score = name.rsplit(" ", 1)[1]
            out[score] = {str(k): round(float(measured.values[who.kind == k].mean()), 4)
                          for k in np.unique(who.kind)}  # fmt: skip
    return out


def features_of(code: Encoded, corpus: Corpus, scale: NDArray[Any]) -> Features:
    """As an archive's embedding gives them to a tagger."""
    free = np.maximum(code.n_pix - code.n_fit, 1.0)
    return Features(code.vectors, corpus.batch.snr, code.variance, code.chi2 / free, scale)


def _device(encoder: Encoder) -> str:
    return str(getattr(encoder, "device", "cpu"))


def _settings(encoder: Encoder) -> dict[str, Any]:
    """Plain values of an encoder's settings, for the record."""
    plain = (int, float, str, bool, type(None))
    settings = asdict(getattr(encoder, "settings", Effort()))
    return {k: v if isinstance(v, plain) else str(v) for k, v in settings.items()}
