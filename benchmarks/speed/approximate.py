"""Approximate top-10 of 1M × 128 float32: ours against faiss's flat index, in one process.

python benchmarks/speed/approximate.py [--rows N] [--repeat N] [--out NAME]

Vectors are clustered as embeddings of spectra are: sequences (curved lines) and clumps of very
different numbers and widths, variances falling over the components, and a tenth spread thinly.
Queries are new draws. Recall is against our own exact search; filters pass at random and all to
one side. Queries take turns, so that a busy minute hurts all alike.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
from support.record import machine, write
from threadpoolctl import threadpool_limits

from spectrarium.domain.derived import Embedding, ModelRef
from spectrarium.explore.neighbours import ExactIndex
from spectrarium.explore.tuning import build

K, THREADS, DIMENSIONS = 10, 2, 128


def clustered(rng: np.random.Generator, rows: int, world: np.random.Generator) -> Any:
    """(rows, 128) float32 from the populations that `world` (always seeded alike) lays out."""
    fall = np.arange(1, DIMENSIONS + 1) ** -0.6
    n = 60
    start = 3.0 * world.standard_normal((n, DIMENSIONS)) * fall
    bend = 2.0 * world.standard_normal((3, n, DIMENSIONS)) * fall
    width = world.lognormal(-0.2, 0.5, n)
    share = world.dirichlet(np.full(n, 0.4))
    which = rng.choice(n, rows, p=share)
    out = np.empty((rows, DIMENSIONS), np.float32)
    for at in range(0, rows, 50_000):
        w = which[at : at + 50_000]
        t = rng.random((w.size, 1))
        thin = np.where(rng.random(w.size) < 0.1, 3.0, 1.0)[:, None]
        noise = rng.standard_normal((w.size, DIMENSIONS)) * fall * width[w, None] * thin
        path = start[w] + sum(bend[j][w] * np.sin((j + 1) * np.pi * t) for j in range(3))
        out[at : at + 50_000] = path + noise
    return out


def timed(works: dict[str, Callable[[Any], Any]], queries: Any) -> dict[str, tuple[float, float]]:
    """Median and least wall time in ms of one query; the first query warms up."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for q in [queries[:1], *(queries[i : i + 1] for i in range(len(queries)))]:
        for name, work in works.items():
            began = time.perf_counter()
            work(q)
            taken[name].append(1e3 * (time.perf_counter() - began))
    return {n: (float(np.median(t[1:])), float(np.min(t[1:]))) for n, t in taken.items()}


def measure(index: Any, exact: Any, queries: Any, allowed: Any, repeat: int) -> dict[str, Any]:
    """Time and recall of ours beside exact search (and faiss flat with the same filter)."""
    flat = faiss.IndexFlatL2(DIMENSIONS)
    flat.add(exact.scaled)
    bits = None if allowed is None else np.packbits(allowed, bitorder="little")
    selector = None if bits is None else faiss.IDSelectorBitmap(bits)
    settings = None if selector is None else faiss.SearchParameters(sel=selector)
    times = timed(
        {
            "ours": lambda q: index.search(q, K, allowed=allowed),
            "ours_exact": lambda q: exact.search(q, K, allowed=allowed),
            "faiss_flat": lambda q: flat.search(q, K, params=settings),
        },
        queries[:repeat],
    )
    found = [index.search(q[None], K, allowed=allowed) for q in queries]
    parts = [exact.search(queries[i : i + 50], K, allowed=allowed) for i in
             range(0, len(queries), 50)]  # fmt: skip
    truth = np.concatenate([p.obs_uid for p in parts])
    out: dict[str, Any] = {f"{n}_ms": t[0] for n, t in times.items()}
    out |= {f"{n}_least_ms": t[1] for n, t in times.items()}
    out["times_faster_than_faiss_flat"] = times["faiss_flat"][0] / times["ours"][0]
    out["recall_at_10"] = float(np.mean([np.isin(t, f.obs_uid[0]).mean()
                                         for t, f in zip(truth, found, strict=True)]))  # fmt: skip
    out["searched_exactly"] = float(np.mean([f.method == "exact" for f in found]))
    return out


def main() -> None:
    """Build, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--repeat", type=int, default=31)
    parser.add_argument("--out", default="approximate")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    vectors = clustered(rng, args.rows, np.random.default_rng(7))
    queries = clustered(rng, args.queries, np.random.default_rng(7))
    exact = ExactIndex(Embedding(ModelRef("bench", "0", "0" * 64), vectors, np.arange(args.rows)))
    record: dict[str, Any] = {
        "rows": args.rows, "dimensions": DIMENSIONS, "k": K, "queries": args.queries,
        "threads": THREADS, "machine": machine(("faiss-cpu",)),
    }  # fmt: skip
    faiss.omp_set_num_threads(THREADS)
    with threadpool_limits(THREADS):
        began = time.perf_counter()
        index = build(exact, "bench")
        record["build_s"] = time.perf_counter() - began
        record["nlist"] = index.card.nlist
        record["stated"] = [{"k": t.k, "nprobe": t.nprobe, "recall": t.recall, "low": t.low,
                             "high": t.high} for t in index.card.tuned]  # fmt: skip
        record["stated_under_filters"] = [dataclasses.asdict(f) for f in index.card.filtered]
        record["all"] = measure(index, exact, queries, None, args.repeat)
        side = exact.scaled[:, 0]
        for share in (0.0006, 0.01, 0.1, 0.5):
            for kind, order in (("random", rng.random(args.rows)), ("one_side", side)):
                allowed = order <= np.quantile(order, share)
                record[f"filter_{100 * share:g}_percent_{kind}"] = measure(
                    index, exact, queries, allowed, args.repeat
                )
    write(args.out, record)


if __name__ == "__main__":
    main()
