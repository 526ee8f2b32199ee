"""Outlier scores find what was planted, say where, and abstain where noise is unknown."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from embedding_cases import DOMAIN, linear_world

from spectrarium.domain.derived import Embedding, ModelRef, NoiseSource, Score
from spectrarium.domain.errors import UsageError
from spectrarium.embed.pca import PCA
from spectrarium.embed.pca_fit import FitSettings
from spectrarium.explore import outliers, population
from spectrarium.explore.combine import combined, in_bins
from spectrarium.explore.forest import ForestSettings
from spectrarium.explore.neighbours import ExactIndex

WAVE = DOMAIN.wave_aa


def embedded(batch):
    model = PCA(DOMAIN, FitSettings(n_components=3))
    model.fit(lambda: [batch])
    encoded = model.encode(batch.flux, batch.ivar)
    uid = np.arange(len(batch)) + 1000
    index = ExactIndex(Embedding(model.ref, encoded.vectors, uid), model.metric_scale())
    return model, encoded, uid, index


def planted(n=500, rows=(7, 70, 300)):
    batch, _, _ = linear_world(n)
    flux = batch.flux.copy()
    for row in rows:  # an emission line of 8 σ: strange at any S/N
        sigma = batch.ivar[row] ** -0.5
        flux[row] += 8 * sigma * np.exp(-0.5 * ((WAVE - 6000) / 40) ** 2)
    return dataclasses.replace(batch, flux=flux)


def run(name, batch):
    model, encoded, uid, index = embedded(batch)
    values = outliers.score_named(name)(model, batch, encoded, index, uid)
    trend = outliers.Trend.of(values.value, batch.snr)
    significance = trend.significance(values.value, batch.snr)
    return values, significance, uid


def test_reconstruction_finds_planted_lines_and_where():
    batch = planted()
    values, significance, uid = run("reconstruction", batch)
    best = outliers.top(significance, uid, 3)
    assert set(best) == {7, 70, 300}
    for score in outliers.scores(values, significance, batch, uid, WAVE, rows=best):
        first = score.drivers[0]
        assert first.lo_aa < 6000 < first.hi_aa
        assert first.sign == 1
        assert score.value > 1.1
        assert score.significance > 5
        assert score.noise_source is NoiseSource.DELIVERED


def test_density_finds_a_spectrum_far_from_all_others():
    batch, _, rows = linear_world(400)
    flux = batch.flux.copy()
    flux[33] = 1.0 + 40 * rows[1] - 40 * rows[2]
    _, significance, uid = run("density", dataclasses.replace(batch, flux=flux))
    assert outliers.top(significance, uid, 1).tolist() == [33]


def test_a_cosmic_ray_is_not_a_discovery():
    batch = planted(rows=(7,))
    flux = batch.flux.copy()
    flux[50, 200] += 60 * batch.ivar[50, 200] ** -0.5
    _, significance, uid = run("reconstruction", dataclasses.replace(batch, flux=flux))
    assert outliers.top(significance, uid, 1).tolist() == [7]


def test_unknown_noise_abstains_with_a_reason():
    batch = planted()
    noise = list(batch.noise_source)
    noise[7] = NoiseSource.UNKNOWN
    noise[8] = NoiseSource.ESTIMATED
    ivar = batch.ivar.copy()
    ivar[9, 5:] = 0.0
    batch = dataclasses.replace(batch, noise_source=tuple(noise), ivar=ivar)
    values, significance, uid = run("reconstruction", batch)
    assert 7 not in outliers.top(significance, uid, 500)
    scores = outliers.scores(values, significance, batch, uid, WAVE)
    assert scores[7].value is None
    assert "noise unknown" in scores[7].reason
    assert scores[8].value is not None
    assert scores[8].noise_source is NoiseSource.ESTIMATED
    assert "pixels left" in scores[9].reason


def test_significance_removes_the_trend_with_snr():
    rng = np.random.default_rng(0)
    snr = 10 ** rng.uniform(0, 2, 3000)
    value = np.exp(0.5 * np.log(snr) + 0.1 * rng.standard_normal(3000))
    significance = outliers.Trend.of(value, snr).significance(value, snr)
    assert outliers.snr_correlation(value, snr) > 0.95
    assert abs(outliers.snr_correlation(significance, snr)) < 0.1
    assert abs(np.median(significance)) < 0.1
    assert 0.8 < np.std(significance) < 1.3


def test_too_few_objects_have_no_trend():
    with pytest.raises(UsageError):
        outliers.Trend.of(np.ones(5), np.ones(5))
    assert np.isnan(outliers.snr_correlation(np.ones(2), np.ones(2)))


def test_top_breaks_ties_by_id_and_skips_abstentions():
    significance = np.array([1.0, np.nan, 2.0, 2.0])
    assert outliers.top(significance, np.array([4, 3, 9, 2]), 10).tolist() == [3, 2, 0]
    with pytest.raises(UsageError):
        outliers.top(significance, np.arange(4), 0)


def test_scores_are_found_by_name_and_are_consistent():
    with pytest.raises(UsageError) as caught:
        outliers.score_named("weirdness?")
    assert "density, label, reconstruction, spatial, spectral, total" in caught.value.remedy
    assert outliers.score_named("knn") is outliers.score_named("density")
    assert outliers.canonical("knn") == "density"
    with pytest.raises(UsageError, match="not of single spectra"):
        outliers.score_named("total")
    with pytest.raises(UsageError):
        Score(1, "x", None, None, None, NoiseSource.DELIVERED)
    with pytest.raises(UsageError):
        Score(1, "x", float("nan"), None, None, NoiseSource.DELIVERED)


def test_density_needs_an_index_with_enough_in_it():
    batch, _, _ = linear_world(50)
    model, encoded, uid, _ = embedded(batch)
    with pytest.raises(UsageError):
        outliers.density(model, batch, encoded)
    small = ExactIndex(Embedding(model.ref, encoded.vectors[:5], uid[:5]))
    with pytest.raises(UsageError, match="no 10 neighbours"):
        outliers.density(model, batch, encoded, small, uid)


# populations --------------------------------------------------------------------------------------


def cloud(n=120, seed=0):
    """Vectors along a curve, and an index of them."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.uniform(0, 1, n))
    vectors = np.stack([t, t**2, 0.01 * rng.standard_normal(n)], axis=1).astype(np.float32)
    ref = ModelRef("toy", "0", "0" * 64)
    return t, ExactIndex(Embedding(ref, vectors, np.arange(n) + 50), np.array([1.0, 1.0, 2.0]))


def test_nearest_others_are_positions_without_the_object_itself():
    t, index = cloud()
    allowed = np.ones(120, bool)
    allowed[10:20] = False
    near = population.nearest(index, 5, allowed)
    assert near.shape == (120, 5)
    assert not (near == np.arange(120)[:, None]).any()
    assert not np.isin(near, np.arange(10, 20)).any()
    assert np.abs(t[near] - t[:, None])[30:].max() < 0.15
    assert (population.nearest(index, 130)[:, 119:] == -1).all()


def test_a_wrong_number_among_like_objects_is_found():
    t, index = cloud()
    label = 5000.0 + 1000 * t + np.random.default_rng(1).normal(0, 5, 120)
    label[40] += 300.0
    label[3] = np.nan
    values = population.label_disagreement(index, label, "teff")
    assert np.nanargmax(values.value) == 40
    assert np.isnan(values.value[3])
    assert values.reason[3] == "has no teff"
    assert values.note[40].startswith(f"{label[40]:.5g}; its neighbours say")
    snr = np.full(120, 20.0)
    trend = outliers.Trend.of(values.ranked, snr, values.least_spread)
    significance = trend.significance(values.ranked, snr)
    assert outliers.top(significance, np.arange(120), 1).tolist() == [40]


def test_a_wrong_class_among_like_objects_is_found():
    t, index = cloud()
    label = np.array(["STAR" if x < 0.5 else "GALAXY" for x in t], object)
    wrong = int(np.argmin(np.abs(t - 0.15)))
    label[wrong] = "GALAXY"
    label[0] = None
    values = population.label_disagreement(index, label, "obj_class")
    assert np.nanargmax(values.ranked) == wrong
    assert values.value[wrong] == 1.0
    assert values.note[wrong] == "GALAXY; 20 of 20 neighbours are STAR"
    snr = np.full(120, 20.0)
    significance = outliers.Trend.of(values.ranked, snr, values.least_spread).significance(
        values.ranked, snr)  # fmt: skip
    assert significance[wrong] < 50, "unanimity has no spread, yet one dissenter is not 1000 sigma"


def test_labels_that_say_nothing_are_refused():
    _, index = cloud()
    constant = np.full(120, 7.0)
    with pytest.raises(UsageError) as caught:
        population.label_disagreement(index, constant, "teff")
    assert caught.value.code == "constant_label"
    few = np.where(np.arange(120) < 15, np.arange(120.0), np.nan)
    for label in (few, np.full(120, np.nan), np.array([None] * 120, object)):
        with pytest.raises(UsageError) as caught:
            population.label_disagreement(index, label, "teff")
        assert caught.value.code == "too_few_spectra"


def test_places_on_the_sky_wrap_around_and_are_nan_where_unknown():
    ra = np.r_[np.linspace(0, 40, 30), 359.9, np.nan]
    place = population.places(ra, np.zeros(32))
    near = population.nearest_places(place, 1)
    assert near[0, 0] == 30
    assert near[30, 0] == 0
    assert near[31, 0] == -1
    far = population.places(ra, np.zeros(32), np.r_[np.full(30, 10.0), 5000.0, 1.0])
    assert population.nearest_places(far, 1)[0, 0] == 1, "in space, not on the sky"
    assert np.isnan(population.places(ra, np.zeros(32), np.full(32, -1.0))).all()
    with pytest.raises(UsageError) as caught:
        population.nearest_places(np.full((32, 3), np.nan), 5)
    assert caught.value.code == "no_coordinates"


def test_weirdness_gives_all_three_and_says_how_stable():
    _, index = cloud(200)
    ra = np.r_[np.random.default_rng(0).uniform(0, 10, 199), np.nan]
    settings = ForestSettings(trees=20, forests=2, neighbours=15, threads=1)
    found = population.weird(index, population.places(ra, np.zeros(200)), settings).values
    assert set(found) == {"total", "spectral", "spatial"}
    total, spatial = found["total"], found["spatial"]
    assert ((total.value > 0) & (total.value <= 1)).all()
    assert (np.argsort(total.ranked) == np.argsort(total.value)).mean() > 0.9
    assert spatial.reason == {199: "no coordinates"}
    assert np.isnan(spatial.value[199])
    assert np.isfinite(total.value[199])
    assert 0 < float(total.facts["rank_correlation_of_forests"]) <= 1
    assert found["spectral"].facts["neighbours"] == "15"
    assert "spatial" not in population.weird(index, None, settings).values


def test_combination_is_led_by_what_any_score_finds():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(500), rng.standard_normal(500)
    a[7], b[9] = 30.0, 1e6
    a[11] = np.nan
    value = combined([a, b])
    assert set(np.argsort(-np.nan_to_num(value))[:2].tolist()) == {7, 9}
    assert np.isnan(value[11])
    assert np.array_equal(combined([a, 3 * b]), value, equal_nan=True), "only ranks enter"
    with pytest.raises(UsageError):
        combined([])


def test_bins_rank_each_among_its_like():
    rng = np.random.default_rng(0)
    snr = np.r_[rng.uniform(1, 100, 199), np.nan]
    significance = rng.standard_normal(200) + 0.2 * np.nan_to_num(snr)
    significance[5] = np.nan
    bins = in_bins(snr, significance)
    assert bins.rank[5] == 0
    assert sum(bins.size) == 199
    order = bins.order(significance)
    n_bins = len(bins.name)
    assert n_bins == 6
    assert bins.name[-1] == "unknown"
    assert set(bins.which[order[:n_bins]].tolist()) == set(range(n_bins)), "the first of each bin"
    for b in range(n_bins):
        mine = np.flatnonzero(bins.which == b)
        assert mine[np.argmin(bins.rank[mine])] == mine[np.argmax(significance[mine])]
    words = np.array(["A"] * 100 + ["B"] * 90 + ["C"] * 5 + [None] * 5, object)
    named = in_bins(words, rng.standard_normal(200))
    assert named.name == ("A", "B", "other")
    assert named.size == (100, 90, 10)
