"""A set of observations to take away: its catalogue rows, exactly as stored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..domain.errors import UsageError
from ..store.archive import Archive, Rows
from ..store.schema import BY_NAME
from .columns import MOST_COLUMNS, Columns

MOST_ROWS = 1_000_000
_NOT_BY_DEFAULT = frozenset({
    "metadata", "access_path", "access_member", "access_hdu", "access_row", "file_hash",
    "dataproduct_type", "warnings", "ingest_mjd", "obs_version", "reader", "pipeline",
})  # fmt: skip
"""Columns that are about the archive's own files: to be had by name."""
MOST_CHOSEN = 4 * MOST_COLUMNS


def exported(columns: Columns, rows: Rows, names: Sequence[str] | None = None) -> pa.Table:
    """Columns at `rows` in their order and their stored types; fields tell unit, ucd, description.

    names : None = the catalogue's and the labels' columns that say something of these rows, and
    ``class`` · A dot in a name becomes ``_``: ``sdss.z`` is ``sdss_z``.
    Raises UsageError (no_column, too_many_columns, nothing_selected, too_large).
    """
    if not len(rows):
        raise UsageError("nothing was selected to export", code="nothing_selected",
                         remedy="select something, or loosen the condition")  # fmt: skip
    if len(rows) > MOST_ROWS:
        raise UsageError(f"{len(rows):,} rows are too many for one file", code="too_large",
                         where="rows", remedy=f"export {MOST_ROWS:,} at a time")  # fmt: skip
    chosen = list(dict.fromkeys(names)) if names is not None else _default(columns)
    if len(chosen) > MOST_CHOSEN:
        raise UsageError(f"{len(chosen)} columns are too many", code="too_many_columns",
                         where="columns", remedy=f"choose {MOST_CHOSEN} at most")  # fmt: skip
    found = {name: columns.column(name) for name in chosen}
    archive, take = columns.archive, pa.array(np.asarray(rows, np.int64))
    stored = [n for n in found if n in BY_NAME and n not in archive.derived]
    few = len(rows) <= 50_000  # then reading these rows is quicker than whole columns
    table = archive.catalogue(rows, stored) if few and stored else None
    arrays, fields = [], []
    taken: set[str] = set()
    for name, column in found.items():
        there = table is not None and name in stored
        values = table.column(name) if there and table is not None else (
            archive.any_column(name).take(take))  # fmt: skip
        if names is None and values.null_count == len(values):
            continue
        about = {"unit": column.unit, "ucd": column.ucd, "description": column.about}
        meta = {k: v for k, v in about.items() if v}
        fields.append(pa.field(_plain(name, taken), values.type, metadata=meta))
        arrays.append(values)
    return pa.table(arrays, schema=pa.schema(fields))


def _default(columns: Columns) -> list[str]:
    joined = {n.rsplit(".", 1)[-1] for n, c in columns.all.items() if c.source.startswith("labels/")
              and "." in n}  # fmt: skip
    return [
        n for n, c in columns.all.items()
        if n not in _NOT_BY_DEFAULT and (c.source == "catalogue" or n == "class" or (
            c.source.startswith("labels/") and not ("." not in n and n in joined)))
    ]  # fmt: skip


def _plain(name: str, taken: set[str]) -> str:
    """A name without dots and colons, never the same twice."""
    plain = "".join(c if c.isalnum() or c in "_-" else "_" for c in name)
    stem, number = plain, 1
    while plain.lower() in taken:
        number += 1
        plain = f"{stem}_{number}"
    taken.add(plain.lower())
    return plain


def identities(archive: Archive, rows: Rows) -> list[str]:
    """``COLLECTION:OBS_ID`` of each row: what names it in every version."""
    table = archive.catalogue(rows, ["obs_collection", "obs_id"])
    out: list[str] = pc.binary_join_element_wise(table.column(0), table.column(1), ":").to_pylist()
    return out
