"""The page in a real browser: `spectrarium serve` as a process, Chromium, every request watched."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from page_archive import fill
from playwright.sync_api import Browser, Error, Page, Request, expect, sync_playwright
from required import need

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "src" / "spectrarium" / "serve" / "page" / "index.html"
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
SIZES = ((1280, 720), (2560, 1440))
THEMES = ("dark", "light")
SLOW_MS = 30_000
"""So long a step may take on a machine that does other things too."""
expect.set_options(timeout=SLOW_MS)


@dataclass(eq=False)
class Serving:
    """A server that can be stopped and started again at the same address."""

    archive: Path
    people: Path
    words: tuple[str, ...] = ()
    port: int = 0
    process: subprocess.Popen[str] | None = None
    said: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Serving:
        """Start it and wait until it says where it is."""
        command = [
            sys.executable, "-m", "spectrarium.cli.main", "serve", "--archive", str(self.archive),
            "--people", str(self.people), "--port", str(self.port), "--no-browser", *self.words,
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        found = threading.Event()
        threading.Thread(target=self._listen, args=(found,), daemon=True).start()
        if not found.wait(120) or self.process.poll() is not None:
            self.stop()
            raise AssertionError("the server did not start:\n" + "".join(self.said[-40:]))
        return self

    def _listen(self, found: threading.Event) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if at := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                self.port = int(at[1])
                found.set()
        found.set()

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def ask(self, path: str, **params: Any) -> Any:
        """What the interface answers, past the browser."""
        answer = httpx.get(f"{self.url}/api{path}", params=params, timeout=120)
        answer.raise_for_status()
        return answer.json()


@dataclass(eq=False)
class Seen:
    """A page that is open, and what it did: requests elsewhere, errors, refusals of the policy."""

    page: Page
    server: Serving
    asked: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    """Parts of errors that a test brings about on purpose."""
    also: list[str] = field(default_factory=list)
    """Beginnings of addresses elsewhere that a test lets the page ask."""

    def watch(self) -> Seen:
        """Begin to write down."""
        self.page.on("request", self._asked)
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        return self

    def _asked(self, request: Request) -> None:
        self.asked.append(f"{request.method} {request.url}")
        if not request.url.startswith((self.server.url, "data:", "blob:", *self.also)):
            self.elsewhere.append(request.url)

    def open(self, path: str = "/") -> Page:
        """Go to an address of the page."""
        self.page.goto(self.server.url + path)
        return self.page

    def check(self) -> None:
        """Nothing was fetched from elsewhere, and nothing failed that was not meant to."""
        assert not self.elsewhere, f"asked of others: {self.elsewhere}"
        bad = [e for e in self.errors if not any(part in e for part in self.expected)]
        assert not bad, f"errors in the page: {bad}"

    def accessible(self, where: str) -> None:
        """No serious or critical finding of axe in what is on screen."""
        need("page", AXE.is_file(), "axe-core is not installed: run npm ci in web/")
        self.page.evaluate(AXE.read_text("utf-8"))
        found = json.loads(self.page.evaluate(_AXE_RUN))
        grave = [v for v in found if v["impact"] in ("serious", "critical")]
        assert not grave, where + "\n" + "\n".join(
            f"{v['id']}: {v['help']}\n   " + "\n   ".join(v["nodes"][:5]) for v in grave
        )


# The page's policy forbids inline scripts; what the debugger evaluates is no script of the page.
_AXE_RUN = """async () => {
  const found = await axe.run(document, { resultTypes: ['violations'] })
  return JSON.stringify(found.violations.map((v) => ({
    id: v.id, impact: v.impact, help: v.help,
    nodes: v.nodes.map((n) => n.target.join(' ') + ' — ' + n.failureSummary.slice(0, 300)),
  })))
}"""


def chromium() -> str | None:
    """Chromium of this machine: SPECTRARIUM_CHROMIUM, Debian's, or one on the PATH."""
    named = os.environ.get("SPECTRARIUM_CHROMIUM")
    places = [named, "/usr/bin/chromium", shutil.which("chromium"),
              shutil.which("chromium-browser"), shutil.which("google-chrome")]  # fmt: skip
    return next((p for p in places if p and Path(p).is_file()), None)


@pytest.fixture(scope="session")
def page_archive(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the archive of real spectra; tests that change it take `own_server`."""
    need("page", BUILT.is_file(), "the page is not built: run make page")
    need("chromium", chromium() is not None, "there is no Chromium")
    return fill(data_dir, tmp_path_factory.mktemp("page")).path


@pytest.fixture(scope="session")
def page_server(page_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One server for all tests that leave the archive as it is."""
    people = tmp_path_factory.mktemp("people") / "people.sqlite"
    serving = Serving(page_archive, people).start()
    yield serving
    serving.stop()


@pytest.fixture
def own_server(page_archive: Path, tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    """Makes servers of one's own; ``copy=True`` for one whose archive may be changed."""
    started: list[Serving] = []

    def make(*words: str, copy: bool = False) -> Serving:
        archive = page_archive
        if copy:
            archive = tmp_path / f"archive{len(started)}"
            shutil.copytree(page_archive, archive)
        people = tmp_path / f"people{len(started)}.sqlite"
        started.append(Serving(archive, people, words).start())
        return started[-1]

    yield make
    for one in started:
        one.stop()


@pytest.fixture(scope="session")
def chromium_browser() -> Iterator[Browser]:
    """Chromium, without a screen or a GPU."""
    path = chromium()
    need("chromium", path is not None, "there is no Chromium")
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def look(
    chromium_browser: Browser, page_server: Serving, own_server: Callable[..., Serving]
) -> Iterator[Callable[..., Seen]]:
    """Opens pages; when the test is over, what they did is checked.

    own_server : named here so that pages are closed before their servers are
    """
    opened: list[Seen] = []

    def make(
        theme: str = "dark", size: tuple[int, int] = SIZES[0], at: Serving | None = None,
        tab_of: Seen | None = None,
    ) -> Seen:  # fmt: skip
        context = tab_of.page.context if tab_of is not None else chromium_browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=theme,
            reduced_motion="reduce",
        )  # fmt: skip
        page = context.new_page()
        page.set_default_timeout(SLOW_MS)
        opened.append(Seen(page, at or page_server).watch())
        return opened[-1]

    yield make
    problems = []
    for seen in opened:
        try:
            seen.check()
        except AssertionError as error:
            problems.append(str(error))
        try:
            seen.page.context.close()
        except Error:  # shared with another tab that is closed already
            continue
    assert not problems, "\n".join(problems)
