"""Turning vectors so that directions nobody should feel come last, and nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAST = 1e-6
"""Of the largest variance, that every direction is taken to have at least."""


def turned_apart(
    points: NDArray[Any], moved: Sequence[tuple[NDArray[Any], int]]
) -> NDArray[np.float64]:
    """(d, d) invertible matrix that points less their mean are multiplied by, from the right.

    The last columns give coordinates along directions in which something moves points, in units of
    their spread; the others principal axes, largest first, of what is left when those directions
    are projected out, so that no linear reading finds them in it.

    Parameters
    ----------
    points : (n, d) · moved : what to put last: pairs of (m, d) changes of some points and the
    number of directions, the first of them that of the mean change, the next the principal ones
    of what remains
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
    for changes, count in moved:
        left = np.asarray(changes, np.float64) @ whiten
        for nth in range(count):
            left = left - left @ found.T @ found
            along = (
                left.mean(axis=0) if nth == 0 else np.linalg.svd(left, full_matrices=False)[2][0]
            )
            if not np.linalg.norm(along) > 1e-12:  # nothing moves: the faintest axis will do
                along = axes[:, 0]
            along = along - along @ found.T @ found
            found = np.vstack([found, along / np.linalg.norm(along)])
    free = np.eye(len(axes)) - whiten @ found.T @ found @ colour
    rest = points - points.mean(axis=0)
    _, own = np.linalg.eigh(np.cov((rest @ free).T))
    own = own[:, ::-1][:, : len(axes) - len(found)]
    return np.hstack([free @ own, whiten @ found.T])
