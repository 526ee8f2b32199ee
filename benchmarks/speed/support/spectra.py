"""Spectra made in memory: SDSS-like on shared log grids, HARPS-like on a linear axis."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spectrarium.domain.axis import LinearWCS, Medium, Scale, SpecSys, SpectralAxis
from spectrarium.domain.observation import Observation, Provenance
from spectrarium.domain.spectrum import FlagScheme, Spectrum, UncertaintyKind

N_SDSS, N_HARPS = 4600, 313_156
N_GRIDS = 60
FLAGS = FlagScheme("SPPIXMASK", {18: "FULLREJECT", 23: "BRIGHTSKY"}, (1 << 18) | (1 << 23))


def sdss_like(start: int, stop: int, n_pix: int = N_SDSS) -> Iterator[Spectrum]:
    """Spectra number start … stop: flux, ivar, flags, float32 and int32."""
    rng = np.random.default_rng(start)
    grids = [(3.5534 + 1e-4 * (g + np.arange(n_pix))).astype(np.float32) for g in range(N_GRIDS)]
    flags = np.zeros(n_pix, np.int32)
    flags[::97] = 1 << 23
    base = 20 + 10 * np.sin(np.linspace(0, 5, n_pix, dtype=np.float32))
    for i in range(start, stop):
        flux = base + rng.standard_normal(n_pix, dtype=np.float32)
        yield Spectrum(
            axis=SpectralAxis("Angstrom", values=grids[i % N_GRIDS], scale=Scale.LOG10,
                              medium=Medium.VACUUM, specsys=SpecSys.HELIOCEN),
            flux=flux, flux_unit="1e-17 erg s-1 cm-2 Angstrom-1",
            uncertainty=rng.random(n_pix, dtype=np.float32) + np.float32(0.5),
            uncertainty_kind=UncertaintyKind.IVAR, flags=flags, flag_scheme=FLAGS,
            observation=Observation(
                obs_collection="SDSS", obs_id=f"{3500 + i // 1000}-55100-{i % 1000:04d}",
                s_ra=(i * 137.50776405) % 360.0, s_dec=-10.0 + (i * 0.0617) % 70.0,
                instrument_name="BOSS", redshift=1e-4 * (i % 9000),
            ),
            provenance=Provenance(path=f"/survey/{i}.fits", reader="sdss", hdu=1),
        )  # fmt: skip


def harps_like(n: int) -> Iterator[Spectrum]:
    """n merged HARPS spectra: flux only, 0.01 Å a sample from 3781 Å."""
    rng = np.random.default_rng(7)
    for i in range(n):
        yield Spectrum(
            axis=SpectralAxis("Angstrom", wcs=LinearWCS(3781.0, 0.01, 1.0, N_HARPS),
                              medium=Medium.AIR, specsys=SpecSys.BARYCENT),
            flux=rng.standard_normal(N_HARPS, dtype=np.float32) + 100,
            observation=Observation(obs_collection="HARPS", obs_id=f"HARPS.{i:04d}",
                                    target_name="alpha Cen B", instrument_name="HARPS"),
            provenance=Provenance(path=f"/harps/{i}.fits", reader="harps"),
        )  # fmt: skip
