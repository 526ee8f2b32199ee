"""What the catalogue says about a spectrum's samples: range, good pixels, signal to noise."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.spectrum import FlagScheme, Spectrum


@dataclass(frozen=True, slots=True)
class Summary:
    """em_min_m, em_max_m : metres, over samples with finite λ > 0; None if there are none."""

    em_min_m: float | None
    em_max_m: float | None
    n_good: int
    snr: float | None
    snr_source: str | None


_ranges: OrderedDict[Any, tuple[float | None, float | None, int, NDArray[np.bool_] | None]]
_ranges = OrderedDict()


def summarise(s: Spectrum, grid_id: int | None) -> Summary:
    """The summary of a spectrum; `grid_id` names a shared grid whose range is then cached."""
    lo, hi, bad_wave = _range(s, grid_id)
    flux = s.flux
    bad = ~np.isfinite(flux) if flux.dtype.kind == "f" else np.zeros(flux.shape, bool)
    if bad_wave is not None:
        bad |= bad_wave
    ivar = s.ivar
    if ivar is not None:
        bad |= ivar == 0
    if s.flags is not None:
        bad |= (s.flag_scheme or FlagScheme("unknown")).mask(s.flags)
    n_good = int(flux.size - np.count_nonzero(bad))
    snr, source = s.observation.snr, s.observation.snr_source
    if snr is not None:
        source = source or "delivered"
    elif n_good:
        snr, source = _snr(flux, ivar, ~bad)
    return Summary(lo, hi, n_good, snr, source)


def _range(s: Spectrum, grid_id: int | None) -> tuple[Any, Any, NDArray[np.bool_] | None]:
    key = None if grid_id is None else (grid_id, s.axis.unit, s.axis.scale)
    if key is not None and key in _ranges:
        lo, hi, _, bad = _ranges[key]
        return lo, hi, bad
    wave = s.axis.wave_aa()
    with np.errstate(invalid="ignore"):
        ok = np.isfinite(wave) & (wave > 0)
    n_ok = int(ok.sum())
    lo = float(wave[ok].min()) * 1e-10 if n_ok else None
    hi = float(wave[ok].max()) * 1e-10 if n_ok else None
    bad = None if n_ok == wave.size else ~ok
    if key is not None:
        _ranges[key] = (lo, hi, n_ok, bad)
        if len(_ranges) > 256:
            _ranges.popitem(last=False)
    return lo, hi, bad


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
