"""``spectrarium tag``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ..settings import Settings
from .output import archive_only, cell, console, emit, json_option, opened, progress_bar, show_table


@click.group()
def command() -> None:
    """Labels that spectra are given by what the catalogue says of others, with errors."""


@command.command("train")
@click.option("--label", required=True, help="Column to learn: teff, sdss.obj_class, class, z …")
@click.option("--from", "source", type=click.Path(path_type=Path), default=None,
              help="Catalogue to join first (else the label is there already).")  # fmt: skip
@click.option("--key", default="obs_id", show_default=True,
              help="With --from: obs_id, target_name, file or sky:1arcsec.")  # fmt: skip
@click.option("--on", default=None, help="With --from: the file's key column.")
@click.option("--kind", type=click.Choice(["number", "class"]), default=None,
              help="[default: by what the column holds]")  # fmt: skip
@click.option("--where", default=None, help="Learn only from what meets this: flag = 0.")
@click.option("--unit", default=None, help="Of the label, where the catalogue gives none.")
@click.option("--name", default=None, help="What the tag is called [default: the column's name].")
@click.option("--model", "models", multiple=True, help="Only this embedding's vectors (repeat).")
@click.option("--head", "heads", multiple=True, help="ridge, boosting, network [default: all].")
@click.option("--object", "object_column", default=None, metavar="COLUMN",
              help="Says which spectra are of one object [default: position, name].")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--workers", type=click.IntRange(0), default=None,
              help="Training processes [default: one a core].")  # fmt: skip
@archive_only
@json_option
def train(
    label: str, source: Path | None, models: tuple[str, ...], heads: tuple[str, ...],
    folder: Path | None, as_json: bool, **options: Any,
) -> None:  # fmt: skip
    """Learn a label: heads on every embedding compared, the best calibrated and tested.

    Splits are by object. What is printed was measured on objects that had no part in training.
    """
    with progress_bar() as bar:
        report = opened(folder).tag_train(
            label, source, models=list(models) or None, heads=list(heads) or None, progress=bar,
            wait_s=Settings().wait_s, **options,
        )  # fmt: skip
    if as_json:
        emit(report.record())
        return
    if report.joined is not None:
        j = report.joined
        console.print(f"labels {j['name']}: {j['matched']} of {j['rows']} rows matched "
                      f"{j['observations']} observations", markup=False)  # fmt: skip
    for one in report.made:
        _show(one.record())
    for name, why in report.skipped.items():
        console.print(f"{name}: not used, {why}", markup=False, style="dim")
    for note in report.notes:
        console.print(note, markup=False, style="dim")
    console.print(f"next: `spectrarium tag apply --label {report.made[0].tag}`", markup=False)


def _show(made: Mapping[str, Any]) -> None:
    unit = f" {made['unit']}" if made["unit"] else ""
    console.print(f"tag {made['tag']} ({made['label']}{',' + unit if unit else ''}): "
                  f"{made['head']} on {made['embedding']}", markup=False, style="bold")  # fmt: skip
    rows = [
        {"embedding": r["candidate"], "head": r["head"], "loss": r["loss"], "typical": r["typical"],
         "better than a guess by": f"{100 * r['skill']:.1f} %", "validation objects": r["objects"]}
        for r in sorted(made["comparison"], key=lambda r: r["loss"])
    ]  # fmt: skip
    show_table(rows, list(rows[0]))
    n, test = made["objects"], made["test"]
    how = ", in five rotations" if made["rotations"] > 1 else ""
    calibrated = f"calibrated on {n['calibrate']} {made['calibration']}"
    console.print(f"trained on {n['train']} objects, {calibrated}, tested on "
                  f"{test['objects']}{how}:", markup=False)  # fmt: skip
    bins = [_test_row(b) for b in test["bins"]]
    whole = _test_row(test) | {"S/N": "all"}
    show_table([whole, *bins] if len(bins) > 1 else [whole], list(whole))
    if len(test["chosen"]) > 1:
        chosen = ", ".join(f"{what} in {n}" for what, n in test["chosen"].items())
        console.print(f"  chosen in the rotations: {chosen}", markup=False, style="dim")
    for reason, count in {**test["abstentions"], **made["ignored"]}.items():
        kind = "abstained" if reason in test["abstentions"] else "not used"
        console.print(f"  {kind}: {count} × {reason}", markup=False, style="dim")
    if made["skill"] < 0.1:
        console.print("warning: hardly better than a guess: these vectors do not hold this label",
                      markup=False, style="yellow")  # fmt: skip


def _test_row(part: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "S/N": f"{cell(part['snr_low'])}–{cell(part['snr_high'])}",
        "objects": part["objects"],
    }
    if "sigma" in part:
        row |= {"σ": part["sigma"], "bias": part["bias"]}
    else:
        row |= {"right": f"{100 * part['accuracy']:.1f} %" if part["accuracy"] is not None else "–"}
    for c in part["coverage"]:
        if c["share"] is not None:
            text = f"{100 * c['share']:.0f} ({100 * c['low']:.0f}–{100 * c['high']:.0f})"
            row[f"{100 * c['level']:.0f} % holds"] = text + ("" if c["holds"] else " !")
    return row | {"abstained": f"{100 * part['abstained']:.1f} %"}


@command.command("apply")
@click.option("--label", default=None, help="Only this tag [default: all that were learnt].")
@click.option("--where", default=None, help="Only observations that meet this filter.")
@archive_only
@json_option
def apply(label: str | None, where: str | None, folder: Path | None, as_json: bool) -> None:
    """Give tags to every observation with a vector that has none yet."""
    with progress_bar() as bar:
        report = opened(folder).tag_apply(
            label, where=where, progress=bar, wait_s=Settings().wait_s
        )
    if as_json:
        emit(report.record())
        return
    rows = [
        {"tag": a.tag, "embedding": a.embedding, "judged now": a.new, "got a value": a.given,
         "had no label": a.without_label, "judged before": a.kept}
        for a in report.applied
    ]  # fmt: skip
    show_table(rows, list(rows[0]))
    why = [
        {"tag": a.tag, "abstained": n, "because": reason}
        for a in report.applied for reason, n in a.abstained.items()
    ]  # fmt: skip
    why += [{"tag": tag, "abstained": n, "because": "no vector of the tag's encoder"}
            for tag, n in report.no_vector.items() if n]  # fmt: skip
    if why:
        show_table(why, ["tag", "abstained", "because"])
