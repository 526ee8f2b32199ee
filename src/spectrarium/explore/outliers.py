"""What is strange: scores set against objects of the same S/N, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from ..domain.derived import Region, Score
from ..domain.errors import UsageError
from ..embed.prepare import Prepared
from .explain import regions
from .scores import (
    ALIASES,
    BUILTIN,
    Values,
    canonical,
    density,
    reconstruction,
    score_named,
    score_names,
)

_PER_BIN = 100
_LEAST_SPREAD = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Trend:
    """The usual score at each S/N, over a population: what a value is judged against.

    log_snr : (m,) ascending · centre, sigma : (m,) median and robust σ of ln score there
    """

    log_snr: NDArray[np.float64]
    centre: NDArray[np.float64]
    sigma: NDArray[np.float64]

    @classmethod
    def of(
        cls, value: NDArray[Any], snr: NDArray[Any], least_spread: float = _LEAST_SPREAD
    ) -> Trend:
        """From at least 10 values; S/N is cut into bins of some 100 objects each.

        least_spread : σ of ln score at least, for scores that most objects share
        Raises UsageError (too_few_spectra).
        """
        use = np.isfinite(value) & (value > 0) & np.isfinite(snr)
        if use.sum() < 10:
            raise UsageError(f"{use.sum()} scores are too few to say what is usual",
                             code="too_few_spectra", remedy="embed more spectra")  # fmt: skip
        x, y = _log_snr(snr[use]), np.log(value[use])
        order = np.argsort(x, kind="stable")
        parts = np.array_split(order, max(1, min(20, use.sum() // _PER_BIN)))
        centre = np.array([np.median(y[p]) for p in parts])
        spread = np.array([1.4826 * np.median(np.abs(y[p] - np.median(y[p]))) for p in parts])
        floor = max(least_spread, 0.1 * float(np.median(spread)))
        return cls(np.array([np.median(x[p]) for p in parts]), centre, np.maximum(spread, floor))

    def significance(self, value: NDArray[Any], snr: NDArray[Any]) -> NDArray[np.float64]:
        """(n,) robust σ of ln score above what is usual at that S/N; NaN for abstentions."""
        x = _log_snr(snr)
        centre = np.interp(x, self.log_snr, self.centre)
        sigma = np.interp(x, self.log_snr, self.sigma)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((np.log(value) - centre) / sigma)


def _log_snr(snr: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(np.log(np.maximum(np.abs(snr), 0.1)))


def scores(
    values: Values, significance: NDArray[np.float64], batch: Prepared, obs_uid: NDArray[Any],
    wave_aa: NDArray[Any], most_regions: int = 3, rows: NDArray[Any] | None = None,
) -> list[Score]:  # fmt: skip
    """Score objects of `rows` (default all), with the regions that drive them."""
    out = []
    for i in range(len(batch)) if rows is None else rows:
        abstains = not np.isfinite(values.value[i])
        reason = values.reason.get(int(i), "score is not finite") if abstains else ""
        drivers: tuple[Region, ...] = ()
        if not abstains and values.residual is not None:
            drivers = regions(wave_aa, values.residual[i], most_regions)
        out.append(
            Score(
                obs_uid=int(obs_uid[i]),
                name=values.name,
                value=None if abstains else float(values.value[i]),
                significance=None if abstains else float(significance[i]),
                snr=float(batch.snr[i]) if np.isfinite(batch.snr[i]) else None,
                noise_source=batch.noise_source[i],
                drivers=drivers,
                reason=reason,
            )
        )
    return out


def top(significance: NDArray[Any], obs_uid: NDArray[Any], k: int) -> NDArray[np.int64]:
    """Rows of the k strangest, most significant first, ties by id; abstentions never."""
    if k < 1:
        raise UsageError(f"k is {k}", code="bad_k", remedy="ask for one outlier or more")
    known = np.flatnonzero(np.isfinite(significance))
    order = np.lexsort((obs_uid[known], -significance[known]))
    return known[order[:k]]


def snr_correlation(value: NDArray[Any], snr: NDArray[Any]) -> float:
    """Spearman's ρ between a score and S/N, to be reported beside it; NaN if undefined."""
    use = np.isfinite(value) & np.isfinite(snr)
    if use.sum() < 3:
        return float("nan")
    return float(spearmanr(value[use], snr[use]).statistic)


__all__ = [
    "ALIASES", "BUILTIN", "Trend", "Values", "canonical", "density", "reconstruction",
    "score_named", "score_names", "scores", "snr_correlation", "top",
]  # fmt: skip
