"""Where the Earth's atmosphere absorbs so strongly that nothing can be learnt about the object."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..domain.units import C_KMS


class Band(NamedTuple):
    """A telluric absorption band: ``lo_aa`` and ``hi_aa`` are vacuum Å at the observer."""

    molecule: str
    label: str
    lo_aa: float
    hi_aa: float


BANDS: tuple[Band, ...] = (
    Band("O2", "γ", 6_276.0, 6_330.0),
    Band("O2", "B", 6_866.0, 6_965.0),
    Band("H2O", "a", 7_160.0, 7_345.0),
    Band("O2", "A", 7_590.0, 7_715.0),
    Band("H2O", "z", 8_100.0, 8_370.0),
    Band("H2O", "ρ (blue)", 8_930.0, 9_240.0),
    Band("H2O", "ρστ", 9_270.0, 9_800.0),
    Band("H2O", "Φ", 11_000.0, 11_600.0),
    Band("O2", "IR", 12_610.0, 12_760.0),
    Band("H2O", "ψ", 13_000.0, 15_000.0),
    Band("H2O", "Ω", 17_800.0, 19_800.0),
    Band("CO2", "2.01 µm", 19_950.0, 20_250.0),
    Band("CO2", "2.06 µm", 20_450.0, 20_750.0),
)
"""Strong bands between 0.6 and 2.1 µm, edges rounded outwards to where the absorption of a dry
site at airmass 1 falls below some 5 % at λ/Δλ = 2000.
Source: band heads and extents as drawn in Bessell 1999 (PASP 111, 1426, figure 1), Matheson et
al. 2000 (AJ 120, 1499) and Smette et al. 2015 (A&A 576, A77, figure 1); names of the water bands
as in Curcio et al. 1964 (J. Opt. Soc. Am. 54, 681)."""


def in_telluric_band(wave_vac_aa: ArrayLike, margin_kms: float = 0.0) -> NDArray[np.bool_]:
    """True where a wavelength lies in a strong telluric band.

    Parameters
    ----------
    wave_vac_aa : any shape, Å, vacuum, as seen by the observer (topocentric); for wavelengths
        corrected to the barycentre give a `margin_kms` of the correction's size, 31 km/s at most
    margin_kms : every band is widened by this velocity on both sides, km/s
    Returns
    -------
    bool, the shape of `wave_vac_aa`; False for NaN
    Source: `BANDS`. Valid for: 0.6–2.1 µm, ground-based; weaker lines between the bands (water at
    5900 and 6500 Å, say) are not marked.
    """
    wave = np.asarray(wave_vac_aa, dtype=np.float64)
    out = np.zeros(wave.shape, dtype=bool)
    low, high = 1.0 - margin_kms / C_KMS, 1.0 + margin_kms / C_KMS
    for band in BANDS:
        out |= (wave >= band.lo_aa * low) & (wave <= band.hi_aa * high)
    return out
