"""Grey LTE atmospheres: electron pressure, opacity and the continuum that comes out.

Temperature follows the grey law; hydrogen (bound–free, free–free), H⁻ and electron scattering give
the opacity; hydrostatic equilibrium gives the pressure; the continuum is Planck's at the depth
where τ_λ = 2/3 (Eddington–Barbier). Balmer and Paschen jumps, their dependence on temperature and
gravity and the turn-over at H⁻ then come out of the physics and are not painted on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .atoms import ELEMENTS, ion_fractions

Array = NDArray[np.float64]

C2_AA_K = 1.438_776_877e8
"""hc/k in Å K."""
HYDROGEN_EV = 13.598
RYDBERG_AA = 1.096_776e-3
"""Rydberg constant of hydrogen, Å⁻¹."""
_BOLTZMANN = 1.380_649e-16
_PER_HYDROGEN_G = 1.40 * 1.6605e-24
_DONORS = ("Na", "Mg", "Al", "Si", "K", "Ca", "Cr", "Fe", "Ni", "C")


@dataclass(frozen=True, slots=True, eq=False)
class Atmospheres:
    """Conditions at τ_Ross = 2/3, (n,) each.

    teff K · logg cm s⁻² · feh dex · electron_pressure, gas_pressure dyn cm⁻² ·
    neutral : share of hydrogen that is neutral · rosseland : cm² per hydrogen nucleus
    """

    teff: Array
    logg: Array
    feh: Array
    electron_pressure: Array
    gas_pressure: Array
    neutral: Array
    rosseland: Array

    @property
    def electron_density(self) -> Array:
        """cm⁻³."""
        return self.electron_pressure / (_BOLTZMANN * self.teff)

    @property
    def last_level(self) -> Array:
        """Highest hydrogen level that keeps its own line (Inglis & Teller 1939)."""
        return 10.0 ** ((23.26 - np.log10(self.electron_density)) / 7.5)


def planck(wave_aa: Array, temperature_k: Array) -> Array:
    """B_λ in arbitrary, common units. Broadcasts."""
    return np.asarray((wave_aa / 5000.0) ** -5.0 / np.expm1(C2_AA_K / (wave_aa * temperature_k)))


def atmospheres(teff: Array, logg: Array, feh: Array) -> Atmospheres:
    """Grey hydrostatic LTE atmospheres.

    Parameters
    ----------
    teff : (n,) K · logg : (n,) log cm s⁻² · feh : (n,) dex
    Source: Gray 2005, chapters 8–9; pressure by bisection of P_gas = (2/3) g/κ_Ross. Valid for:
    3000–35 000 K and log g 0.5–8.5, to the accuracy a mock needs (colours to some 0.1 mag).
    """
    teff, logg, feh = (np.asarray(a, dtype=np.float64) for a in (teff, logg, feh))
    wave = np.geomspace(250.0, 60_000.0, 72)
    x = C2_AA_K / (wave * teff[:, None])
    weight = wave**-4.0 * x * np.exp(-x) / (wave * np.expm1(-x) ** 2)
    weight *= np.gradient(wave)
    low, high = np.full(teff.shape, -5.0), np.full(teff.shape, 6.0)
    for _ in range(22):
        middle = 0.5 * (low + high)
        pressure, _, ross = _state(10.0**middle, teff, feh, wave, weight)
        too_high = pressure > (2.0 / 3.0) * 10.0**logg * _PER_HYDROGEN_G / ross
        low, high = np.where(too_high, low, middle), np.where(too_high, middle, high)
    pe = 10.0 ** (0.5 * (low + high))
    pressure, neutral, ross = _state(pe, teff, feh, wave, weight)
    return Atmospheres(teff, logg, feh, pe, pressure, neutral, ross)


def _state(
    pe: Array, teff: Array, feh: Array, wave: Array, weight: Array
) -> tuple[Array, Array, Array]:
    """Gas pressure, neutral share of hydrogen and Rosseland opacity."""
    ratio = 10.0 ** (
        2.5 * np.log10(teff) - 0.4772 - np.log10(pe) - 5040.0 / teff * HYDROGEN_EV
    )  # log(u₁/u₀) = −0.3010 is in the constant
    ionised = ratio / (1.0 + ratio)
    fractions = ion_fractions(teff, pe)
    symbols = list(ELEMENTS)
    per_h = ionised.copy()
    for symbol in (*_DONORS, "He"):
        index = symbols.index(symbol)
        charge = fractions[:, index] @ np.arange(4.0)
        scale = 1.0 if symbol == "He" else 10.0**feh
        per_h += 10.0 ** (ELEMENTS[symbol][0] - 12.0) * scale * charge
    kappa = opacity(wave, teff[:, None], pe[:, None], (1.0 - ionised)[:, None], per_h[:, None])
    ross = weight.sum(axis=1) / (weight / kappa).sum(axis=1)
    return pe * (1.0 + 1.085 / per_h), 1.0 - ionised, ross


def opacity(
    wave_aa: Array,
    temperature_k: Array,
    electron_pressure: Array,
    neutral: Array,
    electrons_per_h: Array,
    last_level: Array | None = None,
) -> Array:
    """Continuous opacity, cm² per hydrogen nucleus; arguments broadcast.

    last_level : levels above it are dissolved, so that each edge moves redwards to its line
    Source: Gray 2005, eqs. 8.4–8.13 (fits of Wishart 1979 and Bell & Berrington 1987).
    """
    theta = 5040.0 / temperature_k
    stimulated = -np.expm1(-C2_AA_K / (wave_aa * temperature_k))
    hydrogen = _hydrogen(wave_aa, theta, last_level) * stimulated
    minus = _h_minus_bf(wave_aa, theta) * stimulated + _h_minus_ff(wave_aa, theta)
    return np.asarray(
        neutral * (hydrogen + minus * electron_pressure) + 6.6525e-25 * electrons_per_h
    )


def _hydrogen(wave: Array, theta: Array, last_level: Array | None) -> Array:
    scaled = wave * RYDBERG_AA
    inverse = 0.0 if last_level is None else last_level**-2.0
    total = np.zeros(np.broadcast_shapes(wave.shape, theta.shape))
    for n in range(1, 6):
        gaunt = 1.0 - 0.3456 / scaled ** (1 / 3) * (scaled / n**2 - 0.5)
        level = 10.0 ** (-theta * HYDROGEN_EV * (1.0 - 1.0 / n**2)) / n**3
        edge = 1.0 / (RYDBERG_AA * np.maximum(1.0 / n**2 - inverse, 1e-4))
        total = total + np.where(wave <= edge, gaunt.clip(0.1) * level, 0.0)
    above = 10.0 ** (-theta * HYDROGEN_EV * (1.0 - 1.0 / 36.0)) - 10.0 ** (-theta * HYDROGEN_EV)
    free = 0.43429 / (2.0 * theta * HYDROGEN_EV)
    gaunt_ff = 1.0 + 0.3456 / scaled ** (1 / 3) * (0.43429 * wave / (theta * 12398.0) + 0.5)
    total = total + free * (above + gaunt_ff * 10.0 ** (-theta * HYDROGEN_EV))
    return 1.0449e-26 * wave**3.0 * total


def _h_minus_bf(wave: Array, theta: Array) -> Array:
    w = wave.clip(2250.0, 15_000.0)
    cross = (1.99654 - 1.18267e-5 * w + 2.64243e-6 * w**2 - 4.40524e-10 * w**3
             + 3.23992e-14 * w**4 - 1.39568e-18 * w**5 + 2.78701e-23 * w**6)  # fmt: skip
    cross = cross.clip(0.0) * np.where(wave > 15_000.0, ((16_419.0 - wave) / 1419.0).clip(0), 1.0)
    cross = cross * np.minimum(wave / 2250.0, 1.0)
    return 4.158e-28 * cross * theta**2.5 * 10.0 ** (0.754 * theta)


def _h_minus_ff(wave: Array, theta: Array) -> Array:
    x, t = np.log10(wave.clip(2600.0, 113_900.0)), np.log10(theta.clip(0.5, 3.6))
    f0 = -2.2763 - 1.6850 * x + 0.76661 * x**2 - 0.0533464 * x**3
    f1 = 15.2827 - 9.2846 * x + 1.99381 * x**2 - 0.142631 * x**3
    f2 = -197.789 + 190.266 * x - 67.9775 * x**2 + 10.6913 * x**3 - 0.625151 * x**4
    return np.asarray(1e-26 * 10.0 ** (f0 + f1 * t + f2 * t**2))


def continuum(star: Atmospheres, wave_aa: Array) -> tuple[Array, Array, Array]:
    """Emergent continuum of each star.

    Parameters
    ----------
    wave_aa : (m,) Å, vacuum
    Returns
    -------
    flux : (n, m) F_λ in common units · opacity : (n, m) cm² per hydrogen nucleus
    depth : (n, m) greatest depth of a line, 1 − B(surface)/B(τ_λ = 2/3)
    Source: Eddington–Barbier relation on T⁴ = ¾ Teff⁴ (τ + 2/3). The surface lies at 0.72 Teff
    rather than the grey 0.84, for the cores that scattering darkens.
    """
    electrons = star.electron_pressure * 1.085 / (star.gas_pressure - star.electron_pressure)
    kappa = opacity(
        wave_aa,
        star.teff[:, None],
        star.electron_pressure[:, None],
        star.neutral[:, None],
        electrons[:, None],
        star.last_level[:, None],
    )
    tau = (2.0 / 3.0) * star.rosseland[:, None] / kappa
    at_depth = star.teff[:, None] * (0.75 * (tau + 2.0 / 3.0)) ** 0.25
    flux = planck(wave_aa, at_depth)
    return flux, kappa, 1.0 - planck(wave_aa, 0.72 * star.teff[:, None]) / flux
