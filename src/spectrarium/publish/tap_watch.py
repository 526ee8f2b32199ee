"""Queries that run too long, or that nobody waits for any more, are ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from ..domain.errors import SpectrariumError, TransientError, UsageError

POLL_S = 0.05


class Watch:
    """Interrupts a connection at its deadline or when it is cancelled; from a thread of its own.

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
        self._over = threading.Event()
        self.reason: SpectrariumError | None = None
        self._thread = threading.Thread(target=self._look, name="tap-watch", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(POLL_S):
            if self.reason is None and self._cancelled():
                self.reason = TransientError("the query was cancelled", code="cancelled")
            elif self.reason is None and time.monotonic() > self._deadline:
                self.reason = UsageError(
                    f"the query took longer than {self._most_s:g} s", code="query_timeout",
                    remedy="ask for less, use indexed columns, or run it in the background (async)",
                )  # fmt: skip
            if self.reason is not None:
                self._interrupt()  # again and again: one before it began would be lost

    def relax(self, most_s: float) -> None:
        """From now on so many seconds: the answer has begun, and the client reads it."""
        self._deadline = time.monotonic() + most_s

    def stop(self) -> None:
        """Look no longer; returns when the thread is over."""
        self._over.set()
        if self._thread is not threading.current_thread():
            self._thread.join()
