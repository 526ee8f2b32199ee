"""The people file as one object: its rooms, what a user may see, and requests done once."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from ..domain.errors import UsageError
from ..domain.visibility import Visibility
from .database import Database
from .jobs import Jobs
from .judgements import Judgements
from .notes import Notes
from .records import Clock, Kept, User, named, texted, whole
from .registered import Registry
from .selections import Selections
from .tokens import DAY_S
from .users import Collections, Users
from .workspaces import Workspaces

KEPT_DELETED_DAYS = 30.0
KEPT_KEYS_DAYS = 2.0
KEPT_JOBS_DAYS = 365.0


def people_beside(archive: str | os.PathLike[str]) -> Path:
    """Where the people file of an archive is kept: beside its folder, never in it."""
    folder = Path(archive).absolute()
    return folder.with_name(f"{folder.name}.people.sqlite")


class Slot:
    """The place of an answer in `People.once`: what was answered before, or room for it."""

    def __init__(self, kept: Kept | None) -> None:
        self.kept = kept
        self.new: Kept | None = None

    def keep(self, status: int, body: str) -> None:
        """The answer that a repeated request is to get."""
        self.new = Kept(whole(status, "status"), texted(body, "answer", 2**24))


class People:
    """Users and what they keep, in one SQLite file that is made if it is missing.

    May be used by any number of threads and processes at once; what was written stays written,
    however the process ends.

    Raises
    ------
    UsageError : newer_people, no_permission, not_a_file
    DataError : not_a_people_file, damaged_people; the file is left as it is
    """

    def __init__(self, path: str | os.PathLike[str], clock: Clock = time.time) -> None:
        self.path = Path(path).absolute()
        self._db = Database(self.path)
        self._clock = clock
        self.users = Users(self._db, clock)
        self.collections = Collections(self._db)
        self.selections = Selections(self._db, clock)
        self.judgements = Judgements(self._db, clock)
        self.notes = Notes(self._db, clock)
        self.workspaces = Workspaces(self._db, clock)
        self.jobs = Jobs(self._db, clock)
        self.registry = Registry(self._db, clock)

    def __enter__(self) -> People:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def visibility(self, who: User) -> Visibility:
        """What a user, or a guest, may see of an archive."""
        return self.collections.visibility(who)

    @contextmanager
    def once(self, who: User, key: str, digest: str) -> Iterator[Slot]:
        """Do a request once, however often it comes: its writes and its answer, all or nothing.

        What the block writes here, by the same thread, is in one transaction with the answer given
        to `Slot.keep`; a block that raises leaves nothing. Of a request that was done before,
        `Slot.kept` is the answer.

        key : chosen by the client for one request · digest : of the request's content
        Raises UsageError (key_reused) when the key came with another content before.
        """
        who.require_signed_in()
        key, digest = named(key, "Idempotency-Key"), named(digest, "digest")
        with self._db.writing() as db:
            row = db.execute("SELECT digest, status, body FROM keys WHERE user = ? AND key = ?",
                             (who.name, key)).fetchone()  # fmt: skip
            if row is not None and row["digest"] != digest:
                raise UsageError("this Idempotency-Key came with another request before",
                                 code="key_reused", remedy="take a new key")  # fmt: skip
            slot = Slot(None if row is None else Kept(row["status"], row["body"]))
            yield slot
            if slot.kept is None and slot.new is not None:
                db.execute("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?)",
                           (who.name, key, digest, slot.new.status, slot.new.body,
                            self._clock()))  # fmt: skip

    def tidy(self) -> None:
        """Drop what is past its time: ended tokens, old keys and jobs, what was long deleted."""
        now = self._clock()
        with self._db.writing() as db:
            db.execute("DELETE FROM tokens WHERE expires <= ?", (now,))
            db.execute("DELETE FROM keys WHERE at <= ?", (now - KEPT_KEYS_DAYS * DAY_S,))
            db.execute("DELETE FROM jobs WHERE ended <= ?", (now - KEPT_JOBS_DAYS * DAY_S,))
            for table in ("selections", "notes", "workspaces"):
                db.execute(f"DELETE FROM {table} WHERE deleted <= ?",
                           (now - KEPT_DELETED_DAYS * DAY_S,))  # fmt: skip
