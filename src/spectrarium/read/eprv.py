"""EPRV data standard (2026.02 and the older tables): L2 orders, L3 stitched spectra, L4 RVs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import Medium, SpecSys, SpectralAxis
from ..domain.errors import DataError
from ..domain.observation import Observation
from ..domain.spectrum import (
    EchelleSpectrum,
    FlagScheme,
    FluxCalibration,
    Normalisation,
    Spectrum,
    UncertaintyKind,
)
from ..domain.units import spectral_kind, unit_text
from .eprv_arrays import (
    data_of,
    fill_extras,
    order_numbers,
    quality,
    variance,
    velocity_and_time,
)
from .eprv_header import known, observation, standard_version, trace_type
from .fits import FitsFile, Hdu
from .header_values import provenance
from .registry import CERTAIN, Item, NotASpectrum, Reader
from .source import SourceFile

NAME = "eprv"
_L2 = re.compile(r"(?P<custom>CUSTOM\d+_)?TRACE(?P<trace>\d+)")
_L3 = re.compile(
    r"(COMBINED_|COADD_)?STITCHED_(?P<custom>CUSTOM)?CORR\d*(_SCI\d*|_TRACE(?P<trace>\d+))?"
)
_FAMILY = ("INSTRUMENT_HEADER", "EXT_DESCRIPT", "EXT_DESCRIPTOR", "DRP_CONFIG", "BARYCORR_KMS",
           "BARYCORR_Z")  # fmt: skip
_ORDER = {"SCI": 0, "UNKNOWN": 1, "SKY": 2, "CAL": 3}


@dataclass(frozen=True, slots=True)
class _Stem:
    """What FLUX, WAVE and VAR share in their names; `trace` None = all science traces."""

    name: str
    trace: int | None
    custom: bool


def recognise(source: SourceFile) -> int:
    """CERTAIN when the extensions carry the standard's names (never by DATALVL alone)."""
    if not source.is_fits:
        return 0
    names = source.fits.names.keys()
    if names.isdisjoint(_FAMILY):
        return 0
    return CERTAIN if _level(set(names)) else 0


def _level(names: set[str]) -> int | None:
    if any(_stems(names, _L3)):
        return 3
    if any(_stems(names, _L2)):
        return 2
    return 4 if any(re.fullmatch(r"(CUSTOM_)?RV\d+", name) for name in names) else None


def _stems(names: set[str], pattern: re.Pattern[str]) -> list[_Stem]:
    out = []
    for name in names:
        stem = name.removesuffix("_FLUX")
        match = pattern.fullmatch(stem)
        if match and name != stem and f"{stem}_WAVE" in names:
            trace = match["trace"]
            out.append(_Stem(stem, None if trace is None else int(trace), bool(match["custom"])))
    return out


def read(source: SourceFile) -> Iterator[Item]:
    """Science traces first, then traces of unknown kind and the sky; lamps are no spectra."""
    file = source.fits
    names = {hdu.name for hdu in file}
    level = _level(names)
    if level is None:
        raise DataError(
            "no extension of the EPRV standard holds data", code="no_spectrum",
            where=source.where, remedy="fetch the file again",
        )  # fmt: skip
    if level == 4:
        yield NotASpectrum(_describe_l4(file))
        return
    stems = _stems(names, _L2 if level == 2 else _L3)
    empty = True
    for stem in sorted(stems, key=lambda s: _rank(file, s)):
        for item in _item(source, stem, level):
            empty = False
            yield item
    if empty:
        raise DataError(
            f"all {len(stems)} flux extensions are empty", code="no_spectrum",
            where=source.where, remedy="fetch the file again",
        )  # fmt: skip


def _rank(file: FitsFile, stem: _Stem) -> tuple[bool, int, int, str]:
    kind = "SCI" if stem.trace is None else trace_type(file.primary, stem.trace)
    return stem.custom, _ORDER[kind], stem.trace or 0, stem.name


def _item(source: SourceFile, stem: _Stem, level: int) -> Iterator[Item]:
    file = source.fits
    hdu = file.named(f"{stem.name}_FLUX")
    assert hdu is not None
    if not hdu.axes or 0 in hdu.axes:
        return  # the standard: optional extensions are left empty where they do not apply
    if stem.trace is not None and trace_type(file.primary, stem.trace) == "CAL":
        lamp = known(file.primary, f"CLSRC{stem.trace}") or "source unknown"
        yield NotASpectrum(f"EPRV L{level} calibration trace {stem.trace} ({lamp})", hdu.index)
        return
    try:
        yield _spectrum(source, stem, level, hdu)
    except DataError as error:
        error.hdu = hdu.index
        yield error


def _describe_l4(file: FitsFile) -> str:
    what = []
    for hdu in file:
        if re.fullmatch(r"(CUSTOM_)?RV\d+", hdu.name):
            what.append(f"{hdu.name} ({hdu.n_rows} rows)")
        elif re.fullmatch(r"(CUSTOM_)?CCF\d+|DIAGNOSTICS\d+", hdu.name):
            what.append(hdu.name)
    value, when = file.primary.number("RV"), file.primary.number("BJDTDB", "BJD_TDB")
    if value is not None and when is not None:
        what.append(f"RV {value:.6f} km/s at BJD_TDB {when:.6f}")
    return f"EPRV L4 radial velocities: {', '.join(what)}"


def _spectrum(source: SourceFile, stem: _Stem, level: int, hdu: Hdu) -> Spectrum:
    file = source.fits
    warnings: list[str] = []
    flux = hdu.image()
    wave = data_of(file, f"{stem.name}_WAVE")
    if wave is None:
        raise DataError(
            f"{stem.name}_WAVE is empty", code="no_wavelength", where=source.where,
            remedy="fetch the file again",
        )  # fmt: skip
    if level == 2 and flux.ndim == 1:
        flux, wave = flux[None, :], wave.reshape(1, -1)
    var = variance(file, stem.name, flux, warnings)
    extras: dict[str, NDArray[Any]] = {}
    flags = quality(file, stem.name, stem.trace, flux, extras, warnings)
    seen = _observation(source, stem, level, flux.shape, extras, warnings)
    tag = known(file.primary, "DRPTAG")
    common: dict[str, Any] = {
        "axis": _axis(source, stem, wave, level, warnings),
        "flux": flux,
        "uncertainty": var,
        "uncertainty_kind": UncertaintyKind.NONE if var is None else UncertaintyKind.VAR,
        "flags": flags,
        "flag_scheme": None if flags is None else FlagScheme("EPRV QUALITY"),
        "flux_unit": _flux_unit(source, hdu, level, warnings),
        "flux_calibration": FluxCalibration.UNCALIBRATED,
        "normalisation": Normalisation.NONE if level == 2 else _normalisation(file),
        "extras": extras,
        "observation": seen,
        "provenance": provenance(
            source, NAME, hdu=hdu.index, warnings=tuple(warnings),
            pipeline=f"{tag}; {standard_version(file.primary)}" if tag else None,
        ),
    }  # fmt: skip
    if level == 3:
        return Spectrum(**common)
    numbers = order_numbers(file, flux.shape[0])
    return EchelleSpectrum(**common, order_numbers=numbers, trace=stem.name)


def _observation(
    source: SourceFile,
    stem: _Stem,
    level: int,
    shape: tuple[int, ...],
    extras: dict[str, NDArray[Any]],
    warnings: list[str],
) -> Observation:
    """The header's values and, for L2, those of the extensions (which also fill `extras`)."""
    head = source.fits.primary
    kind = "SCI" if stem.trace is None else trace_type(head, stem.trace)
    seen = observation(source, stem.name, stem.trace, kind, level)
    if level == 2:
        scalars = fill_extras(source.fits, stem.trace, shape, extras, warnings)
        berv, bjd = velocity_and_time(source.fits, shape, extras)
        seen = dataclasses.replace(
            seen, berv_kms=berv, bjd_tdb=bjd, metadata={**seen.metadata, **scalars}
        )
    if kind == "UNKNOWN":
        warnings.append(f"the kind of trace {stem.trace} is unknown: it may be sky or a lamp")
    if seen.s_ra is None:
        warnings.append("no coordinates")
    if str(known(head, "SUMMFLAG") or "").lower() == "fail":
        warnings.append("the pipeline's summary flag says Fail")
    return seen


def _axis(
    source: SourceFile, stem: _Stem, wave: NDArray[Any], level: int, warnings: list[str]
) -> SpectralAxis:
    hdu = source.fits.named(f"{stem.name}_WAVE")
    assert hdu is not None
    unit = known(hdu.header, "CUNIT1", "BUNIT", "UNIT")
    if unit is None or spectral_kind(str(unit)) is None:
        unit = source.options.wave_unit
    if unit is None:
        # the standard allows Å and µm only, and no such spectrum fits both
        finite = wave[np.isfinite(wave)]
        middle = float(np.median(finite)) if finite.size else 0.0
        unit = "um" if 0.1 < middle < 30.0 else "Angstrom"
        warnings.append(f"no wavelength unit in the file: {unit} by the standard's choice of two")
    # the standard asks for vacuum; a file that says AWAV all the same is believed
    air = str(hdu.header.get("CTYPE1", "")).upper().startswith("AWAV")
    return SpectralAxis(
        unit=str(unit), values=wave, medium=Medium.AIR if air else Medium.VACUUM,
        specsys=SpecSys.TOPOCENT if level == 2 else SpecSys.BARYCENT,
    )  # fmt: skip


def _flux_unit(source: SourceFile, hdu: Hdu, level: int, warnings: list[str]) -> str | None:
    text = known(hdu.header, "BUNIT")
    if text is not None:
        unit = unit_text(str(text))
        if unit is not None:
            return unit
        warnings.append(f"the flux unit {text!r} is not understood")
    relative = "flat" in str(known(source.fits.primary, "EXTRACT") or "").lower()
    if level == 2 and text is None and not relative:
        return "electron"  # the standard's unit of L2 flux: photoelectrons
    return source.options.flux_unit


def _normalisation(file: FitsFile) -> Normalisation:
    method = known(file.primary, "FLXNRMMD")
    sed = file.primary.get("SEDCORR")
    if sed is True:
        return Normalisation.CONTINUUM_DIVIDED
    if method is not None:
        return Normalisation.SCALED
    return Normalisation.NONE if sed is False else Normalisation.UNKNOWN


READERS = (
    Reader(
        name=NAME,
        title="EPRV data standard L2, L3 and L4 (NEID, KPF, HARPS, ESPRESSO, EXPRES …)",
        recognise=recognise,
        read=read,
        medium="vacuum",
        frame="topocentric in L2 (drift-corrected only), barycentric in L3",
        uncertainty="variance",
        mask="TRACEn_QUALITY: 0 is no flag",
        why_own="specutils has no loader; the reference package is GPL and needs Python 3.12",
        source="EPRV Data Standard 2026.02, L2/L3/L4 extension and keyword tables",
    ),
)
