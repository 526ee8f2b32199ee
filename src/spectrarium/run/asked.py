"""What a visitor looks for: one box for ids, places, conditions and names, and who meets it."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..store.archive import Archive, Rows
from ..store.codec import id_hash, uid_of
from ..store.filters import parse_filter
from ..store.sky import separation_deg
from .columns import Columns
from .positions import Place, place_in_name, place_of

_OPERATORS = re.compile(
    r"[<>=]|\b(?:not\s+)?(?:i?like|between)\b|\bin\s*\(|\bis\s+(?:not\s+)?null\b|^\s*not\b"
    r"|\b(?:and|or)\s+not\b", re.IGNORECASE,
)  # fmt: skip
"""What makes a text a condition, even one that is malformed."""
_BLANKS = r"[\s\p{Z}_]+"
_SUGGESTED_OF = 5_000
Cone = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Conditions:
    """What all of must hold. q : the one box · where : filter · cone : (RA, Dec, radius), deg
    target : name without case and blanks"""

    q: str | None = None
    where: str | None = None
    cone: Cone | None = None
    target: str | None = None

    @property
    def empty(self) -> bool:
        """Whether everything is wanted."""
        return not any((self.q, self.where, self.cone, self.target))


@dataclass(frozen=True, slots=True)
class Asked:
    """How the one box was understood.

    kind : ``all``, ``id``, ``position``, ``filter``, ``target`` or ``nothing`` (matches nothing)
    where, cone, target : what it comes to · note : what the visitor should know of it
    """

    kind: str
    text: str = ""
    where: str | None = None
    cone: Cone | None = None
    target: str | None = None
    note: str = ""

    def record(self) -> dict[str, Any]:
        """Plain fields, without those that say nothing."""
        out: dict[str, Any] = {"kind": self.kind, "text": self.text}
        more = {"where": self.where, "cone": self.cone, "target": self.target, "note": self.note}
        return out | {k: v for k, v in more.items() if v}


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Current rows that meet all conditions: nearest or best named first, else as catalogued."""

    rows: Rows = field(repr=False)
    asked: Asked = field(default_factory=lambda: Asked("all"))


def found(columns: Columns, conditions: Conditions) -> Found:
    """Who meets the conditions, and how the box was understood; kept for the next question.

    Raises UsageError (bad_filter, bad_cone, bad_position, bad_radius, bad_target).
    """
    return columns.kept(("found", conditions), lambda: _found(columns, conditions))


def _found(columns: Columns, conditions: Conditions) -> Found:
    text = (conditions.q or "").strip()
    first = _understood(columns, text) if text else Found(columns.rows)
    rows, archive = first.rows, columns.archive
    if conditions.cone is not None:
        inside, _ = archive.cone(*conditions.cone)
        ordered = first.asked.kind in ("position", "target")
        rows = _both(rows, inside, columns) if ordered else _both(inside, rows, columns)
    if conditions.target is not None:
        rows = _both(rows, _named(columns, conditions.target), columns)
    if conditions.where is not None:
        rows = _both(rows, _filtered(archive, conditions.where, "where"), columns)
    return Found(rows, first.asked)


def _both(rows: Rows, others: Rows, columns: Columns) -> Rows:
    """Those of `rows` that are among the others, in their order."""
    keep = np.zeros(columns.archive.catalogue_rows, bool)
    keep[others] = True
    return rows[keep[rows]]


def _understood(columns: Columns, text: str) -> Found:
    archive = columns.archive
    rows = _by_id(archive, text)
    if len(rows):
        return _identified(archive, rows, text)
    place = place_of(text)
    if place is not None:
        return _placed(columns, text, place)
    problem: UsageError | None = None
    try:
        condition = parse_filter(text, {**archive.columns(), **archive.derived})
        if condition.columns or _OPERATORS.search(text):
            rows = _filtered(archive, text, "q")
            return Found(rows, Asked("filter", text, where=text))
    except UsageError as error:
        problem = error
    exact = _named(columns, text) if _plain(text) else columns.rows[:0]
    if len(exact):
        return Found(exact, Asked("target", text, target=text))
    if problem is not None and _OPERATORS.search(text):
        raise _at(problem, "q") from problem
    in_name = place_in_name(text)
    if in_name is not None:
        return _placed(columns, text, in_name)
    return _like(columns, text)


def _by_id(archive: Archive, text: str) -> Rows:
    if text.startswith("ivo://"):
        try:
            return np.array([archive.resolve(text)], np.int64)
        except UsageError:
            return np.empty(0, np.int64)
    # not `resolve`, which looks for similar ids before it gives up
    rows = archive.current(archive.index.equal("id_hash", id_hash(text)))
    for at in [i for i, letter in enumerate(text[:1000]) if letter == ":"]:
        if not len(rows):
            key = uid_of(text[:at], text[at + 1 :])
            rows = archive.current(archive.index.equal("uid", key))
    return rows


def _identified(archive: Archive, rows: Rows, text: str) -> Found:
    own = archive.catalogue(rows[:1], ["obs_collection", "obs_id"]).to_pylist()[0]
    where = f"obs_id = {_quoted(own['obs_id'])}"
    if len(rows) == 1:
        where = f"obs_collection = {_quoted(own['obs_collection'])} AND {where}"
    note = f"{len(rows)} collections have an observation of this name" if len(rows) > 1 else ""
    return Found(rows, Asked("id", text, where=where, note=note))


def _quoted(text: str) -> str:
    return "'" + str(text).replace("'", "''") + "'"


def _filtered(archive: Archive, where: str, parameter: str) -> Rows:
    try:
        return archive.find(where=where)
    except UsageError as error:
        raise _at(error, parameter) from error


def _at(error: UsageError, parameter: str) -> UsageError:
    """The error as of the page's own parameter, not the command's option."""
    where = parameter if error.where == "--where" else error.where
    return UsageError(error.what, code=error.code, where=where, remedy=error.remedy)


# places ---------------------------------------------------------------------------------------


def _placed(columns: Columns, text: str, place: Place) -> Found:
    archive = columns.archive
    rows, _ = archive.cone(*place.cone)
    note = f"within {_angle(place.radius_deg)}"
    if not len(rows):
        near = _nearest(columns, place)
        note = f"nothing within {_angle(place.radius_deg)}"
        note += f"; the nearest is {_angle(near)} away" if near is not None else ""
    return Found(rows, Asked("position", text, cone=place.cone, note=note))


def _nearest(columns: Columns, place: Place) -> float | None:
    rows = columns.rows
    ra, dec = columns.numbers("s_ra")[rows], columns.numbers("s_dec")[rows]
    away = separation_deg(ra, dec, place.ra_deg, place.dec_deg)
    return float(np.nanmin(away)) if np.isfinite(away).any() else None


def _angle(deg: float) -> str:
    for scale, unit in ((1.0, "°"), (60.0, "′")):
        if deg * scale >= 1.0:
            return f"{deg * scale:.3g}{unit}"
    return f"{deg * 3600.0:.3g}″"


# names ----------------------------------------------------------------------------------------


def _plain(name: str) -> str:
    return re.sub(r"[\s_]+", "", name.lower())


def _plain_names(columns: Columns) -> pa.Array:
    """(catalogue rows,) target names in lower case without blanks."""

    def made() -> pa.Array:
        column = columns.archive.column("target_name")
        plain = pc.replace_substring_regex(pc.utf8_lower(column), _BLANKS, "")
        return pa.concat_arrays(plain.chunks) if plain.num_chunks else pa.array([], pa.string())

    return columns.kept("plain names", made)


def _rows_where(columns: Columns, mask: Any) -> NDArray[np.bool_]:
    """(current rows,) whether a mask over the catalogue holds; null is no."""
    held = np.asarray(pc.fill_null(mask, False).to_numpy(zero_copy_only=False), bool)
    return held[columns.rows]


def _named(columns: Columns, target: str) -> Rows:
    wanted = _plain(target)
    if not wanted:
        raise UsageError("the target name is empty", code="bad_target", where="target")
    return columns.rows[_rows_where(columns, pc.equal(_plain_names(columns), wanted))]


def _like(columns: Columns, text: str) -> Found:
    """Names, ids and instruments' products that hold a text somewhere; those that begin first."""
    wanted, plain = _plain(text), _plain_names(columns)
    if not wanted:
        return Found(columns.rows[:0], Asked("nothing", text, note="there is nothing to look for"))
    ids = pc.utf8_lower(columns.archive.column("obs_id"))
    named = _rows_where(columns, pc.match_substring(plain, wanted))
    held = named | _rows_where(columns, pc.match_substring(ids, text.lower()))
    begins = _rows_where(columns, pc.starts_with(plain, wanted))
    rows = np.concatenate([columns.rows[begins], columns.rows[held & ~begins]])
    if not len(rows):
        note = "no id, position, condition or name like this" + _suggestion(columns, text)
        return Found(rows, Asked("nothing", text, note=note))
    what = "names or ids hold" if len(rows) > 1 else "name or id holds"
    note = f"no target is called exactly this; {len(rows):,} {what} it"
    return Found(rows, Asked("target", text, target=text, note=note))


def _suggestion(columns: Columns, text: str) -> str:
    names = columns.codes("target_name").values
    if len(names) > _SUGGESTED_OF:
        return ""
    near = difflib.get_close_matches(text, names.to_pylist(), 3, 0.75)
    return f"; did you mean {' or '.join(near)}?" if near else ""
