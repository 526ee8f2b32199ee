"""Who there is, what each may do, and which collections are for whom."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable

from ..domain.errors import UsageError
from ..domain.visibility import EVERYTHING, Visibility
from .database import Database
from .records import NEW_USERS_MAY, OPERATE, SEE, STATES, User, named
from .tokens import Tokens

LOCAL = "local"
"""The operator of the machine the server runs on."""
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@-]{0,62}[A-Za-z0-9])?")
_TAKEN = ("guest", LOCAL)


class Users(Tokens):
    """Users, their rights and their tokens.

    `by` is who asks for a change and needs the right to operate; None is the machine's owner, as
    on the command line.
    """

    def local(self) -> User:
        """The operator of this machine, made when first asked for."""
        with self._db.reading() as db:
            found = _user(db, LOCAL)
        if found is not None:
            return found
        with self._db.writing() as db:
            db.execute("INSERT OR IGNORE INTO users (name, created) VALUES (?, ?)",
                       (LOCAL, self._clock()))  # fmt: skip
            db.execute("INSERT OR IGNORE INTO rights VALUES (?, ?)", (LOCAL, OPERATE))
        return self.get(LOCAL)

    def add(
        self, name: str, rights: Iterable[str] = NEW_USERS_MAY, *, by: User | None = None
    ) -> User:
        """A new user. Raises UsageError: bad_name, user_exists, bad_right."""
        _operator(by)
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name.lower() in _TAKEN:
            raise UsageError(
                f"{name!r} cannot be a user's name", code="bad_name",
                remedy="take 1 to 64 of A–Z a–z 0–9 . _ @ -, beginning and ending with a letter "
                "or digit; guest and local are taken",
            )  # fmt: skip
        checked = _rights(rights)
        with self._db.writing() as db:
            made = db.execute("INSERT OR IGNORE INTO users (name, created) VALUES (?, ?)",
                              (name, self._clock())).rowcount  # fmt: skip
            if not made:
                raise UsageError(f"there is a user {name!r} already", code="user_exists")
            db.executemany("INSERT INTO rights VALUES (?, ?)", [(name, r) for r in checked])
        return self.get(name)

    def get(self, name: str) -> User:
        """One user. Raises UsageError (no_user)."""
        with self._db.reading() as db:
            return self._known(db, name)

    def list(self, *, by: User | None = None) -> list[User]:
        """All users by name."""
        _operator(by)
        with self._db.reading() as db:
            names = [r[0] for r in db.execute("SELECT name FROM users ORDER BY name")]
            return [self._known(db, name) for name in names]

    def grant(self, name: str, *rights: str, by: User | None = None) -> User:
        """Give rights: operate, judge, save, ``see:COLLECTION`` or ``see:*``."""
        _operator(by)
        checked = _rights(rights)
        with self._db.writing() as db:
            self._known(db, name)
            db.executemany("INSERT OR IGNORE INTO rights VALUES (?, ?)",
                           [(name, r) for r in checked])  # fmt: skip
            return self._known(db, name)

    def withdraw(self, name: str, *rights: str, by: User | None = None) -> User:
        """Take rights away; the machine's owner keeps operating."""
        _operator(by)
        if name == LOCAL and OPERATE in rights:
            raise UsageError("the machine's owner cannot lose the right to operate",
                             code="bad_right")  # fmt: skip
        with self._db.writing() as db:
            self._known(db, name)
            db.executemany('DELETE FROM rights WHERE user = ? AND "right" = ?',
                           [(name, r) for r in rights])  # fmt: skip
            return self._known(db, name)

    def disable(self, name: str, *, by: User | None = None) -> User:
        """Let nobody in by this name any more; what the user kept stays."""
        return self._switch(name, True, by)

    def enable(self, name: str, *, by: User | None = None) -> User:
        """Let a disabled user in again, with the tokens there were."""
        return self._switch(name, False, by)

    def _switch(self, name: str, off: bool, by: User | None) -> User:
        _operator(by)
        if name == LOCAL and off:
            raise UsageError("the machine's owner cannot be shut out", code="bad_name")
        with self._db.writing() as db:
            self._known(db, name)
            db.execute("UPDATE users SET disabled = ? WHERE name = ?", (off, name))
            return self._known(db, name)

    def _known(self, db: sqlite3.Connection, name: str) -> User:
        found = _user(db, name)
        if found is None:
            raise UsageError(f"there is no user {name!r}", code="no_user",
                             remedy="`spectrarium people list` names them")  # fmt: skip
        return found


class Collections:
    """Which collections are not for everybody. What is not declared is for who is signed in."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def declare(self, name: str, state: str, *, by: User | None = None) -> None:
        """private: only with the right ``see:NAME`` · members · public: guests too."""
        _operator(by)
        name = named(name, "collection")
        if state not in STATES:
            raise UsageError(f"a collection cannot be {state!r}", code="bad_state",
                             remedy=f"say one of: {', '.join(STATES)}")  # fmt: skip
        with self._db.writing() as db:
            if state == "members":
                db.execute("DELETE FROM collections WHERE name = ?", (name,))
            else:
                db.execute("INSERT OR REPLACE INTO collections VALUES (?, ?)", (name, state))

    def declared(self) -> dict[str, str]:
        """Collection → private or public, for those that were declared."""
        with self._db.reading() as db:
            return dict(db.execute("SELECT name, state FROM collections ORDER BY name").fetchall())

    def visibility(self, who: User) -> Visibility:
        """What a user, or a guest, may see of an archive."""
        declared = self.declared()
        if who.disabled or not who.signed_in:
            return Visibility(only=frozenset(c for c, s in declared.items() if s == "public"))
        hidden = frozenset(
            c for c, s in declared.items() if s == "private" and not who.may(SEE + c)
        )
        return Visibility(hidden) if hidden else EVERYTHING


def _user(db: sqlite3.Connection, name: str) -> User | None:
    row = db.execute("SELECT created, disabled FROM users WHERE name = ?", (name,)).fetchone()
    if row is None:
        return None
    rights = db.execute('SELECT "right" FROM rights WHERE user = ?', (name,)).fetchall()
    return User(name, frozenset(r[0] for r in rights), row["created"], bool(row["disabled"]))


def _rights(rights: Iterable[str]) -> list[str]:
    out = []
    for right in rights:
        seen = isinstance(right, str) and right.startswith(SEE) and len(right) > len(SEE)
        if not seen and right not in (OPERATE, *NEW_USERS_MAY):
            raise UsageError(
                f"there is no right {right!r}", code="bad_right",
                remedy="give operate, judge, save, see:COLLECTION or see:*",
            )  # fmt: skip
        out.append(named(right, "right"))
    return out


def _operator(by: User | None) -> None:
    if by is not None:
        by.require(OPERATE)
