"""What `embed` holds in memory does not grow with the number of spectra."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import spectrarium as sp
from spectrarium.domain.axis import Medium, SpecSys, SpectralAxis
from spectrarium.domain.observation import Observation, Provenance
from spectrarium.domain.spectrum import Spectrum, UncertaintyKind
from spectrarium.store.writer import add_spectra

N_PIX = 1000
FEW, MANY = 1_600, 6_400
"""What PCA starts from (1,500 spectra) and its batches (512) are full in both."""
ARRAYS_MB = (MANY - FEW) * N_PIX * 2 * 4 / 1e6
"""Prepared flux and ivar of what `MANY` has more: 38 MB, where the peak rose by 14 (what the
catalogue says of each, vectors, pages of mapped files)."""

PEAK = """
import os, resource, sys
if hasattr(os, "sched_setaffinity"):  # one core: all is done in this process
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
import spectrarium as sp
report = sp.open(sys.argv[1]).embed(components=4, where=sys.argv[2])
unit = 1 if sys.platform == "darwin" else 1024
print(report.covered, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory") / "archive"
    rng = np.random.default_rng(2)
    axis = SpectralAxis("Angstrom", values=np.geomspace(4000, 7000, N_PIX), medium=Medium.VACUUM,
                        specsys=SpecSys.BARYCENT)  # fmt: skip
    shape = np.sin(np.outer([3, 5, 8, 11], np.linspace(0, 1, N_PIX))).astype(np.float32)
    error = np.full(N_PIX, 0.05, np.float32)
    spectra = []
    for i in range(MANY):
        flux = 5 + rng.standard_normal(4).astype(np.float32) * [0.8, 0.6, 0.4, 0.3] @ shape
        flux = (flux + error * rng.standard_normal(N_PIX)).astype(np.float32)
        spectra.append(Spectrum(
            axis=axis, flux=flux, uncertainty=error, uncertainty_kind=UncertaintyKind.STD,
            observation=Observation("FEW" if i < FEW else "MORE", obs_id=f"s{i}",
                                    em_res_power=800.0),
            provenance=Provenance(f"/files/{i}.fits", "test"),
        ))  # fmt: skip
    add_spectra(folder, spectra)
    return sp.open(folder)


def peak_mb(archive, where):
    done = subprocess.run([sys.executable, "-c", PEAK, str(archive.path), where],
                          capture_output=True, text=True, check=True)  # fmt: skip
    covered, peak = done.stdout.split()
    return int(covered), float(peak)


@pytest.mark.timeout(600)
def test_four_times_as_many_spectra_take_no_more_memory_to_embed(archive):
    covered, few = peak_mb(archive, "obs_collection = 'FEW'")
    assert covered == FEW
    covered, many = peak_mb(archive, "n_good > 0")
    assert covered == MANY
    assert many - few < 0.75 * ARRAYS_MB, "held all at once they would take twice this and more"
