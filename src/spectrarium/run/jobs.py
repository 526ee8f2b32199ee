"""Long work in the background: a queue, at most two at once, progress, log, cancel.

The words are those of IVOA's UWS: QUEUED, EXECUTING, COMPLETED, ERROR, ABORTED.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..domain.errors import InternalError, SpectrariumError, TransientError, UsageError
from ..domain.progress import Progress

AT_ONCE, QUEUED_MOST, KEPT_MOST = 2, 50, 200
RESULT_BYTES = 512 << 20
"""Results that are bytes are kept up to so many, the newest."""
LOG_LINES = 500
WRITE_EVERY_S = 2.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """What a job made: plain values for its record, and bytes that are fetched apart."""

    record: Mapping[str, Any]
    content: Any = field(default=None, repr=False)


Work = Callable[[Progress], Result]


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands at one moment.

    progress : {what, done, total or None} · created, started, ended : Unix seconds
    result, error : plain values · cancelling : it was asked to stop and has not yet
    """

    jid: str
    kind: str
    title: str
    owner: str
    params: Mapping[str, Any]
    created: float
    phase: str = "QUEUED"
    progress: Mapping[str, Any] | None = None
    log: tuple[str, ...] = ()
    started: float | None = None
    ended: float | None = None
    result: Mapping[str, Any] | None = None
    error: Mapping[str, str] | None = None
    cancelling: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing will come any more."""
        return self.phase in ("COMPLETED", "ERROR", "ABORTED")


class Watcher:
    """The progress of one job, for its work to tell and others to see."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._now: dict[str, Any] | None = None
        self._log: deque[str] = deque(maxlen=LOG_LINES)

    def start(self, what: str, total: int | None) -> None:
        """Begin a stage."""
        with self._lock:
            self._now = {"what": what, "done": 0, "total": total}
        self.note(what)

    def advance(self, steps: int = 1) -> None:
        """Some steps are done."""
        with self._lock:
            if self._now is not None:
                self._now["done"] += steps
        self._changed()

    def note(self, text: str) -> None:
        """A line of the log."""
        stamp = time.strftime("%H:%M:%S", time.gmtime())
        with self._lock:
            self._log.append(f"{stamp} {text}")
        self._changed()

    def cancelled(self) -> bool:
        """True once the job was asked to stop."""
        return self._stop.is_set()

    def cancel(self) -> None:
        """Ask the job to stop."""
        self._stop.set()

    def seen(self) -> dict[str, Any]:
        """What there is to see at this moment."""
        with self._lock:
            now = None if self._now is None else dict(self._now)
            return {"progress": now, "log": tuple(self._log)}


@dataclass(eq=False)
class _Running:
    job: Job
    work: Work
    watcher: Watcher
    written: float = 0.0


class Jobs:
    """Runs jobs in threads and remembers what became of them.

    keep : called, from a thread of its own, with a job when there is something worth remembering
    """

    def __init__(self, keep: Callable[[Job], None], at_once: int = AT_ONCE) -> None:
        self._keep = keep
        self._lock = threading.RLock()
        self._jobs: OrderedDict[str, _Running] = OrderedDict()
        self._results: OrderedDict[str, Any] = OrderedDict()
        self._unwritten: OrderedDict[str, _Running] = OrderedDict()
        self._wake = threading.Condition(self._lock)
        self._stopping = self._closed = self._ended = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"job {i}", daemon=True)
            for i in range(at_once)
        ]  # daemons: a library call that does not look up must not hold the server back
        # records are written with no lock held: whoever starts a job may be within a transaction
        self._writer = threading.Thread(target=self._write_all, name="jobs' records", daemon=True)
        for thread in (*self._threads, self._writer):
            thread.start()

    def start(
        self, kind: str, title: str, owner: str, params: Mapping[str, Any], work: Work
    ) -> Job:
        """Queue a job. Raises TransientError (busy) when too many wait."""
        with self._lock:
            waiting = sum(one.job.phase == "QUEUED" for one in self._jobs.values())
            if waiting >= QUEUED_MOST or self._closed:
                raise TransientError(f"{waiting} jobs are waiting already", code="busy",
                                     remedy="wait for some to end, or cancel some")  # fmt: skip
            job = Job(secrets.token_hex(8), kind, title, owner, dict(params), time.time())
            one = _Running(job, work, Watcher(lambda: self._progressed(job.jid)))
            self._jobs[job.jid] = one
            self._write(one)
            self._forget()
            return job

    def get(self, jid: str) -> Job | None:
        """A job of this server's life, as it stands."""
        with self._lock:
            one = self._jobs.get(jid)
            return None if one is None else _seen(one)

    def all(self) -> list[Job]:
        """All jobs of this server's life that are still known, the newest first."""
        with self._lock:
            return [_seen(one) for one in reversed(self._jobs.values())]

    def content(self, jid: str) -> Any:
        """The bytes a job made. Raises UsageError (no_result)."""
        with self._lock:
            if jid in self._results:
                return self._results[jid]
            one = self._jobs.get(jid)
        ended = one is None or one.job.over
        raise UsageError(
            "this job has made nothing to fetch, or it is not kept any more" if ended else
            "this job has not ended yet", code="no_result", where=jid,
            remedy="start it again" if ended else "wait for it to end",
        )  # fmt: skip

    def cancel(self, jid: str) -> Job:
        """Ask a job to stop: a waiting one never starts, a running one ends at its next safe point.

        Raises UsageError (no_job).
        """
        with self._lock:
            one = self._jobs.get(jid)
            if one is None:
                raise UsageError(f"there is no job {jid!r} to stop", code="no_job")
            one.watcher.cancel()
            if one.job.phase == "QUEUED":
                self._end(one, "ABORTED", error=_cancelled())
            elif not one.job.over:
                one.job = replace(one.job, cancelling=True)
            return _seen(one)

    def forget(self, jid: str) -> None:
        """Drop what is known of a job; a running one is asked to stop first."""
        with self._lock:
            one = self._jobs.get(jid)
            if one is not None and not one.job.over:
                raise UsageError("this job is still running", code="job_runs",
                                 remedy="cancel it first")  # fmt: skip
            self._jobs.pop(jid, None)
            self._results.pop(jid, None)
            self._unwritten.pop(jid, None)

    def stop(self) -> None:
        """Ask all jobs to stop; takes no lock, so that a signal handler may call it."""
        self._stopping = True
        for one in list(self._jobs.values()):
            one.watcher.cancel()

    def close(self, wait_s: float = 1.0) -> None:
        """Stop everything: what does not end within `wait_s` is remembered as aborted."""
        with self._lock:
            self._stopping = self._closed = True
            for one in self._jobs.values():
                one.watcher.cancel()
                if one.job.phase == "QUEUED":
                    self._end(one, "ABORTED", error=_stopped())
            self._wake.notify_all()
        until = time.monotonic() + wait_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        with self._lock:
            for one in self._jobs.values():
                if not one.job.over:
                    self._end(one, "ABORTED", error=_stopped())
            self._ended = True
            self._wake.notify_all()
        self._writer.join(wait_s)

    # threads ----------------------------------------------------------------------------------

    def _serve(self) -> None:
        while True:
            with self._lock:
                one = self._next()
                while one is None and not self._closed:
                    self._wake.wait()
                    one = self._next()
                if one is None:
                    return
                one.job = replace(one.job, phase="EXECUTING", started=time.time())
                self._write(one)
            self._run(one)

    def _next(self) -> _Running | None:
        return next((j for j in self._jobs.values() if j.job.phase == "QUEUED"), None)

    def _run(self, one: _Running) -> None:
        phase, result, error = "COMPLETED", None, None
        try:
            result = one.work(one.watcher)
        except SpectrariumError as problem:
            phase, error = "ERROR", _told(problem)
            if problem.code == "cancelled":
                phase, error = "ABORTED", _stopped() if self._stopping else _cancelled()
        except Exception as problem:  # a thread's edge: nobody else would hear of it
            log.exception("job %s (%s) failed", one.job.jid, one.job.kind)
            phase, error = "ERROR", _told(_defect(problem))
        with self._lock:
            if one.job.over:  # it was given up while it did not look up
                return
            if result is not None and result.content is not None:
                self._keep_result(one.job.jid, result.content)
            self._end(one, phase, None if result is None else result.record, error)

    def _keep_result(self, jid: str, content: Any) -> None:
        self._results[jid] = content
        while sum(len(c) for c in self._results.values()) > RESULT_BYTES and len(self._results) > 1:
            self._results.popitem(last=False)

    def _end(
        self, one: _Running, phase: str, result: Mapping[str, Any] | None = None,
        error: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        one.job = replace(one.job, phase=phase, result=result, error=error, ended=time.time(),
                          cancelling=False)  # fmt: skip
        self._write(one)

    def _progressed(self, jid: str) -> None:
        with self._lock:
            one = self._jobs.get(jid)
            if one is not None and time.monotonic() - one.written > WRITE_EVERY_S:
                self._write(one)

    def _write(self, one: _Running) -> None:
        one.written = time.monotonic()
        self._unwritten[one.job.jid] = one
        self._wake.notify_all()

    def _write_all(self) -> None:
        while True:
            with self._lock:
                while not self._unwritten and not self._ended:
                    self._wake.wait()
                if not self._unwritten:
                    return
                jid, one = self._unwritten.popitem(last=False)
                job = _seen(one)
            try:
                self._keep(job)
            except SpectrariumError as problem:  # the work matters more than its record
                log.warning("job %s is not remembered: %s", jid, problem)

    def _forget(self) -> None:
        over = [jid for jid, one in self._jobs.items() if one.job.over]
        for jid in over[: max(0, len(self._jobs) - KEPT_MOST)]:
            self._jobs.pop(jid)
            self._results.pop(jid, None)


def _seen(one: _Running) -> Job:
    return replace(one.job, **one.watcher.seen())


def _told(error: SpectrariumError) -> dict[str, str]:
    return {"code": error.code, "what": error.what, "where": error.where, "remedy": error.remedy}


def _defect(problem: Exception) -> InternalError:
    return InternalError("something in Spectrarium went wrong",
                         remedy=f"please report it ({type(problem).__name__}; the server's log "
                         "says more)")  # fmt: skip


def _cancelled() -> dict[str, str]:
    return {"code": "cancelled", "what": "it was cancelled", "where": "", "remedy": ""}


def _stopped() -> dict[str, str]:
    return {"code": "interrupted", "what": "the server was stopped", "where": "",
            "remedy": "start it again"}  # fmt: skip
