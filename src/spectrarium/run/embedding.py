"""Store → embed → store: group what can be compared, fit one model a group, keep the vectors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..domain.axis import Medium, SpecSys
from ..domain.derived import NoiseSource
from ..domain.errors import TransientError, UsageError
from ..domain.progress import Progress, Silent
from ..domain.spectrum import Normalisation
from ..embed.domain import ModelDomain, SpectrumSummary, flux_kind
from ..embed.encoder import Encoder, encoder_named
from ..embed.grouping import GroupingRules, ProposedModel, propose_models
from ..embed.prepare import LeftOut, Prepared, Preparer
from ..embed.spool import Spool
from ..store.archive import Archive, Rows
from ..store.codec import hash63
from ..store.writer import Writer, open_writer

MAX_TRAIN = 100_000
"""Spectra a linear model is fitted on at most; of more, evenly spaced ones."""
ROUNDS = 3
"""Times that spectra refused by their group's model are grouped again by their good pixels."""
MAX_REFUSED = 50_000
"""So many refused spectra are read once more; of more, only the reasons are reported."""
_SUMMARY = ("em_min", "em_max", "n_good", "em_pixel_kms", "medium", "specsys", "em_res_power",
            "flux_unit", "normalisation", "snr", "n_orders")  # fmt: skip


@dataclass
class GroupReport:
    """One model: what it covers, how it was trained."""

    model: str
    name: str
    wave_min_aa: float
    wave_max_aa: float
    pixels: int
    resolution: tuple[float, float | None]
    frame: str
    flux_kind: str
    covered: int
    trained_on: int
    refitted: bool


@dataclass
class EmbedReport:
    """The models, and the observations without one by reason."""

    groups: list[GroupReport] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    observations: int = 0
    covered: int = 0
    version: int = 0

    def record(self) -> dict[str, Any]:
        """Plain fields for ``--json``."""
        return asdict(self)


def summaries(archive: Archive, rows: Rows) -> list[SpectrumSummary]:
    """What decides whether a model covers each observation, from the catalogue alone."""
    table = archive.catalogue(rows, _SUMMARY)
    columns = [table.column(name).to_pylist() for name in _SUMMARY]
    return [_summary(*values) for values in zip(*columns, strict=True)]


def _summary(
    em_min: float | None, em_max: float | None, n_good: int, pixel_kms: float | None, medium: str,
    specsys: str, res_power: float | None, flux_unit: str | None, normalisation: str,
    snr: float | None, n_orders: int,
) -> SpectrumSummary:  # fmt: skip
    return SpectrumSummary(
        em_min_aa=np.nan if em_min is None else em_min * 1e10,
        em_max_aa=np.nan if em_max is None else em_max * 1e10,
        n_good=n_good,
        pixel_kms=pixel_kms or np.inf,
        medium=Medium(medium),
        specsys=SpecSys(specsys),
        resolving_power=res_power,
        flux_kind=flux_kind(flux_unit, Normalisation(normalisation)),
        snr=snr,
        n_orders=n_orders or 1,
    )


def embed(
    root: Path,
    encoder: str = "pca",
    *,
    where: str | None = None,
    components: int | None = None,
    refit: bool = False,
    rules: GroupingRules | None = None,
    progress: Progress | None = None,
    wait_s: float = 60.0,
) -> EmbedReport:
    """Give every observation that a model can cover a vector.

    Models that exist are used as they are for what has come since, unless `refit`; what no model
    covers is grouped by shared coverage, one new model a group of at least 20.
    """
    progress = progress or Silent()
    kind = encoder_named(encoder)
    report = EmbedReport()
    with open_writer(root, wait_s) as writer:
        archive = writer.archive
        rows = archive.find(where=where)
        if not len(rows):
            raise UsageError("no observation to embed", code="nothing_to_do",
                             remedy="ingest some, or loosen --where")  # fmt: skip
        report.observations = len(rows)
        facts = summaries(archive, rows)
        rest = np.arange(len(rows))
        if not refit:
            for name in _models_of(archive, encoder, where):
                rest = _extend(writer, name, rows, facts, rest, report, progress)
        fitter = _Fitter(writer, kind, encoder, where, components, rules, report, progress)
        fitter.fit(rows, facts, rest)
        report.version = writer.archive.version
    report.covered = sum(g.covered for g in report.groups)
    return report


def _models_of(archive: Archive, encoder: str, where: str | None) -> list[str]:
    """Embeddings by this encoder of the same choice of observations."""
    names = [n for n in archive.names("embeddings") if n.split(".", 1)[0] == encoder]
    return [n for n in names if chosen_by(archive, n) == where]


def chosen_by(archive: Archive, name: str) -> str | None:
    """The filter whose observations an embedding is for; None = all."""
    meta = archive.dataset(f"embeddings/{name}").lance.schema.metadata or {}
    return json.loads(meta[b"where"]) if b"where" in meta else None


def made_at(archive: Archive, name: str) -> int:
    """Rows the catalogue had when an embedding was last made: later ones came since."""
    meta = archive.dataset(f"embeddings/{name}").lance.schema.metadata or {}
    return int(meta.get(b"catalogue_rows", b"0"))


def model_dir(archive: Archive, name: str) -> Path:
    """Folder of the model behind the embedding `name`."""
    meta = archive.dataset(f"embeddings/{name}").lance.schema.metadata or {}
    return archive.root / "models" / str(meta[b"model_id"].decode())


def load_model(archive: Archive, name: str) -> Encoder:
    """The encoder of an embedding, verified against its hash."""
    if name not in archive.names("embeddings"):
        raise UsageError(
            f"there is no model {name!r}", code="no_model",
            remedy="models: " + (", ".join(archive.names("embeddings")) or "none yet; run "
                                 "`spectrarium embed --encoder pca`"),
        )  # fmt: skip
    return encoder_named(name.split(".", 1)[0]).load(model_dir(archive, name))


@dataclass
class _Fitter:
    """Groups and fits, then groups again what turned out to have bad pixels in its group's range.

    The catalogue knows where a spectrum begins and ends, not where its good pixels do: those that
    their group's model refuses get a second chance by their good pixels, in a group of their own.
    """

    writer: Writer
    kind: type[Encoder]
    encoder: str
    where: str | None
    components: int | None
    rules: GroupingRules | None
    report: EmbedReport
    progress: Progress

    def fit(self, rows: Rows, facts: list[SpectrumSummary], rest: NDArray[np.int64]) -> None:
        """Models for `rows[rest]`; the report says who is covered and why others are not."""
        pending, known = rows[rest], [facts[i] for i in rest]
        outside: list[tuple[int, str]] = []
        refused: list[tuple[int, str]] = []
        for _ in range(ROUNDS):
            proposal = propose_models(known, self.rules)
            refused = []
            for group in proposal.models:
                refused += self._group(group, pending[list(group.members)])
            outside += [(int(pending[i]), reason) for i, reason in proposal.left_out.items()]
            if not refused or len(refused) > MAX_REFUSED:
                break
            pending, known = self._look_again([row for row, _ in refused])
        reasons = _place(self.writer, outside + refused, self.report, self.progress)
        left = Counter(_in_words(reason) for reason in reasons)
        self.report.left_out = dict(left.most_common())

    def _group(self, group: ProposedModel, members: Rows) -> list[tuple[int, str]]:
        name = _free_name(f"{self.encoder}.{group.name}", self.where, self.report)
        options = _settings(self.encoder, group.domain, len(members), self.components)
        model = self.kind(group.domain, name=name, **options)  # type: ignore[call-arg]
        done, refused = _fit_one(self.writer, model, name, members, self.where, self.progress)
        if done is not None:
            self.report.groups.append(done)
            _drop_scores(self.writer, name)
        return refused

    def _look_again(self, rows: list[int]) -> tuple[Rows, list[SpectrumSummary]]:
        """Rows in storage order, and what their good pixels say."""
        found_rows: list[Rows] = []
        found: list[SpectrumSummary] = []
        for chunk, spectra in self.writer.archive.scan(np.array(rows, np.int64)):
            found_rows.append(chunk)
            found += [SpectrumSummary.of(s) for s in spectra]
        return np.concatenate(found_rows), found


def _place(
    writer: Writer, refused: list[tuple[int, str]], report: EmbedReport, progress: Progress
) -> list[str]:
    """Offer what is still refused to the models just made; the reasons of what stays out."""
    if not refused or len(refused) > MAX_REFUSED:
        return [reason for _, reason in refused]
    reasons = dict(refused)
    rows = np.array(sorted(reasons), np.int64)
    for group in [g for g in report.groups if g.refitted]:
        if not len(rows):
            break
        facts = summaries(writer.archive, rows)
        counted = EmbedReport()
        rest = _extend(writer, group.name, rows, facts, np.arange(len(rows)), counted, progress)
        group.covered += sum(g.covered for g in counted.groups)
        rows = rows[rest]
    return [reasons[int(row)] for row in rows]


def _free_name(name: str, where: str | None, report: EmbedReport) -> str:
    """The group's name, told apart from models of other choices and of this run."""
    if where is not None:
        name = f"{name}-where-{hash63(where.encode()) % 16**4:04x}"
    taken = {g.name for g in report.groups}
    free, n = name, 1
    while free in taken:
        n += 1
        free = f"{name}-{n}"
    return free


def _in_words(reason: str) -> str:
    """Reasons that differ in numbers only are one reason."""
    if reason.startswith(("covers", "fits no model: covers", "good pixels cover")):
        return "covers too little of any group's range"
    if reason.startswith("fits no model: resolution"):
        return "resolution unlike that of any group"
    return reason


def _settings(
    encoder: str, domain: ModelDomain, members: int, components: int | None
) -> dict[str, Any]:
    if encoder != "pca":
        return {}
    from ..embed.pca_fit import FitSettings

    most = max(2, min(members // 4, domain.n_pix // 4, 512))
    return {
        "settings": FitSettings(n_components=min(components or FitSettings().n_components, most))
    }


def _fit_one(
    writer: Writer,
    model: Encoder,
    name: str,
    members: Rows,
    where: str | None,
    progress: Progress,
) -> tuple[GroupReport | None, list[tuple[int, str]]]:
    """Fit and store one model; its report, and (row, reason) of the members it refuses."""
    archive = writer.archive
    training = members[:: max(1, -(-len(members) // MAX_TRAIN))]
    preparer = Preparer(model.domain)
    with Spool(model.domain, archive.root) as kept:
        progress.start(f"preparing {name}", len(training))
        for batch, chunk, _ in prepared(archive, preparer, training):
            kept.add(batch)
            progress.advance(len(chunk))
        least = max(GroupingRules().least_members, 2 * _components(model))
        if len(kept) < least:
            why = f"fewer than {least} usable spectra in its group"
            return None, [(int(row), why) for row in members]
        progress.start(f"fitting {name}", None)
        model.fit(kept, progress)
        trained = len(kept)
    ref = model.save(archive.root / "models" / model.ref.model_id)
    columns, refused = _encode(archive, model, preparer, members, progress)
    table = _dated(_table(columns, model, ref.model_id), archive, where)
    writer.put_table(f"embeddings/{name}", table)
    covered = len(columns["uid"])
    return _group_report(model, name, covered, trained, True), refused


def _components(model: Encoder) -> int:
    settings = getattr(model, "settings", None)
    return int(getattr(settings, "n_components", 2))


def prepared(
    archive: Archive, preparer: Preparer, rows: Rows, size: int = 256
) -> Iterator[tuple[Prepared, Rows, tuple[LeftOut, ...]]]:
    """(batch, catalogue rows given, those left out) over `rows` in storage order."""
    for chunk, spectra in archive.scan(rows, size):
        batch, left = preparer.batch(spectra)
        yield batch, chunk, left


def _encode(
    archive: Archive, model: Encoder, preparer: Preparer, rows: Rows, progress: Progress
) -> tuple[dict[str, Any], list[tuple[int, str]]]:
    """Columns of the embedding of `rows`, and (row, reason) of those the model refuses."""
    columns: dict[str, list[Any]] = {
        k: [] for k in ("uid", "fingerprint", "vector", "variance", "chi2", "n_pix", "n_fit",
                        "snr", "coverage", "scale", "noise_source")
    }  # fmt: skip
    refused: list[tuple[int, str]] = []
    progress.start("encoding", len(rows))
    for batch, chunk, out in prepared(archive, preparer, rows):
        if progress.cancelled():
            raise TransientError("cancelled: nothing was stored", code="cancelled",
                                 remedy="run the same command again")  # fmt: skip
        refused += [(int(chunk[o.index]), o.reason) for o in out]
        progress.advance(len(chunk))
        if not len(batch):
            continue
        encoded = model.encode(batch.flux, batch.ivar)
        mine = chunk[batch.index]
        columns["uid"].append(archive.index.value("uid", mine))
        columns["fingerprint"].append(archive.index.value("fingerprint", mine))
        columns["vector"].append(encoded.vectors)
        columns["variance"].append(encoded.variance)
        columns["chi2"].append(encoded.chi2)
        columns["n_pix"].append(encoded.n_pix.astype(np.int64))
        columns["n_fit"].append(encoded.n_fit)
        for key in ("snr", "coverage", "scale"):
            columns[key].append(getattr(batch, key))
        columns["noise_source"].append(np.array([s.value for s in batch.noise_source], object))
    return {k: np.concatenate(v) if v else [] for k, v in columns.items()}, refused


def _table(columns: dict[str, Any], model: Encoder, model_id: str) -> pa.Table:
    arrays = {}
    for name, values in columns.items():
        if name in ("vector", "variance"):
            flat = pa.array(np.ascontiguousarray(values, np.float32).reshape(-1))
            arrays[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
        else:
            arrays[name] = pa.array(values)
    ref = model.ref
    meta = {"model_id": model_id, "model_name": ref.name, "version": ref.version,
            "weights_hash": ref.weights_hash, "training": ref.training}  # fmt: skip
    return pa.table(arrays).replace_schema_metadata(meta)


def _group_report(
    model: Encoder, name: str, covered: int, trained: int, refitted: bool
) -> GroupReport:
    d = model.domain
    high = d.resolution[1] if np.isfinite(d.resolution[1]) else None
    return GroupReport(
        model=model.ref.model_id, name=name, wave_min_aa=d.wave_min_aa,
        wave_max_aa=d.wave_max_aa, pixels=d.n_pix, resolution=(d.resolution[0], high),
        frame=d.frame, flux_kind=d.flux_kind.value, covered=covered, trained_on=trained,
        refitted=refitted,
    )  # fmt: skip


def _extend(
    writer: Writer, name: str, rows: Rows, facts: Sequence[SpectrumSummary],
    rest: NDArray[np.int64], report: EmbedReport, progress: Progress,
) -> NDArray[np.int64]:  # fmt: skip
    """Encode with an existing model what it covers and has not seen; returns what is left."""
    archive = writer.archive
    model = load_model(archive, name)
    table = archive.table(f"embeddings/{name}")
    known = np.isin(archive.index.value("uid", rows[rest]), table.column("uid").to_numpy())
    fresh_prints = np.isin(
        archive.index.value("fingerprint", rows[rest]), table.column("fingerprint").to_numpy()
    )
    done = known & fresh_prints
    fits = np.array([model.domain.covers(facts[i])[0] for i in rest], bool)
    todo = rest[fits & ~done]
    if len(todo):
        columns, _ = _encode(archive, model, Preparer(model.domain), rows[todo], progress)
        if len(columns["uid"]):
            table = _merged(table, _table(columns, model, model.ref.model_id))
            table = _dated(table, archive, chosen_by(archive, name))
            writer.put_table(f"embeddings/{name}", table)
            _drop_scores(writer, name)
            new = columns["uid"]
            done = done | np.isin(archive.index.value("uid", rows[rest]), new)
    if done.any():
        trained = int(model.ref.training.split()[0]) if model.ref.training else 0
        report.groups.append(_group_report(model, name, int(done.sum()), trained, False))
    return rest[~done]


def _dated(table: pa.Table, archive: Archive, where: str | None) -> pa.Table:
    """The table with what it was made of: the catalogue's rows then, and the filter."""
    meta = dict(table.schema.metadata or {})
    meta[b"catalogue_rows"] = str(archive.catalogue_rows).encode()
    if where is not None:
        meta[b"where"] = json.dumps(where).encode()
    return table.replace_schema_metadata(meta)


def _merged(old: pa.Table, new: pa.Table) -> pa.Table:
    """Old rows except those whose observation has a new content, then the new ones."""
    keep = ~np.isin(old.column("uid").to_numpy(), new.column("uid").to_numpy())
    old = old.filter(pa.array(keep))
    return pa.concat_tables([old, new.cast(old.schema).replace_schema_metadata(
        old.schema.metadata)])  # fmt: skip


def _drop_scores(writer: Writer, name: str) -> None:
    """Scores belong to the vectors they were made from."""
    for score in writer.archive.names("scores"):
        if score.endswith(f".{name}"):
            writer.drop_table(f"scores/{score}")


__all__ = ["EmbedReport", "NoiseSource", "embed", "load_model", "prepared", "summaries"]
