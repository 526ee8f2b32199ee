"""Rebinning: flux, variance and covariance are conserved, whatever the grids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectrarium.domain.errors import UsageError
from spectrarium.measure.pixels import pixel_bounds, pixel_edges
from spectrarium.measure.resample import Resampler, resample


def _edges(rng, low, high, n):
    inner = np.sort(rng.uniform(low, high, n - 1))
    edges = np.concatenate([[low], inner, [high]])
    return edges if np.all(np.diff(edges) > 0) else np.linspace(low, high, n + 1)


grids = st.tuples(
    st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 60), st.booleans(), st.booleans()
)


def _pair(draw, inside=False):
    """Random edges; the output reaches beyond the input unless `inside`."""
    seed, n_in, n_out, flip_in, flip_out = draw
    rng = np.random.default_rng(seed)
    edges_in = _edges(rng, 4000.0, 5000.0, n_in)
    low, high = (4100.0, 4900.0) if inside else (3800.0, 5200.0)
    edges_out = _edges(rng, low, high, n_out)
    step_in, step_out = (-1 if flip_in else 1), (-1 if flip_out else 1)
    return rng, edges_in[::step_in], edges_out[::step_out]


def _widths(edges):
    return np.abs(np.diff(edges))


@given(draw=grids)
def test_flux_is_conserved(draw):
    rng, edges_in, edges_out = _pair(draw)
    flux = rng.normal(0, 1, len(edges_in) - 1)
    out = Resampler(edges_in, edges_out, min_coverage=0.0)(flux)
    total = np.nansum(out.flux * out.coverage * _widths(edges_out))
    scale = np.sum(np.abs(flux) * _widths(edges_in))
    assert abs(total - np.sum(flux * _widths(edges_in))) < 1e-12 * scale


@given(draw=grids)
def test_counts_are_conserved(draw):
    rng, edges_in, edges_out = _pair(draw)
    counts = rng.poisson(30, len(edges_in) - 1).astype(float)
    out = Resampler(edges_in, edges_out, quantity="counts", min_coverage=0.0)(counts)
    assert np.nansum(out.flux * out.coverage) == pytest.approx(counts.sum(), rel=1e-12)


@given(draw=grids, bad=st.floats(0.0, 0.9))
def test_a_constant_stays_constant_whatever_is_masked(draw, bad):
    rng, edges_in, edges_out = _pair(draw)
    n = len(edges_in) - 1
    mask = rng.random(n) < bad
    flux = np.where(mask, 1e20, 7.25)
    out = Resampler(edges_in, edges_out)(flux, np.full(n, 4.0), mask)
    seen = out.coverage > 0
    assert np.allclose(out.flux[seen], 7.25, rtol=1e-13)
    assert np.isnan(out.flux[~seen]).all()
    assert np.array_equal(out.mask, out.coverage < 0.5 * (1 - 1e-9))
    assert np.all(out.ivar[out.mask] == 0)
    assert np.all(out.ivar[~out.mask] >= 4.0 * (1 - 1e-12))  # a mean is never worse than a pixel


@given(draw=grids, a=st.floats(-5, 5), b=st.floats(-5, 5))
def test_linear_in_the_flux(draw, a, b):
    rng, edges_in, edges_out = _pair(draw, inside=True)
    f, g = rng.normal(0, 1, (2, len(edges_in) - 1))
    rebin = Resampler(edges_in, edges_out)
    together = rebin(a * f + b * g).flux
    assert np.allclose(together, a * rebin(f).flux + b * rebin(g).flux, atol=1e-12)


@given(draw=grids)
def test_order_does_not_matter(draw):
    seed, n_in, n_out, *_ = draw
    rng, up_in, up_out = _pair((seed, n_in, n_out, False, False))
    flux, ivar = rng.normal(0, 1, n_in), rng.uniform(0, 1, n_in)
    mask = rng.random(n_in) < 0.2
    ascending = Resampler(up_in, up_out)(flux, ivar, mask, covariance=True)
    descending = Resampler(up_in[::-1], up_out[::-1])(
        flux[::-1], ivar[::-1], mask[::-1], covariance=True
    )
    for name in ("flux", "ivar", "mask", "coverage", "covariance"):
        one, other = getattr(ascending, name), getattr(descending, name)[::-1]
        assert np.allclose(one, other, rtol=1e-12, equal_nan=True)


@given(draw=grids)
def test_noise_is_propagated_exactly(draw):
    """Variance and all covariances against the dense matrix W C Wᵀ."""
    rng, edges_in, edges_out = _pair(draw)
    n, m = len(edges_in) - 1, len(edges_out) - 1
    ivar = rng.uniform(0.5, 5.0, n)
    mask = rng.random(n) < 0.2
    rebin = Resampler(edges_in, edges_out)
    out = rebin(np.zeros(n), ivar, mask, covariance=True)
    unit = np.eye(n)
    weights = rebin(unit, None, np.broadcast_to(mask, (n, n)).copy()).flux.T  # (m, n)
    full = np.nan_to_num(weights) @ np.diag(np.where(mask, 0, 1 / ivar)) @ np.nan_to_num(weights).T
    usable = ~out.mask
    assert np.allclose(1 / out.ivar[usable], np.diag(full)[usable], rtol=1e-10)
    pairs = usable[1:] & usable[:-1]
    first = np.diagonal(full, 1) if m > 1 else np.zeros(0)
    assert np.allclose(out.covariance[pairs], first[pairs], rtol=1e-10, atol=1e-15)
    assert np.all(out.covariance[~pairs] == 0)


def test_variance_and_covariance_against_monte_carlo():
    rng = np.random.default_rng(8)
    edges_in, edges_out = np.linspace(0, 100, 101), np.linspace(5, 95, 38)
    sigma = rng.uniform(0.5, 2.0, 100)
    draws = rng.normal(0, 1, (20_000, 100)) * sigma
    out = Resampler(edges_in, edges_out)(draws, np.tile(sigma**-2, (20_000, 1)), covariance=True)
    assert np.allclose(out.flux.var(axis=0) * out.ivar[0], 1.0, atol=0.05)
    measured = np.mean(out.flux[:, :-1] * out.flux[:, 1:], axis=0)
    error = 4 / np.sqrt(20_000 * out.ivar[0, :-1] * out.ivar[0, 1:])
    assert np.all(np.abs(measured - out.covariance[0]) < error)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 200))
def test_the_same_grid_gives_the_input_back(seed, n):
    rng = np.random.default_rng(seed)
    wave = np.cumsum(rng.uniform(1.0, 1.4, n)) + 4000
    flux, ivar = rng.normal(0, 1, n), rng.uniform(1, 2, n)
    out = resample(wave, flux, wave, ivar, covariance=True)
    assert np.array_equal(out.flux, flux)
    assert np.allclose(out.ivar, ivar, rtol=1e-15)
    assert not out.mask.any()
    assert np.array_equal(out.covariance, np.zeros(n - 1))


def test_upsampling_repeats_pixels_and_invents_nothing():
    out = Resampler(np.array([0.0, 4.0, 8.0]), np.arange(0.0, 8.5, 1.0))(
        np.array([1.0, 3.0]), np.array([4.0, 1.0]), covariance=True
    )
    assert np.array_equal(out.flux, [1, 1, 1, 1, 3, 3, 3, 3])
    assert np.array_equal(out.ivar, [4, 4, 4, 4, 1, 1, 1, 1])
    assert np.allclose(out.covariance, [0.25, 0.25, 0.25, 0, 1, 1, 1])  # fully correlated


def test_unknown_errors_stay_unknown():
    out = resample(np.arange(10.0), np.ones(10), np.arange(1.0, 8.0, 2.0))
    assert out.ivar is None
    assert out.covariance is None
    with pytest.raises(UsageError):
        resample(np.arange(10.0), np.ones(10), np.arange(1.0, 8.0, 2.0), covariance=True)


def test_coverage_decides_what_is_masked():
    mask = np.array([False, True, True, True, False, False])
    flux = np.where(mask, np.nan, 2.0)
    rebin = Resampler(np.arange(7.0), np.array([0.0, 3.0, 6.0]), min_coverage=0.5)
    out = rebin(flux, None, mask)
    assert np.allclose(out.coverage, [1 / 3, 2 / 3])
    assert np.array_equal(out.mask, [True, False])
    assert np.array_equal(out.flux, [2.0, 2.0])


def test_pixels_without_information_are_bad():
    flux = np.array([1.0, np.nan, np.inf, 4.0, 5.0, 6.0])
    ivar = np.array([1.0, 1.0, 1.0, 0.0, -1.0, np.nan])
    out = Resampler(np.arange(7.0), np.array([0.0, 6.0]))(flux, ivar)
    assert out.coverage[0] == pytest.approx(1 / 6)
    assert out.flux[0] == 1.0


@pytest.mark.parametrize("spike", [0.0, 1e15])
def test_precision_at_313k_pixels(spike):
    """Against long-double sums, with an offset, and beside a spike that drowns a running sum."""
    rng = np.random.default_rng(5)
    edges = np.linspace(3781.0, 6913.0, 313_157)
    flux = (1e4 + rng.normal(0, 1, 313_156)) * 1e-17
    flux[1000] += spike * 1e-13
    rebin = Resampler(edges, edges[5:-1:10])
    out = rebin(flux)
    width = np.diff(edges).astype(np.longdouble)
    begin = np.arange(5, len(edges) - 1, 10)[:-1]
    direct = np.add.reduceat(flux.astype(np.longdouble) * width, begin)[: len(out.flux)]
    expected = np.add.reduceat(width, begin)[: len(out.flux)]
    last = len(out.flux) - 1  # reduceat runs on to the end in the last bin
    error = np.abs(out.flux[:last] / (direct / expected)[:last].astype(float) - 1)
    assert error.max() < 1e-12


def test_many_spectra_equal_one_by_one():
    rng = np.random.default_rng(2)
    wave, new = np.linspace(4000, 5000, 3000), np.linspace(4100, 4900, 700)
    flux = rng.normal(0, 1, (5, 13, 3000)).astype(np.float32)
    ivar = rng.uniform(0, 1, flux.shape).astype(np.float32)
    mask = rng.random(flux.shape) < 0.1
    rebin = Resampler(pixel_bounds(wave), pixel_bounds(new))
    all_at_once = rebin(flux, ivar, mask, covariance=True)
    assert all_at_once.flux.shape == (5, 13, 700)
    for index in ((0, 0), (2, 7), (4, 12)):
        alone = rebin(flux[index], ivar[index], mask[index], covariance=True)
        for name in ("flux", "ivar", "mask", "coverage", "covariance"):
            assert np.allclose(getattr(all_at_once, name)[index], getattr(alone, name), rtol=1e-12)


@settings(max_examples=30)
@given(step=st.sampled_from([1, -1]), start=st.integers(3, 80), length=st.integers(1, 15))
def test_gaps_are_not_bridged(step, start, length):
    wave = np.exp(np.linspace(np.log(4000), np.log(5000), 100))
    keep = np.ones(100, dtype=bool)
    keep[start : start + length] = False
    gapped = wave[keep][::step]
    whole, bounds = pixel_bounds(wave)[keep][::step], pixel_bounds(gapped)
    assert np.allclose(bounds, whole, atol=0.06)  # a pixel is ~10 Å; steps grow by 0.2 % each
    out = resample(gapped, np.ones(gapped.size), wave[::step])
    assert out.mask.sum() == length
    assert np.allclose(out.flux[~out.mask], 1.0)


def test_a_change_of_step_is_not_a_gap():
    wave = np.concatenate([np.arange(4000.0, 4100.0, 0.2), np.arange(4100.0, 4400.0, 0.6)])
    bounds = pixel_bounds(wave)
    assert np.array_equal(bounds[1:, 0], bounds[:-1, 1])


def test_edges_of_centres():
    assert np.array_equal(pixel_edges([1.0, 2.0, 4.0]), [0.5, 1.5, 3.0, 5.0])
    assert np.array_equal(pixel_edges([4.0, 2.0, 1.0]), [5.0, 3.0, 1.5, 0.5])


@pytest.mark.parametrize(
    "grid",
    [[1.0, 1.0, 2.0], [1.0, 3.0, 2.0], [1.0, np.nan, 3.0], [5.0], [[1.0, 3.0], [2.0, 4.0]],
     [[1.0, 2.0], [2.0, 2.0]]],
)  # fmt: skip
def test_bad_grids_are_refused(grid):
    with pytest.raises(UsageError) as caught:
        Resampler(grid, [0.0, 10.0])
    assert caught.value.code == "bad_grid"


def test_wrong_shapes_are_refused():
    rebin = Resampler(np.arange(5.0), np.arange(3.0))
    for arguments in ((np.ones(5),), (np.ones(4), np.ones(5)), (np.ones(4), None, np.ones(3) > 0)):
        with pytest.raises(UsageError) as caught:
            rebin(*arguments)
        assert caught.value.code == "mismatched_lengths"
    with pytest.raises(UsageError):
        pixel_bounds([1.0, 3.0, 2.0])
