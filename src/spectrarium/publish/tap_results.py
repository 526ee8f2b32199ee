"""Answers of queries in the formats that clients ask for, sent as rows come.

Source: IVOA TAP 1.1, section 2.7.3; DALI 1.1, section 3.4.3; VOTable 1.4; VOParquet 1.0 (Note).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from ..domain.errors import SpectrariumError, UsageError
from ..run.table_columns import Column
from .tap_files import fits_pieces, parquet_pieces
from .tap_schema import votable_type
from .tap_texts import csv_pieces, json_pieces, plain_pieces, tsv_pieces
from .units import vounit
from .votable import Field, document, info
from .votable_rows import is_text


@dataclass(frozen=True, slots=True)
class Format:
    """A format: the words that ask for it (the first is its media type), and its file's ending."""

    name: str
    words: tuple[str, ...]
    ending: str
    identifier: str = ""

    @property
    def media_type(self) -> str:
        """What ``Content-Type`` says."""
        return self.words[0]


_VOTABLE = "application/x-votable+xml"
FORMATS = (
    Format("votable", (_VOTABLE, "votable", f"{_VOTABLE};serialization=binary2", "votable/b2",
                       "text/xml", "application/xml"), "vot",
           "ivo://ivoa.net/std/TAPRegExt#output-votable-binary2"),
    Format("votable/td", (f"{_VOTABLE};serialization=tabledata", "votable/td"), "vot",
           "ivo://ivoa.net/std/TAPRegExt#output-votable-td"),
    Format("csv", ("text/csv;header=present", "csv", "text/csv"), "csv"),
    Format("tsv", ("text/tab-separated-values", "tsv"), "tsv"),
    Format("text", ("text/plain", "text", "txt"), "txt"),
    Format("json", ("application/json", "json"), "json"),
    Format("parquet", ("application/vnd.apache.parquet", "parquet", "application/x-parquet"),
           "parquet"),
    Format("fits", ("application/fits", "fits", "application/x-fits"), "fits"),
)  # fmt: skip
"""Formats of results, the default first."""


def format_named(words: str | None) -> Format:
    """The format that a client calls so, in whatever case and with any blanks; None = VOTable.

    Raises UsageError (bad_format) naming those there are.
    """
    if words is None or not words.strip():
        return FORMATS[0]
    folded = "".join(words.lower().split()).replace('"', "")
    for one in FORMATS:
        if folded in one.words:
            return one
    raise UsageError(f"no result can be had as {words[:80]!r}", code="bad_format",
                     where="RESPONSEFORMAT",
                     remedy="formats: " + ", ".join(f.words[1] for f in FORMATS))  # fmt: skip


@dataclass(eq=False)
class Rows:
    """What a query answers, as it comes.

    columns : of the result, with what is known of their sources · wide : names of text columns that
    may hold more than ASCII · batches : rows, to be read once · overflowed : there were more rows
    than asked for; true or false once the rows are read · close : let go of what makes them
    """

    columns: tuple[Column, ...]
    batches: Iterator[pa.RecordBatch]
    wide: frozenset[str] = frozenset()
    overflowed: Callable[[], bool] = field(default=lambda: False)
    close: Callable[[], None] = field(default=lambda: None)


def written(
    rows: Rows, wanted: Format, *, infos: Sequence[tuple[str, str]] = (), name: str = "result",
) -> Iterator[bytes]:  # fmt: skip
    """The answer in pieces; `rows` is closed when they are all sent or no more are wanted.

    An error while rows come ends a VOTable with QUERY_STATUS ERROR, and is raised in other formats.
    """
    try:
        yield from _PIECES[wanted.name](rows, infos, name)
    finally:
        rows.close()


def _binary2(rows: Rows, infos: Sequence[tuple[str, str]], name: str) -> Iterator[bytes]:
    return _votable(rows, infos, name, "binary2")


def _tabledata(rows: Rows, infos: Sequence[tuple[str, str]], name: str) -> Iterator[bytes]:
    return _votable(rows, infos, name, "tabledata")


def _votable(
    rows: Rows, infos: Sequence[tuple[str, str]], name: str, serialisation: str
) -> Iterator[bytes]:
    failed: list[SpectrariumError] = []

    def until_error() -> Iterator[pa.RecordBatch]:
        try:
            yield from rows.batches
        except SpectrariumError as error:  # the head is sent: what is wrong stands behind the rows
            failed.append(error)

    def last() -> str:
        if failed:
            return info("QUERY_STATUS", "ERROR", str(failed[0]))
        return info("QUERY_STATUS", "OVERFLOW") if rows.overflowed() else ""

    yield from document(
        until_error(), fields=fields_of(rows), name=name, last=last, before=_frames(rows.columns),
        serialisation="tabledata" if serialisation == "tabledata" else "binary2",
        infos=[("QUERY_STATUS", "OK"), *infos],
    )  # fmt: skip


def _texts(
    pieces: Callable[[Sequence[Column], Iterator[pa.RecordBatch], Callable[[], bool]],
                     Iterator[bytes]],
) -> Callable[[Rows, Sequence[tuple[str, str]], str], Iterator[bytes]]:  # fmt: skip
    def made(rows: Rows, infos: Sequence[tuple[str, str]], name: str) -> Iterator[bytes]:
        return pieces(rows.columns, rows.batches, rows.overflowed)

    return made


def _fits(rows: Rows, infos: Sequence[tuple[str, str]], name: str) -> Iterator[bytes]:
    return fits_pieces(rows.columns, rows.batches, name, rows.overflowed)


def _parquet(rows: Rows, infos: Sequence[tuple[str, str]], name: str) -> Iterator[bytes]:
    described = document(iter(()), fields=fields_of(rows), serialisation="tabledata", name=name,
                         before=_frames(rows.columns), infos=infos)  # fmt: skip
    return parquet_pieces(rows.columns, rows.batches, b"".join(described).decode(),
                          rows.overflowed)  # fmt: skip


_PIECES = {
    "votable": _binary2, "votable/td": _tabledata, "csv": _texts(csv_pieces),
    "tsv": _texts(tsv_pieces), "text": _texts(plain_pieces), "json": _texts(json_pieces),
    "parquet": _parquet, "fits": _fits,
}  # fmt: skip

# fields ---------------------------------------------------------------------------------------

_FRAMES = {
    "sky": '<COOSYS ID="sky" system="ICRS"/>\n',
    "mjd_utc": '<TIMESYS ID="mjd_utc" timeorigin="MJD-origin" timescale="UTC" '
               'refposition="UNKNOWN"/>\n',
    "jd_tdb": '<TIMESYS ID="jd_tdb" timeorigin="JD-origin" timescale="TDB" '
              'refposition="BARYCENTER"/>\n',
}  # fmt: skip
_TIMES = {"t_min": "mjd_utc", "t_max": "mjd_utc", "bjd_tdb": "jd_tdb"}


def fields_of(rows: Rows) -> list[Field]:
    """FIELDs that say of each column what its source says."""
    out = []
    for column in rows.columns:
        datatype, arraysize, xtype = votable_type(column)
        if datatype == "char" and is_text(column.type) and column.name in rows.wide:
            datatype = "unicodeChar"
        unit = column.unit and (vounit(column.unit) or column.unit)
        out.append(Field(
            column.name.strip('"'), datatype, arraysize, unit, column.ucd, column.utype, xtype,
            column.about, ref=_reference(column),
        ))  # fmt: skip
    return out


def _reference(column: Column) -> str:
    """The frame of a column: those of catalogue columns are known by name and UCD."""
    if column.unit == "deg" and column.ucd.startswith(("pos.eq.ra", "pos.eq.dec")):
        return "sky"
    return _TIMES.get(column.name, "") if column.ucd.startswith("time.") else ""


def _frames(columns: Sequence[Column]) -> str:
    used = {_reference(c) for c in columns}
    return "".join(xml for name, xml in _FRAMES.items() if name in used)
