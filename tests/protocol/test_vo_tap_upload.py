"""Tables that come with a query: inline by three ways, from allowed hosts, and never harmful."""

from __future__ import annotations

import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import numpy as np
import pytest
import pyvo
from astropy.io.votable import from_table, parse_single_table
from astropy.table import Table
from serve_client import TOKEN
from test_vo_tap import records, refusal, table
from vo_site import SETTINGS, Vo, serving, stilts, votlint

from spectrarium.serve.vo_settings import VoSettings


def votable(form: str = "tabledata", **columns: object) -> bytes:
    made = Table(columns or {"id": [1, 2, 3], "name": ["a", "b", "γ"], "x": [0.5, np.nan, 2.5]})
    out = io.BytesIO()
    from_table(made).to_xml(out, tabledata_format=form)
    return out.getvalue()


def upload(vo: Vo, query: str, data: bytes, name: str = "mine", **more: object):
    form = {"LANG": "ADQL", "QUERY": query, "UPLOAD": f"{name},param:part", **more}
    return vo.post("/tap/sync", data=form, files={"part": ("t.vot", data)})


@pytest.mark.parametrize("form", ["tabledata", "binary", "binary2"])
def test_every_serialisation_comes_back(vo, form, tmp_path):
    answer = upload(vo, "SELECT * FROM TAP_UPLOAD.mine ORDER BY id DESC", votable(form))
    found = table(answer).to_table()
    assert list(found["id"]) == [3, 2, 1]
    assert list(found["name"]) == ["γ", "b", "a"]
    assert np.ma.getmaskarray(found["x"]).tolist() == [False, True, False]
    votlint(answer.content, tmp_path)


def test_a_part_without_a_files_name(vo):
    """As ``curl -F "part=<t.vot"`` sends it."""
    query = "SELECT id, x FROM TAP_UPLOAD.mine ORDER BY id DESC"
    for form in ("tabledata", "binary2"):
        parts = {"LANG": "ADQL", "QUERY": query, "upload": "mine,PARAM:part", "part": votable(form)}
        answer = vo.post("/tap/sync", files={k: (None, v) for k, v in parts.items()})
        assert list(table(answer).to_table()["id"]) == [3, 2, 1]
    large = votable(x=np.arange(50_000.0))
    assert len(large) > 500_000
    parts |= {"QUERY": "SELECT sum(x) AS s FROM tap_upload.mine", "part": large}
    answer = vo.post("/tap/sync", files={k: (None, v) for k, v in parts.items()})
    assert list(table(answer).to_table()["s"]) == [np.arange(50_000.0).sum()]
    del parts["part"]
    assert "no part" in refusal(vo.post("/tap/sync", files={k: (None, v) for k, v in parts.items()
                                                            if k != "part"}))  # fmt: skip


def test_truth_values_are_numbers(vo):
    data = votable(t=[True, False])
    query = "SELECT t, CAST(t AS VARCHAR) AS word FROM tap_upload.mine ORDER BY t"
    answer = upload(vo, query, data, RESPONSEFORMAT="csv")
    assert answer.text.split() == ["t,word", '0,"0"', '1,"1"']


def test_several_tables_and_joins_with_the_archive(vo):
    known = records(vo, "SELECT TOP 3 obs_id, s_ra, s_dec FROM ivoa.obscore WHERE obs_collection = "
                    "'MOCK' ORDER BY obs_id")  # fmt: skip
    first = votable(obs_id=[r["obs_id"] for r in known], mark=[10, 20, 30])
    second = votable(ra=[float(r["s_ra"]) for r in known], dec=[float(r["s_dec"]) for r in known])
    query = """SELECT a.mark, o.target_name, o.obs_id FROM tap_upload.one AS a
        JOIN ivoa.obscore AS o ON a.obs_id = o.obs_id
        JOIN tap_upload.two AS t ON DISTANCE(POINT(t.ra, t.dec), POINT(o.s_ra, o.s_dec)) < 0.001
        ORDER BY mark"""
    for value in ("one,param:p;two,param:q", ["one,param:p", "two,param:q"]):
        form = {"LANG": "ADQL", "QUERY": query, "UPLOAD": value}
        found = table(vo.post("/tap/sync", data=form, files={"p": first, "q": second})).to_table()
        assert list(found["mark"]) == [10, 20, 30]
        assert list(found["obs_id"]) == [r["obs_id"] for r in known]


def test_columns_keep_their_metadata_and_odd_names(vo):
    made = Table({"odd name": [1.0, 2.0], "select": [3, 4], "RA": [5.0, 6.0]})
    made["RA"].unit = "deg"
    document = from_table(made)
    document.get_first_table().fields[2].ucd = "pos.eq.ra"
    out = io.BytesIO()
    document.to_xml(out)
    query = 'SELECT "odd name", "select", RA, RA * 2 AS twice FROM tap_upload.mine'
    fields = table(upload(vo, query, out.getvalue())).fields
    assert [f.name for f in fields] == ["odd name", "select", "RA", "twice"]
    assert (str(fields[2].unit), fields[2].ucd) == ("deg", "pos.eq.ra")


def test_similarity_to_an_uploaded_list(vo):
    known = records(vo, "SELECT TOP 4 obs_publisher_did AS d FROM spectra.scores WHERE "
                    "score = 'combined'")  # fmt: skip
    dids = [r["d"] for r in known]
    query = (f"SELECT did, similarity(did, '{dids[0]}') AS s FROM tap_upload.mine AS m "
             "ORDER BY s")  # fmt: skip
    found = table(upload(vo, query, votable(did=dids))).to_table()
    assert found["did"][0] == dids[0]
    assert found["s"][0] == 0
    assert (np.diff(found["s"]) > 0).all()


def test_uploads_of_others_are_not_seen(vo):
    assert upload(vo, "SELECT * FROM tap_upload.mine", votable()).status_code == 200
    for name in ("tap_upload.mine", "upload_1.tap_upload.mine", "mine"):
        refusal(vo.get("/tap/sync", LANG="ADQL", QUERY=f"SELECT * FROM {name}"))
    schema = records(vo, "SELECT table_name FROM tap_schema.tables")
    assert not [r for r in schema if "upload" in r["table_name"]]


def test_uploads_at_the_same_time_do_not_meet(vo):
    answers = {}

    def one(number: int) -> None:
        query = "SELECT sum(x) AS s FROM tap_upload.mine"
        answers[number] = upload(vo, query, votable(x=[float(number)] * 10), RESPONSEFORMAT="csv")

    threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {n: float(a.text.split()[1]) for n, a in answers.items()} == {
        n: 10.0 * n for n in range(8)}  # fmt: skip


LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 40))
BODY = ('<VOTABLE version="1.4"><RESOURCE><TABLE><FIELD name="a" datatype="char" arraysize="*"/>'
        "<DATA>{}</DATA></TABLE></RESOURCE></VOTABLE>")  # fmt: skip
ROW = "<TABLEDATA><TR><TD>{}</TD></TR></TABLEDATA>"
HARMFUL = {
    "billion laughs": f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]>' + BODY.format(
        ROW.format("&l39;")),
    "external entity": '<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + BODY.format(
        ROW.format("&x;")),
    "data elsewhere": BODY.format('<BINARY><STREAM href="file:///etc/passwd"/></BINARY>'),
    "data on a network": BODY.format('<FITS><STREAM href="http://127.0.0.1:1/x"/></FITS>'),
    "rows promised": BODY.format(ROW).replace("<TABLE>", '<TABLE nrows="99999999999">'),
    "deep": "<VOTABLE>" + "<RESOURCE>" * 100_000, "empty": "", "no XML": "\x01\x02",
}  # fmt: skip


@pytest.mark.parametrize("what", HARMFUL)
def test_harmful_documents(vo, what):
    answer = upload(vo, "SELECT * FROM tap_upload.mine", HARMFUL[what].encode())
    said = refusal(answer)
    assert "root:" not in said


@pytest.mark.parametrize("value", [
    "mine", "mine,", ",param:part", "a b,param:part", "mine,param:none", "mine,param:part;mine,"
    "param:part", "1,param:part", "mine,file:///etc/passwd", "mine,http://127.0.0.1:1/x",
    "mine,http://169.254.169.254/latest/meta-data", "mine,ftp://example.org/x", "mine,//x/y",
    "x" * 70 + ",param:part", "mine,param:part" * 3,
])  # fmt: skip
def test_malformed_parameters(vo, value):
    form = {"LANG": "ADQL", "QUERY": "SELECT * FROM tap_upload.mine", "UPLOAD": value}
    refusal(vo.post("/tap/sync", data=form, files={"part": ("t.vot", votable())}))


def test_broken_multipart_bodies(vo):
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    for body in (b"", b"--b", b"--b\r\n\r\n", b"nothing", b"--b\r\nContent-Disposition: x\r\n\r\n"):
        refusal(httpx.post(vo.at("/tap/sync"), content=body, headers=kind, timeout=60))


class _Place(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/led":
            self.send_response(301)
            self.send_header("Location", "/table")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(votable())

    def log_message(self, *_: object) -> None:
        pass


def test_from_an_address_only_where_it_is_allowed(site, tmp_path):
    with ThreadingHTTPServer(("127.0.0.1", 0), _Place) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"127.0.0.1:{server.server_address[1]}"
        own = {f: getattr(SETTINGS, f) for f in SETTINGS.__slots__}
        settings = VoSettings(**{**own, "upload_hosts": (place,)})
        with serving(site, tmp_path / "p.sqlite", settings) as base:
            allowed = Vo(base, site)
            for path, good in (("table", True), ("led", False)):
                params = {"LANG": "ADQL", "QUERY": "SELECT * FROM tap_upload.mine",
                          "UPLOAD": f"mine,http://{place}/{path}"}  # fmt: skip
                answer = allowed.get("/tap/sync", TOKEN, **params)
                if good:
                    assert len(table(answer).array) == 3
                else:
                    assert "redirect" in refusal(answer)
            params["UPLOAD"] = "mine,http://localhost:1/x"
            refusal(allowed.get("/tap/sync", TOKEN, **params))
        server.shutdown()


def test_pyvo_and_stilts(vo, tmp_path):
    made = Table({"id": [1, 2, 3], "x": [0.5, 1.5, 2.5]})
    found = pyvo.dal.TAPService(vo.at("/tap")).run_sync(
        "SELECT id, x * 2 AS y FROM TAP_UPLOAD.t1 ORDER BY id", uploads={"t1": made})  # fmt: skip
    assert list(found["y"]) == [1, 3, 5]
    path, out = tmp_path / "in.vot", tmp_path / "out.vot"
    made.write(path, format="votable")
    stilts("tapquery", f"tapurl={vo.at('/tap')}", "sync=true", "nupload=1", f"upload1={path}",
           "upname1=t1", "adql=SELECT sum(x) AS n FROM TAP_UPLOAD.t1", f"out={out}")  # fmt: skip
    assert parse_single_table(out).array["n"][0] == 4.5
