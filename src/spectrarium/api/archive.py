"""The front door for Python users: ``sp.open(DIR)`` and what can be done with an archive."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..domain.progress import Progress
from ..domain.spectrum import Spectrum
from ..store.archive import SUMMARY_COLUMNS
from ..store.archive import Archive as Store
from ..store.schema import CATALOGUE
from .asking import Asking
from .options import read_options

if TYPE_CHECKING:
    from ..publish.source import ExportSource, Record
    from ..run.ingest import IngestReport
    from ..run.labels import JoinReport
    from .sending import Form, Link, Sent

__all__ = ["Archive", "open_archive", "read_spectra"]


def open_archive(path: str | os.PathLike[str], version: int | None = None) -> Archive:
    """The archive in a folder, as it is or as of a past version.

    A folder that does not exist yet becomes an archive at the first `ingest`.
    """
    return Archive(Path(path), version)


def read_spectra(path: str | os.PathLike[str], **declared: Any) -> list[Spectrum]:
    """All spectra of one file, without an archive.

    declared : `wave_unit`, `flux_unit`, `medium`, `specsys`, `collection` the file leaves out
    Raises DataError when the file or any spectrum in it is bad.
    """
    from ..read.registry import read_source
    from ..read.source import SourceFile

    out = []
    for item in read_source(SourceFile.open(path, read_options(**declared))):
        if isinstance(item, Spectrum):
            out.append(item)
        elif isinstance(item, Exception):
            raise item
    return out


class Archive(Asking):
    """An archive, for people.

    Every method works on the version that was open; `ingest`, `embed` and `add_catalogue` move on
    to the version they made.
    """

    def __init__(self, path: Path, version: int | None = None) -> None:
        self.path = path
        self._as_of = version
        self._store: Store | None = None

    def __repr__(self) -> str:
        if not (self.path / "manifest.json").is_file():
            return f"<Archive {self.path}: empty>"
        return f"<Archive {self.path}: {len(self)} observations, version {self.store.version}>"

    def __len__(self) -> int:
        return len(self.store)

    @property
    def store(self) -> Store:
        """The opened version underneath."""
        if self._store is None:
            self._store = Store(self.path, self._as_of)
        return self._store

    def refresh(self) -> Archive:
        """Move to the newest version."""
        self._store, self._as_of = None, None
        return self

    def _writable(self) -> None:

        if self._as_of is not None:
            raise UsageError("a past version cannot be written to", code="read_only",
                             remedy="open the archive without a version")  # fmt: skip

    # filling ----------------------------------------------------------------------------------

    def ingest(
        self, sources: Iterable[str | os.PathLike[str] | Spectrum] | str | Spectrum, *,
        workers: int | None = None, reader: str | None = None, progress: Progress | None = None,
        wait_s: float = 60.0, reread: bool = False, **declared: Any,
    ) -> IngestReport:  # fmt: skip
        """Store files, folders, globs, zips, tars, URLs, lists of these, or Spectrum objects.

        declared : `wave_unit`, `flux_unit`, `medium`, `specsys`, `collection` that files leave out
        """
        from ..run.ingest import ingest

        self._writable()
        if isinstance(sources, (str, os.PathLike, Spectrum)):
            sources = [sources]
        report = ingest(
            self.path, sources, options=read_options(**declared), reader=reader, workers=workers,
            progress=progress, wait_s=wait_s, reread=reread,
        )  # fmt: skip
        self.refresh()
        return report

    def add_catalogue(
        self, file: str | os.PathLike[str], key: str, *, on: str | None = None,
        columns: Sequence[str] | None = None, name: str | None = None, wait_s: float = 60.0,
    ) -> JoinReport:  # fmt: skip
        """Join labels by ``obs_id``, ``target_name``, ``file`` or ``sky:1arcsec``."""
        from ..run.labels import add_catalogue

        self._writable()
        report = add_catalogue(
            self.path, Path(file), key, on=on, columns=columns, name=name, wait_s=wait_s
        )
        self.refresh()
        return report

    def compact(self, wait_s: float = 60.0) -> None:
        """Merge small files and rebuild the index; past versions stay readable."""
        from ..store.writer import open_writer

        self._writable()
        with open_writer(self.path, wait_s) as writer:
            writer.compact()
        self.refresh()

    # looking ----------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Counts: observations, files_stored, quarantined, version …"""
        return self.store.status()

    def quarantine(self) -> list[dict[str, Any]]:
        """What could not be stored, with code, reason and remedy."""
        return self.store.quarantine()

    def find(
        self, where: str | None = None, *, cone: tuple[float, float, float] | None = None,
        target: str | None = None, columns: Sequence[str] | None = None, limit: int | None = None,
    ) -> pa.Table:  # fmt: skip
        """Catalogue rows that meet every condition; cone is (RA, Dec, radius), all in degrees."""
        rows = self.store.find(where, cone, target, limit)
        return self.store.catalogue(rows, columns or SUMMARY_COLUMNS)

    def read(self, identifier: str) -> Spectrum:
        """One spectrum as delivered."""
        return self.store.read(identifier)

    def window(self, identifier: str, lo_aa: float, hi_aa: float) -> Spectrum:
        """The samples between two wavelengths (Å, as delivered)."""
        return self.store.window(identifier, lo_aa, hi_aa)

    def record(self, identifier: str) -> dict[str, Any]:
        """The catalogue row of one observation, labels included."""
        store = self.store
        row = np.array([store.resolve(identifier)], np.int64)
        record: dict[str, Any] = store.catalogue(row).to_pylist()[0]
        for label in store.names("labels"):
            fields = [f.name for f in store.dataset(f"labels/{label}").lance.schema]
            for name in fields:
                if name != "uid":
                    value = store.label_column(f"{label}.{name}").take(pa.array(row))[0].as_py()
                    if value is not None:
                        record[f"{label}.{name}"] = value
        return record

    def export(
        self, identifiers: Iterable[str], kind: str, out: str | os.PathLike[str],
        where: str | None = None,
    ) -> list[Path]:  # fmt: skip
        """Write observations as files that other programs read; the paths of what was written.

        Parameters
        ----------
        identifiers : obs_id, ``collection:obs_id`` or DID; none = all that `where` lets through
        kind : ``sdm-votable``, ``sdm-fits``, ``ecsv``, ``parquet`` or ``hats``
        out : folder, made if it is missing
        Raises
        ------
        UsageError : unknown or ambiguous identifier, nothing selected, a different file is there
            already (then nothing is written), HATS without any position
        """
        from ..publish.export import export

        return export(_export_source(self.store, identifiers, where), kind, Path(out))

    # other programs ---------------------------------------------------------------------------

    def send(
        self, what: str | Spectrum | Iterable[str | Spectrum] | None = None, *,
        where: str | None = None, to: str | Sequence[str] | None = None, form: Form | None = None,
        **more: Any,
    ) -> list[Sent]:  # fmt: skip
        """Send spectra by id, or a table of what a filter finds, to TOPCAT, Aladin, SPLAT …

        See `Link.send`; `link` also hears what is marked there.
        """
        with self.link() as link:
            return link.send(what, where=where, to=to, form=form, **more)

    def link(self) -> Link:
        """Join the SAMP hub of this desktop. Raises TransientError (no_samp_hub)."""
        from .sending import Link

        return Link(self.store)


def _export_source(store: Store, identifiers: Iterable[str], where: str | None) -> ExportSource:
    """Chosen observations as publish wants them: rows by position, spectra a batch at a time."""
    from ..publish.source import ExportSource

    names = list(dict.fromkeys(identifiers))
    if names and where is not None:
        raise UsageError("identifiers and a filter were given: one of them has to choose",
                         code="ids_and_where", remedy="leave one of them out")  # fmt: skip
    rows = (
        np.array(list(dict.fromkeys(store.resolve(n) for n in names)), np.int64)
        if names
        else store.find(where)
    )
    labels = {n: n.replace(".", "_") for n in store.columns() if "." in n}
    fields = [
        pa.field(c.name, c.type, metadata={k: v for k, v in (
            ("unit", c.unit), ("ucd", c.ucd), ("description", c.about)) if v})
        for c in CATALOGUE if c.public
    ]  # fmt: skip
    fields += [pa.field(column, store.label_column(n).type) for n, column in labels.items()]

    def take(at: NDArray[np.int64]) -> Iterator[tuple[Record, Spectrum]]:
        for chunk in _batches(store, rows[at]):
            table = store.catalogue(chunk)
            for name, column in labels.items():
                table = table.append_column(column, store.label_column(name).take(pa.array(chunk)))
            yield from zip(table.to_pylist(), store.read_rows(chunk), strict=True)

    sky = store.catalogue(rows, ["s_ra", "s_dec"])
    ra, dec = (sky.column(n).to_numpy().astype(np.float64) for n in ("s_ra", "s_dec"))
    return ExportSource(pa.schema(fields), ra, dec, take, store.root.name)


def _batches(store: Store, rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Rows in the order given, in runs of at most 256 rows or some 50 MB of samples."""
    ends = np.cumsum(store.index.value("n_tiles", rows))
    at = 0
    while at < len(rows):
        budget = 1024 + (ends[at - 1] if at else 0)
        stop = min(at + 256, max(at + 1, int(np.searchsorted(ends, budget, "right"))))
        yield rows[at:stop]
        at = stop
