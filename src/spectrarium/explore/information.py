"""What single latents know: information in bits, and held-out predictions from one number each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .probes import object_shuffles

F8 = np.float64
_FEWEST, _MOST = 4, 16


@dataclass(frozen=True, slots=True, eq=False)
class LatentScores:
    """Each latent against one quantity.

    score : (d,) held-out R² of the quantity's mean in 4–16 quantile bins of the latent, or the
        balanced accuracy of its likeliest class there · null_p : (d,) corrected for the number of
        latents · bits : (d,) mutual information
    """

    score: NDArray[np.float64]
    null_p: NDArray[np.float64]
    bits: NDArray[np.float64]


def quantile_bins(values: NDArray[Any], most: int = _MOST) -> NDArray[np.int64]:
    """(n,) bin of each value: about equal numbers in each, equal values together.

    As many bins as √(n/5), at least 4 and at most `most`.
    """
    n = int(np.clip(np.sqrt(len(values) / 5.0), _FEWEST, most))
    edges = np.unique(np.quantile(values, np.linspace(0, 1, n + 1)[1:-1]))
    return np.asarray(np.searchsorted(edges, values, "right"))


def mutual_information(
    latents: NDArray[Any], target: NDArray[Any], objects: NDArray[Any], seed: int = 0,
    draws: int = 30,
) -> NDArray[np.float64]:  # fmt: skip
    """(d,) bits that each latent tells of the target, each latent by itself.

    Counted in quantile bins, less the mean of what is counted when objects have each other's
    targets. Estimators by nearest neighbours (Kraskov et al. 2004) take repeat visits, which lie
    closer than any other pair, for information; this one does not, and its bias is measured on
    the data themselves. At most log₂ of the bins (4 bits); finer structure is not seen.

    Parameters
    ----------
    latents : (n, d) · target : (n, 1) numbers or (n, c) indicators of classes
    objects : (n,) whole numbers, the same for spectra of one object
    """
    words = _onehot(quantile_bins(target[:, 0])) if target.shape[1] == 1 else target
    marks = _Marks(latents)
    shuffles = object_shuffles(objects, draws, seed)
    own = marks.information(words)
    null = np.mean([marks.information(words[s]) for s in shuffles], axis=0)
    return np.asarray(np.maximum(own - null, 0.0))


class _Marks:
    """Indicators of the bins of all latents, as one sparse matrix."""

    def __init__(self, latents: NDArray[Any]) -> None:
        n, self.d = latents.shape
        bins = np.stack([quantile_bins(latents[:, i]) for i in range(self.d)], axis=1)
        self.b = int(bins.max()) + 1
        column = (bins + self.b * np.arange(self.d)).ravel()
        row = np.repeat(np.arange(n), self.d)
        self.matrix = csr_array((np.ones(n * self.d), (row, column)), shape=(n, self.d * self.b))

    def sums(self, values: NDArray[Any], rows: NDArray[Any] | None = None) -> NDArray[np.float64]:
        """(d, b, …) sum of the values over the rows of each bin."""
        matrix = self.matrix if rows is None else self.matrix[rows]
        flat = values.reshape(len(values), -1)
        return np.asarray((matrix.T @ flat).reshape(self.d, self.b, *values.shape[1:]))

    def information(self, words: NDArray[np.float64]) -> NDArray[np.float64]:
        """(d,) plug-in mutual information of bins and words (n, c), bits."""
        joint = self.sums(words) / len(words)
        alone = joint.sum(axis=2, keepdims=True) * joint.sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            term = np.where(joint > 0, joint * np.log2(joint / alone), 0.0)
        return np.asarray(term.sum(axis=(1, 2)))


def _onehot(bins: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.eye(int(bins.max()) + 1)[bins]


def latent_scores(
    latents: NDArray[Any], target: NDArray[Any], objects: NDArray[Any], folds: NDArray[Any],
    draws: int = 199, seed: int = 0,
) -> LatentScores:  # fmt: skip
    """What each latent by itself says about a quantity of objects never seen.

    Parameters
    ----------
    latents : (n, d) · target : (n, 1) numbers or (n, c) indicators · objects, folds : (n,)
    draws : of the null, objects having each other's targets; the best of all latents in each draw
        is what a latent has to beat
    Source: Westfall & Young 1993 (Resampling-Based Multiple Testing), single-step maxT.
    """
    marks = _Marks(latents)
    shuffles = object_shuffles(objects, draws, seed)
    score = _held_out(marks, target[:, None], folds)[:, 0]
    step = max(1, 400 // target.shape[1])
    best = [
        _held_out(marks, target[shuffles[at : at + step].T], folds).max(axis=0)
        for at in range(0, draws, step)
    ]
    null = np.sort(np.concatenate(best)) if best else np.empty(0)
    beaten = draws - np.searchsorted(null, score, "left")
    return LatentScores(score, (1 + beaten) / (1 + draws),
                        mutual_information(latents, target, objects, seed))  # fmt: skip


def _held_out(
    marks: _Marks, target: NDArray[np.float64], folds: NDArray[Any]
) -> NDArray[np.float64]:
    """(d, m) score of each latent for each version of the target (n, m, c)."""
    one = np.ones((len(target), 1))
    left = np.zeros((marks.d, target.shape[1]))
    whole: Any = 0.0
    for f in range(int(folds.max()) + 1):
        train, test = np.flatnonzero(folds != f), np.flatnonzero(folds == f)
        mean = target[train].mean(axis=0)
        number, new = (
            marks.sums(one[train], train)[..., None],
            marks.sums(one[test], test)[..., None],
        )
        learnt = (marks.sums(target[train], train) + 2.0 * mean) / (number + 2.0)
        seen = marks.sums(target[test], test)
        if target.shape[2] == 1:
            inside = (target[test] ** 2).sum(axis=0)[:, 0]
            left += inside + (new * learnt**2 - 2.0 * learnt * seen).sum(axis=(1, 3))
            whole = whole + ((target[test] - mean) ** 2).sum(axis=0)[:, 0]
            continue
        with np.errstate(invalid="ignore", divide="ignore"):
            guess = np.nan_to_num(learnt / mean).argmax(axis=3)[..., None]
        hit = np.take_along_axis(seen, guess, axis=3)
        every = target.sum(axis=0)  # of small classes, dealt to other objects, none may be left
        there = (every > 0).sum(axis=1)
        for c in range(target.shape[2]):
            left += (hit * (guess == c)).sum(axis=(1, 3)) / np.maximum(every[:, c], 1.0) / there
    return left if target.shape[2] > 1 else np.asarray(1.0 - left / whole)
