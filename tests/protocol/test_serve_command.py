"""``spectrarium serve`` as a process: starts, answers, ends; no test of these can hang."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import numpy as np
import pytest
from embedding_cases import spectrum
from serve_client import TOKEN, Site

import spectrarium as sp
from spectrarium.domain.observation import Observation
from spectrarium.people import People

PROGRAM = [sys.executable, "-m", "spectrarium.cli.main", "serve"]
DEADLINE_S = 90.0


class Server:
    """A server process whose output is read by a thread, so that waiting has an end."""

    def __init__(self, *words: str, **environment: str) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("SPECTRARIUM_")}
        self.process = subprocess.Popen(
            [*PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=clean | {"PYTHONUNBUFFERED": "1"} | environment,
        )  # fmt: skip
        self.said: list[str] = []
        self.url = ""
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.said.append(line)
            found = re.search(r"http://\S+:\d+", line)
            if found and not self.url:
                self.url = found[0]
                self._ready.set()
        self._ready.set()

    def ready(self) -> str:
        """Its address, once it answers there."""
        assert self._ready.wait(DEADLINE_S), "it says nothing"
        assert self.url, self.text
        return self.url

    @property
    def text(self) -> str:
        """What it said."""
        return "".join(self.said)

    def get(self, path: str, **headers: str) -> bytes:
        """The body at a path."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        asked = urllib.request.Request(self.ready() + path, headers=headers)
        with opener.open(asked, timeout=60) as answer:
            return answer.read()

    def raw(self, request: bytes, wait_s: float = 20.0) -> bytes:
        """What comes back for bytes that no client library would send."""
        with self.connected() as connection:
            connection.settimeout(wait_s)
            connection.sendall(request)
            got = b""
            with contextlib.suppress(OSError):
                while part := connection.recv(65536):
                    got += part
            return got

    def connected(self) -> socket.socket:
        """A connection to it."""
        port = int(self.ready().rpartition(":")[2])
        return socket.create_connection(("127.0.0.1", port), timeout=20)

    def ends(self, number: int = signal.SIGINT, within_s: float = 30.0) -> tuple[int, float]:
        """(exit code, seconds) after a signal."""
        began = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(within_s)
        took = time.monotonic() - began
        self._reader.join(10)
        return code, took

    def over(self) -> int:
        """Its exit code where it ends by itself."""
        code = self.process.wait(DEADLINE_S)
        self._reader.join(10)
        return code


@contextlib.contextmanager
def serving(*words: str, **environment: str) -> Iterator[Server]:
    """A server that is gone afterwards, whatever happens."""
    server = Server(*words, **environment)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait(20)
        if server.process.stdout:
            server.process.stdout.close()


def words(site: Site, *more: str) -> list[str]:
    """An archive, any free port, no browser."""
    return ["--archive", str(site.archive), "--people", str(site.people), "--port", "0",
            "--no-browser", *more]  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_and_ends_quietly(desk, number):
    with serving(*words(desk)) as server:
        assert server.ready().startswith("http://127.0.0.1:")
        facts = json.loads(server.get("/api/archive"))
        assert facts["count"] == 100
        assert facts["user"]["rights"] == ["operate", "judge", "save"]
        code, _ = server.ends(number)
        assert code == 0, server.text
        assert "Traceback" not in server.text
        assert "Error" not in server.text


def test_it_ends_soon_with_open_connections_and_running_jobs(fresh):
    with serving(*words(fresh)) as server:
        write = {"X-Spectrarium": "1", "Content-Type": "application/json"}
        idle = server.connected()
        half = server.connected()
        half.sendall(b"POST /api/selections HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Spectrarium: 1\r\n"
                     b"Content-Length: 1000\r\n\r\n{")  # fmt: skip
        body = json.dumps({"kind": "score", "params": {"score": "weirdness"}}).encode()
        for kind in (body, b'{"kind": "map", "params": {"refit": true, "seed": 9}}'):
            asked = urllib.request.Request(f"{server.ready()}/api/jobs", kind, write)
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with contextlib.suppress(urllib.error.HTTPError):
                opener.open(asked, timeout=30).close()
        time.sleep(0.5)
        code, took = server.ends()
        assert code == 0, server.text
        assert took < 10, took  # two seconds on a machine that is not busy
        assert "Traceback" not in server.text
        idle.close()
        half.close()
    with serving(*words(fresh)) as server:
        jobs = json.loads(server.get("/api/jobs"))["jobs"]
        assert jobs
        assert {j["phase"] for j in jobs} <= {"ABORTED", "COMPLETED", "ERROR"}
        assert server.ends()[0] == 0


def test_a_taken_port_is_told(desk):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with serving(*words(desk)[:-3], "--port", port, "--no-browser") as server:
            assert server.over() == 2
            assert "port_taken" in server.text
            assert "--port" in server.text
            assert "Traceback" not in server.text


@pytest.mark.parametrize(("more", "code"), [
    (["--host", "0.0.0.0"], "token_needed"), (["--token", "short"], "weak_token"),
    (["--url", "https://survey.example.org", "--authority", "survey.example.org", "--contact",
      "a@example.org"], "token_needed"), (["--name", "survey.example.org"], "token_needed"),
    (["--host", "no.such.host.invalid", "--token", TOKEN], "no_such_host"),
    (["--port", "99999"], "99999"), (["--archive", "nowhere"], "no_archive"),
])  # fmt: skip
def test_what_cannot_be_served_is_told(desk, more, code):
    with serving(*words(desk, *more)) as server:
        assert server.over() == 2
        assert code in server.text
        assert "Traceback" not in server.text


def test_settings_come_from_the_environment(desk):
    with serving(*words(desk), SPECTRARIUM_TOKEN=TOKEN) as server:
        with pytest.raises(urllib.error.HTTPError) as found:
            server.get("/api/archive")
        assert found.value.code == 401
        found.value.close()
        facts = json.loads(server.get("/api/archive", Authorization=f"Bearer {TOKEN}"))
        assert facts["count"] == 100
        assert TOKEN not in server.text
        assert server.ends()[0] == 0
    for refused in ({"SPECTRARIUM_PORT": "many"}, {"SPECTRARIUM_NAMES": "[a.org"}):
        with serving(*words(desk), **refused) as server:
            assert server.over() == 2
            assert "bad_setting" in server.text
            assert next(iter(refused)) in server.text
    listed = {"SPECTRARIUM_NAMES": "a.org, b.org", "SPECTRARIUM_TOKEN": TOKEN}
    with serving(*words(desk), **listed) as server:
        asked = {"Host": "b.org", "Authorization": f"Bearer {TOKEN}"}
        assert json.loads(server.get("/api/archive", **asked))["count"] == 100
    del listed["SPECTRARIUM_TOKEN"]
    with serving(*words(desk), **listed) as server:
        assert server.over() == 2
        assert "token_needed" in server.text


def test_collections_that_no_registry_takes_are_told_at_the_start(fresh):
    names = ("My Survey", "Étoiles", "Archive", "MOCK")
    with People(fresh.people) as people:
        for name in (*names, "Not There"):
            people.collections.declare(name, "public")
    archive = sp.open(fresh.archive)
    wave = np.linspace(4000.0, 7000.0, 600)
    archive.ingest([spectrum(wave, np.ones(600), observation=Observation(name, obs_id="1"))
                    for name in names[:3]], workers=0)  # fmt: skip
    who = ["--authority", "org.example.test", "--contact", "a@example.org", "--token", TOKEN]
    with serving(*words(fresh, *who)) as server:
        feed = server.get("/vo/registry?verb=ListRecords&metadataPrefix=ivo_vor").decode()
        assert server.ends()[0] == 0
        for name in names[:3]:
            assert f"the collection {name!r} can have no record" in server.text
            assert f"{name} in Spectrarium archive" not in feed
        assert server.text.count("can have no record") == 3
        assert "MOCK in Spectrarium archive" in feed
    with serving(*words(fresh)) as server:
        assert server.ready()
        assert server.ends()[0] == 0
        assert "can have no record" not in server.text


def test_raw_requests_find_no_way_around(desk):
    host = b"Host: 127.0.0.1\r\nConnection: close\r\n"
    with serving(*words(desk)) as server:
        for path in (b"/assets/../../app.py", b"/../../../../etc/passwd", b"//etc/passwd",
                     b"/assets/..%2f..%2fapp.py", b"/assets/%2e%2e/app.py",
                     b"/assets/....//app.py"):  # fmt: skip
            answer = server.raw(b"GET " + path + b" HTTP/1.1\r\n" + host + b"\r\n")
            assert b"import" not in answer
            assert b"root:" not in answer
            assert answer.split(b" ", 2)[1] in (b"200", b"400", b"404"), answer
            if b" 200 " in answer[:20]:
                assert b"<!doctype html>" in answer or b"not built" in answer
        absolute = b"GET http://evil.example/api/archive HTTP/1.1\r\n" + host + b"\r\n"
        assert b"MOCK" not in server.raw(absolute) or b"200" in server.raw(absolute)[:20]
        nameless = server.raw(b"GET /api/archive HTTP/1.0\r\n\r\n")
        assert b" 421 " in nameless[:20]
        two = server.raw(b"GET /api/archive HTTP/1.1\r\nHost: a\r\n" + host + b"\r\n")
        assert b" 200 " not in two[:20]
        assert b" 400 " in server.raw(b"NONSENSE\r\n\r\n")[:20]
        huge = server.raw(b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n" + host + b"\r\n")
        assert b" 200 " not in huge[:20]
        assert json.loads(server.get("/api/archive"))["count"] == 100
        assert server.ends()[0] == 0


@pytest.mark.slow
def test_slow_clients_are_hung_up_on(desk):
    with serving(*words(desk)) as server:
        began = time.monotonic()
        assert server.raw(b"GET /api/archive HTTP/1.1\r\nHost: 127", 60) == b""
        assert 10 < time.monotonic() - began < 40
        slow = server.raw(b"POST /api/selections HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                          b"X-Spectrarium: 1\r\nConnection: close\r\n"
                          b"Content-Length: 1000\r\n\r\n{", 60)  # fmt: skip
        assert b" 408 " in slow[:20]
        assert b"too_slow" in slow
        assert server.ends()[0] == 0


def test_an_open_page_works_on_with_a_new_server(desk):
    """The cookie that one server gave is good for the next, at the same port."""
    with serving(*words(desk), SPECTRARIUM_TOKEN=TOKEN) as server:
        body = json.dumps({"token": TOKEN}).encode()
        asked = urllib.request.Request(f"{server.ready()}/api/sign-in", body,
                                       {"X-Spectrarium": "1"})  # fmt: skip
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(asked, timeout=30) as answer:
            cookie = answer.headers["Set-Cookie"].split(";")[0]
        port = server.ready().rpartition(":")[2]
        assert json.loads(server.get("/api/archive", Cookie=cookie))["user"]["name"] == "local"
        assert server.ends()[0] == 0
    again = [*words(desk)[:-3], "--port", port, "--no-browser"]
    with serving(*again, SPECTRARIUM_TOKEN=TOKEN) as server:
        assert json.loads(server.get("/api/archive", Cookie=cookie))["user"]["name"] == "local"
        assert server.ends()[0] == 0
