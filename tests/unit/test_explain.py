"""Pixel distances that noise does not bias, and names for what lies where spectra differ."""

from __future__ import annotations

import numpy as np
import pytest

from spectrarium.domain.derived import Region
from spectrarium.domain.errors import UsageError
from spectrarium.domain.units import C_KMS
from spectrarium.explore.explain import component_shares, regions, why
from spectrarium.explore.identify import Pair, identify
from spectrarium.explore.line_names import lines_named
from spectrarium.explore.pixels import difference, expected

X = np.linspace(-1.0, 1.0, 300)


def shapes(rng, n: int) -> np.ndarray:
    """n spectra of five lines whose depths differ: all as unlike, whatever their noise."""
    out = np.ones((n, X.size))
    for j in range(5):
        profile = np.exp(-0.5 * ((X + 0.8 - 0.4 * j) / 0.03) ** 2)
        out += 0.3 * rng.standard_normal((n, 1)) * profile
    return out


@pytest.mark.parametrize("snr", [3.0, 10.0, 100.0])
@pytest.mark.parametrize("slope", [True, False])
def test_noise_adds_nothing_to_the_distance_on_average(snr, slope):
    rng = np.random.default_rng(int(snr))
    gaps, pulls = [], []
    for _ in range(60):
        f, g = shapes(rng, 1)[0], shapes(rng, 40)
        amplitude = rng.uniform(0.2, 5.0, (40, 1))
        noisy = amplitude * (g + rng.standard_normal(g.shape) / snr)
        ivar = np.broadcast_to((snr / amplitude) ** 2, g.shape)
        query = f + rng.standard_normal(X.size) / 20.0
        d = difference(query, np.full(X.size, 400.0), noisy, ivar, slope=slope)
        truth = difference(f, np.full(X.size, 1e10), g, np.full(g.shape, 1e10), slope=slope)
        gaps.append(np.mean(d.square - truth.square))
        pulls.append((d.square - truth.square) / d.error)
    assert abs(np.mean(gaps)) < 4.0 * np.std(gaps) / np.sqrt(len(gaps)) + 2e-4
    assert 0.3 < np.std(pulls) < 1.2, "its error is of the right size, if anything too large"


def test_the_winner_is_not_the_noisiest():
    rng = np.random.default_rng(1)
    noisy_share = {"expected": [], "debiased alone": [], "chi2": []}
    quality = []
    for _ in range(15):
        f, g = shapes(rng, 1)[0], shapes(rng, 600)
        snr = np.where(rng.random(600) < 0.5, 2.0, 30.0)[:, None]
        d = difference(f + rng.standard_normal(X.size) / 20, np.full(X.size, 400.0),
                       g + rng.standard_normal(g.shape) / snr,
                       np.broadcast_to(snr**2, g.shape))  # fmt: skip
        e = expected(d.square, d.error)
        truth = difference(f, np.full(X.size, 1e10), g, np.full(g.shape, 1e10)).square
        for name, score in (("expected", e), ("debiased alone", d.square), ("chi2", d.chi2)):
            noisy_share[name].append(snr[np.argsort(score)[:5], 0] < 10)
        quality.append(np.sqrt(truth[np.argsort(e)[:5]]).mean()
                       / np.sqrt(np.sort(truth)[:5]).mean())  # fmt: skip
    assert np.mean(noisy_share["expected"]) <= 0.5, "no more than their share of candidates"
    assert np.mean(noisy_share["debiased alone"]) > 0.9, "what the expectation is there to mend"
    assert np.mean(noisy_share["chi2"]) > 0.9
    assert np.mean(quality) < 1.6, "winners are nearly as like the query as the best there are"


def test_equal_noise_is_ranked_by_likeness_and_scale_does_not_count():
    rng = np.random.default_rng(2)
    f = shapes(rng, 1)[0]
    steps = np.linspace(0.0, 0.5, 20)[:, None]
    g = (f + steps * (shapes(rng, 1) - f)) * rng.uniform(0.1, 50, (20, 1)) / (1 + 0.3 * X)
    d = difference(f, np.full(X.size, 1e6), g, np.full(g.shape, 1e12))
    np.testing.assert_array_equal(np.argsort(expected(d.square, d.error)), np.arange(20))
    assert abs(d.square[0]) < 1e-5, "a scale and a slope are no difference"
    flat = difference(f, np.full(X.size, 1e6), g, np.full(g.shape, 1e12), slope=False)
    assert flat.square[0] > 1e-3


def test_pixels_that_cannot_be_compared():
    rng = np.random.default_rng(3)
    f, g = shapes(rng, 1)[0], shapes(rng, 3)
    ivar = np.full(g.shape, 100.0)
    ivar[1, 4:] = 0.0
    g[2, :50] = 1e30
    ivar[2, :50] = 0.0
    d = difference(f, np.full(X.size, 100.0), g, ivar)
    assert np.isnan(d.square[1])
    assert d.pixels.tolist() == [300, 4, 250]
    assert np.isfinite(d.square[2])
    e = expected(d.square, d.error)
    assert np.isnan(e[1])
    assert (e[[0, 2]] >= 0).all()
    assert np.isnan(expected(np.full(3, np.nan), np.ones(3))).all()
    upside_down = difference(f, np.full(X.size, 1e4), -f[None], np.full((1, X.size), 1e4))
    assert upside_down.square[0] > 0.5, "a negative scale is no likeness"
    with pytest.raises(UsageError) as caught:
        difference(f, np.zeros(X.size), g, ivar)
    assert caught.value.code == "no_good_pixels"
    with pytest.raises(UsageError):
        difference(f[1:], np.ones(X.size - 1), g, ivar)


WAVE = 3800.0 * np.exp(np.arange(3800) * 69.0 / C_KMS)
IVAR = np.full(WAVE.size, 400.0)


def line(at: float, height: float, width_kms: float = 200.0) -> np.ndarray:
    return height * np.exp(-0.5 * ((WAVE / at - 1) * C_KMS / width_kms) ** 2)


def around(at: float, half: float = 20.0, sign: int = 1) -> Region:
    return Region(at - half, at + half, 0.5, sign)


@pytest.mark.parametrize("z", [0.0, 0.12])
@pytest.mark.parametrize(
    ("mine", "others", "text"),
    [
        (2.0, 0.5, "Hα emission stronger in the query"),
        (0.5, 2.0, "Hα emission weaker in the query"),
        (2.0, 0.0, "Hα emission in the query only"),
        (0.0, -0.5, "Hα absorption in the neighbour only"),
        (-0.8, -0.4, "Hα absorption deeper in the query"),
        (0.8, -0.4, "Hα in emission in the query, in absorption in the neighbour"),
    ],
)
def test_a_line_is_named_with_what_it_does(z, mine, others, text):
    at = 6564.632 * (1 + z)
    pair = Pair(WAVE, 1 + line(at, mine), IVAR, 1 + line(at, others), IVAR)
    first = identify(around(at), pair, z=z, other_z=z)[0]
    assert (first.text, first.name, first.kind) == (text, "H_alpha", "line")
    assert first.wave_aa == pytest.approx(at)


def test_lines_belong_to_whose_redshift_they_have():
    pair = Pair(WAVE, 1 + line(6564.6, 1.0), IVAR, 1 + line(5008.24 * 1.3, 1.0), IVAR)
    found = {i.text for i in identify(around(6564.6), pair, z=0.0, other_z=0.3)}
    assert "Hα emission of the query" in found
    found = {i.text for i in identify(around(5008.24 * 1.3), pair, z=0.0, other_z=0.3)}
    assert "[O III] emission of the neighbour" in found


def test_without_a_redshift_names_are_marked_as_guesses():
    pair = Pair(WAVE, 1 + line(6564.6, 1.0), IVAR, np.ones(WAVE.size), IVAR)
    first = identify(around(6564.6), pair, z=None)[0]
    assert first.text.endswith("if at rest")
    assert not first.certain


def test_the_air_and_the_sky_are_told_from_the_source():
    flat = Pair(WAVE, np.ones(WAVE.size), IVAR, np.ones(WAVE.size), IVAR)
    (band, *_) = identify(Region(7600.0, 7700.0, 0.5, -1), flat, z=0.0)
    assert band.kind == "telluric"
    assert "O₂ A" in band.label
    (sky, *_) = identify(around(5578.9, 4.0), flat, z=0.3)
    assert sky.kind == "sky"
    moved = identify(Region(7600.0 / 1.2, 7700.0 / 1.2, 0.5, -1), flat, z=0.0,
                     observer_z=1 / 1.2 - 1)  # fmt: skip
    assert moved[0].kind == "telluric"
    assert identify(Region(7600.0, 7700.0, 0.5, -1), flat, z=0.0, observer_z=None) == ()
    wide = identify(Region(4000.0, 5200.0, 0.5, 1), flat, z=0.0)[0]
    assert wide.text == "continuum: the query is brighter here"


@pytest.mark.parametrize(
    ("text", "name"),
    [("Halpha", "H_alpha"), ("Ha", "H_alpha"), ("Hα", "H_alpha"), ("h-alpha", "H_alpha"),
     ("[OIII]5007", "OIII_5008"), ("O III 5008", "OIII_5008"), ("CaK", "CaII_K"),
     ("ca ii 8542", "CaII_8544"), ("Lya", "Ly_alpha"), ("[NII] 6583", "NII_6585")],
)  # fmt: skip
def test_lines_go_by_the_names_people_use(text, name):
    assert [entry.name for entry in lines_named(text)] == [name]


def test_doublets_go_together_and_unknown_or_ambiguous_names_list_what_there_is():
    assert [entry.name for entry in lines_named("Na D")] == ["NaI_D2", "NaI_D1"]
    with pytest.raises(UsageError) as caught:
        lines_named("[OIII]")
    assert caught.value.code == "ambiguous_line"
    assert "OIII_5008" in caught.value.remedy
    with pytest.raises(UsageError) as caught:
        lines_named("Halfa")
    assert caught.value.code == "unknown_line"
    assert "H_alpha" in caught.value.remedy


@pytest.mark.parametrize("everywhere", [0.0, 10.0, 30.0])
def test_a_line_is_found_also_where_all_pixels_differ_by_many_sigma(everywhere):
    pixel = np.arange(44)
    residual = everywhere + 190.0 * np.exp(-0.5 * ((pixel - 21) / 3.0) ** 2)
    (first, *_) = regions(np.linspace(7551.0, 7627.0, 44), residual)
    assert first.lo_aa < 7588 < first.hi_aa
    assert first.hi_aa - first.lo_aa < 40
    assert first.contribution > 0.5


def test_the_trace_says_where_and_adds_up():
    rng = np.random.default_rng(4)
    one = 1 + line(5000.0, 1.0) + 0.05 * rng.standard_normal(WAVE.size)
    two = 1 + line(6000.0, 1.0) + 0.05 * rng.standard_normal(WAVE.size)
    trace = why(WAVE, one, IVAR, two, IVAR, np.ones(WAVE.size)).trace
    assert trace.contribution.sum() == pytest.approx(1.0, abs=1e-5)
    at = [int(np.argmin(np.abs(WAVE - w))) for w in (5000.0, 6000.0)]
    assert trace.difference[at[0]] > 5
    assert trace.difference[at[1]] < -5
    near = np.abs(WAVE - 5000) < 20
    assert trace.contribution[near].sum() > 0.1
    coarse = trace.coarser(7)
    assert coarse.contribution.sum() == pytest.approx(1.0, abs=1e-5)
    assert coarse.difference.size == -(-WAVE.size // 7)


def test_components_are_named_by_their_share():
    shares = component_shares(np.array([1.0, 5.0, 0.0]), np.array([1.0, 2.0, 4.0]),
                              np.array([1.0, 1.0, 2.0]))  # fmt: skip
    assert [c for c, _ in shares] == [2, 1]
    assert shares[0][1] == pytest.approx(64 / 73)
    assert component_shares(np.ones(3), np.ones(3), None) == ()
