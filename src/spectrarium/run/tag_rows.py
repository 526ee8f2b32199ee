"""Vectors of an embedding by catalogue row, and tags as rows of a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..explore.tag_guard import Features
from ..explore.tagger import Predictions, Tagger
from ..store.archive import Archive, Rows
from .embedding import load_model

ROLES = ("train", "validate", "calibrate", "test")
"""What part an observation had in making a tagger; '' = none, as for everything new."""


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """The living vectors of one embedding.

    rows : (n,) catalogue rows, ascending · features : of these rows · model_id : the encoder's
    """

    name: str
    model_id: str
    rows: Rows
    fingerprint: NDArray[np.int64]
    features: Features

    def at(self, rows: Rows) -> Features:
        """Features at any catalogue rows, NaN where there is no vector."""
        n, f = len(rows), self.features
        there = np.flatnonzero(np.isin(rows, self.rows))
        mine = np.searchsorted(self.rows, rows[there])
        found = f[mine]

        def spread(values: NDArray[Any]) -> NDArray[Any]:
            out = np.full((n, *values.shape[1:]), np.nan, values.dtype)
            out[there] = values
            return out

        return Features(
            spread(found.vectors), spread(found.snr),
            None if found.variance is None else spread(found.variance),
            None if found.chi2 is None else spread(found.chi2), f.scale,
        )  # fmt: skip


def vectors_of(archive: Archive, name: str, with_scale: bool = True) -> Vectors:
    """The vectors of an embedding whose spectra have not changed since.

    with_scale : load the encoder too, for the metric of distances (needed for training only)
    """
    columns = ["uid", "fingerprint", "vector", "variance", "chi2", "n_pix", "n_fit", "snr"]
    table = archive.table(f"embeddings/{name}", columns)
    meta = archive.dataset(f"embeddings/{name}").lance.schema.metadata or {}
    prints = table.column("fingerprint").to_numpy()
    rows = archive.rows_of(table.column("uid").to_numpy())
    good = rows >= 0
    good[good] = archive.index.value("fingerprint", rows[good]) == prints[good]
    keep = np.flatnonzero(good)
    keep = keep[np.argsort(rows[keep], kind="stable")]
    table = table.take(pa.array(keep))

    def plain(column: str) -> NDArray[np.float64]:
        return np.asarray(table.column(column).to_numpy(zero_copy_only=False), np.float64)

    def wide(column: str) -> NDArray[np.float32]:
        flat = table.column(column).combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return np.asarray(flat, np.float32).reshape(table.num_rows, -1)

    free = np.maximum(plain("n_pix") - plain("n_fit"), 1.0)
    scale = load_model(archive, name).metric_scale() if with_scale else None
    features = Features(wide("vector"), plain("snr"), wide("variance"), plain("chi2") / free, scale)
    return Vectors(name, meta[b"model_id"].decode(), rows[keep], prints[keep], features)


def percent(level: float) -> str:
    """``68`` for 0.68: what columns of a level end in."""
    return f"{100 * level:g}".replace(".", "_")


def schema_of(kind: str, levels: Sequence[float], meta: Mapping[str, str]) -> pa.Schema:
    """Columns of a table of tags; units and UCDs stand at the fields."""
    own = {k: meta[k] for k in ("unit", "ucd") if meta.get(k)}
    fields = [pa.field("uid", pa.int64()), pa.field("fingerprint", pa.int64())]
    if kind == "number":
        fields.append(pa.field("value", pa.float64(), metadata=own))
        for level in levels:
            for side in ("lo", "hi"):
                unit = {k: v for k, v in own.items() if k == "unit"}
                fields.append(pa.field(f"{side}_{percent(level)}", pa.float64(), metadata=unit))
    else:
        fields += [pa.field("value", pa.string(), metadata=own), pa.field("probability",
                                                                        pa.float64())]  # fmt: skip
        fields += [pa.field(f"set_{percent(v)}", pa.list_(pa.string())) for v in levels]
    fields += [pa.field("snr", pa.float64()), pa.field("reason", pa.string()),
               pa.field("role", pa.string())]  # fmt: skip
    return pa.schema(fields, metadata=dict(meta))


def empty_table(kind: str, levels: Sequence[float], meta: Mapping[str, str]) -> pa.Table:
    """A table of no tags yet, which says whose it is."""
    return schema_of(kind, levels, meta).empty_table()


def tag_table(
    tagger: Tagger, said: Predictions, vectors: Vectors, at: NDArray[np.int64],
    uid: NDArray[np.int64], role: NDArray[Any], schema: pa.Schema,
) -> pa.Table:  # fmt: skip
    """Rows of tags. at : (n,) positions in `vectors` · uid, role : (n,) of these"""
    columns: dict[str, Any] = {
        "uid": uid, "fingerprint": vectors.fingerprint[at],
        "snr": np.asarray(vectors.features.snr, np.float64)[at],
        "reason": said.reason.tolist(), "role": role.tolist(),
    }  # fmt: skip
    if tagger.kind == "number":
        silent = ~np.isfinite(said.value)
        columns["value"] = pa.array(said.value, mask=silent)
        for j, level in enumerate(tagger.levels):
            for side, values in (("lo", said.low[:, j]), ("hi", said.high[:, j])):
                columns[f"{side}_{percent(level)}"] = pa.array(values, mask=np.isnan(values))
    else:
        best = said.probability.max(axis=1, initial=0.0)
        columns["value"] = [v or None for v in said.value]
        columns["probability"] = pa.array(best, mask=~said.known)
        order = np.argsort(-said.probability, axis=1)
        for j, level in enumerate(tagger.levels):
            columns[f"set_{percent(level)}"] = [
                [tagger.classes[c] for c in order[i] if said.sets[i, j, c]] if said.known[i]
                else None for i in range(len(uid))
            ]  # fmt: skip
    return pa.table([pa.array(columns[f.name], f.type) for f in schema], schema=schema)


def described(archive: Archive, name: str) -> dict[str, Any]:
    """What the table ``tags/NAME`` says of itself: tagger, label, kind, levels …"""
    raw = archive.dataset(f"tags/{name}").lance.schema.metadata or {}
    meta: dict[str, Any] = {k.decode(): v.decode() for k, v in raw.items()}
    meta["levels"] = json.loads(meta["levels"])
    return meta
