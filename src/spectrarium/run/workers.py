"""Worker processes that survive bad files: a crash or hang costs one file, never the ingest.

Plain subprocesses with pickled messages: unlike `multiprocessing`, they do not re-import the
caller's script, so `archive.ingest()` works from any script or notebook.
"""

from __future__ import annotations

import os
import pickle
import queue
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from ..domain.errors import InternalError, SpectrariumError
from ..read.source import ReadOptions
from .inputs import InputFile
from .reading import GroupReader, Outcome, crashed

_LENGTH = struct.Struct("<Q")
Group = list[InputFile]


def send(stream: IO[bytes], message: Any) -> None:
    """Write one message."""
    data = pickle.dumps(message, protocol=5)
    stream.write(_LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read one message; EOFError when the other side is gone."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (n,) = _LENGTH.unpack(head)
    data = stream.read(n)
    if len(data) < n:
        raise EOFError
    return pickle.loads(data)


class Worker:
    """One reading process."""

    def __init__(self, setup: tuple[Path, int, ReadOptions, str | None]) -> None:
        env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "spectrarium.run.workers"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env=env, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        send(self._in, setup)

    def read(self, group: Group, timeout_s: float) -> Outcome:
        """The outcome of a group. Raises EOFError if the process dies or hangs over it."""
        watchdog = threading.Timer(timeout_s, self._process.kill)
        watchdog.start()
        try:
            send(self._in, group)
            answer = receive(self._out)
        except BrokenPipeError as error:
            raise EOFError from error
        finally:
            watchdog.cancel()
        if isinstance(answer, BaseException):
            raise answer
        return answer  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the process."""
        self._in.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._out.close()


class Pool:
    """Reads groups in `n` processes; outcomes come in the order of the groups."""

    def __init__(
        self, n: int, setup: tuple[Path, int, ReadOptions, str | None], timeout_s: float = 300.0
    ) -> None:
        self._n = n
        self._setup = setup
        self._timeout_s = timeout_s
        self._stop = threading.Event()

    def run(self, groups: Iterable[Group]) -> Iterator[Outcome]:
        """Outcomes in order; at most 2 n groups are under way, so memory stays flat."""
        tasks: queue.Queue[tuple[int, Group] | None] = queue.Queue()
        done: queue.Queue[tuple[int, Outcome | BaseException]] = queue.Queue()
        threads = [
            threading.Thread(target=self._serve, args=(tasks, done), daemon=True)
            for _ in range(self._n)
        ]
        for thread in threads:
            thread.start()
        try:
            yield from self._ordered(iter(groups), tasks, done)
        finally:
            self._stop.set()
            for _ in threads:
                tasks.put(None)
            for thread in threads:
                thread.join(timeout=10)

    def _ordered(
        self, groups: Iterator[Group], tasks: queue.Queue[Any], done: queue.Queue[Any]
    ) -> Iterator[Outcome]:
        sent = received = 0
        waiting: dict[int, Outcome] = {}
        more = True
        while more or received < sent:
            while more and sent - received < 2 * self._n:
                group = next(groups, None)
                if group is None:
                    more = False
                    break
                tasks.put((sent, group))
                sent += 1
            if received == sent:
                return
            while received not in waiting:
                number, answer = done.get()
                if isinstance(answer, BaseException):
                    raise answer
                waiting[number] = answer
            yield waiting.pop(received)
            received += 1

    def _serve(self, tasks: queue.Queue[Any], done: queue.Queue[Any]) -> None:
        worker: Worker | None = None
        while (task := tasks.get()) is not None and not self._stop.is_set():
            number, group = task
            try:
                worker = worker or Worker(self._setup)
                answer: Outcome | BaseException
                try:
                    answer = worker.read(group, self._timeout_s)
                except EOFError:
                    worker.close()
                    worker = None
                    answer = self._one_by_one(group)
            except BaseException as error:  # noqa: BLE001  handed to the driver, which raises it
                answer = error
            done.put((number, answer))
        if worker is not None:
            worker.close()

    def _one_by_one(self, group: Group) -> Outcome:
        """Read a group again, each file in its own process until the culprit is found."""
        total = Outcome()
        worker: Worker | None = None
        for file in group:
            worker = worker or Worker(self._setup)
            try:
                one = worker.read([file], self._timeout_s)
            except EOFError:
                worker.close()
                worker = None
                one = crashed(file, "reading it ended or hung the reading process")
            total.batches += one.batches
            for name in ("files", "stored", "unchanged", "quarantined", "not_spectra"):
                setattr(total, name, getattr(total, name) + getattr(one, name))
        if worker is not None:
            worker.close()
        return total


def serve(stdin: IO[bytes], stdout: IO[bytes]) -> None:
    """The worker's side: set up once, then answer groups until the pipe closes."""
    reader = GroupReader(*receive(stdin))
    while True:
        try:
            group = receive(stdin)
        except EOFError:
            return
        try:
            answer: Any = reader.read(group)
        except SpectrariumError as error:
            answer = error
        except Exception as error:  # noqa: BLE001  process boundary: reported to the driver
            answer = InternalError(f"{type(error).__name__}: {error}", code="worker_failed")
        send(stdout, answer)


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not get between the messages
    serve(sys.stdin.buffer, answers)
