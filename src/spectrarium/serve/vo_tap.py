"""TAP: what a client asks for, the databases that answer, and the answer as a stream or a file."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from ..domain.errors import TransientError
from ..domain.visibility import Visibility
from ..publish.dali import DaliError, Params, maxrec
from ..publish.publisher import Publisher
from ..publish.tap import Engine, Query
from ..publish.tap_fetch import FetchLimits, fetched
from ..publish.tap_postgres import PostgresEngine
from ..publish.tap_results import Format, Rows, format_named, written
from ..publish.tap_tables import ArchiveTables
from ..publish.tap_upload import UploadLimits, uploaded
from ..store.archive import Archive
from .vo_asking import VoAsk, vo_table

if TYPE_CHECKING:
    from .app import Served
    from .vo_settings import VoSettings

ENGINES = 4
"""So many archive versions, as somebody sees them, have a database at a time."""
KEPT_BYTES = 4 << 30
"""Of tables in all databases that nobody uses at the moment."""
LANGUAGES = ("adql", "adql-2.0", "adql-2.1")
PARAMETERS = frozenset({
    "REQUEST", "LANG", "QUERY", "MAXREC", "RESPONSEFORMAT", "FORMAT", "UPLOAD", "RUNID", "VERSION",
})  # fmt: skip
"""What a job remembers of its parameters."""
_Key = tuple[int, Visibility, Publisher]


@dataclass(slots=True)
class _Open:
    engine: Engine | PostgresEngine
    users: int = 0


class Engines:
    """The databases of archive versions, each made when it is first asked.

    database : address of a PostgreSQL server that holds them; empty = embedded ones
    """

    def __init__(self, database: str = "") -> None:
        self._database = database
        self._lock = threading.Lock()
        self._open: OrderedDict[_Key, _Open] = OrderedDict()

    def run(self, archive: Archive, publisher: Publisher, query: Query) -> Rows:
        """Answer a query; its database stays open until the rows are closed.

        Raises what `Engine.run` does.
        """
        with ExitStack() as after:
            one = self._take(archive, publisher)
            after.callback(self._give, one)
            rows = one.engine.run(query)
            after.callback(rows.close)
            rows.close = after.pop_all().close
        return rows

    def tables(self, archive: Archive, publisher: Publisher) -> ArchiveTables:
        """The tables that queries may name."""
        one = self._take(archive, publisher)
        try:
            return one.engine.tables
        finally:
            self._give(one)

    def _take(self, archive: Archive, publisher: Publisher) -> _Open:
        key = (archive.version, archive.visibility, publisher)
        with self._lock:
            one = self._open.get(key)
            if one is None:
                tables = ArchiveTables(archive, publisher)
                made = PostgresEngine(tables, self._database) if self._database else Engine(tables)
                one = self._open[key] = _Open(made)
            self._open.move_to_end(key)
            one.users += 1
            self._make_room()
            return one

    def _give(self, one: _Open) -> None:
        with self._lock:
            one.users -= 1
            self._make_room()

    def _make_room(self) -> None:
        """Close databases that nobody uses, those asked longest ago first."""
        size = sum(o.engine.size for o in self._open.values())
        for key in [k for k, o in self._open.items() if not o.users][:-1]:
            if len(self._open) <= ENGINES and size <= KEPT_BYTES:
                break
            size -= self._open[key].engine.size
            self._open.pop(key).engine.close()

    def close(self) -> None:
        """Let go of all."""
        with self._lock:
            for one in self._open.values():
                one.engine.close()
            self._open.clear()


def engines_of(served: Served) -> Engines:
    """The databases of a server."""
    return served.kept("tap_engines", lambda: Engines(served.vo.database))


# what is asked --------------------------------------------------------------------------------


def query_of(
    params: Params, files: Mapping[str, bytes], settings: VoSettings, *, most_s: float,
    cancelled: Callable[[], bool], client: str = "",
) -> tuple[Query, Format]:  # fmt: skip
    """The query of a request or job, and the format of its answer. Uploads are fetched here.

    Raises DaliError, UsageError (bad_format, bad_upload, upload_host, upload_failed, too_large).
    Source: IVOA TAP 1.1, section 2.
    """
    request = params.one("REQUEST", "doQuery") or ""
    if request.lower() != "doquery":
        raise DaliError(f"REQUEST is {request[:40]!r}", where="REQUEST", remedy="use doQuery")
    language = (params.one("LANG", "ADQL") or "").lower()
    if language not in LANGUAGES:
        raise DaliError(f"queries in {language[:40]!r} are not understood", where="LANG",
                        remedy="LANG=ADQL, ADQL-2.0 or ADQL-2.1")  # fmt: skip
    version = params.one("VERSION", "1.1") or ""
    if version not in ("1.0", "1.1"):
        raise DaliError(f"there is no TAP {version[:20]!r} here", where="VERSION",
                        remedy="leave VERSION out, or say 1.1")  # fmt: skip
    text = params.need("QUERY")
    wanted = format_named(params.one("RESPONSEFORMAT") or params.one("FORMAT"))
    most = maxrec(params, settings.maxrec, settings.maxrec_most)
    size = settings.upload_mib << 20
    limits = FetchLimits(settings.upload_hosts, size)
    tables = uploaded(params.all("UPLOAD"), files, UploadLimits(bytes=size),
                      lambda url: fetched(url, limits))  # fmt: skip
    return Query(text, most, most_s, tables, cancelled, client), wanted


def infos_of(publisher: Publisher, query: Query) -> list[tuple[str, str]]:
    """What an answer says of where it is from (Data Origin, IVOA Note 1.1)."""
    return [("QUERY", query.text), ("publisher", publisher.title),
            ("service_protocol", "ivo://ivoa.net/std/TAP"),
            ("request", publisher.at("/vo/tap/sync"))]  # fmt: skip


# answers --------------------------------------------------------------------------------------


def tap_answer(ask: VoAsk) -> Response:
    """The answer to a query that the client waits for."""
    query, wanted = query_of(ask.params, ask.files, ask.settings, most_s=ask.settings.query_s,
                             cancelled=ask.gone, client=ask.client)  # fmt: skip
    rows = engines_of(ask.served).run(ask.archive, ask.publisher, query)
    pieces = written(rows, wanted, infos=infos_of(ask.publisher, query))
    return vo_table(ask, pieces, media_type=wanted.media_type)


def tap_work(served: Served) -> Callable[[Any], Any]:
    """What runs a query in the background: `Work` → its result as a file."""

    def work(job: Any) -> list[Any]:
        query, wanted = query_of(job.params, job.files, served.vo, most_s=served.vo.job_s,
                                 cancelled=job.cancelled)  # fmt: skip
        rows = engines_of(served).run(job.archive, job.publisher, query)
        path = job.folder / f"result.{wanted.ending}"
        with path.open("wb") as file:
            for piece in written(rows, wanted, infos=infos_of(job.publisher, query)):
                if job.cancelled():
                    rows.close()
                    raise TransientError("the job was cancelled", code="cancelled")
                file.write(piece)
        return [("result", path, wanted.media_type)]

    return work
