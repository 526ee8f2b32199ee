"""Background jobs of the Virtual Observatory: kept in one SQLite file, run a few at a time.

They outlive the server: what was queued or under way when it ended is run again when it starts.
"""

from __future__ import annotations

import json
import logging
import queue
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..domain.errors import SpectrariumError, TransientError, UsageError
from ..publish.dali import Params, message_of
from ..publish.publisher import Publisher
from ..publish.uws import Job, Result
from ..store.archive import Archive
from .errors import defect
from .vo_guests import in_the_way, over
from .vo_job_rows import job_of, opened, publisher_text

AT_ONCE = 2
KEPT_S, KEPT_MOST_S = 7 * 86_400.0, 30 * 86_400.0
"""How long results are kept where nobody says otherwise, and at most."""
OWNER_MOST, ALL_MOST = 500, 5000
"""Jobs of one owner, of whom all that are not signed in are one (see `vo_guests`), and of all."""
UPLOADS_MOST, TABLES_MOST = 1 << 30, 1000
"""Bytes and number of the tables that come with one job."""
PARAMETERS_MOST = 2 << 20
"""Characters of the parameters of one job."""
SWEEP_S = 60.0
ENDED_TWICE = "FatalFault: the server ended twice while this ran"
log = logging.getLogger("spectrarium.serve")


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """What a job is to do.

    archive : as its owner may see it now · files : uploads by name · folder : results go there
    cancelled : asks whether it should stop
    """

    params: Params
    files: dict[str, bytes]
    archive: Archive
    publisher: Publisher
    folder: Path
    cancelled: Callable[[], bool]


Made = Sequence[tuple[str, Path, str]]
"""(id, file, type) of each result."""
Do = Callable[[Work], Made]
Eyes = Callable[[str], Archive]
"""Name of an owner, "" = a guest → the archive as they may see it now."""


class Jobs:
    """The jobs of one server.

    folder : of the SQLite file and of results, made if missing · kinds : what runs each kind
    eyes : whose eyes an archive is seen with
    """

    def __init__(self, folder: Path, kinds: dict[str, Do], eyes: Eyes) -> None:
        self._folder = folder
        self._kinds = kinds
        self._eyes = eyes
        self._stops: dict[str, threading.Event] = {}
        self._lock = threading.RLock()
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._ending = threading.Event()
        self._changed = threading.Condition()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._db = opened(folder / "jobs.sqlite")
        self._again()
        names = [f"vo job {i + 1}" for i in range(AT_ONCE)]
        self._threads = [threading.Thread(target=self._work, name=n, daemon=True) for n in names]
        self._threads.append(threading.Thread(target=self._sweep, name="vo sweeper", daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask what is at work to stop; it is run again by the next server."""
        self._ending.set()
        for _ in range(AT_ONCE):
            self._queue.put(None)

    def close(self) -> None:
        """Stop, wait a moment, close the file."""
        self.stop()
        for thread in self._threads:
            thread.join(2.0)
        with self._lock:
            self._db.close()

    # what there is ----------------------------------------------------------------------------

    def get(self, kind: str, id: str, owner: str) -> Job:
        """A job. Raises UsageError (no_job) where there is none, or none of this owner's."""
        with self._lock:
            row = self._db.execute("SELECT * FROM jobs WHERE id = ? AND kind = ?",
                                   (id, kind)).fetchone()  # fmt: skip
        if row is None or (row["owner"] and row["owner"] != owner):
            raise UsageError(f"there is no job {id[:60]!r}", code="no_job",
                             remedy="it may have been deleted when its time was over")  # fmt: skip
        return job_of(row)

    def list(
        self, kind: str, owner: str, phases: Sequence[str] = (), after: float | None = None,
        last: int | None = None,
    ) -> list[Job]:  # fmt: skip
        """Jobs of an owner, the oldest first; those of people who are not signed in are nobody's.

        phases : only these · after : created later than that · last : so many of the newest
        """
        if not owner:
            return []
        asked = "SELECT * FROM jobs WHERE kind = ? AND owner = ?"
        values: list[Any] = [kind, owner]
        if phases:
            asked += f" AND phase IN ({', '.join('?' * len(phases))})"
            values += phases
        if after is not None:
            asked, values = asked + " AND created > ?", [*values, after]
        asked += " ORDER BY created DESC LIMIT ?"
        with self._lock:
            rows = self._db.execute(asked, [*values, 10_000 if last is None else last]).fetchall()
        return [job_of(r) for r in reversed(rows)]

    def path(self, job: Job, result: str) -> tuple[Path, Result]:
        """Where a result lies. Raises UsageError (no_result)."""
        found = next((r for r in job.results if r.id == result), None)
        if found is None or not (path := self._home(job.id) / found.file).is_file():
            raise UsageError(f"there is no result {result[:60]!r}", code="no_result",
                             remedy="see /results for what there is")  # fmt: skip
        return path, found

    def upload(self, job: Job, name: str) -> bytes:
        """A table that came with a job. Raises UsageError (no_upload)."""
        files = self._files(job.id)
        if name not in files:
            raise UsageError(f"nothing called {name[:60]!r} came with it", code="no_upload")
        return files[name]

    def wait(self, kind: str, id: str, owner: str, phase: str, seconds: float) -> Job:
        """The job, once it has left `phase` or so many seconds have passed."""
        end = time.monotonic() + seconds
        while True:
            job = self.get(kind, id, owner)
            left = end - time.monotonic()
            if job.phase != phase or left <= 0 or self._ending.is_set():
                return job
            with self._changed:
                self._changed.wait(min(left, 1.0))

    # what can be done -------------------------------------------------------------------------

    def create(
        self, kind: str, owner: str, pairs: Sequence[tuple[str, str]], files: dict[str, bytes],
        publisher: Publisher, *, duration_s: float, run_id: str = "", until: float | None = None,
        client: str = "",
    ) -> Job:  # fmt: skip
        """A new job, PENDING. Raises UsageError (too_many_jobs, too_large).

        until : when it is deleted; within what the server keeps · client : which guest it is of
        """
        size = sum(map(len, files.values()))
        _not_large(len(files), size)
        said, now, id = parameters_text(pairs), time.time(), secrets.token_urlsafe(18)
        if not owner:
            self._make_room(client, size)
        with self._writing() as db:
            mine, everybody = (
                db.execute("SELECT count(*) FROM jobs WHERE owner = ?", (owner,)).fetchone()[0],
                db.execute("SELECT count(*) FROM jobs").fetchone()[0],
            )
            if mine >= OWNER_MOST or everybody >= ALL_MOST:
                raise UsageError("there are too many jobs already", code="too_many_jobs",
                                 remedy="delete some, or wait for theirs to end")  # fmt: skip
            home = self._home(id)
            home.mkdir(mode=0o700)
            self._keep(home, [], files)
            db.execute(
                "INSERT INTO jobs (id, kind, owner, phase, run_id, created, destruction, duration, "
                "parameters, results, error, publisher, client, brought) "
                "VALUES (?, ?, ?, 'PENDING', ?, ?, ?, ?, ?, '[]', '', ?, ?, ?)",
                (id, kind, owner, run_id[:64], now, _end(now, until), duration_s, said,
                 publisher_text(publisher), client, size),
            )  # fmt: skip
        return self.get(kind, id, owner)

    def change(self, job: Job, **values: Any) -> None:
        """Set columns of a job that has not begun. Raises UsageError (not_pending)."""
        require_pending(job)
        self._set(job.id, **values)

    def bring(self, job: Job, files: Mapping[str, bytes]) -> None:
        """Add tables to a job that has not begun, in place of those of their name.

        Raises UsageError (not_pending, too_large).
        """
        with self._lock:
            require_pending(self.get(job.kind, job.id, job.owner))
            home = self._home(job.id)
            names = json.loads((home / "uploads.json").read_text())
            left = [i for i, name in enumerate(names) if name not in files]
            size = sum((home / f"upload-{i}").stat().st_size for i in left)
            size += sum(map(len, files.values()))
            _not_large(len(left) + len(files), size)
            if not job.owner:
                client = self._db.execute("SELECT client FROM jobs WHERE id = ?", (job.id,))
                self._make_room(client.fetchone()["client"], size, but=job.id)
            self._keep(home, names, files)
            self._set(job.id, brought=size)

    def keep_until(self, job: Job, when: float) -> None:
        """Set when a job is deleted; within what the server keeps."""
        self._set(job.id, destruction=_end(job.created, when))

    def run(self, job: Job) -> None:
        """Put it into the queue. Raises UsageError (not_pending)."""
        self.change(job, phase="QUEUED")
        self._queue.put(job.id)

    def abort(self, job: Job) -> None:
        """Stop it, whether it has begun or not; one that has ended stays as it is."""
        with self._lock:
            stop = self._stops.get(job.id)
            if stop is not None:
                stop.set()
        if job.phase in ("PENDING", "QUEUED", "EXECUTING"):
            self._set(job.id, phase="ABORTED", ended=time.time())

    def delete(self, job: Job) -> None:
        """Stop it and forget all of it."""
        self.abort(job)
        with self._writing() as db:
            db.execute("DELETE FROM jobs WHERE id = ?", (job.id,))
        shutil.rmtree(self._home(job.id), ignore_errors=True)
        self._tell()

    # how it is done ---------------------------------------------------------------------------

    def _home(self, id: str) -> Path:
        return self._folder / id

    def _make_room(self, client: str, brings: int, but: str = "") -> None:
        """Delete what keeps a guest's job out. Raises UsageError (too_many_jobs)."""
        with self._writing() as db:
            ids = in_the_way(db, client, brings, OWNER_MOST, but)
            db.executemany("DELETE FROM jobs WHERE id = ?", [(id,) for id in ids])
        for id in ids:
            shutil.rmtree(self._home(id), ignore_errors=True)

    def _keep(self, home: Path, names: Sequence[str], files: Mapping[str, bytes]) -> None:
        """Write tables, then the list of their names: a server that is killed leaves no half."""
        every = [*names, *(name for name in files if name not in names)]
        for name, content in files.items():
            _written(home / f"upload-{every.index(name)}", content)
        _written(home / "uploads.json", json.dumps(every).encode())

    def _files(self, id: str) -> dict[str, bytes]:
        home = self._home(id)
        names = json.loads((home / "uploads.json").read_text())
        return {name: (home / f"upload-{i}").read_bytes() for i, name in enumerate(names)}

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._db:
            yield self._db

    def _set(self, id: str, **values: Any) -> None:
        words = ", ".join(f"{name} = ?" for name in values)
        with self._writing() as db:
            db.execute(f"UPDATE jobs SET {words} WHERE id = ?", (*values.values(), id))
        self._tell()

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _again(self) -> None:
        """Queue what the last server left; what ended two of them is not tried a third time."""
        with self._writing() as db:
            db.execute("UPDATE jobs SET phase = 'ERROR', ended = ?, error = ? WHERE phase = "
                       "'EXECUTING' AND tries > 1",
                       (time.time(), ENDED_TWICE))  # fmt: skip
            db.execute("UPDATE jobs SET phase = 'QUEUED' WHERE phase = 'EXECUTING'")
            left = db.execute("SELECT id FROM jobs WHERE phase = 'QUEUED' ORDER BY created")
            for row in left.fetchall():
                self._queue.put(row["id"])

    def _work(self) -> None:
        while not self._ending.is_set():
            id = self._queue.get()
            if id is None:
                return
            stop = threading.Event()
            with self._writing() as db:
                row = db.execute("SELECT * FROM jobs WHERE id = ? AND phase = 'QUEUED'",
                                 (id,)).fetchone()  # fmt: skip
                if row is None:  # it was aborted or deleted while it waited
                    continue
                db.execute("UPDATE jobs SET phase = 'EXECUTING', started = ?, tries = tries + 1 "
                           "WHERE id = ?", (time.time(), id))  # fmt: skip
                self._stops[id] = stop
            self._tell()
            try:
                self._one(job_of(row), json.loads(row["publisher"]), stop)
            except Exception as error:  # noqa: BLE001  a thread of ours never ends by a job
                defect(error)
            finally:
                with self._lock:
                    self._stops.pop(id, None)

    def _one(self, job: Job, publisher: dict[str, str], stop: threading.Event) -> None:
        end = time.monotonic() + job.duration_s

        def cancelled() -> bool:
            return stop.is_set() or self._ending.is_set() or time.monotonic() > end

        try:
            files = self._files(job.id)
            work = Work(Params(job.parameters), files, self._eyes(job.owner),
                        Publisher(**publisher), self._home(job.id), cancelled)  # fmt: skip
            made = self._kinds[job.kind](work)
            results = [(id, path.name, kind, path.stat().st_size) for id, path, kind in made]
            last = {"phase": "COMPLETED", "results": json.dumps(results)}
        except SpectrariumError as error:
            last = {"phase": "ERROR", "error": self._why(job, error, end)}
        except Exception as error:  # noqa: BLE001  a defect of ours is told as one
            last = {"phase": "ERROR", "error": message_of(defect(error))}
        if self._ending.is_set() and last["phase"] == "ERROR":
            return  # still EXECUTING in the file: the next server runs it again
        with self._writing() as db:
            words = ", ".join(f"{n} = ?" for n in last)
            db.execute(f"UPDATE jobs SET {words}, ended = ? WHERE id = ? AND phase = 'EXECUTING'",
                       (*last.values(), time.time(), job.id))  # fmt: skip
        self._tell()

    def _why(self, job: Job, error: SpectrariumError, end: float) -> str:
        if isinstance(error, TransientError) and time.monotonic() > end:
            return f"FatalFault: it took more than the {job.duration_s:g} s it may take"
        return message_of(error)

    def _sweep(self) -> None:
        """Delete what is past its time."""
        while not self._ending.wait(SWEEP_S):
            with self._lock:
                rows = over(self._db, time.time())
            for row in rows:
                self.delete(job_of(row))


def parameters_text(pairs: Sequence[tuple[str, str]]) -> str:
    """Parameters as they are kept. Raises UsageError (too_large)."""
    said = json.dumps(list(pairs))
    if len(said) > PARAMETERS_MOST:
        raise UsageError("the parameters of the job are too long", code="too_large",
                         remedy="upload long lists as a table")  # fmt: skip
    return said


def _end(created: float, until: float | None) -> float:
    """When a job of that age is deleted, which is to be kept until then."""
    if until is None:
        return created + KEPT_S
    return min(max(until, time.time()), created + KEPT_MOST_S)


def require_pending(job: Job) -> None:
    """Raises UsageError (not_pending) where a job has begun."""
    if job.phase != "PENDING":
        raise UsageError(f"the job is {job.phase}: it cannot be changed any more",
                         code="not_pending", remedy="make a new one")  # fmt: skip


def _not_large(count: int, size: int) -> None:
    if size > UPLOADS_MOST or count > TABLES_MOST:
        raise UsageError("the tables that came with it are too large, or too many",
                         code="too_large", remedy="send fewer")  # fmt: skip


def _written(path: Path, content: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
