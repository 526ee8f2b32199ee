"""Our main encoder: blind to what is not there, to shifts and to batches; whole after a crash."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from embedding_cases import prepared  # noqa: E402

from spectrarium.domain.errors import DataError, TransientError, UsageError  # noqa: E402
from spectrarium.domain.progress import Silent  # noqa: E402
from spectrarium.embed.augment import (  # noqa: E402
    Strengths,
    augmented,
    blurred,
    cropped,
    gapped,
    noisier,
    shifted,
    tilted,
)
from spectrarium.embed.card import read_model, write_model  # noqa: E402
from spectrarium.embed.channels import (  # noqa: E402
    channels,
    continuum,
    running_sum,
    significant,
)
from spectrarium.embed.domain import FluxKind, ModelDomain  # noqa: E402
from spectrarium.embed.patch import Patch, PatchSettings, contrast  # noqa: E402
from spectrarium.embed.patch_net import PatchNetwork  # noqa: E402
from spectrarium.embed.pca import PCA  # noqa: E402
from spectrarium.embed.pca_fit import FitSettings  # noqa: E402
from spectrarium.embed.prepare import flux_scale  # noqa: E402
from spectrarium.embed.training_set import InMemory  # noqa: E402
from spectrarium.embed.weights import arrays_of  # noqa: E402

N_PIX = 256
DOMAIN = ModelDomain(4000.0, 8000.0, N_PIX, least_coverage=0.2)
TINY = PatchSettings(
    latent=16, linear=4, components=16, tokens=8, width=32, depth=1, heads=2, hidden=32, epochs=60,
    velocity_kms=3 * DOMAIN.pixel_kms, continuum_kms=9000.0, blur_pix=0.0, noise=2.0, tilt=0.05,
    gap=0.05, spikes=0.0, masked=0.0, temperature=0.1, learning_rate=5e-3,
)  # fmt: skip
LINES = np.array([30, 62, 85, 120, 131, 170, 205, 230])


def world(n: int, seed: int, shift: float = 0.0, visits: int = 1, noise: float = 0.03):
    """Stars with eight lines of various depths on a sloping continuum, shifted by up to `shift` px.

    Returns the training set, the depths and the shifts.
    """
    rng = np.random.default_rng(seed)
    depths = np.repeat(rng.uniform(0.0, 0.6, (n, len(LINES))), visits, axis=0)
    slope = np.repeat(rng.normal(0, 0.2, (n, 1)), visits, axis=0)
    moved = rng.uniform(-shift, shift, (n * visits, 1))
    x = np.arange(N_PIX)[None]
    flux = 1.0 + slope * (x / N_PIX - 0.5)
    for j, at in enumerate(LINES):
        flux = flux * (1 - depths[:, j : j + 1] * np.exp(-0.5 * ((x - at - moved) / 3.5) ** 2))
    flux = flux + noise * rng.standard_normal(flux.shape)
    batch = prepared(flux, np.full(flux.shape, noise**-2))
    return InMemory(DOMAIN, batch, np.repeat(np.arange(n), visits)), depths, moved[:, 0]


def compared(model, data: InMemory) -> np.ndarray:
    flux, ivar = data.take(np.arange(len(data)))
    return model.encode(flux, ivar).vectors * model.metric_scale()


@pytest.fixture(scope="module")
def pca() -> PCA:
    model = PCA(DOMAIN, FitSettings(n_components=12))
    model.fit(world(500, 1, shift=6.0)[0])
    return model


@pytest.fixture(scope="module")
def fitted() -> Patch:
    torch.set_num_threads(1)  # more only wait for each other on so small a network
    model = Patch(DOMAIN, TINY)
    model.fit(world(500, 1, shift=6.0)[0], device="cpu")
    return model


def test_a_star_at_another_velocity_stays_nearer_than_in_pca(fitted: Patch, pca: PCA):
    pairs = world(150, 2, shift=6.0, visits=2)[0]
    found = {}
    for name, model in (("patch", fitted), ("pca", pca)):
        vectors = compared(model, pairs)
        gap = np.linalg.norm(vectors[0::2, None] - vectors[None, 1::2], axis=2)
        found[name] = (gap.argmin(axis=1) == np.arange(150)).mean()
    assert found["patch"] > 0.5
    assert found["patch"] > found["pca"] + 0.15


def test_velocity_cannot_be_read_off_what_distances_feel(fitted: Patch, pca: PCA):
    data, _, moved = world(600, 3, shift=6.0)
    explained = {}
    for name, model in (("patch", fitted), ("pca", pca)):
        vectors = compared(model, data)
        if name == "patch":
            vectors = vectors[:, : fitted.network.similarity]
        design = np.c_[np.ones(len(vectors)), vectors / vectors.std(axis=0)]
        weights = np.linalg.lstsq(design[:300], moved[:300], rcond=None)[0]
        left = moved[300:] - design[300:] @ weights
        explained[name] = 1 - left.var() / moved[300:].var()
    assert explained["patch"] < 0.5 * explained["pca"], "one axis apart, of twelve"


def test_what_is_apart_is_kept_for_decoding(fitted: Patch):
    data = world(600, 3, shift=6.0)[0]
    flux, ivar = data.take(np.arange(600))
    vectors = fitted.encode(flux, ivar).vectors
    network = fitted.network
    apart = vectors[:, network.similarity : network.summarised]
    assert apart.shape[1] == sum(fitted.settings.apart) > 0
    assert apart.std(axis=0) == pytest.approx(1.0, abs=0.5)
    without = vectors.copy()
    without[:, network.similarity : network.summarised] = 0
    wrong = [((fitted.decode(v) - flux) ** 2 * ivar).mean() for v in (vectors, without)]
    assert wrong[0] < wrong[1]


def test_nothing_that_lies_where_there_is_no_information_matters(fitted: Patch):
    flux, ivar = world(5, 4)[0].take(np.arange(5))
    flux, ivar = flux.copy(), ivar.copy()
    ivar[:, 100:150] = 0
    wild = flux.copy()
    wild[:, 100:150] = np.nan
    wild[0, 120] = 1e8
    a, b = fitted.encode(flux, ivar), fitted.encode(wild, ivar)
    np.testing.assert_array_equal(a.vectors, b.vectors)
    assert (a.n_pix == N_PIX - 50).all()


def test_tokens_without_information_are_not_looked_at():
    torch.manual_seed(0)
    network = PatchNetwork(DOMAIN, TINY).eval()
    for block in network.blocks:  # silent at first: make attention matter
        torch.nn.init.normal_(block.out.weight, std=0.3)
    flux, ivar = (torch.from_numpy(a) for a in world(4, 5)[0].take(np.arange(4)))
    ivar = ivar.clone()
    ivar[:, 128:] = 0
    with torch.no_grad():
        coefficients = network.linear(flux, ivar)
        before = network.summarise(flux, ivar, coefficients)
        network.position[20] += 100.0  # one of the tokens that carry nothing
        assert torch.equal(before, network.summarise(flux, ivar, coefficients))
        network.position[2] += 100.0  # one that does
        assert not torch.allclose(before, network.summarise(flux, ivar, coefficients))


def test_an_end_that_is_not_covered_moves_a_star_little(fitted: Patch):
    data = world(120, 6)[0]
    flux, ivar = data.take(np.arange(120))
    part = ivar.copy()
    part[:, 236:] = 0
    whole = compared(fitted, data)
    vectors = fitted.encode(flux, part).vectors * fitted.metric_scale()
    gap = np.linalg.norm(vectors[:, None] - whole[None], axis=2)
    assert (gap.argsort(axis=1)[:, :5] == np.arange(120)[:, None]).any(axis=1).mean() > 0.5


def test_a_vector_does_not_depend_on_its_neighbours(fitted: Patch):
    flux, ivar = world(300, 7)[0].take(np.arange(300))
    together = fitted.encode(flux, ivar).vectors
    alone = fitted.encode(flux[255:258], ivar[255:258]).vectors
    np.testing.assert_allclose(together[255:258], alone, rtol=1e-4, atol=1e-5)


def test_decodes_to_spectra_better_than_the_mean(fitted: Patch):
    flux, ivar = world(100, 8, shift=6.0)[0].take(np.arange(100))
    encoded = fitted.encode(flux, ivar)
    model = fitted.decode(encoded.vectors)
    assert model.shape == (100, N_PIX)
    assert model.dtype == np.float32
    assert np.mean((model - flux) ** 2) < 0.6 * np.mean((flux.mean(axis=0) - flux) ** 2)
    assert np.isnan(encoded.variance).all()


def test_saved_and_loaded_is_the_same_model(fitted: Patch, tmp_path):
    ref = fitted.save(tmp_path / "model")
    again = Patch.load(tmp_path / "model")
    flux, ivar = world(9, 9)[0].take(np.arange(9))
    assert again.ref == ref
    np.testing.assert_array_equal(again.metric_scale(), fitted.metric_scale())
    np.testing.assert_array_equal(
        again.encode(flux, ivar).vectors, fitted.encode(flux, ivar).vectors
    )
    np.testing.assert_array_equal(
        again.decode(again.encode(flux, ivar).vectors),
        fitted.decode(fitted.encode(flux, ivar).vectors),
    )


def test_a_model_from_before_snr_was_put_apart_is_as_it_was(tmp_path):
    model = Patch(DOMAIN, dataclasses.replace(TINY, latent=40, epochs=2, snr_axes=0))
    model.fit(world(100, 1)[0], device="cpu")
    model.save(tmp_path / "now")
    _, card = read_model(tmp_path / "now")
    assert card["settings"].pop("snr_axes") == 0
    write_model(tmp_path / "before", arrays_of(model.network), card, safetensors=True)
    again = Patch.load(tmp_path / "before")
    assert again.network.similarity == model.network.similarity
    np.testing.assert_array_equal(again.metric_scale(), model.metric_scale())


class StopsAfter(Silent):
    """A user who loses patience some steps into a stage."""

    def __init__(self, stage: str, steps: int) -> None:
        self.stage, self.left, self.now = stage, steps, ""

    def start(self, what: str, total: int | None) -> None:
        self.now = what

    def advance(self, steps: int = 1) -> None:
        self.left -= steps * (self.now == self.stage)

    def cancelled(self) -> bool:
        return self.left <= 0


def test_interrupted_training_ends_as_if_it_had_not_been(tmp_path):
    quick = dataclasses.replace(TINY, epochs=3)
    data = world(150, 10, shift=2.0, visits=2)[0]
    whole = Patch(DOMAIN, quick)
    whole.fit(data, device="cpu")
    for stage, steps in (("fit pca", 1), ("training", 7)):
        with pytest.raises(TransientError, match="cancelled"):
            Patch(DOMAIN, quick).fit(
                data, StopsAfter(stage, steps), device="cpu", checkpoint_dir=tmp_path
            )
    resumed = Patch(DOMAIN, quick)
    resumed.fit(data, device="cpu", checkpoint_dir=tmp_path)
    assert resumed.ref.weights_hash == whole.ref.weights_hash


def test_variance_is_the_spread_of_repeated_observations(fitted: Patch):
    drawn = Patch(DOMAIN, dataclasses.replace(TINY, variance_draws=200))
    drawn._network = fitted.network
    clean, ivar = world(1, 11, noise=1e-4)[0].take(np.arange(1))
    ivar = np.full_like(ivar, 0.03**-2)
    rng = np.random.default_rng(0)
    visits = clean + 0.03 * rng.standard_normal((400, N_PIX)).astype(np.float32)
    truth = fitted.encode(visits, np.repeat(ivar, 400, axis=0)).vectors.var(axis=0)
    said = drawn.encode(clean, ivar).variance[0]
    np.testing.assert_allclose(np.log(said / truth), 0, atol=0.6)


def test_visits_of_an_object_come_into_one_batch():
    data = world(60, 12, visits=3)[0]
    rows = np.arange(180)
    order = Patch(DOMAIN, TINY).order(data, rows, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(order), rows)
    objects = data.objects[order]
    beside = (objects[1:] == objects[:-1]).sum()
    assert beside >= 60  # a pair of every object, the third visit anywhere
    single = world(50, 12)[0]
    assert len(Patch(DOMAIN, TINY).order(single, np.arange(50), np.random.default_rng(0))) == 50


def test_contrast_prefers_views_of_one_object_together():
    rng = np.random.default_rng(0)
    points = torch.from_numpy(rng.standard_normal((8, 4)).astype(np.float32))
    objects = torch.arange(8)
    agreeing = contrast(torch.cat([points, points]), torch.cat([objects, objects]), 0.1)
    mixed = contrast(torch.cat([points, points.flip(0)]), torch.cat([objects, objects]), 0.1)
    assert agreeing < 1.0 < mixed
    lonely = contrast(points, objects, 0.1)  # nothing to agree with: no loss, no NaN
    assert float(lonely) == 0.0


def test_a_spectrum_without_a_good_pixel_is_refused(fitted: Patch):
    flux, ivar = world(3, 13)[0].take(np.arange(3))
    ivar = ivar.copy()
    ivar[1] = 0
    with pytest.raises(UsageError, match="row 1") as caught:
        fitted.encode(flux, ivar)
    assert caught.value.code == "no_pixels"


def test_too_few_spectra_and_wrong_settings_are_said():
    with pytest.raises(DataError) as few:
        Patch(DOMAIN, TINY).fit(world(20, 14)[0], device="cpu")
    assert few.value.code == "too_few_spectra"
    for wrong in ({"width": 30}, {"noise": 0.5}, {"masked": 1.0}, {"temperature": 0.0}):
        with pytest.raises(UsageError) as caught:
            dataclasses.replace(TINY, **wrong)
        assert caught.value.code == "bad_fit"


@pytest.mark.parametrize("latent", [4, 8, 200])
def test_any_size_of_vector_and_any_grid(latent: int):
    for domain in (
        DOMAIN,
        ModelDomain(15_000.0, 17_000.0, 1001),
        ModelDomain(900.0, 25_000.0, 700),
    ):
        settings = PatchSettings(latent=latent, width=32, depth=1, hidden=16)
        network = PatchNetwork(domain, settings).eval()
        flux = torch.ones(2, domain.n_pix)
        vectors, _ = network.encode(flux, 100 * flux)
        assert vectors.shape == (2, latent)
        assert network.decode(vectors).shape == flux.shape
        assert domain.pixel_kms * network.pixels <= 9000.0 + domain.pixel_kms or network.pixels == 4


def pair(n: int = 50, seed: int = 0):
    rng = np.random.default_rng(seed)
    flux = torch.from_numpy((1 + 0.3 * rng.standard_normal((n, N_PIX))).astype(np.float32))
    ivar = torch.from_numpy(rng.uniform(10, 1000, (n, N_PIX)).astype(np.float32))
    ivar[:, 40:50] = 0
    return torch.where(ivar > 0, flux, torch.zeros_like(flux)), ivar


def test_a_shift_moves_a_line_and_loses_what_leaves_the_grid():
    x = torch.arange(N_PIX, dtype=torch.float32)[None]
    line = torch.exp(-0.5 * ((x - 100) / 4) ** 2)
    moved, ivar = shifted(line, torch.ones_like(line), torch.tensor([[7.5]]))
    centre = float((moved * x).sum() / moved.sum())
    assert abs(centre - 107.5) < 0.01
    assert (ivar[0, :8] == 0).all()
    assert (ivar[0, 8:] > 0).all()
    assert abs(float(ivar[0, 100]) - 2.0) < 1e-5  # the mean of two pixels has half the variance


def test_added_noise_and_the_ivar_that_is_given_agree():
    torch.manual_seed(1)
    flux = torch.ones(200, N_PIX)
    ivar = torch.full_like(flux, 400.0)
    noisy, weaker = noisier(flux, ivar, torch.full((200, 1), 5.0), torch.full((200, 1), 0.1))
    added = float((noisy - flux).var())
    np.testing.assert_allclose(added, 4 / 400 + 0.01, rtol=0.03)
    np.testing.assert_allclose(1 / float(weaker[0, 0]), 5 / 400 + 0.01, rtol=1e-4)


def test_blurring_keeps_the_flux_of_a_line_and_widens_it():
    x = torch.arange(N_PIX, dtype=torch.float32)[None]
    line = torch.exp(-0.5 * ((x - 100) / 3) ** 2)
    out = blurred(line, torch.ones_like(line), torch.tensor([[4.0]]))
    np.testing.assert_allclose(float(out.sum()), float(line.sum()), rtol=1e-4)
    width = float(((out * (x - 100) ** 2).sum() / out.sum()).sqrt())
    np.testing.assert_allclose(width, 5.0, rtol=0.01)


def test_views_never_gain_information_and_keep_significance_under_a_tilt():
    flux, ivar = pair()
    torch.manual_seed(2)
    tilt_flux, tilt_ivar = tilted(flux, ivar, torch.full((50, 1), 0.5))
    np.testing.assert_allclose(tilt_flux * tilt_ivar.sqrt(), flux * ivar.sqrt(), rtol=1e-3)
    strong = Strengths(3.0, 20.0, 2.0, 0.4, 10.0, 0.05, 0.9, 0.01, 0.05)
    new_flux, new_ivar = augmented(flux, ivar, strong)
    assert torch.isfinite(new_flux).all()
    assert (new_ivar > 0).any(dim=1).all()
    assert (new_flux[new_ivar == 0] == 0).all()
    _, left = gapped(flux, ivar, 0.99)
    assert ((left > 0) <= (ivar > 0)).all()
    same_flux, same_ivar = augmented(flux, ivar, Strengths())
    assert torch.equal(same_flux, flux)
    assert torch.equal(same_ivar, ivar)


def test_lines_survive_the_removal_of_the_continuum():
    x = torch.linspace(-1, 1, N_PIX)[None]
    smooth = 2.0 + 0.5 * x
    np.testing.assert_allclose(continuum(smooth, 6)[:, 12:-12], smooth[:, 12:-12], rtol=1e-5)
    np.testing.assert_allclose(continuum(torch.ones(1, N_PIX), 6), 1.0, rtol=1e-6)
    flux = smooth * (1 - 0.4 * torch.exp(-0.5 * ((torch.arange(N_PIX)[None] - 150) / 2) ** 2))
    shape, lines = channels(flux, 12)[0]
    assert int(lines.argmin()) == 150
    assert float(lines[150]) < -0.5
    np.testing.assert_allclose(torch.sinh(shape[40:120]), smooth[0, 40:120], rtol=1e-3)


def test_only_what_noise_cannot_explain_is_significant():
    torch.manual_seed(3)
    weight = torch.full((100, N_PIX), 25.0)
    weight[:, :50] = 0
    residual = torch.randn(100, N_PIX) / 5
    residual[:, 100] = 2.0  # ten sigma
    found = significant(residual, weight, 3.0)
    assert (found[:, :50] == 0).all()
    assert (found[:, 100] > 1.8).all()  # 2 × (1 − 0.3²)
    assert (found[:, 130:].abs() > 0.2).float().mean() < 0.004
    residual[:, 180:205] += 0.3  # 1.5 sigma each, 7.5 together
    assert significant(residual, weight, 3.0)[:, 185:200].mean() > 0.15


def test_every_component_counts_a_little_in_distances(fitted: Patch):
    scale = fitted.metric_scale()
    assert np.isfinite(scale).all()
    assert (scale > 0).all()
    data = world(300, 15, shift=6.0)[0]
    spread = (compared(fitted, data)).std(axis=0)
    n = fitted.network.similarity
    assert spread[n:].max() < 0.01 * spread[:n].max()


def test_how_noisy_a_spectrum_is_cannot_be_read_off_its_vector(fitted: Patch):
    clean, _ = world(400, 16, noise=1e-4)[0].take(np.arange(400))
    rng = np.random.default_rng(1)
    sigma = 10 ** rng.uniform(-2.0, -0.7, 400)  # S/N 5 to 100
    noise = sigma[:, None] * rng.standard_normal(clean.shape)
    flux = (clean + noise).astype(np.float32)
    ivar = np.broadcast_to(sigma[:, None] ** -2, clean.shape).astype(np.float32)
    vectors = fitted.encode(flux, ivar).vectors * fitted.metric_scale()
    vectors = vectors[:, : fitted.network.similarity]
    design = np.c_[np.ones(400), vectors / vectors.std(axis=0)]
    target = np.log(sigma)
    weights = np.linalg.lstsq(design[:200], target[:200], rcond=None)[0]
    assert 1 - (target[200:] - design[200:] @ weights).var() / target[200:].var() < 0.25
    gap = np.linalg.norm(vectors[200:, None] - vectors[None, :200], axis=2)
    near = target[:200][gap.argsort(axis=1)[:, :10]].mean(axis=1)
    assert 1 - ((target[200:] - near) ** 2).mean() / target[200:].var() < 0.2


def test_what_goes_with_snr_among_like_spectra_is_not_felt():
    """As where bright stars are the nearer and another kind: S/N goes with a line's depth."""
    data, depths, _ = world(900, 18, shift=6.0)
    flux, ivar = data.take(np.arange(900))
    rng = np.random.default_rng(1)
    log_snr = 1.2 + 2.0 * depths[:, 3] + 0.1 * rng.standard_normal(900)
    ivar = np.broadcast_to(10.0 ** (2 * log_snr[:, None]), flux.shape).astype(np.float32)
    batch = dataclasses.replace(prepared(flux, ivar), snr=10.0**log_snr)
    model = Patch(DOMAIN, dataclasses.replace(TINY, latent=40, epochs=20))
    model.fit(InMemory(DOMAIN, batch, np.arange(900)), device="cpu")
    assert model.settings.apart == (4, 1, 2)
    vectors = model.encode(flux, ivar).vectors
    told = []
    for kept in (model.network.summarised, model.network.similarity):
        design = np.c_[np.ones(900), vectors[:, :kept]]
        weights = np.linalg.lstsq(design[:600], log_snr[:600], rcond=None)[0]
        told.append(1 - (log_snr[600:] - design[600:] @ weights).var() / log_snr[600:].var())
    assert told[0] > 0.6, "the whole summary tells"
    assert told[1] < 0.65 * told[0]


def test_a_running_sum_is_exact_beside_a_bright_stretch():
    values = torch.ones(1, 500)
    values[:, :100] = 1e9
    np.testing.assert_allclose(running_sum(values, 10)[0, 300:480], 21.0, rtol=1e-6)
    np.testing.assert_allclose(running_sum(torch.ones(1, 30), 2)[0, :3], [3, 4, 5])


def test_subtracted_continua_are_not_divided_by():
    domain = ModelDomain(4000.0, 8000.0, N_PIX, flux_kind=FluxKind.CONTINUUM_SUBTRACTED)
    network = PatchNetwork(domain, TINY)
    flux = torch.zeros(1, N_PIX)
    flux[:, 100] = 0.2
    ivar = torch.full_like(flux, 1e4)
    values, there = network.patches(flux, ivar, network.linear(flux, ivar))
    assert there.all()
    assert float(values.abs().max()) < 1.5


def test_what_is_cropped_is_as_if_no_more_had_been_observed():
    rng = np.random.default_rng(21)
    flux = rng.uniform(0.5, 3.0, (6, N_PIX)).astype(np.float32) * np.linspace(1, 4, N_PIX)
    ivar = rng.uniform(1.0, 400.0, (6, N_PIX))
    ivar[:, 40:60] = 0
    ivar[5, :200] = 0
    pair = (torch.tensor(np.where(ivar > 0, flux, 0.0), dtype=torch.float32),
            torch.tensor(ivar, dtype=torch.float32))  # fmt: skip
    start, stop = torch.full((6, 1), 0.25), torch.full((6, 1), 0.75)
    for subtracted, kind in ((False, FluxKind.CALIBRATED), (True, FluxKind.CONTINUUM_SUBTRACTED)):
        seen, weight = (a.numpy() for a in cropped(*pair, start, stop, subtracted=subtracted))
        for i in range(6):
            good = np.flatnonzero(ivar[i] > 0)
            left = np.flatnonzero(weight[i])
            first = int(0.25 * good.size)
            np.testing.assert_array_equal(left, good[first : int(0.75 * good.size)])
            scale = flux_scale(flux[i, left], ivar[i, left], kind)
            np.testing.assert_allclose(seen[i, left], flux[i, left] / scale, rtol=0.1)
            np.testing.assert_allclose(
                seen[i, left] ** 2 * weight[i, left], flux[i, left] ** 2 * ivar[i, left], rtol=1e-4
            )
            assert not seen[i][weight[i] == 0].any()


def test_a_crop_leaves_a_pixel_and_bears_nothing():
    flux, ivar = torch.ones(3, N_PIX), torch.zeros(3, N_PIX)
    ivar[0, 7] = 1.0
    ivar[1] = 1.0
    flux = torch.where(ivar > 0, flux, 0.0)
    for a, b in ((0.0, 0.0), (1.0, 1.0), (0.5, 0.5), (0.999, 1.0)):
        seen, weight = cropped(flux, ivar, torch.full((3, 1), a), torch.full((3, 1), b))
        assert (weight > 0).sum(dim=1).tolist() == [1, 1, 0]
        assert torch.isfinite(seen).all()
        assert torch.isfinite(weight).all()


def halves(n: int, seed: int, cover: np.ndarray) -> InMemory:
    """Stars of two parameters, that lines everywhere follow, seen in the blue, the red or both."""
    rng = np.random.default_rng(seed)
    hot, rich = rng.uniform(0.0, 1.0, (2, n))
    x = np.arange(N_PIX)[None]
    flux = 1.0 + (hot[:, None] - 0.5) * (0.5 - x / N_PIX)
    for j, at in enumerate(LINES):
        depth = 0.6 * (hot if j % 2 else rich)
        flux = flux * (1 - depth[:, None] * np.exp(-0.5 * ((x - at) / 3.5) ** 2))
    flux = flux + 0.01 * rng.standard_normal(flux.shape)
    seen = np.stack([x[0] < 150, x[0] >= 106, x[0] >= 0])[cover]
    ivar = np.where(seen, 1e4, 0.0)
    for i in range(n):
        scale = flux_scale(flux[i][seen[i]], ivar[i][seen[i]])
        flux[i], ivar[i] = flux[i] / scale * seen[i], ivar[i] * scale**2
    return InMemory(DOMAIN, prepared(flux, ivar), np.arange(n))


def test_a_star_seen_in_the_blue_is_found_in_the_red():
    n = 150
    found = {}
    for crop in (0.0, 0.7):
        model = Patch(DOMAIN, dataclasses.replace(TINY, epochs=25, crop=crop))
        model.fit(halves(400, 31, np.arange(400) % 3), device="cpu")
        blue, red = (compared(model, halves(n, 32, np.full(n, c))) for c in (0, 1))
        gap = np.linalg.norm(blue[:, None] - red[None], axis=2)
        found[crop] = np.median((gap < np.diag(gap)[:, None]).sum(axis=1))
    assert found[0.7] < 0.12 * n, "of 150 seen in the red the same star is among the nearest"
    assert found[0.7] < 0.6 * found[0.0]
