"""``spectrarium find``."""

from __future__ import annotations

from pathlib import Path

import click

from ..store.archive import SUMMARY_COLUMNS
from .output import archive_option, console, emit, json_option, opened, show_table


@click.command()
@click.option("--cone", nargs=3, type=float, default=None, metavar="RA DEC R", help="Degrees.")
@click.option("--where", default=None, help="Filter, e.g. \"snr > 20 AND target_class = 'QSO'\".")
@click.option("--target", default=None, help="Target name; case, blanks and _ do not matter.")
@click.option("--columns", default=None, help="Columns by comma; `spectrarium catalogue list`.")
@click.option("--limit", "-n", type=click.IntRange(0), default=None,
              help="0 = no limit [default: 100; with --json no limit].")  # fmt: skip
@archive_option
@json_option
def command(
    cone: tuple[float, float, float] | None, where: str | None, target: str | None,
    columns: str | None, limit: int | None, folder: Path | None, version: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Observations that meet every condition; those of a cone nearest first."""
    store = opened(folder, version).store
    rows = store.find(where, cone, target)
    names = [c.strip() for c in columns.split(",")] if columns else list(SUMMARY_COLUMNS)
    known = store.columns()
    for name in names:
        if name not in known:
            from ..domain.errors import UsageError

            raise UsageError(f"there is no column {name!r}", code="no_column",
                             remedy="`spectrarium catalogue list` names them")  # fmt: skip
    if limit is None:  # a program would not see that something is missing
        limit = 0 if as_json else 100
    shown = rows[:limit] if limit > 0 else rows
    records = store.catalogue(shown, names).to_pylist()
    if as_json:
        emit(records)
        return
    if columns is None:
        names = [n for n in names if any(r[n] is not None for r in records) or n == "obs_id"]
    if records:
        show_table(records, names)
    more = f", the first {len(shown)} shown" if len(shown) < len(rows) else ""
    console.print(f"[dim]{len(rows)} of {len(store)} observations{more}[/]")
