"""One observation: what is known of it, what is like it, what was learnt of it, its files."""

from __future__ import annotations

import os
from functools import partial
from typing import Any
from urllib.parse import quote

from starlette.responses import Response
from starlette.routing import Route

from ..domain.errors import UsageError
from ..embed.domain import ModelDomain
from ..people.records import OPERATE
from ..publish import csv_table, sdm_fits, sdm_votable
from ..publish.files import FileNames
from ..publish.source import Record
from ..run.columns import Columns
from ..run.embedding import load_model
from ..run.kin import Likeness, kin
from ..run.ranking import scores_of
from ..run.record import native_bytes, native_file, object_record, uploaded_record
from ..run.tag_answers import tags_of
from .answers import file_answer, json_answer
from .asking import Ask, answering
from .found import Found, found

_MADE = {
    "sdm-votable": ("vot", "application/x-votable+xml", sdm_votable.document),
    "sdm-fits": ("fits", "application/fits", sdm_fits.document),
    "csv": ("csv", "text/csv; charset=utf-8", csv_table.document),
}
"""Files made of what the archive holds: extension, type, record and spectrum → bytes."""
_TITLES = {
    "native": "as delivered", "sdm-votable": "VOTable (IVOA Spectrum Data Model)",
    "sdm-fits": "FITS table (IVOA Spectrum Data Model)", "csv": "CSV",
}  # fmt: skip


@answering
def record(ask: Ask) -> Response:
    """All columns of an observation, where it came from, and the files there are."""
    what = found(ask)
    if what.row is None:
        out = uploaded_record(what.read(ask), what.id)
    else:
        columns = ask.holding.cached(
            "columns of objects", lambda: Columns(ask.archive, ask.holding.cached)
        )
        out = object_record(ask.archive, what.row, columns)
        if not ask.user.may(OPERATE):
            _without_folders(out)
    return json_answer(out | {"files": _files(ask, what)})


def _without_folders(out: dict[str, Any]) -> None:
    """Where files lie on the server is the operator's business."""
    for part, name in ((out["record"], "access_path"), (out["provenance"], "file")):
        if part.get(name):
            part[name] = os.path.basename(part[name])


def _files(ask: Ask, what: Found) -> list[dict[str, Any]]:
    base = f"/api/object/{quote(what.id, safe='')}/file?kind="
    out: list[dict[str, Any]] = []
    native = None if what.row is None else native_file(ask.archive, what.row)
    if native is not None:
        out.append({"name": native.name, "kind": "native", "href": base + "native",
                    "bytes": native.nbytes, "title": _TITLES["native"]})  # fmt: skip
    facts = identity_facts(ask, what)
    for kind, (extension, _, _) in _MADE.items():
        out.append({"name": FileNames().name(facts, extension), "kind": kind, "href": base + kind,
                    "title": _TITLES[kind]})  # fmt: skip
    return out


def identity_facts(ask: Ask, what: Found) -> Record:
    """Catalogue values of an observation, or what an upload says of itself."""
    if what.row is not None:
        found_row: Record = ask.archive.catalogue([what.row]).to_pylist()[0]
        return found_row
    values = dict(uploaded_record(what.read(ask), what.id)["record"])
    values["metadata"] = None
    values["obs_id"] = values["obs_id"] or what.id.replace(":", "-")
    return values


@answering
def file(ask: Ask) -> Response:
    """The original file, or one made of what the archive holds."""
    what = found(ask)
    kind = ask.query.choice("kind", ("native", *_MADE), "sdm-votable")
    if kind == "native":
        if what.row is None:
            raise UsageError("an upload is not kept as a file", code="no_file",
                             remedy="take the VOTable or FITS")  # fmt: skip
        name, data = native_bytes(ask.archive, what.row)
        return file_answer(data, name, "application/octet-stream")
    extension, media_type, document = _MADE[kind]
    facts = identity_facts(ask, what)
    return file_answer(document(facts, what.read(ask)), FileNames().name(facts, extension),
                       media_type)  # fmt: skip


@answering(slow=True)
def similar(ask: Ask) -> Response:
    """The spectra most like one, by a model or by pixels, and why."""
    what, query = found(ask), ask.query
    how = Likeness(
        k=query.integer("k", 12, least=1, most=100), model=query.text("model", None, most=300),
        encoder=query.text("encoder", None, most=100), window=query.interval("window"),
        line=query.text("line", None, most=100), width_kms=query.number("width_kms", 1500.0),
        rest=query.flag("rest"), rerank=query.flag("rerank"), where=query.text("where"),
        redshift=query.number("redshift", None),
    )  # fmt: skip
    return json_answer(kin(
        ask.archive, what.read(ask), what.row, how, explorers=ask.holding.explorer,
        domains=partial(_domain, ask), identifier=what.id,
    ))  # fmt: skip


def _domain(ask: Ask, name: str) -> ModelDomain:
    """What a model may be shown; without its vectors, which take longer to load."""
    made: ModelDomain = ask.holding.cached(
        ("domain", name), lambda: load_model(ask.archive, name).domain
    )
    return made


@answering(slow=True)
def tags(ask: Ask) -> Response:
    """What the taggers say of it; an upload has none."""
    what = found(ask)
    if what.row is None or not ask.archive.names("tags"):
        return json_answer({"tags": [], "upload": what.row is None})
    return json_answer({"tags": tags_of(ask.archive, what.id)})


@answering(slow=True)
def scores(ask: Ask) -> Response:
    """Every kept outlier score of it, with the wavelengths behind each."""
    what = found(ask)
    if what.row is None:
        return json_answer({"scores": [], "upload": True})
    row = what.row

    def make() -> list[dict[str, Any]]:
        return scores_of(ask.archive, row, explorers=ask.holding.explorer, keep=ask.holding.cached)

    return json_answer({"scores": ask.holding.cached(("scores of", row), make)})


ROUTES = [
    Route("/api/object/{id}", record, methods=["GET"]),
    Route("/api/object/{id}/similar", similar, methods=["GET"]),
    Route("/api/object/{id}/tags", tags, methods=["GET"]),
    Route("/api/object/{id}/scores", scores, methods=["GET"]),
    Route("/api/object/{id}/file", file, methods=["GET"]),
]
