"""SSAP, asked directly, by stilts, by pyvo, and as SPLAT-VO asks."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from typing import Any

import httpx
import numpy as np
import pytest
from astropy.io.votable import parse
from serve_client import SLASHED, TOKEN
from vo_site import AUTHORITY, stilts, votlint

from spectrarium.publish.publisher import Publisher

MIMES = {"fits": "application/fits", "graphic": "image/png", "native": "application/octet-stream"}


def ask(vo: Any, **params: Any) -> Any:
    return vo.get("/ssap", REQUEST="queryData", **params)


def rows(answer: Any) -> Any:
    """The table of an answer that went well."""
    assert answer.status_code == 200, answer.text
    found = parse(io.BytesIO(answer.content))
    assert infos(answer)["QUERY_STATUS"] in ("OK", "OVERFLOW")
    return found.get_first_table().to_table()


def infos(answer: Any) -> dict[str, str]:
    found = re.findall(r'<INFO name="([^"]*)" value="([^"]*)"', answer.text)
    return dict(found)


@pytest.fixture(scope="module")
def truth(vo) -> Any:
    """Catalogue rows that guests see."""
    store = vo.site.store
    found = store.catalogue(store.find("obs_collection != 'SECRET'")).to_pandas()
    return found.assign(target_name=found.target_name.fillna(""),
                        t_max=found.t_max.fillna(found.t_min))  # fmt: skip


def test_everything_without_a_place(vo, truth):
    found = rows(ask(vo))
    assert len(found) == len(truth)
    assert set(found["ssa_targname"]) == set(truth.target_name)
    first = found[0]
    assert first["ssa_acref"].startswith(f"{vo.base}/vo/spectrum?ID=ivo%3A%2F%2F{AUTHORITY}")
    assert first["ssa_mime"] == "application/x-votable+xml"


def test_a_cone_gives_the_nearest_first_and_size_is_a_diameter(vo, truth):
    ra, dec = truth.s_ra[0], truth.s_dec[0]
    found = rows(ask(vo, POS=f"{ra},{dec}", SIZE=40))
    gone = np.degrees(np.arccos(np.clip(
        np.sin(np.radians(truth.s_dec)) * np.sin(np.radians(dec)) + np.cos(np.radians(truth.s_dec))
        * np.cos(np.radians(dec)) * np.cos(np.radians(truth.s_ra - ra)), -1, 1)))  # fmt: skip
    assert len(found) == (gone <= 20).sum()
    assert found["ssa_targname"][0] == truth.target_name[0]
    assert (np.diff(found["ssa_score"]) < 0).all()


def test_frames(vo, truth):
    from astropy.coordinates import SkyCoord

    place = SkyCoord(truth.s_ra[0], truth.s_dec[0], unit="deg")
    g = place.galactic
    found = rows(ask(vo, POS=f"{g.l.deg:.8f},{g.b.deg:.8f};GALACTIC", SIZE=0.01))
    assert list(found["ssa_targname"]) == [truth.target_name[0]]


@pytest.mark.parametrize(("params", "keep"), [
    ({"BAND": "3.8e-7/3.9e-7"}, lambda t: (t.em_min <= 3.9e-7) & (t.em_max >= 3.8e-7)),
    ({"BAND": "8e-7/"}, lambda t: t.em_max >= 8e-7),
    ({"BAND": "/3.8e-7,8.5e-7"}, lambda t: (t.em_min <= 3.8e-7) | (t.em_max >= 8.5e-7)),
    ({"BAND": "V"}, lambda t: (t.em_min <= 6e-7) & (t.em_max >= 5e-7)),
    ({"BAND": "1e-5/2e-5"}, lambda t: t.em_min < 0),
    ({"TIME": "2025-01-01/2025-03-01"}, lambda t: (t.t_min < 60736) & (t.t_max >= 60676)),
    ({"TIME": "2024"}, lambda t: (t.t_min < 60676) & (t.t_max >= 60310)),
    ({"SNR": "20"}, lambda t: t.snr >= 20), ({"SNR": "5/10"}, lambda t: t.snr.between(5, 10)),
    ({"SPECRP": "1900/"}, lambda t: t.em_res_power >= 1900),
    ({"REDSHIFT": "0.1/0.5"}, lambda t: t.redshift.between(0.1, 0.5)),
    ({"REDSHIFT": "/0.1,1/"}, lambda t: (t.redshift <= 0.1) | (t.redshift >= 1)),
    ({"TARGETCLASS": "star"}, lambda t: t.target_class.str.lower() == "star"),
    ({"COLLECTION": "ODD"}, lambda t: t.obs_collection == "ODD"),
    ({"WAVECALIB": "relative"}, lambda t: t.snr.isnull() & t.snr.notnull()),
    ({"WAVECALIB": "calibrated,relative"}, lambda t: t.em_min > 0),
    ({"FLUXCALIB": "relative"}, lambda t: t.flux_calibration.str.upper() == "RELATIVE"),
    ({"FLUXCALIB": "any", "WAVECALIB": "absolute"}, lambda t: t.snr > -1e9),
    ({"MTIME": "/2001-01-01"}, lambda t: t.snr > 1e9),
    ({"APERTURE": "0.1", "RUNID": "mine", "COMPRESS": "true"}, lambda t: t.snr > -1e9),
])  # fmt: skip
def test_parameters_restrict(vo, truth, params, keep):
    found = rows(ask(vo, **params))
    wanted = truth[keep(truth)]
    assert sorted(found["ssa_targname"]) == sorted(wanted.target_name)


def test_names_of_targets_and_identifiers(vo, truth):
    name = truth.target_name[truth.target_name.str.startswith("MOCK")].iloc[3]
    assert list(rows(ask(vo, TARGETNAME=name.lower()))["ssa_targname"]) == [name]
    did = Publisher(authority=AUTHORITY).did({"obs_collection": "ODD", "obs_id": SLASHED})
    found = rows(ask(vo, PUBDID=did))
    assert list(found["ssa_pubDID"]) == [did]
    assert len(rows(ask(vo, PUBDID="ivo://x/NO?thing"))) == 0


@pytest.mark.parametrize("word", ["all", "compliant", "votable", "fits", "graphic", "native"])
def test_formats_lead_to_what_they_say(vo, word):
    import httpx

    found = rows(ask(vo, FORMAT=word, COLLECTION="MOCK", TOP=1))
    assert len(found) == 1
    mime = MIMES.get(word, "application/x-votable+xml")
    assert found["ssa_mime"][0] == mime
    got = httpx.get(found["ssa_acref"][0], timeout=60)
    assert got.status_code == 200
    if word != "native":  # of which only the file itself knows what it is
        assert got.headers["content-type"].startswith(mime)


def test_limits_and_overflow(vo, truth):
    answer = ask(vo, MAXREC=5)
    assert infos(answer)["QUERY_STATUS"] == "OVERFLOW"
    assert len(rows(answer)) == 5
    assert infos(ask(vo, TOP=5))["QUERY_STATUS"] == "OK"
    assert len(rows(ask(vo, TOP=5))) == 5
    assert infos(ask(vo, MAXREC=len(truth)))["QUERY_STATUS"] == "OK"
    assert len(rows(ask(vo, MAXREC=0))) == 0


@pytest.mark.parametrize("params", [
    {"POS": "1"}, {"POS": "a,b"}, {"POS": "1,95"}, {"POS": "1,2,3"}, {"POS": "1,2;MARS"},
    {"POS": "nan,2"}, {"POS": ["1,2", "3,4"]}, {"POS": "1,2", "SIZE": "-1"}, {"SIZE": "x"},
    {"SIZE": "inf"}, {"BAND": "a/b"}, {"BAND": "2/1"}, {"BAND": "/"}, {"BAND": "1//2"},
    {"BAND": "1e-7/2e-7;source"}, {"BAND": "-1/-2"}, {"TIME": "yesterday"}, {"TIME": "2020-13-01"},
    {"TIME": "2022/2020"}, {"SNR": "high"}, {"REDSHIFT": "1/0"}, {"FORMAT": "image/gif"},
    {"MAXREC": "-1"}, {"MAXREC": "1.5"}, {"TOP": "0"}, {"TOP": "many"}, {"FLUXCALIB": "nice"},
    {"WAVECALIB": "nice"},
    {"VERSION": "2.0"}, {"MTIME": "x"}, {"BAND": ",".join(["1/2"] * 5000)}, {"POS": "9" * 200_000},
    {"SPECRP": "1e999"}, {"TARGETNAME": "\x00"},
])  # fmt: skip
def test_malformed_parameters_are_errors(vo, params):
    answer = vo.post("/ssap", data={"REQUEST": "queryData", **params})
    assert answer.status_code == 400, answer.text
    assert 'name="QUERY_STATUS" value="ERROR"' in answer.text
    assert len(answer.content) < 2000


def test_a_request_has_to_be_one(vo):
    assert vo.get("/ssap").status_code == 400
    assert vo.get("/ssap", REQUEST="getCapabilities").status_code == 400
    assert vo.get("/ssap", request="QUERYDATA", version="1.0", maxrec="1").status_code == 200


def test_metadata_lists_what_may_be_asked_and_what_comes(vo, tmp_path):
    answer = ask(vo, FORMAT="METADATA")
    names = {p.name for r in parse(io.BytesIO(answer.content)).resources for p in r.params}
    assert {"INPUT:POS", "INPUT:SIZE", "INPUT:BAND", "INPUT:TIME", "INPUT:FORMAT"} <= names
    assert "OUTPUT:ssa_acref" in names
    votlint(answer.content, tmp_path)


@pytest.mark.parametrize("params", [{}, {"MAXREC": 0}, {"FORMAT": "fits", "MAXREC": 3}])
def test_votlint_has_nothing_to_say(vo, tmp_path, params):
    votlint(ask(vo, **params).content, tmp_path)


def test_mandatory_utypes_are_there(vo):
    found = parse(io.BytesIO(ask(vo, MAXREC=1).content)).get_first_table()
    fields = {f.utype for f in found.fields}
    resource = parse(io.BytesIO(ask(vo, MAXREC=1).content)).resources[0]
    fields |= {p.utype for p in resource.params}
    for utype in ("Access.Reference", "Access.Format", "Dataset.DataModel", "Dataset.Length",
                  "DataID.Title", "Curation.Publisher", "Curation.PublisherDID", "Target.Pos",
                  "Char.SpatialAxis.Coverage.Location.Value",
                  "Char.SpatialAxis.Coverage.Bounds.Extent",
                  "Char.SpectralAxis.Coverage.Location.Value",
                  "Char.SpectralAxis.Coverage.Bounds.Extent",
                  "Char.TimeAxis.Coverage.Location.Value",
                  "Char.TimeAxis.Coverage.Bounds.Extent"):  # fmt: skip
        assert f"ssa:{utype}" in fields


def test_stilts(vo, truth, tmp_path):
    out = tmp_path / "out.csv"
    stilts("cone", "servicetype=ssa", f"serviceurl={vo.at('/ssap')}", f"lon={truth.s_ra[0]}",
           f"lat={truth.s_dec[0]}", "radius=10", f"out={out}", "ofmt=csv")  # fmt: skip
    assert truth.target_name[0] in out.read_text()
    stilts("xsdvalidate", "uselocals=true", f"doc={vo.at('/ssap/availability')}")


def test_pyvo(vo, truth, monkeypatch):
    import pyvo

    # it would load the vocabulary of links from the web
    terms = {"terms": {"this": {"narrower": []}}}
    monkeypatch.setattr("pyvo.utils.vocabularies.get_vocabulary", lambda _: terms)

    found = pyvo.dal.SSAService(vo.at("/ssap")).search(
        pos=(truth.s_ra[0], truth.s_dec[0]), diameter=0.01)  # fmt: skip
    one = found[0]
    assert one.ra == pytest.approx(truth.s_ra[0])
    assert one.dec == pytest.approx(truth.s_dec[0])
    assert one.title.endswith(truth.target_name[0])
    assert one.acref
    dataset = parse(io.BytesIO(one.getdataset().read()))
    assert len(dataset.get_first_table().array) > 100
    assert "#this" in set(one.getdatalink().to_table()["semantics"])


def splats(text: str) -> tuple[list[dict[str, str | None]], list[dict[str, str]]]:
    """(rows, services) as SPLAT-VO reads an answer.

    A row by the ends of utypes, without regard to case, and by the name ``ssa_pubDID``; a service
    from the RESOURCE of type meta: its PARAMs, and of its GROUP ``inputParams`` the PARAMs, an ID
    with the column that it refers to.
    """
    tree = ET.fromstring(re.sub(r' xmlns="[^"]*"', "", text, count=1))
    fields = tree.findall(".//TABLE/FIELD")
    keys = [f.get("utype", "").lower().rpartition(":")[2] for f in fields]
    keys = ["pubdid" if f.get("name") == "ssa_pubDID" else k
            for f, k in zip(fields, keys, strict=True)]  # fmt: skip
    rows = [dict(zip(keys, (c.text for c in row.findall("TD")), strict=True))
            for row in tree.findall(".//TABLEDATA/TR")]  # fmt: skip
    found = []
    for meta in tree.findall(".//RESOURCE[@type='meta']"):
        if meta.get("utype") != "adhoc:service":
            continue
        said = {p.get("name", ""): p.get("value", "") for p in meta.findall("PARAM")}
        (group,) = [g for g in meta.findall("GROUP") if g.get("name") == "inputParams"]
        inputs = {p.get("name", ""): p for p in group.findall("PARAM")}
        refers = {f.get("ID"): k for f, k in zip(fields, keys, strict=True)}
        said |= {f"input:{n}": p.get("value", "") for n, p in inputs.items()}
        said["by"] = refers[inputs["ID"].get("ref")]
        found.append(said)
    return rows, found


def test_splat_goes_from_a_query_to_a_cut_out(vo, truth):
    """All the way that SPLAT-VO goes: parameters, query, spectrum, links, cut-out."""
    metadata = vo.get("/ssap", REQUEST="queryData", FORMAT="METADATA").text
    for name in ("POS", "SIZE", "BAND", "TIME", "FORMAT", "FLUXCALIB", "WAVECALIB"):
        assert f'name="INPUT:{name}"' in metadata
    place = f"{truth.s_ra[0]},{truth.s_dec[0]}"
    query = {"REQUEST": "queryData", "POS": place, "SIZE": "1.0", "BAND": "4e-7/7e-7",
             "TIME": "1990-01-01/2050-01-01", "FORMAT": "votable", "MAXREC": "50"}  # fmt: skip
    rows_, services = splats(vo.get("/ssap", **query).text)
    (row, *_) = rows_
    assert row["access.format"].startswith("application/x-votable+xml")
    spectrum = parse(io.BytesIO(httpx.get(row["access.reference"], timeout=60).content))
    utypes = " ".join(f"{f.utype} " for f in spectrum.get_first_table().fields)
    for ending in ("Data.SpectralAxis.Value ", "Data.FluxAxis.Value "):
        assert ending in utypes
    links, soda = services
    assert links["by"] == soda["by"] == "pubdid"
    document = httpx.get(links["accessURL"], params={"ID": row["pubdid"]}, timeout=60)
    table = parse(io.BytesIO(document.content)).get_table_by_index(0).to_table()
    this = table[table["semantics"] == "#this"]
    assert len(this)
    assert httpx.get(str(this["access_url"][0]), timeout=60).status_code == 200
    cut = httpx.get(soda["accessURL"], timeout=60,
                    params={"ID": row["pubdid"], "BAND": "5e-7 5.1e-7"})  # fmt: skip
    wave = parse(io.BytesIO(cut.content)).get_first_table().array["wave"]
    assert 0 < len(wave) < len(spectrum.get_first_table().array)
    assert 5000 <= wave.min() <= wave.max() <= 5100


def test_splat(vo, truth):
    """What SPLAT-VO sends (no VERSION), and what it looks for in the answer."""
    text = vo.get("/ssap", REQUEST="queryData", POS=f"{truth.s_ra[0]},{truth.s_dec[0]}", SIZE="1.0",
                  FORMAT="votable").text  # fmt: skip
    tree = ET.fromstring(re.sub(r' xmlns="[^"]*"', "", text, count=1))
    fields = tree.findall(".//TABLE/FIELD")
    where = {f.get("utype", "").lower(): i for i, f in enumerate(fields)}
    for ending in ("access.reference", "access.format"):
        assert [u for u in where if u.endswith(ending)]
    assert "ssa_pubDID" in [f.get("name") for f in fields]
    services = [r for r in tree.findall(".//RESOURCE") if r.get("utype") == "adhoc:service"]
    assert [r.get("name") for r in services] == ["links", "soda-sync"]
    for meta in services:
        (group,) = [g for g in meta.findall("GROUP") if g.get("name") == "inputParams"]
        (given,) = [p for p in group.findall("PARAM") if p.get("name") == "ID"]
        assert given.get("ref") in [f.get("ID") for f in fields]
        assert next(p for p in meta.findall("PARAM") if p.get("name") == "accessURL").get("value")


def test_proprietary_spectra_are_seen_by_who_may(vo):
    assert "SECRET" not in ask(vo).text
    assert len(rows(ask(vo, COLLECTION="SECRET"))) == 0
    answer = vo.get("/ssap", token=TOKEN, REQUEST="queryData", COLLECTION="SECRET")
    assert len(rows(answer)) == 2


def test_values_are_those_of_the_archive_in_vacuum(vo, truth):
    one = truth[truth.obs_collection == "MOCK"].iloc[0]
    found = rows(ask(vo, PUBDID=Publisher(authority=AUTHORITY).did(one)))[0]
    assert one.medium == "vacuum"
    assert found["ssa_specstart"] == pytest.approx(one.em_min)
    assert found["ssa_specend"] == pytest.approx(one.em_max)
    assert found["ssa_length"] == one.em_xel
    assert found["ssa_timeloc"] == pytest.approx((one.t_min + one.t_max) / 2)
