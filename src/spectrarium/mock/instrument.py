"""Mock spectrographs: resolution, pixels, throughput, sky, and noise whose variance is exact."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..domain.units import C_KMS
from ..measure.airvac import air_to_vac
from ..measure.pixels import pixel_bounds, pixel_edges
from ..measure.resample import Resampler
from ..measure.smooth import FWHM_TO_SIGMA
from .stars import VelocityGrid

Array = NDArray[np.float64]

LOW_GRID = VelocityGrid(3300.0, 23.0, 16_384)
"""Where spectra for R = 2000 are made: 3300–11 600 Å."""
WIDE_GRID = VelocityGrid(LOW_GRID.start_aa * float(np.exp(-16_384 * 23.0 / C_KMS)), 23.0, 32_768)
"""The same pixels, twice as many: 939–11 600 Å at rest, for redshifted objects."""
HIGH_GRID = VelocityGrid(3765.0, 0.7, 262_144)
"""Where spectra for R = 115 000 are made: 3765–6944 Å."""

# Strong night-sky emission, air Å and relative strength: [O I], Na D and OH heads after
# Osterbrock et al. 1996, PASP 108, 277.
_SKY_LINES = (
    (5577.34, 40.0), (5889.95, 3.0), (5895.92, 2.0), (6300.30, 20.0), (6363.78, 7.0),
    (6498.73, 1.5), (6533.04, 1.5), (6863.96, 4.0), (6923.22, 4.0), (7276.41, 7.0), (7316.28, 8.0),
    (7340.89, 6.0), (7369.25, 3.0), (7401.86, 2.5), (7716.03, 3.0), (7750.64, 9.0), (7794.11, 10.0),
    (7821.50, 7.0), (7853.24, 4.0), (7913.71, 11.0), (7964.65, 11.0), (7993.33, 9.0),
    (8025.81, 4.0), (8062.36, 3.0), (8288.62, 5.0), (8310.72, 4.0), (8344.60, 13.0),
    (8382.39, 8.0), (8399.17, 14.0), (8415.23, 6.0), (8430.17, 15.0), (8452.25, 9.0),
    (8465.36, 13.0), (8493.39, 7.0), (8504.63, 6.0), (8761.31, 8.0), (8778.33, 8.0),
    (8791.19, 8.0), (8827.10, 18.0), (8836.02, 6.0), (8850.66, 14.0), (8867.61, 8.0),
    (8885.85, 18.0), (8903.11, 9.0), (8919.64, 16.0), (8943.40, 9.0), (8957.97, 10.0),
    (9001.35, 6.0), (9038.10, 6.0), (9313.36, 12.0), (9337.85, 8.0), (9375.96, 20.0),
    (9419.73, 12.0), (9439.65, 18.0), (9458.53, 9.0), (9476.85, 10.0), (9502.80, 10.0),
    (9552.55, 8.0), (9567.49, 8.0), (9700.13, 12.0), (9719.84, 9.0), (9740.38, 8.0),
    (9791.42, 14.0), (9872.14, 18.0), (9914.67, 14.0),
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Exposure:
    """One observed spectrum, (n,) each.

    flux : 1e-17 erg s⁻¹ cm⁻² Å⁻¹ · ivar : 1/variance of exactly the Gaussian drawn, 0 where the
    detector is dead · dead : bool · sky : model of the sky that was subtracted · snr : median
    """

    flux: Array
    ivar: Array
    dead: NDArray[np.bool_]
    sky: Array
    snr: float


@dataclass(frozen=True, eq=False)
class Instrument:
    """A spectrograph.

    name : key in `INSTRUMENTS` · wave_vac_aa : (n,) pixel centres · resolving_power : λ/FWHM
    grid : where its spectra are made · blue_aa, red_aa : half-throughput points
    join_aa : where its two arms meet · read_noise, sky_level : electrons a pixel
    """

    name: str
    wave_vac_aa: Array
    resolving_power: float
    grid: VelocityGrid
    blue_aa: float
    red_aa: float
    join_aa: float
    read_noise: float = 6.0
    sky_level: float = 60.0

    @property
    def sigma_kms(self) -> float:
        """Standard deviation of the line-spread function."""
        return float(C_KMS / self.resolving_power * FWHM_TO_SIGMA)

    @cached_property
    def rebin(self) -> Resampler:
        """From the grid to the pixels."""
        return Resampler(pixel_edges(self.grid.wave_aa), pixel_bounds(self.wave_vac_aa))

    @cached_property
    def throughput(self) -> Array:
        """Electrons per unit F_λ, 1 at its best."""
        wave = self.wave_vac_aa
        curve = wave / (1 + np.exp(-(wave - self.blue_aa) / 220.0))
        curve /= 1 + np.exp((wave - self.red_aa) / 250.0)
        curve *= 1 - 0.35 * np.exp(-0.5 * ((wave - self.join_aa) / 60.0) ** 2)
        return np.asarray(curve / curve.max())

    @cached_property
    def sky_electrons(self) -> Array:
        """Sky in electrons a pixel: a continuum rising to the red and its lines."""
        wave = self.wave_vac_aa
        sky = 1.0 + 0.5 * (wave / 6000.0 - 1.0)
        sigma = wave / self.resolving_power * FWHM_TO_SIGMA
        for air, strength in _SKY_LINES:
            centre = float(air_to_vac(air))
            if wave[0] < centre < wave[-1]:
                sky += 2.5 * strength * np.exp(-0.5 * ((wave - centre) / sigma) ** 2)
        return np.asarray(self.sky_level * sky * self.throughput)

    def expose(self, shape: Array, snr: float, rng: np.random.Generator) -> Exposure:
        """A noisy spectrum of a source whose noiseless F_λ is `shape` (n,), any units.

        The source is made as bright as it must be for a median S/N of `snr`; photon noise of
        source and sky and read-out noise then follow.
        """
        electrons = np.maximum(shape, 0.0) * self.throughput
        background = self.sky_electrons + self.read_noise**2
        with np.errstate(divide="ignore"):
            needed = (snr**2 + snr * np.sqrt(snr**2 + 4 * background)) / (2 * electrons)
        scale = float(np.median(needed))
        return self._draw(scale * shape, scale * electrons + background, rng)

    def expose_sky(self, residual: float, rng: np.random.Generator) -> Exposure:
        """An empty fibre: no source, and sky lines subtracted to `residual` (a fraction)."""
        lines = self.sky_electrons / self.throughput - self.sky_level
        left = residual * np.gradient(lines) * rng.normal() + residual * 0.5 * lines * rng.normal()
        return self._draw(left, self.sky_electrons + self.read_noise**2, rng)

    def _draw(self, source: Array, variance: Array, rng: np.random.Generator) -> Exposure:
        """`source` in electrons at full throughput; `variance` in detected electrons²."""
        unit = 0.02  # 1e-17 erg/s/cm²/Å for one electron at full throughput: a 2.5-m, one hour
        sigma = unit * np.sqrt(variance) / self.throughput
        flux = unit * source + sigma * rng.standard_normal(sigma.size)
        dead = np.zeros(sigma.size, dtype=bool)
        for start in rng.integers(0, sigma.size, rng.poisson(1.5)):
            dead[start : start + int(rng.integers(1, 6))] = True
        flux[dead] = 0.0
        ivar = np.where(dead, 0.0, sigma**-2.0)
        snr = float(np.median((unit * source / sigma)[~dead]))
        return Exposure(flux, ivar, dead, unit * self.sky_electrons / self.throughput, snr)


def instruments() -> dict[str, Instrument]:
    """The three mock spectrographs, by the layout of file they write."""
    boss = np.asarray(10.0 ** (3.5563 + 1e-4 * np.arange(4560)))
    lamost = np.asarray(10.0 ** (3.5682 + 1e-4 * np.arange(3909)))
    s1d_air = 3781.0 + 0.01 * np.arange(313_156)
    return {
        "sdss": Instrument("sdss", boss, 2000.0, LOW_GRID, 3800.0, 9700.0, 6100.0),
        "lamost": Instrument("lamost", lamost, 1800.0, LOW_GRID, 4000.0, 8900.0, 5850.0, 8.0, 90.0),
        "s1d": Instrument("s1d", air_to_vac(s1d_air), 115_000.0, HIGH_GRID, 3950.0, 6900.0, 5320.0,
                          3.0, 0.05),
    }  # fmt: skip
