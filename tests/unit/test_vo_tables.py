"""The archive as tables: what they hold is what it holds, joined by identifiers, hidden or not."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from astropy.io.votable.ucd import check_ucd
from embedding_cases import spectrum

import spectrarium as sp
from spectrarium.domain.errors import UsageError
from spectrarium.domain.observation import Observation
from spectrarium.domain.visibility import Visibility
from spectrarium.mock import write_survey
from spectrarium.publish.obscore import obscore_table
from spectrarium.publish.publisher import Publisher
from spectrarium.publish.tap_tables import ArchiveTables
from spectrarium.run.quantities import ucd_of
from spectrarium.run.table_columns import RESERVED, identifiers, served
from spectrarium.run.table_kinds import embedding_named
from spectrarium.run.table_rows import DID, TableRows
from spectrarium.run.tables import tables_of

HIDING = Visibility(hidden=frozenset({"SECRET"}))
DRAWN = pa.list_(pa.float32(), 12)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """260 mock spectra with vectors, tags of two kinds and scores, and two that are hidden."""
    folder = tmp_path_factory.mktemp("tables")
    write_survey(folder, n=260, seed=8)
    made = sp.open(folder / "archive")
    made.ingest([folder / "spectra"], collection="MOCK", workers=0)
    made.add_catalogue(folder / "truth.ecsv", "obs_id")
    wave = np.linspace(4000.0, 7000.0, 600)
    made.ingest([
        spectrum(wave, np.ones(600), observation=Observation(
            "SECRET", obs_id=f"s{i}", target_name="Hidden", s_ra=10.0, s_dec=i)) for i in (1, 2)
    ] + [spectrum(wave, np.ones(600), observation=Observation("NO PLACE", obs_id="a b"))],
        workers=0)  # fmt: skip
    made.embed(components=12)
    made.tag_train("truth.teff", heads=["ridge"])
    made.tag_train("truth.obj_class", heads=["ridge"])
    made.tag_apply()
    made.outliers(k=1)
    return made


def dids(named: pa.Table) -> pa.Array:
    return pc.binary_join_element_wise("ivo://x/", named.column("obs_collection"), "?",
                                       named.column("obs_id"), "")  # fmt: skip


@pytest.fixture(scope="module")
def tables(archive):
    return tables_of(TableRows(archive.store, dids))


@pytest.fixture(scope="module")
def rows(tables):
    return {name: table.arrow() for name, table in tables.items()}


def test_all_tables_are_there(tables, rows):
    kinds = {re.sub(r"_pca.*", "", n) for n in tables}
    own = ("observations", "tags", "scores", "models", "embedding", "labels_truth", "labels_tags")
    assert kinds == {f"spectra.{name}" for name in own}
    for name, table in tables.items():
        found = rows[name]
        assert found.column_names == [c.name for c in table.columns], name
        assert [f.type for f in found.schema] == [c.type for c in table.columns], name
        assert table.rows in (None, found.num_rows), name


def test_every_column_says_what_it_is(tables):
    for name, table in tables.items():
        assert table.about
        abouts = [c.about for c in table.columns]
        assert len(set(abouts)) == len(abouts), (name, "two columns say the same of themselves")
        for column in table.columns:
            assert check_ucd(column.ucd, check_controlled_vocabulary=True), (name, column)
            assert column.about, (name, column.name)
            assert column.ucd, (name, column.name)
            assert re.fullmatch(r"[A-Za-z]\w*", column.name), column.name
            assert column.name.lower() not in RESERVED, (name, column.name)


def test_learnt_tags_say_what_their_ends_are(tables):
    said = {c.name: c for c in tables["spectra.labels_tags"].columns}
    assert said["teff_lo"].about == "teff: lower end of the 68 % interval"
    assert said["teff_hi"].about == "teff: upper end of the 68 % interval"
    assert said["obj_class_p"].about == "obj_class: probability of the class told"
    assert {n: c.ucd for n, c in said.items() if n != DID} == {
        "teff": "phys.temperature.effective", "teff_lo": "phys.temperature.effective;stat.min",
        "teff_hi": "phys.temperature.effective;stat.max", "obj_class": "src.class",
        "obj_class_p": "stat.probability;src.class",
    }  # fmt: skip
    assert {n for n, c in said.items() if c.unit == "K"} == {"teff", "teff_lo", "teff_hi"}


@pytest.mark.parametrize(("name", "words", "ucd"), [
    ("Teff", False, "phys.temperature.effective"), ("logg", False, "phys.gravity"),
    ("feh", False, "phys.abund.Fe"), ("redshift", False, "src.redshift"),
    ("z", False, "src.redshift"), ("rv_kms", False, "spect.dopplerVeloc"),
    ("obj_class", True, "src.class"), ("whatever", False, "stat.value"), ("note", True, "meta"),
])  # fmt: skip
def test_names_that_say_enough_have_their_ucd(name, words, ucd):
    assert ucd_of(name, words) == ucd


def test_observations_lead_to_their_links_where_these_are_named(archive, monkeypatch):
    made = []
    monkeypatch.setattr("spectrarium.publish.tap_tables.obscore_table",
                        lambda *given: made.append(given[-1]) or obscore_table(*given))  # fmt: skip
    publisher = Publisher(authority="org.example.test", base="http://x")
    table = ArchiveTables(archive.store, publisher).all["spectra.observations"]
    plain = table.some(["obs_id", "healpix29"])
    assert plain.column_names == ["obs_id", "healpix29"]
    assert made == []
    found = table.some(["access_format", DID, "access_url"])
    assert found.column_names == [DID, "access_url", "access_format"]
    one = found.slice(5, 1).to_pylist()[0]
    assert one["access_format"] == "application/x-votable+xml;content=datalink"
    assert unquote(one["access_url"]) == f"http://x/vo/datalink/links?ID={one[DID]}"
    whole = table.arrow()
    assert whole.column_names == [c.name for c in table.columns]
    assert whole.column("access_url") == found.column("access_url")
    assert len(whole) == len(archive)


def test_observations_lie_along_the_sky(archive, rows):
    found = rows["spectra.observations"]
    assert found.num_rows == len(archive) == 263
    cells = found.column("healpix29").to_pylist()
    assert cells[-1] is None  # what has no place
    assert cells[:-1] == sorted(cells[:-1])
    assert len(set(found.column(DID).to_pylist())) == 263
    row = found.slice(5, 1).to_pylist()[0]
    store = archive.store
    own = store.catalogue([store.resolve(f"{row['obs_collection']}:{row['obs_id']}")]).to_pylist()[
        0
    ]
    for name in ("s_ra", "snr", "redshift", "instrument_name", "em_min", "file_hash"):
        assert row[name] == own[name], name
    assert row["file_name"] == own["access_path"].rsplit("/", 1)[-1]
    assert "access_path" not in found.column_names


def test_nothing_is_not_a_number(rows):
    for name, table in rows.items():
        for column, field in zip(table.columns, table.schema, strict=True):
            if pa.types.is_floating(field.type):
                assert not pc.any(pc.is_nan(column)).as_py(), (name, field.name)


def test_tags_hold_what_the_taggers_say(archive, rows):
    found = rows["spectra.tags"].to_pylist()
    said = {(r["tag"], r[DID], r["coverage"]): r for r in found}
    assert len(said) == len(found)
    for row in found[::97]:
        identity = row[DID].removeprefix("ivo://x/").replace("?", ":", 1)
        own = next(t for t in archive.tags(identity) if t["tag"] == row["tag"])
        assert row["model_id"] == own["model"]
        assert row["abstained"] == int(own["value"] is None) == int(bool(row["reason"]))
        level = f"{100 * row['coverage']:g}"
        if row["tag_kind"] == "number" and own["value"] is not None:
            told = [row["number"], row["lowest"], row["highest"]]  # summed in another order
            assert told == pytest.approx([own["value"], *own["intervals"][level]], rel=1e-9)
            assert row["tag_unit"] == "K"
        elif own["value"] is not None:
            assert row["word"] == own["value"]
            assert row["class_set"].split(" | ") == own["sets"][level]
            assert 0 < row["probability"] <= 1


def test_scores_are_ranked(rows):
    found = rows["spectra.scores"].to_pylist()
    first = [r for r in found if r["strangeness_rank"] == 1]
    assert len(first) == len({(r["score"], r["embedding"]) for r in found})
    for best in first:
        mine = [r["significance"] for r in found if r["score"] == best["score"]
                and r["significance"] is not None]  # fmt: skip
        assert best["significance"] == max(mine)
    for r in found:
        assert (r["number"] is None) == bool(r["reason"])


def test_distances_of_vectors_are_those_of_similar(archive, tables, rows):
    name = next(n for n in tables if "embedding" in n)
    found = rows[name]
    assert found.schema.field("vector").type == DRAWN
    vectors = np.array(found.column("vector").to_pylist())
    did = found.column(DID).to_pylist()
    far = np.linalg.norm(vectors - vectors[7], axis=1)
    query = did[7].removeprefix("ivo://x/").replace("?", ":", 1)
    answers = archive.similar(query, k=5).answers
    mine = [did[i].rsplit("?", 1)[1] for i in np.argsort(far)[1:6]]
    ids = archive.store.catalogue([a.row for a in answers], ["obs_id"]).column(0).to_pylist()
    assert mine == ids
    np.testing.assert_allclose(np.sort(far)[1:6], [a.value for a in answers], rtol=1e-4)


def test_models_tell_their_cards(rows, tables):
    found = {r["model_kind"]: r for r in rows["spectra.models"].to_pylist()}
    assert set(found) == {"encoder", "tagger"}
    assert found["encoder"]["table_name"] in tables
    assert found["encoder"]["latent"] == 12
    assert json.loads(found["encoder"]["card"])["name"] == found["encoder"]["model_name"]
    assert json.loads(found["tagger"]["card"])["tagger"] == found["tagger"]["model_name"]


def test_what_is_hidden_is_in_no_table(archive):
    source = TableRows(archive.store.seen_by(HIDING), dids)
    for name, table in tables_of(source).items():
        found = table.arrow()
        text = json.dumps(found.to_pylist(), default=str) + table.about
        assert "SECRET" not in text, name
        assert "Hidden" not in text, name
        assert table.rows in (None, found.num_rows), name
        if "models" in name:  # what they were trained on may have been hidden
            assert found.column("card").null_count == found.num_rows
            assert found.column("training").null_count == found.num_rows


def test_of_nothing_only_the_catalogue_is_a_table(archive):
    source = TableRows(archive.store.seen_by(Visibility(only=frozenset())), dids)
    found = tables_of(source)
    assert list(found) == ["spectra.observations"]
    assert found["spectra.observations"].arrow().num_rows == 0


def test_embeddings_by_name(archive, tables):
    source = TableRows(archive.store, dids)
    table = next(n for n in tables if "embedding" in n)
    own = archive.store.names("embeddings")[0]
    for name in (own, own.upper(), table, table.removeprefix("spectra.embedding_"), f" {own} "):
        assert embedding_named(source, name) == own
    with pytest.raises(UsageError) as error:
        embedding_named(source, "x' OR 1=1")
    assert error.value.code == "unknown_model"


def test_names_become_identifiers():
    assert identifiers(["a", "A", "select", "Fe/H", "2mass", "", "é", "value", "a_2"]) == [
        "a", "A_2", "select_", "Fe_H", "c_2mass", "unnamed", "unnamed_2", "value_", "a_2_2",
    ]  # fmt: skip


def test_types_that_adql_does_not_know():
    assert served(pa.array([True, None])).to_pylist() == [1, None]
    assert served(pa.array([["a", "b"], None])).to_pylist() == ["a | b", None]
    assert served(pa.array([np.nan, 1.0, np.inf])).to_pylist() == [None, 1.0, np.inf]
    assert served(pa.array(["x", None]).dictionary_encode()).to_pylist() == ["x", None]
    assert served(pa.array([3], pa.uint8())).type == pa.int16()
    assert served(pa.nulls(2)).type == pa.string()
    assert served(pa.array([b"ab"])).type == pa.string()
