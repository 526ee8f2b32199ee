"""VOTable documents, read by astropy after everything that could harm has been refused."""

from __future__ import annotations

import io
import mmap
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import DataError

MAX_BYTES = 256 * 2**20
"""Largest document that is parsed: XML needs many times its size in memory."""
_MAX_DEPTH = 60
_FREE_BYTES, _GROWTH = 64 * 2**20, 16
"""What cells of fixed size may take in memory: so much, or so many times the document's bytes."""
_WIDTH = {"bit": 1, "boolean": 1, "unsignedByte": 1, "short": 2, "int": 4, "float": 4, "char": 4,
          "unicodeChar": 4, "doubleComplex": 16}  # fmt: skip
"""Bytes of an element where it is parsed to; 8 of all others."""
_ENCODINGS = {"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1", "windows-1252"}
_ROOT = re.compile(rb"<(?:[\w.-]+:)?VOTABLE[\s>]")
_DECLARED = re.compile(rb"<\?xml[^>]*?encoding\s*=\s*[\"']([\w.-]+)[\"']")


@dataclass(frozen=True, slots=True, eq=False)
class VoField:
    """One column: what it says of itself and its values, native byte order.

    values : (n_rows,) numbers (null = NaN; integers with nulls become float64), or objects
    """

    name: str
    ucd: str
    utype: str
    unit: str | None
    description: str
    values: NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class VoTable:
    """One TABLE: its columns, and every PARAM in or around it as (utype, ucd, name, value)."""

    fields: tuple[VoField, ...]
    params: tuple[tuple[str, str, str, Any], ...]
    n_rows: int
    infos: dict[str, str] = field(default_factory=dict)


def is_votable(data: bytes | mmap.mmap) -> bool:
    """True if the first 64 KiB hold the start tag of a VOTABLE."""
    return data[:1] in (b"<", b" ", b"\n", b"\r", b"\t", b"\xef") and bool(
        _ROOT.search(data[: 2**16])
    )


def tables(data: bytes | mmap.mmap, where: str) -> list[VoTable]:
    """All tables of a document.

    Raises
    ------
    DataError : `unsafe_xml` (an entity or an internal DTD), `external_stream` (data elsewhere),
        `too_large`, `bad_xml`, `bad_votable`, `service_error` (the answer is an error message)
    Source: VOTable 1.4 (TABLEDATA, BINARY, BINARY2). Valid for: inline data only.
    """
    raw = bytes(data)
    refuse_harmful(raw, where)
    from astropy.io.votable import parse  # half a second of import: only when one is read

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            document = parse(io.BytesIO(raw), verify="ignore")
            found = [_table(table, resources) for resources, table in _walk(document.resources, ())]
    except DataError:
        raise
    except Exception as error:  # a foreign parser on foreign bytes: anything can come
        raise DataError(
            f"not a readable VOTable: {type(error).__name__}: {error}", code="bad_votable",
            where=where, remedy="check it with votlint, or fetch it again",
        ) from error  # fmt: skip
    if not found:
        _service_error(document, where)
    return found


def refuse_harmful(raw: bytes, where: str) -> None:
    """One pass over the tags, so that astropy never sees what could harm.

    Raises DataError: too_large, bad_xml, unsafe_xml, external_stream, bad_votable.
    """
    if len(raw) > MAX_BYTES:
        raise DataError(f"{len(raw)} bytes of XML is more than the {MAX_BYTES} that are parsed",
                        code="too_large", where=where, remedy="split the table")  # fmt: skip
    declared = _DECLARED.search(raw[:512])
    name = declared[1].decode().lower() if declared else "utf-8"
    if name not in _ENCODINGS or raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"the encoding {name!r} is not read", code="bad_xml", where=where,
                        remedy="convert the document to UTF-8")  # fmt: skip
    guard = _Guard(len(raw), where)
    parser = expat.ParserCreate()
    parser.StartElementHandler = guard.start
    parser.EndElementHandler = guard.end
    parser.StartDoctypeDeclHandler = guard.doctype
    parser.EntityDeclHandler = guard.entity
    try:
        parser.Parse(raw, True)
    except expat.ExpatError as error:
        raise DataError(
            f"not well-formed XML: {error}", code="bad_xml", where=where,
            remedy="the document may be truncated: fetch it again",
        ) from error  # fmt: skip


class _Guard:
    """Refuses declarations, outside data and sizes that the document cannot hold."""

    def __init__(self, size: int, where: str) -> None:
        self.size = size
        self.where = where
        self.depth = 0
        self.most = max(_FREE_BYTES, _GROWTH * size)
        self.row_bytes = self.rows = self.others = 0

    def doctype(self, name: str, system: Any, public: Any, has_subset: int) -> None:
        # a bare DOCTYPE (VOTable 1.0 has one) declares nothing and its DTD is never fetched
        if has_subset:
            raise self._bad("declares its own document type", "unsafe_xml")

    def entity(self, *args: Any) -> None:
        raise self._bad("declares XML entities", "unsafe_xml")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self._bad(f"nests deeper than {_MAX_DEPTH} elements", "unsafe_xml")
        local = tag.rsplit(":", 1)[-1]
        if local == "STREAM" and attributes.get("href"):
            raise self._bad(f"keeps its data elsewhere, at {attributes['href'][:200]}",
                            "external_stream")  # fmt: skip
        if local == "FITS":
            raise self._bad("wraps a FITS file", "external_stream")
        if local == "TABLE":
            self.others += self.rows * self.row_bytes  # of the tables before this one
            self.row_bytes, self.rows = 0, _number(attributes.get("nrows"))
            if self.rows > self.size:
                raise self._bad("promises more rows than it has bytes", "bad_votable")
        if local in ("FIELD", "PARAM"):
            self._column(local, attributes)
        if local == "DATA":  # before them the parser makes room for the rows that are promised
            self._room()
            self.rows = 0
        if local == "TR":
            self.rows += 1
            self._room()

    def _column(self, local: str, attributes: dict[str, str]) -> None:
        count, size = 1, attributes.get("arraysize", "")
        for part in re.findall(r"\d+", size):
            count *= int(part[:12])
        if count > self.size:
            raise self._bad("promises more values than it has bytes", "bad_votable")
        if local == "FIELD" and not size.endswith("*"):
            self.row_bytes += count * _WIDTH.get(attributes.get("datatype", ""), 8)

    def _room(self) -> None:
        """Refuse cells that are as good as empty in the document and large in memory."""
        if self.others + self.rows * self.row_bytes > self.most:
            raise self._bad(
                f"takes {self.row_bytes} bytes a row, far more than it has", "bad_votable"
            )

    def end(self, tag: str) -> None:
        self.depth -= 1

    def _bad(self, what: str, code: str) -> DataError:
        return DataError(
            f"the VOTable {what}: refused", code=code, where=self.where,
            remedy="ask for TABLEDATA, BINARY or BINARY2 inside the document",
        )  # fmt: skip


def _number(text: str | None) -> int:
    return int(text[:18]) if text and text.strip().isdigit() else 0


def _walk(resources: Any, above: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    for resource in resources:
        chain = (*above, resource)
        for table in resource.tables:
            yield chain, table
        yield from _walk(resource.resources, chain)


def _table(table: Any, chain: tuple[Any, ...]) -> VoTable:
    utypes: dict[str, str] = {}
    params: list[tuple[str, str, str, Any]] = []
    holders = [table, *reversed(chain)]
    for holder in holders:
        params += [_param(p) for p in holder.params]
        for group in holder.groups:
            _group(group, utypes, params)
    array = table.array
    fields = tuple(
        VoField(
            name=str(f.name or f.ID), ucd=str(f.ucd or ""),
            utype=str(f.utype or utypes.get(f.ID, "")), unit=_unit(f.unit),
            description=str(f.description or ""), values=_values(array[f.ID]),
        )
        for f in table.fields
    )  # fmt: skip
    infos = {str(i.name): str(i.value) for holder in holders for i in holder.infos}
    return VoTable(fields, tuple(params), len(array), infos)


def _group(group: Any, utypes: dict[str, str], params: list[tuple[str, str, str, Any]]) -> None:
    """PARAMs in a GROUP, and the utypes that its references give to columns and PARAMs."""
    for entry in group.entries:
        kind = type(entry).__name__
        if kind == "Group":
            _group(entry, utypes, params)
        elif kind == "Param":
            params.append(_param(entry))
        elif kind == "FieldRef" and entry.utype:
            utypes.setdefault(str(entry.ref), str(entry.utype))
        elif kind == "ParamRef" and entry.utype:
            _, ucd, name, value = _param(entry.get_ref())
            params.append((str(entry.utype), ucd, name, value))


def _param(param: Any) -> tuple[str, str, str, Any]:
    value = param.value
    if value is np.ma.masked:
        value = None
    elif isinstance(value, np.ma.MaskedArray):
        value = np.ma.getdata(value).ravel().tolist()
    elif isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    return str(param.utype or ""), str(param.ucd or ""), str(param.name or ""), value


def _unit(unit: Any) -> str | None:
    text = "" if unit is None else str(unit).strip()
    return text or None


def _values(column: Any) -> NDArray[Any]:
    """Numbers in native byte order; a null is NaN, and turns integers into float64."""
    data = np.ma.getdata(column)
    if data.dtype.kind not in "biuf":
        return np.asarray(column, dtype=object)
    native = np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))
    mask = np.ma.getmaskarray(column)
    if not mask.any():
        return native
    out = native if native.dtype.kind == "f" else native.astype(np.float64)
    return np.where(mask & ~np.isnan(out), np.array(np.nan, out.dtype), out)


def _service_error(document: Any, where: str) -> None:
    """Raise if a service answered with an error instead of a table."""
    for resource in document.resources:
        for info in resource.infos:
            if info.name == "QUERY_STATUS" and str(info.value).upper() == "ERROR":
                raise DataError(
                    f"the service answered with an error: {(info.content or '').strip()[:300]}",
                    code="service_error", where=where, remedy="repeat the query",
                )  # fmt: skip
