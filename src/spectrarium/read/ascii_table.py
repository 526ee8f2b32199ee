"""Text tables: where the numbers start, what separates them, what the columns are called.

A table is seen through the first 64 KiB (`sniff`); `load` then turns all of it into arrays.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
from numpy.typing import NDArray

from ..domain.errors import DataError
from ..domain.units import parse_unit
from .columns import meaning
from .row_fields import normal_key

HEAD = 2**16
_SAMPLE = 48
_MAX_COLUMNS = 256
_COMMENT = b"#;!%"
_KEY = re.compile(r"([A-Za-z][\w .\-/]{0,40}?)\s*[:=]\s*(.*)")
_NUMBERED = re.compile(r"(?:col(?:umn)?\s*)?(\d{1,2})\s*[:=)]\s*(\S.*)", re.IGNORECASE)
_BYTES = re.compile(r"\d+\s*-\s*\d+\s+[AFIEL]\d+(?:\.\d+)?\s+(\S+)\s+(\S+)(?:\s.*)?")
_LIST_HEAD = re.compile(r"columns?( are)?\s*:?", re.IGNORECASE)
_AUTO_NAME = re.compile(r"(?:col(?:umn)?_?)?\d*|unnamed.*", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class TextTable:
    """A text table's form. `names` and `units` have one entry a column ('' and None: not given).

    body : offset of the first row of numbers · rows : the first lines from there
    """

    delimiter: bytes | None
    names: tuple[str, ...]
    units: tuple[str | None, ...]
    body: int
    rows: tuple[str, ...]
    comments: tuple[str, ...] = field(default=())
    ecsv: bool = False

    @property
    def named(self) -> bool:
        """True if the file names its columns (``col1`` is no name)."""
        return any(self.names)

    @cached_property
    def cells(self) -> list[list[str]]:
        """The cells of `rows`: taken apart only when the names alone do not decide."""
        return [_split(row, self.delimiter) for row in self.rows]

    def numbers(self, column: int) -> NDArray[np.float64]:
        """(k,) numbers in this column of `rows`, NaN where a cell is text."""
        return np.array([_number(row[column]) for row in self.cells], dtype=np.float64)

    def is_text(self, column: int) -> bool:
        """True if a cell of this column of `rows` is neither a number nor empty."""
        return any(row[column] and not _is_number(row[column]) for row in self.cells)

    @cached_property
    def has_text(self) -> bool:
        """True if any column `is_text`."""
        return any(self.is_text(i) for i in range(len(self.names)))


def sniff(data: Any) -> TextTable | None:
    """The form of the table that starts in `data` (bytes or a map of the file), or None."""
    head = bytes(data[:HEAD])
    if not head or b"\x00" in head[:4096]:
        return None
    comments, rows, offsets = _lines(head, complete=len(head) < HEAD)
    if not rows:
        return None
    delimiter = _delimiter(rows)
    n = _width(rows[0], delimiter)
    if not 1 < n <= _MAX_COLUMNS or any(_width(row, delimiter) != n for row in rows[1:]):
        return None
    names = _split(rows[0], delimiter)
    units: list[str | None] = []
    first = 0
    if any(_is_number(c) for c in names):
        names, units = _names_from_comments(comments, n)
    else:
        first = 1
        second = _split(rows[1], delimiter) if len(rows) > 1 else []
        if _is_unit_row(second):
            first, units = 2, [c or None for c in second]
    if len(rows) <= first:
        return None
    return TextTable(
        delimiter=delimiter, names=tuple("" if _AUTO_NAME.fullmatch(x) else x for x in names),
        units=tuple(units) or (None,) * n, body=offsets[first], rows=tuple(rows[first:]),
        comments=tuple(comments), ecsv=head.lstrip(b"\xef\xbb\xbf").startswith(b"# %ECSV"),
    )  # fmt: skip


def _lines(head: bytes, complete: bool) -> tuple[list[str], list[str], list[int]]:
    """Leading comments, the first lines that are none, and where these start."""
    comments: list[str] = []
    rows: list[str] = []
    offsets: list[int] = []
    if b"\n" not in head:
        head = head.replace(b"\r", b"\n")
    at = 3 if head.startswith(b"\xef\xbb\xbf") else 0
    while at < len(head) and len(rows) < _SAMPLE:
        end = head.find(b"\n", at)
        if end < 0:
            if not complete:
                break
            end = len(head)
        line = head[at:end].strip()
        if line[:1] and line[:1] in _COMMENT:
            comments.append(_text(line.lstrip(_COMMENT + b" ")))
        elif line:
            rows.append(_text(line))
            offsets.append(at)
        at = end + 1
    return comments, rows, offsets


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8").strip()
    except UnicodeDecodeError:
        return raw.decode("latin-1").strip()


def _delimiter(rows: Sequence[str]) -> bytes | None:
    last = rows[-1]
    for mark in (",", "\t", ";", "|"):
        if mark in last and all(mark in row for row in rows):
            return mark.encode()
    return None


def _width(line: str, delimiter: bytes | None) -> int:
    """The number of cells of `line`."""
    if delimiter is None or '"' in line:
        return len(_split(line, delimiter))
    return line.count(delimiter.decode()) + 1


def _split(line: str, delimiter: bytes | None) -> list[str]:
    if delimiter is None:
        return line.split()
    if '"' in line:
        try:
            cells = next(csv.reader([line], delimiter=delimiter.decode()))
            return [cell.strip() for cell in cells]
        except csv.Error:  # a carriage return outside the quotes: damaged, and no quoting then
            pass
    return [cell.strip(" \"'") for cell in line.split(delimiter.decode())]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return bool(re.fullmatch(r"[+-]?\d*\.?\d+[dD][+-]?\d+", cell))
    return True


def _number(cell: str) -> float:
    for text in (cell, cell.replace("D", "e").replace("d", "e")):
        try:
            return float(text)
        except ValueError:
            continue
    return float("nan")


def _is_unit_row(cells: Sequence[str]) -> bool:
    given = [c for c in cells if c]
    if not given or any(_is_number(c) for c in given):
        return False
    return all(parse_unit(c) is not None for c in given)


def _names_from_comments(comments: Sequence[str], n: int) -> tuple[list[str], list[str | None]]:
    """Column names (and units) from a commented header line, a list of columns or a CDS table."""
    numbered = {int(m[1]): m[2].strip() for c in comments if (m := _NUMBERED.fullmatch(c))}
    if sorted(numbered) == list(range(1, n + 1)):
        names = [numbered[i] for i in range(1, n + 1)]
        if any(meaning(name) for name in names):
            return names, [None] * n
    for at, comment in enumerate(comments):
        names = list(comments[at + 1 : at + 1 + n])
        if _LIST_HEAD.fullmatch(comment) and len(names) == n and any(map(meaning, names)):
            return names, [None] * n
    described = [m for c in comments if (m := _BYTES.fullmatch(c))]
    if len(described) == n:
        return [m[2] for m in described], [None if m[1] == "---" else m[1] for m in described]
    for comment in reversed([c for c in comments if not _KEY.fullmatch(c)]):
        for mark in (",", r"\t", ";", r"\s{2,}", r"\s+"):
            cells = re.split(mark, comment)
            names = [cell.strip() for cell in cells]
            known = [bool(meaning(name)) for name in names]
            # words of a sentence are no names because one of them is "flux"
            enough = sum(known) > 1 or known[0] if mark == r"\s+" else any(known)
            if len(names) == n and enough and all(x.count("(") == x.count(")") for x in names):
                return names, [None] * n
    return [""] * n, [None] * n


def metadata_of(comments: Sequence[str]) -> dict[str, str]:
    """The ``key: value`` and ``key = value`` lines among comments; keys by `normal_key`."""
    out: dict[str, str] = {}
    for comment in comments:
        match = _KEY.fullmatch(comment)
        if match and match[2].strip():
            out.setdefault(normal_key(match[1]), match[2].strip())
    return out


def load(data: Any, table: TextTable, where: str) -> tuple[list[NDArray[Any]], list[str]]:
    """All columns, and the comments that stand below the first row.

    Columns are float64 (missing cells NaN), int64 where all cells are integers, or object (text).
    Raises DataError (bad_table) when a row has another number of cells.
    """
    body = bytes(data[table.body :])
    footer: list[str] = []
    mark = table.delimiter or b","
    if b"\n" not in body and b"\r" in body:
        body = body.replace(b"\r", b"\n")
    if table.delimiter is None or any(c in body for c in (b"#", b"!", b"%")):
        kept: list[bytes] = []
        for line in body.split(b"\n"):
            line = line.strip()
            if line[:1] and line[:1] in _COMMENT:
                footer.append(_text(line.lstrip(_COMMENT + b" ")))
            elif line:
                kept.append(b",".join(line.split()) if table.delimiter is None else line)
        body = b"\n".join(kept)
    names = [f"f{i}" for i in range(len(table.names))]
    try:
        found = pc.open_csv(  # the streaming reader: read_csv hands over to threads
            pa.BufferReader(body),
            read_options=pc.ReadOptions(
                use_threads=False, column_names=names, block_size=max(len(body) + 1, 2**20)
            ),
            parse_options=pc.ParseOptions(delimiter=mark.decode(), ignore_empty_lines=True),
            convert_options=pc.ConvertOptions(strings_can_be_null=True),
        ).read_all()
    except pa.ArrowInvalid as error:
        raise DataError(
            f"the table is damaged: {str(error).splitlines()[0]}", code="bad_table", where=where,
            remedy="every row needs the same number of cells: mend or fetch the file again",
        ) from error  # fmt: skip
    return [_array(found.column(i)) for i in range(found.num_columns)], footer


def _array(column: Any) -> NDArray[Any]:
    kind = column.type
    if pa.types.is_integer(kind) and column.null_count == 0:
        return _writable(column.to_numpy())
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _writable(column.cast(pa.float64()).to_numpy())
    if pa.types.is_boolean(kind) and column.null_count == 0:
        return _writable(column.to_numpy())
    if pa.types.is_string(kind):
        texts = [("" if v is None else v.strip()) for v in column.to_pylist()]
        if all(not t or _is_number(t) for t in texts):  # Fortran's 1.0D+03, blanks around numbers
            return np.array([_number(t) for t in texts], dtype=np.float64)
        return np.array(texts, dtype=object)
    return np.array([str(v) for v in column.to_pylist()], dtype=object)


def _writable(array: NDArray[Any]) -> NDArray[Any]:
    return array if array.flags.owndata else array.copy()
