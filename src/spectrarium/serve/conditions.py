"""What a request looks for, as all routes about sets of observations read it."""

from __future__ import annotations

from ..domain.errors import UsageError
from ..run.asked import Conditions, Found, found
from ..run.columns import Columns
from .asking import Ask
from .fields import Fields

TEXT_MOST = 20_000
TARGET_MOST = 1_000


def columns_of(ask: Ask) -> Columns:
    """The columns of the open version, with what was worked out of them before."""
    return ask.holding.cached("columns", lambda: Columns(ask.archive, ask.holding.cached))


def conditions_of(fields: Fields) -> Conditions:
    """``q``, ``where``, ``cone`` (RA, Dec, radius in deg) and ``target``; each may be missing.

    Raises UsageError (bad_parameter, bad_cone).
    """
    cone = fields.numbers("cone")
    if cone is not None and len(cone) != 3:
        raise UsageError(f"a cone is three numbers, not {len(cone)}", code="bad_cone", where="cone",
                         remedy="RA,Dec,radius in degrees: cone=160.25,-59.68,0.5")  # fmt: skip
    q, where = (_some(fields.text(name, most=TEXT_MOST)) for name in ("q", "where"))
    return Conditions(
        q=q, where=where,
        cone=None if cone is None else (cone[0], cone[1], cone[2]),
        target=_some(fields.text("target", most=TARGET_MOST)),
    )  # fmt: skip


def found_of(ask: Ask, fields: Fields | None = None) -> Found:
    """Who meets the conditions of a request. Raises what `conditions_of` and `found` do."""
    return found(columns_of(ask), conditions_of(ask.query if fields is None else fields))


def _some(text: str | None) -> str | None:
    return text.strip() or None if text else None
