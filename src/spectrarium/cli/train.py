"""``spectrarium train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..domain.errors import UsageError
from ..settings import Settings
from .output import archive_only, console, emit, json_option, opened, progress_bar, show_table

_COARSER = {
    "max-pixels": "these were averaged; --max-pixels {} keeps them apart",
    "medium": "whether these are in air or in vacuum is not known; declare it when ingesting",
}
"""Why a grid is coarser than the spectra, and what can be done."""


@click.command()
@click.argument("encoder")
@click.option("--latent", type=click.IntRange(1), default=None, help="Numbers in a vector.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--where", default=None, help="Learn only from what meets this filter.")
@click.option("--any-coverage", is_flag=True,
              help="One wide model for spectra of different ranges (patch).")  # fmt: skip
@click.option("--rest", type=click.Choice(["none", "rv", "z"]), default="none", show_default=True,
              help="Shift to rest by velocity or redshift: the file's, else a joined "
              "catalogue's.")  # fmt: skip
@click.option("--telluric", type=click.Choice(["keep", "mask"]), default="keep",
              show_default=True, help="Strong bands of the Earth's atmosphere.")  # fmt: skip
@click.option("--range", "range_aa", type=float, nargs=2, default=None, metavar="LO HI",
              help="Å, vacuum, in the models' frame: they see nothing else.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(1), default=None, help="Passes at most.")
@click.option("--batch", type=click.IntRange(1), default=None, help="Spectra a step.")
@click.option("--seed", type=click.IntRange(0), default=None, help="Of everything random.")
@click.option("--name", default="", metavar="SUFFIX", help="Tells these models from others.")
@click.option(
    "--object",
    "object_column",
    default=None,
    metavar="COLUMN",
    help="Says which spectra are of one object [default: position, else name].",
)
@click.option("--max-train", type=click.IntRange(1), default=None, help="Spectra a model at most.")
@click.option("--max-pixels", type=click.IntRange(16), default=None,
              help="Of a model's grid [default: 6000, conv 327680]; finer spectra are "
              "averaged.")  # fmt: skip
@click.option("--weights", type=click.Path(path_type=Path), default=None,
              help="Of a network that others trained: aion, specformer.")  # fmt: skip
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE",
              help="Another setting of the encoder (width=512, beta=0.1); repeatable.")  # fmt: skip
@archive_only
@json_option
def command(
    encoder: str, folder: Path | None, as_json: bool, settings: tuple[str, ...], **options: Any
) -> None:  # fmt: skip
    """Teach ENCODER (dense, conv, patch, gfnet, pca …) what the spectra look like.

    One model per group of spectra that can be compared. An interrupted training goes on when the
    same command is run again. Then `spectrarium embed --encoder ENCODER` gives vectors.
    """
    options["settings"] = _named(settings)
    if options["weights"] is not None:
        options["weights"] = str(options["weights"])
    with progress_bar() as bar:
        report = opened(folder).train(encoder, progress=bar, wait_s=Settings().wait_s, **options)
    if as_json:
        emit(report.record())
        return
    rows = [
        {
            "model": g.name, "learnt from": g.spectra, "objects": g.objects, "latent": g.latent,
            "range Å": f"{g.wave_min_aa:.0f}–{g.wave_max_aa:.0f}", "pixels": g.pixels,
            "frame": g.frame, "flux": g.flux_kind, "seconds": round(g.seconds, 1),
            "trained": "now" if g.fitted else "before",
        }
        for g in report.groups
    ]  # fmt: skip
    show_table(rows, list(rows[0]))
    for g in report.groups:
        if g.coarser:
            console.print(f"{g.name}: its {g.pixels:,} pixels are {g.own_pixels / g.pixels:.1f} "
                          f"times as wide as those of its spectra: "
                          + _COARSER[g.coarser].format(g.own_pixels), markup=False)  # fmt: skip
    if report.left_out:
        left = [{"without": n, "reason": reason} for reason, n in report.left_out.items()]
        show_table(left, ["without", "reason"])
    console.print(f"next: `spectrarium embed --encoder {encoder}`", markup=False)


def _named(settings: tuple[str, ...]) -> dict[str, str]:
    """``NAME=VALUE`` apart. Raises UsageError (bad_option, given_twice)."""
    out: dict[str, str] = {}
    for text in settings:
        name, given, value = text.partition("=")
        name = name.strip()
        if not given or not name:
            raise UsageError(f"{text!r} is no NAME=VALUE", code="bad_option", where="--set",
                             remedy="write for example --set width=512")  # fmt: skip
        if name in out:
            raise UsageError(f"{name} is given twice", code="given_twice", where=f"--set {name}",
                             remedy="give it once")  # fmt: skip
        out[name] = value.strip()
    return out
