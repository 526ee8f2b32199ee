"""The command line as a user meets it: every verb, its records, its exit codes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from spectrarium.cli.main import VERBS, main


@dataclass
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def run(*words, archive=None):
    """One command, in this process: starting Python a hundred times would take minutes."""
    arguments = [str(w) for w in words]
    if archive is not None:
        arguments += ["--archive", str(archive)]
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(arguments)
    return Done(ended.value.code or 0, out.getvalue(), err.getvalue())


def run_alone(*words, env=None):
    """One command in a process of its own."""
    command = [sys.executable, "-m", "spectrarium.cli.main", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False,
                          env=os.environ | (env or {}))  # fmt: skip


def records(*words, archive=None):
    """The JSON of one command."""
    done = run(*words, "--json", archive=archive)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def folder(asked):
    """Folder of the mock archive."""
    return asked.path


@pytest.fixture(scope="module")
def star(asked):
    """Id of a well-exposed star."""
    return asked.find("truth.obj_class = 'STAR' AND snr > 20", limit=1).column("obs_id")[0].as_py()


def test_every_verb_has_help():
    assert "Exit codes" in run("--help").stdout
    for verb in VERBS:
        done = run(verb, "--help")
        assert done.returncode == 0, done.stderr
        assert "Usage: spectrarium" in done.stdout


def test_status_and_quarantine_records(folder, tmp_path):
    facts = records("status", archive=folder)
    assert facts["observations"] == 260
    assert facts["files_stored"] == 260
    assert facts["quarantined"] == 0
    assert isinstance(facts["version"], int)
    (tmp_path / "bad.fits").write_bytes(b"")
    done = run("ingest", tmp_path / "bad.fits", archive=tmp_path / "a")
    assert done.returncode == 3, "nothing at all could be stored"
    (entry,) = records("quarantine", archive=tmp_path / "a")
    assert {"path", "hdu", "code", "reason", "remedy"} <= set(entry)
    assert entry["code"] == "empty_file"
    assert "empty_file" in run("quarantine", archive=tmp_path / "a").stdout


def test_find_and_show_speak_the_catalogues_language(folder, star):
    found = records("find", "--where", "snr > 20", "-n", "3", archive=folder)
    assert len(found) == 3
    assert {"obs_id", "obs_collection", "s_ra", "s_dec", "snr"} <= set(found[0])
    record = records("show", star, archive=folder)
    assert record["obs_id"] == star
    assert record["truth.obj_class"] == "STAR"
    by_cone = records("find", "--cone", record["s_ra"], record["s_dec"], "0.001", archive=folder)
    assert star in [r["obs_id"] for r in by_cone]
    by_name = records("find", "--target", record["target_name"] or "nobody", archive=folder)
    assert record["target_name"] is None or star in [r["obs_id"] for r in by_name]
    samples = records("show", star, "--window", "6500", "6620", "--samples", archive=folder)
    assert all(6500 <= w <= 6620 for w in samples["wave_aa"])
    assert len(samples["flux"]) == samples["samples_read"]


def test_questions_and_pictures(folder, star, tmp_path):
    picture = tmp_path / "deep" / "similar.png"
    answers = records("similar", star, "-k", "4", "--plot", picture, archive=folder)
    assert [a["rank"] for a in answers] == [1, 2, 3, 4]
    assert {"obs_id", "distance", "snr", "noise_source", "model", "differs"} <= set(answers[0])
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    strange = records("outliers", "-k", "3", "--score", "knn", archive=folder)
    assert len(strange) == 3
    assert {"score", "significance", "differs"} <= set(strange[0])
    assert run("show", star, "--plot", tmp_path / "x.pdf", archive=folder).returncode == 0
    models = records("models", archive=folder)
    assert {"name", "covered", "weights_hash", "training"} <= set(models[0])
    members = records("models", "--members", models[0]["name"], archive=folder)
    assert len(members) == models[0]["covered"]
    outside = records("models", "--uncovered", archive=folder)
    assert len(outside) + sum(m["covered"] for m in models) == 260
    columns = records("catalogue", "list", archive=folder)
    assert {"column", "unit", "ucd", "source", "about"} == set(columns[0])
    assert any(c["column"] == "truth.teff" and c["unit"] == "K" for c in columns)
    assert records("verify", archive=folder) == []
    assert "sdss" in {r["name"] for r in records("formats")}


def test_export(folder, star, tmp_path):
    for kind in ("sdm-votable", "sdm-fits", "ecsv", "parquet", "hats"):
        out = tmp_path / kind
        paths = records("export", star, "--format", kind, "--out", out, archive=folder)
        assert paths
        assert all(Path(p["path"]).exists() for p in paths)


@pytest.mark.parametrize(("words", "code", "text"), [
    (("show", "nobody"), 2, "unknown_id"),
    (("find", "--where", "colour = 'red'"), 2, "bad_filter"),
    (("find", "--columns", "colour"), 2, "no_column"),
    (("find", "--cone", "400", "0", "1"), 2, "bad_cone"),
    (("similar", "nobody"), 2, "unknown_id"),
    (("outliers", "--score", "charm"), 2, "unknown_score"),
    (("status", "--as-of", "999"), 2, "no_version"),
    (("nonsense",), 2, "No such command"),
    (("find", "--limit", "many"), 2, "not a valid integer"),
    (("ingest", "nowhere.fits"), 2, "no_such_path"),
    (("catalogue", "add", "nowhere.csv", "--key", "obs_id"), 2, "no_such_path"),
    (("embed", "--encoder", "oracle"), 2, "unknown_encoder"),
    (("export", "nobody", "--format", "ecsv"), 2, "unknown_id"),
])  # fmt: skip
def test_mistakes_are_explained(folder, tmp_path, words, code, text, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*words, archive=None if words == ("nonsense",) else folder)
    assert done.returncode == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_errors_as_records(folder):
    done = run("show", "nobody", "--json", archive=folder)
    error = json.loads(done.stderr)
    assert error["error"] == "UsageError"
    assert error["code"] == "unknown_id"
    assert error["remedy"]


def test_a_file_as_query_that_is_bad(folder, tmp_path):
    (tmp_path / "bad.fits").write_bytes(b"SIMPLE  =                    T" + b" " * 50)
    done = run("similar", tmp_path / "bad.fits", archive=folder)
    assert done.returncode == 3
    assert "truncated" in done.stderr


def test_hostile_names_are_text(folder, tmp_path, asked):
    import dataclasses
    import shutil

    import spectrarium as sp

    archive = sp.open(shutil.copytree(folder, tmp_path / "copy"))
    spectrum = archive.read(archive.find(limit=1).column("obs_id")[0].as_py())
    evil = "[bold red]x[/] \x1b[31mred\x1b[0m <script>"
    named = dataclasses.replace(spectrum.observation, obs_id="evil", target_name=evil)
    archive.ingest([spectrum.replace(observation=named)])
    done = run("find", "--where", "obs_id = 'evil'", archive=archive.path)
    assert done.returncode == 0
    assert "[bold red]x[/]" in done.stdout
    assert "\x1b[31m" not in done.stdout
    picture = tmp_path / "evil.png"
    assert run("show", "evil", "--plot", picture, archive=archive.path).returncode == 0
    assert "\x1b[31m" not in run("show", "evil", archive=archive.path).stdout


def test_the_archive_may_come_from_the_environment(folder):
    done = run_alone("status", "--json", env={"SPECTRARIUM_ARCHIVE": str(folder)})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["observations"] == 260


def test_a_closed_pipe_is_no_error(folder):
    command = f"{sys.executable} -m spectrarium.cli.main find -n 0 -a {folder} | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert "Traceback" not in done.stderr
