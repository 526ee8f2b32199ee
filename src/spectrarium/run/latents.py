"""What a model's latents do, one by one, and what each is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .meaning import Finding, Meaning

SURE = 0.05
"""Corrected p below which a latent is said to be about something."""


@dataclass(frozen=True, slots=True, eq=False)
class LatentEffect:
    """The mean spectrum, and what the model makes of ± 2 σ along one latent.

    index : from 0 · share : of the variance of the space distances are taken in
    mean, minus, plus : (n_pix,) normalised flux · note : share and what it knows, in words
    """

    index: int
    share: float
    mean: NDArray[np.float32] = field(repr=False)
    minus: NDArray[np.float32] = field(repr=False)
    plus: NDArray[np.float32] = field(repr=False)
    note: str = ""


def skill(finding: Finding, latent: int) -> float:
    """Score of one latent: R², or (accuracy − chance)/(1 − chance) of classes; 0 nothing, 1 all."""
    chance = finding.best().chance
    return float((finding.latents.score[latent] - chance) / (1.0 - chance))


def about(report: Meaning, latent: int) -> list[tuple[Finding, float]]:
    """What a latent by itself knows of objects never seen, beyond chance, best first."""
    found = [(f, skill(f, latent)) for f in report.findings if f.latents.null_p[latent] < SURE]
    return sorted((pair for pair in found if pair[1] > 0), key=lambda pair: -pair[1])


def latent_records(report: Meaning, most: int) -> list[dict[str, Any]]:
    """The latents of the largest share: what each knows best, of physics and of nuisances."""
    out = []
    for i in np.argsort(-report.shares, kind="stable")[:most].tolist():
        record: dict[str, Any] = {"latent": i, "variance": float(report.shares[i])}
        for role in ("physical", "nuisance"):
            found = [p for p in about(report, i) if p[0].quantity.role.value == role]
            text = ""
            if found:
                best, score = found[0]
                text = f"{best.quantity.name} {score:.2f} ({best.latents.bits[i]:.1f} bits)"
            record[role] = text or None
        out.append(record)
    return out


def latent_effects(report: Meaning, most: int) -> list[LatentEffect]:
    """What the latents of the largest share do to the mean spectrum, by falling share.

    Raises UsageError when the encoder cannot decode.
    """
    model, vectors = report.explorer.model, np.asarray(report.vectors, np.float64)
    mean, sigma = vectors.mean(axis=0), vectors.std(axis=0)
    out = []
    for i in np.argsort(-report.shares, kind="stable")[:most].tolist():
        step = np.zeros_like(mean)
        step[i] = 2.0 * sigma[i]
        flux = model.decode(np.stack([mean, mean - step, mean + step]).astype(np.float32))
        words = [f"{100 * report.shares[i]:.0f} % of variance"]
        words += [f"{f.quantity.name} {score:.2f}" for f, score in about(report, i)[:2]]
        note = "   ".join(words)
        out.append(LatentEffect(i, float(report.shares[i]), flux[0], flux[1], flux[2], note))
    return out
