"""Answers of the Simple Cone Search. Source: IVOA SCS 1.03."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..domain.errors import SpectrariumError
from ..store.archive import Rows
from .dali import LINKS, VOTABLE, Params, message_of, votable_alone
from .obscore import Catalogue, dids, links
from .publisher import Publisher
from .ssap import links_descriptor
from .vosi import Capability, Interface, own
from .votable import Field, attribute, document, text

STANDARD = "ivo://ivoa.net/std/ConeSearch"
RADIUS_MOST = 180.0
_FIELDS: tuple[tuple[int, Field], ...] = (
    (1, Field("id", "char", "*", ucd="ID_MAIN", about="Publisher's dataset identifier", id="id")),
    (1, Field("ra", "double", unit="deg", ucd="POS_EQ_RA_MAIN", about="Right ascension, ICRS")),
    (1, Field("dec", "double", unit="deg", ucd="POS_EQ_DEC_MAIN", about="Declination, ICRS")),
    (1, Field("distance", "double", unit="deg", ucd="POS_ANG_DIST_GENERAL",
              about="From the place asked for")),
    (1, Field("target_name", "unicodeChar", "*", ucd="meta.id;src", about="Object observed")),
    (1, Field("access_url", "char", "*", ucd="meta.ref.url", about="Links to the spectrum")),
    (1, Field("access_format", "char", "*", ucd="meta.code.mime", about="Type of what is there")),
    (2, Field("obs_collection", "unicodeChar", "*", ucd="meta.id", about="Collection")),
    (2, Field("target_class", "unicodeChar", "*", ucd="src.class", about="Class of the object")),
    (2, Field("redshift", "double", ucd="src.redshift", about="Redshift, of the file's pipeline")),
    (2, Field("snr", "double", ucd="stat.snr", about="Signal to noise per sample")),
    (2, Field("t_min", "double", unit="d", ucd="time.start;obs.exposure",
              about="Start of the exposure, MJD (UTC)")),
    (2, Field("instrument_name", "unicodeChar", "*", ucd="meta.id;instr", about="Instrument")),
    (3, Field("obs_id", "unicodeChar", "*", ucd="meta.id", about="The survey's own identifier")),
    (3, Field("t_exptime", "double", unit="s", ucd="time.duration;obs.exposure",
              about="Exposure time")),
    (3, Field("em_res_power", "double", ucd="spect.resolution", about="Resolving power")),
    (3, Field("em_xel", "long", ucd="meta.number", about="Number of samples")),
    (3, Field("rv_kms", "double", unit="km/s", ucd="spect.dopplerVeloc",
              about="Radial velocity that the file gives")),
)  # fmt: skip
"""(least VERB, column); UCD1 where the standard demands it."""
_MADE = frozenset({"id", "ra", "dec", "distance", "access_url", "access_format"})


def cone_of(params: Params) -> tuple[float, float, float, int]:
    """(ra, dec, radius in deg, verbosity). Raises DaliError."""
    for name in ("RA", "DEC", "SR"):
        params.need(name)
    ra = params.number("RA", least=-360.0, most=360.0)
    dec = params.number("DEC", least=-90.0, most=90.0)
    radius = params.number("SR", least=0.0, most=RADIUS_MOST)
    verb = params.integer("VERB", 2, least=1, most=3)
    votable_alone(params, "RESPONSEFORMAT")
    assert ra is not None
    assert dec is not None
    assert radius is not None
    assert verb is not None
    return ra % 360.0, dec, radius, verb


def answer(
    catalogue: Catalogue, publisher: Publisher, rows: Rows, distance: NDArray[np.float64],
    verb: int, most: int,
) -> Iterator[bytes]:  # fmt: skip
    """The answer, in pieces.

    catalogue : (rows, columns) → table · rows, distance (deg) : (n,) the nearest first
    most : rows; where there are more the status is OVERFLOW
    """
    fields = [f for least, f in _FIELDS if least <= verb]
    columns = [f.name for f in fields if f.name not in _MADE]
    needed = list(dict.fromkeys([*columns, "obs_collection", "obs_id", "s_ra", "s_dec"]))
    found = catalogue(rows[:most], needed)
    did = dids(publisher, found.column("obs_collection"), found.column("obs_id"))
    made = {
        "id": did, "ra": found.column("s_ra"), "dec": found.column("s_dec"),
        "distance": pa.array(distance[:most]), "access_url": links(publisher, did),
        "access_format": pa.repeat(pa.scalar(LINKS), len(did)),
    }  # fmt: skip
    table = pa.table([_known(made.get(f.name) if f.name in made else found.column(f.name))
                      for f in fields], names=[f.name for f in fields])  # fmt: skip
    over = len(rows) > most
    return document(
        table, fields=fields, serialisation="tabledata", after=links_descriptor(publisher, "id"),
        infos=[("QUERY_STATUS", "OVERFLOW" if over else "OK")], before=_FRAME,
        about=f"Spectra of {publisher.title}",
    )  # fmt: skip


_FRAME = '<COOSYS ID="icrs" system="ICRS"/>\n'


def _known(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))


def told(error: SpectrariumError) -> tuple[bytes, str]:
    """(document, type) of an error as cone search has it: an INFO of the name Error."""
    what = message_of(error)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<VOTABLE version="1.4" '
        'xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
        f'<INFO ID="Error" name="Error" value={attribute(what)}/>\n'
        f'<RESOURCE type="results"><INFO name="QUERY_STATUS" value="ERROR">{text(what)}</INFO>'
        "</RESOURCE>\n</VOTABLE>\n"
    ).encode(), VOTABLE


def capability(base: str, most: int) -> list[Capability]:
    """What the service at `base` can do."""
    extra = (
        f"<maxSR>{RADIUS_MOST:g}</maxSR>\n<maxRecords>{most}</maxRecords>\n"
        "<verbosity>true</verbosity>\n"
        "<testQuery><ra>180.0</ra><dec>0.0</dec><sr>1.0</sr></testQuery>\n"
    )
    found = Capability(
        STANDARD, (Interface(base, version="1.03", results=(VOTABLE,)),), "cs:ConeSearch",
        'xmlns:cs="http://www.ivoa.net/xml/ConeSearch/v1.0"', extra,
    )  # fmt: skip
    return [found, *own(base)]
