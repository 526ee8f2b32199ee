"""Simple Cone Search: ``/vo/cone``."""

from __future__ import annotations

import numpy as np
from starlette.responses import Response
from starlette.routing import Route

from ..publish import conesearch, vosi
from ..publish.dali import maxrec
from .routes_vo_base import of_itself
from .vo_asking import VoAsk, vo_answering, vo_table


@vo_answering(told=conesearch.told)
def query(ask: VoAsk) -> Response:
    """The spectra of a cone, the nearest first; a radius of 0 asks for the columns alone."""
    ra, dec, radius, verb = conesearch.cone_of(ask.params)
    most = maxrec(ask.params, ask.settings.maxrec, ask.settings.maxrec_most)
    rows, far = np.zeros(0, np.int64), np.zeros(0)
    if radius > 0:
        rows, far = ask.archive.cone(ra, dec, radius)
        order = np.argsort(far, kind="stable")
        rows, far = rows[order], np.asarray(far)[order]
    return vo_table(
        ask, conesearch.answer(ask.holding.catalogue, ask.publisher, rows, far, verb, most)
    )


def offered(ask: VoAsk) -> list[vosi.Capability]:
    """What the service can do."""
    return conesearch.capability(ask.publisher.at("/vo/cone"), ask.settings.maxrec_most)


ROUTES = [
    Route("/vo/cone", query, methods=["GET", "POST"]),
    *of_itself("/vo/cone", offered),
]
