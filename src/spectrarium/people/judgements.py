"""What users say about outliers: a history that only grows, of which the newest word counts."""

from __future__ import annotations

import sqlite3

from ..domain.errors import UsageError
from .database import Database
from .records import JUDGE, VERDICTS, Clock, Judgement, User, named, whole

_COLUMNS = "jid, uid, id, score, verdict, user, at"


class Judgements:
    """Judgements, each user's apart."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def give(self, who: User, uid: int, id: str, score: str, verdict: str | None) -> Judgement:
        """Judge an observation under a score; None takes back what was said."""
        who.require(JUDGE)
        if verdict is not None and verdict not in VERDICTS:
            raise UsageError(f"{verdict!r} is no verdict", code="bad_verdict",
                             remedy=f"say one of: {', '.join(VERDICTS)}")  # fmt: skip
        values = (whole(uid, "uid"), named(id, "id", 1000), named(score, "score"), verdict)
        with self._db.writing() as db:
            return self._append(db, who, values, None)

    def current(self, who: User, score: str | None = None) -> list[Judgement]:
        """What a user's judgements are now, the newest first, under one score or all."""
        who.require_signed_in()
        with self._db.reading() as db:
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM judgements WHERE jid IN (SELECT max(jid) FROM judgements "
                "WHERE user = ?1 AND (?2 IS NULL OR score = ?2) GROUP BY score, uid) "
                "AND verdict IS NOT NULL ORDER BY jid DESC", (who.name, score),
            ).fetchall()  # fmt: skip
        return [_judgement(row) for row in rows]

    def history(self, who: User, uid: int | None = None) -> list[Judgement]:
        """Every word of a user, what was taken back too, in the order it was said."""
        who.require_signed_in()
        with self._db.reading() as db:
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM judgements WHERE user = ?1 AND (?2 IS NULL OR uid = ?2) "
                "ORDER BY jid", (who.name, uid),
            ).fetchall()  # fmt: skip
        return [_judgement(row) for row in rows]

    def undo(self, who: User, score: str | None = None) -> Judgement | None:
        """Say again what counted before a user's last judgement; again: the one before that.

        What counts now for the observation concerned; None when nothing is left to undo.
        """
        who.require(JUDGE)
        with self._db.writing() as db:
            last = db.execute(
                f"SELECT {_COLUMNS} FROM judgements j WHERE user = ?1 AND undoes IS NULL "
                "AND (?2 IS NULL OR score = ?2) "
                "AND NOT EXISTS (SELECT 1 FROM judgements u WHERE u.undoes = j.jid) "
                "ORDER BY jid DESC LIMIT 1", (who.name, score),
            ).fetchone()  # fmt: skip
            if last is None:
                return None
            before = db.execute(
                "SELECT verdict FROM judgements j WHERE user = ? AND score = ? AND uid = ? "
                "AND jid < ? AND undoes IS NULL "
                "AND NOT EXISTS (SELECT 1 FROM judgements u WHERE u.undoes = j.jid) "
                "ORDER BY jid DESC LIMIT 1",
                (who.name, last["score"], last["uid"], last["jid"]),
            ).fetchone()  # fmt: skip
            verdict = None if before is None else before["verdict"]
            return self._append(db, who, (last["uid"], last["id"], last["score"], verdict),
                                last["jid"])  # fmt: skip

    def _append(
        self, db: sqlite3.Connection, who: User, values: tuple[int, str, str, str | None],
        undoes: int | None,
    ) -> Judgement:  # fmt: skip
        jid = db.execute(
            "INSERT INTO judgements (uid, id, score, verdict, user, undoes, at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)", (*values, who.name, undoes, self._clock()),
        ).lastrowid  # fmt: skip
        row = db.execute(f"SELECT {_COLUMNS} FROM judgements WHERE jid = ?", (jid,)).fetchone()
        return _judgement(row)


def _judgement(row: sqlite3.Row) -> Judgement:
    return Judgement(*tuple(row))
