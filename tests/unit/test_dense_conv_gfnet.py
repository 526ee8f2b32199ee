"""Three network designs: better than linear where the world is not, right shapes at any size."""

from __future__ import annotations

import resource
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from embedding_cases import prepared  # noqa: E402

from spectrarium.domain.errors import UsageError  # noqa: E402
from spectrarium.embed.conv import Conv, ConvNetwork, ConvSettings, shape_of  # noqa: E402
from spectrarium.embed.dense import Dense, DenseNetwork, DenseSettings  # noqa: E402
from spectrarium.embed.domain import ModelDomain  # noqa: E402
from spectrarium.embed.gfnet import GFNet, GFNetSettings, GFNetwork, GlobalFilter  # noqa: E402
from spectrarium.embed.network import misfit  # noqa: E402
from spectrarium.embed.pca import PCA  # noqa: E402
from spectrarium.embed.pca_fit import FitSettings  # noqa: E402
from spectrarium.embed.training_set import InMemory  # noqa: E402

N_PIX = 120
DOMAIN = ModelDomain(4000.0, 8000.0, N_PIX)
KINDS = {
    "dense": (Dense, DenseSettings(latent=2, epochs=40, widths=(64, 32))),
    "conv": (Conv, ConvSettings(latent=2, epochs=25, learning_rate=1e-3, most_channels=64)),
    "gfnet": (GFNet, GFNetSettings(latent=2, epochs=30, width=32, blocks=2)),
}


def moving_line(n: int, seed: int) -> tuple[InMemory, np.ndarray]:
    """Two parameters, far from linear: an emission line that moves and broadens. And the truth."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, N_PIX)
    centre, width = rng.uniform(0.3, 0.7, (n, 1)), rng.uniform(0.04, 0.09, (n, 1))
    truth = 1 + np.exp(-0.5 * ((x - centre) / width) ** 2)
    sigma = 10 ** rng.uniform(-2, -1, (n, 1)) * np.ones(N_PIX)
    flux = truth + sigma * rng.standard_normal(truth.shape)
    return InMemory(DOMAIN, prepared(flux, sigma**-2), np.arange(n)), truth


@pytest.fixture(scope="module")
def models() -> dict:
    data, _ = moving_line(700, 1)
    out = {}
    for name, (kind, settings) in KINDS.items():
        out[name] = kind(DOMAIN, settings)
        out[name].fit(data, device="cpu")
    return out


def rms(model, data: InMemory, truth: np.ndarray) -> float:
    flux, ivar = data.take(np.arange(len(data)))
    return float(np.sqrt(np.mean((model.decode(model.encode(flux, ivar).vectors) - truth) ** 2)))


@pytest.mark.parametrize("name", KINDS)
def test_two_latents_beat_two_linear_components_on_objects_never_seen(models: dict, name: str):
    linear = PCA(DOMAIN, FitSettings(n_components=2))
    linear.fit(moving_line(700, 1)[0])
    new = moving_line(200, 2)
    assert rms(models[name], *new) < 0.5 * rms(linear, *new)


@pytest.mark.parametrize("name", KINDS)
def test_missing_pixels_and_noise_move_a_vector_little(models: dict, name: str):
    data, truth = moving_line(200, 3)
    model = models[name]
    ivar = np.full(truth.shape, 1e4)
    whole = model.encode(truth, ivar).vectors * model.metric_scale()
    gappy = ivar.copy()
    for i in range(len(gappy)):
        gappy[i, (i * 7) % 100 : (i * 7) % 100 + 6] = 0
    moved = model.encode(truth, gappy).vectors * model.metric_scale() - whole
    assert np.median(np.abs(moved)) < 0.15 * whole.std()
    flux, noisy = data.take(np.arange(200))
    moved = model.encode(flux, noisy).vectors * model.metric_scale() - whole
    assert np.median(np.abs(moved)) < 0.15 * whole.std()
    assert np.isfinite(model.decode(model.encode(flux, gappy).vectors)).all()


@pytest.mark.parametrize("name", KINDS)
def test_vectors_know_the_physics(models: dict, name: str):
    """Neighbours in the metric are spectra of alike lines."""
    _, truth = moving_line(300, 4)
    vectors = models[name].encode(truth, np.full(truth.shape, 1e4)).vectors
    vectors = vectors * models[name].metric_scale()
    apart = np.linalg.norm(vectors[:, None] - vectors[None], axis=2) + np.eye(300) * 1e9
    alike = np.linalg.norm(truth[:, None] - truth[None], axis=2)
    assert np.median(alike[np.arange(300), apart.argmin(axis=1)]) < 0.25 * np.median(alike)


@pytest.mark.parametrize("name", KINDS)
def test_variational_ones_have_a_posterior_and_plain_ones_say_they_have_none(
    models: dict, name: str
):
    kind, _ = KINDS[name]
    data, _ = moving_line(150, 5)
    flux, ivar = data.take(np.arange(150))
    assert np.isnan(models[name].encode(flux, ivar).variance).all()
    settings = type(KINDS[name][1])(latent=3, epochs=2, beta=1.0)
    model = kind(DOMAIN, settings)
    model.fit(data, device="cpu")
    out = model.encode(flux, ivar)
    assert (out.variance > 0).all()
    assert out.vectors.shape == out.variance.shape == (150, 3)
    np.testing.assert_array_equal(out.vectors, model.encode(flux, ivar).vectors)  # no dice


def test_a_strong_divergence_makes_the_posterior_the_prior():
    data, _ = moving_line(200, 6)
    flux, ivar = data.take(np.arange(200))
    model = Dense(DOMAIN, DenseSettings(latent=3, epochs=40, batch=16, beta=1e4, widths=(32,)))
    model.fit(data, device="cpu")
    out = model.encode(flux, ivar)
    assert np.abs(out.variance - 1).mean() < 0.05
    assert np.abs(out.vectors).mean() < 0.1


SHAPES = [
    (313_000, 327_680, 10, 15),
    (327_680, 327_680, 10, 15),
    (1_000, 1_024, 16, 6),
    (4_000, 4_096, 16, 8),
    (20, 20, 10, 1),
    (2, 2, 1, 1),
]


@pytest.mark.parametrize(("n_pix", "length", "end", "depth"), SHAPES)
def test_the_depth_follows_the_grid(n_pix: int, length: int, end: int, depth: int):
    shape = shape_of(n_pix, ConvSettings())
    assert (shape.length, shape.end, len(shape.channels) - 1) == (length, end, depth)


@pytest.mark.parametrize("n_pix", [2, 7, 20, 333, 1000, 4001])
def test_any_grid_comes_back_at_its_own_length(n_pix: int):
    flux, ivar = torch.randn(3, n_pix), torch.ones(3, n_pix)
    for network in (
        ConvNetwork(n_pix, ConvSettings(latent=5)),
        DenseNetwork(n_pix, DenseSettings(latent=5, pixels=300)),
        GFNetwork(n_pix, GFNetSettings(latent=5, blocks=1)),
    ):
        vectors, log_variance = network.encode(flux, ivar)
        assert vectors.shape == (3, 5)
        assert log_variance is None
        assert network.decode(vectors).shape == (3, n_pix)
        assert torch.isfinite(network.decode(vectors)).all()


def test_an_echelle_spectrum_passes_through_15_convolutions_and_back():
    n_pix = 313_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    network = ConvNetwork(n_pix, ConvSettings())
    convolutions = [m for m in network.down if isinstance(m, torch.nn.Conv1d)]
    assert len(convolutions) == 15
    assert len([m for m in network.up if isinstance(m, torch.nn.ConvTranspose1d)]) == 15
    flux = torch.randn(1, n_pix)
    ivar = torch.full((1, n_pix), 100.0)
    vectors, _ = network.encode(flux, ivar)
    model = network.decode(vectors)
    assert vectors.shape == (1, 128)
    assert model.shape == (1, n_pix)
    misfit(flux, ivar, model, network.floor, 5.0).mean().backward()
    for part in (convolutions[0], network.narrow, network.widen, network.up[0], network.up[-1]):
        assert float(part.weight.grad.abs().max()) > 0
    assert 0.05 < vectors.std().item() < 20  # neither vanishes nor explodes in 30 layers
    assert 0.05 < model.std().item() < 20
    assert time.process_time() - start < 60
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20 < 2.0  # GiB


@pytest.mark.parametrize("latent", [4, 8192])
def test_latents_from_4_to_8192(latent: int):
    network = ConvNetwork(1000, ConvSettings(latent=latent))
    assert network.decode(torch.randn(1, latent)).shape == (1, 1000)


def test_what_is_padded_is_not_seen():
    """A grid that needs padding and its padding given as missing pixels are the same input."""
    torch.manual_seed(0)
    short, whole = (ConvNetwork(n, ConvSettings(latent=4, layers=6)) for n in (1000, 1024))
    whole.load_state_dict({k: v for k, v in short.state_dict().items() if v.shape != (1000,)},
                          strict=False)  # fmt: skip
    flux, ivar = torch.randn(2, 1000), torch.ones(2, 1000)
    padded = [torch.nn.functional.pad(t, (12, 12), value=0.0) for t in (flux, ivar)]
    torch.testing.assert_close(short.encode(flux, ivar)[0], whole.encode(*padded)[0])


def test_bins_are_the_ivar_weighted_mean_of_what_they_hold():
    network = DenseNetwork(10, DenseSettings(latent=2, pixels=4))  # bins of three: 3, 3, 3 and 1
    network.mean.zero_()
    flux = torch.arange(10.0)[None]
    ivar = torch.full((1, 10), 1e6)
    ivar[0, 1] = 0
    value, trust = network.inputs(flux, ivar)[0]
    torch.testing.assert_close(value, torch.tensor([1.0, 4.0, 7.0, 9.0]), rtol=1e-4, atol=1e-4)
    assert (trust > 0.999).all()
    ivar[0, 3:6] = torch.tensor([1e-9, 1e6, 3e6])
    value, _ = network.inputs(flux, ivar)[0]
    assert float(value[1]) == pytest.approx((4 * 1e6 + 5 * 3e6) / 4e6, rel=1e-4)
    ivar[0, 3:6] = 0
    assert network.inputs(flux, ivar)[0, :, 1].tolist() == [0, 0]


def test_a_global_filter_is_a_circular_convolution_of_full_length():
    torch.manual_seed(1)
    layer = GlobalFilter(12, 2)
    pieces = torch.randn(1, 12, 2)
    weight = torch.view_as_complex(layer.weight.detach())
    kernel = torch.fft.irfft(weight, n=12, dim=0)
    at = (torch.arange(12)[:, None] - torch.arange(12)[None]) % 12
    expected = torch.einsum("stc,tc->sc", kernel[at], pieces[0])
    torch.testing.assert_close(layer(pieces)[0].detach(), expected)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [(ConvSettings, {"latent": 8193}), (ConvSettings, {"kernel": 5}), (ConvSettings, {"layers": 0}),
     (ConvSettings, {"most_channels": 3}), (GFNetSettings, {"tokens": 1}),
     (GFNetSettings, {"width": 0}), (DenseSettings, {"widths": (0,)})],
)  # fmt: skip
def test_shapes_that_cannot_be_built_are_refused(kind: type, wrong: dict):
    with pytest.raises(UsageError) as refused:
        kind(**wrong)
    assert refused.value.code == "bad_fit"
