"""Triage tells faults from nature: planted ones on a grid, and those of the mock survey."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from spectrarium.domain.derived import Region
from spectrarium.explore.identify import Pair
from spectrarium.explore.observer import in_overlap, near_band_head, near_sky_line
from spectrarium.explore.steps import find_step
from spectrarium.explore.triage import ARTEFACT, ASTROPHYSICAL, UNCLEAR, names_in, triage
from spectrarium.measure.airvac import air_to_vac
from spectrarium.measure.lines import line

N = 3000
WAVE = 3800.0 * np.exp(np.arange(N) * 69.0 / 299_792.458)
SIGMA = 0.02


def gauss(at_aa, sigma_kms):
    return np.exp(-0.5 * ((WAVE / at_aa - 1) * 299_792.458 / sigma_kms) ** 2)


def smooth_star():
    """A continuum with lines that the expectation shares."""
    flux = 1.2 - 0.3 * np.linspace(-1, 1, N)
    for at in np.linspace(3900, 7300, 60):
        flux -= 0.15 * gauss(at, 90)
    return flux


def judged(change, sigma=SIGMA, seed=0, ivar=None, **known):
    expected = smooth_star()
    rng = np.random.default_rng(seed)
    flux = change(expected) + sigma * rng.standard_normal(N)
    ivar = np.full(N, sigma**-2.0) if ivar is None else ivar
    flux = np.where(ivar > 0, flux, 0.0)
    return triage(WAVE, flux, ivar, expected, 1e-4, resolving_power=2000.0, **known)


def spikes(flux):
    out = flux.copy()
    for at in (400, 1100, 1900, 2500):
        out[at : at + 4] += 6.0 * np.array([0.25, 1.0, 0.4, 0.15])
    return out


def sky(flux):
    lines = [float(air_to_vac(w)) for w in (5577.34, 6300.30, 6363.78, 5460.74)]
    return flux + sum(1.5 * gauss(w, 70) for w in lines)


@pytest.mark.parametrize(("change", "name", "kind"), [
    (spikes, "cosmic_ray", ARTEFACT),
    (sky, "sky_lines", ARTEFACT),
    (lambda f: f - 0.5 * np.exp(-0.5 * ((WAVE - 6905) / 15) ** 2), "telluric", ARTEFACT),
    (lambda f: np.where(WAVE > 6100, 0.7 * f, f), "bad_join", ARTEFACT),
    (lambda f: np.where(WAVE > 4450, 1.3 * f, f), "bad_join", ARTEFACT),
    (lambda f: f - 1.3, "negative_flux", ARTEFACT),
    (lambda f: f * (1 + 0.4 * np.linspace(-1, 1, N)), "continuum", UNCLEAR),
    (lambda f: f + 1.0 * gauss(6564.6, 150), "lines", ASTROPHYSICAL),
    (lambda f: f + 0.5 * gauss(5500, 6000), "broad_features", ASTROPHYSICAL),
    (lambda f: 0.5 * (np.roll(f, 3) + np.roll(f, -3)), "line_profiles", ASTROPHYSICAL),
    (lambda f: np.roll(f, 1), "shifted_lines", UNCLEAR),
])  # fmt: skip
def test_a_planted_fault_or_feature_is_named(change, name, kind):
    found = judged(change, z=0.0)
    assert found.reasons[0].name == name, found.reasons
    assert found.kind == kind
    assert found.reasons[0].kind == kind
    assert 0 < found.reasons[0].share <= 1


def test_reasons_say_where():
    join = judged(lambda f: np.where(WAVE > 6100, 0.7 * f, f)).reasons[0]
    assert join.lo_aa < 6100 < join.hi_aa
    assert "6100" in join.text or "6101" in join.text or "6099" in join.text
    halpha = judged(lambda f: f + gauss(6564.6, 150), z=0.0).reasons[0]
    assert halpha.lo_aa < 6564.6 < halpha.hi_aa
    assert "Hα" in halpha.text
    away = judged(lambda f: f + gauss(6564.6, 150), z=0.3)
    assert "Hα" not in away.reasons[0].text


def test_a_narrow_line_of_the_object_is_no_cosmic_ray():
    """As narrow as the instrument makes them, wherever the centre lies in its pixel."""
    sigma = np.hypot(299_792.458 / 2000 / 2.3548, 69.0 / 12**0.5)  # the pixel's own width
    for offset in np.linspace(0, 1, 5):
        at = WAVE[1500] * (1 + offset * 69.0 / 299_792.458)
        found = judged(lambda f, at=at: f + 5.0 * gauss(at, sigma) + 5.0 * gauss(0.83 * at, sigma))
        assert found.kind == ASTROPHYSICAL, found.reasons


def test_noise_alone_has_no_kind():
    kinds = Counter(judged(lambda f: f, seed=s).kind for s in range(20))
    assert kinds[ARTEFACT] == 0
    assert kinds[UNCLEAR] >= 18


def test_quality_comes_first():
    ivar = np.full(N, SIGMA**-2.0)
    ivar[:1000] = 0.0
    assert judged(spikes, ivar=ivar).reasons[0].name == "masked"
    assert judged(lambda f: f, ivar=np.zeros(N)).reasons[0].name == "masked"
    assert judged(lambda f: f, sigma=3.0).reasons[0].name == "low_snr"
    saturated = triage(WAVE, np.minimum(smooth_star(), 1.2), np.full(N, 2500.0), smooth_star())
    assert saturated.reasons[0].name == "flat"
    # what is faint but has a feature that noise cannot make is not dismissed
    faint = judged(lambda f: f + 8.0 * gauss(4250, 2500), sigma=0.8)
    assert faint.kind == ASTROPHYSICAL


def test_sky_is_looked_for_only_where_it_can_be():
    assert judged(sky, frame="observed").reasons[0].name == "sky_lines"
    assert judged(sky, frame="rest").reasons[0].name != "sky_lines"
    assert judged(sky, frame="unknown").kind == ASTROPHYSICAL


def test_an_emission_line_that_falls_on_a_telluric_band_is_the_objects():
    """Broad Hα of a quasar at z = 0.1006 lies in the water band."""
    at = 6564.6 * 1.1006
    for z in (0.1006, None):
        found = judged(lambda f: f + gauss(at, 1200), z=z)
        assert found.kind == ASTROPHYSICAL, found.reasons
    assert "Hα" in judged(lambda f: f + gauss(at, 1200), z=0.1006).reasons[0].text


def test_a_departure_that_goes_on_beside_the_bands_is_not_telluric():
    red = np.clip((WAVE - 6500) / 700, 0, None)
    found = judged(lambda f: f + 2.0 * red * (1 + 0.3 * np.sin(WAVE / 60)), sigma=0.3)
    assert all(r.name != "telluric" for r in found.reasons)


def test_a_band_head_is_no_bad_join():
    head = float(air_to_vac(5165.2))
    flux = smooth_star()
    broken = np.where(head > WAVE, 0.6 * flux, flux)
    assert near_band_head(head, 100.0)
    ivar = np.full(N, 2500.0)
    assert find_step(WAVE, broken, ivar, flux, 0.0) is None
    assert find_step(WAVE, np.where(WAVE < 4000, 0.6 * flux, flux), ivar, flux, 0.0) is not None
    assert find_step(WAVE, flux, ivar, flux, 0.0) is None


def test_a_join_that_the_model_learnt_is_seen_in_the_flux_itself():
    flux = np.where(WAVE > 6100, 0.6, 1.0) * (1.2 - 0.3 * np.linspace(-1, 1, N))
    ivar = np.full(N, 1e4)
    assert in_overlap(6100.0)
    step = find_step(WAVE, flux, ivar, flux, 1e-4)
    assert step is not None
    assert abs(step.wave_aa - 6100) < 5
    assert abs(step.ln_ratio - np.log(0.6)) < 0.05
    assert find_step(WAVE, flux, ivar, flux, 1e-4, observed=False) is None
    elsewhere = np.where(WAVE > 4800, 0.6, 1.0) * (1.2 - 0.3 * np.linspace(-1, 1, N))
    assert find_step(WAVE, elsewhere, ivar, elsewhere, 1e-4) is None


def test_sky_lines_are_in_vacuum_and_widened_by_the_earth():
    sky_line = float(air_to_vac(5577.34))
    assert near_sky_line(np.array([sky_line]), 10.0)[0]
    shifted = np.array([sky_line * (1 + 40 / 299_792.458)])
    assert not near_sky_line(shifted, 10.0)[0]
    assert near_sky_line(shifted, 10.0, 31.0)[0]


def departs(change, ivar=2500.0):
    """A flat spectrum with a change, and what was expected of it."""
    return Pair(WAVE, 1.0 + change, np.full(N, ivar), np.ones(N), np.full(N, 1e8))


def test_lines_are_named_by_redshift_or_with_a_doubt():
    at = line("H_alpha").wave_vac_aa
    region, pair = Region(at - 5, at + 5, 0.5, 1), departs(0.5 * gauss(at, 90))
    assert names_in(region, pair, 0.0).startswith("Hα")
    assert names_in(region, pair, None).endswith("if at rest")
    moved = Region(1.1 * at - 5, 1.1 * at + 5, 0.5, 1)
    assert names_in(moved, departs(0.5 * gauss(1.1 * at, 90)), 0.1).startswith("Hα")
    assert names_in(Region(5330, 5331, 0.1, 1), pair, 0.0) == ""


def test_where_lamost_joins_its_arms_no_molecule_excuses_a_step():
    assert not near_band_head(5850.0, 500.0)
    assert near_band_head(float(air_to_vac(7054.2)), 500.0)
