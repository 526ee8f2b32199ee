"""Rows of a VOTable: Arrow batches as BINARY2 or TABLEDATA, column by column.

Source: IVOA VOTable 1.4, sections 5.2 and 5.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_FORBIDDEN_RE2 = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x{fffe}\x{ffff}]"
_MARKED_RE2 = r"[\x00-\x08\x0b-\x1f\x{fffe}\x{ffff}&<>]"
"""All that does not stand in XML as it is, "\\r" among them."""


class Typed(Protocol):
    """What of a FIELD its rows depend on."""

    @property
    def datatype(self) -> str:
        """VOTable's word for the type."""

    @property
    def arraysize(self) -> str:
        """``""`` for single values, ``*`` or a number."""


# types ----------------------------------------------------------------------------------------

NUMBERS: Mapping[pa.DataType, tuple[str, str]] = {
    pa.bool_(): ("boolean", "S1"), pa.uint8(): ("unsignedByte", "u1"), pa.int8(): ("short", ">i2"),
    pa.int16(): ("short", ">i2"), pa.uint16(): ("int", ">i4"), pa.int32(): ("int", ">i4"),
    pa.uint32(): ("long", ">i8"), pa.int64(): ("long", ">i8"), pa.float32(): ("float", ">f4"),
    pa.float64(): ("double", ">f8"),
}  # fmt: skip


def is_text(kind: pa.DataType) -> bool:
    """True of strings."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_list(kind: pa.DataType) -> bool:
    """True of lists, of one length or of many."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind)
                or pa.types.is_fixed_size_list(kind))  # fmt: skip


def plain_text(column: Any) -> Any:
    """The column without a dictionary."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column


def _plain(array: pa.Array, field: Typed) -> pa.Array:
    """A column of one batch as one of the types that are written."""
    array = plain_text(array)
    kind = array.type
    if pa.types.is_timestamp(kind):  # DALI: no zone, seconds with what they have
        return pc.strftime(array.cast(pa.timestamp("ms")), "%Y-%m-%dT%H:%M:%S")
    if pa.types.is_date(kind) or pa.types.is_null(kind):
        return array.cast(pa.string())
    if field.datatype == "double" and kind != pa.float64() and not is_list(kind):
        return array.cast(pa.float64())
    return array


def shown(value: Any) -> str:
    """A value as VOTable writes it in text."""
    if value is None:
        return ""
    if isinstance(value, (tuple, list)):
        return " ".join(shown(v) for v in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)):
        if np.isnan(value):
            return "NaN"
        return repr(float(value)) if np.isfinite(value) else ("+Inf" if value > 0 else "-Inf")
    return str(value)


# rows -----------------------------------------------------------------------------------------


def binary2(batch: pa.RecordBatch, fields: Sequence[Typed]) -> bytes:
    """Rows as BINARY2: null flags, then values big-endian; text and lists led by their length."""
    n, columns = batch.num_rows, [_plain(c, f) for c, f in zip(batch.columns, fields, strict=True)]
    flags = np.zeros((n, 8 * ((len(columns) + 7) // 8)), bool)
    parts: list[_Part] = []
    for i, (column, field) in enumerate(zip(columns, fields, strict=True)):
        if column.null_count:
            flags[:, i] = column.is_null().to_numpy(zero_copy_only=False)
        parts.append(_part(column, field))
    parts.insert(0, _Part(np.packbits(flags, axis=1)))
    if all(p.ends is None for p in parts):
        return np.concatenate([p.data for p in parts], axis=1).tobytes()
    sizes = [p.sizes(n) for p in parts]
    starts = np.zeros((n, len(parts)), np.int64)
    row_sizes = np.sum(sizes, axis=0, dtype=np.int64)
    starts[:, 0] = np.cumsum(row_sizes) - row_sizes
    for i, size in enumerate(sizes[:-1]):
        starts[:, i + 1] = starts[:, i] + size
    out = np.empty(int(row_sizes.sum()), np.uint8)
    for i, part in enumerate(parts):
        part.put(out, starts[:, i], sizes[i])
    return out.tobytes()


@dataclass(slots=True)
class _Part:
    """A column's bytes: (n, width) where all cells are as wide, else flat, cell i to ends[i]."""

    data: NDArray[np.uint8]
    ends: NDArray[np.int64] | None = None

    def sizes(self, n: int) -> NDArray[np.int64]:
        if self.ends is None:
            return np.full(n, self.data.shape[1], np.int64)
        return np.diff(self.ends, prepend=0)

    def put(self, out: NDArray[np.uint8], at: NDArray[np.int64], size: NDArray[np.int64]) -> None:
        if self.ends is None:
            width = self.data.shape[1]
            for k in range(width):
                out[at + k] = self.data[:, k]
            return
        # byte j of the flat column goes to where its cell starts plus its place in the cell
        out[np.repeat(at - (self.ends - size), size) + np.arange(len(self.data))] = self.data


def _part(column: pa.Array, field: Typed) -> _Part:
    n = len(column)
    if field.datatype in ("char", "unicodeChar") and field.arraysize == "*":
        return _text_part(column, field)
    if not is_list(column.type):
        return _Part(_cells(column).reshape(n, -1))
    flat = _cells(column.flatten() if not pa.types.is_fixed_size_list(column.type)
                  else _all_values(column))  # fmt: skip
    width = flat.shape[1]
    if pa.types.is_fixed_size_list(column.type):
        return _Part(flat.reshape(n, width * column.type.list_size))
    count = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
    return _led(count, count * width, flat.ravel())


def _all_values(column: pa.Array) -> pa.Array:
    size = column.type.list_size
    values = column.values.slice(column.offset * size, len(column) * size)
    return values if column.null_count == 0 else values.fill_null(0)


def _cells(column: pa.Array) -> NDArray[np.uint8]:
    """(n, width) bytes of a column of numbers."""
    wire = NUMBERS[column.type][1]
    if wire == "S1":
        known = pc.if_else(pc.fill_null(column, False), 84, 70).to_numpy(zero_copy_only=False)
        letters = known.astype(np.uint8)
        if column.null_count:
            letters[column.is_null().to_numpy(zero_copy_only=False)] = ord("?")
        alone: NDArray[np.uint8] = letters.reshape(-1, 1)
        return alone
    floating = pa.types.is_floating(column.type)
    values = column.fill_null(np.nan if floating else 0).to_numpy(zero_copy_only=False)
    big = np.ascontiguousarray(values.astype(wire))
    out: NDArray[np.uint8] = big.view(np.uint8).reshape(len(values), big.itemsize)
    return out


def _text_part(column: pa.Array, field: Typed) -> _Part:
    column = column.cast(pa.large_string())
    if field.datatype == "unicodeChar":  # UCS-2: characters beyond it have no place there
        if pc.all(pc.string_is_ascii(column)).as_py() is not False:
            return _doubled(column)
        clean = pc.replace_substring_regex(column, r"[\x{10000}-\x{10ffff}]", "\ufffd")
        encoded = [(v or "").encode("utf-16-be") for v in clean.to_pylist()]
        size = np.array([len(e) for e in encoded], np.int64)
        return _led(size // 2, size, np.frombuffer(b"".join(encoded), np.uint8))
    size, flat = _characters(column)
    return _led(size, size, flat)


def _doubled(column: pa.Array) -> _Part:
    """ASCII as two bytes a character."""
    size, flat = _characters(column)
    wide = np.zeros(2 * len(flat), np.uint8)
    wide[1::2] = flat
    return _led(size, 2 * size, wide)


def _characters(column: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Bytes of each text, and those of all of them one after another."""
    column = pc.fill_null(column, "")
    size = pc.binary_length(column).to_numpy().astype(np.int64)
    offsets = np.frombuffer(column.buffers()[1], np.int64)[column.offset :][: len(column) + 1]
    data = column.buffers()[2]
    flat = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    return size, flat[offsets[0] : offsets[-1]] if len(offsets) else flat[:0]


def _led(count: NDArray[np.int64], size: NDArray[np.int64], flat: NDArray[np.uint8]) -> _Part:
    """Cells of varying width, each after four bytes that say how many elements it has."""
    ends = np.cumsum(size + 4)
    out = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)
    start = ends - size - 4
    lead = count.astype(">u4").view(np.uint8).reshape(-1, 4)
    for k in range(4):
        out[start + k] = lead[:, k]
    out[np.repeat(start + 4 - (np.cumsum(size) - size), size) + np.arange(len(flat))] = flat
    return _Part(out, ends)


def tabledata(batch: pa.RecordBatch, fields: Sequence[Typed]) -> bytes:
    """Rows as TR and TD elements; an unknown value is an empty cell."""
    cells: list[Any] = ["<TR><TD>"]
    for column, field in zip(batch.columns, fields, strict=True):
        cells += [_written(_plain(column, field)), "</TD><TD>"]
    cells[-1] = "</TD></TR>"
    rows = pc.binary_join_element_wise(*cells, "")
    return "\n".join([*rows.to_pylist(), ""]).encode("utf-8", "replace")


def _written(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_boolean(kind):
        return pc.fill_null(pc.if_else(column, "T", "F"), "")
    if pa.types.is_floating(kind):
        return _floats(column)
    if pa.types.is_integer(kind):
        return pc.fill_null(column.cast(pa.string()), "")
    if is_list(kind):
        joined = [None if v is None else " ".join(shown(x) for x in v) for v in column.to_pylist()]
        fixed = pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type)
        # vectors of one length are never empty
        unknown = " ".join(["NaN"] * kind.list_size) if fixed else ""
        return pc.fill_null(pa.array(joined, pa.string()), unknown)
    out = pc.fill_null(column.cast(pa.string()), "")
    if not pc.any(pc.match_substring_regex(out, _MARKED_RE2)).as_py():
        return out
    out = pc.replace_substring_regex(out, _FORBIDDEN_RE2, "\ufffd")
    for raw, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;")):
        if pc.any(pc.match_substring(out, raw)).as_py():
            out = pc.replace_substring(out, raw, safe)
    return out


def _floats(column: pa.Array) -> pa.Array:
    out = column.cast(pa.string())
    odd = pc.invert(pc.is_finite(column))
    if pc.any(odd).as_py():
        words = pc.if_else(
            pc.is_nan(column), "NaN", pc.if_else(pc.greater(column, 0), "+Inf", "-Inf")
        )
        out = pc.if_else(odd, words, out)
    return pc.fill_null(out, "")
