"""Answers of the Simple Spectral Access service. Source: IVOA SSAP 1.1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..store.archive import Rows
from .obscore import SAMPLE_BYTES, Catalogue, by_unit, dids, escaped, flux_ucd, vacuum_m
from .publisher import Publisher
from .soda import SYNC
from .soda import descriptor as soda_descriptor
from .ssap_fields import FIELDS, inputs, same
from .ssap_query import FORMATS, Wish
from .vosi import Capability, Interface, own
from .votable import Field, document

STANDARD = "ivo://ivoa.net/std/SSA"
_NAMESPACE = ' xmlns:ssa="http://www.ivoa.net/xml/DalSsap/v1.1"'
_ASKED = (
    "obs_collection", "obs_id", "obs_creator_did", "target_name", "target_class", "redshift",
    "s_ra", "s_dec", "t_min", "t_max", "t_exptime", "em_min", "em_max", "em_res_power", "em_xel",
    "medium", "instrument_name", "snr", "flux_unit", "flux_calibration", "bib_reference",
    "access_path", "access_member",
)  # fmt: skip
_S = pa.string()


def ssap_table(
    catalogue: Catalogue, publisher: Publisher, rows: Rows, formats: Sequence[str]
) -> pa.Table:
    """One row per spectrum and format: the columns of `ssap_fields.FIELDS`.

    catalogue : (rows, columns) → table · rows : in the order of their rank · formats : keys of
    `FORMATS`
    """
    found = catalogue(rows, _ASKED)
    score = np.linspace(1.0, 0.0, len(rows), endpoint=False)
    parts = []
    for word in formats:
        take = found
        marks = score
        if word == "native":  # what lay in an archive file or came from the web is not handed out
            path, member = (found.column(c) for c in ("access_path", "access_member"))
            there = pc.and_(pc.is_null(member), pc.invert(pc.match_substring(path, "://")))
            take, marks = found.filter(pc.fill_null(there, False)), score[_mask(there)]
        parts.append(_rows(take, publisher, word, marks))
    return pa.concat_tables(parts).combine_chunks() if parts else _rows(found, publisher, "votable",
                                                                        score)  # fmt: skip


def _mask(there: pa.ChunkedArray) -> NDArray[np.bool_]:
    out: NDArray[np.bool_] = pc.fill_null(there, False).to_numpy().astype(bool)
    return out


def _rows(found: pa.Table, publisher: Publisher, word: str, score: NDArray[np.float64]) -> pa.Table:
    n = len(found)
    did = dids(publisher, found.column("obs_collection"), found.column("obs_id"))
    address = publisher.at("/vo/spectrum") + "?ID="
    suffix = "" if word == "votable" else f"&FORMAT={'preview' if word == 'graphic' else word}"
    start, exposure = (_numbers(found, c) for c in ("t_min", "t_exptime"))
    end = _numbers(found, "t_max")
    middle = np.where(np.isfinite(end), (start + end) / 2, start)
    lo, hi = vacuum_m(found)
    place = np.stack([_numbers(found, "s_ra"), _numbers(found, "s_dec")], axis=1)
    xel = pc.fill_null(found.column("em_xel").combine_chunks(), 0).cast(pa.int64())
    name = pc.coalesce(found.column("target_name"), found.column("obs_id"))
    calibration = pc.utf8_upper(found.column("flux_calibration")).combine_chunks()
    columns: dict[str, pa.Array] = {
        "ssa_acref": pc.binary_join_element_wise(address, escaped(did), suffix, ""),
        "ssa_mime": _all(FORMATS[word], n),
        "ssa_size": pc.add(pc.divide(pc.multiply(xel, SAMPLE_BYTES), 1000), 10),
        "ssa_datamodel": _all("Spectrum-1.0", n), "ssa_type": _all("Spectrum", n),
        "ssa_length": xel,
        "ssa_title": pc.binary_join_element_wise(found.column("obs_collection"), name, " "),
        "ssa_collection": found.column("obs_collection"),
        "ssa_creatorDID": found.column("obs_creator_did"), "ssa_date": _iso(start),
        "ssa_instrument": found.column("instrument_name"),
        "ssa_creationtype": _all("archival", n), "ssa_datasource": _all("survey", n),
        "ssa_pubDID": did, "ssa_reference": found.column("bib_reference"),
        "ssa_targname": found.column("target_name"), "ssa_targclass": found.column("target_class"),
        "ssa_redshift": _array(_numbers(found, "redshift")), "ssa_targetpos": _pairs(place),
        "ssa_snr": _array(_numbers(found, "snr")), "ssa_location": _pairs(place),
        "ssa_aperture": pa.nulls(n, pa.float64()), "ssa_timeloc": _array(middle),
        "ssa_timeext": _array(exposure), "ssa_specmid": _array((lo + hi) / 2),
        "ssa_specext": _array(hi - lo), "ssa_specstart": _array(lo), "ssa_specend": _array(hi),
        "ssa_specres": _array(_numbers(found, "em_res_power")),
        "ssa_fluxcalib": calibration, "ssa_fluxucd": by_unit(found.column("flux_unit"), flux_ucd),
        "ssa_fluxunit": found.column("flux_unit"), "ssa_specucd": _all("em.wl", n),
        "ssa_speccalib": _all("ABSOLUTE", n), "ssa_score": pa.array(score),
    }  # fmt: skip
    return pa.table([columns[f.name] for f in FIELDS], names=[f.name for f in FIELDS])


def _iso(mjd: NDArray[np.float64]) -> pa.Array:
    """(n,) MJD as ISO 8601 to the second."""
    good = np.isfinite(mjd)
    seconds = np.rint((np.where(good, mjd, 40587.0) - 40587.0) * 86_400.0).astype("datetime64[s]")
    text = np.datetime_as_string(seconds)
    return pa.array(text.astype(object), _S, mask=~good)


def _numbers(found: pa.Table, name: str) -> NDArray[np.float64]:
    out: NDArray[np.float64] = found.column(name).to_numpy().astype(np.float64)
    return out


def _array(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(values, mask=~np.isfinite(values))


def _pairs(values: NDArray[np.float64]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 2)


def _all(value: str, number: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, _S), number)


def answer(
    catalogue: Catalogue, publisher: Publisher, wish: Wish, rows: Rows, most: int
) -> Iterator[bytes]:
    """The answer to a query, in pieces. most : rows; where there are more the status is OVERFLOW"""
    fewer = max(1, -(-most // max(1, len(wish.formats)))) if most else 0
    table = ssap_table(catalogue, publisher, rows[: fewer + 1], wish.formats)
    over = len(table) > most or len(rows) > fewer
    table = table.slice(0, most)
    status = [("QUERY_STATUS", "OVERFLOW" if over else "OK"), ("SERVICE_PROTOCOL", "1.1")]
    run = wish.params.one("RUNID")
    infos = [*status, *([("RUNID", run[:64])] if run else []), *(("note", n) for n in wish.notes)]
    return document(
        table, fields=FIELDS, infos=infos, params=same(publisher.title), before=_FRAME,
        namespaces=_NAMESPACE, after=services(publisher), serialisation="tabledata",
        about=f"Spectra of {publisher.title}",
    )  # fmt: skip


def services(publisher: Publisher, column: str = "ssa_pubDID") -> str:
    """The services that take a row's identifier, as XML: links first, then cut-outs."""
    return links_descriptor(publisher, column) + soda_descriptor(
        publisher.at("/vo/soda/sync"), SYNC, column, id="soda-sync"
    )


_FRAME = '<COOSYS ID="icrs" system="ICRS"/>\n'


def metadata(publisher: Publisher) -> Iterator[bytes]:
    """The answer to FORMAT=METADATA: parameters, and the columns of answers as OUTPUT: ones."""
    outputs = [replace(f, name=f"OUTPUT:{f.name}", id="", value="" if f.datatype.endswith("har")
                       else None) for f in FIELDS]  # fmt: skip
    empty = pa.table([pa.nulls(0) for _ in FIELDS], names=[f.name for f in FIELDS])
    return document(
        empty, fields=FIELDS, namespaces=_NAMESPACE, serialisation="tabledata", before=_FRAME,
        infos=[("QUERY_STATUS", "OK"), ("SERVICE_PROTOCOL", "1.1")],
        params=[*inputs(), *outputs, *same(publisher.title)],
        about=f"Spectra of {publisher.title}",
    )  # fmt: skip


def links_descriptor(publisher: Publisher, column: str = "ssa_pubDID") -> str:
    """The service by which a client gets the links of a row, as XML (DataLink 1.1, section 4)."""
    url = Field("accessURL", "char", "*", value=publisher.at("/vo/datalink/links"))
    standard = Field("standardID", "char", "*", value="ivo://ivoa.net/std/DataLink#links-1.1")
    given = Field("ID", "char", "*", ucd="meta.id;meta.main", ref=column, value="")
    return (
        '<RESOURCE type="meta" utype="adhoc:service" name="links">\n'
        + standard.xml("PARAM") + url.xml("PARAM")
        + '<GROUP name="inputParams">\n' + given.xml("PARAM") + "</GROUP>\n</RESOURCE>\n"
    )  # fmt: skip


def capability(base: str, publisher: Publisher, most: int, usual: int) -> list[Capability]:
    """What the service at `base` can do."""
    kinds = "".join(f"<supportedFrame>{f}</supportedFrame>\n" for f in ("ICRS", "FK5", "GALACTIC"))
    extra = (
        "<complianceLevel>query</complianceLevel>\n<dataSource>survey</dataSource>\n"
        "<creationType>archival</creationType>\n"
        f"{kinds}<maxSearchRadius>180</maxSearchRadius>\n<maxRecords>{most}</maxRecords>\n"
        f"<defaultMaxRecords>{usual}</defaultMaxRecords>\n"
        "<testQuery>\n<pos><long>180.0</long><lat>0.0</lat></pos>\n<size>1.0</size>\n"
        "<queryDataCmd>REQUEST=queryData&amp;POS=180,0&amp;SIZE=1</queryDataCmd>\n</testQuery>\n"
    )  # fmt: skip
    found = Capability(
        STANDARD, (Interface(base, version="1.1", results=("application/x-votable+xml",)),),
        "ssap:SimpleSpectralAccess", 'xmlns:ssap="http://www.ivoa.net/xml/SSA/v1.1"', extra,
    )  # fmt: skip
    return [found, *own(base)]
