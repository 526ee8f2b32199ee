"""Queries take turns; those that run too long, or that nobody waits for any more, are ended."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..domain.errors import SpectrariumError, TransientError, UsageError

log = logging.getLogger(__name__)
POLL_S = 0.05
IDLE = 100
"""After so many looks at nothing the thread ends."""
PATIENCE_S = 2.0
"""So long a query waits for its turn."""


class Watch:
    """Interrupts a connection at its deadline or when it is cancelled; one thread looks after all.

    interrupt : ends what the connection does · most_s : until `relax` or `stop` is called
    cancelled : asked every `POLL_S` seconds
    """

    def __init__(
        self, interrupt: Callable[[], Any], most_s: float, cancelled: Callable[[], bool]
    ) -> None:
        self._interrupt = interrupt
        self._most_s = most_s
        self._deadline = time.monotonic() + most_s
        self._cancelled = cancelled
        self._lock = threading.Lock()
        self._over = False
        self.reason: SpectrariumError | None = None
        _WATCHER.add(self)

    def look(self) -> None:
        """Interrupt if it is time to."""
        if self.reason is None and time.monotonic() > self._deadline:
            self.reason = UsageError(
                f"the query took longer than {self._most_s:g} s", code="query_timeout",
                remedy="ask for less, use indexed columns, or run it in the background (async)",
            )  # fmt: skip
        elif self.reason is None and self._cancelled():
            self.reason = TransientError("the query was cancelled", code="cancelled")
        if self.reason is not None:
            with self._lock:  # again and again: one before it began would be lost
                if not self._over:
                    self._interrupt()

    def relax(self, most_s: float) -> None:
        """From now on so many seconds: the answer has begun, and the client reads it."""
        self._deadline = time.monotonic() + most_s

    def stop(self) -> None:
        """Interrupt no longer: on return the connection may be closed."""
        with self._lock:
            self._over = True
        _WATCHER.remove(self)


class _Watcher:
    """The thread that looks, as long as there is something to look at."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: set[Watch] = set()
        self._thread: threading.Thread | None = None

    def add(self, watch: Watch) -> None:
        with self._lock:
            self._watches.add(watch)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tap-watch", daemon=True)
                self._thread.start()

    def remove(self, watch: Watch) -> None:
        with self._lock:
            self._watches.discard(watch)

    def _run(self) -> None:
        idle = 0
        while True:
            time.sleep(POLL_S)
            with self._lock:
                mine = list(self._watches)
                idle = 0 if mine else idle + 1
                if idle > IDLE:
                    self._thread = None
                    return
            for watch in mine:
                try:
                    watch.look()
                except Exception:  # one that cannot be looked at must not end the others' limits
                    log.exception("a query could not be watched")


_WATCHER = _Watcher()


class Turns:
    """Queries under way, so many at a time; further ones are asked to come again.

    at_once : in all · of_one : of one client, so that none keeps all others waiting by reading
    its answers slowly
    """

    def __init__(self, at_once: int, of_one: int) -> None:
        self._at_once, self._of_one = at_once, of_one
        self._changed = threading.Condition()
        self._under_way: Counter[str] = Counter()

    @property
    def idle(self) -> bool:
        """Whether no query is under way."""
        with self._changed:
            return not self._under_way

    @contextmanager
    def one(self, client: str = "") -> Iterator[None]:
        """A query is under way for as long as the block lasts. Raises TransientError (busy).

        client : who asks; "" = nobody whose queries are counted apart
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._free(client), PATIENCE_S):
                raise TransientError("too many queries are under way", code="busy",
                                     remedy="try again in a moment")  # fmt: skip
            self._under_way[client] += 1
        try:
            yield
        finally:
            with self._changed:
                self._under_way[client] -= 1
                self._under_way += Counter()  # which forgets those of whom none is left
                self._changed.notify_all()

    def _free(self, client: str) -> bool:
        mine = self._under_way[client] if client else 0
        return self._under_way.total() < self._at_once and mine < self._of_one
