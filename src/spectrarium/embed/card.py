"""A model on disk: plain arrays and a card that says what they are and proves it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from ..domain.errors import DataError, UsageError

CARD = "card.json"
LAYOUT = 1
"""Version of this directory layout; raised when a reader of the old one would go wrong."""
_AGAIN = "copy the model again or train it again"
_WORDS = ("name", "version", "training", "weights_hash", "encoder")


def weights_hash(arrays: Mapping[str, NDArray[Any]]) -> str:
    """BLAKE3 over names, types, shapes and bytes: the same weights, the same hash anywhere."""
    digest = blake3()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name} {little.dtype.str} {little.shape}\n".encode())
        digest.update(little.tobytes())
    return digest.hexdigest()


def card_hash(card: Mapping[str, Any]) -> str:
    """BLAKE3 of all that a card says but ``card_hash`` itself, in canonical JSON."""
    said = json.loads(json.dumps({k: v for k, v in card.items() if k != "card_hash"}))
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return blake3(canonical.encode()).hexdigest()


def write_card(directory: Path, card: Mapping[str, Any]) -> None:
    """Write ``card.json`` with the hash of what it says, durably; whole or not at all."""
    record = {**card, "card_hash": card_hash(card)}
    partial = directory / f".{CARD}.part"
    with partial.open("w", encoding="utf-8") as text:
        json.dump(record, text, indent=1, sort_keys=True, allow_nan=False)
        text.flush()
        _flush(text.fileno())
    os.replace(partial, directory / CARD)


def read_card(directory: Path) -> dict[str, Any]:
    """The card of a model directory; its own hash, which older cards lack, is verified.

    Raises
    ------
    DataError : no card (``no_model``), no JSON (``bad_model``), written by a newer version
        (``newer_layout``), or changed since it was written (``hash_mismatch``)
    """
    card = _parsed(directory)
    layout = card.get("layout")
    if isinstance(layout, int) and layout > LAYOUT:
        raise DataError("model was written by a newer version", code="newer_layout",
                        where=str(directory), remedy="upgrade spectrarium")  # fmt: skip
    if "card_hash" in card and card["card_hash"] != card_hash(card):
        raise DataError(
            "model card does not match its own hash: it was changed since the model was saved",
            code="hash_mismatch", where=str(directory / CARD),
            remedy=_AGAIN,
        )  # fmt: skip
    return card


@contextmanager
def card_understood(directory: Path) -> Iterator[None]:
    """For a block that makes a model of its card: what the card lacks, or cannot mean, is said.

    Raises
    ------
    DataError : ``bad_model``, where a value is missing or of no sense; any other DataError of the
        block, with where
    """
    try:
        yield
    except DataError as error:
        error.where = error.where or str(directory / CARD)
        raise
    except KeyError as error:
        raise DataError(f"model card lacks or misnames {error}", code="bad_model",
                        where=str(directory / CARD), remedy=_AGAIN) from error  # fmt: skip
    except UsageError as error:
        raise DataError(f"model card says what cannot be: {error.what}", code="bad_model",
                        where=str(directory / CARD), remedy=_AGAIN) from error  # fmt: skip
    except (TypeError, ValueError, AttributeError, IndexError, ArithmeticError) as error:
        raise DataError(f"model card says what cannot be: {error}", code="bad_model",
                        where=str(directory / CARD), remedy=_AGAIN) from error  # fmt: skip


def _parsed(directory: Path) -> dict[str, Any]:
    path = directory / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError("holds no model card", code="no_model", where=str(directory),
                        remedy="name a directory that `embed` wrote") from None  # fmt: skip
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"model card is damaged: {error}", code="bad_model",
                        where=str(path)) from error  # fmt: skip
    if not isinstance(card, dict):
        raise DataError("model card is damaged", code="bad_model", where=str(path))
    return card


def write_model(
    directory: Path, arrays: Mapping[str, NDArray[Any]], card: Mapping[str, Any], *,
    safetensors: bool = False,
) -> None:  # fmt: skip
    """Write the arrays and ``card.json``; the directory appears whole or not at all.

    A model of the same weights that is there already stays, unless it is damaged.

    safetensors : one file ``weights.safetensors`` (networks) instead of ``NAME.npy`` files
    Raises
    ------
    UsageError : the directory exists and holds anything but the same weights
    """
    if _there(directory, card["weights_hash"]):
        return
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
    write_card(partial, {"layout": LAYOUT, "arrays": sorted(arrays), "kept_as": kept, **card})
    if (directory / CARD).is_file():
        move_over(partial, directory)
    else:
        os.replace(partial, directory)


def _there(directory: Path, mark: str) -> bool:
    """Whether these very weights lie there, whole. Raises UsageError if anything else does."""
    if not (directory / CARD).is_file():
        if directory.is_dir() and any(directory.iterdir()):
            raise UsageError(f"{directory} holds other files", code="exists",
                             remedy="choose an empty directory")  # fmt: skip
        return False
    if _parsed(directory).get("weights_hash") != mark:
        raise UsageError(f"{directory} holds another model", code="exists",
                         remedy="choose an empty directory")  # fmt: skip
    try:
        read_model(directory)
    except DataError as error:
        if error.code == "newer_layout":
            raise
        return False
    return True


def move_over(staged: Path, place: Path) -> None:
    """Put a model's files over one of the same weights, the card last: never a place without."""
    for path in sorted(staged.iterdir(), key=lambda p: p.name == CARD):
        os.replace(path, place / path.name)
    shutil.rmtree(staged)


def _flush(descriptor: int) -> None:
    os.fsync(descriptor)


def read_model(directory: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays and card of a model directory.

    Raises
    ------
    DataError : no card (``no_model``), unreadable arrays (``bad_model``, of a network
        ``bad_weights``), written by a newer version (``newer_layout``), a card that was changed, or
        arrays that are not those of the card (``hash_mismatch``)
    """
    card = read_card(directory)
    names = card.get("arrays")
    if not isinstance(names, list) or not all(isinstance(card.get(k, ""), str) for k in _WORDS):
        raise DataError("model card is damaged", code="bad_model", where=str(directory / CARD))
    arrays = {}
    if card.get("kept_as") == "safetensors":
        from .weights import read_weights

        arrays = read_weights(directory)
    for name in names if card.get("kept_as", "npy") == "npy" else ():
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
