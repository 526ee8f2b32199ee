"""Objects, likeness, outliers and files over HTTP, as a page asks for them; and what is hidden."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import parse_single_table
from serve_client import HOSTILE, SLASHED, TOKEN, WRITE, Site, error, first_id, path
from starlette.testclient import TestClient

import spectrarium as sp
from spectrarium.people import People

# objects --------------------------------------------------------------------------------------


def test_an_object_says_everything(client: TestClient, site: Site) -> None:
    name = first_id(site)
    found = client.get(f"/api/object/{path(name)}").json()
    row = site.store.resolve(name)
    assert found["id"] == name
    assert found["row"] == row
    assert found["uid"] == str(int(site.store.index.value("uid", np.array([row]))[0]))
    assert found["record"]["obs_collection"] == "MOCK"
    assert "truth.obj_class" in found["record"]
    assert found["units"]["s_ra"] == "deg"
    assert found["about"]["snr"]
    assert found["provenance"]["reader"]
    assert isinstance(found["provenance"]["warnings"], list)
    assert found["provenance"]["file"].endswith(".fits")
    (embedding,) = found["provenance"]["embeddings"]
    assert len(embedding["weights_hash"]) == 64
    assert {f["kind"] for f in found["files"]} == {"native", "sdm-votable", "sdm-fits", "csv"}


def test_files_are_read_back_by_others(client: TestClient, site: Site, tmp_path: Path) -> None:
    name = first_id(site)
    whole = site.store.read(name)
    files = client.get(f"/api/object/{path(name)}").json()["files"]
    for one in files:
        answer = client.get(one["href"])
        assert answer.status_code == 200
        assert answer.headers["content-disposition"].startswith("attachment;")
        data = answer.content
        if one["kind"] == "sdm-votable":
            table = parse_single_table(io.BytesIO(data)).to_table()
            assert np.array_equal(table["flux"], whole.flux)
        elif one["kind"] == "sdm-fits":
            with fits.open(io.BytesIO(data), checksum=True) as opened:
                assert np.array_equal(opened[1].data["FLUX"][0], whole.flux)
        elif one["kind"] == "csv":
            lines = [x for x in data.decode().splitlines() if not x.startswith("#")]
            flux = np.array([x.split(",")[1] for x in lines[1:]], whole.flux.dtype)
            assert np.array_equal(flux, whole.flux)
        else:
            row = site.store.resolve(name)
            original = site.store.catalogue([row], ["access_path"]).column(0)[0].as_py()
            assert data == Path(original).read_bytes()


def test_a_changed_or_lost_original_is_not_given(tmp_path: Path) -> None:
    text = tmp_path / "one.txt"
    text.write_text("\n".join(f"{4000 + i} {1 + i % 5}" for i in range(300)))
    archive = sp.open(tmp_path / "archive")
    archive.ingest([text], workers=0, wave_unit="Angstrom", collection="T")
    site = Site(tmp_path / "archive", tmp_path / "people.sqlite")
    name = path(first_id(site, "obs_collection = 'T'"))
    with site.client() as client:
        assert client.get(f"/api/object/{name}/file?kind=native").content == text.read_bytes()
        text.write_text("something else")
        error(client.get(f"/api/object/{name}/file?kind=native"), 422, "changed_file")
        text.unlink()
        error(client.get(f"/api/object/{name}/file?kind=native"), 404, "no_file")
        kinds = {f["kind"] for f in client.get(f"/api/object/{name}").json()["files"]}
        assert "native" not in kinds
        error(client.get(f"/api/object/{name}/file?kind=zip"), 400, "bad_parameter")


def test_hostile_names_stay_text_and_out_of_headers(client: TestClient) -> None:
    found = client.get(f"/api/object/{path('ODD:o1')}")
    assert found.json()["record"]["target_name"] == HOSTILE
    assert found.headers["content-type"] == "application/json"
    for kind in ("csv", "sdm-votable", "sdm-fits"):
        answer = client.get(f"/api/object/{path('ODD:' + SLASHED)}/file", params={"kind": kind})
        assert answer.status_code == 200
        shown = answer.headers["content-disposition"]
        assert "/" not in shown.split("filename=")[1]
        assert "\n" not in shown


def test_similar_says_what_and_why(client: TestClient, site: Site) -> None:
    name = first_id(site)
    found = client.get(f"/api/object/{path(name)}/similar", params={"k": 5}).json()
    assert len(found["answers"]) == 5
    assert found["models"]
    n = len(found["wave_aa"])
    assert n <= 1500
    assert len(found["query"]["flux"]) == n
    for rank, one in enumerate(found["answers"], 1):
        assert one["rank"] == rank
        assert one["id"] != name
        assert one["uid"].isdecimal()
        for trace in ("flux", "difference", "why", "sigma", "likeness"):
            assert len(one[trace]) == n
        assert sum(v or 0.0 for v in one["why"]) == pytest.approx(1.0, abs=0.02)
        assert all(set(d) >= {"lo_aa", "hi_aa", "contribution", "sign", "lines"}
                   for d in one["drivers"])  # fmt: skip
    values = [one["value"] for one in found["answers"]]
    assert values == sorted(values)
    alone = sp.open(site.archive).similar(name, k=5, explain=True)
    assert [a.row for a in alone.answers] == [a["row"] for a in found["answers"]]


@pytest.mark.parametrize("params", [
    {"window": "5000,5200"}, {"line": "H_alpha"}, {"rerank": "1"}, {"where": "snr > 10"},
    {"encoder": "pca"},
])  # fmt: skip
def test_similar_by_other_measures(client: TestClient, site: Site, params: dict[str, str]) -> None:
    answer = client.get(f"/api/object/{path(first_id(site))}/similar", params={"k": 3} | params)
    assert answer.status_code == 200, answer.text
    assert answer.json()["answers"]


@pytest.mark.parametrize(("params", "code"), [
    ({"k": "0"}, "bad_parameter"), ({"k": "101"}, "bad_parameter"),
    ({"window": "7,6"}, "bad_parameter"), ({"window": "x"}, "bad_parameter"),
    ({"line": "nope"}, "unknown_line"), ({"model": "nope"}, ""),
    ({"encoder": "nope"}, ""), ({"where": "("}, "bad_filter"),
    ({"window": "5000,5200", "line": "H_alpha"}, "bad_window"),
])  # fmt: skip
def test_likeness_that_is_none_is_refused(
    client: TestClient, site: Site, params: dict[str, str], code: str
) -> None:
    answer = client.get(f"/api/object/{path(first_id(site))}/similar", params=params)
    assert answer.status_code in (400, 404), answer.text
    if code:
        assert answer.json()["error"]["code"] == code


def test_scores_and_tags_of_an_object(client: TestClient, site: Site) -> None:
    name = path(first_id(site))
    found = client.get(f"/api/object/{name}/scores").json()["scores"]
    assert {s["name"] for s in found} >= {"combined", "reconstruction", "density"}
    for one in found:
        assert one["model"].startswith("pca")
        if one["value"] is not None:
            assert 0 <= one["percentile"] <= 100
            assert 1 <= one["rank"] <= one["of"]
    assert client.get(f"/api/object/{name}/tags").json()["tags"] == []


# outliers -------------------------------------------------------------------------------------


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["answers"]]


def test_outliers_page_by_page(local: TestClient, site: Site) -> None:
    whole = local.get("/api/outliers", params={"k": 20})
    found = whole.json()
    assert found["score"] == "combined"
    assert set(found["scores"]) >= {"combined", "reconstruction", "density"}
    assert found["rerank"] is None
    one = found["answers"][0]
    assert (one["rank"], one["was_rank"], one["judgement"]) == (1, 1, None)
    assert one["percentile"] == 100.0
    n = len(one["spark"]["wave_aa"])
    assert n <= 240
    assert len(one["spark"]["flux"]) == len(one["spark"]["expected"]) == n
    pages = [i for off in (0, 7, 14) for i in ids(local.get(
        "/api/outliers", params={"k": 7, "offset": off}))]  # fmt: skip
    assert pages[:20] == ids(whole)
    assert ids(local.get("/api/outliers", params={"offset": 10**6})) == []
    alone = sp.open(site.archive).outliers(k=5)
    assert [a.row for a in alone.answers] == [a["row"] for a in found["answers"][:5]]
    few = local.get("/api/outliers", params={"where": "snr > 20"}).json()
    assert 0 < few["count"] < found["count"]
    binned = local.get("/api/outliers", params={"bins": "snr"}).json()
    assert binned["answers"][0]["bin_rank"] == 1


def test_judgements_re_rank_and_are_kept(local: TestClient) -> None:
    before = local.get("/api/outliers", params={"k": 60}).json()["answers"]
    low = before[30]
    for one, verdict in ((before[0], "artefact"), (low, "interesting")):
        body = {"id": one["id"], "score": "combined", "verdict": verdict}
        assert local.post("/api/judgements", json=body).status_code == 200
    after = local.get("/api/outliers", params={"k": 60, "rerank": 1}).json()
    assert after["rerank"]["used"] == 2
    assert after["rerank"]["how"]
    place = {one["id"]: one for one in after["answers"]}
    assert place[low["id"]]["rank"] < 6
    assert place[low["id"]]["was_rank"] == 31
    assert place[low["id"]]["judgement"] == "interesting"
    first = place.get(before[0]["id"])
    assert first is None or first["rank"] > 15
    plain = local.get("/api/outliers", params={"k": 60}).json()["answers"]
    assert [one["id"] for one in plain] == [one["id"] for one in before]
    assert plain[0]["judgement"] == "artefact"
    other = local.get("/api/outliers", params={"score": "density", "rerank": 1}).json()
    assert other["rerank"]["used"] == 0


@pytest.mark.parametrize("params", [
    {"k": "0"}, {"k": "61"}, {"offset": "-1"}, {"score": "nope"}, {"model": "nope"},
    {"where": "drop table"}, {"bins": "nope"}, {"score": "label"}, {"encoder": "nope"},
    {"score": "../x"},
])  # fmt: skip
def test_lists_that_are_none_are_refused(client: TestClient, params: dict[str, str]) -> None:
    answer = client.get("/api/outliers", params=params)
    assert answer.status_code in (400, 404), answer.text
    assert "Traceback" not in answer.text


def test_slow_scores_want_a_job(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    from spectrarium.run import ranking

    monkeypatch.setattr(ranking, "AT_ONCE", 10)
    error(client.get("/api/outliers", params={"score": "total"}), 400, "needs_job")
    assert client.get("/api/outliers").status_code == 200  # kept, so at hand


# what is hidden -------------------------------------------------------------------------------


def test_what_is_hidden_is_nowhere(desk: Site) -> None:
    """Guests learn nothing of a private collection by any of these routes."""
    with People(desk.people) as people:
        people.collections.declare("ODD", "public")
        people.collections.declare("MOCK", "public")
        people.collections.declare("SECRET", "private")
    secret = [int(r) for r in desk.store.find("obs_collection = 'SECRET'")]
    seen = [int(r) for r in desk.store.find("obs_collection = 'MOCK'")]
    with desk.client(token=TOKEN) as guest:
        guest.headers.update(WRITE)
        for route in ("spectrum/{}", "object/{}", "object/{}/similar", "object/{}/scores",
                      "object/{}/file"):  # fmt: skip
            error(guest.get("/api/" + route.format(path("SECRET:s1"))), 404, "unknown_id")
        for route in ("stack", "stack/members", "compare"):
            error(guest.post(f"/api/{route}", json={"rows": [seen[0], secret[0]]}), 404, "no_row")
        name = first_id(desk)
        found = guest.get(f"/api/object/{path(name)}").json()
        assert "/" not in found["provenance"]["file"]
        assert "/" not in found["record"]["access_path"]
        near = guest.get(f"/api/object/{path(name)}/similar", params={"k": 100})
        assert near.status_code == 200
        listed = guest.get("/api/outliers", params={"k": 60})
        assert listed.status_code == 200
        assert "SECRET" not in near.text + listed.text
        assert "Hidden" not in near.text + listed.text


def test_an_original_that_holds_hidden_spectra_is_not_given(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    wave = np.linspace(4000.0, 5000.0, 200)
    pool = tmp_path / "pool.parquet"
    rows = [{"obs_id": f"p{i}", "survey": s, "wavelength": wave, "flux": np.ones(200) + i}
            for i, s in enumerate(("OPEN", "OPEN", "CLOSED"))]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), pool)
    archive = sp.open(tmp_path / "archive")
    archive.ingest([pool], workers=0, wave_unit="Angstrom")
    collections = set(archive.store.column("obs_collection").to_pylist())
    site = Site(tmp_path / "archive", tmp_path / "people.sqlite")
    if len(collections) < 2:  # the reader keeps one collection a file: tell two apart by hand
        text = tmp_path / "two.txt"
        text.write_text("\n".join(f"{4000 + i} {1 + i % 5}" for i in range(300)))
        for name in ("OPEN", "CLOSED"):
            archive.ingest([text], workers=0, wave_unit="Angstrom", collection=name, reread=True)
    with People(site.people) as people:
        for name in set(archive.refresh().store.column("obs_collection").to_pylist()) - {"CLOSED"}:
            people.collections.declare(name, "public")
        people.collections.declare("CLOSED", "private")
    name = path(first_id(site, "obs_collection = 'OPEN'"))
    with site.client(token=TOKEN) as client:
        error(client.get(f"/api/object/{name}/file?kind=native"), 404, "no_file")
        kinds = {f["kind"] for f in client.get(f"/api/object/{name}").json()["files"]}
        assert kinds == {"sdm-votable", "sdm-fits", "csv"}
        whole = {"Authorization": f"Bearer {TOKEN}"}
        assert client.get(f"/api/object/{name}/file?kind=native", headers=whole).status_code == 200
