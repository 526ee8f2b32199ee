"""Background jobs: ``/vo/tap/async`` and ``/vo/soda/async``. Source: IVOA UWS 1.1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from ..domain.errors import SpectrariumError, UsageError
from ..publish import uws
from ..publish.dali import DaliError, Params
from ..publish.dali_values import mjd
from ..publish.tap_upload import merged_uploads
from ..store.archive import Archive
from .asking import Endpoint
from .vo_asking import VoAsk, vo_answering, vo_error, vo_xml
from .vo_jobs import Jobs, Work, parameters_text, require_pending
from .vo_soda import soda_work
from .vo_tap import tap_work

TAP, SODA = "tap", "soda"
WAIT_MOST_S = 60.0
_OWN = frozenset({"PHASE", "RUNID", "ACTION", "WAIT", "EXECUTIONDURATION", "DESTRUCTION"})
"""Parameters of the job itself; all others are of what it does."""


def jobs_of(served: Any) -> Jobs:
    """The jobs of this server, run from when they are first asked for."""

    def make() -> Jobs:
        return Jobs(
            _folder(served), {TAP: tap_work(served), SODA: _soda}, partial(_seen_by, served)
        )

    found: Jobs = served.kept("vo jobs", make)
    return found


def _folder(served: Any) -> Path:
    return Path(served.vo.jobs or served.root.with_name(f"{served.root.name}.jobs"))


def go_on(served: Any) -> None:
    """Run again what an earlier server left, if it left anything."""
    if (_folder(served) / "jobs.sqlite").is_file():
        jobs_of(served)


def _soda(work: Work) -> list[tuple[str, Path, str]]:
    return [(one.name, one.path, one.media_type) for one in soda_work(work)]


def _seen_by(served: Any, owner: str) -> Archive:
    """The newest version as an owner may see it now."""
    from ..people.records import GUEST

    local = served.people.users.local()
    user = local if owner == local.name else served.people.users.get(owner) if owner else GUEST
    archive: Archive = served.holdings.newest(served.people.visibility(user)).archive
    return archive


def owner_of(ask: VoAsk) -> str:
    """Whose jobs these are: of somebody who is signed in, else of whoever knows their ids."""
    return ask.user.name if ask.user.signed_in else ""


# handlers -------------------------------------------------------------------------------------


def _base(ask: VoAsk, kind: str) -> str:
    return ask.publisher.at(f"/vo/{kind}/async")


def _job(ask: VoAsk, kind: str) -> uws.Job:
    return jobs_of(ask.served).get(kind, ask.path["job"], owner_of(ask))


def _see(ask: VoAsk, kind: str, job: uws.Job) -> Response:
    return RedirectResponse(f"{_base(ask, kind)}/{job.id}", 303)


def _list(ask: VoAsk, kind: str) -> Response:
    phases = [p.upper() for p in ask.params.all("PHASE")]
    if odd := [p for p in phases if p not in uws.PHASES]:
        raise DaliError(f"PHASE is {odd[0][:40]!r}", where="PHASE",
                        remedy="choose from: " + ", ".join(uws.PHASES))  # fmt: skip
    after = ask.params.one("AFTER")
    found = jobs_of(ask.served).list(
        kind, owner_of(ask), phases, None if after is None else _seconds(after, "AFTER"),
        ask.params.integer("LAST", None, least=1),
    )  # fmt: skip
    return vo_xml(uws.jobs_xml(found, _base(ask, kind)))


def _create(ask: VoAsk, kind: str) -> Response:
    phase = (ask.params.one("PHASE") or "").upper()
    if phase not in ("", "RUN"):
        raise DaliError(f"PHASE is {phase[:40]!r}", where="PHASE", remedy="send RUN, or nothing")
    jobs = jobs_of(ask.served)
    job = jobs.create(
        kind, owner_of(ask), [(k, v) for k, v in ask.params.pairs() if k not in _OWN], ask.files,
        ask.publisher, duration_s=_duration(ask), run_id=ask.params.one("RUNID") or "",
        until=_until(ask), client="" if ask.user.signed_in else ask.client,
    )  # fmt: skip
    if phase == "RUN":
        jobs.run(job)
    return _see(ask, kind, job)


def _duration(ask: VoAsk) -> float:
    most = ask.settings.job_s
    asked = ask.params.number("EXECUTIONDURATION", most, least=0.0)
    return most if not asked else min(asked, most)


def _until(ask: VoAsk) -> float | None:
    when = ask.params.one("DESTRUCTION")
    return None if when is None else _seconds(when, "DESTRUCTION")


def _seconds(text: str, what: str) -> float:
    return (mjd(text, what) - 40587.0) * 86_400.0


def _change(ask: VoAsk, kind: str) -> Response:
    """POST to a job, or to one of its parts: parameters while it is pending, phase, times.

    All of it is checked before any of it is written.
    """
    job, jobs, params = _job(ask, kind), jobs_of(ask.served), ask.params
    if (params.one("ACTION") or "").upper() == "DELETE":
        jobs.delete(job)
        return RedirectResponse(_base(ask, kind), 303)
    if params.one("ACTION") is not None:
        raise DaliError("ACTION is not DELETE", where="ACTION", remedy="send DELETE")
    phase = (params.one("PHASE") or "").upper()
    if phase not in ("", "RUN", "ABORT"):
        raise DaliError(f"PHASE is {phase[:40]!r}", where="PHASE", remedy="send RUN or ABORT")
    until, values = _until(ask), _values(ask, job)
    if values or ask.files or phase == "RUN":
        require_pending(job)
    if ask.files:
        jobs.bring(job, ask.files)
    if values:
        jobs.change(job, **values)
    if until is not None:
        jobs.keep_until(job, until)
    if phase == "RUN":
        jobs.run(job)
    elif phase == "ABORT":
        jobs.abort(job)
    return _see(ask, kind, job)


def _values(ask: VoAsk, job: uws.Job) -> dict[str, Any]:
    """What a request changes of a job that has not begun, by the names that `Jobs` has for it."""
    found: dict[str, Any] = {}
    if ask.params.one("EXECUTIONDURATION") is not None:
        found["duration"] = _duration(ask)
    if (run_id := ask.params.one("RUNID")) is not None:
        found["run_id"] = run_id[:64]
    if given := [(k, v) for k, v in ask.params.pairs() if k not in _OWN]:
        found["parameters"] = parameters_text(_with(job.parameters, given))
    return found


def _with(
    earlier: Sequence[tuple[str, str]], given: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Parameters with others in place of those of their name; tables of UPLOAD join each other."""
    names = {k for k, _ in given}
    kept = [(k, v) for k, v in earlier if k not in names]
    uploads = merged_uploads([v for k, v in earlier if k == "UPLOAD"],
                             [v for k, v in given if k == "UPLOAD"])  # fmt: skip
    if "UPLOAD" in names:
        given = [*((k, v) for k, v in given if k != "UPLOAD"), *(("UPLOAD", v) for v in uploads)]
    return [*kept, *given]


def _delete(ask: VoAsk, kind: str) -> Response:
    jobs_of(ask.served).delete(_job(ask, kind))
    return RedirectResponse(_base(ask, kind), 303)


def _part(ask: VoAsk, kind: str) -> Response:
    """A part of a job: one value as text, or a document."""
    job, part = _job(ask, kind), ask.path["part"]
    words: dict[str, Callable[[], str]] = {
        "phase": lambda: job.phase, "quote": lambda: "",
        "executionduration": lambda: str(int(job.duration_s)),
        "destruction": lambda: uws.iso(job.destruction), "owner": lambda: job.owner,
    }  # fmt: skip
    if part in words:
        return PlainTextResponse(words[part](), headers={"Cache-Control": "no-cache"})
    if part == "parameters":
        return vo_xml(uws.parameters_xml(job))
    if part == "results":
        return vo_xml(uws.results_xml(job, _base(ask, kind)))
    if part == "error":
        if not job.error:
            raise UsageError("the job has no error", code="no_error", where=job.id)
        from ..publish.votable import failure

        return Response(failure(job.error), media_type="application/x-votable+xml")
    raise UsageError(f"a job has no {part[:40]!r}", code="no_part", where=job.id)


def _result(ask: VoAsk, kind: str) -> Response:
    job = _job(ask, kind)
    path, found = jobs_of(ask.served).path(job, ask.path["result"])
    return FileResponse(path, media_type=found.media_type, headers={"Cache-Control": "no-cache"})


def _document(ask: VoAsk, kind: str) -> Response:
    return vo_xml(uws.job_xml(_job(ask, kind), _base(ask, kind)))


def _waiting(plain: Endpoint, kind: str) -> Endpoint:
    """A job's document, kept back while WAIT says so and its phase is the same: UWS 1.1, 2.2.1.1.

    The wait is in a thread of its own, so that waiting clients keep nobody else waiting.
    """

    async def endpoint(request: Request) -> Response:
        try:
            asked = Params(request.query_params.multi_items())
            seconds = asked.number("WAIT", least=-1.0)
        except DaliError as error:
            return vo_error(error)
        if seconds is None:
            return await plain(request)
        most = WAIT_MOST_S if seconds < 0 else min(seconds, WAIT_MOST_S)
        wait = partial(_wait, request, kind, (asked.one("PHASE") or "").upper(), most)
        await anyio.to_thread.run_sync(wait, limiter=_WAITERS, abandon_on_cancel=True)
        return await plain(request)

    return endpoint


_WAITERS = anyio.CapacityLimiter(100)


def _wait(request: Request, kind: str, phase: str, seconds: float) -> None:
    served = request.app.state.served
    try:
        user, _ = served.visitors.who(request, cookies=False)
        owner = user.name if user.signed_in else ""
        jobs, id = jobs_of(served), str(request.path_params["job"])
        job = jobs.get(kind, id, owner)
        if job.phase in uws.ACTIVE and phase in ("", job.phase):
            jobs.wait(kind, id, owner, job.phase, seconds)
    except SpectrariumError:
        return  # the answer itself says why


def uws_routes(kind: str) -> list[Route]:
    """Everything below ``/vo/KIND/async``."""
    base = f"/vo/{kind}/async"

    def route(path: str, method: str, handler: Callable[[VoAsk, str], Response],
              upload: bool = False) -> Route:  # fmt: skip
        def named(ask: VoAsk) -> Response:
            return handler(ask, kind)

        endpoint = vo_answering(upload=upload)(named)
        if handler is _document:
            endpoint = _waiting(endpoint, kind)
        return Route(base + path, endpoint, methods=[method])

    return [
        route("", "GET", _list), route("", "POST", _create, upload=True),
        route("/{job}", "GET", _document), route("/{job}", "POST", _change, upload=True),
        route("/{job}", "DELETE", _delete),
        route("/{job}/results/{result:path}", "GET", _result),
        route("/{job}/{part}", "GET", _part),
        route("/{job}/{part}", "POST", _change, upload=True),
    ]  # fmt: skip


ROUTES = [*uws_routes(TAP), *uws_routes(SODA)]
