"""``spectrarium embed``."""

from __future__ import annotations

from pathlib import Path

import click

from ..settings import Settings
from .output import archive_only, console, emit, json_option, opened, progress_bar, show_table


@click.command()
@click.option(
    "--encoder",
    default="pca",
    show_default=True,
    help="Which kind of model: pca, or one that was trained.",
)
@click.option("--where", default=None, help="Only observations that meet this filter.")
@click.option("--components", type=click.IntRange(2, 512), default=None, help="Of each model.")
@click.option("--refit", is_flag=True, help="Fit anew instead of extending the models there are.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@archive_only
@json_option
def command(
    encoder: str, where: str | None, components: int | None, refit: bool, device: str,
    folder: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Give every spectrum that a model covers its vector.

    Encoders but pca are taught by `spectrarium train` first; pca fits one model per group of
    spectra that can be compared. What no model covers is listed with the reason; nothing is imputed
    beyond its coverage. An interrupted run goes on when it is run again. From 200,000 vectors on,
    the index that `spectrarium similar` searches is built too, when there is none or it is old.
    """
    with progress_bar() as bar:
        report = opened(folder).embed(
            encoder, where=where, components=components, refit=refit, device=device, progress=bar,
            wait_s=Settings().wait_s,
        )  # fmt: skip
    if as_json:
        emit(report.record())
        return
    rows = [
        {
            "model": g.name, "covers": g.covered, "trained on": g.trained_on,
            "range Å": f"{g.wave_min_aa:.0f}–{g.wave_max_aa:.0f}", "pixels": g.pixels,
            "λ/Δλ": f"{g.resolution[0]:.0f}–{g.resolution[1] or float('inf'):.0f}",
            "frame": g.frame, "flux": g.flux_kind, "fitted": "now" if g.refitted else "before",
        }
        for g in report.groups
    ]  # fmt: skip
    show_table(rows, list(rows[0]) if rows else ["model"])
    console.print(f"{report.covered} of {report.observations} observations have a vector")
    if report.left_out:
        left = [{"without": n, "reason": reason} for reason, n in report.left_out.items()]
        show_table(left, ["without", "reason"])
