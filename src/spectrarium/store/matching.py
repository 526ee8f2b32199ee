"""Which rows meet a condition, and what an identifier or a name means."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..domain.errors import UsageError

CLOSE_MOST = 200_000
"""Observations up to which identifiers that are spelt alike are looked for."""


def matching(
    where: str, known: Collection[str], rows: int, column: Callable[[str], pa.ChunkedArray]
) -> NDArray[np.bool_]:
    """(rows,) True where the condition holds; null counts as false.

    known : columns it may name · column : name → (rows,) values
    Raises UsageError (bad_filter).
    """
    # imported when first needed: an eighth of a second that reading processes can spare
    import duckdb

    from .filters import parse_filter

    condition = parse_filter(where, known)
    row = "__row" + "_" * max([0, *map(len, condition.columns)])  # no column's name
    data: dict[str, Any] = {row: pa.array(np.arange(rows, dtype=np.int64))}
    for name in condition.columns:
        values = column(name)
        if pa.types.is_floating(values.type):  # NaN would be greater than every number
            values = pc.if_else(pc.is_nan(values), None, values)
        data[name] = values
    table = pa.table(data)
    out = np.zeros(rows, bool)
    with duckdb.connect(config={"enable_external_access": False, "threads": 2}) as db:
        db.register("obs", table)
        try:
            hits = db.sql(
                f"SELECT {row} FROM obs WHERE {condition.sql}",
                params={f"p{i}": v for i, v in enumerate(condition.parameters)},
            ).to_arrow_table()
        except duckdb.Error as error:
            raise UsageError(
                f"the condition does not fit its columns: {str(error).splitlines()[0]}",
                code="bad_filter", where="--where",
                remedy="compare numbers with numbers and text with 'text'",
            ) from error  # fmt: skip
    out[hits.column(0).to_numpy()] = True
    return out


def named(target: str, names: pa.ChunkedArray) -> NDArray[np.int64]:
    """Rows whose name is `target`, compared without case, blanks and underscores.

    Raises UsageError (bad_target) when it is empty.
    """
    wanted = _plain(target)
    if not wanted:
        raise UsageError("the target name is empty", code="bad_target")
    return np.array(
        [i for i, n in enumerate(names.to_pylist()) if n and _plain(n) == wanted], np.int64
    )


def aligned(table: pa.Table, column: str, uids: NDArray[np.int64]) -> pa.ChunkedArray:
    """A column of a table keyed by ``uid``, brought to the order of `uids`; null where none is."""
    theirs = table.column("uid").to_numpy()
    order = np.argsort(theirs, kind="stable")
    at = np.searchsorted(theirs[order], uids)
    at[at == len(theirs)] = 0
    hit = (theirs[order][at] == uids) if len(theirs) else np.zeros(len(uids), bool)
    take = pa.array(order[at] if len(theirs) else np.zeros(len(uids), np.int64), mask=~hit)
    return pa.chunked_array([table.column(column).combine_chunks().take(take)])


def close_to(identifier: str, identifiers: Callable[[], pa.ChunkedArray], rows: int) -> str:
    """What to do about an unknown identifier: those spelt like it, where they are few enough."""
    if 0 < rows <= CLOSE_MOST:
        words = [i for i in identifiers().to_pylist() if i]
        near = difflib.get_close_matches(identifier, words, 3, cutoff=0.7)
        if near:
            return "did you mean " + " or ".join(near) + "?"
    return "`spectrarium find` lists what is there"


def from_did(did: str) -> str:
    """``collection:obs_id`` of a publisher's dataset identifier."""
    path, query = did.removeprefix("ivo://").split("?", 1)
    return f"{unquote(path.split('/', 1)[-1])}:{unquote(query)}"


def _plain(name: str) -> str:
    return "".join(name.lower().replace("_", " ").split())
