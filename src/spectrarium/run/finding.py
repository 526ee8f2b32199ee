"""The table of a search: rows in any order, a page at a time, and a spectrum's picture for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..domain.spectrum import Spectrum
from ..store.archive import Archive, Rows
from ..store.schema import BY_NAME
from ..store.sky import separation_deg
from .asked import Conditions, Found, found
from .columns import Columns

SHOWN = (
    "obs_id", "obs_collection", "target_name", "class", "s_ra", "s_dec", "t_min", "t_exptime",
    "instrument_name", "facility_name", "em_min", "em_max", "em_res_power", "snr", "snr_source",
    "redshift", "rv_kms", "n_orders",
)  # fmt: skip
MOST_SORTS = 4
MOST_SPARKLINES = 64
_IN_BIN = 64
"""Of more samples in a bin of a sparkline, so many evenly spread ones are looked at."""


def identity(collection: str, obs_id: str) -> str:
    """``COLLECTION:OBS_ID``, which names an observation in every version."""
    return f"{collection}:{obs_id}"


def find(
    columns: Columns, conditions: Conditions, *, sort: str | None = None, offset: int = 0,
    limit: int = 50, more: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """One page of what meets the conditions: {count, offset, asked, rows}.

    sort : columns between commas, ``-`` before one for falling order; unknown values come last.
    None = nearest or best named first, else as catalogued · more : columns beyond `SHOWN`
    Raises UsageError: those of `found`, no_column, bad_sort.
    """
    whole = found(columns, conditions)
    order = whole.rows if not sort else columns.kept(
        ("sorted", conditions, sort), lambda: sorted_rows(columns, whole.rows, sort))  # fmt: skip
    page = order[offset : offset + limit]
    cone = whole.asked.cone or conditions.cone
    return {"count": len(order), "offset": offset, "asked": whole.asked.record(),
            "rows": records(columns, page, more, cone)}  # fmt: skip


def records(
    columns: Columns, rows: Rows, more: Sequence[str] = (),
    cone: tuple[float, float, float] | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Rows of the table as plain values: row, id, uid, `SHOWN` and `more`.

    cone : separation_deg from its middle is told too
    """
    archive = columns.archive
    names = list(dict.fromkeys([*SHOWN, *(columns.column(n).name for n in more)]))
    stored = [n for n in names if n in BY_NAME and n not in archive.derived]
    table = archive.catalogue(rows, stored)
    take = pa.array(np.asarray(rows, np.int64))
    values = {
        n: (table.column(n) if n in stored else archive.any_column(n).take(take)).to_pylist()
        for n in names
    }
    uids = archive.index.value("uid", rows).tolist()
    out = []
    for i, row in enumerate(np.asarray(rows).tolist()):
        record = {"row": row, "id": "", "uid": uids[i], **{n: v[i] for n, v in values.items()}}
        record["id"] = identity(record["obs_collection"], record["obs_id"])
        out.append(record)
    if cone is not None and len(rows):
        ra, dec = (archive.index.value(c, rows) for c in ("s_ra", "s_dec"))
        for record, away in zip(out, separation_deg(ra, dec, cone[0], cone[1]), strict=True):
            record["separation_deg"] = float(away)
    return out


def sorted_rows(columns: Columns, rows: Rows, sort: str) -> Rows:
    """Rows by columns (``-snr,target_name``); unknown values last, ties as they were.

    Raises UsageError (no_column, bad_sort).
    """
    parts = [p.strip() for p in sort.split(",") if p.strip()]
    if not 0 < len(parts) <= MOST_SORTS:
        raise UsageError(f"{len(parts)} columns to sort by", code="bad_sort", where="sort",
                         remedy=f"name 1 to {MOST_SORTS}, for example -snr")  # fmt: skip
    keys: list[NDArray[np.float64]] = []
    for part in parts:
        falling = part.startswith("-")
        column = columns.column(part.lstrip("+-"))
        if column.numeric:
            key = columns.numbers(column.name)[rows]
        else:
            words = columns.codes(column.name)
            codes = words.codes[rows]
            rank = np.append(words.rank(), 0).astype(np.float64)
            key = np.where(codes < 0, np.nan, rank[codes])
        key = -key if falling else key.copy()
        key[np.isnan(key)] = np.inf
        keys.append(key)
    return rows[np.lexsort([np.arange(len(rows)), *keys[::-1]])]


# pictures -------------------------------------------------------------------------------------


def sparklines(archive: Archive, rows: Rows, width: int = 120) -> list[dict[str, Any]]:
    """A trace of each spectrum: {row, id, lo_aa, hi_aa, y, lo, hi}.

    y : (width,) median flux of the good samples in equal bins of wavelength from lo_aa to hi_aa,
    as delivered; None where there is none · lo, hi : a range to draw it in that single bins do
    not decide. Raises UsageError (too_many).
    """
    if len(rows) > MOST_SPARKLINES:
        raise UsageError(f"{len(rows)} spectra at once are too many", code="too_many", where="rows",
                         remedy=f"ask for {MOST_SPARKLINES} at most")  # fmt: skip
    if not len(rows):
        return []
    names = archive.catalogue(rows, ["obs_collection", "obs_id"]).to_pylist()
    spectra = archive.read_rows(rows)
    return [
        {"row": int(row), "id": identity(n["obs_collection"], n["obs_id"])} | trace(s, width)
        for row, n, s in zip(rows, names, spectra, strict=True)
    ]


def trace(spectrum: Spectrum, width: int) -> dict[str, Any]:
    """lo_aa, hi_aa, y, lo and hi of `sparklines`; lo_aa and the others None without good sample."""
    good = ~spectrum.mask
    wave, flux = spectrum.wave_aa[good], np.asarray(spectrum.flux[good], np.float64)
    nothing = {"lo_aa": None, "hi_aa": None, "y": [None] * width, "lo": None, "hi": None}
    if not wave.size:
        return nothing
    step = max(1, wave.size // (width * _IN_BIN))
    lo, hi = float(wave.min()), float(wave.max())
    y = bin_medians(wave[::step], flux[::step], lo, hi, width)
    low, high = drawing_range(y)
    return {"lo_aa": lo, "hi_aa": hi, "y": [_digits(v) for v in y.tolist()],
            "lo": _digits(low), "hi": _digits(high)}  # fmt: skip


def bin_medians(
    wave: NDArray[np.float64], flux: NDArray[np.float64], lo: float, hi: float, n: int
) -> NDArray[np.float64]:
    """(n,) median flux in equal bins of [lo, hi]; NaN where there is no sample."""
    width = (hi - lo) / n
    at = np.zeros(len(wave), np.int64)
    if width > 0:
        at = np.clip(((wave - lo) / width).astype(np.int64), 0, n - 1)
    order = np.lexsort((flux, at))
    at, flux = at[order], flux[order]
    start = np.flatnonzero(np.r_[True, np.diff(at) > 0])
    length = np.diff(np.r_[start, at.size])
    out = np.full(n, np.nan)
    out[at[start]] = 0.5 * (flux[start + (length - 1) // 2] + flux[start + length // 2])
    return out


def drawing_range(y: NDArray[np.float64]) -> tuple[float, float]:
    """Where 96 % of the values lie, widened to the extremes where these are not far off."""
    some = y[np.isfinite(y)]
    low, high = np.percentile(some, [2.0, 98.0])
    reach = high - low
    low = max(float(some.min()), low - reach)
    high = min(float(some.max()), high + reach)
    if not high > low:
        low, high = low - (abs(low) or 1.0) * 0.5, high + (abs(high) or 1.0) * 0.5
    return float(low), float(high)


def _digits(value: float) -> float | None:
    return float(f"{value:.5g}") if np.isfinite(value) else None


__all__ = ["Conditions", "Found", "find", "identity", "records", "sorted_rows", "sparklines"]
