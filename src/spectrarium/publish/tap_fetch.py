"""A table to be uploaded that lies elsewhere, fetched without being led astray.

Only hosts that the operator allows, only http and https, no redirects, no proxies; the address a
name resolves to is the one that is connected to, and lies in the open unless the host is named.
Source: OWASP, Server-Side Request Forgery Prevention Cheat Sheet.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Collection
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..domain.errors import UsageError

_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """hosts : ``name`` or ``name:port`` are allowed as they are; ``*.domain`` and ``*`` allow what
    lies in the open · most_bytes, most_s : of one answer, from the name to its last byte"""

    hosts: tuple[str, ...] = ()
    most_bytes: int = 64 << 20
    most_s: float = 30.0


def fetched(url: str, limits: FetchLimits) -> bytes:
    """What lies at an address. Raises UsageError (upload_host, upload_failed, too_large).

    The limit of time holds for all of it, from the name to the last byte, however slowly they come:
    the work is done in a thread beside, which is cut off when its time is over.
    """
    scheme, host, port, path = _parts(url)
    named = _allowed(host, port, limits.hosts)
    try:
        connection = _connection(scheme, host, port, limits.most_s)
    except http.client.InvalidURL as error:
        raise _refused_upload(url, "it is no address") from error
    found: Future[bytes] = Future()

    def work() -> None:
        try:
            connection.address = _address(host, port, named)
            found.set_result(_read(connection, path, url, limits))
        except BaseException as error:  # noqa: BLE001  raised where it is waited for
            found.set_exception(error)

    threading.Thread(target=work, name="tap-fetch", daemon=True).start()
    try:
        return found.result(limits.most_s)
    except TimeoutError as error:
        connection.cut_off()
        raise _failed(url, f"it took longer than {limits.most_s:g} s") from error


def _read(connection: _Plain, path: str, url: str, limits: FetchLimits) -> bytes:
    try:
        connection.request("GET", path, headers={
            "Accept": "application/x-votable+xml, */*", "User-Agent": "spectrarium",
            "Accept-Encoding": "identity", "Connection": "close"})  # fmt: skip
        answer = connection.getresponse()
        if answer.status != 200:
            led = ": redirects are not followed" if 300 <= answer.status < 400 else ""
            raise _failed(url, f"it answered {answer.status}{led}")
        return _body(answer, limits)
    except (OSError, http.client.HTTPException) as error:
        raise _failed(url, f"{type(error).__name__}") from error
    finally:
        connection.close()


def _parts(url: str) -> tuple[str, str, int, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode() if parts.hostname else ""
    except (ValueError, UnicodeError) as error:
        raise _refused_upload(url, "it is no address") from error
    if parts.scheme not in ("http", "https") or not host:
        raise _refused_upload(url, "only http and https are fetched")
    if parts.username is not None or parts.password is not None:
        raise _refused_upload(url, "it holds a name or password")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii() or any(c <= " " for c in path):
        raise _refused_upload(url, "it holds characters that addresses cannot")
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80), path


def _allowed(host: str, port: int, hosts: Collection[str]) -> bool:
    """Whether the host is allowed by its name; a pattern allows it less far."""
    listed = {h.strip().lower().strip("[]") for h in hosts if h.strip()}
    if host in listed or f"{host}:{port}" in listed:
        return True
    parents = {"*." + host.split(".", n)[n] for n in range(1, host.count(".") + 1)}
    if "*" in listed or parents & listed:
        return False
    raise UsageError(
        f"tables are not fetched from {host[:100]}", code="upload_host", where="UPLOAD",
        remedy="send the table inline (UPLOAD=name,param:part), or ask the operator to list the "
        "host in SPECTRARIUM_VO_UPLOAD_HOSTS",
    )  # fmt: skip


def _address(host: str, port: int, named: bool) -> str:
    """The one address to connect to: a name that resolves anew cannot change it."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _failed(host, "its name does not resolve") from error
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    if not named and not all(_open(a) for a in addresses):
        raise _refused_upload(host, "it lies in a private network")
    return addresses[0]


def _open(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    inner = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None)
    if inner is not None:
        ip = inner
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


def _connection(scheme: str, host: str, port: int, timeout_s: float) -> _Plain:
    kind = _Secure if scheme == "https" else _Plain
    return kind(host, port, timeout=min(10.0, timeout_s))


class _Plain(http.client.HTTPConnection):
    """To an address that was checked before, whatever the name resolves to now."""

    address: str
    held: socket.socket | None = None
    over = False

    def connect(self) -> None:
        self._hold(socket.create_connection((self.address, self.port), self.timeout))

    def _hold(self, sock: socket.socket) -> None:
        self.sock = self.held = sock
        if self.over:
            raise TimeoutError

    def cut_off(self) -> None:
        """End what another thread does with it."""
        self.over = True
        if self.held is not None:
            with suppress(OSError):
                socket.socket.shutdown(self.held, socket.SHUT_RDWR)


class _Secure(_Plain):
    """The same, with the certificate checked against the name."""

    def connect(self) -> None:
        super().connect()
        context = ssl.create_default_context()
        secure = context.wrap_socket(self.sock, server_hostname=self.host,
                                     do_handshake_on_connect=False)  # fmt: skip
        self._hold(secure)  # a handshake may be slow, too
        secure.do_handshake()


def _body(answer: http.client.HTTPResponse, limits: FetchLimits) -> bytes:
    parts, size = [], 0
    while piece := answer.read1(_PIECE):
        size += len(piece)
        parts.append(piece)
        if size > limits.most_bytes:
            raise UsageError(f"the table is larger than {limits.most_bytes / 2**20:g} MiB",
                             code="too_large", where="UPLOAD")  # fmt: skip
    return b"".join(parts)


def _refused_upload(what: str, why: str) -> UsageError:
    return UsageError(f"{what[:200]!r} is not fetched: {why}", code="upload_host", where="UPLOAD",
                      remedy="send the table inline: UPLOAD=name,param:part")  # fmt: skip


def _failed(what: str, why: str) -> UsageError:
    return UsageError(f"{what[:200]!r} could not be fetched: {why}", code="upload_failed",
                      where="UPLOAD", remedy="check the address")  # fmt: skip
