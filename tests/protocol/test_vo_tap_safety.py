"""Queries that mean harm, or never end, do none and are ended; nobody else notices."""

from __future__ import annotations

import random
import socket
import threading
import time
import urllib.parse
from typing import Any

import httpx
import pytest
from serve_client import TOKEN
from starlette.requests import Request
from test_vo_tap import ask, records, refusal, table
from vo_site import SETTINGS, Vo, serving

from spectrarium.domain.errors import SpectrariumError, TransientError, UsageError
from spectrarium.publish.publisher import Publisher
from spectrarium.publish.tap import Engine, Query
from spectrarium.publish.tap_results import format_named, written
from spectrarium.publish.tap_store import StoreLimits
from spectrarium.publish.tap_tables import ArchiveTables
from spectrarium.publish.tap_watch import _WATCHER
from spectrarium.serve.running import PatientProtocol
from spectrarium.serve.visitors import client_of
from spectrarium.serve.vo_settings import VoSettings
from spectrarium.serve.vo_tap import Engines

CROSSED = ", ".join(f"spectra.observations AS t{i}" for i in range(7))
FOREVER = f"SELECT count(*) AS n FROM {CROSSED}"

HOSTILE = (
    "DROP TABLE ivoa.obscore", "INSERT INTO ivoa.obscore (obs_id) VALUES ('x')",
    "UPDATE ivoa.obscore SET obs_id = 'x'", "DELETE FROM ivoa.obscore",
    "CREATE TABLE ivoa.x AS SELECT 1", "ALTER TABLE ivoa.obscore DROP COLUMN obs_id",
    "ATTACH '/etc/passwd' AS p", "COPY ivoa.obscore TO '/tmp/x.csv'", "INSTALL httpfs",
    "LOAD 'httpfs'", "PRAGMA database_list", "SET memory_limit = '1TB'", "RESET ALL", "CALL pi()",
    "EXPLAIN SELECT * FROM ivoa.obscore", "DESCRIBE ivoa.obscore", "SHOW TABLES", "VACUUM",
    "EXPORT DATABASE '/tmp/x'", "SELECT 1 FROM ivoa.obscore; DROP TABLE ivoa.obscore",
    "FROM ivoa.obscore", "TABLE ivoa.obscore", "VALUES (1)",
    "SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_text('/etc/passwd')", 'SELECT * FROM "/etc/passwd"',
    "SELECT * FROM glob('/*')", "SELECT * FROM range(1000000000)",
    "SELECT * FROM duckdb_settings()", "SELECT * FROM duckdb_tables",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM pg_catalog.pg_class", "SELECT * FROM pg_class", "SELECT * FROM sqlite_master",
    "SELECT * FROM main.incoming", "SELECT * FROM incoming", "SELECT * FROM temp.incoming",
    "SELECT * FROM memory.spectra.observations", "SELECT getenv('HOME') FROM ivoa.obscore",
    "SELECT current_setting('threads') FROM ivoa.obscore", "SELECT version() FROM ivoa.obscore",
    "SELECT query('SELECT 1') FROM ivoa.obscore", "SELECT getvariable('x') FROM ivoa.obscore",
    "SELECT repeat('a', 1000000000) FROM ivoa.obscore", "SELECT $1 FROM ivoa.obscore",
    "SELECT ? FROM ivoa.obscore", "SELECT rowid FROM ivoa.obscore",
    "SELECT vo_shape('x') FROM ivoa.obscore", "SELECT COLUMNS('.*') FROM ivoa.obscore",
    "SELECT obs_id INTO x FROM ivoa.obscore", "SELECT * FROM ivoa.obscore FOR UPDATE",
    "SELECT * FROM ivoa.obscore USING SAMPLE 1", "SELECT x'00' FROM ivoa.obscore",
    "WITH RECURSIVE r AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM r) SELECT * FROM r",
    "SELECT similarity(obs_publisher_did, '''); DROP TABLE ivoa.obscore; --') FROM ivoa.obscore",
    "SELECT " + "(" * 5000 + "1" + ")" * 5000 + " FROM ivoa.obscore",
    "SELECT * FROM " + "(SELECT * FROM " * 2000 + "ivoa.obscore" + ") AS t" * 2000,
    "SELECT " + "1+" * 30_000 + "1 FROM ivoa.obscore", "SELECT " + "- " * 20_000 + "1 FROM ivoa.x",
    "SELECT 1 FROM ivoa.obscore WHERE " + "NOT " * 20_000 + "1 = 1", "\x00", "\ud83d",
    "/*" * 30_000,
)  # fmt: skip


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_queries(vo, number):
    query = HOSTILE[number].encode("utf-8", "replace").decode()
    start = time.monotonic()
    said = refusal(vo.post("/tap/sync", data={"LANG": "ADQL", "QUERY": query}))
    assert time.monotonic() - start < 20  # a busy machine took 5.4
    assert "root:" not in said


def test_after_all_of_them_everything_is_there(vo):
    assert records(vo, "SELECT count(*) AS n FROM ivoa.obscore") == [{"n": "98"}]


# queries without end --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def short(site, tmp_path_factory):
    """A server that gives queries one second, and its databases."""
    own = {f: getattr(SETTINGS, f) for f in SETTINGS.__slots__}
    server = serving(site, tmp_path_factory.mktemp("short") / "p.sqlite",
                     VoSettings(**{**own, "query_s": 1.0}))  # fmt: skip
    with server as base:
        served = server.server.config.app.state.served
        yield Vo(base, site), served.kept("tap_engines", Engines)


def idle(engines: Engines, within_s: float) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if all(one.users == 0 and one.engine.idle for one in engines._open.values()):
            return True
        time.sleep(0.05)
    return False


def test_a_query_without_end_is_ended(short):
    vo, engines = short
    start = time.monotonic()
    said = refusal(ask(vo, FOREVER, TOKEN))
    assert "longer than 1 s" in said
    assert time.monotonic() - start < 5
    assert idle(engines, 5)


def test_many_without_end_do_not_keep_others_waiting_for_long(short):
    vo, engines = short
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(ask(vo, FOREVER, TOKEN)))
               for _ in range(6)]  # fmt: skip
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    start = time.monotonic()
    assert len(table(ask(vo, "SELECT TOP 1 obs_id FROM ivoa.obscore", TOKEN)).array) == 1
    assert vo.get("/tap/capabilities").status_code == 200
    assert time.monotonic() - start < 5
    for thread in threads:
        thread.join()
    assert {a.status_code for a in found} == {400}
    assert idle(engines, 5)


def test_rows_without_end_are_cut(short):
    vo, engines = short
    start = time.monotonic()
    answer = ask(vo, f"SELECT t0.obs_id, t6.snr FROM {CROSSED}", TOKEN, MAXREC=5000)
    assert len(table(answer).array) == 5000
    assert 'value="OVERFLOW"' in answer.text
    assert time.monotonic() - start < 5
    assert idle(engines, 5)


def test_a_client_that_hangs_up_ends_its_query(site, tmp_path):
    server = serving(site, tmp_path / "p.sqlite")
    with server as base:
        engines = server.server.config.app.state.served.kept("tap_engines", Engines)
        with pytest.raises(httpx.TimeoutException):
            httpx.get(f"{base}/vo/tap/sync", params={"LANG": "ADQL", "QUERY": FOREVER},
                      headers={"Authorization": f"Bearer {TOKEN}"}, timeout=1.5)  # fmt: skip
        assert idle(engines, 5)  # it would have had a minute


def test_a_client_that_stops_reading_ends_its_query(site, tmp_path):
    server = serving(site, tmp_path / "p.sqlite")
    with server as base:
        engines = server.server.config.app.state.served.kept("tap_engines", Engines)
        params = {"LANG": "ADQL", "QUERY": f"SELECT t0.obs_id, t1.obs_id AS b FROM {CROSSED}",
                  "MAXREC": 1_000_000}  # fmt: skip
        with httpx.stream("GET", f"{base}/vo/tap/sync", params=params, timeout=30,
                          headers={"Authorization": f"Bearer {TOKEN}"}) as answer:  # fmt: skip
            pieces = answer.iter_bytes(1000)
            assert next(pieces)
            assert not idle(engines, 0.1)
        assert idle(engines, 10)


def stalled(base: str) -> socket.socket:
    """A client that asks for much, reads nothing, and stays."""
    query = f"SELECT t0.obs_publisher_did, t1.obs_publisher_did AS b FROM {CROSSED}"
    words = urllib.parse.urlencode({"LANG": "ADQL", "QUERY": query, "MAXREC": 1_000_000})
    place = urllib.parse.urlsplit(base)
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    found.connect((place.hostname, place.port))
    found.sendall(f"GET /vo/tap/sync?{words} HTTP/1.1\r\nHost: {place.netloc}\r\n"
                  f"Authorization: Bearer {TOKEN}\r\n\r\n".encode())  # fmt: skip
    return found


def busy(engines: Engines, within_s: float) -> bool:
    """Whether a query takes its turn within so many seconds."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if any(not one.engine.idle for one in list(engines._open.values())):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("by", ["answer", "connection"])
def test_a_client_that_stays_but_reads_nothing_is_let_go(site, tmp_path, monkeypatch, by):
    server = serving(site, tmp_path / "p.sqlite")
    if by == "answer":
        monkeypatch.setattr("spectrarium.serve.vo_streaming.STALLED_S", 1.0)
    else:
        monkeypatch.setattr(PatientProtocol, "stalled_s", 1.0)
        server.server.config.http = PatientProtocol
    with server as base:
        engines = server.server.config.app.state.served.kept("tap_engines", Engines)
        with stalled(base):
            assert busy(engines, 20)
            assert idle(engines, 10)
            if by == "connection":
                assert not server.server.server_state.connections


def test_one_client_leaves_turns_to_others(site, tmp_path, monkeypatch):
    monkeypatch.setattr("spectrarium.publish.tap.OF_ONE", 1)
    server = serving(site, tmp_path / "p.sqlite")
    with server as base:
        engines = server.server.config.app.state.served.kept("tap_engines", Engines)
        with stalled(base):
            assert busy(engines, 20)
            said = ask(Vo(base, site), "SELECT TOP 1 obs_id FROM ivoa.obscore", TOKEN)
            assert said.status_code == 503
            assert "Retry-After" in said.headers
            (one,) = engines._open.values()
            with one.engine._turns.one("another"), one.engine._turns.one(), \
                    one.engine._turns.one():  # fmt: skip
                pass
        assert idle(engines, 10)


@pytest.mark.parametrize(("address", "client"), [
    ("192.0.2.7", "192.0.2.7"), ("2001:db8:1:2:3::9", "2001:db8:1:2::/64"), ("", ""),
    ("fe80::1%eth0", "fe80::/64"), ("unix:", "unix:"),
])  # fmt: skip
def test_a_client_is_an_address_or_a_network_that_it_has_to_itself(address, client):
    request = Request({"type": "http", "client": (address, 1) if address else None})
    assert client_of(request) == client


# the engine itself ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(site):
    """An engine with little memory."""
    tables = ArchiveTables(site.store, Publisher(authority="x.y"))
    engine = Engine(tables, StoreLimits(kept_bytes=200_000, memory_mib=120, threads=2))
    yield engine
    engine.close()


def run(engine: Engine, text: str, **more: Any) -> bytes:
    return b"".join(written(engine.run(Query(text, 1000, **more)), format_named("csv")))


def test_memory_is_bounded(small):
    words = " || ".join(f"t{i}.obs_publisher_did" for i in range(4))
    crossed = ", ".join(f"spectra.observations AS t{i}" for i in range(4))
    with pytest.raises(UsageError) as error:
        run(small, f"SELECT count(*) AS n FROM (SELECT DISTINCT {words} AS w FROM {crossed}) AS t",
            most_s=60)  # fmt: skip
    assert error.value.code in ("query_memory", "query_timeout")
    assert run(small, "SELECT count(*) AS n FROM ivoa.obscore").split() == [b"n", b"100"]


def test_tables_make_room_for_others(small):
    for name in small.tables.all:
        run(small, f"SELECT * FROM {name}")
        assert small.size <= 200_000
    assert small.idle


def test_what_is_cancelled_ends_at_once(small):
    over = threading.Event()
    threading.Timer(0.3, over.set).start()
    start = time.monotonic()
    with pytest.raises(TransientError) as error:
        small.run(Query(FOREVER, 10, 60.0, {}, over.is_set))
    assert error.value.code == "cancelled"
    assert time.monotonic() - start < 5
    assert small.idle


def test_threads_of_queries_are_all_gone(small):
    for _ in range(5):
        with pytest.raises(SpectrariumError):
            run(small, "SELECT nope FROM ivoa.obscore")
        run(small, "SELECT TOP 1 obs_id FROM ivoa.obscore")
        rows = small.run(Query("SELECT obs_id FROM ivoa.obscore", 1))
        rows.close()
    assert len([t for t in threading.enumerate() if t.name == "tap-watch"]) <= 1
    assert not _WATCHER._watches
    assert small.idle


def test_nothing_about_the_database_can_be_changed_or_read(small):
    cursor = small._store.cursor()
    for sql in ("SELECT * FROM read_csv('/etc/passwd')", "COPY (SELECT 1) TO '/tmp/x.csv'",
                "INSTALL httpfs", "ATTACH '/tmp/x.db' AS z", "SET memory_limit = '1TB'",
                "SET enable_external_access = true"):  # fmt: skip
        with pytest.raises(Exception, match=r"disabled|lock|configuration"):
            cursor.execute(sql)
    cursor.close()


# anything at all ------------------------------------------------------------------------------

_WORDS = ("SELECT", "FROM", "ivoa.obscore", "obs_id", "s_ra", "*", "(", ")", ",", "=", "'x'", "1",
          "WHERE", "POINT", "CIRCLE", "CONTAINS", "AS", "t", "JOIN", "USING", "TOP", "ORDER BY",
          "similarity", "obs_publisher_did", "tap_schema.columns", "\"", "'", "--", "é", "||", "-",
          "NULL", "CASE", "WITH", "UNION", "1e309", "9" * 20, "spectra.models")  # fmt: skip


def test_nothing_asked_is_a_defect(vo):
    draw = random.Random(7)
    names = ("LANG", "QUERY", "MAXREC", "RESPONSEFORMAT", "UPLOAD", "REQUEST", "VERSION", "RUNID")
    values = ("ADQL", "csv", "votable", "json", "1", "0", "-1", "x", "t,param:p", "1.1", "\x7f",
              "é" * 50, "doQuery", "1e5", "NaN", "9" * 30)  # fmt: skip
    for _ in range(150):
        query = " ".join(draw.choices(_WORDS, k=draw.randint(1, 14)))
        form = {"LANG": "ADQL", "QUERY": f"SELECT TOP 2 {query}" if draw.random() < 0.5 else query}
        for name in draw.sample(names, draw.randint(0, 3)):
            form[name] = draw.choice(values)
        answer = vo.post("/tap/sync", data=form)
        assert answer.status_code in (200, 400), (form, answer.text)
        if answer.status_code == 400:
            refusal(answer)
