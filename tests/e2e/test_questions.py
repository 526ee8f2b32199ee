"""The two questions, asked of a mock survey whose truth is known."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

import spectrarium as sp
from spectrarium.domain.errors import UsageError


def classes(archive, answers):
    return (
        archive.store.catalogue([a.row for a in answers], ["truth.obj_class"]).column(0).to_pylist()
    )


def ids(archive, answers):
    return archive.store.catalogue([a.row for a in answers], ["obs_id"]).column(0).to_pylist()


def of_class(archive, name, snr=8):
    table = archive.find(f"truth.obj_class = '{name}' AND snr > {snr} AND truth.oddity IS NULL")
    return table.column("obs_id").to_pylist()


@pytest.mark.parametrize(("name", "least"), [("STAR", 0.9), ("GALAXY", 0.6), ("SKY", 0.7)])
def test_query_by_example_returns_mostly_its_class(asked, name, least):
    snr = -100 if name == "SKY" else 8
    hits = []
    for query in of_class(asked, name, snr)[:12]:
        found = asked.similar(query, k=5)
        assert query not in ids(asked, found.answers), "nothing is its own neighbour"
        hits += [c == name for c in classes(asked, found.answers)]
    assert np.mean(hits) >= least


def test_answers_come_nearest_first_with_reasons(asked):
    found = asked.similar(of_class(asked, "STAR")[0], k=15)
    distance = [a.value for a in found.answers]
    assert distance == sorted(distance)
    assert [a.rank for a in found.answers] == list(range(1, 16))
    assert all(a.noise_source == "delivered" for a in found.answers)
    far = found.answers[-1]
    assert far.drivers, "a distant neighbour must differ somewhere"
    for region in far.drivers:
        assert found.wave_aa[0] <= region.lo_aa <= region.hi_aa <= found.wave_aa[-1]


def test_where_limits_the_neighbours(asked):
    query = of_class(asked, "STAR")[0]
    found = asked.similar(query, k=5, where="truth.obj_class = 'GALAXY'")
    assert set(classes(asked, found.answers)) == {"GALAXY"}
    assert asked.similar(query, k=5, where="snr > 1e9").answers == []


def test_a_file_or_object_finds_its_own_observation_excluded(asked, mock_files, truth):
    row = truth[(truth["layout"] == "sdss") & (truth["obj_class"] == "STAR")][0]
    path = str(mock_files / row["file"])
    by_id = asked.similar(str(row["obs_id"]), k=3)
    (spectrum,) = sp.read_spectra(path)
    by_object = asked.similar(spectrum, k=4)
    # read without --collection MOCK it is another observation: its twin comes first, at no distance
    assert ids(asked, by_object.answers)[0] == row["obs_id"]
    assert by_object.answers[0].value < 1e-3
    assert ids(asked, by_object.answers)[1:] == ids(asked, by_id.answers)
    by_file = asked.similar(path, k=3, collection="MOCK")
    assert ids(asked, by_file.answers) == ids(asked, by_id.answers)


def test_outliers_of_one_kind_find_planted_oddities_beyond_chance(asked, tmp_path):
    archive = copy_of(asked, tmp_path)
    report = archive.embed(where="truth.obj_class = 'STAR'")
    (group,) = [g for g in report.groups if g.covered > 100]
    store = archive.store
    found = archive.outliers("knn", k=20, model=group.name)
    assert [a.rank for a in found.answers] == list(range(1, 21))
    rows = [a.row for a in found.answers]
    assert len(set(rows)) == 20
    odd = store.catalogue(rows, ["truth.oddity"]).column(0).to_pylist()
    stars = store.find("truth.obj_class = 'STAR'")
    assert set(rows) <= set(stars.tolist()), "only what the model is for"
    everything = store.catalogue(stars, ["truth.oddity"]).column(0).to_pylist()
    assert np.mean([bool(x) for x in odd]) > 2.5 * np.mean([bool(x) for x in everything])
    significance = [a.significance for a in found.answers]
    assert significance == sorted(significance, reverse=True)
    assert all(a.reconstruction.shape == a.flux.shape and a.model for a in found.answers)


def test_knn_score_and_unknown_names(asked):
    assert len(asked.outliers("knn", k=5).answers) == 5
    with pytest.raises(UsageError) as caught:
        asked.outliers("charm")
    assert "reconstruction" in caught.value.remedy
    with pytest.raises(UsageError) as caught:
        asked.embed("transformer9000")
    assert "pca" in caught.value.remedy
    with pytest.raises(UsageError, match="no model"):
        asked.similar(of_class(asked, "STAR")[0], model="nope")


def copy_of(asked, tmp_path):
    shutil.copytree(asked.path, tmp_path / "copy")
    return sp.open(tmp_path / "copy")


def test_what_came_since_is_searched_and_then_embedded(asked, tmp_path):
    archive = copy_of(asked, tmp_path)
    query = of_class(archive, "STAR")[0]
    spectrum = archive.read(query)
    o = spectrum.observation
    import dataclasses

    twin = spectrum.replace(observation=dataclasses.replace(o, obs_id="twin"))
    archive.ingest([twin])
    found = archive.similar(query, k=3)
    assert ids(archive, found.answers)[0] == "twin"
    before = {m["name"]: m for m in archive.models()}
    archive.embed()
    after = {m["name"]: m for m in archive.models()}
    assert {n: m["weights_hash"] for n, m in before.items()} == {
        n: m["weights_hash"] for n, m in after.items()
    }, "models are kept, not fitted again"
    assert (
        sum(m["covered"] for m in after.values()) == sum(m["covered"] for m in before.values()) + 1
    )
    assert ids(archive, archive.similar(query, k=3).answers)[0] == "twin"


def test_a_changed_spectrum_is_compared_by_its_new_content(asked, tmp_path):
    archive = copy_of(asked, tmp_path)
    stars, galaxies = of_class(archive, "STAR"), of_class(archive, "GALAXY")
    target, other = stars[0], galaxies[0]
    changed = archive.read(target).replace(flux=archive.read(target).flux[::-1].copy())
    archive.ingest([changed])
    found = archive.similar(other, k=500)
    row = archive.store.resolve(target)
    mine = [a for a in found.answers if a.row == row]
    assert len(mine) == 1, "once, with its present content"
    row = asked.store.resolve(target)
    old = next(a for a in asked.similar(other, k=500).answers if a.row == row)
    assert abs(mine[0].value - old.value) > 1e-3 * old.value


def test_as_of_a_version_before_the_models(asked):
    past = sp.open(asked.path, version=1)
    with pytest.raises(UsageError) as caught:
        past.similar(past.find(limit=1).column("obs_id")[0].as_py())
    assert caught.value.code == "no_model"
    with pytest.raises(UsageError) as caught:
        past.embed()
    assert caught.value.code == "read_only"


def test_what_no_model_covers_says_why(asked, tmp_path):
    archive = copy_of(asked, tmp_path)
    spectrum = archive.read(of_class(archive, "STAR")[0])
    import dataclasses

    from spectrarium.domain.axis import Scale

    far = dataclasses.replace(spectrum.axis, unit="um", scale=Scale.LINEAR, wcs=None,
                              values=np.linspace(2, 5, spectrum.flux.size))  # fmt: skip
    moved = spectrum.replace(axis=far, observation=dataclasses.replace(
        spectrum.observation, obs_id="infrared"))  # fmt: skip
    archive.ingest([moved])
    with pytest.raises(UsageError) as caught:
        archive.similar("infrared")
    assert caught.value.code == "not_covered"
    assert "covers 0 %" in caught.value.what
    report = archive.embed()
    assert report.covered + sum(report.left_out.values()) == report.observations


def test_labels_report_and_reach_filters(asked, mock_files, tmp_path):
    archive = copy_of(asked, tmp_path)
    name = of_class(archive, "STAR")[0]
    rows = {
        "obs_id": [name, name, "nobody", of_class(archive, "GALAXY")[0]],
        "mag": [1.0, 2.0, 3.0, 4.0],
    }
    pa.csv.write_csv(pa.table(rows), tmp_path / "mags.csv")
    report = archive.add_catalogue(tmp_path / "mags.csv", "obs_id")
    assert (report.rows, report.matched, report.unmatched, report.ambiguous) == (4, 1, 1, 2)
    assert archive.find("mags.mag > 3").num_rows == 1
    assert archive.find("mag IS NOT NULL").num_rows == 1
    assert asked.store.names("labels") == ["truth"], "the original is untouched"
    before = archive.store.version
    for bad in ({"key": "colour"}, {"key": "obs_id", "columns": ["nope"]}, {"key": "sky:1parsec"},
                {"key": "obs_id", "on": "nope"}):  # fmt: skip
        with pytest.raises(UsageError):
            archive.add_catalogue(tmp_path / "mags.csv", **bad)
    assert archive.refresh().store.version == before


def test_sky_join(asked, tmp_path):
    archive = copy_of(asked, tmp_path)
    table = archive.find("s_ra IS NOT NULL", columns=["obs_id", "s_ra", "s_dec"])
    ra, dec = table.column("s_ra").to_numpy(), table.column("s_dec").to_numpy()
    shifted = pa.table({"RA": ra, "DEC": dec + 0.3 / 3600, "tag": np.arange(len(ra))})
    pa.csv.write_csv(shifted, tmp_path / "near.csv")
    report = archive.add_catalogue(tmp_path / "near.csv", "sky:1arcsec")
    assert report.matched + report.ambiguous == len(ra)
    joined = archive.find("near.tag IS NOT NULL", columns=["obs_id", "near.tag"])
    names = table.column("obs_id").to_pylist()
    for record in joined.to_pylist():
        assert names[record["near.tag"]] == record["obs_id"]
    assert archive.add_catalogue(tmp_path / "near.csv", "sky:0.1arcsec", name="far").matched == 0


def test_where_and_components_choose_the_training_set(asked, tmp_path):
    archive = copy_of(asked, tmp_path)
    report = archive.embed(where="truth.obj_class = 'STAR'", components=5, refit=True)
    stars = archive.find("truth.obj_class = 'STAR'").num_rows
    assert 0 < report.covered <= stars == report.observations
    with pytest.raises(UsageError):
        archive.embed(where="snr > 1e9")
