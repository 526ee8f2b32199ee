"""Are spectra of different coverage found in one another's neighbourhood? The wide mode of patch.

    python benchmarks/science/coverage.py --data DIR [--seeds N] [--out FILE.json]

Real template spectra seen through the mock survey's instruments, a third of the objects cut to the
blue 60 % of ln λ, a third to the red 60 %, each scaled as a spectrum that has no more. Encoders
are fitted on the training objects; queries are test objects, answers come from all others. Without
--data the folder is that of SPECTRARIUM_DATA. Writes results/coverage.json and results/coverage.md
beside this file.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.record import RESULTS, change, table, value, write

from spectrarium.domain.progress import Silent
from spectrarium.embed.prepare import flux_scale
from spectrarium.evaluate.bootstrap import Measured, difference, interval
from spectrarium.evaluate.corpus import Corpus
from spectrarium.evaluate.fitting import encoded, fitted, made
from spectrarium.evaluate.templates import template_corpus
from spectrarium.run.train_options import WIDE_CROP

BLUE, RED, WHOLE = range(3)
NAMES = ("blue", "red", "whole")
ASKED = ((BLUE, BLUE), (BLUE, RED), (RED, BLUE), (BLUE, WHOLE), (WHOLE, BLUE), (WHOLE, WHOLE))
SHARE = 0.6
K = 10
STEPS, QUICK = 600, (5, 100)
"""Of training; steps and templates of a test that all of it works."""
OWN = "share of its own coverage"
"""Among the ten nearest of a query that was cut, whatever they cover; a third by chance."""


def cut(corpus: Corpus) -> tuple[Corpus, NDArray[np.int64]]:
    """The corpus with objects of three coverages, and (n,) which each spectrum has."""
    objects, where = np.unique(corpus.objects, return_inverse=True)
    cover = np.random.default_rng(5).integers(0, 3, len(objects))[where]
    at = np.linspace(0.0, 1.0, corpus.domain.n_pix)
    seen = np.stack([at < SHARE, at > 1.0 - SHARE, at >= 0.0])
    flux, ivar = corpus.batch.flux.copy(), corpus.batch.ivar.copy()
    for i, c in enumerate(cover):
        ivar[i, ~seen[c]] = 0.0
        good = ivar[i] > 0
        scale = flux_scale(flux[i, good], ivar[i, good], corpus.domain.flux_kind)
        flux[i], ivar[i] = np.where(good, flux[i] / scale, 0.0), ivar[i] * scale**2
    return replace(corpus, batch=replace(corpus.batch, flux=flux, ivar=ivar)), cover


def answers(
    corpus: Corpus, cover: NDArray[np.int64], space: NDArray[Any]
) -> dict[str, Measured]:  # fmt: skip
    """Precision at 10 of queries of one coverage among spectra of another, and of all."""
    labelled = corpus.label != ""
    rows = np.flatnonzero(corpus.test & labelled)
    square = np.einsum("nd,nd->n", space, space)
    far = square - 2.0 * space[rows] @ space.T
    far[corpus.objects[rows, None] == corpus.objects] = np.inf
    out = {}

    def asked(
        name: str, mine: NDArray[np.bool_], among: NDArray[np.bool_], what: NDArray[Any]
    ) -> None:
        gap = np.where(among, far[mine], np.inf)
        near = np.argpartition(gap, K, axis=1)[:, :K]
        same = (what[near] == what[rows[mine], None]).mean(axis=1)
        out[name] = Measured(same, corpus.objects[rows[mine]], rows[mine])

    asked("all", np.ones(len(rows), bool), labelled, corpus.label)
    for a, b in ASKED:
        asked(f"{NAMES[a]} → {NAMES[b]}", cover[rows] == a, labelled & (cover == b), corpus.label)
    asked(OWN, cover[rows] != WHOLE, labelled, cover)
    return out


def spaces(corpus: Corpus, steps: int, seed: int) -> dict[str, NDArray[Any]]:
    """Vectors as distances are taken: PCA, patch as it is, and patch that learns from crops."""
    out = {}
    for name, crop in (("pca", 0.0), ("patch", 0.0), ("patch, crops", WIDE_CROP)):
        encoder: Any = made(name.split(",")[0], corpus, seed, steps)
        if crop:
            encoder = type(encoder)(corpus.domain, replace(encoder.settings, crop=crop), "patch")
        fitted(encoder, corpus, "cpu", None, Silent())
        out[name] = encoded(encoder, corpus.batch)[0].vectors * encoder.metric_scale()
    return out


def told(found: dict[str, dict[str, list[Measured]]]) -> tuple[str, list[dict[str, Any]]]:
    """Markdown, and the same as plain values: the difference to patch without crops beside it."""
    rows, record = [], []
    for question, first in found["patch"].items():
        cells: list[Any] = [question, len(first[0].values)]
        entry: dict[str, Any] = {"question": question, "spectra": len(first[0].values)}
        for method, answered in found.items():
            here, gap = interval(answered[question]), None
            cells.append(value(here))
            if method != "patch":
                gap = difference(answered[question], first)
                cells[-1] += f", {change(gap)}"
            entry[method] = {"value": here.record(), "minus_patch": gap and gap.record()}
        rows.append(cells)
        record.append(entry)
    below = ("Precision at 10 of queries of one coverage among answers of another; after it the "
             "paired difference to patch without crops, bold where it is more and italic where it "
             f"is less. Last: {OWN} among the ten nearest of a query that was cut. Intervals: "
             "95 %, by bootstrap over objects and seeds.")  # fmt: skip
    return f"{table(['query → answers', 'spectra', *found], rows)}\n\n{below}", record


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("SPECTRARIUM_DATA") or None,
                        help="folder of labelled pools")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="few spectra: does it work?")
    parser.add_argument("--out", type=Path, default=RESULTS / "coverage.json")
    args = parser.parse_args()
    if args.data is None:
        parser.error("give --data DIR, or set SPECTRARIUM_DATA")
    began = perf_counter()
    steps, most = QUICK if args.quick else (STEPS, None)
    corpus, cover = cut(template_corpus(args.data, 2, 1, None, most))
    found: dict[str, dict[str, list[Measured]]] = {}
    for seed in range(args.seeds):
        for name, space in spaces(corpus, steps, seed).items():
            for question, measured in answers(corpus, cover, space).items():
                found.setdefault(name, {}).setdefault(question, []).append(measured)
    text, rows = told(found)
    write(args.out, {"seconds": round(perf_counter() - began, 1), "quick": args.quick,
                     "seeds": args.seeds, "steps": steps, "crop": WIDE_CROP, "rows": rows}, text)


if __name__ == "__main__":
    main()
