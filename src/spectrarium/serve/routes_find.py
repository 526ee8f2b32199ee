"""Looking for observations: the table, its facets, its sky, its rows and its sparklines."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from starlette.responses import Response
from starlette.routing import Route

from ..run.facets import MOST_FACETS, facets, sky
from ..run.finding import MOST_SPARKLINES, find, sparklines
from ..store.archive import Archive
from .answers import arrow_answer, json_answer
from .asking import Ask, answering
from .chosen import checked_rows
from .conditions import columns_of, conditions_of, found_of

PAGE_MOST = 500


@answering
def find_page(ask: Ask) -> Response:
    """One page of the table; ``columns`` adds to those that it always has."""
    query = ask.query
    found = find(
        columns_of(ask), conditions_of(query), sort=query.text("sort", most=1000),
        offset=query.integer("offset", 0, 0), limit=query.integer("limit", 50, 0, PAGE_MOST),
        more=query.words("columns", [], most=MOST_FACETS),
    )  # fmt: skip
    return json_answer(found)


@answering
def facet_list(ask: Ask) -> Response:
    """Counts of what was found beside those of everything; ``columns`` asks for certain ones."""
    found = found_of(ask)
    listed = facets(columns_of(ask), found.rows, ask.query.words("columns", most=MOST_FACETS))
    return json_answer({"count": len(found.rows), "facets": listed})


@answering
def sky_cells(ask: Ask) -> Response:
    """How many lie in each cell of the sky."""
    nside = ask.query.integer("nside", 16, 1, 256)
    return json_answer(sky(columns_of(ask), found_of(ask).rows, nside))


@answering
def rows(ask: Ask) -> Response:
    """All rows found, shuffled: any prefix is a fair sample."""
    found = found_of(ask)
    shuffled = columns_of(ask).shuffled(found.rows)
    table = pa.table({"row": pa.array(shuffled.astype(np.int32))})
    return arrow_answer(table, {"asked": found.asked.record()})


@answering
def moved(ask: Ask) -> Response:
    """Rows of an older version as rows of the open one; X-Missing: how many are gone."""
    fields = ask.json()
    version, archive = fields.integer("version", ..., 0), ask.archive
    if version != archive.version:
        archive = Archive(archive.root, version, archive.visibility)
    uids = archive.index.value("uid", checked_rows(archive, fields.get("rows")))
    found = ask.archive.rows_of(np.asarray(uids, np.int64))
    there = np.sort(found[found >= 0])
    missing = str(len(found) - len(there))
    table = pa.table({"row": pa.array(there, pa.int32())})
    return arrow_answer(table, {}, headers={"X-Missing": missing})


@answering
def sparkline_list(ask: Ask) -> Response:
    """A trace of each of some rows."""
    chosen = checked_rows(ask.archive, ask.query.text("rows", ...))
    width = ask.query.integer("width", 120, 8, 1000)
    key = ("sparklines", tuple(chosen[: MOST_SPARKLINES + 1].tolist()), width)
    found = ask.holding.cached(key, lambda: sparklines(ask.archive, chosen, width))
    return json_answer({"items": found})


ROUTES = [
    Route("/api/find", find_page, methods=["GET"]),
    Route("/api/facets", facet_list, methods=["GET"]),
    Route("/api/sky", sky_cells, methods=["GET"]),
    Route("/api/rows", rows, methods=["GET"]),
    Route("/api/rows/moved", moved, methods=["POST"]),
    Route("/api/sparklines", sparkline_list, methods=["GET"]),
]
