"""Read → store: any mixture of files into an archive, resumable, in flat memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import Any

from ..domain.errors import UsageError
from ..domain.progress import Progress, Silent
from ..domain.spectrum import Spectrum
from ..read.registry import reader_named
from ..read.source import ReadOptions
from ..store.codec import encode
from ..store.writer import BatchBuilder, Writer, open_writer
from .inputs import InputFile, chunks, count, expand
from .reading import GroupReader, Outcome, declared
from .seen import SeenFiles
from .workers import Pool, Setup

COMMIT_S = 5.0
"""Longest time between commits: what a crash can cost."""
COMMIT_SPECTRA = 8192
INLINE_FILES = 64
INLINE_BYTES = 2**28
"""Fewer files and bytes than this are read in this process: starting workers takes longer."""


@dataclass
class IngestReport:
    """Counts of one ingest; `version` is the archive's afterwards.

    stored : spectra that are new or changed · unchanged : spectra already there
    skipped : files that were the same at the last ingest and were not read again
    """

    files: int = 0
    skipped: int = 0
    stored: int = 0
    unchanged: int = 0
    quarantined: int = 0
    not_spectra: int = 0
    cancelled: bool = False
    seconds: float = 0.0
    version: int = 0

    def record(self) -> dict[str, Any]:
        """Plain fields for ``--json``."""
        return asdict(self)


def ingest(
    root: Path,
    paths: Iterable[str | os.PathLike[str] | Spectrum],
    *,
    options: ReadOptions | None = None,
    reader: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    wait_s: float = 60.0,
    reread: bool = False,
    pool: Pool | None = None,
) -> IngestReport:
    """Store everything readable below `paths` (and spectra given as objects).

    workers : reading processes; None = one a core, 0 = read in this process
    reread : read again what is unchanged since it was read well
    pool : reading processes that are there already, to be used instead
    Raises UsageError for paths that name nothing, TransientError when another writer holds the
    archive or the disk is full. Bad files end in the quarantine.
    """
    progress = progress or Silent()
    options = options or ReadOptions()
    if workers is not None and workers < 0:
        raise UsageError(f"{workers} workers cannot read", code="bad_workers",
                         remedy="0 reads in this process, no number takes one a core")  # fmt: skip
    if reader is not None:
        reader_named(reader)  # an unknown name is said before anything is written
    given = list(paths)
    spectra = [p for p in given if isinstance(p, Spectrum)]
    names = [p for p in given if not isinstance(p, Spectrum)]
    report = IngestReport()
    began = time.monotonic()
    expected = count(names)  # names what does not exist before anything is written
    with _Readers(workers, pool) as readers:
        if expected >= INLINE_FILES:
            readers.start()  # they take a second, in which the archive is opened
        with open_writer(root, wait_s) as writer:
            _store_objects(writer, spectra, report)
            progress.start("reading files", expected)
            seen = None if reread else SeenFiles(writer.archive, declared(options, reader))
            todo = _not_seen(expand(names), seen, report, progress)
            setup = (writer.root, writer.archive.version, options, reader)
            outcomes = readers.outcomes(todo, setup, progress, expected)
            _store_outcomes(writer, outcomes, report, progress)
            if writer.archive.index.tail_rows > 20_000:
                writer.build_index()
            report.version = writer.archive.version
    report.seconds = round(time.monotonic() - began, 3)
    return report


class _Readers:
    """The reading processes, if there is enough for them to do; else this process reads."""

    def __init__(self, workers: int | None, pool: Pool | None) -> None:
        self._n = (os.cpu_count() or 1) if workers is None else workers
        self._asked = workers is not None
        self._pool = pool
        self._own: Pool | None = None

    def __enter__(self) -> _Readers:
        return self

    def __exit__(self, *_: object) -> None:
        if self._own is not None:
            self._own.close()

    def start(self) -> None:
        """Start the processes, unless they are there or none is wanted."""
        if self._pool is None and self._n:
            self._pool = self._own = Pool(self._n)

    def outcomes(
        self, files: Iterator[InputFile], setup: Setup, progress: Progress, expected: int
    ) -> Iterator[Outcome]:
        """What became of each group of `files`, in order, until cancelled."""
        first = list(islice(files, INLINE_FILES))
        all_groups = chunks(chain(first, files), expected=expected, readers=max(1, self._n))
        groups = takewhile(lambda _: not progress.cancelled(), all_groups)
        enough = len(first) >= INLINE_FILES or sum(f.size for f in first) >= INLINE_BYTES
        if self._asked or enough:
            self.start()
        elif self._own is not None:  # nearly all was read before
            self._pool = None
        if self._pool is not None:
            yield from self._pool.run(groups, setup)
            return
        here = GroupReader(*setup)
        for group in groups:
            yield here.read(group)


def _store_objects(writer: Writer, spectra: list[Spectrum], report: IngestReport) -> None:
    for start in range(0, len(spectra), 1024):
        builder = BatchBuilder(writer.root)
        for spectrum in spectra[start : start + 1024]:
            builder.add(encode(spectrum), spectrum)
        writer.stage(builder.build())
        stored, unchanged = writer.commit()
        report.stored += stored
        report.unchanged += unchanged


def _not_seen(
    files: Iterator[InputFile], seen: SeenFiles | None, report: IngestReport, progress: Progress
) -> Iterator[InputFile]:
    """Files that are new, changed since their receipt, or were in quarantine."""
    for file in files:
        if progress.cancelled():
            return
        if seen is not None and file in seen:
            report.skipped += 1
            progress.advance()
        else:
            yield file


def _store_outcomes(
    writer: Writer, outcomes: Iterator[Outcome], report: IngestReport, progress: Progress
) -> None:
    last, staged = time.monotonic(), 0
    for outcome in outcomes:
        for batch in outcome.batches:
            writer.stage(batch)
        staged += outcome.stored
        report.files += outcome.files
        report.unchanged += outcome.unchanged
        report.quarantined += outcome.quarantined
        report.not_spectra += outcome.not_spectra
        writer.has_orphans |= outcome.crashed
        progress.advance(outcome.files)
        if staged >= COMMIT_SPECTRA or time.monotonic() - last > COMMIT_S:
            _commit(writer, report)
            last, staged = time.monotonic(), 0
    _commit(writer, report)
    report.cancelled = progress.cancelled()


def _commit(writer: Writer, report: IngestReport) -> None:
    stored, unchanged = writer.commit()
    report.stored += stored
    report.unchanged += unchanged
