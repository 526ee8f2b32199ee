"""DESI ``coadd-*`` and ``spectra-*``: many targets a file, one image HDU per camera and quantity.

The cameras overlap on different grids, so each target gives one spectrum per camera as delivered
(merged ``BRZ`` files give one): joining them would resample. Rows are read one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import Medium, SpecSys, SpectralAxis
from ..domain.errors import DataError
from ..domain.spectrum import (
    FlagScheme,
    FluxCalibration,
    Normalisation,
    Spectrum,
    UncertaintyKind,
)
from .desi_tables import Rows, arms, lonely
from .fits import FitsFile, Hdu, Header
from .header_values import provenance
from .registry import CERTAIN, LIKELY, Item, NotASpectrum, Reader
from .source import SourceFile

FLUX_UNIT = "1e-17 erg s-1 cm-2 Angstrom-1"
_BITPIX = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
SPECMASK = FlagScheme(
    "specmask",
    MappingProxyType({
        0: "SOMEBADPIX", 1: "ALLBADPIX", 2: "COSMIC", 3: "LOWFLAT", 4: "BADFIBERFLAT",
        5: "BRIGHTSKY", 6: "BADSKY", 7: "BAD2DFIT", 8: "NODATA", 9: "BADFIBER",
    }),
    bad=None,
)  # fmt: skip
"""Any bit makes a pixel bad: coaddition and redrock set ivar to 0 wherever the mask is not 0."""

_CATALOGUES = ("REDSHIFTS", "ZBEST", "ZCATALOG", "EMLINEFIT", "MGII", "QN_RR", "QN+RR")


def recognise(source: SourceFile) -> int:
    """Score by the names of the HDUs."""
    if not source.is_fits:
        return 0
    fits = source.fits
    if len(fits) > 3 and arms(fits):
        table = fits.named("FIBERMAP")
        return CERTAIN if table is not None and table.has("TARGETID") else LIKELY
    catalogue = _catalogue(fits)
    return CERTAIN if catalogue is not None and catalogue.has("TARGETID") else 0


def _catalogue(fits: FitsFile) -> Hdu | None:
    return next((hdu for hdu in fits.hdus[1:4] if hdu.name in _CATALOGUES), None)


def read(source: SourceFile) -> Iterator[Item]:
    """One spectrum per target (or target and exposure) and camera."""
    fits = source.fits
    names = arms(fits)
    if not names:
        hdu = _catalogue(fits)
        yield NotASpectrum("DESI redshift catalogue", hdu=None if hdu is None else hdu.index)
        return
    for name in lonely(fits):
        hdu = fits.names[name]
        yield fits.bad(f"{name} has no counterpart: a camera is lost", "missing_hdu", hdu.index)
    rows = Rows(source)
    cameras: list[_Arm] = []
    for name in names:
        try:
            cameras.append(_Arm(fits, name, rows.count))
        except DataError as error:
            yield error
    for row in range(rows.count if cameras else 0):
        yield from _target(source, rows, cameras, row)


def _target(source: SourceFile, rows: Rows, cameras: list[_Arm], row: int) -> Iterator[Item]:
    loaded = [arm.load(row) for arm in cameras]
    if all(ivar is not None and not np.count_nonzero(ivar) for _, ivar, _ in loaded):
        # a dead or unassigned fibre is one gap in the archive, not one per camera
        status = rows.value("COADD_FIBERSTATUS", row, rows.value("FIBERSTATUS", row))
        yield DataError(
            f"target {rows.value('TARGETID', row)}: no exposure gave data "
            f"(fibre status {status}, ivar 0 everywhere)",
            code="no_good_pixels", where=source.where, row=row, hdu=cameras[0].flux.index,
            remedy="none: the fibre saw nothing usable",
        )  # fmt: skip
        return
    for arm, (flux, ivar, flags) in zip(cameras, loaded, strict=True):
        try:
            yield Spectrum(
                axis=arm.axis,
                flux=flux,
                uncertainty=ivar,
                uncertainty_kind=UncertaintyKind.NONE if ivar is None else UncertaintyKind.IVAR,
                flags=flags,
                flag_scheme=None if flags is None else SPECMASK,
                flux_unit=arm.flux_unit or source.options.flux_unit,
                flux_calibration=FluxCalibration.ABSOLUTE,
                normalisation=Normalisation.NONE,
                observation=rows.observation(row, arm.name, arm.resolving_power(row)),
                provenance=provenance(
                    source, "desi", hdu=arm.flux.index, row=row, pipeline=rows.pipeline,
                    warnings=(*rows.warnings(row), *arm.missing),
                ),
            )  # fmt: skip
        except DataError as error:
            error.where, error.hdu, error.row = source.where, arm.flux.index, row
            yield error


class _Image:
    """Rows of an image HDU without copying the others; a compressed one is inflated once."""

    def __init__(self, hdu: Hdu) -> None:
        self.index = hdu.index
        bits = abs(hdu.bitpix)
        zero = hdu.header.number("BZERO") or 0.0
        self.unsigned = hdu.bitpix > 8 and zero == 2.0 ** (bits - 1)
        plain = hdu.kind == "image" and hdu.header.get("BSCALE", 1.0) == 1.0
        self.view: NDArray[Any] | None = None
        if plain and (zero == 0.0 or self.unsigned) and hdu.header.get("BLANK") is None:
            self.view = np.ndarray(
                hdu.shape, _BITPIX[hdu.bitpix], hdu.file.data, hdu.data_start
            )  # fmt: skip
        self.hdu = hdu

    @cached_property
    def _whole(self) -> NDArray[Any]:
        return self.hdu.image()

    def row(self, row: int) -> NDArray[Any]:
        """``image()[row]``, copied, in native byte order."""
        if self.view is None:
            inflated: NDArray[Any] = self._whole[row]
            return inflated.copy()
        raw = self.view[row]
        native: NDArray[Any] = raw.astype(raw.dtype.newbyteorder("="))
        if not self.unsigned:
            return native
        kind = np.dtype(f"u{raw.dtype.itemsize}")
        unsigned: NDArray[Any] = native.view(kind) ^ kind.type(1 << (8 * kind.itemsize - 1))
        return unsigned


def _image(fits: FitsFile, name: str, shape: tuple[int, int]) -> _Image | None:
    hdu = fits.named(name)
    if hdu is None:
        return None
    if hdu.shape != shape:
        raise DataError(
            f"{name} has shape {hdu.shape}, {shape} was expected (fibermap rows, wavelengths)",
            code="mismatched_lengths", where=fits.where, hdu=hdu.index,
            remedy="the file is inconsistent: fetch it again",
        )  # fmt: skip
    return _Image(hdu)


class _Arm:
    """The HDUs of one camera. Raises DataError when a shape does not fit."""

    def __init__(self, fits: FitsFile, name: str, n_rows: int) -> None:
        self.name = name
        wave, flux = fits.named(f"{name}_WAVELENGTH"), fits.named(f"{name}_FLUX")
        assert wave is not None
        assert flux is not None
        values = wave.image()
        shape = (n_rows, values.size)
        if values.ndim != 1:
            raise fits.bad(f"{wave.name} has shape {values.shape}, not (n,)", hdu=wave.index)
        self.ivar = _image(fits, f"{name}_IVAR", shape)
        self.mask = _image(fits, f"{name}_MASK", shape)
        self.flux = _image(fits, flux.name, shape) or _Image(flux)
        absent = [x for x in ("IVAR", "MASK") if f"{name}_{x}" not in fits.names]
        self.missing = tuple(f"the file has no {name}_{x}" for x in absent)
        resolution = fits.named(f"{name}_RESOLUTION")
        diagonals = resolution.shape if resolution is not None else ()
        fitting = len(diagonals) == 3 and (diagonals[0], diagonals[2]) == shape
        self.resolution = _Image(resolution) if resolution is not None and fitting else None
        unit = wave.header.string("BUNIT") or "Angstrom"
        self.axis = SpectralAxis(
            unit=unit, values=values, medium=Medium.VACUUM, specsys=SpecSys.BARYCENT
        )
        # absent in files of before 2019; the data model fixes the unit
        self.flux_unit = FLUX_UNIT if _is_desi_unit(flux.header) else flux.header.string("BUNIT")

    def load(self, row: int) -> tuple[NDArray[Any], NDArray[Any] | None, NDArray[Any] | None]:
        """(flux, ivar, mask) of one row, copied."""
        return (
            self.flux.row(row),
            None if self.ivar is None else self.ivar.row(row),
            None if self.mask is None else self.mask.row(row),
        )

    def resolving_power(self, row: int) -> float | None:
        """λ/FWHM at the middle of the camera, from the second moment of the resolution matrix.

        The matrix is stored by diagonals (scipy ``dia_matrix``): column j is the response to
        light of pixel j. Equivalent Gaussian FWHM; the median over 101 pixels steadies it.
        """
        if self.resolution is None:
            return None
        wave = self.axis.coordinate()
        middle = slice(max(0, wave.size // 2 - 50), wave.size // 2 + 51)
        diagonals = self.resolution.row(row)[:, middle].astype(np.float64)
        offset = (len(diagonals) // 2 - np.arange(len(diagonals)))[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            total = diagonals.sum(axis=0)
            mean = (diagonals * offset).sum(axis=0) / total
            variance = (diagonals * offset**2).sum(axis=0) / total - mean**2
        good = np.isfinite(variance) & (variance > 0)
        if good.sum() < 10:
            return None
        fwhm = 2.0 * np.sqrt(2.0 * np.log(2.0) * np.median(variance[good]))
        step = abs(float(np.median(np.diff(wave[middle]))))
        return float(wave[wave.size // 2] / (fwhm * step)) if step > 0 else None


def _is_desi_unit(header: Header) -> bool:
    unit = (header.string("BUNIT") or "10**-17 erg/(s cm2 Angstrom)").replace(" ", "")
    return unit in ("10**-17erg/(scm2Angstrom)", "1e-17erg/(scm2Angstrom)")


READERS = (
    Reader(
        name="desi",
        title="DESI coadd and spectra files",
        recognise=recognise,
        read=read,
        medium="vacuum",
        frame="barycentric (corrected at the tile centre: up to 0.8 km/s from the fibre's own)",
        uncertainty="ivar",
        mask="specmask; any bit is bad",
        why_own="specutils needs the format named, joins nothing but drops mask bits' names, "
        "TARGETID identity and redshifts, and loads whole images",
        source="desidatamodel.readthedocs.io (coadd, spectra); Guy et al. 2023, AJ 165, 144 "
        "(extraction on one vacuum grid, scaled by the barycentric factor kept as HELIOCOR "
        "in the frame files); desispec maskbits",
    ),
)
