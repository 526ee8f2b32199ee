"""Neighbours are exact, deterministic, of one model only, and explained."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectrarium.domain.derived import Embedding, ModelRef
from spectrarium.domain.errors import UsageError
from spectrarium.explore import neighbours
from spectrarium.explore.explain import despiked, regions, why
from spectrarium.explore.neighbours import ExactIndex

REF = ModelRef("pca/test", "0", "ab" * 32)


def make(vectors, uid=None, scale=None) -> ExactIndex:
    uid = np.arange(len(vectors)) if uid is None else uid
    return ExactIndex(Embedding(REF, np.asarray(vectors, dtype=np.float32), uid), scale)


def brute(vectors, query, k, allowed=None):
    distance = np.linalg.norm(vectors.astype(np.float64) - query.astype(np.float64), axis=1)
    if allowed is not None:
        distance = np.where(allowed, distance, np.inf)
    order = np.lexsort((np.arange(len(vectors)), distance))[:k]
    return order, distance[order]


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 300), d=st.integers(1, 20), k=st.integers(1, 40), q=st.integers(1, 5),
    share=st.sampled_from([0.0, 0.05, 0.6, 1.0]), offset=st.sampled_from([0.0, 1e3]),
    levels=st.sampled_from([3, 10**6]), seed=st.integers(0, 10**6),
)  # fmt: skip
def test_equal_to_brute_force(n, d, k, q, share, offset, levels, seed):
    rng = np.random.default_rng(seed)
    vectors = (offset + rng.integers(0, levels, (n, d)) / levels).astype(np.float32)
    queries = (offset + rng.integers(0, levels, (q, d)) / levels).astype(np.float32)
    allowed = rng.random(n) < share
    found = make(vectors).search(queries, k, allowed=allowed)
    for i in range(q):
        order, distance = brute(vectors, queries[i], k, allowed)
        m = min(k, int(allowed.sum()))
        np.testing.assert_array_equal(found.obs_uid[i, :m], order[:m])
        np.testing.assert_allclose(found.distance[i, :m], distance[:m], rtol=1e-12)
        assert (found.obs_uid[i, m:] == -1).all()
        assert np.isinf(found.distance[i, m:]).all()


def test_many_blocks_and_a_falling_threshold(monkeypatch):
    monkeypatch.setattr(neighbours, "_ROWS", 100)
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((5000, 8)).astype(np.float32)
    vectors = vectors[np.argsort(-np.linalg.norm(vectors, axis=1))]  # the best come last
    found = make(vectors).search(np.zeros((2, 8), dtype=np.float32), 50)
    order, _ = brute(vectors, np.zeros(8), 50)
    np.testing.assert_array_equal(found.obs_uid, np.array([order, order]))


def test_near_duplicates_far_from_the_origin_are_told_apart():
    steps = 2.0 ** -np.arange(8, 14)
    vectors = np.full((6, 64), 1000.0, dtype=np.float32)
    vectors[:, 0] += steps  # |x|² is 6.4e7: float32 sums cannot tell these distances
    found = make(vectors).search(np.full((1, 64), 1000.0, dtype=np.float32), 6)
    np.testing.assert_array_equal(found.obs_uid[0], [5, 4, 3, 2, 1, 0])
    np.testing.assert_allclose(found.distance[0], steps[::-1], rtol=0.1)


def test_ties_go_to_the_lower_id_and_the_query_is_excluded():
    uid = np.array([70, 10, 50, 30])
    index = make(np.ones((4, 3)), uid)
    found = index.search(np.ones((1, 3)), 4, exclude=np.array([50]))
    np.testing.assert_array_equal(found.obs_uid[0], [10, 30, 70, -1])


def test_scale_gives_mahalanobis_distance():
    vectors = np.array([[10.0, 0.0], [0.0, 1.5]])
    scaled = make(vectors, scale=np.array([0.1, 1.0]))
    found = scaled.search(np.zeros((1, 2)), 2)
    np.testing.assert_array_equal(found.obs_uid[0], [0, 1])
    np.testing.assert_allclose(found.distance[0], [1.0, 1.5], rtol=1e-6)
    np.testing.assert_allclose(scaled.vectors(np.array([0, 1])), vectors, rtol=1e-6)


def test_rows_of_ids():
    index = make(np.ones((3, 2)), np.array([9, 4, 6]))
    np.testing.assert_array_equal(index.rows_of(np.array([[4, 9], [6, 6]])), [[1, 0], [2, 2]])
    with pytest.raises(UsageError, match="not in the index"):
        index.rows_of(np.array([5]))


def test_an_empty_index_answers_nothing():
    found = make(np.empty((0, 3))).search(np.zeros((2, 3)), 4)
    assert (found.obs_uid == -1).all()


def test_another_models_query_is_refused():
    index = make(np.ones((4, 3)))
    with pytest.raises(UsageError) as error:
        index.search(np.ones((1, 3)), 1, model=ModelRef("pca/test", "0", "cd" * 32))
    assert error.value.code == "other_model"
    index.search(np.ones((1, 3)), 1, model=REF)


@pytest.mark.parametrize(
    ("vectors", "query", "k"),
    [((4, 3), (1, 2), 1), ((4, 3), (3,), 1), ((4, 3), (1, 3), 0)],
)
def test_senseless_questions_are_refused(vectors, query, k):
    with pytest.raises(UsageError):
        make(np.ones(vectors)).search(np.ones(query), k)


def test_vectors_that_are_not_finite_are_refused():
    with pytest.raises(UsageError):
        make(np.array([[1.0, np.nan]]))
    with pytest.raises(UsageError):
        make(np.ones((2, 2))).search(np.array([[np.inf, 0.0]]), 1)
    with pytest.raises(UsageError):
        Embedding(REF, np.ones((2, 2), dtype=np.float32), np.arange(3))
    with pytest.raises(UsageError):
        Embedding(REF, np.ones((2, 2), dtype=np.float32), np.array([0.5, 1.5]))


WAVE = np.linspace(4000.0, 8000.0, 1000)


def line(centre: float, height: float, width: float = 15.0) -> np.ndarray:
    return height * np.exp(-0.5 * ((WAVE - centre) / width) ** 2)


def test_a_planted_line_is_named_with_its_sign():
    rng = np.random.default_rng(1)
    residual = rng.standard_normal(1000) + line(6563, 12.0) - line(4861, 8.0)
    first, second = regions(WAVE, residual)[:2]
    assert first.lo_aa < 6563 < first.hi_aa
    assert first.sign == 1
    assert second.lo_aa < 4861 < second.hi_aa
    assert second.sign == -1
    assert first.contribution > second.contribution > 0.05
    assert first.hi_aa - first.lo_aa < 120


def test_noise_names_no_region():
    rng = np.random.default_rng(2)
    named = sum(bool(regions(WAVE, rng.standard_normal(1000))) for _ in range(300))
    assert named <= 15  # about 1 in 100 by chance


def test_regions_do_not_overlap_and_shares_add_to_at_most_one():
    rng = np.random.default_rng(3)
    residual = 5 * np.sin(WAVE / 150) + rng.standard_normal(1000)
    found = sorted(regions(WAVE, residual, most=5))
    assert len(found) == 5
    assert all(a.hi_aa < b.lo_aa for a, b in pairwise(found))
    assert sum(r.contribution for r in found) <= 1 + 1e-9


def test_a_strong_narrow_line_comes_before_weak_broad_bands():
    rng = np.random.default_rng(6)
    bands = 4 * np.sin(WAVE / 120) ** 2 * (WAVE > 5200)
    residual = rng.standard_normal(1000) + bands + line(4861, 150.0, 5.0)
    assert regions(WAVE, residual)[0].lo_aa < 4861 < regions(WAVE, residual)[0].hi_aa < 4950


def test_a_hot_pixel_names_no_region():
    rng = np.random.default_rng(7)
    residual = rng.standard_normal((2, 1000))
    residual[:, 400] = 1e4
    assert regions(WAVE, despiked(residual)[0]) == ()
    wide = despiked(line(6563, 50.0, 12.0))  # but a resolved line keeps its height
    np.testing.assert_allclose(wide, line(6563, 50.0, 12.0), rtol=1e-6, atol=1e-9)


def test_nothing_to_explain():
    assert regions(WAVE, np.zeros(1000)) == ()


def test_why_two_spectra_are_alike_and_differ():
    rng = np.random.default_rng(4)
    sigma = 0.05
    mean = np.ones(1000)
    one = mean + line(5000, 0.8) + line(6563, 1.0) + sigma * rng.standard_normal(1000)
    two = mean + line(5000, 0.8) + line(7000, -0.6) + sigma * rng.standard_normal(1000)
    ivar = np.full(1000, sigma**-2)
    ivar[:100] = 0.0
    reason = why(WAVE, one, ivar, two, ivar, mean)
    assert reason.alike[0].lo_aa < 5000 < reason.alike[0].hi_aa
    assert {round(0.5 * (r.lo_aa + r.hi_aa), -2) for r in reason.differs} == {6600.0, 7000.0}
    assert all(r.sign == 1 for r in reason.differs)
    assert reason.chi2 > 2
    assert all(r.lo_aa >= WAVE[100] for r in (*reason.alike, *reason.differs))


def test_why_needs_common_pixels_and_one_grid():
    ivar = np.zeros(1000)
    assert why(WAVE, WAVE, ivar, WAVE, ivar, WAVE).differs == ()
    with pytest.raises(UsageError):
        why(WAVE, WAVE, ivar, WAVE[1:], ivar[1:], WAVE)
