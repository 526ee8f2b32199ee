"""The density map of an archive, served or written to a folder."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ..domain.errors import UsageError
from ..domain.progress import Progress
from ..store.archive import Archive, Rows
from .coverage import bounds, cells29
from .files import publish_files, staging
from .hips import Hips, HipsAbout
from .hips_tiles import Density
from .publisher import Publisher

IVOID = "hips/density"


@dataclass(frozen=True, slots=True)
class Counted:
    """What a map is made of. released : of the archive's version · days, waves_m : first and last
    of what is known, MJD and m"""

    density: Density
    released: datetime
    days: tuple[float, float] | None
    waves_m: tuple[float, float] | None


def counted(archive: Archive, rows: Rows) -> Counted:
    """Counts of rows on the sky. Raises UsageError (no_coordinates) where none has a position."""
    cells = cells29(archive, rows)
    if not (cells >= 0).any():
        raise UsageError("none of the observations has coordinates", code="no_coordinates",
                         remedy="a map of the sky needs s_ra and s_dec")  # fmt: skip
    return Counted(
        Density.of(cells), datetime.fromtimestamp(archive.manifest.created, UTC),
        _span(archive, rows, "time"), _span(archive, rows, "spectral"),
    )  # fmt: skip


def _span(archive: Archive, rows: Rows, kind: str) -> tuple[float, float] | None:
    lo, hi = bounds(archive, rows, kind)
    lo, hi = lo[np.isfinite(lo)], hi[np.isfinite(hi)]
    return (float(lo.min()), float(hi.max())) if len(lo) and len(hi) else None


def hips_of(found: Counted, publisher: Publisher, url: str = "", public: bool = True) -> Hips:
    """The files of a map. url : where it is served · public : whether anybody may copy it"""
    about = HipsAbout(
        publisher.ivoid(IVOID), publisher.title, found.released, publisher.contact_name, url,
        public, found.days, found.waves_m,
    )  # fmt: skip
    return Hips(found.density, about)


def write_hips(hips: Hips, out: Path, progress: Progress) -> int:
    """Write all files of a map to a folder for any web server; their number, 0 if cancelled.

    Files that are there already with the same bytes stay. Raises UsageError (exists,
    cannot_write), TransientError (no_space). Nothing is written in these cases and when cancelled.
    """
    progress.start("files", len(hips))
    with staging(out) as folder:
        for path in hips.paths():
            if progress.cancelled():
                return 0
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(hips.file(path)[0])
            progress.advance()
        publish_files(folder, out)
    return len(hips)
