"""Questions to an archive: what is like this, what is strange, what is it?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..domain.errors import UsageError
from ..domain.progress import Progress
from ..domain.spectrum import Spectrum
from ..run.answers import Outliers, Similar
from ..run.embedding import EmbedReport, chosen_by, embed
from ..run.layout import Map, layouts
from ..run.outliers import outliers
from ..run.quantities import Quantity, column_values
from ..run.similar import similar
from ..store.archive import Archive as Store
from ..store.archive import Rows
from .options import read_options


class Asking:
    """What `Archive` can be asked; `Archive` itself says which folder and version."""

    path: Path
    _as_of: int | None

    @property
    def store(self) -> Store:
        """The opened version underneath."""
        raise NotImplementedError

    def refresh(self) -> Any:
        """Move to the newest version."""
        raise NotImplementedError

    def _writable(self) -> None:
        raise NotImplementedError

    # asking -----------------------------------------------------------------------------------

    def embed(
        self, encoder: str = "pca", *, where: str | None = None, components: int | None = None,
        refit: bool = False, progress: Progress | None = None, wait_s: float = 60.0,
    ) -> EmbedReport:  # fmt: skip
        """Fit one model per group of comparable spectra and give each spectrum its vector."""
        self._writable()
        report = embed(
            self.path, encoder, where=where, components=components, refit=refit,
            progress=progress, wait_s=wait_s,
        )  # fmt: skip
        self.refresh()
        return report

    def models(self) -> list[dict[str, Any]]:
        """The embeddings of this version with their models."""
        out = []
        for name in self.store.names("embeddings"):
            dataset = self.store.dataset(f"embeddings/{name}")
            raw = dataset.lance.schema.metadata or {}
            meta = {k.decode(): v.decode() for k, v in raw.items() if k != b"model_name"}
            meta["where"] = chosen_by(self.store, name)
            out.append({"name": name, "covered": len(dataset), **meta})
        return out

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
        model: str | None = None, **declared: Any,
    ) -> Similar:  # fmt: skip
        """What is most like an observation, a file or a Spectrum, and why."""
        return similar(self.store, query, k, where=where, model=model,
                       options=read_options(**declared))  # fmt: skip

    def outliers(
        self, score: str = "reconstruction", k: int = 50, *, where: str | None = None,
        model: str | None = None, progress: Progress | None = None,
    ) -> Outliers:  # fmt: skip
        """What is strange, and where in wavelength."""
        found = outliers(self.path, score, k, where=where, model=model, version=self._as_of,
                         progress=progress)  # fmt: skip
        if self._as_of is None:
            self.refresh()
        return found

    def map(
        self, method: str = "umap", *, encoder: str | None = None, model: str | None = None,
        where: str | None = None, seed: int | None = None, refit: bool = False,
        progress: Progress | None = None, wait_s: float = 60.0,
    ) -> list[Map]:  # fmt: skip
        """A 2-D layout of each embedding, to look at only; what is new is placed, not refitted."""
        found = layouts(
            self.path, method, encoder=encoder, model=model, where=where, seed=seed, refit=refit,
            version=self._as_of, progress=progress, wait_s=wait_s,
        )  # fmt: skip
        if self._as_of is None:
            self.refresh()
        return found

    def column(self, name: str, rows: Rows | list[int]) -> Quantity:
        """Any column at catalogue rows, with its unit; ``class`` is the file's or the labels'."""
        return column_values(self.store, np.asarray(rows, np.int64), name)
