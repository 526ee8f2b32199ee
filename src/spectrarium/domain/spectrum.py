"""A spectrum as delivered, bit for bit, with ivar, mask and Å derived on demand."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .axis import SpectralAxis
from .errors import DataError
from .observation import Observation, Provenance


class UncertaintyKind(StrEnum):
    """What the delivered uncertainty numbers are."""

    STD = "std"
    VAR = "var"
    IVAR = "ivar"
    NONE = "none"


class FluxCalibration(StrEnum):
    """SSA/SDM `FluxAxis.Accuracy.Calibration`, with unknown allowed."""

    ABSOLUTE = "ABSOLUTE"
    RELATIVE = "RELATIVE"
    NORMALIZED = "NORMALIZED"
    UNCALIBRATED = "UNCALIBRATED"
    UNKNOWN = "unknown"


class Normalisation(StrEnum):
    """Whether the continuum was divided or subtracted out before delivery."""

    NONE = "none"
    CONTINUUM_DIVIDED = "continuum-divided"
    CONTINUUM_SUBTRACTED = "continuum-subtracted"
    SCALED = "scaled"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class FlagScheme:
    """Meaning of the bits of `Spectrum.flags`.

    name : the survey's name for the bit mask (``SPPIXMASK``) · bits : bit number → name
    bad : OR of the bits that make a pixel unusable; None = any non-zero value is bad
    """

    name: str
    bits: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    bad: int | None = None

    def mask(self, flags: NDArray[Any]) -> NDArray[np.bool_]:
        """True where a bad bit is set."""
        if self.bad is None or flags.dtype == np.bool_:
            return np.asarray(flags != 0)
        return np.asarray((flags & flags.dtype.type(self.bad & np.iinfo(flags.dtype).max)) != 0)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class Spectrum:
    """One spectrum: samples along one spectral axis.

    Parameters
    ----------
    axis : (n,) spectral axis
    flux : (n,) float or integer, as delivered (native byte order), in `flux_unit`
    uncertainty : (n,) as delivered, of the kind `uncertainty_kind`; None = the file gives none
    flags : (n,) integer or bool as delivered, bits explained by `flag_scheme`; None = none given
    flux_unit : unit text astropy understands; ``""`` dimensionless; None unknown
    extras : further per-pixel arrays worth keeping (``wdisp``, ``sky``, ``continuum`` …), (n,)
    Raises
    ------
    DataError : `mismatched_lengths` (arrays of unequal shape), `bad_type` (flux or uncertainty
        that are no numbers, flags that are no integers)
    """

    axis: SpectralAxis
    flux: NDArray[Any]
    observation: Observation
    provenance: Provenance
    uncertainty: NDArray[Any] | None = None
    uncertainty_kind: UncertaintyKind = UncertaintyKind.NONE
    flags: NDArray[Any] | None = None
    flag_scheme: FlagScheme | None = None
    flux_unit: str | None = None
    flux_ucd: str | None = None
    flux_calibration: FluxCalibration = FluxCalibration.UNKNOWN
    normalisation: Normalisation = Normalisation.UNKNOWN
    extras: Mapping[str, NDArray[Any]] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        for what, values, kinds in (
            ("flux", self.flux, "fiu"), ("uncertainty", self.uncertainty, "fiu"),
            ("flags", self.flags, "iub"),
        ):  # fmt: skip
            if values is not None and values.dtype.kind not in kinds:
                raise DataError(
                    f"the {what} has values of the type {values.dtype}", code="bad_type",
                    where=self.provenance.path, hdu=self.provenance.hdu, row=self.provenance.row,
                    remedy="the file is damaged or of another layout: fetch it again",
                )  # fmt: skip
        shape = self.flux.shape
        arrays = {"wavelength": self.axis.shape}
        if self.uncertainty is not None:
            arrays["uncertainty"] = self.uncertainty.shape
        if self.flags is not None:
            arrays["flags"] = self.flags.shape
        arrays |= {name: array.shape for name, array in self.extras.items()}
        for name, got in arrays.items():
            if got != shape:
                raise DataError(
                    f"flux has shape {shape} but {name} has {got}",
                    code="mismatched_lengths", where=self.provenance.path,
                    hdu=self.provenance.hdu, row=self.provenance.row,
                    remedy="the file is inconsistent: fetch it again or mend it",
                )  # fmt: skip
        if (self.uncertainty is None) != (self.uncertainty_kind is UncertaintyKind.NONE):
            raise DataError("uncertainty and its kind must come together", code="bad_uncertainty")

    def __repr__(self) -> str:
        name = self.observation.obs_id or self.provenance.path
        unit = "unit unknown" if self.flux_unit is None else self.flux_unit or "dimensionless"
        return (f"<{type(self).__name__} {name}: {' × '.join(map(str, self.flux.shape))} samples, "
                f"{self.axis.medium.value} {self.axis.specsys.value}, flux in {unit}>")  # fmt: skip

    def __len__(self) -> int:
        return self.flux.size

    @property
    def wave_aa(self) -> NDArray[np.float64]:
        """Wavelength in Å in the axis's own medium and frame, delivered order."""
        return self.axis.wave_aa()

    @property
    def ivar(self) -> NDArray[np.float64] | None:
        """1/flux², 0 where there is no information; None if the file gives no errors."""
        if self.uncertainty is None:
            return None
        return to_ivar(self.uncertainty, self.uncertainty_kind)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """True = bad: not finite, λ ≤ 0, ivar 0, or flagged by a bad bit."""
        wave = self.wave_aa
        with np.errstate(invalid="ignore"):
            bad = ~(np.isfinite(self.flux) & np.isfinite(wave) & (wave > 0))
        ivar = self.ivar
        if ivar is not None:
            bad |= ivar == 0
        if self.flags is not None:
            scheme = self.flag_scheme or FlagScheme("unknown")
            bad |= scheme.mask(self.flags)
        return np.asarray(bad)

    def to_specutils(self) -> Any:
        """A `specutils.Spectrum` in Å; a `specutils.SpectrumList`, order by order, for échelle.

        Returns
        -------
        spectrum : flux in its unit (dimensionless when it has none or an unknown one, told in
            ``meta["flux_unit"]``), uncertainty of the delivered kind, mask True = bad, pixels
            without a usable wavelength dropped (``meta["dropped_pixels"]``); ``meta`` holds
            medium, specsys, flags, extras, observation and provenance
        Raises
        ------
        UsageError (missing_extra) : specutils is not installed
        """
        from .convert import to_specutils

        return to_specutils(self)

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed (and validated again)."""
        return dataclasses.replace(self, **changes)


def to_ivar(uncertainty: NDArray[Any], kind: UncertaintyKind) -> NDArray[np.float64]:
    """Inverse variance, float64; 0 where the uncertainty is not positive and finite."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        sigma = uncertainty.astype(np.float64)
        if kind is UncertaintyKind.STD:
            ivar = 1.0 / (sigma * sigma)
        elif kind is UncertaintyKind.VAR:
            ivar = 1.0 / sigma
        else:
            ivar = sigma
        ivar[~(np.isfinite(ivar) & np.isfinite(sigma) & (sigma > 0))] = 0.0
    return ivar


@dataclass(frozen=True, slots=True, eq=False, kw_only=True, repr=False)
class EchelleSpectrum(Spectrum):
    """Orders kept apart: every array is (n_orders, n_pix); `order_numbers` is (n_orders,).

    ``extras["blaze"]`` holds the blaze function where it is known; BERV (km/s) and BJD_TDB are
    in the observation. Traces (fibres, slices) are separate spectra with their own `obs_id`.
    """

    order_numbers: tuple[int, ...] = ()
    trace: str | None = None

    def __post_init__(self) -> None:
        # zero-argument super() fails in slotted dataclasses: the class is rebuilt
        Spectrum.__post_init__(self)
        if self.flux.ndim != 2 or len(self.order_numbers) != self.flux.shape[0]:
            raise DataError(
                f"echelle flux {self.flux.shape} needs one number for each of its orders",
                code="mismatched_lengths", where=self.provenance.path,
            )  # fmt: skip

    def order(self, index: int) -> Spectrum:
        """The order at position `index` as a spectrum of its own."""
        values = self.axis.coordinate()
        return Spectrum(
            axis=dataclasses.replace(self.axis, values=values[index], wcs=None),
            flux=self.flux[index],
            observation=self.observation,
            provenance=self.provenance,
            uncertainty=None if self.uncertainty is None else self.uncertainty[index],
            uncertainty_kind=self.uncertainty_kind,
            flags=None if self.flags is None else self.flags[index],
            flag_scheme=self.flag_scheme,
            flux_unit=self.flux_unit,
            flux_ucd=self.flux_ucd,
            flux_calibration=self.flux_calibration,
            normalisation=self.normalisation,
            extras={k: v[index] for k, v in self.extras.items()},
        )
