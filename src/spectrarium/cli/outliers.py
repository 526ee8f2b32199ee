"""``spectrarium outliers``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .answers import LABELS, answer_records
from .output import (
    archive_option,
    cell,
    console,
    emit,
    error_console,
    json_option,
    opened,
    progress_bar,
    regions_text,
    show_table,
)

if TYPE_CHECKING:
    from rich.console import Console

    from ..run.answers import Outliers, Strange

_SCORES = "combined, reconstruction, density, total, spectral, spatial, label"


@click.command()
@click.option("--score", default="combined", show_default=True, help=f"{_SCORES}.")
@click.option("-k", type=click.IntRange(1), default=50, show_default=True, help="How many.")
@click.option("--where", default=None, help="Only observations that meet this filter.")
@click.option("--encoder", default=None, help="Only embeddings by this encoder: pca, patch …")
@click.option("--model", default=None, help="Only this model's [default: all].")
@click.option("--label", default=None, metavar="COLUMN",
              help="With --score label: values that those of like spectra deny.")  # fmt: skip
@click.option("--distance", default=None, metavar="COLUMN",
              help="With --score spatial: neighbours in space, not on the sky.")  # fmt: skip
@click.option("--seen-in-bins-of", default=None, metavar="COLUMN",
              help="Rank among objects of a like value (snr, obs_collection …): the strangest of "
              "each bin first.")  # fmt: skip
@click.option("--explain", is_flag=True, help="Say for each what departs where, and why.")
@click.option("--plot", type=click.Path(path_type=Path), default=None, help="Write a picture.")
@archive_option
@json_option
def command(
    score: str, k: int, explain: bool, plot: Path | None, folder: Path | None,
    version: int | None, as_json: bool, **asked: Any,
) -> None:  # fmt: skip
    """What is strange here? Ranked by how far a score lies above the usual at the same S/N."""
    archive = opened(folder, version)
    with progress_bar() as bar:
        found = archive.outliers(score, k, progress=bar, **asked)
    records = answer_records(archive, [*found.answers], "score")
    whole = _population(found)
    records = [r | _more(a) | {"population": whole.get(a.model.partition("@")[0])}
               for r, a in zip(records, found.answers, strict=True)]  # fmt: skip
    pictures: list[Path] = []
    if plot is not None and found.answers:
        from ..plot.answers import plot_outliers

        pictures = plot_outliers(archive.store, found, plot)
    if as_json:
        emit(records)
        _facts(found, error_console)
        return
    if records:
        _show(records, found)
    else:
        console.print("nothing to rank: no judged observation meets --where" if asked["where"]
                      else "nothing to rank: every observation abstains", markup=False)  # fmt: skip
    if explain:
        _explain(records)
    _facts(found, console)
    if plot is not None and not pictures:
        console.print("no picture: nothing was found", markup=False)
    for picture in pictures:
        console.print(f"picture: {picture}", markup=False)


def _more(answer: Strange) -> dict[str, Any]:
    """What outliers have beyond other answers; `differs_lines` goes with `differs`."""
    return {
        "kind": answer.kind,
        "why": [{"name": r.name, "kind": r.kind, "share": r.share, "lo_aa": r.lo_aa,
                 "hi_aa": r.hi_aa, "text": r.text} for r in answer.reasons],
        "differs_lines": list(answer.lines), "compared_with": answer.expected_by,
        "note": answer.note, "bin": answer.bin or None, "rank_in_bin": answer.bin_rank,
        "bin_size": answer.bin_size,
    }  # fmt: skip


def _population(found: Outliers) -> dict[str, dict[str, Any]]:
    """For each embedding what the scores say about the whole."""
    return {
        name: {"judged": n, "abstained": found.abstained[name],
               "snr_correlation": found.correlation[name],
               **{k: _plain(v) for k, v in found.facts.get(name, {}).items()}}
        for name, n in found.judged.items()
    }  # fmt: skip


def _plain(text: str) -> Any:
    """Numbers are kept as text in the archive."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _show(records: list[dict[str, Any]], found: Outliers) -> None:
    rows = []
    for record in records:
        row = dict(record)
        row["reason"] = record["why"][0]["name"].replace("_", " ") if record["why"] else None
        row["where"] = regions_text(record["differs"][:1]) or "all over"
        row["model"] = record["model"].partition("@")[0]  # as elsewhere; the hash is in --json
        if record["rank_in_bin"] is not None:
            row["in bin"] = f"{record['rank_in_bin']} of {record['bin_size']}"
        rows.append(row)
    columns = ["rank", "obs_id", "bin", "in bin", "significance", "score", "snr", *LABELS, "note",
               "kind", "reason", "where", "model"]  # fmt: skip
    hidden = {"where", "class"} if found.score == "label" else {"note"}
    if len(found.judged) == 1:
        hidden.add("model")
    columns = [c for c in columns if c not in hidden and any(r.get(c) not in (None, "") for r in
                                                             rows)]  # fmt: skip
    show_table(rows, columns)


def _explain(records: list[dict[str, Any]]) -> None:
    for r in records:
        name = cell(r["obs_id"], "obs_id")
        console.print(f"\n{r['rank']}  {name}: {r['kind']}", markup=False, style="bold")
        for reason in r["why"]:
            share = f" ({100 * reason['share']:.0f} % of the departure)" if (
                0.005 < reason["share"] < 0.995) else ""  # fmt: skip
            console.print(f"   {reason['name'].replace('_', ' ')}: {reason['text']}{share}",
                          markup=False)  # fmt: skip
        against = {"model": "the model", "neighbours": "its nearest neighbours"}.get(
            r["compared_with"], "")  # fmt: skip
        for region, lines in zip(r["differs"], r["differs_lines"], strict=True):
            text = f"   departs from {against} at {regions_text([region])}"
            console.print(text + (f": {lines}" if lines else ""), markup=False, style="dim")
        if r["note"]:
            console.print(f"   {r['note']}", markup=False, style="dim")


def _facts(found: Outliers, to: Console) -> None:
    """What the scores say about the whole: S/N, and how far forests agree."""
    for name, n in found.judged.items():
        to.print(
            f"{name}: {n} judged, {found.abstained[name]} abstained; Spearman ρ of score and S/N "
            f"{found.correlation[name]:+.2f}", markup=False, style="dim",
        )  # fmt: skip
        f = found.facts.get(name, {})
        if "forests" in f:
            to.print(
                f"   {f['forests']} forests of {f['trees']} trees, each tree fitted on "
                f"{f['fitted_on']} objects, {f['features']} features; among {f['neighbours']} "
                f"objects; forests agree to ρ = {float(f['rank_correlation_of_forests']):.3f} and "
                f"share {100 * float(f['overlap_of_top_2_percent']):.0f} % of their strangest 2 %",
                markup=False, style="dim",
            )  # fmt: skip
    for note in found.notes:
        to.print(note, style="dim", markup=False)
