"""The model card: what it says cannot change unnoticed, and nonsense in it is said, with where."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from embedding_cases import DOMAIN, linear_world

from spectrarium.domain.errors import DataError, UsageError
from spectrarium.embed.card import (
    CARD,
    card_hash,
    read_card,
    read_model,
    weights_hash,
    write_card,
    write_model,
)
from spectrarium.embed.pca import PCA
from spectrarium.embed.pca_fit import FitSettings
from spectrarium.explore.tag_guard import Features
from spectrarium.explore.tag_store import load_tagger, save_tagger
from spectrarium.explore.tagging import train_tagger


@pytest.fixture(scope="module")
def pca() -> PCA:
    model = PCA(DOMAIN, FitSettings(n_components=3))
    model.fit(lambda: [linear_world(120)[0]])
    return model


@pytest.fixture(scope="module")
def tagger():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((600, 4))
    features = Features(vectors, 10 ** rng.uniform(0.5, 2, 600))
    label = vectors[:, 0] + 0.1 * rng.standard_normal(600)
    return train_tagger(features, label, np.arange(600), kind="number", heads=["ridge"])


def edited(folder: Path, **changes) -> None:
    """A card changed by hand: values within values by names joined with two underscores."""
    path = folder / CARD
    card = json.loads(path.read_text())
    for name, value in changes.items():
        *outer, last = name.split("__")
        inner = card
        for key in outer:
            inner = inner[key]
        if value is None:
            del inner[last]
        else:
            inner[last] = value
    path.write_text(json.dumps(card))


def refusal(load, folder: Path) -> DataError:
    with pytest.raises(DataError) as refused:
        load(folder)
    assert str(folder) in refused.value.where
    return refused.value


CHANGES = [{"domain__wave_min_aa": 4001.0}, {"settings__clip": 4.0}, {"metric_power": 1.0},
           {"training": "a million spectra"}, {"invented": 1}, {"domain__frame": None},
           {"report__history": []}, {"card_hash": "0" * 64}, {"card_hash": 5}]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=[next(iter(c)) for c in CHANGES])
def test_a_card_that_was_changed_is_refused(pca: PCA, tmp_path: Path, change: dict):
    pca.save(tmp_path / "m")
    PCA.load(tmp_path / "m")
    edited(tmp_path / "m", **change)
    error = refusal(PCA.load, tmp_path / "m")
    assert error.code == "hash_mismatch"
    assert error.where == str(tmp_path / "m" / CARD)
    assert "card" in error.what
    assert "train it again" in error.remedy
    with pytest.raises(DataError):
        read_card(tmp_path / "m")


def test_the_same_card_written_otherwise_is_the_same_card(pca: PCA, tmp_path: Path):
    pca.save(tmp_path / "m")
    path = tmp_path / "m" / CARD
    card = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(card.items())), indent=7))
    assert PCA.load(tmp_path / "m").ref == pca.ref


def test_models_saved_before_cards_had_a_hash_still_load(pca: PCA, tmp_path: Path):
    pca.save(tmp_path / "m")
    edited(tmp_path / "m", card_hash=None)
    assert PCA.load(tmp_path / "m").ref == pca.ref
    edited(tmp_path / "m", training="nobody can tell")
    assert PCA.load(tmp_path / "m").ref.training == "nobody can tell"


def test_the_hash_is_of_what_is_said_not_of_how_python_said_it():
    card = {"b": (1, 2.5), "a": {3: "x"}, "name": "Å", "tiny": 5e-324, "whole": 10**30}
    there = json.loads(json.dumps(card))
    assert card_hash(card) == card_hash(there) == card_hash(there | {"card_hash": "any"})
    assert card_hash(card) != card_hash(card | {"tiny": 0.0})
    assert card_hash({"x": 1}) != card_hash({"x": True}) != card_hash({"x": "True"})


def test_a_card_that_is_read_and_written_again_gets_its_own_hash(pca: PCA, tmp_path: Path):
    pca.save(tmp_path / "m")
    arrays, card = read_model(tmp_path / "m")
    write_model(tmp_path / "copy", arrays, card | {"remark": "more"})
    assert read_card(tmp_path / "copy")["remark"] == "more"
    assert read_card(tmp_path / "copy")["card_hash"] != card["card_hash"]
    write_card(tmp_path / "m", read_card(tmp_path / "m") | {"trained": {"objects": 3}})
    assert PCA.load(tmp_path / "m").ref == pca.ref
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy", "m"]
    assert not [p for p in (tmp_path / "m").iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("harm", ["card", "weights", "missing"])
def test_saving_a_damaged_model_again_makes_it_whole(pca: PCA, tmp_path: Path, harm: str):
    pca.save(tmp_path / "m")
    (tmp_path / "m" / "refused.json").write_text("{}")
    if harm == "card":
        edited(tmp_path / "m", metric_power=9.0)
    elif harm == "weights":
        (tmp_path / "m" / "mean.npy").write_bytes(b"torn")
    else:
        (tmp_path / "m" / "mean.npy").unlink()
    with pytest.raises(DataError):
        PCA.load(tmp_path / "m")
    pca.save(tmp_path / "m")
    assert PCA.load(tmp_path / "m").metric_power == pca.metric_power
    assert (tmp_path / "m" / "refused.json").is_file()
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_what_is_not_the_same_model_is_not_written_over(pca: PCA, tmp_path: Path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("keep")
    with pytest.raises(UsageError) as refused:
        pca.save(tmp_path / "notes")
    assert refused.value.code == "exists"
    assert [p.name for p in (tmp_path / "notes").iterdir()] == ["mine.txt"]
    pca.save(tmp_path / "m")
    edited(tmp_path / "m", layout=99)
    with pytest.raises(DataError) as newer:
        pca.save(tmp_path / "m")
    assert newer.value.code == "newer_layout"
    (tmp_path / "m" / CARD).write_text("{")
    with pytest.raises(DataError) as damaged:
        pca.save(tmp_path / "m")
    assert damaged.value.code == "bad_model"
    assert (tmp_path / "m" / CARD).read_text() == "{"


def test_a_taggers_card_is_guarded_alike(tagger, tmp_path: Path):
    name = save_tagger(tagger, tmp_path, "tag.x", "1", {}, {"unit": "K", "test": {"n": 3}})
    folder = tmp_path / name
    load_tagger(folder)
    edited(folder, scale=[0.0, 2.0, False])
    assert refusal(load_tagger, folder).code == "hash_mismatch"
    assert save_tagger(tagger, tmp_path, "tag.x", "1", {}, {"unit": "K"}) == name
    assert load_tagger(folder)[2]["unit"] == "K"


BROKEN = ["[]", "5", "null", '{"arrays": 3}', '{"arrays": [], "name": 5}', "[" * 100_000,
          '{"layout": "x", "arrays": []}', "\x00", "{}"]  # fmt: skip


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_a_card_that_is_none_is_said(tmp_path: Path, text: str):
    (tmp_path / CARD).write_text(text)
    error = refusal(PCA.load, tmp_path)
    assert error.code in ("bad_model", "hash_mismatch")


def test_a_card_that_is_no_file_is_said(tmp_path: Path):
    (tmp_path / CARD).mkdir()
    assert refusal(PCA.load, tmp_path).code == "bad_model"


def test_arrays_with_any_name_keep_their_hash(tmp_path: Path):
    arrays = {"a": np.arange(3), "b-c": np.eye(2, dtype="f4")}
    write_model(tmp_path / "m", arrays, {"weights_hash": weights_hash(arrays)})
    found, card = read_model(tmp_path / "m")
    assert weights_hash(found) == card["weights_hash"]
    assert card["card_hash"] == card_hash(card)


# values that cannot be, in cards of before there was a hash


def unguarded(folder: Path, **changes) -> Path:
    edited(folder, **changes, card_hash=None)
    return folder


NONSENSE = [
    {"domain__flux_kind": "loud"}, {"domain__telluric": 7}, {"domain__rest": ["z"]},
    {"domain__rest": "z"}, {"domain__wave_min_aa": "blue"}, {"domain__wave_min_aa": -4000.0},
    {"domain__wave_max_aa": float("inf")}, {"domain__wave_max_aa": float("nan")},
    {"domain__n_pix": -400}, {"domain__n_pix": 400.5}, {"domain__n_pix": "400"},
    {"domain__n_pix": 399}, {"domain__least_coverage": 2.0}, {"domain__resolution": [1.0]},
    {"domain__resolution": "low"}, {"domain__resolution": [[], None]}, {"domain__frame": 5},
    {"domain__scale_range_aa": [5000.0]}, {"domain__scale_range_aa": 5}, {"domain__frame": []},
    {"domain__min_snr": "good"}, {"domain__medium_tolerance_kms": []}, {"domain": "wide"},
    {"domain__preparation": "new"}, {"domain": []}, {"domain__invented": 1}, {"settings": []},
    {"report__history": 5}, {"report": None}, {"report": 3}, {"domain": None}, {"name": None},
    {"settings__invented": 1}, {"training": 3},
]  # fmt: skip
TO_PCA = [{"metric_power": "x"}, {"metric_power": []}, {"settings__clip": "x"}]
TO_DENSE = [
    {"settings__latent": 0}, {"settings__latent": "x"}, {"settings__latent": 2.5},
    {"settings__latent": float("inf")}, {"settings__widths": 5}, {"settings__widths": ["x"]},
    {"settings__held_out": 2}, {"settings__epochs": -1}, {"settings__pixels": 1e300},
]  # fmt: skip


def spelt(changes: list[dict]) -> list[str]:
    return [f"{k}={v}" for c in changes for k, v in c.items()]


@pytest.mark.parametrize("change", NONSENSE + TO_PCA, ids=spelt(NONSENSE + TO_PCA))
def test_nonsense_in_a_card_of_pca_is_said(pca: PCA, tmp_path: Path, change: dict):
    pca.save(tmp_path / "m")
    error = refusal(PCA.load, unguarded(tmp_path / "m", **change))
    assert error.code == "bad_model"
    assert error.remedy or "damaged" in error.what


@pytest.fixture(scope="module")
def dense():
    pytest.importorskip("torch")
    from spectrarium.embed.dense import Dense, DenseSettings

    model = Dense(DOMAIN, DenseSettings(latent=2, widths=(8,), epochs=1))
    model.fit(lambda: [linear_world(80)[0]], device="cpu")
    return model


def test_all_encoders_cards_say_the_same_things(pca: PCA, dense):
    ours, theirs = pca.card, dense.card
    assert theirs.keys() <= ours.keys()
    for part in ("data", "metrics", "report"):
        assert theirs[part].keys() <= ours[part].keys()


@pytest.mark.parametrize("change", NONSENSE + TO_DENSE, ids=spelt(NONSENSE + TO_DENSE))
def test_nonsense_in_a_networks_card_is_said(dense, tmp_path: Path, change: dict):
    dense.save(tmp_path / "m")
    error = refusal(type(dense).load, unguarded(tmp_path / "m", **change))
    fewer = change.get("domain__n_pix") == 399  # it is the weights that do not fit
    assert error.code == ("wrong_architecture" if fewer else "bad_model")


@pytest.mark.parametrize(
    "change", [{"kind": "colour"}, {"head": "oracle"}, {"kind": None}, {"levels": [0.9]},
               {"levels": 3}, {"scale": [0.0]}, {"scale": [0.0, "x", False]}, {"seed": "x"},
               {"temperature": [1.0]}, {"chosen": 5}, {"classes": 5}, {"made": None}],
    ids=str,
)  # fmt: skip
def test_nonsense_in_a_taggers_card_is_said(tagger, tmp_path: Path, change: dict):
    folder = tmp_path / save_tagger(tagger, tmp_path, "tag.x", "1", {}, {})
    assert refusal(load_tagger, unguarded(folder, **change)).code == "bad_model"


def test_a_preparation_that_is_too_new_says_where(pca: PCA, tmp_path: Path):
    pca.save(tmp_path / "m")
    error = refusal(PCA.load, unguarded(tmp_path / "m", domain__preparation=99))
    assert error.code == "newer_preparation"
