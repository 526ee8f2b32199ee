"""JWST extracted spectra: x1d, x1dints and c1d of every mode, and products made from them."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import Medium, SpecSys, SpectralAxis
from ..domain.errors import DataError
from ..domain.observation import Observation
from ..domain.spectrum import (
    FlagScheme,
    FluxCalibration,
    Normalisation,
    Spectrum,
    UncertaintyKind,
)
from ..domain.units import parse_unit, spectral_kind
from .fits import Hdu, Header
from .header_values import metadata, mjd_of, provenance, sky_deg, valid_sky
from .registry import CERTAIN, Item, NotASpectrum, Reader
from .source import SourceFile

NAME = "jwst-x1d"
_TABLES = frozenset({"EXTRACT1D", "COMBINE1D"})
_MULTI_OBJECT = frozenset({"NRS_MSASPEC", "NIS_WFSS", "NRC_WFSS"})
"""Modes whose TARG_RA, TARG_DEC are the field's and not the source's."""
_BITS = (
    "DO_NOT_USE", "SATURATED", "JUMP_DET", "DROPOUT", "OUTLIER", "PERSISTENCE", "AD_FLOOR",
    "CHARGELOSS", "UNRELIABLE_ERROR", "NON_SCIENCE", "DEAD", "HOT", "WARM", "LOW_QE", "RC",
    "TELEGRAPH", "NONLINEAR", "BAD_REF_PIXEL", "NO_FLAT_FIELD", "NO_GAIN_VALUE", "NO_LIN_CORR",
    "NO_SAT_CHECK", "UNRELIABLE_BIAS", "UNRELIABLE_DARK", "UNRELIABLE_SLOPE", "UNRELIABLE_FLAT",
    "OPEN", "ADJ_OPEN", "FLUX_ESTIMATED", "MSA_FAILED_OPEN", "OTHER_BAD_PIXEL",
    "REFERENCE_PIXEL",
)  # fmt: skip
DQ = FlagScheme("JWST DQ", MappingProxyType(dict(enumerate(_BITS))), bad=1)
"""The pipeline sets DO_NOT_USE on what must not be used; the other bits say why, or warn."""


def recognise(source: SourceFile) -> int:
    """CERTAIN for a JWST file with an EXTRACT1D or COMBINE1D table, also under a lost name."""
    if not source.is_fits or source.fits.primary.get("TELESCOP") != "JWST":
        return 0
    return CERTAIN if _tables(source) else 0


def _tables(source: SourceFile) -> list[Hdu]:
    spectral_model = "SpecModel" in str(source.fits.primary.get("DATAMODL", ""))
    return [
        hdu
        for hdu in source.fits.hdus[1:]
        if hdu.kind == "table"
        and (hdu.name in _TABLES or (spectral_model and "'WAVELENGTH'" in hdu.header.text))
    ]


def read(source: SourceFile) -> Iterator[Item]:
    """One spectrum per table of pixels, or per row where rows are sources or integrations."""
    tables = _tables(source)
    if not tables:
        raise DataError(
            "no EXTRACT1D or COMBINE1D table", code="no_table", where=source.where,
            remedy="fetch the x1d or c1d product",
        )  # fmt: skip
    for hdu in tables:
        try:
            column = hdu.find("WAVELENGTH")
            if column is None or hdu.find("FLUX") is None or hdu.n_rows == 0:
                raise DataError(
                    f"{hdu.name or 'the table'} lacks WAVELENGTH, FLUX or rows",
                    code="no_column", where=source.where, hdu=hdu.index,
                    remedy="fetch the file again",
                )  # fmt: skip
            vector = column.shape != () or column.code in "PQ"
            cells = {c.name.upper(): hdu.column(c.name) for c in hdu.columns.values()}
        except DataError as error:
            yield error
            continue
        rows = range(hdu.n_rows) if vector else (None,)
        several = len(tables) > 1 or len(rows) > 1
        for row in rows:
            try:
                yield _spectrum(source, hdu, row, cells, several)
            except DataError as error:
                error.hdu, error.row = hdu.index, row
                yield error


def _spectrum(
    source: SourceFile, hdu: Hdu, row: int | None, cells: dict[str, NDArray[Any]], several: bool
) -> Item:
    warnings: list[str] = []
    columns, scalars = dict(cells), dict[str, Any]()
    if row is not None:
        columns, scalars = _of_row(cells, row)
        if columns["WAVELENGTH"].size == 0:
            return NotASpectrum("JWST row without data (N_ALONGDISP = 0)", hdu.index, row)
    wave, flux = columns.pop("WAVELENGTH"), columns.pop("FLUX")
    error = _error(columns, warnings)
    flags = _flags(columns, warnings)
    # keywords of the extension describe its own source and win over the exposure's
    head = Header(hdu.header.text + source.fits.primary.text)
    observation = _observation(source, hdu, head, row, scalars, several, warnings)
    if observation.s_ra is None:
        warnings.append("no coordinates")
    unit = hdu.unit("FLUX")
    if unit is not None and parse_unit(unit) is None:
        warnings.append(f"the flux unit {unit!r} is not understood")
        unit = None
    extras = {
        name.lower(): array
        for name, array in columns.items()
        if array.shape == flux.shape and array.dtype.kind in "iuf" and _filled(array)
    }
    version = head.string("CAL_VER")
    return Spectrum(
        axis=_axis(source, hdu, wave, head), flux=flux, uncertainty=error,
        uncertainty_kind=UncertaintyKind.NONE if error is None else UncertaintyKind.STD,
        flags=flags, flag_scheme=None if flags is None else DQ,
        flux_unit=unit or source.options.flux_unit, flux_ucd="phot.flux.density",
        flux_calibration=_calibration(head), normalisation=Normalisation.NONE, extras=extras,
        observation=observation,
        provenance=provenance(
            source, NAME, hdu=hdu.index, row=row, warnings=tuple(warnings),
            pipeline=f"jwst {version}" if version else None,
        ),
    )  # fmt: skip


def _of_row(
    cells: dict[str, NDArray[Any]], row: int
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """(arrays cut to N_ALONGDISP: beyond it a row is only padding, scalars) of one row."""
    scalars = {n: a[row] for n, a in cells.items() if a.ndim == 1 and a.dtype.kind != "O"}
    n = int(scalars.get("N_ALONGDISP", cells["WAVELENGTH"][row].size))
    arrays = {
        name: np.ascontiguousarray(array[row][:n])
        for name, array in cells.items()
        if name not in scalars
    }
    return arrays, scalars


def _filled(array: NDArray[Any]) -> bool:
    """False for the columns that the pipeline leaves at zero where they do not apply."""
    return bool(np.any(array[np.isfinite(array)] != 0))


def _error(columns: dict[str, NDArray[Any]], warnings: list[str]) -> NDArray[Any] | None:
    name = next((n for n in ("FLUX_ERROR", "ERROR") if n in columns), None)
    if name is None:
        warnings.append("no column of flux errors")
        return None
    error = columns.pop(name)
    if not _filled(error):
        warnings.append(f"{name} is zero or NaN throughout: the file gives no errors")
        return None
    return error


def _flags(columns: dict[str, NDArray[Any]], warnings: list[str]) -> NDArray[Any] | None:
    flags = columns.get("DQ")
    if flags is None:
        return None
    if flags.dtype.kind in "iu":
        return columns.pop("DQ")
    warnings.append("DQ is not integer (masked copies lose its type): kept as an extra")
    return None


def _axis(source: SourceFile, hdu: Hdu, wave: NDArray[Any], head: Header) -> SpectralAxis:
    unit = hdu.unit("WAVELENGTH") or source.options.wave_unit
    if unit is None or spectral_kind(unit) is None:
        raise DataError(
            f"WAVELENGTH has the unit {unit!r}", code="bad_wave_unit", where=source.where,
            hdu=hdu.index, remedy="declare it with --wave-unit",
        )  # fmt: skip
    word = (head.string("SPECSYS") or "").upper()
    known = {s.value: s for s in SpecSys if s is not SpecSys.UNKNOWN}
    specsys = known.get(word) or source.options.specsys or SpecSys.UNKNOWN
    return SpectralAxis(unit=unit, values=wave, medium=Medium.VACUUM, specsys=specsys)


def _calibration(head: Header) -> FluxCalibration:
    return {
        "COMPLETE": FluxCalibration.ABSOLUTE, "SKIPPED": FluxCalibration.UNCALIBRATED,
    }.get(str(head.get("S_PHOTOM", "")), FluxCalibration.UNKNOWN)  # fmt: skip


def _sky(
    head: Header, scalars: dict[str, Any], warnings: list[str]
) -> tuple[float | None, float | None]:
    """The source's own position; the target's only where the target is the source."""
    target = sky_deg(head, ("TARG_RA",), ("TARG_DEC",))
    if "SOURCE_RA" in scalars and "SOURCE_DEC" in scalars:
        own = valid_sky(float(scalars["SOURCE_RA"]), float(scalars["SOURCE_DEC"]))
    else:
        own = sky_deg(head, ("SRCRA",), ("SRCDEC",))
    if own[1] is not None and target[1] is not None and abs(own[1] - target[1]) > 1.0:
        # real: declinations of sources with the wrong sign; the field of view is arcminutes
        warnings.append(f"source position {own} is degrees from the target {target}: not used")
        own = None, None
    if own[0] is None and head.get("EXP_TYPE") not in _MULTI_OBJECT:
        return target
    return own


def _target(head: Header) -> str | None:
    own = head.string("HLSPTARG", "SRCNAME")
    if own is not None or head.get("EXP_TYPE") in _MULTI_OBJECT:
        return own
    return head.string("TARGNAME", "TARGPROP")


def _identity(head: Header, hdu: Hdu, row: int | None, several: bool) -> str | None:
    name = head.string("FILENAME")
    if name is None:
        return None
    suffix = f"#{hdu.index}" + ("" if row is None else f".{row}")
    return name.removesuffix(".fits") + (suffix if several else "")


def _observation(
    source: SourceFile, hdu: Hdu, head: Header, row: int | None, scalars: dict[str, Any],
    several: bool, warnings: list[str],
) -> Observation:  # fmt: skip
    ra, dec = _sky(head, scalars, warnings)
    per_row = {k: _finite(scalars.get(k)) for k in ("MJD-BEG", "MJD-END", "TDB-MID")}
    integration = "INT_NUM" in scalars
    hlsp = head.string("HLSPID")
    return Observation(
        obs_collection=source.options.collection
        or f"JWST-{hlsp or head.string('INSTRUME') or 'x1d'}",
        obs_id=_identity(head, hdu, row, several), target_name=_target(head), s_ra=ra, s_dec=dec,
        t_min=per_row["MJD-BEG"] or mjd_of(head, "EXPSTART", "MJD-BEG", "DATE-BEG"),
        t_max=per_row["MJD-END"] or mjd_of(head, "EXPEND", "MJD-END", "DATE-END"),
        # TEXPTIME is the product's; XPOSURE counts both detectors of a combined exposure
        t_exptime=head.number("EFFINTTM") if integration
        else head.number("TEXPTIME", "XPOSURE", "EFFEXPTM"),
        facility_name="JWST", instrument_name=head.string("INSTRUME"),
        calib_level=3 if hlsp or hdu.name == "COMBINE1D" else 2,
        bib_reference=head.string("DOI"),
        metadata=metadata(
            exp_type=head.get("EXP_TYPE"), filter=head.get("FILTER"),
            grating=head.get("GRATING"), channel=head.get("CHANNEL"), band=head.get("BAND"),
            program=head.get("PROGRAM"), jwst_obs_id=head.get("OBS_ID"),
            visit_id=head.get("VISIT_ID"), slit=head.get("SLTNAME"),
            source_id=scalars.get("SOURCE_ID", head.get("SOURCEID")),
            source_type=scalars.get("SOURCE_TYPE", head.get("SRCTYPE")),
            spectral_order=head.get("SPORDER"), integration=scalars.get("INT_NUM"),
            tdb_mid_mjd=per_row["TDB-MID"], velosys_m_s=head.number("VELOSYS"),
            crds_context=head.get("CRDS_CTX"),
            field_ra=head.number("TARG_RA") if ra is None else None,
            field_dec=head.number("TARG_DEC") if ra is None else None,
        ),
    )  # fmt: skip


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and np.isfinite(value) and value > 0 else None


READERS = (
    Reader(
        name=NAME,
        title="JWST x1d, x1dints and c1d (NIRSpec, NIRISS, NIRCam, MIRI) and their HLSPs",
        recognise=recognise,
        read=read,
        medium="vacuum",
        frame="SPECSYS where the file says, else unknown",
        uncertainty="std (FLUX_ERROR or ERROR)",
        mask="DQ: DO_NOT_USE is bad, 31 further bits kept",
        why_own="specutils drops DQ, medium and frame and knows no rows of sources",
        source="JWST pipeline documentation, science data products (x1d, x1dints, c1d) and data "
        "quality flags; wavelengths in vacuum (JWST user documentation)",
    ),
)
