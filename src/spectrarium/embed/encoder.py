"""What every encoder does, and where to find one by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, Self, cast

import numpy as np
from numpy.typing import NDArray

from ..domain.derived import ModelRef
from ..domain.errors import UsageError
from ..domain.progress import Progress
from .domain import ModelDomain
from .prepare import Prepared

BatchFactory = Callable[[], Iterable[Prepared]]
"""Starts a new pass over the training set; every pass must yield the same spectra."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Spectra as a model sees them.

    vectors : (n, d) float32 · variance : (n, d) float32, of each vector component, given the noise
    chi2 : (n,) float64, noise- and scatter-weighted squared residual of the reconstruction
    n_pix : (n,) int64, pixels with information · n_fit : (n,) float64, of them used up by the fit
    """

    vectors: NDArray[np.float32]
    variance: NDArray[np.float32]
    chi2: NDArray[np.float64]
    n_pix: NDArray[np.int64]
    n_fit: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FitReport:
    """How training went; history is how much each pass changed the model."""

    n_spectra: int
    n_passes: int
    converged: bool
    history: tuple[float, ...]
    variance_explained: float


class Encoder(Protocol):
    """Turns prepared spectra into vectors and back."""

    domain: ModelDomain

    @property
    def ref(self) -> ModelRef:
        """Name, version, weights hash and training set. UsageError before it is fitted."""

    @property
    def scatter(self) -> NDArray[np.float32]:
        """(n_pix,) variance that the model itself leaves in the normalised flux."""

    def fit(self, batches: BatchFactory, progress: Progress = ...) -> FitReport:
        """Learn from all batches, in as many passes as it takes."""
        ...

    def encode(self, flux: NDArray[Any], ivar: NDArray[Any]) -> Encoded:
        """(n, n_pix) normalised flux and ivar → vectors."""
        ...

    def decode(self, vectors: NDArray[Any]) -> NDArray[np.float32]:
        """(n, d) → (n, n_pix) normalised flux."""
        ...

    def metric_scale(self) -> NDArray[np.float32]:
        """(d,) factors to multiply vectors by before Euclidean distances are taken."""
        ...

    def save(self, directory: Path) -> ModelRef:
        """Write weights and card."""
        ...

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read back. DataError (hash_mismatch) if the weights are not those of the card."""
        ...


BUILTIN = {
    "pca": ("pca", "PCA"),
    "patch": ("patch", "Patch"),
    "dense": ("dense", "Dense"),
    "conv": ("conv", "Conv"),
    "gfnet": ("gfnet", "GFNet"),
    "aion": ("foundation", "Aion"),
    "specformer": ("foundation", "SpecFormer"),
}
"""Encoders by name: module and class. All but ``pca`` need the extra ``[deep]``."""


def encoder_names() -> list[str]:
    """All names that `encoder_named` knows."""
    return sorted({*BUILTIN, *(p.name for p in entry_points(group="spectrarium.encoders"))})


def encoder_named(name: str) -> type[Encoder]:
    """The encoder class of this name; an unknown one lists the known.

    Further encoders come from the entry points ``spectrarium.encoders``.
    """
    if name in BUILTIN:
        module, attribute = BUILTIN[name]
        try:
            found = getattr(importlib.import_module(f"{__package__}.{module}"), attribute)
        except ModuleNotFoundError as error:
            if error.name not in ("torch", "safetensors"):
                raise
            raise UsageError(
                f"encoder {name!r} needs {error.name}, which is not installed", code="needs_deep",
                remedy="pip install 'spectrarium[deep]', or use --encoder pca",
            ) from error  # fmt: skip
        return cast(type[Encoder], found)
    for point in entry_points(group="spectrarium.encoders"):
        if point.name == name:
            return cast(type[Encoder], point.load())
    raise UsageError(
        f"no encoder is called {name!r}", code="unknown_encoder",
        remedy=f"choose one of: {', '.join(encoder_names())}",
    )  # fmt: skip
