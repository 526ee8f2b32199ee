"""What an archive covers, as far as it may be seen: maps, and the few intervals of a record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..store.archive import Archive, Rows
from .moc import cones_moc, few, space_moc, spectral_moc, time_moc, wavebands
from .obscore import vacuum_m

Kind = Literal["space", "time", "spectral"]
ORDERS: dict[Kind, int] = {"space": 29, "time": 61, "spectral": 51}
"""Kinds of coverage and their finest orders (MOC 2.0, section 2)."""
_BOUNDS = {"time": ("t_min", "t_max"), "spectral": ("em_min", "em_max", "medium")}
_RECORD_ORDER, _RECORD_CELLS, _RECORD_INTERVALS = 6, 500, 20
_PLANCK_C = 6.62607015e-34 * 299_792_458.0


def rows_in(archive: Archive, collections: Sequence[str] = ()) -> Rows:
    """Rows of all observations, or of those in `collections`.

    Raises UsageError (no_collection) for one that has none: a hidden one is as one that is not.
    """
    rows = archive.find()
    if not collections:
        return rows
    mine = archive.column("obs_collection").take(pa.array(rows))
    there = set(pc.unique(mine).to_pylist())
    for name in collections:
        if name not in there:
            raise UsageError(f"there is no collection {name[:100]!r}", code="no_collection",
                             where="COLLECTION",
                             remedy=f"there is {', '.join(map(str, sorted(there)[:20]))}"
                             if there else "the archive is empty")  # fmt: skip
    chosen = pc.is_in(mine, pa.array(list(collections), pa.string()))
    found: Rows = rows[chosen.to_numpy()]
    return found


def cells29(archive: Archive, rows: Rows) -> NDArray[np.int64]:
    """(n,) nested HEALPix indices of order 29 at rows; −1 without a position."""
    found = archive.column("healpix29").take(pa.array(rows))
    cells: NDArray[np.int64] = pc.fill_null(found, -1).to_numpy()
    return cells


def bounds(archive: Archive, rows: Rows, kind: str) -> tuple[Any, Any]:
    """(start, end) of what rows cover in MJD (``time``) or m (``spectral``, in vacuum where air or
    vacuum is known); NaN where unknown."""
    found = pa.table({n: archive.column(n).take(pa.array(rows)) for n in _BOUNDS[kind]})
    if kind == "spectral":
        return vacuum_m(found)
    lo, hi = (found.column(n).to_numpy() for n in _BOUNDS[kind])
    return lo, hi


def coverage(
    archive: Archive, rows: Rows, kind: Kind, order: int | None = None,
    radius_deg: float | None = None,
) -> Any:  # fmt: skip
    """The MOC of rows. order : None = as fine as the content needs · radius_deg : circles around
    positions instead of the cells that they lie in.

    Raises UsageError (too_large) for too many circles.
    """
    if kind != "space":
        lo, hi = bounds(archive, rows, kind)
        return (time_moc if kind == "time" else spectral_moc)(lo, hi, order)
    if radius_deg is None:
        return space_moc(cells29(archive, rows), order)
    ra, dec = (archive.index.value(n, rows) for n in ("s_ra", "s_dec"))
    return cones_moc(ra, dec, radius_deg, order)


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a registry record says of coverage.

    spatial : a MOC in ASCII, coarse; empty where no position is known · temporal : intervals in MJD
    spectral : intervals of photon energy in J, ascending · wavebands : their names · rows :
    observations
    """

    spatial: str
    temporal: tuple[tuple[float, float], ...]
    spectral: tuple[tuple[float, float], ...]
    wavebands: tuple[str, ...]
    rows: int


def footprint(archive: Archive, rows: Rows) -> Footprint:
    """Coverage of rows in the few words of VODataService 1.2, section 3.2."""
    cells = cells29(archive, rows)
    sky = ""
    if (cells >= 0).any():
        moc = space_moc(cells, most=_RECORD_CELLS)
        sky = moc.degrade_to_order(min(_RECORD_ORDER, moc.max_order)).to_string().strip()
    days = few(*bounds(archive, rows, "time"), _RECORD_INTERVALS)
    waves = few(*bounds(archive, rows, "spectral"), _RECORD_INTERVALS)
    energies = [(_PLANCK_C / hi, _PLANCK_C / lo) for lo, hi in reversed(waves) if lo > 0]
    bands = dict.fromkeys(band for wave in waves for band in wavebands(*wave))
    return Footprint(" ".join(sky.split()), tuple(days), tuple(energies), tuple(bands), len(rows))
