"""TAP, asked directly, by stilts (taplint, tapquery, xsdvalidate) and by pyvo."""

from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree as ET
from typing import Any

import httpx
import numpy as np
import pytest
import pyvo
from astropy.io import fits
from astropy.io.votable import parse, parse_single_table
from serve_client import TOKEN
from vo_site import AUTHORITY, Vo, stilts, votlint

from spectrarium.publish.tap_results import FORMATS

DOCUMENTED = {
    "F-LOC-NOTP": "no table of planned observations is published",
    "W-CAP-CPSM": "bearer tokens (AuthVO) came after SSO 2.0",
    "W-EXA-EXVL": "it does not know the types of columns, and so not whether similarity takes them",
}  # fmt: skip
"""What taplint may say, and why."""


def ask(vo: Vo, query: str, token: str | None = None, **more: Any) -> Any:
    return vo.get("/tap/sync", token, LANG="ADQL", QUERY=query, **more)


def table(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    return parse_single_table(io.BytesIO(answer.content))


def records(vo: Vo, query: str, token: str | None = None, **more: Any) -> list[dict[str, str]]:
    answer = ask(vo, query, token, RESPONSEFORMAT="csv", **more)
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


def infos(answer: Any) -> dict[str, str]:
    return dict(re.findall(r'<INFO name="([^"]*)" value="([^"]*)"', answer.text))


def refusal(answer: Any, status: int = 400) -> str:
    """What a DALI error document says."""
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["content-type"] == "application/x-votable+xml"
    found = [i for r in parse(io.BytesIO(answer.content)).resources for i in r.infos]
    assert [(i.name, i.value) for i in found] == [("QUERY_STATUS", "ERROR")]
    assert "Traceback" not in answer.text
    return str(found[0].content)


@pytest.fixture(scope="module")
def embedding(vo) -> str:
    found = records(vo, "SELECT table_name FROM tap_schema.tables WHERE table_name LIKE "
                    "'spectra.embedding_%'")  # fmt: skip
    return found[0]["table_name"]


# queries --------------------------------------------------------------------------------------


def test_answers_carry_the_metadata_of_their_sources(vo, tmp_path):
    answer = ask(
        vo,
        "SELECT TOP 5 target_name, s_ra, s_dec, t_min, snr AS signal, "
        "2 * snr AS double_signal, access_url FROM ivoa.obscore ORDER BY snr DESC",
    )
    found = table(answer)
    fields = {f.name: f for f in found.fields}
    assert list(fields) == ["target_name", "s_ra", "s_dec", "t_min", "signal", "double_signal",
                            "access_url"]  # fmt: skip
    assert fields["s_ra"].unit == "deg"
    assert fields["s_ra"].ucd == "pos.eq.ra"
    assert fields["s_ra"].utype.startswith("obscore:Char.SpatialAxis")
    assert fields["signal"].ucd == "stat.snr"
    read = found.to_table()
    assert list(read["signal"]) == sorted(read["signal"], reverse=True)
    np.testing.assert_allclose(read["double_signal"], 2 * read["signal"])
    assert read["access_url"][0].startswith(
        f"{vo.base}/vo/datalink/links?ID=ivo%3A%2F%2F{AUTHORITY}"
    )
    assert infos(answer)["QUERY_STATUS"] == "OK"
    votlint(answer.content, tmp_path)


def test_get_and_post_and_all_forms_of_asking(vo):
    query = "SELECT count(*) AS n FROM spectra.observations"
    for params in (
        {"LANG": "ADQL"}, {"lang": "adql-2.0"}, {"Lang": "ADQL-2.1", "REQUEST": "doQuery"},
        {"LANG": "ADQL", "request": "DOQUERY", "VERSION": "1.0", "RUNID": "me"},
    ):  # fmt: skip
        params = {**params, "Query": query, "FORMAT": "csv"}
        parts = {k: (None, v) for k, v in params.items()}
        for answer in (vo.get("/tap/sync", **params), vo.post("/tap/sync", data=params),
                       vo.post("/tap/sync", files=parts)):  # fmt: skip
            assert answer.status_code == 200, answer.text
            assert answer.text.split() == ["n", "98"]


@pytest.mark.parametrize("one", FORMATS, ids=lambda f: f.name)
def test_formats(vo, one):
    for word in one.words:
        answer = ask(vo, "SELECT TOP 7 obs_publisher_did, s_ra, em_xel FROM ivoa.obscore",
                     RESPONSEFORMAT=word)  # fmt: skip
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith(one.media_type.split(";")[0])
    if one.name == "fits":
        with fits.open(io.BytesIO(answer.content)) as found:
            assert len(found[1].data) == 7


def test_maxrec_and_overflow(vo):
    query = "SELECT obs_id FROM spectra.observations"
    for most, rows in ((0, 0), (3, 3), (98, 98), (1000, 98)):
        answer = ask(vo, query, MAXREC=most)
        assert len(table(answer).array) == rows
        assert ('value="OVERFLOW"' in answer.text) == (rows < 98)
    assert 'value="OVERFLOW"' not in ask(vo, query.replace("SELECT", "SELECT TOP 3"), MAXREC=3).text
    assert len(table(ask(vo, query, MAXREC=10**12)).array) == 98


def test_values_of_every_type_please_votlint(vo, tmp_path):
    query = """SELECT TOP 9 POINT(s_ra, s_dec) AS p, CIRCLE(s_ra, s_dec, 1) AS c, s_region,
        POLYGON(10, 10, 20, 10, 20, 20) AS g, CAST('2020-01-01T00:00:00' AS TIMESTAMP) AS ts,
        'α' || obs_id AS w, 1.5 AS d, 2 AS i, NULL AS nothing, em_xel, IN_UNIT(em_min, 'nm') AS nm
        FROM ivoa.obscore ORDER BY obs_id"""
    for form in ("votable", "votable/td"):
        answer = ask(vo, query, RESPONSEFORMAT=form)
        content = answer.content
        if (
            form == "votable"
        ):  # votlint 3.4.7 loses its place in binary polygons, which stilts reads
            content = content.replace(b' xtype="polygon"', b"")
        votlint(content, tmp_path)
        found = table(answer)
        said = {f.name: (f.datatype, f.arraysize, f.xtype, str(f.unit or "")) for f in found.fields}
        assert said["p"] == ("double", "2", "point", "deg")
        assert said["c"] == ("double", "3", "circle", "deg")
        assert said["g"] == ("double", "*", "polygon", "deg")
        assert said["ts"] == ("char", "*", "timestamp", "")
        assert said["w"][0] == "unicodeChar"
        assert said["nm"] == ("double", None, None, "nm")
        read = found.to_table(use_names_over_ids=True)
        assert read["w"][0].startswith("α")
        np.testing.assert_allclose(read["g"][0], [10, 10, 20, 10, 20, 20])
        assert str(read["ts"][0]) == "2020-01-01T00:00:00.000"
    for form in ("csv", "tsv", "text", "json", "fits", "parquet"):
        assert ask(vo, query, RESPONSEFORMAT=form).status_code == 200
    answer = ask(vo, "SELECT ivo_histogram(snr, 0, 100, 4) AS h, count(*) AS n, avg(snr) AS m "
                 "FROM ivoa.obscore")  # fmt: skip
    votlint(answer.content, tmp_path)
    assert sum(table(answer).array["h"][0]) == 98


def test_no_rows_and_no_values(vo, tmp_path):
    answer = ask(vo, "SELECT * FROM spectra.observations WHERE s_ra > 1000")
    assert len(table(answer).array) == 0
    votlint(answer.content, tmp_path)
    answer = ask(vo, "SELECT * FROM ivoa.obscore")
    votlint(answer.content, tmp_path)
    assert np.ma.getmaskarray(table(answer).array["s_fov"]).all()


def test_every_table_pleases_votlint(vo, tmp_path):
    for row in records(vo, "SELECT table_name FROM tap_schema.tables"):
        for form in ("votable", "votable/td"):
            answer = ask(vo, f"SELECT * FROM {row['table_name']}", RESPONSEFORMAT=form)
            votlint(answer.content, tmp_path)


def test_a_cone_finds_what_is_in_it(vo):
    every = records(vo, "SELECT obs_publisher_did, s_ra, s_dec FROM ivoa.obscore "
                    "WHERE s_ra IS NOT NULL")  # fmt: skip
    ra, dec = (np.radians([float(r[c]) for r in every]) for c in ("s_ra", "s_dec"))
    for at in (0, 40):
        cos = np.sin(dec) * np.sin(dec[at]) + np.cos(dec) * np.cos(dec[at]) * np.cos(ra - ra[at])
        inside = np.degrees(np.arccos(np.clip(cos, -1, 1))) < 20
        centre = f"{every[at]['s_ra']}, {every[at]['s_dec']}"
        for name in ("ivoa.obscore", "spectra.observations"):
            found = records(vo, f"SELECT obs_publisher_did FROM {name} WHERE CONTAINS(POINT(s_ra, "
                            f"s_dec), CIRCLE({centre}, 20)) = 1")  # fmt: skip
            wanted = {r["obs_publisher_did"] for r, i in zip(every, inside, strict=True) if i}
            assert {r["obs_publisher_did"] for r in found} == wanted


def test_similarity_orders_as_similar_does(vo, embedding):
    did = records(vo, f"SELECT TOP 1 obs_publisher_did AS d FROM {embedding}")[0]["d"]
    call = f"similarity(obs_publisher_did, '{did}')"
    found = records(vo, f"SELECT TOP 10 obs_publisher_did AS d, {call} AS s FROM {embedding} "
                    "ORDER BY s")  # fmt: skip
    assert found[0] == {"d": did, "s": "0"}
    far = [float(r["s"]) for r in found]
    assert far == sorted(far)
    there = call.replace("(", "(o.", 1)
    same = records(vo, f"SELECT TOP 10 o.obs_publisher_did AS d, {there} AS s FROM ivoa.obscore "
                   "AS o ORDER BY s")  # fmt: skip
    assert same == found
    name = records(vo, "SELECT model_name AS n FROM spectra.models")[0]["n"]
    named = call.replace(")", f", '{name}')")
    assert records(vo, f"SELECT TOP 10 obs_publisher_did AS d, {named} AS s FROM spectra.scores "
                   "WHERE score = 'combined' ORDER BY s") == found  # fmt: skip
    near = records(vo, f"SELECT count(*) AS n FROM ivoa.obscore WHERE {call} <= {far[4]}")
    assert near == [{"n": "5"}]
    answer = vo.get("/similar", ID=did, K=9, RESPONSEFORMAT="votable")
    theirs = table(answer).to_table(use_names_over_ids=True)
    assert [str(d) for d in theirs["obs_publisher_did"]] == [r["d"] for r in found][
        len(found) - len(theirs):]  # fmt: skip


def test_what_has_no_vector_is_said(vo, embedding):
    for call, says in (
        ("similarity(obs_publisher_did, 'ivo://x/y?z')", "no vector"),
        ("similarity(obs_publisher_did, 'ivo://x/y?z', 'other')", "no model"),
        ("similarity(obs_publisher_did, obs_publisher_did)", "similarity takes"),
        ("similarity(obs_publisher_did)", ""), ("similarity()", ""),
    ):  # fmt: skip
        assert says in refusal(ask(vo, f"SELECT {call} AS s FROM {embedding}"))


def test_joins_of_the_archives_tables(vo):
    found = records(
        vo,
        """
        SELECT o.target_name, s.significance, l.teff, c.snr
        FROM spectra.scores AS s
          JOIN spectra.observations AS c ON c.obs_publisher_did = s.obs_publisher_did
          JOIN ivoa.obscore AS o ON o.obs_publisher_did = c.obs_publisher_did
          LEFT JOIN spectra.labels_truth AS l ON l.obs_publisher_did = c.obs_publisher_did
        WHERE s.score = 'combined' AND s.strangeness_rank <= 5 ORDER BY s.significance DESC""",
    )
    assert len(found) == 5
    assert all(float(r["significance"]) > 0 for r in found)


# errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("params", "says"), [
    ({}, "QUERY is missing"), ({"QUERY": " "}, "QUERY is missing"),
    ({"QUERY": "SELECT 1 FROM ivoa.obscore", "LANG": "PQL"}, "'pql'"),
    ({"QUERY": "SELECT 1 FROM ivoa.obscore", "REQUEST": "explode"}, "REQUEST"),
    ({"QUERY": "SELECT 1 FROM ivoa.obscore", "VERSION": "7"}, "TAP"),
    ({"QUERY": "SELECT 1 FROM ivoa.obscore", "MAXREC": "-1"}, "MAXREC"),
    ({"QUERY": "SELECT 1 FROM ivoa.obscore", "MAXREC": "many"}, "MAXREC"),
    ({"QUERY": "SELECT 1 FROM ivoa.obscore", "RESPONSEFORMAT": "html"}, "html"),
    ({"QUERY": "SELECT 1 FROM ivoa.obscore", "UPLOAD": "t,param:none"}, "none"),
    ({"QUERY": "SELECT"}, "no column"),
    ({"QUERY": "SELECT nope FROM ivoa.obscore"}, "line 1, column 8: there is no"),
    ({"QUERY": "SELECT * FROM nope"}, "nope"), ({"QUERY": "SELECT * FROM ivoa.nope"}, "nope"),
    ({"QUERY": "x" * 90_000}, ""), ({"QUERY": "SELECT 'é\U0001f600"}, ""),
])  # fmt: skip
def test_bad_requests(vo, params, says):
    if len(params.get("QUERY", "")) < 60_000:
        assert says in refusal(vo.get("/tap/sync", **{"LANG": "ADQL", **params}))
    assert says in refusal(vo.post("/tap/sync", data={"LANG": "ADQL", **params}))


def test_long_lists_of_identifiers(vo):
    few = "SELECT TOP 3 obs_id FROM ivoa.obscore WHERE obs_collection = 'MOCK' ORDER BY obs_id"
    known = [r["obs_id"] for r in records(vo, few)]
    names = [f"ivo://org.example.test/archive?MOCK/{i:020d}" for i in range(2200)]
    words = ", ".join(f"'{n}'" for n in (*names, *known))
    query = f"SELECT obs_id FROM ivoa.obscore WHERE obs_id IN ({words}) ORDER BY obs_id"
    assert len(query) > 120_000
    form = {"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": "csv"}
    answer = vo.post("/tap/sync", data=form)
    assert list(csv.DictReader(io.StringIO(answer.text))) == [{"obs_id": k} for k in known]
    job = vo.post("/tap/async", data={**form, "QUERY": "SELECT 1"}).headers["location"]
    for path, data in (("/parameters", form), ("/phase", {"PHASE": "RUN"})):
        assert httpx.post(job + path, data=data, timeout=60).status_code == 303
    httpx.get(job, params={"WAIT": "60", "PHASE": "QUEUED"}, timeout=90)
    httpx.get(job, params={"WAIT": "60", "PHASE": "EXECUTING"}, timeout=90)
    assert httpx.get(f"{job}/results/result").text == answer.text
    for more in ({"QUERY": query + " " + "x" * 400_000}, {"RUNID": "x" * 100_001},
                 {"x" * 300: "y"}, {"n": ["1"] * 10_001}):  # fmt: skip
        refusal(vo.post("/tap/sync", data={**form, **more}))
    said = refusal(vo.post("/tap/sync", data={**form, "QUERY": "SELECT " + "x" * 500_000}))
    assert "QUERY has 500007 characters, more than 500000" in said
    assert "upload long lists as a table" in said


def test_doubled_parameters(vo):
    answer = vo.get("/tap/sync", LANG="ADQL", QUERY=["SELECT 1 FROM ivoa.obscore", "SELECT 2"])
    assert refusal(answer).startswith("MultiValuedParamNotSupported")


def test_other_methods_and_addresses(vo):
    for method in ("PUT", "DELETE", "PATCH"):
        assert httpx.request(method, vo.at("/tap/sync"), timeout=60).status_code == 405
    assert "TAP" in refusal(vo.get("/tap"))
    assert "no table" in refusal(vo.get("/tap/tables/ivoa.nope"), 404)
    assert "DETAIL" in refusal(vo.get("/tap/tables", detail="much"))


# what the service says of itself --------------------------------------------------------------

_CAPABILITIES = "{http://www.ivoa.net/xml/VOSICapabilities/v1.0}capabilities"


def test_vosi_documents_are_valid(vo, tmp_path):
    for name in ("capabilities", "availability", "tables", "tables?detail=min",
                 "tables/ivoa.obscore"):  # fmt: skip
        path = tmp_path / "doc.xml"
        answer = vo.get(f"/tap/{name}")
        assert answer.status_code == 200
        path.write_bytes(answer.content)
        stilts("xsdvalidate", "uselocals=true", f"doc={path}")
    assert vo.get("/tap/tables", detail="min").text.count("<column") == 0
    assert vo.get("/tap/tables").text.count("<column") > 150


def test_capabilities_name_what_there_is(vo):
    root = ET.fromstring(vo.get("/tap/capabilities").content)
    assert root.tag == _CAPABILITIES
    tap = root[0]
    assert tap.get("standardID") == "ivo://ivoa.net/std/TAP"
    assert tap.find("interface/accessURL").text == vo.at("/tap")
    mimes = {e.text for e in tap.iter("mime")}
    assert mimes == {f.media_type for f in FORMATS}
    forms = [e.text for e in tap.iter("form")]
    assert any(f.startswith("similarity(") for f in forms)
    assert any(f.startswith("ivo_healpix_index(") for f in forms)
    about = {e.findtext("form"): e.findtext("description") for e in tap.iter("feature")}
    for start, said in (("similarity(", "did is an identifier in quotes, no column"),
                        ("MOC(", "about points"), ("ivo_healpix_index(", "no column")):  # fmt: skip
        found = [v for k, v in about.items() if k.startswith(start)]
        assert len(found) == 2
        assert all(said in v for v in found)
    assert vo.get("/tap/sync", REQUEST="getCapabilities").headers["location"] == vo.at(
        "/tap/capabilities")  # fmt: skip


def test_tap_schema_describes_itself_and_vosi_says_the_same(vo):
    told = records(vo, 'SELECT table_name, column_name, datatype, arraysize, xtype, "size", unit, '
                   "ucd, indexed, principal, std FROM tap_schema.columns")  # fmt: skip
    names = {r["table_name"] for r in told}
    assert {f"tap_schema.{n}" for n in ("schemas", "tables", "columns", "keys", "key_columns")
            } <= names  # fmt: skip
    assert {r["table_name"] for r in records(vo, "SELECT * FROM tap_schema.tables")} == names
    root = ET.fromstring(vo.get("/tap/tables").content)
    seen = {
        (t.findtext("name"), c.findtext("name"), c.find("dataType").text, c.findtext("unit") or "")
        for t in root.iter("table")
        for c in t.iter("column")
    }
    assert seen == {(r["table_name"], r["column_name"], r["datatype"], r["unit"]) for r in told}
    keys = records(
        vo,
        "SELECT k.key_id, from_table, target_table, from_column FROM "
        "tap_schema.keys AS k JOIN tap_schema.key_columns AS c ON k.key_id = c.key_id",
    )
    assert ("spectra.scores", "spectra.observations") in {
        (r["from_table"], r["target_table"]) for r in keys}  # fmt: skip


def test_every_example_can_be_asked(vo):
    root = ET.fromstring(vo.get("/tap/examples").content)
    found = [e for e in root.iter() if e.get("typeof") == "example"]
    assert {"cone", "similar", "similar-obscore", "strangest"} <= {e.get("id") for e in found}
    for one in found:
        query = next(e.text for e in one.iter() if e.get("property") == "query")
        assert len(table(ask(vo, query)).array) > 0, one.get("id")


# programs of others ---------------------------------------------------------------------------


def test_taplint(vo):
    said = stilts("taplint", f"tapurl={vo.at('/tap')}", "report=EWF", "maxrepeat=20")
    lines = [line for line in said.splitlines() if re.match("[EWF]-", line)]
    assert not [line for line in lines if not line.startswith(tuple(DOCUMENTED))], "\n".join(lines)
    assert all("similarity(param1, STRING)" in line for line in lines if "EXVL" in line), said


def test_tapquery(vo, tmp_path, embedding):
    out = tmp_path / "out.csv"
    query = "SELECT TOP 4 obs_id, s_ra FROM ivoa.obscore ORDER BY s_ra"
    for mode in (["sync=true"], ["sync=false", "poll=100"]):
        stilts("tapquery", f"tapurl={vo.at('/tap')}", f"adql={query}", *mode,
               f"out={out}", "ofmt=csv")  # fmt: skip
        rows = list(csv.DictReader(out.open()))
        assert len(rows) == 4
        assert [float(r["s_ra"]) for r in rows] == sorted(float(r["s_ra"]) for r in rows)


def test_pyvo(vo):
    service = pyvo.dal.TAPService(vo.at("/tap"))
    assert service.available
    assert service.maxrec == 20_000
    assert service.hardlimit == 1_000_000
    assert set(service.tables.keys()) >= {"ivoa.obscore", "spectra.observations"}
    column = next(c for c in service.tables["ivoa.obscore"].columns if c.name == "s_ra")
    assert column.unit == "deg"
    found = service.search("SELECT TOP 3 * FROM ivoa.obscore ORDER BY snr DESC")
    assert len(found) == 3
    assert found.fielddescs[0].name == "dataproduct_type"
    assert len(service.search("SELECT * FROM ivoa.obscore", maxrec=2)) == 2
    with pytest.raises(pyvo.dal.DALQueryError, match="nope"):
        service.search("SELECT nope FROM ivoa.obscore")
    assert len(service.examples) >= 5
    assert len(found[0].getdatalink()) > 0


def test_pyvo_in_the_background(vo):
    job = pyvo.dal.TAPService(vo.at("/tap")).submit_job("SELECT TOP 5 obs_id FROM ivoa.obscore")
    job.run()
    job.wait(timeout=60)
    job.raise_if_error()
    assert len(job.fetch_result()) == 5
    job.delete()


# who may see what -----------------------------------------------------------------------------


def test_what_is_hidden_is_in_no_table(vo):
    counts = {}
    for token in (None, TOKEN):
        names = [r["table_name"] for r in records(vo, "SELECT table_name FROM tap_schema.tables",
                                                  token)]  # fmt: skip
        for name in names:
            answer = ask(vo, f"SELECT * FROM {name}", token, RESPONSEFORMAT="csv")
            assert answer.status_code == 200, (name, answer.text)
            counts[name, token] = answer.text.count("\n")
            if token is None:
                assert "SECRET" not in answer.text, name
                assert "Hidden" not in answer.text, name
    for name in ("ivoa.obscore", "spectra.observations"):
        assert counts[name, TOKEN] == counts[name, None] + 2
    for query in (
        "SELECT count(*) AS n FROM ivoa.obscore WHERE obs_collection = 'SECRET'",
        "SELECT count(*) AS n FROM spectra.observations WHERE target_name LIKE 'Hid%'",
    ):
        assert records(vo, query) == [{"n": "0"}]
        assert records(vo, query, TOKEN) == [{"n": "2"}]
    did = f"ivo://{AUTHORITY}/SECRET?s1"
    assert "no vector" in refusal(ask(vo, f"SELECT similarity(obs_publisher_did, '{did}') AS s "
                                      "FROM ivoa.obscore"))  # fmt: skip
    assert "SECRET" not in vo.get("/tap/examples").text


def test_guests_are_told_that_there_is_more(vo):
    assert "ivoa_bearer" in ask(vo, "SELECT 1 AS x FROM ivoa.obscore").headers["www-authenticate"]
    assert ask(vo, "SELECT 1 AS x FROM ivoa.obscore", "wrong" * 5).status_code == 401
