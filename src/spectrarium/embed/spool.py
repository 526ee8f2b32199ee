"""Prepared spectra on disk, so that a second pass of training need not prepare them again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from ..domain.derived import NoiseSource
from ..domain.errors import TransientError
from .domain import ModelDomain
from .prepare import F4, Prepared


class Spool:
    """A batch factory that remembers: add prepared batches once, iterate as often as needed.

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
        self._flux.close()
        self._ivar.close()
        self._folder.cleanup()

    def add(self, batch: Prepared) -> None:
        """Append a batch. Raises TransientError (disk_full) if there is no room."""
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
