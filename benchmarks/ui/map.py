"""The map's gestures in headless Chromium without a GPU: processor seconds of the browser.

python benchmarks/ui/map.py --page DIR [--peers DIR] [--rows 300000 --many 1000000] [--out FILE]

The page is built by `npx vite build` in web/, the peers (regl-scatterplot, Plotly) by `npm install
&& npx vite build` in benchmarks/ui/peers; without them ours is measured alone. Each number is the
median of `--repeat` fresh pages (the peers, far slower, once); a fixed loop in the same browser
tells how fast the machine is today. The archive is made up and its server is another process, so
what is counted is the page alone: decoding, JavaScript, SwiftShader.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from playwright.sync_api import Browser, Page, sync_playwright
from support.clock import browser_cpu_s
from support.synthetic import PEERS_WINDOW

CHROMIUM = "/usr/bin/chromium"
LOOP = """() => { let s = 1
  for (let i = 0; i < 3e8; i++) s = (Math.imul(s, 1664525) + 1013904223) | 0
  return s }"""
FINISH = """() => { for (const c of document.querySelectorAll('canvas.points')) {
  const gl = c.getContext('webgl2')
  gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4)) } }"""
PEERS = ("regl", "plotly")
WINDOW: Any = {"width": 1600, "height": 1000}
CORNER: Any = {"x": 0, "y": 0, "width": 8, "height": 8}
PATIENCE_MS = 240_000
TARGETS = {"first": 2.5, "lasso": 1.5, "recolour": 1.0, "first_many": 3.0, "moving_many": 0.1}
MOVES = 30


class Timed:
    """One page on one archive, and the browser's clock."""

    def __init__(self, page: Page, base: str, rows: int, views: int) -> None:
        self.page, self.base, self.rows, self.views = page, base, rows, views

    def cpu_s(self, act: Callable[[], None]) -> tuple[float, float]:
        """(processor, wall) seconds of the browser while `act` runs and until it is still."""
        before, start = browser_cpu_s(os.getpid()), time.perf_counter()
        act()
        wall = time.perf_counter() - start
        self.page.wait_for_timeout(400)
        return browser_cpu_s(os.getpid()) - before, wall

    def drawn(self) -> None:
        """Every view shows all points, and the card has drawn them."""
        there = f"document.querySelectorAll('[data-drawn=\"{self.rows}\"]').length"
        self.page.wait_for_function(f"() => {there} === {self.views}", timeout=120_000)
        self.page.evaluate(FINISH)

    def first(self) -> None:
        """Until the first whole picture."""
        self.page.goto(f"{self.base}/map?n={self.views}&dock=none")
        self.drawn()

    def lasso(self) -> None:
        """Around the dense cluster, until every view and the percentiles are there."""
        box = self.page.locator(".area").first.bounding_box()
        assert box
        # the cluster at (0, 0) of a map that is shown whole with locked aspect
        x, y = 0.5 * box["width"] - 0.17 * box["height"], 0.72 * box["height"]
        self.draw(box["x"] + x, box["y"] + y, 0.18 * box["height"])
        self.page.wait_for_selector("text=Median of a random 2,000", timeout=60_000)
        self.drawn()

    def draw(self, x: float, y: float, r: float) -> None:
        """A circle of 40 moves with the button down."""
        for k in range(41):
            a = 2 * math.pi * k / 40
            self.page.mouse.move(x + r * math.cos(a), y + r * math.sin(a))
            if k == 0:
                self.page.mouse.down()
        self.page.mouse.up()

    def peer_first(self, name: str) -> None:
        """The first picture of another library."""
        self.page.goto(f"{self.base}/peers/index.html?of={name}")
        self.page.wait_for_function("() => window.state === 'drawn'", timeout=PATIENCE_MS)
        self.page.screenshot(clip=CORNER, timeout=PATIENCE_MS)

    def peer_lasso(self) -> None:
        """The same cluster in it, until it tells what is inside."""
        box = self.page.locator("canvas").last.bounding_box()
        assert box
        middle, half = PEERS_WINDOW
        unit = box["height"] / 2
        x = box["x"] + box["width"] / 2 - unit * middle[0] / half
        y = box["y"] + box["height"] / 2 + unit * middle[1] / half
        self.draw(x, y, 0.16 * unit)
        said = "() => Number(String(window.state).split(' ')[1]) > 1000"
        self.page.wait_for_function(said, timeout=PATIENCE_MS)
        self.page.screenshot(clip=CORNER, timeout=PATIENCE_MS)

    def recolour(self) -> None:
        """By another column, until every view shows it."""
        self.page.fill(".colour input", "snr")
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector(".gradient", timeout=60_000)
        self.page.wait_for_timeout(50)
        self.drawn()

    def move(self) -> None:
        """A drag of `MOVES` frames, without the full picture after it."""
        box = self.page.locator(".area").first.bounding_box()
        assert box
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        for k in range(MOVES):
            self.page.mouse.move(x + 3 * k, y + 2 * k)
            self.page.evaluate("() => new Promise(requestAnimationFrame)")


def one_run(browser: Browser, base: dict[int, str], rows: int, many: int) -> dict[str, float]:
    """Every gesture once, on fresh pages."""
    got: dict[str, float] = {}
    page = browser.new_page(viewport=WINDOW)
    page.goto("about:blank")
    page.wait_for_timeout(300)
    timed = Timed(page, base[rows], rows, 4)
    got["loop"], _ = timed.cpu_s(lambda: page.evaluate(LOOP))
    got["first"], got["first_wall"] = timed.cpu_s(timed.first)
    page.keyboard.press("d")  # the dock, whose answer the lasso waits for
    page.wait_for_selector("text=Median of a random", timeout=60_000)
    page.wait_for_timeout(800)
    got["lasso"], got["lasso_wall"] = timed.cpu_s(timed.lasso)
    got["selected"] = float(page.locator(".panel h2").inner_text().split()[0].replace(",", ""))
    got["recolour"], got["recolour_wall"] = timed.cpu_s(timed.recolour)
    page.close()
    page = browser.new_page(viewport=WINDOW)
    timed = Timed(page, base[many], many, 1)
    got["first_many"], got["first_many_wall"] = timed.cpu_s(timed.first)
    page.keyboard.press("v")
    box = page.locator(".area").first.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    before = browser_cpu_s(os.getpid())
    timed.move()
    got["moving_many"] = (browser_cpu_s(os.getpid()) - before) / MOVES
    page.mouse.up()
    page.close()
    return got


def one_view(browser: Browser, base: str, rows: int, peers: bool) -> dict[str, float]:
    """The first picture and a lasso in one view: ours and the peers'."""
    got: dict[str, float] = {}
    page = browser.new_page(viewport=WINDOW)
    timed = Timed(page, base, rows, 1)
    got["one_view_first"], _ = timed.cpu_s(timed.first)
    page.keyboard.press("d")
    page.wait_for_selector("text=Median of a random", timeout=60_000)
    page.wait_for_timeout(800)
    got["one_view_lasso"], _ = timed.cpu_s(timed.lasso)
    page.close()
    for name in PEERS if peers else ():
        page = browser.new_page(viewport=WINDOW)
        timed = Timed(page, base, rows, 1)
        got[f"{name}_first"], _ = timed.cpu_s(partial(timed.peer_first, name))
        got[f"{name}_lasso"], _ = timed.cpu_s(timed.peer_lasso)
        got[f"{name}_selected"] = float(page.evaluate("window.state").split()[1])
        page.close()
    return got


def served(rows: int, page: Path, peers: Path | None = None) -> tuple[subprocess.Popen[str], str]:
    """A server of a made-up archive, ready to answer."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [sys.executable, "-m", "support.synthetic", "--rows", str(rows), "--page", str(page),
               "--port", str(port)]  # fmt: skip
    command += ["--peers", str(peers)] if peers else []
    here = Path(__file__).parent
    process = subprocess.Popen(command, cwd=here, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process, f"http://127.0.0.1:{port}"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/map.json")
    args = parser.parse_args()
    peers = args.peers.resolve() if args.peers else None
    servers = {n: served(n, args.page.resolve(), peers) for n in {args.rows, args.many}}
    try:
        with sync_playwright() as play:
            runs = []
            for k in range(args.repeat):
                browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
                base = {n: url for n, (_, url) in servers.items()}
                one = one_view(browser, base[args.rows], args.rows, peers is not None and k == 0)
                runs.append(one_run(browser, base, args.rows, args.many) | one)
                version = browser.version
                browser.close()
                print(json.dumps({k: round(v, 3) for k, v in runs[-1].items()}), flush=True)
    finally:
        for process, _ in servers.values():
            process.terminate()
    median = {k: round(statistics.median(r[k] for r in runs if k in r), 3) for k in runs[0]}
    result = {
        "what": "processor seconds of headless Chromium without a GPU, medians",
        "rows_in_four_views": args.rows, "rows_in_one_view": args.many, "repeat": args.repeat,
        "targets_s": TARGETS, "median_s": median,
        "runs": [{k: round(v, 3) for k, v in r.items()} for r in runs],
        "chromium": version, "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }  # fmt: skip
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(median, indent=1))


if __name__ == "__main__":
    main()
