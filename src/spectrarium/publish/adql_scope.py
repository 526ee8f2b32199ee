"""Which column a name means: tables, aliases and columns that a place in a query can see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlglot import exp

from .adql_parse import place_of
from .adql_values import AdqlError, ColumnMeta, Kind, Piece, kind_of, near

Catalogue = Mapping[str, Mapping[str, ColumnMeta]]
_POSITIONS = (("s_ra", "s_dec"), ("ra", "dec"))
CELL = "healpix29"
"""Column of nested HEALPix order 29 that a table may have, of its own positions."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name as it is written. quoted : between double quotes, so that its case counts"""

    text: str
    quoted: bool = False

    @classmethod
    def of(cls, node: exp.Expr) -> Name:
        """The name that an identifier of the tree says."""
        return cls(node.name, bool(node.args.get("quoted")))

    def means(self, other: Name) -> bool:
        """Whether this, in a query, means a thing of that name. Source: ADQL 2.1, section 2.1.3."""
        if self.quoted:
            return self.text == other.text
        return self.text.lower() == other.text.lower()


@dataclass(frozen=True, slots=True)
class Field:
    """A column that can be named: its name and the piece of SQL that reads it."""

    name: Name
    piece: Piece


@dataclass(eq=False, slots=True)
class Source:
    """Rows that FROM names. alias : name it goes by · table : of the catalogue, or None

    ident : its name in SQL · position : columns in SQL whose HEALPix cells the column `cells` has
    bare : whether it goes by the table's own name
    """

    ident: str
    alias: Name | None
    fields: list[Field]
    table: str | None = None
    position: tuple[str, str] | None = None
    cells: str = CELL
    bare: bool = False

    def goes_by(self, schema: Name | None, name: Name) -> bool:
        """Whether ``name.column`` or ``schema.name.column`` means this source."""
        if schema is None:
            return self.alias is not None and name.means(self.alias)
        own_schema, _, own = (self.table or "").rpartition(".")
        return self.bare and schema.means(Name(own_schema)) and name.means(Name(own))


@dataclass(slots=True)
class Scope:
    """What a SELECT sees: its sources; the columns that ``*`` and bare names mean; what is around.

    shown : differs from all columns of the sources where joins unite columns
    """

    sources: list[Source] = field(default_factory=list)
    shown: list[Field] = field(default_factory=list)
    outer: Scope | None = None


def source_of_table(table: str, ident: str, alias: Name | None, columns: Mapping[str, ColumnMeta],
                    renamed: Sequence[Name] = ()) -> Source:  # fmt: skip
    """The rows of a table of the catalogue."""
    own = Name(table.rpartition(".")[2])
    source = Source(ident, alias or own, [], table, _position(columns), bare=alias is None)
    for index, (column, meta) in enumerate(columns.items()):
        bare = column.strip('"')
        piece = Piece(f'{quoted(ident)}.{quoted(bare)}', kind_of(meta), meta,
                      source=f"{table}.{bare}", name=bare, origin=(source, bare))  # fmt: skip
        name = renamed[index] if index < len(renamed) else Name(bare)
        source.fields.append(Field(name, replace(piece, name=name.text)))
    return source


def _position(columns: Mapping[str, ColumnMeta]) -> tuple[str, str] | None:
    names = {c.strip('"') for c in columns}
    if CELL not in names:
        return None
    for lon, lat in _POSITIONS:
        if lon in names and lat in names:
            return lon, lat
    main = {k: next((n.strip('"') for n, m in columns.items()
                     if m.ucd.lower().replace(" ", "") == f"pos.eq.{k};meta.main"), None)
            for k in ("ra", "dec")}  # fmt: skip
    return (main["ra"], main["dec"]) if main["ra"] and main["dec"] else None


def find_table(text: str, node: exp.Expr, catalogue: Catalogue) -> str:
    """Full name of the table that a query names. Raises AdqlError for one that is not there."""
    name = Name.of(node.args["this"])
    db = node.args.get("db")
    if node.args.get("catalog") is not None:
        raise AdqlError("a table is SCHEMA.TABLE", code="adql_unknown_table",
                        at=place_of(text, node))  # fmt: skip
    found = []
    for full in catalogue:
        schema, _, own = full.rpartition(".")
        if name.means(Name(own)) and (db is None or Name.of(db).means(Name(schema))):
            found.append(full)
    if len(found) == 1:
        return found[0]
    said = f"{db.name}.{name.text}" if db is not None else name.text
    if found:
        raise AdqlError(f"table {said[:80]} is in several schemas: {', '.join(found)}",
                        code="adql_ambiguous", at=place_of(text, node))  # fmt: skip
    known = [*catalogue, *(c.rpartition(".")[2] for c in catalogue)]
    raise AdqlError(f"there is no table {said[:80]}", code="adql_unknown_table",
                    remedy=near(said, known) or "TAP_SCHEMA.tables lists them",
                    at=place_of(text, node))  # fmt: skip


def find_column(text: str, node: exp.Expr, scope: Scope | None) -> Piece:
    """The column that a name means. Raises AdqlError for one that is not there, or is twice."""
    name = Name.of(node.args["this"])
    if node.args.get("catalog") is not None:
        raise AdqlError("a column is COLUMN, TABLE.COLUMN or SCHEMA.TABLE.COLUMN",
                        code="adql_unknown_column", at=place_of(text, node))  # fmt: skip
    table, db = node.args.get("table"), node.args.get("db")
    seen: list[Field] = []
    level = scope
    while level is not None:
        if table is None:
            fields = level.shown
        else:
            named = find_sources(level, table, db)
            if len(named) > 1:
                raise AdqlError(f"{table.name[:80]} is the name of two tables here",
                                code="adql_ambiguous", remedy="give them names with AS",
                                at=place_of(text, node))  # fmt: skip
            fields = named[0].fields if named else []
        seen += fields
        found = [f for f in fields if name.means(f.name)]
        exact = [f for f in found if f.name.text == name.text]
        if len(found) > 1 and len(exact) == 1:
            found = exact
        if len(found) > 1:
            raise AdqlError(f"column {name.text[:80]} is in several tables",
                            code="adql_ambiguous", remedy=f"write TABLE.{name.text[:80]}",
                            at=place_of(text, node))  # fmt: skip
        if found:
            return found[0].piece
        level = level.outer
    said = ".".join(p.name for p in (db, table, node.args["this"]) if p is not None)
    raise AdqlError(f"there is no column {said[:120]}", code="adql_unknown_column",
                    remedy=near(name.text, _names(seen, scope)),
                    at=place_of(text, node))  # fmt: skip


def find_sources(scope: Scope, table: exp.Expr, db: exp.Expr | None) -> list[Source]:
    """The sources of this level that ``table`` or ``db.table`` means."""
    schema = Name.of(db) if db is not None else None
    return [s for s in scope.sources if s.goes_by(schema, Name.of(table))]


def _names(seen: Iterable[Field], scope: Scope | None) -> list[str]:
    names = [f.name.text for f in seen]
    return names or [f.name.text for f in (scope.shown if scope else ())]


def derived(source: Source, inner: Sequence[Field]) -> None:
    """Give rows that a query makes its columns, and the cells of positions that it passes on."""
    source.fields = [as_field(source, i, f.name, f.piece) for i, f in enumerate(inner)]
    found = {f.piece.origin: f"c{i + 1}" for i, f in enumerate(inner) if f.piece.origin}
    for owner, column in found:
        if isinstance(owner, Source) and owner.position and column == owner.cells:
            lon, lat = (found.get((owner, name)) for name in owner.position)
            if lon and lat:
                source.position, source.cells = (lon, lat), found[owner, column]


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def as_field(source: Source, index: int, name: Name, piece: Piece) -> Field:
    """A column of a query within a query, as the query around it sees it."""
    column = f"c{index + 1}"
    kind: Kind = piece.kind
    return Field(name, Piece(f"{quoted(source.ident)}.{column}", kind, piece.meta,
                             source=piece.source, name=name.text,
                             origin=(source, column)))  # fmt: skip
