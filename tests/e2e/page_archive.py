"""A small archive of real spectra, with everything that the page can show of one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import spectrarium as sp

POOLS = (("sdss_boss_pool", "fits", 369), ("miles_stars", "parquet", 180))
ORIGINALS = ("harps_acenB_timeseries/raw_examples", "ondrejov_ccd700/raw")
LABELS = (("sdss_boss_pool", "sdss"), ("miles_stars", "miles"))
_COLUMNS = ("obj_class", "obj_subclass", "z", "teff", "logg", "feh")


def fill(data: Path, root: Path) -> sp.Archive:
    """Some 570 spectra: SDSS and MILES pools, one HARPS spectrum of 313k samples, Ondrejov's files.

    Embedded by pca, scored, laid out by pca, with temperatures as labels and as a tag.
    """
    archive = sp.open(root / "archive")
    files = [_unpacked(data, root / "files" / pool, pool, *how) for pool, *how in POOLS]
    report = archive.ingest([*files, *(data / name for name in ORIGINALS)], workers=0)
    assert report.stored > 500, report
    for pool, name in LABELS:
        archive.add_catalogue(
            data / pool / "index.csv", "obs_id", on="spec_id", name=name, columns=_COLUMNS
        )
    archive.embed()
    archive.outliers("combined", 5)
    archive.map("pca", encoder="pca")
    archive.tag_train("miles.teff", unit="K", heads=("ridge",))
    archive.tag_apply()
    return archive


def _unpacked(data: Path, target: Path, pool: str, *how: str | int) -> Path:
    kind, limit = map(str, how)
    done = subprocess.run(
        [sys.executable, data / "unpack.py", pool, target, "--format", kind, "--limit", limit],
        capture_output=True, text=True, timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return target
