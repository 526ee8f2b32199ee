"""Our main encoder: patches of wavelength, trained so that views of one object agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from ..domain.errors import TransientError, UsageError
from ..domain.progress import Progress, Silent
from ..domain.units import C_KMS
from .apart import changes_nearby, turned_apart
from .augment import Strengths, augmented, noisier, shifted
from .deep import DeepEncoder
from .deep_data import informative, sample_rows, training_set_of, with_signal
from .deep_feed import Batch, seed_of
from .deep_settings import DeepSettings
from .deep_train import Split, split_by_object
from .domain import FluxKind, ModelDomain
from .encoder import BatchFactory, Encoded, FitReport
from .network import misfit
from .patch_net import PatchNetwork
from .pca_fit import Block, FitSettings, Fitted, fit_pca
from .training_set import TrainingSet

FACET_WEIGHT = 1e-3
"""Factor on what is apart in distances: kept so that vectors can be decoded, not felt."""
_LEAST_WITHIN = 1.0 / 30.0
"""Of an axis's variance, that counts as what views change, however little they do."""
_LEAST_SNR, _LEAST_ERRORS, _CHANCE = 1.0, 100, 0.05
"""Least S/N of a signal; spectra with a signal and errors that tell in what S/N shows; probability
above which what a further direction shows may be chance."""
_DRAWS, _VIEWED = 4, 1_000
"""Views of each of so many spectra from which is measured what they change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchSettings(DeepSettings):
    """latent : components of a vector, `linear` of them (at most half) coefficients of a linear
    part, kept for reconstruction and left out of distances
    velocity_axes, noise_axes : directions of the summary in which velocity, and noise, move
    spectra, left out of distances too; fewer where the summary is small · snr_axes : directions
    in which spectra differ from those like them as S/N does, one after the other while it is not by
    chance, the same; none where hardly any has errors: S/N told from pixels goes with the lines
    components : of the linear part that spectra are freed of noise with, a quarter of the training
    spectra at most, as are those kept

    tokens : pieces a spectrum is cut into; more where they would be wider than patch_kms
    width, depth, heads : of the transformer · hidden : of the decoder
    continuum_kms : half width of the window that tells continuum from lines
    masked : share of the tokens hidden from each training view
    temperature : of the contrast between spectra · reconstruction : weight of the decoder's loss
    variance_draws : noise realisations from which `encode` estimates variances; 0 = NaN instead
    Strengths of the augmentations, see `augment.Strengths`: velocity_kms (σ), redshift (largest
    Δ ln λ; 0 = none), blur_pix, tilt, noise, floor, gap, spikes, scale, crop
    """

    before: ClassVar[dict[str, Any]] = {"snr_axes": 0}

    latent: int = 112
    linear: int = 48
    velocity_axes: int = 6
    noise_axes: int = 1
    snr_axes: int = 3
    components: int = 48
    tokens: int = 32
    patch_kms: float = 9000.0
    width: int = 96
    depth: int = 3
    heads: int = 4
    hidden: int = 256
    continuum_kms: float = 3000.0
    masked: float = 0.2
    temperature: float = 0.3
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
    crop: float = 0.0
    epochs: int = 60
    weight_decay: float = 0.05
    warm_up: float = 0.1
    patience: int = 20

    def __post_init__(self) -> None:
        super(PatchSettings, self).__post_init__()
        self._demand("latent", "at least 4", self.latent >= 4)
        self._demand("linear", "at least 2", self.linear >= 2)
        self._demand("components", "2 to 512", 2 <= self.components <= 512)
        for name in ("tokens", "width", "depth", "heads", "hidden"):
            self._demand(name, "a whole number of at least 1", int(getattr(self, name)) >= 1)
        for name in ("patch_kms", "continuum_kms", "temperature"):
            self._demand(name, "positive", getattr(self, name) > 0)
        for name in ("reconstruction", "variance_draws", "velocity_axes", "noise_axes",
                     "snr_axes", "velocity_kms", "redshift", "blur_pix", "tilt", "floor",
                     "scale"):  # fmt: skip
            self._demand(name, "at least 0", getattr(self, name) >= 0)
        for name in ("masked", "gap", "spikes", "crop"):
            self._demand(name, "from 0 to below 1", 0 <= getattr(self, name) < 1)
        self._demand("noise", "at least 1", self.noise >= 1)
        self._demand("width", f"a multiple of 2 × {self.heads} heads",
                     self.width % (2 * self.heads) == 0)  # fmt: skip

    @property
    def facets(self) -> int:
        """Coefficients of the linear part in a vector."""
        return min(self.linear, self.components, self.latent // 2)

    @property
    def apart(self) -> tuple[int, int, int]:
        """Axes of the summary that velocity, noise, and S/N are put apart on."""
        summary = self.latent - self.facets
        moved = self.velocity_axes if self.velocity_kms > 0 else 0
        return (min(moved, summary // 8), min(self.noise_axes, summary // 16),
                min(self.snr_axes, summary // 16))  # fmt: skip

    @property
    def least_spectra(self) -> int:
        """Fewer make no linear part; the summary's size asks for no number of spectra."""
        return 4 * min(self.facets, 8)

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
            scale=self.scale, crop=self.crop,
            subtracted=domain.flux_kind is FluxKind.CONTINUUM_SUBTRACTED,
        )  # fmt: skip


class Patch(DeepEncoder):
    """Wavelength-conditioned patches, contrasted between objects and reconstructed under noise.

    Two views of every spectrum, shifted, blurred, tilted, noisier and with gaps, and all visits of
    one object are to agree; different objects are to differ. The network sees spectra freed of
    noise: a linear part's model of each and what stands out of it beyond its noise, so that S/N
    is not among what it can tell them by. What else a view changes (flux calibration, resolution)
    counts less in distances, and does not vanish; the directions in which velocity moves spectra,
    and in which S/N goes with them among like ones, are put apart. They and a linear part follow
    the axes of distances in the vector, decoded as a whole. Bears gaps and different coverage.
    """

    kind: ClassVar[str] = "patch"
    settings_type: ClassVar[type[DeepSettings]] = PatchSettings
    limits: ClassVar[str] = (
        "For spectra like those it was trained on: same frame and kind of flux. Views of other "
        "velocity, S/N, resolution and slow flux calibration are trained to agree, which makes "
        "these count less, not vanish; velocity, and what goes with S/N among like spectra that "
        "have errors, are taken out of distances as far as few directions show them. A feature "
        "that the linear part does not know is seen where it exceeds three sigma. Variances are "
        "NaN unless noise draws are asked for, and then first-order estimates."
    )
    settings: PatchSettings

    def __init__(
        self, domain: ModelDomain, settings: PatchSettings | None = None, name: str | None = None
    ) -> None:
        """settings : None = defaults, a model of about 1.4 million parameters"""
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
        sample = sample_rows(data, rows, self.settings.seed)
        flux, ivar = informative(*data.take(sample))

        def blocks() -> Iterator[Block]:
            for i in range(0, len(flux), 256):
                yield flux[i : i + 256], ivar[i : i + 256]

        most = max(2, min(len(rows) // 4, self.domain.n_pix // 4))
        told = len(with_signal(data, sample, _LEAST_SNR)) >= _LEAST_ERRORS
        self.settings = replace(self.settings, components=min(self.settings.components, most),
                                snr_axes=self.settings.snr_axes if told else 0)  # fmt: skip
        chosen = FitSettings(n_components=self.settings.components, seed=self.settings.seed,
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

        The reconstruction is of the spectrum as it was: what a view with hidden tokens says, upon
        the linear part of the whole.
        """
        twice = torch.cat([batch.flux, batch.flux]), torch.cat([batch.ivar, batch.ivar])
        flux, ivar = augmented(*twice, self._strengths)
        summary = network.summarise(flux, ivar, network.linear(flux, ivar))
        objects = torch.cat([batch.objects, batch.objects])
        cost = contrast(network.projector(summary).float(), objects, self.settings.temperature)
        if self.settings.reconstruction > 0:
            coefficients = network.linear(batch.flux, batch.ivar)[:, : network.linear_facets]
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
        """Turn summaries to their own axes, then measure what distances and scores need."""
        network: Any = self.network
        rows = sample_rows(data, split.train, self.settings.seed)
        flux, ivar = informative(*data.take(rows))
        own = with_signal(data, rows, _LEAST_SNR)
        log_snr, objects = np.log(data.snr[rows[own]]), data.objects[rows[own]]
        summary = self._vectors(flux, ivar)[0][:, : network.summarised].astype(np.float64)
        some = slice(None, None, -(-len(flux) // _VIEWED))
        few = flux[some], ivar[some]
        moved = (self._by_velocity(*few), self._by_noise(*few),
                 lambda points, nth: changes_nearby(points[own], log_snr, objects,
                                                    chance=_CHANCE if nth else None))  # fmt: skip
        network.turn_to(turned_apart(summary, list(zip(moved, self.settings.apart, strict=True))),
                        summary.mean(axis=0))  # fmt: skip
        views, noises = self._moved(*few)
        with torch.no_grad():
            network.view_variance.copy_(torch.from_numpy(0.5 * views))
            network.noise_variance.copy_(torch.from_numpy(noises))
        return super()._measure(data, split)

    def _by_velocity(
        self, flux: NDArray[np.float32], ivar: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """(n, summarised) half the change of summaries from approaching to receding."""
        pixels = torch.full((len(flux), 1), 0.5 * self.settings.velocity_kms)
        pixels = pixels / self.domain.pixel_kms
        own = torch.from_numpy(flux), torch.from_numpy(ivar)
        away, near = (self._summaries(*shifted(*own, sign * pixels)) for sign in (1, -1))
        return np.asarray(0.5 * (away - near))

    def _by_noise(
        self, flux: NDArray[np.float32], ivar: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """(n, summarised) mean change of summaries by noise as large as views have at most."""
        own = torch.from_numpy(flux), torch.from_numpy(ivar)
        growth = torch.full((len(flux), 1), self.settings.noise**0.5)
        floor = torch.full((len(flux), 1), 0.5 * self.settings.floor)
        before = self._summaries(*own)
        total = np.zeros_like(before)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(self.settings.seed, "noise"))
            for _ in range(_DRAWS):
                total += (self._summaries(*noisier(*own, growth, floor)) - before) / _DRAWS
        return total

    def _summaries(self, flux: torch.Tensor, ivar: torch.Tensor) -> NDArray[np.float64]:
        found, _ = self._vectors(flux.numpy(), ivar.numpy())
        network: Any = self.network
        return found[:, : network.summarised].astype(np.float64)

    def _moved(
        self, flux: NDArray[np.float32], ivar: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(latent,) mean squared change of vectors by views, and by noise as large as their own."""
        vectors, _ = self._vectors(flux, ivar)
        own = torch.from_numpy(flux), torch.from_numpy(ivar)
        twice = torch.full((len(flux), 1), 2.0), torch.zeros(len(flux), 1)
        views, noise = np.zeros(vectors.shape[1]), np.zeros(vectors.shape[1])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(self.settings.seed, "views"))
            for _ in range(_DRAWS):
                view = (a.numpy() for a in augmented(*own, self._strengths))
                noisy = noisier(*own, *twice)[0].numpy()
                for total, found in ((views, self._vectors(*view)[0]),
                                     (noise, self._vectors(noisy, ivar)[0])):  # fmt: skip
                    total += ((found - vectors).astype(np.float64) ** 2).mean(axis=0) / _DRAWS
        return views, noise

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
        """(latent,) what axes of the summary are multiplied by; what is apart hardly counts.

        scale² = (1 − N/T) / (V + T/30), in units of the first axis's: T is an axis's variance over
        the training set, V half its mean squared change between a spectrum and its views, N that
        by noise as large as its own. What views change counts little, what is noise hardly at all,
        and a thirtieth of T keeps faint axes from ruling. Axes of velocity and noise and linear
        coefficients are brought to unit variance, then multiplied by `FACET_WEIGHT`.
        Source: within-class covariance normalisation (Hatch, Kajarekar & Stolcke 2006,
        Interspeech), diagonal, views in the place of classes.
        """
        network: Any = self.network
        total, views, noise = (
            b.numpy(force=True).astype(np.float64)
            for b in (network.latent_variance, network.view_variance, network.noise_variance)
        )
        n = network.similarity
        total, own = np.maximum(total, 1e-300), slice(0, n)
        signal = np.clip(1.0 - noise[own] / total[own], 1e-6, 1.0)
        square = signal / (views[own] + _LEAST_WITHIN * total[own])
        first = max(float(square[0]), 1e-300) if total[0] > 0 else 1.0
        spread = np.sqrt(float((square / first * total[own]).max()))
        facets = total[n:]
        hardly = FACET_WEIGHT * spread / np.sqrt(np.maximum(facets, facets.max() * 1e-12))
        return np.concatenate([np.sqrt(square / first), hardly]).astype(np.float32)


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
