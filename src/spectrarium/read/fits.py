"""A small, strict, fast FITS parser (FITS 4.0): headers by search, arrays as views.

astropy needs 2 ms a file for card and column objects that a reader never looks at. Here a header
stays text until a keyword is asked for, and a column is a strided view until it is copied to
native byte order. What is unusual (compressed images, ASCII tables, bit arrays) goes to astropy.
"""

from __future__ import annotations

import io
import mmap
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import DataError

BLOCK = 2880
_END = "END" + " " * 77
_EMPTY_PRIMARY = "".join(
    f"{card:<80}"
    for card in ("SIMPLE  =                    T", "BITPIX  =                    8",
                 "NAXIS   =                    0", "EXTEND  =                    T", "END")
).ljust(BLOCK).encode("ascii")  # fmt: skip
_BITPIX = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_TFORM = re.compile(r"\s*(\d*)([LXBIJKAEDCMPQ])(.*)")
_CODES = {"L": "S1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8",
          "C": ">c8", "M": ">c16"}  # fmt: skip
_MAX_AXES = 999
Value = str | int | float | bool | None


class Header:
    """Keyword look-up on the raw text of one header unit (no objects until asked)."""

    __slots__ = ("text", "_cache")

    def __init__(self, text: str) -> None:
        self.text = text
        self._cache: dict[str, Value] = {}

    def get(self, key: str, default: Any = None) -> Any:
        """Value of `key` (``ESO DRS BERV`` finds ``HIERARCH ESO DRS BERV``) or `default`."""
        if key in self._cache:
            value = self._cache[key]
        else:
            start = self._find(key)
            value = None if start < 0 else self._value(start, key)
            self._cache[key] = value
        return default if value is None else value

    def __contains__(self, key: str) -> bool:
        return self._find(key) >= 0

    def __getitem__(self, key: str) -> Any:
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def first(self, *keys: str) -> Any:
        """Value of the first of `keys` that is present and defined, or None."""
        for key in keys:
            value = self.get(key)
            if value is not None:
                return value
        return None

    def number(self, *keys: str) -> float | None:
        """First finite number among `keys` (numbers written as strings count), or None."""
        for key in keys:
            value = self.get(key)
            if isinstance(value, bool) or value is None:
                continue
            try:
                x = float(value)
            except (TypeError, ValueError):
                continue
            if np.isfinite(x):
                return x
        return None

    def string(self, *keys: str) -> str | None:
        """First non-blank value among `keys` as text, or None."""
        for key in keys:
            value = self.get(key)
            if value is not None and str(value).strip():
                return str(value).strip()
        return None

    def keys(self) -> Iterator[str]:
        """All keywords in order (commentary and blank cards left out)."""
        for i in range(0, len(self.text), 80):
            card = self.text[i : i + 80]
            if card[8:9] == "=":
                yield card[:8].rstrip()
            elif card.startswith("HIERARCH ") and "=" in card:
                yield card[9 : card.index("=")].strip()

    def _find(self, key: str) -> int:
        needle = f"{key:<8}=" if len(key) <= 8 and " " not in key else f"HIERARCH {key}"
        hierarch = needle.startswith("HIERARCH ")
        at = self.text.find(needle)
        while at >= 0:
            if at % 80 == 0:
                if not hierarch:
                    return at
                tail = self.text[at + len(needle) : at + 80].lstrip()
                if tail.startswith("="):
                    return at
            at = self.text.find(needle, at + 1)
        if not hierarch and len(key) <= 8:
            return self._find_hierarch(key)
        return -1

    def _find_hierarch(self, key: str) -> int:
        at = self.text.find(f"HIERARCH {key}")
        while at >= 0:
            if at % 80 == 0 and self.text[at + 9 + len(key) : at + 80].lstrip().startswith("="):
                return at
            at = self.text.find(f"HIERARCH {key}", at + 1)
        return -1

    def _value(self, start: int, key: str) -> Value:
        card = self.text[start : start + 80]
        body = card[card.index("=", min(8, 79)) + 1 :]
        stripped = body.lstrip()
        if not stripped.startswith("'"):
            return _literal(body.split("/", 1)[0].strip())
        value, closed = _quoted(stripped)
        at = start + 80
        while closed and value.endswith("&") and self.text.startswith("CONTINUE", at):
            more, closed = _quoted(self.text[at + 8 : at + 80].lstrip())
            value = value[:-1] + more
            at += 80
        return value.rstrip()


def _quoted(text: str) -> tuple[str, bool]:
    """The FITS string at the start of `text`, and whether its quote was closed."""
    out: list[str] = []
    i = 1
    while i < len(text):
        if text[i] == "'":
            if text[i + 1 : i + 2] == "'":
                out.append("'")
                i += 2
                continue
            return "".join(out), True
        out.append(text[i])
        i += 1
    return "".join(out), False


def _literal(token: str) -> Value:
    if not token:
        return None
    if token in ("T", "F"):
        return token == "T"
    try:
        return int(token)
    except ValueError:
        pass
    try:
        return float(token.replace("D", "E").replace("d", "e"))
    except ValueError:
        return token  # not standard, yet real files hold bare words: keep what was written


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a binary table."""

    name: str
    code: str
    repeat: int
    offset: int
    shape: tuple[int, ...]
    unit: str | None
    scale: float
    zero: float
    null: int | None
    number: int


class Hdu:
    """One header-data unit. Data are read only when asked for."""

    def __init__(self, file: FitsFile, index: int, header: Header, start: int) -> None:
        self.file = file
        self.index = index
        self.header = header
        self.data_start = start
        xtension = "IMAGE" if index == 0 else str(header.get("XTENSION", "")).strip().upper()
        self.kind = {"IMAGE": "image", "BINTABLE": "table", "A3DTABLE": "table",
                     "TABLE": "ascii"}.get(xtension, "other")  # fmt: skip
        if self.kind == "table" and header.get("ZIMAGE") is True:
            self.kind = "compressed"
        elif self.kind == "table" and header.get("ZTABLE") is True:
            self.kind = "ztable"
        self.bitpix = self._int("BITPIX", 8)
        naxis = self._int("NAXIS", 0)
        if not 0 <= naxis <= _MAX_AXES or self.bitpix not in _BITPIX:
            raise file.bad(f"HDU {index} has NAXIS={naxis}, BITPIX={self.bitpix}", hdu=index)
        self.axes = tuple(self._int(f"NAXIS{i}", -1) for i in range(1, naxis + 1))
        if any(n < 0 for n in self.axes):
            raise file.bad(f"HDU {index} lacks or has a negative NAXISn", hdu=index)
        size = 1 if self.axes else 0
        for n in self.axes:
            size *= n
        if index == 0 and self.axes and self.axes[0] == 0:
            size = 0  # random groups: not spectra, no data read
        pcount, gcount = self._int("PCOUNT", 0), self._int("GCOUNT", 1)
        if pcount < 0 or gcount < 0:
            raise file.bad(f"HDU {index} has a negative PCOUNT or GCOUNT", hdu=index)
        self.data_size = abs(self.bitpix) // 8 * (gcount * (pcount + size) if index else size)

    def _int(self, key: str, default: int) -> int:
        value = self.header.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.file.bad(f"{key} = {value!r} is not an integer", hdu=self.index)
        return value

    @property
    def name(self) -> str:
        """EXTNAME in upper case, or ''."""
        return str(self.header.get("EXTNAME", "")).strip().upper()

    @property
    def shape(self) -> tuple[int, ...]:
        """Image shape in numpy order."""
        if self.kind == "compressed":
            n = self._int("ZNAXIS", 0)
            return tuple(self._int(f"ZNAXIS{i}", 0) for i in range(n, 0, -1))
        return self.axes[::-1]

    @property
    def n_rows(self) -> int:
        """Rows of a table."""
        return self.axes[1] if len(self.axes) > 1 else 0

    def image(self) -> NDArray[Any]:
        """The image, native byte order, BSCALE/BZERO/BLANK applied (unsigned kept unsigned)."""
        if self.kind == "compressed":
            return self._astropy_data()
        count = int(np.prod(self.axes)) if self.axes else 0
        raw = np.frombuffer(self.file.data, _BITPIX[self.bitpix], count, self.data_start)
        array = raw.reshape(self.shape)
        scale, zero = self.header.get("BSCALE", 1.0), self.header.get("BZERO", 0.0)
        blank = self.header.get("BLANK") if self.bitpix > 0 else None
        return _scaled(array, float(scale), float(zero), blank)

    def image_row(self, row: int) -> NDArray[Any]:
        """``image()[row]`` without copying the other rows; a compressed image is inflated once."""
        if not 0 <= row < (self.shape[0] if self.shape else 0):
            raise self.file.bad(f"HDU {self.index} has no row {row}", hdu=self.index)
        if self.kind == "compressed":
            inflated: NDArray[Any] = self._inflated[row]
            return inflated.copy()
        cell = self.shape[1:]
        count = int(np.prod(cell, dtype=np.int64))
        start = self.data_start + row * count * (abs(self.bitpix) // 8)
        raw = np.frombuffer(self.file.data, _BITPIX[self.bitpix], count, start).reshape(cell)
        scale, zero = self.header.get("BSCALE", 1.0), self.header.get("BZERO", 0.0)
        blank = self.header.get("BLANK") if self.bitpix > 0 else None
        return _scaled(raw, float(scale), float(zero), blank)

    @cached_property
    def _inflated(self) -> NDArray[Any]:
        return self._astropy_data()

    @cached_property
    def columns(self) -> dict[str, Column]:
        """Columns by name as written (look-up by `column` ignores case)."""
        if self.kind == "ascii":
            return self._ascii_columns()
        out: dict[str, Column] = {}
        offset = 0
        for i in range(1, self._int("TFIELDS", 0) + 1):
            column = self._column(i, offset)
            if column.code in "PQ":
                offset += 8 if column.code == "P" else 16
            elif column.code == "X":
                offset += (column.repeat + 7) // 8
            else:
                size = 1 if column.code == "A" else np.dtype(_CODES[column.code]).itemsize
                offset += column.repeat * size
            out.setdefault(column.name, column)
        if self.kind == "table" and self.axes and offset > self.axes[0]:
            raise self.file.bad(
                f"HDU {self.index}: columns need {offset} bytes a row, rows have {self.axes[0]}",
                hdu=self.index,
            )
        return out

    def _ascii_columns(self) -> dict[str, Column]:
        h, out = self.header, dict[str, Column]()
        for i in range(1, self._int("TFIELDS", 0) + 1):
            form = str(h.get(f"TFORM{i}", "")).strip()[:1].upper()
            column = Column(
                name=str(h.get(f"TTYPE{i}", f"col{i}")).strip(),
                code={"A": "A", "I": "J"}.get(form, "D"), repeat=1, offset=0, shape=(),
                unit=h.get(f"TUNIT{i}"), scale=1.0, zero=0.0, null=None, number=i,
            )  # fmt: skip
            out.setdefault(column.name, column)
        return out

    def _column(self, i: int, offset: int) -> Column:
        h = self.header
        match = _TFORM.match(str(h.get(f"TFORM{i}", "")))
        if not match:
            raise self.file.bad(f"HDU {self.index}: TFORM{i} is missing or wrong", hdu=self.index)
        repeat, code = int(match[1] or 1), match[2]
        shape = _tdim(h.get(f"TDIM{i}"), repeat) if code not in "APQ" else None
        return Column(
            name=str(h.get(f"TTYPE{i}", f"col{i}")).strip(), code=code, repeat=repeat,
            offset=offset, shape=shape or ((repeat,) if repeat != 1 else ()),
            unit=h.get(f"TUNIT{i}"), scale=float(h.get(f"TSCAL{i}", 1.0)),
            zero=float(h.get(f"TZERO{i}", 0.0)), null=h.get(f"TNULL{i}"), number=i,
        )  # fmt: skip

    def find(self, *names: str) -> Column | None:
        """The first column called one of `names`, in any case."""
        lower = self._lower
        for name in names:
            hit = lower.get(name.lower())
            if hit is not None:
                return hit
        return None

    @cached_property
    def _lower(self) -> dict[str, Column]:
        out: dict[str, Column] = {}
        for column in self.columns.values():
            out.setdefault(column.name.lower(), column)
        return out

    def has(self, *names: str) -> bool:
        """True if every one of `names` is a column (in any case)."""
        return all(name.lower() in self._lower for name in names)

    def column(self, name: str) -> NDArray[Any]:
        """(n_rows, …) values in native byte order, TSCAL/TZERO/TNULL applied.

        Scalar columns come as (n_rows,), array cells as (n_rows, n), text as (n_rows,) str,
        variable-length arrays as (n_rows,) object. Raises DataError (no_column).
        """
        column = self.find(name)
        if column is None:
            raise DataError(
                f"HDU {self.index} has no column {name}", code="no_column",
                where=self.file.where, hdu=self.index,
            )  # fmt: skip
        if self.kind != "table" or column.code == "X":
            return self._astropy_column(column.name)
        if column.code in "PQ":
            return self._heap(column)
        width, rows = self.axes[0], self.n_rows
        dtype = f"S{column.repeat}" if column.code == "A" else _CODES[column.code]
        if column.code == "A" and column.repeat == 0:
            return np.full(rows, "", dtype="U1")
        base = np.dtype(dtype)
        cell = () if column.code == "A" else column.shape
        strides = (width, *_cell_strides(cell, base.itemsize))
        raw: NDArray[Any] = np.ndarray(
            (rows, *cell), base, self.file.data, self.data_start + column.offset, strides
        )
        return self._finish(raw, column)

    def _finish(self, raw: NDArray[Any], column: Column) -> NDArray[Any]:
        if column.code == "A":
            return np.char.rstrip(np.char.decode(raw, "latin-1"), " \x00")
        if column.code == "L":
            return raw == b"T"
        return _scaled(raw, column.scale, column.zero, column.null)

    def _heap(self, column: Column) -> NDArray[Any]:
        width, rows = self.axes[0], self.n_rows
        match = _TFORM.match(str(self.header.get(f"TFORM{column.number}", "")))
        inner = (match[3].strip()[:1] if match else "") or "?"
        if inner not in _CODES or inner == "L":
            return self._astropy_column(column.name)
        pair = ">i4" if column.code == "P" else ">i8"
        size = np.dtype(pair).itemsize
        desc: NDArray[Any] = np.ndarray(
            (rows, 2), pair, self.file.data, self.data_start + column.offset, (width, size)
        )
        heap = self.data_start + int(self.header.get("THEAP", width * rows))
        end = self.data_start + self.data_size
        out = np.empty(rows, dtype=object)
        item = np.dtype(_CODES[inner])
        for i, (n, at) in enumerate(desc.tolist()):
            if n < 0 or at < 0 or heap + at + n * item.itemsize > end:
                raise self.file.bad(f"HDU {self.index}: heap pointer of row {i} is outside",
                                    hdu=self.index)  # fmt: skip
            raw = np.frombuffer(self.file.data, item, n, heap + at)
            out[i] = _scaled(raw, column.scale, column.zero, column.null)
        return out

    def scalar(self, name: str, row: int = 0) -> Any:
        """One cell of a column as a Python value, or None if the column is not there."""
        if self.find(name) is None or row >= self.n_rows:
            return None
        value = self.column(name)[row]
        value = value.item() if isinstance(value, np.generic) else value
        return value.strip() if isinstance(value, str) else value

    def unit(self, name: str) -> str | None:
        """TUNIT of a column, or None."""
        column = self.find(name)
        text = None if column is None or column.unit is None else str(column.unit).strip()
        return text or None

    def column_key(self, stem: str, name: str) -> Any:
        """Indexed keyword of a column: ``column_key("TUCD", "WAVE")`` → value of TUCDn."""
        column = self.find(name)
        return None if column is None else self.header.get(f"{stem}{column.number}")

    def _astropy_data(self) -> NDArray[Any]:
        data = self.file.astropy_hdu(self.index).data
        return np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))

    def _astropy_column(self, name: str) -> NDArray[Any]:
        data = np.asarray(self.file.astropy_hdu(self.index).data[name])
        return data if data.dtype.kind in "UOSb" else data.astype(data.dtype.newbyteorder("="))

    def verify(self) -> None:
        """Raise DataError (wrong_checksum) when DATASUM does not match the data.

        CHECKSUM covers the header too, and many tools edit headers without renewing it, so it is
        tested only where DATASUM is absent.
        """
        declared = self.header.get("DATASUM")
        if declared is None or not str(declared).strip().isdigit():
            return
        size = -(-self.data_size // BLOCK) * BLOCK
        block = memoryview(self.file.data)[self.data_start : self.data_start + size]
        if len(block) % 4:
            block = memoryview(bytes(block) + b"\x00" * (4 - len(block) % 4))
        total = int(np.frombuffer(block, ">u4").sum(dtype=np.uint64)) if len(block) else 0
        while total >> 32:
            total = (total & 0xFFFFFFFF) + (total >> 32)
        if total != int(declared):
            raise DataError(
                f"HDU {self.index}: DATASUM is {declared}, the data give {total}",
                code="wrong_checksum", where=self.file.where, hdu=self.index,
                remedy="the file was damaged after it was written: fetch it again",
            )  # fmt: skip


def _cell_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    strides: list[int] = []
    step = itemsize
    for n in reversed(shape):
        strides.insert(0, step)
        step *= n
    return tuple(strides)


def _tdim(text: Any, repeat: int) -> tuple[int, ...] | None:
    if not isinstance(text, str):
        return None
    try:
        dims = tuple(int(n) for n in text.strip(" ()").split(","))[::-1]
    except ValueError:
        return None
    return dims if int(np.prod(dims)) == repeat and all(n >= 0 for n in dims) else None


def _scaled(raw: NDArray[Any], scale: float, zero: float, null: Any) -> NDArray[Any]:
    """Native byte order; physical values; unsigned integers stay integers."""
    native = raw.dtype.newbyteorder("=")
    is_null = None
    if null is not None and isinstance(null, int) and raw.dtype.kind in "iu":
        is_null = raw == null
        if not is_null.any():
            is_null = None
    if scale == 1.0 and zero == 0.0 and is_null is None:
        return raw.astype(native)
    bits = raw.dtype.itemsize * 8
    if scale == 1.0 and is_null is None and raw.dtype.kind in "iu":
        if raw.dtype.kind == "i" and zero == 2.0 ** (bits - 1):
            return raw.astype(native).view(f"u{bits // 8}") ^ np.array(
                1 << (bits - 1), dtype=f"u{bits // 8}"
            )
        if raw.dtype.kind == "u" and bits == 8 and zero == -128:
            return (raw ^ np.uint8(128)).view(np.int8)
    wide = np.float32 if raw.dtype.kind == "f" and bits == 32 else np.float64
    if raw.dtype.kind in "iu" and bits <= 16:
        wide = np.float32
    out = raw.astype(np.float64) * scale + zero
    if is_null is not None:
        out[is_null] = np.nan
    return out.astype(wide)


class FitsFile:
    """All HDUs of a FITS file. Raises DataError when truncated or malformed."""

    def __init__(self, data: bytes | mmap.mmap, where: str) -> None:
        self.data = data
        self.where = where
        self.hdus: list[Hdu] = []
        if data[:9] != b"SIMPLE  =":
            raise self.bad("does not start with SIMPLE: not a FITS file", code="not_fits")
        at, size = 0, len(data)
        while at < size:
            if self.hdus and data[at : at + 8] != b"XTENSION":
                break  # trailing junk or padding, allowed by FITS 4.0 §3.5 (special records)
            text, start = self._header(at)
            hdu = Hdu(self, len(self.hdus), Header(text), start)
            if start + hdu.data_size > size:
                raise self.bad(
                    f"HDU {hdu.index} needs {hdu.data_size} bytes of data, the file has "
                    f"{max(0, size - start)} left", code="truncated", hdu=hdu.index,
                )  # fmt: skip
            self.hdus.append(hdu)
            at = start + -(-hdu.data_size // BLOCK) * BLOCK

    def bad(self, what: str, code: str = "bad_fits", hdu: int | None = None) -> DataError:
        """A DataError about this file."""
        return DataError(what, code=code, where=self.where, hdu=hdu, remedy="fetch the file again")

    def _header(self, start: int) -> tuple[str, int]:
        at = start
        blocks: list[str] = []
        while True:
            raw = self.data[at : at + BLOCK]
            if len(raw) < BLOCK:
                if _END in (text := raw.decode("latin-1")) and text.find(_END) % 80 == 0:
                    raw = raw.ljust(BLOCK)
                else:
                    raise self.bad(f"HDU {len(self.hdus)}: the header has no END",
                                   "truncated", len(self.hdus))  # fmt: skip
            text = raw.decode("latin-1")
            at += BLOCK
            end = text.find(_END)
            while end >= 0 and end % 80:
                end = text.find(_END, end + 1)
            if end >= 0:
                blocks.append(text[:end])
                return "".join(blocks), min(at, len(self.data))
            blocks.append(text)

    def __getitem__(self, index: int) -> Hdu:
        return self.hdus[index]

    def __len__(self) -> int:
        return len(self.hdus)

    def __iter__(self) -> Iterator[Hdu]:
        return iter(self.hdus)

    @property
    def primary(self) -> Header:
        """The primary header."""
        return self.hdus[0].header

    def named(self, *names: str) -> Hdu | None:
        """The first HDU whose EXTNAME is one of `names` (upper case), or None."""
        for name in names:
            for hdu in self.hdus:
                if hdu.name == name:
                    return hdu
        return None

    @cached_property
    def _decoded(self) -> dict[int, Any]:
        return {}

    def _alone(self, index: int) -> bytes:
        """A FITS file of this HDU only: inflating one mask must not copy a 400 MB file."""
        hdu = self.hdus[index]
        header = (hdu.header.text + _END).encode("latin-1")
        data = bytes(self.data[hdu.data_start : hdu.data_start + hdu.data_size])
        front = b"" if index == 0 else _EMPTY_PRIMARY
        return front + b"".join(
            part + fill * (-len(part) % BLOCK) for part, fill in ((header, b" "), (data, b"\0"))
        )

    def astropy_hdu(self, index: int) -> Any:
        """The same HDU as astropy sees it: the fallback for what this parser leaves out."""
        if index in self._decoded:
            return self._decoded[index]
        from astropy.io import fits

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                opened = fits.open(io.BytesIO(self._alone(index)), memmap=False)
                hdu = opened[min(index, 1)]
                hdu.data  # noqa: B018  (load now, so that failures surface here)
        except Exception as error:  # a foreign parser on foreign bytes: anything can come
            raise self.bad(f"HDU {index} cannot be decoded: {error}", hdu=index) from error
        self._decoded[index] = hdu
        return hdu


@lru_cache(maxsize=4096)
def iso_to_mjd(text: str) -> float | None:
    """MJD of an ISO 8601 / FITS DATE-OBS text (also the old ``dd/mm/yy``), or None."""
    from datetime import datetime

    s = text.strip().rstrip("Z").replace(" ", "T")
    old = re.fullmatch(r"(\d\d)/(\d\d)/(\d\d)", s)
    if old:
        s = f"19{old[3]}-{old[2]}-{old[1]}"
    try:
        when = datetime.fromisoformat(s)
    except ValueError:
        return None
    return (when.replace(tzinfo=None) - datetime(1858, 11, 17)).total_seconds() / 86400.0
