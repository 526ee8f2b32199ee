"""A small, strict, fast FITS parser (FITS 4.0): headers by search, arrays as views.

astropy needs 2 ms a file for card and column objects that a reader never looks at. Here a header
stays bytes until a keyword is asked for, and a column is a strided view until it is copied to
native byte order. Only tile-compressed images go to astropy.

rustfits 0.1.8 (MIT) is the peer: to open an SDSS spec-lite and read six columns takes this parser
0.16 ms and rustfits 0.21 ms, with two labels from the 126-column table 0.19 and 0.87 ms (astropy
2.1 ms), so that there is no reason to depend on it.
"""

from __future__ import annotations

import io
import math
import mmap
import warnings
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import DataError
from .fits_columns import (
    MAX_DIMENSIONS,
    BadLayout,
    Column,
    Layout,
    Plan,
    Rows,
    compression,
    layout,
    read_ascii,
    read_binary,
    read_cell,
    read_record,
    record_plan,
    scaled,
)  # fmt: skip
from .fits_header import CARD, Header, Value, iso_to_mjd

__all__ = ["BLOCK", "Column", "FitsFile", "Hdu", "Header", "Value", "iso_to_mjd"]

BLOCK = 2880
_END = b"END" + b" " * 77
_BITPIX = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_MAX_AXES = 999
_MAX_HEADER = 64 * 2**20
_MAX_INFLATION, _FREE_BYTES = 400, 64 * 2**20
"""A compressed image may be this many times its stored size (beyond the free bytes)."""
_MANDATORY = 8 * CARD
_KINDS = {"IMAGE": "image", "BINTABLE": "table", "A3DTABLE": "table", "TABLE": "ascii"}


class Hdu:
    """One header-data unit. Data are read only when asked for."""

    def __init__(self, file: FitsFile, index: int, header: Header, start: int) -> None:
        self.file = file
        self.index = index
        self.header = header
        self.data_start = start
        known = _structure(header.raw[:_MANDATORY]) if index else None
        self.bitpix, self.axes, pcount, gcount = known or self._structure()
        if self.axes and min(self.axes) < 0:
            raise file.bad(f"HDU {index} lacks or has a negative NAXISn", hdu=index)
        naxis, size = len(self.axes), math.prod(self.axes) if self.axes else 0
        if pcount < 0 or gcount < 0:
            raise file.bad(f"HDU {index} has a negative PCOUNT or GCOUNT", hdu=index)
        self.data_size = abs(self.bitpix) // 8 * gcount * (pcount + size)
        if naxis and size == 0 and max(self.axes) > len(file.data):
            raise file.bad(f"HDU {index} has axes {self.axes} and no data", hdu=index)

    def _structure(self) -> tuple[int, tuple[int, ...], int, int]:
        """BITPIX, NAXISn, PCOUNT and GCOUNT, wherever they stand."""
        index = self.index
        bitpix, naxis = self._int(1, "BITPIX", 0), self._int(2, "NAXIS", -1)  # both mandatory
        if not 0 <= naxis <= _MAX_AXES or bitpix not in _BITPIX:
            raise self.file.bad(f"HDU {index} has NAXIS={naxis}, BITPIX={bitpix}", hdu=index)
        axes = tuple(self._int(2 + i, f"NAXIS{i}", -1) for i in range(1, naxis + 1))
        if not index:
            return bitpix, axes, 0, 1
        return bitpix, axes, self._int(3 + naxis, "PCOUNT", 0), self._int(4 + naxis, "GCOUNT", 1)

    def _int(self, card: int, key: str, default: int) -> int:
        value = self.header.fixed_integer(card, key)
        if value is None:
            value = self.header.get(key, default)
            if isinstance(value, bool) or not isinstance(value, int):
                raise self.file.bad(f"{key} = {value!r} is not an integer", hdu=self.index)
        return value

    @cached_property
    def kind(self) -> str:
        """``image``, ``table``, ``ascii``, ``compressed`` (image), ``ztable`` or ``other``."""
        if self.index == 0:
            return "image"
        if self.header.raw.startswith(b"XTENSION= 'IMAGE   '"):
            return "image"
        if self.header.raw.startswith(b"XTENSION= 'BINTABLE'"):
            return compression(self.table_cards)
        kind = _KINDS.get(str(self.header.get("XTENSION", "")).strip().upper(), "other")
        return compression(self.table_cards) if kind == "table" else kind

    @cached_property
    def table_cards(self) -> bytes:
        """The cards that describe the columns: the same bytes in all files of a survey.

        From TFIELDS to the last one in T or Z, so that the checksums after them do not matter.
        """
        raw = self.header.raw
        at = raw.find(b"TFIELDS =", 0, 12 * CARD)
        return raw if at <= 0 or at % CARD else _column_cards(raw[at:])

    @cached_property
    def name(self) -> str:
        """EXTNAME in upper case, or ''."""
        return str(self.header.get("EXTNAME", "")).strip().upper()

    @property
    def shape(self) -> tuple[int, ...]:
        """Image shape in numpy order."""
        if self.kind == "compressed":
            n = self._int(-1, "ZNAXIS", 0)
            if not 0 <= n <= MAX_DIMENSIONS:
                raise self.file.bad(f"HDU {self.index} has ZNAXIS={n}", hdu=self.index)
            return tuple(self._int(-1, f"ZNAXIS{i}", 0) for i in range(n, 0, -1))
        return self.axes[::-1]

    @property
    def n_rows(self) -> int:
        """Rows of a table (0 if they have no bytes)."""
        return self.axes[1] if len(self.axes) > 1 and self.axes[0] else 0

    def image(self) -> NDArray[Any]:
        """The image, native byte order, BSCALE/BZERO/BLANK applied (unsigned kept unsigned)."""
        if self.kind == "compressed":
            return self._inflated.copy()
        return self._stored_image(self.shape, 0)

    def image_row(self, row: int) -> NDArray[Any]:
        """``image()[row]`` without copying the other rows; a compressed image is inflated once."""
        shape = self.shape
        if not 0 <= row < (shape[0] if shape else 0):
            raise self.file.bad(f"HDU {self.index} has no row {row}", hdu=self.index)
        if self.kind == "compressed":
            inflated: NDArray[Any] = self._inflated[row]
            return inflated.copy()
        return self._stored_image(shape[1:], row * math.prod(shape[1:]))

    def _stored_image(self, shape: tuple[int, ...], first: int) -> NDArray[Any]:
        """Pixels of an uncompressed image from number `first` on."""
        if self.kind != "image" or len(self.axes) > MAX_DIMENSIONS:
            raise self.file.bad(f"HDU {self.index} holds no image that can be read", hdu=self.index)
        scale, zero = self.header.get("BSCALE", 1.0), self.header.get("BZERO", 0.0)
        if not (isinstance(scale, (int, float)) and isinstance(zero, (int, float))):
            raise self.file.bad(
                f"HDU {self.index} has BSCALE={scale!r}, BZERO={zero!r}", hdu=self.index
            )
        dtype = np.dtype(_BITPIX[self.bitpix])
        if not self.axes:
            return np.empty(0, dtype=dtype.newbyteorder("="))
        raw: NDArray[Any] = np.ndarray(
            shape, dtype, self.file.data, self.data_start + first * dtype.itemsize
        )
        blank = self.header.get("BLANK") if self.bitpix > 0 else None
        return scaled(raw, float(scale), float(zero), blank, image=True)

    @cached_property
    def _layout(self) -> Layout:
        if self.kind not in ("table", "ascii"):
            return Layout({}, {}, 0)
        try:
            table = layout(self.table_cards, self.kind == "ascii")
        except BadLayout as error:
            raise self.file.bad(f"HDU {self.index}: {error}", hdu=self.index) from error
        wrong = len(self.axes) != 2 or table.row_bytes > self.axes[0]
        # columns that do not fill the row: a damaged TFORM, after which all others are shifted
        if wrong or (self.kind == "table" and table.row_bytes < self.axes[0]):
            raise self.file.bad(
                f"HDU {self.index}: columns need {table.row_bytes} bytes a row, the table has "
                f"axes {self.axes}", hdu=self.index,
            )  # fmt: skip
        return table

    @property
    def columns(self) -> Mapping[str, Column]:
        """Columns by name as written (look-up by `column` ignores case); none if no table."""
        return self._layout.columns

    def find(self, *names: str) -> Column | None:
        """The first column called one of `names`, in any case."""
        lower = self._layout.lower
        for name in names:
            hit = lower.get(name.lower())
            if hit is not None:
                return hit
        return None

    def has(self, *names: str) -> bool:
        """True if every one of `names` is a column (in any case)."""
        lower = self._layout.lower
        return all(map(lower.__contains__, map(str.lower, names)))

    @cached_property
    def _rows(self) -> Rows:
        width, rows = self.axes[0], self.n_rows
        start, size = self.data_start, self.data_size
        theap = self.header.get("THEAP", width * rows) if size > width * rows else width * rows
        usable = isinstance(theap, int) and width * rows <= theap <= size
        if isinstance(theap, bool) or not usable:
            raise self.file.bad(f"HDU {self.index}: THEAP = {theap!r}", hdu=self.index)
        return Rows(self.file.data, start, width, rows, start + theap, start + size)

    def column(self, name: str) -> NDArray[Any]:
        """(n_rows, …) values in native byte order, TSCAL/TZERO/TNULL applied.

        Scalar columns come as (n_rows,), array cells as (n_rows, n), text as (n_rows,) str,
        bits as (n_rows, n) bool, variable-length arrays as (n_rows,) object. An integer column
        in which a value is null comes as float64 with NaN. Raises DataError (no_column).
        """
        column = self.find(name)
        if column is None:
            if self.kind == "ztable":
                raise DataError(
                    f"HDU {self.index} is a compressed table", code="compressed_table",
                    where=self.file.where, hdu=self.index, remedy="unpack it with funpack",
                )  # fmt: skip
            raise DataError(
                f"HDU {self.index} has no column {name}", code="no_column",
                where=self.file.where, hdu=self.index,
            )  # fmt: skip
        try:
            read = read_ascii if self.kind == "ascii" else read_binary
            return read(self._rows, column)
        except BadLayout as error:
            raise self.file.bad(f"HDU {self.index}: {error}", hdu=self.index) from error

    def scalar(self, name: str, row: int = 0) -> Any:
        """One cell of a column as a Python value, or None if the column is not there or null."""
        table = self._layout
        column = table.columns.get(name) or table.lower.get(name.lower())
        if column is None or not 0 <= row < self._rows.count:
            return None
        if column.simple:
            return read_cell(self._rows, column, row)
        value = self.column(name)[row]
        value = value.item() if isinstance(value, np.generic) else value
        return value.strip() if isinstance(value, str) else value

    def record(self, names: tuple[str, ...], row: int = 0) -> dict[str, Any]:
        """The cells of one row as Python values; absent columns and nulls are left out.

        The same `scalar` for each name gives, many times faster: one unpacking for all numbers
        and texts, planned once for all tables of the same layout.
        """
        if self.kind != "table" or not 0 <= row < self._rows.count or not self.columns:
            plan = Plan((), None, names)
        else:
            plan = record_plan(self.table_cards, names)
        out = read_record(self._rows, plan, row) if plan.unpack else {}
        out |= {name: self.scalar(name, row) for name in plan.others}
        return {name: value for name, value in out.items() if value is not None}

    def unit(self, name: str) -> str | None:
        """TUNIT of a column, or None."""
        column = self.find(name)
        text = None if column is None or column.unit is None else column.unit.strip()
        return text or None

    def column_key(self, stem: str, name: str) -> Any:
        """Indexed keyword of a column: ``column_key("TUCD", "WAVE")`` → value of TUCDn."""
        column = self.find(name)
        return None if column is None else self.header.get(f"{stem}{column.number}")

    @cached_property
    def _inflated(self) -> NDArray[Any]:
        pixels = math.prod(self.shape)
        if pixels * 8 > max(_FREE_BYTES, _MAX_INFLATION * self.data_size):
            raise self.file.bad(
                f"HDU {self.index}: {pixels} pixels from {self.data_size} bytes: refused as a "
                "decompression bomb", "bomb", self.index,
            )  # fmt: skip
        data = self.file.astropy_hdu(self.index).data
        if data is None or data.shape != self.shape:
            raise self.file.bad(f"HDU {self.index} cannot be decompressed", hdu=self.index)
        return np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))

    def verify(self) -> None:
        """Raise DataError (wrong_checksum) when DATASUM does not match the data.

        CHECKSUM is not enforced: it covers the header too, and real files had keywords edited
        without renewing it (7 of the 117 of our test archive) while their data are intact.
        DATASUM 0 means "not computed" (the HARPS pipeline writes it over real data).
        """
        if self.header.raw.find(b"DATASUM") < 0:  # spares indexing the header
            return
        declared = str(self.header.get("DATASUM", "")).strip()
        if not (declared.isascii() and declared.isdigit()) or int(declared) == 0:
            return
        size = -(-self.data_size // BLOCK) * BLOCK
        block = memoryview(self.file.data)[self.data_start : self.data_start + size]
        whole = len(block) // 4 * 4
        total = int(np.frombuffer(block[:whole], ">u4").sum(dtype=np.uint64)) if whole else 0
        total += int.from_bytes(bytes(block[whole:]).ljust(4, b"\x00"), "big")
        while total >> 32:
            total = (total & 0xFFFFFFFF) + (total >> 32)
        if total != int(declared):
            raise DataError(
                f"HDU {self.index}: DATASUM is {declared}, the data give {total}",
                code="wrong_checksum", where=self.file.where, hdu=self.index,
                remedy="the file was damaged after it was written: fetch it again",
            )  # fmt: skip


@lru_cache(maxsize=1024)
def _structure(cards: bytes) -> tuple[int, tuple[int, ...], int, int] | None:
    """BITPIX, NAXISn, PCOUNT, GCOUNT of an extension whose mandatory cards stand where they belong.

    The same bytes in most files of a survey, so that most headers cost one look-up here.
    """
    header = Header(cards)
    bitpix, naxis = header.fixed_integer(1, "BITPIX"), header.fixed_integer(2, "NAXIS")
    if bitpix not in _BITPIX or naxis is None or not 0 <= naxis <= 2:
        return None
    keys = [*(f"NAXIS{i}" for i in range(1, naxis + 1)), "PCOUNT", "GCOUNT"]
    found = [header.fixed_integer(3 + i, key) for i, key in enumerate(keys)]
    numbers = [number for number in found if number is not None]
    if len(numbers) < len(keys):
        return None
    return bitpix, tuple(numbers[:naxis]), numbers[naxis], numbers[naxis + 1]


@lru_cache(maxsize=256)
def _column_cards(cards: bytes) -> bytes:
    """The cards up to the last one in T or Z."""
    return cards[: (Header(cards).last_card_in(b"TZ") + 1) * CARD]


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
                self._refuse_trailing(at)
                break
            end, start = self._header_end(at)
            hdu = Hdu(self, len(self.hdus), Header(data[at:end]), start)
            if start + hdu.data_size > size:
                raise self.bad(
                    f"HDU {hdu.index} needs {hdu.data_size} bytes of data, the file has "
                    f"{max(0, size - start)} left", code="truncated", hdu=hdu.index,
                )  # fmt: skip
            self.hdus.append(hdu)
            at = start + -(-hdu.data_size // BLOCK) * BLOCK

    def _refuse_trailing(self, at: int) -> None:
        """Blocks that are no padding behind the last HDU: a size above is wrong, or a name.

        FITS comes in blocks, so that less than one is only junk. Special records (FITS 4.0 §3.5)
        are deprecated and look just like data gone astray.
        """
        if len(self.data) - at >= BLOCK and bytes(self.data[at:]).strip(b"\x00 "):
            last = len(self.hdus) - 1
            raise self.bad(
                f"HDU {last} ends at byte {at}, and {len(self.data) - at} bytes follow that are no "
                "HDU: a header was damaged, or something was appended", "trailing_data", last,
            )  # fmt: skip

    def bad(self, what: str, code: str = "bad_fits", hdu: int | None = None) -> DataError:
        """A DataError about this file."""
        return DataError(what, code=code, where=self.where, hdu=hdu, remedy="fetch the file again")

    def _header_end(self, start: int) -> tuple[int, int]:
        """Offsets of the END card and of the data, for the header that begins at `start`."""
        data, size = self.data, len(self.data)
        for at in range(start, min(size, start + _MAX_HEADER), BLOCK):
            end = data.find(_END, at, at + BLOCK)
            while end >= 0 and (end - start) % CARD:
                end = data.find(_END, end + 1, at + BLOCK)
            if end >= 0:
                return end, min(at + BLOCK, size)
        index = len(self.hdus)
        raise self.bad(f"HDU {index}: the header has no END", "truncated", index)

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

    @cached_property
    def names(self) -> Mapping[str, Hdu]:
        """The first HDU of each EXTNAME (upper case; '' where there is none)."""
        found: dict[str, Hdu] = {}
        for hdu in self.hdus:
            found.setdefault(hdu.name, hdu)
        return found

    def named(self, *names: str) -> Hdu | None:
        """The HDU of the first of `names` (EXTNAME in upper case) that there is, or None."""
        return next((self.names[name] for name in names if name in self.names), None)

    def astropy_hdu(self, index: int) -> Any:
        """The same HDU as astropy sees it: the fallback for what this parser leaves out.

        astropy is given this HDU alone, so that damage elsewhere in the file cannot matter.
        """
        from astropy.io import fits

        hdu = self.hdus[index]
        header = hdu.header.raw + _END
        data = bytes(self.data[hdu.data_start : hdu.data_start + hdu.data_size])
        alone = header + b" " * (-len(header) % BLOCK) + data + bytes(-len(data) % BLOCK)
        if index:
            alone = fits.PrimaryHDU().header.tostring().encode("ascii") + alone
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = fits.open(io.BytesIO(alone), memmap=False)[1 if index else 0]
                found.data  # noqa: B018  (load now, so that failures surface here)
                return found
        except Exception as error:  # a foreign parser on foreign bytes: anything can come
            raise self.bad(f"HDU {index} cannot be decoded: {error}", hdu=index) from error
