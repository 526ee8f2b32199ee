"""When a tag must not be given: spectra unlike anything the head was trained and calibrated on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import UsageError
from .conformal import LEAST_OBJECTS, Floats, conformal_quantile

MOST_REFERENCE = 20_000
"""Training spectra kept to measure distances to; of more, a seeded choice."""
NEAREST = 5
LEVEL = 0.99
LEAST_SNR = 0.1
"""Below this, one S/N is like another: there is nothing but noise."""
LEAST_COMPANY, MOST_COMPANY = 20, 200
LEAST_TELLING = 3.0
"""Labelled spectra that a labelled one usually has among those neighbours; fewer tell nothing."""
SNR_SLACK = 1.25
"""S/N may lie this factor outside the range seen before a tag is refused."""
_ROWS = 512


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What a head sees of spectra: vectors of one encoder and how noisy they are.

    vectors : (n, d); rows that are not finite are spectra that the encoder does not cover
    snr : (n,) median S/N per model pixel · variance : (n, d) of each component, given the noise
    chi2 : (n,) reduced χ² of the reconstruction; NaN = unknown
    scale : (d,) vectors are multiplied by before distances are taken (`metric_scale()`)
    """

    vectors: NDArray[Any]
    snr: NDArray[Any]
    variance: NDArray[Any] | None = None
    chi2: NDArray[Any] | None = None
    scale: NDArray[Any] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        n, d = self.vectors.shape if self.vectors.ndim == 2 else (-1, -1)
        wrong = (
            n < 0 or self.snr.shape != (n,)
            or (self.variance is not None and self.variance.shape != (n, d))
            or (self.chi2 is not None and self.chi2.shape != (n,))
            or (self.scale is not None and self.scale.shape != (d,))
        )  # fmt: skip
        if wrong:
            raise UsageError(f"vectors {self.vectors.shape} do not fit what describes them",
                             code="mismatched_lengths")  # fmt: skip

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, rows: NDArray[Any]) -> Features:
        return Features(
            self.vectors[rows], self.snr[rows],
            None if self.variance is None else self.variance[rows],
            None if self.chi2 is None else self.chi2[rows], self.scale,
        )  # fmt: skip

    @property
    def covered(self) -> NDArray[np.bool_]:
        """(n,) True where there is a vector and an S/N (of empty sky it may be negative)."""
        return np.asarray(np.isfinite(self.vectors).all(axis=1) & np.isfinite(self.snr))


@dataclass(frozen=True, slots=True, eq=False)
class Guard:
    """Limits beyond which a spectrum is out of distribution, by S/N bin.

    reference : (m, d) scaled training vectors · rows : (m,) their rows in the training table
    scale : (d,) what vectors are multiplied by before distances are taken
    distance, chi2 : (b,) largest allowed; ∞ = unknown · snr_edges : (b − 1,)
    snr_range : lowest and highest S/N seen
    others : (u, d) scaled vectors of spectra without the label, thinned as the training ones are
    company : (k, least share) of the k nearest of both kinds, that must have the label
    """

    reference: NDArray[np.float32]
    rows: NDArray[np.int64]
    scale: NDArray[np.float32]
    distance: Floats
    chi2: Floats
    snr_edges: Floats
    snr_range: tuple[float, float]
    others: NDArray[np.float32]
    company: tuple[int, float]

    def labelled_share(self, features: Features) -> Floats:
        """(n,) share of the nearest spectra that have the label; 1 where all have."""
        queries = np.asarray(features.vectors, np.float32) * self.scale
        return _share(self.reference, self.others, queries, self.company[0])

    def nearest(
        self, features: Features, k: int = NEAREST
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """((n, k) positions in `reference`, (n, k) distances), nearest first."""
        return nearest(self.reference, np.asarray(features.vectors, np.float32) * self.scale, k)

    def reasons(self, features: Features) -> NDArray[Any]:
        """(n,) why no tag may be given, in words; '' = it may."""
        out = np.full(len(features), "", object)
        covered = features.covered
        out[~covered] = "no vector: the encoder does not cover it"
        snr = np.asarray(features.snr, np.float64)
        out[~covered & ~np.isfinite(snr)] = "S/N is unknown"
        low, high = self.snr_range
        below = np.maximum(snr, LEAST_SNR) < max(low, LEAST_SNR) / SNR_SLACK
        above = snr > max(high, LEAST_SNR) * SNR_SLACK
        for bad, which, limit in ((below, "below", low), (above, "above", high)):
            for i in np.flatnonzero(covered & bad):
                out[i] = f"S/N {snr[i]:.3g} is {which} the {limit:.3g} it was trained on"
        todo = np.flatnonzero(covered & (out == ""))
        some = features[todo]
        where = np.searchsorted(self.snr_edges, snr[todo], side="right")
        far = self.nearest(some)[1].mean(axis=1) / np.maximum(self.distance[where], 1e-30)
        for j in np.flatnonzero(far > 1):
            out[todo[j]] = (f"unlike its training spectra: {far[j]:.3g} times the distance "
                            "that nearly all of them keep at this S/N")  # fmt: skip
        if some.chi2 is not None:
            poor = np.asarray(some.chi2) / self.chi2[where]
            for j in np.flatnonzero(~(poor <= 1) & (far <= 1) & np.isfinite(self.chi2[where])):
                most = self.chi2[where[j]]
                out[todo[j]] = (f"the encoder cannot describe it: χ² {some.chi2[j]:.3g} per "
                                f"degree of freedom, {most:.3g} is usual at most")  # fmt: skip
        left = todo[out[todo] == ""]
        k, least = self.company
        share = self.labelled_share(features[left])
        for j in np.flatnonzero(share < least):
            out[left[j]] = (f"few spectra like it have this label: {share[j]:.0%} of its {k} "
                            f"nearest, where {2 * least:.0%} are usual")  # fmt: skip
        return out


def nearest(
    reference: NDArray[np.float32], queries: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Exact Euclidean neighbours among at most some ten thousand vectors."""
    k = min(k, len(reference))
    at = np.empty((len(queries), k), np.int64)
    distance = np.empty((len(queries), k))
    norms = np.einsum("nd,nd->n", reference, reference, dtype=np.float64)
    for start in range(0, len(queries), _ROWS):
        q = queries[start : start + _ROWS].astype(np.float64)
        square = norms - 2.0 * (q @ reference.T.astype(np.float64))
        part = np.argpartition(square, k - 1, axis=1)[:, :k]
        gap = reference[part].astype(np.float64) - q[:, None, :]
        exact = np.sqrt(np.einsum("nkd,nkd->nk", gap, gap))
        order = np.argsort(exact, axis=1, kind="stable")
        at[start : start + _ROWS] = np.take_along_axis(part, order, axis=1)
        distance[start : start + _ROWS] = np.take_along_axis(exact, order, axis=1)
    return at, distance


def _share(
    reference: NDArray[np.float32], others: NDArray[np.float32], queries: NDArray[np.float32],
    k: int, *, itself: bool = False,
) -> Floats:  # fmt: skip
    """(n,) share of the k nearest of both that are of the reference; `itself` is not counted."""
    if not len(others) or not len(queries):
        return np.ones(len(queries))
    at, _ = nearest(np.concatenate([reference, others]), queries, k + itself)
    known = at < len(reference)
    return np.asarray((known.sum(axis=1) - itself) / (at.shape[1] - itself), np.float64)


def _company(
    reference: NDArray[np.float32], others: NDArray[np.float32], queries: NDArray[np.float32],
    *, itself: bool,
) -> tuple[int, float]:  # fmt: skip
    """How many neighbours to look at, and the least share of them with the label: half of what a
    labelled spectrum usually has. The rarer labels are, the more neighbours: 20 to 200."""
    if not len(others):
        return LEAST_COMPANY, 0.0
    rarity = (len(reference) + len(others)) / len(reference)
    k = int(np.clip(10 * rarity, LEAST_COMPANY, MOST_COMPANY))
    k = min(k, len(reference) + len(others) - 1)
    usual = float(np.median(_share(reference, others, queries, k, itself=itself)))
    return k, 0.5 * usual if usual * k >= LEAST_TELLING else 0.0


def make_guard(
    training: Features, rows: NDArray[np.int64], calibration: Features, objects: NDArray[Any],
    snr_edges: Floats, seed: int, fold: NDArray[np.int64] | None = None,
    others: Features | None = None,
) -> Guard:  # fmt: skip
    """Limits that the calibration spectra keep.

    fold : None = these are of other objects than the training's; else they are the training's
    own, and their distances are taken to those of other folds
    others : spectra without the label: galaxies, where stars have a temperature. Among them a
    spectrum has no value, however near the nearest that has one

    Of few objects no quantile of 99 % is known, and their largest is often an oddity that the
    label came with: then the third largest is the limit. Nor may a limit be more than twice what
    90 % keep: what lies beyond is rare enough among the training spectra to have no value.
    """
    keep = np.arange(len(training))
    if len(keep) > MOST_REFERENCE:
        keep = np.sort(np.random.default_rng(seed).choice(len(keep), MOST_REFERENCE, False))
    d = training.vectors.shape[1]
    scale = np.ones(d, np.float32) if training.scale is None else np.asarray(training.scale, "f4")
    reference = np.asarray(training.vectors[keep], np.float32) * scale
    judges = np.asarray(calibration.vectors, np.float32) * scale
    far = np.empty(len(judges))
    for k in [0] if fold is None else np.unique(fold).tolist():
        mine = np.ones(len(judges), bool) if fold is None else fold == k
        known = reference if fold is None else reference[~mine[keep]]
        far[mine] = nearest(known, judges[mine], NEAREST)[1].mean(axis=1)
    unlabelled = np.empty((0, d), np.float32)
    if others is not None:
        most = min(round(len(others) * len(keep) / len(training)), MOST_REFERENCE)
        rest = np.random.default_rng([seed, 1]).permutation(len(others))[:most]
        unlabelled = np.asarray(others.vectors[rest], np.float32) * scale
    some = judges if fold is None else judges[keep]
    where = np.searchsorted(snr_edges, calibration.snr, side="right")
    bins = len(snr_edges) + 1
    chi2 = np.full(bins, np.inf)
    if calibration.chi2 is not None and np.isfinite(calibration.chi2).all():
        chi2 = _limits(np.asarray(calibration.chi2, np.float64), objects, where, bins)
    snr = np.concatenate([training.snr, calibration.snr])
    return Guard(
        reference, rows[keep], scale, _limits(far, objects, where, bins), chi2,
        np.asarray(snr_edges, np.float64), (float(snr.min()), float(snr.max())), unlabelled,
        _company(reference, unlabelled, some[:: max(1, len(some) // 2_000)],
                 itself=fold is not None),
    )  # fmt: skip


def _limits(score: Floats, objects: NDArray[Any], where: NDArray[Any], bins: int) -> Floats:
    out = np.empty(bins)
    for b in range(bins):
        mine = where == b
        if len(np.unique(objects[mine])) < LEAST_OBJECTS:
            mine = np.ones(len(score), bool)
        n = len(np.unique(objects[mine]))
        level = min(LEVEL, max(1.0 - 3.0 / (n + 1), 0.9))
        limit = conformal_quantile(score[mine], objects[mine], level)
        limit = limit if np.isfinite(limit) else float(score[mine].max())
        usual = conformal_quantile(score[mine], objects[mine], 0.9)
        out[b] = min(limit, 2.0 * usual) if np.isfinite(usual) else limit
    return out
