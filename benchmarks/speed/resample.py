"""Flux-conserving rebinning of 313k → 30k pixels: Spectrarium against specutils, one run.

    python benchmarks/speed/resample.py [--repeat N]

Prints a table and writes results/resample.json. Every timing starts from wavelengths at pixel
centres and ends with flux and error on the new grid; grids are rebuilt each time, except where
the row says that they are kept.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from astropy import units as u
from astropy.nddata import InverseVariance
from specutils import Spectrum
from specutils.manipulation import FluxConservingResampler

from spectrarium.measure.pixels import pixel_bounds
from spectrarium.measure.resample import Resampler, resample

N_IN, N_OUT = 313_156, 30_000
N_BATCH, N_BATCH_IN, N_BATCH_OUT = 2000, 4500, 3000


def best_of(repeat: int, work: Callable[[], Any]) -> tuple[float, Any]:
    """Shortest wall time in s of `repeat` calls, and the result."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return min(times), result


def long_spectrum(repeat: int) -> dict[str, float]:
    """HARPS-like s1d to a coarser grid; both sides must agree before a time counts."""
    rng = np.random.default_rng(0)
    wave, new = np.linspace(3781, 6913, N_IN), np.linspace(3790, 6900, N_OUT)
    flux, ivar = rng.normal(1.0, 0.1, N_IN), rng.uniform(50, 150, N_IN)
    spectrum = Spectrum(
        flux=flux * u.ct, spectral_axis=wave * u.AA, uncertainty=InverseVariance(ivar)
    )
    peer = FluxConservingResampler()
    t_peer, theirs = best_of(min(repeat, 3), lambda: peer(spectrum, new * u.AA))
    t_ours, ours = best_of(repeat, lambda: resample(wave, flux, new, ivar))
    kept = Resampler(pixel_bounds(wave), pixel_bounds(new))
    t_kept, _ = best_of(repeat, lambda: kept(flux, ivar))
    difference = float(np.nanmax(np.abs(theirs.flux.value - ours.flux)))
    ivar_difference = float(np.nanmax(np.abs(theirs.uncertainty.array / ours.ivar - 1)))
    if not (difference < 1e-9 and ivar_difference < 1e-9):
        raise SystemExit(f"results differ: flux {difference:g}, ivar {ivar_difference:g}")
    return {"specutils_s": t_peer, "spectrarium_s": t_ours, "spectrarium_grid_kept_s": t_kept,
            "max_flux_difference": difference, "max_ivar_relative_difference": ivar_difference,
            "speedup": t_peer / t_ours}  # fmt: skip


def many_spectra(repeat: int) -> dict[str, float]:
    """Spectra per second on one shared grid; the peer does 20 of them, one at a time."""
    rng = np.random.default_rng(1)
    wave = 10 ** (3.56 + 1e-4 * np.arange(N_BATCH_IN))
    new = 10 ** (3.57 + 1.4e-4 * np.arange(N_BATCH_OUT))
    flux = rng.normal(1, 0.1, (N_BATCH, N_BATCH_IN)).astype(np.float32)
    ivar = np.full_like(flux, 100.0)
    mask = rng.random(flux.shape) < 0.02
    rebin = Resampler(pixel_bounds(wave), pixel_bounds(new))
    t_ours, _ = best_of(repeat, lambda: rebin(flux, ivar, mask))
    peer, axis = FluxConservingResampler(), wave * u.AA
    spectra = [
        Spectrum(flux=f * u.ct, spectral_axis=axis, uncertainty=InverseVariance(i))
        for f, i in zip(flux[:20], ivar[:20], strict=True)
    ]
    t_peer, _ = best_of(min(repeat, 3), lambda: [peer(s, new * u.AA) for s in spectra])
    return {"specutils_per_s": 20 / t_peer, "spectrarium_per_s": N_BATCH / t_ours}


def main() -> None:
    """Run, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=7)
    repeat = parser.parse_args().repeat
    one, many = long_spectrum(repeat), many_spectra(repeat)
    print(f"{'':34}{'specutils':>12}{'spectrarium':>13}")
    print(f"{N_IN} → {N_OUT} pixels, ms{one['specutils_s'] * 1e3:16.0f}"
          f"{one['spectrarium_s'] * 1e3:13.1f}   ({one['speedup']:.0f} ×)")  # fmt: skip
    print(f"{'  grids kept, ms':34}{'–':>12}{one['spectrarium_grid_kept_s'] * 1e3:13.1f}")
    print(f"{f'{N_BATCH_IN} → {N_BATCH_OUT} with mask, spectra/s':34}"
          f"{many['specutils_per_s']:12.0f}{many['spectrarium_per_s']:13.0f}")  # fmt: skip
    print(f"largest difference: flux {one['max_flux_difference']:.1e}, "
          f"ivar {one['max_ivar_relative_difference']:.1e}")  # fmt: skip
    record = {
        "benchmark": "resample", "repeat": repeat, "statistic": "best",
        "n_in": N_IN, "n_out": N_OUT, "single": one,
        "batch": {"n": N_BATCH, "n_in": N_BATCH_IN, "n_out": N_BATCH_OUT, **many},
        "versions": {name: version(name) for name in ("specutils", "numpy", "scipy", "astropy")},
        "python": platform.python_version(), "machine": platform.machine(),
    }  # fmt: skip
    out = Path(__file__).parent / "results" / "resample.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written: {out}")


if __name__ == "__main__":
    main()
