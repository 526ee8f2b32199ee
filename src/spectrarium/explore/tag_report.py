"""How good tags are on objects that had no part in making them: σ, bias and coverage by S/N."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .conformal import (
    LEAST_OBJECTS,
    Floats,
    binomial_interval,
    binomial_p,
    even_edges,
    holm,
    object_weights,
)
from .tag_guard import Features
from .tagger import Tagger

MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Tags beside the truth, for n spectra that have one.

    error : (n,) tag − truth; for classes 0 where right, 1 where wrong · inside : (n, L) the
    truth lies in the interval or set · size : (n, L) width of the interval or classes in the set
    known : (n,) False where the tagger abstained from all · valued : (n,) a value was given
    """

    levels: tuple[float, ...]
    kind: str
    truth: NDArray[Any]
    value: NDArray[Any]
    error: Floats
    inside: NDArray[np.bool_]
    size: Floats
    snr: Floats
    objects: NDArray[np.int64]
    known: NDArray[np.bool_]
    valued: NDArray[np.bool_]
    reason: NDArray[Any]


def outcome(
    tagger: Tagger, features: Features, label: NDArray[Any], objects: NDArray[Any]
) -> Outcome:
    """What the tagger says of spectra whose label is known; those without are left out."""
    if tagger.kind == "number":
        there = np.isfinite(np.asarray(label, np.float64))
    else:
        text = np.array(["" if v is None else str(v).strip() for v in label], object)
        there = np.isin(text.astype(str), tagger.classes)
        label = text
    rows = np.flatnonzero(there & features.covered)
    features, truth = features[rows], np.asarray(label)[rows]
    said = tagger.predict(features)
    if tagger.kind == "number":
        truth = truth.astype(np.float64)
        error = said.value - truth
        inside = (said.low <= truth[:, None]) & (truth[:, None] <= said.high)
        size = said.high - said.low
    else:
        at = np.searchsorted(np.array(tagger.classes), truth.astype(str))
        inside = said.sets[np.arange(len(truth)), :, at]
        error = (said.value != truth).astype(np.float64)
        size = said.sets.sum(axis=2).astype(np.float64)
    return Outcome(
        tagger.levels, tagger.kind, truth, said.value, error, inside, size,
        np.asarray(features.snr, np.float64), np.asarray(objects, np.int64)[rows], said.known,
        said.reason == "", said.reason,
    )  # fmt: skip


def joined(parts: Sequence[Outcome]) -> Outcome:
    """Outcomes of several rotations as one: each object was tested once."""
    first = parts[0]
    arrays = {
        f: np.concatenate([getattr(p, f) for p in parts])
        for f in Outcome.__slots__ if f not in ("levels", "kind")
    }  # fmt: skip
    return Outcome(first.levels, first.kind, **arrays)


def summary(out: Outcome, most_bins: int = 5, least: int = LEAST_OBJECTS) -> dict[str, Any]:
    """Plain values: everything together, then by S/N bin, with 95 % intervals by object.

    Coverage counts objects, not spectra: of an object, the share of its spectra that are covered.
    ``holds`` says whether a level's nominal value is compatible with what was counted (in bins:
    Holm-corrected); for classes, sets may cover more, since a set is never empty. Bins hold
    `least` objects or more: smaller ones are merged, all into one if there are fewer.
    """
    whole = _part(out, np.ones(len(out.snr), bool))
    known = out.known
    edges = even_edges(out.snr[known], out.objects[known], most_bins, least)
    where = np.searchsorted(edges, out.snr, side="right")
    bins = [_part(out, where == b) for b in range(len(edges) + 1)]
    for j in range(len(out.levels)):
        p = np.array([b["coverage"][j]["p"] for b in bins])
        for b, bad in zip(bins, holm(p), strict=True):
            b["coverage"][j]["holds"] = not bad
    counts: dict[str, int] = {}
    for reason in out.reason[out.reason != ""]:
        key = str(reason).split(":")[0].split(" at ")[0]
        key = "S/N outside the range trained on" if key.startswith("S/N") else key
        counts[key] = counts.get(key, 0) + 1
    return {**whole, "bins": bins, "abstentions": counts}


def _part(out: Outcome, rows: NDArray[np.bool_]) -> dict[str, Any]:
    known, valued = rows & out.known, rows & out.valued
    objects = out.objects[known]
    weight = object_weights(objects)
    n = float(weight.sum())
    record: dict[str, Any] = {
        "spectra": int(rows.sum()), "objects": len(np.unique(out.objects[rows])),
        "abstained": 1.0 - float(valued[rows].mean()) if rows.any() else 0.0,
        "snr_low": float(out.snr[rows].min()) if rows.any() else None,
        "snr_high": float(out.snr[rows].max()) if rows.any() else None,
    }  # fmt: skip
    error = out.error[valued]
    if out.kind == "number":
        middle = float(np.median(error)) if error.size else np.nan
        spread = np.abs(error - middle)
        record |= {
            "bias": middle if error.size else None,
            "sigma": float(MAD_TO_SIGMA * np.median(spread)) if error.size else None,
            "mean_abs": float(np.abs(error).mean()) if error.size else None,
        }
    else:
        record["accuracy"] = 1.0 - float(error.mean()) if error.size else None
    record["coverage"] = []
    for j, level in enumerate(out.levels):
        hits = float((weight * out.inside[known, j]).sum())
        low, high = binomial_interval(hits, n)
        p = binomial_p(hits, n, level)
        if out.kind == "class" and n and hits / n > level:
            p = 1.0
        size = out.size[known, j]
        finite = size[np.isfinite(size)]
        record["coverage"].append({
            "level": level, "share": hits / n if n else None, "low": low, "high": high,
            "objects": round(n), "p": p, "holds": p > 0.05,
            "size": float(np.median(finite)) if finite.size and out.kind == "number" else
            float(finite.mean()) if finite.size else None,
        })  # fmt: skip
    return record
