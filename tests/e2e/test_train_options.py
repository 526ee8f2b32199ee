"""What can be asked of `train`: settings, a range, full resolution, weights of others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import spectrarium as sp
from spectrarium.cli.main import main
from spectrarium.domain.axis import Medium, SpecSys, SpectralAxis
from spectrarium.domain.errors import TransientError, UsageError
from spectrarium.domain.observation import Observation, Provenance
from spectrarium.domain.progress import Silent
from spectrarium.domain.spectrum import Spectrum, UncertaintyKind
from spectrarium.run.train_options import TrainOptions
from spectrarium.run.training import train
from spectrarium.store.writer import add_spectra

N = 48


def spectra(n=N, lo=4000.0, hi=7000.0, pixels=400, start=0, power=800.0) -> list[Spectrum]:
    """Two-parameter spectra of as many objects."""
    out = []
    x = np.linspace(0, 1, pixels)
    for i in range(start, start + n):
        rng = np.random.default_rng(i)
        a, b = rng.normal(0, 0.4, 2)
        flux = 3 + a * np.sin(5 * x) + b * np.cos(9 * x) + rng.normal(0, 0.05, pixels)
        axis = SpectralAxis("Angstrom", values=np.geomspace(lo, hi, pixels), medium=Medium.VACUUM,
                            specsys=SpecSys.BARYCENT)  # fmt: skip
        about = Observation("T", obs_id=f"s{i}", em_res_power=power, s_ra=float(i), s_dec=5.0)
        out.append(Spectrum(
            axis=axis, flux=flux, observation=about, provenance=Provenance("memory", "test"),
            uncertainty=np.full(pixels, 0.05), uncertainty_kind=UncertaintyKind.STD,
            flux_unit="erg / (s cm2 Angstrom)",
        ))  # fmt: skip
    return out


@pytest.fixture
def root(tmp_path) -> Path:
    add_spectra(tmp_path / "archive", spectra())
    return tmp_path / "archive"


@pytest.fixture
def run(root, capsys):
    """The command line on that archive: its records, or the record of its error."""

    def asked(*words, code=0):
        with pytest.raises(SystemExit) as ended:
            main([*words, "-a", str(root), "--json"])
        out, err = capsys.readouterr()
        assert ended.value.code == code, err
        return json.loads(out if code == 0 else err.strip().splitlines()[-1])

    return asked


class Notes(Silent):
    """Keeps what is said; stops in the stage whose name begins so."""

    def __init__(self, stop_in: str = "nothing") -> None:
        self.said, self.stage, self.stop_in = "", "", stop_in

    def start(self, what, total):
        self.stage = what

    def note(self, text):
        self.said += text + "\n"

    def cancelled(self):
        return self.stage.startswith(self.stop_in)


# settings of the encoder ----------------------------------------------------------------------


def test_a_variational_network_is_trained_from_the_command_line(run, root):
    pytest.importorskip("torch")
    report = run("train", "dense", "--epochs", "2", "--latent", "3", "--set", "beta=0.1",
                 "--set", "widths=16,8", "--set", "compile=no")  # fmt: skip
    (group,) = report["groups"]
    card = run("models", "--card", group["name"])
    assert card["settings"]["beta"] == 0.1
    assert card["settings"]["widths"] == [16, 8]
    assert card["trained"]["options"]["settings"] == {"beta": 0.1, "widths": [16, 8],
                                                      "compile": False}  # fmt: skip
    assert run("embed", "--encoder", "dense")["covered"] == N
    table = sp.open(root).store.table(f"embeddings/{group['name']}")
    variance = np.array(table.column("variance").to_pylist())
    assert variance.shape == (N, 3)
    assert (variance > 0).all(), "a posterior of its own"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--set", "wide=3"], "no_such_setting", "clip"),
        (["--set", "clip=much"], "bad_option", "clip"),
        (["--set", "clip"], "bad_option", "NAME=VALUE"),
        (["--set", "=3"], "bad_option", "NAME=VALUE"),
        (["--set", "clip=3", "--set", "clip=4"], "given_twice", "once"),
        (["--set", "seed=3", "--seed", "4"], "given_twice", "sample"),
        (["--set", "clip=-1"], "bad_fit", "clip"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_say_why(run, root, words, code, told):
    error = run("train", "pca", *words, code=2)
    assert error["code"] == code
    assert told in error["reason"] + error["remedy"]
    assert sp.open(root).models() == []


def test_a_training_with_other_settings_is_another(root):
    archive = sp.open(root)
    first = archive.train("pca", latent=3, settings={"clip": 4.0}).groups[0]
    assert first.fitted
    same = archive.train("pca", settings={"n_components": "3", "clip": "4"}).groups[0]
    assert (same.fitted, same.model) == (False, first.model)
    other = archive.train("pca", latent=3, settings={"clip": 3.0}).groups[0]
    assert other.fitted
    assert other.name == first.name, "it replaces the one before, as with another seed"
    with pytest.raises(UsageError, match="no setting"):
        archive.train("pca", settings={"": 1})


def test_a_chosen_setting_does_not_give_way_to_the_number_of_spectra(root):
    pytest.importorskip("torch")
    asked = {"patience": 2, "least_steps": 40, "widths": [8]}
    archive = sp.open(root)
    (group,) = archive.train("dense", latent=2, settings=asked).groups
    assert archive.model_card(group.name)["settings"]["patience"] == 2


def test_an_interrupted_training_goes_on_only_with_the_same_settings(root):
    pytest.importorskip("torch")

    def options(beta):
        return TrainOptions("dense", latent=2, epochs=3, settings={"beta": beta, "widths": [8]})

    with pytest.raises(TransientError) as caught:
        train(root, options(0.1), progress=Notes("training"))
    assert caught.value.code == "cancelled"
    notes = Notes()
    (group,) = train(root, options(0.2), progress=notes).groups
    assert "prepared before" in notes.said, "the spectra are the same"
    assert group.fitted
    assert sp.open(root).model_card(group.name)["settings"]["beta"] == 0.2


# a range --------------------------------------------------------------------------------------


def test_models_of_a_range_see_nothing_else(run, root):
    add_spectra(root, spectra(5, 4000.0, 5500.0, start=600) + spectra(3, 8000, 9000, start=700))
    whole = run("train", "pca", "--latent", "3")
    report = run("train", "pca", "--latent", "3", "--range", "5000", "6000")
    (group,) = report["groups"]
    assert (group["wave_min_aa"], group["wave_max_aa"], group["spectra"]) == (5000, 6000, N)
    assert "within" in group["name"]
    assert group["name"] != whole["groups"][0]["name"]
    assert report["left_out"] == {"covers too little of the range asked for": 5,
                                  "lies outside 5000–6000 Å": 3}  # fmt: skip
    card = run("models", "--card", group["name"])
    assert card["trained"]["options"]["range_aa"] == [5000, 6000]
    assert run("embed")["covered"] == N
    held = {m["name"]: m["covered"] for m in run("models")}
    assert held == {whole["groups"][0]["name"]: N, group["name"]: N}, "families of their own"
    found = run("similar", "s3", "--model", group["name"], "-k", "4")
    assert len(found) == 4
    again = run("train", "pca", "--latent", "3", "--range", "5000", "6000")
    assert not again["groups"][0]["fitted"]


def test_a_wide_model_of_a_range_takes_all_that_reach_into_it(run, root):
    pytest.importorskip("torch")
    add_spectra(root, spectra(25, 4000.0, 5500.0, start=600) + spectra(3, 8000, 9000, start=700))
    report = run("train", "patch", "--any-coverage", "--range", "5000", "6000", "--epochs", "1",
                 "--set", "width=16", "--set", "least_steps=1", "--latent", "8")  # fmt: skip
    (group,) = report["groups"]
    assert (group["wave_min_aa"], group["wave_max_aa"]) == (5000, 6000)
    assert group["spectra"] == N + 25
    assert report["left_out"] == {"lies outside 5000–6000 Å": 3}
    assert group["name"].startswith("patch.wide-")


@pytest.mark.parametrize(
    ("ends", "code", "told"),
    [
        (("6000", "5000"), "bad_range", "shorter one first"),
        (("5000", "5000"), "bad_range", "shorter one first"),
        (("-5000", "6000"), "bad_range", "no range"),
        (("0", "6000"), "bad_range", "no range"),
        (("nan", "6000"), "bad_range", "no range"),
        (("5000", "inf"), "bad_range", "no range"),
        (("five", "6000"), "bad_command_line", "five"),
        (("20000", "21000"), "no_coverage", "4000–7000 Å"),
        (("3000", "9000"), "nothing_trained", "covers too little of the range asked for"),
        (("5000", "5002"), "nothing_trained", "fewer than 16 pixels"),
    ],
)  # fmt: skip
def test_ranges_that_cannot_be_say_why(run, root, ends, code, told):
    error = run("train", "pca", "--range", *ends, code=2)
    assert error["code"] == code
    assert told in error["reason"] + error["remedy"]
    assert sp.open(root).models() == []


@pytest.mark.parametrize("given", [(5000,), (1, 2, 3), 5000, "12", ("a", "b"), (None, 5000)])
def test_what_is_no_range_is_refused_in_python_too(given):
    with pytest.raises(UsageError) as caught:
        TrainOptions("pca", range_aa=given)
    assert caught.value.code == "bad_range"
    assert TrainOptions("pca").family == "pca|group|none|keep||"
    assert TrainOptions("pca", range_aa=(5000, 6000)).family != TrainOptions("pca").family


# full resolution ------------------------------------------------------------------------------


@pytest.fixture
def fine(tmp_path) -> Path:
    """40 spectra (a network needs 32 to learn from) of 20,000 pixels that they resolve."""
    ends = np.exp([8.294, 8.860])  # 3999–7045 Å, on the lattice that ranges are compared on
    add_spectra(tmp_path / "fine", spectra(40, *ends, pixels=20_000, power=18_000.0))
    return tmp_path / "fine"


def test_conv_sees_every_pixel_and_others_say_that_they_do_not(fine, capsys):
    pytest.importorskip("torch")
    archive = sp.open(fine)
    (group,) = archive.train("conv", latent=4, epochs=1, settings={"channels": 4}).groups
    assert group.pixels == pytest.approx(20_000, abs=20)
    assert (group.own_pixels, group.coarser) == (group.pixels, "")
    assert archive.embed("conv").covered == 40
    vectors = archive.store.table(f"embeddings/{group.name}").column("vector")
    assert np.isfinite(np.array(vectors.to_pylist())).all()

    (coarse,) = archive.train("pca", latent=2).groups
    assert (coarse.pixels, coarse.own_pixels) == (6_000, group.pixels)
    assert coarse.coarser == "max-pixels"
    capsys.readouterr()
    for words, told in (([], True), (["--max-pixels", "20100"], False)):
        with pytest.raises(SystemExit) as ended:
            main(["train", "pca", "--latent", "2", *words, "-a", str(fine)])
        out = " ".join(capsys.readouterr().out.split())
        assert ended.value.code == 0
        assert ("its 6,000 pixels are 3.3 times as wide as those of its spectra" in out) == told
        assert (f"--max-pixels {group.pixels} keeps them apart" in out) == told


# weights of others ----------------------------------------------------------------------------


@pytest.fixture
def weights(tmp_path) -> Path:
    """Tiny random weights in SpecFormer's published layout."""
    torch = pytest.importorskip("torch")
    from spectrarium.embed.specformer_net import SpecFormerNet, SpecFormerShape

    torch.manual_seed(3)
    net = SpecFormerNet(SpecFormerShape(embed_dim=16, num_layers=2, num_heads=2))
    hyper = {"num_heads": 2, "slice_section_length": 20, "slice_overlap": 10}
    path = tmp_path / "mine" / "specformer.ckpt"
    path.parent.mkdir()
    torch.save({"state_dict": net.state_dict(), "hyper_parameters": hyper}, path)
    return path


@pytest.mark.parametrize("option", [["--weights"], ["--set"]])
def test_weights_named_from_here_are_found_from_elsewhere(
    weights, tmp_path, monkeypatch, capsys, option
):
    root = tmp_path / "desi"
    add_spectra(root, spectra(24, 3650.0, 9700.0, pixels=600))
    (tmp_path / "elsewhere").mkdir()

    def run(folder, *words, code=0):
        monkeypatch.chdir(folder)
        with pytest.raises(SystemExit) as ended:
            main([*words, "-a", str(root), "--json"])
        out, err = capsys.readouterr()
        assert ended.value.code == code, err
        return json.loads(out if code == 0 else err.strip().splitlines()[-1])

    named = "specformer.ckpt" if option == ["--weights"] else "weights=../mine/specformer.ckpt"
    (group,) = run(weights.parent, "train", "specformer", *option, named)["groups"]
    card = run(tmp_path, "models", "--card", group["name"])
    assert card["settings"]["weights"] == str(weights)
    assert card["trained"]["options"]["weights"] == str(weights)
    assert run(tmp_path / "elsewhere", "embed", "--encoder", "specformer")["covered"] == 24
    found = run(tmp_path / "elsewhere", "similar", "s3", "--encoder", "specformer", "-k", "3")
    assert len(found) == 3
    again = run(tmp_path, "train", "specformer", "--weights", "mine/specformer.ckpt")
    assert not again["groups"][0]["fitted"], "the same weights by another name"
    weights.rename(weights.with_name("moved.ckpt"))
    lost = run(tmp_path, "similar", "s3", "--encoder", "specformer", code=2)
    assert (lost["code"], lost["where"]) == ("no_weights", str(weights))


def test_weights_that_are_not_there_are_named_in_full(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    root = tmp_path / "desi"
    add_spectra(root, spectra(24, 3650.0, 9700.0, pixels=600))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        train(root, TrainOptions("specformer", weights="none.ckpt"))
    assert caught.value.code == "no_weights"
    assert str(tmp_path / "none.ckpt") in caught.value.where
