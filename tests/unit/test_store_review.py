"""The store under hard use: died writers, odd values, odd names, wrong answers that look right."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_store import make, same

from spectrarium.domain.errors import DataError, UsageError
from spectrarium.domain.observation import Provenance
from spectrarium.run.labels import add_catalogue
from spectrarium.store.archive import Archive
from spectrarium.store.codec import encode
from spectrarium.store.writer import BatchBuilder, add_spectra, open_writer


def observed(i, **changes):
    """Spectrum i with some fields of its observation changed."""
    s = make(i)
    return s.replace(observation=dataclasses.replace(s.observation, **changes))


def named(archive, where):
    """obs_ids that a filter finds."""
    return archive.catalogue(archive.find(where=where), ["obs_id"]).column(0).to_pylist()


def data_files(root):
    return list((root / "pixels.lance" / "data").iterdir())


# writers that died -----------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_pixels_of_an_interrupted_writer_are_taken_back(tmp_path, error):
    root = tmp_path / "a"

    def interrupted():
        with open_writer(root) as writer:
            builder = BatchBuilder(writer.root)
            builder.add(encode(make(1)), make(1))
            writer.stage(builder.build())
            raise error

    with pytest.raises(error):
        interrupted()
    assert len(data_files(root)) == 1
    with open_writer(root):
        pass
    assert data_files(root) == []


def test_death_just_before_the_very_first_commit(tmp_path):
    (tmp_path / "a" / "manifests").mkdir(parents=True)
    (tmp_path / "a" / ".manifest.json.4711").write_text("{")
    assert add_spectra(tmp_path / "a", [make(1)]) == 1
    (tmp_path / "a" / "manifests" / ".7.json.4711").write_text("{")
    (tmp_path / "a" / "writer.dirty").touch()
    add_spectra(tmp_path / "a", [make(2)])
    assert list((tmp_path / "a").rglob(".*json*")) == []


def test_a_manifest_that_was_never_committed_is_no_version(tmp_path):
    root = tmp_path / "a"
    add_spectra(root, [make(1)])
    now = Archive(root).version
    (root / "manifests" / f"{now + 1}.json").write_text(
        json.dumps(json.loads((root / "manifest.json").read_text()) | {"version": now + 1})
    )
    with pytest.raises(UsageError) as caught:
        Archive(root, now + 1)
    assert caught.value.code == "no_version"
    (root / "manifest.json").write_text("{damaged")
    assert len(Archive(root, now)) == 1, "past versions open even if the present one does not"


def test_a_lost_derived_table_is_named(tmp_path):
    root = tmp_path / "a"
    add_spectra(root, [make(1)])
    with open_writer(root) as writer:
        writer.put_table("scores/x", pa.table({"uid": [1]}))
    shutil.rmtree(root / "scores" / "x.lance")
    with pytest.raises(DataError, match="scores/x") as caught:
        add_spectra(root, [make(2)])
    assert caught.value.code == "bad_archive"


# values ----------------------------------------------------------------------------------------


def test_impossible_positions_are_no_positions(tmp_path):
    root = tmp_path / "a"
    add_spectra(root, [observed(1, s_dec=-999.0), observed(2, s_ra=-9999.0), make(3)])
    archive = Archive(root)
    for name in ("t-1", "t-2"):
        record = archive.catalogue([archive.resolve(name)]).to_pylist()[0]
        assert record["s_ra"] is None
        assert record["s_dec"] is None
        assert "impossible position" in record["warnings"]
    assert len(archive.find(cone=(0, 0, 180))) == 1


def test_nan_says_nothing(tmp_path):
    add_spectra(tmp_path / "a", [observed(1, redshift=np.nan), observed(2, redshift=3.0)])
    archive = Archive(tmp_path / "a")
    assert named(archive, "redshift > 2") == ["t-2"]
    assert named(archive, "redshift IS NULL") == ["t-1"]


def test_names_that_are_no_text_are_stored_spelt_out(tmp_path):
    s = make(1).replace(provenance=Provenance(path="/data/\udcff.fits", reader="test"))
    add_spectra(tmp_path / "a", [s])
    archive = Archive(tmp_path / "a")
    assert archive.catalogue([0], ["access_path"]).column(0).to_pylist() == ["/data/\\xff.fits"]
    assert archive.read("t-1").provenance.path == "/data/\udcff.fits"


def test_a_value_of_the_wrong_kind_fails_before_anything_is_staged(tmp_path):
    with open_writer(tmp_path / "a") as writer:
        builder = BatchBuilder(writer.root)
        bad = observed(1, t_exptime="1200 s")
        with pytest.raises(TypeError, match="t_exptime"):
            builder.add(encode(bad), bad)
        builder.add(encode(make(2)), make(2))
        writer.stage(builder.build())
        assert writer.commit() == (1, 0)


def test_numpy_numbers_are_numbers(tmp_path):
    s = observed(1, redshift=np.float32(0.5), calib_level=np.int16(3), snr=7)
    add_spectra(tmp_path / "a", [s])
    record = Archive(tmp_path / "a").catalogue([0]).to_pylist()[0]
    assert (record["redshift"], record["calib_level"], record["snr"]) == (0.5, 3, 7.0)


# identity --------------------------------------------------------------------------------------


def test_two_files_with_one_identifier_do_not_replace_each_other_for_ever(tmp_path):
    root = tmp_path / "a"
    other = make(1, flux=make(1).flux * 2).replace(
        provenance=Provenance(path="/other.fits", reader="test")
    )
    add_spectra(root, [make(1)])
    add_spectra(root, [other])
    for _ in range(2):
        assert add_spectra(root, [make(1), other]) == 0
    assert len(Archive(root)) == 1
    assert same(Archive(root).read("t-1"), other)


def test_a_file_changed_back_within_one_commit(tmp_path):
    root = tmp_path / "a"
    changed = make(1, flux=make(1).flux * 2)
    assert add_spectra(root, [make(1), changed, make(1)]) == 3
    archive = Archive(root)
    assert len(archive) == 1
    assert same(archive.read("t-1"), make(1))
    assert archive.catalogue([archive.resolve("t-1")], ["obs_version"])[0][0].as_py() == 3


def test_colliding_keys_are_an_error_not_a_loss(tmp_path, monkeypatch):
    import spectrarium.store.codec as codec
    from spectrarium.domain.errors import InternalError

    monkeypatch.setattr(codec, "uid_of", lambda *_: 7)
    add_spectra(tmp_path / "a", [make(1)])
    with pytest.raises(InternalError) as caught:
        add_spectra(tmp_path / "a", [make(2)])
    assert caught.value.code == "uid_collision"
    assert same(Archive(tmp_path / "a").read("t-1"), make(1))


def test_collections_with_colons(tmp_path):
    add_spectra(tmp_path / "a", [observed(1, obs_collection="A:B"), observed(1)])
    archive = Archive(tmp_path / "a")
    assert archive.read("A:B:t-1").observation.obs_collection == "A:B"
    for row in archive.catalogue([0, 1], ["obs_publisher_did", "obs_collection"]).to_pylist():
        found = archive.read(row["obs_publisher_did"]).observation.obs_collection
        assert found == row["obs_collection"]


def test_looking_up_is_quick_when_everything_was_replaced(tmp_path):
    root = tmp_path / "a"
    add_spectra(root, [make(i, n=12) for i in range(30)])
    archive = Archive(root)
    archive._all._superseded = np.arange(10**7, dtype=np.int64) + 10  # one release
    assert archive.current(np.array([3, 9, 10, 12])).tolist() == [3, 9]
    assert archive.current(np.array([10**7 + 9, 10**7 + 10])).tolist() == [10**7 + 10]
    archive._all._superseded = np.empty(0, np.int64)
    assert archive.current(np.array([3])).tolist() == [3]


# damage ----------------------------------------------------------------------------------------


def flip(root, needle):
    """Change one byte of the pixel file right after `needle`."""
    for path in data_files(root):
        data = bytearray(path.read_bytes())
        at = data.find(needle)
        if at >= 0:
            data[at + 10] ^= 0x40
            path.write_bytes(data)
            return
    raise AssertionError("those bytes are not there")


def test_verify_finds_flipped_bits_and_goes_on(tmp_path):
    root = tmp_path / "a"
    anonymous = observed(77, obs_id=None)
    add_spectra(root, [make(i) for i in range(6)] + [anonymous])
    assert Archive(root).verify() == []
    flip(root, make(2).flux.tobytes()[:64])
    flip(root, make(4).uncertainty.tobytes()[:64])
    found = Archive(root).verify()
    assert [e.where for e in found] == ["TEST:t-2", "TEST:t-4"]
    assert {e.code for e in found} == {"damaged_spectrum"}


# labels and filters ----------------------------------------------------------------------------


def labelled(tmp_path, n=5, name="cat", **options):
    def with_columns(**columns):
        if not (tmp_path / "a").exists():
            add_spectra(tmp_path / "a", [make(i) for i in range(n)])
        table = pa.table({"obs_id": [f"t-{i}" for i in range(n)], **columns})
        pq.write_table(table, tmp_path / f"{name}.parquet")
        add_catalogue(tmp_path / "a", tmp_path / f"{name}.parquet", "obs_id", **options)
        return Archive(tmp_path / "a")

    return with_columns


@pytest.mark.parametrize("odd", ["e_Teff(K)", "my col", "class", "order", "a.b", 'a"b', "a`b", "é",
                                 "x ", "__row", "select"])  # fmt: skip
def test_columns_with_odd_names(tmp_path, odd):
    archive = labelled(tmp_path)(**{odd: [1.0, 2, 3, 4, 5]})
    (name,) = [c for c in archive.columns() if c.startswith("cat.") and c != "cat.obs_id"]
    bare = name.removeprefix("cat.")
    quoted = '"' + bare.replace('"', '""') + '"'
    assert named(archive, f"{quoted} > 3") == ["t-3", "t-4"]
    assert named(archive, f"cat.{quoted} > 3") == ["t-3", "t-4"]
    assert archive.catalogue([4], [name]).column(0).to_pylist() == [5.0]


def test_columns_that_differ_in_case_only(tmp_path):
    """Galactic latitude b and magnitude B stand in many catalogues."""
    archive = labelled(tmp_path)(**{"b": [1.0, 2, 3, 4, 5], "B": [10.0, 10, 10, 10, 11]})
    assert named(archive, "B > 10") == ["t-4"]
    assert named(archive, "b > 10") == []
    assert named(archive, "cat.b > 4") == ["t-4"]
    with pytest.raises(UsageError, match="case"):
        named(archive, "b > 1 AND B > 1")
    assert named(archive, "SNR > 3") == ["t-4"], "where case does not matter it is free"


def test_one_name_in_two_label_sets_must_be_told_apart(tmp_path):
    labelled(tmp_path, name="one")(teff=[1.0, 2, 3, 4, 5])
    archive = labelled(tmp_path, name="two")(teff=[5.0, 4, 3, 2, 1])
    assert named(archive, "one.teff > 4") == ["t-4"]
    assert named(archive, "two.teff > 4") == ["t-0"]
    with pytest.raises(UsageError) as caught:
        named(archive, "teff > 4")
    assert "one.teff" in caught.value.remedy


def test_nan_in_a_label_is_null(tmp_path):
    archive = labelled(tmp_path)(x=[1.0, np.nan, 3.0, None, 5.0])
    assert named(archive, "x > 2") == ["t-2", "t-4"]
    assert named(archive, "x IS NULL") == ["t-1", "t-3"]
    assert named(archive, "NOT x > 2") == ["t-0"]


def test_what_cannot_be_computed_does_not_match(tmp_path):
    archive = labelled(tmp_path)(x=[1.0, -1.0, 0.0, 100.0, 5.0])
    assert named(archive, "log(x) >= 0") == ["t-0", "t-3", "t-4"]
    assert named(archive, "sqrt(x) > 2") == ["t-3", "t-4"]
    assert named(archive, "x / x > 0") == ["t-0", "t-1", "t-3", "t-4"]
    assert named(archive, "power(x, 0.5) > 2") == ["t-3", "t-4"]


def test_like_with_escape(tmp_path):
    add_spectra(tmp_path / "a", [observed(1, target_name="HD_1"), observed(2, target_name="HD 2")])
    archive = Archive(tmp_path / "a")
    assert named(archive, "target_name LIKE 'HD!_%' ESCAPE '!'") == ["t-1"]
    assert named(archive, r"target_name LIKE 'HD\_%' ESCAPE '\'") == ["t-1"]
    assert named(archive, "target_name LIKE 'HD_%'") == ["t-1", "t-2"]


def test_the_key_column_of_the_archive_is_not_overwritten(tmp_path):
    archive = labelled(tmp_path, columns=["uid", "x"])(uid=[9, 9, 9, 9, 9], x=[1, 2, 3, 4, 5])
    assert named(archive, "x > 4") == ["t-4"]
    assert named(archive, "uid_ = 9") == [f"t-{i}" for i in range(5)]


def test_labels_as_of_a_past_version(tmp_path):
    first = labelled(tmp_path)(x=[1.0, 2, 3, 4, 5])
    labelled(tmp_path)(x=[5.0, 4, 3, 2, 1])
    assert named(Archive(tmp_path / "a", first.version), "x > 4") == ["t-4"]
    assert named(Archive(tmp_path / "a"), "x > 4") == ["t-0"]
    add_spectra(tmp_path / "a", [make(0, flux=make(0).flux + 1)])
    assert named(Archive(tmp_path / "a"), "x > 4") == ["t-0"], "a new version keeps its labels"


def test_long_grids_of_their_own_stay_within_a_bound(tmp_path, monkeypatch):
    import spectrarium.store.pixels as module

    def own_grid(i):
        s = make(i, n=2000)
        return s.replace(
            axis=dataclasses.replace(s.axis, values=s.axis.values + np.float32(i) / 99)
        )

    add_spectra(tmp_path / "a", [own_grid(i) for i in range(30)])
    archive = Archive(tmp_path / "a")
    archive.pixels._grid_cache = module._Recent(512, max_bytes=10 * 8000)
    for i, s in enumerate(archive.read_rows(np.arange(30))):
        assert same(s, own_grid(i))
    assert archive.pixels._grid_cache._bytes <= 10 * 8000
    assert len(archive.pixels._grid_cache._items) == 10
