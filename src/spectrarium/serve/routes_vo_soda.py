"""SODA 1.0: pieces of spectra, cut out and recast. Waited for here; as jobs below ``/async``."""

from __future__ import annotations

import time

from starlette.responses import Response
from starlette.routing import Route

from ..domain.errors import TransientError, UsageError
from ..publish import vosi
from ..publish.dali import VOTABLE, DaliError
from ..publish.soda import ASYNC, SYNC, Product, error_text
from ..publish.soda_query import SodaQuery, soda_query
from .routes_vo_base import of_itself
from .vo_asking import VoAsk, vo_answering, vo_table
from .vo_soda import answered


@vo_answering(slow=True, told=error_text)
def sync(ask: VoAsk) -> Response:
    """One file: a cut-out, or a table or an image of many; 204 where no pixel is left."""
    query = soda_query(ask.params)
    if not query.join and not query.single:
        raise DaliError("several results without JOIN are what jobs are for", where="JOIN",
                        fault="MultiValuedParamNotSupported",
                        remedy="leave JOIN out, or send it to /vo/soda/async")  # fmt: skip
    found = _in_time(ask, query)
    if found is None:
        return Response(status_code=204)
    return vo_table(ask, found.pieces, found.name, found.media_type)


def _in_time(ask: VoAsk, query: SodaQuery) -> Product | None:
    """The answer, given up when the client hangs up or the time of a query is over."""
    end = time.monotonic() + ask.settings.query_s
    try:
        return answered(ask.archive, query, ask.publisher,
                        lambda: ask.gone() or time.monotonic() > end)  # fmt: skip
    except TransientError as error:
        if error.code != "cancelled" or ask.gone():
            raise
        what = f"it took longer than {ask.settings.query_s:g} s"
        raise UsageError(what, code="query_timeout",
                         remedy="ask for less, or use /vo/soda/async") from error  # fmt: skip


def offered(ask: VoAsk) -> list[vosi.Capability]:
    """What the service can do."""
    base = ask.publisher.at("/vo/soda")
    found = []
    for standard, path in ((SYNC, "sync"), (ASYNC, "async")):
        way = vosi.Interface(f"{base}/{path}", version="1.0", results=(VOTABLE,),
                             queries=("GET", "POST"))  # fmt: skip
        found.append(vosi.Capability(standard, (way,)))
    return [*found, *vosi.own(base)]


ROUTES = [
    Route("/vo/soda/sync", sync, methods=["GET", "POST"]),
    *of_itself("/vo/soda", offered),
]
