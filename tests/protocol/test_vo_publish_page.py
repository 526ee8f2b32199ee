"""docs/publish.md is true: its commands run in its order, and so does the proxy it shows."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from required import need
from vo_site import Vo, serving, vo

from spectrarium.mock import write_survey
from spectrarium.serve.vo_settings import VoSettings

__all__ = ["vo"]
PAGE = (Path(__file__).parents[2] / "docs" / "publish.md").read_text(encoding="utf-8")
LOCAL = "http://127.0.0.1:8600"
WORLD = "https://survey.example.org"


def steps() -> Iterator[tuple[str, str]]:
    """(language, text) of every command and example, in the page's order."""
    for language, block in re.findall(r"```(bash|py)\n(.*?)```", PAGE, re.S):
        if language == "py":
            yield language, block
            continue
        for line in block.replace("\\\n", " ").splitlines():
            bare = re.sub(r"(^|\s)#.*$", "", line).strip()
            if bare:
                yield language, bare


def port_free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Terminal:
    """Where the page's commands are typed: what is exported lasts, one server runs at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = f"http://127.0.0.1:{port_free()}"
        self.exports: list[str] = []
        self.server: subprocess.Popen[str] | None = None
        clean = {k: v for k, v in os.environ.items()
                 if not k.startswith(("SPECTRARIUM_", "JAVA_TOOL"))}  # fmt: skip
        path = f"{Path(sys.executable).parent}{os.pathsep}{clean['PATH']}"
        self.environment = clean | {"PATH": path, "COLUMNS": "200"}

    def bash(self, command: str) -> list[str]:
        return ["bash", "-c", "\n".join(["set -e", *self.exports, command])]

    def type(self, command: str) -> str:
        """What a command says."""
        done = subprocess.run(self.bash(command.replace(LOCAL, self.base)), cwd=self.folder,
                              capture_output=True, text=True, timeout=280,
                              env=self.environment)  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout + done.stderr

    def serve(self, command: str) -> None:
        """End the server that runs, and start this one."""
        self.end()
        words = f"exec {command} --port {self.base.rpartition(':')[2]} --no-browser"
        self.server = subprocess.Popen(self.bash(words), cwd=self.folder, env=self.environment,
                                       text=True, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT)  # fmt: skip
        for _ in range(600):
            if self.server.poll() is not None:
                raise AssertionError(f"{command}\n{self.server.communicate()[0]}")
            try:
                httpx.get(f"{self.base}/vo/availability", timeout=5)
                return
            except httpx.TransportError:
                time.sleep(0.2)
        raise AssertionError(f"{command}: silent")

    def end(self) -> None:
        if self.server is not None:
            self.server.terminate()
            self.server.communicate(timeout=30)
            self.server = None

    def count(self, token: str = "") -> int:
        """Observations that a guest, or who has a token, sees."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return int(httpx.get(f"{self.base}/api/archive", headers=headers, timeout=60)
                   .json()["count"])  # fmt: skip


@contextmanager
def terminal(folder: Path) -> Iterator[Terminal]:
    found = Terminal(folder)
    try:
        yield found
    finally:
        found.end()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_page_in_its_order(tmp_path, monkeypatch):
    """From two folders of spectra to services that others reach, as somebody new would go."""
    for name, n, seed in (("my-spectra", 60, 3), ("season-2", 24, 4)):
        write_survey(tmp_path / f"mock{seed}", n=n, seed=seed)
        shutil.move(tmp_path / f"mock{seed}" / "spectra", tmp_path / name)
    java = shutil.which("stilts") is not None
    said: dict[str, str] = {}
    with terminal(tmp_path) as desk:
        for language, step in steps():
            if language == "py":
                example(step.replace(LOCAL, desk.base), monkeypatch)
            elif step.startswith("export "):
                desk.exports.append(step)
            elif step.startswith("spectrarium serve"):
                desk.serve(step)
                seen_by_whom(desk, said["spectrarium people token referee"].split()[0])
            elif step.startswith("stilts "):
                said[step] = asked_by_stilts(desk, step) if java else ""
            elif step != "make setup":  # what made this very environment
                said[step] = desk.type(step)
        for command in re.findall(r"`(spectrarium [^`…]+)`", re.sub(r"```.*?```", "", PAGE,
                                                                     flags=re.S)):  # fmt: skip
            desk.type(command)
        assert f"{WORLD}/vo/ssap" in httpx.get(f"{desk.base}/vo/capabilities", timeout=60).text
        records = httpx.get(f"{desk.base}/vo/registry?verb=ListRecords&metadataPrefix=ivo_vor",
                            timeout=60).text  # fmt: skip
        assert "<identifier>ivo://survey.example.org/MySurvey</identifier>" in records
        assert "MySurvey-2" not in records
    assert (tmp_path / "survey.env").stat().st_mode & 0o077 == 0
    need("stilts", java, "stilts is not installed")


def seen_by_whom(desk: Terminal, referee: str) -> None:
    own = (desk.folder / "survey.env").read_text().strip().partition("=")[2]
    assert (desk.count(), desk.count(referee), desk.count(own)) == (60, 84, 84)


def asked_by_stilts(desk: Terminal, command: str) -> str:
    if " lon=" in command:
        (place,) = json.loads(desk.type("spectrarium find -n 1 --columns s_ra,s_dec --json"))
        asked = command.replace("lon=150 lat=2", f"lon={place['s_ra']} lat={place['s_dec']}")
        assert asked != command
        command = asked
    said = desk.type(command)
    assert not [line for line in said.splitlines() if re.match(r"[EF]-|ERROR", line)], said
    assert "taplint" in command or "MySurvey" in said
    return said


def example(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # pyvo would load the vocabulary of links from the web
    terms = {"terms": {"this": {"narrower": []}}}
    monkeypatch.setattr("pyvo.utils.vocabularies.get_vocabulary", lambda _: terms)
    names: dict[str, object] = {}
    exec(text, names)
    assert len(names["rows"]) == 3  # type: ignore[arg-type]
    assert b"VOTABLE" in names["spectrum"]  # type: ignore[operator]


def test_the_unit_starts_what_the_page_starts():
    (block,) = re.findall(r"```ini\n(.*?)```", PAGE, re.S)
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(block)
    service = unit["Service"]
    program, *words = shlex.split(service["ExecStart"].replace("\\\n", " "))
    assert program.endswith("/.venv/bin/spectrarium")
    served = [text for _, text in steps() if text.startswith("spectrarium serve")]
    assert "--url" not in served[0]
    assert [w for w in words if w != "--no-browser"] == shlex.split(served[-1])[1:]
    assert service["EnvironmentFile"] == f"{service['WorkingDirectory']}/survey.env"


def test_every_address_answers(vo: Vo):
    found = set(re.findall(r"`/vo(/[\w/]+)`", PAGE.partition("## 6.")[2].partition("## 7.")[0]))
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
    port, url = port_free(), WORLD
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
