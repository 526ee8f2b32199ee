"""Maps and the meaning report from a mock archive to the terminal, with what can go wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import spectrarium as sp
from spectrarium.cli.main import main
from spectrarium.domain.errors import UsageError
from spectrarium.run.latents import common_redshift, latent_effects
from spectrarium.run.quantities import Role, quantities


def cli(capsys, *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    out = capsys.readouterr()
    return int(ended.value.code or 0), out.out, out.err


@pytest.fixture(scope="module")
def desk(asked, tmp_path_factory) -> sp.Archive:
    """A copy that may be changed."""
    folder = tmp_path_factory.mktemp("maps") / "archive"
    shutil.copytree(asked.path, folder)
    return sp.open(folder)


# maps -----------------------------------------------------------------------------------------


def test_a_map_is_kept_and_given_back(desk):
    (first, *_) = desk.map("pca", encoder="pca")
    assert first.made
    assert len(first.rows) == len(first.xy) == len(desk.members(first.name))
    again = desk.map("pca", encoder="pca")[0]
    assert not again.made
    assert again.new == 0
    np.testing.assert_array_equal(again.xy, first.xy)
    table = desk.store.table(f"maps/pca.{first.name}")
    assert set(table.column_names) == {"uid", "fingerprint", "x", "y", "placed"}
    meta = json.loads(table.schema.metadata[b"layout"])
    assert meta["quality"]["trustworthiness"] == first.quality.trustworthiness
    assert meta["settings"]["seed"] == 0
    assert desk.map("pca", refit=True)[0].made
    assert desk.map("pca", seed=5)[0].made


def test_new_spectra_are_placed_and_nothing_moves(asked, mock_files, tmp_path):
    files = sorted((mock_files / "spectra").iterdir())
    archive = sp.open(tmp_path / "archive")
    late = files[::9]  # of every kind
    archive.ingest([f for f in files if f not in late], collection="MOCK")
    archive.embed()
    before = archive.map("pca")[0]
    archive.ingest(late, collection="MOCK")
    after = archive.map("pca")[0]
    assert not after.made
    assert 15 <= after.new == int(after.placed.sum()) <= len(late)
    old = dict(zip(before.rows.tolist(), before.xy.tolist(), strict=True))
    kept = [i for i, r in enumerate(after.rows.tolist()) if r in old]
    assert len(kept) == len(before.rows)
    for i in kept:
        assert after.xy[i].tolist() == old[int(after.rows[i])]
    whole = archive.map("pca", refit=True)[0]
    assert not whole.placed.any()
    # a place is near where a layout of everything puts the point, as the report says
    order = {r: i for i, r in enumerate(whole.rows.tolist())}
    fresh = np.flatnonzero(after.placed)
    off = np.linalg.norm(
        after.xy[fresh] - whole.xy[[order[int(after.rows[i])] for i in fresh]], axis=1
    )
    radius = np.sqrt(((whole.xy - whole.xy.mean(axis=0)) ** 2).sum(axis=1).mean())
    assert np.median(off) / radius < 5 * max(before.placement.error, 0.05)


def test_a_past_version_is_mapped_without_writing(desk):
    past = sp.open(desk.path, version=desk.store.version)
    past.map("pca", where="snr > 5")
    assert sp.open(desk.path).store.version == past.store.version


def test_map_on_the_command_line(desk, capsys, tmp_path):
    folder = str(desk.path)
    picture = tmp_path / "map.png"
    code, out, _ = cli(capsys, "map", "-a", folder, "--method", "pca", "--plot", str(picture),
                       "--colour", "truth.teff")  # fmt: skip
    assert code == 0
    assert "trustworthiness" in out
    assert "for looking at only" in out
    assert picture.stat().st_size > 10_000
    code, out, _ = cli(capsys, "map", "-a", folder, "--method", "pca", "--json")
    (record, *_) = json.loads(out)
    assert 0.5 < record["quality"]["trustworthiness"] <= 1
    assert record["placement"]["sample"] > 0
    code, out, _ = cli(capsys, "map", "--help")
    assert "never to measure on" in out
    assert "no meaning" in out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--method", "tsne"), "unknown_method"),
        (("--method", "pca", "--colour", "truth.tef"), "no_column"),
        (("--encoder", "nonsense"), "no_model"),
        (("--model", "pca.nonsense"), "no_model"),
        (("--method", "pca", "--where", "snr > 1e9"), "too_few_spectra"),
    ],
)
def test_map_refuses_in_words(desk, capsys, words, code):
    exit_code, _, err = cli(capsys, "map", "-a", str(desk.path), *words, "--json")
    assert exit_code == 2
    assert json.loads(err)["code"] == code


def test_a_wrong_colour_names_the_nearest(desk):
    with pytest.raises(UsageError, match=r"truth\.teff"):
        desk.column("truth.tef", [])


# meaning --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report(desk):
    against = ("class", "truth.teff", "truth.snr", "truth.mjd", "obs_collection", "truth.z")
    return desk.meaning(against=against)[0]


def test_lines_are_named_at_the_redshift_whatever_was_probed(desk, report):
    other = desk.meaning(against=("truth.teff",))[0]
    known = np.isfinite(other.redshift)
    assert known.any()
    assert other.redshift[known].max() > 1.0
    one = [e.z for e in latent_effects(report, 6)]
    assert [e.z for e in latent_effects(other, 6)] == one
    assert any(z is None or abs(z) > 0.01 for z in one)  # not all are taken to be at rest


def test_pca_knows_temperature_and_not_the_date(report):
    found = {f.quantity.name: f for f in report.findings}
    assert found["truth.teff"].best().score > 0.8
    assert found["truth.teff"].p < 0.05
    assert found["truth.mjd"].best().score < 0.1
    assert found["truth.mjd"].p > 0.05
    assert found["class"].best().metric == "balanced accuracy"
    assert found["class"].best().score > 2 * found["class"].best().chance
    assert "obs_collection" in report.skipped
    assert "MOCK" in report.skipped["obs_collection"]
    assert found["truth.snr"].quantity.role is Role.NUISANCE
    assert set(found["truth.teff"].spaces) == {"own", "pixels"}  # PCA is no peer of its own
    assert found["truth.teff"].quantity.scale == "log10"


def test_latents_are_described(report):
    assert report.shares.sum() == pytest.approx(1.0)
    teff = next(f for f in report.findings if f.quantity.name == "truth.teff")
    best = int(teff.latents.score.argmax())
    assert teff.latents.score[best] > 0.4
    assert teff.latents.null_p[best] < 0.05
    assert teff.latents.bits[best] > 0.3
    first = latent_effects(report, 3)
    assert [e.share for e in first] == sorted((e.share for e in first), reverse=True)
    assert all(np.abs(e.plus - e.minus).max() > 0.01 for e in first)
    np.testing.assert_array_equal(first[0].mean, first[1].mean)


def test_quantities_are_found_once_each_and_ids_are_none(desk):
    found = {q.name: q for q in quantities(desk.store, desk.store.find())}
    assert {"class", "teff", "logg", "feh", "rv_kms", "z"} <= set(found)
    assert not {"object_id", "s_ra", "ra", "dec", "obs_id"} & set(found)
    assert found["rv_kms"].role is found["z"].role is found["date"].role is Role.NUISANCE
    assert found["teff"].role is Role.PHYSICAL


def test_meaning_on_the_command_line(desk, capsys, tmp_path):
    picture, page = tmp_path / "latents.png", tmp_path / "report.md"
    code, out, _ = cli(
        capsys, "meaning", "-a", str(desk.path), "--against", "truth.teff", "--against",
        "truth.rv_kms", "--plot", str(picture), "--out", str(page), "--json",
    )  # fmt: skip
    assert code == 0
    (record, *_) = json.loads(out)
    by_name = {q["quantity"]: q for q in record["quantities"]}
    assert by_name["truth.teff"]["role"] == "physical"
    assert by_name["truth.rv_kms"]["role"] == "nuisance"
    result = by_name["truth.teff"]["spaces"]["own"]["ridge"]
    assert result["interval"][0] <= result["score"] <= result["interval"][1]
    assert picture.stat().st_size > 10_000
    text = page.read_text(encoding="utf-8")
    assert "| log10 truth.teff | physical |" in text
    assert "raw" in text or "pixels" in text


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--against", "truth.nonsense"), "no_column"),
        (("--object", "nonsense"), "no_column"),
        (("--encoder", "nonsense"), "no_model"),
        (("--where", "snr > 1e9"), "too_few_spectra"),
        (("--against", "truth.teff", "--out", "/proc/x/y.md"), "cannot_write"),
    ],
)  # fmt: skip
def test_meaning_refuses_in_words(desk, capsys, words, code):
    exit_code, _, err = cli(capsys, "meaning", "-a", str(desk.path), *words, "--json")
    assert exit_code == 2
    assert json.loads(err)["code"] == code


def test_nothing_embedded_yet(mock_files, tmp_path):
    archive = sp.open(tmp_path / "archive")
    archive.ingest(sorted((mock_files / "spectra").iterdir())[:3], collection="MOCK")
    for ask in (archive.map, archive.meaning):
        with pytest.raises(UsageError) as error:
            ask()
        assert error.value.code == "no_model"


def test_lines_are_named_only_at_a_redshift_that_is_shared():
    latent = np.r_[np.zeros(100), np.full(12, 9.0)]
    shared = np.r_[np.zeros(100), np.full(12, 0.31)]
    mixed = np.r_[np.zeros(100), np.linspace(0.1, 0.6, 12)]
    assert common_redshift(latent, shared) == pytest.approx(0.31)
    assert common_redshift(latent, mixed) is None
    assert common_redshift(latent, np.full(112, np.nan)) == 0.0


def test_the_report_is_written_where_it_can_be(tmp_path: Path):
    from spectrarium.cli.meaning import _write

    _write(tmp_path / "new" / "report.md", "text")
    assert (tmp_path / "new" / "report.md").read_text() == "text"
