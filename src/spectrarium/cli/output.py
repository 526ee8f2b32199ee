"""Tables for people, records for programs, and a progress bar that can be cancelled."""

from __future__ import annotations

import json
import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ..settings import Settings

if TYPE_CHECKING:
    from ..api import Archive

console = Console(highlight=False)
if not console.is_terminal:  # a pipe or file has no width: do not fold what programs will cut
    console = Console(highlight=False, width=200)
error_console = Console(stderr=True, highlight=False)
F = TypeVar("F", bound=Callable[..., Any])


def archive_option(command: F) -> F:
    """``--archive DIR`` and ``--as-of N``."""
    command = click.option(
        "--as-of", "version", type=int, default=None, help="Open a past version of the archive."
    )(command)
    return archive_only(command)


def archive_only(command: F) -> F:
    """``--archive DIR``."""
    return click.option(
        "--archive", "-a", "folder", type=click.Path(path_type=Path), default=None,
        help="Folder of the archive [default: $SPECTRARIUM_ARCHIVE or ./archive].",
    )(command)  # fmt: skip


def json_option(command: F) -> F:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Records for programs.")(command)


def declare_options(command: F) -> F:
    """What the user can declare about files that leave it out."""
    for name, text in (
        ("--collection", "Collection the observations belong to."),
        ("--wave-unit", "Unit of the spectral axis where files do not say."),
        ("--flux-unit", "Unit of the flux where files do not say."),
        ("--medium", "air or vacuum, where files do not say."),
        ("--specsys", "Velocity frame where files do not say: BARYCENT, TOPOCENT, SOURCE …"),
    ):
        command = click.option(name, default=None, help=text)(command)
    return command


def opened(folder: Path | None, version: int | None = None) -> Archive:
    """The archive a command works on."""
    from ..api import open_archive  # only here: help and version need not wait for it

    return open_archive(folder or Settings().archive, version)


def emit(records: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> None:
    """JSON on standard output; NaN becomes null."""
    unicode = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
    click.echo(json.dumps(_plain(records), ensure_ascii=not unicode))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def show_table(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], title: str | None = None
) -> None:
    """A table on the terminal; text is never taken for markup."""
    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for name in columns:
        numeric = any(isinstance(r.get(name), (int, float)) for r in rows)
        identifier = name in ("obs_id", "path", "column", "name", "model")
        table.add_column(
            name, justify="right" if numeric else "left",
            overflow="fold" if identifier else "ellipsis",
            no_wrap=not identifier and not numeric and console.width >= 120,
        )  # fmt: skip
    for row in rows:
        table.add_row(*(Text(cell(row.get(name), name)) for name in columns))
    console.print(table)


def cell(value: Any, name: str = "") -> str:
    """A value as an astronomer would write it in a table."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if not math.isfinite(value):
            return "–"
        if name in ("s_ra", "s_dec"):
            return f"{value:.5f}"
        if name.startswith(("t_m", "mjd", "bjd")) or name.endswith("mjd"):
            return f"{value:.4f}"
        if name.startswith("wave_"):
            return f"{value:.2f}"
        if name in ("em_min", "em_max"):
            return f"{value:.5g}"
        return f"{value:.0f}" if 1e4 <= abs(value) < 1e6 else f"{value:.4g}"
    return clean(value)


def clean(value: object) -> str:
    """Text of a file as it may be shown: one line, no terminal control characters."""
    return "".join(c if c.isprintable() else " " for c in " ".join(str(value).split()))


class Bar:
    """The progress protocol on a terminal; the first Ctrl-C stops at the next safe point."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"), TimeElapsedColumn(), console=error_console,
            transient=not error_console.is_terminal, disable=not error_console.is_terminal,
        )  # fmt: skip
        self._task: Any = None
        self._stop = threading.Event()

    def start(self, what: str, total: int | None) -> None:
        """Begin a stage."""
        if self._task is not None:
            self._bar.stop_task(self._task)
        self._task = self._bar.add_task(what, total=total, speed="")

    def advance(self, steps: int = 1) -> None:
        """Some steps are done."""
        if self._task is None:
            return
        self._bar.advance(self._task, steps)
        speed = self._bar.tasks[-1].speed
        if speed:
            self._bar.update(self._task, speed=f"{speed:,.0f}/s")

    def note(self, text: str) -> None:
        """A line above the bar."""
        error_console.print(Text(text))

    def cancelled(self) -> bool:
        """True after Ctrl-C."""
        return self._stop.is_set()

    def cancel(self, *_: Any) -> None:
        """Stop at the next safe point; a second Ctrl-C stops at once."""
        if self._stop.is_set():
            raise KeyboardInterrupt
        self._stop.set()
        self.note("stopping at the next safe point; press Ctrl-C again to stop at once")


@contextmanager
def progress_bar() -> Iterator[Bar]:
    """A bar on standard error while the block runs."""
    bar = Bar()
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, bar.cancel)
    try:
        with bar._bar:
            yield bar
    finally:
        signal.signal(signal.SIGINT, before)


def regions_text(regions: Sequence[Sequence[float]]) -> str:
    """``6550–6580 Å (41 %, +)`` for the regions behind a result."""
    sign = {1: ", +", -1: ", −", 0: ""}
    return "  ".join(
        f"{r[0]:.0f}–{r[1]:.0f} Å ({100 * r[2]:.0f} %{sign[int(r[3])]})" for r in regions
    )
