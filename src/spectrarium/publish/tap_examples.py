"""Queries to start from, on a page that people and programs read.

Source: IVOA DALI 1.1, section 2.3; DALI-examples vocabulary; TAP 1.1, section 2.4.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from .tap_tables import NAME as OBSCORE
from .tap_tables import ArchiveTables
from .votable import attribute, text

_PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en">
<head><title>Examples of queries</title></head>
<body vocab="http://www.ivoa.net/rdf/examples#">
<h1>Examples of queries</h1>
<p>Each can be sent as it is to {base}/sync with LANG=ADQL.</p>
{examples}</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Example:
    """One query. id : of its element · table : that it is about"""

    id: str
    title: str
    about: str
    query: str
    table: str


def examples_page(tables: ArchiveTables, base: str) -> bytes:
    """The page: XHTML with RDFa, a ``div`` of type example each. base : address of the service"""
    parts = []
    for one in examples(tables):
        parts.append(
            f'<div id={attribute(one.id)} resource={attribute("#" + one.id)} typeof="example">\n'
            f'<h2 property="name">{text(one.title)}</h2>\n<p>{text(one.about)}</p>\n'
            f'<p>Table: <span property="table">{text(one.table)}</span></p>\n'
            f'<pre property="query">{text(one.query)}</pre>\n</div>\n'
        )  # fmt: skip
    return _PAGE.format(base=text(base), examples="".join(parts)).encode()


def examples(tables: ArchiveTables) -> Iterator[Example]:
    """Queries that this archive can answer."""
    ra, dec = _place(tables)
    yield Example(
        "cone", "Spectra near a place", "All spectra within one arc minute, the nearest first.",
        "SELECT TOP 100 obs_publisher_did, target_name, s_ra, s_dec, access_url,\n"
        f"  DISTANCE(POINT('ICRS', s_ra, s_dec), POINT('ICRS', {ra}, {dec})) AS dist_deg\n"
        f"FROM {OBSCORE}\nWHERE CONTAINS(POINT('ICRS', s_ra, s_dec),\n"
        f"  CIRCLE('ICRS', {ra}, {dec}, 0.0166667)) = 1\n"
        "ORDER BY dist_deg", OBSCORE,
    )  # fmt: skip
    yield Example(
        "bright", "Spectra that cover a line with much signal", "Hα (6564.6 Å in vacuum) at a "
        "signal to noise of 20 or more.",
        "SELECT TOP 100 o.obs_publisher_did, o.target_name, c.class, c.snr AS signal\n"
        f"FROM {OBSCORE} AS o JOIN spectra.observations AS c USING (obs_publisher_did)\n"
        "WHERE o.em_min < 6.5646e-7 AND o.em_max > 6.5646e-7 AND c.snr >= 20\n"
        "ORDER BY signal DESC", OBSCORE,
    )  # fmt: skip
    yield from _alike(tables)
    if "spectra.scores" in tables.all:
        yield Example(
            "strangest", "The strangest spectra", "The ten that stand out most by any score, with "
            "what they are taken for and their links.",
            "SELECT TOP 10 c.target_name, c.class, s.score, s.significance, c.access_url,\n"
            "  c.access_format\n"
            "FROM spectra.scores AS s JOIN spectra.observations AS c USING (obs_publisher_did)\n"
            "ORDER BY significance DESC", "spectra.scores",
        )  # fmt: skip
    if "spectra.tags" in tables.all:
        yield Example(
            "tags", "Tags with calibrated intervals", "What was read off spectra, where the tagger "
            "does not abstain, with the narrowest coverage first.",
            "SELECT TOP 100 obs_publisher_did, tag, number, lowest, highest, word, class_set,\n"
            "  coverage\nFROM spectra.tags WHERE abstained = 0\n"
            "ORDER BY coverage, obs_publisher_did", "spectra.tags",
        )  # fmt: skip
    yield Example(
        "columns", "All columns with their units", "What TAP_SCHEMA says.",
        "SELECT table_name, column_name, unit, ucd, description\nFROM tap_schema.columns\n"
        "WHERE unit IS NOT NULL ORDER BY table_name, column_index", "tap_schema.columns",
    )  # fmt: skip


def _alike(tables: ArchiveTables) -> Iterator[Example]:
    names = tables.embeddings()
    did = _embedded(tables) if names else None
    if did is None:
        return
    quoted = did.replace("'", "''")
    yield Example(
        "similar", "The ten spectra most like one", "The smaller the number, the more alike: the "
        "Euclidean distance of vectors. The spectrum itself comes first, at 0.",
        f"SELECT TOP 10 obs_publisher_did,\n  similarity(obs_publisher_did, '{quoted}') AS unlike\n"
        f"FROM {names[0]}\nORDER BY unlike", names[0],
    )  # fmt: skip
    yield Example(
        "similar-obscore", "Alike and elsewhere", "The same beside ObsCore's columns, which say "
        "where the spectra are to be had; those without a vector come last.",
        "SELECT TOP 10 obs_publisher_did, target_name, s_ra, s_dec, access_url,\n"
        f"  similarity(obs_publisher_did, '{quoted}') AS unlike\nFROM {OBSCORE}\n"
        "ORDER BY unlike", OBSCORE,
    )  # fmt: skip


def _embedded(tables: ArchiveTables) -> str | None:
    """The first observation along the sky that has a vector where it will be asked for."""
    archive, source = tables.archive, tables.source
    own = max(archive.names("embeddings"), key=lambda n: (archive.held(f"embeddings/{n}"), n))
    _, place = source.living(f"embeddings/{own}")
    return str(source.did[int(place[0])].as_py()) if len(place) else None


def _place(tables: ArchiveTables) -> tuple[str, str]:
    """Where the first observation along the sky is, deg; the equinox where none has a place."""
    rows = tables.source.rows[:1]
    if not len(rows):
        return "0.0", "0.0"
    found: list[Any] = [tables.archive.column(c).take(pa.array(rows))[0].as_py()
                        for c in ("s_ra", "s_dec")]  # fmt: skip
    if any(v is None or v != v for v in found):
        return "0.0", "0.0"
    return f"{found[0]:.5f}", f"{found[1]:+.5f}".lstrip("+")
