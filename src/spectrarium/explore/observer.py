"""What belongs to the observer, not to the object: night-sky lines and where arms of spectrographs
meet, and the molecular band heads that look like a bad join and are none."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.units import C_KMS
from ..measure.airvac import air_to_vac

SKY_AIR_AA: tuple[float, ...] = (
    4046.56, 4358.33, 5460.74, 5577.34, 5889.95, 5895.92, 6300.30, 6363.78, 6498.73, 6533.04,
    6863.96, 6923.22, 7276.41, 7316.28, 7340.89, 7369.25, 7401.86, 7716.03, 7750.64, 7794.11,
    7821.50, 7853.24, 7913.71, 7964.65, 7993.33, 8025.81, 8062.36, 8288.62, 8310.72, 8344.60,
    8382.39, 8399.17, 8415.23, 8430.17, 8452.25, 8465.36, 8493.39, 8504.63, 8761.31, 8778.33,
    8791.19, 8827.10, 8836.02, 8850.66, 8867.61, 8885.85, 8903.11, 8919.64, 8943.40, 8957.97,
    9001.35, 9038.10, 9313.36, 9337.85, 9375.96, 9419.73, 9439.65, 9458.53, 9476.85, 9502.80,
    9552.55, 9567.49, 9700.13, 9719.84, 9740.38, 9791.42, 9872.14, 9914.67,
)  # fmt: skip
"""Å in air: [O I], Na D and the strong OH lines (Osterbrock et al. 1996, PASP 108, 277), mercury
of street lamps (NIST)."""

HEADS_AIR_AA: tuple[float, ...] = (
    4737.1, 5165.2, 5635.5, 6191.3,  # C2 Swan
    4761.0, 4954.6, 5166.8, 5447.9, 6158.5, 6651.3, 7054.2, 7589.3, 8432.5, 8859.6,  # TiO
    5211.0, 6384.0, 6750.0, 7400.5, 7865.0, 7925.0,  # MgH, CaH, VO
)  # fmt: skip
"""Å in air, rest: heads at which a step is none of the instrument's: C2 (Swan), TiO, MgH, CaH, VO
(Pearse & Gaydon 1976, The Identification of Molecular Spectra). Not all of `measure.molecules`:
the weak head of TiO at 5848 Å lies where LAMOST's arms are joined."""


OVERLAPS_VAC_AA: tuple[tuple[float, float], ...] = (
    (5590.0, 6360.0), (7510.0, 7630.0), (9940.0, 10_250.0), (19_600.0, 20_200.0),
)  # fmt: skip
"""Å: where the arms of SDSS and BOSS (Smee et al. 2013, AJ 146, 32), LAMOST (Cui et al. 2012, RAA
12, 1197), DESI (Abareshi et al. 2022, AJ 164, 207) and X-shooter (Vernet et al. 2011, A&A 536,
A105) overlap, taken together."""


def near_sky_line(
    wave_vac_aa: NDArray[Any], width_kms: float, shift_kms: float = 0.0
) -> NDArray[np.bool_]:
    """True within `width_kms` of a strong night-sky line.

    wave_vac_aa : (n,) Å, vacuum, as observed · shift_kms : by which wavelengths may have been
    shifted since (to the barycentre: 31 km/s at most)
    """
    return _near(wave_vac_aa, np.asarray(air_to_vac(np.array(SKY_AIR_AA))), width_kms + shift_kms)


def near_band_head(wave_vac_aa: float, width_kms: float) -> bool:
    """True within `width_kms` of a molecular band head at rest."""
    heads = np.asarray(air_to_vac(np.array(HEADS_AIR_AA)))
    return bool(_near(np.array([wave_vac_aa]), heads, width_kms)[0])


def in_overlap(wave_vac_aa: float) -> bool:
    """True where arms of a well-known spectrograph overlap."""
    return any(low <= wave_vac_aa <= high for low, high in OVERLAPS_VAC_AA)


def _near(wave: NDArray[Any], lines: NDArray[np.float64], width_kms: float) -> NDArray[np.bool_]:
    lines = np.sort(lines)
    at = np.clip(np.searchsorted(lines, wave), 1, lines.size - 1)
    gap = np.minimum(np.abs(wave - lines[at - 1]), np.abs(wave - lines[at]))
    return np.asarray(gap / wave * C_KMS <= width_kms)
