"""A spectrum as other libraries' objects. Nothing here is imported before it is asked for."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
from astropy import nddata
from astropy import units as u
from numpy.typing import NDArray

from .errors import DataError, UsageError
from .spectrum import EchelleSpectrum, Spectrum, UncertaintyKind
from .units import parse_unit

_CLASSES = {
    UncertaintyKind.STD: nddata.StdDevUncertainty,
    UncertaintyKind.VAR: nddata.VarianceUncertainty,
    UncertaintyKind.IVAR: nddata.InverseVariance,
}


def to_specutils(spectrum: Spectrum) -> Any:
    """`Spectrum.to_specutils`: a specutils Spectrum, or a SpectrumList of an échelle's orders.

    Orders without two usable wavelengths are left out. The numbers are delivered ones; the axis
    is float64 Å in the spectrum's own medium and frame.
    Raises UsageError (missing_extra) without specutils, DataError (not_monotonic) when the usable
    wavelengths neither rise nor fall throughout.
    """
    try:
        import specutils
    except ImportError as error:
        raise UsageError(
            "specutils is not installed", code="missing_extra",
            remedy="pip install spectrarium[specutils]",
        ) from error  # fmt: skip
    if not isinstance(spectrum, EchelleSpectrum):
        return _one(spectrum, specutils, {})
    orders = specutils.SpectrumList()
    for i, number in enumerate(spectrum.order_numbers):
        order = spectrum.order(i)
        if np.count_nonzero(_located(order.wave_aa)) >= 2:
            orders.append(_one(order, specutils, {"order": number, "trace": spectrum.trace}))
    return orders


def _located(wave: NDArray[np.float64]) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.isfinite(wave) & (wave > 0))


def _one(spectrum: Spectrum, specutils: Any, more: dict[str, Any]) -> Any:
    wave = spectrum.wave_aa
    keep = _keep(wave, spectrum.mask)
    step = np.diff(wave[keep])
    if not ((step > 0).all() or (step < 0).all()):
        raise DataError("the usable wavelengths neither rise nor fall throughout",
                        code="not_monotonic", where=spectrum.provenance.path)  # fmt: skip
    unit = parse_unit(spectrum.flux_unit)
    unit = u.dimensionless_unscaled if unit is None else unit
    uncertainty = None
    if spectrum.uncertainty is not None:
        power = {UncertaintyKind.STD: 1, UncertaintyKind.VAR: 2}.get(spectrum.uncertainty_kind, -2)
        uncertainty = _CLASSES[spectrum.uncertainty_kind](
            spectrum.uncertainty[keep], unit=unit**power
        )
    meta = {**_meta(spectrum, keep), **more}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # specutils warns of every mask with NaN below it
        return specutils.Spectrum(
            flux=u.Quantity(spectrum.flux[keep], unit, dtype=spectrum.flux.dtype
                            if spectrum.flux.dtype.kind == "f" else np.float64),
            spectral_axis=u.Quantity(wave[keep], u.AA), uncertainty=uncertainty,
            mask=spectrum.mask[keep], meta=meta,
        )  # fmt: skip


def _keep(wave: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels that specutils' strictly monotonic axis can hold.

    Where the wavelengths of masked pixels break the order (padding, fill values), all masked
    pixels that do are dropped; usable ones never are.
    """
    keep = _located(wave)
    good = keep & ~mask
    if np.count_nonzero(good) < 2:
        return keep
    at = np.flatnonzero(good)
    falls = wave[at[-1]] < wave[at[0]]
    x = -wave if falls else wave
    x = np.where(keep, x, np.nan)
    # a masked pixel stays if it lies strictly between everything kept before and all good after
    highest = np.fmax.accumulate(np.where(good, x, -np.inf))
    lowest = np.fmin.accumulate(np.where(good, x, np.inf)[::-1])[::-1]
    with np.errstate(invalid="ignore"):
        fits = good | (keep & (x > highest) & (x < lowest))
    run = np.fmax.accumulate(np.where(fits, x, -np.inf))
    before = np.concatenate(([-np.inf], run[:-1]))
    return np.asarray(good | (fits & (x > before)))


def _meta(spectrum: Spectrum, keep: NDArray[np.bool_]) -> dict[str, Any]:
    observation = dataclasses.asdict(
        dataclasses.replace(spectrum.observation, metadata=dict(spectrum.observation.metadata))
    )
    known = spectrum.flux_unit == "" or parse_unit(spectrum.flux_unit) is not None
    meta: dict[str, Any] = {
        "medium": spectrum.axis.medium.value, "specsys": spectrum.axis.specsys.value,
        "flux_unit": spectrum.flux_unit if known else "unknown",
        "flux_calibration": spectrum.flux_calibration.value,
        "normalisation": spectrum.normalisation.value,
        "observation": {k: v for k, v in observation.items() if v is not None},
        "provenance": dataclasses.asdict(spectrum.provenance),
    }  # fmt: skip
    if spectrum.flags is not None:
        meta["flags"] = spectrum.flags[keep]
        meta["flag_scheme"] = spectrum.flag_scheme
    if spectrum.extras:
        meta["extras"] = {name: array[keep] for name, array in spectrum.extras.items()}
    if dropped := int(keep.size - np.count_nonzero(keep)):
        meta["dropped_pixels"] = dropped
    return meta
