"""Long work: start it, watch it, stop it, fetch what it made."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from ..domain.errors import UsageError
from .answers import ARROW, json_answer
from .asking import Ask, answering
from .fields import Fields
from .job_kinds import KINDS
from .once import written
from .working import job_of, job_record, jobs_of, remembered, started


@answering
def jobs(ask: Ask) -> Response:
    """One's jobs, or all for the operator, the newest first; and what kinds there are."""
    if ask.method == "POST":
        return written(ask, lambda: _start(ask, ask.json()), 202)
    now = {job.jid: job for job in jobs_of(ask.served).all()}
    found = {r.jid: now.get(r.jid) or remembered(r) for r in ask.people.jobs.list(ask.user)}
    for job in now.values():  # just started, not written yet
        if job.jid not in found and job.owner == ask.user.name:
            found[job.jid] = job
    ordered = sorted(found.values(), key=lambda j: -j.created)
    kinds = [{"kind": n, "about": k.about, "allowed": ask.user.may(k.right)}
             for n, k in KINDS.items()]  # fmt: skip
    records = [job_record(job) | {"log": list(job.log[-1:])} for job in ordered]
    return json_answer({"jobs": records, "kinds": kinds})


def _start(ask: Ask, fields: Fields) -> dict[str, Any]:
    name = fields.choice("kind", list(KINDS), ...)
    params = fields.get("params")
    if params is None:
        params = {}
    if not isinstance(params, dict):
        raise UsageError("params is no object", code="bad_parameter", where="params")
    kind = KINDS[name]
    ask.need(kind.right)
    title, work = kind.make(ask, Fields(params))
    kept = {k: v for k, v in params.items() if k not in ("rows", "uids")}
    return job_record(started(ask, name, title, work, params=kept))


@answering
def job(ask: Ask) -> Response:
    """One job with its log; DELETE forgets one that has ended."""
    found = job_of(ask, ask.path["jid"])
    if ask.method == "DELETE":
        jobs_of(ask.served).forget(found.jid)
        ask.people.jobs.delete(ask.user, found.jid)
        return json_answer({"deleted": found.jid})
    return json_answer(job_record(found))


@answering
def cancel(ask: Ask) -> Response:
    """Ask a job to stop at its next safe point."""
    found = job_of(ask, ask.path["jid"])
    if found.over:
        return json_answer(job_record(found))
    return json_answer(job_record(jobs_of(ask.served).cancel(found.jid)))


@answering
def result(ask: Ask) -> Response:
    """The bytes a job made: an Arrow stream."""
    found = job_of(ask, ask.path["jid"])
    return Response(jobs_of(ask.served).content(found.jid), media_type=ARROW,
                    headers={"Cache-Control": "no-cache"})  # fmt: skip


ROUTES = [
    Route("/api/jobs", jobs, methods=["GET", "POST"]),
    Route("/api/jobs/{jid}", job, methods=["GET", "DELETE"]),
    Route("/api/jobs/{jid}/cancel", cancel, methods=["POST"]),
    Route("/api/jobs/{jid}/result", result, methods=["GET"]),
]
