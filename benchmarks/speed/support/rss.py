"""Peak memory of a program and all processes it starts, watched through /proc (Linux)."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
EVERY_S = 0.02


@dataclass(frozen=True)
class Peak:
    """driver_mb, worker_mb : highest resident size of the program and of the largest process it
    started · total_mb : highest sum at one moment (pages shared between them count twice)"""

    driver_mb: float
    worker_mb: float
    total_mb: float
    seconds: float


def watch(command: list[str]) -> Peak:
    """Run a program to its end. Raises CalledProcessError when it fails."""
    began = time.perf_counter()
    peaks: dict[int, int] = {}
    total = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            now = {pid: _resident(pid) for pid in _tree(process.pid)}
            for pid, size in now.items():
                peaks[pid] = max(peaks.get(pid, 0), size)
            total = max(total, sum(now.values()))
            time.sleep(EVERY_S)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    driver = peaks.pop(process.pid, 0)
    seconds = time.perf_counter() - began
    return Peak(driver / 1e6, max(peaks.values(), default=0) / 1e6, total / 1e6, seconds)


def _tree(pid: int) -> list[int]:
    """The process and everything below it."""
    out = [pid]
    for parent in out:
        try:
            for task in Path(f"/proc/{parent}/task").iterdir():
                out += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue  # it ended meanwhile
    return out


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0
