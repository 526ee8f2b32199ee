"""One spectrum as columns of samples, the way every table format wants it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io.votable.ucd import check_ucd
from numpy.typing import NDArray

from ..domain.axis import Medium, Scale, SpectralAxis
from ..domain.spectrum import EchelleSpectrum, Spectrum, UncertaintyKind, to_ivar
from ..domain.units import spectral_kind
from .source import scheme_text
from .units import ucd_by_unit, vounit

_MEANS_SOMETHING = re.compile(
    r"wa?ve?|wl|la?m|freq|ener|spectral|fl[ua]|fnu|int|count|err|sig|std|unc|var|flag|mask|qual"
    r"|pix|dq|λ"
)
"""Parts of names by which readers take a column for an axis, a flux, an error or flags."""
AXIS_NAMES = {"wavelength": ("wave", "em.wl"), "frequency": ("freq", "em.freq"),
              "wavenumber": ("wavenumber", "em.wavenumber"),
              "energy": ("energy", "em.energy")}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column of samples.

    values : (n,) · unit : VOUnit text, ``""`` dimensionless, None unknown · role : the Spectrum
    Data Model's field below ``Data`` (``FluxAxis.Value``), or None
    """

    name: str
    values: NDArray[Any]
    unit: str | None = None
    ucd: str = ""
    role: str | None = None
    description: str = ""


def flat(array: NDArray[Any]) -> NDArray[Any]:
    """(n,) view of (n,) or (n_orders, n_pix) samples, order after order."""
    return array.reshape(-1)


def portable(values: NDArray[Any]) -> NDArray[Any] | None:
    """The numbers in a type that FITS and VOTable have, exactly; None if there is none.

    int8 → int16, uint16 → int32, uint32 and uint64 → int64 (None beyond 2⁶³), float16 → float32.
    """
    wider = {"int8": "int16", "uint16": "int32", "uint32": "int64", "float16": "float32"}
    name = values.dtype.name
    if name == "uint64":
        return values.astype(np.int64) if not len(values) or values.max() < 2**63 else None
    if name in wider:
        return values.astype(wider[name])
    known = ("bool", "uint8", "int16", "int32", "int64", "float32", "float64")
    return values if name in known else None


def order_numbers(spectrum: Spectrum) -> NDArray[np.int32] | None:
    """(n,) the echelle order each flattened sample belongs to; None for a single spectrum."""
    if not isinstance(spectrum, EchelleSpectrum):
        return None
    return np.repeat(np.array(spectrum.order_numbers, np.int32), spectrum.flux.shape[1])


def standard_deviation(spectrum: Spectrum) -> NDArray[Any] | None:
    """(n,) standard deviation: delivered bits if it is one, else NaN where nothing is known.

    A converted one keeps the precision of the numbers it comes from.
    """
    sigma = spectrum.uncertainty
    if sigma is None:
        return None
    if spectrum.uncertainty_kind is UncertaintyKind.STD:
        return flat(sigma)
    ivar = to_ivar(flat(sigma), spectrum.uncertainty_kind)
    with np.errstate(divide="ignore"):
        std = np.where(ivar > 0, 1.0 / np.sqrt(ivar), np.nan)
    return std.astype(np.float32) if sigma.dtype == np.float32 else std


def safe_name(name: str, taken: set[str]) -> str:
    """A column name of [a-z0-9_] that no reader takes for an axis, a flux, an error or flags.

    Names with such a meaning get the prefix ``extra_``. The result is added to `taken`.
    """
    stem = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")[:60] or "column"
    if not stem[0].isalpha() or _MEANS_SOMETHING.search(stem):
        stem = f"extra_{stem}"
    found, count = stem, 2
    while found in taken:
        found, count = f"{stem}_{count}", count + 1
    taken.add(found)
    return found


def spectral_column(axis: SpectralAxis) -> Column:
    """The coordinate in its delivered unit; a logarithm is undone, a velocity becomes Å.

    Delivered linear numbers keep their type; computed ones are float64.
    """
    kind = spectral_kind(axis.unit) or "wavelength"
    if kind == "velocity":
        values, unit, kind = axis.wave_aa(), "Angstrom", "wavelength"
    else:
        values, unit = axis.coordinate(), axis.unit
        if axis.scale is not Scale.LINEAR:
            wide = values.astype(np.float64)
            with np.errstate(over="ignore"):
                values = 10.0**wide if axis.scale is Scale.LOG10 else np.exp(wide)
    name, ucd = AXIS_NAMES[kind]
    if axis.medium is Medium.AIR and kind == "wavelength":
        ucd += ";obs.atmos"
    about = kind.capitalize()
    if axis.medium is not Medium.UNKNOWN:  # in the words by which readers know the medium
        about += f"{'' if kind == 'wavelength' else ', wavelength'} in {axis.medium.value}"
    return Column(name, flat(values), vounit(unit), ucd, "SpectralAxis.Value", about)


def flux_ucd(spectrum: Spectrum) -> str:
    """The delivered UCD, else one by the unit; ``arith.ratio`` marks a dimensionless flux."""
    ucd = spectrum.flux_ucd or ""
    if not check_ucd(ucd, check_controlled_vocabulary=True) or not ucd:  # older lists differ
        ucd = ucd_by_unit(spectrum.flux_unit)
    if spectrum.flux_unit == "" and "arith.ratio" not in ucd:
        ucd += ";arith.ratio"
    return ucd


_QUALITY = "0 good, 1 unusable: not finite, without information or flagged as bad"


def sdm_columns(spectrum: Spectrum) -> tuple[list[Column], list[str]]:
    """Columns for the Spectrum Data Model, and notes on what could not be written.

    Flux as delivered; the error as a standard deviation (with the delivered ``ivar`` or ``var``
    beside it); quality 0 = good, 1 = unusable, which is `Spectrum.mask`; flags as delivered; an
    echelle spectrum is one column order after order, with an ``order`` column.
    """
    unit, ucd = vounit(spectrum.flux_unit), flux_ucd(spectrum)
    columns = [spectral_column(spectrum.axis),
               Column("flux", flat(spectrum.flux), unit, ucd, "FluxAxis.Value",
                      "Flux as delivered")]  # fmt: skip
    std = standard_deviation(spectrum)
    if std is not None:
        role, about = "FluxAxis.Accuracy.StatError", "Standard deviation of the flux"
        columns.append(Column("flux_error", std, unit, f"stat.error;{ucd}", role, about))
    quality, ucd = flat(spectrum.mask).astype(np.int16), f"meta.code.qual;{ucd}"
    columns.append(Column("quality", quality, None, ucd, "FluxAxis.Quality", _QUALITY))
    orders = order_numbers(spectrum)
    if orders is not None:
        columns.append(Column("order", orders, None, "instr.order", "SpectralAxis.order",
                              "Echelle order; orders follow one another"))  # fmt: skip
    columns += _delivered(spectrum)
    kept, notes = [], []
    for column in columns:
        values = portable(column.values)
        if values is None:
            notes.append(f"{column.name} ({column.values.dtype}) has no exact type here: left out")
        else:
            kept.append(Column(column.name, values, column.unit, column.ucd, column.role,
                               column.description))  # fmt: skip
    return kept, notes


def _delivered(spectrum: Spectrum) -> list[Column]:
    """What the model has no field for: delivered ivar or var, flags, extras."""
    out = []
    kind, sigma = spectrum.uncertainty_kind, spectrum.uncertainty
    if sigma is not None and kind is not UncertaintyKind.STD:
        power, ucd = (2, "stat.variance") if kind is UncertaintyKind.VAR else (-2, "stat.weight")
        what = "Variance" if kind is UncertaintyKind.VAR else "Inverse variance"
        out.append(Column(kind.value, flat(sigma), vounit(spectrum.flux_unit, power), ucd, None,
                          f"{what} of the flux as delivered"))  # fmt: skip
    if spectrum.flags is not None:
        out.append(Column("flags", flat(spectrum.flags), None, "meta.code", None,
                          scheme_text(spectrum.flag_scheme)))  # fmt: skip
    taken: set[str] = set()
    for name, array in spectrum.extras.items():
        out.append(Column(safe_name(name, taken), flat(array), None, "", None,
                          f"{name} as delivered"))  # fmt: skip
    return out


def wave_limits(column: Column, spectrum: Spectrum) -> tuple[float, float]:
    """(smallest, largest) coordinate of usable samples, in the column's unit."""
    good = ~flat(spectrum.mask)
    values = column.values[good] if good.any() else column.values[np.isfinite(column.values)]
    if not len(values):
        return float("nan"), float("nan")
    return float(values.min()), float(values.max())
