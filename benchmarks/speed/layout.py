"""A map of 100k × 64: ours against umap-learn alone on the same vectors, in one process.

python benchmarks/speed/layout.py [--rows N] [--repeat N]
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from support.record import machine, write
from umap import UMAP

from spectrarium.explore.layout import layout, place, quality

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


def measured(vectors: np.ndarray, xy: np.ndarray, seconds: float) -> dict[str, Any]:
    """Time and what the map keeps."""
    q = quality(vectors, xy, seed=SEED)
    return {
        "seconds": seconds, "trustworthiness": q.trustworthiness, "continuity": q.continuity,
        "kept_10": q.kept_10, "quality_sample": q.sample,
    }  # fmt: skip


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--new", type=int, default=10_000)
    args = parser.parse_args()
    everything = clustered(args.rows + args.new)
    vectors, new = everything[: args.rows], everything[args.rows :]
    layout(vectors[:2000], "umap", SEED)  # compiled code of umap-learn is used by both
    UMAP(random_state=SEED, n_jobs=1).fit_transform(vectors[:5000])
    result: dict[str, Any] = {"rows": args.rows, "dimensions": DIMENSIONS, "seed": SEED,
                              **machine(("umap-learn", "faiss-cpu", "numba"))}  # fmt: skip
    began = time.perf_counter()
    ours = layout(vectors, "umap", SEED)
    result["ours"] = measured(vectors, ours.xy, time.perf_counter() - began)
    result["ours"]["settings"] = dict(ours.settings)
    result["ours"]["includes"] = "quality and placement error measured too"
    began = time.perf_counter()
    place(new, vectors, ours.xy)
    result["placing"] = {"rows": args.new, "seconds": time.perf_counter() - began}
    for name, options in (("umap_learn_seeded", {"random_state": SEED, "n_jobs": 1}),
                          ("umap_learn_threads", {})):  # fmt: skip
        began = time.perf_counter()
        xy = UMAP(**options).fit_transform(vectors)
        result[name] = measured(vectors, xy, time.perf_counter() - began)
        result[name]["ratio_to_ours"] = result[name]["seconds"] / result["ours"]["seconds"]
        print(name, result[name], flush=True)
    print(result)
    write("layout", result)


if __name__ == "__main__":
    main()
