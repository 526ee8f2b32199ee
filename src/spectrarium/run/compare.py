"""A few spectra beside each other, in the order of time, of phase or of a column."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..measure.percentiles import column_percentiles
from ..store.archive import Archive, Rows
from .members import Members, Wish
from .quantities import column_values
from .stack import members_drawn

MODES = ("overlay", "stack", "ratio", "trailed")
COMPARED_MOST, TRAILED_MOST = 60, 200
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """How members are shown.

    mode : ``overlay`` and ``stack`` (as they are), ``ratio`` (each over their median), ``trailed``
    order_by : ``time``, ``phase`` (needs `period_d`) or a column of numbers
    period_d : days · epoch : of phase 0, in the time scale that `about` names; None = the first
    """

    mode: str = "overlay"
    order_by: str = "time"
    period_d: float | None = None
    epoch: float | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UsageError(f"mode cannot be {self.mode!r}", code="bad_parameter", where="mode",
                             remedy=f"choose {', '.join(MODES)}")  # fmt: skip
        if self.order_by == "phase" and not (self.period_d is not None and self.period_d > 0):
            raise UsageError("a phase needs a period", code="bad_parameter", where="period_d",
                             remedy="give period_d in days, above 0")  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Members in rising order of `x`, those without one last (NaN).

    rows : (n,) · ids, labels : n texts · x : (n,) · flux : (n, n_pix), NaN = no good sample
    median : (n_pix,) of the members, before any ratio
    """

    rows: Rows
    ids: list[str]
    labels: list[str]
    x: NDArray[np.float64]
    wave_aa: NDArray[np.float64]
    flux: NDArray[np.float32]
    median: NDArray[np.float32]
    about: dict[str, Any] = field(default_factory=dict)


def compared(
    archive: Archive, rows: Rows, wish: Wish, how: Comparison, members: Members | None = None
) -> Compared:
    """Members on one grid (see `stack.stacked`), ordered, with their median.

    Raises
    ------
    UsageError : too_many, nothing_to_stack, no_column, bad_parameter (a column of words)
    """
    most = TRAILED_MOST if how.mode == "trailed" else COMPARED_MOST
    if len(rows) > most:
        raise UsageError(f"{len(rows)} spectra are too many for this", code="too_many",
                         where="rows", remedy=f"choose {most} at most")  # fmt: skip
    kept, wave, values, about = members_drawn(archive, rows, wish, members)
    x, scale = _positions(archive, kept, how)
    order = np.argsort(x, kind="stable")  # NaN sorts last
    kept, x, values = kept[order], x[order], values[order]
    bands, _, _ = column_percentiles(values, (0.5,))
    median = bands[0].astype(np.float32)
    if how.mode == "ratio":
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.where(np.abs(median) > 0, values / median, np.float32(np.nan))
    names = archive.catalogue(kept, ["obs_collection", "obs_id", "target_name"]).to_pylist()
    about |= scale | {"mode": how.mode, "order_by": how.order_by, "period_d": how.period_d}
    if missing := int(np.isnan(x).sum()):
        about["notes"].append(f"{missing} have no {scale['x_name']}: they come last")
    return Compared(
        kept, [f"{n['obs_collection']}:{n['obs_id']}" for n in names],
        [n["target_name"] or n["obs_id"] for n in names], x, wave,
        values.astype(np.float32), median, about,
    )  # fmt: skip


def _positions(
    archive: Archive, rows: Rows, how: Comparison
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """(n,) what members are ordered by, and what it is."""
    if how.order_by not in ("time", "phase"):
        found = column_values(archive, rows, how.order_by)
        if found.values.dtype.kind != "f":
            raise UsageError(f"{how.order_by} holds words", code="bad_parameter", where="order_by",
                             remedy="choose a column of numbers")  # fmt: skip
        return found.values, {"x_name": how.order_by, "x_unit": found.unit}
    when, scale = _times(archive, rows)
    if how.order_by == "time":
        return when, {"x_name": scale, "x_unit": "d"}
    assert how.period_d is not None
    epoch = how.epoch
    if epoch is None:
        epoch = float(np.nanmin(when)) if np.isfinite(when).any() else 0.0
    phase = np.mod((when - epoch) / how.period_d, 1.0)
    return phase, {"x_name": "phase", "x_unit": "", "epoch": epoch, "time": scale}


def _times(archive: Archive, rows: Rows) -> tuple[NDArray[np.float64], str]:
    """(n,) mid-exposure times, days: BJD if all have one, else MJD of the middle."""
    names = ["bjd_tdb", "t_min", "t_max", "t_exptime"]
    table = archive.catalogue(rows, names)
    bjd, start, stop, exposure = (
        np.array(table.column(n).to_numpy(zero_copy_only=False), np.float64) for n in names
    )
    if len(bjd) and np.isfinite(bjd).all():
        return bjd, "BJD (TDB)"
    middle = np.where(np.isfinite(stop), 0.5 * (start + stop),
                      start + 0.5 * np.nan_to_num(exposure) / _DAY_S)  # fmt: skip
    return middle, "MJD (UTC)"
