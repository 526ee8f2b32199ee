"""Unit texts as files write them, turned into astropy units or refused."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache

from astropy import units as u

C_KMS = 299_792.458
"""Speed of light, km/s (exact, SI)."""

_WORDS = {
    "angstroms": "Angstrom", "angstrom": "Angstrom", "ang": "Angstrom", "a": "Angstrom",
    "aa": "Angstrom", "å": "Angstrom", "0.1nm": "Angstrom",
    "nanometer": "nm", "nanometers": "nm", "nanometre": "nm", "nanometres": "nm",
    "micron": "um", "microns": "um", "micrometer": "um", "micrometers": "um", "µm": "um",
    "meter": "m", "meters": "m", "metre": "m", "metres": "m",
    "hertz": "Hz", "counts": "ct", "count": "ct", "cts": "ct", "adu": "adu", "dn": "adu",
    "electrons": "electron", "e-": "electron", "electron": "electron",
    "photoelectron": "electron", "photoelectrons": "electron", "photo-electron": "electron",
    "photo-electrons": "electron", "counts/s": "ct s-1", "electrons/s": "electron s-1",
    "flam": "erg s-1 cm-2 Angstrom-1", "fnu": "erg s-1 cm-2 Hz-1",
    "photlam": "photon s-1 cm-2 Angstrom-1", "photnu": "photon s-1 cm-2 Hz-1",
    "none": "", "dimensionless": "", "unitless": "", "normalized": "", "normalised": "",
    "jansky": "Jy", "km/s": "km s-1", "m/s": "m s-1",
}  # fmt: skip


def _tidy(text: str) -> str:
    """Undo the commonest departures from the FITS and VO unit grammars."""
    s = text.strip().strip("'\"").strip()
    s = re.sub(r"(?i)angstroms?|\bAngs?\b|\bAA\b|(?<![a-zA-Z])A(?![a-zA-Z])|Å", "Angstrom", s)
    s = re.sub(r"(?i)\bergs\b", "erg", s)
    s = re.sub(r"(?i)\bsec\b", "s", s)
    s = re.sub(r"(?i)\bmicrons?\b", "um", s)
    s = re.sub(r"(?<![\w.])1?\.?0?[eE]([+-]?\d+)(?!\d)", r"10**(\1)", s)  # 1E-17, 1e-17
    s = re.sub(r"10\^\(?([+-]?\d+)\)?", r"10**(\1)", s)
    s = re.sub(r"10\*\*([+-]?\d+)", r"10**(\1)", s)
    s = re.sub(r"(?<![\w*])10([+-]\d+)", r"10**(\1)", s)
    return s


@lru_cache(maxsize=4096)
def parse_unit(text: str | None) -> u.UnitBase | None:
    """The astropy unit of a file's unit text; None if it is empty or means nothing.

    Accepts FITS, VOUnit, CDS and the habits of real files
    (``1E-17 erg/cm^2/s/Ang``, ``10**(-16)erg.cm**(-2).s**(-1).angstrom**(-1)``).
    """
    if text is None or not text.strip():
        return None
    word = _WORDS.get(text.strip().lower())
    if word is not None:
        return u.dimensionless_unscaled if word == "" else u.Unit(word)
    tidy = _tidy(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # a lone A is Ångström in spectra, but ampere to astropy: never try it as written
        as_written = () if re.search(r"(?<![a-zA-Z])A(?![a-zA-Z])", text) else (text.strip(),)
        for candidate in (*as_written, tidy, _dots(tidy)):
            for fmt in (None, "fits", "vounit", "cds", "ogip"):
                try:
                    unit = u.Unit(candidate) if fmt is None else u.Unit(candidate, format=fmt)
                except (ValueError, TypeError, ZeroDivisionError, OverflowError):
                    continue
                if isinstance(unit, u.UnitBase) and not isinstance(unit, u.UnrecognizedUnit):
                    return unit
    return None


def _dots(text: str) -> str:
    """``10**(-17) erg.s-1.cm**(-2)`` → the form astropy's generic grammar reads."""
    s = re.sub(r"10\*\*\(([+-]?\d+)\)\s*", lambda m: f"{float('1e' + m.group(1))!r} ", text)
    s = re.sub(r"\*\*\(?([+-]?\d+)\)?", r"^\1", s)
    s = re.sub(r"(?<=[a-zA-Z0-9)])[.*](?=[a-zA-Z])", " ", s)
    return s.strip()


def unit_text(text: str | None) -> str | None:
    """The text to keep of a unit that a file gives: None if it is empty or means nothing.

    Words that stand for a unit become that unit (``FLAM`` → ``erg s-1 cm-2 Angstrom-1``,
    ``normalized`` → ``""``), all else stays as written.
    Source: STScI's synphot names of flux units (flam, fnu, photlam, photnu).
    """
    if text is None or parse_unit(text) is None:
        return None
    return _WORDS.get(text.strip().lower(), text.strip())


@lru_cache(maxsize=1024)
def spectral_kind(text: str) -> str | None:
    """What a spectral axis in this unit measures.

    Returns ``wavelength``, ``frequency``, ``wavenumber``, ``energy``, ``velocity`` or None.
    """
    unit = parse_unit(text)
    if unit is None:
        return None
    for kind, reference in (
        ("wavelength", u.m), ("frequency", u.Hz), ("wavenumber", 1 / u.m),
        ("energy", u.J), ("velocity", u.m / u.s),
    ):  # fmt: skip
        if unit.is_equivalent(reference):
            return kind
    return None


@lru_cache(maxsize=1024)
def scale_to(text: str, target: str) -> float:
    """Factor that turns values in unit `text` into `target` (both of one physical type)."""
    unit = parse_unit(text)
    if unit is None:
        raise ValueError(f"unknown unit {text!r}")
    return float(unit.to(u.Unit(target)))
