"""Median and bands of many spectra: in memory, and from the store to the answer.

    python benchmarks/ui/percentiles.py [--members 20000] [--pixels 4000] [--repeat 5] [--keep]

In memory: 20,000 × 4,000 resampled float32 values with 1 % missing, five percentiles, the count and
the median's error of every pixel; target 2 s. The peer is `numpy.nanpercentile`, and
`numpy.percentile` which knows no missing values, for the five percentiles alone; all take turns in
one process. From the store: what a lasso of `--lasso` spectra of `--samples` samples waits for,
the first time (nothing resampled yet), again on the same grid, and on another one; target 1 s when
warm. Drawing: one spectrum of 313,156 samples, whole and a 1 % window.
Writes results/percentiles.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))
from support.record import interleaved, machine, timed

import spectrarium as sp
from spectrarium.domain.axis import Medium, SpecSys, SpectralAxis
from spectrarium.domain.observation import Observation, Provenance
from spectrarium.domain.spectrum import Spectrum, UncertaintyKind
from spectrarium.measure.percentiles import BANDS, column_percentiles
from spectrarium.run.members import Members, Wish
from spectrarium.run.opened import View, drawn_row
from spectrarium.run.stack import stacked

TARGETS = {"in_memory_s": 2.0, "lasso_warm_s": 1.0, "spectrum_first_s": 0.06}
LONG = 313_156


def in_memory(members: int, pixels: int, repeat: int) -> dict[str, Any]:
    """Seconds of ours and of the peers over one array."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((members, pixels), np.float32)
    whole = values.copy()
    values[rng.random(values.shape, np.float32) < 0.01] = np.nan
    shares = [100.0 * q for q in BANDS]
    works = {
        "spectrarium": lambda: column_percentiles(values),
        "spectrarium, one thread": lambda: column_percentiles(values, threads=1),
        "numpy.nanpercentile": lambda: np.nanpercentile(values, shares, axis=0),
        "numpy.percentile, none missing": lambda: np.percentile(whole, shares, axis=0),
    }
    found = interleaved(works, repeat)
    ours, theirs = column_percentiles(values[:, :50])[0], np.nanpercentile(
        values[:, :50], shares, axis=0)  # fmt: skip
    return {"members": members, "pixels": pixels, "seconds": found,
            "largest_difference": float(np.abs(ours - theirs).max())}  # fmt: skip


def spectra(number: int, samples: int) -> Iterator[Spectrum]:
    """Spectra of one survey: errors, flags, levels of their own; then a long one."""
    rng = np.random.default_rng(1)
    wave = 3800.0 * np.exp(np.arange(samples) * np.log(9200.0 / 3800.0) / samples)
    for i in range(number):
        flux = (rng.lognormal() * (1.0 + 0.1 * rng.standard_normal(samples))).astype(np.float32)
        yield _one(f"s{i}", wave, flux, np.full(samples, 100.0, np.float32),
                   rng.integers(0, 2, samples).astype(np.int32) << 20)  # fmt: skip
    wave = np.linspace(3780.0, 6910.0, LONG)
    yield _one("long", wave, rng.standard_normal(LONG).astype(np.float32), None, None)


def _one(name: str, wave: Any, flux: Any, ivar: Any, flags: Any) -> Spectrum:
    return Spectrum(
        axis=SpectralAxis("Angstrom", values=wave, medium=Medium.VACUUM, specsys=SpecSys.BARYCENT),
        flux=flux, uncertainty=ivar, observation=Observation("B", obs_id=name),
        uncertainty_kind=UncertaintyKind.NONE if ivar is None else UncertaintyKind.IVAR,
        flux_unit="erg s-1 cm-2 Angstrom-1", provenance=Provenance("memory", "benchmark"),
    )  # fmt: skip


def from_store(folder: Path, lasso: int, samples: int, repeat: int) -> dict[str, float]:
    """Seconds from rows to the answer, and from an id to what is drawn."""
    archive = sp.open(folder / "archive")
    archive.ingest(list(spectra(lasso, samples)), workers=0)
    store = archive.store
    rows = store.find("obs_id != 'long'")
    stacked(store, rows[:10], Wish())  # the compiled code is loaded
    members = Members(store)
    out = {
        "lasso_first_s": timed(lambda: stacked(store, rows, Wish(), members=members)),
        "lasso_other_grid_s": timed(lambda: stacked(store, rows, Wish(width=700), members=members)),
        "lasso_warm_s": statistics.median(
            timed(lambda: stacked(store, rows, Wish(), members=members)) for _ in range(repeat)),
    }  # fmt: skip
    row = store.resolve("B:long")
    fresh = [timed(lambda: drawn_row(sp.open(folder / "archive").store, row, View()).table())
             for _ in range(repeat)]  # fmt: skip
    out["spectrum_first_s"] = statistics.median(fresh)
    for name, view in (("spectrum_again_s", View()),
                       ("spectrum_window_s", View(lo_aa=5000.0, hi_aa=5031.0))):  # fmt: skip
        out[name] = statistics.median(
            timed(lambda v=view: drawn_row(store, row, v).table()) for _ in range(repeat)
        )
    return out


def main() -> None:
    """Run, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("members", 20_000), ("pixels", 4000), ("lasso", 2000),
                          ("samples", 4000), ("repeat", 5)):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--keep", action="store_true", help="write the result")
    args = parser.parse_args()
    where = machine(("numba", "scipy"))
    memory = in_memory(args.members, args.pixels, args.repeat)
    with tempfile.TemporaryDirectory() as folder:
        store = from_store(Path(folder), args.lasso, args.samples, args.repeat)
    result = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"), "targets": TARGETS,
        "in_memory": memory, "lasso": args.lasso, "samples": args.samples, "from_store": store,
        "statistic": f"median of {args.repeat}, wall", "machine": where,
    }  # fmt: skip
    for name, seconds in (memory["seconds"] | store).items():
        print(f"{name:34}{seconds:9.3f} s")
    if args.keep:
        path = Path(__file__).parent / "results" / "percentiles.json"
        path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
