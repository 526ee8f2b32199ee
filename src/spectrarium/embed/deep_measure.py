"""What is measured with a trained network: the scatter it leaves, and how its vectors spread."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MEDIAN_CHI2 = 0.4549364
"""Median of χ² with one degree of freedom."""
_HALVINGS = 24
_SLAB = 2**22
"""Values (spectra × pixels) solved at a time."""


def excess_variance(residual: NDArray[Any], ivar: NDArray[Any], floor: float) -> NDArray[Any]:
    """Per-pixel variance that noise does not explain, robust to outliers.

    Per pixel the s² for which the median of r²/(1/ivar + s²) is that of χ²₁, by halving intervals
    of ln s²; not below `floor`, the floor also where no spectrum has information.

    Parameters
    ----------
    residual, ivar : (n, n_pix); ivar 0 = no information
    floor : least variance, normalised flux²
    Returns
    -------
    (n_pix,) float32
    """
    width = max(1, _SLAB // max(1, len(residual)))
    parts = [_solve(residual[:, i : i + width], ivar[:, i : i + width], floor)
             for i in range(0, residual.shape[1], width)]  # fmt: skip
    return np.concatenate(parts).astype(np.float32)


def _solve(residual: NDArray[Any], ivar: NDArray[Any], floor: float) -> NDArray[Any]:
    good = ivar > 0
    square = np.where(good, residual.astype(np.float64) ** 2, np.nan)
    noise = np.divide(1.0, ivar, out=np.full(ivar.shape, np.nan), where=good)
    seen = good.any(axis=0)
    square, noise = square[:, seen], noise[:, seen]
    low = np.full(square.shape[1], np.log(floor))
    high = np.log(np.maximum(np.nanmax(square, axis=0, initial=0) * 4, floor)) + 1e-9
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        ratio = np.nanmedian(square / (noise + np.exp(middle)), axis=0)
        above = ratio > MEDIAN_CHI2
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    out = np.full(seen.size, floor)
    out[seen] = np.exp(low)  # `low` stays at the floor where the noise explains it all
    return out


def weighted_chi2(
    flux: NDArray[Any], ivar: NDArray[Any], model: NDArray[Any], scatter: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(n,) Σ (flux − model)²/(1/ivar + scatter) over informative pixels, and their number."""
    weight = ivar / (1.0 + ivar * scatter)
    chi2 = (weight * (flux - model) ** 2).sum(axis=1, dtype=np.float64)
    return chi2, (ivar > 0).sum(axis=1)
