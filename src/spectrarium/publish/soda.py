"""SODA: what a request gives, as a file, and how the service describes itself.

Source: IVOA SODA 1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from ..domain.errors import DataError, SpectrariumError, UsageError
from ..domain.spectrum import Spectrum
from ..measure.airvac import air_to_vac
from ..run.cutouts import Cutout, Status
from ..run.recast import FluxWish
from . import csv_table, sdm_fits, sdm_votable
from .dali import DaliError, message_of
from .files import FileNames
from .publisher import Publisher
from .soda_fits import Trail, common_steps, image_document, table_document
from .soda_query import FORMATS, SodaQuery
from .soda_table import csv_document, votable_pieces
from .votable import Field, attribute, param, text

SYNC, ASYNC = "ivo://ivoa.net/std/SODA#sync-1.0", "ivo://ivoa.net/std/SODA#async-1.0"
_EXTENSIONS = {"votable": "vot", "fits": "fits", "csv": "csv", "png": "png", "image/fits": "fits"}
_MADE: Mapping[str, Callable[[Mapping[str, Any], Spectrum], bytes]] = {
    "votable": sdm_votable.document, "fits": sdm_fits.document, "csv": csv_table.document,
}  # fmt: skip
_ERRORS = {
    "MultiValuedParamNotSupported": "MultiValuedParamNotSupported",
    "AuthenticationFault": "AuthenticationError", "AuthorizationFault": "AuthorizationError",
    "TransientFault": "ServiceUnavailable", "FatalFault": "Error",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Drawing:
    """How PNGs are made. one : of a spectrum · trail : of many"""

    one: Callable[[Spectrum], bytes]
    trail: Callable[[Trail], bytes]


@dataclass(frozen=True, slots=True)
class Product:
    """A file. pieces : its bytes"""

    pieces: Iterable[bytes]
    media_type: str
    name: str


def product(
    query: SodaQuery, found: Sequence[Cutout], publisher: Publisher, drawing: Drawing
) -> Product | None:
    """The file that answers a request; None where no pixel is left (204, no content).

    One cut-out is a dataset of its own (Spectrum Data Model 1.2); many are one table or image, in
    which those that could not be made have a row that says why.
    Raises
    ------
    DaliError : nothing is called so (NotFoundFault), or the only spectrum refuses what is asked
    UsageError (mixed, too_much) : see `soda_fits.Trail`
    """
    kinds = {c.status for c in found}
    if kinds == {Status.NO_PIXELS}:
        return None
    if kinds == {Status.NOT_FOUND}:
        raise UsageError(f"nothing is called {found[0].asked[:200]!r}" + (
            f", nor any other of the {len(query.ids)} IDs" if len(query.ids) > 1 else ""),
            code="unknown_id", where="ID")  # fmt: skip
    if query.single and query.form != "image/fits":
        return single(found[0], query.form, publisher, drawing)
    return Product(_joined(query, found, publisher, drawing), FORMATS[query.form],
                   f"cutouts.{_EXTENSIONS[query.form]}")  # fmt: skip


def single(cut: Cutout, form: str, publisher: Publisher, drawing: Drawing) -> Product:
    """The file of one cut-out.

    Raises UsageError (unknown_id), DaliError (cutout_refused), DataError (damaged_spectrum).
    """
    if cut.status is Status.DAMAGED:
        raise DataError(cut.message, code="damaged_spectrum", where=cut.asked[:200])
    if cut.status is Status.NOT_FOUND:
        raise UsageError(f"nothing is called {cut.asked[:200]!r}", code="unknown_id", where="ID")
    if cut.spectrum is None:
        raise DaliError(f"{cut.asked[:200]}: {cut.message}", code="cutout_refused", where="ID")
    record = record_of(cut, publisher)
    name = FileNames().name(record, "x").removesuffix(".x")
    data = drawing.one(cut.spectrum) if form == "png" else _MADE[form](record, cut.spectrum)
    return Product([data], FORMATS[form], f"{name}-cutout.{_EXTENSIONS[form]}")


def record_of(cut: Cutout, publisher: Publisher) -> dict[str, Any]:
    """The catalogue row, with what was made of the spectrum since."""
    s = cut.spectrum
    assert s is not None
    out = dict(cut.record) | {
        "obs_publisher_did": publisher.did(cut.record), "publisher": publisher.title,
        "creation_type": "Cutout",
        "medium": s.axis.medium.value, "specsys": s.axis.specsys.value, "flux_unit": s.flux_unit,
        "flux_calibration": s.flux_calibration.value, "normalisation": s.normalisation.value,
        "uncertainty_kind": s.uncertainty_kind.value,
        "warnings": "; ".join(filter(None, [cut.record.get("warnings"), *cut.notes])) or None,
    }  # fmt: skip
    return out if cut.redshift is None else out | {"redshift": cut.redshift}


def _joined(
    query: SodaQuery, found: Sequence[Cutout], publisher: Publisher, drawing: Drawing
) -> Iterable[bytes]:
    if query.form == "votable":
        return votable_pieces(found, publisher)
    if query.form == "fits":
        return [table_document(found, publisher)]
    if query.form == "csv":
        return [csv_document(found, publisher)]
    assert query.recast.steps is not None
    trail = Trail(found, query.recast.steps)
    return [drawing.trail(trail) if query.form == "png" else image_document(trail, publisher)]


def on_a_grid(query: SodaQuery, found: Sequence[Cutout]) -> SodaQuery:
    """The request with a grid, where it wants an image and names none: that of its own samples.

    `found` : its cut-outs, not resampled. Raises UsageError (too_few_pixels).
    """
    return replace(query, recast=replace(query.recast, steps=common_steps(found)))


def wants_grid(query: SodaQuery) -> bool:
    """Whether the answer is an image of several spectra, for which no grid is named."""
    image = query.form == "image/fits" or (query.form == "png" and not query.single)
    return image and query.recast.steps is None


def error_text(error: SpectrariumError) -> tuple[bytes, str]:
    """An error in SODA's words, as plain text (SODA 1.0, section 5.2)."""
    fault, _, rest = message_of(error).partition(": ")
    return f"{_ERRORS.get(fault, 'UsageError')}: {rest}\n".encode(), "text/plain; charset=utf-8"


# the service descriptor -----------------------------------------------------------------------


def descriptor(
    url: str, standard: str, identifier: str, *, id: str, resource: str = "",
    record: Mapping[str, Any] | None = None,
) -> str:  # fmt: skip
    """The service RESOURCE for documents that list datasets (DataLink 1.1, section 4).

    Parameters
    ----------
    identifier : XML ID of the FIELD that holds what ID takes · id : XML ID of the RESOURCE
    resource : IVOID of the registered service · record : catalogue row, where the document is
        about one dataset: its limits are told
    """
    said = [param("accessURL", url, ucd="meta.ref.url"), param("standardID", standard)]
    said += [param("resourceIdentifier", resource)] if resource else []
    if standard == SYNC and record is not None and (band := band_m(record)) is not None:
        middle = 0.5 * sum(band)
        example = {"ID": record["obs_publisher_did"],
                   "BAND": f"{0.999 * middle:.6g} {1.001 * middle:.6g}"}  # fmt: skip
        said.append(param("exampleURL", f"{url}?{urlencode(example, quote_via=quote)}"))
    return service(id, "SODA cut-outs: by wavelength, in vacuum or air, at rest, over the "
                   "continuum, resampled", said, inputs(identifier, record))  # fmt: skip


def service(id: str, about: str, said: Sequence[Field], asked: Sequence[Field]) -> str:
    """A service RESOURCE. said : of the service · asked : its GROUP inputParams"""
    inside = "".join(p.xml("PARAM") for p in said)
    group = "".join(p.xml("PARAM") for p in asked)
    return (f'<RESOURCE type="meta" utype="adhoc:service" ID={attribute(id)} name={attribute(id)}>'
            f"\n<DESCRIPTION>{text(about)}</DESCRIPTION>\n{inside}"
            f'<GROUP name="inputParams">\n{group}</GROUP>\n</RESOURCE>\n')  # fmt: skip


def band_m(record: Mapping[str, Any]) -> tuple[float, float] | None:
    """(shortest, longest) vacuum wavelength of a spectrum, m; None where it is not known."""
    low, high = record.get("em_min"), record.get("em_max")
    if low is None or high is None:
        return None
    if record.get("medium") == "air":
        low, high = (1e-10 * float(air_to_vac(1e10 * end, outside="keep")) for end in (low, high))
    return low, high


def inputs(identifier: str, record: Mapping[str, Any] | None = None) -> list[Field]:
    """The PARAMs that the service takes; with the limits of one dataset where it is given."""
    band = None if record is None else band_m(record)
    least, most = ("", "") if band is None else (f"{band[0]:.10g}", f"{band[1]:.10g}")
    times = ("", "")
    if record is not None and record.get("t_min") is not None and record.get("t_max") is not None:
        times = (repr(record["t_min"]), repr(record["t_max"]))

    def words(name: str, ucd: str, about: str, *options: str) -> Field:
        return Field(name, "char", "*", ucd=ucd, value="", about=about, options=options)

    return [
        Field("ID", "char", "*", ucd="meta.ref.url;meta.curation", ref=identifier, value="",
              about="Publisher's dataset identifier; many may be given"),
        Field("BAND", "double", "2", "m", "em.wl;stat.interval", xtype="interval", value="",
              least=least, most=most,
              about="Wavelengths to cut out: vacuum, barycentric (at rest with FRAME=rest)"),
        Field("TIME", "double", "2", "d", "time.interval;obs.exposure", xtype="interval",
              value="", least=times[0], most=times[1], about="Only if observed within, MJD (UTC)"),
        Field("CIRCLE", "double", "3", "deg", "pos.outline;obs", xtype="circle", value="",
              about="Only if it lies in this circle, ICRS"),
        Field("POLYGON", "double", "*", "deg", "pos.outline;obs", xtype="polygon", value="",
              about="Only if it lies in this polygon, ICRS"),
        words("POS", "pos.outline;obs", "Only if it lies in this CIRCLE, POLYGON or RANGE, ICRS"),
        words("FLUXCALIB", "phot.calib", "NORMALIZED: over a continuum fitted around; RELATIVE: "
              "divided by its median; ABSOLUTE: as delivered, if it was delivered so",
              *_calibrations(record)),
        words("MEDIUM", "meta.code", "Wavelengths in vacuum or in standard air", "vacuum", "air"),
        words("FRAME", "meta.code", "rest: at rest by the redshift or radial velocity, where one "
              "is known", "delivered", "rest"),
        words("RESAMPLE", "spect.binSize", "Conserving flux, on a grid that all spectra share: "
              "'log 1e-5' (step of log10 wavelength), 'R 50000' (wavelength over bin) or "
              "'linear 1e-12' (m)"),
        words("RESPONSEFORMAT", "meta.code.mime", "Type of the file; image/fits is a trailed image "
              "of many spectra", *FORMATS.values()),
    ]  # fmt: skip


def _calibrations(record: Mapping[str, Any] | None) -> tuple[str, ...]:
    have = None if record is None else record.get("flux_calibration")
    out = [FluxWish.NORMALIZED.value]
    if have in (None, "ABSOLUTE", "RELATIVE"):
        out.append(FluxWish.RELATIVE.value)
    if have in (None, "ABSOLUTE"):
        out.append(FluxWish.ABSOLUTE.value)
    return tuple(out)
