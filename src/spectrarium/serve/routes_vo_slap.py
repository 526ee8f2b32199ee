"""Simple Line Access: ``/vo/slap``."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from ..publish import slap, vosi
from ..publish.dali import maxrec
from .routes_vo_base import of_itself
from .vo_asking import VoAsk, vo_answering, vo_table


@vo_answering(anyone=True)
def query(ask: VoAsk) -> Response:
    """Lines between two wavelengths."""
    if (ask.params.one("FORMAT") or "").lower() == "metadata":
        return vo_table(ask, slap.metadata(ask.publisher))
    most = maxrec(ask.params, ask.settings.maxrec, ask.settings.maxrec_most)
    return vo_table(ask, slap.answer(ask.publisher, slap.chosen(ask.params), most))


def offered(ask: VoAsk) -> list[vosi.Capability]:
    """What the service can do."""
    return slap.capability(ask.publisher.at("/vo/slap"))


ROUTES = [
    Route("/vo/slap", query, methods=["GET", "POST"]),
    *of_itself("/vo/slap", offered),
]
