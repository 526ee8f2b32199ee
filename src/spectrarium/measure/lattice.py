"""One ladder of logarithmic grids for all spectra, and compiled code that puts them on it.

Grids of one rung share their pixels however far each reaches, so that a spectrum that was put on a
rung once serves every later question about the same rung.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..domain.errors import UsageError

_FINEST = 1e-7
"""Δ ln λ of rung 0: 0.03 km/s."""
LEAST_COVERED = 0.5
"""Grid pixels that good samples cover to less than this are left without a value."""


@dataclass(frozen=True, slots=True)
class Lattice:
    """Pixels start … stop − 1 of a rung: centres exp(k Δ), equal steps of ln λ.

    rung : Δ ln λ = 1e-7 · 2^(rung / 2)
    """

    rung: int
    start: int
    stop: int

    @classmethod
    def over(cls, lo_aa: float, hi_aa: float, width: int, least_step: float = 0.0) -> Lattice:
        """The finest rung with at most `width` pixels over a range and steps of `least_step`.

        Raises UsageError (bad_window) for a range that is none.
        """
        if not (0 < lo_aa < hi_aa < math.inf) or width < 2:
            raise UsageError(f"{lo_aa:g} … {hi_aa:g} Å is no range", code="bad_window",
                             remedy="give two wavelengths, the shorter one first")  # fmt: skip
        wanted = max(math.log(hi_aa / lo_aa) / width, least_step, _FINEST)
        rung = math.ceil(2.0 * math.log2(wanted / _FINEST) - 1e-9)
        step = step_of(rung)
        start = math.ceil(math.log(lo_aa) / step - 1e-9)
        return cls(rung, start, max(start + 2, math.floor(math.log(hi_aa) / step + 1e-9) + 1))

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def step(self) -> float:
        """Δ ln λ of a pixel."""
        return step_of(self.rung)

    @property
    def wave_aa(self) -> NDArray[np.float64]:
        """(n,) pixel centres, Å."""
        wave: NDArray[np.float64] = np.exp(np.arange(self.start, self.stop) * self.step)
        return wave


def step_of(rung: int) -> float:
    """Δ ln λ of a rung."""
    return _FINEST * math.sqrt(2.0) ** rung


def on_lattice(
    wave: NDArray[np.float64], flux: NDArray[Any], bad: NDArray[np.bool_], rung: int
) -> tuple[int, NDArray[np.float32]]:
    """A spectrum on its own stretch of a rung: first pixel, mean flux density of each.

    Parameters
    ----------
    wave : (n,) ascending, n ≥ 2, Å · flux : (n,) per unit wavelength · bad : (n,) True = no use
    Returns
    -------
    start, values : NaN where good samples cover less than half of a pixel; ∫F dλ is conserved over
        pixels that good samples cover. Samples end half way to their neighbours; a step 1.5 times
        the one before or after is a gap, over which nothing is spread.
    """
    step = step_of(rung)
    start = math.floor(math.log(wave[0]) / step)
    stop = math.ceil(math.log(wave[-1]) / step) + 1
    edges = np.exp((np.arange(start, stop + 1) - 0.5) * step)
    out = np.empty(stop - start, np.float32)
    _rebin(wave, np.asarray(flux, np.float64), bad, edges, out, LEAST_COVERED)
    return start, out


def _rebin_of(
    wave: Any, flux: Any, bad: Any, edges: Any, out: Any, least: float
) -> None:  # pragma: no cover
    n, m = wave.size, out.size
    total, cover = np.zeros(m), np.zeros(m)
    at = 0
    for i in range(n):
        if bad[i]:
            continue
        before = wave[i] - wave[i - 1] if i > 0 else wave[1] - wave[0]
        after = wave[i + 1] - wave[i] if i < n - 1 else before
        if i == 0:
            before = after
        if before > 1.5 * after and after > 0:
            before = after
        elif after > 1.5 * before and before > 0:
            after = before
        low, high = wave[i] - 0.5 * before, wave[i] + 0.5 * after
        while at < m and edges[at + 1] <= low:
            at += 1
        k = at
        while k < m and edges[k] < high:
            part = min(high, edges[k + 1]) - max(low, edges[k])
            if part > 0:
                total[k] += part * flux[i]
                cover[k] += part
            k += 1
    for k in range(m):
        if cover[k] > 0 and cover[k] >= least * (edges[k + 1] - edges[k]) * (1.0 - 1e-9):
            out[k] = total[k] / cover[k]
        else:
            out[k] = np.nan


_rebin = njit(_rebin_of, cache=True, nogil=True)
