"""A SAMP hub of the tests' own, and a program on it that takes what it is sent."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from required import need

samp = pytest.importorskip("pyvo.samp", reason="pyvo has no samp")

LOADS = ("table.load.votable", "spectrum.load.ssa-generic", "coord.pointAt.sky")
MARKS = ("table.highlight.row", "table.select.rowList")
WEB_PORT = 21012


def until(what: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait until `what` says something, and give that."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError(f"nothing after {seconds:g} s")


class Program:
    """A client of pyvo's, such as TOPCAT is: it keeps what it hears, in order, and says yes."""

    def __init__(self, name: str = "Taker", takes: tuple[str, ...] = LOADS + MARKS) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.answer: dict[str, Any] = {"samp.status": "samp.ok", "samp.result": {}}
        self.silent = False
        self.client = samp.SAMPIntegratedClient(metadata={"samp.name": name}, addr="127.0.0.1")
        self.client.connect()
        for mtype in takes:
            self.client.bind_receive_message(mtype, self._take)

    def _take(
        self, _key: str, _sender: str, msg_id: str | None, mtype: str, params: Any, _extra: Any
    ) -> None:
        self.heard.append((mtype, params))
        if msg_id is not None and not self.silent:
            self.client.reply(msg_id, self.answer)

    def of(self, mtype: str) -> list[dict[str, Any]]:
        """Parameters of the messages of a kind, in order."""
        return [params for kind, params in self.heard if kind == mtype]

    def wait(self, mtype: str, count: int = 1) -> dict[str, Any]:
        """The parameters of the `count`-th message of a kind."""
        return until(lambda: self.of(mtype)[count - 1 :])[0]

    def tell(self, mtype: str, **params: Any) -> None:
        """Notify all."""
        names = {k.replace("_", "-"): v for k, v in params.items()}
        self.client.notify_all({"samp.mtype": mtype, "samp.params": names})

    def others(self) -> dict[str, str]:
        """Names of the other programs: id → name."""
        found = {}
        for one in self.client.get_registered_clients():
            with contextlib.suppress(samp.SAMPProxyError):  # it has just left
                found[one] = self.client.get_metadata(one).get("samp.name", "?")
        return found

    def close(self) -> None:
        """Leave."""
        with contextlib.suppress(Exception):
            self.client.disconnect()


@contextlib.contextmanager
def javas_hub(folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> Iterator[Program]:
    """JSAMP, the hub inside TOPCAT and Aladin, with a program on it; words : more of its options"""
    program = shutil.which("jsamp")
    need("jsamp", program is not None, "jsamp is not installed")
    lock = folder / "java.lock"
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{lock.as_uri()}")
    env = {k: v for k, v in os.environ.items() if not k.startswith("JAVA_TOOL")}
    command = [str(program), "hub", "-mode", "no-gui", *words]
    with samp.conf.set_temp("use_internet", False), subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as java:
        try:
            taker = until(_joined, 60)  # the file is there before the hub is
            yield taker
            taker.close()
        finally:
            java.terminate()
            try:
                java.wait(20)
            except subprocess.TimeoutExpired:
                java.kill()


def _joined() -> Program | None:
    with contextlib.suppress(Exception):
        return Program("Other program")
    return None


def _stopped(server: Any) -> bool:
    """Stop pyvo's hub. It fails where a client leaves, or one of its threads ends, meanwhile."""
    with contextlib.suppress(KeyError, RuntimeError):
        server.stop()
    return not server.is_running


class Consent(samp.hub.WebProfileDialog):
    """Instead of the window that asks whether a page may come in."""

    def __init__(self, yes: bool = True) -> None:
        self.yes = yes
        self.asked: list[str] = []
        self._on = True
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def _poll(self) -> None:
        while self._on:
            self.handle_queue()
            time.sleep(0.05)

    def show_dialog(self, samp_name: str, details: Any, client: Any, origin: str) -> None:
        """What a person would be asked."""
        self.asked.append(f"{samp_name} of {origin}")
        (self.consent if self.yes else self.reject)()

    def stop(self) -> None:
        """Ask nobody any more."""
        self._on = False


@contextlib.contextmanager
def hub(
    folder: Path, monkeypatch: pytest.MonkeyPatch, consent: Consent | None = None
) -> Iterator[Any]:
    """pyvo's hub while the block lasts; clients find it by SAMP_HUB.

    consent : with it pages may come in, at the one port that the standard gives them
    """
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{(folder / 'samp.lock').as_uri()}")
    with samp.conf.set_temp("use_internet", False):
        server = samp.SAMPHubServer(web_profile=consent is not None, addr="127.0.0.1",
                                    web_profile_dialog=consent)  # fmt: skip
        server.start()
        try:
            yield server
        finally:
            until(lambda: _stopped(server))
            if consent is not None:
                consent.stop()
