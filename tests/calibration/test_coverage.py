"""Tags of the mock survey are as sure as they say; and the judge of that notices when not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spectrarium.domain.progress import Silent
from spectrarium.evaluate.fitting import encoded, fitted, made
from spectrarium.evaluate.judging import Effort, features_of
from spectrarium.evaluate.mock_corpus import mock_corpus
from spectrarium.evaluate.tagged import LEVELS, Tagged, coverage, measures, snr_bins, tag_report


@pytest.fixture(scope="module")
def corpus():
    return mock_corpus(2400, seed=4)


@pytest.fixture(scope="module")
def report(corpus):
    encoder = made("pca", corpus, 0, 1)
    encoder = type(encoder)(corpus.domain, replace(encoder.settings, max_passes=5))
    fitted(encoder, corpus, "cpu", None, Silent())
    code, _ = encoded(encoder, corpus.batch)
    features = features_of(code, corpus, encoder.metric_scale())
    return tag_report(corpus, features, heads=Effort().heads)


def drawn(corpus, n: int, honest: float) -> Tagged:
    """Gaussian errors, in intervals that are `honest` × as wide as they should be."""
    from scipy.stats import norm

    rng = np.random.default_rng(1)
    rows = np.sort(rng.choice(len(corpus), n, replace=False))
    error = rng.standard_normal(n)
    half = honest * norm.ppf(0.5 + np.array(LEVELS) / 2)
    inside = np.abs(error)[:, None] <= half
    return Tagged("x", "number", rows, error, np.full(n, np.nan), inside, 0, ("ridge",))


def test_the_judge_accepts_honest_intervals_and_refuses_others(corpus):
    honest = coverage(drawn(corpus, 2100, 1.0), corpus)
    assert {c.nominal for c in honest} == set(LEVELS)
    assert sum(c.bin == "all" for c in honest) == 3
    assert all(c.p > 0.01 for c in honest)
    assert all(c.low <= c.share <= c.high for c in honest)
    assert all(c.n_objects >= 50 for c in honest)
    for wrong in (0.85, 1.2):
        found = [c for c in coverage(drawn(corpus, 2100, wrong), corpus) if c.bin == "all"]
        assert all(c.p < 1e-4 for c in found)
        assert all(not c.low <= c.nominal <= c.high for c in found)


def test_bins_hold_fifty_objects_or_there_are_none():
    snr = np.geomspace(3, 100, 400)
    assert len(snr_bins(snr, np.arange(400))) == 5
    assert len(snr_bins(snr, np.arange(400) // 2)) == 4
    assert snr_bins(snr, np.arange(400) // 8) == []
    rows = np.concatenate([r for _, r in snr_bins(snr, np.arange(400))])
    assert sorted(rows.tolist()) == list(range(400))


def test_repeat_spectra_count_as_one_object(corpus):
    tagged = drawn(corpus, 2100, 1.0)
    objects = corpus.objects.copy()
    objects[tagged.rows] = np.arange(2100) // 3
    found = coverage(tagged, replace(corpus, objects=objects))
    overall = [c for c in found if c.bin == "all"]
    assert all(c.n_objects == 700 and c.n == 2100 for c in overall)
    assert overall[0].high - overall[0].low > 0.05


@pytest.mark.parametrize("label", ["teff", "logg", "feh", "z", "z of all"])
def test_coverage_of_held_out_objects_is_nominal(report, corpus, label):
    """Within three standard deviations of what counting in a calibration fifth allows."""
    tagged = report.tagged[label]
    assert corpus.test[tagged.rows].all()
    n_calibrate = 0.2 * np.isfinite(tagged.error).sum() * (~corpus.test).sum() / corpus.test.sum()
    for one in coverage(tagged, corpus):
        if one.bin == "all":
            sigma = np.sqrt(one.nominal * (1 - one.nominal) * (1 / n_calibrate + 1 / one.n))
            # groups of at least 50 objects make a quantile 1/51 too high at most
            assert -3 * sigma < one.share - one.nominal < 3 * sigma + 1 / 51


def test_classes_are_covered_at_least_as_often_as_said(report, corpus):
    """The likeliest class is always in the set: a right one too often is no fault."""
    tagged = report.tagged["class"]
    for one in coverage(tagged, corpus):
        assert one.high > one.nominal
    assert np.mean(tagged.error) < 0.1


def test_tags_are_far_better_than_chance(report, corpus):
    found = measures(report, corpus)
    for name, most in (("teff", 600), ("feh", 0.35), ("z", 0.2)):
        scatter = 1.4826 * np.median(np.abs(found[f"tag σ {name}"].values))
        assert scatter < most
        assert scatter < 0.6 * np.nanstd(corpus.numbers[name])
