"""Grids of one ladder: flux conserved, pixels shared, gaps left empty; percentiles of columns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectrarium.domain.errors import UsageError
from spectrarium.measure.lattice import Lattice, on_lattice, step_of
from spectrarium.measure.percentiles import BANDS, Narrowing, column_percentiles
from spectrarium.measure.resample import resample


def clear(n: int) -> np.ndarray:
    return np.zeros(n, bool)


@settings(deadline=None)
@given(lo=st.floats(100.0, 20_000.0), ratio=st.floats(1.01, 30.0), width=st.integers(10, 4000))
def test_a_grid_stays_within_its_range_and_width(lo: float, ratio: float, width: int) -> None:
    grid = Lattice.over(lo, lo * ratio, width)
    assert 2 <= len(grid) <= width + 2
    wave = grid.wave_aa
    assert wave[0] >= lo * (1 - 2 * grid.step)
    assert wave[-1] <= lo * ratio * (1 + 2 * grid.step)
    # rungs are a factor √2 apart; a pixel may lie outside at the ends
    assert len(grid) >= width / 2**0.5 - 1 or grid.step <= 1.5e-7
    assert np.diff(np.log(wave)) == pytest.approx(grid.step)


def test_a_range_that_is_none_is_refused() -> None:
    for lo, hi in ((5000.0, 4000.0), (0.0, 1.0), (1.0, np.inf), (np.nan, 2.0)):
        with pytest.raises(UsageError, match="no range"):
            Lattice.over(lo, hi, 100)


@settings(deadline=None, max_examples=60)
@given(rung=st.integers(16, 30), seed=st.integers(0, 9))
def test_flux_is_conserved(rung: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    wave = np.cumsum(rng.uniform(0.8, 1.2, 1500)) + 4000.0
    flux = rng.normal(1.0, 0.3, 1500)
    start, out = on_lattice(wave, flux, clear(1500), rung)
    step = step_of(rung)
    edges = np.exp((np.arange(start, start + len(out) + 1) - 0.5) * step)
    whole = slice(2, -2)  # pixels that lie in the spectrum whole
    inside = (wave > edges[2]) & (wave < edges[-3])
    total = np.sum(np.nan_to_num(out[whole]) * np.diff(edges)[whole])
    expected = np.sum(flux[inside] * np.gradient(wave)[inside])
    assert total == pytest.approx(expected, abs=3.0 * np.abs(flux).max() * np.diff(wave).max())


def test_the_compiled_code_and_the_resampler_agree() -> None:
    rng = np.random.default_rng(3)
    wave = 4000.0 * np.exp(np.arange(2000) * 2.3e-4)
    flux = rng.normal(1.0, 0.1, 2000)
    bad = rng.random(2000) < 0.03
    start, out = on_lattice(wave, flux, bad, 26)
    grid = np.exp(np.arange(start, start + len(out)) * step_of(26))
    other = resample(wave, flux, grid, mask=bad)
    both = np.isfinite(out) & ~other.mask
    both[[0, -1]] = False
    assert both.sum() > 0.9 * len(out)
    assert out[both] == pytest.approx(other.flux[both], rel=3e-4)  # its bins: means


def test_gaps_and_masked_samples_are_left_empty() -> None:
    wave = np.concatenate([np.arange(4000.0, 4500.0), np.arange(5000.0, 5500.0)])
    bad = (wave > 5100) & (wave < 5150)
    start, out = on_lattice(wave, np.ones(1000), bad, 24)
    grid = np.exp(np.arange(start, start + len(out)) * step_of(24))
    assert np.isnan(out[(grid > 4502) & (grid < 4998)]).all()
    assert np.isnan(out[(grid > 5103) & (grid < 5147)]).all()
    assert out[np.isfinite(out)] == pytest.approx(1.0)


def test_two_stretches_of_a_rung_share_their_pixels() -> None:
    wave = np.linspace(4000.0, 6000.0, 4000)
    flux = np.sin(wave / 30.0)
    first, a = on_lattice(wave, flux, clear(4000), 25)
    second, b = on_lattice(wave[1000:3000], flux[1000:3000], clear(2000), 25)
    shift = second - first
    assert a[shift + 3 : shift + len(b) - 3] == pytest.approx(b[3:-3], rel=1e-5)


# percentiles ----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 60), m=st.integers(1, 90), share=st.floats(0.0, 0.6), seed=st.integers(0, 5)
)
def test_percentiles_are_numpys(n: int, m: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, m)).astype(np.float32)
    values[rng.random((n, m)) < share] = np.nan
    found, count, _ = column_percentiles(values)
    assert (count == np.isfinite(values).sum(axis=0)).all()
    there = count > 0
    assert np.isnan(found[:, ~there]).all()
    if there.any():
        expected = np.nanpercentile(
            values[:, there].astype(float), [100 * q for q in BANDS], axis=0
        )
        assert found[:, there] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_the_error_of_a_sample_s_median_covers() -> None:
    rng = np.random.default_rng(0)
    everyone = rng.gamma(2.0, 1.0, (20_000, 200)).astype(np.float32)  # skew on purpose
    truth = np.median(everyone, axis=0)
    inside = []
    for _ in range(20):
        sample = everyone[rng.choice(20_000, 500, replace=False)]
        bands, _, error = column_percentiles(sample)
        inside.append(np.abs(bands[2] - truth) <= error)
    assert 0.64 < np.mean(inside) < 0.74  # 68 %, the columns being independent


def test_one_pass_within_brackets_gives_what_sorting_gives() -> None:
    rng = np.random.default_rng(2)
    values = rng.standard_t(3, (12_000, 40)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    exact, count, error = column_percentiles(values)
    narrow = Narrowing(values[rng.choice(12_000, 1500, replace=False)])
    for start in range(0, 12_000, 1000):
        narrow.add(values[start : start + 1000])
    found, missed = narrow.result()
    assert missed == 0
    assert (narrow.count == count).all()
    assert np.abs(found[2] - exact[2]).max() < 0.3 * error.mean()
    assert np.abs(found - exact).max() < 0.05


def test_a_bracket_that_misses_says_so() -> None:
    low, high = np.zeros((500, 3), np.float32), np.ones((5000, 3), np.float32)
    narrow = Narrowing(low)  # a sample that is none
    narrow.add(high)
    found, missed = narrow.result()
    assert missed == found.size
    assert np.isnan(found).all()
