"""One spectrum as it is drawn, and the lines to name in it."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from ..run.opened import MOST_WIDTH, View, drawn, drawn_row, lines_listed
from .answers import arrow_answer, json_answer
from .asking import Ask, answering
from .found import found


@answering
def spectrum(ask: Ask) -> Response:
    """A window of a spectrum, as samples or as the extremes of each pixel column."""
    query = ask.query
    view = View(
        lo_aa=query.number("lo", None, least=0.0), hi_aa=query.number("hi", None, least=0.0),
        width=query.integer("width", 2000, least=1, most=MOST_WIDTH),
        smooth=query.number("smooth", 0.0, least=0.0),
        medium=query.choice("medium", ("asis", "air", "vacuum"), "asis"),
        order=query.integer("order", None, least=0),
    )  # fmt: skip
    what = found(ask)
    if what.row is None:
        picture = drawn(what.read(ask), view, what.id)
    else:
        picture = drawn_row(ask.archive, what.row, view)
    about = picture.about | {"row": what.row, "id": what.id}
    return arrow_answer(picture.table(), {"spectrum": about})


@answering
def lines(ask: Ask) -> Response:
    """Lines between two rest wavelengths in vacuum."""
    return json_answer({"lines": lines_listed(ask.query.number("lo"), ask.query.number("hi"))})


ROUTES = [
    Route("/api/spectrum/{id}", spectrum, methods=["GET"]),
    Route("/api/lines", lines, methods=["GET"]),
]
