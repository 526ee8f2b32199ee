"""Links to one file each, for programs that cannot sign in: unguessable, short-lived, in memory.

Whoever has a link has what its maker saw when it was made, for ten minutes, and nothing else.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..domain.errors import UsageError
from ..publish.publisher import Publisher

LASTS_S = 600.0
LINKS_MOST = 64
"""So many links of one person are kept, the newest."""
ROWS_MOST = 4_000_000
"""And so many rows that their tables name."""
_KEY_BYTES = 16


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """make : the file, for the address by which it is asked for · rows : that it holds in memory

    owner : whose it is · until : monotonic time
    """

    key: str
    name: str
    media_type: str
    make: Callable[[Publisher], bytes]
    rows: int
    owner: str
    until: float


class Links:
    """The links of one server."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._links: dict[str, Link] = {}

    def add(
        self, owner: str, name: str, media_type: str, make: Callable[[Publisher], bytes],
        rows: int = 1,
    ) -> Link:  # fmt: skip
        """A new link; those of its owner that are too many then end, the oldest first."""
        key = secrets.token_urlsafe(_KEY_BYTES)
        link = Link(key, name, media_type, make, rows, owner, self._clock() + LASTS_S)
        with self._lock:
            self._forget()
            self._links[key] = link
            mine = [one for one in self._links.values() if one.owner == owner]
            while len(mine) > LINKS_MOST or (
                len(mine) > 1 and sum(one.rows for one in mine) > ROWS_MOST
            ):
                del self._links[mine.pop(0).key]
        return link

    def find(self, key: str) -> Link:
        """The link of a key. Raises UsageError (no_link) where there is none, or none any more."""
        with self._lock:
            self._forget()
            found = self._links.get(key)
        if found is None:
            raise UsageError("there is no such link, or it has ended", code="no_link",
                             remedy="send it again from the page")  # fmt: skip
        return found

    def _forget(self) -> None:
        now = self._clock()
        for key in [k for k, link in self._links.items() if link.until <= now]:
            del self._links[key]
