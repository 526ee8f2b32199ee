"""Prepared spectra on disk, so that a second pass of training need not prepare them again."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

import numpy as np
from numpy.typing import NDArray

from ..domain.derived import NoiseSource
from ..domain.errors import TransientError
from .domain import ModelDomain
from .prepare import F4, Prepared
from .training_set import Pair, is_clean

_FACTS = np.dtype([("scale", "<f8"), ("snr", "<f8"), ("coverage", "<f8"), ("index", "<i8"),
                   ("object", "<i8"), ("noise", "u1")])  # fmt: skip
_NOISE = tuple(NoiseSource)
_JOURNAL = "journal.json"
_PASS_BYTES = 2**27
"""Flux and ivar of a batch of a pass at most."""


class Spool:
    """A training set on disk: add prepared batches once, iterate or take rows as often as needed.

    Flux and ivar lie in two files, 8 bytes a pixel, everything else in a third and in memory (41
    bytes a spectrum). Use it as a context. A spool without a folder of its own is temporary: its
    files go with it. One made by `resumed` stays, and goes on where its last `checkpoint` was.
    """

    def __init__(self, domain: ModelDomain, directory: Path | None = None, rows: int = 512) -> None:
        """directory : where the temporary one is made; None = the system's · rows : per batch"""
        folder = Path(tempfile.mkdtemp(prefix="spool-", dir=directory))
        self._open(domain, folder, rows, keep=False)

    @classmethod
    def resumed(cls, domain: ModelDomain, folder: Path, rows: int = 512) -> Self:
        """The spool in `folder`, made if there is none, as it was at its last `checkpoint`.

        Whoever resumes a spool knows that it is of the same spectra on the same `domain`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        out = cls.__new__(cls)
        out._open(domain, folder, rows, keep=True)
        return out

    def _open(self, domain: ModelDomain, folder: Path, rows: int, keep: bool) -> None:
        self.domain, self.folder, self._keep = domain, folder, keep
        self.rows = max(1, min(rows, _PASS_BYTES // (8 * domain.n_pix)))
        self._files: dict[str, BinaryIO] = {}
        try:
            for name in ("flux", "ivar", "facts"):
                path = folder / f"{name}.bin"
                self._files[name] = path.open("r+b" if path.exists() else "w+b")
        except OSError as error:
            raise self._full(error) from error
        state = self._journal()
        n = int(state.get("spectra", 0))
        sizes = {"flux": 4 * domain.n_pix, "ivar": 4 * domain.n_pix, "facts": _FACTS.itemsize}
        if any((folder / f"{k}.bin").stat().st_size < n * size for k, size in sizes.items()):
            n, state = 0, {}
        for name, size in sizes.items():  # what came after the last checkpoint may be torn
            self._files[name].truncate(n * size)
        self.given = int(state.get("given", 0))
        self.complete = bool(state.get("complete", False))
        self.clean = bool(state.get("clean", n == 0))
        stored = np.fromfile(folder / "facts.bin", _FACTS, n)
        self._parts: list[NDArray[Any]] = [stored] if n else []
        self._n = n

    def _journal(self) -> dict[str, Any]:
        try:
            found = json.loads((self.folder / _JOURNAL).read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def _facts(self) -> NDArray[Any]:
        if len(self._parts) != 1:
            self._parts = [np.concatenate(self._parts) if self._parts else np.empty(0, _FACTS)]
        return self._parts[0]

    @property
    def objects(self) -> NDArray[np.int64]:
        """(n,) which object each spectrum is of: equal numbers, the same object."""
        return np.ascontiguousarray(self._facts["object"])

    @property
    def snr(self) -> NDArray[np.float64]:
        """(n,) median S/N per model pixel."""
        return np.ascontiguousarray(self._facts["snr"])

    @property
    def estimated(self) -> NDArray[np.bool_]:
        """(n,) True where noise was estimated from the flux, for want of errors."""
        return np.asarray(self._facts["noise"] != _NOISE.index(NoiseSource.DELIVERED))

    @property
    def index(self) -> NDArray[np.int64]:
        """(n,) positions in what was given, as the batches had them."""
        return np.ascontiguousarray(self._facts["index"])

    def __len__(self) -> int:
        return self._n

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def close(self) -> None:
        """Close the files; delete them unless this spool is to be resumed."""
        for file in self._files.values():
            file.close()
        if not self._keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def add(self, batch: Prepared, objects: NDArray[Any] | None = None) -> None:
        """Append a batch. Raises TransientError (disk_full) if there is no room.

        objects : (n,) whole numbers, the same for spectra of one object; None = all different
        """
        n = len(batch)
        facts = np.empty(n, _FACTS)
        for name in ("scale", "snr", "coverage", "index"):
            facts[name] = getattr(batch, name)
        facts["object"] = -1 - np.arange(self._n, self._n + n) if objects is None else objects
        facts["noise"] = [_NOISE.index(source) for source in batch.noise_source]
        arrays: dict[str, Any] = {"flux": np.ascontiguousarray(batch.flux, F4),
                  "ivar": np.ascontiguousarray(batch.ivar, F4), "facts": facts}  # fmt: skip
        try:
            for name, array in arrays.items():
                self._files[name].seek(0, 2)
                self._files[name].write(array.data)
                self._files[name].flush()
        except OSError as error:
            raise self._full(error) from error
        self.clean = self.clean and is_clean(arrays["flux"], arrays["ivar"])
        self._parts.append(facts)
        self._n += n

    def checkpoint(self, given: int, complete: bool = False) -> None:
        """Make what was added outlast a crash; `given` spectra were looked at to get there."""
        self.given, self.complete = given, complete
        state = {"spectra": self._n, "given": given, "complete": complete, "clean": self.clean}
        partial = self.folder / f".{_JOURNAL}.part"
        try:
            for file in self._files.values():
                file.flush()
                os.fsync(file.fileno())
            with partial.open("w") as text:
                json.dump(state, text)
                text.flush()
                os.fsync(text.fileno())
            os.replace(partial, self.folder / _JOURNAL)
        except OSError as error:
            raise self._full(error) from error

    def _full(self, error: OSError) -> TransientError:
        return TransientError(
            f"training cache cannot be written: {error}", code="disk_full",
            where=str(self.folder), remedy="free some space or choose another directory",
        )  # fmt: skip

    def take(self, rows: NDArray[Any], into: Pair | None = None) -> Pair:
        """(k, n_pix) flux and ivar of these rows, in the order given: copies, or `into` filled.

        Rows are read in the order of the disk, neighbours in one go; threads may call it at once.
        """
        rows = np.asarray(rows)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        rows = np.where(rows < 0, rows + self._n, rows).astype(np.int64)
        if rows.size and not (rows.min() >= 0 and rows.max() < self._n):
            raise IndexError(f"rows outside 0…{self._n - 1}")
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        cuts = np.flatnonzero((np.diff(ordered) != 1) | (np.diff(order) != 1)) + 1
        starts = [0, *cuts.tolist(), len(rows)]
        shape = len(rows), self.domain.n_pix
        flux, ivar = into or (np.empty(shape, F4), np.empty(shape, F4))
        if any(a.shape != shape or a.dtype != F4 or not a.flags.c_contiguous for a in (flux, ivar)):
            raise ValueError(f"flux and ivar must be contiguous float32 arrays of {shape}")
        for a, b in pairwise(starts):
            if a < b:
                at, to = int(ordered[a]), int(order[a])
                self._read("flux", at, flux[to : to + b - a])
                self._read("ivar", at, ivar[to : to + b - a])
        return flux, ivar

    def _read(self, name: str, row: int, out: NDArray[np.float32]) -> None:
        """Fill `out`, whole rows, from the file: positions are explicit, nothing is shared."""
        view = memoryview(cast(Any, out.reshape(-1))).cast("B")
        offset, done = 4 * self.domain.n_pix * row, 0
        while done < len(view):
            got = os.preadv(self._files[name].fileno(), [view[done:]], offset + done)
            if not got:
                raise TransientError("training cache was cut short", code="bad_spool",
                                     where=str(self.folder),
                                     remedy="run the same command again")  # fmt: skip
            done += got

    def __call__(self) -> Iterator[Prepared]:
        """A new pass, in the order added."""
        for start in range(0, self._n, self.rows):
            stop = min(start + self.rows, self._n)
            flux, ivar = self.take(np.arange(start, stop))
            f = self._facts[start:stop]
            noise = tuple(_NOISE[i] for i in f["noise"])
            scale, snr, coverage, index = (
                np.ascontiguousarray(f[k]) for k in ("scale", "snr", "coverage", "index")
            )
            yield Prepared(flux, ivar, scale, snr, coverage, noise, index)
