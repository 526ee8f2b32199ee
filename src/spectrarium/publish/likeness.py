"""What is like a spectrum, as a table of the Virtual Observatory, and the service described."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import pyarrow as pa

from . import votable
from .dali import LINKS, VOTABLE
from .obscore import OBSCORE
from .publisher import Publisher
from .soda import service
from .votable import Field, param

SIMILAR = "/vo/similar"
_BASE: tuple[tuple[Field, pa.DataType], ...] = (
    (Field("obs_publisher_did", "char", "*", ucd="meta.ref.ivoid;meta.main", id="ID",
           utype="obscore:Curation.PublisherDID", about="The spectrum that is alike"),
     pa.string()),
    (Field("rank", "int", ucd="meta.number", about="1 = most alike"), pa.int32()),
    (Field("distance", "double", ucd="stat.value",
           about="How far away it is by the model or the pixels; see INFO metric"), pa.float64()),
    (Field("pixel_distance", "double", ucd="stat.value",
           about="Difference of the pixels as a share of the level; where pixels were compared"),
     pa.float64()),
    (Field("chi2", "double", ucd="stat.fit.chi2",
           about="Of the two spectra on the common grid, per degree of freedom"), pa.float64()),
    (Field("model", "char", "*", ucd="meta.id;meta.software",
           about="Model that told, or the window of pixels"), pa.string()),
    (Field("why", "unicodeChar", "*", ucd="meta.note",
           about="Where the two differ, and what they have in common"), pa.string()),
    (Field("noise_source", "char", "*", ucd="meta.code", about="Where its noise is known from"),
     pa.string()),
    (Field("snr_compared", "double", ucd="stat.snr", about="Signal to noise as compared"),
     pa.float64()),
    (Field("access_url", "char", "*", ucd="meta.ref.url", utype="obscore:Access.reference",
           about="Everything there is to it (DataLink)"), pa.string()),
    (Field("access_format", "char", "*", ucd="meta.code.mime", utype="obscore:Access.format",
           about="Type of access_url"), pa.string()),
)  # fmt: skip
_OBSCORE = {column.name: column for column in OBSCORE}


def _of_obscore(name: str) -> tuple[Field, pa.DataType]:
    """A column as ObsCore describes it."""
    c = _OBSCORE[name]
    kind, size = ("unicodeChar", "*") if c.type == pa.string() else ("double", "")
    return Field(name, kind, size, unit=c.unit, ucd=c.ucd, utype=c.utype, about=c.about), c.type


COLUMNS = ("obs_collection", "obs_id", "target_name", "s_ra", "s_dec", "t_min", "t_max", "em_min",
           "em_max", "em_res_power", "instrument_name")  # fmt: skip
"""Catalogue columns that `table` wants of each answer."""
_RECORD: tuple[tuple[Field, pa.DataType], ...] = (
    *map(_of_obscore, COLUMNS),
    (Field("redshift", "double", ucd="src.redshift", about="Redshift, where one is known"),
     pa.float64()),
    (Field("class", "unicodeChar", "*", ucd="src.class", about="Class, where one is known"),
     pa.string()),
)  # fmt: skip


def table(
    found: Mapping[str, Any], records: Sequence[Mapping[str, Any]], publisher: Publisher,
    *, rows: int, after: str = "",
) -> Iterator[bytes]:  # fmt: skip
    """The VOTable of an answer, nearest first.

    Parameters
    ----------
    found : as `run.kin.kin` gives it · records : `COLUMNS` of each of its answers
    rows : at most; more are an overflow · after : further RESOURCEs, referring to the column ID
    """
    made = [_row(a, r, found, publisher) for a, r in zip(found["answers"], records, strict=True)]
    fields = [*_BASE[:1], *_BASE[1:7], *_RECORD, *_BASE[7:]]
    schema = pa.schema([(f.name, kind) for f, kind in fields])
    infos = [("QUERY_STATUS", "OK"), ("model", found["model"]), ("metric", found["metric"]),
             ("search", found["search"]), ("searched", str(found["searched"])),
             ("frame", found["frame"])]  # fmt: skip
    infos += [("note", note) for note in found["notes"]]
    infos += [("left_out", f"{n} {reason}") for reason, n in found["left_out"].items()]
    more = votable.info("QUERY_STATUS", "OVERFLOW") if len(made) > rows else ""
    return votable.document(
        pa.Table.from_pylist(made[:rows], schema), fields=[f for f, _ in fields],
        serialisation="tabledata", infos=infos, name="similar", last=lambda: more, after=after,
        about=f"Spectra most like {found['id']}",
    )  # fmt: skip


def _row(
    answer: Mapping[str, Any], record: Mapping[str, Any], found: Mapping[str, Any],
    publisher: Publisher,
) -> dict[str, Any]:  # fmt: skip
    did = publisher.did(record)
    redshift = answer["redshift"]
    return {
        **record, "obs_publisher_did": did, "rank": answer["rank"], "distance": answer["value"],
        "pixel_distance": answer["pixel_distance"], "chi2": answer["chi2"],
        "model": found["model"], "why": why(answer), "noise_source": answer["noise_source"],
        "snr_compared": answer["snr"], "class": answer["class"],
        "redshift": redshift if redshift == redshift else None,
        "access_url": publisher.at("/vo/datalink/links", ID=did), "access_format": LINKS,
    }  # fmt: skip


def why(answer: Mapping[str, Any]) -> str:
    """What sets the two apart and what they share, in one line."""
    apart, alike = answer.get("because") or [], answer.get("alike") or []
    parts = ["differ: " + "; ".join(apart)] if apart else []
    parts += ["alike: " + "; ".join(alike)] if alike else []
    return " | ".join(parts)


def descriptor(url: str, identifier: str, record: Mapping[str, Any] | None = None) -> str:
    """The service RESOURCE of similar spectra. See `soda.descriptor`."""
    said = [param("accessURL", url, ucd="meta.ref.url"), param("contentType", VOTABLE)]
    if record is not None:
        example = urlencode({"ID": record["obs_publisher_did"], "K": 10}, quote_via=quote)
        said.append(param("exampleURL", f"{url}?{example}"))
    return service(
        "similar", "Spectra most like one, by a learnt model, or by their pixels in a window, at a "
        "line or at rest", said, inputs(identifier),
    )  # fmt: skip


def inputs(identifier: str) -> list[Field]:
    """The PARAMs that the service takes."""
    return [
        Field("ID", "char", "*", ucd="meta.ref.url;meta.curation", ref=identifier, value="",
              about="Publisher's dataset identifier of the spectrum asked about"),
        Field("K", "int", ucd="meta.number", value="", least="1", most="100",
              about="How many; 12 without it"),
        Field("MODEL", "char", "*", ucd="meta.id;meta.software", value="",
              about="Embedding to ask; the first that covers the spectrum without it"),
        Field("WINDOW", "double", "2", "m", "em.wl;stat.interval", xtype="interval", value="",
              about="Compare pixels between these vacuum wavelengths instead"),
        Field("LINE", "char", "*", ucd="meta.id;spect.line", value="",
              about="Compare pixels around this line instead, such as Halpha"),
        Field("WIDTH", "double", unit="km/s", ucd="phys.veloc", value="",
              about="Half-width of the window around LINE; 1500 without it"),
        Field("FRAME", "char", "*", ucd="meta.code", value="", options=("delivered", "rest"),
              about="rest: compare pixels at rest"),
        Field("REDSHIFT", "double", ucd="src.redshift", value="",
              about="Of the spectrum asked about, if the archive's is not to be taken"),
        Field("RERANK", "char", "*", ucd="meta.code", value="", options=("true", "false"),
              about="true: order the nearest by model and pixels together"),
    ]  # fmt: skip
