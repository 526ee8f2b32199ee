"""A really listening server of the small archive, for clients that this project did not write.

`vo` gives its address; the collection SECRET is for those with a right to it, of which `TOKEN` is
the operator's. The archive is that of `serve_client`: 96 mock spectra, SECRET, and ODD with names
that are hostile. Do not change it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn
from required import need
from serve_client import TOKEN, Site

from spectrarium.people import People
from spectrarium.serve.app import create_app
from spectrarium.serve.running import listening_socket
from spectrarium.serve.vo_settings import VoSettings

AUTHORITY = "org.example.test"
SETTINGS = VoSettings(title="Test archive", authority=AUTHORITY, contact="who@example.org",
                      contact_name="Who")  # fmt: skip


@dataclass(frozen=True)
class Vo:
    """base : address of the server · site : archive and people"""

    base: str
    site: Site

    def at(self, path: str) -> str:
        """The address of a service."""
        return f"{self.base}/vo{path}"

    def get(self, path: str, token: str | None = None, **params: object) -> httpx.Response:
        """An answer, of a guest or of who has a token."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.get(self.at(path), params=params, headers=headers, timeout=60)  # type: ignore[arg-type]

    def post(self, path: str, token: str | None = None, **more: object) -> httpx.Response:
        """The same by POST; `more` as httpx takes it."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.post(self.at(path), headers=headers, timeout=60, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def vo(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vo]:
    """The server: guests see all collections but SECRET."""
    folder = tmp_path_factory.mktemp("vo")
    people = People(folder / "people.sqlite")
    for collection in ("MOCK", "ODD"):
        people.collections.declare(collection, "public")
    people.collections.declare("SECRET", "private")
    people.close()
    settings = VoSettings(**{**{f: getattr(SETTINGS, f) for f in SETTINGS.__slots__},
                             "jobs": folder / "jobs"})  # fmt: skip
    with serving(site, folder / "people.sqlite", settings) as base:
        yield Vo(base, site)


class serving:
    """A server in a thread for as long as the block lasts; its address is given."""

    def __init__(
        self, site: Site, people: Path, settings: VoSettings = SETTINGS, **more: object
    ) -> None:
        self.listener = listening_socket("127.0.0.1", 0)
        port = int(self.listener.getsockname()[1])
        self.base = f"http://127.0.0.1:{port}"
        app = create_app(site.archive, people, token=TOKEN, port=port, vo=settings, **more)
        config = uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, args=([self.listener],), daemon=True)

    def __enter__(self) -> str:
        self.thread.start()
        for _ in range(200):
            try:
                httpx.get(f"{self.base}/vo/availability", timeout=5)
                return self.base
            except httpx.TransportError:
                continue
        raise AssertionError("the server did not start")

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        self.listener.close()


def stilts(*words: str | Path) -> str:
    """Run stilts; what it prints. Fails where it ends with an error."""
    program = shutil.which("stilts")
    need("stilts", program is not None, "stilts is not installed")
    env = {k: v for k, v in os.environ.items() if not k.startswith("JAVA_TOOL")}
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True,
                          timeout=300, env=env)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def votlint(content: bytes, folder: Path) -> None:
    """No warning and no error of stilts votlint."""
    path = folder / "answer.vot"
    path.write_bytes(content)
    said = stilts("votlint", f"votable={path}", "ucd=true", "unit=true")
    assert not [line for line in said.splitlines() if line.startswith(("ERROR", "WARNING"))], said


@pytest.fixture(autouse=True, scope="session")
def _quiet() -> None:
    warnings.filterwarnings("ignore", module="astropy|pyvo")


if sys.platform == "win32":  # the server would need signals
    pytest.skip("loopback servers in threads are tested on POSIX", allow_module_level=True)
