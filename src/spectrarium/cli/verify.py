"""``spectrarium verify``."""

from __future__ import annotations

from pathlib import Path

import click

from .output import archive_option, console, emit, json_option, opened


@click.command()
@archive_option
@json_option
def command(folder: Path | None, version: int | None, as_json: bool) -> int:
    """Read every spectrum and the index again; report what is damaged."""
    archive = opened(folder, version)
    found = [error.record() for error in archive.store.verify()]
    if as_json:
        emit(found)
    elif found:
        for record in found:
            console.print(f"{record['where']}: {record['reason']} → {record['remedy']}",
                          markup=False)  # fmt: skip
    else:
        console.print(f"{len(archive)} observations read, nothing damaged")
    return 3 if found else 0
