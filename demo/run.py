"""The tour: real spectra (or a mock survey) in; neighbours, outliers, labels, a map as pictures.

    python demo/run.py [--out demo-output] [--mock]

With SPECTRARIUM_DATA set to a folder of spectral pools it uses those; otherwise it makes a mock
survey with known truth. Every step is a command of the `spectrarium` program, shown as it runs.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

POOLS = {
    "sdss_boss_pool": "fits",
    "lamost_lrs_pool": "csv",
    "miles_stars": "parquet",
    "pyhammer_sdss_templates": "fits",
    "mastar_hc_templates": "parquet",
}
RAW = ("format_zoo/raw", "harps_acenB_timeseries/raw_examples", "apogee_samples/raw",
       "gaia_dr3_samples/raw", "calspec_standards/raw_examples", "ondrejov_ccd700/raw",
       "lamost_lrs_pool/raw_examples", "desi_coadds/raw", "galah_dr6_sample/raw")  # fmt: skip
EPOCHS = "4"


class Tour:
    """Runs the steps and remembers the pictures."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.archive = out / "archive"
        self.pictures: list[Path] = []

    def run(self, *words: str, show: bool = True) -> str:
        """One spectrarium command; its output is shown, or returned when `show` is false."""
        command = [*words, "--archive", str(self.archive)]
        if show:
            print(f"\n$ spectrarium {shlex.join(command)}", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", "spectrarium.cli.main", *command], check=False, text=True,
            stdout=None if show else subprocess.PIPE,
        )  # fmt: skip
        if done.returncode:
            sys.exit(f"spectrarium {words[0]} ended with exit code {done.returncode}")
        return done.stdout or ""

    def find(self, where: str) -> list[dict[str, object]]:
        """Records that meet a filter, best S/N first."""
        records = json.loads(self.run("find", "--where", where, "-n", "0", "--json", show=False))
        return sorted(records, key=lambda r: -(r["snr"] or 0))

    def picture(self, name: str, *words: str) -> None:
        """A command that writes a picture."""
        path = self.out / name
        self.run(*words, "--plot", str(path))
        more = sorted(self.out.glob(f"{path.stem}-[0-9]*{path.suffix}"))
        self.pictures += [path, *more]


def from_pools(tour: Tour, data: Path) -> Path:
    """Unpack pools as ordinary files, ingest them with original files; returns a held-out file."""
    files = tour.out / "files"
    for pool, form in POOLS.items():
        subprocess.run(
            [sys.executable, str(data / "unpack.py"), pool, str(files / pool), "--format", form],
            check=True, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
    held_out = tour.out / "uploaded.fits"
    shutil.move(_a_star(data, files / "sdss_boss_pool"), held_out)
    tour.run("ingest", str(files), *(str(data / folder) for folder in RAW))
    tour.run("status")
    for pool, name in (("sdss_boss_pool", "sdss"), ("miles_stars", "miles")):
        tour.run("catalogue", "add", str(data / pool / "index.csv"), "--key", "obs_id",
                 "--on", "spec_id", "--name", name, "--columns",
                 "obj_class,obj_subclass,z,teff,logg,feh")  # fmt: skip
    return held_out


def _a_star(data: Path, folder: Path) -> Path:
    """The file of a well-exposed star, to be kept out of the archive and asked about."""
    with open(data / "sdss_boss_pool" / "index.csv", newline="") as handle:
        rows = [r for r in csv.DictReader(handle) if r["obj_class"] == "STAR" and r["snr"]]
    best = max(rows, key=lambda r: float(r["snr"]) if r["obj_subclass"].startswith("M") else 0.0)
    return folder / f"{best['spec_id']}.fits"


def from_mock(tour: Tour) -> Path:
    """A mock survey; returns a held-out file."""
    files = tour.out / "files"
    print("no real spectra (SPECTRARIUM_DATA is not set): making a mock survey", flush=True)
    subprocess.run([sys.executable, "-m", "spectrarium.cli.main", "mock", str(files), "-n", "600"],
                   check=True)  # fmt: skip
    held_out = tour.out / "uploaded.fits"
    shutil.move(_a_mock_star(files / "truth.ecsv"), held_out)
    tour.run("ingest", str(files / "spectra"), "--collection", "MOCK")
    tour.run("status")
    tour.run("catalogue", "add", str(files / "truth.ecsv"), "--key", "obs_id")
    return held_out


def _a_mock_star(truth: Path) -> Path:
    """The file of a well-exposed mock M dwarf, to be kept out of the archive and asked about."""
    from astropy.table import Table

    table = Table.read(truth, format="ascii.ecsv")
    stars = table[(table["subclass"] == "MV") & (table["layout"] == "sdss")]
    return truth.parent / str(stars["file"][stars["snr"].argmax()])


def meaning(tour: Tour, temperature: str, example: str) -> None:
    """Labels with errors, a map, and what the numbers of a model mean."""
    tour.run("tag", "train", "--label", temperature, "--unit", "K", "--head", "ridge")
    tour.run("tag", "apply")
    tour.picture("tags.png", "tags", "--label", "teff")
    tour.run("tags", example)
    tour.picture("map.png", "map", "--encoder", "patch", "--colour", "class")
    tour.picture("latents.png", "meaning", "--encoder", "pca")


def page(archive: Path) -> None:
    """The page: for a person it opens and stays; in a script it is shown to answer, and ends."""
    command = ["serve", "--archive", str(archive)]
    program = [sys.executable, "-m", "spectrarium.cli.main"]
    print(f"\n$ spectrarium {shlex.join(command)}", flush=True)
    if sys.stdin.isatty() and sys.stdout.isatty():
        subprocess.run([*program, *command], check=False)
        return
    with subprocess.Popen(
        [*program, *command, "--port", "0", "--no-browser"], text=True, stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as server:  # fmt: skip
        try:
            url = next((m[0] for line in server.stdout or () if
                        (m := re.search(r"http://[\w.:]+", line))), "")  # fmt: skip
            if not url:
                sys.exit("the page could not be served")
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"{url}/api/archive", timeout=60) as answer:
                facts = json.load(answer)
            with opener.open(url, timeout=60) as answer:
                built = b"<script" in answer.read()
            said = "answers" if built else "is not built (make page), but its server answers"
            print(f"The page {said}: {facts['count']:,} spectra. The command above opens it.")
        finally:
            server.send_signal(signal.SIGINT)


def main() -> None:
    """Run the tour."""
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--out", type=Path, default=Path("demo-output"))
    ask.add_argument("--mock", action="store_true", help="use the mock survey in any case")
    ask.add_argument("--no-page", action="store_true", help="do not open the page at the end")
    words = ask.parse_args()
    began = time.monotonic()
    shutil.rmtree(words.out, ignore_errors=True)
    words.out.mkdir(parents=True)
    tour = Tour(words.out)
    data = Path(os.environ.get("SPECTRARIUM_DATA") or "/nowhere")
    real = data.is_dir() and not words.mock
    held_out = from_pools(tour, data) if real else from_mock(tour)
    tour.run("embed", "--encoder", "pca")
    tour.run("train", "patch", "--epochs", EPOCHS)  # a taste: the default learns longer
    tour.run("embed", "--encoder", "patch")
    labels = "sdss" if real else "truth"
    quasars = tour.find(f"{labels}.obj_class = 'QSO' AND snr > 5")
    example = str(quasars[len(quasars) // 4]["obs_id"])
    tour.picture("similar.png", "similar", example, "-k", "8")
    tour.picture("similar-to-upload.png", "similar", str(held_out), "-k", "8")
    tour.picture("outliers.png", "outliers", "-k", "12", "--explain", "--encoder", "pca")
    meaning(tour, "miles.teff" if real else "truth.teff", example)
    if real:
        harps = tour.find("instrument_name = 'HARPS' AND target_name = 'HD128621'")
        tour.picture(
            "harps-halpha.png", "show", str(harps[0]["obs_id"]), "--window", "6500", "6620"
        )
    else:
        tour.picture("spectrum.png", "show", example)
    print(f"\nDone in {time.monotonic() - began:.0f} s. Pictures:")
    for path in dict.fromkeys(tour.pictures):
        print(f"  {path}")
    print("Next, ask something of your own, for example:")
    print(f"  .venv/bin/spectrarium outliers --score density -k 10 --archive {tour.archive}")
    if not words.no_page:
        page(tour.archive)


if __name__ == "__main__":
    main()
