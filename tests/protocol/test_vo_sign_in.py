"""How clients sign in to the services, and what they hear where there is nothing."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import pyvo
from serve_client import Site
from vo_site import SETTINGS, Vo, serving, vo, votlint

from spectrarium.people import People

__all__ = ["vo"]
COUNT = {"LANG": "ADQL", "QUERY": "SELECT count(*) AS n FROM ivoa.obscore", "FORMAT": "csv"}
SPECTRA = 100
"""All that there is; guests see two fewer, and a user with no right to SECRET as well."""


def basic(password: str, name: str = "ann") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def seen(base: str, headers: dict[str, str] | None = None) -> int:
    answer = httpx.get(f"{base}/vo/tap/sync", params=COUNT, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    return int(answer.text.split()[1])


@pytest.fixture(scope="module")
def users(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict]]:
    """A server where SECRET is for those with a right to it; tokens of users, by name."""
    path = tmp_path_factory.mktemp("users") / "people.sqlite"
    with People(path) as people:
        for collection in ("MOCK", "ODD"):
            people.collections.declare(collection, "public")
        people.collections.declare("SECRET", "private")
        tokens = {}
        for name, rights in (("ann", ["see:SECRET"]), ("bob", [])):
            people.users.add(name)
            for right in rights:
                people.users.grant(name, right)
            tokens[name] = people.users.add_token(name).token
    with serving(site, path, SETTINGS) as base:
        yield base, tokens


def test_who_may_see_what(users):
    base, tokens = users
    assert seen(base) == SPECTRA - 2
    assert seen(base, {"Authorization": f"Bearer {tokens['bob']}"}) == SPECTRA - 2
    assert seen(base, {"Authorization": f"Bearer {tokens['ann']}"}) == SPECTRA
    assert seen(base, basic(tokens["ann"])) == SPECTRA
    assert seen(base, basic(tokens["ann"], name="")) == SPECTRA
    assert seen(base, basic(tokens["bob"], name="bob")) == SPECTRA - 2


def test_the_challenge_leads_to_a_token(users):
    """IVOA AuthVO: name and password at the address that the challenge names."""
    base, tokens = users
    told = httpx.get(f"{base}/vo/tap/sync", params=COUNT, timeout=60).headers["www-authenticate"]
    assert told.startswith("ivoa_bearer ")
    said = dict(part.split("=", 1) for part in told.removeprefix("ivoa_bearer ").split(", "))
    said = {k: v.strip('"') for k, v in said.items()}
    assert said["standard_id"] == "ivo://ivoa.net/sso#tls-with-password"
    form = {"username": "ann", "password": tokens["ann"]}
    answer = httpx.post(said["access_url"], data=form, timeout=60)
    assert answer.status_code == 200, answer.text
    bearer = answer.headers["x-vo-bearer"]
    assert bearer != tokens["ann"]
    assert answer.headers["cache-control"] == "no-store"
    assert seen(base, {"Authorization": f"Bearer {bearer}"}) == SPECTRA


@pytest.mark.parametrize("form", [{}, {"username": "ann"}, {"password": "x" * 40},
                                  {"password": ["a", "b"]}], ids=str)  # fmt: skip
def test_a_wrong_password_gives_no_token(users, form, tmp_path):
    base, _ = users
    answer = httpx.post(f"{base}/vo/login", data=form, timeout=60)
    assert answer.status_code in (400, 401)
    assert "x-vo-bearer" not in answer.headers
    votlint(answer.content, tmp_path)
    assert httpx.get(f"{base}/vo/login", timeout=60).status_code == 405


def test_wrong_credentials_are_refused(users):
    base, _ = users
    no_text = {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe").decode()}
    for headers in (basic("x" * 40), {"Authorization": "Basic !!"}, basic(""), no_text):
        answer = httpx.get(f"{base}/vo/tap/sync", params=COUNT, headers=headers, timeout=60)
        assert answer.status_code == 401
        told = answer.headers.get_list("www-authenticate")
        assert [t.partition(" ")[0] for t in told] == ["ivoa_bearer", "Basic"]


def test_a_foreign_page_gains_nothing_by_a_password_that_the_browser_adds(users):
    base, tokens = users
    for site_ in ("cross-site", "same-site"):
        headers = {**basic(tokens["ann"]), "Sec-Fetch-Site": site_}
        assert seen(base, headers) == SPECTRA - 2
    assert seen(base, {**basic(tokens["ann"]), "Sec-Fetch-Site": "none"}) == SPECTRA


def test_pyvo_signs_in(users):
    base, tokens = users
    session = pyvo.auth.AuthSession()
    session.credentials.set_password("ann", tokens["ann"])
    service = pyvo.dal.TAPService(f"{base}/vo/tap", session=session)
    session.update_from_capabilities(service.capabilities)
    assert service.run_sync(COUNT["QUERY"])["n"][0] == SPECTRA
    found = service.run_sync("SELECT obs_id FROM ivoa.obscore WHERE obs_collection = 'SECRET'")
    assert len(found) == 2
    assert pyvo.dal.TAPService(f"{base}/vo/tap").run_sync(COUNT["QUERY"])["n"][0] == SPECTRA - 2


# where there is nothing -----------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/nothing", 404), ("GET", "/ssap/nothing", 404), ("PUT", "/tap/sync", 405),
    ("DELETE", "/ssap", 405),
])  # fmt: skip
def test_what_is_not_there_is_an_error_document(vo: Vo, tmp_path: Path, method, path, status):
    answer = httpx.request(method, vo.at(path), timeout=60)
    assert answer.status_code == status
    votlint(answer.content, tmp_path)
    (info,) = [i for i in ET.fromstring(answer.content).iter() if i.tag.endswith("INFO")]
    assert info.attrib == {"name": "QUERY_STATUS", "value": "ERROR"}
    assert info.text
    assert ("allow" in answer.headers) == (status == 405)


def test_a_slash_too_many_leads_to_the_service(vo: Vo):
    answer = httpx.get(vo.at("/cone/"), params={"RA": 1, "DEC": 2, "SR": 0}, timeout=60)
    assert answer.status_code == 308
    assert answer.headers["location"] == vo.at("/cone?RA=1&DEC=2&SR=0")
