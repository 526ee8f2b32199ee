"""The server process: a socket, patience with slow clients, a quiet end."""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..domain.errors import UsageError
from .vo_streaming import STALLED_S

HEAD_S = 15.0
"""A connection has so long to send the head of a request."""
IDLE_S = 10
GRACE_S = 1
"""After Ctrl-C, answers under way have so long."""
CONNECTIONS = 512
HEAD_BYTES = 32 << 10


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes any free one.

    Raises UsageError: port_taken, port_denied, no_such_host
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise _no_host(host, error) from error
    family, _, _, _, address = found[0]
    # named as TCP, or asyncio leaves small answers waiting 40 ms for an acknowledgement
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name != "nt":  # there it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise _not_bound(host, port, error) from error
    return listener


def _no_host(host: str, error: OSError) -> UsageError:
    return UsageError(f"this machine has no address {host!r}: {error.strerror or error}",
                      code="no_such_host", where="--host",
                      remedy="use 127.0.0.1, or 0.0.0.0 for every address")  # fmt: skip


def _not_bound(host: str, port: int, error: OSError) -> UsageError:
    if error.errno == errno.EADDRINUSE:
        return UsageError(
            f"port {port} is taken", code="port_taken", where=f"{host}:{port}",
            remedy="is a server running already? choose another with --port, or any with --port 0",
        )  # fmt: skip
    if error.errno == errno.EACCES:
        return UsageError(f"port {port} may not be used", code="port_denied",
                          where=f"{host}:{port}", remedy="choose one above 1023")  # fmt: skip
    return _no_host(host, error)


class PatientProtocol(H11Protocol):
    """HTTP/1.1 that hangs up on clients that never finish the head of a request.

    So it does on those that read nothing of an answer for `stalled_s`: closing such a connection
    would wait for them to read the rest, and they would use up all connections there may be.
    """

    stalled_s = STALLED_S
    _patience: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Some bytes came."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._wait()
        elif self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        for timer in (self._patience, self._reading):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read as fast as it is written to."""
        super().pause_writing()
        self._look(math.inf)

    def resume_writing(self) -> None:
        """It has read most of that."""
        super().resume_writing()
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _look(self, before: float) -> None:
        """Hang up if no byte was taken since there were so many left; else look again later."""
        left = self.transport.get_write_buffer_size()
        if left >= before:
            self.transport.abort()
        else:
            self._reading = self.loop.call_later(self.stalled_s, self._look, left)

    def _wait(self) -> None:
        if self._patience is None:  # not put off by every further byte
            self._patience = self.loop.call_later(HEAD_S, self._hang_up)

    def _hang_up(self) -> None:
        self._patience = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


class QuietServer(uvicorn.Server):
    """Ends by SIGINT or SIGTERM without raising them again; calls `ready` once it answers."""

    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], None], ending: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._ending = ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let the signals end the server while the block runs."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {s: signal.signal(s, self.handle_exit) for s in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop taking requests; a second time, wait for nothing."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what is cut off is no error
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True
        self._ending()


def serve(app: Starlette, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Answer requests until a signal ends it; returns within two seconds of that."""
    config = uvicorn.Config(
        app, http=PatientProtocol, ws="none", lifespan="on", log_config=None, access_log=False,
        server_header=False, timeout_keep_alive=IDLE_S, timeout_graceful_shutdown=GRACE_S,
        limit_concurrency=CONNECTIONS, h11_max_incomplete_event_size=HEAD_BYTES,
    )  # fmt: skip
    served: Any = app.state.served
    server = QuietServer(config, ready, served.stop)
    server.run(sockets=[listener])


def leave() -> None:
    """End the process now, with code 0, if a thread is still at work that would hold it back.

    What such a thread was writing is either committed or invisible, as after a crash.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    main = threading.main_thread()
    if any(t is not main and t.is_alive() for t in threading.enumerate()):
        os._exit(0)
