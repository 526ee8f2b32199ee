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
    """The mean spectrum, and what the model makes of both ends of one latent.

    index : from 0 · share : of the variance of the space distances are taken in
    mean, minus, plus : (n_pix,) normalised flux: all latents at their mean, then this one at its
        2.3 and 97.7 percentiles (± 2 σ of a Gaussian; real latents have tails that no spectrum of
        the middle shares) · note : share and what it knows, in words
    z : redshift at which its lines are to be named; None = none is common to what it describes
    """

    index: int
    share: float
    mean: NDArray[np.float32] = field(repr=False)
    minus: NDArray[np.float32] = field(repr=False)
    plus: NDArray[np.float32] = field(repr=False)
    note: str = ""
    z: float | None = 0.0


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


def latent_matrix(report: Meaning, most: int) -> list[dict[str, Any]]:
    """The same latents with every quantity, physics first: score of the latent by itself for
    objects never seen, 0 nothing, 1 all; starred where that is beyond chance."""
    ranked = sorted(report.findings, key=lambda f: f.quantity.role.value != "physical")
    out = []
    for i in np.argsort(-report.shares, kind="stable")[:most].tolist():
        record: dict[str, Any] = {"latent": i}
        for f in ranked:
            star = "*" if f.latents.null_p[i] < SURE else ""
            record[f.quantity.name] = f"{skill(f, i):.2f}{star}".replace("-0.00", "0.00")
        out.append(record)
    return out


def latent_effects(report: Meaning, most: int, skip: int = 0) -> list[LatentEffect]:
    """What the latents of the largest share do to the mean spectrum, by falling share.

    skip : so many that come before, on another page
    Raises UsageError when the encoder cannot decode.
    """
    model, vectors = report.explorer.model, np.asarray(report.vectors, np.float64)
    mean = vectors.mean(axis=0)
    low, high = np.percentile(vectors, [2.3, 97.7], axis=0)
    out = []
    for i in np.argsort(-report.shares, kind="stable")[skip : skip + most].tolist():
        ends = np.stack([mean, mean, mean])
        ends[1, i], ends[2, i] = low[i], high[i]
        flux = model.decode(ends.astype(np.float32))
        words = [f"{100 * report.shares[i]:.0f} % of variance"]
        words += [f"{f.quantity.name} {score:.2f}" for f, score in about(report, i)[:2]]
        z = common_redshift(vectors[:, i], report.redshift)
        if model.domain.frame == "rest":
            z = 0.0
        elif z is not None and abs(z) > AT_REST:
            words.append(f"lines at z = {z:.3f}")
        note = "   ".join(words)
        share = float(report.shares[i])
        out.append(LatentEffect(i, share, flux[0], flux[1], flux[2], note, z))
    return out


AT_REST = 0.002
"""Redshifts below this (600 km/s) leave a line recognisable where it is at rest."""
_EXTREME, _ALIKE = 12, 0.01


def common_redshift(latent: NDArray[Any], z: NDArray[np.float64]) -> float | None:
    """The redshift that the spectra farthest out along a latent share; None if they share none.

    Of the 12 most extreme, three quarters of those with a known redshift must lie within 0.01 of
    their median. Where no redshift is known at all, spectra are taken to be at rest.
    """
    if not np.isfinite(z).any():
        return 0.0
    far = np.argsort(-np.abs(latent - np.median(latent)), kind="stable")[:_EXTREME]
    known = z[far][np.isfinite(z[far])]
    if known.size < _EXTREME // 2:
        return None
    middle = float(np.median(known))
    return middle if np.mean(np.abs(known - middle) < _ALIKE) >= 0.75 else None
