"""A stranger's file is read in a process of its own, with little memory and little time.

``python -m spectrarium.run.upload_reading`` is that process: it takes one request, answers once and
ends. It may hang, crash or eat its memory; it is then ended with all that it started.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from ..domain.errors import DataError, InternalError, UsageError
from ..domain.spectrum import Spectrum
from ..read.guarded import dumps
from ..read.registry import NotASpectrum, read_source
from ..read.source import ReadOptions, SourceFile
from .inputs import unpackable
from .sources import sources

TIME_S = 20.0
MEMORY_BYTES = 2 << 30
SPECTRA_MOST = 500
SAMPLES_BYTES = 256 << 20
"""Of all arrays of one file."""
PROBLEMS_MOST = 20
FILE_BYTES = 1 << 30
_ANSWER_BYTES = SAMPLES_BYTES + (64 << 20)
_LENGTH = struct.Struct("<Q")
_REMEDIES = {
    "no_wave_unit": "say what unit the wavelengths are in, and read it again",
    "bad_wave_unit": "say what unit the wavelengths are in, and read it again",
    "unknown_format": "see `spectrarium formats` for what can be read",
}
"""Where the reader's own words are those of the command line."""


@dataclass
class ReadApart:
    """What a file held: spectra, what was wrong with others, what else is to be said."""

    spectra: list[Spectrum] = field(default_factory=list)
    problems: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _Process:
    """A reading process, started ahead of its one request."""

    def __init__(self) -> None:
        env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env=env, start_new_session=True, cwd=tempfile.gettempdir(),
        )  # fmt: skip

    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: dict[str, Any], time_s: float) -> bytes | None:
        """The answer; None when there is none in time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.expired = False
        watchdog = threading.Timer(time_s, self._expire)
        watchdog.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                _write(self._process.stdin, pickle.dumps(request, protocol=5))
            return _read(self._process.stdout)
        finally:
            watchdog.cancel()
            self.end()

    def _expire(self) -> None:
        self.expired = True
        self.end()

    def end(self) -> None:
        """End it and whatever it started."""
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


_spare: list[_Process] = []
_lock = threading.Lock()


def _take() -> _Process:
    with _lock:
        found = _spare.pop() if _spare else None
    if found is not None and found.alive():
        return found
    return _Process()


def _prepare_next() -> None:
    """Have a process waiting: starting one takes a second."""
    with _lock:
        if not _spare:
            _spare.append(_Process())


def read_apart(name: str, data: bytes, options: ReadOptions, time_s: float = TIME_S) -> ReadApart:
    """What a file's bytes hold; whatever they do, this process goes on.

    name : for hints and messages only · options : what the user declares
    """
    process = _take()
    request = {"name": name, "data": data, "options": options}
    answer = process.ask(request, time_s)
    _prepare_next()
    if answer is None:
        what = (f"reading it took more than {time_s:g} s" if process.expired
                else "the reader crashed on this file")  # fmt: skip
        return ReadApart(problems=[{
            "code": "hung" if process.expired else "crashed", "what": what, "where": name,
            "remedy": "the file is damaged or too large: ingest it instead, if you trust it",
        }])  # fmt: skip
    found = _Careful(io.BytesIO(answer)).load()
    if isinstance(found, InternalError):
        raise found
    assert isinstance(found, ReadApart)
    return found


class _Careful(pickle.Unpickler):
    """Takes values of our own and arrays only: a reader that was taken over cannot go on here."""

    def find_class(self, module: str, name: str) -> Any:
        known = (module.startswith(f"{_PACKAGE}.domain.") or (module, name) in _PLAIN
                 or module in (__name__, "__main__"))  # fmt: skip
        if not known or "." in name:
            raise InternalError(f"a reading process sent a {module}.{name}")
        if module == "__main__":  # what the process calls itself
            return ReadApart
        return super().find_class(module, name)


_PACKAGE = __name__.partition(".")[0]
_PLAIN = {
    *((f"numpy{core}.multiarray", name) for core in ("._core", ".core")
      for name in ("_reconstruct", "scalar")),
    *((f"numpy{core}.numeric", "_frombuffer") for core in ("._core", ".core")),
    ("numpy", "ndarray"), ("numpy", "dtype"), ("copyreg", "_reconstructor"),
    ("builtins", "object"), (f"{_PACKAGE}.read.guarded", "_read_only"),
}  # fmt: skip


def close() -> None:
    """End the process that waits."""
    with _lock:
        while _spare:
            _spare.pop().end()


def _write(stream: IO[bytes], data: bytes) -> None:
    stream.write(_LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def _read(stream: IO[bytes]) -> bytes | None:
    try:
        head = stream.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            return None
        (size,) = _LENGTH.unpack(head)
        if size > _ANSWER_BYTES:
            return None
        data = stream.read(size)
    except (OSError, ValueError):
        return None
    return data if len(data) == size else None


# in the process that reads --------------------------------------------------------------------


def serve(stdin: IO[bytes], stdout: IO[bytes]) -> None:
    """Answer one request."""
    from ..read.registry import readers

    readers()
    request = _read(stdin)
    if request is None:
        return
    _limit()
    try:
        answer: Any = _everything(**pickle.loads(request))
    except MemoryError:
        answer = ReadApart(problems=[_problem(DataError(
            "needs more memory than uploads may take", code="too_large",
            remedy="ingest it instead"), "")])  # fmt: skip
    except Exception as error:  # noqa: BLE001  a process boundary: told to the one who asked
        answer = InternalError(f"a reader failed: {type(error).__name__}: {error}")
    _write(stdout, dumps(answer))


def _limit() -> None:
    try:
        import resource
    except ImportError:  # not on Windows: time alone is limited there
        return
    for what, most in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_CPU, int(TIME_S) + 5),
                       (resource.RLIMIT_FSIZE, FILE_BYTES), (resource.RLIMIT_CORE, 0)):  # fmt: skip
        _, hard = resource.getrlimit(what)
        soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (soft, soft))  # for good, and for what it starts


def _everything(name: str, data: bytes, options: ReadOptions) -> ReadApart:
    out = ReadApart()
    size = 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="spectrarium-upload-") as folder:
        for source in _sources(name, data, options, Path(folder), out):
            for item in _items(source, out, name):
                size += sum(a.nbytes for a in (item.flux, item.uncertainty, item.flags)
                            if a is not None)  # fmt: skip
                full = len(out.spectra) >= SPECTRA_MOST or size > SAMPLES_BYTES
                if full or time.monotonic() - began > 0.8 * TIME_S:
                    out.notes.append(f"only the first {len(out.spectra)} spectra were read: ingest "
                                     "the file for the rest")  # fmt: skip
                    return out
                p = item.provenance
                shown = replace(p, path=name, member=p.member)
                out.spectra.append(item.replace(provenance=shown))
    if not out.spectra and not out.problems:
        nothing = DataError("holds no spectrum at all", code="empty",
                            remedy="see `spectrarium formats`")  # fmt: skip
        out.problems.append(_problem(nothing, name))
    return out


def _sources(
    name: str, data: bytes, options: ReadOptions, folder: Path, out: ReadApart
) -> Iterator[SourceFile]:
    """The bytes themselves, or the members of the zip or tar that they are."""
    # a name beside which no file lies: readers look for companions there
    path = folder / "upload"
    path.write_bytes(data)
    file = unpackable(str(path))
    if file is None:
        try:
            yield SourceFile(f"upload://{name}", data, options=options)
        except DataError as error:
            out.problems.append(_problem(error, name))
        return
    for _, source in sources(file, options):
        if isinstance(source, DataError):
            if len(out.problems) >= PROBLEMS_MOST:
                return
            out.problems.append(_problem(source, name, str(path)))
        else:
            yield source


def _items(source: SourceFile, out: ReadApart, name: str) -> Iterator[Spectrum]:
    try:
        for item in read_source(source):
            if isinstance(item, Spectrum):
                yield item
            elif isinstance(item, NotASpectrum):
                if item.what not in out.notes and len(out.notes) < PROBLEMS_MOST:
                    out.notes.append(item.what)
            elif len(out.problems) < PROBLEMS_MOST:
                out.problems.append(_problem(item, name, source.path))
    except (DataError, UsageError) as error:
        if len(out.problems) < PROBLEMS_MOST:
            out.problems.append(_problem(error, name, source.path))
    except MemoryError:
        raise
    except InternalError:
        raise
    except Exception as error:  # noqa: BLE001  a defect of a reader is one problem, as in ingest
        out.problems.append({
            "code": "reader_defect", "where": name, "remedy": "please report this file",
            "what": f"the reader failed unexpectedly: {type(error).__name__}: {error}"[:400],
        })  # fmt: skip


def _problem(error: DataError | UsageError, name: str, path: str = "") -> dict[str, str]:
    """What went wrong, without the names of folders on the server."""
    where = error.where.replace(f"upload://{name}", name)
    if path:
        where = where.replace(path, name)
    hdu, row = getattr(error, "hdu", None), getattr(error, "row", None)
    where += "".join(f", {k} {v}" for k, v in (("HDU", hdu), ("row", row)) if v is not None)
    remedy = _REMEDIES.get(error.code, error.remedy)
    return {"code": error.code, "what": error.what[:400], "where": where[:200],
            "remedy": remedy[:400]}  # fmt: skip


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not get into the answer
    serve(sys.stdin.buffer, answers)
