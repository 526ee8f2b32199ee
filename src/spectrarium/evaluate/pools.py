"""Folders of labelled spectra: ``index.csv`` and ``spectra.h5``. Data only: nothing is executed."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..domain.errors import DataError, UsageError

Row = dict[str, str]
_TABLES = ("spec_id", "off", "widx", "woff", "wtype", "wpar", "flux")
_LISTED, _LINEAR, _LOG10 = 0, 1, 2


class Pool:
    """Spectra of any lengths in one file, with a table of what is known about each.

    ``index.csv`` has a row a spectrum with at least ``spec_id`` and ``object_id``. In
    ``spectra.h5`` spectrum i holds samples ``off[i] … off[i+1]`` of ``flux`` (and ``err``, where
    there is one); its wavelengths, in Å, are grid ``g = widx[i]``: listed in ``wave`` at
    ``woff[g] … woff[g+1]`` (``wtype[g]`` 0), or ``wpar[g] = (start, step)``, linear (1) or of
    log₁₀ λ (2).

    Raises
    ------
    UsageError : the folder or one of its files is not there (``no_pool``)
    DataError : the files do not fit each other or the layout (``bad_pool``)
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index, store = folder / "index.csv", folder / "spectra.h5"
        for path in (index, store):
            if not path.is_file():
                raise UsageError(
                    "is not there", code="no_pool", where=str(path),
                    remedy="--data names a folder with one sub-folder a pool, each with "
                    "index.csv and spectra.h5",
                )  # fmt: skip
        with index.open(encoding="utf-8", newline="") as file:
            self.rows: list[Row] = list(csv.DictReader(file))
        missing = {"spec_id", "object_id"} - set(self.rows[0] if self.rows else ())
        if missing:
            raise self._bad(f"index.csv lacks {' and '.join(sorted(missing))}", index)
        try:
            self._open(store)
        except (OSError, KeyError, ValueError) as error:
            raise self._bad(f"cannot be read: {error}", store) from error
        unknown = [row["spec_id"] for row in self.rows if row["spec_id"] not in self._place]
        if unknown:
            raise self._bad(f"has no spectrum {unknown[0]!r} of index.csv", store)

    def _open(self, store: Path) -> None:
        self._file = h5py.File(store, "r")
        absent = [name for name in _TABLES if name not in self._file]
        if absent:
            raise self._bad(f"has no table {absent[0]!r}", store)
        ids = [v.decode() if isinstance(v, bytes) else str(v) for v in self._file["spec_id"][:]]
        self._place = {name: i for i, name in enumerate(ids)}
        self._off, self._grid, self._from = (self._file[k][:] for k in ("off", "widx", "woff"))
        self._type, self._par = self._file["wtype"][:], self._file["wpar"][:]
        if len(self._off) != len(ids) + 1 or len(self._grid) != len(ids):
            raise self._bad(f"{len(ids)} names do not fit its offsets", store)
        if np.any(np.diff(self._off) < 0) or self._off[-1] > self._file["flux"].shape[0]:
            raise self._bad("offsets do not rise within the samples", store)

    def _bad(self, what: str, path: Path) -> DataError:
        return DataError(what, code="bad_pool", where=str(path),
                         remedy="copy the pool again")  # fmt: skip

    def __len__(self) -> int:
        return len(self.rows)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getitem__(
        self, spec_id: str
    ) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[Any] | None]:
        """Wavelength in Å, flux and error (None where the pool has none for this spectrum)."""
        i = self._place[spec_id]
        a, b, g = int(self._off[i]), int(self._off[i + 1]), int(self._grid[i])
        if self._type[g] == _LISTED:
            wave = np.asarray(self._file["wave"][self._from[g] : self._from[g + 1]], np.float64)
        else:
            wave = self._par[g, 0] + self._par[g, 1] * np.arange(b - a)
            if self._type[g] == _LOG10:
                wave = 10.0**wave
        if wave.size != b - a:
            raise self._bad(f"spectrum {spec_id!r} has {b - a} samples and {wave.size} "
                            "wavelengths", self.folder / "spectra.h5")  # fmt: skip
        flux = self._file["flux"][a:b]
        error = self._file["err"][a:b] if "err" in self._file else None
        if error is not None and not np.isfinite(error).any():
            error = None
        return wave, flux, error


def number(row: Row, name: str) -> float:
    """A number of a row; NaN where it is empty, absent or no number."""
    try:
        return float(row.get(name) or "nan")
    except ValueError:
        return float("nan")
