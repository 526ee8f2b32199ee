"""Jobs of this server: run here, remembered in the people file."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from ..domain.errors import UsageError
from ..people.records import OPERATE, JobRecord
from ..run.jobs import Job, Jobs, Work
from .answers import plain

if TYPE_CHECKING:
    from .app import Served
    from .asking import Ask

_NAME = "jobs"


class Working:
    """The jobs of one server. Only the first server of a people file tidies up after dead ones."""

    def __init__(self, served: Served) -> None:
        self._people = served.people
        path = served.people.path
        self._lock = FileLock(path.with_name(f"{path.name}.lock"))
        with contextlib.suppress(Timeout, OSError):  # another server's jobs may be alive
            self._lock.acquire(timeout=0)
            self._people.jobs.interrupted("the server that ran it was stopped")
        self.jobs = Jobs(self._keep)

    def _keep(self, job: Job) -> None:
        values = {k: v for k, v in asdict(job).items() if k != "cancelling"}
        for name in ("params", "progress", "result", "error"):
            values[name] = plain(values[name])
        self._people.jobs.put(JobRecord(**values))

    def stop(self) -> None:
        """Ask all jobs to stop."""
        self.jobs.stop()

    def close(self) -> None:
        """Stop all jobs; soon."""
        self.jobs.close(wait_s=0.4)
        self._lock.release()


def jobs_of(served: Served) -> Jobs:
    """The jobs of a server."""
    return served.kept(_NAME, lambda: Working(served)).jobs


def started(ask: Ask, kind: str, title: str, work: Work, *, params: Mapping[str, Any]) -> Job:
    """A job of the user, queued. Raises UsageError (sign_in), TransientError (busy)."""
    ask.user.require_signed_in()
    return jobs_of(ask.served).start(kind, title[:200], ask.user.name, params, work)


def job_of(ask: Ask, jid: str) -> Job:
    """A job as it stands, of now or of an earlier server. Raises UsageError (no_job)."""
    now = jobs_of(ask.served).get(jid)
    if now is None:
        return remembered(ask.people.jobs.get(ask.user, jid))
    ask.user.require_signed_in()
    if now.owner != ask.user.name and not ask.user.may(OPERATE):
        raise UsageError(f"there is no job {jid!r}", code="no_job")
    return now


def remembered(record: JobRecord) -> Job:
    """A record of the people file as a job."""
    return Job(**asdict(record))


def job_record(job: Job) -> dict[str, Any]:
    """A job as clients are told of it."""
    return asdict(job) | {"log": list(job.log)}
