"""Line profiles: Voigt curves of growth, Stark wings of hydrogen, broadening in Fourier space."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import j1, wofz

Array = NDArray[np.float64]
LIMB_DARKENING = 0.6


def voigt(a: Array, v: Array) -> Array:
    """H(a, v), the Voigt function with H(0, 0) = 1."""
    return np.asarray(wofz(v + 1j * a).real)


@lru_cache(maxsize=1)
def _growth_table() -> tuple[Array, Array, Array]:
    """log₁₀ of ∫ η H/(1 + η H) dv over log η (rows) and log a (columns)."""
    log_eta, log_a = np.linspace(-6.0, 9.0, 151), np.linspace(-4.5, 0.5, 26)
    v = np.concatenate([np.linspace(0, 8, 401), np.geomspace(8.02, 1e6, 500)])
    shape = voigt(10.0 ** log_a[:, None], v[None, :])
    eta = 10.0 ** log_eta[:, None, None] * shape
    area = 2.0 * np.trapezoid(eta / (1.0 + eta), v, axis=2)
    return log_eta, log_a, np.log10(area)


def growth(eta: Array, a: Array) -> Array:
    """Equivalent width of a Milne–Eddington line, in Doppler widths and units of its full depth.

    Parameters
    ----------
    eta : line to continuum opacity at the centre · a : damping parameter; both broadcast
    Source: R = η H/(1 + η H) (Mihalas 1978, eq. 10-48, with depth factored out). Valid for:
    η < 1e9, 3e-5 < a < 3; values beyond are clipped.
    """
    log_eta, log_a, table = _growth_table()
    with np.errstate(divide="ignore"):
        x = ((np.log10(eta) - log_eta[0]) / (log_eta[1] - log_eta[0])).clip(0, len(log_eta) - 1.001)
    y = ((np.log10(a) - log_a[0]) / (log_a[1] - log_a[0])).clip(0, len(log_a) - 1.001)
    i, j = x.astype(np.intp), y.astype(np.intp)
    p, q = x - i, y - j
    value = (1 - p) * ((1 - q) * table[i, j] + q * table[i, j + 1])
    value += p * ((1 - q) * table[i + 1, j] + q * table[i + 1, j + 1])
    return np.asarray(np.where(eta > 10.0 ** log_eta[0], 10.0**value, np.sqrt(np.pi) * eta))


def stark(distance_aa: Array, doppler_aa: Array, field_aa: Array) -> Array:
    """Area-normalised profile of a hydrogen line, per Å.

    A Doppler core and quasi-static Holtsmark wings ¾·(F₀K)^1.5/|Δλ|^2.5, half as much again for
    the electrons (they would double it far out), joined smoothly. Broadcasts.

    Parameters
    ----------
    distance_aa : Δλ, Å · doppler_aa : 1/e half-width, Å · field_aa : F₀·K of `stark_field`, Å
    Source: Griem 1960, ApJ 132, 883. Valid for: wings; cores to some 20 %.
    """
    core = np.sqrt(doppler_aa**2 + (0.9 * field_aa) ** 2)
    bend2 = (1.5 * doppler_aa) ** 2 + (2.05 * field_aa) ** 2
    wing = 1.1 * field_aa**1.5 / (distance_aa**2 + bend2) ** 1.25
    in_wings = 2.396 * 1.1 * (field_aa**2 / bend2) ** 0.75  # ∫(1 + u²)^−1.25 du = 2.396
    shape = np.exp(-((distance_aa / core) ** 2)) / (1.772454 * core)
    return np.asarray((1.0 - in_wings) * shape + wing)


def stark_field(lower: int, upper: int, electron_density: Array) -> Array:
    """F₀·K in Å: the scale of the Stark pattern n → n' at the Holtsmark field.

    Source: Griem 1960, K = 5.5e-5 (n n')⁴/(n'² − n²); F₀ = 1.25e-9 Ne^(2/3) esu.
    """
    k = 5.5e-5 * (lower * upper) ** 4 / (upper**2 - lower**2)
    return np.asarray(1.25e-9 * electron_density ** (2.0 / 3.0) * k)


def broadening(
    n: int, step_kms: float, sigma_kms: Array, vsini_kms: Array, shift_kms: Array
) -> NDArray[np.complex128]:
    """Transfer functions (n_spec, n/2 + 1) on a grid of equal velocity steps.

    Gaussian of `sigma_kms`, solid-body rotation of `vsini_kms` with linear limb darkening 0.6,
    and a shift; (n_spec,) each. Multiply ``rfft`` by it.
    Source: Gray 2005, eq. 18.14; its transform in closed form.
    """
    k = 2.0 * np.pi * np.fft.rfftfreq(n, step_kms)[None, :]
    transfer = np.exp(-0.5 * (k * sigma_kms[:, None]) ** 2).astype(np.complex128)
    for row, vsini, shift in zip(transfer, vsini_kms, shift_kms, strict=True):
        seen = int(np.searchsorted(-row.real, -1e-12))  # the Gaussian leaves nothing beyond
        row[seen:] = 0.0
        if vsini > 0:
            x = k[0, :seen] * vsini
            low = int(np.searchsorted(x, 1e-2))  # below, sin x − x cos x loses its digits
            x[:low] = 1.0
            spin = 2 * (1 - LIMB_DARKENING) * j1(x) / x
            spin += 2 * LIMB_DARKENING * (np.sin(x) - x * np.cos(x)) / x**3
            spin /= 1 - LIMB_DARKENING / 3
            spin[:low] = 1.0
            row[:seen] *= spin
        if shift != 0:
            row[:seen] *= np.exp(-1j * shift * k[0, :seen])
    return transfer


def broaden(spectra: Array, transfer: NDArray[np.complex128]) -> Array:
    """Spectra (n_spec, n) convolved; the last axis is a grid of equal velocity steps."""
    n = spectra.shape[-1]
    return np.asarray(np.fft.irfft(np.fft.rfft(spectra, axis=-1) * transfer, n, axis=-1))
