"""Pixel rows on their way to disk: one growing buffer a column, used again for every batch.

Samples are copied here once, while they are still in the processor's caches; keeping them spectrum
by spectrum and joining them later would move every byte through main memory three times.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .codec import Bytes, Encoded
from .schema import PIXEL_SCHEMA

_FIRST = 2**16


class PixelRows:
    """Rows for the pixel dataset, added one spectrum at a time."""

    def __init__(self) -> None:
        self._uid: list[int] = []
        self._tile: list[int] = []
        self._columns = tuple(_Column() for _ in range(5))

    def __len__(self) -> int:
        return len(self._uid)

    def add(self, one: Encoded) -> None:
        """Append the tiles of a spectrum."""
        for number, tile in enumerate(one.tiles):
            self._uid.append(one.uid)
            self._tile.append(number)
            header = one.header if number == 0 else None
            for column, value in zip(self._columns, (header, *tile), strict=True):
                column.append(value)

    def table(self) -> pa.Table:
        """The rows, without copying: valid until `clear`."""
        arrays = [pa.array(self._uid, pa.int64()), pa.array(self._tile, pa.int32()),
                  *(column.array() for column in self._columns)]  # fmt: skip
        return pa.Table.from_arrays(arrays, schema=PIXEL_SCHEMA)

    def clear(self) -> None:
        """Forget the rows; their memory is used again, nothing may refer to it any more."""
        self._uid, self._tile = [], []
        for column in self._columns:
            column.clear()


class _Column:
    """Byte strings or nulls, end to end."""

    def __init__(self) -> None:
        self._data: NDArray[Any] = np.empty(_FIRST, np.uint8)
        self.clear()

    def clear(self) -> None:
        self._ends = [0]
        self._null: list[int] = []

    def append(self, value: Bytes | None) -> None:
        start = self._ends[-1]
        if value is None:
            self._null.append(len(self._ends) - 1)
            self._ends.append(start)
            return
        end = start + len(value)
        if end > len(self._data):
            more: NDArray[Any] = np.empty(max(2 * len(self._data), end), np.uint8)
            more[:start] = self._data[:start]
            self._data = more
        self._data[start:end] = np.frombuffer(value, np.uint8)
        self._ends.append(end)

    def array(self) -> pa.Array:
        n = len(self._ends) - 1
        present = None
        if self._null:
            valid = np.ones(n, bool)
            valid[self._null] = False
            present = pa.py_buffer(np.packbits(valid, bitorder="little"))
        ends = pa.py_buffer(np.array(self._ends, np.int64))
        data = pa.py_buffer(self._data[: self._ends[-1]])
        return pa.Array.from_buffers(pa.large_binary(), n, [present, ends, data])
