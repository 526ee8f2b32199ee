"""``spectrarium status``."""

from __future__ import annotations

from pathlib import Path

import click

from .output import archive_option, console, emit, json_option, opened, show_table


@click.command()
@archive_option
@json_option
def command(folder: Path | None, version: int | None, as_json: bool) -> None:
    """What the archive holds."""
    facts = opened(folder, version).status()
    if as_json:
        emit(facts)
        return
    single = {k: v for k, v in facts.items() if not isinstance(v, (dict, list))}
    width = max(map(len, single))
    for name, value in single.items():
        text = f"{value / 2**20:,.1f} MiB" if name == "bytes" else f"{value}"
        console.print(f"{name:<{width}}  {text}", markup=False)
    for name in ("labels", "models", "scores"):
        console.print(f"{name:<{width}}  {', '.join(facts[name]) or '–'}", markup=False)
    console.print()
    show_table(
        [{"obs_collection": k, "observations": n} for k, n in facts["collections"].items()],
        ["obs_collection", "observations"],
    )
