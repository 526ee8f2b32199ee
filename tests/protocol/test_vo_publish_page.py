"""docs/publish.md is true: what it says to try works, and so does the proxy it shows.

Its other commands are run by tests/architecture/test_docs.py.
"""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from required import need
from vo_site import Vo, serving, stilts, vo

from spectrarium.serve.vo_settings import VoSettings

__all__ = ["vo"]
PAGE = (Path(__file__).parents[2] / "docs" / "publish.md").read_text(encoding="utf-8")
LOCAL = "http://127.0.0.1:8600"
STILTS = re.findall(r"^(stilts .*)$", PAGE, re.M)


@pytest.mark.parametrize("command", STILTS)
def test_stilts(vo: Vo, command):
    words = shlex.split(command.replace(LOCAL, vo.base))[1:]
    said = stilts(*words)
    assert not [line for line in said.splitlines() if re.match(r"[EF]-|ERROR", line)], said


def test_pyvo(vo: Vo, capsys, monkeypatch):
    # it would load the vocabulary of links from the web
    terms = {"terms": {"this": {"narrower": []}}}
    monkeypatch.setattr("pyvo.utils.vocabularies.get_vocabulary", lambda _: terms)
    (block,) = re.findall(r"```py\n(.*?)```", PAGE, re.S)
    names: dict[str, object] = {}
    exec(block.replace(LOCAL, vo.base), names)
    assert "ssa_pubDID" in capsys.readouterr().out
    assert b"VOTABLE" in names["spectrum"]  # type: ignore[operator]


def test_every_address_answers(vo: Vo):
    found = set(re.findall(r"`/vo(/[\w/]+)`", PAGE.partition("## 4.")[2].partition("## 5.")[0]))
    assert len(found) >= 12
    for path in sorted(found):
        answer = vo.get(path)
        assert answer.status_code in (200, 303, 400), path  # 400: it wants parameters
        assert answer.status_code != 400 or b"ERROR" in answer.content or "soda" in path, path


def test_settings_that_are_named_are_there():
    from spectrarium.settings import Settings

    for name in re.findall(r"SPECTRARIUM_(\w+)", PAGE):
        assert name.lower() in Settings.model_fields, name


def test_the_proxy_lets_everything_through(site, tmp_path):
    """nginx with the snippet, less its certificate: links are the world's, jobs and forms work."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    need("nginx", nginx is not None, "nginx is not installed")
    (snippet,) = re.findall(r"```nginx\n(.*?)```", PAGE, re.S)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = "https://survey.example.org"
    settings = VoSettings(authority="survey.example.org", contact="a@example.org", url=url,
                          jobs=tmp_path / "jobs")  # fmt: skip
    names = ("survey.example.org",)  # the command takes it from --url
    with serving(site, tmp_path / "people.sqlite", settings, names=names) as base:
        snippet = re.sub(r" *ssl_certificate.*\n", "", snippet).replace(LOCAL, base)
        snippet = snippet.replace("443 ssl", f"127.0.0.1:{port}")
        folders = "".join(f"{kind}_temp_path {tmp_path / kind};\n" for kind in
                          ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))  # fmt: skip
        conf = tmp_path / "nginx.conf"
        conf.write_text(
            f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;\n"
            f"events {{}}\nhttp {{ access_log off;\n{folders}{snippet} }}\n"
        )
        process = subprocess.Popen([str(nginx), "-c", str(conf), "-e", str(tmp_path / "e.log")])
        try:
            _through(f"http://127.0.0.1:{port}", url)
        finally:
            process.terminate()
            process.wait(10)


def _through(proxy: str, url: str) -> None:
    from serve_client import TOKEN

    with httpx.Client(base_url=proxy, timeout=60, headers={
        "Host": "survey.example.org", "Authorization": f"Bearer {TOKEN}",
    }) as client:  # fmt: skip
        for _ in range(100):
            try:
                answer = client.get("/vo/capabilities")
                break
            except httpx.TransportError:
                time.sleep(0.1)
        assert answer.status_code == 200
        assert f"{url}/vo/ssap" in answer.text
        query = {"LANG": "ADQL", "QUERY": "SELECT TOP 3 access_url FROM ivoa.obscore",
                 "FORMAT": "csv"}  # fmt: skip
        assert client.post("/vo/tap/sync", data=query).text.count(f"{url}/vo/datalink") == 3
        made = client.post("/vo/tap/async", data=query)
        assert made.headers["location"].startswith(f"{url}/vo/tap/async/")
        assert client.get("/").status_code == 200
