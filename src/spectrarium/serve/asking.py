"""A request as handlers see it, and how they are run: in threads, a few at a time.

@answering
def spectrum(ask: Ask) -> Response: ...

ROUTES = [Route("/api/spectrum/{id}", spectrum, methods=["GET"])]
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Any, overload

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar
from starlette.requests import Request
from starlette.responses import Response

from ..domain.errors import SpectrariumError, TransientError, UsageError
from ..store.archive import Archive
from .compression import compressed
from .errors import defect, error_answer
from .fields import Fields
from .holding import Holding
from .visitors import address_of

if TYPE_CHECKING:
    from ..people import People
    from ..people.records import User
    from .app import Served

AT_ONCE, SLOW_AT_ONCE, QUERIES_AT_ONCE, SERVICES_AT_ONCE = 4, 2, 8, 1
"""Threads for answers, for those that take seconds, for queries, for services: of these, which are
Python's own work, two would wait for each other and do half as much."""
SHORT_S, SERVICES_MOST = 0.05, 4
"""A service's answer that takes longer than this lets the next begin, up to so many in all."""
WAITING, QUICK_WAITING = 64, 1000
"""How many may wait for one: those that take seconds or bring much, and all others."""
SMALL_BYTES = 64 << 10
"""A body up to this size costs little while it waits."""
LISTEN_S = 0.1
"""So often it is looked whether the client of a slow answer is still there."""
BODY_BYTES = 32 << 20
"""Largest JSON body: a selection of some million rows."""
FORM_BYTES = 1 << 20
"""Largest form of parameters that brings no table."""
BODY_S, BODY_BYTES_S = 10.0, 20_000
"""A body takes at most `BODY_S` seconds, and one more for each `BODY_BYTES_S`."""
SLASH = "\x00"
"""Stands for an escaped slash in a path until its parts are told apart."""
Handler = Callable[["Ask"], Response]
Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]
_fast: RunVar[anyio.CapacityLimiter] = RunVar("spectrarium_fast")
_slow: RunVar[anyio.CapacityLimiter] = RunVar("spectrarium_slow")
_queries: RunVar[anyio.CapacityLimiter] = RunVar("spectrarium_queries")
_services: RunVar[anyio.CapacityLimiter] = RunVar("spectrarium_services")


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """One request.

    served : what the server holds · user : who asks · holding : the archive as they may see it
    query : of the URL · path : its named parts, decoded · body : bytes, all of them
    headers : names in lower case · where : the whole path · address : of the client
    secure : it came by https · session : the sign-in it belongs to, if any
    """

    served: Served
    user: User
    holding: Holding
    query: Fields
    path: dict[str, str]
    body: bytes
    headers: dict[str, str]
    method: str
    where: str
    address: str = ""
    secure: bool = False
    session: str | None = None

    @property
    def archive(self) -> Archive:
        """The newest version, with what the user may see."""
        return self.holding.archive

    @property
    def people(self) -> People:
        """Selections, notes and the rest of what people keep."""
        return self.served.people

    def json(self) -> Fields:
        """The body, a JSON object. Raises UsageError (bad_json)."""
        try:
            found = json.loads(self.body, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise _bad_json(f"the body is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise _bad_json("the body is not a JSON object")
        return Fields(found)

    def need(self, right: str) -> None:
        """Raises UsageError (sign_in, not_allowed) where the user lacks a right."""
        self.user.require(right)


def _bad_json(what: str) -> UsageError:
    return UsageError(what, code="bad_json", remedy="send a JSON object")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


@overload
def answering(handler: Handler) -> Endpoint: ...
@overload
def answering(
    *, slow: bool = ..., upload: bool = ..., anyone: bool = ...
) -> Callable[[Handler], Endpoint]: ...
def answering(
    handler: Handler | None = None, *, slow: bool = False, upload: bool = False,
    anyone: bool = False,
) -> Endpoint | Callable[[Handler], Endpoint]:  # fmt: skip
    """Make a route of a function that runs in a thread; its errors become answers.

    slow : takes seconds, so it may not keep quick ones waiting · upload : the body may be as large
    as an upload · anyone : answered even to those who would have to sign in
    """
    if handler is None:
        return partial(_endpoint, slow=slow, upload=upload, anyone=anyone)
    return _endpoint(handler, slow=slow, upload=upload, anyone=anyone)


def _endpoint(handler: Handler, *, slow: bool, upload: bool, anyone: bool) -> Endpoint:
    def answer(request: Request, body: bytes) -> Response:
        return _answer(handler, request, body, anyone)

    made = in_turn(answer, slow=slow, upload=upload)
    update_wrapper(made, handler)
    return made


def in_turn(
    answer: Callable[[Request, bytes], Response], *, slow: bool = False, upload: bool = False,
    queries: bool = False, services: bool = False,
    refuse: Callable[[SpectrariumError], Response] = error_answer,
) -> Endpoint:  # fmt: skip
    """A route whose answer to a request and its body is worked out in a thread, a few at a time.

    queries, services : they wait for each other only · refuse : the answer where the body is no
    good or too many wait. ``request.state.gone`` of slow ones and queries is set once the client
    has hung up.
    """

    async def endpoint(request: Request) -> Response:
        served: Served = request.app.state.served
        try:
            plain = FORM_BYTES if services else BODY_BYTES
            body = await _body(request, served.upload_bytes if upload else plain)
            limiter = _limiter(slow, queries, services, len(body))
            async with limiter:
                if await request.is_disconnected():  # it was given up while it waited
                    return Response(status_code=499)
                request.state.gone = threading.Event()
                async with anyio.create_task_group() as tasks:
                    if slow or queries:
                        tasks.start_soon(_listen, request)
                    elif services:
                        tasks.start_soon(_let_others, limiter)
                    # left alone when the server ends: nothing else cancels a request
                    found = await anyio.to_thread.run_sync(
                        partial(answer, request, body), limiter=anyio.CapacityLimiter(1),
                        abandon_on_cancel=True,
                    )  # fmt: skip
                    tasks.cancel_scope.cancel()
                return found
        except SpectrariumError as error:
            return refuse(error)

    return endpoint


async def _listen(request: Request) -> None:
    """Wait until the client hangs up, and say so."""
    while not await request.is_disconnected():
        await anyio.sleep(LISTEN_S)
    request.state.gone.set()


async def _let_others(limiter: anyio.CapacityLimiter) -> None:
    """After a while, and until this is cancelled, one more may be at work."""
    await anyio.sleep(SHORT_S)
    if limiter.total_tokens < SERVICES_MOST:
        limiter.total_tokens += 1
        try:
            await anyio.sleep_forever()
        finally:
            limiter.total_tokens -= 1


def _limiter(slow: bool, queries: bool, services: bool, brought: int) -> anyio.CapacityLimiter:
    """Whose turn it is. brought : bytes. Raises TransientError (busy) where too many wait."""
    if queries:
        var, number = _queries, QUERIES_AT_ONCE
    elif slow:
        var, number = _slow, SLOW_AT_ONCE
    elif services:
        var, number = _services, SERVICES_AT_ONCE
    else:
        var, number = _fast, AT_ONCE
    limiter = var.get(None)
    if limiter is None:
        limiter = anyio.CapacityLimiter(number)
        var.set(limiter)
    most = WAITING if slow or brought > SMALL_BYTES else QUICK_WAITING
    if limiter.statistics().tasks_waiting >= most:
        raise TransientError("the server is busy", code="busy", remedy="try again in a moment")
    return limiter


async def _body(request: Request, limit: int) -> bytes:
    """The whole body, given up as soon as it is too large or too slow."""
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return b""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    parts, size = [], 0
    with anyio.move_on_after(BODY_S) as patience:
        start = patience.deadline
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
            patience.deadline = start + size / BODY_BYTES_S
    if patience.cancelled_caught:
        raise UsageError("the body came too slowly", code="too_slow", remedy="send it again")
    return b"".join(parts)


def _too_large(limit: int) -> UsageError:
    return UsageError(
        f"that is larger than the {limit / 2**20:g} MiB that are taken", code="too_large",
        remedy="send less" if limit in (FORM_BYTES, BODY_BYTES)
        else "send less, or raise SPECTRARIUM_UPLOAD_MIB on the server",
    )  # fmt: skip


def _answer(handler: Handler, request: Request, body: bytes, anyone: bool) -> Response:
    """The handler's answer, or that of the error it raised; in a thread."""
    served: Served = request.app.state.served
    version = served.holdings.version
    try:
        user, session = served.visitors.who(request, anyone=anyone)
        holding = served.holdings.newest(served.people.visibility(user))
        version = holding.version
        query = Fields(dict(request.query_params))
        asked = query.integer("version", None)
        if asked is not None and asked != holding.version:
            raise UsageError(
                f"version {asked} is not the newest any more: that is {holding.version}",
                code="stale_version", remedy="load the page again",
            )  # fmt: skip
        path = {k: str(v).replace(SLASH, "/") for k, v in request.path_params.items()}
        ask = Ask(
            served, user, holding, query, path, body, headers=dict(request.headers),
            method=request.method, where=request.url.path, address=address_of(request),
            secure=request.url.scheme == "https", session=session,
        )  # fmt: skip
        answer = handler(ask)
    except SpectrariumError as error:
        answer = error_answer(error if error.exit_code != 5 else defect(error), served.root)
    except Exception as error:  # noqa: BLE001  the edge: a defect of ours is told as one
        answer = error_answer(defect(error))
    answer.headers["X-Spectrarium-Version"] = str(version)
    return compressed(answer, request.headers.get("accept-encoding", ""))
