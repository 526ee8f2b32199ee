"""``/vo/tap``: queries in ADQL, the tables they may name, and what the service says of itself."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ..publish import vosi
from ..publish.dali import DaliError
from ..publish.tap_capabilities import TapLimits, tap_capabilities
from ..publish.tap_examples import examples_page
from ..publish.tap_schema import one_table, tableset
from ..publish.tap_tables import ArchiveTables
from .routes_vo_base import of_itself
from .vo_asking import VoAsk, vo_answering, vo_xml
from .vo_tap import engines_of, tap_answer

BASE = "/vo/tap"
KEPT_S = 7 * 86400.0
"""Seconds that results of background queries are kept."""


@vo_answering(queries=True, upload=True)
def sync(ask: VoAsk) -> Response:
    """A query, answered at once."""
    if (ask.params.one("REQUEST") or "").lower() == "getcapabilities":  # TAP 1.0
        return RedirectResponse(ask.publisher.at(f"{BASE}/capabilities"), 303)
    return tap_answer(ask)


@vo_answering(queries=True)
def tables(ask: VoAsk) -> Response:
    """The VOSI table set: with ``detail=min`` without columns."""
    detail = ask.params.choice("DETAIL", ("min", "max"), "max")
    return vo_xml(tableset(_tables(ask).all, columns=detail != "min"))


@vo_answering(queries=True)
def table(ask: VoAsk) -> Response:
    """One table with its columns."""
    return vo_xml(one_table(_tables(ask).all, ask.path["name"]))


def offered(ask: VoAsk) -> list[vosi.Capability]:
    """Languages, functions, formats and limits."""
    vo = ask.settings
    limits = TapLimits(vo.maxrec, vo.maxrec_most, vo.job_s, KEPT_S, vo.upload_mib << 20)
    return tap_capabilities(ask.publisher.at(BASE), limits)


@vo_answering(queries=True)
def examples(ask: VoAsk) -> Response:
    """Queries to start from."""
    page = examples_page(_tables(ask), ask.publisher.at(BASE))
    return Response(page, 200, {"Cache-Control": "no-cache"}, "application/xhtml+xml")


@vo_answering(anyone=True)
def root(ask: VoAsk) -> Response:
    """The service's own address asks for nothing."""
    raise DaliError("this is the address of a TAP service: queries go to /sync or /async",
                    where=BASE, remedy=ask.publisher.at(f"{BASE}/examples"))  # fmt: skip


def _tables(ask: VoAsk) -> ArchiveTables:
    return engines_of(ask.served).tables(ask.archive, ask.publisher)


ROUTES = [
    Route(BASE, root, methods=["GET"]),
    Route(f"{BASE}/sync", sync, methods=["GET", "POST"]),
    Route(f"{BASE}/tables", tables, methods=["GET"]),
    Route(f"{BASE}/tables/{{name}}", table, methods=["GET"]),
    *of_itself(BASE, offered),
    Route(f"{BASE}/examples", examples, methods=["GET"]),
]
