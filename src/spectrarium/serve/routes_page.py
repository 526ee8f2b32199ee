"""The page itself: one document for all its addresses, and the files it is made of."""

from __future__ import annotations

import gzip
import mimetypes
from pathlib import Path

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from .compression import LEAST_BYTES, takes_gzip

FOLDER = Path(__file__).parent / "page"
"""Where `npm run build` in ``web/`` puts the page; part of every wheel."""
NOT_BUILT = """The page is not built here.

In a checkout of Spectrarium:   make page
An installed wheel has it:      pip install spectrarium

The interface works without it: /api/archive
"""
_FOREVER = "public, max-age=31536000, immutable"
_KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml",
          ".woff2": "font/woff2", ".map": "application/json", ".wasm": "application/wasm",
          ".webmanifest": "application/manifest+json"}  # fmt: skip


class PageFiles:
    """The page's files, read once each and again when they change; nothing else is reachable."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._read: dict[str, tuple[tuple[int, int], bytes, bytes | None]] = {}

    def get(self, name: str) -> tuple[bytes, bytes | None] | None:
        """(content, gzipped content if that is smaller) of a file below the folder, or None."""
        if name not in self._names():
            return None
        path = self._folder / name
        try:
            facts = path.stat()
            stamp = facts.st_mtime_ns, facts.st_size
            known = self._read.get(name)
            if known is None or known[0] != stamp:
                content = path.read_bytes()
                small = gzip.compress(content, 6) if len(content) > LEAST_BYTES else None
                useful = small if small is not None and len(small) < 0.95 * len(content) else None
                known = self._read[name] = (stamp, content, useful)
        except OSError:
            return None
        return known[1], known[2]

    def _names(self) -> frozenset[str]:
        """What there is: a name is looked up here, never joined to a path that a client wrote."""
        found = (p for p in self._folder.rglob("*") if p.is_file() and not p.is_symlink())
        return frozenset(p.relative_to(self._folder).as_posix() for p in found)


_files = PageFiles()


async def page(request: Request) -> Response:
    """The document; scripts turn its address into a screen."""
    found = await anyio.to_thread.run_sync(_files.get, "index.html")
    if found is None:
        return PlainTextResponse(NOT_BUILT, 200, {"Cache-Control": "no-store"})
    return HTMLResponse(found[0], headers={"Cache-Control": "no-cache"})


async def asset(request: Request) -> Response:
    """A file of the page; its name holds its hash, so it may be kept for ever."""
    name = f"assets/{request.path_params['name']}"
    return await _file(request, name, _FOREVER)


async def icon(request: Request) -> Response:
    """The picture in the tab."""
    return await _file(request, request.url.path.lstrip("/"), "public, max-age=86400")


async def _file(request: Request, name: str, kept: str) -> Response:
    found = await anyio.to_thread.run_sync(_files.get, name)
    if found is None:
        return PlainTextResponse("there is no such file", 404, {"Cache-Control": "no-store"})
    content, small = found
    kind = _KINDS.get(Path(name).suffix) or mimetypes.guess_type(name)[0]
    headers = {"Cache-Control": kept, "Vary": "Accept-Encoding"}
    if small is not None and takes_gzip(request.headers.get("accept-encoding", "")):
        content, headers["Content-Encoding"] = small, "gzip"
    return Response(content, 200, headers, kind or "application/octet-stream")


ROUTES = [
    Route("/assets/{name}", asset, methods=["GET"]),
    Route("/icon.svg", icon, methods=["GET"]),
    Route("/favicon.ico", icon, methods=["GET"]),
    *(Route(path, page, methods=["GET"]) for path in (
        "/", "/map", "/object", "/object/{id:path}", "/outliers", "/compare", "/jobs",
    )),
]  # fmt: skip
