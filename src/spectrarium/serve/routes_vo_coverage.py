"""``/vo/moc``: what the archive covers on the sky, in time and along the spectrum."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from ..publish.coverage import ORDERS, Kind, coverage, rows_in
from ..publish.dali import DaliError
from ..publish.moc import FORMS, Form, moc_bytes
from .vo_asking import VoAsk, vo_answering

BASE = "/vo/moc"
RADIUS_MOST_DEG = 10.0
ENDINGS: dict[Form, str] = {"fits": "fits", "json": "json", "ascii": "txt"}


@vo_answering(slow=True)
def moc(ask: VoAsk) -> Response:
    """``FORMAT`` (fits, json, ascii), ``COLLECTION`` (many), ``ORDER``, ``RADIUS`` (deg, space)."""
    kind = _kind(ask.path["kind"])
    form = _form(ask)
    order = ask.params.integer("ORDER", None, 0, ORDERS[kind])
    radius = ask.params.number("RADIUS", None, 1e-5, RADIUS_MOST_DEG)
    if radius is not None and kind != "space":
        raise DaliError("only coverage of the sky has a RADIUS", where="RADIUS",
                        remedy=f"leave it out, or ask {BASE}/space")  # fmt: skip
    collections = tuple(sorted(set(ask.params.all("COLLECTION"))))

    def made() -> bytes:
        rows = rows_in(ask.archive, collections)
        return moc_bytes(coverage(ask.archive, rows, kind, order, radius), form)

    body = ask.holding.cached(("vo_moc", kind, collections, order, radius, form), made)
    name = f'inline; filename="{kind}_moc.{ENDINGS[form]}"'
    headers = {"Cache-Control": "no-cache", "Content-Disposition": name}
    return Response(body, 200, headers, FORMS[form])


def _kind(text: str) -> Kind:
    for kind in ORDERS:
        if text == kind:
            return kind
    raise DaliError(f"there is no coverage of {text[:40]!r}", code="no_coverage_kind",
                    where=BASE, fault="NotFoundFault",
                    remedy=f"ask for one of {', '.join(ORDERS)}")  # fmt: skip


def _form(ask: VoAsk) -> Form:
    """The form that FORMAT names, by itself or as a media type."""
    text = (ask.params.one("FORMAT") or ask.params.one("RESPONSEFORMAT") or "fits").lower()
    for form, media in FORMS.items():
        if text in (form, media, media.partition(";")[0]) or (form == "fits" and "fits" in text):
            return form
    raise DaliError(f"there is no MOC as {text[:40]!r}", where="FORMAT",
                    remedy="use fits, json or ascii")  # fmt: skip


ROUTES = [Route(f"{BASE}/{{kind}}", moc, methods=["GET", "POST"])]
