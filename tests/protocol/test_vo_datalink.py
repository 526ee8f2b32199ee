"""DataLink: links and services, walked by stilts and pyvo."""

from __future__ import annotations

import io
from urllib.parse import quote

import httpx
import pytest
from astropy.io.votable import parse
from serve_client import HOSTILE, SLASHED, TOKEN
from vo_site import AUTHORITY, Vo, stilts, votlint

from spectrarium.publish.datalink import About, links, native_type, rows_of
from spectrarium.publish.publisher import Publisher

PUBLISHER = Publisher(authority=AUTHORITY)
LINKS = "application/x-votable+xml;content=datalink"


@pytest.fixture(scope="module")
def dids(vo: Vo) -> list[str]:
    store = vo.site.store
    rows = store.find("obs_collection = 'MOCK'")[:3]
    return [PUBLISHER.did(r) for r in
            store.catalogue(rows, ["obs_collection", "obs_id"]).to_pylist()]  # fmt: skip


def rows_in(answer: httpx.Response) -> list[dict[str, object]]:
    assert answer.status_code == 200, answer.text
    table = parse(io.BytesIO(answer.content)).get_first_table()
    names = [f.name for f in table.fields]
    return [dict(zip(names, row, strict=True)) for row in table.array]


def url(vo: Vo, *ids: str) -> str:
    return f"{vo.base}/vo/datalink/links?" + "&".join(f"ID={quote(i, safe='')}" for i in ids)


def test_everything_there_is_to_one(vo, dids, tmp_path):
    answer = vo.get("/datalink/links", ID=dids[0])
    assert answer.headers["content-type"] == LINKS
    votlint(answer.content, tmp_path)
    rows = rows_in(answer)
    kinds = [r["semantics"] for r in rows]
    assert kinds == ["#this"] * 3 + ["#preview", "#progenitor", "#derivation"] + \
        ["#cutout"] * 2 + ["#proc"]  # fmt: skip
    assert [r["service_def"] for r in rows if r["service_def"]] == [
        "soda-sync", "soda-async", "similar"]  # fmt: skip
    for row in rows:
        assert bool(row["access_url"]) + bool(row["service_def"]) + bool(row["error_message"]) == 1
        assert row["ID"] == dids[0]
        assert row["link_auth"] == "false"
        assert row["link_authorized"]
        assert row["local_semantics"]
    assert {r["content_qualifier"] for r in rows if r["semantics"] == "#this"} == {"#spectrum"}


def test_every_link_leads_to_what_it_says(vo, dids):
    for row in rows_in(vo.get("/datalink/links", ID=dids[0])):
        if not row["access_url"] or "/vo/tap/" in str(row["access_url"]):
            continue
        answer = httpx.get(str(row["access_url"]), timeout=60)
        assert answer.status_code == 200, row
        assert answer.headers["content-type"].startswith(str(row["content_type"])), row
        if row["semantics"] == "#progenitor":
            assert len(answer.content) == row["content_length"]


def test_stilts_finds_nothing_wrong(vo, dids, tmp_path):
    secret = PUBLISHER.did({"obs_collection": "SECRET", "obs_id": "s1"})
    for found in (url(vo, dids[0]), url(vo, *dids, "ivo://a/b?c", secret), url(vo)):
        said = stilts("datalinklint", f"votable={found}")
        assert "Errors: 0; Warnings: 0" in said, said
    path = tmp_path / "capabilities.xml"
    path.write_bytes(vo.get("/datalink/capabilities").content)
    assert "ERROR" not in stilts("xsdvalidate", "uselocals=true", f"doc={path}")
    assert b"DataLink#links-1.1" in path.read_bytes()
    assert vo.get("/datalink/availability").status_code == 200


def test_each_id_has_its_own_fault(vo, dids):
    asked = ["ivo://nowhere/x?y", dids[0], "not an ivoid", "ivo://nonsense"]
    rows = rows_in(vo.get("/datalink/links", ID=asked))
    assert list(dict.fromkeys(r["ID"] for r in rows)) == asked
    faults = {r["ID"]: r["error_message"] for r in rows if r["error_message"]}
    assert set(faults) == {asked[0], asked[2], asked[3]}
    assert all(str(f).startswith("NotFoundFault: ") for f in faults.values())


def test_hidden_collections_are_not_there(vo):
    secret = PUBLISHER.did({"obs_collection": "SECRET", "obs_id": "s1"})
    rows = rows_in(vo.get("/datalink/links", ID=secret))
    assert [str(r["error_message"])[:14] for r in rows] == ["NotFoundFault:"]
    nobody = rows_in(vo.get("/datalink/links", ID=secret.replace("s1", "s9")))
    assert [str(r["error_message"]).replace("s9", "s1") for r in nobody] == \
        [str(r["error_message"]) for r in rows]  # fmt: skip
    seen = rows_in(vo.get("/datalink/links", TOKEN, ID=secret))
    assert {r["link_auth"] for r in seen} == {"true"}
    assert "#this" in {r["semantics"] for r in seen}
    assert vo.get("/datalink/links", ID=secret).headers["www-authenticate"].startswith("ivoa_b")


def test_hostile_names_stay_names(vo, tmp_path):
    store = vo.site.store
    odd = store.catalogue(store.find("obs_collection = 'ODD'")).to_pylist()
    assert HOSTILE in {r["target_name"] for r in odd}
    answer = vo.get("/datalink/links", ID=[PUBLISHER.did(r) for r in odd])
    votlint(answer.content, tmp_path)
    slashed = PUBLISHER.did({"obs_collection": "ODD", "obs_id": SLASHED})
    this = next(r for r in rows_in(answer) if r["ID"] == slashed and r["semantics"] == "#this")
    assert httpx.get(str(this["access_url"]), timeout=60).status_code == 200


def test_service_descriptors_say_what_clients_need(vo, dids):
    document = parse(io.BytesIO(vo.get("/datalink/links", ID=dids[0]).content))
    services = {r.ID: r for r in document.resources if r.utype == "adhoc:service"}
    assert set(services) == {"soda-sync", "soda-async", "similar"}
    for service in services.values():
        assert service.type == "meta"
        said = {p.name: p.value for p in service.params}
        assert said["accessURL"].startswith(vo.base)
        group = next(g for g in service.groups if g.name == "inputParams")
        inputs = {p.name: p for p in group.entries}
        assert inputs["ID"].ref == "ID"
        if service.ID != "soda-async":
            assert httpx.get(said["exampleURL"], timeout=60).status_code == 200
    sync = {p.name: p.value for p in services["soda-sync"].params}
    assert sync["standardID"] == "ivo://ivoa.net/std/SODA#sync-1.0"
    assert sync["resourceIdentifier"] == f"ivo://{AUTHORITY}/archive"  # which is registered
    band = next(p for p in services["soda-sync"].groups[0].entries if p.name == "BAND")
    row = vo.site.store.catalogue(vo.site.store.find("obs_collection = 'MOCK'")[:1]).to_pylist()[0]
    assert float(band.values.min) == pytest.approx(row["em_min"])
    assert float(band.values.max) == pytest.approx(row["em_max"])
    several = parse(io.BytesIO(vo.get("/datalink/links", ID=dids).content))
    service = next(r for r in several.resources if r.ID == "soda-sync")
    assert all(p.values.min is None for p in service.groups[0].entries)


def test_formats_and_limits(vo, dids):
    for form, kind in (("votable", LINKS), (LINKS, LINKS), ("text/xml", "text/xml"),
                       ("application/x-votable+xml;serialization=binary2",
                        "application/x-votable+xml")):  # fmt: skip
        answer = vo.get("/datalink/links", ID=dids[0], RESPONSEFORMAT=form)
        assert answer.headers["content-type"].startswith(kind)
        assert len(rows_in(answer)) == 9
    for rows in (0, 1, 5):
        answer = vo.get("/datalink/links", ID=dids, MAXREC=rows)
        assert len(rows_in(answer)) == rows
        assert (b"OVERFLOW" in answer.content) == (rows > 0)


@pytest.mark.parametrize("params", [
    {"MAXREC": "-1"}, {"MAXREC": "many"}, {"RESPONSEFORMAT": "application/pdf"},
    {"RESPONSEFORMAT": "votable", "FORMAT": "text/xml"}, {"MAXREC": ["1", "2"]},
    {"ID": "x" * 200_000}, {"ID": [f"ivo://a/b?{i}" for i in range(2000)]}, {"ID": "a\x00b"},
], ids=lambda p: str(p)[:40])  # fmt: skip
def test_bad_input(vo, dids, params):
    full = {"ID": dids[0], **params}
    answer = vo.post("/datalink/links", data=full)
    assert answer.status_code == 400
    assert b'QUERY_STATUS" value="ERROR"' in answer.content
    assert len(answer.content) < 2000


def test_pyvo_reads_it(vo, dids):
    pyvo = pytest.importorskip("pyvo")
    found = pyvo.dal.adhoc.DatalinkResults.from_result_url(url(vo, dids[0]))
    assert [p.service_def for p in found.iter_procs()] == ["soda-sync", "soda-async", "similar"]
    this = next(found.bysemantics("#this", include_narrower=False))
    content = io.BytesIO(this.getdataset().read())
    assert parse(content).get_first_table().nrows > 1000
    assert this.content_type == "application/x-votable+xml"
    progenitor = next(found.bysemantics("#progenitor", include_narrower=False))
    assert progenitor.content_length > 1000


def test_what_an_archive_knows_makes_its_rows():
    record = {"obs_collection": "C", "obs_id": "o'1", "s_ra": 1.5, "s_dec": -2.5}
    one = About("x", record=record, tags=True, scores=True, others=3, calibrations=("blaze", "sky"),
                native=("a.dat.gz", 5))  # fmt: skip
    rows = rows_of(one, PUBLISHER, similar=False)
    by = {r["local_semantics"]: r for r in rows}
    assert "QUERY=SELECT" in by["tags"]["access_url"]
    assert "%2527" in by["tags"]["access_url"], "a quote in a name is part of the name"
    assert "POS=1.5%2C-2.5" in by["same-target"]["access_url"]
    assert "blaze, sky" in by["calibration"]["description"]
    assert by["calibration"]["semantics"] == "#calibration"
    assert by["native"]["content_type"] == "application/gzip"
    assert "similar-spectra" not in by
    document = b"".join(links([one], PUBLISHER, rows=100, similar=False))
    assert b'ID="similar"' not in document


@pytest.mark.parametrize(("name", "kind"), [
    ("a.fits", "application/fits"), ("A.FIT.gz", "application/fits"), ("a.vot", LINKS[:25]),
    ("a.txt", "text/plain"), ("a.txt.gz", "application/gzip"), ("a", "application/octet-stream"),
    ("a.csv", "text/csv"), ("a.h5", "application/octet-stream"),
])  # fmt: skip
def test_types_of_native_files(name, kind):
    assert native_type(name) == kind
