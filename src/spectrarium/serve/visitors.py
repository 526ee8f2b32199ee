"""Who asks: the operator of this machine, somebody with a token, or a guest."""

from __future__ import annotations

import base64
import ipaddress
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from ..domain.errors import TransientError, UsageError
from ..people import People
from ..people.records import GUEST, User

if TYPE_CHECKING:
    from ..people.records import NewToken

SESSION_DAYS = 30
FAILURES, FAILURES_S = 10, 60.0
"""So many wrong tokens from one address within so many seconds, then it has to wait."""


class Visitors:
    """Turns a request's token or cookie into a user.

    open : nobody has to sign in: whoever reaches this server is the machine's operator
    """

    def __init__(self, people: People, *, open_to_all: bool, cookie: str) -> None:
        self._people = people
        self.open = open_to_all
        self.cookie = cookie
        self._lock = threading.Lock()
        self._failed: OrderedDict[str, list[float]] = OrderedDict()

    def who(
        self, request: Request, *, anyone: bool = False, cookies: bool = True
    ) -> tuple[User, str | None]:
        """(user, session that the request belongs to or None).

        cookies : False where requests of foreign pages are answered, too; a browser adds a password
        to those as it adds a cookie, so that one counts only from what is no foreign page
        Raises UsageError (sign_in) where a guest may see nothing, unless `anyone` may ask.
        """
        token = _bearer(request) or (None if cookies else _password(request))
        if token is not None:
            self._refuse_hasty(address_of(request))
            user = self._people.users.by_token(token)
            if user is None and self.open:
                return self._people.users.local(), None
            if user is None:
                self._failure(address_of(request))
                raise UsageError("this token is not known here", code="sign_in",
                                 remedy="ask the archive's operator for a token")  # fmt: skip
            return user, None
        session = request.cookies.get(self.cookie) if cookies else None
        if session:
            user = self._people.users.by_token(session)
            if user is not None:
                return user, session
        if self.open:
            return self._people.users.local(), None
        public = "public" in self._people.collections.declared().values()
        if not public and not anyone:
            raise UsageError("sign in first", code="sign_in", remedy="give your token")
        return GUEST, None

    def sign_in(self, request_address: str, token: str) -> NewToken:
        """A new session. Raises UsageError (sign_in), TransientError (too_many_failures)."""
        self._refuse_hasty(request_address)
        session = self._people.users.sign_in(token, SESSION_DAYS)
        if session is None:
            self._failure(request_address)
            raise UsageError("this token is not known here", code="sign_in",
                             remedy="check it, or ask the archive's operator for one")  # fmt: skip
        return session

    def set_cookie(self, answer: Response, session: str, *, secure: bool) -> None:
        """Let the browser keep a session, out of every script's reach."""
        answer.set_cookie(self.cookie, session, max_age=SESSION_DAYS * 86400, path="/",
                          secure=secure, httponly=True, samesite="strict")  # fmt: skip

    def _refuse_hasty(self, address: str) -> None:
        now = time.monotonic()
        with self._lock:
            recent = [t for t in self._failed.get(address, ()) if now - t < FAILURES_S]
        if len(recent) >= FAILURES:
            raise TransientError("too many wrong tokens from this address",
                                 code="too_many_failures", remedy="wait a minute")  # fmt: skip

    def _failure(self, address: str) -> None:
        now = time.monotonic()
        with self._lock:
            recent = [t for t in self._failed.pop(address, ()) if now - t < FAILURES_S]
            self._failed[address] = [*recent, now]
            while len(self._failed) > 1000:
                self._failed.popitem(last=False)


def _authorization(request: Request, scheme: str) -> str | None:
    kind, _, said = request.headers.get("authorization", "").partition(" ")
    return said.strip() if kind.lower() == scheme else None


def _bearer(request: Request) -> str | None:
    return _authorization(request, "bearer")


def _password(request: Request) -> str | None:
    """The password of HTTP Basic: a token, whatever the name beside it."""
    said = _authorization(request, "basic")
    if said is None or request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return None
    try:
        return base64.b64decode(said, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def address_of(request: Request) -> str:
    """The address a request came from."""
    return request.client.host if request.client else ""


def client_of(request: Request) -> str:
    """The address a request came from; of IPv6 the network, as one client has all of it."""
    address = address_of(request)
    if ":" not in address:
        return address
    try:
        return str(ipaddress.IPv6Network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address
