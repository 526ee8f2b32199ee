"""``spectrarium compact``."""

from __future__ import annotations

from pathlib import Path

import click

from ..settings import Settings
from .output import archive_only, console, emit, json_option, opened


@click.command()
@archive_only
@json_option
def command(folder: Path | None, as_json: bool) -> None:
    """Merge small files and rebuild the index; past versions stay readable."""
    archive = opened(folder)
    archive.compact(Settings().wait_s)
    facts = {"version": archive.store.version, "observations": len(archive)}
    if as_json:
        emit(facts)
    else:
        console.print(
            f"compacted: {facts['observations']} observations, version {facts['version']}"
        )
