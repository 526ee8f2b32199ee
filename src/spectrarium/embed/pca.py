"""Weighted principal components: the encoder that everything else is measured against."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..domain.derived import ModelRef
from ..domain.errors import UsageError
from ..domain.progress import Progress, Silent
from .card import card_understood, read_model, weights_hash, write_model
from .domain import ModelDomain
from .encoder import BatchFactory, Encoded, FitReport, check_device
from .pca_fit import Block, FitSettings, Fitted, fit_pca, standard_loadings
from .posterior import F4, LinearModel

_BLOCK = 256
"""Spectra solved at a time: 256 × 4000 pixels × a few float32 arrays stay in cache and memory."""
_JUDGED = 500
"""Training spectra, evenly spread, whose χ² the card gives."""
LIMITS = (
    "For spectra like those it was trained on: same range, frame and kind of flux. Linear: lines "
    "that move, broaden or saturate take many components, and what is rare among the training "
    "spectra stays in the residual. Variances of vectors are those that independent noise of the "
    "given size leaves, and say nothing of what the components cannot show."
)


class PCA:
    """Inverse-variance-weighted PCA with a per-pixel scatter, so that bright spectra do not rule.

    Vectors are coefficients of orthonormal components: Euclidean distance between them is the
    distance between noise-free reconstructions, in units of the normalised flux.
    """

    def __init__(
        self, domain: ModelDomain, settings: FitSettings | None = None, name: str = "pca",
        metric_power: float = 0.5,
    ) -> None:  # fmt: skip
        """metric_power : neighbours are sought among vectors × variance^(−power/2): 0 = as they
        are, 1 = whitened (every component counts alike)"""
        self.domain = domain
        self.settings = settings or FitSettings()
        self.name = name
        self.metric_power = metric_power
        self._state: dict[str, NDArray[Any]] = {}
        self._model: LinearModel | None = None
        self._ref: ModelRef | None = None
        self._report: FitReport | None = None
        self._card: dict[str, Any] = {}

    @property
    def ref(self) -> ModelRef:
        """Name, version, weights hash and training set."""
        if self._ref is None:
            raise _unfitted()
        return self._ref

    @property
    def report(self) -> FitReport:
        """How training went."""
        if self._report is None:
            raise _unfitted()
        return self._report

    @property
    def card(self) -> dict[str, Any]:
        """What the model card says: data, split, settings, history, metrics, limits, device.

        Nothing is held out: `metrics` are of training spectra; `history` is the change of the model
        by each pass.
        """
        if not self._card:
            raise _unfitted()
        return self._card | {"metric_power": self.metric_power}

    @property
    def mean(self) -> NDArray[np.float32]:
        """(n_pix,) mean normalised flux."""
        return self._fitted("mean")

    @property
    def components(self) -> NDArray[np.float32]:
        """(d, n_pix) orthonormal, by falling variance."""
        return self._fitted("components")

    @property
    def variances(self) -> NDArray[np.float64]:
        """(d,) variance of each coefficient over the training set, noise removed."""
        return self._fitted("variances")

    @property
    def scatter(self) -> NDArray[np.float32]:
        """(n_pix,) variance of the normalised flux that the components leave, noise removed."""
        return self._fitted("scatter")

    def _fitted(self, name: str) -> NDArray[Any]:
        if name not in self._state:
            raise _unfitted()
        return self._state[name]

    def fit(
        self, data: BatchFactory, progress: Progress | None = None, *,
        checkpoint_dir: Path | None = None, device: str = "auto",
    ) -> FitReport:  # fmt: skip
        """Learn mean, components and scatter in a few passes over `data()`.

        checkpoint_dir : not used, a pass takes seconds · device : ``auto`` or ``cpu``
        Raises
        ------
        DataError : fewer spectra than components, or no information in them
        UsageError : too many components for memory, batches on another grid, or another device
        """
        check_device("pca", device)
        started, passes = time.monotonic(), 0
        snr: list[NDArray[np.float64]] = []

        def checked() -> Iterator[Block]:
            nonlocal passes
            passes += 1
            for batch in data():
                self._check(batch.flux, batch.ivar)
                if passes == 1:
                    snr.append(batch.snr)
                for start in range(0, len(batch), _BLOCK):
                    rows = slice(start, start + _BLOCK)
                    yield _informative(batch.flux[rows], batch.ivar[rows])

        fitted = fit_pca(checked, self.settings, progress or Silent())
        self._report = _report(fitted)
        self._adopt(
            {
                "mean": fitted.mean,
                "components": fitted.components,
                "variances": fitted.variances,
                "scatter": fitted.scatter,
            },
            training=f"{fitted.n_spectra} spectra, {len(fitted.history)} passes",
            code_version=version("spectrarium"),
        )
        self._card = self._new_card(data, np.concatenate(snr), time.monotonic() - started)
        return self._report

    def _new_card(
        self, data: BatchFactory, snr: NDArray[np.float64], seconds: float
    ) -> dict[str, Any]:
        report, ref = self.report, self.ref
        n, history = report.n_spectra, list(report.history)
        objects = getattr(data, "objects", None)
        return {
            "encoder": "pca", "name": ref.name, "version": ref.version,
            "weights_hash": ref.weights_hash, "training": ref.training,
            "domain": self.domain.to_json(), "metric_power": self.metric_power,
            "settings": asdict(self.settings), "report": asdict(report) | {"history": history},
            "data": {
                "spectra": n, "train_spectra": n, "held_out_spectra": 0,
                "train_objects": None if objects is None else len(np.unique(objects)),
                "held_out_objects": 0, "split": "nothing is held out",
                "snr_percentiles_5_50_95": _percentiles(snr),
            },
            "history": history,
            "metrics": {
                "best_epoch": len(history) - 1, "converged": report.converged,
                "variance_explained": report.variance_explained, "held_out_loss": None,
                "training_chi2_percentiles_5_50_95": self._chi2(data, n),
            },
            "limits": LIMITS, "device": f"cpu, numpy {np.__version__}", "seconds": seconds,
            "parameters": sum(a.size for a in self._state.values()),
        }  # fmt: skip

    def _chi2(self, data: BatchFactory, n: int) -> list[float] | None:
        """Percentiles of χ² per degree of freedom over some of the `n` training spectra."""
        step, at = max(1, n // _JUDGED), 0
        found = [np.empty(0)]
        for batch in data():
            rows = np.arange(-at % step, len(batch), step)
            at += len(batch)
            if len(rows):
                out = self.encode(*_informative(batch.flux[rows], batch.ivar[rows]))
                free = out.n_pix - out.n_fit
                found.append(out.chi2[free > 0] / free[free > 0])
        return _percentiles(np.concatenate(found))

    def _adopt(self, state: dict[str, NDArray[Any]], training: str, code_version: str) -> None:
        self._state = state
        loadings = standard_loadings(state["components"], state["variances"])
        self._model = LinearModel(state["mean"], loadings, state["scatter"])
        self._ref = ModelRef(self.name, code_version, weights_hash(state), training)

    def _check(self, flux: NDArray[Any], ivar: NDArray[Any]) -> None:
        if flux.ndim != 2 or flux.shape != ivar.shape or flux.shape[1] != self.domain.n_pix:
            raise UsageError(
                f"flux {flux.shape} and ivar {ivar.shape} are not (n, {self.domain.n_pix})",
                code="wrong_grid", remedy="prepare spectra on this model's domain",
            )  # fmt: skip

    def encode(self, flux: NDArray[Any], ivar: NDArray[Any]) -> Encoded:
        """Posterior-mean coefficients by weighted least squares, the variances as prior.

        Parameters
        ----------
        flux : (n, n_pix) normalised flux on the model's grid; anything finite where ivar is 0
        ivar : (n, n_pix) its inverse variance; 0 = no information. Rows of zeros give the mean.
        """
        self._check(flux, ivar)
        if self._model is None:
            raise _unfitted()
        flux, ivar = flux.astype(F4, copy=False), ivar.astype(F4, copy=False)
        parts = [self._encode_block(flux[i : i + _BLOCK], ivar[i : i + _BLOCK])
                 for i in range(0, max(len(flux), 1), _BLOCK)]  # fmt: skip
        return Encoded(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _encode_block(self, flux: Any, ivar: Any) -> tuple[NDArray[Any], ...]:
        assert self._model is not None
        post = self._model.posterior(flux, ivar)
        root = np.sqrt(self.variances)
        used = np.einsum("nii->n", np.eye(self._model.k) - post.cov) if len(flux) else np.zeros(0)
        return (
            (post.mean * root).astype(F4),
            (np.einsum("nii->ni", post.cov) * root**2).astype(F4),
            (post.weight * post.residual**2).sum(axis=1, dtype=np.float64),
            (post.weight > 0).sum(axis=1),
            used,
        )

    def decode(self, vectors: NDArray[Any]) -> NDArray[np.float32]:
        """(n, d) coefficients → (n, n_pix) normalised flux."""
        return np.asarray(self.mean + np.asarray(vectors, dtype=F4) @ self.components)

    def metric_scale(self) -> NDArray[np.float32]:
        """(d,) variance^(−metric_power/2), in units of the first component's."""
        ratio = self.variances / self.variances[0]
        return np.asarray(ratio ** (-0.5 * self.metric_power), dtype=F4)

    def save(self, directory: Path) -> ModelRef:
        """Write ``NAME.npy`` and ``card.json`` into a new directory."""
        write_model(directory, self._state, self.card)
        return self.ref

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read back what `save` wrote.

        Raises
        ------
        DataError : ``hash_mismatch`` or ``bad_model``: weights or card are damaged
        """
        arrays, card = read_model(directory)
        with card_understood(directory):
            if not all(isinstance(v, int | float) for v in card["settings"].values()):
                raise ValueError("settings that are no numbers")
            out = cls(
                ModelDomain.from_json(card["domain"]), FitSettings(**card["settings"]),
                card["name"], float(card["metric_power"]),
            )  # fmt: skip
            report = dict(card["report"])
            out._report = FitReport(**report | {"history": tuple(report["history"])})
            _check_shapes(arrays, out.domain.n_pix)
            out._adopt(arrays, card["training"], card["version"])
            out._card = card
        return out


def _check_shapes(arrays: dict[str, NDArray[Any]], n_pix: int) -> None:
    """That the weights are those of a model of so many pixels. Raises ValueError, KeyError."""
    k = len(arrays["variances"])
    expected = {"mean": (n_pix,), "components": (k, n_pix), "variances": (k,), "scatter": (n_pix,)}
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name} is {arrays[name].shape}, the card's domain needs {shape}")


def _informative(flux: NDArray[Any], ivar: NDArray[Any]) -> Block:
    """float32, and 0 where there is no information: nothing that lies there may matter."""
    good = (ivar > 0) & np.isfinite(ivar) & np.isfinite(flux)
    return np.where(good, flux, 0).astype(F4), np.where(good, ivar, 0).astype(F4)


def _percentiles(values: NDArray[np.float64]) -> list[float] | None:
    """The 5th, 50th and 95th; None of nothing."""
    known = values[np.isfinite(values)]
    return [float(v) for v in np.percentile(known, [5, 50, 95])] if known.size else None


def _report(fitted: Fitted) -> FitReport:
    return FitReport(
        n_spectra=fitted.n_spectra,
        n_passes=len(fitted.history),
        converged=fitted.converged,
        history=fitted.history,
        variance_explained=fitted.variance_explained,
    )


def _unfitted() -> UsageError:
    return UsageError("the model has not been fitted", code="unfitted",
                      remedy="fit it or load a fitted one")  # fmt: skip
