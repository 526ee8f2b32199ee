"""The store: bit for bit, versions, identity, filters, cones, windows."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spectrarium.domain.axis import LinearWCS, Medium, Scale, SpecSys, SpectralAxis
from spectrarium.domain.errors import UsageError
from spectrarium.domain.observation import Observation, Provenance
from spectrarium.domain.spectrum import EchelleSpectrum, FlagScheme, Spectrum, UncertaintyKind
from spectrarium.store.archive import Archive
from spectrarium.store.writer import add_spectra, open_writer

RNG = np.random.default_rng(7)
SCHEME = FlagScheme("TEST", {0: "BAD", 3: "SKY"}, 1)


def make(i, n=300, **changes):
    """A spectrum with every kind of array, float32 log-λ grid shared by all."""
    rng = np.random.default_rng(i)
    loglam = np.linspace(3.58, 3.96, n).astype("f4")
    fields = {
        "axis": SpectralAxis(
            unit="Angstrom", values=loglam, scale=Scale.LOG10, medium=Medium.VACUUM,
            specsys=SpecSys.HELIOCEN,
        ),
        "flux": rng.normal(10, 1, n).astype("f4"),
        "uncertainty": rng.uniform(0.5, 2, n).astype("f8"),
        "uncertainty_kind": UncertaintyKind.IVAR,
        "flags": rng.integers(0, 9, n).astype("i4"), "flag_scheme": SCHEME,
        "flux_unit": "1e-17 erg / (s cm2 Angstrom)",
        "extras": {"wdisp": rng.uniform(1, 2, n).astype("f4"), "ormask": np.arange(n, dtype="i2")},
        "observation": Observation(
            obs_collection="TEST", obs_id=f"t-{i}", target_name=f"HD {i}", s_ra=float(i % 360),
            s_dec=float(i % 60), snr=float(i), instrument_name="BOSS" if i % 2 else "HARPS",
            metadata={"teff": 5000.0 + i, "note": "ü 'quoted'"},
        ),
        "provenance": Provenance(path=f"/data/{i}.fits", reader="test", hdu=1),
    }  # fmt: skip
    return Spectrum(**(fields | changes))


def same(a, b):
    """Equal to the last bit, with dtypes."""
    for name in ("flux", "uncertainty", "flags"):
        x, y = getattr(a, name), getattr(b, name)
        assert (x is None) == (y is None)
        if x is not None:
            assert x.dtype == y.dtype
            assert x.tobytes() == y.tobytes()
    assert a.axis.coordinate().tobytes() == b.axis.coordinate().tobytes()
    assert a.axis.coordinate().dtype == b.axis.coordinate().dtype
    assert (a.axis.unit, a.axis.medium, a.axis.specsys, a.axis.scale) == (
        b.axis.unit, b.axis.medium, b.axis.specsys, b.axis.scale)  # fmt: skip
    assert set(a.extras) == set(b.extras)
    for name, x in a.extras.items():
        assert x.tobytes() == b.extras[name].tobytes()
        assert x.dtype == b.extras[name].dtype
    assert dict(a.observation.metadata) == dict(b.observation.metadata)
    assert a.flag_scheme == b.flag_scheme
    assert a.provenance == b.provenance
    return True


def long_spectrum(n=100_003):
    axis = SpectralAxis(unit="Angstrom", wcs=LinearWCS(3781.19, 0.01, 1.0, n), medium=Medium.AIR)
    flux = RNG.normal(size=n)
    flux[5] = np.nan
    return make(900_001, n=n, axis=axis, flux=flux, uncertainty=None,
                uncertainty_kind=UncertaintyKind.NONE, flags=None, flag_scheme=None,
                extras={"blaze": RNG.normal(size=n).astype("f4")})  # fmt: skip


def echelle():
    wave = np.linspace(4000, 5000, 6 * 3000).reshape(6, 3000)
    return EchelleSpectrum(
        axis=SpectralAxis(unit="Angstrom", values=wave), flux=RNG.normal(size=(6, 3000)),
        order_numbers=tuple(range(90, 84, -1)), trace="A",
        observation=Observation(obs_collection="ECH", obs_id="e"),
        provenance=Provenance(path="/e", reader="t"),
    )  # fmt: skip


def test_spectra_come_back_bit_for_bit(tmp_path):
    spectra = [make(i) for i in range(40)] + [long_spectrum(), echelle()]
    assert add_spectra(tmp_path / "a", spectra) == 42
    archive = Archive(tmp_path / "a")
    assert len(archive) == 42
    for s in spectra:
        assert same(s, archive.read(s.observation.obs_id))
    back = archive.read("e")
    assert isinstance(back, EchelleSpectrum)
    assert back.order_numbers == (90, 89, 88, 87, 86, 85)
    assert archive.verify() == []


def test_shared_grid_is_stored_once(tmp_path):
    add_spectra(tmp_path / "a", [make(i) for i in range(20)])
    assert len(Archive(tmp_path / "a").dataset("grids")) == 1


def test_same_spectrum_twice_is_one_and_a_change_is_a_version(tmp_path):
    root = tmp_path / "a"
    add_spectra(root, [make(1), make(2), make(1)])
    before = Archive(root)
    assert len(before) == 2
    assert add_spectra(root, [make(2), make(1)]) == 0
    changed = make(1, flux=make(1).flux + 1)
    assert add_spectra(root, [changed]) == 1
    now = Archive(root)
    assert len(now) == 2
    assert same(now.read("t-1"), changed)
    assert now.catalogue([now.resolve("t-1")], ["obs_version"]).column(0)[0].as_py() == 2
    assert same(before.read("t-1"), make(1)), "an open reader keeps its version"
    assert same(Archive(root, before.version).read("t-1"), make(1)), "as of a past version"
    elsewhere = make(1).replace(provenance=Provenance(path="/copy.fits", reader="test", hdu=1))
    assert add_spectra(root, [elsewhere]) == 0, "a copy with known content is no new version"
    assert add_spectra(root, [make(1)]) == 1, "the file was changed back: its content counts"
    assert same(Archive(root).read("t-1"), make(1))


def test_same_id_in_two_collections_is_two_and_must_be_named(tmp_path):
    other = make(1).replace(observation=Observation(obs_collection="OTHER", obs_id="t-1"))
    add_spectra(tmp_path / "a", [make(1), other])
    archive = Archive(tmp_path / "a")
    with pytest.raises(UsageError, match="2 collections") as caught:
        archive.read("t-1")
    assert "OTHER:t-1" in caught.value.remedy
    assert archive.read("OTHER:t-1").observation.obs_collection == "OTHER"
    assert archive.read("ivo://spectrarium.local/TEST?t-1").observation.target_name == "HD 1"


def test_without_own_id_the_content_hash_is_the_identity(tmp_path):
    anonymous = make(5).replace(observation=Observation(obs_collection="X"))
    elsewhere = anonymous.replace(provenance=Provenance(path="/moved.fits", reader="test", hdu=1))
    add_spectra(tmp_path / "a", [anonymous, elsewhere])
    assert len(Archive(tmp_path / "a")) == 1


def test_unknown_id_suggests_near_ones(tmp_path):
    add_spectra(tmp_path / "a", [make(i) for i in range(30)])
    with pytest.raises(UsageError, match="no observation") as caught:
        Archive(tmp_path / "a").read("t-1x")
    assert "t-1" in caught.value.remedy


@pytest.mark.parametrize(("lo", "hi"), [(3800, 3801), (3781.19, 3781.195), (4000.0, 4700.0),
                                        (0, 1e9)])  # fmt: skip
def test_window_of_a_long_spectrum_is_the_slice_of_the_whole(tmp_path, lo, hi):
    s = long_spectrum()
    add_spectra(tmp_path / "a", [make(1), s])
    got = Archive(tmp_path / "a").window("t-900001", lo, hi)
    wave = s.wave_aa
    inside = (wave >= lo) & (wave <= hi)
    assert got.flux.tobytes() == s.flux[inside].tobytes()
    assert np.array_equal(got.wave_aa, wave[inside])
    assert got.extras["blaze"].tobytes() == s.extras["blaze"][inside].tobytes()


def test_window_on_a_grid_and_outside(tmp_path):
    add_spectra(tmp_path / "a", [make(3)])
    archive = Archive(tmp_path / "a")
    got = archive.window("t-3", 5000, 6000)
    wave = make(3).wave_aa
    inside = (wave >= 5000) & (wave <= 6000)
    assert got.uncertainty.tobytes() == make(3).uncertainty[inside].tobytes()
    with pytest.raises(UsageError, match="no sample"):
        archive.window("t-3", 100, 200)
    with pytest.raises(UsageError, match="empty"):
        archive.window("t-3", 6000, 5000)


def test_descending_wcs_window(tmp_path):
    n = 20_000
    axis = SpectralAxis(unit="nm", wcs=LinearWCS(900.0, -0.01, 1.0, n))
    s = make(8, n=n, axis=axis)
    add_spectra(tmp_path / "a", [s])
    got = Archive(tmp_path / "a").window("t-8", 7500, 7600)
    inside = (s.wave_aa >= 7500) & (s.wave_aa <= 7600)
    assert np.array_equal(got.wave_aa, s.wave_aa[inside])
    assert got.flags.tobytes() == s.flags[inside].tobytes()


def test_echelle_window_keeps_whole_orders(tmp_path):
    s = echelle()
    add_spectra(tmp_path / "a", [s])
    got = Archive(tmp_path / "a").window("e", 4200, 4250)
    assert isinstance(got, EchelleSpectrum)
    assert got.order_numbers == (89,)
    assert got.flux.tobytes() == s.flux[1:2].tobytes()


def test_find_by_filter_cone_and_target(tmp_path):
    add_spectra(tmp_path / "a", [make(i) for i in range(1, 60)])
    archive = Archive(tmp_path / "a")
    ids = archive.catalogue(archive.find(where="snr > 50 AND instrument_name = 'HARPS'"),
                            ["obs_id"]).column(0).to_pylist()  # fmt: skip
    assert ids == ["t-52", "t-54", "t-56", "t-58"]
    rows, distance = archive.cone(10.0, 10.0, 1.5)
    assert archive.catalogue(rows, ["obs_id"]).column(0).to_pylist()[0] == "t-10"
    assert len(rows) == 3
    assert np.all(np.diff(distance) >= 0)
    assert len(archive.find(target="hd_17")) == len(archive.find(target="HD17")) == 1
    assert len(archive.find(target="HD 177")) == 0
    assert len(archive.find(cone=(10, 10, 1.5), where="snr < 10")) == 1


def test_cone_agrees_with_brute_force_everywhere(tmp_path):
    rng = np.random.default_rng(3)
    spectra = [
        make(i, n=12).replace(observation=Observation(
            obs_collection="SKY", obs_id=str(i), s_ra=float(rng.uniform(0, 360)),
            s_dec=float(np.degrees(np.arcsin(rng.uniform(-1, 1))))))
        for i in range(800)
    ]  # fmt: skip
    nowhere = Observation(obs_collection="SKY", obs_id="none")
    spectra.append(make(9999, n=12).replace(observation=nowhere))
    add_spectra(tmp_path / "a", spectra)
    archive = Archive(tmp_path / "a")
    from astropy import units as u
    from astropy.coordinates import SkyCoord

    has = [s for s in spectra if s.observation.s_ra is not None]
    places = [(s.observation.s_ra, s.observation.s_dec) for s in has]
    sky = SkyCoord(places, unit="deg")
    cones = [(0, 0, 5), (359.99, 1, 20), (12, 89.9, 10), (200, -90, 3), (5, 5, 180)]
    for ra, dec, radius in cones:
        near = sky.separation(SkyCoord(ra, dec, unit="deg")) <= radius * u.deg
        want = {has[i].observation.obs_id for i in np.flatnonzero(near)}
        rows, _ = archive.cone(ra, dec, radius)
        assert set(archive.catalogue(rows, ["obs_id"]).column(0).to_pylist()) == want


@pytest.mark.parametrize("cone", [(400, 0, 1), (0, 91, 1), (0, 0, 0), (0, 0, float("nan"))])
def test_impossible_cones_are_refused(tmp_path, cone):
    add_spectra(tmp_path / "a", [make(1)])
    with pytest.raises(UsageError):
        Archive(tmp_path / "a").find(cone=cone)


def test_newer_archives_are_refused_untouched(tmp_path):
    root = tmp_path / "a"
    add_spectra(root, [make(1)])
    path = root / "manifest.json"
    raw = json.loads(path.read_text())
    path.write_text(json.dumps(raw | {"format": 99}))
    for action in (lambda: Archive(root), lambda: add_spectra(root, [make(2)])):
        with pytest.raises(UsageError, match="format 99") as caught:
            action()
        assert caught.value.code == "newer_archive"
    path.write_text(json.dumps(raw))
    assert len(Archive(root)) == 1


def test_compaction_keeps_past_versions_and_order(tmp_path):
    root = tmp_path / "a"
    for i in range(12):
        add_spectra(root, [make(i)])
    middle = Archive(root).version - 4
    with open_writer(root) as writer:
        writer.compact()
    archive = Archive(root)
    assert len(archive.dataset("pixels").lance.get_fragments()) == 1
    assert archive.index.tail_rows == 0
    for i in range(12):
        assert same(archive.read(f"t-{i}"), make(i))
    past = Archive(root, middle)
    assert len(past) == 8
    assert same(past.read("t-3"), make(3))
    add_spectra(root, [make(50)])
    assert same(Archive(root).read("t-50"), make(50))
    assert same(Archive(root).read("t-0"), make(0))


def test_a_folder_with_other_things_is_not_taken_over(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match="not empty"):
        add_spectra(tmp_path, [make(1)])
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_scan_visits_every_current_spectrum_once(tmp_path):
    root = tmp_path / "a"
    add_spectra(root, [make(i) for i in range(50)] + [long_spectrum()])
    add_spectra(root, [make(3, flux=make(3).flux * 2)])
    archive = Archive(root)
    seen = [s.observation.obs_id for _, batch in archive.scan(batch=7) for s in batch]
    assert sorted(seen) == sorted([f"t-{i}" for i in range(50)] + ["t-900001"])
