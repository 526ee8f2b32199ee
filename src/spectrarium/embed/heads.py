"""Heads: what turns vectors into labels. Trained by libraries, kept and applied as plain arrays.

A head for numbers gives quantiles, one for classes gives logits. Applying one needs neither
scikit-learn nor torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ..domain.errors import UsageError

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What a head learns from.

    x : (n, p) features, standardised · y : (n,) standardised label, or the class's number
    valid : (n,) True for spectra that only choose settings and when to stop; none of them where
        settings were `chosen` before
    taus : (q,) quantiles wanted, odd in number, the median in the middle · n_classes : 0 = number
    noise : (n, p) σ of each feature due to the spectrum's noise; 0 = none known
    """

    x: Floats
    y: NDArray[Any]
    valid: NDArray[np.bool_]
    taus: Floats
    n_classes: int = 0
    seed: int = 0
    chosen: Mapping[str, Any] = field(default_factory=dict)
    noise: Floats | None = None


class Maker(Protocol):
    """A module that makes one kind of head."""

    def fit(self, lessons: Sequence[Lesson]) -> list[tuple[Arrays, dict[str, Any]]]:
        """Of each lesson weights, and the settings that were chosen on the way."""

    def predict(self, arrays: Arrays, x: Floats) -> Floats:
        """(n, q) quantiles, or (n, C) logits."""


MAKERS = {
    "ridge": "heads_linear",
    "boosting": "heads_trees",
    "network": "heads_network",
}
"""Heads by name: module. ``network`` needs torch to be trained, not to be applied."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A trained head: its name, weights and chosen settings."""

    name: str
    arrays: Arrays
    chosen: Mapping[str, Any]

    def predict(self, x: Floats) -> Floats:
        """(n, p) features → (n, q) rising quantiles, or (n, C) logits."""
        return _maker(self.name).predict(self.arrays, np.asarray(x, np.float64))


def available() -> tuple[list[str], str]:
    """Names of the heads that can be trained here, and in words what is left out."""
    if find_spec("torch") is None:
        names = [n for n in MAKERS if n != "network"]
        return names, "the network head is left out: torch is not installed (extra [deep])"
    return list(MAKERS), ""


def fit_head(name: str, lesson: Lesson) -> Head:
    """Train a head. Raises UsageError (unknown_head, needs_deep)."""
    return fit_heads(name, [lesson])[0]


def fit_heads(name: str, lessons: Sequence[Lesson]) -> list[Head]:
    """A head for each lesson: quicker together than one by one, and the same but for rounding.

    lessons : with the same features, quantiles and classes
    Raises as `fit_head`.
    """
    if name == "network" and find_spec("torch") is None:
        raise UsageError("the network head needs torch, which is not installed",
                         code="needs_deep", remedy="pip install 'spectrarium[deep]'")  # fmt: skip
    with threadpool_limits(1):  # matrices this small lose more to waiting threads than they gain
        return [Head(name, *found) for found in _maker(name).fit(lessons)]


def _maker(name: str) -> Maker:
    if name not in MAKERS:
        raise UsageError(f"no head is called {name!r}", code="unknown_head",
                         remedy=f"choose one of: {', '.join(MAKERS)}")  # fmt: skip
    module: Any = import_module(f"{__package__}.{MAKERS[name]}")
    return module  # type: ignore[no-any-return]


def pinball(quantiles: Floats, y: Floats, taus: Floats) -> Floats:
    """(n,) mean quantile loss: what only the true quantiles make smallest.

    Source: Koenker & Bassett 1978, Econometrica 46, 33, eq. 1.2.
    """
    gap = y[:, None] - quantiles
    return np.asarray(np.maximum(taus * gap, (taus - 1.0) * gap).mean(axis=1))


def log_loss(
    logits: Floats, y: NDArray[Any], temperature: float | NDArray[Any] = 1.0
) -> Floats:  # fmt: skip
    """(n,) −ln of the probability given to the true class; temperature : one, or (n,)."""
    scaled = logits / np.broadcast_to(temperature, len(logits))[:, None]
    top = scaled.max(axis=1)
    total = top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))
    return np.asarray(total - np.take_along_axis(scaled, y[:, None].astype(int), axis=1)[:, 0])
