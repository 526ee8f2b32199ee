"""What is said to other programs of a desktop: messages of SAMP, and tables made to be sent.

Source: IVOA SAMP 1.3, section 3.3 (SAMP's text is printable ASCII) and the list of MTypes.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ..domain.errors import UsageError
from .dali import VOTABLE
from .source import Record

TABLE, SPECTRUM, POINT = "table.load.votable", "spectrum.load.ssa-generic", "coord.pointAt.sky"
ROW, ROWS = "table.highlight.row", "table.select.rowList"
_META = {
    "Target.Name": "target_name", "Target.Class": "target_class", "DataID.Title": "title",
    "DataID.Collection": "obs_collection", "DataID.Instrument": "instrument_name",
    "Curation.PublisherDID": "obs_publisher_did", "Char.SpectralAxis.Coverage.Bounds.Start":
    "em_min", "Char.SpectralAxis.Coverage.Bounds.Stop": "em_max", "Target.Redshift": "redshift",
}  # fmt: skip
"""SSA's names of what a spectrum's record says; wavelengths are in m there, too (SSAP 1.1, 4.2)."""


@dataclass(frozen=True, slots=True)
class Message:
    """mtype : what is asked for · params : text, lists and maps of text"""

    mtype: str
    params: Mapping[str, Any]

    def record(self) -> dict[str, Any]:
        """As hubs take it."""
        return {"samp.mtype": self.mtype, "samp.params": dict(self.params)}


def table_message(url: str, table_id: str, name: str) -> Message:
    """Load a VOTable; `table_id` is what later messages call it by."""
    return Message(TABLE, {"url": url, "table-id": table_id, "name": ascii_text(name)})


def spectrum_message(url: str, meta: Mapping[str, str], name: str) -> Message:
    """Load a spectrum; meta : of `spectrum_meta`"""
    return Message(SPECTRUM, {"url": url, "spectrum-id": url, "name": ascii_text(name),
                              "meta": {**meta, "Access.Reference": url}})  # fmt: skip


def point_message(ra: float, dec: float) -> Message:
    """Show a position, ICRS deg. Raises UsageError (no_position) where there is none."""
    if not (math.isfinite(ra) and math.isfinite(dec)):
        raise UsageError("it has no position to point at", code="no_position",
                         remedy="send the spectrum itself")  # fmt: skip
    return Message(POINT, {"ra": repr(float(ra)), "dec": repr(float(dec))})


def row_message(table_id: str, url: str, row: int) -> Message:
    """Mark one row of a table that was sent; rows count from 0."""
    return Message(ROW, {"table-id": table_id, "url": url, "row": str(row)})


def rows_message(table_id: str, url: str, rows: Sequence[int]) -> Message:
    """Select these rows of a table that was sent, and no others."""
    return Message(ROWS, {"table-id": table_id, "url": url, "row-list": [str(r) for r in rows]})


def spectrum_meta(record: Record, media_type: str) -> dict[str, str]:
    """What a receiver may know before it loads a spectrum: SSA's utypes → text."""
    meta = {"Access.Format": media_type}
    for utype, name in _META.items():
        value = record.get(name)
        if value is not None and value == value:
            meta[utype] = ascii_text(str(value))
    ra, dec = (number_of(record, name) for name in ("s_ra", "s_dec"))
    if math.isfinite(ra) and math.isfinite(dec):
        meta["Char.SpatialAxis.Coverage.Location.Value"] = f"{ra!r} {dec!r}"
    return meta


def number_of(record: Record, name: str) -> float:
    """A number of a record; NaN where it says nothing."""
    value = record.get(name)
    return math.nan if value is None else float(value)


def title_of(record: Record) -> str:
    """What a spectrum is called among programs: its target, and its id."""
    target, obs_id = record.get("target_name"), record.get("obs_id")
    return f"{target} ({obs_id})" if target and target != obs_id else str(obs_id)


def ascii_text(text: str) -> str:
    """Text as SAMP allows it: letters without their accents, ``?`` for what ASCII has not."""
    plain = unicodedata.normalize("NFKD", text).replace("−", "-").replace("–", "-")
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return "".join(c if c in "\t\n\r" or " " <= c <= "~" else "?" for c in plain)


def with_addresses(table: pa.Table, addresses: Sequence[str]) -> pa.Table:
    """The table with where each row's spectrum is to be had, as a VOTable.

    By these columns (ObsCore 1.1, 4.12 and 4.13) clients find what belongs to a row.
    """
    kinds = pa.array([VOTABLE] * len(addresses), pa.string())
    for name, values, ucd, utype, about in (
        ("access_url", pa.array(addresses, pa.string()), "meta.ref.url",
         "obscore:Access.Reference", "The spectrum itself"),
        ("access_format", kinds, "meta.code.mime", "obscore:Access.Format", "Its format"),
    ):  # fmt: skip
        if name not in table.column_names:
            said = {"ucd": ucd, "utype": utype, "description": about}
            table = table.append_column(pa.field(name, values.type, metadata=said), values)
    return table
