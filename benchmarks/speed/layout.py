"""A map of 100k × 64: ours against umap-learn alone on the same vectors, taking turns.

python benchmarks/speed/layout.py [--rows N] [--repeat N]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from support.record import interleaved, machine, write
from umap import UMAP

from spectrarium.explore.graph import neighbour_graph
from spectrarium.explore.layout import METHODS, layout, place, placement, quality

DIMENSIONS, CLUSTERS, SEED = 64, 60, 0


def clustered(rows: int) -> np.ndarray:
    """(rows, 64) float32: curved clusters of unequal size, variances falling as a PCA's do."""
    rng = np.random.default_rng(SEED)
    share = rng.dirichlet(np.full(CLUSTERS, 0.8))
    which = rng.choice(CLUSTERS, rows, p=share)
    scale = np.arange(1, DIMENSIONS + 1) ** -0.5
    centre = 3.0 * rng.standard_normal((CLUSTERS, DIMENSIONS)) * scale
    bend = rng.standard_normal((CLUSTERS, DIMENSIONS)) * scale
    along = rng.standard_normal((rows, 1))
    noise = 0.4 * rng.standard_normal((rows, DIMENSIONS)) * scale
    curve = bend[which] * along + 0.3 * along**2 * bend[::-1][which]
    return (centre[which] + curve + noise).astype(np.float32)


def timed(work: Callable[[], np.ndarray]) -> tuple[np.ndarray, float, float]:
    """What comes out, wall seconds, processor seconds of all threads."""
    began, used = time.perf_counter(), time.process_time()
    xy = work()
    return xy, time.perf_counter() - began, time.process_time() - used


def summary(vectors: np.ndarray, runs: list[tuple[np.ndarray, float, float]]) -> dict[str, Any]:
    """Median times, and medians of what the maps keep."""
    kept = [quality(vectors, xy, seed=SEED) for xy, _, _ in runs]
    return {
        "seconds": median(run[1] for run in runs),
        "cpu_seconds": median(run[2] for run in runs),
        "all_seconds": [run[1] for run in runs],
        "trustworthiness": median(q.trustworthiness for q in kept),
        "continuity": median(q.continuity for q in kept),
        "kept_10": median(q.kept_10 for q in kept), "quality_sample": kept[0].sample,
        "repeats_itself": all(np.array_equal(xy, runs[0][0]) for xy, _, _ in runs),
    }  # fmt: skip


def parts(vectors: np.ndarray, repeat: int) -> dict[str, float]:
    """Median seconds of the steps of ours, each run by itself."""
    xy, _, _ = METHODS["umap"](vectors, SEED)
    return interleaved({
        "neighbours": lambda: neighbour_graph(vectors, 15),
        "positions_with_neighbours": lambda: METHODS["umap"](vectors, SEED),
        "quality": lambda: quality(vectors, xy, seed=SEED),
        "placement": lambda: placement(vectors, xy, SEED),
    }, repeat)  # fmt: skip


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--new", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    everything = clustered(args.rows + args.new)
    vectors, new = everything[: args.rows], everything[args.rows :]
    works = {
        "ours": lambda: layout(vectors, "umap", SEED).xy,
        "umap_learn_seeded": lambda: UMAP(random_state=SEED, n_jobs=1).fit_transform(vectors),
        "umap_learn_threads": lambda: UMAP().fit_transform(vectors),
    }
    layout(vectors[:2000], "umap", SEED)  # what is compiled on first use is so before the clock
    UMAP(random_state=SEED, n_jobs=1).fit_transform(vectors[:5000])
    UMAP().fit_transform(vectors[:5000])
    result: dict[str, Any] = {"rows": args.rows, "dimensions": DIMENSIONS, "seed": SEED,
                              "repeats": args.repeat,
                              **machine(("umap-learn", "faiss-cpu", "numba"))}  # fmt: skip
    runs: dict[str, list[Any]] = {name: [] for name in works}
    for _ in range(args.repeat):
        for name, work in works.items():
            runs[name].append(timed(work))
            print(name, *runs[name][-1][1:], flush=True)
    for name in works:
        result[name] = summary(vectors, runs[name])
        for key in ("seconds", "cpu_seconds"):
            result[name][f"{key}_ratio_to_ours"] = result[name][key] / result["ours"][key]
    result["ours"]["includes"] = "quality and placement error measured too"
    result["ours"]["settings"] = dict(METHODS["umap"](vectors, SEED)[1])
    result["ours"]["parts"] = parts(vectors, args.repeat)
    _, seconds, _ = timed(lambda: place(new, vectors, runs["ours"][0][0]))
    result["placing"] = {"rows": args.new, "seconds": seconds}
    print(result)
    write("layout", result)


if __name__ == "__main__":
    main()
