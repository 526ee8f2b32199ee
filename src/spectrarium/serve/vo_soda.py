"""SODA's work, for requests that wait and for jobs that do not."""

from __future__ import annotations

from collections.abc import Callable

from ..plot.spectrum import spectrum_png
from ..plot.trailed import trailed_png
from ..publish.publisher import Publisher
from ..publish.soda import Drawing, Product, on_a_grid, product, wants_grid
from ..publish.soda_fits import Trail
from ..publish.soda_query import SodaQuery
from ..run.cutouts import Cutout, cutouts
from ..store.archive import Archive


def _trail(trail: Trail) -> bytes:
    return trailed_png(trail.wave_aa, trail.flux, medium=trail.medium, specsys=trail.specsys,
                       unit=trail.unit, normalisation=trail.normalisation,
                       heading=f"{len(trail.found)} spectra")  # fmt: skip


DRAWING = Drawing(spectrum_png, _trail)


def made(
    archive: Archive, query: SodaQuery, *, cancelled: Callable[[], bool] = lambda: False
) -> tuple[SodaQuery, list[Cutout]]:
    """The cut-outs of a request, and the request with the grid that an image takes."""

    def cut(asked: SodaQuery) -> list[Cutout]:
        return list(cutouts(archive, asked.ids, asked.names, asked.filters, asked.recast,
                            cancelled=cancelled))  # fmt: skip

    found = cut(query)
    if wants_grid(query) and any(c.spectrum is not None for c in found):
        query = on_a_grid(query, found)
        found = cut(query)
    return query, found


def answered(archive: Archive, query: SodaQuery, publisher: Publisher) -> Product | None:
    """The one file that answers a request, None where no pixel is left."""
    query, found = made(archive, query)
    return product(query, found, publisher, DRAWING)
