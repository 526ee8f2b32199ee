"""Directions that something moves points in come last; the rest does not tell of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectrarium.embed.apart import turned_apart


def r2(features: np.ndarray, target: np.ndarray) -> float:
    """Of the half that a linear fit to the other half did not see."""
    design, n = np.c_[np.ones(len(features)), features], len(features) // 2
    weights = np.linalg.lstsq(design[:n], target[:n], rcond=None)[0]
    return float(1 - (target[n:] - design[n:] @ weights).var() / target[n:].var())


@given(st.integers(6, 20), st.integers(0, 3), st.integers(0, 2), st.integers(0, 5))
def test_turned_there_and_back_is_the_same(dim, first, second, seed):
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((200, dim)) * rng.uniform(0.01, 10.0, dim)
    one, other = rng.standard_normal((2, 50, dim))
    moved = [(one + 1.0, first), (other, second)]
    turn = turned_apart(points, moved)
    assert turn.shape == (dim, dim)
    back = (points @ turn) @ np.linalg.inv(turn)
    assert np.abs(back - points).max() < 1e-6 * np.abs(points).max()
    kept = (points - points.mean(axis=0)) @ turn[:, : dim - first - second]
    spread = kept.var(axis=0)
    assert (np.diff(spread) <= 1e-9 * spread[0]).all(), "principal axes, the largest first"
    between = np.cov(kept.T) - np.diag(kept.var(axis=0, ddof=1))
    assert np.abs(between).max() < 1e-6 * spread[0]


def test_what_moves_points_is_read_off_the_last_axes_only():
    rng = np.random.default_rng(1)
    n, dim = 4000, 12
    mixing = rng.standard_normal((dim, dim))
    kind = rng.standard_normal((n, dim)) @ mixing
    along = rng.standard_normal(dim) @ mixing
    velocity = rng.standard_normal(n)
    seen = kind + 0.5 * velocity[:, None] * along
    turn = turned_apart(kind, [(np.tile(0.5 * along, (100, 1)), 1)])
    turned = seen @ turn
    assert r2(seen, velocity) > 0.15
    assert r2(turned[:, :-1], velocity) < 0.01
    assert r2(turned, velocity) == pytest.approx(r2(seen, velocity), abs=1e-6)


def test_what_moves_kinds_differently_takes_more_axes():
    rng = np.random.default_rng(2)
    n, dim = 6000, 12
    kind = rng.integers(0, 3, n)
    points = np.eye(dim)[kind] * 4 + rng.standard_normal((n, dim))
    ways = np.linalg.qr(rng.standard_normal((dim, 3)))[0].T
    velocity = rng.standard_normal(n)
    seen = points + 2.0 * velocity[:, None] * ways[kind]
    left = [
        max(r2((seen @ turned_apart(points, [(ways[kind], k)]))[kind == c, : dim - k],
               velocity[kind == c]) for c in range(3))
        for k in (1, 3)
    ]  # fmt: skip
    assert left[0] > 0.3
    assert left[1] < 0.02


def test_nothing_moves_and_no_axes_are_wanted():
    points = np.random.default_rng(3).standard_normal((50, 5))
    assert np.isfinite(turned_apart(points, [(np.zeros((10, 5)), 2)])).all()
    turn = turned_apart(points, [(points, 0)])
    assert np.abs(turn.T @ turn - np.eye(5)).max() < 1e-9, "a rotation, and no more"
