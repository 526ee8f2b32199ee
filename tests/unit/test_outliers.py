"""Outlier scores find what was planted, say where, and abstain where noise is unknown."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from embedding_cases import DOMAIN, linear_world

from spectrarium.domain.derived import Embedding, NoiseSource, Score
from spectrarium.domain.errors import UsageError
from spectrarium.embed.pca import PCA
from spectrarium.embed.pca_fit import FitSettings
from spectrarium.explore import outliers
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


def test_knn_finds_a_spectrum_far_from_all_others():
    batch, _, rows = linear_world(400)
    flux = batch.flux.copy()
    flux[33] = 1.0 + 40 * rows[1] - 40 * rows[2]
    _, significance, uid = run("knn", dataclasses.replace(batch, flux=flux))
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
    with pytest.raises(UsageError, match="knn, reconstruction"):
        outliers.score_named("weirdness?")
    with pytest.raises(UsageError):
        Score(1, "x", None, None, None, NoiseSource.DELIVERED)
    with pytest.raises(UsageError):
        Score(1, "x", float("nan"), None, None, NoiseSource.DELIVERED)


def test_knn_needs_an_index_with_enough_in_it():
    batch, _, _ = linear_world(50)
    model, encoded, uid, _ = embedded(batch)
    with pytest.raises(UsageError):
        outliers.knn(model, batch, encoded)
    small = ExactIndex(Embedding(model.ref, encoded.vectors[:5], uid[:5]))
    with pytest.raises(UsageError, match="no 10 neighbours"):
        outliers.knn(model, batch, encoded, small, uid)
