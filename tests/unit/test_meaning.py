"""Probes find what is there, nothing where nothing is, and never see a held-out object."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from spectrarium.domain.errors import UsageError
from spectrarium.evaluate.bootstrap import Measured, interval
from spectrarium.explore.meaning import _scores, holm, probe, skill, target_of
from spectrarium.explore.probes import PROBES, Predicted, felt, object_folds, object_shuffles

N = 600


@pytest.fixture(scope="module")
def world():
    """Vectors of which latent 3 is Teff; objects seen once to five times, quantities alike."""
    rng = np.random.default_rng(4)
    objects = rng.integers(0, 350, N)
    of_object = rng.standard_normal((350, 6))
    vectors = of_object[objects] + 0.02 * rng.standard_normal((N, 6))
    return vectors, objects, 5500 + 900 * of_object[objects, 3]


def test_a_planted_quantity_is_read_off_and_others_are_not(world):
    vectors, objects, teff = world
    found = probe(vectors, teff, objects)
    assert found.metric == "R²"
    assert found.score > 0.99
    assert found.interval[0] <= found.score <= found.interval[1]
    assert found.null_p == pytest.approx(1 / 500)
    without = np.delete(vectors, 3, axis=1)
    nothing = probe(without, teff, objects)
    assert nothing.score < 0.05
    assert nothing.null_p > 0.01
    assert probe(vectors[:, [3]], teff, objects).score > 0.99


@pytest.mark.parametrize("kind", ["ridge", "knn"])
def test_classes_are_told_apart_up_to_chance(world, kind):
    vectors, objects, teff = world
    classes = np.array(["M", "K", "G"], object)[np.digitize(teff, [5000, 6000])]
    found = probe(vectors * [1, 1, 1, 4, 1, 1], classes, objects, kind)
    assert found.metric == "balanced accuracy"
    assert found.chance == pytest.approx(1 / 3)
    assert found.score > 0.85
    assert found.r2 == pytest.approx((found.score - 1 / 3) / (2 / 3))
    shuffled = classes[object_shuffles(objects, 1, 9)[0]]
    assert abs(probe(vectors, shuffled, objects, kind).score - 1 / 3) < 0.08


def test_trees_find_what_is_not_linear(world):
    vectors, objects, _ = world
    target = np.sign(vectors[:, 0]) * np.sign(vectors[:, 1])
    assert probe(vectors, target, objects).score < 0.1
    assert probe(vectors, target, objects, "boost", permutations=3).score > 0.7


def test_the_same_seed_gives_the_same_answer(world):
    vectors, objects, teff = world
    noisy = teff + 900 * np.random.default_rng(0).standard_normal(N)
    assert probe(vectors, noisy, objects, seed=3) == probe(vectors, noisy, objects, seed=3)
    assert probe(vectors, noisy, objects, seed=3) != probe(vectors, noisy, objects, seed=4)


def test_folds_never_part_an_object():
    rng = np.random.default_rng(0)
    objects = rng.zipf(1.6, 3000) % 400
    folds = object_folds(objects, 5, 1)
    assert all(len(set(folds[objects == o])) == 1 for o in np.unique(objects))
    share = np.bincount(folds) / folds.size
    biggest = np.bincount(objects).max() / objects.size
    assert share.max() <= max(0.3, biggest)
    assert set(folds) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("kind", ["ridge", "knn"])
def test_repeat_visits_do_not_leak(kind):
    """A quantity that only says which object it is cannot be known for an object never seen.

    With folds by spectrum the same probe would find it: that is asserted too.
    """
    rng = np.random.default_rng(2)
    objects = np.repeat(np.arange(60), 10)
    vectors = rng.standard_normal((60, 40))[objects] + 0.05 * rng.standard_normal((600, 40))
    own = rng.standard_normal(60)[objects]
    honest = probe(vectors, own, objects, kind)
    assert honest.score < 0.15
    assert honest.null_p > 0.01
    assert probe(vectors, own, np.arange(600), kind).score > 0.5


@pytest.mark.parametrize("repeats", [1, 4])
def test_the_null_is_uniform(repeats):
    """p of a quantity unrelated to the vectors is uniform, with repeat visits as without."""
    n = 40
    objects = np.repeat(np.arange(n), repeats)
    p = []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        noise = 0.1 * rng.standard_normal((objects.size, 3))
        vectors = rng.standard_normal((n, 3))[objects] + noise
        target = rng.standard_normal(n)[objects]
        found = probe(vectors, target, objects, seed=seed, permutations=99, resamples=1)
        p.append(found.null_p)
    assert kstest(p, "uniform").pvalue > 0.005
    assert np.mean(np.array(p) <= 0.1) < 0.2


def test_shuffles_keep_objects_whole():
    objects = np.array([7, 7, 7, 1, 1, 4, 9, 9])
    for draw in object_shuffles(objects, 50, 3):
        donors = [set(objects[draw[objects == o]]) for o in (7, 1, 4, 9)]
        assert all(len(d) == 1 for d in donors)
        assert len(set.union(*donors)) == 4
        assert len(set(draw[objects == 1])) == min(2, np.sum(objects == donors[1].pop()))


@pytest.mark.parametrize("kind", ["ridge", "knn"])
def test_parts_of_a_score_are_by_spectrum_and_mean_it(world, kind):
    vectors, objects, teff = world
    target = np.where(np.arange(N) % 7 == 0, np.nan, teff)
    rows, parts = skill(vectors, target, objects, kind)
    np.testing.assert_array_equal(rows, np.flatnonzero(np.isfinite(target)))
    whole = probe(vectors, target, objects, kind, permutations=0, resamples=2000)
    assert parts.mean() == pytest.approx(whole.score, abs=1e-12)
    found = interval([Measured(parts, objects[rows], rows)])  # as wide as that of R² itself
    width = whole.interval[1] - whole.interval[0]
    assert found.low == pytest.approx(whole.interval[0], abs=0.2 * width)
    assert found.high == pytest.approx(whole.interval[1], abs=0.2 * width)


def test_intervals_are_wider_with_fewer_objects(world):
    vectors, objects, teff = world
    noisy = teff + 900 * np.random.default_rng(0).standard_normal(N)
    many = probe(vectors, noisy, np.arange(N)).interval
    few = probe(vectors, noisy, objects % 30).interval
    assert few[1] - few[0] > many[1] - many[0]


@pytest.mark.parametrize(
    ("target", "code"),
    [
        (np.full(N, 3.0), "constant"), (np.full(N, np.nan), "too_few_spectra"),
        (np.where(np.arange(N) < 10, 1.0, np.nan) * np.arange(N), "too_few_spectra"),
        (np.array(["STAR"] * N), "constant"), ([None] * N, "too_few_spectra"),
        (np.array(["STAR"] * (N - 3) + ["QSO"] * 3), "too_few_spectra"),
        (np.arange(N - 1.0), "mismatched_lengths"),
    ],
)  # fmt: skip
def test_what_cannot_be_probed_says_why(world, target, code):
    vectors, objects, _ = world
    with pytest.raises(UsageError) as error:
        probe(vectors, target, objects)
    assert error.value.code == code


def test_senseless_vectors_and_probes_are_refused(world):
    vectors, objects, teff = world
    with pytest.raises(UsageError, match="ridge, knn, boost"):
        probe(vectors, teff, objects, "oracle")
    with pytest.raises(UsageError) as error:
        probe(np.where(vectors > 2, np.nan, vectors), teff, objects)
    assert error.value.code == "bad_vectors"


def test_a_constant_latent_does_no_harm(world):
    vectors, objects, teff = world
    assert probe(np.hstack([vectors, np.ones((N, 1))]), teff, objects).score > 0.99
    assert probe(np.ones((N, 2)), teff, objects).score == pytest.approx(0.0, abs=1e-9)


def test_missing_values_and_rare_classes_are_left_out_and_counted(world):
    vectors, objects, teff = world
    holes = np.where(np.arange(N) % 3 == 0, np.nan, teff)
    found = probe(vectors, holes, objects)
    assert found.n == np.isfinite(holes).sum()
    assert str(N - found.n) in found.note
    classes = np.where(teff > 5500, "hot", "cool").astype(object)
    classes[:2] = "odd"
    wanted = target_of(classes, objects)
    assert wanted.classes == ("cool", "hot")
    assert "1 rare" in wanted.note


def test_holm():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, np.nan]), [0.03, 0.06, 0.06, np.nan])


def test_every_probe_is_known():
    assert set(PROBES) == {"ridge", "knn", "boost"}


def test_probes_are_shown_what_distances_feel():
    rng = np.random.default_rng(0)
    space = rng.standard_normal((500, 4)) * [3.0, 1.0, 1e-3, 1e-3]
    space[:3, 3] = 5.0  # three odd ones do not make an axis felt
    assert felt(space).shape == (500, 2)
    assert np.array_equal(felt(space), space[:, :2])


@pytest.mark.filterwarnings("error")
def test_a_class_that_no_object_was_dealt_leaves_the_others_to_be_judged():
    """Fibres: a class of few spectra may vanish where objects have each other's targets."""
    rng = np.random.default_rng(12)
    objects = np.repeat(np.arange(60), np.where(np.arange(60) < 30, 1, 12))
    names = np.where(objects < 30, "one", np.where(objects < 45, "two", "three"))
    found = probe(rng.standard_normal((len(objects), 3)), names, objects, permutations=99)
    assert np.isfinite(found.null).all()
    assert np.isfinite(found.null_p)
    truth = np.zeros((4, 2, 3))
    truth[:, 0] = np.eye(3)[[0, 1, 1, 0]]  # the first version has none of the last class
    truth[:, 1] = np.eye(3)[[0, 1, 2, 2]]
    guess = np.repeat(np.eye(3)[[0, 1, 0, 2]][:, None], 2, axis=1)
    score = _scores(Predicted(guess, np.zeros_like(guess)), truth)
    np.testing.assert_allclose(score, [(0.5 + 0.5) / 2, (1 + 1 + 0.5) / 3])
