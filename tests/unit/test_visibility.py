"""An archive of which a part is hidden answers as one that never held that part."""

from __future__ import annotations

import dataclasses
import inspect
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_store import make, same

from spectrarium.domain.errors import InternalError, UsageError
from spectrarium.domain.observation import Provenance
from spectrarium.domain.visibility import EVERYTHING, Visibility
from spectrarium.run.labels import add_catalogue
from spectrarium.store.archive import Archive
from spectrarium.store.codec import encode
from spectrarium.store.writer import BatchBuilder, open_writer

HIDING = Visibility(frozenset({"SECRET", "not there"}))
ONLY = Visibility(only=frozenset({"OPEN"}))
SHARED_ID = "both"
MARK = 4711.25
"""S/N of all that is hidden: no answer may hold it."""


def observed(i, collection, obs_id=None, **changes):
    """Spectrum i of a collection; hidden ones say so in every text of theirs."""
    s = make(i, n=60)
    secret = collection == "SECRET"
    about = dataclasses.replace(
        s.observation, obs_collection=collection,
        obs_id=obs_id or f"{collection.lower()}-{i}",
        target_name=f"{'Hidden' if secret else 'HD'} {i // 2}", s_ra=10.0 + 0.01 * i, s_dec=5.0,
        snr=MARK if secret else float(i), target_class="SECRETCLASS" if secret else "STAR",
        instrument_name="SECRETINSTRUMENT" if secret else "BOSS",
    )  # fmt: skip
    path = f"/{collection.lower()}/{about.obs_id}.fits"
    return s.replace(observation=about, provenance=Provenance(path=path, reader="test"), **changes)


def spectra(with_secret):
    first = [observed(i, "SECRET" if i % 2 else "OPEN") for i in range(12)]
    first += [observed(12, "OPEN", SHARED_ID), observed(13, "SECRET", SHARED_ID)]
    again = [observed(i, "SECRET" if i % 2 else "OPEN", flux=np.full(60, 3.0 + i, "f4"))
             for i in (2, 3)]  # fmt: skip
    return [[s for s in some if with_secret or s.observation.obs_collection == "OPEN"]
            for some in (first, again)]  # fmt: skip


def receipt(path, status="ok", **more):
    values = {"path": path, "member": None, "size": 1, "mtime_ns": 1, "file_hash": "x",
              "reader": "test", "status": status, "n_stored": int(status == "ok"),
              "n_unchanged": 0, "n_quarantined": int(status == "bad_item"), "hdu": None,
              "row": None, "code": None, "reason": None, "remedy": None, "declared": None,
              "seq": 1, "time_mjd": 60000.0}  # fmt: skip
    return values | more


def build(root, with_secret=True):
    """The archive, with labels, vectors, a score, a map and tags; or what is open of it alone."""
    for some in spectra(with_secret):
        with open_writer(root) as writer:
            builder = BatchBuilder(writer.root)
            for s in some:
                builder.add(encode(s), s)
                builder.receipts.append(receipt(s.provenance.path))
            writer.stage(builder.build())
            writer.commit()
    if with_secret:
        with open_writer(root) as writer:
            builder = BatchBuilder(writer.root)
            builder.receipts.append(receipt("/secret/broken.fits", "bad_item", code="truncated"))
            builder.receipts.append(receipt("/open/open-0.fits", "bad_item", code="no_flux", hdu=2))
            writer.stage(builder.build())
            writer.commit()
    archive = Archive(root)
    rows = archive.find()
    ids = archive.catalogue(rows, ["obs_id"]).column(0).to_pylist()
    ids = [i for i in ids if i != SHARED_ID]  # which of the two a label is for is not known
    teff = [MARK if i.startswith("secret") else 5000.0 + int(i.split("-")[1]) for i in ids]
    labels = root.parent / "cat.parquet"
    pq.write_table(pa.table({"obs_id": ids, "teff": teff}), labels)
    add_catalogue(root, labels, "obs_id")
    if with_secret:
        hidden = [i for i in ids if i.startswith("secret")]
        pq.write_table(pa.table({"obs_id": hidden, "secretcolumn": [MARK] * len(hidden)}),
                       root.parent / "secretlabels.parquet")  # fmt: skip
        add_catalogue(root, root.parent / "secretlabels.parquet", "obs_id")
    put_derived(root)
    return root


def put_derived(root):
    archive = Archive(root)
    rows = archive.find()
    table = archive.catalogue(rows, ["uid", "fingerprint", "snr", "obs_collection"])
    mine = table.select(["uid", "fingerprint"])
    made = mine.append_column("significance", table.column("snr"))
    made = made.append_column("x", table.column("snr")).append_column("y", table.column("snr"))
    made = made.replace_schema_metadata({"model_id": "m@1", "note": "kept"})
    mask = pa.array([c == "SECRET" for c in table.column("obs_collection").to_pylist()])
    with open_writer(root) as writer:
        for name in ("embeddings/pca.all", "scores/density.pca.all", "maps/umap.pca.all",
                     "tags/teff.pca.all"):  # fmt: skip
            writer.put_table(name, made)
        trained = pa.table({"model_id": ["m@1"], "spectra": [int(MARK)]})
        writer.put_table("trained/pca.all", trained)
        if any(mask.to_pylist()):
            for name in ("embeddings/pca.secretmodel", "scores/density.pca.secretmodel"):
                writer.put_table(name, made.filter(mask))
            writer.put_table("trained/pca.secretmodel", trained)


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    both = tmp_path_factory.mktemp("both")
    alone = tmp_path_factory.mktemp("alone")
    return build(both / "a"), build(alone / "a", with_secret=False)


@pytest.fixture(scope="module")
def whole(roots):
    return Archive(roots[0])


@pytest.fixture(scope="module")
def alone(roots):
    """The archive that never held what is hidden: what every answer has to be."""
    return Archive(roots[1])


@pytest.fixture(params=[HIDING, ONLY], ids=["hidden", "only"])
def seen(roots, request):
    return Archive(roots[0], visibility=request.param)


def ids_of(archive, rows):
    return archive.catalogue(rows, ["obs_id"]).column(0).to_pylist()


def hidden_rows(whole):
    return whole.find(where="obs_collection = 'SECRET'")


def told(value, depth=0):
    """Everything that an answer says, as text."""
    if isinstance(value, (pa.Table, pa.RecordBatch)):
        return f"{value.schema.names} {value.to_pylist()}"
    if isinstance(value, (pa.ChunkedArray, pa.Array)):
        return str(value.to_pylist())
    if isinstance(value, np.ndarray):
        return str(value.tolist())
    if isinstance(value, dict):
        return " ".join(f"{k} {told(v, depth + 1)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return " ".join(told(v, depth + 1) for v in value)
    if hasattr(value, "observation"):
        return f"{value.observation} {value.provenance}"
    return str(value)


def is_silent(text):
    return not any(w in text for w in ("SECRET", "secret", "Hidden", str(MARK)))


# the value itself ------------------------------------------------------------------------------


def test_a_visibility_says_what_is_seen_and_keys_caches():
    assert EVERYTHING.everything
    assert not HIDING.everything
    assert not ONLY.everything
    assert HIDING.sees("OPEN")
    assert HIDING.sees(None)
    assert not HIDING.sees("SECRET")
    assert ONLY.sees("OPEN")
    assert not ONLY.sees("other")
    assert not ONLY.sees(None)
    assert not Visibility(frozenset({"A"}), frozenset({"A"})).sees("A"), "hidden wins"
    assert {HIDING: 1}[Visibility(frozenset({"not there", "SECRET"}))] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        HIDING.hidden = frozenset()


# the same as an archive without it -------------------------------------------------------------


def test_counts_and_catalogue_are_those_of_what_is_open(seen, alone, whole):
    assert len(whole) == 14
    assert len(seen) == len(alone) == 7
    assert len(seen.superseded) == len(alone.superseded) == 1
    names = [c for c in alone.columns() if c not in ("ingest_mjd",)]
    assert list(seen.columns()) == list(alone.columns())
    theirs = alone.catalogue(alone.find(), names)
    mine = seen.catalogue(seen.find(), names)
    assert mine.to_pydict() == theirs.to_pydict()
    assert seen.names("labels") == alone.names("labels") == ["cat"]


@pytest.mark.parametrize(
    "where",
    ["snr > 3", "snr IS NULL OR snr > 0", "NOT (snr < 0)", f"snr = {MARK}", "target_name LIKE '%'",
     "obs_collection = 'SECRET'", "obs_collection IS NULL", "obs_collection <> 'OPEN'",
     "cat.teff > 0", "teff IS NULL", "class = 'SECRETCLASS'", "class = 'STAR'", "gal_l > 0",
     "obs_version = 2", "access_path LIKE '/secret%'", "TRUE"],
)  # fmt: skip
def test_filters_find_what_the_open_archive_finds(seen, alone, where):
    assert sorted(ids_of(seen, seen.find(where=where))) == sorted(
        ids_of(alone, alone.find(where=where))
    )


def test_cone_and_target_find_what_the_open_archive_finds(seen, alone, whole):
    rows, distance = seen.cone(10.05, 5.0, 0.2)
    theirs, their_distance = alone.cone(10.05, 5.0, 0.2)
    assert ids_of(seen, rows) == ids_of(alone, theirs)
    assert distance.tolist() == their_distance.tolist()
    assert len(whole.cone(10.05, 5.0, 0.2)[0]) == 14
    assert len(seen.find(target="hidden 2")) == 0
    assert ids_of(seen, seen.find(target="hd2")) == ids_of(alone, alone.find(target="hd2"))
    assert len(seen.find(limit=3)) == 3


def test_what_is_hidden_is_unknown_by_every_name(seen, alone, whole):
    row = hidden_rows(whole)[0]
    name, did = (whole.catalogue([row], [c]).column(0)[0].as_py()
                 for c in ("obs_id", "obs_publisher_did"))  # fmt: skip
    for words in (name, f"SECRET:{name}", did, "nothing-like-it"):
        with pytest.raises(UsageError) as mine:
            seen.resolve(words)
        with pytest.raises(UsageError) as theirs:
            alone.resolve(words)
        a, b = mine.value.record(), theirs.value.record()
        assert (a["code"], a["reason"], a["remedy"]) == (b["code"], b["reason"], b["remedy"])
    assert whole.resolve(name) == row


def test_an_id_that_is_in_a_hidden_collection_too_is_not_ambiguous(seen, whole):
    with pytest.raises(UsageError, match="2 collections"):
        whole.resolve(SHARED_ID)
    assert seen.catalogue([seen.resolve(SHARED_ID)], ["obs_collection"]).to_pylist() == [
        {"obs_collection": "OPEN"}]  # fmt: skip


def test_a_hint_never_names_what_is_hidden(seen, whole):
    with pytest.raises(UsageError) as caught:
        whole.resolve("secret-111")
    assert "secret-11" in caught.value.remedy
    with pytest.raises(UsageError) as caught:
        seen.resolve("secret-111")
    assert is_silent(caught.value.remedy)
    with pytest.raises(UsageError) as caught:
        seen.find(where="secretcolum > 1")
    assert "secretlabels" not in str(caught.value)


@pytest.mark.parametrize("many", [1, 300])
def test_identities_that_are_hidden_have_no_row(seen, whole, many):
    rows = whole.find()
    uids = np.tile(whole.index.value("uid", rows), many)
    mine, theirs = seen.rows_of(uids), whole.rows_of(uids)
    secret = np.isin(theirs, hidden_rows(whole))
    assert (mine[secret] == -1).all()
    assert (mine[~secret] == theirs[~secret]).all()


def test_rows_that_are_hidden_read_as_rows_that_there_are_not(seen, whole):
    good = int(seen.find()[0])
    bad = int(hidden_rows(whole)[0])
    gone = whole.catalogue_rows
    readers = {
        "read_rows": lambda r: seen.read_rows([good, r]),
        "catalogue": lambda r: seen.catalogue([good, r]),
        "label": lambda r: seen.catalogue([r], ["cat.teff"]),
        "classes": lambda r: seen.classes([r]),
        "window": lambda r: seen.window(r, 4000, 5000),
        "numpy window": lambda r: seen.window(np.int64(r), 4000, 5000),
        "windows": lambda r: seen.windows([r], [(4000.0, 5000.0)]),
        "extras": lambda r: seen.extras([r]),
        "scan": lambda r: list(seen.scan(np.array([r]))),
        "files_seen": lambda r: seen.files_seen([r]),
        "index": lambda r: seen.index.value("uid", np.array([r])),
    }
    for what, read in readers.items():
        errors = []
        for row in (bad, gone, gone + 10**6, -1):
            with pytest.raises(UsageError) as caught:
                read(row)
            errors.append(str(caught.value).replace(f"row {row}", "row N"))
            assert caught.value.code == "unknown_id"
        assert len(set(errors)) == 1, what
    assert seen.current(np.array([bad, good, -1, gone])).tolist() == [good]


def test_files_of_which_a_part_is_hidden_are_not_seen(seen, whole, monkeypatch):
    """By their path or by their bytes; those without a path are nobody's."""
    n = whole.catalogue_rows
    hidden, good = hidden_rows(whole), seen.find()
    path, content = [f"/f{i}" for i in range(n)], [f"h{i}" for i in range(n)]
    path[good[0]], content[good[1]], path[good[2]] = path[hidden[0]], content[hidden[0]], None
    columns = {"access_path": pa.chunked_array([path]), "file_hash": pa.chunked_array([content])}
    monkeypatch.setattr(type(whole._all), "column", lambda self, name: columns[name])
    fresh = Archive(whole.root, visibility=seen.visibility)
    fresh._sight.__dict__["seen"] = seen._sight.seen
    assert fresh.files_seen(good).tolist() == [False, False, *[True] * (len(good) - 2)]
    assert whole.files_seen(good).all()
    assert fresh.files_seen([]).tolist() == []


def test_superseded_rows_of_hidden_collections_are_hidden_too(seen, whole):
    of = whole.catalogue(whole.superseded, ["obs_collection"]).column(0).to_pylist()
    old = whole.superseded[np.array(of) == "SECRET"].tolist()
    assert len(old) == 1
    with pytest.raises(UsageError):
        seen.read_rows(old)
    assert old[0] not in seen.superseded


def test_spectra_come_out_as_they_were_delivered(seen, whole):
    rows = seen.find()
    for a, b in zip(seen.read_rows(rows), whole.read_rows(rows), strict=True):
        same(a, b)
    scanned = [s.observation.obs_id for _, some in seen.scan() for s in some]
    assert sorted(scanned) == sorted(ids_of(seen, rows))
    assert seen.read("open-4").observation.obs_id == "open-4"
    assert len(seen.window("open-4", 4000, 5000).flux) > 5


def test_whole_columns_are_null_where_it_is_hidden(seen, whole):
    bad = hidden_rows(whole)
    for name in [*seen.columns(), *seen.derived]:
        column = seen.any_column(name)
        assert len(column) == whole.catalogue_rows
        values = column.take(pa.array(bad))
        nothing = values.null_count + sum(v != v for v in values.to_pylist() if v is not None)
        assert nothing == len(bad), name
        good = seen.find()
        mine, theirs = column.take(pa.array(good)), whole.any_column(name).take(pa.array(good))
        assert mine.to_pylist() == theirs.to_pylist(), name


def test_an_index_of_a_part_finds_that_part_only(seen, whole):
    bad = hidden_rows(whole)
    uids = whole.index.value("uid", bad)
    assert not seen.index.has("uid", uids).any()
    assert all(len(seen.index.equal("uid", int(u))) == 0 for u in uids)
    everywhere = np.array([[0, 2**62]])
    assert not np.isin(bad, seen.index.in_ranges("healpix29", everywhere)).any()
    for name in ("uid", "fingerprint", "pixel_row", "n_tiles"):
        assert (seen.index.column(name)[bad] == -1).all()
    assert np.isnan(seen.index.column("s_ra")[bad]).all()
    assert (whole.index.column("uid")[bad] == uids).all(), "and nothing is spoilt for others"
    with pytest.raises(InternalError):
        seen.index.add(pa.table({}))
    with pytest.raises(InternalError):
        seen.index.compacted()


def test_derived_tables_hold_what_may_be_seen(seen, alone, whole):
    for prefix in ("embeddings", "scores", "maps", "tags", "trained", "labels"):
        assert seen.names(prefix) == alone.names(prefix), prefix
    assert whole.names("embeddings") == ["pca.all", "pca.secretmodel"]
    for name in ("embeddings/pca.all", "scores/density.pca.all", "maps/umap.pca.all"):
        table = seen.table(name)
        assert table.num_rows == seen.held(name) == len(seen.dataset(name)) == 7
        assert table.schema.metadata == whole.table(name).schema.metadata
        assert (seen.rows_of(table.column("uid").to_numpy()) >= 0).all()
        assert MARK not in table.column("significance").to_pylist()
        only = seen.table(name, ["significance"])
        assert only.column_names == ["significance"]
        assert only.num_rows == 7
        batches = list(seen.dataset(name).batches(["x"], 4))
        assert [b.num_rows for b in batches] == [4, 3]
        assert seen.dataset(name).table(["x"], 2, 3).num_rows == 3
        assert MARK not in seen.dataset(name).take([0, 6]).column("x").to_pylist()
    for name in ("embeddings/pca.secretmodel", "trained/pca.secretmodel", "labels/secretlabels"):
        for ask in (seen.dataset, seen.table):
            with pytest.raises(UsageError) as caught:
                ask(name)
            assert caught.value.code == "no_dataset"
        assert not seen.has(name)
        assert seen.held(name) == 0
        assert whole.has(name)
    assert seen.held("embeddings/none") == whole.held("embeddings/none") == 0


def test_the_archives_own_datasets_give_their_schema_only(seen, whole):
    for name in ("catalogue", "pixels", "receipts", "superseded", "grids"):
        assert seen.dataset(name).lance.schema == whole.dataset(name).lance.schema
        for ask in (lambda d: d.table(), lambda d: d.take([0]), lambda d: list(d.batches(None, 5)),
                    len):  # fmt: skip
            with pytest.raises(UsageError) as caught:
                ask(seen.dataset(name))
            assert caught.value.code == "not_allowed"
        with pytest.raises(AttributeError):
            seen.dataset(name).lance.to_table()
    with pytest.raises(UsageError):
        _ = seen.pixels


def test_raw_samples_of_what_is_hidden_are_not_passed_over(seen, whole):
    bad = set(whole.index.value("uid", hidden_rows(whole)).tolist())
    found = [u for b in seen.scan_arrays(["uid"]) for u in b.column("uid").to_pylist()]
    assert len(found) == 8, "a superseded one among them"
    assert not bad & set(found)
    (first, *_) = list(seen.scan_arrays(["flux"]))
    assert first.schema.names == ["flux"]
    assert sum(b.num_rows for b in seen.scan_arrays(["flux"])) == 8


def test_receipts_and_counts_are_of_files_that_hold_only_what_is_open(seen, alone, whole):
    assert len(whole.quarantine()) == 2
    assert [q["path"] for q in seen.quarantine()] == ["/open/open-0.fits"]
    assert is_silent(told(seen.receipts()))
    mine, theirs = seen.status(), alone.status()
    for name in ("observations", "superseded", "collections", "labels", "models", "scores",
                 "files_stored"):  # fmt: skip
        assert mine[name] == theirs[name], name
    assert mine["bytes"] is None
    assert whole.status()["bytes"] > 0
    assert whole.status()["files_seen"] > mine["files_seen"]


def test_verify_reads_what_may_be_seen(roots, tmp_path, seen):
    root = tmp_path / "copy"
    shutil.copytree(roots[0], root)
    assert seen.verify() == []
    hit = 0
    secret = observed(5, "SECRET").flux.tobytes()[:64]
    for path in (root / "pixels.lance" / "data").iterdir():
        data = path.read_bytes()
        if secret in data:
            path.write_bytes(data.replace(secret, bytes(64)))
            hit += 1
    assert hit == 1
    assert [e.where for e in Archive(root).verify()] == ["SECRET:secret-5"]
    assert Archive(root, visibility=seen.visibility).verify() == []


# nothing is forgotten --------------------------------------------------------------------------

ASKED = {
    "seen_by": lambda a: len(a.seen_by(a.visibility)),
    "version": lambda a: a.version, "restricted": lambda a: a.restricted,
    "names": lambda a: [a.names(p) for p in ("labels", "embeddings", "scores", "maps", "tags",
                                             "trained")],
    "has": lambda a: a.has("embeddings/pca.all"), "held": lambda a: a.held("embeddings/pca.all"),
    "dataset": lambda a: a.dataset("labels/cat").table(),
    "index": lambda a: [a.index.column(n) for n in ("s_ra", "s_dec")],
    "superseded": lambda a: a.superseded, "current": lambda a: a.current(np.arange(16)),
    "resolve": lambda a: a.resolve("open-0"), "rows_of": lambda a: a.rows_of([1, 2]),
    "read": lambda a: a.read("open-0"), "read_rows": lambda a: a.read_rows(a.find()),
    "window": lambda a: a.window("open-0", 4000, 5000),
    "windows": lambda a: a.windows(a.find(), [(4000.0, 5000.0)] * len(a.find())),
    "extras": lambda a: a.extras(a.find()),
    "column": lambda a: [a.column(c) for c in ("obs_id", "snr", "target_name", "access_path",
                                               "target_class", "instrument_name", "metadata")],
    "catalogue": lambda a: a.catalogue(a.find()), "columns": lambda a: a.columns(),
    "label_column": lambda a: [a.label_column(c) for c in a.columns() if "." in c],
    "classes": lambda a: a.classes(a.find()), "derived": lambda a: list(a.derived),
    "any_column": lambda a: [a.any_column(c) for c in a.derived],
    "cone": lambda a: ids_of(a, a.cone(10.05, 5.0, 1.0)[0]),
    "find": lambda a: ids_of(a, a.find()), "scan": lambda a: list(a.scan()),
    "scan_arrays": lambda a: list(a.scan_arrays(["header"])),
    "receipts": lambda a: a.receipts(), "quarantine": lambda a: a.quarantine(),
    "status": lambda a: {k: v for k, v in a.status().items() if k != "archive"},
    "table": lambda a: [a.table(f"{p}/{n}") for p in ("labels", "embeddings", "scores", "maps",
                                                      "tags") for n in a.names(p)],
    "verify": lambda a: a.verify(), "files_seen": lambda a: a.files_seen(a.find()).tolist(),
}  # fmt: skip
RAW = {"catalogue_rows", "pixels"}
"""The length of columns, which is not to be shown; refused where something may be hidden."""


def test_no_method_of_an_archive_says_anything_of_what_is_hidden(seen, whole):
    public = {n for n, _ in inspect.getmembers(Archive) if not n.startswith("_")}
    assert public == set(ASKED) | RAW, "a new method has to be asked here too"
    for name, ask in ASKED.items():
        assert is_silent(told(ask(seen))), name
    loud = [name for name, ask in ASKED.items() if not is_silent(told(ask(whole)))]
    assert len(loud) >= 15, "what is hidden would show"


def test_eyes_share_what_is_open(whole):
    part = whole.seen_by(HIDING)
    assert len(part) == 7
    assert part.version == whole.version
    again = part.seen_by(EVERYTHING)
    assert len(again) == 14
    assert again.index is whole.index
    assert again.column("snr") is whole.column("snr")
    assert not again.restricted


def test_what_hides_nothing_changes_nothing(roots, whole):
    other = Archive(roots[0], visibility=Visibility(frozenset({"no such collection"})))
    assert other.restricted, "it may hide something tomorrow"
    assert ids_of(other, other.find()) == ids_of(whole, whole.find())
    assert len(other) == 14


def test_where_everything_is_hidden_nothing_is_there(roots):
    nothing = Archive(roots[0], visibility=Visibility(only=frozenset()))
    assert len(nothing) == 0
    assert len(nothing.find()) == 0
    assert nothing.names("embeddings") == nothing.names("labels") == []
    assert nothing.status()["collections"] == {}
    assert nothing.rows_of(np.arange(400)).tolist() == [-1] * 400
    assert list(nothing.scan()) == []
    with pytest.raises(UsageError):
        nothing.resolve("open-0")


def test_an_empty_archive_hides_nothing(tmp_path):
    with open_writer(tmp_path / "a"):
        pass
    empty = Archive(tmp_path / "a", visibility=HIDING)
    assert len(empty) == 0
    assert empty.find("snr > 1").tolist() == []


def test_a_past_version_hides_the_same(roots, whole):
    past = Archive(roots[0], 1, visibility=HIDING)
    assert len(past) == 7
    assert is_silent(told(past.catalogue(past.find())))
