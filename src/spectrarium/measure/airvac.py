"""Air ↔ vacuum wavelengths, by the published dispersion formulae and their exact inverse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..domain.errors import UsageError

Formula = Literal["morton2000", "edlen1953", "ciddor1996"]
Outside = Literal["raise", "nan", "keep"]


@dataclass(frozen=True, slots=True)
class _Dispersion:
    """n − 1 = a + b₁/(c₁ − σ²) + b₂/(c₂ − σ²), σ = 1/λ_vac in µm⁻¹."""

    a: float
    terms: tuple[tuple[float, float], tuple[float, float]]
    low_aa: float
    high_aa: float
    source: str


_FORMULAE: dict[str, _Dispersion] = {
    "morton2000": _Dispersion(
        8.34254e-5, ((2.406147e-2, 130.0), (1.5998e-4, 38.9)), 2000.0, 30_000.0,
        "Morton 2000, ApJS 130, 403, eq. 8 (Birch & Downs 1994)",
    ),
    "edlen1953": _Dispersion(
        6.4328e-5, ((2.94981e-2, 146.0), (2.5540e-4, 41.0)), 2000.0, 30_000.0,
        "Edlén 1953, JOSA 43, 339 (IAU 1991; Morton 1991, ApJS 77, 119)",
    ),
    "ciddor1996": _Dispersion(
        0.0, ((5.792105e-2, 238.0185), (1.67917e-3, 57.362)), 2300.0, 16_900.0,
        "Ciddor 1996, Applied Optics 35, 1566, eq. 1 (450 ppm CO2)",
    ),
}  # fmt: skip


def valid_range_aa(formula: Formula = "morton2000") -> tuple[float, float]:
    """The vacuum wavelengths, in Å, between which a formula is used (see `refractive_index`)."""
    dispersion = _formula(formula)
    return dispersion.low_aa, dispersion.high_aa


def refractive_index(
    wave_vac_aa: ArrayLike, formula: Formula = "morton2000", outside: Outside = "raise"
) -> NDArray[np.float64]:
    """Refractive index of standard dry air (15 °C, 101 325 Pa).

    Parameters
    ----------
    wave_vac_aa : any shape, Å, vacuum
    formula : ``morton2000`` (VALD's and the default), ``edlen1953`` (SDSS, IAU 1991) or
        ``ciddor1996`` (dearest to infrared laboratories)
    outside : beyond the valid range ``raise``, give ``nan``, or ``keep`` the wavelength (n = 1)
    Returns
    -------
    n : as the input, float64, dimensionless; NaN wavelengths give NaN
    Raises
    ------
    UsageError (outside_air_range) : a wavelength out of range and ``outside="raise"``
    Source: see `_FORMULAE`. Valid for: 2000–30 000 Å (Morton 2000, Edlén 1953: Morton 2000
    states that the two agree to 0.001 Å up to there) and 2300–16 900 Å (Ciddor 1996, the span of
    the measurements it fits). Below 2000 Å wavelengths are vacuum by convention.
    """
    wave = np.asarray(wave_vac_aa, dtype=np.float64)
    dispersion = _formula(formula)
    out = ~((wave >= dispersion.low_aa) & (wave <= dispersion.high_aa)) & ~np.isnan(wave)
    _judge(out, wave, dispersion, outside)
    n = _index(np.where(out, np.nan, wave), dispersion)
    return np.where(out, 1.0, n) if outside == "keep" else n


def vac_to_air(
    wave_vac_aa: ArrayLike, formula: Formula = "morton2000", outside: Outside = "raise"
) -> NDArray[np.float64]:
    """Wavelength in standard air of a vacuum wavelength; arguments as `refractive_index`.

    Returns
    -------
    wave_air_aa : as the input, float64, Å
    Raises
    ------
    UsageError (outside_air_range) : a wavelength out of range and ``outside="raise"``
    Source: λ_air = λ_vac / n(λ_vac). Valid for: see `refractive_index`.
    """
    wave = np.asarray(wave_vac_aa, dtype=np.float64)
    return wave / refractive_index(wave, formula, outside)


def air_to_vac(
    wave_air_aa: ArrayLike, formula: Formula = "morton2000", outside: Outside = "raise"
) -> NDArray[np.float64]:
    """Vacuum wavelength of a wavelength in standard air: the exact inverse of `vac_to_air`.

    Parameters
    ----------
    wave_air_aa : any shape, Å, air · formula, outside : as `refractive_index`
    Returns
    -------
    wave_vac_aa : as the input, float64, Å; the round trip closes to 1e-11 Å at 5000 Å
    Raises
    ------
    UsageError (outside_air_range) : a result out of range and ``outside="raise"``
    Source: fixed-point iteration of λ_vac = λ_air n(λ_vac), a contraction by |λ dn/dλ| < 3e-4.
    Valid for: vacuum wavelengths in the range of `refractive_index`. With ``outside="keep"`` the
    0.65 Å below 2000 Å are ambiguous: they are taken as air.
    """
    air = np.asarray(wave_air_aa, dtype=np.float64)
    dispersion = _formula(formula)
    low = dispersion.low_aa / float(_index(np.float64(dispersion.low_aa), dispersion))
    high = dispersion.high_aa / float(_index(np.float64(dispersion.high_aa), dispersion))
    out = ~((air >= low * (1 - 1e-15)) & (air <= high * (1 + 1e-15))) & ~np.isnan(air)
    _judge(out, air, dispersion, outside)
    known = np.where(out, np.nan, air)
    vac = known
    for _ in range(6):  # every step gains more than three digits: six exhaust float64
        vac = known * _index(vac, dispersion)
    return np.where(out, air, vac) if outside == "keep" else np.asarray(vac)


def _formula(name: str) -> _Dispersion:
    if name not in _FORMULAE:
        raise UsageError(f"no air formula is called {name!r}", code="unknown_formula",
                         remedy=f"choose one of: {', '.join(_FORMULAE)}")  # fmt: skip
    return _FORMULAE[name]


def _index(wave_vac_aa: NDArray[np.float64] | np.float64, d: _Dispersion) -> NDArray[np.float64]:
    sigma2 = (1e4 / wave_vac_aa) ** 2
    (b1, c1), (b2, c2) = d.terms
    return np.asarray(1.0 + d.a + b1 / (c1 - sigma2) + b2 / (c2 - sigma2))


def _judge(out: NDArray[np.bool_], wave: NDArray[np.float64], d: _Dispersion, how: str) -> None:
    if how not in ("raise", "nan", "keep"):
        raise UsageError(f"outside={how!r} is not known", code="unknown_option",
                         remedy="choose raise, nan or keep")  # fmt: skip
    if how == "raise" and out.any():
        worst = wave[out].flat[0]
        raise UsageError(
            f"{worst:g} Å is outside {d.low_aa:g}–{d.high_aa:g} Å, where {d.source} holds",
            code="outside_air_range", where="wavelength",
            remedy='ask for outside="nan" or outside="keep" to go on',
        )  # fmt: skip
