"""Heads and embeddings compete for a label: all are compared, the best by its own rule is kept,
and what it is tested on has no part in the choice."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

import spectrarium as sp
from spectrarium.domain.errors import InternalError, TransientError, UsageError
from spectrarium.domain.progress import Silent
from spectrarium.embed import heads, heads_network, heads_trees
from spectrarium.explore.tag_guard import Features
from spectrarium.explore.tag_store import load_tagger
from spectrarium.explore.tagging import TEST, split
from spectrarium.run import rotations, tagging
from spectrarium.run.objects import objects_of


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    """Less training than in earnest, the same steps."""
    monkeypatch.setattr(heads_network, "MEMBERS", 1)
    monkeypatch.setattr(heads_network, "_STEPS", 100)
    monkeypatch.setattr(heads_trees, "MOST_ROUNDS", 10)


@pytest.fixture(scope="module")
def two(asked, tmp_path_factory):
    """An archive with two embeddings of the same spectra: one is told little of their labels."""
    folder = tmp_path_factory.mktemp("compete") / "archive"
    shutil.copytree(asked.path, folder)
    archive = sp.open(folder)
    archive.embed(components=2, where="n_good > 0")
    assert len(archive.store.names("embeddings")) == 2
    return archive


@pytest.fixture
def own(two, tmp_path):
    shutil.copytree(two.path, tmp_path / "archive")
    return sp.open(tmp_path / "archive")


def stars_of(archive):
    """obs_id, temperature and whether the first split tests it, of every star."""
    rows = archive.store.find()
    part = split(objects_of(archive.store, rows))
    table = archive.store.catalogue(rows, ["obs_id", "truth.teff"]).to_pylist()
    return [(r["obs_id"], r["truth.teff"], p == TEST)
            for r, p in zip(table, part, strict=True) if r["truth.teff"]]  # fmt: skip


def catalogue(path, values):
    path.write_text("obs_id,teff\n" + "".join(f"{i},{v}\n" for i, v in values))
    return path


def test_every_head_is_compared_on_every_embedding_and_the_best_is_kept(own):
    whole, poor = sorted(own.store.names("embeddings"), key=len)
    report = own.tag_train("truth.teff", workers=1)  # other processes know nothing of _short
    assert len(report.made) == 1, "they know the same spectra: one tagger is kept, not two"
    assert not report.skipped
    made = report.made[0]
    table = {(r["candidate"], r["head"]): r for r in made.comparison}
    assert set(table) == {(e, h) for e in (whole, poor) for h in heads.available()[0]}
    assert len({r["objects"] for r in made.comparison}) == 1, "all are judged on the same objects"
    for head in heads.available()[0]:
        assert table[whole, head]["loss"] < table[poor, head]["loss"]
    smallest = min(made.comparison, key=lambda r: r["loss"])
    assert smallest["level"]
    level = [r for r in made.comparison if r["level"]]
    best = min(level, key=lambda r: r["typical"])
    assert (made.embedding, made.head) == (best["candidate"], best["head"])
    assert made.embedding == whole
    assert made.skill == best["skill"]
    assert set(made.objects) == {"train", "calibrate", "test"}
    assert made.test["objects"] == made.objects["train"] + made.objects["test"]
    assert sum(made.test["chosen"].values()) == made.rotations == tagging.ROTATIONS

    own.tag_apply("teff")
    one = own.find("truth.teff > 0 AND snr > 20", columns=["obs_id"], limit=1).column(0)[0].as_py()
    tag = next(t for t in own.tags(one) if t["tag"] == "teff")
    assert (tag["model"], tag["head"], tag["embedding"]) == (made.model, made.head, whole)
    assert tag["training"].startswith(f"{made.objects['train']} objects with truth.teff")
    _, _, card = load_tagger(own.path / "models" / made.model)
    assert card["made"]["comparison"] == json.loads(json.dumps(made.comparison))
    assert card["made"]["objects"] == made.objects


def test_a_line_of_the_comparison_is_what_that_head_alone_gets(own, monkeypatch):
    monkeypatch.setattr(tagging, "FEW_OBJECTS", 0)
    poor = max(own.store.names("embeddings"), key=len)
    both = own.tag_train("truth.teff", heads=["ridge"]).made[0]
    alone = own.tag_train("truth.teff", heads=["ridge"], models=[poor]).made[0]
    line = next(r for r in both.comparison if r["candidate"] == poor)
    assert alone.comparison[0]["loss"] == pytest.approx(line["loss"], rel=1e-9)
    assert both.embedding != poor
    assert alone.embedding == poor


def test_labels_of_tested_objects_choose_nothing(own, tmp_path, monkeypatch):
    monkeypatch.setattr(tagging, "FEW_OBJECTS", 0)  # the one rotation in which these are tested
    stars = stars_of(own)
    tested = [t for _, _, t in stars]
    assert 10 < sum(tested) < 0.4 * len(tested)
    noise = np.random.default_rng(3).uniform(-9e3, 9e4, len(stars))  # nobody's temperature
    true = [(i, t) for i, t, _ in stars]
    false = [(i, n if out else t) for (i, t, out), n in zip(stars, noise, strict=True)]
    one = own.tag_train("teff", catalogue(tmp_path / "mine.csv", true), unit="K").made[0]
    two = own.tag_train("teff", catalogue(tmp_path / "mine.csv", false), unit="K").made[0]
    assert two.comparison == one.comparison
    assert (two.embedding, two.head, two.skill) == (one.embedding, one.head, one.skill)
    assert two.model == one.model, "the weights are the same, byte by byte"
    assert two.test["sigma"] > 5 * one.test["sigma"], "yet they are what it is tested on"


def test_in_each_rotation_the_choice_is_made_without_what_is_tested(own, tmp_path, monkeypatch):
    """Nested: what each rotation tests with was chosen by it, not by the kept tagger."""
    seen = []
    plain = rotations.train_tagger

    def watched(some, *given, **options):
        seen.append((sorted(some), options["heads"], options["rotation"]))
        return plain(some, *given, **options)

    monkeypatch.setattr(rotations, "train_tagger", watched)
    made = own.tag_train("truth.teff", heads=["ridge"]).made[0]
    both = sorted(own.store.names("embeddings"))
    assert seen == [(both, ["ridge"], k) for k in range(tagging.ROTATIONS)]
    assert sum(made.test["chosen"].values()) == tagging.ROTATIONS


def test_rotations_in_other_processes_come_to_the_same(own, tmp_path):
    shutil.copytree(own.path, tmp_path / "other")
    one = own.tag_train("truth.teff", heads=["ridge"], workers=1)
    two = sp.open(tmp_path / "other").tag_train("truth.teff", heads=["ridge"], workers=2)
    assert one.record() == two.record(), "the models' hashes too"
    assert one.made[0].rotations == tagging.ROTATIONS


class Impatient(Silent):
    """Asks to stop once something is done."""

    done = 0

    def advance(self, steps=1):
        self.done += steps

    def cancelled(self):
        return self.done > 0


@pytest.mark.parametrize("workers", [1, 2])
def test_training_that_is_cancelled_changes_nothing(own, workers):
    before = own.status(), sorted(own.path.rglob("*"))
    with pytest.raises(TransientError) as caught:
        own.tag_train("truth.teff", heads=["ridge"], workers=workers, progress=Impatient())
    assert caught.value.code == "cancelled"
    assert (sp.open(own.path).status(), sorted(own.path.rglob("*"))) == before


def test_a_training_process_that_ends_by_itself_is_said():
    class Fatal:
        def turned(self, rotation):
            os._exit(1)

    with pytest.raises(InternalError, match="ended by itself") as caught:
        list(rotations._in_parallel(Fatal(), 2, 2))
    assert caught.value.code == "no_worker"
    assert "--workers 1" in caught.value.remedy


def test_what_is_wrong_is_said_whichever_process_finds_it(own):
    with pytest.raises(UsageError) as caught:
        own.tag_train("truth.teff", heads=["forest"], workers=2)
    assert caught.value.code == "unknown_head"


def test_arrays_that_processes_share_are_only_read():
    """Larger ones than a megabyte are handed over as files that may not be written to."""
    rng = np.random.default_rng(4)
    n, d = 3000, 128
    vectors = rng.standard_normal((n, d)).astype(np.float32)
    label = vectors[:, 0] + 0.1 * rng.standard_normal(n)
    features = Features(vectors, np.full(n, 30.0), np.full((n, d), 0.01, np.float32))
    lessons = rotations.Lessons({"v": features}, label, np.arange(n), "number", "x", ["ridge"], 0)
    apart = list(rotations.rotations(lessons, 2, Silent(), workers=2))
    here = list(rotations.rotations(lessons, 2, Silent(), workers=1))
    for (one, tested), (two, same) in zip(apart, here, strict=True):
        np.testing.assert_array_equal(one.offsets, two.offsets)
        np.testing.assert_array_equal(tested.value, same.value)
