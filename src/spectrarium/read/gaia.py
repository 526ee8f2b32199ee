"""Gaia DR3 spectra: RVS, XP sampled, XP continuous (through GaiaXPy), in every archive format.

The archive serves a spectrum as one row with array cells (RAW), as one row per sample
(INDIVIDUAL), or as many such tables in one document (COMBINED).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import LinearWCS, Medium, SpecSys, SpectralAxis
from ..domain.errors import DataError
from ..domain.observation import Observation
from ..domain.spectrum import (
    FluxCalibration,
    Normalisation,
    Spectrum,
    UncertaintyKind,
)
from ..domain.units import parse_unit
from . import gaia_xp
from .gaia_tables import GaiaTable, column_names, tables
from .header_values import metadata, provenance, valid_sky
from .registry import CERTAIN, LIKELY, Item, Reader
from .source import SourceFile

_FLUX_UNIT = "W m-2 nm-1"
_ARCHIVE = {"source_id", "solution_id", "ra", "dec", "flux", "flux_error", "correlation",
            "combined_transits", "combined_ccds", "deblended_ccds"}  # fmt: skip
_LIGHT_CURVE = {"time", "mag", "band", "transit_id"}
"""Columns of the archive's epoch photometry, which also has source_id, flux and flux_error."""
_SAMPLES = ("wavelength", "flux", "flux_error")
_KEEP = ("combined_transits", "combined_ccds", "deblended_ccds", "rv_method_used",
         "bp_n_measurements", "rp_n_measurements", "bp_n_relevant_bases", "rp_n_relevant_bases",
         "phot_g_mean_mag")  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Product:
    """What the archive's data model says of one kind of spectrum."""

    collection: str
    grid: LinearWCS
    flux_unit: str
    instrument: str
    specsys: SpecSys
    calibration: FluxCalibration
    normalisation: Normalisation
    resolving_power: float | None


RVS = _Product(
    "Gaia-RVS", LinearWCS(846.0, 0.01, 1.0, 2401), "", "RVS", SpecSys.SOURCE,
    # three recipes were used and the file does not say which (GDR3 documentation §14.2.7)
    FluxCalibration.NORMALIZED, Normalisation.UNKNOWN, 11_500.0,
)  # fmt: skip
XP_SAMPLED = _Product(
    "Gaia-XP-sampled", LinearWCS(336.0, 2.0, 1.0, 343), _FLUX_UNIT, "BP/RP", SpecSys.UNKNOWN,
    FluxCalibration.ABSOLUTE, Normalisation.NONE, None,
)  # fmt: skip
XP_CONTINUOUS = _Product(
    "Gaia-XP-continuous", XP_SAMPLED.grid, _FLUX_UNIT, "BP/RP", SpecSys.UNKNOWN,
    FluxCalibration.ABSOLUTE, Normalisation.NONE, None,
)  # fmt: skip


def _is_continuous(columns: set[str]) -> bool:
    return "source_id" in columns and bool({"bp_coefficients", "rp_coefficients"} & columns)


def _recognise_continuous(source: SourceFile) -> int:
    return CERTAIN if _is_continuous(column_names(source)[0]) else 0


def _recognise_sampled(source: SourceFile) -> int:
    columns, params = column_names(source)
    if not {"flux", "flux_error"} <= columns or _is_continuous(columns) or columns & _LIGHT_CURVE:
        return 0
    known = columns | params
    if "wavelength" in columns:
        if "source_id" in known:
            return CERTAIN if "solution_id" in known else LIKELY
        exact = columns == set(_SAMPLES) and not source.is_fits
        return LIKELY if exact and _on_a_gaia_grid(source.head) else 0
    if "source_id" not in columns:
        return 0
    return CERTAIN if columns <= _ARCHIVE else LIKELY


def _on_a_gaia_grid(head: bytes) -> bool:
    """True if the first samples of a nameless CSV are those of RVS or of sampled XP."""
    lines = [x for x in head[:4096].splitlines() if x.strip() and not x.startswith(b"#")]
    try:
        column = [x.strip().lower() for x in lines[0].split(b",")].index(b"wavelength")
        start = [float(line.split(b",")[column]) for line in lines[1:4]]
    except (IndexError, ValueError):
        return False
    return any(
        len(start) == 3 and np.allclose(start, product.grid.values(0, 3), rtol=0, atol=1e-4)
        for product in (RVS, XP_SAMPLED)
    )


def read_continuous(source: SourceFile) -> Iterator[Item]:
    """Spectra calibrated from coefficients on the archive's grid of 343 samples."""
    version = gaia_xp.require(source.where)
    for table in tables(source):
        if not _is_continuous(set(table.columns)):
            continue
        for result in gaia_xp.calibrate(table, source.where):
            if isinstance(result, DataError):
                yield result
                continue
            row, wave, flux, error = result
            yield _spectrum(
                source, "gaia-xp-continuous", XP_CONTINUOUS, table, row,
                SpectralAxis(unit="nm", values=wave, medium=Medium.VACUUM,
                             specsys=_specsys(source, XP_CONTINUOUS)),
                flux, error, pipeline=f"GaiaXPy {version}",
                warnings=("errors of neighbouring samples are correlated",),
            )  # fmt: skip


def read_sampled(source: SourceFile) -> Iterator[Item]:
    """RVS and sampled XP spectra."""
    for table in tables(source):
        if not {"flux", "flux_error"} <= set(table.columns):
            continue
        if "wavelength" in table.columns and not _has_arrays(table):
            yield from _by_sample(source, table)
        else:
            yield from _by_row(source, table)


def _has_arrays(table: GaiaTable) -> bool:
    return any(np.ndim(value) > 0 for value in table.columns["flux"][:10])


def _by_sample(source: SourceFile, table: GaiaTable) -> Iterator[Item]:
    """One row per sample; a change of source_id starts the next spectrum."""
    ids = table.columns.get("source_id")
    cuts = [0, table.n_rows]
    if ids is not None:
        cuts[1:1] = [i for i in range(1, len(ids)) if ids[i] != ids[i - 1]]
    for start, stop in pairwise(cuts):
        block = slice(start, stop)
        try:
            wave, flux, error = (
                _numbers(table.columns[name][block])
                for name in ("wavelength", "flux", "flux_error")
            )
            yield _sampled(source, table, start, wave, flux, error)
        except DataError as bad:
            yield _placed(bad, source, table, start)


def _by_row(source: SourceFile, table: GaiaTable) -> Iterator[Item]:
    """One row per source, the arrays on the documented grid unless the row has wavelengths."""
    for row in range(table.n_rows):
        try:
            flux, error = (_numbers(table.columns[n][row]) for n in ("flux", "flux_error"))
            given = table.columns.get("wavelength")
            wave = None if given is None else _numbers(given[row])
            yield _sampled(source, table, row, wave, flux, error)
        except DataError as bad:
            yield _placed(bad, source, table, row)


def _placed(error: DataError, source: SourceFile, table: GaiaTable, row: int) -> DataError:
    error.where, error.hdu, error.row = source.where, table.hdu, row
    return error


def _numbers(cells: Any) -> NDArray[Any]:
    """(n,) floats as delivered; missing samples are NaN."""
    if isinstance(cells, list):
        cells = [np.nan if c is None or np.ma.is_masked(c) else c for c in cells]
    try:
        array = np.ma.asarray(cells)
        array = np.ma.asarray(array if array.dtype.kind == "f" else array.astype(np.float64))
    except (TypeError, ValueError) as error:
        raise DataError(f"not numbers: {error}", code="not_a_number") from error
    plain: NDArray[Any] = np.atleast_1d(array.filled(np.nan))
    return plain.astype(plain.dtype.newbyteorder("="), copy=False)


def _sampled(
    source: SourceFile, table: GaiaTable, row: int, wave: NDArray[Any] | None,
    flux: NDArray[Any], error: NDArray[Any],
) -> Spectrum:  # fmt: skip
    product = _product(wave, flux.size)
    if wave is None:
        axis = SpectralAxis(unit="nm", wcs=product.grid, medium=Medium.VACUUM,
                            specsys=_specsys(source, product))  # fmt: skip
    else:
        unit = table.units.get("wavelength") or "nm"
        axis = SpectralAxis(unit=unit, values=wave, medium=Medium.VACUUM,
                            specsys=_specsys(source, product))  # fmt: skip
    return _spectrum(source, "gaia", product, table, row, axis, flux, error)


def _product(wave: NDArray[Any] | None, n: int) -> _Product:
    """Told by the wavelengths, or without them by the number of samples."""
    if wave is not None and wave.size:
        low, high = float(np.nanmin(wave)), float(np.nanmax(wave))
        if low >= 840.0 and high <= 880.0:
            return RVS
        if low >= 330.0 and high <= 1100.0:
            return XP_SAMPLED
        raise DataError(
            f"wavelengths from {low:g} to {high:g} nm are neither RVS nor XP",
            code="unknown_sampling", remedy="give the table to another reader with --reader",
        )  # fmt: skip
    for product in (XP_SAMPLED, RVS):
        if n == product.grid.n:
            return product
    raise DataError(
        f"{n} samples without wavelengths: neither XP (343) nor RVS (2401)",
        code="unknown_sampling", remedy="write the wavelengths into the table",
    )  # fmt: skip


def _specsys(source: SourceFile, product: _Product) -> SpecSys:
    if product.specsys is SpecSys.UNKNOWN and source.options.specsys is not None:
        return source.options.specsys
    return product.specsys


def _spectrum(
    source: SourceFile, reader: str, product: _Product, table: GaiaTable, row: int,
    axis: SpectralAxis, flux: NDArray[Any], error: NDArray[Any], *,
    pipeline: str | None = None, warnings: tuple[str, ...] = (),
) -> Spectrum:  # fmt: skip
    source_id = table.cell("source_id", row)
    identifier = None if source_id is None else str(source_id)
    ra, dec = valid_sky(table.number("ra", row), table.number("dec", row))
    solution = table.cell("solution_id", row)
    observation = Observation(
        obs_collection=source.options.collection or product.collection,
        obs_id=identifier,
        target_name=None if identifier is None else f"Gaia DR3 {identifier}",
        s_ra=ra, s_dec=dec,
        em_res_power=product.resolving_power,
        facility_name="Gaia", instrument_name=product.instrument, calib_level=3,
        metadata=MappingProxyType(metadata(
            source_id=identifier, solution_id=None if solution is None else str(solution),
            **{name: table.cell(name, row) for name in _KEEP},
        )),
    )  # fmt: skip
    unit = table.units.get("flux") if product.flux_unit else None
    return Spectrum(
        axis=axis, flux=flux, uncertainty=error, uncertainty_kind=UncertaintyKind.STD,
        flux_unit=_tidy(unit) or product.flux_unit,
        flux_calibration=product.calibration, normalisation=product.normalisation,
        observation=observation,
        provenance=provenance(
            source, reader, hdu=table.hdu, row=row, pipeline=pipeline,
            warnings=warnings if ra is not None else ("no coordinates", *warnings),
        ),
    )  # fmt: skip


def _tidy(unit: str | None) -> str | None:
    """The one spelling of W m⁻² nm⁻¹ for all of its spellings; anything else as it is."""
    parsed = parse_unit(unit)
    return _FLUX_UNIT if parsed is not None and parsed == parse_unit(_FLUX_UNIT) else unit


_MODEL = "gea.esac.esa.int Gaia DR3 documentation §20.12"
READERS = (
    Reader(
        name="gaia", title="Gaia RVS and sampled XP (CSV, ECSV, VOTable, FITS)",
        recognise=_recognise_sampled, read=read_sampled, medium="vacuum",
        frame="RVS rest frame; XP not stated", uncertainty="std", mask="none in the file",
        why_own="specutils has no Gaia loader; as a table it would lose the grid, which is not in "
        "the RAW form, the frame and the identity",
        source=f"{_MODEL}.1 and .4; Seabroke et al. 2025; De Angeli et al. 2023, A&A 674, A2",
    ),
    Reader(
        name="gaia-xp-continuous", title="Gaia XP coefficients (CSV, ECSV, VOTable, FITS)",
        recognise=_recognise_continuous, read=read_continuous, medium="vacuum",
        frame="not stated", uncertainty="std (correlated)", mask="none in the file",
        why_own="GaiaXPy calibrates; the table is parsed here so that zips and all four formats "
        "work and a missing band or column does not stop the file",
        source=f"{_MODEL}.2; Montegriffo et al. 2023, A&A 674, A3",
    ),
)  # fmt: skip
