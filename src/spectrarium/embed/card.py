"""A model on disk: plain arrays and a card that says what they are and proves it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from ..domain.errors import DataError, UsageError

CARD = "card.json"
LAYOUT = 1
"""Version of this directory layout; raised when a reader of the old one would go wrong."""


def weights_hash(arrays: Mapping[str, NDArray[Any]]) -> str:
    """BLAKE3 over names, types, shapes and bytes: the same weights, the same hash anywhere."""
    digest = blake3()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name} {little.dtype.str} {little.shape}\n".encode())
        digest.update(little.tobytes())
    return digest.hexdigest()


def write_model(
    directory: Path, arrays: Mapping[str, NDArray[Any]], card: Mapping[str, Any], *,
    safetensors: bool = False,
) -> None:  # fmt: skip
    """Write the arrays and ``card.json``; the directory appears whole or not at all.

    safetensors : one file ``weights.safetensors`` (networks) instead of ``NAME.npy`` files
    Raises
    ------
    UsageError : the directory exists and holds anything but the same weights
    """
    if (directory / CARD).is_file():
        if _card(directory).get("weights_hash") == card["weights_hash"]:
            return
        raise UsageError(f"{directory} holds another model", code="exists",
                         remedy="choose an empty directory")  # fmt: skip
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = directory.with_name(f".{directory.name}.{os.getpid()}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    if safetensors:
        from .weights import write_weights

        write_weights(partial, arrays)
    for name, array in () if safetensors else arrays.items():
        with (partial / f"{name}.npy").open("wb") as file:
            np.save(file, np.ascontiguousarray(array), allow_pickle=False)
            _flush(file.fileno())
    kept = "safetensors" if safetensors else "npy"
    record = {"layout": LAYOUT, "arrays": sorted(arrays), "kept_as": kept, **card}
    with (partial / CARD).open("w", encoding="utf-8") as text:
        json.dump(record, text, indent=1, sort_keys=True, allow_nan=False)
        text.flush()
        _flush(text.fileno())
    os.replace(partial, directory)


def _flush(descriptor: int) -> None:
    os.fsync(descriptor)


def read_model(directory: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays and card of a model directory.

    Raises
    ------
    DataError : no card (``no_model``), unreadable arrays (``bad_model``, of a network
        ``bad_weights``), written by a newer version (``newer_layout``), or arrays that are not
        those of the card (``hash_mismatch``)
    """
    card = _card(directory)
    if card.get("layout", 0) > LAYOUT:
        raise DataError("model was written by a newer version", code="newer_layout",
                        where=str(directory), remedy="upgrade spectrarium")  # fmt: skip
    arrays = {}
    if card.get("kept_as") == "safetensors":
        from .weights import read_weights

        arrays = read_weights(directory)
    for name in card["arrays"] if card.get("kept_as", "npy") == "npy" else ():
        try:
            arrays[name] = np.load(directory / f"{name}.npy", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(
                f"weights {name} cannot be read: {error}", code="bad_model", where=str(directory),
                remedy="train the model again or copy it again",
            ) from error  # fmt: skip
    if weights_hash(arrays) != card.get("weights_hash"):
        raise DataError(
            "weights do not match their card", code="hash_mismatch", where=str(directory),
            remedy="train the model again or copy it again",
        )  # fmt: skip
    return arrays, card


def _card(directory: Path) -> dict[str, Any]:
    try:
        card = json.loads((directory / CARD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError("holds no model card", code="no_model", where=str(directory),
                        remedy="name a directory that `embed` wrote") from None  # fmt: skip
    except ValueError as error:
        raise DataError(f"model card is damaged: {error}", code="bad_model",
                        where=str(directory)) from error  # fmt: skip
    if not isinstance(card, dict) or not isinstance(card.get("arrays"), list):
        raise DataError("model card is damaged", code="bad_model", where=str(directory))
    return card
