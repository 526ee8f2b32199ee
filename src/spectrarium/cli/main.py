"""The command ``spectrarium``: finds the verb, turns errors into messages and exit codes."""

from __future__ import annotations

import importlib
import io
import json
import os
import sys

import click

from .. import __version__
from ..domain.errors import InternalError, SpectrariumError, UsageError
from .output import clean, error_console

VERBS = {
    "ingest": "Store files of any format: folders, globs, zips, tars, URLs, lists.",
    "status": "What the archive holds.",
    "formats": "The formats that can be read.",
    "quarantine": "What could not be stored, why, and what to do.",
    "catalogue": "Join labels or a catalogue to the observations.",
    "find": "Search the catalogue by filter, cone or target.",
    "show": "One observation: its record, its spectrum, a picture.",
    "train": "Teach an encoder what the spectra look like.",
    "embed": "Fit models to what can be compared and give each spectrum its vector.",
    "models": "The models of this archive.",
    "similar": "What is like this one? An id of the archive, or a file.",
    "outliers": "What is strange here?",
    "tag": "Learn a label from a catalogue and give it to spectra, with errors.",
    "tags": "What the models say one observation is, and how sure they are.",
    "map": "A 2-D layout of what is embedded, to look at.",
    "meaning": "What the numbers of a model mean: physics, or nuisance?",
    "evaluate": "The science benchmark: every encoder against chance, pixels and PCA.",
    "serve": "The page: explore an archive in the browser.",
    "people": "Who may see and keep what, once the page is served to others.",
    "export": "Write observations as files that other programs read.",
    "hips": "Where the spectra are on the sky: a density map for Aladin.",
    "send": "Send spectra or a table to TOPCAT, Aladin, SPLAT … on this desktop.",
    "mock": "Make a mock survey with known truth.",
    "compact": "Merge small files and rebuild the index.",
    "verify": "Read everything again and report damage.",
}
EXIT_CODES = """\b
Exit codes: 0 done; 2 wrong usage; 3 bad data; 4 try again (locked, disk full,
network); 5 a defect of Spectrarium; 130 cancelled."""


class Verbs(click.Group):
    """Loads a verb's module only when it is called: `--help` stays instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order data flows."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's click command."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"spectrarium.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Help without importing every verb."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="spectrarium")
def cli() -> None:
    """Explore archives of astronomical spectra."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every error becomes a message and an exit code here."""
    words = sys.argv[1:] if arguments is None else arguments
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that lacks Å still shows the rest
        sys.stdout.reconfigure(errors="replace")
    try:
        code = cli.main(words, prog_name="spectrarium", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except SpectrariumError as error:
        _report(error, "--json" in words)
        sys.exit(error.exit_code)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        if "--json" in words:
            _report(UsageError(error.format_message(), code="bad_command_line"), True)
        else:
            error.show()
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        error_console.print(
            "[yellow]cancelled[/]: what was committed is kept; run it again to go on"
        )
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:  # the process boundary: a defect of ours is reported as one
        if os.environ.get("SPECTRARIUM_DEBUG"):
            raise
        _report(
            InternalError(
                f"{type(error).__name__}: {error}", where="spectrarium",
                remedy="please report it; SPECTRARIUM_DEBUG=1 shows where it happened",
            ),
            "--json" in words,
        )  # fmt: skip
        sys.exit(InternalError.exit_code)


def _report(error: SpectrariumError, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"error": type(error).__name__, **error.record()}), err=True)
        return
    place = f"{error.where}: " if error.where else ""
    error_console.print(f"[bold red]error[/] [dim]({error.code})[/]", end=" ")
    error_console.print(clean(f"{place}{error.what}"), markup=False, highlight=False)
    if error.remedy:
        error_console.print(f"  → {clean(error.remedy)}", markup=False, highlight=False)


if __name__ == "__main__":
    main()
