"""``spectrarium map``."""

from __future__ import annotations

from pathlib import Path

import click

from ..settings import Settings
from .output import archive_option, console, emit, json_option, opened, progress_bar, show_table


@click.command()
@click.option("--method", default="umap", show_default=True, help="umap, pca or pacmap.")
@click.option("--encoder", default=None, help="Only embeddings of this encoder [default: all].")
@click.option("--model", default=None, help="Only this model [default: all].")
@click.option("--where", default=None, help="Only observations that meet this filter.")
@click.option(
    "--colour", "--color", default=None, metavar="COLUMN",
    help="What colours the picture: any column [default: class, else density].",
)  # fmt: skip
@click.option("--seed", type=int, default=None, help="Of the layout [default: as it is, else 0].")
@click.option("--refit", is_flag=True, help="Lay out anew instead of placing what is new.")
@click.option("--dark", is_flag=True, help="A picture on a dark background.")
@click.option("--plot", type=click.Path(path_type=Path), default=None, help="Write a picture.")
@archive_option
@json_option
def command(
    method: str, encoder: str | None, model: str | None, where: str | None, colour: str | None,
    seed: int | None, refit: bool, dark: bool, plot: Path | None, folder: Path | None,
    version: int | None, as_json: bool,
) -> None:  # fmt: skip
    """A 2-D layout of what is embedded: to look at, never to measure on.

    Distances, sizes and gaps on a map have no meaning: ask `similar` what is alike. A map that
    exists is kept; what came since is placed on it without moving anything. Trustworthiness and
    continuity say how many neighbours on the map are real, and how many real ones it shows.
    """
    archive = opened(folder, version)
    if colour is not None:
        archive.column(colour, [])  # a wrong name is told before minutes of work
    with progress_bar() as bar:
        maps = archive.map(
            method, encoder=encoder, model=model, where=where, seed=seed, refit=refit,
            progress=bar, wait_s=Settings().wait_s,
        )  # fmt: skip
    pictures: list[Path] = []
    if plot is not None:
        from ..plot.map import Colour, plot_maps

        colours = []
        for found in maps:
            column = archive.column(colour or "class", found.rows)
            known = colour is not None or any(v is not None for v in column.values.tolist())
            colours.append(Colour(column.name, column.values, column.unit) if known else None)
        pictures = plot_maps(maps, colours, plot, dark)
    records = [m.record() for m in maps]
    if as_json:
        emit(records)
        return
    rows = [
        {
            "model": r["model"], "points": r["points"], "placed": r["placed"],
            "new": r["placed_now"], "laid out": "now" if r["laid_out_now"] else "before",
            "trustworthiness": r["quality"]["trustworthiness"],
            "continuity": r["quality"]["continuity"], "10 nearest kept": r["quality"]["kept_10"],
            "placing error": r["placement"]["error"],
        }
        for r in records
    ]  # fmt: skip
    show_table(rows, list(rows[0]))
    for found in maps:
        q = found.quality
        console.print(
            f"{found.name}: k = {q.k}, measured on {q.sample} points; for looking at only",
            markup=False, style="dim",
        )  # fmt: skip
        if found.new:
            console.print(f"{found.new} new points placed on the map of {found.name}")
        if found.note:
            console.print(found.note, markup=False)
    for picture in pictures:
        console.print(f"picture: {picture}", markup=False)
