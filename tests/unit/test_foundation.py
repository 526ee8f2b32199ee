"""Networks of others: tiny random weights in the published layout, through the same code."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from safetensors.torch import save_file  # noqa: E402

from spectrarium.domain.derived import NoiseSource  # noqa: E402
from spectrarium.domain.errors import DataError, TransientError, UsageError  # noqa: E402
from spectrarium.embed.card import read_card, write_card  # noqa: E402
from spectrarium.embed.domain import ModelDomain  # noqa: E402
from spectrarium.embed.encoder import encoder_named  # noqa: E402
from spectrarium.embed.foundation import Aion, SpecFormer, WeightsSettings, bridge  # noqa: E402
from spectrarium.embed.prepare import Prepared  # noqa: E402
from spectrarium.embed.specformer_net import (  # noqa: E402
    AstroClipSpectrumHead,
    SpecFormerNet,
    SpecFormerShape,
)
from spectrarium.embed.training_set import InMemory  # noqa: E402

DOMAIN = ModelDomain(3650.0, 9700.0, 1400)
SHAPE = SpecFormerShape(embed_dim=16, num_layers=2, num_heads=2)


def survey(n=60, seed=1):
    """Lines whose depth varies, with gaps."""
    rng = np.random.default_rng(seed)
    wave = DOMAIN.wave_aa
    depth = rng.uniform(-0.6, 0.8, (n, 1))
    slope = rng.normal(0, 0.3, (n, 1))
    flux = 1 + slope * (wave / 6500 - 1) + depth * np.exp(-0.5 * ((wave - 6563) / 40) ** 2)
    ivar = np.full(flux.shape, 2500.0)
    flux = flux + rng.normal(0, 0.02, flux.shape)
    ivar[::7, 300:330] = 0
    flux[ivar == 0] = 0
    return Prepared(flux.astype("f4"), ivar.astype("f4"), np.ones(n), np.full(n, 50.0),
                    np.ones(n), (NoiseSource.DELIVERED,) * n, np.arange(n))  # fmt: skip


@pytest.fixture
def specformer_file(tmp_path):
    torch.manual_seed(3)
    net = SpecFormerNet(SHAPE)
    path = tmp_path / "specformer.ckpt"
    hyper = {"num_heads": 2, "slice_section_length": 20, "slice_overlap": 10}
    torch.save({"state_dict": net.state_dict(), "hyper_parameters": hyper}, path)
    return path, net.eval()


@pytest.fixture
def aion_folder(tmp_path):
    pytest.importorskip("aion")
    from aion.codecs.spectrum import SpectrumCodec
    from aion.model import AION

    torch.manual_seed(4)
    config = {"domains_in": ["tok_spectrum_desi"], "domains_out": ["tok_spectrum_desi"], "dim": 32,
              "encoder_depth": 2, "decoder_depth": 1, "num_heads": 2, "mlp_ratio": 2,
              "qkv_bias": False, "proj_bias": False, "mlp_bias": False, "norm_bias": False,
              "act_layer": "SiLU", "gated_mlp": True, "qk_norm": True}  # fmt: skip
    codec = {"encoder_depths": [1, 1, 1, 1], "encoder_dims": [8, 8, 16, 16],
             "decoder_depths": [1, 1, 1, 1], "decoder_dims": [8, 8, 8, 1], "latent_channels": 16,
             "embedding_dim": 10}  # fmt: skip
    inner = tmp_path / "aion" / "codecs" / "spectrum"
    inner.mkdir(parents=True)
    for folder, made, settings in (
        (tmp_path / "aion", AION(dict(config)), config), (inner, SpectrumCodec(**codec), codec),
    ):  # fmt: skip
        state = {k: v.clone().contiguous() for k, v in made.state_dict().items()}
        save_file(state, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(settings))
    return tmp_path / "aion"


def fitted(kind, weights):
    model = kind(DOMAIN, WeightsSettings(str(weights)))
    batch = survey()
    model.fit(InMemory(DOMAIN, batch), device="cpu")
    return model, batch


def test_specformer_gives_what_the_network_gives(specformer_file):
    path, net = specformer_file
    model, batch = fitted(SpecFormer, path)
    grid = np.linspace(3600, 9824, 7781)
    one = np.interp(grid, DOMAIN.wave_aa, batch.flux[1]).astype("f4")
    with torch.inference_mode():
        expected = net(torch.from_numpy(one)[None])[:, 1:].mean(dim=1).numpy()
    found = model.encode(batch.flux, batch.ivar).vectors
    np.testing.assert_allclose(found[1], expected[0], rtol=1e-4, atol=1e-5)


def test_sections_carry_mean_and_spread_first(specformer_file):
    _, net = specformer_file
    flux = torch.rand(2, 200) + 3
    parts = net.sections(flux)
    assert parts.shape == (2, 1 + 19, 22)
    assert torch.allclose(parts[:, 0, 0], (flux.mean(1) - 2) / 2)
    assert torch.allclose(parts[:, 0, 1], (flux.std(1).clamp(min=0.2) - 2) / 8)


def test_astroclip_weights_are_told_from_specformer_s(tmp_path):
    torch.manual_seed(5)
    head = AstroClipSpectrumHead(SHAPE, 32, 4)
    state = {f"spectrum_encoder.{k}": v for k, v in head.state_dict().items()}
    state["image_encoder.anything"] = torch.zeros(3)
    path = tmp_path / "astroclip.safetensors"
    save_file(state, path)
    (tmp_path / "config.json").write_text(json.dumps({"num_heads": 2}))
    model, batch = fitted(SpecFormer, path)
    assert model.encode(batch.flux, batch.ivar).vectors.shape == (60, 32)


@pytest.mark.parametrize("name", ["specformer", "aion"])
def test_saved_and_loaded_it_says_the_same(name, request, tmp_path):
    fixture = request.getfixturevalue("aion_folder" if name == "aion" else "specformer_file")
    weights = fixture if name == "aion" else fixture[0]
    kind = encoder_named(name)
    model, batch = fitted(kind, weights)
    ref = model.save(tmp_path / "model")
    again = kind.load(tmp_path / "model")
    assert again.ref == ref
    assert again.to("cpu").device.type == "cpu"
    with pytest.raises(UsageError, match="cuda:99"):
        again.to("cuda:99")
    one, two = model.encode(batch.flux, batch.ivar), again.encode(batch.flux, batch.ivar)
    np.testing.assert_array_equal(one.vectors, two.vectors)
    assert np.isnan(one.variance).all(), "no posterior: said, not invented"
    assert one.vectors.std(axis=0).max() > 0
    few = model.encode(batch.flux[:5], batch.ivar[:5]).vectors
    np.testing.assert_allclose(one.vectors[:5], few, atol=1e-5)
    line = np.abs(DOMAIN.wave_aa - 6563) < 60
    left = (batch.flux - model.decode(one.vectors))[:, line].std()
    assert left < 0.9 * (batch.flux - batch.flux.mean(axis=0))[:, line].std()
    assert np.isfinite(one.chi2).all()
    assert model.metric_scale().shape == one.vectors.shape[1:]
    changed = weights / "model.safetensors" if name == "aion" else weights
    changed.write_bytes(changed.read_bytes()[:-4] + b"\0\0\1\1")
    with pytest.raises(DataError) as caught:
        kind.load(tmp_path / "model")
    assert caught.value.code in ("weights_changed", "bad_weights")


def test_a_card_with_a_path_as_it_was_typed_still_loads(specformer_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model, _ = fitted(SpecFormer, specformer_file[0].name)
    assert model.settings.weights == str(specformer_file[0])
    model.save(tmp_path / "model")
    path = tmp_path / "model" / "card.json"
    card = json.loads(path.read_text())
    card["settings"]["weights"] = specformer_file[0].name
    del card["card_hash"]  # cards of then had none
    path.write_text(json.dumps(card))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert SpecFormer.load(tmp_path / "model").ref == model.ref


def test_weights_of_another_architecture_are_refused(tmp_path, specformer_file):
    path = tmp_path / "other.safetensors"
    save_file({"conv.weight": torch.zeros(3, 3)}, path)
    with pytest.raises(DataError, match="not those of SpecFormer") as caught:
        SpecFormer(DOMAIN, WeightsSettings(str(path)))
    assert caught.value.code == "other_architecture"
    state = specformer_file[1].state_dict()
    state["blocks.0.mlp.encoder.weight"] = torch.zeros(5, 5)
    save_file(state, path)
    with pytest.raises(DataError, match="mlp"):
        SpecFormer(DOMAIN, WeightsSettings(str(path)))


class Evil:
    def __reduce__(self):
        return print, ("weights ran code",)


@pytest.mark.parametrize(
    "content", [b"", b"no weights at all", pickle.dumps({"state_dict": Evil()}, protocol=2)],
    ids=["empty", "text", "hostile"],
)  # fmt: skip
def test_damaged_or_hostile_weights_are_refused(tmp_path, content, capsys):
    for name in ("weights.ckpt", "weights.safetensors"):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            SpecFormer(DOMAIN, WeightsSettings(str(path)))
        assert caught.value.code == "bad_weights"
    assert "ran code" not in capsys.readouterr().out


def test_no_weights_no_overlap_no_guess(tmp_path):
    for settings in (None, WeightsSettings()):
        with pytest.raises(UsageError) as caught:
            Aion(DOMAIN, settings)
        assert caught.value.code == "needs_weights"
    with pytest.raises(UsageError) as caught:
        SpecFormer(DOMAIN, WeightsSettings(str(tmp_path / "none.ckpt")))
    assert caught.value.code == "no_weights"
    with pytest.raises(UsageError) as caught:
        SpecFormer(ModelDomain(15_100.0, 17_000.0, 4000), WeightsSettings("x"))
    assert caught.value.code == "other_grid"


@pytest.mark.parametrize(
    "change", [{"settings": {"batch": 0}}, {"settings": {"weights": 5}}, {"settings": []},
               {"settings": {"invented": 1}}, {"network": {}}, {"network": 5}, {"domain": {}},
               {"domain": DOMAIN.to_json() | {"flux_kind": "loud"}},
               {"domain": DOMAIN.to_json() | {"n_pix": 1300}}],
    ids=str,
)  # fmt: skip
def test_nonsense_in_a_card_is_said(specformer_file, tmp_path, change):
    model, _ = fitted(SpecFormer, specformer_file[0])
    model.save(tmp_path / "model")
    write_card(tmp_path / "model", read_card(tmp_path / "model") | change)
    with pytest.raises(DataError) as caught:
        SpecFormer.load(tmp_path / "model")
    assert caught.value.code == "bad_model"
    assert str(tmp_path / "model") in caught.value.where


def test_out_of_memory_says_which_batch_to_make_smaller(specformer_file, monkeypatch):
    model, batch = fitted(SpecFormer, specformer_file[0])

    def greedy(*args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(model, "_vectors", greedy)
    with pytest.raises(TransientError, match="encoding 16 spectra at a time") as full:
        model.encode(batch.flux, batch.ivar)
    assert "train it again with a smaller --batch" in full.value.remedy


def test_weights_that_are_gone_are_the_users_to_put_back(specformer_file, tmp_path):
    model, _ = fitted(SpecFormer, specformer_file[0])
    model.save(tmp_path / "model")
    specformer_file[0].unlink()
    with pytest.raises(UsageError) as caught:
        SpecFormer.load(tmp_path / "model")
    assert caught.value.code == "no_weights"


def test_a_constant_component_counts_nothing_and_vectors_come_back():
    from spectrarium.domain.derived import Embedding, ModelRef
    from spectrarium.embed.readout import fit_readout
    from spectrarium.explore.neighbours import ExactIndex

    batch = survey()
    vectors = np.random.default_rng(0).normal(0, 1, (60, 4)).astype("f4")
    vectors[:, 2] = 5.0
    readout = fit_readout(vectors, batch.flux, batch.ivar, np.arange(60))
    embedding = Embedding(ModelRef("m", "1", "0" * 64, ""), vectors, np.arange(60))
    index = ExactIndex(embedding, readout.metric_scale())
    np.testing.assert_allclose(index.vectors(np.arange(60)), vectors, rtol=1e-5)
    moved = vectors[:1] + np.array([[0, 0, 1, 0]], "f4")
    assert index.search(moved, 1).distance[0, 0] < 1e-5


def test_gaps_are_bridged_and_ends_filled_with_the_mean():
    flux = np.array([[0, 1, 0, 3, 0]], "f4")
    ivar = np.array([[0, 1, 0, 1, 0]], "f4")
    np.testing.assert_allclose(bridge(flux, ivar), [[2, 1, 2, 3, 2]])
    with pytest.raises(UsageError) as caught:
        bridge(flux, ivar * 0)
    assert caught.value.code == "no_good_pixels"
