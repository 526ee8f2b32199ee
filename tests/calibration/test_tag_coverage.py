"""Tags keep their promise: coverage on 20,000 held-out spectra, wider where noisier, silent where
nothing was learnt."""

from __future__ import annotations

import numpy as np
import pytest

from spectrarium.domain.errors import DataError, UsageError
from spectrarium.embed import heads_trees
from spectrarium.explore.conformal import binomial_interval
from spectrarium.explore.tag_guard import Features
from spectrarium.explore.tag_report import joined, outcome, summary
from spectrarium.explore.tag_store import load_tagger, save_tagger
from spectrarium.explore.tagging import LEVELS, ROTATIONS, TEST, split, train_tagger

D = 8


def world(n, seed, repeats=1):
    """Noisy vectors of S/N 2 to 100, a label not linear in them with heavy tails, a class."""
    rng = np.random.default_rng(seed)
    objects = np.arange(n) // repeats
    z = rng.standard_normal((objects.max() + 1, D))[objects]
    own = rng.standard_t(4, objects.max() + 1)[objects]
    snr = 10 ** rng.uniform(0.3, 2, n)
    sigma = (3.0 / snr)[:, None] * np.ones((n, D))
    vectors = z + sigma * rng.standard_normal((n, D))
    label = 5500 + 800 * z[:, 0] + 250 * z[:, 1] ** 2 + 60 * np.exp(0.5 * z[:, 2]) * own
    kind = np.where(z[:, 3] > 1, "C", np.where(z[:, 4] > 0, "A", "B")).astype(object)
    chi2 = 1 + 0.1 * rng.standard_normal(n)
    return Features(vectors, snr, sigma**2, chi2), label, kind, objects


@pytest.fixture(scope="module")
def trained():
    features, label, _, objects = world(12_000, 1)
    return train_tagger(features, label, objects, heads=["ridge"], keep_test=False)


@pytest.fixture(scope="module")
def held_out():
    return world(20_000, 2)


def test_intervals_cover_within_two_points_and_five_in_every_snr_bin(trained, held_out):
    features, label, _, objects = held_out
    report = summary(outcome(trained, features, label, objects))
    assert report["objects"] == 20_000
    assert len(report["bins"]) == 5
    for j, level in enumerate(LEVELS):
        assert report["coverage"][j]["share"] == pytest.approx(level, abs=0.02)
        for part in report["bins"]:
            assert part["coverage"][j]["share"] == pytest.approx(level, abs=0.05)


def test_intervals_cover_within_five_points_at_every_predicted_value(trained, held_out):
    features, label, _, _ = held_out
    said = trained.predict(features)
    known = np.flatnonzero(said.known)
    order = known[np.argsort(said.value[known])]
    for part in np.array_split(order, 5):
        for j, level in enumerate(LEVELS):
            inside = (said.low[part, j] <= label[part]) & (label[part] <= said.high[part, j])
            assert inside.mean() == pytest.approx(level, abs=0.05)


def test_sigma_grows_where_the_spectrum_is_noisy(trained, held_out):
    features, _, _, _ = held_out
    said = trained.predict(features)
    width = said.high[:, 0] - said.low[:, 0]
    noisy, good = features.snr < 5, features.snr > 50
    assert np.nanmedian(width[noisy]) > 2 * np.nanmedian(width[good])


def test_wider_levels_hold_narrower_ones_and_all_hold_the_value(trained, held_out):
    said = trained.predict(held_out[0])
    k = said.known
    assert np.all(np.diff(said.low[k], axis=1) <= 0)
    assert np.all(np.diff(said.high[k], axis=1) >= 0)
    assert np.all((said.low[k, 0] <= said.value[k]) & (said.value[k] <= said.high[k, 0]))


def test_ordinary_spectra_are_seldom_refused_and_odd_ones_always(trained, held_out):
    features, _, _, _ = held_out
    assert (~trained.predict(features).known).mean() < 0.035
    rng = np.random.default_rng(4)
    n = 200
    far = Features(features.vectors[:n] + 12 * rng.choice([-1, 1], (n, D)), features.snr[:n],
                   features.variance[:n], features.chi2[:n])  # fmt: skip
    poor = Features(features.vectors[:n], features.snr[:n], features.variance[:n],
                    np.full(n, 50.0))  # fmt: skip
    bright = Features(features.vectors[:n], np.full(n, 5e3), features.variance[:n],
                      features.chi2[:n])  # fmt: skip
    none = Features(np.full((n, D), np.nan), features.snr[:n])
    cases = {"unlike its training": far, "cannot describe": poor, "no vector": none,
             "above the 100 it was trained on": bright}  # fmt: skip
    for words, some in cases.items():
        said = trained.predict(some)
        share = np.mean([words in r for r in said.reason])
        assert share > 0.95, words
        assert np.isnan(said.value[said.reason != ""]).all()
        assert np.isnan(said.low[said.reason != ""]).all()


def test_repeat_spectra_do_not_feign_certainty():
    """Ten noisy spectra of each object: coverage by object holds on new objects."""
    features, label, _, objects = world(15_000, 5, repeats=10)
    tagger = train_tagger(features, label, objects, heads=["ridge"])
    assert tagger.card["objects"]["calibrate"] < 1300
    new, truth, _, who = world(40_000, 6, repeats=10)
    report = summary(outcome(tagger, new, truth, who))
    for j, level in enumerate(LEVELS):  # a thousand objects calibrate: √(0.68 · 0.32/1000) = 0.015
        assert report["coverage"][j]["share"] == pytest.approx(level, abs=0.045)
        assert report["coverage"][j]["objects"] == pytest.approx(4000, abs=80)


def test_a_small_corpus_in_five_rotations_holds_its_levels_by_object(monkeypatch):
    monkeypatch.setattr(heads_trees, "MOST_ROUNDS", 20)  # enough here, and soon done
    features, label, _, objects = world(900, 7, repeats=2)
    parts = []
    for k in range(ROTATIONS):
        tagger = train_tagger(features, label, objects, heads=["boosting"], rotation=k)
        rows = np.flatnonzero(split(objects, 0, k) == TEST)
        parts.append(outcome(tagger, features[rows], label[rows], objects[rows]))
    whole = joined(parts)
    assert len(np.unique(whole.objects)) == 450
    report = summary(whole)
    assert all(c["low"] <= c["level"] <= c["high"] for c in report["coverage"])
    assert all(c["holds"] for part in report["bins"] for c in part["coverage"])


def test_class_sets_hold_at_least_their_level_in_every_class(held_out):
    features, _, kind, objects = world(9000, 8)
    tagger = train_tagger(features, kind, objects, kind="class", heads=["ridge"], name="class")
    new, _, truth, who = held_out
    said = tagger.predict(new)
    assert np.all(said.sets[said.known].any(axis=2))
    for c, name in enumerate(tagger.classes):
        mine = said.known & (truth == name)
        for j, level in enumerate(LEVELS):
            assert said.sets[mine, j, c].mean() > level - 0.03
    report = summary(outcome(tagger, new, truth, who))
    assert report["bins"][0]["coverage"][1]["share"] == pytest.approx(0.90, abs=0.05)
    assert report["bins"][-1]["coverage"][1]["size"] < report["bins"][0]["coverage"][1]["size"]
    empty_handed = said.reason == "no class can be excluded at 90%"
    assert np.median(new.snr[empty_handed]) < np.median(new.snr[~empty_handed])


def test_class_probabilities_are_frequencies(held_out):
    features, _, _, objects = world(9000, 9)
    kind = np.where(world(9000, 9)[1] > 5700, "hot", "cool").astype(object)
    tagger = train_tagger(features, kind, objects, kind="class", heads=["ridge"])
    new, label, _, _ = held_out
    truth = np.where(label > 5700, "hot", "cool")
    said = tagger.predict(new)
    p = said.probability[said.known].max(axis=1)
    best = np.array(tagger.classes)[said.probability[said.known].argmax(axis=1)]
    right = best == truth[said.known]
    for part in np.array_split(np.argsort(p), 5):
        low, high = binomial_interval(float(right[part].sum()), len(part))
        assert low - 0.03 < p[part].mean() < high + 0.03


def test_the_best_encoder_wins_on_common_objects():
    """One candidate sees the label's components, one does not, one covers half of the spectra."""
    features, label, _, objects = world(3000, 10)
    blind = Features(features.vectors[:, 4:], features.snr)
    half = features.vectors.copy()
    half[:1500] = np.nan
    table = {"blind": blind, "half": Features(half, features.snr), "seeing": features}
    tagger = train_tagger(table, label, objects, heads=["ridge"])
    skill = {r["candidate"]: r["skill"] for r in tagger.card["comparison"]}
    assert skill["blind"] < 0.05
    assert skill["seeing"] > 0.4
    assert tagger.candidate in ("seeing", "half")
    assert len({r["objects"] for r in tagger.card["comparison"]}) == 1
    with pytest.raises(UsageError, match="components"):
        tagger.predict(blind)


@pytest.mark.parametrize("kind", ["number", "class"])
def test_saved_and_loaded_it_says_the_same(kind, tmp_path, held_out):
    features, label, classes, objects = world(1500, 11)
    values = label if kind == "number" else classes
    tagger = train_tagger(features, values, objects, kind=kind, heads=["ridge"])
    extra = {"reference-uid": np.arange(3)}
    model_id = save_tagger(tagger, tmp_path, "tag.x", "1", extra, {"unit": "K"})
    again, arrays, card = load_tagger(tmp_path / model_id)
    some = held_out[0][np.arange(500)]
    one, two = tagger.predict(some), again.predict(some)
    for name in ("value", "low", "high", "sets", "probability", "reason"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert arrays["reference-uid"].tolist() == [0, 1, 2]
    assert card["unit"] == "K"
    assert not list(tmp_path.rglob("*.pkl"))
    path = next((tmp_path / model_id).glob("offsets.npy"))
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(DataError) as caught:
        load_tagger(tmp_path / model_id)
    assert caught.value.code == "hash_mismatch"


@pytest.mark.parametrize("labelled", [1.0, 0.1])
def test_what_stands_among_spectra_without_the_label_gets_no_value(labelled):
    """Galaxies lie no farther from stars than stars from each other, and have no temperature."""
    features, label, _, _ = world(6000, 12)
    other = world(6000, 13)[0]
    shift = np.zeros(D)
    shift[5] = 5.0
    both = Features(np.concatenate([features.vectors, other.vectors + shift]),
                    np.concatenate([features.snr, other.snr]),
                    np.concatenate([features.variance, other.variance]),
                    np.concatenate([features.chi2, other.chi2]))  # fmt: skip
    known = np.concatenate([label, np.full(6000, np.nan)])
    known[np.random.default_rng(0).random(12_000) > labelled] = np.nan
    tagger = train_tagger(both, known, np.arange(12_000), heads=["ridge"])
    high = both.snr > 10
    said = tagger.predict(both)
    star = np.arange(12_000) < 6000
    assert said.known[high & star].mean() > 0.93
    assert said.known[high & ~star].mean() < 0.02
    assert any("few spectra like it have this label" in r for r in said.reason[high & ~star])


def test_the_guard_survives_saving(tmp_path):
    features, label, _, objects = world(2000, 14)
    label = np.where(features.vectors[:, 5] > 0, label, np.nan)
    tagger = train_tagger(features, label, objects, heads=["ridge"])
    assert tagger.guard.company[1] > 0
    name = save_tagger(tagger, tmp_path, "teff", "0", {}, {})
    again = load_tagger(tmp_path / name)[0]
    np.testing.assert_array_equal(again.predict(features).reason, tagger.predict(features).reason)
    assert again.guard.company == tagger.guard.company
