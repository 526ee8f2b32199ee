"""Similar spectra as a table, from the service that links describe."""

from __future__ import annotations

import io

import pytest
from astropy.io.votable import parse_single_table
from serve_client import TOKEN
from vo_site import AUTHORITY, Vo, votlint

from spectrarium.publish.likeness import why
from spectrarium.publish.publisher import Publisher

PUBLISHER = Publisher(authority=AUTHORITY)


@pytest.fixture(scope="module")
def did(vo: Vo) -> str:
    store = vo.site.store
    rows = store.find("obs_collection = 'MOCK'")[:1]
    return PUBLISHER.did(store.catalogue(rows, ["obs_collection", "obs_id"]).to_pylist()[0])


def table_of(answer):
    assert answer.status_code == 200, answer.text
    return parse_single_table(io.BytesIO(answer.content))


def test_the_nearest_come_first_with_the_reasons(vo, did, client, tmp_path):
    answer = vo.get("/similar", ID=did, K=7)
    assert answer.headers["content-type"] == "application/x-votable+xml"
    votlint(answer.content, tmp_path)
    table = table_of(answer)
    rows = table.array
    assert len(rows) == 7
    assert list(rows["rank"]) == list(range(1, 8))
    assert (rows["distance"][1:] >= rows["distance"][:-1]).all()
    assert did not in set(rows["obs_publisher_did"])
    assert all(rows["why"])
    assert all("/vo/datalink/links?ID=ivo" in u for u in rows["access_url"])
    assert {f.name: f.utype for f in table.fields}["obs_publisher_did"] == \
        "obscore:Curation.PublisherDID"  # fmt: skip
    identifier = f"MOCK:{did.rpartition('?')[2]}"
    page = client.get(f"/api/object/{identifier}/similar", params={"k": 7}).json()["answers"]
    assert [PUBLISHER.did({"obs_collection": i.partition(":")[0], "obs_id": i.partition(":")[2]})
            for i in (a["id"] for a in page)] == list(rows["obs_publisher_did"])  # fmt: skip


def test_by_pixels_in_a_window_and_at_a_line(vo, did):
    window = table_of(vo.get("/similar", ID=did, WINDOW="5e-7 5.5e-7", K=3))
    assert all("5000" in m for m in window.array["model"])
    assert (window.array["pixel_distance"] > 0).all()
    at_line = table_of(vo.get("/similar", ID=did, LINE="Halpha", WIDTH=3000, K=3))
    assert list(at_line.array["model"]) != list(window.array["model"])
    rest = table_of(vo.get("/similar", ID=did, LINE="Halpha", FRAME="rest", K=3))
    assert all("at rest" in m for m in rest.array["model"])
    again = table_of(vo.get("/similar", ID=did, RERANK="true", K=3))
    assert (again.array["pixel_distance"] > 0).all()


def test_a_model_by_name(vo, did):
    name = vo.site.store.names("embeddings")[0]
    rows = table_of(vo.get("/similar", ID=did, MODEL=name, K=2)).array
    assert all(m.startswith(name.split(".")[0]) for m in rows["model"])
    assert vo.get("/similar", ID=did, MODEL="nobody").status_code == 404


def test_hidden_ones_are_neither_asked_about_nor_found(vo, did):
    secret = PUBLISHER.did({"obs_collection": "SECRET", "obs_id": "s1"})
    answer = vo.get("/similar", ID=secret)
    assert answer.status_code == 404
    assert b"NotFoundFault" in answer.content
    params = {"ID": secret, "WINDOW": "4.5e-7 6.5e-7", "K": 100}
    assert vo.get("/similar", TOKEN, **params).status_code == 200
    odd = PUBLISHER.did({"obs_collection": "ODD", "obs_id": "o1"})
    asked = {"ID": odd, "WINDOW": "4.5e-7 6.5e-7", "K": 100}
    guest = table_of(vo.get("/similar", **asked)).array
    assert "SECRET" not in set(guest["obs_collection"])
    assert "SECRET" in set(table_of(vo.get("/similar", TOKEN, **asked)).array["obs_collection"])


def test_maxrec(vo, did):
    answer = vo.get("/similar", ID=did, K=5, MAXREC=2)
    assert len(table_of(answer).array) == 2
    assert b"OVERFLOW" in answer.content
    assert len(table_of(vo.get("/similar", ID=did, MAXREC=0)).array) == 0


@pytest.mark.parametrize("params", [
    {"ID": ""}, {"ID": ["ivo://a/b?c", "ivo://a/b?d"]}, {"K": 0}, {"K": 101}, {"K": "few"},
    {"K": ["1", "2"]}, {"WINDOW": "5e-7"}, {"WINDOW": "6e-7 5e-7"}, {"WINDOW": "-1 1"},
    {"WINDOW": "5e-7 +Inf"}, {"LINE": "Xalpha"}, {"LINE": "x" * 1000}, {"WIDTH": "wide"},
    {"WIDTH": 3000}, {"WIDTH": -5, "LINE": "Halpha"}, {"FRAME": "moving"}, {"RERANK": "maybe"},
    {"LINE": "Halpha", "WINDOW": "5e-7 6e-7"}, {"REDSHIFT": "far"}, {"MAXREC": "-1"},
    {"REDSHIFT": 1e9, "FRAME": "rest"}, {"MODEL": "m" * 400}, {"WINDOW": "1e-9 2e-9"},
    {"ID": "x" * 90_000}, {"ID": "x" * 200_000}, {"ID": "ivo://" + "x?" * 40_000}, {"ID": "\x00"},
    {"K": "9" * 40}, {"MAXREC": ["1", "2"]}, {"MAXREC": "x"}, {"MODEL": ["a", "b"]},
    {"WINDOW": ["5e-7 5.5e-7", "5e-7 5.6e-7"]}, {"LINE": ["Halpha", "Hbeta"]},
    {"WIDTH": ["1000", "2000"], "LINE": "Halpha"}, {"FRAME": ["rest", "delivered"]},
    {"RERANK": ["true", "false"]}, {"REDSHIFT": ["0", "1"]}, {"WINDOW": "5" * 90_000},
], ids=lambda p: str(p)[:40])  # fmt: skip
def test_bad_input(vo, did, params):
    before = vo.site.store.version
    answer = vo.post("/similar", data={"ID": did, **params})
    assert answer.status_code in (400, 404), answer.text
    assert b'QUERY_STATUS" value="ERROR"' in answer.content
    assert b"Traceback" not in answer.content
    assert len(answer.content) < 2000
    assert vo.site.store.version == before


def test_why_in_one_line():
    assert why({"because": ["a", "b"], "alike": ["c"]}) == "differ: a; b | alike: c"
    assert why({"because": [], "alike": []}) == ""
