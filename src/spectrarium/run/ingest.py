"""Read → store: any mixture of files into an archive, resumable, in flat memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.progress import Progress, Silent
from ..domain.spectrum import Spectrum
from ..read.source import ReadOptions
from ..store.archive import Archive
from ..store.codec import encode, hash63
from ..store.writer import BatchBuilder, Writer, open_writer
from .inputs import InputFile, chunks, expand
from .reading import GroupReader, Outcome
from .workers import Group, Pool

COMMIT_S = 5.0
"""Longest time between commits: what a crash can cost."""
COMMIT_SPECTRA = 8192
INLINE_FILES = 64
"""Fewer files than this are read in this process: starting workers takes longer."""


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
) -> IngestReport:
    """Store everything readable below `paths` (and spectra given as objects).

    workers : reading processes; None = one a core, 0 = read in this process
    Raises UsageError for paths that name nothing, TransientError when another writer holds the
    archive or the disk is full. Bad files end in the quarantine.
    """
    progress = progress or Silent()
    options = options or ReadOptions()
    given = list(paths)
    spectra = [p for p in given if isinstance(p, Spectrum)]
    names = [p for p in given if not isinstance(p, Spectrum)]
    files = list(_probe(expand(names)))  # names what does not exist before anything is written
    report = IngestReport()
    began = time.monotonic()
    with open_writer(root, wait_s) as writer:
        _store_objects(writer, spectra, report)
        todo = _not_seen(files, writer.archive, report)
        progress.start("reading files", len(todo))
        setup = (writer.root, writer.archive.version, options, reader)
        outcomes = _outcomes(chunks(todo), setup, _workers(workers, todo), progress)
        _store_outcomes(writer, outcomes, report, progress)
        if writer.archive.index.tail_rows > 20_000:
            writer.build_index()
        report.version = writer.archive.version
    report.seconds = round(time.monotonic() - began, 3)
    return report


def _probe(files: Iterator[InputFile]) -> Iterator[InputFile]:
    yield from files


def _workers(wanted: int | None, todo: list[InputFile]) -> int:
    if wanted is not None:
        return wanted
    if len(todo) < INLINE_FILES and sum(f.size for f in todo) < 2**28:
        return 0
    return os.cpu_count() or 1


def _store_objects(writer: Writer, spectra: list[Spectrum], report: IngestReport) -> None:
    for start in range(0, len(spectra), 1024):
        builder = BatchBuilder(writer.root)
        for spectrum in spectra[start : start + 1024]:
            builder.add(encode(spectrum), spectrum)
        writer.stage(builder.build())
        stored, unchanged = writer.commit()
        report.stored += stored
        report.unchanged += unchanged


def _not_seen(files: list[InputFile], archive: Archive, report: IngestReport) -> list[InputFile]:
    """Files that are new, changed since their receipt, or were in quarantine."""
    known = _Receipts(archive)
    todo = [f for f in files if not known.same(f)]
    report.skipped = len(files) - len(todo)
    return todo


class _Receipts:
    """What was read before: 24 bytes a file, however long its path."""

    def __init__(self, archive: Archive) -> None:
        table = archive.receipts().select(["path", "size", "mtime_ns", "status", "n_quarantined"])
        good: dict[str, tuple[int, int, bool]] = {}
        for record in table.to_pylist():
            if record["status"] == "bad_item":
                continue
            ok = record["n_quarantined"] == 0
            before = good.get(record["path"])
            good[record["path"]] = (
                record["size"], record["mtime_ns"], ok and (before is None or before[2])
            )  # fmt: skip
        keys = [(hash63(p.encode()), s, m) for p, (s, m, ok) in good.items() if ok]
        self._known: NDArray[np.int64] = np.array(sorted(keys), np.int64).reshape(-1, 3)

    def same(self, file: InputFile) -> bool:
        if file.kind != "file" or not file.mtime_ns:
            return False
        key = hash63(file.path.encode())
        at = int(np.searchsorted(self._known[:, 0], key))
        return at < len(self._known) and tuple(self._known[at]) == (key, file.size, file.mtime_ns)


def _outcomes(
    groups: Iterator[Group],
    setup: tuple[Path, int, ReadOptions, str | None],
    workers: int,
    progress: Progress,
) -> Iterator[Outcome]:
    groups = _until_cancelled(groups, progress)
    if workers == 0:
        here = GroupReader(*setup)
        for group in groups:
            yield here.read(group)
    else:
        yield from Pool(workers, setup).run(groups)


def _until_cancelled(groups: Iterator[Group], progress: Progress) -> Iterator[Group]:
    for group in groups:
        if progress.cancelled():
            return
        yield group


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
