"""Spectra prepared by several processes at once: what a network learns from comes no slower than
the machine can make it. ``python -m spectrarium.run.preparing`` is one of the processes."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..domain.errors import InternalError, SpectrariumError
from ..domain.spectrum import Spectrum
from ..embed.domain import ModelDomain
from ..embed.prepare import LeftOut, Prepared, Preparer
from ..store.archive import Archive, Rows
from .redshifts import Shifts

MANY = 8_000
"""Tiles of samples from which starting processes (a second or two) pays."""
MOST = 16
_CHUNK_TILES = 1_024
_LENGTH = struct.Struct("<Q")
Piece = tuple[Prepared, Rows, tuple[LeftOut, ...]]
Asked = tuple[Rows, Shifts | None]
"""Catalogue rows, and what their spectra are shifted by where that counts."""


def cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def prepared(
    archive: Archive, preparer: Preparer, rows: Rows, size: int = 256, workers: int | None = None
) -> Iterator[Piece]:
    """(batch, catalogue rows given, those left out) over `rows` in storage order.

    workers : processes besides this one; None = as many as there are processors where `rows` are
        many, else none. The batches are the same, number by number, however many there are.
    Raises
    ------
    InternalError : a process ended by itself (``no_worker``)
    """
    rows = np.asarray(rows, np.int64)
    if workers is None:
        many = int(archive.index.value("n_tiles", rows).sum()) >= MANY
        workers = min(cores(), MOST) if many and cores() > 1 else 0
    shifts = Shifts.needed(archive, preparer.domain, rows)
    if not workers:
        for chunk, spectra in archive.scan(rows, size):
            batch, left = preparer.batch(_shifted(shifts, chunk, spectra))
            yield batch, chunk, left
        return
    asked = ((chunk, shifts and shifts.take(chunk)) for chunk in _chunks(archive, rows, size))
    yield from _in_parallel(archive, preparer.domain, asked, workers)


def _shifted(shifts: Shifts | None, rows: Rows, spectra: list[Spectrum]) -> list[Spectrum]:
    return spectra if shifts is None else shifts.put(rows, spectra)


def _chunks(archive: Archive, rows: Rows, size: int) -> Iterator[Rows]:
    """Rows in storage order, in pieces of some 50 MB of samples at most."""
    rows = rows[np.argsort(archive.index.value("pixel_row", rows), kind="stable")]
    tiles = archive.index.value("n_tiles", rows)
    at = 0
    while at < len(rows):
        budget = np.cumsum(tiles[at : at + size])
        take = max(1, int(np.searchsorted(budget, _CHUNK_TILES, "right")))
        yield rows[at : at + take]
        at += take


def _in_parallel(
    archive: Archive, domain: ModelDomain, chunks: Iterator[Asked], n: int
) -> Iterator[Piece]:
    """The chunks' batches in their order; at most two a process are under way or waiting."""
    setup = (archive.root, archive.version, domain.to_json())
    idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()
    processes = [_Process(setup) for _ in range(n)]
    for process in processes:
        idle.put(process)

    def ask(chunk: Asked) -> tuple[Prepared, tuple[LeftOut, ...]]:
        process = idle.get()
        try:
            return process.ask(chunk)
        finally:
            idle.put(process)

    threads = ThreadPoolExecutor(n, thread_name_prefix="preparing")
    waiting: deque[tuple[Rows, Future[tuple[Prepared, tuple[LeftOut, ...]]]]] = deque()
    try:
        for chunk in chunks:
            waiting.append((chunk[0], threads.submit(ask, chunk)))
            if len(waiting) >= 2 * n:
                yield _next(waiting)
        while waiting:
            yield _next(waiting)
    finally:
        for process in processes:
            process.close()
        threads.shutdown(wait=True, cancel_futures=True)


def _next(waiting: deque[tuple[Rows, Any]]) -> Piece:
    chunk, future = waiting.popleft()
    batch, left = future.result()
    return batch, chunk, left


class _Process:
    """One preparing process; it imports what it needs while its maker goes on."""

    def __init__(self, setup: tuple[Path, int, dict[str, Any]]) -> None:
        env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "spectrarium.run.preparing"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env=env, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        with contextlib.suppress(BrokenPipeError):  # asking it will say that it is gone
            _send(self._in, setup)

    def ask(self, chunk: Asked) -> tuple[Prepared, tuple[LeftOut, ...]]:
        """The batch of a chunk."""
        try:
            _send(self._in, chunk)
            answer = _receive(self._out)
        except (EOFError, BrokenPipeError, ValueError) as error:
            raise InternalError(
                "a preparing process ended by itself", code="no_worker",
                remedy="its message is above; if memory ran out, use fewer processors (taskset)",
            ) from error  # fmt: skip
        if isinstance(answer, BaseException):
            raise answer
        return answer  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the process: it has nothing to lose."""
        self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._in.close()
        self._process.wait()
        self._out.close()


def _send(stream: IO[bytes], message: Any) -> None:
    data = pickle.dumps(message, protocol=5)
    stream.write(_LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def _receive(stream: IO[bytes]) -> Any:
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (n,) = _LENGTH.unpack(head)
    data = stream.read(n)
    if len(data) < n:
        raise EOFError
    return pickle.loads(data)


def serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """Prepare the chunks that come until the other side is gone."""
    root, version, domain = _receive(source)
    archive: Archive | None = None
    preparer = Preparer(ModelDomain.from_json(domain))
    while True:
        try:
            chunk, shifts = _receive(source)
        except EOFError:
            return
        answer: Any
        try:
            archive = archive or Archive(root, version)
            answer = preparer.batch(_shifted(shifts, chunk, archive.read_rows(chunk)))
        except SpectrariumError as error:
            answer = error
        except Exception as error:  # noqa: BLE001  the process boundary: the other side reports it
            answer = InternalError(f"{type(error).__name__}: {error}", where="preparing")
        _send(sink, answer)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, EOFError, KeyboardInterrupt):
        serve(sys.stdin.buffer, sys.stdout.buffer)
