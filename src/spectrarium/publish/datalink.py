"""DataLink: everything there is to a dataset, as links and as services.

Source: IVOA DataLink 1.1; vocabulary http://www.ivoa.net/rdf/datalink/core.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from . import votable
from .dali import VOTABLE
from .likeness import SIMILAR, descriptor
from .publisher import Publisher
from .registry import ARCHIVE
from .soda import ASYNC, SYNC
from .soda import descriptor as soda_descriptor
from .votable import Field

STANDARD = "ivo://ivoa.net/std/DataLink#links-1.1"
FITS_TYPE, CSV_TYPE, PNG_TYPE = "application/fits", "text/csv", "image/png"
_FIELDS = (
    Field("ID", "char", "*", ucd="meta.id;meta.main", id="ID", about="As asked for"),
    Field("access_url", "char", "*", ucd="meta.ref.url", about="Where it is to be had"),
    Field("service_def", "char", "*", ucd="meta.ref", about="RESOURCE of the service"),
    Field("error_message", "char", "*", ucd="meta.code.error", about="Why there is no link"),
    Field("description", "unicodeChar", "*", ucd="meta.note", about="What it is"),
    Field("semantics", "char", "*", ucd="meta.code",
          about="How it relates to the dataset, in the words of "
          "http://www.ivoa.net/rdf/datalink/core"),
    Field("content_type", "char", "*", ucd="meta.code.mime", about="Its type"),
    Field("content_length", "long", unit="byte", ucd="phys.size;meta.file", about="Its size"),
    Field("content_qualifier", "char", "*", ucd="meta.code",
          about="Kind of product, in the words of http://www.ivoa.net/rdf/product-type"),
    Field("local_semantics", "char", "*", ucd="meta.code", about="Kind of link here"),
    Field("link_auth", "char", "*", ucd="meta.code", about="Whether one has to sign in"),
    Field("link_authorized", "boolean", ucd="meta.code", about="Whether the asker may have it"),
)  # fmt: skip
_SCHEMA = pa.schema([
    (f.name, {"long": pa.int64(), "boolean": pa.bool_()}.get(f.datatype, pa.string()))
    for f in _FIELDS
])  # fmt: skip


@dataclass(frozen=True, slots=True)
class About:
    """One identifier of a request, and what the archive knows of it.

    asked : identifier as it came · error : why there are no links, in DataLink's words
    record : catalogue row · native : (name, bytes) of the file it was read from, if it is there
    tags, scores : whether there are any of it · others : further spectra of the same target
    signed : one has to sign in to see it · calibrations : names of calibration arrays beside it
    """

    asked: str
    error: str = ""
    record: Mapping[str, Any] | None = None
    native: tuple[str, int] | None = None
    tags: bool = False
    scores: bool = False
    others: int = 0
    signed: bool = False
    calibrations: tuple[str, ...] = ()


Row = dict[str, Any]


def links(
    found: Sequence[About], publisher: Publisher, *, rows: int, similar: bool,
    serialisation: votable.Serialisation = "tabledata",
) -> Iterator[bytes]:  # fmt: skip
    """The links document, in pieces.

    rows : at most; more are an overflow · similar : whether anything can be asked for its like
    """
    made = [row for one in found for row in rows_of(one, publisher, similar=similar)]
    table = pa.Table.from_pylist(made[:rows], _SCHEMA)
    more = votable.info("QUERY_STATUS", "OVERFLOW") if len(made) > rows else ""
    return votable.document(
        table, fields=_FIELDS, serialisation=serialisation,
        infos=[("QUERY_STATUS", "OK"), ("standardID", STANDARD), ("SERVICE_PROTOCOL", "1.1")],
        about=f"What there is to datasets of {publisher.title}",
        after=_services(found, publisher, similar=similar), last=lambda: more,
    )  # fmt: skip


def rows_of(one: About, publisher: Publisher, *, similar: bool = True) -> list[Row]:
    """The links of one identifier; one row with `error_message` where there are none."""
    if one.record is None:
        return [{"ID": one.asked, "error_message": one.error, "semantics": "#this"}]
    did = publisher.did(one.record)
    out = [*_data(did, one, publisher), *_derived(did, one, publisher)]
    out += [_service("soda-sync", "#cutout", "Cut out by wavelength; vacuum or air, at rest, over "
                     "the continuum, resampled", "cutout"),
            _service("soda-async", "#cutout", "The same as a job, for many spectra",
                     "cutout-job")]  # fmt: skip
    if similar:
        out.append(_service("similar", "#proc", "Spectra most like it, with distances and reasons",
                            "similar-spectra", VOTABLE))  # fmt: skip
    auth = {"link_auth": "true" if one.signed else "false", "link_authorized": True}
    return [{"ID": one.asked, **row, **auth} for row in out]


def _link(
    url: str, semantics: str, about: str, kind: str, local: str, *, size: int | None = None,
    qualifier: str | None = None,
) -> Row:  # fmt: skip
    return {"access_url": url, "semantics": semantics, "description": about, "content_type": kind,
            "local_semantics": local, "content_length": size,
            "content_qualifier": qualifier}  # fmt: skip


def _service(id: str, semantics: str, about: str, local: str, kind: str | None = None) -> Row:
    return {"service_def": id, "semantics": semantics, "description": about, "content_type": kind,
            "local_semantics": local,
            "content_qualifier": "#spectrum" if semantics == "#cutout" else None}  # fmt: skip


def _data(did: str, one: About, publisher: Publisher) -> list[Row]:
    """The spectrum in every form there is."""

    def at(form: str) -> str:
        return publisher.at("/vo/spectrum", ID=did, FORMAT=form)

    out = [
        _link(at("votable"), "#this", "The spectrum: VOTable, Spectrum Data Model 1.2", VOTABLE,
              "sdm-votable", qualifier="#spectrum"),
        _link(at("fits"), "#this", "The spectrum: FITS table, Spectrum Data Model 1.2", FITS_TYPE,
              "sdm-fits", qualifier="#spectrum"),
        _link(at("csv"), "#this", "The spectrum: comma-separated values", CSV_TYPE, "csv",
              qualifier="#spectrum"),
        _link(at("preview"), "#preview", "A picture of the spectrum", PNG_TYPE, "preview",
              qualifier="#image"),
    ]  # fmt: skip
    if one.native is not None:
        name, size = one.native
        out.append(_link(at("native"), "#progenitor", f"The file as delivered: {name}",
                         native_type(name), "native", size=size))  # fmt: skip
    if one.calibrations:
        names = ", ".join(one.calibrations)
        out.append(_link(at("votable"), "#calibration", "What it was calibrated with, as columns "
                         f"beside its samples: {names}", VOTABLE, "calibration"))  # fmt: skip
    return out


def native_type(name: str) -> str:
    """The type of a file, by its name."""
    stem = name.lower().removesuffix(".gz")
    ends = {(".fits", ".fit", ".fts"): FITS_TYPE, (".vot", ".xml"): VOTABLE, (".csv",): CSV_TYPE,
            (".txt", ".dat", ".ascii", ".lnw"): "text/plain"}  # fmt: skip
    for endings, kind in ends.items():
        if stem.endswith(endings):
            return kind if stem == name.lower() or kind == FITS_TYPE else "application/gzip"
    return "application/octet-stream"


def _derived(did: str, one: About, publisher: Publisher) -> list[Row]:
    """What was worked out of it, and what else was observed of its target."""
    out = []
    for name, about, there in (
        ("tags", "Tags read off it, with calibrated intervals", one.tags),
        ("scores", "How unlike others it is: outlier scores", one.scores),
    ):  # fmt: skip
        if there:
            quoted = did.replace("'", "''")
            query = f"SELECT * FROM spectra.{name} WHERE obs_publisher_did = '{quoted}'"
            out.append(_link(publisher.at("/vo/tap/sync", LANG="ADQL", QUERY=query), "#derivation",
                             about, VOTABLE, name))  # fmt: skip
    record = one.record or {}
    if one.others and record.get("s_ra") is not None and record.get("s_dec") is not None:
        url = publisher.at("/vo/ssap", REQUEST="queryData", SIZE="0.000833",
                           POS=f"{record['s_ra']!r},{record['s_dec']!r}")  # fmt: skip
        out.append(_link(url, "#auxiliary", f"{one.others} more of the same target", VOTABLE,
                         "same-target"))  # fmt: skip
    return out


def _services(found: Sequence[About], publisher: Publisher, *, similar: bool) -> str:
    """The RESOURCEs of services; with limits where there is one dataset."""
    known = [one.record for one in found if one.record is not None]
    if found and not known:
        return ""
    record = None
    if len(known) == 1:
        record = {**known[0], "obs_publisher_did": publisher.did(known[0])}
    ivoid = publisher.ivoid(ARCHIVE) if publisher.named else ""
    out = "".join(
        soda_descriptor(publisher.at(f"/vo/soda/{path}"), standard, "ID", id=f"soda-{path}",
                        resource=ivoid, record=record)
        for path, standard in (("sync", SYNC), ("async", ASYNC))
    )  # fmt: skip
    if similar:
        out += descriptor(publisher.at(SIMILAR), "ID", record)
    return out
