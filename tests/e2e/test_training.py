"""train → embed: resumable at any moment, nothing half-made, every refusal in plain words."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import types
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import spectrarium as sp
from spectrarium.domain.axis import Medium, SpecSys, SpectralAxis
from spectrarium.domain.derived import ModelRef
from spectrarium.domain.errors import DataError, InternalError, TransientError, UsageError
from spectrarium.domain.observation import Observation, Provenance
from spectrarium.domain.spectrum import Spectrum, UncertaintyKind
from spectrarium.embed import encoder as encoders
from spectrarium.embed.card import write_model
from spectrarium.embed.domain import ModelDomain, SpectrumSummary
from spectrarium.embed.encoder import Encoded
from spectrarium.embed.pca import PCA
from spectrarium.embed.prepare import Preparer
from spectrarium.run import encoding, preparing, spooling
from spectrarium.run.embedding import embed
from spectrarium.run.train_options import TrainOptions
from spectrarium.run.trained import trained_models
from spectrarium.run.training import train
from spectrarium.store.archive import Archive
from spectrarium.store.writer import add_spectra

N = 64


def spectra(n=N, lo=4000.0, hi=7000.0, start=0, **facts) -> list[Spectrum]:
    """Two-parameter spectra, two visits of each object, 400 pixels."""
    rng = np.random.default_rng(start)
    wave = np.geomspace(lo, hi, 400)
    x = np.linspace(0, 1, 400)
    out = []
    for i in range(start, start + n):
        star = np.random.default_rng(1000 + i // 2).normal(0, 1, 2)
        flux = 3 + star[0] * np.sin(5 * x) * 0.4 + star[1] * np.cos(9 * x) * 0.4
        flux = flux + rng.normal(0, 0.05, 400)
        axis = SpectralAxis("Angstrom", values=wave, medium=Medium.VACUUM,
                            specsys=facts.get("specsys", SpecSys.BARYCENT))  # fmt: skip
        about = Observation(
            "T", obs_id=f"s{i}", em_res_power=800.0, s_ra=float(i // 2), s_dec=5.0,
            redshift=facts.get("redshift"),
        )  # fmt: skip
        out.append(Spectrum(
            axis=axis, flux=flux, observation=about, provenance=Provenance("memory", "test"),
            uncertainty=np.full(400, 0.05), uncertainty_kind=UncertaintyKind.STD,
            flux_unit="erg / (s cm2 Angstrom)",
        ))  # fmt: skip
    return out


@pytest.fixture
def root(tmp_path) -> Path:
    folder = tmp_path / "archive"
    add_spectra(folder, spectra())
    return folder


class Watcher:
    """Remembers notes; cancels in stages whose name begins so, after so many steps."""

    def __init__(self, stop_in: str = "nothing", after: int = 0) -> None:
        self.notes: list[str] = []
        self.stages: list[str] = []
        self.stop_in, self.after, self.steps = stop_in, after, 0

    def start(self, what: str, total: int | None) -> None:
        self.stages.append(what)
        self.steps = 0

    def advance(self, steps: int = 1) -> None:
        self.steps += steps

    def note(self, text: str) -> None:
        self.notes.append(text)

    def cancelled(self) -> bool:
        return self.stages[-1].startswith(self.stop_in) and self.steps >= self.after

    def said(self, text: str) -> bool:
        return any(text in note for note in self.notes)


@dataclass(frozen=True)
class FakeSettings:
    latent: int = 3
    batch_size: int = 8
    seed: int = 0


class Fake:
    """A random projection that remembers how it was taught."""

    bears_gaps = True
    seen: dict = {}  # noqa: RUF012

    def __init__(self, domain, settings: FakeSettings | None = None, name: str = "fake") -> None:
        self.domain, self.settings, self.name = domain, settings or FakeSettings(), name
        self.weights = None

    def fit(self, data, progress=None, *, checkpoint_dir=None, device="auto"):
        flux, ivar = data.take(np.arange(len(data)))
        Fake.seen = {"n": len(data), "objects": data.objects, "device": device,
                     "gaps": float((ivar == 0).mean())}  # fmt: skip
        rng = np.random.default_rng(self.settings.seed)
        self.weights = rng.normal(size=(flux.shape[1], self.settings.latent)).astype("f4")
        return {"loss": 0.5}

    @property
    def ref(self):
        digest = encoders_hash({"weights": self.weights})
        return ModelRef(self.name, "1", digest, f"{Fake.seen.get('n', 0)} spectra")

    @property
    def scatter(self):
        return np.ones(self.domain.n_pix, "f4")

    def encode(self, flux, ivar):
        Fake.seen["encoded"] = Fake.seen.get("encoded", 0) + len(flux)
        vectors = (flux @ self.weights).astype("f4")
        zero = np.zeros(len(flux))
        return Encoded(vectors, vectors * 0, zero, (ivar > 0).sum(1), zero)

    def decode(self, vectors):
        return np.zeros((len(vectors), self.domain.n_pix), "f4")

    def metric_scale(self):
        return np.ones(self.settings.latent, "f4")

    def save(self, directory):
        card = {"encoder": "fake", "name": self.name, "weights_hash": self.ref.weights_hash,
                "domain": self.domain.to_json(), "latent": self.settings.latent}  # fmt: skip
        write_model(directory, {"weights": self.weights}, card)
        return self.ref

    @classmethod
    def load(cls, directory):
        from spectrarium.embed.card import read_model
        from spectrarium.embed.domain import ModelDomain

        arrays, card = read_model(directory)
        out = cls(ModelDomain.from_json(card["domain"]), FakeSettings(card["latent"]), card["name"])
        out.weights = arrays["weights"]
        return out


def encoders_hash(arrays) -> str:
    from spectrarium.embed.card import weights_hash

    return weights_hash(arrays)


@pytest.fixture
def fake(monkeypatch):
    """The encoder `fake`, as if it were built in but needed no torch."""
    module = types.ModuleType("spectrarium.embed.fake_for_tests")
    module.Fake = Fake
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(encoders.BUILTIN, "fake", ("fake_for_tests", "Fake"))
    Fake.seen = {}
    return Fake


# what is made ---------------------------------------------------------------------------------


def test_a_model_is_registered_when_complete_and_embeds_what_it_covers(root, fake):
    archive = sp.open(root)
    report = archive.train("fake", latent=4, batch=16, seed=7, name="mine")
    (group,) = report.groups
    assert group.name.startswith("fake.low-observed-")
    assert group.name.endswith("-mine")
    assert (group.latent, group.spectra, group.objects) == (4, N, N // 2)
    assert group.report == {"loss": 0.5}
    assert len(np.unique(fake.seen["objects"])) == N // 2
    assert fake.seen["device"] == "auto"
    assert archive.store.names("embeddings") == []
    (record,) = archive.models()
    assert (record["covered"], record["spectra"], record["latent"]) == (0, N, 4)
    card = archive.model_card(group.name)
    facts = card["trained"]
    assert facts["archive_version"] == 1
    assert (facts["spectra"], facts["objects"], facts["filter"]) == (N, N // 2, None)
    assert facts["preparation"] == card["domain"]["preparation"] == 2
    assert "objects" in facts["split"]
    assert Path(record["path"]).is_dir()
    assert not list((root / "models" / ".training").iterdir())

    done = archive.embed("fake")
    assert (done.covered, done.left_out) == (N, {})
    table = archive.store.table(f"embeddings/{group.name}")
    assert table.schema.metadata[b"encoder"] == b"fake"
    assert table.schema.field("vector").type.list_size == 4
    assert archive.models()[0]["covered"] == N
    add_spectra(root, spectra(10, start=N))
    fake.seen["encoded"] = 0
    again = archive.refresh().embed("fake")
    assert again.covered == N + 10
    assert fake.seen["encoded"] == 10
    assert archive.store.verify() == []


def test_what_a_model_does_not_cover_is_left_out_with_the_reason(root, fake):
    train(root, TrainOptions("fake"))
    add_spectra(root, spectra(5, 15000.0, 17000.0, start=900))
    report = embed(root, "fake")
    assert report.covered == N
    ((reason, n),) = report.left_out.items()
    assert n == 5
    assert "covers" in reason


def test_the_grid_may_be_coarser_or_finer_and_fewer_spectra_taught(root, fake):
    (coarse,) = train(root, TrainOptions("fake", max_pixels=100, max_train=40)).groups
    assert (coarse.pixels, coarse.spectra, coarse.members) == (100, 40, N)
    (full,) = train(root, TrainOptions("fake")).groups
    assert full.pixels > 380
    assert embed(root, "fake").covered == N


def test_pca_is_trained_like_the_others_and_still_fits_itself(root):
    archive = sp.open(root)
    with pytest.raises(UsageError, match="no option --batch"):
        archive.train("pca", batch=4)
    (group,) = archive.train("pca", latent=5).groups
    assert group.latent == 5
    assert archive.embed().covered == N  # with the model that was trained, no other
    assert archive.store.names("embeddings") == [group.name]
    assert archive.store.table(f"embeddings/{group.name}").schema.field(
        "vector").type.list_size == 5  # fmt: skip
    add_spectra(root, spectra(30, 15000.0, 17000.0, start=900))
    report = archive.refresh().embed()
    assert report.covered == N + 30
    assert len(archive.store.names("embeddings")) == 2


def test_wide_models_take_every_range_and_others_refuse(root, fake):
    add_spectra(root, spectra(30, 6000.0, 9000.0, start=200))
    with pytest.raises(UsageError) as caught:
        train(root, TrainOptions("pca", any_coverage=True))
    assert caught.value.code == "needs_coverage"
    (group,) = train(root, TrainOptions("fake", any_coverage=True)).groups
    assert group.name.startswith("fake.wide-")
    assert (group.spectra, group.wave_min_aa, group.wave_max_aa) == (94, 4000.0, 9000.0)
    assert 0.2 < fake.seen["gaps"] < 0.8
    assert embed(root, "fake").covered == 94


def test_models_of_the_rest_frame_prepare_the_query_alike(tmp_path, fake):
    root = tmp_path / "z"
    for z in (0.0, 0.2):
        some = spectra(30, 4000 * (1 + z), 7000 * (1 + z), start=int(1000 * z), redshift=z)
        add_spectra(root, some)
    add_spectra(root, spectra(3, start=500))
    report = train(root, TrainOptions("fake", rest="z"))
    (group,) = report.groups
    assert (group.frame, group.spectra) == ("rest", 60)
    assert report.left_out == {"no redshift to shift it to rest by": 3}
    assert embed(root, "fake").left_out == {"no redshift to shift it to rest by": 3}
    table = Archive(root).table(f"embeddings/{group.name}")
    vectors = np.array(table.column("vector").to_pylist())
    archive = sp.open(root)
    from spectrarium.run.explorer import Explorer

    explorer = Explorer(archive.store, group.name)
    _, encoded = explorer.prepare(archive.read("s200"))
    row = np.array([archive.store.resolve("s200")])
    at = table.column("uid").to_pylist().index(int(archive.store.index.value("uid", row)[0]))
    np.testing.assert_allclose(encoded.vectors[0], vectors[at], rtol=1e-4)
    with pytest.raises(UsageError, match="no redshift"):
        explorer.prepare(archive.read("s500"))
    (unknown,) = spectra(1, 4800, 8400, start=600)
    with pytest.raises(UsageError, match="no redshift"):
        archive.similar(unknown, 3)
    assert len(archive.similar(unknown, 3, redshift=0.2).answers) == 3


# interruptions --------------------------------------------------------------------------------


def test_the_same_training_is_not_done_twice(root, fake):
    first = train(root, TrainOptions("fake"))
    fake.seen = {}
    watcher = Watcher()
    second = train(root, TrainOptions("fake"), progress=watcher)
    assert "n" not in fake.seen
    assert [g.model for g in second.groups] == [g.model for g in first.groups]
    assert not second.groups[0].fitted
    assert watcher.said("kept")
    assert train(root, TrainOptions("fake", seed=1)).groups[0].fitted


def test_spectra_that_the_first_model_refused_get_theirs_after_an_interruption(tmp_path, fake):
    root = tmp_path / "archive"
    cut = [s.replace(flux=np.where(np.arange(400) < 120, np.nan, s.flux))
           for s in spectra(40, start=300)]  # fmt: skip
    add_spectra(root, spectra(40) + cut)

    class StopsInTheSecond(Watcher):
        def cancelled(self) -> bool:
            return sum(stage.startswith("preparing") for stage in self.stages) == 2

    with pytest.raises(TransientError):
        train(root, TrainOptions("fake"), progress=StopsInTheSecond())
    assert len(trained_models(Archive(root))) == 1
    first, second = train(root, TrainOptions("fake")).groups
    assert (first.fitted, second.fitted, second.spectra) == (False, True, 40)
    again = train(root, TrainOptions("fake"))
    assert [g.model for g in again.groups] == [first.model, second.model]
    (root / "models" / first.model / "refused.json").write_text("{")
    anew = train(root, TrainOptions("fake"))
    assert [(g.model, g.fitted) for g in anew.groups] == [(first.model, True),
                                                          (second.model, False)]  # fmt: skip


def test_what_another_encoder_holds_is_searched_by_this_one_too(root, fake):
    from spectrarium.run.explorer import Explorer

    embed(root, "pca", components=3)
    train(root, TrainOptions("fake"))
    embed(root, "fake")
    add_spectra(root, spectra(4, start=700))
    embed(root, "pca")
    archive = Archive(root)
    held = {n: Explorer(archive, n) for n in archive.names("embeddings")}
    assert {n.split(".")[0]: (len(e.rows), e.pending) for n, e in held.items()} == {
        "pca": (N + 4, 0), "fake": (N + 4, 4),
    }  # fmt: skip


def test_preparing_goes_on_where_it_was_cancelled(root, fake, monkeypatch):
    monkeypatch.setattr(spooling, "CHECKPOINT_BYTES", 1)
    scan = Archive.scan
    monkeypatch.setattr(Archive, "scan", lambda self, rows=None, batch=256: scan(self, rows, 8))
    with pytest.raises(TransientError) as caught:
        train(root, TrainOptions("fake"), progress=Watcher("preparing", 24))
    assert caught.value.code == "cancelled"
    assert trained_models(Archive(root)) == []
    watcher = Watcher()
    (group,) = train(root, TrainOptions("fake"), progress=watcher).groups
    assert watcher.said("goes on after 24 of 64")
    assert group.spectra == fake.seen["n"] == N
    fresh = root.with_name("fresh")
    add_spectra(fresh, spectra())
    assert train(fresh, TrainOptions("fake")).groups[0].model == group.model


def test_an_interrupted_training_of_other_spectra_starts_anew_and_says_so(root, fake):
    with pytest.raises(TransientError):
        train(root, TrainOptions("fake"), progress=Watcher("preparing", 0))
    add_spectra(root, spectra(2, start=400))
    watcher = Watcher()
    (group,) = train(root, TrainOptions("fake"), progress=watcher).groups
    assert watcher.said("other spectra")
    assert group.spectra == N + 2


def test_embedding_goes_on_where_it_was_cancelled(root, fake, monkeypatch):
    train(root, TrainOptions("fake"))
    monkeypatch.setattr(encoding, "PART_BYTES", 1)
    scan = Archive.scan
    monkeypatch.setattr(Archive, "scan", lambda self, rows=None, batch=256: scan(self, rows, 8))
    with pytest.raises(TransientError) as caught:
        embed(root, "fake", progress=Watcher("encoding", 40))
    assert caught.value.code == "cancelled"
    assert Archive(root).names("embeddings") == []
    (parts,) = (root / "models" / ".embedding").iterdir()
    (parts / "part-000077.arrow").write_bytes(b"a disk that lost power")
    changed = spectra(1)[0]
    add_spectra(root, [dataclasses.replace(changed, flux=changed.flux + 0.5)])
    fake.seen["encoded"] = 0
    watcher = Watcher()
    assert embed(root, "fake", progress=watcher).covered == N
    assert fake.seen["encoded"] == N - 39  # 40 were done, one of them has changed since
    assert watcher.said("39 were encoded before")
    assert not (root / "models" / ".embedding").exists()
    (name,) = Archive(root).names("embeddings")
    uids = Archive(root).table(f"embeddings/{name}").column("uid").to_pylist()
    assert len(uids) == len(set(uids)) == N


def test_retraining_leaves_the_old_vectors_until_new_ones_are_complete(root, fake, monkeypatch):
    archive = sp.open(root)
    old = archive.train("fake", seed=1).groups[0]
    archive.embed("fake")
    new = archive.train("fake", seed=2).groups[0]
    assert new.name == old.name
    assert new.model != old.model
    (record,) = archive.models()
    assert (record["model_id"], record["covered"]) == (old.model, N)
    assert record["next_model_id"] == new.model
    assert (root / "models" / old.model).is_dir()
    with pytest.raises(TransientError):
        embed(root, "fake", progress=Watcher("encoding", 1))
    assert archive.refresh().models()[0]["model_id"] == old.model
    archive.embed("fake")
    (record,) = archive.models()
    assert (record["model_id"], record["covered"]) == (new.model, N)


KILLED = """
import sys, time
from pathlib import Path
from spectrarium.domain.progress import Silent
from spectrarium.run.training import train
from spectrarium.run.train_options import TrainOptions

class Hangs(Silent):  # half way: where it is killed must not depend on how fast the machine is
    steps = 0
    training = False

    def start(self, what, total):
        self.training, self.half = what == "training", (total or 0) // 2

    def advance(self, steps=1):
        self.steps += self.training
        if self.training and self.steps > self.half:
            Path(sys.argv[1], "half").touch()
            time.sleep(600)

train(Path(sys.argv[1]), TrainOptions("dense", latent=2, epochs=25, batch=16, seed=3),
      progress=Hangs())
"""


def test_a_killed_training_goes_on_and_ends_as_if_it_had_not_been(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    root, twin = tmp_path / "killed", tmp_path / "twin"
    add_spectra(root, spectra())
    shutil.copytree(root, twin)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(root)], env=environment)
    folder = root / "models" / ".training"
    started = time.monotonic()
    try:
        while not (root / "half").exists():
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() - started < 120
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert list(folder.glob("*/checkpoint/training.ckpt"))
    archive = Archive(root)
    assert archive.names("trained") == archive.names("embeddings") == []
    assert [p.name for p in (root / "models").iterdir()] == [".training"]
    options = TrainOptions("dense", latent=2, epochs=25, batch=16, seed=3)
    watcher = Watcher()
    monkeypatch.setattr(logging.getLogger("spectrarium.embed.deep_train"), "disabled", True)
    (group,) = train(root, options, progress=watcher).groups
    assert watcher.said("resumes in epoch")
    assert watcher.said("prepared before")
    assert watcher.said("held out")  # the losses are shown
    assert not list(folder.iterdir())
    (other,) = train(twin, options).groups
    assert group.model == other.model
    assert embed(root, "dense").covered == N
    assert Archive(root).verify() == []


def test_several_processes_prepare_the_same_batches(root, monkeypatch):
    archive = Archive(root)
    summary = SpectrumSummary.of(archive.read("s0"))
    assert ModelDomain(4010.0, 6990.0, 300, frame="observed").covers(summary)[0]
    preparer = Preparer(ModelDomain(4010.0, 6990.0, 300, frame="observed"))
    add_spectra(root, spectra(3, 15000.0, 17000.0, start=900))
    archive = Archive(root)
    rows = archive.find()[::-1]
    alone = list(preparing.prepared(archive, preparer, rows, 8, workers=0))
    both = list(preparing.prepared(archive, preparer, rows, 8, workers=2))
    assert len(alone) == len(both) == 9
    for (one, chunk, left), (other, chunk2, left2) in zip(alone, both, strict=True):
        np.testing.assert_array_equal(chunk, chunk2)
        np.testing.assert_array_equal(one.flux, other.flux)
        np.testing.assert_array_equal(one.ivar, other.ivar)
        assert left == left2
    assert sum(len(left) for _, _, left in both) == 3
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(InternalError) as caught:
        list(preparing.prepared(archive, preparer, rows, 8, workers=2))
    assert caught.value.code == "no_worker"


# bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"encoder": "oracle"}, "unknown_encoder"),
        ({"encoder": "pca", "device": "cuda"}, "no_device"),
        ({"encoder": "pca", "where": "snr > 1e9"}, "nothing_to_do"),
        ({"encoder": "pca", "where": "nonsense > 1"}, "bad_filter"),
        ({"encoder": "pca", "latent": 400}, "nothing_trained"),
        ({"encoder": "pca", "latent": 0}, "bad_option"),
        ({"encoder": "pca", "name": "a.b/../c"}, "bad_name"),
        ({"encoder": "pca", "rest": "v"}, "bad_choice"),
        ({"encoder": "pca", "telluric": "remove"}, "bad_choice"),
        ({"encoder": "pca", "rest": "rv"}, "nothing_trained"),
        ({"encoder": "pca", "object_column": "truth.id"}, "no_column"),
        ({"encoder": "pca", "weights": "/nowhere"}, "no_such_option"),
        ({"encoder": "fake", "latent": 100_000}, "nothing_trained"),
    ],
)
def test_what_cannot_be_trained_says_why(root, fake, options, code):
    with pytest.raises(UsageError) as caught:
        train(root, TrainOptions(**options))
    assert caught.value.code == code
    assert caught.value.remedy
    assert Archive(root).names("trained") == []


def test_networks_refuse_devices_and_sizes_they_cannot_have(root):
    pytest.importorskip("torch")
    for options, code in (
        ({"device": "tpu"}, "unknown_device"),
        ({"device": "cuda:99"}, "no_device"),
        ({"latent": 62}, "nothing_trained"),  # 64 spectra, some of them held out
    ):
        with pytest.raises(UsageError) as caught:
            train(root, TrainOptions("dense", **options))
        assert caught.value.code == code
    kept = root / "models" / ".training"
    assert not kept.exists() or not list(kept.iterdir())


def test_too_few_spectra_say_so(tmp_path):
    add_spectra(tmp_path / "few", spectra(12))
    with pytest.raises(UsageError, match="fewer than 20 comparable spectra"):
        train(tmp_path / "few", TrainOptions("pca"))


def test_embedding_names_the_command_that_is_missing(root, fake):
    with pytest.raises(UsageError) as caught:
        embed(root, "fake")
    assert caught.value.code == "not_trained"
    assert "spectrarium train fake" in caught.value.remedy
    train(root, TrainOptions("fake"))
    for wrong in ({"components": 3}, {"refit": True}):
        with pytest.raises(UsageError) as caught:
            embed(root, "fake", **wrong)
        assert caught.value.code == "no_such_option"


def test_a_damaged_model_is_refused_and_trained_anew(root, fake):
    (group,) = train(root, TrainOptions("fake")).groups
    weights = root / "models" / group.model / "weights.npy"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    with pytest.raises(DataError) as caught:
        embed(root, "fake")
    assert caught.value.code == "hash_mismatch"
    watcher = Watcher()
    again = train(root, TrainOptions("fake"), progress=watcher).groups[0]
    assert again.fitted
    assert watcher.said("damaged")
    assert embed(root, "fake").covered == N
    shutil.rmtree(root / "models" / group.model)
    (record,) = sp.open(root).models()
    assert "gone" in record["damage"]


def test_a_changed_card_is_refused_listed_and_made_anew(root):
    embed(root, "pca", components=4)
    archive = sp.open(root)
    (record,) = archive.models()
    card = Path(record["path"]) / "card.json"
    assert PCA.load(card.parent).ref.model_id == record["model_id"]
    said = json.loads(card.read_text())
    assert said["trained"]["split"] == said["data"]["split"] == "nothing is held out"
    assert said["trained"]["objects"] == said["data"]["train_objects"] == N // 2
    assert "1.5″" in said["trained"]["objects_are"]
    wider = said["domain"] | {"wave_min_aa": said["domain"]["wave_min_aa"] - 1.0}
    card.write_text(json.dumps(said | {"domain": wider}))
    for use in (lambda: embed(root, "pca"), lambda: archive.model_card(record["name"]),
                lambda: archive.similar("s3")):  # fmt: skip
        with pytest.raises(DataError) as caught:
            use()
        assert (caught.value.code, caught.value.where) == ("hash_mismatch", str(card))
    (listed,) = archive.models()
    assert "hash" in listed["damage"]
    assert listed["covered"] == N
    loud = {k: v for k, v in said.items() if k != "card_hash"}  # as a version before would write
    card.write_text(json.dumps(loud | {"domain": said["domain"] | {"flux_kind": "loud"}}))
    for components in (None, 5):
        with pytest.raises(DataError, match="'loud'") as caught:
            embed(root, "pca", components=components)
        assert (caught.value.code, caught.value.where) == ("bad_model", str(card))
    assert embed(root, "pca", components=4, refit=True).covered == N
    (again,) = sp.open(root).models()
    assert "damage" not in again
    assert again["model_id"] == record["model_id"]


def test_two_trainings_of_one_name_do_not_meet(root, fake):
    from spectrarium.run.training import _locked

    (group,) = train(root, TrainOptions("fake")).groups
    with _locked(root / "models" / ".training" / group.name), pytest.raises(TransientError) as e:
        train(root, TrainOptions("fake", seed=5))
    assert e.value.code == "locked"


def test_the_command_line_trains_embeds_and_shows_cards(root, capsys):
    from spectrarium.cli.main import main

    def run(*words, code=0):
        with pytest.raises(SystemExit) as ended:
            main([*words, "-a", str(root), "--json"])
        out, err = capsys.readouterr()
        assert ended.value.code == code, err
        return json.loads(out if code == 0 else err.strip().splitlines()[-1])

    report = run("train", "pca", "--latent", "4", "--name", "four", "--telluric", "mask")
    (group,) = report["groups"]
    assert group["latent"] == 4
    assert run("embed")["covered"] == N
    by_name = {m["name"]: m for m in run("models")}
    assert by_name[group["name"]]["covered"] == N
    assert by_name[group["name"]]["telluric"] == "mask"
    assert len(by_name) == 2  # and the one that embed fits by itself
    assert run("models", "--card", group["name"])["trained"]["options"]["name"] == "four"
    assert run("models", "--card", "nothing", code=2)["code"] == "no_model"
    assert run("embed", "--encoder", "dense", code=2)["code"] == "not_trained"
    assert run("train", "oracle", code=2)["code"] == "unknown_encoder"
    with pytest.raises(SystemExit):
        main(["models", "-a", str(root)])
    shown = capsys.readouterr().out
    assert "learnt from" in shown
    assert "…@" in shown
