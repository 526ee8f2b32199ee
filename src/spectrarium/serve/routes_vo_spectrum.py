"""One spectrum as a file or a picture: ``/vo/spectrum?ID=…&FORMAT=…``."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from ..plot.spectrum import spectrum_png
from ..publish import csv_table, sdm_fits, sdm_votable
from ..publish.dali import VOTABLE, DaliError
from ..publish.datalink import native_type
from ..publish.files import FileNames
from ..publish.publisher import identity_of
from ..run.record import native_bytes
from .answers import file_answer
from .vo_asking import VoAsk, vo_answering

MADE = {
    "votable": (VOTABLE, "vot", sdm_votable.document),
    "fits": ("application/fits", "fits", sdm_fits.document),
    "csv": ("text/csv", "csv", csv_table.document),
}
"""Files made of what the archive holds: type, extension, record and spectrum → bytes."""
_WORDS = {
    "application/x-votable+xml": "votable", "text/xml": "votable", "xml": "votable",
    "application/fits": "fits", "image/png": "preview", "png": "preview", "graphic": "preview",
    "text/csv": "csv",
}  # fmt: skip
FORMATS = (*MADE, "native", "preview")


def row_of(ask: VoAsk, did: str) -> int:
    """Catalogue row of an identifier. Raises UsageError (unknown_id): hidden ones are unknown."""
    return ask.archive.resolve(identity_of(did))


def record_of(ask: VoAsk, row: int) -> dict[str, Any]:
    """Catalogue values of an observation, in its publisher's name."""
    record: dict[str, Any] = ask.archive.catalogue([row]).to_pylist()[0]
    return record | {"obs_publisher_did": ask.publisher.did(record),
                     "publisher": ask.publisher.title}  # fmt: skip


@vo_answering
def spectrum(ask: VoAsk) -> Response:
    """The file of one observation."""
    text = ask.params.one("FORMAT", "votable") or ""
    wanted = _WORDS.get(text.partition(";")[0].strip().lower(), text.lower())
    if wanted not in FORMATS:
        raise DaliError(f"FORMAT is {text[:60]!r}", where="FORMAT",
                        remedy="choose from: " + ", ".join(FORMATS))  # fmt: skip
    row = row_of(ask, ask.params.need("ID"))
    if wanted == "native":
        name, data = native_bytes(ask.archive, row)
        return file_answer(data, name, native_type(name))
    if wanted == "preview":
        return Response(ask.holding.cached(("preview", row), lambda: preview(ask, row)),
                        media_type="image/png")  # fmt: skip
    kind, extension, document = MADE[wanted]
    record = record_of(ask, row)
    data = document(record, ask.archive.read_rows([row])[0])
    return file_answer(data, FileNames().name(record, extension), kind)


def preview(ask: VoAsk, row: int) -> bytes:
    """PNG of a spectrum."""
    return spectrum_png(ask.archive.read_rows([row])[0])


ROUTES = [Route("/vo/spectrum", spectrum, methods=["GET", "POST"])]
