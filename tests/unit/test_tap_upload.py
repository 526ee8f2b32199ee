"""Uploaded tables: every serialisation is read, and nothing in one can harm."""

from __future__ import annotations

import http.server
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pytest
from astropy.io.votable import from_table
from astropy.table import MaskedColumn, Table

from spectrarium.domain.errors import UsageError
from spectrarium.publish import tap_fetch
from spectrarium.publish.tap_fetch import FetchLimits, fetched
from spectrarium.publish.tap_upload import UploadLimits, uploaded


def votable(form: str = "tabledata", rows: int = 3) -> bytes:
    made = Table()
    made["id"] = np.arange(rows, dtype="i4")
    made["ra"] = np.linspace(1.0, 2.0, rows)
    made["ra"].unit = "deg"
    made["name"] = [f"β{i}" for i in range(rows)]
    made["seen"] = np.arange(rows) % 2 == 0
    made["x"] = MaskedColumn(np.arange(rows, dtype="f4"), mask=np.arange(rows) == 1)
    made["v"] = np.arange(2 * rows, dtype="f4").reshape(rows, 2)
    document = from_table(made)
    document.get_first_table().get_field_by_id("ra").ucd = "pos.eq.ra"
    out = io.BytesIO()
    document.to_xml(out, tabledata_format=form)
    return out.getvalue()


def read(data: bytes, text: str = "t1,param:part", **limits):
    def fetch(url: str) -> bytes:
        raise AssertionError(f"{url} would be fetched")

    return uploaded([text], {"part": data}, UploadLimits(**limits), fetch)


@pytest.mark.parametrize("form", ["tabledata", "binary", "binary2"])
def test_every_serialisation(form):
    found = read(votable(form))["tap_upload.t1"]
    assert found.arrow().to_pylist()[1] == {
        "id": 1, "ra": 1.5, "name": "β1", "seen": 0, "x": None, "v": [2.0, 3.0],
    }  # fmt: skip
    ra = found.columns[1]
    assert (ra.unit, ra.ucd, ra.type) == ("deg", "pos.eq.ra", pa.float64())


def test_several_tables_and_no_rows():
    files = {"a": votable(), "b": votable(rows=0)}
    found = uploaded(["x,param:a;y,param:b", "z , param:a"], files, UploadLimits(), lambda u: b"")
    assert {n: t.rows for n, t in found.items()} == {"tap_upload.x": 3, "tap_upload.y": 0,
                                                     "tap_upload.z": 3}  # fmt: skip


def test_names_that_differ_in_case_only_are_told_apart():
    made = Table({"RA": [1.0], "ra": [2.0], "odd name": [3]})
    out = io.BytesIO()
    made.write(out, format="votable")
    assert [c.name for c in read(out.getvalue())["tap_upload.t1"].columns] == [
        "RA", "ra_2", "odd name"]  # fmt: skip


FIELD = '<FIELD name="a" datatype="int"/>'
HEAD = '<?xml version="1.0"?>\n'


def wrapped(inside: str, before: str = "", table: str = "") -> bytes:
    return (f'{HEAD}{before}<VOTABLE version="1.4"><RESOURCE><TABLE{table}>{FIELD}{inside}</TABLE>'
            "</RESOURCE></VOTABLE>").encode()  # fmt: skip


ROW = "<DATA><TABLEDATA><TR><TD>1</TD></TR></TABLEDATA></DATA>"
LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 30))
HARMFUL = {
    "billion laughs": wrapped(ROW.replace("1", "&l29;"),
                              f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]>'),
    "external entity": wrapped(ROW.replace("1", "&x;"),
                               '<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
    "parameter entity": wrapped(ROW, '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1/x">%p;]>'),
    "document type": wrapped(ROW, '<!DOCTYPE VOTABLE SYSTEM "http://us-vo.org/xml/VOTable.dtd">'),
    "data elsewhere": wrapped('<DATA><BINARY><STREAM href="file:///etc/passwd"/></BINARY></DATA>'),
    "data elsewhere 2": wrapped('<DATA><BINARY2><STREAM href="http://127.0.0.1:1/"/></BINARY2>'
                                "</DATA>"),
    "fits": wrapped('<DATA><FITS extnum="1"><STREAM href="http://127.0.0.1:1/"/></FITS></DATA>'),
    "rows promised": wrapped(ROW, table=' nrows="99999999999"'),
    "cells promised": wrapped(ROW).replace(b'"int"', b'"int" arraysize="9999999999"'),
    "cells that are empty": wrapped(
        "<DATA><TABLEDATA>" + "<TR><TD/></TR>" * 5000 + "</TABLEDATA></DATA>"
    ).replace(b'"int"', b'"char" arraysize="60000"'),
    "cells promised by rows": wrapped(
        "<DATA><TABLEDATA>" + " " * 60_000 + "</TABLEDATA></DATA>", table=' nrows="50000"'
    ).replace(b'"int"', b'"char" arraysize="60000"'),
    "many tables of empty cells": wrapped(
        ("<DATA><TABLEDATA>" + "<TR><TD/></TR>" * 500 + "</TABLEDATA></DATA></TABLE><TABLE>"
         '<FIELD name="b" datatype="char" arraysize="60000"/>') * 10
    ),
    "deep": (HEAD + "<VOTABLE>" + "<RESOURCE>" * 5000 + "</RESOURCE>" * 5000
             + "</VOTABLE>").encode(),
    "no xml": b"\x00\x01\x02", "empty": b"", "cut": wrapped(ROW)[:-40],
    "other xml": b"<html><body/></html>", "no table": b"<VOTABLE><RESOURCE/></VOTABLE>",
    "utf-16": '<?xml version="1.0" encoding="utf-16"?><VOTABLE/>'.encode("utf-16"),
    "complex": wrapped("<DATA><TABLEDATA><TR><TD>1 2</TD></TR></TABLEDATA></DATA>").replace(
        b'"int"', b'"doubleComplex"'),
}  # fmt: skip


@pytest.mark.parametrize("what", HARMFUL)
def test_harmful_documents_are_refused(what):
    with pytest.raises(UsageError) as error:
        read(HARMFUL[what])
    assert error.value.code == "bad_upload"


def test_limits():
    with pytest.raises(UsageError) as error:
        read(votable(rows=100), bytes=1000)
    assert error.value.code == "too_large"
    for limits in ({"rows": 2}, {"columns": 2}, {"tables": 0}):
        with pytest.raises(UsageError) as error:
            read(votable(), **limits)
        assert error.value.code == "bad_upload"


@pytest.mark.parametrize("text", [
    "t1", "t1,", ",param:part", "1a,param:part", "a b,param:part", "t.1,param:part",
    "t1,param:other", "t1,param:", "t1,param:part;t1,param:part", "T1,param:part;t1,param:part",
    "x" * 65 + ",param:part", "\u00e9,param:part", "t1;param:part",
])  # fmt: skip
def test_malformed_parameters(text):
    with pytest.raises(UsageError) as error:
        read(votable(), text)
    assert error.value.code == "bad_upload"


# from elsewhere -------------------------------------------------------------------------------


class _Place(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/led":
            self.send_response(302)
            self.send_header("Location", "/table")
            self.end_headers()
            return
        body = votable() if self.path == "/table" else b"x" * 200_000
        self.send_response(200 if self.path in ("/table", "/large") else 404)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def place() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Place) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_an_allowed_host_is_asked(place):
    for hosts in ((place,), ("127.0.0.1",)):
        data = fetched(f"http://{place}/table", FetchLimits(hosts))
        assert read(data)["tap_upload.t1"].rows == 3


@pytest.mark.parametrize(("path", "code"), [
    ("/led", "upload_failed"), ("/gone", "upload_failed"), ("/large", "too_large"),
])  # fmt: skip
def test_what_a_host_may_not_answer(place, path, code):
    with pytest.raises(UsageError) as error:
        fetched(f"http://{place}{path}", FetchLimits((place,), most_bytes=100_000))
    assert error.value.code == code


@pytest.mark.parametrize(("scheme", "first", "then"), [
    ("http", b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"), ("http", b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    ("http", b"", b""), ("https", b"\x16\x03\x03\x40\x00", b"\x02"),
])  # fmt: skip
def test_an_answer_that_drips_is_given_up(scheme, first, then):
    over = threading.Event()

    def drip(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client, suppress(OSError):
            client.recv(4096)
            client.sendall(first)
            while not over.wait(0.1):
                client.sendall(then)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        threading.Thread(target=drip, args=(listener,), daemon=True).start()
        start = time.monotonic()
        with pytest.raises(UsageError, match="longer than 1 s") as error:
            fetched(f"{scheme}://127.0.0.1:{port}/x", FetchLimits(("127.0.0.1",), most_s=1.0))
        assert error.value.code == "upload_failed"
        assert time.monotonic() - start < 4
        assert _fetching(0, within_s=4)  # nor does anything go on behind
        over.set()


def test_a_name_that_takes_long_is_given_up(monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(20) and [])
    start = time.monotonic()
    with pytest.raises(UsageError, match="it took longer"):
        fetched("http://example.org/x", FetchLimits(("example.org",), most_s=0.5))
    assert time.monotonic() - start < 4
    over.set()
    assert _fetching(0, within_s=4)


def _fetching(number: int, within_s: float) -> bool:
    """Whether so many fetches are under way within so many seconds."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if sum(t.name == "tap-fetch" for t in threading.enumerate()) == number:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("url", [
    "http://127.0.0.1/x", "http://localhost/x", "http://[::1]/x", "http://169.254.169.254/latest",
    "http://2130706433/", "http://0x7f000001/", "http://0/", "http://[::ffff:127.0.0.1]/",
    "http://10.0.0.1/", "file:///etc/passwd", "ftp://example.org/x", "gopher://127.0.0.1/",
    "//127.0.0.1/x", "/etc/passwd", "http:///x", "http://user:pw@127.0.0.1/", "http://a b/",
    "http://127.0.0.1:99999/", "http://[::1", "javascript:1", "http://127.0.0.1/a\r\nX: y",
])  # fmt: skip
@pytest.mark.parametrize("hosts", [(), ("example.org",), ("*",)])
def test_nothing_else_is_asked(url, hosts, monkeypatch):
    def never(*_: object, **__: object) -> None:
        raise AssertionError("connected")

    monkeypatch.setattr(socket, "create_connection", never)
    with pytest.raises(UsageError) as error:
        fetched(url, FetchLimits(hosts))
    assert error.value.code in ("upload_host", "upload_failed")


def test_a_pattern_allows_only_what_lies_in_the_open(monkeypatch):
    where = {"a.example.org": "93.184.216.34", "b.example.org": "192.168.0.7"}

    def resolved(host: str, port: int, **_: object):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (where[host], port))]

    asked = []

    def connect(address: tuple[str, int], *_: object):
        asked.append(address)
        raise OSError

    monkeypatch.setattr(tap_fetch.socket, "getaddrinfo", resolved)
    monkeypatch.setattr(tap_fetch.socket, "create_connection", connect)
    limits = FetchLimits(("*.example.org",))
    for host, code in (("a.example.org", "upload_failed"), ("b.example.org", "upload_host")):
        with pytest.raises(UsageError) as error:
            fetched(f"http://{host}/t", limits)
        assert error.value.code == code
    assert asked == [("93.184.216.34", 80)]  # the address that was checked, not the name
    with pytest.raises(UsageError):
        fetched("http://evilexample.org/", limits)
