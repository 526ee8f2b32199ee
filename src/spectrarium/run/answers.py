"""What the two questions give back."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..domain.derived import Region
from ..domain.spectrum import Spectrum


@dataclass
class Answer:
    """One spectrum of an answer: its catalogue row, what was found, its prepared flux."""

    row: int
    rank: int
    value: float | None
    snr: float | None
    noise_source: str
    drivers: tuple[Region, ...]
    flux: NDArray[np.float32] = field(repr=False)
    ivar: NDArray[np.float32] = field(repr=False)
    alike: tuple[Region, ...] = ()
    significance: float | None = None
    chi2: float | None = None
    reason: str = ""
    model: str = ""
    reconstruction: NDArray[np.float32] | None = field(default=None, repr=False)


@dataclass
class Similar:
    """What is like the query, nearest first, all by one model."""

    query: str
    query_spectrum: Spectrum
    model: str
    wave_aa: NDArray[np.float64] = field(repr=False)
    query_flux: NDArray[np.float32] = field(repr=False)
    query_ivar: NDArray[np.float32] = field(repr=False)
    answers: list[Answer]
    searched: int
    frame: str


@dataclass
class Outliers:
    """What is strange, most significant first; `correlation` is Spearman's ρ of score and S/N."""

    score: str
    answers: list[Answer]
    waves: dict[str, NDArray[np.float64]] = field(repr=False)
    frames: dict[str, str]
    correlation: dict[str, float]
    judged: dict[str, int]
    abstained: dict[str, int]
