"""What people who are not signed in share of the background jobs.

To the server they are one owner, so that one of them could use up what is there for all. Jobs that
were made and never run are therefore kept for an hour only, or until others need the room: the
oldest of them go first, those of the same client where it is that client's share that is used up.
A client is known by its address, which is kept with its jobs and no longer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ..domain.errors import UsageError

CLIENT_MOST, CLIENT_BYTES = 50, 1 << 30
"""Jobs of one client, and bytes of the tables that came with them."""
BYTES_MOST = 4 << 30
"""Of the tables of all clients."""
PENDING_S = 3600.0
"""So long a job waits to be run."""


def in_the_way(
    db: sqlite3.Connection, client: str, brings: int, most: int, but: str = ""
) -> list[str]:
    """Ids of the jobs to be deleted before a client's job has room.

    client : "" = not known · brings : bytes of its tables · most : jobs of all clients
    but : a job that is there already and is to bring more
    Raises UsageError (too_many_jobs) where there would be no room even so.
    """
    asked = ("SELECT id, client, phase, brought FROM jobs WHERE owner = '' AND id != ? "
             "ORDER BY created, rowid")  # fmt: skip
    left = db.execute(asked, (but,)).fetchall()
    out: list[str] = []
    while True:
        mine = [row for row in left if client and row["client"] == client]
        if _full(mine, brings, CLIENT_MOST, CLIENT_BYTES):
            among = mine
        elif _full(left, brings, most, BYTES_MOST):
            among = left
        else:
            return out
        idle = next((row for row in among if row["phase"] == "PENDING"), None)
        if idle is None:
            raise UsageError("there are too many jobs already", code="too_many_jobs",
                             remedy="delete some, or wait for theirs to end")  # fmt: skip
        left.remove(idle)
        out.append(idle["id"])


def _full(rows: Sequence[sqlite3.Row], brings: int, most: int, most_bytes: int) -> bool:
    size = sum(row["brought"] for row in rows) + brings
    return len(rows) >= most or size > most_bytes


def ends_at(row: sqlite3.Row) -> float:
    """When a job is deleted: as is said in it, or earlier where a guest never runs it."""
    said: float = row["destruction"]
    if row["owner"] or row["phase"] != "PENDING":
        return said
    return min(said, float(row["created"]) + PENDING_S)


def over(db: sqlite3.Connection, now: float) -> list[sqlite3.Row]:
    """The rows of jobs whose time is over: see `ends_at`."""
    asked = ("SELECT * FROM jobs WHERE destruction <= ? "
             "OR (owner = '' AND phase = 'PENDING' AND created <= ?)")  # fmt: skip
    return db.execute(asked, (now, now - PENDING_S)).fetchall()
