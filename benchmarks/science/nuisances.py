"""What do distances know that they should not? Nuisances of small corpora over many splits.

    python benchmarks/science/nuisances.py --data DIR [--corpora sdss,lamost]
        [--splits N] [--out FILE.json]

`spectrarium evaluate` holds out two objects in five, once and for ever: of the smallest corpora
some fifty that have a value, on which R² is uncertain by ± 0.3. Here objects are split anew N times
by chance, encoders are fitted on three in five, without labels, and probed on the others, as there.
Then all is done once more with noise added, by chance until it is 1 to 4 times each spectrum's own:
how much that was has nothing to do with what was observed.
Without --data the folder is that of SPECTRARIUM_DATA. Writes results/nuisances.json and
results/nuisances.md beside this file.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.record import RESULTS, change, table, value, write

from spectrarium.domain.progress import Silent
from spectrarium.evaluate import nuisance
from spectrarium.evaluate.bootstrap import Measured, difference, interval
from spectrarium.evaluate.corpus import Corpus
from spectrarium.evaluate.fitting import encoded, fitted, made
from spectrarium.evaluate.real import REAL
from spectrarium.explore.probes import felt

CORPORA = ("sdss", "lamost")
METHODS = ("raw pixels", "pca", "patch")
TESTED = 0.4
STEPS, QUICK = 600, 5
NOISE = 4.0
"""Times its own that a spectrum's noise is at most where some is added."""
ADDED = "log noise added by chance"
Found = dict[str, dict[str, list[Measured]]]


def turned(corpus: Corpus, split: int) -> Corpus:
    """The corpus with other objects held out: two in five, by chance."""
    objects = np.random.default_rng([split, 77]).permutation(np.unique(corpus.objects))
    tested = objects[: int(TESTED * len(objects))]
    return replace(corpus, test=np.isin(corpus.objects, tested))


def noisier(corpus: Corpus, split: int) -> Corpus:
    """The corpus with noise added, and nothing to probe but how much; of sky nothing."""
    rng, own = np.random.default_rng([split, 5]), corpus.batch
    times = NOISE ** rng.uniform(0.0, 1.0, len(corpus))[:, None]
    known = own.ivar > 0
    sigma = np.sqrt(np.where(known, (times**2 - 1.0) / np.where(known, own.ivar, 1.0), 0.0))
    flux = own.flux + sigma * rng.standard_normal(own.flux.shape)
    ivar = (own.ivar / times**2).astype(np.float32)
    batch = replace(own, flux=flux.astype(np.float32), ivar=ivar, snr=own.snr / times[:, 0])
    added = np.where(corpus.label == "SKY", np.nan, np.log10(times[:, 0]))
    return replace(corpus, batch=batch, nuisances={ADDED: added})


def space(corpus: Corpus, method: str, steps: int, seed: int) -> Any:
    """rows → (k, d) their vectors, as distances are taken."""
    if method == METHODS[0]:
        return partial(nuisance.pixel_space, corpus)
    encoder = made(method, corpus, seed, steps)
    fitted(encoder, corpus, "cpu", None, Silent())
    vectors = encoded(encoder, corpus.batch)[0].vectors * encoder.metric_scale()

    def at(rows: NDArray[np.int64]) -> NDArray[Any]:
        return felt(vectors[rows])

    return at


def probed(corpus: Corpus, splits: int, steps: int) -> Found:
    """R² by method and nuisance, one measure a split."""
    out: Found = {}
    for split in range(splits):
        as_it_is = turned(corpus, split)
        for here in (as_it_is, noisier(as_it_is, split)):
            for method in METHODS:
                measures, _ = nuisance.probed(here, space(here, method, steps, split))
                for name, one in measures.items():
                    out.setdefault(method, {}).setdefault(name, []).append(one)
                print(f"{corpus.name}, split {split}, {method}", flush=True)
    return out


def together(splits: list[Measured]) -> Measured:
    """All splits as one measure: objects are resampled whole, with all their turns."""
    return Measured(
        np.concatenate([m.values for m in splits]),
        np.concatenate([m.objects for m in splits]),
        np.concatenate([m.units + i * 10**9 for i, m in enumerate(splits)]),
    )


def told(corpus: str, found: Found) -> tuple[list[list[Any]], list[dict[str, Any]]]:
    """Rows of the table, and the same as plain values."""
    rows, record = [], []
    for name in found["patch"]:
        if not all(name in found[m] for m in METHODS):
            continue
        whole = {m: together(found[m][name]) for m in METHODS}
        values = {m: interval([whole[m]]) for m in METHODS}
        gaps = {m: difference([whole["patch"]], [whole[m]]) for m in ("pca", "raw pixels")}
        rows.append([corpus, name.removeprefix("R² of "), values["patch"].n_objects,
                     *(value(values[m]) for m in METHODS),
                     *(change(g, less=True) for g in gaps.values())])  # fmt: skip
        record.append({"corpus": corpus, "measure": name,
                       **{m: values[m].record() for m in METHODS},
                       **{f"patch − {m}": g.record() for m, g in gaps.items()}})  # fmt: skip
    return rows, record


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("SPECTRARIUM_DATA") or None,
                        help="folder of labelled pools")  # fmt: skip
    parser.add_argument("--corpora", default=",".join(CORPORA))
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="few steps: does it work?")
    parser.add_argument("--out", type=Path, default=RESULTS / "nuisances.json")
    args = parser.parse_args()
    if args.data is None:
        parser.error("give --data DIR, or set SPECTRARIUM_DATA")
    began, steps = perf_counter(), QUICK if args.quick else STEPS
    rows, record = [], []
    for real in REAL:
        if real.name in args.corpora.split(","):
            found = probed(real.load(args.data), args.splits, steps)
            more = told(real.name, found)
            rows += more[0]
            record += more[1]
    head = ["corpus", "quantity, probe", "objects", *METHODS, "patch − pca", "patch − pixels"]
    below = (f"R² on held-out objects, mean over {args.splits} splits; **bold** marks where patch "
             "tells less beyond the interval, *italic* where it tells more. Intervals: 95 %, by "
             "bootstrap over objects, each with all the splits that tested it.")  # fmt: skip
    write(args.out, {"seconds": round(perf_counter() - began, 1), "quick": args.quick,
                     "splits": args.splits, "steps": steps, "rows": record},
          f"{table(head, rows)}\n\n{below}")  # fmt: skip


if __name__ == "__main__":
    main()
