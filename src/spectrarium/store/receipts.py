"""Receipts: what became of each file, and which of its receipts still counts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_NEWEST = """
WITH file AS (SELECT path, arg_max(mtime_ns, n) AS mtime FROM r GROUP BY path),
part AS (SELECT path, coalesce(member, '') AS part, arg_max(seq, n) AS seq FROM r GROUP BY 1, 2)
SELECT r.* EXCLUDE (n) FROM r JOIN part ON r.path = part.path
    AND coalesce(r.member, '') = part.part AND r.seq = part.seq
JOIN file ON r.path = file.path AND r.mtime_ns IS NOT DISTINCT FROM file.mtime
ORDER BY n"""
"""The last receipt of each file and member; what an older state of a zip or tar held is gone.
Newest is what was written last: clocks can be set back."""


def newest(table: pa.Table) -> pa.Table:
    """The receipts that count, of all in the order they were written."""
    import duckdb

    table = table.append_column("n", pa.array(np.arange(table.num_rows, dtype=np.int64)))
    with duckdb.connect(config={"enable_external_access": False}) as db:
        db.register("r", table)
        return db.sql(_NEWEST).to_arrow_table()


def with_status(receipts: pa.Table, status: str) -> pa.Table:
    """Those with one status."""
    if not receipts.num_rows:
        return receipts
    return receipts.filter(pc.equal(receipts.column("status"), status))


def quarantined(receipts: pa.Table) -> pa.Table:
    """What could not be stored, and why."""
    return with_status(receipts, "bad_item").select(
        ["path", "member", "hdu", "row", "code", "reason", "remedy", "reader", "file_hash"]
    )
