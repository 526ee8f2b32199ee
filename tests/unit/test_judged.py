"""Ranks that learn: what is like the judged moves with it, nothing else does."""

from __future__ import annotations

import numpy as np
import pytest

from spectrarium.run.judged import STRENGTH, Looks, likeness, reranked, stretches


def looks(seed: int = 0, n: int = 90) -> tuple[Looks, np.ndarray]:
    """Three kinds: apart in the embedding, and departing at stretches of their own."""
    rng = np.random.default_rng(seed)
    kind = rng.permutation(np.arange(n) % 3)
    centres = np.array([[0.0, 0.0], [40.0, 0.0], [0.0, 40.0]])
    vectors = centres[kind] + rng.normal(size=(n, 2))
    shares = rng.uniform(0.0, 0.3, (n, 48))
    for i, k in enumerate(kind):
        shares[i, 16 * k : 16 * k + 6] += 3.0
    shares /= shares.sum(axis=1, keepdims=True)
    return Looks(list(vectors), shares, np.zeros(n, np.int64)), kind


def mean_rank(order: np.ndarray, which: np.ndarray) -> float:
    place = np.empty(len(order))
    place[order] = np.arange(len(order))
    return float(place[which].mean())


def test_likeness_is_high_within_a_kind_and_low_between() -> None:
    these, kind = looks()
    found = likeness(these, np.array([0, 1, 2]))
    assert found.shape == (90, 3)
    assert (found >= 0).all()
    assert (found <= 1).all()
    for j in range(3):
        same = kind == kind[j]
        assert np.median(found[same, j]) > 5 * np.median(found[~same, j])
        assert found[j, j] == 1.0


@pytest.mark.parametrize("verdict", ["artefact", "known"])
def test_like_artefacts_sink(verdict: str) -> None:
    these, kind = looks()
    bad = np.flatnonzero(kind == 1)
    order = reranked(these, {int(i): verdict for i in bad[:3]})
    assert sorted(order.tolist()) == list(range(90))
    assert mean_rank(order, bad) > 70
    others = np.array([i for i in order.tolist() if kind[i] != 1])
    assert np.abs(np.argsort(others) - np.arange(len(others))).max() <= 5  # all but as before


def test_like_the_interesting_rise() -> None:
    these, kind = looks()
    good = np.flatnonzero(kind == 2)
    order = reranked(these, {int(good[-1]): "interesting"})
    assert mean_rank(order, good) < 25


def test_verdicts_against_each_other_move_little() -> None:
    these, kind = looks()
    two = np.flatnonzero(kind == 0)[:2]
    order = reranked(these, {int(two[0]): "interesting", int(two[1]): "artefact"})
    moved = np.abs(np.argsort(order) - np.arange(90))
    rest = np.setdiff1d(np.arange(90), two)
    assert np.median(moved[rest]) <= 6


def test_no_verdict_no_change_and_unknown_ones_do_not_count() -> None:
    these, _ = looks()
    assert reranked(these, {}).tolist() == list(range(90))
    assert reranked(these, {3: "lovely", 400: "artefact"}).tolist() == list(range(90))


def test_other_models_are_never_alike() -> None:
    these, _ = looks()
    model = np.arange(90) % 2
    mixed = Looks(these.vectors, these.departs, model)
    found = likeness(mixed, np.array([0]))
    assert (found[model == 1] == 0).all()
    assert (found[model == 0] > 0).any()


def test_a_judged_object_moves_by_the_strength() -> None:
    these, _ = looks()
    alone = Looks(these.vectors, these.departs, np.arange(90))  # nothing is like anything
    place = np.argsort(reranked(alone, {89: "interesting", 0: "artefact"}))
    assert place[89] == pytest.approx(90 / STRENGTH - 1, abs=1.5)
    assert place[0] == pytest.approx(STRENGTH - 1, abs=1.5)


def test_stretches_are_shares_of_what_noise_does_not_explain() -> None:
    squares = np.ones((3, 960))
    squares[0, 100:120] = 50.0
    squares[1, :] = 0.5
    squares[2, 5] = 1e12  # a cosmic ray counts as 30 σ
    squares[2, 500:520] = 400.0
    found = stretches(squares)
    assert found[0].sum() == pytest.approx(1.0)
    assert found[0, 5] == pytest.approx(1.0)
    assert (found[1] == 0).all()
    assert found[2, 0] < 0.2
