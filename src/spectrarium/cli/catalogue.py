"""``spectrarium catalogue``."""

from __future__ import annotations

from pathlib import Path

import click

from ..settings import Settings
from .output import archive_only, archive_option, console, emit, json_option, opened, show_table


@click.group()
def command() -> None:
    """Labels and catalogues joined to the observations, as versioned columns."""


@command.command("add")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--key", required=True, help="obs_id, target_name, file or sky:1arcsec.")
@click.option("--on", default=None, help="The file's key column (RA,DEC for a sky join).")
@click.option("--columns", default=None, help="Columns to keep, by comma [default: all].")
@click.option("--name", default=None, help="Name of the label set [default: the file's].")
@archive_only
@json_option
def add(
    file: Path, key: str, on: str | None, columns: str | None, name: str | None,
    folder: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Join FILE (CSV, ECSV, VOTable, FITS, Parquet) and say which rows matched."""
    chosen = [c.strip() for c in columns.split(",")] if columns else None
    report = opened(folder).add_catalogue(
        file, key, on=on, columns=chosen, name=name, wait_s=Settings().wait_s
    )
    if as_json:
        emit(report.record())
        return
    console.print(
        f"labels [bold]{report.name}[/]: {report.matched} of {report.rows} rows matched "
        f"{report.observations} observations, {report.unmatched} unmatched, "
        f"{report.ambiguous} ambiguous"
    )
    for fate, some in report.examples.items():
        console.print(f"  {fate}, for example: {', '.join(some)}", markup=False)


@command.command("list")
@archive_option
@json_option
def list_(folder: Path | None, version: int | None, as_json: bool) -> None:
    """Every column that a filter can name, with unit, UCD and source."""
    from ..store.schema import CATALOGUE

    store = opened(folder, version).store
    records = [
        {"column": c.name, "unit": c.unit, "ucd": c.ucd, "source": "catalogue", "about": c.about}
        for c in CATALOGUE
        if c.public
    ]
    for label in store.names("labels"):
        for field in store.dataset(f"labels/{label}").lance.schema:
            if field.name != "uid":
                meta = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
                records.append({
                    "column": f"{label}.{field.name}", "unit": meta.get("unit", ""),
                    "ucd": meta.get("ucd", ""), "source": meta.get("source", ""),
                    "about": meta.get("description", ""),
                })  # fmt: skip
    if as_json:
        emit(records)
    else:
        show_table(records, ["column", "unit", "ucd", "source", "about"])
