"""The state of a training run on disk: whole or not there, and only ever that run's own."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import torch
from blake3 import blake3

from ..domain.errors import DataError, TransientError

NAME = "training.ckpt"
_MAGIC = b"spectrarium checkpoint 1\n"
_DIGEST = 32


def write_checkpoint(directory: Path, state: dict[str, Any], fingerprint: str) -> None:
    """Replace the checkpoint: written beside, flushed to disk, then renamed over the old one.

    Raises
    ------
    TransientError : it cannot be written (``disk_full``); the old one is still there
    """
    buffer = io.BytesIO()
    torch.save({"fingerprint": fingerprint, **state}, buffer)
    body = buffer.getbuffer()
    partial = directory / f".{NAME}.{os.getpid()}.part"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(_MAGIC + blake3(body).digest())
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, directory / NAME)
        _flush_directory(directory)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise TransientError(
            f"checkpoint cannot be written: {error}", code="disk_full", where=str(directory),
            remedy="free some space and run the same command again: it resumes",
        ) from error  # fmt: skip


def _flush_directory(directory: Path) -> None:
    """A rename lasts through a power cut only once its directory is on disk."""
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_checkpoint(directory: Path, fingerprint: str) -> dict[str, Any] | None:
    """The state written last, on the CPU; None if there is none.

    Raises
    ------
    DataError : not what was written (``damaged_checkpoint``), or written by a run with other
        spectra, settings or network (``foreign_checkpoint``)
    TransientError : it is there but cannot be read (``unreadable_checkpoint``)
    """
    path = directory / NAME
    try:
        with path.open("rb") as file:
            head = file.read(len(_MAGIC) + _DIGEST)
            body = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TransientError(
            f"checkpoint cannot be read: {error}", code="unreadable_checkpoint", where=str(path),
            remedy="make the folder readable, or name another one for checkpoints",
        ) from error  # fmt: skip
    if head != _MAGIC + blake3(body).digest():
        raise _refused("checkpoint is damaged or no checkpoint", "damaged_checkpoint", path)
    state = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    if state.pop("fingerprint") != fingerprint:
        raise _refused("checkpoint is of a run with other spectra, settings or network",
                       "foreign_checkpoint", path)  # fmt: skip
    return dict(state)


def _refused(what: str, code: str, path: Path) -> DataError:
    remedy = "delete it to start again, or name another folder for checkpoints"
    if code == "foreign_checkpoint":
        return DataError(what, code="foreign_checkpoint", where=str(path), remedy=remedy)
    return DataError(what, code="damaged_checkpoint", where=str(path), remedy=remedy)


def drop_checkpoint(directory: Path) -> None:
    """Delete the checkpoint of a run that has ended and whose model is saved."""
    (directory / NAME).unlink(missing_ok=True)
