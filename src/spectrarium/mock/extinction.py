"""Interstellar dust."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def transmission(
    wave_vac_aa: NDArray[np.float64], ebv: float, r_v: float = 3.1
) -> NDArray[np.float64]:
    """Fraction of light that dust of reddening `ebv` (mag) lets through, (n,).

    Source: Cardelli, Clayton & Mathis 1989, ApJ 345, 245, eqs. 2–4. Valid for: 0.125–3.3 µm (the
    bump and far-ultraviolet terms below 0.17 µm are left out: clipped there).
    """
    x = (1e4 / wave_vac_aa).clip(0.3, 5.9)
    y = x - 1.82
    a = np.polyval([0.32999, -0.77530, 0.01979, 0.72085, -0.02427, -0.50447, 0.17699, 1.0], y)
    b = np.polyval([-2.09002, 5.30260, -0.62251, -5.38434, 1.07233, 2.28305, 1.41338, 0.0], y)
    infrared, ultraviolet = x < 1.1, x > 3.3
    a = np.where(infrared, 0.574 * x**1.61, a)
    b = np.where(infrared, -0.527 * x**1.61, b)
    a = np.where(ultraviolet, 1.752 - 0.316 * x - 0.104 / ((x - 4.67) ** 2 + 0.341), a)
    b = np.where(ultraviolet, -3.090 + 1.825 * x + 1.206 / ((x - 4.62) ** 2 + 0.263), b)
    return np.asarray(10.0 ** (-0.4 * ebv * r_v * (a + b / r_v)))
