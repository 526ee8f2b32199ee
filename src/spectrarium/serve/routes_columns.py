"""Whole columns for maps, sets of observations to take away, and a map as a picture."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from ..domain.errors import UsageError
from ..people.records import OPERATE
from ..publish.catalogue import csv, votable
from ..publish.notebook import notebook
from ..run.asked import Conditions, found
from ..run.columns import MOST_COLUMNS, Columns
from ..run.exported import MOST_CHOSEN, exported, identities
from ..store.archive import Rows
from .answers import arrow_answer, file_answer
from .asking import Ask, answering
from .chosen import chosen_rows
from .conditions import columns_of, conditions_of
from .fields import Fields

FORMATS = ("votable", "csv", "notebook", "ids")
NOTEBOOK_MOST = 50_000
"""Ids in a notebook: of more, a browser that opens it stands still."""


@answering
def columns(ask: Ask) -> Response:
    """Columns of all observations, or of those that meet the conditions, in the shuffled order."""
    there, conditions = columns_of(ask), conditions_of(ask.query)
    names = ask.query.words("names", ..., most=MOST_COLUMNS)
    rows = None if conditions.empty else there.shuffled(found(there, conditions).rows)
    limit = ask.query.integer("limit", None, 1)
    if limit is not None:
        rows = (there.order if rows is None else rows)[:limit]
    return arrow_answer(there.table(names, rows), {"version": str(ask.holding.version)})


@answering(slow=True)
def export(ask: Ask) -> Response:
    """A set as a file: of rows, of a selection, or of what meets conditions (``asked``)."""
    fields = ask.json()
    kind = fields.choice("format", FORMATS, ...)
    columns = columns_of(ask)
    rows, question = _chosen(ask, fields, columns)
    name = fields.text("name", "spectrarium", most=200)
    about = {
        "archive": ask.archive.root.name, "version": str(ask.holding.version), "made_by":
        "Spectrarium", "asked": "; ".join(f"{k}: {v}" for k, v in _told(question).items()),
    }  # fmt: skip
    if kind == "ids":
        text = "".join(f"{one}\n" for one in identities(ask.archive, rows))
        return file_answer(text.encode(), f"{name}.txt", "text/plain; charset=utf-8")
    if kind == "notebook":
        return _notebook(ask, rows, name, question)
    table = exported(columns, rows, fields.words("columns", None, most=MOST_CHOSEN))
    if kind == "csv":
        return file_answer(csv(table), f"{name}.csv", "text/csv; charset=utf-8")
    document = votable(table, name, about)
    return file_answer(document, f"{name}.vot", "application/x-votable+xml")


def _chosen(ask: Ask, fields: Fields, columns: Columns) -> tuple[Rows, Conditions]:
    asked = fields.get("asked")
    if asked is None:
        return chosen_rows(ask, fields), Conditions()
    if not isinstance(asked, dict) or "rows" in fields or "selection" in fields:
        raise UsageError("give rows, a selection or what is asked: one of them",
                         code="bad_parameter", where="asked")  # fmt: skip
    conditions = conditions_of(Fields(asked))
    return found(columns, conditions).rows, conditions


def _told(question: Conditions) -> dict[str, Any]:
    told = {"q": question.q, "where": question.where, "cone": question.cone,
            "target": question.target}  # fmt: skip
    return {k: v for k, v in told.items() if v is not None}


def _notebook(ask: Ask, rows: Rows, name: str, question: Conditions) -> Response:
    if not len(rows):
        raise UsageError("nothing was selected to export", code="nothing_selected",
                         remedy="select something, or loosen the condition")  # fmt: skip
    if len(rows) > NOTEBOOK_MOST:
        raise UsageError(
            f"{len(rows):,} ids are too many for a notebook", code="too_large", where="rows",
            remedy=f"choose {NOTEBOOK_MOST:,} at most, or export ids",
        )  # fmt: skip
    # where the archive lies is for those who may work on that machine
    folder = str(ask.archive.root) if ask.user.may(OPERATE) else f"PATH/TO/{ask.archive.root.name}"
    again = _told(question)
    if "q" in again:  # Archive.find has no such box: what it was understood as
        understood = found(columns_of(ask), question).asked
        again.pop("q")
        if understood.where is None and understood.cone is None:
            again = {}
        elif understood.where is not None:
            both = [w for w in (understood.where, question.where) if w]
            again["where"] = " AND ".join(f"({w})" for w in both) if both[1:] else both[0]
        elif question.cone is None:
            again["cone"] = understood.cone
        else:
            again = {}
    book = notebook(identities(ask.archive, rows), archive=folder, version=ask.holding.version,
                    name=name, question=again)  # fmt: skip
    return file_answer(book, f"{name}.ipynb", "application/x-ipynb+json")


@answering(slow=True)
def map_png(ask: Ask) -> Response:
    """Two columns against each other, drawn here."""
    query, columns = ask.query, columns_of(ask)
    x, y = query.text("x", ..., most=200), query.text("y", ..., most=200)
    conditions = conditions_of(query)
    rows = columns.order if conditions.empty else found(columns, conditions).rows
    colour = query.text("colour", most=200)
    cmap, dark = query.text("cmap", "viridis", most=20), query.flag("dark")
    width, height = (query.integer(k, size, 50, 4000) for k, size in
                     (("width", 1200), ("height", 900)))  # fmt: skip
    from .picture import picture  # only here: drawing takes a second to load

    key = ("map.png", x, y, colour, cmap, dark, width, height, conditions)
    drawn = ask.holding.cached(key, lambda: picture(
        columns, rows, x, y, colour, cmap=cmap, dark=dark, width=width, height=height,
        heading=ask.archive.root.name,
    ))  # fmt: skip
    return Response(drawn, 200, {"Cache-Control": "no-cache"}, "image/png")


ROUTES = [
    Route("/api/columns", columns, methods=["GET"]),
    Route("/api/export", export, methods=["POST"]),
    Route("/api/map.png", map_png, methods=["GET"]),
]
