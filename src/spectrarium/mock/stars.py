"""Spectra of stars: a continuum, and lines whose strengths Saha and Boltzmann decide."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..domain.units import C_KMS
from . import bands
from .atmosphere import HYDROGEN_EV, RYDBERG_AA, Atmospheres, atmospheres, continuum
from .atoms import ELEMENTS, LineList, forest_lines, ion_fractions, real_lines
from .profiles import growth, stark, stark_field, voigt

Array = NDArray[np.float64]
_CLASSICAL_CM = 8.8528e-13
"""π e²/(m c²), cm."""
_LINE_LAYER = 0.90
"""Temperature of line formation over Teff."""
_COARSE = 16
"""The continuum is smooth: it is computed on every 16th point."""
MICROTURBULENCE_KMS = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class StarModels:
    """What broadening needs, (n_star, n_pix) each: F = broadened(smooth) · exp(−broadened(lines)).

    smooth : F_λ with hydrogen, molecules and damping wings, normalised near 5500 Å
    lines : depth × width of unresolved lines over the pixel; zero when all lines are resolved
    """

    smooth: Array
    lines: Array


@dataclass(frozen=True, slots=True)
class VelocityGrid:
    """λ_i = λ₀ exp(i·step/c), vacuum Å, i in 0 … n − 1."""

    start_aa: float
    step_kms: float
    n: int

    @property
    def wave_aa(self) -> Array:
        """(n,) Å."""
        return _grid_wave(self)

    def index(self, wave_aa: Array) -> Array:
        """Fractional index of wavelengths."""
        return np.asarray(np.log(np.asarray(wave_aa) / self.start_aa) * (C_KMS / self.step_kms))


@lru_cache(maxsize=8)
def _grid_wave(grid: VelocityGrid) -> Array:
    wave = np.asarray(grid.start_aa * np.exp(np.arange(grid.n) * (grid.step_kms / C_KMS)))
    wave.setflags(write=False)  # shared by everyone
    return wave


class StarSynthesiser:
    """Makes spectra of stars on one velocity grid, many at a time.

    Parameters
    ----------
    grid : where spectra are made, at rest
    resolved : follow each line's own profile (for steps below 2 km/s); otherwise deposit
        equivalent widths, which is all that R = 2000 can see
    """

    def __init__(self, grid: VelocityGrid, resolved: bool = False) -> None:
        self.grid = grid
        self.resolved = resolved
        self.wave = grid.wave_aa
        self.winged = self._inside(real_lines(), True)
        plain, forest = self._inside(real_lines(), False), self._inside(forest_lines(), False)
        self.narrow = LineList(
            *(np.concatenate([getattr(plain, k), getattr(forest, k)]) for k in plain.__slots__)
        )

    def _inside(self, lines: LineList, winged: bool) -> LineList:
        inside = (lines.wave_vac_aa > self.wave[12]) & (lines.wave_vac_aa < self.wave[-12])
        return lines.where(inside & (lines.winged == winged))

    @cached_property
    def _deposit(self) -> csr_array:
        """(n_line, n_pix): each narrow line shared by the two pixels around it."""
        at = self.grid.index(self.narrow.wave_vac_aa)
        left = at.astype(np.intp)
        share = at - left
        rows = np.arange(len(at))
        return csr_array(
            (np.concatenate([1 - share, share]),
             (np.concatenate([rows, rows]), np.concatenate([left, left + 1]))),
            shape=(len(at), self.grid.n),
        )  # fmt: skip

    @cached_property
    def _molecules(self) -> dict[str, Array]:
        return {name: bands.shape(m, self.wave) for name, m in bands.MOLECULES.items()}

    def __call__(
        self, teff: Array, logg: Array, feh: Array, carbon: Array | None = None
    ) -> StarModels:
        """Spectra of stars.

        Parameters
        ----------
        teff, logg, feh : (n_star,) K, log cm s⁻², dex · carbon : (n_star,) strength of C2, 0 = none
        Source: Milne–Eddington lines, R = A η/(1 + η), with η from Saha and Boltzmann at 0.9 Teff.
        Valid for: morphology, line identity and trends; not for abundance work.
        """
        star = atmospheres(teff, logg, feh)
        coarse = np.append(self.wave[::_COARSE], self.wave[-1])
        flux, kappa, depth = (
            _interpolated(values, self.wave, coarse) for values in continuum(star, coarse)
        )
        eta = self._hydrogen(star, kappa)
        for name, molecule in bands.MOLECULES.items():
            factor = bands.strength(molecule, star.teff, star.logg, star.feh)
            factor[factor < 1e-3] = 0.0
            if np.any(factor):
                eta += factor[:, None] * self._molecules[name]
        if carbon is not None and np.any(carbon > 0):
            eta += carbon[:, None] * bands.shape(bands.SWAN, self.wave)
        reference = (
            np.abs(self.wave - 5500.0).argmin() if self.wave[0] < 5500 < self.wave[-1] else 0
        )
        if self.resolved:
            for lines in (self.winged, self.narrow):
                self._resolved(star, lines, kappa, eta)
            narrow = np.zeros_like(eta)
        else:
            narrow = self._unresolved(star, kappa, depth, eta)
        smooth = flux * (1.0 - depth * eta / (1.0 + eta)) / flux[:, reference, None]
        return StarModels(smooth, narrow)

    def _hydrogen(self, star: Atmospheres, kappa: Array) -> Array:
        """Balmer and Paschen lines: η on the grid."""
        eta = np.zeros((len(star.teff), self.grid.n))
        temperature = 0.95 * star.teff
        doppler = np.sqrt(0.0165 * temperature + MICROTURBULENCE_KMS**2)  # km/s
        for lower, upper in [(2, n) for n in range(3, 26)] + [(3, n) for n in range(7, 24)]:
            wave = 1.0 / (RYDBERG_AA * (1.0 / lower**2 - 1.0 / upper**2))
            if not self.wave[2] < wave < self.wave[-3]:
                continue
            excitation = HYDROGEN_EV * (1.0 - 1.0 / lower**2)
            population = lower**2 * star.neutral * 10.0 ** (-5040.0 / temperature * excitation)
            population /= 1.0 + (upper / star.last_level) ** 12  # dissolved upper level
            line = population * _CLASSICAL_CM * _oscillator(lower, upper) * (wave * 1e-8) ** 2 * 1e8
            at = int(self.grid.index(np.array(wave)))
            field = stark_field(lower, upper, star.electron_density)
            reach = (line * field**1.5 / kappa[:, at] / 1e-3) ** 0.4
            # each star's own reach, not the batch's: who else is in a batch must not matter
            most = int(0.07 * C_KMS / self.grid.step_kms) + 8
            blue = -np.log1p(-min(reach.max() / wave, 0.5)) * C_KMS / self.grid.step_kms
            pixels = min(int(blue) + 10, most)
            window = slice(max(0, at - pixels), min(self.grid.n, at + pixels))
            core = np.maximum(doppler, 0.7 * self.grid.step_kms) * wave / C_KMS
            distance = self.wave[window] - wave
            profile = stark(distance, core[:, None], field[:, None])
            profile *= np.abs(distance) <= np.maximum(reach, 8 * core)[:, None]  # each its own
            eta[:, window] += line[:, None] * profile / kappa[:, window]
        return eta

    def _central(
        self, star: Atmospheres, lines: LineList, kappa: Array
    ) -> tuple[Array, Array, Array]:
        """η at line centre, damping parameter a and Doppler width km/s: (n_star, n_line) each."""
        temperature, pe = _LINE_LAYER * star.teff, 0.5 * star.electron_pressure
        entries = list(ELEMENTS.values())
        mass = np.array([e[1] for e in entries])[lines.element]
        abundance = np.array([e[0] for e in entries])[lines.element] - 12.0
        partition = np.array([e[3] for e in entries])[lines.element, lines.stage]
        metal = (mass > 5.0)[None, :] * star.feh[:, None]
        theta = 5040.0 / temperature[:, None]
        shares = ion_fractions(temperature, pe)[:, lines.element, lines.stage]
        log_n = abundance + metal + lines.log_gf - theta * lines.chi_ev - np.log10(partition)
        b = np.sqrt(0.0165 * temperature[:, None] / mass + MICROTURBULENCE_KMS**2)
        sigma = shares * 10.0**log_n * _CLASSICAL_CM * lines.wave_vac_aa * 1e-8
        sigma *= C_KMS / (b * np.sqrt(np.pi))
        stimulated = -np.expm1(-1.4388e8 / (lines.wave_vac_aa * temperature[:, None]))
        at = self.grid.index(lines.wave_vac_aa).astype(np.intp)
        eta = sigma * stimulated / kappa[:, at]
        hydrogen_density = 0.4 * star.gas_pressure / (1.3807e-16 * star.teff)
        helium = mass < 5.0
        gamma = 1.5e8 + 2.0e-8 * (hydrogen_density * star.neutral)[:, None]
        gamma = gamma + np.where(helium, 6e-5, 1e-6) * star.electron_density[:, None]
        a = (
            gamma * lines.wave_vac_aa * 1e-13 / (4.0 * np.pi * b)
        )  # λ[cm]/b[cm/s] = 1e-13 λ[Å]/b[km/s]
        return eta, a, b

    def _unresolved(self, star: Atmospheres, kappa: Array, depth: Array, eta: Array) -> Array:
        """Adds damping wings to η; gives the rest of the equivalent widths, in pixels."""
        centre, a, b = self._central(star, self.winged, kappa)
        width = growth(centre, a) * b  # km/s, at unit depth
        half = b * np.sqrt(centre * a / np.sqrt(np.pi))
        step = self.grid.step_kms
        half = np.where(half > 0.3 * step, half, 0.0)
        at = self.grid.index(self.winged.wave_vac_aa)
        for j, x in enumerate(at):
            if not np.any(half[:, j] > 0):
                continue
            reach = int(min(12.0 * half[:, j].max() / step, 0.04 * C_KMS / step)) + 4
            window = slice(max(0, int(x) - reach), min(self.grid.n, int(x) + reach))
            edges = (np.arange(window.start, window.stop + 1) - 0.5 - x) * step
            h = np.maximum(half[:, j], 1e-3)[:, None]
            mean = (np.diff(np.arctan(edges / h), axis=1) * h / step).clip(0.0, 0.9999)
            mean *= np.abs(edges[:-1] + 0.5 * step) <= 12.0 * h + 2.0 * step  # each its own
            eta[:, window] += np.where(h > 1e-3, mean / (1.0 - mean), 0.0)
        core = (width - np.pi * half).clip(0.0)
        narrow = np.zeros_like(eta)
        base = at.astype(np.intp)
        for j, pixel in enumerate(base):  # lines may share a pixel: no fancy +=
            share = at[j] - pixel
            strength = core[:, j] * depth[:, pixel] / step
            narrow[:, pixel] += strength * (1 - share)
            narrow[:, pixel + 1] += strength * share
        centre, a, b = self._central(star, self.narrow, kappa)
        base = self.grid.index(self.narrow.wave_vac_aa).astype(np.intp)
        widths = growth(centre, a) * b * depth[:, base] / step
        return np.asarray(narrow + np.asarray(self._deposit.T @ widths.T).T)

    def _resolved(self, star: Atmospheres, lines: LineList, kappa: Array, eta: Array) -> None:
        """Adds each line's own Voigt profile to η."""
        centre, a, b = self._central(star, lines, kappa)
        at = self.grid.index(lines.wave_vac_aa)
        half = b * np.sqrt(centre * a / np.sqrt(np.pi))
        reach = np.maximum(6.0 * b.max(axis=0), 15.0 * half.max(axis=0)) / self.grid.step_kms
        for j in np.flatnonzero(centre.max(axis=0) > 1e-3):
            r = int(reach[j]) + 2
            window = slice(max(0, int(at[j]) - r), min(self.grid.n, int(at[j]) + r))
            v = (np.arange(window.start, window.stop) - at[j]) * self.grid.step_kms
            eta[:, window] += centre[:, j, None] * voigt(a[:, j, None], v / b[:, j, None])


def _interpolated(values: Array, wave: Array, coarse: Array) -> Array:
    """Linear in ln λ; jumps in the continuum stay as sharp as the coarse grid."""
    position = np.log(wave / coarse[0]) / np.log(coarse[1] / coarse[0])
    left = np.minimum(position.astype(np.intp), len(coarse) - 2)
    share = position - left
    return np.asarray(values[:, left] * (1.0 - share) + values[:, left + 1] * share)


def _oscillator(lower: int, upper: int) -> float:
    """Absorption oscillator strength of hydrogen: Kramers' with the Menzel–Pekeris Gaunt factor.

    Exact for Hα–Hδ and Pα where the first-order Gaunt factor is not good enough.
    """
    exact = {(2, 3): 0.6407, (2, 4): 0.1193, (2, 5): 0.04467, (2, 6): 0.02209, (2, 7): 0.01270}
    if (lower, upper) in exact:
        return exact[lower, upper]
    gap = 1.0 / lower**2 - 1.0 / upper**2
    kramers = 32.0 / (3.0 * np.pi * np.sqrt(3.0)) * lower**-5.0 * upper**-3.0 * gap**-3.0
    gaunt = 1.0 - 0.1728 * (1.0 + (lower / upper) ** 2) / (
        (1.0 - (lower / upper) ** 2) ** (2 / 3) * lower ** (2 / 3)
    )
    return float(kramers * gaunt)
