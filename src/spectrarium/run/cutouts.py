"""Pieces of many spectra at once: cut by wavelength, recast, in the order asked for.

Nothing is dropped: what cannot be cut out comes back with the reason. Series over time (velocities,
line widths) will take the same cut-outs as their input; their product type is ``timeseries``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import Medium, SpecSys
from ..domain.errors import DataError, TransientError, UsageError
from ..domain.spectrum import EchelleSpectrum, Spectrum
from ..domain.units import C_KMS
from ..embed.domain import OBSERVER_SHIFT_KMS, Rest, SpectrumSummary, rest_shift
from ..measure.airvac import air_to_vac, vac_to_air
from ..store.archive import Archive
from ..store.codec import id_hash, uid_of
from .groups import summaries
from .recast import (
    CONTEXT,
    FluxWish,
    Piece,
    Recast,
    all_normalised,
    moved,
    relative,
    require,
    resampled,
    together,
)
from .redshifts import redshifts

SAMPLES_MOST = 8_000_000
"""Samples of one answer."""
_TILES_AT_ONCE = 512
_EVERYTHING = (0.0, 1e12)
_MAY_BE_UNKNOWN = {
    "medium": "air or vacuum is not known: cut at the wavelengths as delivered",
    "frame": "its velocity frame is not known: cut at the wavelengths as delivered",
    "berv": "topocentric, and its barycentric correction is not known: cut at the wavelengths "
            "as delivered",
}  # fmt: skip
_OBSERVERS = (SpecSys.TOPOCENT, SpecSys.GEOCENTR)
Inside = Callable[[float, float], bool]


class Status(StrEnum):
    """What became of one cut-out."""

    OK = "OK"
    NOT_FOUND = "NOT_FOUND"
    NO_PIXELS = "NO_PIXELS"
    REFUSED = "REFUSED"
    DAMAGED = "DAMAGED"


@dataclass(frozen=True, slots=True)
class Filter:
    """One combination of what is to be cut out.

    band_m : (lo, hi) in m, vacuum, barycentric (at rest where that is asked for); ±inf = open
    time_mjd : observed within · sky : all hold of (RA, Dec) in deg · intensity : Stokes I asked for
    """

    band_m: tuple[float, float] | None = None
    time_mjd: tuple[float, float] | None = None
    sky: tuple[Inside, ...] = ()
    intensity: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Cutout:
    """One cut-out, or why there is none.

    number : of the identifier asked for, from 1 · asked : that identifier · redshift : shifted by
    record : catalogue row, empty where nothing is found · spectrum : None unless the status is OK
    """

    number: int
    asked: str
    filter: Filter
    status: Status
    message: str = ""
    notes: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)
    spectrum: Spectrum | None = None
    redshift: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Wanted:
    """A cut-out to be read: as `Cutout`, and lo, hi (Å, vacuum) in the frame of the answer."""

    out: Cutout
    row: int
    shift: float
    lo_aa: float
    hi_aa: float
    pixel: float
    medium: Medium
    notes: tuple[str, ...] = ()

    @property
    def everything(self) -> bool:
        """Whether no band was asked for."""
        return self.out.filter.band_m is None


def rows_named(archive: Archive, names: Sequence[str]) -> list[int | None]:
    """Catalogue rows of ``COLLECTION:OBS_ID`` or bare obs_ids; None where nothing is seen."""
    found: list[int | None] = [None] * len(names)
    tries = [(i, uid_of(name[:at], name[at + 1 :])) for i, name in enumerate(names)
             for at, letter in enumerate(name) if letter == ":"]  # fmt: skip
    rows = archive.rows_of([uid for _, uid in tries])
    for (i, _), row in zip(tries, rows.tolist(), strict=True):
        if row >= 0 and found[i] is None:
            found[i] = row
    for i, name in enumerate(names):
        if found[i] is None and ":" not in name:
            same = archive.current(archive.index.equal("id_hash", id_hash(name)))
            found[i] = int(same[0]) if len(same) == 1 else None
    return found


def cutouts(
    archive: Archive, asked: Sequence[str], names: Sequence[str], filters: Sequence[Filter],
    recast: Recast, *, cancelled: Callable[[], bool] = lambda: False, most: int = SAMPLES_MOST,
) -> Iterator[Cutout]:  # fmt: skip
    """Every combination of an identifier with a filter, identifier by identifier.

    Only tiles that hold a window are read, those of many spectra together.

    Parameters
    ----------
    asked, names : (n,) identifiers as the asker wrote them, and as `rows_named` knows them
    cancelled : asked now and then · most : samples of the whole answer
    Raises
    ------
    UsageError (too_much) : more than `most` samples · TransientError (cancelled)
    """
    planned = list(_planned(archive, asked, names, filters, recast))
    total, at = 0, 0
    while at < len(planned):
        if cancelled():
            raise TransientError("the work was cancelled", code="cancelled")
        stop = _batch(archive, planned, at)
        for found in _read(archive, planned[at:stop], recast):
            total += 0 if found.spectrum is None else len(found.spectrum)
            if total > most:
                raise UsageError(f"the answer has more than {most:,} samples", code="too_much",
                                 remedy="ask for a narrower BAND or fewer spectra")  # fmt: skip
            yield found
        at = stop


def _planned(
    archive: Archive, asked: Sequence[str], names: Sequence[str], filters: Sequence[Filter],
    recast: Recast,
) -> Iterator[_Wanted | Cutout]:  # fmt: skip
    rows = rows_named(archive, names)
    known = sorted({row for row in rows if row is not None})
    at = np.array(known, np.int64)
    records = dict(zip(known, archive.catalogue(at).to_pylist(), strict=True))
    facts = dict(zip(known, summaries(archive, at), strict=True))
    z = dict(zip(known, redshifts(archive, at).tolist(), strict=True)) if recast.rest else {}
    for number, (name, row) in enumerate(zip(asked, rows, strict=True), 1):
        for one in filters:
            if row is None:
                yield Cutout(number, name, one, Status.NOT_FOUND,
                             "no observation is called so here")  # fmt: skip
                continue
            out = Cutout(number, name, one, Status.OK, record=records[row])
            yield _plan(out, row, facts[row], z.get(row, math.nan), recast)


def _plan(
    out: Cutout, row: int, facts: SpectrumSummary, z: float, recast: Recast
) -> _Wanted | Cutout:
    reason = _outside(out.record, out.filter)
    if reason:
        return replace(out, status=Status.NO_PIXELS, message=reason)
    shift = 1.0
    if recast.rest:
        known = replace(facts, redshift=z if math.isfinite(z) else None)
        shift, reason = rest_shift(known, Rest.Z, facts.pixel_kms)
        if reason:
            return replace(out, status=Status.REFUSED, message=reason)
        out = replace(out, redshift=z if shift != 1.0 and math.isfinite(z) else None)
    low, high = (0.0, 1e12) if out.filter.band_m is None else (
        min(max(1e10 * end, 0.0), 1e12) for end in out.filter.band_m)  # fmt: skip
    notes = []
    if out.filter.band_m is not None and not recast.rest:
        factor, note = _observer(facts)
        low, high = low * factor, high * factor
        notes += [_MAY_BE_UNKNOWN[note]] if note else []
        notes += [_MAY_BE_UNKNOWN["medium"]] if facts.medium is Medium.UNKNOWN else []
    if recast.rest and shift != 1.0:
        notes.append("flux densities stay per unit of the observed wavelength")
    pixel = facts.pixel_kms / C_KMS if math.isfinite(facts.pixel_kms) else 1e-4
    return _Wanted(out, row, shift, low, high, pixel, facts.medium, tuple(notes))


def _outside(record: Mapping[str, Any], wanted: Filter) -> str:
    """Why a spectrum as a whole does not meet a filter; empty where it does."""
    if not wanted.intensity:
        return "it is a spectrum of the intensity (Stokes I)"
    ra, dec = record.get("s_ra"), record.get("s_dec")
    if wanted.sky:
        if ra is None or dec is None:
            return "its position is not known"
        if any(not inside(ra, dec) for inside in wanted.sky):
            return "it lies outside the region of the sky"
    if wanted.time_mjd is not None:
        start, stop = record.get("t_min"), record.get("t_max")
        start, stop = stop if start is None else start, start if stop is None else stop
        if start is None or stop is None:
            return "its time is not known"
        if stop < wanted.time_mjd[0] or start > wanted.time_mjd[1]:
            return "it was observed at another time"
    return ""


def _observer(facts: SpectrumSummary) -> tuple[float, str]:
    """(factor from barycentric wavelengths to those delivered, what is unknown or "")."""
    if facts.specsys in _OBSERVERS:
        if facts.berv_kms is not None and abs(facts.berv_kms) <= 2 * OBSERVER_SHIFT_KMS:
            return 1.0 / (1.0 + facts.berv_kms / C_KMS), ""
        return 1.0, "berv"
    return 1.0, "frame" if facts.specsys is SpecSys.UNKNOWN else ""


# reading --------------------------------------------------------------------------------------


def _batch(archive: Archive, planned: list[_Wanted | Cutout], at: int) -> int:
    """Where the next batch ends: some ten MB of tiles."""
    tiles = 0
    for stop in range(at, len(planned)):
        one = planned[stop]
        if isinstance(one, Cutout):
            continue
        count = int(archive.index.value("n_tiles", np.array([one.row]))[0])
        low, high = one.out.record.get("em_min"), one.out.record.get("em_max")
        if not one.everything and low and high and high > low:
            width = 1e-10 * (one.hi_aa - one.lo_aa) * one.shift / (high - low)
            count = min(count, math.ceil(count * min(1.0, width)) + 2)
        tiles += count
        if tiles > _TILES_AT_ONCE and stop > at:
            return stop
    return len(planned)


def _read(
    archive: Archive, planned: Sequence[_Wanted | Cutout], recast: Recast
) -> Iterator[Cutout]:
    """The batch, in its order."""
    wanted = [one for one in planned if isinstance(one, _Wanted)]
    windows = _delivered(wanted, recast)
    damage: DataError | None = None
    spectra: list[Spectrum | None] = []
    try:
        spectra = archive.windows([w.row for w in wanted], windows)
    except DataError as error:  # one of them is damaged: find out which
        damage = error
    at = -1
    for one in planned:
        if isinstance(one, Cutout):
            yield one
            continue
        at += 1
        try:
            spectrum = spectra[at] if damage is None else \
                archive.windows([one.row], [windows[at]])[0]  # fmt: skip
            yield _cut(one, spectrum, recast)
        except UsageError as error:
            yield replace(one.out, status=Status.REFUSED, message=error.what)
        except DataError as error:
            yield replace(one.out, status=Status.DAMAGED, message=error.what)


def _delivered(wanted: Sequence[_Wanted], recast: Recast) -> list[tuple[float, float]]:
    """(lo, hi) to read of each, Å as delivered: the band and what is needed around it."""
    ends = np.array([(w.lo_aa, w.hi_aa) for w in wanted]).reshape(-1, 2)
    step = np.zeros(len(wanted))
    if recast.steps is not None:
        lows = [max(w.lo_aa, 1.0) for w in wanted]
        step = np.array([recast.steps.width_aa(low) / low for low in lows])
    reach = np.array([2.0 * w.pixel for w in wanted]) + 2.0 * step
    if recast.flux is FluxWish.NORMALIZED:
        reach = np.maximum(reach, CONTEXT)
    around = ends * np.stack([1.0 - np.minimum(reach, 0.5), 1.0 + reach], axis=1)
    around *= np.array([w.shift for w in wanted]).reshape(-1, 1)
    air = np.array([w.medium is Medium.AIR for w in wanted], bool)
    around[air] = vac_to_air(around[air], outside="keep")
    return [_EVERYTHING if w.everything else (lo, hi)
            for w, (lo, hi) in zip(wanted, around.tolist(), strict=True)]  # fmt: skip


def _pieces(spectrum: Spectrum) -> list[Piece]:
    if not isinstance(spectrum, EchelleSpectrum):
        return [Piece(spectrum)]
    return [Piece(spectrum.order(i), n) for i, n in enumerate(spectrum.order_numbers)]


def _cut(one: _Wanted, spectrum: Spectrum | None, recast: Recast) -> Cutout:
    if spectrum is None:
        return _nothing(one)
    require(spectrum, recast.flux)
    step = 0.0
    if recast.steps is not None and not one.everything:
        step = 1.5 * max(recast.steps.width_aa(one.hi_aa), 2.0 * one.pixel * one.hi_aa)
    notes = list(one.notes)
    pieces = [p for p in _pieces(spectrum) if _inside(p, one, step) is not None]
    if not pieces:
        return _nothing(one)
    if recast.flux is FluxWish.NORMALIZED:
        pieces = all_normalised(pieces, notes)
    kept = [p for p in (_inside(p, one, step) for p in pieces) if p is not None]
    pieces = [Piece(moved(p.spectrum, recast.medium, one.shift), p.order) for p in kept]
    if recast.flux is FluxWish.RELATIVE:
        pieces = relative(pieces)
    if recast.steps is None:
        return replace(one.out, spectrum=together(pieces), notes=tuple(notes))
    low, high = _grid_ends(one, pieces)
    if low > high:
        return _nothing(one)
    out = resampled(pieces, recast.steps, low, high, notes)
    if not np.isfinite(out.flux).any():
        return _nothing(one)
    return replace(one.out, spectrum=out, notes=tuple(notes))


def _grid_ends(one: _Wanted, pieces: Sequence[Piece]) -> tuple[float, float]:
    """(lo, hi) of the bins, Å in the medium and frame of the pieces: of the band, or of all."""
    waves = [p.spectrum.wave_aa for p in pieces]
    every = np.concatenate([w[np.isfinite(w) & (w > 0)] for w in waves])
    if not every.size:
        raise UsageError("no sample has a wavelength", code="no_coverage")
    low, high = float(every.min()), float(every.max())
    if one.everything:
        return low, high
    ends = np.array([one.lo_aa, one.hi_aa])
    if pieces[0].spectrum.axis.medium is Medium.AIR:
        ends = vac_to_air(ends, outside="keep")
    return max(low, float(ends[0])), min(high, float(ends[1]))


def _inside(piece: Piece, one: _Wanted, step_aa: float) -> Piece | None:
    """The samples in the band, or what a new bin needs around it; the nearest to a narrow one."""
    wave = piece.spectrum.wave_aa
    if one.everything:
        return piece if wave.size else None
    if one.medium is Medium.AIR:
        wave = air_to_vac(wave, outside="keep")
    wave = wave / one.shift
    with np.errstate(invalid="ignore"):
        keep: NDArray[np.bool_] = (wave >= one.lo_aa - step_aa) & (wave <= one.hi_aa + step_aa)
        if not keep.any() and one.hi_aa - one.lo_aa < 2.0 * one.pixel * one.hi_aa:
            middle = 0.5 * (one.lo_aa + one.hi_aa)
            away = np.where(np.isfinite(wave), np.abs(wave - middle), np.inf)
            keep = np.zeros(wave.shape, bool)
            keep[np.argmin(away)] = away.min() <= one.pixel * middle
    return piece.take(keep) if keep.any() else None


def _nothing(one: _Wanted) -> Cutout:
    return replace(one.out, status=Status.NO_PIXELS, message="no sample lies in the band",
                   notes=one.notes)  # fmt: skip
