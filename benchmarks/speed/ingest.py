"""Ingest of small SDSS files against loops that only read them, all in 2 processes, one run.

    python benchmarks/speed/ingest.py [--files 8000] [--repeat 5] [--fitsio-python PATH]

Spectrarium recognises, parses, checks, hashes, stores and summarises each file, writes and flushes
it, and commits. The peers open the same files, which lie in the page cache, and read six arrays:
`fitsio` (GPL: in an environment of its own, made in the temporary folder unless one is named),
`astropy.io.fits`, and `specutils` on 60 files, which finds out the format as Spectrarium does.
Prints a table and writes results/ingest.json.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from support.record import machine, write
from support.sdss_files import write_files

from spectrarium.store.archive import Archive

HERE = Path(__file__).parent
LOOP = HERE / "support" / "read_loop.py"
N_SPECUTILS = 60
TARGETS = {"fitsio": 2.0, "astropy": 4.0, "specutils": 20.0}


def fitsio_python(folder: Path) -> str | None:
    """A Python that has fitsio, in an environment made in `folder`; None if it cannot be had."""
    made = folder / "fitsio"
    venv.create(made, with_pip=True)
    python = made / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    found = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", "fitsio"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return str(python) if found.returncode == 0 else None


def run(command: list[str]) -> tuple[float, dict[str, Any]]:
    """Wall time of a program and the JSON of its last line."""
    began = time.perf_counter()
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    wall = time.perf_counter() - began
    return wall, json.loads(found.stdout.strip().splitlines()[-1])


def ours(folder: Path, archive: Path, workers: int) -> tuple[float, float]:
    """(s with start-up: the command itself, s without: processes there already)."""
    tool = shutil.which("spectrarium", path=str(Path(sys.executable).parent)) or "spectrarium"
    shutil.rmtree(archive, ignore_errors=True)
    began = time.perf_counter()
    subprocess.run([tool, "ingest", str(folder), "--archive", str(archive), "--workers",
                    str(workers), "--json"], check=True, capture_output=True)  # fmt: skip
    with_start = time.perf_counter() - began
    shutil.rmtree(archive)
    _, warm = run([sys.executable, str(HERE / "support" / "ingest_warm.py"), str(folder),
                   str(archive), str(workers)])  # fmt: skip
    return with_start, warm["seconds"]


def verify(archive: Path, paths: list[str]) -> None:
    """Every file is there; ten at random are what astropy reads, bit for bit."""
    held = Archive(archive)
    by_path = {p: i for i, p in enumerate(held.column("access_path").to_pylist())}
    if len(held) != len(paths) or set(by_path) != set(paths):
        raise SystemExit(f"{len(held)} of {len(paths)} files were stored")
    for path in random.Random(1).sample(paths, 10):
        spectrum = held.read_rows([by_path[path]])[0]
        with fits.open(path) as hdus:
            table = hdus[1].data
            pairs = {"flux": spectrum.flux, "ivar": spectrum.uncertainty,
                     "and_mask": spectrum.flags, "loglam": spectrum.axis.coordinate(),
                     **spectrum.extras}  # fmt: skip
            for name, got in pairs.items():
                want = np.asarray(table[name])
                if got.tobytes() != want.astype(want.dtype.newbyteorder("=")).tobytes():
                    raise SystemExit(f"{path}: {name} is not what astropy reads")


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All contenders in turn, `repeat` times; medians."""
    made = folder / "files"
    paths = write_files(made, args.files, args.label_columns)
    lists = {n: folder / f"{n}.list" for n in (args.files, N_SPECUTILS)}
    for n, file in lists.items():
        file.write_text("\n".join(paths[:n]))
    pythons = {"fitsio": args.fitsio_python or fitsio_python(folder), "astropy": sys.executable,
               "specutils": sys.executable}  # fmt: skip
    walls: dict[str, list[float]] = {}
    inner: dict[str, list[float]] = {}
    versions: dict[str, str | None] = {}
    for turn in range(args.repeat):
        print(f"round {turn + 1} of {args.repeat}", flush=True)
        for name, python in pythons.items():
            if python is None:
                versions[name] = None
                continue
            n = N_SPECUTILS if name == "specutils" else args.files
            wall, said = run([python, str(LOOP), name, str(lists[n]), str(args.workers)])
            walls.setdefault(name, []).append(n / wall)
            inner.setdefault(name, []).append(n / said["seconds"])
            versions[name] = said["version"]
        with_start, warm = ours(made, folder / "archive", args.workers)
        walls.setdefault("spectrarium", []).append(args.files / with_start)
        inner.setdefault("spectrarium", []).append(args.files / warm)
    verify(folder / "archive", paths)
    return {
        "file_bytes": Path(paths[0]).stat().st_size, "peer_versions": versions,
        "files_per_s": {k: statistics.median(v) for k, v in inner.items()},
        "files_per_s_with_start": {k: statistics.median(v) for k, v in walls.items()},
        "rounds": inner, "rounds_with_start": walls,
    }  # fmt: skip


def ratios(rates: dict[str, float]) -> dict[str, float]:
    """Ours over each peer's."""
    return {k: rates["spectrarium"] / v for k, v in rates.items() if k != "spectrarium"}


def main() -> None:
    """Run, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=8000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--label-columns", type=int, default=30,
                        help="columns of the SPALL table (the survey's: 236)")  # fmt: skip
    parser.add_argument("--fitsio-python", default=None, help="a Python that has fitsio")
    parser.add_argument("--name", default="ingest", help="name of the result")
    args = parser.parse_args()
    where = machine(("specutils",))
    with tempfile.TemporaryDirectory() as folder:
        found = measure(args, Path(folder))
    found["ratio"] = ratios(found["files_per_s"])
    found["ratio_with_start"] = ratios(found["files_per_s_with_start"])
    print(f"{'files/s, ' + str(args.workers) + ' processes':28}{'running':>10}{'with start':>12}"
          f"{'ratio':>8}{'target':>8}")  # fmt: skip
    for name, rate in sorted(found["files_per_s"].items(), key=lambda x: -x[1]):
        ratio, target = found["ratio"].get(name), TARGETS.get(name)
        print(f"{name:28}{rate:10.0f}{found['files_per_s_with_start'][name]:12.0f}"
              + (f"{ratio:8.2f}{target:8.0f}" if ratio else ""))  # fmt: skip
    for name, version in found["peer_versions"].items():
        if version is None:
            print(f"{name}: could not be installed, not measured")
    write(args.name, {
        "files": args.files, "repeat": args.repeat, "workers": args.workers,
        "statistic": "median", "targets": TARGETS, **found, "where": where,
    })  # fmt: skip


if __name__ == "__main__":
    main()
