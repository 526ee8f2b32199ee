"""Tags from the front door: learnt from a catalogue, given to the rest, traced, or refused."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

import spectrarium as sp
from spectrarium.cli.main import cli
from spectrarium.domain.errors import DataError, UsageError
from spectrarium.explore.tagging import LEAST_LABELLED
from spectrarium.mock import write_survey
from spectrarium.run.tag_labels import tag_name
from spectrarium.run.tag_rows import ROLES

FAST = {"heads": ["ridge"]}


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tag-mock")
    write_survey(folder, n=260, seed=8)
    return folder


@pytest.fixture(scope="module")
def plain(survey, tmp_path_factory):
    """An archive with labels and vectors, no tags; copied, never changed."""
    archive = sp.open(tmp_path_factory.mktemp("tag-plain") / "archive")
    archive.ingest([survey / "spectra"], collection="MOCK", workers=0)
    archive.add_catalogue(survey / "truth.ecsv", "obs_id")
    archive.embed(components=12)
    return archive


@pytest.fixture(scope="module")
def tagged(plain, tmp_path_factory):
    """The same with teff and the class learnt and applied."""
    folder = tmp_path_factory.mktemp("tagged") / "archive"
    shutil.copytree(plain.path, folder)
    archive = sp.open(folder)
    archive.tag_train("truth.teff", **FAST)
    archive.tag_train("truth.obj_class", **FAST)
    archive.tag_apply()
    return archive


@pytest.fixture
def own(plain, tmp_path):
    shutil.copytree(plain.path, tmp_path / "archive")
    return sp.open(tmp_path / "archive")


def run(*words: object):
    return CliRunner().invoke(cli, [str(w) for w in words])


def test_every_vector_gets_a_tag_or_a_reason(tagged):
    for label, share in (("teff", 0.4), ("obj_class", 0.7)):
        table = tagged.tag_table(label).table
        value, reason = (table.column(c).to_pylist() for c in ("value", "reason"))
        assert all((v is None) == bool(r) for v, r in zip(value, reason, strict=True))
        assert sum(v is not None for v in value) > share * len(value)
        assert set(table.column("role").to_pylist()) <= {"", *ROLES}
    table = tagged.tag_table("teff").table
    known = np.array(table.column("catalogue").to_pylist(), float)
    roles = np.array(table.column("role").to_pylist())
    assert (roles[np.isnan(known)] == "").all()


def test_a_label_of_stars_is_not_given_to_galaxies_and_quasars(tagged):
    counts = {}
    for kind in ("STAR", "GALAXY", "QSO"):
        value = tagged.tag_table("teff", where=f"truth.obj_class = '{kind}'").table.column("value")
        counts[kind] = (len(value) - value.null_count, len(value))
    assert counts["STAR"][0] > 0.8 * counts["STAR"][1]
    assert counts["GALAXY"][0] + counts["QSO"][0] <= 3


def test_fits_that_a_pipeline_failed_get_values(own, tmp_path):
    stars = own.find("truth.obj_class = 'STAR'", columns=["obs_id", "truth.teff"]).to_pylist()
    lines = [f"{r['obs_id']},{r['truth.teff'] if i % 5 else ''}" for i, r in enumerate(stars)]
    (tmp_path / "pipeline.csv").write_text("\n".join(["obs_id,teff", *lines]) + "\n")
    own.add_catalogue(tmp_path / "pipeline.csv", "obs_id")
    own.tag_train("pipeline.teff", **FAST)
    own.tag_apply()
    found = own.tag_table("teff", where="truth.obj_class = 'STAR'").table
    failed = np.isnan(np.array(found.column("catalogue").to_pylist(), float))
    assert failed.sum() >= 20
    given = ~np.asarray(found.column("value").is_null())[failed]
    assert given.mean() > 0.7


def test_values_are_right_and_units_are_carried(tagged):
    found = tagged.tag_table("teff", where="truth.obj_class = 'STAR' AND snr > 20")
    value, truth = (np.array(found.table.column(c).to_pylist(), float)
                    for c in ("value", "catalogue"))  # fmt: skip
    good = np.isfinite(value) & np.isfinite(truth)
    assert good.sum() > 50
    assert np.median(np.abs(value - truth)[good] / truth[good]) < 0.12
    assert found.unit == "K"
    classes = tagged.tag_table("obj_class", where="snr > 20").table.to_pylist()
    right = [r["value"] == r["catalogue"] for r in classes if r["value"] and r["role"] == "test"]
    assert np.mean(right) > 0.8


def test_one_observation_is_traced_to_model_training_set_and_neighbours(tagged):
    star = tagged.find("truth.obj_class = 'STAR' AND snr > 25", columns=["obs_id"])
    one = star.column(0)[0].as_py()
    tags = {t["tag"]: t for t in tagged.tags(one)}
    teff = tags["teff"]
    assert teff["intervals"]["68"][0] <= teff["value"] <= teff["intervals"]["68"][1]
    assert teff["intervals"]["95"][0] <= teff["intervals"]["68"][0]
    assert teff["catalogue_value"] == pytest.approx(tagged.record(one)["truth.teff"])
    assert "objects" in teff["training"]
    assert teff["model"].startswith("tag.teff.pca.")
    assert len(teff["neighbours"]) == 5
    for near in teff["neighbours"]:
        assert near["obs_id"] != one
        assert near["label"] == pytest.approx(tagged.record(near["obs_id"])["truth.teff"])
    kind = tags["obj_class"]
    assert sum(kind["probability"].values()) == pytest.approx(1)
    assert kind["value"] is None or kind["value"] in kind["sets"]["68"]


def test_what_no_encoder_covers_says_why(tagged):
    row = tagged.members(None)
    assert len(row), "the mock survey has echelle-like spectra that fit no group"
    name = tagged.store.catalogue(row[:1], ["obs_id"]).column(0)[0].as_py()
    for tag in tagged.tags(name):
        assert tag["value"] is None
        assert "cover" in tag["reason"] or "no vector" in tag["reason"]


def test_filters_name_tags_in_full_and_labels_keep_their_names(tagged):
    hot = tagged.find("tags.teff > 7000", columns=["obs_id", "tags.teff", "tags.teff_lo"])
    assert hot.num_rows
    assert min(hot.column("tags.teff").to_pylist()) > 7000
    assert all(r["tags.teff_lo"] <= r["tags.teff"] for r in hot.to_pylist())
    truth = tagged.find("teff > 7000", columns=["truth.teff"])  # still the catalogue's
    assert min(truth.column(0).to_pylist()) > 7000
    assert tagged.find("tags.obj_class = 'QSO' AND tags.obj_class_p > 0.9").num_rows


def test_applying_again_does_nothing_and_new_spectra_are_tagged_alone(own, tmp_path):
    own.tag_train("truth.teff", **FAST)
    first = own.tag_apply("teff").applied[0]
    assert first.new
    again = own.tag_apply("teff").applied[0]
    assert (again.new, again.kept) == (0, first.new)
    write_survey(tmp_path / "more", n=30, seed=77)
    own.ingest([tmp_path / "more" / "spectra"], collection="MORE", workers=0)
    own.embed(components=12)
    more = own.tag_apply("teff").applied[0]
    assert 0 < more.new <= 30
    assert more.kept == first.new
    assert more.without_label == more.new


def test_same_seed_same_tagger(own):
    one = own.tag_train("truth.teff", **FAST).made[0]
    two = own.tag_train("truth.teff", **FAST).made[0]
    assert one.model == two.model
    assert one.test == two.test


@pytest.mark.parametrize(
    ("label", "options", "code"),
    [
        ("nothing", {}, "no_label"),
        ("truth.teff", {"where": "snr > 1e9"}, "no_labels"),
        ("truth.teff", {"where": "truth.teff > 8500"}, "too_few_labels"),
        ("obs_collection", {"kind": "class"}, "constant_label"),
        ("truth.teff", {"models": ["pca.none"]}, "no_model"),
        ("truth.teff", {"heads": ["forest"]}, "unknown_head"),
        ("truth.teff", {"object_column": "nowhere"}, "no_column"),
    ],
)
def test_bad_requests_say_what_is_wrong_and_change_nothing(plain, label, options, code):
    before = plain.store.version
    with pytest.raises(UsageError) as caught:
        plain.tag_train(label, **FAST | options)
    assert caught.value.code == code
    assert plain.refresh().store.version == before
    assert not plain.store.names("tags")


def test_catalogues_with_text_sentinels_gaps_and_no_match(own, survey, tmp_path):
    stars = own.find("truth.teff > 0", columns=["obs_id", "truth.teff"]).to_pylist()
    lines = []
    for i, star in enumerate(stars):
        value = "-9999" if i < 3 else "bad fit" if i < 5 else "" if i < 6 else star["truth.teff"]
        lines.append(f"{star['obs_id']},{value}")
    (tmp_path / "mine.csv").write_text("obs_id,teff\n" + "\n".join(lines) + "\n")
    report = own.tag_train("teff", tmp_path / "mine.csv", name="mine", unit="K", **FAST)
    made = report.made[0]
    assert made.label == "mine.teff"
    assert made.unit == "K"
    assert made.ignored["sentinel -9999"] <= 3
    assert made.ignored["text where a number belongs"] <= 2
    assert report.joined["matched"] == len(stars)
    with pytest.raises(UsageError) as caught:
        own.tag_train("teff", **FAST)
    assert caught.value.code == "ambiguous_label"
    (tmp_path / "other.csv").write_text("obs_id,teff\n" + "x1,5000\nx2,6000\n")
    with pytest.raises(UsageError) as caught:
        own.tag_train("teff", tmp_path / "other.csv", **FAST)
    assert caught.value.code == "no_labels"
    with pytest.raises(UsageError) as caught:
        own.tag_train("logg", tmp_path / "mine.csv", **FAST)
    assert caught.value.code == "no_column"


ODD = "T.eff (10³ K, naïve?) – µ"
HEADINGS = {
    "teff": ("teff", "K"), "logg": ("logg", "log(cm.s**-2)"), "[M/H]": ("m_h", "dex"),
    "[α/M]": ("alpha_m", "dex"), "rv": ("rv", "km/s"), "z": ("z", ""),
    ODD: ("t_eff_103_k_naive_mu", "1000 K"),
}  # fmt: skip
"""Of a catalogue in CSV: what the tag is called, and its unit (those of two the user says)."""


def test_every_label_comes_back_under_its_heading_and_unit(own, tmp_path):
    stars = own.find("truth.teff > 0", columns=[
        "obs_id", "snr", *(f"truth.{n}" for n in ("teff", "logg", "feh", "rv_kms", "z"))
    ]).to_pylist()  # fmt: skip
    for star in stars:
        feh = star.pop("truth.feh")
        star |= {"[M/H]": feh, "[α/M]": 0.1 - 0.2 * feh, "rv": star.pop("truth.rv_kms"),
                 ODD: star["truth.teff"] / 1e3}  # fmt: skip
    rows = [{k.removeprefix("truth."): v for k, v in star.items()} for star in stars]
    with (tmp_path / "mine.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    said = {"rv": "km/s", ODD: "1000 K"}
    for heading, (name, unit) in HEADINGS.items():
        made = own.tag_train(heading, tmp_path / "mine.csv", unit=said.get(heading), **FAST).made[0]
        assert (made.tag, made.unit) == (name, unit)
    own.tag_apply()
    tables = [own.tag_table(heading) for heading in HEADINGS]  # they know a tag by its heading
    assert [t.unit for t in tables] == [unit for _, unit in HEADINGS.values()]
    given = [{r["obs_id"] for r in t.table.to_pylist() if r["value"] is not None} for t in tables]
    best = next(r for r in rows if all(r["obs_id"] in some for some in given))
    done = run("tags", best["obs_id"], "-a", own.path, "--json")
    assert done.exit_code == 0, done.output
    tags = {t["tag"]: t for t in json.loads(done.stdout)}
    assert set(tags) == {name for name, _ in HEADINGS.values()}
    for heading, (name, unit) in HEADINGS.items():
        assert tags[name]["unit"] == unit
        assert tags[name]["catalogue_value"] == pytest.approx(best[heading])
        assert np.isfinite(tags[name]["value"])
    assert tags["teff"]["value"] == pytest.approx(1e3 * tags["t_eff_103_k_naive_mu"]["value"])
    assert own.find("tags.alpha_m > 0").num_rows


@pytest.mark.parametrize(
    ("heading", "name"),
    [("[α/Fe]", "alpha_fe"), ("[Fe/H]", "fe_h"), ("truth.[M/H]", "m_h"), ("Hα", "halpha"),
     ("χ²", "chi2"), ("Δλ", "deltalambda"), ("ς", "sigma"), ("log(g)", "log_g"), ("Å", "a")],
)  # fmt: skip
def test_a_tag_is_called_by_its_heading_in_plain_letters(heading, name):
    assert tag_name(heading, None) == name


def csv_of(archive, path, value):
    ids = archive.find(columns=["obs_id"]).column(0).to_pylist()
    path.write_text("obs_id,teff\n" + "".join(f"{i},{value}\n" for i in ids))
    return path


@pytest.mark.parametrize(
    ("file", "text", "label", "options", "code"),
    [
        ("truth.csv", "5000", "logg", {}, "no_column"),
        ("truth.csv", "nan", "teff", {}, "no_labels"),
        ("new.csv", "nan", "teff", {}, "no_labels"),
        ("new.csv", "unknown", "teff", {"kind": "number"}, "no_labels"),
        ("new.csv", "5000", "teff", {"name": "?"}, "bad_name"),
        ("new.csv", "5000", "teff", {"models": ["pca.none"]}, "no_model"),
        ("tags.csv", "5000", "teff", {}, "reserved_name"),
    ],
)
def test_a_refused_catalogue_is_not_joined(plain, tmp_path, file, text, label, options, code):
    before = plain.store.version
    with pytest.raises(UsageError) as caught:
        plain.tag_train(label, csv_of(plain, tmp_path / file, text), **FAST | options)
    assert caught.value.code == code
    assert plain.refresh().store.version == before
    assert plain.store.names("labels") == ["truth"]


def test_retraining_takes_back_what_the_old_tagger_said(tagged, tmp_path):
    shutil.copytree(tagged.path, tmp_path / "archive")
    archive = sp.open(tmp_path / "archive")
    archive.tag_train("truth.teff", where="snr > 5", **FAST)
    left = {n for n in archive.store.columns() if n.startswith("tags.")}
    assert left == {"tags.obj_class", "tags.obj_class_p"}
    archive.tag_apply("teff")
    assert "tags.teff" in archive.store.columns()
    archive.tag_train("truth.teff", **FAST)
    archive.tag_train("truth.obj_class", **FAST)
    assert "tags" not in archive.store.names("labels")


def test_refitted_vectors_make_a_tag_stale_and_damage_is_noticed(tagged, tmp_path):
    shutil.copytree(tagged.path, tmp_path / "archive")
    archive = sp.open(tmp_path / "archive")
    archive.embed(components=9, refit=True)
    with pytest.raises(UsageError) as caught:
        archive.tag_apply("teff")
    assert caught.value.code == "stale_tagger"
    assert "train" in caught.value.remedy
    name = tagged.find("truth.teff > 0", columns=["obs_id"]).column(0)[0].as_py()
    assert all("refitted" in t["reason"] for t in archive.tags(name))
    shutil.copytree(tagged.path, tmp_path / "damaged")
    for path in (tmp_path / "damaged" / "models").glob("tag.teff*/offsets.npy"):
        path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    with pytest.raises(DataError) as caught:
        sp.open(tmp_path / "damaged").tags(name)
    assert caught.value.code == "hash_mismatch"


def test_untrained_and_unapplied_are_told_apart(own):
    name = own.find(columns=["obs_id"], limit=1).column(0)[0].as_py()
    for ask in (lambda: own.tags(name), own.tag_apply, lambda: own.tag_table("teff")):
        with pytest.raises(UsageError) as caught:
            ask()
        assert caught.value.code == "no_tagger"
    own.tag_train("truth.teff", **FAST)
    with pytest.raises(UsageError) as caught:
        own.tag_table("teff")
    assert caught.value.code == "not_applied"


def test_the_command_line_from_catalogue_to_picture(own, survey, tmp_path):
    folder = own.path
    done = run("tag", "train", "--label", "teff", "--from", survey / "truth.ecsv", "--name", "t",
               "--head", "ridge", "-a", folder, "--json")  # fmt: skip
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)["made"][0]
    assert made["objects"]["train"] >= 0.7 * LEAST_LABELLED
    assert {c["level"] for c in made["test"]["coverage"]} == {0.68, 0.90, 0.95}
    assert "judged now" in run("tag", "apply", "-a", folder).output
    shown = run("tag", "train", "--label", "truth.obj_class", "--head", "ridge", "-a", folder)
    assert shown.exit_code == 0, shown.output
    assert "90 % holds" in shown.output
    run("tag", "apply", "--label", "obj_class", "-a", folder)
    for label in ("t", "obj_class"):
        picture = tmp_path / f"{label}.png"
        done = run("tags", "--label", label, "-a", folder, "--plot", picture)
        assert done.exit_code == 0, done.output
        assert picture.stat().st_size > 20_000
    name = own.refresh().find("truth.teff > 0", columns=["obs_id"]).column(0)[0].as_py()
    text = run("tags", name, "-a", folder).output
    assert "nearest taught" in text
    assert "training set" in text
    assert run("tags", "-a", folder).exit_code != 0
