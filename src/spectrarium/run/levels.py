"""Members at comparable levels: each divided by its own where nearly all have some flux."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..embed.domain import FluxKind
from ..measure.noise import MAD_TO_SIGMA

_SHARES = (0.9, 0.8, 0.7, 0.6, 0.5)
_LEAST_WIDTH = 0.05
"""Of the place where levels are taken, in ln λ (or half of the grid, if that is less)."""
_LEAST_THERE = 0.5
_FIRM = 3.0
"""A level must be so many of its own standard errors above zero."""
_AT_ONCE = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """Where and how levels are taken.

    at : (n_pix,) True where they are · how : a sentence · lo_aa, hi_aa : the place's ends
    """

    at: NDArray[np.bool_]
    kind: FluxKind
    lo_aa: float
    hi_aa: float

    @property
    def how(self) -> str:
        """What was done, in words."""
        where = f"between {self.lo_aa:.0f} and {self.hi_aa:.0f} Å"
        if self.kind is FluxKind.CONTINUUM_SUBTRACTED:
            return f"each divided by its scatter (1.48 × median absolute deviation) {where}"
        return f"each divided by its median flux {where}, where nearly all have some"


def level_place(values: NDArray[np.float32], wave_aa: NDArray[np.float64], kind: FluxKind) -> Level:
    """The pixels that nine of ten members have; where those are few, that fewer have.

    values : (n, n_pix), NaN = missing
    """
    share = (~np.isnan(values)).mean(axis=0)
    share = share / max(float(share.max(initial=0.0)), 1e-9)
    step = float(np.log(wave_aa[-1] / wave_aa[0])) / max(1, wave_aa.size - 1)
    wanted = min(_LEAST_WIDTH / step, 0.5 * wave_aa.size)
    at = share >= _SHARES[-1]
    for least in _SHARES:
        if (share >= least).sum() >= wanted:
            at = share >= least
            break
    there = np.flatnonzero(at)
    return Level(at, kind, float(wave_aa[there[0]]), float(wave_aa[there[-1]]))


def levelled(
    values: NDArray[np.float32], place: Level, left: Counter[str]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """(n,) which members have a level, and those divided by theirs.

    left : gets the reasons of the others
    """
    part = values[:, place.at]
    there = ~np.isnan(part)
    enough = there.mean(axis=1) >= _LEAST_THERE
    left["too little flux where levels are taken"] += int((~enough).sum())
    level, error = np.ones(len(values)), np.zeros(len(values))
    for start in range(0, len(values), _AT_ONCE):
        rows = start + np.flatnonzero(enough[start : start + _AT_ONCE])
        if len(rows):
            level[rows], error[rows] = _levels(part[rows], place.kind)
    firm = enough & (level > _FIRM * error) & (level > 0)
    left["no signal where levels are taken"] += int((enough & ~firm).sum())
    return firm, values[firm] / level[firm, None].astype(np.float32)


def _levels(
    part: NDArray[np.float32], kind: FluxKind
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n,) levels of rows that have some flux, and their standard errors."""
    middle = _row_median(part)
    if kind is FluxKind.CONTINUUM_SUBTRACTED:
        scatter = MAD_TO_SIGMA * _row_median(np.abs(part - middle[:, None]))
        return scatter.astype(np.float64), np.zeros(len(part))
    second = np.abs(2.0 * part[:, 2:-2] - part[:, :-4] - part[:, 4:])
    n = (~np.isnan(part)).sum(axis=1)
    noise = np.zeros(len(part))
    if second.shape[1] >= 5:  # second differences: neither lines nor slopes count as noise
        noise = np.nan_to_num(_row_median(second)) * MAD_TO_SIGMA / np.sqrt(6.0)
    return middle.astype(np.float64), 1.2533 * noise / np.sqrt(n)


def _row_median(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Median of each row over what is not NaN; NaN where nothing is."""
    ordered = np.sort(values, axis=1)  # NaN sorts last
    n = ordered.shape[1] - np.isnan(ordered).sum(axis=1)
    row, top = np.arange(len(ordered)), np.maximum(n - 1, 0)
    low, high = ordered[row, top // 2], ordered[row, (top + 1) // 2]
    return np.where(n > 0, 0.5 * (low + high), np.float32(np.nan)).astype(np.float32)
