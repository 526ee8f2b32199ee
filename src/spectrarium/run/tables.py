"""An archive as tables for queries: observations, tags, scores, vectors, labels and models.

Every table joins the others by ``obs_publisher_did``; rows are made when they are first asked for.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..store.archive import LEARNT, Archive
from ..store.schema import CATALOGUE, ColumnSpec
from .quantities import ucd_of, unit_of
from .table_columns import Column, VoTable, identifiers, served, served_type, table_of
from .table_kinds import embedding_tables, model_table, score_table, tag_table
from .table_rows import DID, OBSERVATIONS, TableRows, did_column, observed

_NOT_SERVED = ("access_path", "obs_publisher_did", "dataproduct_type", "metadata")
"""Folders of the server are nobody's business, headers are too long for a table in memory; the rest
is there under another name or always the same."""
_PRINCIPAL = ("obs_collection", "obs_id", "target_name", "s_ra", "s_dec", "t_min", "em_min",
              "em_max", "instrument_name", "snr", "redshift")  # fmt: skip
_INDEXED = ("s_ra", "s_dec")
_WIDE = ("target_name", "target_class", "warnings", "bib_reference")


def tables_of(source: TableRows) -> dict[str, VoTable]:
    """Every table by its full name; columns are known, rows are not made yet."""
    found = [observations(source), *tag_table(source), *score_table(source)]
    found += [*embedding_tables(source), *label_tables(source), *model_table(source)]
    return {t.name: t for t in found}


def observations(source: TableRows) -> VoTable:
    """The catalogue: one row an observation."""
    specs = [c for c in CATALOGUE if c.public and c.name not in _NOT_SERVED]
    columns = [did_column(), *map(_of_catalogue, specs)]
    columns += [Column(n, served_type(pa.string() if d.text else pa.float64()), d.about, d.unit,
                       d.ucd, principal=n == "class", wide=d.text)
                for n, d in source.archive.derived.items()
                if n in ("class", "gal_l", "gal_b")]  # fmt: skip
    columns += [
        Column("file_name", pa.string(), "Name of the file it was read from",
               ucd="meta.id;meta.file", wide=True),
        Column("healpix29", pa.int64(), "Nested HEALPix index of order 29; rows are in its "
               "order", ucd="pos.healpix", indexed=True),
    ]  # fmt: skip
    about = "One row per observation: what files and surveys say of it, as far as it is known"
    every = tuple(columns)

    def some(names: Collection[str]) -> pa.Table:
        return _observed(source, tuple(c for c in every if c.name in names))

    return VoTable(OBSERVATIONS, about, every, partial(_observed, source, every),
                   len(source.archive), some=some)  # fmt: skip


def _observed(source: TableRows, columns: tuple[Column, ...]) -> pa.Table:
    rows = source.rows
    names = {c.name for c in columns}
    stored = [c.name for c in CATALOGUE if c.name in names - {DID}]
    paths = ["access_path"] if "file_name" in names else []
    table = source.archive.catalogue(rows, [*stored, *paths])
    values: dict[str, Any] = {name: table.column(name) for name in stored}
    if DID in names:
        values[DID] = source.did
    if paths:
        values["file_name"] = pc.replace_substring_regex(table.column("access_path"),
                                                         r".*[/\\]", "")  # fmt: skip
    if "healpix29" in names:
        cells = source.cells(rows)
        values["healpix29"] = pa.array(cells, mask=cells < 0)
    for column in columns:
        if column.name not in values:
            values[column.name] = source.archive.any_column(column.name).take(pa.array(rows))
    return table_of(columns, [values[c.name] for c in columns])


def label_tables(source: TableRows) -> list[VoTable]:
    """A table for each label set: one row for each observation that it knows."""
    sets = source.archive.names("labels")
    out = []
    for own, name in zip(sets, identifiers(sets), strict=True):
        schema = source.archive.dataset(f"labels/{own}").lance.schema
        fields = [f for f in schema if f.name != "uid"]
        plain = identifiers([DID, *(f.name for f in fields)])[1:]
        columns = [did_column()]
        for f, called in zip(fields, plain, strict=True):
            columns.append(_of_label(source.archive, own, f, called))
        about = f"Values that the catalogue {own} gives, one row per observation"
        if own == LEARNT:
            about = "Learnt tags, one row per observation; spectra.tags says more of them"
        make = partial(_labelled, source, own, tuple(f.name for f in fields), tuple(columns))
        out.append(VoTable(f"spectra.labels_{name}", about, tuple(columns), make,
                           source.archive.held(f"labels/{own}"), joins=(observed(),)))  # fmt: skip
    return out


def _labelled(
    source: TableRows, own: str, fields: tuple[str, ...], columns: tuple[Column, ...]
) -> pa.Table:
    table, place = source.living(f"labels/{own}")
    values = [served(table.column(f)) for f in fields]
    return table_of(columns, [source.dids_at(place), *values])


def _of_catalogue(spec: ColumnSpec) -> Column:
    about = spec.about + ("; 1 = yes" if pa.types.is_boolean(spec.type) else "")
    return Column(spec.name, served_type(spec.type), about, spec.unit, spec.ucd,
                  principal=spec.name in _PRINCIPAL, indexed=spec.name in _INDEXED,
                  wide=spec.name in _WIDE)  # fmt: skip


def _of_label(archive: Archive, own: str, field: pa.Field, name: str) -> Column:
    meta = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
    about = meta.get("description") or meta.get("about") or f"{meta.get('name', field.name)}, as " \
        f"{meta.get('source', own)} gives it"  # fmt: skip
    if pa.types.is_boolean(field.type):
        about += "; 1 = yes"
    kind = served_type(field.type)
    words = kind == pa.string()
    return Column(name, kind, about, unit_of(archive, f"{own}.{field.name}"),
                  meta.get("ucd") or ucd_of(field.name, words), wide=words)  # fmt: skip
