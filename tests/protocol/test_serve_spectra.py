"""Spectra, stacks and comparisons over HTTP, as a page asks for them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from serve_client import SLASHED, Site, arrow, error, first_id, path
from starlette.testclient import TestClient

from spectrarium.serve import routes_stack


def about(answer: Any, name: str) -> dict[str, Any]:
    return json.loads(arrow(answer).schema.metadata[name.encode()])


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
