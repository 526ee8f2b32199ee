"""The words that files use for frames, media, units and UCDs, turned into the domain's."""

from __future__ import annotations

import re

from ..domain.axis import Medium, Scale, SpecSys
from ..domain.errors import DataError
from ..domain.spectrum import FluxCalibration
from ..domain.units import spectral_kind

_FRAMES = {
    "topocent": SpecSys.TOPOCENT, "topocenter": SpecSys.TOPOCENT, "topocentric": SpecSys.TOPOCENT,
    "observed": SpecSys.TOPOCENT,
    "geocentr": SpecSys.GEOCENTR, "geocenter": SpecSys.GEOCENTR, "geocentric": SpecSys.GEOCENTR,
    "heliocen": SpecSys.HELIOCEN, "heliocenter": SpecSys.HELIOCEN,
    "heliocentric": SpecSys.HELIOCEN,
    "barycent": SpecSys.BARYCENT, "barycenter": SpecSys.BARYCENT,
    "barycentric": SpecSys.BARYCENT,
    "lsrk": SpecSys.LSRK, "lsrd": SpecSys.LSRD,
    "galactoc": SpecSys.GALACTOC, "galactic_center": SpecSys.GALACTOC,
    "source": SpecSys.SOURCE,
}  # fmt: skip
_LOG_UNIT = re.compile(r"(?i)\s*(log10|log|dex|lg|ln)\s*[(\[ ]\s*([^)\]]+?)\s*[)\]]?\s*")
_SI = re.compile(r"\s*(?:(10)\s*\^?\s*)?([+-]?[\d.]*(?:[eE][+-]?\d+)?)\s+(M?L?\d*T?-?\d?)\s*")
_SI_UNITS = {"L": "m", "T-1": "Hz", "L-1": "m-1", "ML2T-2": "J"}
SPECTRAL_UCDS = ("em.wl", "em.freq", "em.energy", "em.wavenumber")
FLUX_UCDS = ("phot.flux.density", "phot.flux", "phot.count", "phot.radiance", "spect.intensity")


def specsys_of(text: object) -> SpecSys:
    """The velocity frame a file names in FITS, STC or plain words; UNKNOWN for anything else.

    Source: IVOA Spectrum Data Model 1.1, section 9.3 (FITS and STC names side by side).
    """
    return _FRAMES.get(str(text).strip().lower(), SpecSys.UNKNOWN)


def medium_of_ucd(ucd: str) -> Medium:
    """AIR for ``em.wl;obs.atmos``; UNKNOWN otherwise, for plain ``em.wl`` says neither."""
    words = ucd_words(ucd)
    return Medium.AIR if words[:1] == ["em.wl"] and "obs.atmos" in words else Medium.UNKNOWN


def is_ratio(ucd: object) -> bool:
    """True for a flux that was divided by another (``…;arith.ratio``): it has no dimension."""
    return "arith.ratio" in ucd_words(ucd)


def medium_in_text(text: str) -> Medium:
    """The medium that a description states (``Air wavelength``, ``wavelength in vacuum``)."""
    s = text.lower()
    air = bool(re.search(r"\bair\b", s))
    vacuum = bool(re.search(r"\bvac(?:uum)?\b", s))
    about = re.search(r"wave|lambda|λ", s)
    if not about or air == vacuum or re.search(r"\b(?:to|not|from|non)\b", s):
        return Medium.UNKNOWN
    return Medium.AIR if air else Medium.VACUUM


def ucd_words(ucd: object) -> list[str]:
    """The words of a UCD1+, lower case, first word first; [] for none."""
    return [w.strip().lower() for w in str(ucd or "").split(";") if w.strip()]


def wave_unit_text(text: str | None) -> tuple[str | None, Scale]:
    """(unit of the coordinate, scale): ``log10(Angstrom)`` → (``Angstrom``, LOG10).

    The unit is None when the text is empty or no unit of a spectral coordinate.
    """
    if text is None or not text.strip():
        return None, Scale.LINEAR
    if spectral_kind(text) is not None:
        return text.strip(), Scale.LINEAR
    match = _LOG_UNIT.fullmatch(text)
    if match and spectral_kind(match[2]) is not None:
        return match[2], Scale.LN if match[1].lower() == "ln" else Scale.LOG10
    return None, Scale.LINEAR


def si_unit(text: str | None) -> str | None:
    """Unit of a dimensional text: ``10-10 L`` → ``1e-10 m`` (Å), ``1E+9 T-1`` → ``1e+09 Hz``.

    Plain units pass through. Source: Osuna & Salgado 2005, as used by SDM's SpectralSI.
    """
    if text is None or not text.strip():
        return None
    if spectral_kind(text) is not None:
        return text.strip()
    match = _SI.fullmatch(text)
    bare = text.strip()
    if bare in _SI_UNITS:
        return _SI_UNITS[bare]
    if not match or match[3] not in _SI_UNITS or not match[2]:
        return None
    try:
        scale = 10.0 ** float(match[2]) if match[1] else float(match[2])
    except (ValueError, OverflowError):
        return None
    unit = f"{scale:.17g} {_SI_UNITS[match[3]]}"
    return unit if spectral_kind(unit) is not None else None


def calibration_of(text: object) -> FluxCalibration:
    """SSA/SDM flux calibration word; ``CALIBRATED`` (SSA 1.04) is absolute."""
    word = str(text or "").strip().upper()
    if word == "CALIBRATED":
        return FluxCalibration.ABSOLUTE
    known = {c.value: c for c in FluxCalibration}
    return known.get(word, FluxCalibration.UNKNOWN)


def no_wave_unit(name: str, text: str | None, where: str, hdu: int | None) -> DataError:
    """The error for a spectral column whose unit is absent or unreadable."""
    says = f"has the unit {text!r}, which is none" if text else "has no unit"
    return DataError(
        f"the spectral column {name} {says}", code="no_wave_unit", where=where, hdu=hdu,
        remedy="declare it with --wave-unit (Angstrom, nm, um, Hz, keV …)",
    )  # fmt: skip
