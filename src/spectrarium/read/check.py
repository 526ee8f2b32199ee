"""The same questions asked of every spectrum of every format before it may be stored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import LinearWCS, Scale, SpectralAxis
from ..domain.errors import DataError
from ..domain.spectrum import FlagScheme, Spectrum, UncertaintyKind
from ..domain.units import parse_unit, spectral_kind

MIN_GOOD = 10
"""Fewer usable pixels than this are no spectrum."""
WAVE_MIN_AA, WAVE_MAX_AA = 1e-4, 1e12
"""100 MeV gamma rays to 100 m radio waves: beyond, the unit is wrong."""

Bools = NDArray[np.bool_]


def check(spectrum: Spectrum) -> Spectrum:
    """The spectrum itself, if it can be used; without its flux unit if that means nothing.

    A pixel is usable when flux and wavelength are finite, λ > 0, no bad flag is set and its
    uncertainty carries information; all others are only masked. Among the usable ones the
    coordinate must strictly rise or strictly fall (in each order of an echelle spectrum).

    Parameters
    ----------
    spectrum : (n,) or (n_orders, n) as a reader delivered it
    Raises
    ------
    DataError : `no_flux` (no finite flux), `bad_uncertainty` (an unflagged negative or infinite
        inverse variance, or a negative error or variance), `too_few_pixels` (under 10 usable),
        `bad_wave_unit` (all wavelengths outside 1e-4 … 1e12 Å), `duplicate_wavelength`,
        `not_monotonic`; each with file, HDU and row
    Source: the archive's rules on bad input. Valid for: any unit, any scale. Equal neighbours in
    a 16- or 32-bit axis that steps by no more than its own resolution are rounding, not a fault.
    """
    flux_ok = np.isfinite(spectrum.flux)
    if not flux_ok.any():
        raise _bad(spectrum, "no_flux", "the flux has no finite value",
                   "the file holds no measurement: leave it out")  # fmt: skip
    wave_ok = _wave_ok(spectrum.axis)
    usable = flux_ok if wave_ok is None else flux_ok & wave_ok
    if spectrum.flags is not None:
        usable &= ~(spectrum.flag_scheme or FlagScheme("unknown")).mask(spectrum.flags)
    usable = _informative(spectrum, usable)
    n_good = int(np.count_nonzero(usable))
    if n_good < MIN_GOOD:
        raise _bad(
            spectrum, "too_few_pixels",
            f"{n_good} of {usable.size} pixels are usable, at least {MIN_GOOD} are needed",
            "the others are flagged, not finite, at λ ≤ 0 or without information",
        )  # fmt: skip
    _range(spectrum, usable)
    if spectrum.axis.wcs is None or spectrum.axis.wcs.cdelt == 0.0:
        _order(spectrum, usable, n_good)
    return spectrum if _unit_is_known(spectrum.flux_unit) else _without_unit(spectrum)


def _unit_is_known(text: str | None) -> bool:
    return not text or parse_unit(text) is not None


def _without_unit(spectrum: Spectrum) -> Spectrum:
    """A unit that means nothing is unknown; what the file says of it is noted."""
    where = spectrum.provenance
    note = f"the flux unit {spectrum.flux_unit!r} means nothing that is known"
    return spectrum.replace(
        flux_unit=None, provenance=replace(where, warnings=(*where.warnings, note))
    )


def _bad(spectrum: Spectrum, code: str, what: str, remedy: str) -> DataError:
    where = spectrum.provenance
    path = f"{where.path}!{where.member}" if where.member else where.path
    return DataError(what, code=code, where=path, hdu=where.hdu, row=where.row, remedy=remedy)


def _wave_ok(axis: SpectralAxis) -> Bools | None:
    """True where λ is finite and positive; None when that is so everywhere."""
    if axis.wcs is not None and _wcs_is_clean(axis.wcs, axis):
        return None
    x = axis.coordinate()
    if axis.scale is not Scale.LINEAR:  # beyond these λ itself is 0 or infinite in float64
        ok = np.abs(x) < (300.0 if axis.scale is Scale.LOG10 else 700.0)
    elif spectral_kind(axis.unit) == "velocity":
        x = axis.wave_aa()
        ok = np.isfinite(x) & (x > 0)
    else:  # λ > 0 exactly where the frequency, energy or wavenumber is
        ok = (x > 0) & (x < np.inf)
    return None if ok.all() else ok


def _wcs_is_clean(wcs: LinearWCS, axis: SpectralAxis) -> bool:
    ends = wcs.values(0, 1)[0], wcs.values(wcs.n - 1, wcs.n)[0]
    if spectral_kind(axis.unit) == "velocity" or wcs.cdelt == 0.0:
        return False
    if axis.scale is not Scale.LINEAR:
        return bool(np.max(np.abs(ends)) < 300.0)
    return bool(np.isfinite(ends).all()) and min(ends) > 0


def _informative(spectrum: Spectrum, usable: Bools) -> Bools:
    """`usable` without the pixels whose uncertainty says nothing; refuses impossible values."""
    sigma, kind = spectrum.uncertainty, spectrum.uncertainty_kind
    if sigma is None or sigma.dtype.kind not in "fiu":
        return usable
    positive = sigma > 0
    good: Bools = usable & positive
    if kind is UncertaintyKind.IVAR:
        wrong = usable & ((sigma < 0) | np.isinf(sigma))
    else:
        good &= sigma < np.inf
        wrong = usable & (sigma < 0)
    if not wrong.any():
        return good
    first = int(np.argmax(wrong.reshape(-1)))
    name = {"ivar": "inverse variance", "var": "variance", "std": "error"}[kind.value]
    raise _bad(
        spectrum, "bad_uncertainty",
        f"{int(np.count_nonzero(wrong))} usable pixels have a negative or infinite {name}, "
        f"the first is pixel {first} with {sigma.reshape(-1)[first]!s}",
        "flag those pixels, or say what the numbers are",
    )  # fmt: skip


def _range(spectrum: Spectrum, usable: Bools) -> None:
    axis = spectrum.axis
    flat = usable.reshape(-1)
    ends = [int(flat.argmax()), flat.size - 1 - int(flat[::-1].argmax())]
    if axis.values is None:
        waves = [float(axis.wave_aa(i, i + 1)[0]) for i in ends]
    else:
        waves = axis.to_aa(axis.values.reshape(-1)[ends]).tolist()
    low, high = sorted(waves)
    if high >= WAVE_MIN_AA and low <= WAVE_MAX_AA:
        return
    raise _bad(
        spectrum, "bad_wave_unit",
        f"the wavelengths run from {low:.4g} to {high:.4g} Å as read in {axis.unit!r}",
        "the unit in the file is wrong: mend the header",
    )  # fmt: skip


def _order(spectrum: Spectrum, usable: Bools, n_good: int) -> None:
    """Strictly rising or strictly falling among usable samples, order by order."""
    x = spectrum.axis.coordinate()
    if x.ndim == 1:
        x, usable = x[None], usable[None]
    everything = n_good == x.size
    for number, (row, ok) in enumerate(zip(x, usable, strict=True)):
        # the whole row first: compressing costs more than the comparison it usually saves
        if _strict(row):
            continue
        values = row if everything else row[ok]
        if _strict(values) or len(values) < 2:
            continue
        _explain(spectrum, values, number if x.shape[0] > 1 else None)


def _strict(x: NDArray[Any]) -> bool:
    if len(x) < 2:
        return True
    up, down = x[1:], x[:-1]
    if x[0] < x[-1]:
        return bool((up > down).all())
    return bool((up < down).all())


def _explain(spectrum: Spectrum, x: NDArray[Any], order: int | None) -> None:
    """Raise the fitting error unless equal neighbours are only the axis's own rounding."""
    y = x if x.dtype.kind == "f" else x.astype(np.float64)
    y = y if x[0] <= x[-1] else -y
    place = "" if order is None else f" in order {order}"
    backwards = np.flatnonzero(y[1:] < y[:-1])
    if len(backwards):
        i = int(backwards[0])
        raise _bad(
            spectrum, "not_monotonic",
            f"the wavelengths turn back {len(backwards)} times{place}, first from {x[i]!s} to "
            f"{x[i + 1]!s} {spectrum.axis.unit}",
            "the file may hold several orders or exposures end to end: split it",
        )  # fmt: skip
    same = np.flatnonzero(y[1:] == y[:-1])
    real = same[~_rounding(y, same)]
    if len(real):
        raise _bad(
            spectrum, "duplicate_wavelength",
            f"{len(real)} wavelengths occur twice{place}, first {x[real[0]]!s} "
            f"{spectrum.axis.unit}",
            "merge or drop the repeated samples",
        )  # fmt: skip


def _rounding(y: NDArray[Any], same: NDArray[np.intp]) -> Bools:
    """True where the grid around an equal pair steps by no more than its dtype can resolve."""
    if y.dtype.kind != "f" or y.dtype.itemsize > 4:
        return np.zeros(len(same), dtype=bool)
    reach = 8
    low = np.maximum(same - reach, 0)
    high = np.minimum(same + 1 + reach, len(y) - 1)
    step = (y[high].astype(np.float64) - y[low]) / np.maximum(high - low, 1)
    fine: Bools = (step > 0) & (step <= np.spacing(np.abs(y[same])).astype(np.float64))
    return fine


def located(error: DataError, where: str) -> DataError:
    """The error with the file filled in where a reader left it out."""
    if not error.where:
        error.where = where
    return error
