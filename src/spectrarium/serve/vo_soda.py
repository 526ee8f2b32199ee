"""SODA's work, for requests that wait and for jobs that do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from ..domain.errors import DataError, UsageError
from ..plot.spectrum import spectrum_png
from ..plot.trailed import trailed_png
from ..publish.dali import Params
from ..publish.publisher import Publisher
from ..publish.soda import (
    Drawing,
    Product,
    error_text,
    on_a_grid,
    product,
    wants_grid,
)
from ..publish.soda_fits import Trail
from ..publish.soda_query import SodaQuery, soda_query
from ..run.cutouts import Cutout, cutouts
from ..store.archive import Archive

Cancelled = Callable[[], bool]


def _trail(trail: Trail) -> bytes:
    return trailed_png(trail.wave_aa, trail.flux, medium=trail.medium, specsys=trail.specsys,
                       unit=trail.unit, normalisation=trail.normalisation,
                       heading=f"{len(trail.found)} spectra")  # fmt: skip


DRAWING = Drawing(spectrum_png, _trail)


def _never() -> bool:
    return False


def answered(
    archive: Archive, query: SodaQuery, publisher: Publisher, cancelled: Cancelled = _never
) -> Product | None:
    """The one file that answers a request, None where no pixel is left.

    Raises SpectrariumError: see `publish.soda.product` and `run.cutouts.cutouts`.
    """

    def cut(asked: SodaQuery) -> list[Cutout]:
        return list(cutouts(archive, asked.ids, asked.names, asked.filters, asked.recast,
                            cancelled=cancelled))  # fmt: skip

    found = cut(query)
    if wants_grid(query) and any(c.spectrum is not None for c in found):
        query = on_a_grid(query, found)
        found = cut(query)
    return product(query, found, publisher, DRAWING)


# jobs -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SodaFile:
    """A result of a job."""

    name: str
    path: Path
    media_type: str


class JobWork(Protocol):
    """What a job gives its work."""

    @property
    def archive(self) -> Archive:
        """As its owner may see it."""

    @property
    def params(self) -> Params:
        """Of the job."""

    @property
    def publisher(self) -> Publisher:
        """Whose identifiers and addresses results carry."""

    @property
    def folder(self) -> Path:
        """Where results are written."""

    @property
    def cancelled(self) -> Cancelled:
        """Asked now and then."""


def soda_work(work: JobWork) -> list[SodaFile]:
    """The work of a job: see `soda_files`."""
    return soda_files(work.archive, work.params, work.publisher, work.folder, work.cancelled)


def soda_files(
    archive: Archive, params: Params, publisher: Publisher, folder: Path,
    cancelled: Cancelled = _never,
) -> list[SodaFile]:  # fmt: skip
    """The results of a job, written into `folder`.

    One for each combination of a spectrum with its filters, as the standard has it; those without
    a cut-out are texts that say why (SODA 1.0, section 6). With JOIN=true one file of all.
    Raises DaliError for malformed parameters, TransientError (cancelled), and with JOIN what
    `answered` does.
    """
    query = soda_query(params, joined=False)
    out = []
    for number, one in enumerate(_parts(query), 1):
        stem = "result" if query.join or query.single else f"result-{number:05d}"
        out.append(_file(archive, one, publisher, folder, stem, cancelled))
    return out


def _parts(query: SodaQuery) -> Iterator[SodaQuery]:
    """One request for each result."""
    if query.join:
        yield query
        return
    for did, name in zip(query.ids, query.names, strict=True):
        for one in query.filters:
            yield replace(query, ids=(did,), names=(name,), filters=(one,))


def _file(
    archive: Archive, query: SodaQuery, publisher: Publisher, folder: Path, stem: str,
    cancelled: Cancelled,
) -> SodaFile:  # fmt: skip
    try:
        found = answered(archive, query, publisher, cancelled)
        if found is None:
            raise UsageError(f"no sample of {query.ids[0][:200]} is left", code="no_coverage")
    except (UsageError, DataError) as error:
        if query.join and error.code != "no_coverage":
            raise
        data, kind = error_text(error)
        path = folder / f"{stem}.txt"
        path.write_bytes(data)
        return SodaFile(stem, path, kind)
    path = folder / f"{stem}.{found.name.rpartition('.')[2]}"
    with path.open("wb") as file:
        for piece in found.pieces:
            file.write(piece)
    return SodaFile(stem, path, found.media_type)
