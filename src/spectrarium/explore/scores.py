"""Scores by name: those that look at pixels, one spectrum at a time, and those of a population."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..domain.derived import NoiseSource
from ..domain.errors import UsageError
from ..embed.encoder import Encoded, Encoder
from ..embed.prepare import Prepared
from .explain import despiked
from .neighbours import ExactIndex

HUBER = 5.0
"""Residuals beyond this many σ count linearly."""
_LEAST_DOF = 10
K = 10
"""Neighbours whose distance is the density score and whose mean is what a spectrum should be."""


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """One score of many spectra.

    value : (n,) float64, NaN = abstains · reason : why, by position
    residual : (n, n_pix) in σ; None for scores of a population: see `against_neighbours`
    rank_by : (n,) positive and rising with strangeness, whose logarithm is set against what is
    usual at the same S/N; None = the value itself · note : what more there is to say, by position
    facts : about the whole, for the table's metadata
    least_spread : σ of ln `rank_by` to reckon with at least, where most objects share a value
    """

    name: str
    value: NDArray[np.float64]
    residual: NDArray[np.float32] | None
    reason: Mapping[int, str]
    rank_by: NDArray[np.float64] | None = None
    note: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    facts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    least_spread: float = 1e-3

    @property
    def ranked(self) -> NDArray[np.float64]:
        """(n,) what is set against the usual."""
        return self.value if self.rank_by is None else self.rank_by


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
    residual = residuals(encoder, batch.flux, batch.ivar, encoder.decode(encoded.vectors))
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


def density(
    encoder: Encoder, batch: Prepared, encoded: Encoded, index: ExactIndex | None = None,
    obs_uid: NDArray[Any] | None = None, k: int = K,
) -> Values:  # fmt: skip
    """Mean distance to the k nearest others, in the index's metric.

    The residual kept for `drivers` is against the mean of those neighbours' reconstructions.
    Raises UsageError (too_few_spectra) where there are no k others.
    """
    if index is None or obs_uid is None:
        raise UsageError("the density score needs an index and the ids of the spectra",
                         code="usage")  # fmt: skip
    if len(index) <= k:
        raise UsageError(
            f"{len(index)} vectors have no {k} neighbours each",
            code="too_few_spectra",
            remedy="embed more spectra or lower k",
        )
    found = index.search(encoded.vectors, k, model=encoder.ref, exclude=obs_uid)
    typical = _mean_of(encoder, index, found.obs_uid)
    residual = residuals(encoder, batch.flux, batch.ivar, typical)
    return Values("density", found.distance.mean(axis=1), residual, MappingProxyType({}))


def neighbours_mean(
    encoder: Encoder, vectors: NDArray[np.float32], index: ExactIndex, obs_uid: NDArray[Any],
    k: int = K,
) -> NDArray[np.float32]:  # fmt: skip
    """(n, n_pix) what spectra would be if they were like their k nearest others: the mean of those
    neighbours' reconstructions.

    vectors : (n, d) of the spectra, as the encoder gives them
    """
    found = index.search(vectors, min(k, len(index) - 1), model=encoder.ref, exclude=obs_uid)
    return _mean_of(encoder, index, found.obs_uid)


def _mean_of(encoder: Encoder, index: ExactIndex, neighbours: NDArray[Any]) -> NDArray[np.float32]:
    near = index.rows_of(neighbours)
    return encoder.decode(index.vectors(near).mean(axis=1))


def residuals(
    encoder: Encoder, flux: NDArray[Any], ivar: NDArray[Any], model: NDArray[Any],
    spikes: bool = False,
) -> NDArray[np.float32]:  # fmt: skip
    """(n, n_pix) in σ of noise and model scatter, narrow spikes cut down unless `spikes` (see
    `despiked`)."""
    weight = ivar / (1.0 + ivar * encoder.scatter)
    found = np.where(ivar > 0, (flux - model) * np.sqrt(weight), 0.0)
    return np.asarray(found, np.float32) if spikes else despiked(found)


ScoreFunction = Callable[
    [Encoder, Prepared, Encoded, ExactIndex | None, NDArray[Any] | None], Values
]
BUILTIN: Mapping[str, ScoreFunction] = MappingProxyType(
    {"reconstruction": reconstruction, "density": density}
)
"""Scores of single spectra; those of the entry points ``spectrarium.scores`` have this form."""
POPULATION = ("total", "spectral", "spatial", "label")
"""Scores of all vectors together: see `explore.population`."""
COMBINED = "combined"
ALIASES: Mapping[str, str] = MappingProxyType({"knn": "density"})


def canonical(name: str) -> str:
    """The score's present name. Raises UsageError (unknown_score) listing the known."""
    name = ALIASES.get(name, name)
    if name not in score_names():
        raise UsageError(f"no score is called {name!r}", code="unknown_score",
                         remedy=f"choose one of: {', '.join(score_names())}")  # fmt: skip
    return name


def score_names() -> list[str]:
    """All scores there are, without aliases."""
    points = (p.name for p in entry_points(group="spectrarium.scores"))
    return sorted({*BUILTIN, *POPULATION, COMBINED, *points})


def score_named(name: str) -> ScoreFunction:
    """The score function of single spectra of this name; an unknown one lists the known.

    Further scores come from the entry points ``spectrarium.scores``.
    """
    name = canonical(name)
    if name in BUILTIN:
        return BUILTIN[name]
    for point in entry_points(group="spectrarium.scores"):
        if point.name == name:
            return cast(ScoreFunction, point.load())
    raise UsageError(f"score {name!r} is not of single spectra", code="unknown_score",
                     remedy=f"choose one of: {', '.join(BUILTIN)}")  # fmt: skip
