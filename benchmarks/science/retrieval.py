"""Does query by example return the query's class? The part of the benchmark without training.

    SPECTRARIUM_DATA=DIR python benchmarks/science/retrieval.py [options of `spectrarium evaluate`]

Weighted PCA against raw-pixel χ² and chance on the real corpora: `spectrarium evaluate` with
``--encoders pca`` and without tags, results in results/retrieval.json.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from spectrarium.cli.main import main

if __name__ == "__main__":
    data = os.environ.get("SPECTRARIUM_DATA", "")
    if not Path(data, "miles_stars", "index.csv").is_file():
        sys.exit("SPECTRARIUM_DATA names no folder of labelled pools")
    main([
        "evaluate", "--data", data, "--corpora", "sdss,miles,lamost,snid", "--encoders", "pca",
        "--tag-encoders", "", "--out", str(Path(__file__).parent / "results/retrieval.json"),
        *sys.argv[1:],
    ])  # fmt: skip
