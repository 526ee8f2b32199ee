"""Questions to an archive of which a part is hidden: no hidden answer, and nothing kept."""

from __future__ import annotations

import numpy as np
import pytest

import spectrarium as sp
from spectrarium.domain.errors import UsageError
from spectrarium.domain.visibility import Visibility
from spectrarium.run.explorer import Explorer
from spectrarium.run.layout import layouts
from spectrarium.run.meaning import meaning
from spectrarium.run.outliers import outliers
from spectrarium.run.similar import similar
from spectrarium.run.tag_answers import tag_overview, tags_of
from spectrarium.run.trained import model_records
from spectrarium.store.archive import Archive

SEEN = Visibility(frozenset({"SECRET"}))


@pytest.fixture(scope="module")
def root(mock_files, tmp_path_factory):
    """A mock survey, every second file of which is of a hidden collection."""
    archive = sp.open(tmp_path_factory.mktemp("seen") / "archive")
    files = sorted((mock_files / "spectra").rglob("*.fits"))
    archive.ingest(files[::2], collection="OPEN")
    archive.ingest(files[1::2], collection="SECRET")
    archive.add_catalogue(mock_files / "truth.ecsv", "obs_id")
    archive.embed()
    return archive.path


@pytest.fixture
def whole(root):
    return Archive(root)


@pytest.fixture
def part(root):
    return Archive(root, visibility=SEEN)


def allowed(whole, rows):
    """Whether none of these rows is hidden."""
    names = set(whole.catalogue(rows, ["obs_collection"]).column(0).to_pylist())
    return len(rows) > 0 and names == {"OPEN"}


def test_the_corpus_has_both(whole, part):
    assert 0.3 * len(whole) < len(part) < 0.7 * len(whole)


def test_an_explorer_holds_and_finds_what_may_be_seen(whole, part):
    for name in part.names("embeddings"):
        explorer = Explorer(part, name)
        assert allowed(whole, explorer.rows)
        assert len(explorer.index) == len(explorer.rows) == part.held(f"embeddings/{name}")
        assert len(Explorer(whole, name).rows) > len(explorer.rows)


def test_the_like_are_among_what_may_be_seen(whole, part):
    star = part.catalogue(part.find("truth.obj_class = 'STAR' AND snr > 15")[:1], ["obs_id"])
    name = star.column(0)[0].as_py()
    for how in ({}, {"rerank": True}, {"window": (6400.0, 6750.0)}):
        mine, theirs = similar(part, name, 40, **how), similar(whole, name, 40, **how)
        assert allowed(whole, [a.row for a in mine.answers])
        assert mine.searched < theirs.searched
        if not how:  # the other ways go by what there is to compare with
            kept = [a.row for a in theirs.answers if part.current(np.array([a.row])).size]
            assert [a.row for a in mine.answers][: len(kept)] == kept, "the others keep their order"
    hidden = whole.find("obs_collection = 'SECRET'")
    secret = whole.catalogue(hidden[:1], ["obs_id"]).column(0)[0].as_py()
    with pytest.raises(UsageError) as caught:
        similar(part, secret, 3)
    assert caught.value.code == "unknown_id"


def test_a_large_index_of_a_part_is_not_kept(root, part):
    explorer = Explorer(part, part.names("embeddings")[0])
    before = sorted((root / "indexes").glob("*")) if (root / "indexes").exists() else []
    explorer.searcher(least=50)
    assert (sorted((root / "indexes").glob("*")) if (root / "indexes").exists() else []) == before


def test_outliers_of_a_part_are_not_kept_and_those_kept_are_told_in_part(root, whole):
    version = whole.version
    mine = outliers(root, "density", 30, visibility=SEEN)
    assert allowed(whole, [a.row for a in mine.answers])
    assert Archive(root).version == version, "nothing was written"
    assert Archive(root).names("scores") == []
    theirs = outliers(root, "density", 500)
    after = Archive(root)
    assert after.names("scores")
    assert not allowed(after, [a.row for a in theirs.answers])
    again = outliers(root, "density", 500, visibility=SEEN)
    assert Archive(root).version == after.version
    assert allowed(after, [a.row for a in again.answers])
    assert sum(again.judged.values()) == len(again.answers)
    kept = {a.row: a.value for a in theirs.answers}
    assert all(kept[a.row] == a.value for a in again.answers), "the archive's own scores"
    scores = after.seen_by(SEEN).derived
    column = after.seen_by(SEEN).any_column(next(n for n in scores if n.startswith("score:")))
    assert column.null_count > after.any_column("score:density").null_count


def test_maps_of_a_part_are_not_kept_and_those_kept_are_shown_in_part(root, whole):
    version = Archive(root).version
    for found in layouts(root, "pca", visibility=SEEN):
        assert allowed(whole, found.rows)
    assert Archive(root).version == version
    assert Archive(root).names("maps") == []
    theirs = {m.name: m for m in layouts(root, "pca")}
    after = Archive(root).version
    for found in layouts(root, "pca", visibility=SEEN):
        assert allowed(whole, found.rows)
        assert not found.made
        other = theirs[found.name]
        at = np.searchsorted(np.sort(other.rows), found.rows)
        assert np.allclose(other.xy[np.argsort(other.rows)][at], found.xy), "the same places"
    assert Archive(root).version == after


def test_what_latents_mean_is_told_of_what_may_be_seen(root, whole):
    version = Archive(root).version
    (report, *_) = meaning(root, against=("snr",), visibility=SEEN)
    assert allowed(whole, report.explorer.rows)
    assert report.of <= len(report.explorer.rows)
    assert Archive(root).version == version


def test_tags_show_no_hidden_evidence(root):
    archive = sp.open(root)
    archive.tag_train("truth.teff", heads=["ridge"])
    archive.tag_apply()
    whole = Archive(root)
    part = whole.seen_by(SEEN)
    told = 0
    for row in part.find("truth.obj_class = 'STAR' AND snr > 15")[:10]:
        (name,) = part.catalogue([row], ["obs_id"]).column(0).to_pylist()
        for tag in tags_of(part, name):
            for near in tag["neighbours"]:
                assert near["obs_id"] is not None
                assert part.resolve(near["obs_id"]) >= 0
                told += 1
    assert told
    table = tag_overview(part, "teff").table
    assert table.num_rows < tag_overview(whole, "teff").table.num_rows
    assert all(part.resolve(i) >= 0 for i in table.column("obs_id").to_pylist())
    assert part.label_column("tags.teff").null_count > whole.label_column("tags.teff").null_count


def test_models_do_not_tell_how_much_they_were_trained_on(whole, part):
    for record in model_records(part):
        assert record["covered"] == part.held(f"embeddings/{record['name']}")
        assert not {"training", "catalogue_rows", "spectra", "path"} & set(record)
    assert all("training" in r for r in model_records(whole))
