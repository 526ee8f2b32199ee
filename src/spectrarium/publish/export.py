"""Formats that an archive's observations can leave it in, and the one way files are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from ..domain.errors import UsageError
from . import columnar, hats, sdm_fits, sdm_votable, tables
from .files import publish_files, staging
from .source import ExportSource

Writer = Callable[[ExportSource, Path], list[Path]]
"""Writes into an empty folder and returns what a user should be told of."""

FORMATS: Mapping[str, Writer] = MappingProxyType({
    "sdm-votable": sdm_votable.write,
    "sdm-fits": sdm_fits.write,
    "ecsv": tables.write,
    "parquet": columnar.write,
    "hats": hats.write,
})  # fmt: skip


def export(source: ExportSource, kind: str, out: Path) -> list[Path]:
    """Write observations in a format; the paths of what was written (or was there already).

    Parameters
    ----------
    kind : a name of `FORMATS` · out : folder, made if it is missing
    Raises
    ------
    UsageError : `unknown_format`, `nothing_selected`, `exists` (a file is there already and
        differs), `cannot_write`, `no_coordinates` (HATS without a single position)
    TransientError (no_space)
    In each case nothing is written: files are complete before the first one appears in `out`.
    """
    writer = FORMATS.get(kind)
    if writer is None:
        raise UsageError(f"no format is called {kind!r}", code="unknown_format",
                         remedy=f"choose one of: {', '.join(sorted(FORMATS))}")  # fmt: skip
    if not len(source):
        raise UsageError("nothing was selected to export", code="nothing_selected",
                         remedy="give identifiers or a wider filter")  # fmt: skip
    with staging(out) as folder:
        paths = [path.relative_to(folder) for path in writer(source, folder)]
        publish_files(folder, out)
    return [out / path for path in paths]
