"""Are spectra of different coverage found in one another's neighbourhood? The wide mode of patch.

    python benchmarks/science/coverage.py --data DIR

Real template spectra seen through the mock survey's instruments, a third of the objects cut to the
blue 60 % of ln λ, a third to the red 60 %, each scaled as a spectrum that has no more. Encoders
are fitted on the training objects; queries are test objects, answers come from all others. Writes
results/coverage.json beside this file and prints a table.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectrarium.domain.progress import Silent
from spectrarium.embed.prepare import flux_scale
from spectrarium.evaluate.bootstrap import Measured, difference, interval
from spectrarium.evaluate.corpus import Corpus
from spectrarium.evaluate.fitting import encoded, fitted, made
from spectrarium.evaluate.templates import template_corpus
from spectrarium.run.train_options import WIDE_CROP

RESULTS = Path(__file__).parent / "results"
BLUE, RED, WHOLE = range(3)
NAMES = ("blue", "red", "whole")
ASKED = ((BLUE, BLUE), (BLUE, RED), (RED, BLUE), (BLUE, WHOLE), (WHOLE, BLUE), (WHOLE, WHOLE))
SHARE = 0.6
K = 10


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

    def asked(name: str, mine: NDArray[np.bool_], among: NDArray[np.bool_]) -> None:
        gap = np.where(among, far[mine], np.inf)
        near = np.argpartition(gap, K, axis=1)[:, :K]
        same = (corpus.label[near] == corpus.label[rows[mine], None]).mean(axis=1)
        out[name] = Measured(same, corpus.objects[rows[mine]], rows[mine])

    asked("all", np.ones(len(rows), bool), labelled)
    for a, b in ASKED:
        asked(f"{NAMES[a]} → {NAMES[b]}", cover[rows] == a, labelled & (cover == b))
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


def table(found: dict[str, dict[str, list[Measured]]]) -> tuple[str, dict[str, Any]]:
    """Markdown, and the same as plain values: difference to patch without crops beside it."""
    methods = list(found)
    lines = ["| query → answers | spectra | " + " | ".join(methods) + " |",
             "|---|---|" + "---|" * len(methods)]  # fmt: skip
    record: dict[str, Any] = {}
    for question, first in found["patch"].items():
        cells, record[question] = [], {}
        for method in methods:
            value = interval(found[method][question])
            gap = None if method == "patch" else difference(found[method][question], first)
            text = f"{value.value:.3f} ({value.low:.3f}–{value.high:.3f})"
            if gap is not None:
                mark = "**" if gap.low > 0 else "*" if gap.high < 0 else ""
                text += f" {mark}{gap.value:+.3f}{mark}"
            cells.append(text.replace("-", "−"))
            record[question][method] = {"value": value.record(),
                                        "minus_patch": gap and gap.record()}  # fmt: skip
        lines.append(f"| {question} | {len(first[0].values)} | {' | '.join(cells)} |")
    return "\n".join(lines), record


def main() -> None:
    """Measure and write."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--data", type=Path, required=True, help="folder of labelled pools")
    ask.add_argument("--seeds", type=int, default=1)
    ask.add_argument("--steps", type=int, default=600)
    ask.add_argument("--templates", type=int, default=None, help="so many only: does it work?")
    options = ask.parse_args()
    corpus, cover = cut(template_corpus(options.data, 2, 1, None, options.templates))
    found: dict[str, dict[str, list[Measured]]] = {}
    for seed in range(options.seeds):
        for name, space in spaces(corpus, options.steps, seed).items():
            for question, measured in answers(corpus, cover, space).items():
                found.setdefault(name, {}).setdefault(question, []).append(measured)
    text, record = table(found)
    print(text)
    if options.templates is None:
        record = {"seeds": options.seeds, "steps": options.steps, "crop": WIDE_CROP,
                  "questions": record}  # fmt: skip
        (RESULTS / "coverage.json").write_text(json.dumps(record, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
