"""Small ensembles of networks that give quantiles or logits; numpy applies what torch trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .heads import Arrays, Floats, Lesson, log_loss, pinball

if TYPE_CHECKING:
    import torch

MEMBERS = 4
WIDTH = 64
_RATE, _DECAY = 3e-3, 1e-3
_BATCH = 256
_STEPS = 3000
"""Steps of training at most; training stops where the validation spectra say so."""
_LOOK = 50
_PATIENCE = 10
"""Looks at the validation spectra without getting better before training stops."""
_LATE = 9
"""How much more late steps count in the mean of a network's weights: it is about that of the last
tenth. Training stops while steps are large: where the last of them ended would be chance, and
intervals calibrated by other networks would hold more or less than they say."""
_NOISE = 104_729
"""Added to a seed for the numbers that noise comes from."""
Weights = dict[str, NDArray[Any]]


def fit(lessons: Sequence[Lesson]) -> list[tuple[Arrays, dict[str, Any]]]:
    """Of each lesson the weights of all members, and when the validation spectra said stop.

    All networks are trained in step: alone, such small ones keep a processor waiting.
    """
    with _one_thread():
        noisy, first = _noise_or_not(lessons)
        rest = [_Run(lesson, k, noisy[i]) for i, lesson in enumerate(lessons)
                for k in range(MEMBERS) if (i, k) not in first]  # fmt: skip
        others = iter(_trained(rest))
        return [_ensemble(lesson, [first.get((i, k)) or next(others) for k in range(MEMBERS)],
                          noisy[i]) for i, lesson in enumerate(lessons)]  # fmt: skip


def _ensemble(
    lesson: Lesson, members: Sequence[tuple[Weights, int]], noisy: bool
) -> tuple[Arrays, dict[str, Any]]:
    arrays = {n: np.stack([weights[n] for weights, _ in members]) for n in members[0][0]}
    arrays["number"] = np.array([lesson.n_classes == 0], np.int8)
    return arrays, {"steps": [steps for _, steps in members], "noise": noisy}


@contextmanager
def _one_thread() -> Iterator[None]:
    """torch with one thread: it keeps a pool of its own, which small matrices only wait for."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _noise_or_not(
    lessons: Sequence[Lesson],
) -> tuple[list[bool], dict[tuple[int, int], tuple[Weights, int]]]:
    """Whether each lesson's noise is drawn anew each step, where that was chosen or does better,
    and the first members that were trained to find out."""
    noisy = [lesson.noise is not None and bool(lesson.chosen.get("noise")) for lesson in lessons]
    open_ = [i for i, one in enumerate(lessons) if one.noise is not None and not one.chosen]
    pairs = iter(_trained([_Run(lessons[i], 0, n) for i in open_ for n in (True, False)]))
    first = {}
    for i, with_noise, without in zip(open_, pairs, pairs, strict=True):
        noisy[i] = _judged(lessons[i], with_noise[0]) < _judged(lessons[i], without[0])
        first[i, 0] = with_noise if noisy[i] else without
    return noisy, first


def predict(arrays: Arrays, x: Floats) -> Floats:
    """(n, q) rising quantiles, or (n, C) logits: the mean of the members."""
    total: Floats | float = 0.0
    members = len(arrays["w0"])
    for k in range(members):
        out = x.astype(np.float64)
        for layer in range(3):
            out = out @ arrays[f"w{layer}"][k] + arrays[f"b{layer}"][k]
            if layer < 2:
                out = out / (1.0 + np.exp(-np.clip(out, -60.0, 60.0)))
        total = total + (_rising(out) if arrays["number"][0] else _log_softmax(out))
    return np.asarray(total / members)


def _rising(out: Floats) -> Floats:
    """Median plus or minus positive steps: quantiles of one network never cross."""
    middle = out.shape[1] // 2
    steps = np.logaddexp(0.0, out)
    up = np.cumsum(steps[:, middle + 1 :], axis=1)
    down = np.cumsum(steps[:, :middle][:, ::-1], axis=1)[:, ::-1]
    centre = out[:, middle : middle + 1]
    return np.concatenate([centre - down, centre, centre + up], axis=1)


def _log_softmax(out: Floats) -> Floats:
    top = out - out.max(axis=1, keepdims=True)
    return np.asarray(top - np.log(np.exp(top).sum(axis=1, keepdims=True)))


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """One network to train: member `k` of a lesson, with its noise drawn anew or not."""

    lesson: Lesson
    k: int
    noisy: bool

    @property
    def seed(self) -> int:
        return self.lesson.seed + 7919 * self.k

    @property
    def most(self) -> int:
        return int(self.lesson.chosen["steps"][self.k]) if self.lesson.chosen else _STEPS


def _trained(runs: Sequence[_Run]) -> list[tuple[Weights, int]]:
    """Each network's best weights on its validation spectra, or those after the steps chosen.

    Weights are means over the steps, late ones counting most. Source: Shamir & Zhang 2013
    (arXiv:1212.1824): polynomial-decay averaging.
    runs : of lessons that have features, quantiles or classes in common. What comes of one does
    not depend on the others, but for the rounding of sums.
    """
    import torch

    if not runs:
        return []
    done: dict[int, tuple[Weights, int]] = {}
    best: list[tuple[float, int, Weights]] = [(np.inf, _LOOK, {}) for _ in runs]
    there, step = list(range(len(runs))), 0
    source = _Source(runs)
    net = source.networks(runs)
    optimiser = torch.optim.AdamW(net, lr=_RATE, weight_decay=_DECAY, fused=True)
    mean = [t.detach().clone() for t in net]
    while there:
        step += 1
        x, y = source.batch([runs[i] for i in there])
        for group in optimiser.param_groups:  # down to a hundredth, along half a cosine
            group["lr"] = _RATE * (0.505 + 0.495 * float(np.cos(np.pi * step / _STEPS)))
        optimiser.zero_grad()
        torch.autograd.backward(source.loss(_forward(net, x), y))
        optimiser.step()
        for total, now in zip(mean, net, strict=True):
            total.lerp_(now.detach(), (_LATE + 1) / (_LATE + step))
        for at, i in enumerate(there):
            lesson, last = runs[i].lesson, step >= runs[i].most
            if lesson.chosen:
                if last:
                    done[i] = _arrays(mean, at), step
                continue
            if last or step % _LOOK == 0:
                weights = _arrays(mean, at)
                value = _judged(lesson, weights)
                if value < best[i][0] or not best[i][2]:
                    best[i] = value, step, weights
            if last or step - best[i][1] >= _PATIENCE * _LOOK:
                done[i] = best[i][2], best[i][1]
        kept = [at for at, i in enumerate(there) if i not in done]
        if kept and len(kept) < len(there):
            net, mean = _kept(net, optimiser, kept), [total[kept] for total in mean]
        there = [there[at] for at in kept]
    return [done[i] for i in range(len(runs))]


def _judged(lesson: Lesson, weights: Weights) -> float:
    arrays = {n: v[None] for n, v in weights.items()}
    arrays["number"] = np.array([lesson.n_classes == 0], np.int8)
    out = predict(arrays, lesson.x[lesson.valid])
    truth = lesson.y[lesson.valid]
    return float((log_loss(out, truth) if lesson.n_classes
                  else pinball(out, truth, lesson.taus)).mean())  # fmt: skip


class _Source:
    """The training spectra of some runs, and what each run draws of them.

    Runs of one seed draw alike: the same noise, and of their spectra those at the same place.
    Noise comes from numbers of its own, so that a run does not depend on whether another has any.
    """

    def __init__(self, runs: Sequence[_Run]) -> None:
        import torch

        first = runs[0].lesson
        self.classes, self.inputs = first.n_classes, first.x.shape[1]
        self.outputs = first.n_classes or len(first.taus)
        self._taus = torch.tensor(first.taus, dtype=torch.float32)
        lessons = list({id(run.lesson): run.lesson for run in runs}.values())
        fit = [~one.valid for one in lessons]
        counts = [int(np.count_nonzero(f)) for f in fit]
        starts = np.cumsum([0, *counts])
        self._part = {id(one): (int(starts[i]), counts[i]) for i, one in enumerate(lessons)}

        def joined(parts: list[NDArray[Any]], kind: Any) -> torch.Tensor:
            return torch.tensor(np.concatenate(parts), dtype=kind)

        pairs = list(zip(lessons, fit, strict=True))
        self._x = joined([one.x[f] for one, f in pairs], torch.float32)
        self._y = joined([one.y[f] for one, f in pairs],
                         torch.int64 if self.classes else torch.float32)  # fmt: skip
        self._noise = None
        if any(run.noisy for run in runs):
            self._noise = joined([np.zeros_like(one.x[f]) if one.noise is None else one.noise[f]
                                  for one, f in pairs], torch.float32)  # fmt: skip
        seeds = {run.seed for run in runs}
        self._chance = {s: torch.Generator().manual_seed(s) for s in seeds}
        self._noises = {s: torch.Generator().manual_seed(s + _NOISE) for s in seeds}

    def networks(self, runs: Sequence[_Run]) -> list[torch.Tensor]:
        """Weights and biases of every run, (runs, in, out) and (runs, 1, out)."""
        import torch

        drawn = {seed: self._network(chance) for seed, chance in self._chance.items()}
        return [torch.stack([drawn[run.seed][i] for run in runs]).requires_grad_()
                for i in range(6)]  # fmt: skip

    def _network(self, chance: torch.Generator) -> list[torch.Tensor]:
        import torch

        net = []
        for a, b in ((self.inputs, WIDTH), (WIDTH, WIDTH), (WIDTH, self.outputs)):
            bound = (3.0 / a) ** 0.5 * (1.0 if b != self.outputs else 0.3)
            weight = (2.0 * torch.rand((a, b), generator=chance) - 1.0) * bound
            net += [weight, torch.zeros(1, b)]
        return net

    def batch(self, runs: Sequence[_Run]) -> tuple[torch.Tensor, torch.Tensor]:
        """(runs, batch, in) features of the next step and (runs, batch) what is true of them."""
        import torch

        place = {s: torch.rand(_BATCH, generator=c) for s, c in self._chance.items()}
        rows = []
        for run in runs:
            start, count = self._part[id(run.lesson)]
            rows.append(start + (place[run.seed] * count).long().clamp_(max=count - 1))
        chosen = torch.stack(rows)
        x = self._x[chosen]
        if self._noise is not None:
            drawn = {s: torch.randn((_BATCH, self.inputs), generator=c)
                     for s, c in self._noises.items()}  # fmt: skip
            felt = torch.tensor([float(run.noisy) for run in runs])[:, None, None]
            eps = torch.stack([drawn[run.seed] for run in runs])
            x = torch.addcmul(x, self._noise[chosen] * felt, eps)
        return x, self._y[chosen]

    def loss(self, out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Sum over runs of each one's mean loss."""
        import torch

        if self.classes:
            found = torch.nn.functional.cross_entropy(out.flatten(0, 1), y.flatten())
            return found * len(out)
        middle = out.shape[2] // 2
        steps = torch.nn.functional.softplus(out)
        up = torch.cumsum(steps[..., middle + 1 :], dim=2)
        down = torch.flip(torch.cumsum(torch.flip(steps[..., :middle], (2,)), dim=2), (2,))
        centre = out[..., middle : middle + 1]
        gap = y[..., None] - torch.cat([centre - down, centre, centre + up], dim=2)
        return torch.maximum(self._taus * gap, (self._taus - 1.0) * gap).mean(dim=(1, 2)).sum()


def _forward(net: Sequence[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    import torch

    for layer in range(3):
        x = torch.baddbmm(net[2 * layer + 1], x, net[2 * layer])
        if layer < 2:
            x = torch.nn.functional.silu(x)
    return x


def _arrays(net: Sequence[torch.Tensor], at: int) -> Weights:
    """Weights (in, out) and biases (out,) of one run, copied."""
    values = [t[at].detach().numpy().copy() for t in net]
    return {f"{'w' if i % 2 == 0 else 'b'}{i // 2}": v if i % 2 == 0 else v[0]
            for i, v in enumerate(values)}  # fmt: skip


def _kept(
    net: Sequence[torch.Tensor], optimiser: torch.optim.Optimizer, kept: Sequence[int]
) -> list[torch.Tensor]:
    """The networks at some places alone, with what the optimiser knows of them."""
    fewer = []
    for old in net:
        one = old.detach()[list(kept)].requires_grad_()
        optimiser.state[one] = {name: v if v.dim() == 0 else v[list(kept)]
                                for name, v in optimiser.state.pop(old).items()}  # fmt: skip
        fewer.append(one)
    optimiser.param_groups[0]["params"] = fewer
    return fewer
