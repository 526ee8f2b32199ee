"""Weirdness of 1M × 64 by 200 trees, and of 20k against all pairs over the same leaves; 2 threads.

python benchmarks/speed/weirdness.py [--rows N] [--trees N] [--out FILE.json]

Three things are timed apart: fitting the trees (each on 10k real and 10k synthetic objects),
assigning leaves with total W, and W among 250 given neighbours (on a share of the objects, scaled
up: each object costs the same). The peer counts shared leaves pair by pair, in blocks, vectorised.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from threadpoolctl import threadpool_limits

from spectrarium.explore.forest import Forest, ForestSettings, weirdness

THREADS, NEIGHBOURS, PAIRS = 2, 250, 20_000


def seconds(work: Callable[[], Any], repeat: int) -> tuple[float, float, Any]:
    """Median and least wall time of a call, and what it gives."""
    taken, out = [], None
    for _ in range(repeat):
        start = time.perf_counter()
        out = work()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken)), min(taken), out


def features(rows: int, rng: np.random.Generator) -> np.ndarray:
    """Correlated, curved and clumped, as vectors of spectra are; variances fall."""
    few = rng.standard_normal((rows, 6)) + 3.0 * rng.integers(0, 3, (rows, 1))
    mix = rng.standard_normal((6, 64)) * np.arange(1, 65) ** -0.5
    out = few @ mix + 0.3 * np.tanh(few[:, :1] * few @ rng.standard_normal((6, 64)))
    return (out + 0.1 * rng.standard_normal(out.shape)).astype(np.float32)


def by_pairs(leaves: np.ndarray, block: int = 64) -> np.ndarray:
    """(n,) W from the similarity of every pair; leaves (n, trees), 0 = judged synthetic."""
    n = len(leaves)
    out = np.empty(n)
    for start in range(0, n, block):
        mine = leaves[start : start + block]
        real = np.maximum((mine > 0).sum(axis=1), 1)
        same = np.zeros((len(mine), n), np.uint16)
        for t in range(leaves.shape[1]):
            same += (mine[:, t, None] == leaves[None, :, t]) & (mine[:, t, None] > 0)
        out[start : start + block] = 1.0 - same.sum(axis=1, dtype=np.int64) / (n * real)
    return out


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path,
                        default=Path(__file__).parent / "results/weirdness.json")  # fmt: skip
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    x = features(args.rows, rng)
    settings = ForestSettings(trees=args.trees, threads=THREADS)
    result: dict[str, Any] = {
        "rows": args.rows, "features": x.shape[1], "trees": args.trees, "threads": THREADS,
        "fitted_on": settings.real, "sklearn": sklearn.__version__, "numpy": np.__version__,
        "machine": platform.machine(),
    }  # fmt: skip
    with threadpool_limits(THREADS):
        fit_s, _, forest = seconds(lambda: Forest.fit(x, settings, seed=0), 1)
        all_s, all_least, found = seconds(lambda: weirdness(forest.leaves(x)), args.repeat)
        few = rng.choice(args.rows, min(args.rows, 100_000), replace=False)
        part = x[few]
        near = rng.integers(0, len(few), (len(few), NEIGHBOURS)).astype(np.int32)
        leaves = list(forest.leaves(part))
        plain_s, _, _ = seconds(lambda: weirdness(iter(leaves), threads=THREADS), args.repeat)
        local_s, _, _ = seconds(
            lambda: weirdness(iter(leaves), {"near": near}, THREADS), args.repeat
        )
        small = x[: min(args.rows, PAIRS)]
        kept = np.array(list(forest.leaves(small)))
        ours_s, ours_least, ours = seconds(lambda: weirdness(iter(kept)), 5)
        pairs_s, _, theirs = seconds(lambda: by_pairs(np.ascontiguousarray(kept.T)), 1)
    scale = args.rows / len(few)
    result |= {
        "fit_s": round(fit_s, 1), "leaves_and_total_w_s": round(all_s, 1),
        "leaves_and_total_w_least_s": round(all_least, 1), "target_s": 120,
        "w_of_250_neighbours_s": round((local_s - plain_s) * scale, 1),
        "w_of_250_neighbours_measured_on": len(few),
        "mean_w": float(found.total.mean()), "pairs_of": len(small),
        "ours_s": round(ours_s, 4), "ours_least_s": round(ours_least, 4),
        "all_pairs_numpy_s": round(pairs_s, 1), "ratio": round(pairs_s / ours_s),
        "largest_difference": float(np.abs(ours.total - theirs).max()),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }  # fmt: skip
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
