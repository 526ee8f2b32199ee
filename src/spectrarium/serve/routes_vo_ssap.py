"""Simple Spectral Access: ``/vo/ssap``."""

from __future__ import annotations

from functools import partial

from starlette.responses import Response
from starlette.routing import Route

from ..publish import ssap, vosi
from ..publish.dali import DaliError, maxrec
from ..publish.ssap_query import Asked, wish_of
from ..run.record import native_files
from .routes_vo_base import of_itself
from .vo_asking import VoAsk, vo_answering, vo_table


@vo_answering
def query(ask: VoAsk) -> Response:
    """REQUEST=queryData: which spectra there are."""
    request = ask.params.need("REQUEST")
    if request.lower() != "querydata":
        raise DaliError(f"REQUEST is {request[:40]!r}", where="REQUEST", remedy="send queryData")
    version = ask.params.one("VERSION")
    if version is not None and version.partition(".")[0] != "1":
        raise DaliError(f"VERSION is {version[:20]!r}", where="VERSION", remedy="this is 1.1")
    if (ask.params.one("FORMAT") or "").lower() == "metadata":
        return vo_table(ask, ssap.metadata(ask.publisher))
    wish = wish_of(ask.params)
    most = maxrec(ask.params, ask.settings.maxrec, ask.settings.maxrec_most)
    top = ask.params.integer("TOP", None, least=1)
    rows = Asked(ask.archive, ask.holding.cached).rows(wish)
    rows = rows if top is None else rows[:top]
    natives = partial(native_files, ask.archive)
    return vo_table(ask, ssap.answer(ask.holding.catalogue, ask.publisher, wish, rows, most,
                                     natives))  # fmt: skip


def offered(ask: VoAsk) -> list[vosi.Capability]:
    """What the service can do."""
    return ssap.capability(ask.publisher.at("/vo/ssap"), ask.publisher, ask.settings.maxrec_most,
                           ask.settings.maxrec)  # fmt: skip


ROUTES = [
    Route("/vo/ssap", query, methods=["GET", "POST"]),
    *of_itself("/vo/ssap", offered),
]
