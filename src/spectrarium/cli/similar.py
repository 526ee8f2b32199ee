"""``spectrarium similar``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .answers import LABELS, answer_records
from .output import (
    archive_option,
    cell,
    console,
    declare_options,
    emit,
    error_console,
    json_option,
    opened,
    progress_bar,
    regions_text,
    show_table,
)

if TYPE_CHECKING:
    from rich.console import Console

    from ..run.answers import Similar

_NOISE = 2.0  # χ² per pixel up to which a difference that lies nowhere may be noise


@click.command()
@click.argument("query", metavar="ID|FILE")
@click.option("-k", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@click.option("--where", default=None, help="Only among observations that meet this filter.")
@click.option("--encoder", default=None, help="Compare by this encoder: pca, patch …")
@click.option("--model", default=None,
              help="Model to compare in [default: of those that cover the query the largest; of "
              "equals patch, then pca].")  # fmt: skip
@click.option("--window", type=float, nargs=2, default=None, metavar="LO HI",
              help="Compare pixels between two wavelengths only: Å, vacuum, in the query's frame "
              "(at rest with --rest).")  # fmt: skip
@click.option("--air", is_flag=True, help="The window is given in air wavelengths.")
@click.option("--line", default=None, help="Compare pixels around a line: Halpha, [OIII]5007 …")
@click.option("--width", "width_kms", type=float, default=1500.0, show_default=True,
              help="Half-width around the line, km/s.")  # fmt: skip
@click.option("--rest", is_flag=True,
              help="Compare pixels at rest, by redshift or velocity; what has none is left "
              "out.")  # fmt: skip
@click.option("--redshift", type=float, default=None,
              help="Of the query [default: the archive's or the file's].")  # fmt: skip
@click.option("--rerank/--no-rerank", default=False, show_default=True,
              help="Order the 200 nearest by their pixels too.")  # fmt: skip
@click.option("--exact", is_flag=True, help="Search exactly, however many there are.")
@click.option("--explain", is_flag=True, help="Say what lies where they differ.")
@click.option("--every", type=click.IntRange(1), default=1, show_default=True,
              help="With --explain --json: average the arrays over so many pixels.")  # fmt: skip
@click.option("--plot", type=click.Path(path_type=Path), default=None, help="Write a picture.")
@archive_option
@declare_options
@json_option
def command(
    query: str, k: int, every: int, plot: Path | None, folder: Path | None, version: int | None,
    as_json: bool, **asked: Any,
) -> None:  # fmt: skip
    """What is like this one? Nearest first, with where each differs from the query."""
    archive = opened(folder, version)
    with progress_bar() as progress:
        # a picture names what it shows, so it needs the explanation
        explain = asked.pop("explain")
        found = archive.similar(query, k, explain=explain or plot is not None, progress=progress,
                                **asked)  # fmt: skip
    records = answer_records(archive, found.answers, "distance")
    pictures: list[Path] = []
    if plot is not None:
        from ..plot.answers import plot_similar

        pictures = plot_similar(archive.store, found, plot)
    if as_json:
        emit([_json(r, a, found, every if explain else 0)
              for r, a in zip(records, found.answers, strict=True)])  # fmt: skip
        _about(found, error_console)
        return
    _show(records, found, explain)
    for picture in pictures:
        console.print(f"picture: {picture}", markup=False)


def _json(record: dict[str, Any], answer: Any, found: Similar, every: int) -> dict[str, Any]:
    record |= {"metric": found.metric, "search": found.search, "searched": found.searched,
               "notes": found.notes, "left_out": found.left_out}  # fmt: skip
    if answer.explanation is not None and every:
        record["explanation"] = answer.explanation.record(found.wave_aa, every)
    return record


def _show(records: list[dict[str, Any]], found: Similar, explain: bool) -> None:
    for record, answer in zip(records, found.answers, strict=True):
        chi2 = record["chi2_per_pixel"]
        nowhere = "nowhere beyond the noise" if chi2 is None or chi2 < _NOISE else "all over"
        record["differs"] = regions_text(record["differs"][:2]) or nowhere
        if explain and answer.explanation is not None:
            words = "; ".join(answer.explanation.sentences())
            record["differs"] = words or nowhere
    columns = ["rank", "obs_id", "distance", "snr", *LABELS, "differs"]
    if found.metric == "embedding":
        columns.insert(3, "pixel_distance")
    columns = [c for c in columns if any(r.get(c) is not None for r in records)]
    if records:
        show_table(records, columns)
    else:
        console.print("nothing to compare with", markup=False)
    if explain:
        _show_likenesses(found)
        _show_components(found)
    _about(found, console)


def _about(found: Similar, to: Console) -> None:
    """How was searched, among how many, and what was left out."""
    how = f"{found.searched} spectra searched in {found.model}"
    to.print(f"{how} ({found.search})", style="dim", markup=False)
    for note in found.notes:
        to.print(note, style="dim", markup=False)
    if found.left_out:
        reasons = "; ".join(f"{n} {reason}" for reason, n in found.left_out.items())
        to.print(f"not compared: {reasons}", style="dim", markup=False)


def _show_likenesses(found: Similar) -> None:
    """What each answer has in common with the query: too wide for a column."""
    for answer in found.answers:
        shared = answer.explanation.likenesses() if answer.explanation is not None else []
        if shared:
            console.print(f"{answer.rank}  alike: {', '.join(shared)}", style="dim", markup=False)


def _show_components(found: Similar) -> None:
    """Which numbers of the vector set the nearest apart."""
    first = found.answers[0].explanation if found.answers else None
    if first is not None and first.components:
        text = ", ".join(f"{c} ({cell(100 * share)} %)" for c, share in first.components[:4])
        console.print(f"distance to the nearest: component {text}", style="dim", markup=False)
