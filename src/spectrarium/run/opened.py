"""One spectrum for drawing: a window of it, its extremes pixel column by pixel column."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..domain.axis import Medium
from ..domain.errors import UsageError
from ..domain.spectrum import EchelleSpectrum, FlagScheme, Spectrum
from ..domain.units import C_KMS
from ..measure.airvac import air_to_vac, vac_to_air
from ..measure.gaussian import MOST_SIGMA_PX, gaussian_pixels
from ..measure.lines import LINES
from ..store.archive import Archive
from .redshifts import redshift_of

MOST_WIDTH = 20_000
EXACT_TIMES = 4
"""Up to so many samples a column are sent as they are."""
_MEDIA = ("asis", "air", "vacuum")


@dataclass(frozen=True, slots=True)
class View:
    """What of a spectrum is to be drawn.

    lo_aa, hi_aa : Å in the medium asked for; None = to the end · width : columns of the picture
    smooth : σ of a Gaussian in samples, 0 = none · medium : ``asis``, ``air`` or ``vacuum``
    order : position of one echelle order; None = all, joined
    """

    lo_aa: float | None = None
    hi_aa: float | None = None
    width: int = 2000
    smooth: float = 0.0
    medium: str = "asis"
    order: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.width <= MOST_WIDTH:
            raise UsageError(f"a width of {self.width} columns", code="bad_parameter",
                             where="width", remedy=f"give 1 to {MOST_WIDTH}")  # fmt: skip
        if self.medium not in _MEDIA:
            raise UsageError(f"there is no medium {self.medium!r}", code="bad_parameter",
                             where="medium", remedy=f"choose {', '.join(_MEDIA)}")  # fmt: skip
        if not 0 <= self.smooth <= MOST_SIGMA_PX:
            raise UsageError(f"smoothing by {self.smooth:g} samples", code="bad_parameter",
                             where="smooth", remedy=f"give 0 to {MOST_SIGMA_PX:g}")  # fmt: skip
        low = 0.0 if self.lo_aa is None else self.lo_aa
        high = math.inf if self.hi_aa is None else self.hi_aa
        if not 0 <= low < high:
            raise UsageError(f"the window {low:g} … {high:g} Å is empty", code="bad_window",
                             where="lo", remedy="give the shorter wavelength first")  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Samples in ascending wavelength, as they will be drawn.

    wave : (n,) Å, medium asked for · flux : (n,) float64 · bad : (n,) True = no use
    sigma : (n,) NaN = unknown; None = the file gives none · flags : (n,) integers; None = none
    """

    wave: NDArray[np.float64]
    flux: NDArray[np.float64]
    bad: NDArray[np.bool_]
    sigma: NDArray[np.float64] | None
    flags: NDArray[np.int64] | None

    def take(self, at: slice | NDArray[Any]) -> Samples:
        """Some of them."""
        return Samples(
            self.wave[at], self.flux[at], self.bad[at],
            None if self.sigma is None else self.sigma[at],
            None if self.flags is None else self.flags[at],
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """What is sent: `samples` as they are (lo and hi None), or one row a column.

    lo, hi : (n,) smallest and largest flux of a column's good samples, NaN without one
    about : plain values for the reader
    """

    samples: Samples
    lo: NDArray[np.float64] | None
    hi: NDArray[np.float64] | None
    about: dict[str, Any] = field(default_factory=dict)

    def table(self) -> pa.Table:
        """Columns wave_aa, flux, lo, hi, sigma, masked, flags (null = unknown)."""
        s = self.samples
        n = s.wave.size

        def numbers(values: NDArray[Any] | None) -> pa.Array:
            if values is None:
                return pa.nulls(n, pa.float32())
            with np.errstate(over="ignore"):
                return pa.array(values.astype(np.float32))

        flags = pa.nulls(n, pa.int32())
        if s.flags is not None:
            flags = pa.array((s.flags & 0xFFFFFFFF).astype(np.uint32).view(np.int32))
        return pa.table({
            "wave_aa": s.wave, "flux": numbers(s.flux), "lo": numbers(self.lo),
            "hi": numbers(self.hi), "sigma": numbers(s.sigma),
            "masked": pa.array(s.bad.astype(np.uint8)), "flags": flags,
        })  # fmt: skip


def drawn_row(archive: Archive, row: int, view: View) -> Drawn:
    """The observation at a catalogue row, of which no more is read than the window needs.

    Raises
    ------
    UsageError : unknown_medium (a conversion of what is in an unknown one), no_order
    A window without samples gives none.
    """
    names = ["em_min", "em_max", "em_xel", "em_pixel_kms", "medium", "n_orders", "obs_id",
             "obs_collection"]  # fmt: skip
    facts = archive.catalogue([row], names).to_pylist()[0]
    window = _delivered_window(view, Medium(facts["medium"]), facts["em_pixel_kms"])
    if window is None or view.order is not None:
        spectrum = archive.read_rows([row])[0]
    else:
        spectrum = _window(archive, row, *window)
    whole = {
        "n": facts["em_xel"], "orders": facts["n_orders"] or 0,
        "id": f"{facts['obs_collection']}:{facts['obs_id']}",
        "redshift": redshift_of(archive, spectrum, row),
    }  # fmt: skip
    ends = [None if facts[k] is None else facts[k] * 1e10 for k in ("em_min", "em_max")]
    return _drawn(spectrum, view, whole, ends)


def _window(archive: Archive, row: int, low: float, high: float) -> Spectrum:
    try:
        return archive.window(row, low, high)
    except UsageError as error:
        if error.code != "no_coverage":
            raise
        return archive.read_rows([row])[0]  # a gap: nothing to draw, but what it is can be told


def drawn(spectrum: Spectrum, view: View, identifier: str = "") -> Drawn:
    """A spectrum in memory; see `drawn_row`."""
    wave = spectrum.wave_aa
    good = np.isfinite(wave) & (wave > 0)
    ends: list[float | None] = [None, None]
    if good.any():
        ends = [float(wave[good].min()), float(wave[good].max())]
    o = spectrum.observation
    rows = spectrum.flux.shape[0] if isinstance(spectrum, EchelleSpectrum) else 0
    z = o.redshift if o.redshift is not None and o.redshift > -0.5 else None
    whole = {"n": spectrum.flux.size, "orders": rows, "id": identifier or o.obs_id, "redshift": z}
    return _drawn(spectrum, view, whole, ends)


def _delivered_window(
    view: View, medium: Medium, pixel_kms: float | None
) -> tuple[float, float] | None:
    """The window as delivered, wider by what smoothing reaches for; None = read everything."""
    if view.lo_aa is None and view.hi_aa is None:
        return None
    if view.smooth and not pixel_kms:
        return None
    low = 0.0 if view.lo_aa is None else view.lo_aa
    high = 1e12 if view.hi_aa is None else view.hi_aa
    if view.medium == "air" and medium is Medium.VACUUM:
        low, high = (float(air_to_vac(w, outside="keep")) for w in (low, high))
    elif view.medium == "vacuum" and medium is Medium.AIR:
        low, high = (float(vac_to_air(w, outside="keep")) for w in (low, high))
    # as the catalogue's sample width is a median: twice what the kernel needs, and for rounding
    reach = 1e-9 + 8.0 * view.smooth * (pixel_kms or 0.0) / C_KMS
    return low * (1.0 - reach), high * (1.0 + reach)


def _drawn(
    spectrum: Spectrum, view: View, whole: dict[str, Any], ends: list[float | None]
) -> Drawn:
    notes = list(spectrum.provenance.warnings)
    delivered = spectrum.axis.medium
    if view.medium != "asis" and delivered is Medium.UNKNOWN:
        raise UsageError(
            "whether its wavelengths are of air or vacuum is not known", code="unknown_medium",
            where=str(whole["id"]), remedy="ingest it with --medium air or --medium vacuum",
        )  # fmt: skip
    parts = [_samples(one, view) for one in _pieces(spectrum, view, notes)]
    samples = _joined([p for p in parts if p.wave.size])
    first, last = (None if e is None else float(_converted(np.array([e]), delivered, view)[0])
                   for e in ends)  # fmt: skip
    inside = _inside(samples, view.lo_aa, view.hi_aa)
    exact = inside.wave.size <= EXACT_TIMES * view.width
    about = _about(spectrum, notes) | whole | {
        "first_aa": first, "last_aa": last, "exact": exact, "smooth": view.smooth,
        "bin": 1 if exact else inside.wave.size / view.width, "in_window": inside.wave.size,
        "medium": delivered.value if view.medium == "asis" else view.medium,
        "delivered_medium": delivered.value, "order": view.order, "notes": notes,
    }  # fmt: skip
    if exact:
        return Drawn(inside, None, None, about)
    return Drawn(*decimated(inside, view.width), about)


def _pieces(spectrum: Spectrum, view: View, notes: list[str]) -> list[Spectrum]:
    """The spectrum itself, or the orders asked for, each cut where it meets its neighbour."""
    if not isinstance(spectrum, EchelleSpectrum):
        if view.order is not None:
            raise UsageError("it has no orders: it is one spectrum", code="no_order",
                             where="order", remedy="leave order out")  # fmt: skip
        return [spectrum]
    count = spectrum.flux.shape[0]
    if view.order is None:
        if count > 1:
            notes.append("the orders are cut in the middle of where they overlap; choose an order "
                         "to see it whole")  # fmt: skip
        return [spectrum.order(i) for i in range(count)]
    if not 0 <= view.order < count:
        raise UsageError(f"there is no order {view.order}", code="no_order", where="order",
                         remedy=f"give 0 to {count - 1}")  # fmt: skip
    return [spectrum.order(view.order)]


def _converted(wave: NDArray[np.float64], delivered: Medium, view: View) -> NDArray[np.float64]:
    if view.medium == "air" and delivered is Medium.VACUUM:
        return vac_to_air(wave, outside="keep")
    if view.medium == "vacuum" and delivered is Medium.AIR:
        return air_to_vac(wave, outside="keep")
    return wave


def _samples(spectrum: Spectrum, view: View) -> Samples:
    """Samples of one run of pixels, smoothed, converted, in ascending wavelength."""
    wave = _converted(spectrum.wave_aa, spectrum.axis.medium, view)
    flux = spectrum.flux.astype(np.float64)
    ivar, bad = spectrum.ivar, spectrum.mask
    if view.smooth > 0:
        flux, ivar = gaussian_pixels(flux, view.smooth, ivar, bad)
    sigma = None
    if ivar is not None:
        sigma = np.full(flux.shape, np.nan)
        np.power(ivar, -0.5, out=sigma, where=ivar > 0)
    flags = None if spectrum.flags is None else spectrum.flags.astype(np.int64)
    out = Samples(wave, flux, bad | ~np.isfinite(flux), sigma, flags)
    usable = np.isfinite(wave) & (wave > 0)
    if not usable.all():
        out = out.take(usable)
    step = np.diff(out.wave)
    if (step >= 0).all():
        return out
    if (step <= 0).all():
        return out.take(slice(None, None, -1))
    return out.take(np.argsort(out.wave, kind="stable"))


def _joined(parts: list[Samples]) -> Samples:
    """One ascending run; where parts overlap each ends in the middle of the overlap."""
    if not parts:
        none = np.empty(0)
        return Samples(none, none, np.empty(0, bool), None, None)
    if len(parts) == 1:
        return parts[0]
    parts = sorted(parts, key=lambda p: float(p.wave[0] + p.wave[-1]))
    cuts = [0.5 * (a.wave[-1] + b.wave[0]) for a, b in pairwise(parts)]
    low, high = [-math.inf, *cuts], [*cuts, math.inf]
    kept = [
        p.take(slice(int(p.wave.searchsorted(a)), int(p.wave.searchsorted(b))))
        for p, a, b in zip(parts, low, high, strict=True)
    ]
    first = parts[0]
    return Samples(
        np.concatenate([p.wave for p in kept]), np.concatenate([p.flux for p in kept]),
        np.concatenate([p.bad for p in kept]),
        None if first.sigma is None else np.concatenate([p.sigma for p in kept]),
        None if first.flags is None else np.concatenate([p.flags for p in kept]),
    )  # fmt: skip


def _inside(samples: Samples, low: float | None, high: float | None) -> Samples:
    start = 0 if low is None else int(samples.wave.searchsorted(low, "left"))
    stop = samples.wave.size if high is None else int(samples.wave.searchsorted(high, "right"))
    return samples if (start, stop) == (0, samples.wave.size) else samples.take(slice(start, stop))


def decimated(
    samples: Samples, width: int
) -> tuple[Samples, NDArray[np.float64], NDArray[np.float64]]:
    """One row a column that holds samples: mean flux and rms σ of the good ones, their extremes.

    Bad samples never set an extreme; a column with one is marked, and its flags are or-ed.

    Parameters
    ----------
    samples : ascending · width : columns of equal Δλ
    Returns
    -------
    samples, lo, hi : one row for each column that is not empty
    """
    wave = samples.wave
    edges = np.linspace(wave[0], wave[-1], width + 1)
    at = wave.searchsorted(edges)
    at[-1] = wave.size
    filled = at[1:] > at[:-1]
    start, stop = at[:-1][filled], at[1:][filled]
    bad = samples.bad
    count = np.add.reduceat((~bad).astype(np.int64), start)
    some = count > 0
    low = np.minimum.reduceat(np.where(bad, np.inf, samples.flux), start)
    high = np.maximum.reduceat(np.where(bad, -np.inf, samples.flux), start)
    total = np.add.reduceat(np.where(bad, 0.0, samples.flux), start)
    mean = np.divide(total, count, out=np.full(start.size, np.nan), where=some)
    sigma = flags = None
    if samples.sigma is not None:
        known = ~bad & np.isfinite(samples.sigma)
        square = np.add.reduceat(np.where(known, samples.sigma, 0.0) ** 2, start)
        number = np.add.reduceat(known.astype(np.int64), start)
        sigma = np.sqrt(np.divide(square, number, out=np.full(start.size, np.nan),
                                  where=number > 0))  # fmt: skip
    if samples.flags is not None:
        flags = np.bitwise_or.reduceat(samples.flags, start)
    marked = np.logical_or.reduceat(bad, start)
    out = Samples(0.5 * (wave[start] + wave[stop - 1]), mean, marked, sigma, flags)
    return out, np.where(some, low, np.nan), np.where(some, high, np.nan)


def _about(spectrum: Spectrum, notes: list[str]) -> dict[str, Any]:
    o, axis = spectrum.observation, spectrum.axis
    scheme = spectrum.flag_scheme
    if spectrum.flags is not None and any(bit > 31 for bit in (scheme.bits if scheme else {})):
        notes.append("flag bits above 31 are not shown")
    numbers = spectrum.order_numbers if isinstance(spectrum, EchelleSpectrum) else ()
    return {
        "specsys": axis.specsys.value, "wave_unit": axis.unit, "flux_unit": spectrum.flux_unit,
        "flux_calibration": spectrum.flux_calibration.value,
        "normalisation": spectrum.normalisation.value,
        "uncertainty_kind": spectrum.uncertainty_kind.value, "resolution": o.em_res_power,
        "flag_bits": _bits(scheme), "flags_name": scheme.name if scheme else None,
        "flags_bad": scheme.bad if scheme else None, "rv_kms": o.rv_kms,
        "target_name": o.target_name, "order_numbers": list(numbers),
    }  # fmt: skip


def _bits(scheme: FlagScheme | None) -> dict[str, str]:
    return {} if scheme is None else {str(b): name for b, name in sorted(scheme.bits.items())}


def lines_listed(lo_aa: float | None = None, hi_aa: float | None = None) -> list[dict[str, Any]]:
    """Known lines between two vacuum wavelengths at rest (Å), ascending."""
    low, high = lo_aa or 0.0, math.inf if hi_aa is None else hi_aa
    found = sorted((x for x in LINES if low <= x.wave_vac_aa <= high), key=lambda x: x.wave_vac_aa)
    air = vac_to_air(np.array([x.wave_vac_aa for x in found]), outside="keep")
    return [
        {"name": x.name, "ion": x.label, "wave_vac_aa": x.wave_vac_aa,
         "wave_air_aa": round(float(a), 4), "kind": x.kind.value, "weight": x.weight}
        for x, a in zip(found, air, strict=True)
    ]  # fmt: skip
