"""Bands that molecules leave in the spectra of cool stars, and whether a spectrum shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .airvac import air_to_vac


class Molecular(NamedTuple):
    """An absorption band: sharp at its head, fading towards its tail.

    head_air_aa, tail_air_aa : Å, air, at rest; the tail lies redward of a head of TiO or VO, and
        blueward of one of C2, CN or MgH
    """

    molecule: str
    head_air_aa: float
    tail_air_aa: float

    @property
    def label(self) -> str:
        """As in plots: ``C₂``."""
        return self.molecule.replace("2", "₂")

    @property
    def name(self) -> str:
        """``C2_5165``: by its head, Å in air."""
        return f"{self.molecule}_{self.head_air_aa:.0f}"

    def range_aa(self, z: float = 0.0) -> tuple[float, float]:
        """Its ends in vacuum at a redshift, ascending, Å."""
        ends = np.asarray(air_to_vac(np.array(sorted(self[1:])))) * (1.0 + z)
        return float(ends[0]), float(ends[1])


MOLECULAR: tuple[Molecular, ...] = (
    Molecular("CN", 3883.4, 3840.0), Molecular("CN", 4216.0, 4120.0),
    Molecular("C2", 4737.1, 4560.0), Molecular("C2", 5165.2, 4980.0),
    Molecular("C2", 5635.5, 5430.0), Molecular("C2", 6191.3, 6000.0),
    Molecular("TiO", 4761.0, 4840.0), Molecular("TiO", 4954.6, 5060.0),
    Molecular("TiO", 5166.8, 5300.0), Molecular("TiO", 5447.9, 5580.0),
    Molecular("TiO", 5847.6, 5970.0), Molecular("TiO", 6158.5, 6320.0),
    Molecular("TiO", 6651.3, 6830.0), Molecular("TiO", 7054.2, 7270.0),
    Molecular("TiO", 7589.3, 7820.0), Molecular("TiO", 8432.5, 8560.0),
    Molecular("TiO", 8859.6, 8980.0),
    Molecular("CaH", 6382.0, 6420.0), Molecular("CaH", 6750.0, 7050.0),
    Molecular("VO", 7334.0, 7534.0), Molecular("VO", 7851.0, 7973.0),
)  # fmt: skip
"""Bands that are told apart at λ/Δλ of some 500.
Source: heads from Pearse & Gaydon 1976, The Identification of Molecular Spectra; extents as drawn
in Kirkpatrick et al. 1991 (ApJS 77, 417, figure 5) for M dwarfs and in Barnbaum et al. 1996
(ApJS 105, 419) for carbon stars."""

_GAP, _WIDTH = 0.0008, 0.006
"""Of the wavelength: left out on both sides of a head, and what is compared beyond."""
_LEAST, _ALONE, _SIGMAS = 0.05, 0.15, 4.0
"""Depth of a step that counts where other heads of the molecule agree, and where none can."""
_BROAD = {  # no sharp head: (within, without …) in Å of air, and the least depth
    "CaH": ((6380.0, 6390.0), ((6345.0, 6355.0), (6410.0, 6420.0)), 0.07),
    "VO": ((7860.0, 7880.0), ((7960.0, 8000.0),), 0.17),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shown:
    """A band that a spectrum shows. depth : 1 − flux within over flux without, at its head"""

    band: Molecular
    depth: float


def bands_shown(
    wave_vac_aa: NDArray[Any], flux: NDArray[Any], ivar: NDArray[Any], z: float = 0.0
) -> tuple[Shown, ...]:
    """The molecular bands that a spectrum shows at a redshift, by wavelength of their heads.

    C₂ and TiO count where half of the heads in range, two at least, are steps of 5 % or more in
    the right sense; a single head in range, and all of CN, from 15 % on; CaH and VO where TiO does.

    Parameters
    ----------
    wave_vac_aa : (n,) Å, vacuum · flux, ivar : (n,); ivar 0 = no information
    Source: CaH by the index CaH1 of Reid, Hawley & Gizis 1995 (AJ 110, 1838), below 0.93; VO by
    VO-a's range in Kirkpatrick et al. 1999 (ApJ 519, 802); thresholds chosen on MILES (none of its
    stars hotter than 4600 K shows C₂ or TiO, all M giants and dwarfs do). Valid for: λ/Δλ ≥ 500.
    """
    seen = (wave_vac_aa, flux, ivar)
    found: list[Shown] = []
    for molecule in ("CN", "C2", "TiO"):
        own = [b for b in MOLECULAR if b.molecule == molecule]
        steps = [(b, *_step(seen, b, z)) for b in own]
        known = [(b, d, e) for b, d, e in steps if np.isfinite(d)]
        alone = molecule == "CN" or len(known) < 2
        least = _ALONE if alone else _LEAST
        there = [Shown(b, d) for b, d, e in known if d > max(least, _SIGMAS * e)]
        enough = len(known) if molecule == "CN" else 1 if alone else max(2, len(known) / 2)
        if len(there) >= enough:
            found += there
    if any(s.band.molecule == "TiO" for s in found):
        for molecule, (within, without, least) in _BROAD.items():
            level = float(np.mean([_level(seen, w, z) for w in without]))
            depth = 1.0 - _level(seen, within, z) / level if level > 0 else np.nan
            if depth > least:
                found += [Shown(b, depth) for b in MOLECULAR if b.molecule == molecule]
    return tuple(sorted(found, key=lambda s: s.band.head_air_aa))


_Seen = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


def _step(seen: _Seen, band: Molecular, z: float) -> tuple[float, float]:
    """(depth, error) of the step at a head; NaN if it cannot be seen."""
    wave, flux, ivar = seen
    towards = 1.0 if band.tail_air_aa > band.head_air_aa else -1.0
    head = float(air_to_vac(band.head_air_aa)) * (1.0 + z)
    low, high = np.searchsorted(wave, [head * (1 - _WIDTH), head * (1 + _WIDTH)])
    wave, flux, ivar = wave[low:high], flux[low:high], ivar[low:high]
    away = (wave / head - 1.0) * towards
    sides = [(ivar > 0) & (away > _GAP), (ivar > 0) & (away < -_GAP)]
    if min(s.sum() for s in sides) < 3:
        return np.nan, np.nan
    inside, outside = (float(np.median(flux[s])) for s in sides)
    if outside <= 0:
        return np.nan, np.nan
    # lines among which the step stands count as noise too; a median has 1.25 times a mean's
    errors = [1.25 * max(float(np.median(ivar[s])) ** -0.5, float(np.std(flux[s])))
              / float(s.sum()) ** 0.5 for s in sides]  # fmt: skip
    # of a steep continuum the sides differ too, yet the lines through them meet at the head
    at_head = [float(np.polyval(np.polyfit(away[s], flux[s], 1), 0.0)) for s in sides]
    steep = at_head[1] > 0 and 1.0 - at_head[0] / at_head[1] < 0.5 * _LEAST
    return 0.0 if steep else 1.0 - inside / outside, float(np.hypot(*errors)) / outside


def _level(seen: _Seen, range_air_aa: tuple[float, float], z: float) -> float:
    """Mean flux in a range, NaN if nothing is known there."""
    wave, flux, ivar = seen
    low, high = np.asarray(air_to_vac(np.array(range_air_aa))) * (1.0 + z)
    there = (wave >= low) & (wave <= high) & (ivar > 0)
    return float(flux[there].mean()) if there.any() else np.nan
