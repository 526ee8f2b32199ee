"""Scores of a whole population: weirdness by forests, and labels that their neighbours deny."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..domain.errors import UsageError
from ..domain.progress import Progress, Silent
from .forest import ForestSettings, forests, leading_features, stability
from .neighbours import ExactIndex
from .scores import Values

LABEL_K = 20
"""Neighbours whose labels are asked."""
_LABEL_SPREAD = 0.3
"""Most objects agree with all their neighbours and so share one score: without a floor the first
neighbour that dissents would be hundreds of σ."""
_SEARCHED = 512
_FEWEST_ON_SKY = 20
_PLACED = 65_536
"""Objects whose neighbours in space are sought at a time."""


def nearest(
    index: ExactIndex, k: int, allowed: NDArray[np.bool_] | None = None,
    progress: Progress | None = None,
) -> NDArray[np.int32]:  # fmt: skip
    """(n, k) positions of each vector's nearest others, nearest first; −1 where there are fewer.

    allowed : (n,) those that may be neighbours
    """
    watch = progress or Silent()
    watch.start(f"{k} nearest neighbours", len(index))
    out = np.full((len(index), k), -1, np.int32)
    for start in range(0, len(index), _SEARCHED):
        rows = np.arange(start, min(start + _SEARCHED, len(index)))
        found = index.search(index.vectors(rows), k, allowed=allowed, exclude=index.obs_uid[rows])
        there = found.obs_uid >= 0
        part = np.full(there.shape, -1, np.int32)
        part[there] = index.rows_of(found.obs_uid[there])
        out[rows] = part
        watch.advance(rows.size)
    return out


def places(
    ra_deg: NDArray[Any], dec_deg: NDArray[Any], distance: NDArray[Any] | None = None
) -> NDArray[np.float64]:
    """(n, 3) Cartesian places: on the unit sphere, or in space where distances are given; NaN for
    objects whose place is unknown (no coordinates, or no positive distance)."""
    ra, dec = np.radians(ra_deg.astype(float)), np.radians(dec_deg.astype(float))
    out = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
    if distance is not None:
        far = np.where(distance > 0, distance, np.nan)
        out = out * far[:, None]
    out[~np.isfinite(out).all(axis=1)] = np.nan
    return np.asarray(out)


def nearest_places(place: NDArray[np.float64], k: int) -> NDArray[np.int32]:
    """(n, k) positions of the nearest others in space; −1 for objects without a place.

    Raises UsageError (no_coordinates) where hardly any object has one.
    """
    known = np.flatnonzero(np.isfinite(place[:, 0]))
    if known.size < _FEWEST_ON_SKY:
        raise UsageError(
            f"{known.size} of {len(place)} objects have coordinates", code="no_coordinates",
            remedy="ingest files that say where they point (RA and DEC in the header, or what the "
            "format has for it), or use --score spectral",
        )  # fmt: skip
    k_ = min(k, known.size - 1)
    tree = cKDTree(place[known])
    out = np.full((len(place), k_), -1, np.int32)
    for start in range(0, known.size, _PLACED):
        rows = known[start : start + _PLACED]
        _, found = tree.query(place[rows], k_ + 1)
        for row, near in zip(rows, known[found], strict=True):
            others = near[near != row]  # of several objects at one place, not always first
            out[row] = others[:k_]
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Weird:
    """The forest scores of one population: name → values."""

    values: Mapping[str, Values]


def weird(
    index: ExactIndex, place: NDArray[np.float64] | None, settings: ForestSettings | None = None,
    progress: Progress | None = None, spectral: bool = True,
) -> Weird:  # fmt: skip
    """``total``, ``spectral`` and, where `place` is given, ``spatial``: one set of forests for all.

    spectral : False leaves that score out, and with it a search whose time grows as n²
    Features are the vectors in the index's metric, the 64 of largest variance. W is averaged over
    forests; it is ranked by 1/(1 − W), as W is bounded by 1.
    Raises UsageError (too_few_spectra, no_coordinates).
    """
    settings = settings or ForestSettings()
    vectors = index.vectors(np.arange(len(index)))
    features = leading_features(
        vectors if index.scale is None else vectors * index.scale, settings.features
    )
    k = min(settings.neighbours, len(index) - 1)
    near = {} if place is None else {"spatial": nearest_places(place, k)}
    if spectral and len(index) > 1:
        near["spectral"] = nearest(index, k, progress=progress)
    each = forests(features, near, settings, progress)
    judged = np.mean([w.judged_real for w in each], axis=0)
    out = {}
    for name in ("total", *near):
        runs = np.array([w.total if name == "total" else w.within[name] for w in each])
        size = len(index) if name == "total" else near[name].shape[1]
        out[name] = _averaged(name, runs, size, judged, settings, features.shape)
    return Weird(MappingProxyType(out))


def _averaged(
    name: str, runs: NDArray[np.float64], size: int, judged: NDArray[np.float64],
    settings: ForestSettings, shape: tuple[int, ...],
) -> Values:  # fmt: skip
    value = runs.mean(axis=0)
    agree = stability(runs)
    none = int((judged == 0).sum())
    reason = {int(i): "no coordinates" for i in np.flatnonzero(~np.isfinite(value))}
    facts = {
        "forests": str(len(runs)), "trees": str(settings.trees),
        "fitted_on": str(min(settings.real, shape[0])), "features": str(shape[1]),
        "neighbours": str(size), "rank_correlation_of_forests": f"{agree.rank_correlation:.4f}",
        "overlap_of_top_2_percent": f"{agree.overlap:.4f}", "judged_real_by_no_tree": str(none),
    }  # fmt: skip
    # less than one meeting in all trees cannot be told from none
    like = np.maximum(1.0 - value, 0.5 / (size * settings.trees * len(runs)))
    return Values(name, value, None, MappingProxyType(reason), rank_by=1.0 / like,
                  facts=MappingProxyType(facts))  # fmt: skip


def label_disagreement(
    index: ExactIndex, label: NDArray[Any], name: str, k: int = LABEL_K,
    progress: Progress | None = None,
) -> Values:  # fmt: skip
    """How far a label lies from those of the k nearest objects that have one.

    Of numbers: robust z, |value − median of the neighbours| over their scatter (1.4826 × MAD,
    though at least a tenth of what is usual among neighbours); ranked by 1 + z². Of classes: the
    share of neighbours with another class; ranked by the inverse of the share with the same,
    (n + ½)/(k + 1).

    Parameters
    ----------
    label : (n,) float with NaN, or objects with None, where it is unknown: those abstain
    Raises
    ------
    UsageError (constant_label, too_few_spectra)
    """
    numeric = np.issubdtype(label.dtype, np.number)
    known = np.isfinite(label) if numeric else np.array([v is not None for v in label], bool)
    if known.sum() <= k:
        raise UsageError(
            f"{known.sum()} of {len(label)} objects have the label {name}: too few for {k} "
            "neighbours each", code="too_few_spectra",
            remedy="choose another label, or join more with `spectrarium catalogue add`",
        )  # fmt: skip
    if len(set(label[known].tolist())) < 2:
        raise UsageError(f"the label {name} is {label[known][0]} throughout: nothing disagrees",
                         code="constant_label", remedy="choose another --label")  # fmt: skip
    near = nearest(index, k, known, progress)
    reason = {int(i): f"has no {name}" for i in np.flatnonzero(~known)}
    parts = _number if numeric else _class
    value, rank_by, note = parts(label, near, known)
    return Values("label", value, None, MappingProxyType(reason), rank_by, MappingProxyType(note),
                  MappingProxyType({"label": name, "neighbours": str(k)}),
                  least_spread=_LABEL_SPREAD)  # fmt: skip


def _number(
    label: NDArray[Any], near: NDArray[np.int32], known: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[int, str]]:
    theirs = label[near].astype(np.float64)
    middle = np.median(theirs, axis=1)
    spread = 1.4826 * np.median(np.abs(theirs - middle[:, None]), axis=1)
    usual = float(np.median(spread[known]))
    if usual == 0:  # most neighbours agree to the digit: any scatter at all sets the scale
        usual = float(np.std(theirs[known])) * 1e-3
    floor = np.maximum(spread, 0.1 * usual)
    z = np.where(known, np.abs(label - middle) / floor, np.nan)
    note = {
        int(i): f"{label[i]:.5g}; its neighbours say {middle[i]:.5g} ± {spread[i]:.2g}"
        for i in np.flatnonzero(known)
    }
    return z, 1.0 + z**2, note


def _class(
    label: NDArray[Any], near: NDArray[np.int32], known: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[int, str]]:
    words, code = np.unique(np.array([str(v) for v in label]), return_inverse=True)
    theirs = code[near]
    k = near.shape[1]
    same = (theirs == code[:, None]).sum(axis=1)
    value = np.where(known, 1.0 - same / k, np.nan)
    rank_by = np.where(known, (k + 1.0) / (same + 0.5), np.nan)
    note = {}
    for i in np.flatnonzero(known):
        most = np.bincount(theirs[i], minlength=words.size)
        best = int(np.argmax(most))
        note[int(i)] = f"{words[code[i]]}; {most[best]} of {k} neighbours are {words[best]}"
    return value, rank_by, note
