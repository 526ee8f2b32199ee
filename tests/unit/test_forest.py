"""Weirdness by forests: exact against all pairs, the same for any number of threads, stable."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from spectrarium.domain.errors import TransientError, UsageError
from spectrarium.explore import forest
from spectrarium.explore.forest import Forest, ForestSettings, stability, weirdness

SMALL = ForestSettings(trees=25, forests=2, real=300, seed=4, threads=2)


def blob(n=400, d=6, seed=0):
    """Correlated features, and three objects whose features break the correlation."""
    rng = np.random.default_rng(seed)
    t = rng.standard_normal((n, 2))
    x = t @ rng.standard_normal((2, d)) + 0.05 * rng.standard_normal((n, d))
    x[:3, ::2] = -x[:3, ::2]
    x[:3] *= 2.0 / np.abs(x[:3]).max(axis=1, keepdims=True)
    return x.astype(np.float32)


def all_pairs(leaves):
    """W straight from the definition: a similarity for every ordered pair."""
    real = leaves > 0
    n = leaves.shape[1]
    together = np.zeros((n, n))
    for leaf, good in zip(leaves, real, strict=True):
        together += (leaf[:, None] == leaf[None, :]) & good[:, None]
    return 1.0 - together / np.maximum(real.sum(axis=0), 1)[:, None]


def random_leaves(n=120, trees=30, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 9, (trees, n)).astype(np.uint16)


def test_total_w_equals_the_mean_over_all_pairs():
    leaves = random_leaves()
    leaves[:, 5] = 0  # real by no tree
    found = weirdness(iter(leaves))
    assert np.abs(found.total - all_pairs(leaves).mean(axis=1)).max() < 1e-12
    assert found.total[5] == 1.0
    assert found.judged_real[5] == 0
    assert (found.judged_real == (leaves > 0).sum(axis=0)).all()


def test_local_w_equals_the_mean_over_those_pairs(monkeypatch):
    monkeypatch.setattr(forest, "_BLOCK", 7)
    leaves = random_leaves(seed=1)
    rng = np.random.default_rng(2)
    near = np.array([rng.choice(np.delete(np.arange(120), i), 11, False) for i in range(120)])
    near[3, 4:] = -1
    near[9] = -1
    found = weirdness(iter(leaves), {"spectral": near}, threads=2).within["spectral"]
    distance = all_pairs(leaves)
    for i in range(120):
        mine = near[i][near[i] >= 0]
        if len(mine):
            assert abs(found[i] - distance[i, mine].mean()) < 1e-12
    assert np.isnan(found[9])


def test_a_fitted_forest_agrees_with_all_pairs_and_with_itself():
    x = blob()
    grown = Forest.fit(x, SMALL, seed=1)
    leaves = np.array(list(grown.leaves(x)))
    assert leaves.shape == (25, 400)
    found = weirdness(grown.leaves(x))
    assert np.abs(found.total - all_pairs(leaves).mean(axis=1)).max() < 1e-12
    one = Forest.fit(x, dataclasses.replace(SMALL, threads=1), seed=1)
    assert (weirdness(one.leaves(x)).total == found.total).all()
    other = Forest.fit(x, SMALL, seed=2)
    assert (weirdness(other.leaves(x)).total != found.total).any()


def test_what_breaks_a_correlation_is_weird():
    x = blob()
    each = forest.forests(x, {}, SMALL)
    total = np.mean([w.total for w in each], axis=0)
    assert set(np.argsort(-total)[:3].tolist()) == {0, 1, 2}


def test_leaves_that_judge_synthetic_are_zero():
    x = blob()
    grown = Forest.fit(x, SMALL, seed=1)
    rng = np.random.default_rng(1)
    shuffled = np.stack([rng.permutation(c) for c in x.T], axis=1)
    of_real = np.mean([(leaf > 0).mean() for leaf in grown.leaves(x)])
    of_false = np.mean([(leaf > 0).mean() for leaf in grown.leaves(shuffled)])
    assert of_real > 0.85
    assert of_false < 0.5


def test_each_tree_sees_a_subsample():
    x = blob(2000)
    grown = Forest.fit(x, dataclasses.replace(SMALL, trees=3, real=50), seed=0)
    assert [t.n_node_samples[0] for t, _ in grown._trees] == [100, 100, 100]


def test_stability_of_equal_and_of_unrelated_scores():
    rng = np.random.default_rng(0)
    a = rng.random(1000)
    same = stability(np.array([a, a]))
    assert same.rank_correlation == pytest.approx(1.0)
    assert same.overlap == 1.0
    apart = stability(np.array([a, rng.random(1000)]))
    assert abs(apart.rank_correlation) < 0.1
    assert apart.overlap < 0.3
    assert stability(a[None]).overlap == 1.0


def test_the_features_of_largest_variance_lead():
    x = np.random.default_rng(0).standard_normal((50, 5)) * [1, 9, 2, 8, 3]
    assert np.allclose(forest.leading_features(x, 2), x[:, [1, 3]], rtol=1e-6)
    assert forest.leading_features(x, 64).shape == (50, 5)


def test_bad_input_is_refused():
    with pytest.raises(UsageError) as caught:
        Forest.fit(blob()[:10], SMALL, 0)
    assert caught.value.code == "too_few_spectra"
    bad = blob()
    bad[0, 0] = np.nan
    with pytest.raises(UsageError) as caught:
        Forest.fit(bad, SMALL, 0)
    assert caught.value.code == "bad_vectors"
    with pytest.raises(UsageError):
        ForestSettings(trees=0)
    with pytest.raises(UsageError):
        weirdness(iter([]))


def test_a_forest_can_be_cancelled():
    class Stop:
        def start(self, what, total): ...
        def advance(self, steps=1): ...
        def note(self, text): ...
        def cancelled(self):
            return True

    with pytest.raises(TransientError):
        forest.forests(blob(), {}, SMALL, Stop())
