"""Quasars: power law, broad lines, iron, and the forest of hydrogen in front of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from ..domain.units import C_KMS
from ..measure.lines import line
from .instrument import LOW_GRID
from .profiles import broaden, broadening

Array = NDArray[np.float64]

# line, flux relative to Lyα, σ in Å at rest: Vanden Berk et al. 2001, AJ 122, 549, table 2
_BROAD = (
    ("OVI_1034", 9.6, 7.8), ("Ly_alpha", 100.0, 19.5), ("NV_1240", 2.5, 2.7),
    ("OI_1304", 1.7, 5.4), ("CII_1335", 0.7, 3.9), ("SiIV_1398", 8.9, 14.3),
    ("CIV_1549", 25.3, 14.3), ("HeII_1640", 0.5, 3.9), ("AlIII_1857", 0.3, 5.0),
    ("CIII_1909", 15.9, 23.6), ("CII_2326", 2.0, 22.2), ("MgII_2799", 14.7, 34.9),
    ("H_delta", 5.1, 18.6), ("H_gamma", 12.6, 20.3), ("H_beta", 8.6, 40.4),
    ("HeI_5877", 4.9, 23.5), ("H_alpha", 30.8, 47.4),
)  # fmt: skip
_NARROW = (
    ("NeV_3427", 0.4, 3.5), ("OII_3727", 0.4, 3.3), ("OII_3730", 0.4, 3.3),
    ("NeIII_3870", 1.4, 4.0), ("OIII_4960", 0.7, 3.9), ("OIII_5008", 2.5, 6.0),
    ("NII_6585", 2.0, 3.0), ("SII_6718", 1.6, 2.1), ("SII_6733", 1.0, 2.5),
)  # fmt: skip
_IRON = ((2500.0, 150.0, 14.0), (2200.0, 120.0, 6.0), (4570.0, 60.0, 12.0), (5250.0, 70.0, 12.0),
         (3150.0, 250.0, 12.0))  # fmt: skip
_BIAS = 1.6
LYMAN_ALPHA, LYMAN_BETA, LYMAN_LIMIT = 1215.67, 1025.72, 911.75


@dataclass(frozen=True, slots=True)
class Quasar:
    """z : redshift · slope : α of F_λ ∝ λ^α · lines, iron, width : factors on the composite's

    balnicity_kms : width of broad absorption in C IV, 0 = none
    """

    z: float
    slope: float
    lines: float
    iron: float
    width: float
    balnicity_kms: float = 0.0


def draw_quasar(rng: np.random.Generator) -> Quasar:
    """A quasar between z = 0.3 and 3.8."""
    z = float(np.clip(rng.gamma(5.0, 0.36), 0.3, 3.8))
    bal = float(rng.uniform(3000, 9000)) if z > 1.6 and rng.random() < 0.12 else 0.0
    return Quasar(z, float(rng.normal(-1.55, 0.3)), float(rng.lognormal(0, 0.35)),
                  float(rng.lognormal(0, 0.4)), float(rng.lognormal(-0.05, 0.2)), bal)  # fmt: skip


def quasar_spectrum(quasar: Quasar, sigma_kms: float, rng: np.random.Generator) -> Array:
    """(n,) F_λ on `LOW_GRID`, broadened by the instrument.

    Source: Vanden Berk et al. 2001 (lines, continuum); a log-normal forest (Bi & Davidsen 1997)
    whose mean absorption is τ = 0.0018 (1 + z)^3.92 (Faucher-Giguère et al. 2008, ApJ 681, 831).
    Valid for: z < 4. Metal absorption and Lyman-limit systems are not in it.
    """
    rest = LOW_GRID.wave_aa / (1.0 + quasar.z)
    continuum = (rest / 3000.0) ** quasar.slope
    red = (rest / 5200.0).clip(1.0) ** 1.6  # host galaxy and hot dust flatten the red
    flux = continuum * red
    lya_scale = 92.9 / 100.0  # rest EW of Lyα in Å over its relative flux: VdB table 2
    at_lya = (LYMAN_ALPHA / 3000.0) ** quasar.slope
    for entries, width in ((_BROAD, quasar.width), (_NARROW, 1.0)):
        for name, relative, sigma in entries:
            centre = line(name).wave_vac_aa
            area = quasar.lines * lya_scale * relative * at_lya
            if entries is _BROAD:  # broad lines are more peaked than a Gaussian
                _add(flux, rest, centre, 0.7 * sigma * width, 0.6 * area)
                _add(flux, rest, centre, 1.6 * sigma * width, 0.4 * area)
            else:
                _add(flux, rest, centre, sigma, area)
    for centre, sigma, relative in _IRON:
        _add(flux, rest, centre, sigma, quasar.iron * lya_scale * relative * at_lya)
    if quasar.balnicity_kms:
        flux *= _broad_absorption(rest, quasar.balnicity_kms, rng)
    flux *= _forest(rest, quasar.z, rng)
    transfer = broadening(
        LOW_GRID.n, LOW_GRID.step_kms, np.array([sigma_kms]), np.zeros(1), np.zeros(1)
    )
    return np.asarray(broaden(flux[None, :], transfer)[0])


def _add(flux: Array, wave: Array, centre: float, sigma: float, area: float) -> None:
    """Adds a Gaussian, in place, where it is more than 1e-8 of its peak."""
    low, high = np.searchsorted(wave, [centre - 6 * sigma, centre + 6 * sigma])
    x = (wave[low:high] - centre) / sigma
    flux[low:high] += area / (sigma * 2.506628) * np.exp(-0.5 * x * x)


def _broad_absorption(rest: Array, width_kms: float, rng: np.random.Generator) -> Array:
    """Troughs of C IV, Si IV, N V and Lyα that start 3000 km/s blueward."""
    out = np.ones(rest.size)
    depth = rng.uniform(0.6, 0.95)
    for name, share in (("CIV_1549", 1.0), ("SiIV_1398", 0.6), ("NV_1240", 0.9), ("Ly_alpha", 0.6)):
        v = ((1.0 - rest / line(name).wave_vac_aa) * C_KMS).clip(-3e4, 6e4)
        edge = (
            1.0 / (1 + np.exp(-(v - 3000.0) / 250.0)) / (1 + np.exp((v - 3000 - width_kms) / 600))
        )
        out *= 1.0 - depth * share * edge
    return out


def _forest(rest: Array, z_quasar: float, rng: np.random.Generator) -> Array:
    """Transmission through intergalactic hydrogen."""
    out = np.ones(rest.size)
    for line_aa, strength in ((LYMAN_ALPHA, 1.0), (LYMAN_BETA, 0.16)):
        blue = rest < line_aa * (1.0 - 0.003)  # the quasar ionises its neighbourhood
        n = int(blue.sum())
        if n < 4:
            continue
        field = gaussian_filter1d(rng.standard_normal(n + 64), 2.0)[32 : 32 + n]
        field /= field.std() or 1.0
        z = LOW_GRID.wave_aa[blue] / line_aa - 1.0
        mean_tau = 0.0018 * (1.0 + z) ** 3.92 * strength
        out[blue] *= np.exp(-_amplitude(mean_tau) * np.exp(_BIAS * field))
    beyond = rest < LYMAN_LIMIT
    out[beyond] *= np.exp(-1.5 * (1.0 - (rest[beyond] / LYMAN_LIMIT) ** 3) * (1 + z_quasar) / 4.0)
    return out


@lru_cache(maxsize=1)
def _mean_table() -> tuple[Array, Array]:
    """Effective optical depth −ln⟨exp(−A e^{bδ})⟩ over ln A, δ ~ N(0, 1)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(64)
    log_a = np.linspace(-12.0, 6.0, 400)
    mean = (np.exp(-np.exp(log_a[:, None] + _BIAS * nodes)) @ weights) / weights.sum()
    return log_a, -np.log(mean)


def _amplitude(tau_effective: Array) -> Array:
    """A for which the log-normal forest absorbs τ_effective on average."""
    log_a, tau = _mean_table()
    return np.asarray(np.exp(np.interp(np.log(tau_effective), np.log(tau), log_a)))
