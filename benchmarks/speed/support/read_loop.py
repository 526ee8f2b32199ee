"""The peers: a loop that only opens files and reads arrays, in worker processes.

    python read_loop.py LIBRARY LIST WORKERS

LIBRARY : fitsio, astropy or specutils · LIST : a text file of paths. Runs by itself in whatever
Python has the library; knows nothing of Spectrarium. Prints one JSON line: `seconds` from the
moment all workers have imported the library to the last file read, `samples` read, `version`.
"""

from __future__ import annotations

import json
import multiprocessing as mp
import sys
import time
import warnings
from importlib.metadata import version

ARRAYS = ["flux", "loglam", "ivar", "and_mask", "or_mask", "wdisp"]
CHUNK = 64


def read_fitsio(path: str) -> int:
    """One file by fitsio: one table read of six columns (faster than column by column)."""
    import fitsio

    with fitsio.FITS(path) as hdus:
        table = hdus[1].read(columns=ARRAYS)
    return sum(table[name].size for name in ARRAYS)


def read_astropy(path: str) -> int:
    """One file by astropy, not memory-mapped (faster for files of this size)."""
    import numpy as np
    from astropy.io import fits

    with fits.open(path, memmap=False) as hdus:
        table = hdus[1].data
        arrays = [np.array(table[name]) for name in ARRAYS]
    return sum(array.size for array in arrays)


def read_specutils(path: str) -> int:
    """One file by specutils, which finds out the format as Spectrarium does."""
    from specutils import Spectrum

    spectrum = Spectrum.read(path)
    return int(spectrum.flux.size)


READERS = {"fitsio": read_fitsio, "astropy": read_astropy, "specutils": read_specutils}


def work(library: str, tasks: mp.Queue, answers: mp.Queue) -> None:
    """A worker: imports, says so, reads until told to stop."""
    warnings.simplefilter("ignore")
    read = READERS[library]
    __import__(library if library != "astropy" else "astropy.io.fits")
    answers.put(None)
    while (chunk := tasks.get()) is not None:
        answers.put(sum(read(path) for path in chunk))


def main(library: str, list_file: str, workers: int) -> None:
    """Read everything and print the time it took."""
    with open(list_file) as handle:
        paths = handle.read().split("\n")
    chunk = min(CHUNK, -(-len(paths) // (2 * workers)))
    chunks = [paths[i : i + chunk] for i in range(0, len(paths), chunk)]
    tasks: mp.Queue = mp.Queue()
    answers: mp.Queue = mp.Queue()
    processes = [mp.Process(target=work, args=(library, tasks, answers)) for _ in range(workers)]
    for process in processes:
        process.start()
    for _ in processes:
        answers.get()
    began = time.perf_counter()
    for item in [*chunks, *[None] * workers]:
        tasks.put(item)
    samples = sum(answers.get() for _ in chunks)
    seconds = time.perf_counter() - began
    for process in processes:
        process.join()
    print(json.dumps({"seconds": seconds, "samples": samples, "version": version(library)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
