"""``/vo/hips``: where the spectra are, as a map that Aladin shows."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ..publish.density import counted, hips_of
from .vo_asking import VoAsk, vo_answering

BASE = "/vo/hips"


@vo_answering
def root(ask: VoAsk) -> Response:
    """Names in the map's page are relative to this address with a slash."""
    return RedirectResponse(ask.publisher.at(f"{BASE}/"), 303)


@vo_answering
def file(ask: VoAsk) -> Response:
    """A tile, ``properties``, ``Moc.fits``, Allsky or the page, made now."""
    found = ask.holding.cached("vo_density", lambda: counted(ask.archive, ask.archive.find()))
    url = ask.publisher.at(BASE)
    hips = hips_of(found, ask.publisher, url, public=not ask.user.signed_in)
    body, media = hips.file(ask.path["path"])
    return Response(body, 200, {"Cache-Control": "no-cache"}, media)


ROUTES = [
    Route(BASE, root, methods=["GET"]),
    Route(f"{BASE}/{{path:path}}", file, methods=["GET"]),
]
