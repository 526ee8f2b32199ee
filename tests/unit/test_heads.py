"""Heads: they learn, stop where validation says so, and are applied by numpy alone."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from spectrarium.domain.errors import InternalError, UsageError
from spectrarium.embed import heads, heads_network, heads_trees
from spectrarium.embed.heads import MAKERS, Lesson, fit_head, fit_heads, log_loss, pinball
from spectrarium.explore.tag_design import quantile_levels

TAUS = quantile_levels((0.68, 0.90))
TRAINABLE = heads.available()[0]


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    """Less training than in earnest: enough for these lessons."""
    monkeypatch.setattr(heads_network, "MEMBERS", 2)
    monkeypatch.setattr(heads_network, "_STEPS", 800)
    monkeypatch.setattr(heads_network, "_PATIENCE", 4)
    monkeypatch.setattr(heads_trees, "MOST_ROUNDS", 60)


def number_lesson(n=1000, seed=1, **changes) -> Lesson:
    """y = 2 x₀ − x₁ with a spread that grows with x₂."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 4))
    y = 2 * x[:, 0] - x[:, 1] + np.exp(0.5 * x[:, 2] - 1.0) * rng.standard_normal(n)
    fields = {"x": x, "y": y, "valid": np.arange(n) % 5 == 0, "taus": TAUS, "seed": seed}
    return Lesson(**fields | changes)


def class_lesson(classes=3, n=900, seed=2) -> Lesson:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3))
    y = np.digitize(x[:, 0] + 0.3 * rng.standard_normal(n), np.linspace(-0.6, 0.6, classes - 1))
    return Lesson(x, y, np.arange(n) % 5 == 0, TAUS, n_classes=classes, seed=seed)


@pytest.mark.parametrize("name", TRAINABLE)
def test_quantiles_rise_and_hold_what_they_say_and_follow_the_spread(name):
    head = fit_head(name, number_lesson())
    new = number_lesson(4000, seed=9)
    q = head.predict(new.x)
    assert np.all(np.diff(q, axis=1) >= 0)
    share = (new.y[:, None] <= q).mean(axis=0)
    # trees fitted to few spectra hug them: that is what calibration is for
    np.testing.assert_allclose(share, TAUS, atol=0.13 if name == "boosting" else 0.06)
    constant = np.broadcast_to(np.quantile(new.y, TAUS), q.shape)
    assert pinball(q, new.y, TAUS).mean() < 0.5 * pinball(constant, new.y, TAUS).mean()
    width = q[:, -1] - q[:, 0]
    factor = 1.05 if name == "boosting" else 1.5
    assert np.median(width[new.x[:, 2] > 1]) > factor * np.median(width[new.x[:, 2] < -1])


@pytest.mark.parametrize("name", TRAINABLE)
@pytest.mark.parametrize("classes", [2, 3])
def test_classes_are_told_apart(name, classes):
    head = fit_head(name, class_lesson(classes))
    new = class_lesson(classes, seed=8)
    logits = head.predict(new.x)
    assert logits.shape == (len(new.y), classes)
    assert (logits.argmax(axis=1) == new.y).mean() > 0.75
    assert log_loss(logits, new.y).mean() < 0.6 * np.log(classes)


@pytest.mark.parametrize("name", TRAINABLE)
def test_a_class_that_was_never_seen_is_not_believed(name):
    lesson = class_lesson(2)
    wider = Lesson(lesson.x, np.where(lesson.y == 1, 2, 0), lesson.valid, TAUS, n_classes=3)
    logits = fit_head(name, wider).predict(lesson.x)
    assert logits.shape[1] == 3
    assert (logits.argmax(axis=1) != 1).all()


@pytest.mark.parametrize("name", TRAINABLE)
def test_same_seed_same_head_and_settings_can_be_used_again(name):
    lesson = number_lesson(600)
    one, two = fit_head(name, lesson), fit_head(name, lesson)
    np.testing.assert_array_equal(one.predict(lesson.x), two.predict(lesson.x))
    again = number_lesson(600, valid=np.zeros(600, bool), chosen=one.chosen)
    assert fit_head(name, again).chosen == one.chosen


@pytest.mark.parametrize("name", TRAINABLE)
@pytest.mark.parametrize("make", [number_lesson, class_lesson])
def test_heads_that_are_trained_together_are_those_trained_alone(name, make, monkeypatch):
    """Lessons of different length, one with its settings chosen before, one with noise."""
    monkeypatch.setattr(heads_network, "_STEPS", 100)
    one, two = make(n=700), make(n=500, seed=4)
    noise = np.full_like(two.x, 0.2)
    two = replace(two, noise=noise)
    chosen = fit_head(name, one).chosen
    again = replace(make(n=300, seed=6), valid=np.zeros(300, bool), chosen=chosen)
    lessons = [one, two, again]
    together = fit_heads(name, lessons)
    for lesson, head in zip(lessons, together, strict=True):
        alone = fit_head(name, lesson)
        assert head.chosen == alone.chosen
        np.testing.assert_allclose(head.predict(lesson.x), alone.predict(lesson.x), atol=2e-3)
    assert together[2].chosen == chosen
    assert fit_heads(name, []) == []


def test_a_network_without_noise_is_the_same_beside_one_with():
    pytest.importorskip("torch")
    plain = number_lesson(400)
    noisy = replace(plain, noise=np.full_like(plain.x, 0.2))
    chosen = {"steps": [60, 60], "noise": False}
    runs = [heads_network._Run(replace(one, chosen=chosen), 0, one is noisy)
            for one in (noisy, plain)]  # fmt: skip
    beside, alone = heads_network._trained(runs)[1][0], heads_network._trained(runs[1:])[0][0]
    for name, weights in alone.items():
        np.testing.assert_allclose(beside[name], weights, atol=1e-4)


def test_each_network_stops_where_its_own_validation_spectra_say():
    """One that is done does not hold up the others, nor is it trained further."""
    pytest.importorskip("torch")
    easy, hard = number_lesson(300), number_lesson(1500, seed=5)
    steps = [h.chosen["steps"] for h in fit_heads("network", [easy, hard])]
    assert steps[0] != steps[1]
    assert all(50 <= s <= 800 for s in (*steps[0], *steps[1]))


def test_at_which_step_a_network_stops_hardly_matters():
    """A single step of its weights, while steps are large, moves what it says by far more."""
    lesson = number_lesson()
    steps = [fit_head("network", replace(lesson, chosen={"steps": [n] * 2, "noise": False}))
             for n in (200, 203)]  # fmt: skip
    new = number_lesson(4000, seed=9)
    medians = [head.predict(new.x)[:, len(TAUS) // 2] for head in steps]
    wrong = np.median(np.abs(medians[0] - (2 * new.x[:, 0] - new.x[:, 1])))
    assert np.median(np.abs(medians[0] - medians[1])) < 0.1 * wrong


def test_trees_are_the_librarys_to_the_last_digit():
    from sklearn.ensemble import HistGradientBoostingRegressor

    lesson = number_lesson(800, valid=np.zeros(800, bool), taus=np.array([0.5]),
                           chosen={"rounds": [30]})  # fmt: skip
    mine = fit_head("boosting", lesson).predict(lesson.x)[:, 0]
    library = HistGradientBoostingRegressor(
        loss="quantile", quantile=0.5, max_iter=30, random_state=lesson.seed,
        **heads_trees._SETTINGS,
    ).fit(lesson.x, lesson.y)  # fmt: skip
    np.testing.assert_allclose(mine, library.predict(lesson.x), rtol=1e-12, atol=1e-12)


def test_trees_that_the_library_would_not_recognise_are_refused(monkeypatch):
    monkeypatch.setattr(heads_trees, "_walk", lambda arrays, x: np.zeros((len(x), len(TAUS))))
    with pytest.raises(InternalError, match="scikit-learn"):
        fit_head("boosting", number_lesson(300))


@pytest.mark.parametrize("name", TRAINABLE)
def test_a_head_is_applied_without_the_libraries_that_trained_it(name, tmp_path):
    lesson = number_lesson(400)
    head = fit_head(name, lesson)
    np.savez(tmp_path / "head.npz", **head.arrays)
    np.savez(tmp_path / "x.npz", x=lesson.x, y=head.predict(lesson.x))
    program = (
        "import sys, numpy as np\nsys.modules['torch'] = sys.modules['sklearn'] = None\n"
        "from spectrarium.embed.heads import Head\n"
        f"h = Head({name!r}, dict(np.load({str(tmp_path / 'head.npz')!r})), {{}})\n"
        f"d = np.load({str(tmp_path / 'x.npz')!r})\n"
        "assert np.allclose(h.predict(d['x']), d['y'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_without_torch_the_network_is_left_out_and_that_is_said(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(heads, "find_spec", lambda n: None if n == "torch" else real(n))
    names, why = heads.available()
    assert names == ["ridge", "boosting"]
    assert "torch" in why
    with pytest.raises(UsageError) as caught:
        fit_head("network", number_lesson(200))
    assert caught.value.code == "needs_deep"


def test_an_unknown_head_lists_the_known():
    with pytest.raises(UsageError) as caught:
        fit_head("forest", number_lesson(200))
    assert caught.value.code == "unknown_head"
    assert all(name in caught.value.remedy for name in MAKERS)
