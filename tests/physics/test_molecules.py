"""Molecular bands are found where they are, planted and in real stars, and nowhere else."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from required import need

from spectrarium.measure.airvac import air_to_vac
from spectrarium.measure.molecules import MOLECULAR, bands_shown

MILES = Path(os.environ.get("SPECTRARIUM_DATA") or "/nowhere") / "miles_stars"
WAVE = 3700.0 * np.exp(np.arange(3600) * 70.0 / 299_792.458)


def banded(molecules: tuple[str, ...], depth: float, z: float = 0.0) -> np.ndarray:
    """A slope with a saw-tooth at each band of these molecules."""
    flux = 1.0 + 0.4 * (WAVE / 6000.0 - 1.0)
    for band in MOLECULAR:
        if band.molecule in molecules:
            head, tail = (float(air_to_vac(a)) * (1 + z) for a in band[1:])
            inside = (WAVE - head) / (tail - head)
            flux *= 1.0 - depth * np.where((inside >= 0) & (inside < 1), 1 - inside, 0)
    return flux


@pytest.mark.parametrize("molecule", ["C2", "TiO"])
@pytest.mark.parametrize("z", [0.0, 0.05])
def test_planted_bands_come_out_with_their_depth(molecule, z):
    rng = np.random.default_rng(1)
    flux = banded((molecule,), 0.4, z) + 0.03 * rng.standard_normal(WAVE.size)
    found = bands_shown(WAVE, flux, np.full(WAVE.size, 0.03**-2), z)
    assert {s.band.molecule for s in found} == {molecule}
    assert len(found) >= 3
    assert np.median([s.depth for s in found]) == pytest.approx(0.4, abs=0.1)


def test_noise_lines_and_slopes_are_no_bands():
    rng = np.random.default_rng(2)
    for sigma in (0.01, 0.1, 0.5):
        for slope in (-1.0, 0.0, 1.5):
            flux = 1.0 + slope * (WAVE / 6000 - 1) + sigma * rng.standard_normal(WAVE.size)
            for at in rng.uniform(3800, 8400, 60):
                flux *= 1.0 - 0.4 * np.exp(-0.5 * ((WAVE / at - 1) * 299_792.458 / 120) ** 2)
            assert bands_shown(WAVE, flux, np.full(WAVE.size, sigma**-2)) == ()
    assert bands_shown(WAVE, np.zeros(WAVE.size), np.zeros(WAVE.size)) == ()
    assert bands_shown(WAVE, -banded(("TiO",), 0.4), np.ones(WAVE.size)) == ()


@pytest.mark.parametrize("power", [-9.0, -6.0, -4.0, 4.0, 9.0])
def test_a_steep_continuum_is_no_band(power):
    """A hot star falls by a twentieth over what is compared at a head, without a step."""
    rng = np.random.default_rng(3)
    flux = (WAVE / 5000.0) ** power * (1.0 + 0.003 * rng.standard_normal(WAVE.size))
    assert bands_shown(WAVE, flux, (0.003 * flux) ** -2) == ()


def test_bands_are_named_by_their_heads():
    band = next(b for b in MOLECULAR if b.head_air_aa == 5165.2)
    assert (band.name, band.label) == ("C2_5165", "C₂")
    low, high = band.range_aa(0.1)
    assert low < high == pytest.approx(1.1 * float(air_to_vac(5165.2)))


def test_real_stars_show_the_bands_of_their_kind():
    need("data", MILES.is_dir(), "needs SPECTRARIUM_DATA")
    with open(MILES / "index.csv", newline="") as handle:
        rows = {r["spec_id"]: r for r in csv.DictReader(handle)}
    wrong, cool = [], 0
    with h5py.File(MILES / "spectra.h5") as store:
        ids = [i.decode() for i in store["spec_id"][:]]
        off, which, grid = store["off"][:], store["widx"][:], store["wpar"][:]
        for n, name in enumerate(ids):
            flux = store["flux"][off[n] : off[n + 1]].astype(float)
            start, step = grid[which[n]]
            wave = np.asarray(air_to_vac(start + step * np.arange(flux.size)))
            good = np.isfinite(flux)
            ivar = np.where(good, (np.median(flux[good]) / 50) ** -2.0, 0.0)
            found = {s.band.molecule for s in bands_shown(wave, np.where(good, flux, 0), ivar)}
            kind, teff = rows[name]["obj_subclass"], float(rows[name]["teff"] or "nan")
            cool += "TiO" in found
            if name == "miles-0720":  # the one carbon star
                assert found == {"C2", "CN"}
                continue
            late = kind[:2] in ("M4", "M5", "M6", "M7", "M8")
            if "C2" in found or ("TiO" in found and teff > 4700) or (late and "TiO" not in found):
                wrong.append((name, kind, teff, found))
    assert wrong == []
    assert cool > 50
