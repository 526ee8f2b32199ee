"""What a table column is, judged by its name: wavelength, flux, an uncertainty, flags, or other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from ..domain.axis import Medium, Scale
from ..domain.spectrum import UncertaintyKind
from ..domain.units import parse_unit, spectral_kind


class Role(StrEnum):
    """The part a column plays in a spectrum."""

    WAVE = "wave"
    FLUX = "flux"
    STD = "std"
    VAR = "var"
    IVAR = "ivar"
    FLAGS = "flags"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a column's name says. `unit` and `medium` only if they are part of the name."""

    role: Role
    unit: str | None = None
    scale: Scale = Scale.LINEAR
    medium: Medium = Medium.UNKNOWN


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which column (by index) plays which part; `others` are kept as extras."""

    wave: int | None
    flux: int | None
    uncertainty: int | None
    kind: UncertaintyKind
    flags: int | None
    others: tuple[int, ...]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_WAVE = _set("""wave waves wavelength wavelengths lambda lam lamb wl wvl wlen wav wavel spectralaxis
    spectralcoord freq frequency wavenumber energy λ""")
_LOG10 = _set(
    "loglam loglambda logwave logwavelength log10lam log10lambda log10wave log10wavelength"
)
_LN = _set("lnlam lnlambda lnwave lnwavelength")
_NAMES: dict[Role, frozenset[str]] = {
    Role.FLUX: _set(
        """flux fluxes flam flambda fnu fluxdensity fluxlambda fluxnu fluxd intensity counts
        normflux fluxnorm normalizedflux normalisedflux relflux relativeflux"""
    ),
    Role.STD: _set(
        """err errs error errors fluxerr fluxerrs fluxerror errflux errorflux eflux efluxd
        fluxsigma sigmaflux sigma sig std stddev uncertainty fluxunc fluxuncertainty unc fluxstd
        stderr staterror"""
    ),
    Role.VAR: _set("var variance fluxvar fluxvariance varflux"),
    Role.IVAR: _set("ivar fluxivar ivarflux invvar inversevariance inversevar"),
    Role.FLAGS: _set(
        """mask flag flags pixelmask pixmask quality qual dq dataquality andmask bitmask pixbitmask
        badpix fluxmask"""
    ),
}
_UNIT_WORDS = {
    "aa": "Angstrom", "angstrom": "Angstrom", "angstroms": "Angstrom", "ang": "Angstrom",
    "å": "Angstrom", "nm": "nm", "nanometer": "nm", "nanometers": "nm", "um": "um",
    "micron": "um", "microns": "um", "hz": "Hz", "ghz": "GHz", "ev": "eV", "kev": "keV",
}  # fmt: skip
_FLUX_UNIT_WORDS = {"jy": "Jy", "mjy": "mJy", "ujy": "uJy", "adu": "adu", "ct": "ct"}
_MEDIUM_WORDS = {"air": Medium.AIR, "vac": Medium.VACUUM, "vacuum": Medium.VACUUM}
_KINDS = {
    Role.STD: UncertaintyKind.STD, Role.VAR: UncertaintyKind.VAR, Role.IVAR: UncertaintyKind.IVAR,
}  # fmt: skip


@lru_cache(maxsize=8192)
def meaning(name: str) -> Meaning | None:
    """The part that a column of this name plays, or None.

    ``wave_aa``, ``Wavelength (Angstrom)``, ``lambda_vac_nm``, ``loglam``, ``spectrum_flux``,
    ``err_flux`` and ``flux_ivar`` are understood; ``wave_frame`` and ``flux_kind`` are no columns
    of samples. A bracketed text counts as the unit only if it parses as one.
    """
    stem, bracket = _bracketed(name.strip())
    medium, scale = Medium.UNKNOWN, Scale.LINEAR
    unit: str | None = None
    if bracket is not None:
        if bracket.lower() in _MEDIUM_WORDS:
            medium = _MEDIUM_WORDS[bracket.lower()]
        elif parse_unit(bracket) is not None:
            unit = bracket
    words = [w for w in re.split(r"[\s_\-.:/]+", stem) if w]
    if len(words) > 1 and words[0].lower() in ("spectrum", "spec"):
        words = words[1:]
    if words and words[0].lower() in ("error", "uncertainty") and "of" in words:
        return Meaning(Role.STD, unit)
    words, medium, word_unit = _strip_suffixes(words, medium)
    key = "".join(words).lower()
    for role, names in _NAMES.items():
        if key in names:
            text = unit or (_FLUX_UNIT_WORDS.get(word_unit or "") if word_unit else None)
            return None if word_unit and text is None else Meaning(role, text)
    if key in _LOG10 or key in _LN:
        scale = Scale.LOG10 if key in _LOG10 else Scale.LN
    elif key not in _WAVE:
        return None
    unit = unit or _UNIT_WORDS.get(word_unit or "")
    if unit is not None and spectral_kind(unit) is None:
        unit = None
    return Meaning(Role.WAVE, unit, scale, medium)


def _bracketed(text: str) -> tuple[str, str | None]:
    match = re.fullmatch(r"([^(\[]*)[(\[](.*)[)\]]", text)
    return (match[1].strip(), match[2].strip()) if match else (text, None)


def _strip_suffixes(words: list[str], medium: Medium) -> tuple[list[str], Medium, str | None]:
    """Take unit and medium words off: ``lambda vac nm`` → ([lambda], vacuum, nm)."""
    unit: str | None = None
    kept: list[str] = []
    for i, word in enumerate(words):
        low = word.lower()
        if low in _MEDIUM_WORDS and len(words) > 1:
            medium = _MEDIUM_WORDS[low]
        elif low == "in" and i:
            continue
        elif i and (low in _UNIT_WORDS or low in _FLUX_UNIT_WORDS):
            unit = low
        elif i and word == "A":  # a lone small a may be an arm: only the capital is the ångström
            unit = "aa"
        else:
            kept.append(word)
    return kept, medium, unit


def assign(names: Sequence[str]) -> Assignment:
    """Give each column its part; the first of a kind wins, all else is kept as `others`."""
    taken: dict[Role, int] = {}
    for i, name in enumerate(names):
        what = meaning(name)
        if what is not None:
            taken.setdefault(what.role, i)
    error = next((r for r in (Role.STD, Role.IVAR, Role.VAR) if r in taken), None)
    used = {taken[r] for r in (Role.WAVE, Role.FLUX, Role.FLAGS, error) if r in taken}
    return Assignment(
        wave=taken.get(Role.WAVE),
        flux=taken.get(Role.FLUX),
        uncertainty=taken[error] if error else None,
        kind=_KINDS[error] if error else UncertaintyKind.NONE,
        flags=taken.get(Role.FLAGS),
        others=tuple(i for i in range(len(names)) if i not in used),
    )
