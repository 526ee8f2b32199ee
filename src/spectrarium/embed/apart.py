"""Turning vectors so that directions nobody should feel come last, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Changes = Callable[[NDArray[np.float64], int], NDArray[np.float64]]
_LEAST = 1e-6
"""Of the largest variance, that every direction is taken to have at least."""
_BLOCK, _SIGNS = 1_024, 199


def turned_apart(
    points: NDArray[Any], moved: Sequence[tuple[NDArray[Any] | Changes, int]]
) -> NDArray[np.float64]:
    """(d, d) invertible matrix that points less their mean are multiplied by, from the right.

    The last columns give coordinates along directions in which something moves points, in units of
    their spread; the others principal axes, largest first, of what is left when those directions
    are projected out, so that no linear reading finds them in it.

    Parameters
    ----------
    points : (n, d) · moved : what to put last: pairs of (m, d) changes of some points and the
    number of directions, the first of them that of the mean change, the next the principal ones
    of what remains; or a function that is given points free of what was found so far and how many
    directions were found by it, and tells their changes, the direction being that of their mean.
    Where nothing moves the faintest axis is put last instead
    Source: Belrose et al. 2023 (arXiv:2306.03819), Theorem 4.3: a projection orthogonal in
    whitened coordinates, along the covariance with what is to be unreadable. For a shift drawn
    independently of the point that covariance is the mean change; further directions are for what
    shifts move differently.
    """
    points = np.asarray(points, np.float64)
    variance, axes = np.linalg.eigh(np.cov(points.T))
    spread = np.sqrt(np.maximum(variance, max(variance[-1] * _LEAST, 1e-300)))
    whiten, colour = axes / spread @ axes.T, axes * spread @ axes.T
    found = np.zeros((0, len(axes)))
    rest = points - points.mean(axis=0)
    for changes, count in moved:
        asked = callable(changes)
        left = np.zeros_like(axes) if callable(changes) else np.asarray(changes) @ whiten
        for nth in range(count):
            if callable(changes):
                left = changes(points - rest @ _along(found, whiten, colour), nth) @ whiten
            left = left - left @ found.T @ found
            mean = asked or nth == 0
            along = left.mean(axis=0) if mean else np.linalg.svd(left, full_matrices=False)[2][0]
            if not np.linalg.norm(along) > 1e-12:
                along = _faintest(axes, found)
            along = along - along @ found.T @ found
            found = np.vstack([found, along / np.linalg.norm(along)])
    free = np.eye(len(axes)) - _along(found, whiten, colour)
    _, own = np.linalg.eigh(np.cov((rest @ free).T))
    own = own[:, ::-1][:, : len(axes) - len(found)]
    return np.hstack([free @ own, whiten @ found.T])


def _faintest(
    axes: NDArray[np.float64], found: NDArray[np.float64]
) -> NDArray[np.float64]:  # fmt: skip
    """(d,) the first axis, faintest first, that is mostly not among the directions found."""
    left = 1.0 - ((found @ axes) ** 2).sum(axis=0)
    return np.asarray(axes[:, int(np.argmax(left > 0.5 * left.max()))])


def _along(
    found: NDArray[np.float64], whiten: NDArray[np.float64], colour: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(d, d) what points less their mean are multiplied by to get their parts along directions."""
    return np.asarray(whiten @ found.T @ found @ colour)


def changes_nearby(
    points: NDArray[Any], values: NDArray[Any], objects: NDArray[Any], near: int = 10,
    most: float = 3.0, chance: float | None = None,
) -> NDArray[np.float64]:  # fmt: skip
    """(n, d) how points differ from the mean of their neighbours, times how much values do.

    Their mean is the covariance of points and values among what is alike: along it `turned_apart`
    takes out what goes with values there, and leaves what they have in common with kinds of points.
    In that mean every object counts once: one that was seen often would decide alone.

    Parameters
    ----------
    points : (n, d), neighbours by plain distance · values : (n,) finite
    objects : (n,) equal for points of one object, which are no neighbours: their number is chance
    near : neighbours compared with, fewer where there are no more
    most : σ of the differences of values beyond which they count no more
    chance : all is 0 unless the mean is longer than it would be with more than this probability if
        an object's values were above its neighbours' or below by chance; None = whatever it is
    """
    points = np.asarray(points, np.float64)
    nearest, share, some = _neighbours(points, objects, near)
    _, inverse, visits = np.unique(objects, return_inverse=True, return_counts=True)
    once = len(points) / (len(visits) * visits[inverse])
    apart = points * some[:, None] - np.einsum("qk,qkd->qd", share, points[nearest])

    def differences(of: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(of * some - (share * of[nearest]).sum(axis=1))

    differs = differences(np.asarray(values, np.float64))
    middle = np.average(differs, weights=once)
    limit = most * float(np.sqrt(np.average((differs - middle) ** 2, weights=once)))
    differs = np.clip(differs, -limit, limit)
    changes = apart * (differs * once)[:, None]
    if chance is None:
        return np.asarray(changes)
    # signs by object, values anew: what neighbours have in common stays so, as do repeat visits
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (_SIGNS, len(visits)))
    drawn = np.stack([differences(differs * one[inverse]) for one in signs])
    lengths = np.linalg.norm((np.clip(drawn, -limit, limit) * once) @ apart / len(points), axis=1)
    longer = np.count_nonzero(lengths >= np.linalg.norm(changes.mean(axis=0)))
    return np.asarray(changes * ((1 + longer) / (1 + _SIGNS) <= chance))


def _neighbours(
    points: NDArray[np.float64], objects: NDArray[Any], near: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """(n, near) nearest points of other objects · what each counts in their mean, 0 where there
    are no more · (n,) whether there is any."""
    n = len(points)
    near = min(near, n)
    square = np.einsum("nd,nd->n", points, points)
    nearest, share = np.empty((n, near), np.int64), np.empty((n, near))
    for start in range(0, n, _BLOCK):
        mine = slice(start, start + _BLOCK)
        far = square - 2.0 * points[mine] @ points.T
        far[objects[mine, None] == objects] = np.inf
        nearest[mine] = np.argpartition(far, near - 1, axis=1)[:, :near]
        there = np.isfinite(np.take_along_axis(far, nearest[mine], axis=1))
        share[mine] = there / np.maximum(there.sum(axis=1, keepdims=True), 1)
    return nearest, share, np.asarray(share.any(axis=1))
