"""Requests of the Virtual Observatory: parameters in any case, errors as VOTables.

@vo_answering
def query(ask: VoAsk) -> Response: ...

ROUTES = [Route("/vo/ssap", query, methods=["GET", "POST"])]
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Any, overload
from urllib.parse import parse_qsl

import python_multipart
from starlette.requests import Request
from starlette.responses import Response

from ..domain.errors import SpectrariumError
from ..publish import vosi
from ..publish.dali import VALUES_MOST, VOTABLE, DaliError, Params, error_document
from ..publish.publisher import Publisher
from ..publish.tap_upload import inline_parts
from ..store.archive import Archive
from .answers import file_answer
from .asking import Endpoint, in_turn
from .errors import defect, status_of
from .holding import Holding
from .visitors import client_of
from .vo_streaming import Stream, gathered, let_go

if TYPE_CHECKING:
    from ..people.records import User
    from .app import Served
    from .vo_settings import VoSettings

LOGIN = "/vo/login"
RETRY_S = 5


@dataclass(frozen=True, slots=True, eq=False)
class VoAsk:
    """One request to a service.

    params : of the address and of a form · files : of a multipart form, by the name of their part
    publisher : with the address that this client reached the server by
    path : named parts of the address · left : set when the client has hung up
    client : whose share of what all have in common it takes: see `client_of`
    """

    served: Served
    user: User
    holding: Holding
    params: Params
    publisher: Publisher
    path: dict[str, str]
    method: str
    where: str
    headers: dict[str, str]
    body: bytes = b""
    files: dict[str, bytes] = field(default_factory=dict)
    left: threading.Event = field(default_factory=threading.Event)
    client: str = ""

    @property
    def archive(self) -> Archive:
        """The newest version, with what the user may see."""
        return self.holding.archive

    def gone(self) -> bool:
        """Whether the client has hung up."""
        return self.left.is_set()

    @property
    def settings(self) -> VoSettings:
        """What the operator set."""
        return self.served.vo


VoHandler = Callable[[VoAsk], Response]
Told = Callable[[SpectrariumError], tuple[bytes, str]]


@overload
def vo_answering(handler: VoHandler) -> Endpoint: ...
@overload
def vo_answering(
    *,
    slow: bool = ...,
    upload: bool = ...,
    queries: bool = ...,
    anyone: bool = ...,
    told: Told | None = ...,
) -> Callable[[VoHandler], Endpoint]: ...
def vo_answering(
    handler: VoHandler | None = None, *, slow: bool = False, upload: bool = False,
    queries: bool = False, anyone: bool = False, told: Told | None = None,
) -> Endpoint | Callable[[VoHandler], Endpoint]:  # fmt: skip
    """Make a route of a function that runs in a thread; its errors become VOTables.

    slow : takes seconds · upload : the body may be as large as an upload · queries : of a database
    that looks after itself · anyone : answered even to those who would have to sign in · told :
    error → document and type, where not a VOTable
    """
    if handler is None:
        return partial(vo_answering, slow=slow, upload=upload, queries=queries, anyone=anyone,
                       told=told)  # fmt: skip
    refuse = partial(vo_error, told=told)

    def answer(request: Request, body: bytes) -> Response:
        return _answer(handler, request, body, anyone, refuse)

    made = in_turn(answer, slow=slow, upload=upload, queries=queries, services=True, refuse=refuse)
    update_wrapper(made, handler)
    return made


def vo_error(error: SpectrariumError, told: Told | None = None) -> Response:
    """The answer to a request that failed: DALI 1.1, 4.4, and an HTTP status that says so."""
    if error.exit_code == 5:
        error = defect(error)
    body, kind = told(error) if told else (error_document(error), VOTABLE)
    status = status_of(error)
    answer = Response(body, status, media_type=kind)
    if status == 503:
        answer.headers["Retry-After"] = str(RETRY_S)
    return answer


def challenge(answer: Response, request: Request) -> None:
    """Tell a guest how to sign in, always with a token of the archive's operator.

    ``ivoa_bearer``: the address where a name and the token as password give a bearer token (IVOA
    AuthVO); where nothing is answered without, HTTP Basic too: most clients and browsers know it.
    """
    where = publisher_of(request).at(LOGIN)
    answer.headers["WWW-Authenticate"] = (
        f'ivoa_bearer standard_id="{vosi.PASSWORD}", access_url="{where}", realm="spectrarium"'
    )
    if answer.status_code == 401:
        answer.headers.append("WWW-Authenticate", 'Basic realm="spectrarium", charset="UTF-8"')


def _answer(
    handler: VoHandler, request: Request, body: bytes, anyone: bool,
    refuse: Callable[[SpectrariumError], Response],
) -> Response:  # fmt: skip
    guest = False
    try:
        ask = _asked(request, body, anyone)
        guest = not ask.user.signed_in and ask.archive.restricted
        answer = handler(ask)
    except SpectrariumError as error:
        answer = refuse(error)
    except Exception as error:  # noqa: BLE001  the edge: a defect of ours is told as one
        answer = refuse(defect(error))
    if guest or answer.status_code == 401:  # there may be more for who signs in
        challenge(answer, request)
    return answer


def _asked(request: Request, body: bytes, anyone: bool) -> VoAsk:
    served: Served = request.app.state.served
    user, _ = served.visitors.who(request, anyone=anyone, cookies=False)
    pairs, files = parameters_of(request, body)
    return VoAsk(
        served, user, served.holdings.newest(served.people.visibility(user)), Params(pairs),
        publisher_of(request), {k: str(v) for k, v in request.path_params.items()},
        request.method, request.url.path, dict(request.headers), body, files,
        request.state.gone, client_of(request),
    )  # fmt: skip


def publisher_of(request: Request) -> Publisher:
    """Who publishes, at the address that the operator set or the request came by."""
    vo = request.app.state.served.vo
    base = vo.url or f"{request.url.scheme}://{request.headers.get('host', '127.0.0.1')}"
    return Publisher(vo.title, vo.authority, vo.contact, vo.contact_name, base)


def parameters_of(request: Request, body: bytes) -> tuple[list[tuple[str, str]], dict[str, bytes]]:
    """(name, value) pairs of the address and of the body, and the files of a multipart form.

    Raises DaliError for a body that is no form.
    """
    pairs = list(request.query_params.multi_items())
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        try:
            pairs += parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=VALUES_MOST)
        except ValueError as error:
            raise DaliError(f"the body is no form: {error}") from error
    elif kind == "multipart/form-data":
        return _multipart(pairs, request.headers["content-type"], body)
    return pairs, {}


def _multipart(
    pairs: list[tuple[str, str]], content_type: str, body: bytes
) -> tuple[list[tuple[str, str]], dict[str, bytes]]:
    """A table that UPLOAD names may come as a file or, without a file's name, as a field."""
    files: dict[str, bytes] = {}
    fields: list[tuple[str, bytes]] = []

    def on_field(found: Any) -> None:
        fields.append((_text(found.field_name), found.value or b""))

    def on_file(found: Any) -> None:
        found.file_object.seek(0)
        files[_text(found.field_name)] = found.file_object.read()

    headers = {"Content-Type": content_type.encode(), "Content-Length": str(len(body)).encode()}
    try:
        python_multipart.parse_form(headers, io.BytesIO(body), on_field, on_file)
    except (ValueError, python_multipart.exceptions.FormParserError) as error:
        raise DaliError(f"the body is no multipart form: {error}") from error
    said = [*pairs, *((name, _text(value)) for name, value in fields if name.upper() == "UPLOAD")]
    tables = inline_parts(value for name, value in said if name.upper() == "UPLOAD")
    for name, value in fields:
        if name in tables:
            files[name] = value
        else:
            pairs.append((name, _text(value)))
    return pairs, files


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


# answers --------------------------------------------------------------------------------------


def vo_table(
    ask: VoAsk, pieces: Iterable[bytes], name: str = "", media_type: str = VOTABLE
) -> Response:
    """A document sent as it is made; what fails in its first block is an error as any other.

    name : of the file to keep, without it the client shows it
    """
    pieces = iter(pieces)
    try:
        first, done = gathered(pieces)
    except BaseException:
        let_go(pieces)
        raise
    if done or ask.method == "HEAD":
        let_go(pieces)
    headers = {"Cache-Control": "no-cache"}
    if name:
        headers["Content-Disposition"] = file_answer(b"", name, VOTABLE).headers[
            "content-disposition"
        ]
    if ask.method == "HEAD":
        return Response(b"", 200, headers, media_type)
    if done:
        return Response(first, 200, headers, media_type)
    return Stream(first, pieces, ask.left, headers, media_type)


def vo_xml(body: bytes) -> Response:
    """An XML document."""
    return Response(body, 200, {"Cache-Control": "no-cache"}, "text/xml; charset=utf-8")
