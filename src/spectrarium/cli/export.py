"""``spectrarium export``."""

from __future__ import annotations

from pathlib import Path

import click

from ..publish.export import FORMATS
from .output import archive_option, console, emit, json_option, opened


@click.command()
@click.argument("identifiers", metavar="[ID]...", nargs=-1)
@click.option("--format", "kind", type=click.Choice(sorted(FORMATS)), required=True)
@click.option("--out", "-o", type=click.Path(path_type=Path), default=Path("export"),
              show_default=True, help="Folder to write into.")  # fmt: skip
@click.option("--where", default=None, help="Export what meets this filter instead of IDs.")
@archive_option
@json_option
def command(
    identifiers: tuple[str, ...], kind: str, out: Path, where: str | None, folder: Path | None,
    version: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Write observations as files that other programs read."""
    archive = opened(folder, version)
    paths = archive.export(identifiers, kind, out, where=where)
    if as_json:
        emit([{"path": str(p)} for p in paths])
    else:
        for path in paths[:20]:
            console.print(str(path), markup=False)
        if len(paths) > 20:
            console.print(f"… and {len(paths) - 20} more")
