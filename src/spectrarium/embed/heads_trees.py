"""Gradient-boosted trees: scikit-learn grows them, plain arrays keep them and numpy walks them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import InternalError
from .heads import Arrays, Floats, Lesson, log_loss, pinball

MOST_ROUNDS = 250
_SETTINGS: dict[str, Any] = {
    "learning_rate": 0.08, "max_leaf_nodes": 15, "min_samples_leaf": 20, "l2_regularization": 1.0,
    "early_stopping": False,
}  # fmt: skip
_CHUNK = 2048
_PARTS = ("feature", "threshold", "left", "right", "value")


def fit(lessons: Sequence[Lesson]) -> list[tuple[Arrays, dict[str, Any]]]:
    """Of each lesson weights, and after how many rounds the validation spectra said stop."""
    return [_fit_class(one) if one.n_classes else _fit_number(one) for one in lessons]


def predict(arrays: Arrays, x: Floats) -> Floats:
    """(n, q) quantiles, sorted, or (n, C) logits."""
    out = np.empty((len(x), len(arrays["baseline"])))
    for start in range(0, len(x), _CHUNK):
        rows = slice(start, start + _CHUNK)
        out[rows] = _walk(arrays, x[rows])
    if arrays["sorted"][0]:
        out.sort(axis=1)  # quantiles fitted apart may cross (Chernozhukov et al. 2010)
    return out


def _walk(arrays: Arrays, x: Floats) -> Floats:
    """Sum of the leaves that each row falls in, tree by tree for all rows at once."""
    feature, threshold, left, right, value = (arrays[p] for p in _PARTS)
    root, output = arrays["root"], arrays["output"]
    n = len(x)
    at = np.broadcast_to(root, (n, len(root))).copy()
    rows = np.arange(n)[:, None]
    for _ in range(int(arrays["depth"][0])):  # a leaf leads to itself
        down = x[rows, feature[at]] <= threshold[at]
        at = np.where(down, left[at], right[at])
    leaves = value[at]
    out = np.broadcast_to(arrays["baseline"], (n, len(arrays["baseline"]))).copy()
    for j in range(out.shape[1]):
        out[:, j] += leaves[:, output == j].sum(axis=1)
    return out


def _pack(models: Sequence[Any], rounds: Sequence[int], is_number: bool) -> Arrays:
    """Trees of several models (one an output, or one with all) as flat arrays."""
    parts: dict[str, list[NDArray[Any]]] = {p: [] for p in _PARTS}
    root, output, base = [], [], []
    size, depth = 0, 1
    for j, (model, most) in enumerate(zip(models, rounds, strict=True)):
        base.append(np.ravel(model._baseline_prediction))
        for trees in model._predictors[:most]:
            for k, tree in enumerate(trees):
                nodes = tree.nodes
                leaf = nodes["is_leaf"].astype(bool)
                own = size + np.arange(len(nodes))
                parts["feature"].append(np.where(leaf, 0, nodes["feature_idx"]).astype(np.int32))
                parts["threshold"].append(np.where(leaf, 0.0, nodes["num_threshold"]))
                parts["left"].append(np.where(leaf, own, size + nodes["left"]).astype(np.int32))
                parts["right"].append(np.where(leaf, own, size + nodes["right"]).astype(np.int32))
                parts["value"].append(np.where(leaf, nodes["value"], 0.0))
                root.append(size)
                output.append(j if is_number else k)
                size += len(nodes)
                depth = max(depth, int(nodes["depth"].max()))
    empty = {"feature": np.int32, "left": np.int32, "right": np.int32}
    arrays = {p: np.concatenate(v) if v else np.zeros(0, empty.get(p, np.float64))
              for p, v in parts.items()}  # fmt: skip
    return arrays | {
        "root": np.array(root, np.int32), "output": np.array(output, np.int32),
        "baseline": np.concatenate(base), "depth": np.array([depth], np.int32),
        "sorted": np.array([is_number], np.int8),
    }  # fmt: skip


def _proven(arrays: Arrays, x: Floats, expected: Floats) -> Arrays:
    """The arrays, after they were seen to give what the library gives: its trees are private."""
    mine = _walk(arrays, x)
    if not np.allclose(mine, expected, rtol=1e-6, atol=1e-6):
        raise InternalError("trees do not give what scikit-learn gives", code="foreign_trees",
                            remedy="install scikit-learn 1.6 to 1.9")  # fmt: skip
    return arrays


def _fit_number(lesson: Lesson) -> tuple[Arrays, dict[str, Any]]:
    from sklearn.ensemble import HistGradientBoostingRegressor

    fit, valid = ~lesson.valid, lesson.valid
    x, y = lesson.x[fit], lesson.y[fit]
    models, rounds = [], []
    for j, tau in enumerate(lesson.taus):
        most = lesson.chosen["rounds"][j] if lesson.chosen else MOST_ROUNDS
        model = HistGradientBoostingRegressor(
            loss="quantile", quantile=float(tau), max_iter=most, random_state=lesson.seed,
            **_SETTINGS,
        )  # fmt: skip
        model.fit(x, y)
        if not lesson.chosen:
            at, truth = lesson.x[valid], lesson.y[valid]
            one = np.array([tau])
            staged = [pinball(p[:, None], truth, one).mean() for p in model.staged_predict(at)]
            most = int(np.argmin(staged)) + 1
        models.append(model)
        rounds.append(most)
    arrays = _pack(models, rounds, True)
    some = x[:64]
    whole = _pack(models, [len(m._predictors) for m in models], True)
    _proven(whole, some, np.stack([m.predict(some) for m in models], axis=1))
    return arrays, {"rounds": rounds}


def _fit_class(lesson: Lesson) -> tuple[Arrays, dict[str, Any]]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    fit, valid = ~lesson.valid, lesson.valid
    x, y = lesson.x[fit], lesson.y[fit]
    most = lesson.chosen["rounds"] if lesson.chosen else MOST_ROUNDS
    model = HistGradientBoostingClassifier(max_iter=most, random_state=lesson.seed, **_SETTINGS)
    model.fit(x, y)
    if not lesson.chosen:
        at, truth = lesson.x[valid], lesson.y[valid]
        known = model.classes_.astype(int)
        staged = []
        for raw in model._staged_raw_predict(at):
            staged.append(log_loss(_all_classes(raw, known, lesson.n_classes), truth).mean())
        most = int(np.argmin(staged)) + 1
    whole = _pack([model], [len(model._predictors)], False)
    some = x[:64]
    _proven(whole, some, model.decision_function(some).reshape(len(some), -1))
    arrays = _pack([model], [most], False)
    return _with_all_classes(arrays, model.classes_.astype(int), lesson.n_classes), {"rounds": most}


def _all_classes(raw: Floats, known: NDArray[Any], n_classes: int) -> Floats:
    """(n, C) logits from the library's columns: one for two classes, else one a class."""
    out = np.full((len(raw), n_classes), -30.0)
    if len(known) == 2:
        raw = np.stack([-0.5 * raw[:, 0], 0.5 * raw[:, 0]], axis=1)
    out[:, known] = raw
    return out


def _with_all_classes(arrays: Arrays, known: NDArray[Any], n_classes: int) -> Arrays:
    """The same trees with an output for every class, known to them or not."""
    arrays = dict(arrays)
    base = np.full(n_classes, -30.0)
    if len(known) == 2:  # one tree a round parts the two: half of it for each
        half = 0.5 * arrays["value"]
        size = len(half)
        for p in ("feature", "threshold"):
            arrays[p] = np.concatenate([arrays[p], arrays[p]])
        for p in ("left", "right"):
            arrays[p] = np.concatenate([arrays[p], arrays[p] + np.int32(size)])
        arrays["value"] = np.concatenate([half, -half])
        root = arrays["root"]
        arrays["root"] = np.concatenate([root, root + np.int32(size)])
        second, first = np.full(len(root), known[1]), np.full(len(root), known[0])
        arrays["output"] = np.concatenate([second, first]).astype(np.int32)
        base[known[1]] = 0.5 * arrays["baseline"][0]
        base[known[0]] = -base[known[1]]
    else:
        base[known] = arrays["baseline"]
        arrays["output"] = known[arrays["output"]].astype(np.int32)
    arrays["baseline"] = base
    return arrays
