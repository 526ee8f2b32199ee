"""A file dropped on the page, over HTTP."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from astropy.io import fits
from serve_client import TOKEN, WRITE, Site, arrow, error
from starlette.testclient import TestClient

from spectrarium.run import upload_reading

TEXT = "\n".join(f"{4000 + 2 * i} {1 + 0.1 * (i % 7)}" for i in range(1500)).encode()


@pytest.fixture(scope="module", autouse=True)
def _ended() -> Iterator[None]:
    yield
    upload_reading.close()


def send(client: TestClient, data: bytes, name: str = "mine.txt", **declared: str) -> Any:
    headers = {"X-Filename": quote(name), "Content-Type": "application/octet-stream"}
    headers |= {f"X-{k.replace('_', '-')}": v for k, v in declared.items()}
    return client.post("/api/upload", content=data, headers=headers)


def original(site: Site) -> tuple[str, bytes]:
    """A file of the archive and the id it has there."""
    row = site.store.find("obs_collection = 'MOCK'")[4]
    names = ["obs_collection", "obs_id", "access_path"]
    found = site.store.catalogue([row], names).to_pylist()[0]
    with open(found["access_path"], "rb") as handle:
        return f"{found['obs_collection']}:{found['obs_id']}", handle.read()


def test_a_dropped_file_is_drawn_described_and_compared(client: TestClient, site: Site) -> None:
    name, data = original(site)
    answer = send(client, data, "Ünïcode <b>.fits", Collection="MOCK")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["name"] == "Ünïcode <b>.fits"
    (one,) = found["spectra"]
    assert set(one) >= {"id", "title", "n", "lo_aa", "hi_aa", "snr"}
    where = quote(one["id"], safe="")
    assert arrow(client.get(f"/api/spectrum/{where}")).num_rows == one["n"]
    about = client.get(f"/api/object/{where}").json()
    assert about["row"] is None
    assert about["uid"] is None
    assert about["record"]["em_xel"] == one["n"]
    assert {f["kind"] for f in about["files"]} == {"sdm-votable", "sdm-fits", "csv"}
    for file in about["files"]:
        assert client.get(file["href"]).status_code == 200
    error(client.get(f"/api/object/{where}/file?kind=native"), 404, "no_file")
    near = client.get(f"/api/object/{where}/similar", params={"k": 3}).json()
    theirs = client.get(f"/api/object/{quote(name, safe='')}/similar", params={"k": 3}).json()
    assert [a["id"] for a in near["answers"]] == [a["id"] for a in theirs["answers"]]
    assert client.get(f"/api/object/{where}/tags").json()["tags"] == []
    assert client.get(f"/api/object/{where}/scores").json()["scores"] == []
    before = client.get("/api/archive").json()
    assert before["count"] == len(site.store)  # nothing of it is stored


def test_what_a_file_leaves_out_is_declared(client: TestClient) -> None:
    found = send(client, TEXT).json()
    assert not found["spectra"]
    assert found["problems"][0]["code"] == "no_wave_unit"
    assert "--" not in found["problems"][0]["remedy"]
    far = send(client, TEXT, Wave_Unit="parsec").json()
    assert far["problems"][0]["code"] == "bad_wave_unit"
    found = send(client, TEXT, Wave_Unit="nm", Medium="air").json()
    assert found["spectra"][0]["lo_aa"] == pytest.approx(40_000.0)
    assert found["spectra"][0]["medium"] == "air"
    for wrong in ({"Wave_Unit": "kg"}, {"Medium": "water"},
                  {"Specsys": "MARS"}, {"Wave_Unit": "x" * 200}):  # fmt: skip
        error(send(client, TEXT, **wrong), 400, "bad_parameter")


def test_uploads_too_large_are_refused_before_they_are_read(site: Site, tmp_path: Any) -> None:
    small = Site(site.archive, tmp_path / "people.sqlite")
    with small.client(upload_bytes=10_000) as client:
        client.headers.update(WRITE)
        error(send(client, b"0" * 10_001), 413, "too_large")
        assert client.get("/api/archive").json()["limits"]["upload_bytes"] == 10_000


def test_bad_uploads_are_answers_not_failures(client: TestClient) -> None:
    error(send(client, b""), 400, "empty_file")
    bomb = b"SIMPLE  =                    T".ljust(80) + b"BITPIX  =                  -64".ljust(80)
    bomb += b"NAXIS   =                    1".ljust(80) + b"NAXIS1  =       99999999999999".ljust(
        80
    )
    bomb = (bomb + b"END".ljust(80)).ljust(2880)
    for data in (bomb, b"<html>", b"\x00" * 5000, b"PK\x03\x04rubbish"):
        answer = send(client, data, "../../../etc/passwd")
        assert answer.status_code == 200, answer.text
        assert answer.json()["name"] == "passwd"
        assert answer.json()["problems"]
        assert "Traceback" not in answer.text


def test_html_in_header_cards_stays_text(client: TestClient) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    table = fits.BinTableHDU.from_columns([
        fits.Column("WAVE", "D", unit="Angstrom", array=np.linspace(4000.0, 5000.0, 300)),
        fits.Column("FLUX", "E", array=np.ones(300, np.float32)),
    ])  # fmt: skip
    first = fits.PrimaryHDU()
    first.header["OBJECT"] = hostile
    out = io.BytesIO()
    fits.HDUList([first, table]).writeto(out)
    answer = send(client, out.getvalue())
    assert answer.headers["content-type"] == "application/json"
    (one,) = answer.json()["spectra"]
    assert one["title"] == hostile
    csv = client.get(f"/api/object/{quote(one['id'], safe='')}/file?kind=csv")
    assert csv.headers["content-disposition"].startswith("attachment")


def test_an_upload_is_one_s_own_and_can_be_dropped(site: Site, tmp_path: Any) -> None:
    desk = Site(site.archive, tmp_path / "people.sqlite")
    with desk.client(token=TOKEN) as client:
        client.headers.update(WRITE)
        mine = {"Authorization": f"Bearer {TOKEN}"}
        headers = {"X-Wave-Unit": "Angstrom", "X-Filename": "a.txt"} | mine
        found = client.post("/api/upload", content=TEXT, headers=headers).json()
        where = f"/api/spectrum/{quote(found['spectra'][0]['id'], safe='')}"
        assert client.get(where, headers=mine).status_code == 200
        assert client.get(where).status_code == 401  # a guest, and no collection is public
        token = found["token"]
        assert client.delete(f"/api/upload/{token}", headers=mine).status_code == 200
        error(client.get(where, headers=mine), 404, "no_upload")
        error(client.delete(f"/api/upload/{token}", headers=mine), 404, "no_upload")
