"""Prepared spectra on disk, so that a second pass of training need not prepare them again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..domain.derived import NoiseSource
from ..domain.errors import TransientError
from .domain import ModelDomain
from .prepare import F4, Prepared


class Spool:
    """A training set on disk: add prepared batches once, iterate or take rows as often as needed.

    Flux and ivar lie in two files of a temporary directory, 8 bytes a pixel; everything else is
    kept in memory (some 50 bytes a spectrum). Use it as a context: the files go with it.
    """

    def __init__(self, domain: ModelDomain, directory: Path | None = None, rows: int = 512) -> None:
        """directory : where the temporary one is made; None = the system's · rows : per batch"""
        self.domain = domain
        self.rows = rows
        self._folder = tempfile.TemporaryDirectory(prefix="spool-", dir=directory)
        self._flux = (Path(self._folder.name) / "flux.f4").open("w+b")
        self._ivar = (Path(self._folder.name) / "ivar.f4").open("w+b")
        self._small: list[tuple[np.ndarray, ...]] = []
        self._noise: list[NoiseSource] = []
        self._objects: list[NDArray[np.int64]] = []
        self._maps: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    @property
    def objects(self) -> NDArray[np.int64]:
        """(n,) which object each spectrum is of: equal numbers, the same object."""
        return np.concatenate(self._objects) if self._objects else np.empty(0, np.int64)

    @property
    def snr(self) -> NDArray[np.float64]:
        """(n,) median S/N per model pixel."""
        return np.concatenate([s[1] for s in self._small]) if self._small else np.empty(0)

    def take(self, rows: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(k, n_pix) flux and ivar of these rows, in the order given: copies."""
        if self._maps is None:
            for file in (self._flux, self._ivar):
                file.flush()
            shape = (len(self), self.domain.n_pix)
            flux, ivar = (np.memmap(f.name, F4, "r", shape=shape) for f in (self._flux, self._ivar))
            self._maps = flux, ivar
        return np.asarray(self._maps[0][rows]), np.asarray(self._maps[1][rows])

    def __len__(self) -> int:
        return len(self._noise)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def close(self) -> None:
        """Delete the files."""
        self._maps = None
        self._flux.close()
        self._ivar.close()
        self._folder.cleanup()

    def add(self, batch: Prepared, objects: NDArray[Any] | None = None) -> None:
        """Append a batch. Raises TransientError (disk_full) if there is no room.

        objects : (n,) whole numbers, the same for spectra of one object; None = all different
        """
        if objects is None:
            objects = -1 - np.arange(len(self), len(self) + len(batch))
        self._objects.append(np.asarray(objects, dtype=np.int64))
        self._maps = None
        try:
            for file, array in ((self._flux, batch.flux), (self._ivar, batch.ivar)):
                file.seek(0, 2)
                file.write(np.ascontiguousarray(array, dtype=F4).data)
        except OSError as error:
            raise TransientError(
                f"training cache cannot be written: {error}", code="disk_full",
                where=self._folder.name, remedy="free some space or choose another directory",
            ) from error  # fmt: skip
        self._small.append((batch.scale, batch.snr, batch.coverage, batch.index))
        self._noise.extend(batch.noise_source)

    def __call__(self) -> Iterator[Prepared]:
        """A new pass, in the order added."""
        if not self._noise:
            return
        columns = [np.concatenate(column) for column in zip(*self._small, strict=True)]
        n_pix = self.domain.n_pix
        for file in (self._flux, self._ivar):
            file.flush()
        for start in range(0, len(self), self.rows):
            stop = min(start + self.rows, len(self))
            flux, ivar = (
                np.fromfile(
                    file.name, dtype=F4, count=(stop - start) * n_pix, offset=4 * start * n_pix
                ).reshape(-1, n_pix)
                for file in (self._flux, self._ivar)
            )
            scale, snr, coverage, index = (column[start:stop] for column in columns)
            noise = tuple(self._noise[start:stop])
            yield Prepared(flux, ivar, scale, snr, coverage, noise, index)
