"""Encoders as the benchmark fits them: defaults, a seed, and a stated amount of training."""

from __future__ import annotations

import inspect
from dataclasses import fields, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.progress import Progress
from ..embed.encoder import Encoded, Encoder, encoder_named
from ..embed.prepare import Prepared
from .corpus import Corpus

_BLOCK = 512
_LEAST_EPOCHS = 1


def made(name: str, corpus: Corpus, seed: int, steps: int) -> Encoder:
    """An unfitted encoder with its default settings, but for the seed and the length of training
    (and fewer components where the corpus is too small for the default).

    steps : gradient steps of a network at most, as whole epochs (never fewer than one): the same
    number on any machine, so that results do not depend on its speed
    Raises UsageError (unknown_encoder, needs_deep).
    """
    kind: Any = encoder_named(name)
    settings = kind(corpus.domain).settings
    known = {f.name for f in fields(settings)}
    n_train = len(corpus.fit_rows)
    changes: dict[str, Any] = {"seed": seed} if "seed" in known else {}
    if "n_components" in known:
        changes["n_components"] = max(2, min(settings.n_components, n_train // 4))
    if getattr(settings, "least_spectra", 0) > 0.8 * n_train:  # a small corpus: a smaller code
        changes["latent"] = max(4, n_train // 4)
    if hasattr(settings, "for_spectra"):
        a_pass = max(1, -(-n_train // settings.batch))
        enough = settings.for_spectra(n_train)
        changes["epochs"] = max(_LEAST_EPOCHS, min(enough.epochs, steps // a_pass))
        changes["patience"] = enough.patience
    encoder: Encoder = kind(corpus.domain, replace(settings, **changes), name)
    return encoder


def fitted(
    encoder: Encoder, corpus: Corpus, device: str, work: Path | None, progress: Progress
) -> float:
    """Fit on the training objects, without labels; seconds it took.

    work : where a network keeps its checkpoint, so that an interrupted fit goes on
    """
    accepted = inspect.signature(encoder.fit).parameters
    options: dict[str, Any] = {}
    if "device" in accepted:
        options["device"] = device
    if "checkpoint_dir" in accepted and work is not None:
        options["checkpoint_dir"] = work
    started = perf_counter()
    encoder.fit(corpus.training_set(), progress, **options)
    return perf_counter() - started


def encoded(encoder: Encoder, batch: Prepared) -> tuple[Encoded, float]:
    """All spectra of a batch, and spectra/s."""
    parts = []
    started = perf_counter()
    for start in range(0, len(batch), _BLOCK):
        rows = slice(start, start + _BLOCK)
        parts.append(encoder.encode(batch.flux[rows], batch.ivar[rows]))
    rate = len(batch) / max(perf_counter() - started, 1e-9)

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(p, name) for p in parts])

    return Encoded(
        column("vectors"), column("variance"), column("chi2"), column("n_pix"), column("n_fit")
    ), rate
