"""Does it help to order the nearest by their pixels, as `similar --rerank` does?

    python benchmarks/science/rerank.py --data DIR [--patch] [--seeds N] [--out FILE.json]

Precision at 10 on each real corpus, on the frozen split and with the queries of `spectrarium
evaluate`: the 200 nearest of other objects are ordered by the embedding's distance d (plain: what
the others are compared with, query by query), by d^0.9 D^0.1 with D that of the pixels, and by D
alone. Without --data the folder is that of SPECTRARIUM_DATA. Writes results/rerank.json and
results/rerank.md beside this file.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from support.record import RESULTS, change, table, value, write

from spectrarium.domain.derived import Embedding
from spectrarium.domain.progress import Silent
from spectrarium.embed.encoder import Encoder
from spectrarium.evaluate.bootstrap import Measured, difference, interval
from spectrarium.evaluate.corpus import Corpus
from spectrarium.evaluate.fitting import encoded, fitted, made
from spectrarium.evaluate.real import MOST, REAL
from spectrarium.evaluate.retrieval import K, Questions
from spectrarium.explore import pixels
from spectrarium.explore.neighbours import ExactIndex
from spectrarium.run.similar import PIXEL_WEIGHT, RERANKED, reranked

ORDERS = {"plain": 0.0, "reranked": PIXEL_WEIGHT, "pixels alone": 1.0}
"""Weight of the pixels by order."""
STEPS = 600
"""Of training patch, as in the commands of docs/science.md."""
QUICK = 150
"""Spectra of a corpus at most, for a test that all of it works."""


def precisions(corpus: Corpus, encoder: Encoder) -> dict[str, Measured]:
    """Precision at 10 by query, for each of `ORDERS`; the encoder is fitted."""
    code, _ = encoded(encoder, corpus.batch)
    index = ExactIndex(Embedding(encoder.ref, code.vectors, np.arange(len(corpus))),
                       encoder.metric_scale())  # fmt: skip
    _, _, rows, allowed = next(Questions.of(corpus).each())
    own = int(np.unique(corpus.objects, return_counts=True)[1].max())
    found = index.search(code.vectors[rows], min(RERANKED + own, int(allowed.sum())),
                         allowed=allowed)  # fmt: skip
    values = {order: np.empty(len(rows)) for order in ORDERS}
    batch = corpus.batch
    for i, row in enumerate(rows):
        uid = found.obs_uid[i]
        others = np.flatnonzero((uid >= 0) & (corpus.objects[uid] != corpus.objects[row]))
        near, distance = uid[others[:RERANKED]], found.distance[i][others[:RERANKED]]
        gap = pixels.difference(batch.flux[row], batch.ivar[row], batch.flux[near],
                                batch.ivar[near])  # fmt: skip
        pixel = pixels.expected(gap.square, gap.error)
        same = corpus.label[near] == corpus.label[row]
        for order, weight in ORDERS.items():
            values[order][i] = same[reranked(distance, pixel, weight)[:K]].mean()
    return {order: Measured(v, corpus.objects[rows], rows) for order, v in values.items()}


def compared(corpus: Corpus, name: str, seeds: int, steps: int) -> dict[str, Any]:
    """One row of the table: an encoder on a corpus, all seeds."""
    found: dict[str, list[Measured]] = {order: [] for order in ORDERS}
    for seed in range(seeds):
        began = perf_counter()
        encoder = made(name, corpus, seed, steps)
        fitted(encoder, corpus, "auto", None, Silent())
        for order, measured in precisions(corpus, encoder).items():
            found[order].append(measured)
        took = perf_counter() - began
        print(f"{corpus.name} · {name} · seed {seed}: {took:.0f} s", file=sys.stderr)
    plain = found["plain"]
    return {
        "corpus": corpus.name, "encoder": name, "seeds": seeds, "spectra": len(corpus),
        "queries": len(plain[0].units),
        "precision@10": {order: interval(m) for order, m in found.items()},
        "minus plain": {order: difference(found[order], plain) for order in list(ORDERS)[1:]},
    }  # fmt: skip


def told(rows: list[dict[str, Any]]) -> str:
    """The table, and what it shows."""
    cells = [
        (row["corpus"], row["encoder"], row["queries"], row["precision@10"]["plain"].n_objects,
         value(row["precision@10"]["plain"]), *(change(c) for c in row["minus plain"].values()))
        for row in rows
    ]  # fmt: skip
    head = ("corpus", "encoder", "queries", "objects", "precision@10, plain",
            f"by d^{1 - PIXEL_WEIGHT:g} · D^{PIXEL_WEIGHT:g}", "by pixels alone")  # fmt: skip
    below = (f"The {RERANKED} nearest ordered anew; the last two columns are paired differences to "
             "plain. Intervals: 95 %, by bootstrap over objects and seeds.")  # fmt: skip
    return f"{table(head, cells)}\n\n{below}"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("SPECTRARIUM_DATA") or None,
                        help="folder of labelled pools")  # fmt: skip
    parser.add_argument("--corpora", default=",".join(real.name for real in REAL))
    parser.add_argument("--patch", action="store_true", help="the encoder patch as well")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few spectra: does it work?")
    parser.add_argument("--out", type=Path, default=RESULTS / "rerank.json")
    args = parser.parse_args()
    if args.data is None:
        parser.error("give --data DIR, or set SPECTRARIUM_DATA")
    began = perf_counter()
    rows = []
    for real in REAL:
        if real.name not in args.corpora.split(","):
            continue
        corpus = real.load(args.data, QUICK if args.quick else MOST)
        for name in ("pca", "patch")[: 1 + args.patch]:
            rows.append(compared(corpus, name, args.seeds, 1 if args.quick else STEPS))
    record = {
        "seconds": round(perf_counter() - began, 1), "quick": args.quick, "nearest": RERANKED,
        "weights": ORDERS, "rows": [_plain(row) for row in rows],
    }  # fmt: skip
    write(args.out, record, told(rows))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Intervals as values."""
    return {
        key: {k: v.record() for k, v in entry.items()} if isinstance(entry, dict) else entry
        for key, entry in row.items()
    }


if __name__ == "__main__":
    main()
