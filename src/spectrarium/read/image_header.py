"""What the header of a spectrum stored as a FITS image says of its observation, units and frame."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import Medium, SpecSys
from ..domain.observation import Observation
from ..domain.spectrum import FluxCalibration
from ..domain.units import C_KMS, parse_unit
from .fits import Header, iso_to_mjd
from .header_values import metadata, mjd_of, sexagesimal, sky_deg, valid_sky
from .source import SourceFile

_SCALED_ALREADY = 1e-9
"""A flux so small cannot be in units of 1e-17 of anything: the factor was applied."""


@dataclass(frozen=True, slots=True)
class Noted:
    """An observation and what had to be noted while reading it."""

    observation: Observation
    warnings: tuple[str, ...]


def observation(source: SourceFile, header: Header, collection: str) -> Noted:
    """Target, position (ICRS), time and instrument from the usual keywords.

    Positions of another equinox than 2000 are precessed (FK5, before 1984 FK4). A date without
    a time of day gives the whole day as t_min … t_max.
    """
    notes: list[str] = []
    ra, dec = sky_deg(header, ("RA", "OBJCTRA", "CRA"), ("DEC", "OBJCTDEC", "CDEC"))
    if ra is None or dec is None:
        notes.append("no coordinates")
    else:
        ra, dec = _to_icrs(ra, dec, header)
    exposure = header.number("EXPTIME", "EXPOSURE", "ITIME", "UP_TEXP")
    t_min, t_max = _times(header, exposure)
    return Noted(
        Observation(
            obs_collection=source.options.collection or collection,
            target_name=header.string("OBJECT", "TITLE"),
            s_ra=ra, s_dec=dec, t_min=t_min, t_max=t_max, t_exptime=exposure,
            facility_name=header.string("TELESCOP", "OBSERVAT"),
            instrument_name=header.string("INSTRUME"),
            airmass=header.number("AIRMASS"),
            metadata=metadata(vhelio_kms=header.number("VHELIO"),
                              imagetyp=header.string("IMAGETYP"),
                              origin=header.string("ORIGIN")),
        ),
        tuple(notes),
    )  # fmt: skip


def _to_icrs(ra: float, dec: float, header: Header) -> tuple[float | None, float | None]:
    match = re.search(r"\d{4}(\.\d*)?", header.string("EQUINOX", "EPOCH") or "")
    equinox = float(match[0]) if match else 2000.0
    if abs(equinox - 2000.0) < 0.1 or not 1800.0 < equinox < 2200.0:
        return ra, dec
    from astropy.coordinates import FK4, FK5, SkyCoord
    from astropy.time import Time

    fk4 = equinox < 1984.0 and header.string("RADECSYS", "RADESYS") != "FK5"
    frame = FK4(equinox=Time(equinox, format="byear")) if fk4 else FK5(
        equinox=Time(equinox, format="jyear"))  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        icrs = SkyCoord(ra, dec, unit="deg", frame=frame).icrs
    return valid_sky(float(icrs.ra.deg), float(icrs.dec.deg))


def _times(header: Header, exposure: float | None) -> tuple[float | None, float | None]:
    start = mjd_of(header, "MJD-OBS")
    date = header.string("DATE-OBS")
    if start is None and date:
        start = iso_to_mjd(date)
        if start is not None and "T" not in date and " " not in date.strip():
            hours = _first_time(header)
            if hours is None:
                return start, start + 1.0
            start += hours / 24.0
    if start is None:
        return None, None
    return start, start + (exposure or 0.0) / 86400.0


def _first_time(header: Header) -> float | None:
    for key in ("UT", "UTC", "UTSTART", "UT-OBS", "UT-TIME", "UTOBS", "TIME-OBS"):
        value = header.get(key)
        hours = sexagesimal(value) if isinstance(value, str) else None
        if hours is not None and 0.0 <= hours < 24.0:
            return hours
    return None


@dataclass(frozen=True, slots=True)
class FluxUnit:
    """Unit text (None = unknown), calibration it implies, and notes."""

    text: str | None
    calibration: FluxCalibration
    warnings: tuple[str, ...] = ()


def flux_unit(source: SourceFile, header: Header, flux: NDArray[np.generic]) -> FluxUnit:
    """BUNIT made readable. A power of ten that the values contradict makes the unit unknown."""
    text = header.string("BUNIT")
    if text is None and header.string("ORIGIN") == "iSpec":
        text = header.string("TUNIT1")  # iSpec writes the flux unit there
    if text is None:
        return FluxUnit(source.options.flux_unit, FluxCalibration.UNKNOWN)
    notes: list[str] = []
    if re.fullmatch(r"1(\.0*)?[Ee]-17 ergs?/cm/s/Ang\w*", text):
        notes.append(f"BUNIT {text!r} read as erg/cm2/s/Angstrom: SDSS's known misprint")
        text = "1e-17 erg cm-2 s-1 Angstrom-1"
    unit = parse_unit(text)
    if unit is None:
        return FluxUnit(source.options.flux_unit, FluxCalibration.UNKNOWN,
                        (f"flux unit {text!r} is not understood",))  # fmt: skip
    with np.errstate(invalid="ignore"):
        values = np.abs(flux[np.isfinite(flux)].astype(np.float64))
    typical = float(np.median(values)) if values.size else 0.0
    if unit.scale < 1e-6 and _cgs_flux(text) and 0.0 < typical < _SCALED_ALREADY:
        notes.append(f"BUNIT {text!r} contradicts values near {typical:.1e}: unit unknown")
        return FluxUnit(source.options.flux_unit, FluxCalibration.UNKNOWN, tuple(notes))
    counts = unit.is_equivalent("ct") or unit.is_equivalent("adu") or unit.is_equivalent("electron")
    calibration = FluxCalibration.UNCALIBRATED if counts else FluxCalibration.UNKNOWN
    return FluxUnit(unit.to_string(), calibration, tuple(notes))


def _cgs_flux(text: str) -> bool:
    return bool(re.match(r"\s*1(\.0*)?\s*[Ee]-?\d|\s*10", text))


def medium(source: SourceFile, header: Header, ctype: str = "") -> Medium:
    """Air or vacuum where CTYPE or a keyword says so; else the user's word; else unknown."""
    if ctype.startswith("AWAV"):
        return Medium.AIR
    if ctype.startswith(("WAVE-", "FREQ", "ENER", "WAVN", "VRAD", "VELO")) or ctype == "WAVE":
        return Medium.VACUUM
    word = (header.string("AIRORVAC", "AIR_VAC", "WAVETYPE", "WAVEMED") or "").lower()
    if word.startswith("air"):
        return Medium.AIR
    if word.startswith("vac") or header.get("VACUUM") is True:
        return Medium.VACUUM
    return source.options.medium or Medium.UNKNOWN


def specsys(source: SourceFile, header: Header, default: str | None = None) -> SpecSys:
    """The velocity frame that the header states, else the user's word, else unknown.

    VHELIO alone says what the correction would be, not that it was applied. A DOPCORnn of the
    same size says that IRAF's dopcor applied it. HELIO_RV is idlspec2d's record of a correction
    already added.
    """
    word = (header.string("SPECSYS") or default or "").upper()
    if word in SpecSys.__members__ and word != "UNKNOWN":
        return SpecSys[word]
    vhelio = header.number("VHELIO")
    if vhelio is not None and any(abs(abs(v) - abs(vhelio)) < 0.01 for v in _dopcor_kms(header)):
        return SpecSys.HELIOCEN
    if header.number("HELIO_RV") is not None and header.get("VACUUM") is True:
        return SpecSys.HELIOCEN
    return source.options.specsys or SpecSys.UNKNOWN


def _dopcor_kms(header: Header) -> list[float]:
    """Velocities that the last DOPCORnn may mean (a redshift, or km/s)."""
    last = ""
    for i in range(1, 100):
        value = header.string(f"DOPCOR{i:02d}")
        if value is None:
            break
        last = value
    try:
        number = float(last.split()[0])
    except (ValueError, IndexError):
        return []
    return [number, number * C_KMS]
