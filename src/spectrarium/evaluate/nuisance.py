"""Do vectors know what similarity should not be about? Probes of S/N, velocity and date."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..embed.prepare import Prepared
from ..explore.meaning import skill
from .bootstrap import Measured
from .corpus import Corpus

MOST = 2_000
"""Spectra that probes look at: a random choice of more."""
KINDS = ("ridge", "knn")


def probed(
    corpus: Corpus, space: Callable[[NDArray[np.int64]], NDArray[Any]], seed: int = 0
) -> tuple[dict[str, Measured], dict[str, str]]:
    """Held-out R² of every nuisance from a similarity space, and why some have none.

    Parameters
    ----------
    space : rows → (k, d) their vectors, as distances are taken
    Returns
    -------
    R² by ``R² of NAME (ridge)``: what a linear reading finds; ``(knn)``: what the neighbours that
    a search returns have in common; by spectrum, so that two spaces are compared on the same ones
    · reasons, by nuisance
    """
    rows = np.sort(np.random.default_rng(3).permutation(np.flatnonzero(corpus.test))[:MOST])
    features = space(rows)
    out: dict[str, Measured] = {}
    reasons: dict[str, str] = {}
    for name, values in corpus.nuisances.items():
        for kind in KINDS:
            try:
                at, parts = skill(features, values[rows], corpus.objects[rows], kind, seed)
            except UsageError as error:  # constant, or known for too few: said in the table
                reasons[name] = error.what
                continue
            mine = rows[at]
            out[f"R² of {name} ({kind})"] = Measured(parts, corpus.objects[mine], mine)
    return out, reasons


def pixel_space(
    corpus: Corpus, rows: NDArray[np.int64], other: Prepared | None = None
) -> NDArray[np.float32]:
    """(k, n_pix) normalised flux, the mean of `rows` where there is no information.

    other : spectra on the corpus's grid to give instead of those of the rows
    """
    flux, good = corpus.batch.flux[rows], corpus.batch.ivar[rows] > 0
    count = np.maximum(good.sum(axis=0), 1)
    mean = (np.where(good, flux, 0.0).sum(axis=0, dtype=np.float64) / count).astype(np.float32)
    if other is not None:
        flux, good = other.flux, other.ivar > 0
    return np.where(good, flux, mean)
