"""How long `tag train` takes below 5,000 objects, where every object is tested.

    python benchmarks/speed/tags.py [--spectra 2500]

A mock survey, PCA, the temperature of its stars by all heads: five rotations, each comparing heads
anew and calibrating by ten networks more. Three ways that differ by rounding (which moves where
training stops): one network after the other (the peer), all of a training in step, and that with
as many rotations at a time as there are processors. Once each: they take minutes. Writes
results/tags.json.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch

from support.record import machine, write

import spectrarium as sp
from spectrarium.embed import heads_network
from spectrarium.mock import write_survey
from spectrarium.run.preparing import cores
from spectrarium.run.tagging import tag_train


def archive_of(folder: Path, n: int) -> Path:
    """An archive of a mock survey, embedded by PCA, with its truth as labels."""
    write_survey(folder / "mock", n=n, seed=1)
    archive = sp.open(folder / "archive")
    archive.ingest([folder / "mock" / "spectra"])
    archive.embed()
    archive.add_catalogue(folder / "mock" / "truth.ecsv", "obs_id")
    return archive.path


def trained(root: Path, **options: Any) -> dict[str, Any]:
    """Seconds, and what came of it."""
    began = perf_counter()
    (made,) = tag_train(root, "truth.teff", name="teff", **options).made
    took = perf_counter() - began
    test = made.test
    return {"seconds": round(took, 1), "head": made.head, "objects": test["objects"],
            "sigma_k": test["sigma"],
            "coverage": {str(c["level"]): c["share"] for c in test["coverage"]}}  # fmt: skip


def one_by_one(root: Path) -> dict[str, Any]:
    """Networks as they would be trained without each other."""
    together: Callable[[Any], Any] = heads_network._trained

    def alone(runs: Any) -> list[Any]:
        return [together([run])[0] for run in runs]

    with patch.object(heads_network, "_trained", alone):
        return trained(root, workers=1)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spectra", type=int, default=2500)
    args = parser.parse_args()
    where = machine(("torch", "scikit-learn"))
    with tempfile.TemporaryDirectory() as folder:
        root = archive_of(Path(folder), args.spectra)
        ways: dict[str, Callable[[], dict[str, Any]]] = {
            f"{cores()} rotations at a time": lambda: trained(root),
            "in step": lambda: trained(root, workers=1),
            "one by one": lambda: one_by_one(root),
            "ridge alone": lambda: trained(root, heads=["ridge"]),
        }
        runs = {}
        for name, way in ways.items():
            runs[name] = way()
            print(name, runs[name], flush=True)
    write("tags", {"spectra": args.spectra, "runs": runs, "machine": where})


if __name__ == "__main__":
    main()
