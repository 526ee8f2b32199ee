"""Directions that something moves points in come last; the rest does not tell of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectrarium.embed.apart import changes_nearby, turned_apart


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


def kinds_and_values(rng: np.random.Generator, n: int = 1200, dim: int = 12):
    """Points of a few kinds far apart, whose values go with the kind and with one direction."""
    kind = rng.integers(0, 4, n)
    centres = 8.0 * rng.standard_normal((4, dim))
    along = np.linalg.qr(rng.standard_normal((dim, 1)))[0][:, 0]
    value = rng.standard_normal(n)
    points = centres[kind] + rng.standard_normal((n, dim)) + 2.0 * value[:, None] * along
    return points, value + 1.5 * kind, kind, along


def test_what_goes_with_values_among_like_points_is_found_and_not_what_goes_with_kinds():
    points, values, kind, along = kinds_and_values(np.random.default_rng(4))
    changes = changes_nearby(points, values, np.arange(len(points)))
    found = changes.mean(axis=0)
    assert abs(found @ along) > 0.9 * np.linalg.norm(found)
    rest = points @ turned_apart(points, [(changes, 1)])[:, :-1]
    told, left = ([r2(x[kind == one], values[kind == one]) for one in range(4)]
                  for x in (points, rest))  # fmt: skip
    assert min(told) > 0.4
    assert max(left) < 0.2
    assert np.mean(left) < 0.05
    assert r2(rest, values) > 0.5, "kinds are still told, and with them what their values are"


def test_neighbours_are_the_same_block_by_block(monkeypatch):
    points, values, *_ = kinds_and_values(np.random.default_rng(5), 300)
    objects = np.arange(300) // 2
    whole = changes_nearby(points, values, objects)
    monkeypatch.setattr("spectrarium.embed.apart._BLOCK", 7)
    np.testing.assert_allclose(changes_nearby(points, values, objects), whole, atol=1e-9)


def test_one_wild_value_rules_nothing():
    points, values, *_ = kinds_and_values(np.random.default_rng(6))
    values[0] = 1e6
    found = changes_nearby(points, values, np.arange(len(points)))
    assert np.isfinite(found).all()
    assert np.abs(found[0]).max() < 4 * np.abs(found).max(axis=1).mean() * len(points) ** 0.5


@pytest.mark.parametrize("n", [1, 2, 5])
def test_fewer_points_than_neighbours(n):
    points = np.arange(3.0 * n).reshape(n, 3) ** 2
    found = changes_nearby(points, np.arange(n, dtype=float), np.arange(n))
    assert found.shape == (n, 3)
    assert np.isfinite(found).all()


def test_equal_values_differ_nowhere():
    points = np.random.default_rng(7).standard_normal((50, 4))
    assert not changes_nearby(points, np.ones(50), np.arange(50)).any()


def test_visits_of_an_object_are_no_neighbours_of_each_other():
    """Else the chance of which visit was deep would be all that is compared."""
    rng = np.random.default_rng(8)
    points, values, _, along = kinds_and_values(rng, 600)
    objects = np.repeat(np.arange(600), 12)
    seen = np.repeat(points, 12, axis=0) + 0.01 * rng.standard_normal((7200, 12))
    depth = np.repeat(values, 12)
    found = changes_nearby(seen, depth, objects).mean(axis=0)
    assert abs(found @ along) > 0.8 * np.linalg.norm(found) > 0.1
    lonely = changes_nearby(seen[:12], rng.standard_normal(12), objects[:12])
    assert not lonely.any(), "one object has nothing to be compared with"


def test_an_object_seen_often_does_not_decide_alone():
    rng = np.random.default_rng(11)
    points, values, _, along = kinds_and_values(rng, 600)
    other = np.linalg.qr(np.c_[along, rng.standard_normal(12)])[0][:, 1]
    depth = rng.standard_normal(900)
    lone = points.mean(axis=0) + 40.0 * np.linalg.qr(rng.standard_normal((12, 1)))[0][:, 0]
    seen = np.concatenate([points, lone + 9.0 * depth[:, None] * other])
    told = np.concatenate([values, values.mean() + depth])
    objects = np.concatenate([np.arange(600), np.full(900, 600)])

    def share(found):
        return abs(found.mean(axis=0) @ along) / np.linalg.norm(found.mean(axis=0))

    found = changes_nearby(seen, told, objects)
    assert share(found) > 0.8
    assert share(found * np.bincount(objects)[objects][:, None]) < 0.5, "each visit counted once"


def test_objects_seen_equally_often_count_as_their_visits_do():
    points, values, *_ = kinds_and_values(np.random.default_rng(12), 300)
    objects = np.arange(300) // 3
    found = changes_nearby(points, values, objects)
    assert np.array_equal(np.unique(objects, return_counts=True)[1], np.full(100, 3))
    far = np.linalg.norm(points[:, None] - points[None], axis=2)
    far[objects[:, None] == objects] = np.inf
    near = np.argsort(far, axis=1)[:, :10]
    apart, differs = points - points[near].mean(axis=1), values - values[near].mean(axis=1)
    limit = 3.0 * differs.std()
    np.testing.assert_allclose(found, apart * np.clip(differs, -limit, limit)[:, None], atol=1e-9)


def with_visits(rng: np.random.Generator, effect: float):
    """Points, values, objects: 150 objects seen once to eight times, a value in the points."""
    n = 150
    objects = np.repeat(np.arange(n), rng.integers(1, 9, n))
    kind = rng.integers(0, 3, n)[objects]
    own = 6.0 * rng.standard_normal((3, 10))[kind] + rng.standard_normal((n, 10))[objects]
    values = rng.standard_normal(n)[objects] + 0.3 * rng.standard_normal(len(objects)) + kind
    along = np.linalg.qr(rng.standard_normal((10, 1)))[0][:, 0]
    points = own + effect * (values - kind)[:, None] * along
    return points + 0.1 * rng.standard_normal(points.shape), values, objects


def test_what_may_be_chance_is_no_direction():
    """As seldom taken for one as said, though visits and neighbours have their chance in common."""
    rng = np.random.default_rng(14)
    taken = {effect: np.mean([changes_nearby(*with_visits(rng, effect), chance=0.05).any()
                              for _ in range(100)]) for effect in (0.0, 1.0)}  # fmt: skip
    assert taken[0.0] <= 0.13  # 5 % of a hundred, beyond 13 of them one time in 1,000
    assert taken[1.0] > 0.7
    points, values, objects = with_visits(rng, 1.0)
    whole = changes_nearby(points, values, objects)
    assert np.array_equal(whole, changes_nearby(points, values, objects, chance=0.05))


def test_faint_axes_are_put_last_where_nothing_moves_again_and_again():
    rng = np.random.default_rng(15)
    points = rng.standard_normal((300, 8)) * np.geomspace(10, 0.1, 8)
    turn = turned_apart(points, [(lambda now, nth: np.zeros((3, 8)), 3)])
    assert np.isfinite(turn).all()
    assert np.linalg.matrix_rank(turn) == 8
    assert np.abs(np.linalg.qr(turn[:, :5])[0][:5]).max() > 0.99
    kept = np.abs(turn[:, :5]).max(axis=1)
    assert kept[:5].min() > 0.9
    assert kept[5:].max() < 0.2, "the three faintest"


def test_a_function_is_asked_anew_for_each_direction_about_what_is_left():
    points, values, *_ = kinds_and_values(np.random.default_rng(9))
    second = np.linalg.qr(np.random.default_rng(10).standard_normal((12, 1)))[0][:, 0]
    points = points + 1.5 * (values**2 - (values**2).mean())[:, None] * second
    asked = []

    def changes(now, nth):
        assert nth == len(asked)
        asked.append(now)
        return changes_nearby(now, values, np.arange(len(now)))

    turn = turned_apart(points, [(changes, 3)])
    assert len(asked) == 3
    np.testing.assert_allclose(asked[0], points)
    for k in (1, 2):  # what is found is gone from what is asked about next
        told = (points - points.mean(axis=0)) @ turn[:, -3 : -3 + k]
        left = asked[k] - asked[k].mean(axis=0)
        assert np.abs(left.T @ told).max() < 1e-6 * np.abs(points.T @ told).max()
    once = turned_apart(points, [(changes_nearby(points, values, np.arange(len(points))), 1)])
    np.testing.assert_allclose(np.abs(turn[:, -3] @ once[:, -1]), once[:, -1] @ once[:, -1])
