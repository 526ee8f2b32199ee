"""`similar` in all its ways: encoders, windows, lines, rest frame, explanations, its index."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

import spectrarium as sp
from spectrarium.cli.similar import command
from spectrarium.domain.axis import Scale
from spectrarium.domain.errors import UsageError
from spectrarium.domain.units import C_KMS
from spectrarium.run import explorer as explorer_module
from spectrarium.run.explorer import Explorer
from spectrarium.store.writer import open_writer


def ids(archive, answers):
    return archive.store.catalogue([a.row for a in answers], ["obs_id"]).column(0).to_pylist()


def of_class(archive, name, snr=15):
    table = archive.find(f"truth.obj_class = '{name}' AND snr > {snr} AND truth.oddity IS NULL")
    return table.column("obs_id").to_pylist()


@pytest.fixture(scope="module")
def star(asked):
    return of_class(asked, "STAR")[0]


@pytest.fixture
def copy(asked, tmp_path):
    shutil.copytree(asked.path, tmp_path / "copy")
    return sp.open(tmp_path / "copy")


def renamed(spectrum, name, **changes):
    return spectrum.replace(
        observation=dataclasses.replace(spectrum.observation, obs_id=name, **changes)
    )


def moved(spectrum, factor):
    """The same source at another velocity."""
    axis = dataclasses.replace(spectrum.axis, values=spectrum.wave_aa * factor, wcs=None,
                               unit="Angstrom", scale=Scale.LINEAR)  # fmt: skip
    return spectrum.replace(axis=axis)


def test_the_encoder_is_chosen_by_name_or_by_what_it_holds(asked, star):
    by_name, default = asked.similar(star, 3, encoder="pca"), asked.similar(star, 3)
    assert by_name.model == default.model
    rows = asked.store.manifest.rows
    held = {n: rows[f"embeddings/{n}"] for n in asked.store.names("embeddings")}
    assert default.model.split("@")[0].startswith(max(held, key=held.get))
    with pytest.raises(UsageError) as caught:
        asked.similar(star, encoder="patch")
    assert caught.value.code == "no_model"
    assert "pca" in caught.value.remedy


def test_equals_are_asked_patch_first_and_empty_ones_are_passed_over(copy, monkeypatch):
    held = {"pca.a": 5, "patch.a": 5, "dense.a": 5, "conv.a": 9, "gfnet.a": 0}

    class Store:
        def names(self, prefix):
            return sorted(held) if prefix == "embeddings" else ["aion.a"]

        def held(self, name):
            return held[name.removeprefix("embeddings/")]

    names = explorer_module.candidates(Store(), None)
    assert names == ["conv.a", "patch.a", "pca.a", "dense.a"]
    for encoder in ("gfnet", "aion"):
        with pytest.raises(UsageError) as caught:
            explorer_module.candidates(Store(), encoder)
        assert f"spectrarium embed --encoder {encoder}" in caught.value.remedy
    told = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert f"of equals {', then '.join(explorer_module._PREFERRED)}]" in told


def test_a_twin_in_the_window_comes_first_though_all_else_differs(copy):
    star = of_class(copy, "STAR")[0]
    galaxy = of_class(copy, "GALAXY")[0]
    spectrum, other = copy.read(star), copy.read(galaxy)
    wave = spectrum.wave_aa
    inside = (wave > 6400) & (wave < 6750)
    level = float(np.median(spectrum.flux[inside]))
    outside = np.interp(wave, other.wave_aa, other.flux / np.median(other.flux)) * level
    rng = np.random.default_rng(0)
    sigma = np.where(spectrum.ivar > 0, np.maximum(spectrum.ivar, 1e-12) ** -0.5, 0.0)
    flux = 3.0 * np.where(inside, spectrum.flux + sigma * rng.standard_normal(wave.size), outside)
    scaled = {"std": 3.0, "var": 9.0, "ivar": 1 / 9.0}[spectrum.uncertainty_kind.value]
    twin = renamed(spectrum.replace(flux=flux.astype("f4"),
                                    uncertainty=spectrum.uncertainty * scaled), "twin")  # fmt: skip
    copy.ingest([twin])
    found = copy.similar(star, 5, window=(6460, 6700))
    assert ids(copy, found.answers)[0] == "twin"
    assert ids(copy, copy.similar(star, 1).answers)[0] != "twin"
    assert found.metric.startswith("pixels")
    assert found.wave_aa[0] >= 6459
    assert found.wave_aa[-1] <= 6701
    values = [a.value for a in found.answers]
    assert values == sorted(values)
    assert found.answers[0].chi2 == pytest.approx(0.5, abs=0.15), "half the noise is the same"
    assert found.searched + sum(found.left_out.values()) + 1 == len(copy.store)


def test_at_rest_a_source_is_found_at_any_velocity(copy):
    star = of_class(copy, "STAR", 25)[0]
    spectrum = renamed(copy.read(star), "here", redshift=None, rv_kms=0.0)
    there = renamed(moved(copy.read(star), 1 + 1500 / C_KMS), "there", redshift=1500 / C_KMS,
                    rv_kms=None)  # fmt: skip
    lost = renamed(moved(copy.read(star), 1 + 1500 / C_KMS), "lost", redshift=None, rv_kms=None)
    copy.ingest([spectrum, there, lost])
    at_rest = copy.similar("here", 3, line="Hbeta", width_kms=4000, rest=True, redshift=0.0)
    names = ids(copy, at_rest.answers)
    assert "there" in names
    assert "lost" not in names
    assert at_rest.left_out["no redshift or velocity to put it at rest by"] >= 1
    assert at_rest.frame == "rest"
    as_seen = copy.similar("here", 300, line="Hbeta", width_kms=4000, redshift=0.0)
    seen = dict(zip(ids(copy, as_seen.answers), as_seen.answers, strict=True))
    rested = dict(zip(names, at_rest.answers, strict=True))
    assert rested["there"].value < 0.5 * seen["there"].value
    everywhere = copy.similar("here", 3, rest=True, redshift=0.0)
    assert "there" in ids(copy, everywhere.answers)


def test_a_line_is_looked_for_where_the_redshift_puts_it(asked):
    galaxy = next(g for g in of_class(asked, "GALAXY", 8)
                  if 0.02 < (asked.read(g).observation.redshift or 0) < 0.3)  # fmt: skip
    z = asked.read(galaxy).observation.redshift
    found = asked.similar(galaxy, 3, line="Halpha", width_kms=1000)
    middle = np.sqrt(found.wave_aa[0] * found.wave_aa[-1])
    assert middle == pytest.approx(6564.632 * (1 + z), rel=2e-4)
    assert found.notes == []
    assert asked.similar(galaxy, 1, line="Halpha", redshift=0.0).wave_aa[-1] < 6600


def test_air_windows_are_moved_to_vacuum(asked, star):
    found = asked.similar(star, 1, window=(6500.0, 6600.0), air=True)
    assert found.wave_aa[0] == pytest.approx(6501.796, abs=0.01)


@pytest.mark.parametrize(
    ("asks", "code", "where"),
    [
        ({"window": (100.0, 200.0)}, "no_coverage", "--window"),
        ({"window": (6600.0, 6500.0)}, "bad_window", "--window"),
        ({"window": (6500.0, float("nan"))}, "bad_window", "--window"),
        ({"window": (6500.0, 6501.0)}, "no_good_pixels", ""),
        ({"line": "Halfa"}, "unknown_line", "--line"),
        ({"line": "[O III]"}, "ambiguous_line", "--line"),
        ({"line": "Ha", "width_kms": -5.0}, "bad_window", "--width"),
        ({"width_kms": 200.0}, "bad_window", "--width"),
        ({"air": True}, "bad_window", "--air"),
        ({"line": "Ly_alpha"}, "no_coverage", "--line"),
        ({"line": "Ha", "window": (1.0, 2.0)}, "bad_window", ""),
        ({"line": "Ha", "air": True}, "bad_window", "--air"),
        ({"line": "Ha", "rerank": True}, "bad_window", "--rerank"),
        ({"encoder": "nope"}, "no_model", ""),
        ({"model": "nope"}, "no_model", ""),
        ({"redshift": -1.0}, "no_redshift", "--redshift"),
        ({"k": 0}, "bad_k", ""),
    ],
)
def test_senseless_questions_are_refused_with_a_way_out(asked, star, asks, code, where):
    with pytest.raises(UsageError) as caught:
        asked.similar(star, **asks)
    assert caught.value.code == code
    assert caught.value.remedy
    assert where in caught.value.where


def test_a_magnitude_called_z_is_no_redshift(copy, tmp_path):
    from spectrarium.run.redshifts import redshifts

    rows = copy.store.find()
    rows = rows[np.isnan(redshifts(copy.store, rows))][:3]
    assert len(rows)
    ids_ = copy.store.catalogue(rows, ["obs_id"]).column(0).to_pylist()
    for name, columns, values in (("photo", "r,i,z", "18.1,17.9,17.5"), ("spec", "r,z", "18,0.25")):
        table = tmp_path / f"{name}.csv"
        table.write_text("\n".join([f"obs_id,{columns}", *(f"{i},{values}" for i in ids_)]) + "\n")
        copy.add_catalogue(table, "obs_id")
    archive = sp.open(copy.path).store
    np.testing.assert_allclose(redshifts(archive, rows), 0.25)


def test_a_learnt_redshift_stands_for_none_that_is_given(copy):
    from spectrarium.run.redshifts import redshifts

    store = copy.store
    given = redshifts(store, store.find())
    uid = store.index.value("uid", store.find())
    with open_writer(copy.path) as writer:
        writer.put_table("labels/tags", pa.table({
            "uid": uid, "z": np.full(len(uid), 0.5), "redshift": np.full(len(uid), 0.6),
            "rv_kms": np.full(len(uid), 70.0)}))  # fmt: skip
    store = copy.refresh().store
    assert {"tags.z", "tags.redshift", "tags.rv_kms"} <= set(store.columns())
    np.testing.assert_array_equal(redshifts(store, store.find()), given)
    assert np.isnan(given).any()
    assert np.isfinite(given).any()


def test_a_query_that_cannot_be_compared_says_why(asked, star):
    spectrum = asked.read(star)
    dead = renamed(spectrum.replace(flux=np.full(spectrum.flux.shape, np.nan, "f4")), "dead")
    for asks in ({}, {"line": "Halpha"}, {"window": (6500, 6600)}):
        with pytest.raises(UsageError) as caught:
            asked.similar(dead, **asks)
        assert caught.value.code == "no_good_pixels"
    wave = spectrum.wave_aa
    hole = np.where((wave > 6500) & (wave < 6620), np.nan, spectrum.flux).astype("f4")
    with pytest.raises(UsageError) as caught:
        asked.similar(renamed(spectrum.replace(flux=hole), "hole"), window=(6500, 6620))
    assert caught.value.code == "no_good_pixels"
    one = np.where(np.arange(wave.size) == wave.size // 2, spectrum.flux, np.nan).astype("f4")
    for asks in ({"window": (4000, 9000)}, {"rest": True, "redshift": 0.0}):
        with pytest.raises(UsageError) as caught:
            asked.similar(renamed(spectrum.replace(flux=one), "one"), **asks)
        assert caught.value.code == "no_good_pixels"
    unknown = renamed(spectrum, "unknown", redshift=None, rv_kms=None)
    with pytest.raises(UsageError) as caught:
        asked.similar(unknown, rest=True)
    assert caught.value.code == "no_redshift"
    assert asked.similar(unknown, 1, line="Halpha").notes, "what was supposed is said"


def test_filters_of_nothing_and_k_beyond_all(asked, star):
    assert asked.similar(star, 3, where="snr > 1e9").answers == []
    none = asked.similar(star, 3, where="snr > 1e9", line="Halpha", explain=True)
    assert (none.answers, none.searched) == ([], 0)
    everything = asked.similar(star, 10_000)
    assert len(everything.answers) == everything.searched - 1
    pixels = asked.similar(star, 10_000, line="Halpha")
    assert len(pixels.answers) == pixels.searched


def test_an_explanation_says_where_what_and_which_numbers(asked, star):
    found = asked.similar(star, 4, explain=True, where="truth.obj_class = 'GALAXY'")
    scale = Explorer(asked.store, found.model.split("@")[0]).model.metric_scale()
    for answer in found.answers:
        e = answer.explanation
        assert e.trace.difference.shape == found.wave_aa.shape
        assert e.trace.contribution.sum() == pytest.approx(1.0, abs=1e-4)
        assert [r for r, _ in e.named] == list(answer.drivers)
        assert sum(s for _, s in e.components) <= 1 + 1e-9
        assert all(0 <= c < scale.size for c, _ in e.components)
        assert e.decoded.shape == found.wave_aa.shape
        record = e.record(found.wave_aa, 10)
        assert len(record["wave_aa"]) == len(record["difference_sigma"]) == -(-len(
            found.wave_aa) // 10)  # fmt: skip
        json.dumps(record)
    assert any(i for a in found.answers for _, i in a.explanation.named), "something has a name"
    assert asked.similar(star, 1).answers[0].explanation is None


def test_reranking_keeps_the_near_and_says_so(asked, star):
    plain, again = asked.similar(star, 200), asked.similar(star, 5, rerank=True)
    assert {a.row for a in again.answers} <= {a.row for a in plain.answers}
    assert all(a.pixel_distance > 0 for a in again.answers)
    assert any("pixels" in note for note in again.notes)
    assert all(a.pixel_distance is None for a in plain.answers)


def test_the_index_is_built_kept_mended_and_never_in_the_way(copy):
    star = of_class(copy, "STAR")[0]
    exact = copy.similar(star, 5)
    found = copy.similar(star, 5, approximate_from=0)
    assert found.search.startswith("approximate, recall@10")
    assert len(set(ids(copy, found.answers)) & set(ids(copy, exact.answers))) >= 4
    files = sorted((copy.path / "indexes").iterdir())
    assert [f.name.rpartition(".")[2] for f in files] == ["faiss", "json", "npy"]
    assert copy.similar(star, 5, approximate_from=0, exact=True).search == "exact"
    copy.similar(star, 5, approximate_from=0)
    assert sorted((copy.path / "indexes").iterdir()) == files, "used again"
    files[0].write_bytes(b"rubbish")
    mended = copy.similar(star, 5, approximate_from=0)
    assert ids(copy, mended.answers) == ids(copy, found.answers)
    twin = renamed(copy.read(star), "twin")
    copy.ingest([twin])
    after = sorted((copy.path / "indexes").glob("*@*"))
    nearest = copy.similar(star, 5, approximate_from=0)
    assert ids(copy, nearest.answers)[0] == "twin", "found before any rebuild"
    assert sorted((copy.path / "indexes").glob("*@*")) == after


def test_the_command_line(asked, star, tmp_path):
    def run(*words):
        return CliRunner().invoke(command, [star, "-a", str(asked.path), *words])

    done = run("-k", "3", "--explain", "--json", "--every", "20")
    assert done.exit_code == 0, done.output
    records = json.loads(done.stdout)
    assert records[0]["search"] == "exact"
    assert len(records[0]["explanation"]["wave_aa"]) < 300
    picture = tmp_path / "line.png"
    done = run("-k", "2", "--line", "Halpha", "--rest", "--plot", str(picture), "--explain")
    assert done.exit_code == 0, done.output
    assert picture.stat().st_size > 20_000
    assert "pixels" in done.output
    assert "not compared" in done.output


def test_of_very_many_only_the_nearest_are_compared_pixel_by_pixel(asked, star, monkeypatch):
    from spectrarium.run import similar as module

    monkeypatch.setattr(module, "PIXELS_MOST", 50)
    monkeypatch.setattr(module, "PIXELS_NEAREST", 20)
    found = asked.similar(star, 5, line="Halpha")
    assert any("20 nearest" in note for note in found.notes)
    assert found.searched + sum(found.left_out.values()) == 20
    near = {a.row for a in asked.similar(star, 21).answers}
    assert {a.row for a in found.answers} <= near
