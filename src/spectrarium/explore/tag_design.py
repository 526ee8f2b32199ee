"""What heads see: standardised vectors and their noise in, standardised labels out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .conformal import Floats
from .tag_guard import LEAST_SNR, Features

CLIP = 8.0
"""Features are held to so many σ of the training set: nothing is extrapolated beyond."""
LOG_RANGE = 3.0
"""Positive labels whose 1st and 99th percentiles differ by more than this factor are learnt as
logarithms: a kelvin is not the same thing to a hot star as to a cool one."""


def quantile_levels(levels: Sequence[float]) -> Floats:
    """(2 L + 1,) quantiles that bound the central intervals, with the median in the middle."""
    tail = np.sort((1.0 - np.asarray(levels, np.float64)) / 2.0)
    return np.concatenate([tail, [0.5], 1.0 - tail[::-1]])


def wants_log(y: Floats) -> bool:
    """Whether labels (all there are) are better learnt as logarithms."""
    low, high = np.quantile(y, [0.01, 0.99])
    return bool(y.min() > 0 and high > LOG_RANGE * low)


@dataclass(frozen=True, slots=True)
class Scale:
    """Label ↔ what heads learn: (label − middle) / width, of its logarithm if `log`."""

    middle: float = 0.0
    width: float = 1.0
    log: bool = False

    @classmethod
    def fit(cls, y: Floats, log: bool = False) -> Self:
        """Median and robust width of the training labels."""
        values = np.log(y) if log else y
        width = float(np.subtract(*np.quantile(values, [0.84, 0.16]))) / 2.0
        return cls(float(np.median(values)), width or float(values.std()) or 1.0, log)

    def forth(self, y: NDArray[np.float64]) -> Floats:
        """Label → standardised. Labels ≤ 0 of a logarithmic scale become NaN."""
        if self.log:
            y = np.log(np.where(y > 0, y, np.nan))
        return np.asarray((y - self.middle) / self.width)

    def back(self, z: Floats) -> Floats:
        """Standardised → label."""
        y = z * self.width + self.middle
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(y) if self.log else y)


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Features of a head: each vector component, ln S/N, and how much of the vectors is noise.

    mean, width : (d + 2,) of the training set
    """

    mean: Floats
    width: Floats

    @classmethod
    def fit(cls, features: Features) -> Self:
        """Mean and standard deviation over the training spectra; 1 for what does not vary."""
        raw = _raw(features, features.vectors.std(axis=0, dtype=np.float64))
        width = raw.std(axis=0)
        return cls(raw.mean(axis=0), np.where(width > 1e-12, width, 1.0))

    def of(self, features: Features) -> Floats:
        """(n, d + 2) standardised, held to ±8."""
        raw = _raw(features, self.width[: features.vectors.shape[1]])
        return np.clip((raw - self.mean) / self.width, -CLIP, CLIP)

    def noise(self, features: Features) -> Floats | None:
        """(n, d + 2) σ of each due to noise; None where variances are unknown."""
        if features.variance is None:
            return None
        variance = np.nan_to_num(np.asarray(features.variance, np.float64), nan=0.0)
        if not variance.any():
            return None
        sigma = np.sqrt(np.maximum(variance, 0.0)) / self.width[: variance.shape[1]]
        return np.pad(sigma, ((0, 0), (0, 2)))


def _raw(features: Features, width: Floats) -> Floats:
    vectors = np.asarray(features.vectors, np.float64)
    share = np.zeros(len(vectors))
    if features.variance is not None:
        variance = np.nan_to_num(np.asarray(features.variance, np.float64), nan=0.0)
        share = np.log10(1e-4 + (variance / np.maximum(width, 1e-12) ** 2).mean(axis=1))
    snr = np.log(np.maximum(np.asarray(features.snr, np.float64), LEAST_SNR))
    return np.column_stack([vectors, snr, share])
