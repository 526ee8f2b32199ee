"""SSAP, asked directly, by stilts, by pyvo, and as SPLAT-VO asks."""

from __future__ import annotations

import io
import math
import re
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from astropy.io.votable import parse
from astropy.io.votable.ucd import check_ucd
from astropy.time import Time
from embedding_cases import spectrum
from serve_client import SLASHED, TOKEN
from vo_site import AUTHORITY, serving, stilts, votlint

import spectrarium as sp
from spectrarium.domain.observation import Observation
from spectrarium.people import People
from spectrarium.publish.dali_values import meets, time_ranges
from spectrarium.publish.obscore import obscore_table
from spectrarium.publish.publisher import Publisher
from spectrarium.publish.samples import flux_ucd
from spectrarium.publish.ssap import ssap_table
from spectrarium.publish.units import ucd_by_unit

VOTABLE = "application/x-votable+xml"
MIMES = {
    "all": [VOTABLE], "compliant": [VOTABLE, "application/fits"], "votable": [VOTABLE],
    "fits": ["application/fits"], "graphic": ["image/png"], "native": ["application/fits"],
}  # fmt: skip
"""Types that come of a FORMAT for a spectrum that was delivered as FITS."""


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


@pytest.mark.parametrize("word", MIMES)
def test_formats_lead_to_what_they_say(vo, word):
    found = rows(ask(vo, FORMAT=word, COLLECTION="MOCK", TOP=1))
    assert list(found["ssa_mime"]) == MIMES[word]
    for row in found:
        got = httpx.get(row["ssa_acref"], timeout=60)
        assert got.status_code == 200
        assert got.headers["content-type"].startswith(row["ssa_mime"])
        if word == "native":
            assert row["ssa_size"] == math.ceil(len(got.content) / 1000)
        modelled = word not in ("native", "graphic")
        assert row["ssa_datamodel"] == ("Spectrum-1.0" if modelled else "")
        assert np.ma.is_masked(row["ssa_size"]) == (word == "graphic")


def test_types_that_no_spectrum_has_are_no_error(vo):
    for text in ("image/jpeg", "image/gif,text/html;q=1", "application/x-hdf5"):
        answer = ask(vo, FORMAT=text)
        assert infos(answer)["QUERY_STATUS"] == "OK"
        assert len(rows(answer)) == 0
    found = rows(ask(vo, FORMAT="image/jpeg,fits", TOP=1))
    assert list(found["ssa_mime"]) == ["application/fits"]


def test_the_formats_of_a_spectrum_stay_together(vo):
    answer = ask(vo, FORMAT="graphic,compliant", COLLECTION="MOCK", MAXREC=8)
    assert infos(answer)["QUERY_STATUS"] == "OVERFLOW"
    found = rows(answer)
    assert list(found["ssa_mime"]) == ["image/png", *MIMES["compliant"]] * 2
    dids = list(found["ssa_pubDID"])
    assert dids == [dids[0]] * 3 + [dids[3]] * 3
    assert dids[0] != dids[3]
    one = ask(vo, FORMAT="compliant", MAXREC=1)
    assert infos(one)["QUERY_STATUS"] == "OVERFLOW"
    assert len(rows(one)) == 1
    every = rows(ask(vo, FORMAT="compliant"))
    assert len(every) == 2 * len(rows(ask(vo)))


def test_only_files_that_are_handed_out_are_native(fresh):
    """One is gone, one is in a folder's place; spectra made in memory never had a file."""
    store = fresh.store
    paths = store.catalogue(store.find("obs_collection = 'MOCK'")[:3], ["access_path"]).column(0)
    home, away = fresh.archive.parent / "moved", [Path(p.as_py()) for p in paths]
    home.mkdir()
    people = People(fresh.people)
    people.collections.declare("MOCK", "public")
    people.close()
    with serving(fresh, fresh.people) as base:
        everything = {"REQUEST": "queryData", "FORMAT": "native", "COLLECTION": "MOCK,ODD"}

        def seen(**more: object) -> Any:
            return httpx.get(f"{base}/vo/ssap", params={**everything, **more}, timeout=60)

        before = rows(seen())
        try:
            away[0].rename(home / "a")
            away[1].rename(home / "b")
            away[1].mkdir()
            after = rows(seen())
            few = seen(MAXREC=4)
            both = rows(seen(FORMAT="votable,native"))
        finally:
            away[1].rmdir()
            (home / "a").rename(away[0])
            (home / "b").rename(away[1])
    assert len(after) == len(before) - 2
    assert len(rows(few)) == 4
    assert infos(few)["QUERY_STATUS"] == "OVERFLOW"
    assert len(both) == 2 * len(before) - 2
    dids = list(both["ssa_pubDID"])
    assert dids == sorted(dids, key=dids.index)


def test_units_are_vounits_and_ucds_are_those_of_the_units(tmp_path):
    wave = np.linspace(4000.0, 7000.0, 60)
    units = {"a": "erg / (Angstrom s cm2)", "b": "10**-17 erg s-1 cm-2 Angstrom-1", "c": "K",
             "d": "", "e": None}  # fmt: skip
    archive = sp.open(tmp_path / "archive")
    archive.ingest([spectrum(wave, np.ones(60), flux_unit=unit, observation=Observation(
        "U", obs_id=name)) for name, unit in units.items()], workers=0)  # fmt: skip
    store, publisher = archive.store, Publisher(authority=AUTHORITY)
    table = ssap_table(store.catalogue, publisher, store.find(), ["votable"])
    own = obscore_table(store, publisher, store.find(), ["obs_id", "o_unit", "o_ucd"])
    said = dict(zip(own.column("obs_id").to_pylist(), zip(
        table.column("ssa_fluxunit").to_pylist(), table.column("ssa_fluxucd").to_pylist(),
        strict=True), strict=True))  # fmt: skip
    assert said == {
        "a": ("erg.Angstrom**-1.s**-1.cm**-2", "phot.flux.density;em.wl"),
        "b": ("1e-17erg.Angstrom**-1.s**-1.cm**-2", "phot.flux.density;em.wl"),
        "c": ("K", "phot.antennaTemp"), "d": ("", "phot.flux.density;arith.ratio"),
        "e": (None, "phot.flux.density"),
    }  # fmt: skip
    assert own.column("o_unit").to_pylist() == table.column("ssa_fluxunit").to_pylist()
    assert own.column("o_ucd").to_pylist() == table.column("ssa_fluxucd").to_pylist()


@pytest.mark.parametrize(("unit", "ucd"), [
    (None, "phot.flux.density"), ("nonsense", "phot.flux.density"),
    ("Jy/beam", "phot.flux.density"),
    ("", "phot.flux.density;arith.ratio"), ("normalized", "phot.flux.density;arith.ratio"),
    ("K", "phot.antennaTemp"), ("mK", "phot.antennaTemp"), ("adu", "phot.count"),
    ("counts/s", "phot.count"), ("ct s-1 Angstrom-1", "phot.count"), ("ph s-1", "phot.count"),
    ("ph s-1 cm-2 nm-1", "phot.flux.density;em.wl"), ("mJy", "phot.flux.density;em.freq"),
    ("photon cm-2 s-1 keV-1", "phot.flux.density;em.energy"), ("erg s-1 cm-2", "phot.flux"),
    ("photon s-1 cm-2 Hz-1", "phot.flux.density;em.freq"), ("W/m2/um", "phot.flux.density;em.wl"),
    ("MJy/sr", "phot.flux.density.sb;em.freq"),
])  # fmt: skip
def test_the_ucd_of_a_flux(unit, ucd):
    assert ucd_by_unit(unit) == ucd
    assert check_ucd(ucd, check_controlled_vocabulary=True)
    wave = np.linspace(4000.0, 7000.0, 60)
    if unit != "nonsense":
        assert flux_ucd(spectrum(wave, np.ones(60), flux_unit=unit)) == ucd


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
    {"TIME": "2022/2020"}, {"SNR": "high"}, {"REDSHIFT": "1/0"}, {"FORMAT": "gif"},
    {"FORMAT": "image/jpeg,pdf"}, {"FORMAT": "/"},
    {"MAXREC": "-1"}, {"MAXREC": "1.5"}, {"TOP": "0"}, {"TOP": "many"}, {"FLUXCALIB": "nice"},
    {"WAVECALIB": "nice"},
    {"VERSION": "2.0"}, {"MTIME": "x"}, {"BAND": ",".join(["1/2"] * 5000)}, {"POS": "9" * 200_000},
    {"SPECRP": "1e999"}, {"TARGETNAME": "\x00"}, {"SIZE": ["1", "2"]}, {"MAXREC": ["1", "2"]},
    {"FORMAT": ["fits", "votable"]}, {"TOP": ["1", "2"]}, {"VERSION": ["1.0", "1.1"]},
    {"REQUEST": ["queryData", "x"]}, {"POS": "1,2", "SIZE": "361"}, {"MAXREC": "9" * 40},
    {"TOP": "9" * 40}, {"TIME": "9" * 50_000}, {"TIME": ["2020", "2021"] * 600},
    {"TIME": ",".join(["2020"] * 1001)}, {"BAND": [",".join(["1/2"] * 100)] * 11},
    {"SNR": ["1/2"] * 1001}, {"MTIME": ",".join(["2020"] * 10_000)}, {"COMPRESS": "perhaps"},
    {"COMPRESS": ["true", "false"]}, {"FORMAT": "fits," * 20_000 + "nothing"},
])  # fmt: skip
def test_malformed_parameters_are_errors(vo, params):
    before = vo.site.store.version
    answer = vo.post("/ssap", data={"REQUEST": "queryData", **params})
    assert answer.status_code == 400, answer.text
    assert 'name="QUERY_STATUS" value="ERROR"' in answer.text
    assert len(answer.content) < 2000
    assert vo.site.store.version == before


def test_a_form_is_taken_up_to_a_mebibyte(vo):
    for size, status in ((1_100_000, 413), (90_000, 200)):
        form = {"REQUEST": "queryData", "TARGETNAME": ["x" * 90_000] * (size // 90_000)}
        answer = vo.post("/ssap", data=form)
        assert answer.status_code == status
        assert ('value="ERROR"' in answer.text) == (status == 413)


def test_long_lists_are_no_burden(vo, truth):
    """What many ranges and identifiers find is found as fast as what few do."""
    start = time.monotonic()
    ranges = ",".join(f"{a}e-9/{a + 1}e-9" for a in range(1, 1001))
    times = ",".join(f"{year}-{month:02d}" for year in range(1990, 2073) for month in range(1, 13))
    found = rows(vo.post("/ssap", data={"REQUEST": "queryData", "BAND": ranges, "TIME": times,
                                        "COLLECTION": "," * 9000 + "MOCK"}))  # fmt: skip
    wanted = truth[truth.obs_collection == "MOCK"]
    assert sorted(found["ssa_targname"]) == sorted(wanted.target_name)
    did = Publisher(authority=AUTHORITY).did(wanted.iloc[0])
    many = [*(f"ivo://{AUTHORITY}/MOCK?{i}" for i in range(2000)), "ivo://nonsense", did]
    found = rows(vo.post("/ssap", data={"REQUEST": "queryData", "PUBDID": ",".join(many)}))
    assert list(found["ssa_pubDID"]) == [did]
    assert time.monotonic() - start < 10


def test_what_meets_many_ranges_meets_one_of_them():
    draw = np.random.default_rng(5)
    for number in range(1, 200):
        ends = np.sort(draw.integers(0, 60, (number % 12 + 1, 2)).astype(float), axis=1)
        ends[0, 0], ends[-1, 1] = draw.choice([[ends[0, 0], np.inf], [-np.inf, ends[-1, 1]]])
        lo = draw.integers(-5, 65, 100).astype(float)
        hi = lo + draw.integers(0, 9, 100)
        lo[:3], hi[2:5] = np.nan, np.nan
        each = np.any([(hi >= a) & (lo <= b) for a, b in ends], axis=0)
        assert np.array_equal(meets(lo, hi, [(a, b) for a, b in ends]), each)


@pytest.mark.parametrize(("text", "start", "stop"), [
    ("9999", 2973119, 2973484), ("9999-12", 2973453, 2973484), ("9999-12-31", 2973483, 2973484),
    ("2016-12-31Z", 57753, 57754), ("2024-02", 60341, 60370), ("0000", -678941, -678575),
    ("2020-01-01T12:00", 58849.5, 58849.5),
])  # fmt: skip
def test_a_time_lasts_as_long_as_what_it_names(text, start, stop):
    assert time_ranges(text) == [(start, stop)]


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


@pytest.mark.parametrize("params", [
    {}, {"MAXREC": 0}, {"FORMAT": "fits", "MAXREC": 3}, {"FORMAT": "image/jpeg"},
    {"FORMAT": "native,graphic,compliant", "MAXREC": 8},
])  # fmt: skip
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
                  "Char.TimeAxis.Coverage.Bounds.Extent", "Char.TimeAxis.Coverage.Bounds.Start",
                  "Char.TimeAxis.Coverage.Bounds.Stop", "DataID.Date"):  # fmt: skip
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
    """By what SPLAT-VO looks for: parameters, query, spectrum, links, cut-out."""
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
    assert found["ssa_timestart"] == pytest.approx(one.t_min)
    assert found["ssa_timestop"] == pytest.approx(one.t_max)
    assert Time(found["ssa_date"]).mjd == pytest.approx(one.ingest_mjd, abs=1 / 86_400)
