"""The shell of the networks: resumes to the same weights, refuses what it must, sees no garbage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from embedding_cases import prepared  # noqa: E402

from spectrarium.domain.errors import DataError, TransientError, UsageError  # noqa: E402
from spectrarium.domain.progress import Silent  # noqa: E402
from spectrarium.embed import deep_train  # noqa: E402
from spectrarium.embed.card import weights_hash, write_model  # noqa: E402
from spectrarium.embed.checkpoint import NAME, write_checkpoint  # noqa: E402
from spectrarium.embed.conv import Conv  # noqa: E402
from spectrarium.embed.deep_data import with_signal  # noqa: E402
from spectrarium.embed.deep_feed import Feed, equal_batches, shuffled  # noqa: E402
from spectrarium.embed.deep_measure import excess_variance  # noqa: E402
from spectrarium.embed.deep_settings import DeepSettings  # noqa: E402
from spectrarium.embed.deep_train import share_of_rate, split_by_object, train  # noqa: E402
from spectrarium.embed.dense import Dense, DenseNetwork, DenseSettings  # noqa: E402
from spectrarium.embed.device import TRAIN_SMALLER, device_named, memory_guard  # noqa: E402
from spectrarium.embed.domain import ModelDomain  # noqa: E402
from spectrarium.embed.encoder import encoder_named, settings_of  # noqa: E402
from spectrarium.embed.network import divergence, frame_of, misfit  # noqa: E402
from spectrarium.embed.spool import Spool  # noqa: E402
from spectrarium.embed.training_set import InMemory  # noqa: E402
from spectrarium.embed.weights import WEIGHTS, arrays_of  # noqa: E402

DOMAIN = ModelDomain(4000.0, 8000.0, 64)
SMALL = {"latent": 2, "widths": (16,), "epochs": 4, "batch": 32}
CPU = torch.device("cpu")


def world(n: int = 160, seed: int = 0, objects: int | None = None) -> InMemory:
    """Lines of two strengths; every object was seen n/objects times."""
    rng = np.random.default_rng(seed)
    who = np.arange(n) if objects is None else np.arange(n) % objects
    depth = rng.uniform(0.1, 0.9, (who.max() + 1, 2))[who]
    x = np.linspace(0, 1, DOMAIN.n_pix)
    lines = np.exp(-0.5 * ((x - np.array([[0.3], [0.7]])) / 0.05) ** 2)
    flux = 1 - depth @ lines + 0.02 * rng.standard_normal((n, DOMAIN.n_pix))
    return InMemory(DOMAIN, prepared(flux, np.full(flux.shape, 2500.0)), who)


def fitted(data=None, progress=None, checkpoint_dir=None, **settings) -> Dense:
    model = Dense(DOMAIN, DenseSettings(**SMALL | settings))
    model.fit(data or world(), progress, device="cpu", checkpoint_dir=checkpoint_dir,
              checkpoint_minutes=0.0)  # fmt: skip
    return model


@pytest.fixture(scope="module")
def model() -> Dense:
    return fitted(epochs=20)


class StopAfter(Silent):
    """A user who cancels after so many batches."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def advance(self, steps: int = 1) -> None:
        self.left -= steps

    def cancelled(self) -> bool:
        return self.left <= 0


# devices and memory


def test_a_device_that_is_not_there_is_an_error_not_another_one():
    assert device_named("cpu") == CPU
    assert device_named("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(UsageError, match="cuda:77") as missing:
        device_named("cuda:77")
    assert missing.value.code == "no_device"
    for name in ("gpu", "cuda:x", "", "cpu cuda"):
        with pytest.raises(UsageError) as unknown:
            device_named(name)
        assert unknown.value.code == "unknown_device"
    with pytest.raises(UsageError) as in_fit:
        Dense(DOMAIN, DenseSettings(**SMALL)).fit(world(), device="cuda:77")
    assert in_fit.value.code == "no_device"


def test_out_of_memory_names_the_remedy_and_other_failures_pass():
    with pytest.raises(TransientError) as full, memory_guard(CPU, "testing", TRAIN_SMALLER):
        torch.empty(2**55)  # really asks for it
    assert full.value.code == "out_of_memory"
    assert "--batch" in full.value.remedy
    assert "--device" not in full.value.remedy, "it was on the CPU"
    with pytest.raises(TransientError), memory_guard(CPU, "testing"):
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(RuntimeError, match="shape"), memory_guard(CPU, "testing"):
        raise RuntimeError("shape mismatch")


def test_the_remedy_is_one_that_the_stage_has(model: Dense, monkeypatch):
    """`embed` knows no --batch: what a trained model is sent at a time is fixed."""

    def greedy(self, *args):
        raise torch.OutOfMemoryError("CUDA out of memory")

    flux, ivar = world(n=40).take(np.arange(40))
    monkeypatch.setattr(DenseNetwork, "expand", greedy)
    with pytest.raises(TransientError, match="training with 32 spectra a batch") as training:
        fitted()
    assert "--batch" in training.value.remedy
    with pytest.raises(TransientError, match="decoding 256 spectra at a time") as decoding:
        model.decode(np.zeros((3, 2)))
    monkeypatch.setattr(DenseNetwork, "compress", greedy)
    with pytest.raises(TransientError, match="encoding 256 spectra at a time") as encoding:
        model.encode(flux, ivar)
    for late in (encoding, decoding):
        assert "--batch" not in late.value.remedy
        assert "--latent" in late.value.remedy
    with pytest.raises(TransientError) as there, memory_guard(torch.device("mps"), "encoding"):
        raise MemoryError
    assert "--device cpu" in there.value.remedy
    monkeypatch.undo()
    assert np.isfinite(model.encode(flux, ivar).vectors).all()


# training that is interrupted


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    assert fitted().ref.weights_hash == fitted().ref.weights_hash
    assert fitted().ref.weights_hash != fitted(seed=1).ref.weights_hash


@pytest.mark.parametrize("after", [1, 5, 7, 16])
def test_cancelled_training_goes_on_to_the_same_weights(tmp_path: Path, after: int):
    whole = fitted()
    with pytest.raises(TransientError) as stop:
        fitted(progress=StopAfter(after), checkpoint_dir=tmp_path)
    assert stop.value.code == "cancelled"
    resumed = fitted(checkpoint_dir=tmp_path)
    assert resumed.ref.weights_hash == whole.ref.weights_hash
    assert resumed.report == whole.report


def test_cancelled_without_checkpoints_says_that_it_starts_again():
    with pytest.raises(TransientError) as stop:
        fitted(progress=StopAfter(1))
    assert stop.value.remedy == "train again"


KILLED = """
import os, signal, sys
sys.path[:0] = {paths!r}
from pathlib import Path
import test_deep
class Kill(test_deep.Silent):
    left = {after}
    def advance(self, steps=1):
        self.left -= steps
        if self.left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
test_deep.fitted(progress=Kill(), checkpoint_dir=Path({where!r}))
"""


def test_killed_training_goes_on_to_the_same_weights(tmp_path: Path):
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    for after in (7, 3):  # in the second epoch, then again soon after resuming
        code = KILLED.format(paths=paths, after=after, where=str(tmp_path))
        done = subprocess.run([sys.executable, "-c", code], timeout=120, check=False)
        assert done.returncode == -signal.SIGKILL
    assert (tmp_path / NAME).is_file()
    (tmp_path / f".{NAME}.1.part").write_bytes(b"torn")  # killed while it wrote
    assert fitted(checkpoint_dir=tmp_path).ref.weights_hash == fitted().ref.weights_hash


def test_a_finished_run_is_not_trained_again(tmp_path: Path):
    first = fitted(checkpoint_dir=tmp_path)
    again = fitted(progress=StopAfter(17), checkpoint_dir=tmp_path)  # 16 batches in all
    assert again.ref.weights_hash == first.ref.weights_hash


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "other"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, harm: str):
    fitted(checkpoint_dir=tmp_path)
    path = tmp_path / NAME
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes({"flip": bytes(raw), "cut": path.read_bytes()[:-100], "empty": b"",
                      "other": b"\x80pickle of something else"}[harm])  # fmt: skip
    with pytest.raises(DataError) as refused:
        fitted(checkpoint_dir=tmp_path)
    assert refused.value.code == "damaged_checkpoint"
    assert str(path) in str(refused.value)


def test_a_checkpoint_of_other_settings_or_spectra_is_refused(tmp_path: Path):
    fitted(checkpoint_dir=tmp_path)
    for changed in ({"learning_rate": 2e-3}, {"widths": (8,)}, {"data": world(seed=5)},
                    {"data": world(objects=40)}):  # fmt: skip
        with pytest.raises(DataError) as refused:
            fitted(checkpoint_dir=tmp_path, **changed)
        assert refused.value.code == "foreign_checkpoint"


def test_a_checkpoint_that_cannot_be_read_or_written_is_said(tmp_path: Path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(TransientError) as unreadable:
        fitted(checkpoint_dir=tmp_path / "file" / "folder")
    assert unreadable.value.code == "unreadable_checkpoint"
    fitted(checkpoint_dir=tmp_path, epochs=1)
    before = (tmp_path / NAME).read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TransientError) as disk:
        write_checkpoint(tmp_path, {"epoch": 3}, "x")
    assert disk.value.code == "disk_full"
    assert (tmp_path / NAME).read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", NAME]


def test_divergence_is_an_error_and_the_best_weights_stay(tmp_path: Path):
    data, settings = world(), DenseSettings(**SMALL)
    split = split_by_object(data, settings)
    network = DenseNetwork(DOMAIN.n_pix, settings)
    network.stand_in(frame_of(*data.take(split.train), settings))
    steps = len(equal_batches(split.train, settings.batch))
    calls = []

    def loss(batch):
        calls.append(1)
        cost = misfit(batch.flux, batch.ivar, network.decode(network.encode(batch.flux,
                      batch.ivar)[0]), network.floor, 5.0).mean()  # fmt: skip
        return cost * (float("nan") if len(calls) > steps + 2 else 1.0)

    with pytest.raises(DataError, match="learning rate") as diverged:
        train(network, loss, data, settings, split=split, progress=Silent(), device=CPU,
              fingerprint="x", checkpoint_dir=tmp_path, checkpoint_minutes=0.0)  # fmt: skip
    assert diverged.value.code == "diverged"
    assert all(np.isfinite(a).all() for a in arrays_of(network).values())
    state = deep_train.read_checkpoint(tmp_path, "x")
    assert state is not None
    assert all(torch.isfinite(t).all() for t in state["module"].values())


def test_training_stops_when_held_out_objects_gain_no_more():
    model = fitted(data=world(n=200), epochs=200, patience=3, learning_rate=5e-3)
    history = model.report.history
    assert model.report.converged
    assert len(history) < 200
    assert len(history) == model.card["metrics"]["best_epoch"] + 4
    assert model.card["metrics"]["held_out_loss"] == min(history)


# what it learns from


def test_no_object_is_on_both_sides():
    data = world(n=200, objects=40)
    split = split_by_object(data, DenseSettings(**SMALL))
    train_side, judge = set(data.objects[split.train]), set(data.objects[split.judge])
    assert not train_side & judge
    assert len(train_side) + len(judge) == 40
    card = fitted(data=data).card["data"]
    assert (card["train_objects"], card["held_out_objects"]) == (len(train_side), len(judge))


def test_too_few_spectra_are_refused():
    for data, settings in ((world(n=20), {}), (world(n=100, objects=2), {}),
                           (world(n=100), {"latent": 100})):  # fmt: skip
        with pytest.raises(DataError) as few:
            fitted(data=data, **settings)
        assert few.value.code == "too_few_spectra"
    with pytest.raises(DataError) as none:
        Dense(DOMAIN).fit(lambda: [], device="cpu")
    assert none.value.code == "too_few_spectra"


def test_spectra_without_information_are_refused():
    batch = prepared(np.ones((60, 64)), np.zeros((60, 64)), snr=np.zeros(60))
    with pytest.raises(DataError) as nothing:
        fitted(data=InMemory(DOMAIN, batch))
    assert nothing.value.code == "no_information"


def test_another_grid_is_refused(model: Dense):
    other = ModelDomain(4000.0, 8000.0, 65)
    with pytest.raises(UsageError) as fitting:
        Dense(other).fit(world(), device="cpu")
    with pytest.raises(UsageError) as encoding:
        model.encode(np.ones((2, 65)), np.ones((2, 65)))
    with pytest.raises(UsageError) as decoding:
        model.decode(np.ones((2, 3)))
    codes = [fitting.value.code, encoding.value.code, decoding.value.code]
    assert codes == ["wrong_grid", "wrong_grid", "wrong_shape"]


def test_disk_memory_and_batches_give_the_same_model():
    data = world()
    whole = next(iter(data()))
    with Spool(DOMAIN, rows=50) as spool:
        for start in range(0, len(data), 50):
            spool.add(whole[start : start + 50], data.objects[start : start + 50])
        on_disk = fitted(data=spool)
    assert on_disk.ref.weights_hash == fitted(data=data).ref.weights_hash
    pieces = Dense(DOMAIN, DenseSettings(**SMALL))
    pieces.fit(lambda: (whole[i : i + 50] for i in range(0, 160, 50)), device="cpu")
    assert np.isfinite(pieces.encode(whole.flux, whole.ivar).vectors).all()


def test_the_feed_gives_every_row_once_and_in_order():
    data = world()
    batches = equal_batches(np.arange(10, 110), 32)
    assert {len(b) for b in batches} == {25}
    for rows, batch in zip(batches, Feed(data, CPU)(batches), strict=True):
        np.testing.assert_array_equal(batch.rows, rows)
        np.testing.assert_array_equal(batch.flux, data.take(rows)[0])
        np.testing.assert_array_equal(batch.objects, data.objects[rows])


@pytest.mark.parametrize("keep", ["memory", "disk"])
def test_the_feed_cleans_what_is_not_and_leaves_what_is(keep, tmp_path):
    """Values without information reach no network, whatever lies there; nothing else changes."""
    whole = next(iter(world(n=40)()))
    assert world(n=40).clean
    flux, ivar = whole.flux.copy(), whole.ivar.copy()
    flux[3, 5], ivar[7, 2], ivar[9, :4], flux[11, 0] = np.nan, np.inf, -1.0, np.inf
    dirty = replace(whole, flux=flux, ivar=ivar)
    rows = np.array([0, 3, 7, 9, 11, 30])
    with Spool.resumed(DOMAIN, tmp_path / "spool") as spool:
        spool.add(whole[:20])
        assert spool.clean
        spool.add(whole[20:])
        spool.checkpoint(40)
        same = next(Feed(spool, CPU)([rows]))
        np.testing.assert_array_equal(same.flux, whole.flux[rows])
        spool.add(dirty)
        assert not spool.clean
        data = InMemory(DOMAIN, dirty) if keep == "memory" else spool
        at = rows if keep == "memory" else rows + 40
        assert not data.clean
        batch = next(Feed(data, CPU)([at]))
    bad = ~(np.isfinite(flux) & (ivar > 0) & np.isfinite(ivar))[rows]
    assert bad.sum() == 7
    assert not batch.flux.numpy()[bad].any()
    assert not batch.ivar.numpy()[bad].any()
    np.testing.assert_array_equal(batch.flux.numpy()[~bad], whole.flux[rows][~bad])
    with Spool.resumed(DOMAIN, tmp_path / "spool") as again:  # as at its checkpoint
        assert (len(again), again.clean) == (40, True)
    journal = tmp_path / "spool" / "journal.json"
    journal.write_text(journal.read_text().replace(', "clean": true', ""))
    with Spool.resumed(DOMAIN, tmp_path / "spool") as older:
        assert not older.clean, "one that never said so is cleaned"


def test_the_feed_fills_the_same_memory_again_and_no_batch_too_early():
    """A handful of batches' worth, whatever their number and however slow the network is."""
    data = world(n=160)
    batches = [np.arange(i, i + (8 if i < 150 else 3)) for i in range(0, 152, 4)]
    places = set()
    for rows, batch in zip(batches, Feed(data, CPU)(batches), strict=True):
        places.add(batch.flux.data_ptr())
        time.sleep(0.002)  # the reader gets as far ahead as it may
        np.testing.assert_array_equal(batch.flux, data.take(rows)[0])
        np.testing.assert_array_equal(batch.ivar, data.take(rows)[1])
    assert len(places) <= 5


def test_what_has_no_errors_or_no_signal_does_not_tell_in_what_noise_shows():
    data = world(n=6)
    data.snr = np.array([5.0, 0.2, 40.0, np.nan, 1.0, 9.0])
    data.estimated = np.array([False, False, False, False, False, True])
    assert with_signal(data, np.array([5, 4, 3, 2, 1]), 1.0).tolist() == [1, 3]


def test_rows_are_taken_into_arrays_that_are_there():
    data = world(n=30)
    with Spool(DOMAIN) as spool:
        spool.add(next(iter(data())))
        for source in (data, spool):
            rows = np.array([4, 5, 6, 2, 29, 0])
            into = tuple(np.full((6, DOMAIN.n_pix), np.nan, np.float32) for _ in range(2))
            got = source.take(rows, into)
            assert got[0] is into[0]
            assert got[1] is into[1]
            for filled, copied in zip(into, source.take(rows), strict=True):
                np.testing.assert_array_equal(filled, copied)
        with pytest.raises(ValueError, match="contiguous float32"):
            spool.take(np.arange(3), tuple(np.empty((4, DOMAIN.n_pix), np.float32) for _ in "ab"))


def test_an_error_of_a_reader_thread_reaches_the_caller():
    data = world()
    data.take = lambda rows, into: 1 / 0
    with pytest.raises(ZeroDivisionError):
        list(Feed(data, CPU)([np.arange(4)]))


@pytest.mark.parametrize("row_bytes", [8, 2**15, 2**21])
def test_shuffling_loses_nothing_and_keeps_blocks_that_disks_like(row_bytes: int):
    rows = np.arange(60_000)
    mixed = shuffled(rows, row_bytes, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(mixed), rows)
    assert np.abs(np.corrcoef(mixed, rows)[0, 1]) < 0.1
    if row_bytes == 2**15:  # windows of 2**15 rows made of blocks of 32
        window = np.sort(mixed[: 2**15])
        assert (np.diff(window) == 1).mean() > 0.9


# inputs, loss, measurements


def test_what_lies_under_bad_pixels_is_not_seen(model: Dense):
    flux, ivar = world(n=60, seed=3).take(np.arange(60))
    ivar[:, 20:28] = 0
    clean = model.encode(np.where(ivar > 0, flux, 0), ivar)
    for garbage in (np.nan, np.inf, -1e30, 7.0):
        spoiled = model.encode(np.where(ivar > 0, flux, garbage), ivar)
        np.testing.assert_array_equal(spoiled.vectors, clean.vectors)
        np.testing.assert_array_equal(spoiled.chi2, clean.chi2)
    odd = ivar.copy()
    odd[:, 20:28] = np.nan
    np.testing.assert_array_equal(model.encode(flux, odd).vectors, clean.vectors)


def test_training_is_not_disturbed_by_garbage_under_bad_pixels():
    data = world()
    batch = next(iter(data()))
    batch.ivar[:, 5:9] = 0
    batch.flux[:, 5:9] = np.nan
    one = fitted(data=InMemory(DOMAIN, batch)).ref.weights_hash
    batch.flux[:, 5:9] = 1e9
    assert fitted(data=InMemory(DOMAIN, batch)).ref.weights_hash == one


def test_a_spectrum_without_any_good_pixel_gives_numbers(model: Dense):
    out = model.encode(np.full((1, 64), np.nan), np.zeros((1, 64)))
    assert np.isfinite(out.vectors).all()
    assert (out.chi2[0], out.n_pix[0], out.n_fit[0]) == (0.0, 0, 0.0)
    none = model.encode(np.empty((0, 64)), np.empty((0, 64)))
    assert none.vectors.shape == (0, 2)
    assert none.chi2.shape == (0,)


def test_batches_do_not_change_vectors(model: Dense):
    flux, ivar = world(n=300, seed=4).take(np.arange(300))
    whole = model.encode(flux, ivar)
    assert whole.vectors.dtype == np.float32
    single = np.concatenate([model.encode(flux[i : i + 1], ivar[i : i + 1]).vectors
                             for i in range(0, 300, 60)])  # fmt: skip
    np.testing.assert_allclose(whole.vectors[::60], single, atol=1e-5)


def test_residuals_beyond_huber_pull_linearly():
    flux = torch.zeros(1, 4)
    ivar = torch.tensor([[100.0, 100.0, 100.0, 0.0]])
    model = torch.tensor([[0.1, 1.0, 2.0, 9.0]], requires_grad=True)
    misfit(flux, ivar, model, torch.zeros(4), 5.0).sum().backward()
    pull = model.grad[0] * 3 / 10  # three informative pixels, 10 per σ
    np.testing.assert_allclose(pull, [1.0, 5.0, 5.0, 0.0], rtol=1e-6)


def test_divergence_matches_its_definition_by_sampling():
    mean, log_variance = torch.tensor([[0.7, -0.2]]), torch.tensor([[-1.0, 0.3]])
    draw = (
        mean
        + torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0))
        * (0.5 * log_variance).exp()
    )
    q = torch.distributions.Normal(mean, (0.5 * log_variance).exp()).log_prob(draw)
    p = torch.distributions.Normal(0.0, 1.0).log_prob(draw)
    assert float(divergence(mean, log_variance)) == pytest.approx(
        float((q - p).sum(1).mean()), rel=0.02
    )


def test_cosmic_rays_move_neither_mean_nor_spread():
    data = world(n=400)
    flux, ivar = data.take(np.arange(400))
    clean = frame_of(flux, ivar, DeepSettings())
    hit = np.random.default_rng(0).random(flux.shape) < 0.01
    struck = frame_of(np.where(hit, 50.0, flux), ivar, DeepSettings())
    np.testing.assert_allclose(struck.mean, clean.mean, atol=0.03)
    np.testing.assert_allclose(struck.spread, clean.spread, rtol=0.15, atol=0.015)


def test_planted_scatter_comes_back_through_noise_and_outliers():
    rng = np.random.default_rng(0)
    noise = 10 ** rng.uniform(-2, -1, (3000, 5))
    planted = np.array([0.0, 0.01, 0.05, 0.1, 0.3])
    residual = noise * rng.standard_normal(noise.shape)
    residual += planted * rng.standard_normal(noise.shape)
    residual[::50] = 100.0
    found = np.sqrt(excess_variance(residual, noise**-2, 1e-6))
    np.testing.assert_allclose(found[1:], planted[1:], rtol=0.12)
    assert found[0] < 0.006
    nothing = excess_variance(residual, np.zeros_like(noise), 1e-6)
    np.testing.assert_allclose(nothing, 1e-6, rtol=1e-5)


def test_chi2_of_new_spectra_is_what_noise_and_scatter_say():
    model = fitted(data=world(n=600), epochs=40)
    flux, ivar = world(n=300, seed=9).take(np.arange(300))
    out = model.encode(flux, ivar)
    assert 0.8 < np.median(out.chi2 / (out.n_pix - out.n_fit)) < 1.25
    assert model.report.variance_explained > 0.9
    flux[:, 40] += 1.0  # a spike of 50 σ
    assert (model.encode(flux, ivar).chi2 > out.chi2 + 100).all()


def test_metric_scale_follows_the_spread_of_training_vectors(model: Dense):
    flux, ivar = world().take(np.arange(160))
    spread = model.encode(flux, ivar).vectors.var(axis=0)
    expected = (spread / spread.max()) ** -0.25
    np.testing.assert_allclose(model.metric_scale(), expected, rtol=0.1)


def test_the_rate_rises_then_falls():
    rates = [share_of_rate(i, 1000, 0.1) for i in range(1000)]
    assert np.argmax(rates) in (99, 100, 101)
    assert max(rates) <= 1
    assert rates[0] < 0.02
    assert rates[-1] == pytest.approx(0.01, abs=1e-3)


@pytest.mark.parametrize(
    "wrong", [{"latent": 0}, {"epochs": 0}, {"held_out": 0.0}, {"learning_rate": -1.0},
              {"widths": ()}, {"pixels": 1}, {"beta": -1.0}, {"warm_up": 1.0}],
)  # fmt: skip
def test_senseless_settings_are_refused(wrong: dict):
    with pytest.raises(UsageError) as refused:
        DenseSettings(**wrong)
    assert refused.value.code == "bad_fit"
    assert next(iter(wrong)) in str(refused.value)


def test_settings_are_found_by_the_users_names():
    for name in ("dense", "conv", "gfnet"):
        kind = encoder_named(name)
        settings = settings_of(kind, latent=5, epochs=3, batch=7, seed=2)
        assert (settings.latent, settings.epochs, settings.batch, settings.seed) == (5, 3, 7, 2)
        assert kind(DOMAIN, settings, name="x").settings == settings
    with pytest.raises(UsageError):
        Dense(DOMAIN, DeepSettings())


# models on disk


def test_a_model_comes_back_from_disk(model: Dense, tmp_path: Path):
    ref = model.save(tmp_path / "model")
    again = Dense.load(tmp_path / "model")
    flux, ivar = world(n=20, seed=8).take(np.arange(20))
    np.testing.assert_array_equal(
        again.encode(flux, ivar).vectors, model.encode(flux, ivar).vectors
    )
    assert (again.ref, again.report, again.settings) == (ref, model.report, model.settings)
    np.testing.assert_array_equal(again.scatter, model.scatter)
    np.testing.assert_array_equal(again.metric_scale(), model.metric_scale())
    card = json.loads((tmp_path / "model" / "card.json").read_text())
    assert card["data"]["spectra"] == 160
    for key in ("limits", "device", "seconds", "history", "metrics", "parameters", "domain"):
        assert card[key]
    again.save(tmp_path / "copy")
    assert Dense.load(tmp_path / "copy").ref == ref


def test_an_unfitted_model_says_so():
    for use in (lambda m: m.ref, lambda m: m.scatter, lambda m: m.save(Path("x")),
                lambda m: m.encode(np.ones((1, 64)), np.ones((1, 64)))):  # fmt: skip
        with pytest.raises(UsageError) as refused:
            use(Dense(DOMAIN))
        assert refused.value.code == "unfitted"


def saved_with(model: Dense, folder: Path, arrays: dict, **changes) -> Path:
    card = model.card | changes | {"weights_hash": weights_hash(arrays)}
    write_model(folder, arrays, card, safetensors=True)
    return folder


def refusal(folder: Path, kind=Dense) -> str:
    with pytest.raises(DataError) as refused:
        kind.load(folder)
    assert str(folder) in str(refused.value)
    return refused.value.code


def test_models_that_are_not_what_they_say_are_refused(model: Dense, tmp_path: Path):
    arrays = arrays_of(model.network)
    whole = tmp_path / "whole"
    model.save(whole)
    raw = (whole / WEIGHTS).read_bytes()

    (whole / WEIGHTS).write_bytes(raw[:-10])
    assert refusal(whole) == "bad_weights"
    (whole / WEIGHTS).write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    assert refusal(whole) == "hash_mismatch"
    (whole / WEIGHTS).unlink()
    assert refusal(whole) == "bad_weights"
    (whole / WEIGHTS).write_bytes(raw)
    assert refusal(whole, Conv) == "wrong_encoder"

    wider = arrays | {"down.0.weight": np.zeros((17, 128), np.float32)}
    assert refusal(saved_with(model, tmp_path / "wider", wider)) == "wrong_architecture"
    lacking = {k: v for k, v in arrays.items() if k != "mean"}
    assert refusal(saved_with(model, tmp_path / "lacking", lacking)) == "wrong_architecture"
    odd = model.card["settings"] | {"invented": 3}
    assert refusal(saved_with(model, tmp_path / "odd", arrays, settings=odd)) == "bad_model"
    (whole / "card.json").write_text("{")
    assert refusal(whole) == "bad_model"
    (whole / "card.json").unlink()
    assert refusal(whole) == "no_model"


def test_saving_over_another_model_is_refused(model: Dense, tmp_path: Path):
    model.save(tmp_path / "m")
    model.save(tmp_path / "m")  # the same: nothing to do
    with pytest.raises(UsageError) as refused:
        fitted().save(tmp_path / "m")
    assert refused.value.code == "exists"
    assert not [p for p in os.listdir(tmp_path) if p.endswith(".part")]
