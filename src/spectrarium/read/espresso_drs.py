"""S1D and S2D of the ESPRESSO-like DRS (ESPRESSO, NIRPS, newer HARPS, HARPS-N and CORALIE)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import Medium, SpecSys, SpectralAxis
from ..domain.errors import DataError
from ..domain.observation import Observation
from ..domain.spectrum import (
    EchelleSpectrum,
    FlagScheme,
    FluxCalibration,
    Spectrum,
    UncertaintyKind,
)
from ..domain.units import parse_unit
from .fits import FitsFile, Hdu, Header
from .header_values import metadata, mjd_of, provenance, sky_deg
from .registry import CERTAIN, Item, NotASpectrum, Reader
from .source import SourceFile

_PREFIXES = ("ESO", "TNG", "OHP")
_QUALITY = FlagScheme("QUALDATA")
_WAVES = (
    ("WAVEDATA_VAC_BARY", Medium.VACUUM, SpecSys.BARYCENT),
    ("WAVEDATA_AIR_BARY", Medium.AIR, SpecSys.BARYCENT),
    ("WAVEDATA_VAC", Medium.VACUUM, SpecSys.UNKNOWN),
    ("WAVEDATA_AIR", Medium.AIR, SpecSys.UNKNOWN),
)
_FLUXES = (("flux", "error", "quality"), ("flux_cal", "error_cal", "quality_cal"),
           ("flux_el", "error_el", "quality_el"))  # fmt: skip


def recognise(source: SourceFile) -> int:
    """CERTAIN for SCIDATA + WAVEDATA images, or a table of wavelength, wavelength_air, flux."""
    if not source.is_fits or len(source.fits) < 2:
        return 0
    fits = source.fits
    if fits[0].axes:
        return 0
    is_s2d = fits.named("SCIDATA") is not None and _wave_hdu(fits) is not None
    is_ccf = str(_catg(fits.primary)).startswith("CCF") and fits.named("SCIDATA") is not None
    return CERTAIN if is_s2d or is_ccf or _s1d_hdu(fits) is not None else 0


def _s1d_hdu(fits: FitsFile) -> Hdu | None:
    for hdu in fits.hdus[1:3]:
        if hdu.kind != "table" or not hdu.has("wavelength", "wavelength_air"):
            continue
        if any(hdu.has(flux, error) for flux, error, _ in _FLUXES):
            return hdu
    return None


def _wave_hdu(fits: FitsFile) -> tuple[Hdu, Medium, SpecSys] | None:
    for name, medium, frame in _WAVES:
        hdu = fits.named(name)
        if hdu is not None:
            return hdu, medium, frame
    return None


def _catg(header: Header) -> str | None:
    return header.string(*(f"{p} PRO CATG" for p in _PREFIXES))


def read(source: SourceFile) -> Iterator[Item]:
    """The S1D spectrum, or the S2D orders (one spectrum per slice), or NotASpectrum for a CCF."""
    fits = source.fits
    catg = _catg(fits.primary) or ""
    table = _s1d_hdu(fits)
    if table is not None:
        yield _s1d(source, table)
    elif catg.startswith("CCF") or _wave_hdu(fits) is None:
        yield NotASpectrum(f"{fits.primary.string('INSTRUME') or ''} CCF".strip(), hdu=1)
    else:
        yield from _s2d(source)


def _s1d(source: SourceFile, hdu: Hdu) -> Spectrum:
    flux_name, error_name, quality_name = next(
        names for names in _FLUXES if hdu.has(names[0], names[1])
    )

    def column(name: str) -> NDArray[Any]:
        values = hdu.column(name)
        return values[0] if values.ndim == 2 and values.shape[0] == 1 else values

    extras = {"wave_air": column("wavelength_air")}
    extras |= {name: column(name) for name in ("flux_el", "error_el")
               if name != flux_name and name != error_name and hdu.has(name)}  # fmt: skip
    has_quality = hdu.has(quality_name)
    unit = hdu.unit(flux_name)
    return Spectrum(
        axis=SpectralAxis(
            unit=_known(hdu.unit("wavelength")) or "Angstrom", values=column("wavelength"),
            medium=Medium.VACUUM, specsys=SpecSys.BARYCENT,
        ),
        flux=column(flux_name), flux_unit=_known(unit) or source.options.flux_unit,
        uncertainty=column(error_name), uncertainty_kind=UncertaintyKind.STD,
        flags=column(quality_name) if has_quality else None,
        flag_scheme=_QUALITY if has_quality else None,
        flux_calibration=_calibration(source.fits.primary, flux_name), extras=extras,
        observation=_observation(source, "S1D", None),
        provenance=_provenance(source, hdu.index),
    )  # fmt: skip


def _s2d(source: SourceFile) -> Iterator[Item]:
    fits = source.fits
    found = _wave_hdu(fits)
    science = fits.named("SCIDATA")
    assert found is not None
    assert science is not None
    wave, flux = found[0].image(), science.image()
    if flux.ndim != 2 or wave.shape != flux.shape:
        raise DataError(
            f"SCIDATA has shape {flux.shape} but the wavelengths {wave.shape}",
            code="mismatched_lengths", where=source.where, hdu=science.index,
            remedy="the file is inconsistent: fetch it again",
        )  # fmt: skip
    arrays = {"error": fits.named("ERRDATA"), "quality": fits.named("QUALDATA"),
              "pixel_size": fits.named("DLLDATA_VAC_BARY")}  # fmt: skip
    images = {k: hdu.image() for k, hdu in arrays.items() if hdu is not None}
    n_slices = slices(wave)
    for i in range(n_slices):
        take = slice(i, None, n_slices)
        trace = f"{_fibre(fits.primary)}{i + 1}" if n_slices > 1 else _fibre(fits.primary)
        part = {k: image[take] for k, image in images.items()}
        yield EchelleSpectrum(
            axis=SpectralAxis(unit=_known(found[0].header.string("BUNIT")) or "Angstrom",
                              values=wave[take], medium=found[1], specsys=found[2]),
            flux=flux[take], flux_unit=_known(science.header.string("BUNIT")),
            uncertainty=part.get("error"),
            uncertainty_kind=UncertaintyKind.STD if "error" in part else UncertaintyKind.NONE,
            flags=part.get("quality"), flag_scheme=_QUALITY if "quality" in part else None,
            flux_calibration=FluxCalibration.UNCALIBRATED,
            extras={k: v for k, v in part.items() if k == "pixel_size"},
            order_numbers=tuple(range(flux[take].shape[0])), trace=trace,
            observation=_observation(source, "S2D", trace),
            provenance=_provenance(source, science.index),
        )  # fmt: skip


def slices(wave: NDArray[Any]) -> int:
    """2 if neighbouring rows are slices of one order (same wavelengths), else 1."""
    if wave.shape[0] < 4 or wave.shape[0] % 2:
        return 1
    with np.errstate(invalid="ignore"):
        length = np.abs(wave[0::2, -1] - wave[0::2, 0])
        shift = np.abs(wave[1::2, 0] - wave[0::2, 0])
        return 2 if float(np.median(shift / np.where(length > 0, length, 1.0))) < 0.05 else 1


def _known(text: str | None) -> str | None:
    unit = parse_unit(text)
    return None if unit is None else unit.to_string()


def _calibration(header: Header, flux: str) -> FluxCalibration:
    word = (header.string("FLUXCAL") or "").upper()
    if word in FluxCalibration.__members__ and word != "UNKNOWN":
        return FluxCalibration[word]
    return FluxCalibration.UNKNOWN if flux == "flux_cal" else FluxCalibration.UNCALIBRATED


def _fibre(header: Header) -> str:
    catg = (_catg(header) or "").rsplit("_", 1)[-1]
    return catg if catg in ("A", "B") else "A"


def _provenance(source: SourceFile, hdu: int) -> Any:
    header = source.fits.primary
    return provenance(
        source, "espresso-drs", hdu=hdu,
        pipeline=header.string(*(f"{p} PRO REC1 PIPE ID" for p in _PREFIXES)),
    )  # fmt: skip


def _observation(source: SourceFile, kind: str, trace: str | None) -> Observation:
    header = source.fits.primary
    ra, dec = sky_deg(header, ("RA",), ("DEC",))
    start, exposure = mjd_of(header, "MJD-OBS", "DATE-OBS"), header.number("EXPTIME")
    instrument = header.string("INSTRUME") or "ESPRESSO"
    stem = header.string("ARCFILE")
    date = header.string("DATE-OBS")
    stem = stem.removesuffix(".fits") if stem else (f"{instrument}.{date}" if date else None)

    def qc(name: str) -> float | None:
        return header.number(*(f"{p} QC {name}" for p in _PREFIXES))

    return Observation(
        obs_collection=source.options.collection or instrument,
        obs_id=None if stem is None else f"{stem}_{_catg(header) or kind}" + (
            f"_{trace}" if trace else ""),
        target_name=header.string("OBJECT", *(f"{p} OBS TARG NAME" for p in _PREFIXES)),
        s_ra=ra, s_dec=dec, t_min=start, t_exptime=exposure,
        t_max=None if start is None else start + (exposure or 0.0) / 86400.0,
        facility_name=header.string("TELESCOP"), instrument_name=instrument,
        rv_kms=qc("CCF RV"), berv_kms=qc("BERV"), bjd_tdb=qc("BJD"),
        airmass=header.number("AIRMASS", *(f"{p} TEL AIRM START" for p in _PREFIXES)),
        metadata=metadata(product=_catg(header),
                          programme=header.string(*(f"{p} OBS PROG ID" for p in _PREFIXES))),
    )  # fmt: skip


READERS = (
    Reader(
        name="espresso-drs",
        title="ESPRESSO, NIRPS and newer HARPS-family DRS: S1D tables and S2D images",
        recognise=recognise,
        read=read,
        medium="vacuum (air wavelengths kept as wave_air)",
        frame="barycentric",
        uncertainty="std",
        mask="QUALDATA: any non-zero value is bad",
        why_own="specutils has no loader for either",
        source="ESPRESSO pipeline user manual (ESO VLT-MAN-ESO-19500-4355), products S1D and S2D; "
        "order rows are numbered from 0, slices of one order are separate traces",
    ),
)
