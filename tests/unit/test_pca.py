"""Weighted PCA: the planted model comes back, bad pixels do not matter, damage is noticed."""

from __future__ import annotations

import dataclasses
import json
from importlib.metadata import version

import numpy as np
import pytest
from embedding_cases import DOMAIN, N_PIX, basis, linear_world, prepared

from spectrarium.domain.errors import DataError, UsageError
from spectrarium.domain.progress import Silent
from spectrarium.embed.card import write_card, write_model
from spectrarium.embed.domain import ModelDomain
from spectrarium.embed.encoder import encoder_named, encoder_names
from spectrarium.embed.pca import PCA
from spectrarium.embed.pca_fit import FitSettings
from spectrarium.embed.spool import Spool
from spectrarium.embed.training_set import InMemory


def fitted(batch, k=3, **settings) -> PCA:
    model = PCA(DOMAIN, FitSettings(n_components=k, **settings))
    model.fit(lambda: [batch])
    return model


def test_planted_components_and_variances_come_back_from_gappy_noisy_data():
    batch, _, rows = linear_world(1500, gap=120)
    model = fitted(batch)
    overlap = np.linalg.svd(model.components @ rows.T)[1]
    assert overlap.min() > 0.9999  # the same subspace
    np.testing.assert_allclose(np.sqrt(model.variances), [8, 5, 3], rtol=0.08)
    assert model.report.converged
    assert model.report.history[-1] < 0.01 < model.report.history[0]


def test_components_are_orthonormal_and_ordered():
    model = fitted(linear_world(300)[0], k=5)
    np.testing.assert_allclose(model.components @ model.components.T, np.eye(5), atol=1e-5)
    assert np.all(np.diff(model.variances) <= 0)


def test_full_coverage_high_snr_agrees_with_plain_svd():
    batch, _, _ = linear_world(400)
    even = prepared(batch.flux, np.full_like(batch.ivar, 1e4))
    model = fitted(even)
    _, _, v = np.linalg.svd(even.flux - even.flux.mean(axis=0), full_matrices=False)
    assert np.linalg.svd(model.components @ v[:3].T)[1].min() > 0.9995


def test_masked_pixels_take_no_part():
    batch, _, _ = linear_world(300, gap=80)
    other = batch.flux.copy()
    other[batch.ivar == 0] = -7e5
    one = fitted(batch)
    two = fitted(dataclasses.replace(batch, flux=other))
    assert one.ref.weights_hash == two.ref.weights_hash
    np.testing.assert_array_equal(
        one.encode(batch.flux, batch.ivar).vectors, two.encode(other, batch.ivar).vectors
    )


def test_nan_under_zero_ivar_is_harmless():
    batch, _, _ = linear_world(300, gap=80)
    model = fitted(batch)
    other = np.where(batch.ivar > 0, batch.flux, np.nan).astype(np.float32)
    assert np.isfinite(model.encode(other, batch.ivar).vectors).all()
    assert np.isfinite(fitted(dataclasses.replace(batch, flux=other)).components).all()


def test_cosmic_rays_do_not_turn_the_components():
    batch, _, rows = linear_world(600)
    rng = np.random.default_rng(3)
    hit = rng.random(batch.flux.shape) < 0.005
    spoiled = dataclasses.replace(batch, flux=np.where(hit, 100.0, batch.flux).astype("f4"))
    overlap = np.linalg.svd(fitted(spoiled).components @ rows.T)[1].min()
    careless = np.linalg.svd(fitted(spoiled, clip=1e9).components @ rows.T)[1].min()
    assert overlap > 0.999 > careless


def test_one_bright_spectrum_does_not_rule():
    batch, _, rows = linear_world(300)
    flux, ivar = batch.flux.copy(), batch.ivar.copy()
    flux[0] += np.sin(np.linspace(0, 60, N_PIX)) * 3
    ivar[0] = 1e9
    model = fitted(dataclasses.replace(batch, flux=flux, ivar=ivar))
    assert np.linalg.svd(model.components @ rows.T)[1].min() > 0.99


def test_a_spectrum_without_information_gets_the_mean():
    model = fitted(linear_world(300)[0])
    nothing = model.encode(np.zeros((1, N_PIX)), np.zeros((1, N_PIX)))
    np.testing.assert_allclose(nothing.vectors, 0.0, atol=1e-6)
    np.testing.assert_allclose(nothing.variance[0], model.variances, rtol=1e-4)
    assert nothing.n_pix[0] == 0
    np.testing.assert_allclose(model.decode(nothing.vectors)[0], model.mean, rtol=1e-5)


def test_gappy_spectra_do_not_blow_up():
    batch, _, _ = linear_world(500)
    model = fitted(batch)
    ivar = batch.ivar.copy()
    ivar[:, 20:] = 0.0  # 5 % of the range must not be extrapolated wildly
    vectors = model.encode(batch.flux, ivar).vectors
    assert np.abs(vectors).max() < 5 * np.sqrt(model.variances[0])


def test_decode_reproduces_noise_free_spectra():
    batch, z, rows = linear_world(800)
    model = fitted(batch)
    truth = 1.0 + z @ rows
    clean = model.encode(truth, np.full_like(truth, 1e6))
    assert np.abs(model.decode(clean.vectors) - truth).max() < 0.05


def test_fit_is_deterministic_and_independent_of_batching():
    batch, _, _ = linear_world(300)
    one = fitted(batch)
    again = fitted(batch)
    assert one.ref == again.ref
    parts = PCA(DOMAIN, FitSettings(n_components=3))
    parts.fit(lambda: [batch[:100], batch[100:]])
    np.testing.assert_allclose(parts.components, one.components, atol=2e-4)


def test_spool_gives_every_pass_the_same_batches():
    batch, _, _ = linear_world(300)
    with Spool(DOMAIN, rows=128) as spool:
        spool.add(batch[:130])
        spool.add(batch[130:])
        for _ in range(2):
            parts = list(spool())
            assert [len(p) for p in parts] == [128, 128, 44]
            np.testing.assert_array_equal(np.concatenate([p.flux for p in parts]), batch.flux)
            np.testing.assert_array_equal(np.concatenate([p.ivar for p in parts]), batch.ivar)
            np.testing.assert_array_equal(np.concatenate([p.index for p in parts]), batch.index)
        model = PCA(DOMAIN, FitSettings(n_components=3))
        model.fit(spool)
    np.testing.assert_allclose(model.variances, fitted(batch).variances, rtol=1e-3)


@pytest.mark.parametrize("k", [2, 100])
def test_number_of_components(k):
    model = fitted(linear_world(250)[0], k=k, max_passes=2)
    assert model.components.shape == (k, N_PIX)
    encoded = model.encode(np.ones((2, N_PIX)), np.ones((2, N_PIX)))
    assert encoded.vectors.shape == encoded.variance.shape == (2, k)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_as_many_components_as_are_promised(monkeypatch):
    """512, of spectra that hold as many: hardly more spectra and pixels, and one pass."""
    monkeypatch.setattr("spectrarium.embed.pca._JUDGED", 10)
    n = n_pix = 520
    rng = np.random.default_rng(0)
    amplitudes = np.geomspace(8.0, 0.3, n_pix - 4)
    truth = 1.0 + (rng.standard_normal((n, n_pix - 4)) * amplitudes) @ basis(n_pix - 4, n_pix)
    flux = truth + 0.05 * rng.standard_normal(truth.shape)
    batch = prepared(flux, np.full(flux.shape, 0.05**-2))
    wrong = {}
    for k in (100, 512):
        model = PCA(ModelDomain(4000.0, 8000.0, n_pix), FitSettings(n_components=k, max_passes=1))
        model.fit(lambda: [batch])
        assert model.components.shape == (k, n_pix)
        np.testing.assert_allclose(model.components @ model.components.T, np.eye(k), atol=1e-5)
        assert np.all(np.diff(model.variances) <= 0)
        again = model.decode(model.encode(batch.flux[:20], batch.ivar[:20]).vectors)
        wrong[k] = np.sqrt(np.mean((again - truth[:20]) ** 2))
    assert wrong[512] < 0.1 < 1.0 < wrong[100]


def test_normals_formed_one_by_one_equal_those_formed_together(monkeypatch):
    batch, _, _ = linear_world(60, gap=50)
    model = fitted(batch)
    together = model.encode(batch.flux, batch.ivar)
    monkeypatch.setattr("spectrarium.embed.posterior._PACKED_BYTES", 0)
    alone = fitted(batch).encode(batch.flux, batch.ivar)
    np.testing.assert_allclose(together.vectors, alone.vectors, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("k", [1, 513])
def test_senseless_number_of_components_is_the_callers_mistake(k):
    with pytest.raises(UsageError, match="2 to 512"):
        fitted(linear_world(30)[0], k=k)


def test_too_few_spectra_and_no_information_are_said():
    batch, _, _ = linear_world(5)
    with pytest.raises(DataError) as few:
        fitted(batch, k=5)
    assert few.value.code == "too_few_spectra"
    with pytest.raises(DataError) as none:
        fitted(dataclasses.replace(batch, ivar=np.zeros_like(batch.ivar)), k=2)
    assert none.value.code == "no_information"
    with pytest.raises(UsageError, match="GiB"):
        fitted(linear_world(60)[0], k=50, memory_bytes=1000)


def test_other_grid_and_unfitted_model_are_refused():
    model = fitted(linear_world(50)[0])
    with pytest.raises(UsageError) as wrong:
        model.encode(np.zeros((1, 7)), np.zeros((1, 7)))
    assert wrong.value.code == "wrong_grid"
    with pytest.raises(UsageError) as unfitted:
        PCA(DOMAIN).encode(np.zeros((1, N_PIX)), np.zeros((1, N_PIX)))
    assert unfitted.value.code == "unfitted"


def test_cancelling_stops_after_the_pass():
    class Impatient(Silent):
        passes = 0

        def advance(self, steps: int = 1) -> None:
            self.passes += steps

        def cancelled(self) -> bool:
            return self.passes >= 1

    model = PCA(DOMAIN, FitSettings(n_components=3))
    report = model.fit(lambda: [linear_world(100)[0]], Impatient())
    assert (report.n_passes, report.converged) == (1, False)


def test_save_and_load_give_the_same_model(tmp_path):
    batch, _, _ = linear_world(200)
    model = fitted(batch)
    ref = model.save(tmp_path / "m")
    back = PCA.load(tmp_path / "m")
    assert back.ref == ref == model.ref
    assert (back.domain, back.settings, back.report) == (model.domain, model.settings, model.report)
    np.testing.assert_array_equal(
        back.encode(batch.flux, batch.ivar).vectors, model.encode(batch.flux, batch.ivar).vectors
    )
    assert model.save(tmp_path / "m") == ref  # the same weights again: nothing to do
    with pytest.raises(UsageError):
        fitted(batch, k=2).save(tmp_path / "m")


def test_the_card_says_what_it_learnt_from_and_how_well_it_fits(tmp_path):
    batch, _, _ = linear_world(700)
    model = PCA(DOMAIN, FitSettings(n_components=3))
    report = model.fit(InMemory(DOMAIN, batch, np.arange(700) // 2))
    model.save(tmp_path / "m")
    card = json.loads((tmp_path / "m" / "card.json").read_text())
    data, metrics = card["data"], card["metrics"]
    assert (data["spectra"], data["train_spectra"], data["held_out_spectra"]) == (700, 700, 0)
    assert (data["train_objects"], data["held_out_objects"]) == (350, 0)
    assert data["split"] == "nothing is held out"
    expected = np.percentile(batch.snr, [5, 50, 95])
    np.testing.assert_allclose(data["snr_percentiles_5_50_95"], expected)
    low, middle, high = metrics["training_chi2_percentiles_5_50_95"]
    assert 0.7 < low < 0.9 < middle < 1.05 < high < 1.2, "400 pixels of known noise and a floor"
    assert metrics["held_out_loss"] is None
    assert metrics["variance_explained"] == report.variance_explained > 0.9
    assert metrics["best_epoch"] == report.n_passes - 1 == len(card["history"]) - 1
    assert metrics["converged"]
    assert card["parameters"] == N_PIX * 5 + 3
    assert card["device"].startswith("cpu")
    assert card["seconds"] > 0
    assert "Linear" in card["limits"]
    assert card["version"] == version("spectrarium")
    again = PCA.load(tmp_path / "m")
    again.save(tmp_path / "copy")
    assert json.loads((tmp_path / "copy" / "card.json").read_text()) == card


def test_the_card_claims_nothing_that_it_was_not_told():
    batch, _, _ = linear_world(60)
    nothing = dataclasses.replace(batch, snr=np.full(60, np.nan))
    model = fitted(nothing)
    assert model.card["data"]["train_objects"] is None
    assert model.card["data"]["snr_percentiles_5_50_95"] is None
    one_by_one = PCA(DOMAIN, FitSettings(n_components=3))
    one_by_one.fit(lambda: (batch[i : i + 1] for i in range(60)))
    np.testing.assert_allclose(
        one_by_one.card["metrics"]["training_chi2_percentiles_5_50_95"],
        fitted(batch).card["metrics"]["training_chi2_percentiles_5_50_95"], rtol=1e-3,
    )  # fmt: skip
    with pytest.raises(UsageError) as unfitted:
        _ = PCA(DOMAIN).card
    assert unfitted.value.code == "unfitted"


def test_a_card_of_before_it_said_so_much_still_loads(tmp_path):
    model = fitted(linear_world(60)[0])
    card = {k: v for k, v in model.card.items()
            if k not in ("data", "metrics", "history", "limits", "device", "seconds",
                         "parameters")}  # fmt: skip
    write_model(tmp_path / "m", model._state, card)
    again = PCA.load(tmp_path / "m")
    assert again.ref == model.ref
    assert "limits" not in again.card
    assert again.save(tmp_path / "copy") == model.ref


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "card", "card_hash", "newer"])
def test_damage_on_disk_is_noticed(tmp_path, damage):
    fitted(linear_world(100)[0]).save(tmp_path / "m")
    weights, card = tmp_path / "m" / "components.npy", tmp_path / "m" / "card.json"
    raw = bytearray(weights.read_bytes())
    text = card.read_text()
    expected = {"flip": "hash_mismatch", "card_hash": "hash_mismatch", "newer": "newer_layout"}
    if damage == "flip":
        raw[-5] ^= 1
        weights.write_bytes(raw)
    elif damage == "truncate":
        weights.write_bytes(raw[:-100])
    elif damage == "remove":
        weights.unlink()
    elif damage == "card":
        card.write_text(text[:40])
    elif damage == "newer":
        card.write_text(text.replace('"layout": 1', '"layout": 99'))
    else:
        other = json.loads(text) | {"weights_hash": "0" * 64}
        write_card(tmp_path / "m", other)
    with pytest.raises(DataError) as error:
        PCA.load(tmp_path / "m")
    assert error.value.code == expected.get(damage, "bad_model")
    assert str(tmp_path) in str(error.value)


def test_a_directory_without_a_model_is_said(tmp_path):
    with pytest.raises(DataError) as error:
        PCA.load(tmp_path)
    assert error.value.code == "no_model"


def test_encoders_are_found_by_name():
    assert encoder_named("pca") is PCA
    assert "pca" in encoder_names()
    with pytest.raises(UsageError, match="pca"):
        encoder_named("pcaa")
