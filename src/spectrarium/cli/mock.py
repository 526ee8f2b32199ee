"""``spectrarium mock``."""

from __future__ import annotations

from pathlib import Path

import click

from .output import console, emit, json_option


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("-n", "number", type=click.IntRange(20), default=600, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@json_option
def command(folder: Path, number: int, seed: int, as_json: bool) -> None:
    """Write a mock survey with known truth into FOLDER, as files of several formats."""
    from ..mock import write_survey

    truth = write_survey(folder, n=number, seed=seed)
    if as_json:
        emit({"folder": str(folder), "truth": str(truth), "spectra": number})
    else:
        console.print(f"{number} mock spectra in {folder}; the truth is in {truth}", markup=False)
