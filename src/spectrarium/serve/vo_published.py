"""What the whole archive offers: the capabilities of all services, and the records about them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3

from ..domain.errors import UsageError
from ..people.records import GUEST
from ..publish.coverage import footprint, rows_in
from ..publish.registry import Collection, Gone, Published, Resource, records
from ..publish.tap_schema import tableset
from ..publish.tap_tables import ArchiveTables
from ..publish.vosi import Capability, Interface, own
from ..store.archive import Archive, Rows
from ..store.manifest import load
from . import (
    routes_vo_cone,
    routes_vo_datalink,
    routes_vo_slap,
    routes_vo_soda,
    routes_vo_ssap,
    routes_vo_tap,
)
from .vo_asking import VoAsk

_SERVICES = (
    routes_vo_tap, routes_vo_ssap, routes_vo_cone, routes_vo_slap, routes_vo_datalink,
    routes_vo_soda,
)  # fmt: skip
_HIPS = "ivo://ivoa.net/std/HiPS#hips-1.0"
_VOSI = "ivo://ivoa.net/std/VOSI#"


def offered(ask: VoAsk) -> list[Capability]:
    """The capabilities of all services; those of VOSI are of the whole."""
    found = [c for service in _SERVICES for c in service.offered(ask)]
    found = [c for c in found if not c.standard.startswith(_VOSI)]
    hips = Interface(ask.publisher.at("/vo/hips"), version="1.0", results=())
    tables = Interface(ask.publisher.at("/vo/tap/tables"), use="full")
    return [*found, Capability(_HIPS, (hips,)), *own(ask.publisher.at("/vo")),
            Capability(f"{_VOSI}tables-1.1", (tables,))]  # fmt: skip


def published(ask: VoAsk) -> list[Resource | Gone]:
    """The records of the registry, that of the registry itself first, then those that are gone.

    They tell the world: whoever asks gets what guests may see. Each has the date since when it is
    as it is, so that a harvester who asks for what is new learns of what was published or hidden.

    Raises UsageError (no_registry) where the operator has not said who publishes: a record without
    an authority or a contact would be a false one.
    """
    if not ask.publisher.named:
        raise UsageError(
            "this archive is not registered: its operator has named no authority and no contact",
            code="no_registry", where="/vo/registry",
            remedy="start it with --authority, one that is yours, and --contact",
        )  # fmt: skip
    people = ask.served.people
    holding = ask.served.holdings.newest(people.visibility(GUEST))
    key = ("vo_records", ask.publisher, ask.settings.maxrec, ask.settings.maxrec_most)
    found = holding.cached(key, lambda: records(ask.publisher, _published(ask, holding.archive)))
    told = people.registry.told({r.ivoid: _digest(r) for r in found})
    mine = f"ivo://{ask.publisher.authority}"  # another authority's records are not ours to take
    gone = [Gone(ivoid, _moment(known.changed)) for ivoid, known in told.items()
            if known.gone and (ivoid == mine or ivoid.startswith(f"{mine}/"))]  # fmt: skip
    return [*(replace(r, updated=_moment(told[r.ivoid].changed)) for r in found), *gone]


def _digest(record: Resource) -> str:
    """What changes when a record does, by whatever address it was asked for."""
    text = replace(record, updated=record.created).xml()
    return blake3(text.replace(record.publisher.base, "").encode()).hexdigest()[:32]


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _published(ask: VoAsk, archive: Archive) -> Published:
    document = tableset(ArchiveTables(archive, ask.publisher).all).decode()
    schemas = document.partition("<schema>")
    inside = (schemas[1] + schemas[2]).rpartition("</vosi:tableset>")[0]
    return Published(
        offered(ask), inside, footprint(archive, archive.find()), _collections(archive),
        _created(archive), datetime.now(UTC), archive.restricted,
        own(ask.publisher.at("/vo/registry")),
    )  # fmt: skip


def _created(archive: Archive) -> datetime:
    """When the archive came to be."""
    try:
        first = load(archive.root, 1).created
    except UsageError:  # past manifests may have been removed
        first = archive.manifest.created
    return datetime.fromtimestamp(first, UTC)


def _collections(archive: Archive) -> list[Collection]:
    names = pc.unique(archive.column("obs_collection").take(pa.array(archive.find())))
    out = []
    for name in sorted(n for n in names.to_pylist() if n is not None):
        rows = rows_in(archive, [name])
        facts = footprint(archive, rows)
        out.append(Collection(name, facts, _different(archive, rows, "facility_name"),
                              _different(archive, rows, "instrument_name")))  # fmt: skip
    return out


def _different(archive: Archive, rows: Rows, column: str) -> tuple[str, ...]:
    found = pc.unique(archive.column(column).take(pa.array(rows))).to_pylist()
    return tuple(sorted(v for v in found if v))
