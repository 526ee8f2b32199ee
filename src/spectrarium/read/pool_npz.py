"""NumPy archives: a zip of ``.npy`` members, streamed row by row, never unpickled."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import DataError
from .pool_matrix import Entry, read_matrix
from .pool_rows import MAX_ROW_BYTES, RATIO
from .registry import Item
from .row_fields import normal_key
from .source import SourceFile

_FAILURES = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError,
             RuntimeError, KeyError, SyntaxError, TypeError)  # fmt: skip
_MAX_MEMBERS = 4096


class View(io.RawIOBase):
    """A seekable file over bytes or a memory map, without copying them."""

    def __init__(self, data: Any) -> None:
        super().__init__()
        self._data = memoryview(data)
        self._at = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """As io.RawIOBase.seek."""
        base = (0, self._at, len(self._data))[whence]
        self._at = max(base + offset, 0)
        return self._at

    def tell(self) -> int:
        """As io.RawIOBase.tell."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """As io.RawIOBase.readinto."""
        chunk = self._data[self._at : self._at + len(buffer)]
        buffer[: len(chunk)] = chunk
        self._at += len(chunk)
        return len(chunk)


def is_npz(data: Any) -> bool:
    """True if the first member of the zip is a ``.npy`` (its magic is looked up when stored)."""
    if data[:4] != b"PK\x03\x04":
        return False
    length = int.from_bytes(data[26:28], "little")
    return bool(data[30 : 30 + length].endswith(b".npy"))


def read(source: SourceFile) -> Iterator[Item]:
    """One Spectrum per row of the flux array.

    Raises DataError (corrupt, pickle, bomb) and those of `read_matrix`.
    """
    try:
        box = NpzBox(source)
    except _FAILURES as error:
        raise _corrupt(source, error) from error
    yield from read_matrix(source, "npz", box)


def _corrupt(source: SourceFile, error: Exception, code: str = "corrupt") -> DataError:
    return DataError(
        f"damaged NumPy archive: {error or type(error).__name__}", code=code, where=source.where,
        remedy="fetch the file again",
    )  # fmt: skip


class _Stream:
    """One member, read forwards."""

    def __init__(self, zip_file: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        self.file = zip_file.open(info)
        version = np.lib.format.read_magic(self.file)
        if version == (1, 0):
            header = np.lib.format.read_array_header_1_0(self.file)
        elif version == (2, 0):
            header = np.lib.format.read_array_header_2_0(self.file)
        else:
            raise ValueError(f"{info.filename} has format version {version}")
        self.shape, self.fortran, self.dtype = header
        self.row = 0

    def take(self, count: int) -> NDArray[Any]:
        """The next `count` rows."""
        cell = self.shape[1:]
        size = int(np.prod([count, *cell])) * self.dtype.itemsize
        parts = self.file.read(size)
        if len(parts) != size:
            raise EOFError("a member ends before its array does")
        self.row += count
        array = np.frombuffer(bytearray(parts), dtype=self.dtype).reshape(count, *cell)
        return array.astype(self.dtype.newbyteorder("="), copy=False)


class NpzBox:
    """The arrays of an ``.npz`` as a Container."""

    def __init__(self, source: SourceFile) -> None:
        self._source = source
        self._zip = zipfile.ZipFile(io.BufferedReader(View(source.data), 2**16))
        self._infos: dict[str, zipfile.ZipInfo] = {}
        self._entries: dict[str, Entry] = {}
        self._open: dict[str, _Stream] = {}
        self._loaded: dict[str, NDArray[Any]] = {}
        self._values: dict[str, Any] = {}
        members = [m for m in self._zip.infolist() if m.filename.endswith(".npy")]
        if sum(m.file_size for m in members) > max(MAX_ROW_BYTES, RATIO * len(source.data)):
            raise DataError(
                "expands to more than a thousand million bytes from "
                f"{len(source.data)}: refused as a decompression bomb",
                code="bomb", where=source.where, remedy="unpack it yourself if you trust it",
            )  # fmt: skip
        for info in members[:_MAX_MEMBERS]:
            self._add(info)

    def _add(self, info: zipfile.ZipInfo) -> None:
        name = info.filename[:-4]
        stream = _Stream(self._zip, info)
        stream.file.close()
        if stream.dtype.hasobject:
            raise DataError(
                f"the array {name!r} holds pickled Python objects, which are never loaded",
                code="pickle", where=self._source.where,
                remedy="save plain numbers and texts: np.savez(..., allow_pickle=False)",
            )  # fmt: skip
        size = int(np.prod([float(x) for x in stream.shape])) * stream.dtype.itemsize
        if size > info.file_size:
            raise EOFError(f"{name} announces {size} bytes and has {info.file_size}")
        self._infos[name] = info
        if stream.shape == ():
            self._values[normal_key(name)] = self.whole(name).item()
        elif stream.dtype.names is None:
            self._entries[name] = Entry(tuple(stream.shape), stream.dtype)

    def entries(self) -> Mapping[str, Entry]:
        """All arrays with at least one axis."""
        return self._entries

    def values(self) -> Mapping[str, Any]:
        """The 0-d arrays."""
        return self._values

    def whole(self, name: str) -> NDArray[Any]:
        """All of an array."""
        if name in self._loaded:
            return self._loaded[name]
        try:
            stream = _Stream(self._zip, self._infos[name])
            with stream.file:
                if stream.shape == ():
                    raw = stream.file.read(stream.dtype.itemsize)
                    return np.frombuffer(raw, stream.dtype)[0:1].reshape(())
                if not stream.fortran:
                    return stream.take(stream.shape[0])
                raw = stream.file.read(int(np.prod(stream.shape)) * stream.dtype.itemsize)
                array: NDArray[Any] = np.ndarray(
                    stream.shape, stream.dtype, bytearray(raw), order="F"
                )
                return array
        except _FAILURES as error:
            raise _corrupt(self._source, error, "stream") from error

    def rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Rows in rising order; column-major and small arrays are held in memory."""
        entry = self._entries[name]
        try:
            if name not in self._open and name not in self._loaded:
                stream = _Stream(self._zip, self._infos[name])
                if stream.fortran and len(entry.shape) > 1:
                    self._loaded[name] = self.whole(name)
                else:
                    self._open[name] = stream
            if name in self._loaded:
                return self._loaded[name][start:stop]
            stream = self._open[name]
            if stream.row != start:
                raise EOFError(f"{name} cannot be read backwards")
            return stream.take(stop - start)
        except _FAILURES as error:
            raise _corrupt(self._source, error, "stream") from error
