"""Networks on a CUDA device: they train, resume, agree with the CPU, and survive its memory."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from embedding_cases import prepared  # noqa: E402
from required import need  # noqa: E402

from spectrarium.domain.errors import TransientError, UsageError  # noqa: E402
from spectrarium.domain.progress import Silent  # noqa: E402
from spectrarium.embed.checkpoint import NAME  # noqa: E402
from spectrarium.embed.conv import Conv, ConvSettings  # noqa: E402
from spectrarium.embed.dense import Dense, DenseSettings  # noqa: E402
from spectrarium.embed.device import device_named  # noqa: E402
from spectrarium.embed.domain import ModelDomain  # noqa: E402
from spectrarium.embed.patch import Patch, PatchSettings  # noqa: E402
from spectrarium.embed.training_set import InMemory  # noqa: E402

DEVICE = "cuda"
N_PIX = 256
DOMAIN = ModelDomain(4000.0, 8000.0, N_PIX, least_coverage=0.2)
QUICK = {"epochs": 6, "batch": 32, "compile": False}
KINDS = {
    "dense": (Dense, DenseSettings(latent=4, widths=(32,), learning_rate=5e-3, **QUICK)),
    "conv": (Conv, ConvSettings(latent=4, channels=8, most_channels=32, **QUICK)),
    "patch": (Patch, PatchSettings(latent=16, linear=4, components=12, tokens=8, width=32, depth=1,
                                   heads=2, hidden=32, learning_rate=5e-3, **QUICK)),
}  # fmt: skip
HUGE = DenseSettings(latent=4, widths=(8192, 4096), **QUICK)
"""40 million weights: 160 MiB, before their gradients."""
LARGE = DenseSettings(latent=4, widths=(2048, 1024), **QUICK)
"""6 million weights: 23 MiB, and three times as much again while it is trained."""


@pytest.fixture(scope="module", autouse=True)
def device() -> None:
    need("cuda", torch.cuda.is_available(), "torch sees no CUDA device")


def world(n: int = 200, seed: int = 0) -> InMemory:
    """Two visits each of objects with three lines of their own depths; gaps in every third."""
    rng = np.random.default_rng(seed)
    who = np.arange(n) // 2
    depth = rng.uniform(0.05, 0.6, (who.max() + 1, 3))[who]
    x = np.arange(N_PIX)
    lines = np.exp(-0.5 * ((x - np.array([[60], [130], [200]])) / 4.0) ** 2)
    sigma = 10 ** rng.uniform(-2, -1, (n, 1)) * np.ones(N_PIX)
    flux = 1 - depth @ lines + sigma * rng.standard_normal((n, N_PIX))
    ivar = sigma**-2
    ivar[::3, 90:110] = 0
    return InMemory(DOMAIN, prepared(flux, ivar), who)


def fitted(name: str, progress=None, where: Path | None = None, data: InMemory | None = None):
    kind, settings = KINDS[name]
    model = kind(DOMAIN, settings)
    model.fit(data or world(), progress, device=DEVICE, checkpoint_dir=where,
              checkpoint_minutes=0.0)  # fmt: skip
    return model


@pytest.fixture(scope="module")
def models() -> dict:
    return {name: fitted(name) for name in KINDS}


def places(model) -> set[str]:
    """Where the weights and buffers of a model lie."""
    return {t.device.type for t in model.network.state_dict().values()}


@pytest.mark.parametrize("name", KINDS)
def test_it_trains_there_and_says_so(models: dict, name: str):
    model = models[name]
    assert (model.device.type, places(model)) == (DEVICE, {DEVICE})
    history = model.report.history
    assert len(history) == QUICK["epochs"]
    assert np.isfinite(history).all()
    assert min(history) < 0.95 * history[0]
    assert model.card["device"].startswith(DEVICE)
    assert np.isfinite(model.scatter).all()
    assert np.isfinite(model.metric_scale()).all()


@pytest.mark.parametrize("name", KINDS)
def test_vectors_are_those_of_the_cpu(models: dict, name: str, tmp_path: Path):
    there = models[name]
    ref = there.save(tmp_path / "model")
    here = type(there).load(tmp_path / "model")
    assert (here.ref, here.device.type, places(here)) == (ref, "cpu", {"cpu"})
    flux, ivar = world(seed=3).take(np.arange(200))
    one, two = there.encode(flux, ivar), here.encode(flux, ivar)
    scale = here.metric_scale()
    np.testing.assert_array_equal(there.metric_scale(), scale)
    for a, b in ((one.vectors, two.vectors), (one.vectors * scale, two.vectors * scale)):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-2 * np.abs(b).max())
    np.testing.assert_allclose(there.decode(two.vectors), here.decode(two.vectors), atol=1e-2)
    np.testing.assert_allclose(one.chi2, two.chi2, rtol=1e-2)
    np.testing.assert_array_equal(one.n_pix, two.n_pix)
    back = here.to(DEVICE)
    assert places(back) == {DEVICE}
    np.testing.assert_allclose(back.encode(flux, ivar).vectors, one.vectors, rtol=0,
                               atol=1e-4 * np.abs(one.vectors).max())  # fmt: skip


def test_what_lies_under_bad_pixels_is_not_seen_there(models: dict):
    flux, ivar = world(60, seed=4).take(np.arange(60))
    wild = np.where(ivar > 0, flux, np.nan)
    for model in models.values():
        np.testing.assert_array_equal(
            model.encode(flux, ivar).vectors, model.encode(wild, ivar).vectors
        )


class StopAfter(Silent):
    """A user who cancels after so many batches of training."""

    def __init__(self, batches: int) -> None:
        self.left, self.stage = batches, ""

    def start(self, what: str, total: int | None) -> None:
        self.stage = what

    def advance(self, steps: int = 1) -> None:
        self.left -= steps * (self.stage == "training")

    def cancelled(self) -> bool:
        return self.left <= 0


@pytest.mark.parametrize("name", KINDS)
def test_interrupted_training_ends_as_if_it_had_not_been(models: dict, name: str, tmp_path: Path):
    """Up to the order of sums, which a GPU does not keep, and bfloat16."""
    for batches in (8, 3):  # within the second epoch, then again soon after it went on
        with pytest.raises(TransientError) as stopped:
            fitted(name, StopAfter(batches), tmp_path)
        assert stopped.value.code == "cancelled"
        assert (tmp_path / NAME).is_file()
    resumed, whole = fitted(name, where=tmp_path), models[name]
    assert len(resumed.report.history) == len(whole.report.history)
    np.testing.assert_allclose(resumed.report.history, whole.report.history, rtol=0.03)
    flux, ivar = world(seed=5).take(np.arange(200))
    spectra = [m.decode(m.encode(flux, ivar).vectors) for m in (resumed, whole)]
    away = np.sqrt(np.mean((spectra[0] - spectra[1]) ** 2))
    assert away < 0.1 * np.std(spectra[1] - spectra[1].mean(axis=0))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_compiled_it_learns_the_same():
    """As networks are trained unless asked otherwise."""
    pytest.importorskip("triton")
    kind, settings = KINDS["dense"]
    losses = []
    for compiled in (False, True):
        model = kind(DOMAIN, dataclasses.replace(settings, compile=compiled))
        losses.append(model.fit(world(), device=DEVICE).history)
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.1)


# memory


@pytest.fixture
def little_memory() -> Iterator[None]:
    """A device that has 64 MiB left for this process."""
    gc.collect()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    share = (torch.cuda.memory_reserved() + 2**26) / total
    torch.cuda.set_per_process_memory_fraction(min(1.0, share))
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    gc.collect()
    torch.cuda.empty_cache()


def refusal(use) -> tuple[str, str]:
    """What is said, and the remedy; the error itself, which holds on to memory, is let go."""
    with pytest.raises(TransientError) as full:
        use()
    assert full.value.code == "out_of_memory"
    assert full.value.where.startswith(DEVICE)
    assert "--device cpu" in full.value.remedy
    return full.value.what, full.value.remedy


@pytest.mark.usefixtures("little_memory")
def test_training_that_does_not_fit_is_a_clear_error_and_the_process_goes_on(models: dict):
    data = world()
    for settings, stage in ((HUGE, "building the network"), (LARGE, "training with 32 spectra")):
        what, remedy = refusal(lambda s=settings: Dense(DOMAIN, s).fit(data, device=DEVICE))
        assert stage in what
        assert "smaller --batch" in remedy
        gc.collect()
        torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1.0)
    again = fitted("dense", data=data)
    np.testing.assert_allclose(again.report.history, models["dense"].report.history, rtol=0.03)


@pytest.mark.usefixtures("little_memory")
def test_a_model_that_does_not_fit_can_still_be_used_on_the_cpu():
    model = Dense(DOMAIN, HUGE)
    model._network = model.build().eval()
    what, remedy = refusal(lambda: model.to(DEVICE))
    assert "moving the network there" in what
    assert "--batch" not in remedy
    flux, ivar = world(4).take(np.arange(4))
    model.to("cpu")
    assert places(model) == {"cpu"}
    assert model.encode(flux, ivar).vectors.shape == (4, 4)


def test_encoding_that_does_not_fit_says_what_embed_can_do(models: dict, monkeypatch):
    model = models["dense"]
    flux, ivar = world(40).take(np.arange(40))
    before = model.encode(flux, ivar).vectors

    def greedy(flux, ivar):
        return torch.empty(2**50, device=flux.device), None  # really asks for it

    monkeypatch.setattr(model.network, "encode", greedy)
    what, remedy = refusal(lambda: model.encode(flux, ivar))
    assert "encoding 256 spectra at a time" in what
    assert "--batch" not in remedy
    monkeypatch.undo()
    np.testing.assert_array_equal(model.encode(flux, ivar).vectors, before)


def test_auto_is_this_device_and_one_that_is_not_there_is_an_error():
    assert device_named("auto").type == DEVICE
    count = torch.cuda.device_count()
    assert device_named(f"cuda:{count - 1}").index == count - 1
    with pytest.raises(UsageError) as missing:
        device_named(f"cuda:{count}")
    assert missing.value.code == "no_device"
