"""Getting spectra back, warm: one, a hundred, a window, all. Spectrarium beside three peers.

    python benchmarks/speed/access.py [--spectra 20000] [--repeat 300]

20,000 SDSS-like spectra (flux, inverse variance, flags: 55 kB each) and 50 HARPS-like ones of
313,156 samples, in an archive, and as peers: one FITS file each read by astropy (2,000 of them),
one HDF5 file read by h5py (a chunk a spectrum, not compressed), one Parquet file read by pyarrow
(row groups of 256). Everything is open and in the page cache; each peer knows the row or path of
an id from a dict. A Spectrarium read gives a whole `Spectrum` with its observation, wavelengths and
units, the peers' give the three arrays. Prints a table and writes results/access.json.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from support.record import machine, write
from support.spectra import N_HARPS, N_SDSS, harps_like, sdss_like

import spectrarium as sp
from spectrarium.domain.spectrum import Spectrum

N_FITS, N_LONG, GROUP = 2000, 50, 256
STEP = 8 * GROUP
WINDOW = (5890.0, 5891.0 - 0.005)
"""100 samples of 0.01 Å."""
TARGETS = {"one_ms": 1.0, "hundred_ms": 15.0, "window_ms": 1.0, "scan_gb_s": 1.0}
Contender = dict[str, Callable[[], Any]]


class Stores:
    """The same spectra, stored four ways."""

    def __init__(self, folder: Path, n: int) -> None:
        self.folder, self.n = folder, n
        self.ids: list[str] = []
        archive = sp.open(folder / "archive")
        self.h5 = h5py.File(folder / "peer.h5", "w")
        shape = {"shape": (n, N_SDSS), "chunks": (1, N_SDSS)}
        arrays = [self.h5.create_dataset("flux", dtype="f4", **shape),
                  self.h5.create_dataset("ivar", dtype="f4", **shape),
                  self.h5.create_dataset("flags", dtype="i4", **shape)]  # fmt: skip
        lists = pa.schema([("flux", pa.list_(pa.float32())), ("ivar", pa.list_(pa.float32())),
                           ("flags", pa.list_(pa.int32()))])  # fmt: skip
        (folder / "fits").mkdir()
        with pq.ParquetWriter(folder / "peer.parquet", lists, use_dictionary=False,
                              compression="none") as parquet:  # fmt: skip
            for start in range(0, n, STEP):
                spectra = list(sdss_like(start, min(start + STEP, n)))
                archive.ingest(spectra)
                self._peers(start, spectra, arrays, parquet, lists)
        long = list(harps_like(N_LONG))
        archive.ingest(long)
        self.h5["long"] = np.stack([s.flux for s in long])
        for s in long:
            fits.PrimaryHDU(s.flux).writeto(folder / "fits" / f"{s.observation.obs_id}.fits")
        self.h5.close()
        self.h5 = h5py.File(folder / "peer.h5")
        self.parquet = pq.ParquetFile(folder / "peer.parquet", memory_map=True)
        self.archive = archive.refresh().store
        self.row = {obs_id: i for i, obs_id in enumerate(self.ids)}

    def _peers(
        self, start: int, spectra: list[Spectrum], arrays: list[Any], parquet: pq.ParquetWriter,
        schema: pa.Schema,
    ) -> None:  # fmt: skip
        self.ids += [str(s.observation.obs_id) for s in spectra]
        columns = [np.stack([getattr(s, name) for s in spectra])
                   for name in ("flux", "uncertainty", "flags")]  # fmt: skip
        for dataset, column in zip(arrays, columns, strict=True):
            dataset[start : start + len(spectra)] = column
        ends = np.arange(0, (len(spectra) + 1) * N_SDSS, N_SDSS, dtype=np.int32)
        flat = [pa.ListArray.from_arrays(ends, column.reshape(-1)) for column in columns]
        parquet.write_table(pa.Table.from_arrays(flat, schema=schema), row_group_size=GROUP)
        for s in spectra[: max(0, N_FITS - start)]:
            table = np.rec.fromarrays([s.flux, s.uncertainty, s.flags], names="flux,ivar,flags")
            fits.BinTableHDU(table).writeto(self.folder / "fits" / f"{s.observation.obs_id}.fits")

    def fits_path(self, obs_id: str) -> str:
        return str(self.folder / "fits" / f"{obs_id}.fits")


def read_fits(path: str) -> list[Any]:
    """Three arrays of one file."""
    with fits.open(path, memmap=False) as hdus:
        table = hdus[1].data
        return [np.array(table[name]) for name in ("flux", "ivar", "flags")]


def read_parquet(stores: Stores, obs_id: str) -> list[Any]:
    """Three arrays of one row."""
    group, row = divmod(stores.row[obs_id], GROUP)
    table = stores.parquet.read_row_group(group)
    return [table.column(i)[row].values.to_numpy() for i in range(3)]


def single(stores: Stores, rng: random.Random) -> Contender:
    """One spectrum by id."""
    few, h5 = stores.ids[:N_FITS], stores.h5

    def hdf5(obs_id: str) -> list[Any]:
        row = stores.row[obs_id]
        return [h5[name][row] for name in ("flux", "ivar", "flags")]

    return {
        "spectrarium": lambda: stores.archive.read(rng.choice(stores.ids)),
        "h5py": lambda: hdf5(rng.choice(stores.ids)),
        "pyarrow Parquet": lambda: read_parquet(stores, rng.choice(stores.ids)),
        "astropy FITS": lambda: read_fits(stores.fits_path(rng.choice(few))),
    }


def hundred(stores: Stores, rng: random.Random) -> Contender:
    """100 spectra by id, anywhere."""
    archive, one = stores.archive, single(stores, rng)

    def ours() -> list[Spectrum]:
        return archive.read_rows([archive.resolve(i) for i in rng.sample(stores.ids, 100)])

    peers = {name: lambda read=read: [read() for _ in range(100)] for name, read in one.items()}
    return peers | {"spectrarium": ours}


def window(stores: Stores, rng: random.Random) -> Contender:
    """100 samples of a spectrum of 313,156."""
    first = round((WINDOW[0] - 3781.0) / 0.01)

    def pick() -> str:
        return f"HARPS.{rng.randrange(N_LONG):04d}"

    def ours() -> Spectrum:
        got = stores.archive.window(pick(), *WINDOW)
        assert len(got) == 100
        return got

    def astropy() -> Any:
        with fits.open(stores.fits_path(pick())) as hdus:
            return hdus[0].section[first : first + 100]

    return {
        "spectrarium": ours,
        "h5py": lambda: stores.h5["long"][rng.randrange(N_LONG), first : first + 100],
        "astropy FITS": astropy,
    }


def samples(column: pa.Array) -> np.ndarray[Any, Any]:
    """The float32 samples of a batch end to end, without copying."""
    _, ends, data = column.buffers()
    if data is None:
        return np.empty(0, np.float32)
    at = np.frombuffer(ends, np.int64)[column.offset : column.offset + len(column) + 1]
    return np.frombuffer(data, np.uint8)[at[0] : at[-1]].view(np.float32)


def scan(stores: Stores) -> Contender:
    """All flux and inverse variance as matrices, each value touched; bytes given back."""
    short = stores.n * N_SDSS

    def ours() -> int:
        done = 0
        for batch in stores.archive.scan_arrays(("flux", "uncertainty")):
            for column in batch.columns:
                flat = samples(column)
                if flat.size:  # HARPS has no errors
                    flat.max()
                done += flat.nbytes
        return done

    def hdf5() -> int:
        done = 0
        for start in range(0, stores.n, 512):
            for name in ("flux", "ivar"):
                block = stores.h5[name][start : start + 512]
                block.max()
                done += block.nbytes
        return done

    def parquet() -> int:
        done = 0
        for batch in stores.parquet.iter_batches(512, columns=["flux", "ivar"]):
            for column in batch.columns:
                flat = column.flatten().to_numpy()
                flat.max()
                done += flat.nbytes
        return done

    def astropy() -> int:
        done = 0
        for obs_id in stores.ids[:N_FITS]:
            for array in read_fits(stores.fits_path(obs_id))[:2]:
                array.max()
                done += array.nbytes
        return done

    assert hdf5() == 8 * short
    return {"spectrarium": ours, "h5py": hdf5, "pyarrow Parquet": parquet, "astropy FITS": astropy}


def in_turn(works: Contender, repeat: dict[str, int]) -> dict[str, list[tuple[float, Any]]]:
    """(s, what came back) of every call; the contenders take turns."""
    found: dict[str, list[tuple[float, Any]]] = {name: [] for name in works}
    for turn in range(max(repeat.values())):
        for name, work in works.items():
            if turn < repeat[name]:
                began = time.perf_counter()
                result = work()
                found[name].append((time.perf_counter() - began, result))
    return found


def median_ms(works: Contender, repeat: int) -> dict[str, float]:
    """Median ms of each, after a tenth of the calls to warm up; slow ones are called less."""
    often = {name: repeat if name in ("spectrarium", "h5py") else max(3, repeat // 10)
             for name in works}  # fmt: skip
    in_turn(works, {name: max(2, n // 10) for name, n in often.items()})
    return {name: 1e3 * statistics.median(t for t, _ in times)
            for name, times in in_turn(works, often).items()}  # fmt: skip


def verify(stores: Stores, n: int) -> None:
    """What comes back is what went in, bit for bit."""
    for i, want in enumerate(sdss_like(0, STEP)):
        if i >= min(n, 50):
            break
        got = stores.archive.read(str(want.observation.obs_id))
        for a, b in ((got.flux, want.flux), (got.uncertainty, want.uncertainty),
                     (got.flags, want.flags), (got.wave_aa, want.wave_aa)):  # fmt: skip
            if a is None or b is None or a.tobytes() != b.tobytes():
                raise SystemExit(f"{want.observation.obs_id} came back changed")


def main() -> None:
    """Run, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spectra", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=300)
    args = parser.parse_args()
    where = machine(("h5py",))
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        stores = Stores(Path(folder), args.spectra)
        verify(stores, args.spectra)
        rows = {
            "one_ms": median_ms(single(stores, rng), args.repeat),
            "hundred_ms": median_ms(hundred(stores, rng), max(20, args.repeat // 10)),
            "window_ms": median_ms(window(stores, rng), args.repeat),
        }
        passes = in_turn(scan(stores), dict.fromkeys(scan(stores), 5))
        rows["scan_gb_s"] = {name: statistics.median(n / t / 1e9 for t, n in times)
                             for name, times in passes.items()}  # fmt: skip
        stores.h5.close()
    names = list(rows["one_ms"])
    print(f"{'':12}" + "".join(f"{name:>17}" for name in names) + f"{'target':>9}")
    for what, values in rows.items():
        cells = "".join(f"{values[n]:17.3f}" if n in values else f"{'':17}" for n in names)
        print(f"{what:12}{cells}{TARGETS[what]:9.0f}")
    faster = {what: {n: (v / values["spectrarium"]) ** (-1 if what == "scan_gb_s" else 1)
                     for n, v in values.items() if n != "spectrarium"}
              for what, values in rows.items()}  # fmt: skip
    write("access", {
        "spectra": args.spectra, "samples": N_SDSS, "long_spectra": N_LONG,
        "long_samples": N_HARPS, "repeat": args.repeat, "statistic": "median", "targets": TARGETS,
        "measured": rows, "times_faster_than": faster, "where": where,
    })  # fmt: skip


if __name__ == "__main__":
    main()
