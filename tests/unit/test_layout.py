"""Maps keep what they say they keep, place new points where they belong, refuse what makes none."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import faiss
import numpy as np
import pytest
from required import need
from scipy.sparse import coo_matrix
from sklearn.manifold import trustworthiness

from spectrarium.domain.errors import UsageError
from spectrarium.explore import forces
from spectrarium.explore import graph as graph_module
from spectrarium.explore.graph import neighbour_graph
from spectrarium.explore.layout import (
    METHODS,
    far_from_all,
    kept_share,
    layout,
    place,
    placement,
    quality,
)
from spectrarium.plot.map import Colour, map_figure


def clusters(n: int, d: int = 8, k: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors in k well-parted clusters, and which."""
    rng = np.random.default_rng(seed)
    which = rng.integers(0, k, n)
    centre = 8.0 * rng.standard_normal((k, d))
    return (centre[which] + rng.standard_normal((n, d))).astype(np.float32), which


@pytest.fixture(scope="module")
def world():
    return clusters(400)


@pytest.fixture(scope="module")
def umap(world):
    return layout(world[0], "umap", seed=3)


# quality --------------------------------------------------------------------------------------


def test_trustworthiness_is_sklearns(world):
    vectors, _ = world
    xy = vectors[:, :2]
    found = quality(vectors, xy, k=12)
    assert found.trustworthiness == pytest.approx(trustworthiness(vectors, xy, n_neighbors=12))
    assert found.continuity == pytest.approx(trustworthiness(xy, vectors, n_neighbors=12))
    assert (found.k, found.sample) == (12, 400)


def test_a_perfect_map_and_a_random_one():
    plane = np.random.default_rng(1).standard_normal((300, 2))
    same = quality(plane, 5.0 * plane[:, ::-1] - 3.0)
    assert (same.trustworthiness, same.continuity, same.kept_10) == (1.0, 1.0, 1.0)
    chance = quality(plane, np.random.default_rng(2).standard_normal((300, 2)))
    assert chance.trustworthiness == pytest.approx(0.5, abs=0.05)
    assert chance.continuity == pytest.approx(0.5, abs=0.05)
    assert chance.kept_10 == pytest.approx(10 / 299, abs=0.02)


def test_a_torn_neighbourhood_costs_continuity_and_a_false_one_trust():
    line = np.linspace(0, 1, 200)[:, None] * np.ones(2)
    torn = line.copy()
    torn[100:] += 5.0  # neighbours at the cut are parted
    folded = np.column_stack([np.abs(line[:, 0] - 0.5), np.zeros(200)])  # strangers meet
    assert quality(line, folded).trustworthiness < quality(line, torn).trustworthiness
    assert quality(line, folded).trustworthiness < quality(line, folded).continuity


def test_of_many_points_a_stated_sample_is_ranked(world):
    vectors, _ = world
    found = quality(vectors, vectors[:, :2], sample=100)
    assert found.sample == 100
    whole = quality(vectors, vectors[:, :2], k=60)
    assert found.trustworthiness == pytest.approx(whole.trustworthiness, abs=0.05)


def test_equal_points_are_kept_by_a_map_that_keeps_them_equal():
    plane = np.repeat(np.random.default_rng(1).standard_normal((100, 2)), 5, axis=0)
    same = quality(plane, 2.0 * plane, k=7)  # the seventh is any of five at one distance
    assert (same.trustworthiness, same.continuity) == (1.0, 1.0)


# methods --------------------------------------------------------------------------------------


def test_pca_is_the_plane_of_largest_variance():
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    x = (rng.standard_normal((500, 6)) * [9, 4, 1, 0.5, 0.2, 0.1]) @ turn
    found = layout(x, "pca")
    assert found.xy.std(axis=0) == pytest.approx([9, 4], rel=0.1)
    assert abs(np.corrcoef(found.xy.T)[0, 1]) < 1e-4
    assert found.settings["variance_share"][0] > 0.75
    assert "%" in found.axes[0]
    np.testing.assert_array_equal(found.xy, layout(x, "pca", seed=9).xy)


def test_umap_keeps_clusters_and_repeats_itself(world, umap):
    vectors, which = world
    assert umap.quality.trustworthiness > 0.9
    assert umap.settings["neighbours"] == "exact"
    near = place(umap.xy, umap.xy, np.column_stack([which, which]).astype(float), k=1)[:, 0]
    assert np.mean(near == which) == 1.0
    nearest = np.argsort(((umap.xy[:, None] - umap.xy[None]) ** 2).sum(2), axis=1)[:, 1]
    assert np.mean(which[nearest] == which) > 0.99
    np.testing.assert_array_equal(umap.xy, layout(vectors, "umap", seed=3).xy)
    assert not np.array_equal(umap.xy, layout(vectors, "umap", seed=4).xy)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Graph is not fully connected")
def test_umap_keeps_what_umap_learn_keeps():
    from umap import UMAP

    vectors, _ = clusters(1500, 16, 12)
    with pytest.warns(UserWarning, match="n_jobs"):
        theirs = quality(vectors, UMAP(random_state=0).fit_transform(vectors))
    ours = layout(vectors, "umap").quality
    assert ours.trustworthiness > theirs.trustworthiness - 0.005
    assert ours.continuity > theirs.continuity - 0.005
    assert ours.kept_10 > 0.95 * theirs.kept_10


def test_vectors_on_a_line_and_equal_ones_are_laid_out():
    line = np.repeat(np.linspace(0, 1, 60), 2)[:, None] * np.ones((1, 3))
    found = layout(line, "umap")
    assert np.ptp(found.xy, axis=0).min() > 0.1
    assert found.quality.trustworthiness > 0.9


def test_forces_in_the_tables_are_umaps():
    a, b = 1.577, 0.895
    pull, push = forces.force_tables(a, b)
    square = 10.0 ** np.random.default_rng(0).uniform(-6, 5, 2000)
    at = np.array([forces._cell_of(np.float32(s)) for s in square])
    assert at.min() > 0
    assert at.max() < len(pull) - 1
    power = a * square**b
    np.testing.assert_allclose(pull[at], -2 * b * power / square / (1 + power), rtol=0.016)
    np.testing.assert_allclose(push[at], 2 * b / (0.001 + square) / (1 + power), rtol=0.016)
    assert (forces._cell_of(np.float32(0)), forces._cell_of(np.float32(1e30))) == (0, len(pull) - 1)


def test_two_joined_points_settle_close_and_apart_from_others():
    edges = coo_matrix(([1.0] * 4, ([0, 1, 2, 3], [1, 0, 3, 2])), shape=(4, 4))
    start = np.array([[0.0, 0], [1, 1], [0, 1], [1, 0]])
    xy = forces.settle(edges, start, (1.577, 0.895), 300)
    joined = np.linalg.norm(xy[[0, 2]] - xy[[1, 3]], axis=1)
    assert joined.max() < 0.2 * np.linalg.norm(xy[0] - xy[2])
    again = forces.settle(edges, start, (1.577, 0.895), 300)
    np.testing.assert_array_equal(xy, again)


def test_pacmap_without_its_package_says_how_to_get_it(world, monkeypatch):
    monkeypatch.setitem(sys.modules, "pacmap", None)
    with pytest.raises(UsageError) as error:
        layout(world[0], "pacmap")
    assert error.value.code == "needs_pacmap"
    assert "spectrarium[pacmap]" in error.value.remedy


def test_pacmap_with_its_package(world, capfd, caplog):
    """It is in the locked environment; another process's threads are none of its business."""
    need("pacmap", find_spec("pacmap") is not None, "pacmap is not installed")
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    try:
        first = layout(world[0], "pacmap")
        assert faiss.omp_get_max_threads() == 2
    finally:
        faiss.omp_set_num_threads(before)
    assert first.quality.trustworthiness > 0.9
    assert first.axes == ("PaCMAP 1", "PaCMAP 2")
    assert not [r for r in caplog.records if r.name.startswith("pacmap")]
    assert capfd.readouterr() == ("", "")
    np.testing.assert_array_equal(layout(world[0], "pacmap").xy, first.xy)
    assert not np.array_equal(layout(world[0], "pacmap", seed=1).xy, first.xy)


@pytest.mark.parametrize(
    ("vectors", "method", "code"),
    [
        (np.ones((19, 3)), "pca", "too_few_spectra"),
        (np.ones((500, 3)), "pca", "too_few_spectra"),
        (np.repeat(np.eye(12), 40, axis=0), "umap", "too_few_spectra"),
        (np.full((50, 3), np.nan), "pca", "bad_vectors"),
        (np.ones((50, 1)), "pca", "bad_vectors"),
        (np.ones((50, 3)), "tsne", "unknown_method"),
    ],
)
def test_what_makes_no_map_says_why(vectors, method, code):
    with pytest.raises(UsageError) as error:
        layout(vectors, method)
    assert error.value.code == code


def test_an_unknown_method_lists_the_known():
    with pytest.raises(UsageError, match=", ".join(METHODS)):
        layout(np.ones((50, 3)), "tsne")


# the neighbour graph --------------------------------------------------------------------------


def test_graph_is_exact_and_its_own_first(world):
    vectors, _ = world
    doubled = np.concatenate([vectors, vectors[:50]])
    found = neighbour_graph(doubled, 8)
    assert found.recall == 1.0
    np.testing.assert_array_equal(found.near[:, 0], np.arange(450))
    gap = np.linalg.norm(doubled[:, None] - doubled[None], axis=2)
    np.testing.assert_allclose(found.distance, np.sort(gap, axis=1)[:, :8], atol=3e-3)
    assert all(len(set(row)) == 8 for row in found.near.tolist())


def test_a_large_graph_is_approximate_and_says_how_nearly(monkeypatch):
    monkeypatch.setattr(graph_module, "_EXACT", 100)
    vectors, _ = clusters(3000, 16)
    found = neighbour_graph(vectors, 15)
    truth = np.argsort(((vectors[:, None] - vectors[None]) ** 2).sum(2), axis=1)[:, :15]
    recall = np.mean([np.isin(t, f).mean() for t, f in zip(truth, found.near, strict=True)])
    assert recall > 0.95
    assert found.recall == pytest.approx(recall, abs=0.03)
    assert "inverted lists" in found.how
    np.testing.assert_array_equal(found.near, neighbour_graph(vectors, 15).near)


# placing --------------------------------------------------------------------------------------


def test_new_points_go_to_their_cluster(world, umap):
    vectors, which = world
    rng = np.random.default_rng(1)
    centre = np.array([vectors[which == c].mean(axis=0) for c in range(5)])
    theirs = rng.integers(0, 5, 1000)
    xy = place(centre[theirs] + rng.standard_normal((1000, 8)), vectors, umap.xy)
    middle = np.array([np.median(umap.xy[which == c], axis=0) for c in range(5)])
    found = np.argmin(((xy[:, None] - middle[None]) ** 2).sum(2), axis=1)
    assert np.mean(found == theirs) > 0.99


def test_the_same_vector_has_the_same_place_whatever_comes_with_it(world, umap):
    vectors, _ = world
    np.testing.assert_allclose(place(vectors[7:9], vectors, umap.xy), umap.xy[7:9], atol=1e-6)
    new = vectors[:30] + 0.3
    together = place(new, vectors, umap.xy)
    alone = np.concatenate([place(new[i : i + 1], vectors, umap.xy) for i in range(30)])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    assert place(new[:0], vectors, umap.xy).shape == (0, 2)


def test_new_kinds_are_told(world):
    vectors, _ = world
    new = np.concatenate([vectors[:100] + 0.05, vectors[:5] + 100.0])
    assert far_from_all(new, vectors).tolist() == [False] * 100 + [True] * 5
    assert far_from_all(new[:0], vectors).size == 0


def test_between_two_clusters_a_point_joins_one_and_not_the_void():
    vectors = np.array([[-1.0, 0.1 * i] for i in range(5)] + [[1.3, 0.1 * i] for i in range(3)])
    xy = np.array([[-100.0, i] for i in range(5)] + [[100.0, i] for i in range(3)])
    (found,) = place(np.array([[0.0, 0.2]]), vectors, xy)
    assert found[0] == pytest.approx(-100.0, abs=5.0)


def test_placement_error_is_small_where_the_map_is_good_and_large_where_it_is_not(world, umap):
    vectors, _ = world
    good = umap.placement
    assert good.error < 0.1
    assert good.sample == 40
    scrambled = np.random.default_rng(0).permutation(umap.xy)
    bad = placement(vectors, scrambled)
    assert bad.error > 5 * good.error
    assert bad.kept_10 < good.kept_10


def test_kept_share_of_chosen_rows(world):
    vectors, _ = world
    assert kept_share(vectors, vectors, np.arange(20)) == 1.0


# the picture ----------------------------------------------------------------------------------


def texts(figure) -> str:
    from matplotlib.text import Text

    return " | ".join(t.get_text() for t in figure.findobj(Text))


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("n", [60, 6000, 25_000])
def test_pictures_of_all_sizes_and_colours(n, dark):
    xy = np.random.default_rng(0).standard_normal((n, 2))
    words = np.array(["STAR", "GALAXY", None, "QSO"], object)[np.arange(n) % 4]
    numbers = np.where(np.arange(n) % 5 == 0, np.nan, 10.0 ** xy[:, 0])
    shown = texts(map_figure(xy, Colour("class", words), dark=dark, note="trustworthiness 0.9"))
    assert "STAR" in shown
    assert "unknown" in shown
    assert "no meaning" in shown
    assert "trustworthiness 0.9" in shown
    shown = texts(map_figure(xy, Colour("teff", numbers, "K"), dark=dark))
    assert "teff [K]" in shown
    assert f"{n // 5} without" in shown
    assert map_figure(xy, dark=dark).axes


def test_one_far_point_does_not_squeeze_the_rest():
    xy = np.random.default_rng(0).standard_normal((5000, 2))
    xy[0] = [1e6, 0.0]
    figure = map_figure(xy)
    assert figure.axes[0].get_xlim()[1] < 50
    assert "1 points lie outside" in texts(figure)


@pytest.mark.parametrize(
    ("xy", "colour", "code"),
    [
        (np.empty((0, 2)), None, "empty"),
        (np.full((5, 2), np.nan), None, "empty"),
        (np.ones((5, 2)), Colour("z", np.full(5, np.nan)), "no_values"),
        (np.ones((5, 2)), Colour("class", np.array([None] * 5, object)), "no_values"),
    ],
)
def test_pictures_of_nothing_are_refused(xy, colour, code):
    with pytest.raises(UsageError) as error:
        map_figure(xy, colour)
    assert error.value.code == code


def test_a_constant_colour_still_has_a_scale():
    assert map_figure(np.random.default_rng(0).random((50, 2)), Colour("z", np.full(50, 0.3))).axes
