"""``/vo/registry``, for harvesters, and ``/vo/capabilities`` of the whole."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.responses import Response
from starlette.routing import Route

from ..publish import vosi
from ..publish.oai import oai_answer
from .routes_vo_base import of_itself
from .vo_asking import VoAsk, vo_answering, vo_xml
from .vo_published import offered, published


@vo_answering(slow=True)
def harvest(ask: VoAsk) -> Response:
    """OAI-PMH 2.0; a VOTable error where there is no registry."""
    return vo_xml(oai_answer(ask.params, published(ask), ask.publisher, datetime.now(UTC)))


@vo_answering(anyone=True)
def capabilities(ask: VoAsk) -> Response:
    """The capabilities of all services in one document."""
    return vo_xml(vosi.capabilities(offered(ask)))


ROUTES = [
    Route("/vo/registry", harvest, methods=["GET", "POST"]),
    *of_itself("/vo/registry", lambda ask: vosi.own(ask.publisher.at("/vo/registry"))),
    Route("/vo/capabilities", capabilities, methods=["GET"]),
]
