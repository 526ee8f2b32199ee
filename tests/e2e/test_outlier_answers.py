"""Outliers asked of an archive: every score, bins, explanations, and what bad input gets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

import spectrarium as sp
from spectrarium.domain.errors import UsageError


@pytest.fixture(scope="module")
def own(asked, tmp_path_factory):
    """A copy that may be written, with a label that is wrong for a few objects."""
    folder = tmp_path_factory.mktemp("outliers") / "copy"
    shutil.copytree(asked.path, folder)
    archive = sp.open(folder)
    table = archive.find("truth.obj_class != 'SKY' AND snr > 8", columns=["obs_id", "obj_class"])
    names, kinds = table.column(0).to_pylist(), table.column(1).to_pylist()
    wrong = [i for i, kind in enumerate(kinds) if kind == "STAR"][:3]
    said = ["QSO" if i in wrong else kind for i, kind in enumerate(kinds)]
    path = folder.parent / "said.csv"
    pa.csv.write_csv(pa.table({"obs_id": names, "said": said, "same": ["x"] * len(names),
                               "one": np.ones(len(names))}), path)  # fmt: skip
    archive.add_catalogue(path, "obs_id")
    archive.wrong = {names[i] for i in wrong}
    return archive


def ids(archive, found):
    return archive.store.catalogue([a.row for a in found.answers], ["obs_id"]).column(
        0).to_pylist()  # fmt: skip


@pytest.mark.parametrize("score", ["combined", "reconstruction", "density", "knn", "total",
                                   "spectral", "spatial"])  # fmt: skip
def test_every_score_is_ranked_explained_and_kept(own, score):
    found = own.outliers(score, k=6)
    assert [a.rank for a in found.answers] == [1, 2, 3, 4, 5, 6]
    significance = [a.significance for a in found.answers]
    assert significance == sorted(significance, reverse=True)
    for a in found.answers:
        assert a.kind in ("artefact", "astrophysical", "unclear")
        assert a.kind == a.reasons[0].kind
        assert len(a.lines) == len(a.drivers)
        assert a.reconstruction.shape == a.flux.shape
        assert a.expected_by == ("model" if score == "reconstruction" else "neighbours")
    assert all(abs(rho) <= 1 for rho in found.correlation.values())
    name = {"knn": "density"}.get(score, score)
    assert any(n.startswith(f"{name}.") for n in own.store.names("scores"))
    again = own.outliers(score, k=6)
    assert [(a.row, a.value) for a in again.answers] == [(a.row, a.value) for a in found.answers]


def test_forest_scores_are_made_together_and_say_how_stable_they_are(own):
    found = own.outliers("total", k=3)
    kept = {n.split(".")[0] for n in own.store.names("scores")}
    assert {"total", "spectral", "spatial"} <= kept
    for facts in found.facts.values():
        assert facts["forests"] == "3"
        assert facts["trees"] == "200"
        assert 0.8 < float(facts["rank_correlation_of_forests"]) <= 1
        assert 0 < float(facts["overlap_of_top_2_percent"]) <= 1


def test_planted_oddities_are_found_beyond_chance(own):
    store = own.store
    is_odd = store.catalogue(store.find(), ["truth.oddity"]).column(0).to_pylist()
    share = np.mean([bool(x) and x != "wrong_redshift" for x in is_odd])
    for score in ("spectral", "density", "combined"):
        found = own.outliers(score, k=20, where="truth.obj_class = 'STAR'")
        rows = [a.row for a in found.answers]
        odd = [x for x in store.catalogue(rows, ["truth.oddity"]).column(0).to_pylist() if x]
        assert len(odd) / len(rows) > 2.5 * share, score


def test_a_planted_cosmic_ray_spectrum_is_called_an_artefact(own):
    store = own.store
    rows = store.find("truth.oddity = 'cosmic_rays'")
    found = own.outliers("density", k=260)
    kinds = {a.row: (a.kind, a.reasons[0].name) for a in found.answers}
    mine = [kinds[r] for r in rows.tolist() if r in kinds]
    assert mine
    assert all(m == ("artefact", "cosmic_ray") for m in mine)


def test_labels_that_neighbours_deny(own):
    found = own.outliers("label", k=6, label="said.said")
    assert len(own.wrong & set(ids(own, found))) >= 2
    best = next(a for a, name in zip(found.answers, ids(own, found), strict=True)
                if name in own.wrong)  # fmt: skip
    assert best.note.startswith("QSO; ")
    assert best.note.endswith("neighbours are STAR")
    teff = own.outliers("label", k=5, label="truth.teff")
    assert "its neighbours say" in teff.answers[0].note
    assert sum(teff.abstained.values()) > 50, "galaxies have no temperature"
    kept = [n for n in own.store.names("scores") if n.startswith("label-")]
    assert len({n.split(".pca")[0] for n in kept}) == 2, "one table for each label"


def test_bins_show_the_strangest_of_each(own):
    found = own.outliers("density", k=10, seen_in_bins_of="snr")
    assert found.bins_of == "snr"
    first = [a for a in found.answers if a.bin_rank == 1]
    assert len({a.bin for a in first}) == len(first) == 5
    assert [a.bin_rank for a in found.answers] == [1] * 5 + [2] * 5
    assert all(a.bin_size >= 20 for a in found.answers)
    by_class = own.outliers("density", k=4, seen_in_bins_of="truth.obj_class")
    assert {"STAR", "GALAXY"} <= {a.bin for a in by_class.answers}


def test_scores_are_made_again_when_labels_or_spectra_change(own, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(own.path, folder)
    archive = sp.open(folder)
    before = archive.outliers("label", k=1, label="said.said").judged
    name = ids(archive, archive.outliers("density", k=1))[0]
    pa.csv.write_csv(pa.table({"obs_id": [name], "said": ["STAR"]}), tmp_path / "said.csv")
    archive.add_catalogue(tmp_path / "said.csv", "obs_id")
    with pytest.raises(UsageError) as caught:  # the old table is of other labels
        archive.outliers("label", k=1, label="said.said")
    assert caught.value.code == "too_few_spectra"
    assert sum(before.values()) > 100
    spectrum = archive.read(name)
    archive.ingest([spectrum.replace(flux=spectrum.flux[::-1].copy())])
    changed = archive.outliers("density", k=260)
    assert len(changed.answers) == len({a.row for a in changed.answers})


@pytest.mark.parametrize(("asked_for", "code"), [
    ({"score": "charm"}, "unknown_score"),
    ({"score": "label"}, "bad_label"),
    ({"score": "density", "label": "truth.teff"}, "bad_label"),
    ({"score": "label", "label": "colour"}, "no_column"),
    ({"score": "label", "label": "said.same"}, "constant_label"),
    ({"score": "label", "label": "said.one"}, "constant_label"),
    ({"score": "density", "seen_in_bins_of": "colour"}, "no_column"),
    ({"score": "density", "distance": "truth.z"}, "bad_distance"),
    ({"score": "spatial", "distance": "truth.obj_class"}, "bad_distance"),
    ({"score": "density", "model": "nope"}, "no_model"),
    ({"score": "density", "encoder": "nope"}, "no_model"),
    ({"score": "density", "k": 0}, "bad_k"),
])  # fmt: skip
def test_what_cannot_be_asked_says_so(own, asked_for, code):
    with pytest.raises(UsageError) as caught:
        own.outliers(**asked_for)
    assert caught.value.code == code
    assert caught.value.remedy


def test_objects_without_coordinates_abstain_and_without_any_it_is_an_error(own, tmp_path):
    import dataclasses

    archive = sp.open(tmp_path / "archive")
    names = own.find("truth.obj_class = 'STAR' AND snr > 8", columns=["obs_id"]).column(0)
    spectra = [own.read(n) for n in names.to_pylist()[:60]]
    blind = [s.replace(observation=dataclasses.replace(s.observation, s_ra=None, s_dec=None))
             for s in spectra]  # fmt: skip
    archive.ingest(blind)
    archive.embed(components=4)
    with pytest.raises(UsageError) as caught:
        archive.outliers("spatial")
    assert caught.value.code == "no_coordinates"
    assert len(archive.outliers("total", k=3).answers) == 3
    archive.ingest(spectra[:40])
    archive.embed()
    found = archive.outliers("spatial", k=3)
    assert sum(found.judged.values()) == 40
    assert sum(found.abstained.values()) == 20


def test_the_command_line_explains_and_draws(own, tmp_path):
    env = {**os.environ, "OMP_NUM_THREADS": "1"}

    def run(*words):
        return subprocess.run(
            [sys.executable, "-m", "spectrarium.cli.main", "outliers", "-a", own.path, *words],
            capture_output=True, text=True, env=env, timeout=120,
        )  # fmt: skip

    picture = Path(tmp_path) / "strange.png"
    done = run("--score", "density", "-k", "4", "--explain", "--seen-in-bins-of", "snr",
               "--plot", picture)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "departs from its nearest neighbours" in done.stdout
    assert "Spearman" in done.stdout
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    records = json.loads(run("--score", "total", "-k", "2", "--json").stdout)
    assert {"kind", "why", "differs_lines", "compared_with", "rank_in_bin"} <= set(records[0])
    assert records[0]["why"][0]["text"]
    done = run("--score", "label", "--label", "said.said", "-k", "2")
    assert "neighbours are" in done.stdout
