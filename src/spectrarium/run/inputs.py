"""What the user pointed at, as a stream of files: folders, globs, lists, URLs, zips and tars."""

from __future__ import annotations

import glob
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from ..domain.errors import UsageError

LIST_HEAD = 2**16
SMALL_GROUP = 32
"""Files in the smallest group: each one makes a file of pixels."""
_TAR_HEAD = 512
_ZIP, _TAR_GZ = b"PK\x03\x04", b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class InputFile:
    """One thing to read.

    kind : ``file``, ``zip``, ``tar`` or ``url`` · members : (start, stop) of a zip's entries
    """

    path: str
    kind: str = "file"
    size: int = 0
    mtime_ns: int = 0
    members: tuple[int, int] | None = None


def expand(paths: Iterable[str | os.PathLike[str]]) -> Iterator[InputFile]:
    """Every file below `paths`, in a stable order, hidden ones left out.

    Raises UsageError (no_such_path) for a path or pattern that names nothing.
    """
    for given in paths:
        text = os.fspath(given)
        if is_url(text):
            yield InputFile(text, "url")
        elif os.path.isdir(text):
            yield from _folder(text)
        elif os.path.exists(text) or os.path.islink(text):
            yield from _file(text, lists=True)
        elif glob.has_magic(text):
            hits = sorted(glob.glob(text, recursive=True))
            if not hits:
                raise _nothing(text, "the pattern matches no file")
            for hit in hits:
                yield from _folder(hit) if os.path.isdir(hit) else _file(hit, lists=False)
        else:
            raise _nothing(text, "there is no such file or folder")


def count(paths: Iterable[str | os.PathLike[str]]) -> int:
    """About how many files `expand` will give (zips and lists count as one).

    Raises UsageError (no_such_path) for a path or pattern that names nothing.
    """
    total = 0
    for given in paths:
        text = os.fspath(given)
        if is_url(text) or (os.path.lexists(text) and not os.path.isdir(text)):
            total += 1
        elif os.path.isdir(text):
            total += sum(1 for _ in _names(text))
        elif glob.has_magic(text):
            hits = glob.glob(text, recursive=True)
            if not hits:
                raise _nothing(text, "the pattern matches no file")
            total += count(hits)
        else:
            raise _nothing(text, "there is no such file or folder")
    return total


def is_url(text: str) -> bool:
    """True for http and https addresses."""
    return text.lower().startswith(("http://", "https://"))


def _nothing(path: str, what: str) -> UsageError:
    return UsageError(what, code="no_such_path", where=path, remedy="check the spelling")


def _folder(root: str) -> Iterator[InputFile]:
    for path in _names(root):
        yield from _file(path, lists=False)


def _names(root: str) -> Iterator[str]:
    closed: list[OSError] = []
    visited: set[tuple[int, int]] = set()  # links to folders are followed, once
    for folder, subfolders, names in os.walk(root, onerror=closed.append, followlinks=True):
        subfolders[:] = sorted(d for d in subfolders if not d.startswith("."))
        try:
            facts = os.stat(folder)
        except OSError:  # gone since its parent was listed
            continue
        if (facts.st_dev, facts.st_ino) in visited:
            subfolders.clear()
            continue
        visited.add((facts.st_dev, facts.st_ino))
        if "manifest.json" in names and "catalogue.lance" in subfolders:
            subfolders.clear()  # an archive of ours inside what is ingested: not input
            continue
        for name in sorted(names):
            if not name.startswith("."):
                yield os.path.join(folder, name)
        while closed:  # a folder that cannot be read gets a receipt as a file would
            yield os.fsdecode(closed.pop().filename)
    yield from (os.fsdecode(error.filename) for error in closed)


def _file(path: str, lists: bool) -> Iterator[InputFile]:
    path = os.path.abspath(path)
    try:
        facts = os.stat(path)
        if not stat.S_ISREG(facts.st_mode):  # opening a FIFO would wait for ever
            raise OSError("not a regular file")
        head = _head(path, LIST_HEAD if lists else _TAR_HEAD)
    except OSError:
        yield InputFile(path)  # the worker meets the same error and writes the receipt
        return
    size, mtime = facts.st_size, facts.st_mtime_ns
    if lists and _is_list(path, head):
        yield from _listed(path)
    elif head[:4] == _ZIP and (count := _zip_entries(path)):
        step = max(256, -(-count // 64))  # each part reads the zip's table of contents again
        for start in range(0, count, step):
            stop = min(start + step, count)
            yield InputFile(path, "zip", size * (stop - start) // count, mtime, (start, stop))
    elif _is_tar(path, head):
        yield InputFile(path, "tar", size, mtime)
    else:
        yield InputFile(path, "file", size, mtime)


def unpackable(path: str) -> InputFile | None:
    """A file as a zip or tar, whole; None for any other, a list of paths among them."""
    head = _head(path, _TAR_HEAD)
    size = os.path.getsize(path)
    if head[:4] == _ZIP and _zip_entries(path):
        return InputFile(path, "zip", size)
    return InputFile(path, "tar", size) if _is_tar(path, head) else None


def _head(path: str, size: int) -> bytes:
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        return os.read(handle, size)
    finally:
        os.close(handle)


def _entries(lines: Iterable[str]) -> Iterator[str]:
    return (x.strip() for x in lines if x.strip() and not x.lstrip().startswith("#"))


def _is_list(path: str, head: bytes) -> bool:
    """True for a text whose first lines are paths or URLs."""
    if b"\0" in head:
        return False
    if len(head) == LIST_HEAD:  # not the line that the head ends in
        head = head[: head.rfind(b"\n") + 1]
    # os.path, not Path: a long line of data is no file name, not an error
    base = os.path.dirname(path)
    probe = list(islice(_entries(os.fsdecode(head).splitlines()), 3))
    there = [is_url(x) or os.path.exists(os.path.join(base, x)) for x in probe]
    return any(there) and all(
        found or os.sep in x for found, x in zip(there, probe, strict=True)
    )  # fmt: skip


def _listed(path: str) -> Iterator[InputFile]:
    base = os.path.dirname(path)
    with open(path, encoding="utf-8", errors="surrogateescape") as handle:
        for entry in _entries(handle):
            place = os.path.join(base, entry)
            if is_url(entry):
                yield InputFile(entry, "url")
            elif os.path.isdir(place):
                yield from _folder(place)
            else:
                yield from _file(place, lists=False)


def _zip_entries(path: str) -> int:
    """Number of entries of a zip to look into; 0 for what merely is packed as one (npz)."""
    try:
        with zipfile.ZipFile(path) as packed:
            names = packed.namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError, struct.error):
        return 0
    if names and all(n.endswith(".npy") for n in names):
        return 0
    return len(names)


def _is_tar(path: str, head: bytes) -> bool:
    """True for a tar, plain or compressed (a gzipped FITS file is not one)."""
    compressed = head[:2] == _TAR_GZ or head[:3] == b"BZh" or head[:6] == b"\xfd7zXZ\x00"
    if not compressed:
        return head[257:262] == b"ustar"
    try:
        with tarfile.open(path, "r:*") as packed:
            return packed.next() is not None
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
        return False


def chunks(
    files: Iterable[InputFile], max_files: int = 256, max_bytes: int = 2**26, *,
    expected: int = 0, readers: int = 1,
) -> Iterator[list[InputFile]]:  # fmt: skip
    """Files in groups that one worker reads in one go: bounded in number and bytes.

    Towards the end of the `expected` number groups get smaller, so that all `readers` end together.
    """
    group: list[InputFile] = []
    size = given = 0
    most = max_files
    for file in files:
        group.append(file)
        size += file.size
        if len(group) >= most or size >= max_bytes or file.kind != "file":
            yield group
            given += len(group)
            group, size = [], 0
            left = expected - given
            if left > 0:
                most = max(min(max_files, SMALL_GROUP), min(max_files, left // (3 * readers)))
    if group:
        yield group
