"""Training sets as networks need them: rows at random, samples that fit in memory."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import DataError, UsageError
from .deep_feed import seed_of
from .domain import ModelDomain
from .encoder import BatchFactory
from .prepare import Prepared
from .training_set import InMemory, TrainingSet

_SAMPLE_BYTES = 2**27
_SAMPLE_ROWS = 3000
"""A random 2,000 shifts a median by 0.03 σ."""


def training_set_of(domain: ModelDomain, source: BatchFactory | TrainingSet) -> TrainingSet:
    """`source` itself if rows can be taken from it, else all its batches in memory.

    Raises
    ------
    UsageError : spectra on another grid (``wrong_grid``) · DataError : none (``too_few_spectra``)
    """
    if hasattr(source, "take"):
        data = cast(TrainingSet, source)
        flux, _ = data.take(np.arange(min(1, len(data))))
        n_pix = flux.shape[1] if len(data) else domain.n_pix
    else:
        batches = [b for b in source() if len(b)]
        if not batches:
            raise DataError("no spectra to learn from", code="too_few_spectra",
                            remedy="choose more observations")  # fmt: skip
        n_pix = batches[0].flux.shape[1]
        data = InMemory(domain, _joined(batches))
    if n_pix != domain.n_pix:
        raise UsageError(f"spectra have {n_pix} pixels, the model {domain.n_pix}",
                         code="wrong_grid", remedy="prepare spectra on this model's domain",
                         )  # fmt: skip
    return data


def _joined(batches: list[Prepared]) -> Prepared:
    arrays = ("flux", "ivar", "scale", "snr", "coverage", "index")
    joined = {name: np.concatenate([getattr(b, name) for b in batches]) for name in arrays}
    noise = tuple(source for b in batches for source in b.noise_source)
    return Prepared(**joined, noise_source=noise)


def sample_of(
    data: TrainingSet, rows: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Flux and ivar of a random choice of `rows`: those of `sample_rows`."""
    return informative(*data.take(sample_rows(data, rows, seed)))


def sample_rows(data: TrainingSet, rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """A random choice of `rows`, ascending: at most 3,000, at most 128 MiB of flux."""
    most = min(_SAMPLE_ROWS, max(1, _SAMPLE_BYTES // (4 * data.domain.n_pix)))
    if len(rows) > most:
        rng = np.random.default_rng(seed_of(seed, "sample"))
        rows = np.sort(rng.choice(rows, most, replace=False))
    return rows


def with_signal(
    data: TrainingSet, rows: NDArray[np.int64], least_snr: float
) -> NDArray[np.int64]:  # fmt: skip
    """Places among `rows` of spectra that have errors of their own and at least this S/N."""
    return np.flatnonzero(~data.estimated[rows] & (data.snr[rows] >= least_snr))


def informative(
    flux: NDArray[Any], ivar: NDArray[Any]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """float32, and 0 where there is no information: nothing that lies there may matter."""
    good = (ivar > 0) & np.isfinite(ivar) & np.isfinite(flux)
    zero = np.float32(0)
    return (np.where(good, flux, zero).astype(np.float32, copy=False),
            np.where(good, ivar, zero).astype(np.float32, copy=False))  # fmt: skip
