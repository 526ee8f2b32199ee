"""A map of each embedding, kept in the archive; what comes later is placed on it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..domain.errors import TransientError, UsageError
from ..domain.progress import Progress, Silent
from ..domain.visibility import EVERYTHING, Visibility
from ..explore.layout import (
    LEAST_POINTS,
    Layout,
    Placement,
    Quality,
    far_from_all,
    layout,
    method_named,
    place,
)
from ..store.archive import Archive, Rows
from ..store.codec import hash63
from ..store.writer import open_writer
from .explorer import Explorer

KEEP_WAIT_S = 5.0  # a map waits no longer for another writer to be kept


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """One embedding in the plane. For display only: no distance is taken from it.

    rows : (n,) catalogue rows · xy : (n, 2) float32 · placed : (n,) True for those that came after
    the map was laid out and were put among their neighbours · new : of them, those of this call
    made : whether it was laid out now · embedding_version : of the vectors it was laid out from
    """

    name: str
    method: str
    model: str
    rows: Rows = field(repr=False)
    xy: NDArray[np.float32] = field(repr=False)
    placed: NDArray[np.bool_] = field(repr=False)
    axes: tuple[str, str]
    settings: dict[str, Any]
    quality: Quality
    placement: Placement
    embedding_version: int
    new: int = 0
    made: bool = True
    note: str = ""

    def record(self) -> dict[str, Any]:
        """Plain fields, without the positions."""
        return {
            "model": self.name, "method": self.method, "model_id": self.model,
            "points": len(self.rows), "placed": int(self.placed.sum()), "placed_now": self.new,
            "laid_out_now": self.made, "settings": self.settings,
            "embedding_version": self.embedding_version, "quality": asdict(self.quality),
            "placement": asdict(self.placement), "note": self.note,
        }  # fmt: skip


def layouts(
    root: Path,
    method: str = "umap",
    *,
    encoder: str | None = None,
    model: str | None = None,
    where: str | None = None,
    seed: int | None = None,
    refit: bool = False,
    version: int | None = None,
    visibility: Visibility = EVERYTHING,
    progress: Progress | None = None,
    wait_s: float = 60.0,
) -> list[Map]:
    """A map of each embedding asked for, largest first (``maps/METHOD.EMBEDDING``).

    A map that exists is kept: observations that came since are placed among their neighbours. It
    is laid out anew when asked to, for another seed, or when the model was fitted again.

    encoder, model : only this encoder's embeddings, or only this one; None = all
    visibility : of the asker; a map of only a part of what there is is not kept
    Raises UsageError for unknown names, and when no embedding has enough points.
    """
    method_named(method)
    archive = Archive(root, version, visibility)
    allowed = None if where is None else archive.find(where=where)
    maps: list[Map] = []
    problems: list[UsageError] = []
    for name in embeddings_of(archive, encoder, model):
        try:
            found = _one(archive, name, method, where, allowed, seed, refit, progress or Silent())
        except UsageError as error:
            if error.code != "too_few_spectra":
                raise
            problems.append(error)
            continue
        if version is None and not archive.restricted and (found.made or found.new):
            _keep(archive, found, where, progress or Silent(), min(wait_s, KEEP_WAIT_S))
        maps.append(found)
    if not maps and problems:
        raise problems[0]
    return maps


def embeddings_of(
    archive: Archive, encoder: str | None = None, model: str | None = None
) -> list[str]:
    """Names of the embeddings asked for, largest first. Raises UsageError (no_model)."""
    there = archive.names("embeddings")
    names = [n for n in there if model in (None, n)]
    names = [n for n in names if encoder is None or n.split(".", 1)[0] == encoder]
    if not names:
        asked = model or encoder
        raise UsageError(
            f"there is no model {asked!r}" if asked and there else "nothing is embedded yet",
            code="no_model",
            remedy="models: " + (", ".join(there) or "none yet; run `spectrarium embed`"),
        )  # fmt: skip
    return sorted(names, key=lambda n: (-archive.held(f"embeddings/{n}"), n))


def _one(
    archive: Archive, name: str, method: str, where: str | None, allowed: Rows | None,
    seed: int | None, refit: bool, progress: Progress,
) -> Map:  # fmt: skip
    explorer = Explorer(archive, name)
    at = np.arange(len(explorer.rows))
    if allowed is not None:
        at = at[np.isin(explorer.rows, allowed)]
    if len(at) < LEAST_POINTS:
        raise UsageError(
            f"{len(at)} spectra make no map, {LEAST_POINTS} are needed", code="too_few_spectra",
            where=name, remedy="embed more spectra, or loosen --where",
        )  # fmt: skip
    vectors = explorer.index.vectors(at) * explorer.model.metric_scale()
    rows = explorer.rows[at]
    if not refit:
        old = _stored(archive, _full(name, method, where), explorer, seed)
        if old is not None:
            return _extended(archive, old, name, vectors, rows, explorer, progress)
    progress.start(f"laying out {name}", None)
    found = layout(vectors, method, seed or 0)
    return _map(found.record(), found.xy, name, explorer, rows, np.zeros(len(rows), bool),
                archive.manifest.datasets[f"embeddings/{name}"])  # fmt: skip


def _full(name: str, method: str, where: str | None) -> str:
    choice = "" if where is None else f"-where-{hash63(where.encode()) % 16**4:04x}"
    return f"maps/{method}.{name}{choice}"


def _stored(archive: Archive, full: str, explorer: Explorer, seed: int | None) -> pa.Table | None:
    """The map there is, unless it is of another model or seed."""
    if not archive.has(full):
        return None
    table = archive.table(full)
    meta = table.schema.metadata or {}
    same = meta.get(b"model_id", b"").decode() == explorer.model.ref.model_id
    own = json.loads(meta[b"layout"])["settings"]["seed"]
    return table if same and seed in (None, own) else None


def _extended(
    archive: Archive, old: pa.Table, name: str, vectors: NDArray[Any], rows: Rows,
    explorer: Explorer, progress: Progress,
) -> Map:  # fmt: skip
    """The old map, with what came since placed by those that were laid out, and no others."""
    keys = archive.index.value("fingerprint", rows)
    known = old.column("fingerprint").to_numpy()
    order = np.argsort(known, kind="stable")
    at = order[np.minimum(np.searchsorted(known[order], keys), len(known) - 1)]
    there = known[at] == keys
    xy = np.column_stack([old.column(c).to_numpy() for c in ("x", "y")])[at]
    placed = old.column("placed").to_numpy(zero_copy_only=False)[at] | ~there
    fitted = ~placed
    meta = old.schema.metadata or {}
    record = json.loads(meta[b"layout"])
    if fitted.sum() < LEAST_POINTS:  # what was laid out is gone
        found = layout(vectors, record["method"], record["settings"]["seed"])
        return _map(found.record(), found.xy, name, explorer, rows, np.zeros(len(rows), bool),
                    archive.manifest.datasets[f"embeddings/{name}"])  # fmt: skip
    if not there.all():
        progress.start(f"placing {int((~there).sum())} new points", None)
        xy[~there] = place(vectors[~there], vectors[fitted], xy[fitted])
    note = ""
    odd = int(far_from_all(vectors[~there], vectors[fitted]).sum())
    if odd:
        note = f"{odd} of the new points are like nothing on the map: their place means little"
    if placed.sum() > 0.5 * fitted.sum():
        note = "more than half as many points were placed as laid out: --refit makes it anew"
    return _map(record, np.asarray(xy, np.float32), name, explorer, rows, placed,
                int(meta[b"embedding_version"]), int((~there).sum()), False, note)  # fmt: skip


def _map(
    record: dict[str, Any], xy: NDArray[np.float32], name: str, explorer: Explorer, rows: Rows,
    placed: NDArray[np.bool_], version: int, new: int = 0, made: bool = True, note: str = "",
) -> Map:  # fmt: skip
    return Map(
        name=name, method=record["method"], model=explorer.model.ref.model_id, rows=rows, xy=xy,
        placed=placed, axes=(record["axes"][0], record["axes"][1]), settings=record["settings"],
        quality=Quality(**record["quality"]), placement=Placement(**record["placement"]),
        embedding_version=version, new=new, made=made,
        note="; ".join([note, *explorer.notes] if note else explorer.notes),
    )  # fmt: skip


def _keep(
    archive: Archive, found: Map, where: str | None, progress: Progress, wait_s: float
) -> None:
    uid = archive.index.value("uid", found.rows)
    record = {"method": found.method, "axes": list(found.axes), "settings": found.settings,
              "quality": asdict(found.quality), "placement": asdict(found.placement)}  # fmt: skip
    meta = {
        "layout": json.dumps(record), "model_id": found.model, "for": "display only",
        "embedding_version": str(found.embedding_version), "where": json.dumps(where),
    }  # fmt: skip
    table = pa.table({
        "uid": uid, "fingerprint": archive.index.value("fingerprint", found.rows),
        "x": found.xy[:, 0], "y": found.xy[:, 1], "placed": found.placed,
    }).replace_schema_metadata(meta)  # fmt: skip
    try:
        with open_writer(archive.root, wait_s) as writer:
            writer.put_table(_full(found.name, found.method, where), table)
    except TransientError as error:  # the map is there, only the next asker pays again
        progress.note(f"the map is not kept: {error.what}")


__all__ = ["Layout", "Map", "embeddings_of", "layouts"]
