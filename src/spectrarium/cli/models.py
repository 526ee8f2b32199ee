"""``spectrarium models``."""

from __future__ import annotations

from pathlib import Path

import click

from .output import archive_option, console, emit, json_option, opened, show_table


@click.command()
@archive_option
@json_option
def command(folder: Path | None, version: int | None, as_json: bool) -> None:
    """The models of this archive: what each covers, when and on what it was trained."""
    records = opened(folder, version).models()
    if as_json:
        emit(records)
    elif records:
        show_table(records, ["name", "covered", "model_id", "training", "version"])
    else:
        console.print("no models yet: `spectrarium embed --encoder pca`")
