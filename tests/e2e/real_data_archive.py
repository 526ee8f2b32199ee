"""One archive of all the real data, filled once a run and shared by the test modules."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from real_data_truth import FOLDERS, FORMATS, NO_UNIT_FOLDERS, POOLS

import spectrarium as sp
from spectrarium.run.ingest import IngestReport


@dataclass
class Filled:
    """The archive, and what each step of filling it reported.

    written : (pool, format) → what unpack.py printed · reports : step → IngestReport
    refused, receipts : quarantine and receipts before any unit was declared
    """

    data: Path
    pools: Path
    archive: sp.Archive
    written: dict[tuple[str, str], str] = field(default_factory=dict)
    reports: dict[str, IngestReport] = field(default_factory=dict)
    refused: list[dict[str, Any]] = field(default_factory=list)
    receipts: list[dict[str, Any]] = field(default_factory=list)


@lru_cache(maxsize=1)
def fill(data: Path, folder: Callable[[str], Path]) -> Filled:
    """Pools written out by their own unpack.py and ingested format by format, then originals."""
    root = folder("real")
    out = Filled(data, root / "pools", sp.open(root / "archive"))
    jobs = [(pool, kind) for pool, kinds in POOLS.items() for kind in kinds]
    with ThreadPoolExecutor(2) as pair:
        texts = pair.map(lambda job: _unpack(data, out.pools, *job), jobs)
        out.written = dict(zip(jobs, texts, strict=True))
    for kind in FORMATS:
        out.reports[kind] = out.archive.ingest([out.pools / kind], workers=2)
    originals = [data / name for name in FOLDERS]
    out.reports["originals"] = out.archive.ingest(originals, workers=2)
    out.refused = out.archive.quarantine()
    out.receipts = out.archive.store.receipts().to_pylist()
    no_unit = [data / name for name in NO_UNIT_FOLDERS]
    out.reports["declared"] = out.archive.ingest(no_unit, workers=0, wave_unit="Angstrom")
    return out


def _unpack(data: Path, pools: Path, pool: str, kind: str) -> str:
    target = pools / kind / pool
    done = subprocess.run(
        [sys.executable, data / "unpack.py", pool, target, "--format", kind],
        capture_output=True, text=True, timeout=600, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()
