"""What stands at the root of the services, ``/vo``, and what each says of itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ..publish import vosi
from .vo_asking import LOGIN, VoAsk, vo_answering, vo_xml

STARTED = datetime.now(UTC)


@vo_answering(anyone=True)
def root(ask: VoAsk) -> Response:
    """Whoever looks at the root sees what there is."""
    return RedirectResponse(ask.publisher.at("/vo/capabilities"), 303)


@vo_answering(anyone=True)
def availability(_: VoAsk) -> Response:
    """Whether the services answer."""
    return vo_xml(vosi.availability(STARTED))


@vo_answering(anyone=True)
def login(ask: VoAsk) -> Response:
    """A bearer token for who has a name and a password: a token of the operator, which it is."""
    token = ask.params.need("PASSWORD")
    session = ask.served.visitors.sign_in(ask.client, token)
    answer = Response(f"signed in as {session.user}\n", media_type="text/plain")
    answer.headers["X-VO-Bearer"] = session.token
    answer.headers["Cache-Control"] = "no-store"
    return answer


def of_itself(path: str, offered: Callable[[VoAsk], list[vosi.Capability]]) -> list[Route]:
    """What a service at `path` says of itself: what it can do, and that it answers."""

    @vo_answering(anyone=True)
    def capabilities(ask: VoAsk) -> Response:
        return vo_xml(vosi.capabilities(offered(ask)))

    return [
        Route(f"{path}/capabilities", capabilities, methods=["GET"]),
        Route(f"{path}/availability", availability, methods=["GET"]),
    ]


ROUTES = [
    Route("/vo", root, methods=["GET"]),
    Route("/vo/availability", availability, methods=["GET"]),
    Route(LOGIN, login, methods=["POST"]),
]
