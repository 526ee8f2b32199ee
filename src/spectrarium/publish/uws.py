"""Background jobs as clients see them. Source: IVOA UWS 1.1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from .votable import attribute, text

PHASES = ("PENDING", "QUEUED", "EXECUTING", "COMPLETED", "ERROR", "ABORTED", "UNKNOWN", "HELD",
          "SUSPENDED", "ARCHIVED")  # fmt: skip
ACTIVE = frozenset({"PENDING", "QUEUED", "EXECUTING"})
"""Phases that a job can leave by itself: those that waiting for a change makes sense in."""
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<uws:{root} '
    'xmlns:uws="http://www.ivoa.net/xml/UWS/v1.0" '
    'xmlns:xlink="http://www.w3.org/1999/xlink" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" version="1.1">\n'
)


@dataclass(frozen=True, slots=True)
class Result:
    """A result. file : name in the job's folder"""

    id: str
    file: str
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands at one moment.

    owner : of a signed-in user, "" = whoever knows its id · times : Unix seconds
    duration_s : it may execute · parameters : (name, value) pairs, uploads as their addresses
    error : one line, "" = none
    """

    id: str
    kind: str
    owner: str
    phase: str
    created: float
    destruction: float
    duration_s: float
    run_id: str = ""
    started: float | None = None
    ended: float | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    results: tuple[Result, ...] = field(default=())
    error: str = ""


def iso(seconds: float) -> str:
    """Unix seconds as UWS writes a time: UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def job_xml(job: Job, base: str) -> bytes:
    """The document of a job. base : address of the job list"""
    inside = [
        _element("jobId", job.id), _element("runId", job.run_id) if job.run_id else "",
        _element("ownerId", job.owner or None), _element("phase", job.phase),
        _element("quote", None), _element("creationTime", iso(job.created)),
        _element("startTime", iso(job.started) if job.started else None),
        _element("endTime", iso(job.ended) if job.ended else None),
        _element("executionDuration", str(int(job.duration_s))),
        _element("destruction", iso(job.destruction)), parameters_of(job.parameters),
        results_of(job, base), error_of(job),
    ]  # fmt: skip
    return (_HEAD.format(root="job") + "".join(inside) + "</uws:job>\n").encode()


def jobs_xml(jobs: Iterable[Job], base: str) -> bytes:
    """The document of a list of jobs."""
    refs = "".join(
        f"<uws:jobref id={attribute(job.id)} xlink:href={attribute(f'{base}/{job.id}')}>\n"
        f"{_element('phase', job.phase)}"
        f"{_element('runId', job.run_id) if job.run_id else ''}"
        f"{_element('ownerId', job.owner or None)}"
        f"{_element('creationTime', iso(job.created))}</uws:jobref>\n"
        for job in jobs
    )
    return (_HEAD.format(root="jobs") + refs + "</uws:jobs>\n").encode()


def parameters_xml(job: Job) -> bytes:
    """The document of a job's parameters."""
    return _alone(parameters_of(job.parameters))


def results_xml(job: Job, base: str) -> bytes:
    """The document of a job's results."""
    return _alone(results_of(job, base))


def parameters_of(pairs: Sequence[tuple[str, str]]) -> str:
    """The element of parameters."""
    inside = "".join(f"<uws:parameter id={attribute(k)}>{text(v)}</uws:parameter>\n"
                     for k, v in pairs)  # fmt: skip
    return f"<uws:parameters>\n{inside}</uws:parameters>\n"


def results_of(job: Job, base: str) -> str:
    """The element of results."""
    inside = "".join(
        f'<uws:result id={attribute(r.id)} mime-type={attribute(r.media_type)} size="{r.size}" '
        f"xlink:href={attribute(f'{base}/{job.id}/results/{r.id}')}/>\n"
        for r in job.results
    )
    return f"<uws:results>\n{inside}</uws:results>\n"


def error_of(job: Job) -> str:
    """The element of an error, empty where there is none."""
    if not job.error:
        return ""
    return (f'<uws:errorSummary type="fatal" hasDetail="true"><uws:message>{text(job.error)}'
            "</uws:message></uws:errorSummary>\n")  # fmt: skip


def _element(name: str, value: str | None) -> str:
    if value is None:
        return f'<uws:{name} xsi:nil="true"/>\n'
    return f"<uws:{name}>{text(value)}</uws:{name}>\n"


def _alone(element: str) -> bytes:
    name = element.partition(">")[0].removeprefix("<uws:")
    rest = element.partition(">\n")[2]
    return (_HEAD.format(root=name).replace(' version="1.1"', "") + rest).encode()
