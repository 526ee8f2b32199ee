"""Hα out of 300 HARPS spectra in one call of SODA, beside astropy cutting 300 FITS files.

    python benchmarks/speed/soda.py [--spectra 300] [--repeat 7]

HARPS-like spectra of 313,156 samples (0.01 Å, air, float32) in an archive, and as one FITS image
each. Spectrarium answers HTTP requests on loopback: BAND = 6553 … 6573 Å in vacuum, everything as
one VOTable, as one FITS table, and as a trailed image on a common grid; the whole answer is read.
The peer opens each file with astropy (mapped into memory), converts its wavelengths to vacuum as
the service does, cuts the same samples out and writes one FITS table of them. Everything is in the
page cache. Checks that both cut out the same samples. Prints a table, writes results/soda.json.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import threading
import urllib.request
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import uvicorn
from astropy.io import fits
from support.record import interleaved, machine, write
from support.spectra import N_HARPS, harps_like

import spectrarium as sp
from spectrarium.measure.airvac import air_to_vac, vac_to_air
from spectrarium.serve.app import create_app
from spectrarium.serve.running import listening_socket

BAND_AA = (6553.0, 6573.0)
TARGET_S = 2.0
FORMATS = {"VOTable": {"RESPONSEFORMAT": "votable"}, "FITS table": {"RESPONSEFORMAT": "fits"},
           "trailed image": {"RESPONSEFORMAT": "image/fits", "RESAMPLE": "R 300000"}}  # fmt: skip


class Server:
    """A server of an archive on loopback, in a thread."""

    def __init__(self, archive: Path) -> None:
        self.socket = listening_socket("127.0.0.1", 0)
        port = self.socket.getsockname()[1]
        app = create_app(archive, archive.with_suffix(".people.sqlite"), port=port)
        self.server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none"))
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)
        self.base = f"http://127.0.0.1:{port}"

    def __enter__(self) -> Server:
        self.thread.start()
        while not self.server.started:
            self.thread.join(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        self.socket.close()

    def soda(self, n: int, **more: str) -> bytes:
        """The answer to one request for n spectra."""
        band = " ".join(f"{1e-10 * end:.6g}" for end in BAND_AA)
        asked = [("ID", f"ivo://spectrarium.local/HARPS?HARPS.{i:04d}") for i in range(n)]
        body = urlencode([*asked, ("BAND", band), *more.items()]).encode()
        with urllib.request.urlopen(f"{self.base}/vo/soda/sync", body, timeout=120) as answer:
            found: bytes = answer.read()
        return found


def by_astropy(folder: Path, n: int) -> bytes:
    """The same samples, out of FITS files."""
    rows = []
    low, high = (float(vac_to_air(w)) for w in BAND_AA)
    for i in range(n):
        with fits.open(folder / f"HARPS.{i:04d}.fits") as hdus:
            h = hdus[0].header
            first = int(np.ceil((low - h["CRVAL1"]) / h["CDELT1"] - 1e-9))
            last = int(np.floor((high - h["CRVAL1"]) / h["CDELT1"] + 1e-9))
            flux = np.array(hdus[0].data[first : last + 1])
            wave = h["CRVAL1"] + h["CDELT1"] * np.arange(first, last + 1)
            rows.append((air_to_vac(wave), flux))
    size = rows[0][1].size
    columns = [
        fits.Column("WAVE", f"{size}D", array=np.array([w for w, _ in rows])),
        fits.Column("FLUX", f"{size}E", array=np.array([f for _, f in rows])),
    ]
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(out)
    return out.getvalue()


def make(folder: Path, n: int) -> Path:
    """The archive, and the files beside it."""
    archive = sp.open(folder / "archive")
    (folder / "fits").mkdir()
    spectra = harps_like(n)
    while some := list(islice(spectra, 50)):
        archive.ingest(some, workers=0)
        for s in some:
            image = fits.PrimaryHDU(s.flux)
            image.header["CRVAL1"], image.header["CDELT1"] = 3781.0, 0.01
            image.writeto(folder / "fits" / f"{s.observation.obs_id}.fits")
    return folder / "archive"


def verify(server: Server, folder: Path, n: int) -> int:
    """Both cut out the same samples; how many of one spectrum."""
    with fits.open(io.BytesIO(server.soda(n, RESPONSEFORMAT="fits", MEDIUM="vacuum"))) as ours, \
            fits.open(io.BytesIO(by_astropy(folder, n))) as theirs:  # fmt: skip
        mine, peer = ours["SPECTRA"].data, theirs[1].data
        for i in range(n):
            if not np.array_equal(mine["flux"][i], peer["FLUX"][i]):
                raise SystemExit(f"spectrum {i} was cut otherwise")
            if not np.allclose(mine["wavelength"][i], peer["WAVE"][i], rtol=0, atol=1e-8):
                raise SystemExit(f"spectrum {i} has other wavelengths")
        return len(peer["FLUX"][0])


def main() -> None:
    """Run, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spectra", type=int, default=300)
    parser.add_argument("--repeat", type=int, default=7)
    args = parser.parse_args()
    where = machine()
    n = args.spectra
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Server(make(folder, n)) as server:
            samples = verify(server, folder / "fits", n)
            works: dict[str, Callable[[], Any]] = {
                form: lambda more=more: server.soda(n, **more) for form, more in FORMATS.items()
            }
            works["astropy, 1 file a spectrum"] = lambda: by_astropy(folder / "fits", n)
            times = interleaved(works, args.repeat)
            sizes = {form: len(work()) for form, work in works.items()}
    print(f"{n} spectra, {samples} samples each")
    for form, seconds in times.items():
        print(f"{form:28}{seconds:8.3f} s{sizes[form] / 1e6:10.1f} MB")
    peer = times["astropy, 1 file a spectrum"]
    write("soda", {
        "spectra": n, "samples_of_a_spectrum": N_HARPS, "samples_cut_out": samples,
        "repeat": args.repeat, "statistic": "median", "target_s": TARGET_S, "seconds": times,
        "bytes": sizes, "times_faster_than_astropy": {f: peer / t for f, t in times.items()},
        "where": where,
    })  # fmt: skip


if __name__ == "__main__":
    main()
