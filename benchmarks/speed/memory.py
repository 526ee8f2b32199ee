"""Peak memory of ingest, of passes over everything and of embed, with ten times as many spectra.

    python benchmarks/speed/memory.py [--small 2000] [--large 500]
    python benchmarks/speed/memory.py --part embed [--embed 2000]

Ingests SDSS-like files with 2 workers: `small` and 10 × `small` of 400 samples, `large` and 10 ×
`large` of 4,000, and watches the resident size of the command and of its reading processes; then
that of a pass that decodes every spectrum and of one over the raw arrays. Then gives `embed` and
10 × `embed` spectra of 400 samples their vectors by pca and, where torch is, by patch (taught for
one epoch by at most a thousand of them), and tells what that takes beyond Python with the same
libraries loaded. Flat means that ten times as many spectra take (nearly) the same. A peer for
scale: numpy holding flux and inverse variance. Linux only (/proc). Writes results/memory.json and
results/memory_embed.json.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from support.record import machine, write
from support.rss import Peak, watch
from support.sdss_files import write_files
from support.spectra import sdss_like

from spectrarium.store.writer import add_spectra

HERE = Path(__file__).parent
TOOL = shutil.which("spectrarium", path=str(Path(sys.executable).parent)) or "spectrarium"
TAUGHT = 1000
"""Spectra that teach the network of an archive of any size."""
LOADED = {
    "pca": "import spectrarium.run.embedding, spectrarium.embed.pca, lance, scipy.linalg",
    "patch": "import spectrarium.run.embedding, spectrarium.embed.patch, lance, scipy.linalg",
}
"""What has an encoder's libraries loaded and does nothing: whatever is beyond is the work's."""


def one(folder: Path, n: int, n_pix: int, workers: int) -> dict[str, Any]:
    """Peaks for n spectra."""
    files, archive = folder / "files", folder / "archive"
    write_files(files, n, n_pix=n_pix)
    out: dict[str, Any] = {"spectra": n, "samples": n_pix, "arrays_mb": n * n_pix * 8 / 1e6}
    out["ingest"] = asdict(watch([TOOL, "ingest", str(files), "--archive", str(archive),
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


def embedded(folder: Path, n: int, n_pix: int) -> dict[str, Any]:
    """Peaks of giving n spectra their vectors."""
    archive = str(folder / "archive")
    for start in range(0, n, 2000):
        add_spectra(Path(archive), sdss_like(start, min(start + 2000, n), n_pix))
    out: dict[str, Any] = {"spectra": n, "samples": n_pix, "arrays_mb": n * n_pix * 8 / 1e6}
    for encoder, load in LOADED.items():
        if encoder == "patch":
            if find_spec("torch") is None:
                continue
            watch([TOOL, "train", encoder, "--epochs", "1", "--max-train", str(TAUGHT),
                   "--device", "cpu", "--archive", archive])  # fmt: skip
        peak: Peak = watch([TOOL, "embed", "--encoder", encoder, "--device", "cpu", "--archive",
                            archive])  # fmt: skip
        loaded = watch([sys.executable, "-c", load]).driver_mb
        out[encoder] = asdict(peak) | {"loaded_mb": loaded,
                                       "beyond_mb": peak.driver_mb - loaded}  # fmt: skip
        print(f"{n:7} × {n_pix}, embed by {encoder}: {peak.driver_mb:.0f} MB, {loaded:.0f} of them "
              f"libraries; largest preparing process {peak.worker_mb:.0f}; all together "
              f"{peak.total_mb:.0f}; {peak.seconds:.0f} s", flush=True)  # fmt: skip
    return out


def embed_part(n: int) -> None:
    """`embed` at two sizes, printed and written."""
    where = machine(("torch",))
    runs = []
    for times in (1, 10):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(embedded(Path(folder), n * times, 400))
    few, many = runs
    more = many["spectra"] - few["spectra"]
    grown = {
        e: {"factor": many[e]["driver_mb"] / few[e]["driver_mb"],
            "bytes_per_spectrum": (many[e]["driver_mb"] - few[e]["driver_mb"]) * 1e6 / more}
        for e in LOADED if e in few
    }  # fmt: skip
    for encoder, g in grown.items():
        print(f"embed by {encoder}: × {g['factor']:.2f}, {g['bytes_per_spectrum']:.0f} bytes a "
              "spectrum more in the process that encodes")  # fmt: skip
    write("memory_embed", {"runs": runs, "growth": grown, "where": where})


def ingest_part(small: int, large: int, workers: int) -> None:
    """Ingest and passes over everything, printed and written."""
    where = machine()
    runs, grown = [], {}
    for n, n_pix in ((small, 400), (large, 4000)):
        pair = []
        for times in (1, 10):
            with tempfile.TemporaryDirectory() as folder:
                pair.append(one(Path(folder), n * times, n_pix, workers))
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
    write("memory", {"workers": workers, "runs": runs, "growth": grown, "where": where})


def main() -> None:
    """Run, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", type=int, default=10_000, help="spectra of 400 samples")
    parser.add_argument("--large", type=int, default=2_000, help="spectra of 4,000 samples")
    parser.add_argument("--embed", type=int, default=2_000, help="spectra to embed first")
    parser.add_argument("--part", choices=("all", "ingest", "embed"), default="all")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    if args.part != "embed":
        ingest_part(args.small, args.large, args.workers)
    if args.part != "ingest":
        embed_part(args.embed)


if __name__ == "__main__":
    main()
