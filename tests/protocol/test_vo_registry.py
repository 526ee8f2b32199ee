"""The publishing registry: valid records over OAI-PMH, errors in its words, nothing pretended."""

from __future__ import annotations

import re
import time
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from required import need
from serve_client import TOKEN, Site
from vo_site import AUTHORITY, SETTINGS, Vo, serving, stilts, vo

from spectrarium.people import People
from spectrarium.publish.coverage import Footprint
from spectrarium.publish.dali import Params
from spectrarium.publish.oai import oai_answer
from spectrarium.publish.publisher import Publisher
from spectrarium.publish.registry import Collection, Published, records
from spectrarium.serve.vo_settings import VoSettings

__all__ = ["vo"]
SCHEMATA = Path("/usr/lib/python3/dist-packages/gavo/resources/schemata")
"""Schemas that stilts does not have itself; Debian's python3-gavo brings them."""
LOCATIONS = {
    "http://www.openarchives.org/OAI/2.0/": "OAI-PMH.xsd",
    "http://www.openarchives.org/OAI/2.0/oai_dc/": "oai_dc.xsd",
    "http://purl.org/dc/elements/1.1/": "simpledc20021212.xsd",
    "http://www.ivoa.net/xml/RegistryInterface/v1.0": "RegistryInterface.xsd",
    "http://www.ivoa.net/xml/VORegistry/v1.0": "VORegistry.xsd",
    "http://www.ivoa.net/xml/SSA/v1.1": "SSA.xsd",
    "http://www.ivoa.net/xml/ConeSearch/v1.0": "ConeSearch.xsd",
    "http://www.ivoa.net/xml/SLAP/v1.0": "SLAP.xsd",
}
NS = {"oai": "http://www.openarchives.org/OAI/2.0/",
      "ri": "http://www.ivoa.net/xml/RegistryInterface/v1.0",
      "dc": "http://purl.org/dc/elements/1.1/"}  # fmt: skip
TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"


def valid(content: bytes, path: Path) -> ET.Element:
    """The document, which meets all schemas it names."""
    need("gavo", SCHEMATA.is_dir(), "python3-gavo, which brings schemas, is not installed")
    path.write_bytes(content)
    places = [f"schemaloc={space}={SCHEMATA / name}" for space, name in LOCATIONS.items()
              if f'"{space}"'.encode() in content]  # fmt: skip
    said = stilts("xsdvalidate", "uselocals=true", *places, f"doc={path}")
    assert not re.search(r"^(ERROR|FATAL|WARNING(?!: Unused))", said, re.M), said
    return ET.fromstring(content)


def asked(vo: Vo, **words: object) -> ET.Element:
    answer = vo.get("/registry", **words)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/xml")
    return ET.fromstring(answer.content)


def error_of(document: ET.Element) -> str:
    found = document.findall("oai:error", NS)
    assert len(found) == 1
    assert (found[0].text or "").strip()
    return found[0].attrib["code"]


def resources(document: ET.Element) -> dict[str, ET.Element]:
    return {r.findtext("identifier") or "": r for r in document.iter(f"{{{NS['ri']}}}Resource")}


# schemas --------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [
    {"verb": "Identify"}, {"verb": "ListMetadataFormats"}, {"verb": "ListSets"},
    {"verb": "ListIdentifiers", "metadataPrefix": "ivo_vor"},
    {"verb": "ListIdentifiers", "metadataPrefix": "oai_dc", "set": "ivo_managed"},
    {"verb": "ListRecords", "metadataPrefix": "ivo_vor", "from": "2020-01-01"},
    {"verb": "ListRecords", "metadataPrefix": "oai_dc"},
    {"verb": "GetRecord", "metadataPrefix": "ivo_vor", "identifier": f"ivo://{AUTHORITY}/archive"},
    {"verb": "GetRecord", "metadataPrefix": "oai_dc", "identifier": f"ivo://{AUTHORITY}"},
    {"verb": "Nonsense"}, {"verb": "ListRecords"},
    {"verb": "GetRecord", "metadataPrefix": "ivo_vor", "identifier": "ivo://no.where/there"},
    {"verb": "ListRecords", "metadataPrefix": "ivo_vor", "until": "1999-01-01T00:00:00Z"},
], ids=str)  # fmt: skip
def test_every_answer_meets_its_schemas(vo: Vo, words, tmp_path):
    """OAI-PMH, VOResource 1.1, VODataService 1.2, VORegistry and those of the capabilities."""
    answer = vo.get("/registry", **words)
    assert answer.status_code == 200
    valid(answer.content, tmp_path / "answer.xml")


def test_the_capabilities_of_the_whole_meet_their_schemas(vo: Vo, tmp_path):
    document = valid(vo.get("/capabilities").content, tmp_path / "capabilities.xml")
    standards = [c.attrib["standardID"] for c in document.findall("capability")]
    assert len(set(standards)) == len(standards)
    for word in ("SSA", "ConeSearch", "SLAP", "TAP", "DataLink#links", "SODA#sync", "HiPS",
                 "VOSI#availability"):  # fmt: skip
        assert any(f"/{word}" in s for s in standards), (word, standards)
    for url in document.iter("accessURL"):
        assert (url.text or "").startswith(f"{vo.base}/vo/")


@pytest.mark.parametrize("service", ["ssap", "cone", "slap", "datalink", "soda", "registry"])
def test_what_each_service_says_of_itself_meets_the_schemas(vo: Vo, tmp_path, service):
    document = valid(vo.get(f"/{service}/capabilities").content, tmp_path / "capabilities.xml")
    assert document.findall("capability")
    found = valid(vo.get(f"/{service}/availability").content, tmp_path / "availability.xml")
    assert found.findtext("{http://www.ivoa.net/xml/VOSIAvailability/v1.0}available") == "true"


# records --------------------------------------------------------------------------------------


def test_identify_says_who_and_carries_the_registrys_record(vo: Vo):
    document = asked(vo, verb="Identify")
    said = document.find("oai:Identify", NS)
    assert said.findtext("oai:adminEmail", None, NS) == "who@example.org"
    assert said.findtext("oai:baseURL", None, NS) == f"{vo.base}/vo/registry"
    found = resources(document)
    assert list(found) == [f"ivo://{AUTHORITY}/registry"]
    (registry,) = found.values()
    assert registry.attrib[TYPE] == "vg:Registry"
    assert registry.findtext("managedAuthority") == AUTHORITY
    assert registry.findtext("full") == "false"


def test_the_records_are_who_and_what_there_is(vo: Vo):
    document = asked(vo, verb="ListRecords", metadataPrefix="ivo_vor")
    found = resources(document)
    kinds = {i.removeprefix(f"ivo://{AUTHORITY}"): r.attrib[TYPE] for i, r in found.items()}
    assert kinds == {"/registry": "vg:Registry", "": "vg:Authority",
                     "/organisation": "vr:Organisation", "/archive": "vs:CatalogService",
                     "/MOCK": "vs:DataResource", "/ODD": "vs:DataResource"}  # fmt: skip
    archive = found[f"ivo://{AUTHORITY}/archive"]
    assert archive.findtext("title") == "Test archive"
    assert archive.findtext("curation/contact/email") == "who@example.org"
    assert "98 spectra in 2 collections" in archive.findtext("content/description", "")
    tables = [t.findtext("name") for t in archive.iter("table")]
    assert {"ivoa.obscore", "spectra.observations", "tap_schema.tables"} <= set(tables)
    for record in found.values():
        assert record.attrib["status"] == "active"
        for other in record.iter():
            ivoid = other.attrib.get("ivo-id", "")
            assert not ivoid.startswith(f"ivo://{AUTHORITY}") or ivoid in found, ivoid


def test_a_dataset_identifier_leads_to_a_record(vo: Vo):
    """What stands before the ? of a publisher's DID is registered (IVOA Identifiers 2.0, 4.1)."""
    archive = vo.site.store
    row = archive.catalogue(archive.find("obs_collection = 'MOCK'")[:1]).to_pylist()[0]
    did = Publisher(authority=AUTHORITY).did(row)
    document = asked(vo, verb="GetRecord", metadataPrefix="ivo_vor",
                     identifier=did.partition("?")[0])  # fmt: skip
    assert len(resources(document)) == 1


def test_coverage_is_what_the_maps_say(vo: Vo):
    from mocpy import MOC

    document = asked(vo, verb="ListRecords", metadataPrefix="ivo_vor")
    coverage = resources(document)[f"ivo://{AUTHORITY}/MOCK"].find("coverage")
    coarse = MOC.from_string(coverage.findtext("spatial", ""))
    address = coverage.findtext("footprint", "")
    fine = MOC.from_string(httpx.get(f"{address}&FORMAT=ascii", timeout=60).text)
    assert fine.difference(coarse).empty()
    lo, hi = map(float, coverage.findtext("spectral", "").split())
    waves = vo.site.store.catalogue(vo.site.store.find("obs_collection = 'MOCK'"),
                                    ["em_min", "em_max"])  # fmt: skip
    joule_m = 6.62607015e-34 * 299_792_458.0
    assert lo == pytest.approx(joule_m / max(waves.column(1).to_pylist()))
    assert hi == pytest.approx(joule_m / min(waves.column(0).to_pylist()))
    assert "Optical" in [w.text for w in coverage.findall("waveband")]


def test_what_guests_may_not_see_is_in_no_record(vo: Vo):
    text = vo.get("/registry", verb="ListRecords", metadataPrefix="ivo_vor").text
    assert "SECRET" not in text
    # what is registered is known to the world, whoever happens to ask
    with_right = vo.get("/registry", TOKEN, verb="ListRecords", metadataPrefix="ivo_vor").text
    assert "SECRET" not in with_right


def test_where_nothing_is_public_no_collection_is_registered(site: Site, tmp_path):
    with serving(site, tmp_path / "people.sqlite", SETTINGS) as base:
        answer = httpx.get(f"{base}/vo/registry", timeout=60, params=LIST,
                           headers={"Authorization": f"Bearer {TOKEN}"})  # fmt: skip
        found = resources(valid(answer.content, tmp_path / "answer.xml"))
        assert len(found) == 4
        assert f"ivo://{AUTHORITY}/archive" in found
        assert httpx.get(f"{base}/vo/registry", timeout=60, params=LIST).status_code == 401


def test_harvesters_learn_of_what_is_published_and_hidden(site: Site, tmp_path):
    """From the time of their last harvest: SECRET comes, and goes, with no server started anew."""
    path = tmp_path / "people.sqlite"
    ivoid = f"ivo://{AUTHORITY}/SECRET"

    def since(when: str) -> dict[str, str | None]:
        answer = httpx.get(f"{base}/vo/registry", timeout=60, params={
            "verb": "ListRecords", "metadataPrefix": "ivo_vor", "from": when})  # fmt: skip
        document = valid(answer.content, tmp_path / "answer.xml")
        return {h.findtext("oai:identifier", "", NS): h.attrib.get("status")
                for h in document.iter(f"{{{NS['oai']}}}header")}  # fmt: skip

    def later() -> str:
        """A time behind all that was told; dates have seconds."""
        time.sleep(1.1)
        return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    with People(path) as people:
        people.collections.declare("MOCK", "public")
    with serving(site, path, SETTINGS) as base, People(path) as people:
        assert ivoid not in since("2020-01-01")
        first = later()
        assert since(first) == {}
        people.collections.declare("SECRET", "public")
        found = since(first)
        assert found[ivoid] is None
        assert f"ivo://{AUTHORITY}/MOCK" not in found  # nothing changed there
        assert f"ivo://{AUTHORITY}/archive" in found  # it has more spectra now
        second = later()
        people.collections.declare("SECRET", "private")
        assert since(second)[ivoid] == "deleted"
        one = httpx.get(f"{base}/vo/registry", timeout=60, params={
            "verb": "GetRecord", "metadataPrefix": "ivo_vor", "identifier": ivoid})  # fmt: skip
        assert b'status="deleted"' in one.content
        assert b"<metadata>" not in one.content
    with serving(site, path, SETTINGS) as base:  # and it is remembered
        assert since(second)[ivoid] == "deleted"
        third = later()
        assert since(third) == {}
        with People(path) as people:
            people.collections.declare("SECRET", "public")
        assert since(third)[ivoid] is None


def test_dublin_core_and_headers(vo: Vo):
    listed = asked(vo, verb="ListIdentifiers", metadataPrefix="oai_dc")
    headers = listed.findall("oai:ListIdentifiers/oai:header", NS)
    assert len(headers) == 6
    assert {h.findtext("oai:setSpec", None, NS) for h in headers} == {"ivo_managed"}
    one = asked(vo, verb="GetRecord", metadataPrefix="oai_dc",
                identifier=f"IVO://{AUTHORITY}/Archive".lower())  # fmt: skip
    assert one.findtext(".//dc:title", None, NS) == "Test archive"


def test_a_form_works_too(vo: Vo):
    answer = vo.post("/registry", data={"verb": "ListSets"})
    assert ET.fromstring(answer.content).find("oai:ListSets", NS) is not None


# errors and times -----------------------------------------------------------------------------

LIST = {"verb": "ListRecords", "metadataPrefix": "ivo_vor"}


@pytest.mark.parametrize(("words", "code"), [
    ({}, "badVerb"), ({"verb": "identify"}, "badVerb"), ({"verb": "x" * 3000}, "badVerb"),
    ({"verb": ["Identify", "ListSets"]}, "badVerb"),
    ({"verb": "Identify", "set": "x"}, "badArgument"),
    ({"verb": "Identify", "<x>": "y"}, "badArgument"),
    ({"verb": "ListRecords"}, "badArgument"),
    ({"verb": "GetRecord", "metadataPrefix": "ivo_vor"}, "badArgument"),
    ({"verb": "GetRecord", "identifier": f"ivo://{AUTHORITY}"}, "badArgument"),
    ({"verb": "GetRecord", "metadataPrefix": "ivo_vor", "identifier": "'\"<&>"},
     "idDoesNotExist"),
    ({"verb": "GetRecord", "metadataPrefix": "marc", "identifier": f"ivo://{AUTHORITY}"},
     "cannotDisseminateFormat"),
    ({"verb": "ListMetadataFormats", "identifier": "ivo://x.y/z"}, "idDoesNotExist"),
    ({**LIST, "metadataPrefix": "marc"}, "cannotDisseminateFormat"),
    ({**LIST, "metadataPrefix": ["ivo_vor", "oai_dc"]}, "badArgument"),
    ({**LIST, "set": "other"}, "noRecordsMatch"),
    ({**LIST, "from": "3000-01-01"}, "noRecordsMatch"),
    ({**LIST, "until": "1990-01-01"}, "noRecordsMatch"),
    ({**LIST, "from": "yesterday"}, "badArgument"),
    ({**LIST, "from": "2020-13-01"}, "badArgument"),
    ({**LIST, "from": "2020-01-01T00:00:00"}, "badArgument"),
    ({**LIST, "from": "2020-01-01", "until": "2030-01-01T00:00:00Z"}, "badArgument"),
    ({**LIST, "from": "2021-01-01", "until": "2020-01-01"}, "badArgument"),
    ({**LIST, "from": ""}, "badArgument"),
    ({"verb": "ListRecords", "resumptionToken": "x"}, "badResumptionToken"),
    ({"verb": "ListSets", "resumptionToken": "x"}, "badResumptionToken"),
    ({**LIST, "resumptionToken": "x"}, "badArgument"),
], ids=str)  # fmt: skip
def test_errors_are_told_in_the_words_of_oai(vo: Vo, words, code):
    document = asked(vo, **words)
    assert error_of(document) == code
    if code in ("badVerb", "badArgument"):
        assert document.find("oai:request", NS).attrib == {}


UPDATED = datetime(2026, 5, 17, 12, 30, 15, 900_000, UTC)


def small(**more: object) -> tuple[Publisher, list]:
    publisher = Publisher("T <&>", "org.example", "a@example.org", "N & M", "http://h.example")
    facts = Footprint("6/1", ((58000.0, 58001.0),), ((2e-19, 5e-19),), ("Optical",), 3)
    names = ("A", "b c", "archive", "ü", "x/y")
    found = Published([], "", facts, [Collection(n, facts, ("Tel",), ("Ins",)) for n in names],
                      datetime(2025, 1, 1, tzinfo=UTC), UPDATED)  # fmt: skip
    return publisher, records(publisher, found)


@pytest.mark.parametrize(("words", "there"), [
    ({"from": "2026-05-17"}, True), ({"from": "2026-05-18"}, False),
    ({"until": "2026-05-17"}, True), ({"until": "2026-05-16"}, False),
    ({"from": "2026-05-17T12:30:15Z"}, True), ({"from": "2026-05-17T12:30:16Z"}, False),
    ({"until": "2026-05-17T12:30:15Z"}, True), ({"until": "2026-05-17T12:30:14Z"}, False),
    ({"from": "2026-05-17", "until": "2026-05-17"}, True),
])  # fmt: skip
def test_times_include_both_ends(words, there):
    publisher, found = small()
    params = Params([*LIST.items(), *words.items()])
    document = ET.fromstring(oai_answer(params, found, publisher, UPDATED))
    assert (document.find("oai:ListRecords", NS) is not None) == there


def test_collections_that_cannot_be_part_of_an_ivoid_have_no_record(tmp_path):
    """A blank, a letter outside ASCII, and a name that the archive's own record has."""
    publisher, found = small()
    assert [r.ivoid for r in found[4:]] == ["ivo://org.example/A", "ivo://org.example/x/y"]
    body = oai_answer(Params(LIST.items()), found, publisher, UPDATED)
    assert b"T &lt;&amp;&gt;" in body
    valid(body, tmp_path / "records.xml")


@pytest.mark.parametrize("settings", [
    VoSettings(), VoSettings(authority=AUTHORITY), VoSettings(contact="who@example.org"),
], ids=["neither", "no contact", "no authority"])  # fmt: skip
def test_an_archive_that_nobody_answers_for_has_no_registry(site: Site, tmp_path, settings):
    """It does not pretend: there is nothing to harvest, and what to do is said."""
    with serving(site, tmp_path / "people.sqlite", settings) as base:
        for verb in ("Identify", "ListRecords"):
            answer = httpx.get(f"{base}/vo/registry", params={"verb": verb}, timeout=60,
                               headers={"Authorization": f"Bearer {TOKEN}"})  # fmt: skip
            assert answer.status_code == 404
            assert b'value="ERROR"' in answer.content
            assert b"--authority" in answer.content
            assert b"--contact" in answer.content
        assert httpx.get(f"{base}/vo/capabilities", timeout=60).status_code == 200
