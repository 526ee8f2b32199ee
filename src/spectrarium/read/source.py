"""One input file in memory: its bytes, its hash, and how the user asked for it to be read."""

from __future__ import annotations

import mmap
import os
import stat
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from blake3 import blake3

from ..domain.axis import Medium, SpecSys
from ..domain.errors import DataError
from .fits import FitsFile

MAX_BYTES = 8 * 2**30
"""Largest file or decompressed stream that is read."""
_RATIO = 400
"""More than this many times its compressed size (beyond 64 MiB) is taken for a bomb."""
_FREE = 64 * 2**20


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the user declares about files that do not say it themselves.

    A declaration fills in what a file leaves unknown; it never overrides what the file says.
    """

    collection: str | None = None
    wave_unit: str | None = None
    flux_unit: str | None = None
    medium: Medium | None = None
    specsys: SpecSys | None = None


class SourceFile:
    """A file's bytes, decompressed.

    Parameters
    ----------
    path : as the user gave it, or a URL · data : the bytes, gunzipped when they were gzip
    member : name inside the zip or tar that `path` is · options : the user's declarations
    """

    def __init__(
        self,
        path: str,
        data: bytes | mmap.mmap,
        *,
        member: str | None = None,
        options: ReadOptions | None = None,
    ) -> None:
        self.path = path
        self.member = member
        self.options = options or ReadOptions()
        self.data = gunzip(data, self.where) if data[:2] == b"\x1f\x8b" else data
        if len(self.data) == 0:
            raise DataError(
                "the file is empty (0 bytes)", code="empty_file", where=self.where,
                remedy="fetch it again",
            )  # fmt: skip

    @classmethod
    def open(cls, path: str | os.PathLike[str], options: ReadOptions | None = None) -> SourceFile:
        """Read a local file; files over 16 MiB are memory-mapped."""
        text = os.fspath(path)
        try:
            kind = os.stat(text).st_mode
            if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # opening a FIFO would wait for ever
                raise DataError("is a device, socket or pipe, not a file", code="not_a_file",
                                where=text)  # fmt: skip
            with open(text, "rb", buffering=0) as handle:
                size = os.fstat(handle.fileno()).st_size
                if size > MAX_BYTES:
                    raise DataError(
                        f"{size} bytes is more than the {MAX_BYTES} that are read",
                        code="too_large", where=text, remedy="split the file",
                    )  # fmt: skip
                data: bytes | mmap.mmap
                if size > 2**24:
                    data = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
                else:
                    data = handle.read()
        except IsADirectoryError as error:
            raise DataError(
                "is a directory, not a file", code="is_directory", where=text
            ) from error
        except FileNotFoundError as error:
            raise DataError(
                "the file does not exist (any more)", code="vanished", where=text,
                remedy="check the path and ingest again",
            ) from error  # fmt: skip
        except OSError as error:
            raise DataError(
                f"cannot be read: {error.strerror or error}", code="unreadable", where=text,
                remedy="check permissions and the disk, then ingest again",
            ) from error  # fmt: skip
        return cls(text, data, options=options)

    @property
    def where(self) -> str:
        """Path, and member where there is one, for messages."""
        return f"{self.path}!{self.member}" if self.member else self.path

    @property
    def name(self) -> str:
        """Base name without ``.gz``. For hints and identifiers only, never for recognition."""
        base = Path(self.member or self.path).name
        return base[:-3] if base.lower().endswith(".gz") else base

    @cached_property
    def hash(self) -> str:
        """BLAKE3 of the (decompressed) bytes, hex."""
        return blake3(self.data).hexdigest()

    @property
    def head(self) -> bytes:
        """The first 64 KiB."""
        return self.data[: 2**16]

    @property
    def is_fits(self) -> bool:
        """True if it starts as a FITS file must."""
        return self.data[:9] == b"SIMPLE  ="

    @cached_property
    def fits(self) -> FitsFile:
        """The parsed FITS file. Raises DataError when it is truncated or malformed."""
        return FitsFile(self.data, self.where)

    @cached_property
    def text(self) -> str:
        """The whole file as text. Raises DataError (not_text) if it is binary."""
        raw = bytes(self.data)
        if b"\x00" in raw[:4096]:
            raise DataError("binary data where text was expected", code="not_text",
                            where=self.where)  # fmt: skip
        try:
            return raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            return raw.decode("latin-1")

    def companion(self, name: str) -> SourceFile | None:
        """A file of this name (or name + ``.gz``) beside this one on disk, if there is one."""
        if self.member or "://" in self.path:
            return None
        for candidate in (name, name + ".gz"):
            path = Path(self.path).parent / Path(candidate).name
            if path.is_file():
                return SourceFile.open(path, self.options)
        return None


def gunzip(data: bytes | mmap.mmap, where: str) -> bytes:
    """All gzip members of `data`, refusing bombs and truncated streams."""
    limit = min(MAX_BYTES, max(_FREE, _RATIO * len(data)))
    out: list[bytes] = []
    total = at = 0
    step = len(data)  # one member is the rule: try it whole
    try:
        while data[at : at + 2] == b"\x1f\x8b":
            member, at = _gunzip_member(data, at, step, limit - total, where)
            out.append(member)
            total += len(member)
            step = 4096  # further members may be many and tiny: never copy the rest for each
            at = _skip_padding(data, at)
    except zlib.error as error:
        raise DataError(
            f"damaged gzip stream: {error}", code="corrupt", where=where,
            remedy="fetch the file again",
        ) from error  # fmt: skip
    return out[0] if len(out) == 1 else b"".join(out)


def _skip_padding(data: bytes | mmap.mmap, at: int) -> int:
    while chunk := data[at : at + 4096]:
        rest = chunk.lstrip(b"\x00")
        at += len(chunk) - len(rest)
        if rest:
            break
    return at


def _gunzip_member(
    data: bytes | mmap.mmap, at: int, step: int, room: int, where: str
) -> tuple[bytes, int]:
    """The gzip member at `at` and where it ends; at most `room` bytes."""
    stream = zlib.decompressobj(wbits=31)
    out: list[bytes] = []
    total = 0
    while not stream.eof:
        chunk = data[at : at + step]
        if not chunk:
            raise DataError(
                "the gzip stream ends too early", code="truncated", where=where,
                remedy="fetch the file again",
            )  # fmt: skip
        piece = stream.decompress(chunk, room - total + 1)
        total += len(piece)
        if total > room:
            raise DataError(
                f"expands to more than {total - 1} bytes from {len(data)}: refused as a "
                "decompression bomb",
                code="bomb", where=where, remedy="decompress it yourself if you trust it",
            )  # fmt: skip
        out.append(piece)
        at += len(chunk) - len(stream.unused_data) - len(stream.unconsumed_tail)
        step = min(2 * step, 2**24)
    return out[0] if len(out) == 1 else b"".join(out), at
