"""``spectrarium similar``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .answers import LABELS, answer_records
from .output import (
    archive_option,
    console,
    declare_options,
    emit,
    json_option,
    opened,
    regions_text,
    show_table,
)


@click.command()
@click.argument("query", metavar="ID|FILE")
@click.option("-k", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@click.option("--where", default=None, help="Only among observations that meet this filter.")
@click.option("--model", default=None, help="Model to compare in [default: the largest].")
@click.option("--plot", type=click.Path(path_type=Path), default=None, help="Write a picture.")
@archive_option
@declare_options
@json_option
def command(
    query: str, k: int, where: str | None, model: str | None, plot: Path | None,
    folder: Path | None, version: int | None, as_json: bool, **declared: Any,
) -> None:  # fmt: skip
    """What is like this one? Nearest first, with where each differs from the query."""
    archive = opened(folder, version)
    found = archive.similar(query, k, where=where, model=model, **declared)
    records = answer_records(archive, found.answers, "distance")
    pictures: list[Path] = []
    if plot is not None:
        from ..plot.answers import plot_similar

        pictures = plot_similar(archive.store, found, plot)
    if as_json:
        emit(records)
        return
    for record in records:
        record["differs"] = regions_text(record["differs"][:2]) or "nowhere beyond the noise"
    columns = ["rank", "obs_id", "distance", "snr", *LABELS, "differs"]
    columns = [c for c in columns if any(r.get(c) is not None for r in records)]
    show_table(records, columns)
    console.print(f"[dim]{found.searched} spectra searched in {found.model}[/]")
    for picture in pictures:
        console.print(f"picture: {picture}", markup=False)
