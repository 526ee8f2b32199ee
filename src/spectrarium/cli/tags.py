"""``spectrarium tags``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ..domain.errors import UsageError
from .output import archive_option, cell, console, emit, json_option, opened, show_table

_MOST = 50


@click.command()
@click.argument("identifier", metavar="ID", required=False)
@click.option("--label", default=None, help="Without ID: this tag of all observations.")
@click.option("--where", default=None, help="Without ID: only what meets this filter.")
@click.option("--plot", type=click.Path(path_type=Path), default=None,
              help="With --label: write a picture against the catalogue.")  # fmt: skip
@archive_option
@json_option
def command(
    identifier: str | None, label: str | None, where: str | None, plot: Path | None,
    folder: Path | None, version: int | None, as_json: bool,
) -> None:  # fmt: skip
    """What the models say observation ID is, how sure they are, and what they learnt it from."""
    if (identifier is None) == (label is None):
        raise UsageError(
            "give either an ID or --label", code="id_or_label",
            remedy="`spectrarium tags ID`, or `spectrarium tags --label teff`",
        )  # fmt: skip
    archive = opened(folder, version)
    if identifier is not None:
        if plot is not None or where is not None:
            raise UsageError("--plot and --where go with --label", code="id_or_label")
        records = archive.tags(identifier)
        if as_json:
            emit(records)
        else:
            for record in records:
                _one(record)
        return
    assert label is not None
    found = archive.tag_table(label, where)
    picture = None
    if plot is not None:
        from ..plot.style import save
        from ..plot.tags import plot_tags

        picture = save(plot_tags(found), plot)
    records = found.table.drop_columns(["uid", "fingerprint"]).to_pylist()
    if as_json:
        emit(records)
        return
    _many(records, found.kind, found.unit)
    if picture is not None:
        console.print(f"picture: {picture}", markup=False)


def _one(r: Mapping[str, Any]) -> None:
    unit = f" {r['unit']}" if r["unit"] else ""
    console.print(f"{r['tag']}: {_said(r, unit)}", markup=False, style="bold")
    lines = []
    if r.get("intervals"):
        lines.append(("intervals", "   ".join(
            f"{level.replace('_', '.')} %: {cell(low)} … {cell(high)}{unit}"
            for level, (low, high) in r["intervals"].items())))  # fmt: skip
    if r.get("sets"):
        lines.append(("cannot be excluded", "   ".join(
            f"{level.replace('_', '.')} %: {', '.join(names)}"
            for level, names in r["sets"].items())))  # fmt: skip
    if r["catalogue_value"] is not None:
        part = r.get("role")
        note = f" (used to {part} this tag)" if part else ""
        lines.append((r["catalogue_column"], f"{cell(r['catalogue_value'])}{unit}{note}"))
    lines.append(("model", f"{r['model']} ({r.get('head', 'unknown')} on {r['encoder']})"))
    if r.get("training"):
        lines += [("training set", r["training"]), ("tested on", r["test"])]
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        console.print(f"  {name:<{width}}  {text}", markup=False)
    if r["neighbours"]:
        near = ", ".join(f"{n['obs_id'] or 'gone'} ({cell(n['label'])}{unit}, at "
                         f"{n['distance']:.3g})" for n in r["neighbours"])  # fmt: skip
        console.print(f"  {'nearest taught':<{width}}  {near}", markup=False)


def _said(r: Mapping[str, Any], unit: str) -> str:
    if r["value"] is None:
        return f"abstains: {r['reason']}"
    if r.get("intervals"):
        low, high = next(iter(r["intervals"].values()))
        level = next(iter(r["intervals"])).replace("_", ".")
        value = float(r["value"])
        return f"{cell(value)} +{cell(high - value)} −{cell(value - low)}{unit} ({level} %)"
    return f"{r['value']} (probability {next(iter(r['probability'].values())):.3f})"


def _many(records: list[dict[str, Any]], kind: str, unit: str) -> None:
    rows = []
    for r in records[:_MOST]:
        row = {"obs_id": r["obs_id"], "value": r["value"]}
        if kind == "number":
            sides = [k for k in r if k.startswith(("lo_", "hi_"))][:2]
            row |= {s.replace("lo_", "low ").replace("hi_", "high ") + " %": r[s] for s in sides}
        else:
            row |= {"probability": r["probability"]}
            row |= {f"{k[4:]} %": ", ".join(r[k] or []) for k in r if k.startswith("set_")}
        rows.append(row | {"catalogue": r["catalogue"], "snr": r["snr"], "used to": r["role"],
                           "abstains": r["reason"]})  # fmt: skip
    names = [n for n in rows[0] if any(row[n] not in (None, "") for row in rows)]
    show_table(rows, names, title=f"in {unit}" if unit else None)
    if len(records) > _MOST:
        console.print(f"{_MOST} of {len(records)}; --json gives all", markup=False, style="dim")
