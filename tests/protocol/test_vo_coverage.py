"""Coverage as clients ask for it: forms, collections, errors, and nothing of what is hidden."""

from __future__ import annotations

import json
from tempfile import NamedTemporaryFile

import numpy as np
import pytest
from astropy import units as u
from embedding_cases import spectrum
from mocpy import MOC, FrequencyMOC, TimeMOC
from serve_client import TOKEN
from vo_site import Vo, vo

import spectrarium as sp
from spectrarium.domain.axis import Medium
from spectrarium.domain.observation import Observation
from spectrarium.publish.coverage import bounds, coverage
from spectrarium.publish.obscore import obscore_table
from spectrarium.publish.publisher import Publisher

__all__ = ["vo"]
KINDS = {"space": MOC, "time": TimeMOC, "spectral": FrequencyMOC}


def _from_fits(kind: str, content: bytes):
    with NamedTemporaryFile(suffix=".fits") as file:
        file.write(content)
        file.flush()
        return KINDS[kind].load(file.name, "fits")


@pytest.mark.parametrize("kind", KINDS)
def test_the_forms_say_the_same(vo: Vo, kind: str):
    as_fits = vo.get(f"/moc/{kind}")
    assert as_fits.status_code == 200
    assert as_fits.headers["content-type"] == "application/fits"
    moc = _from_fits(kind, as_fits.content)
    as_json = vo.get(f"/moc/{kind}", FORMAT="json")
    assert as_json.headers["content-type"] == "application/json"
    as_text = vo.get(f"/moc/{kind}", format="text/plain")
    assert as_text.headers["content-type"].startswith("text/plain")
    assert KINDS[kind].from_json(as_json.json()) == moc
    assert KINDS[kind].from_string(as_text.text) == moc
    assert vo.get(f"/moc/{kind}", FORMAT="application/fits").content == as_fits.content


def test_all_that_may_be_seen_is_covered_and_nothing_else(vo: Vo):
    seen = _from_fits("space", vo.get("/moc/space").content)
    all_ = _from_fits("space", vo.get("/moc/space", TOKEN).content)
    archive = vo.site.store
    table = archive.catalogue(archive.find(), ["obs_collection", "s_ra", "s_dec"])
    hidden = np.array([c == "SECRET" for c in table.column(0).to_pylist()])
    ra, dec = (table.column(n).to_numpy() for n in ("s_ra", "s_dec"))
    known = np.isfinite(ra)
    inside = seen.contains_lonlat(ra[known] * u.deg, dec[known] * u.deg)
    assert inside.tolist() == (~hidden[known]).tolist()
    assert all_.contains_lonlat(ra[known] * u.deg, dec[known] * u.deg).all()
    waves = archive.catalogue(archive.find("obs_collection = 'MOCK'"), ["em_min", "em_max"])
    moc = _from_fits("spectral", vo.get("/moc/spectral", COLLECTION="MOCK").content)
    middle = (waves.column(0).to_numpy() + waves.column(1).to_numpy()) / 2
    assert moc.contains(299_792_458.0 / middle * u.Hz).all()


def test_wavelengths_in_air_are_told_in_vacuum(tmp_path):
    """As SSA and ObsCore have them: 2 Å apart at 7000 Å, and as they are where nothing is known."""
    wave = np.linspace(4000.0, 7000.0, 60)
    archive = sp.open(tmp_path / "archive")
    archive.ingest([spectrum(wave, np.ones(60), medium=medium, observation=Observation(
        "W", obs_id=medium.value)) for medium in Medium], workers=0)  # fmt: skip
    store = archive.store
    rows = store.find()
    names = store.catalogue(rows, ["obs_id"]).column(0).to_pylist()
    lo, hi = (dict(zip(names, v, strict=True)) for v in bounds(store, rows, "spectral"))
    told = obscore_table(store, Publisher(authority="a"), rows, ["em_min", "em_max"])
    np.testing.assert_array_equal(list(lo.values()), told.column("em_min").to_numpy())
    np.testing.assert_array_equal(list(hi.values()), told.column("em_max").to_numpy())
    assert hi["air"] - hi["vacuum"] == pytest.approx(1.93e-10, rel=0.01)
    assert hi["unknown"] == hi["vacuum"] == pytest.approx(7e-7)
    spectral = coverage(store, rows, "spectral")
    assert spectral.contains([299_792_458.0 / hi["air"] * 1.00001] * u.Hz).all()


def test_collections_orders_and_circles(vo: Vo):
    odd = _from_fits("space", vo.get("/moc/space", COLLECTION="ODD").content)
    mock = _from_fits("space", vo.get("/moc/space", COLLECTION="MOCK").content)
    both = _from_fits("space", vo.get("/moc/space", COLLECTION=["MOCK", "ODD"]).content)
    assert odd.union(mock) == both
    assert _from_fits("space", vo.get("/moc/space", ORDER=5).content).max_order == 5
    wide = _from_fits("space", vo.get("/moc/space", COLLECTION="ODD", RADIUS=1).content)
    assert wide.sky_fraction > 100 * odd.sky_fraction
    assert wide.contains_lonlat([12.0, 12.0] * u.deg, [-19.1, -18.5] * u.deg).tolist() == [
        True, False
    ]  # fmt: skip


@pytest.mark.parametrize(("path", "given", "status"), [
    ("/moc/space", {"FORMAT": "png"}, 400),
    ("/moc/space", {"FORMAT": ["fits", "json"]}, 400),
    ("/moc/space", {"ORDER": "30"}, 400),
    ("/moc/space", {"ORDER": "-1"}, 400),
    ("/moc/space", {"ORDER": "x"}, 400),
    ("/moc/space", {"ORDER": "9" * 5000}, 400),
    ("/moc/time", {"RADIUS": "1"}, 400),
    ("/moc/space", {"RADIUS": "nan"}, 400),
    ("/moc/space", {"RADIUS": "0"}, 400),
    ("/moc/space", {"RADIUS": "90"}, 400),
    ("/moc/space", {"COLLECTION": "SECRET"}, 404),
    ("/moc/space", {"COLLECTION": "'; DROP"}, 404),
    ("/moc/space", {"COLLECTION": "a" * 50_000}, 404),
    ("/moc/colour", {}, 404),
])  # fmt: skip
def test_what_cannot_be_answered_is_told_as_a_votable(vo: Vo, path, given, status):
    answer = vo.post(path, data=given) if len(str(given)) > 2000 else vo.get(path, **given)
    assert answer.status_code == status, answer.text[:500]
    assert b'value="ERROR"' in answer.content
    assert b"Traceback" not in answer.content
    assert b"SECRET" not in answer.content.replace(b"'SECRET'", b"")


def test_a_form_works_too(vo: Vo):
    answer = vo.post("/moc/space", data={"format": "JSON", "collection": "ODD"})
    assert json.loads(answer.content) == vo.get("/moc/space", FORMAT="json",
                                                COLLECTION="ODD").json()  # fmt: skip
