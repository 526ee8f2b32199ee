"""Spectra that came, changed or went since the model and the index: found, by what they are now."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

import spectrarium as sp
from spectrarium.domain.visibility import Visibility
from spectrarium.embed.pca import PCA
from spectrarium.explore import approximate
from spectrarium.run import index as disk
from spectrarium.run import pending
from spectrarium.run.explorer import Explorer
from spectrarium.run.similar import similar
from spectrarium.store.archive import Archive


@pytest.fixture(scope="module")
def star(asked):
    found = asked.find("truth.obj_class = 'STAR' AND snr > 15 AND truth.oddity IS NULL",
                       columns=["obs_id"])  # fmt: skip
    return found.column(0)[0].as_py()


@pytest.fixture
def copy(asked, tmp_path):
    shutil.copytree(asked.path, tmp_path / "copy")
    return sp.open(tmp_path / "copy")


@pytest.fixture
def encoded(monkeypatch):
    """How many spectra each call of the encoder was given."""
    seen = []
    real = PCA.encode

    def encode(self, flux, ivar):
        seen.append(len(flux))
        return real(self, flux, ivar)

    monkeypatch.setattr(PCA, "encode", encode)
    return seen


def twin(spectrum, name, factor=1.0, collection=None):
    o = spectrum.observation
    o = dataclasses.replace(o, obs_id=name, obs_collection=collection or o.obs_collection)
    return spectrum.replace(observation=o, flux=spectrum.flux * factor)


def ids(archive, found):
    rows = [a.row for a in found.answers]
    return archive.store.catalogue(rows, ["obs_id"]).column(0).to_pylist()


def files(archive):
    folder = archive.path / pending.FOLDER
    return sorted(folder.iterdir()) if folder.exists() else []


def test_a_second_question_encodes_nothing_but_itself(copy, star, encoded):
    spectrum = copy.read(star)
    copy.ingest([twin(spectrum, f"twin{i}", 1 + 1e-3 * i) for i in range(1, 7)])
    first = copy.similar(star, 10)
    assert sum(encoded) == 7
    assert len(files(copy)) == 1
    encoded.clear()
    again = sp.open(copy.path)
    second = again.similar(star, 10)
    assert sum(encoded) == 1, "the query"
    assert ids(again, second) == ids(copy, first)
    assert {f"twin{i}" for i in range(1, 7)} <= set(ids(again, second))
    assert [a.value for a in second.answers] == [a.value for a in first.answers]
    encoded.clear()
    again.ingest([twin(spectrum, "later", 1.0001)])
    assert ids(again, again.similar(star, 1)) == ["later"]
    assert sum(encoded) == 2, "the query and what came last"
    whole = again.similar(star, 10)
    again.embed()
    assert files(again) == [], "they have vectors of their own now"
    encoded.clear()
    after = again.similar(star, 10)
    assert sum(encoded) == 1
    assert ids(again, after) == ids(again, whole)
    np.testing.assert_allclose([a.value for a in after.answers], [a.value for a in whole.answers],
                               rtol=1e-4, atol=1e-4)  # fmt: skip
    # float32 vectors of a large and a small batch are rounded apart, by threads of BLAS too


def test_a_changed_one_is_found_by_its_new_content_only(copy, star):
    galaxy = copy.find("truth.obj_class = 'GALAXY' AND snr > 8", columns=["obs_id"])
    galaxy = copy.read(galaxy.column(0)[0].as_py())
    spectrum = copy.read(star)
    copy.ingest([twin(spectrum, "turncoat", 1.001)])
    assert ids(copy, copy.similar(star, 1)) == ["turncoat"]
    copy.ingest([twin(galaxy, "turncoat", 1.001)])
    now = sp.open(copy.path)
    found = ids(now, now.similar(star, 1000))
    assert found.count("turncoat") == 1
    assert found.index("turncoat") > 5
    assert ids(now, now.similar(galaxy.observation.obs_id, 1)) == ["turncoat"]


def test_a_damaged_cache_and_one_that_cannot_be_kept_change_no_answer(copy, star, encoded):
    copy.ingest([twin(copy.read(star), "twin", 1.001)])
    before = ids(copy, copy.similar(star, 5))
    (path,) = files(copy)
    path.write_bytes(path.read_bytes()[:-100])
    encoded.clear()
    again = sp.open(copy.path)
    assert ids(again, again.similar(star, 5)) == before
    assert sum(encoded) == 2
    shutil.rmtree(path.parent)
    path.parent.write_text("in the way")
    again = sp.open(copy.path)
    assert ids(again, again.similar(star, 5)) == before


def test_what_may_not_be_seen_is_no_answer_though_it_was_kept(copy, star, encoded):
    spectrum = copy.read(star)
    copy.ingest([twin(spectrum, "secret", 1.0001, "SECRET"), twin(spectrum, "open", 1.01)])
    part = Archive(copy.path, visibility=Visibility(frozenset({"SECRET"})))
    mine = similar(part, star, 5)
    assert files(copy) == [], "nothing that is worked out for a few is kept"
    assert ids(copy, copy.similar(star, 2))[0] == "secret"
    assert len(files(copy)) == 1
    encoded.clear()
    part = Archive(copy.path, visibility=Visibility(frozenset({"SECRET"})))
    again = similar(part, star, 5)
    assert sum(encoded) == 1
    assert [a.row for a in again.answers] == [a.row for a in mine.answers]
    names = part.catalogue([a.row for a in again.answers], ["obs_id"]).column(0).to_pylist()
    assert names[0] == "open"
    assert "secret" not in names


def test_a_past_version_keeps_nothing_and_knows_nothing_newer(copy, star):
    spectrum = copy.read(star)
    copy.ingest([twin(spectrum, "first", 1.001)])
    version = copy.refresh().store.version
    copy.ingest([twin(spectrum, "second", 1.0001)])
    past = sp.open(copy.path, version=version)
    assert ids(past, past.similar(star, 1)) == ["first"]
    assert files(copy) == []
    assert ids(copy, copy.similar(star, 2)) == ["second", "first"]
    past = sp.open(copy.path, version=version)
    assert "second" not in ids(past, past.similar(star, 50))


@pytest.fixture
def old(copy, star, monkeypatch):
    """An archive with an index, after which much came and something changed."""
    monkeypatch.setattr(approximate, "FEW_OUTSIDE", 3)
    copy.similar(star, 5, approximate_from=0)
    spectrum = copy.read(star)
    other = copy.find("truth.obj_class = 'STAR' AND snr > 15", columns=["obs_id"])
    other = other.column(0)[1].as_py()
    name = copy.similar(star, 1).model.split("@")[0]
    many = int(0.06 * len(Explorer(copy.store, name).rows)) + 4
    copy.ingest([twin(spectrum, f"twin{i}", 1 + 1e-4 * i) for i in range(1, many)])
    copy.ingest([twin(spectrum, other, 1.00001)])
    return sp.open(copy.path), other


def refuse(*args, **options):
    raise AssertionError("no question builds an index anew")


def test_an_old_index_answers_with_what_came_since_beside_it(old, star, monkeypatch):
    archive, changed = old
    there = sorted((archive.path / "indexes").glob("*@*"))
    monkeypatch.setattr(disk, "build", refuse)
    found = archive.similar(star, 10, approximate_from=0)
    exact = archive.similar(star, 10, exact=True)
    assert found.search.startswith("approximate")
    assert ids(archive, found) == ids(archive, exact)
    assert ids(archive, found)[0] == changed, "by its new content"
    assert ids(archive, archive.similar(star, 1000, exact=True)).count(changed) == 1
    (note,) = found.notes
    assert "run `spectrarium embed --encoder pca` to build it anew" in note
    assert exact.notes == []
    assert sorted((archive.path / "indexes").glob("*@*")) == there
    ours = archive.find("truth.obj_class = 'GALAXY'").num_rows
    filtered = archive.similar(star, 10, approximate_from=0, where="truth.obj_class = 'GALAXY'")
    assert 0 < len(filtered.answers) <= min(10, ours)
    assert not {changed, "twin1"} & set(ids(archive, filtered))


def test_an_old_index_gives_nothing_that_may_not_be_seen(old, star, monkeypatch):
    archive, _ = old
    archive.ingest([twin(archive.read(star), "secret", 1.0000001, "SECRET")])
    monkeypatch.setattr(disk, "build", refuse)
    part = Archive(archive.path, visibility=Visibility(frozenset({"SECRET"})))
    found = similar(part, star, 10, approximate_from=0)
    names = part.catalogue([a.row for a in found.answers], ["obs_id"]).column(0).to_pylist()
    assert found.search.startswith("approximate")
    assert len(names) == 10
    assert "secret" not in names


def test_embed_builds_the_index_anew_and_only_when_it_is_due(old, star, monkeypatch):
    archive, changed = old
    before = sorted((archive.path / "indexes").glob("*@*.json"))
    archive.embed()
    assert sorted((archive.path / "indexes").glob("*@*.json")) == before, "so few need none"
    monkeypatch.setattr(disk, "APPROXIMATE_FROM", 100)
    archive.embed()
    after = sorted((archive.path / "indexes").glob("*@*.json"))
    assert after
    assert not set(after) & set(before)
    found = archive.refresh().similar(star, 10, approximate_from=0)
    assert found.notes == []
    assert ids(archive, found)[0] == changed
    monkeypatch.setattr(disk, "build", refuse)
    archive.ingest([twin(archive.read(star), "one more", 1.000001)])
    archive.embed()
    assert ids(archive, archive.similar(star, 1, approximate_from=0)) == ["one more"]
    assert sorted((archive.path / "indexes").glob("*@*.json")) == after


def test_a_past_version_without_an_index_is_searched_exactly(copy, star, monkeypatch):
    version = copy.store.version
    copy.ingest([twin(copy.read(star), "twin", 1.001)])
    monkeypatch.setattr(disk, "build", refuse)
    past = sp.open(copy.path, version=version)
    assert past.similar(star, 5, approximate_from=0).search == "exact"
