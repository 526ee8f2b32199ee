"""The one commit point: a small JSON file that pins the version of every dataset.

Everything else in an archive is append-only and invisible until a manifest names it. Replacing
``manifest.json`` by an atomic rename is the commit; ``manifests/N.json`` keeps every past one.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..domain.errors import DataError, TransientError, UsageError

FORMAT = 1
"""Layout of the archive on disk. Raised when an older Spectrarium could not read it."""
NAME = "manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive is at one version.

    datasets : dataset name → Lance version · rows : dataset name → rows at that version
    index : {"file", "hash", "rows"} of the search index, or None
    """

    version: int = 0
    format: int = FORMAT
    created: float = 0.0
    datasets: Mapping[str, int] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    index: Mapping[str, Any] | None = None
    keep: Mapping[str, list[int]] = field(default_factory=dict)
    note: str = ""

    def next(self, **changes: Any) -> Manifest:
        """The manifest of the following version."""
        return replace(self, version=self.version + 1, created=time.time(), **changes)


def load(root: Path, version: int | None = None) -> Manifest:
    """The current manifest, or that of a past version.

    Raises
    ------
    UsageError : no archive here, no such version, or one written by a newer Spectrarium
    DataError : the manifest is damaged
    """
    path = root / NAME if version is None else root / "manifests" / f"{version}.json"
    try:
        raw = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise _missing(root, version) from error
    except NotADirectoryError as error:
        raise _missing(root, version) from error
    except OSError as error:
        raise UsageError(
            f"the archive cannot be read: {error.strerror}", code="no_permission",
            where=str(root), remedy="ask its owner for the right to read it",
        ) from error  # fmt: skip
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"the manifest is damaged: {error}", code="bad_manifest", where=str(path),
            remedy="copy the newest file of manifests/ over it",
        ) from error  # fmt: skip
    if not isinstance(raw, dict) or not isinstance(raw.get("format"), int):
        raise DataError("the manifest is damaged: no format number", code="bad_manifest",
                        where=str(path))  # fmt: skip
    if version is not None and _uncommitted(root, version):
        raise _missing(root, version)
    if raw["format"] > FORMAT:
        raise UsageError(
            f"this archive has format {raw['format']}, this Spectrarium reads up to {FORMAT}",
            code="newer_archive", where=str(root), remedy="upgrade Spectrarium",
        )  # fmt: skip
    known = {name: raw[name] for name in Manifest.__slots__ if name in raw}
    return Manifest(**known)


def _uncommitted(root: Path, version: int) -> bool:
    """True for the copy that a writer made just before it died without committing."""
    try:
        return int(json.loads((root / NAME).read_text())["version"]) < version
    except (OSError, ValueError, KeyError, TypeError):
        return False  # a damaged manifest.json must not keep past versions from being read


def _missing(root: Path, version: int | None) -> UsageError:
    if version is not None and (root / NAME).is_file():
        newest = load(root).version
        return UsageError(
            f"there is no version {version}", code="no_version", where=str(root),
            remedy=f"versions go from 0 to {newest}",
        )  # fmt: skip
    return UsageError(
        "there is no archive here", code="no_archive", where=str(root),
        remedy="make one with `spectrarium ingest PATH --archive DIR`",
    )  # fmt: skip


def commit(root: Path, manifest: Manifest) -> None:
    """Make `manifest` the current one: durable and atomic."""
    text = json.dumps(asdict(manifest), indent=1, sort_keys=True).encode()
    past = root / "manifests"
    try:
        past.mkdir(exist_ok=True)
        _write_durably(past / f"{manifest.version}.json", text)
        _write_durably(root / NAME, text)
    except OSError as error:
        raise disk_error(error, root) from error


def is_leftover(path: Path) -> bool:
    """True for the half-written copy of a manifest that a dead writer left."""
    return path.name.startswith(".") and ".json." in path.name


def _write_durably(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    fsync(path.parent)


def fsync(path: Path) -> None:
    """Flush a file or directory to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot sync directories
            raise
    finally:
        os.close(handle)


def disk_error(error: BaseException, where: Path) -> TransientError:
    """A failed write as the error a user can act on."""
    text = str(error)
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or any(
        word in text for word in ("No space left", "os error 28", "os error 27", "os error 122",
                                  "File too large", "quota exceeded")
    ):  # fmt: skip
        return TransientError(
            "the disk is full: nothing of this batch was committed", code="disk_full",
            where=str(where), remedy="free some space and run the same command again",
        )  # fmt: skip
    return TransientError(
        f"writing failed: {text.splitlines()[0] if text else error!r}", code="write_failed",
        where=str(where), remedy="check the disk and run the same command again",
    )  # fmt: skip


@contextmanager
def writer_lock(root: Path, timeout_s: float) -> Iterator[None]:
    """Hold the archive's only writer lock; it dies with its process.

    Raises TransientError (locked) when another writer keeps it longer than `timeout_s`.
    """
    lock = FileLock(root / "writer.lock")
    try:
        lock.acquire(timeout=timeout_s)
    except Timeout as error:
        raise TransientError(
            f"another writer has held this archive for {timeout_s:g} s", code="locked",
            where=str(root), remedy="wait for it to finish, or raise --wait",
        ) from error  # fmt: skip
    except OSError as error:
        raise disk_error(error, root) from error
    try:
        yield
    finally:
        lock.release()
