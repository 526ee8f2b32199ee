"""The mock sky obeys the physics it claims: continua, line strengths, widths, noise."""

from __future__ import annotations

import numpy as np
import pytest

from spectrarium.measure.lines import line
from spectrarium.measure.resample import Resampler
from spectrarium.mock.atmosphere import atmospheres, continuum
from spectrarium.mock.extinction import transmission
from spectrarium.mock.galaxies import Galaxy, GalaxyMaker
from spectrarium.mock.instrument import HIGH_GRID, LOW_GRID, instruments
from spectrarium.mock.population import Emission, Star, star_light
from spectrarium.mock.profiles import broaden, broadening, growth, stark, voigt
from spectrarium.mock.quasars import Quasar, quasar_spectrum
from spectrarium.mock.stars import StarSynthesiser

C_KMS = 299_792.458


@pytest.fixture(scope="module")
def low():
    return StarSynthesiser(LOW_GRID)


@pytest.fixture(scope="module")
def sdss():
    return instruments()["sdss"]


@pytest.fixture(scope="module")
def sequence(low, sdss):
    """Dwarfs from B to M: Teff, wavelength and spectra."""
    teff = np.array([20_000, 12_000, 9600, 8000, 6800, 5800, 5000, 4300, 3700, 3200.0])
    logg = np.array([4.0, 4.0, 4.1, 4.2, 4.2, 4.4, 4.6, 4.6, 4.8, 5.0])
    stars = [Star(t, g, 0.0) for t, g in zip(teff, logg, strict=True)]
    return teff, sdss.wave_vac_aa, star_light(stars, sdss, low)


def _width(wave, flux, centre, half, gap):
    """Equivalent width in Å against a straight continuum through windows beyond ±gap."""
    left = (wave > centre - gap - 15) & (wave < centre - gap)
    right = (wave > centre + gap) & (wave < centre + gap + 15)
    level = np.interp(wave, [wave[left].mean(), wave[right].mean()],
                      [np.median(flux[left]), np.median(flux[right])])  # fmt: skip
    inside = np.abs(wave - centre) < half
    return float(np.trapezoid((1 - flux / level)[inside], wave[inside]))


def test_sun_s_atmosphere():
    """P_gas and P_e at τ = 2/3 near those of the solar model atmosphere (1e5 and 10–30 dyn/cm²)."""
    sun = atmospheres(np.array([5772.0]), np.array([4.44]), np.array([0.0]))
    assert 4.7 < np.log10(sun.gas_pressure[0]) < 5.2
    assert 0.9 < np.log10(sun.electron_pressure[0]) < 1.6


def test_balmer_jump_is_largest_in_a_stars_and_grows_at_low_gravity_in_f_stars():
    teff = np.array([30_000, 15_000, 9000, 7000, 5500, 7000.0])
    logg = np.array([4, 4, 4, 4.2, 4.4, 2.5])
    flux, _, _ = continuum(atmospheres(teff, logg, 0 * teff), np.array([3600.0, 4000.0]))
    jump = np.log10(flux[:, 1] / flux[:, 0]) + np.log10(3600 / 4000) * 2
    assert np.argmax(jump[:5]) == 2
    assert jump[2] > 0.3
    assert jump[5] > jump[3] + 0.05


def test_balmer_lines_peak_in_a_stars(sequence):
    teff, wave, flux = sequence
    for name in ("H_beta", "H_delta"):
        strength = [_width(wave, f, line(name).wave_vac_aa, 30, 45) for f in flux[:7]]
        assert 7500 < teff[np.argmax(strength)] < 12_500
        assert max(strength) == pytest.approx(15.0, abs=5.0)  # Vega: 13–16 Å
        assert strength[0] < 0.75 * max(strength)
        assert strength[5] < 0.5 * max(strength)


def test_cool_stars_have_calcium_sodium_and_titanium_oxide(sequence):
    _, wave, flux = sequence
    offset = np.abs(wave - line("CaII_K").wave_vac_aa)
    calcium = [1 - np.mean(f[offset < 6]) / np.mean(f[(offset > 12) & (offset < 18)]) for f in flux]
    assert calcium[5] > 0.5 > 3 * calcium[2] > 0 > calcium[0] - 0.1
    sodium = [_width(wave, f, 5894.5, 8, 40) for f in flux]
    assert np.all(np.diff(sodium[4:9]) > 0)  # F to M
    band = (wave > 7060) & (wave < 7150)
    before = (wave > 7000) & (wave < 7045)
    depth = [1 - np.mean(f[band]) / np.mean(f[before]) for f in flux]
    assert depth[-1] > 0.4
    assert depth[-2] > 0.1
    assert np.all(np.abs(depth[3:7]) < 0.04)


def test_helium_is_in_b_stars_only(sequence):
    _, wave, flux = sequence
    helium = [_width(wave, f, line("HeI_4473").wave_vac_aa, 6, 12) for f in flux]
    assert helium[0] > 0.5
    assert helium[2] < 0.2


def test_metal_poor_stars_have_weaker_lines(low, sdss):
    flux = star_light([Star(5500, 4.4, feh) for feh in (0.3, -0.5, -2.0)], sdss, low)
    widths = [_width(sdss.wave_vac_aa, f, 5175.0, 14, 25) for f in flux]
    assert widths[0] > widths[1] > 2 * widths[2] > 0


@pytest.mark.parametrize("rv", [0.0, 150.0, -220.0])
def test_lines_lie_where_the_velocity_puts_them(low, sdss, rv):
    flux = star_light([Star(9000, 4.0, 0.0, rv_kms=rv)], sdss, low)[0]
    wave = sdss.wave_vac_aa
    for name in ("H_beta", "H_gamma", "H_delta"):
        centre = line(name).wave_vac_aa * (1 + rv / C_KMS)
        inside = np.abs(wave - centre) < 6
        weight = np.max(flux[inside]) - flux[inside]
        found = np.sum(weight**3 * wave[inside]) / np.sum(weight**3)
        assert (found - centre) / centre * C_KMS == pytest.approx(0.0, abs=25.0)


def test_high_resolution_lines_lie_in_place_and_carry_the_rotation():
    make, s1d = StarSynthesiser(HIGH_GRID, resolved=True), instruments()["s1d"]
    wave = s1d.wave_vac_aa
    flux = star_light(
        [Star(5800, 4.4, 0.0, 1.0, 20.0), Star(5800, 4.4, 0.0, 30.0, 20.0)], s1d, make
    )
    centre = 6439.075 * 1.000276 * (1 + 20.0 / C_KMS)  # Ca I; the refraction of air at 6439 Å
    v = (wave - centre) / centre * C_KMS
    slow, fast = flux / np.max(flux[0][np.abs(v) < 60])
    core = np.abs(v) < 6
    found = np.sum((1 - slow[core]) * v[core]) / np.sum(1 - slow[core])
    assert found == pytest.approx(0.0, abs=0.4)
    assert slow[core].min() < 0.55
    assert fast[core].min() > slow[core].min() + 0.2
    wide = np.abs(v) < 45
    assert np.mean(1 - fast[wide]) == pytest.approx(np.mean(1 - slow[wide]), rel=0.25)


def test_resolved_and_unresolved_synthesis_agree(sdss):
    """The same star through R = 2000 by both ways: equivalent widths, not pixels, are shared."""
    star = Star(5800, 4.4, 0.0)
    coarse = star_light([star], sdss, StarSynthesiser(LOW_GRID))[0]
    fine = StarSynthesiser(HIGH_GRID, resolved=True)(*(np.array([x]) for x in (5800.0, 4.4, 0.0)))
    transfer = broadening(HIGH_GRID.n, HIGH_GRID.step_kms, np.array([sdss.sigma_kms]), np.zeros(1),
                          np.zeros(1))  # fmt: skip
    wave = sdss.wave_vac_aa
    use = (wave > 4000) & (wave < 6800)
    edges = np.concatenate([HIGH_GRID.wave_aa, [HIGH_GRID.wave_aa[-1] * (1 + 0.7 / C_KMS)]])
    out_edges = np.sqrt(wave[:-1] * wave[1:])
    other = Resampler(edges, out_edges)(broaden(fine.smooth, transfer)[0]).flux
    one, two = coarse[1:-1][use[1:-1]], other[use[1:-1]]
    ratio = one / np.median(one) / (two / np.median(two))
    assert np.std(ratio) < 0.03


def test_curve_of_growth():
    """Linear, then flat, then as the square root of η a."""
    a = np.array(1e-3)
    weak = growth(np.array([1e-4, 2e-4]), a)
    assert weak[0] == pytest.approx(np.sqrt(np.pi) * 1e-4, rel=0.02)
    assert weak[1] / weak[0] == pytest.approx(2.0, rel=0.02)
    flat = growth(np.array([30.0, 300.0]), a)
    assert 1.0 < flat[1] / flat[0] < 1.8
    strong = growth(np.array([1e6, 1e8]), a)
    assert strong[1] / strong[0] == pytest.approx(10.0, rel=0.05)
    assert strong[1] == pytest.approx(np.pi * np.sqrt(1e8 * 1e-3 / np.sqrt(np.pi)), rel=0.05)


def test_profiles_are_normalised():
    v = np.linspace(-2000, 2000, 400_001)
    assert np.trapezoid(voigt(np.array(0.1), v), v) == pytest.approx(np.sqrt(np.pi), rel=1e-3)
    x = np.linspace(-500, 500, 200_001)
    for field in (1e-3, 0.05, 0.3, 2.0):
        area = np.trapezoid(stark(x, np.array(0.2), np.array(field)), x)
        assert area == pytest.approx(1.0, abs=2e-3)


def test_broadening_conserves_flux_and_adds_widths():
    n, step = 4096, 1.0
    spectrum = np.zeros((3, n))
    spectrum[:, 2000] = 1.0
    transfer = broadening(n, step, np.array([10.0, 3.0, 3.0]), np.array([0.0, 50.0, 0.0]),
                          np.array([0.0, 0.0, 17.3]))  # fmt: skip
    out = broaden(spectrum, transfer)
    v = np.arange(n) - 2000.0
    assert np.allclose(out.sum(axis=1), 1.0, atol=1e-6)
    mean = out @ v
    assert np.allclose(mean, [0, 0, 17.3], atol=1e-3)
    variance = [row @ (v - m) ** 2 for row, m in zip(out, mean, strict=True)]
    assert np.sqrt(variance[0]) == pytest.approx(10.0, rel=1e-3)
    # ⟨v²⟩ of the rotation profile with ε = 0.6: v²[(1 − ε)/4 + 2ε/15]/(1 − ε/3)
    rotation = 50.0**2 * (0.4 / 4 + 1.2 / 15) / (1 - 0.2)
    assert variance[1] == pytest.approx(9.0 + rotation, rel=0.01)


def test_extinction_law():
    """A(V)/E(B−V) = 3.1 and A(B) − A(V) = E(B−V); the curve is continuous."""
    v, b = -2.5 * np.log10(transmission(np.array([5494.5, 4405.3]), 1.0))
    assert v == pytest.approx(3.1, abs=0.02)
    assert b - v == pytest.approx(1.0, abs=0.03)
    curve = -2.5 * np.log10(transmission(np.linspace(2000, 20_000, 20_000), 1.0))
    assert np.max(np.abs(np.diff(curve))) < 0.06


def test_emission_lines_have_the_equivalent_width_asked_for(low, sdss):
    plain = Star(5800, 4.4, 0.0, rv_kms=30.0)
    odd = plain.with_lines(Emission(line("H_alpha").wave_vac_aa, 20.0, 50.0))
    grid = star_light([plain, odd], sdss, low)
    wave = sdss.wave_vac_aa
    far = (wave > 5000) & (wave < 6000)
    scale = np.median(grid[0][far] / grid[1][far])
    near = np.abs(wave - 6565) < 40
    added = np.trapezoid((scale * grid[1] - grid[0])[near], wave[near])
    assert added / np.median(grid[0][near]) == pytest.approx(20.0, rel=0.03)


def test_galaxy_lines_lie_at_the_redshift_with_the_ratios_asked_for(sdss):
    galaxy = Galaxy((0.5, 0.3, 0.2), 0.1, 100.0, 0.0, 60.0, 0.3, 2.0, 2.0, 0.4, "starforming")
    wave = sdss.wave_vac_aa
    flux = sdss.rebin(GalaxyMaker()(galaxy, sdss.sigma_kms)).flux
    fluxes = {}
    for name in ("OIII_5008", "OIII_4960"):
        centre = line(name).wave_vac_aa * 1.1
        near = np.abs(wave - centre) < 25
        level = np.median(flux[(np.abs(wave - centre) < 60) & ~near])
        excess = np.where(near, flux - level, 0.0)
        fluxes[name] = np.trapezoid(excess, wave)
        peak = np.sum(excess[near] ** 2 * wave[near]) / np.sum(excess[near] ** 2)
        assert peak == pytest.approx(centre, abs=0.6)
    assert fluxes["OIII_5008"] / fluxes["OIII_4960"] == pytest.approx(2.98, rel=0.1)


def test_old_galaxies_have_a_4000_break_and_young_ones_do_not(sdss):
    make = GalaxyMaker()
    wave = sdss.wave_vac_aa / 1.1

    def d4000(mix):
        flux = sdss.rebin(make(Galaxy(mix, 0.1, 150.0, 0.0, 0.0, 1, 1, 1, 1, ""), 64.0)).flux
        red, blue = (wave > 4000) & (wave < 4100), (wave > 3850) & (wave < 3950)
        return flux[red].mean() / flux[blue].mean()

    assert d4000((1.0, 0.0, 0.0)) > 1.5 > d4000((0.0, 0.0, 1.0)) > 0.8


def test_quasar_forest_absorbs_what_is_observed():
    """Mean transmission at z = 3 over many sight lines: exp(−0.0018 · 4^3.92) = 0.66."""
    rng = np.random.default_rng(0)
    wave = LOW_GRID.wave_aa
    band = (wave > 1215.67 * 3.9) & (wave < 1215.67 * 4.05)
    quasar = Quasar(3.3, -1.5, 1e-9, 1e-9, 1.0)
    seen = []
    for _ in range(60):
        flux = quasar_spectrum(quasar, 64.0, rng)
        unabsorbed = (wave / 4.3 / 3000.0) ** -1.5
        seen.append(np.mean(flux[band] / unabsorbed[band]))
    expected = np.mean(np.exp(-0.0018 * (wave[band] / 1215.67) ** 3.92))
    assert np.mean(seen) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("name", ["sdss", "lamost"])
@pytest.mark.parametrize("snr", [3.0, 30.0, 200.0])
def test_noise_is_what_ivar_says(name, snr):
    instrument = instruments()[name]
    wave = instrument.wave_vac_aa
    shape = 1 + 0.5 * np.sin(wave / 700.0)
    draws = [instrument.expose(shape, snr, np.random.default_rng(i)) for i in range(40)]
    chi = []
    for e in draws:
        scale = np.sum(e.flux * shape * e.ivar) / np.sum(shape**2 * e.ivar)
        chi.append(((e.flux - scale * shape) * np.sqrt(e.ivar))[~e.dead])
        assert e.snr == pytest.approx(snr, rel=0.02)
        assert np.all(e.ivar[e.dead] == 0)
    chi = np.concatenate(chi)
    assert np.mean(chi**2) == pytest.approx(1.0, abs=5 * np.sqrt(2 / chi.size))
    assert np.mean(np.abs(chi) > 3) == pytest.approx(0.0027, abs=0.0006)


def test_sky_lines_cost_signal(sdss):
    exposure = sdss.expose(np.ones(sdss.wave_vac_aa.size), 10.0, np.random.default_rng(0))
    at = np.abs(sdss.wave_vac_aa - 5578.9).argmin()
    assert np.median(exposure.ivar[at - 60 : at - 30]) > 3 * exposure.ivar[at]
