"""Every route asked for nonsense: no answer is a fault of the server's, and nothing is lost.

The routes are those that the server has, their parameters the words in the modules that answer,
so what is added later is asked too. The services of the Virtual Observatory read their parameters
elsewhere: each is asked good requests, spoilt in one, two or three places. Seeds are fixed: what
fails fails again.
"""

from __future__ import annotations

import inspect
import json
import random
import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import pytest
from blake3 import blake3
from serve_client import WRITE, Site, first_id
from starlette.routing import BaseRoute, Route
from starlette.testclient import TestClient
from vo_site import AUTHORITY, SETTINGS

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
GOOD: dict[str, dict[str, list[str]]] = {
    "/vo/ssap": {
        "REQUEST": ["queryData"], "POS": ["10,-20", "10,-20;GALACTIC"], "SIZE": ["5", "360"],
        "BAND": ["4e-7/7e-7", "V"], "TIME": ["2000/2030"], "FORMAT": ["votable", "all", "metadata"],
        "MAXREC": ["5"], "TOP": ["3"], "SPECRP": ["100/"], "SNR": ["1/"], "REDSHIFT": ["-1/9"],
        "TARGETNAME": ["Hidden 1"], "TARGETCLASS": ["STAR"], "FLUXCALIB": ["any"],
        "WAVECALIB": ["any"], "PUBDID": ["DID"], "COLLECTION": ["MOCK"], "MTIME": ["2000/"],
        "COMPRESS": ["true"], "RUNID": ["r"], "VERSION": ["1.1"], "CREATORDID": ["ivo://x/y"],
    },
    "/vo/cone": {"RA": ["10"], "DEC": ["-20"], "SR": ["0", "90"], "VERB": ["1", "3"],
                 "MAXREC": ["4"], "RESPONSEFORMAT": ["votable"]},
    "/vo/slap": {"REQUEST": ["queryData"], "WAVELENGTH": ["4e-7/7e-7"], "MAXREC": ["4"],
                 "CHEMICAL_ELEMENT": ["H"], "FORMAT": ["votable", "metadata"]},
    "/vo/tap/sync": {
        "LANG": ["ADQL"], "FORMAT": ["csv", "votable"], "MAXREC": ["5"], "RUNID": ["r"],
        "REQUEST": ["doQuery"],
        "QUERY": ["SELECT TOP 3 * FROM ivoa.obscore",
                  "SELECT count(*) AS n FROM tap_schema.columns",
                  "SELECT s_ra FROM ivoa.obscore WHERE "
                  "1=CONTAINS(POINT(s_ra, s_dec), CIRCLE(1, 2, 3))"],
    },
    "/vo/tap/async": {"LANG": ["ADQL"], "QUERY": ["SELECT TOP 3 * FROM ivoa.obscore"],
                      "PHASE": ["RUN"], "EXECUTIONDURATION": ["9"], "RUNID": ["r"]},
    "/vo/soda/sync": {
        "ID": ["DID"], "BAND": ["5e-7 5.1e-7"], "POS": ["CIRCLE 0 0 180"], "TIME": ["0 99999"],
        "FLUXCALIB": ["normalized", "RELATIVE"], "FORMAT": ["votable", "fits", "csv", "png"],
        "RESAMPLE": ["log 1e-4"], "MEDIUM": ["air", "vacuum"], "FRAME": ["rest"], "POL": ["I"],
    },
    "/vo/soda/async": {"ID": ["DID"], "BAND": ["5e-7 5.1e-7"], "PHASE": ["RUN"]},
    "/vo/datalink/links": {"ID": ["DID"], "RESPONSEFORMAT": ["votable"]},
    "/vo/spectrum": {"ID": ["DID"], "FORMAT": ["votable", "fits", "csv", "preview", "native"]},
    "/vo/similar": {"ID": ["DID"], "K": ["5"], "MAXREC": ["3"], "ENCODER": ["pca"],
                    "WINDOW": ["6.5e-7 6.62e-7"]},
    "/vo/registry": {"verb": ["ListRecords", "ListIdentifiers"], "metadataPrefix": ["ivo_vor"],
                     "from": ["2020-01-01"], "until": ["2050-01-01"], "set": ["ivo_managed"]},
}  # fmt: skip
"""Good values of a service's parameters; DID stands for the identifier of a spectrum."""
NEEDED = {"REQUEST", "RA", "DEC", "SR", "LANG", "QUERY", "ID", "verb", "metadataPrefix"}
SKIPPED = {"/api/sign-out"}
"""Would end the session of the one who asks."""


@pytest.fixture(scope="module")
def crowd(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The operator at the shared archive, with people of their own."""
    folder = tmp_path_factory.mktemp("fuzz")
    settings = replace(SETTINGS, jobs=folder / "jobs")
    app = create_app(site.archive, folder / "people.sqlite", vo=settings)
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


def _spoilt(path: str, dice: random.Random, real: list[Any]) -> list[tuple[str, str]]:
    """A good request of a service, of which up to three things are wrong."""
    good = GOOD[path]
    chosen = [k for k in good if k in NEEDED or dice.random() < 0.25]
    pairs = [(k, dice.choice(good[k]).replace("DID", str(real[1]))) for k in chosen]
    for _ in range(dice.randrange(4)):
        at = dice.randrange(len(pairs)) if pairs else 0
        match dice.randrange(4):
            case 0 if pairs:
                del pairs[at]
            case 1 if pairs:
                pairs.append((pairs[at][0], dice.choice(good[pairs[at][0]])))
            case 2 if pairs:
                pairs[at] = (pairs[at][0], str(_value(dice, real)))
            case _:
                pairs.append((dice.choice(list(good)), str(_value(dice, real))))
    dice.shuffle(pairs)
    return pairs


def _service_request(
    method: str, path: str, dice: random.Random, real: list[Any]
) -> dict[str, Any]:
    pairs = _spoilt(path, dice, real)
    if method == "GET":
        return {"params": pairs}
    return {"content": urlencode(pairs, errors="replace").encode(),
            "headers": {"Content-Type": "application/x-www-form-urlencoded"}}  # fmt: skip


def _all_that_is_kept(site: Site) -> dict[str, Any]:
    """The catalogue, every sample, and what was computed of them."""
    store = sp.open(site.archive).store
    spectra = store.read_rows(store.find(None))
    digest = blake3()
    for one in spectra:
        digest.update(np.ascontiguousarray(one.flux).tobytes())
        digest.update(np.ascontiguousarray(one.axis.values).tobytes())
    return {"version": store.version, "samples": digest.hexdigest(),
            "catalogue": store.catalogue(store.find(None)).to_pylist(),
            "others": {n: store.table(n).to_pylist() for n in store.names("")
                       if n not in ("catalogue", "pixels")}}  # fmt: skip


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
    before = _all_that_is_kept(site)
    mine = first_id(site)
    collection, _, name = mine.partition(":")
    real = [mine, f"ivo://{AUTHORITY}/{collection}?{name}", name, collection, 0, 3, "10", 0.5]
    wrong, slow, asked = [], [], 0
    seen: dict[int, int] = {}
    answered: dict[str, int] = dict.fromkeys(GOOD, 0)
    for route in _routes(site, tmp_path):
        words = _words(route)
        for method in sorted(route.methods or ()):
            dice = random.Random(f"{method} {route.path}")
            for _ in range(3 if method == "HEAD" else CASES):
                if route.path in GOOD and method in ("GET", "POST") and dice.random() < 0.8:
                    path, how = route.path, _service_request(method, route.path, dice, real)
                else:
                    path, how = _path(route, dice, real), _request(method, dice, words, real)
                began = time.monotonic()
                answer = crowd.request(method, path, **how)
                took = time.monotonic() - began
                asked += 1
                seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
                if route.path in GOOD and answer.status_code in (200, 204, 303):
                    answered[route.path] += 1
                if fault := _well_said(answer):
                    wrong.append(f"{method} {path[:300]} {str(how)[:500]}: {fault}")
                if took > SLOWEST_S:
                    slow.append(f"{method} {path[:200]} {str(how)[:300]}: {took:.1f} s")
    assert not wrong, f"{len(wrong)} of {asked}:\n" + "\n".join(wrong[:20])
    assert not slow, "\n".join(slow)
    assert seen[200] > 300, seen  # it came deeper than the first check of each
    assert seen[400] > 1000, seen
    assert min(answered.values()) >= 10, answered
    assert crowd.get("/api/archive").json()["count"] == len(before["catalogue"])
    assert _all_that_is_kept(site) == before
