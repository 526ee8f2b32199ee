"""A dropped file: read apart, kept for an hour."""

from __future__ import annotations

from urllib.parse import unquote

from starlette.responses import Response
from starlette.routing import Route

from ..domain.axis import Medium, SpecSys
from ..domain.errors import UsageError
from ..domain.units import spectral_kind
from ..read.source import ReadOptions
from .answers import json_answer
from .asking import Ask, answering
from .found import owner_of, uploads


@answering(slow=True, upload=True)
def upload(ask: Ask) -> Response:
    """Read the body as a file."""
    name = unquote(ask.headers.get("x-filename", "")) or "upload"
    return json_answer(uploads(ask).add(owner_of(ask), name, ask.body, _options(ask)).record())


def _options(ask: Ask) -> ReadOptions:
    """What the user declares about the file."""
    unit = _declared(ask, "x-wave-unit")
    if unit is not None and spectral_kind(unit) in (None, "velocity"):
        raise UsageError(f"{unit!r} is no unit of wavelength, frequency or energy",
                         code="bad_parameter", where="X-Wave-Unit",
                         remedy="give Angstrom, nm, um, Hz …")  # fmt: skip
    medium, frame = _declared(ask, "x-medium"), _declared(ask, "x-specsys")
    try:
        return ReadOptions(
            collection=_declared(ask, "x-collection"), wave_unit=unit,
            flux_unit=_declared(ask, "x-flux-unit"),
            medium=None if medium is None else Medium(medium),
            specsys=None if frame is None else SpecSys(frame),
        )  # fmt: skip
    except ValueError as error:
        raise UsageError(
            str(error), code="bad_parameter", where="X-Medium, X-Specsys",
            remedy="media are vacuum and air; frames are " + ", ".join(SpecSys),
        ) from error  # fmt: skip


def _declared(ask: Ask, header: str) -> str | None:
    text = unquote(ask.headers.get(header, "")).strip()
    if len(text) > 100 or not text.isprintable():
        raise UsageError("is no short text", code="bad_parameter", where=header)
    return text or None


@answering
def forget(ask: Ask) -> Response:
    """Drop an upload before its hour is over."""
    uploads(ask).forget(owner_of(ask), ask.path["token"])
    return json_answer({"forgotten": True})


ROUTES = [
    Route("/api/upload", upload, methods=["POST"]),
    Route("/api/upload/{token}", forget, methods=["DELETE"]),
]
