"""What stands before every route: who may address this server, and how browsers must treat it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..domain.errors import SpectrariumError, UsageError
from .asking import SLASH
from .errors import error_answer

if TYPE_CHECKING:
    from .holding import Holdings

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self' http://localhost:21012 http://127.0.0.1:21012; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Port 21012 of the visitor's machine is that of SAMP's hub (SAMP 1.3, 5.2.1): "Send to …"."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
VO_HEADERS = {
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Range",
    "Access-Control-Expose-Headers": "Content-Disposition, Location, WWW-Authenticate",
}
"""Below /vo pages of others, such as web clients of the Virtual Observatory, may ask and read."""
_SAFE = ("GET", "HEAD", "OPTIONS")
MARK = "x-spectrarium"
"""Header of every write: a form of another site cannot send it."""


class Guard:
    """Checks the host, the origin of writes and the path; adds the headers of every answer.

    names : host names the server answers to, without ports · "*" stands for any address in numbers,
    which no foreign name can be made to mean
    """

    def __init__(self, app: ASGIApp, names: frozenset[str], holdings: Holdings) -> None:
        self.app = app
        self.names = names
        self.holdings = holdings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self.app(scope, receive, send)
            return
        api = _below(scope["path"], "/api")
        vo = _below(scope["path"], "/vo")

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in (HEADERS | VO_HEADERS if vo else HEADERS).items():
                    headers.setdefault(name, value)
                if api:
                    headers.setdefault("X-Spectrarium-Version", str(self.holdings.version))
                    headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        try:
            self._check(scope, vo)
            if api:
                scope = {**scope, "path": _path(scope)}
        except SpectrariumError as error:
            await error_answer(error)(scope, receive, dressed)
            return
        await self.app(scope, receive, dressed)

    def _check(self, scope: Scope, vo: bool) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._known(host):
            raise UsageError(
                f"this server is not called {host[:80]!r}", code="bad_host", where="Host",
                remedy="use the address it printed, or start it with --name for this one",
            )  # fmt: skip
        if scope["method"] in _SAFE or vo:  # there no cookie counts, so no page acts for another
            return
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc.lower() != host.lower()
        if foreign or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise UsageError("writes come from this server's own page only", code="not_allowed",
                             where="Origin")  # fmt: skip
        if headers.get(MARK) != "1":
            raise UsageError("a write needs the header X-Spectrarium: 1", code="not_allowed",
                             where="X-Spectrarium", remedy="send it")  # fmt: skip

    def _known(self, host: str) -> bool:
        name = host_name(host)
        return name in self.names or ("*" in self.names and _address(name) is not None)


def _below(path: str, root: str) -> bool:
    return path == root or path.startswith(root + "/")


def _path(scope: Scope) -> str:
    """The path with each part decoded by itself: an escaped slash is no end of a part."""
    raw = scope.get("raw_path") or scope["path"].encode()
    parts = [unquote(part) for part in raw.split(b"?")[0].decode("latin-1").split("/")]
    if any(SLASH in part for part in parts):
        raise UsageError("the path holds a NUL character", code="bad_parameter", where="path")
    return "/".join(part.replace("/", SLASH) for part in parts)


def host_name(host: str) -> str:
    """``[::1]:8600`` → ``::1``, ``Localhost:80`` → ``localhost``."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    found = _address(host.strip("[]"))
    return found.is_loopback if found is not None else host.lower() == "localhost"


def names_of(host: str, more: Iterable[str] = ()) -> frozenset[str]:
    """Host names that a server listening on `host` is rightly addressed by."""
    names = {"localhost", "127.0.0.1", "::1", host.strip("[]").lower(), *(m.lower() for m in more)}
    if not is_loopback(host):
        names |= {"*", socket.gethostname().lower(), socket.getfqdn().lower()}
    return frozenset(names)
