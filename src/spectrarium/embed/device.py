"""Where a network computes: the device asked for or an error, never another one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock
from typing import Any

import torch

from ..domain.errors import TransientError, UsageError

DEVICE_NAMES = "auto, cpu, cuda, cuda:0, cuda:1 …, mps"
TRAIN_SMALLER = "train with a smaller --batch, --latent or --max-pixels"
ANOTHER_MODEL = "train a model with a smaller --latent or --max-pixels"
"""What makes less memory do: while training, and once a model is trained, when its size is fixed
and so is how many spectra it is sent at a time."""


def device_named(text: str = "auto") -> torch.device:
    """The device of this name, known to be there.

    Parameters
    ----------
    text : ``auto`` (a CUDA card if there is one, else Apple's ``mps``, else ``cpu``), or one of
        ``cpu``, ``cuda``, ``cuda:N``, ``mps``
    Raises
    ------
    UsageError : no such name (``unknown_device``), or this machine lacks it (``no_device``)
    """
    name = text.strip().lower()
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdigit()):
        raise UsageError(f"no device is called {text!r}", code="unknown_device",
                         remedy=f"choose one of: {DEVICE_NAMES}")  # fmt: skip
    there = {"cpu": 1, "mps": int(torch.backends.mps.is_available())}.get(kind)
    there = torch.cuda.device_count() if there is None else there
    if int(number or 0) >= there:
        has = "none of that kind" if there == 0 else f"{kind}:0 to {kind}:{there - 1}"
        raise UsageError(f"device {text!r} is asked for, this machine has {has}", code="no_device",
                         remedy="use --device auto or --device cpu")  # fmt: skip
    return torch.device(kind) if kind != "cuda" else torch.device("cuda", int(number or 0))


def describe(device: torch.device) -> str:
    """A few words for a model card: kind of device, its name, the version of torch."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return f"{device.type} {name}".strip() + f", torch {torch.__version__}"


def mixed_precision(device: torch.device, *, wanted: bool = True) -> AbstractContextManager[object]:
    """bfloat16 for matrix products and convolutions on CUDA; elsewhere nothing changes."""
    if wanted and device.type == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


_precision = Lock()
_before: list[str] = []
"""What the process had before the first of those that are inside `quick_products` now."""
_inside = 0


@contextmanager
def quick_products(device: torch.device) -> Iterator[None]:
    """TF32 on CUDA for products and convolutions of float32: 10 bits of each factor, sums in
    float32. Elsewhere nothing changes. The setting is the process's: other threads have it too
    meanwhile, and the last to leave puts it back."""
    global _inside, _before
    if device.type != "cuda":
        yield
        return
    backends: Any = torch.backends
    switches = backends.cuda.matmul, backends.cudnn.conv
    with _precision:
        _inside += 1
        if _inside == 1:
            _before = [s.fp32_precision for s in switches]
            for s in switches:
                s.fp32_precision = "tf32"
    try:
        yield
    finally:
        with _precision:
            _inside -= 1
            if _inside == 0:
                for s, was in zip(switches, _before, strict=True):
                    s.fp32_precision = was


def room(device: torch.device, needed: int, most: int = 16) -> int:
    """How many times `needed` bytes fit into half of a CUDA card's free memory, 1 … `most`.

    1 on any other device: what is computed there does not depend on what else is in memory.
    """
    if device.type != "cuda":
        return 1
    free, _ = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return max(1, min(most, free // (2 * needed)))


@contextmanager
def memory_guard(
    device: torch.device, doing: str, remedy: str = ANOTHER_MODEL
) -> Iterator[None]:  # fmt: skip
    """Turns running out of memory inside the block into an error with a remedy.

    doing : in words, with the number of spectra sent at a time · remedy : what the user can change
        at this stage, besides the device
    Raises
    ------
    TransientError : ``out_of_memory``
    """
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise _no_memory(device, doing, remedy) from error
    except RuntimeError as error:  # torch has no class of its own for the CPU allocator's failure
        if not any(words in str(error).lower() for words in _OUT_OF_MEMORY):
            raise
        raise _no_memory(device, doing, remedy) from error


_OUT_OF_MEMORY = ("not enough memory", "can't allocate memory", "out of memory")


def _no_memory(device: torch.device, doing: str, remedy: str) -> TransientError:
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elsewhere = "" if device.type == "cpu" else " or use --device cpu"
    return TransientError(
        f"{device.type} ran out of memory {doing}", code="out_of_memory", where=str(device),
        remedy=f"end other programs that fill it{elsewhere}; else {remedy}",
    )  # fmt: skip
