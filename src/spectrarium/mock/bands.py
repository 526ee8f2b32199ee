"""Molecular bands, by position and shape from the literature and by strength in a parametric form.

Band heads: Pearse & Gaydon 1976, air. A band's opacity jumps at its head and decays to the red or
to the violet. With temperature it goes as 10^(slope·θ), θ = 5040/Teff, the slope being near the
dissociation energy in eV that molecular equilibrium gives it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..measure.airvac import air_to_vac

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Molecule:
    """η = strength · 10^(slope (θ − θ₀) + metal·[M/H] + gravity·(log g − 4.4)), cut off above θ₁.

    heads : (air Å, decay length Å, relative strength); a negative length decays to the violet
    haze_aa : instead of heads, a smooth opacity that grows by e to the violet over so many Å, 1 at
        4000 Å: the blanketing of cool stars that no line list resolves
    """

    heads: tuple[tuple[float, float, float], ...]
    slope: float
    theta0: float
    theta1: float
    metal: float
    gravity: float
    haze_aa: float = 0.0


_TIO = (
    (4761.0, 100, 0.30), (4954.6, 120, 0.48), (5166.8, 155, 0.60), (5448.2, 155, 0.54),
    (5597.6, 70, 0.15), (5758.7, 100, 0.15), (5847.6, 120, 0.21), (6158.5, 185, 0.54),
    (6651.3, 120, 0.30), (6681.0, 100, 0.30), (6714.4, 100, 0.24), (7054.3, 120, 0.66),
    (7087.6, 120, 0.66), (7125.6, 135, 0.60), (7589.3, 155, 0.30), (7666.4, 155, 0.24),
    (8206.8, 100, 0.09), (8432.3, 155, 0.30), (8859.6, 135, 0.30), (9209.0, 155, 0.18),
    (9728.0, 155, 0.18), (9896.0, 100, 0.24),
)  # fmt: skip
MOLECULES: dict[str, Molecule] = {
    "haze": Molecule((), 3.0, 1.20, 9.9, 0.7, 0.0, haze_aa=350.0),
    "TiO": Molecule(_TIO, 5.5, 1.41, 9.9, 1.2, -0.05),
    "VO": Molecule(((7334.0, 60, 1.0), (7393.0, 70, 1.0), (7851.0, 60, 1.0), (7896.0, 70, 1.0)),
                   6.5, 1.66, 9.9, 1.2, -0.1),
    "CaH": Molecule(((6382.0, -40, 0.6), (6750.0, 60, 0.8), (6830.0, 60, 0.7), (6946.0, -70, 0.8)),
                    4.0, 1.50, 9.9, 0.5, 0.5),
    "MgH": Molecule(((5211.0, -45, 1.0), (4845.0, -25, 0.3), (5621.0, -40, 0.2)),
                    2.5, 1.22, 1.5, 0.6, 0.35),
    "CH": Molecule(((4314.2, -16, 0.85), (4300.0, 10, 0.5), (3890.0, -14, 0.3), (4323.0, -6, 0.3)),
                   3.4, 0.93, 1.12, 0.5, -0.1),
    "CN": Molecule(((3883.4, -22, 2.2), (4216.0, -22, 0.5), (3871.4, -15, 0.8), (8108.0, 40, 0.05)),
                   4.0, 1.02, 1.12, 1.6, -0.25),
}  # fmt: skip
SWAN = Molecule(((4737.1, -90, 1.2), (5165.2, -120, 1.5), (5635.5, -120, 1.1), (6059.0, -60, 0.4),
                 (6191.0, -70, 0.4)), 0.0, 1.2, 9.9, 0.0, 0.0)  # fmt: skip
"""C2 Swan bands, for carbon stars only."""


def shape(molecule: Molecule, wave_aa: Array) -> Array:
    """(m,) opacity along wavelength (vacuum Å) at unit strength."""
    if molecule.haze_aa:
        return np.asarray(np.exp((-(wave_aa - 4000.0) / molecule.haze_aa).clip(max=4.0)))
    total = np.zeros(wave_aa.shape)
    for head, length, strength in molecule.heads:
        beyond = (wave_aa - float(air_to_vac(head))) * np.sign(length)
        rise = 1.0 / (1.0 + np.exp(-(beyond / 1.5).clip(-50, 50)))
        total += strength * rise * np.exp(-(beyond.clip(0) / abs(length)))
    return total


def strength(molecule: Molecule, teff: Array, logg: Array, feh: Array) -> Array:
    """(n,) factor of `shape` for each star."""
    theta = 5040.0 / teff
    log = molecule.slope * (theta - molecule.theta0) + molecule.metal * feh
    log += molecule.gravity * (logg - 4.4)
    cut = 1.0 + 10.0 ** (10.0 * (theta - molecule.theta1)).clip(-30, 30)
    return np.asarray(10.0 ** log.clip(-12, 1.5) / cut)
