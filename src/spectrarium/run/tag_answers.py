"""What the taggers say: of one observation with its evidence, or of many beside the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..explore.tag_report import Outcome
from ..explore.tag_store import load_tagger
from ..store.archive import Archive
from .embedding import load_model, summaries
from .objects import objects_of
from .tag_apply import fresh, roles, tag_names
from .tag_labels import LabelValues, column_at, label_values
from .tag_rows import described, percent, vectors_of

NEIGHBOURS = 5


@dataclass(frozen=True, slots=True, eq=False)
class TagTable:
    """Tags of one label beside the catalogue's own value, for pictures and tests.

    table : obs_id, value, lo_…/hi_… or set_…, snr, reason, role, `catalogue`, `embedding`
    objects : (n,) of the rows of `table`: the same for spectra of one object
    card : of each tagger by embedding
    """

    label: str
    kind: str
    unit: str
    levels: tuple[float, ...]
    table: pa.Table
    objects: NDArray[np.int64]
    cards: dict[str, dict[str, Any]]

    def tested(self) -> tuple[NDArray[np.int64], Outcome]:
        """Rows that had no part in training or calibration and whose label the catalogue knows, and
        how good their tags are."""
        role = np.array(self.table.column("role").to_pylist())
        known = ~np.asarray(self.table.column("catalogue").is_null())
        rows = np.flatnonzero(known & np.isin(role, ["test", ""]))
        table = self.table.take(pa.array(rows))
        truth, value, reason = (np.array(table.column(c).to_pylist(), object)
                                for c in ("catalogue", "value", "reason"))  # fmt: skip
        valued = np.array([v is not None for v in value], bool)
        if self.kind == "number":
            ends = np.array([[_floats(table, f"{s}_{percent(v)}") for v in self.levels]
                             for s in ("lo", "hi")]).transpose(0, 2, 1)  # fmt: skip
            truth, value = truth.astype(np.float64), _floats(table, "value")
            error, size = value - truth, ends[1] - ends[0]
            inside = (ends[0] <= truth[:, None]) & (truth[:, None] <= ends[1])
            judged = ~np.isnan(ends).any(axis=(0, 2))
        else:
            sets = [table.column(f"set_{percent(v)}").to_pylist() for v in self.levels]
            inside = np.array([[t in (s or ()) for t, s in zip(truth, each, strict=True)]
                               for each in sets], bool).T  # fmt: skip
            size = np.array([[len(s or ()) for s in each] for each in sets], np.float64).T
            error = (truth != value).astype(np.float64)
            judged = np.array([s is not None for s in sets[0]], bool)
        return rows, Outcome(
            self.levels, self.kind, truth, value, error, inside, size, _floats(table, "snr"),
            self.objects[rows], judged, valued, reason,
        )  # fmt: skip


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    return np.asarray(table.column(name).to_numpy(zero_copy_only=False), np.float64)


def tags_of(archive: Archive, identifier: str) -> list[dict[str, Any]]:
    """Every tag of one observation: value, intervals, model, training set, the catalogue's own
    value and the nearest training spectra with theirs. A tag that abstains says why.

    Raises UsageError: unknown_id, no_tagger.
    """
    row = archive.resolve(identifier)
    return [_one(archive, name, row) for name in tag_names(archive)]


def _one(archive: Archive, name: str, row: int) -> dict[str, Any]:
    meta = described(archive, name)
    rows = np.array([row], np.int64)
    uid = int(archive.index.value("uid", rows)[0])
    record: dict[str, Any] = {
        "tag": meta["label"], "kind": meta["kind"], "unit": meta["unit"], "value": None,
        "reason": "", "embedding": meta["embedding"], "model": meta["tagger"],
        "encoder": meta["encoder"], "catalogue_column": meta["column"],
        "catalogue_value": column_at(archive, meta["column"], rows)[0], "neighbours": [],
    }  # fmt: skip
    try:
        fresh(archive, name, meta)
    except UsageError as error:
        return record | {"reason": error.what}
    tagger, arrays, card = load_tagger(archive.root / "models" / meta["tagger"])
    record |= {"head": card["head"], "training": _training(card), "test": _tested(card)}
    vectors = vectors_of(archive, meta["embedding"], with_scale=False)
    here = np.flatnonzero(vectors.rows == row)
    if not len(here):
        return record | {"reason": _no_vector(archive, meta["embedding"], row)}
    said = tagger.predict(vectors.features[here])
    record |= {"reason": str(said.reason[0]), "snr": float(vectors.features.snr[here[0]]),
               "role": _role(uid, arrays)}  # fmt: skip
    if meta["kind"] == "number":
        record["value"] = float(said.value[0]) if np.isfinite(said.value[0]) else None
        record["intervals"] = {
            percent(v): [float(said.low[0, j]), float(said.high[0, j])]
            for j, v in enumerate(tagger.levels) if said.known[0]
        }  # fmt: skip
    elif said.known[0]:
        record["value"] = said.value[0] or None
        order = np.argsort(-said.probability[0])
        record["probability"] = {tagger.classes[c]: float(said.probability[0, c]) for c in order}
        record["sets"] = {
            percent(v): [tagger.classes[c] for c in order if said.sets[0, j, c]]
            for j, v in enumerate(tagger.levels)
        }  # fmt: skip
    # of many hidden ones a few that may be seen are found among more
    n = NEIGHBOURS + 1 if not archive.restricted else 20 * NEIGHBOURS
    at, distance = tagger.guard.nearest(vectors.features[here], n)
    record["neighbours"] = _neighbours(archive, arrays, at[0], distance[0], uid)
    return record


def _neighbours(
    archive: Archive, arrays: dict[str, NDArray[Any]], at: NDArray[np.int64],
    distance: NDArray[np.float64], own: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """The nearest training spectra, itself left out, with the label each taught."""
    uids = arrays["reference-uid"][at]
    rows = archive.rows_of(uids)
    keep = np.flatnonzero((uids != own) & ((rows >= 0) | (not archive.restricted)))[:NEIGHBOURS]
    rows = rows[keep]
    out = []
    for i, row in zip(keep.tolist(), rows.tolist(), strict=True):
        names = archive.catalogue([row], ["obs_id"]).column(0).to_pylist() if row >= 0 else [None]
        label = arrays["reference-label"][at[i]].item()
        out.append({"obs_id": names[0], "label": label, "distance": float(distance[i])})
    return out


def _role(uid: int, arrays: dict[str, NDArray[Any]]) -> str:
    return str(roles(np.array([uid], np.int64), arrays)[0])


def _no_vector(archive: Archive, embedding: str, row: int) -> str:
    """Why an observation has no vector of this encoder."""
    rows = np.array([row], np.int64)
    covers, why = load_model(archive, embedding).domain.covers(summaries(archive, rows)[0])
    if not covers:
        return f"the encoder does not cover it: {why}"
    return "no vector: too few good pixels, or not embedded yet (run `spectrarium embed`)"


def _training(card: dict[str, Any]) -> str:
    n = card["made"]["objects"]
    how = card["made"]["calibration"]
    others = f"{n['calibrate']} others" if how == "on others" else "them, each by heads without it"
    return f"{n['train']} objects with {card['column']}, calibrated on {others}"


def _tested(card: dict[str, Any]) -> str:
    test, unit = card["test"], f" {card['unit']}" if card["unit"] else ""
    shares = ", ".join(
        f"{100 * c['share']:.0f} of {100 * c['level']:.0f} %" for c in test["coverage"]
        if c["share"] is not None
    )  # fmt: skip
    how = ""
    if test.get("sigma") is not None:
        how = f"σ {test['sigma']:.3g}{unit}, bias {test['bias']:+.2g}{unit}; "
    elif test.get("accuracy") is not None:
        how = f"{100 * test['accuracy']:.1f} % right; "
    what = "intervals" if card["kind"] == "number" else "class sets"
    return f"{test['objects']} objects: {how}{what} held {shares}"


def tag_overview(archive: Archive, label: str, where: str | None = None) -> TagTable:
    """All tags of a label as a table, the catalogue's own values beside them.

    Raises UsageError: no_tagger; not_applied where nothing has been tagged yet.
    """
    names = tag_names(archive, label)
    allowed = archive.find(where=where)
    tables, cards = [], {}
    first = described(archive, names[0])
    for name in names:
        meta = described(archive, name)
        if meta["kind"] != first["kind"]:
            continue
        fresh(archive, name, meta)
        _, _, cards[meta["embedding"]] = load_tagger(archive.root / "models" / meta["tagger"])
        tables.append(_beside(archive, name, meta, allowed))
    table = pa.concat_tables(tables)
    if not table.num_rows:
        raise UsageError(
            f"no observation has tag {label!r} yet", code="not_applied",
            remedy=f"run `spectrarium tag apply --label {label}`, or loosen --where",
        )  # fmt: skip
    told_by = next((c["object_column"] for c in cards.values() if c.get("object_column")), None)
    objects = objects_of(archive, archive.rows_of(table.column("uid").to_numpy()),
                         told_by if told_by in archive.columns() else None)  # fmt: skip
    return TagTable(first["label"], first["kind"], first["unit"], tuple(first["levels"]), table,
                    objects, cards)  # fmt: skip


def _beside(
    archive: Archive, name: str, meta: dict[str, Any], allowed: NDArray[np.int64]
) -> pa.Table:
    table = archive.table(f"tags/{name}").replace_schema_metadata(None)
    rows = archive.rows_of(table.column("uid").to_numpy())
    keep = np.isin(rows, allowed)
    table, rows = table.filter(pa.array(keep)), rows[keep]
    known = _catalogue_values(archive, meta, rows)
    ids = archive.catalogue(rows, ["obs_id"]).column(0)
    table = table.add_column(0, "obs_id", ids)
    table = table.append_column("catalogue", known)
    return table.append_column("embedding", pa.array([meta["embedding"]] * len(rows), pa.string()))


def _catalogue_values(
    archive: Archive, meta: dict[str, Any], rows: NDArray[np.int64]
) -> pa.Array:  # fmt: skip
    kind = pa.float64() if meta["kind"] == "number" else pa.string()
    if meta["column"] not in archive.columns():
        return pa.nulls(len(rows), kind)
    try:
        values: LabelValues = label_values(archive, meta["column"], rows, meta["kind"], None, None)
    except UsageError:  # none of these has one: that is an answer, not an error
        return pa.nulls(len(rows), kind)
    return pa.array(values.values.tolist(), kind, from_pandas=True)
