"""Links for other programs: what they hold, who gets it, and when they end."""

from __future__ import annotations

import io

import numpy as np
import pytest
from astropy.io.votable import parse
from astropy.table import Table
from serve_client import SLASHED, TOKEN, WRITE, error, first_id, path

from spectrarium.domain.errors import UsageError
from spectrarium.people import People
from spectrarium.publish.publisher import Publisher
from spectrarium.publish.samp import ascii_text, spectrum_meta
from spectrarium.serve.handing import LASTS_S, LINKS_MOST, ROWS_MOST, Links


def test_a_table_is_had_by_its_link_alone_in_the_order_sent(desk):
    with desk.client(token=TOKEN) as client:
        bearer = WRITE | {"Authorization": f"Bearer {TOKEN}"}
        rows = [7, 3, 20]
        told = client.post("/api/handed", json={"rows": rows, "name": "Ångström’s <stars>"},
                           headers=bearer)  # fmt: skip
        assert told.status_code == 201, told.text
        assert told.headers["cache-control"] == "no-store"
        found = told.json()
        assert found["count"] == 3
        assert found["lasts_s"] == LASTS_S
        assert found["href"].startswith("/vo/handed/")
        assert found["href"].isascii()
        error(client.post("/api/handed", json={"rows": rows}, headers=WRITE), 401, "sign_in")
        answer = client.get(found["href"])  # nobody signs in
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("application/x-votable+xml")
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["cache-control"] == "no-store"
        assert client.get(found["href"]).content == answer.content  # several programs fetch it
        table = Table.read(io.BytesIO(answer.content), format="votable")
        store = desk.store
        assert list(table["obs_id"]) == store.catalogue(rows, ["obs_id"]).column(0).to_pylist()
        document = parse(io.BytesIO(answer.content))
        fields = {f.name: f for f in document.get_first_table().fields}
        assert fields["access_url"].utype == "obscore:Access.Reference"
        spectrum = client.get(str(table["access_url"][0]),
                              headers={"Authorization": f"Bearer {TOKEN}"})  # fmt: skip
        assert spectrum.status_code == 200
        assert len(Table.read(io.BytesIO(spectrum.content), format="votable"))


@pytest.mark.parametrize("form", ["votable", "fits"])
def test_a_spectrum_is_had_with_what_a_receiver_wants_to_know(local, site, form):
    told = local.post(f"/api/object/{path(first_id(site))}/handed", json={"form": form})
    assert told.status_code == 201, told.text
    found = told.json()
    meta = found["meta"]
    assert meta["Access.Format"] == found["media_type"]
    assert meta["Curation.PublisherDID"].startswith("ivo://spectrarium.local/MOCK?")
    assert all(isinstance(v, str) and v.isascii() for v in meta.values())
    assert meta["Char.SpatialAxis.Coverage.Location.Value"] == f"{found['ra']} {found['dec']}"
    answer = local.get(found["href"])
    table = Table.read(io.BytesIO(answer.content), format=form)
    flux = table["FLUX" if form == "fits" else "flux"]
    assert np.array_equal(np.ravel(flux), site.store.read(first_id(site)).flux)


def test_names_of_any_kind_can_be_handed_out(local):
    told = local.post(f"/api/object/{path(f'ODD:{SLASHED}')}/handed", json={})
    assert told.status_code == 201, told.text
    assert local.get(told.json()["href"]).status_code == 200


def test_bad_questions_are_refused(local, site):
    error(local.post("/api/handed", json={}), 400, "bad_parameter")
    error(local.post("/api/handed", json={"rows": []}), 400, "nothing_selected")
    error(local.post("/api/handed", json={"rows": [10**9]}), 404, "no_row")
    error(local.post("/api/handed?version=99", json={"rows": [1]}), 409, "stale_version")
    error(local.post("/api/object/none/handed", json={}), 404, "unknown_id")
    one = path(first_id(site))
    error(local.post(f"/api/object/{one}/handed", json={"form": "png"}), 400, "bad_parameter")
    for key in ("none", "a" * 500, "..", "%00"):
        answer = local.get(f"/vo/handed/{key}/x.vot")
        assert answer.status_code in (400, 404), key
    assert b"QUERY_STATUS" in local.get("/vo/handed/none/x.vot").content


def test_hidden_observations_are_handed_to_nobody_who_may_not_see_them(desk):
    secret = [int(r) for r in desk.store.find("obs_collection = 'SECRET'")]
    people = People(desk.people)
    for name, access in (("MOCK", "public"), ("ODD", "public"), ("SECRET", "private")):
        people.collections.declare(name, access)
    people.close()
    with desk.client(token=TOKEN) as client:
        error(client.post("/api/handed", json={"rows": secret}, headers=WRITE), 404, "no_row")
        asked = "/api/object/SECRET%3As1/handed"
        error(client.post(asked, json={}, headers=WRITE), 404, "unknown_id")
        bearer = WRITE | {"Authorization": f"Bearer {TOKEN}"}
        assert client.post(asked, json={}, headers=bearer).status_code == 201


def test_links_end_and_are_bounded():
    now = [0.0]
    links = Links(lambda: now[0])

    def made(_: Publisher) -> bytes:
        return b""

    first = links.add("a", "x.vot", "text/plain", made)
    assert len(first.key) >= 22  # 128 bits
    now[0] = LASTS_S - 1
    assert links.find(first.key) is first
    now[0] = LASTS_S
    with pytest.raises(UsageError, match="has ended"):
        links.find(first.key)
    theirs = links.add("b", "x", "text/plain", made)
    mine = [links.add("a", "x", "text/plain", made) for _ in range(LINKS_MOST + 1)]
    assert links.find(theirs.key) is theirs  # nobody pushes out another's
    with pytest.raises(UsageError):
        links.find(mine[0].key)
    large = links.add("a", "x", "text/plain", made, ROWS_MOST + 1)
    assert links.find(large.key) is large
    with pytest.raises(UsageError):
        links.find(mine[-1].key)


def test_text_becomes_what_samp_allows():
    assert ascii_text("Ångström −5 “β”\x00") == "Angstrom -5 ????"
    record = {"target_name": "ξ Böo", "redshift": np.nan, "s_ra": None, "em_min": 4e-7}
    assert spectrum_meta(record, "x") == {
        "Access.Format": "x", "Target.Name": "? Boo",
        "Char.SpectralAxis.Coverage.Bounds.Start": "4e-07",
    }  # fmt: skip
