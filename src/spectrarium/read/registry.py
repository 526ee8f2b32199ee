"""Which reader understands a file: asked of the content, never of the extension."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from itertools import chain

from ..domain.errors import DataError, UsageError
from ..domain.spectrum import Spectrum
from .check import check, located
from .source import SourceFile

CERTAIN = 100
"""A score no other format's file can reach: recognition stops there."""
LIKELY = 50
"""The structure fits; a more specific reader may know better."""
GENERIC = 10
"""A last resort that reads by units, UCDs and column names."""


@dataclass(frozen=True, slots=True)
class NotASpectrum:
    """A file that is understood and holds no spectrum (a CCF, a wavelength map, a blaze …)."""

    what: str
    hdu: int | None = None
    row: int | None = None


Item = Spectrum | NotASpectrum | DataError
"""What a reader yields: an error for one HDU or row does not end the file."""


@dataclass(frozen=True, slots=True)
class Reader:
    """One file format.

    recognise : score of a file, 0 (no), GENERIC, LIKELY or CERTAIN; looks at content only and
        must not raise on any FITS or text file
    read : yields a Spectrum, NotASpectrum or DataError per object found; may raise DataError
        when the file as a whole is bad
    medium, frame, uncertainty, mask : what the format says of them, for the reference table
    why_own : why specutils' loader is not used (or "specutils" where it is)
    source : the published description followed
    """

    name: str
    title: str
    recognise: Callable[[SourceFile], int]
    read: Callable[[SourceFile], Iterator[Item]]
    medium: str
    frame: str
    uncertainty: str
    mask: str
    why_own: str
    source: str


BUILTIN = (
    "sdss", "lamost", "desi", "apogee", "galah", "eso", "harps", "echelle", "eprv", "gaia",
    "jwst", "iraf", "sdm", "marz", "spectra1d", "ccf_mask", "eigenspectra", "ascii",
    "snid", "pools",
)  # fmt: skip


@lru_cache(maxsize=1)
def readers() -> tuple[Reader, ...]:
    """All readers: the built-in ones and those of the entry points `spectrarium.readers`."""
    out: list[Reader] = []
    for name in BUILTIN:
        module = importlib.import_module(f"{__package__}.{name}")
        out.extend(module.READERS)
    for point in entry_points(group="spectrarium.readers"):
        out.extend(point.load())
    return tuple(out)


def reader_named(name: str) -> Reader:
    """The reader of this name; an unknown one lists the known."""
    for reader in readers():
        if reader.name == name:
            return reader
    known = ", ".join(sorted(reader.name for reader in readers()))
    raise UsageError(f"no reader is called {name!r}", code="unknown_reader",
                     remedy=f"choose one of: {known}")  # fmt: skip


_recent: list[Reader] = []


def recognise(source: SourceFile) -> Reader:
    """The reader with the highest score. Raises DataError (unknown_format)."""
    best, best_score = None, 0
    for reader in chain(_recent, readers()):
        score = reader.recognise(source)
        if score > best_score:
            best, best_score = reader, score
            if score >= CERTAIN:
                break
    if best is None:
        raise _unknown(source)
    if best_score >= CERTAIN:  # archives come in runs of one format: ask its reader first
        _recent[:] = [best]
    return best


def _unknown(source: SourceFile) -> DataError:
    head = source.head[:512].lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return DataError(
            "is an HTML page, not data: the download failed", code="html", where=source.where,
            remedy="fetch it again; the page itself may say why",
        )  # fmt: skip
    return DataError(
        "no reader knows this format", code="unknown_format", where=source.where,
        remedy="see `spectrarium formats`; --reader NAME forces one",
    )  # fmt: skip


def read_source(source: SourceFile, reader: Reader | None = None) -> Iterator[Item]:
    """Everything in one file, checked; a spectrum that fails the check comes as its DataError.

    Raises DataError when the file as a whole is bad.
    """
    if source.is_fits:
        for hdu in source.fits:
            hdu.verify()
    for item in (reader or recognise(source)).read(source):
        if isinstance(item, Spectrum):
            try:
                item = check(item)
            except DataError as error:
                item = error
        yield located(item, source.where) if isinstance(item, DataError) else item
