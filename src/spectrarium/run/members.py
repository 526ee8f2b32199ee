"""Many spectra on one grid: which fit together, on what pixels, at what level."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from astropy import units as u
from numpy.typing import NDArray

from ..domain.axis import Medium, SpecSys
from ..domain.errors import TransientError, UsageError
from ..domain.progress import Progress, Silent
from ..domain.spectrum import Normalisation, Spectrum
from ..domain.units import C_KMS, parse_unit
from ..embed.domain import AIR_SHIFT_KMS, OBSERVER_SHIFT_KMS, FluxKind, flux_kind
from ..measure.airvac import air_to_vac
from ..measure.lattice import Lattice, on_lattice
from ..store.archive import Archive, Rows
from .redshifts import redshifts

CACHE_BYTES = 400 << 20
MOST_WIDTH = 4000
_CHUNK = 256
_COVERED_BY = 0.5
"""A grid reaches as far as this share of the members does."""
_AT_HOME = (SpecSys.HELIOCEN.value, SpecSys.BARYCENT.value)
_AT_EARTH = (SpecSys.TOPOCENT.value, SpecSys.GEOCENTR.value)


@dataclass(frozen=True, slots=True)
class Wish:
    """How members are to be put together.

    width : pixels at most · frame : ``delivered``, or ``rest`` by redshift or velocity
    lo_aa, hi_aa : range; None = what most members cover · normalise : ``level`` (each divided by
    its median flux where nearly all have some) or ``none``
    """

    width: int = 1500
    frame: str = "delivered"
    lo_aa: float | None = None
    hi_aa: float | None = None
    normalise: str = "level"

    def __post_init__(self) -> None:
        if not 2 <= self.width <= MOST_WIDTH:
            raise UsageError(f"a width of {self.width} pixels", code="bad_parameter",
                             where="width", remedy=f"give 2 to {MOST_WIDTH}")  # fmt: skip
        for name, value, known in (("frame", self.frame, ("delivered", "rest")),
                                   ("normalise", self.normalise, ("level", "none"))):  # fmt: skip
            if value not in known:
                raise UsageError(f"{name} cannot be {value!r}", code="bad_parameter", where=name,
                                 remedy=f"choose {' or '.join(known)}")  # fmt: skip
        low = 0.0 if self.lo_aa is None else self.lo_aa
        if self.hi_aa is not None and not 0 <= low < self.hi_aa:
            raise UsageError(f"the range {low:g} … {self.hi_aa:g} Å is empty", code="bad_window",
                             where="lo_aa", remedy="give the shorter wavelength first")  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Who can be put together, and on what grid; told from the catalogue alone.

    rows : (n,) that fit · shift : (n,) by which their wavelengths are divided
    medium : of the grid · left_out : why how many do not fit
    """

    rows: Rows
    shift: NDArray[np.float64]
    grid: Lattice
    medium: Medium
    kind: FluxKind
    unit: str | None
    wish: Wish
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def planned(archive: Archive, rows: Rows, wish: Wish) -> Plan:
    """What of `rows` can be put together: the kind of flux, medium and frame that most have.

    Raises
    ------
    UsageError (nothing_to_stack) : nothing fits, saying why
    """
    left: Counter[str] = Counter()
    notes: list[str] = []
    names = ["em_min", "em_max", "em_pixel_kms", "medium", "specsys", "n_orders", "flux_unit",
             "normalisation"]  # fmt: skip
    take = pa.array(np.asarray(rows, np.int64))
    facts = {n: archive.column(n).take(take) for n in names}
    low, high, pixel = (_floats(facts[n]) for n in names[:3])
    words = {n: np.array(facts[n].to_pylist(), object) for n in names[3:]}
    keep = np.ones(len(rows), bool)

    def leave(which: NDArray[Any], why: str) -> None:
        left[why] += int((keep & which).sum())
        keep[:] &= ~which

    leave(np.array([(o or 0) > 0 for o in words["n_orders"]], bool), "echelle orders kept apart")
    leave(~((low > 0) & (high > low)), "no wavelength range")
    kinds = _kinds(words["flux_unit"], words["normalisation"])
    told = np.array([k is not None for k in kinds], bool)
    kind = _commonest(kinds[keep & told], FluxKind.CALIBRATED)
    other = np.array([k is not None and k is not kind for k in kinds], bool)
    if kind is FluxKind.CONTINUUM_SUBTRACTED:
        other |= ~told
    leave(other, f"flux of another kind than {kind.value}")
    if told[keep].any() and (silent := int((keep & ~told).sum())):
        notes.append(f"of {silent}, the unit of the flux is not known: taken to be {kind.value}")
    unit = _commonest(words["flux_unit"][keep], None)
    if wish.normalise == "none":
        leave(words["flux_unit"] != unit, "flux in another unit")
    low, high = low * 1e10, high * 1e10
    air = words["medium"] == Medium.AIR.value
    low[air], high[air] = (air_to_vac(w[air], outside="keep") for w in (low, high))
    shift = _shifts(archive, rows, words["specsys"], pixel, wish, leave, keep)
    low, high = low / shift, high / shift
    if not keep.any():
        raise _nothing(left)
    grid = _grid(low[keep], high[keep], pixel[keep], wish, left)
    medium = _medium(words["medium"], grid, keep, leave, notes)
    _frames_noted(words["specsys"][keep], grid, wish, notes)
    ends = grid.wave_aa[[0, -1]]
    leave((high <= ends[0]) | (low >= ends[1]), "covers none of the range")
    if not keep.any():
        raise _nothing(left)
    return Plan(np.asarray(rows, np.int64)[keep], shift[keep], grid, medium, kind, unit, wish,
                +left, notes)  # fmt: skip


def _floats(column: Any) -> NDArray[np.float64]:
    return np.array(column.to_numpy(zero_copy_only=False), np.float64)


def _nothing(left: Counter[str]) -> UsageError:
    why = "; ".join(f"{n} {reason}" for reason, n in left.most_common() if n)
    return UsageError(f"none of them can be put together: {why or 'there are none'}",
                      code="nothing_to_stack", remedy="choose others")  # fmt: skip


def _commonest(values: NDArray[Any], default: Any) -> Any:
    return Counter(values.tolist()).most_common(1)[0][0] if len(values) else default


@lru_cache(maxsize=1024)
def _kind_of(unit: str | None, normalisation: str | None) -> FluxKind | None:
    """What the flux is; None where the file says neither its unit nor what was done to it."""
    if unit is None and normalisation in (None, "none", "unknown"):
        return None
    return flux_kind(unit, Normalisation(normalisation or "unknown"))


def _kinds(units: NDArray[Any], normalisations: NDArray[Any]) -> NDArray[Any]:
    pairs = zip(units.tolist(), normalisations.tolist(), strict=True)
    return np.array([_kind_of(unit, how) for unit, how in pairs], object)


def _shifts(
    archive: Archive, rows: Rows, specsys: NDArray[Any], pixel: NDArray[np.float64], wish: Wish,
    leave: Any, keep: NDArray[np.bool_],
) -> NDArray[np.float64]:  # fmt: skip
    """(n,) 1 + z by which wavelengths are divided; 1 in the delivered frame."""
    if wish.frame == "delivered":
        return np.ones(len(rows))
    at_rest = specsys == SpecSys.SOURCE.value
    known = np.isin(specsys, _AT_HOME + _AT_EARTH)
    leave(~at_rest & ~known, "velocity frame unknown")
    z = np.where(at_rest, 0.0, redshifts(archive, rows))
    leave(~np.isfinite(z), "no redshift or velocity")
    earth = np.isin(specsys, _AT_EARTH)
    berv = _floats(archive.column("berv_kms").take(pa.array(np.asarray(rows, np.int64))))
    corrected = np.isfinite(berv) & (np.abs(berv) <= 2 * OBSERVER_SHIFT_KMS)
    leave(earth & ~corrected & (pixel < 2 * OBSERVER_SHIFT_KMS),
          "barycentric correction unknown")  # fmt: skip
    return np.where(keep, 1.0 + z, 1.0) / np.where(earth & corrected, 1.0 + berv / C_KMS, 1.0)


def _grid(
    low: NDArray[np.float64], high: NDArray[np.float64], pixel: NDArray[np.float64], wish: Wish,
    left: Counter[str],
) -> Lattice:  # fmt: skip
    """The longest stretch that at least half of the members cover, or the range wished for."""
    ends = np.concatenate([low, high])
    order = np.argsort(ends, kind="stable")
    depth = np.cumsum(np.where(order < len(low), 1, -1))
    edge = ends[order]
    enough = depth >= max(1, int(np.ceil(_COVERED_BY * min(len(low), depth.max()))))
    start = np.flatnonzero(enough & ~np.concatenate([[False], enough[:-1]]))
    stop = np.flatnonzero(enough & ~np.concatenate([enough[1:], [False]])) + 1
    longest = int(np.argmax(np.log(edge[stop] / edge[start])))
    lo, hi = float(edge[start[longest]]), float(edge[stop[longest]])
    if wish.lo_aa is not None or wish.hi_aa is not None:
        lo = max(float(low.min()), wish.lo_aa if wish.lo_aa is not None else lo)
        hi = min(float(high.max()), wish.hi_aa if wish.hi_aa is not None else hi)
        if lo >= hi:
            raise _nothing(left + Counter({"covers none of the range": len(low)}))
    widths = pixel[np.isfinite(pixel) & (pixel > 0)]
    least = 0.5 * float(np.median(widths)) / C_KMS if len(widths) else 0.0
    return Lattice.over(lo, hi, wish.width, least)


def _medium(
    media: NDArray[Any], grid: Lattice, keep: NDArray[np.bool_], leave: Any, notes: list[str]
) -> Medium:
    """Vacuum, or unknown where most are; what would have to be guessed is left out."""
    unknown = media == Medium.UNKNOWN.value
    mine = int((keep & unknown).sum())
    if not mine:
        return Medium.VACUUM
    if mine == int(keep.sum()):
        notes.append("whether the wavelengths are of air or vacuum is not known")
        return Medium.UNKNOWN
    if grid.step * C_KMS >= 2 * AIR_SHIFT_KMS:
        notes.append(f"of {mine}, air or vacuum is not known: less than half a pixel here")
    elif 2 * mine > keep.sum():
        leave(~unknown, "in a known medium, most are not")
        notes.append("whether the wavelengths are of air or vacuum is not known")
        return Medium.UNKNOWN
    else:
        leave(unknown, "air or vacuum unknown")
    return Medium.VACUUM


def _frames_noted(specsys: NDArray[Any], grid: Lattice, wish: Wish, notes: list[str]) -> None:
    if wish.frame == "rest" or grid.step * C_KMS >= 2 * OBSERVER_SHIFT_KMS:
        return
    groups = {"topocentric": _AT_EARTH, "barycentric": _AT_HOME, "rest": ("SOURCE",),
              "unknown": ("unknown",)}  # fmt: skip
    there = [name for name, words in groups.items() if np.isin(specsys, words).any()]
    if len(there) > 1:
        notes.append(f"velocity frames are mixed: {', '.join(there)}")


@dataclass(frozen=True, slots=True, eq=False)
class _Axis:
    """What depends on a spectral axis only. source keeps alive what the key is the id of."""

    source: Any
    wave: NDArray[np.float64]
    per_lambda: NDArray[np.float64]


class Members:
    """Spectra on rungs of the lattice, the least recently used forgotten beyond `limit` bytes."""

    def __init__(self, archive: Archive, limit: int = CACHE_BYTES) -> None:
        self._archive = archive
        self._limit = limit
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, int, float, bool], tuple[int, Any]] = OrderedDict()
        self._axes: OrderedDict[Any, _Axis] = OrderedDict()
        self.nbytes = 0

    def matrix(
        self, plan: Plan, at: NDArray[np.int64], left: Counter[str],
        progress: Progress | None = None, keep: bool = True,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:  # fmt: skip
        """Members `at` (positions in the plan) on its grid, delivered levels.

        keep : remember them · left : gets the reasons of those that turn out not to fit
        Returns
        -------
        at : (k,) of those that fit · values : (k, n_pix), NaN = no good sample
        Raises
        ------
        TransientError (cancelled)
        """
        progress = progress or Silent()
        grid = plan.grid
        out = np.full((len(at), len(grid)), np.nan, np.float32)
        good = np.zeros(len(at), bool)
        known = plan.medium is not Medium.UNKNOWN
        keys = [(int(plan.rows[i]), grid.rung, float(plan.shift[i]), known) for i in at]
        missing = []
        with self._lock:
            for n, key in enumerate(keys):
                if key in self._kept:
                    self._kept.move_to_end(key)
                    good[n] = self._place(out[n], grid, *self._kept[key])
                else:
                    missing.append(n)
        progress.advance(len(at) - len(missing))
        first = self._archive.index.value("pixel_row", plan.rows[at[missing]])
        ordered = np.array(missing, np.int64)[np.argsort(first, kind="stable")]
        for start in range(0, len(ordered), _CHUNK):
            if progress.cancelled():
                raise TransientError("cancelled", code="cancelled", remedy="start it again")
            some = ordered[start : start + _CHUNK]
            spectra = self._archive.read_rows(plan.rows[at[some]])
            for n, spectrum in zip(some.tolist(), spectra, strict=True):
                made = self._resampled(spectrum, keys[n], known)
                if isinstance(made, str):
                    left[made] += 1
                    continue
                good[n] = self._place(out[n], grid, *made)
                if not good[n]:
                    left["no good sample in the range"] += 1
                if keep:
                    self._keep(keys[n], made)
            progress.advance(len(some))
        return at[good], out[good]

    @staticmethod
    def _place(
        out: NDArray[np.float32], grid: Lattice, start: int, values: NDArray[np.float32]
    ) -> bool:
        a, b = max(start, grid.start), min(start + len(values), grid.stop)
        if a >= b:
            return False
        part = values[a - start : b - start]
        out[a - grid.start : b - grid.start] = part
        return bool(np.isfinite(part).any())

    def _keep(self, key: tuple[int, int, float, bool], made: tuple[int, Any]) -> None:
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self.nbytes += made[1].nbytes + 300
            while self.nbytes > self._limit and len(self._kept) > 1:
                _, (_, old) = self._kept.popitem(last=False)
                self.nbytes -= old.nbytes + 300

    def _resampled(
        self, spectrum: Spectrum, key: tuple[int, int, float, bool], known: bool
    ) -> tuple[int, NDArray[np.float32]] | str:
        if spectrum.flux.ndim != 1:
            return "echelle orders kept apart"
        axis = self._axis(spectrum, known)
        bad, wave = spectrum.mask, axis.wave
        flux = spectrum.flux.astype(np.float64)
        if _per_frequency(spectrum.flux_unit):
            flux = flux * axis.per_lambda
        usable = np.isfinite(wave) & (wave > 0)
        if not usable.all():
            wave, flux, bad = wave[usable], flux[usable], bad[usable]
        if wave.size < 2 or bad.all():
            return "no good sample"
        if wave[0] > wave[-1]:
            wave, flux, bad = wave[::-1], flux[::-1], bad[::-1]
        if not (np.diff(wave) > 0).all():
            order = np.argsort(wave, kind="stable")
            wave, flux, bad = wave[order], flux[order], bad[order]
        return on_lattice(np.ascontiguousarray(wave) / key[2], flux, bad, key[1])

    def _axis(self, spectrum: Spectrum, known: bool) -> _Axis:
        axis = spectrum.axis
        source = axis.wcs if axis.values is None else axis.values
        mark = source if axis.values is None else id(axis.values)
        convert = known and axis.medium is Medium.AIR
        key = (mark, axis.unit, axis.scale, axis.rest_frequency_hz, convert)
        with self._lock:
            if key in self._axes:
                self._axes.move_to_end(key)
                return self._axes[key]
        wave = axis.wave_aa()
        if convert:
            wave = air_to_vac(wave, outside="keep")
        with np.errstate(divide="ignore", invalid="ignore"):
            made = _Axis(source, wave, (wave / wave[wave.size // 2]) ** -2)
        with self._lock:
            self._axes[key] = made
            if len(self._axes) > 512:
                self._axes.popitem(last=False)
        return made


@lru_cache(maxsize=256)
def _per_frequency(unit: str | None) -> bool:
    parsed = parse_unit(unit)
    return parsed is not None and bool(parsed.is_equivalent(u.Jy))
