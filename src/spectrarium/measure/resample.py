"""Rebinning that conserves flux and variance, linear in the number of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from ..domain.errors import UsageError
from .pixels import as_bounds, pixel_bounds

Quantity = Literal["density", "counts"]


@dataclass(frozen=True, slots=True, eq=False)
class Resampled:
    """Spectra on a new grid; the leading axes are those of the input flux.

    flux : (…, m) float64; NaN where no good input pixel contributes
    ivar : (…, m) float64, 0 where masked; None if no ivar was given
    mask : (…, m) bool, True where coverage < min_coverage
    coverage : (…, m) fraction 0…1 of each bin's width that good pixels cover
    covariance : (…, m − 1) of neighbouring bins in flux², 0 beside a masked bin; None unless asked
    """

    flux: NDArray[np.float64]
    mask: NDArray[np.bool_]
    coverage: NDArray[np.float64]
    ivar: NDArray[np.float64] | None = None
    covariance: NDArray[np.float64] | None = None


_BLOCK = 2**16
"""Samples handled at a time: few enough to stay in the processor's cache."""


class Resampler:
    """Rebins any number of spectra from one grid to another; the overlaps are computed once.

    The value of a bin is the mean flux density over the part of it that good pixels cover, each
    pixel weighing by its overlap: ∫F dλ is conserved over what both grids cover. Overlaps are
    summed directly and never as differences of a running total, which is as fast and loses no
    digit next to a cosmic ray of 1e15 times the flux.

    Parameters
    ----------
    grid_in, grid_out : (n + 1,) edges or (n, 2) bounds (see `pixel_bounds`), ascending or
        descending, in one unit; bounds may leave gaps but not overlap
    quantity : ``density`` (flux per unit of the grid) or ``counts`` (flux per pixel, summed)
    min_coverage : bins with less of their width covered by good pixels are masked
    Raises
    ------
    UsageError (bad_grid) : edges that are not finite, distinct and sorted
    """

    def __init__(
        self,
        grid_in: ArrayLike,
        grid_out: ArrayLike,
        *,
        quantity: Quantity = "density",
        min_coverage: float = 0.5,
    ) -> None:
        if quantity not in ("density", "counts"):
            raise UsageError(f"quantity={quantity!r} is not known", code="unknown_option",
                             remedy="choose density or counts")  # fmt: skip
        bounds_in, flip_in = as_bounds(grid_in, "grid_in")
        bounds_out, self._flip_out = as_bounds(grid_out, "grid_out")
        self.n_in, self.n_out = len(bounds_in), len(bounds_out)
        self.quantity = quantity
        self.min_coverage = min_coverage
        self._width_in = bounds_in[:, 1] - bounds_in[:, 0]
        self._width_out = bounds_out[:, 1] - bounds_out[:, 0]
        if flip_in:
            self._width_in = self._width_in[::-1]
        self._fraction = _overlap_fractions(bounds_in, bounds_out, flip_in)
        self._squared: csr_array | None = None
        self._shared: tuple[NDArray[np.intp], NDArray[np.float64]] | None = None

    def __call__(
        self,
        flux: NDArray[Any],
        ivar: NDArray[Any] | None = None,
        mask: NDArray[np.bool_] | None = None,
        *,
        covariance: bool = False,
    ) -> Resampled:
        """Spectra on the output grid.

        Parameters
        ----------
        flux : (…, n) float, any unit · ivar : (…, n) 1/flux², 0 = no information; None = unknown
        mask : (…, n) True = bad; pixels that are not finite or have ivar ≤ 0 are bad too
        covariance : also give the covariance of neighbouring bins (needs ivar)
        Returns
        -------
        Resampled; its ivar is 1/Σ(wᵢ² σᵢ²), exact for independent input pixels. Bins that share a
        pixel are correlated: with bins wider than a pixel only neighbours are, and `covariance`
        holds all of it; when upsampling, bins inside one pixel repeat its value and its ivar and
        are fully correlated, so the number of independent samples does not grow.
        Raises
        ------
        UsageError (mismatched_lengths) : shapes that do not fit the grid or each other
        Source: Carnall 2017, arXiv:1705.05165, eqs. 3–4 (there without masks and covariance).
        """
        flux = np.asarray(flux)
        self._check(flux, ivar, mask)
        if covariance and ivar is None:
            raise UsageError("covariance needs ivar", code="no_ivar", remedy="give ivar")
        rows = max(1, _BLOCK // self.n_in)
        if flux.ndim == 1 or flux.size <= rows * self.n_in:
            return self._block(flux, ivar, mask, covariance)
        flat = flux.reshape(-1, self.n_in)
        flat_ivar = None if ivar is None else ivar.reshape(-1, self.n_in)
        flat_mask = None if mask is None else mask.reshape(-1, self.n_in)
        parts = [
            self._block(
                flat[at : at + rows],
                None if flat_ivar is None else flat_ivar[at : at + rows],
                None if flat_mask is None else flat_mask[at : at + rows],
                covariance,
            )
            for at in range(0, len(flat), rows)
        ]
        return _joined(parts, flux.shape[:-1])

    def _block(
        self,
        flux: NDArray[Any],
        ivar: NDArray[Any] | None,
        mask: NDArray[np.bool_] | None,
        covariance: bool,
    ) -> Resampled:
        data, good, variance = self._inputs(flux, ivar, mask)
        if good is None:
            coverage = np.broadcast_to(self._covered_by_all, (*data.shape[:-1], self.n_out))
        else:
            coverage = _apply(self._fraction, good.astype(np.float64))
        covered = coverage > 0
        scale = np.divide(1.0, coverage, out=np.full(coverage.shape, np.nan), where=covered)
        if self.quantity == "counts":
            scale = scale * self._width_out
        out = _apply(self._fraction, data) * scale
        bad = ~(coverage >= self.min_coverage * (1.0 - 1e-9)) | ~covered
        ivar_out = cov_out = None
        if variance is not None:
            ivar_out, cov_out = self._noise(variance, scale, bad, covariance)
        return self._ordered(out, bad, coverage, ivar_out, cov_out)

    @property
    def _covered_by_all(self) -> NDArray[np.float64]:
        return np.asarray(np.minimum(self._fraction @ np.ones(self.n_in), 1.0))

    def _check(
        self, flux: NDArray[Any], ivar: NDArray[Any] | None, mask: NDArray[np.bool_] | None
    ) -> None:
        for name, array in (("flux", flux), ("ivar", ivar), ("mask", mask)):
            if array is not None and (array.shape != flux.shape or flux.shape[-1:] != (self.n_in,)):
                raise UsageError(
                    f"{name} has shape {array.shape}, flux {flux.shape}, the grid {self.n_in} "
                    "pixels", code="mismatched_lengths", where=name,
                )  # fmt: skip

    def _inputs(
        self, flux: NDArray[Any], ivar: NDArray[Any] | None, mask: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None, NDArray[np.float64] | None]:
        """Flux density with bad pixels zeroed, good pixels (None = all), variance."""
        data = flux.astype(np.float64)
        good = np.isfinite(data)
        if mask is not None:
            good &= ~mask
        variance = None
        if ivar is not None:
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                variance = 1.0 / ivar.astype(np.float64)
            good &= (variance > 0) & np.isfinite(variance) & (ivar > 0)
        if self.quantity == "counts":
            data /= self._width_in
            if variance is not None:
                variance /= self._width_in**2
        if good.all():
            return data, None, variance
        data[~good] = 0.0
        if variance is not None:
            variance[~good] = 0.0
        return data, good, variance

    def _noise(
        self,
        variance: NDArray[np.float64],
        scale: NDArray[np.float64],
        bad: NDArray[np.bool_],
        covariance: bool,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        if self._squared is None:
            f = self._fraction
            self._squared = csr_array((f.data**2, f.indices, f.indptr), shape=f.shape)
        var_out = _apply(self._squared, variance) * scale**2
        ivar = np.divide(1.0, var_out, out=np.zeros(var_out.shape), where=~bad & (var_out > 0))
        if not covariance:
            return ivar, None
        if self._shared is None:
            self._shared = _shared_pixel(self._fraction)
        pixel, product = self._shared
        cov = product * variance[..., pixel] * scale[..., :-1] * scale[..., 1:]
        return ivar, np.where(bad[..., :-1] | bad[..., 1:], 0.0, cov)

    def _ordered(
        self,
        flux: NDArray[np.float64],
        mask: NDArray[np.bool_],
        coverage: NDArray[np.float64],
        ivar: NDArray[np.float64] | None,
        covariance: NDArray[np.float64] | None,
    ) -> Resampled:
        if not self._flip_out:
            return Resampled(flux, mask, coverage, ivar, covariance)
        return Resampled(
            flux[..., ::-1], mask[..., ::-1], coverage[..., ::-1],
            None if ivar is None else ivar[..., ::-1],
            None if covariance is None else covariance[..., ::-1],
        )  # fmt: skip


def resample(
    wave: ArrayLike,
    flux: NDArray[Any],
    wave_out: ArrayLike,
    ivar: NDArray[Any] | None = None,
    mask: NDArray[np.bool_] | None = None,
    *,
    quantity: Quantity = "density",
    min_coverage: float = 0.5,
    covariance: bool = False,
) -> Resampled:
    """One spectrum, or many on one grid, rebinned from pixel centres to pixel centres.

    Parameters
    ----------
    wave, wave_out : (n,), (m,) pixel centres in one unit, ascending or descending; gaps in
        `wave` are found by `pixel_bounds`. Edges or bounds: use `Resampler`.
    flux, ivar, mask, covariance : as `Resampler.__call__`
    quantity, min_coverage : as `Resampler`
    """
    rebin = Resampler(
        pixel_bounds(wave), pixel_bounds(wave_out), quantity=quantity, min_coverage=min_coverage
    )
    return rebin(flux, ivar, mask, covariance=covariance)


def _joined(parts: list[Resampled], lead: tuple[int, ...]) -> Resampled:
    def join(name: str) -> Any:
        arrays = [getattr(part, name) for part in parts]
        if arrays[0] is None:
            return None
        return np.concatenate(arrays).reshape(*lead, arrays[0].shape[-1])

    return Resampled(join("flux"), join("mask"), join("coverage"), join("ivar"), join("covariance"))


def _overlap_fractions(
    pixels: NDArray[np.float64], bins: NDArray[np.float64], flip_in: bool
) -> csr_array:
    """(n_out, n_in) fraction of each output bin that each input pixel overlaps."""
    n_in, n_out = len(pixels), len(bins)
    low, high = bins[:, 0], bins[:, 1]
    first = np.searchsorted(pixels[:, 1], low, side="right")
    stop = np.searchsorted(pixels[:, 0], high, side="left")
    count = np.maximum(stop - first, 0)
    indptr = np.zeros(n_out + 1, dtype=np.int64)
    np.cumsum(count, out=indptr[1:])
    pixel = np.arange(indptr[-1]) + np.repeat(first - indptr[:-1], count)
    fraction = np.minimum(pixels[pixel, 1], np.repeat(high, count))
    fraction -= np.maximum(pixels[pixel, 0], np.repeat(low, count))
    fraction /= np.repeat(high - low, count)
    column = (n_in - 1 - pixel) if flip_in else pixel
    small = max(n_in, n_out, int(indptr[-1])) < 2**31
    kind = np.int32 if small else np.int64
    return csr_array((fraction, column.astype(kind), indptr.astype(kind)), shape=(n_out, n_in))


def _shared_pixel(fraction: csr_array) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """For neighbouring bins, the one pixel both overlap (0 if none) and the fractions' product.

    Contiguous bins can share at most one pixel: the last of one and the first of the next.
    """
    start, end = fraction.indptr[:-1].astype(np.intp), fraction.indptr[1:].astype(np.intp)
    filled = (end > start)[:-1] & (end > start)[1:]
    last, first = np.where(filled, end[:-1] - 1, 0), np.where(filled, start[1:], 0)
    if fraction.nnz == 0:
        return np.zeros(len(last), dtype=np.intp), np.zeros(len(last))
    pixel = fraction.indices[last].astype(np.intp)
    shared = filled & (pixel == fraction.indices[first])
    product = np.where(shared, fraction.data[last] * fraction.data[first], 0.0)
    return np.where(shared, pixel, 0), product


def _apply(matrix: csr_array, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """`matrix` on the last axis of `values`."""
    if values.ndim == 1:
        return np.asarray(matrix @ values)
    flat = values.reshape(-1, values.shape[-1])
    out = np.asarray(matrix @ np.ascontiguousarray(flat.T)).T
    return np.ascontiguousarray(out).reshape(*values.shape[:-1], matrix.shape[0])
