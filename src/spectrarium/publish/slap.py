"""The line list that similarity and pictures use, as a Simple Line Access service.

Source: IVOA SLAP 1.0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pyarrow as pa

from ..measure.lines import LINES, Line
from .dali import VOTABLE, DaliError, Params, votable_alone
from .dali_values import every_range, intervals
from .publisher import Publisher
from .vosi import Capability, Interface, own
from .votable import Field, document

STANDARD = "ivo://ivoa.net/std/SLAP"
_FIELDS = (
    Field("wavelength", "double", unit="m", ucd="em.wl", utype="ssldm:Line.wavelength.value",
          about="Rest wavelength in vacuum; of a blend the mean, of a band its head"),
    Field("title", "unicodeChar", "*", ucd="meta.title;em.line", utype="ssldm:Line.title",
          about="What the line is called"),
    Field("name", "char", "*", ucd="meta.id;em.line", utype="", about="Its name in this archive"),
    Field("chemical_element", "char", "*", ucd="phys.atmol.element",
          utype="ssldm:Line.species.name", about="Species, where the name says it"),
    Field("kind", "char", "*", ucd="meta.code.class", utype="",
          about="Where it is at home: hydrogen, nebular, quasar, stellar, sky, telluric"),
    Field("weight", "int", ucd="meta.code", utype="", about="1 strongest to 3 weak"),
)  # fmt: skip
_ELEMENTS = frozenset({
    "H", "He", "C", "N", "O", "Ne", "Na", "Mg", "Al", "Si", "S", "Ar", "K", "Ca", "Ti", "V", "Cr",
    "Mn", "Fe", "Ni", "Sr", "Zr", "Ba", "Hg", "Li",
})  # fmt: skip
_HYDROGEN = re.compile(r"^(Ly|H|Pa|Br|Pf)_")


def element_of(line: Line) -> str | None:
    """Chemical symbol of what makes a line, where its name says so."""
    if _HYDROGEN.match(line.name):
        return "H"
    found = re.match(r"([A-Z][a-z]?)", line.name)
    return found[1] if found and found[1] in _ELEMENTS else None


def chosen(params: Params) -> list[Line]:
    """The lines that a request asks for, by rising wavelength. Raises DaliError."""
    request = params.need("REQUEST")
    if request.lower() != "querydata":
        raise DaliError(f"REQUEST is {request[:40]!r}", where="REQUEST", remedy="send queryData")
    version = params.one("VERSION", "1.0") or ""
    if version.partition(".")[0] != "1":
        raise DaliError(f"VERSION is {version[:20]!r}", where="VERSION", remedy="this is 1.0")
    votable_alone(params, "FORMAT")
    texts = params.all("WAVELENGTH")
    if not texts:
        raise DaliError("WAVELENGTH is missing", where="WAVELENGTH",
                        remedy="give LO/HI in metres, such as 5e-7/6e-7")  # fmt: skip
    wanted = every_range(texts, partial(intervals, what="WAVELENGTH"), "WAVELENGTH")
    if any(-math.inf < end < 0 for ends in wanted for end in ends):
        raise DaliError("WAVELENGTH holds negative wavelengths", where="WAVELENGTH",
                        remedy="give metres")  # fmt: skip
    elements = {w.strip().lower() for t in params.all("CHEMICAL_ELEMENT") for w in t.split(",")}
    out = [
        line for line in LINES
        if any(lo <= line.wave_vac_aa * 1e-10 <= hi for lo, hi in wanted)
        and (not elements or (element_of(line) or "").lower() in elements)
    ]  # fmt: skip
    return sorted(out, key=lambda line: line.wave_vac_aa)


def answer(publisher: Publisher, lines: list[Line], most: int) -> Iterator[bytes]:
    """The answer, in pieces. most : rows"""
    shown = lines[:most]
    table = pa.table({
        "wavelength": pa.array([line.wave_vac_aa * 1e-10 for line in shown], pa.float64()),
        "title": pa.array([line.label for line in shown], pa.string()),
        "name": pa.array([line.name for line in shown], pa.string()),
        "chemical_element": pa.array([element_of(line) for line in shown], pa.string()),
        "kind": pa.array([line.kind.value for line in shown], pa.string()),
        "weight": pa.array([line.weight for line in shown], pa.int32()),
    })  # fmt: skip
    status = "OVERFLOW" if len(lines) > most else "OK"
    return document(table, fields=_FIELDS, infos=[("QUERY_STATUS", status)],
                    serialisation="tabledata", namespaces=_NAMESPACE,
                    about=f"Spectral lines of {publisher.title}")  # fmt: skip


_NAMESPACE = (
    ' xmlns:ssldm="http://www.ivoa.net/xml/SimpleSpectrumLineDM/SimpleSpectrumLineDM-v1.0.xsd"'
)


def metadata(publisher: Publisher) -> Iterator[bytes]:
    """The answer to FORMAT=METADATA."""
    given = [
        Field("INPUT:WAVELENGTH", "char", "*", "m", "em.wl", value="",
              about="Ranges LO/HI between commas"),
        Field("INPUT:CHEMICAL_ELEMENT", "char", "*", "", "phys.atmol.element", value="",
              about="Chemical symbols between commas"),
        Field("INPUT:MAXREC", "int", value=None, ucd="meta.number", about="Rows at most"),
        *(replace(f, name=f"OUTPUT:{f.name}", value="" if f.datatype.endswith("har") else None)
          for f in _FIELDS),
    ]  # fmt: skip
    empty = pa.table([pa.nulls(0) for _ in _FIELDS], names=[f.name for f in _FIELDS])
    return document(empty, fields=_FIELDS, infos=[("QUERY_STATUS", "OK")], params=given,
                    serialisation="tabledata", namespaces=_NAMESPACE,
                    about=f"Spectral lines of {publisher.title}")  # fmt: skip


def capability(base: str) -> list[Capability]:
    """What the service at `base` can do."""
    extra = (
        "<complianceLevel>full</complianceLevel>\n<dataSource>observational/astrophysical"
        f"</dataSource>\n<maxRecords>{len(LINES)}</maxRecords>\n<testQuery>\n<wavelength>"
        "<minWavelength>5e-7</minWavelength><maxWavelength>6e-7</maxWavelength></wavelength>\n"
        "</testQuery>\n"
    )
    found = Capability(
        STANDARD, (Interface(base, version="1.0", results=(VOTABLE,)),), "slap:SimpleLineAccess",
        'xmlns:slap="http://www.ivoa.net/xml/SLAP/v1.0"', extra,
    )  # fmt: skip
    return [found, *own(base)]
