"""Similar spectra as a table: what no standard has yet, described by a service descriptor."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from ..domain.errors import UsageError
from ..embed.domain import ModelDomain
from ..measure.lines import WIDTH_KMS
from ..publish import likeness
from ..publish.dali import DaliError, maxrec
from ..publish.dali_values import interval
from ..publish.publisher import identity_of
from ..publish.soda import SYNC
from ..publish.soda import descriptor as soda_descriptor
from ..run.cutouts import rows_named
from ..run.embedding import load_model
from ..run.kin import K_MOST, Likeness, kin
from .vo_asking import VoAsk, vo_answering, vo_table

_LONGEST_M = 1e-2


@vo_answering(slow=True)
def similar(ask: VoAsk) -> Response:
    """The spectra most like one, nearest first, with the reasons."""
    how = _how(ask)
    limit = maxrec(ask.params, K_MOST, K_MOST)
    did = ask.params.need("ID")
    row = rows_named(ask.archive, [identity_of(did)])[0]
    if row is None:
        raise UsageError(f"{did[:200]!r} is not here", code="unknown_id", where="ID")
    spectrum = ask.archive.read_rows([row])[0]
    found = kin(ask.archive, spectrum, row, how, explorers=ask.holding.explorer,
                domains=partial(_domain, ask), identifier=did)  # fmt: skip
    rows = [a["row"] for a in found["answers"]]
    records = ask.archive.catalogue(rows, likeness.COLUMNS).to_pylist()
    services = soda_descriptor(ask.publisher.at("/vo/soda/sync"), SYNC, "ID", id="soda-sync")
    services += likeness.descriptor(ask.publisher.at(likeness.SIMILAR), "ID")
    pieces = likeness.table(found, records, ask.publisher, rows=limit, after=services)
    return vo_table(ask, pieces)


def _how(ask: VoAsk) -> Likeness:
    params = ask.params
    k = params.integer("K", 12, least=1, most=K_MOST)
    width = params.number("WIDTH", WIDTH_KMS)
    assert k is not None
    assert width is not None
    return Likeness(
        k=k, model=_word(ask, "MODEL"), window=_window(ask),
        line=_word(ask, "LINE"), width_kms=width,
        rest=params.choice("FRAME", ("delivered", "rest"), "delivered") == "rest",
        rerank=params.choice("RERANK", ("true", "false"), "false") == "true",
        redshift=params.number("REDSHIFT"),
    )  # fmt: skip


def _word(ask: VoAsk, name: str) -> str | None:
    text = ask.params.one(name)
    if text is not None and len(text) > 300:
        raise DaliError(f"{name} has {len(text)} characters", where=name)
    return text


def _window(ask: VoAsk) -> tuple[float, float] | None:
    """Å of a window in m."""
    text = ask.params.one("WINDOW")
    if text is None:
        return None
    low, high = interval(text, "WINDOW")
    if not 0 < low < high < _LONGEST_M:
        raise DaliError(f"WINDOW is {text[:60]!r}", where="WINDOW",
                        remedy="give two vacuum wavelengths in m")  # fmt: skip
    return 1e10 * low, 1e10 * high


def _domain(ask: VoAsk, name: str) -> ModelDomain:
    made: Any = ask.holding.cached(("domain", name), lambda: load_model(ask.archive, name).domain)
    assert isinstance(made, ModelDomain)
    return made


ROUTES = [Route("/vo/similar", similar, methods=["GET", "POST"])]
