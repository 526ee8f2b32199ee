"""What an encoder learns from: prepared spectra that can be passed over or drawn at random."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from ..domain.derived import NoiseSource
from .domain import ModelDomain
from .prepare import Prepared


class TrainingSet(Protocol):
    """Prepared spectra of one domain; `Spool` keeps them on disk, `InMemory` in memory."""

    domain: ModelDomain

    @property
    def objects(self) -> NDArray[np.int64]:
        """(n,) which object each spectrum is of: equal numbers, the same object."""
        ...

    @property
    def snr(self) -> NDArray[np.float64]:
        """(n,) median S/N per model pixel."""
        ...

    @property
    def estimated(self) -> NDArray[np.bool_]:
        """(n,) True where noise was estimated from the flux, for want of errors."""
        ...

    def __len__(self) -> int: ...

    def __call__(self) -> Iterator[Prepared]:
        """A new pass in a fixed order."""
        ...

    def take(self, rows: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(k, n_pix) flux and ivar of these rows, in the order given."""
        ...


class InMemory:
    """A training set that is already one prepared batch.

    objects : (n,) whole numbers, the same for spectra of one object; None = all different
    """

    def __init__(
        self, domain: ModelDomain, batch: Prepared, objects: NDArray[Any] | None = None
    ) -> None:
        self.domain = domain
        self._batch = batch
        own = -1 - np.arange(len(batch)) if objects is None else objects
        self.objects = np.asarray(own, dtype=np.int64)
        self.snr = batch.snr
        sources = batch.noise_source
        self.estimated = np.array([s is not NoiseSource.DELIVERED for s in sources], np.bool_)

    def __len__(self) -> int:
        return len(self._batch)

    def __call__(self) -> Iterator[Prepared]:
        """One pass: one batch."""
        yield self._batch

    def take(self, rows: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(k, n_pix) flux and ivar of these rows."""
        return self._batch.flux[rows], self._batch.ivar[rows]


def held_out(objects: NDArray[Any], share: float, seed: int = 0) -> NDArray[np.bool_]:
    """(n,) True for the spectra of about `share` of the objects; the same object, the same side.

    Decided by a hash of object and seed alone: more objects never move those there are.
    """
    unique, where = np.unique(np.asarray(objects, np.int64), return_inverse=True)
    salt = int(seed).to_bytes(8, "little", signed=True)
    draws = [
        int.from_bytes(blake3(salt + int(o).to_bytes(8, "little", signed=True)).digest(4), "little")
        for o in unique
    ]
    return np.asarray((np.array(draws, np.float64) / 2**32 < share)[where])
