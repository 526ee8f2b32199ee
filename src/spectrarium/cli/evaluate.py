"""``spectrarium evaluate``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .output import emit, error_console, json_option, progress_bar

if TYPE_CHECKING:
    from ..evaluate.benchmark import Plan


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder of labelled pools (index.csv, spectra.h5) [default: mock only].",
)
@click.option(
    "--mock",
    type=click.IntRange(0),
    default=None,
    help="Spectra of the mock survey, half of them held out [default: 40000].",
)
@click.option(
    "--encoders", default=None, metavar="NAME,…", help="[default: pca,patch,dense,conv,gfnet]"
)
@click.option(
    "--seeds",
    default=None,
    metavar="N[,NAME=N…]",
    help="How many, and of single encoders [default: 3].",
)
@click.option(
    "--corpora",
    default=None,
    metavar="NAME,…",
    help="mock, sdss, miles, lamost, snid, templates [default: all].",
)
@click.option(
    "--tag-encoders",
    default=None,
    metavar="NAME,…",
    help="Encoders whose vectors are tagged with [default: all].",
)
@click.option(
    "--measures",
    default=None,
    metavar="NAME,…",
    help="retrieval, outliers, nuisances, tags [default: all].",
)
@click.option(
    "--heads", default=None, metavar="NAME,…", help="Heads tried for tags [default: ridge]."
)
@click.option(
    "--steps",
    default=None,
    metavar="N[,NAME=N…]",
    help="Gradient steps of a network at most [default: 1000].",
)
@click.option("--quick", is_flag=True, help="Tiny sizes: does it work? A minute at most.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Processes that make the mock survey.",
)
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    default=Path("evaluation"),
    show_default=True,
    help="Results are kept here: run again to go on.",
)
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Everything as JSON.")
@click.option(
    "--markdown",
    "table",
    type=click.Path(path_type=Path),
    default=None,
    help="The table as a file.",
)
@json_option
def command(
    out: Path | None, table: Path | None, work: Path, as_json: bool, **words: Any
) -> None:  # fmt: skip
    """The science benchmark: every encoder against chance, pixels and PCA, in one table.

    Needs no archive. Retrieval, labels of neighbours, planted oddities, nuisances and calibrated
    tags on a mock survey of known truth and, with --data, on real spectra.
    """
    from ..evaluate.benchmark import evaluate
    from ..evaluate.table import markdown, record

    plan = _plan(**words)
    for path in (out, table):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
    with progress_bar() as bar:
        found = evaluate(plan, work, bar)
    text, values = markdown(found), record(found)
    if out is not None:
        whole = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
        out.write_text(whole + "\n", encoding="utf-8")
    if table is not None:
        table.write_text(text, encoding="utf-8")
    if as_json:
        emit(values)
        return
    click.echo(text)
    error_console.print(f"{found.seconds:.0f} s; results are kept in {work}", markup=False)


def _plan(
    data: Path | None, mock: int | None, encoders: str | None, seeds: str | None,
    corpora: str | None, tag_encoders: str | None, measures: str | None, heads: str | None,
    steps: str | None, quick: bool, device: str, workers: int,
) -> Plan:  # fmt: skip
    from ..evaluate.benchmark import Plan

    n_seeds, own_seeds = _counts(seeds, "--seeds")
    n_steps, own_steps = _counts(steps, "--steps")
    chosen: dict[str, Any] = {
        "data": data, "mock": mock, "encoders": _words(encoders), "seeds": n_seeds,
        "own_seeds": own_seeds, "own_steps": own_steps, "corpora": _words(corpora),
        "tag_encoders": _words(tag_encoders), "device": device, "workers": workers,
    }  # fmt: skip
    given = {k: v for k, v in chosen.items() if v is not None}
    plan = Plan.quick(**given) if quick else Plan(**given)
    effort: dict[str, Any] = {
        "measures": _words(measures), "heads": _words(heads), "steps": n_steps,
    }  # fmt: skip
    changed = {k: v for k, v in effort.items() if v is not None}
    return replace(plan, effort=replace(plan.effort, **changed))


def _words(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(w.strip() for w in text.split(",") if w.strip())


def _counts(text: str | None, option: str) -> tuple[int | None, tuple[tuple[str, int], ...] | None]:
    """``3,conv=1`` → 3 and (("conv", 1),)."""
    everyone: int | None = None
    own: list[tuple[str, int]] = []
    for word in _words(text) or ():
        name, _, number = word.rpartition("=")
        if not number.isdecimal() or int(number) < 1:
            raise click.BadParameter(
                f"{word!r} is neither a whole number of at least 1 nor NAME=NUMBER",
                param_hint=option,
            )
        if name:
            own.append((name, int(number)))
        else:
            everyone = int(number)
    return everyone, tuple(own) or None
