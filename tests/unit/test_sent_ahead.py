"""Encoding: bit for bit the same on a CPU; on CUDA sent ahead, in larger blocks, with TF32."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from spectrarium.embed import deep  # noqa: E402
from spectrarium.embed.deep_data import informative  # noqa: E402
from spectrarium.embed.deep_feed import sent  # noqa: E402
from spectrarium.embed.dense import Dense, DenseSettings  # noqa: E402
from spectrarium.embed.device import quick_products, room  # noqa: E402
from spectrarium.embed.domain import ModelDomain  # noqa: E402

CPU = torch.device("cpu")
CUDA = torch.device("cuda")
GIB = 2**30


def precisions():
    return torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision


def some(n, n_pix):
    rng = np.random.default_rng(n)
    flux = rng.normal(1, 0.1, (n, n_pix)).astype(np.float32)
    ivar = rng.uniform(0.5, 2, (n, n_pix)).astype(np.float32)
    flux[::7, :5], ivar[::5, -9:] = np.nan, 0.0
    return flux, ivar


def untrained(n_pix, **settings):
    torch.manual_seed(4)
    domain = ModelDomain(4000.0, 8000.0, n_pix)
    out = Dense(domain, DenseSettings(latent=3, widths=(8,), **settings))
    out._network = out.build().eval()
    return out


@pytest.mark.parametrize("beta", [0.0, 0.1])
@pytest.mark.parametrize(("n", "n_pix"), [(0, 64), (1, 64), (256, 64), (700, 64), (9, 2**20)])
def test_on_a_cpu_encoding_is_bit_for_bit_what_it_was(n, n_pix, beta):
    """Blocks of at most 256 spectra and 2²² values, one after the other, as they were."""
    model, (flux, ivar) = untrained(n_pix, beta=beta), some(n, n_pix)
    rows = min(256, 2**22 // n_pix)
    vectors, variances = [], []
    with torch.inference_mode():
        for start in range(0, max(n, 1), rows):
            block = informative(flux[start : start + rows], ivar[start : start + rows])
            mean, log_variance = model.network.encode(*(torch.from_numpy(a) for a in block))
            spread = mean * np.nan if log_variance is None else log_variance.exp()
            vectors.append(mean.numpy())
            variances.append(spread.numpy())
    before, seen = precisions(), []
    model.network.down_linear.register_forward_pre_hook(lambda *_: seen.append(precisions()))
    found = model._vectors(flux, ivar)
    np.testing.assert_array_equal(found[0], np.concatenate(vectors))
    np.testing.assert_array_equal(found[1], np.concatenate(variances))
    assert found[0].dtype == found[1].dtype == np.float32
    assert set(seen) == {before}
    assert precisions() == before


def test_tf32_is_set_for_cuda_alone_and_put_back():
    before = precisions()
    with quick_products(CPU):
        assert precisions() == before
    with quick_products(CUDA):
        assert precisions() == ("tf32", "tf32")
    assert precisions() == before
    with pytest.raises(ValueError, match="inside"), quick_products(CUDA):
        raise ValueError("inside")
    assert precisions() == before
    assert torch.backends.cuda.matmul.allow_tf32 is False, "whoever asks in the old words can"


@pytest.mark.parametrize(
    ("free", "cached", "times"),
    [(139 * GIB, 0, 16), (16 * GIB, 0, 2), (8 * GIB, 8 * GIB, 2), (GIB, 0, 1), (0, 0, 1)],
)
def test_blocks_grow_with_the_free_memory_of_a_card(monkeypatch, free, cached, times):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 140 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: cached + GIB)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: GIB)
    assert room(CUDA, deep._BLOCK_VALUES * deep._BYTES_A_VALUE) == times
    assert room(CPU, 1) == 1


@pytest.fixture
def card(monkeypatch):
    """A make-believe card: what is asked of it is written down, in order."""
    log = []

    class Event:
        def __init__(self, what):
            self.what = what

        def synchronize(self):
            log.append(f"host waits for {self.what}")

    class Stream:
        name, last = "copies", ""

        def __init__(self, device=None):
            self.device = device

        def record_event(self):
            return Event(self.last)

        def wait_event(self, event):
            log.append(f"{self.name} waits for {event.what}")

    computing, copying = Stream(), []
    computing.name = "computing"

    @contextmanager
    def on(stream):
        copying.append(stream)
        yield
        copying.pop()

    def to(tensor, device, non_blocking=False):
        assert non_blocking
        assert copying, "copied on the stream for copies"
        copying[0].last = f"copy {int(tensor[0])}"
        log.append(copying[0].last)
        return tensor

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: computing)
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda t: t)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda t, s: log.append(
        f"{s.name} holds {int(t[0])}"))  # fmt: skip
    monkeypatch.setattr(torch.Tensor, "to", to)
    return SimpleNamespace(device=SimpleNamespace(type="cuda"), log=log, computing=computing)


@pytest.mark.parametrize("n", [0, 1, 2, 6])
def test_the_next_block_is_on_its_way_while_one_is_in_use(card, n):
    came = []
    for (block,) in sent(((np.full(2, i, np.float32),) for i in range(n)), card.device):
        i = int(block[0])
        card.computing.last = f"compute {i}"
        card.log.append(card.computing.last)
        came.append(i)
    assert came == list(range(n))
    place = {what: at for at, what in enumerate(card.log)}
    for i in range(n):
        assert place[f"copy {i}"] < place[f"computing waits for copy {i}"] < place[f"compute {i}"]
        assert place[f"computing holds {i}"] < place[f"compute {i}"]
        if i + 1 < n:
            assert place[f"copy {i + 1}"] < place[f"compute {i}"], "sent before this one is used"
        if i > 2:
            assert place[f"host waits for compute {i - 3}"] < place[f"copy {i}"], "three at most"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
def test_a_card_gives_the_vectors_of_a_cpu():
    model, (flux, ivar) = untrained(64, beta=0.1), some(5000, 64)
    there = model._vectors(flux, ivar)
    here = model.to("cuda")._vectors(flux, ivar)
    for a, b in zip(there, here, strict=True):
        np.testing.assert_allclose(a, b, rtol=5e-3, atol=5e-3 * np.abs(a).max())
