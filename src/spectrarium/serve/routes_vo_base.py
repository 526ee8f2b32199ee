"""What stands at the root of the services: ``/vo``."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ..publish import vosi
from .vo_asking import VoAsk, vo_answering, vo_xml

STARTED = datetime.now(UTC)


@vo_answering(anyone=True)
def root(ask: VoAsk) -> Response:
    """Whoever looks at the root sees what there is."""
    return RedirectResponse(ask.publisher.at("/vo/capabilities"), 303)


@vo_answering(anyone=True)
def availability(_: VoAsk) -> Response:
    """Whether the services answer."""
    return vo_xml(vosi.availability(STARTED))


ROUTES = [
    Route("/vo", root, methods=["GET"]),
    Route("/vo/availability", availability, methods=["GET"]),
]
