"""Our main encoder: patches of wavelength, trained so that views of one object agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from ..domain.errors import TransientError, UsageError
from ..domain.progress import Progress, Silent
from ..domain.units import C_KMS
from .augment import Strengths, augmented
from .deep import DeepEncoder
from .deep_data import informative, sample_of, training_set_of
from .deep_feed import Batch
from .deep_settings import DeepSettings
from .deep_train import Split, split_by_object
from .domain import ModelDomain
from .encoder import BatchFactory, Encoded, FitReport
from .network import misfit
from .patch_net import PatchNetwork
from .pca_fit import Block, FitSettings, Fitted, fit_pca
from .training_set import TrainingSet

FACET_WEIGHT = 1e-3
"""Factor on the linear coefficients in distances: kept so that vectors can be decoded, not felt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchSettings(DeepSettings):
    """latent : components of a vector, `linear` of them (at most half) coefficients of a linear
    part, kept for reconstruction and left out of distances

    tokens : pieces a spectrum is cut into; more where they would be wider than patch_kms
    width, depth, heads : of the transformer · hidden : of the decoder
    continuum_kms : half width of the window that tells continuum from lines
    masked : share of the tokens hidden from each training view
    temperature : of the contrast between spectra · reconstruction : weight of the decoder's loss
    variance_draws : noise realisations from which `encode` estimates variances; 0 = NaN instead
    Strengths of the augmentations, see `augment.Strengths`: velocity_kms (σ), redshift (largest
    Δ ln λ; 0 = none), blur_pix, tilt, noise, floor, gap, spikes, scale
    """

    latent: int = 84
    linear: int = 20
    tokens: int = 32
    patch_kms: float = 9000.0
    width: int = 96
    depth: int = 3
    heads: int = 4
    hidden: int = 256
    continuum_kms: float = 3000.0
    masked: float = 0.2
    temperature: float = 0.2
    reconstruction: float = 0.1
    variance_draws: int = 0
    velocity_kms: float = 300.0
    redshift: float = 0.0
    blur_pix: float = 2.0
    tilt: float = 0.15
    noise: float = 10.0
    floor: float = 0.05
    gap: float = 0.1
    spikes: float = 0.002
    scale: float = 0.03
    epochs: int = 60
    weight_decay: float = 0.05
    warm_up: float = 0.1
    patience: int = 20

    def __post_init__(self) -> None:
        super(PatchSettings, self).__post_init__()
        self._demand("latent", "at least 4", self.latent >= 4)
        self._demand("linear", "at least 2", self.linear >= 2)
        for name in ("tokens", "width", "depth", "heads", "hidden"):
            self._demand(name, "a whole number of at least 1", int(getattr(self, name)) >= 1)
        for name in ("patch_kms", "continuum_kms", "temperature"):
            self._demand(name, "positive", getattr(self, name) > 0)
        for name in ("reconstruction", "variance_draws", "velocity_kms", "redshift", "blur_pix",
                     "tilt", "floor", "scale"):  # fmt: skip
            self._demand(name, "at least 0", getattr(self, name) >= 0)
        for name in ("masked", "gap", "spikes"):
            self._demand(name, "from 0 to below 1", 0 <= getattr(self, name) < 1)
        self._demand("noise", "at least 1", self.noise >= 1)
        self._demand("width", f"a multiple of 2 × {self.heads} heads",
                     self.width % (2 * self.heads) == 0)  # fmt: skip

    @property
    def facets(self) -> int:
        """Coefficients of the linear part in a vector."""
        return min(self.linear, self.latent // 2)

    def patch_of(self, domain: ModelDomain) -> int:
        """Pixels of a token on this domain's grid."""
        widest = max(4, round(self.patch_kms / domain.pixel_kms))
        return min(-(-domain.n_pix // self.tokens), widest)

    def strengths(self, domain: ModelDomain) -> Strengths:
        """The augmentations on this domain's grid."""
        return Strengths(
            shift_pix=self.velocity_kms / domain.pixel_kms,
            far_pix=self.redshift * C_KMS / domain.pixel_kms, blur_pix=self.blur_pix,
            tilt=self.tilt, noise=self.noise, floor=self.floor, gap=self.gap, spikes=self.spikes,
            scale=self.scale,
        )  # fmt: skip


class Patch(DeepEncoder):
    """Wavelength-conditioned patches, contrasted between objects and reconstructed under noise.

    Two views of every spectrum, shifted, blurred, tilted, noisier and with gaps, and all visits of
    one object are to agree; different objects are to differ. What such a view changes (velocity,
    S/N, flux calibration, resolution) counts less in distances, and does not vanish: the share of
    noise is one of the inputs. It remains in the linear part of the vector, from which spectra are
    decoded. Bears gaps and different coverage.
    """

    kind: ClassVar[str] = "patch"
    settings_type: ClassVar[type[DeepSettings]] = PatchSettings
    limits: ClassVar[str] = (
        "For spectra like those it was trained on: same frame and kind of flux. Views of other "
        "velocity, S/N, resolution and slow flux calibration are trained to agree, which makes "
        "these count less, not vanish: S/N above all can still be read off the vectors. Variances "
        "are NaN unless noise draws are asked for, and then first-order estimates."
    )
    settings: PatchSettings

    def __init__(
        self, domain: ModelDomain, settings: PatchSettings | None = None, name: str | None = None
    ) -> None:
        """settings : None = defaults, a model of about 1.5 million parameters"""
        super().__init__(domain, settings, name)
        self._linear: Fitted | None = None
        self._strengths = self.settings.strengths(domain)

    def build(self) -> PatchNetwork:
        """A new network; its linear part is the one fitted just before, if any."""
        network = PatchNetwork(self.domain, self.settings)
        if self._linear is not None:
            network.linear.adopt(self._linear)
        return network

    def fit(
        self, data: TrainingSet | BatchFactory, progress: Progress | None = None, *,
        device: str = "auto", checkpoint_dir: Path | None = None, checkpoint_minutes: float = 10.0,
    ) -> FitReport:  # fmt: skip
        """Fit the linear part to a sample of the training objects, then train the network.

        Parameters and errors are those of `DeepEncoder.fit`.
        """
        data = training_set_of(self.domain, data)
        rows = split_by_object(data, self.settings).train
        flux, ivar = sample_of(data, rows, self.settings.seed)

        def blocks() -> Iterator[Block]:
            for i in range(0, len(flux), 256):
                yield flux[i : i + 256], ivar[i : i + 256]

        chosen = FitSettings(n_components=self.settings.facets, seed=self.settings.seed,
                             softening=self.settings.softening)  # fmt: skip
        progress = progress or Silent()
        self._linear = fit_pca(blocks, chosen, progress)
        if progress.cancelled():  # stopped half way: no checkpoint may keep such a linear part
            raise TransientError("training was cancelled before its first epoch", code="cancelled",
                                 remedy="train again")  # fmt: skip
        return super().fit(data, progress, device=device, checkpoint_dir=checkpoint_dir,
                           checkpoint_minutes=checkpoint_minutes)  # fmt: skip

    def loss(self, network: Any, batch: Batch) -> torch.Tensor:
        """Contrast between objects over two views of each spectrum, plus masked reconstruction.

        The reconstruction is of the spectrum as it was, from what a view with hidden tokens says.
        """
        twice = torch.cat([batch.flux, batch.flux]), torch.cat([batch.ivar, batch.ivar])
        summary = network.summarise(*augmented(*twice, self._strengths))
        objects = torch.cat([batch.objects, batch.objects])
        cost = contrast(network.projector(summary).float(), objects, self.settings.temperature)
        if self.settings.reconstruction > 0:
            coefficients = network.linear(batch.flux, batch.ivar)
            model = network.rebuilt(summary[: len(batch)], coefficients)
            wrong = misfit(batch.flux, batch.ivar, model, network.floor, self.settings.huber)
            cost = cost + self.settings.reconstruction * wrong.mean()
        return cost

    def order(
        self, data: TrainingSet, rows: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Rows in random order, two visits of an object next to each other: both in one batch."""
        shuffled = super().order(data, rows, rng)
        objects = data.objects[shuffled]
        _, inverse, counts = np.unique(objects, return_inverse=True, return_counts=True)
        if counts.max(initial=0) < 2:
            return shuffled
        by_object = np.argsort(inverse, kind="stable")
        starts = np.repeat(np.cumsum(counts) - counts, counts)
        visit = np.empty(len(rows), np.int64)
        visit[by_object] = np.arange(len(rows)) - starts
        # the second of a pair comes right after the first, wherever the shuffle put that
        place = np.arange(len(rows), dtype=np.float64)
        second = by_object[visit[by_object] % 2 == 1]
        first = by_object[np.flatnonzero(visit[by_object] % 2 == 1) - 1]
        place[second] = place[first] + 0.5
        return np.asarray(shuffled[np.argsort(place, kind="stable")])

    def _measure(self, data: TrainingSet, split: Split) -> float:
        """Turn summaries to their principal axes, then measure scatter and spread."""
        network: Any = self.network
        flux, ivar = sample_of(data, split.train, self.settings.seed)
        vectors, _ = self._vectors(flux, ivar)
        summary = vectors[:, : network.similarity].astype(np.float64)
        centre = summary.mean(axis=0)
        _, axes = np.linalg.eigh(np.cov((summary - centre).T))
        network.turn_to(axes[:, ::-1].copy(), centre)
        return super()._measure(data, split)

    def encode(self, flux: NDArray[Any], ivar: NDArray[Any]) -> Encoded:
        """Vectors, and how well their reconstructions fit; see `DeepEncoder.encode`.

        variance is NaN unless `variance_draws` are asked for: then the mean squared change of each
        component when noise as large as ivar says is added once more, valid to first order.

        Raises
        ------
        UsageError : another grid, or a spectrum without a pixel of information (``no_pixels``)
        """
        self._check(flux, ivar)
        good_flux, good_ivar = informative(flux, ivar)
        empty = np.flatnonzero(~(good_ivar > 0).any(axis=1))
        if len(empty):
            raise UsageError(
                f"{len(empty)} spectra have no pixel with information, the first in row {empty[0]}",
                code="no_pixels", remedy="leave them out, or unmask what is good in them",
            )  # fmt: skip
        encoded = super().encode(good_flux, good_ivar)
        if not self.settings.variance_draws:
            return encoded
        rng = np.random.default_rng(self.settings.seed)
        sigma = np.where(good_ivar > 0, np.maximum(good_ivar, 1e-30) ** -0.5, 0).astype(np.float32)
        total = np.zeros_like(encoded.vectors)
        for _ in range(self.settings.variance_draws):  # one draw for all: rows do not depend on
            noise = rng.standard_normal(self.domain.n_pix, dtype=np.float32)  # their neighbours
            total += (self._vectors(good_flux + sigma * noise, good_ivar)[0] - encoded.vectors) ** 2
        variance = total / np.float32(self.settings.variance_draws)
        return Encoded(encoded.vectors, variance, encoded.chi2, encoded.n_pix, encoded.n_fit)

    def metric_scale(self) -> NDArray[np.float32]:
        """(latent,) variance^(−metric_power/2) of summary axes; the linear part hardly counts.

        Units are such that the summary's first axis has 1; linear coefficients are first brought
        to unit variance and then multiplied by `FACET_WEIGHT`.
        """
        network: Any = self.network
        variance = network.latent_variance.numpy(force=True).astype(np.float64)
        own = variance[: network.similarity]
        first = max(float(own.max()), 1e-300)
        ratio = np.maximum(own / first, 1e-6)
        facets = np.maximum(variance[network.similarity :], 1e-300)
        hardly = FACET_WEIGHT * np.sqrt(first / np.maximum(facets, facets.max() * 1e-12))
        return np.concatenate([ratio ** (-0.5 * self.metric_power), hardly]).astype(np.float32)


def contrast(points: torch.Tensor, objects: torch.Tensor, temperature: float) -> torch.Tensor:
    """Mean over points of −log of the probability that a point's match is one of its own object.

    Parameters
    ----------
    points : (n, d), compared by cosine · objects : (n,) equal numbers for the same object
    temperature : small = only the nearest rivals count
    Source: Khosla et al. 2020 (arXiv:2004.11362), eq. 2, objects in the place of classes; with one
    object a pair it is the loss of van den Oord et al. 2018 (arXiv:1807.03748).
    """
    unit = normalize(points, dim=1)
    own = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    likeness = (unit @ unit.T / temperature).masked_fill(own, -1e9)
    same = (objects[:, None] == objects[None, :]) & ~own
    log_share = likeness - torch.logsumexp(likeness, dim=1, keepdim=True)
    return -((log_share * same).sum(dim=1) / same.sum(dim=1).clamp(min=1)).mean()
