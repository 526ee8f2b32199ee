"""Velocity, redshift and wavelength: relativistic, and the ``cz`` that catalogues quote."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..domain.errors import UsageError
from ..domain.units import C_KMS


def _subluminal(velocity_kms: ArrayLike) -> NDArray[np.float64]:
    beta = np.asarray(velocity_kms, dtype=np.float64) / C_KMS
    if np.any(np.abs(beta) >= 1.0):
        raise UsageError("a velocity is not below that of light", code="superluminal",
                         where="velocity_kms", remedy="give km/s; for redshifts use z")  # fmt: skip
    return beta


def velocity_to_redshift(velocity_kms: ArrayLike, relativistic: bool = True) -> NDArray[np.float64]:
    """Redshift z of a radial velocity (positive = receding).

    Parameters
    ----------
    velocity_kms : any shape, km/s
    relativistic : 1 + z = √((1+β)/(1−β)) for purely radial motion; else the optical z = v/c
    Raises
    ------
    UsageError (superluminal) : |v| ≥ c with the relativistic form
    Source: FITS Paper III (Greisen et al. 2006, A&A 446, 747), table 3. Valid for: |v| < c.
    """
    if not relativistic:
        return np.asarray(velocity_kms, dtype=np.float64) / C_KMS
    return np.expm1(np.arctanh(_subluminal(velocity_kms)))


def redshift_to_velocity(z: ArrayLike, relativistic: bool = True) -> NDArray[np.float64]:
    """Radial velocity in km/s of a redshift; the inverse of `velocity_to_redshift`.

    Raises
    ------
    UsageError (bad_redshift) : z ≤ −1
    Source: FITS Paper III, table 3. Valid for: z > −1.
    """
    z = np.asarray(z, dtype=np.float64)
    if np.any(z <= -1.0):
        raise UsageError("a redshift must be above −1", code="bad_redshift", where="z",
                         remedy="check for a sentinel such as −9999")  # fmt: skip
    return C_KMS * np.tanh(np.log1p(z)) if relativistic else C_KMS * z


def shift_wavelength(
    wave: ArrayLike, velocity_kms: ArrayLike, relativistic: bool = True
) -> NDArray[np.float64]:
    """Wavelengths of a source at rest as seen when it recedes at `velocity_kms`.

    Parameters
    ----------
    wave : any shape, any unit, vacuum (air wavelengths do not scale: convert them first)
    velocity_kms : broadcasts against `wave`, km/s
    Returns
    -------
    λ (1 + z) : float64, the unit of `wave`. ``shift_wavelength(…, −v)`` undoes it exactly only
        in the relativistic form; with v/c use `unshift_wavelength`.
    Source: FITS Paper III, table 3. Valid for: |v| < c.
    """
    z = velocity_to_redshift(velocity_kms, relativistic)
    return np.asarray(wave, dtype=np.float64) * (1.0 + z)


def unshift_wavelength(
    wave: ArrayLike, velocity_kms: ArrayLike, relativistic: bool = True
) -> NDArray[np.float64]:
    """Rest wavelengths of a source that recedes at `velocity_kms`: undoes `shift_wavelength`."""
    z = velocity_to_redshift(velocity_kms, relativistic)
    return np.asarray(wave, dtype=np.float64) / (1.0 + z)


def line_velocity(
    wave_observed: ArrayLike, wave_rest: ArrayLike, relativistic: bool = True
) -> NDArray[np.float64]:
    """Velocity in km/s at which a line of `wave_rest` is seen at `wave_observed` (same unit)."""
    z = np.asarray(wave_observed, dtype=np.float64) / np.asarray(wave_rest, dtype=np.float64) - 1.0
    return redshift_to_velocity(z, relativistic)


def add_velocities(first_kms: ArrayLike, second_kms: ArrayLike) -> NDArray[np.float64]:
    """Relativistic sum of two collinear velocities, km/s, so that 1 + z multiplies.

    The barycentric correction of a measured velocity is such a sum: the plain sum is wrong by
    v₁ v₂ (v₁ + v₂)/c², negligible, but ``z`` added to ``v/c`` is wrong by v₁ v₂/c (3 m/s for
    30 km/s twice). Source: Wright & Eastman 2014, PASP 126, 838, eq. 10. Valid for: |v| < c.
    """
    rapidity = np.arctanh(_subluminal(first_kms)) + np.arctanh(_subluminal(second_kms))
    return np.asarray(C_KMS * np.tanh(rapidity))
