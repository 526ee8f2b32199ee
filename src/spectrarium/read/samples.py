"""Arrays taken from a table's columns, joined with what the table says of them, as a Spectrum."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import LinearWCS, Medium, Scale, SpecSys, SpectralAxis
from ..domain.errors import DataError
from ..domain.spectrum import (
    FlagScheme,
    FluxCalibration,
    Normalisation,
    Spectrum,
    UncertaintyKind,
)
from .header_values import provenance
from .negative_errors import without_negative_errors
from .row_fields import (
    FluxKind,
    exported,
    flux_kind_of,
    medium_of,
    observation,
    present,
    specsys_of,
)
from .source import SourceFile

_Word = TypeVar("_Word", FluxCalibration, Normalisation, UncertaintyKind, Medium)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Samples:
    """The per-pixel arrays of one spectrum, all (n,), and what their columns say.

    wave : in `wave_unit`, or its logarithm as `scale` tells · flux_unit : None if unsaid
    uncertainty : of `kind` · flags : integer or bool, any non-zero value bad
    """

    wave: NDArray[Any] | LinearWCS
    flux: NDArray[Any]
    wave_unit: str
    scale: Scale = Scale.LINEAR
    medium: Medium = Medium.UNKNOWN
    flux_unit: str | None = None
    uncertainty: NDArray[Any] | None = None
    kind: UncertaintyKind = UncertaintyKind.NONE
    error_name: str = "err"
    flags: NDArray[Any] | None = None
    flag_name: str = "mask"
    extras: Mapping[str, NDArray[Any]] = field(default_factory=lambda: MappingProxyType({}))


def no_wave_unit(source: SourceFile, what: str, row: int | None = None) -> DataError:
    """The error of wavelengths whose unit nobody states."""
    return DataError(
        what, code="no_wave_unit", where=source.where, row=row, remedy="--wave-unit Angstrom"
    )


def spectrum_of(
    source: SourceFile,
    reader: str,
    samples: Samples,
    values: Mapping[str, Any],
    *,
    obs_id: str | None,
    collection: str | None = None,
    row: int | None = None,
    warnings: tuple[str, ...] = (),
) -> Spectrum:
    """A Spectrum of `samples` and the named `values` beside them (keys as `normal_key` gives).

    Raises DataError for arrays that do not fit together or a unit that is none.
    """
    flux = _flux_words(samples, values, source)
    quality = _quality(samples, values)
    warnings = (*warnings, *quality.warnings)
    obs = observation(values, source, obs_id=obs_id, collection=collection)
    if obs.s_ra is None:
        warnings = (*warnings, "no coordinates")
    try:
        return Spectrum(
            axis=_axis(samples, values, source), flux=samples.flux, observation=obs,
            provenance=provenance(source, reader, row=row, warnings=warnings),
            uncertainty=quality.uncertainty, uncertainty_kind=quality.kind,
            flags=quality.flags, flag_scheme=quality.scheme, extras=quality.extras,
            flux_unit=flux.unit, flux_calibration=flux.calibration,
            normalisation=flux.normalisation,
        )  # fmt: skip
    except DataError as error:
        error.where, error.row = error.where or source.where, row
        raise


def _axis(samples: Samples, values: Mapping[str, Any], source: SourceFile) -> SpectralAxis:
    frame = str(present(values.get("wave_frame")) or "")
    medium = samples.medium
    if medium is Medium.UNKNOWN:
        medium = _word(Medium, values.get("medium"), medium_of(frame))
    if medium is Medium.UNKNOWN:
        medium = source.options.medium or medium
    specsys = specsys_of(str(present(values.get("specsys")) or frame))
    if specsys is SpecSys.UNKNOWN:
        specsys = source.options.specsys or specsys
    wave = samples.wave
    return SpectralAxis(
        unit=samples.wave_unit, scale=samples.scale, medium=medium, specsys=specsys,
        wcs=wave if isinstance(wave, LinearWCS) else None,
        values=None if isinstance(wave, LinearWCS) else wave,
    )  # fmt: skip


def _flux_words(samples: Samples, values: Mapping[str, Any], source: SourceFile) -> FluxKind:
    said = flux_kind_of(str(present(values.get("flux_kind")) or ""))
    unit = samples.flux_unit
    if unit is None:
        written = present(values.get("flux_unit"))
        unit = said.unit if written is None else str(written)
        if exported(values) and values.get("flux_unit") == "":
            unit = ""  # dimensionless: elsewhere an empty text may as well mean unknown
    if unit is None:
        unit = source.options.flux_unit
    return FluxKind(
        unit,
        _word(FluxCalibration, values.get("flux_calibration"), said.calibration),
        _word(Normalisation, values.get("normalisation"), said.normalisation),
    )


def _word(words: type[_Word], value: Any, default: _Word) -> _Word:
    text = str(value).strip().lower() if value is not None else ""
    return next((w for w in words if w.value.lower() == text), default)


def _scheme(samples: Samples, values: Mapping[str, Any]) -> FlagScheme:
    """The bits as `flag_scheme` declares them: ``{"name": …, "bits": {"0": …}, "bad": …}``.

    Without it, or where it is not of that form, any non-zero value is bad.
    """
    try:
        said = json.loads(str(values.get("flag_scheme") or ""))
        bits = {int(bit): str(name) for bit, name in said["bits"].items()}
        bad = None if said["bad"] is None else int(said["bad"])
        return FlagScheme(str(said["name"]), bits, bad)
    except (ValueError, TypeError, KeyError, AttributeError):
        return FlagScheme(samples.flag_name)


@dataclass(frozen=True, slots=True, eq=False)
class _Quality:
    uncertainty: NDArray[Any] | None
    kind: UncertaintyKind
    flags: NDArray[Any] | None
    scheme: FlagScheme | None
    extras: Mapping[str, NDArray[Any]]
    warnings: tuple[str, ...]


def _quality(samples: Samples, values: Mapping[str, Any]) -> _Quality:
    """Uncertainty (None if it holds no number), its kind, flags if they are integers, extras."""
    uncertainty, kind = samples.uncertainty, samples.kind
    if kind is UncertaintyKind.STD:
        kind = _word(UncertaintyKind, values.get("uncertainty_kind"), kind)
    if uncertainty is None or not np.isfinite(uncertainty).any():
        uncertainty, kind = None, UncertaintyKind.NONE
    flags, extras = samples.flags, samples.extras
    if exported(values) and values.get("has_flags") is False:
        flags = None  # zeros that only keep the lists of a row at one length
    if flags is not None and flags.dtype.kind not in "iub":
        extras = {**extras, samples.flag_name: flags}
        flags = None
    scheme = None if flags is None else _scheme(samples, values)
    known = without_negative_errors(uncertainty, kind, flags, scheme)
    if known.uncertainty is None and uncertainty is not None:
        extras = {**extras, samples.error_name: uncertainty}
    if flags is not None and known.flags is not flags:
        extras = {**extras, samples.flag_name: flags}
    warnings = () if known.note is None else (known.note,)
    return _Quality(known.uncertainty, known.kind, known.flags, known.scheme, extras, warnings)
