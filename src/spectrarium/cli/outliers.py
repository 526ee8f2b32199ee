"""``spectrarium outliers``."""

from __future__ import annotations

from pathlib import Path

import click

from .answers import LABELS, answer_records
from .output import (
    archive_option,
    console,
    emit,
    json_option,
    opened,
    progress_bar,
    regions_text,
    show_table,
)


@click.command()
@click.option("--score", default="reconstruction", show_default=True, help="reconstruction or knn.")
@click.option("-k", type=click.IntRange(1), default=50, show_default=True, help="How many.")
@click.option("--where", default=None, help="Only observations that meet this filter.")
@click.option("--model", default=None, help="Only this model's [default: all].")
@click.option("--plot", type=click.Path(path_type=Path), default=None, help="Write a picture.")
@archive_option
@json_option
def command(
    score: str, k: int, where: str | None, model: str | None, plot: Path | None,
    folder: Path | None, version: int | None, as_json: bool,
) -> None:  # fmt: skip
    """What is strange here? Ranked by how far a score lies above the usual at the same S/N."""
    archive = opened(folder, version)
    with progress_bar() as bar:
        found = archive.outliers(score, k, where=where, model=model, progress=bar)
    records = answer_records(archive, found.answers, "score")
    pictures: list[Path] = []
    if plot is not None:
        from ..plot.answers import plot_outliers

        pictures = plot_outliers(archive.store, found, plot)
    if as_json:
        emit(records)
        return
    for record in records:
        record["where"] = regions_text(record["differs"][:2]) or "all over"
    columns = ["rank", "obs_id", "significance", "score", "snr", *LABELS, "where", "model"]
    columns = [c for c in columns if any(r.get(c) is not None for r in records)]
    show_table(records, columns)
    for name, n in found.judged.items():
        console.print(
            f"{name}: {n} judged, {found.abstained[name]} abstained; Spearman ρ of score and S/N "
            f"{found.correlation[name]:+.2f}", markup=False, style="dim",
        )  # fmt: skip
    for picture in pictures:
        console.print(f"picture: {picture}", markup=False)
