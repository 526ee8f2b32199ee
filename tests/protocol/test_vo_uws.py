"""Background jobs: what a client does with one, and what a server that ends does to it."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from serve_client import TOKEN
from vo_site import stilts

from spectrarium.domain.errors import UsageError
from spectrarium.people import People
from spectrarium.publish.publisher import Publisher
from spectrarium.publish.uws import Job
from spectrarium.serve.vo_jobs import Jobs

UWS = "{http://www.ivoa.net/xml/UWS/v1.0}"
QUERY = {"LANG": "ADQL", "QUERY": "SELECT TOP 5 obs_id, snr FROM ivoa.obscore ORDER BY snr"}
SLOW = ("SELECT count(*) FROM ivoa.obscore a, ivoa.obscore b, ivoa.obscore c, ivoa.obscore d, "
        "ivoa.obscore e WHERE a.snr + b.snr + c.snr + d.snr + e.snr < 0")  # fmt: skip


def create(vo: Any, token: str | None = None, **params: str) -> str:
    """Address of a new job."""
    answer = vo.post("/tap/async", token=token, data={**QUERY, **params})
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def ask(url: str, token: str | None = None, **params: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.get(url, params=params, headers=headers, timeout=90)


def send(url: str, token: str | None = None, **params: str | list[str]) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.post(url, data=params, headers=headers, timeout=60)


def phase(url: str) -> str:
    return ask(f"{url}/phase").text


def ended(url: str, seconds: float = 60.0) -> str:
    """The phase once the job has left those that pass."""
    end = time.monotonic() + seconds
    while (now := phase(url)) in ("QUEUED", "EXECUTING") and time.monotonic() < end:
        time.sleep(0.05)
    return now


def test_a_job_is_made_changed_run_and_read(vo, tmp_path):
    url = create(vo, RUNID="mine")
    assert phase(url) == "PENDING"
    assert send(f"{url}/parameters", MAXREC="3").status_code == 303
    tree = ET.fromstring(ask(url).content)
    said = {p.get("id"): p.text for p in tree.iter(f"{UWS}parameter")}
    assert said == {**QUERY, "MAXREC": "3"}
    assert tree.findtext(f"{UWS}runId") == "mine"
    assert send(f"{url}/phase", PHASE="RUN").status_code == 303
    assert ended(url) == "COMPLETED"
    done = ET.fromstring(ask(url).content)
    (result,) = done.iter(f"{UWS}result")
    got = ask(result.get("{http://www.w3.org/1999/xlink}href"))
    assert got.status_code == 200
    assert got.text.count("<TR>") in (0, 3)
    assert 'value="OVERFLOW"' in got.text
    assert send(f"{url}/parameters", MAXREC="4").status_code == 400
    for name in ("", "/parameters", "/results"):
        stilts("xsdvalidate", "uselocals=true", f"doc={url}{name}")
    assert ask(f"{url}/owner").text == ""
    assert int(ask(f"{url}/executionduration").text) == 3600
    assert httpx.delete(url).status_code == 303
    assert ask(url).status_code == 404


def test_waiting_ends_with_the_phase(vo):
    url = create(vo)
    start = time.monotonic()
    assert ask(url, WAIT="1").status_code == 200
    assert 0.8 < time.monotonic() - start < 20
    send(f"{url}/phase", PHASE="RUN")
    answer = ask(url, WAIT="60", PHASE="QUEUED")
    assert ET.fromstring(answer.content).findtext(f"{UWS}phase") in ("EXECUTING", "COMPLETED")
    ask(url, WAIT="-1", PHASE="EXECUTING")
    assert phase(url) == "COMPLETED"
    assert ask(url, WAIT="x").status_code == 400


def test_what_has_begun_is_not_changed_by_half(vo):
    url = create(vo, PHASE="RUN")
    assert ended(url) == "COMPLETED"
    before = ask(url).text
    for params in ({"PHASE": "RUN"}, {"MAXREC": "3"}, {"RUNID": "late"}):
        assert send(url, DESTRUCTION="2100-12-01", **params).status_code == 400
        assert ask(url).text == before
    assert send(url, DESTRUCTION="2001-01-01").status_code == 303
    assert ask(url).text != before


def test_what_goes_wrong_is_told(vo):
    url = create(vo, QUERY="SELECT nothing FROM nowhere", PHASE="RUN")
    assert ended(url) == "ERROR"
    assert "nowhere" in ET.fromstring(ask(url).content).findtext(f".//{UWS}message")
    error = ask(f"{url}/error")
    assert 'value="ERROR"' in error.text


def test_a_running_job_is_aborted(vo):
    url = create(vo, QUERY=SLOW, PHASE="RUN")
    end = time.monotonic() + 30
    while phase(url) == "QUEUED" and time.monotonic() < end:
        time.sleep(0.05)
    assert phase(url) == "EXECUTING"
    assert send(f"{url}/phase", PHASE="ABORT").status_code == 303
    assert ended(url) == "ABORTED"
    again = create(vo, PHASE="RUN")  # and the thread is free again
    assert ended(again) == "COMPLETED"


def test_a_job_that_takes_too_long_ends(vo):
    url = create(vo, QUERY=SLOW, EXECUTIONDURATION="1", PHASE="RUN")
    assert ended(url) == "ERROR"
    assert "it may take" in ask(url).text or "seconds" in ask(url).text


def test_lists_show_ones_own_jobs_only(vo):
    anonymous, mine = create(vo), create(vo, token=TOKEN)
    assert ask(vo.at("/tap/async")).text.count("<uws:jobref") == 0
    listed = ask(vo.at("/tap/async"), token=TOKEN).text
    assert mine.rsplit("/", 1)[1] in listed
    assert anonymous.rsplit("/", 1)[1] not in listed
    assert ask(mine).status_code == 404
    assert ask(mine, token=TOKEN).status_code == 200
    assert send(f"{mine}/phase", PHASE="RUN").status_code == 404
    assert httpx.delete(mine).status_code == 404
    path = Path(vo.site.archive.parent / "list.xml")
    path.write_text(listed)
    stilts("xsdvalidate", "uselocals=true", f"doc={path}")
    only = ask(vo.at("/tap/async"), token=TOKEN, PHASE="COMPLETED")
    assert mine.rsplit("/", 1)[1] not in only.text
    assert ask(vo.at("/tap/async"), token=TOKEN, LAST="1").text.count("<uws:jobref") == 1
    assert ask(vo.at("/tap/async"), token=TOKEN, AFTER="2100-01-01").text.count("jobref") == 0


@pytest.mark.parametrize("params", [
    {"PHASE": "GO"}, {"EXECUTIONDURATION": "long"}, {"EXECUTIONDURATION": "-1"},
    {"QUERY": "x" * 600_000}, {"RUNID": ["a", "b"]}, {"PHASE": ["RUN", "ABORT"]},
    {"EXECUTIONDURATION": ["1", "2"]}, {"EXECUTIONDURATION": "nan"}, {"DESTRUCTION": "soon"},
    {"DESTRUCTION": ["2030-01-01", "2031-01-01"]}, {"RUNID": "\x00"}, {"x" * 300: "1"},
    {"DESTRUCTION": "9" * 90_000}, {str(i): "x" for i in range(10_001)},
], ids=lambda p: str(p)[:40])  # fmt: skip
@pytest.mark.parametrize("kind", ["tap", "soda"])
def test_malformed_creations(vo, kind, params):
    def there() -> tuple[str, int]:
        return ask(vo.at(f"/{kind}/async"), token=TOKEN).text, vo.site.store.version

    before = there()
    for token in (None, TOKEN):
        answer = vo.post(f"/{kind}/async", token=token, data={**QUERY, **params})
        assert answer.status_code == 400
        assert 'name="QUERY_STATUS" value="ERROR"' in answer.text
    assert there() == before


def test_what_is_too_long_is_refused(vo):
    long = {f"P{i}": "x" * 90_000 for i in range(24)}
    before = ask(vo.at("/tap/async"), token=TOKEN).text
    assert vo.post("/tap/async", token=TOKEN, data={**QUERY, **long}).status_code == 413
    assert ask(vo.at("/tap/async"), token=TOKEN).text == before
    url = create(vo, **dict(list(long.items())[:20]))
    said = ask(url).text
    assert send(url, **{**dict(list(long.items())[20:]), "RUNID": "x"}).status_code == 413
    assert ask(url).text == said
    assert httpx.delete(url).status_code == 303


@pytest.mark.parametrize(("asked", "kept"), [
    ("+20", 20), ("+400", 30), ("2001-01-01", 0), (None, 7),
])  # fmt: skip
def test_a_job_is_kept_as_long_as_its_maker_says(vo, asked, kept):
    now = datetime.now(UTC)
    if asked is not None and asked[0] == "+":
        asked = (now + timedelta(days=int(asked))).strftime("%Y-%m-%dT%H:%M:%S")
    more = {} if asked is None else {"DESTRUCTION": asked}
    url = create(vo, token=TOKEN, **more)
    until = datetime.fromisoformat(ask(f"{url}/destruction", token=TOKEN).text)
    assert abs(until - now - timedelta(days=kept)) < timedelta(minutes=5)
    httpx.delete(url, headers={"Authorization": f"Bearer {TOKEN}"})


def test_malformed_changes_change_nothing(vo):
    url = create(vo)
    good = {"DESTRUCTION": "2100-12-01", "MAXREC": "7", "EXECUTIONDURATION": "9", "RUNID": "x"}
    before = ask(url).text
    for params in (
        {"PHASE": "PAUSE"}, {"ACTION": "KEEP"}, {"DESTRUCTION": "soon"}, {"RUNID": ["a", "b"]},
        {"EXECUTIONDURATION": "-1"}, {"EXECUTIONDURATION": ["1", "2"]}, {"PHASE": ["RUN", "GO"]},
        {"DESTRUCTION": ["2100-01-01", "2100-01-02"]}, {"MAXREC": "x" * 200_000},
    ):  # fmt: skip
        assert send(url, **{**good, **params}).status_code == 400
        assert ask(url).text == before
    assert phase(url) == "PENDING"
    for path in ("/nothing", "/results/result", "/results/../../jobs.sqlite", "/error"):
        assert ask(url + path).status_code == 404
    assert ask(vo.at("/tap/async/..%2F..%2Fjobs.sqlite")).status_code == 404
    for params in ({"PHASE": "NOW"}, {"LAST": "0"}, {"AFTER": "x"}):
        assert ask(vo.at("/tap/async"), token=TOKEN, **params).status_code == 400


def test_a_job_sees_what_its_owner_may_see(vo):
    hidden = "SELECT obs_id FROM ivoa.obscore WHERE obs_collection = 'SECRET'"
    for token, number in ((None, 0), (TOKEN, 2)):
        url = create(vo, token=token, QUERY=hidden, PHASE="RUN", RESPONSEFORMAT="csv")
        assert ask(f"{url}", token=token, WAIT="60", PHASE="QUEUED").status_code == 200
        ask(url, token=token, WAIT="60", PHASE="EXECUTING")
        got = ask(f"{url}/results/result", token=token)
        assert len(got.text.splitlines()) == number + 1


def votable(value: int) -> bytes:
    """A table of one column a and one row."""
    return (
        "<VOTABLE version='1.3' xmlns='http://www.ivoa.net/xml/VOTable/v1.3'><RESOURCE><TABLE>"
        f"<FIELD name='a' datatype='int'/><DATA><TABLEDATA><TR><TD>{value}</TD></TR></TABLEDATA>"
        "</DATA></TABLE></RESOURCE></VOTABLE>"
    ).encode()


def test_tables_come_along(vo):
    answer = vo.post("/tap/async", data={
        "LANG": "ADQL", "QUERY": "SELECT a + 1 AS b FROM tap_upload.mine", "PHASE": "RUN",
        "UPLOAD": "mine,param:t", "RESPONSEFORMAT": "csv",
    }, files={"t": ("t.vot", votable(7))})  # fmt: skip
    url = answer.headers["location"]
    assert ended(url) == "COMPLETED", ask(url).text
    assert ask(f"{url}/results/result").text.split() == ["b", "8"]


BOTH = {"QUERY": "SELECT m.a AS a, n.a AS b FROM tap_upload.mine AS m, tap_upload.more AS n",
        "RESPONSEFORMAT": "csv"}  # fmt: skip


@pytest.mark.parametrize("plain", [False, True], ids=["files", "fields"])
def test_tables_come_to_a_job_that_waits(vo, plain):
    def bring(name: str, part: str, value: int, where: str = "/parameters") -> httpx.Response:
        content = (None, votable(value)) if plain else ("t.vot", votable(value))
        return httpx.post(url + where, data={"UPLOAD": f"{name},param:{part}"},
                          files={part: content}, timeout=60)  # fmt: skip

    url = create(vo, **BOTH)
    assert bring("mine", "t", 7).status_code == 303
    assert bring("more", "u", 1, where="").status_code == 303  # joins the first
    assert bring("MORE", "u", 8).status_code == 303  # instead of the second
    said = [p.text for p in ET.fromstring(ask(url).content).iter(f"{UWS}parameter")
            if p.get("id") == "UPLOAD"]  # fmt: skip
    assert said == ["mine,param:t", "MORE,param:u"]
    send(f"{url}/phase", PHASE="RUN")
    assert ended(url) == "COMPLETED", ask(url).text
    assert ask(f"{url}/results/result").text.split() == ["a,b", "7,8"]
    late = bring("mine", "t", 9)
    assert late.status_code == 400
    assert "cannot be changed" in late.text
    assert ask(f"{url}/results/result").text.split() == ["a,b", "7,8"]


def test_pyvo_uploads_to_a_job_that_waits(vo):
    import pyvo
    from astropy.table import Table

    job = pyvo.dal.TAPService(vo.at("/tap")).submit_job(BOTH["QUERY"])
    job.upload(mine=Table({"a": [7]}))
    job.upload(more=Table({"a": [8]}))
    job.run()
    job.wait(phases=["COMPLETED", "ERROR"], timeout=60)
    job.raise_if_error()
    assert [tuple(r.values()) for r in job.fetch_result()] == [(7, 8)]
    job.delete()


def test_pyvo_and_stilts(vo, tmp_path):
    import pyvo

    job = pyvo.dal.TAPService(vo.at("/tap")).submit_job(QUERY["QUERY"])
    job.run()
    job.wait(phases=["COMPLETED", "ERROR"], timeout=60)
    assert len(job.fetch_result()) == 5
    job.delete()
    out = tmp_path / "out.csv"
    stilts("tapquery", f"tapurl={vo.at('/tap')}", "sync=false", "poll=200",
           f"adql={QUERY['QUERY']}", f"out={out}", "ofmt=csv")  # fmt: skip
    assert len(out.read_text().splitlines()) == 6


def test_cut_outs_as_a_job(vo):
    store = vo.site.store
    found = store.catalogue(store.find("obs_collection = 'MOCK'")[:2]).to_pylist()
    dids = [Publisher(authority="org.example.test").did(r) for r in found]
    answer = vo.post("/soda/async", data={"ID": dids, "BAND": "5e-7 5.2e-7", "PHASE": "RUN"})
    url = answer.headers["location"]
    assert ended(url) == "COMPLETED", ask(url).text
    results = [r.get("id") for r in ET.fromstring(ask(url).content).iter(f"{UWS}result")]
    assert len(results) == 2
    for name in results:
        assert "VOTABLE" in ask(f"{url}/results/{name}").text


# what outlives what ---------------------------------------------------------------------------


def _store(folder: Path, work: Any) -> Jobs:
    return Jobs(folder, {"tap": work}, lambda _: None)  # type: ignore[arg-type, return-value]


def test_past_its_time_a_job_is_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr("spectrarium.serve.vo_jobs.SWEEP_S", 0.05)
    jobs = _store(tmp_path, lambda work: [])
    job = jobs.create("tap", "", [], {}, Publisher(), duration_s=10)
    jobs.keep_until(job, 0.0)
    end = time.monotonic() + 20
    while list(tmp_path.glob(job.id)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not list(tmp_path.glob(job.id))
    jobs.close()


def test_tables_of_a_job_outlive_a_server(tmp_path, monkeypatch):
    seen = []
    jobs = _store(tmp_path, lambda work: [])
    job = jobs.create("tap", "", [], {"a": b"1"}, Publisher(), duration_s=10)
    jobs.bring(job, {"b": b"2"})
    jobs.bring(job, {"a": b"33", "c": b"4"})
    jobs.close()
    jobs = _store(tmp_path, lambda work: seen.append(work.files) or [])
    monkeypatch.setattr("spectrarium.serve.vo_jobs.UPLOADS_MOST", 6)
    jobs.bring(job, {"a": b"5555"})  # in place of two bytes
    monkeypatch.setattr("spectrarium.serve.vo_jobs.TABLES_MOST", 3)
    for more in ({"b": b"222"}, {"d": b""}):
        with pytest.raises(UsageError, match="too large"):
            jobs.bring(job, more)
    jobs.run(job)
    end = time.monotonic() + 20
    while not seen and time.monotonic() < end:
        time.sleep(0.02)
    assert seen == [{"a": b"5555", "b": b"2", "c": b"4"}]
    with pytest.raises(UsageError, match="cannot be changed"):  # what `job` says is out of date
        jobs.bring(job, {"a": b"6"})
    jobs.close()


def test_too_many_jobs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("spectrarium.serve.vo_jobs.OWNER_MOST", 2)
    jobs = _store(tmp_path, lambda work: [])
    for _ in range(2):
        jobs.create("tap", "somebody", [], {}, Publisher(), duration_s=10)
    with pytest.raises(UsageError, match="too many jobs"):
        jobs.create("tap", "somebody", [], {}, Publisher(), duration_s=10)
    jobs.create("tap", "another", [], {}, Publisher(), duration_s=10)
    jobs.close()


def _guest(jobs: Jobs, client: str, files: dict[str, bytes] | None = None) -> Job:
    return jobs.create("tap", "", [], files or {}, Publisher(), duration_s=10, client=client)


def _left(jobs: Jobs, made: list[Job]) -> list[bool]:
    def there(job: Job) -> bool:
        with suppress(UsageError):
            return bool(jobs.get("tap", job.id, ""))
        return False

    return [there(job) for job in made]


def test_a_guest_leaves_room_for_others(tmp_path, monkeypatch):
    """What is in the way and was never run goes; what was run stays, and keeps others out."""
    monkeypatch.setattr("spectrarium.serve.vo_jobs.OWNER_MOST", 4)
    monkeypatch.setattr("spectrarium.serve.vo_guests.CLIENT_MOST", 3)
    jobs = _store(tmp_path, lambda work: [])
    made = [_guest(jobs, "a") for _ in range(4)]  # the fourth takes the place of the first
    assert _left(jobs, made) == [False, True, True, True]
    assert not (tmp_path / made[0].id).exists()
    made += [_guest(jobs, client) for client in ("b", "c")]  # c's takes that of the oldest of all
    assert _left(jobs, made) == [False, False, True, True, True, True]
    for job in made[2:]:
        jobs.run(job)
    for client in ("a", "d", ""):
        with pytest.raises(UsageError, match="too many jobs"):
            _guest(jobs, client)
    assert _left(jobs, made) == [False, False, True, True, True, True]
    jobs.create("tap", "somebody", [], {}, Publisher(), duration_s=10)
    jobs.close()


def test_tables_of_guests_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("spectrarium.serve.vo_guests.CLIENT_BYTES", 10)
    monkeypatch.setattr("spectrarium.serve.vo_guests.BYTES_MOST", 15)
    jobs = _store(tmp_path, lambda work: [])
    made = [_guest(jobs, "a", {"t": b"1234"}), _guest(jobs, "a", {"t": b"1234"})]
    jobs.bring(made[1], {"u": b"123"})  # 11 bytes of one guest
    assert _left(jobs, made) == [False, True]
    jobs.bring(made[1], {"u": b"1"})  # instead of three
    made += [_guest(jobs, "b", {"t": b"1234567890"})]
    assert _left(jobs, made) == [False, True, True]
    made += [_guest(jobs, "c", {"t": b"1"})]
    assert _left(jobs, made) == [False, False, True, True]
    with pytest.raises(UsageError, match="too many jobs"):
        _guest(jobs, "c", {"t": b"12345678901"})
    with pytest.raises(UsageError, match="too many jobs"):
        jobs.bring(made[3], {"t": b"12345678901"})
    assert jobs.upload(made[3], "t") == b"1"
    jobs.close()


def test_what_a_guest_never_runs_is_kept_for_an_hour(tmp_path, monkeypatch):
    monkeypatch.setattr("spectrarium.serve.vo_jobs.SWEEP_S", 0.05)
    jobs = _store(tmp_path, lambda work: [])
    run, mine, idle = _guest(jobs, "a"), jobs.create(
        "tap", "somebody", [], {}, Publisher(), duration_s=10), _guest(jobs, "a")  # fmt: skip
    assert idle.destruction == idle.created + 3600
    jobs.run(run)
    run = jobs.wait("tap", run.id, "", "QUEUED", 20)
    assert run.destruction > run.created + 86_400
    monkeypatch.setattr("spectrarium.serve.vo_guests.PENDING_S", 0.1)
    end = time.monotonic() + 20
    while any(_left(jobs, [idle])) and time.monotonic() < end:
        time.sleep(0.02)
    assert _left(jobs, [run, idle]) == [True, False]
    assert jobs.get("tap", mine.id, "somebody").phase == "PENDING"
    jobs.close()


def test_a_file_of_an_earlier_server_goes_on(tmp_path):
    jobs = _store(tmp_path, lambda work: [])
    job = _guest(jobs, "a", {"t": b"1"})
    jobs.close()
    with sqlite3.connect(tmp_path / "jobs.sqlite") as db:
        for column in ("client", "brought"):
            db.execute(f"ALTER TABLE jobs DROP COLUMN {column}")
    db.close()
    jobs = _store(tmp_path, lambda work: [])
    assert jobs.upload(jobs.get("tap", job.id, ""), "t") == b"1"
    assert _left(jobs, [job, _guest(jobs, "a")]) == [True, True]
    jobs.close()


@pytest.fixture
def served(site, tmp_path) -> Iterator[Any]:
    """Starts servers over one folder of jobs, as processes."""
    people = People(tmp_path / "people.sqlite")
    people.close()
    running: list[subprocess.Popen[str]] = []

    def start() -> str:
        command = [sys.executable, "-m", "spectrarium.cli.main", "serve", "--archive",
                   str(site.archive), "--people", str(tmp_path / "people.sqlite"), "--port", "0",
                   "--no-browser"]  # fmt: skip
        env = {**os.environ, "SPECTRARIUM_VO_JOBS": str(tmp_path / "jobs"), "OMP_NUM_THREADS": "1"}
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env))
        for line in running[-1].stdout or ():
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                return found[0]
        raise AssertionError("the server did not start")

    def kill() -> None:
        running[-1].send_signal(signal.SIGKILL)
        running[-1].wait(20)

    yield start, kill
    for one in running:
        one.kill()
        one.wait(20)


def test_jobs_outlive_a_server_that_is_killed(served):
    start, kill = served
    base = start()
    jobs = [httpx.post(f"{base}/vo/tap/async", data={**QUERY, "QUERY": SLOW, "PHASE": "RUN"})
            for _ in range(2)]  # both threads have work that never ends  # fmt: skip
    waiting = httpx.post(f"{base}/vo/tap/async", data={**QUERY, "PHASE": "RUN"})
    idle = httpx.post(f"{base}/vo/tap/async", data=QUERY)
    ids = [a.headers["location"].rsplit("/", 1)[1] for a in (*jobs, waiting, idle)]
    end = time.monotonic() + 30
    while phase(f"{base}/vo/tap/async/{ids[1]}") == "QUEUED" and time.monotonic() < end:
        time.sleep(0.05)
    kill()
    base = start()
    urls = [f"{base}/vo/tap/async/{id}" for id in ids]
    assert phase(urls[3]) == "PENDING"
    for url in urls[:2]:  # they run again, and are let go
        assert phase(url) in ("QUEUED", "EXECUTING")
        send(f"{url}/phase", PHASE="ABORT")
    assert ended(urls[2]) == "COMPLETED"
