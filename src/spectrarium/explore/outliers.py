"""What is strange: scores, set against objects of the same S/N, and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from ..domain.derived import NoiseSource, Region, Score
from ..domain.errors import UsageError
from ..embed.encoder import Encoded, Encoder
from ..embed.prepare import Prepared
from .explain import despiked, regions
from .neighbours import ExactIndex

HUBER = 5.0
"""Residuals beyond this many σ count linearly."""
_LEAST_DOF = 10
_PER_BIN = 100


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """One score of many spectra.

    value : (n,) float64, NaN = abstains · reason : why, by position · residual : (n, n_pix) in σ
    """

    name: str
    value: NDArray[np.float64]
    residual: NDArray[np.float32]
    reason: Mapping[int, str]


def reconstruction(
    encoder: Encoder, batch: Prepared, encoded: Encoded, index: ExactIndex | None = None,
    obs_uid: NDArray[Any] | None = None,
) -> Values:  # fmt: skip
    """Reduced χ² of what the model cannot reproduce: 1 = as noisy as it says it is.

    Noise is that of each pixel plus the model's own scatter, so spectra whose noise is below the
    model's softening score under 1. Residuals beyond 5 σ count linearly and narrow spikes hardly
    (see `despiked`); pixels used up by the fit leave the degrees of freedom. Abstains where the
    noise is unknown.
    Source: Huber 1964 (Ann. Math. Stat. 35, 73) for the loss. Valid for: noise that is right; an
    error array too small by f raises every score of its survey by f².
    """
    residual = _residual(encoder, batch.flux, batch.ivar, encoder.decode(encoded.vectors))
    size = np.abs(residual)
    loss = np.where(size <= HUBER, size**2, HUBER * (2.0 * size - HUBER))
    dof = encoded.n_pix - encoded.n_fit
    reason: dict[int, str] = {}
    for i, source in enumerate(batch.noise_source):
        if source is NoiseSource.UNKNOWN:
            reason[i] = "noise unknown: none delivered, none to be estimated"
        elif dof[i] < _LEAST_DOF:
            reason[i] = f"{dof[i]:.0f} pixels left after the fit"
    value = loss.sum(axis=1, dtype=np.float64) / np.maximum(dof, 1.0)
    value[list(reason)] = np.nan
    return Values("reconstruction", value, residual, MappingProxyType(reason))


def knn(
    encoder: Encoder, batch: Prepared, encoded: Encoded, index: ExactIndex | None = None,
    obs_uid: NDArray[Any] | None = None, k: int = 10,
) -> Values:  # fmt: skip
    """Mean distance to the k nearest others, in the index's metric.

    The residual kept for `drivers` is against the mean of those neighbours' reconstructions.
    """
    if index is None or obs_uid is None:
        raise UsageError("the knn score needs an index and the ids of the spectra", code="usage")
    if len(index) <= k:
        raise UsageError(
            f"{len(index)} vectors have no {k} neighbours each",
            code="too_few_spectra",
            remedy="embed more spectra or lower k",
        )
    found = index.search(encoded.vectors, k, model=encoder.ref, exclude=obs_uid)
    near = index.rows_of(found.obs_uid)
    typical = encoder.decode(index.vectors(near).mean(axis=1))
    residual = _residual(encoder, batch.flux, batch.ivar, typical)
    return Values("knn", found.distance.mean(axis=1), residual, MappingProxyType({}))


ScoreFunction = Callable[
    [Encoder, Prepared, Encoded, ExactIndex | None, NDArray[Any] | None], Values
]
BUILTIN: Mapping[str, ScoreFunction] = MappingProxyType(
    {"reconstruction": reconstruction, "knn": knn}
)


def score_named(name: str) -> ScoreFunction:
    """The score function of this name; an unknown one lists the known.

    Further scores come from the entry points ``spectrarium.scores``.
    """
    if name in BUILTIN:
        return BUILTIN[name]
    points = {p.name: p for p in entry_points(group="spectrarium.scores")}
    if name in points:
        return cast(ScoreFunction, points[name].load())
    raise UsageError(f"no score is called {name!r}", code="unknown_score",
                     remedy=f"choose one of: {', '.join(sorted({*BUILTIN, *points}))}")  # fmt: skip


def _residual(
    encoder: Encoder, flux: NDArray[Any], ivar: NDArray[Any], model: NDArray[Any]
) -> NDArray[np.float32]:
    """(n, n_pix) in σ of noise and model scatter, without narrow spikes (see `despiked`)."""
    weight = ivar / (1.0 + ivar * encoder.scatter)
    return despiked(np.where(ivar > 0, (flux - model) * np.sqrt(weight), 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class Trend:
    """The usual score at each S/N, over a population: what a value is judged against.

    log_snr : (m,) ascending · centre, sigma : (m,) median and robust σ of ln score there
    """

    log_snr: NDArray[np.float64]
    centre: NDArray[np.float64]
    sigma: NDArray[np.float64]

    @classmethod
    def of(cls, value: NDArray[Any], snr: NDArray[Any]) -> Trend:
        """From at least 10 values; S/N is cut into bins of some 100 objects each.

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
        floor = max(1e-3, 0.1 * float(np.median(spread)))
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
        if not abstains:
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
