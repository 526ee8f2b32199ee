"""`similar` and `embed`: what is left out is said, and what cannot be honoured is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

import spectrarium as sp
from spectrarium.cli.similar import command
from spectrarium.domain.axis import Scale
from spectrarium.domain.errors import UsageError
from spectrarium.run import explorer as explorer_module
from spectrarium.run.explorer import Explorer


def named(archive, where):
    return archive.find(where, columns=["obs_id"]).column(0).to_pylist()


@pytest.fixture(scope="module")
def star(asked):
    return named(asked, "truth.obj_class = 'STAR' AND snr > 15 AND truth.oddity IS NULL")[0]


@pytest.fixture
def copy(asked, tmp_path):
    shutil.copytree(asked.path, tmp_path / "copy")
    return sp.open(tmp_path / "copy")


def again(spectrum, name):
    return spectrum.replace(observation=dataclasses.replace(spectrum.observation, obs_id=name))


def grown(copy, star, monkeypatch, number=12, most=5):
    """More twins of a star than a question encodes on the spot."""
    monkeypatch.setattr(explorer_module, "PENDING_MOST", most)
    spectrum = copy.read(star)
    twins = [spectrum.replace(flux=spectrum.flux * (1 + 1e-3 * i)) for i in range(1, number + 1)]
    copy.ingest([again(t, f"twin{i}") for i, t in enumerate(twins)])


def run(archive, *words):
    return CliRunner().invoke(command, [words[0], "-a", str(archive.path), *words[1:]])


def test_the_newest_are_searched_and_the_others_counted(copy, star, monkeypatch):
    name = copy.similar(star, 1).model.split("@")[0]
    before = len(Explorer(copy.store, name).rows)
    grown(copy, star, monkeypatch)
    explorer = Explorer(copy.store, name)
    assert (explorer.pending, explorer.not_searched) == (5, 7)
    assert len(explorer.rows) == before + 5
    found = copy.similar(star, 20)
    rows = [a.row for a in found.answers]
    names = set(copy.store.catalogue(rows, ["obs_id"]).column(0).to_pylist())
    twins = {n for n in names if n.startswith("twin")}
    assert twins == {f"twin{i}" for i in range(7, 12)}
    assert found.notes == ["7 newer spectra are not searched: run `spectrarium embed --encoder "
                           "pca`"]  # fmt: skip


def test_records_and_standard_error_say_what_was_searched(copy, star, monkeypatch):
    grown(copy, star, monkeypatch)
    done = run(copy, star, "-k", "2", "--json")
    records = json.loads(done.stdout)
    assert len(records) == 2
    assert "7 newer spectra" in records[0]["notes"][0]
    assert records[0]["searched"] > 100
    assert records[0]["left_out"] == {}
    assert "7 newer spectra" in done.stderr
    done = run(copy, star, "-k", "2", "--json", "--line", "Halpha", "--where", "snr > 1e9")
    assert json.loads(done.stdout) == []
    assert "0 spectra searched" in done.stderr


def test_an_encoder_that_is_not_the_models_is_refused(asked, star):
    name = asked.similar(star, 1).model.split("@")[0]
    for ask in (lambda **o: asked.similar(star, 1, **o), lambda **o: asked.outliers(k=1, **o),
                lambda **o: asked.similar(star, 1, line="Halpha", **o)):  # fmt: skip
        with pytest.raises(UsageError) as caught:
            ask(model=name, encoder="patch")
        assert caught.value.code == "no_model"
        assert name in caught.value.what
        assert caught.value.remedy
    assert asked.similar(star, 1, model=name, encoder="pca").answers


def test_a_window_that_no_other_covers_is_an_error(copy, star):
    spectrum = copy.read(star)
    axis = dataclasses.replace(spectrum.axis, values=spectrum.wave_aa * 3.0, wcs=None,
                               unit="Angstrom", scale=Scale.LINEAR)  # fmt: skip
    copy.ingest([again(spectrum.replace(axis=axis), "infrared")])
    with pytest.raises(UsageError) as caught:
        copy.similar("infrared", 3, window=(19_000.0, 20_000.0))
    assert caught.value.code == "not_covered"
    assert "does not cover the window" in caught.value.what
    assert caught.value.remedy
    assert copy.similar(star, 3, window=(6460.0, 6700.0)).answers


def test_lines_are_named_where_spectra_are_alike_too(asked):
    galaxies = named(asked, "truth.obj_class = 'GALAXY' AND snr > 8 AND truth.oddity IS NULL")
    labels = set()
    for galaxy in galaxies[:8]:
        for answer in asked.similar(galaxy, 3, explain=True).answers:
            e = answer.explanation
            assert [r for r, _ in e.alike] == list(answer.alike)
            assert all(i.text.startswith("alike ") for _, found in e.alike for i in found)
            labels |= {i.label for _, found in e.alike for i in found if i.kind == "line"}
            record = e.record(np.arange(e.trace.difference.size), 50)
            assert len(record["alike"]) == len(answer.alike)
    assert labels, "some line that two galaxies share has a name"
    done = run(asked, galaxies[0], "-k", "2", "--explain")
    assert done.exit_code == 0, done.output
    assert "1  alike: " in done.stdout
    pixels = asked.similar(galaxies[0], 2, line="Halpha", width_kms=3000, explain=True)
    assert all(len(a.explanation.alike) == len(a.alike) for a in pixels.answers)


def test_components_that_cannot_be_honoured_are_refused(copy):
    before = copy.refresh().store.version
    with pytest.raises(UsageError) as caught:
        copy.embed(components=5)
    assert caught.value.code == "bad_components"
    assert "--refit" in caught.value.remedy
    with pytest.raises(UsageError) as caught:
        copy.embed(components=500, refit=True)
    assert caught.value.code == "bad_components"
    assert "at most" in caught.value.what
    assert copy.refresh().store.version == before
    report = copy.embed(components=5, refit=True)
    assert report.groups
    sizes = {m["latent"] for m in copy.models() if m["name"] in {g.name for g in report.groups}}
    assert sizes == {5}
    only = {g.name for g in report.groups} == {m["name"] for m in copy.models()}
    if only:  # of the size asked for: nothing to refuse
        assert copy.embed(components=5).covered == report.covered
