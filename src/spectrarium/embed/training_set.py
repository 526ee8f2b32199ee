"""What an encoder learns from: prepared spectra that can be passed over or drawn at random."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from ..domain.derived import NoiseSource
from .domain import ModelDomain
from .prepare import Prepared

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]


def is_clean(flux: NDArray[np.float32], ivar: NDArray[np.float32]) -> bool:
    """Whether both are 0 wherever there is no information, as `Preparer` leaves them."""
    bad = ~((np.abs(flux) < np.inf) & (ivar > 0) & (ivar < np.inf))
    return not (flux[bad].any() or ivar[bad].any())


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

    @property
    def clean(self) -> bool:
        """Whether flux and ivar are 0 wherever there is no information: see `is_clean`."""
        ...

    def __len__(self) -> int: ...

    def __call__(self) -> Iterator[Prepared]:
        """A new pass in a fixed order."""
        ...

    def take(self, rows: NDArray[Any], into: Pair | None = None) -> Pair:
        """(k, n_pix) float32 flux and ivar of these rows, in the order given.

        into : arrays of that shape to fill and give back: no other copy is made
        """
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

    @cached_property
    def clean(self) -> bool:
        """Whether flux and ivar are 0 wherever there is no information."""
        return is_clean(self._batch.flux, self._batch.ivar)

    def take(self, rows: NDArray[Any], into: Pair | None = None) -> Pair:
        """(k, n_pix) flux and ivar of these rows; see `TrainingSet.take`."""
        own = self._batch.flux, self._batch.ivar
        if into is None:
            return own[0][rows], own[1][rows]
        at = np.arange(len(self))[rows]
        for array, out in zip(own, into, strict=True):
            np.take(np.asarray(array, np.float32), at, axis=0, out=out, mode="clip")
        return into


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
