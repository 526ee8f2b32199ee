"""A network's weights as plain arrays in one safetensors file, and back into the network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from torch import nn

from ..domain.errors import DataError

WEIGHTS = "weights.safetensors"
_SHOWN = 3
"""Names listed in an error, of those that do not fit."""


def write_weights(directory: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write ``weights.safetensors`` and flush it to disk."""
    with (directory / WEIGHTS).open("wb") as file:
        file.write(save_arrays({k: np.ascontiguousarray(v) for k, v in arrays.items()}))
        file.flush()
        os.fsync(file.fileno())


def read_weights(directory: Path) -> dict[str, NDArray[Any]]:
    """The arrays of ``weights.safetensors``.

    Raises
    ------
    DataError : missing, truncated or no such file (``bad_weights``)
    """
    path = directory / WEIGHTS
    try:
        return dict(load_arrays(path.read_bytes()))
    except (OSError, SafetensorError, ValueError) as error:
        raise DataError(
            f"weights cannot be read: {error}", code="bad_weights", where=str(path),
            remedy="copy the model again or train it again",
        ) from error  # fmt: skip


def arrays_of(module: nn.Module) -> dict[str, NDArray[Any]]:
    """All parameters and buffers by name, on the CPU, independent of the module."""
    return {k: v.detach().cpu().numpy().copy() for k, v in module.state_dict().items()}


def load_into(module: nn.Module, arrays: Mapping[str, NDArray[Any]], where: str) -> None:
    """Fill all parameters and buffers.

    Raises
    ------
    DataError : other names, shapes or types than this network's (``wrong_architecture``)
    """
    expected = {k: (tuple(v.shape), str(v.numpy(force=True).dtype))
                for k, v in module.state_dict().items()}  # fmt: skip
    found = {k: (v.shape, str(v.dtype)) for k, v in arrays.items()}
    if found != expected:
        different = sorted(k for k in expected.keys() | found.keys()
                           if expected.get(k) != found.get(k))  # fmt: skip
        lines = [f"{k}: {_shape(found.get(k))}, expected {_shape(expected.get(k))}"
                 for k in different[:_SHOWN]]  # fmt: skip
        more = f" and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
        raise DataError(
            f"weights are of another architecture ({'; '.join(lines)}{more})",
            code="wrong_architecture", where=where,
            remedy="load them with the encoder, settings and version that wrote them",
        )  # fmt: skip
    module.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in arrays.items()})


def _shape(entry: tuple[tuple[int, ...], str] | None) -> str:
    return "absent" if entry is None else f"{entry[1]}{list(entry[0])}"
