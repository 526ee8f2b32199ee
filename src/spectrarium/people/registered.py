"""What the archive's registry has told the world, so that it can tell what has changed since."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from .database import Database
from .records import Clock


@dataclass(frozen=True, slots=True)
class Registered:
    """One record. changed : since when it is as it is, Unix seconds · gone : it was taken away"""

    changed: float
    gone: bool


class Registry:
    """The records of the registry: when each became as it is, and which are no more."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def told(self, digests: Mapping[str, str]) -> dict[str, Registered]:
        """Remember what records there are now; what is known of each, of those no more, too.

        digests : IVOID → what changes when the record does
        """
        with self._db.reading() as db:
            known = _known(db)
        if {k: d for k, (d, _) in known.items() if d} != dict(digests):
            with self._db.writing() as db:
                _write(db, _known(db), digests, self._clock())
                known = _known(db)
        return {k: Registered(changed, not digest) for k, (digest, changed) in known.items()}


def _known(db: sqlite3.Connection) -> dict[str, tuple[str, float]]:
    found = db.execute("SELECT ivoid, digest, changed FROM registered ORDER BY ivoid").fetchall()
    return {row["ivoid"]: (row["digest"], row["changed"]) for row in found}


def _write(
    db: sqlite3.Connection, known: Mapping[str, tuple[str, float]], digests: Mapping[str, str],
    now: float,
) -> None:  # fmt: skip
    new = {**{k: "" for k, (digest, _) in known.items() if digest and k not in digests},
           **{k: d for k, d in digests.items() if known.get(k, ("", 0.0))[0] != d}}  # fmt: skip
    db.executemany("INSERT OR REPLACE INTO registered VALUES (?, ?, ?)",
                   [(ivoid, digest, now) for ivoid, digest in new.items()])  # fmt: skip
