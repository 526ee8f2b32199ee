"""A registration with the SAMP hub of this desktop: the only place that imports ``pyvo.samp``.

Source: IVOA SAMP 1.3, standard profile. TOPCAT, Aladin and ``jsamp hub`` bring a hub along.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import xmlrpc.client
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..domain.errors import TransientError, UsageError
from .samp import Message, ascii_text

Heard = Callable[[str, Mapping[str, Any]], None]
"""(name of the sender, parameters of the message)"""
Answered = Callable[[str, str, str, Mapping[str, Any]], None]
_METADATA = {
    "samp.name": "Spectrarium",
    "samp.description.text": "Explores archives of astronomical spectra",
}
_OK = {"samp.status": "samp.ok", "samp.result": {}}
_START = "start TOPCAT or Aladin (each brings a hub), then do it again"


@dataclass(frozen=True, slots=True)
class Client:
    """A program on the hub. id : the hub's · name : as people know it"""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a message at one program.

    status : ``ok``, ``warning``, ``error``, or ``waiting`` where there was no answer in time
    """

    client: str
    status: str
    text: str = ""


class Hub:
    """One registration; made by `hub`."""

    def __init__(self, pyvo_client: Any, troubles: tuple[type[Exception], ...]) -> None:
        self._client = pyvo_client
        self._troubles = troubles
        self._own = pyvo_client.get_public_id()

    def clients(self, mtype: str | None = None) -> list[Client]:
        """Other programs, all or those that take a message."""
        with self._told():
            if mtype is None:
                ids = [i for i in self._client.get_registered_clients() if i != self._own]
            else:
                ids = list(self._client.get_subscribed_clients(mtype))
        return [Client(one, self.name(one)) for one in ids]

    def takes(self, client: Client) -> list[str]:
        """The messages that a program says it takes, in order."""
        with self._told():
            return sorted(self._client.get_subscriptions(client.id))

    def name(self, client_id: str) -> str:
        """What a program calls itself; its id where it says nothing, or has gone."""
        with contextlib.suppress(*self._troubles):
            return str(self._client.get_metadata(client_id).get("samp.name") or client_id)
        return client_id

    def chosen(self, mtype: str, to: str | Sequence[str] | None) -> list[Client]:
        """Programs that take a message: all, or those that are named (any case, or by id).

        Raises UsageError (no_samp_client).
        """
        able = self.clients(mtype)
        if to is None:
            if not able:
                raise UsageError(f"no program on the hub takes {mtype}", code="no_samp_client",
                                 remedy="start one that does; `spectrarium send --list` names "
                                 "what runs")  # fmt: skip
            return able
        out = []
        for word in [to] if isinstance(to, str) else to:
            fits = [c for c in able if word == c.id or word.lower() == c.name.lower()]
            if not fits:
                names = ", ".join(sorted({c.name for c in able})) or "none"
                raise UsageError(f"no program {word!r} on the hub takes {mtype}",
                                 code="no_samp_client", where="--to",
                                 remedy=f"choose from: {names}")  # fmt: skip
            out += [c for c in fits if c not in out]
        return out

    def call(self, message: Message, to: Sequence[Client], wait_s: float) -> list[Reply]:
        """Send a message and wait until every program has answered, or so long."""
        answers: dict[str, Reply] = {}
        done = threading.Event()
        tag = secrets.token_hex(8)

        def answered(_key: str, responder: str, _tag: str, response: Mapping[str, Any]) -> None:
            answers[responder] = _reply(names.get(responder, responder), response)
            if len(answers) == len(to):
                done.set()

        names = {c.id: c.name for c in to}
        self._client.bind_receive_response(tag, answered)
        try:
            for client in to:
                self._call(client, tag, message, answered)
            done.wait(wait_s)
        finally:
            self._client.unbind_receive_response(tag)
        return [answers.get(c.id, Reply(c.name, "waiting", f"no answer within {wait_s:g} s"))
                for c in to]  # fmt: skip

    def _call(self, client: Client, tag: str, message: Message, answered: Answered) -> None:
        with self._told():
            try:
                self._client.call(client.id, tag, message.record())
            except xmlrpc.client.Fault as fault:  # it has left meanwhile, or takes it no more
                response = {"samp.status": "samp.error",
                            "samp.error": {"samp.errortxt": fault.faultString}}  # fmt: skip
                answered("", client.id, tag, response)

    def notify(self, message: Message) -> None:
        """Tell all that take a message, without an answer."""
        with self._told():
            self._client.notify_all(message.record())

    def listen(self, mtype: str, heard: Heard) -> None:
        """Call `heard`, in a thread of the client's, for each such message."""

        def take(
            _key: str, sender: str, msg_id: str | None, _mtype: str, params: Any, _extra: Any
        ) -> None:
            try:
                heard(self.name(sender), params)
            finally:
                if msg_id is not None:
                    self._client.reply(msg_id, _OK)

        with self._told():
            self._client.bind_receive_message(mtype, take)

    def there(self) -> bool:
        """Whether the hub still answers."""
        try:
            self._client.ping()
        except self._troubles:
            return False
        return True

    def close(self) -> None:
        """Leave the hub; also where it has gone already."""
        with contextlib.suppress(*self._troubles):
            self._client.disconnect()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Troubles with the hub, as they are to be told."""
        try:
            yield
        except self._troubles as error:
            raise TransientError(f"the SAMP hub does not answer any more: {error}",
                                 code="no_samp_hub", remedy=_START) from error  # fmt: skip


def open_hub() -> Hub:
    """Register with the hub that SAMP_HUB or ``~/.samp`` names.

    Raises UsageError (no_pyvo) without the extra ``vo``, TransientError (no_samp_hub).
    """
    samp = _pyvo_samp()
    client = samp.SAMPIntegratedClient(metadata={k: ascii_text(v) for k, v in _METADATA.items()},
                                       addr="127.0.0.1")  # fmt: skip
    troubles = (samp.SAMPHubError, samp.SAMPClientError, xmlrpc.client.Error, OSError)
    try:
        with samp.conf.set_temp("use_internet", False):  # else it asks google.com for the way out
            client.connect()
    except troubles as error:
        raise TransientError("no SAMP hub answers on this computer", code="no_samp_hub",
                             remedy=_START) from error  # fmt: skip
    return Hub(client, troubles)


def _pyvo_samp() -> Any:
    try:
        return import_module("pyvo.samp")
    except ImportError as error:
        raise UsageError(
            "sending to other programs needs pyvo 1.9 or newer", code="no_pyvo",
            remedy="pip install 'spectrarium[vo]'",
        ) from error  # fmt: skip


def _reply(name: str, response: Mapping[str, Any]) -> Reply:
    status = str(response.get("samp.status", "")).removeprefix("samp.")
    wrong = response.get("samp.error")
    text = str(wrong.get("samp.errortxt", "")) if isinstance(wrong, Mapping) else ""
    return Reply(name, status if status in ("ok", "warning") else "error", text)
