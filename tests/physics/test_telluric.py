"""Telluric bands lie where the atmosphere absorbs, in the observer's frame and in no other."""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
from itertools import pairwise

import numpy as np
import pytest
from embedding_cases import spectrum
from hypothesis import given
from hypothesis import strategies as st

from spectrarium.domain.axis import Medium, SpecSys
from spectrarium.domain.errors import UsageError
from spectrarium.domain.observation import Observation
from spectrarium.domain.units import C_KMS
from spectrarium.embed.domain import ModelDomain, SpectrumSummary, rest_shift, telluric_shift
from spectrarium.embed.prepare import Preparer
from spectrarium.measure.lines import LINES, LineKind, line
from spectrarium.measure.telluric import BANDS, in_telluric_band

WAVE = 3700.0 * np.exp(np.arange(4000) * 69.0 / C_KMS)
GRID = ModelDomain(3800.0, 9200.0, 3842, least_coverage=0.85)
MASKED = dataclasses.replace(GRID, telluric="mask")


def observed(specsys=SpecSys.TOPOCENT, wave=WAVE, flux=None, **facts):
    flux = np.full(wave.size, 5.0) if flux is None else flux
    about = Observation("TEST", em_res_power=2000.0, **facts)
    return spectrum(wave, flux, 0.1, specsys=specsys, observation=about)


def ivar_of(domain, s):
    batch, left = Preparer(domain).batch([s])
    assert not left, left
    return batch.ivar[0]


def test_bands_are_ordered_apart_and_hold_the_known_heads():
    for first, second in pairwise(BANDS):
        assert first.lo_aa < first.hi_aa < second.lo_aa
    heads = [entry.wave_vac_aa for entry in LINES if entry.kind is LineKind.TELLURIC]
    assert in_telluric_band(np.array(heads) + 5.0).all()
    # O2 and H2O lines that atlases give, in vacuum; then places known to be clear
    assert in_telluric_band([6278.5, 6869.1, 7186.4, 7596.0, 7667.0, 8229.0, 9355.0]).all()
    clear = [line("H_alpha").wave_vac_aa, 5891.6, 6710.0, 7500.0, 7800.0, 8664.5, 10500.0, 16000.0]
    assert not in_telluric_band(clear).any()
    assert not in_telluric_band(np.nan)


@given(st.floats(6000, 21000), st.floats(0, 100))
def test_a_margin_is_a_velocity(wave, margin):
    wide = bool(in_telluric_band(wave, margin))
    shifts = 1.0 + np.linspace(-margin, margin, 801) / C_KMS
    inside = bool(in_telluric_band(wave / shifts).any())
    if wide != inside:  # only where the end of the margin meets the end of a band
        assert bool(in_telluric_band(wave, margin + 0.5)) != bool(
            in_telluric_band(wave, max(0.0, margin - 0.5))
        )


def test_topocentric_bands_are_masked_and_nothing_else():
    plain, masked = ivar_of(GRID, observed()), ivar_of(MASKED, observed())
    taken = (plain > 0) & (masked == 0)
    inside = in_telluric_band(GRID.wave_aa)
    edge = in_telluric_band(GRID.wave_aa, 1.5 * GRID.pixel_kms) & ~in_telluric_band(
        GRID.wave_aa, 0.0
    )
    assert taken[inside].mean() > 0.97
    assert not taken[~inside & ~edge].any()
    kept = ~inside & ~edge & (plain > 0)
    np.testing.assert_allclose(masked[kept], plain[kept], rtol=1e-3)  # the flux scale's share


def test_barycentric_bands_move_with_the_earth():
    known = SpectrumSummary(4000, 9000, 3000, 69.0, Medium.VACUUM, SpecSys.BARYCENT, berv_kms=25.0)
    factor, margin, reason = telluric_shift(known)
    assert (margin, reason) == (0.0, "")
    # λ_bary = λ_topo (1 + BERV/c): what is at 7600 Å on the ground is catalogued redwards of it
    assert 7600.0 * (1 + 25.0 / C_KMS) * factor == pytest.approx(7600.0, abs=1e-9)
    unknown = dataclasses.replace(known, berv_kms=None)
    assert telluric_shift(unknown) == (1.0, 31.0, "")
    in_air_perhaps = dataclasses.replace(known, medium=Medium.UNKNOWN)
    assert telluric_shift(in_air_perhaps)[1] == 83.5


def test_a_redshifted_source_at_rest_is_masked_where_the_bands_were():
    z = 0.4
    at_rest = observed(SpecSys.SOURCE, redshift=z)
    domain = dataclasses.replace(MASKED, frame="rest")
    plain = dataclasses.replace(domain, telluric="keep")
    taken = (ivar_of(plain, at_rest) > 0) & (ivar_of(domain, at_rest) == 0)
    wave = domain.wave_aa
    a_band = (wave > 7600 / (1 + z)) & (wave < 7700 / (1 + z))
    assert taken[a_band].all()
    assert not taken[(wave > 7600) & (wave < 7700)].any()
    _, left = Preparer(domain).batch([observed(SpecSys.SOURCE)])
    assert "telluric bands cannot be placed" in left[0].reason
    _, left = Preparer(dataclasses.replace(MASKED, frame="unknown")).batch(
        [observed(SpecSys.UNKNOWN)]
    )
    assert "telluric bands cannot be placed" in left[0].reason


def test_coverage_is_asked_of_what_the_atmosphere_lets_through():
    tight = dataclasses.replace(MASKED, least_coverage=0.99)
    ivar = ivar_of(tight, observed())
    assert (ivar > 0).mean() < 0.95


@given(st.floats(-800, 800), st.floats(-31, 31))
def test_shift_to_rest_undoes_velocity_and_the_earth(rv_kms, berv_kms):
    """A line emitted at 6000 Å, seen from the moving Earth, comes back to 6000 Å."""
    beta = rv_kms / C_KMS
    at_barycentre = 6000.0 * np.sqrt((1 + beta) / (1 - beta))
    at_earth = at_barycentre / (1 + berv_kms / C_KMS)
    s = SpectrumSummary(5000, 7000, 100, 1.0, specsys=SpecSys.TOPOCENT, rv_kms=rv_kms,
                        berv_kms=berv_kms)  # fmt: skip
    shift, reason = rest_shift(s, "rv", 1.0)
    assert not reason
    assert at_earth / shift == pytest.approx(6000.0, rel=1e-12)
    s = dataclasses.replace(s, specsys=SpecSys.BARYCENT)
    assert at_barycentre / rest_shift(s, "rv", 1.0)[0] == pytest.approx(6000.0, rel=1e-12)


@pytest.mark.parametrize(
    ("change", "rest", "reason"),
    [
        ({"specsys": SpecSys.UNKNOWN, "redshift": 0.1}, "z", "frame is unknown"),
        ({"specsys": SpecSys.LSRK, "redshift": 0.1}, "z", "frame is LSRK"),
        ({}, "z", "no redshift"),
        ({"redshift": np.nan}, "z", "no redshift"),
        ({"redshift": -9999.0}, "z", "sentinel"),
        ({"redshift": 0.1}, "rv", "no radial velocity"),
        ({"rv_kms": 3e5}, "rv", "not below that of light"),
        ({"specsys": SpecSys.TOPOCENT, "rv_kms": 5.0}, "rv", "barycentric correction is unknown"),
        ({"redshift": 0.1}, "z", ""),
    ],
)  # fmt: skip
def test_what_cannot_be_shifted_says_why(change, rest, reason):
    s = SpectrumSummary(4000, 9000, 3000, 5.0, **{"specsys": SpecSys.BARYCENT} | change)
    found = rest_shift(s, rest, 5.0)[1]
    assert (reason in found) if reason else found == ""


def test_a_redshifted_line_is_prepared_at_its_rest_wavelength_whatever_z():
    domain = dataclasses.replace(GRID, wave_max_aa=7000.0, n_pix=2654, frame="rest", rest="z",
                                 least_coverage=0.5)  # fmt: skip
    wave, peaks = domain.wave_aa, []
    for z in (0.0, 0.05, 0.3):
        flux = 5 + 20 * np.exp(-0.5 * ((WAVE - 5008.24 * (1 + z)) / (4 * (1 + z))) ** 2)
        batch, left = Preparer(domain).batch([observed(SpecSys.HELIOCEN, flux=flux, redshift=z)])
        assert not left
        near = np.abs(wave - 5008.24) < 12
        weight = batch.flux[0][near] - np.median(batch.flux[0])
        peaks.append(np.average(wave[near], weights=weight))
    np.testing.assert_allclose(peaks, 5008.24, atol=0.15)


def test_rest_models_live_in_the_rest_frame():
    with pytest.raises(UsageError, match="not in the frame"):
        ModelDomain(4000.0, 8000.0, 100, frame="observed", rest="z")
    with pytest.raises(UsageError, match="cannot be 'hide'"):
        ModelDomain(4000.0, 8000.0, 100, telluric="hide")


def test_all_that_real_galaxies_share_in_the_observed_frame_is_inside_the_bands(data_dir):
    """FORS2 spectra of galaxies at many redshifts, not corrected for the atmosphere, stacked."""
    loader = importlib.util.spec_from_file_location("pool", data_dir / "pool.py")
    pool = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(pool)
    folder = data_dir / "fors2_rxj0054"
    with (folder / "index.csv").open() as file:
        names = [row["spec_id"] for row in csv.DictReader(file)][:250]
    store = pool.Store(str(folder))
    grid = np.arange(6000.0, 8390.0, 10.0)
    clear = ~in_telluric_band(grid, 31.0)
    stack = []
    for name in names:
        wave, flux, _ = store[name]
        good = np.isfinite(flux)
        flux = np.interp(grid, wave[good], flux[good])
        smooth = np.interp(grid, grid[clear], flux[clear])
        smooth = np.array([np.median(smooth[max(0, i - 12) : i + 13]) for i in range(grid.size)])
        if np.median(smooth) > 0:
            stack.append(flux / np.where(smooth > 0, smooth, np.nan))
    median = np.nanmedian(stack, axis=0)
    absorbed = median < 0.95
    assert absorbed.sum() >= 8
    assert in_telluric_band(grid[absorbed], 31.0).all(), grid[absorbed & clear]
    for low, high in ((6866, 6965), (7160, 7345), (7590, 7715), (8100, 8370)):
        assert absorbed[(grid > low) & (grid < high)].any()
