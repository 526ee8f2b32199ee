"""Looking things up among a million observations: cones and conditions.

    python benchmarks/speed/cone.py [--rows 1000000] [--repeat 200]

A catalogue of a million rows is written through the archive's own writer (the rows share the
pixels of a thousand tiny spectra, which a look-up never touches). Cones of 1′ are centred within
42″ of an observation; the whole way is timed, to the rows and to the table that a user gets. Peers
in the same run, the catalogue in memory: `SkyCoord.separation` over everything, and DuckDB's
haversine over RA and Dec. All must find the same rows. Writes results/cone.json.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import astropy.units as u
import duckdb
import numpy as np
import pyarrow as pa
from astropy.coordinates import SkyCoord
from support.record import machine, write
from support.spectra import sdss_like

import spectrarium as sp
from spectrarium.store.archive import Archive
from spectrarium.store.codec import encode, uid_of
from spectrarium.store.writer import Batch, BatchBuilder, open_writer

RADIUS_DEG = 1 / 60
N_SPECTRA, STEP = 1000, 100_000
CONDITIONS = {
    "number": "snr > 60",
    "text and number": "instrument_name = 'HARPS' AND snr > 20 AND redshift < 0.01",
    "like": "target_name LIKE 'HD 1234%'",
}
TARGET_MS = 5.0
HAVERSINE = """
SELECT row FROM sky WHERE 2 * asin(sqrt(pow(sin(radians(dec - $dec) / 2), 2) + cos(radians($dec))
* cos(radians(dec)) * pow(sin(radians(ra - $ra) / 2), 2))) <= radians($radius)"""


def fill(root: Path, n: int) -> None:
    """An archive whose catalogue has n rows."""
    rng = np.random.default_rng(1)
    with open_writer(root) as writer:
        builder = BatchBuilder(root)
        for spectrum in sdss_like(0, N_SPECTRA, n_pix=12):
            builder.add(encode(spectrum), spectrum)
        first = builder.build()
        assert first.catalogue is not None
        template = first.catalogue
        first.catalogue = None
        writer.stage(first)
        for start in range(0, n, STEP):
            rows = np.arange(start, min(start + STEP, n))
            writer.stage(Batch(catalogue=_rows(template, rows, rng)))
        writer.commit()
        writer.build_index()


def _rows(template: pa.Table, rows: np.ndarray[Any, Any], rng: np.random.Generator) -> pa.Table:
    """Catalogue rows of their own, with the pixels of the template's rows."""
    n = len(rows)
    table = template.take(pa.array(rows % template.num_rows))
    ids = [f"obs-{i:07d}" for i in rows]
    columns = {
        "obs_id": ids, "uid": [uid_of("SDSS", i) for i in ids], "fingerprint": rows,
        "target_name": [f"HD {i}" for i in rows],
        "s_ra": rng.uniform(0, 360, n), "s_dec": np.degrees(np.arcsin(rng.uniform(-1, 1, n))),
        "snr": rng.exponential(20, n), "redshift": rng.exponential(0.5, n),
        "instrument_name": rng.choice(["BOSS", "HARPS", "LRS"], n, p=[0.6, 0.1, 0.3]),
        # relative to the batch, which has no pixels of its own
        "pixel_row": rows % template.num_rows - template.num_rows,
    }  # fmt: skip
    for name, values in columns.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, pa.array(values, table.schema.field(name).type))
    return table


def median_ms(works: dict[str, Callable[[int], Any]], repeat: dict[str, int]) -> dict[str, float]:
    """Median ms of each, taking turns; call number i gets i."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for i in range(max(repeat.values())):
        for name, work in works.items():
            if i < repeat[name]:
                began = time.perf_counter()
                work(i)
                times[name].append(time.perf_counter() - began)
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def cones(root: Path, n: int, repeat: int) -> dict[str, Any]:
    """Cones by four ways, checked against each other."""
    archive, front = Archive(root), sp.open(root)
    ra, dec = archive.index.column("s_ra"), archive.index.column("s_dec")
    rng = np.random.default_rng(2)
    near = rng.integers(0, n, repeat + 1)
    off_ra, off_dec = rng.uniform(-1, 1, (2, repeat + 1)) / 120
    centre_ra = (ra[near] + off_ra / np.cos(np.radians(dec[near]))) % 360
    centre_dec = np.clip(dec[near] + off_dec, -90, 90)
    sky = SkyCoord(ra, dec, unit="deg")
    db = duckdb.connect(config={"threads": 2})
    db.register("arrays", pa.table({"row": np.arange(n), "ra": ra, "dec": dec}))
    db.execute("CREATE TABLE sky AS SELECT * FROM arrays")

    def ours(i: int) -> set[int]:
        return set(archive.cone(centre_ra[i], centre_dec[i], RADIUS_DEG)[0].tolist())

    def whole(i: int) -> pa.Table:
        return front.find(cone=(centre_ra[i], centre_dec[i], RADIUS_DEG))

    def astropy(i: int) -> set[int]:
        centre = SkyCoord(centre_ra[i], centre_dec[i], unit="deg")
        return set(np.flatnonzero(sky.separation(centre) <= RADIUS_DEG * u.deg).tolist())

    def haversine(i: int) -> set[int]:
        values = {"ra": centre_ra[i], "dec": centre_dec[i], "radius": RADIUS_DEG}
        return {row for (row,) in db.execute(HAVERSINE, values).fetchall()}

    works: dict[str, Callable[[int], Any]] = {
        "spectrarium, rows": ours, "spectrarium, table of 12 columns": whole,
        "duckdb haversine": haversine, "astropy SkyCoord.separation": astropy,
    }  # fmt: skip
    began = time.perf_counter()
    ours(repeat)
    first = 1e3 * (time.perf_counter() - began)
    found = 0
    for i in range(10):
        answers = [ours(i), haversine(i), astropy(i)]
        if answers[0] != answers[1] or answers[0] != answers[2] or not answers[0]:
            raise SystemExit(f"cone {i}: {answers}")
        if whole(i).num_rows != len(answers[0]):
            raise SystemExit(f"cone {i}: the table has another length")
        found += len(answers[0])
    slow = max(5, repeat // 20)
    often = {name: slow if name.startswith("astropy") else repeat for name in works}
    return {"ms": median_ms(works, often), "first_ms": first, "rows_found_in_10": found}


def conditions(root: Path, repeat: int) -> dict[str, Any]:
    """`find(where=…)` over everything; the first call reads its columns."""
    archive = Archive(root)
    out: dict[str, Any] = {}
    for name, where in CONDITIONS.items():
        began = time.perf_counter()
        rows = archive.find(where)
        first = 1e3 * (time.perf_counter() - began)
        ms = median_ms({name: lambda _, w=where: archive.find(w)}, {name: repeat})[name]
        out[name] = {"where": where, "rows": len(rows), "first_ms": first, "ms": ms}
    return out


def main() -> None:
    """Run, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=200)
    args = parser.parse_args()
    where = machine(("cdshealpix",))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "archive"
        began = time.perf_counter()
        fill(root, args.rows)
        made = time.perf_counter() - began
        began = time.perf_counter()
        assert len(Archive(root).index.column("uid")) == args.rows
        opened = 1e3 * (time.perf_counter() - began)
        cone = cones(root, args.rows, args.repeat)
        found = conditions(root, max(5, args.repeat // 20))
    print(f"{args.rows} rows, made in {made:.0f} s; archive and index opened in {opened:.0f} ms")
    for name, ms in cone["ms"].items():
        target = f"   target {TARGET_MS:g}" if name.startswith("spectrarium") else ""
        print(f"cone of 1′, {name:36}{ms:10.2f} ms{target}")
    for name, one in found.items():
        print(f"where, {name:41}{one['ms']:10.2f} ms   first {one['first_ms']:.0f}, "
              f"{one['rows']} rows")  # fmt: skip
    rows_ms = cone["ms"]["spectrarium, rows"]
    write("cone", {
        "rows": args.rows, "repeat": args.repeat, "statistic": "median", "target_ms": TARGET_MS,
        "made_s": made, "open_ms": opened, "cone": cone,
        "times_faster_than": {k: v / rows_ms for k, v in cone["ms"].items()
                              if not k.startswith("spectrarium")},
        "where": found, "machine": where,
    })  # fmt: skip


if __name__ == "__main__":
    main()
