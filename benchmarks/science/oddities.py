"""Are planted oddities among the strangest? A mock survey, asked within one class.

    python benchmarks/science/oddities.py [-n 600] [--seed 1]

Prints how many of the k strangest stars are planted oddities, for both scores, beside chance.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import spectrarium as sp
from spectrarium.mock import write_survey

STARS = "truth.obj_class = 'STAR'"


def main() -> None:
    """Make, ingest, embed, ask."""
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("-n", type=int, default=600)
    ask.add_argument("--seed", type=int, default=1)
    words = ask.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        truth = write_survey(Path(folder) / "mock", n=words.n, seed=words.seed)
        archive = sp.open(Path(folder) / "archive")
        archive.ingest([truth.parent / "spectra"], collection="MOCK")
        archive.add_catalogue(truth, "obs_id")
        report = archive.embed(where=STARS)
        group = max(report.groups, key=lambda g: g.covered)
        odd = archive.find(f"{STARS} AND truth.oddity IS NOT NULL").num_rows
        stars = archive.find(STARS).num_rows
        print(f"{odd} of {stars} stars are planted oddities; the model covers {group.covered}\n")
        print("| score | 15 strangest | 30 strangest | 60 strangest |\n|---|---|---|---|")
        for score in ("reconstruction", "knn"):
            cells = []
            for k in (15, 30, 60):
                found = archive.outliers(score, k, model=group.name)
                rows = [a.row for a in found.answers]
                kinds = archive.store.catalogue(rows, ["truth.oddity"]).column(0).to_pylist()
                cells.append(f"{sum(map(bool, kinds))} (chance {k * odd / stars:.1f})")
            print(f"| {score} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
