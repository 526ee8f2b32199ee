"""A trained, calibrated tagger: vectors in, values with intervals or class sets out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..embed.heads import Head, log_loss
from .conformal import (
    LEAST_OBJECTS,
    Bins,
    Floats,
    by_group,
    conformal_quantile,
    draws,
    interval_scores,
    set_scores,
)
from .tag_design import Design, Scale
from .tag_guard import LEAST_SNR, Features, Guard

MAIN = 1
"""Which of the levels decides whether a class set says nothing."""
ENOUGH = 150
"""Validation spectra that let the temperature depend on S/N."""
PENALTY = 0.01
"""Of class sets, for every rank beyond the first (Angelopoulos et al. 2021)."""


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Tags of n spectra.

    value : (n,) float64 with NaN, or str with '' · low, high : (n, L), NaN for classes and
    abstentions; ±∞ where too few objects were there for the level · sets : (n, L, C) classes
    that cannot be excluded · probability : (n, C) · reason : (n,) '' or why there is no value
    known : (n,) False where nothing is said at all (out of distribution, not covered)
    """

    value: NDArray[Any]
    low: Floats
    high: Floats
    sets: NDArray[np.bool_]
    probability: Floats
    reason: NDArray[Any]
    known: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Tagger:
    """A calibrated head for one label and one encoder.

    name : of the label · kind : number or class · levels : (L,) · classes : (C,) or ()
    candidate : name of the encoder's vectors it needs
    temperature : (a, b), logits are divided by exp(a + b ln S/N)
    offsets : (groups, L) added to both sides of an interval, in standardised label units; for
    classes (groups, L) thresholds of `set_scores`, a group being S/N bin × class
    card : how it was made: comparison, splits, test results (plain values)
    """

    name: str
    kind: str
    levels: tuple[float, ...]
    candidate: str
    head: Head
    design: Design
    scale: Scale
    bins: Bins
    offsets: Floats
    guard: Guard
    classes: tuple[str, ...] = ()
    temperature: tuple[float, float] = (0.0, 0.0)
    seed: int = 0
    card: dict[str, Any] = field(default_factory=dict)

    def predict(self, features: Features) -> Predictions:
        """Tags of spectra; what is out of distribution gets the reason instead."""
        if features.vectors.shape[1] != self.guard.reference.shape[1]:
            raise UsageError(
                f"tag {self.name} needs vectors of {self.guard.reference.shape[1]} components, "
                f"not {features.vectors.shape[1]}", code="other_model",
                remedy=f"give it those of {self.candidate}",
            )  # fmt: skip
        reason = self.guard.reasons(features)
        known = reason == ""
        raw = self.head.predict(self.design.of(features[known]))
        snr = np.asarray(features.snr, np.float64)[known]
        if self.kind == "number":
            return self._numbers(raw, snr, reason, known)
        return self._classes(raw, snr, features.vectors[known], reason, known)

    def _numbers(
        self, raw: Floats, snr: Floats, reason: NDArray[Any], known: NDArray[np.bool_]
    ) -> Predictions:
        n, levels = len(reason), len(self.levels)
        middle = raw.shape[1] // 2
        value = np.full(n, np.nan)
        low, high = np.full((n, levels), np.nan), np.full((n, levels), np.nan)
        offset = self.offsets[self.bins.group(snr, raw[:, middle])]
        down, up = raw[:, middle], raw[:, middle]
        for j in range(levels):  # wider levels hold the narrower ones, and all hold the value
            a, b = sides(raw, j)
            down = np.minimum(down, a - offset[:, j])
            up = np.maximum(up, b + offset[:, j])
            low[known, j], high[known, j] = self.scale.back(down), self.scale.back(up)
        value[known] = self.scale.back(raw[:, middle])
        empty = np.zeros((n, levels, 0), bool)
        return Predictions(value, low, high, empty, np.zeros((n, 0)), reason, known)

    def _classes(
        self, raw: Floats, snr: Floats, vectors: NDArray[Any], reason: NDArray[Any],
        known: NDArray[np.bool_],
    ) -> Predictions:  # fmt: skip
        n, levels, c = len(reason), len(self.levels), len(self.classes)
        p = softmax(raw / heat(self.temperature, snr)[:, None])
        score = set_scores(p, draws(vectors, self.seed), PENALTY)
        limit = self.offsets.reshape(-1, c, levels)[self.bins.snr_bin(snr)]
        inside = score[:, :, None] <= limit
        inside[np.arange(len(p)), p.argmax(axis=1)] = True  # a set is never empty
        inside = np.maximum.accumulate(inside, axis=2)
        value, sets = np.full(n, "", object), np.zeros((n, levels, c), bool)
        probability = np.full((n, c), np.nan)
        probability[known], sets[known] = p, inside.transpose(0, 2, 1)
        value[known] = np.array(self.classes, object)[p.argmax(axis=1)]
        reason = reason.copy()
        full = known & sets[:, min(MAIN, levels - 1)].all(axis=1)
        reason[full] = f"no class can be excluded at {self.levels[min(MAIN, levels - 1)]:.0%}"
        value[full] = ""
        none = np.full((n, levels), np.nan)
        return Predictions(value, none, none.copy(), sets, probability, reason, known)


def softmax(logits: Floats) -> Floats:
    """Rows that sum to one."""
    p = np.exp(logits - logits.max(axis=1, keepdims=True)) if len(logits) else logits
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def sides(raw: Floats, level: int) -> tuple[Floats, Floats]:
    """The two quantiles of the `level`-th level: the narrowest lie next to the median."""
    middle = raw.shape[1] // 2
    return raw[:, middle - 1 - level], raw[:, middle + 1 + level]


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What the calibration spectra say about a head.

    y : (n,) their labels, or numbers of classes · n_classes : 0 = numbers
    """

    y: NDArray[Any]
    n_classes: int
    levels: tuple[float, ...]
    seed: int
    scale: Scale
    bins: Bins
    temperature: tuple[float, float]

    def offsets(self, raw: Floats, features: Features, objects: NDArray[np.int64]) -> Floats:
        """(groups, L) see `Tagger.offsets`.

        raw : (n, q or C) what the head says of the calibration spectra · objects : (n,)
        """
        snr, levels = np.asarray(features.snr, np.float64), self.levels
        if not self.n_classes:
            y = self.scale.forth(self.y)
            group = self.bins.group(snr, raw[:, raw.shape[1] // 2])
            scores = [interval_scores(*sides(raw, j), y) for j in range(len(levels))]
            return np.stack([by_group(s, objects, group, len(self.bins), level)
                             for s, level in zip(scores, levels, strict=True)], axis=1)  # fmt: skip
        p = softmax(raw / heat(self.temperature, snr)[:, None])
        y, c = self.y, self.n_classes
        every = set_scores(p, draws(features.vectors, self.seed), PENALTY)
        score = every[np.arange(len(y)), y]
        where = self.bins.snr_bin(snr)
        return np.stack([_class_limits(score, objects, where, y, (len(self.bins.value_edges), c),
                                       level) for level in levels], axis=1)  # fmt: skip


def _class_limits(
    score: Floats, objects: NDArray[Any], snr_bin: NDArray[Any], y: NDArray[Any],
    shape: tuple[int, int], level: float,
) -> Floats:  # fmt: skip
    """Thresholds by S/N bin × class: of the group, the class, or all, the first with 50 objects."""
    out = np.full(shape, conformal_quantile(score, objects, level))
    for k in range(shape[1]):
        for b in range(shape[0]):
            for mine in ((y == k) & (snr_bin == b), y == k):
                if len(np.unique(objects[mine])) >= LEAST_OBJECTS:
                    out[b, k] = conformal_quantile(score[mine], objects[mine], level)
                    break
    return out.reshape(-1)


def heat(temperature: tuple[float, float], snr: Floats) -> Floats:
    """(n,) what logits are divided by."""
    a, b = temperature
    return np.asarray(np.exp(np.clip(a + b * np.log(np.maximum(snr, LEAST_SNR)), -3.0, 3.0)))


def fitted_temperature(logits: Floats, y: NDArray[Any], snr: Floats) -> tuple[float, float]:
    """What to divide logits by so that probabilities are frequencies, at low S/N as at high.

    Source: Guo et al. 2017 (arXiv:1706.04599), eq. 9, here with a power of S/N. Few spectra
    decide on one number only.
    """
    from scipy.optimize import minimize

    def loss(x: Floats) -> float:
        a, b = (float(x[0]), float(x[1])) if len(x) > 1 else (float(x[0]), 0.0)
        return float(log_loss(logits, y, heat((a, b), snr)).mean()) + 1e-3 * (a * a + b * b)

    start = np.zeros(2 if len(y) >= ENOUGH else 1)
    # its own first steps from 0 are smaller than its tolerance: it would stop where it starts
    simplex = np.concatenate([start[None], 0.3 * np.eye(len(start))])
    found = minimize(loss, start, method="Nelder-Mead", options={
        "initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-6, "maxiter": 200})  # fmt: skip
    return float(found.x[0]), float(found.x[1]) if len(start) > 1 else 0.0
