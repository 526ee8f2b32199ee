"""Conformal counting: exact small cases, objects that count once, bins that are never too poor."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectrarium.domain.errors import UsageError
from spectrarium.explore.conformal import (
    binomial_interval,
    binomial_p,
    by_group,
    conformal_quantile,
    draws,
    holm,
    interval_scores,
    make_bins,
    object_weights,
    set_scores,
)
from spectrarium.explore.tag_design import Scale, quantile_levels, wants_log
from spectrarium.explore.tag_guard import Features, nearest
from spectrarium.explore.tagging import CALIBRATE, ROTATIONS, TEST, checked_labels, split


def test_the_quantile_is_the_textbooks_for_single_spectra():
    scores = np.arange(1.0, 10.0)  # nine: 90 % of ten is the ninth
    own = np.arange(9)
    assert conformal_quantile(scores, own, 0.9) == pytest.approx(9)
    assert conformal_quantile(scores, own, 0.5) == pytest.approx(5)
    assert conformal_quantile(scores, own, 0.85) == pytest.approx(8.5), "between two neighbours"
    assert conformal_quantile(scores, own, 0.95) == np.inf  # nine cannot promise 95 %
    assert conformal_quantile(np.empty(0), np.empty(0), 0.5) == np.inf


def test_an_object_observed_a_thousand_times_counts_once():
    scores = np.concatenate([np.arange(1.0, 20.0), np.full(1000, 100.0)])
    objects = np.concatenate([np.arange(19), np.full(1000, 99)])
    assert conformal_quantile(scores, objects, 0.9) == pytest.approx(18.9)  # of twenty, not 1019
    assert conformal_quantile(scores, np.arange(1019), 0.9) == 100


@given(st.integers(1, 60), st.floats(0.05, 0.99), st.integers(0, 5))
def test_within_one_of_what_is_promised(n, level, seed):
    """Leaving each out in turn, the share at or below the rest's quantile is the level, but for
    the one object that a finite number cannot divide."""
    scores = np.random.default_rng(seed).standard_normal(n + 1)
    hits = [scores[i] <= conformal_quantile(np.delete(scores, i), np.arange(n), level)
            for i in range(n + 1)]  # fmt: skip
    if level * (n + 1) <= n:
        assert abs(np.mean(hits) - level) <= 1 / (n + 1) + 1e-9
    else:
        assert all(hits), "too few to promise the level: nothing is left outside"


@pytest.mark.parametrize(("n", "level"), [(52, 0.95), (57, 0.68), (23, 0.9), (31, 0.5)])
def test_on_average_it_holds_what_it_says_and_no_more(n, level):
    """Of evenly spread scores the share below q is q itself."""
    rng = np.random.default_rng(0)
    q = [conformal_quantile(rng.random(n), np.arange(n), level) for _ in range(4000)]
    assert np.mean(q) == pytest.approx(level, abs=4 * np.std(q) / 4000**0.5)


def test_weights_add_up_to_objects():
    assert object_weights(np.array([7, 7, 7, 2])).tolist() == pytest.approx([1 / 3] * 3 + [1])


@given(st.integers(60, 900), st.integers(1, 3), st.integers(0, 4))
def test_bins_hold_fifty_objects_or_there_is_one(n, repeats, seed):
    rng = np.random.default_rng(seed)
    objects = np.arange(n) // repeats
    snr, value = np.round(10 ** rng.uniform(0, 2, n)), rng.standard_normal(n)
    bins = make_bins(snr, value, objects)
    group = bins.group(snr, value)
    counts = [len(np.unique(objects[group == g])) for g in range(len(bins))]
    assert group.min() >= 0
    assert group.max() < len(bins)
    assert min(counts) >= 50 or len(bins) == 1
    assert make_bins(snr, np.zeros(n), objects).value_edges[0].size == 0  # ties are not parted


def test_a_group_too_poor_for_its_level_uses_all():
    scores, objects = np.arange(100.0), np.arange(100)
    group = (objects >= 95).astype(np.int64)
    found = by_group(scores, objects, group, 2, 0.9)
    assert found[1] == conformal_quantile(scores, objects, 0.9)
    assert found[0] == conformal_quantile(scores[:95], objects[:95], 0.9)


def test_interval_scores_are_negative_inside():
    found = interval_scores(np.array([1.0, 1.0, 1.0]), np.array([3.0, 3.0, 3.0]),
                            np.array([2.0, 3.5, 0.0]))  # fmt: skip
    assert found.tolist() == [-1.0, 0.5, 1.0]


def test_set_scores_add_up_from_the_likeliest():
    p = np.array([[0.1, 0.6, 0.3]])
    np.testing.assert_allclose(set_scores(p, np.array([1.0])), [[1.0, 0.6, 0.9]])
    np.testing.assert_allclose(set_scores(p, np.array([0.5])), [[0.95, 0.3, 0.75]])
    np.testing.assert_allclose(set_scores(p, np.array([1.0]), 0.1), [[1.2, 0.6, 1.0]])


def test_draws_are_even_and_a_spectrums_own():
    vectors = np.random.default_rng(1).standard_normal((5000, 6)).astype("f4")
    u = draws(vectors, 3)
    assert u.min() >= 0
    assert u.max() < 1
    assert np.abs(np.histogram(u, 10, (0, 1))[0] - 500).max() < 100
    np.testing.assert_array_equal(draws(vectors[100:200], 3), u[100:200])
    assert not np.array_equal(draws(vectors, 4), u)


def test_binomial_interval_is_clopper_and_pearsons():
    assert binomial_interval(0, 10) == pytest.approx((0, 0.30850), abs=1e-5)
    assert binomial_interval(5, 10) == pytest.approx((0.18709, 0.81291), abs=1e-5)
    assert binomial_interval(10, 10)[1] == 1
    assert binomial_interval(0, 0) == (0, 1)
    assert binomial_interval(45, 50) == pytest.approx((0.7819, 0.9667), abs=1e-4)
    assert binomial_p(5, 10, 0.5) == 1
    assert binomial_p(0, 10, 0.5) == pytest.approx(2 / 1024)


def test_holm_stops_at_the_first_that_stands():
    assert holm(np.array([0.04, 0.01, 0.02, 0.005])).tolist() == [True, True, True, True]
    assert holm(np.array([0.04, 0.03, 0.02, 0.013])).tolist() == [False] * 4
    assert holm(np.array([0.2, 0.001])).tolist() == [False, True]


def test_splits_keep_objects_together_and_rotate_through_all():
    objects = np.random.default_rng(1).integers(0, 900, 3000)
    parts = [split(objects, 5, r) for r in range(ROTATIONS)]
    for part in parts:
        assert all(len(set(part[objects == o])) == 1 for o in np.unique(objects)[:200])
    assert np.all(sum(p == TEST for p in parts) == 1)
    assert np.all(sum(p == CALIBRATE for p in parts) == 1)
    share = np.bincount(split(np.arange(20_000)), minlength=4) / 20_000
    np.testing.assert_allclose(share, [0.5, 0.1, 0.2, 0.2], atol=0.01)
    more = split(np.concatenate([objects, objects + 10_000]), 5)
    np.testing.assert_array_equal(more[:3000], parts[0])  # new objects move nobody


@pytest.mark.parametrize(
    ("label", "kind", "code"),
    [
        (np.full(300, 5.0), "number", "constant_label"),
        (np.full(300, np.nan), "number", "too_few_labels"),
        (np.r_[np.arange(99.0), np.full(201, np.nan)], "number", "too_few_labels"),
        (np.array(["A"] * 295 + ["B"] * 5, object), "class", "constant_label"),
        (np.array([None] * 300, object), "class", "too_few_labels"),
        (np.r_[np.full(150, np.inf), np.full(150, -np.inf)], "number", "too_few_labels"),
    ],
)
def test_labels_that_teach_nothing_are_refused(label, kind, code):
    with pytest.raises(UsageError) as caught:
        checked_labels(label, np.arange(300), kind, "x")
    assert caught.value.code == code


def test_rare_classes_are_left_out_and_counted():
    label = np.array(["A"] * 150 + ["B"] * 140 + ["odd"] * 6 + [None] * 4, object)
    found = checked_labels(label, np.arange(300), "class", "x")
    assert found.classes == ("A", "B")
    assert found.ignored == {"class 'odd': only 6 objects": 6, "no label": 4}


def test_a_hundred_spectra_of_few_objects_are_few():
    with pytest.raises(UsageError, match="90 embedded objects"):
        checked_labels(np.arange(900.0), np.arange(900) // 10, "number", "x")


def test_scales_go_there_and_back():
    y = np.array([3500.0, 5000.0, 6000.0, 40000.0, 4800.0])
    assert wants_log(y)
    assert not wants_log(y - 3500.0)
    for log in (True, False):
        scale = Scale.fit(y, log)
        np.testing.assert_allclose(scale.back(scale.forth(y)), y)
    assert np.isnan(Scale.fit(y, True).forth(np.array([-1.0])))[0]


def test_quantile_levels_bound_central_intervals():
    np.testing.assert_allclose(quantile_levels((0.68, 0.9)), [0.05, 0.16, 0.5, 0.84, 0.95])


def test_features_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="do not fit"):
        Features(np.zeros((3, 2)), np.ones(4))
    with pytest.raises(UsageError, match="do not fit"):
        Features(np.zeros(3), np.ones(3))


def test_nearest_is_exact():
    rng = np.random.default_rng(2)
    reference, q = rng.standard_normal((700, 5)).astype("f4"), rng.standard_normal((600, 5))
    at, distance = nearest(reference, q.astype("f4"), 3)
    every = np.linalg.norm(q[:, None].astype("f4") - reference[None], axis=2)
    np.testing.assert_array_equal(at, np.argsort(every, axis=1)[:, :3])
    np.testing.assert_allclose(distance, np.sort(every, axis=1)[:, :3], rtol=1e-5)
