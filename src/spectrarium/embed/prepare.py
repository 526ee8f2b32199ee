"""Spectrum → normalised flux and inverse variance on a model's grid."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
from astropy import units as u
from blake3 import blake3
from numpy.typing import NDArray

from ..domain.axis import Medium
from ..domain.derived import NoiseSource
from ..domain.errors import UsageError
from ..domain.spectrum import Spectrum
from ..domain.units import C_KMS, parse_unit
from ..measure.airvac import air_to_vac
from ..measure.noise import MAD_TO_SIGMA, noise_sigma
from ..measure.pixels import pixel_bounds
from ..measure.resample import Resampler
from ..measure.telluric import in_telluric_band
from .domain import (
    FluxKind,
    ModelDomain,
    Rest,
    SpectrumSummary,
    Telluric,
    flux_kind,
    rest_shift,
    telluric_shift,
)

F4 = np.float32


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Spectra on one model's grid.

    flux : (n, n_pix) float32, divided by `scale`; 0 where there is no information
    ivar : (n, n_pix) float32, times scale²; 0 = no information
    scale : (n,) float64, flux units of the spectrum · snr : (n,) float64, median per model pixel
    coverage : (n,) float64, share of grid pixels with information
    noise_source : n × NoiseSource · index : (n,) int64, positions in what was given
    """

    flux: NDArray[np.float32]
    ivar: NDArray[np.float32]
    scale: NDArray[np.float64]
    snr: NDArray[np.float64]
    coverage: NDArray[np.float64]
    noise_source: tuple[NoiseSource, ...]
    index: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.flux.shape[0])

    def __getitem__(self, rows: slice) -> Self:
        return type(self)(
            self.flux[rows], self.ivar[rows], self.scale[rows], self.snr[rows],
            self.coverage[rows], self.noise_source[rows], self.index[rows],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A spectrum that the model is not for; index is its position in what was given."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What depends on the spectral axis only, kept because archives come in runs of one grid.

    usable : (n,) wavelengths that are finite and positive, None = all · per_lambda : (n_used,)
    factor that turns F_ν into a shape per wavelength · wave : (n_used,) vacuum Å, as delivered
    rebin : onto the grid; None where every spectrum is shifted to rest by its own velocity
    """

    rebin: Resampler | None
    usable: NDArray[np.bool_] | None
    per_lambda: NDArray[np.float64]
    pixel_kms: float
    wave: NDArray[np.float64]


class Preparer:
    """Puts spectra on the grid of one domain: vacuum, rebinned, masked, scaled."""

    def __init__(self, domain: ModelDomain, plans: int = 32) -> None:
        """plans : spectral axes whose overlaps with the grid are kept (LRU)"""
        self.domain = domain
        self._edges = domain.edges_aa
        self._plans: OrderedDict[Any, _Plan] = OrderedDict()
        self._most = plans
        wave = domain.wave_aa
        window = domain.scale_range_aa or (wave[0], wave[-1])
        self._scale_at = (wave >= window[0]) & (wave <= window[1])

    def batches(
        self, spectra: Iterable[Spectrum], size: int = 256
    ) -> Iterator[tuple[Prepared, tuple[LeftOut, ...]]]:
        """Prepared batches of up to `size`, each with those it left out; indexes count on."""
        for start, chunk in _chunks(spectra, size):
            yield self.batch(chunk, start)

    def batch(
        self, spectra: Sequence[Spectrum], start: int = 0
    ) -> tuple[Prepared, tuple[LeftOut, ...]]:
        """All spectra that the domain covers, and the others with the reason.

        A model of rest-frame spectra shifts each by its observation's velocity or redshift.

        A spectrum counts as covered when enough grid pixels carry information; pixels outside its
        coverage get ivar 0, never a guess. Noise that was not delivered is estimated and labelled.
        """
        rows: list[_Row] = []
        left: list[LeftOut] = []
        for at, spectrum in enumerate(spectra, start):
            row = self._row(spectrum)
            if isinstance(row, str):
                left.append(LeftOut(at, row))
            else:
                rows.append(row._replace(position=at))
        return self._stack(rows), tuple(left)

    def _stack(self, rows: list[_Row]) -> Prepared:
        empty = np.empty((0, self.domain.n_pix), F4)
        return Prepared(
            flux=np.array([r.flux for r in rows]) if rows else empty,
            ivar=np.array([r.ivar for r in rows]) if rows else empty,
            scale=np.array([r.scale for r in rows], dtype=np.float64),
            snr=np.array([r.snr for r in rows], dtype=np.float64),
            coverage=np.array([r.coverage for r in rows], dtype=np.float64),
            noise_source=tuple(r.noise for r in rows),
            index=np.array([r.position for r in rows], dtype=np.int64),
        )

    def _row(self, s: Spectrum) -> _Row | str:
        kind = flux_kind(s.flux_unit, s.normalisation)
        if s.flux.ndim != 1:
            return "echelle orders are not merged"
        mask = s.mask
        good = int(np.count_nonzero(~mask))
        if good < _LEAST_GOOD:
            return f"{good} good pixels"
        try:
            plan = self._plan(s, mask)
        except UsageError as error:
            return f"spectral axis: {error.what}"
        summary = self._summary(s, plan, mask, kind, good)
        covered, reason = self.domain.covers(summary)
        if not covered:
            return reason
        return self._on_grid(s, plan, mask, summary)

    def _summary(
        self, s: Spectrum, plan: _Plan, mask: NDArray[np.bool_], kind: FluxKind, good: int
    ) -> SpectrumSummary:
        wave = plan.wave[~(mask if plan.usable is None else mask[plan.usable])]
        first, last = float(wave[0]), float(wave[-1])
        return SpectrumSummary(
            em_min_aa=min(first, last), em_max_aa=max(first, last), n_good=good,
            pixel_kms=plan.pixel_kms, medium=s.axis.medium, specsys=s.axis.specsys,
            resolving_power=s.observation.em_res_power, flux_kind=kind,
            redshift=s.observation.redshift, rv_kms=s.observation.rv_kms,
            berv_kms=s.observation.berv_kms,
        )  # fmt: skip

    def _plan(self, s: Spectrum, mask: NDArray[np.bool_]) -> _Plan:
        axis = s.axis
        where = axis.wcs if axis.values is None else blake3(axis.values.tobytes()).digest()
        key = (where, axis.unit, axis.scale, axis.medium, axis.rest_frequency_hz)
        if key in self._plans:
            self._plans.move_to_end(key)
            return self._plans[key]
        wave = axis.wave_aa()
        usable = np.isfinite(wave) & (wave > 0)
        cacheable = True
        if not _monotonic(wave[usable]):  # the fault may lie in flagged pixels only
            usable &= ~mask
            cacheable = False
        plan = self._new_plan(wave, usable, axis.medium)
        if cacheable:
            self._plans[key] = plan
            if len(self._plans) > self._most:
                self._plans.popitem(last=False)
        return plan

    def _new_plan(
        self, wave: NDArray[np.float64], usable: NDArray[np.bool_], medium: Medium
    ) -> _Plan:
        used = wave[usable]
        vacuum = air_to_vac(used, outside="keep") if medium is Medium.AIR else used
        return _Plan(
            rebin=(
                Resampler(pixel_bounds(vacuum), self._edges)
                if self.domain.rest == Rest.NONE
                else None
            ),
            usable=None if usable.all() else usable,
            per_lambda=(vacuum / vacuum[vacuum.size // 2]) ** -2,
            pixel_kms=float(np.median(np.abs(np.diff(vacuum)) / vacuum[1:])) * C_KMS,
            wave=vacuum,
        )

    def _on_grid(
        self, s: Spectrum, plan: _Plan, mask: NDArray[np.bool_], summary: SpectrumSummary
    ) -> _Row | str:
        flux, ivar = s.flux.astype(np.float64), s.ivar
        if plan.usable is not None:
            flux, mask = flux[plan.usable], mask[plan.usable]
            ivar = None if ivar is None else ivar[plan.usable]
        if _per_frequency(s.flux_unit):
            flux = flux * plan.per_lambda
            ivar = None if ivar is None else ivar / plan.per_lambda**2
        noise = NoiseSource.DELIVERED
        if ivar is None:
            ivar, noise = estimated_ivar(flux, mask)
        possible = self.domain.n_pix
        if self.domain.telluric == Telluric.MASK:
            to_observer, margin_kms, _ = telluric_shift(summary)
            mask = mask | in_telluric_band(plan.wave * to_observer, margin_kms)
            possible -= self._in_bands(summary, to_observer, margin_kms)
        out = self._rebin(plan, summary)(flux, ivar, mask)
        assert out.ivar is not None
        weight = np.where(out.mask, 0.0, out.ivar)
        informative = weight > 0
        coverage = float(np.count_nonzero(informative)) / weight.size
        # what the atmosphere takes from every spectrum is not held against one
        if coverage * self.domain.n_pix < self.domain.least_coverage * possible or not coverage:
            return f"good pixels cover {100 * coverage:.0f} % of the model's range"
        return self._scaled(np.where(informative, out.flux, 0.0), weight, coverage, noise)

    def _rebin(self, plan: _Plan, summary: SpectrumSummary) -> Resampler:
        if plan.rebin is not None:
            return plan.rebin
        shift, _ = rest_shift(summary, self.domain.rest, self.domain.pixel_kms)
        return Resampler(pixel_bounds(plan.wave / shift), self._edges)

    def _in_bands(self, summary: SpectrumSummary, to_observer: float, margin_kms: float) -> int:
        """Grid pixels of which telluric bands leave nothing."""
        shift, _ = rest_shift(summary, self.domain.rest, self.domain.pixel_kms)
        taken = in_telluric_band(self._edges * (shift * to_observer), margin_kms)
        return int(np.count_nonzero(taken[:-1] & taken[1:]))

    def _scaled(
        self, flux: NDArray[np.float64], ivar: NDArray[np.float64], coverage: float,
        noise: NoiseSource,
    ) -> _Row | str:  # fmt: skip
        at = self._scale_at & (ivar > 0)
        if not at.any():
            return "no good pixel where the flux scale is taken"
        scale = flux_scale(flux[at], ivar[at], self.domain.flux_kind)
        if not (np.isfinite(scale) and scale > 0 and flux[at].any()):
            return "flux is zero"
        everywhere = ivar > 0
        signal = (
            scale if self.domain.flux_kind is FluxKind.CONTINUUM_SUBTRACTED else flux[everywhere]
        )
        snr = float(np.median(signal * np.sqrt(ivar[everywhere])))
        if self.domain.min_snr is not None and snr < self.domain.min_snr:
            return f"S/N {snr:.1f} below {self.domain.min_snr:.1f}"
        capped = np.minimum(ivar * scale**2, _MOST_IVAR)
        return _Row((flux / scale).astype(F4), capped.astype(F4), scale, snr, coverage, noise, 0)


_LEAST_GOOD = 10
_MOST_IVAR = 1e10
"""Normalised ivar of noiseless input: S/N 1e5, far beyond any model's scatter, safe in float32."""


class _Row(NamedTuple):
    flux: NDArray[np.float32]
    ivar: NDArray[np.float32]
    scale: float
    snr: float
    coverage: float
    noise: NoiseSource
    position: int


def flux_scale(
    flux: NDArray[np.float64], ivar: NDArray[np.float64], kind: FluxKind = FluxKind.CALIBRATED
) -> float:
    """The positive number a spectrum is divided by, robust to lines, spikes and to no signal.

    √(median² + noise²): the median flux where there is signal, the noise of a pixel where there
    is none (a sky fibre), so that nothing is divided by a number near zero. Continuum-subtracted
    flux, whose median is zero, is divided by 1.4826 × its median absolute deviation instead.

    Parameters
    ----------
    flux, ivar : (n,) informative pixels only (ivar > 0)
    """
    level = float(np.median(flux))
    if kind is FluxKind.CONTINUUM_SUBTRACTED:
        return MAD_TO_SIGMA * float(np.median(np.abs(flux - level)))
    noise = float(np.median(ivar)) ** -0.5
    return float(np.hypot(level, noise))


def estimated_ivar(
    flux: NDArray[np.float64], mask: NDArray[np.bool_], blocks: int = 8
) -> tuple[NDArray[np.float64], NoiseSource]:
    """Inverse variance from pixel-to-pixel scatter in `blocks` stretches, joined linearly.

    UNKNOWN, with as good as no noise, where the scatter is zero or cannot be told.
    Source: `measure.noise.noise_sigma`, and its validity: lines narrower than a few pixels and
    molecular bands count as noise; noise correlated beyond two pixels is underestimated.
    """
    edges = np.linspace(0, flux.size, min(blocks, max(1, flux.size // 64)) + 1).astype(int)
    pairs = list(pairwise(edges.tolist()))
    sigma = np.array([noise_sigma(flux[a:b], mask[a:b]) for a, b in pairs])
    known = np.isfinite(sigma) & (sigma > 0)
    if not known.any():
        return np.where(mask, 0.0, np.finfo(np.float32).max), NoiseSource.UNKNOWN
    centres = np.array([0.5 * (a + b) for a, b in pairs])
    full = np.interp(np.arange(flux.size), centres[known], sigma[known])
    return np.where(mask, 0.0, full**-2), NoiseSource.ESTIMATED


@lru_cache(maxsize=256)
def _per_frequency(unit: str | None) -> bool:
    parsed = parse_unit(unit)
    return parsed is not None and parsed.is_equivalent(u.Jy)


def _monotonic(wave: NDArray[np.float64]) -> bool:
    step = np.diff(wave)
    return bool(np.all(step > 0) or np.all(step < 0))


def _chunks(spectra: Iterable[Spectrum], size: int) -> Iterator[tuple[int, list[Spectrum]]]:
    start = 0
    chunk: list[Spectrum] = []
    for spectrum in spectra:
        chunk.append(spectrum)
        if len(chunk) == size:
            yield start, chunk
            start, chunk = start + size, []
    if chunk:
        yield start, chunk
