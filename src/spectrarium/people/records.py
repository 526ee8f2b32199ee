"""What the people file gives out: frozen values, and the checks of what goes in."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..domain.errors import UsageError

OPERATE, JUDGE, SAVE, SEE = "operate", "judge", "save", "see:"
NEW_USERS_MAY = (JUDGE, SAVE)
STATES = ("private", "members", "public")
"""Of a collection: needs ``see:NAME`` · seen by whoever is signed in · seen by guests too."""
VERDICTS = ("interesting", "artefact", "known")
PHASES = ("QUEUED", "EXECUTING", "COMPLETED", "ERROR", "ABORTED")
UNFINISHED = ("QUEUED", "EXECUTING")


@dataclass(frozen=True, slots=True)
class User:
    """Somebody and what they may do; `created` in Unix seconds, 0 for a guest."""

    name: str
    rights: frozenset[str] = frozenset()
    created: float = 0.0
    disabled: bool = False

    @property
    def signed_in(self) -> bool:
        """False for a guest."""
        return self.name != "guest"

    def may(self, right: str) -> bool:
        """Whether this user has a right; who may operate may do everything."""
        if self.disabled or not self.signed_in:
            return False
        if OPERATE in self.rights or right in self.rights:
            return True
        return right.startswith(SEE) and f"{SEE}*" in self.rights

    def require(self, right: str) -> None:
        """Raises UsageError: sign_in for a guest, not_allowed for a user without the right."""
        self.require_signed_in()
        if not self.may(right):
            raise UsageError(f"{self.name} may not do this", code="not_allowed",
                             remedy=f"ask the operator for the right {right!r}")  # fmt: skip

    def require_signed_in(self) -> None:
        """Raises UsageError (sign_in) for a guest."""
        if not self.signed_in or self.disabled:
            raise UsageError("this is for users who are signed in", code="sign_in",
                             remedy="sign in with the token the operator gave you")  # fmt: skip


GUEST = User("guest")
"""Somebody who has not signed in."""


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made: `token` is shown here and never again."""

    token: str
    tid: str
    user: str
    expires: float | None

    def __repr__(self) -> str:  # the secret must not reach a log by way of a traceback
        return f"NewToken(tid={self.tid!r}, user={self.user!r}, expires={self.expires!r})"


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept; kind: token, session (a sign-in) or server (given at its start)."""

    tid: str
    user: str
    about: str
    kind: str
    created: float
    expires: float | None
    used: float | None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a selection came from: ``Origin("filter", "snr > 20")``."""

    kind: str = "hand"
    text: str = ""


BY_HAND = Origin()


@dataclass(frozen=True, slots=True)
class Selection:
    """A named set of observations; its uids are asked for apart.

    revision : grows by one with every change · version : of the archive it was made in
    """

    sid: str
    name: str
    about: str
    origin: Origin
    count: int
    owner: str
    shared: bool
    revision: int
    version: int | None
    created: float
    changed: float
    deleted: float | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What somebody says about an outlier of a score; verdict None takes an earlier one back."""

    jid: int
    uid: int
    id: str
    score: str
    verdict: str | None
    user: str
    when: float


@dataclass(frozen=True, slots=True)
class Note:
    """A text about one observation."""

    nid: str
    uid: int
    id: str
    text: str
    user: str
    created: float
    changed: float
    revision: int


@dataclass(frozen=True, slots=True)
class Workspace:
    """The state of somebody's screen; `state` is any JSON value (None in lists)."""

    name: str
    revision: int
    state: Any
    changed: float


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as it is remembered; params, progress, result and error are JSON values."""

    jid: str
    kind: str
    title: str
    phase: str
    owner: str
    params: Any = None
    progress: Any = None
    log: tuple[str, ...] = ()
    result: Any = None
    error: Any = None
    created: float = 0.0
    started: float | None = None
    ended: float | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that was given before to the same request."""

    status: int
    body: str


class ChangedElsewhere(UsageError):
    """Somebody else's change came first; `revision` is the present one."""

    revision = 0


def changed_elsewhere(what: str, asked: int, revision: int) -> ChangedElsewhere:
    """The error of a write that is based on an old revision."""
    error = ChangedElsewhere(
        f"{what} was changed elsewhere: revision {asked} is old", code="changed_elsewhere",
        where=f"revision {revision}", remedy="load it again, then repeat the change",
    )  # fmt: skip
    error.revision = revision
    return error


def named(value: object, what: str = "name", most: int = 200) -> str:
    """One printable line of 1 … `most` characters, without blanks around it."""
    text = texted(value, what, most).strip()
    if not text or not text.isprintable():
        raise UsageError(f"the {what} has to be one line of text", code="bad_name",
                         remedy=f"give 1 to {most} printable characters")  # fmt: skip
    return text


def texted(value: object, what: str, most: int) -> str:
    """Text that can be kept. Raises UsageError (bad_text): too long, NUL, broken characters."""
    if not isinstance(value, str):
        raise UsageError(f"the {what} is no text", code="bad_text")
    if len(value) > most:
        raise UsageError(f"the {what} has {len(value):,} characters", code="bad_text",
                         remedy=f"at most {most:,} are kept")  # fmt: skip
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"the {what} is no valid Unicode", code="bad_text") from error
    if "\0" in value:
        raise UsageError(f"the {what} holds a NUL character", code="bad_text")
    return value


def whole(value: object, what: str) -> int:
    """A whole number that fits 64 bits. Raises UsageError (bad_number)."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise UsageError(f"the {what} is no whole number", code="bad_number")
    number = int(value.__index__())
    if not -(2**63) <= number < 2**63:
        raise UsageError(f"the {what} does not fit 64 bits", code="bad_number")
    return number


def fresh_id() -> str:
    """A new identifier: 16 hexadecimal digits."""
    return secrets.token_hex(8)


Clock = Callable[[], float]
