"""The state of a user's screens, kept as they work."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from ..domain.errors import UsageError
from .database import Database
from .records import SAVE, Clock, User, Workspace, changed_elsewhere, named, whole

MOST_BYTES = 2**20
MOST_WORKSPACES = 1000


class Workspaces:
    """Workspaces, each user's apart."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def get(self, who: User, name: str) -> Workspace:
        """One workspace with its state. Raises UsageError (no_workspace)."""
        who.require_signed_in()
        with self._db.reading() as db:
            row = _row(db, who, name)
        if row is None or row["deleted"] is not None:
            raise _none(name)
        return _workspace(row)

    def list(self, who: User) -> list[Workspace]:
        """A user's workspaces without their states, the one changed last first."""
        who.require_signed_in()
        with self._db.reading() as db:
            rows = db.execute("SELECT name, revision, changed FROM workspaces WHERE user = ? AND "
                              "deleted IS NULL ORDER BY changed DESC, name",
                              (who.name,)).fetchall()  # fmt: skip
        return [Workspace(r["name"], r["revision"], None, r["changed"]) for r in rows]

    def put(self, who: User, name: str, state: Any, revision: int) -> Workspace:
        """Save a state that was made from `revision` (0 = there was none).

        Raises ChangedElsewhere when another one is the present one: two tabs never overwrite each
        other unseen.
        """
        who.require(SAVE)
        name, text = named(name), json_text(state, "state", MOST_BYTES)
        revision = whole(revision, "revision")
        with self._db.writing() as db:
            row = _row(db, who, name)
            there = 0 if row is None or row["deleted"] is not None else int(row["revision"])
            if revision != there:
                raise changed_elsewhere(f"the workspace {name!r}", revision, there)
            (held,) = db.execute("SELECT count(*) FROM workspaces WHERE user = ?",
                                 (who.name,)).fetchone()  # fmt: skip
            if row is None and held >= MOST_WORKSPACES:
                raise UsageError(f"{held} workspaces are as many as are kept", code="too_many",
                                 remedy="delete some")  # fmt: skip
            # of a deleted one the number goes on: an old tab must not fit the new one by chance
            number = 1 if row is None else row["revision"] + 1
            db.execute("INSERT OR REPLACE INTO workspaces VALUES (?, ?, ?, ?, ?, NULL)",
                       (who.name, name, text, number, self._clock()))  # fmt: skip
            return _workspace(_there(_row(db, who, name), name))

    def delete(self, who: User, name: str) -> Workspace:
        """Take a workspace away; it can be brought back for a month."""
        return self._switch(who, name, self._clock())

    def undelete(self, who: User, name: str) -> Workspace:
        """Bring a workspace back, unless another one has taken its name since."""
        return self._switch(who, name, None)

    def _switch(self, who: User, name: str, deleted: float | None) -> Workspace:
        who.require(SAVE)
        with self._db.writing() as db:
            row = _there(_row(db, who, name), name)
            if deleted is not None and row["deleted"] is not None:
                raise _none(name)
            db.execute("UPDATE workspaces SET deleted = ? WHERE user = ? AND name = ?",
                       (deleted, who.name, name))  # fmt: skip
            return _workspace(row)


def json_text(value: Any, what: str, most: int) -> str:
    """A JSON value as text. Raises UsageError: bad_json, too_large."""
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"the {what} is no JSON: {error}", code="bad_json") from error
    if len(text) > most:
        raise UsageError(f"the {what} has {len(text):,} bytes", code="too_large",
                         remedy=f"at most {most:,} are kept")  # fmt: skip
    return text


def _row(db: sqlite3.Connection, who: User, name: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute(
        "SELECT name, state, revision, changed, deleted FROM workspaces "
        "WHERE user = ? AND name = ?", (who.name, name),
    ).fetchone()  # fmt: skip
    return row


def _there(row: sqlite3.Row | None, name: str) -> sqlite3.Row:
    if row is None:
        raise _none(name)
    return row


def _none(name: str) -> UsageError:
    return UsageError(f"there is no workspace {name!r}", code="no_workspace")


def _workspace(row: sqlite3.Row) -> Workspace:
    return Workspace(row["name"], row["revision"], json.loads(row["state"]), row["changed"])
