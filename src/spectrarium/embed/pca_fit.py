"""Fitting weighted PCA out of core: expectation–maximisation over passes through the data."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import DataError, UsageError
from ..domain.progress import Progress
from .posterior import F4, Array4, Array8, LinearModel, Posterior, unpack

log = logging.getLogger(__name__)

Block = tuple[Array4, Array4]
Batches = Callable[[], Iterable[Block]]
_SLAB = 512 * 2**20
"""Bytes of per-pixel normal equations unpacked and solved at a time."""


@dataclass(frozen=True, slots=True)
class FitSettings:
    """n_components : 2–512 · max_passes, tolerance : stop when a pass changes the model by less
    clip : Huber threshold in σ · softening : least scatter, as a fraction of the flux scale
    sample : spectra kept in memory to start from · memory_bytes : refuse to use more
    """

    n_components: int = 20
    max_passes: int = 30
    tolerance: float = 0.01
    clip: float = 5.0
    softening: float = 0.005
    sample: int = 1_500
    seed: int = 0
    memory_bytes: int = 6 * 2**30

    def __post_init__(self) -> None:
        for name, least in (("max_passes", 1), ("sample", 1), ("tolerance", 0)):
            if not getattr(self, name) >= least:
                raise _unfit(name, getattr(self, name), f"at least {least}")
        for name in ("clip", "softening"):
            if not getattr(self, name) > 0:
                raise _unfit(name, getattr(self, name), "positive")


def _unfit(name: str, value: float, what: str) -> UsageError:
    return UsageError(f"{name} is {value}, it must be {what}", code="bad_fit",
                      remedy=f"choose another {name}")  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A model in standard form: orthonormal components by falling variance.

    mean : (D,) · components : (k, D), rows of unit length · variances : (k,) of the coefficients
    scatter : (D,) · history : change of the model by each pass
    """

    mean: Array4
    components: Array4
    variances: Array8
    scatter: Array4
    history: tuple[float, ...]
    converged: bool
    n_spectra: int
    variance_explained: float


def fit_pca(batches: Batches, settings: FitSettings, progress: Progress) -> Fitted:
    """Maximum-likelihood factor model under each pixel's own noise plus a common scatter.

    Each pass is one EM step: coefficients by weighted least squares with their prior, then mean,
    loadings and scatter of every pixel from summed normal equations of size (k+1)², so memory does
    not depend on the number of spectra: 4·D·(k+1)(k+2) bytes. A pixel with ivar 0 takes no part.
    Source: Bailey 2012 (PASP 124, 1015) for EM with noisy and missing data; Delchambre 2015
    (MNRAS 446, 3545) for why weights, not imputation; Liu, Rubin & Wu 1998 for the expanded step
    that speeds it up. Valid for: independent Gaussian noise per pixel, outliers clipped (Huber).
    """
    if not 2 <= settings.n_components <= 512:
        raise UsageError(f"{settings.n_components} components: choose 2 to 512", code="bad_fit")
    progress.start("fit pca", settings.max_passes)
    model, n_spectra = _initial(batches, settings)
    _check_memory(model, settings)
    floor = settings.softening**2
    history: list[float] = []
    converged = False
    while len(history) < settings.max_passes and not converged and not progress.cancelled():
        sums = _Sums(model)
        for block in batches():
            sums.add(*block, model, settings.clip)
        before, model = model, sums.maximise(model, floor)
        history.append(_change(before, model))
        progress.advance()
        converged = history[-1] < settings.tolerance
    if not converged:
        log.warning("pca stopped after %d passes before it converged", len(history))
    return _standard_form(model, history, converged, n_spectra)


def _check_memory(model: LinearModel, settings: FitSettings) -> None:
    size = model.k + 1
    needed = 8 * model.mean.size * size * (size + 1) // 2
    if needed > settings.memory_bytes:
        raise UsageError(
            f"{model.k} components of {model.mean.size} pixels need {needed / 2**30:.1f} GiB",
            code="bad_fit", remedy="ask for fewer components or a coarser grid",
        )  # fmt: skip


def _change(before: LinearModel, after: LinearModel) -> float:
    """How much a pass moved the model: its subspace, its variances or its scatter.

    The largest of 1 − cos² of the principal angles (mean), |Δ ln variance| and |Δ ln scatter|
    (medians). The likelihood is no guide: clipping changes it as the scatter finds its level.
    """
    old, new = before.loadings.astype(np.float64), after.loadings.astype(np.float64)
    q_old, r_old = np.linalg.qr(old.T)
    q_new, r_new = np.linalg.qr(new.T)
    angles = np.linalg.svd(q_old.T @ q_new, compute_uv=False)
    size_old, size_new = (np.linalg.svd(r, compute_uv=False) for r in (r_old, r_new))
    level = np.log(after.scatter.astype(np.float64) / before.scatter.astype(np.float64))
    tiny = 1e-12 * size_new[0]
    return float(max(
        np.mean(1.0 - np.minimum(angles, 1.0) ** 2),
        2.0 * np.median(np.abs(np.log((size_new + tiny) / (size_old + tiny)))),
        np.median(np.abs(level)),
    ))  # fmt: skip


def _initial(batches: Batches, settings: FitSettings) -> tuple[LinearModel, int]:
    """Start from the principal components of a random sample, gaps shrunk to the mean."""
    flux, ivar, n = _sample(batches, settings)
    k = settings.n_components
    if n <= k:
        raise DataError(f"{n} spectra cannot determine {k} components", code="too_few_spectra",
                        remedy=f"ask for fewer than {n} components")  # fmt: skip
    noise = np.divide(1.0, ivar, out=np.full_like(ivar, np.inf), where=ivar > 0)
    power = float(np.median(flux[ivar > 0] ** 2)) if (ivar > 0).any() else 0.0
    if not power > 0:
        raise DataError("no spectrum has a pixel with information", code="no_information")
    trust = power / (power + noise)  # a Wiener-like weight: noise cannot lead
    total = trust.sum(axis=0)
    mean = np.divide((trust * flux).sum(axis=0), total, out=np.zeros_like(total), where=total > 0)
    centred = (trust * (flux - mean)).astype(F4)
    _, vectors = np.linalg.eigh((centred @ centred.T).astype(np.float64))
    basis = vectors[:, ::-1][:, :k].T.astype(F4)
    loadings = basis @ centred / np.sqrt(F4(max(centred.shape[0], 1)))
    leftover = (centred - basis.T @ (basis @ centred)).astype(F4)
    scatter = np.maximum((leftover**2).mean(axis=0), settings.softening**2)
    loadings += _symmetry_breaker(loadings, settings.seed)
    return LinearModel(mean, loadings, scatter), n


def _symmetry_breaker(loadings: Array4, seed: int) -> Array4:
    """A component that starts at zero would stay there: EM cannot leave a saddle."""
    noise = np.random.default_rng(seed).standard_normal(loadings.shape).astype(F4)
    return noise * F4(1e-4 * float(np.abs(loadings).max()))


def _sample(batches: Batches, settings: FitSettings) -> tuple[Array4, Array4, int]:
    """A uniform sample without replacement in one pass (reservoir), and the number of spectra."""
    rng = np.random.default_rng(settings.seed)
    size = max(settings.sample, 3 * settings.n_components)
    flux: list[Array4] = []
    ivar: list[Array4] = []
    n = 0
    for block in batches():
        for one_flux, one_ivar in zip(*block, strict=True):
            n += 1
            if len(flux) < size:
                flux.append(one_flux.copy())
                ivar.append(one_ivar.copy())
            elif (slot := int(rng.integers(n))) < size:
                flux[slot], ivar[slot] = one_flux.copy(), one_ivar.copy()
    if not flux:
        raise DataError("no spectra to learn from", code="too_few_spectra")
    return np.array(flux), np.array(ivar), n


class _Sums:
    """What one pass adds up."""

    def __init__(self, model: LinearModel) -> None:
        size = model.k + 1
        pixels = model.mean.size
        self.rows, self.cols = np.triu_indices(size)
        self.normal = np.zeros((pixels, self.rows.size))
        self.right = np.zeros((pixels, size))
        self.scatter_top = np.zeros(pixels)
        self.scatter_bottom = np.zeros(pixels)
        self.second = np.zeros((size, size))
        self.n = 0

    def add(self, flux: Array4, ivar: Array4, model: LinearModel, clip: float) -> None:
        """One batch: E-step and its sufficient statistics."""
        post = model.posterior(flux, ivar, clip)
        latent = np.concatenate([post.mean, np.ones((len(flux), 1))], axis=1)
        moment = latent[:, :, None] * latent[:, None, :]
        moment[:, :-1, :-1] += post.cov
        packed = moment[:, self.rows, self.cols].astype(F4)
        used = np.where(post.weight > 0, post.weight * flux, F4(0))
        self.normal += post.weight.T @ packed
        self.right += used.T @ latent.astype(F4)
        self.second += moment.sum(axis=0)
        self._add_scatter(post, ivar, model)
        self.n += len(flux)

    def _add_scatter(self, post: Posterior, ivar: Array4, model: LinearModel) -> None:
        """Fisher scoring for the scatter: Σ w²(E[r²] − 1/ivar) / Σ w²."""
        noise = np.divide(1.0, ivar, out=np.zeros_like(ivar), where=ivar > 0)
        square = post.weight**2
        excess = post.residual**2 + model.spread(post.cov) - noise
        self.scatter_top += (square * excess).sum(axis=0, dtype=np.float64)
        self.scatter_bottom += square.sum(axis=0, dtype=np.float64)

    def _prior(self, model: LinearModel) -> Array8:
        """(k + 1,) 1/the information-weighted mean square of loadings; 0 for the mean."""
        size = model.k + 1
        corner = [int(np.flatnonzero((self.rows == i) & (self.cols == i))[0]) for i in range(size)]
        information = self.normal[:, corner[:-1]]
        square = (information * model.loadings.T.astype(np.float64) ** 2).sum(axis=0)
        mean_square = square / np.maximum(information.sum(axis=0), 1e-300)
        return np.append(1.0 / np.maximum(mean_square, 1e-12), 0.0)

    def maximise(self, model: LinearModel, floor: float) -> LinearModel:
        """M-step per pixel, then the latent space rescaled to zero mean and unit covariance.

        Loadings have a Gaussian prior whose variance is each component's own, learnt where there
        is information: a pixel that few spectra cover falls back to the mean and invents nothing.
        """
        size = model.k + 1
        loadings = np.empty((model.mean.size, size))
        prior = self._prior(model)
        step = max(1, _SLAB // (8 * size * size))
        diagonal = np.arange(size)
        for start in range(0, model.mean.size, step):
            at = slice(start, start + step)
            normal = unpack(self.normal[at], size)
            normal[:, diagonal, diagonal] += prior
            empty = normal[:, -1, -1] <= 0
            normal[empty, -1, -1] = 1.0
            loadings[at] = np.linalg.solve(normal, self.right[at][..., None])[..., 0]
        scatter = np.divide(self.scatter_top, self.scatter_bottom,
                            out=np.zeros_like(self.scatter_top),
                            where=self.scatter_bottom > 0)  # fmt: skip
        first = self.second[-1, :-1] / self.n
        cov = self.second[:-1, :-1] / self.n - np.outer(first, first)
        root = np.linalg.cholesky(cov)
        mean = loadings[:, -1] + loadings[:, :-1] @ first
        return LinearModel(mean, (loadings[:, :-1] @ root).T, np.maximum(scatter, floor))


def _standard_form(
    model: LinearModel, history: list[float], converged: bool, n_spectra: int
) -> Fitted:
    # not from the Gram matrix: components that the data do not need have no variance to divide by
    _, size, components = np.linalg.svd(model.loadings.astype(np.float64), full_matrices=False)
    values = np.maximum(size**2, size[0] ** 2 * 1e-12)
    # a component's sign is arbitrary: its largest excursion is made positive
    peak = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    components *= np.sign(peak)
    fraction = float(values.sum() / (values.sum() + model.scatter.sum(dtype=np.float64)))
    return Fitted(
        mean=model.mean,
        components=components.astype(F4),
        variances=values,
        scatter=model.scatter,
        history=tuple(history),
        converged=converged,
        n_spectra=n_spectra,
        variance_explained=fraction,
    )


def standard_loadings(components: NDArray[np.float32], variances: Array8) -> Array4:
    """(k, D) loadings of unit-variance latents from the standard form."""
    return (components * np.sqrt(variances)[:, None]).astype(F4)
