"""A spectrum of 313,156 samples in the page, in headless Chromium without a GPU.

python benchmarks/ui/spectra.py [--peers DIR] [--repeat 5] [--out FILE]

`first`: another object is shown in the open page, until its spectrum is drawn; `zoom`: one step of
the `+` key, until the sharper picture is drawn. Each as processor seconds of the browser (all of
what the page does then: the tabs below the spectrum, too) and as wall time, the server's answer
included. The peer is Plotly's WebGL line with all samples in its hands (`npm install && npx vite
build` in benchmarks/ui/peers), far slower and so measured once. Medians of `--repeat` fresh pages,
of `ZOOMS` zooms each. Writes results/spectra.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import numpy as np
from map import CHROMIUM, LOOP, PATIENCE_MS, WINDOW, served
from playwright.sync_api import Browser, Page, sync_playwright
from support.clock import browser_cpu_s

import spectrarium as sp
from spectrarium.domain.axis import Medium, SpecSys, SpectralAxis
from spectrarium.domain.observation import Observation, Provenance
from spectrarium.domain.spectrum import Spectrum

LONG, SHORT = 313_156, 4000
ZOOMS = 8
TARGETS = {"first": 0.1, "zoom": 0.08}
GO = """(path) => { history.pushState(null, '', path)
  dispatchEvent(new PopStateEvent('popstate', { state: null })) }"""
PAINTED = "() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r())))"


def timed(page: Page, act: Any) -> tuple[float, float]:
    """(processor, wall) seconds of the browser while `act` runs and until it is still."""
    page.wait_for_timeout(500)
    before, start = browser_cpu_s(os.getpid()), time.perf_counter()
    act()
    page.evaluate(PAINTED)
    wall = time.perf_counter() - start
    page.wait_for_timeout(400)
    return browser_cpu_s(os.getpid()) - before, wall


def ours(browser: Browser, base: str) -> dict[str, float]:
    """The page: a short spectrum first, then the long one, then zooms."""
    page = browser.new_page(viewport=WINDOW)
    page.goto("about:blank")
    got = {"loop": timed(page, lambda: page.evaluate(LOOP))[0]}
    page.goto(f"{base}/object/B:s0?tab=notes")
    page.wait_for_selector("section.spectrum canvas")
    page.wait_for_load_state("networkidle")

    def first() -> None:
        with page.expect_response(lambda r: "/api/spectrum/B%3Along" in r.url) as answer:
            page.evaluate(GO, "/object/B:long?tab=notes")
        answer.value.finished()

    got["first"], got["first_wall"] = timed(page, first)
    plot = page.locator("section.spectrum .host")
    plot.focus()

    def zoom() -> None:
        with page.expect_response(lambda r: "/api/spectrum/" in r.url) as answer:
            page.keyboard.press("+")
        answer.value.finished()

    zooms = [timed(page, zoom) for _ in range(ZOOMS)]
    got["zoom"] = statistics.median(cpu for cpu, _ in zooms)
    got["zoom_wall"] = statistics.median(wall for _, wall in zooms)
    page.close()
    return got


def plotly(browser: Browser, base: str) -> dict[str, float]:
    """All samples as one WebGL line, then a zoom."""
    page = browser.new_page(viewport=WINDOW)
    page.goto(f"{base}/peers/index.html?of=plotly-line&n={LONG}")
    page.wait_for_function("() => window.state === 'ready'", timeout=PATIENCE_MS)
    got: dict[str, float] = {}
    drawn = "() => window.state === 'drawn'"

    def act(name: str) -> None:
        page.evaluate(f"window.{name}()")
        page.wait_for_function(drawn, timeout=PATIENCE_MS)

    got["plotly_first"], got["plotly_first_wall"] = timed(page, lambda: act("draw"))
    got["plotly_zoom"], got["plotly_zoom_wall"] = timed(page, lambda: act("zoom"))
    page.close()
    return got


def made(name: str, samples: int) -> Spectrum:
    """Noise over a HARPS-like range."""
    flux = np.random.default_rng(samples).standard_normal(samples).astype(np.float32) + 20
    axis = SpectralAxis("Angstrom", values=np.linspace(3780.0, 6910.0, samples),
                        medium=Medium.AIR, specsys=SpecSys.BARYCENT)  # fmt: skip
    return Spectrum(axis=axis, flux=flux, observation=Observation("B", obs_id=name),
                    provenance=Provenance("memory", "benchmark"))  # fmt: skip


def real_server(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """`spectrarium serve` over an archive with the long spectrum."""
    sp.open(folder / "archive").ingest(
        [made("s0", SHORT), made("long", LONG)], workers=0
    )
    command = [sys.executable, "-m", "spectrarium.cli.main", "serve", "--archive",
               str(folder / "archive"), "--port", "0", "--no-browser"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    for line in process.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return process, found[0]
    raise SystemExit("the server did not start")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/spectra.json")
    args = parser.parse_args()
    runs = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        servers = [real_server(Path(folder))]
        if args.peers:
            servers.append(served(1000, args.peers.resolve(), args.peers.resolve()))
        try:
            for k in range(args.repeat):
                browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
                runs.append(ours(browser, servers[0][1]))
                if args.peers and k == 0:
                    runs[-1] |= plotly(browser, servers[1][1])
                version = browser.version
                browser.close()
                print(json.dumps({k: round(v, 3) for k, v in runs[-1].items()}), flush=True)
        finally:
            for process, _ in servers:
                process.send_signal(signal.SIGTERM)
                process.wait(20)
    result = {
        "what": "seconds of headless Chromium without a GPU, medians; _wall: until it is drawn",
        "samples": LONG, "repeat": args.repeat, "targets_s": TARGETS,
        "median_s": {k: round(statistics.median(r[k] for r in runs if k in r), 3) for k in runs[0]},
        "runs": [{k: round(v, 3) for k, v in r.items()} for r in runs],
        "chromium": version, "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }  # fmt: skip
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["median_s"], indent=1))


if __name__ == "__main__":
    main()
