"""Counts beside a search: how many of each kind, where numbers lie, how they lie on the sky."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..store.archive import Rows
from ..store.sky import ORDER
from .columns import Codes, Column, Columns

BINS = 40
MOST_VALUES = 40
"""Values of a facet that are listed; the rest are counted together."""
MOST_FACETS = 24
FEW = 12
"""Whole numbers of so few values are kinds, not quantities."""
_WIDE = 10.0
"""Positive numbers that span such a factor have bins equal in the logarithm."""
_KEPT_PERCENT = (0.5, 99.5)
_TITLES = {
    "obs_collection": "Collection", "instrument_name": "Instrument", "class": "Class",
    "snr": "S/N per sample", "redshift": "Redshift", "teff": "Effective temperature",
    "logg": "Surface gravity", "feh": "Metallicity [Fe/H]", "rv_kms": "Radial velocity",
    "t_min": "Time of observation", "t_exptime": "Exposure time", "em_res_power":
    "Resolving power", "em_min": "Shortest wavelength", "em_max": "Longest wavelength",
    "em_pixel_kms": "Sample width", "facility_name": "Facility", "medium": "Wavelengths in",
    "specsys": "Velocity frame", "flux_calibration": "Flux calibration",
    "normalisation": "Continuum", "uncertainty_kind": "Errors given as", "snr_source": "S/N from",
    "airmass": "Airmass", "n_orders": "Echelle orders", "calib_level": "Calibration level",
    "has_flags": "Pixel flags", "gal_b": "Galactic latitude", "obj_subclass": "Subclass",
    "obj_class": "Class", "z": "Redshift", "berv_kms": "Barycentric correction",
}  # fmt: skip
_FIRST = (
    "obs_collection", "instrument_name", "class", "snr", "redshift", "*z", "*teff", "*logg", "*feh",
    "rv_kms", "t_min", "t_exptime", "em_res_power", "*obj_subclass", "em_min", "em_max", "medium",
    "specsys", "facility_name", "flux_calibration", "normalisation", "uncertainty_kind",
    "snr_source", "gal_b", "airmass", "n_orders", "calib_level", "has_flags",
)  # fmt: skip
"""Facets in their order; ``*teff`` is the best column of that name: joined, of one set, learnt."""
_NOT_FACETS = re.compile(
    r"(^|\.|_)(id|uid|name|file|path|url|ra|dec|err|error|lo|hi|prob|snr|reason|role)(_|$|\d)"
    r"|^(access_|map:|obs_|bib_|score:)|_(err|id|lo|hi)\d*$|hash|version|^dataproduct",
    re.IGNORECASE,
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Binned:
    """A column's numbers in bins that all questions share.

    edges : (k + 1,) rising · bins : (catalogue rows,) 0 … k − 1, −1 unknown, −2 below, −3 above
    """

    edges: NDArray[np.float64]
    bins: NDArray[np.int16]
    log: bool


def facets(
    columns: Columns, rows: Rows, names: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """The facets of `rows`, each beside the counts of everything.

    names : only these columns; None = those that are there and vary, the telling ones first

    Each is {column, title, filter, kind, unit, total, missing} and, of categories, values
    [{value, count, of}] (`of` = in everything), others {values, count}; of a histogram, edges,
    counts, of, log, below and above (beyond the edges). Edges hold 99 % of everything, so that
    they stay where they are whatever is asked.
    Raises UsageError (no_column).
    """
    chosen = list(dict.fromkeys(names)) if names is not None else default_facets(columns)
    if len(chosen) > MOST_FACETS:
        raise UsageError(f"{len(chosen)} facets at once are too many", code="too_many_columns",
                         where="columns", remedy=f"ask for {MOST_FACETS} at most")  # fmt: skip
    return [_facet(columns, columns.column(name), rows) for name in chosen]


def default_facets(columns: Columns) -> list[str]:
    """Names of the columns that are there, vary, and tell something."""
    found: list[str] = columns.kept("facets", lambda: _defaults(columns))
    return found


def _defaults(columns: Columns) -> list[str]:
    wanted = [n for n in (_best(columns, name) for name in _FIRST) if n is not None]
    have = {n.rsplit(".", 1)[-1] for n in wanted} | {"obj_class", "target_class"}
    more = [
        n for n, c in columns.all.items()
        if "." in n and c.source.startswith("labels") and not _NOT_FACETS.search(n)
        and n.rsplit(".", 1)[-1] not in have
    ]  # fmt: skip
    joined = {n.rsplit(".", 1)[-1] for n in more if n.startswith("labels.")}
    more = [n for n in more if n.startswith("labels.") or n.rsplit(".", 1)[-1] not in joined]
    return [n for n in (*wanted, *more) if _varies(columns, n)][:MOST_FACETS]


def _best(columns: Columns, name: str) -> str | None:
    if not name.startswith("*"):
        return name if name in columns.all else None
    bare = name[1:]
    own = [n for n, c in columns.all.items() if n.endswith("." + bare)
           and c.source.startswith("labels/") and not n.startswith("tags.")]  # fmt: skip
    best = (f"labels.{bare}", *own, f"tags.{bare}")
    return next((n for n in best if n in columns.all), None)


def _varies(columns: Columns, name: str) -> bool:
    column = columns.column(name)
    if column.numeric:
        values = columns.numbers(name)[columns.rows]
        values = values[np.isfinite(values)]
        return bool(values.size and values.min() < values.max())
    try:
        words = columns.codes(name)
    except UsageError:  # too much text
        return False
    missing = bool((words.codes[columns.rows] < 0).any())
    most = max(50, len(columns.rows) // 10)  # of names, a list of the commonest tells nothing
    return len(words.values) + missing > 1 and 0 < len(words.values) <= most


def _facet(columns: Columns, column: Column, rows: Rows) -> dict[str, Any]:
    about: dict[str, Any] = {
        "column": column.name, "title": _title(column), "filter": filter_name(column.name),
        "kind": "histogram", "unit": column.unit, "about": column.about, "total": len(rows),
    }  # fmt: skip
    if not column.numeric:
        return about | _categories(columns, columns.codes(column.name), rows, text=True)
    kinds = _few_numbers(columns, column.name)
    if kinds is not None:
        return about | _categories(columns, kinds, rows, text=False)
    return about | _histogram(columns, column, rows)


def _title(column: Column) -> str:
    known = _TITLES.get(column.name)
    if known:
        return known
    origin, _, bare = column.name.rpartition(".")
    words = _TITLES.get(bare, bare.replace("_", " ").capitalize())
    return f"{words} ({_ORIGINS.get(origin, origin)})" if origin else words


_ORIGINS = {"labels": "catalogued", "tags": "learnt"}


def filter_name(name: str) -> str:
    """A column's name as the filter grammar takes it."""
    plain = re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?", name)
    return name if plain else '"' + name.replace('"', '""') + '"'


def _categories(columns: Columns, words: Codes, rows: Rows, text: bool) -> dict[str, Any]:
    """The commonest values here, and among those that are not here the commonest of all."""
    n = len(words.values)
    codes = words.codes[rows]
    count = np.bincount(codes[codes >= 0], minlength=n)
    every = words.codes[columns.rows]
    of = np.bincount(every[every >= 0], minlength=n)
    shown = np.lexsort((np.arange(n), -of, -count))[:MOST_VALUES]
    names = words.values.to_pylist()
    values = [
        {"value": names[i] if text else int(names[i]), "count": int(count[i]), "of": int(of[i])}
        for i in shown.tolist()
    ]
    rest = {"values": n - len(values), "count": int(count.sum() - count[shown].sum())}
    return {"kind": "categories", "values": values, "others": rest,
            "missing": int((codes < 0).sum())}  # fmt: skip


def _few_numbers(columns: Columns, name: str) -> Codes | None:
    """Whole numbers of few different values, as kinds; None for quantities."""

    def made() -> Codes | bool:
        values = columns.numbers(name)[columns.rows]
        some = values[np.isfinite(values)]
        if some.size and not (np.array_equal(some[:1000], np.round(some[:1000]))):
            return False
        different = np.unique(some)
        if len(different) > FEW or not np.array_equal(different, np.round(different)):
            return False
        codes = np.full(columns.archive.catalogue_rows, -1, np.int32)
        at = np.searchsorted(different, values)
        codes[columns.rows] = np.where(np.isfinite(values), at, -1)
        return Codes(codes, pa.array([f"{v:.0f}" for v in different.tolist()], pa.string()))

    found: Codes | bool = columns.kept(("few", name), made)
    return found if isinstance(found, Codes) else None


def _histogram(columns: Columns, column: Column, rows: Rows) -> dict[str, Any]:
    binned: Binned = columns.kept(("binned", column.name), lambda: binned_of(
        columns.numbers(column.name), columns.rows, time=column.kind == "time"))  # fmt: skip
    k = len(binned.edges) - 1

    def count(of: Rows) -> NDArray[np.int64]:
        return np.bincount(binned.bins[of] + 3, minlength=k + 3)

    here, everywhere = count(rows), count(columns.rows)
    return {
        "kind": "histogram", "edges": [_short(e) for e in binned.edges.tolist()],
        "counts": here[3:].tolist(), "of": everywhere[3:].tolist(), "log": binned.log,
        "above": int(here[0]), "below": int(here[1]), "missing": int(here[2]),
    }  # fmt: skip


def _short(value: float) -> float:
    return float(f"{value:.7g}")


def binned_of(values: NDArray[np.float64], rows: Rows, time: bool = False) -> Binned:
    """Bins that hold 99 % of `values` at `rows`, equal in the logarithm where these span a lot."""
    some = values[rows]
    some = some[np.isfinite(some)]
    out = np.full(len(values), -1, np.int16)
    if not some.size:
        return Binned(np.array([0.0, 1.0]), out, False)
    low, high = np.percentile(some, _KEPT_PERCENT)
    reach = high - low
    # an end that is not far off is the edge itself: nothing is cut for a few values' sake
    low = some.min() if some.min() >= low - reach else low
    high = some.max() if some.max() <= high + reach else high
    positive = some[some > 0]
    log = not time and some.min() >= 0 and positive.size > 0.99 * some.size and low > 0 and (
        high > _WIDE * low)  # fmt: skip
    if low == high:
        low, high = low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)
    space = np.geomspace if log else np.linspace
    # told with 7 digits: who asks for the values between two edges gets what was counted
    edges = np.array([_short(e) for e in _tidy(space(low, high, BINS + 1), time)])
    edges = np.unique(edges)
    finite = np.isfinite(values)
    at = np.searchsorted(edges, values, "right") - 1
    at[values == edges[-1]] = len(edges) - 2
    out[finite] = at[finite]
    out[finite & (values < edges[0])] = -2
    out[finite & (values > edges[-1])] = -3
    return Binned(edges, out, bool(log))


def _tidy(edges: NDArray[np.float64], time: bool) -> NDArray[np.float64]:
    """Ends rounded outwards (in the seventh digit, times to days): the extremes stay inside,
    below the last edge."""
    for i in (0, -1):
        size = math.floor(math.log10(abs(edges[i]))) if edges[i] else 0
        unit = 1.0 if time else 10.0 ** (size - 6)
        steps = math.floor(round(edges[i] / unit, 3))
        edges[i] = (steps if i == 0 else steps + 1) * unit
    return edges


def sky(columns: Columns, rows: Rows, nside: int = 16) -> dict[str, Any]:
    """How many lie in each HEALPix cell (nested): [[cell, ra, dec, count] …], deg, ICRS.

    Raises UsageError (bad_nside).
    """
    order = nside.bit_length() - 1
    if not 1 <= nside <= 256 or nside != 1 << order:
        raise UsageError(f"nside {nside} is not a power of 2 from 1 to 256", code="bad_nside",
                         where="nside")  # fmt: skip
    import cdshealpix

    cells = columns.kept("healpix29", lambda: np.asarray(
        columns.archive.column("healpix29").fill_null(-1).to_numpy(), np.int64))[rows]  # fmt: skip
    placed = cells[cells >= 0]
    which, counts = np.unique(placed >> (2 * (ORDER - order)), return_counts=True)
    lon, lat = cdshealpix.healpix_to_lonlat(which.astype(np.uint64), order) if len(which) else (
        None, None)  # fmt: skip
    ra = [] if lon is None else [round(v, 4) for v in lon.deg.tolist()]
    dec = [] if lat is None else [round(v, 4) for v in lat.deg.tolist()]
    return {
        "nside": nside, "cells": [list(c) for c in zip(which.tolist(), ra, dec, counts.tolist(),
                                                       strict=True)],
        "placed": len(placed), "unplaced": len(cells) - len(placed),
    }  # fmt: skip
