"""One group of files → pixel fragments, catalogue rows and receipts. Runs in a worker."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..domain.errors import DataError, TransientError
from ..domain.observation import printable
from ..domain.spectrum import Spectrum
from ..read.registry import NotASpectrum, read_source, reader_named, readers, recognise
from ..read.source import ReadOptions, SourceFile
from ..store.archive import Archive
from ..store.codec import encode, uid_of
from ..store.writer import Batch, BatchBuilder, receipt_table
from .inputs import InputFile
from .sources import sources

FLUSH_BYTES = 2**26
"""Pixels a worker holds before it writes them out: memory stays flat whatever the file."""

MAX_GRIDS = 10_000
"""Wavelength grids that a worker remembers to have handed over."""


@dataclass
class Outcome:
    """What became of a group of files."""

    batches: list[Batch] = field(default_factory=list)
    files: int = 0
    stored: int = 0
    unchanged: int = 0
    quarantined: int = 0
    not_spectra: int = 0
    crashed: bool = False


class GroupReader:
    """Reads groups of files against one archive."""

    def __init__(self, root: Path, version: int, options: ReadOptions, reader: str | None) -> None:
        readers()  # a reader that cannot be imported must end the ingest, not condemn every file
        self._builder = BatchBuilder(root)
        self._index = Archive(root, version).index
        self._options = options
        self._reader = reader_named(reader) if reader else None
        self._declared = declared(options, reader)
        self._grids: set[int] = set()

    def read(self, files: Iterable[InputFile]) -> Outcome:
        """Read and write out everything in `files`; never raises for a bad file."""
        out = Outcome()
        for file in files:
            for member, source in sources(file, self._options):
                out.files += 1
                self._one(file, member, source, out)
        out.batches.append(self._build())
        return out

    def _build(self) -> Batch:
        """Write out what has come together, without the grids that were handed over before."""
        batch = self._builder.build()
        batch.grids = [grid for grid in batch.grids if grid.grid_id not in self._grids]
        if len(self._grids) > MAX_GRIDS:
            self._grids.clear()
        self._grids.update(grid.grid_id for grid in batch.grids)
        return batch

    def _one(
        self, file: InputFile, member: str | None, source: SourceFile | DataError, out: Outcome
    ) -> None:
        receipt = _Receipt(file, member, self._declared)
        if isinstance(source, DataError):
            receipt.bad(source)
        else:
            self._read_source(source, receipt, out)
        records = receipt.records()
        out.stored += receipt.stored
        out.unchanged += receipt.unchanged
        out.quarantined += len(receipt.errors)
        out.not_spectra += receipt.status == "not_a_spectrum"
        self._builder.receipts += records

    def _read_source(self, source: SourceFile, receipt: _Receipt, out: Outcome) -> None:
        try:
            reader = self._reader or recognise(source)
            receipt.reader = reader.name
            for item in read_source(source, reader):
                if isinstance(item, Spectrum):
                    self._store(item, receipt)
                    if self._builder.nbytes > FLUSH_BYTES:
                        out.batches.append(self._build())
                elif isinstance(item, NotASpectrum):
                    receipt.notes.append(item)
                else:
                    receipt.bad(item)
        except DataError as error:
            receipt.bad(error)
        except TransientError:  # the disk is full: no fault of the file
            raise
        except MemoryError as error:
            receipt.bad(DataError(f"needs more memory than there is: {error}", code="too_large"))
        except Exception as error:  # noqa: BLE001  a defect of ours must not end the ingest: it is reported
            receipt.bad(
                DataError(
                    f"the reader failed unexpectedly: {type(error).__name__}: {error}",
                    code="reader_defect",
                    remedy="please report this file",
                )
            )
        receipt.file_hash = source.hash

    def _store(self, spectrum: Spectrum, receipt: _Receipt) -> None:
        encoded = encode(spectrum)
        if receipt.ids.setdefault(encoded.uid, encoded.fingerprint) != encoded.fingerprint:
            spectrum = _told_apart(spectrum, encoded.obs_id, receipt)
            encoded = encode(spectrum)
            receipt.ids[encoded.uid] = encoded.fingerprint
        known = self._index.equal("uid", encoded.uid)
        if len(known) and encoded.fingerprint == self._index.value("fingerprint", known[-1:])[0]:
            receipt.unchanged += 1
            return
        self._builder.add(encoded, spectrum)
        receipt.stored += 1


def declared(options: ReadOptions, reader: str | None) -> str | None:
    """What the user said about the files, as text for their receipts; None if nothing."""
    said = {k: str(v) for k, v in asdict(options).items() if v is not None}
    if reader:
        said["reader"] = reader
    return json.dumps(said, sort_keys=True) if said else None


def _told_apart(spectrum: Spectrum, obs_id: str, receipt: _Receipt) -> Spectrum:
    """A second spectrum with an identifier that its file has used: neither replaces the other."""
    p, o = spectrum.provenance, spectrum.observation
    part = "".join(f"-{k}{v}" for k, v in (("h", p.hdu), ("r", p.row)) if v is not None)
    name, n = f"{obs_id}{part}", 1
    while not part or uid_of(o.obs_collection, name) in receipt.ids:
        n += 1
        name, part = f"{obs_id}{part}-{n}", part or "-"
    note = f"{obs_id!r} is the identifier of several spectra of this file"
    return spectrum.replace(
        observation=replace(o, obs_id=name),
        provenance=replace(p, warnings=(*p.warnings, note)),
    )  # fmt: skip


class _Receipt:
    """What became of one file: one record, and one more for each item in quarantine."""

    def __init__(self, file: InputFile, member: str | None, said: str | None = None) -> None:
        self.file = file
        self.member = member
        self.said = said
        self.ids: dict[int, int] = {}
        self.reader: str | None = None
        self.file_hash: str | None = None
        self.stored = self.unchanged = 0
        self.errors: list[DataError] = []
        self.notes: list[NotASpectrum] = []

    def bad(self, error: DataError) -> None:
        """Note one bad item."""
        self.errors.append(error)

    @property
    def status(self) -> str:
        """``stored``, ``partly_stored``, ``quarantined``, ``not_a_spectrum`` or ``empty``."""
        if self.stored or self.unchanged:
            return "partly_stored" if self.errors else "stored"
        if self.errors:
            return "quarantined"
        return "not_a_spectrum" if self.notes else "empty"

    def records(self) -> list[dict[str, Any]]:
        """Rows for the receipts dataset."""
        now = time.time()
        if self.status == "empty":
            self.bad(DataError("holds no spectrum at all", code="empty",
                               remedy="see `spectrarium formats`"))  # fmt: skip
        common = {
            "path": printable(self.file.path), "declared": self.said,
            "member": None if self.member is None else printable(self.member),
            "size": self.file.size, "mtime_ns": self.file.mtime_ns,
            "file_hash": self.file_hash, "reader": self.reader,
            "seq": time.time_ns(), "time_mjd": now / 86400.0 + 40587.0,
        }  # fmt: skip
        note = "; ".join(dict.fromkeys(n.what for n in self.notes)) or None
        rows = [common | {
            "status": self.status, "n_stored": self.stored, "n_unchanged": self.unchanged,
            "n_quarantined": len(self.errors), "reason": note,
            "code": "not_a_spectrum" if note else None, "hdu": None, "row": None, "remedy": None,
        }]  # fmt: skip
        for error in self.errors:
            rows.append(common | {
                "status": "bad_item", "n_stored": 0, "n_unchanged": 0, "n_quarantined": 1,
                "hdu": error.hdu, "row": error.row, "code": error.code, "reason": error.what,
                "remedy": error.remedy or "see `spectrarium formats`",
            })  # fmt: skip
        return rows


def crashed(file: InputFile, why: str) -> Outcome:
    """The outcome of a file whose reading killed or hung its worker."""
    receipt = _Receipt(file, None)
    receipt.bad(DataError(why, code="reader_crashed", remedy="please report this file"))
    return Outcome(
        [Batch(receipts=receipt_table(receipt.records()))], files=1, quarantined=1, crashed=True
    )
