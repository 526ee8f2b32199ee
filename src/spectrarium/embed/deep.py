"""The shell of all network encoders: train, measure, encode, decode, save, load."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, fields
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
from .deep_data import informative, sample_of, training_set_of
from .deep_feed import Batch, seed_of, shuffled
from .deep_measure import excess_variance, weighted_chi2
from .deep_settings import DeepSettings
from .deep_train import Split, Trained, split_by_object, train
from .device import TRAIN_SMALLER, describe, device_named, full_precision, memory_guard
from .domain import ModelDomain
from .encoder import BatchFactory, Encoded, FitReport
from .network import Network, divergence, drawn, frame_of, misfit
from .training_set import TrainingSet
from .weights import arrays_of, load_into

_BLOCK_VALUES = 2**22
"""Values (spectra × pixels) encoded at a time, at most 256 spectra."""
_LEAST_RARE = 1e-8
"""Share of the largest latent variance below which a latent counts as dead."""


class DeepEncoder(ABC):
    """Base of the network encoders. A subclass gives `kind`, `settings_type` and `build`.

    Its constructor says in the annotation of `settings` which dataclass that is. It may also give
    its own `loss` (of a training batch) and `order` (of an epoch's spectra).
    Vectors are in the network's own units: compare them through `metric_scale`.
    """

    kind: ClassVar[str]
    settings_type: ClassVar[type[DeepSettings]]
    limits: ClassVar[str] = (
        "For spectra like those it was trained on: same range, frame and kind of flux. Vectors "
        "carry no calibrated uncertainty unless the network is variational."
    )
    metric_power: ClassVar[float] = 0.5
    """As in PCA: distances are taken among vectors × variance^(−power/2)."""

    def __init__(self, domain: ModelDomain, settings: Any = None, name: str | None = None) -> None:
        """settings : of this encoder's own type; None = its defaults"""
        if settings is not None and not isinstance(settings, self.settings_type):
            raise UsageError(
                f"{self.kind} takes {self.settings_type.__name__}, not {type(settings).__name__}",
                code="bad_fit", remedy="give this encoder's own settings",
            )  # fmt: skip
        self.domain = domain
        self.settings = settings or self.settings_type()
        self.name = name or self.kind
        self.device = torch.device("cpu")
        self._network: Network | None = None
        self._ref: ModelRef | None = None
        self._card: dict[str, Any] = {}

    @abstractmethod
    def build(self) -> Network:
        """A new network for this domain and these settings; random weights come from torch's
        generator, which is seeded before."""

    def loss(self, network: Network, batch: Batch) -> torch.Tensor:
        """Mean loss per spectrum: misfit in σ, plus β·KL per pixel where it is variational."""
        mean, log_variance = network.encode(batch.flux, batch.ivar)
        noisy = log_variance is not None and network.training
        vectors = drawn(mean, log_variance) if noisy and log_variance is not None else mean
        cost = misfit(batch.flux, batch.ivar, network.decode(vectors), network.floor,
                      self.settings.huber)  # fmt: skip
        if log_variance is not None:
            pixels = (batch.ivar > 0).sum(dim=1).clamp(min=1)
            cost = cost + self.beta * divergence(mean, log_variance) / pixels
        return cost.mean()

    @property
    def beta(self) -> float:
        """Weight of the divergence of a variational network."""
        return float(getattr(self.settings, "beta", 0.0))

    def order(
        self, data: TrainingSet, rows: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """The rows of one epoch in the order in which batches are cut from them."""
        return shuffled(rows, 8 * self.domain.n_pix, rng)

    @property
    def network(self) -> Network:
        """The trained network. UsageError (unfitted) before."""
        if self._network is None:
            raise _unfitted()
        return self._network

    @property
    def ref(self) -> ModelRef:
        """Name, version, weights hash and training set."""
        if self._ref is None:
            raise _unfitted()
        return self._ref

    @property
    def card(self) -> dict[str, Any]:
        """What the model card says: data, splits, settings, history, metrics, limits, device."""
        if not self._card:
            raise _unfitted()
        return dict(self._card)

    @property
    def report(self) -> FitReport:
        """How training went; history is the held-out loss of each epoch."""
        return FitReport(
            **{**self.card["report"], "history": tuple(self.card["report"]["history"])}
        )

    @property
    def scatter(self) -> NDArray[np.float32]:
        """(n_pix,) variance of the normalised flux that the network leaves, noise removed."""
        return np.asarray(self.network.scatter.numpy(force=True))

    def to(self, device: str) -> Self:
        """Compute there from now on. UsageError (no_device) if this machine lacks it."""
        self.device = device_named(device)
        if self._network is not None:
            with memory_guard(self.device, "moving the network there"):
                self._network.to(self.device)
        return self

    def fit(
        self, data: TrainingSet | BatchFactory, progress: Progress | None = None, *,
        device: str = "auto", checkpoint_dir: Path | None = None, checkpoint_minutes: float = 10.0,
    ) -> FitReport:  # fmt: skip
        """Train on a `TrainingSet` (or on a factory of batches, which is then kept in memory).

        device : see `device_named` · checkpoint_dir : where an interrupted run goes on from
        Raises
        ------
        DataError : too few spectra, no information, diverged, a checkpoint that does not fit
        UsageError : another grid than the domain's, no such device
        TransientError : cancelled, out of memory, disk full
        """
        where, progress = device_named(device), progress or Silent()
        data = training_set_of(self.domain, data)
        split = split_by_object(data, self.settings)
        flux, ivar = sample_of(data, split.train, self.settings.seed)
        guard = memory_guard(where, "building the network", TRAIN_SMALLER)
        with torch.random.fork_rng(devices=[]), guard:
            torch.manual_seed(seed_of(self.settings.seed, "weights"))
            network = self.build()
            network.stand_in(frame_of(flux, ivar, self.settings))
            network.to(where)
        trained = train(
            network, lambda batch: self.loss(network, batch), data, self.settings, split=split,
            progress=progress, device=where, fingerprint=self._fingerprint(network, data),
            checkpoint_dir=checkpoint_dir, checkpoint_minutes=checkpoint_minutes,
            order=lambda rows, rng: self.order(data, rows, rng),
        )  # fmt: skip
        self._network, self.device = network.eval(), where
        explained = self._measure(data, split)
        self._adopt(self._new_card(data, split, trained, explained))
        return self.report

    def _measure(self, data: TrainingSet, split: Split) -> float:
        """Scatter and spread of vectors; returns the share of the variance that is explained.

        The scatter is that of held-out objects where there are enough: what was learnt by heart
        would look better than what comes.
        """
        network, floor = self.network, self.settings.softening**2
        rows = split.judge if len(split.judge) >= _ENOUGH else split.train
        flux, ivar = sample_of(data, rows, self.settings.seed)
        vectors, _ = self._vectors(flux, ivar)
        scatter = excess_variance(flux - self.decode(vectors), ivar, floor)
        before = excess_variance(flux - network.mean.numpy(force=True), ivar, floor)
        flux, ivar = sample_of(data, split.train, self.settings.seed)
        vectors, _ = self._vectors(flux, ivar)
        variance = vectors.var(axis=0, dtype=np.float64).astype(np.float32)
        with torch.no_grad():
            network.scatter.copy_(torch.from_numpy(scatter))
            network.latent_variance.copy_(torch.from_numpy(variance))
        return 1.0 - float(scatter.sum(dtype=np.float64) / before.sum(dtype=np.float64))

    def _fingerprint(self, network: Network, data: TrainingSet) -> str:
        """Of everything that a resumed run must share with the one that was interrupted."""
        digest = blake3(json.dumps([
            self.kind, asdict(self.settings), self.domain.to_json(), len(data),
            {k: list(v.shape) for k, v in network.state_dict().items()},
        ], sort_keys=True).encode())  # fmt: skip
        digest.update(np.ascontiguousarray(data.objects, np.int64).tobytes())
        some = np.unique(np.linspace(0, len(data) - 1, 16).astype(np.int64))
        for array in data.take(some):
            digest.update(np.ascontiguousarray(array, np.float32).tobytes())
        return digest.hexdigest()

    def _new_card(
        self, data: TrainingSet, split: Split, trained: Trained, explained: float
    ) -> dict[str, Any]:
        judged = [b for _, b in trained.history]
        objects = [len(np.unique(data.objects[rows])) for rows in (split.train, split.judge)]
        low, middle, high = np.nanpercentile(data.snr, [5, 50, 95]).tolist()
        report = FitReport(len(data), len(judged), trained.stopped_early, tuple(judged), explained)
        return {
            "encoder": self.kind, "name": self.name, "version": version("spectrarium"),
            "training": f"{len(data)} spectra, {len(judged)} epochs",
            "domain": self.domain.to_json(), "settings": asdict(self.settings),
            "report": asdict(report) | {"history": judged},
            "data": {
                "spectra": len(data), "train_spectra": len(split.train),
                "held_out_spectra": len(split.judge), "train_objects": objects[0],
                "held_out_objects": objects[1], "split": "by object, hash of id and seed",
                "snr_percentiles_5_50_95": [low, middle, high],
            },
            "history": [list(pair) for pair in trained.history],
            "metrics": {"best_epoch": trained.best_epoch, "variance_explained": explained,
                        "held_out_loss": judged[trained.best_epoch]},
            "limits": self.limits, "device": describe(self.device), "seconds": trained.seconds,
            "parameters": sum(p.numel() for p in self.network.parameters()),
        }  # fmt: skip

    def _adopt(self, card: dict[str, Any]) -> None:
        digest = weights_hash(arrays_of(self.network))
        self._card = card | {"weights_hash": digest}
        self._ref = ModelRef(card["name"], card["version"], digest, card["training"])

    def _check(self, flux: NDArray[Any], ivar: NDArray[Any]) -> None:
        if flux.ndim != 2 or flux.shape != ivar.shape or flux.shape[1] != self.domain.n_pix:
            raise UsageError(
                f"flux {flux.shape} and ivar {ivar.shape} are not (n, {self.domain.n_pix})",
                code="wrong_grid", remedy="prepare spectra on this model's domain",
            )  # fmt: skip

    def _blocks(self, *arrays: NDArray[Any]) -> Iterator[tuple[NDArray[Any], ...]]:
        rows = self._block_rows
        for start in range(0, max(len(arrays[0]), 1), rows):
            yield tuple(a[start : start + rows] for a in arrays)

    @property
    def _block_rows(self) -> int:
        return min(256, max(1, _BLOCK_VALUES // self.domain.n_pix))

    def _guard(self, doing: str) -> AbstractContextManager[None]:
        return memory_guard(self.device, f"{doing} {self._block_rows} spectra at a time")

    def _vectors(
        self, flux: NDArray[Any], ivar: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(n, latent) vectors and variances; NaN variances of a network without a posterior."""
        found: list[tuple[NDArray[Any], NDArray[Any]]] = []
        with torch.inference_mode(), full_precision, self._guard("encoding"):
            for pair in self._blocks(flux, ivar):
                on_device = (torch.from_numpy(a).to(self.device) for a in informative(*pair))
                mean, log_variance = self.network.encode(*on_device)
                spread = mean * np.nan if log_variance is None else log_variance.exp()
                found.append((mean.numpy(force=True), spread.numpy(force=True)))
        return np.concatenate([m for m, _ in found]), np.concatenate([v for _, v in found])

    def encode(self, flux: NDArray[Any], ivar: NDArray[Any]) -> Encoded:
        """Vectors, and how well their reconstructions fit.

        Parameters
        ----------
        flux : (n, n_pix) normalised flux on the model's grid; anything where ivar is 0
        ivar : (n, n_pix) its inverse variance; 0 = no information
        Returns
        -------
        variance is that of the variational posterior, NaN where the network has none; n_fit is the
        number of latents, an upper limit of what the fit used up.
        Raises
        ------
        UsageError : another grid · TransientError : out of memory
        """
        self._check(flux, ivar)
        vectors, variance = self._vectors(flux, ivar)
        fits = [
            weighted_chi2(*informative(f, i), self.decode(v), self.scatter)
            for f, i, v in self._blocks(flux, ivar, vectors)
        ]
        n_pix = np.concatenate([n for _, n in fits])
        n_fit = np.minimum(float(self.settings.latent), n_pix)
        return Encoded(vectors, variance, np.concatenate([c for c, _ in fits]), n_pix, n_fit)

    def decode(self, vectors: NDArray[Any]) -> NDArray[np.float32]:
        """(n, latent) vectors → (n, n_pix) normalised flux."""
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.settings.latent:
            raise UsageError(f"vectors {vectors.shape} are not (n, {self.settings.latent})",
                             code="wrong_shape", remedy="give this model's vectors")  # fmt: skip
        with torch.inference_mode(), full_precision, self._guard("decoding"):
            parts = [self.network.decode(torch.from_numpy(v).to(self.device)).numpy(force=True)
                     for (v,) in self._blocks(vectors)]  # fmt: skip
        return np.concatenate(parts)

    def metric_scale(self) -> NDArray[np.float32]:
        """(latent,) variance^(−metric_power/2), in units of the largest; dead latents stay dead."""
        variance = self.network.latent_variance.numpy(force=True).astype(np.float64)
        ratio = np.maximum(variance / max(float(variance.max()), 1e-300), _LEAST_RARE)
        return np.asarray(ratio ** (-0.5 * self.metric_power), dtype=np.float32)

    def save(self, directory: Path) -> ModelRef:
        """Write ``weights.safetensors`` and ``card.json`` into a new directory."""
        write_model(directory, arrays_of(self.network), self.card, safetensors=True)
        return self.ref

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read back what `save` wrote, onto the CPU; `to` moves it.

        Raises
        ------
        DataError : ``hash_mismatch``, ``bad_weights`` (truncated), ``wrong_architecture``,
            ``wrong_encoder`` (another encoder's card), ``bad_model`` (damaged card)
        """
        arrays, card = read_model(directory)
        if card.get("encoder") != cls.kind:
            raise DataError(
                f"model is of encoder {card.get('encoder')!r}, not {cls.kind!r}",
                code="wrong_encoder", where=str(directory), remedy="load it with its own encoder",
            )  # fmt: skip
        with card_understood(directory):
            known = {f.name for f in fields(cls.settings_type)}
            settings = {k: v for k, v in card["settings"].items() if k in known}
            if settings.keys() != card["settings"].keys():
                raise KeyError(f"settings {sorted(card['settings'].keys() - known)}")
            settings = cls.settings_type.before | settings
            out = cls(ModelDomain.from_json(card["domain"]), cls.settings_type(**settings),
                      card["name"])  # fmt: skip
            with memory_guard(out.device, "building the network"):
                out._network = out.build().eval()
            load_into(out._network, arrays, str(directory))
            out._adopt(card)
            _ = out.report  # none in the card is found out here, not when it is asked for
        return out


_ENOUGH = 100
"""Held-out spectra from which the scatter of a pixel can be told."""


def _unfitted() -> UsageError:
    return UsageError("the model has not been fitted", code="unfitted",
                      remedy="fit it or load a fitted one")  # fmt: skip
