"""Spectra of a known linear model, for the tests of everything that embeds."""

from __future__ import annotations

import numpy as np

from spectrarium.domain.axis import Medium, SpecSys, SpectralAxis
from spectrarium.domain.derived import NoiseSource
from spectrarium.domain.observation import Observation, Provenance
from spectrarium.domain.spectrum import Spectrum, UncertaintyKind
from spectrarium.embed.domain import ModelDomain
from spectrarium.embed.prepare import Prepared

N_PIX = 400
DOMAIN = ModelDomain(4000.0, 8000.0, N_PIX)


def basis(k: int, n_pix: int = N_PIX) -> np.ndarray:
    """(k, n_pix) orthonormal, smooth."""
    x = np.linspace(0, 1, n_pix)
    rows = np.array([np.cos((j + 1) * np.pi * x) for j in range(k)])
    return np.linalg.qr(rows.T)[0].T


def prepared(flux: np.ndarray, ivar: np.ndarray, snr: np.ndarray | None = None) -> Prepared:
    """As if a Preparer had made it."""
    n = len(flux)
    return Prepared(
        flux=flux.astype(np.float32),
        ivar=ivar.astype(np.float32),
        scale=np.ones(n),
        snr=np.median(np.sqrt(ivar), axis=1) if snr is None else snr,
        coverage=(ivar > 0).mean(axis=1),
        noise_source=(NoiseSource.DELIVERED,) * n,
        index=np.arange(n),
    )


def linear_world(
    n: int, amplitudes: tuple[float, ...] = (8.0, 5.0, 3.0), gap: int = 0, seed: int = 1
) -> tuple[Prepared, np.ndarray, np.ndarray]:
    """n noisy, gappy spectra 1 + z·basis with S/N from 3 to 100; returns also z and basis."""
    rng = np.random.default_rng(seed)
    rows = basis(len(amplitudes))
    z = rng.standard_normal((n, len(amplitudes))) * amplitudes
    sigma = 10 ** rng.uniform(-2, -0.5, (n, 1)) * rng.uniform(0.7, 1.4, (n, N_PIX))
    flux = 1.0 + z @ rows + sigma * rng.standard_normal((n, N_PIX))
    ivar = sigma**-2
    for i in range(n if gap else 0):
        start = rng.integers(0, N_PIX - gap)
        ivar[i, start : start + gap] = 0.0
        flux[i, start : start + gap] = 1e4  # must not matter
    return prepared(flux, ivar), z, rows


def spectrum(
    wave: np.ndarray,
    flux: np.ndarray,
    sigma: np.ndarray | float | None = 0.1,
    medium: Medium = Medium.VACUUM,
    specsys: SpecSys = SpecSys.HELIOCEN,
    **changes: object,
) -> Spectrum:
    """A spectrum in memory."""
    error = None if sigma is None else np.broadcast_to(np.asarray(sigma, float), flux.shape).copy()
    fields: dict = {
        "axis": SpectralAxis("Angstrom", values=wave, medium=medium, specsys=specsys),
        "flux": flux,
        "observation": Observation("TEST", em_res_power=2000.0),
        "provenance": Provenance("memory", "test"),
        "uncertainty": error,
        "uncertainty_kind": UncertaintyKind.NONE if error is None else UncertaintyKind.STD,
        "flux_unit": "erg / (s cm2 Angstrom)",
    }
    return Spectrum(**fields | changes)
