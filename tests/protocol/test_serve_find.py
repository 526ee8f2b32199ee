"""Looking for observations, their columns and what can be taken away, over HTTP."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import votable
from serve_client import HOSTILE, SLASHED, TOKEN, WRITE, arrow, error

from spectrarium.people import People

ALL = 100
GETS = ("/api/find", "/api/facets", "/api/sky", "/api/rows", "/api/columns?names=snr",
        "/api/map.png?x=snr&y=s_ra")  # fmt: skip


def found(client, **params):
    """The JSON of /api/find."""
    answer = client.get("/api/find", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def export(client, **body):
    """The answer of /api/export."""
    return client.post("/api/export", json=body, headers=WRITE)


# the table ------------------------------------------------------------------------------------


def test_everything(client):
    page = found(client)
    assert page["count"] == ALL
    assert page["asked"] == {"kind": "all", "text": ""}
    assert len(page["rows"]) == 50
    row = page["rows"][0]
    assert row["id"] == f"{row['obs_collection']}:{row['obs_id']}"
    assert isinstance(row["uid"], str)
    assert int(row["uid"]) > 0
    assert {"row", "target_name", "class", "s_ra", "s_dec", "t_min", "instrument_name", "em_min",
            "em_max", "snr", "redshift"} <= set(row)  # fmt: skip


def test_all_routes_are_about_the_same_set(client):
    asked = {"where": "snr > 20", "q": "class = 'STAR'"}
    count = found(client, **asked)["count"]
    assert 0 < count < ALL
    facets = client.get("/api/facets", params=asked).json()
    assert facets["count"] == count
    assert all(f["total"] == count for f in facets["facets"])
    sky = client.get("/api/sky", params=asked).json()
    assert sky["placed"] + sky["unplaced"] == count
    rows = arrow(client.get("/api/rows", params=asked)).column("row").to_numpy()
    assert len(set(rows.tolist())) == count
    some = arrow(client.get("/api/columns", params={**asked, "names": "snr,class"}))
    assert some.column("row").to_numpy().tolist() == rows.tolist()
    assert (some.column("snr").to_numpy() > 20).all()
    assert set(some.column("class").to_pylist()) == {"STAR"}


def test_paging_and_sorting(client):
    whole = found(client, sort="-snr", limit=500)["rows"]
    snr = [r["snr"] for r in whole]
    assert snr == sorted(snr, reverse=True)
    some = [r for o in range(0, ALL, 40) for r in found(client, sort="-snr", offset=o,
                                                        limit=40)["rows"]]  # fmt: skip
    assert [r["row"] for r in some] == [r["row"] for r in whole]
    assert found(client, sort="target_name", limit=3)["rows"]
    assert found(client, offset=10**9)["rows"] == []
    assert found(client, limit=0)["rows"] == []
    more = found(client, columns="truth.teff,gal_b", limit=1)["rows"][0]
    assert {"truth.teff", "gal_b"} <= set(more)


@pytest.mark.parametrize(("params", "code"), [
    ({"sort": "nothing"}, "no_column"), ({"sort": ",,"}, "bad_sort"), ({"limit": "501"},
                                                                     "bad_parameter"),
    ({"limit": "1e9"}, "bad_parameter"), ({"limit": "-1"}, "bad_parameter"),
    ({"offset": "-5"}, "bad_parameter"), ({"offset": "x"}, "bad_parameter"),
    ({"columns": "nothing"}, "no_column"), ({"cone": "1,2"}, "bad_cone"),
    ({"cone": "1,2,nan"}, "bad_parameter"), ({"cone": "1,2,x"}, "bad_parameter"),
    ({"cone": "10,95,1"}, "bad_cone"), ({"cone": "10,20,-1"}, "bad_cone"),
    ({"cone": "10,20,1e999"}, "bad_parameter"), ({"where": "snr >"}, "bad_filter"),
    ({"where": "snr = nothing"}, "bad_filter"), ({"q": "snr > (select 1)"}, "bad_filter"),
    ({"where": "snr > 1; drop table obs"}, "bad_filter"), ({"q": "x" * 20_001}, "bad_parameter"),
    ({"where": "snr > 1 " + " " * 20_000}, "bad_parameter"), ({"q": "a\x00b"}, "bad_parameter"),
    ({"where": "target_name > 3 OR snr LIKE 'x'"}, "bad_filter"), ({"q": "400 10"}, "bad_position"),
    ({"target": "  _ "}, "bad_target"), ({"where": "(" * 4000 + "snr > 1"}, "bad_filter"),
])  # fmt: skip
def test_what_cannot_be_asked(client, params, code):
    answer = client.get("/api/find", params=params)
    error(answer, 404 if code.startswith("no_") else 400, code)
    assert answer.headers["x-spectrarium-version"]


def test_the_box_says_what_it_understood(client):
    row = found(client, limit=1)["rows"][0]
    kinds = {
        row["id"]: "id", row["obs_id"]: "id", "snr > 20": "filter", "10 -20": "position",
        f"{row['s_ra']} {row['s_dec']}": "position", "Slashed": "target", "slash": "target",
        "nobody": "nothing", "": "all",
    }  # fmt: skip
    for q, kind in kinds.items():
        assert found(client, q=q)["asked"]["kind"] == kind, q
    near = found(client, q="10 -20", where="target_name = 'x'")
    assert near["count"] == 0
    for where in ("gal_b > 0", '"score:combined" > 0', "class IN ('STAR', 'QSO')",
                  '"map:pca.x:x" > 0'):  # fmt: skip
        answer = client.get("/api/find", params={"where": where})
        assert answer.status_code in (200, 400)
        if answer.status_code == 400:  # a map of another name
            assert "no column" in answer.json()["error"]["what"]


def test_hostile_names_stay_text(client):
    page = found(client, q=HOSTILE)
    assert [r["target_name"] for r in page["rows"]] == [HOSTILE]
    assert page["asked"]["kind"] == "target"
    answer = client.get("/api/find", params={"q": HOSTILE})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert found(client, q=f"ODD:{SLASHED}")["rows"][0]["obs_id"] == SLASHED
    names = arrow(client.get("/api/columns", params={"names": "target_name"}))
    assert HOSTILE in names.column("target_name").to_pylist()


def test_nothing_matches(client):
    nothing = {"where": "snr < 0"}
    assert found(client, **nothing)["rows"] == []
    facets = client.get("/api/facets", params=nothing).json()
    assert facets["count"] == 0
    assert facets["facets"]
    assert client.get("/api/sky", params=nothing).json()["cells"] == []
    assert arrow(client.get("/api/rows", params=nothing)).num_rows == 0
    assert arrow(client.get("/api/columns", params={**nothing, "names": "snr,class"})).num_rows == 0
    error(client.get("/api/map.png", params={**nothing, "x": "snr", "y": "s_ra"}), 400, "empty")


def test_another_version(client):
    version = int(client.get("/api/find").headers["x-spectrarium-version"])
    for path in (*GETS, "/api/sparklines?rows=1"):
        glue = "&" if "?" in path else "?"
        assert client.get(f"{path}{glue}version={version}").status_code == 200
        error(client.get(f"{path}{glue}version={version - 1}"), 409, "stale_version")


def test_what_is_hidden_is_nowhere(desk):
    with People(desk.people) as people:
        people.collections.declare("SECRET", "private")
        for name in ("ODD", "MOCK"):
            people.collections.declare(name, "public")
    with desk.client(token=TOKEN) as client:
        operator = {"authorization": f"Bearer {TOKEN}"}
        whole = client.get("/api/find", headers=operator).json()
        assert whole["count"] == ALL
        hidden = client.get("/api/find", params={"q": "hidden"}, headers=operator).json()["rows"]
        assert {r["obs_id"] for r in hidden} == {"s1", "s2"}
        rows = {r["row"] for r in hidden}
        assert found(client)["count"] == ALL - 2
        for q in ("s1", "SECRET:s1", "Hidden 1", "hidden", "obs_collection = 'SECRET'",
                  "10 -20 r=1deg", hidden[0]["uid"]):  # fmt: skip
            page = found(client, q=q)
            assert not rows & {r["row"] for r in page["rows"]}, q
            assert "Hidden" not in json.dumps(page["rows"])
            assert "did you mean" not in page["asked"].get("note", "")
        for path in ("/api/facets", "/api/sky", "/api/rows"):
            answer = client.get(path)
            assert b"SECRET" not in answer.content
            assert b"Hidden" not in answer.content
        assert client.get("/api/facets").json()["count"] == ALL - 2
        sky = client.get("/api/sky").json()
        assert sky["placed"] + sky["unplaced"] == ALL - 2
        names = "obs_collection,target_name,obs_id,class,snr,access_path"
        answer = client.get("/api/columns", params={"names": names})
        assert arrow(answer).num_rows == ALL - 2
        assert b"SECRET" not in answer.content
        assert not rows & set(arrow(answer).column("row").to_pylist())
        some = ",".join(map(str, rows))
        error(client.get("/api/sparklines", params={"rows": some}), 404, "no_row")
        for kind in ("csv", "votable", "ids", "notebook"):
            error(export(client, rows=sorted(rows), format=kind), 404, "no_row")
            text = export(client, asked={}, format=kind).text
            assert "SECRET" not in text
            assert str(desk.archive) not in text  # nor where the archive lies
        everything = client.get("/api/columns", params={"names": names}, headers=operator)
        assert b"SECRET" in everything.content


# columns --------------------------------------------------------------------------------------


def test_columns_align_and_a_prefix_is_a_prefix(client):
    one = arrow(client.get("/api/columns", params={"names": "snr"}))
    two = arrow(client.get("/api/columns", params={"names": "s_ra,class,t_min,gal_l"}))
    assert one.column("row").equals(two.column("row"))
    assert one.num_rows == ALL
    assert one.column("row").to_pylist() != sorted(one.column("row").to_pylist())
    few = arrow(client.get("/api/columns", params={"names": "snr", "limit": 7}))
    assert few.column("row").to_pylist() == one.column("row").to_pylist()[:7]
    assert one.schema.field("snr").type == pa.float32()
    assert two.schema.field("s_ra").type == two.schema.field("t_min").type == pa.float64()
    assert two.schema.field("s_ra").metadata[b"unit"] == b"deg"


def test_every_column_of_the_overview_can_be_had(client):
    there = client.get("/api/archive").json()
    names = [c["name"] for c in there["columns"]]
    for at in range(0, len(names), 40):
        got = arrow(client.get("/api/columns", params={"names": ",".join(names[at : at + 40])}))
        assert got.column_names[1:] == names[at : at + 40]
        for one in there["columns"][at : at + 40]:
            number = one["kind"] in ("number", "time")
            assert pa.types.is_dictionary(got.schema.field(one["name"]).type) != number, one
    assert any(n.startswith("score:combined") for n in names)
    assert any(n.startswith("map:pca.") for n in names)
    maps = [n for n in names if n.startswith("map:")]
    place = arrow(client.get("/api/columns", params={"names": ",".join(maps[:2])}))
    assert np.isfinite(place.column(1).to_numpy()).sum() >= 90
    where = f'"{maps[0]}" > 0 OR "{maps[0]}" <= 0'
    assert (
        found(client, where=where)["count"] == np.isfinite(place.column(maps[0]).to_numpy()).sum()
    )


@pytest.mark.parametrize(("names", "code"), [
    ("", "bad_parameter"), ("nothing", "no_column"), ("snr,<script>", "no_column"),
    ("uid", "no_column"), (",".join(f"c{i}" for i in range(65)), "bad_parameter"),
    ("score:../../x", "no_column"), ("map:none:x", "no_column"), ("x" * 2000, "bad_parameter"),
])  # fmt: skip
def test_unknown_columns(client, names, code):
    answer = client.get("/api/columns", params={"names": names})
    error(answer, 404 if code == "no_column" else 400, code)


# pictures -------------------------------------------------------------------------------------


def test_sparklines(client):
    rows = [r["row"] for r in found(client, limit=64)["rows"]]
    answer = client.get("/api/sparklines", params={"rows": ",".join(map(str, rows)), "width": 40})
    items = answer.json()["items"]
    assert [i["row"] for i in items] == rows
    for one in items:
        assert len(one["y"]) == 40
        assert one["lo"] < one["hi"]
        assert one["lo_aa"] < one["hi_aa"]


@pytest.mark.parametrize(("params", "status", "code"), [
    ({}, 400, "bad_parameter"), ({"rows": "1,x"}, 400, "bad_parameter"),
    ({"rows": "-1"}, 400, "bad_parameter"), ({"rows": "10000000"}, 404, "no_row"),
    ({"rows": ",".join(map(str, range(65)))}, 400, "too_many"),
    ({"rows": "1", "width": "100000"}, 400, "bad_parameter"),
])  # fmt: skip
def test_bad_sparklines(client, params, status, code):
    error(client.get("/api/sparklines", params=params), status, code)


@pytest.mark.parametrize("more", [
    {}, {"colour": "class"}, {"colour": "snr", "cmap": "batlow_r", "dark": "1"},
    {"colour": "redshift", "cmap": "vik"}, {"where": "snr > 20", "width": 300, "height": 200},
    {"colour": "target_name"}, {"y": "truth.logg", "x": "truth.teff", "colour": "class"},
])  # fmt: skip
def test_maps_as_pictures(client, more):
    params = {"x": "s_ra", "y": "s_dec", "width": 640, "height": 480} | more
    answer = client.get("/api/map.png", params=params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    assert answer.content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(answer.content[a : a + 4]) for a in (16, 20))
    assert (width, height) == (params["width"], params["height"])
    if "colour" in more:
        plain = client.get(
            "/api/map.png", params={k: v for k, v in params.items() if k != "colour"}
        )
        assert plain.content != answer.content


@pytest.mark.parametrize(("more", "status", "code"), [
    ({"x": "nothing"}, 404, "no_column"), ({"x": "target_name"}, 400, "not_a_number"),
    ({"x": ""}, 400, "bad_parameter"), ({"cmap": "jet"}, 404, "no_colour_map"),
    ({"width": "100000"}, 400, "bad_parameter"), ({"colour": "nothing"}, 404, "no_column"),
    ({"where": "snr >"}, 400, "bad_filter"), ({"dark": "maybe"}, 400, "bad_parameter"),
    ({"x": "airmass"}, 400, "empty"),
])  # fmt: skip
def test_bad_maps(client, more, status, code):
    params = {"x": "s_ra", "y": "s_dec"} | more
    error(client.get("/api/map.png", params=params), status, code)


# to take away ---------------------------------------------------------------------------------


def test_a_set_as_votable_csv_and_ids(client):
    rows = [r["row"] for r in found(client, sort="-snr", limit=20)["rows"]]
    answer = export(client, rows=rows, format="votable", name="../../bright <b>.x")
    assert answer.headers["content-type"] == "application/x-votable+xml"
    said = answer.headers["content-disposition"]
    assert said.startswith("attachment")
    assert "/" not in said.split("filename=")[1].split(";")[0]
    table = votable.parse(io.BytesIO(answer.content)).get_first_table().to_table()
    assert len(table) == 20
    assert (np.diff(table["snr"]) <= 0).all()  # in the order asked for
    text = export(client, rows=rows, format="csv", columns=["obs_id", "snr", "gal_b"]).text
    listed = list(csv.DictReader(io.StringIO(text)))
    assert [r["obs_id"] for r in listed] == table["obs_id"].tolist()
    assert list(listed[0]) == ["obs_id", "snr", "gal_b"]
    ids = export(client, rows=rows, format="ids").text.splitlines()
    assert [i.split(":", 1)[1] for i in ids] == table["obs_id"].tolist()


def test_what_is_asked_can_be_taken_away(client, site):
    asked = {"q": "snr > 30", "where": "class = 'STAR'"}
    answer = export(client, asked=asked, format="notebook", name="Bright stars")
    book = json.loads(answer.content)
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    namespace = {}
    for cell in book["cells"]:
        if cell["cell_type"] == "code" and "matplotlib" not in cell["source"]:
            exec(cell["source"], namespace)
    count = found(client, **asked)["count"]
    assert len(namespace["rows"]) == namespace["found"].num_rows == count > 0
    assert str(site.archive) in answer.text


def test_a_selection_can_be_taken_away(local):
    rows = [r["row"] for r in found(local, limit=5)["rows"]]
    version = int(local.get("/api/find").headers["x-spectrarium-version"])
    made = local.post("/api/selections", json={"name": "five", "rows": rows, "version": version})
    sid = made.json()["sid"]
    ids = export(local, selection=sid, format="ids").text.splitlines()
    assert len(ids) == 5
    error(export(local, selection="nothing", format="ids"), 404, "no_selection")


@pytest.mark.parametrize(("body", "status", "code"), [
    ({"format": "votable"}, 400, "bad_parameter"), ({"format": "exe", "rows": [1]}, 400,
                                                    "bad_parameter"),
    ({"format": "csv", "rows": []}, 400, "nothing_selected"), ({"rows": [1]}, 400, "bad_parameter"),
    ({"format": "notebook", "rows": []}, 400, "nothing_selected"),
    ({"format": "csv", "rows": [10**9]}, 404, "no_row"),
    ({"format": "csv", "rows": [-1]}, 404, "no_row"),
    ({"format": "csv", "rows": ["1; drop"]}, 400, "bad_parameter"),
    ({"format": "csv", "rows": [1], "columns": ["nothing"]}, 404, "no_column"),
    ({"format": "csv", "rows": [1], "asked": {}}, 400, "bad_parameter"),
    ({"format": "csv", "asked": "snr > 3"}, 400, "bad_parameter"),
    ({"format": "csv", "asked": {"where": "snr >"}}, 400, "bad_filter"),
    ({"format": "csv", "asked": {"where": "snr < 0"}}, 400, "nothing_selected"),
])  # fmt: skip
def test_what_cannot_be_taken_away(client, body, status, code):
    error(export(client, **body), status, code)
