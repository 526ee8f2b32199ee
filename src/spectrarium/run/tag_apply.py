"""Tags for every observation with a vector, computed once and kept."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..domain.errors import TransientError, UsageError
from ..domain.progress import Progress, Silent
from ..explore.tag_store import load_tagger
from ..store.archive import LEARNT, Archive, Rows
from ..store.writer import Writer, open_writer
from .quantities import ucd_of
from .tag_labels import plain_name
from .tag_rows import ROLES, described, percent, tag_table, vectors_of

_ROWS = 4096
_IN_WORDS = (
    ("S/N", "S/N outside the range trained on"),
    ("unlike", "unlike the training spectra"),
    ("the encoder cannot", "the encoder cannot describe it"),
)


@dataclass
class AppliedTag:
    """One tag table: how many observations got a value now, and why others did not."""

    tag: str
    embedding: str
    model: str
    new: int
    given: int
    kept: int
    without_label: int
    abstained: dict[str, int] = field(default_factory=dict)


@dataclass
class ApplyReport:
    """What one `tag apply` did; `no_vector` counts observations that no tagger's encoder holds."""

    applied: list[AppliedTag] = field(default_factory=list)
    observations: int = 0
    no_vector: dict[str, int] = field(default_factory=dict)
    version: int = 0

    def record(self) -> dict[str, Any]:
        """Plain fields for ``--json``."""
        return asdict(self)


def tag_apply(
    root: Path,
    label: str | None = None,
    *,
    where: str | None = None,
    progress: Progress | None = None,
    wait_s: float = 60.0,
) -> ApplyReport:
    """Give tags to the observations that have none yet (or have changed since).

    label : only this tag; None = all that were trained · where : only these observations
    Raises UsageError (no_tagger, stale_tagger), TransientError (cancelled: whole tables are kept).
    """
    progress = progress or Silent()
    out = ApplyReport()
    with open_writer(root, wait_s) as writer:
        archive = writer.archive
        names = tag_names(archive, label)
        rows = archive.find(where=where)
        out.observations = len(rows)
        tagged: dict[str, NDArray[np.bool_]] = {}
        for name in names:
            done, held = _apply(writer, name, rows, progress)
            out.applied.append(done)
            mine = tagged.setdefault(done.tag, np.zeros(len(rows), bool))
            mine |= np.isin(rows, held)
        out.no_vector = {tag: int((~there).sum()) for tag, there in tagged.items()}
        publish(writer)
        out.version = writer.archive.version
    return out


def tag_names(archive: Archive, label: str | None = None) -> list[str]:
    """Tag tables, of one label or all. Raises UsageError (no_tagger)."""
    names = archive.names("tags")
    if not names:
        raise UsageError("no label has been learnt yet", code="no_tagger",
                         remedy="run `spectrarium tag train --label NAME` first")  # fmt: skip
    if label is None:
        return names
    known = sorted({n.split(".", 1)[0] for n in names})
    called = (label, plain_name(label), plain_name(label.rsplit(".", 1)[-1]))
    wanted = next((c for c in called if c in known), None)
    found = [n for n in names if n.split(".", 1)[0] == wanted]
    if not found:
        raise UsageError(f"label {label!r} has not been learnt", code="no_tagger",
                         remedy=f"learnt so far: {', '.join(known)}")  # fmt: skip
    return found


def fresh(archive: Archive, name: str, meta: dict[str, Any]) -> None:
    """Refuse a tagger whose encoder is not the one that its vectors now come from."""
    where = f"embeddings/{meta['embedding']}"
    there = archive.has(where)
    raw = archive.dataset(where).lance.schema.metadata or {} if there else {}
    if raw.get(b"model_id", b"").decode() != meta["encoder"]:
        raise UsageError(
            f"tag {name} was trained on vectors of {meta['encoder']}, which is gone or refitted",
            code="stale_tagger", remedy=f"run `spectrarium tag train --label {meta['column']}` "
            "again",
        )  # fmt: skip


def _apply(
    writer: Writer, name: str, rows: Rows, progress: Progress
) -> tuple[AppliedTag, Rows]:  # fmt: skip
    archive = writer.archive
    meta = described(archive, name)
    fresh(archive, name, meta)
    tagger, arrays, _ = load_tagger(archive.root / "models" / meta["tagger"])
    vectors = vectors_of(archive, meta["embedding"], with_scale=False)
    old = archive.table(f"tags/{name}")
    uid = archive.index.value("uid", vectors.rows)
    done = _known(old, uid, vectors.fingerprint)
    todo = np.flatnonzero(np.isin(vectors.rows, rows) & ~done)
    role = roles(uid, arrays)
    new: list[pa.Table] = []
    progress.start(f"tagging {name}", len(todo))
    for start in range(0, len(todo), _ROWS):
        if progress.cancelled():
            raise TransientError("cancelled: tables done before are kept", code="cancelled",
                                 remedy="run the same command again")  # fmt: skip
        at = todo[start : start + _ROWS]
        said = tagger.predict(vectors.features[at])
        new.append(tag_table(tagger, said, vectors, at, uid[at], role[at], old.schema))
        progress.advance(len(at))
    fresh_rows = pa.concat_tables(new) if new else old.slice(0, 0)
    keep = ~np.isin(old.column("uid").to_numpy(), uid[todo])
    if len(todo):
        table = pa.concat_tables([old.filter(pa.array(keep)), fresh_rows])
        writer.put_table(f"tags/{name}", table.replace_schema_metadata(old.schema.metadata))
    given = fresh_rows.num_rows - fresh_rows.column("value").null_count
    why = Counter(_words(r) for r in fresh_rows.column("reason").to_pylist() if r)
    applied = AppliedTag(
        meta["label"], meta["embedding"], meta["tagger"], fresh_rows.num_rows, given,
        int(keep.sum()), int((role[todo] == "").sum()), dict(why.most_common()),
    )  # fmt: skip
    return applied, vectors.rows


def _known(
    old: pa.Table, uid: NDArray[np.int64], fingerprint: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """(n,) True where the table holds the tag of this very content."""
    theirs = old.column("uid").to_numpy()
    order = np.argsort(theirs, kind="stable")
    at = np.searchsorted(theirs[order], uid)
    at[at == len(theirs)] = 0
    if not len(theirs):
        return np.zeros(len(uid), bool)
    same = theirs[order][at] == uid
    prints = old.column("fingerprint").to_numpy()[order][at]
    return np.asarray(same & (prints == fingerprint))


def roles(uid: NDArray[np.int64], arrays: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """(n,) what part each observation had in making a tagger; '' = none."""
    out = np.full(len(uid), "", object)
    member, part = arrays["member-uid"], arrays["member-part"]
    order = np.argsort(member, kind="stable")
    at = np.minimum(np.searchsorted(member[order], uid), len(member) - 1)
    hit = member[order][at] == uid
    out[hit] = np.array(ROLES, object)[part[order][at[hit]]]
    return out


def _words(reason: str) -> str:
    for start, words in _IN_WORDS:
        if reason.startswith(start):
            return words
    return reason


def publish(writer: Writer) -> None:
    """All tags as the label set ``tags``, so that filters can name ``tags.teff``.

    Of several tables of a label, an observation gets the value with the narrowest interval, or
    the likeliest class. Columns: LABEL, and LABEL_lo, LABEL_hi (68 %) or LABEL_p; none for a label
    that no observation has, and no label set if there are no columns.
    """
    archive = writer.archive
    rows = archive.find()
    uid = archive.index.value("uid", rows)
    columns: dict[str, pa.Array] = {"uid": pa.array(uid)}
    fields = [pa.field("uid", pa.int64())]
    for label in sorted({n.split(".", 1)[0] for n in archive.names("tags")}):
        best = _best_of(archive, tag_names(archive, label), uid)
        if best[""][0].null_count == len(uid):
            continue
        for name, (values, meta) in best.items():
            columns[f"{label}{name}"] = values
            fields.append(pa.field(f"{label}{name}", values.type, metadata=meta))
    table = pa.table([columns[f.name] for f in fields], schema=pa.schema(fields))
    some = np.zeros(table.num_rows, bool)
    for f in fields[1:]:
        some |= ~np.asarray(table.column(f.name).is_null())
    if some.any():
        writer.put_table(f"labels/{LEARNT}", table.filter(pa.array(some)))
    elif f"labels/{LEARNT}" in archive.manifest.datasets:
        writer.drop_table(f"labels/{LEARNT}")


def _best_of(
    archive: Archive, names: list[str], uid: NDArray[np.int64]
) -> dict[str, tuple[pa.Array, dict[str, str]]]:
    """Columns by suffix, aligned with `uid`: the surest of several tables."""
    kind = described(archive, names[0])["kind"]
    best = np.full(len(uid), np.inf)
    number = kind == "number"
    found: dict[str, NDArray[Any]] = {
        s: np.full(len(uid), np.nan) for s in (("", "_lo", "_hi") if number else ("_p",))
    }
    if not number:
        found = {"": np.full(len(uid), None, object), **found}
    meta: dict[str, Any] = {}
    for name in names:
        about = described(archive, name)
        if about["kind"] != kind:
            continue
        low = percent(about["levels"][0])
        table = archive.table(f"tags/{name}")
        meta = about
        at = np.searchsorted(uid[np.argsort(uid)], table.column("uid").to_numpy())
        order = np.argsort(uid)
        at = order[np.minimum(at, len(uid) - 1)]
        hit = uid[at] == table.column("uid").to_numpy()
        said = {s: table.column(c).to_numpy(zero_copy_only=False) for s, c in (
            (("", "value"), ("_lo", f"lo_{low}"), ("_hi", f"hi_{low}")) if number else
            (("", "value"), ("_p", "probability")))}  # fmt: skip
        width = said["_hi"] - said["_lo"] if number else -said["_p"].astype(float)
        there = ~np.asarray(table.column("value").is_null())
        better = hit & there & (width < best[at])
        best[at[better]] = width[better]
        for s in found:
            found[s][at[better]] = said[s][better]
    return {s: (pa.array(v, from_pandas=True), _told(meta, s)) for s, v in found.items()}


def _told(meta: dict[str, Any], suffix: str) -> dict[str, str]:
    """What a column of the label set says of itself. meta : of its table, see `described`"""
    label, number = meta["label"], meta["kind"] == "number"
    level = f"{100 * meta['levels'][0]:g} %"
    ucd = meta.get("ucd") or ucd_of(label) if number else meta.get("ucd") or "src.class"
    about, ucd = {
        "": (f"{label} as its surest tagger reads it off the spectrum", ucd),
        "_lo": (f"{label}: lower end of the {level} interval", f"{ucd};stat.min"),
        "_hi": (f"{label}: upper end of the {level} interval", f"{ucd};stat.max"),
        "_p": (f"{label}: probability of the class told", "stat.probability;src.class"),
    }[suffix]
    said = {"source": "tag apply", "description": about, "ucd": ucd}
    return said | ({"unit": meta["unit"]} if meta.get("unit") and suffix != "_p" else {})
