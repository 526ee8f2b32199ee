"""The science benchmark judges fairly: splits, intervals, plantings, and a table that tells all."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from blake3 import blake3
from click.testing import CliRunner
from embedding_cases import DOMAIN, N_PIX, linear_world
from pool_cases import write_pool

from spectrarium.cli.evaluate import command
from spectrarium.domain.errors import DataError, TransientError, UsageError
from spectrarium.domain.progress import Silent
from spectrarium.evaluate import benchmark, judging, planting, retrieval, strange, table
from spectrarium.evaluate.benchmark import Plan, evaluate
from spectrarium.evaluate.bootstrap import Measured, difference, interval
from spectrarium.evaluate.corpus import Corpus, within_class
from spectrarium.evaluate.fitting import encoded, fitted, made
from spectrarium.evaluate.judging import Effort
from spectrarium.evaluate.mock_corpus import mock_corpus
from spectrarium.evaluate.pools import Pool
from spectrarium.evaluate.real import REAL
from spectrarium.evaluate.results import Kept, Key, Result
from spectrarium.evaluate.splits import held_out_by_name, numbered
from spectrarium.evaluate.templates import template_corpus, templates

# splits ---------------------------------------------------------------------------------------


def test_splits_are_frozen_and_by_object():
    names = [f"object-{i}" for i in range(4000)]
    test = held_out_by_name(names)
    assert np.mean(test) == pytest.approx(102 / 256, abs=0.03)
    assert all(
        t == (blake3(n.encode()).digest()[0] >= 154) for n, t in zip(names, test, strict=True)
    )
    assert held_out_by_name(["HD224930", "HD224930"]).tolist() in ([True, True], [False, False])
    assert [bool(x) for x in held_out_by_name(["miles", "sdss", "lamost"])] == [
        blake3(n).digest()[0] >= 154 for n in (b"miles", b"sdss", b"lamost")
    ]
    one, two, again = numbered(["b", "a", "b"]).tolist()
    assert one == again != two
    assert numbered(["a", "c", "b"]).tolist()[::2] == [two, one], "others move no object"
    assert min(one, two) >= 0


# pools ----------------------------------------------------------------------------------------


SPECTRA = [(np.linspace(4000, 5000, n), np.full(n, float(n), "f4")) for n in (50, 70)]


def test_a_pool_is_read_as_written_and_nothing_in_it_is_run(tmp_path):
    folder = write_pool(tmp_path / "p", SPECTRA)
    trap = "import pathlib; pathlib.Path(__file__).with_name('ran').touch()\n"
    for place in (tmp_path, folder):
        (place / "pool.py").write_text(trap)
    with Pool(folder) as pool:
        for i, (wave, flux) in enumerate(SPECTRA):
            found = pool[f"s{i}"]
            assert np.array_equal(found[0], wave)
            assert np.array_equal(found[1], flux)
            assert found[2] is None
    assert not list(tmp_path.rglob("ran"))


def test_pools_with_linear_and_logarithmic_grids(tmp_path):
    folder = write_pool(tmp_path / "p", SPECTRA, wtype=np.array([1, 2]),
                        wpar=np.array([[4000.0, 2.0], [3.6, 1e-4]]),
                        err=np.concatenate([np.full(50, 0.1), np.full(70, np.nan)]))  # fmt: skip
    with Pool(folder) as pool:
        assert pool["s0"][0][:2].tolist() == [4000.0, 4002.0]
        assert pool["s1"][0][1] == pytest.approx(10**3.6001)
        assert pool["s0"][2] is not None
        assert pool["s1"][2] is None, "errors that are all unknown are unknown, not zero"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"header": "name,object_id,a,b,c,d"}, "lacks spec_id"),
        ({"off": np.array([0, 50])}, "do not fit its offsets"),
        ({"off": np.array([0, 50, 500])}, "do not rise"),
        ({"off": np.array([0, 90, 50])}, "do not rise"),
        ({"flux": None}, "no table 'flux'"),
        ({"spec_id": np.array([b"s0", b"other"])}, "no spectrum 's1'"),
    ],
)
def test_a_bad_pool_says_what_is_wrong(tmp_path, changes, what):
    folder = write_pool(tmp_path / "p", SPECTRA, **changes)
    with pytest.raises(DataError, match=what) as caught:
        Pool(folder)
    assert caught.value.code == "bad_pool"


def test_pools_that_are_not_there(tmp_path):
    with pytest.raises(UsageError) as caught:
        Pool(tmp_path / "nothing")
    assert caught.value.code == "no_pool"
    folder = write_pool(tmp_path / "p", SPECTRA)
    (folder / "spectra.h5").write_bytes(b"no HDF5 at all")
    with pytest.raises(DataError, match="cannot be read"):
        Pool(folder)
    with pytest.raises(UsageError, match="template pools"):
        list(templates(tmp_path))


# intervals ------------------------------------------------------------------------------------


def measured(values, objects=None):
    values = np.asarray(values, float)
    where = np.arange(values.size)
    return Measured(values, where if objects is None else np.asarray(objects), where)


def test_bootstrap_intervals_cover_and_know_of_objects():
    rng = np.random.default_rng(0)
    inside = 0
    for i in range(60):
        found = interval([measured(rng.normal(1.0, 2.0, 200))], seed=i)
        inside += found.low <= 1.0 <= found.high
    assert inside >= 52
    each = rng.normal(0, 1, 40)
    spread = interval([measured(each)])
    repeated = interval([measured(np.repeat(each, 25), np.repeat(np.arange(40), 25))])
    assert repeated.n_objects == 40
    assert repeated.high - repeated.low == pytest.approx(spread.high - spread.low, rel=0.15)


def test_intervals_hold_the_scatter_of_seeds():
    same = measured(np.ones(500))
    found = interval([same, replace(same, values=np.zeros(500)), same])
    assert found.value == pytest.approx(2 / 3)
    assert found.low < 0.4
    assert found.high == 1.0


def test_differences_are_paired_where_both_have_a_value():
    rng = np.random.default_rng(1)
    hard = rng.normal(0, 5, 300)
    one = measured(hard + 0.5 + rng.normal(0, 0.1, 300))
    two = Measured(hard[100:], np.arange(100, 300), np.arange(100, 300))
    change = difference([one], [two])
    assert change.value == pytest.approx(0.5, abs=0.03)
    assert 0.4 < change.low < change.high < 0.6
    assert change.n_objects == 200
    with pytest.raises(UsageError):
        difference([one], [replace(two, units=two.units + 1000)])


# a small world --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world() -> Corpus:
    """Two spectra of each of 300 objects of three classes; label x follows the first component."""
    batch, z, _ = linear_world(600, seed=4)
    first, second = batch.flux[::2], batch.ivar[::2]
    rng = np.random.default_rng(0)
    again = first + rng.standard_normal(first.shape) / np.sqrt(second)
    flux, ivar = np.repeat(first, 2, axis=0), np.repeat(second, 2, axis=0)
    flux[1::2], ivar[1::2] = again, second / 2
    latent = np.repeat(z[::2, 0], 2)
    objects = np.repeat(np.arange(300), 2)
    label = np.array(["low", "mid", "high"])[np.digitize(latent, [-4, 4])]
    snr = np.median(np.abs(flux) * np.sqrt(ivar), axis=1)
    return Corpus(
        "world", "a test", DOMAIN, replace(batch, flux=flux, ivar=ivar, snr=snr), objects,
        held_out_by_name([f"o{o}" for o in objects]), label, "class", {"x": latent},
        {"log S/N": np.log10(snr)}, np.full(600, "", "U32"), np.zeros(600),
        ("strong_emission", "cosmic_rays", "bad_join", "wrong_redshift", "double_lined_binary",
         "p_cygni", "double_peaked_halpha", "superposition"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def model(world):
    encoder = made("pca", world, 0, 100)
    encoder = type(encoder)(world.domain, replace(encoder.settings, n_components=3))
    fitted(encoder, world, "cpu", None, Silent())
    return encoder, encoded(encoder, world.batch)[0].vectors


def test_encoders_are_fitted_on_train_objects_only(world):
    assert not world.test[world.fit_rows].any()
    assert set(world.objects[world.fit_rows]) & set(world.objects[world.test_rows]) == set()
    assert len(world.training_set()) == len(world.train_rows)


def test_neighbours_are_never_of_the_same_object(world, model):
    encoder, vectors = model
    everyone = np.ones(len(world), bool)
    search = retrieval.ByVectors(world, encoder.ref, vectors, encoder.metric_scale())
    pixels = retrieval.ByPixels(world, world.test_rows)
    for found in (search(world.test_rows, everyone), pixels(world.test_rows, everyone)):
        assert (found >= 0).all()
        assert (world.objects[found] != world.objects[world.test_rows][:, None]).all()
        assert all(len(set(row)) == retrieval.K for row in found.tolist())
    allowed = world.label == "mid"
    found = search(world.test_rows, allowed)
    assert allowed[found].all()


def test_pixel_distances_are_exact_with_gaps(world):
    ivar = world.batch.ivar.copy()
    ivar[3, 100:200] = 0
    ivar[7, :] = 0
    gappy = replace(world, batch=replace(world.batch, ivar=ivar))
    rows = np.array([3, 5])
    found = retrieval.chi2_to_all(gappy, rows, Silent())
    flux = world.batch.flux.astype(float)
    for i, row in enumerate(rows):
        for other in (4, 9, 599):
            both = (ivar[row] > 0) & (ivar[other] > 0)
            variance = 1 / ivar[row][both].astype(float) + 1 / ivar[other][both].astype(float)
            expected = np.mean((flux[row] - flux[other])[both] ** 2 / variance)
            assert found[i, other] == pytest.approx(expected, rel=1e-4)
    assert np.isinf(found[:, 7]).all()


def test_chance_is_what_random_answers_give(world):
    questions = retrieval.Questions.of(world)
    chance = retrieval.by_chance(questions)

    def at_random(rows, allowed):
        rng = np.random.default_rng(5)
        pool = np.flatnonzero(allowed)
        out = rng.choice(pool, (len(rows), 60))
        own = world.objects[out] == world.objects[rows][:, None]
        return np.take_along_axis(out, np.argsort(own, axis=1, kind="stable"), 1)[:, : retrieval.K]

    drawn = retrieval.answers(questions, at_random, raw_only=False)
    assert set(drawn) == set(chance) == {"precision@10", "MAE x"}
    for name in drawn:
        scale = drawn[name].values.mean()
        assert chance[name].values.mean() == pytest.approx(scale, rel=0.08)


def test_pca_answers_beat_chance_and_labels_come_out(world, model):
    encoder, vectors = model
    questions = retrieval.Questions.of(world)
    search = retrieval.ByVectors(world, encoder.ref, vectors, encoder.metric_scale())
    found = retrieval.answers(questions, search, raw_only=False)
    chance = retrieval.by_chance(questions)
    assert found["precision@10"].values.mean() > chance["precision@10"].values.mean() + 0.2
    assert found["MAE x"].values.mean() < 0.5 * chance["MAE x"].values.mean()
    few = retrieval.answers(retrieval.Questions.of(world, 20), search, raw_only=True)
    assert len(few["precision@10"].values) == 20


# plantings ------------------------------------------------------------------------------------


def host(seed=0, ivar=900.0, noise=True, **changes):
    """A smooth continuum of S/N 30 with its noise, and a partner."""
    rng = np.random.default_rng(seed)
    wave = 4000.0 * np.exp(2e-4 * np.arange(3500))
    level = 1.0 + 0.2 * np.sin(wave / 900.0)
    weight = np.full(wave.size, ivar)
    draw = rng.standard_normal((2, wave.size)) * (noise / np.sqrt(ivar))
    fields = {"wave": wave, "pixel_kms": 2e-4 * 299_792.458, "flux": level + draw[0],
              "ivar": weight, "level": level, "z": 0.0, "sigma_kms": 64.0,
              "partner": (level + draw[1], weight)}  # fmt: skip
    return planting.Host(**fields | changes)


@pytest.mark.parametrize("kind", sorted(set(planting.SPOILERS) - {"cosmic_rays"}))
def test_noise_of_planted_spectra_is_what_their_ivar_says(kind):
    """The same planting with and without noise: what differs is noise of the claimed size."""
    pulls = []
    for seed in range(12):
        noisy = planting.SPOILERS[kind](host(seed), np.random.default_rng(seed))
        clean = planting.SPOILERS[kind](host(seed, noise=False, ivar=1e14),
                                        np.random.default_rng(seed))  # fmt: skip
        good = (noisy[1] > 0) & (clean[1] > 0)
        assert good.mean() > 0.9
        pulls.append(((noisy[0] - clean[0]) * np.sqrt(noisy[1]))[good])
    pulls = np.concatenate(pulls)
    assert np.mean(pulls**2) == pytest.approx(1.0, abs=0.02)
    assert abs(np.mean(pulls)) < 0.02


def test_planted_features_are_what_they_are_called():
    rng = np.random.default_rng(3)
    quiet = host(noise=False, ivar=1e10)
    v = np.log(quiet.wave / 6564.63) * 299_792.458
    emission, _ = planting.SPOILERS["strong_emission"](quiet, rng)
    near = np.abs(v) < 500
    width = np.trapezoid((emission / quiet.level - 1)[near], quiet.wave[near])
    assert 30 < width < 140
    two, _ = planting.SPOILERS["double_peaked_halpha"](quiet, rng)
    middle, blue, red = (np.interp(x, v, two / quiet.level) for x in (0, -265, 265))
    assert min(blue, red) > 1.3
    assert middle < min(blue, red)
    wind, _ = planting.SPOILERS["p_cygni"](quiet, rng)
    assert (wind / quiet.level)[(v > -50) & (v < 150)].max() > 2
    assert 0 < (wind / quiet.level)[(v > -600) & (v < -250)].min() < 0.7, "never below zero light"
    rays, ivar = planting.SPOILERS["cosmic_rays"](quiet, rng)
    assert np.sum(rays > 2 * quiet.level) >= 5
    assert np.array_equal(ivar, quiet.ivar), "unflagged"
    _, known = planting.SPOILERS["wrong_redshift"](quiet, rng)
    assert 20 < np.sum(known == 0) < 200
    assert planting.SPOILERS["p_cygni"](replace(quiet, z=2.0), rng) is None, "no line in range"
    assert planting.SPOILERS["double_lined_binary"](replace(quiet, partner=None), rng) is None


def test_plantings_are_in_test_spectra_and_repeatable(world):
    one, two = planting.plant(world, 4), planting.plant(world, 4)
    assert np.array_equal(one.batch.flux, two.batch.flux)
    assert world.test[one.host].all()
    counts = dict(zip(*np.unique(one.kind, return_counts=True), strict=True))
    assert {"strong_emission", "cosmic_rays", "bad_join", "superposition"} <= set(counts)
    assert set(counts.values()) == {4}
    assert np.isfinite(one.batch.flux).all()
    assert not np.array_equal(planting.plant(world, 4, seed=1).host, one.host)


# oddities found -------------------------------------------------------------------------------


def crowd(world, normal, odd, together=False):
    n, m = len(normal), len(odd)
    kinds = np.array(["a"] * m)
    batch = replace(world.batch, flux=np.zeros((m, N_PIX), "f4"))
    who = strange.Population(np.arange(n), batch, np.arange(m), kinds, together, n)
    snr = np.full(n, 20.0) + np.arange(n) % 7
    scored = strange.Scored(np.asarray(normal), np.asarray(odd), snr, np.full(m, 22.0))
    return who, {"reconstruction": scored, "density": scored}


def test_perfect_and_useless_scores(world):
    rng = np.random.default_rng(2)
    normal = np.exp(rng.standard_normal(2000))
    who, scored = crowd(world, normal, np.full(60, 1e4))
    found = strange.found(who, scored)
    for name, one in found.items():
        assert one.values.mean() == pytest.approx(1.0, abs=0.02 if "recall" in name else 0.5)
    who, scored = crowd(world, normal, np.exp(rng.standard_normal(600)))
    found, chance = strange.found(who, scored), strange.chance(who)
    recall = "planted recall@1% combined"
    assert found[recall].values.mean() == pytest.approx(chance[recall].values.mean(), abs=0.012)
    assert chance[recall].values.mean() == pytest.approx(0.01, abs=0.002)
    who, scored = crowd(world, normal, np.full(60, np.nan))
    assert strange.found(who, scored)[recall].values.max() == 0.0, "abstentions find nothing"


def test_planted_oddities_are_found_by_pca(world, model):
    encoder, vectors = model
    planted = planting.plant(replace(world, kinds=("strong_emission", "bad_join")), 8)
    who = strange.population(world, planted)
    found = strange.found(who, strange.outlier_scores(world, encoder, vectors, who))
    assert found["planted recall@1% reconstruction"].values.mean() > 0.5
    assert np.array_equal(found["planted AP combined"].objects, planted.objects)


# results and the whole ------------------------------------------------------------------------


def test_results_come_back_and_damage_is_noticed(tmp_path):
    kept = Kept(tmp_path)
    key = Key("c", "pca", 0, "options", "data")
    assert kept.get(key) is None
    one = Result({"m": measured([1, 2.5], [7, 9])}, {"fit_s": 1.5})
    kept.put(key, one)
    back = kept.get(key)
    assert back.measures["m"].values.tolist() == [1.0, 2.5]
    assert back.measures["m"].objects.tolist() == [7, 9]
    assert back.facts == {"fit_s": 1.5}
    for other in (replace(key, seed=1), replace(key, options="x"), replace(key, data="x")):
        assert kept.get(other) is None
    path = next((tmp_path / "results").glob("*.npz"))
    path.write_bytes(path.read_bytes()[:100])
    assert kept.get(key) is None
    kept.put(replace(key, seed=2), Result(error="failed"))
    assert kept.get(replace(key, seed=2)) is None, "failures are tried again"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"corpora": ("nowhere",)}, "unknown_corpus"),
        ({"encoders": ("magic",)}, "unknown_encoder"),
        ({"seeds": 0}, "bad_plan"),
        ({"mock": 10}, "bad_plan"),
        ({"corpora": ("miles",)}, "no_data"),
        ({"own_seeds": (("conv", 1),)}, "unknown_encoder"),
        ({"effort": Effort(measures=("tags", "taste"))}, "bad_plan"),
        ({"effort": Effort(measures=())}, "bad_plan"),
    ],
)
def test_plans_that_cannot_be(changes, code):
    with pytest.raises(UsageError) as caught:
        Plan.quick(**changes)
    assert caught.value.code == code


def test_nothing_to_evaluate_on(tmp_path):
    with pytest.raises(UsageError, match="no corpus"):
        evaluate(Plan.quick(mock=0), tmp_path)
    with pytest.raises(UsageError) as caught:
        Plan.quick(data=tmp_path / "nothing")
    assert caught.value.code == "no_data"


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The command, run once: (folder, output, record)."""
    folder = tmp_path_factory.mktemp("evaluate")
    ran = CliRunner().invoke(
        command, ["--quick", "--work", str(folder / "w"), "--out", str(folder / "r.json"),
                  "--markdown", str(folder / "t.md")], catch_exceptions=False,
    )  # fmt: skip
    assert ran.exit_code == 0
    return folder, ran.output, json.loads((folder / "r.json").read_text("utf-8"))


def test_quick_prints_one_table_whose_numbers_make_sense(quick):
    folder, output, record = quick
    text = (folder / "t.md").read_text("utf-8")
    assert text.strip() in output
    rows = [line for line in text.splitlines() if line.startswith("| mock | ")]
    main = [r for r in rows if r.count("|") == 7]
    assert len(main) > 30
    values = {r["measure"]: r for r in record["rows"]}
    precision = values["precision@10"]
    assert precision["pca"]["low"] > precision["chance"]["value"] + 0.3
    assert precision["raw pixels"]["value"] > precision["chance"]["value"]
    for label in ("teff", "logg", "feh", "z"):
        assert values[f"MAE {label}"]["pca"]["high"] < values[f"MAE {label}"]["chance"]["value"]
    among = values["planted recall@1% among stars: reconstruction"]
    assert among["pca"]["value"] > 3 * among["chance"]["value"]
    assert values["wrong z recall"]["pca"]["value"] > values["wrong z recall"]["chance"]["value"]
    assert {"R² of log S/N within class (ridge)", "R² of mjd (knn)", "tag σ teff"} <= set(values)
    velocity = values["R² of rv_kms (ridge)"]
    assert velocity["raw pixels"]["minus_pca"]["value"] == pytest.approx(
        velocity["raw pixels"]["value"] - velocity["pca"]["value"]
    )
    assert abs(values["tag class surer than right"]["pca"]["value"]) < 0.1
    for row in record["rows"]:
        for method in ("pca", "raw pixels"):
            if row[method] is not None:
                assert row[method]["low"] <= row[method]["value"] <= row[method]["high"], row
    assert "BLAKE3" in text
    assert record["corpora"]["mock"]["n_test"] > 300


def test_a_second_run_repeats_nothing(quick, monkeypatch):
    folder, output, _ = quick

    def forbidden(*_, **__):
        raise AssertionError("done before")

    monkeypatch.setattr(benchmark, "mock_corpus", forbidden)
    monkeypatch.setattr(benchmark, "judge", forbidden)
    again = CliRunner().invoke(
        command, ["--quick", "--work", str(folder / "w")], catch_exceptions=False
    )
    table_of = [line for line in output.splitlines() if line.startswith("|")]
    assert [line for line in again.output.splitlines() if line.startswith("|")] == table_of


def test_some_measures_alone_are_those_of_the_whole(quick, tmp_path):
    ran = CliRunner().invoke(
        command, ["--quick", "--measures", "nuisances,tags", "--work", str(tmp_path / "w"),
                  "--out", str(tmp_path / "r.json")], catch_exceptions=False,
    )  # fmt: skip
    assert ran.exit_code == 0
    whole = {r["measure"]: r for r in quick[2]["rows"]}
    some = {r["measure"]: r for r in json.loads((tmp_path / "r.json").read_text("utf-8"))["rows"]}
    assert {m for m in whole if m.startswith(("R²", "tag"))} == set(some)
    for measure, row in some.items():
        assert (row["pca"], row["raw pixels"]) == (
            whole[measure]["pca"], whole[measure]["raw pixels"]), measure  # fmt: skip


@pytest.fixture(scope="module")
def tiny():
    return mock_corpus(420)


def test_an_encoder_that_fails_is_in_the_table_with_its_reason(tmp_path, monkeypatch, tiny):
    def without_torch(name):
        raise UsageError(f"encoder {name!r} needs torch, which is not installed", code="needs_deep")

    real = judging.made
    monkeypatch.setattr(benchmark, "mock_corpus", lambda *_: tiny)
    monkeypatch.setattr(
        judging, "made", lambda name, *rest: without_torch(name) if name == "dense"
        else 1 / 0 if name == "conv" else real(name, *rest),
    )  # fmt: skip
    plan = Plan.quick(mock=420, encoders=("pca", "dense", "conv"), seeds=1, tag_encoders=())
    found = evaluate(plan, tmp_path)
    text = table.markdown(found)
    row = next(line for line in text.splitlines() if "precision@10" in line)
    assert [c.strip() for c in row.split("|")[-3:-1]] == ["failed", "failed"]
    assert "needs_deep: encoder 'dense' needs torch" in text
    assert "ZeroDivisionError" in text
    assert table.record(found)["rows"][0]["dense"] is None


def test_cancelling_keeps_what_is_done(tmp_path, monkeypatch, tiny):
    monkeypatch.setattr(benchmark, "mock_corpus", lambda *_: tiny)
    plan = Plan.quick(mock=420, seeds=1, tag_encoders=())

    class Impatient(Silent):
        done = 0

        def note(self, text):
            self.done += 1

        def cancelled(self):
            return self.done > 2

    with pytest.raises(TransientError) as caught:
        evaluate(plan, tmp_path, Impatient())
    assert caught.value.code == "cancelled"
    assert len(list((tmp_path / "results").glob("*.npz"))) == 2
    notes = []
    watcher = Silent()
    watcher.note = notes.append
    evaluate(plan, tmp_path, watcher)
    assert notes == ["mock · pca · seed 0"]


def test_pixels_get_no_tags_by_a_head_that_was_not_asked_for(tiny):
    task, effort = judging.Task.of(tiny, Effort()), Effort(measures=("tags",), heads=("boosting",))
    assert not judging.by_pixels(task, effort, 0, Silent()).measures


def test_workers_make_the_same_survey(tiny):
    other = mock_corpus(420, workers=2)
    assert np.allclose(other.batch.flux, tiny.batch.flux, rtol=1e-5, atol=1e-6)
    assert np.array_equal(other.test, tiny.test)


def test_nuisances_within_a_class_and_at_a_redshift():
    rng = np.random.default_rng(4)
    label, z = np.repeat(["QSO", "GALAXY", "STAR"], [60, 60, 2]), rng.uniform(0.0, 3.0, 122)
    own = rng.normal(0.0, 0.1, 122)
    faint = np.where(label == "QSO", 2.0, -1.0)
    values = faint - np.where(label == "QSO", 0.5, 3.0) * np.log1p(z) + own
    values[7], z[70] = np.nan, np.nan
    inside, there = within_class(values, label), within_class(values, label, z)
    assert np.array_equal(np.isnan(inside), np.isnan(values))
    for name in ("QSO", "GALAXY"):
        mine = label == name
        assert np.nanmean(inside[mine]) == pytest.approx(0.0, abs=1e-12)
        known = mine & np.isfinite(there)
        assert np.count_nonzero(known) == 59
        assert abs(np.corrcoef(np.log1p(z[known]), inside[known])[0, 1]) > 0.8
        assert abs(np.corrcoef(np.log1p(z[known]), there[known])[0, 1]) < 1e-9
        assert np.corrcoef(own[known], there[known])[0, 1] > 0.95
    assert np.isnan(there[label == "STAR"]).all(), "two have no line"


# real spectra ---------------------------------------------------------------------------------


@pytest.mark.data
def test_real_pools_load_and_labels_are_there(data_dir):
    for real in REAL:
        corpus = real.load(data_dir, 400)
        assert len(corpus) > 150
        train, test = set(corpus.objects[~corpus.test]), set(corpus.objects[corpus.test])
        assert not train & test
        assert len(np.unique(corpus.label)) >= 3
        planted = planting.plant(corpus, 2)
        assert set(planted.kind) == set(corpus.kinds)


@pytest.mark.data
def test_no_template_is_on_both_sides(data_dir):
    corpus = template_corpus(data_dir, draws=3, most=150)
    assert {"SN", "A", "F", "G", "K", "M"} <= set(corpus.label)
    assert not set(corpus.objects[~corpus.test]) & set(corpus.objects[corpus.test])
    assert np.unique(corpus.objects, return_counts=True)[1].max() == 3
    assert 4 < np.median(corpus.batch.snr) < 60
    assert np.isfinite(corpus.numbers["teff"]).sum() > 100


@pytest.mark.data
def test_miles_retrieval_beats_chance(data_dir, tmp_path):
    found = evaluate(Plan.quick(data=data_dir, corpora=("miles",), seeds=1, tag_encoders=()),
                     tmp_path)  # fmt: skip
    assert list(found.corpora) == ["miles"]
    precision = table.summary(found, "miles", "pca", "precision@10")
    assert precision.low > 0.5 > 2 * table.summary(found, "miles", "chance", "precision@10").value
    recall = table.summary(found, "miles", "pca", "planted recall@1% reconstruction")
    assert recall.low > 0.1
