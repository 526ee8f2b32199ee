"""How many observations there are where: counts in HEALPix cells, and tiles of them.

Source: IVOA HiPS 1.0, section 4.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
TILE_BITS = 6
TILE = 1 << TILE_BITS
"""Pixels along the side of a tile."""
PREVIEW_ORDER = 3
"""Order of the tiles that Allsky shows together, 27 in a row."""
ROW = 27
_FINEST, _COARSEST = 15, PREVIEW_ORDER + TILE_BITS
_SAME_PLACE = 18
"""Positions in one cell of this order (0.8″) are one place."""
_ENOUGH = 2.0
"""Places in a cell, on average over cells with any: a finer grid would only show dots."""
_SKY_DEG2 = 4 * 180.0**2 / math.pi


@dataclass(frozen=True, eq=False)
class Density:
    """Counts of observations in cells of one order.

    order : of the cells · cells : (n,) their nested indices, ascending · counts : (n,) ≥ 1
    """

    order: int
    cells: Ints
    counts: Ints

    @classmethod
    def of(cls, cells29: Ints) -> Density:
        """Counts on a grid as fine as there is something to see.

        cells29 : nested indices of order 29; negative ones are no position. The finest order of 9
        to 15 (6.9′ to 6.4″) is taken whose cells hold two different places on average.
        """
        known = np.sort(cells29[cells29 >= 0])
        places = _counted(known >> 2 * (29 - _SAME_PLACE))[0]
        order = _FINEST if len(places) else _COARSEST
        while order > _COARSEST:
            filled = len(_counted(places >> 2 * (_SAME_PLACE - order))[0])
            if len(places) >= _ENOUGH * filled:
                break
            order -= 1
        return cls(order, *_counted(known >> 2 * (29 - order)))

    @property
    def tile_order(self) -> int:
        """Of the finest tiles."""
        return self.order - TILE_BITS

    @property
    def total(self) -> int:
        """Observations with a position."""
        return int(self.counts.sum())

    def tiles(self, order: int) -> Ints:
        """Indices of the tiles of an order that hold something, ascending."""
        return _counted(self.cells >> 2 * (self.order - order))[0]

    @cached_property
    def fullest(self) -> tuple[int, ...]:
        """The largest count in a pixel of the tiles of orders 0, 1 …"""
        out, cells, counts = [], self.cells, self.counts
        for _ in range(self.tile_order + 1):
            out.append(int(counts.max()) if len(counts) else 0)
            cells, counts = _summed(cells >> 2, counts)
        return tuple(reversed(out))

    def tile(self, order: int, index: int) -> Ints | None:
        """(64, 64) counts in the pixels of a tile, southern corner of the sky at its bottom right.

        None where there is nothing. The first row is the bottom one, as in FITS.
        """
        fine = 2 * (self.order - order)
        start, stop = np.searchsorted(self.cells, [index << fine, (index + 1) << fine])
        if start == stop:
            return None
        inside = (self.cells[start:stop] >> fine - 2 * TILE_BITS) - (index << 2 * TILE_BITS)
        found = np.bincount(inside, self.counts[start:stop], TILE * TILE).astype(np.int64)
        return found[_PLACE]

    def preview(self) -> Ints:
        """(1856, 1728) counts in all tiles of order 3, side by side from the top left."""
        height = -(-12 * 4**PREVIEW_ORDER // ROW)
        out = np.zeros((height * TILE, ROW * TILE), np.int64)
        for index in self.tiles(PREVIEW_ORDER).tolist():
            row, column = divmod(index, ROW)
            low = (height - 1 - row) * TILE
            tile = self.tile(PREVIEW_ORDER, index)
            out[low : low + TILE, column * TILE : (column + 1) * TILE] = tile
        return out


def pixel_area_deg2(tile_order: int) -> float:
    """Area of the pixels of a tile."""
    return _SKY_DEG2 / (12 << 2 * (tile_order + TILE_BITS))


def _counted(ascending: Ints) -> tuple[Ints, Ints]:
    """Different values of an ascending array, and how often each is there."""
    return _summed(ascending, np.ones(len(ascending), np.int64))


def _summed(ascending: Ints, counts: Ints) -> tuple[Ints, Ints]:
    if not len(ascending):
        return ascending, counts
    first = np.flatnonzero(np.concatenate([[True], ascending[1:] != ascending[:-1]]))
    return ascending[first], np.add.reduceat(counts, first)


def _place() -> Ints:
    """(64, 64) index within its tile of each pixel: rows from the bottom, as FITS has them.

    The even bits count from the top down, the odd ones from left to right.
    """
    spread = np.zeros(TILE, np.int64)
    for bit in range(TILE_BITS):
        spread |= (np.arange(TILE) >> bit & 1) << 2 * bit
    placed: Ints = spread[::-1, None] + 2 * spread[None, :]
    return placed


_PLACE = _place()
