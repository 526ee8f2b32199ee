"""The same files published by DaCHS and by us: questions, fields, samples and cut-outs compared.

DaCHS is told by an operator's description what each header means (tests/peers/lamost.rd). What
differs is named here with a reason, which docs/interop.md has too; anything else fails.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import numpy as np
import pytest
from astropy.io.votable import parse
from dachs_server import Dachs, dachs
from serve_client import Site
from vo_site import serving

import spectrarium as sp
from spectrarium.people import People

pytestmark = [pytest.mark.data, pytest.mark.timeout(300), pytest.mark.xdist_group("dachs")]

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "interop.md").read_text(encoding="utf-8")
ASKED: dict[str, dict[str, str]] = {
    "everything": {},
    "a place": {"POS": "99.316,27.232", "SIZE": "0.5"},
    "a small place": {"POS": "99.316263,27.23237", "SIZE": "0.001"},
    "a place with nothing": {"POS": "10,80", "SIZE": "1"},
    "a band inside": {"BAND": "6e-7/7e-7"},
    "a band that ends before": {"BAND": "1e-7/2e-7"},
    "a band at the red end": {"BAND": "9.0980e-7/9.0990e-7"},
    "an open band": {"BAND": "9.0985e-7/"},
    "a time": {"TIME": "2011-10-24/2011-11-01"},
    "an open time": {"TIME": "2015-01-01/"},
    "a collection": {"COLLECTION": "LAMOST-LRS"},
    "a class": {"TARGETCLASS": "STAR"},
    "a redshift": {"REDSHIFT": "-0.001/0.001"},
    "a place and a time": {"POS": "99.4,27.2", "SIZE": "1", "TIME": "2011-10-27/2011-10-28"},
}

SSA_EXPLAINED = {
    "query.score", "access.reference", "access.size", "curation.publisherdid",
    "curation.publisher", "curation.date", "dataid.title", "dataid.bandpass", "dataset.type",
    "char.fluxaxis.ucd", "char.spatialaxis.coverage.bounds.extent",
    "char.spatialaxis.coverage.location.value.c1", "char.spatialaxis.coverage.location.value.c2",
    "char.spectralaxis.unit", "char.spectralaxis.resolution", "target.class", "target.redshift",
}  # fmt: skip
"""Utypes, in lower case, of fields that differ for a reason."""
OBSCORE_EXPLAINED = {
    "obs_id", "obs_publisher_did", "obs_title", "access_url", "access_format", "access_estsize",
    "s_fov", "s_region", "s_xel1", "s_xel2", "t_min", "t_max", "em_res_power", "o_ucd",
    "target_class",
}  # fmt: skip
OWN_COLUMNS = {"preview", "source_table", "dataproduct_subtype", "s_pixel_scale"}
"""DaCHS's beyond the standard, and two optional ones that say nothing of these spectra."""


@dataclass(frozen=True)
class Both:
    """Their server and ours; name of the file → our identifier."""

    dachs: Dachs
    ours: str
    ids: dict[str, str]

    def their_ssap(self, **params: str) -> Any:
        url = f"{self.dachs.base}/lamost/q/ssa/ssap.xml"
        return table(url, REQUEST="queryData", **params)

    def our_ssap(self, **params: str) -> Any:
        return table(f"{self.ours}/vo/ssap", REQUEST="queryData", **params)

    def of_theirs(self, did: object) -> str:
        """Our identifier of the spectrum that they call `did`."""
        return self.ids[Path(unquote(str(did))).name]


def table(url: str, **params: str) -> Any:
    """A resource of an answer that went well."""
    answer = httpx.get(url, params=params, timeout=60)
    assert answer.status_code == 200, answer.text[:2000]
    resource = parse(io.BytesIO(answer.content)).resources[0]
    assert {i.name: i.value for i in resource.infos}["QUERY_STATUS"] == "OK", answer.text[:2000]
    return resource


def ids(resource: Any) -> list[str]:
    """Publishers' identifiers of an answer of SSAP."""
    return [str(one) for one in resource.tables[0].array["ssa_pubDID"].filled("")]


@pytest.fixture(scope="module")
def both(data_dir, postgres, tmp_path_factory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("dachs")
    files = sorted((data_dir / "lamost_lrs_pool" / "raw_examples").glob("*.fits.gz"))
    peer = dachs(postgres, folder)
    peer.publish(HERE.parent / "peers" / "lamost.rd", files)
    archive = sp.open(folder / "archive")
    assert archive.ingest(files, workers=0).stored == len(files) == 18
    rows = archive.store.catalogue(archive.store.find("snr > -1e9"))
    known = dict(zip([Path(p).name for p in rows["access_path"].to_pylist()],
                     rows["obs_id"].to_pylist(), strict=True))  # fmt: skip
    assert len(known) == len(files)
    people = People(folder / "people.sqlite")
    people.collections.declare("LAMOST-LRS", "public")
    people.close()
    site = Site(folder / "archive", folder / "people.sqlite")
    with peer.serving(), serving(site, site.people) as base:
        yield Both(peer, base, known)


@pytest.mark.parametrize("params", ASKED.values(), ids=ASKED)
def test_the_same_spectra_are_found(both, params):
    theirs = [both.of_theirs(did) for did in ids(both.their_ssap(**params))]
    ours = [did.partition("?")[2] for did in ids(both.our_ssap(FORMAT="votable", **params))]
    assert sorted(ours) == sorted(theirs)
    if params == {}:
        assert len(ours) == 18


def test_size_is_a_diameter_here_and_a_radius_there(both):
    """SSAP 1.1, 4.1.1.2 has it a diameter; the two see the same spectra at half the size."""
    place = "99.316263,27.23237"
    seen = set()
    for size in (0.1, 0.2, 0.3, 0.4):
        theirs = [both.of_theirs(d) for d in ids(both.their_ssap(POS=place, SIZE=str(size / 2)))]
        ours = ids(both.our_ssap(FORMAT="votable", POS=place, SIZE=str(size)))
        assert sorted(d.partition("?")[2] for d in ours) == sorted(theirs)
        seen.add(len(ours))
    assert len(seen) > 1, seen


def test_a_name_is_asked_for_alike(both):
    name = "LAMOST J220848.54-020324.3"
    (theirs,) = ids(both.their_ssap(TARGETNAME=name))
    (ours,) = ids(both.our_ssap(TARGETNAME=name))
    assert both.of_theirs(theirs) == ours.partition("?")[2]


def values(resource: Any) -> dict[str, Any]:
    """Utype in lower case, without its prefix → values of the rows, or the one of a PARAM."""
    (found,) = resource.tables
    out: dict[str, Any] = {}
    for param in [*found.params, *resource.params]:
        if param.utype:
            out[plain(param.utype)] = [param.value] * len(found.array)
    for field in found.fields:
        if field.utype:
            out[plain(field.utype)] = list(found.array[field.name])
    return out


def plain(utype: str) -> str:
    return utype.partition(":")[2].lower()


def nothing(value: Any) -> bool:
    """Whether a cell says nothing."""
    if value is None or np.ma.is_masked(value):
        return True
    if isinstance(value, (str, bytes)):
        return str(value).strip() in ("", "unknown")
    return bool(np.all(np.isnan(np.asarray(value, float))))


def alike(theirs: Any, ours: Any) -> bool:
    """Whether two cells say the same: numbers to 32 bits, which is what they send."""
    if nothing(theirs) or nothing(ours):
        return nothing(theirs)  # what they leave empty we may know
    if isinstance(theirs, (str, bytes)):
        return str(theirs) == str(ours)
    return bool(np.allclose(np.asarray(theirs, float), np.asarray(ours, float), rtol=3e-7,
                            atol=1e-12))  # fmt: skip


def test_every_field_of_ssap_says_the_same(both):
    """…or is explained; what they have and we lack is explained too."""
    theirs, ours = both.their_ssap(), both.our_ssap(FORMAT="votable")
    place = {did.partition("?")[2]: i for i, did in enumerate(ids(ours))}
    order = [place[both.of_theirs(did)] for did in ids(theirs)]
    known, differ, same = values(ours), set(), set()
    for utype, cells in values(theirs).items():
        if all(nothing(cell) for cell in cells):
            continue
        mine = known.get(utype)
        agree = mine is not None and all(
            alike(cell, mine[i]) for cell, i in zip(cells, order, strict=True))  # fmt: skip
        (same if agree else differ).add(utype)
    assert differ == SSA_EXPLAINED
    assert len(same) >= 15, same


def test_every_column_of_obscore_says_the_same(both):
    asked = {"LANG": "ADQL", "REQUEST": "doQuery", "QUERY": "SELECT * FROM ivoa.obscore"}
    theirs = table(f"{both.dachs.base}/tap/sync", **asked).tables[0]
    ours = table(f"{both.ours}/vo/tap/sync", **asked).tables[0]
    place = {str(one): i for i, one in enumerate(ours.array["obs_id"])}
    order = [place[both.of_theirs(did)] for did in theirs.array["obs_publisher_did"]]
    names = {f.name for f in theirs.fields} - OWN_COLUMNS
    assert names <= {f.name for f in ours.fields}
    units = {f.name: str(f.unit) for f in ours.fields}
    differ, same = set(), set()
    for field in theirs.fields:
        if field.name in OWN_COLUMNS:
            continue
        assert str(field.unit) == units[field.name], field.name
        cells, mine = theirs.array[field.name], ours.array[field.name]
        agree = all(alike(cells[k], mine[i]) for k, i in enumerate(order))
        (same if agree else differ).add(field.name)
    assert differ == OBSCORE_EXPLAINED
    assert len(same) >= 12, same


@pytest.mark.parametrize("band", [None, (6.553e-7, 6.573e-7), (1e-7, 3.71e-7)],
                         ids=["whole", "Halpha", "blue end"])  # fmt: skip
def test_spectra_and_cutouts_have_the_same_samples(both, band):
    for did in ids(both.their_ssap())[::4]:
        params = {} if band is None else {"BAND": f"{band[0]} {band[1]}"}
        theirs = httpx.get(f"{both.dachs.base}/lamost/q/sdl/dlget", params={"ID": did, **params},
                           timeout=60)  # fmt: skip
        wave, flux = samples(theirs)
        own = next(d for d in ids(both.our_ssap()) if d.endswith(f"?{both.of_theirs(did)}"))
        url = f"{both.ours}/vo/" + ("spectrum" if band is None else "soda/sync")
        mine = samples(httpx.get(url, params={"ID": own, **params}, timeout=60))
        assert len(wave) > 10
        assert len(mine[0]) == len(wave)
        np.testing.assert_allclose(mine[0], wave, rtol=4e-7)  # some files list 32 bits
        np.testing.assert_allclose(mine[1], flux, rtol=3e-7)


def samples(answer: httpx.Response) -> tuple[Any, Any]:
    """Wavelengths in Å and fluxes of a spectrum as a VOTable."""
    assert answer.status_code == 200, answer.text[:2000]
    found = parse(io.BytesIO(answer.content)).get_first_table()
    wave, flux = (next(f for f in found.fields if str(f.utype).lower().endswith(
        f"data.{axis}axis.value")) for axis in ("spectral", "flux"))  # fmt: skip
    array = found.array
    return (np.asarray(array[wave.name], float) * wave.unit.to("Angstrom"),
            np.asarray(array[flux.name], float))  # fmt: skip


def test_differences_are_in_the_docs():
    said = {word.lower() for word in re.findall(r"`([\w.]+)`", PAGE)}
    assert said >= SSA_EXPLAINED | OBSCORE_EXPLAINED
