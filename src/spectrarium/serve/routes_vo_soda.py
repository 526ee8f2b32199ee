"""SODA 1.0: pieces of spectra, cut out and recast. Waited for here; as jobs below ``/async``."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from ..publish import vosi
from ..publish.dali import VOTABLE, DaliError
from ..publish.soda import ASYNC, SYNC, error_text
from ..publish.soda_query import soda_query
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
    found = answered(ask.archive, query, ask.publisher)
    if found is None:
        return Response(status_code=204)
    return vo_table(ask, found.pieces, found.name, found.media_type)


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
