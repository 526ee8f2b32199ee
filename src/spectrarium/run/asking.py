"""The two questions: what is like this one, and what is strange here?"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..domain.derived import Embedding, Region
from ..domain.errors import DataError, TransientError, UsageError
from ..domain.progress import Progress, Silent
from ..domain.spectrum import Spectrum
from ..embed.encoder import Encoded, Encoder
from ..embed.prepare import Prepared, Preparer
from ..explore.explain import why
from ..explore.neighbours import ExactIndex
from ..explore.outliers import Trend, score_named, scores, snr_correlation, top
from ..read.registry import read_source
from ..read.source import ReadOptions, SourceFile
from ..store.archive import Archive, Rows
from ..store.codec import encode
from ..store.writer import open_writer
from .answers import Answer, Outliers, Similar
from .embedding import chosen_by, load_model, made_at, prepared, summaries

KEEP_WAIT_S = 5.0  # an answer waits no longer for another writer to keep its scores
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


def similar(
    archive: Archive,
    query: str | Spectrum,
    k: int = 20,
    *,
    where: str | None = None,
    model: str | None = None,
    options: ReadOptions | None = None,
    explorer: Explorer | None = None,
) -> Similar:
    """The k spectra most like the query, with where they agree and differ.

    query : id, file or Spectrum · model : embedding name; None = the largest that covers it
    Raises UsageError when no model covers the query, saying why for each.
    """
    if k < 1:
        raise UsageError(f"k is {k}", code="bad_k", remedy="ask for one neighbour or more")
    spectrum = query if isinstance(query, Spectrum) else query_spectrum(archive, query, options)
    own = _own_uid(archive, query, spectrum)
    explorer, batch, encoded = _covering(archive, spectrum, own, model, explorer)
    allowed = None
    if where is not None:
        allowed = np.isin(explorer.rows, archive.find(where=where))
    found = explorer.index.search(
        encoded.vectors, k, model=explorer.model.ref, allowed=allowed,
        exclude=None if own is None else np.array([own]),
    )  # fmt: skip
    uid, distance = found.obs_uid[0], found.distance[0]
    good = uid >= 0
    rows = archive.rows_of(uid[good])
    answers = _explained(explorer, batch, rows, distance[good])
    return Similar(
        query=query if isinstance(query, str) else spectrum.observation.obs_id or "query",
        query_spectrum=spectrum, model=explorer.model.ref.model_id,
        wave_aa=explorer.model.domain.wave_aa, query_flux=batch.flux[0],
        query_ivar=batch.ivar[0], answers=answers,
        searched=int(allowed.sum()) if allowed is not None else len(explorer.index),
        frame=explorer.model.domain.frame,
    )  # fmt: skip


def _own_uid(archive: Archive, query: str | Spectrum, spectrum: Spectrum) -> int | None:
    """The query's own uid if it is in the archive: it is not its own neighbour."""
    if isinstance(query, Spectrum) or Path(query).is_file():
        uid = encode(spectrum).uid
        return uid if archive.rows_of([uid])[0] >= 0 else None
    return int(archive.index.value("uid", np.array([archive.resolve(query)]))[0])


def _covering(
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


def _explained(
    explorer: Explorer, query: Prepared, rows: Rows, distance: NDArray[np.float64]
) -> list[Answer]:
    model, wave = explorer.model, explorer.model.domain.wave_aa
    mean = model.decode(np.zeros((1, explorer.index.vectors(np.array([0])).shape[-1]), "f4"))[0]
    answers = []
    spectra = explorer.archive.read_rows(rows) if len(rows) else []
    batch, _ = explorer.preparer.batch(spectra)
    at = {int(i): n for n, i in enumerate(batch.index)}
    for rank, (row, far) in enumerate(zip(rows.tolist(), distance, strict=True), 1):
        n = at[rank - 1]
        because = why(wave, query.flux[0], query.ivar[0], batch.flux[n], batch.ivar[n], mean,
                      model.scatter)  # fmt: skip
        answers.append(Answer(
            row=row, rank=rank, value=float(far), snr=float(batch.snr[n]),
            noise_source=batch.noise_source[n].value, drivers=because.differs,
            alike=because.alike, chi2=because.chi2, model=model.ref.model_id,
            flux=batch.flux[n], ivar=batch.ivar[n],
        ))  # fmt: skip
    return answers


def outliers(
    root: Path,
    score: str = "reconstruction",
    k: int = 50,
    *,
    where: str | None = None,
    model: str | None = None,
    version: int | None = None,
    progress: Progress | None = None,
    wait_s: float = 60.0,
) -> Outliers:
    """The k strangest observations, with where in wavelength each departs.

    Scores are computed once for each model and kept in the archive (``scores/SCORE.MODEL``);
    they are ranked by how far they lie above what is usual at the same S/N.
    """
    if k < 1:
        raise UsageError(f"k is {k}", code="bad_k", remedy="ask for one outlier or more")
    score_named(score)
    archive = Archive(root, version)
    names = [model] if model else archive.names("embeddings")
    if not names:
        raise UsageError("nothing is embedded yet", code="no_model",
                         remedy="run `spectrarium embed --encoder pca` first")  # fmt: skip
    if model is not None:
        load_model(archive, model)  # refuses a name that is none, listing those there are
    out = Outliers(score, [], {}, {}, {}, {}, {})
    tables = {}
    for name in names:
        tables[name] = _scored(archive, name, score, progress or Silent(), wait_s, version is None)
    _rank(archive, tables, k, where, out)
    return out


def _scored(
    archive: Archive, name: str, score: str, progress: Progress, wait_s: float, keep: bool
) -> pa.Table:
    """The scores of one embedding: those kept if nothing came since, else computed and kept."""
    full = f"scores/{score}.{name}"
    made_of = {
        b"embedding_version": str(archive.manifest.datasets[f"embeddings/{name}"]).encode(),
        b"catalogue_rows": str(archive.catalogue_rows).encode(),
    }
    if full in archive.manifest.datasets:
        stored = archive.table(full)
        if made_of.items() <= (stored.schema.metadata or {}).items():
            return stored
    table = _compute(Explorer(archive, name), score, progress)
    table = table.replace_schema_metadata((table.schema.metadata or {}) | made_of)
    if keep:
        try:
            with open_writer(archive.root, min(wait_s, KEEP_WAIT_S)) as writer:
                if writer.archive.version == archive.version:
                    writer.put_table(full, table)
        except TransientError as error:  # the answer is there, only the next asker pays again
            progress.note(f"the scores are not kept: {error.what}")
    return table


def _compute(explorer: Explorer, score: str, progress: Progress) -> pa.Table:
    function = score_named(score)
    archive, model = explorer.archive, explorer.model
    wave = model.domain.wave_aa
    value, snr, uid, kept = [], [], [], []
    progress.start(f"scoring {explorer.name}", len(explorer.rows))
    for batch, chunk, _ in prepared(archive, explorer.preparer, np.sort(explorer.rows)):
        progress.advance(len(chunk))
        if not len(batch):
            continue
        ids = archive.index.value("uid", chunk[batch.index])
        encoded = model.encode(batch.flux, batch.ivar)
        values = function(model, batch, encoded, explorer.index, ids)
        found = scores(values, np.zeros(len(batch)), batch, ids, wave)
        value.append(values.value)
        snr.append(batch.snr)
        uid.append(ids)
        kept += found
    values_, snr_ = np.concatenate(value), np.concatenate(snr)
    significance = Trend.of(values_, snr_).significance(values_, snr_)
    ids_ = np.concatenate(uid)
    meta = {
        "model_id": model.ref.model_id, "weights_hash": model.ref.weights_hash, "score": score,
        "snr_correlation": f"{snr_correlation(values_, snr_):.4f}",
    }  # fmt: skip
    return pa.table({
        "uid": ids_, "fingerprint": archive.index.value("fingerprint", archive.rows_of(ids_)),
        "value": pa.array(values_, mask=~np.isfinite(values_)),
        "significance": pa.array(significance, mask=~np.isfinite(significance)),
        "snr": snr_, "noise_source": [s.noise_source.value for s in kept],
        "reason": [s.reason for s in kept],
        "drivers": [json.dumps([list(d) for d in s.drivers]) for s in kept],
    }).replace_schema_metadata(meta)  # fmt: skip


def _rank(
    archive: Archive, tables: dict[str, pa.Table], k: int, where: str | None, out: Outliers
) -> None:
    allowed = None if where is None else archive.find(where=where)
    found = []
    for name, table in tables.items():
        rows = archive.rows_of(table.column("uid").to_numpy())
        keep = rows >= 0
        if allowed is not None:
            keep &= np.isin(rows, allowed)
        table, rows = table.filter(pa.array(keep)), rows[keep]
        significance = table.column("significance").to_numpy(zero_copy_only=False)
        out.judged[name] = int(np.isfinite(significance.astype(float)).sum())
        out.abstained[name] = table.num_rows - out.judged[name]
        meta = table.schema.metadata or {}
        out.correlation[name] = float(meta.get(b"snr_correlation", b"nan"))
        best = top(significance.astype(float), table.column("uid").to_numpy(), k)
        found += [(float(significance[i]), int(rows[i]), name, table.slice(i, 1)) for i in
                  best.tolist()]  # fmt: skip
    found.sort(key=lambda f: (-f[0], f[1]))
    seen: set[int] = set()  # one entry an observation, by the model it is strangest to
    found = [f for f in found if not (f[1] in seen or seen.add(f[1]))]  # type: ignore[func-returns-value]
    explorers: dict[str, tuple[Encoder, Preparer]] = {}
    for rank, (significance_, row, name, record) in enumerate(found[:k], 1):
        if name not in explorers:
            model = load_model(archive, name)
            explorers[name] = (model, Preparer(model.domain))
            out.waves[model.ref.model_id] = model.domain.wave_aa
            out.frames[model.ref.model_id] = model.domain.frame
        out.answers.append(_answer(archive, explorers[name], rank, row, significance_, record))


def _answer(
    archive: Archive, explorer: tuple[Encoder, Preparer], rank: int, row: int,
    significance: float, record: pa.Table,
) -> Answer:  # fmt: skip
    model, preparer = explorer
    r = record.to_pylist()[0]
    batch, _ = preparer.batch(archive.read_rows([row]))
    model_flux = model.decode(model.encode(batch.flux, batch.ivar).vectors)[0]
    return Answer(
        row=row, rank=rank, value=r["value"], snr=r["snr"], noise_source=r["noise_source"],
        drivers=tuple(Region(*d) for d in json.loads(r["drivers"])), significance=significance,
        reason=r["reason"], model=model.ref.model_id, flux=batch.flux[0], ivar=batch.ivar[0],
        reconstruction=model_flux,
    )  # fmt: skip
