"""Every pool of real spectra, written out as ordinary files, comes back out of the archive."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from real_data_archive import Filled, fill
from real_data_truth import FORMATS, POOLS

import spectrarium as sp
from spectrarium.domain.spectrum import UncertaintyKind

pytestmark = [
    pytest.mark.data, pytest.mark.slow, pytest.mark.timeout(900),
    pytest.mark.xdist_group("real_data"),
]  # fmt: skip

pools = pytest.mark.parametrize("pool", POOLS)
THREEFOLD = [pool for pool, kinds in POOLS.items() if len(kinds) > 1]


@pytest.fixture(scope="session")
def filled(data_dir, tmp_path_factory) -> Filled:
    return fill(data_dir, tmp_path_factory.mktemp)


@pytest.fixture(scope="session")
def curated(data_dir) -> ModuleType:
    """The pools' own reader, `pool.py`: it shares no code with this project."""
    sys.path.insert(0, str(data_dir))
    try:
        import pool
    finally:
        sys.path.remove(str(data_dir))
    return pool


@pytest.fixture(scope="session")
def index(data_dir):
    """Pool → its index.csv."""
    return cache(lambda pool: pd.read_csv(data_dir / pool / "index.csv", low_memory=False))


@pytest.fixture(scope="session")
def catalogue(filled) -> pd.DataFrame:
    """All current observations; `pool` and `kind` tell which unpacked file they came from."""
    store = filled.archive.store
    table = store.catalogue(store.find()).to_pandas()
    parts = table.access_path.str.extract(rf"^{re.escape(str(filled.pools))}/(\w+)/([^/]+)/")
    return table.assign(kind=parts[0], pool=parts[1])


def test_every_pool_that_the_readme_lists_is_tried(data_dir, index, filled):
    rows = re.findall(r"^\| (\w+) \| (\d+) \| \d+ \|", (data_dir / "README.md").read_text(), re.M)
    assert {name for name, _ in rows} == set(POOLS)
    assert len(rows) == 16
    for pool, count in rows:
        assert len(index(pool)) == int(count)
    for (pool, kind), text in filled.written.items():
        assert text.startswith(f"{len(index(pool))} spectra of {pool} written"), kind


def test_everything_is_stored_and_nothing_of_the_pools_is_refused(filled, index):
    for kind in FORMATS:
        here = [pool for pool, kinds in POOLS.items() if kind in kinds]
        expected = sum(len(index(pool)) for pool in here)
        files = len(here) if kind == "parquet" else expected
        report = filled.reports[kind]
        assert (report.files, report.stored + report.unchanged) == (files, expected), kind
        assert (report.quarantined, report.not_spectra, report.cancelled) == (0, 0, False), kind


@pools
def test_a_pool_has_one_observation_for_each_row_of_its_index(catalogue, index, pool):
    mine = catalogue[catalogue.obs_id.isin(index(pool).spec_id)]
    assert sorted(mine.obs_id) == sorted(index(pool).spec_id)
    assert set(mine.pool) == {pool}


@pytest.mark.parametrize("pool", THREEFOLD)
def test_the_same_pool_in_three_formats_is_there_once(filled, catalogue, index, pool):
    """The last format read is the current version; each earlier one stays readable."""
    mine = catalogue[catalogue.pool == pool]
    assert len(mine) == len(index(pool))
    assert set(mine.kind) == {FORMATS[-1]}
    past = sp.open(filled.archive.path, filled.reports["fits"].version)
    name = mine.obs_id.iloc[0]
    assert past.record(name)["access_path"].endswith(".fits")
    assert past.record(name)["obs_version"] == 1
    assert past.record(name)["obs_collection"] == filled.archive.record(name)["obs_collection"]
    assert len(past) == sum(len(index(p)) for p, kinds in POOLS.items() if "fits" in kinds)
    then, now = past.read(name), filled.archive.read(name)
    assert then.flux.astype("f4").tobytes() == now.flux.astype("f4").tobytes()


@pools
def test_samples_are_the_pools_bit_for_bit(filled, catalogue, curated, pool):
    """Flux and error to the last bit of their float32 (CSV prints them), wavelengths of float64."""
    store, pixels = filled.archive.store, curated.Store(pool)
    seen = 0
    for rows, spectra in store.scan(_rows(store, catalogue[catalogue.pool == pool])):
        names = store.catalogue(rows, ["obs_id"]).column(0).to_pylist()
        for name, s in zip(names, spectra, strict=True):
            wave, flux, err = pixels[name]
            assert np.array_equal(s.wave_aa, wave), name
            assert np.array_equal(s.flux.astype("f4"), flux.astype("f4"), equal_nan=True), name
            with np.errstate(invalid="ignore"):
                usable = np.isfinite(err)
            if not usable.any():
                assert s.uncertainty is None, name
            elif (err[usable] < 0).mean() > 0.5:  # no errors, whatever they are: kept apart
                assert s.uncertainty is None, name
                assert np.array_equal(s.extras["err"].astype("f4"), err, equal_nan=True), name
            else:
                assert s.uncertainty_kind is UncertaintyKind.STD, name
                assert np.array_equal(s.uncertainty.astype("f4"), err.astype("f4"), equal_nan=True)
            seen += 1
    assert seen == len(pixels)


def _rows(store, frame: pd.DataFrame):
    rows = store.find()
    wanted = set(frame.obs_id)
    names = store.catalogue(rows, ["obs_id"]).column(0).to_pylist()
    return rows[[name in wanted for name in names]]


@pools
def test_coordinates_names_times_and_labels_are_those_of_the_index(catalogue, index, pool):
    both = catalogue[catalogue.pool == pool].merge(
        index(pool), left_on="obs_id", right_on="spec_id", suffixes=("", "_index"), validate="1:1"
    )
    assert len(both) == len(index(pool))
    placed = both.ra.notna() & ~((both.ra == 0) & (both.dec == 0))  # (0, 0) means not known
    assert (both.s_ra.notna() == placed).all()
    assert np.array_equal(both.s_ra[placed], both.ra[placed])
    assert np.array_equal(both.s_dec[placed], both.dec[placed])
    assert both[~placed].warnings.str.contains("no coordinates").all()
    assert _same(both.t_min, both.mjd)
    named = both.object_name.notna()
    assert (both.target_name[named] == both.object_name[named].astype(str)).all()
    if POOLS[pool][-1] == "parquet":  # the other formats are written without labels
        assert _same(both.target_class, both.obj_class)
        assert _same(both.redshift, both.z)
        assert _same(both.rv_kms, both.rv_kms_index)
        labels = both.metadata.map(json.loads)
        for name in ("teff", "logg", "feh"):
            mine = labels.map(lambda m, name=name: m.get(name)).astype(float)
            assert _same(mine, both[name].astype(float)), name


def _same(mine: pd.Series, theirs: pd.Series) -> bool:
    """Equal where given, and given where given."""
    given = theirs.notna()
    return bool((mine.notna() == given).all() and (mine[given] == theirs[given]).all())


@pools
def test_medium_and_frame_are_what_the_index_says_and_no_more(catalogue, index, pool):
    both = catalogue[catalogue.pool == pool].merge(
        index(pool), left_on="obs_id", right_on="spec_id", suffixes=("", "_index")
    )
    assert [_medium(text) for text in both.wave_frame] == both.medium.tolist()
    for text, kind, specsys in zip(both.wave_frame, both.kind, both.specsys, strict=True):
        expected = _frame(text)
        if kind == "fits" and expected == "SOURCE":
            expected = "unknown"  # unpack.py writes no SPECSYS for rest frame
        assert specsys == expected, text


def _medium(text: str) -> str:
    if "unspecified" in text or "?" in text or not re.search(r"\b(air|vac)\b", text):
        return "unknown"
    return "air" if re.search(r"\bair\b", text) else "vacuum"


def _frame(text: str) -> str:
    if re.search(r"\bbary", text):
        return "BARYCENT"
    if re.search(r"\bhelio", text):
        return "HELIOCEN"
    return "SOURCE" if re.search(r"(^|[,;] )rest( frame)?( \(.*\))?$", text) else "unknown"


def test_flux_without_a_continuum_has_no_signal_to_noise(filled, catalogue):
    """SNID divides by the continuum and takes off 1: the level left is 0."""
    flat = catalogue[catalogue.pool == "snid_templates"]
    assert set(flat.normalisation) == {"continuum-subtracted"}
    assert flat.snr.isna().all()
    medians = [
        np.median(s.flux[~s.mask])
        for _, some in filled.archive.store.scan(_rows(filled.archive.store, flat.head(300)))
        for s in some
    ]
    assert np.abs(np.median(medians)) < 0.02


def test_the_same_files_again_change_nothing(filled):
    before = len(filled.archive)
    again = filled.archive.ingest([filled.pools / "fits", filled.pools / "parquet"], workers=0)
    assert (again.stored, again.unchanged, again.quarantined) == (0, 0, 0)
    assert again.skipped == sum(1 for p in filled.pools.glob("*/*/*") if p.suffix != ".csv")
    assert len(filled.archive) == before


# labels ---------------------------------------------------------------------------------------


def spectrarium(*words: str) -> object:
    """What a command prints with ``--json``."""
    done = subprocess.run(
        [sys.executable, "-m", "spectrarium.cli.main", *map(str, words), "--json"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def adds_up(report: dict) -> bool:
    """Every row of the file has one fate."""
    return report["matched"] + report["unmatched"] + report["ambiguous"] == report["rows"]


def test_an_index_joined_by_id_can_be_searched(filled, index):
    where = filled.archive.path
    file = filled.data / "miles_stars" / "index.csv"
    report = spectrarium("catalogue", "add", file, "--key", "obs_id", "--on", "spec_id",
                         "--archive", where)  # fmt: skip
    assert adds_up(report)
    assert (report["matched"], report["unmatched"], report["ambiguous"]) == (984, 0, 0)
    assert (report["name"], report["observations"]) == ("index", 984)
    found = spectrarium("find", "--where", "index.teff > 6000", "--columns", "obs_id,index.teff",
                        "--limit", 0, "--archive", where)  # fmt: skip
    hot = index("miles_stars").query("teff > 6000")
    assert len(found) == len(hot) > 100
    assert {r["obs_id"]: r["index.teff"] for r in found} == dict(
        zip(hot.spec_id, hot.teff, strict=True)
    )
    giants = filled.archive.refresh().find("index.teff < 4500 AND index.logg < 2 AND snr > 50")
    expected = index("miles_stars").query("teff < 4500 and logg < 2 and snr > 50")
    assert sorted(giants.column("obs_id").to_pylist()) == sorted(expected.spec_id)


def test_benchmark_stars_joined_by_sky(filled, catalogue):
    file = filled.data / "catalogs" / "gaia_fgk_benchmarks.csv.gz"
    report = filled.archive.add_catalogue(file, "sky:30arcsec", name="benchmarks").record()
    stars = pd.read_csv(file)
    expected = _claims(stars.RAJ2000, stars.DEJ2000, catalogue, 30)
    assert adds_up(report)
    assert report["rows"] == 29
    assert report["unmatched"] == sum(not c for c in expected)
    assert report["matched"] + report["ambiguous"] == sum(bool(c) for c in expected) > 0
    claimed = Counter(row for claims in expected for row in claims)
    single = sum(any(claimed[row] == 1 for row in claims) for claims in expected)
    assert report["matched"] == single
    assert report["ambiguous"] == sum(bool(c) for c in expected) - single


def test_stellar_parameters_joined_by_sky_are_those_of_the_same_star(filled, catalogue, index):
    file = filled.data / "catalogs" / "lamost_dr1_afgk_params.csv.gz"
    report = filled.archive.add_catalogue(file, "sky:2arcsec", name="lasp").record()
    stars = pd.read_csv(file)
    expected = _claims(stars.ra, stars.dec, catalogue, 2)
    assert adds_up(report)
    assert report["unmatched"] == sum(not c for c in expected)
    found = filled.archive.find("lasp.teff > 0", columns=["obs_id", "lasp.teff"]).to_pandas()
    both = found.merge(index("lamost_lrs_pool"), left_on="obs_id", right_on="spec_id")
    both = both[both.teff.notna()]
    assert len(both) > 100
    assert (both["lasp.teff"] == both.teff).mean() > 0.99


def _claims(ra: pd.Series, dec: pd.Series, catalogue: pd.DataFrame, arcsec: float):
    """For each row of a file the observations within the radius, by brute force."""
    mine = catalogue[catalogue.s_ra.notna()]
    sky = SkyCoord(mine.s_ra.to_numpy(), mine.s_dec.to_numpy(), unit="deg")
    out = []
    for a, d in zip(ra, dec, strict=True):
        if np.isnan(a):
            out.append([])
            continue
        near = sky.separation(SkyCoord(a, d, unit="deg")) <= arcsec * u.arcsec
        out.append(mine.index[near].tolist())
    return out


def test_names_that_many_rows_share_are_ambiguous_and_not_joined(filled, catalogue, index):
    file = filled.data / "osc_transients" / "index.csv"
    report = filled.archive.add_catalogue(file, "target_name", on="object_name", name="sn").record()
    assert adds_up(report)

    def plain(names):
        return names.str.lower().str.replace(r"[_\s]", "", regex=True)

    theirs, mine = plain(index("osc_transients").object_name), plain(catalogue.target_name)
    rows = theirs.value_counts()
    here = set(mine.dropna())
    assert report["matched"] == sum(rows[n] == 1 and n in here for n in theirs) > 0
    assert report["ambiguous"] == sum(rows[n] > 1 and n in here for n in theirs) > 0
    once = {n for n in rows.index if rows[n] == 1}
    assert report["observations"] == mine.isin(once).sum()
    assert report["observations"] == len(filled.archive.find("sn.spec_id IS NOT NULL"))


def test_labels_joined_by_file_name(filled):
    file = filled.data / "format_zoo" / "index.csv"
    report = filled.archive.add_catalogue(file, "file", name="zoo").record()
    assert adds_up(report)
    zoo = pd.read_csv(file)
    paths = filled.archive.find(columns=["access_path"]).column(0).to_pylist()
    per_file = Counter(path.rsplit("/", 1)[1] for path in paths)
    expected = [per_file[name.rsplit("/", 1)[1]] for name in zoo.file]
    assert report["matched"] == sum(n > 0 for n in expected)
    assert report["unmatched"] == sum(n == 0 for n in expected)
    assert report["observations"] == sum(expected)
    columns = ["target_name", "zoo.object_name"]
    found = filled.archive.find("zoo.kind = 'HARPS s1d'", columns=columns)
    assert found.to_pylist() == [{"target_name": "Gl581", "zoo.object_name": "Gl 581"}]
