"""DataLink 1.1: what there is to datasets."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.responses import Response
from starlette.routing import Route

from ..domain.errors import UsageError
from ..people.records import GUEST
from ..publish import vosi
from ..publish.dali import LINKS, VOTABLE, DaliError, maxrec
from ..publish.datalink import STANDARD, About, links
from ..publish.publisher import identity_of
from ..publish.votable import Serialisation
from ..run.cutouts import rows_named
from ..run.explorer import candidates
from ..run.record import SAME_ARCSEC, native_file
from ..store.archive import Archive
from .routes_vo_base import of_itself
from .vo_asking import VoAsk, vo_answering, vo_table

IDS_MOST = 1000
_CALIBRATIONS = frozenset({"blaze", "telluric", "sky", "response", "throughput", "flat", "wdisp",
                           "continuum", "drift", "lsf"})  # fmt: skip
_FORMATS: dict[str, tuple[Serialisation, str]] = {
    "votable": ("tabledata", LINKS), LINKS: ("tabledata", LINKS), VOTABLE: ("tabledata", VOTABLE),
    "text/xml": ("tabledata", "text/xml"), "votable/td": ("tabledata", LINKS),
    f"{VOTABLE};serialization=tabledata": ("tabledata", VOTABLE),
    f"{VOTABLE};serialization=binary2": ("binary2", VOTABLE), "votable/b2": ("binary2", VOTABLE),
}  # fmt: skip


@vo_answering
def link_list(ask: VoAsk) -> Response:
    """Links of every ID; without one an empty table and the services."""
    ids = list(dict.fromkeys(ask.params.all("ID")))
    if len(ids) > IDS_MOST:
        raise DaliError(f"{len(ids)} IDs are asked for", where="ID",
                        remedy=f"ask for {IDS_MOST} or fewer at a time")  # fmt: skip
    most = ask.settings.maxrec_most
    rows = maxrec(ask.params, most, most)
    serialisation, kind = _format(ask)
    found = [] if rows == 0 else _about(ask, ids)
    pieces = links(found, ask.publisher, rows=rows, similar=bool(_likenesses(ask.archive)),
                   serialisation=serialisation)  # fmt: skip
    return vo_table(ask, pieces, media_type=kind)


def _format(ask: VoAsk) -> tuple[Serialisation, str]:
    asked = {t.lower().replace(" ", "") for n in ("RESPONSEFORMAT", "FORMAT")
             for t in ask.params.all(n)}  # fmt: skip
    if len(asked) > 1:
        raise DaliError("several formats are asked for", where="RESPONSEFORMAT",
                        fault="MultiValuedParamNotSupported")  # fmt: skip
    word = asked.pop() if asked else LINKS
    if word not in _FORMATS:
        raise DaliError(f"there is no format {word[:60]!r}", where="RESPONSEFORMAT",
                        remedy="choose from: votable, votable/b2")  # fmt: skip
    return _FORMATS[word]


def _likenesses(archive: Archive) -> list[str]:
    """Embeddings that could be asked; pixels alone can always be compared where there are two."""
    try:
        return candidates(archive, None)
    except UsageError:
        return ["pixels"] if len(archive) > 1 else []


def _about(ask: VoAsk, ids: list[str]) -> list[About]:
    archive = ask.archive
    names, errors = [], []
    for one in ids:
        try:
            names.append(identity_of(one))
            errors.append(f"NotFoundFault: {one[:200]} is not here")
        except UsageError as unknown:
            names.append("")
            errors.append(f"NotFoundFault: {unknown.what}")
    rows = rows_named(archive, names)
    known = np.array(sorted({r for r in rows if r is not None}), np.int64)
    records = dict(zip(known.tolist(), archive.catalogue(known).to_pylist(), strict=True))
    extras = dict(zip(known.tolist(), archive.extras(known), strict=True))
    uids = dict(zip(known.tolist(), archive.index.value("uid", known).tolist(), strict=True))
    tags, scores = _holders(ask, "tags"), _holders(ask, "scores")
    guest = ask.served.people.visibility(GUEST)
    out = []
    for one, row, error in zip(ids, rows, errors, strict=True):
        if row is None:
            out.append(About(one, error))
            continue
        record, native = records[row], native_file(archive, row)
        out.append(About(
            one, record=record, native=None if native is None else (native.name, native.nbytes),
            tags=_holds(tags, uids[row]), scores=_holds(scores, uids[row]),
            others=_others(archive, record),
            signed=not (ask.served.visitors.open or guest.sees(record["obs_collection"])),
            calibrations=tuple(sorted(set(extras[row]) & _CALIBRATIONS)),
        ))  # fmt: skip
    return out


def _others(archive: Archive, record: dict[str, Any]) -> int:
    """How many more there are at its place."""
    if record["s_ra"] is None or record["s_dec"] is None:
        return 0
    rows, _ = archive.cone(record["s_ra"], record["s_dec"], SAME_ARCSEC / 3600.0)
    return max(0, len(rows) - 1)


def _holders(ask: VoAsk, kind: str) -> NDArray[np.int64]:
    """Sorted uids of observations that have tags or scores, told once for each version."""

    def make() -> NDArray[np.int64]:
        found = [ask.archive.table(f"{kind}/{name}", ["uid"]).column(0).to_numpy()
                 for name in ask.archive.names(kind)]  # fmt: skip
        return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)

    made: NDArray[np.int64] = ask.holding.cached(("vo uids", kind), make)
    return made


def _holds(uids: NDArray[np.int64], uid: int) -> bool:
    at = int(uids.searchsorted(uid))
    return at < len(uids) and int(uids[at]) == uid


def offered(ask: VoAsk) -> list[vosi.Capability]:
    """What the service can do."""
    base = ask.publisher.at("/vo/datalink")
    found = vosi.Capability(STANDARD, (vosi.Interface(
        f"{base}/links", version="1.1", results=(LINKS,), queries=("GET", "POST")),))  # fmt: skip
    return [found, *vosi.own(base)]


ROUTES = [
    Route("/vo/datalink/links", link_list, methods=["GET", "POST"]),
    *of_itself("/vo/datalink", offered),
]
