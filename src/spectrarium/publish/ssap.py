"""Answers of the Simple Spectral Access service. Source: IVOA SSAP 1.1."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..run.record import Native
from ..store.archive import Rows
from .datalink import native_type
from .obscore import SAMPLE_BYTES, Catalogue, by_unit, dids, escaped, vacuum_m
from .publisher import Publisher
from .soda import SYNC
from .soda import descriptor as soda_descriptor
from .ssap_fields import FIELDS, inputs, same
from .ssap_query import FORMATS, NATIVE, Wish
from .units import ucd_by_unit, vounit
from .vosi import Capability, Interface, own
from .votable import Field, document

STANDARD = "ivo://ivoa.net/std/SSA"
_NAMESPACE = ' xmlns:ssa="http://www.ivoa.net/xml/DalSsap/v1.1"'
_ASKED = (
    "obs_collection", "obs_id", "obs_creator_did", "target_name", "target_class", "redshift",
    "s_ra", "s_dec", "t_min", "t_max", "t_exptime", "em_min", "em_max", "em_res_power", "em_xel",
    "medium", "instrument_name", "snr", "flux_unit", "flux_calibration", "bib_reference",
    "ingest_mjd",
)  # fmt: skip
_S = pa.string()
_OF_THE_MODEL = frozenset({"votable", "fits"})
"""Formats that follow the Spectrum Data Model."""
_SUFFIXES = {"votable": "", "fits": "&FORMAT=fits", "graphic": "&FORMAT=preview",
             NATIVE: "&FORMAT=native"}  # fmt: skip
_BLOCK = 256
_LOOKED_AT = 100_000
"""Rows after which files are looked for no more: where most are gone, an answer is cut here."""
Natives = Callable[[Rows], Sequence[Native | None]]
"""Rows → the files they were read from, None where these are not to be had."""


def ssap_table(
    catalogue: Catalogue, publisher: Publisher, rows: Rows, formats: Sequence[str],
    files: Sequence[Native | None] = (),
) -> pa.Table:  # fmt: skip
    """One row per spectrum and format, the formats of a spectrum together: columns of `FIELDS`.

    catalogue : (rows, columns) → table · rows : (n,) in the order of their rank · formats : keys
    of `FORMATS` · files : (n,) as delivered, where `native` is among them; None has no such row
    """
    found = catalogue(rows, _ASKED)
    listed = np.ones((len(rows), len(formats)), bool)
    if NATIVE in formats:
        listed[:, formats.index(NATIVE)] = [f is not None for f in files]
    place, form = np.nonzero(listed)
    columns = _columns(found, publisher)
    for name, column in columns.items():
        columns[name] = column.take(pa.array(place))
    given = [files[k] for k in place.tolist()] if NATIVE in formats else []
    columns |= _access(columns, formats, pa.array(form), given)
    return pa.table([columns[f.name] for f in FIELDS], names=[f.name for f in FIELDS])


def _access(
    columns: dict[str, pa.Array], formats: Sequence[str], form: pa.Array,
    files: Sequence[Native | None],
) -> dict[str, pa.Array]:  # fmt: skip
    """What differs between the formats of a spectrum.

    columns : (m,) of the spectra · form : (m,) places in `formats` · files : (m,), or none
    """
    made = pa.array([w in _OF_THE_MODEL for w in formats], pa.bool_()).take(form)
    suffix = pa.array([_SUFFIXES[w] for w in formats], _S).take(form)
    mime, size = pa.array([FORMATS[w] for w in formats], _S).take(form), pa.scalar(None, pa.int64())
    if files:
        native = pc.equal(form, formats.index(NATIVE))
        kinds = pa.array([None if f is None else native_type(f.name) for f in files], _S)
        sizes = [None if f is None else -(-f.nbytes // 1000) for f in files]
        mime = pc.if_else(native, kinds, mime)
        size = pc.if_else(native, pa.array(sizes, pa.int64()), size)
    return {
        "ssa_acref": pc.binary_join_element_wise(columns["ssa_acref"], suffix, ""),
        "ssa_mime": mime, "ssa_size": pc.if_else(made, columns["ssa_size"], size),
        "ssa_datamodel": pc.if_else(made, columns["ssa_datamodel"], pa.scalar(None, _S)),
    }  # fmt: skip


def _columns(found: pa.Table, publisher: Publisher) -> dict[str, pa.Array]:
    """(n,) all columns, of the spectra as VOTables."""
    n = len(found)
    did = dids(publisher, found.column("obs_collection"), found.column("obs_id"))
    start, end, exposure = (_numbers(found, c) for c in ("t_min", "t_max", "t_exptime"))
    middle = np.where(np.isfinite(end), (start + end) / 2, start)
    lo, hi = vacuum_m(found)
    place = np.stack([_numbers(found, "s_ra"), _numbers(found, "s_dec")], axis=1)
    xel = pc.fill_null(found.column("em_xel").combine_chunks(), 0).cast(pa.int64())
    name = pc.coalesce(found.column("target_name"), found.column("obs_id"))
    unit = found.column("flux_unit")
    made: dict[str, pa.Array | pa.ChunkedArray] = {
        "ssa_acref": pc.binary_join_element_wise(publisher.at("/vo/spectrum") + "?ID=",
                                                 escaped(did), ""),
        "ssa_size": pc.add(pc.divide(pc.multiply(xel, SAMPLE_BYTES), 1000), 10),
        "ssa_datamodel": _all("Spectrum-1.0", n), "ssa_type": _all("Spectrum", n),
        "ssa_length": xel,
        "ssa_title": pc.binary_join_element_wise(found.column("obs_collection"), name, " "),
        "ssa_collection": found.column("obs_collection"),
        "ssa_creatorDID": found.column("obs_creator_did"),
        "ssa_date": _iso(_numbers(found, "ingest_mjd")),
        "ssa_instrument": found.column("instrument_name"),
        "ssa_creationtype": _all("archival", n), "ssa_datasource": _all("survey", n),
        "ssa_pubDID": did, "ssa_reference": found.column("bib_reference"),
        "ssa_targname": found.column("target_name"), "ssa_targclass": found.column("target_class"),
        "ssa_redshift": _array(_numbers(found, "redshift")), "ssa_targetpos": _pairs(place),
        "ssa_snr": _array(_numbers(found, "snr")), "ssa_location": _pairs(place),
        "ssa_aperture": pa.nulls(n, pa.float64()), "ssa_timeloc": _array(middle),
        "ssa_timeext": _array(exposure), "ssa_timestart": _array(start),
        "ssa_timestop": _array(end), "ssa_specmid": _array((lo + hi) / 2),
        "ssa_specext": _array(hi - lo), "ssa_specstart": _array(lo), "ssa_specend": _array(hi),
        "ssa_specres": _array(_numbers(found, "em_res_power")),
        "ssa_fluxcalib": pc.utf8_upper(found.column("flux_calibration")),
        "ssa_fluxucd": by_unit(unit, ucd_by_unit), "ssa_fluxunit": by_unit(unit, vounit),
        "ssa_specucd": _all("em.wl", n), "ssa_speccalib": _all("ABSOLUTE", n),
        "ssa_score": pa.array(np.linspace(1.0, 0.0, n, endpoint=False)),
    }  # fmt: skip
    return {k: v.combine_chunks() if isinstance(v, pa.ChunkedArray) else v
            for k, v in made.items()}  # fmt: skip


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
    catalogue: Catalogue, publisher: Publisher, wish: Wish, rows: Rows, most: int, natives: Natives
) -> Iterator[bytes]:
    """The answer to a query, in pieces. most : rows; where there are more the status is OVERFLOW

    A spectrum is listed in all its formats or not at all, but for the first of an answer that is
    shorter. natives : asked only where files as delivered are
    """
    kept, files, over = _listed(rows, wish.formats, natives, most)
    table = ssap_table(catalogue, publisher, kept, wish.formats, files)
    table, over = table.slice(0, most), over or len(table) > most
    status = [("QUERY_STATUS", "OVERFLOW" if over else "OK"), ("SERVICE_PROTOCOL", "1.1")]
    run = wish.params.one("RUNID")
    infos = [*status, *([("RUNID", run[:64])] if run else []), *(("note", n) for n in wish.notes)]
    return document(
        table, fields=FIELDS, infos=infos, params=same(publisher.title), before=_FRAME,
        namespaces=_NAMESPACE, after=services(publisher), serialisation="tabledata",
        about=f"Spectra of {publisher.title}",
    )  # fmt: skip


def _listed(
    rows: Rows, formats: Sequence[str], natives: Natives, most: int
) -> tuple[Rows, list[Native | None], bool]:
    """(spectra of an answer, files of these if they are asked for, whether there are more)."""
    if not formats:
        return rows[:0], [], False
    made = len(formats) - (NATIVE in formats)
    whole = max(1, most // made) if made else most
    if NATIVE not in formats:
        return rows[:whole], [], len(rows) > whole
    kept: list[int] = []
    files: list[Native | None] = []
    number, block = 0, max(whole + 1, _BLOCK)
    for start in range(0, len(rows), block):
        if start >= _LOOKED_AT:
            return np.array(kept, np.int64), files, True
        some = rows[start : start + block]
        for row, file in zip(some.tolist(), natives(some), strict=True):
            more = made + (file is not None)
            if more and number + more > most and (kept or not most):
                return np.array(kept, np.int64), files, True
            if more:
                kept.append(row)
                files.append(file)
            number += more
    return np.array(kept, np.int64), files, False


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
