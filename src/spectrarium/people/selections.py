"""Named sets of observations: uids only, since rows change with every version of an archive."""

from __future__ import annotations

import sqlite3
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from ..domain.errors import DataError, UsageError
from .database import Database
from .records import (
    BY_HAND,
    OPERATE,
    SAVE,
    Clock,
    Origin,
    Selection,
    User,
    changed_elsewhere,
    fresh_id,
    named,
    texted,
    whole,
)

MOST_UIDS = 10_000_000
_COLUMNS = ("sid, name, about, kind, text, count, owner, shared, revision, version, created, "
            "changed, deleted")  # fmt: skip
Uids = NDArray[np.int64]


class Selections:
    """Selections of all users; each sees their own and those that are shared."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def create(
        self, who: User, name: str, uids: npt.ArrayLike, about: str = "",
        origin: Origin = BY_HAND, version: int | None = None,
    ) -> Selection:  # fmt: skip
        """Keep a set. Raises UsageError: bad_name, bad_text, bad_uids, too_large, not_allowed."""
        who.require(SAVE)
        kept, sid, now = _uids(uids), fresh_id(), self._clock()
        values = (sid, named(name), texted(about, "description", 10_000), *_origin(origin),
                  len(kept), who.name, now, now, _version(version))  # fmt: skip
        blob = packed(kept)  # before the transaction: others wait no longer than they must
        with self._db.writing() as db:
            db.execute("INSERT INTO selections (sid, name, about, kind, text, count, owner, "
                       "created, changed, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                       values)  # fmt: skip
            db.execute("INSERT INTO members VALUES (?, ?)", (sid, blob))
            return _selection(_row(db, who, sid))

    def deleted(self, who: User) -> list[Selection]:
        """Own selections that can still be brought back."""
        return self._listed(who, "deleted IS NOT NULL AND owner = ?")

    def _listed(self, who: User, where: str) -> list[Selection]:
        who.require_signed_in()
        with self._db.reading() as db:
            rows = db.execute(f"SELECT {_COLUMNS} FROM selections WHERE {where} "
                              "ORDER BY changed DESC, sid", (who.name,)).fetchall()  # fmt: skip
        return [_selection(row) for row in rows]

    def get(self, who: User, sid: str) -> Selection:
        """One selection. Raises UsageError (no_selection), for another's private one too."""
        who.require_signed_in()
        with self._db.reading() as db:
            return _selection(_row(db, who, sid))

    def uids(self, who: User, sid: str) -> Uids:
        """(n,) its uids, ascending."""
        who.require_signed_in()
        with self._db.reading() as db:
            count = _row(db, who, sid)["count"]
            (blob,) = db.execute("SELECT uids FROM members WHERE sid = ?", (sid,)).fetchone()
        return unpacked(blob, count)

    def update(
        self, who: User, sid: str, revision: int, *, name: str | None = None,
        about: str | None = None, shared: bool | None = None, uids: npt.ArrayLike | None = None,
        origin: Origin | None = None, version: int | None = None,
    ) -> Selection:  # fmt: skip
        """Change what is given; `revision` is the one the change was made from.

        Raises ChangedElsewhere when it is no longer the present one.
        """
        who.require(SAVE)
        new: dict[str, Any] = {}
        if name is not None:
            new["name"] = named(name)
        if about is not None:
            new["about"] = texted(about, "description", 10_000)
        if shared is not None:
            new["shared"] = bool(shared)
        if origin is not None:
            new["kind"], new["text"] = _origin(origin)
        if version is not None:
            new["version"] = _version(version)
        blob = None
        if uids is not None:
            kept = _uids(uids)
            new["count"], blob = len(kept), packed(kept)
        with self._db.writing() as db:
            self._own(db, who, sid, whole(revision, "revision"))
            if blob is not None:
                db.execute("UPDATE members SET uids = ? WHERE sid = ?", (blob, sid))
            return self._changed(db, who, sid, new)

    def delete(self, who: User, sid: str, revision: int | None = None) -> Selection:
        """Take a selection away; it can be brought back for a month."""
        who.require(SAVE)
        with self._db.writing() as db:
            self._own(db, who, sid, revision)
            return self._changed(db, who, sid, {"deleted": self._clock()})

    def undelete(self, who: User, sid: str) -> Selection:
        """Bring a selection back; one that is there stays as it is."""
        who.require(SAVE)
        with self._db.writing() as db:
            row = _row(db, who, sid, deleted_too=True)
            if row["deleted"] is None:
                return _selection(row)
            self._own(db, who, sid, None, deleted_too=True)
            return self._changed(db, who, sid, {"deleted": None})

    def _own(
        self, db: sqlite3.Connection, who: User, sid: str, revision: int | None,
        deleted_too: bool = False,
    ) -> None:  # fmt: skip
        row = _row(db, who, sid, deleted_too)
        if row["owner"] != who.name and not who.may(OPERATE):
            raise UsageError("this selection is somebody else's", code="not_allowed",
                             remedy="save a copy of your own")  # fmt: skip
        if revision is not None and revision != row["revision"]:
            raise changed_elsewhere("the selection", revision, row["revision"])

    def _changed(
        self, db: sqlite3.Connection, who: User, sid: str, new: dict[str, Any]
    ) -> Selection:
        new = new | {"changed": self._clock()}
        names = ", ".join(f"{column} = ?" for column in new)
        db.execute(f"UPDATE selections SET revision = revision + 1, {names} WHERE sid = ?",
                   (*new.values(), sid))  # fmt: skip
        return _selection(_row(db, who, sid, deleted_too=True))

    def list(self, who: User) -> list[Selection]:  # last: its name hides the type's
        """Own and shared selections, the one changed last first."""
        return self._listed(who, "deleted IS NULL AND (owner = ? OR shared)")


def packed(uids: Uids) -> bytes:
    """Ascending uids in two thirds of their size: the bytes of their steps, by significance."""
    steps = np.diff(uids.astype("<u8"), prepend=np.uint64(0)).astype("<u8")
    planes = steps.view(np.uint8).reshape(-1, 8).T
    return zlib.compress(np.ascontiguousarray(planes).tobytes(), 1)


def unpacked(blob: bytes, count: int) -> Uids:
    """What `packed` packed. Raises DataError (damaged_people) if it is not `count` uids."""
    try:
        raw = zlib.decompressobj().decompress(blob, 8 * count + 1)
    except zlib.error as error:
        raise DataError(f"a selection is damaged: {error}", code="damaged_people") from error
    if len(raw) != 8 * count:
        raise DataError("a selection is damaged: it has another length", code="damaged_people")
    planes = np.frombuffer(raw, np.uint8).reshape(8, -1).T
    steps = np.ascontiguousarray(planes).view("<u8").reshape(-1)
    return np.cumsum(steps, dtype=np.uint64).astype(np.int64)


def _uids(values: npt.ArrayLike) -> Uids:
    array = np.asarray(values)
    if not array.size:
        return np.empty(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu" or (
        array.dtype == np.uint64 and int(array.max()) >= 2**63
    ):  # fmt: skip
        raise UsageError("uids are whole numbers of 64 bits in one row", code="bad_uids")
    if len(array) > MOST_UIDS:
        raise UsageError(f"{len(array):,} observations are too many to keep", code="too_large",
                         remedy=f"at most {MOST_UIDS:,}; keep the filter instead")  # fmt: skip
    ordered = np.sort(array.astype(np.int64))  # ten times as quick as `np.unique`, which hashes
    first = np.ones(len(ordered), bool)
    first[1:] = ordered[1:] != ordered[:-1]
    kept: Uids = ordered[first]
    return kept


def _origin(origin: Origin) -> tuple[str, str]:
    return named(origin.kind, "origin", 40), texted(origin.text, "origin", 20_000)


def _version(version: int | None) -> int | None:
    return None if version is None else whole(version, "version")


def _row(db: sqlite3.Connection, who: User, sid: str, deleted_too: bool = False) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute(
        f"SELECT {_COLUMNS} FROM selections WHERE sid = ?", (sid,)
    ).fetchone()
    there = row is not None and (
        row["owner"] == who.name or who.may(OPERATE) or (row["shared"] and row["deleted"] is None)
    )
    if row is None or not there or (row["deleted"] is not None and not deleted_too):
        raise UsageError(f"there is no selection {sid!r}", code="no_selection",
                         remedy="it may have been deleted, or not be shared with you")  # fmt: skip
    return row


def _selection(row: sqlite3.Row) -> Selection:
    values = dict(row)
    origin = Origin(values.pop("kind"), values.pop("text"))
    return Selection(origin=origin, **(values | {"shared": bool(row["shared"])}))
