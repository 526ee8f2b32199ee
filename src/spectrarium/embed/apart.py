"""Turning vectors so that directions nobody should feel come last, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Changes = Callable[[NDArray[np.float64]], NDArray[np.float64]]
_LEAST = 1e-6
"""Of the largest variance, that every direction is taken to have at least."""
_BLOCK = 1_024


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
    of what remains; or a function that tells the changes of points that are free of what was found
    so far, asked anew for each direction, which is that of its mean
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
                left = changes(points - rest @ _along(found, whiten, colour)) @ whiten
            left = left - left @ found.T @ found
            mean = asked or nth == 0
            along = left.mean(axis=0) if mean else np.linalg.svd(left, full_matrices=False)[2][0]
            if not np.linalg.norm(along) > 1e-12:  # nothing moves: the faintest axis will do
                along = axes[:, 0]
            along = along - along @ found.T @ found
            found = np.vstack([found, along / np.linalg.norm(along)])
    free = np.eye(len(axes)) - _along(found, whiten, colour)
    _, own = np.linalg.eigh(np.cov((rest @ free).T))
    own = own[:, ::-1][:, : len(axes) - len(found)]
    return np.hstack([free @ own, whiten @ found.T])


def _along(
    found: NDArray[np.float64], whiten: NDArray[np.float64], colour: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(d, d) what points less their mean are multiplied by to get their parts along directions."""
    return np.asarray(whiten @ found.T @ found @ colour)


def changes_nearby(
    points: NDArray[Any], values: NDArray[Any], objects: NDArray[Any], near: int = 10,
    most: float = 3.0,
) -> NDArray[np.float64]:  # fmt: skip
    """(n, d) how points differ from the mean of their neighbours, times how much values do.

    Their mean is the covariance of points and values among what is alike: along it `turned_apart`
    takes out what goes with values there, and leaves what they have in common with kinds of points.

    Parameters
    ----------
    points : (n, d), neighbours by plain distance · values : (n,) finite
    objects : (n,) equal for points of one object, which are no neighbours: their number is chance
    near : neighbours compared with, fewer where there are no more
    most : σ of the differences of values beyond which they count no more
    """
    points = np.asarray(points, np.float64)
    n = len(points)
    near = min(near, n)
    square = np.einsum("nd,nd->n", points, points)
    apart, differs = np.empty_like(points), np.empty(n)
    for start in range(0, n, _BLOCK):
        mine = slice(start, start + _BLOCK)
        far = square - 2.0 * points[mine] @ points.T
        far[objects[mine, None] == objects] = np.inf
        nearest = np.argpartition(far, near - 1, axis=1)[:, :near]
        there = np.isfinite(np.take_along_axis(far, nearest, axis=1))
        share = there / np.maximum(there.sum(axis=1, keepdims=True), 1)
        some = there.any(axis=1)
        apart[mine] = points[mine] * some[:, None] - np.einsum("qk,qkd->qd", share, points[nearest])
        differs[mine] = values[mine] * some - (share * values[nearest]).sum(axis=1)
    limit = most * float(differs.std())
    return np.asarray(apart * np.clip(differs, -limit, limit)[:, None])
