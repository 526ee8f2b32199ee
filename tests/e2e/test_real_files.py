"""Every original file of the real data has its true fate, and comes back out of the archive."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from real_data_archive import Filled, fill
from real_data_truth import FILES, FOLDERS, NO_UNIT_FOLDERS, WITH_POOL, fate_of, pool_key

import spectrarium as sp
from spectrarium.domain.axis import LinearWCS, Medium, SpecSys
from spectrarium.domain.errors import DataError

pytestmark = [
    pytest.mark.data, pytest.mark.slow, pytest.mark.timeout(900),
    pytest.mark.xdist_group("real_data"),
]  # fmt: skip
C_KMS = 299_792.458
folders = pytest.mark.parametrize("folder", FOLDERS)


@pytest.fixture(scope="session")
def filled(data_dir, tmp_path_factory) -> Filled:
    return fill(data_dir, tmp_path_factory.mktemp)


@pytest.fixture(scope="session")
def receipts(filled) -> dict[str, dict]:
    """Path → the receipt of the file, from before any unit was declared."""
    return {r["path"]: r for r in filled.receipts if r["status"] != "bad_item"}


def ids_in(filled: Filled, file: Path) -> list[str]:
    """``collection:obs_id`` of the current observations that came from one file."""
    store = filled.archive.store
    rows = store.find("access_path = '{}'".format(str(file).replace("'", "''")))
    if not len(rows):  # the same observation was also in a file of another name
        rows = store.find(f"access_path LIKE '%{file.name}'")
    records = store.catalogue(rows, ["obs_collection", "obs_id"]).to_pylist()
    return [f"{r['obs_collection']}:{r['obs_id']}" for r in records]


def test_no_folder_of_originals_is_left_out(data_dir):
    there = {str(p.relative_to(data_dir)) for p in data_dir.glob("*/raw*") if p.is_dir()}
    assert there == set(FOLDERS)
    for folder, (count, _) in FOLDERS.items():
        assert len(list((data_dir / folder).iterdir())) == count, folder
    names = {p.name for folder in FOLDERS for p in (data_dir / folder).iterdir()}
    assert set(FILES) <= names


@folders
def test_each_file_has_the_fate_that_is_true_of_it(filled, receipts, data_dir, folder):
    """Stored + quarantined + not a spectrum = what is there, file by file."""
    for path in sorted((data_dir / folder).iterdir()):
        fate, receipt = fate_of(folder, path.name), receipts[str(path)]
        assert receipt["reader"] == fate.reader, path.name
        assert receipt["n_stored"] + receipt["n_unchanged"] == fate.spectra, path.name
        codes = Counter(q["code"] for q in filled.refused if q["path"] == str(path))
        assert codes == dict(fate.refused), path.name
        assert receipt["reason"] == fate.note, path.name
        expected = ("partly_stored" if fate.refused else "stored") if fate.spectra else (
            "quarantined" if fate.refused else "not_a_spectrum")  # fmt: skip
        assert receipt["status"] == expected, path.name


def test_the_reports_count_every_file_once(filled, receipts):
    report = filled.reports["originals"]
    fates = [fate_of(f, p.name) for f in FOLDERS for p in (filled.data / f).iterdir()]
    assert report.files == len(fates)
    assert report.stored + report.unchanged == sum(f.spectra for f in fates)
    assert report.quarantined == sum(n for f in fates for _, n in f.refused) == len(filled.refused)
    assert report.not_spectra == sum(not f.spectra and not f.refused for f in fates)
    assert all(q["reason"] and q["remedy"] for q in filled.refused)


# the reasons are true: asked of astropy -------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in FILES if n.startswith("coadd")])
def test_fibres_in_quarantine_have_no_information_in_any_arm(filled, data_dir, name):
    path = data_dir / "desi_coadds" / "raw" / name
    with fits.open(path) as file:
        ivar = {arm: file[f"{arm}_IVAR"].data for arm in "BRZ"}
        dead = [i for i in range(len(ivar["B"])) if not any(ivar[a][i].any() for a in "BRZ")]
        targets = file["FIBERMAP"].data["TARGETID"]
    refused = [q for q in filled.refused if q["path"] == str(path)]
    assert sorted(q["row"] for q in refused) == dead
    for q in refused:
        assert str(targets[q["row"]]) in q["reason"]
    assert len(ids_in(filled, path)) == 3 * (len(targets) - len(dead))


def test_the_cut_down_file_has_too_few_valid_pixels(data_dir):
    rows = fits.getdata(data_dir / "format_zoo/raw/linetools__popler_sample.fits.gz")
    assert rows.shape == (9, 10)
    assert np.count_nonzero(rows[4] == 1) == 4  # the status row: 1 = valid


def test_files_without_a_unit_are_read_once_it_is_declared(filled):
    report = filled.reports["declared"]
    files = [p for f in NO_UNIT_FOLDERS for p in (filled.data / f).iterdir()]
    assert (report.files, report.stored, report.quarantined) == (len(files), len(files), 0)
    waiting = {q["path"] for q in filled.archive.quarantine()}
    assert not waiting & {str(p) for p in files}
    for path in files:
        with pytest.raises(DataError) as caught:
            sp.read_spectra(path)
        assert caught.value.code == "no_wave_unit"
        assert "--wave-unit" in caught.value.remedy
        (name,) = ids_in(filled, path)
        table = np.loadtxt(path)
        assert np.array_equal(filled.archive.read(name).wave_aa, table[:, 0])
        assert np.array_equal(filled.archive.read(name).flux, table[:, 1])


# what is stored ------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", sorted(set(FOLDERS) - set(NO_UNIT_FOLDERS)))
def test_the_archive_gives_back_what_the_reader_delivers(filled, data_dir, folder):
    """Flux, uncertainty, flags and axis: dtype and every bit."""
    for path in sorted((data_dir / folder).iterdir()):
        names = ids_in(filled, path)
        stored = [filled.archive.read(name) for name in names]
        if not stored:  # no spectrum, or another serialisation of the same observations is newer
            continue
        delivered = _readable(path)
        assert len(stored) == len(delivered), path.name
        for mine, theirs in zip(stored, delivered, strict=True):
            for part in ("flux", "uncertainty", "flags"):
                assert _identical(getattr(mine, part), getattr(theirs, part)), (path.name, part)
            assert _identical(mine.axis.coordinate(), theirs.axis.coordinate()), path.name
            assert mine.axis.scale is theirs.axis.scale
            assert mine.flux_unit == theirs.flux_unit
            assert dict(mine.extras).keys() == dict(theirs.extras).keys()


def _readable(path: Path) -> list[sp.Spectrum]:
    from spectrarium.read.registry import read_source
    from spectrarium.read.source import SourceFile

    return [s for s in read_source(SourceFile.open(path)) if isinstance(s, sp.Spectrum)]


def _identical(mine, theirs) -> bool:
    if mine is None or theirs is None:
        return mine is theirs
    return mine.dtype == theirs.dtype and mine.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("folder", WITH_POOL)
def test_originals_agree_with_the_pool_that_others_made_of_them(filled, data_dir, folder):
    """Wavelength within 0.2 km/s (float32 logarithms), flux and error within their rounding."""
    pool = folder.split("/")[0]
    keys = {p: pool_key(folder, p.name) for p in sorted((data_dir / folder).iterdir())}
    sys.path.insert(0, str(data_dir))
    try:
        from pool import Store
    finally:
        sys.path.remove(str(data_dir))
    samples = Store(pool)
    index = pd.read_csv(data_dir / pool / "index.csv", low_memory=False).set_index("spec_id")
    compared = 0
    for path, key in keys.items():
        if key not in samples.ids:
            continue
        (name,) = ids_in(filled, path)
        scale = index.flux_scale[key] if "flux_scale" in index else 1.0
        _agree(filled.archive.read(name), *samples[key], scale)
        compared += 1
    missing = {"lamost_lrs_pool": 2, "gaia_dr3_samples": 8, "sdss_boss_pool": 0}.get(pool, 0)
    assert compared == len(keys) - missing


def _agree(s: sp.Spectrum, wave, flux, err, scale: float) -> None:
    order = np.argsort(s.wave_aa.reshape(-1), kind="stable")
    mine = s.wave_aa.reshape(-1)[order]
    at = np.clip(np.searchsorted(mine, wave), 1, len(mine) - 1)
    at -= (wave - mine[at - 1]) < (mine[at] - wave)
    assert np.abs(mine[at] / wave - 1).max() * C_KMS < 0.2
    given = s.flux.reshape(-1)[order][at].astype(float)
    expected = flux.astype(float) * scale
    known = np.isfinite(expected)
    assert (np.abs(given - expected) <= 1e-4 * np.abs(expected))[known].all()
    both = known & (expected != 0)
    assert abs(np.median(given[both] / expected[both]) - 1) < 3e-6
    ivar = s.ivar
    if ivar is None or not np.isfinite(err).any():
        return
    with np.errstate(divide="ignore"):
        sigma = ivar.reshape(-1)[order][at] ** -0.5
    if "syserror" in s.extras:  # CALSPEC: its pool added both errors in quadrature
        sigma = np.hypot(sigma, s.extras["syserror"][order][at])
    known = np.isfinite(sigma) & (err > 0)
    assert known.sum() > 0.1 * len(wave)  # CALSPEC: models beyond what was observed
    assert np.abs(sigma[known] / (err[known] * scale) - 1).max() < 3e-3  # 9 bits of mantissa


# facts that PROVENANCE and the surveys state ---------------------------------------------------


def test_harps_s1d_of_gl581(filled, data_dir):
    (name,) = ids_in(
        filled, data_dir / "format_zoo/raw/ACTIN__HARPS.2010-09-18T23.42.36.178_s1d_A.fits.gz"
    )
    s = filled.archive.read(name)
    assert s.axis.wcs == LinearWCS(3781.19, 0.01, 1.0, 313_114)
    assert (s.axis.medium, s.axis.specsys) == (Medium.AIR, SpecSys.BARYCENT)


def test_harps_s1d_of_alpha_cen_b(filled, data_dir):
    folder = data_dir / "harps_acenB_timeseries"
    (path,) = (folder / "raw_examples").iterdir()
    (name,) = ids_in(filled, path)
    s, record = filled.archive.read(name), filled.archive.record(name)
    assert s.flux.size == s.axis.wcs.n == 313_157
    row = pd.read_csv(folder / "index.csv").set_index("spec_id").loc[pool_key(
        "harps_acenB_timeseries/raw_examples", path.name)]  # fmt: skip
    # the DRS gives BJD in UTC: TAI−UTC was 34 s in 2010, TT−TAI is 32.184 s
    assert record["bjd_tdb"] - row.bjd == pytest.approx(66.184 / 86400, abs=1e-7)
    assert record["berv_kms"] == pytest.approx(row.berv_kms, abs=1e-6)
    assert record["s_ra"] == pytest.approx(row.ra, abs=1e-6)
    na_d = filled.archive.window(name, 5889.0, 5890.9)  # Na D2 5889.951 Å in air at −22.7 km/s
    at = na_d.wave_aa[np.argmin(np.where(na_d.mask, np.inf, na_d.flux))]
    assert (at / 5889.951 - 1) * C_KMS == pytest.approx(row.rv_kms, abs=1.0)


def test_lamost_wavelengths_follow_coeff0_and_coeff1(filled, data_dir):
    """Also where a row or column of wavelengths is given, or a row that only looks like one."""
    for path in sorted((data_dir / "lamost_lrs_pool" / "raw_examples").iterdir()):
        with fits.open(path) as file:
            header = file[0].header
        (name,) = ids_in(filled, path)
        wave = filled.archive.read(name).wave_aa
        expected = 10 ** (header["COEFF0"] + header["COEFF1"] * np.arange(wave.size))
        assert np.abs(wave / expected - 1).max() * C_KMS < 1.2, path.name


def test_the_calcium_triplet_of_gaia_rvs_is_at_rest_in_vacuum(filled):
    found = filled.archive.find("obs_collection = 'Gaia-RVS'", columns=["obs_id"])
    assert found.num_rows == 6
    for name in found.column(0).to_pylist():
        for line in (8500.36, 8544.44, 8664.52):
            s = filled.archive.window(f"Gaia-RVS:{name}", line - 4, line + 4)
            depth = np.where(s.mask, 0, 1 - s.flux)
            depth = np.clip(depth - 0.5 * depth.max(), 0, None)
            centre = np.sum(depth * s.wave_aa) / np.sum(depth)
            assert abs(centre - line) < 0.15, (name, line)  # air would be 2.3 Å off
