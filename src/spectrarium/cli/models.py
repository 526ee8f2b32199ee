"""``spectrarium models``."""

from __future__ import annotations

from pathlib import Path

import click

from ..store.archive import SUMMARY_COLUMNS
from .output import archive_option, console, emit, json_option, opened, show_table


@click.command()
@click.option("--members", "name", default=None, help="List the observations of this model.")
@click.option("--uncovered", is_flag=True, help="List the observations that no model covers.")
@archive_option
@json_option
def command(
    name: str | None, uncovered: bool, folder: Path | None, version: int | None, as_json: bool
) -> None:
    """The models of this archive: what each covers, and on what it was trained."""
    archive = opened(folder, version)
    if name is not None or uncovered:
        rows = archive.members(name)
        records = archive.store.catalogue(rows, SUMMARY_COLUMNS).to_pylist()
        columns = ["obs_id", "obs_collection", "target_name", "em_min", "em_max", "snr"]
    else:
        records = archive.models()
        columns = ["name", "covered", "where", "model_id", "training", "version"]
        columns = [c for c in columns if any(r.get(c) is not None for r in records)]
    if as_json:
        emit(records)
    elif records:
        show_table(records, columns)
    elif name is None and not uncovered:
        console.print("no models yet: `spectrarium embed --encoder pca`")
    else:
        console.print("none")
