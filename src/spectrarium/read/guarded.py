"""Parsers written in C read damaged files in a process of their own.

libhdf5 loops for ever and Arrow's Parquet reader aborts on some damaged files; neither can be
caught within a process. A helper process does the parsing and hands spectra over a pipe: if it
dies or falls silent, that one file is bad and the next gets a new helper. The helper lives as long
as its parent, so that a file costs no start-up, and parses ahead while the parent stores.
"""

from __future__ import annotations

import atexit
import contextlib
import copyreg
import importlib
import io
import os
import pickle
import queue
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import IO, Any

from ..domain.errors import DataError, InternalError
from .registry import Item
from .source import SourceFile

STALL_S = 30.0
"""A helper that sends nothing for so long hangs."""
MEMORY_BYTES = 8 * 2**30
"""Address space of a helper beyond the file itself."""
_BATCH_BYTES = 2**20
_IN_PLACE = 2**20
_LENGTH = struct.Struct("<Q")


def read_guarded(source: SourceFile, function: str) -> Iterator[Item]:
    """What ``module:function`` yields for `source`, run in a helper process.

    Raises DataError (crashed, hung) if the parser dies or hangs on the file, else what it raises.
    """
    helper = _take()
    clean = False
    try:
        helper.send(_request(source, function))
        while True:
            kind, load = helper.receive(source)
            if kind == "items":
                yield from load
                continue
            clean = True
            if kind == "raise":
                raise load
            if kind == "fault":
                raise InternalError(f"a reader failed: {load.strip().splitlines()[-1]}",
                                    where=source.where, remedy=load)  # fmt: skip
            return
    finally:
        if clean:
            _give_back(helper)
        else:
            helper.kill()


def _request(source: SourceFile, function: str) -> dict[str, Any]:
    """Large plain files are opened by the helper itself instead of being copied to it."""
    by_path = False
    if source.member is None and len(source.data) > _IN_PLACE:
        try:
            by_path = os.path.getsize(source.path) == len(source.data)
        except OSError:
            by_path = False
    return {
        "function": function, "path": source.path, "member": source.member,
        "options": source.options, "hash": source.hash, "size": len(source.data),
        "data": None if by_path else bytes(source.data),
    }  # fmt: skip


class _Helper:
    """One helper process and the thread that takes in what it sends."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import serve; serve()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._frames: queue.Queue[bytes | None] = queue.Queue(maxsize=4)
        self._stopped = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while not self._stopped.is_set():
            frame = _read_frame(stream)
            while not self._stopped.is_set():
                try:
                    self._frames.put(frame, timeout=1.0)
                    break
                except queue.Full:
                    continue
            if frame is None:
                return

    def send(self, request: dict[str, Any]) -> None:
        """Ask for a file to be read."""
        stream = self._process.stdin
        assert stream is not None
        with contextlib.suppress(OSError):  # it has died: `receive` says so
            _write_frame(stream, pickle.dumps(request, protocol=5))

    def receive(self, source: SourceFile) -> tuple[str, Any]:
        """The next answer."""
        try:
            frame = self._frames.get(timeout=STALL_S)
        except queue.Empty:
            raise DataError(
                f"the parser has not answered for {STALL_S:g} s: it hangs on this file",
                code="hung", where=source.where, remedy="the file is damaged: fetch it again",
            ) from None  # fmt: skip
        if frame is None:
            raise DataError(
                f"the parser crashed on this file (exit status {self._process.wait()})",
                code="crashed", where=source.where, remedy="the file is damaged: fetch it again",
            )  # fmt: skip
        kind, load = pickle.loads(frame)
        return str(kind), load

    def alive(self) -> bool:
        """True if it can take another file in this process."""
        return self.owner == os.getpid() and self._process.poll() is None

    def kill(self) -> None:
        """End it, whatever it does."""
        if self.owner != os.getpid():
            return  # after a fork the helper belongs to the parent
        self._stopped.set()
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


_idle: list[_Helper] = []
_lock = threading.Lock()


def _take() -> _Helper:
    with _lock:
        while _idle:
            helper = _idle.pop()
            if helper.alive():
                return helper
    return _Helper()


def _give_back(helper: _Helper) -> None:
    with _lock:
        _idle.append(helper)


@atexit.register
def _end_all() -> None:
    with _lock:
        while _idle:
            _idle.pop().kill()


def _write_frame(stream: IO[bytes], frame: bytes) -> None:
    stream.write(_LENGTH.pack(len(frame)))
    stream.write(frame)
    stream.flush()


def _read_frame(stream: Any) -> bytes | None:
    try:
        head = stream.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            return None
        (size,) = _LENGTH.unpack(head)
        frame: bytes = stream.read(size)
        return frame if len(frame) == size else None
    except (OSError, ValueError):  # the pipe was closed under us
        return None


def dumps(value: Any) -> bytes:
    """Pickled; read-only mappings, which pickle leaves out, too."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, protocol=5)
    table = copyreg.dispatch_table.copy()
    table[MappingProxyType] = lambda m: (_read_only, (dict(m),))
    pickler.dispatch_table = table
    pickler.dump(value)
    return buffer.getvalue()


def _read_only(mapping: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(mapping)


def serve() -> None:
    """The helper's life: read a request, answer it, until the parent closes the pipe."""
    incoming = os.fdopen(os.dup(0), "rb")
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever libraries print must not get among the answers
    while (frame := _read_frame(incoming)) is not None:
        try:
            _answer(pickle.loads(frame), lambda *answer: _write_frame(outgoing, dumps(answer)))
        except BrokenPipeError:
            return


def _answer(request: dict[str, Any], send: Callable[[str, Any], None]) -> None:
    batch: list[Item] = []
    size = 0
    try:
        _limit_memory(request["size"])
        source = _source(request)
        module, _, name = request["function"].partition(":")
        for item in getattr(importlib.import_module(module), name)(source):
            batch.append(item)
            size += getattr(getattr(item, "flux", None), "nbytes", 64) * 4
            if size > _BATCH_BYTES:
                send("items", batch)
                batch, size = [], 0
        send("items", batch)
        send("end", None)
    except DataError as error:
        send("items", batch)
        send("raise", error)
    except BrokenPipeError:
        raise
    except Exception:  # noqa: BLE001  (a process boundary: the parent reports it as ours)
        send("fault", traceback.format_exc())


def _source(request: dict[str, Any]) -> SourceFile:
    if request["data"] is None:
        source = SourceFile.open(request["path"], request["options"])
        if len(source.data) != request["size"]:
            raise DataError("changed while it was read", code="vanished", where=request["path"],
                            remedy="ingest it again")  # fmt: skip
    else:
        source = SourceFile(
            request["path"], request["data"], member=request["member"], options=request["options"]
        )
    source.__dict__["hash"] = request["hash"]  # of the parent's bytes: not computed twice
    return source


def _limit_memory(size: int) -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    soft = MEMORY_BYTES + 3 * size
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or soft < hard:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
