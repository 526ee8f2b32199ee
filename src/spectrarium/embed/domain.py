"""What a model may be shown: its wavelength grid and the spectra that belong to it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from numbers import Integral, Real
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import Medium, SpecSys
from ..domain.errors import DataError, UsageError
from ..domain.spectrum import EchelleSpectrum, Normalisation, Spectrum
from ..domain.units import C_KMS, parse_unit

AIR_SHIFT_KMS = 83.5
"""c·(n − 1) of standard air at 5000 Å (Morton 2000); 81–88 km/s over 3000–20000 Å."""
OBSERVER_SHIFT_KMS = 31.0
"""Largest difference between topocentric and barycentric velocity: Earth's orbit and spin."""

PREPARATION = 2
"""How spectra are prepared. 2 added telluric masks and the shift to rest; with neither it is what 1
was, so that models of either version are read."""

_TOPOCENTRIC = {SpecSys.TOPOCENT, SpecSys.GEOCENTR}
_BARYCENTRIC = {SpecSys.HELIOCEN, SpecSys.BARYCENT}


class Rest(StrEnum):
    """By what the wavelengths are shifted to the rest frame of the source."""

    NONE = "none"
    RV = "rv"
    Z = "z"


class Telluric(StrEnum):
    """What is done with samples in strong telluric bands."""

    KEEP = "keep"
    MASK = "mask"


class FluxKind(StrEnum):
    """What the flux means, as far as its shape along wavelength goes."""

    CALIBRATED = "calibrated"
    COUNTS = "counts"
    CONTINUUM_DIVIDED = "continuum-divided"
    CONTINUUM_SUBTRACTED = "continuum-subtracted"


Choice = TypeVar("Choice", bound=StrEnum)


def choice(kind: type[Choice], value: str, name: str) -> Choice:
    """The member of `kind` that `value` names. Raises UsageError (bad_choice) listing them."""
    try:
        return kind(value)
    except ValueError:
        raise UsageError(
            f"{name} cannot be {value!r}", code="bad_choice", where=name,
            remedy=f"choose one of: {', '.join(kind)}",
        ) from None  # fmt: skip


@dataclass(frozen=True, slots=True)
class SpectrumSummary:
    """What decides whether a model covers a spectrum: a row of the catalogue is enough.

    em_min_aa, em_max_aa : first and last good wavelength, Å, as delivered
    pixel_kms : median sample width as a velocity · resolving_power : λ/Δλ, None if unknown
    n_good : good pixels · snr : median per pixel, None if unknown · n_orders : 1 unless echelle
    redshift, rv_kms, berv_kms : as the catalogue has them, None if unknown
    """

    em_min_aa: float
    em_max_aa: float
    n_good: int
    pixel_kms: float
    medium: Medium = Medium.UNKNOWN
    specsys: SpecSys = SpecSys.UNKNOWN
    resolving_power: float | None = None
    flux_kind: FluxKind = FluxKind.CALIBRATED
    snr: float | None = None
    n_orders: int = 1
    redshift: float | None = None
    rv_kms: float | None = None
    berv_kms: float | None = None

    @property
    def resolution(self) -> float:
        """λ/Δλ as given, else the most that the sampling can carry (two pixels per element)."""
        return self.resolving_power or C_KMS / (2.0 * max(self.pixel_kms, 1e-9))

    @classmethod
    def of(cls, spectrum: Spectrum) -> Self:
        """The summary of a spectrum in memory."""
        wave = spectrum.wave_aa
        good = ~spectrum.mask
        inside = np.sort(wave[good])
        steps = np.diff(inside) / inside[1:] if inside.size > 1 else np.array([np.inf])
        orders = spectrum.flux.shape[0] if isinstance(spectrum, EchelleSpectrum) else 1
        return cls(
            em_min_aa=float(inside[0]) if inside.size else math.nan,
            em_max_aa=float(inside[-1]) if inside.size else math.nan,
            n_good=int(inside.size),
            pixel_kms=float(np.median(steps)) * C_KMS,
            medium=spectrum.axis.medium,
            specsys=spectrum.axis.specsys,
            resolving_power=spectrum.observation.em_res_power,
            flux_kind=flux_kind(spectrum.flux_unit, spectrum.normalisation),
            snr=spectrum.observation.snr,
            n_orders=orders,
            redshift=spectrum.observation.redshift,
            rv_kms=spectrum.observation.rv_kms,
            berv_kms=spectrum.observation.berv_kms,
        )


def flux_kind(unit: str | None, normalisation: Normalisation) -> FluxKind:
    """Continuum-divided and subtracted as the file says; counts by unit; else calibrated shape."""
    if normalisation is Normalisation.CONTINUUM_DIVIDED:
        return FluxKind.CONTINUUM_DIVIDED
    if normalisation is Normalisation.CONTINUUM_SUBTRACTED:
        return FluxKind.CONTINUUM_SUBTRACTED
    parsed = parse_unit(unit)
    if parsed is not None and {"ct", "adu", "electron", "ph"} & {b.to_string() for b in
                                                                 parsed.bases}:  # fmt: skip
        return FluxKind.COUNTS
    return FluxKind.CALIBRATED


def frame_class(specsys: SpecSys, pixel_kms: float) -> str:
    """Frames that one model may mix, given its pixel.

    Topocentric and barycentric wavelengths differ by up to 31 km/s; they are one class
    (``observed``) only where that is at most half a pixel. Rest frame and unknown stand alone.
    """
    if specsys in _TOPOCENTRIC | _BARYCENTRIC and pixel_kms >= 2 * OBSERVER_SHIFT_KMS:
        return "observed"
    if specsys in _TOPOCENTRIC:
        return "topocentric"
    if specsys in _BARYCENTRIC:
        return "barycentric"
    return {SpecSys.SOURCE: "rest", SpecSys.UNKNOWN: "unknown"}.get(specsys, specsys.value)


def rest_shift(s: SpectrumSummary, rest: Rest, pixel_kms: float) -> tuple[float, str]:
    """(1 + z by which observed wavelengths are divided, "") or (1, why it cannot be told).

    Catalogues quote velocities and redshifts at the barycentre: topocentric wavelengths are first
    moved there by the Earth's velocity (``berv_kms``, positive towards the source), which may be
    unknown only where the model's pixel is too wide to see it. What is at rest already stays.
    """
    if rest == Rest.NONE or s.specsys is SpecSys.SOURCE:
        return 1.0, ""
    if s.specsys not in _TOPOCENTRIC | _BARYCENTRIC:
        return 1.0, f"frame is {s.specsys.value}: cannot be shifted to rest"
    one_plus_z, reason = _one_plus_z(s, rest)
    if reason or s.specsys in _BARYCENTRIC:
        return one_plus_z, reason
    if s.berv_kms is not None and abs(s.berv_kms) <= 2 * OBSERVER_SHIFT_KMS:
        return one_plus_z / (1.0 + s.berv_kms / C_KMS), ""
    if pixel_kms >= 2 * OBSERVER_SHIFT_KMS:
        return one_plus_z, ""
    return 1.0, "topocentric, and its barycentric correction is unknown"


def _one_plus_z(s: SpectrumSummary, rest: Rest) -> tuple[float, str]:
    if rest == Rest.RV:
        if s.rv_kms is None or not math.isfinite(s.rv_kms):
            return 1.0, "no radial velocity to shift it to rest by"
        if abs(s.rv_kms) >= C_KMS:
            return 1.0, "its radial velocity is not below that of light"
        beta = s.rv_kms / C_KMS
        return math.sqrt((1.0 + beta) / (1.0 - beta)), ""
    if s.redshift is None or not math.isfinite(s.redshift):
        return 1.0, "no redshift to shift it to rest by"
    if s.redshift <= -0.5:
        return 1.0, "its redshift is a sentinel, not a redshift"
    return 1.0 + s.redshift, ""


def telluric_shift(s: SpectrumSummary) -> tuple[float, float, str]:
    """(factor to the observer's wavelengths, margin in km/s, "") or why bands cannot be placed.

    Wavelengths at rest are multiplied by 1 + z of the catalogue (redshift, else velocity).
    """
    margin = AIR_SHIFT_KMS if s.medium is Medium.UNKNOWN else 0.0
    if s.specsys in _TOPOCENTRIC:
        return 1.0, margin, ""
    if s.specsys in _BARYCENTRIC:
        if s.berv_kms is not None and abs(s.berv_kms) <= 2 * OBSERVER_SHIFT_KMS:
            return 1.0 / (1.0 + s.berv_kms / C_KMS), margin, ""
        return 1.0, margin + OBSERVER_SHIFT_KMS, ""
    if s.specsys is SpecSys.SOURCE:
        for rest in (Rest.Z, Rest.RV):
            one_plus_z, reason = _one_plus_z(s, rest)
            if not reason:
                return one_plus_z, margin + OBSERVER_SHIFT_KMS, ""
        return 1.0, 0.0, "at rest by an unknown redshift: telluric bands cannot be placed"
    return 1.0, 0.0, f"frame is {s.specsys.value}: telluric bands cannot be placed"


@dataclass(frozen=True, slots=True)
class ModelDomain:
    """The spectra one model is for, and the grid it sees them on.

    ``wave[i] = wave_min_aa · exp(i · pixel)``, vacuum Å, i in 0 … n_pix − 1: centres of pixels of
    equal velocity width.

    frame : class of frames (see `frame_class`) · resolution : lowest and highest λ/Δλ
    least_coverage : fraction of grid pixels that must carry information
    scale_range_aa : window whose flux scale is divided out; None = the whole range
    min_snr : least median S/N per model pixel; None = any
    medium_tolerance_kms : largest wavelength error an unknown medium may bring; None = half a pixel
    preparation : version of what is done to spectra (see `PREPARATION`)
    telluric : ``mask`` takes strong telluric bands for bad pixels · rest : ``rv`` or ``z`` shifts
        wavelengths to rest by the catalogue's velocity or redshift; `frame` is then ``rest``
    """

    wave_min_aa: float
    wave_max_aa: float
    n_pix: int
    frame: str = "observed"
    resolution: tuple[float, float] = (0.0, math.inf)
    flux_kind: FluxKind = FluxKind.CALIBRATED
    least_coverage: float = 0.9
    scale_range_aa: tuple[float, float] | None = None
    min_snr: float | None = None
    medium_tolerance_kms: float | None = None
    preparation: int = PREPARATION
    telluric: Telluric = Telluric.KEEP
    rest: Rest = Rest.NONE

    def __post_init__(self) -> None:
        if not (0 < self.wave_min_aa < self.wave_max_aa and self.n_pix >= 2):
            raise UsageError(
                f"a model cannot have {self.n_pix} pixels over "
                f"{self.wave_min_aa}–{self.wave_max_aa} Å",
                code="bad_domain", remedy="give a range of positive wavelengths, lower one first",
            )  # fmt: skip
        if not 0 < self.least_coverage <= 1:
            raise UsageError("least_coverage lies in (0, 1]", code="bad_domain")
        for name, kind in (("telluric", Telluric), ("rest", Rest)):
            object.__setattr__(self, name, choice(kind, getattr(self, name), name))
        if self.rest != Rest.NONE and self.frame != "rest":
            raise UsageError(f"spectra shifted to rest are not in the frame {self.frame!r}",
                             code="bad_domain", remedy="set frame to 'rest'")  # fmt: skip

    @property
    def log_step(self) -> float:
        """Δ ln λ of one pixel."""
        return math.log(self.wave_max_aa / self.wave_min_aa) / (self.n_pix - 1)

    @property
    def pixel_kms(self) -> float:
        """Width of a pixel as a velocity, km/s."""
        return self.log_step * C_KMS

    @property
    def wave_aa(self) -> NDArray[np.float64]:
        """(n_pix,) pixel centres, Å, vacuum."""
        return np.asarray(self.wave_min_aa * np.exp(self.log_step * np.arange(self.n_pix)))

    @property
    def edges_aa(self) -> NDArray[np.float64]:
        """(n_pix + 1,) pixel edges, Å, vacuum."""
        steps = np.arange(self.n_pix + 1) - 0.5
        return np.asarray(self.wave_min_aa * np.exp(self.log_step * steps))

    @property
    def unknown_medium_ok(self) -> bool:
        """Whether an unknown medium (83 km/s at most) is below what the grid resolves."""
        tolerance = self.medium_tolerance_kms
        return (0.5 * self.pixel_kms if tolerance is None else tolerance) >= AIR_SHIFT_KMS

    def covers(self, s: SpectrumSummary) -> tuple[bool, str]:
        """Whether a spectrum belongs to this model; the reason in a few words if it does not."""
        reason = self._wrong_kind(s) or self._wrong_extent(s)
        return not reason, reason

    def _wrong_kind(self, s: SpectrumSummary) -> str:
        if s.n_orders > 1:
            return "echelle orders are not merged"
        if s.flux_kind is not self.flux_kind:
            return f"flux is {s.flux_kind.value}, model needs {self.flux_kind.value}"
        if s.medium is Medium.UNKNOWN and not self.unknown_medium_ok:
            return f"air or vacuum unknown, pixel of {self.pixel_kms:.0f} km/s needs it"
        reason = self._wrong_frame(s)
        if reason:
            return reason
        low, high = self.resolution
        if not low <= s.resolution <= high:
            return f"resolution {s.resolution:.0f} outside {low:.0f}–{high:.0f}"
        return ""

    def _wrong_frame(self, s: SpectrumSummary) -> str:
        if self.telluric == Telluric.MASK and (reason := telluric_shift(s)[2]):
            return reason
        if self.rest != Rest.NONE:
            return rest_shift(s, self.rest, self.pixel_kms)[1]
        frame = frame_class(s.specsys, self.pixel_kms)
        return "" if frame == self.frame else f"frame is {frame}, model needs {self.frame}"

    def _wrong_extent(self, s: SpectrumSummary) -> str:
        shift, _ = rest_shift(s, self.rest, self.pixel_kms)
        covered = overlap_fraction(
            s.em_min_aa / shift, s.em_max_aa / shift, self.wave_min_aa, self.wave_max_aa
        )
        if not covered >= self.least_coverage:
            return (
                f"covers {100 * covered:.0f} % of {self.wave_min_aa:.0f}–{self.wave_max_aa:.0f} Å"
            )
        if s.pixel_kms > 3 * self.pixel_kms:
            return f"sampled too coarsely ({s.pixel_kms:.0f} km/s a pixel)"
        if s.snr is not None and self.min_snr is not None and s.snr < self.min_snr:
            return f"S/N {s.snr:.1f} below {self.min_snr:.1f}"
        return ""

    def to_json(self) -> dict[str, Any]:
        """Plain values for the model card."""
        low, high = self.resolution
        return asdict(self) | {
            "flux_kind": self.flux_kind.value,
            "resolution": [low, high if math.isfinite(high) else None],
            "telluric": self.telluric.value,
            "rest": self.rest.value,
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """The domain of a model card; those written before there were versions are of version 1.

        Raises
        ------
        DataError : this program cannot prepare spectra like that (``newer_preparation``)
        UsageError : a value that no domain has (``bad_choice``, ``bad_domain``)
        KeyError, TypeError, ValueError : values that are missing or of another form
        """
        low, high = record["resolution"]
        window = record["scale_range_aa"]
        preparation = int(record.get("preparation", 1))
        if preparation > PREPARATION:
            raise DataError(
                f"the model wants spectra prepared by version {preparation}, this program knows "
                f"{PREPARATION}", code="newer_preparation", remedy="upgrade spectrarium",
            )  # fmt: skip
        _check_record(record)
        return cls(**record | {
            "flux_kind": choice(FluxKind, record["flux_kind"], "flux_kind"),
            "resolution": (low, math.inf if high is None else high),
            "scale_range_aa": None if window is None else (window[0], window[1]),
            "preparation": preparation,
            "telluric": choice(Telluric, record.get("telluric", "keep"), "telluric"),
            "rest": choice(Rest, record.get("rest", "none"), "rest"),
        })  # fmt: skip


def _check_record(record: dict[str, Any]) -> None:
    """That what is a number in a domain is one in its record. Raises ValueError."""
    values = [(name, record[name]) for name in ("wave_min_aa", "wave_max_aa", "least_coverage")]
    values += [("resolution", record["resolution"][0])]
    values += [("scale_range_aa", v) for v in record["scale_range_aa"] or ()]
    optional = [("resolution", record["resolution"][1])]
    optional += [(name, record.get(name)) for name in ("min_snr", "medium_tolerance_kms")]
    for name, value in (*values, *((n, v) for n, v in optional if v is not None)):
        if not (isinstance(value, Real) and math.isfinite(value)):
            raise ValueError(f"{name} is {value!r}, not a finite number")
    if not isinstance(record["n_pix"], Integral) or not isinstance(record["frame"], str):
        raise ValueError(f"n_pix is {record['n_pix']!r}, frame {record['frame']!r}")


def overlap_fraction(low: float, high: float, a: float, b: float) -> float:
    """Share of ln(b/a) that [low, high] covers; 0 for an empty or unknown range."""
    if not (low > 0 and high > low):
        return 0.0
    return max(0.0, math.log(min(high, b) / max(low, a))) / math.log(b / a)
