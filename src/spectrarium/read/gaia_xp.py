"""Gaia XP coefficients turned into sampled spectra by GaiaXPy (the extra ``gaia``)."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import DataError
from .gaia_tables import GaiaTable

Floats = NDArray[np.float64]
Sampled = tuple[int, Floats, Floats, Floats]
"""Row, wavelength, flux, error."""
BANDS = ("bp", "rp")
_ARRAYS = ("coefficients", "coefficient_errors", "coefficient_correlations")
_CHUNK = 500
"""Sources calibrated at a time: their correlation matrices take 50 kB each."""


def require(where: str) -> str:
    """The version of GaiaXPy. Raises DataError (missing_extra) when it is not installed."""
    if importlib.util.find_spec("gaiaxpy") is None:
        raise DataError(
            "Gaia XP continuous coefficients need GaiaXPy, which is not installed",
            code="missing_extra", where=where,
            remedy="pip install spectrarium[gaia], then ingest the file again",
        )  # fmt: skip
    from importlib.metadata import version

    return version("GaiaXPy")


def calibrate(
    table: GaiaTable, where: str
) -> Iterator[
    tuple[int, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | DataError
]:
    """Externally calibrated spectra on the archive's grid, for each row with a band.

    Parameters
    ----------
    table : rows of ``xp_continuous_mean_spectrum`` · where : the file, for messages
    Returns
    -------
    row, wavelength (343,) nm, flux and 1σ error (343,) W m⁻² nm⁻¹; NaN where a missing band
    leaves nothing. Errors of neighbouring samples are correlated.
    Raises
    ------
    DataError (missing_column) : a coefficient column is not there
    Source: De Angeli et al. 2023, A&A 674, A2; Montegriffo et al. 2023, A&A 674, A3. Valid for:
    336–1020 nm, default design matrices of GaiaXPy.
    """
    needed = {f"{band}_{name}" for band in BANDS for name in _ARRAYS}
    missing = sorted(needed - set(table.columns))
    if missing:
        raise DataError(
            f"no column {', '.join(missing)}", code="missing_column", where=where, hdu=table.hdu,
            remedy="fetch the coefficients with their errors and correlations",
        )  # fmt: skip
    for start in range(0, table.n_rows, _CHUNK):
        good: list[int] = []
        records: list[dict[str, Any]] = []
        for row in range(start, min(start + _CHUNK, table.n_rows)):
            try:
                records.append(_record(table, row))
                good.append(row)
            except ValueError as error:
                yield DataError(str(error), code="bad_coefficients", where=where, row=row,
                                hdu=table.hdu, remedy="fetch it again")  # fmt: skip
        if records:
            yield from _run(records, good, where)


def _run(
    records: list[dict[str, Any]], rows: list[int], where: str
) -> Iterator[
    tuple[int, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | DataError
]:
    import pandas as pd

    # the public calibrate() is this function with a progress bar on stdout that cannot be stilled
    inner = importlib.import_module("gaiaxpy.calibrator.calibrator")._calibrate
    try:
        spectra, grid = inner(
            pd.DataFrame(records, dtype=object), save_file=False, disable_info=True
        )
    except Exception as error:  # a foreign library on foreign numbers: anything can come
        raise DataError(
            f"GaiaXPy could not calibrate rows {rows[0]} to {rows[-1]}: {error}",
            code="calibration_failed", where=where, remedy="fetch the coefficients again",
        ) from error  # fmt: skip
    wave = np.asarray(grid, dtype=np.float64)
    for row, flux, sigma in zip(rows, spectra["flux"], spectra["flux_error"], strict=True):
        yield row, wave, np.asarray(flux, np.float64), np.asarray(sigma, np.float64)


def _record(table: GaiaTable, row: int) -> dict[str, Any]:
    """One source as GaiaXPy wants it. Raises ValueError when the sizes do not fit together."""
    record: dict[str, Any] = {"source_id": int(table.cell("source_id", row) or 0)}
    bands = 0
    for band in BANDS:
        arrays = [_array(table.columns[f"{band}_{name}"][row]) for name in _ARRAYS]
        n = arrays[0].size
        if n == 0:
            record |= {f"{band}_{name}": np.nan for name in (*_ARRAYS, "n_parameters")}
            record |= {f"{band}_standard_deviation": np.nan}
            continue
        if arrays[1].size != n or arrays[2].size != n * (n - 1) // 2:
            raise ValueError(
                f"{band}: {n} coefficients, {arrays[1].size} errors, {arrays[2].size} correlations"
            )
        if not all(np.isfinite(a).all() for a in arrays):
            raise ValueError(f"{band}: coefficients, errors or correlations are not finite")
        bands += 1
        record |= {f"{band}_{name}": a for name, a in zip(_ARRAYS, arrays, strict=True)}
        record[f"{band}_n_parameters"] = n
        # divides the errors and multiplies the result again: any value gives the same spectrum,
        # so a table without it loses nothing
        deviation = table.cell(f"{band}_standard_deviation", row)
        record[f"{band}_standard_deviation"] = float(deviation or 1.0)
    if bands == 0:
        raise ValueError("neither BP nor RP coefficients")
    return record


def _array(value: Any) -> NDArray[np.float64]:
    if value is None or (np.ma.is_masked(value) and np.ndim(value) == 0):
        return np.empty(0)
    return np.atleast_1d(np.ma.filled(np.ma.asarray(value, dtype=np.float64), np.nan))
