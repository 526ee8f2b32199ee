"""``spectrarium models``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ..store.archive import SUMMARY_COLUMNS
from .output import archive_option, console, emit, json_option, opened, show_table

COLUMNS = ("name", "encoder", "latent", "range Å", "embedded", "learnt from", "objects", "made",
           "device", "where", "remark", "folder")  # fmt: skip


@click.command()
@click.option("--members", "name", default=None, help="List the observations of this model.")
@click.option("--uncovered", is_flag=True, help="List the observations that no model covers.")
@click.option("--card", default=None, help="Print the card of this model, as JSON.")
@archive_option
@json_option
def command(
    name: str | None, uncovered: bool, card: str | None, folder: Path | None,
    version: int | None, as_json: bool,
) -> None:  # fmt: skip
    """The models of this archive: what each covers, and on what it was trained."""
    archive = opened(folder, version)
    if card is not None:
        found = archive.model_card(card)
        if as_json:
            emit(found)
        else:
            click.echo(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False))
        return
    if name is not None or uncovered:
        rows = archive.members(name)
        records = archive.store.catalogue(rows, SUMMARY_COLUMNS).to_pylist()
        columns = ["obs_id", "obs_collection", "target_name", "em_min", "em_max", "snr"]
    else:
        records = [_shown(r) if not as_json else r for r in archive.models()]
        columns = [c for c in COLUMNS if any(r.get(c) is not None for r in records)]
    if as_json:
        emit(records)
    elif records:
        show_table(records, columns)
        if name is None and not uncovered:
            where = archive.store.root / "models"
            console.print(f"folders: {where}/NAME@…", markup=False, style="dim")
    elif name is None and not uncovered:
        console.print("no models yet: `spectrarium embed --encoder pca`")
    else:
        console.print("none")


def _shown(record: dict[str, Any]) -> dict[str, Any]:
    """A model as one row of the table."""
    remark = record.get("damage")
    if remark is None and "next_made" in record:
        remark = f"trained anew {record['next_made']}: run embed"
    if remark is None and not record["covered"]:
        remark = "not embedded yet: run embed"
    low, high = record.get("wave_min_aa"), record.get("wave_max_aa")
    learnt = record.get("spectra")
    if learnt is None:  # fitted by `embed`, whose card says it in words
        first = str(record.get("training", "")).split(" ")[0]
        learnt = int(first) if first.isdigit() else None
    made = record.get("made")
    return record | {
        "made": made and made[:16].replace("T", " "),
        "folder": f"…@{record['model_id'].rsplit('@', 1)[-1]}",
        "range Å": None if low is None or high is None else f"{low:.0f}–{high:.0f}",
        "embedded": record["covered"], "learnt from": learnt, "remark": remark,
    }  # fmt: skip
