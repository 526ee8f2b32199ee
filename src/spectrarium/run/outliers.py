"""What is strange here?"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..domain.derived import Region
from ..domain.errors import TransientError, UsageError
from ..domain.progress import Progress, Silent
from ..embed.encoder import Encoder
from ..embed.prepare import Preparer
from ..explore.outliers import Trend, score_named, scores, snr_correlation, top
from ..store.archive import Archive
from ..store.writer import open_writer
from .answers import Answer, Outliers
from .embedding import load_model, prepared
from .explorer import Explorer

KEEP_WAIT_S = 5.0  # an answer waits no longer for another writer to keep its scores


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
