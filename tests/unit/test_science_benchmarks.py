"""The programs of benchmarks/science run, on little, and ask what the package asks."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from pool_cases import write_pool

from spectrarium.domain.progress import Silent
from spectrarium.evaluate import retrieval
from spectrarium.evaluate.fitting import encoded, fitted, made
from spectrarium.evaluate.real import REAL

PROGRAMS = Path(__file__).parents[2] / "benchmarks" / "science"


@pytest.fixture
def program(monkeypatch):
    """A program of the folder as a module; it and what it shares with others are forgotten."""
    monkeypatch.syspath_prepend(str(PROGRAMS))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if name.split(".")[0] in ("coverage", "nuisances", "rerank", "tables", "triage", "support"):
            del sys.modules[name]


@pytest.fixture
def stars(tmp_path):
    """A pool of stars of two kinds, told apart by a faint line: the folder it lies in."""
    rng = np.random.default_rng(3)
    wave = np.linspace(4000.0, 5000.0, 500)
    spectra, kinds = [], []
    for i in range(170):
        kinds.append("GK"[i % 2] + "2V")
        line = 0.1 * np.exp(-0.5 * ((wave - (4300 if i % 2 else 4700)) / 6.0) ** 2)
        slope = rng.normal(0.0, 0.3) * (wave - 4500.0) / 1000.0
        spectra.append((wave, 1.0 + slope - line + rng.normal(0.0, 0.05, wave.size)))
    write_pool(tmp_path / "miles_stars", spectra, kinds=kinds,
               err=np.full(wave.size * len(spectra), 0.05))  # fmt: skip
    return tmp_path


def ran(module, monkeypatch, out, *words):
    monkeypatch.setattr(sys, "argv", [module.__name__, "--quick", "--out", str(out), *words])
    module.main()
    assert out.with_suffix(".md").read_text().startswith(("| ", "Expected"))
    return json.loads(out.read_text())


def test_reranking_is_measured(program, monkeypatch, stars, tmp_path, capsys):
    rerank = program("rerank")
    record = ran(rerank, monkeypatch, tmp_path / "rerank.json", "--data", str(stars),
                 "--corpora", "miles", "--seeds", "2")  # fmt: skip
    (row,) = record["rows"]
    assert (row["corpus"], row["encoder"], row["seeds"]) == ("miles", "pca", 2)
    assert set(row["minus plain"]) == {"reranked", "pixels alone"}
    told = row["precision@10"]
    for order, gap in row["minus plain"].items():
        change = told[order]["value"] - told["plain"]["value"]
        assert gap["value"] == pytest.approx(change, abs=1e-3)
        assert gap["low"] <= gap["value"] <= gap["high"]
    assert "| miles | pca |" in capsys.readouterr().out


def test_plain_is_what_evaluate_measures(program, stars):
    rerank = program("rerank")
    corpus = next(r for r in REAL if r.name == "miles").load(stars)
    encoder = made("pca", corpus, 0, 1)
    fitted(encoder, corpus, "cpu", None, Silent())
    vectors = encoded(encoder, corpus.batch)[0].vectors
    search = retrieval.ByVectors(corpus, encoder.ref, vectors, encoder.metric_scale())
    known = retrieval.answers(retrieval.Questions.of(corpus), search, raw_only=False)
    found = rerank.precisions(corpus, encoder)
    assert np.array_equal(found["plain"].values, known["precision@10"].values)
    assert np.array_equal(found["plain"].units, known["precision@10"].units)


def test_spectra_of_different_coverage_are_measured(program, monkeypatch, tmp_path, data_dir):
    pytest.importorskip("torch")
    coverage = program("coverage")
    record = ran(coverage, monkeypatch, tmp_path / "coverage.json", "--data", str(data_dir))
    questions = [row["question"] for row in record["rows"]]
    assert questions == ["all", *(f"{coverage.NAMES[a]} → {coverage.NAMES[b]}"
                                  for a, b in coverage.ASKED), coverage.OWN]  # fmt: skip
    for row in record["rows"]:
        plain = row["patch"]["value"]["value"]
        assert row["patch"]["minus_patch"] is None
        for method in ("pca", "patch, crops"):
            told = row[method]
            assert 0 <= told["value"]["low"] <= told["value"]["high"] <= 1
            gap = told["value"]["value"] - plain
            assert told["minus_patch"]["value"] == pytest.approx(gap, abs=1e-3)


def test_a_cut_spectrum_is_scaled_as_one_that_has_no_more(program, data_dir):
    coverage = program("coverage")
    whole = coverage.template_corpus(data_dir, 2, 1, None, 100)
    corpus, cover = coverage.cut(whole)
    assert set(cover.tolist()) == {coverage.BLUE, coverage.RED, coverage.WHOLE}
    middle = corpus.domain.n_pix // 2
    for c, empty in ((coverage.BLUE, slice(-100, None)), (coverage.RED, slice(0, 100))):
        assert not corpus.batch.ivar[cover == c, empty].any()
        assert (corpus.batch.ivar[cover == c, middle] > 0).mean() > 0.9
    for i in range(0, len(corpus), 17):
        good = corpus.batch.ivar[i] > 0
        level = np.median(corpus.batch.flux[i, good])
        noise = np.median(corpus.batch.ivar[i, good]) ** -0.5
        assert np.hypot(level, noise) == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_array_equal(corpus.objects, whole.objects)


def test_triage_is_measured(program, monkeypatch, tmp_path):
    triage = program("triage")
    record = ran(triage, monkeypatch, tmp_path / "triage.json")
    kinds = {(r["expected_by"], r["planted_by"], r["kind"]) for r in record["rows"]}
    assert len(kinds) == len(record["rows"])
    assert len({(by, who, kind.split(" at ")[0]) for by, who, kind in kinds}) == 2 * (10 + 3 + 7)
    for row in record["rows"]:
        said = [row[v] for v in triage.VERDICTS]
        assert sum(v["count"] for v in said) == row["n"]
        assert all(v["low"] <= v["share"] <= v["high"] for v in said)
    rays = [r for r in record["rows"] if r["kind"] == "cosmic_rays"]
    assert sum(r["artefact"]["count"] for r in rays) > 0.5 * sum(r["n"] for r in rays)


def test_ablations_write_their_own_columns_alone(program, monkeypatch, tmp_path):
    """And what is measured of the others stays, with rows that nothing new is known of."""
    tables = program("tables")
    other = "\n\n| corpus | {} |\n|---|---|\n| sdss | x |\n\n"
    page = tmp_path / "science.md"
    before = (
        "| corpus | measure | objects | chance | pca | patch | dense |\n"
        "|---|---|---|---|---|---|---|\n"
        "| sdss | precision@10 | 114 | 0.390 | 0.857 (0.812–0.898) | 0.900 | 0.800 −0.057 |\n"
        "| miles | precision@10 | 375 | 0.222 | 0.746 (0.718–0.774) | 0.755 | 0.733 |"
        + other.format("quantity, probe") + other.format("label")
    )  # fmt: skip
    page.write_text(before)
    monkeypatch.setattr(tables, "SCIENCE", page)
    value = {"value": 0.5, "low": 0.4, "high": 0.6, "n_objects": 9, "minus_pca": None}
    gap = {"value": 0.05, "low": 0.01, "high": 0.09, "n_objects": 9}
    rows = [{"corpus": "sdss", "measure": "precision@10", "chance": value, "raw pixels": value,
             "pca": value, "dense": value | {"value": 0.891, "minus_pca": gap}},
            {"corpus": "sdss", "measure": "R² of S/N (ridge)", "chance": None, "raw pixels": value,
             "pca": value, "dense": value}]  # fmt: skip
    record = tmp_path / "ablations.json"
    runs = [{"corpus": "sdss", "method": "pca", "coverage": {"teff": [{"bin": "all"}]}}]
    record.write_text(json.dumps({"rows": rows, "runs": runs}))
    tables.main([str(record)])
    assert page.read_text() == before.replace("0.800 −0.057", "0.891 **+0.050**")


def test_nuisances_are_probed_over_splits(program, monkeypatch, stars, tmp_path):
    nuisances = program("nuisances")
    record = ran(nuisances, monkeypatch, tmp_path / "nuisances.json", "--data", str(stars),
                 "--corpora", "miles", "--splits", "3")  # fmt: skip
    assert record["splits"] == 3
    measures = {r["measure"] for r in record["rows"]}
    assert {m.rsplit(" ", 1)[1] for m in measures} == {"(ridge)", "(knn)"}
    assert f"R² of {nuisances.ADDED} (ridge)" in measures
    for row in record["rows"]:
        for other in ("raw pixels", "pca"):
            gap = row[f"patch − {other}"]
            apart = row["patch"]["value"] - row[other]["value"]
            assert gap["value"] == pytest.approx(apart, abs=2e-3)
        assert row["patch"]["n_objects"] > 0.4 * 170, "more objects than one split tests"


def test_splits_differ_and_keep_objects_whole(program, stars):
    nuisances = program("nuisances")
    corpus = next(r for r in REAL if r.name == "miles").load(stars)
    parts = [nuisances.turned(corpus, k) for k in range(2)]
    for one in parts:
        tested = set(corpus.objects[one.test].tolist())
        assert len(tested) == int(0.4 * len(set(corpus.objects.tolist())))
        assert tested.isdisjoint(corpus.objects[~one.test].tolist())
    assert not np.array_equal(parts[0].test, parts[1].test)


def test_noise_that_is_added_is_what_errors_say(program, stars):
    nuisances = program("nuisances")
    corpus = next(r for r in REAL if r.name == "miles").load(stars)
    noisy = nuisances.noisier(corpus, 0)
    times = 10.0 ** noisy.nuisances[nuisances.ADDED]
    assert 1.0 <= times.min() < 1.3
    assert 3.1 < times.max() <= nuisances.NOISE
    own, now = corpus.batch, noisy.batch
    known = own.ivar > 0
    assert np.array_equal(now.ivar > 0, known)
    assert np.allclose((now.ivar * times[:, None] ** 2)[known], own.ivar[known], rtol=1e-5)
    more = 1.0 / now.ivar[known] - 1.0 / own.ivar[known]
    gone = (now.flux - own.flux)[known] / np.sqrt(np.maximum(more, 1e-30))
    assert np.std(gone) == pytest.approx(1.0, abs=0.01)
    assert np.allclose(now.snr * times, own.snr)
