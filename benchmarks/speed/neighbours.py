"""Exact top-100 of 1M × 128 float32: ours against faiss's flat index, in one process, 2 threads.

python benchmarks/speed/neighbours.py [--rows N] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from threadpoolctl import threadpool_limits

from spectrarium.domain.derived import Embedding, ModelRef
from spectrarium.explore.neighbours import ExactIndex

K, THREADS = 100, 2


def times_ms(searches: dict[str, Callable[[Any], Any]], batches: list[Any]) -> dict[str, Any]:
    """Median and least wall time of one call of each, in turns so that a busy machine is fair.

    The first call of each warms up and does not count.
    """
    taken: dict[str, list[float]] = {name: [] for name in searches}
    for queries in [batches[0], *batches]:
        for name, search in searches.items():
            start = time.perf_counter()
            search(queries)
            taken[name].append(time.perf_counter() - start)
    return {
        name: (round(1e3 * float(np.median(values[1:])), 2), round(1e3 * min(values[1:]), 2))
        for name, values in taken.items()
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=11)
    default = Path(__file__).parent / "results/neighbours.json"
    parser.add_argument("--out", type=Path, default=default)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    # spectra lie near few directions: variances fall as in a fitted PCA
    vectors = rng.standard_normal((args.rows, 128), dtype=np.float32)
    vectors *= (np.arange(1, 129, dtype=np.float32)) ** -0.5
    index = ExactIndex(Embedding(ModelRef("bench", "0", "0" * 64), vectors, np.arange(args.rows)))
    flat = faiss.IndexFlatL2(128)
    flat.add(vectors)
    faiss.omp_set_num_threads(THREADS)
    allowed = rng.random(args.rows) < 0.1
    result: dict[str, Any] = {"rows": args.rows, "dimensions": 128, "k": K, "threads": THREADS,
                              "faiss": faiss.__version__, "numpy": np.__version__,
                              "machine": platform.machine()}  # fmt: skip
    with threadpool_limits(THREADS):
        for size in (1, 16):
            batches = [rng.standard_normal((size, 128), dtype=np.float32) * 0.3
                       for _ in range(args.repeat)]  # fmt: skip
            same = np.mean([
                np.mean([np.isin(a, b).mean() for a, b in zip(
                    index.search(q, K).obs_uid, flat.search(q, K)[1], strict=True)])
                for q in batches[:3]
            ])  # fmt: skip
            took = times_ms(
                {
                    "ours": lambda q: index.search(q, K),
                    "faiss": lambda q: flat.search(q, K),
                    "masked": lambda q: index.search(q, K, allowed=allowed),
                },
                batches,
            )
            result[f"batch_{size}"] = {
                "ours_ms": took["ours"][0],
                "faiss_flat_ms": took["faiss"][0],
                "ratio": round(took["ours"][0] / took["faiss"][0], 3),
                "ours_least_ms": took["ours"][1],
                "faiss_flat_least_ms": took["faiss"][1],
                "ratio_least": round(took["ours"][1] / took["faiss"][1], 3),
                "ours_10_percent_allowed_ms": took["masked"][0],
                "same_answers": float(same),
            }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
