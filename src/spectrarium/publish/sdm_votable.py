"""Spectrum Data Model 1.2 as VOTable 1.4, with binary samples bit for bit."""

from __future__ import annotations

import base64
import re
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from ..domain.spectrum import Spectrum
from .files import FileNames
from .samples import Column, sdm_columns
from .sdm import Param, params
from .source import ExportSource, Record

_DATATYPES = {"bool": "boolean", "uint8": "unsignedByte", "int16": "short", "int32": "int",
              "int64": "long", "float32": "float", "float64": "double"}  # fmt: skip
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"\
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"\
 xmlns:spec="http://www.ivoa.net/xml/SpectrumModel/v1.01">
<RESOURCE utype="spec:Spectrum">
"""


def write(source: ExportSource, folder: Path) -> list[Path]:
    """One ``.vot`` document an observation.

    Flux, errors and flags keep their delivered bits (integer types that VOTable lacks are
    widened). Orders of an echelle spectrum follow one another, told apart by a column ``order``.
    """
    names = FileNames()
    out = []
    for record, spectrum in source:
        path = folder / names.name(record, "vot")
        path.write_bytes(document(record, spectrum))
        out.append(path)
    return out


def document(record: Record, spectrum: Spectrum) -> bytes:
    """The VOTable document of one observation.

    Source: IVOA Spectrum Data Model 1.2; VOTable 1.4 (BINARY2). A vacuum wavelength has the UCD
    ``em.wl`` and says so in its description, one in air has ``em.wl;obs.atmos``.
    """
    columns, notes = sdm_columns(spectrum)
    text = [_HEAD]
    text += [f"<INFO name={_attr('note')} value={_attr(note)}/>\n" for note in notes]
    text.append(f'<TABLE utype="spec:Spectrum" nrows="{spectrum.flux.size}">\n')
    ordered = sorted(params(record, spectrum, columns[0]), key=lambda p: p.group)
    for group, members in groupby(ordered, key=lambda p: p.group):
        utype = f' utype="spec:Spectrum.{group}"' if group in _CLASSES else ""
        text.append(f"<GROUP name={_attr(group)}{utype}>\n")
        text += [_param(p) for p in members]
        text.append("</GROUP>\n")
    text += [_field(c) for c in columns]
    text.append('<DATA><BINARY2><STREAM encoding="base64">\n')
    tail = "\n</STREAM></BINARY2></DATA>\n</TABLE>\n</RESOURCE>\n</VOTABLE>\n"
    return "".join(text).encode() + base64.encodebytes(binary2(columns)) + tail.lstrip().encode()


_CLASSES = ("Target", "CoordSys", "Char", "Curation", "DataID", "Derived")


def binary2(columns: list[Column]) -> bytes:
    """Rows of BINARY2: a byte of null flags for every 8 columns, then big-endian values.

    No value is flagged: an unknown number is NaN, which is null for VOTable.
    """
    layout: list[Any] = [("null", "u1", ((len(columns) + 7) // 8,))]
    layout += [(f"c{i}", _wire(c.values)) for i, c in enumerate(columns)]
    rows = np.zeros(len(columns[0].values), np.dtype(layout))
    for i, column in enumerate(columns):
        values = column.values
        rows[f"c{i}"] = np.where(values, b"T", b"F") if values.dtype == bool else values
    return rows.tobytes()


def _wire(values: NDArray[Any]) -> str:
    return "S1" if values.dtype == bool else values.dtype.newbyteorder(">").str


def _attr(text: str) -> str:
    return quoteattr(_FORBIDDEN.sub("�", text))


def _param(p: Param) -> str:
    value = p.value
    if isinstance(value, tuple):
        kind, shown = 'datatype="double" arraysize="2"', " ".join(repr(float(v)) for v in value)
    elif isinstance(value, bool):
        kind, shown = 'datatype="boolean"', str(value).lower()
    elif isinstance(value, int):
        kind, shown = 'datatype="long"', str(value)
    elif isinstance(value, float):
        kind, shown = 'datatype="double"', repr(float(value))
    else:
        shown = str(value)
        kind = f'datatype="{"char" if shown.isascii() else "unicodeChar"}" arraysize="*"'
    shown = shown.replace("nan", "NaN") if "double" in kind else shown
    shown = shown.replace("inf", "Inf") if "double" in kind else shown
    utype = p.utype if not p.utype or ":" in p.utype else f"spec:Spectrum.{p.utype}"
    return (
        f"<PARAM name={_attr(p.name)} {kind} value={_attr(shown)}{_said(p.unit, p.ucd, utype)}/>\n"
    )


def _said(unit: str | None, ucd: str, utype: str) -> str:
    pairs = (("unit", unit), ("ucd", ucd), ("utype", utype))
    return "".join(f" {key}={_attr(value)}" for key, value in pairs if value)


def _field(column: Column) -> str:
    utype = f"spec:Spectrum.Data.{column.role}" if column.role else ""
    said = _said(column.unit, column.ucd, utype)
    about = escape(_FORBIDDEN.sub("�", column.description))
    return (
        f"<FIELD ID={_attr(column.name)} name={_attr(column.name)} "
        f'datatype="{_DATATYPES[column.values.dtype.name]}"{said}>'
        f"<DESCRIPTION>{about}</DESCRIPTION></FIELD>\n"
    )
