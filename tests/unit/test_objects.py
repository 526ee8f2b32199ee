"""Which spectra are of one object, and spools that training splits by them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from embedding_cases import DOMAIN, N_PIX, prepared, spectrum

from spectrarium.domain.errors import TransientError, UsageError
from spectrarium.domain.observation import Observation
from spectrarium.embed.spool import Spool
from spectrarium.embed.training_set import held_out
from spectrarium.run.labels import add_catalogue
from spectrarium.run.objects import objects_of
from spectrarium.store.archive import Archive
from spectrarium.store.writer import add_spectra

ARCSEC = 1.0 / 3600.0
WAVE = np.linspace(4000.0, 7000.0, 50)


def archive_of(folder, sky) -> Archive:
    """sky : (collection, name, ra, dec) of each, ids 0, 1, 2 …"""
    spectra = [
        spectrum(WAVE, np.full(50, 1.0 + i), observation=Observation(
            c, obs_id=str(i), target_name=name, s_ra=ra, s_dec=dec))
        for i, (c, name, ra, dec) in enumerate(sky)
    ]  # fmt: skip
    add_spectra(folder, spectra)
    return Archive(folder)


def labels_of(archive, **options) -> list[int]:
    """Objects as small numbers in order of appearance, rows in order of obs_id."""
    ids = archive.column("obs_id").to_pylist()
    rows = archive.find()
    found = objects_of(archive, rows, **options)
    by_id = {int(ids[row]): int(number) for row, number in zip(rows, found, strict=True)}
    seen: dict[int, int] = {}
    return [seen.setdefault(by_id[i], len(seen)) for i in range(len(rows))]


def test_friends_within_a_radius_are_one_object_across_collections(tmp_path):
    sky = [
        ("A", "x", 10.0, 20.0),
        ("B", "y", 10.0 + 1.0 * ARCSEC, 20.0),  # another name, another survey
        ("A", "z", 10.0 + 2.2 * ARCSEC, 20.0),  # a friend of the friend
        ("A", "x", 10.0, 20.0 + 5 * ARCSEC),  # the same name elsewhere is another object
        ("A", "w", 359.99999, 0.0), ("A", "w", 0.00001, 0.0),  # across 0h: 0.07″
        ("A", "p", 0.0, 89.9999), ("A", "q", 180.0, 89.9999),  # 0.72″ across the pole
    ]  # fmt: skip
    assert labels_of(archive_of(tmp_path / "a", sky)) == [0, 0, 0, 1, 2, 2, 3, 3]


def test_without_a_position_the_name_within_a_collection_decides(tmp_path):
    sky = [
        ("A", "HD 1234", None, None), ("A", "hd_1234", None, None), ("B", "HD 1234", None, None),
        ("A", None, None, None), ("A", None, None, None), ("A", "SKY", None, None),
        ("A", "sky", None, None),
    ]  # fmt: skip
    assert labels_of(archive_of(tmp_path / "a", sky)) == [0, 0, 1, 2, 3, 4, 5]


def test_the_users_column_overrides_and_nulls_fall_back(tmp_path):
    moving = [("A", f"v{i}", 10.0 + i * 10 * ARCSEC, 20.0) for i in range(4)]
    still = [("A", "s", 50.0, 0.0), ("A", "s", 50.0, 0.0)]
    archive = archive_of(tmp_path / "a", moving + still)
    table = tmp_path / "truth.csv"
    table.write_text("obs_id,object_id\n0,Barnard\n1,Barnard\n2,Barnard\n3,Other\n")
    add_catalogue(tmp_path / "a", table, "obs_id")
    archive = Archive(tmp_path / "a")
    assert labels_of(archive) == [0, 1, 2, 3, 4, 4]
    assert labels_of(archive, column="truth.object_id") == [0, 0, 0, 1, 2, 2]
    assert labels_of(archive, column="target_name") == [0, 1, 2, 3, 4, 4]
    with pytest.raises(UsageError) as caught:
        objects_of(archive, archive.find(), column="nothing")
    assert caught.value.code == "no_column"


def test_visits_that_lack_a_column_or_a_position_stay_with_their_object(tmp_path):
    sky = [
        ("A", "m", 10.0, 20.0), ("A", "m", 10.0, 20.0),  # the catalogue names the first visit only
        ("A", "m", None, None),  # a header without coordinates
        ("B", "m", None, None),
    ]  # fmt: skip
    archive = archive_of(tmp_path / "a", sky)
    table = tmp_path / "truth.csv"
    table.write_text("obs_id,object_id\n0,Mira\n")
    add_catalogue(tmp_path / "a", table, "obs_id")
    archive = Archive(tmp_path / "a")
    assert labels_of(archive) == [0, 0, 0, 1]
    assert labels_of(archive, column="truth.object_id") == [0, 0, 0, 1]


def test_numbers_stay_when_spectra_come(tmp_path):
    rng = np.random.default_rng(0)
    places = [(float(r), float(d)) for r, d in rng.uniform(0, 80, (12, 2))]
    first = [("A", None, *places[i % 8]) for i in range(16)]
    archive = archive_of(tmp_path / "a", first)
    before = objects_of(archive, archive.find())
    assert len(set(before.tolist())) == 8
    later = [
        spectrum(WAVE, np.full(50, 99.0 + i), observation=Observation(
            "B", obs_id=f"later{i}", s_ra=ra, s_dec=dec))
        for i, (ra, dec) in enumerate(places)
    ]  # fmt: skip
    add_spectra(tmp_path / "a", later)
    archive = Archive(tmp_path / "a")
    after = objects_of(archive, archive.find())
    np.testing.assert_array_equal(after[:16], before)
    assert len(set(after.tolist())) == 12
    held = held_out(after, 0.3, seed=1)
    np.testing.assert_array_equal(held[:16], held_out(before, 0.3, seed=1))


def test_ten_thousand_visits_of_one_star_are_one_object_at_once(tmp_path):
    """All pairs would be 5e7: the cells keep it small. Rows are synthetic, the archive is not."""

    class Many:
        def __init__(self, archive, n):
            rng = np.random.default_rng(1)
            self.ra = 100.0 + rng.normal(0, 0.3, n) * ARCSEC
            self.dec = 0.0 + rng.normal(0, 0.3, n) * ARCSEC
            self.archive, self.index = archive, self

        def value(self, name, rows):
            return {"s_ra": self.ra, "s_dec": self.dec, "uid": np.arange(len(self.ra))}[name][rows]

        def columns(self):
            return self.archive.columns()

        def column(self, name):
            import pyarrow as pa

            from spectrarium.store.sky import healpix29

            if name == "healpix29":
                return pa.chunked_array([healpix29(self.ra, self.dec)])
            return pa.chunked_array([pa.array([None] * len(self.ra), pa.string())])

    archive = archive_of(tmp_path / "a", [("A", None, 1.0, 1.0)])
    found = objects_of(Many(archive, 10_000), np.arange(10_000))
    assert set(found.tolist()) == {0}


def batch_of(n: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    out = prepared(rng.normal(1, 0.1, (n, N_PIX)), np.full((n, N_PIX), 50.0))
    return replace(out, index=np.arange(n) + 100 * seed)


def test_a_spool_gives_rows_in_the_order_asked(tmp_path):
    first, second = batch_of(70, 1), batch_of(50, 2)
    with Spool(DOMAIN, tmp_path) as spool:
        spool.add(first)
        rows = np.array([5, 4, 3, 60, 61, 62, 0, 69, 5])
        np.testing.assert_array_equal(spool.take(rows)[0], first.flux[rows])
        spool.add(second, np.full(50, 7))
        both = np.concatenate([first.flux, second.flux])
        rows = np.random.default_rng(0).permutation(120)
        flux, ivar = spool.take(rows)
        np.testing.assert_array_equal(flux, both[rows])
        assert (ivar == 50).all()
        assert spool.take(np.array([], int))[0].shape == (0, N_PIX)
        np.testing.assert_array_equal(spool.take(np.arange(120) % 2 == 0)[0], both[::2])
        with pytest.raises(IndexError):
            spool.take(np.array([120]))
        assert len(set(spool.objects[:70].tolist())) == 70
        assert (spool.objects[70:] == 7).all()
        np.testing.assert_array_equal(np.concatenate([b.flux for b in spool()]), both)
        assert spool.folder.parent == tmp_path
    assert not list(tmp_path.iterdir())


def test_a_spool_goes_on_from_its_last_checkpoint(tmp_path):
    folder = tmp_path / "kept"
    with Spool.resumed(DOMAIN, folder) as spool:
        spool.add(batch_of(30, 1))
        spool.checkpoint(40)
        spool.add(batch_of(20, 2))  # never checkpointed: as if the process had been killed
    with (folder / "ivar.bin").open("ab") as file:
        file.write(b"torn")
    with Spool.resumed(DOMAIN, folder) as spool:
        assert (len(spool), spool.given, spool.complete) == (30, 40, False)
        np.testing.assert_array_equal(spool.index, batch_of(30, 1).index)
        spool.add(batch_of(20, 3))
        spool.checkpoint(60, complete=True)
    with Spool.resumed(DOMAIN, folder) as spool:
        assert spool.complete
        both = np.concatenate([batch_of(30, 1).flux, batch_of(20, 3).flux])
        np.testing.assert_array_equal(spool.take(np.arange(50))[0], both)
    (folder / "flux.bin").write_bytes(b"")  # a disk that lost it
    with Spool.resumed(DOMAIN, folder) as spool:
        assert (len(spool), spool.given) == (0, 0)


def test_a_spool_that_was_cut_short_says_so(tmp_path):
    with Spool.resumed(DOMAIN, tmp_path / "s") as spool:
        spool.add(batch_of(30, 1))
        with (tmp_path / "s" / "flux.bin").open("r+b") as file:
            file.truncate(4 * N_PIX * 10)
        with pytest.raises(TransientError) as caught:
            spool.take(np.arange(30))
    assert caught.value.code == "bad_spool"
