"""Every route asked for nonsense: no answer is a fault of the server's, and nothing is lost.

The routes are those that the server has, their parameters the words in the modules that answer,
so what is added later is asked too. Seeds are fixed: what fails fails again.
"""

from __future__ import annotations

import inspect
import json
import random
import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from serve_client import WRITE, Site, first_id
from starlette.routing import BaseRoute, Route
from starlette.testclient import TestClient

import spectrarium as sp
from spectrarium.serve.app import create_app

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("fuzz")]

CASES = 40
"""Requests of each method of each route."""
SLOWEST_S = 20.0
HOSTILE: list[Any] = [
    "", " ", "\x00", "a\x00b", "9" * 10_000, "-", "-1", "0", "1e999", "NaN", "inf", "-Infinity",
    "1,2", "1,2,3", "a,b", ",", "1/2", "2/1", "/", "1//2", "1 2 3", "CIRCLE 10 -20 5", "CIRCLE 1",
    "POLYGON 0 0 1 0 1 1", "POLYGON 0 0", "RANGE 0 360 -90 90", "RANGE 3", "5e-7 6e-7", "6e-7 5e-7",
    "2020-01-01", "2020-13-45", "yesterday", "votable", "fits", "metadata", "png", "all",
    "application/x-votable+xml", "image/gif", "queryData", "doQuery", "ADQL", "ADQL-2.1", "PQL",
    "SELECT TOP 3 * FROM ivoa.obscore", "SELECT * FROM nowhere", "SELECT 1; DROP TABLE x",
    "DROP TABLE observations", "SELECT " + "(" * 500 + "1" + ")" * 500, "SELECT * FROM",
    "SELECT read_text('/etc/passwd')", "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "/etc/passwd",
    "file:///etc/passwd", "http://169.254.169.254/", "' OR '1'='1", '"; --', "snr > 10",
    "snr > ", "obs_id = 'x' AND (", "1=1) OR (1=1", "<script>alert(1)</script>", "&xxe;", "]]>",
    '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "%", "%s%n", "${x}", "{{7*7}}", "💥", "é" * 300,
    "\u202e", "\ud7ff", "true", "null", "[]", "{}", "ABORT", "RUN", "PHASE", "identify",
    "ListRecords", "ivo://x?y", "ivo://org.example.test/MOCK?nothing", "None", "pca", "pixels",
]  # fmt: skip
JUNK: list[Any] = [None, True, False, 0, -1, 1 << 70, 1.5, 1e308, [], {}, [[]], [1, "a", None], [0],
                   {"a": {"b": {"c": []}}}, [-1], list(range(2000))]  # fmt: skip
SKIPPED = {"/api/sign-out"}
"""Would end the session of the one who asks."""


@pytest.fixture(scope="module")
def crowd(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The operator at the shared archive, with people of their own."""
    people = tmp_path_factory.mktemp("fuzz") / "people.sqlite"
    app = create_app(site.archive, people)
    with TestClient(app, base_url="http://127.0.0.1", follow_redirects=False,
                    raise_server_exceptions=False) as found:  # fmt: skip
        found.headers.update(WRITE)
        yield found


def _routes(site: Site, folder: Any) -> list[Route]:
    def flat(routes: list[BaseRoute]) -> Iterator[Route]:
        for route in routes:
            if inner := getattr(route, "routes", None):
                yield from flat(inner)
            elif isinstance(route, Route) and route.path not in SKIPPED:
                yield route

    return list(flat(list(create_app(site.archive, folder / "people.sqlite").routes)))


def _words(route: Route) -> list[str]:
    """What may be names of parameters: the words in the module that answers."""
    module = inspect.getmodule(inspect.unwrap(route.endpoint))
    source = inspect.getsource(module) if module else ""
    found = set(re.findall(r'"([A-Za-z_][A-Za-z_]{0,20})"', source))
    common = {"ID", "POS", "SIZE", "BAND", "TIME", "MAXREC", "RESPONSEFORMAT", "REQUEST", "QUERY",
              "LANG", "FORMAT", "where", "cone", "rows", "limit", "version"}  # fmt: skip
    return sorted(found | common)


def _value(dice: random.Random, real: list[Any]) -> Any:
    return dice.choice(real) if dice.random() < 0.3 else dice.choice(HOSTILE)


def _path(route: Route, dice: random.Random, real: list[Any]) -> str:
    def part(_: re.Match[str]) -> str:
        return quote(str(_value(dice, real))[:2000], safe="") or "x"

    return re.sub(r"\{[^}]*\}", part, route.path)


def _request(method: str, dice: random.Random, words: list[str], real: list[Any]) -> dict[str, Any]:
    """How httpx takes it: a query and, where there may be one, a body of some kind."""
    params = [(dice.choice(words), str(_value(dice, real))) for _ in range(dice.randrange(4))]
    more: dict[str, Any] = {"params": params}
    if method in ("GET", "HEAD", "DELETE"):
        return more
    kind = dice.randrange(5)
    if kind == 0:
        more["content"] = dice.choice([b"", b"\xff\xfe", b"{", b"<a>", b"[" * 50_000, b"\x00" * 99])
        more["headers"] = {"Content-Type": dice.choice(["application/json", "text/xml", "x"])}
    elif kind == 1:
        more["data"] = {dice.choice(words): str(_value(dice, real)) for _ in range(3)}
    elif kind == 2:
        more["files"] = {dice.choice(words): ("../x.fits", dice.choice([b"", b"SIMPLE", b"a,b"]))}
    else:
        junk = [*JUNK, *HOSTILE, *real]
        body = {dice.choice(words): dice.choice(junk) for _ in range(dice.randrange(5))}
        more["content"] = json.dumps(dice.choice([body, body, body, dice.choice(junk)])).encode()
        more["headers"] = {"Content-Type": "application/json"}
    return more


def _well_said(answer: Any) -> str:
    """What is wrong with an answer; empty where nothing is."""
    if answer.status_code >= 500 and answer.status_code != 503:
        return f"status {answer.status_code}: {answer.text[:300]}"
    if "Traceback (most recent" in answer.text[:100_000]:
        return "a traceback"
    kind = answer.headers.get("content-type", "")
    if "xml" in kind and answer.content and "svg" not in kind:
        try:
            ET.fromstring(answer.content)
        except ET.ParseError as error:
            return f"XML that does not parse: {error}"
    if answer.status_code >= 400 and answer.content and kind.startswith("application/json"):
        said = answer.json()["error"]
        if not (said["code"] and said["what"]):
            return f"an error without words: {said}"
    return ""


def test_no_request_is_the_servers_fault(crowd, site, tmp_path):
    before = site.store.catalogue(site.store.find("TRUE")).to_pylist()
    mine = first_id(site)
    collection, _, name = mine.partition(":")
    real = [mine, f"ivo://spectrarium.local/{collection}?{name}", name, collection, 0, 3, "10", 0.5]
    wrong, slow, asked = [], [], 0
    seen: dict[int, int] = {}
    for route in _routes(site, tmp_path):
        words = _words(route)
        for method in sorted(route.methods or ()):
            dice = random.Random(f"{method} {route.path}")
            for _ in range(3 if method == "HEAD" else CASES):
                path, how = _path(route, dice, real), _request(method, dice, words, real)
                began = time.monotonic()
                answer = crowd.request(method, path, **how)
                took = time.monotonic() - began
                asked += 1
                seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
                if fault := _well_said(answer):
                    wrong.append(f"{method} {path[:300]} {str(how)[:500]}: {fault}")
                if took > SLOWEST_S:
                    slow.append(f"{method} {path[:200]} {str(how)[:300]}: {took:.1f} s")
    assert not wrong, f"{len(wrong)} of {asked}:\n" + "\n".join(wrong[:20])
    assert not slow, "\n".join(slow)
    assert seen[200] > 300, seen  # it came deeper than the first check of each
    assert seen[400] > 1000, seen
    assert crowd.get("/api/archive").json()["count"] == len(before)
    assert sp.open(site.archive).store.catalogue(
        site.store.find("TRUE")).to_pylist() == before  # fmt: skip
