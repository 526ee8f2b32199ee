"""Questions to an archive: what is like this, what is strange, what is it?"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..domain.errors import UsageError
from ..domain.progress import Progress
from ..domain.spectrum import Spectrum
from ..measure.lines import WIDTH_KMS
from ..store.archive import Archive as Store
from ..store.archive import Rows
from .options import read_options

if TYPE_CHECKING:
    from ..run.answers import Outliers, Similar
    from ..run.embedding import EmbedReport
    from ..run.layout import Map
    from ..run.meaning import Meaning
    from ..run.quantities import Quantity
    from ..run.tag_answers import TagTable
    from ..run.tag_apply import ApplyReport
    from ..run.tagging import TagTraining
    from ..run.train_options import TrainReport


class Asking(ABC):
    """What `Archive` can be asked; `Archive` itself says which folder and version."""

    path: Path
    _as_of: int | None

    @property
    @abstractmethod
    def store(self) -> Store:
        """The opened version underneath."""

    @abstractmethod
    def refresh(self) -> Any:
        """Move to the newest version."""

    @abstractmethod
    def _writable(self) -> None: ...

    # asking -----------------------------------------------------------------------------------

    def train(
        self, encoder: str, *, progress: Progress | None = None, wait_s: float = 60.0,
        **options: Any,
    ) -> TrainReport:  # fmt: skip
        """Teach an encoder each group of comparable spectra; `embed` then gives vectors.

        options : those of `TrainOptions`: latent, device, where, any_coverage, rest, telluric,
            range_aa, epochs, batch, seed, name, object_column, max_train, max_pixels, weights, and
            settings, a dict of any others that the encoder has (width, depth, beta …)
        Raises UsageError (no_such_option) for any other.
        """
        from ..run.train_options import TrainOptions
        from ..run.training import train

        self._writable()
        wrong = sorted(set(options) - set(TrainOptions.__dataclass_fields__))
        if wrong:
            raise UsageError(f"training has no option {wrong[0]!r}", code="no_such_option",
                             remedy="see the help of Archive.train")  # fmt: skip
        report = train(self.path, TrainOptions(encoder, **options), progress=progress,
                       wait_s=wait_s)  # fmt: skip
        self.refresh()
        return report

    def embed(
        self, encoder: str = "pca", *, where: str | None = None, components: int | None = None,
        refit: bool = False, device: str = "auto", progress: Progress | None = None,
        wait_s: float = 60.0,
    ) -> EmbedReport:  # fmt: skip
        """Give each spectrum that a model covers its vector; pca is fitted here, others by `train`.

        Raises UsageError (not_trained) where the encoder has no model yet.
        """
        from ..run.embedding import embed

        self._writable()
        report = embed(
            self.path, encoder, where=where, components=components, refit=refit, device=device,
            progress=progress, wait_s=wait_s,
        )  # fmt: skip
        self.refresh()
        return report

    def models(self) -> list[dict[str, Any]]:
        """The models of this version, embedded or only trained, with what each was made of."""
        from ..run.trained import model_records

        return model_records(self.store)

    def model_card(self, name: str) -> dict[str, Any]:
        """The card of one model: data, split, settings, metrics, limits, preparation."""
        from ..run.trained import model_card

        return model_card(self.store, name)

    def members(self, model: str | None) -> Rows:
        """Catalogue rows that a model covers, or (None) those that no model does."""
        store = self.store
        if model is not None and model not in store.names("embeddings"):
            raise UsageError(f"there is no model {model!r}", code="no_model",
                             remedy="`spectrarium models` names them")  # fmt: skip
        rows = store.find()
        held = np.zeros(len(rows), bool)
        for name in [model] if model else store.names("embeddings"):
            prints = store.table(f"embeddings/{name}", ["fingerprint"]).column(0).to_numpy()
            held |= np.isin(store.index.value("fingerprint", rows), prints)
        return rows[held if model else ~held]

    def similar(
        self, query: str | Spectrum, k: int = 20, *, where: str | None = None,
        model: str | None = None, encoder: str | None = None,
        window: tuple[float, float] | None = None, air: bool = False, line: str | None = None,
        width_kms: float = WIDTH_KMS, rest: bool = False, redshift: float | None = None,
        rerank: bool = False, exact: bool = False, explain: bool = False,
        approximate_from: int | None = None, progress: Progress | None = None, **declared: Any,
    ) -> Similar:  # fmt: skip
        """What is most like an observation, a file or a Spectrum, and why: see `run.similar`."""
        from ..run.similar import similar

        return similar(
            self.store, query, k, where=where, model=model, encoder=encoder, window=window,
            air=air, line=line, width_kms=width_kms, rest=rest, redshift=redshift, rerank=rerank,
            exact=exact, explain=explain, approximate_from=approximate_from, progress=progress,
            options=read_options(**declared),
        )  # fmt: skip

    def outliers(
        self, score: str = "combined", k: int = 50, *, where: str | None = None,
        model: str | None = None, encoder: str | None = None, label: str | None = None,
        distance: str | None = None, seen_in_bins_of: str | None = None,
        progress: Progress | None = None,
    ) -> Outliers:  # fmt: skip
        """What is strange, where in wavelength, and whether it looks like a fault or like nature.

        score : combined, reconstruction, density, total, spectral, spatial, label, or one of an
            installed package · label : column that the score ``label`` judges · distance : column
            of distances, for ``spatial`` · seen_in_bins_of : column within whose bins objects rank
        """
        from ..run.outliers import outliers

        found = outliers(
            self.path, score, k, where=where, model=model, encoder=encoder, label=label,
            distance=distance, seen_in_bins_of=seen_in_bins_of, version=self._as_of,
            progress=progress,
        )  # fmt: skip
        if self._as_of is None:
            self.refresh()
        return found

    def map(
        self, method: str = "umap", *, encoder: str | None = None, model: str | None = None,
        where: str | None = None, seed: int | None = None, refit: bool = False,
        progress: Progress | None = None, wait_s: float = 60.0,
    ) -> list[Map]:  # fmt: skip
        """A 2-D layout of each embedding, to look at only; what is new is placed, not refitted."""
        from ..run.layout import layouts

        found = layouts(
            self.path, method, encoder=encoder, model=model, where=where, seed=seed, refit=refit,
            version=self._as_of, progress=progress, wait_s=wait_s,
        )  # fmt: skip
        if self._as_of is None:
            self.refresh()
        return found

    def meaning(
        self, *, encoder: str | None = None, model: str | None = None, against: Sequence[str] = (),
        objects: str | None = None, where: str | None = None, seed: int = 0,
        progress: Progress | None = None,
    ) -> list[Meaning]:  # fmt: skip
        """What each embedding knows of physics and of nuisances, beside raw pixels and PCA."""
        from ..run.meaning import meaning

        return meaning(
            self.path, encoder=encoder, model=model, against=against, objects=objects,
            where=where, seed=seed, version=self._as_of, progress=progress,
        )  # fmt: skip

    def column(self, name: str, rows: Rows | list[int]) -> Quantity:
        """Any column at catalogue rows, with its unit; ``class`` is the file's or the labels'."""
        from ..run.quantities import column_values

        return column_values(self.store, np.asarray(rows, np.int64), name)

    # tags -------------------------------------------------------------------------------------

    def tag_train(
        self, label: str, source: str | os.PathLike[str] | None = None, *, key: str = "obs_id",
        progress: Progress | None = None, wait_s: float = 60.0, **options: Any,
    ) -> TagTraining:  # fmt: skip
        """Learn a label; `source` is a catalogue to join first, by `key` (and `on`).

        options : on, kind, where, name, unit, models, heads, object_column, seed, workers
        """
        from ..run.tagging import tag_train

        self._writable()
        report = tag_train(self.path, label, None if source is None else Path(source), key=key,
                           progress=progress, wait_s=wait_s, **options)  # fmt: skip
        self.refresh()
        return report

    def tag_apply(
        self, label: str | None = None, *, where: str | None = None,
        progress: Progress | None = None, wait_s: float = 60.0,
    ) -> ApplyReport:  # fmt: skip
        """Give every tag learnt (or one) to the observations that do not have it yet."""
        from ..run.tag_apply import tag_apply

        self._writable()
        report = tag_apply(self.path, label, where=where, progress=progress, wait_s=wait_s)
        self.refresh()
        return report

    def tags(self, identifier: str) -> list[dict[str, Any]]:
        """All tags of one observation, each with intervals, model, training set and evidence."""
        from ..run.tag_answers import tags_of

        return tags_of(self.store, identifier)

    def tag_table(self, label: str, where: str | None = None) -> TagTable:
        """One tag of all observations, beside the catalogue's own values."""
        from ..run.tag_answers import tag_overview

        return tag_overview(self.store, label, where)
