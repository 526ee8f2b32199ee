"""Peak memory of ingest and of passes over everything, with ten times as many spectra.

    python benchmarks/speed/memory.py [--small 10000] [--large 2000]

Ingests SDSS-like files with 2 workers: `small` and 10 × `small` of 400 samples, `large` and 10 ×
`large` of 4,000, and watches the resident size of the command and of its reading processes; then
that of a pass that decodes every spectrum and of one over the raw arrays. Flat means that ten times
as many spectra take (nearly) the same. A peer for scale: numpy holding flux and inverse variance.
Linux only (/proc). Writes results/memory.json.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from support.record import machine, write
from support.rss import watch
from support.sdss_files import write_files

HERE = Path(__file__).parent


def one(folder: Path, n: int, n_pix: int, workers: int) -> dict[str, Any]:
    """Peaks for n spectra."""
    files, archive = folder / "files", folder / "archive"
    write_files(files, n, n_pix=n_pix)
    tool = shutil.which("spectrarium", path=str(Path(sys.executable).parent)) or "spectrarium"
    out: dict[str, Any] = {"spectra": n, "samples": n_pix, "arrays_mb": n * n_pix * 8 / 1e6}
    out["ingest"] = asdict(watch([tool, "ingest", str(files), "--archive", str(archive),
                                  "--workers", str(workers), "--json"]))  # fmt: skip
    shutil.rmtree(files)
    for how in ("spectra", "arrays"):
        scan = [sys.executable, str(HERE / "support" / "scan_all.py"), how, str(archive)]
        out[f"scan_{how}"] = asdict(watch(scan))
    shutil.rmtree(archive)
    return out


def growth(few: dict[str, Any], many: dict[str, Any]) -> dict[str, Any]:
    """How much more ten times as many take: a factor, and bytes a spectrum."""
    out = {}
    for what in ("ingest", "scan_spectra", "scan_arrays"):
        a, b = few[what]["total_mb"], many[what]["total_mb"]
        more = many["spectra"] - few["spectra"]
        out[what] = {"factor": b / a, "bytes_per_spectrum": (b - a) * 1e6 / more}
    return out


def main() -> None:
    """Run, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", type=int, default=10_000, help="spectra of 400 samples")
    parser.add_argument("--large", type=int, default=2_000, help="spectra of 4,000 samples")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    where = machine()
    runs, grown = [], {}
    for n, n_pix in ((args.small, 400), (args.large, 4000)):
        pair = []
        for times in (1, 10):
            with tempfile.TemporaryDirectory() as folder:
                pair.append(one(Path(folder), n * times, n_pix, args.workers))
            run = pair[-1]
            print(f"{run['spectra']:7} × {n_pix}: " + "; ".join(
                f"{what} {run[what]['total_mb']:.0f} MB (driver {run[what]['driver_mb']:.0f}, "
                f"worker {run[what]['worker_mb']:.0f}) in {run[what]['seconds']:.0f} s"
                for what in ("ingest", "scan_spectra", "scan_arrays")
            ), flush=True)  # fmt: skip
        grown[f"{n} to {10 * n} × {n_pix}"] = growth(*pair)
        runs += pair
    for name, one_growth in grown.items():
        print(name + ": " + "; ".join(
            f"{what} × {g['factor']:.2f} ({g['bytes_per_spectrum']:.0f} bytes a spectrum more)"
            for what, g in one_growth.items()
        ))  # fmt: skip
    write("memory", {"workers": args.workers, "runs": runs, "growth": grown, "where": where})


if __name__ == "__main__":
    main()
