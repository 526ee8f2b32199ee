"""File names out of identifiers that anyone may have written, and files that stay whole."""

from __future__ import annotations

import errno
import filecmp
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blake3 import blake3

from ..domain.errors import TransientError, UsageError
from .source import Record

_MAX_STEM = 120


class FileNames:
    """Names for the files of one export: safe, short, and never the same twice."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def name(self, record: Record, extension: str) -> str:
        """``COLLECTION__OBS_ID.ext`` of [A-Za-z0-9._+-] only.

        Whatever was changed or cut, and names that differ in case only, get eight digits of the
        identity's hash, so that two observations never share a file on any file system.
        """
        collection, obs_id = str(record.get("obs_collection")), str(record.get("obs_id"))
        wanted = f"{collection}__{obs_id}"
        stem = f"{_safe(collection)}__{_safe(obs_id)}"[:_MAX_STEM]
        if stem != wanted or f"{stem}.{extension}".lower() in self._taken:
            identity = f"{collection}\x1f{obs_id}".encode()
            stem = f"{stem}-{blake3(identity).hexdigest(4)}"
        name = f"{stem}.{extension}"
        self._taken.add(name.lower())
        return name


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", text).lstrip(".-") or "_"


@contextmanager
def staging(out: Path) -> Iterator[Path]:
    """A hidden folder inside `out` to write into; gone afterwards, whatever happens.

    Raises
    ------
    UsageError (cannot_write) : `out` is a file or may not be written to
    TransientError (no_space) : the disk is full
    """
    missing = [p for p in (out, *out.parents) if not p.exists()]
    done = False
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".export-", dir=out))
        try:
            yield folder
            done = True
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise _told(error, out) from error
    finally:
        if not done:
            for path in missing:  # leave no trace of folders that were made for nothing
                if path.is_dir() and not any(path.iterdir()):
                    path.rmdir()


def _told(error: OSError, out: Path) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TransientError("the disk is full", code="no_space", where=str(out),
                              remedy="make room and export again: nothing was written")  # fmt: skip
    return UsageError(f"cannot write there: {error.strerror or error}", code="cannot_write",
                      where=str(out), remedy="choose another folder with --out")  # fmt: skip


def publish_files(folder: Path, out: Path) -> None:
    """Move everything below `folder` into `out`, or nothing.

    A file that is there already with the same bytes stays. Raises UsageError (exists) before
    anything is moved when one differs, or when a folder there holds files that are not ours.
    """
    new = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    tops = {p.parts[0] for p in new if len(p.parts) > 1}
    for name in new:
        target = out / name
        blocked = any((out / p).is_file() or (out / p).is_symlink() for p in name.parents)
        if blocked or target.is_dir() or (
            os.path.lexists(target)
            and not (target.is_file() and filecmp.cmp(folder / name, target, shallow=False))
        ):  # fmt: skip
            raise _exists(target)
    for top in sorted(tops):  # a catalogue folder is one thing: no stale part may stay in it
        for old in sorted((out / top).rglob("*")):
            if not old.is_dir() and old.relative_to(out) not in new:
                raise _exists(old)
    for name in new:
        target = out / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(folder / name, target)


def _exists(path: Path) -> UsageError:
    return UsageError(
        "is there already and differs: nothing was written", code="exists", where=str(path),
        remedy="choose another folder with --out, or remove it",
    )  # fmt: skip
