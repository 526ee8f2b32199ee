"""UMAP's optimiser: points pulled together along edges and pushed apart everywhere else.

The forces are umap-learn's, read from a table: raising each distance to a power is what takes its
time. One thread does; the same seed gives the same map.
Source: McInnes, Healy & Melville 2018 (arXiv:1802.03426), section 4.2 and algorithm 5.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

F4 = np.float32
_LOWEST, _HIGHEST = -24, 20
"""Powers of two of the squared distances in the tables; beyond, the last cell counts."""
_BITS = 6
"""Cells per power of two: 2^6. A force is right to 1.5 %, its direction exactly."""
_FIRST = (127 + _LOWEST) << _BITS
_LAST = ((127 + _HIGHEST) << _BITS) - 1 - _FIRST
_SHIFT = 23 - _BITS
_REPELLED = 5
"""Random points that push for each neighbour that pulls."""


def settle(
    edges: Any, start: NDArray[Any], curve: tuple[float, float], epochs: int, seed: int = 0
) -> NDArray[np.float32]:
    """(n, 2) positions where pull and push balance, after so many epochs from a start.

    Parameters
    ----------
    edges : (n, n) scipy sparse, symmetric membership strengths; the strongest acts each epoch,
        weaker ones as much more seldom as they are weaker
    curve : a, b of the similarity 1/(1 + a d^2b) on the map
    seed : of the points that push, and of a start's 10⁻⁴ of noise, which parts equal points

    The step falls from 1 to 0 as half a cosine: it ends finer than umap-learn's straight line, and
    keeps more neighbours.
    """
    graph = edges.tocsr()
    strength = np.asarray(graph.data / graph.data.max(), F4)
    pull, push = force_tables(*curve)
    low, high = start.min(axis=0), start.max(axis=0)
    noise = 1e-4 * np.random.default_rng([seed, 11]).standard_normal(start.shape)
    xy = np.asarray(10.0 * (start - low) / np.maximum(high - low, 1e-30) + noise, F4, order="C")
    for epoch in range(epochs):
        step = F4(0.5 + 0.5 * np.cos(np.pi * epoch / epochs))
        key = np.uint64((seed % 2**32 << 32) + epoch)
        _move(xy, graph.indptr, graph.indices, strength, pull, push, step, epoch, key)
    return xy


def force_tables(a: float, b: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pull and push per distance, at the middle of each cell of squared distance."""
    cells = np.arange(_FIRST, _FIRST + _LAST + 1, dtype=np.int32)
    square = ((cells << _SHIFT) + (1 << (_SHIFT - 1))).view(F4).astype(np.float64)
    power = a * square**b
    pull = -2.0 * b * power / (square * (1.0 + power))
    push = 2.0 * b / ((0.001 + square) * (1.0 + power))
    return pull.astype(F4), push.astype(F4)


def _cell_of(square: Any) -> Any:
    """Where in the tables: exponent and first bits of the number, as it is stored."""
    at = np.int32(F4(square).view(np.int32)) >> np.int32(_SHIFT)
    return min(max(np.int64(at) - _FIRST, 0), _LAST)


def _clip(value: Any) -> Any:
    return min(max(value, F4(-4.0)), F4(4.0))


_cell, _clipped = njit(_cell_of, nogil=True, inline="always"), njit(_clip, nogil=True)


def _epoch_of(
    xy: Any, begins: Any, others: Any, strength: Any, pull: Any, push: Any, step: Any,
    epoch: int, key: Any,
) -> None:  # fmt: skip
    """One epoch in place. An edge of strength s acts when epoch × s passes a whole number."""
    n = np.uint64(len(xy))
    now, before = F4(epoch), F4(epoch - 1)
    for i in range(len(xy)):
        x, y = xy[i, 0], xy[i, 1]
        random = key ^ np.uint64(i) * np.uint64(0xD1342543DE82EF95)
        random = (random ^ (random >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
        random = (random ^ (random >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
        for e in range(begins[i], begins[i + 1]):
            if np.int64(now * strength[e]) == np.int64(before * strength[e]):
                continue
            j = others[e]
            dx, dy = x - xy[j, 0], y - xy[j, 1]
            force = pull[_cell(dx * dx + dy * dy)]
            gx, gy = step * _clipped(force * dx), step * _clipped(force * dy)
            x, y = x + gx, y + gy
            xy[j, 0] -= gx
            xy[j, 1] -= gy
            for _ in range(_REPELLED):
                random = random * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
                other = np.int64(((random >> np.uint64(32)) * n) >> np.uint64(32))
                dx, dy = x - xy[other, 0], y - xy[other, 1]
                force = push[_cell(dx * dx + dy * dy)]
                x, y = x + step * _clipped(force * dx), y + step * _clipped(force * dy)
        xy[i, 0], xy[i, 1] = x, y


_move = njit(_epoch_of, nogil=True, fastmath=True)
