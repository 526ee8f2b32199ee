"""Columns of FITS binary and ASCII tables: where they lie in a row, and their values."""

from __future__ import annotations

import math
import mmap
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .fits_header import CARD, Header, Value

Buffer = bytes | mmap.mmap
MAX_FIELDS = 999
MAX_DIMENSIONS = 32
_HEAP_SHARING = 16
"""Rows may point at the same heap bytes, yet not so often that a small file fills the memory."""
_TFORM = re.compile(r"\s*(\d*)([LXBIJKAEDCMPQ])(.*)", re.DOTALL)
_TFORM_ASCII = re.compile(r"\s*([AIFED])(\d+)(?:\.\d+)?\s*")
_STEMS = (b"TTYPE", b"TFORM", b"TUNIT", b"TSCAL", b"TZERO", b"TNULL", b"TBCOL")
CODES = {"L": "S1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8",
         "C": ">c8", "M": ">c16"}  # fmt: skip
_TYPES = {code: (np.dtype(form), np.dtype(form).newbyteorder("="))
          for code, form in CODES.items() if code in "BIJKED"}  # fmt: skip
_FORMS = {"B": "B", "I": "h", "J": "i", "K": "q", "E": "f", "D": "d"}
_STRUCT = {code: struct.Struct(">" + form).unpack_from for code, form in _FORMS.items()}


class BadLayout(ValueError):
    """The header or the data contradict the layout of the table."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    code : TFORM letter · repeat : TFORM count (width in characters in an ASCII table)
    offset : bytes from the start of the row · shape : shape of one cell, numpy order
    inner : TFORM letter of what a variable-length column points at · number : 1-based
    size : bytes in a row · simple : `read_cell` understands it (binary scalars and texts)
    plain : numbers, one a row, stored as they are meant (no scale, offset or null)
    """

    name: str
    code: str
    repeat: int
    offset: int
    shape: tuple[int, ...]
    unit: str | None
    scale: float
    zero: float
    null: int | str | None
    number: int
    inner: str = ""
    size: int = 0
    simple: bool = False
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """All columns of a table: `columns` by name as written, `lower` by lower-case name."""

    columns: Mapping[str, Column]
    lower: Mapping[str, Column]
    row_bytes: int


@dataclass(frozen=True, slots=True)
class Rows:
    """Where a table's rows lie: `heap` is the offset of the heap, `end` the end of the data."""

    data: Buffer
    start: int
    width: int
    count: int
    heap: int
    end: int


@lru_cache(maxsize=256)
def layout(cards: bytes, ascii_table: bool) -> Layout:
    """Columns of a table from its cards (TFIELDS onwards). Raises BadLayout.

    Files of one survey share these bytes, so that most tables cost one look-up here.
    """
    fields = _fields(cards)
    count = Header(cards).get("TFIELDS", 0)
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MAX_FIELDS:
        raise BadLayout(f"TFIELDS = {count!r}")
    columns: dict[str, Column] = {}
    lower: dict[str, Column] = {}
    offset = row_bytes = 0
    make = _ascii_column if ascii_table else _binary_column
    for number in range(1, count + 1):
        column = make(number, offset, fields.get(number, {}))
        offset += column.size
        row_bytes = max(row_bytes, column.offset + column.size)
        columns.setdefault(column.name, column)
        lower.setdefault(column.name.lower(), column)
    return Layout(columns, lower, row_bytes)


@lru_cache(maxsize=256)
def compression(cards: bytes) -> str:
    """``compressed`` (image) or ``ztable`` for a table that holds tiles, else ``table``."""
    header = Header(cards)
    if header.get("ZIMAGE") is True:
        return "compressed"
    return "ztable" if header.get("ZTABLE") is True else "table"


def _fields(cards: bytes) -> dict[int, dict[bytes, Value]]:
    """The indexed keywords by column number, in one pass."""
    header = Header(cards)
    out: dict[int, dict[bytes, Value]] = {}
    for at in range(0, len(cards), CARD):
        stem = cards[at : at + 5]
        if stem not in _STEMS:
            stem = stem[:4]
            if stem != b"TDIM":
                continue
        number = cards[at + len(stem) : at + 8].rstrip()
        if cards[at + 8 : at + 9] == b"=" and number.isdigit():
            out.setdefault(int(number), {}).setdefault(stem, header.value_at(at))
    return out


def _number(field: Mapping[bytes, Value], stem: bytes, number: int, default: float) -> float:
    value = field.get(stem)
    if value is None:
        return default
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise BadLayout(f"{stem.decode()}{number} = {value!r} is not a number") from None


def _common(number: int, field: Mapping[bytes, Value]) -> dict[str, Any]:
    name, unit, null = field.get(b"TTYPE"), field.get(b"TUNIT"), field.get(b"TNULL")
    return {
        "name": f"col{number}" if name is None else str(name).strip(),
        "unit": None if unit is None else str(unit),
        "scale": _number(field, b"TSCAL", number, 1.0),
        "zero": _number(field, b"TZERO", number, 0.0),
        "null": null if isinstance(null, (int, str)) and not isinstance(null, bool) else None,
        "number": number,
    }


def _binary_column(number: int, offset: int, field: Mapping[bytes, Value]) -> Column:
    match = _TFORM.match(str(field.get(b"TFORM", "")))
    if not match:
        raise BadLayout(f"TFORM{number} is missing or wrong")
    repeat, code = int(match[1] or 1), match[2]
    inner = ""
    shape = _tdim(field.get(b"TDIM"), repeat)
    if code in "PQ":
        if repeat > 1:
            raise BadLayout(f"TFORM{number} has {repeat} heap pointers a cell")
        size, shape, inner = repeat * (8 if code == "P" else 16), (), match[3].strip()[:1]
    elif code == "X":
        size, shape = (repeat + 7) // 8, (repeat,)
    elif code == "A":
        size, shape = repeat, shape if shape and len(shape) > 1 else ()
    else:
        size = repeat * int(np.dtype(CODES[code]).itemsize)
        shape = shape or ((repeat,) if repeat != 1 else ())
    simple = shape == () and (code in _STRUCT or code in "AL")
    common = _common(number, field)
    plain = (simple and code in _TYPES and (common["scale"], common["zero"]) == (1.0, 0.0)
             and common["null"] is None)  # fmt: skip
    return Column(code=code, repeat=repeat, offset=offset, shape=shape, inner=inner, size=size,
                  simple=simple, plain=plain, **common)  # fmt: skip


def _ascii_column(number: int, offset: int, field: Mapping[bytes, Value]) -> Column:
    match = _TFORM_ASCII.fullmatch(str(field.get(b"TFORM", "")))
    start = field.get(b"TBCOL")
    if not match or isinstance(start, bool) or not isinstance(start, int) or start < 1:
        raise BadLayout(f"TFORM{number} or TBCOL{number} is missing or wrong")
    width = int(match[2])
    return Column(code=match[1], repeat=width, offset=start - 1, shape=(), size=width,
                  **_common(number, field))  # fmt: skip


def _tdim(text: Value, repeat: int) -> tuple[int, ...] | None:
    if not isinstance(text, str):
        return None
    try:
        dims = tuple(int(n) for n in text.strip(" ()").split(","))[::-1]
    except ValueError:
        return None
    usable = len(dims) < MAX_DIMENSIONS and all(n >= 0 for n in dims) and math.prod(dims) == repeat
    return dims if usable else None


def read_binary(rows: Rows, column: Column) -> NDArray[Any]:
    """(n_rows, …) values of a binary-table column in native byte order, scaled."""
    if column.code in "PQ":
        return _read_heap(rows, column)
    start = rows.start + column.offset
    if column.plain:  # the most common column by far: one strided copy
        big, native = _TYPES[column.code]
        values: NDArray[Any] = np.ndarray((rows.count,), big, rows.data, start, (rows.width,))
        return values.astype(native)
    if column.code == "X":
        packed: NDArray[Any] = np.ndarray(
            (rows.count, column.size), "u1", rows.data, start, (rows.width, 1)
        )
        return np.unpackbits(packed, axis=1)[:, : column.repeat].astype(bool)
    if column.code == "A":
        return _read_text(rows, column, start)
    base = np.dtype(CODES[column.code])
    strides = (rows.width, *_cell_strides(column.shape, base.itemsize))
    raw: NDArray[Any] = np.ndarray((rows.count, *column.shape), base, rows.data, start, strides)
    if column.code == "L":
        return np.asarray(raw == b"T")
    return scaled(raw, column.scale, column.zero, column.null, image=False)


def _read_text(rows: Rows, column: Column, start: int) -> NDArray[Any]:
    width = column.shape[-1] if column.shape else column.repeat
    cell = column.shape[:-1]
    if width == 0:
        return np.full((rows.count, *cell), "", dtype="U1")
    strides = (rows.width, *_cell_strides(cell, width))
    raw: NDArray[Any] = np.ndarray((rows.count, *cell), f"S{width}", rows.data, start, strides)
    cells = raw.ravel().tolist()
    if any(b"\x00" in cell for cell in cells):  # NUL ends a text (FITS 4.0 §7.3.3.1)
        ended = [cell.partition(b"\x00")[0] for cell in cells]
        raw = np.array(ended, dtype=raw.dtype).reshape(raw.shape)
    return np.char.rstrip(np.char.decode(raw, "latin-1"))


def _read_heap(rows: Rows, column: Column) -> NDArray[Any]:
    """(n_rows,) objects: an array (or a text) for each row of a variable-length column."""
    out: NDArray[Any] = np.empty(rows.count, dtype=object)
    inner = column.inner
    if inner not in CODES and inner not in ("A", "X"):
        raise BadLayout(f"column {column.name}: variable-length cells of type {inner!r}")
    pair = np.dtype(">i4" if column.code == "P" else ">i8")
    if column.size == 0:
        out[:] = [np.empty(0, dtype=bool) for _ in range(rows.count)]
        return out
    desc: NDArray[Any] = np.ndarray(
        (rows.count, 2), pair, rows.data, rows.start + column.offset, (rows.width, pair.itemsize)
    )
    pointers = desc.tolist()
    item = np.dtype("u1" if inner in "AX" else CODES[inner])
    room = rows.end - rows.heap
    if sum(n for n, _ in pointers) * item.itemsize > max(room, 1) * 8 * _HEAP_SHARING:
        raise BadLayout(f"column {column.name}: the heap pointers ask for more than the heap")
    for i, (n, at) in enumerate(pointers):
        size = (n + 7) // 8 if inner == "X" else n * item.itemsize
        if n < 0 or at < 0 or at + size > room:
            raise BadLayout(f"column {column.name}: heap pointer of row {i} is outside")
        count = size if inner == "X" else n
        raw: NDArray[Any] = np.ndarray((count,), item, rows.data, rows.heap + at)
        if inner == "A":
            out[i] = raw.tobytes().partition(b"\x00")[0].decode("latin-1").rstrip()
        elif inner == "X":
            out[i] = np.unpackbits(raw)[:n].astype(bool)
        elif inner == "L":
            out[i] = raw == b"T"
        else:
            out[i] = scaled(raw, column.scale, column.zero, column.null, image=False)
    return out


def read_ascii(rows: Rows, column: Column) -> NDArray[Any]:
    """(n_rows,) values of an ASCII-table column: text, int64, or float64 (NaN where null)."""
    raw: NDArray[Any] = np.ndarray(
        (rows.count,), f"S{column.repeat or 1}", rows.data, rows.start + column.offset,
        (rows.width,),
    )  # fmt: skip
    texts = [cell.decode("latin-1").rstrip() for cell in raw.tolist()]
    if column.code == "A":
        return np.array(texts, dtype="U") if texts else np.empty(0, dtype="U1")
    null = None if column.null is None else str(column.null).strip()
    try:
        numbers = [_ascii_number(t.strip(), null, column.code) for t in texts]
        whole = all(isinstance(n, int) for n in numbers)
        values = np.array(numbers, dtype=np.int64 if whole and column.code == "I" else np.float64)
    except (ValueError, OverflowError) as error:
        raise BadLayout(f"column {column.name}: {error}") from error
    return scaled(values, column.scale, column.zero, None, image=False)


def _ascii_number(text: str, null: str | None, code: str) -> int | float:
    if not text or text == null:
        return math.nan
    if "_" in text:
        raise ValueError(f"{text!r} is not a number")
    return int(text) if code == "I" else float(text.replace("D", "E").replace("d", "e"))


def read_cell(rows: Rows, column: Column, row: int) -> Any:
    """One cell of a `simple` column as a Python value; None where it is null."""
    at = rows.start + row * rows.width + column.offset
    code = column.code
    if code == "A":
        text = rows.data[at : at + column.repeat].partition(b"\x00")[0]
        return text.decode("latin-1").strip()
    if code == "L":
        return rows.data[at : at + 1] == b"T"
    value = _STRUCT[code](rows.data, at)[0]
    if value == column.null and isinstance(value, int):
        return None
    if column.scale == 1.0:
        if column.zero == 0.0:
            return value
        if column.zero.is_integer():
            return value + int(column.zero)
    return value * column.scale + column.zero


@dataclass(frozen=True, slots=True)
class Plan:
    """How to take many cells of a row at once.

    taken : (name asked for, True if text) in the order of `unpack` · others : to be read singly
    """

    taken: tuple[tuple[str, bool], ...]
    unpack: struct.Struct | None
    others: tuple[str, ...]


@lru_cache(maxsize=64)
def record_plan(cards: bytes, names: tuple[str, ...]) -> Plan:
    """The plan for `names` in a binary table with these column cards."""
    table = layout(cards, False)
    found = {name: table.columns.get(name) or table.lower.get(name.lower()) for name in names}
    form, at = ">", 0
    taken, others = [], []
    for name, column in sorted(
        ((n, c) for n, c in found.items() if c is not None), key=lambda item: item[1].offset
    ):
        text = column.code == "A" and column.simple
        if not (text or column.plain) or column.offset < at:  # the latter: named twice
            others.append(name)
            continue
        form += f"{column.offset - at}x" + (f"{column.repeat}s" if text else _FORMS[column.code])
        at = column.offset + column.size
        taken.append((name, text))
    return Plan(tuple(taken), struct.Struct(form) if taken else None, tuple(others))


def read_record(rows: Rows, plan: Plan, row: int) -> dict[str, Any]:
    """The cells that `plan` takes at once, as `read_cell` gives them."""
    assert plan.unpack is not None
    values = plan.unpack.unpack_from(rows.data, rows.start + row * rows.width)
    return {
        name: value.partition(b"\x00")[0].decode("latin-1").strip() if text else value
        for (name, text), value in zip(plan.taken, values, strict=True)
    }


def _cell_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    strides: list[int] = []
    step = itemsize
    for n in reversed(shape):
        strides.insert(0, step)
        step *= n
    return tuple(strides)


def scaled(raw: NDArray[Any], scale: float, zero: float, null: Any, *, image: bool) -> NDArray[Any]:
    """Physical values in native byte order; unsigned integers stay integers, null is NaN.

    Scaled columns become float64; scaled images float32 where the stored type has ≤ 16 bits or
    is float32, else float64 (as astropy.io.fits does).
    """
    native = raw.dtype.newbyteorder("=")
    integer = raw.dtype.kind in "iu"
    is_null = None
    if integer and isinstance(null, int):
        is_null = raw == null
        if not is_null.any():
            is_null = None
    if scale == 1.0 and zero == 0.0 and is_null is None:
        return raw.astype(native)
    bits = raw.dtype.itemsize * 8
    if scale == 1.0 and is_null is None and integer:
        if raw.dtype.kind == "i" and zero == 2.0 ** (bits - 1):
            flip = np.array(1 << (bits - 1), dtype=f"u{bits // 8}")
            return np.asarray(raw.astype(native).view(f"u{bits // 8}") ^ flip)
        if raw.dtype.kind == "u" and bits == 8 and zero == -128:
            return np.asarray(raw ^ np.uint8(128)).view(np.int8)
    with np.errstate(all="ignore"):
        if raw.dtype.kind == "c":
            return (raw.astype(np.complex128) * scale + zero).astype(native)
        out = raw.astype(np.float64) * scale + zero
        if is_null is not None:
            out[is_null] = np.nan
        narrow = image and (bits <= 16 if integer else bits == 32)
        return out.astype(np.float32) if narrow else out
