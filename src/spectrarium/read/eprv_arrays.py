"""The extensions of one EPRV trace: variance, quality, models, drift, BERV, BJD and orders."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .fits import FitsFile


def data_of(file: FitsFile, *names: str) -> NDArray[Any] | None:
    """The image of the first extension that is there; None if it is not or is empty."""
    hdu = file.named(*names)
    if hdu is None or hdu.kind not in {"image", "compressed"} or not hdu.axes or 0 in hdu.axes:
        return None
    return hdu.image()


def variance(
    file: FitsFile, stem: str, flux: NDArray[Any], warnings: list[str]
) -> NDArray[Any] | None:
    """The variance as delivered; None (and a warning) where the extension was never filled."""
    name = f"{stem}_VAR"
    var = data_of(file, name)
    if var is None:
        warnings.append(f"{name} is missing or empty: the file gives no errors")
        return None
    if not (var[np.isfinite(var)] != 0).any():
        warnings.append(f"{name} is zero or NaN throughout: the file gives no errors")
        return None
    return var.reshape(flux.shape) if var.size == flux.size else var


def quality(
    file: FitsFile,
    stem: str,
    trace: int | None,
    flux: NDArray[Any],
    extras: dict[str, NDArray[Any]],
    warnings: list[str],
) -> NDArray[Any] | None:
    """Integer flags of the flux's shape, 0 = no flag, or None."""
    name = f"TRACE{trace}_QUALITY"
    flags = data_of(file, f"{stem}_QUALITY", name)
    if flags is None:
        return None
    if flags.dtype.kind not in "iu" or flags.size != flux.size:
        warnings.append(f"{name} is no integer array of the flux's shape: left out")
        return None
    flags = flags.reshape(flux.shape)
    if (flags == 0).any():
        return flags
    # the standard recommends 0 for no flag, no more: an array without any 0 may mean another
    warnings.append(f"{name} never says good (0): kept as an extra, not used as flags")
    extras["quality"] = flags
    return None


def fill_extras(
    file: FitsFile,
    trace: int | None,
    shape: tuple[int, ...],
    extras: dict[str, NDArray[Any]],
    warnings: list[str],
) -> dict[str, float]:
    """Blaze, telluric and sky models and drift into `extras`; a single drift is returned."""
    own = f"TRACE{trace}"
    drift = (f"{own}_DRIFT", "DRIFT") if trace == 1 else (f"{own}_DRIFT",)
    scalars: dict[str, float] = {}
    for key, names in (
        ("blaze", (f"{own}_BLAZE",)), ("telluric", (f"{own}_TELLURIC",)),
        ("skymodel", (f"{own}_SKYMODEL",)), ("drift", drift),
    ):  # fmt: skip
        array = data_of(file, *names)
        if array is None:
            continue
        if array.size == 1:
            if np.isfinite(array).all():
                scalars[key] = float(array.reshape(-1)[0])
            continue
        spread = _spread(array, shape)
        if spread is None:
            warnings.append(f"{names[0]} has shape {array.shape}: left out")
        else:
            extras[key] = spread
    return scalars


def _spread(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any] | None:
    """(n_orders, n_pix) from one value per order or per pixel; None if it is neither."""
    if array.shape == shape:
        return array
    if array.size == shape[0]:
        return np.repeat(array.reshape(-1, 1), shape[1], axis=1)
    return array.reshape(shape) if array.size == shape[0] * shape[1] else None


def velocity_and_time(
    file: FitsFile, shape: tuple[int, ...], extras: dict[str, NDArray[Any]]
) -> tuple[float | None, float | None]:
    """(BERV km/s, BJD_TDB): medians; where they vary over the chip, extras keep all values."""
    out: list[float | None] = []
    for key, name in (("barycorr_kms", "BARYCORR_KMS"), ("bjd_tdb", "BJD_TDB")):
        array = data_of(file, name)
        finite = np.empty(0) if array is None else array[np.isfinite(array)]
        # zero is what an unfilled extension holds: no star's light takes exactly none
        if array is None or not finite.size or not finite.any():
            out.append(None)
            continue
        out.append(float(np.median(finite)))
        spread = _spread(array, shape) if np.ptp(finite) > 0 else None
        if spread is not None:
            extras[key] = spread
    return out[0], out[1]


def order_numbers(file: FitsFile, n_orders: int) -> tuple[int, ...]:
    """Physical echelle orders by array index; the index where the table does not say."""
    table = file.named("ORDER_TABLE")
    if table is not None and table.kind == "table" and table.n_rows == n_orders:
        column = table.find("ECHELLE_ORDER")
        if column is not None and column.code not in "APQLX":
            numbers = table.column("ECHELLE_ORDER").astype(float)
            if table.has("ORDER_INDEX"):
                index = table.column("ORDER_INDEX").astype(float)
                if np.array_equal(np.sort(index), np.arange(n_orders)):
                    numbers = numbers[np.argsort(index)]
            if np.isfinite(numbers).all() and (numbers > 0).all():
                return tuple(int(n) for n in numbers)
    return tuple(range(n_orders))
