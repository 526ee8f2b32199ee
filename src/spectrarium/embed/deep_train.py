"""Training a network: one loop for all, that can be killed at any moment and go on as if not."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..domain.errors import DataError, TransientError
from ..domain.progress import Progress
from .checkpoint import read_checkpoint, write_checkpoint
from .deep_feed import Batch, Feed, equal_batches, seed_of, shuffled
from .deep_settings import DeepSettings
from .device import TRAIN_SMALLER, memory_guard, mixed_precision
from .training_set import TrainingSet, held_out

log = logging.getLogger(__name__)

LossOfBatch = Callable[[Batch], torch.Tensor]
"""A batch → the mean loss per spectrum, a scalar; reads module.training for what differs."""
Order = Callable[[NDArray[np.int64], np.random.Generator], NDArray[np.int64]]
"""Training rows → the order in which one epoch takes them; batches are cut from it."""
LEAST = 32
"""Fewer spectra than this teach a network nothing."""
_LOOK_EVERY = 25
"""Steps between looks at whether the loss is still finite: each look waits for the device."""


@dataclass(frozen=True, slots=True)
class Split:
    """Rows that are learnt from and rows that judge, no object in both; ascending."""

    train: NDArray[np.int64]
    judge: NDArray[np.int64]


def split_by_object(data: TrainingSet, settings: DeepSettings) -> Split:
    """About `settings.held_out` of the objects judge.

    Raises
    ------
    DataError : ``too_few_spectra``: fewer than 32, or than latents, or than four objects
    """
    outside = held_out(data.objects, settings.held_out, settings.seed)
    objects = np.unique(data.objects)
    if not outside.any() or outside.all():  # few objects: the draw may take none or all
        outside = data.objects == objects[seed_of(settings.seed) % max(len(objects), 1)]
    train = np.flatnonzero(~outside)
    least = max(LEAST, settings.least_spectra)
    if len(train) < least or len(objects) < 4:
        raise DataError(
            f"{len(train)} spectra of {len(objects)} objects are too few to train a network with "
            f"{settings.latent} latents", code="too_few_spectra",
            remedy=f"give at least {least} spectra of several objects besides those held out, ask "
            "for fewer latents, or use --encoder pca",
        )  # fmt: skip
    return Split(train, np.flatnonzero(outside))


@dataclass(frozen=True, slots=True)
class Trained:
    """How training went. history : (training, held-out) mean loss per spectrum of each epoch.

    best_epoch : counted from 0, the one whose weights were kept · stopped_early : it got no better
    seconds : of computing, over all resumed parts
    """

    history: tuple[tuple[float, float], ...]
    best_epoch: int
    stopped_early: bool
    n_train: int
    n_held_out: int
    seconds: float


def train(
    module: nn.Module, loss_of_batch: LossOfBatch, data: TrainingSet, settings: DeepSettings, *,
    split: Split, progress: Progress, device: torch.device, fingerprint: str = "",
    checkpoint_dir: Path | None = None, checkpoint_minutes: float = 10.0,
    order: Order | None = None,
) -> Trained:  # fmt: skip
    """Minimise the loss by AdamW; `module` ends with the weights that did best on held-out objects.

    Linear warm-up, then a cosine to 1 % of the rate; clipped gradients; bfloat16 and compilation on
    CUDA. All randomness comes from (seed, epoch, step): the same seed gives the same weights on the
    same machine and number of threads (on CUDA up to the order of sums), and a run that resumes
    from `checkpoint_dir` ends with the weights of one that was never interrupted.

    Raises
    ------
    DataError : the loss is not finite (``diverged``; the best weights so far are in `module` and in
        the checkpoint); a checkpoint that is damaged or another run's
    TransientError : cancelled (``cancelled``, after a checkpoint), or ``out_of_memory``
    """
    run = _Run(module, loss_of_batch, data, settings, split, progress, device, order)
    run.keep_in(checkpoint_dir, fingerprint, checkpoint_minutes)
    cuda = [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=cuda),
        memory_guard(device, f"training with {settings.batch} spectra a batch", TRAIN_SMALLER),
    ):
        return run.go()


class _Run:
    """The state of one training and what moves it on."""

    def __init__(
        self, module: nn.Module, loss_of_batch: LossOfBatch, data: TrainingSet,
        settings: DeepSettings, split: Split, progress: Progress, device: torch.device,
        order: Order | None,
    ) -> None:  # fmt: skip
        self.module, self.data, self.settings, self.split = module, data, settings, split
        self.progress, self.device = progress, device
        compiled = settings.compile and device.type == "cuda"
        if compiled:  # else the ninth network trained in this process would not be compiled
            torch.compiler.reset()
        self.loss_of_batch = torch.compile(loss_of_batch) if compiled else loss_of_batch
        self.order = order or (lambda rows, rng: shuffled(rows, 8 * data.domain.n_pix, rng))
        self.feed = Feed(data, device)
        decayed = [p for p in module.parameters() if p.requires_grad and p.ndim > 1]
        plain = [p for p in module.parameters() if p.requires_grad and p.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": settings.weight_decay},
             {"params": plain, "weight_decay": 0.0}],
            lr=settings.learning_rate, betas=(0.9, 0.99), fused=device.type == "cuda" or None,
        )  # fmt: skip
        self.steps = len(equal_batches(split.train, settings.batch))
        self.judge = [split.judge[i : i + settings.batch]
                      for i in range(0, len(split.judge), settings.batch)]  # fmt: skip
        self.epoch = self.step = 0
        self.total = torch.zeros((), device=device)
        self.history: list[tuple[float, float]] = []
        self.best_epoch = -1
        self.best: dict[str, torch.Tensor] = {}
        self.seconds = 0.0
        self.where: Path | None = None

    def keep_in(self, directory: Path | None, fingerprint: str, minutes: float) -> None:
        """Take up the checkpoint that lies there, and write to it from now on."""
        self.where, self.fingerprint, self.minutes = directory, fingerprint, minutes
        state = None if directory is None else read_checkpoint(directory, fingerprint)
        self.resumed = state is not None
        if state is not None:
            self.module.load_state_dict(state["module"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.epoch, self.step = state["epoch"], state["step"]
            self.total = state["total"].to(self.device)
            self.history = [(a, b) for a, b in state["history"]]
            self.best_epoch, self.best = state["best_epoch"], state["best"]
            self.seconds = state["seconds"]

    def go(self) -> Trained:
        self.started = self.written = time.monotonic()
        self.progress.start("training", self.settings.epochs * self.steps)
        if self.resumed:
            self.progress.note(f"resumes in epoch {self.epoch + 1}, batch {self.step + 1}")
            self.progress.advance(self.epoch * self.steps + self.step)
        while self.epoch < self.settings.epochs and not self._no_better():
            self._one_epoch()
        self.module.load_state_dict(self.best)
        return Trained(
            tuple(self.history), self.best_epoch, self.epoch < self.settings.epochs,
            len(self.split.train), len(self.split.judge), self._seconds(),
        )  # fmt: skip

    def _seconds(self) -> float:
        return self.seconds + time.monotonic() - self.started

    def _no_better(self) -> bool:
        return self.epoch - 1 - self.best_epoch >= self.settings.patience

    def _one_epoch(self) -> None:
        rng = np.random.default_rng(seed_of(self.settings.seed, self.epoch))
        batches = equal_batches(self.order(self.split.train, rng), self.settings.batch)
        self.module.train()
        for batch in self.feed(batches[self.step :]):
            self._one_step(batch)
            self.step += 1
            self.progress.advance()
            if self.step % _LOOK_EVERY == 0 or self.step == self.steps:
                self._check(self.total)
            if self.step < self.steps and time.monotonic() - self.written > 60 * self.minutes:
                self._write()
            if self.progress.cancelled():
                self._cancel()
        mean = float(self.total) / self.steps
        self.history.append((mean, self._judged()))
        self._check(self.history[-1][1])
        if self.best_epoch < 0 or self.history[-1][1] < self.history[self.best_epoch][1]:
            self.best_epoch = self.epoch
            self.best = _on_host(self.module.state_dict())
        self.epoch, self.step = self.epoch + 1, 0
        self.total = torch.zeros((), device=self.device)
        log.info("epoch %d: loss %.5g, held out %.5g", self.epoch, *self.history[-1])
        self._write()

    def _one_step(self, batch: Batch) -> None:
        at = self.epoch * self.steps + self.step
        rate = self.settings.learning_rate * share_of_rate(
            at, self.settings.epochs * self.steps, self.settings.warm_up
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        torch.manual_seed(seed_of(self.settings.seed, self.epoch, self.step))
        self.optimiser.zero_grad(set_to_none=True)
        with mixed_precision(self.device):
            loss = self.loss_of_batch(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.module.parameters(), self.settings.clip_gradient)
        self.optimiser.step()
        self.total += loss.detach()

    def _judged(self) -> float:
        """Mean loss of held-out spectra; the same random numbers every time."""
        with evaluating(self.module), torch.no_grad(), mixed_precision(self.device):
            total = torch.zeros((), device=self.device, dtype=torch.float32)
            for i, batch in enumerate(self.feed(self.judge)):
                torch.manual_seed(seed_of(self.settings.seed, "judge", i))
                total += self.loss_of_batch(batch) * len(batch)
        return float(total) / len(self.split.judge)

    def _check(self, loss: torch.Tensor | float) -> None:
        if math.isfinite(float(loss)):
            return
        if self.best:
            self.module.load_state_dict(self.best)
        raise DataError(
            f"training diverged in epoch {self.epoch + 1}: the loss is not finite", code="diverged",
            where="" if self.where is None else str(self.where),
            remedy="train again with another --seed or a larger --batch (in Python also a lower "
            "learning rate); if it happens again, look for spectra with absurd values",
        )  # fmt: skip

    def _cancel(self) -> None:
        self._write()
        raise TransientError(
            f"training was cancelled in epoch {self.epoch + 1}", code="cancelled",
            remedy="train again" if self.where is None
            else "nothing is lost: run the same command again and it goes on from here",
        )  # fmt: skip

    def _write(self) -> None:
        if self.where is None:
            return
        self._check(self.total)
        write_checkpoint(self.where, {
            "module": self.module.state_dict(), "optimiser": self.optimiser.state_dict(),
            "epoch": self.epoch, "step": self.step, "total": self.total,
            "history": self.history, "best_epoch": self.best_epoch, "best": self.best,
            "seconds": self._seconds(),
        }, self.fingerprint)  # fmt: skip
        self.written = time.monotonic()


def share_of_rate(step: int, steps: int, warm_up: float) -> float:
    """The learning rate of a step as a share of its peak: linear warm-up, then a cosine to 1 %."""
    rising = max(1.0, warm_up * steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    done = (step - rising) / max(1.0, steps - rising)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """The module in evaluation mode for the block, then as it was."""
    before = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(before)


def _on_host(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {name: copy.deepcopy(tensor.detach().cpu()) for name, tensor in state.items()}
