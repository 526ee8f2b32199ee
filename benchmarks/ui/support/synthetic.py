"""A made-up archive of any size behind the routes that the map asks, and the built page.

python -m support.synthetic --rows N --page DIR --port P [--peers DIR]
It answers from memory in a process of its own, so that a timing of the browser holds no server.
"""

from __future__ import annotations

import argparse
import io
import json
import mimetypes
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

CLASSES = ["STAR", "GALAXY", "QSO", "SKY"]
ARROW = "application/vnd.apache.arrow.stream"
CLUSTERS = ((0.34, 0.0, 0.0, 0.35), (0.3, 4.0, 1.0, 0.8), (0.2, 1.0, 4.0, 0.6),
            (0.16, 3.5, 4.5, 1.0))  # fmt: skip
"""Share, place and width; the first holds about 100,000 of 300,000."""


PEERS_WINDOW = ((2.0, 2.2), 6.0)
"""Middle and half width of what other libraries show."""


class Made:
    """Columns of `n` rows with the shapes real ones have: clusters, a main sequence, a sky."""

    def __init__(self, n: int) -> None:
        rng = np.random.default_rng(4)
        kind = rng.choice(len(CLUSTERS), n, p=[c[0] for c in CLUSTERS])
        at = np.array([c[1:3] for c in CLUSTERS])[kind]
        width = np.array([c[3] for c in CLUSTERS])[kind]
        spread = rng.standard_normal((n, 2)) * width[:, None]
        teff = 10 ** rng.normal(3.75, 0.09, n)
        logg = np.where(rng.random(n) < 0.3, 2.5 + rng.normal(0, 0.7, n), 4.4)
        self.n = n
        self.kind = kind.astype(np.int32)
        self.columns: dict[str, NDArray[Any]] = {
            "map:umap:x": (at + spread)[:, 0], "map:umap:y": (at + spread)[:, 1],
            "teff": teff, "logg": logg + rng.normal(0, 0.1, n),
            "s_ra": rng.uniform(0, 360, n), "s_dec": np.degrees(np.arcsin(rng.uniform(-1, 1, n))),
            "gal_l": rng.uniform(0, 360, n), "gal_b": rng.normal(0, 20, n).clip(-90, 90),
            "snr": 10 ** rng.normal(1.3, 0.4, n), "redshift": rng.gamma(2.0, 0.2, n),
        }  # fmt: skip
        self.row = rng.permutation(n).astype(np.int32)

    def overview(self) -> dict[str, Any]:
        """As GET /api/archive."""
        named = [{"name": n, "unit": "", "ucd": "", "about": "", "kind": "number",
                  "source": "catalogue", "share": 1.0} for n in self.columns]  # fmt: skip
        text = {"unit": "", "ucd": "", "about": "", "kind": "text", "source": "catalogue"}
        return {
            "name": "made up", "version": 1, "count": self.n,
            "columns": [*named, {"name": "class", **text}], "collections": [], "embeddings": [],
            "maps": [{"name": "umap", "method": "umap", "model": "made", "count": self.n,
                      "axes": ["UMAP 1", "UMAP 2"], "quality": {}, "note": ""}],
            "scores": [], "tags": [], "writable": False,
            "suggested": {"kiel": ["teff", "logg"], "sky": ["s_ra", "s_dec"],
                          "galactic": ["gal_l", "gal_b"], "colour": "class"},
            "limits": {"upload_bytes": 1, "stack_at_once": 2000, "table_rows": 500},
            "user": {"name": "guest", "rights": [], "signed_in": False},
        }  # fmt: skip

    @lru_cache(maxsize=64)  # noqa: B019 - one object for the life of the process
    def arrow(self, names: tuple[str, ...]) -> bytes:
        """As GET /api/columns."""
        arrays: list[pa.Array] = [pa.array(self.row)]
        for name in names:
            if name == "class":
                arrays.append(pa.DictionaryArray.from_arrays(self.kind, CLASSES))
            else:
                wide = np.float64 if name in ("s_ra", "s_dec") else np.float32
                arrays.append(pa.array(self.columns[name].astype(wide)))
        return stream(pa.table(arrays, names=["row", *names]))


def bare(made: Made) -> bytes:
    """The map for other libraries: x and y in −1 … 1 as float32, then the class as a byte."""
    middle, half = PEERS_WINDOW
    xy = (made.columns["map:umap:x"], made.columns["map:umap:y"])
    parts = [((v - m) / half).astype(np.float32) for v, m in zip(xy, middle, strict=True)]
    return b"".join(p.tobytes() for p in parts) + made.kind.astype(np.uint8).tobytes()


def stream(table: pa.Table) -> bytes:
    """An Arrow stream in one batch."""
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=max(1, table.num_rows))
    return out.getvalue()


def stack(members: int) -> bytes:
    """As POST /api/stack: what 2,000 of `members` look like."""
    wave = np.geomspace(3700.0, 9000.0, 1500)
    middle = (1.0 + 0.1 * np.sin(wave / 90)).astype(np.float32)
    table = pa.table({
        "wave_aa": wave, "p05": middle - 0.3, "p16": middle - 0.15, "p50": middle,
        "p84": middle + 0.15, "p95": middle + 0.3, "error": np.full(1500, 0.004, np.float32),
        "n": np.full(1500, 2000, np.int32),
    })  # fmt: skip
    sampled = 2000 if members > 2000 else None
    about: dict[str, Any] = {
        "members": members, "used": min(2000, members), "sampled": sampled,
        "exact": sampled is None, "left_out": {}, "medium": "vacuum", "frame": "delivered",
        "unit": None, "notes": [],
    }  # fmt: skip
    return stream(table.replace_schema_metadata({"stack": json.dumps(about)}))


class Handler(BaseHTTPRequestHandler):
    """The routes that the map asks."""

    protocol_version = "HTTP/1.1"
    made: Made
    page: Path
    peers: Path | None = None

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        """Columns, sparklines, the overview, and files of the page."""
        url = urlsplit(self.path)
        asked = {k: v[0] for k, v in parse_qs(url.query).items()}
        if url.path == "/api/archive":
            self._json(self.made.overview())
        elif url.path == "/api/columns":
            self._send(self.made.arrow(tuple(asked["names"].split(","))), ARROW)
        elif url.path == "/api/sparklines":
            rows = [int(r) for r in asked["rows"].split(",")]
            y = [round(float(v), 3) for v in np.sin(np.arange(120) / 7)]
            one = {"lo_aa": 3700, "hi_aa": 9000, "y": y}
            self._json({"items": [{"row": r, "id": f"made:{r}", **one} for r in rows]})
        elif url.path.startswith("/api/"):
            self._json({"selections": [], "jobs": [], "judgements": []})
        elif url.path == "/peers/points":
            self._send(bare(self.made), "application/octet-stream")
        else:
            root, path = self.page, url.path
            if self.peers and path.startswith("/peers/"):
                root, path = self.peers, path.removeprefix("/peers")
            file = root / path.lstrip("/")
            file = file if file.is_file() else root / "index.html"
            self._send(file.read_bytes(), mimetypes.guess_type(file.name)[0] or "text/plain")

    def do_POST(self) -> None:
        """A stack of the rows that are asked for."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._send(stack(len(body.get("rows", []))), ARROW)

    def _json(self, value: object) -> None:
        self._send(json.dumps(value).encode(), "application/json")

    def _send(self, data: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Spectrarium-Version", "1")
        self.end_headers()
        self.wfile.write(data)


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--peers", type=Path)
    args = parser.parse_args()
    Handler.made, Handler.page, Handler.peers = Made(args.rows), args.page, args.peers
    for names in (("map:umap:x", "map:umap:y", "class"), ("snr",)):
        Handler.made.arrow(names)  # made before the clock runs
    print("ready", flush=True)
    ThreadingHTTPServer(("127.0.0.1", args.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
