"""Records of a registry: the authority, who holds it, the archive, its collections.

Source: IVOA VOResource 1.1, VODataService 1.2, Registry Interfaces 1.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from .coverage import Footprint
from .publisher import Publisher
from .vosi import Capability, Interface
from .votable import attribute, text

NAMESPACES = (
    'xmlns="" '  # elements of VOResource have none, and OAI-PMH around them has one by default
    'xmlns:ri="http://www.ivoa.net/xml/RegistryInterface/v1.0" '
    'xmlns:vr="http://www.ivoa.net/xml/VOResource/v1.0" '
    'xmlns:vg="http://www.ivoa.net/xml/VORegistry/v1.0" '
    'xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
)
MOC = "ivo://ivoa.net/std/moc"
HARVEST = "ivo://ivoa.net/std/Registry"
_PART = r"[A-Za-z0-9\-_.!~*'()+=]+"
_KEY = re.compile(f"{_PART}(/{_PART})*")
ARCHIVE, REGISTRY, ORGANISATION = "archive", "registry", "organisation"
_FEW = 20
"""Telescopes and instruments that a record names at most."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One record.

    kind : its xsi:type · body : what stands behind <content>, as XML · relations : (relation,
    title, IVOID) · created, updated : UTC
    """

    ivoid: str
    kind: str
    title: str
    about: str
    url: str
    created: datetime
    updated: datetime
    publisher: Publisher
    short: str = ""
    subjects: tuple[str, ...] = ("spectroscopy",)
    types: tuple[str, ...] = ()
    relations: tuple[tuple[str, str, str], ...] = ()
    body: str = field(default="", repr=False)

    def xml(self) -> str:
        """The record as ``ri:Resource``."""
        who = holder(self.publisher)
        org = attribute(self.publisher.ivoid(ORGANISATION))
        short = f"<shortName>{text(self.short[:16])}</shortName>\n" if self.short else ""
        relations = "".join(
            f"<relationship><relationshipType>{relation}</relationshipType>"
            f"<relatedResource ivo-id={attribute(ivoid)}>{text(title)}</relatedResource>"
            "</relationship>\n"
            for relation, title, ivoid in self.relations
        )
        content = "".join(f"<subject>{text(s)}</subject>\n" for s in self.subjects)
        content += f"<description>{text(self.about)}</description>\n"
        content += f"<referenceURL>{text(self.url)}</referenceURL>\n"
        content += "".join(f"<type>{text(t)}</type>\n" for t in self.types)
        content += f"<contentLevel>Research</contentLevel>\n{relations}"
        return (
            f"<ri:Resource {NAMESPACES} xsi:type={attribute(self.kind)} "
            f'created="{stamp(self.created)}" updated="{stamp(self.updated)}" status="active">\n'
            f"<title>{text(self.title)}</title>\n{short}"
            f"<identifier>{text(self.ivoid)}</identifier>\n<curation>\n"
            f"<publisher ivo-id={org}>{text(who)}</publisher>\n<contact>\n"
            f"<name>{text(who)}</name>\n<email>{text(self.publisher.contact)}</email>\n"
            f"</contact>\n</curation>\n<content>\n{content}</content>\n{self.body}</ri:Resource>\n"
        )


@dataclass(frozen=True, slots=True)
class Gone:
    """A record that was taken away. updated : when, UTC"""

    ivoid: str
    updated: datetime


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection of the archive, as a record describes it."""

    name: str
    footprint: Footprint
    facilities: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """What there is to register.

    capabilities : of all services · tableset : the <schema> elements of TAP's tables, as XML
    created, updated : of the archive, UTC · restricted : whether more is to be seen by who signs in
    registry : capabilities of the registry beside that it is harvested
    """

    capabilities: Sequence[Capability]
    tableset: str
    footprint: Footprint
    collections: Sequence[Collection]
    created: datetime
    updated: datetime
    restricted: bool = False
    registry: Sequence[Capability] = ()


def holder(publisher: Publisher) -> str:
    """The name of who publishes."""
    return publisher.contact_name or publisher.title


def stamp(when: datetime) -> str:
    """``2026-01-31T12:00:00Z``"""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def records(publisher: Publisher, found: Published) -> list[Resource]:
    """All records, that of the registry first; see `unregistrable` for collections without one."""
    none = {name for name, _ in unregistrable(c.name for c in found.collections)}
    return [
        _registry(publisher, found), _authority(publisher, found), _organisation(publisher, found),
        _archive(publisher, found),
        *(_collection(publisher, found, c) for c in found.collections if c.name not in none),
    ]  # fmt: skip


def unregistrable(names: Iterable[str]) -> list[tuple[str, str]]:
    """Collections that can have no record, each with the reason.

    Their spectra are served like all others. Source: VOResource 1.1, type IdentifierURI; IVOIDs
    that differ in case only are one (IVOA Identifiers 2.0).
    """
    out = []
    taken = {ARCHIVE, ORGANISATION, REGISTRY}
    for name in sorted(names):
        if not _KEY.fullmatch(name):
            out.append((name, "its name may hold letters A–Z, digits, - _ and . only"))
        elif name.lower() in taken:
            out.append((name, "another record has this name"))
        else:
            taken.add(name.lower())
    return out


def _made(
    publisher: Publisher, found: Published, ivoid: str, kind: str, title: str, about: str,
    path: str = "/", body: str = "", types: tuple[str, ...] = (), short: str = "",
    relations: tuple[tuple[str, str, str], ...] = (),
) -> Resource:  # fmt: skip
    return Resource(
        ivoid, kind, title, about, publisher.at(path), found.created, found.updated, publisher,
        short=short, types=types, relations=relations, body=body,
    )  # fmt: skip


def _registry(publisher: Publisher, found: Published) -> Resource:
    way = Interface(publisher.at("/vo/registry"), "vg:OAIHTTP", version="1.0").xml()
    body = (
        f'<capability xsi:type="vg:Harvest" standardID="{HARVEST}">\n{way}'
        "<maxRecords>0</maxRecords>\n</capability>\n"
        + "".join(c.xml() for c in found.registry)
        + "<full>false</full>\n"
        f"<managedAuthority>{text(publisher.authority)}</managedAuthority>\n"
    )
    about = f"Publishing registry of {publisher.title}: it has the records of this archive only."
    return _made(publisher, found, publisher.ivoid(REGISTRY), "vg:Registry",
                 f"Registry of {publisher.title}", about, "/vo/registry?verb=Identify", body,
                 ("Registry",))  # fmt: skip


def _authority(publisher: Publisher, found: Published) -> Resource:
    org = attribute(publisher.ivoid(ORGANISATION))
    body = f"<managingOrg ivo-id={org}>{text(holder(publisher))}</managingOrg>\n"
    return _made(publisher, found, f"ivo://{publisher.authority}", "vg:Authority",
                 f"Naming authority {publisher.authority}",
                 f"Identifiers of {publisher.title} begin with ivo://{publisher.authority}.",
                 body=body)  # fmt: skip


def _organisation(publisher: Publisher, found: Published) -> Resource:
    return _made(publisher, found, publisher.ivoid(ORGANISATION), "vr:Organisation",
                 holder(publisher), f"Publishes {publisher.title}.",
                 types=("Organisation",))  # fmt: skip


def _archive(publisher: Publisher, found: Published) -> Resource:
    rights = "Public"
    if found.restricted:
        rights = "What guests see is public; further collections are for those who may sign in."
    facts = found.footprint
    about = (
        f"{facts.rows} spectra in {len(found.collections)} collections, with what is like each, "
        "scores of how odd it is, and tags with calibrated errors: tables of their own in TAP. "
        "Spectra as Spectral Data Model 1.2, native files and cut-outs."
    )
    body = f"<rights>{rights}</rights>\n" + "".join(c.xml() for c in found.capabilities)
    body += _named("facility", [f for c in found.collections for f in c.facilities])
    body += _named("instrument", [i for c in found.collections for i in c.instruments])
    body += _coverage(facts, publisher.at("/vo/moc/space"))
    body += f"<tableset>\n{found.tableset}</tableset>\n" if found.tableset else ""
    return _made(publisher, found, publisher.ivoid(ARCHIVE), "vs:CatalogService", publisher.title,
                 about, body=body, types=("Archive", "Catalog"), short=publisher.title)  # fmt: skip


def _collection(publisher: Publisher, found: Published, one: Collection) -> Resource:
    ivoid = publisher.ivoid(one.name)
    served = (("IsServedBy", publisher.title, publisher.ivoid(ARCHIVE)),)
    body = _named("facility", one.facilities) + _named("instrument", one.instruments)
    body += _coverage(one.footprint, publisher.at("/vo/moc/space", COLLECTION=one.name))
    return _made(publisher, found, ivoid, "vs:DataResource", f"{one.name} in {publisher.title}",
                 f"The {one.footprint.rows} spectra of the collection {one.name}.", body=body,
                 types=("Survey",), relations=served)  # fmt: skip


def _named(tag: str, names: Sequence[str]) -> str:
    different = list(dict.fromkeys(names))[:_FEW]
    return "".join(f"<{tag}>{text(n)}</{tag}>\n" for n in different)


def _coverage(facts: Footprint, moc: str) -> str:
    """Coverage (VODataService 1.2, 3.2): a MOC, MJD, J, the address of the fine MOC, wavebands."""
    inside = f"<spatial>{text(facts.spatial)}</spatial>\n" if facts.spatial else ""
    for tag, pairs in (("temporal", facts.temporal), ("spectral", facts.spectral)):
        inside += "".join(f"<{tag}>{lo:.9g} {hi:.9g}</{tag}>\n" for lo, hi in pairs)
    if facts.spatial:
        inside += f'<footprint ivo-id="{MOC}">{text(moc)}</footprint>\n'
    inside += "".join(f"<waveband>{w}</waveband>\n" for w in facts.wavebands)
    return f"<coverage>\n{inside}</coverage>\n" if inside else ""
