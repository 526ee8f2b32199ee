"""One ingest with reading processes that are there already.

    python ingest_warm.py FOLDER ARCHIVE WORKERS

Prints one JSON line: `seconds` from the moment all processes have imported everything to the last
commit's return, archive made anew, and the `observations` it then holds.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from spectrarium.run.ingest import ingest
from spectrarium.run.workers import Pool
from spectrarium.store.archive import Archive


def main(folder: str, archive: str, workers: int) -> None:
    """Ingest and print the time it took."""
    with Pool(workers) as pool:
        pool.wait()
        began = time.perf_counter()
        report = ingest(Path(archive), [folder], pool=pool)
        seconds = time.perf_counter() - began
    held = len(Archive(archive))
    print(json.dumps({"seconds": seconds, "stored": report.stored, "observations": held}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
