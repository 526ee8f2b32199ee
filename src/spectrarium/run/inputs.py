"""What the user pointed at, as a stream of files: folders, globs, lists, URLs, zips and tars."""

from __future__ import annotations

import glob
import os
import stat
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..domain.errors import UsageError

LIST_HEAD = 2**16
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
    for folder, subfolders, names in os.walk(root, followlinks=False):
        subfolders[:] = sorted(d for d in subfolders if not d.startswith("."))
        if "manifest.json" in names and "catalogue.lance" in subfolders:
            subfolders.clear()  # an archive of ours inside what is ingested: not input
            continue
        for name in sorted(names):
            if not name.startswith("."):
                yield os.path.join(folder, name)


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
    if lists and (entries := _entries(path, head)):
        yield from _listed(path, entries)
    elif head[:4] == _ZIP and (count := _zip_entries(path)):
        for start in range(0, count, 256):
            stop = min(start + 256, count)
            yield InputFile(path, "zip", size * (stop - start) // count, mtime, (start, stop))
    elif _is_tar(path, head):
        yield InputFile(path, "tar", size, mtime)
    else:
        yield InputFile(path, "file", size, mtime)


def _head(path: str, size: int) -> bytes:
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        return os.read(handle, size)
    finally:
        os.close(handle)


def _entries(path: str, head: bytes) -> list[str]:
    """Lines of a list of paths or URLs; [] if the file is not one."""
    try:
        lines = head.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        return []
    lines = [x.strip() for x in lines if x.strip() and not x.lstrip().startswith("#")]
    base = Path(path).parent
    probe = lines[:3]
    if not probe or not all(is_url(x) or (base / x).exists() or os.sep in x for x in probe):
        return []
    if not any(is_url(x) or (base / x).exists() for x in probe):
        return []
    with open(path, encoding="utf-8") as handle:
        return [x.strip() for x in handle if x.strip() and not x.lstrip().startswith("#")]


def _listed(path: str, entries: list[str]) -> Iterator[InputFile]:
    base = Path(path).parent
    for entry in entries:
        if is_url(entry):
            yield InputFile(entry, "url")
        elif (base / entry).is_dir():
            yield from _folder(str(base / entry))
        else:
            yield from _file(str(base / entry), lists=False)


def _zip_entries(path: str) -> int:
    """Number of entries of a zip to look into; 0 for what merely is packed as one (npz)."""
    try:
        with zipfile.ZipFile(path) as packed:
            names = packed.namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
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
    except (tarfile.TarError, OSError, EOFError, ValueError):
        return False


def chunks(
    files: Iterable[InputFile], max_files: int = 256, max_bytes: int = 2**26
) -> Iterator[list[InputFile]]:
    """Files in groups that one worker reads in one go: bounded in number and bytes."""
    group: list[InputFile] = []
    size = 0
    for file in files:
        group.append(file)
        size += file.size
        if len(group) >= max_files or size >= max_bytes or file.kind != "file":
            yield group
            group, size = [], 0
    if group:
        yield group
