"""``spectrarium serve``."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from ..settings import Settings, headless
from .output import archive_only, console, error_console

if TYPE_CHECKING:
    from ..serve.app import Served


@click.command()
@archive_only
@click.option("--host", default=None, help="Address to listen at [default: 127.0.0.1, this "
              "machine only]; any other needs a token.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=None,
              help="Port [default: 8600]; 0 takes any free one.")  # fmt: skip
@click.option("--token", default=None, help="Whoever gives it is the operator, others are guests; "
              "16 characters or more. Set one, best in $SPECTRARIUM_TOKEN, on a machine that you "
              "share: without it, its other users are operators too.")  # fmt: skip
@click.option("--name", "names", multiple=True, metavar="HOST",
              help="A further name this server is reached by, behind a proxy; needs a "
              "token.")  # fmt: skip
@click.option("--title", default=None, help="What the archive is called in the Virtual "
              "Observatory.")  # fmt: skip
@click.option("--authority", default=None, help="Authority of its identifiers, such as "
              "org.example.")  # fmt: skip
@click.option("--contact", default=None, help="E-mail address of who answers questions.")
@click.option("--contact-name", default=None, help="Name that goes with it.")
@click.option("--url", default=None, help="Address by which the world reaches the server, where "
              "it stands behind a proxy; needs a token.")  # fmt: skip
@click.option("--people", type=click.Path(path_type=Path, dir_okay=False), default=None,
              help="File of what people keep [default: beside the archive].")  # fmt: skip
@click.option("--no-browser", is_flag=True, help="Do not open the page.")
def command(
    folder: Path | None, host: str | None, port: int | None, token: str | None,
    names: tuple[str, ...], title: str | None, authority: str | None, contact: str | None,
    contact_name: str | None, url: str | None, people: Path | None, no_browser: bool,
) -> None:  # fmt: skip
    """The page: explore an archive in the browser. Ctrl-C ends it."""
    from ..people import people_beside
    from ..serve.app import create_app
    from ..serve.running import leave, listening_socket, serve
    from ..serve.vo_settings import vo_settings

    settings = Settings()
    said = {"title": title, "authority": authority, "contact": contact,
            "contact_name": contact_name, "url": url}  # fmt: skip
    vo = vo_settings(settings, {k: v for k, v in said.items() if v is not None})
    names = (*names, *settings.names, *filter(None, [urlsplit(vo.url).hostname]))
    folder = (folder or settings.archive).absolute()
    host = host or settings.host
    token = token if token is not None else settings.secret()
    listener = listening_socket(host, settings.port if port is None else port)
    number = int(listener.getsockname()[1])
    try:
        app = create_app(
            folder, people or settings.people or people_beside(folder), token=token, host=host,
            port=number, names=names, upload_bytes=settings.upload_mib << 20, vo=vo,
        )  # fmt: skip
        _tell_unregistered(app.state.served)
    except BaseException:
        listener.close()
        raise
    address = f"http://{_shown(host)}:{number}"

    def ready() -> None:
        console.print(f"{folder.name}: {address}", markup=False, soft_wrap=True)
        if _shown(host) != host.strip("[]") and ":" not in host:
            console.print(f"listening at {host}, port {number}", markup=False, soft_wrap=True)
        console.print("[dim]Ctrl-C ends it[/]")
        if not (no_browser or headless()):
            webbrowser.open(address)

    serve(app, listener, ready)
    leave()


def _tell_unregistered(served: Served) -> None:
    """Warn of public collections that the registry of a named authority can have no record of."""
    from ..people.records import GUEST
    from ..publish.publisher import LOCAL
    from ..publish.registry import unregistrable
    from ..run.overview import collections

    if served.vo.authority == LOCAL:
        return
    public = served.holdings.newest(served.people.collections.visibility(GUEST)).archive
    for name, why in unregistrable(c["name"] for c in collections(public)):
        error_console.print("[yellow]warning[/]", end=" ")
        error_console.print(f"the collection {name!r} can have no record in a registry: {why}",
                            markup=False, soft_wrap=True)  # fmt: skip


def _shown(host: str) -> str:
    """The address as this machine's own browser can use it."""
    host = host.strip("[]")
    if host in ("0.0.0.0", ""):
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host
