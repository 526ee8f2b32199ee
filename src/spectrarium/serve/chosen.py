"""Which observations a request is about: rows of the open version, or a stored selection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..domain.errors import UsageError
from ..store.archive import Archive, Rows
from .asking import Ask


def chosen_rows(ask: Ask, fields: Mapping[str, Any], most: int | None = None) -> Rows:
    """Current catalogue rows of ``rows`` (integers) or ``selection`` (its id), each once.

    Those of a selection that are no longer there, or that the user may not see, are left out.
    Raises UsageError: bad_parameter (neither, both, or no list of rows), no_row, too_many (more
    than `most`), no_selection.
    """
    rows, sid = fields.get("rows"), fields.get("selection")
    if (rows is None) == (sid is None):
        raise UsageError("give either rows or a selection", code="bad_parameter", where="rows")
    if sid is not None:
        if not isinstance(sid, str):
            raise UsageError("a selection is named by its id", code="bad_parameter",
                             where="selection")  # fmt: skip
        found = ask.archive.rows_of(ask.people.selections.uids(ask.user, sid))
        found = found[found >= 0]
    else:
        found = checked_rows(ask.archive, rows)
    if most is not None and len(found) > most:
        raise UsageError(f"{len(found):,} are too many for this", code="too_many", where="rows",
                         remedy=f"choose {most:,} at most")  # fmt: skip
    return found


def checked_rows(archive: Archive, rows: Any) -> Rows:
    """Catalogue rows a client names, each once in the order given.

    Raises UsageError (bad_parameter, no_row): no list of integers, or one is not current.
    """
    if isinstance(rows, str):
        rows = [int(r) if r.strip().isdecimal() else r for r in rows.split(",") if r.strip()]
    if not isinstance(rows, list) or any(type(r) is not int for r in rows):
        raise UsageError("rows is no list of integers", code="bad_parameter", where="rows")
    total = archive.catalogue_rows
    wrong = next((r for r in rows if not 0 <= r < total), None)
    found = np.array(list(dict.fromkeys(rows)) if wrong is None else [], np.int64)
    if wrong is None and len(current := archive.current(found)) < len(found):
        wrong = int(np.setdiff1d(found, current)[0])
    if wrong is not None:
        raise UsageError(f"there is no row {wrong} in this version", code="no_row", where="rows",
                         remedy="load the page again")  # fmt: skip
    return found
