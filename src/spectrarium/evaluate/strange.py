"""Are planted oddities among the strangest? Recall at 1 % and average precision, by oddity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.progress import Progress, Silent
from ..embed.encoder import Encoder
from ..embed.prepare import Prepared
from ..explore.combine import combined
from ..explore.forest import Forest, ForestSettings, leading_features
from ..explore.outliers import Trend
from ..explore.scores import reconstruction
from .bootstrap import Measured
from .corpus import Corpus, chosen
from .nuisance import pixel_space
from .planting import Planted

SHARE = 0.01
"""Of the population that is odd, and that a searcher looks at."""
K = 10
_REPEATS = 5
_BLOCK = 512


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """One score, positive and rising with strangeness, of normal and of odd spectra, and their
    S/N; NaN = abstains."""

    normal: NDArray[np.float64]
    odd: NDArray[np.float64]
    snr: NDArray[np.float64]
    odd_snr: NDArray[np.float64]

    def within(self, normal: NDArray[np.bool_], odd: NDArray[np.bool_]) -> Scored:
        """The same score among some of the population."""
        return Scored(self.normal[normal], self.odd[odd], self.snr[normal], self.odd_snr[odd])

    def significance(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of normal and odd: σ above what is usual at that S/N among the normal ones."""
        trend = Trend.of(self.normal, self.snr)
        return (trend.significance(self.normal, self.snr),
                trend.significance(self.odd, self.odd_snr))  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """Who is ranked: rows of the corpus that are normal, and the odd ones with their objects.

    together : the odd ones are all in the same sky (a mock survey) and none can be added or left
    out; otherwise a share of 1 % of them is planted at a time, until each had its turn
    """

    normal: NDArray[np.int64]
    odd: Prepared
    objects: NDArray[np.int64]
    kind: NDArray[Any]
    together: bool
    n_normal: int


def population(corpus: Corpus, planted: Planted | None) -> Population:
    """Test spectra without oddities, and the corpus's own or the planted oddities."""
    normal = np.flatnonzero(corpus.test & (corpus.oddity == ""))
    if planted is not None:
        return Population(normal, planted.batch, planted.objects, planted.kind, False, len(normal))
    odd = np.flatnonzero(corpus.test & (corpus.oddity != ""))
    return Population(normal, chosen(corpus.batch, odd), corpus.objects[odd], corpus.oddity[odd],
                      True, len(normal))  # fmt: skip


def outlier_scores(
    corpus: Corpus, encoder: Encoder, vectors: NDArray[Any], who: Population,
    forest: ForestSettings | None = None, progress: Progress | None = None,
) -> dict[str, Scored]:  # fmt: skip
    """Reconstruction, density, their rank-combination's parts and (with `forest`) weirdness.

    vectors : (n, d) of all spectra of the corpus, as the encoder gives them
    """
    scale = encoder.metric_scale()
    odd_vectors, odd_value = _reconstruction(encoder, who.odd)
    _, normal_value = _reconstruction(encoder, corpus.batch, who.normal)
    snr, odd_snr = corpus.batch.snr[who.normal], who.odd.snr
    out = {"reconstruction": Scored(normal_value, odd_value, snr, odd_snr)}
    near = _Density(corpus, vectors * scale, who, odd_vectors * scale)
    out["density"] = Scored(near.normal, near.odd, snr, odd_snr)
    if forest is not None:
        weird = _weirdness(vectors * scale, odd_vectors * scale, who, forest, progress or Silent())
        out["weirdness"] = Scored(*weird, snr, odd_snr)
    return out


def pixel_density(corpus: Corpus, who: Population) -> dict[str, Scored]:
    """The density score with normalised flux itself in the place of vectors."""
    every = np.arange(len(corpus))
    near = _Density(corpus, pixel_space(corpus, every), who, pixel_space(corpus, every, who.odd))
    return {"density": Scored(near.normal, near.odd, corpus.batch.snr[who.normal], who.odd.snr)}


def _reconstruction(
    encoder: Encoder, batch: Prepared, rows: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Vectors and reduced χ² of what the model cannot reproduce, block by block."""
    rows = np.arange(len(batch)) if rows is None else rows
    vectors, values = [], []
    for start in range(0, len(rows), _BLOCK):
        part = chosen(batch, rows[start : start + _BLOCK])
        encoded = encoder.encode(part.flux, part.ivar)
        vectors.append(encoded.vectors)
        values.append(reconstruction(encoder, part, encoded).ranked)
    return np.concatenate(vectors), np.concatenate(values)


class _Density:
    """Mean distance to the 10 nearest spectra of other objects, for normal and odd ones.

    Odd ones that are all in one sky may be each other's neighbours; planted ones meet only normal
    spectra, as at a share of 1 % they hardly ever would meet each other.
    """

    def __init__(
        self, corpus: Corpus, vectors: NDArray[np.float32], who: Population,
        odd: NDArray[np.float32],
    ) -> None:  # fmt: skip
        normal_sky = np.flatnonzero(corpus.oddity == "")
        reference, objects = vectors[normal_sky], corpus.objects[normal_sky]
        if who.together:
            reference = np.concatenate([reference, odd])
            objects = np.concatenate([objects, who.objects])
        half = 0.5 * np.einsum("nd,nd->n", reference, reference)
        own = corpus.objects[who.normal]
        self.normal = self._mean(vectors[who.normal], own, reference, objects, half)
        self.odd = self._mean(odd, who.objects, reference, objects, half)

    @staticmethod
    def _mean(
        queries: NDArray[np.float32], own: NDArray[np.int64], reference: NDArray[np.float32],
        objects: NDArray[np.int64], half: NDArray[np.float32],
    ) -> NDArray[np.float64]:  # fmt: skip
        out = np.empty(len(queries))
        transposed = np.ascontiguousarray(reference.T)
        for start in range(0, len(queries), _BLOCK // 2):
            block = queries[start : start + _BLOCK // 2]
            far = half - block @ transposed
            far[own[start : start + _BLOCK // 2, None] == objects] = np.inf
            near = np.argpartition(far, K - 1, axis=1)[:, :K]
            gap = reference[near].astype(np.float64) - block[:, None]
            out[start : start + len(block)] = np.sqrt((gap**2).sum(axis=2)).mean(axis=1)
        return out


def _weirdness(
    vectors: NDArray[np.float32], odd: NDArray[np.float32], who: Population,
    settings: ForestSettings, progress: Progress,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Total W among the normal test spectra; each planted oddity joins them alone."""
    everyone = leading_features(np.concatenate([vectors[who.normal], odd]), settings.features)
    n = len(who.normal)
    learnt = everyone if who.together else everyone[:n]
    met, judged = np.zeros(len(everyone)), np.zeros(len(everyone), np.int64)
    for number in range(settings.forests):
        forest = Forest.fit(learnt, settings, settings.seed + number, progress)
        for leaf in forest.leaves(everyone):
            count = np.bincount(leaf[: len(learnt)], minlength=int(leaf.max()) + 1)
            count[0] = 0
            met += count[leaf]
            judged += leaf > 0
    weird = 1.0 - met / (len(learnt) * np.maximum(judged, 1))
    return weird[:n], weird[n:]


def found(
    who: Population, scored: dict[str, Scored], seed: int = 0, among: str = ""
) -> dict[str, Measured]:
    """Recall among the strangest 1 % (see `_ranked`) and average precision, by oddity.

    A tie of scores is a tie of ranks. Average precision is the mean over oddities of the precision
    at the rank of each. Rounds of 1 % odd ones: each oddity has its turn in each of 5 shuffles.

    among : what the population is called in the measures' names, '' = everything
    """
    sigma = {name: score.significance() for name, score in scored.items()}
    names = [*sigma, "combined"] if {"reconstruction", "density"} <= set(sigma) else [*sigma]
    units = np.arange(len(who.kind))
    sums = {name: np.zeros((2, len(who.kind))) for name in names}
    turns = np.zeros(len(who.kind))
    for odd in _rounds(who, np.random.default_rng([seed, 5])):
        turns[odd] += 1
        for name in names:
            hit, precision = _ranked(*_values(sigma, name, odd))
            sums[name][0, odd] += hit
            sums[name][1, odd] += precision
    out = {}
    for name in names:
        recall, precision = sums[name] / turns
        out[measure_name("recall@1%", name, among)] = Measured(recall, who.objects, units)
        out[measure_name("AP", name, among)] = Measured(precision, who.objects, units)
    return out


def measure_name(what: str, score: str, among: str = "") -> str:
    """``planted recall@1% combined``, ``planted recall@1% among stars: combined``."""
    return f"planted {what} {f'among {among}: ' if among else ''}{score}"


def within_stars(
    corpus: Corpus, who: Population, scored: dict[str, Scored]
) -> tuple[Population, dict[str, Scored]]:
    """The same question asked among stars only, as a user would who knows what is common."""
    assert corpus.stars is not None
    normal = corpus.stars[who.normal]
    odd = np.ones(len(who.kind), bool)  # planted oddities are all in stars
    if who.together:
        odd = corpus.stars[np.flatnonzero(corpus.test & (corpus.oddity != ""))]
    part = Population(who.normal[normal], chosen(who.odd, np.flatnonzero(odd)), who.objects[odd],
                      who.kind[odd], who.together, int(normal.sum()))  # fmt: skip
    return part, {name: score.within(normal, odd) for name, score in scored.items()}


def _rounds(who: Population, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    every = np.arange(len(who.kind))
    if who.together:
        return [every]
    size = max(1, round(SHARE * who.n_normal))
    out = []
    for _ in range(_REPEATS):
        order = rng.permutation(every)
        full = len(order) // size * size
        out += [order[i : i + size] for i in range(0, full, size)]
        if full < len(order):  # the last round is filled up with some that had their turn
            out.append(np.concatenate([order[full:], order[: size - (len(order) - full)]]))
    return out


def _values(
    sigma: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]], name: str,
    odd: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    if name != "combined":
        return sigma[name][0], sigma[name][1][odd]
    parts = [np.concatenate([sigma[k][0], sigma[k][1][odd]]) for k in ("reconstruction", "density")]
    value = combined(parts)
    return value[: -len(odd)], value[-len(odd) :]


def _ranked(
    normal: NDArray[np.float64], odd: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(m,) whether each oddity is among the strangest, and the precision at its rank.

    The strangest are 1 % of all, or as many as are odd where those are more. Abstentions rank last.
    """
    normal = np.where(np.isfinite(normal), normal, -np.inf)
    odd = np.where(np.isfinite(odd), odd, -np.inf)
    above_normal = normal.size - np.searchsorted(np.sort(normal), odd, "right")
    ties = np.searchsorted(np.sort(normal), odd, "right") - np.searchsorted(
        np.sort(normal), odd, "left"
    )
    above_normal = above_normal + 0.5 * ties
    place = 1.0 + np.array([np.sum(odd > v) for v in odd])
    rank = place + above_normal
    most = max(odd.size, round(SHARE * (normal.size + odd.size)))
    return (rank <= most).astype(np.float64), place / rank


def chance(who: Population, among: str = "") -> dict[str, Measured]:
    """What a random order gives."""
    n = who.n_normal
    m = len(who.kind) if who.together else max(1, round(SHARE * n))
    share = max(m, round(SHARE * (n + m))) / (n + m)
    units = np.arange(len(who.kind))
    out = {}
    for score in ("combined", "reconstruction", "density", "weirdness"):
        for what, value in (("recall@1%", share), ("AP", m / (n + m))):
            fair = np.full(len(who.kind), value)
            out[measure_name(what, score, among)] = Measured(fair, who.objects, units)
    return out
