"""SSAP of a catalogue of many spectra, by us and by DaCHS, in requests a second.

    python benchmarks/speed/dachs.py [--rows 100000] [--seconds 20] [--rounds 3]

The catalogue is that of `cone.py`; DaCHS (Debian's, on a PostgreSQL of its own with pgSphere) has
the same rows by CSV. It takes SIZE for a radius, not a diameter, so it is asked for half as much.
Both serve on loopback as processes of their own. Questions: a place of 2°, the same with limits of
band and S/N, a name. First both must find the same spectra for 60 of them; then one client, and
eight at once, ask one question after another for `--seconds`, servers taking turns; every answer
is read whole. Medians of `--rounds`. Writes results/dachs.json.
"""

from __future__ import annotations

import argparse
import csv
import http.client
import io
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import numpy as np
from astropy.io.votable import parse_single_table
from cone import fill
from services import Server
from support.record import machine, write

from spectrarium.store.archive import Archive

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
import dachs_server
import postgres_server

DESCRIPTION = Path(__file__).parent / "support" / "many.rd"
TARGET = 5.0
COLUMNS = ("obs_id", "target_name", "s_ra", "s_dec", "snr", "redshift", "t_min", "em_min", "em_max")
CLIENTS = (1, 8)


def catalogue(root: Path, path: Path) -> None:
    """The archive's catalogue as the CSV that DaCHS imports."""
    archive = Archive(root)
    found = archive.catalogue(archive.find(None), list(COLUMNS)).to_pylist()
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([c if c != "t_min" else "mjd" for c in COLUMNS])
        writer.writerows([row[c] if row[c] is not None else 55000.0 for c in COLUMNS]
                         for row in found)  # fmt: skip


def questions(rng: np.random.Generator, rows: int, n: int = 200) -> list[dict[str, str]]:
    """Places, places with limits, names; as SSAP has them."""
    out = []
    for i in range(n):
        ra, dec = rng.uniform(0, 360), float(np.degrees(np.arcsin(rng.uniform(-1, 1))))
        place = {"POS": f"{ra:.6f},{dec:.6f}", "SIZE": "2"}
        out.append([place, {**place, "BAND": "4e-7/5e-7", "SNR": "10/"},
                    {"TARGETNAME": f"HD {rng.integers(rows)}"}][i % 3])  # fmt: skip
    return [{"REQUEST": "queryData", "FORMAT": "votable", **q} for q in out]


def as_radius(params: dict[str, str]) -> dict[str, str]:
    """The same question as DaCHS understands it."""
    return {**params, "SIZE": str(float(params["SIZE"]) / 2)} if "SIZE" in params else params


def found(url: str, params: dict[str, str]) -> list[str]:
    """Names of what an answer holds."""
    answer = httpx.get(url, params=params, timeout=60).raise_for_status()
    table = parse_single_table(io.BytesIO(answer.content)).array
    return sorted(str(name) for name in table["ssa_targname"])


def rate(url: str, asked: list[dict[str, str]], clients: int, seconds: float) -> float:
    """Requests a second, of as many clients, each with a connection that it keeps if it can."""
    counts, errors = [0] * clients, []
    end = time.monotonic() + seconds
    parts = urlsplit(url)
    paths = [f"{parts.path}?{urlencode(params)}" for params in asked]

    def one(k: int) -> None:
        i = k * 17
        client = http.client.HTTPConnection(parts.netloc, timeout=60)  # costs little itself
        while time.monotonic() < end:
            client.request("GET", paths[i % len(paths)])
            answer = client.getresponse()
            answer.read()
            if answer.status != 200:
                errors.append(answer.status)
            counts[k] += 1
            i += 1
        client.close()

    threads = [threading.Thread(target=one, args=(k,)) for k in range(clients)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors[:5]
    return sum(counts) / (time.monotonic() - began)


def measure(urls: dict[str, str], args: argparse.Namespace) -> dict[str, Any]:
    """Requests a second of both, and their ratio."""
    ours_asked = questions(np.random.default_rng(5), args.rows)
    asked = {"spectrarium": ours_asked, "dachs": [as_radius(q) for q in ours_asked]}
    spectra = 0
    for i in range(60):
        ours, theirs = (found(urls[name], asked[name][i]) for name in ("spectrarium", "dachs"))
        assert ours == theirs, (ours_asked[i], len(ours), len(theirs))
        spectra += len(ours)
    assert spectra > 60
    out: dict[str, Any] = {"spectra of 60 questions": spectra}
    for clients in CLIENTS:
        rates: dict[str, list[float]] = {name: [] for name in urls}
        for _ in range(args.rounds):
            for name, url in urls.items():
                rates[name].append(rate(url, asked[name], clients, args.seconds))
        made = {name: statistics.median(values) for name, values in rates.items()}
        made["ratio"] = made["spectrarium"] / made["dachs"]
        out[f"{clients} clients, requests/s"] = made
        print(clients, made, flush=True)
    return out


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    at_start = machine(("httpx",))
    with tempfile.TemporaryDirectory() as name, postgres_server.running() as postgres:
        folder = Path(name)
        fill(folder / "archive", args.rows)
        catalogue(folder / "archive", folder / "many.csv")
        (folder / "dachs").mkdir()
        peer = dachs_server.dachs(postgres, folder / "dachs")
        peer.publish(DESCRIPTION, [folder / "many.csv"])
        server = Server(folder / "archive")
        try:
            with peer.serving():
                result = measure({"spectrarium": f"{server.base}/vo/ssap",
                                  "dachs": f"{peer.base}/many/q/ssa/ssap.xml"}, args)  # fmt: skip
        finally:
            server.stop()
    write("dachs", {"target_ratio": TARGET, "rows": args.rows, "seconds": args.seconds,
                    "rounds": args.rounds, **result, "machine": at_start})  # fmt: skip


if __name__ == "__main__":
    main()
