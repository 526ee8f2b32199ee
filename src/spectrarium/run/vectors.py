"""The vectors of an embedding that still hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..store.archive import Archive, Rows

NEEDED = ("uid", "fingerprint", "vector")


def vectors_of(
    archive: Archive, name: str, columns: Sequence[str] | None = None
) -> tuple[pa.Table, Rows, NDArray[np.float32]]:
    """An embedding's table, its catalogue rows and (n, d) vectors, of what is there unchanged.

    A changed spectrum has no vector until it is embedded again.

    columns : of the table, `NEEDED` among them; None = all
    """
    table = archive.table(f"embeddings/{name}", columns)
    rows = archive.rows_of(table.column("uid").to_numpy())
    live = rows >= 0
    same = np.zeros(len(rows), bool)
    same[live] = (
        archive.index.value("fingerprint", rows[live])
        == table.column("fingerprint").to_numpy()[live]
    )
    table = table.filter(pa.array(same))
    vectors = table.column("vector").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    size = table.schema.field("vector").type.list_size
    return table, rows[same], vectors.reshape(table.num_rows, size)
