"""What every encoder does, and where to find one by name."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, Self, cast, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from ..domain.derived import ModelRef
from ..domain.errors import UsageError
from ..domain.progress import Progress
from .domain import ModelDomain
from .prepare import Prepared
from .training_set import TrainingSet

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
    """Turns prepared spectra into vectors and back.

    Made as ``KIND(domain, settings, name=…)``; `settings` is None or of the frozen dataclass that
    ``settings_type``, or else the constructor's annotation, names (see `settings_of`).
    """

    domain: ModelDomain

    @property
    def ref(self) -> ModelRef:
        """Name, version, weights hash and training set. UsageError before it is fitted."""

    @property
    def scatter(self) -> NDArray[np.float32]:
        """(n_pix,) variance that the model itself leaves in the normalised flux."""

    def fit(
        self, data: TrainingSet, progress: Progress | None = None, *,
        checkpoint_dir: Path | None = None, device: str = "auto",
    ) -> Any:  # fmt: skip
        """Learn from all spectra, in as many passes as it takes; returns how that went.

        checkpoint_dir : where the state of the training is kept, to go on from after an
            interruption; None = nowhere · device : where to compute, see `check_device`
        """
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


OPTIONS = {
    "latent": ("latent", "n_latent", "latents", "n_components"),
    "epochs": ("epochs", "max_epochs", "n_epochs", "max_passes"),
    "batch": ("batch", "batch_size"),
    "seed": ("seed",),
    "weights": ("weights",),
}
"""What every user may ask for → names that fields of an encoder's settings give it."""


def absolute(path: str) -> str:
    """A user's file or folder by a name that means the same in every working directory."""
    return os.path.realpath(os.path.expanduser(path))


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


def settings_type(kind: type[Encoder]) -> type | None:
    """The dataclass of an encoder's settings; None if it has none."""
    found = getattr(kind, "settings_type", None)
    if found is None:
        hint = get_type_hints(kind.__init__).get("settings")
        found = next((t for t in (*get_args(hint), hint) if is_dataclass(t)), None)
    return cast(type | None, found)


def field_of(kind: type[Encoder], option: str) -> str | None:
    """What an encoder's settings call one of `OPTIONS`; None if it has no such setting."""
    found = settings_type(kind)
    known = {f.name for f in fields(found)} if found is not None else set()
    return next((name for name in OPTIONS[option] if name in known), None)


def settings_of(
    kind: type[Encoder], further: Mapping[str, Any] | None = None, /, **asked: int | str | None
) -> Any:
    """An encoder's settings with what was asked for (`OPTIONS`), else its own defaults.

    further : settings by the names that the encoder's own dataclass has (see `choosing.chosen`)
    Raises
    ------
    UsageError : the encoder has no such option (``no_such_option``), or a value that it cannot take
    """
    found = settings_type(kind)
    values = dict(further or {})
    for option, value in asked.items():
        if value is None:
            continue
        name = field_of(kind, option)
        if name is None:
            there = [o for o in OPTIONS if field_of(kind, o)]
            raise UsageError(
                f"this encoder has no option --{option}", code="no_such_option",
                where=kind.__name__, remedy="it knows: " + (", ".join(there) or "none"),
            )  # fmt: skip
        values[name] = value
    return None if found is None else found(**values)


def latent_of(settings: Any) -> int | None:
    """The size of the vectors that `settings` ask for; None if they do not say."""
    sizes = (getattr(settings, name, None) for name in OPTIONS["latent"])
    return next((int(s) for s in sizes if isinstance(s, int)), None)


def check_device(encoder: str, device: str) -> None:
    """Refuse a device that the encoder cannot compute on, before any work is done.

    Raises
    ------
    UsageError : no such device (``unknown_device``), this machine lacks it or the encoder cannot
        use it (``no_device``)
    """
    if encoder in BUILTIN and encoder != "pca":
        from .device import device_named

        device_named(device)
    elif encoder == "pca" and device not in ("auto", "cpu"):
        raise UsageError("pca computes on the CPU only", code="no_device", where="--device",
                         remedy="use --device auto or --device cpu")  # fmt: skip


def move(model: Encoder, encoder: str, device: str) -> None:
    """Let a model compute on a device from now on; ``auto`` lets it choose.

    Raises
    ------
    UsageError : no such device, or this encoder cannot use it
    """
    check_device(encoder, device)
    to = getattr(model, "to", None)
    if to is not None:
        to(device)
    elif device not in ("auto", "cpu"):
        raise UsageError(f"{encoder} cannot compute on {device!r}", code="no_device",
                         where="--device", remedy="use --device auto")  # fmt: skip
