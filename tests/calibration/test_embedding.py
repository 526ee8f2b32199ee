"""What embeddings and scores claim about their own uncertainty holds, over many realisations."""

from __future__ import annotations

import numpy as np
import pytest
from embedding_cases import DOMAIN, N_PIX, basis, linear_world, prepared
from scipy import stats

from spectrarium.domain.derived import Embedding
from spectrarium.embed.pca import PCA
from spectrarium.embed.pca_fit import FitSettings
from spectrarium.explore import outliers
from spectrarium.explore.neighbours import ExactIndex


@pytest.fixture(scope="module")
def model() -> PCA:
    """Its scatter's floor is below all noise here: what remains is the noise as delivered."""
    fitted = PCA(DOMAIN, FitSettings(n_components=3, softening=1e-3))
    fitted.fit(lambda: [linear_world(2000, gap=60)[0]])
    return fitted


def test_coefficient_errors_cover_at_68_and_95_percent(model):
    """New spectra drawn from the fitted model itself: pulls are standard normal."""
    rng = np.random.default_rng(5)
    n = 3000
    vectors = rng.standard_normal((n, 3)) * np.sqrt(model.variances)
    sigma = 10 ** rng.uniform(-2, 0, (n, 1)) * np.ones((n, N_PIX))
    ivar = sigma**-2
    ivar[:, 100:220] = 0.0
    noise = np.sqrt(sigma**2 + model.scatter) * rng.standard_normal((n, N_PIX))
    encoded = model.encode(model.decode(vectors) + noise, ivar)
    pull = (encoded.vectors - vectors) / np.sqrt(encoded.variance)
    assert np.abs(pull.mean(axis=0)).max() < 0.08
    for share, limit in ((0.6827, 1.0), (0.9545, 2.0)):
        covered = (np.abs(pull) < limit).mean(axis=0)
        np.testing.assert_allclose(covered, share, atol=0.03)


def test_reconstruction_score_is_one_at_every_snr(model):
    batch, _, _ = linear_world(3000, gap=60, seed=9)
    encoded = model.encode(batch.flux, batch.ivar)
    value = outliers.reconstruction(model, batch, encoded).value
    order = np.argsort(batch.snr)
    medians = [np.median(value[part]) for part in np.array_split(order, 6)]
    np.testing.assert_allclose(medians, 1.0, atol=0.06)
    degrees = float(np.median(encoded.n_pix - encoded.n_fit))
    assert np.std(value) == pytest.approx(np.sqrt(2 / degrees), rel=0.25)


def test_chi2_follows_its_distribution(model):
    batch, _, _ = linear_world(2000, seed=11)
    encoded = model.encode(batch.flux, batch.ivar)
    faint = np.median(batch.ivar, axis=1) < 400  # where the scatter's floor adds nothing
    probability = stats.chi2.sf(encoded.chi2[faint], encoded.n_pix[faint] - encoded.n_fit[faint])
    assert np.mean(probability < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(probability < 0.5) == pytest.approx(0.5, abs=0.06)


def test_scores_do_not_favour_low_or_high_snr(model):
    batch, _, _ = linear_world(3000, seed=12)
    encoded = model.encode(batch.flux, batch.ivar)
    uid = np.arange(len(batch))
    index = ExactIndex(Embedding(model.ref, encoded.vectors, uid), model.metric_scale())
    for name in ("reconstruction", "knn"):
        values = outliers.score_named(name)(model, batch, encoded, index, uid)
        trend = outliers.Trend.of(values.value, batch.snr)
        significance = trend.significance(values.value, batch.snr)
        assert abs(outliers.snr_correlation(significance, batch.snr)) < 0.08
        assert np.median(significance) == pytest.approx(0.0, abs=0.1)
        assert 0.8 < stats.iqr(significance) / 1.349 < 1.25


def test_planted_oddities_are_found_though_noisy_spectra_abound():
    """10 odd ones of two kinds among 2000, a quarter of them of S/N < 1: all 10 in the top 20."""
    rng = np.random.default_rng(3)
    rows = basis(3)
    n = 2000
    z = rng.standard_normal((n, 3)) * (8.0, 5.0, 3.0)
    sigma = 10 ** rng.uniform(-2, -0.5, (n, 1)) * np.ones((n, N_PIX))
    sigma[: n // 4] *= 30
    flux = 1 + z @ rows + sigma * rng.standard_normal((n, N_PIX))
    odd = np.arange(n - 10, n)
    wave = DOMAIN.wave_aa
    for i in odd[:5]:
        flux[i] += 6 * sigma[i] * np.exp(-0.5 * ((wave - 5000 - 300 * (i % 5)) / 50) ** 2)
    for i in odd[5:]:
        flux[i] += 6 * sigma[i] * np.sin(wave / 90.0) * (wave > 6000) * (wave < 6800)
    batch = prepared(flux, sigma**-2.0)
    model = PCA(DOMAIN, FitSettings(n_components=3))
    model.fit(lambda: [batch])
    values = outliers.reconstruction(model, batch, model.encode(batch.flux, batch.ivar))
    significance = outliers.Trend.of(values.value, batch.snr).significance(values.value, batch.snr)
    assert set(odd) <= set(outliers.top(significance, np.arange(n), 20))
