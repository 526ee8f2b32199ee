"""Labels → heads → tags: trained on what a catalogue knows, given to what it does not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version as code_version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..domain.progress import Progress, Silent
from ..embed.heads import available
from ..explore.tag_report import joined, summary
from ..explore.tag_store import save_tagger
from ..explore.tagger import Tagger
from ..explore.tagging import LEAST_LABELLED, ROTATIONS, TEST, TRAIN, split
from ..store.archive import Archive, Rows
from ..store.writer import open_writer
from .labels import JoinReport, join_catalogue, put_labels
from .objects import objects_of
from .rotations import Lessons, rotations
from .tag_apply import publish
from .tag_labels import LabelValues, find_column, label_values, tag_name, usable_values
from .tag_rows import Vectors, empty_table, vectors_of

SAME_SHARE = 0.8
"""Embeddings compete for a label where they share at least this much of their labelled spectra."""
FEW_OBJECTS = 5_000
"""With fewer labelled objects all are tested, in five rotations, not only a fifth. Each rotation
compares everything anew: what is tested had no part in choosing what it is tested with."""


@dataclass
class TagReport:
    """One tagger: what it learnt from, which head won, how good it is on objects it never saw.

    comparison : every head on every embedding, see `explore.tagging.train_tagger`; the one kept is
    the one with the smallest ``typical`` loss of those that are ``level`` with the best
    test : of the one kept; in five rotations, of what each chose (``chosen``: in how many)
    """

    tag: str
    label: str
    kind: str
    unit: str
    embedding: str
    head: str
    model: str
    skill: float
    objects: dict[str, int]
    comparison: list[dict[str, Any]]
    test: dict[str, Any]
    rotations: int
    calibration: str
    ignored: dict[str, int] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Plain fields for ``--json``."""
        return asdict(self)


@dataclass
class TagTraining:
    """What one `tag train` made, and the embeddings it could not use with the reason."""

    made: list[TagReport] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    joined: dict[str, Any] | None = None
    version: int = 0

    def record(self) -> dict[str, Any]:
        """Plain fields for ``--json``."""
        return asdict(self)


def tag_train(
    root: Path,
    label: str,
    source: str | Path | None = None,
    *,
    key: str = "obs_id",
    on: str | None = None,
    kind: str | None = None,
    where: str | None = None,
    name: str | None = None,
    unit: str | None = None,
    models: Sequence[str] | None = None,
    heads: Sequence[str] | None = None,
    object_column: str | None = None,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress | None = None,
    wait_s: float = 60.0,
) -> TagTraining:
    """Learn a label from the observations that have it; one tagger for each group of embeddings.

    Parameters
    ----------
    label : column of a label set or of the catalogue; ``class``, ``rv`` and ``z`` are short for
        the pipeline's own · source : catalogue to join first, by `key` and `on`
    kind : number or class; None = by its values · where : which observations to learn from
    models : embeddings to learn from; None = all · object_column : tells objects apart
    workers : processes that train, see `rotations`; what comes out does not depend on them
    Raises
    ------
    UsageError : nothing embedded, no such label, no values, a constant label, or fewer than 100
        labelled objects
    """
    progress = progress or Silent()
    out = TagTraining()
    names = _embeddings(Archive(root), models)
    if source is not None:
        joining, report = join_catalogue(root, source, key, on=on)
        label = _joined_label(joining, report, Path(source).name, label, kind)
        tag_name(label, name)
        out.joined = put_labels(root, joining, report, wait_s).record()
    archive = Archive(root)
    column = find_column(archive, label)
    rows = archive.find(where=where)
    values = label_values(archive, column, rows, kind, name, unit)
    objects = objects_of(archive, rows, object_column)
    held = {n: vectors_of(archive, n) for n in names}
    trained = []
    for group in _groups(held, rows, values, objects, out.skipped):
        job = _Training(archive, rows, values, objects, {n: held[n] for n in group}, heads, seed,
                        progress, workers)  # fmt: skip
        trained.append((group, job.run()))
    if not trained:
        most = max((_labelled(held[n], rows, values, objects) for n in names), default=0)
        raise _too_few(column, most)
    left_out = available()[1]
    out.notes += [left_out] if left_out and heads is None else []
    _keep(root, values, trained, out, wait_s, object_column)
    return out


def _too_few(column: str, most: int) -> UsageError:
    return UsageError(
        f"label {column!r} is known for {most} embedded objects, {LEAST_LABELLED} are needed",
        code="too_few_labels", remedy="join a catalogue that matches more, loosen --where, or "
        "embed more spectra",
    )  # fmt: skip


def _joined_label(
    joining: pa.Table, report: JoinReport, file: str, label: str, kind: str | None
) -> str:
    """The label's full name among columns about to be joined, by the file's heading or ours.

    Raises UsageError (no_column, no_labels) while nothing is written yet.
    """
    headings = [(joining.field(c).metadata or {}).get(b"name", c.encode()).decode().lower()
                for c in report.columns]  # fmt: skip
    own = [c for c, heading in zip(report.columns, headings, strict=True)
           if heading == label.lower()]  # fmt: skip
    own += [c for c in report.columns if c.lower() == label.rsplit(".", 1)[-1].lower()]
    if not own:
        raise UsageError(
            f"{file} has no column {label!r}", code="no_column", where="--label",
            remedy=f"its columns: {', '.join(report.columns)}",
        )  # fmt: skip
    full = f"{report.name}.{own[0]}"
    usable_values(full, joining.column(own[0]).to_pylist(), kind)
    return full


def _embeddings(archive: Archive, models: Sequence[str] | None) -> list[str]:
    there = archive.names("embeddings")
    if not there:
        raise UsageError("nothing is embedded yet", code="no_model",
                         remedy="run `spectrarium embed --encoder pca` first")  # fmt: skip
    unknown = [m for m in models or () if m not in there]
    if unknown:
        raise UsageError(f"there is no model {unknown[0]!r}", code="no_model",
                         remedy=f"models: {', '.join(there)}")  # fmt: skip
    return list(models) if models else there


def _usable(values: LabelValues) -> NDArray[np.bool_]:
    if values.kind == "number":
        return np.asarray(np.isfinite(values.values))
    return np.array([v is not None for v in values.values], bool)


def _labelled(held: Vectors, rows: Rows, values: LabelValues, objects: NDArray[Any]) -> int:
    mine = _usable(values) & np.isin(rows, held.rows)
    return len(np.unique(objects[mine]))


def _groups(
    held: dict[str, Vectors], rows: Rows, values: LabelValues, objects: NDArray[Any],
    skipped: dict[str, str],
) -> list[list[str]]:  # fmt: skip
    """Embeddings by what they share: those of mostly the same labelled spectra compete."""
    there = _usable(values)
    mine = {n: there & np.isin(rows, v.rows) for n, v in held.items()}
    groups: list[list[str]] = []
    for n in sorted(held, key=lambda n: (-int(mine[n].sum()), n)):
        count = len(np.unique(objects[mine[n]]))
        if count < LEAST_LABELLED:
            skipped[n] = f"{count} labelled objects, {LEAST_LABELLED} are needed"
            continue
        for group in groups:
            shared = int((mine[n] & mine[group[0]]).sum())
            if shared >= SAME_SHARE * int(mine[group[0]].sum()):
                group.append(n)
                break
        else:
            groups.append([n])
    return groups


@dataclass(frozen=True, slots=True, eq=False)
class _Trained:
    """A tagger, how it did, and which observations had which part in it."""

    tagger: Tagger
    test: dict[str, Any]
    rotations: int
    member_uid: NDArray[np.int64]
    member_part: NDArray[np.int64]
    reference_uid: NDArray[np.int64]
    reference_label: NDArray[Any]
    vectors: Vectors


@dataclass(frozen=True, slots=True, eq=False)
class _Training:
    """One group of embeddings that compete for a label."""

    archive: Archive
    rows: Rows
    values: LabelValues
    objects: NDArray[np.int64]
    held: dict[str, Vectors]
    heads: Sequence[str] | None
    seed: int
    progress: Progress
    workers: int | None

    def run(self) -> _Trained:
        """The winner, tested on objects that it never saw."""
        some = {n: v.at(self.rows) for n, v in self.held.items()}
        known = _usable(self.values) & np.any([f.covered for f in some.values()], axis=0)
        n = ROTATIONS if len(np.unique(self.objects[known])) < FEW_OBJECTS else 1
        lessons = Lessons(some, self.values.values, self.objects, self.values.kind,
                          self.values.name, self.heads, self.seed)  # fmt: skip
        taggers, parts = zip(*rotations(lessons, n, self.progress, self.workers), strict=True)
        chosen = Counter(f"{one.head.name} on {one.candidate}" for one in taggers)
        tagger: Tagger = taggers[0]
        best = tagger.candidate
        whole = some[best]
        uid = self.archive.index.value("uid", self.rows)
        part = split(self.objects, self.seed)
        if tagger.card["calibration"] == "out of fold":
            part = np.where(part == TEST, TEST, TRAIN)
        member = np.flatnonzero(whole.covered & _usable(self.values))
        reference = tagger.guard.rows
        label = self.values.values[reference]
        return _Trained(
            tagger, summary(joined(parts)) | {"chosen": dict(chosen.most_common())}, n,
            uid[member], part[member], uid[reference],
            label.astype(np.float64) if self.values.kind == "number" else label.astype(str),
            self.held[best],
        )  # fmt: skip


def _keep(
    root: Path, values: LabelValues, trained: list[tuple[list[str], _Trained]], out: TagTraining,
    wait_s: float, object_column: str | None,
) -> None:  # fmt: skip
    """Write models and their still empty tables; taggers of the same group that lost are gone.

    What older taggers of the label said is no longer published.
    """
    with open_writer(root, wait_s) as writer:
        for group, one in trained:
            tagger, name = one.tagger, values.name
            facts = {
                "column": values.column, "unit": values.unit, "ucd": values.ucd,
                "embedding": one.vectors.name, "encoder": one.vectors.model_id,
                "test": one.test, "rotations": one.rotations, "object_column": object_column,
            }  # fmt: skip
            extra: dict[str, NDArray[Any]] = {
                "member-uid": one.member_uid, "member-part": one.member_part.astype(np.int8),
                "reference-uid": one.reference_uid, "reference-label": one.reference_label,
            }  # fmt: skip
            full = f"{name}.{tagger.candidate}"
            model_id = save_tagger(tagger, writer.archive.root / "models", f"tag.{full}",
                                   code_version("spectrarium"), extra, facts)  # fmt: skip
            for other in group:
                old = f"tags/{name}.{other}"
                if other != tagger.candidate and old in writer.archive.manifest.datasets:
                    writer.drop_table(old)
            meta = {"tagger": model_id, "label": name, "kind": tagger.kind,
                    "column": values.column, "unit": values.unit, "ucd": values.ucd,
                    "embedding": one.vectors.name, "encoder": one.vectors.model_id,
                    "levels": json.dumps(list(tagger.levels))}  # fmt: skip
            writer.put_table(f"tags/{full}", empty_table(tagger.kind, tagger.levels, meta))
            ignored = values.ignored | tagger.card["ignored"]
            out.made.append(TagReport(
                name, values.column, tagger.kind, values.unit, tagger.candidate, tagger.head.name,
                model_id, float(tagger.card["skill"]), tagger.card["objects"],
                tagger.card["comparison"], one.test, one.rotations,
                tagger.card["calibration"], ignored,
            ))  # fmt: skip
        publish(writer)
        out.version = writer.archive.version


__all__ = ["TagReport", "TagTraining", "tag_train"]
