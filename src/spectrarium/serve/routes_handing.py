"""Handing things to other programs: a table or a spectrum, at an address of its own for a while.

The page asks for the address (``POST /api/handed``, ``POST /api/object/{id}/handed``) and tells it
to a program by SAMP; the program fetches ``/vo/handed/KEY/NAME`` without signing in.
"""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from ..domain.errors import UsageError
from ..publish.catalogue import votable
from ..publish.dali import VOTABLE
from ..publish.files import FileNames
from ..publish.publisher import Publisher
from ..publish.samp import ascii_text, spectrum_meta, title_of, with_addresses
from ..run.exported import MOST_ROWS, exported
from ..store.archive import Archive, Rows
from .answers import file_answer, json_answer, safe_name
from .asking import Ask, answering
from .chosen import chosen_rows
from .conditions import columns_of
from .found import found
from .handing import LASTS_S, Link, Links
from .routes_object import identity_facts
from .routes_vo_spectrum import MADE
from .vo_asking import VoAsk, vo_answering

FORMS = ("votable", "fits")
ROOT = "/vo/handed"


def links(served: Ask | VoAsk) -> Links:
    """The links that this server handed out."""
    return served.served.kept("links", Links)


@answering
def hand_table(ask: Ask) -> Response:
    """A link to the catalogue's rows of a set, in the order given."""
    fields = ask.json()
    rows = chosen_rows(ask, fields, MOST_ROWS)
    if not len(rows):
        raise UsageError("nothing was selected to send", code="nothing_selected",
                         remedy="select something")  # fmt: skip
    name = fields.text("name", "", most=200) or "Spectrarium"
    columns, archive = columns_of(ask), ask.archive
    version = str(ask.holding.version)

    def make(publisher: Publisher) -> bytes:
        table = with_addresses(exported(columns, rows), spectra_at(archive, rows, publisher))
        about = {"archive": archive.root.name, "version": version, "made_by": "Spectrarium"}
        return votable(table, name, about)

    file_name = f"{safe_name(ascii_text(name))[:60]}.vot"
    link = links(ask).add(ask.user.name, file_name, VOTABLE, make, len(rows))
    return _handed(link, {"count": len(rows), "title": name})


def spectra_at(archive: Archive, rows: Rows, publisher: Publisher) -> list[str]:
    """The address of each row's spectrum."""
    records = archive.catalogue(rows, ["obs_collection", "obs_id"]).to_pylist()
    return [publisher.at("/vo/spectrum", ID=publisher.did(r), FORMAT="votable") for r in records]


@answering
def hand_spectrum(ask: Ask) -> Response:
    """A link to one spectrum, of the archive or uploaded, and what is known of it before."""
    what, fields = found(ask), ask.json()
    media_type, extension, document = MADE[fields.choice("form", FORMS, "votable")]
    facts = dict(identity_facts(ask, what))
    archive, row, uploaded = ask.archive, what.row, what.spectrum
    if row is not None:
        vo = ask.served.vo
        facts |= {"obs_publisher_did": Publisher(authority=vo.authority).did(facts),
                  "publisher": vo.title}  # fmt: skip

    def make(_: Publisher) -> bytes:
        if uploaded is not None:
            return document(facts, uploaded)
        assert row is not None
        return document(facts, archive.read_rows([row])[0])

    link = links(ask).add(ask.user.name, FileNames().name(facts, extension), media_type, make,
                          1 if uploaded is None else uploaded.flux.size)  # fmt: skip
    return _handed(link, {"meta": spectrum_meta(facts, media_type), "title": title_of(facts),
                          "ra": facts.get("s_ra"), "dec": facts.get("s_dec")})  # fmt: skip


def _handed(link: Link, more: dict[str, object]) -> Response:
    told = {"href": f"{ROOT}/{link.key}/{link.name}", "media_type": link.media_type,
            "lasts_s": LASTS_S}  # fmt: skip
    return json_answer(told | more, 201, secret=True)


@vo_answering(slow=True, anyone=True)
def handed(ask: VoAsk) -> Response:
    """The file of a link, for whoever has it."""
    link = links(ask).find(ask.path["key"])
    answer = file_answer(link.make(ask.publisher), link.name, link.media_type)
    answer.headers["Cache-Control"] = "no-store"
    return answer


ROUTES = [
    Route("/api/handed", hand_table, methods=["POST"]),
    Route("/api/object/{id}/handed", hand_spectrum, methods=["POST"]),
    Route(ROOT + "/{key}/{name}", handed, methods=["GET"]),
]
