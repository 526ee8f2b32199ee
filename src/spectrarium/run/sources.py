"""The bytes behind an input: a file, a download, the members of a zip or tar."""

from __future__ import annotations

import lzma
import mmap
import struct
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import PurePosixPath
from typing import Any
from zlib import error as zlib_error

from ..domain.errors import DataError
from ..read.pool_npz import is_npz
from ..read.source import ReadOptions, SourceFile
from .inputs import InputFile

Opened = tuple[str | None, SourceFile | DataError]
"""(member name, its bytes or why there are none)."""
MEMBER_BYTES = 2**31
_RATIO = 400
_FREE = 64 * 2**20
TRIES = 3
DOWNLOAD_S = 3600.0
"""A download that takes longer is given up: a server may send a byte a minute."""
_PIECE = 2**20
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, OSError, EOFError, ValueError, RuntimeError,
            NotImplementedError, zlib_error, lzma.LZMAError, struct.error)  # fmt: skip
"""What the unpackers throw at damaged input."""


def sources(file: InputFile, options: ReadOptions) -> Iterator[Opened]:
    """Everything readable behind one input; faults come as DataErrors, never as exceptions."""
    if file.kind == "zip":
        yield from _zip(file, options)
    elif file.kind == "tar":
        yield from _tar(file, options)
    elif file.kind == "url":
        yield None, _caught(lambda: _download(file.path, options))
    else:
        yield None, _caught(lambda: SourceFile.open(file.path, options))


def _caught(action: Callable[[], SourceFile]) -> SourceFile | DataError:
    try:
        return action()
    except DataError as error:
        return error
    except MemoryError:
        return DataError("needs more memory than there is", code="too_large",
                         remedy="unpack or split it")  # fmt: skip


class _Web(urllib.request.OpenerDirector):
    """Speaks http and https only, after a redirect too: never ftp, files or data URLs."""

    def __init__(self) -> None:
        super().__init__()
        for handler in (
            urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler,
            urllib.request.HTTPDefaultErrorHandler, urllib.request.HTTPRedirectHandler,
            urllib.request.HTTPErrorProcessor, urllib.request.UnknownHandler,
        ):  # fmt: skip
            self.add_handler(handler())


def _body(answer: Any, url: str) -> bytes | mmap.mmap:
    """The body, on disk where it is large; never more than may be read, nor for ever."""
    until = time.monotonic() + DOWNLOAD_S
    expected = answer.headers.get("Content-Length")
    with tempfile.SpooledTemporaryFile(max_size=2**24) as kept:
        size = 0
        while piece := answer.read(_PIECE):
            size += len(piece)
            if size > MEMBER_BYTES:
                raise DataError(f"the download exceeds {MEMBER_BYTES} bytes", code="too_large",
                                where=url)  # fmt: skip
            if time.monotonic() > until:
                raise DataError(f"the download takes longer than {DOWNLOAD_S:g} s",
                                code="download_failed", where=url,
                                remedy="fetch it by other means")  # fmt: skip
            kept.write(piece)
        if expected is not None and int(expected) != size:
            raise OSError(f"got {size} of {expected} bytes")
        kept.flush()
        if size <= 2**24:
            kept.seek(0)
            return kept.read()
        return mmap.mmap(kept.fileno(), 0, access=mmap.ACCESS_READ)


def _download(url: str, options: ReadOptions) -> SourceFile:
    for attempt in range(TRIES):
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "spectrarium"})
            with _Web().open(request, timeout=60) as answer:
                data = _body(answer, url)
            return SourceFile(url, data, options=options)
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 429:
                raise _failed(url, f"HTTP {error.code} {error.reason}") from error
            reason = f"HTTP {error.code} {error.reason}"
        except (OSError, ValueError, EOFError, HTTPException) as error:
            reason = str(error) or type(error).__name__  # resets, time-outs, half bodies
        if attempt + 1 < TRIES:
            time.sleep(0.2 * 2**attempt)
    raise _failed(url, reason)


def _failed(url: str, reason: str) -> DataError:
    return DataError(f"the download failed: {reason}", code="download_failed", where=url,
                     remedy="check the address and ingest again")  # fmt: skip


def unsafe_name(name: str) -> bool:
    """True if a member's name points outside the folder it would be unpacked in."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or (len(name) > 1 and name[1] == ":")


def _refuse(file: InputFile, name: str, what: str, code: str, remedy: str = "") -> DataError:
    return DataError(what, code=code, where=f"{file.path}!{name}", remedy=remedy)


def _checked(file: InputFile, name: str, size: int, packed: int) -> DataError | None:
    if unsafe_name(name):
        return _refuse(file, name, "its name points outside the archive file", "path_traversal",
                       "do not unpack this archive file: it may be hostile")  # fmt: skip
    if size > MEMBER_BYTES or size > max(_FREE, _RATIO * max(packed, 1)):
        what = f"declares {size} bytes from {packed}: refused as a decompression bomb"
        return _refuse(file, name, what, "bomb", "unpack it yourself if you trust it")
    return None


def _member(
    file: InputFile, name: str, read: Callable[[], bytes], options: ReadOptions
) -> SourceFile | DataError:
    try:
        data = read()
    except _DAMAGED as error:
        return _refuse(file, name, f"cannot be unpacked: {error}", "corrupt",
                       "fetch the archive file again")  # fmt: skip
    except MemoryError:
        return _refuse(file, name, "needs more memory than there is", "too_large", "unpack it")
    if data[:4] == b"PK\x03\x04" and not is_npz(data):
        return _refuse(file, name, "is an archive inside an archive", "nested_archive",
                       "unpack it once and ingest the result")  # fmt: skip
    return _caught(lambda: SourceFile(file.path, data, member=name, options=options))


def _zip(file: InputFile, options: ReadOptions) -> Iterator[Opened]:
    try:
        packed = zipfile.ZipFile(file.path)
    except _DAMAGED as error:
        yield None, DataError(f"cannot be opened as a zip: {error}", code="corrupt",
                              where=file.path)  # fmt: skip
        return
    with packed:
        start, stop = file.members or (0, None)
        for info in packed.infolist()[start:stop]:
            if info.is_dir():
                continue
            bad = _checked(file, info.filename, info.file_size, info.compress_size)
            yield info.filename, bad or _member(file, info.filename, _reader(packed, info), options)


def _reader(packed: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        with packed.open(info) as handle:
            data = handle.read(info.file_size + 1)
        if len(data) > info.file_size:
            raise zipfile.BadZipFile("it expands to more than it declares")
        return data

    return read


def _tar(file: InputFile, options: ReadOptions) -> Iterator[Opened]:
    total = 0
    try:
        with tarfile.open(file.path, "r:*") as packed:
            for info in packed:
                if info.isdir():
                    continue
                if not info.isfile():
                    yield info.name, _refuse(file, info.name, "is a link or device, not a file",
                                             "not_a_file", "archive the file itself")  # fmt: skip
                    continue
                total += info.size
                limit = max(_FREE * 16, _RATIO * file.size)
                bad = _checked(file, info.name, info.size, info.size)
                if total > limit:
                    yield info.name, _refuse(file, info.name, "the archive file expands to more "
                                             f"than {limit} bytes", "bomb")  # fmt: skip
                    return
                yield info.name, bad or _member(file, info.name, _tar_reader(packed, info), options)
    except _DAMAGED as error:
        yield None, DataError(f"the tar ends badly: {error}", code="corrupt", where=file.path,
                              remedy="fetch it again")  # fmt: skip


def _tar_reader(packed: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        handle: Any = packed.extractfile(info)
        with handle:
            return bytes(handle.read())

    return read
