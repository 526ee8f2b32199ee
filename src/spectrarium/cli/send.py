"""``spectrarium send``."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import click

from ..api.sending import FORMS, WAIT_S, Link, Sent
from ..domain.errors import TransientError, UsageError
from .output import archive_option, console, emit, error_console, json_option, opened, show_table

LOOK_S = 1.0
"""So often it is looked whether the hub is still there."""


@click.command()
@click.argument("identifiers", metavar="[ID]...", nargs=-1)
@click.option("--cone", nargs=3, type=float, default=None, metavar="RA DEC R", help="Degrees.")
@click.option("--where", default=None, help="Filter, e.g. \"snr > 20 AND target_class = 'QSO'\".")
@click.option("--target", default=None, help="Target name; case, blanks and _ do not matter.")
@click.option("--columns", default=None, help="Columns of a table, by comma.")
@click.option("--limit", "-n", type=click.IntRange(1), default=None,
              help="Of what is found.")  # fmt: skip
@click.option("--as", "form", type=click.Choice(FORMS), default=None,
              help="[default: spectrum with IDs, else table]")  # fmt: skip
@click.option("--format", "file_format", type=click.Choice(("votable", "fits")), default="votable",
              show_default=True, help="Of spectra.")  # fmt: skip
@click.option("--to", multiple=True, metavar="NAME",
              help="Program to send to; repeatable [default: all that take it].")  # fmt: skip
@click.option("--wait", "wait_s", type=click.FloatRange(0.1), default=WAIT_S, show_default=True,
              help="Seconds to wait for an answer.")  # fmt: skip
@click.option("--follow", is_flag=True,
              help="Stay: print the id of each row that is marked there, mark there each id "
              "that is typed or piped in, until Ctrl-C.")  # fmt: skip
@click.option("--list", "listed", is_flag=True, help="Only say which programs are there.")
@archive_option
@json_option
def command(
    identifiers: tuple[str, ...], cone: tuple[float, float, float] | None, where: str | None,
    target: str | None, columns: str | None, limit: int | None, form: Any, file_format: str,
    to: tuple[str, ...], wait_s: float, follow: bool, listed: bool, folder: Path | None,
    version: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Send spectra (by ID) or a table (by a filter) to TOPCAT, Aladin, SPLAT …

    They are found through SAMP: start one of them first.
    """
    if listed:
        _list(as_json)
        return
    if not identifiers and where is None and cone is None and target is None:
        raise UsageError("nothing says what to send", code="nothing_selected",
                         remedy="give IDs, --where, --cone or --target")  # fmt: skip
    archive = opened(folder, version)
    link = archive.link()
    try:
        sent = link.send(
            identifiers or None, where=where, cone=cone, target=target, limit=limit, form=form,
            columns=[c.strip() for c in columns.split(",")] if columns else None,
            file_format=file_format, to=to or None, wait_s=wait_s,
        )  # fmt: skip
        _report(sent, as_json)
        if follow:
            _follow(link, as_json)
    finally:
        left = link.close()
        if left is not None:
            error_console.print(f"the files stay in {left} for who has not answered", markup=False)
    if not any(one.taken for one in sent):
        raise TransientError("no program took it", code="not_taken",
                             remedy="see what each said, and try again")  # fmt: skip


def _list(as_json: bool) -> None:
    with Link() as link:
        found = [{"name": c.name, "id": c.id, "takes": link.takes(c)} for c in link.clients()]
    if as_json:
        emit(found)
        return
    rows = [r | {"takes": " ".join(t for t in r["takes"] if not t.startswith("samp."))}
            for r in found]  # fmt: skip
    show_table(rows, ["name", "id", "takes"])


def _report(sent: list[Sent], as_json: bool) -> None:
    rows = [
        {"what": one.what, "to": r.client, "status": r.status, "text": r.text}
        for one in sent for r in one.replies
    ]  # fmt: skip
    if as_json:
        emit(rows)
    else:
        show_table(rows, ["what", "to", "status", "text"])


def _follow(link: Link, as_json: bool) -> None:
    """Rows marked there become ids here, and the other way round, while the hub lives."""

    def heard(ids: list[str], program: str) -> None:
        if as_json:
            emit({"program": program, "ids": ids})
        else:
            for one in ids:
                console.print(one, markup=False)

    link.on_highlight(heard)
    threading.Thread(target=_typed, args=(link,), daemon=True).start()
    while link.alive:
        time.sleep(LOOK_S)
    raise TransientError("the SAMP hub has gone", code="no_samp_hub",
                         remedy="start TOPCAT or Aladin, then send it again")  # fmt: skip


def _typed(link: Link) -> None:
    for line in sys.stdin:
        name = line.strip()
        if name:
            try:
                link.highlight(name)
            except UsageError as error:
                error_console.print(str(error), markup=False)
