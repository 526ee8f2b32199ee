"""Networks that others trained, with weights the user has: SpecFormer / AstroCLIP and AION-1.

Nothing is ever downloaded. `fit` leaves the network as it is: it only learns, from the archive's
own spectra, how vectors spread (for distances) and a linear read-out from vectors to flux (so that
explanations and residuals have something to decode with).
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from blake3 import blake3
from numpy.typing import NDArray

from ..domain.derived import ModelRef
from ..domain.errors import DataError, UsageError
from ..domain.progress import Progress, Silent
from .card import card_understood, read_model, weights_hash, write_model
from .device import describe, device_named, full_precision, memory_guard
from .domain import ModelDomain, overlap_fraction
from .encoder import Encoded, FitReport
from .foreign_weights import existing, foreign, load_strictly, read_state
from .readout import Readout, fit_readout
from .specformer_net import AstroClipSpectrumHead, SpecFormerNet, SpecFormerShape, shape_of
from .training_set import TrainingSet

F4 = np.float32
READOUT_MOST = 20_000
"""Spectra that the read-out is fitted on at most: the first ones of the training set."""
_SMALLER = "train it again with a smaller --batch, which is how many it is sent at a time"
_NO_SMALLER = "use a machine with more: the network's size is given"
LEAST_OVERLAP = 0.6
"""Share of the network's own range, in ln λ, that a model's domain must cover."""


@dataclass(frozen=True, slots=True)
class WeightsSettings:
    """weights : the user's local file or folder · batch : spectra sent through at a time"""

    weights: str = ""
    batch: int = 16

    def __post_init__(self) -> None:
        if not (isinstance(self.batch, int) and self.batch >= 1):
            raise UsageError(f"batch is {self.batch!r}, it must be a whole number of at least 1",
                             code="bad_fit", remedy="choose another batch")  # fmt: skip
        if not isinstance(self.weights, str | os.PathLike):
            raise UsageError(f"weights is {self.weights!r}, it must be a path", code="bad_fit",
                             remedy="name a local file or folder")  # fmt: skip
        object.__setattr__(self, "weights", os.fspath(self.weights))  # as JSON has it


class Pretrained(ABC):
    """What both networks share: resampling to their grid, the read-out, files."""

    encoder: ClassVar[str]
    range_aa: ClassVar[tuple[float, float]]

    def __init__(
        self, domain: ModelDomain, settings: WeightsSettings | None = None, name: str = ""
    ) -> None:
        self.domain = domain
        self.settings = settings or WeightsSettings()
        self.name = name or self.encoder
        self._readout: Readout | None = None
        self._ref: ModelRef | None = None
        self._device = torch.device("cpu")
        low, high = self.range_aa
        covered = overlap_fraction(domain.wave_min_aa, domain.wave_max_aa, low, high)
        if covered < LEAST_OVERLAP:
            raise UsageError(
                f"{self.encoder} was trained on {low:.0f}–{high:.0f} Å, these spectra cover "
                f"{100 * covered:.0f} % of it", code="other_grid",
                remedy="use an encoder that is trained on your spectra: patch, dense, conv or pca",
            )  # fmt: skip
        if not self.settings.weights:
            raise UsageError(
                f"{self.encoder} needs the weights that its authors publish", code="needs_weights",
                remedy="download them yourself and name them: --weights PATH",
            )  # fmt: skip
        self.weights = Path(self.settings.weights).expanduser().resolve()
        self._files = self._weight_files()
        self._net = self._network().eval()

    @abstractmethod
    def _weight_files(self) -> list[Path]: ...

    @abstractmethod
    def _network(self) -> torch.nn.Module: ...

    @abstractmethod
    def _vectors(self, flux: torch.Tensor, ivar: torch.Tensor) -> torch.Tensor:
        """(n, n_pix) gap-free flux and ivar on the domain's grid → (n, d)."""

    @property
    def ref(self) -> ModelRef:
        """Name, version, hash of weights and read-out, training set."""
        if self._ref is None:
            raise UsageError("the model has not been fitted", code="unfitted",
                             remedy="fit it or load a fitted one")  # fmt: skip
        return self._ref

    @property
    def scatter(self) -> NDArray[np.float32]:
        """(n_pix,) variance of the normalised flux that the read-out leaves, noise removed."""
        return self._fitted().scatter

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._device

    def to(self, device: str) -> Self:
        """Compute there from now on. UsageError (no_device) if this machine lacks it."""
        self._device = device_named(device)
        return self

    def _fitted(self) -> Readout:
        if self._readout is None:
            raise UsageError("the model has not been fitted", code="unfitted",
                             remedy="fit it or load a fitted one")  # fmt: skip
        return self._readout

    def fit(
        self, data: TrainingSet, progress: Progress | None = None, *,
        checkpoint_dir: Path | None = None, device: str = "auto",
    ) -> FitReport:  # fmt: skip
        """Learn the read-out; the network stays as its authors trained it.

        Raises
        ------
        DataError : too few spectra for a read-out
        UsageError, TransientError : the device is not there, or has too little memory
        """
        progress = progress or Silent()
        self._device = device_named(device)
        vectors: list[NDArray[np.float32]] = []
        flux: list[NDArray[np.float32]] = []
        ivar: list[NDArray[np.float32]] = []
        n = 0
        for batch in data():
            if n >= READOUT_MOST:
                break
            n += len(batch)
            vectors.append(self._encode(batch.flux, batch.ivar))
            flux.append(batch.flux)
            ivar.append(batch.ivar)
            progress.advance(len(batch))
        if n < 20:
            raise DataError(f"{n} spectra are too few for a read-out",
                            code="too_few_spectra", remedy="use 20 or more")  # fmt: skip
        self._readout = fit_readout(
            np.concatenate(vectors), np.concatenate(flux), np.concatenate(ivar),
            data.objects[:n],
        )  # fmt: skip
        objects = len(np.unique(data.objects[:n]))
        training = f"{n} spectra of {objects} objects for the read-out; network by its authors"
        self._ref = self._make_ref(training, version("spectrarium"))
        return FitReport(n, 1, True, (), self._readout.explained)

    def _make_ref(self, training: str, code_version: str) -> ModelRef:
        return ModelRef(self.name, code_version, weights_hash(self._state()), training)

    def _state(self) -> dict[str, NDArray[Any]]:
        digest = np.frombuffer(bytes.fromhex(self._weights_digest()), np.uint8)
        return self._fitted().arrays() | {"network_digest": digest}

    def _weights_digest(self) -> str:
        digest = blake3()
        for path in self._files:
            digest.update_mmap(path)
        return digest.hexdigest()

    def encode(self, flux: NDArray[Any], ivar: NDArray[Any]) -> Encoded:
        """(n, n_pix) normalised flux and ivar → vectors.

        Pixels without information are bridged linearly. Variances are NaN: these networks take no
        noise and have no posterior. χ² is that of the linear read-out; it uses up no pixel.
        """
        if flux.ndim != 2 or flux.shape != ivar.shape or flux.shape[1] != self.domain.n_pix:
            raise UsageError(
                f"flux {flux.shape} and ivar {ivar.shape} are not (n, {self.domain.n_pix})",
                code="wrong_grid", remedy="prepare spectra on this model's domain",
            )  # fmt: skip
        vectors = self._encode(flux, ivar)
        weight = ivar / (1.0 + ivar * self.scatter)
        left = np.where(ivar > 0, flux - self.decode(vectors), 0.0)
        return Encoded(
            vectors, np.full_like(vectors, np.nan),
            np.sum(weight * left**2, axis=1, dtype=np.float64),
            np.count_nonzero(ivar > 0, axis=1), np.zeros(len(flux)),
        )  # fmt: skip

    def _encode(self, flux: NDArray[Any], ivar: NDArray[Any]) -> NDArray[np.float32]:
        out = []
        with memory_guard(self._device, "moving the network there", _NO_SMALLER):
            self._net.to(self._device)
        doing = f"encoding {self.settings.batch} spectra at a time"
        bridged = bridge(flux, ivar)
        for start in range(0, len(flux), self.settings.batch):
            rows = slice(start, start + self.settings.batch)
            guard = memory_guard(self._device, doing, _SMALLER)
            with torch.inference_mode(), full_precision, guard:
                f = torch.from_numpy(bridged[rows]).to(self._device)
                w = torch.from_numpy(np.ascontiguousarray(ivar[rows], F4)).to(self._device)
                out.append(self._vectors(f, w).float().cpu().numpy())
        return np.concatenate(out) if out else np.empty((0, self._width()), F4)

    def _width(self) -> int:
        return self._fitted().mean_vector.size

    def decode(self, vectors: NDArray[Any]) -> NDArray[np.float32]:
        """(n, d) → (n, n_pix) normalised flux, by the linear read-out."""
        return self._fitted().decode(vectors)

    def metric_scale(self) -> NDArray[np.float32]:
        """(d,) variance^(−1/4), in units of the largest: as for PCA."""
        return self._fitted().metric_scale()

    def save(self, directory: Path) -> ModelRef:
        """Write the read-out and a card that names the network's weights and their hash."""
        ref = self.ref
        card = {
            "encoder": self.encoder, "name": ref.name, "version": ref.version,
            "weights_hash": ref.weights_hash, "training": ref.training,
            "domain": self.domain.to_json(), "settings": asdict(self.settings),
            "network": {"path": str(self.weights), "blake3": self._weights_digest()},
            "device": describe(self._device), "explained": self._fitted().explained,
            "limits": f"Trained by others on {self.range_aa[0]:.0f}–{self.range_aa[1]:.0f} Å of "
            "galaxies, quasars and stars at survey resolution; noise is not taken into account.",
        }  # fmt: skip
        write_model(directory, self._state(), card)
        return ref

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read back; the network's file must be where it was and unchanged.

        Raises
        ------
        DataError : damaged files, or weights changed since (``weights_changed``)
        UsageError : the weights are gone (``no_weights``)
        """
        arrays, card = read_model(directory)
        with card_understood(directory):
            domain, settings = ModelDomain.from_json(card["domain"]), cls._settings(card)
            name, training, code = card["name"], card["training"], card["version"]
            digest, readout = card["network"]["blake3"], Readout.of(arrays)
            if readout.scatter.shape != (domain.n_pix,):
                raise ValueError(f"{domain.n_pix} pixels, the read-out has {readout.scatter.size}")
        out = cls(domain, settings, name)
        out._readout = readout
        if out._weights_digest() != digest:
            raise DataError(
                "the network's weights changed since the model was made", code="weights_changed",
                where=str(out.weights), remedy="put the old file back, or train the model again",
            )  # fmt: skip
        out._ref = out._make_ref(training, code)
        return out

    @classmethod
    def _settings(cls, card: dict[str, Any]) -> WeightsSettings:
        return WeightsSettings(**card["settings"])


def bridge(flux: NDArray[Any], ivar: NDArray[Any]) -> NDArray[np.float32]:
    """(n, n_pix) flux with gaps bridged linearly, and the mean of good pixels beyond the ends.

    Raises UsageError (no_good_pixels) for a row without information.
    """
    out = np.array(flux, F4)
    good = ivar > 0
    if not good.any(axis=1).all():
        raise UsageError("a spectrum has no pixel with information", code="no_good_pixels")
    at = np.arange(flux.shape[1])
    for row in np.flatnonzero(~good.all(axis=1)):
        known = at[good[row]]
        values = flux[row, known]
        level = float(values.mean())
        out[row] = np.interp(at, known, values, left=level, right=level)
    return out


class SpecFormer(Pretrained):
    """SpecFormer, or AstroCLIP's spectrum half, whichever the weights are of.

    weights : a checkpoint (``.ckpt``, ``.pt``) or ``.safetensors``; hyper-parameters of the latter
    may lie beside it as ``config.json``
    Source: Parker et al. 2024, MNRAS 531, 4990. Trained on DESI: 7781 samples of 0.8 Å from 3600 Å.
    """

    encoder = "specformer"
    range_aa = (3600.0, 9824.0)

    def _weight_files(self) -> list[Path]:
        return [existing(self.weights)]

    def _network(self) -> torch.nn.Module:
        state, hyper = read_state(self.weights)
        state = {k.removeprefix("spectrum_encoder."): v for k, v in state.items()
                 if not k.startswith("image_encoder.")}  # fmt: skip
        whole = any(k.startswith("backbone.") for k in state)
        inner = {k.removeprefix("backbone."): v for k, v in state.items()}
        try:
            shape = shape_of(inner, hyper)
        except (KeyError, ValueError) as error:
            raise foreign(self.weights, "SpecFormer") from error
        net = AstroClipSpectrumHead(shape, *_head_shape(state)) if whole else SpecFormerNet(shape)
        load_strictly(net, state, self.weights)
        self._grid = self._samples(shape)
        return net

    def _samples(self, shape: SpecFormerShape) -> NDArray[np.float64]:
        low, high = self.range_aa
        n = min(round((high - low) / 0.8) + 1, shape.max_samples)
        return np.linspace(low, high, n)

    def _vectors(self, flux: torch.Tensor, ivar: torch.Tensor) -> torch.Tensor:
        values = flux.cpu().numpy()
        wave = self.domain.wave_aa
        on_grid = np.array([np.interp(self._grid, wave, row) for row in values], F4)
        out: torch.Tensor = self._net(torch.from_numpy(on_grid).to(self._device))
        return out if out.ndim == 2 else out[:, 1:].mean(dim=1)


class Aion(Pretrained):
    """AION-1 (Polymathic AI), through its own package: the mean of its encoder's tokens.

    weights : a folder with ``config.json``, ``model.safetensors`` and ``codecs/spectrum/`` with the
    same two files: what its repository holds
    Source: Parker et al. 2025, arXiv:2510.17960. Trained on SDSS and DESI, 3500–10 463 Å.
    """

    encoder = "aion"
    range_aa = (3500.0, 10_462.4)

    def _weight_files(self) -> list[Path]:
        inside = ("config.json", "model.safetensors")
        codec = self.weights / "codecs" / "spectrum"
        return [existing(folder / name) for folder in (self.weights, codec) for name in inside]

    def _network(self) -> torch.nn.Module:
        try:
            from aion.codecs.spectrum import SpectrumCodec
            from aion.modalities import DESISpectrum
            from aion.model import AION
        except ModuleNotFoundError as error:
            raise UsageError(f"encoder 'aion' needs {error.name}, which is not installed",
                             code="needs_aion",
                             remedy="pip install 'spectrarium[aion]'") from error  # fmt: skip
        self._spectrum = DESISpectrum
        try:
            net = AION(json.loads(self._files[0].read_text(encoding="utf-8")))
            codec = SpectrumCodec(**json.loads(self._files[2].read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            raise foreign(self.weights, "AION-1") from error
        load_strictly(net, read_state(self._files[1])[0], self._files[1])
        load_strictly(codec, read_state(self._files[3])[0], self._files[3])
        return torch.nn.ModuleDict({"net": net, "codec": codec})

    def _vectors(self, flux: torch.Tensor, ivar: torch.Tensor) -> torch.Tensor:
        wave = torch.from_numpy(self.domain.wave_aa.astype(F4)).to(self._device)
        spectrum = self._spectrum(
            flux=flux, ivar=ivar, mask=ivar <= 0, wavelength=wave.expand(len(flux), -1).contiguous()
        )
        tokens = self._net["codec"].encode(spectrum)  # type: ignore[index]
        key = self._spectrum.token_key
        encoded = self._net["net"].encode({key: tokens}, num_encoder_tokens=tokens.shape[1])  # type: ignore[index]
        out: torch.Tensor = encoded.mean(dim=1)
        return out


def _head_shape(state: dict[str, Any]) -> tuple[int, int]:
    query = state.get("cross_attention.query")
    return (int(query.shape[-1]) if query is not None else 1024), 4
