"""Background jobs: what a client does with one, and what a server that ends does to it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serve_client import TOKEN
from vo_site import stilts

from spectrarium.people import People
from spectrarium.publish.publisher import Publisher
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


def send(url: str, token: str | None = None, **params: str) -> httpx.Response:
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
    {"QUERY": "x" * 200_000}, {"RUNID": ["a", "b"]},
])  # fmt: skip
def test_malformed_creations(vo, params):
    assert vo.post("/tap/async", data={**QUERY, **params}).status_code == 400


def test_malformed_changes_change_nothing(vo):
    url = create(vo)
    for params in ({"PHASE": "PAUSE"}, {"ACTION": "KEEP"}, {"DESTRUCTION": "soon"}):
        assert send(url, **params).status_code == 400
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


def test_tables_come_along(vo):
    table = ("<VOTABLE version='1.3' xmlns='http://www.ivoa.net/xml/VOTable/v1.3'><RESOURCE><TABLE>"
             "<FIELD name='a' datatype='int'/><DATA><TABLEDATA><TR><TD>7</TD></TR></TABLEDATA>"
             "</DATA></TABLE></RESOURCE></VOTABLE>")  # fmt: skip
    answer = vo.post("/tap/async", data={
        "LANG": "ADQL", "QUERY": "SELECT a + 1 AS b FROM tap_upload.mine", "PHASE": "RUN",
        "UPLOAD": "mine,param:t", "RESPONSEFORMAT": "csv",
    }, files={"t": ("t.vot", table.encode())})  # fmt: skip
    url = answer.headers["location"]
    assert ended(url) == "COMPLETED", ask(url).text
    assert ask(f"{url}/results/result").text.split() == ["b", "8"]


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


def test_too_many_jobs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("spectrarium.serve.vo_jobs.OWNER_MOST", 2)
    jobs = _store(tmp_path, lambda work: [])
    for _ in range(2):
        jobs.create("tap", "", [], {}, Publisher(), duration_s=10)
    with pytest.raises(Exception, match="too many jobs"):
        jobs.create("tap", "", [], {}, Publisher(), duration_s=10)
    jobs.create("tap", "somebody", [], {}, Publisher(), duration_s=10)
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
