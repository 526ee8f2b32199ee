"""The spectral coordinate: as delivered, with its medium and frame, and in Å on demand."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError
from .units import scale_to, spectral_kind

HC_EV_AA = 12_398.419_843_320_026
"""h·c in eV Å (CODATA 2018, exact SI constants)."""
C_AA_S = 2.997_924_58e18
"""Speed of light in Å/s."""


class Medium(StrEnum):
    """What the wavelengths are measured in. Unknown stays unknown."""

    VACUUM = "vacuum"
    AIR = "air"
    UNKNOWN = "unknown"


class SpecSys(StrEnum):
    """Velocity frame of the wavelengths, in FITS Paper III's words; SOURCE is the rest frame."""

    TOPOCENT = "TOPOCENT"
    GEOCENTR = "GEOCENTR"
    HELIOCEN = "HELIOCEN"
    BARYCENT = "BARYCENT"
    LSRK = "LSRK"
    LSRD = "LSRD"
    GALACTOC = "GALACTOC"
    SOURCE = "SOURCE"
    UNKNOWN = "unknown"


class Scale(StrEnum):
    """How the delivered numbers relate to the coordinate."""

    LINEAR = "linear"
    LOG10 = "log10"
    LN = "ln"


@dataclass(frozen=True, slots=True)
class LinearWCS:
    """``value[i] = crval + cdelt · (i + 1 − crpix)`` for i in 0 … n−1 (FITS Paper I)."""

    crval: float
    cdelt: float
    crpix: float
    n: int

    def values(self, start: int = 0, stop: int | None = None) -> NDArray[np.float64]:
        """(stop − start,) float64, in the units of the axis."""
        return self.at(np.arange(start, self.n if stop is None else stop, dtype=np.float64))

    def at(self, index: NDArray[Any]) -> NDArray[np.float64]:
        """The values of some samples, by their index from 0."""
        return np.asarray(self.crval + self.cdelt * (index + (1.0 - self.crpix)))


@dataclass(frozen=True, slots=True, eq=False)
class SpectralAxis:
    """Where each sample lies.

    Parameters
    ----------
    unit : unit of the coordinate (never of its logarithm): ``Angstrom``, ``nm``, ``Hz``, ``eV`` …
    values : (n,) or (n_orders, n) float as delivered, or None when `wcs` gives them
    wcs : linear world coordinates, or None when `values` are given
    scale : ``log10``/``ln`` if the delivered numbers are logarithms of the coordinate
    medium, specsys : unknown unless the file or its survey's documentation says
    rest_frequency_hz : needed by, and only by, a velocity axis (radio convention)
    """

    unit: str
    values: NDArray[Any] | None = None
    wcs: LinearWCS | None = None
    scale: Scale = Scale.LINEAR
    medium: Medium = Medium.UNKNOWN
    specsys: SpecSys = SpecSys.UNKNOWN
    rest_frequency_hz: float | None = None

    def __post_init__(self) -> None:
        if (self.values is None) == (self.wcs is None):
            raise DataError("an axis has either values or a WCS", code="bad_axis")
        kind = spectral_kind(self.unit)
        if kind is None:
            raise DataError(
                f"{self.unit!r} is not a unit of wavelength, frequency, wavenumber or energy",
                code="bad_wave_unit",
                remedy="declare the unit with --wave-unit",
            )
        if kind == "velocity" and not self.rest_frequency_hz:
            raise DataError(
                "a velocity axis without a rest frequency", code="bad_axis",
                remedy="add RESTFRQ to the header",
            )  # fmt: skip

    @property
    def shape(self) -> tuple[int, ...]:
        """(n,) or (n_orders, n)."""
        if self.values is not None:
            return self.values.shape
        assert self.wcs is not None
        return (self.wcs.n,)

    def __len__(self) -> int:
        return int(np.prod(self.shape))

    def coordinate(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """The delivered numbers (slices along the flattened axis when bounds are given)."""
        if self.values is None:
            assert self.wcs is not None
            return self.wcs.values(start, stop)
        if start == 0 and stop is None:
            return self.values
        return self.values.reshape(-1)[start:stop]

    def wave_aa(self, start: int = 0, stop: int | None = None) -> NDArray[np.float64]:
        """Wavelength in Å, in the axis's own medium and frame, in the delivered order."""
        return self.to_aa(self.coordinate(start, stop))

    def to_aa(self, coordinate: NDArray[Any]) -> NDArray[np.float64]:
        """Numbers of this axis, as delivered, as wavelengths in Å."""
        # too large a number is no wavelength but infinite; a signalling NaN is one NaN more
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            return self._in_aa(coordinate.astype(np.float64))

    def _in_aa(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.scale is Scale.LOG10:
            x = 10.0**x
        elif self.scale is Scale.LN:
            x = np.exp(x)
        kind = spectral_kind(self.unit)
        if kind == "wavelength":
            factor = scale_to(self.unit, "Angstrom")
            return x if factor == 1.0 else x * factor
        if kind == "frequency":
            return C_AA_S / (x * scale_to(self.unit, "Hz"))
        if kind == "wavenumber":
            return 1e10 / (x * scale_to(self.unit, "m-1"))
        if kind == "energy":
            return HC_EV_AA / (x * scale_to(self.unit, "eV"))
        assert self.rest_frequency_hz is not None
        beta = x * scale_to(self.unit, "km s-1") / 299_792.458
        return C_AA_S / (self.rest_frequency_hz * (1.0 - beta))
