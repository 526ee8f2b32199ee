"""Coverage maps: where on the sky, when and at which frequencies something was observed.

Source: IVOA MOC 2.0 (space and time), MOC 2.1 (frequency).
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from astropy import units as u
from astropy.coordinates import Latitude, Longitude
from astropy.time import Time
from mocpy import MOC, FrequencyMOC, TimeMOC
from numpy.typing import NDArray

from ..domain.errors import UsageError

Form = Literal["fits", "json", "ascii"]
FORMS: dict[Form, str] = {
    "fits": "application/fits", "json": "application/json", "ascii": "text/plain; charset=utf-8",
}  # fmt: skip
"""Serialisations of a MOC and their media types."""
CELLS_MOST = 50_000
"""A map has the finest order at which it is at most so many stretches of cells."""
SPACE_ORDER = 12
"""52″: finer than a fibre's neighbourhood, no map is needed."""
SPACE_FINEST = 29
CONES_MOST = 500_000
"""Cones that a map with a stated radius is made of: five seconds of work."""
TIME_ORDER = 41
"""1.05 s"""
SPECTRAL_ORDER = 20
"""Relative precision of 6 × 10⁻⁵ to 1.2 × 10⁻⁴."""
_C_M_S = 299_792_458.0
_MJD0_US = 2_400_000.5 * 86_400e6
_DAY_US = 86_400_000_000
_JD_BITS, _F_BITS = 61, 51
_WAVEBANDS = (
    ("Gamma-ray", 1e-11), ("X-ray", 1e-8), ("EUV", 1e-7), ("UV", 3e-7), ("Optical", 1e-6),
    ("Infrared", 1e-4), ("Millimeter", 1e-2), ("Radio", np.inf),
)  # fmt: skip
"""Words of the IVOA's vocabulary of messengers, and the wavelength (m) up to which each reaches."""
Ranges = NDArray[np.float64]


# space ----------------------------------------------------------------------------------------


def space_moc(cells29: NDArray[np.int64], order: int | None = None, most: int = CELLS_MOST) -> Any:
    """The cells that positions lie in.

    cells29 : nested HEALPix indices of order 29; negative ones are no position
    order : 0 … 29; None = the finest up to `SPACE_ORDER` with at most `most` stretches
    """
    at = SPACE_ORDER if order is None else order
    cells = _different(np.sort(cells29[cells29 >= 0] >> 2 * (SPACE_FINEST - at)))
    while order is None and at > 0 and _runs(cells) > most:
        at -= 1
        cells = _different(cells >> 2)
    if not len(cells):
        return MOC.new_empty(at)
    return MOC.from_healpix_cells(
        cells.astype(np.uint64), np.full(len(cells), at, np.uint8), max_depth=at
    )


def _different(ascending: NDArray[np.int64]) -> NDArray[np.int64]:
    if not len(ascending):
        return ascending
    first: NDArray[np.bool_] = np.concatenate([[True], ascending[1:] != ascending[:-1]])
    return np.asarray(ascending[first], np.int64)


def _runs(cells: NDArray[np.int64]) -> int:
    """Stretches of neighbouring indices among different ones, ascending: the size of the map."""
    return 1 + int(np.count_nonzero(np.diff(cells) != 1))


def cones_moc(
    ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], radius_deg: float,
    order: int | None = None,
) -> Any:  # fmt: skip
    """Circles of one radius around positions.

    ra_deg, dec_deg : (n,) ICRS; NaN = no position
    order : 0 … 29; None = that whose cells are an eighth of the radius or smaller
    Raises UsageError (too_large) for more than `CONES_MOST` different positions.
    """
    ok = np.isfinite(ra_deg) & np.isfinite(dec_deg)
    places = np.unique(np.column_stack([ra_deg[ok], dec_deg[ok]]), axis=0)
    if len(places) > CONES_MOST:
        raise UsageError(
            f"{len(places):,} positions are too many for circles around each", code="too_large",
            where="RADIUS", remedy="name a COLLECTION, or leave RADIUS out",
        )  # fmt: skip
    if order is None:
        order = int(np.clip(np.ceil(np.log2(58.6 * 8 / radius_deg)), 3, SPACE_FINEST))
    if not len(places):
        return MOC.new_empty(order)
    return MOC.from_cones(
        Longitude(places[:, 0], u.deg), Latitude(places[:, 1], u.deg), radius=radius_deg * u.deg,
        max_depth=order, union_strategy="small_cones", n_threads=1,
    )  # fmt: skip


# time -----------------------------------------------------------------------------------------


def time_moc(t_min: Ranges, t_max: Ranges, order: int | None = None) -> Any:
    """When something was observed.

    t_min, t_max : (n,) MJD, UTC; NaN where unknown: an exposure with a start alone is an instant
    order : 0 … 61; None = the finest up to `TIME_ORDER` with at most `CELLS_MOST` stretches
    """
    at = TIME_ORDER if order is None else order
    lo, hi = merged(*_known(t_min, t_max))
    while order is None and len(lo) > CELLS_MOST and at > 0:
        at -= 1
        lo, hi = merged(lo, hi, gap=2.0 ** (_JD_BITS - at) / _DAY_US)
    if not len(lo):
        return TimeMOC.new_empty(at)
    found = TimeMOC.from_depth61_ranges(_JD_BITS, _tcb_ranges(lo, hi))
    return found.degrade_to_order(at)


def _tcb_ranges(lo: Ranges, hi: Ranges) -> NDArray[np.uint64]:
    """Half-open ranges of microseconds since JD 0 in TCB, which MOCs count in."""
    ends = Time(np.concatenate([lo, hi]), format="mjd", scale="utc").tcb
    whole = np.round(ends.jd1).astype(np.int64) * _DAY_US
    us = whole + np.round((ends.jd1 - np.round(ends.jd1) + ends.jd2) * _DAY_US).astype(np.int64)
    us = np.maximum(us, 0)
    return np.column_stack([us[: len(lo)], us[len(lo) :] + 1]).astype(np.uint64)


# spectrum -------------------------------------------------------------------------------------


def spectral_moc(em_min: Ranges, em_max: Ranges, order: int | None = None) -> Any:
    """The frequencies that spectra cover.

    em_min, em_max : (n,) m, in vacuum or as delivered; NaN where unknown
    order : 0 … 51; None = `SPECTRAL_ORDER`
    """
    at = SPECTRAL_ORDER if order is None else order
    lo, hi = merged(*_known(em_min, em_max))
    inside = (lo > 0) & np.isfinite(hi)
    lo, hi = lo[inside], hi[inside]
    if not len(lo):
        return FrequencyMOC.new_empty(at)
    return FrequencyMOC.from_frequency_ranges(at, _C_M_S / hi * u.Hz, _C_M_S / lo * u.Hz)


def wavebands(shortest_m: float, longest_m: float) -> list[str]:
    """The wavebands that an interval of wavelengths touches."""
    out, start = [], 0.0
    for name, end in _WAVEBANDS:
        if shortest_m < end and longest_m > start:
            out.append(name)
        start = end
    return out


# intervals ------------------------------------------------------------------------------------


def _known(lo: Ranges, hi: Ranges) -> tuple[Ranges, Ranges]:
    """Intervals with a start; one without an end is its start alone, backward ones are turned."""
    lo, hi = np.asarray(lo, np.float64), np.asarray(hi, np.float64)
    ok = np.isfinite(lo)
    lo, hi = lo[ok], hi[ok]
    hi = np.where(np.isfinite(hi), hi, lo)
    return np.minimum(lo, hi), np.maximum(lo, hi)


def merged(lo: Ranges, hi: Ranges, gap: float = 0.0) -> tuple[Ranges, Ranges]:
    """Intervals that do not overlap, ascending; those nearer to each other than `gap` are one."""
    if not len(lo):
        return lo, hi
    by = np.argsort(lo, kind="stable")
    lo, reach = lo[by], np.maximum.accumulate(hi[by])
    first = np.concatenate([[True], lo[1:] > reach[:-1] + gap])
    starts = np.flatnonzero(first)
    return lo[starts], reach[np.concatenate([starts[1:], [len(lo)]]) - 1]


def few(lo: Ranges, hi: Ranges, most: int) -> list[tuple[float, float]]:
    """At most `most` intervals that cover all given ones, the widest gaps left open.

    lo, hi : NaN where unknown, as in `time_moc`
    """
    lo, hi = merged(*_known(lo, hi))
    if len(lo) > most:
        widest = np.argsort(lo[1:] - hi[:-1], kind="stable")[::-1][: most - 1]
        last = np.sort(widest)  # of each interval but the last, what it ends with
        lo, hi = lo[np.concatenate([[0], last + 1])], hi[np.concatenate([last, [len(hi) - 1]])]
    return list(zip(lo.tolist(), hi.tolist(), strict=True))


# bytes ----------------------------------------------------------------------------------------


def moc_bytes(moc: Any, form: Form) -> bytes:
    """A MOC as FITS (2.0; of space in the form that readers of 1.1 take too), JSON or ASCII."""
    return _WRITERS[form](moc)


def _fits(moc: Any) -> bytes:
    out = io.BytesIO()
    moc.serialize("fits", v1_compatible=isinstance(moc, MOC)).writeto(out)
    return out.getvalue()


def _json(moc: Any) -> bytes:
    return json.dumps(moc.serialize("json"), separators=(",", ":")).encode() + b"\n"


def _ascii(moc: Any) -> bytes:
    return str(moc.to_string()).strip().encode() + b"\n"


_WRITERS: dict[Form, Callable[[Any], bytes]] = {"fits": _fits, "json": _json, "ascii": _ascii}
