"""A small ensemble of networks that gives quantiles or logits; numpy applies what torch trains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .heads import Arrays, Floats, Lesson, log_loss, pinball

MEMBERS = 4
WIDTH = 64
_RATE, _DECAY = 3e-3, 1e-3
_BATCH = 256
_STEPS = 3000
"""Steps of training at most; training stops where the validation spectra say so."""
_LOOK = 50
_PATIENCE = 10
"""Looks at the validation spectra without getting better before training stops."""


def fit(lesson: Lesson) -> tuple[Arrays, dict[str, Any]]:
    """Weights of all members, and after how many steps the validation spectra said stop."""
    with _one_thread():
        lesson, noisy = _noise_or_not(lesson)
        members, steps = [], []
        for k in range(MEMBERS):
            most = lesson.chosen["steps"][k] if lesson.chosen else None
            weights, used = _train(lesson, lesson.seed + 7919 * k, most)
            members.append(weights)
            steps.append(used)
    arrays = {n: np.stack([m[n] for m in members]) for n in members[0]}
    arrays["number"] = np.array([lesson.n_classes == 0], np.int8)
    return arrays, {"steps": steps, "noise": noisy}


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


def _noise_or_not(lesson: Lesson) -> tuple[Lesson, bool]:
    """The lesson with noise drawn anew each step where that was chosen, or does better."""
    if lesson.noise is None:
        return lesson, False
    plain = replace(lesson, noise=None)
    if lesson.chosen:
        return (lesson, True) if lesson.chosen["noise"] else (plain, False)
    with_noise, without = (_judged(some, _train(some, some.seed, None)[0])
                           for some in (lesson, plain))  # fmt: skip
    return (lesson, True) if with_noise < without else (plain, False)


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


def _train(lesson: Lesson, seed: int, most: int | None) -> tuple[dict[str, NDArray[Any]], int]:
    """One member: its best weights on the validation spectra, or those after `most` steps."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    out = lesson.n_classes or len(lesson.taus)
    net = _network(lesson.x.shape[1], out, generator)
    fit = np.flatnonzero(~lesson.valid)
    x = torch.tensor(lesson.x[fit], dtype=torch.float32)
    y = torch.tensor(lesson.y[fit], dtype=torch.int64 if lesson.n_classes else torch.float32)
    noise = None if lesson.noise is None else torch.tensor(lesson.noise[fit], dtype=torch.float32)
    taus = torch.tensor(lesson.taus, dtype=torch.float32)
    total = most or _STEPS
    optimiser = torch.optim.AdamW(net, lr=_RATE, weight_decay=_DECAY)
    best, best_step, kept = np.inf, 0, _arrays(net)
    for step in range(1, total + 1):
        rows = torch.randint(len(fit), (min(_BATCH, len(fit)),), generator=generator)
        seen = x[rows]
        if noise is not None:
            seen = seen + noise[rows] * torch.randn(seen.shape, generator=generator)
        loss = _loss(_forward(net, seen), y[rows], taus, bool(lesson.n_classes))
        for group in optimiser.param_groups:  # down to a hundredth, along half a cosine
            group["lr"] = _RATE * (0.505 + 0.495 * float(np.cos(np.pi * step / _STEPS)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if most is None and step % _LOOK == 0:
            now = _arrays(net)
            value = _judged(lesson, now)
            if value < best:
                best, best_step, kept = value, step, now
            elif step - best_step >= _PATIENCE * _LOOK:
                break
    return (_arrays(net), total) if most else (kept, max(best_step, _LOOK))


def _judged(lesson: Lesson, weights: dict[str, NDArray[Any]]) -> float:
    arrays = {n: v[None] for n, v in weights.items()}
    arrays["number"] = np.array([lesson.n_classes == 0], np.int8)
    out = predict(arrays, lesson.x[lesson.valid])
    truth = lesson.y[lesson.valid]
    return float((log_loss(out, truth) if lesson.n_classes
                  else pinball(out, truth, lesson.taus)).mean())  # fmt: skip


def _network(p: int, out: int, generator: Any) -> list[Any]:
    import torch

    net = []
    for a, b in ((p, WIDTH), (WIDTH, WIDTH), (WIDTH, out)):
        bound = (3.0 / a) ** 0.5 * (1.0 if b != out else 0.3)
        weight = (2.0 * torch.rand((a, b), generator=generator) - 1.0) * bound
        net += [weight.requires_grad_(), torch.zeros(b).requires_grad_()]
    return net


def _forward(net: list[Any], x: Any) -> Any:
    import torch

    for layer in range(3):
        x = x @ net[2 * layer] + net[2 * layer + 1]
        if layer < 2:
            x = torch.nn.functional.silu(x)
    return x


def _loss(out: Any, y: Any, taus: Any, classes: bool) -> Any:
    import torch

    if classes:
        return torch.nn.functional.cross_entropy(out, y)
    middle = out.shape[1] // 2
    steps = torch.nn.functional.softplus(out)
    up = torch.cumsum(steps[:, middle + 1 :], dim=1)
    down = torch.flip(torch.cumsum(torch.flip(steps[:, :middle], (1,)), dim=1), (1,))
    centre = out[:, middle : middle + 1]
    quantiles = torch.cat([centre - down, centre, centre + up], dim=1)
    gap = y[:, None] - quantiles
    return torch.maximum(taus * gap, (taus - 1.0) * gap).mean()


def _arrays(net: list[Any]) -> dict[str, NDArray[Any]]:
    values = [t.detach().numpy().copy() for t in net]
    return {f"{'w' if i % 2 == 0 else 'b'}{i // 2}": v for i, v in enumerate(values)}
