"""What the two questions give back."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..domain.derived import Region
from ..domain.spectrum import Spectrum
from ..explore.explain import Explanation
from ..explore.triage import Reason


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
    explanation: Explanation | None = field(default=None, repr=False)
    pixel_distance: float | None = None


@dataclass
class Similar:
    """What is like the query, nearest first, all by one model or by pixels alone.

    model : that was asked, or ``pixels 6463–6665 Å`` · searched : how many were compared
    metric : what `Answer.value` is · search : how they were sought, with the measured recall
    notes : what the asker should know · left_out : why observations were not compared, how many
    redshift : at which the query's lines appear on `wave_aa`; None = unknown
    """

    query: str
    query_spectrum: Spectrum
    model: str
    wave_aa: NDArray[np.float64] = field(repr=False)
    query_flux: NDArray[np.float32] = field(repr=False)
    query_ivar: NDArray[np.float32] = field(repr=False)
    answers: list[Answer]
    searched: int
    frame: str
    metric: str = "embedding"
    search: str = "exact"
    notes: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    redshift: float | None = None


@dataclass
class Strange(Answer):
    """One outlier: `reconstruction` holds what was expected of it, by `expected_by`.

    kind : artefact, astrophysical or unclear · reasons : why, strongest first · lines : for each
    of `drivers` the lines that may be behind it · note : what else the score says
    bin, bin_rank, bin_size : among objects of a like value of the column asked for
    """

    expected_by: str = ""
    kind: str = ""
    reasons: tuple[Reason, ...] = ()
    lines: tuple[str, ...] = ()
    note: str = ""
    bin: str = ""
    bin_rank: int | None = None
    bin_size: int | None = None


@dataclass
class Outliers:
    """What is strange, most significant first; `correlation` is Spearman's ρ of score and S/N.

    answers : `Strange` · facts : what the score says about the whole, by embedding (forests, trees,
    their stability …) · bins_of : the column within whose bins objects are ranked, if any
    notes : what the asker should know
    """

    score: str
    answers: list[Strange]
    waves: dict[str, NDArray[np.float64]] = field(repr=False)
    frames: dict[str, str]
    correlation: dict[str, float]
    judged: dict[str, int]
    abstained: dict[str, int]
    facts: dict[str, dict[str, str]] = field(default_factory=dict)
    bins_of: str | None = None
    notes: list[str] = field(default_factory=list)
