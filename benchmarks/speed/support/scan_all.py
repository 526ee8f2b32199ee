"""One pass over an archive: ``python scan_all.py spectra|arrays ARCHIVE``."""

from __future__ import annotations

import sys
from pathlib import Path

from spectrarium.store.archive import Archive


def main(how: str, archive: str) -> None:
    """Decode every spectrum, or take the raw batches as a training loop does."""
    held = Archive(Path(archive))
    seen = 0
    if how == "spectra":
        for rows, spectra in held.scan():
            seen += len(rows)
            for spectrum in spectra:
                assert spectrum.flux.size
    else:
        for batch in held.scan_arrays(("flux", "uncertainty")):
            seen += batch.num_rows
    assert seen == len(held)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
