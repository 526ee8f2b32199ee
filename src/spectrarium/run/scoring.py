"""Scores of everything in an embedding, computed once and kept in the archive."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import norm

from ..domain.derived import NoiseSource
from ..domain.errors import TransientError, UsageError
from ..domain.progress import Progress
from ..explore.combine import combined
from ..explore.outliers import Trend, snr_correlation
from ..explore.population import label_disagreement, places, weird
from ..explore.scores import COMBINED, POPULATION, Values, score_named
from ..store.archive import Archive, Rows
from ..store.codec import hash63
from ..store.writer import open_writer
from .embedding import prepared
from .explorer import Explorer

KEEP_WAIT_S = 5.0  # an answer waits no longer for another writer to keep its scores
PARTS = ("reconstruction", "density")
"""The scores that ``combined`` puts together."""
_LAYOUT = b"4"
"""Of the tables: those of another layout are computed again."""
MAX_TOGETHER = 100_000
"""Up to so many objects, whoever asks for one forest score gets all of them kept."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A score and what it needs to know.

    score : canonical name · label : column that ``label`` judges · distance : column of distances
    that makes ``spatial`` neighbours those in space, not on the sky
    """

    score: str
    label: str | None = None
    distance: str | None = None

    def __post_init__(self) -> None:
        if (self.score == "label") != (self.label is not None):
            raise UsageError(
                "the label score needs a label" if self.score == "label" else
                f"the score {self.score} takes no label", code="bad_label",
                remedy="for example --score label --label truth.obj_class",
            )  # fmt: skip
        if self.distance is not None and self.score != "spatial":
            raise UsageError(f"the score {self.score} takes no distance", code="bad_distance",
                             remedy="use --score spatial")  # fmt: skip

    @property
    def key(self) -> str:
        """Name of its tables: a score that needs a parameter has one for each."""
        parameter = self.label or self.distance
        if parameter is None:
            return self.score
        plain = "".join(c if c.isalnum() or c in "_-" else "_" for c in parameter)
        return f"{self.score}-{plain}-{hash63(parameter.encode()) % 16**6:06x}"


def column_values(archive: Archive, rows: Rows, name: str, option: str) -> NDArray[Any]:
    """(n,) a catalogue or label column: float64 with NaN, or objects with None.

    Raises UsageError (no_column), naming columns that are spelt alike.
    """
    known = archive.columns()
    if name not in known:
        near = difflib.get_close_matches(name, known, 3, cutoff=0.5)
        near = [c for c in known if c.endswith("." + name)] or near
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(f"there is no column {name!r}", code="no_column", where=option,
                         remedy=hint + "`spectrarium catalogue list` names all")  # fmt: skip
    column = archive.catalogue(rows, [name]).column(0)
    kind = column.type
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind):
        values = np.array(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
        return np.where(np.isfinite(values), values, np.nan)
    words = [None if v is None or v == "" else str(v) for v in column.to_pylist()]
    return np.array([*words, None], object)[:-1]


def scored(
    archive: Archive, name: str, asked: Asked, progress: Progress, wait_s: float, keep: bool
) -> pa.Table:
    """The scores of one embedding: those kept if nothing came since, else computed and kept.

    keep : False = leave the archive alone; so is it where something is hidden from the asker

    Columns: uid, fingerprint, value, significance (null = abstains), snr, noise_source, reason,
    note; metadata: the model, S/N correlation, and what the score says about the whole.
    """
    stored = kept_scores(archive, name, asked)
    if stored is not None:
        return stored
    if asked.score == COMBINED:
        parts = [scored(archive, name, Asked(p), progress, wait_s, keep) for p in PARTS]
        tables = {asked: _combine(archive, parts)}
    else:
        tables = _compute(Explorer(archive, name), asked, progress)
    made = {k: _stamped(archive, name, k, t) for k, t in tables.items()}
    if keep and not archive.restricted:
        try:
            with open_writer(archive.root, min(wait_s, KEEP_WAIT_S)) as writer:
                same = writer.archive.manifest.datasets.get(f"embeddings/{name}")
                if same == archive.manifest.datasets[f"embeddings/{name}"]:
                    for key, table in made.items():
                        writer.put_table(f"scores/{key.key}.{name}", table)
        except TransientError as error:  # the answer is there, only the next asker pays again
            progress.note(f"the scores are not kept: {error.what}")
    return made[asked]


def kept_scores(archive: Archive, name: str, asked: Asked) -> pa.Table | None:
    """Scores that were computed before and still hold; None = they must be computed."""
    full = f"scores/{asked.key}.{name}"
    if not archive.has(full):
        return None
    stored = archive.table(full)
    fits = _made_of(archive, name, asked).items() <= (stored.schema.metadata or {}).items()
    return stored if fits else None


def still_holds(archive: Archive, name: str, table: pa.Table) -> bool:
    """Whether a kept table of any score is of this version of its embedding and catalogue."""
    made = _made_of(archive, name, Asked(COMBINED))
    return made.items() <= (table.schema.metadata or {}).items()


def _made_of(archive: Archive, name: str, asked: Asked) -> dict[bytes, bytes]:
    """What scores were made from; if any of it changes they are computed again."""
    out = {
        b"layout": _LAYOUT,
        b"embedding_version": str(archive.manifest.datasets[f"embeddings/{name}"]).encode(),
        b"catalogue_rows": str(archive.catalogue_rows).encode(),
    }
    column = asked.label or asked.distance
    if column is not None:
        source = archive.columns().get(column, "")
        out[b"column"] = f"{column} {archive.manifest.datasets.get(source)}".encode()
    return out


def _stamped(archive: Archive, name: str, asked: Asked, table: pa.Table) -> pa.Table:
    meta = (table.schema.metadata or {}) | _made_of(archive, name, asked)
    return table.replace_schema_metadata(meta)


def _compute(explorer: Explorer, asked: Asked, progress: Progress) -> dict[Asked, pa.Table]:
    if asked.score not in POPULATION:
        return {asked: _by_pixels(explorer, asked.score, progress)}
    snr, noise = _facts(explorer, progress)
    archive, rows = explorer.archive, explorer.rows
    if asked.label is not None:
        label = column_values(archive, rows, asked.label, "--label")
        found = {asked: label_disagreement(explorer.index, label, asked.label, progress=progress)}
        return {k: _table(explorer, explorer.uid, v, snr, noise) for k, v in found.items()}
    few = len(rows) <= MAX_TOGETHER
    values = weird(explorer.index, _places(archive, rows, asked), progress=progress,
                   spectral=few or asked.score == "spectral").values  # fmt: skip
    out = {}
    for score, v in values.items():
        key = asked if score == asked.score else Asked(score)
        out[key] = _table(explorer, explorer.uid, v, snr, noise)
    return out


def _places(archive: Archive, rows: Rows, asked: Asked) -> NDArray[np.float64] | None:
    """Where objects are, if it is asked for or costs little to know."""
    ra, dec = (column_values(archive, rows, c, "") for c in ("s_ra", "s_dec"))
    far = None
    if asked.distance is not None:
        far = column_values(archive, rows, asked.distance, "--distance")
        if far.dtype == object:
            raise UsageError(f"{asked.distance} is text, not a distance", code="bad_distance",
                             where="--distance", remedy="name a column of numbers")  # fmt: skip
    place = places(ra, dec, far)
    few = len(rows) <= MAX_TOGETHER and np.isfinite(place[:, 0]).mean() > 0.5
    return place if asked.score == "spatial" or few else None


def _facts(explorer: Explorer, progress: Progress) -> tuple[NDArray[np.float64], list[str]]:
    """S/N and origin of the noise of the explorer's rows; those not embedded yet are read."""
    table = explorer.table
    known = dict(zip(
        table.column("uid").to_pylist(),
        zip(table.column("snr").to_pylist(), table.column("noise_source").to_pylist(),
            strict=True), strict=True))  # fmt: skip
    archive = explorer.archive
    new = np.array([u not in known for u in explorer.uid.tolist()], bool)
    for batch, chunk, _ in prepared(archive, explorer.preparer, explorer.rows[new]):
        uid = archive.index.value("uid", chunk[batch.index])
        noise = (s.value for s in batch.noise_source)
        known |= dict(zip(uid.tolist(), zip(batch.snr.tolist(), noise, strict=True), strict=True))
    facts = [known.get(u, (np.nan, NoiseSource.UNKNOWN.value)) for u in explorer.uid.tolist()]
    return np.array([np.nan if s is None else s for s, _ in facts], float), [n for _, n in facts]


def _by_pixels(explorer: Explorer, score: str, progress: Progress) -> pa.Table:
    """A score of single spectra: one pass over all of them."""
    function = score_named(score)
    archive, model = explorer.archive, explorer.model
    value, ranked, snr, uid = [], [], [], []
    noise: list[str] = []
    reason: dict[int, str] = {}
    note: dict[int, str] = {}
    progress.start(f"scoring {explorer.name}", len(explorer.rows))
    for batch, chunk, _ in prepared(archive, explorer.preparer, np.sort(explorer.rows)):
        _stop_if_cancelled(progress)
        progress.advance(len(chunk))
        if not len(batch):
            continue
        ids = archive.index.value("uid", chunk[batch.index])
        encoded = model.encode(batch.flux, batch.ivar)
        values = function(model, batch, encoded, explorer.index, ids)
        reason |= {len(noise) + i: why for i, why in values.reason.items()}
        note |= {len(noise) + i: what for i, what in values.note.items()}
        value.append(values.value)
        ranked.append(values.ranked)
        snr.append(batch.snr)
        uid.append(ids)
        noise += [s.value for s in batch.noise_source]
    if not uid:
        raise UsageError(f"no spectrum of {explorer.name} is left to score", code="too_few_spectra",
                         remedy="run `spectrarium embed` again")  # fmt: skip
    whole = Values(score, np.concatenate(value), None, reason, np.concatenate(ranked), note)
    return _table(explorer, np.concatenate(uid), whole, np.concatenate(snr), noise)


def _stop_if_cancelled(progress: Progress) -> None:
    if progress.cancelled():
        raise TransientError("cancelled: nothing was stored", code="cancelled",
                             remedy="run the same command again")  # fmt: skip


def _table(
    explorer: Explorer, uid: NDArray[Any], values: Values, snr: NDArray[np.float64],
    noise: list[str],
) -> pa.Table:  # fmt: skip
    value, ranked = values.value, np.where(np.isfinite(values.value), values.ranked, np.nan)
    significance = Trend.of(ranked, snr, values.least_spread).significance(ranked, snr)
    archive, ref = explorer.archive, explorer.model.ref
    judged = np.isfinite(value) & np.isfinite(significance)
    reason = [
        "" if judged[i] else values.reason.get(i, "score is not finite")
        for i in range(len(value))
    ]  # fmt: skip
    meta = {
        "model_id": ref.model_id, "weights_hash": ref.weights_hash, "score": values.name,
        "snr_correlation": f"{snr_correlation(value, snr):.4f}",
        "not_searched": str(explorer.not_searched), **values.facts,
    }  # fmt: skip
    return pa.table({
        "uid": uid, "fingerprint": archive.index.value("fingerprint", archive.rows_of(uid)),
        "value": pa.array(value, mask=~judged),
        "significance": pa.array(significance, mask=~judged),
        "snr": snr, "noise_source": noise, "reason": reason,
        "note": [values.note.get(i, "") for i in range(len(value))],
    }).replace_schema_metadata(meta)  # fmt: skip


def _combine(archive: Archive, parts: list[pa.Table]) -> pa.Table:
    """The parts' ranks as one score; its significance is the σ of a Gaussian beyond which the share
    of objects lies that is at least as strange."""
    first = parts[0]
    uid = first.column("uid").to_numpy()
    columns, reasons = [], []
    for table in parts:
        other = table.column("uid").to_numpy()
        order = np.argsort(other, kind="stable")
        at = order[np.minimum(np.searchsorted(other[order], uid), len(other) - 1)]
        part = table.column("significance").to_numpy(zero_copy_only=False)[at].astype(float)
        columns.append(np.where(other[at] == uid, part, np.nan))
        reasons.append(table.column("reason").take(pa.array(at)).to_pylist())
    value = combined(columns)
    snr = first.column("snr").to_numpy(zero_copy_only=False)
    # the parts stand against their S/N already: a second time would undo the ranks
    significance = norm.isf(np.exp(-value))
    judged = np.isfinite(significance)
    why = [next((w for w in each if w), "a part of it abstains")
           for each in zip(*reasons, strict=True)]  # fmt: skip
    meta = {k: v for k, v in (first.schema.metadata or {}).items() if k in
            (b"model_id", b"weights_hash", b"not_searched")}  # fmt: skip
    meta |= {b"score": COMBINED.encode(), b"parts": ", ".join(PARTS).encode(),
             b"snr_correlation": f"{snr_correlation(value, snr):.4f}".encode()}  # fmt: skip
    words = [", ".join(f"{n} {s:+.1f} σ" for n, s in zip(PARTS, each, strict=True))
             for each in zip(*columns, strict=True)]  # fmt: skip
    return pa.table({
        "uid": uid, "fingerprint": first.column("fingerprint"),
        "value": pa.array(value, mask=~judged),
        "significance": pa.array(significance, mask=~judged),
        "snr": snr, "noise_source": first.column("noise_source"),
        "reason": ["" if j else w for j, w in zip(judged, why, strict=True)],
        "note": [w if j else "" for j, w in zip(judged, words, strict=True)],
    }).replace_schema_metadata(meta)  # fmt: skip
