"""Pieces of spectra made comparable: air or vacuum, at rest, over their continuum, on one grid.

Every step keeps units, errors and masks, or says in `notes` what it cannot keep.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import Medium, Scale, SpecSys, SpectralAxis
from ..domain.errors import UsageError
from ..domain.spectrum import (
    FlagScheme,
    FluxCalibration,
    Normalisation,
    Spectrum,
    UncertaintyKind,
)
from ..domain.units import parse_unit, scale_to, spectral_kind
from ..measure.airvac import air_to_vac, vac_to_air
from ..measure.continuum import spline_continuum
from ..measure.pixels import pixel_bounds
from ..measure.resample import Resampler

GRID_MOST = 2_000_000
"""Most bins of a grid."""
CONTEXT = 0.03
"""A continuum is fitted to this share of the wavelength on either side of what is cut out …"""
KNOTS = 0.015
"""… with a knot at every such share: wider than the lines of stars."""
_FIT_SAMPLES = 4000
_COUNTS = {"ct", "adu", "electron", "ph", "DN"}


class FluxWish(StrEnum):
    """What the flux is to be, in SSAP's words."""

    DELIVERED = ""
    ABSOLUTE = "ABSOLUTE"
    RELATIVE = "RELATIVE"
    NORMALIZED = "NORMALIZED"


@dataclass(frozen=True, slots=True)
class Steps:
    """A grid that all spectra share: bin k lies at k · size of ln λ (or of λ in Å if `linear`)."""

    size: float
    linear: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.size) and self.size > 0):
            raise UsageError(f"a step of {self.size:g}", code="bad_parameter", where="RESAMPLE",
                             remedy="give a positive number")  # fmt: skip

    def bins(self, lo_aa: float, hi_aa: float) -> NDArray[np.int64]:
        """Numbers of the bins whose middle lies in [lo, hi]. Raises UsageError (too_much)."""
        low, high = (lo_aa, hi_aa) if self.linear else (math.log(lo_aa), math.log(hi_aa))
        first, last = math.ceil(low / self.size - 1e-9), math.floor(high / self.size + 1e-9)
        if last - first > GRID_MOST:
            raise UsageError(f"a grid of {last - first} bins", code="too_much", where="RESAMPLE",
                             remedy="take a wider step or a narrower band")  # fmt: skip
        return np.arange(first, last + 1)

    def wave_aa(self, bins: NDArray[Any]) -> NDArray[np.float64]:
        """Å at bins; halves are edges."""
        at = np.asarray(bins, np.float64) * self.size
        return at if self.linear else np.exp(at)

    def width_aa(self, wave_aa: float) -> float:
        """Å of a bin at a wavelength."""
        return self.size if self.linear else self.size * wave_aa


@dataclass(frozen=True, slots=True)
class Recast:
    """What is to be done to every spectrum.

    medium : None = as delivered · rest : at rest · flux : see `FluxWish` · steps : None = the
    samples as they are
    """

    medium: Medium | None = None
    rest: bool = False
    flux: FluxWish = FluxWish.DELIVERED
    steps: Steps | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A run of samples: one echelle order, or all there is."""

    spectrum: Spectrum
    order: int | None = None

    def take(self, keep: NDArray[np.bool_]) -> Piece:
        """Only these samples."""
        return self if keep.all() else Piece(taken(self.spectrum, keep), self.order)


def taken(s: Spectrum, keep: NDArray[Any]) -> Spectrum:
    """The samples chosen by a mask or by positions, each array with the bits it had."""
    return s.replace(
        axis=dataclasses.replace(s.axis, values=s.axis.coordinate()[keep], wcs=None),
        flux=s.flux[keep], uncertainty=None if s.uncertainty is None else s.uncertainty[keep],
        flags=None if s.flags is None else s.flags[keep],
        extras={name: array[keep] for name, array in s.extras.items()},
    )  # fmt: skip


# wavelengths ----------------------------------------------------------------------------------


def moved(s: Spectrum, medium: Medium | None, shift: float) -> Spectrum:
    """With its wavelengths in another medium and divided by `shift` (1 + z), both in vacuum.

    The flux stays as it is: a density stays per unit of the wavelength that was observed.
    Raises UsageError (unknown_medium) where the delivered medium would have to be known.
    Source: `measure.airvac` (Morton 2000), FITS Paper III. Air beyond 2000–30 000 Å is vacuum.
    """
    axis = s.axis
    target = axis.medium if medium is None else medium
    if target is axis.medium and shift == 1.0:
        return s
    if axis.medium is Medium.UNKNOWN:
        raise UsageError("whether its wavelengths are of air or vacuum is not known",
                         code="unknown_medium", where=str(s.observation.obs_id),
                         remedy="leave MEDIUM and FRAME out")  # fmt: skip
    wave = axis.wave_aa()
    vacuum = air_to_vac(wave, outside="keep") if axis.medium is Medium.AIR else wave
    vacuum = vacuum / shift
    wave = vac_to_air(vacuum, outside="keep") if target is Medium.AIR else vacuum
    known = spectral_kind(axis.unit) == "wavelength"
    unit = axis.unit if known else "Angstrom"
    return s.replace(axis=SpectralAxis(
        unit, values=wave / scale_to(unit, "Angstrom"), scale=Scale.LINEAR, medium=target,
        specsys=axis.specsys if shift == 1.0 else SpecSys.SOURCE,
    ))  # fmt: skip


# flux -----------------------------------------------------------------------------------------


def scaled(s: Spectrum, factor: NDArray[np.float64] | float, **changes: Any) -> Spectrum:
    """Flux and error times a positive factor; NaN where that is NaN."""
    kind = s.flux.dtype if s.flux.dtype.kind == "f" else np.dtype(np.float64)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        flux = (s.flux * factor).astype(kind)
        sigma = s.uncertainty
        if sigma is not None:
            power = {UncertaintyKind.STD: 1, UncertaintyKind.VAR: 2}.get(s.uncertainty_kind, -2)
            same = sigma.dtype if sigma.dtype.kind == "f" else np.dtype(np.float64)
            sigma = (sigma * np.power(factor, power)).astype(same)
    return s.replace(flux=flux, uncertainty=sigma, flux_unit="", flux_ucd=None, **changes)


def require(s: Spectrum, wish: FluxWish) -> None:
    """Refuse a calibration that the flux was not delivered with, and cannot be given.

    Raises UsageError (not_calibrated).
    """
    have = s.flux_calibration
    if wish is FluxWish.ABSOLUTE and have is not FluxCalibration.ABSOLUTE:
        raise _not_calibrated(s, f"its flux is not absolute but {have.value}")
    shapes = (FluxCalibration.ABSOLUTE, FluxCalibration.RELATIVE)
    if wish is FluxWish.RELATIVE and have not in shapes:
        raise _not_calibrated(s, f"its flux has no relative calibration: it is {have.value}")
    subtracted = s.normalisation is Normalisation.CONTINUUM_SUBTRACTED
    if wish is FluxWish.NORMALIZED and subtracted:
        raise _not_calibrated(s, "its continuum was subtracted before delivery")


def _not_calibrated(s: Spectrum, what: str) -> UsageError:
    return UsageError(what, code="not_calibrated", where=str(s.observation.obs_id),
                      remedy="choose another FLUXCALIB")  # fmt: skip


def normalised(s: Spectrum) -> Spectrum:
    """Divided by its continuum: a spline through what lines of either sign leave.

    One that was normalised before stays as it is. The continuum's own error is not counted.
    Raises UsageError (too_few_pixels, no_continuum). Source: `measure.continuum`.
    """
    divided = s.normalisation is Normalisation.CONTINUUM_DIVIDED
    if divided or s.flux_calibration is FluxCalibration.NORMALIZED:
        return s
    level = _continuum(s)
    if not (level > 0).any():
        raise UsageError("its continuum is not above zero", code="no_continuum",
                         where=str(s.observation.obs_id))  # fmt: skip
    with np.errstate(divide="ignore"):
        factor = np.where(level > 0, 1.0 / level, np.nan)
    return scaled(s, factor, flux_calibration=FluxCalibration.NORMALIZED,
                  normalisation=Normalisation.CONTINUUM_DIVIDED)  # fmt: skip


def all_normalised(pieces: Sequence[Piece], notes: list[str]) -> list[Piece]:
    """Each `normalised`; an order that has no continuum loses its flux, and a note says so.

    Raises UsageError (too_few_pixels, no_continuum) where none has one.
    """
    out, refused = [], []
    for piece in pieces:
        try:
            out.append(Piece(normalised(piece.spectrum), piece.order))
        except UsageError as error:
            refused.append(error)
            notes.append(f"order {piece.order} is without flux: {error.what}")
            out.append(Piece(scaled(
                piece.spectrum, math.nan, flux_calibration=FluxCalibration.NORMALIZED,
                normalisation=Normalisation.CONTINUUM_DIVIDED), piece.order))  # fmt: skip
    if len(refused) == len(out):
        raise refused[0]
    return out


def _continuum(s: Spectrum) -> NDArray[np.float64]:
    """(n,) in the order of the samples; NaN outside the good ones."""
    at = ordered(s)
    wave, flux, mask = s.wave_aa[at], s.flux[at].astype(np.float64), s.mask[at]
    ivar = None if s.ivar is None else s.ivar[at]
    out = np.full(s.flux.shape, np.nan)
    if np.count_nonzero(~mask) < 10:
        raise UsageError(f"{np.count_nonzero(~mask)} good pixels are too few for a continuum",
                         code="too_few_pixels", remedy="widen BAND")  # fmt: skip
    good = ~mask
    x, y, w = wave[good], flux[good], None if ivar is None else ivar[good]
    block = max(1, x.size // _FIT_SAMPLES)
    if block > 1:  # a smooth curve needs no more: means are good enough, and quick
        n = x.size // block * block
        weight = np.ones(n) if w is None else w[:n]
        total = weight.reshape(-1, block).sum(axis=1)
        x, y = ((v[:n] * weight).reshape(-1, block).sum(axis=1) / total for v in (x, y))
        w = None if w is None else total
    level = spline_continuum(x, y, w, knot_spacing=KNOTS * float(np.median(x)))
    inside = (wave >= wave[good][0]) & (wave <= wave[good][-1])
    out[at] = np.where(inside, np.interp(wave, x, level), np.nan)
    return out


def ordered(s: Spectrum) -> NDArray[np.int64]:
    """Positions of the samples with a usable wavelength, ascending, each wavelength once."""
    wave = s.wave_aa
    with np.errstate(invalid="ignore"):
        usable = np.flatnonzero(np.isfinite(wave) & (wave > 0))
    step = np.diff(wave[usable])
    if (step > 0).all():
        return usable
    if (step < 0).all():
        return usable[::-1]
    at = usable[np.argsort(wave[usable], kind="stable")]
    first = np.ones(at.size, bool)
    first[1:] = np.diff(wave[at]) > 0
    return np.asarray(at[first])


def relative(pieces: Sequence[Piece]) -> list[Piece]:
    """All divided by the median flux of their good samples. Raises UsageError (no_continuum)."""
    good = np.concatenate([p.spectrum.flux[~p.spectrum.mask] for p in pieces])
    level = float(np.median(good)) if good.size else math.nan
    if not level > 0:
        raise UsageError("its median flux is not above zero", code="no_continuum")
    return [Piece(scaled(p.spectrum, 1.0 / level, flux_calibration=FluxCalibration.RELATIVE,
                         normalisation=Normalisation.SCALED), p.order) for p in pieces]  # fmt: skip


# a common grid --------------------------------------------------------------------------------

_COVERED = FlagScheme("RESAMPLED", {0: "LESS_THAN_HALF_COVERED"}, 1)


def resampled(
    pieces: Sequence[Piece], steps: Steps, lo_aa: float, hi_aa: float, notes: list[str]
) -> Spectrum:
    """One spectrum on the bins between two wavelengths (Å, of the pieces' own axis).

    Flux is conserved (a density over what both grids cover, counts summed), errors are propagated
    and bins less than half covered by good samples are masked. Orders end in the middle of where
    they overlap: fluxes under different blazes are not averaged.
    Source: `measure.resample`. Finer bins than samples repeat them: errors are then correlated.
    """
    first = pieces[0].spectrum
    bins = steps.bins(lo_aa, hi_aa)
    if not bins.size:
        raise UsageError("the band holds no bin of the grid", code="no_coverage",
                         where="RESAMPLE", remedy="take a narrower step")  # fmt: skip
    edges = steps.wave_aa(np.append(bins - 0.5, bins[-1] + 0.5))
    counts, per_hz = _per_sample(first.flux_unit), _per_frequency(first.flux_unit)
    flux, ivar, mask = np.full(bins.size, np.nan), np.zeros(bins.size), np.ones(bins.size, bool)
    best = np.zeros(bins.size)
    for piece in _apart(pieces):
        s = piece.spectrum
        at = ordered(s)
        if at.size < 2:
            continue
        bounds = pixel_bounds(s.wave_aa[at])
        grids = (1.0 / bounds, 1.0 / edges) if per_hz else (bounds, edges)
        rebin = Resampler(*grids, quantity="counts" if counts else "density")
        known = s.ivar
        found = rebin(s.flux[at], None if known is None else known[at], s.mask[at])
        better = found.coverage > best
        flux[better], mask[better] = found.flux[better], found.mask[better]
        if found.ivar is not None:
            ivar[better] = found.ivar[better]
        best = np.maximum(best, found.coverage)
    if first.flags is not None or first.extras:
        notes.append("flags and further columns are not resampled: bins with less than half of "
                     "their width in good samples are masked")  # fmt: skip
    return _on_grid(first, steps.wave_aa(bins), flux, ivar, mask)


def _per_sample(flux_unit: str | None) -> bool:
    """Whether the flux is counts in a sample, and not a density along the axis."""
    unit = parse_unit(flux_unit)
    if unit is None or not {b.name for b in unit.bases} & _COUNTS:
        return False
    parts = list(zip(unit.bases, unit.powers, strict=True))
    length = sum(p for b, p in parts if b.is_equivalent("m"))
    return length in (0, -2) and not any(b.name == "Hz" for b, _ in parts)


def _per_frequency(flux_unit: str | None) -> bool:
    unit = parse_unit(flux_unit)
    return unit is not None and bool(
        unit.is_equivalent("Jy") or unit.is_equivalent("ph s-1 m-2 Hz-1")
    )


def _on_grid(
    first: Spectrum, wave: NDArray[np.float64], flux: NDArray[np.float64],
    ivar: NDArray[np.float64], mask: NDArray[np.bool_],
) -> Spectrum:  # fmt: skip
    kind = first.flux.dtype if first.flux.dtype.kind == "f" else np.dtype(np.float64)
    sigma = None
    if first.uncertainty is not None:
        with np.errstate(divide="ignore"):
            sigma = np.where(ivar > 0, 1.0 / np.sqrt(ivar), np.nan).astype(kind)
    unit = first.axis.unit if spectral_kind(first.axis.unit) == "wavelength" else "Angstrom"
    return Spectrum(
        axis=SpectralAxis(unit, values=wave / scale_to(unit, "Angstrom"),
                          medium=first.axis.medium, specsys=first.axis.specsys),
        flux=flux.astype(kind), uncertainty=sigma,
        uncertainty_kind=UncertaintyKind.NONE if sigma is None else UncertaintyKind.STD,
        flags=mask.astype(np.uint8), flag_scheme=_COVERED, flux_unit=first.flux_unit,
        flux_ucd=first.flux_ucd, flux_calibration=first.flux_calibration,
        normalisation=first.normalisation, observation=first.observation,
        provenance=first.provenance,
    )  # fmt: skip


def _apart(pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces cut in the middle of where neighbours overlap."""
    if len(pieces) == 1:
        return list(pieces)
    waves = [p.spectrum.wave_aa[ordered(p.spectrum)] for p in pieces]
    there = [i for i in range(len(pieces)) if waves[i].size]
    there.sort(key=lambda i: float(waves[i][0] + waves[i][-1]))
    cuts = [0.5 * (waves[a][-1] + waves[b][0]) for a, b in pairwise(there)]
    out = []
    for i, low, high in zip(there, [-math.inf, *cuts], [*cuts, math.inf], strict=True):
        own = pieces[i].spectrum.wave_aa
        with np.errstate(invalid="ignore"):
            out.append(pieces[i].take((own >= low) & (own < high)))
    return out


def together(pieces: Sequence[Piece]) -> Spectrum:
    """Pieces end to end, told apart by a column ``order`` where they are orders."""
    if len(pieces) == 1 and pieces[0].order is None:
        return pieces[0].spectrum
    parts = [p.spectrum for p in pieces]
    first = parts[0]
    orders = np.concatenate([np.full(len(p.spectrum), p.order, np.int32) for p in pieces])

    def join(arrays: list[NDArray[Any] | None]) -> NDArray[Any] | None:
        there = [a for a in arrays if a is not None]
        return np.concatenate(there) if len(there) == len(arrays) else None

    extras = {n: join([p.extras[n] for p in parts]) for n in first.extras}
    return first.replace(
        axis=dataclasses.replace(
            first.axis, values=np.concatenate([p.axis.coordinate() for p in parts]), wcs=None),
        flux=np.concatenate([p.flux for p in parts]),
        uncertainty=join([p.uncertainty for p in parts]), flags=join([p.flags for p in parts]),
        extras={n: a for n, a in extras.items() if a is not None} | {"order": orders},
    )  # fmt: skip
