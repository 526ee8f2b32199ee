"""A model with its vectors, ready for questions, and the spectrum a question is about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..domain.derived import Embedding
from ..domain.errors import DataError, UsageError
from ..domain.spectrum import Spectrum
from ..embed.encoder import Encoded, Encoder
from ..embed.prepare import Prepared, Preparer
from ..explore.neighbours import ExactIndex
from ..read.registry import read_source
from ..read.source import ReadOptions, SourceFile
from ..store.archive import Archive, Rows
from .embedding import chosen_by, load_model, made_at, prepared, summaries

PENDING_MOST = 20_000
"""Spectra newer than an embedding that a question encodes on the spot; beyond, `embed` first."""


class Explorer:
    """A model with its vectors, ready for questions. One per embedding of one archive version."""

    def __init__(self, archive: Archive, name: str) -> None:
        self.archive = archive
        self.name = name
        self.model: Encoder = load_model(archive, name)
        self.preparer = Preparer(self.model.domain)
        table = archive.table(f"embeddings/{name}")
        uid = table.column("uid").to_numpy()
        rows = archive.rows_of(uid)
        live = rows >= 0
        same = np.zeros(len(uid), bool)
        same[live] = (
            archive.index.value("fingerprint", rows[live])
            == table.column("fingerprint").to_numpy()[live]
        )  # a changed spectrum has no vector until it is embedded again
        table, self.rows = table.filter(pa.array(same)), rows[same]
        self.table = table
        vectors = table.column("vector").combine_chunks().flatten().to_numpy(zero_copy_only=False)
        vectors = vectors.reshape(table.num_rows, -1)
        self.uid = table.column("uid").to_numpy()
        self._add_pending(vectors)

    def _add_pending(self, vectors: NDArray[np.float32]) -> None:
        """Take in what came since: the answer is always about the whole archive."""
        self.pending = 0
        self.not_searched = 0
        todo = _came_since(self.archive, self.name)
        if len(todo):
            facts = summaries(self.archive, todo)
            fits = np.array([self.model.domain.covers(f)[0] for f in facts], bool)
            todo = todo[fits]
        self.not_searched = max(0, len(todo) - PENDING_MOST)
        parts, rows = [vectors], [self.rows]
        if len(todo) and not self.not_searched:
            for batch, chunk, _ in prepared(self.archive, self.preparer, todo):
                if len(batch):
                    parts.append(self.model.encode(batch.flux, batch.ivar).vectors)
                    rows.append(chunk[batch.index])
                    self.pending += len(batch)
        self.rows = np.concatenate(rows)
        self.uid = self.archive.index.value("uid", self.rows)
        embedding = Embedding(self.model.ref, np.concatenate(parts), self.uid)
        self.index = ExactIndex(embedding, self.model.metric_scale())

    def prepare(self, spectrum: Spectrum) -> tuple[Prepared, Encoded]:
        """A spectrum on this model's grid and its vector. Raises UsageError (not_covered)."""
        batch, left = self.preparer.batch([spectrum])
        if left:
            raise UsageError(f"model {self.name} does not cover it: {left[0].reason}",
                             code="not_covered")  # fmt: skip
        return batch, self.model.encode(batch.flux, batch.ivar)


def _came_since(archive: Archive, name: str) -> Rows:
    """Current rows newer than an embedding that no embedding holds, of those it is for."""
    rows = archive.find(where=chosen_by(archive, name))
    rows = rows[rows >= made_at(archive, name)]
    for other in archive.names("embeddings"):
        if not len(rows):
            break
        prints = archive.index.value("fingerprint", rows)
        known = archive.table(f"embeddings/{other}", ["fingerprint"]).column(0).to_numpy()
        rows = rows[~np.isin(prints, known)]
    return rows


def query_spectrum(archive: Archive, text: str, options: ReadOptions | None = None) -> Spectrum:
    """The spectrum a user named: an archive id, or a file whose first good spectrum is taken."""
    if Path(text).is_file():
        problems: list[DataError] = []
        for item in read_source(SourceFile.open(text, options)):
            if isinstance(item, Spectrum):
                return item
            if isinstance(item, DataError):
                problems.append(item)
        if problems:
            raise problems[0]
        raise UsageError("the file holds no spectrum", code="not_a_spectrum", where=text)
    return archive.read(text)


def covering(
    archive: Archive, spectrum: Spectrum, own: int | None, model: str | None,
    explorer: Explorer | None,
) -> tuple[Explorer, Prepared, Encoded]:  # fmt: skip
    names = [model] if model else archive.names("embeddings")
    if not names:
        raise UsageError("nothing is embedded yet", code="no_model",
                         remedy="run `spectrarium embed --encoder pca` first")  # fmt: skip
    names.sort(key=lambda n: -archive.manifest.rows.get(f"embeddings/{n}", 0))
    reasons = []
    for name in names:
        candidate = explorer if explorer and explorer.name == name else Explorer(archive, name)
        try:
            batch, encoded = candidate.prepare(spectrum)
        except UsageError as error:
            reasons.append(error.what)
            continue
        return candidate, batch, encoded
    raise UsageError(
        f"no model covers this spectrum: {'; '.join(reasons)}", code="not_covered",
        where=spectrum.observation.obs_id or spectrum.provenance.path,
        remedy="declare what its file leaves out (--medium, --specsys, --flux-unit), or ingest "
        "more spectra like it and run `spectrarium embed` again",
    )  # fmt: skip
