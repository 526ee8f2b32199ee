"""Tokens and sign-ins: only their hashes are kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from contextlib import suppress

from ..domain.errors import TransientError, UsageError
from .database import Database
from .records import OPERATE, Clock, NewToken, Token, User, fresh_id, texted

PREFIX = "spt_"
DAY_S = 86400.0
SESSION_DAYS = 30.0
LEAST_SERVER_TOKEN = 16
_USED_EVERY_S = 3600.0
"""How exactly it is known when a token was last used: asking must not write every time."""


class Tokens:
    """What `Users` can do about tokens."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        with db.reading() as one:
            (salt,) = one.execute("SELECT value FROM facts WHERE name = 'salt'").fetchone()
        self._salt: bytes = salt

    def add_token(
        self, name: str, about: str = "", days: float | None = None, *, by: User | None = None
    ) -> NewToken:
        """A token for a user, shown this once; days : until it ends, None = until it is revoked."""
        if by is not None:
            by.require(OPERATE)
        if days is not None and not 0 < days <= 36500:
            raise UsageError(f"{days:g} days are no time to live", code="bad_days")
        about = texted(about, "text about the token", 500)
        expires = None if days is None else self._clock() + days * DAY_S
        with self._db.writing() as db:
            if db.execute("SELECT 1 FROM users WHERE name = ?", (name,)).fetchone() is None:
                raise UsageError(f"there is no user {name!r}", code="no_user")
            return self._keep(db, _new_secret(), name, "token", about, None, expires)

    def tokens(self, name: str | None = None, *, by: User | None = None) -> list[Token]:
        """Tokens, sign-ins included, oldest first, of one user or of all."""
        if by is not None:
            by.require(OPERATE)
        with self._db.reading() as db:
            rows = db.execute(
                "SELECT tid, user, about, kind, created, expires, used FROM tokens "
                "WHERE ?1 IS NULL OR user = ?1 ORDER BY created, tid", (name,),
            ).fetchall()  # fmt: skip
        return [Token(**dict(row)) for row in rows]

    def revoke(self, tid: str, *, by: User | None = None) -> None:
        """End a token and the sign-ins made with it. Raises UsageError (no_token)."""
        if by is not None:
            by.require(OPERATE)
        with self._db.writing() as db:
            if not db.execute("DELETE FROM tokens WHERE tid = ?", (tid,)).rowcount:
                raise UsageError(f"there is no token {tid!r}", code="no_token",
                                 remedy="`spectrarium people tokens` names them")  # fmt: skip

    def by_token(self, token: str) -> User | None:
        """Whose token or sign-in this is; None if it is none, or ended, or its user is disabled."""
        with self._db.reading() as db:
            row = self._valid(db, token)
            if row is None:
                return None
            rights = db.execute('SELECT "right" FROM rights WHERE user = ?',
                                (row["user"],)).fetchall()  # fmt: skip
        now = self._clock()
        if row["used"] is None or abs(now - row["used"]) > _USED_EVERY_S:
            with suppress(TransientError), self._db.writing() as db:  # nobody is kept out by this
                db.execute("UPDATE tokens SET used = ? WHERE tid = ?", (now, row["tid"]))
        return User(row["user"], frozenset(r[0] for r in rights), row["user_created"])

    def set_server_token(self, token: str) -> None:
        """Let in, as the machine's owner, who has the token that the server was started with.

        Another one from an earlier start ends, with the sign-ins made with it.
        """
        if len(token) < LEAST_SERVER_TOKEN:
            raise UsageError(f"the token has fewer than {LEAST_SERVER_TOKEN} characters",
                             code="weak_token")  # fmt: skip
        digest = self._hash(token)
        with self._db.writing() as db:
            db.execute("INSERT OR IGNORE INTO users (name, created) VALUES ('local', ?)",
                       (self._clock(),))  # fmt: skip
            db.execute("INSERT OR IGNORE INTO rights VALUES ('local', ?)", (OPERATE,))
            db.execute("DELETE FROM tokens WHERE kind = 'server' AND hash != ?", (digest,))
            there = db.execute("SELECT kind FROM tokens WHERE hash = ?", (digest,)).fetchone()
            if there is not None and there["kind"] != "server":
                raise UsageError("this token is a user's own", code="token_taken",
                                 remedy="start the server with another one")  # fmt: skip
            if there is None:
                self._keep(db, token, "local", "server", "given at the server's start", None, None)

    def sign_in(self, token: str, days: float = SESSION_DAYS) -> NewToken | None:
        """A session for whoever has this token; it ends with it. None if the token is not valid."""
        with self._db.writing() as db:
            row = self._valid(db, token)
            if row is None or row["kind"] == "session":
                return None
            expires = self._clock() + days * DAY_S
            if row["expires"] is not None:
                expires = min(expires, row["expires"])
            return self._keep(db, _new_secret(), row["user"], "session", "", row["tid"], expires)

    def sign_out(self, session: str) -> None:
        """End a session; nothing happens for what is none."""
        with self._db.writing() as db:
            db.execute("DELETE FROM tokens WHERE hash = ? AND kind = 'session'",
                       (self._hash(session),))  # fmt: skip

    def _valid(self, db: sqlite3.Connection, token: str) -> sqlite3.Row | None:
        row: sqlite3.Row | None = db.execute(
            "SELECT t.tid, t.user, t.kind, t.expires, t.used, u.created AS user_created "
            "FROM tokens t JOIN users u ON u.name = t.user WHERE t.hash = ? AND NOT u.disabled",
            (self._hash(token),),
        ).fetchone()
        if row is None or (row["expires"] is not None and row["expires"] <= self._clock()):
            return None
        return row

    def _keep(
        self, db: sqlite3.Connection, secret: str, user: str, kind: str, about: str,
        parent: str | None, expires: float | None,
    ) -> NewToken:  # fmt: skip
        tid = fresh_id()
        db.execute(
            "INSERT INTO tokens (tid, user, hash, kind, about, parent, created, expires) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (tid, user, self._hash(secret), kind, about, parent, self._clock(), expires),
        )
        return NewToken(secret, tid, user, expires)

    def _hash(self, token: str) -> bytes:
        """A token has 256 random bits, so one fast hash is enough; salted, files do not compare."""
        return hmac.new(self._salt, token.encode("utf-8", "replace"), hashlib.sha256).digest()


def _new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(32)
