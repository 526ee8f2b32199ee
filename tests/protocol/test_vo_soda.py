"""SODA as its standard says it, by clients and readers that this project did not write."""

from __future__ import annotations

import io
import threading
import time
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.io.votable import parse_single_table
from astropy.wcs import WCS
from required import need
from serve_client import SLASHED, TOKEN, Site
from vo_site import AUTHORITY, SETTINGS, Vo, serving, stilts, votlint

import spectrarium as sp
from spectrarium.domain.errors import TransientError
from spectrarium.publish.dali import DaliError, Params
from spectrarium.publish.dali_values import Circle, Polygon, Range, contains
from spectrarium.publish.publisher import Publisher
from spectrarium.serve.vo_soda import soda_files, soda_work

BAND = "5e-7 5.1e-7"
PUBLISHER = Publisher(authority=AUTHORITY)


@pytest.fixture(scope="module")
def dids(vo: Vo) -> list[str]:
    store = vo.site.store
    rows = store.find("obs_collection = 'MOCK'")[:6]
    return [PUBLISHER.did(r) for r in
            store.catalogue(rows, ["obs_collection", "obs_id"]).to_pylist()]  # fmt: skip


def soda(vo: Vo, token: str | None = None, **params: object):
    return vo.get("/soda/sync", token, **params)


def table_of(answer):
    assert answer.status_code == 200, answer.text
    return parse_single_table(io.BytesIO(answer.content)).to_table()


def test_one_is_a_dataset_of_its_own(vo, dids, tmp_path):
    answer = soda(vo, ID=dids[0], BAND=BAND)
    assert answer.headers["content-type"] == "application/x-votable+xml"
    assert "cutout" in answer.headers["content-disposition"]
    table = parse_single_table(io.BytesIO(answer.content))
    assert table.array["wave"].min() >= 5000
    assert table.array["wave"].max() <= 5100
    said = {p.utype: p.value for p in table.iter_fields_and_params() if hasattr(p, "value")}
    assert said["spec:Spectrum.DataID.CreationType"] == "Cutout"
    assert said["spec:Spectrum.Curation.PublisherDID"] == dids[0]
    votlint(answer.content, tmp_path)
    with fits.open(io.BytesIO(soda(vo, ID=dids[0], BAND=BAND, FORMAT="fits").content),
                   checksum=True) as found:  # fmt: skip
        found.verify("exception")
        assert found[1].data["WAVE"][0].min() >= 5000
        assert found[1].header["CRETYPE"] == "Cutout"
    csv = soda(vo, ID=dids[0], BAND=BAND, RESPONSEFORMAT="text/csv").text
    assert len([x for x in csv.splitlines() if not x.startswith("#")]) == len(table.array) + 1
    png = soda(vo, ID=dids[0], BAND=BAND, FORMAT="png")
    assert png.content.startswith(b"\x89PNG")
    assert soda(vo, ID=dids[0], BAND="5.05e-7").status_code == 200  # one number is one sample


def test_many_are_one_table_in_their_order(vo, dids, tmp_path):
    asked = [dids[3], "ivo://nowhere/x?y", dids[0], PUBLISHER.did(
        {"obs_collection": "ODD", "obs_id": SLASHED})]  # fmt: skip
    answer = soda(vo, ID=asked, BAND=BAND)
    votlint(answer.content, tmp_path)
    table = table_of(answer)
    assert list(table["id"]) == asked
    assert list(table["status"]) == ["OK", "NOT_FOUND", "OK", "OK"]
    assert table["n_samples"][1] == 0
    alone = parse_single_table(io.BytesIO(soda(vo, ID=dids[0], BAND=BAND).content)).array
    assert np.array_equal(table["flux"][2], alone["flux"])
    assert np.allclose(table["wavelength"][2], alone["wave"])
    assert np.array_equal(table["flux_error"][2], alone["flux_error"])
    assert np.array_equal(table["quality"][2], alone["quality"])
    with fits.open(io.BytesIO(soda(vo, ID=asked, BAND=BAND, FORMAT="fits").content),
                   checksum=True) as found:  # fmt: skip
        found.verify("exception")
        data = found["SPECTRA"].data
        assert list(data["status"]) == ["OK", "NOT_FOUND", "OK", "OK"]
        assert np.array_equal(data["flux"][2], alone["flux"])
        assert len(data["flux"][1]) == 0
    lines = soda(vo, ID=asked, BAND=BAND, FORMAT="csv").text.splitlines()
    assert "# 2: NOT_FOUND ivo://nowhere/x?y no observation is called so here" in lines
    assert len([x for x in lines if x.startswith("3,")]) == len(alone)


def test_a_block_of_which_nothing_is_found_breaks_nothing(vo, dids, tmp_path):
    """Rows are written fifty at a time: here the second fifty hold no sample at all."""
    asked = [*dids[:2], *(f"ivo://nowhere/x?{i}" for i in range(110))]
    answer = soda(vo, ID=asked, BAND=BAND)
    votlint(answer.content, tmp_path)
    table = table_of(answer)
    assert list(table["id"]) == asked
    assert list(table["status"]) == ["OK"] * 2 + ["NOT_FOUND"] * 110
    assert [int(n) > 0 for n in table["n_samples"]] == [True] * 2 + [False] * 110


def test_two_bands_and_two_spectra_are_four_rows(vo, dids):
    table = table_of(soda(vo, ID=dids[:2], BAND=[BAND, "6e-7 6.1e-7"]))
    assert list(table["number"]) == [1, 1, 2, 2]
    assert np.allclose(table["band_min"], [5e-7, 6e-7] * 2)
    assert [len(f) > 50 for f in table["flux"]] == [True] * 4


def test_a_trailed_image(vo, dids):
    params = {"ID": [*dids, "ivo://nowhere/x?y"], "BAND": "6.5e-7 6.62e-7", "FRAME": "rest",
              "FLUXCALIB": "normalized", "RESAMPLE": "log 1e-4"}  # fmt: skip
    answer = soda(vo, **params, RESPONSEFORMAT="image/fits")
    assert answer.headers["content-type"] == "image/fits"
    with fits.open(io.BytesIO(answer.content), checksum=True) as found:
        found.verify("exception")
        flux = found[0].data
        assert flux.shape[0] == 7
        assert np.isnan(flux[6]).all()
        assert found["QUALITY"].data[6].all()
        assert found["ERROR"].data.shape == flux.shape
        assert list(found["SPECTRA"].data["status"]) == ["OK"] * 6 + ["NOT_FOUND"]
        wave = WCS(found[0].header).all_pix2world(np.arange(flux.shape[1]), 0, 0)[0]
        assert np.allclose(np.log10(wave * 1e10) * 1e4,
                           np.rint(np.log10(wave * 1e10) * 1e4), atol=1e-4)  # fmt: skip
        assert found[0].header["SPECSYS"] == "SOURCE"
        table = table_of(soda(vo, **params))
        assert np.allclose(table["wavelength"][0], wave * 1e10)
        assert np.allclose(flux[0], table["flux"][0], equal_nan=True)
        assert np.nanmedian(flux[:6]) == pytest.approx(1, abs=0.05)
    assert soda(vo, **params, FORMAT="png").content.startswith(b"\x89PNG")
    own = {**params, "RESAMPLE": ""}  # a grid is chosen where none is named
    assert soda(vo, **own, FORMAT="image/fits").status_code == 200


def test_air_is_converted_and_what_is_unknown_refused(vo, dids):
    vacuum = table_of(soda(vo, ID=dids[:2], BAND=BAND))
    air = table_of(soda(vo, ID=dids[:2], BAND=BAND, MEDIUM="air"))
    assert list(air["medium"]) == ["air", "air"]
    shift = vacuum["wavelength"][0] - air["wavelength"][0]
    assert np.all((shift > 1.38) & (shift < 1.43))
    assert np.array_equal(vacuum["flux"][0], air["flux"][0])


def test_no_pixel_is_no_content(vo, dids):
    for params in ({"BAND": "5e-5 6e-5"}, {"POS": "CIRCLE 0 89 0.1"}, {"POL": "Q"},
                   {"TIME": "0 1"}, {"POLYGON": "1 1 2 1 2 2"}, {"CIRCLE": "0 89 0.1"},
                   {"POS": "RANGE 0 1 88 89"}):  # fmt: skip
        for some in (dids[:1], dids):
            answer = soda(vo, ID=some, **params)
            assert answer.status_code == 204, params
            assert answer.content == b""


def test_filters_that_hold_let_everything_through(vo, dids):
    row = vo.site.store.catalogue(vo.site.store.find("obs_collection = 'MOCK'")[:1],
                                  ["s_ra", "s_dec", "t_min", "t_max"]).to_pylist()[0]  # fmt: skip
    ra, dec = row["s_ra"], row["s_dec"]
    for params in (
        {"CIRCLE": f"{ra} {dec} 0.01"}, {"POS": f"CIRCLE {ra} {dec} 0"}, {"POL": ["Q", "I"]},
        {"POS": f"RANGE {ra - 1} {ra + 1} -90 +Inf"}, {"TIME": "-Inf +Inf"},
        {"POLYGON": f"{ra - 1} {dec - 1} {ra + 1} {dec - 1} {ra + 1} {dec + 1}"
                    f" {ra - 1} {dec + 1}"},
    ):  # fmt: skip
        assert soda(vo, ID=dids[0], BAND=BAND, **params).status_code == 200, params


BAD = [
    {}, {"ID": ""}, {"BAND": "a b"}, {"BAND": "1 2 3"}, {"BAND": "6e-7 5e-7"}, {"BAND": "nan nan"},
    {"BAND": "-2 -1"}, {"BAND": "+Inf +Inf"}, {"BAND": "1" * 5000}, {"BAND": "6e-7_0 7e-7"},
    {"TIME": "yesterday"}, {"TIME": "1"}, {"POS": "BOX 1 2 3 4"}, {"POS": "CIRCLE 1 2"},
    {"POS": "CIRCLE 1 2 3 4"}, {"POS": "CIRCLE 400 0 1"}, {"POS": "CIRCLE 0 91 1"},
    {"CIRCLE": "1 2 -3"}, {"CIRCLE": "1 2 nan"}, {"POLYGON": "1 2 3 4"}, {"POLYGON": "1 2 3 4 5"},
    {"POS": "RANGE 1 2 3"}, {"POL": "purple"}, {"MEDIUM": "water"}, {"MEDIUM": ["air", "vacuum"]},
    {"FRAME": "moving"}, {"FLUXCALIB": "BEST"}, {"FLUXCALIB": ["RELATIVE", "NORMALIZED"]},
    {"RESAMPLE": "often"}, {"RESAMPLE": "log"}, {"RESAMPLE": "log 0"}, {"RESAMPLE": "log -1"},
    {"RESAMPLE": "log 1e-30"}, {"RESAMPLE": "R nan"}, {"RESAMPLE": "linear 1e9"},
    {"RESPONSEFORMAT": "application/pdf"}, {"RESPONSEFORMAT": "fits", "FORMAT": "csv"},
    {"JOIN": "perhaps"}, {"ID": [f"ivo://a/b?{i}" for i in range(6000)]},
    {"BAND": ["5e-7 5.1e-7"] * 300, "TIME": ["0 1"] * 300}, {"JOIN": "false", "ID": ["a", "b"]},
]  # fmt: skip


@pytest.mark.parametrize("params", BAD, ids=lambda p: str(p)[:50])
def test_bad_input_is_a_text_in_sodas_words(vo, dids, params):
    full = {"ID": dids[0], **params} if params else {}
    answer = vo.post("/soda/sync", data=full) if len(str(full)) > 3000 else soda(vo, **full)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.startswith(("UsageError: ", "MultiValuedParamNotSupported: "))
    assert "Traceback" not in answer.text
    assert len(answer.content) < 1000


def test_what_is_not_there_or_refuses(vo, dids):
    for name in ("ivo://nowhere/x?y", "ivo://nonsense", "MOCK:none", "\u2603"):
        answer = soda(vo, ID=name)
        assert answer.status_code == 404, name
        assert answer.text.startswith("UsageError: ")
    answer = soda(vo, ID=dids[0], FLUXCALIB="ABSOLUTE")
    assert answer.status_code == 400
    assert "not absolute" in answer.text


def test_hidden_collections_are_not_there(vo, dids):
    secret = PUBLISHER.did({"obs_collection": "SECRET", "obs_id": "s1"})
    assert soda(vo, ID=secret).status_code == 404
    assert soda(vo, TOKEN, ID=secret).status_code == 200
    table = table_of(soda(vo, ID=[dids[0], secret], BAND=BAND))
    assert list(table["status"]) == ["OK", "NOT_FOUND"]
    assert not table["target_name"][1]


def test_by_post_too(vo, dids):
    answer = vo.post("/soda/sync", data={"id": dids, "band": BAND})
    assert len(table_of(answer)) == len(dids)
    bad = vo.post("/soda/sync", content=b"\xff\xfe")
    assert bad.status_code == 400


def test_capabilities_are_valid(vo, tmp_path):
    path = tmp_path / "capabilities.xml"
    path.write_bytes(vo.get("/soda/capabilities").content)
    said = stilts("xsdvalidate", "uselocals=true", f"doc={path}")
    assert "ERROR" not in said
    assert b"SODA#sync-1.0" in path.read_bytes()
    assert vo.get("/soda/availability").status_code == 200


def test_pyvo_cuts_out_what_it_found(vo, dids):
    pyvo = pytest.importorskip("pyvo")
    store = vo.site.store
    row = store.catalogue(store.find("obs_collection = 'MOCK'")[:1]).to_pylist()[0]
    found = pyvo.dal.SSAService(f"{vo.base}/vo/ssap").search(
        pos=(row["s_ra"], row["s_dec"]), diameter=0.01)  # fmt: skip
    got = found[0].processed(band=(5e-7, 5.1e-7) * u.m)
    wave = parse_single_table(io.BytesIO(got.read())).array["wave"]
    assert 5000 <= wave.min() < wave.max() <= 5100


def test_pyvo_cuts_out(vo, dids):
    pyvo = pytest.importorskip("pyvo")
    url = f"{vo.base}/vo/datalink/links?ID={dids[0].replace('?', '%3F').replace('/', '%2F')}"
    links = pyvo.dal.adhoc.DatalinkResults.from_result_url(url)
    got = links.get_first_proc().processed(band=(5e-7, 5.1e-7) * u.m)
    wave = parse_single_table(io.BytesIO(got.read())).array["wave"]
    assert 5000 <= wave.min() < wave.max() <= 5100
    got = links.get_first_proc().process(band=(505, 510) * u.nm, fluxcalib="NORMALIZED")
    flux = parse_single_table(io.BytesIO(got.read())).array["flux"]
    assert np.median(flux) == pytest.approx(1.0, abs=0.1)


def test_a_job_has_a_result_for_each_combination(vo, dids, tmp_path):
    store, bands = vo.site.store, (BAND, "5e-5 6e-5")
    asked = [*(("ID", d) for d in (dids[0], "ivo://nowhere/x?y")), *(("BAND", b) for b in bands)]
    found = soda_work(SimpleNamespace(archive=store, params=Params(asked), publisher=PUBLISHER,
                                      folder=tmp_path, cancelled=lambda: False))  # fmt: skip
    assert [f.name for f in found] == [f"result-{i:05d}" for i in range(1, 5)]
    assert [f.media_type.partition(";")[0] for f in found] == [
        "application/x-votable+xml", "text/plain", "text/plain", "text/plain"]  # fmt: skip
    assert parse_single_table(found[0].path).array["wave"].min() >= 5000
    assert [f.path.read_text().startswith("UsageError: ") for f in found[1:]] == [True] * 3
    one = soda_files(store, Params([*asked, ("JOIN", "true"), ("FORMAT", "fits")]), PUBLISHER,
                     tmp_path)  # fmt: skip
    assert [f.name for f in one] == ["result"]
    with fits.open(one[0].path) as table:
        assert list(table["SPECTRA"].data["status"]) == [
            "OK", "NO_PIXELS", "NOT_FOUND", "NOT_FOUND"]  # fmt: skip
    none = soda_files(store, Params([("ID", dids[0]), ("BAND", bands[1])]), PUBLISHER, tmp_path)
    assert none[0].path.read_text().startswith("UsageError: no sample")
    with pytest.raises(DaliError, match="RESAMPLE"):
        soda_files(store, Params([*asked, ("RESAMPLE", "often")]), PUBLISHER, tmp_path)
    with pytest.raises(TransientError, match="cancelled"):
        soda_files(store, Params(asked), PUBLISHER, tmp_path, lambda: True)


@pytest.mark.parametrize("hangs_up", [True, False])
def test_nobody_waits_and_nothing_is_done(site, tmp_path, monkeypatch, hangs_up):
    """It ends with the client, or with the time that it may take."""
    asked = threading.Event()

    def slow(archive, query, publisher, cancelled):
        end = time.monotonic() + 30
        while not cancelled() and time.monotonic() < end:
            time.sleep(0.02)
        if cancelled():
            asked.set()
        raise TransientError("the work was cancelled", code="cancelled")

    monkeypatch.setattr("spectrarium.serve.routes_vo_soda.answered", slow)
    settings = replace(SETTINGS, query_s=60.0 if hangs_up else 1.0)
    with serving(site, tmp_path / "p.sqlite", settings) as base:
        say = partial(httpx.get, f"{base}/vo/soda/sync", params={"ID": "MOCK:x"},
                      headers={"Authorization": f"Bearer {TOKEN}"})  # fmt: skip
        if hangs_up:
            with pytest.raises(httpx.TimeoutException):
                say(timeout=1.0)
        else:
            answer = say(timeout=30)
            assert answer.status_code == 400
            assert answer.text.startswith("UsageError: it took longer than 1 s")
        assert asked.wait(5)


@pytest.mark.parametrize(("shape", "place", "inside"), [
    (Circle(10, 0, 1), (10.9, 0.0), True), (Circle(10, 0, 1), (11.1, 0.0), False),
    (Circle(0, 90, 1), (200.0, 89.5), True), (Circle(359.9, 0, 0.5), (0.2, 0.0), True),
    (Circle(0, 0, 180), (180.0, 0.0), True), (Circle(50, 20, 0), (50.0, 20.0), True),
    (Polygon(((0, 0), (10, 0), (10, 10), (0, 10))), (5.0, 5.0), True),
    (Polygon(((0, 10), (10, 10), (10, 0), (0, 0))), (5.0, 5.0), True),
    (Polygon(((0, 0), (10, 0), (10, 10), (0, 10))), (11.0, 5.0), False),
    (Polygon(((0, 0), (10, 0), (10, 10), (0, 10))), (185.0, -5.0), False),
    (Polygon(((355, -5), (5, -5), (5, 5), (355, 5))), (0.0, 0.0), True),
    (Polygon(((0, 80), (90, 80), (180, 80), (270, 80))), (45.0, 89.0), True),
    (Polygon(((0, 0), (10, 0), (5, 2), (10, 10), (0, 10))), (8.0, 4.0), False),
    (Polygon(((0, 0), (10, 0), (10, 10))), (5.0, 0.0), True),
    (Range((350, 10), (-1, 1)), (0.0, 0.0), True), (Range((10, 20), (-1, 1)), (15.0, 2.0), False),
    (Range((-np.inf, np.inf), (80, np.inf)), (15.0, 85.0), True),
])  # fmt: skip
def test_shapes_on_the_sphere(shape, place, inside):
    assert contains(shape, *place) is inside


def test_real_harps_spectra(data_dir, tmp_path):
    """Hα of 50 spectra of α Cen B in one call: in vacuum and at rest it lies where it belongs."""
    folder = data_dir / "harps_acenB_timeseries"
    need("data", (folder / "spectra.h5").is_file(), "there are no HARPS spectra")
    archive = sp.open(tmp_path / "archive")
    archive.ingest([folder / "spectra.h5", folder / "raw_examples"], workers=0)
    store = archive.refresh().store
    records = store.catalogue(store.find("rv_kms IS NOT NULL")).to_pylist()
    assert len(records) > 40
    dids = [PUBLISHER.did(r) for r in records]
    site = Site(tmp_path / "archive", tmp_path / "people.sqlite")
    with serving(site, tmp_path / "people.sqlite") as base:
        there = Vo(base, site)
        table = table_of(soda(there, TOKEN, ID=dids, BAND="6.553e-7 6.576e-7", MEDIUM="vacuum",
                              FRAME="rest", FLUXCALIB="NORMALIZED"))  # fmt: skip
        assert list(table["status"]) == ["OK"] * len(dids)
        for row in table:
            wave, flux = np.asarray(row["wavelength"]), np.asarray(row["flux"], float)
            smooth = np.convolve(flux, np.ones(21) / 21, "same")[30:-30]
            assert wave[30:-30][np.argmin(smooth)] == pytest.approx(6564.614, abs=0.05)
            assert 0.1 < smooth.min() < 0.4  # the core of Hα in a K1 dwarf
            assert np.percentile(flux, 95) == pytest.approx(1.0, abs=0.03)
        image = soda(there, TOKEN, ID=dids, BAND="6.553e-7 6.576e-7", MEDIUM="vacuum",
                     FRAME="rest", FLUXCALIB="NORMALIZED", FORMAT="image/fits")  # fmt: skip
        with fits.open(io.BytesIO(image.content)) as found:
            flux = found[0].data[:, 20:-20]
            assert flux.shape[0] == len(dids)
            assert np.median(np.std(flux, axis=0)) < 0.02  # one star, once lines are aligned
