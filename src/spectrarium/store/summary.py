"""What the catalogue says about a spectrum's samples: range, good pixels, signal to noise."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.spectrum import FlagScheme, Normalisation, Spectrum, UncertaintyKind
from ..domain.units import C_KMS


@dataclass(frozen=True, slots=True)
class Summary:
    """em_min_m, em_max_m : metres, over samples with finite λ > 0; None if there are none.
    pixel_kms : median |Δλ|/λ · c of neighbouring samples, km/s."""

    em_min_m: float | None
    em_max_m: float | None
    pixel_kms: float | None
    n_good: int
    snr: float | None
    snr_source: str | None


_Range = tuple[float | None, float | None, float | None, NDArray[np.bool_] | None]
_ranges: OrderedDict[Any, _Range] = OrderedDict()
_SAMPLED = 8192
"""Sample widths are taken of so many neighbours at most, evenly spread."""


def summarise(s: Spectrum, grid_id: int | None) -> Summary:
    """The summary of a spectrum; `grid_id` names a shared grid whose range is then cached."""
    lo, hi, pixel_kms, bad_wave = _range(s, grid_id)
    flux = s.flux
    bad = ~np.isfinite(flux) if flux.dtype.kind == "f" else np.zeros(flux.shape, bool)
    if bad_wave is not None:
        bad |= bad_wave
    ivar = None
    given, kind = s.uncertainty, s.uncertainty_kind
    if given is not None and kind is UncertaintyKind.IVAR and s.observation.snr is not None:
        bad |= ~((given > 0) & (given < np.inf))  # as `ivar` has it, without a copy in float64
    elif (ivar := s.ivar) is not None:
        bad |= ivar == 0
    if s.flags is not None:
        bad |= (s.flag_scheme or FlagScheme("unknown")).mask(s.flags)
    n_good = int(flux.size - np.count_nonzero(bad))
    snr, source = s.observation.snr, s.observation.snr_source
    if snr is not None:
        source = source or "delivered"
    elif n_good and s.normalisation is not Normalisation.CONTINUUM_SUBTRACTED:  # no level is left
        snr, source = _snr(flux, ivar, ~bad)
    return Summary(lo, hi, pixel_kms, n_good, snr, source)


def _range(s: Spectrum, grid_id: int | None) -> _Range:
    key = None if grid_id is None else (grid_id, s.axis.unit, s.axis.scale)
    if key is not None and key in _ranges:
        return _ranges[key]
    wave = s.axis.wave_aa()
    with np.errstate(invalid="ignore"):
        ok = np.isfinite(wave) & (wave > 0)
    if ok.all():
        found: _Range = (*_ends(wave), _pixel_kms(wave), None)
    elif ok.any():
        found = (*_ends(wave[ok]), _pixel_kms(np.where(ok, wave, np.nan)), ~ok)
    else:
        found = (None, None, None, ~ok)
    if key is not None:
        _ranges[key] = found
        if len(_ranges) > 256:
            _ranges.popitem(last=False)
    return found


def _ends(wave: NDArray[np.float64]) -> tuple[float, float]:
    return float(wave.min()) * 1e-10, float(wave.max()) * 1e-10


def _pixel_kms(wave: NDArray[np.float64]) -> float | None:
    flat = wave.reshape(-1)
    step = max(1, (flat.size - 1) // _SAMPLED)
    left, right = flat[:-1][::step], flat[1:][::step]
    width = np.abs(right - left) / right
    width = width[np.isfinite(width) & (width > 0)]
    return float(np.median(width)) * C_KMS if width.size else None


def _snr(
    flux: NDArray[Any], ivar: NDArray[np.float64] | None, good: NDArray[np.bool_]
) -> tuple[float | None, str | None]:
    """Median flux/σ from the errors; else DER_SNR (Stoehr et al. 2008, ASP 394, 505)."""
    x = flux[good].astype(np.float64)
    if ivar is not None:
        snr, source = float(np.median(x * np.sqrt(ivar[good]))), "computed"
    else:
        if x.size < 5:
            return None, None
        noise = 0.6052697 * float(np.median(np.abs(2.0 * x[2:-2] - x[:-4] - x[4:])))
        if noise <= 0:
            return None, None
        snr, source = float(np.median(x)) / noise, "estimated"
    return (snr, source) if np.isfinite(snr) else (None, None)
