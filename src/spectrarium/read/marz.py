"""Marz input files: one image of spectra with VARIANCE, WAVELENGTH and FIBRES beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import LinearWCS, Medium, Scale, SpecSys, SpectralAxis
from ..domain.errors import DataError
from ..domain.observation import Observation
from ..domain.spectrum import Spectrum, UncertaintyKind
from ..domain.units import unit_text
from .fits import Hdu, Header
from .header_values import metadata, mjd_of, provenance, valid_sky
from .negative_errors import without_negative_errors
from .registry import CERTAIN, Item, NotASpectrum, Reader
from .source import SourceFile
from .spectral_words import no_wave_unit, wave_unit_text
from .table_rows import frame_said_or_declared, said_or_declared

_FLUX_NAMES = ("INTENSITY", "FLUX")
_SKY_TYPES = "SU"


def recognise(source: SourceFile) -> int:
    """CERTAIN for an image with a VARIANCE of its shape and a FIBRES table of its rows."""
    if not source.is_fits:
        return 0
    flux, fibres = _flux(source), source.fits.named("FIBRES", "FIBERS")
    variance = source.fits.named("VARIANCE")
    if flux is None or fibres is None or variance is None or len(flux.shape) != 2:
        return 0
    names = {name.upper() for name in fibres.columns} if fibres.kind == "table" else set()
    fits = variance.shape == flux.shape and fibres.n_rows == flux.shape[0]
    return CERTAIN if fits and {"NAME", "RA", "DEC", "TYPE"} <= names else 0


def read(source: SourceFile) -> Iterator[Item]:
    """One spectrum per fibre; sky and unused fibres are no spectra of a target."""
    flux_hdu, fibres = _flux(source), source.fits.named("FIBRES", "FIBERS")
    variance_hdu = source.fits.named("VARIANCE")
    if flux_hdu is None or fibres is None or variance_hdu is None:
        raise DataError("no flux, VARIANCE and FIBRES", code="no_column", where=source.where)
    header = flux_hdu.header
    unit, scale = _unit(source, header)
    waves = source.fits.named("WAVELENGTH", "LAMBDA")
    columns = {name.upper(): fibres.column(name) for name in fibres.columns}
    flux, variance = flux_hdu.image(), variance_hdu.image()
    wave = None if waves is None else waves.image()
    for row in range(flux.shape[0]):
        fibre = str(columns["TYPE"][row]).strip().upper()
        if fibre and fibre in _SKY_TYPES:
            yield NotASpectrum(f"fibre of type {fibre} (sky or unused)", flux_hdu.index, row)
            continue
        try:
            axis = _axis(source, header, wave, row, flux.shape[1], unit, scale)
            observation = _observation(source, header, columns, row)
            notes = () if observation.s_ra is not None else ("no coordinates",)
            # 2dfdr's sky subtraction leaves single pixels with a negative variance
            error, kind, flags, scheme, note = without_negative_errors(
                variance[row], UncertaintyKind.VAR, None, None, (UncertaintyKind.VAR,)
            )
            yield Spectrum(
                axis=axis, flux=flux[row], observation=observation,
                provenance=provenance(source, "marz", hdu=flux_hdu.index, row=row,
                                      pipeline=header.string("ORIGIN"),
                                      warnings=(*notes, note) if note else notes),
                flags=flags, flag_scheme=scheme,
                uncertainty=error, uncertainty_kind=kind,
                flux_unit=_flux_unit(source, header),
            )  # fmt: skip
        except DataError as error:
            error.hdu, error.row = flux_hdu.index, row
            yield error


def _flux_unit(source: SourceFile, header: Header) -> str | None:
    said = unit_text(header.string("BUNIT"))
    return source.options.flux_unit if said is None else said


def _flux(source: SourceFile) -> Hdu | None:
    first = source.fits[0]
    return first if len(first.shape) == 2 else source.fits.named(*_FLUX_NAMES)


def _unit(source: SourceFile, header: Header) -> tuple[str, Scale]:
    text = header.string("CUNIT1")
    unit, scale = wave_unit_text(text)
    unit = unit or source.options.wave_unit
    if unit is None:
        raise no_wave_unit("CUNIT1", text, source.where, 0)
    if header.get("LOGSCALE") is True:
        scale = Scale.LOG10
    return unit, scale


def _axis(
    source: SourceFile, header: Header, wave: NDArray[Any] | None, row: int, n: int, unit: str,
    scale: Scale,
) -> SpectralAxis:  # fmt: skip
    """WAVELENGTH where there is one (in full or one row for all), else the header's WCS."""
    values = wcs = None
    if wave is not None:
        values = np.ascontiguousarray(wave if wave.ndim == 1 else wave[row])
    else:
        start, step = header.number("CRVAL1"), header.number("CDELT1", "CD1_1")
        if start is None or step is None:
            raise DataError("neither a WAVELENGTH extension nor CRVAL1 and CDELT1",
                            code="no_wave", where=source.where)  # fmt: skip
        wcs = LinearWCS(start, step, header.number("CRPIX1") or 0.0, n)
    vacuum = header.get("VACUUM")
    medium = Medium.UNKNOWN
    if isinstance(vacuum, bool):
        medium = Medium.VACUUM if vacuum else Medium.AIR
    # DO_HELIO asks Marz to apply the correction: what is delivered does not have it yet
    specsys = SpecSys.TOPOCENT if header.get("DO_HELIO") is True else SpecSys.UNKNOWN
    return SpectralAxis(
        unit, values=values, wcs=wcs, scale=scale,
        medium=said_or_declared(medium, source.options),
        specsys=frame_said_or_declared(specsys, source.options),
    )  # fmt: skip


def _observation(
    source: SourceFile, header: Header, columns: dict[str, NDArray[Any]], row: int
) -> Observation:
    # 2dF's FIBRES table has radians: its header (CENRA …) says so, the columns have no unit
    ra = math.degrees(float(columns["RA"][row]))
    dec = math.degrees(float(columns["DEC"][row]))
    s_ra, s_dec = valid_sky(ra, dec)
    name = str(columns["NAME"][row]).strip() or None
    field, run = header.string("OBJECT"), header.get("RUN")
    start = mjd_of(header, "UTMJD", "MJD-OBS", "DATE-OBS")
    exptime = header.number("TOTALEXP", "EXPTIME")
    parts = [p for p in (field, None if start is None else f"{start:.5f}", run, name) if p]
    return Observation(
        obs_collection=source.options.collection or header.string("INSTRUME") or "Marz",
        obs_id="-".join(str(p) for p in parts) if name and start is not None else None,
        target_name=name, s_ra=s_ra, s_dec=s_dec, t_min=start,
        t_max=None if start is None or exptime is None else start + exptime / 86_400.0,
        t_exptime=exptime, facility_name=header.string("TELESCOP"),
        instrument_name=header.string("INSTRUME"),
        metadata=metadata(
            field=field, fibre=columns["PIVOT"][row] if "PIVOT" in columns else None,
            magnitude=columns["MAGNITUDE"][row] if "MAGNITUDE" in columns else None,
        ),
    )  # fmt: skip


READERS: tuple[Reader, ...] = (
    Reader(
        name="marz",
        title="Marz / 2dfdr multi-object files (AAOmega, OzDES)",
        recognise=recognise,
        read=read,
        medium="VACUUM keyword (T vacuum, F air), else unknown",
        frame="TOPOCENT where DO_HELIO asks for the correction, else unknown",
        uncertainty="variance",
        mask="negative variances; NaN outside the common grid",
        why_own="specutils' OzDES loader takes a fixed unit and drops medium, fibres and log axis",
        source="Hinton et al. 2016, Astronomy and Computing 15, 61; Samreay/Marz issue 156",
    ),
)
