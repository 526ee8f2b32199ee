"""Texts about observations: everybody signed in reads them, their writer changes them."""

from __future__ import annotations

import sqlite3

from ..domain.errors import UsageError
from .database import Database
from .records import (
    OPERATE,
    SAVE,
    Clock,
    Note,
    User,
    changed_elsewhere,
    fresh_id,
    named,
    texted,
    whole,
)

MOST_CHARACTERS = 10_000
_COLUMNS = "nid, uid, id, text, user, created, changed, revision"


class Notes:
    """Notes on observations."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def add(self, who: User, uid: int, id: str, text: str) -> Note:
        """Write a note. Raises UsageError: bad_text, not_allowed."""
        who.require(SAVE)
        nid, now = fresh_id(), self._clock()
        values = (nid, whole(uid, "uid"), named(id, "id", 1000), _text(text), who.name, now, now)
        with self._db.writing() as db:
            db.execute("INSERT INTO notes (nid, uid, id, text, user, created, changed) "
                       "VALUES (?, ?, ?, ?, ?, ?, ?)", values)  # fmt: skip
            return _note(_row(db, nid))

    def of(self, who: User, uid: int) -> list[Note]:
        """All notes on one observation, oldest first.

        Whether `who` may see the observation is for the archive's `Visibility` to say, before.
        """
        who.require_signed_in()
        with self._db.reading() as db:
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM notes WHERE uid = ? AND deleted IS NULL "
                "ORDER BY created, nid", (whole(uid, "uid"),),
            ).fetchall()  # fmt: skip
        return [_note(row) for row in rows]

    def get(self, who: User, nid: str) -> Note:
        """One note. Raises UsageError (no_note)."""
        who.require_signed_in()
        with self._db.reading() as db:
            return _note(_row(db, nid))

    def change(self, who: User, nid: str, text: str, revision: int | None = None) -> Note:
        """Write a note anew; `revision`, if given, must be the present one (ChangedElsewhere)."""
        who.require(SAVE)
        text = _text(text)
        with self._db.writing() as db:
            self._own(db, who, nid, revision)
            db.execute("UPDATE notes SET text = ?, changed = ?, revision = revision + 1 "
                       "WHERE nid = ?", (text, self._clock(), nid))  # fmt: skip
            return _note(_row(db, nid))

    def delete(self, who: User, nid: str) -> Note:
        """Take a note away; it can be brought back for a month."""
        return self._switch(who, nid, self._clock())

    def undelete(self, who: User, nid: str) -> Note:
        """Bring a note back."""
        return self._switch(who, nid, None)

    def _switch(self, who: User, nid: str, deleted: float | None) -> Note:
        who.require(SAVE)
        with self._db.writing() as db:
            self._own(db, who, nid, None, deleted_too=deleted is None)
            db.execute("UPDATE notes SET deleted = ? WHERE nid = ?", (deleted, nid))
            return _note(_row(db, nid, deleted_too=True))

    def _own(
        self, db: sqlite3.Connection, who: User, nid: str, revision: int | None,
        deleted_too: bool = False,
    ) -> None:  # fmt: skip
        row = _row(db, nid, deleted_too)
        if row["user"] != who.name and not who.may(OPERATE):
            raise UsageError("this note is somebody else's", code="not_allowed",
                             remedy="write one of your own")  # fmt: skip
        if revision is not None and revision != row["revision"]:
            raise changed_elsewhere("the note", revision, row["revision"])


def _text(text: str) -> str:
    checked = texted(text, "note", MOST_CHARACTERS)
    if not checked.strip():
        raise UsageError("the note is empty", code="bad_text", remedy="delete it instead")
    return checked


def _row(db: sqlite3.Connection, nid: str, deleted_too: bool = False) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute(
        f"SELECT {_COLUMNS}, deleted FROM notes WHERE nid = ?", (nid,)
    ).fetchone()
    if row is None or (row["deleted"] is not None and not deleted_too):
        raise UsageError(f"there is no note {nid!r}", code="no_note",
                         remedy="it may have been deleted")  # fmt: skip
    return row


def _note(row: sqlite3.Row) -> Note:
    return Note(*tuple(row)[:8])
