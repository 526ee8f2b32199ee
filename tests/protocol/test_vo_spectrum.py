"""Spectra as files and pictures, as clients of the Virtual Observatory ask for them."""

from __future__ import annotations

import io
import re

import pytest
from astropy.io import fits
from astropy.io.votable import parse_single_table
from serve_client import SLASHED, TOKEN
from vo_site import AUTHORITY, votlint

from spectrarium.publish.publisher import Publisher


def did(collection: str, obs_id: str) -> str:
    return Publisher(authority=AUTHORITY).did({"obs_collection": collection, "obs_id": obs_id})


@pytest.fixture(scope="module")
def one(vo) -> str:
    store = vo.site.store
    found = store.catalogue(store.find("obs_collection = 'MOCK'")[:1]).to_pylist()[0]
    return did("MOCK", found["obs_id"])


def test_the_spectrum_data_model_names_the_publisher(vo, one, tmp_path):
    answer = vo.get("/spectrum", ID=one)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/x-votable+xml")
    table = parse_single_table(io.BytesIO(answer.content))
    said = {p.utype: p.value for p in table.iter_fields_and_params() if hasattr(p, "value")}
    assert said["spec:Spectrum.Curation.PublisherDID"] == one
    assert said["spec:Spectrum.Curation.Publisher"] == "Test archive"
    votlint(answer.content, tmp_path)


def test_fits_csv_and_a_picture(vo, one):
    with fits.open(io.BytesIO(vo.get("/spectrum", ID=one, FORMAT="application/fits").content)) as f:
        assert f[1].header["DS_IDPUB"] == one
        samples = len(f[1].data.field(0)[0])
    lines = vo.get("/spectrum", id=one, format="CSV").text.splitlines()
    assert len([line for line in lines if line[0] != "#"]) == samples + 1
    picture = vo.get("/spectrum", ID=one, FORMAT="preview")
    assert picture.content[:8] == b"\x89PNG\r\n\x1a\n"
    assert picture.headers["content-type"] == "image/png"


def test_the_file_as_it_was_delivered(vo, one):
    answer = vo.get("/spectrum", ID=one, FORMAT="native")
    assert answer.status_code == 200
    files = (vo.site.archive.parent / "mock" / "spectra").rglob("*.fits*")
    assert answer.content in [p.read_bytes() for p in files]


def test_names_that_need_escaping_are_found(vo):
    assert vo.get("/spectrum", ID=did("ODD", SLASHED)).status_code == 200


@pytest.mark.parametrize("params", [
    {}, {"ID": ""}, {"ID": "ivo://"}, {"ID": "ivo://x/y"}, {"ID": "\x00"}, {"ID": "x" * 200_000},
    {"ID": ["a", "b"]}, {"ID": "a", "FORMAT": "image/gif"}, {"ID": "a", "FORMAT": ["fits", "csv"]},
    {"ID": "nothing"},
])  # fmt: skip
def test_what_is_asked_wrongly_is_a_votable_that_says_so(vo, params):
    answer = vo.post("/spectrum", data=params)
    assert answer.status_code in (400, 404), answer.text
    assert answer.headers["content-type"].startswith("application/x-votable+xml")
    assert 'name="QUERY_STATUS" value="ERROR"' in answer.text
    assert re.search(r'"ERROR">(\w+Fault|MultiValuedParamNotSupported): ', answer.text)


def test_a_proprietary_spectrum_is_unknown_to_guests_and_open_to_whoever_may(vo):
    name = did("SECRET", "s1")
    missing, hidden = vo.get("/spectrum", ID=did("SECRET", "s9")), vo.get("/spectrum", ID=name)
    assert missing.status_code == hidden.status_code == 404
    assert missing.text.replace("s9", "s1") == hidden.text
    assert hidden.headers["www-authenticate"].startswith("ivoa_bearer")
    assert vo.get("/spectrum", token=TOKEN, ID=name).status_code == 200
    assert vo.get("/spectrum", token="a-wrong-token-0123456789", ID=name).status_code == 401


def test_foreign_pages_may_read_and_carry_no_cookie(vo, one):
    answer = vo.post("/spectrum", data={"ID": one}, token=None)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
