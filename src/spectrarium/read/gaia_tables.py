"""The four forms in which the Gaia archive serves one and the same table: CSV, ECSV, VOTable, FITS.

Each becomes columns by lower-case name: (n_rows,) numbers, or lists of arrays for array cells.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import DataError
from .source import SourceFile

Cells = list[Any]
_ARRAY = re.compile(r"^\s*[\[(]")
_ID = re.compile(r"(?<!\d)(\d{10,19})(?!\d)")
csv.field_size_limit(2**27)
_HEAD_LINES = 4096


@dataclass(frozen=True, slots=True)
class GaiaTable:
    """One table.

    columns : name (lower case) → one Python value or array per row
    units : name → unit text as written, where the file says · params : values for all rows
    """

    columns: Mapping[str, Cells]
    units: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    hdu: int | None = None

    @property
    def n_rows(self) -> int:
        """Rows of the table."""
        return len(next(iter(self.columns.values()), []))

    def cell(self, name: str, row: int) -> Any:
        """A value of the row, else of the whole table, else None; NaN and masked are None."""
        value = self.columns[name][row] if name in self.columns else self.params.get(name)
        if value is None or np.ma.is_masked(value):
            return None
        if isinstance(value, np.generic):
            value = value.item()
        return None if isinstance(value, float) and not np.isfinite(value) else value

    def number(self, name: str, row: int) -> float | None:
        """`cell` if it is a number."""
        value = self.cell(name, row)
        return float(value) if isinstance(value, (int, float)) else None


def column_names(source: SourceFile) -> tuple[set[str], set[str]]:
    """(column, parameter) names in lower case, read from the head of the file; cheap."""
    if source.is_fits:
        for hdu in source.fits.hdus[1:]:
            if hdu.kind == "table":
                params = {"source_id"} if hdu.header.get("SOURCE_ID") is not None else set()
                return {name.lower() for name in hdu.columns}, params
        return set(), set()
    head = source.head
    if head[:1] == b"<" or b"<VOTABLE" in head[:2048]:
        if b"<VOTABLE" not in head[:2048]:
            return set(), set()
        return _votable_names(head, b"FIELD"), _votable_names(head, b"PARAM")
    line = _header_line(head)
    if line is None:
        return set(), set()
    return {name.strip().strip('"').lower() for name in line.split(",")}, set()


def _votable_names(head: bytes, tag: bytes) -> set[str]:
    found = re.findall(rb"<" + tag + rb"\s[^>]*?\bname\s*=\s*[\"']([^\"']+)[\"']", head)
    return {name.decode("latin-1").lower() for name in found}


def _header_line(head: bytes) -> str | None:
    """First line that is no comment, if it can be a CSV header."""
    if b"\n" not in head:
        head = head.replace(b"\r", b"\n")
    end = -1
    for _ in range(_HEAD_LINES):
        at, end = end + 1, head.find(b"\n", end + 1)
        if end < 0:
            end = len(head)
        raw = head[at:end].rstrip(b"\r")
        if raw.strip() and not raw.startswith(b"#"):
            if b"," not in raw or len(raw) > 10_000 or b"\0" in raw:
                return None
            return raw.decode("latin-1").lstrip("\ufeff").removeprefix("ï»¿")
        if end >= len(head):
            break
    return None


def tables(source: SourceFile) -> Iterator[GaiaTable]:
    """Every table in the file. Raises DataError when it cannot be parsed."""
    if source.is_fits:
        yield from _fits(source)
    elif b"<VOTABLE" in source.head[:2048]:
        yield from _votable(source)
    else:
        yield _text(source)


def _fits(source: SourceFile) -> Iterator[GaiaTable]:
    for hdu in source.fits.hdus[1:]:
        if hdu.kind != "table":
            continue
        columns = {name.lower(): list(hdu.column(name)) for name in hdu.columns}
        units = {n.lower(): unit for n in hdu.columns if (unit := hdu.unit(n)) is not None}
        keys = ("SOURCE_ID", "SOLUTION_ID", "RA", "DEC")
        params = {k.lower(): v for k in keys if (v := hdu.header.get(k)) is not None}
        yield GaiaTable(columns, units, params, hdu.index)


def _votable(source: SourceFile) -> Iterator[GaiaTable]:
    from astropy.io import votable

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            document = votable.parse(io.BytesIO(bytes(source.data)), verify="ignore")
            found = list(document.iter_tables())
    except Exception as error:  # a foreign parser on foreign bytes: anything can come
        raise DataError(
            f"the VOTable cannot be parsed: {error}", code="bad_votable", where=source.where,
            remedy="fetch it again",
        ) from error  # fmt: skip
    for table in found:
        columns = {
            f.name.lower(): _declared(list(table.array[f.ID]), f.datatype) for f in table.fields
        }
        units = {f.name.lower(): str(f.unit) for f in table.fields if f.unit is not None}
        params = {p.name.lower(): p.value for p in table.params}
        yield GaiaTable(columns, units, params)


def _declared(cells: Cells, datatype: str) -> Cells:
    """astropy widens variable-length float arrays: back to the type they have in the file."""
    if datatype != "float":
        return cells
    return [np.ma.asarray(c, dtype=np.float32) if np.ndim(c) else c for c in cells]


def _text(source: SourceFile) -> GaiaTable:
    lines = [line for line in io.StringIO(source.text) if line.strip() and line[0] != "#"]
    try:
        rows = list(csv.reader(lines))
    except csv.Error as error:
        raise DataError(f"not a CSV table: {error}", code="bad_csv", where=source.where,
                        remedy="fetch it again") from error  # fmt: skip
    names = [name.strip().lower() for name in rows[0]]
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(names):
            raise DataError(
                f"row {number} has {len(row)} fields, the header names {len(names)}",
                code="truncated", where=source.where, row=number - 1, remedy="fetch it again",
            )  # fmt: skip
    units, narrow = _ecsv_header(source.text) if source.head.startswith(b"# %ECSV") else ({}, {})
    columns: dict[str, Cells] = {}
    for i, name in enumerate(names):
        texts = [row[i] for row in rows[1:]]
        try:
            columns[name] = _cells(texts, narrow.get(name, np.dtype(np.float64)))
        except ValueError as error:
            raise DataError(
                f"column {name}: {error}", code="not_a_number", where=source.where,
                remedy="fetch it again",
            ) from error  # fmt: skip
    name_id = _ID.search(source.name)
    return GaiaTable(columns, units, {"source_id": int(name_id[1])} if name_id else {})


def _ecsv_header(text: str) -> tuple[dict[str, str], dict[str, np.dtype[Any]]]:
    """Units, and the types of the numbers (array cells included), that an ECSV header declares."""
    import yaml  # type: ignore[import-untyped]  # a dependency of astropy

    block = [line[2:] for line in io.StringIO(text) if line.startswith("# ")]
    try:
        header = yaml.safe_load("".join(block[1:])) or {}
        entries = {str(entry["name"]).lower(): entry for entry in header["datatype"]}
    except (yaml.YAMLError, KeyError, TypeError):
        return {}, {}
    units = {n: str(e["unit"]) for n, e in entries.items() if e.get("unit")}
    types = {
        n: np.dtype(np.float32)
        for n, e in entries.items()
        if str(e.get("subtype") or e.get("datatype")).startswith("float32")
    }
    return units, types


def _cells(texts: list[str], dtype: np.dtype[Any]) -> Cells:
    """Arrays where a cell is bracketed, else int, float or text; empty is None."""
    first = next((t for t in texts if t.strip()), "")
    if _ARRAY.match(first):
        return [_numbers(t, dtype) if t.strip() else None for t in texts]
    return [_scalar(t.strip(), dtype) for t in texts]


def _numbers(text: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    inner = text.strip().strip("[]()")
    return np.array(
        ["nan" if (t := token.strip()) in ("null", "None", "") else t
         for token in inner.split(",")], dtype=dtype,
    ) if inner.strip() else np.empty(0, dtype=dtype)  # fmt: skip


def _scalar(text: str, dtype: np.dtype[Any]) -> Any:
    if text in ("", "null"):
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return dtype.type(text)
    except ValueError:
        return text
