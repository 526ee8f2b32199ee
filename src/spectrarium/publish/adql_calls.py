"""Calls of functions in ADQL: geometry, aggregates, conversions, and those that stand in a table.

Source: IVOA ADQL 2.1, sections 2.3 and 4; Catalogue of ADQL User Defined Functions 1.0.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from . import adql_geometry as geometry
from .adql_functions import AGGREGATES, PLAIN, Function, aggregated
from .adql_parse import only
from .adql_scope import quoted
from .adql_values import NUMBERS, SHAPES, AdqlError, ColumnMeta, Kind, Piece, Place, near

if TYPE_CHECKING:
    from .adql_expression import Query
    from .adql_scope import Scope

_TYPES: dict[str, tuple[str, Kind]] = {
    "SMALLINT": ("SMALLINT", "integer"), "INTEGER": ("INTEGER", "integer"),
    "INT": ("INTEGER", "integer"), "BIGINT": ("BIGINT", "integer"), "REAL": ("REAL", "real"),
    "DOUBLE PRECISION": ("DOUBLE PRECISION", "real"), "DOUBLE": ("DOUBLE PRECISION", "real"),
    "FLOAT": ("DOUBLE PRECISION", "real"), "CHAR": ("VARCHAR", "text"),
    "VARCHAR": ("VARCHAR", "text"), "TIMESTAMP": ("TIMESTAMP", "time"),
}  # fmt: skip
_SIZED = re.compile(r"(CHAR|VARCHAR) \( (\d{1,9}) \)")
_SHAPES = ("point", "circle", "polygon", "box")
_GEOMETRY = (*_SHAPES, "region", "contains", "intersects", "distance", "area", "centroid",
             "coord1", "coord2", "coordsys", "moc")  # fmt: skip
_OTHER = ("rand", "coalesce", "in_unit", "ivo_healpix_index", "ivo_healpix_center", "ivo_apply_pm",
          "ivo_specconv", "ivo_histogram", "ivo_geom_transform", "nullif")  # fmt: skip


class Calls:
    """What `Expressions` does with functions."""

    query: Query
    scope: Scope
    where: str
    aggregates: bool
    value: Callable[[exp.Expr], Piece]
    place: Callable[[exp.Expr], Place | None]

    def call(self, name: str, node: exp.Expr) -> Piece:
        """A function by its name in lower case. Raises AdqlError for one that nobody knows."""
        if name in self.query.functions:
            return self._plain(name, self.query.functions[name], node)
        if name in AGGREGATES:
            return self._aggregate(name, node)
        if name in _GEOMETRY:
            return self._geometry(name, [self.value(n) for n in node.expressions], node)
        special: Callable[[exp.Expr], Piece] | None = getattr(self, f"_{name}", None) \
            if name in _OTHER else None  # fmt: skip
        if special is not None:
            return special(node)
        if name in PLAIN:
            return self._plain(name, PLAIN[name], node)
        known = [*PLAIN, *AGGREGATES, *_GEOMETRY, *_OTHER, *self.query.functions, "cast"]
        raise AdqlError(f"there is no function {name[:80]}", code="adql_unknown_function",
                        remedy=near(name, [k.upper() for k in known]),
                        at=self.place(node))  # fmt: skip

    def _counted(self, name: str, node: exp.Expr, least: int, most: int, form: str = "") -> None:
        if not least <= len(node.expressions) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise AdqlError(f"{name.upper()} takes {wanted} arguments, not "
                            f"{len(node.expressions)}", code="adql_arguments", remedy=form,
                            at=self.place(node))  # fmt: skip

    def _plain(self, name: str, function: Function, node: exp.Expr) -> Piece:
        self._counted(name, node, function.fewest, len(function.takes), function.form)
        args = [self.value(n) for n in node.expressions]
        for arg, wanted, said in zip(args, function.takes, node.expressions, strict=False):
            fits = arg.kind == "any" or wanted == "any" or arg.kind == wanted or \
                (wanted in ("real", "integer") and arg.kind in NUMBERS) or \
                (wanted == "text" and arg.kind == "region")  # fmt: skip
            if not fits or (wanted == "any" and arg.kind in SHAPES - {"region"}):
                raise AdqlError(
                    f"{name.upper()} does not take {_article(arg.kind)} here",
                    code="adql_types",
                    remedy=function.form,
                    at=self.place(said),
                )
        if function.aggregate:
            self._may_aggregate(name, args, node)
        kind = function.gives or (args[0].kind if args else "any")
        sql = function.sql([a.sql for a in args])
        meta = function.meta
        if function.gives is None and args:
            meta = ColumnMeta(unit=args[0].meta.unit)
        elif name in ("ceiling", "floor", "round", "truncate"):
            meta = ColumnMeta(unit=args[0].meta.unit, ucd=args[0].meta.ucd)
        many = function.aggregate or any(a.aggregate for a in args)
        if function.truth:
            return Piece(f"CAST({sql} AS INTEGER)", "integer", meta, truth=sql, aggregate=many)
        return Piece(sql, kind, meta, aggregate=many)

    def _may_aggregate(self, name: str, args: list[Piece], node: exp.Expr) -> None:
        if not self.aggregates:
            raise AdqlError(f"{name.upper()} cannot stand in {self.where}", code="adql_types",
                            remedy="HAVING is for conditions on groups",
                            at=self.place(node))  # fmt: skip
        if any(a.aggregate for a in args):
            raise AdqlError(f"{name.upper()} of an aggregate", code="adql_types",
                            remedy="use a query within FROM", at=self.place(node))  # fmt: skip

    def _aggregate(self, name: str, node: exp.Expr) -> Piece:
        self._counted(name, node, 1, 1)
        arg = node.expressions[0]
        distinct = ""
        if isinstance(arg, exp.Star):
            only(self.query.text, arg)
            if name != "count":
                raise AdqlError(f"{name.upper()}(*) means nothing", code="adql_arguments",
                                at=self.place(node))  # fmt: skip
            self._may_aggregate(name, [], node)
            return Piece("COUNT(*)", "integer", aggregated(name, Piece("")), aggregate=True)
        if isinstance(arg, exp.Distinct):
            only(self.query.text, arg, "expressions")
            if len(arg.expressions) != 1:
                raise AdqlError(f"{name.upper()}(DISTINCT …) takes one value",
                                code="adql_arguments", at=self.place(node))  # fmt: skip
            arg, distinct = arg.expressions[0], "DISTINCT "
        piece = self.value(arg)
        self._may_aggregate(name, [piece], node)
        if (name in ("sum", "avg") and piece.kind not in NUMBERS) or \
                (name != "count" and piece.kind in (*SHAPES, "moc", "list")):  # fmt: skip
            raise AdqlError(f"{name.upper()} does not take {_article(piece.kind)}",
                            code="adql_types", at=self.place(node))  # fmt: skip
        sql = f"{name.upper()}({distinct}{piece.sql})"
        kind: Kind = "integer" if name == "count" else "real" if name == "avg" else piece.kind
        if name == "sum":
            sql = f"CAST({sql} AS {'BIGINT' if kind == 'integer' else 'DOUBLE PRECISION'})"
        return Piece(sql, kind, aggregated(name, piece), aggregate=True)

    def _geometry(self, name: str, args: list[Piece], node: exp.Expr) -> Piece:
        place = self.place(node)
        many = any(a.aggregate for a in args)
        if name in _SHAPES:
            return replace(geometry.built(name, args, place), aggregate=many)
        if name == "distance":
            return replace(geometry.distance(args, place), aggregate=many)
        if name == "moc":
            return self._moc(args, node)
        self._counted(name, node, *((2, 2) if name in ("contains", "intersects") else (1, 1)))
        if name in ("contains", "intersects"):
            ask = geometry.contains if name == "contains" else geometry.intersects
            truth = ask(args[0], args[1], place)
            return Piece(f"CAST({truth} AS INTEGER)", "integer", truth=truth, aggregate=many)
        if name == "region":
            return geometry.region(args[0], place)
        if name == "area":
            return replace(geometry.area_of(args[0], place), aggregate=many)
        if name == "centroid":
            return replace(geometry.centroid_of(args[0], place), aggregate=many)
        if name == "coordsys":
            if args[0].kind not in SHAPES:
                raise AdqlError("COORDSYS takes a shape", code="adql_arguments", at=place)
            return Piece("'ICRS'", "text", ColumnMeta(ucd="meta.ref;pos.frame"), constant="ICRS")
        return replace(geometry.coordinate(args[0], int(name[-1]) - 1, place), aggregate=many)

    def _moc(self, args: list[Piece], node: exp.Expr) -> Piece:
        from .adql_moc import cells_of_shape, cells_of_text

        place = self.place(node)
        if len(args) == 1 and isinstance(args[0].constant, str):
            return Piece("NULL", "moc", cells=cells_of_text(args[0].constant, place))
        if len(args) == 2 and isinstance(args[0].constant, int) and args[1].shape is not None:
            return Piece(
                "NULL", "moc", cells=cells_of_shape(args[0].constant, args[1].shape, place)
            )
        raise AdqlError("a MOC is written out, or made of an order and a constant shape",
                        code="adql_arguments", remedy="MOC('6/123 125-127') or MOC(6, CIRCLE(…))",
                        at=place)  # fmt: skip

    # ---- conversions

    def cast(self, node: exp.Expr) -> Piece:
        """CAST(value AS type)."""
        piece = self.value(node.expressions[0])
        said = " ".join(str(node.expressions[1].this).upper().split())
        sized = _SIZED.fullmatch(said)
        name, kind = _TYPES.get(sized[1] if sized else said, ("", "any"))
        if not name:
            raise AdqlError(f"there is no type {said[:40]}", code="adql_types",
                            remedy=near(said, _TYPES) or ", ".join(_TYPES),
                            at=self.place(node))  # fmt: skip
        if piece.kind in SHAPES - {"region"} or piece.kind in ("moc", "list"):
            raise AdqlError(f"{_article(piece.kind)} cannot be cast", code="adql_types",
                            at=self.place(node))  # fmt: skip
        sql = f"CAST({piece.sql} AS {name})"
        if sized:
            sql = f"substr({sql}, 1, {sized[2]})"
        elif said == "CHAR":
            sql = f"substr({sql}, 1, 1)"
        meta = ColumnMeta(unit=piece.meta.unit, ucd=piece.meta.ucd) if kind in NUMBERS \
            else ColumnMeta()  # fmt: skip
        return Piece(sql, kind, meta, aggregate=piece.aggregate)

    def _rand(self, node: exp.Expr) -> Piece:
        """RAND: of a seed, the same number for the same row of the tables, whatever the query."""
        self._counted("rand", node, 0, 1, "RAND() or RAND(seed)")
        if not node.expressions:
            return Piece("random()", "real")
        seed = self.value(node.expressions[0])
        if seed.kind not in ("integer", "any"):
            raise AdqlError(f"RAND does not take {_article(seed.kind)} here", code="adql_types",
                            remedy="RAND(42)", at=self.place(node))  # fmt: skip
        if any(s.table is None for s in self.scope.sources):
            raise AdqlError("RAND takes a seed where FROM names tables only", code="adql_arguments",
                            remedy="leave the seed out, or write RAND(seed) in the query within",
                            at=self.place(node))  # fmt: skip
        row = "ctid" if self.query.dialect == "postgres" else "rowid"
        rows = [f"{quoted(s.ident)}.{row}" for s in self.scope.sources]
        return Piece(f"vo_seeded(concat_ws('/', {', '.join([seed.sql, *rows])}))", "real",
                     aggregate=seed.aggregate)  # fmt: skip

    def _coalesce(self, node: exp.Expr) -> Piece:
        from .adql_expression import common, shared_meta

        self._counted("coalesce", node, 1, 100)
        args = [self.value(n) for n in node.expressions]
        if any(a.kind in (*SHAPES - {"region"}, "moc", "list") for a in args):
            raise AdqlError("COALESCE takes numbers, texts or times", code="adql_types",
                            at=self.place(node))  # fmt: skip
        return Piece(f"COALESCE({', '.join(a.sql for a in args)})", common(args),
                     shared_meta(args), aggregate=any(a.aggregate for a in args))  # fmt: skip

    def _nullif(self, node: exp.Expr) -> Piece:
        self._counted("nullif", node, 2, 2)
        args = [self.value(n) for n in node.expressions]
        return replace(args[0], sql=f"NULLIF({args[0].sql}, {args[1].sql})", constant=None,
                       origin=None, source=None, parts=(), shape=None,
                       aggregate=any(a.aggregate for a in args))  # fmt: skip

    def _in_unit(self, node: exp.Expr) -> Piece:
        from .adql_units import factor

        self._counted("in_unit", node, 2, 2, "IN_UNIT(value, 'unit')")
        piece, unit = (self.value(n) for n in node.expressions)
        if not isinstance(unit.constant, str) or piece.kind not in NUMBERS:
            raise AdqlError("IN_UNIT takes a number and a unit in quotes", code="adql_arguments",
                            at=self.place(node))  # fmt: skip
        by = factor(piece.meta.unit, unit.constant, self.place(node))
        meta = ColumnMeta(unit=unit.constant, ucd=piece.meta.ucd, about=piece.meta.about)
        return Piece(f"({piece.sql} * {geometry.number(by)})", "real", meta,
                     aggregate=piece.aggregate)  # fmt: skip

    def _ivo_healpix_index(self, node: exp.Expr) -> Piece:
        self._counted("ivo_healpix_index", node, 2, 3, "ivo_healpix_index(order, ra, dec)")
        args = [self.value(n) for n in node.expressions]
        order = args[0].constant
        if not isinstance(order, int) or not 0 <= order <= 29:
            raise AdqlError("the order of HEALPix is a whole number from 0 to 29 that is written "
                            "out, no column", code="adql_arguments",
                            remedy="ivo_healpix_index(8, ra, dec)",
                            at=self.place(node))  # fmt: skip
        cell = geometry.cell_of(geometry.built("point", args[1:], self.place(node)))
        sql = f"({cell} >> {58 - 2 * order})" if order < 29 else cell
        return Piece(sql, "integer", ColumnMeta(ucd="pos.healpix"))

    def _ivo_healpix_center(self, node: exp.Expr) -> Piece:
        self._counted("ivo_healpix_center", node, 2, 2, "ivo_healpix_center(order, index)")
        order, index = (self.value(n) for n in node.expressions)
        return Piece(f"vo_cell_centre({order.sql}, {index.sql})", "point", geometry.POINT_META)

    def _ivo_apply_pm(self, node: exp.Expr) -> Piece:
        self._counted("ivo_apply_pm", node, 5, 5, "ivo_apply_pm(ra, dec, pmra, pmde, years)")
        args = [self.value(n) for n in node.expressions]
        return Piece(f"vo_moved({', '.join(a.sql for a in args)})", "point", geometry.POINT_META,
                     aggregate=any(a.aggregate for a in args))  # fmt: skip

    def _ivo_specconv(self, node: exp.Expr) -> Piece:
        from .adql_units import spectral

        self._counted("ivo_specconv", node, 2, 3, "ivo_specconv(value, ['unit',] 'unit wanted')")
        args = [self.value(n) for n in node.expressions]
        units: list[Any] = [a.constant for a in args[1:]]
        if not all(isinstance(u, str) for u in units) or args[0].kind not in NUMBERS:
            raise AdqlError("ivo_specconv takes a number and units in quotes",
                            code="adql_arguments", at=self.place(node))  # fmt: skip
        own = units[0] if len(units) == 2 else args[0].meta.unit
        sql = spectral(args[0].sql, own, units[-1], self.place(node))
        return Piece(sql, "real", ColumnMeta(unit=units[-1]), aggregate=args[0].aggregate)

    def _ivo_histogram(self, node: exp.Expr) -> Piece:
        self._counted("ivo_histogram", node, 4, 4, "ivo_histogram(value, lower, upper, bins)")
        value, low, high, bins = (self.value(n) for n in node.expressions)
        self._may_aggregate("ivo_histogram", [value], node)
        count = bins.constant
        if not isinstance(count, int) or not 1 <= count <= 1000:
            raise AdqlError("bins is a number from 1 to 1000", code="adql_arguments",
                            at=self.place(node))  # fmt: skip
        bucket = f"vo_bucket({value.sql}, {low.sql}, {high.sql}, {count})"
        each = ", ".join(f"COUNT(*) FILTER (WHERE {bucket} = {i})" for i in range(count + 2))
        return Piece(f"CAST(ARRAY[{each}] AS INTEGER[])", "list",
                     ColumnMeta(ucd="meta.number", about="Below, in each bin, above"),
                     aggregate=True)  # fmt: skip

    def _ivo_geom_transform(self, node: exp.Expr) -> Piece:
        self._counted(
            "ivo_geom_transform", node, 3, 3, "ivo_geom_transform('GALACTIC', 'ICRS', shape)"
        )
        args = [self.value(n) for n in node.expressions]
        return geometry.turned(args[0].constant, args[1].constant, args[2], self.place(node))


def _article(kind: Kind) -> str:
    words = {"integer": "a number", "real": "a number", "any": "this value", "truth": "a condition",
             "list": "an array"}  # fmt: skip
    return words.get(kind, f"a {kind}")
