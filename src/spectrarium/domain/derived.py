"""Values derived from spectra by a model: each one names the model it came from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError


class NoiseSource(StrEnum):
    """Where the noise behind a value came from."""

    DELIVERED = "delivered"
    ESTIMATED = "estimated"
    UNKNOWN = "unknown"


class Region(NamedTuple):
    """A wavelength interval (Å, vacuum, in the model's frame) and what it contributes.

    contribution : share of the total, 0…1 · sign : +1 where the object is brighter than what it
    is compared with, −1 fainter, 0 mixed
    """

    lo_aa: float
    hi_aa: float
    contribution: float
    sign: int = 0


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Which model made a value: enough to find it again and to refuse mixing two.

    name : encoder and group (``pca/low-3800-9200``) · version : of the code that trained it
    weights_hash : BLAKE3 of the weights, hex · training : one line about the training set
    """

    name: str
    version: str
    weights_hash: str
    training: str = ""

    @property
    def model_id(self) -> str:
        """Short unique name, ``NAME@HASH12``."""
        return f"{self.name}@{self.weights_hash[:12]}"


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """Vectors of many observations by one model.

    vectors : (n, d) float32 · obs_uid : (n,) integer, the archive's ids, no duplicates
    """

    model: ModelRef
    vectors: NDArray[np.float32]
    obs_uid: NDArray[Any]

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or self.obs_uid.shape != self.vectors.shape[:1]:
            raise UsageError(
                f"{self.obs_uid.shape} ids do not fit vectors of shape {self.vectors.shape}",
                code="mismatched_lengths", remedy="give one id for each row of vectors",
            )  # fmt: skip
        if not np.issubdtype(self.obs_uid.dtype, np.integer):
            raise UsageError("obs_uid must be integers", code="bad_ids")

    def __len__(self) -> int:
        return int(self.vectors.shape[0])


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One answer to "what is like this one?"; rank counts from 1."""

    obs_uid: int
    distance: float
    rank: int
    drivers: tuple[Region, ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """How strange one observation is.

    value : the score itself; None = the score abstains, and `reason` says why
    significance : robust σ above the typical value at the same S/N; what outliers are ranked by
    snr : median per model pixel · drivers : where in wavelength the score comes from
    """

    obs_uid: int
    name: str
    value: float | None
    significance: float | None
    snr: float | None
    noise_source: NoiseSource
    drivers: tuple[Region, ...] = ()
    reason: str = ""

    def __post_init__(self) -> None:
        if (self.value is None) == (not self.reason):
            raise UsageError("a score has either a value or a reason for having none",
                             code="bad_score")  # fmt: skip
        if self.value is not None and not math.isfinite(self.value):
            raise UsageError(f"score {self.name} is {self.value}", code="bad_score")


@dataclass(frozen=True, slots=True)
class Tag:
    """A label that a model gives to one observation, with how sure it is.

    value : number in `unit`, or the class; None = the model abstains, and `reason` says why
    interval : (low, high) of a number at `level`, conformal; None for classes and abstentions
    classes : classes that cannot be excluded at `level`, likeliest first; () for numbers
    probability : of `value`, for classes · model : which model · reason : of an abstention
    """

    obs_uid: int
    label: str
    value: float | str | None
    level: float
    model: ModelRef
    interval: tuple[float, float] | None = None
    classes: tuple[str, ...] = ()
    probability: float | None = None
    unit: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        if (self.value is None) == (not self.reason):
            raise UsageError("a tag has either a value or a reason for having none",
                             code="bad_tag")  # fmt: skip
        if not 0 < self.level < 1:
            raise UsageError(f"level {self.level} is not in (0, 1)", code="bad_tag")
        if self.interval is not None and not self.interval[0] <= self.interval[1]:
            raise UsageError(f"interval {self.interval} is upside down", code="bad_tag")
