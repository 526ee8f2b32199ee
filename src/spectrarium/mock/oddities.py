"""Planted oddities: what an outlier search is meant to find, with its name in the truth table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..measure.lines import line
from .galaxies import Galaxy, GalaxyMaker, draw_galaxy
from .instrument import Instrument
from .population import Emission, Star, main_sequence_logg
from .quasars import draw_quasar, quasar_spectrum

Array = NDArray[np.float64]

STAR_ODDITIES = (
    "double_lined_binary", "p_cygni", "double_peaked_halpha", "carbon_star", "white_dwarf",
    "flaring_m_dwarf",
)  # fmt: skip
"""Stars that are odd."""
LIGHT_ODDITIES = ("superposition", "extreme_emission")
"""Extragalactic light that is odd."""
FAULTS = ("cosmic_rays", "bad_join")
"""Good stars, badly reduced."""
ODDITIES = (*STAR_ODDITIES, *LIGHT_ODDITIES, *FAULTS)
WRONG_REDSHIFT = "wrong_redshift"
"""A good spectrum whose catalogue entry is wrong: nothing in its pixels is odd."""
_CONFUSED = {
    "GALAXY": (("H_alpha", "OIII_5008"), ("OIII_5008", "H_alpha"), ("OII_3727", "H_alpha"),
               ("H_alpha", "OII_3727"), ("OIII_5008", "OII_3727")),
    "QSO": (("MgII_2799", "CIII_1909"), ("CIII_1909", "MgII_2799"), ("CIV_1549", "MgII_2799"),
            ("MgII_2799", "Ly_alpha"), ("Ly_alpha", "MgII_2799")),
}  # fmt: skip
"""(line that is there, line it is taken for): the usual confusions of single strong lines."""


def odd_star(kind: str, rng: np.random.Generator) -> Star:
    """A star of one of `STAR_ODDITIES`."""
    rv, ebv = float(rng.normal(0, 30)), float(rng.exponential(0.06))
    if kind == "double_lined_binary":
        return _binary(rng, rv, ebv)
    if kind == "p_cygni":
        star = Star(rng.uniform(15_000, 22_000), 2.4, 0.0, 60.0, rv, ebv + 0.3)
        wind = float(rng.uniform(180, 350))
        entries: list[Emission] = []
        for name, ew in (("H_alpha", 30.0), ("H_beta", 8.0), ("H_gamma", 3.0), ("HeI_5877", 6.0),
                         ("HeI_6680", 3.0), ("HeI_4473", 2.0)):  # fmt: skip
            wave, scale = line(name).wave_vac_aa, float(rng.uniform(0.7, 1.4))
            entries.append(Emission(wave, ew * scale, 90.0, 30.0))
            entries.append(Emission(wave, -0.25 * ew**0.5 * 2.0, 60.0, -wind))
        return star.with_lines(*entries)
    if kind == "double_peaked_halpha":
        star = Star(rng.uniform(12_000, 24_000), 3.8, 0.0, 250.0, rv, ebv)
        speed, ew = float(rng.uniform(160, 300)), float(rng.uniform(8, 25))
        return star.with_lines(*(
            Emission(line(name).wave_vac_aa, ew * share * lean, 60.0, sign * speed)
            for name, share in (("H_alpha", 0.5), ("H_beta", 0.09))
            for sign, lean in ((-1, 1.0), (1, float(rng.uniform(0.7, 1.3))))
        ))  # fmt: skip
    if kind == "carbon_star":
        return Star(rng.uniform(3600, 4600), 1.2, -0.3, 4.0, rv, ebv, float(rng.uniform(2, 8)))
    if kind == "white_dwarf":
        return Star(rng.uniform(9000, 14_000), 8.0, -2.5, 10.0, rv, ebv)
    return _flare(rng, rv)


def _binary(rng: np.random.Generator, rv: float, ebv: float) -> Star:
    """Two stars far enough apart in velocity for R = 2000 to see both sets of lines."""
    teff = float(rng.uniform(5000, 6800))
    amplitude = float(rng.uniform(160, 260))
    primary = Star(teff, main_sequence_logg(teff), 0.0, 8.0, rv + amplitude, ebv)
    cooler = teff - float(rng.uniform(0, 500))
    secondary = Star(cooler, main_sequence_logg(cooler), 0.0, 8.0, rv - amplitude * 1.1, ebv)
    return replace(primary, companion=secondary, light_ratio=float(rng.uniform(0.6, 1.0)))


def _flare(rng: np.random.Generator, rv: float) -> Star:
    star = Star(rng.uniform(3000, 3500), 5.0, 0.0, 8.0, rv, 0.0)
    strength = float(rng.uniform(8, 25))
    shares = {"H_alpha": 1.0, "H_beta": 1.3, "H_gamma": 1.6, "H_delta": 1.8, "H_8": 1.8,
              "CaII_K": 1.5, "CaII_H": 1.8, "HeI_5877": 0.1}  # fmt: skip
    return star.with_lines(*(
        Emission(line(name).wave_vac_aa, strength * share, 40.0) for name, share in shares.items()
    ))  # fmt: skip


def odd_light(
    kind: str, rng: np.random.Generator, instrument: Instrument, make: GalaxyMaker
) -> tuple[Array, Galaxy]:
    """(n_pix,) noiseless light of one of `LIGHT_ODDITIES`, and the galaxy that it is called."""
    sigma = instrument.sigma_kms
    if kind == "extreme_emission":
        galaxy = Galaxy((0.02, 0.08, 0.9), float(rng.uniform(0.1, 0.35)), 60.0, 0.05,
                        float(rng.uniform(500, 1200)), 0.04, float(rng.uniform(5, 7)), 0.7, 0.08,
                        "greenpea")  # fmt: skip
        return instrument.rebin(make(galaxy, sigma)).flux, galaxy
    galaxy = replace(draw_galaxy(rng), z=float(rng.uniform(0.05, 0.15)))
    near = instrument.rebin(make(galaxy, sigma)).flux
    if rng.random() < 0.5:
        behind = replace(draw_quasar(rng), z=float(rng.uniform(1.2, 2.4)))
        far = instrument.rebin(quasar_spectrum(behind, sigma, rng)).flux
    else:
        behind_galaxy = Galaxy((0.2, 0.3, 0.5), float(rng.uniform(0.3, 0.45)), 70.0, 0.1, 150.0,
                               0.1, 3.5, 3.0, 0.3, "starburst")  # fmt: skip
        far = instrument.rebin(make(behind_galaxy, sigma)).flux
    share = float(rng.uniform(0.6, 1.0))
    return near / np.median(near) + share * far / np.median(far), galaxy


def spoil(kind: str, flux: Array, instrument: Instrument, rng: np.random.Generator) -> Array:
    """A reduction's fault, unflagged, put into a delivered spectrum (n_pix,)."""
    out = flux.copy()
    level = float(np.median(np.abs(flux)))
    if kind == "cosmic_rays":
        for at in rng.integers(20, flux.size - 20, int(rng.integers(6, 16))):
            tail = np.array([0.25, 1.0, float(rng.uniform(0.1, 0.9)), 0.15])
            out[at : at + 4] += level * float(rng.uniform(3, 25)) * tail
        return out
    factor = float(rng.uniform(0.45, 0.7)) ** (1 if rng.random() < 0.5 else -1)
    out[instrument.wave_vac_aa > instrument.join_aa] *= factor
    return out


def mistaken_redshift(z: float, obj_class: str, rng: np.random.Generator) -> float:
    """The redshift that comes out when one line is taken for another; never below 0.

    Parameters
    ----------
    z : true redshift · obj_class : GALAXY or QSO
    Source: (1 + z_wrong) = (1 + z) λ_true/λ_taken.
    """
    pairs = _CONFUSED["QSO" if obj_class == "QSO" else "GALAXY"]
    wrong = [
        (1.0 + z) * line(true).wave_vac_aa / line(taken).wave_vac_aa - 1.0 for true, taken in pairs
    ]
    possible = [w for w in wrong if w > 0.0]
    return float(possible[int(rng.integers(len(possible)))])
