"""Jobs as they are remembered after the server that ran them is gone."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from ..domain.errors import UsageError
from .database import Database
from .records import (
    OPERATE,
    PHASES,
    UNFINISHED,
    Clock,
    JobRecord,
    User,
    named,
    texted,
)
from .workspaces import json_text

MOST_LOG_LINES = 2_000
MOST_BYTES = 2**20
_COLUMNS = ("jid, kind, title, phase, owner, params, progress, log, result, error, created, "
            "started, ended")  # fmt: skip
_JSON = ("params", "progress", "log", "result", "error")


class Jobs:
    """Records of jobs, written by whoever runs them."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def put(self, job: JobRecord) -> None:
        """Write a job's record, the first time or anew. Of a long log the last lines are kept."""
        if job.phase not in PHASES:
            raise UsageError(f"a job cannot be {job.phase!r}", code="bad_phase",
                             remedy=f"one of: {', '.join(PHASES)}")  # fmt: skip
        values: dict[str, Any] = {
            "jid": named(job.jid, "job's id", 64), "kind": named(job.kind, "kind", 64),
            "title": texted(job.title, "title", 1000), "phase": job.phase, "owner": job.owner,
            "created": job.created or self._clock(), "started": job.started, "ended": job.ended,
        }  # fmt: skip
        log = [line[:2000] for line in job.log[-MOST_LOG_LINES:]]
        values |= {n: json_text(getattr(job, n), n, MOST_BYTES) for n in _JSON if n != "log"}
        values["log"] = json_text(log, "log", 8 * MOST_BYTES)
        marks = ", ".join("?" * len(values))
        new = ", ".join(f"{n} = excluded.{n}" for n in values if n not in ("jid", "owner"))
        with self._db.writing() as db:
            db.execute(
                f"INSERT INTO jobs ({', '.join(values)}) VALUES ({marks}) "
                f"ON CONFLICT (jid) DO UPDATE SET {new}", tuple(values.values()),
            )  # fmt: skip

    def get(self, who: User, jid: str) -> JobRecord:
        """One's own job, or any for the operator. Raises UsageError (no_job)."""
        who.require_signed_in()
        with self._db.reading() as db:
            return _job(_row(db, who, jid))

    def list(self, who: User, most: int = 500) -> list[JobRecord]:
        """One's own jobs, or all for the operator, the newest first."""
        who.require_signed_in()
        owner = None if who.may(OPERATE) else who.name
        with self._db.reading() as db:
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM jobs WHERE ?1 IS NULL OR owner = ?1 "
                "ORDER BY created DESC, jid LIMIT ?2", (owner, most),
            ).fetchall()  # fmt: skip
        return [_job(row) for row in rows]

    def delete(self, who: User, jid: str) -> None:
        """Forget a job. Raises UsageError (no_job)."""
        who.require_signed_in()
        with self._db.writing() as db:
            _row(db, who, jid)
            db.execute("DELETE FROM jobs WHERE jid = ?", (jid,))

    def interrupted(self, why: str) -> int:
        """Mark as aborted what a server that is gone left unfinished; how many there were.

        To be called at a server's start, by the only server of this file.
        """
        error = json_text({"code": "interrupted", "what": why, "where": "",
                           "remedy": "start it again"}, "error", MOST_BYTES)  # fmt: skip
        with self._db.writing() as db:
            return db.execute(
                "UPDATE jobs SET phase = 'ABORTED', ended = ?, error = ? WHERE phase IN (?, ?)",
                (self._clock(), error, *UNFINISHED),
            ).rowcount


def _row(db: sqlite3.Connection, who: User, jid: str) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute(
        f"SELECT {_COLUMNS} FROM jobs WHERE jid = ?", (jid,)
    ).fetchone()
    if row is None or (row["owner"] != who.name and not who.may(OPERATE)):
        raise UsageError(f"there is no job {jid!r}", code="no_job")
    return row


def _job(row: sqlite3.Row) -> JobRecord:
    values = dict(row) | {n: json.loads(row[n]) for n in _JSON}
    return JobRecord(**(values | {"log": tuple(values["log"])}))
