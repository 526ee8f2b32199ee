"""Write the generated pages of this folder: what the code says of itself, and what was measured.

    python docs/generate.py [--check]

`reference/*.md` come from the registry of readers, the schema, the command line and the errors in
the source. `real-data.md` is measured on the real spectra that SPECTRARIUM_DATA names, and is left
as it is without them. ``--check`` writes nothing and fails if a page of the first kind is old.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from error_codes import CLASSES, error_codes  # noqa: E402
from pages import NOTE, table  # noqa: E402

from spectrarium.cli import main as command_line  # noqa: E402
from spectrarium.domain import errors  # noqa: E402
from spectrarium.read.registry import readers  # noqa: E402
from spectrarium.settings import Settings  # noqa: E402
from spectrarium.store.schema import CATALOGUE  # noqa: E402


def formats_page() -> str:
    """docs/reference/formats.md"""
    found = readers()
    what = [(f"`{r.name}`", r.title, r.medium, r.frame, r.uncertainty, r.mask) for r in found]
    why = [(f"`{r.name}`", *_loader(r.why_own), r.source) for r in found]
    return f"""{NOTE}# Formats

A file is recognised by its content, never by its name. `spectrarium formats` prints this list,
`spectrarium ingest --reader NAME` forces one reader. What a file does not say stays unknown, and
can be declared: `--wave-unit`, `--flux-unit`, `--medium`, `--specsys`, `--collection`. A
declaration never overrides what the file says, except the collection. What was read of real
files is measured in [Real data](../real-data.md).

## What each format says of its spectra

{table(("reader", "format", "medium", "velocity frame", "uncertainty", "mask"), what)}
## Which loader reads it, and why

specutils is used where it is right. Where it has no loader, or one that misreads a file or drops
medium, frame, errors or mask bits, the reader is ours.

{table(("reader", "loader", "why", "description followed"), why)}
## A format of your own

A module exposes `READERS`, a tuple of `spectrarium.read.registry.Reader`; a package names it under
the entry point `spectrarium.readers`. `recognise(source)` looks at the content and returns 0,
`GENERIC`, `LIKELY` or `CERTAIN`; `read(source)` yields `Spectrum`, `NotASpectrum` or `DataError`.
"""


def _loader(why: str) -> tuple[str, str]:
    return ("specutils", "–") if why == "specutils" else ("own", why)


def catalogue_page() -> str:
    """docs/reference/catalogue.md"""
    rows = [
        (f"`{c.name}`", str(c.type), c.unit or "–", f"`{c.ucd}`" if c.ucd else "–", c.about)
        for c in CATALOGUE if c.public
    ]  # fmt: skip
    return f"""{NOTE}# Columns of the catalogue

One row for each observation; the names are ObsCore's (IVOA ObsCore 1.1) where it has one. A value
that a file does not give is null, never 0. These names are those of `--where`, of `--columns`, of
the records that `--json` prints and of `Archive.find`.

{table(("column", "type", "unit", "UCD", "meaning"), rows)}
## Labels

`spectrarium catalogue add FILE --key obs_id` adds columns called `LABEL.COLUMN` (the column alone
where no other has its name), each with its unit, UCD, source file and hash; `spectrarium catalogue
list` prints them all.
"""


def cli_page() -> str:
    """docs/reference/cli.md"""
    codes = [(0, "done"), *((c.exit_code, f"{_first(c.__doc__)} (`{c.__name__}`)")
                            for c in (getattr(errors, name) for name in CLASSES)),
             (130, "cancelled: what was committed is kept, run it again to go on")]  # fmt: skip
    settings = [
        (
            f"`SPECTRARIUM_{name.upper()}`",
            field.default if field.default is not None else "–",
            about,
        )
        for (name, field), about in zip(
            Settings.model_fields.items(), _settings_about(), strict=True
        )
    ]
    verbs = "\n".join(_verbs())
    return f"""{NOTE}# Commands

Every verb prints a table for people and, with `--json`, records for programs; messages and
progress go to standard error.

## Exit codes

{table(("code", "meaning"), codes)}
`ingest` ends with 0 when anything was stored, known already or recognised as no spectrum, even if
other files went to the quarantine; with 3 when all that was given was bad.

## Environment

{table(("variable", "default", "meaning"), settings)}
## Verbs

{verbs}"""


def _first(text: str | None) -> str:
    line = (text or "").strip().split("\n")[0].rstrip(".")
    return line[:1].lower() + line[1:]


def _settings_about() -> list[str]:
    """The string below each field of Settings (pydantic keeps none of them)."""
    source = Path(sys.modules[Settings.__module__].__file__ or "").read_text()
    return re.findall(r'^    \w+: .*\n    """(.*)"""', source, re.M)


def _verbs() -> Iterator[str]:
    for name in command_line.VERBS:
        command = command_line.cli.get_command(click.Context(command_line.cli), name)
        assert command is not None
        yield from _help(command, f"spectrarium {name}")


def _help(command: click.Command, path: str) -> Iterator[str]:
    """Help of a command and of those below it, 80 columns wide whatever the terminal."""
    names = command_line.cli.context_settings["help_option_names"]  # click hands them down
    context = click.Context(command, info_name=path, terminal_width=80, max_content_width=80,
                            help_option_names=names)  # fmt: skip
    yield f"### {path}\n\n```text\n{command.get_help(context)}\n```\n"
    for name, below in getattr(command, "commands", {}).items():
        yield from _help(below, f"{path} {name}")


def errors_page() -> str:
    """docs/reference/errors.md"""
    found = error_codes(HERE.parent / "src" / "spectrarium")
    parts = []
    for name in CLASSES:
        cls = getattr(errors, name)
        rows = [
            (f"`{e.name}`", e.says, e.remedy or "–", f"`{e.module}`")
            for e in found if e.cls == name
        ]  # fmt: skip
        parts.append(
            f"## {name}\n\n{(cls.__doc__ or '').strip().split(chr(10))[0]} "
            f"Exit code {cls.exit_code}.\n\n"
            + table(("code", "says, for example", "remedy", "raised in"), rows)
        )
    body = "\n".join(parts)
    return f"""{NOTE}# Errors

Every error has a stable code, says what happened and where, and what to do. The codes of
`DataError` are those of the quarantine (`spectrarium quarantine --json`: `path`, `hdu`, `code`,
`reason`, `remedy`). In Python all are `spectrarium.domain.errors.SpectrariumError` with the
attributes `code`, `what`, `where`, `remedy`. … stands for what varies.

{body}"""


PAGES = {
    "reference/formats.md": formats_page,
    "reference/catalogue.md": catalogue_page,
    "reference/cli.md": cli_page,
    "reference/errors.md": errors_page,
}


def outdated() -> list[str]:
    """Generated pages, the measured one apart, that differ from what the code now says."""
    return [
        name for name, page in PAGES.items()
        if not (HERE / name).is_file() or (HERE / name).read_text(encoding="utf-8") != page()
    ]  # fmt: skip


def main() -> int:
    """Write or check the pages."""
    ask = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ask.add_argument("--check", action="store_true", help="write nothing; fail if a page is old")
    if ask.parse_args().check:
        old = outdated()
        print("\n".join(f"docs/{name} is out of date: make docs" for name in old))
        return 1 if old else 0
    for name, page in PAGES.items():
        (HERE / name).parent.mkdir(exist_ok=True)
        (HERE / name).write_text(page(), encoding="utf-8")
        print(f"docs/{name}")
    data = os.environ.get("SPECTRARIUM_DATA", "")
    if not data or not Path(data).is_dir():
        print("docs/real-data.md is left as it is: SPECTRARIUM_DATA names no folder")
        return 0
    from measure import real_data_page

    (HERE / "real-data.md").write_text(NOTE + real_data_page(Path(data)), encoding="utf-8")
    print("docs/real-data.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
