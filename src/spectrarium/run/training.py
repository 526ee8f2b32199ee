"""Store → spool → model: teach an encoder each group of an archive's spectra, so that a run that is
killed at any moment goes on where it was and nothing half-made is ever registered."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from ..domain.errors import DataError, TransientError, UsageError
from ..domain.progress import Progress, Silent
from ..embed.encoder import Encoder, encoder_named
from ..embed.grouping import (
    ProposedModel,
    propose_models,
    propose_wide_models,
    refuse_range,
)
from ..store.archive import Archive, Rows
from ..store.writer import open_writer
from .groups import Refused, counted, free_name, in_groups, summaries
from .objects import OBJECTS_ARE, objects_of
from .spooling import digest, fill, job_of, spool_for
from .train_options import (
    MAX_TRAIN,
    TrainedGroup,
    TrainOptions,
    TrainReport,
    check_options,
    completed,
    least_spectra,
    rules_of,
    settings_for,
)
from .trained import (
    Trained,
    install,
    keep_refused,
    refused_by,
    register,
    trained_models,
)


def train(
    root: Path, options: TrainOptions, *, progress: Progress | None = None, wait_s: float = 60.0
) -> TrainReport:
    """Teach `options.encoder` each group of spectra that can be compared.

    The archive is locked only to register a finished model: it can be read and filled meanwhile. A
    model that `embed` used before stays in use until `embed` has encoded everything anew.

    Raises
    ------
    UsageError : no spectra (``nothing_to_do``), none that reaches the range asked for
        (``no_coverage``), no group from which a model could be learnt (``nothing_trained``),
        unknown encoder, device, column or option
    TransientError : cancelled, or the same training is running (``locked``)
    """
    progress = progress or Silent()
    kind = encoder_named(options.encoder)
    options = completed(kind, options)
    check_options(kind, options)
    rules = rules_of(kind, options)
    archive = Archive(root)
    rows = archive.find(where=options.where)
    if not len(rows):
        raise UsageError("no observation to learn from", code="nothing_to_do",
                         remedy="ingest some, or loosen --where")  # fmt: skip
    facts = summaries(archive, rows)
    refuse_range(facts, rules)
    report = TrainReport(options.encoder, observations=len(rows), version=archive.version)
    objects = objects_of(archive, rows, options.object_column)
    trainer = _Trainer(archive, kind, options, rows, objects, report, progress, wait_s)
    propose = propose_wide_models if options.any_coverage else propose_models
    left = in_groups(archive, rows, facts, lambda s: propose(s, rules), trainer.group)
    report.left_out = counted([reason for _, reason in left + trainer.without])
    _tell_leftovers(archive.root / "models" / ".training", progress)
    if not report.groups:
        reasons = "; ".join(f"{n}: {why}" for why, n in list(report.left_out.items())[:4])
        raise UsageError(f"no group of spectra could be learnt from ({reasons})",
                         code="nothing_trained", where=options.encoder,
                         remedy="ingest more spectra like these, ask for fewer latents, or choose "
                         "others with --where"
                         + (" or --range" if options.range_aa else ""))  # fmt: skip
    return report


def _tell_leftovers(folder: Path, progress: Progress) -> None:
    """Spools are large: interrupted trainings that nobody goes on with are worth a word."""
    kept = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    if kept:
        progress.note(f"interrupted trainings are kept in {folder} ({', '.join(kept)}): run their "
                      "commands again to go on, or delete their folders")  # fmt: skip


@dataclass
class _Trainer:
    """Makes the model of one group after the other."""

    archive: Archive
    kind: type[Encoder]
    options: TrainOptions
    rows: Rows
    objects: NDArray[np.int64]
    report: TrainReport
    progress: Progress
    wait_s: float
    without: Refused = field(default_factory=list)

    def group(self, group: ProposedModel, members: Rows) -> Refused:
        """Train, save and register; (row, reason) of those that its preparation refuses."""
        o = self.options
        taken = {g.name for g in self.report.groups}
        name = free_name(f"{o.encoder}.{group.name}", o.where, taken, o.name)
        chosen = self._chosen(members)
        settings = settings_for(self.kind, o, group, len(chosen))
        if isinstance(settings, str):
            return self._given_up(members, settings)
        try:
            model = self.kind(group.domain, settings, name=name)  # type: ignore[call-arg]
        except UsageError as error:
            if error.code != "other_grid":  # a network of others may be for other wavelengths
                raise
            return self._given_up(members, error.what)
        data_job = job_of(self.archive, group.domain, chosen, self._objects_of(chosen))
        job = digest({"data": data_job, "encoder": o.encoder, "settings": plain(settings)})
        known = self._there_already(name, job, group, members)
        if known is not None:
            return known
        folder = self.archive.root / "models" / ".training" / name
        with _locked(folder):
            spool = spool_for(folder / "spool", group.domain, data_job, self.progress)
            with spool:
                refused = fill(spool, self.archive, chosen, self._objects_of(chosen), name,
                               self.progress)  # fmt: skip
                least = least_spectra(o.encoder, settings)
                if len(spool) < least:
                    why = f"fewer than {least} usable spectra in its group"
                    refused = [(int(row), why) for row in members]
                try:
                    if len(spool) >= least:
                        self._learn(model, spool, folder, name, job, group, len(members), refused)
                except DataError as error:
                    if error.code != "too_few_spectra":
                        raise
                    refused = self._given_up(members, f"too few for this encoder: {error.what}")
            shutil.rmtree(folder, ignore_errors=True)
        folder.with_name(f"{name}.lock").unlink(missing_ok=True)
        return refused

    def _given_up(self, members: Rows, why: str) -> Refused:
        """Remember that these get no model, whatever their good pixels are."""
        self.without += [(int(row), why) for row in members]
        return []

    def _chosen(self, members: Rows) -> Rows:
        """The members to learn from, in the order of storage."""
        most = self.options.max_train or MAX_TRAIN
        if len(members) > most:
            rng = np.random.default_rng(self.options.seed or 0)
            members = rng.choice(members, most, replace=False)
        order = np.argsort(self.archive.index.value("pixel_row", members), kind="stable")
        return members[order]

    def _objects_of(self, rows: Rows) -> NDArray[np.int64]:
        order = np.argsort(self.rows, kind="stable")
        return self.objects[order][np.searchsorted(self.rows[order], rows)]

    def _there_already(
        self, name: str, job: str, group: ProposedModel, members: Rows
    ) -> Refused | None:
        """Those that it refused if this very model is registered and sound; else None."""
        for found in trained_models(self.archive, self.options.encoder):
            if (found.name, found.job) != (name, job):
                continue
            try:
                self.kind.load(self.archive.root / "models" / found.model_id)
                refused = refused_by(self.archive, found.model_id, members)
            except DataError as error:
                self.progress.note(f"{name} is damaged and trained anew: {error.what}")
                return None
            self.progress.note(f"{name} was trained on these spectra like this before: kept")
            self.report.groups.append(_grouped(found, group, len(members), 0.0, False, None))
            return refused
        return None

    def _learn(
        self, model: Encoder, spool: Any, folder: Path, name: str, job: str,
        group: ProposedModel, members: int, refused: Refused,
    ) -> None:  # fmt: skip
        o, started = self.options, time.monotonic()
        self.progress.start(f"training {name}", None)
        with _losses_shown(self.progress):
            outcome = _fit(model, spool, folder / "checkpoint", o.device, self.progress)
        if self.progress.cancelled():
            raise TransientError("training was cancelled", code="cancelled",
                                 remedy="run the same command again: it goes on")  # fmt: skip
        seconds = time.monotonic() - started
        flux, ivar = spool.take(np.array([0]))
        latent = int(model.encode(flux, ivar).vectors.shape[1])
        staged = folder / "model"
        shutil.rmtree(staged, ignore_errors=True)
        ref = model.save(staged)
        keep_refused(staged, self.archive, refused)
        made = Trained(
            name=name, model_id=ref.model_id, encoder=o.encoder, family=o.family, job=job,
            where=o.where, latent=latent, spectra=len(spool),
            objects=len(np.unique(spool.objects)), archive_version=self.archive.version,
            made=datetime.now(UTC).isoformat(timespec="seconds"),
            device=str(getattr(model, "device", "cpu")),
        )  # fmt: skip
        install(self.archive, staged, ref.model_id, self._card(made, group, seconds))
        with open_writer(self.archive.root, self.wait_s) as writer:
            register(writer, made)
            self.report.version = writer.archive.version
        self.report.groups.append(_grouped(made, group, members, seconds, True, outcome))

    def _card(self, made: Trained, group: ProposedModel, seconds: float) -> dict[str, Any]:
        """What the card says beyond the encoder's own words."""
        by = self.options.object_column
        return {
            "archive_version": made.archive_version, "spectra": made.spectra,
            "objects": made.objects, "filter": made.where, "made": made.made,
            "preparation": group.domain.preparation, "latent": made.latent,
            "seconds": round(seconds, 3), "device": made.device,
            "code_version": version("spectrarium"),
            "split": "whole objects are held out, chosen by a hash of object and seed; their "
                     "share is `held_out` of the settings, if the encoder holds any out",
            "objects_are": f"column {by}, else " * bool(by) + OBJECTS_ARE,
            "options": {k: v for k, v in asdict(self.options).items() if v not in (None, {})},
        }  # fmt: skip


def _fit(model: Encoder, spool: Any, folder: Path, device: str, progress: Progress) -> Any:
    """Fit from the checkpoint if there is one; of another or a damaged one, anew, saying so."""
    try:
        return model.fit(spool, progress, checkpoint_dir=folder, device=device)
    except DataError as error:
        if error.code not in ("foreign_checkpoint", "damaged_checkpoint"):
            raise
        progress.note(f"training starts anew: {error.what}")
    shutil.rmtree(folder, ignore_errors=True)
    return model.fit(spool, progress, checkpoint_dir=folder, device=device)


class _Notes(logging.Handler):
    """Turns what encoders log about an epoch (its losses) into notes."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(logging.INFO)
        self.progress, self.last = progress, time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        """One line, with the seconds since the last one."""
        now = time.monotonic()
        self.progress.note(f"{record.getMessage()} ({now - self.last:.1f} s)")
        self.last = now


@contextmanager
def _losses_shown(progress: Progress) -> Iterator[None]:
    log = logging.getLogger("spectrarium.embed.deep_train")
    level, disabled, handler = log.level, log.disabled, _Notes(progress)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.disabled = False  # any library that configures logging may have switched it off
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.disabled = disabled


def plain(value: Any) -> Any:
    """A dataclass as a dict of plain values."""
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _grouped(
    made: Trained, group: ProposedModel, members: int, seconds: float, fitted: bool, outcome: Any
) -> TrainedGroup:
    d = group.domain
    told = plain(outcome)
    return TrainedGroup(
        name=made.name, model=made.model_id, wave_min_aa=d.wave_min_aa, wave_max_aa=d.wave_max_aa,
        pixels=d.n_pix, frame=d.frame, flux_kind=d.flux_kind.value, latent=made.latent,
        members=members, spectra=made.spectra, objects=made.objects, seconds=seconds,
        fitted=fitted, own_pixels=group.own_pixels, coarser=group.coarser,
        report=told if isinstance(told, dict) else {},
    )  # fmt: skip


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One training of a name at a time; the lock dies with its process."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_name(f"{folder.name}.lock"))
        lock.acquire(timeout=0)
    except Timeout as error:
        raise TransientError(
            f"{folder.name} is being trained by another process", code="locked",
            where=str(folder), remedy="wait for it, or give this one another --name",
        ) from error  # fmt: skip
    except OSError as error:
        raise TransientError(f"cannot be written: {error}", code="disk_full",
                             where=str(folder)) from error  # fmt: skip
    try:
        yield
    finally:
        lock.release()
