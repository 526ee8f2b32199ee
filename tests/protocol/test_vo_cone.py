"""Cone search and line access, asked directly, by stilts and by pyvo."""

from __future__ import annotations

import io

import pytest
from astropy.io.votable import parse_single_table
from serve_client import TOKEN
from vo_site import stilts, votlint

LINKS = "application/x-votable+xml;content=datalink"


@pytest.fixture(scope="module")
def place(vo) -> tuple[float, float, str]:
    store = vo.site.store
    found = store.catalogue(store.find("obs_collection = 'MOCK'")[:1]).to_pylist()[0]
    return found["s_ra"], found["s_dec"], found["target_name"]


def test_the_nearest_first_and_columns_by_verbosity(vo, place, tmp_path):
    sizes = []
    for verb in (1, 2, 3):
        answer = vo.get("/cone", RA=place[0], DEC=place[1], SR=20, VERB=verb)
        table = parse_single_table(io.BytesIO(answer.content))
        sizes.append(len(table.fields))
        assert table.array["target_name"][0] == place[2]
        assert set(table.array["access_format"]) == {LINKS}
        assert "/vo/datalink/links?ID=" in table.array["access_url"][0]
        assert (table.array["distance"][1:] >= table.array["distance"][:-1]).all()
        assert {"ID_MAIN", "POS_EQ_RA_MAIN", "POS_EQ_DEC_MAIN"} <= {f.ucd for f in table.fields}
    assert sizes == sorted(set(sizes))
    empty = vo.get("/cone", RA=place[0], DEC=place[1], SR=0)
    assert len(parse_single_table(io.BytesIO(empty.content)).array) == 0


@pytest.mark.parametrize("params", [
    {}, {"RA": 1, "DEC": 2}, {"RA": "x", "DEC": 2, "SR": 1}, {"RA": 1, "DEC": 91, "SR": 1},
    {"RA": 1, "DEC": 2, "SR": -1}, {"RA": 1, "DEC": 2, "SR": 181}, {"RA": "nan", "DEC": 2, "SR": 1},
    {"RA": 1, "DEC": 2, "SR": 1, "VERB": 4}, {"RA": [1, 2], "DEC": 2, "SR": 1},
    {"RA": 1, "DEC": 2, "SR": 1, "MAXREC": "x"}, {"RA": "1" * 200_000, "DEC": 2, "SR": 1},
    {"RA": 1, "DEC": [1, 2], "SR": 1}, {"RA": 1, "DEC": 2, "SR": [1, 2]},
    {"RA": 1, "DEC": 2, "SR": 1, "VERB": [1, 2]}, {"RA": 1, "DEC": 2, "SR": 1, "MAXREC": [1, 2]},
    {"RA": 1, "DEC": 2, "SR": 1, "VERB": "x"}, {"RA": 1, "DEC": 2, "SR": 1, "MAXREC": "-1"},
    {"RA": 361, "DEC": 2, "SR": 1}, {"RA": 1, "DEC": 2, "SR": "inf"},
    {"RA": "1_0", "DEC": 2, "SR": 1}, {"RA": 1, "DEC": "9" * 90_000, "SR": 1},
    {"RA": 1, "DEC": 2, "SR": 1, "MAXREC": "9" * 40},
    {"RA": 1, "DEC": 2, "SR": 1, "RESPONSEFORMAT": "image/gif"},
    {"RA": 1, "DEC": 2, "SR": 1, "RESPONSEFORMAT": ["votable", "text/xml"]},
    {"RA": 1, "DEC": 2, "SR": ""}, {"RA": 1, "DEC": 2, "SR": "\x00"},
], ids=lambda p: str(p)[:60])  # fmt: skip
def test_errors_are_told_as_the_standard_has_them(vo, params):
    before = vo.site.store.version
    answer = vo.post("/cone", data=params)
    assert answer.status_code == 400
    assert '<INFO ID="Error" name="Error" value="' in answer.text
    assert len(answer.content) < 2000
    assert vo.site.store.version == before


@pytest.mark.parametrize("words", ["votable", "text/xml", "application/x-votable+xml"])
def test_a_votable_may_be_asked_for(vo, words):
    asked = {"RA": 1, "DEC": 2, "SR": 1, "MAXREC": 0, "RESPONSEFORMAT": words}
    assert vo.get("/cone", **asked).status_code == 200
    asked = {"REQUEST": "queryData", "WAVELENGTH": "/1e-6", "FORMAT": words, "VERSION": "1.0"}
    assert vo.get("/slap", **asked).status_code == 200


def test_clients(vo, place, tmp_path):
    import pyvo

    found = pyvo.dal.SCSService(vo.at("/cone")).search((place[0], place[1]), 0.01)
    assert found[0].pos.ra.deg == pytest.approx(place[0])
    assert found[0].id.startswith("ivo://")
    out = tmp_path / "out.csv"
    stilts("cone", "servicetype=cone", f"serviceurl={vo.at('/cone')}", f"lon={place[0]}",
           f"lat={place[1]}", "radius=5", "verb=3", f"out={out}", "ofmt=csv")  # fmt: skip
    assert place[2] in out.read_text()
    votlint(vo.get("/cone", RA=place[0], DEC=place[1], SR=180, VERB=3).content, tmp_path)
    for service in ("cone", "slap"):
        stilts("xsdvalidate", "uselocals=true", f"doc={vo.at(f'/{service}/availability')}")


def test_what_is_hidden_stays_hidden(vo):
    params = {"RA": 10, "DEC": -20, "SR": 5}
    assert "SECRET" not in vo.get("/cone", **params).text
    assert "SECRET" in vo.get("/cone", token=TOKEN, **params).text


# lines ----------------------------------------------------------------------------------------


def test_lines_in_a_range(vo, tmp_path):
    answer = vo.get("/slap", REQUEST="queryData", WAVELENGTH="4.8e-7/6.6e-7")
    table = parse_single_table(io.BytesIO(answer.content)).array
    assert "H_alpha" in list(table["name"])
    assert (table["wavelength"][1:] >= table["wavelength"][:-1]).all()
    assert ((table["wavelength"] >= 4.8e-7) & (table["wavelength"] <= 6.6e-7)).all()
    only = vo.get("/slap", REQUEST="queryData", WAVELENGTH="/1e-6", CHEMICAL_ELEMENT="H")
    assert set(parse_single_table(io.BytesIO(only.content)).array["chemical_element"]) == {"H"}
    votlint(answer.content, tmp_path)
    votlint(vo.get("/slap", REQUEST="queryData", FORMAT="METADATA").content, tmp_path)


@pytest.mark.parametrize("params", [
    {}, {"REQUEST": "queryData"}, {"REQUEST": "x", "WAVELENGTH": "1/2"},
    {"REQUEST": "queryData", "WAVELENGTH": "a"}, {"REQUEST": "queryData", "WAVELENGTH": "2/1"},
    {"REQUEST": ["queryData", "x"], "WAVELENGTH": "1/2"},
    *({"REQUEST": "queryData", "WAVELENGTH": "5e-7/6e-7", **more} for more in (
        {"MAXREC": "x"}, {"MAXREC": "-1"}, {"MAXREC": "1.5"}, {"MAXREC": ["1", "2"]},
        {"MAXREC": "9" * 40}, {"FORMAT": "image/gif"}, {"FORMAT": ["votable", "text/xml"]},
        {"VERSION": "7"}, {"VERSION": ["1.0", "1.1"]}, {"WAVELENGTH": "-5/-1"},
        {"WAVELENGTH": "-1/1e-6"}, {"WAVELENGTH": "nan"}, {"WAVELENGTH": "/"},
        {"WAVELENGTH": "9" * 90_000}, {"WAVELENGTH": "9" * 200_000},
        {"WAVELENGTH": ",".join(["1/2"] * 1001)}, {"WAVELENGTH": ["1/2"] * 1001},
        {"WAVELENGTH": "\x00"},
    )),
], ids=lambda p: str(p)[:70])  # fmt: skip
def test_line_requests_that_are_wrong(vo, params):
    before = vo.site.store.version
    answer = vo.post("/slap", data=params)
    assert answer.status_code == 400
    assert 'name="QUERY_STATUS" value="ERROR"' in answer.text
    assert len(answer.content) < 2000
    assert vo.site.store.version == before


def test_pyvo_reads_lines(vo):
    import pyvo
    from astropy import units as u

    found = pyvo.dal.SLAService(vo.at("/slap")).search(wavelength=(6.5e-7 * u.m, 6.6e-7 * u.m))
    assert "Hα" in [r.title for r in found]
    assert found[0].wavelength > 0
