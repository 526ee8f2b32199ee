"""``spectrarium formats``."""

from __future__ import annotations

from typing import Any

import click

from ..read.registry import readers
from .output import emit, json_option, show_table


def format_records() -> list[dict[str, Any]]:
    """One record for each reader."""
    keys = ("name", "title", "medium", "frame", "uncertainty", "mask", "why_own", "source")
    return [{k: getattr(r, k) for k in keys} for r in readers()]


@click.command()
@json_option
def command(as_json: bool) -> None:
    """The formats that can be read, and what each says about its spectra."""
    records = format_records()
    if as_json:
        emit(records)
    else:
        show_table(records, ["name", "title", "medium", "frame", "uncertainty", "mask"])
