"""Store → embed → store: every observation that a model covers gets its vector."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.derived import NoiseSource
from ..domain.errors import UsageError
from ..domain.progress import Progress, Silent
from ..embed.domain import SpectrumSummary
from ..embed.encoder import Encoder, check_device, encoder_named, move
from ..embed.grouping import GroupingRules, ProposedModel, propose_models
from ..embed.prepare import Preparer
from ..embed.spool import Spool
from ..store.archive import Archive, Rows
from ..store.writer import Writer, open_writer
from .encoding import covered_by, encode, held, parts_folder, store
from .groups import MAX_REFUSED, Refused, counted, free_name, in_groups, summaries
from .index import freshen
from .objects import OBJECTS_ARE, objects_of
from .preparing import prepared
from .train_options import TrainOptions, least_spectra, settings_for
from .trained import (
    Trained,
    chosen_by,
    domain_of,
    encoder_of,
    install,
    load_model,
    made_at,
    model_card,
    model_dir,
    model_id_of,
    model_records,
    trained_models,
)

MAX_TRAIN = 100_000
"""Spectra a linear model is fitted on at most; of more, evenly spaced ones."""
FITS_ITSELF = "pca"
"""The encoder that `embed` fits as it goes; the others are taught by `train`."""


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


def embed(
    root: Path,
    encoder: str = FITS_ITSELF,
    *,
    where: str | None = None,
    components: int | None = None,
    refit: bool = False,
    rules: GroupingRules | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    wait_s: float = 60.0,
) -> EmbedReport:
    """Give every observation that a model can cover a vector.

    Models that `train` made encode all they cover; those that exist are used as they are for what
    has come since. With pca, what no model covers is then grouped by shared coverage, one new
    model a group of at least 20 (all of it with `refit`). Where there are very many vectors, their
    approximate index is built too, if there is none or it is old.

    components : of each model; a group too small for so many gets none

    Raises
    ------
    UsageError : no observation (``nothing_to_do``), an encoder that has to be trained first
        (``not_trained``), models there already of another number of components, or no group that
        allows so many (``bad_components``)
    TransientError : cancelled; what was encoded is kept and not encoded again
    """
    progress = progress or Silent()
    kind = encoder_named(encoder)
    _check_options(encoder, components, refit)
    check_device(encoder, device)
    with open_writer(root, wait_s) as writer:
        archive = writer.archive
        rows = archive.find(where=where)
        if not len(rows):
            raise UsageError("no observation to embed", code="nothing_to_do",
                             remedy="ingest some, or loosen --where")  # fmt: skip
        run = _Run(writer, kind, encoder, where, components, rules, device, progress)
        run.report.observations = len(rows)
        run.go(rows, summaries(archive, rows), refit)
        run.report.version = writer.archive.version
        shutil.rmtree(parts_folder(writer.root), ignore_errors=True)
    freshen(Archive(root), encoder, progress)
    return run.report


def _check_options(encoder: str, components: int | None, refit: bool) -> None:
    if encoder == FITS_ITSELF:
        return
    for option, given in (("--components", components is not None), ("--refit", refit)):
        if given:
            raise UsageError(
                f"{option} is for {FITS_ITSELF}, which is fitted here", code="no_such_option",
                where=encoder, remedy=f"run `spectrarium train {encoder}` with what you want",
            )  # fmt: skip


@dataclass
class _Run:
    """One pass over the models of an encoder."""

    writer: Writer
    kind: type[Encoder]
    encoder: str
    where: str | None
    components: int | None
    rules: GroupingRules | None
    device: str
    progress: Progress
    report: EmbedReport = field(default_factory=EmbedReport)
    refused: dict[int, str] = field(default_factory=dict)
    too_small: list[str] = field(default_factory=list)

    def go(self, rows: Rows, facts: list[SpectrumSummary], refit: bool) -> None:
        """Encode with what was trained, extend what there is, fit the rest if this encoder can."""
        archive = self.writer.archive
        families: dict[str, list[Trained]] = defaultdict(list)
        for model in [] if refit else trained_models(archive, self.encoder):
            families[model.family].append(model)
        if not families and self.encoder != FITS_ITSELF:
            raise UsageError(
                f"no {self.encoder} model has been trained on this archive", code="not_trained",
                remedy=f"run `spectrarium train {self.encoder}` first",
            )  # fmt: skip
        if self.components is not None and not refit:
            self._refuse_other_components(facts)
        everything = np.arange(len(rows))
        has_vector = np.zeros(len(rows), bool)
        plain = everything
        for family, models in sorted(families.items()):
            rest = everything
            for model in sorted(models, key=lambda m: (-m.spectra, m.name)):
                rest = self._extend(model.name, rows, facts, rest, model)
            has_vector[np.setdiff1d(everything, rest)] = True
            if family == TrainOptions(self.encoder).family:  # what `embed` itself would have made
                plain = rest
        left: Refused = []
        if self.encoder == FITS_ITSELF:
            for name in [] if refit else self._own_models(archive):
                plain = self._extend(name, rows, facts, plain)
            has_vector[np.setdiff1d(everything, plain)] = True
            left = self._fit_rest(rows, facts, plain)
            if self.too_small and not self.report.groups:
                raise UsageError(
                    f"no group of spectra can be given so many: {'; '.join(self.too_small[:4])}",
                    code="bad_components", where="--components",
                    remedy="ask for fewer, or ingest more spectra like these",
                )  # fmt: skip
        else:
            left = self._reasons(rows, facts, np.flatnonzero(~has_vector))
        without = {row for row, _ in left}
        has_vector |= ~np.isin(rows, np.fromiter(without, np.int64, len(without)))
        self.report.covered = int(has_vector.sum())
        self.report.left_out = counted([r for row, r in left
                                        if not has_vector[np.searchsorted(rows, row)]])  # fmt: skip

    def _refuse_other_components(self, facts: Sequence[SpectrumSummary]) -> None:
        """What is used as it is cannot get the number of components that is asked for."""
        archive = self.writer.archive
        there = {m.name: m.latent for m in trained_models(archive, self.encoder)
                 if m.family == TrainOptions(self.encoder).family}  # fmt: skip
        for name in self._own_models(archive):
            schema = archive.dataset(f"embeddings/{name}").lance.schema
            there[name] = schema.field("vector").type.list_size
        for name, size in there.items():
            domain = domain_of(archive, name)
            if size != self.components and any(domain.covers(f)[0] for f in facts):
                raise UsageError(
                    f"{name}, which is there already, has {size} components, not "
                    f"{self.components}", code="bad_components", where="--components",
                    remedy="fit anew with --refit, or leave --components out",
                )  # fmt: skip

    def _own_models(self, archive: Archive) -> list[str]:
        """Embeddings that `embed` fitted for the same choice of observations."""
        trained = archive.names("trained")
        names = [n for n in archive.names("embeddings") if encoder_of(n) == self.encoder]
        return [n for n in names if n not in trained and chosen_by(archive, n) == self.where]

    def _extend(
        self, name: str, rows: Rows, facts: Sequence[SpectrumSummary], rest: NDArray[np.int64],
        trained: Trained | None = None,
    ) -> NDArray[np.int64]:  # fmt: skip
        """Encode with a model what it covers and has not seen; returns what is left."""
        archive = self.writer.archive
        there = name in archive.names("embeddings") and (
            trained is None or model_id_of(archive, name) == trained.model_id
        )
        if there or trained is None:
            model = load_model(archive, name)
        else:
            model = self.kind.load(archive.root / "models" / trained.model_id)
        move(model, self.encoder, self.device)
        fits = covered_by(model, [facts[i] for i in rest])
        done = held(archive, name, rows[rest]) if there else np.zeros(len(rest), bool)
        todo = rest[fits & ~done]
        if len(todo):
            parts, refused = encode(archive, model, Preparer(model.domain), rows[todo],
                                    self.progress)  # fmt: skip
            store(self.writer, name, model, parts, self._filter(name, there), extend=there)
            self.refused |= dict(refused)
            done |= fits & ~np.isin(rows[rest], np.array([r for r, _ in refused], np.int64))
        if done.any():
            self._add(model, name, int(done.sum()), _trained_on(model, trained), False)
        return rest[~done]

    def _filter(self, name: str, there: bool) -> str | None:
        """The filter whose observations the embedding is for, once these are part of it."""
        before = chosen_by(self.writer.archive, name) if there else self.where
        return self.where if before == self.where else None

    def _reasons(
        self, rows: Rows, facts: Sequence[SpectrumSummary], rest: NDArray[np.int64]
    ) -> Refused:
        """Why those that no trained model encoded were left out."""
        archive = self.writer.archive
        models = trained_models(archive, self.encoder) if len(rest) else []
        domains = [domain_of(archive, m.name) for m in models]
        out: Refused = []
        for i in rest:
            row = int(rows[i])
            why = next((r for d in domains if (r := d.covers(facts[i])[1])), "no model covers it")
            out.append((row, self.refused.get(row, why)))
        return out

    # what pca does by itself ------------------------------------------------------------------

    def _fit_rest(
        self, rows: Rows, facts: list[SpectrumSummary], rest: NDArray[np.int64]
    ) -> Refused:
        """Fit models for `rows[rest]`; (row, reason) of those that no model takes."""
        left = in_groups(
            self.writer.archive, rows[rest], [facts[i] for i in rest],
            lambda known: propose_models(known, self.rules), self._fit_group,
        )  # fmt: skip
        return self._place(left)

    def _fit_group(self, group: ProposedModel, members: Rows) -> Refused:
        archive = self.writer.archive
        taken = {g.name for g in self.report.groups}
        name = free_name(f"{self.encoder}.{group.name}", self.where, taken)
        options = TrainOptions(self.encoder, latent=self.components)
        settings = settings_for(self.kind, options, group, len(members))
        if isinstance(settings, str):
            self.too_small.append(settings)
            return [(int(row), settings) for row in members]
        model = self.kind(group.domain, settings, name=name)  # type: ignore[call-arg]
        training = members[:: max(1, -(-len(members) // MAX_TRAIN))]
        preparer = Preparer(model.domain)
        ordered = np.sort(training)
        objects = objects_of(archive, ordered)
        with Spool(model.domain, archive.root) as kept:
            self.progress.start(f"preparing {name}", len(training))
            for batch, chunk, _ in prepared(archive, preparer, training):
                kept.add(batch, objects[np.searchsorted(ordered, chunk[batch.index])])
                self.progress.advance(len(chunk))
            least = least_spectra(self.encoder, settings)
            if len(kept) < least:
                why = f"fewer than {least} usable spectra in its group"
                return [(int(row), why) for row in members]
            self.progress.start(f"fitting {name}", None)
            model.fit(kept, self.progress)
            trained_on, seen = len(kept), len(np.unique(kept.objects))
        staged = archive.root / "models" / f".{name}.staged"
        shutil.rmtree(staged, ignore_errors=True)
        model.save(staged)
        install(archive, staged, model.ref.model_id, {
            "archive_version": archive.version, "spectra": trained_on, "objects": seen,
            "objects_are": OBJECTS_ARE, "filter": self.where,
            "preparation": group.domain.preparation, "device": "cpu",
            "split": "nothing is held out",
        })  # fmt: skip
        parts, refused = encode(archive, model, preparer, members, self.progress)
        covered = store(self.writer, name, model, parts, self.where, extend=False)
        if name in self.writer.archive.names("trained"):  # it is another model from now on
            self.writer.drop_table(f"trained/{name}")
        if covered:
            self._add(model, name, covered, trained_on, True)
        return refused

    def _place(self, refused: Refused) -> Refused:
        """Offer what is still refused to the models just made; what stays out."""
        if not refused or len(refused) > MAX_REFUSED:
            return refused
        reasons = dict(refused)
        rows = np.array(sorted(reasons), np.int64)
        for group in [g for g in self.report.groups if g.refitted]:
            if not len(rows):
                break
            facts = summaries(self.writer.archive, rows)
            before = len(self.report.groups)
            rest = self._extend(group.name, rows, facts, np.arange(len(rows)))
            group.covered += sum(g.covered for g in self.report.groups[before:])
            del self.report.groups[before:]
            rows = rows[rest]
        return [(int(row), reasons[int(row)]) for row in rows]

    def _add(self, model: Encoder, name: str, covered: int, trained_on: int, new: bool) -> None:
        d = model.domain
        high = d.resolution[1] if np.isfinite(d.resolution[1]) else None
        self.report.groups.append(GroupReport(
            model=model.ref.model_id, name=name, wave_min_aa=d.wave_min_aa,
            wave_max_aa=d.wave_max_aa, pixels=d.n_pix, resolution=(d.resolution[0], high),
            frame=d.frame, flux_kind=d.flux_kind.value, covered=covered, trained_on=trained_on,
            refitted=new,
        ))  # fmt: skip


def _trained_on(model: Encoder, trained: Trained | None) -> int:
    if trained is not None:
        return trained.spectra
    first = model.ref.training.split()
    return int(first[0]) if first and first[0].isdigit() else 0


__all__ = [
    "EmbedReport", "GroupReport", "NoiseSource", "chosen_by", "embed", "load_model", "made_at",
    "model_card", "model_dir", "model_records", "prepared", "summaries",
]  # fmt: skip
