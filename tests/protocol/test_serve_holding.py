"""What the server holds open and computes once."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from serve_client import WRITE, error
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import spectrarium as sp
from spectrarium.domain.errors import UsageError
from spectrarium.domain.visibility import EVERYTHING, Visibility
from spectrarium.serve.answers import json_bytes, safe_name
from spectrarium.serve.app import create_app
from spectrarium.serve.asking import in_turn
from spectrarium.serve.compression import takes_gzip
from spectrarium.serve.fields import Fields
from spectrarium.serve.holding import Cache, Holdings, size_of


def test_of_many_who_ask_one_computes():
    cache, made = Cache(), []

    def make():
        made.append(1)
        time.sleep(0.1)
        return "value"

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: cache.get("key", make), range(8)))
    assert found == ["value"] * 8
    assert made == [1]


def test_errors_are_told_to_all_who_wait_and_not_kept():
    cache, gate = Cache(), threading.Event()

    def bad():
        gate.wait(5)
        raise UsageError("no", code="nope")

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(cache.get, "key", bad) for _ in range(4)]
        gate.set()
        assert [f.exception(10).code for f in waiting] == ["nope"] * 4
    assert cache.get("key", lambda: 1) == 1


def test_what_is_kept_has_a_limit():
    cache = Cache(limit=10_000)
    for i in range(10):
        cache.get(i, lambda: np.zeros(500))
    assert cache.bytes <= 10_000
    made = []
    cache.get(9, lambda: made.append(1))
    cache.get(0, lambda: made.append(1))
    assert made == [1]
    assert cache.get("huge", lambda: np.zeros(10**6)).size == 10**6  # answered, the others go
    assert size_of([np.zeros(10), "x", {"a": (1, None)}, EVERYTHING]) > 80


def test_a_new_version_is_seen_and_the_old_one_goes_on(fresh):
    holdings = Holdings(fresh.archive)
    old = holdings.newest(EVERYTHING)
    assert holdings.newest(EVERYTHING) is old
    count = len(old.archive)
    archive = sp.open(fresh.archive)
    spectrum = archive.store.read_rows([0])[0]
    archive.ingest(spectrum.replace(flux=spectrum.flux + 1))
    new = holdings.newest(EVERYTHING)
    assert new.version == archive.store.version > old.version
    assert len(old.archive) == count
    assert old.archive.read_rows([0])[0].flux.size


def test_eyes_are_kept_apart(site):
    holdings = Holdings(site.archive)
    some = Visibility(hidden=frozenset({"SECRET"}))
    all_, part = holdings.newest(EVERYTHING), holdings.newest(some)
    assert len(all_.archive) == len(part.archive) + 2
    assert all_.cached("n", lambda: len(all_.archive)) != part.cached(
        "n", lambda: len(part.archive)
    )
    assert holdings.newest(Visibility(hidden=frozenset({"SECRET"}))) is part


@pytest.mark.parametrize("most", [0, 10**6])
def test_a_catalogue_is_the_same_from_memory_and_off_the_disk(site, monkeypatch, most):
    monkeypatch.setattr("spectrarium.serve.holding.IN_MEMORY_ROWS", most)
    columns = ["obs_id", "target_name", "s_ra", "em_xel", "access_path"]
    for eyes in (EVERYTHING, Visibility(hidden=frozenset({"SECRET"}))):
        holding = Holdings(site.archive).newest(eyes)
        rows = holding.archive.find(None)[::-1][:7]
        found = holding.catalogue(rows, columns)
        assert found.to_pylist() == holding.archive.catalogue(rows, columns).to_pylist()
        assert holding.catalogue(rows[:0], columns).num_rows == 0
        assert holding.catalogue(rows[:0], columns).schema.names == columns


def test_what_may_not_be_seen_is_not_told_from_memory(site):
    everything = Holdings(site.archive).newest(EVERYTHING)
    secret = np.setdiff1d(
        everything.archive.find(None),
        Holdings(site.archive).newest(Visibility(hidden=frozenset({"SECRET"}))).archive.find(None),
    )
    part = Holdings(site.archive).newest(Visibility(hidden=frozenset({"SECRET"})))
    assert len(secret)
    assert set(part.catalogue(secret, ["obs_id", "s_ra"]).column("obs_id").to_pylist()) == {None}


def test_an_archive_that_is_gone_is_told(fresh):
    with fresh.client() as client:
        assert client.get("/api/archive").status_code == 200
        (fresh.archive / "manifest.json").rename(fresh.archive / "elsewhere.json")
        found = error(client.get("/api/archive"), 404, "no_archive")
        assert str(fresh.archive.parent) not in str(found)
        (fresh.archive / "elsewhere.json").rename(fresh.archive / "manifest.json")
        assert client.get("/api/archive").status_code == 200


def test_services_take_turns_unless_one_takes_long(desk, monkeypatch):
    """Short answers one after another; a long one does not keep them waiting."""
    now, most, times = [0], [0], {}
    lock = threading.Lock()

    def work(request, body):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(float(request.query_params["s"]))
        with lock:
            now[0] -= 1
        return PlainTextResponse("done")

    app = create_app(desk.archive, desk.people)
    app.router.routes.insert(0, Route("/vo/work", in_turn(work, services=True)))
    with TestClient(app, base_url="http://127.0.0.1") as client:

        def ask(seconds):
            began = time.monotonic()
            assert client.get("/vo/work", params={"s": seconds}).status_code == 200
            times.setdefault(seconds, []).append(time.monotonic() - began)

        # however busy the machine is, none of these takes long
        monkeypatch.setattr("spectrarium.serve.asking.SHORT_S", 60.0)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, [0.004] * 40))
        assert most[0] == 1
        monkeypatch.undo()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, [1.5, 1.5, *[0.01] * 6]))
        assert max(times[0.01]) < 1.0
        assert max(times[1.5]) < 2.5  # both at once
        assert most[0] <= 4


def test_where_too_many_wait_the_next_is_sent_away(desk, monkeypatch):
    for name in ("WAITING", "QUICK_WAITING"):
        monkeypatch.setattr(f"spectrarium.serve.asking.{name}", 0)
    with desk.client() as client:
        answer = client.get("/api/archive")
        error(answer, 503, "busy")
        assert answer.headers["retry-after"]


def test_a_defect_is_logged_and_tells_nothing(desk, monkeypatch, caplog):
    def broken(archive):
        raise RuntimeError("secret: /etc/passwd")

    monkeypatch.setattr("spectrarium.serve.routes_archive.overview", broken)
    with desk.client() as client:
        answer = client.get("/api/archive")
        error(answer, 500, "internal")
        assert "secret" not in answer.text
        assert "secret" in caplog.text
        assert client.post("/api/sign-out", headers=WRITE).status_code == 200


# values ---------------------------------------------------------------------------------------


def test_json_holds_no_nan_and_no_integer_that_browsers_round():
    value = {
        "a": math.nan, "b": np.float32(0.1), "c": np.array([1.5, np.inf]), "uid": 7,
        "d": 2**60, "uids": [1], "e": np.array([[0.1, np.nan]], np.float32), "f": b"\xff",
        "g": {"uid": np.int64(-5)}, "h": np.bool_(True), "i": EVERYTHING, "j": "\ud800",
    }  # fmt: skip
    text = json_bytes(value).decode()
    assert "NaN" not in text
    assert "Infinity" not in text
    for part in ('"a":null', '"b":0.1,', '"c":[1.5,null]', '"uid":"7"', f'"d":"{2**60}"',
                 '"uids":["1"]', '"e":[[0.1,null]]', '"uid":"-5"', '"h":true'):  # fmt: skip
        assert part in text, part


@pytest.mark.parametrize(("name", "plain"), [
    ("a b/c\\..\\d.csv", "a_b_c_.._d.csv"), ("../../etc/passwd", "etc_passwd"), ("", "spectrum"),
    ("x\r\nSet-Cookie: y", "x_Set-Cookie_y"), ("é" * 200, "é" * 120),
])  # fmt: skip
def test_names_of_files_are_harmless(name, plain):
    assert safe_name(name) == plain


@pytest.mark.parametrize(("header", "taken"), [
    ("gzip", True), ("br, gzip;q=0.5", True), ("*", True), ("gzip;q=0", False), ("br", False),
    ("", False),
])  # fmt: skip
def test_gzip_is_sent_to_who_takes_it(header, taken):
    assert takes_gzip(header) is taken


@pytest.mark.parametrize("ask", [
    lambda f: f.integer("text"), lambda f: f.integer("huge"), lambda f: f.number("nan"),
    lambda f: f.number("text"), lambda f: f.flag("text"), lambda f: f.choice("text", ["a"]),
    lambda f: f.integer("one", least=2), lambda f: f.number("one", most=0.5),
    lambda f: f.text("none", ...), lambda f: f.text("nul"), lambda f: f.text("text", most=2),
    lambda f: f.interval("text"), lambda f: f.interval("two"), lambda f: f.integers("text"),
    lambda f: f.words("list", most=1), lambda f: f.integer("true"), lambda f: f.text("one"),
    lambda f: f.numbers("many", most=3),
])  # fmt: skip
def test_parameters_are_checked(ask):
    fields = Fields({
        "text": "abc", "huge": "1" * 30, "nan": "nan", "one": 1, "nul": "a\x00", "two": "5,4",
        "list": ["a", "b"], "true": True, "many": "1,2,3,4",
    })  # fmt: skip
    with pytest.raises(UsageError) as found:
        ask(fields)
    assert found.value.code == "bad_parameter"
