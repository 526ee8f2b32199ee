"""The whole science benchmark of `docs/science.md`: `spectrarium evaluate` with real data.

    SPECTRARIUM_DATA=DIR python benchmarks/science/evaluate.py [options of `spectrarium evaluate`]

Without SPECTRARIUM_DATA the mock survey alone is evaluated. Writes results/evaluate.json and
results/evaluate.md beside this file; what is done is kept in ./evaluation, so that an interrupted
run goes on.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from spectrarium.cli.main import main

RESULTS = Path(__file__).parent / "results"


def arguments() -> list[str]:
    """What the command is given: the data's folder and where results go, then the user's own."""
    words = ["evaluate", "--out", str(RESULTS / "evaluate.json"),
             "--markdown", str(RESULTS / "evaluate.md")]  # fmt: skip
    data = os.environ.get("SPECTRARIUM_DATA", "")
    return [*words, *(["--data", data] if data else []), *sys.argv[1:]]


if __name__ == "__main__":
    main(arguments())
