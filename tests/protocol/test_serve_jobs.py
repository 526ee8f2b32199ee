"""Long work over HTTP: progress, log, cancel, what is left of it after a restart."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from serve_client import TOKEN, WRITE, arrow, error

from spectrarium.domain.errors import TransientError
from spectrarium.people import People
from spectrarium.people.records import JobRecord
from spectrarium.run.jobs import Job, Jobs, Result
from spectrarium.serve import job_kinds


def until(client, jid, *phases, seconds=60.0):
    """The job once it is in one of these phases."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = client.get(f"/api/jobs/{jid}").json()
        if found["phase"] in phases:
            return found
        time.sleep(0.02)
    raise AssertionError(f"job {jid} is still {found}")


def begun(client, kind, **params):
    answer = client.post("/api/jobs", json={"kind": kind, "params": params})
    assert answer.status_code == 202, answer.text
    return answer.json()["jid"]


@pytest.fixture
def gate(monkeypatch):
    """A kind of job that works until it is let go or cancelled."""
    open_ = threading.Event()

    def make(ask, fields):
        def work(progress):
            progress.start("waiting", 100)
            while not open_.wait(0.01):
                progress.advance()
                if progress.cancelled():
                    raise TransientError("cancelled", code="cancelled")
            return Result({"done": True}, b"bytes")

        return fields.text("title", "gate"), work

    monkeypatch.setitem(job_kinds.KINDS, "gate", job_kinds.Kind("Waits.", "save", make))
    yield open_
    open_.set()


# kinds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("params", "count"), [
    ({"where": "snr > 20"}, None), ({"outliers": {"score": "combined", "k": 7}}, 7),
    ({"similar": {"k": 5}}, 6),
])  # fmt: skip
def test_a_question_becomes_a_selection(local, desk, params, count):
    store = desk.store
    if "similar" in params:
        row = store.rows_of(store.table("embeddings/" + store.names("embeddings")[0],
                                        ["uid"]).column(0).to_numpy()[:1])  # fmt: skip
        name = store.catalogue(row, ["obs_id"]).column(0)[0].as_py()
        params = {"similar": params["similar"] | {"id": name}}
    done = until(local, begun(local, "select", name="found", **params), "COMPLETED", "ERROR")
    assert done["phase"] == "COMPLETED", done
    sid = done["result"]["selection"]
    expected = len(store.find(where="snr > 20")) if count is None else count
    assert done["result"]["count"] == expected
    found = local.get(f"/api/selections/{sid}").json()
    assert found["count"] == expected
    assert found["origin"]["kind"] == next(iter(params)).replace("where", "filter")


@pytest.mark.parametrize(("kind", "params", "status", "code"), [
    ("paint", {}, 400, "bad_parameter"), ("select", {}, 400, "bad_parameter"),
    ("select", {"name": "x"}, 400, "bad_parameter"), ("select", [], 400, "bad_parameter"),
    ("select", {"name": "x", "where": "nonsense ="}, 400, "bad_filter"),
    ("select", {"name": "x", "where": "1=1", "outliers": {}}, 400, "bad_parameter"),
    ("select", {"name": "x", "similar": {"id": "nobody"}}, 404, "unknown_id"),
    ("select", {"name": "x", "similar": {"id": "o1", "k": 10**9}}, 400, "bad_parameter"),
    ("map", {"method": "crystal"}, 400, None), ("score", {"score": "luck"}, 400, None),
])  # fmt: skip
def test_bad_jobs_are_refused_at_once(local, kind, params, status, code):
    answer = local.post("/api/jobs", json={"kind": kind, "params": params})
    assert answer.status_code in (status, 404), answer.text
    if code is not None:
        assert answer.json()["error"]["code"] == code
    assert local.get("/api/jobs").json()["jobs"] == []


def test_a_job_that_fails_says_why(local):
    body = {"name": "x", "outliers": {"score": "density-of-none"}}
    failed = until(local, begun(local, "select", **body), "ERROR", "COMPLETED")
    assert failed["error"]["code"] == "no_score"
    assert "combined" in failed["error"]["remedy"]


def test_scores_and_maps_are_computed_and_the_archive_moves_on(fresh):
    with fresh.client() as client:
        client.headers.update(WRITE)
        before = client.get("/api/archive").json()
        done = until(client, begun(client, "map", method="pca", seed=3, refit=True),
                     "COMPLETED", "ERROR")  # fmt: skip
        assert done["phase"] == "COMPLETED", done
        assert done["result"]["map"] in [m["name"] for m in before["maps"]]
        assert any("laying out" in line for line in done["log"])
        done = until(client, begun(client, "score", score="reconstruction"), "COMPLETED", "ERROR")
        assert done["phase"] == "COMPLETED", done
        assert done["result"]["judged"] > 50
        after = client.get("/api/archive").json()
        assert after["version"] > before["version"]


# running --------------------------------------------------------------------------------------


def test_progress_is_seen_and_cancelling_stops(local, gate):
    jid = begun(local, "gate")
    until(local, jid, "EXECUTING")
    time.sleep(0.1)
    seen = local.get(f"/api/jobs/{jid}").json()
    assert seen["progress"]["what"] == "waiting"
    assert seen["progress"]["total"] == 100
    assert seen["progress"]["done"] > 0
    assert seen["log"][-1].endswith("waiting")
    error(local.get(f"/api/jobs/{jid}/result"), 404, "no_result")
    error(local.delete(f"/api/jobs/{jid}"), 400, "job_runs")
    local.post(f"/api/jobs/{jid}/cancel")
    gone = until(local, jid, "ABORTED")
    assert gone["error"]["code"] == "cancelled"
    assert local.post(f"/api/jobs/{jid}/cancel").json()["phase"] == "ABORTED"
    assert local.delete(f"/api/jobs/{jid}").status_code == 200
    error(local.get(f"/api/jobs/{jid}"), 404, "no_job")


def test_two_run_at_once_and_others_wait(local, gate):
    jids = [begun(local, "gate", title=f"g{i}") for i in range(4)]
    for jid in jids[:2]:
        until(local, jid, "EXECUTING")
    listed = local.get("/api/jobs").json()["jobs"]
    assert [j["phase"] for j in listed] == ["QUEUED", "QUEUED", "EXECUTING", "EXECUTING"]
    assert local.post(f"/api/jobs/{jids[3]}/cancel").json()["phase"] == "ABORTED"
    gate.set()
    for jid in jids[:3]:
        assert until(local, jid, "COMPLETED")["result"] == {"done": True}
    answer = local.get(f"/api/jobs/{jids[0]}/result")
    assert answer.content == b"bytes"


def test_a_job_asked_for_twice_with_one_key_runs_once(local, gate):
    body, key = {"kind": "gate", "params": {}}, {"Idempotency-Key": "job-1"}
    first = local.post("/api/jobs", json=body, headers=key).json()
    assert local.post("/api/jobs", json=body, headers=key).json()["jid"] == first["jid"]
    assert len(local.get("/api/jobs").json()["jobs"]) == 1


def test_jobs_are_seen_by_their_owner_and_the_operator(desk, gate):
    with People(desk.people) as people:
        tokens = {n: people.users.add_token(people.users.add(n).name).token for n in ("ada", "bo")}
    ada, bo = ({"authorization": f"Bearer {t}"} | WRITE for t in tokens.values())
    boss = {"authorization": f"Bearer {TOKEN}"} | WRITE
    with desk.client(token=TOKEN) as client:
        body = {"kind": "gate", "params": {}}
        jid = client.post("/api/jobs", json=body, headers=ada).json()["jid"]
        error(client.get(f"/api/jobs/{jid}", headers=bo), 404, "no_job")
        error(client.post(f"/api/jobs/{jid}/cancel", headers=bo), 404, "no_job")
        assert client.get("/api/jobs", headers=bo).json()["jobs"] == []
        assert client.get(f"/api/jobs/{jid}", headers=boss).json()["owner"] == "ada"
        kinds = {
            k["kind"]: k["allowed"] for k in client.get("/api/jobs", headers=bo).json()["kinds"]
        }
        assert kinds["select"]
        assert not kinds["score"]


def test_after_a_restart_unfinished_jobs_are_aborted_with_a_reason(desk, gate):
    with desk.client() as client:
        client.headers.update(WRITE)
        jid = begun(client, "gate")
        until(client, jid, "EXECUTING")
    with desk.client() as client:
        found = client.get(f"/api/jobs/{jid}").json()
        assert found["phase"] == "ABORTED"
        assert "stopped" in found["error"]["what"]
        error(client.get(f"/api/jobs/{jid}/result"), 404, "no_result")


def test_jobs_of_a_server_that_was_killed_are_aborted(desk):
    with People(desk.people) as people:
        people.users.local()
        people.jobs.put(JobRecord("j1", "map", "Map", "EXECUTING", "local", created=1.0))
    with desk.client() as client:
        found = client.get("/api/jobs").json()["jobs"]
        assert [j["phase"] for j in found] == ["ABORTED"]
        assert found[0]["error"]["code"] == "interrupted"


def test_an_exact_stack_is_a_job(local):
    rows = list(range(40))
    done = until(local, begun(local, "stack", rows=rows, width=200), "COMPLETED", "ERROR")
    assert done["phase"] == "COMPLETED", done
    assert done["result"]["stack"] is True
    table = arrow(local.get(f"/api/jobs/{done['jid']}/result"))
    assert {"wave_aa", "p50", "n"} <= set(table.column_names)


# the manager by itself ------------------------------------------------------------------------


def test_a_defect_in_a_job_is_told_and_the_next_one_runs():
    kept: dict[str, Job] = {}
    jobs = Jobs(lambda job: kept.__setitem__(job.jid, job), at_once=1)

    def bad(progress):
        raise RuntimeError("secret path /x")

    first = jobs.start("a", "a", "local", {}, bad)
    second = jobs.start("b", "b", "local", {}, lambda progress: Result({"fine": 1}))
    end = time.monotonic() + 10
    while not jobs.get(second.jid).over and time.monotonic() < end:
        time.sleep(0.01)
    assert jobs.get(first.jid).phase == "ERROR"
    assert "secret" not in str(jobs.get(first.jid).error)
    assert jobs.get(second.jid).result == {"fine": 1}
    jobs.close()
    assert kept[first.jid].phase == "ERROR"
    assert kept[second.jid] == replace(jobs.get(second.jid))
    with pytest.raises(TransientError):
        jobs.start("c", "c", "local", {}, bad)


def test_closing_does_not_wait_for_work_that_does_not_look_up():
    kept: dict[str, Job] = {}
    jobs = Jobs(lambda job: kept.__setitem__(job.jid, job), at_once=1)
    hold = threading.Event()

    def deaf(progress):
        hold.wait(30)
        return Result({})

    job = jobs.start("deaf", "deaf", "local", {}, deaf)
    end = time.monotonic() + 10
    while jobs.get(job.jid).phase != "EXECUTING" and time.monotonic() < end:
        time.sleep(0.01)
    began = time.monotonic()
    jobs.close(wait_s=0.2)
    assert time.monotonic() - began < 2
    assert kept[job.jid].phase == "ABORTED"
    hold.set()


def test_no_lock_is_held_while_a_record_is_written():
    """Else a request within a transaction and a job's end would wait for each other."""
    writing, go = threading.Event(), threading.Event()

    def keep(job):
        writing.set()
        go.wait(10)

    jobs = Jobs(keep, at_once=1)
    jobs.start("a", "a", "local", {}, lambda progress: Result({}))
    assert writing.wait(10)
    began = time.monotonic()
    jobs.start("b", "b", "local", {}, lambda progress: Result({}))
    assert time.monotonic() - began < 1
    go.set()
    jobs.close()


def test_too_many_waiting_are_refused():
    hold = threading.Event()
    jobs = Jobs(lambda job: None, at_once=1)

    def work(progress):
        hold.wait(20)
        return Result({})

    try:
        first = jobs.start("a", "a", "local", {}, work)
        end = time.monotonic() + 10
        while jobs.get(first.jid).phase != "EXECUTING" and time.monotonic() < end:
            time.sleep(0.01)
        for _ in range(50):
            jobs.start("a", "a", "local", {}, work)
        with pytest.raises(TransientError) as found:
            jobs.start("a", "a", "local", {}, work)
        assert found.value.code == "busy"
    finally:
        hold.set()
        jobs.close()
