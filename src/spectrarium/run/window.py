"""Which spectra look like this one between two wavelengths, told from their pixels alone."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import Medium, SpecSys
from ..domain.errors import UsageError
from ..domain.progress import Progress
from ..domain.spectrum import Spectrum
from ..domain.units import C_KMS
from ..embed.domain import (
    ModelDomain,
    Rest,
    SpectrumSummary,
    frame_class,
    overlap_fraction,
    rest_shift,
)
from ..embed.prepare import Prepared, Preparer
from ..explore.line_names import lines_named
from ..explore.pixels import LEAST_PIXELS, difference, expected
from ..measure.airvac import air_to_vac
from ..store.archive import Archive, Rows
from .groups import summaries
from .redshifts import redshifts

RESOLUTION_FACTOR = 2.0
"""Candidates of a resolving power further from the query's than this factor either way are left
out: their lines have another shape whatever the source."""
_BATCH = 256
_FEW_THERE = "too few good pixels in the window"
_FEW_COMMON = "too few good pixels in common"


@dataclass(frozen=True, slots=True)
class Place:
    """Where to compare: vacuum Å in the frame of the comparison (rest if `rest`)."""

    lo_aa: float
    hi_aa: float
    rest: bool
    what: str
    least_coverage: float = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Candidates by their pixels; all arrays (n,) unless said.

    distance : rms difference as a share of the query's level, noise taken away (`explore.pixels`)
    chi2 : per degree of freedom · amplitude : (n, 2) a₀, a₁ that scale each to the query
    typical : (n_pix,) mean of all candidates so scaled · left_out : reason → number
    """

    domain: ModelDomain
    query: Prepared
    rows: Rows
    distance: NDArray[np.float64]
    chi2: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    typical: NDArray[np.float64]
    left_out: dict[str, int]


def place_of(
    spectrum: Spectrum, z: float | None, notes: list[str], *,
    window: tuple[float, float] | None, air: bool, line: str | None, width_kms: float, rest: bool,
) -> Place:  # fmt: skip
    """The window that a question means; what it had to suppose goes into `notes`.

    Raises
    ------
    UsageError (bad_window, unknown_line, ambiguous_line, no_redshift, no_coverage)
    """
    if window is not None and line is not None:
        raise UsageError("a window and a line are asked for", code="bad_window",
                         remedy="give one of --window and --line")  # fmt: skip
    if rest and z is None and spectrum.axis.specsys is not SpecSys.SOURCE:
        raise UsageError("the query's redshift is not known", code="no_redshift",
                         where=spectrum.observation.obs_id or spectrum.provenance.path,
                         remedy="give it with --redshift, or leave --rest out")  # fmt: skip
    shift = _shift(spectrum, 0.0 if z is None else z)
    low, high = _range(spectrum)
    if rest:
        low, high = low / shift, high / shift
    if line is not None:
        place = _around(line, width_kms, 1.0 if rest else shift, rest)
        if not rest and z is None and spectrum.axis.specsys is not SpecSys.SOURCE:
            notes.append(f"the query's redshift is not known: {place.what} is taken where it lies "
                         "at rest (--redshift gives another)")  # fmt: skip
    elif window is not None:
        place = _given(window, air, rest)
    else:
        return Place(low, high, rest, "whole range", 0.5)
    if place.hi_aa <= low or place.lo_aa >= high:
        raise UsageError(
            f"{place.what} ({place.lo_aa:.0f}–{place.hi_aa:.0f} Å) lies outside the query's "
            f"{low:.0f}–{high:.0f} Å", code="no_coverage", where="--line" if line else "--window",
            remedy="choose a window that the query covers",
        )  # fmt: skip
    return place


def _given(window: tuple[float, float], air: bool, rest: bool) -> Place:
    low, high = (float(w) for w in window)
    if not (0 < low < high < math.inf):
        raise UsageError(f"{low:g} … {high:g} Å is no window", code="bad_window", where="--window",
                         remedy="give two wavelengths in Å, the shorter one first")  # fmt: skip
    if air:
        low, high = (float(air_to_vac(w, outside="keep")) for w in (low, high))
    return Place(low, high, rest, f"{low:.0f}–{high:.0f} Å")


def _around(line: str, width_kms: float, shift: float, rest: bool) -> Place:
    if not 0 < width_kms < 0.2 * C_KMS:
        raise UsageError(f"a width of {width_kms:g} km/s is none", code="bad_window",
                         where="--width",
                         remedy="give the half-width in km/s, e.g. 1500")  # fmt: skip
    members = lines_named(line)
    low = members[0].wave_vac_aa * shift * (1.0 - width_kms / C_KMS)
    high = members[-1].wave_vac_aa * shift * (1.0 + width_kms / C_KMS)
    return Place(low, high, rest, f"{members[0].label} ± {width_kms:.0f} km/s")


def _shift(spectrum: Spectrum, z: float) -> float:
    """1 + z by which the query's wavelengths are those at rest."""
    summary = dataclasses.replace(SpectrumSummary.of(spectrum), redshift=z)
    shift, reason = rest_shift(summary, Rest.Z, math.inf)
    return 1.0 + z if reason else shift


def _range(spectrum: Spectrum) -> tuple[float, float]:
    """First and last good wavelength, Å vacuum. Raises UsageError (no_good_pixels)."""
    good = spectrum.wave_aa[~spectrum.mask]
    if good.size == 0:
        raise UsageError("the query has no good pixel", code="no_good_pixels",
                         where=spectrum.observation.obs_id or spectrum.provenance.path,
                         remedy="`spectrarium show` gives its flags; choose another")  # fmt: skip
    low, high = float(good.min()), float(good.max())
    if spectrum.axis.medium is Medium.AIR:
        low, high = (float(air_to_vac(w, outside="keep")) for w in (low, high))
    return low, high


def grid_of(spectrum: Spectrum, place: Place) -> ModelDomain:
    """The query's own sampling over the window, and what may be compared with it there.

    Raises UsageError (no_good_pixels) when the window is narrower than a few of its pixels.
    """
    summary = SpectrumSummary.of(spectrum)
    wave = np.sort(spectrum.wave_aa[~spectrum.mask])
    if wave.size < LEAST_PIXELS:
        raise _too_few(spectrum, place, wave.size)
    middle = math.sqrt(place.lo_aa * place.hi_aa)
    near = np.argsort(np.abs(np.log(wave[1:] / middle)))[:201]
    pixel = float(np.median((np.diff(wave) / wave[1:])[near]))
    n_pix = round(math.log(place.hi_aa / place.lo_aa) / pixel) + 1
    if n_pix < LEAST_PIXELS:
        raise _too_few(spectrum, place, n_pix)
    known = summary.resolution
    return ModelDomain(
        place.lo_aa, place.hi_aa, n_pix,
        frame="rest" if place.rest else frame_class(spectrum.axis.specsys, pixel * C_KMS),
        resolution=(known / RESOLUTION_FACTOR, known * RESOLUTION_FACTOR),
        flux_kind=summary.flux_kind, least_coverage=place.least_coverage,
        rest=Rest.Z if place.rest else Rest.NONE,
    )  # fmt: skip


def compare(
    archive: Archive, spectrum: Spectrum, z: float | None, place: Place, rows: Rows,
    progress: Progress,
) -> Compared:  # fmt: skip
    """Every one of `rows` that covers the window, against the query.

    Raises
    ------
    UsageError (not_covered, no_good_pixels) : the query itself cannot be compared there
    """
    domain = grid_of(spectrum, place)
    preparer = Preparer(domain)
    query = _query(preparer, spectrum, z, place)
    left: Counter[str] = Counter()
    found: list[tuple[NDArray[np.float64], ...]] = []
    kept: list[Rows] = []
    top, bottom = np.zeros(domain.n_pix), np.zeros(domain.n_pix)
    progress.start("comparing pixels", len(rows))
    shifts = redshifts(archive, rows) if place.rest else np.full(len(rows), np.nan)
    for chunk, batch, out in prepared_window(archive, preparer, rows, shifts):
        progress.advance(len(batch) + len(out))
        left.update(in_words(reason) for reason in out)
        if not len(batch):
            continue
        d = difference(query.flux[0], query.ivar[0], batch.flux, batch.ivar)
        usable = np.isfinite(d.square)
        left[_FEW_COMMON] += int((~usable).sum())
        kept.append(chunk[usable])
        found.append((d.square[usable], d.error[usable], d.chi2[usable], d.amplitude[usable]))
        weight = np.where(batch.ivar[usable] > 0, 1.0, 0.0)
        top += (weight * scaled(batch.flux[usable], d.amplitude[usable])).sum(axis=0)
        bottom += weight.sum(axis=0)
    square, error, chi2, amplitude = (
        np.concatenate(c) for c in (zip(*found, strict=True) if found else _NOTHING)
    )
    return Compared(
        domain, query, np.concatenate(kept) if kept else np.empty(0, np.int64),
        expected(square, error), chi2, amplitude, top / np.maximum(bottom, 1.0),
        {k: n for k, n in left.most_common() if n},
    )  # fmt: skip


_NOTHING = (
    (np.empty(0),), (np.empty(0),), (np.empty(0),), (np.empty((0, 2)),),
)  # fmt: skip


def scaled(flux: NDArray[np.float32], amplitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, n_pix) (a₀ + a₁ x) × flux: candidates at the query's level."""
    x = np.linspace(-1.0, 1.0, flux.shape[1])
    return np.asarray((amplitude[:, :1] + amplitude[:, 1:] * x) * flux)


def _query(preparer: Preparer, spectrum: Spectrum, z: float | None, place: Place) -> Prepared:
    o = dataclasses.replace(spectrum.observation, redshift=z)
    query, left = preparer.batch([spectrum.replace(observation=o)])
    where = spectrum.observation.obs_id or spectrum.provenance.path
    if left:
        few = "good pixel" in left[0].reason
        raise UsageError(
            f"the query cannot be compared in {place.what}: {left[0].reason}",
            code="no_good_pixels" if few else "not_covered", where=where,
            remedy="choose another window, or declare what its file leaves out",
        )  # fmt: skip
    good = int((query.ivar[0] > 0).sum())
    if good < LEAST_PIXELS:
        raise _too_few(spectrum, place, good)
    return query


def _too_few(spectrum: Spectrum, place: Place, good: int) -> UsageError:
    return UsageError(
        f"{place.what} holds {good} good pixels of the query: shape takes {LEAST_PIXELS}",
        code="no_good_pixels", remedy="choose a wider window",
        where=spectrum.observation.obs_id or spectrum.provenance.path,
    )  # fmt: skip


def prepared_window(
    archive: Archive, preparer: Preparer, rows: Rows, z: NDArray[np.float64]
) -> Iterator[tuple[Rows, Prepared, list[str]]]:
    """(rows kept, their spectra on the grid, reasons of the others), in storage order.

    z : (n,) redshifts that count for `rows`; NaN = unknown. What the catalogue already says not to
    fit is not read; of long spectra only what lies near the window.
    """
    domain = preparer.domain
    facts = summaries(archive, rows)
    if domain.rest is not Rest.NONE:
        facts = [dataclasses.replace(f, redshift=_known(v)) for f, v in
                 zip(facts, z.tolist(), strict=True)]  # fmt: skip
    fits = [domain.covers(f) for f in facts]
    yes = np.array([ok for ok, _ in fits], bool)
    if not yes.all():
        yield rows[:0], preparer.batch([])[0], [reason for ok, reason in fits if not ok]
    shift = np.array([rest_shift(f, domain.rest, domain.pixel_kms)[0] for f in facts])[yes]
    rows, z = rows[yes], z[yes]
    order = np.argsort(archive.index.value("pixel_row", rows), kind="stable")
    rows, z, shift = rows[order], z[order], shift[order]
    tiles = archive.index.value("n_tiles", rows)
    long = tiles > 1 if domain.wave_max_aa < 1.5 * domain.wave_min_aa else np.zeros(len(rows), bool)
    for which in (np.flatnonzero(~long), np.flatnonzero(long)):
        for start in range(0, len(which), _BATCH):
            at = which[start : start + _BATCH]
            if long[at].any():
                spectra = [_cut(archive, int(rows[i]), domain, shift[i]) for i in at]
            else:
                spectra = list(archive.read_rows(rows[at]))
            if domain.rest is not Rest.NONE:
                spectra = [s.replace(observation=dataclasses.replace(
                    s.observation, redshift=_known(z[i])))
                    for s, i in zip(spectra, at, strict=True)]  # fmt: skip
            batch, left = preparer.batch(spectra)
            yield rows[at][batch.index], batch, [item.reason for item in left]


def _cut(archive: Archive, row: int, domain: ModelDomain, shift: float) -> Spectrum:
    """What lies within a hundredth of the window: more than air, frames and pixels can move it."""
    try:
        return archive.window(row, 0.99 * shift * domain.wave_min_aa,
                              1.01 * shift * domain.wave_max_aa)  # fmt: skip
    except UsageError as error:
        if error.code != "no_coverage":
            raise
        return archive.read_rows([row])[0]  # the catalogue thought otherwise: let it be judged


def _known(z: float) -> float | None:
    return float(z) if np.isfinite(z) else None


def in_words(reason: str) -> str:
    """Reasons that differ in numbers only are one reason."""
    for start, words in (
        ("covers", "does not cover the window"),
        ("good pixels cover", _FEW_THERE),
        ("resolution", "resolution unlike the query's"),
        ("sampled", "sampled more than three times as coarsely"),
        ("air or vacuum", "air or vacuum unknown"),
        ("no redshift", "no redshift or velocity to put it at rest by"),
        ("flux is zero", "flux is zero"),
        ("flux is", "another kind of flux"),
        ("frame is", "in another velocity frame"),
    ):
        if reason.startswith(start):
            return words
    return _FEW_THERE if "good pixel" in reason else reason


def none_covers(archive: Archive, rows: Rows, found: Compared) -> bool:
    """Whether all candidates fail on coverage, those too that were left out for their kind."""
    domain, at_rest = found.domain, found.domain.rest is not Rest.NONE
    known = redshifts(archive, rows) if at_rest else np.full(len(rows), np.nan)
    outside = sum(found.left_out.get(reason, 0) for reason in (_FEW_THERE, _FEW_COMMON))
    for facts, z in zip(summaries(archive, rows), known.tolist(), strict=True):
        if at_rest:
            facts = dataclasses.replace(facts, redshift=z if np.isfinite(z) else None)
        shift, unknown = rest_shift(facts, domain.rest, domain.pixel_kms)
        covered = overlap_fraction(facts.em_min_aa / shift, facts.em_max_aa / shift,
                                   domain.wave_min_aa, domain.wave_max_aa)  # fmt: skip
        outside += not unknown and not covered >= domain.least_coverage
    return outside == len(rows)
