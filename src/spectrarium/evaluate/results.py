"""What one method gave on one corpus with one seed, kept on disk so that nothing is done twice."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from blake3 import blake3

from ..domain.errors import TransientError
from .bootstrap import Measured

ROOMS = ("domain", "measure", "embed", "explore", "mock", "evaluate")
"""Whose code a result depends on."""


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """measures : by spectrum, by name · facts : plain values about fitting, tags, what was left
    out and why · error : why there is nothing else, '' = done
    """

    measures: dict[str, Measured] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@cache
def code_fingerprint() -> str:
    """Hash of this program's code and of the numerical libraries under it."""
    digest = blake3()
    here = Path(__file__).parents[1]
    for room in ROOMS:
        for path in sorted((here / room).rglob("*.py")):
            digest.update(f"{path.relative_to(here)}\n".encode())
            digest.update(path.read_bytes())
    for name in ("numpy", "scipy", "scikit-learn", "torch"):
        if find_spec({"scikit-learn": "sklearn"}.get(name, name)) is not None:
            digest.update(f"{name} {version(name)}\n".encode())
    return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Key:
    """What a result is of. options : everything that was chosen, as text · data : hash of it"""

    corpus: str
    method: str
    seed: int
    options: str
    data: str

    @property
    def name(self) -> str:
        """Of the file that keeps the result; another code, another name."""
        text = f"{self}{code_fingerprint()}"
        return f"{self.corpus}.{self.method}.{self.seed}.{blake3(text.encode()).hexdigest()[:16]}"


class Kept:
    """Results in a folder. Files appear whole or not at all; failures are not kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "results"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TransientError(f"cannot be made: {error}", code="no_room", where=str(folder),
                                 remedy="choose another --work") from error  # fmt: skip

    def get(self, key: Key) -> Result | None:
        """The result, if it was made before by the same code from the same data."""
        path = self.folder / f"{key.name}.npz"
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as arrays:
                record = json.loads(str(arrays["record"]))
                measures = {
                    name: Measured(
                        arrays[f"values{i}"], arrays[f"objects{i}"], arrays[f"units{i}"], statistic
                    )
                    for i, (name, statistic) in enumerate(record["measures"])
                }
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error):
            return None  # damaged: it is made again and written over
        return Result(measures, record["facts"])

    def put(self, key: Key, result: Result) -> None:
        """Keep a result. Raises TransientError (no_room) where it cannot be written."""
        if result.error:
            return
        record = {
            "measures": [[k, m.statistic] for k, m in result.measures.items()],
            "facts": result.facts,
        }
        arrays = dict(_arrays(result))
        path = self.folder / f"{key.name}.npz"
        partial = path.with_name(f".{key.name}.{os.getpid()}.part")
        try:
            with partial.open("wb") as file:
                np.savez(file, record=np.array(json.dumps(record)), **arrays)
            os.replace(partial, path)
        except OSError as error:
            raise TransientError(f"a result cannot be kept: {error}", code="no_room",
                                 where=str(path),
                                 remedy="free some space or choose another --work"
                                 ) from error  # fmt: skip


def _arrays(result: Result) -> Iterator[tuple[str, Any]]:
    for i, measured in enumerate(result.measures.values()):
        yield f"values{i}", measured.values
        yield f"objects{i}", measured.objects
        yield f"units{i}", measured.units
