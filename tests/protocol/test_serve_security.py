"""Who is answered, what is refused, and what browsers are told."""

from __future__ import annotations

import gzip

import pytest
from serve_client import HOSTILE, SLASHED, TOKEN, WRITE, error
from starlette.testclient import TestClient

from spectrarium.domain.errors import UsageError
from spectrarium.people import People
from spectrarium.serve.app import create_app
from spectrarium.serve.guard import host_name, is_loopback, names_of
from spectrarium.serve.vo_settings import VoSettings

# hosts, origins, writes -----------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1:8600", "localhost:9000", "LOCALHOST", "[::1]:8600"])
def test_own_names_are_answered(client, host):
    assert client.get("/api/me", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8600", "127.0.0.1.evil.example",
                                  "192.168.1.7:8600", "", "localhost.evil.example"])  # fmt: skip
def test_other_names_are_refused(client, host):
    """DNS rebinding: a foreign name that has come to mean this machine."""
    for path in ("/api/archive", "/", "/assets/x.js"):
        answer = client.get(path, headers={"host": host})
        error(answer, 421, "bad_host")
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_server_for_others_goes_by_number_and_its_own_name(desk):
    with desk.client(token=TOKEN, host="0.0.0.0", names=("spectra.example",)) as client:
        sign = {"authorization": f"Bearer {TOKEN}"}
        for host in ("192.168.1.7:8600", "spectra.example", "[2001:db8::1]:8600"):
            assert client.get("/api/me", headers=sign | {"host": host}).status_code == 200
        error(client.get("/api/me", headers=sign | {"host": "evil.example"}), 421, "bad_host")


def test_writes_need_the_header_and_the_own_origin(desk):
    body = {"name": "s", "rows": [0]}
    with desk.client() as client:
        error(client.post("/api/selections", json=body), 403, "not_allowed")
        error(client.post("/api/selections", json=body, headers={"X-Spectrarium": "0"}),
              403, "not_allowed")  # fmt: skip
        for origin in ("http://evil.example", "null", "http://127.0.0.1:9999"):
            answer = client.post("/api/selections", json=body, headers=WRITE | {"origin": origin})
            error(answer, 403, "not_allowed")
        answer = client.post("/api/selections", json=body,
                             headers=WRITE | {"sec-fetch-site": "cross-site"})  # fmt: skip
        error(answer, 403, "not_allowed")
        own = WRITE | {"origin": "http://127.0.0.1:8600", "sec-fetch-site": "same-origin"}
        assert client.post("/api/selections", json=body, headers=own).status_code == 201
        assert "access-control-allow-origin" not in client.get("/api/me").headers


@pytest.mark.parametrize("path", ["/", "/api/archive", "/api/none", "/assets/none.js", "/none"])
def test_every_answer_is_dressed(client, path):
    headers = client.get(path).headers
    policy = dict(p.strip().split(" ", 1) for p in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    hub = "http://localhost:21012 http://127.0.0.1:21012"  # SAMP's, on the visitor's own machine
    assert policy["connect-src"] == f"'self' {hub}"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert "unsafe" not in policy["script-src"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "server" not in headers


def test_every_answer_of_the_interface_says_the_version(client, site):
    for path in ("/api/archive", "/api/me", "/api/none"):
        assert client.get(path).headers["x-spectrarium-version"] == str(site.store.version)


# paths and methods ----------------------------------------------------------------------------


def test_unknown_addresses_and_methods_are_told_as_json(client):
    error(client.get("/api/nothing"), 404, "no_route")
    error(client.get("/api/archive/"), 404, "no_route")
    error(client.delete("/api/archive"), 405, "bad_method")
    assert client.get("/nothing").status_code == 404
    assert client.head("/api/archive").status_code == 200


@pytest.mark.parametrize("path", [
    "/assets/..%2f..%2fapp.py", "/assets/%2e%2e/%2e%2e/app.py", "/assets/%00",
    "/assets//etc/passwd", "/assets/%2fetc%2fpasswd", "/../app.py", "/assets/..%5c..%5capp.py",
])  # fmt: skip
def test_nothing_outside_the_page_is_reached(client, path):
    answer = client.get(path)
    assert answer.status_code in (400, 404)
    assert "import" not in answer.text
    assert "root:" not in answer.text


def test_an_id_with_slashes_stays_one_part(client):
    from urllib.parse import quote

    answer = client.get(f"/api/object/{quote('ODD:' + SLASHED, safe='')}/notes")
    assert answer.status_code == 200
    assert answer.json() == {"notes": []}
    error(client.get("/api/object/no%00thing/notes"), 400, "bad_parameter")


def test_hostile_names_stay_text(client):
    answer = client.get("/api/object/o1/notes")
    assert answer.headers["content-type"] == "application/json"
    error(client.get("/api/object/%3Cscript%3E/notes"), 404, "unknown_id")
    assert HOSTILE not in client.get("/").text


# bodies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("body", "code"), [
    (b"", "bad_json"), (b"{", "bad_json"), (b"[1]", "bad_json"), (b"\xff\xfe", "bad_json"),
    (b"[" * 100_000, "bad_json"), (b'{"name": NaN}', "bad_json"), (b"{}", "bad_parameter"),
    (b'{"name": "x", "rows": [1.5]}', "bad_parameter"),
    (b'{"name": "x", "rows": [true]}', "bad_parameter"),
    (b'{"name": "x", "rows": [-1]}', "no_row"), (b'{"name": "x", "rows": [99999999]}', "no_row"),
    (b'{"name": "x", "uids": ["12x"]}', "bad_parameter"),
    (b'{"name": "x", "uids": ["99999999999999999999999"]}', "bad_parameter"),
    (b'{"name": "", "rows": [1]}', "bad_parameter"),
    (b'{"name": "a\\u0000b", "rows": [1]}', "bad_parameter"),
    (b'{"name": "\\ud800", "rows": [1]}', "bad_text"),
    (b'{"name": "x", "rows": [1], "version": 1}', "stale_version"),
])  # fmt: skip
def test_malformed_bodies_are_refused(client, body, code):
    answer = client.post("/api/selections", content=body)
    status = {"no_row": 404, "stale_version": 409}.get(code, 400)
    error(answer, status, code)


def test_a_body_that_is_too_large_is_refused_while_it_comes(client, monkeypatch):
    monkeypatch.setattr("spectrarium.serve.asking.BODY_BYTES", 1000)
    error(client.post("/api/selections", content=b" " * 2000), 413, "too_large")
    taken = []

    def parts():
        for _ in range(1000):
            taken.append(1)
            yield b" " * 100

    answer = client.post("/api/selections", content=parts())
    error(answer, 413, "too_large")


@pytest.mark.parametrize("query", ["version=x", "version=1", "version=99"])
def test_a_version_is_checked(client, query):
    answer = client.get(f"/api/archive?{query}")
    assert answer.status_code == (400 if query == "version=x" else 409)


# signing in -----------------------------------------------------------------------------------


def test_other_addresses_need_a_good_token(desk):
    for host in ("0.0.0.0", "::", "192.168.1.7", "spectra.example"):
        with pytest.raises(UsageError) as found:
            create_app(desk.archive, desk.people, host=host)
        assert found.value.code == "token_needed"
    with pytest.raises(UsageError) as found:
        create_app(desk.archive, desk.people, token="short")
    assert found.value.code == "weak_token"


@pytest.mark.parametrize(("option", "names", "url"), [
    ("--url", (), "https://survey.example.org"), ("--url", (), "http://10.0.0.1:8600/spectra"),
    ("--name", ("survey.example.org",), ""), ("--name", ("localhost", "lab"), ""),
    ("--url", ("survey.example.org",), "https://survey.example.org"),
])  # fmt: skip
def test_behind_a_proxy_nobody_is_the_operator_without_a_token(desk, option, names, url):
    options = {"names": names, "vo": VoSettings(url=url)}
    with pytest.raises(UsageError) as found:
        create_app(desk.archive, desk.people, **options)
    assert found.value.code == "token_needed"
    assert found.value.where == option
    with desk.client(token=TOKEN, **options) as client:
        error(client.get("/api/archive"), 401, "sign_in")
        assert client.get("/api/me").json()["name"] == "guest"


def test_names_of_this_machine_need_no_token(desk):
    options = {"names": ("localhost", "127.0.0.2"), "vo": VoSettings(url="http://[::1]:8600")}
    with desk.client(**options) as client:
        assert client.get("/api/archive").json()["user"]["rights"] == ["operate", "judge", "save"]


def test_without_a_token_there_is_nothing_to_see(desk):
    with desk.client(token=TOKEN) as client:
        error(client.get("/api/archive"), 401, "sign_in")
        error(client.get("/api/selections"), 401, "sign_in")
        error(client.get("/api/archive", headers={"authorization": "Bearer wrong"}), 401, "sign_in")
        assert client.get("/").status_code == 200
        me = client.get("/api/me").json()
        assert me["name"] == "guest"
        assert not me["signed_in"]
        good = client.get("/api/archive", headers={"authorization": f"Bearer {TOKEN}"})
        assert good.json()["user"]["rights"] == ["operate", "judge", "save"]


def test_a_cookie_signs_in_and_survives_a_new_server(desk):
    with desk.client(token=TOKEN) as client:
        error(client.post("/api/sign-in", json={"token": "x" * 20}, headers=WRITE), 401, "sign_in")
        answer = client.post("/api/sign-in", json={"token": TOKEN}, headers=WRITE)
        assert answer.status_code == 200
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert TOKEN not in cookie
        assert TOKEN not in answer.text
        assert client.get("/api/archive").status_code == 200
        kept = dict(client.cookies)
    with desk.client(token=TOKEN) as client:
        client.cookies.update(kept)
        assert client.get("/api/archive").status_code == 200
        out = client.post("/api/sign-out", headers=WRITE)
        assert "max-age=0" in out.headers["set-cookie"].lower()
        error(client.get("/api/archive"), 401, "sign_in")
    with desk.client(token=TOKEN[::-1]) as client:
        client.cookies.update(kept)
        error(client.get("/api/archive"), 401, "sign_in")
        error(client.post("/api/sign-in", json={"token": TOKEN}, headers=WRITE), 401, "sign_in")


def test_guessing_is_slowed_down(desk):
    with desk.client(token=TOKEN) as client:
        for _ in range(10):
            client.post("/api/sign-in", json={"token": "y" * 20}, headers=WRITE)
        answer = client.post("/api/sign-in", json={"token": TOKEN}, headers=WRITE)
        error(answer, 503, "too_many_failures")
        assert answer.headers["retry-after"]


def test_guests_see_public_collections_only(desk):
    with People(desk.people) as people:
        people.collections.declare("ODD", "public")
        people.collections.declare("SECRET", "private")
        friend = people.users.add("friend")
        token = people.users.add_token(friend.name).token
    with desk.client(token=TOKEN) as client:
        guest = client.get("/api/archive").json()
        assert [c["name"] for c in guest["collections"]] == ["ODD"]
        assert guest["count"] == 2
        assert not guest["writable"]
        error(client.get("/api/object/s1/notes"), 404, "unknown_id")
        error(client.post("/api/selections", json={"name": "x", "rows": []}, headers=WRITE),
              401, "sign_in")  # fmt: skip
        error(client.post("/api/jobs", json={"kind": "score"}, headers=WRITE), 401, "sign_in")
        signed = {"authorization": f"Bearer {token}"}
        member = client.get("/api/archive", headers=signed).json()
        assert {c["name"] for c in member["collections"]} >= {"ODD"}
        assert "SECRET" not in str(member["collections"])
        error(client.get("/api/object/s1/notes", headers=signed), 404, "unknown_id")
        error(client.post("/api/jobs", json={"kind": "score"}, headers=WRITE | signed),
              403, "not_allowed")  # fmt: skip
        whole = client.get("/api/archive", headers={"authorization": f"Bearer {TOKEN}"}).json()
        assert "SECRET" in str(whole["collections"])
        assert whole["count"] > member["count"] > guest["count"]


# compression ----------------------------------------------------------------------------------


def test_json_is_compressed_and_secrets_are_not(client):
    plain = client.get("/api/archive", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    small = client.get("/api/archive", headers={"accept-encoding": "gzip"})
    assert small.headers["content-encoding"] == "gzip"
    assert int(small.headers["content-length"]) < len(plain.content)
    assert small.json() == plain.json()
    secret = client.get("/api/me", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in secret.headers
    assert secret.headers["cache-control"] == "no-store"
    assert "x-no-compression" not in secret.headers


def test_the_page_is_served_or_says_how_to_build_it(monkeypatch, tmp_path, client: TestClient):
    from spectrarium.serve import routes_page

    monkeypatch.setattr(routes_page, "_files", routes_page.PageFiles(tmp_path))
    answer = client.get("/map")
    assert "make page" in answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>x</title>")
    (tmp_path / "assets" / "app-1234.js").write_text("let a = 1;" * 500)
    for path in ("/", "/map", "/object/ODD%3Ao1", "/object/a/b", "/outliers", "/compare", "/jobs"):
        answer = client.get(path)
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.headers["cache-control"] == "no-cache"
    answer = client.get("/assets/app-1234.js", headers={"accept-encoding": "gzip"})
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.text == "let a = 1;" * 500
    assert answer.headers["content-encoding"] == "gzip"
    assert len(gzip.compress(answer.content)) < len(answer.content)
    (tmp_path / "assets" / "link.js").symlink_to(__file__)
    assert client.get("/assets/link.js").status_code == 404


def test_names():
    assert host_name("[::1]:8600") == "::1"
    assert host_name("Localhost:80") == "localhost"
    assert all(is_loopback(h) for h in ("127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"))
    assert not any(is_loopback(h) for h in ("0.0.0.0", "::", "10.0.0.1", "example.org", ""))
    assert "*" not in names_of("127.0.0.1")
