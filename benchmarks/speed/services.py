"""The services of the Virtual Observatory over a catalogue of many rows, end to end.

    python benchmarks/speed/services.py [--rows 100000] [--tap-rows 5000000] [--clients 100]
                                        [--seconds 60] [--keep]

The catalogue is that of `cone.py`; the server is `spectrarium serve` as a process on loopback.
Around observations chosen at random: SSAP and cone search of 0.5 deg, ADQL cones of 1′ on
`spectra.observations` and `ivoa.obscore` (medians of `--repeat`, after one that brings the table
in); 100,000 rows × 15 columns as VOTable in both serialisations, astropy writing the same table in
the same run; then `--clients` clients at once for `--seconds`, each asking one thing after another,
2,000 rows of a table among them: errors, requests/s, latencies, and the server's memory before,
after and at its most. Writes results/services.json.
"""

from __future__ import annotations

import argparse
import io
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
from astropy.io.votable import from_table, writeto
from astropy.table import Table
from cone import fill
from numpy.typing import NDArray
from support.record import interleaved, machine, write

from spectrarium.publish.votable import document
from spectrarium.store.archive import Archive

TARGETS = {"ssap_ms": 30, "tap_cone_ms": 25, "votable_binary2_s": 0.35, "votable_tabledata_s": 1.5}


class Server:
    """`spectrarium serve` over a folder."""

    def __init__(self, archive: Path) -> None:
        command = [sys.executable, "-m", "spectrarium.cli.main", "serve", "--archive", str(archive),
                   "--port", "0", "--no-browser"]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        for line in self.process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                self.base = found[0]
                return
        raise SystemExit("the server did not start")

    def memory_mib(self, what: str = "VmRSS") -> float:
        """Resident memory; at its most: VmHWM."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{what}:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def requests(base: str, places: NDArray[np.float64], rng: np.random.Generator) -> dict[str, Any]:
    """One request of each kind, around one of the places: (n, 2) deg."""
    ra, dec = places[int(rng.integers(len(places)))].tolist()
    where = f"1 = CONTAINS(POINT(s_ra, s_dec), CIRCLE({ra}, {dec}, {1 / 60}))"

    def adql(query: str) -> dict[str, str]:
        return {"LANG": "ADQL", "QUERY": query}

    return {
        "ssap": (f"{base}/vo/ssap",
                 {"REQUEST": "queryData", "POS": f"{ra},{dec}", "SIZE": 1.0}),
        "cone": (f"{base}/vo/cone", {"RA": ra, "DEC": dec, "SR": 0.5}),
        "tap_cone": (f"{base}/vo/tap/sync",
                     adql(f"SELECT obs_id, s_ra, s_dec FROM spectra.observations WHERE {where}")),
        "tap_obscore": (f"{base}/vo/tap/sync",
                        adql(f"SELECT obs_id, access_url FROM ivoa.obscore WHERE {where}")),
        "tap_rows": (f"{base}/vo/tap/sync", adql("SELECT TOP 2000 * FROM spectra.observations")),
    }  # fmt: skip


def latencies(
    base: str, places: NDArray[np.float64], names: tuple[str, ...], repeat: int
) -> dict[str, float]:
    """Median ms of each kind, on one connection that stays open; of the first ones by itself."""
    rng = np.random.default_rng(3)
    out = {}
    with httpx.Client(timeout=300) as client:
        for name in names:
            times = []
            for _ in range(repeat + 1):
                url, params = requests(base, places, rng)[name]
                began = time.perf_counter()
                client.get(url, params=params).raise_for_status()
                times.append(1000 * (time.perf_counter() - began))
            out[f"{name}, first"] = times.pop(0)
            out[name] = statistics.median(times)
    return out


def many(
    server: Server, places: NDArray[np.float64], clients: int, seconds: float
) -> dict[str, Any]:
    """`clients` threads that ask one thing after another until the time is over."""
    before, end = server.memory_mib(), time.monotonic() + seconds
    times: list[float] = []
    errors: list[str] = []
    lock = threading.Lock()

    def one(seed: int) -> None:
        rng = np.random.default_rng(seed)
        with httpx.Client(timeout=120) as client:
            while time.monotonic() < end:
                kinds = list(requests(server.base, places, rng).values())
                url, params = kinds[int(rng.integers(len(kinds)))]
                began = time.perf_counter()
                try:
                    answer = client.get(url, params=params)
                    wrong = "" if answer.status_code == 200 else f"{answer.status_code} {url}"
                except httpx.HTTPError as error:
                    wrong = repr(error)
                with lock:
                    times.append(time.perf_counter() - began)
                    if wrong:
                        errors.append(wrong)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 180)
    ranked = np.percentile(times, [50, 95, 100])
    return {
        "clients": clients, "seconds": seconds, "requests": len(times), "errors": len(errors),
        "first_errors": errors[:5], "requests_per_s": len(times) / seconds,
        "latency_s": dict(zip(("median", "95 %", "most"), ranked.tolist(), strict=True)),
        "memory_mib": {"before": before, "after": server.memory_mib(),
                       "most": server.memory_mib("VmHWM")},
    }  # fmt: skip


def votables(rows: int, repeat: int) -> dict[str, float]:
    """Seconds for a table of 15 columns: ours and astropy's."""
    rng = np.random.default_rng(0)
    names = [f"HD {i} <&>" for i in range(rows)]
    columns: dict[str, Any] = {f"d{i}": rng.standard_normal(rows) for i in range(8)}
    columns |= {f"f{i}": rng.standard_normal(rows).astype(np.float32) for i in range(2)}
    columns |= {f"i{i}": rng.integers(0, 1 << 40, rows) for i in range(2)}
    columns |= {f"t{i}": names for i in range(3)}
    table, peer = pa.table(columns), Table(columns)

    def ours(how: Any) -> None:
        for piece in document(table, serialisation=how):
            len(piece)

    def astropys(how: str) -> None:
        writeto(from_table(peer), io.BytesIO(), tabledata_format=how)

    return interleaved({
        "binary2": lambda: ours("binary2"), "tabledata": lambda: ours("tabledata"),
        "astropy binary2": lambda: astropys("binary2"),
        "astropy tabledata": lambda: astropys("tabledata"),
    }, repeat)  # fmt: skip


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--tap-rows", type=int, default=5_000_000)
    parser.add_argument("--repeat", type=int, default=50)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--keep", action="store_true", help="write the result")
    args = parser.parse_args()
    found: dict[str, Any] = {"targets": TARGETS, "rows": args.rows, "tap_rows": args.tap_rows,
                             "machine": machine(("httpx",))}  # fmt: skip
    found["votable_s"] = votables(100_000, 3)
    print(found["votable_s"], flush=True)
    for rows, names in ((args.rows, ("ssap", "cone", "tap_cone", "tap_obscore")),
                        (args.tap_rows, ("tap_cone", "tap_obscore"))):  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            fill(Path(folder) / "archive", rows)
            archive = Archive(Path(folder) / "archive")
            places = np.stack([archive.column(c).to_numpy() for c in ("s_ra", "s_dec")], axis=1)
            server = Server(Path(folder) / "archive")
            try:
                found[f"latency_ms_{rows}"] = latencies(server.base, places, names,
                                                          args.repeat)  # fmt: skip
                print(rows, found[f"latency_ms_{rows}"], flush=True)
                if rows == args.rows:
                    found["many"] = many(server, places, args.clients, args.seconds)
                    print(found["many"], flush=True)
            finally:
                server.stop()
    if args.keep:
        write("services", found)


if __name__ == "__main__":
    main()
