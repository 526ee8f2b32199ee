"""The linear heads: ridge with a scale that follows the features, and multinomial logistic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .heads import Arrays, Floats, Lesson, log_loss, pinball

PENALTIES = tuple(float(a) for a in 10.0 ** np.arange(-3, 5))
STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)
_FOLDS = 5


def fit(lessons: Sequence[Lesson]) -> list[tuple[Arrays, dict[str, Any]]]:
    """Of each lesson weights, and the penalty that did best on the validation spectra."""
    return [_fit_class(one) if one.n_classes else _fit_number(one) for one in lessons]


def predict(arrays: Arrays, x: Floats) -> Floats:
    """(n, q) quantiles, or (n, C) logits."""
    if "logit" in arrays:
        return np.asarray(x @ arrays["logit"] + arrays["offset"])
    mean = x @ arrays["mean"] + arrays["offset"][0]
    spread = np.exp(np.clip(x @ arrays["spread"] + arrays["offset"][1], -12.0, 12.0))
    return np.asarray(mean[:, None] + spread[:, None] * arrays["quantile"])


def _fit_number(lesson: Lesson) -> tuple[Arrays, dict[str, Any]]:
    fit = ~lesson.valid
    if lesson.chosen:
        return _weights(lesson, fit, lesson.chosen["penalty"]), dict(lesson.chosen)
    best: tuple[float, Arrays, float] | None = None
    for penalty in PENALTIES:
        arrays = _weights(lesson, fit, penalty)
        loss = pinball(
            predict(arrays, lesson.x[lesson.valid]), lesson.y[lesson.valid], lesson.taus
        ).mean()
        if best is None or loss < best[0]:
            best = float(loss), arrays, penalty
    assert best is not None
    return best[1], {"penalty": best[2]}


def _weights(lesson: Lesson, fit: NDArray[np.bool_], penalty: float) -> Arrays:
    """Mean by ridge; ln of its absolute residuals by ridge; quantiles of their ratio.

    Residuals are taken out of fold, else the spread would be that of a model that knew the answer.
    """
    x, y = lesson.x[fit], lesson.y[fit].astype(np.float64)
    mean, offset = _ridge(x, y, penalty)
    fold = np.arange(len(y)) * _FOLDS // max(len(y), 1)  # consecutive: objects stay together
    residual = np.empty(len(y))
    for k in range(_FOLDS):
        out = fold == k
        w, b = _ridge(x[~out], y[~out], penalty)
        residual[out] = y[out] - x[out] @ w - b
    floor = 1e-3 * max(float(np.median(np.abs(residual))), 1e-9)
    spread, level = _ridge(x, np.log(np.abs(residual) + floor), 10.0 + penalty)
    ratio = residual / np.exp(np.clip(x @ spread + level, -12.0, 12.0))
    return {
        "mean": mean, "spread": spread, "offset": np.array([offset, level]),
        "quantile": np.quantile(ratio, lesson.taus),
    }  # fmt: skip


def _ridge(x: Floats, y: Floats, penalty: float) -> tuple[Floats, float]:
    centre, middle = x.mean(axis=0), float(y.mean())
    a = x - centre
    gram = a.T @ a
    gram[np.diag_indices_from(gram)] += penalty
    w = np.linalg.solve(gram, a.T @ (y - middle))
    return w, middle - float(centre @ w)


def _fit_class(lesson: Lesson) -> tuple[Arrays, dict[str, Any]]:
    fit, valid = ~lesson.valid, lesson.valid
    if lesson.chosen:
        return _logistic(lesson, fit, lesson.chosen["strength"]), dict(lesson.chosen)
    best: tuple[float, Arrays, float] | None = None
    for strength in STRENGTHS:
        arrays = _logistic(lesson, fit, strength)
        loss = log_loss(predict(arrays, lesson.x[valid]), lesson.y[valid]).mean()
        if best is None or loss < best[0]:
            best = float(loss), arrays, strength
    assert best is not None
    return best[1], {"strength": best[2]}


def _logistic(lesson: Lesson, fit: NDArray[np.bool_], strength: float) -> Arrays:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, max_iter=2000, tol=1e-3)
    model.fit(lesson.x[fit], lesson.y[fit])
    p, c = lesson.x.shape[1], lesson.n_classes
    logit, offset = np.zeros((p, c)), np.full(c, -30.0)  # a class not seen is not believed
    coefficients, intercept = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # one row that parts the two
        coefficients = np.stack([-0.5 * coefficients[0], 0.5 * coefficients[0]])
        intercept = np.array([-0.5 * intercept[0], 0.5 * intercept[0]])
    for row, number in enumerate(model.classes_):
        logit[:, int(number)], offset[int(number)] = coefficients[row], intercept[row]
    return {"logit": logit, "offset": offset}
