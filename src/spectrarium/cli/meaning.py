"""``spectrarium meaning``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ..domain.errors import UsageError
from ..run.latents import latent_matrix, latent_records
from ..run.meaning import Finding, Meaning
from .output import (
    archive_option,
    cell,
    console,
    emit,
    json_option,
    opened,
    progress_bar,
    show_table,
)

_LATENTS, _ALL = 12, 1_000_000
_ALIKE = 0.01
"""Scores that differ less are alike, however sure the difference is."""


@click.command()
@click.option("--encoder", default=None, help="Only embeddings of this encoder [default: all].")
@click.option("--model", default=None, help="Only this model [default: all].")
@click.option("--against", multiple=True, metavar="COLUMN",
              help="A column to test against; repeat it [default: all quantities].")  # fmt: skip
@click.option("--object", "objects", default=None, metavar="COLUMN",
              help="What tells objects apart [default: position, then name].")  # fmt: skip
@click.option("--where", default=None, help="Only observations that meet this filter.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of sample, folds and null.")
@click.option("--latents", default=None, metavar="N|all",
              help="So many latents, or all, and in --out each of them with each quantity "
              "[default: 12, with what each knows best].")  # fmt: skip
@click.option("--plot", type=click.Path(path_type=Path), default=None,
              help="Write a picture of what each latent does, 12 to a page.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default=None,
              help="Write the report as Markdown.")  # fmt: skip
@archive_option
@json_option
def command(
    encoder: str | None, model: str | None, against: tuple[str, ...], objects: str | None,
    where: str | None, seed: int, latents: str | None, plot: Path | None, out: Path | None,
    folder: Path | None, version: int | None, as_json: bool,
) -> None:  # fmt: skip
    """What the numbers of a model mean: physics, or nuisance?

    Probes are taught on four fifths of the objects and tested on the others: R² for numbers,
    balanced accuracy for classes, with 95 % intervals; p by permutation of objects, Holm-corrected.
    The same probes on raw pixels and on PCA stand beside: nuisances should be lower than theirs.
    """
    most = _most(latents)
    archive = opened(folder, version)
    with progress_bar() as bar:
        reports = archive.meaning(
            encoder=encoder, model=model, against=against, objects=objects, where=where,
            seed=seed, progress=bar,
        )  # fmt: skip
    pictures: list[Path] = []
    if plot is not None:
        from ..plot.latents import plot_latents

        pictures = plot_latents(reports, plot, most)
    if out is not None:
        _write(out, "\n".join(markdown(r, most, latents is not None) for r in reports))
    if as_json:
        emit([r.record() for r in reports])
        return
    for report in reports:
        _show(report, most)
    for picture in [*pictures, *([out] if out is not None else [])]:
        console.print(f"written: {picture}", markup=False)


def _most(latents: str | None) -> int:
    """How many latents are asked for. Raises UsageError (bad_latents)."""
    if latents is None:
        return _LATENTS
    if latents.strip().lower() == "all":
        return _ALL
    if not latents.strip().isdecimal() or int(latents) < 1:
        raise UsageError(f"{latents!r} is no number of latents", code="bad_latents",
                         where="--latents", remedy="give a whole number, or all")  # fmt: skip
    return int(latents)


def _show(report: Meaning, most: int) -> None:
    console.print(f"{report.name}  {_sample(report)}", markup=False, style="bold")
    rows = finding_rows(report)
    if rows:
        show_table(rows, list(rows[0]))
    latents = latent_records(report, most)
    shown = [{**r, "variance": f"{100 * r['variance']:.1f} %"} for r in latents]
    show_table(shown, ["latent", "variance", "physical", "nuisance"],
               title="Latents by share of variance: what each knows best by itself")  # fmt: skip
    for line in _remarks(report):
        console.print(line, markup=False, style="dim")


def _sample(report: Meaning) -> str:
    return f"{report.n} of {report.of} spectra, {report.n_objects} objects, seed {report.seed}"


def finding_rows(report: Meaning) -> list[dict[str, Any]]:
    """One record a quantity: physics first, each by falling score."""
    ranked = sorted(report.findings, key=lambda f: (f.quantity.role.value != "physical",
                                                    -f.best().r2))  # fmt: skip
    out = []
    for f in ranked:
        q = f.quantity
        row: dict[str, Any] = {
            "quantity": f"{q.scale} {q.name}".strip(), "role": q.role.value,
            "objects": f.best().n_objects, "measure": _measure(f), "this space": _score(f, "own"),
        }  # fmt: skip
        for space in ("pca", "pixels"):
            if space in f.spaces:
                row[space] = f"{f.best(space).score:.2f} {_verdict(f, space)}"
        row["bits ≥"] = f"{f.best().bits:.2f}"
        row["p (Holm)"] = "–" if f.p != f.p else f"{f.p:.3f}"
        out.append(row)
    return out


def _measure(finding: Finding) -> str:
    best = finding.best()
    return "R²" if best.metric == "R²" else f"accuracy, chance {best.chance:.2f}"


def _score(finding: Finding, space: str) -> str:
    best = finding.best(space)
    return f"{best.score:.2f} [{best.interval[0]:.2f}, {best.interval[1]:.2f}] {best.kind}"


def _verdict(finding: Finding, space: str) -> str:
    """How this space compares with another, where the paired 95 % interval excludes zero."""
    gap, low, high = finding.than[space]
    if abs(gap) < _ALIKE:
        return "(alike)"
    return "(higher here)" if low > 0 else "(lower here)" if high < 0 else "(alike)"


def _remarks(report: Meaning) -> list[str]:
    lines = [f"not tested: {name}: {why}" for name, why in report.skipped.items()]
    for other, a in report.stability.items():
        lines.append(
            f"agreement with {other} on {a.n} spectra: linear CKA {a.cka:.3f}, 10 nearest "
            f"neighbours shared {100 * a.overlap_10:.0f} % (chance {100 * a.overlap_chance:.1f} %),"
            f" Procrustes {a.procrustes:.3f}"
        )
    return lines + ([report.note] if report.note else [])


def markdown(report: Meaning, most: int = _LATENTS, matrix: bool = False) -> str:
    """The report as Markdown. most : latents shown · matrix : each of them with each quantity"""
    parts = [f"## {report.name}", "", f"{_sample(report)}; model `{report.model}`.", ""]
    parts += [*_table(finding_rows(report)), ""]
    latents = latent_records(report, most)
    parts += _table([{**r, "variance": f"{100 * r['variance']:.1f} %"} for r in latents])
    if matrix and report.findings:
        parts += ["", "Each latent by itself with each quantity: R², or accuracy beyond chance; "
                  "* beyond chance after correction.", ""]  # fmt: skip
        parts += _table(latent_matrix(report, most))
    parts += ["", *(f"- {line}" for line in _remarks(report)), ""]
    return "\n".join(parts)


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["No quantity could be tested."]
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = [cell(row.get(c), c).replace("|", "\\|") for c in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"the report cannot be written: {error.strerror or error}", code="cannot_write",
            where=str(path), remedy="choose another path",
        ) from error  # fmt: skip
