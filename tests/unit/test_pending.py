"""What questions keep of spectra that came since: read back whole, merged, and never believed."""

from __future__ import annotations

import numpy as np
import pytest

from spectrarium.run import pending
from spectrarium.run.pending import Pending, forget, keep, kept

HASH, D = "ab" * 32, 3


def made(prints, seed=0, refused=()) -> Pending:
    prints = np.asarray(prints, np.int64)
    vectors = np.random.default_rng(seed).standard_normal((len(prints), D)).astype("f4")
    return Pending(prints, vectors, np.isin(prints, refused))


def test_what_was_kept_is_found_by_its_content(tmp_path):
    assert not len(kept(tmp_path, "pca.a", HASH, D).fingerprint)
    one, two = made([7, 3], refused=[3]), made([2**62, 5], 1)
    keep(tmp_path, "pca.a", HASH, one, one.fingerprint)
    keep(tmp_path, "pca.a", HASH, two, two.fingerprint)
    back = kept(tmp_path, "pca.a", HASH, D)
    at = back.at(np.array([5, 3, 4, 2**62, 7]))
    assert at[2] == -1
    np.testing.assert_array_equal(back.vectors[at[[0, 4]]], [two.vectors[1], one.vectors[0]])
    assert back.refused[at[[0, 1, 3, 4]]].tolist() == [False, True, False, False]


def test_it_is_of_one_embedding_and_one_model(tmp_path):
    keep(tmp_path, "pca.a", HASH, made([1]), np.array([1]))
    assert not len(kept(tmp_path, "pca.b", HASH, D).fingerprint)
    assert not len(kept(tmp_path, "pca", HASH, D).fingerprint)
    assert not len(kept(tmp_path, "pca.a", "cd" * 32, D).fingerprint)
    assert not len(kept(tmp_path, "pca.a", "cd" * 32, D + 1).fingerprint)
    keep(tmp_path, "pca.b", HASH, made([2]), np.array([2]))
    forget(tmp_path, "pca.a")
    assert not len(kept(tmp_path, "pca.a", HASH, D).fingerprint)
    assert kept(tmp_path, "pca.b", HASH, D).fingerprint.tolist() == [2]


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "folder"])
def test_a_damaged_file_is_not_read_and_the_others_are(tmp_path, damage):
    keep(tmp_path, "pca.a", HASH, made([1]), np.array([1]))
    (path,) = (tmp_path / pending.FOLDER).iterdir()
    keep(tmp_path, "pca.a", HASH, made([2], 1), np.array([1, 2]))
    data = bytearray(path.read_bytes())
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        data[len(data) // 2] ^= 0xFF
        path.write_bytes({"cut": data[: len(data) // 2], "flip": data, "empty": b""}[damage])
    assert kept(tmp_path, "pca.a", HASH, D).fingerprint.tolist() == [2]


def test_many_files_become_one_of_what_is_still_pending(tmp_path):
    every = [made([i], i) for i in range(pending.MOST_FILES + 1)]
    for i, one in enumerate(every):
        wanted = np.arange(1, i + 1)  # 0 is no longer
        keep(tmp_path, "pca.a", HASH, one, wanted)
    assert len(list((tmp_path / pending.FOLDER).iterdir())) == 1
    back = kept(tmp_path, "pca.a", HASH, D)
    assert sorted(back.fingerprint) == list(range(1, len(every)))
    for i, one in enumerate(every[1:], 1):
        np.testing.assert_array_equal(back.vectors[back.at(np.array([i]))], one.vectors)


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "indexes").write_text("in the way")
    keep(tmp_path, "pca.a", HASH, made([1]), np.array([1]))
    assert not len(kept(tmp_path, "pca.a", HASH, D).fingerprint)
    forget(tmp_path, "pca.a")
