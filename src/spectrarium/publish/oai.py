"""A publishing registry's answers to harvesters.

Source: OAI-PMH 2.0; IVOA Registry Interfaces 1.1, section 2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from .dali import Params
from .publisher import Publisher
from .registry import Gone, Resource, holder, stamp
from .votable import attribute, text

MANAGED = "ivo_managed"
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/">\n'
)
_FORMATS = {
    "ivo_vor": ("http://www.ivoa.net/xml/RegistryInterface/v1.0",
                "http://www.ivoa.net/xml/RegistryInterface/v1.0"),
    "oai_dc": ("http://www.openarchives.org/OAI/2.0/oai_dc.xsd",
               "http://www.openarchives.org/OAI/2.0/oai_dc/"),
}  # fmt: skip
"""Prefix → (schema, namespace)."""
_LIST = frozenset({"metadataPrefix", "from", "until", "set", "resumptionToken"})
_ARGUMENTS: Mapping[str, frozenset[str]] = MappingProxyType({
    "Identify": frozenset(), "ListMetadataFormats": frozenset({"identifier"}),
    "ListSets": frozenset({"resumptionToken"}), "ListIdentifiers": _LIST, "ListRecords": _LIST,
    "GetRecord": frozenset({"identifier", "metadataPrefix"}),
})  # fmt: skip
_DAY, _SECOND = "%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"


Record = Resource | Gone


class _Refused(Exception):
    """An error in the words of OAI-PMH 2.0, section 3.6."""

    def __init__(self, word: str, what: str) -> None:
        super().__init__(what)
        self.word = word


def oai_answer(
    params: Params, records: Sequence[Record], publisher: Publisher, now: datetime
) -> bytes:
    """The document that answers a request; what is wrong with it is told in one too.

    records : that of the registry first, and those that are gone, which are told for ever
    now : UTC
    """
    given: dict[str, str] = {}
    try:
        verb, given = _arguments(params)
        said = _VERBS[verb](given, records, publisher)
    except _Refused as error:
        if error.word in ("badVerb", "badArgument"):
            given = {}  # OAI-PMH 2.0, 3.2: the request is then named without its arguments
        said = f'<error code="{error.word}">{text(str(error))}</error>\n'
    words = "".join(f" {k}={attribute(v)}" for k, v in given.items())
    request = f"<request{words}>{text(publisher.at('/vo/registry'))}</request>\n"
    date = f"<responseDate>{stamp(now)}</responseDate>\n"
    return f"{_HEAD}{date}{request}{said}</OAI-PMH>\n".encode()


def _arguments(params: Params) -> tuple[str, dict[str, str]]:
    """The verb and all arguments, ``verb`` among them."""
    verbs = params.all("verb")
    if len(verbs) != 1 or verbs[0] not in _ARGUMENTS:
        raise _Refused("badVerb", "give one verb: " + ", ".join(_ARGUMENTS))
    verb, allowed = verbs[0], _ARGUMENTS[verbs[0]]
    given = {"verb": verb}
    for name in sorted(params.names() - {"VERB"}):
        word = next((a for a in allowed if a.upper() == name), None)
        values = params.all(name)
        if word is None or len(values) != 1:
            raise _Refused("badArgument", f"{name[:40].lower()} is not an argument of {verb}, or "
                           "it is empty or given more than once")  # fmt: skip
        given[word] = values[0]
    if "resumptionToken" in given:
        if len(given) > 2:
            raise _Refused("badArgument", "resumptionToken excludes all other arguments")
        raise _Refused("badResumptionToken", "lists are complete here: no token is ever given out")
    return verb, given


# verbs ----------------------------------------------------------------------------------------


def _identify(_: Mapping[str, str], records: Sequence[Record], publisher: Publisher) -> str:
    earliest = min(r.updated for r in records)
    own = next(r for r in records if isinstance(r, Resource)).xml()
    return (
        f"<Identify>\n<repositoryName>{text(publisher.title)}</repositoryName>\n"
        f"<baseURL>{text(publisher.at('/vo/registry'))}</baseURL>\n"
        f"<protocolVersion>2.0</protocolVersion>\n"
        f"<adminEmail>{text(publisher.contact)}</adminEmail>\n"
        f"<earliestDatestamp>{stamp(earliest)}</earliestDatestamp>\n"
        "<deletedRecord>persistent</deletedRecord>\n<granularity>YYYY-MM-DDThh:mm:ssZ</granularity>\n"
        f"<description>\n{own}</description>\n</Identify>\n"
    )


def _formats(given: Mapping[str, str], records: Sequence[Record], _: Publisher) -> str:
    if "identifier" in given:
        _named(given["identifier"], records)
    inside = "".join(
        f"<metadataFormat><metadataPrefix>{prefix}</metadataPrefix><schema>{schema}</schema>"
        f"<metadataNamespace>{namespace}</metadataNamespace></metadataFormat>\n"
        for prefix, (schema, namespace) in _FORMATS.items()
    )
    return f"<ListMetadataFormats>\n{inside}</ListMetadataFormats>\n"


def _sets(_: Mapping[str, str], __: Sequence[Record], ___: Publisher) -> str:
    return (f"<ListSets>\n<set><setSpec>{MANAGED}</setSpec><setName>Records that originate here"
            "</setName></set>\n</ListSets>\n")  # fmt: skip


def _one(given: Mapping[str, str], records: Sequence[Record], _: Publisher) -> str:
    if "identifier" not in given:
        raise _Refused("badArgument", "identifier is missing")
    made = _maker(given)
    return f"<GetRecord>\n{_record(_named(given['identifier'], records), made)}</GetRecord>\n"


def _identifiers(given: Mapping[str, str], records: Sequence[Record], _: Publisher) -> str:
    _maker(given)
    inside = "".join(_header(r) for r in _chosen(given, records))
    return f"<ListIdentifiers>\n{inside}</ListIdentifiers>\n"


def _list(given: Mapping[str, str], records: Sequence[Record], _: Publisher) -> str:
    made = _maker(given)
    inside = "".join(_record(r, made) for r in _chosen(given, records))
    return f"<ListRecords>\n{inside}</ListRecords>\n"


_VERBS: Mapping[str, Callable[[Mapping[str, str], Sequence[Record], Publisher], str]] = {
    "Identify": _identify, "ListMetadataFormats": _formats, "ListSets": _sets, "GetRecord": _one,
    "ListIdentifiers": _identifiers, "ListRecords": _list,
}  # fmt: skip


# which records --------------------------------------------------------------------------------


def _named(identifier: str, records: Sequence[Record]) -> Record:
    for record in records:  # IVOIDs are compared without case (Identifiers 2.0, 2.2)
        if record.ivoid.lower() == identifier.lower():
            return record
    raise _Refused("idDoesNotExist", f"there is no record {identifier[:200]!r} here")


def _chosen(given: Mapping[str, str], records: Sequence[Record]) -> list[Record]:
    start, end = (_moment(given.get(name), name) for name in ("from", "until"))
    if start and end and len(given["from"]) != len(given["until"]):
        raise _Refused("badArgument", "from and until differ in granularity")
    if start and end and start > end:
        raise _Refused("badArgument", "from is later than until")
    if end is not None and len(given["until"]) == 10:
        end += timedelta(days=1, seconds=-1)
    found = [
        r for r in records
        if (start is None or _seconds(r.updated) >= start)
        and (end is None or _seconds(r.updated) <= end)
        and given.get("set", MANAGED) == MANAGED
    ]  # fmt: skip
    if not found:
        raise _Refused("noRecordsMatch", "no record meets this")
    return found


def _seconds(when: datetime) -> datetime:
    return when.astimezone(UTC).replace(microsecond=0)


def _moment(given: str | None, name: str) -> datetime | None:
    if given is None:
        return None
    form = _DAY if len(given) == 10 else _SECOND
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?", given, re.ASCII):
            raise ValueError
        return datetime.strptime(given, form).replace(tzinfo=UTC)
    except ValueError as error:
        raise _Refused("badArgument", f"{name} is {given[:40]!r}, no date as YYYY-MM-DD or "
                       "YYYY-MM-DDThh:mm:ssZ") from error  # fmt: skip


# how records are written ----------------------------------------------------------------------


def _maker(given: Mapping[str, str]) -> Callable[[Resource], str]:
    prefix = given.get("metadataPrefix")
    if prefix is None:
        raise _Refused("badArgument", "metadataPrefix is missing")
    if prefix not in _FORMATS:
        raise _Refused("cannotDisseminateFormat", "records are had as " + ", ".join(_FORMATS))
    return Resource.xml if prefix == "ivo_vor" else _dublin_core


def _header(record: Record) -> str:
    status = ' status="deleted"' if isinstance(record, Gone) else ""
    return (
        f"<header{status}><identifier>{text(record.ivoid)}</identifier>"
        f"<datestamp>{stamp(record.updated)}</datestamp><setSpec>{MANAGED}</setSpec></header>\n"
    )


def _record(record: Record, made: Callable[[Resource], str]) -> str:
    if isinstance(record, Gone):
        return f"<record>\n{_header(record)}</record>\n"
    return f"<record>\n{_header(record)}<metadata>\n{made(record)}</metadata>\n</record>\n"


def _dublin_core(record: Resource) -> str:
    facts: Iterable[tuple[str, str]] = (
        ("title", record.title), ("creator", holder(record.publisher)),
        *(("subject", s) for s in record.subjects), ("description", record.about),
        ("publisher", holder(record.publisher)), ("date", stamp(record.updated)),
        *(("type", t) for t in record.types), ("identifier", record.ivoid),
        ("relation", record.url),
    )  # fmt: skip
    inside = "".join(f"<dc:{k}>{text(v)}</dc:{k}>\n" for k, v in facts)
    return (
        '<oai_dc:dc xmlns:oai_dc="http://www.openarchives.org/OAI/2.0/oai_dc/" '
        f'xmlns:dc="http://purl.org/dc/elements/1.1/">\n{inside}</oai_dc:dc>\n'
    )
