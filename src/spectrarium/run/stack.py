"""What a set of spectra looks like: its median and bands, from a fair sample or from all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..domain.progress import Progress, Silent
from ..measure.percentiles import BANDS, Narrowing, column_percentiles
from ..store.archive import Archive, Rows
from .levels import Level, level_place, levelled
from .members import Members, Plan, Wish, planned

AT_ONCE = 2000
"""Of more members a random sample of so many answers at once."""
MEMORY_BYTES = 1_500 << 20
"""Members that take more than this on the grid are counted as they pass, not held."""
_CHUNK = 2048
_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class Stacked:
    """Percentiles of a set, pixel by pixel.

    wave_aa : (n,) · bands : (5, n) percentiles 5, 16, 50, 84, 95 · count : (n,) members there
    error : (n,) standard error of the median for being of a sample only; 0 when all were used
    about : members, used, sampled, exact, left_out, medium, frame …
    """

    wave_aa: NDArray[np.float64]
    bands: NDArray[np.float64]
    count: NDArray[np.int64]
    error: NDArray[np.float64]
    about: dict[str, Any] = field(default_factory=dict)

    def table(self) -> pa.Table:
        """Columns wave_aa, p05, p16, p50, p84, p95, error, n."""
        named = {f"p{round(100 * q):02d}": pa.array(band.astype(np.float32))
                 for q, band in zip(BANDS, self.bands, strict=True)}  # fmt: skip
        return pa.table({
            "wave_aa": self.wave_aa, **named, "error": pa.array(self.error.astype(np.float32)),
            "n": pa.array(self.count.astype(np.int32)),
        })  # fmt: skip


def stacked(
    archive: Archive, rows: Rows, wish: Wish, *, members: Members | None = None,
    exact: bool = False, progress: Progress | None = None,
) -> Stacked:  # fmt: skip
    """The median of many spectra with the bands that hold 68 and 90 % of them.

    Members are put on one grid of equal velocity steps in vacuum (flux conserved, masked samples
    left out) that reaches as far as half of them do, and divided by their own level.

    Parameters
    ----------
    rows : current catalogue rows · members : what remembers resampled spectra
    exact : use all of more than `AT_ONCE`, however long it takes
    Raises
    ------
    UsageError (nothing_to_stack) · TransientError (cancelled)
    """
    progress = progress or Silent()
    members = members or Members(archive)
    plan = planned(archive, rows, wish)
    total = len(plan.rows)
    if exact and total * len(plan.grid) * 4 > MEMORY_BYTES:
        return _passing(plan, members, len(rows), progress)
    everyone = exact or total <= AT_ONCE
    at = np.arange(total) if everyone else _sample(total)
    progress.start("reading members", len(at))
    left: Counter[str] = Counter()
    _, values = members.matrix(plan, at, left, progress, keep=len(at) <= _REMEMBERED)
    place = None
    if wish.normalise == "level" and len(values):
        place = level_place(values, plan.grid.wave_aa, plan.kind)
        _, values = levelled(values, place, left)
    bands, count, error = column_percentiles(values)
    # what the sample leaves out of a set that is not endless
    whole = total * len(values) / max(1, len(at))
    error = error * np.sqrt(np.maximum(0.0, 1.0 - count / max(1.0, whole)))
    if everyone:
        error = np.zeros(len(count))
    about = _about(plan, len(rows), len(values), left, place)
    about |= {"sampled": None if everyone else len(at), "exact": everyone}
    return Stacked(plan.grid.wave_aa, bands, count, error, about)


def _sample(total: int) -> NDArray[np.int64]:
    """Positions of a random sample, the same for the same number."""
    return np.sort(np.random.default_rng(total).choice(total, AT_ONCE, replace=False))


def _about(
    plan: Plan, asked: int, used: int, left: Counter[str], place: Level | None
) -> dict[str, Any]:
    notes = list(plan.notes)
    if place is not None:
        notes.append(place.how)
    unit = plan.unit if plan.wish.normalise == "none" else None
    return {
        "members": asked, "used": used, "fit": len(plan.rows),
        "left_out": {k: n for k, n in (plan.left_out + left).most_common() if n},
        "medium": plan.medium.value, "frame": plan.wish.frame, "kind": plan.kind.value,
        "unit": unit, "flux_unit": unit,
        "normalise": plan.wish.normalise, "notes": notes,
        "level": None if place is None else [place.lo_aa, place.hi_aa],
        "pixel_kms": plan.grid.step * 299_792.458,
    }  # fmt: skip


def _passing(plan: Plan, members: Members, asked: int, progress: Progress) -> Stacked:
    """All of more members than memory holds: a sample brackets, one pass counts."""
    left: Counter[str] = Counter()
    total = len(plan.rows)
    progress.start("reading members", total)
    _, sample = members.matrix(plan, _sample(total), Counter(), keep=False)
    place = None
    if plan.wish.normalise == "level":
        place = level_place(sample, plan.grid.wave_aa, plan.kind)
        _, sample = levelled(sample, place, Counter())
    narrowing, used = Narrowing(sample), 0
    for start in range(0, total, _CHUNK):
        at = np.arange(start, min(start + _CHUNK, total))
        _, values = members.matrix(plan, at, left, progress, keep=False)
        if place is not None:
            _, values = levelled(values, place, left)
        narrowing.add(values)
        used += len(values)
    bands, missed = narrowing.result()
    about = _about(plan, asked, used, left, place)
    about |= {"sampled": None, "exact": True}
    if missed:
        about["notes"].append(f"{missed} values at the edges of the bands could not be counted")
    return Stacked(plan.grid.wave_aa, bands, narrowing.count, np.zeros(len(plan.grid)), about)


def members_drawn(
    archive: Archive, rows: Rows, wish: Wish, members: Members | None = None
) -> tuple[Rows, NDArray[np.float64], NDArray[np.float32], dict[str, Any]]:
    """The members themselves on the grid of their stack: (rows, wave in Å, flux, about)."""
    members = members or Members(archive)
    plan = planned(archive, rows, wish)
    left: Counter[str] = Counter()
    at, values = members.matrix(plan, np.arange(len(plan.rows)), left)
    place = None
    if wish.normalise == "level" and len(values):
        place = level_place(values, plan.grid.wave_aa, plan.kind)
        firm, values = levelled(values, place, left)
        at = at[firm]
    about = _about(plan, len(rows), len(values), left, place)
    return plan.rows[at], plan.grid.wave_aa, values, about
