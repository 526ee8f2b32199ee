"""Which spectra a model is for, which models an archive needs, and what it then sees."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from embedding_cases import spectrum
from hypothesis import given, settings
from hypothesis import strategies as st

from spectrarium.domain.axis import Medium, SpecSys
from spectrarium.domain.derived import NoiseSource
from spectrarium.domain.errors import DataError, UsageError
from spectrarium.domain.spectrum import Normalisation
from spectrarium.embed.domain import (
    PREPARATION,
    FluxKind,
    ModelDomain,
    SpectrumSummary,
    frame_class,
)
from spectrarium.embed.grouping import (
    GroupingRules,
    propose_models,
    propose_wide_models,
    refuse_range,
)
from spectrarium.embed.prepare import Preparer, estimated_ivar, flux_scale
from spectrarium.measure.airvac import vac_to_air

SDSS = ModelDomain(3800.0, 9200.0, 3842)  # 69 km/s
COARSE = ModelDomain(3800.0, 9200.0, 1000)  # 265 km/s


def summary(low=3700.0, high=9300.0, **changes) -> SpectrumSummary:
    fields = {
        "n_good": 4000, "pixel_kms": 69.0, "medium": Medium.VACUUM,
        "specsys": SpecSys.HELIOCEN, "resolving_power": 2000.0,
    }  # fmt: skip
    return SpectrumSummary(low, high, **fields | changes)


def test_grid_is_logarithmic_and_ends_where_it_says():
    wave = SDSS.wave_aa
    assert wave[0] == pytest.approx(3800)
    assert wave[-1] == pytest.approx(9200)
    assert np.allclose(np.diff(np.log(wave)), SDSS.log_step)
    assert SDSS.edges_aa.size == wave.size + 1
    assert np.all((SDSS.edges_aa[:-1] < wave) & (wave < SDSS.edges_aa[1:]))
    assert SDSS.pixel_kms == pytest.approx(69.0, abs=0.1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"medium": Medium.AIR}, ""),
        ({"specsys": SpecSys.TOPOCENT}, ""),
        ({"medium": Medium.UNKNOWN}, "air or vacuum unknown"),
        ({"specsys": SpecSys.SOURCE}, "frame is rest"),
        ({"specsys": SpecSys.UNKNOWN}, "frame is unknown"),
        ({"n_orders": 60}, "echelle"),
        ({"flux_kind": FluxKind.COUNTS}, "flux is counts"),
        ({"pixel_kms": 400.0}, "sampled too coarsely"),
    ],
)
def test_covers_says_why_not(change, reason):
    covered, why = SDSS.covers(summary(**change))
    assert covered == (reason == "")
    assert reason in why


def test_coverage_resolution_and_snr_limits():
    assert SDSS.covers(summary(low=4100))[0]
    assert "covers 71 % of 3800–9200 Å" in SDSS.covers(summary(low=4930))[1]
    assert "covers 0 %" in SDSS.covers(summary(low=9500, high=9900))[1]
    assert "covers 0 %" in SDSS.covers(summary(low=np.nan))[1]
    narrow = dataclasses.replace(SDSS, resolution=(1500, 2500), min_snr=3.0)
    assert "resolution 5000" in narrow.covers(summary(resolving_power=5000.0))[1]
    assert "S/N 2.0 below 3.0" in narrow.covers(summary(snr=2.0))[1]
    assert narrow.covers(summary(snr=None))[0]


def test_unknown_medium_needs_a_coarse_pixel_or_a_declared_tolerance():
    unknown = summary(medium=Medium.UNKNOWN)
    assert COARSE.covers(unknown)[0]
    tolerant = dataclasses.replace(SDSS, medium_tolerance_kms=90.0)
    assert tolerant.covers(unknown)[0]


def test_frames_mix_only_below_half_a_pixel():
    assert frame_class(SpecSys.TOPOCENT, 69) == frame_class(SpecSys.BARYCENT, 69) == "observed"
    assert frame_class(SpecSys.TOPOCENT, 5) != frame_class(SpecSys.BARYCENT, 5)
    assert frame_class(SpecSys.SOURCE, 500) == "rest"
    assert frame_class(SpecSys.UNKNOWN, 500) == "unknown"


def test_domain_survives_json():
    for domain in (SDSS, dataclasses.replace(SDSS, scale_range_aa=(5000.0, 6000.0), min_snr=2.0)):
        assert ModelDomain.from_json(domain.to_json()) == domain


def test_cards_of_before_there_were_versions_still_load():
    record = SDSS.to_json()
    assert record["preparation"] == PREPARATION
    for key in ("preparation", "telluric", "rest"):
        del record[key]
    old = ModelDomain.from_json(record)
    assert (old.preparation, old.telluric, old.rest) == (1, "keep", "none")
    assert dataclasses.replace(old, preparation=PREPARATION) == SDSS
    with pytest.raises(DataError) as caught:
        ModelDomain.from_json(record | {"preparation": PREPARATION + 1})
    assert caught.value.code == "newer_preparation"
    rest = dataclasses.replace(SDSS, frame="rest", rest="z", telluric="mask")
    assert ModelDomain.from_json(json.loads(json.dumps(rest.to_json()))) == rest


def test_a_wide_model_spans_what_enough_spectra_reach():
    blue = [summary(3700 + i, 5500) for i in range(30)]
    red = [summary(6000, 9000 + i) for i in range(30)]
    lone = [summary(2000, 9900)]
    assert len(propose_models(blue + red).models) == 2
    rules = GroupingRules(least_members=20)
    (model,) = propose_wide_models(blue + red + lone, rules).models
    assert model.name.startswith("wide-low-observed-")
    assert len(model.members) == 61
    # the 20th from the left begins at 3700 + 18 Å: the lone one is the first to be there
    assert model.domain.wave_min_aa == pytest.approx(3718, abs=0.01)
    assert model.domain.wave_max_aa == pytest.approx(9011, abs=0.01)
    share = model.domain.least_coverage
    assert share * model.domain.n_pix == pytest.approx(max(64, 0.02 * model.domain.n_pix), abs=1)
    assert model.domain.covers(summary(3000, 3800))[0]
    assert not model.domain.covers(summary(3000, 3735))[0]
    assert propose_wide_models(blue + red + lone, rules) == propose_wide_models(
        blue + red + lone, rules
    )


def test_wide_models_keep_kinds_apart_and_say_who_is_left():
    mixed = [summary() for _ in range(25)] + [summary(specsys=SpecSys.SOURCE) for _ in range(25)]
    proposal = propose_wide_models([*mixed, summary(n_orders=40), summary(15000, 17000)])
    assert sorted(len(m.members) for m in proposal.models) == [25, 25]
    assert set(proposal.left_out) == {50, 51}
    few = propose_wide_models([summary()] * 19)
    assert not few.models
    assert len(few.left_out) == 19
    disjoint = [summary(3000 + 100 * i, 3090 + 100 * i) for i in range(40)]
    nobody = propose_wide_models(disjoint)
    assert not nobody.models
    assert len(nobody.left_out) == 40


def test_models_of_the_rest_frame_are_grouped_by_rest_wavelengths():
    near = [summary(3700, 9300, redshift=0.01) for _ in range(25)]
    far = [summary(3700 * 1.5, 9300 * 1.5, redshift=0.515) for _ in range(25)]
    none = [summary()]
    (model,) = propose_models(near + far + none, GroupingRules(rest="z")).models
    assert len(model.members) == 50
    assert (model.domain.frame, model.domain.rest) == ("rest", "z")
    assert model.domain.wave_min_aa == pytest.approx(3700 / 1.01, rel=0.003)
    left = propose_models(near + none, GroupingRules(rest="z")).left_out
    assert left == {25: "no redshift to shift it to rest by"}
    assert "-by-z-" in model.name
    masked = propose_models(near, GroupingRules(telluric="mask")).models[0]
    assert masked.domain.telluric == "mask"
    assert masked.name != propose_models(near).models[0].name


@pytest.mark.parametrize("bad", [(0.0, 1.0, 10), (5.0, 4.0, 10), (4.0, 5.0, 1)])
def test_senseless_domains_are_refused(bad):
    with pytest.raises(UsageError):
        ModelDomain(*bad)


def test_two_surveys_and_a_stray_become_two_models_and_a_reason():
    optical = [summary(3600 + i, 9300 - i) for i in range(60)]
    infrared = [summary(15100, 16950, resolving_power=22500.0, pixel_kms=4.1) for _ in range(30)]
    stray = [summary(1200, 1700)]
    proposal = propose_models(optical + infrared + stray)
    assert [len(m.members) for m in proposal.models] == [60, 30]
    first = proposal.models[0].domain
    assert 3600 <= first.wave_min_aa <= 3700
    assert 9230 <= first.wave_max_aa <= 9310
    assert first.pixel_kms == pytest.approx(69, rel=0.01)
    assert "fits no model" in proposal.left_out[90]


def test_an_end_that_few_reach_is_drawn_in():
    many = [summary(3800, 9200) for _ in range(60)]
    few = [summary(3600, 10300) for _ in range(40)]
    (model,) = propose_models(many + few).models
    assert model.domain.wave_min_aa == pytest.approx(3800, rel=0.003)
    assert len(model.members) == 100


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"specsys": SpecSys.SOURCE}),
        ({}, {"flux_kind": FluxKind.CONTINUUM_DIVIDED}),
        ({}, {"resolving_power": 20_000.0}),
        ({}, {"medium": Medium.UNKNOWN}),
    ],
)
def test_what_cannot_be_compared_is_kept_apart(one, other):
    spectra = [summary(**one) for _ in range(25)] + [summary(**other) for _ in range(25)]
    proposal = propose_models(spectra)
    assert sorted(len(m.members) for m in proposal.models) == [25, 25]


def test_unknown_medium_gets_a_coarser_model_or_a_reason():
    (model,) = propose_models([summary(medium=Medium.UNKNOWN) for _ in range(30)]).models
    assert model.domain.pixel_kms > 167
    sharp = [summary(medium=Medium.UNKNOWN, resolving_power=1e5, pixel_kms=0.8)] * 30
    proposal = propose_models(sharp)
    assert not proposal.models
    assert "--medium" in proposal.left_out[0]


def test_unknown_medium_may_join_a_coarse_model_of_known_medium():
    known = [summary(pixel_kms=250.0, resolving_power=500.0) for _ in range(30)]
    unknown = [summary(pixel_kms=250.0, resolving_power=500.0, medium=Medium.UNKNOWN)] * 3
    (model,) = propose_models(known + unknown).models
    assert model.members == tuple(range(33))


@pytest.mark.parametrize("propose", [propose_models, propose_wide_models])
def test_a_grid_that_is_coarser_than_the_spectra_says_why(propose):
    some = [summary() for _ in range(30)]
    own = round(np.log(9300 / 3700) * 299_792.458 / 69)
    for rules, changes, coarser in (
        (GroupingRules(), {}, ""),
        (GroupingRules(max_pixels=1000, wide_most=1000), {}, "max-pixels"),
        (GroupingRules(), {"medium": Medium.UNKNOWN}, "medium"),
    ):
        (model,) = propose([dataclasses.replace(s, **changes) for s in some], rules).models
        assert model.coarser == coarser
        assert model.own_pixels == pytest.approx(own, rel=0.01)
        assert (model.domain.n_pix < model.own_pixels) == bool(coarser)


@pytest.mark.parametrize("propose", [propose_models, propose_wide_models])
@pytest.mark.parametrize("range_aa", [(5000.0, 6000.0), (6500.0, 6600.0), (3700.0, 9300.0)])
def test_a_model_is_limited_to_the_range_asked_for(propose, range_aa):
    most = [summary() for _ in range(30)]
    short = [summary(high=5050.0), summary(low=9400.0, high=9900.0)]
    rules = GroupingRules(range_aa=range_aa)
    proposal = propose(most + short, rules)
    (model,) = proposal.models
    assert (model.domain.wave_min_aa, model.domain.wave_max_aa) == range_aa
    assert model.domain.pixel_kms == pytest.approx(69, rel=0.02), "no finer, no coarser"
    assert set(range(30)) <= set(model.members)
    assert f"within-{range_aa[0]:.0f}-{range_aa[1]:.0f}" in model.name
    assert "lies outside" in proposal.left_out[31]
    told = "lies outside 6500–6600 Å" if range_aa[0] == 6500 else "the range asked for"
    assert propose is propose_wide_models or proposal.left_out[30].endswith(told)


def test_a_range_is_meant_in_the_frame_of_the_models():
    near = [summary(4000, 7000, redshift=0.0) for _ in range(25)]
    far = [summary(6000, 10500, redshift=0.5) for _ in range(25)]
    (model,) = propose_models(near + far, GroupingRules(rest="z", range_aa=(4500, 6000))).models
    assert len(model.members) == 50
    (model,) = propose_models(near + far, GroupingRules(range_aa=(4500, 6000))).models
    assert len(model.members) == 25


def test_ends_of_a_range_that_few_reach_are_drawn_in():
    spectra = [summary(low=low) for low in np.linspace(4000, 4050, 40)]
    (model,) = propose_models(spectra, GroupingRules(range_aa=(4000, 6000))).models
    assert 4030 < model.domain.wave_min_aa < 4045
    assert model.domain.wave_max_aa == 6000.0


def test_a_range_of_too_few_pixels_makes_no_model():
    proposal = propose_models([summary()] * 30, GroupingRules(range_aa=(6562, 6564)))
    assert proposal.models == ()
    assert set(proposal.left_out.values()) == {"has fewer than 16 pixels in 6562–6564 Å"}


def test_a_range_that_nothing_reaches_says_where_the_spectra_lie():
    refuse_range([summary()], GroupingRules(range_aa=(9000, 9500)))
    refuse_range([summary(n_orders=9)], GroupingRules(range_aa=(19000, 19500)))
    with pytest.raises(UsageError, match="no spectrum reaches 10000–11000 Å") as caught:
        refuse_range([summary()] * 3, GroupingRules(range_aa=(10000, 11000)))
    assert (caught.value.code, caught.value.where) == ("no_coverage", "--range")
    assert "3700–9300 Å" in caught.value.remedy
    with pytest.raises(UsageError) as caught:
        refuse_range([summary(redshift=1.0)], GroupingRules(rest="z", range_aa=(8000, 9000)))
    assert "1850–4650 Å, where they lie at rest" in caught.value.remedy


@pytest.mark.parametrize("propose", [propose_models, propose_wide_models])
def test_one_spectrum_of_another_frame_does_not_take_the_model_of_the_others(propose):
    odd = summary(pixel_kms=30.0, specsys=SpecSys.TOPOCENT)  # too fine to mix frames
    most = [summary(pixel_kms=30.0, specsys=SpecSys.BARYCENT)] * 40
    proposal = propose([odd, *most])
    (model,) = proposal.models
    assert (model.domain.frame, model.members) == ("barycentric", tuple(range(1, 41)))
    assert "frame is topocentric" in proposal.left_out[0]


def test_too_few_get_no_model():
    proposal = propose_models([summary()] * 19)
    assert proposal.models == ()
    assert set(proposal.left_out) == set(range(19))
    assert propose_models([summary()] * 5, GroupingRules(least_members=5)).models


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(1000, 9000),
            st.floats(1.01, 4),
            st.sampled_from([500.0, 2000.0, 5e4]),
            st.sampled_from(list(Medium)),
            st.sampled_from(list(SpecSys)),
            st.integers(1, 3000),
        ),
        max_size=120,
    )
)
def test_every_spectrum_is_in_one_model_or_left_out_with_a_reason(rows):
    summaries = [
        summary(low, low * ratio, resolving_power=r, medium=m, specsys=f, n_good=n)
        for low, ratio, r, m, f, n in rows
    ]
    proposal = propose_models(summaries, GroupingRules(least_members=5))
    members = [i for model in proposal.models for i in model.members]
    assert sorted(members + list(proposal.left_out)) == list(range(len(rows)))
    assert all(proposal.left_out.values())
    assert len({m.name for m in proposal.models}) == len(proposal.models)
    for model in proposal.models:
        assert model.domain.n_pix <= 6000
        assert all(model.domain.covers(summaries[i])[0] for i in model.members)
        assert len(model.members) >= 5
    assert propose_models(summaries, GroupingRules(least_members=5)) == proposal


WAVE = 3700.0 * np.exp(np.arange(4000) * 69.0 / 299792.458)


def line_flux(wave: np.ndarray, centre: float = 6564.6) -> np.ndarray:
    return 10.0 + 30.0 * np.exp(-0.5 * ((wave - centre) / 4.0) ** 2)


def test_prepared_flux_is_scaled_and_its_noise_with_it():
    rng = np.random.default_rng(0)
    flux = 7e-15 * (1 + 0.1 * rng.standard_normal(4000))
    batch, left = Preparer(SDSS).batch([spectrum(WAVE, flux, 7e-16)])
    assert not left
    assert np.median(batch.flux) == pytest.approx(1.0, abs=0.02)
    assert batch.scale[0] == pytest.approx(7e-15, rel=0.02)
    assert batch.snr[0] == pytest.approx(np.median(np.sqrt(batch.ivar)), rel=0.05)
    pull = (batch.flux[0] - 1.0) * np.sqrt(batch.ivar[0])
    assert np.std(pull) == pytest.approx(1.0, abs=0.05)
    assert batch.noise_source == (NoiseSource.DELIVERED,)


def test_air_is_turned_into_vacuum():
    air = vac_to_air(WAVE)
    vacuum, in_air = (
        Preparer(SDSS).batch([spectrum(w, line_flux(WAVE), 0.1, m)])[0].flux[0]
        for w, m in ((WAVE, Medium.VACUUM), (air, Medium.AIR))
    )
    np.testing.assert_allclose(in_air, vacuum, rtol=1e-3)
    assert SDSS.wave_aa[np.argmax(in_air)] == pytest.approx(6564.6, abs=1.0)


def test_flux_per_frequency_is_turned_into_flux_per_wavelength():
    per_wave = (WAVE / 6000.0) ** -1.3
    per_frequency = per_wave * WAVE**2
    one, two = (
        Preparer(SDSS).batch([spectrum(WAVE, f, 0.01 * f, flux_unit=u)])[0]
        for f, u in ((per_wave, "erg / (s cm2 Angstrom)"), (per_frequency, "mJy"))
    )
    np.testing.assert_allclose(one.flux, two.flux, rtol=1e-4)
    np.testing.assert_allclose(one.ivar, two.ivar, rtol=1e-3)


def test_nothing_is_imputed_outside_coverage_or_in_gaps():
    flux = line_flux(WAVE)
    error = np.full(4000, 0.1)
    error[1500:1600] = np.inf
    inside = (WAVE > 4000) & (WAVE < 9100)
    batch, _ = Preparer(SDSS).batch([spectrum(WAVE[inside], flux[inside], error[inside])])
    wave, ivar = SDSS.wave_aa, batch.ivar[0]
    gap = (wave > WAVE[1502]) & (wave < WAVE[1597])
    assert not ivar[gap].any()
    assert not ivar[wave < 3990].any()
    assert not batch.flux[0][ivar == 0].any()
    assert (ivar[(wave > 4010) & (wave < WAVE[1490])] > 0).all()
    assert batch.coverage[0] == pytest.approx((ivar > 0).mean())


def test_uncovered_spectra_are_left_out_with_their_position():
    flux = line_flux(WAVE)
    short = WAVE < 6000
    error = np.full(4000, 0.1)
    error[::5] = np.inf
    error[1::5] = np.inf
    spectra = [
        spectrum(WAVE, flux), spectrum(WAVE[short], flux[short]), spectrum(WAVE, flux),
        spectrum(WAVE, np.full(4000, np.nan)), spectrum(WAVE, 0 * flux, None),
    ]  # fmt: skip
    batch, left = Preparer(SDSS).batch(spectra, start=10)
    assert batch.index.tolist() == [10, 12]
    assert [item.index for item in left] == [11, 13, 14]
    assert "covers 52 %" in left[0].reason
    assert left[1].reason == "0 good pixels"


def test_missing_noise_is_estimated_and_labelled():
    rng = np.random.default_rng(0)
    flux = 10 + 0.2 * rng.standard_normal(4000)
    batch, _ = Preparer(SDSS).batch([spectrum(WAVE, flux, None), spectrum(WAVE, line_flux(WAVE))])
    assert batch.noise_source == (NoiseSource.ESTIMATED, NoiseSource.DELIVERED)
    # grids that are half a pixel apart average two pixels: up to √2 better
    assert 45 < batch.snr[0] < 75
    exact = np.full(4000, 3.0)
    ivar, source = estimated_ivar(exact, np.zeros(4000, bool))
    assert source is NoiseSource.UNKNOWN
    assert np.isfinite(ivar).all()


def test_estimated_noise_follows_its_change_along_the_spectrum():
    rng = np.random.default_rng(0)
    sigma = np.linspace(0.1, 1.0, 8000)
    ivar, _ = estimated_ivar(sigma * rng.standard_normal(8000), np.zeros(8000, bool))
    np.testing.assert_allclose(ivar[500:-500] ** -0.5, sigma[500:-500], rtol=0.25)


def test_scale_is_positive_even_where_there_is_no_signal():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(1000)
    ivar = np.ones(1000)
    assert flux_scale(noise, ivar) == pytest.approx(1.0, abs=0.01)
    assert flux_scale(noise - 0.5, ivar) > 1
    assert flux_scale(noise + 100, ivar) == pytest.approx(100, rel=0.01)
    subtracted = flux_scale(5 * noise, 1e6 * ivar, FluxKind.CONTINUUM_SUBTRACTED)
    assert subtracted == pytest.approx(5.0, rel=0.05)
    one_spike = np.where(np.arange(1000) == 5, 1e9, 100 + noise)
    assert flux_scale(one_spike, ivar) == pytest.approx(100, rel=0.01)


def test_descending_and_partly_flagged_axes_are_prepared_alike():
    flux = line_flux(WAVE)
    plain = Preparer(SDSS).batch([spectrum(WAVE, flux)])[0]
    turned = Preparer(SDSS).batch([spectrum(WAVE[::-1].copy(), flux[::-1].copy())])[0]
    np.testing.assert_allclose(turned.flux, plain.flux, rtol=1e-6)
    wave = WAVE.copy()
    wave[-3:] = 0.0  # flagged samples may have no wavelength
    cut = Preparer(SDSS).batch([spectrum(wave, flux)])[0]
    np.testing.assert_allclose(cut.flux, plain.flux, rtol=1e-6)


def test_the_same_axis_is_planned_once_and_air_is_another_axis():
    preparer = Preparer(SDSS)
    flux = line_flux(WAVE)
    preparer.batch([spectrum(WAVE, flux), spectrum(WAVE, flux, medium=Medium.AIR)])
    assert len(preparer._plans) == 2
    preparer.batch([spectrum(WAVE.copy(), 2 * flux)])
    assert len(preparer._plans) == 2


def test_kind_of_flux_must_match():
    flux = line_flux(WAVE) / 10
    divided = spectrum(WAVE, flux, normalisation=Normalisation.CONTINUUM_DIVIDED)
    assert "continuum-divided" in Preparer(SDSS).batch([divided])[1][0].reason
    counts = spectrum(WAVE, flux, flux_unit="ct")
    assert "counts" in Preparer(SDSS).batch([counts])[1][0].reason
    domain = dataclasses.replace(SDSS, flux_kind=FluxKind.CONTINUUM_DIVIDED)
    assert len(Preparer(domain).batch([divided])[0]) == 1


def test_batches_count_on():
    flux = line_flux(WAVE)
    parts = list(Preparer(SDSS).batches((spectrum(WAVE, flux) for _ in range(5)), size=2))
    assert [batch.index.tolist() for batch, _ in parts] == [[0, 1], [2, 3], [4]]
