"""``spectrarium ingest``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..settings import Settings
from .output import (
    archive_only,
    console,
    declare_options,
    emit,
    error_console,
    json_option,
    opened,
    progress_bar,
)


@click.command()
@click.argument("paths", nargs=-1, required=True)
@archive_only
@declare_options
@click.option("--reader", default=None, help="Force one reader (see `spectrarium formats`).")
@click.option("--reread", is_flag=True, help="Read again even what is unchanged.")
@click.option(
    "--workers",
    type=click.IntRange(0),
    default=None,
    help="Reading processes [default: one a core].",
)
@click.option("--wait", "wait_s", type=float, default=None, help="Seconds to wait for a writer.")
@json_option
def command(
    paths: tuple[str, ...], folder: Path | None, reader: str | None, reread: bool,
    workers: int | None, wait_s: float | None, as_json: bool, **declared: Any,
) -> int:  # fmt: skip
    """Store files of any format in the archive.

    PATHS are files, folders, globs, zips, tars, http(s) addresses, or text files that list paths
    or addresses. Nothing is stored twice; run it again to go on after an interruption: files that
    are unchanged and addresses that were read well are skipped, unless you declare something new
    about them or say --reread. A bad file goes to the quarantine and the rest goes on.
    """
    settings = Settings()
    archive = opened(folder)
    with progress_bar() as bar:
        report = archive.ingest(
            paths, reader=reader, reread=reread,
            workers=settings.workers if workers is None else workers,
            wait_s=settings.wait_s if wait_s is None else wait_s, progress=bar, **declared,
        )  # fmt: skip
    if as_json:
        emit(report.record())
    else:
        console.print(
            f"[bold]{report.stored}[/] spectra stored, {report.unchanged} unchanged, "
            f"[bold]{report.quarantined}[/] quarantined, {report.not_spectra} files hold none; "
            f"{report.files} files read, {report.skipped} seen before; {report.seconds:.1f} s; "
            f"archive version {report.version}"
        )
        if report.quarantined:
            error_console.print("  → `spectrarium quarantine` says why and what to do")
    if report.cancelled:
        return 130
    nothing = not (report.stored or report.unchanged or report.skipped or report.not_spectra)
    return 3 if nothing and report.quarantined else 0
