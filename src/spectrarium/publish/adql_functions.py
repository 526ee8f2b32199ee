"""Functions that a query may call, by name: what they take, what they give, and their SQL.

SQL here calls ``vo_…`` functions; each database defines these (`adql_duckdb`, `adql_postgres`).
Sources: IVOA ADQL 2.1, sections 4.1 and 4.3–4.6; Catalogue of ADQL User Defined Functions 1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .adql_values import ColumnMeta, Kind, Piece

Sql = Callable[[Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class Function:
    """A function of numbers or texts.

    takes : kind of each argument, those at the end being optional beyond `least`
    gives : kind of its value; None = that of its first argument · truth : its SQL is a condition,
    its value 1 or 0 · form, about : for the description of the service, where it is no part of ADQL
    """

    takes: tuple[Kind, ...]
    gives: Kind | None
    sql: Sql
    least: int = -1
    truth: bool = False
    aggregate: bool = False
    form: str = ""
    about: str = ""
    meta: ColumnMeta = field(default_factory=ColumnMeta)

    @property
    def fewest(self) -> int:
        """Arguments at least."""
        return len(self.takes) if self.least < 0 else self.least


UserFunctions = Mapping[str, Function]
"""Functions of the service by name in lower case."""


def _called(name: str) -> Sql:
    return lambda args: f"{name}({', '.join(args)})"


def _one(name: str) -> Function:
    return Function(("real",), "real", _called(name))


_RAD = ColumnMeta(unit="rad")
_DEG = ColumnMeta(unit="deg")
MATHS: dict[str, Function] = {
    "abs": Function(("real",), None, _called("abs")),
    "acos": Function(("real",), "real", _called("vo_acos"), meta=_RAD),
    "asin": Function(("real",), "real", _called("vo_asin"), meta=_RAD),
    "atan": Function(("real",), "real", _called("atan"), meta=_RAD),
    "atan2": Function(("real", "real"), "real", _called("atan2"), meta=_RAD),
    "ceiling": _one("ceil"),
    "cos": _one("cos"),
    "cot": _one("vo_cot"),
    "degrees": Function(("real",), "real", _called("degrees"), meta=_DEG),
    "exp": _one("vo_exp"),
    "floor": _one("floor"),
    "log": _one("vo_ln"),
    "log10": _one("vo_log10"),
    "mod": Function(("real", "real"), None, _called("vo_mod")),
    "pi": Function((), "real", _called("pi")),
    "power": Function(("real", "real"), "real", _called("vo_power")),
    "radians": Function(("real",), "real", _called("radians"), meta=_RAD),
    "round": Function(("real", "integer"), "real",
                      lambda a: f"vo_round({a[0]}, {a[1] if len(a) > 1 else '0'})", least=1),
    "sign": Function(("real",), "integer", _called("sign")),
    "sin": _one("sin"),
    "sqrt": _one("vo_sqrt"),
    "tan": _one("tan"),
    "truncate": Function(("real", "integer"), "real",
                         lambda a: f"vo_truncate({a[0]}, {a[1] if len(a) > 1 else '0'})", least=1),
}  # fmt: skip
TEXTS: dict[str, Function] = {
    "lower": Function(("text",), "text", _called("lower")),
    "upper": Function(("text",), "text", _called("upper")),
}
_SECONDS = 86400.0
CATALOGUED: dict[str, Function] = {
    "ivo_hasword": Function(
        ("text", "text"), "integer", _called("vo_hasword"), truth=True,
        form="ivo_hasword(haystack VARCHAR, needle VARCHAR) -> INTEGER",
        about="1 if the words of needle stand in haystack, whatever their case and ending"),
    "ivo_hashlist_has": Function(
        ("text", "text"), "integer", _called("vo_hashlist_has"), truth=True,
        form="ivo_hashlist_has(hashlist VARCHAR, item VARCHAR) -> INTEGER",
        about="1 if item is one of the words that hashlist parts by #, whatever its case"),
    "ivo_nocasematch": Function(
        ("text", "text"), "integer", lambda a: f"(({a[0]}) ILIKE ({a[1]}))", truth=True,
        form="ivo_nocasematch(value VARCHAR, pattern VARCHAR) -> INTEGER",
        about="1 if value is like the pattern (of LIKE), whatever its case"),
    "ivo_interval_overlaps": Function(
        ("any", "any", "any", "any"), "integer",
        lambda a: f"(({a[0]}) <= ({a[3]}) AND ({a[2]}) <= ({a[1]}))", truth=True,
        form="ivo_interval_overlaps(l1 NUMERIC, h1 NUMERIC, l2 NUMERIC, h2 NUMERIC) -> INTEGER",
        about="1 if the interval l1 … h1 and the interval l2 … h2 have a value in common"),
    "ivo_interval_has": Function(
        ("any", "list"), "integer", lambda a: f"(({a[0]}) BETWEEN ({a[1]})[1] AND ({a[1]})[2])",
        truth=True, form="ivo_interval_has(val NUMERIC, iv INTERVAL) -> INTEGER",
        about="1 if the interval holds the value"),
    "ivo_string_agg": Function(
        ("any", "text"), "text", lambda a: f"string_agg(CAST({a[0]} AS VARCHAR), {a[1]})",
        aggregate=True, form="ivo_string_agg(expr VARCHAR, delim VARCHAR) -> VARCHAR",
        about="the values of expr that are not NULL, with delim between them"),
    "ivo_normal_random": Function(
        ("real", "real"), "real", _called("vo_normal_random"),
        form="ivo_normal_random(mu DOUBLE, sigma DOUBLE) -> DOUBLE",
        about="a number drawn from the normal distribution of mean mu and deviation sigma"),
    "ivo_to_mjd": Function(
        ("time",), "real", _called("vo_mjd"), form="ivo_to_mjd(d TIMESTAMP) -> DOUBLE",
        about="the time as modified Julian date", meta=ColumnMeta(unit="d", ucd="time.epoch")),
    "ivo_to_jd": Function(
        ("time",), "real", lambda a: f"(vo_mjd({a[0]}) + 2400000.5e0)",
        form="ivo_to_jd(d TIMESTAMP) -> DOUBLE", about="the time as Julian date",
        meta=ColumnMeta(unit="d", ucd="time.epoch")),
}  # fmt: skip
PLAIN: dict[str, Function] = {**MATHS, **TEXTS, **CATALOGUED}
AGGREGATES = ("count", "sum", "avg", "min", "max")
_STATISTICS = {"avg": "stat.mean", "min": "stat.min", "max": "stat.max"}


def aggregated(name: str, of: Piece) -> ColumnMeta:
    """What is known of COUNT, SUM, AVG, MIN or MAX of a value."""
    if name == "count":
        return ColumnMeta(ucd="meta.number", about="Number of rows")
    ucd = f"{of.meta.ucd};{_STATISTICS[name]}" if of.meta.ucd and name in _STATISTICS else ""
    words = {"avg": "Mean", "min": "Least", "max": "Greatest", "sum": "Sum"}[name]
    about = f"{words} of: {of.meta.about}" if of.meta.about else ""
    return ColumnMeta(unit=of.meta.unit, ucd=ucd, about=about)
