"""The record of a benchmark run: medians, the machine, the versions, the date."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"
PACKAGES = ("spectrarium", "numpy", "astropy", "pyarrow", "pylance", "duckdb")


def timed(work: Callable[[], Any]) -> float:
    """Wall time of one call, s."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def interleaved(works: dict[str, Callable[[], Any]], repeat: int) -> dict[str, float]:
    """Median wall time in s of each; all take turns, so that a busy minute hurts all alike."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeat):
        for name, work in works.items():
            times[name].append(timed(work))
    return {name: statistics.median(values) for name, values in times.items()}


def machine(packages: tuple[str, ...] = ()) -> dict[str, Any]:
    """Where and with what it ran."""
    versions = {}
    for name in dict.fromkeys((*PACKAGES, *packages)):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return {
        "cpus": len(os.sched_getaffinity(0)), "cpu": _cpu(), "machine": platform.machine(),
        "system": platform.system(), "python": platform.python_version(), "versions": versions,
        "load_at_start": round(os.getloadavg()[0], 2),
    }  # fmt: skip


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor()


def write(name: str, record: dict[str, Any]) -> None:
    """Write results/NAME.json, dated."""
    record = {"benchmark": name, "date": datetime.now(UTC).date().isoformat(), **record}
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(_rounded(record), indent=1, ensure_ascii=False) + "\n")
    print(f"written: {path}")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(v) for v in value]
    return value
