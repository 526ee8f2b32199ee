"""The page on real data: what became of every file, measured by reading them all."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from pages import table

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "e2e"))

from real_data_archive import Filled, fill  # noqa: E402
from real_data_truth import FOLDERS, FORMATS, NO_UNIT_FOLDERS, POOLS  # noqa: E402

from spectrarium.read.registry import readers  # noqa: E402

HEAD = ("medium", "frame", "flux unit", "errors", "mask")
FATES = ("files", "spectra", "no spectrum", "quarantined")
SHOWN = 3


def real_data_page(data: Path) -> str:
    """docs/real-data.md: the same ingest as tests/e2e/test_real_data.py asserts, in tables."""
    with tempfile.TemporaryDirectory() as scratch:
        filled = fill(data, lambda name: Path(scratch) / name)
        store = filled.archive.store
        seen = store.catalogue(store.find()).to_pandas()
        pools = seen[seen.access_path.str.startswith(str(filled.pools))]
        declared = seen.access_path.str.startswith(tuple(str(data / f) for f in NO_UNIT_FOLDERS))
        return _page(filled, pools, seen[~seen.index.isin(pools.index) & ~declared])


def _page(filled: Filled, pools: pd.DataFrame, originals: pd.DataFrame) -> str:
    files = filled.reports["originals"].files
    written = [filled.reports[kind] for kind in FORMATS]
    return f"""# Real data

Measured by `make docs` on the real spectra that `SPECTRARIUM_DATA` names, through the same ingest
whose every number `tests/e2e/test_real_data.py` and `test_real_files.py` assert: samples equal to
the last bit, labels and coordinates equal to the pools' own index, each refusal true.

{len(POOLS)} pools with {len(pools):,} spectra, written out as FITS, CSV and Parquet by the pools'
own program, and {files} original files of {len(FOLDERS)} instruments and surveys. *None* means
that the files give none; *unknown* that they do not say. Nothing is filled in.

## Original files, by format

{table(("reader", "format", *FATES, *HEAD), _by_reader(filled, originals))}
Spectra counts what the files hold. An observation that several files hold (the same coefficients
as CSV, ECSV, FITS and VOTable) is stored once, as versions where a file's rounding differs.

## Recognised, and no spectrum

{table(("what", "files"), _no_spectra(filled))}
## In quarantine, with the reason

{table(("file", "items", "code", "reason", "remedy"), _refused(filled))}
The text files without a unit are read once it is declared: with `--wave-unit Angstrom`
{filled.reports["declared"].stored} of {filled.reports["declared"].files} are stored. Nothing else
here is a usable spectrum: fibres without a single measured pixel, a test file cut to ten pixels,
a licence text.

## Pools

{table(("pool", "written out as", "spectra", *HEAD), _by_pool(filled, pools))}
Stored: {sum(r.stored for r in written):,}; in quarantine: {sum(r.quarantined for r in written)}.
A pool written out in three formats is in the archive once, with the earlier contents as versions.
"""


def _by_reader(filled: Filled, originals: pd.DataFrame) -> list[tuple[object, ...]]:
    titles = {r.name: r.title for r in readers()}
    rows = []
    receipts = [r for r in filled.receipts if r["status"] != "bad_item"]
    for name, title in titles.items():
        mine = [r for r in receipts if r["reader"] == name and _original(filled, r["path"])]
        if mine:
            fates = (
                len(mine), sum(r["n_stored"] + r["n_unchanged"] for r in mine),
                sum(r["status"] == "not_a_spectrum" for r in mine),
                sum(r["n_quarantined"] for r in mine),
            )  # fmt: skip
            kept = originals[originals.reader == name]
            rows.append((f"`{name}`", title, *fates, *_facts(kept)))
    return rows


def _original(filled: Filled, path: str) -> bool:
    return path.startswith(str(filled.data))


def _by_pool(filled: Filled, pools: pd.DataFrame) -> list[tuple[object, ...]]:
    pool = pools.access_path.str[len(str(filled.pools)) + 1 :].str.split("/").str[1]
    return [
        (name, ", ".join(POOLS[name]), (pool == name).sum(), *_facts(pools[pool == name]))
        for name in sorted(POOLS)
    ]


def _facts(seen: pd.DataFrame) -> tuple[str, ...]:
    """Medium, frame, unit, errors and mask of some observations, each with its share."""
    units = seen.flux_unit.map({"": "dimensionless"}).fillna(seen.flux_unit).fillna("unknown")
    flags = seen.has_flags.map({True: "known", False: "none"})
    return tuple(
        _shares(column) for column in
        (seen.medium, seen.specsys, units, seen.uncertainty_kind, flags)
    )  # fmt: skip


def _shares(values: Iterable[Any]) -> str:
    counts = Counter(str(v) for v in values).most_common()
    if not counts:
        return "–"
    if len(counts) == 1:
        return counts[0][0]
    shown = [f"{value} {count}" for value, count in counts[:SHOWN]]
    rest = sum(count for _, count in counts[SHOWN:])
    return ", ".join(shown + ([f"others {rest}"] if rest else []))


def _no_spectra(filled: Filled) -> list[tuple[str, int]]:
    notes = Counter(
        r["reason"] for r in filled.receipts
        if r["status"] == "not_a_spectrum" and _original(filled, r["path"])
    )  # fmt: skip
    return sorted(notes.items())


def _refused(filled: Filled) -> list[tuple[object, ...]]:
    """One line for each file and code; the first reason stands for those of its kind."""
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for item in filled.refused:
        path = str(Path(item["path"]).relative_to(filled.data))
        grouped.setdefault((path, item["code"]), []).append(item)
    return [
        (path, len(items), f"`{code}`", items[0]["reason"], items[0]["remedy"])
        for (path, code), items in sorted(grouped.items())
    ]
