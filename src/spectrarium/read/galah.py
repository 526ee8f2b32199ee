"""GALAH (AAT/HERMES): one FITS file per star and CCD, linear WCS, air, counts.

Two layouts are published: that of DR2 and DR3 (4 or 5 unnamed or old-named HDUs) and that of the
reduction 6.0 used for DR4 (8 named HDUs). Errors are relative to the flux in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import LinearWCS, Medium, Scale, SpecSys, SpectralAxis
from ..domain.errors import DataError
from ..domain.observation import Observation, Provenance
from ..domain.spectrum import (
    FluxCalibration,
    Normalisation,
    Spectrum,
    UncertaintyKind,
)
from .fits import FitsFile, Hdu, Header
from .header_values import metadata, mjd_of, provenance, sky_deg
from .registry import CERTAIN, Item, NotASpectrum, Reader
from .source import SourceFile

_ARMS = {"BL": 1, "GN": 2, "RD": 3, "IR": 4, "RR": 4}
_NORMALISED = ("NORMALIZED", "NORMALISED", "NORMALISED_SPECTRUM", "NORMALIZED_SPECTRUM")
_RELATIVE = ("RELATIVE_ERROR", "INPUT_SIGMA")
_NO_SKY = ("NO_SKY_SUBSPECTRUM", "NO_SKY_SPECTRUM")
_EXTRAS = {
    "sky": ("SKY",), "telluric": ("TELURIC", "TELLURIC"), "scattered_light": ("SCATTERED",),
    "cross_talk": ("CROSS_TALK",), "fwhm_aa": ("RESOLUTION_PROFILE",), "no_sky": _NO_SKY,
}  # fmt: skip
_NAME = re.compile(r"(\d{15})([1-4])(?:\.\w+)*")
_FLUX_TABLE = ("flux", "wave", "wavelength", "spectrum")


def _is_hermes(fits: FitsFile) -> bool:
    header = fits.primary
    return (
        len(fits) >= 4
        and len(fits[0].shape) == 1
        and "HERMES" in str(header.get("INSTRUME", "")).upper()
        and header.get("CRVAL1") is not None
    )


def _is_catalogue(hdu: Hdu) -> bool:
    return hdu.kind == "table" and hdu.has("sobject_id") and hdu.find(*_FLUX_TABLE) is None


def recognise(source: SourceFile) -> int:
    """Certain for a 1-D HERMES image with its companions, and for GALAH's tables."""
    if not source.is_fits or len(source.fits) < 2:
        return 0
    return CERTAIN if _is_hermes(source.fits) or _is_catalogue(source.fits[1]) else 0


def read(source: SourceFile) -> Iterator[Item]:
    """The spectrum in counts; the normalised one is an extra, or its own if its grid differs."""
    fits = source.fits
    if not _is_hermes(fits):
        yield NotASpectrum("GALAH catalogue", hdu=1)
        return
    flux = fits[0].image()
    axis = _axis(source, fits[0])
    relative = _array(fits, _find(fits, _RELATIVE, 1), flux.shape)
    extras = {
        name: array
        for name, names in _EXTRAS.items()
        if (array := _array(fits, _find(fits, names, 2 if name == "no_sky" else None), flux.shape))
        is not None
    }
    if relative is not None:
        extras["relative_error"] = relative
    normalised = _find(fits, _NORMALISED, 4)
    same_grid = normalised is not None and _same_grid(normalised, fits[0])
    if normalised is not None and same_grid:
        extras["normalised"] = normalised.image()
    observation = _observation(source)
    with np.errstate(over="ignore", invalid="ignore"):
        # the pipeline stores σ/flux: the product is σ again, also where the flux is negative
        error = None if relative is None else relative * flux
    yield Spectrum(
        axis=axis,
        flux=flux,
        uncertainty=error,
        uncertainty_kind=UncertaintyKind.NONE if relative is None else UncertaintyKind.STD,
        flux_unit=_unit(source, fits.primary),
        flux_calibration=FluxCalibration.UNCALIBRATED,
        normalisation=Normalisation.NONE,
        extras=MappingProxyType(extras),
        observation=observation,
        provenance=_provenance(source, observation, 0),
    )
    if normalised is not None and not same_grid:
        yield _normalised(source, normalised)


def _normalised(source: SourceFile, hdu: Hdu) -> Spectrum | DataError:
    observation = _observation(source, "norm")
    try:
        return Spectrum(
            axis=_axis(source, hdu),
            flux=hdu.image(),
            flux_unit="",
            flux_calibration=FluxCalibration.NORMALIZED,
            normalisation=Normalisation.CONTINUUM_DIVIDED,
            observation=observation,
            provenance=_provenance(source, observation, hdu.index),
        )
    except DataError as error:
        error.where, error.hdu = source.where, hdu.index
        return error


def _find(fits: FitsFile, names: tuple[str, ...], index: int | None) -> Hdu | None:
    """By name; by place only in the old layout, where the HDUs of some releases have no names."""
    named = fits.named(*names)
    if named is not None:
        return named
    old = fits.named(*_NORMALISED[:1], _RELATIVE[0]) is None and len(fits) <= 5
    if index is None or not old or index >= len(fits):
        return None
    hdu = fits[index]
    return hdu if hdu.kind == "image" and len(hdu.shape) == 1 else None


def _array(fits: FitsFile, hdu: Hdu | None, shape: tuple[int, ...]) -> NDArray[Any] | None:
    if hdu is None:
        return None
    if hdu.shape != shape:
        raise DataError(
            f"HDU {hdu.index} ({hdu.name or 'unnamed'}) has shape {hdu.shape}, the flux {shape}",
            code="mismatched_lengths", where=fits.where, hdu=hdu.index,
            remedy="the file is inconsistent: fetch it again",
        )  # fmt: skip
    return hdu.image()


def _wcs(hdu: Hdu) -> LinearWCS:
    h = hdu.header
    start, step = h.number("CRVAL1"), h.number("CDELT1", "CD1_1")
    if start is None or not step:
        raise DataError(
            "no CRVAL1 and CDELT1", code="no_wavelength", where=hdu.file.where, hdu=hdu.index,
            remedy="fetch the file again",
        )  # fmt: skip
    if len(hdu.shape) != 1:
        raise DataError(f"an image of shape {hdu.shape} is no spectrum", code="wrong_shape",
                        where=hdu.file.where, hdu=hdu.index)  # fmt: skip
    crpix = h.number("CRPIX1")
    return LinearWCS(start, step, 1.0 if crpix is None else crpix, hdu.shape[0])


def _same_grid(hdu: Hdu, reference: Hdu) -> bool:
    if hdu.shape != reference.shape:
        return False
    return hdu.header.number("CRVAL1") is None or _wcs(hdu) == _wcs(reference)


def _axis(source: SourceFile, hdu: Hdu) -> SpectralAxis:
    log = hdu.header.number("DC-FLAG") == 1
    specsys = specsys_of(source.fits)
    if specsys is SpecSys.UNKNOWN and source.options.specsys is not None:
        specsys = source.options.specsys
    return SpectralAxis(
        unit="Angstrom", wcs=_wcs(hdu), scale=Scale.LOG10 if log else Scale.LINEAR,
        medium=Medium.AIR, specsys=specsys,
    )  # fmt: skip


def specsys_of(fits: FitsFile) -> SpecSys:
    """Frame of the wavelengths from what the pipeline recorded.

    Parameters
    ----------
    fits : a GALAH file of either layout
    Returns
    -------
    BARYCENT for the DR2/DR3 layout (a documented step of its reduction); for that of 6.0,
    BARYCENT if IRAF's DOPCOR card applies BARYEFF, TOPOCENT if there is neither, else unknown
    Source: Kos et al. 2017, MNRAS 464, 1259; IRAF onedspec.dopcor (velocity of the observer with
    opposite sign). The telluric models in files of 6.0 confirm both cases to 3 km/s.
    """
    h = fits.primary
    if fits.named(_RELATIVE[0]) is None:
        return SpecSys.BARYCENT
    velocity = _number_at_start(h.string("DOPCOR01"))
    effective = h.number("BARYEFF")
    if velocity is None and effective is None:
        return SpecSys.TOPOCENT
    if velocity is None or effective is None or h.get("DOPCOR02") is not None:
        return SpecSys.UNKNOWN
    return SpecSys.BARYCENT if abs(velocity + effective) < 0.05 else SpecSys.UNKNOWN


def _number_at_start(text: str | None) -> float | None:
    match = re.match(r"\s*([-+]?\d+\.?\d*(?:[eE][-+]?\d+)?)", text or "")
    return float(match[1]) if match else None


def _unit(source: SourceFile, h: Header) -> str | None:
    unit = h.string("BUNIT")
    if unit is None:
        return source.options.flux_unit
    return "ct" if unit.lower() in ("counts", "count", "cts") else unit


def _identifier(source: SourceFile, ccd: int | None) -> str | None:
    """sobject_id + CCD, the survey's own name of the file, if the header bears it out.

    No keyword holds the sobject_id. Its first six digits are the night, its last three the pivot,
    and the file is named after it in every release.
    """
    match = _NAME.fullmatch(source.name)
    h = source.fits.primary
    pivot = h.number("PIVOT")
    if not match or ccd is None or int(match[2]) != ccd:
        return None
    if pivot is not None and int(match[1][-3:]) != int(pivot):
        return None
    night = h.string("COMB0", "RUN_ID")
    if night is not None and not night.startswith(match[1][:6]):
        return None
    return match[0].split(".")[0]


def _observation(source: SourceFile, suffix: str = "") -> Observation:
    h = source.fits.primary
    ccd = _ARMS.get((h.string("SPECTID") or "").upper())
    ra, dec = sky_deg(h, ("RA_ICRS", "RA_OBS"), ("DEC_ICRS", "DEC_OBS"))
    if ra is None:
        ra, dec = sky_deg(h, ("RA_OBS", "OBJ_RA"), ("DEC_OBS", "OBJ_DEC"))
    width, centre = h.number("RES"), h.number("LAMBDAC")
    identifier = _identifier(source, ccd)
    gaia, twomass = _known(h, "GAIA_ID"), _known(h, "2MASS_ID")
    snr = h.number("SNR")
    return Observation(
        obs_collection=source.options.collection or "GALAH",
        obs_id=f"{identifier}-{suffix}" if identifier and suffix else identifier,
        target_name=_known(h, "OBJ_NAME") or gaia or twomass,
        s_ra=ra, s_dec=dec,
        t_min=mjd_of(h, "UTMJD_S", "UTDATE_S"), t_max=mjd_of(h, "UTMJD_E", "UTDATE_E"),
        t_exptime=h.number("EXPOSED", "EXPTIME"),
        em_res_power=centre / width if width and centre else None,
        facility_name="AAT", instrument_name="HERMES", calib_level=2,
        snr=snr, snr_source=None if snr is None else "SNR",
        rv_kms=h.number("RVCOM", "RV"), berv_kms=h.number("BARYEFF"),
        airmass=h.number("AIRMASS"),
        metadata=MappingProxyType(metadata(
            ccd=ccd, gaia_id=gaia, twomass_id=twomass, galah_id=_known(h, "GALAH_ID"),
            sobject_id=identifier[:15] if identifier else None,
            teff=h.number("TEFF_R"), logg=h.number("LOGG_R"), feh=h.number("FE_H_R"),
            alpha_fe=h.number("A_FE_R"), vmic=h.number("VMIC_R"), vbroad=h.number("VBROAD_R"),
            par_ok=h.number("PAR_OK"), rv_err=h.number("E_RVCOM", "E_RV"), wav_ok=h.get("WAV_OK"),
            pivot=h.get("PIVOT"), fibre=h.get("FIBRE"), mag=h.number("MAG"),
            lsf=h.string("LSF"), lsf_boxiness=h.number("B"),
        )),
    )  # fmt: skip


def _known(h: Header, key: str) -> str | None:
    value = h.string(key)
    return None if value is None or value in ("None", "nan", "NaN") else value


def _provenance(source: SourceFile, observation: Observation, hdu: int) -> Provenance:
    version = source.fits.primary.string("PIPE_VER")
    return provenance(
        source, "galah", hdu=hdu, pipeline=None if version is None else f"GALAH IRAF {version}",
        warnings=() if observation.s_ra is not None else ("no coordinates",),
    )  # fmt: skip


READERS = (
    Reader(
        name="galah",
        title="GALAH DR2–DR4 single-CCD spectra",
        recognise=recognise,
        read=read,
        medium="air",
        frame="barycentric, or topocentric where no correction was applied (DOPCOR cards)",
        uncertainty="std (relative error × flux)",
        mask="none in the file",
        why_own="specutils has no GALAH loader; its generic FITS one reads HDU 0 without medium, "
        "frame or errors",
        source="docs.datacentral.org.au GALAH DR2, DR3 spectra; Kos et al. 2017, MNRAS 464, 1259; "
        "Buder et al. 2025 (DR4)",
    ),
)
