"""Predictions of a quantity from vectors, each by a probe that never saw the object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import UsageError

F8 = np.float64
_ALPHAS = 10.0 ** np.arange(-4.0, 5.0)
"""Penalties tried, in units of the number of training rows: features have unit variance."""
_FAR = 5.0
"""Standardised features count up to ± this: one odd spectrum must not swing every other's fit."""
_COLUMNS = 4_000
"""Target columns predicted at a time: what bounds the memory of a permutation test."""


_FELT = 1e-5
"""Share of a space's squared width below which an axis decides nothing about distances in it."""


def felt(space: NDArray[Any]) -> NDArray[Any]:
    """(n, k) the axes of a space of (n, d) that distances in it feel: what a probe may look at.

    Axes of less than a hundred-thousandth of the squared width are left out: a linear probe brings
    all axes to one size, and would read what no distance shows. The width is that of nine tenths
    of the spectra: a few odd ones, far out on an axis of no weight, do not make it felt.
    """
    low, high = np.percentile(space, [5, 95], axis=0)
    square = (high - low) ** 2
    return space[:, square >= _FELT * square.sum()]


def object_folds(objects: NDArray[Any], n_folds: int = 5, seed: int = 0) -> NDArray[np.int64]:
    """(n,) fold of each spectrum: all spectra of an object share one, folds are about equal.

    objects : (n,) whole numbers, the same for spectra of one object
    Raises UsageError (too_few_spectra) when there are fewer objects than folds.
    """
    _, which, count = np.unique(np.asarray(objects), return_inverse=True, return_counts=True)
    if count.size < n_folds:
        raise UsageError(
            f"{count.size} objects cannot be split into {n_folds} parts",
            code="too_few_spectra", remedy="embed spectra of more objects",
        )  # fmt: skip
    shuffled = np.random.default_rng([seed, 11]).permutation(count.size)
    filled = np.zeros(n_folds)
    fold = np.empty(count.size, np.int64)
    for at in shuffled[np.argsort(-count[shuffled], kind="stable")]:
        fold[at] = np.argmin(filled)
        filled[fold[at]] += count[at]
    return np.asarray(fold[which])


def object_shuffles(objects: NDArray[Any], n: int, seed: int = 0) -> NDArray[np.int64]:
    """(n, rows) row numbers whose targets stand in for each row's own, objects kept whole.

    Each draw deals the targets of one object to the spectra of another: what spectra of one
    object share, they share under the null as well.
    """
    _, which, count = np.unique(np.asarray(objects), return_inverse=True, return_counts=True)
    order = np.argsort(which, kind="stable")
    start = np.cumsum(count) - count
    within = np.empty(which.size, np.int64)
    within[order] = np.arange(which.size) - np.repeat(start, count)
    rng = np.random.default_rng([seed, 13])
    out = np.empty((n, which.size), np.int64)
    for i in range(n):
        other = rng.permutation(count.size)[which]
        out[i] = order[start[other] + within % count[other]]
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """Held-out predictions of m versions of a target with c columns (1, or one a class).

    held_out : (n, m, c) · baseline : (n, m, c) mean over the rows each prediction learnt from
    """

    held_out: NDArray[np.float64]
    baseline: NDArray[np.float64]


class RidgeProbe:
    """Ridge regression on standardised features; the penalty is chosen by a fold set aside.

    Features are clipped at 5 σ and predictions to the range learnt from: spectra far from all
    others have no leverage.

    All target columns share the decompositions, so that a permutation test costs little more than
    one fit. Classes: the fitted indicators are turned into linear discriminants of equal priors.
    Source: optimal scoring, Hastie, Tibshirani & Buja 1994 (JASA 89, 1255). Valid for: relations
    that are near to linear in the features.
    """

    name = "ridge"

    def __init__(self, features: NDArray[Any], folds: NDArray[np.int64]) -> None:
        """features : (n, p), finite · folds : (n,) as `object_folds` gives them"""
        self._folds = folds
        n = int(folds.max()) + 1
        self._outer = [_Solved.of(features, folds != f, folds == f) for f in range(n)]
        self._inner = [
            _Solved.of(features, (folds != f) & (folds != (f + 1) % n), folds == (f + 1) % n)
            for f in range(n)
        ]

    def predict(self, target: NDArray[Any]) -> Predicted:
        """target : (n, m, c) → held-out predictions; for c > 1 discriminant scores."""
        out = np.empty(target.shape, F8)
        baseline = np.empty(target.shape, F8)
        _, m, c = target.shape
        step = max(1, _COLUMNS // c)
        for at in range(0, m, step):
            part = target[:, at : at + step]
            for inner, outer in zip(self._inner, self._outer, strict=True):
                alpha = inner.best_alpha(part)
                found, mean = outer.predict(part, alpha)
                out[outer.test, at : at + step] = found
                baseline[outer.test, at : at + step] = mean
        return Predicted(out, baseline)


@dataclass(frozen=True, slots=True, eq=False)
class _Solved:
    """Training features decomposed: prediction = left · diag(1/(s + α)) · right · y.

    dual : whether there are more features than rows; of many rows and pixels only two matrices
    are kept, since ten of these stand in memory at once
    """

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    left: NDArray[np.float64]
    right: NDArray[np.float64]
    s: NDArray[np.float64]
    dual: bool

    @property
    def fit_left(self) -> NDArray[np.float64]:
        """What `left` is for the training rows themselves."""
        return self.right.T * self.s if self.dual else self.right.T

    @classmethod
    def of(
        cls, features: NDArray[Any], train: NDArray[np.bool_], test: NDArray[np.bool_]
    ) -> _Solved:
        x = features[train].astype(F8)
        mean, spread = x.mean(axis=0), x.std(axis=0)
        keep = spread > 1e-12 * np.maximum(np.abs(mean), 1e-30)
        x = np.clip((x[:, keep] - mean[keep]) / spread[keep], -_FAR, _FAR)
        new = np.clip((features[test][:, keep] - mean[keep]) / spread[keep], -_FAR, _FAR)
        if x.shape[1] <= x.shape[0]:
            s, v = np.linalg.eigh(x.T @ x)
            right = (x @ v).T
            left = new @ v
        else:
            s, u = np.linalg.eigh(x @ x.T)
            right, left = u.T, new @ x.T @ u
        return cls(np.flatnonzero(train), np.flatnonzero(test), left, right,
                   np.maximum(s, 0.0), x.shape[1] > x.shape[0])  # fmt: skip

    def best_alpha(self, target: NDArray[Any]) -> NDArray[np.float64]:
        """(m,) penalty that predicts the test rows best."""
        _, m, c = target.shape
        mean, inner = self._projected(target)
        truth = (target[self.test] - mean).reshape(len(self.test), -1)
        error = [
            ((truth - self.left @ (inner / (self.s + a * len(self.train))[:, None])) ** 2)
            .sum(axis=0).reshape(m, c).sum(axis=1)
            for a in _ALPHAS
        ]  # fmt: skip
        return np.asarray(_ALPHAS[np.argmin(error, axis=0)])

    def predict(
        self, target: NDArray[Any], alpha: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n_test, m, c) predictions, and the training mean (m, c)."""
        _, m, c = target.shape
        mean, inner = self._projected(target)
        damped = inner / (self.s[:, None] + np.repeat(alpha, c) * len(self.train))
        found = (self.left @ damped).reshape(-1, m, c)
        if c == 1:  # no value beyond those learnt from is ever predicted
            known = target[self.train]
            return np.clip(found + mean, known.min(axis=0), known.max(axis=0)), mean
        fitted = (self.fit_left @ damped).reshape(-1, m, c)
        labels = target[self.train]
        for i in range(m):
            found[:, i] = _discriminant(fitted[:, i], labels[:, i], found[:, i])
        return found, mean

    def _projected(self, target: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        mine = target[self.train].astype(F8)
        mean = mine.mean(axis=0)
        return mean, self.right @ (mine - mean).reshape(len(mine), -1)


def _discriminant(
    fitted: NDArray[np.float64], labels: NDArray[np.float64], new: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n_new, c) scores of linear discriminants in the space of fitted indicators."""
    count = np.maximum(labels.sum(axis=0), 1e-9)
    centres = (labels.T @ fitted) / count[:, None]
    rest = fitted - labels @ centres
    within = rest.T @ rest / len(fitted)
    inverse = np.linalg.pinv(within, rcond=1e-8, hermitian=True)
    pulled = centres @ inverse
    score = new @ pulled.T - 0.5 * np.einsum("cd,cd->c", pulled, centres)
    score[:, labels.sum(axis=0) == 0] = -np.inf
    return np.asarray(score)


class NeighbourProbe:
    """Mean of the target over the k nearest vectors of other folds, in the vectors' own metric.

    It asks what a search for similar spectra would tell. Classes: votes over class frequency.
    """

    name = "knn"

    def __init__(self, features: NDArray[Any], folds: NDArray[np.int64], k: int = 10) -> None:
        """features : (n, p) scaled as distances are taken · folds : (n,)"""
        self._folds = folds
        self.k = max(1, min(k, int((folds != 0).sum()) // 3))
        x = features.astype(np.float32)
        x = x - x.mean(axis=0)
        half = 0.5 * np.einsum("nd,nd->n", x, x)
        self._near = np.empty((len(x), self.k), np.int64)
        for f in range(int(folds.max()) + 1):
            train = np.flatnonzero(folds != f)
            test = np.flatnonzero(folds == f)
            for rows in np.array_split(test, max(1, test.size // 512)):
                far = half[train] - x[rows] @ x[train].T
                at = np.argpartition(far, self.k - 1, axis=1)[:, : self.k]
                self._near[rows] = train[at]

    def predict(self, target: NDArray[Any]) -> Predicted:
        """target : (n, m, c) → held-out predictions."""
        out = np.zeros(target.shape, F8)
        for column in range(self.k):
            out += target[self._near[:, column]]
        out /= self.k
        baseline = np.empty(target.shape, F8)
        for f in range(int(self._folds.max()) + 1):
            baseline[self._folds == f] = target[self._folds != f].mean(axis=0)
        if target.shape[2] > 1:
            out /= np.maximum(baseline, 1e-9)
        return Predicted(out, baseline)


class BoostProbe:
    """Gradient-boosted trees: finds what is neither linear nor local, at the price of minutes."""

    name = "boost"

    def __init__(self, features: NDArray[Any], folds: NDArray[np.int64], seed: int = 0) -> None:
        self._features, self._folds, self._seed = features, folds, seed

    def predict(self, target: NDArray[Any]) -> Predicted:
        """target : (n, m, c) → held-out predictions; for c > 1 log-probabilities."""
        from sklearn.ensemble import HistGradientBoostingClassifier as Classifier
        from sklearn.ensemble import HistGradientBoostingRegressor as Regressor

        out, baseline = np.empty(target.shape, F8), np.empty(target.shape, F8)
        for train, test in self._splits():
            x, new = self._features[train], self._features[test]
            baseline[test] = target[train].mean(axis=0)
            for i in range(target.shape[1]):
                y = target[train, i]
                if target.shape[2] == 1:
                    model = Regressor(max_iter=150, random_state=self._seed)
                    out[test, i, 0] = model.fit(x, y[:, 0]).predict(new)
                    continue
                model = Classifier(max_iter=80, class_weight="balanced", random_state=self._seed)
                model.fit(x, y.argmax(axis=1))
                out[test, i] = -np.inf
                out[test[:, None], i, model.classes_[None]] = model.predict_proba(new)
        return Predicted(out, baseline)

    def _splits(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        for f in range(int(self._folds.max()) + 1):
            yield np.flatnonzero(self._folds != f), np.flatnonzero(self._folds == f)


Probe = RidgeProbe | NeighbourProbe | BoostProbe
PROBES: dict[str, Callable[[NDArray[Any], NDArray[np.int64]], Probe]] = {
    "ridge": RidgeProbe,
    "knn": NeighbourProbe,
    "boost": BoostProbe,
}


def probe_named(kind: str) -> Callable[[NDArray[Any], NDArray[np.int64]], Probe]:
    """The probe of this name; an unknown one lists the known."""
    if kind not in PROBES:
        raise UsageError(f"no probe is called {kind!r}", code="unknown_probe",
                         remedy=f"choose one of: {', '.join(PROBES)}")  # fmt: skip
    return PROBES[kind]
