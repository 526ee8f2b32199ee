"""The application: what is served, and every route."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute

from ..domain.errors import UsageError
from ..people import People
from ..store.manifest import load
from . import (
    routes_archive,
    routes_columns,
    routes_find,
    routes_handing,
    routes_jobs,
    routes_object,
    routes_outliers,
    routes_page,
    routes_people,
    routes_spectrum,
    routes_stack,
    routes_upload,
)
from .errors import defect, error_answer
from .guard import Guard, is_loopback, names_of
from .holding import Holdings
from .routes_vo_async import go_on
from .visitors import Visitors
from .vo_asking import vo_error
from .vo_routes import vo_routes
from .vo_settings import VoSettings

T = TypeVar("T")
UPLOAD_BYTES = 64 << 20
LEAST_TOKEN = 16


@dataclass(eq=False)
class Served:
    """What one server holds.

    root : folder of the archive · upload_bytes : largest upload · vo : who publishes it, and how
    """

    root: Path
    people: People
    holdings: Holdings
    visitors: Visitors
    upload_bytes: int = UPLOAD_BYTES
    vo: VoSettings = field(default_factory=VoSettings)
    _kept: dict[str, Any] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def kept(self, name: str, make: Callable[[], T]) -> T:
        """The one object of this name, made when it is first asked for."""
        with self._lock:
            if name not in self._kept:
                self._kept[name] = make()
            found: T = self._kept[name]
            return found

    def stop(self) -> None:
        """Ask what is at work to stop, without waiting for it."""
        for one in list(self._kept.values()):
            if hasattr(one, "stop"):
                one.stop()

    def close(self) -> None:
        """Close what was kept."""
        with self._lock:
            for one in self._kept.values():
                if hasattr(one, "close"):
                    one.close()
            self._kept.clear()
            self.people.close()


def create_app(
    archive: Path, people: Path, *, token: str | None = None, host: str = "127.0.0.1",
    port: int = 8600, names: Sequence[str] = (), upload_bytes: int = UPLOAD_BYTES,
    vo: VoSettings | None = None,
) -> Starlette:  # fmt: skip
    """The page and its interface, for any ASGI server.

    Parameters
    ----------
    archive : folder of the archive · people : SQLite file of what people keep, made if missing
    token : whoever has it is the operator; without one everybody who reaches the server is
    host, port : it listens at · names : further host names it is reached by
    vo : what the services of the Virtual Observatory say of the archive
    Raises
    ------
    UsageError : other machines reach it, by host, names or vo.url, and there is no token
        (token_needed); a token of fewer than 16 characters (weak_token), no archive there
        (no_archive)
    """
    vo = vo or VoSettings()
    _refuse(token, host, names, vo.url)
    archive = archive.absolute()
    load(archive)
    keeper = People(people)
    keeper.tidy()
    if token is not None:
        keeper.users.set_server_token(token)
    visitors = Visitors(keeper, open_to_all=token is None, cookie=f"spectrarium_{port}")
    served = Served(archive, keeper, Holdings(archive), visitors, upload_bytes, vo)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        go_on(served)
        yield
        served.close()

    guard = Middleware(Guard, names=names_of(host, names), holdings=served.holdings)
    app = Starlette(
        routes=_routes(), middleware=[guard], lifespan=lifespan,
        exception_handlers={HTTPException: _refused, Exception: _failed},
    )  # fmt: skip
    app.router.redirect_slashes = False
    app.state.served = served
    return app


def _refuse(token: str | None, host: str, names: Sequence[str], url: str) -> None:
    """Nobody is the operator without a token where others reach the server, a proxy included."""
    if token is not None and len(token) < LEAST_TOKEN:
        raise UsageError(f"the token has {len(token)} characters", code="weak_token",
                         where="--token", remedy=f"use {LEAST_TOKEN} or more")  # fmt: skip
    if token is not None:
        return
    reached = [("--host", host), *(("--name", name) for name in names)]
    if url:
        reached.insert(1, ("--url", urlsplit(url).hostname or url))
    for option, name in reached:
        if not is_loopback(name):
            raise UsageError(
                f"{name} can be reached from other machines, and no token is set",
                code="token_needed", where=option,
                remedy="set SPECTRARIUM_TOKEN to 16 characters or more, or serve this machine only",
            )  # fmt: skip


def _routes() -> list[BaseRoute]:
    return [
        *routes_archive.ROUTES, *routes_find.ROUTES, *routes_columns.ROUTES,
        *routes_spectrum.ROUTES, *routes_stack.ROUTES, *routes_object.ROUTES,
        *routes_outliers.ROUTES, *routes_upload.ROUTES, *routes_people.ROUTES,
        *routes_jobs.ROUTES, *routes_handing.ROUTES, *vo_routes(), *routes_page.ROUTES,
    ]  # fmt: skip


def _refused(request: Request, error: Exception) -> Response:
    """404, 405 and their like: a VOTable from the services, a record from the page's interface."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    services = path.startswith("/vo/")
    if not services and not path.startswith("/api"):
        return PlainTextResponse(error.detail, error.status_code, headers=error.headers)
    if services and path.endswith("/") and error.status_code == 404:
        return RedirectResponse(request.url.replace(path=path.rstrip("/")), 308)
    told = vo_error if services else error_answer
    if error.status_code == 404:
        return told(UsageError("there is nothing at this address", code="no_route",
                               where=path[:200]))  # fmt: skip
    answer = told(UsageError(error.detail, code="bad_method", where=request.method))
    answer.status_code = error.status_code
    answer.headers.update(error.headers or {})
    return answer


def _failed(_: Request, error: Exception) -> Response:
    return error_answer(defect(error))
