"""Weights from files of others: read without running anything, and matched name by name."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..domain.errors import DataError, UsageError


def read_state(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors by name, and hyper-parameters if the file or a config beside it has any.

    Only plain tensors are read from a pickle; anything that would run code is refused.
    Raises DataError (``bad_weights``).
    """
    try:
        if path.suffix == ".safetensors":
            beside = path.with_name("config.json")
            hyper = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
            return load_file(path), hyper
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (
        SafetensorError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        pickle.UnpicklingError,
    ) as e:
        why = " ".join(str(e).split())[:200] or type(e).__name__
        raise DataError(
            f"weights cannot be read: {why}", code="bad_weights",
            where=str(path), remedy="download them again, or convert them to safetensors",
        ) from e  # fmt: skip
    state = content.get("state_dict", content.get("model", content))
    return dict(state), dict(content.get("hyper_parameters", {}))


def load_strictly(net: torch.nn.Module, state: dict[str, torch.Tensor], where: Path) -> None:
    """Fill a network; every name and shape must fit. Raises DataError (``other_architecture``)."""
    try:
        net.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise foreign(where, type(net).__name__, str(error)) from error


def existing(path: Path) -> Path:
    """The path, if a file is there. Raises UsageError (``no_weights``)."""
    if not path.is_file():
        raise UsageError("there are no weights here", code="no_weights", where=str(path),
                         remedy="name the file or folder with --weights")  # fmt: skip
    return path


def foreign(where: Path, what: str, why: str = "") -> DataError:
    """The error for weights of some other network."""
    words = " ".join(why.split())[:200]
    return DataError(f"these weights are not those of {what} {words}".strip(),
                     code="other_architecture", where=str(where))  # fmt: skip
