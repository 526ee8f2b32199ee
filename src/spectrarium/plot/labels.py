"""Axis labels in astronomers' notation, saying medium, frame and unit or that they are unknown."""

from __future__ import annotations

import math

from astropy import units as u

from ..domain.axis import Medium, SpecSys
from ..domain.spectrum import Normalisation
from ..domain.units import parse_unit

_FRAMES = {
    SpecSys.TOPOCENT: "topocentric", SpecSys.GEOCENTR: "geocentric",
    SpecSys.HELIOCEN: "heliocentric", SpecSys.BARYCENT: "barycentric",
    SpecSys.LSRK: "LSRK", SpecSys.LSRD: "LSRD", SpecSys.GALACTOC: "galactocentric",
    SpecSys.SOURCE: "rest frame", SpecSys.UNKNOWN: "frame unknown",
}  # fmt: skip
_ORDER = ("erg", "J", "W", "ph", "photon", "electron", "ct", "adu", "s", "cm", "m", "Angstrom",
          "nm", "um", "Hz", "sr", "arcsec")  # fmt: skip
_LAMBDA = u.erg / u.s / u.cm**2 / u.AA


def wave_label(medium: Medium, specsys: SpecSys, unit: str = "Å") -> str:
    """``Vacuum wavelength [Å], heliocentric``, or what of it is unknown."""
    name = {
        Medium.VACUUM: "Vacuum wavelength",
        Medium.AIR: "Air wavelength",
        Medium.UNKNOWN: "Wavelength",
    }[medium]
    doubt = ", air or vacuum unknown" if medium is Medium.UNKNOWN else ""
    return f"{name} [{unit}]{doubt}, {_FRAMES[specsys]}"


def flux_label(unit_text: str | None, normalisation: Normalisation = Normalisation.UNKNOWN) -> str:
    """``$F_\\lambda$ [$10^{-17}$ erg s$^{-1}$ cm$^{-2}$ Å$^{-1}$]`` and its kin."""
    if normalisation is Normalisation.CONTINUUM_DIVIDED:
        return "Flux / continuum"
    if normalisation is Normalisation.CONTINUUM_SUBTRACTED:
        return "Flux − continuum" + (f" [{unit_label(unit_text)}]" if unit_text else "")
    if unit_text is None:
        return "Flux [unit unknown]"
    unit = parse_unit(unit_text)
    if unit is None or unit.is_equivalent(u.dimensionless_unscaled):
        return "Relative flux"
    if unit.is_equivalent(_LAMBDA):
        return rf"$F_\lambda$ [{unit_label(unit_text)}]"
    if unit.is_equivalent(u.Jy):
        return rf"$F_\nu$ [{unit_label(unit_text)}]"
    counts = {"ct", "adu", "electron", "ph"} & {base.to_string() for base in unit.bases}
    return f"{'Counts' if counts else 'Flux'} [{unit_label(unit_text)}]"


def unit_label(unit_text: str | None) -> str:
    """The unit in mathtext, factors first, positive powers before negative."""
    unit = parse_unit(unit_text)
    if unit is None:
        return unit_text or ""
    parts = [_factor(float(unit.scale))] if not math.isclose(float(unit.scale), 1.0) else []
    powers = [(base.to_string(), float(power))
              for base, power in zip(unit.bases, unit.powers, strict=True)]  # fmt: skip
    rank = {name: i for i, name in enumerate(_ORDER)}
    powers.sort(key=lambda p: (p[1] < 0, rank.get(p[0], len(rank)), p[0]))
    for name, power in powers:
        text = {"Angstrom": "Å", "um": "µm"}.get(name, name)
        parts.append(text if power == 1 else rf"{text}$^{{{_number(power)}}}$")
    return " ".join(parts)


def _factor(scale: float) -> str:
    exponent = math.floor(math.log10(abs(scale)) + 1e-9)
    mantissa = scale / 10.0**exponent
    power = rf"$10^{{{exponent}}}$"
    return power if math.isclose(mantissa, 1.0, rel_tol=1e-9) else f"{mantissa:.4g} × {power}"


def _number(power: float) -> str:
    return f"{power:.0f}" if power == round(power) else f"{power:.3g}"
