"""All tables that an archive publishes: ObsCore, its own ones, and TAP_SCHEMA about them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cached_property

import pyarrow as pa

from ..run.table_columns import Column, VoTable, table_of
from ..run.table_kinds import embedding_named, embeddings
from ..run.table_rows import OBSERVATIONS, TableRows, observed
from ..run.tables import tables_of
from ..store.archive import Archive
from .adql import ColumnMeta
from .obscore import OBSCORE, dids, obscore_table
from .publisher import Publisher
from .tap_schema import with_schema
from .units import vounit

NAME = "ivoa.obscore"
UTYPE = "ivo://ivoa.net/std/obscore#table-1.1"
_WIDE = ("target_name", "target_class", "bib_reference", "obs_title")
_CELL = Column("healpix29", pa.int64(), "Nested HEALPix index of order 29; rows are in its order",
               ucd="pos.healpix", indexed=True)  # fmt: skip

_LINKS = tuple(Column(c.name, c.type, c.about, ucd=c.ucd, principal=True)
               for c in OBSCORE if c.name in ("access_url", "access_format"))  # fmt: skip
_LINK_NAMES = frozenset(c.name for c in _LINKS)


class ArchiveTables:
    """The tables of one archive version, as far as it may be seen, for one publisher."""

    def __init__(self, archive: Archive, publisher: Publisher) -> None:
        self.archive = archive
        self.publisher = publisher
        self.source = TableRows(archive, lambda named: dids(
            publisher, named.column("obs_collection"), named.column("obs_id")))  # fmt: skip

    @cached_property
    def all(self) -> dict[str, VoTable]:
        """Every table by its full name, in the order in which they are listed."""
        own = {name: _in_vounits(t) for name, t in tables_of(self.source).items()}
        own[OBSERVATIONS] = self._linked(own[OBSERVATIONS])
        return with_schema({NAME: self._obscore(), **own})

    def _obscore(self) -> VoTable:
        columns = tuple(
            Column(c.name, c.type, c.about, c.unit, c.ucd, c.utype, c.xtype,
                   principal=c.principal, std=c.std, indexed=c.name in ("s_ra", "s_dec"),
                   wide=c.name in _WIDE)
            for c in OBSCORE
        )  # fmt: skip
        every = (*columns, _CELL)

        def some(names: Collection[str]) -> pa.Table:
            rows = self.source.rows
            wanted = tuple(c for c in every if c.name in names)
            table = obscore_table(self.archive, self.publisher, rows, names)
            values = [table.column(c.name) for c in wanted if c is not _CELL]
            if _CELL in wanted:
                cells = self.source.cells(rows)
                values.append(pa.array(cells, mask=cells < 0))
            return table_of(wanted, values)

        def made() -> pa.Table:
            return some([c.name for c in every])

        about = "Spectra by what they observe: ObsCore 1.1, one row per observation"
        return VoTable(NAME, about, every, made, len(self.archive), UTYPE, (observed(),), some)

    def _linked(self, table: VoTable) -> VoTable:
        """Observations with the links of each, which are made where a query names them."""
        given, every = table.some, (*table.columns[:1], *_LINKS, *table.columns[1:])
        assert given is not None

        def some(names: Collection[str]) -> pa.Table:
            wanted = tuple(c for c in every if c.name in names)
            links, own = _LINK_NAMES & set(names), set(names) - _LINK_NAMES
            found = [given(own)] if own else []
            if links:
                found.append(obscore_table(self.archive, self.publisher, self.source.rows, links))
            values = {n: t.column(n) for t in found for n in t.column_names}
            return table_of(wanted, [values[c.name] for c in wanted])

        return replace(table, columns=every, some=some,
                       arrow=lambda: some([c.name for c in every]))  # fmt: skip

    def embeddings(self) -> list[str]:
        """Tables of vectors, the one to ask first coming first."""
        found = embeddings(self.source).values()
        return [t.name for t in sorted(found, key=lambda t: (-(t.rows or 0), t.name))]

    def embedding_named(self, model: str) -> str:
        """The table of an embedding's vectors. Raises UsageError (unknown_model)."""
        return embeddings(self.source)[embedding_named(self.source, model)].name


def _in_vounits(table: VoTable) -> VoTable:
    columns = tuple(replace(c, unit=vounit(c.unit) or "") if c.unit else c for c in table.columns)
    return replace(table, columns=columns)


def catalogue_of(tables: Mapping[str, VoTable]) -> dict[str, dict[str, ColumnMeta]]:
    """Tables as the translator knows them: full name → column → what it is."""
    return {name: {c.name.strip('"'): _meta(c) for c in t.columns} for name, t in tables.items()}


def _meta(column: Column) -> ColumnMeta:
    return ColumnMeta(
        type=column.type, unit=column.unit, ucd=column.ucd, utype=column.utype, about=column.about,
        principal=column.principal, indexed=column.indexed, std=column.std, xtype=column.xtype,
        arraysize=column.arraysize,
    )  # fmt: skip
