"""``spectrarium quarantine``."""

from __future__ import annotations

from pathlib import Path

import click

from .output import archive_option, console, emit, json_option, opened, show_table


@click.command()
@archive_option
@click.option("--code", default=None, help="Only this reason code.")
@json_option
def command(folder: Path | None, version: int | None, code: str | None, as_json: bool) -> None:
    """What could not be stored: file, HDU and row, the reason, and what to do."""
    records = [r for r in opened(folder, version).quarantine() if code is None or r["code"] == code]
    if as_json:
        emit(records)
    elif not records:
        console.print("the quarantine is empty")
    else:
        for r in records:
            if r["member"]:
                r["path"] = f"{r['path']}!{r['member']}"
        show_table(records, ["path", "hdu", "row", "code", "reason", "remedy"])
