"""Spectra, stacks, objects, likeness and outliers over HTTP, as a page asks for them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import parse_single_table
from serve_client import HOSTILE, SLASHED, TOKEN, WRITE, Site, arrow, error
from starlette.testclient import TestClient

import spectrarium as sp
from spectrarium.people import People
from spectrarium.serve import routes_stack


def about(answer: Any, name: str) -> dict[str, Any]:
    return json.loads(arrow(answer).schema.metadata[name.encode()])


def first_id(site: Site, where: str = "obs_collection = 'MOCK'") -> str:
    row = site.store.find(where)[0]
    found = site.store.catalogue([row], ["obs_collection", "obs_id"]).to_pylist()[0]
    return f"{found['obs_collection']}:{found['obs_id']}"


def path(identifier: str) -> str:
    return quote(identifier, safe="")


# one spectrum ---------------------------------------------------------------------------------


def test_a_spectrum_comes_as_arrow_with_all_there_is_to_say(client: TestClient, site: Site) -> None:
    name = first_id(site)
    answer = client.get(f"/api/spectrum/{path(name)}")
    table, facts = arrow(answer), about(answer, "spectrum")
    assert table.column_names == ["wave_aa", "flux", "lo", "hi", "sigma", "masked", "flags"]
    whole = site.store.read(name)
    assert facts["id"] == name
    assert facts["n"] == whole.flux.size
    assert facts["medium"] == whole.axis.medium.value
    assert (np.diff(table.column("wave_aa").to_numpy()) > 0).all()
    assert answer.headers["X-Spectrarium-Version"] == str(site.store.version)
    few = arrow(client.get(f"/api/spectrum/{path(name)}", params={"width": 50}))
    assert few.num_rows <= 50
    assert few.column("lo").null_count == 0


def test_a_window_is_exact_and_converted(client: TestClient, site: Site) -> None:
    name = path(first_id(site))
    facts = about(client.get(f"/api/spectrum/{name}"), "spectrum")
    middle = 0.5 * (facts["first_aa"] + facts["last_aa"])
    other = "air" if facts["medium"] == "vacuum" else "vacuum"
    for medium in ("asis", other):
        params = {"lo": middle - 20, "hi": middle + 20, "medium": medium, "smooth": 2}
        answer = client.get(f"/api/spectrum/{name}", params=params)
        wave = arrow(answer).column("wave_aa").to_numpy()
        assert wave.min() >= middle - 20
        assert wave.max() <= middle + 20
        assert about(answer, "spectrum")["exact"]
    assert about(answer, "spectrum")["medium"] == other


@pytest.mark.parametrize("params", [
    {"lo": "5000", "hi": "4000"}, {"lo": "nan"}, {"width": "0"}, {"width": "1e9"}, {"smooth": "-1"},
    {"smooth": "x"}, {"medium": "water"}, {"order": "-1"}, {"lo": "-5"}, {"width": "99999999"},
])  # fmt: skip
def test_views_that_are_none_are_refused(
    client: TestClient, site: Site, params: dict[str, str]
) -> None:
    answer = client.get(f"/api/spectrum/{path(first_id(site))}", params=params)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] in ("bad_parameter", "bad_window")


def test_odd_names_survive_the_path(client: TestClient) -> None:
    for name in (SLASHED, f"ODD:{SLASHED}"):
        answer = client.get(f"/api/spectrum/{path(name)}")
        assert about(answer, "spectrum")["id"] == f"ODD:{SLASHED}"
        assert client.get(f"/api/object/{path(name)}").json()["record"]["obs_id"] == SLASHED


@pytest.mark.parametrize("name", [
    "nope", "MOCK:nope", "../../etc/passwd", "upload:x:0", "upload:", "ivo://x?y", "%",
])  # fmt: skip
@pytest.mark.parametrize("route", [
    "spectrum/{}", "object/{}", "object/{}/similar", "object/{}/scores", "object/{}/tags",
    "object/{}/file",
])  # fmt: skip
def test_unknown_ids_are_404(client: TestClient, name: str, route: str) -> None:
    answer = client.get("/api/" + route.format(path(name)))
    assert answer.status_code == 404, answer.text
    assert "Traceback" not in answer.text
    assert answer.json()["error"]["code"] in ("unknown_id", "no_upload")


def test_lines(client: TestClient) -> None:
    found = client.get("/api/lines", params={"lo": 6500, "hi": 6600}).json()["lines"]
    assert {"H_alpha", "NII_6550", "NII_6585"} == {line["name"] for line in found}
    assert all(set(line) >= {"name", "ion", "wave_vac_aa", "wave_air_aa", "kind"} for line in found)
    assert len(client.get("/api/lines").json()["lines"]) > 50


# sets -----------------------------------------------------------------------------------------


def test_a_stack_and_its_members(client: TestClient, site: Site) -> None:
    rows = site.store.find("obs_collection = 'MOCK'")[:30].tolist()
    answer = client.post("/api/stack", json={"rows": rows, "width": 300})
    table, facts = arrow(answer), about(answer, "stack")
    assert table.column_names == ["wave_aa", "p05", "p16", "p50", "p84", "p95", "error", "n"]
    assert facts["members"] == 30
    assert facts["used"] + sum(facts["left_out"].values()) == 30
    assert facts["exact"]
    bands = np.stack([table.column(n).to_numpy() for n in ("p05", "p16", "p50", "p84", "p95")])
    there = np.isfinite(bands).all(axis=0)
    assert (np.diff(bands[:, there], axis=0) >= 0).all()
    answer = client.post("/api/stack/members", json={"rows": rows, "width": 300})
    members = arrow(answer)
    wave = json.loads(members.schema.metadata[b"wave"])
    assert wave == pytest.approx(table.column("wave_aa").to_numpy())
    flux = np.array(members.column("flux").to_pylist(), np.float32)
    assert flux.shape == (facts["used"], len(wave))
    assert np.nanmedian(flux, axis=0)[there] == pytest.approx(bands[2][there], rel=1e-4)


@pytest.mark.parametrize(("body", "status", "code"), [
    ({"rows": []}, 404, "nothing_selected"), ({"rows": [10**9]}, 404, "no_row"),
    ({"rows": [-1]}, 404, "no_row"), ({"rows": ["a"]}, 400, "bad_parameter"),
    ({}, 400, "bad_parameter"), ({"rows": [0, 1], "frame": "solar"}, 400, "bad_parameter"),
    ({"rows": [0, 1], "width": 10**6}, 400, "bad_parameter"),
    ({"rows": [0, 1], "lo_aa": 5000, "hi_aa": 4000}, 400, "bad_window"),
    ({"rows": [0, 1], "lo_aa": 1, "hi_aa": 2}, 400, "nothing_to_stack"),
    ({"selection": "nope"}, 404, "no_selection"),
])  # fmt: skip
def test_stacks_of_nothing_are_refused(
    client: TestClient, body: dict[str, Any], status: int, code: str
) -> None:
    answer = client.post("/api/stack", json=body)
    if code == "nothing_selected":
        status = answer.status_code  # 400 or 404: it says what it is
    error(answer, status, code)


def test_all_of_many_is_a_job(
    client: TestClient, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes_stack, "AT_ONCE", 20)
    rows = site.store.find("obs_collection = 'MOCK'")[:40].tolist()
    answer = client.post("/api/stack", json={"rows": rows, "exact": True, "width": 200})
    assert answer.status_code == 202
    jid = answer.json()["job"]["jid"]
    for _ in range(200):
        job = client.get(f"/api/jobs/{jid}").json()
        if job["phase"] in ("COMPLETED", "ERROR", "ABORTED"):
            break
    assert job["phase"] == "COMPLETED", job
    assert "rows" not in job["params"]
    facts = about(client.get(f"/api/jobs/{jid}/result"), "stack")
    assert facts["exact"]
    assert facts["members"] == 40


@pytest.mark.parametrize("mode", ["overlay", "stack", "ratio", "trailed"])
def test_a_comparison(client: TestClient, site: Site, mode: str) -> None:
    rows = site.store.find("obs_collection = 'MOCK'")[:12].tolist()
    body = {"rows": rows, "mode": mode, "width": 200, "order_by": "snr"}
    answer = client.post("/api/compare", json=body)
    table, facts = arrow(answer), about(answer, "compare")
    x = table.column("x").to_numpy()
    assert (np.diff(x[np.isfinite(x)]) >= 0).all()
    assert len(table.column("flux")[0]) == len(json.loads(table.schema.metadata[b"wave"]))
    assert facts["x_name"] == "snr"
    assert len(json.loads(table.schema.metadata[b"median"])) == len(table.column("flux")[0])


def test_comparisons_that_are_none_are_refused(client: TestClient, site: Site) -> None:
    rows = site.store.find().tolist()
    error(client.post("/api/compare", json={"rows": rows[:61]}), 400, "too_many")
    for body in ({"mode": "x"}, {"order_by": "phase"}, {"order_by": "obs_id"}):
        error(client.post("/api/compare", json={"rows": rows[:5]} | body), 400, "bad_parameter")


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
