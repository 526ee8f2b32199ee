"""The strangest observations, page by page."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from ..explore.scores import COMBINED
from ..run.ranking import PAGE_MOST, Ranking, ranked
from .answers import json_answer
from .asking import Ask, answering


@answering(slow=True)
def outliers(ask: Ask) -> Response:
    """A page of the ranking, re-ranked by the user's own judgements if asked."""
    query = ask.query
    wanted = Ranking(
        score=query.text("score", COMBINED, most=300), model=query.text("model", None, most=300),
        encoder=query.text("encoder", None, most=100), where=query.text("where"),
        bins=query.text("bins", None, most=200), offset=query.integer("offset", 0, least=0),
        k=query.integer("k", 24, least=1, most=PAGE_MOST),
    )  # fmt: skip
    verdicts: dict[int, str] = {}
    if ask.user.signed_in:
        said = ask.people.judgements.current(ask.user, wanted.score)
        verdicts = {one.uid: one.verdict for one in said if one.verdict is not None}
    return json_answer(ranked(
        ask.archive, wanted, explorers=ask.holding.explorer, keep=ask.holding.cached,
        verdicts=verdicts, rerank=query.flag("rerank"),
    ))  # fmt: skip


ROUTES = [Route("/api/outliers", outliers, methods=["GET"])]
