"""`outliers`: what a score says about the whole reaches programs, and what it is not about too."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
from click.testing import CliRunner

import spectrarium as sp
from spectrarium.cli.outliers import command
from spectrarium.explore import population
from spectrarium.run import explorer as explorer_module
from spectrarium.run import scoring


@pytest.fixture
def copy(asked, tmp_path):
    shutil.copytree(asked.path, tmp_path / "copy")
    return sp.open(tmp_path / "copy")


def run(archive, *words):
    return CliRunner().invoke(command, ["-a", str(archive.path), *words])


def test_what_came_since_and_is_not_judged_is_said_by_kept_scores_too(copy, monkeypatch):
    monkeypatch.setattr(explorer_module, "PENDING_MOST", 5)
    spectrum = copy.read(copy.find("truth.obj_class = 'STAR' AND snr > 15",
                                   columns=["obs_id"]).column(0)[0].as_py())  # fmt: skip
    copy.ingest([
        spectrum.replace(observation=dataclasses.replace(spectrum.observation, obs_id=f"twin{i}"),
                         flux=spectrum.flux * (1 + 1e-3 * i)) for i in range(1, 13)
    ])  # fmt: skip
    for score in ("density", "density", "combined"):
        notes = copy.outliers(score, k=1).notes
        assert [n.partition(": ")[2] for n in notes] == [
            "7 newer spectra are not searched: run `spectrarium embed --encoder pca`"
        ]
    assert "7 newer spectra" in run(copy, "-k", "1", "--score", "density", "--json").stderr


def test_records_hold_what_the_score_says_about_the_whole(copy):
    done = run(copy, "--score", "total", "-k", "2", "--json")
    records = json.loads(done.stdout)
    assert len(records) == 2
    whole = records[0]["population"]
    assert whole["judged"] > 20
    assert whole["abstained"] >= 0
    assert -1 <= whole["snr_correlation"] <= 1
    assert whole["forests"] == 3
    assert 0.8 < whole["rank_correlation_of_forests"] <= 1
    assert "Spearman" in done.stderr
    none = run(copy, "--score", "total", "--json", "--where", "snr > 1e9")
    assert json.loads(none.stdout) == []
    assert "0 judged" in none.stderr


def test_of_very_many_only_the_neighbours_asked_for_are_searched(copy, monkeypatch):
    together = copy.outliers("total", k=3)
    monkeypatch.setattr(scoring, "MAX_TOGETHER", 10)
    monkeypatch.setattr(scoring, "_LAYOUT", b"anew")
    with monkeypatch.context() as without:
        without.setattr(population, "nearest", lambda *a, **k: pytest.fail("searched"))
        alone = copy.outliers("total", k=3)
    assert [(a.row, a.value) for a in alone.answers] == [(a.row, a.value) for a in together.answers]
    assert len(copy.outliers("spectral", k=3).answers) == 3
