"""The pictures of the page in docs/images/page, dark and light, of an archive of real spectra.

    python docs/page_shots.py --archive demo-output/archive [--only map,object]

Needs Chromium and the built page. What people keep goes to a temporary file.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

OUT = Path(__file__).parent / "images" / "page"
SIZE = {"width": 1280, "height": 720}
LARGEST = 250_000
"""Bytes of a picture."""


@contextmanager
def served(archive: Path) -> Iterator[str]:
    """The address of a server of an archive."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "spectrarium.cli.main", "serve", "--archive", str(archive)),
            *("--people", f"{folder}/people.sqlite", "--port", "0", "--no-browser"),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True,
                              env=os.environ | {"PYTHONUNBUFFERED": "1"}) as server:  # fmt: skip
            try:
                yield next(m[0] for line in server.stdout or ()
                           if (m := re.search(r"http://[\w.:]+", line)))  # fmt: skip
            finally:
                server.send_signal(signal.SIGINT)


def asked(url: str, path: str, **query: Any) -> Any:
    """A JSON answer of the server."""
    words = urllib.parse.urlencode(query)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}{path}?{words}", timeout=120) as answer:
        return json.load(answer)


def kept(page: Page, name: str) -> None:
    """A picture of the page as it is, in as few bytes as its colours need."""
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(800)
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    path = OUT / f"{name}.png"
    for colours in (256, 192, 128, 96, 64):
        shot.quantize(colours, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            path, optimize=True
        )
        if path.stat().st_size <= LARGEST:
            break
    print(f"{path.name}: {path.stat().st_size // 1000} kB")


def addresses(url: str) -> dict[str, str]:
    """The screens worth a picture, of what this archive holds."""
    archive = asked(url, "/api/archive")
    maps = {m["name"]: m for m in archive["maps"]}
    largest = max(maps.values(), key=lambda m: m["count"])["name"] if maps else ""
    quasar = asked(url, "/api/find", where="class = 'QSO' AND obs_collection LIKE 'SDSS 2.5m%'",
                   limit=5, sort="-snr")  # fmt: skip
    series = asked(url, "/api/find", where="obs_collection LIKE '%ccd700'", limit=60, sort="t_min")
    one = (quasar["rows"] or asked(url, "/api/find", limit=1)["rows"])[0]["id"]
    many = ",".join(str(r["row"]) for r in series["rows"])
    return {
        "home": "/",
        "map": f"/map?v=1:map:{largest}" if largest else "/map",
        "object": f"/object/{urllib.parse.quote(one, safe='')}",
        "outliers": "/outliers",
        "compare": f"/compare?rows={many}&mode=trailed",
        "jobs": "/jobs",
    }


def begun(url: str) -> None:
    """A job, so that there is one to see."""
    body = {"kind": "select", "params": {"by": "filter", "where": "snr > 50", "name": "Bright"}}
    post = urllib.request.Request(
        f"{url}/api/jobs", json.dumps(body).encode(),
        {"Content-Type": "application/json", "X-Spectrarium": "1", "Origin": url},
    )  # fmt: skip
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(post, timeout=60).close()


def lasso(page: Page) -> None:
    """Draw round what lies below the middle of the first view: there quasars are."""
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)
    box = page.locator("canvas").first.bounding_box()
    if box is None:
        return
    corners = [(0.36, 0.72), (0.44, 0.72), (0.44, 0.99), (0.36, 0.99), (0.36, 0.72)]
    for i, (x, y) in enumerate(corners):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=8)
        if i == 0:
            page.mouse.down()
    page.mouse.up()
    page.mouse.move(2, 2)


def main() -> None:
    """Take them."""
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--archive", type=Path, required=True)
    ask.add_argument("--only", default="", help="names by comma")
    ask.add_argument("--chromium", default=shutil.which("chromium") or "/usr/bin/chromium")
    words = ask.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    with served(words.archive) as url, sync_playwright() as play:
        begun(url)
        browser = play.chromium.launch(executable_path=words.chromium, args=["--no-sandbox"])
        for theme in ("dark", "light"):
            page = browser.new_page(viewport=SIZE, color_scheme=theme)
            for name, address in addresses(url).items():
                if words.only and name not in words.only.split(","):
                    continue
                page.goto(url + address)
                if name == "map":
                    lasso(page)
                kept(page, f"{name}-{theme}")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
