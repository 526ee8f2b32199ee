"""``spectrarium people`` as an operator meets it."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout

import pytest
from test_visibility import observed

from spectrarium.cli.main import main
from spectrarium.domain.visibility import Visibility
from spectrarium.people import People, people_beside
from spectrarium.people.records import GUEST
from spectrarium.store.archive import Archive
from spectrarium.store.writer import add_spectra


@pytest.fixture
def archive(tmp_path, monkeypatch):
    monkeypatch.delenv("SPECTRARIUM_PEOPLE", raising=False)
    folder = tmp_path / "archive"
    add_spectra(folder, [observed(i, "SECRET" if i % 2 else "OPEN") for i in range(4)])
    monkeypatch.setenv("SPECTRARIUM_ARCHIVE", str(folder))
    return folder


@pytest.fixture
def file(archive):
    return people_beside(archive)


def run(*words):
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(["people", *map(str, words)])
    return ended.value.code or 0, out.getvalue(), err.getvalue()


def records(*words):
    code, out, err = run(*words, "--json")
    assert code == 0, err
    return json.loads(out)


def error(*words):
    code, out, err = run(*words, "--json")
    assert code == 2
    assert out == ""
    return json.loads(err)


def test_a_user_gets_in_and_out_again(archive, file):
    assert records("list") == []
    made = records("add", "ann")
    assert (made["user"], made["rights"], made["disabled"]) == ("ann", ["judge", "save"], False)
    assert records("add", "boss", "--right", "operate")["rights"] == ["operate"]
    new = records("token", "ann", "--about", "laptop", "--days", 30)
    with People(file) as people:
        assert people.users.by_token(new["token"]).name == "ann"
    (kept,) = records("tokens", "ann")
    assert (kept["tid"], kept["about"], kept["kind"]) == (new["tid"], "laptop", "token")
    assert new["token"] not in json.dumps(kept)
    assert records("tokens") == records("tokens", "ann")
    assert records("disable", "ann")["disabled"] is True
    with People(file) as people:
        assert people.users.by_token(new["token"]) is None
    assert records("enable", "ann")["disabled"] is False
    records("revoke", new["tid"])
    assert records("tokens") == []
    assert [r["user"] for r in records("list")] == ["ann", "boss"]


def test_what_is_hidden_is_hidden_from_whoever_lacks_the_right(archive, file):
    records("add", "ann")
    assert records("hide", "SECRET") == [{"collection": "SECRET", "seen_by": "private"}]
    assert records("publish", "OPEN")[0]["seen_by"] == "public"
    assert records("collections") == [
        {"collection": "OPEN", "seen_by": "public", "observations": 2},
        {"collection": "SECRET", "seen_by": "private", "observations": 2},
    ]
    with People(file) as people:
        assert len(Archive(archive, visibility=people.visibility(people.users.get("ann")))) == 2
        assert people.visibility(GUEST) == Visibility(only=frozenset({"OPEN"}))
    assert records("grant", "ann", "see:SECRET")["rights"] == ["judge", "save", "see:SECRET"]
    with People(file) as people:
        assert len(Archive(archive, visibility=people.visibility(people.users.get("ann")))) == 4
    assert records("withdraw", "ann", "see:SECRET", "judge")["rights"] == ["save"]
    records("show", "SECRET")
    assert records("collections")[1]["seen_by"] == "members"


def test_a_misspelt_collection_is_not_left_open_unseen(archive, file):
    found = error("hide", "secret")
    assert found["code"] == "no_collection"
    assert "SECRET" in found["remedy"]
    assert error("hide", "OPEN", "COMING")["code"] == "no_collection"
    with People(file) as people:
        assert people.collections.declared() == {}, "all of it or nothing"
    records("hide", "COMING", "--yet-to-come")
    assert {r["collection"]: r["seen_by"] for r in records("collections")} == {
        "COMING": "private", "OPEN": "members", "SECRET": "members"}  # fmt: skip


def test_mistakes_are_told(archive, tmp_path):
    assert error("add", "no blanks")["code"] == "bad_name"
    assert error("token", "nobody")["code"] == "no_user"
    assert error("tokens", "nobody")["code"] == "no_user"
    assert error("revoke", "nothing")["code"] == "no_token"
    records("add", "ann")
    assert error("add", "ann")["code"] == "user_exists"
    assert error("grant", "ann", "rule")["code"] == "bad_right"
    assert error("token", "ann", "--days", -1)["code"] == "bad_days"
    other = tmp_path / "other.txt"
    other.write_text("not a database")
    code, _, err = run("list", "--people", other, "--json")
    assert code == 3
    assert json.loads(err)["code"] == "not_a_people_file"
    assert other.read_text() == "not a database"


def test_a_misspelt_folder_is_not_given_a_file(archive, tmp_path):
    assert error("list", "--archive", tmp_path / "archiv")["code"] == "no_archive"
    assert not people_beside(tmp_path / "archiv").exists()


def test_it_reads_well(archive):
    assert "spectrarium people add" in run("list")[1]
    assert run("add", "ann")[1].strip() == "ann: judge, save"
    code, out, _ = run("token", "ann")
    assert code == 0
    assert out.startswith("spt_")
    assert "only now" in out
    for words in (("list",), ("tokens",), ("collections",), ("hide", "SECRET"), ("--help",),
                  ("hide", "--help")):  # fmt: skip
        code, out, _ = run(*words)
        assert code == 0
        assert out.strip()
    assert "see:COLLECTION" in run("hide", "--help")[1]
