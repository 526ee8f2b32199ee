"""Processor seconds of a browser and its children, from /proc (Linux)."""

from __future__ import annotations

import os
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def descendants(root: int) -> list[int]:
    """Processes below `root`."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            stat = _stat(int(entry.name))
            if stat:
                parents.setdefault(int(stat[1]), []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        below = parents.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat after the name: state, parent …"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return None


def browser_cpu_s(root: int) -> float:
    """Processor time so far of all Chromium processes below `root`, user and system."""
    total = 0
    for pid in descendants(root):
        try:
            name = Path(f"/proc/{pid}/comm").read_text()
        except OSError:
            continue
        stat = _stat(pid)
        if stat and name.startswith(("chrom", "Chrom")):
            total += int(stat[11]) + int(stat[12])
    return total / _TICK
