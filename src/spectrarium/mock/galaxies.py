"""Galaxies: mixtures of mock stars, nebular lines with the ratios of their excitation, and dust."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..domain.units import C_KMS
from ..measure.lines import line
from .extinction import transmission
from .instrument import LOW_GRID, WIDE_GRID
from .profiles import broaden, broadening
from .stars import StarSynthesiser

Array = NDArray[np.float64]

# Teff, log g, [M/H] of the stars that dominate the light of old, middle-aged and young populations
# and their share of it at 5500 Å.
_POPULATIONS = {
    "old": ((4400.0, 2.2, 0.1, 0.45), (5700.0, 4.2, 0.1, 0.30), (4900.0, 4.6, 0.1, 0.12),
            (3700.0, 1.2, 0.1, 0.13)),
    "middle": ((8200.0, 4.1, 0.0, 0.45), (6800.0, 4.2, 0.0, 0.25), (4600.0, 2.4, 0.0, 0.30)),
    "young": ((20_000.0, 4.0, 0.0, 0.50), (12_000.0, 4.0, 0.0, 0.30), (32_000.0, 4.0, 0.0, 0.20)),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Galaxy:
    """What a mock galaxy is.

    mix : light at 5500 Å of old, middle-aged and young stars, sum 1 · z : redshift
    sigma_kms : velocity dispersion · ebv : mag · h_alpha_aa : rest equivalent width of Hα in Å
    nii_ha, oiii_hb, oii_hb, sii_ha : unreddened line ratios · subclass : what they mean
    broad_kms : FWHM of broad Balmer lines, 0 = none
    """

    mix: tuple[float, float, float]
    z: float
    sigma_kms: float
    ebv: float
    h_alpha_aa: float
    nii_ha: float
    oiii_hb: float
    oii_hb: float
    sii_ha: float
    subclass: str
    broad_kms: float = 0.0


def draw_galaxy(rng: np.random.Generator) -> Galaxy:
    """A galaxy of the local zoo: passive, star-forming, starburst, Seyfert or LINER.

    Source: the star-forming sequence and the division into classes follow Kewley et al. 2001
    (ApJ 556, 121) and Kauffmann et al. 2003 (MNRAS 346, 1055); σ and colour of early types are
    those of SDSS. Valid for: z < 0.4.
    """
    kind = rng.choice(["passive", "starforming", "starburst", "seyfert", "liner"],
                      p=[0.36, 0.38, 0.1, 0.09, 0.07])  # fmt: skip
    z = float(rng.gamma(3.0, 0.035) + 0.005)
    z = min(z, 0.4)
    if kind in ("starforming", "starburst"):
        log_n2 = rng.uniform(-1.3, -0.4) if kind == "starforming" else rng.uniform(-1.8, -0.8)
        log_o3 = 0.61 / (log_n2 + 0.08) + 1.1 + rng.normal(0, 0.08)  # Kewley et al. 2013's ridge
        young = rng.uniform(0.05, 0.4) if kind == "starforming" else rng.uniform(0.4, 0.8)
        middle = rng.uniform(0.3, 0.6) * (1 - young)
        ha = 10 ** rng.normal(1.4, 0.25) if kind == "starforming" else 10 ** rng.normal(2.1, 0.2)
        return Galaxy((1 - young - middle, middle, young), z, rng.uniform(50, 130),
                      rng.uniform(0.05, 0.45), ha, 10**log_n2, 10**log_o3,
                      10 ** rng.normal(0.35, 0.12), 10 ** rng.normal(-0.5, 0.1), kind)  # fmt: skip
    middle = rng.uniform(0.0, 0.12)
    mix = (1 - middle, middle, 0.0)
    sigma = rng.uniform(130, 320)
    if kind == "passive":
        return Galaxy(mix, z, sigma, rng.uniform(0, 0.08), max(0.0, rng.normal(0.1, 0.3)),
                      1.0, 1.5, 2.0, 0.8, kind)  # fmt: skip
    if kind == "seyfert":
        broad = float(rng.uniform(2000, 6000)) if rng.random() < 0.3 else 0.0
        return Galaxy(mix, z, sigma, rng.uniform(0.05, 0.3), 10 ** rng.normal(1.3, 0.25),
                      10 ** rng.normal(-0.05, 0.1), 10 ** rng.normal(0.95, 0.1),
                      10 ** rng.normal(0.4, 0.1), 10 ** rng.normal(-0.35, 0.1),
                      "broadline" if broad else kind, broad)  # fmt: skip
    return Galaxy(mix, z, sigma, rng.uniform(0, 0.2), 10 ** rng.normal(0.5, 0.2),
                  10 ** rng.normal(0.05, 0.1), 10 ** rng.normal(0.3, 0.1),
                  10 ** rng.normal(0.6, 0.1), 10 ** rng.normal(0.0, 0.1), kind)  # fmt: skip


def nebular_lines(galaxy: Galaxy) -> list[tuple[float, float, float]]:
    """(vacuum Å, flux relative to Hα before dust, FWHM in km/s or 0 for narrow) of each line.

    Source: case B at 10⁴ K (Osterbrock & Ferland 2006, table 4.4); [O III] and [N II] doublets 1:3;
    [S II] at the low-density limit. [O III] 4364 is 1 % of 5008.
    """
    hb = 1.0 / 2.86
    o3, n2 = galaxy.oiii_hb * hb, galaxy.nii_ha
    narrow = {
        "H_alpha": 1.0, "H_beta": hb, "H_gamma": 0.468 * hb, "H_delta": 0.259 * hb,
        "H_epsilon": 0.159 * hb, "H_8": 0.105 * hb, "OIII_5008": o3, "OIII_4960": o3 / 2.98,
        "OIII_4364": 0.01 * o3, "NII_6585": n2, "NII_6550": n2 / 3.05,
        "OII_3727": 0.42 * galaxy.oii_hb * hb, "OII_3730": 0.58 * galaxy.oii_hb * hb,
        "SII_6718": 0.58 * galaxy.sii_ha, "SII_6733": 0.42 * galaxy.sii_ha,
        "NeIII_3870": 0.08 * o3, "HeI_5877": 0.12 * hb, "OI_6302": 0.08 * galaxy.sii_ha,
        "OI_6366": 0.026 * galaxy.sii_ha, "ArIII_7138": 0.02 * o3 + 0.01 * hb,
        "SIII_9071": 0.15 * hb, "SIII_9533": 0.37 * hb,
    }  # fmt: skip
    lines = [(line(name).wave_vac_aa, flux, 0.0) for name, flux in narrow.items()]
    if galaxy.broad_kms:
        broad = {"H_alpha": 5.0, "H_beta": 1.5, "H_gamma": 0.6}
        lines += [(line(name).wave_vac_aa, flux, galaxy.broad_kms) for name, flux in broad.items()]
    return lines


class GalaxyMaker:
    """Spectra of galaxies on `LOW_GRID`, redshifted."""

    @cached_property
    def templates(self) -> Array:
        """(3, n) light of old, middle-aged and young populations on `WIDE_GRID`, 1 at 5500 Å."""
        make = StarSynthesiser(WIDE_GRID)
        rows = []
        for stars in _POPULATIONS.values():
            teff, logg, feh, share = (np.array(column) for column in zip(*stars, strict=True))
            models = make(teff, logg, feh)
            rows.append(share @ (models.smooth * np.exp(-models.lines.clip(0, 3))))
        return np.array(rows)

    def __call__(self, galaxy: Galaxy, sigma_instrument_kms: float) -> Array:
        """(n,) F_λ on `LOW_GRID`, broadened by the galaxy and the instrument."""
        wave = WIDE_GRID.wave_aa
        light = np.asarray(galaxy.mix) @ self.templates
        coarse = transmission(wave[::32], galaxy.ebv)  # dust is smooth
        stars = light * np.interp(np.arange(wave.size), np.arange(0, wave.size, 32), coarse)
        near = int(WIDE_GRID.index(np.array(line("H_alpha").wave_vac_aa)))
        scale = float(np.median(light[near - 60 : near + 60])) * galaxy.h_alpha_aa
        sigma = np.hypot(galaxy.sigma_kms, sigma_instrument_kms)
        moved = _redshifted(stars, galaxy.z, sigma)
        gas_sigma = np.hypot(min(galaxy.sigma_kms, 180.0) * 0.9, sigma_instrument_kms)
        add_lines(moved, nebular_lines(galaxy), galaxy, scale, gas_sigma)
        return moved


def add_lines(
    flux: Array,
    lines: list[tuple[float, float, float]],
    galaxy: Galaxy,
    scale: float,
    sigma_kms: float,
) -> None:
    """Adds emission lines of `scale` × relative flux to a spectrum on `LOW_GRID`, in place.

    Nebulae are dustier than stars: E(B−V)gas = E(B−V)/0.44 (Calzetti et al. 2000).
    """
    waves = np.array([entry[0] for entry in lines])
    dust = transmission(waves, galaxy.ebv / 0.44)
    dust /= dust[0]  # the equivalent width of Hα is given as observed
    at = LOW_GRID.index(waves * (1.0 + galaxy.z))
    for (rest, relative, fwhm), where, through in zip(lines, at, dust, strict=True):
        sigma = np.hypot(sigma_kms, fwhm / 2.3548)
        reach = int(6 * sigma / LOW_GRID.step_kms) + 2
        window = slice(max(0, int(where) - reach), max(0, min(LOW_GRID.n, int(where) + reach)))
        v = (np.arange(window.start, window.stop) - where) * LOW_GRID.step_kms
        width_aa = sigma / C_KMS * rest * 2.506628
        flux[window] += scale * relative * through / width_aa * np.exp(-0.5 * (v / sigma) ** 2)


def _redshifted(rest: Array, z: float, sigma_kms: float) -> Array:
    """A spectrum on `WIDE_GRID` at rest, as seen on `LOW_GRID` (up to a constant factor)."""
    pixels = np.log1p(z) * C_KMS / WIDE_GRID.step_kms
    whole = round(float(pixels))
    transfer = broadening(
        WIDE_GRID.n, WIDE_GRID.step_kms, np.array([sigma_kms]), np.array([0.0]),
        np.array([(pixels - whole) * WIDE_GRID.step_kms]),
    )  # fmt: skip
    start = WIDE_GRID.n // 2 - whole
    return broaden(rest[None, :], transfer)[0, start : start + WIDE_GRID.n // 2]
