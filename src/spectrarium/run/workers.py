"""Worker processes that survive bad files: a crash or hang costs one file, never the ingest.

Plain subprocesses with pickled messages: unlike `multiprocessing`, they do not re-import the
caller's script, so `archive.ingest()` works from any script or notebook.
"""

from __future__ import annotations

import contextlib
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
from ..read.registry import readers
from ..read.source import ReadOptions
from .inputs import InputFile
from .reading import GroupReader, Outcome, crashed
from .sources import DOWNLOAD_S

_LENGTH = struct.Struct("<Q")
Group = list[InputFile]
Setup = tuple[Path, int, ReadOptions, str | None]
"""What a `GroupReader` needs: archive, its version, the user's declarations, reader to force."""


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
    """One reading process. It imports what it needs while its maker goes on."""

    def __init__(self) -> None:
        env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "spectrarium.run.workers"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env=env, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        self._started = False
        self._setup: Setup | None = None

    def wait(self) -> None:
        """Until it has started. Raises InternalError if it cannot: no file is to blame."""
        if not self._started:
            try:
                trouble = receive(self._out)
            except EOFError as error:
                raise InternalError(
                    "a reading process did not start", code="no_worker",
                    remedy="its message is above; --workers 0 reads without such processes",
                ) from error  # fmt: skip
            if trouble is not None:
                raise trouble
            self._started = True

    def read(self, group: Group, setup: Setup, timeout_s: float) -> Outcome:
        """The outcome of a group. Raises EOFError if the process dies or hangs over it."""
        watchdog = threading.Timer(_patience_s(group, timeout_s), self._process.kill)
        watchdog.start()
        try:
            self.wait()
            if setup is not self._setup:
                send(self._in, setup)
                self._setup = setup
            send(self._in, group)
            answer = receive(self._out)
        except BrokenPipeError as error:
            raise EOFError from error
        finally:
            watchdog.cancel()
        if isinstance(answer, BaseException):
            raise answer
        return answer  # type: ignore[no-any-return]

    def close(self, timeout_s: float = 2.0) -> None:
        """End the process."""
        if not self._started:
            self._process.kill()  # nothing was asked of it yet
        with contextlib.suppress(BrokenPipeError):
            self._in.close()
        try:
            self._process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._out.close()


def _patience_s(group: Group, timeout_s: float) -> float:
    """How long a group may take: large files on a slow disk are no hang, nor are downloads."""
    web = sum(DOWNLOAD_S for file in group if file.kind == "url")
    return timeout_s + web + sum(file.size for file in group) / 2**20


class Pool:
    """`n` reading processes, started at once; they outlive a `run`, so that the next is quick."""

    def __init__(self, n: int, timeout_s: float = 300.0) -> None:
        self._workers: list[Worker | None] = [Worker() for _ in range(n)]
        self._timeout_s = timeout_s

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self) -> None:
        """Until every process has started."""
        for worker in self._workers:
            if worker is not None:
                worker.wait()

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            if worker is not None:
                worker.close()
        self._workers = [None] * len(self._workers)

    def run(self, groups: Iterable[Group], setup: Setup) -> Iterator[Outcome]:
        """Outcomes in the order of the groups; at most 2 n are under way: memory stays flat."""
        tasks: queue.Queue[tuple[int, Group] | None] = queue.Queue()
        done: queue.Queue[tuple[int, Outcome | BaseException]] = queue.Queue()
        stop = threading.Event()
        threads = [
            threading.Thread(target=self._serve, args=(i, setup, tasks, done, stop), daemon=True)
            for i in range(len(self._workers))
        ]
        for thread in threads:
            thread.start()
        try:
            yield from self._ordered(iter(groups), tasks, done)
        finally:
            stop.set()
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
            while more and sent - received < 2 * len(self._workers):
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

    def _serve(
        self, me: int, setup: Setup, tasks: queue.Queue[Any], done: queue.Queue[Any],
        stop: threading.Event,
    ) -> None:  # fmt: skip
        while (task := tasks.get()) is not None and not stop.is_set():
            number, group = task
            answer: Outcome | BaseException
            try:
                try:
                    answer = self._worker(me).read(group, setup, self._timeout_s)
                except EOFError:
                    self._replace(me)
                    answer = self._one_by_one(me, group, setup)
            except BaseException as error:  # noqa: BLE001  handed to the driver, which raises it
                answer = error
            done.put((number, answer))

    def _worker(self, me: int) -> Worker:
        worker = self._workers[me]
        if worker is None:
            worker = self._workers[me] = Worker()
        return worker

    def _replace(self, me: int) -> None:
        worker, self._workers[me] = self._workers[me], None
        if worker is not None:
            worker.close()

    def _one_by_one(self, me: int, group: Group, setup: Setup) -> Outcome:
        """Read a group again file by file; whichever ends its process is the culprit."""
        total = Outcome(crashed=True)  # what it had written is nobody's
        for file in group:
            try:
                one = self._worker(me).read([file], setup, self._timeout_s)
            except EOFError:
                self._replace(me)
                one = crashed(file, "reading it ended or hung the reading process")
            total.batches += one.batches
            for name in ("files", "stored", "unchanged", "quarantined", "not_spectra"):
                setattr(total, name, getattr(total, name) + getattr(one, name))
        return total


def serve(stdin: IO[bytes], stdout: IO[bytes]) -> None:
    """The worker's side: say hello, then answer groups until the pipe closes."""
    reader: GroupReader | None = None
    setup: Setup | None = None
    send(stdout, _trouble())
    while True:
        try:
            message = receive(stdin)
        except EOFError:
            return
        try:
            if isinstance(message, tuple):
                setup, reader = message, None
                continue
            assert setup is not None
            reader = reader or GroupReader(*setup)
            answer: Any = reader.read(message)
        except SpectrariumError as error:
            answer = error
        except Exception as error:  # noqa: BLE001  process boundary: reported to the driver
            answer = InternalError(f"{type(error).__name__}: {error}", code="worker_failed")
        send(stdout, answer)


def _trouble() -> InternalError | None:
    """Why this process cannot read anything, or None."""
    try:
        readers()
    except Exception as error:  # noqa: BLE001  process boundary: a plugin can fail in any way
        return InternalError(f"{type(error).__name__}: {error}", code="worker_failed")
    return None


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not get between the messages
    serve(sys.stdin.buffer, answers)
