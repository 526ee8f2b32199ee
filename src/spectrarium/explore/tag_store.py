"""A tagger as plain arrays and a card, and back: nothing in it is code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..embed.card import card_understood, read_model, weights_hash, write_model
from ..embed.heads import MAKERS, Head
from .conformal import Bins
from .tag_design import Design, Scale
from .tag_guard import Guard
from .tagger import Tagger

Arrays = dict[str, NDArray[Any]]


def arrays_of(tagger: Tagger) -> Arrays:
    """Everything numerical of a tagger, by name."""
    g, bins = tagger.guard, tagger.bins
    out: Arrays = {f"head-{n}": a for n, a in tagger.head.arrays.items()}
    out |= {"design-mean": tagger.design.mean, "design-width": tagger.design.width}
    out |= {"bins-snr": bins.snr_edges, "offsets": tagger.offsets,
            "bins-value": np.concatenate([np.empty(0), *bins.value_edges]),
            "bins-count": np.array([len(e) for e in bins.value_edges], np.int64)}  # fmt: skip
    return out | {
        "guard-reference": g.reference, "guard-rows": g.rows, "guard-scale": g.scale,
        "guard-distance": g.distance, "guard-chi2": g.chi2, "guard-snr": g.snr_edges,
        "guard-range": np.array(g.snr_range), "guard-others": g.others,
        "guard-company": np.array(g.company, np.float64),
    }  # fmt: skip


def save_tagger(
    tagger: Tagger, folder: Path, name: str, version: str, extra: Arrays, facts: dict[str, Any]
) -> str:
    """Write a tagger below `folder`; returns its id, ``NAME@HASH12``.

    extra : further arrays to keep with it · facts : further plain values for the card
    """
    arrays = arrays_of(tagger) | extra
    mark = weights_hash(arrays)
    model_id = f"{name}@{mark[:12]}"
    card = {
        "tagger": tagger.name, "kind": tagger.kind, "levels": list(tagger.levels),
        "classes": list(tagger.classes), "candidate": tagger.candidate,
        "head": tagger.head.name, "chosen": dict(tagger.head.chosen),
        "scale": [tagger.scale.middle, tagger.scale.width, tagger.scale.log],
        "temperature": list(tagger.temperature), "seed": tagger.seed, "name": name,
        "version": version, "weights_hash": mark, "made": tagger.card, **facts,
    }  # fmt: skip
    write_model(folder / model_id, arrays, card)
    return model_id


def load_tagger(directory: Path) -> tuple[Tagger, Arrays, dict[str, Any]]:
    """A tagger, all arrays stored with it, and its card.

    Raises DataError: no_model, bad_model, hash_mismatch, newer_layout.
    """
    arrays, card = read_model(directory)
    with card_understood(directory):
        if card["kind"] not in ("number", "class") or card["head"] not in MAKERS:
            raise ValueError(f"a {card['head']!r} head for a {card['kind']!r}")
        if len(card["levels"]) != arrays["offsets"].shape[1]:
            raise ValueError(f"levels are {card['levels']}")
        count = arrays["bins-count"]
        inner = np.split(arrays["bins-value"], np.cumsum(count)[:-1])
        low, high = arrays["guard-range"].tolist()
        guard = Guard(
            arrays["guard-reference"], arrays["guard-rows"], arrays["guard-scale"],
            arrays["guard-distance"], arrays["guard-chi2"], arrays["guard-snr"], (low, high),
            arrays["guard-others"], (int(arrays["guard-company"][0]),
                                     float(arrays["guard-company"][1])),
        )  # fmt: skip
        weights = {n.removeprefix("head-"): a for n, a in arrays.items() if n.startswith("head-")}
        middle, width, log = card["scale"]
        tagger = Tagger(
            card["tagger"], card["kind"], tuple(map(float, card["levels"])), card["candidate"],
            Head(card["head"], weights, dict(card["chosen"])),
            Design(arrays["design-mean"], arrays["design-width"]),
            Scale(float(middle), float(width), bool(log)),
            Bins(arrays["bins-snr"], tuple(inner)), arrays["offsets"], guard,
            tuple(card["classes"]), (float(card["temperature"][0]), float(card["temperature"][1])),
            int(card["seed"]), dict(card["made"]),
        )  # fmt: skip
    return tagger, arrays, card
